package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/portti-id/portti/internal/keys/pkcs11"
	"github.com/portti-id/portti/internal/server"
	"github.com/portti-id/portti/internal/server/settings"
	"github.com/portti-id/portti/internal/web"
)

// startLimit bounds the opening of database and Redis, migrations included.
const startLimit = 2 * time.Minute

// stopLimit is how long running requests and handshakes may take after the
// signal to stop.
const stopLimit = 15 * time.Second

// serve is the provider from start to stop. Whatever is missing ends it before
// the first request is taken.
func serve(ctx context.Context, file string, errs io.Writer) (err error) {
	s, err := settings.Load(file)
	if err != nil {
		return err
	}
	log := newLog(s.Log, errs)
	slog.SetDefault(log) // for what libraries have to say
	f, err := readFiles(s, log)
	if err != nil {
		return err
	}
	// The ports first: whoever starts a second provider by mistake must not get
	// as far as the database.
	lines, err := listen(s)
	if err != nil {
		return err
	}
	defer func() { lines.close() }()

	opening, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	db, err := openStore(opening, s, f.master)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	shortLived, err := openEphemeral(opening, s, f)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, shortLived.Close()) }()
	c := serverConfig(s, f)
	if s.Keys.PKCS11 != nil {
		token, err := pkcs11.Open(tokenConfig(s.Keys.PKCS11, log))
		if err != nil {
			return fmt.Errorf("setting keys.pkcs11: %w", err)
		}
		defer func() { err = errors.Join(err, token.Close()) }()
		c.Keys.Token = token
	}
	provider, err := server.New(opening, c, server.Deps{Store: db, Keys: db.Keys(), Ephemeral: shortLived, Master: f.master,
		Carrier: f.carrier, Gateway: f.gateway, Trust: f.trust.Trust, TrustState: f.trust.State, Log: log})
	if err != nil {
		return assembling(err)
	}
	if provider.Door != nil {
		if f.cardCertificate != nil {
			provider.Door.Certificate = f.cardCertificate.Config().GetCertificate
		}
		provider.Door.Proxy, provider.Door.Balancers = f.cardGate, s.Card.ProxyProtocol
		provider.Door.MaxConns, provider.Door.MaxConnsPerAddress = s.Card.MaxConnections, s.Card.MaxConnectionsPerAddress
	}
	for _, w := range warnings(s, f, time.Now()) {
		log.Warn("settings", "note", w)
	}
	return work(ctx, provider, lines, f, log)
}

// assembling names the setting behind the one failure that comes this late: the
// database is there, and so is a master key, but not the one that it needs.
func assembling(err error) error {
	if strings.Contains(err.Error(), "master keys") {
		return fmt.Errorf("setting master_key_file: what is in the database was encrypted with a key that is not in the file: %w", err)
	}
	return err
}

// work serves until ctx ends or a listener fails. Background work goes on until
// the last request is answered.
func work(ctx context.Context, provider *server.Server, lines *listeners, f *files, log *slog.Logger) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	background, stopBackground := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBackground()

	var all sync.WaitGroup
	all.Go(func() { provider.Run(background) })
	if f.trust != nil {
		all.Go(func() { f.trust.Run(background) })
	}
	var config *tls.Config
	if f.certificate != nil {
		config = f.certificate.Config()
	}
	serving := []func() error{func() error { return web.Serve(ctx, lines.pages, provider.Handler(), config, log) }}
	if provider.Door != nil {
		serving = append(serving, func() error { return serveCards(ctx, provider, lines.cards) })
	}
	if lines.mtls != nil {
		serving = append(serving, func() error {
			return web.Serve(ctx, lines.mtls, provider.MTLSHandler(), f.mtlsCertificate.Asking(), log)
		})
	}
	if lines.metrics != nil {
		serving = append(serving, func() error { return web.Serve(ctx, lines.metrics, provider.Metrics(), nil, log) })
	}
	ended := make(chan error, len(serving))
	for _, serve := range serving {
		go func() { ended <- serve() }()
	}
	attrs := []any{"address", lines.pages.Addr().String(), "tls", config != nil}
	if lines.cards != nil {
		attrs = append(attrs, "card_address", lines.cards.Addr().String())
	}
	if lines.mtls != nil {
		attrs = append(attrs, "mtls_address", lines.mtls.Addr().String())
	}
	if lines.metrics != nil {
		attrs = append(attrs, "metrics_address", lines.metrics.Addr().String())
	}
	log.Info("ready", attrs...)

	var err error
	for range serving {
		err = errors.Join(err, <-ended)
		stop() // the first that ends ends the rest
	}
	stopBackground()
	all.Wait()
	log.Info("stopped")
	return err
}

// listeners are the open ports.
type listeners struct {
	pages net.Listener
	cards net.Listener // nil without a card host
	mtls  net.Listener // nil where services show no certificates

	metrics net.Listener // nil where nothing tells how it goes
}

func listen(s *settings.Settings) (*listeners, error) {
	l := &listeners{}
	var err error
	if l.pages, err = web.Listen(s.Listen.Address); err != nil {
		return nil, fmt.Errorf("setting listen.address: %w", err)
	}
	if s.Card != nil {
		if l.cards, err = web.Listen(s.Card.Address); err != nil {
			l.close()
			return nil, fmt.Errorf("setting card.address: %w", err)
		}
	}
	if s.MTLS != nil {
		if l.mtls, err = web.Listen(s.MTLS.Address); err != nil {
			l.close()
			return nil, fmt.Errorf("setting mtls.address: %w", err)
		}
	}
	if s.Metrics != nil {
		if l.metrics, err = web.Listen(s.Metrics.Address); err != nil {
			l.close()
			return nil, fmt.Errorf("setting metrics.address: %w", err)
		}
	}
	return l, nil
}

// close is for what no server has closed yet.
func (l *listeners) close() {
	for _, one := range []net.Listener{l.pages, l.cards, l.mtls, l.metrics} {
		if one != nil {
			_ = one.Close() // closed already, mostly
		}
	}
}

func serveCards(ctx context.Context, provider *server.Server, l net.Listener) error {
	s := provider.Door.Server()
	failed := make(chan error, 1)
	go func() {
		if l := provider.Door.Listener(l); s.TLSConfig != nil {
			failed <- s.ServeTLS(l, "", "")
		} else {
			failed <- s.Serve(l)
		}
	}()
	select {
	case err := <-failed:
		return fmt.Errorf("card host: %w", err)
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
	defer cancel()
	if err := s.Shutdown(last); err != nil && !errors.Is(err, http.ErrServerClosed) {
		_ = s.Close() // somebody is still choosing a card: the next replica asks again
	}
	return nil
}
