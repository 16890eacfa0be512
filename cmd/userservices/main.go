// Command userservices runs User Services: the app in which people link a card
// or an authenticator and change their password. Its settings file is described
// in config.go.
//
//	userservices -config /etc/portti/userservices.yaml
//	userservices -check -config …   looks at the settings and starts nothing
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/portti-id/portti/internal/config"
	"github.com/portti-id/portti/internal/userservices"
	"github.com/portti-id/portti/internal/web"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch err := run(ctx, os.Args[1:], os.Stderr); {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "userservices:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends. Whatever is wrong with the settings it says before
// it listens.
func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("userservices", flag.ContinueOnError)
	flags.SetOutput(out)
	file := flags.String("config", "/etc/portti/userservices.yaml", "settings `file`")
	check := flags.Bool("check", false, "look at the settings, and start nothing")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	var c Config
	if err := config.Load(*file, &c); err != nil {
		return err
	}
	log := newLog(c.Log, out)
	certificate, err := c.tls(log)
	if err != nil {
		return err
	}
	app, err := c.app(ctx, log)
	if err != nil || *check {
		return err
	}
	l, err := web.Listen(c.Listen.Address)
	if err != nil {
		return fmt.Errorf("setting listen.address: %w", err)
	}
	log.InfoContext(ctx, "ready", "address", l.Addr().String(), "tls", certificate != nil, "url", c.URL.String(), "issuer", c.Issuer.String())
	err = web.Serve(ctx, l, app.Handler(), certificate, log)
	log.InfoContext(ctx, "stopped")
	return err
}

func newLog(c Log, to io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.Level}
	if c.Format == "text" {
		return slog.New(slog.NewTextHandler(to, options))
	}
	return slog.New(slog.NewJSONHandler(to, options))
}

// app makes the app of the settings.
func (c *Config) app(ctx context.Context, log *slog.Logger) (*userservices.Pages, error) {
	secret, err := c.ClientSecretFile.Read()
	if err != nil {
		return nil, fmt.Errorf("setting client_secret_file: %w", err)
	}
	client, err := c.client()
	if err != nil {
		return nil, err
	}
	return userservices.New(ctx, userservices.Config{
		URL: c.URL.String(), Issuer: c.Issuer.String(), ClientID: c.ClientID, ClientSecret: secret, CardHost: c.CardHost, ACRPrefix: c.ACRPrefix,
		Brand: c.Brand, Account: c.Account, SupportPhone: c.SupportPhone, Proxies: c.Listen.Proxies, Forwarded: c.Listen.ForwardedHeader, HTTPClient: client, Log: log,
		Footer: web.Footer{Accessibility: c.Footer.Accessibility.String(), Privacy: c.Footer.Privacy.String(), Feedback: c.Footer.Feedback.String()},
	})
}

// tls is nil without a certificate: the program then speaks plain http.
func (c *Config) tls(log *slog.Logger) (*tls.Config, error) {
	if c.Listen.CertificateFile == "" {
		return nil, nil
	}
	certificate, err := web.LoadCertificate(string(c.Listen.CertificateFile), string(c.Listen.KeyFile), log)
	if err != nil {
		return nil, fmt.Errorf("setting listen.certificate_file: %w", err)
	}
	return certificate.Config(), nil
}

// client reaches the provider, with the CAs of ca_file beside the system's.
func (c *Config) client() (*http.Client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DialContext = dial
	if c.CAFile != "" {
		pem, err := os.ReadFile(string(c.CAFile))
		if err != nil {
			return nil, fmt.Errorf("setting ca_file: %w", err)
		}
		pool, err := x509.SystemCertPool()
		if err != nil {
			return nil, fmt.Errorf("the system's CAs: %w", err)
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("setting ca_file: %s holds no certificate in PEM", c.CAFile)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}, nil
}

// dial finds names under localhost on this machine, as browsers do (RFC 6761
// §6.3); not every resolver does.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err == nil && strings.HasSuffix(host, ".localhost") {
		address = net.JoinHostPort("localhost", port)
	}
	d := net.Dialer{Timeout: 5 * time.Second}
	return d.DialContext(ctx, network, address)
}
