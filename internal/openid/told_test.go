package openid_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/mail"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/store"
	"github.com/portti-id/portti/internal/storetest"
)

// letters empties the outbox.
func (k *kit) letters() (all []mail.Letter) {
	k.t.Helper()
	queued, err := k.store.LeaseLetters(k.t.Context(), 100, k.now().Add(time.Hour), time.Nanosecond)
	if err != nil {
		k.t.Fatal(err)
	}
	for _, q := range queued {
		raw, err := storetest.Unseal(q.Sealed, q.ID)
		if err != nil {
			k.t.Fatal(err)
		}
		var l mail.Letter
		if err := json.Unmarshal(raw, &l); err != nil {
			k.t.Fatal(err)
		}
		if err := k.store.LetterSent(k.t.Context(), q.ID); err != nil {
			k.t.Fatal(err)
		}
		all = append(all, l)
	}
	return all
}

// agrees signs in, and allows what is asked.
func (k *kit) agrees(b *http.Client, q url.Values) {
	k.t.Helper()
	page, err := b.Get(k.url + openid.AuthorizePath + "?" + q.Encode())
	if err != nil {
		k.t.Fatal(err)
	}
	_ = page.Body.Close()
	home, err := url.Parse(k.url)
	if err != nil {
		k.t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "/consent", nil).WithContext(k.t.Context())
	for _, c := range b.Jar.Cookies(home) {
		r.AddCookie(c)
	}
	s, err := k.sessions.Find(k.t.Context(), cookies{}.Session(r))
	if err != nil {
		k.t.Fatal(err)
	}
	asks, err := k.p.Asks(httptest.NewRecorder(), r, path.Base(page.Request.URL.Path), s)
	if err != nil || asks == nil {
		k.t.Fatalf("asks %+v, %v", asks, err)
	}
	if err := k.p.Allow(httptest.NewRecorder(), r, path.Base(page.Request.URL.Path), s, asks.Token); err != nil {
		k.t.Fatal(err)
	}
}

// recorded is how many events of a type the trail has of anna.
func (k *kit) recorded(t audit.Type) int {
	k.t.Helper()
	all, err := k.store.AuditEvents(k.t.Context(), store.Trail{User: "anna", Types: []audit.Type{t}, Limit: 100})
	if err != nil {
		k.t.Fatal(err)
	}
	return len(all)
}

// S59: what a service gets of people from now on is told to them by letter, where it
// is more than before; and so is a device that was let in.
func TestAConsentIsToldByLetter(t *testing.T) {
	pairs(t, func(t *testing.T, k *kit) {
		k.client("rp", thirdParty, func(c *openid.Client) { c.Name = map[string]string{"fi": "Matkakone", "en": "Travel"} })
		b := k.browser()
		for _, step := range []struct {
			what, scope, prompt string
			told                bool
		}{
			{"for the first time", "openid profile", "", true},
			{"once more, because the service has the question asked again", "openid profile", "consent", false},
			{"for more", "openid profile email", "", true},
			{"for less, asked again", "openid", "consent", false},
		} {
			k.agrees(b, request("scope", step.scope, "prompt", step.prompt))
			sent := k.letters()
			if !step.told && len(sent) != 0 {
				t.Errorf("%s: %+v", step.what, sent)
			}
			if step.told && (len(sent) != 1 || sent[0].Template != mail.ConsentGiven || sent[0].To != "anna@clinic.example" || sent[0].Language != "fi" ||
				sent[0].Args["service"] != "Matkakone" || sent[0].Args["username"] != "anna.aalto" || sent[0].Organisation != "clinic") {
				t.Errorf("%s: %+v", step.what, sent)
			}
		}
		if n := k.recorded(audit.ConsentGiven); n != 4 {
			t.Errorf("%d events", n)
		}
		k.as(bosse) // has no contact
		k.agrees(k.browser(), request())
		if sent := k.letters(); len(sent) != 0 {
			t.Errorf("to nobody: %+v", sent)
		}
	})
}

func TestADeviceIsToldByLetter(t *testing.T) {
	pairs(t, func(t *testing.T, k *kit) {
		k.client("tv", device, func(c *openid.Client) { c.Name = map[string]string{"en": "Wall screen"} })
		k.client("third", device, thirdParty)
		a := k.at(&anna)
		id, err := a.visits(k.starts("tv").text("user_code"))
		if err != nil {
			t.Fatal(err)
		}
		if err := a.denies(id); err != nil {
			t.Fatal(err)
		}
		if sent := k.letters(); len(sent) != 0 || k.recorded(audit.DeviceDenied) != 1 {
			t.Errorf("sent away: %+v, %d events", sent, k.recorded(audit.DeviceDenied))
		}
		a.letsIn(k.starts("tv").text("user_code"))
		sent := k.letters()
		if len(sent) != 1 || sent[0].Template != mail.DeviceAllowed || sent[0].To != "anna@clinic.example" || sent[0].Args["service"] != "Wall screen" || k.recorded(audit.DeviceAllowed) != 1 {
			t.Errorf("let in: %+v", sent)
		}
		// A third party's is one letter, not two.
		a.letsIn(k.starts("third").text("user_code"))
		if sent := k.letters(); len(sent) != 1 || sent[0].Template != mail.DeviceAllowed || k.recorded(audit.ConsentGiven) != 1 || k.recorded(audit.DeviceAllowed) != 2 {
			t.Errorf("a third party's: %+v", sent)
		}
		k.save("anna", func(u *identity.User) { u.Email = "" })
		a.letsIn(k.starts("tv").text("user_code"))
		if sent := k.letters(); len(sent) != 0 || k.recorded(audit.DeviceAllowed) != 3 {
			t.Errorf("without an address: %+v", sent)
		}
	})
}
