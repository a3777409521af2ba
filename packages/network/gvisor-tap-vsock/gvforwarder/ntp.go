//go:build linux

package main

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"time"
)

const (
	// Bytes of a packet without extensions (RFC 5905, 7.3).
	ntpPacket = 48
	ntpPort   = "123"
	ntpWait   = 3 * time.Second
	// Seconds from 1900, where NTP begins, to 1970.
	ntpEpoch = 2208988800
	// Seconds of an era of NTP; the second begins in 2036.
	ntpEra = 1 << 32
)

// askTime is the time by the first of these servers that answers, in seconds since 1970 (SNTP, RFC 5905, 14).
func askTime(servers []string) (int64, error) {
	var failures []error
	for _, server := range servers {
		seconds, err := askServer(server)
		if err == nil {
			return seconds, nil
		}
		failures = append(failures, fmt.Errorf("%s: %w", server, err))
	}
	if len(failures) == 0 {
		return 0, errors.New("no time server is given")
	}
	return 0, errors.Join(failures...)
}

// askServer asks one server, `HOST` or `HOST:PORT`.
func askServer(server string) (int64, error) {
	if _, _, err := net.SplitHostPort(server); err != nil {
		server = net.JoinHostPort(server, ntpPort)
	}
	conn, err := net.DialTimeout("udp", server, ntpWait)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(ntpWait)); err != nil {
		return 0, err
	}
	query := make([]byte, ntpPacket)
	// Version 4, client. Its time of sending is a random number, which an answer repeats: who does not see the question
	// cannot answer it.
	query[0] = 4<<3 | 3
	if _, err := rand.Read(query[40:]); err != nil {
		return 0, err
	}
	if _, err := conn.Write(query); err != nil {
		return 0, err
	}
	reply := make([]byte, ntpPacket)
	for {
		length, err := conn.Read(reply)
		if err != nil {
			return 0, err
		}
		if length == ntpPacket && bytes.Equal(reply[24:32], query[40:]) {
			return readTime(reply)
		}
	}
}

// readTime is the time at which a server sent this answer.
func readTime(reply []byte) (int64, error) {
	leap, mode, stratum := reply[0]>>6, reply[0]&7, reply[1]
	if mode != 4 || leap == 3 || stratum == 0 || stratum > 15 {
		return 0, errors.New("the server has no time itself")
	}
	seconds := int64(binary.BigEndian.Uint32(reply[40:]))
	if seconds < ntpEra/2 {
		seconds += ntpEra
	}
	return seconds - ntpEpoch, nil
}
