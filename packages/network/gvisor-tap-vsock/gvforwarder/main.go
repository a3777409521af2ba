//go:build linux

// Gvforwarder carries the frames of a TAP device of the guest to gvproxy on its host, and those of gvproxy to it: each
// behind its length in 16 bits, little-endian.
//
// Not the program of gvisor-tap-vsock: that one takes the device's persistence away and closes it with each connection,
// so that the interface is gone with its addresses as soon as gvproxy ends once. This one holds the device, connects
// again every second, and leaves the interface's addresses and state to others.
//
// Usage: gvforwarder -url vsock://2:PORT -iface NAME -mtu BYTES
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
	"os"
	"syscall"
	"time"

	"github.com/containers/gvisor-tap-vsock/pkg/transport"
	"golang.org/x/sys/unix"
)

const (
	ethernetHeader = 14
	vlanTag        = 4
	retry          = time.Second
)

func main() {
	url := flag.String("url", "", "`URL` of gvproxy: vsock://CID:PORT or unix://PATH")
	iface := flag.String("iface", "", "`name` of the TAP device")
	mtu := flag.Int("mtu", 0, "largest packet of the network, in `bytes`")
	flag.Parse()
	tap, err := openTap(*iface)
	if err != nil {
		log.Fatalf("gvforwarder: %s: %v", *iface, err)
	}
	largest := *mtu + ethernetHeader + vlanTag
	// Each failure is told once: where nobody listens, it comes back every second.
	told := ""
	for ; ; time.Sleep(retry) {
		conn, _, err := transport.Dial(*url)
		if err == nil {
			log.Printf("gvforwarder: connected to %s", *url)
			err = carry(tap, conn, largest)
		}
		if err.Error() != told {
			told = err.Error()
			log.Printf("gvforwarder: %s: %s", *url, told)
		}
	}
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

// carry moves frames both ways until either fails.
func carry(tap *os.File, conn net.Conn, largest int) error {
	failed := make(chan error, 2)
	go func() { failed <- toHost(tap, conn, largest) }()
	go func() { failed <- toGuest(conn, tap, largest) }()
	err := <-failed
	conn.Close()
	// Ends the read that the next connection would otherwise lose a frame to.
	tap.SetReadDeadline(time.Unix(1, 0))
	<-failed
	tap.SetReadDeadline(time.Time{})
	return err
}

func toHost(tap *os.File, conn net.Conn, largest int) error {
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

func toGuest(conn net.Conn, tap *os.File, largest int) error {
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
		// EIO: the interface is not up yet, or no more; a frame is lost, as on any wire.
		if _, err := tap.Write(buffer[:size]); err != nil && !errors.Is(err, syscall.EIO) {
			return fmt.Errorf("giving the guest a frame: %w", err)
		}
	}
}
