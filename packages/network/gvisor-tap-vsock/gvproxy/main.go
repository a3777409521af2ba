// Gvproxy is the network that the guests of one device share, made of gvisor-tap-vsock's parts.
//
// Not the program of that name in gvisor-tap-vsock: that one serves its whole API to every guest, at its guests'
// listener and at port 80 of the gateway, and who can ask there makes the device open any port and remove any file, as
// root on a phone. It also leads an address to the device's loopback unless it is given another, and ends with status 0
// where it failed. Guests of this one send and get Ethernet frames, each behind its length in 16 bits, little-endian,
// and nothing else.
//
// Usage: [SOVEREIGN_SERVICES=FOLDER] gvproxy -config FILE -listen URL -services URL
//
// It is on the device, where no other program of ours is that speaks HTTPS:
//
//	gvproxy -notify FILE [-authorities FILE]
//		sends what is on its standard input to the address in a file
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/containers/gvisor-tap-vsock/pkg/transport"
	"github.com/containers/gvisor-tap-vsock/pkg/types"
	"github.com/containers/gvisor-tap-vsock/pkg/virtualnetwork"
	"github.com/mdlayher/vsock"
	"gopkg.in/yaml.v3"

	"sovereign/gvisor-tap-vsock/plans"
)

func main() {
	config := flag.String("config", "", "YAML `file` with the network under the key stack")
	guests := flag.String("listen", "", "`URL` where guests connect: vsock://:PORT or unix://PATH")
	services := flag.String("services", "", "`URL` of the API for the device itself: unix://PATH")
	message := flag.String("notify", "", "send a message as this `file` says")
	authorities := flag.String("authorities", "", "`file` with certificates, in PEM, to trust beside the system's")
	flag.Parse()
	if *message != "" {
		if err := notify(*message, *authorities, os.Stdin); err != nil {
			log.Fatalf("gvproxy: not sent: %v", err)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, *config, *guests, *services); err != nil {
		log.Fatalf("gvproxy: %v", err)
	}
}

// run serves until the context ends or a listener fails.
func run(ctx context.Context, config, guests, services string) error {
	stack, err := readConfig(config)
	if err != nil {
		return err
	}
	network, err := virtualnetwork.New(stack)
	if err != nil {
		return err
	}
	guestListener, err := listen(guests)
	if err != nil {
		return err
	}
	defer guestListener.Close()
	// The API last: where it answers, guests can connect.
	serviceListener, err := listen(services)
	if err != nil {
		return err
	}
	defer serviceListener.Close()
	failed := make(chan error, 2)
	go func() { failed <- admit(ctx, network, guestListener, stack.MTU) }()
	go func() {
		server := http.Server{Handler: network.ServicesMux(), ReadHeaderTimeout: 10 * time.Second}
		failed <- server.Serve(serviceListener)
	}()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		log.Print("stopped")
		return nil
	}
}

func listen(url string) (net.Listener, error) {
	listener, err := transport.Listen(url)
	if err != nil {
		return nil, fmt.Errorf("cannot listen at %q: %w", url, err)
	}
	log.Printf("listening at %s", url)
	return listener, nil
}

// admit joins every guest that connects to the network.
func admit(ctx context.Context, network *virtualnetwork.VirtualNetwork, listener net.Listener, mtu int) error {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		if reason := refusal(conn.RemoteAddr()); reason != "" {
			log.Printf("refused, since %s: %v", reason, conn.RemoteAddr())
			conn.Close()
			continue
		}
		log.Printf("a guest joins: %v", conn.RemoteAddr())
		// How it ended is logged by the switch.
		go func() { _ = network.AcceptStdio(ctx, newGuest(conn, mtu)) }()
	}
}

// refusal tells why a connection is nobody's who may join. Guests have the vsock address that a launch plan gives, in
// the folder SOVEREIGN_SERVICES where the launcher names it: an option would end one from before, which the launcher may
// go back to. Of a guest, root alone may join: its kernel gives the ports below 1024 to nobody else. What comes over a
// unix socket has neither address nor port; whoever can open that file is trusted.
func refusal(peer net.Addr) string {
	address, ok := peer.(*vsock.Addr)
	if !ok {
		return ""
	}
	if address.Port >= 1024 {
		return "no guest's root"
	}
	services := os.Getenv("SOVEREIGN_SERVICES")
	if services != "" && !plans.GiveCID(os.DirFS(services), address.ContextID) {
		return "no guest of this device"
	}
	return ""
}

// readConfig reads what gvisor-tap-vsock's own program calls stack. A key that it does not know is an error.
func readConfig(path string) (*types.Configuration, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var config struct {
		Stack types.Configuration `yaml:"stack"`
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&config); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if config.Stack.Subnet == "" || config.Stack.GatewayIP == "" || config.Stack.MTU == 0 {
		return nil, errors.New(path + ": subnet, gatewayIP and mtu are needed")
	}
	return &config.Stack, nil
}
