// Gvproxy is the network that the guests of one device share, from gvisor-tap-vsock's own parts.
//
// The program of that name in gvisor-tap-vsock serves its whole API to every guest, beside /connect and at port 80 of
// the gateway. Who can ask there makes the device open any port and remove any file, as root on a phone. This one gives
// guests /connect and nothing else. It also leads no address to the device's loopback unless it is told to, and ends
// with a status other than 0 where it failed.
//
// Usage: gvproxy -config FILE -listen URL -services URL
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
	"gopkg.in/yaml.v3"
)

func main() {
	log.SetFlags(log.LstdFlags | log.LUTC)
	config := flag.String("config", "", "YAML `file` with the network under the key stack")
	guests := flag.String("listen", "", "`URL` where guests connect: vsock://:PORT or unix://PATH")
	services := flag.String("services", "", "`URL` of the API for the device itself: unix://PATH")
	flag.Parse()
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
	failed := make(chan error, 2)
	// The API last: where it answers, guests can connect.
	for _, served := range []struct {
		url     string
		handler http.Handler
	}{{guests, connectOnly(network.Mux())}, {services, network.ServicesMux()}} {
		listener, err := transport.Listen(served.url)
		if err != nil {
			return fmt.Errorf("cannot listen at %s: %w", served.url, err)
		}
		defer listener.Close()
		log.Printf("listening at %s", served.url)
		go func() { failed <- serve(listener, served.handler) }()
	}
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		log.Print("stopped")
		return nil
	}
}

func serve(listener net.Listener, handler http.Handler) error {
	server := http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	return server.Serve(listener)
}

// connectOnly lets a guest join the network and ask for nothing else.
func connectOnly(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != types.ConnectPath {
			http.NotFound(w, r)
			return
		}
		handler.ServeHTTP(w, r)
	})
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
	if config.Stack.Subnet == "" || config.Stack.GatewayIP == "" {
		return nil, errors.New(path + ": subnet and gatewayIP are needed")
	}
	// What guests speak after /connect.
	config.Stack.Protocol = types.HyperKitProtocol
	return &config.Stack, nil
}
