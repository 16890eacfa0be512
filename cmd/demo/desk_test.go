package main

import (
	"bytes"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"software.sslmate.com/src/go-pkcs12"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/cardlab"
	"github.com/portti-id/portti/internal/cardtest"
	"github.com/portti-id/portti/internal/mail"
	"github.com/portti-id/portti/templates"
)

// client is a browser without cookies that follows no redirect.
var client = &http.Client{
	Transport:     &http.Transport{DialContext: dialHere, DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

func fetch(t *testing.T, method, address string, form url.Values, header ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(body)
}

// download fetches a path of the desk.
func download(t *testing.T, d *Demo, path string) []byte {
	t.Helper()
	answer, body := fetch(t, "GET", d.Origin("desk")+path, nil)
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: status %d", path, answer.StatusCode)
	}
	return []byte(body)
}

func TestDesk(t *testing.T) {
	d := begin(t, "")
	desk := d.Origin("desk")

	t.Run("in every language", func(t *testing.T) {
		for _, lang := range templates.Languages {
			answer, body := fetch(t, "GET", desk+"/?lang="+lang, nil)
			if answer.StatusCode != http.StatusOK || !strings.Contains(body, `<html lang="`+lang+`"`) {
				t.Errorf("%s: status %d", lang, answer.StatusCode)
			}
			for _, mark := range []string{"⟦", "ZgotmplZ", "{n}</", "%!", "<no value>"} {
				if strings.Contains(body, mark) {
					t.Errorf("%s: %q is on the page", lang, mark)
				}
			}
			if csp := answer.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "script-src 'self'") {
				t.Errorf("%s: policy %q", lang, csp)
			}
		}
	})

	t.Run("services are told apart", func(t *testing.T) {
		for part, names := range map[string]map[string]string{
			"service": {"fi": "Palvelu", "sv": "Tjänsten", "en": "The Service"},
			"records": {"fi": "Rekisteri", "sv": "Registret", "en": "The Records"},
		} {
			for lang, want := range names {
				if _, body := fetch(t, "GET", d.Origin(part)+"/?lang="+lang, nil); !strings.Contains(body, `href="/">`+want+`</a>`) {
					t.Errorf("%s in %s is not called %s: %s", part, lang, want, body)
				}
			}
		}
	})

	t.Run("keys of any form", func(t *testing.T) {
		const key = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
		for _, typed := range []string{key, "GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ", strings.ToLower(key), "otpauth://totp/Portti-1%20TOTP-2FA?secret=" + key + "&issuer=x"} {
			got, err := readKey(typed)
			if err != nil || string(got) != "12345678901234567890" {
				t.Errorf("%q: %q %v", typed, got, err)
			}
		}
		for _, typed := range []string{"", "GEZD", key + "GEZD", "otpauth://totp/x", "not base 32 at all, but as long as"} {
			if _, err := readKey(typed); err == nil {
				t.Errorf("%q was taken", typed)
			}
		}
	})

	t.Run("a key is added and removed", func(t *testing.T) {
		before := len(d.pocket.accounts())
		form := url.Values{"key": {"GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"}, "owner": {"aino.alku"}}
		if answer, _ := fetch(t, "POST", desk+"/authenticator", form); answer.StatusCode != http.StatusSeeOther {
			t.Fatalf("add: status %d", answer.StatusCode)
		}
		added := d.pocket.accounts()
		if len(added) != before+1 || added[before].Owner != "Aino Alku" {
			t.Fatalf("accounts %v", added)
		}
		fetch(t, "POST", desk+"/authenticator/remove", url.Values{"account": {added[before].ID}})
		if got := d.pocket.accounts(); len(got) != before {
			t.Errorf("after remove: %v", got)
		}
	})

	t.Run("a wrong key is told", func(t *testing.T) {
		answer, body := fetch(t, "POST", desk+"/authenticator?lang=en", url.Values{"key": {"123456"}, "owner": {"kai.kustaa"}})
		if answer.StatusCode != http.StatusBadRequest || !strings.Contains(body, "This is no key") || !strings.Contains(body, `value="kai.kustaa" selected`) {
			t.Errorf("status %d", answer.StatusCode)
		}
	})

	t.Run("other sites change nothing", func(t *testing.T) {
		before := d.pocket.accounts()
		form := url.Values{"key": {"GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"}, "owner": {"aino.alku"}, "account": {before[0].ID}}
		for _, header := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", d.Origin("service")}} {
			for _, path := range []string{"/authenticator", "/authenticator/remove"} {
				if answer, _ := fetch(t, "POST", desk+path, form, header...); answer.StatusCode != http.StatusForbidden {
					t.Errorf("%v %s: status %d", header, path, answer.StatusCode)
				}
			}
		}
		if got := len(d.pocket.accounts()); got != len(before) {
			t.Errorf("%d accounts, were %d", got, len(before))
		}
	})

	t.Run("every card can be downloaded", func(t *testing.T) {
		var names []string
		for _, e := range cardlab.Exhibits() {
			if e.Name != "" {
				names = append(names, e.Name)
			}
		}
		for _, who := range people {
			names = append(names, cardOf(who.Username))
		}
		for _, name := range names {
			for _, form := range []string{"", "?format=legacy"} {
				_, cert, _, err := pkcs12.DecodeChain(download(t, d, "/cards/"+name+".p12"+form), cardPassword)
				if err != nil || !cert.Equal(d.pocket.pki.Card(name).Cert) {
					t.Errorf("%s%s: %v", name, form, err)
				}
			}
		}
		for _, path := range []string{"/cards/nobody.p12", "/cards/kai-kustaa", "/cards/ca-root.p12", "/cards/..%2fmaster.key"} {
			if answer, _ := fetch(t, "GET", desk+path, nil); answer.StatusCode != http.StatusNotFound {
				t.Errorf("%s: status %d", path, answer.StatusCode)
			}
		}
	})

	t.Run("the lab is switched", func(t *testing.T) {
		state := func(name string) string { return d.pocket.pki.State(d.pocket.pki.Card(name)) }
		press := func(want int, path string, form url.Values, header ...string) string {
			t.Helper()
			answer, _ := fetch(t, "POST", desk+path, form, header...)
			if answer.StatusCode != want {
				t.Errorf("%s %v: status %d, want %d", path, form, answer.StatusCode, want)
			}
			return answer.Header.Get("Location")
		}
		if to := press(http.StatusSeeOther, "/lab/card", url.Values{"card": {"kaisa-kortti"}, "do": {"hold"}}); to != "/?lab#card-kaisa-kortti" || state("kaisa-kortti") != "on hold" {
			t.Errorf("hold: %s, %s", to, state("kaisa-kortti"))
		}
		if _, body := fetch(t, "GET", desk+"/?lab&lang=en", nil); !strings.Contains(body, `<strong class="state">Suspended</strong>`) || strings.Count(body, "<details open>") != 3 {
			t.Errorf("the page does not show it: %d parts are open", strings.Count(body, "<details open>"))
		}
		press(http.StatusSeeOther, "/lab/card", url.Values{"card": {"kaisa-kortti"}, "do": {"release"}})
		press(http.StatusSeeOther, "/lab/card", url.Values{"card": {"lab-actor"}, "do": {"revoke"}})
		if state("kaisa-kortti") != "good" || state("lab-actor") != "revoked" {
			t.Errorf("after: %s, %s", state("kaisa-kortti"), state("lab-actor"))
		}
		press(http.StatusSeeOther, "/lab/source", url.Values{"source": {"health"}, "ocsp": {"down"}})
		health, err := d.pocket.pki.CA("health")
		if err != nil {
			t.Fatal(err)
		}
		if ocsp, crl := d.lab.Status.Faults(health); ocsp != cardtest.Down || crl != cardtest.None {
			t.Errorf("faults %q, %q", ocsp, crl)
		}
		press(http.StatusSeeOther, "/lab/source", url.Values{"source": {"health"}})
		for _, form := range []url.Values{{"card": {"lab-actor"}, "do": {"release"}}, {"card": {"nobody"}, "do": {"hold"}}, {"card": {""}, "do": {"hold"}}, {"card": {"lab-health"}}} {
			press(http.StatusNotFound, "/lab/card", form)
		}
		press(http.StatusNotFound, "/lab/source", url.Values{"source": {"server"}, "ocsp": {"down"}})
		for path, form := range map[string]url.Values{"/lab/card": {"card": {"lab-health"}, "do": {"revoke"}}, "/lab/source": {"source": {"health"}, "ocsp": {"down"}}} {
			press(http.StatusForbidden, path, form, "Sec-Fetch-Site", "same-site")
			press(http.StatusForbidden, path, form, "Origin", d.Origin("service"))
		}
		if ocsp, _ := d.lab.Status.Faults(health); ocsp != cardtest.None || state("lab-health") != "good" {
			t.Error("another site has pressed a switch")
		}

		// Where the bundle says, and under the lab's own name.
		if answer, _ := fetch(t, "GET", d.Origin("lab")+cardlab.Prefix+"/crl/rsa-organisation.crl", nil); answer.StatusCode != http.StatusOK {
			t.Errorf("under the lab's name: status %d", answer.StatusCode)
		}
		trust, err := card.ReadTrustConfig(d.trustFolder())
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range trust.Issuers {
			answer, err := http.Get(i.CRL[0])
			if err != nil {
				t.Fatal(err)
			}
			_ = answer.Body.Close()
			if want := map[bool]int{true: http.StatusServiceUnavailable, false: http.StatusOK}[strings.Contains(i.Name, "Remote")]; answer.StatusCode != want {
				t.Errorf("%s: status %d, want %d", i.CRL[0], answer.StatusCode, want)
			}
		}
	})

	t.Run("names lead to their parts", func(t *testing.T) {
		for _, name := range []string{"id", "services", "service", "records", "lab"} {
			if _, body := fetch(t, "GET", d.Origin(name)+"/", nil); strings.Contains(body, "no part of this name") {
				t.Errorf("%s is not there", name)
			}
		}
		if answer, _ := fetch(t, "GET", d.Origin("other")+"/", nil); answer.StatusCode != http.StatusMisdirectedRequest {
			t.Errorf("unknown name: status %d", answer.StatusCode)
		}
		// A name that somebody made to lead here reaches nothing (DNS rebinding).
		r, err := http.NewRequestWithContext(t.Context(), "GET", desk, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = "desk.evil.example"
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusMisdirectedRequest {
			t.Errorf("foreign name: status %d", answer.StatusCode)
		}
	})
}

// TestMailbox: the outbox may deliver a letter twice; the newest stands first, and
// letters about what was seeded are as old as that.
func TestMailbox(t *testing.T) {
	p, err := openPocket(t.TempDir(), cardtest.ForTest(t))
	if err != nil {
		t.Fatal(err)
	}
	viivi, _ := personOf("viivi.vanha")
	aino, _ := personOf("aino.alku")
	for _, m := range []mail.Message{{ID: "1", To: aino.address()}, {ID: "2", To: viivi.address()}, {ID: "1", To: aino.address()}, {ID: "3", To: viivi.address()}} {
		if err := p.Deliver(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	var ids []string
	for _, l := range p.mailbox() {
		ids = append(ids, l.ID)
	}
	if want := []string{"3", "1", "2"}; !slices.Equal(ids, want) {
		t.Errorf("letters %v, want %v", ids, want)
	}
}

// TestEveryTextIsUsed: a text of the desk that nothing shows is forgotten.
func TestEveryTextIsUsed(t *testing.T) {
	html, err := deskFiles.ReadFile("desk/desk.html")
	if err != nil {
		t.Fatal(err)
	}
	own, err := fs.Sub(deskFiles, "desk")
	if err != nil {
		t.Fatal(err)
	}
	texts, err := templates.Parse(own)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range texts.Keys() {
		computed := slices.ContainsFunc([]string{"desk.org.", "desk.person.", "desk.lab.about.", "desk.lab.state.", "desk.cards.person", "desk.key", "desk.name", "desk.text"}, func(p string) bool { return strings.HasPrefix(key, p) })
		if !computed && !bytes.Contains(html, []byte(`"`+key+`"`)) {
			t.Errorf("%s is not used", key)
		}
	}
}

// The desk promises a letter to whoever has one coming.
func TestWhoseLetterHasEnded(t *testing.T) {
	for username, late := range map[string]bool{"viivi.vanha": true, "aino.alku": false} {
		who, _ := personOf(username)
		if got := (&desk{}).person(who, nil); got.Late != late || got.Letter != "" {
			t.Errorf("%s: %+v", username, got)
		}
	}
}
