package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/portti-id/portti/cmd/demoservice/service"
	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/cardtest"
	"github.com/portti-id/portti/internal/ephemeral"
	"github.com/portti-id/portti/internal/keys"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/server"
	"github.com/portti-id/portti/internal/store"
	"github.com/portti-id/portti/internal/userservices"
	"github.com/portti-id/portti/internal/web"
)

// Brand and help desk of the demo. They are invented.
const (
	brand   = "Portti"
	support = "020 000 0000"
)

// Options of a demo. Port and CardPort 0 mean any free port.
type Options struct {
	Port, CardPort int
	Data           string // a folder to keep, "" for one that goes with the demo
	Log            *slog.Logger
}

// Demo is a running demo.
type Demo struct {
	port, cardPort int
	stop           context.CancelFunc
	stopped        chan struct{}
	err            error
}

// Start puts the parts together and returns when all of them answer. The demo
// runs until ctx ends; Wait waits for that.
func Start(ctx context.Context, o Options) (*Demo, error) {
	o.Log = cmp.Or(o.Log, slog.Default())
	pages, err := listen(o.Port, "port")
	if err != nil {
		return nil, err
	}
	cards, err := listen(o.CardPort, "card-port")
	if err != nil {
		return nil, errors.Join(err, pages.Close())
	}
	ctx, cancel := context.WithCancel(ctx)
	d := &Demo{port: pages.Addr().(*net.TCPAddr).Port, cardPort: cards.Addr().(*net.TCPAddr).Port, stop: cancel, stopped: make(chan struct{})}
	closers, err := d.start(ctx, o, pages, cards)
	if err != nil {
		cancel()
		return nil, errors.Join(err, pages.Close(), cards.Close(), closers())
	}
	return d, nil
}

// listen opens a port of this machine alone, and names the flag that chooses
// another one.
func listen(port int, flag string) (net.Listener, error) {
	l, err := web.Listen(net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return nil, fmt.Errorf("%w\nChoose another one with --%s", err, flag)
	}
	return l, nil
}

// Origin is where a part of the demo is: "id", "services", "service", "records" or "desk".
func (d *Demo) Origin(name string) string {
	return "http://" + name + ".localhost:" + strconv.Itoa(d.port)
}

func (d *Demo) cardOrigin() string { return "https://card.localhost:" + strconv.Itoa(d.cardPort) }

// Stop ends the demo and waits for it.
func (d *Demo) Stop() error {
	d.stop()
	return d.Wait()
}

// Wait returns when the demo has stopped.
func (d *Demo) Wait() error {
	<-d.stopped
	return d.err
}

// start opens everything; the function it returns closes what was opened.
func (d *Demo) start(ctx context.Context, o Options, pages, cards net.Listener) (closeAll func() error, err error) {
	var opened []func() error
	closeAll = func() error {
		var err error
		for i := len(opened) - 1; i >= 0; i-- {
			err = errors.Join(err, opened[i]())
		}
		return err
	}
	data := o.Data
	if data == "" {
		if data, err = os.MkdirTemp("", "portti-demo-"); err != nil {
			return closeAll, fmt.Errorf("make a folder for the demo: %w", err)
		}
		opened = append(opened, func() error { return os.RemoveAll(data) })
	} else if err := os.MkdirAll(data, 0o700); err != nil {
		return closeAll, fmt.Errorf("--data: %w", err)
	}
	master, err := masterKey(filepath.Join(data, "master.key"))
	if err != nil {
		return closeAll, err
	}
	db, err := store.Open(ctx, store.Config{Path: filepath.Join(data, "portti.db")}, store.Deps{Seal: master.Seal})
	if err != nil {
		return closeAll, err
	}
	opened = append(opened, db.Close)
	memory := ephemeral.NewMemory(time.Now)
	opened = append(opened, memory.Close)
	pki, err := cardtest.LoadOrNew(filepath.Join(data, "cards"), time.Now())
	if err != nil {
		return closeAll, fmt.Errorf("virtual cards: %w", err)
	}
	trustConfig := cardtest.TrustConfig(filepath.Join(data, "cards"))
	trustConfig.AcceptWithoutRevocationCheck = true
	trust, err := card.NewTrust(trustConfig, time.Now())
	if err != nil {
		return closeAll, fmt.Errorf("card trust: %w", err)
	}
	host, err := card.ParseHost(d.cardOrigin())
	if err != nil {
		return closeAll, err
	}
	pocket, err := openPocket(data, pki)
	if err != nil {
		return closeAll, err
	}
	provider, err := server.New(ctx, server.Config{
		Issuer: d.Origin("id"), Brand: brand, SupportPhone: support, UserServices: server.UserServices{URL: d.Origin("services")}, CardHost: &host,
		LettersEvery: time.Second, Outgoing: openid.Outgoing{AllowHosts: []string{"services.localhost", "service.localhost", "records.localhost"}},
	}, server.Deps{Store: db, Keys: db.Keys(), Ephemeral: memory, Master: master, Carrier: pocket, Trust: trust, Log: o.Log})
	if err != nil {
		return closeAll, err
	}
	serverCertificate, err := pki.ServerCertificate("card.localhost")
	if err != nil {
		return closeAll, err
	}
	provider.Door.Certificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return serverCertificate, nil }
	if err := seed(ctx, provider.Directory, db, pocket); err != nil {
		return closeAll, fmt.Errorf("seed: %w", err)
	}
	handlers := map[string]http.Handler{"id": provider.Handler()}
	if err := d.apps(ctx, o, db, handlers); err != nil {
		return closeAll, err
	}
	if handlers["desk"], err = d.desk(pocket, o.Log); err != nil {
		return closeAll, err
	}

	var running sync.WaitGroup
	failed := make(chan error, 2)
	running.Go(func() { provider.Run(ctx) })
	running.Go(func() { failed <- web.Serve(ctx, pages, byName(handlers, d.Origin("desk")), nil, o.Log) })
	running.Go(func() { failed <- serveCards(ctx, provider.Door, cards) })
	go func() {
		err := <-failed // the first that ends ends the rest
		d.stop()
		d.err = errors.Join(err, <-failed)
		running.Wait()
		d.err = errors.Join(d.err, closeAll())
		close(d.stopped)
	}()
	return closeAll, nil
}

// apps adds User Services and the two protected services, each as a client of
// its own.
func (d *Demo) apps(ctx context.Context, o Options, db *store.Store, handlers map[string]http.Handler) error {
	secrets, err := registerClients(ctx, db, d.Origin)
	if err != nil {
		return fmt.Errorf("register clients: %w", err)
	}
	inside := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DialContext: dialHere, MaxIdleConnsPerHost: 8}}
	for _, name := range []string{"service", "records"} {
		handlers[name], err = service.New(service.Config{URL: d.Origin(name), Issuer: d.Origin("id"), ClientID: name, ClientSecret: secrets[name],
			HTTPClient: inside, Log: o.Log})
		if err != nil {
			return err
		}
	}
	handlers["services"], err = userservices.New(ctx, userservices.Config{URL: d.Origin("services"), Issuer: d.Origin("id"), ClientID: "user-services",
		ClientSecret: secrets["user-services"], Brand: brand, SupportPhone: support, HTTPClient: inside, Log: o.Log})
	return err
}

// dialHere leads every *.localhost name to this machine (RFC 6761 §6.3); not
// every resolver does.
func dialHere(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if !strings.HasSuffix(host, ".localhost") {
		return nil, fmt.Errorf("the demo calls nobody but itself, and %s is not it", host)
	}
	return (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
}

// byName leads a request to the part whose name it was sent to.
func byName(handlers map[string]http.Handler, start string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		name, ours := strings.CutSuffix(host, ".localhost")
		h, ok := handlers[name]
		switch {
		case ours && ok:
			h.ServeHTTP(w, r)
		case host == "localhost", host == "127.0.0.1":
			http.Redirect(w, r, start, http.StatusSeeOther)
		default:
			http.Error(w, "The demo has no part of this name. Start at "+start, http.StatusMisdirectedRequest)
		}
	})
}

func serveCards(ctx context.Context, door *card.Door, l net.Listener) error {
	s := door.Server()
	done := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer done()
	if err := s.ServeTLS(door.Listener(l), "", ""); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("card host: %w", err)
	}
	return nil
}

// masterKey reads the demo's master key, or makes it.
func masterKey(path string) (*keys.Master, error) {
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		if err := os.WriteFile(path, []byte(keys.GenerateMaster()+"\n"), 0o600); err != nil {
			return nil, fmt.Errorf("master key: %w", err)
		}
	}
	return keys.LoadMaster(path)
}
