package main

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/portti-id/portti/internal/config"
	"github.com/portti-id/portti/internal/mail"
)

// gateway is a server that takes text messages, as an operator of phones has one: what
// the provider posts to it lands on the desk.
type gateway struct {
	pocket *pocket
	secret string
}

// gateway opens one, and returns the provider's way to it.
func (d *Demo) gateway(data string) (*mail.Gateway, error) {
	secret, file := rand.Text(), filepath.Join(data, "gateway.secret")
	if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
		return nil, err
	}
	g := &mail.Gateway{Secret: config.SecretFile(file), Private: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Timeout: 5 * time.Second}
	var err error
	if g.URL, err = config.ParseURL(d.Origin("gateway") + "/messages"); err != nil {
		return nil, err
	}
	var problems config.Problems
	g.Check(&problems)
	if err := problems.Err("the demo's gateway"); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("POST /messages", &gateway{d.pocket, secret})
	d.parts.Store("gateway", http.Handler(mux))
	return g, nil
}

// ServeHTTP takes a message as mail.Gateway writes it.
func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte("Bearer "+g.secret)) != 1 {
		http.Error(w, "This gateway is the provider's.", http.StatusUnauthorized)
		return
	}
	var m struct{ ID, Text, To string }
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 16<<10)).Decode(&m); err != nil || m.ID == "" || m.Text == "" || !mail.Number.MatchString(m.To) {
		http.Error(w, "This is no message.", http.StatusUnprocessableEntity)
		return
	}
	who, _ := personAt(m.To) // a phone knows its owner's language
	if err := g.pocket.Deliver(r.Context(), mail.Message{ID: m.ID, To: m.To, Body: m.Text, Language: who.Language}); err != nil {
		http.Error(w, "Try again.", http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
