//go:build linux

package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"syscall"
	"time"
)

const (
	// For a handshake, and for the service to take a connection.
	tlsWait = 20 * time.Second
	// Connections at a time: each holds buffers, and a guest is small.
	tlsConnections = 128
	// User and group of nobody on every base.
	nobody = 65534
)

// readCertificate reads a chain and its key, in one PEM file.
func readCertificate(file string) (tls.Certificate, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return tls.Certificate{}, err
	}
	pair, err := tls.X509KeyPair(text, text)
	if err != nil {
		return tls.Certificate{}, err
	}
	if pair.Leaf == nil {
		return tls.Certificate{}, errors.New("it holds no certificate")
	}
	return pair, nil
}

// serveTLS takes TLS connections at `listen` and carries what is in them to `to`. It gives up root once it has port and
// key, so another certificate is taken by a new process.
func serveTLS(listen, to, file string) error {
	pair, err := readCertificate(file)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	if os.Getuid() == 0 {
		if err := dropRoot(); err != nil {
			return err
		}
	}
	config := &tls.Config{
		Certificates: []tls.Certificate{pair},
		MinVersion:   tls.VersionTLS12,
		// What the service behind it speaks.
		NextProtos: []string{"http/1.1"},
	}
	log.Printf("gvforwarder: TLS at %s for %s", listen, to)
	free := make(chan struct{}, tlsConnections)
	for {
		conn, err := listener.Accept()
		if err != nil {
			// Out of descriptors or memory: it passes.
			log.Printf("gvforwarder: %v", err)
			time.Sleep(retry)
			continue
		}
		free <- struct{}{}
		go func() {
			defer func() { <-free }()
			relay(tls.Server(conn, config), to)
		}()
	}
}

func dropRoot() error {
	if err := syscall.Setgroups(nil); err != nil {
		return err
	}
	if err := syscall.Setgid(nobody); err != nil {
		return err
	}
	return syscall.Setuid(nobody)
}

// relay carries one connection until both ends have said all.
func relay(client *tls.Conn, to string) {
	defer client.Close()
	limit, cancel := context.WithTimeout(context.Background(), tlsWait)
	defer cancel()
	if client.HandshakeContext(limit) != nil {
		return
	}
	service, err := (&net.Dialer{}).DialContext(limit, "tcp", to)
	if err != nil {
		return
	}
	defer service.Close()
	done := make(chan struct{}, 2)
	carryOn := func(to, from interface {
		io.ReadWriter
		CloseWrite() error
	}) {
		_, err := io.Copy(to, from)
		if err == nil {
			err = to.CloseWrite()
		}
		if err != nil {
			// Cut, and not ended: the other direction is of no use any more.
			client.NetConn().Close()
			service.Close()
		}
		done <- struct{}{}
	}
	go carryOn(service.(*net.TCPConn), client)
	go carryOn(client, service.(*net.TCPConn))
	<-done
	<-done
}

// checkTLS does a handshake as a client of `name` would, and tells until when the certificate is good that was shown.
// Trusted is what the system trusts, and where the owner's file has an authority of its own at its end, that too.
func checkTLS(address, name, file string) (time.Time, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if authority := ownAuthority(file); authority != nil {
		roots.AddCert(authority)
	}
	dialer := &net.Dialer{Timeout: tlsWait}
	conn, err := tls.DialWithDialer(dialer, "tcp", address, &tls.Config{ServerName: name, RootCAs: roots})
	if err != nil {
		return time.Time{}, err
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].NotAfter, nil
}

// ownAuthority is the last certificate of a file, where that signed itself.
func ownAuthority(file string) *x509.Certificate {
	rest, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	var last []byte
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type == "CERTIFICATE" {
			last = block.Bytes
		}
	}
	authority, err := x509.ParseCertificate(last)
	if err != nil || authority.CheckSignatureFrom(authority) != nil {
		return nil
	}
	return authority
}
