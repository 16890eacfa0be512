package userservices

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/web"
	"github.com/portti-id/portti/internal/web/webtest"
	"github.com/portti-id/portti/pkg/portti"
)

// Every template fits the struct that it is rendered with, also on paths that no
// test takes.
func TestTemplatesFitTheirStructs(t *testing.T) {
	all := map[string]web.Content{
		"home": &homePage{}, "choose": &choosePage{}, "authenticator": &authenticatorPage{}, "authenticator_key": &keyPage{}, "authenticator_linked": &authenticatorLinkedPage{},
		"try": &tryPage{}, "card": &cardPage{}, "card_confirm": &confirmCardPage{}, "card_failed": &cardFailedPage{}, "card_linked": &cardLinkedPage{}, "card_waits": &cardWaitsPage{}, "order": &orderPage{}, "ordered": &plainPage{}, "freeze": &plainPage{}, "frozen": &plainPage{},
		"password": &passwordPage{}, "password_changed": &plainPage{}, "signed_out": &plainPage{}, "consents": &consentsPage{}, "signins": &signInsPage{},
	}
	site := webtest.NewSite(t, func(s *web.Settings) { s.Pages = []string{"userservices"} })
	checked := map[string]web.Content{}
	for name, page := range all {
		checked["userservices/"+name] = page
	}
	webtest.TypeCheck(t, site, checked)
	for _, name := range site.PageNames() {
		if checked[name] == nil && name != "error" {
			t.Errorf("no struct is rendered with %s", name)
		}
	}
}

// Every page keeps what every page promises, in every language (WCAG 2.2 AA, S69).
func TestEveryPageInEveryLanguage(t *testing.T) {
	k := newKit(t)
	k.waiting()
	b := k.browser()
	check := func(name string, page *seen, lang string, ids ...string) {
		t.Helper()
		t.Run(name+"/"+lang, func(t *testing.T) {
			webtest.Check(t, []byte(page.body), lang, ids...)
		})
	}
	for _, lang := range []string{"fi", "sv", "en"} {
		say := "?lang=" + lang
		k.api.locked(func() { k.api.me = fullMe() })
		check("home", b.get("/"+say), lang, "logout", "try", "change-password", "consents")
		check("try", b.get("/authenticator/try"+say), lang, "code", "code-submit", "logout")
		check("password", b.get("/password"+say), lang, "current", "new", "repeat", "change-submit", "logout")
		check("password wrong", b.get("/password"+say).submit("/password"), lang, "problems")
		check("password changed", b.get("/password/changed"+say), lang, "changed")
		check("authenticator linked", b.get("/authenticator/linked"+say), lang, "linked", "try")
		check("card linked", b.get("/card/linked"+say), lang, "linked")
		check("consents", b.get("/consents"+say), lang, "consents", "withdraw-outsider")
		check("refused", b.get("/card"+say), lang, "error")

		k.api.locked(func() { k.api.me = newMe() })
		k.waiting()
		check("choose", b.get("/"+say), lang, "link-card", "link-authenticator", "logout")
		check("authenticator", b.get("/authenticator"+say), lang, "kind-app", "kind-token", "own_device", "authenticator-start")
		check("authenticator wrong", b.get("/authenticator"+say).submit("/authenticator"), lang, "problems")
		check("key", b.get("/authenticator"+say).submit("/authenticator", stated...), lang, "qr", "key", "code", "code-submit", "again")
		check("code", b.get("/authenticator/confirm"+say), lang, "code", "code-submit", "again")
		check("card", b.get("/card"+say), lang, "card-start")
		check("card confirm", b.get("/card/return"+say+"&code=RESULT"), lang, "card-confirm", "card-again")
		k.api.refuses("POST /card/seen", 403, "card_expired")
		check("card failed", b.get("/card/return"+say+"&code=RESULT"), lang, "card-failed", "card-start")
		k.api.locked(func() { delete(k.api.refuse, "POST /card/seen") })
		k.api.set(func(me *portti.Me) {
			me.May = portti.May{Card: "link_closed", App: "link_closed", Token: "link_closed"}
		})
		check("blocked", b.get("/"+say), lang, "blocked")

		stranger := k.browser()
		check("signed out", stranger.get("/signed-out"+say), lang, "logged-out")
		check("not found", stranger.get("/nowhere"+say), lang, "error")
	}
}

// Canary: what is secret is in no log line, whatever way it takes (S3, S41).
func TestNoSecretIsLogged(t *testing.T) {
	k := newKit(t)
	k.enrol()
	k.links()
	b := k.browser()
	b.get("/authenticator").submit("/authenticator", "kind", "token", "own_device", "yes", "serial", "CANARY-SERIAL").submit("/authenticator/confirm", "code", "771177")
	k.api.set(func(me *portti.Me) { *me = newMe() })
	b.get("/card/return?code=CANARY-TICKET").submit("/card/confirm")
	k.api.locked(func() { k.api.me = fullMe() })
	b.get("/password").submit("/password", "current", "CANARY-OLD", "new", "CANARY-NEW", "repeat", "CANARY-NEW")
	b.get("/authenticator/try").submit("/authenticator/try", "code", "771177")
	page := b.get("/password")
	for _, path := range []string{"POST /authenticator/trial", "POST /password", "POST /card/seen", "GET "} {
		k.api.refuses(path, 500, "internal")
	}
	page.submit("/password", "current", "CANARY-OLD", "new", "CANARY-NEW", "repeat", "CANARY-NEW").want(500, "/password", "error")
	b.get("/card/return?code=CANARY-TICKET").want(500, "*", "error")
	secrets := append(b.secrets(), "771177", "CANARY", "JBSW", "Meikäläinen", k.op.ClientSecret, testFinger)
	k.later(time.Hour)
	b.get("/card/return?code=CANARY-TICKET")
	log := k.log.String()
	if !strings.Contains(log, `"route":"POST /password"`) {
		t.Fatal("nothing was logged")
	}
	for _, secret := range secrets {
		if strings.Contains(log, secret) {
			t.Errorf("%q is in the log", secret)
		}
	}
}

// Cookies are what they have to be, on https.
func TestCookies(t *testing.T) {
	k := newKit(t, func(c *Config) { c.URL = "https://services.example.test" })
	res, err := http.DefaultTransport.RoundTrip(k.request("GET", "/login"))
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	cookies := res.Header["Set-Cookie"]
	for _, line := range cookies {
		if !strings.HasPrefix(line, "__Host-") || !strings.Contains(line, "; Secure") || !strings.Contains(line, "; HttpOnly") || !strings.Contains(line, "SameSite=Lax") {
			t.Errorf("cookie %s", line)
		}
	}
	if len(cookies) == 0 {
		t.Error("no cookie binds the sign-in to the browser")
	}
	if res.Header.Get("Strict-Transport-Security") == "" {
		t.Error("no Strict-Transport-Security")
	}
}
