// Command demoservice runs the protected service of package service by itself,
// to try a provider with it. Every setting is a flag or an environment variable:
//
//	DEMOSERVICE_LISTEN              -listen              127.0.0.1:8081
//	DEMOSERVICE_URL                 -url                 http://service.localhost:8081
//	DEMOSERVICE_ISSUER              -issuer              http://id.localhost:8080
//	DEMOSERVICE_CLIENT_ID           -client-id           service
//	DEMOSERVICE_CLIENT_SECRET_FILE  -client-secret-file  none: a public client
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/portti-id/portti/cmd/demoservice/service"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Getenv); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "demoservice:", err)
		}
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, env func(string) string) error {
	flags := flag.NewFlagSet("demoservice", flag.ContinueOnError)
	setting := func(name, fallback, usage string) *string {
		if v := env("DEMOSERVICE_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))); v != "" {
			fallback = v
		}
		return flags.String(name, fallback, usage)
	}
	var (
		listen     = setting("listen", "127.0.0.1:8081", "`address` to listen on")
		address    = setting("url", "http://service.localhost:8081", "where browsers find the service")
		issuer     = setting("issuer", "http://id.localhost:8080", "the identity provider")
		clientID   = setting("client-id", "service", "the `id` that the provider knows the service by")
		secretFile = setting("client-secret-file", "", "`file` with the client secret; none for a public client")
	)
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	var secret string
	if *secretFile != "" {
		raw, err := os.ReadFile(*secretFile)
		if err != nil {
			return fmt.Errorf("client-secret-file: %w", err)
		}
		if secret = strings.TrimSpace(string(raw)); secret == "" {
			return fmt.Errorf("client-secret-file: %s is empty", *secretFile)
		}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DialContext = dialLocalhost
	handler, err := service.New(service.Config{
		URL: *address, Issuer: *issuer, ClientID: *clientID, ClientSecret: secret,
		HTTPClient: &http.Client{Timeout: 10 * time.Second, Transport: transport},
	})
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	slog.InfoContext(ctx, "listening", "address", listener.Addr().String(), "url", *address, "issuer", *issuer)

	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 60 * time.Second, IdleTimeout: 2 * time.Minute}
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		stopped <- server.Shutdown(grace)
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return <-stopped
}

// dialLocalhost finds names under .localhost on this machine, as browsers do
// (RFC 6761 §6.3); not every resolver knows them.
func dialLocalhost(ctx context.Context, network, address string) (net.Conn, error) {
	if host, port, err := net.SplitHostPort(address); err == nil && strings.HasSuffix(host, ".localhost") {
		address = net.JoinHostPort("localhost", port)
	}
	return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, network, address)
}
