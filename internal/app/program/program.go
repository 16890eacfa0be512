// Package program is what the programs of our apps share: the settings that each
// has, and the life of the process.
//
//	program.go     Run: read the settings, check them, serve until told to stop
//	settings.go    Settings, with what stands beside each field as its manual
package program

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
	"github.com/portti-id/portti/internal/web"
)

// Program is one of our apps as a process.
type Program struct {
	Name     string                       // of the command: userservices
	File     string                       // the settings file, unless -config says otherwise
	Settings interface{ own() *Settings } // to read the file into: a struct that embeds Settings

	// Make makes the app of the settings. It starts nothing.
	Make func(ctx context.Context, log *slog.Logger) (http.Handler, error)
}

func (s *Settings) own() *Settings { return s }

// Main runs the program until it is told to stop, and ends the process when it
// could not.
func (p Program) Main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch err := p.Run(ctx, os.Args[1:], os.Stderr); {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, p.Name+":", err)
		os.Exit(1)
	}
}

// Run serves until ctx ends. Whatever is wrong with the settings it says before
// it listens.
func (p Program) Run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet(p.Name, flag.ContinueOnError)
	flags.SetOutput(out)
	file := flags.String("config", p.File, "settings `file`")
	check := flags.Bool("check", false, "look at the settings, and start nothing")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if err := config.Load(*file, p.Settings); err != nil {
		return err
	}
	s := p.Settings.own()
	log := newLog(s.Log, out)
	certificate, err := s.tls(log)
	if err != nil {
		return err
	}
	handler, err := p.Make(ctx, log)
	if err != nil || *check {
		return err
	}
	l, err := web.Listen(s.Listen.Address)
	if err != nil {
		return fmt.Errorf("setting listen.address: %w", err)
	}
	log.InfoContext(ctx, "ready", "address", l.Addr().String(), "tls", certificate != nil, "url", s.URL.String(), "issuer", s.Issuer.String())
	err = web.Serve(ctx, l, handler, certificate, log)
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

// Secret is the client secret.
func (s *Settings) Secret() (string, error) {
	secret, err := s.ClientSecretFile.Read()
	if err != nil {
		return "", fmt.Errorf("setting client_secret_file: %w", err)
	}
	return secret, nil
}

// Links are the addresses of the footer.
func (f Footer) Links() web.Footer {
	return web.Footer{Accessibility: f.Accessibility.String(), Privacy: f.Privacy.String(), Feedback: f.Feedback.String()}
}

// tls is nil without a certificate: the program then speaks plain http.
func (s *Settings) tls(log *slog.Logger) (*tls.Config, error) {
	if s.Listen.CertificateFile == "" {
		return nil, nil
	}
	certificate, err := web.LoadCertificate(string(s.Listen.CertificateFile), string(s.Listen.KeyFile), log)
	if err != nil {
		return nil, fmt.Errorf("setting listen.certificate_file: %w", err)
	}
	return certificate.Config(), nil
}

// Client reaches the provider, with the CAs of ca_file beside the system's.
func (s *Settings) Client() (*http.Client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DialContext = dial
	if s.CAFile != "" {
		pem, err := os.ReadFile(string(s.CAFile))
		if err != nil {
			return nil, fmt.Errorf("setting ca_file: %w", err)
		}
		pool, err := x509.SystemCertPool()
		if err != nil {
			return nil, fmt.Errorf("the system's CAs: %w", err)
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("setting ca_file: %s holds no certificate in PEM", s.CAFile)
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
