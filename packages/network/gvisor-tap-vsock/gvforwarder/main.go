//go:build linux

// Gvforwarder carries the frames of a TAP device of the guest to gvproxy on its host, and those of gvproxy to it: each
// behind its length in 16 bits, little-endian.
//
// Not the program of gvisor-tap-vsock: that one takes the device's persistence away and closes it with each connection,
// so that the interface is gone with its addresses as soon as gvproxy ends once. This one holds the device, connects
// again every second, and leaves the interface's addresses and state to others.
//
// The end of a connection may go unnoticed: a guest that only waits would never be reached again. So where nothing comes
// it asks the gateway for its hardware address, and begins a new connection where that has no answer either.
//
// Usage: gvforwarder -url vsock://2:PORT -iface NAME -mtu BYTES [-gateway ADDRESS]
//
// It is in every guest, and knows what the guest's BusyBox does not:
//
//	gvforwarder -time SERVER…
//		asks time servers, and prints the seconds since 1970
//	gvforwarder -tls ADDRESS -to ADDRESS -certificate FILE
//		takes TLS connections and carries what is in them to a service
//	gvforwarder -tls-check ADDRESS -name NAME -certificate FILE
//		does a handshake, verifies it, and prints until when the certificate is good
//	gvforwarder -call FILE [-authorities FILE] [-within DURATION]
//		calls the address in a file, over HTTPS or HTTP, without telling it to anybody else
package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/url"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"sovereign/gvisor-tap-vsock/call"
)

const (
	ethernetHeader = 14
	vlanTag        = 4
	retry          = time.Second
	// Questions in a row without an answer, after which a connection is given up.
	unanswered = 3
	// Ports below are root's (net/vmw_vsock/af_vsock.c, LAST_RESERVED_PORT).
	reservedPorts = 1024
)

func main() {
	endpoint := flag.String("url", "", "`URL` of gvproxy: vsock://CID:PORT or unix://PATH")
	iface := flag.String("iface", "", "`name` of the TAP device")
	mtu := flag.Int("mtu", 0, "largest packet of the network, in `bytes`")
	gateway := flag.String("gateway", "", "IPv4 `address` of the gateway, to ask for a sign of life")
	alive := flag.Duration("alive", 5*time.Second, "`time` in which something has to come before it is asked")
	clock := flag.Bool("time", false, "ask time servers")
	listen := flag.String("tls", "", "take TLS connections at this `address`")
	to := flag.String("to", "", "`address` of the service behind them")
	certificate := flag.String("certificate", "", "`file` with chain and key in PEM")
	check := flag.String("tls-check", "", "do a verified handshake with this `address`")
	name := flag.String("name", "", "`name` that the certificate is to have")
	address := flag.String("call", "", "call the address in this `file`")
	authorities := flag.String("authorities", "", "`file` with certificates, in PEM, to trust beside the system's")
	within := flag.Duration("within", 20*time.Second, "`time` that a call may take")
	flag.Parse()
	if *address != "" {
		if err := call.Get(*address, *authorities, *within); err != nil {
			log.Fatalf("gvforwarder: no success: %v", err)
		}
		return
	}
	if *listen != "" {
		log.Fatalf("gvforwarder: no TLS: %v", serveTLS(*listen, *to, *certificate))
	}
	if *check != "" {
		until, err := checkTLS(*check, *name, *certificate)
		if err != nil {
			log.Fatalf("gvforwarder: no handshake: %v", err)
		}
		fmt.Println(until.UTC().Format(time.RFC3339))
		return
	}
	if *clock {
		seconds, err := askTime(flag.Args())
		if err != nil {
			log.Fatalf("gvforwarder: no time: %v", err)
		}
		fmt.Println(seconds)
		return
	}
	tap, err := openTap(*iface)
	if err != nil {
		log.Fatalf("gvforwarder: %s: %v", *iface, err)
	}
	largest := *mtu + ethernetHeader + vlanTag
	question := func() []byte { return nil }
	if *gateway != "" {
		asked := net.ParseIP(*gateway).To4()
		if asked == nil {
			log.Fatalf("gvforwarder: the gateway %s is no IPv4 address", *gateway)
		}
		question = func() []byte { return whoHas(*iface, asked) }
	}
	// Each failure is told once: where nobody listens, it comes back every second.
	told := ""
	for ; ; time.Sleep(retry) {
		conn, err := dial(*endpoint)
		if err == nil {
			log.Printf("gvforwarder: connected to %s", *endpoint)
			err = carry(tap, conn, largest, question, *alive)
		}
		if err.Error() != told {
			told = err.Error()
			log.Printf("gvforwarder: %s: %s", *endpoint, told)
		}
	}
}

// dial connects to gvproxy.
func dial(endpoint string) (io.ReadWriteCloser, error) {
	parsed, err := url.Parse(endpoint)
	if err != nil {
		return nil, err
	}
	if parsed.Scheme != "vsock" {
		return net.Dial(parsed.Scheme, parsed.Path)
	}
	cid, err := strconv.ParseUint(parsed.Hostname(), 10, 32)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(parsed.Port(), 10, 32)
	if err != nil {
		return nil, err
	}
	return dialVsock(uint32(cid), uint32(port))
}

// dialVsock connects from a port that only root can have: gvproxy admits no other, or any program of the guest could
// join the network past the guest's firewall.
func dialVsock(cid, port uint32) (io.ReadWriteCloser, error) {
	fd, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	// The one before may not have let go of its port yet.
	for local := uint32(reservedPorts - 1); ; local-- {
		err = unix.Bind(fd, &unix.SockaddrVM{CID: unix.VMADDR_CID_ANY, Port: local})
		if !errors.Is(err, unix.EADDRINUSE) || local < reservedPorts/2 {
			break
		}
	}
	if err == nil {
		err = unix.Connect(fd, &unix.SockaddrVM{CID: cid, Port: port})
	}
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "vsock"), nil
}

// openTap attaches to a TAP device, or makes it.
func openTap(name string) (*os.File, error) {
	request, err := unix.NewIfreq(name)
	if err != nil {
		return nil, err
	}
	// Not blocking, so that Go can end a read: it waits for packets by itself.
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "/dev/net/tun"), nil
}

// carry moves frames both ways until either fails, or no sign of life comes.
func carry(tap *os.File, conn io.ReadWriteCloser, largest int, question func() []byte, alive time.Duration) error {
	failed := make(chan error, 3)
	ended := make(chan struct{})
	var came atomic.Uint64
	go func() { failed <- toHost(tap, conn, largest) }()
	go func() { failed <- toGuest(conn, tap, largest, &came) }()
	go func() { failed <- watch(conn, question, alive, &came, ended) }()
	err := <-failed
	close(ended)
	conn.Close()
	// Ends the read that the next connection would otherwise lose a frame to.
	tap.SetReadDeadline(time.Unix(1, 0))
	<-failed
	<-failed
	tap.SetReadDeadline(time.Time{})
	return err
}

// watch asks where nothing came for a while, and fails where several questions in a row have no answer. Looks are
// counted, and not their time: the whole device may have slept in between.
func watch(conn io.Writer, question func() []byte, alive time.Duration, came *atomic.Uint64, ended <-chan struct{}) error {
	ticker := time.NewTicker(alive)
	defer ticker.Stop()
	seen, asked := came.Load(), 0
	for {
		select {
		case <-ended:
			return nil
		case <-ticker.C:
		}
		if now := came.Load(); now != seen {
			seen, asked = now, 0
			continue
		}
		if asked == unanswered {
			return fmt.Errorf("no sign of life for %s", alive*(unanswered+1))
		}
		if frame := question(); frame != nil {
			asked++
			// Aside: it waits where nobody reads, and ends with the connection.
			go conn.Write(frame)
		}
	}
}

// whoHas is a frame with its length: an ARP probe (RFC 5227, 2.1.1), to all; nil where the interface has gone.
func whoHas(iface string, address net.IP) []byte {
	own, err := net.InterfaceByName(iface)
	if err != nil || len(own.HardwareAddr) != 6 {
		return nil
	}
	frame := make([]byte, 2, 2+ethernetHeader+28)
	binary.LittleEndian.PutUint16(frame, ethernetHeader+28)
	frame = append(frame, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
	frame = append(frame, own.HardwareAddr...)
	// ARP; Ethernet, IPv4, the lengths of their addresses, a request.
	frame = append(frame, 0x08, 0x06, 0, 1, 0x08, 0x00, 6, 4, 0, 1)
	frame = append(frame, own.HardwareAddr...)
	frame = append(frame, 0, 0, 0, 0)
	frame = append(frame, 0, 0, 0, 0, 0, 0)
	return append(frame, address...)
}

func toHost(tap io.Reader, conn io.Writer, largest int) error {
	buffer := make([]byte, 2+largest)
	for {
		size, err := tap.Read(buffer[2:])
		if err != nil {
			return fmt.Errorf("reading a frame of the guest: %w", err)
		}
		binary.LittleEndian.PutUint16(buffer, uint16(size))
		if _, err := conn.Write(buffer[:2+size]); err != nil {
			return err
		}
	}
}

func toGuest(conn io.Reader, tap io.Writer, largest int, came *atomic.Uint64) error {
	reader := bufio.NewReaderSize(conn, 1<<16)
	buffer := make([]byte, largest)
	for {
		if _, err := io.ReadFull(reader, buffer[:2]); err != nil {
			return err
		}
		size := int(binary.LittleEndian.Uint16(buffer))
		if size > largest {
			return fmt.Errorf("a frame of %d bytes: gvproxy has another MTU", size)
		}
		if _, err := io.ReadFull(reader, buffer[:size]); err != nil {
			return err
		}
		came.Add(1)
		// EIO: the interface is not up yet, or no more; a frame is lost, as on any wire.
		if _, err := tap.Write(buffer[:size]); err != nil && !errors.Is(err, unix.EIO) {
			return fmt.Errorf("giving the guest a frame: %w", err)
		}
	}
}
