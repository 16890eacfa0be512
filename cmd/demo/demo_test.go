package main

import (
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"strings"
	"testing"

	"github.com/portti-id/portti/internal/e2e/browser"
)

// begin starts a demo on free ports that ends with the test.
func begin(t *testing.T, data string) *Demo {
	t.Helper()
	d, err := Start(t.Context(), Options{Data: data, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return d
}

func surf(t *testing.T, d *Demo) *browser.Browser {
	t.Helper()
	return browser.Start(t, browser.Options{ServerCA: d.pocket.pki.Server.Cert, CardHosts: []string{"https://card.localhost:" + fmt.Sprint(d.cardPort)}})
}

var temporary = regexp.MustCompile(`(?m)^.*: ([A-Za-z0-9]{4}(?:-[A-Za-z0-9]{4})+)\s*$`)

// TestFirstDayWithAnAuthenticator plays Aino's story as the desk tells it, with
// nothing but what is on the desk (S13–S20, S37–S41).
func TestFirstDayWithAnAuthenticator(t *testing.T) {
	d := begin(t, "")
	b := surf(t, d)
	desk, tab := b.Tab(), b.Tab()

	desk.Open(d.Origin("desk") + "/?lang=en")
	desk.WaitFor("[href^='#letter-']")
	desk.Screenshot("desk")
	desk.Open(d.Origin("desk") + "/?lang=fi")
	desk.Screenshot("desk-fi")
	desk.Viewport(360, 800)
	desk.Screenshot("desk-narrow")
	desk.Viewport(1280, 900)
	desk.DarkMode(true)
	desk.Screenshot("desk-dark")
	desk.DarkMode(false)
	desk.Open(d.Origin("desk") + "/?lang=en")
	desk.MustBeAccessible()
	desk.Click("=Temporary password in Aino Alku's letter")
	password := temporary.FindStringSubmatch(desk.Text("pre:target"))
	if password == nil {
		t.Fatalf("no temporary password in %q", desk.Text("pre:target"))
	}

	tab.Open(d.Origin("service") + "/records/7")
	tab.Screenshot("login")
	tab.Fill("#username", "aino.alku")
	tab.Fill("#password", password[1])
	tab.Click("#login-submit")
	tab.Screenshot("change")
	tab.Fill("#new", ownPassword)
	tab.Fill("#repeat", ownPassword)
	tab.Click("#change-submit")
	tab.WaitURL(d.Origin("services"))
	tab.Screenshot("choose")
	tab.Click("#link-authenticator")
	tab.Click("#kind-app")
	tab.Click("#own_device")
	tab.Click("#personal_phone")
	tab.Click("#authenticator-start")
	tab.Screenshot("key")

	desk.Fill("#key", tab.Text("#key"))
	desk.Click("#add")
	desk.Screenshot("desk-with-key")
	code := func() string { return desk.Text("#accounts li:last-child .live") }
	first := code()
	tab.Fill("#code", first)
	tab.Click("#code-submit")
	tab.WaitURL(d.Origin("id"))
	tab.Screenshot("code")
	tab.Fill("#code", nextCode(t, desk, first))
	tab.Click("#code-submit")
	tab.WaitURL(d.Origin("service") + "/records/7")
	tab.Screenshot("record")
	if got := tab.Text("#acr"); got != "urn:portti:acr:pwd-otp" {
		t.Errorf("acr %q", got)
	}
}

// nextCode waits for the step after that of a code that was used.
func nextCode(t *testing.T, desk *browser.Tab, used string) string {
	t.Helper()
	desk.WaitFor("#accounts li:last-child .live") // it changes by itself
	var fresh string
	desk.Eval(fmt.Sprintf(`new Promise(done => { const look = () => { const c = [...document.querySelectorAll(".live")].at(-1).textContent; c === %q ? setTimeout(look, 200) : done(c); }; look(); })`, used), &fresh)
	return strings.TrimSpace(fresh)
}
