package userservices

import (
	"net/http"
	"strings"
	"testing"
)

func TestBadSettingsAreNamed(t *testing.T) {
	good := Config{URL: "https://services.example.fi", Issuer: "http://127.0.0.1:1", Brand: "Portti"}
	if _, err := New(t.Context(), good); err != nil {
		t.Fatal(err)
	}
	for want, edit := range map[string]func(c *Config){
		"brand":      func(c *Config) { c.Brand = "" },
		"public URL": func(c *Config) { c.URL = "http://services.example.fi" },
		"use scheme": func(c *Config) { c.URL = "https://services.example.fi/path" },
		"issuer":     func(c *Config) { c.Issuer = "id.example.fi" },
		"Issuer":     func(c *Config) { c.Issuer = "http://id.example.fi" },
		"card host":  func(c *Config) { c.CardHost = "card.example.fi" },
		"forwarding": func(c *Config) { c.Forwarded = "X-Real-IP" },
	} {
		c := good
		edit(&c)
		if _, err := New(t.Context(), c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// The probe needs nobody signed in, and tells nothing.
func TestProbe(t *testing.T) {
	k := newKit(t)
	page := k.browser().get("/healthz").want(200, "/healthz")
	if page.body != `{"process":true}` || page.header.Get("Set-Cookie") != "" {
		t.Errorf("%s %v", page.body, page.header)
	}
	if k.op.Counts().Authorize != 0 {
		t.Error("somebody was sent to sign in")
	}
}

func TestWhatIsNotThere(t *testing.T) {
	k := newKit(t)
	b := k.browser()
	b.get("/nowhere").want(404, "/nowhere", "error")
	b.get("/static/style.css").want(404, "/static/style.css", "error")
	b.get("/backchannel-logout").want(405, "/backchannel-logout", "error")
	for _, method := range []string{"PUT", "DELETE", "PATCH"} {
		if got := b.do(k.request(method, "/password")).status; got != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d", method, got)
		}
	}
	style := ""
	for n := range b.get("/signed-out").doc.Descendants() {
		if n.Data == "link" && attr(n, "rel") == "stylesheet" {
			style = attr(n, "href")
		}
	}
	b.get(style).want(200, style)
}
