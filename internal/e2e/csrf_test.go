package e2e

import (
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/portti-id/portti/internal/identity"
)

// Every route that takes a POST, and what keeps other sites out of it. A route that
// stands in the code and not here fails the test.
const (
	byForm   = "form"   // token of the form, and the browser's word
	byOrigin = "origin" // pkg/rp: the browser's word
	byKey    = "key"    // no cookie is looked at: a secret or a signature in the request itself
	byPage   = "page"   // only leads on to a page: GET with the same parameters
)

// posts are all of them but the API's, which takes nothing but a token in the header
// (byKey; TestOnlyTheRightTokenOpensTheAPI).
var posts = map[string]string{
	"signin /signin/{tx}/password": byForm, "signin /signin/{tx}/code": byForm, "signin /signin/{tx}/change": byForm, "signin /signin/{tx}/card": byForm,
	"signin /signin/{tx}/over": byForm, "signin /signin/{tx}/cancel": byForm, "signin /end_session/confirm": byForm,
	"signin /signin/{tx}/card/failed": byForm, "userservices /order": byForm,
	"userservices /card/failed": byForm, "signin /card-test": byForm, "signin /card-test/failed": byForm,
	"signin /signin/{tx}/consent": byForm, "signin /signin/{tx}/deny": byForm, "userservices /consents": byForm,
	"signin /device": byForm, "signin /device/{visit}/signin": byForm, "signin /device/{visit}/allow": byForm, "signin /device/{visit}/deny": byForm, "openid /device_authorization": byKey,
	"signin /end_session": byPage, "openid /authorize": byPage, "openid /token": byKey, "openid /userinfo": byKey,
	"userservices /authenticator": byForm, "userservices /authenticator/confirm": byForm, "userservices /authenticator/try": byForm, "userservices /card": byForm,
	"userservices /card/confirm": byForm, "userservices /password": byForm, "app /logout": byForm, "app /backchannel-logout": byKey,

	"openid /par": byKey, "openid /introspect": byKey, "openid /revoke": byKey, "openid /doctor": byKey,
	"signin /order": byForm, "signin /signin/{tx}/order": byForm, "signin /signin/{tx}/asked": byForm,
	"signin /order/link/{secret}/confirm": byForm, "signin /order/link/{secret}/cancel": byForm, "signin /order/link/{secret}/freeze": byForm,
	"userservices /order/cancel": byForm, "userservices /freeze": byForm,
	"console /people/new": byForm, "console /people/{user}/edit": byForm, "console /people/{user}/disable": byForm, "console /people/{user}/enable": byForm,
	"console /people/{user}/first-password": byForm, "console /people/{user}/roles": byForm,
	"console /people/import": byForm, "console /imports/{import}": byForm,
	"console /people/{user}/case": byForm, "console /people/{user}/case/{check}/{act}": byForm, "console /card-approvals/{approval}": byForm, "console /confirmations/{confirmation}": byForm,
	"console /registration": byForm, "console /clients/{id}/edit": byForm, "console /clients/{id}/document": byForm, "console /clients/{id}/secret": byForm,
	"console /clients/{id}/disable": byForm, "console /clients/{id}/enable": byForm, "console /clients/{id}/test": byForm,
	"console /organisations/_new": byForm, "console /organisations/{organisation}/edit": byForm, "console /organisations/{organisation}/disable": byForm, "console /organisations/{organisation}/enable": byForm,
	"console /organisations/{organisation}/policy": byForm, "console /organisations/{organisation}/policy/withdraw": byForm,
	"console /letters": byForm, "console /letters/discard": byForm, "console /trust": byForm, "console /keys/change": byForm,
	"service /logout": byOrigin, "service /logout/backchannel": byKey,
}

// TestEveryPostIsKnown reads the routes from the code that registers them.
func TestEveryPostIsKnown(t *testing.T) {
	named := map[string]string{"openid.EndSessionPath": "/end_session", "logoutConfirmPath": "/end_session/confirm", "BackChannelLogoutPath": "/backchannel-logout", "orderPath": "/order", "newClientPath": "/registration", "cardFailedPath": "/card/failed", "newOrganisationPath": "/organisations/_new", "importFilePath": "/people/import", "path": ""}
	route := regexp.MustCompile(`(?:"POST |post\(")([^"]*)"(?:\s*\+?\s*([A-Za-z.]+))?`)
	found := map[string]bool{"openid /authorize": true, "openid /token": true, "openid /userinfo": true, "openid /par": true, "openid /introspect": true, "openid /revoke": true, "openid /doctor": true, "openid /device_authorization": true} // of any method: see openid.Provider.Register
	for room, file := range map[string]string{"signin": "../signin/signin.go", "userservices": "../userservices/userservices.go", "app": "../app/app.go", "console": "../console/console.go", "service": "../../cmd/demoservice/service/service.go"} {
		for _, m := range route.FindAllStringSubmatch(string(must(os.ReadFile(file))(t)), -1) {
			path := m[1]
			if path == "" {
				name, ok := named[m[2]]
				if !ok {
					t.Errorf("%s: POST %s is not understood: name its path here", file, m[2])
				}
				path = name
			}
			if path != "" {
				found[room+" "+path] = true
			}
		}
	}
	for route := range found {
		if posts[route] == "" {
			t.Errorf("POST %s: say here what keeps other sites out of it", route)
		}
	}
	for route := range posts {
		if !found[route] {
			t.Errorf("POST %s is in the list and not in the code", route)
		}
	}
}

// Another site's page, with the victim's cookies, changes nothing: neither with the
// form's token missing, nor with one of the attacker's own browser, nor with the right
// one but sent from elsewhere.
func TestCrossSitePosts(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		otto, p := w.Settled("otto.ohjelma", "tietoapu", identity.MethodApp), w.Party("other")
		attacker := w.Visitor().Open(p.URL(nil)).Form("login-submit")
		must(0, attacker.ParseForm())(t)
		v := w.Visitor()
		page := v.Open(p.URL(nil)).Must("login-submit")
		tx := page.URL.String()
		own := page.Form("login-submit")
		must(0, own.ParseForm())(t)
		token, foreign := own.PostForm.Get("csrf"), attacker.PostForm.Get("csrf")

		signedIn := w.Visitor()
		otto.SignIn(signedIn.Open(w.Origin("services") + "/")).Must("change-password")
		home := signedIn.Open(w.Origin("services") + "/password").Form("change-submit")
		must(0, home.ParseForm())(t)
		usToken := home.PostForm.Get("csrf")
		signedIn.Open(w.Origin("service") + "/records/1").Must("acr")
		admin := w.Visitor()
		desk := w.Settled("oona.operaattori", "tietoapu", identity.MethodApp).With(identity.RoleOperator).SignIn(admin.Open(w.Origin("console") + "/")).Form("logout")
		must(0, desk.ParseForm())(t)
		confirm := signedIn.Open(w.Issuer() + "/end_session").Form("logout-confirm")
		must(0, confirm.ParseForm())(t)

		fields := url.Values{"username": {otto.Username}, "password": {otto.Password}, "code": {"123456"}, "current": {ownSecret}, "new": {"kolme pientä porsasta metsässä"},
			"repeat": {"kolme pientä porsasta metsässä"}, "kind": {"app"}, "own_device": {"yes"}, "work_phone": {"yes"}}
		tried := 0
		for route, guard := range posts {
			room, path, _ := strings.Cut(route, " ")
			victim, right, base := v, token, w.Issuer()
			switch {
			case path == "/end_session/confirm":
				victim, right = signedIn, confirm.PostForm.Get("csrf")
			case room == "userservices", room == "app": // both apps' routes of package app are the same
				victim, right, base = signedIn, usToken, w.Origin("services")
			case room == "console":
				victim, right, base = admin, desk.PostForm.Get("csrf"), w.Origin("console")
				path = strings.Replace(path, "{id}", "records", 1)
			case room == "service":
				victim, base = signedIn, w.Origin("service")
			}
			address := base + strings.Replace(path, "/signin/{tx}", strings.TrimPrefix(tx, w.Issuer()), 1)
			post := func(site, csrf string) *Page {
				form := merged(fields, url.Values{"csrf": {csrf}})
				if csrf == "" {
					form.Del("csrf")
				}
				victim.Stop = "http"
				defer func() { victim.Stop = "" }()
				tried++
				return victim.Post(address, site, form)
			}
			switch guard {
			case byForm:
				for name, got := range map[string]*Page{"cross-site with the right token": post("cross-site", right), "same-site with the right token": post("same-site", right),
					"no token": post("same-origin", ""), "a token of another browser": post("same-origin", foreign), "a token cut short": post("same-origin", right[:20])} {
					if got.Status != http.StatusForbidden {
						t.Errorf("POST %s, %s: %s → %q", route, name, got, got.Next)
					}
				}
			case byOrigin:
				if got := post("cross-site", ""); got.Status < 400 {
					t.Errorf("POST %s from another site: %s → %q", route, got, got.Next)
				}
			case byKey:
				for _, site := range []string{"cross-site", "same-origin"} {
					if got := post(site, right); got.Status < 400 || got.Status >= 500 {
						t.Errorf("POST %s with nothing but cookies: %s → %q", route, got, got.Next)
					}
				}
			case byPage:
				got := post("cross-site", right)
				if next, _ := url.Parse(got.Next); got.Status < 400 && (got.Status != http.StatusSeeOther || next.Host != "" && next.Host != hostOf(w.Issuer())) {
					t.Errorf("POST %s from another site: %s → %q", route, got, got.Next)
				}
			}
		}
		if tried < len(posts) {
			t.Fatalf("only %d posts were tried", tried)
		}
		// Nothing was changed by any of it.
		v.Open(tx).Must("login-submit")
		signedIn.Open(w.Origin("services") + "/").Must("change-password")
		admin.Open(w.Origin("console") + "/clients/records").Must("enabled")
		if !signedIn.Open(w.Origin("service") + "/").Has("who") {
			t.Error("another site logged the person out of the Service")
		}
		if answer := p.Answer(signedIn.Open(p.URL(url.Values{"prompt": {"none"}}))); !answer.Has("code") {
			t.Errorf("another site ended the session: %v", answer)
		}
		if page := otto.SignIn(w.Visitor().Open(p.URL(nil))); p.Code(page) == "" {
			t.Errorf("the password is another: %s", page)
		}
	})
}

// An answer of the provider's pages cannot be framed, sniffed, cached or reached by
// scripts; its cookies are __Host- cookies for https alone (ASVS 3.3, 3.4).
func TestHeadersOfPages(t *testing.T) {
	w := NewWorld(t, Options{Pair: SQLiteMemory})
	page := w.Visitor().Open(w.Party("other").URL(nil)).Must("login-submit")
	csp := page.Header.Get("Content-Security-Policy")
	for _, part := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"} {
		if !strings.Contains(csp, part) {
			t.Errorf("Content-Security-Policy without %s: %s", part, csp)
		}
	}
	if strings.Contains(csp, "unsafe-inline") || strings.Contains(csp, "unsafe-eval") {
		t.Errorf("Content-Security-Policy: %s", csp)
	}
	for name, want := range map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Strict-Transport-Security": "max-age=", "Referrer-Policy": "no-referrer|same-origin|strict-origin"} {
		if got := page.Header.Get(name); !slices.ContainsFunc(strings.Split(want, "|"), func(s string) bool { return strings.Contains(got, s) }) {
			t.Errorf("%s: %q", name, got)
		}
	}
	for _, line := range page.Header.Values("Set-Cookie") {
		c := must(http.ParseSetCookie(line))(t)
		if !strings.HasPrefix(c.Name, "__Host-") || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Domain != "" || c.Path != "/" {
			t.Errorf("the cookie %s", line)
		}
	}
}

func containsAny(s string, parts ...string) bool {
	return slices.ContainsFunc(parts, func(p string) bool { return strings.Contains(s, p) })
}
