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
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/portti-id/portti/cmd/demoservice/service"
	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/cardlab"
	"github.com/portti-id/portti/internal/cardtest"
	"github.com/portti-id/portti/internal/console"
	"github.com/portti-id/portti/internal/ephemeral"
	"github.com/portti-id/portti/internal/keys"
	"github.com/portti-id/portti/internal/mail"
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
	Listen         string // the address of this machine to listen on; "": 127.0.0.1
	Port, CardPort int
	Data           string // a folder to keep, "" for one that goes with the demo
	Log            *slog.Logger
}

// Demo is a running demo.
type Demo struct {
	port, cardPort int
	parts          sync.Map // the first label of a host name → http.Handler
	pocket         *pocket
	lab            *cardlab.Lab
	opened         []func() error
	stop           context.CancelFunc
	running        sync.WaitGroup
	failed         chan error // of the two servers
	stopped        chan struct{}
	err            error
}

// Start puts the parts together and returns when all of them answer. The demo
// runs until ctx ends; Wait waits for that.
func Start(ctx context.Context, o Options) (*Demo, error) {
	o.Listen, o.Log = cmp.Or(o.Listen, "127.0.0.1"), cmp.Or(o.Log, slog.Default())
	pages, err := listen(o.Listen, o.Port, "port")
	if err != nil {
		return nil, err
	}
	cards, err := listen(o.Listen, o.CardPort, "card-port")
	if err != nil {
		return nil, errors.Join(err, pages.Close())
	}
	d := &Demo{port: pages.Addr().(*net.TCPAddr).Port, cardPort: cards.Addr().(*net.TCPAddr).Port, failed: make(chan error, 2), stopped: make(chan struct{})}
	ctx, d.stop = context.WithCancel(ctx)
	if err := d.start(ctx, o, pages, cards); err != nil {
		d.stop()
		d.running.Wait()
		_, _ = pages.Close(), cards.Close() // the servers may have closed them
		return nil, errors.Join(err, d.close())
	}
	go func() {
		err := <-d.failed // the first that ends ends the rest
		d.stop()
		err = errors.Join(err, <-d.failed)
		d.running.Wait()
		d.err = errors.Join(err, d.close())
		close(d.stopped)
	}()
	return d, nil
}

// close closes what was opened, the last first.
func (d *Demo) close() error {
	var errs []error
	for _, f := range slices.Backward(d.opened) {
		errs = append(errs, f())
	}
	return errors.Join(errs...)
}

// listen opens a port, and names the flag that chooses another one.
func listen(host string, port int, flag string) (net.Listener, error) {
	l, err := web.Listen(net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return nil, fmt.Errorf("%w\nChoose another port with --%s", err, flag)
	}
	return l, nil
}

// Origin is where a part of the demo is: "id", "services", "console",
// "service", "records", "desk", "lab" or "gateway".
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

// start opens everything and lets it run.
func (d *Demo) start(ctx context.Context, o Options, pages, cards net.Listener) error {
	data, err := d.folder(o.Data)
	if err != nil {
		return err
	}
	if err := d.cards(o.Listen, data); err != nil {
		return err
	}
	master, err := masterKey(filepath.Join(data, "master.key"))
	if err != nil {
		return err
	}
	db, err := store.Open(ctx, store.Config{Path: filepath.Join(data, "portti.db")}, store.Deps{Seal: master.Seal, Marker: master})
	if err != nil {
		return err
	}
	d.opened = append(d.opened, db.Close)
	texts, err := d.gateway(data)
	if err != nil {
		return err
	}
	provider, err := d.provider(ctx, o, db, master, texts)
	if err != nil {
		return err
	}
	if err := seed(ctx, provider.Directory, db, d.pocket); err != nil {
		return fmt.Errorf("seed: %w", err)
	}
	d.parts.Store("id", provider.Handler())
	d.parts.Store("lab", cardlab.NewSite(d.lab, "", true))
	desk, err := d.desk(o.Log)
	if err != nil {
		return err
	}
	d.parts.Store("desk", desk)

	d.running.Go(func() { provider.Run(ctx) })
	d.running.Go(func() { d.failed <- web.Serve(ctx, pages, d.byName(), nil, o.Log) })
	d.running.Go(func() { d.failed <- serveCards(ctx, provider.Door, cards) })
	return d.apps(ctx, o, db) // they look for the provider when they start
}

// cards makes everybody's cards and those of the lab, and the trust in them.
func (d *Demo) cards(listen, data string) error {
	folder := filepath.Join(data, "cards")
	base := "http://" + net.JoinHostPort(reachable(listen), strconv.Itoa(d.port)) + cardlab.Prefix
	pki, err := cardtest.LoadOrNewAt(folder, base, time.Now())
	if errors.Is(err, cardtest.ErrFormer) {
		return fmt.Errorf("%w\nIts people are linked to cards that are not accepted any more. Delete the folder %s, or choose another with --data", err, data)
	}
	if err != nil {
		return fmt.Errorf("virtual cards: %w", err)
	}
	pki.MoveTo(base) // the port may be another than last time
	if d.pocket, err = openPocket(data, pki); err != nil {
		return err
	}
	keep := func() error { return pki.Save(folder) }
	if d.lab, err = cardlab.New(pki, time.Now, keep); err != nil {
		return fmt.Errorf("card lab: %w", err)
	}
	return errors.Join(keep(), pki.SaveTrust(d.trustFolder()))
}

func (d *Demo) trustFolder() string { return cardlab.TrustFolder(filepath.Dir(d.pocket.file)) }

// reachable is the address by which this machine calls what listens there. Not
// lab.localhost: not every resolver knows such names.
func reachable(listen string) string {
	if a, err := netip.ParseAddr(listen); err == nil && !a.IsUnspecified() {
		return listen
	}
	return "127.0.0.1"
}

// folder is where everything lies: that of --data, or one that goes with the demo.
func (d *Demo) folder(data string) (string, error) {
	if data != "" {
		if err := os.MkdirAll(data, 0o700); err != nil {
			return "", fmt.Errorf("--data: %w", err)
		}
		return data, d.writeSettings(data)
	}
	data, err := os.MkdirTemp("", "portti-demo-")
	if err != nil {
		return "", fmt.Errorf("make a folder for the demo: %w", err)
	}
	d.opened = append(d.opened, func() error { return os.RemoveAll(data) })
	return data, nil
}

// writeSettings lets porttictl work on a folder that is kept:
// porttictl --config FOLDER/portti.yaml.
func (d *Demo) writeSettings(data string) error {
	data, err := filepath.Abs(data)
	if err != nil {
		return err
	}
	settings := fmt.Sprintf("# For porttictl. The demo writes it at each start.\nissuer: %s\nbrand: %s\nsupport_phone: %q\nmaster_key_file: %q\ndatabase:\n  driver: sqlite\n  path: %q\nuser_services:\n  url: %s\n",
		d.Origin("id"), brand, support, filepath.Join(data, "master.key"), filepath.Join(data, "portti.db"), d.Origin("services"))
	return os.WriteFile(filepath.Join(data, "portti.yaml"), []byte(settings), 0o600)
}

// provider assembles the provider, with letters that go to the mailbox, text messages
// that go there through the gateway, and trust in the demo's own cards alone. Whether they were revoked the lab tells, over
// HTTP, as CAs do.
func (d *Demo) provider(ctx context.Context, o Options, db *store.Store, master *keys.Master, texts mail.Carrier) (*server.Server, error) {
	memory := ephemeral.NewMemory(time.Now)
	d.opened = append(d.opened, memory.Close)
	trust, err := card.OpenBundle(d.trustFolder(), true, time.Now(), o.Log)
	if err != nil {
		return nil, fmt.Errorf("card trust: %w", err)
	}
	d.running.Go(func() { trust.Run(ctx) })
	host, err := card.ParseHost(d.cardOrigin())
	if err != nil {
		return nil, err
	}
	certificate, err := d.pocket.pki.ServerCertificate("card.localhost")
	if err != nil {
		return nil, err
	}
	s, err := server.New(ctx, server.Config{
		Issuer: d.Origin("id"), Brand: brand, SupportPhone: support, UserServices: server.UserServices{URL: d.Origin("services")}, CardHost: &host,
		Keys:         keys.Options{SignFor: 90 * 24 * time.Hour},
		LettersEvery: time.Second, Outgoing: openid.Outgoing{AllowHosts: []string{"services.localhost", "console.localhost", "service.localhost", "records.localhost"}},
	}, server.Deps{Store: db, Keys: db.Keys(), Ephemeral: memory, Master: master, Carrier: d.pocket, Gateway: texts, Trust: trust.Trust, Log: o.Log})
	if err != nil {
		return nil, err
	}
	s.Door.Certificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate, nil }
	return s, nil
}

// apps adds User Services, the Console and the two protected services, each as a client of
// its own.
func (d *Demo) apps(ctx context.Context, o Options, db *store.Store) error {
	secrets, err := registerClients(ctx, db, d.Origin)
	if err != nil {
		return fmt.Errorf("register clients: %w", err)
	}
	inside := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DialContext: dialHere, MaxIdleConnsPerHost: 8}}
	d.opened = append(d.opened, func() error { inside.CloseIdleConnections(); return nil })
	for _, name := range []string{"service", "records"} {
		client, err := db.Client(ctx, name)
		if err != nil {
			return err
		}
		app, err := service.New(service.Config{URL: d.Origin(name), Issuer: d.Origin("id"), ClientID: name, ClientSecret: secrets[name],
			Name: client.Name, HTTPClient: inside, Log: o.Log}) // the name that the login page says
		if err != nil {
			return err
		}
		d.parts.Store(name, app)
	}
	app, err := userservices.New(ctx, userservices.Config{URL: d.Origin("services"), Issuer: d.Origin("id"), ClientID: "user-services",
		ClientSecret: secrets["user-services"], CardHost: d.cardOrigin(), Brand: brand, SupportPhone: support, HTTPClient: inside, Log: o.Log})
	if err != nil {
		return err
	}
	d.parts.Store("services", app.Handler())
	admin, err := console.New(ctx, console.Config{URL: d.Origin("console"), Issuer: d.Origin("id"), ClientSecret: secrets["console"], Brand: brand, SupportPhone: support,
		HTTPClient: inside, Log: o.Log})
	if err != nil {
		return err
	}
	d.parts.Store("console", admin.Handler())
	return nil
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
func (d *Demo) byName() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		name, ours := strings.CutSuffix(host, ".localhost")
		if _, err := netip.ParseAddr(host); err == nil && strings.HasPrefix(r.URL.Path, cardlab.Prefix+"/") {
			name, ours = "lab", true // as the bundle names it
		}
		part, ok := d.parts.Load(name)
		switch {
		case ours && ok:
			part.(http.Handler).ServeHTTP(w, r)
		case host == "localhost", host == "127.0.0.1":
			http.Redirect(w, r, d.Origin("desk"), http.StatusSeeOther)
		default:
			http.Error(w, "The demo has no part of this name. Start at "+d.Origin("desk"), http.StatusMisdirectedRequest)
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
