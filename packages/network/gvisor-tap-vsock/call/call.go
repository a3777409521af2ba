// Package call asks an HTTP server of the owner's for one thing, and takes its status for the answer: a monitor that is
// to hear that a service is well, or one that passes messages on.
//
// The address is a secret: whoever knows it can speak for the service. It is read from a file, so that no argument has
// it, and no error of this package repeats any part of it.
//
// Not net/http: it adds 1.1 MB to the program where this adds 64 KiB, follows a redirect to any host, and tells that
// host in `Referer` where it came from.
package call

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// Redirects that are followed, within one host.
	redirects = 3
	// Bytes of an answer that are read.
	longest = 64 << 10
	// Bytes of an address.
	longestAddress = 4096
)

// said is an error in words of ours, without any part of the address.
type said string

func (err said) Error() string { return string(err) }

// Request is what is asked, and how.
type Request struct {
	// Address begins with https:// or http://.
	Address string
	// Fields of the header, each a line of its own.
	Fields []string
	// Body makes it a POST, which no redirect is followed of.
	Body []byte
	// Resolvers are name servers, ADDRESS or ADDRESS:PORT, asked instead of those of the system.
	Resolvers []string
	// Authorities is a file with certificates, in PEM, that are trusted beside the system's.
	Authorities string
	// Wait bounds all of it: names, connections, redirects.
	Wait time.Duration
}

// Get calls the address in a file once. Good is any status of success.
func Get(file, authorities string, wait time.Duration) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	request := Request{Address: strings.TrimSpace(string(text)), Authorities: authorities, Wait: wait}
	if err := request.Send(); err != nil {
		if err == errAddress {
			return errors.New(file + ": " + err.Error())
		}
		return err
	}
	return nil
}

const errAddress = said("it holds no address that begins with https:// or http://")

// Send sends it once. Good is any status of success.
func (request *Request) Send() error {
	address, err := url.Parse(request.Address)
	if err != nil || len(request.Address) > longestAddress || !isAddress(address) {
		return errAddress
	}
	roots, err := trusted(request.Authorities)
	if err != nil {
		return err
	}
	limit, cancel := context.WithTimeout(context.Background(), request.Wait)
	defer cancel()
	for range redirects + 1 {
		next, err := request.ask(limit, address, roots)
		if err != nil {
			return plain(limit, request.Wait, err)
		}
		if next == nil {
			return nil
		}
		if next.Hostname() != address.Hostname() || (next.Scheme != "https" && next.Scheme != address.Scheme) {
			// Another host could keep what it is asked for, and all hosts on the way could read it without TLS.
			return said("it redirects to another host, or from https to http")
		}
		address = next
	}
	return said(fmt.Sprintf("it redirects more than %d times", redirects))
}

func isAddress(address *url.URL) bool {
	return (address.Scheme == "https" || address.Scheme == "http") && address.Hostname() != "" && address.User == nil
}

// trusted is what the system trusts, and where a file is given, what is in it too.
func trusted(authorities string) (*x509.CertPool, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if authorities == "" {
		return roots, nil
	}
	text, err := os.ReadFile(authorities)
	if err != nil {
		return nil, err
	}
	if !roots.AppendCertsFromPEM(text) {
		return nil, errors.New(authorities + ": there is no certificate in it")
	}
	return roots, nil
}

// ask sends one request (RFC 9112) and reads the answer to it: nil for success, where it redirects to, or an error.
func (request *Request) ask(limit context.Context, address *url.URL, roots *x509.CertPool) (*url.URL, error) {
	conn, err := request.connect(limit, address, roots)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	deadline, _ := limit.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	if _, err := conn.Write(request.message(address)); err != nil {
		return nil, err
	}
	reader := bufio.NewReader(io.LimitReader(conn, longest))
	status, location, err := readHead(reader)
	for err == nil && status < 200 {
		status, location, err = readHead(reader)
	}
	if err != nil {
		return nil, err
	}
	switch {
	case status < 300:
		return nil, refusal(reader)
	case status < 400 && location != "" && request.Body == nil:
		next, err := address.Parse(location)
		if err != nil || !isAddress(next) {
			return nil, said(fmt.Sprintf("it answers with status %d", status))
		}
		return next, nil
	default:
		return nil, said(fmt.Sprintf("it answers with status %d", status))
	}
}

func (request *Request) message(address *url.URL) []byte {
	method, fields := "GET", request.Fields
	if request.Body != nil {
		method, fields = "POST", append(fields, fmt.Sprintf("Content-Length: %d", len(request.Body)))
	}
	head := append([]string{
		method + " " + address.RequestURI() + " HTTP/1.1",
		"Host: " + address.Host,
		"User-Agent: sovereign",
		"Accept: */*",
		"Connection: close",
	}, fields...)
	return append([]byte(strings.Join(head, "\r\n")+"\r\n\r\n"), request.Body...)
}

// refusal: of a check that it does not know, healthchecks.io says so in a success
// (https://healthchecks.io/docs/http_api/, "Response Codes").
func refusal(reader io.Reader) error {
	// A connection that is cut after the status takes nothing of it back.
	body, _ := io.ReadAll(io.LimitReader(reader, 1024))
	if bytes.Contains(body, []byte("OK (not found)")) {
		return said("it does not know this address: OK (not found)")
	}
	return nil
}

// readHead reads a status line and the fields that follow it.
func readHead(reader *bufio.Reader) (status int, location string, err error) {
	line, err := readLine(reader)
	if err != nil {
		return 0, "", err
	}
	version, rest, _ := strings.Cut(line, " ")
	code, _, _ := strings.Cut(rest, " ")
	status, err = strconv.Atoi(code)
	if err != nil || !strings.HasPrefix(version, "HTTP/1.") || status < 100 || status > 599 {
		return 0, "", said("what answers does not speak HTTP")
	}
	for {
		line, err := readLine(reader)
		if err != nil {
			return 0, "", err
		}
		if line == "" {
			return status, location, nil
		}
		name, value, _ := strings.Cut(line, ":")
		if strings.EqualFold(name, "Location") {
			location = strings.TrimSpace(value)
		}
	}
}

func readLine(reader *bufio.Reader) (string, error) {
	line, err := reader.ReadString('\n')
	return strings.TrimRight(line, "\r\n"), err
}

// resolver asks the name servers in turn: Go's own asks again where one says nothing.
func (request *Request) resolver() *net.Resolver {
	if len(request.Resolvers) == 0 {
		return nil
	}
	var turn atomic.Uint32
	return &net.Resolver{PreferGo: true, Dial: func(limit context.Context, network, _ string) (net.Conn, error) {
		server := request.Resolvers[int(turn.Add(1)-1)%len(request.Resolvers)]
		if _, _, err := net.SplitHostPort(server); err != nil {
			server = net.JoinHostPort(server, "53")
		}
		return (&net.Dialer{}).DialContext(limit, network, server)
	}}
}

func (request *Request) connect(limit context.Context, address *url.URL, roots *x509.CertPool) (net.Conn, error) {
	port := address.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[address.Scheme]
	}
	dialer := &net.Dialer{Resolver: request.resolver()}
	conn, err := dialer.DialContext(limit, "tcp", net.JoinHostPort(address.Hostname(), port))
	if err != nil || address.Scheme != "https" {
		return conn, err
	}
	secure := tls.Client(conn, &tls.Config{
		ServerName: address.Hostname(),
		RootCAs:    roots,
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1"},
	})
	if err := secure.HandshakeContext(limit); err != nil {
		conn.Close()
		return nil, &handshakeError{err}
	}
	return secure, nil
}

type handshakeError struct{ cause error }

func (err *handshakeError) Error() string { return err.cause.Error() }
func (err *handshakeError) Unwrap() error { return err.cause }

// plain says what failed in words of ours: those of Go have the address in them.
func plain(limit context.Context, wait time.Duration, err error) error {
	var (
		ours      said
		number    syscall.Errno
		name      *net.DNSError
		unknown   x509.UnknownAuthorityError
		other     x509.HostnameError
		invalid   x509.CertificateInvalidError
		handshake *handshakeError
		timeout   net.Error
	)
	switch {
	case errors.As(err, &ours):
		return ours
	case limit.Err() != nil, errors.As(err, &timeout) && timeout.Timeout():
		return said(fmt.Sprintf("no answer within %v", wait))
	case errors.As(err, &name):
		return said("the name in the address is not found")
	case errors.As(err, &unknown):
		return said("its certificate is of an authority that is not trusted")
	case errors.As(err, &other):
		return said("its certificate is of another name")
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return said("its certificate is over, or not valid yet")
	case errors.As(err, &number):
		return number
	case errors.As(err, &handshake):
		return said("what answers does not speak TLS, or shows a certificate that is not good")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return said("it ends the connection without an answer")
	default:
		return said("no connection")
	}
}
