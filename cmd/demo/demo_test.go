package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/e2e/browser"
	"github.com/portti-id/portti/internal/keys"
	"github.com/portti-id/portti/internal/server/settings"
	"github.com/portti-id/portti/internal/store"
	"github.com/portti-id/portti/internal/totp"
)

func options(data string) Options {
	return Options{Data: data, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
}

// begin starts a demo on free ports that ends with the test.
func begin(t *testing.T, data string) *Demo {
	t.Helper()
	// Not the test's context: it ends before the browser does.
	d, err := Start(context.Background(), options(data))
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

var temporary = regexp.MustCompile(`(?m): ([a-z0-9]{4}(?:-[a-z0-9]{4}){3})$`)

// temporaryPassword is what a person's letter on the desk says.
func temporaryPassword(t *testing.T, desk *browser.Tab, name string) string {
	t.Helper()
	desk.Click("=Temporary password in " + name + "'s letter")
	found := temporary.FindStringSubmatch(desk.Text("pre:target"))
	if found == nil {
		t.Fatalf("no temporary password in %q", desk.Text("pre:target"))
	}
	return found[1]
}

// unusedCode is the first code of the authenticator that was not used: the one it
// shows, or the one it will show next. Portti takes that already (S45), so the
// test need not wait.
func unusedCode(t *testing.T, d *Demo, owner, used string) string {
	t.Helper()
	for _, a := range d.pocket.accounts() {
		if a.Owner != owner {
			continue
		}
		now := time.Now()
		code, _ := a.code(now)
		if code == strings.ReplaceAll(used, " ", "") {
			code, _ = a.code(now.Add(totp.Period))
		}
		return code
	}
	t.Fatalf("%s has no authenticator", owner)
	return ""
}

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
	tab.Open(d.Origin("service") + "/records/7")
	tab.Screenshot("login")
	tab.Fill("#username", "aino.alku")
	tab.Fill("#password", temporaryPassword(t, desk, "Aino Alku"))
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
	used := desk.Text("#accounts li:last-child .live")
	tab.Fill("#code", used)
	tab.Click("#code-submit")
	tab.WaitURL(d.Origin("id"))
	tab.Screenshot("code")
	tab.Fill("#code", unusedCode(t, d, "Aino Alku", used))
	tab.Click("#code-submit")
	tab.WaitURL(d.Origin("service") + "/records/7")
	tab.Screenshot("record")
	if got := tab.Text("#acr"); got != "urn:portti:acr:pwd-otp" {
		t.Errorf("acr %q", got)
	}
	// Letters have come by themselves, on top of the one that was open.
	desk.WaitFor("#letters > details:not(:first-of-type)[open]")
	desk.Screenshot("desk-at-the-end")
}

// TestFirstDayWithACard plays Kai's story with the file from the desk (S14, S18,
// S20, S25, S26).
func TestFirstDayWithACard(t *testing.T) {
	d := begin(t, "")
	b := surf(t, d)
	b.InsertCard(download(t, d, "/cards/kai-kustaa.p12"), cardPassword, "kai")
	desk, tab := b.Tab(), b.Incognito()
	desk.Open(d.Origin("desk") + "/?lang=en")
	desk.WaitFor("[href^='#letter-']")
	desk.Click("=Kai's first day: certificate card")
	desk.Screenshot("story")

	tab.Open(d.Origin("service") + "/secret")
	tab.Fill("#username", "kai.kustaa")
	tab.Fill("#password", temporaryPassword(t, desk, "Kai Kustaa"))
	tab.Click("#login-submit")
	tab.Fill("#new", ownPassword)
	tab.Fill("#repeat", ownPassword)
	tab.Click("#change-submit")
	tab.WaitURL(d.Origin("services"))
	tab.Screenshot("choose")
	tab.Click("#link-card")
	tab.Click("#card-start")
	tab.WaitURL(d.Origin("services") + "/card")
	tab.Screenshot("confirm")
	tab.Click("#card-confirm")
	tab.Screenshot("linked")
	tab.WaitURL(d.Origin("id"))
	tab.Click("#card-start")
	tab.WaitURL(d.Origin("service") + "/secret")
	tab.Screenshot("secret")
	if got := tab.Text("#acr"); got != "urn:portti:acr:card" {
		t.Errorf("acr %q", got)
	}
	tab.Open(d.Origin("records") + "/records/7") // demands a card, and has it without another page
	tab.WaitURL(d.Origin("records") + "/records/7")
}

// TestSuspendedCardIsTold: what the lab says of a card is what the provider finds
// out (S24). Both pages of the lab are for everybody.
func TestSuspendedCardIsTold(t *testing.T) {
	d := begin(t, "")
	b := surf(t, d)
	b.InsertCard(download(t, d, "/cards/kaisa-kortti.p12"), cardPassword, "kaisa")
	desk, tab := b.Tab(), b.Tab()
	desk.Open(d.Origin("desk") + "/?lang=en")
	desk.Click("#card-kaisa-kortti button[value=hold]")
	desk.WaitFor("#card-kaisa-kortti .state")
	desk.Screenshot("lab")
	desk.MustBeAccessible()
	desk.Open(d.Origin("lab") + "/")
	desk.WaitFor("#lab-organisation-rsa")
	desk.Screenshot("own-page")
	desk.MustBeAccessible()

	tab.Open(d.Origin("service") + "/secret")
	tab.Click("#card-start")
	tab.WaitFor(`#card-failed[data-verdict="suspended"]`)
}

// TestDataIsKept: with --data a person of the last run signs in to the next, though
// the ports are others, and nobody is seeded twice.
func TestDataIsKept(t *testing.T) {
	data := t.TempDir()
	first, err := Start(context.Background(), options(data))
	if err != nil {
		t.Fatal(err)
	}
	card := first.pocket.pki.Card("kaisa-kortti").Cert
	if err := first.pocket.addKey("Somebody", []byte("12345678901234567890")); err != nil {
		t.Fatal(err)
	}
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}

	d := begin(t, data)
	if !d.pocket.pki.Card("kaisa-kortti").Cert.Equal(card) {
		t.Error("Kaisa has another card")
	}
	var owners []string
	for _, a := range d.pocket.accounts() {
		owners = append(owners, a.Owner)
	}
	if want := []string{"Otto Ohjelma", "Molla Molemmat", "Tiina Tiedot", "Reetta Vastuu", "Heikki Tuki", "Oona Operaattori", "Tarmo Tarkastaja", "Pete Puhelin", "Somebody"}; !slices.Equal(owners, want) {
		t.Errorf("in the authenticator are %v, want %v", owners, want)
	}
	if _, err := settings.Load(filepath.Join(data, "portti.yaml")); err != nil {
		t.Errorf("porttictl cannot work on it: %v", err)
	}
	tab := surf(t, d).Tab()
	tab.Open(d.Origin("service") + "/records/7")
	tab.Fill("#username", "otto.ohjelma")
	tab.Fill("#password", ownPassword)
	tab.Click("#login-submit")
	tab.Fill("#code", unusedCode(t, d, "Otto Ohjelma", ""))
	tab.Click("#code-submit")
	tab.WaitURL(d.Origin("service") + "/records/7")
}

// TestSomebodyHasEveryClaim: a service finds a value for each standard claim.
func TestSomebodyHasEveryClaim(t *testing.T) {
	data := t.TempDir()
	begin(t, data)
	master, err := keys.ReadMaster(strings.NewReader(keys.GenerateMaster()))
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), store.Config{Path: filepath.Join(data, "portti.db")}, store.Deps{Seal: func([]byte, string) (string, error) { return "", errors.ErrUnsupported }, Marker: master})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	tiina, err := db.PersonByName(t.Context(), "tiina.tiedot")
	if err != nil {
		t.Fatal(err)
	}
	for _, of := range []reflect.Value{reflect.ValueOf(tiina.User.Claims), reflect.ValueOf(tiina.User.Claims.Address)} {
		for i := range of.NumField() {
			if of.Field(i).IsZero() {
				t.Errorf("she has no %s", of.Type().Field(i).Name)
			}
		}
	}
}

// TestHalfADemoIsNotUsed: a first start that was cut short is told, not gone on with.
func TestHalfADemoIsNotUsed(t *testing.T) {
	data := t.TempDir()
	d, err := Start(context.Background(), options(data))
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(d.pocket.change(func() { d.pocket.seeded = false }), d.Stop())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Start(context.Background(), options(data)); err == nil || !strings.Contains(err.Error(), "cut short") {
		t.Errorf("error %v", err)
	}
}

// TestFolderOfBefore: a folder whose cards are not accepted any more is told, with
// what to do, and left as it is.
func TestFolderOfBefore(t *testing.T) {
	data := t.TempDir()
	file := filepath.Join(data, "cards", "pki.json")
	const before = `{"made": "2026-01-01T00:00:00Z", "cards": []}`
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(before), 0o600)); err != nil {
		t.Fatal(err)
	}
	_, err := Start(context.Background(), options(data))
	if err == nil || !strings.Contains(err.Error(), "earlier version") || !strings.Contains(err.Error(), data) || !strings.Contains(err.Error(), "--data") {
		t.Errorf("error %v", err)
	}
	if is, err := os.ReadFile(file); err != nil || string(is) != before {
		t.Errorf("the folder was changed: %s %v", is, err)
	}
}

// TestWarningIsNoWall: a newcomer trusts no CA of the demo. One warning, and the
// card signs in (S2).
func TestWarningIsNoWall(t *testing.T) {
	d := begin(t, "")
	b := browser.Start(t, browser.Options{CardHosts: []string{d.cardOrigin()}}) // trusts nobody
	b.InsertCard(download(t, d, "/cards/kaisa-kortti.p12"), cardPassword, "kaisa")
	tab := b.Tab()
	tab.Allow("ERR_CERT_AUTHORITY_INVALID")
	if err := tab.TryOpen(d.cardOrigin()); err == nil {
		t.Fatal("no warning")
	}
	tab.Screenshot("warning")
	tab.Click("#details-button")
	tab.Click("#proceed-link")

	tab.Open(d.Origin("service") + "/secret")
	tab.Click("#card-start")
	tab.WaitURL(d.Origin("service") + "/secret")
	if got := tab.Text("#who"); got != "Kaisa Kortti" {
		t.Errorf("signed in is %q", got)
	}
}

// TestConsole: everybody with a role signs in to the Console with what is on the
// desk, and sees what the role allows; an employee reads that there is nothing for
// him.
func TestConsole(t *testing.T) {
	d := begin(t, "")
	b := surf(t, d)
	for username, sees := range map[string]struct{ role, services string }{
		"reetta.vastuu": {"Responsible user", ""}, "heikki.tuki": {"User support", ""}, "oona.operaattori": {"Operator", "Services"}, "tarmo.tarkastaja": {"Auditor", "Services"}, "otto.ohjelma": {"", ""},
	} {
		who, _ := personOf(username)
		tab := b.Incognito()
		tab.Open(d.Origin("console") + "/?lang=en")
		tab.Fill("#username", username)
		tab.Fill("#password", ownPassword)
		tab.Click("#login-submit")
		tab.Fill("#code", unusedCode(t, d, who.Name(), ""))
		tab.Click("#code-submit")
		tab.WaitURL(d.Origin("console") + "/")
		if sees.role == "" {
			tab.WaitFor("#no-role")
			continue
		}
		tab.WaitFor("#console")
		page := tab.Text("main")
		if !strings.Contains(page, sees.role) || !strings.Contains(page, who.Name()) || strings.Contains(page, "Services") != (sees.services != "") {
			t.Errorf("%s sees %s", username, page)
		}
		tab.Screenshot("console-" + who.Role.String())
	}
}
