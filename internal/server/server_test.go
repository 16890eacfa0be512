package server_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/keys"
	"github.com/portti-id/portti/internal/mail"
	"github.com/portti-id/portti/internal/server"
)

// TestRoutes: what routes.go promises is there, and what is not there says so
// on a page of ours.
func TestRoutes(t *testing.T) {
	r := start(t, embedded(t))
	for path, want := range map[string]int{
		"/.well-known/openid-configuration":       http.StatusOK,
		"/.well-known/oauth-authorization-server": http.StatusOK,
		"/jwks":               http.StatusOK,
		"/userinfo":           http.StatusUnauthorized,
		"/token":              http.StatusMethodNotAllowed,
		authorize:             http.StatusSeeOther,
		"/":                   http.StatusOK,
		"/signin/none":        http.StatusGone, // the restart page (S68)
		"/end_session":        http.StatusOK,
		"/api/v1/me":          http.StatusUnauthorized,
		"/healthz":            http.StatusOK,
		"/readyz":             http.StatusOK,
		"/nothing":            http.StatusNotFound,
		"/static/nothing.css": http.StatusNotFound,
	} {
		a := r.get(path)
		if a.status != want {
			t.Errorf("GET %s: %d, want %d", path, a.status, want)
		}
		if a.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("GET %s: no security headers", path)
		}
	}
}

// TestRunDeliversAndStops: letters leave while it runs, and when it returns
// nothing of it is left at work.
func TestRunDeliversAndStops(t *testing.T) {
	desk := &desk{}
	r := start(t, embedded(t), func(_ *server.Config, d *server.Deps) { d.Carrier = desk })
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { r.Run(ctx) })
	eventually(t, func() bool { return desk.has(r.password) })
	stop()
	running.Wait() // a goroutine that stays makes this test time out
}

// desk takes letters.
type desk struct {
	mu      sync.Mutex
	letters []mail.Message
}

func (d *desk) Deliver(_ context.Context, m mail.Message) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.letters = append(d.letters, m)
	return nil
}

func (d *desk) has(text string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, l := range d.letters {
		if l.To == "aino@kuntala.example" && strings.Contains(l.Body, text) {
			return true
		}
	}
	return false
}

// TestNewRefuses what would be half a provider.
func TestNewRefuses(t *testing.T) {
	host, err := card.ParseHost("https://*.card.example")
	if err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string]func(c *server.Config, d *server.Deps){
		"no store":                   func(_ *server.Config, d *server.Deps) { d.Store = nil },
		"no keys":                    func(_ *server.Config, d *server.Deps) { d.Keys = nil },
		"no ephemeral store":         func(_ *server.Config, d *server.Deps) { d.Ephemeral = nil },
		"no master key":              func(_ *server.Config, d *server.Deps) { d.Master = nil },
		"no brand":                   func(c *server.Config, _ *server.Deps) { c.Brand = "" },
		"http in the open":           func(c *server.Config, _ *server.Deps) { c.Issuer = "http://id.example.fi" },
		"a card host without trust":  func(c *server.Config, _ *server.Deps) { c.CardHost = &host },
		"account of another brand":   func(c *server.Config, _ *server.Deps) { c.Account = "Other-1 TOTP-2FA" },
		"a short minimum":            func(c *server.Config, _ *server.Deps) { c.MinPassword = 6 },
		"an alias for nothing":       func(c *server.Config, _ *server.Deps) { c.ACRAliases = map[string]string{"gold": "silver"} },
		"a blocklist that is absent": func(c *server.Config, _ *server.Deps) { c.Blocklists = []string{"absent.txt"} },
	} {
		b := embedded(t)
		c := server.Config{Issuer: "https://id.example.fi", Brand: "Portti", Passwords: cheap, Keys: keys.Options{Kinds: []keys.Kind{keys.RSA2048}}}
		d := server.Deps{Store: b.store, Keys: b.keys, Ephemeral: b.ephemeral, Master: b.master}
		edit(&c, &d)
		if _, err := server.New(t.Context(), c, d); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestTheWrongMasterKeyIsNoticedAtStart, and not at the first sign-in.
func TestTheWrongMasterKeyIsNoticedAtStart(t *testing.T) {
	b := embedded(t)
	start(t, b)
	_, err := server.New(t.Context(), server.Config{Issuer: "https://id.example.fi", Brand: "Portti", Passwords: cheap},
		server.Deps{Store: b.store, Keys: b.keys, Ephemeral: b.ephemeral, Master: newMaster(t)})
	if err == nil || !strings.Contains(err.Error(), "not among the master keys") {
		t.Errorf("another master key: %v", err)
	}
}
