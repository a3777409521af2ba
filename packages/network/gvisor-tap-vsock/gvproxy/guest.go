package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"
)

const (
	ethernetHeader = 14
	vlanTag        = 4
	// The switch delivers one frame at a time, to whichever guest: one that takes nothing holds up all of them.
	patience = 5 * time.Second
)

// guest is the connection of a guest that the switch can rely on.
type guest struct {
	net.Conn
	reader  *bufio.Reader
	largest int
	// pending is what is left of the last frame, its length before it.
	pending []byte
	frame   []byte
}

func newGuest(conn net.Conn, mtu int) *guest {
	largest := mtu + ethernetHeader + vlanTag
	return &guest{Conn: conn, reader: bufio.NewReaderSize(conn, 1<<16), largest: largest, frame: make([]byte, 2+largest)}
}

// Read gives whole frames only. The switch would take a length for granted, and one of less than a header ends gvproxy
// for every guest.
func (g *guest) Read(to []byte) (int, error) {
	if len(g.pending) == 0 {
		if _, err := io.ReadFull(g.reader, g.frame[:2]); err != nil {
			return 0, err
		}
		size := int(binary.LittleEndian.Uint16(g.frame))
		if size < ethernetHeader || size > g.largest {
			return 0, fmt.Errorf("a frame of %d bytes", size)
		}
		if _, err := io.ReadFull(g.reader, g.frame[2:2+size]); err != nil {
			return 0, err
		}
		g.pending = g.frame[:2+size]
	}
	n := copy(to, g.pending)
	g.pending = g.pending[n:]
	return n, nil
}

// Write lets go of a guest that takes nothing; it connects again when it can.
func (g *guest) Write(frame []byte) (int, error) {
	if err := g.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return 0, err
	}
	return g.Conn.Write(frame)
}
