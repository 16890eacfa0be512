package e2e

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/store"
)

// A code that an attacker got for herself, put into somebody else's browser, signs
// that browser in to nothing (login CSRF, RFC 9700 §4.5 and §4.7).
func TestCodeInjectedIntoAnotherBrowser(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		eve, victim := w.Settled("eve.paha", "tietoapu", identity.MethodApp), w.Visitor()
		v := w.Visitor()
		v.Stop = w.Origin("service") + "/callback"
		hers := must(url.Parse(eve.SignIn(v.Open(w.Origin("service") + "/records/1")).Next))(t)
		if hers.Query().Get("code") == "" {
			t.Fatalf("no code for the attacker: %s", hers)
		}
		if page := victim.Open(hers.String()); page.Has("who") || victim.Open(w.Origin("service")+"/").Has("who") { // it may begin a sign-in of its own
			t.Errorf("the whole answer in another browser: %s", page)
		}
		// In a browser that waits for an answer of its own, with its own state.
		victim.Stop = w.Issuer() + "/signin"
		asked := victim.Open(w.Origin("service") + "/records/1")
		state := must(url.Parse(victim.Trace[len(victim.Trace)-1][len("GET "):]))(t).Query().Get("state")
		if asked.Next == "" || state == "" {
			t.Fatalf("no sign-in begins: %s", asked)
		}
		v2 := w.Visitor()
		v2.Stop = v.Stop
		code := must(url.Parse(eve.SignIn(v2.Open(w.Origin("service") + "/records/1")).Next))(t).Query().Get("code")
		page := victim.Open(w.Origin("service") + "/callback?" + url.Values{"code": {code}, "state": {state}, "iss": {w.Issuer()}}.Encode())
		if page.Has("who") || victim.Open(w.Origin("service")+"/").Has("who") {
			t.Errorf("another's code under one's own state (PKCE and nonce must refuse it): %s", page)
		}
	})
}

// A transaction belongs to the browser that began it: sent to somebody else it shows
// nothing to fill in, and what that browser posts is not done (zitadel-oidc.md 6.3).
func TestTransactionOfAnotherBrowser(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		otto, p := w.Settled("otto.ohjelma", "tietoapu", identity.MethodApp), w.Party("other")
		eve := w.Visitor()
		hers := eve.Open(p.URL(nil)).Must("login-submit")

		victim := w.Visitor()
		page := victim.Open(hers.URL.String()).MustStatus(http.StatusGone).Must("restart")
		if page.Has("login-submit") || page.Has("card-start") {
			t.Fatalf("the transaction of another browser asks for a password: %s", page)
		}
		// Also one who is signed in must not complete it, or Eve's browser would go on as him.
		otto.SignIn(victim.Open(p.URL(nil)))
		for _, path := range []string{"", "/finish", "/card"} {
			if page := victim.Open(hers.URL.String() + path); !page.Has("restart") {
				t.Errorf("%s: %s", path, page)
			}
		}
		token := victim.Open(p.URL(url.Values{"prompt": {"login"}})).Form("login-submit") // a real token of his browser
		must(0, token.ParseForm())(t)
		for _, form := range []string{"password", "code", "change", "card", "over", "cancel"} {
			page := victim.Post(hers.URL.String()+"/"+form, "same-origin", url.Values{"csrf": token.PostForm["csrf"], "username": {otto.Username}, "password": {otto.Password}, "code": {otto.CodeAt(0)}})
			if page.Status < 400 || page.URL.Host == hostOf(p.Redirect) {
				t.Errorf("%s is done for another browser: %s", form, page)
			}
		}
		eve.Open(hers.URL.String()).Must("login-submit") // and hers stands where it stood
	})
}

// The session's cookie changes whenever more was proved, so that one that was planted
// or read before opens nothing afterwards.
func TestSessionFixation(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		aino, v, p := w.Newcomer("aino.alku", "kuntala"), w.Visitor(), w.Party("other")
		page := aino.FirstDay(v.Open(p.URL(nil)))
		enrol, thief := v.Cookie(w.Issuer(), "sid"), v.Twin()
		if enrol == "" {
			t.Fatal("no enrol session")
		}
		aino.LinkApp(page).Press("code-submit", "code", aino.Code()).Must("other")
		full := v.Cookie(w.Issuer(), "sid")
		if full == "" || full == enrol {
			t.Fatalf("the session's secret stayed the same after the second proof")
		}
		if answer := p.Answer(thief.Open(p.URL(url.Values{"prompt": {"none"}}))); answer.Has("code") {
			t.Error("the cookie of before the second proof opens the Service")
		}
	})
}

// The ticket to the card host and the code of its result are each good once, and for
// the browser that began the attempt (S26; standards.md 2.5).
func TestStolenCardTicketAndResult(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		kaisa, eve, p := w.Settled("kaisa.kortti", "saaristo", identity.MethodCard), w.Settled("eve.paha", "saaristo", identity.MethodCard), w.Party("other")
		ticketOf := func(v *Visitor) string {
			t.Helper()
			return v.ticket(v.Open(p.URL(nil)))
		}
		// Eve lures Kaisa, whose card is in the reader, to a ticket of Eve's own sign-in.
		thief, victim := w.Visitor(), w.Visitor()
		ticket := ticketOf(thief)
		victim.Insert(kaisa.Card)
		if page := victim.Open(ticket); !page.Has("restart") || victim.Cookie(w.Issuer(), "sid") != "" {
			t.Errorf("a ticket in another browser: %s", page)
		}
		if page := thief.Open(ticket); page.URL.Path != "/signin/card/restart" {
			t.Errorf("a spent ticket: %s", page)
		}
		if answer := p.Answer(thief.Open(p.URL(url.Values{"prompt": {"none"}}))); answer.Get("error") != "login_required" {
			t.Errorf("Eve is signed in with Kaisa's card: %v", answer)
		}
		// Eve reads the code of Kaisa's result on its way, and is faster.
		victim, thief = w.Visitor(), w.Visitor()
		result := must(url.Parse(victim.result(ticketOf(victim), kaisa.Card)))(t)
		if page := thief.Open(result.String()); !page.Has("restart") {
			t.Errorf("the result in a browser without a sign-in: %s", page)
		}
		own := thief.Open(p.URL(nil)).Must("login-submit").URL
		thief.Open(own.String() + "/card?code=" + result.Query().Get("code"))
		if answer := p.Answer(thief.Open(p.URL(url.Values{"prompt": {"none"}}))); answer.Get("error") != "login_required" {
			t.Errorf("Kaisa's result in Eve's own sign-in: %v", answer)
		}
		if page := victim.Open(result.String()); page.URL.Host == hostOf(p.Redirect) {
			t.Errorf("a result that another sign-in was tried with is spent, and yet: %s", page)
		}
		// A result of her own, once and twice.
		thief = w.Visitor()
		first := thief.result(ticketOf(thief), eve.Card)
		thief.Stop = w.Origin("other")
		if page := thief.Open(first); page.Next == "" {
			t.Fatalf("her own result in her own browser is refused: %s", page)
		}
		thief.Stop = ""
		if page := thief.Open(first); page.URL.Query().Has("code") && page.URL.Host == hostOf(p.Redirect) {
			t.Errorf("a result used twice: %s", page)
		}
	})
}

// Addresses that are not registered are never redirected to: not by the provider's
// authorize and end_session, not by the applications' return addresses.
func TestOpenRedirects(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		otto, v, p := w.Settled("otto.ohjelma", "tietoapu", identity.MethodApp), w.Visitor(), w.Party("other")
		tokens := p.MustRedeem(p.Code(otto.SignIn(v.Open(p.URL(nil)))))
		v.Stop = "http" // whatever it is, only look
		base := strings.TrimSuffix(p.Redirect, "/callback")
		bad := []string{"https://evil.example/callback", p.Redirect + "/", p.Redirect + "?next=x", p.Redirect + "#x", base + "/callback/../x", base + ":443/callback", strings.ToUpper(base) + "/callback",
			strings.Replace(p.Redirect, "https://", "https://x@", 1), strings.Replace(p.Redirect, "https://", "http://", 1), "https://evil.example\\@" + hostOf(p.Redirect) + "/callback",
			"//evil.example/", "javascript:alert(1)", "data:text/html,x", p.Redirect + "%0d%0aX:y", " " + p.Redirect}
		for _, to := range bad {
			for _, extra := range []url.Values{{}, {"prompt": {"none"}}, {"response_mode": {"form_post"}}, {"response_type": {"nonsense"}}} {
				page := v.Open(p.URL(merged(extra, url.Values{"redirect_uri": {to}})))
				if page.Next != "" || !page.Has("oauth-error") || page.Status != http.StatusBadRequest {
					t.Errorf("redirect_uri %q %v: %s → %q", to, extra, page, page.Next)
				}
			}
			page := v.Open(w.Issuer() + "/end_session?" + url.Values{"id_token_hint": {tokens.ID}, "post_logout_redirect_uri": {to}}.Encode())
			if page.Next != "" || page.Status != http.StatusBadRequest {
				t.Errorf("post_logout_redirect_uri %q: %s → %q", to, page, page.Next)
			}
		}
		if page := v.Open(w.Issuer() + "/authorize?" + url.Values{"client_id": {p.ID}, "response_type": {"code"}, "redirect_uri": {p.Redirect, "https://evil.example/"}}.Encode()); page.Next != "" {
			t.Errorf("two redirect URIs: %q", page.Next)
		}
		// A registered address without proof of who asks is a question first.
		if page := v.Open(w.Issuer() + "/end_session?" + url.Values{"client_id": {p.ID}, "post_logout_redirect_uri": {base + "/logout/callback"}}.Encode()); page.Next != "" || !page.Has("logout-confirm") {
			t.Errorf("logout without a hint: %s → %q", page, page.Next)
		}
		// Where the Service goes after the sign-in.
		for _, to := range []string{"https://evil.example/", "//evil.example/", "/\\evil.example/", "\\\\evil.example", "javascript:alert(1)", "/\t/evil.example/", "https:evil.example"} {
			browser := v.Twin()
			page := browser.Open(w.Origin("service") + "/login?to=" + url.QueryEscape(to))
			if page.URL.Host != hostOf(w.Origin("service")) {
				t.Errorf("/login?to=%q ends at %s", to, page)
			}
		}
		// Where the card host goes after linking: the app's own origin.
		us := w.As("user-services", w.Origin("services")+"/callback")
		v.Stop = us.Redirect
		full := us.MustRedeem(must(url.Parse(v.Open(us.URL(url.Values{"scope": {"openid us us.enrol"}})).Next))(t).Query().Get("code"))
		for _, to := range []string{"https://evil.example/", w.Origin("service") + "/", "https://x@" + hostOf(w.Origin("services")) + "/", "//" + hostOf(w.Origin("services")) + "/"} {
			if status, body := api(t, w, "/api/v1/me/card/attempt", full.Access, `{"return":"`+to+`"}`); status != http.StatusBadRequest {
				t.Errorf("the card host would return to %q: %d %s", to, status, body)
			}
		}
	})
}

// PKCE cannot be taken out of a flow, from either end (RFC 9700 §2.1.1, §4.8.2;
// zitadel-oidc.md 6).
func TestPKCEDowngrade(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		otto, v, p := w.Settled("otto.ohjelma", "tietoapu", identity.MethodApp), w.Visitor(), w.Party("other")
		lax := w.Party("other2", func(c *openid.Client) { c.RequirePKCE = false })
		public := w.Party("other3", func(c *openid.Client) { c.AuthMethod = openid.AuthNone })
		otto.SignIn(v.Open(p.URL(nil)))
		none := url.Values{"code_challenge": nil, "code_challenge_method": nil}
		for name, ask := range map[string]string{
			"without a challenge": p.URL(none), "a public client without a challenge": public.URL(none), "plain": p.URL(url.Values{"code_challenge": {p.Verifier}, "code_challenge_method": {"plain"}}),
			"plain by default": p.URL(url.Values{"code_challenge": {p.Verifier}, "code_challenge_method": nil}), "plain where none is needed": lax.URL(url.Values{"code_challenge_method": {"plain"}}),
			"s256": p.URL(url.Values{"code_challenge_method": {"s256"}}), "a challenge too short": p.URL(url.Values{"code_challenge": {"abc"}}), "two challenges": p.URL(url.Values{"code_challenge": {p.Challenge(), lax.Challenge()}}),
		} {
			if answer := p.Answer(v.Open(ask)); answer.Get("error") != "invalid_request" || answer.Has("code") {
				t.Errorf("%s: %v", name, answer)
			}
		}
		refused := func(what string, got Tokens) {
			t.Helper()
			if got.Status != http.StatusBadRequest || got.Error != "invalid_grant" && got.Error != "invalid_request" || got.Access != "" {
				t.Errorf("%s: %+v", what, got)
			}
		}
		for _, q := range []*Party{p, lax, public} {
			code := func(extra url.Values) string { return q.Code(v.Open(q.URL(extra))) }
			refused(q.ID+": a challenge, and no verifier", must(q.Redeem(code(nil), url.Values{"code_verifier": nil}))(t))
			refused(q.ID+": a challenge, and an empty verifier", must(q.Redeem(code(nil), url.Values{"code_verifier": {""}}))(t))
			refused(q.ID+": the challenge as verifier", must(q.Redeem(code(nil), url.Values{"code_verifier": {q.Challenge()}}))(t))
			q.MustRedeem(code(nil))
		}
		// A code that an attacker had issued without a challenge must not pass where a verifier comes.
		refused("no challenge, and a verifier", must(lax.Redeem(lax.Code(v.Open(lax.URL(none))), nil))(t))
		if got := must(lax.Redeem(lax.Code(v.Open(lax.URL(none))), url.Values{"code_verifier": nil}))(t); got.Status != http.StatusOK {
			t.Errorf("neither, where it is not demanded: %+v", got)
		}
	})
}

// An enrol session is good for User Services and linking alone (S19): not for the
// Service, not for userinfo, not for the rest of the API.
func TestEnrolSessionIsNarrow(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		aino, v, p := w.Newcomer("aino.alku", "kuntala"), w.Visitor(), w.Party("other")
		aino.FirstDay(v.Open(p.URL(nil))).Must("link-authenticator")
		us := w.As("user-services", w.Origin("services")+"/callback")
		v.Stop = us.Redirect
		got := us.MustRedeem(must(url.Parse(v.Open(us.URL(url.Values{"scope": {"openid profile us us.enrol offline_access"}})).Next))(t).Query().Get("code"))
		claims := got.Claims()
		if claims["acr"] != acrEnrol || !slices.Equal(strs(claims["amr"]), []string{"pwd"}) {
			t.Errorf("an enrol session's token says %v %v", claims["acr"], claims["amr"])
		}
		if got.Refresh != "" || slices.Contains(strings.Fields(got.Scope), "us") || slices.Contains(strings.Fields(got.Scope), "profile") {
			t.Errorf("an enrol session has a refresh token %t, scopes %q", got.Refresh != "", got.Scope)
		}
		if status, _ := api(t, w, "/api/v1/me", got.Access, ""); status != http.StatusOK {
			t.Errorf("its own account: %d", status)
		}
		for path, body := range map[string]string{"/api/v1/me/password": `{"current":"` + ownSecret + `","new":"kolme pientä porsasta metsässä"}`, "/api/v1/me/authenticator/trial": `{"code":"123456"}`} {
			if status, answer := api(t, w, path, got.Access, body); status < 400 {
				t.Errorf("%s with an enrol token: %d %s", path, status, answer)
			}
		}
		if status, body, err := p.Get("/userinfo", got.Access); err != nil || status == http.StatusOK && (strings.Contains(body, "Aino") || strings.Contains(body, aino.Email)) {
			t.Errorf("userinfo with an enrol token: %d %s %v", status, body, err)
		}
		v.Stop = ""
		for name, address := range map[string]string{"another client": p.URL(nil), "a weak demand": p.URL(url.Values{"acr_values": {acrEnrol}}), "the enrol scope": p.URL(url.Values{"scope": {"openid us.enrol"}}),
			"the Service": w.Origin("service") + "/records/1", "the Records": w.Origin("records") + "/secret"} {
			page := v.Open(address)
			if page.URL.Query().Has("code") || page.Has("acr") || page.Has("claims") {
				t.Errorf("%s is open: %s", name, page)
			}
		}
		// Nor the other way round: a Service's token is none for the API.
		otto, v2 := w.Settled("otto.ohjelma", "tietoapu", identity.MethodApp), w.Visitor()
		service := p.MustRedeem(p.Code(otto.SignIn(v2.Open(p.URL(nil)))))
		if status, body := api(t, w, "/api/v1/me", service.Access, ""); status != http.StatusForbidden {
			t.Errorf("a Service's access token at the API: %d %s", status, body)
		}
		if answer := p.Answer(v2.Open(p.URL(url.Values{"scope": {"openid us"}}))); answer.Has("code") {
			if scope := p.MustRedeem(answer.Get("code")).Scope; slices.Contains(strings.Fields(scope), "us") {
				t.Errorf("any client gets the API's scope: %q", scope)
			}
		}
		// Thirty minutes, however busy (S19).
		w.Clock.Advance(31 * time.Minute)
		if status, _ := api(t, w, "/api/v1/me", got.Access, ""); status != http.StatusUnauthorized {
			t.Errorf("an enrol token after 31 minutes: %d", status)
		}
		if page := v.Open(us.URL(url.Values{"prompt": {"none"}, "scope": {"openid us.enrol"}})); page.Has("link-authenticator") {
			t.Errorf("an enrol session after 31 minutes: %s", page)
		}
	})
}

// What the employer forbids is refused from the next request on: the sign-in, the
// silent sign-in, the refresh (S5), and the userinfo of what is out (S36).
func TestTightenedPolicy(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		molla, v, p := w.Settled("molla.molemmat", "kuntala", identity.MethodApp, identity.MethodCard), w.Visitor(), w.Party("other")
		offline := url.Values{"scope": {"openid profile offline_access"}}
		tokens := p.MustRedeem(p.Code(molla.SignIn(v.Open(p.URL(offline)))))
		tokens = must(p.Renew(tokens.Refresh))(t)
		if tokens.Status != http.StatusOK {
			t.Fatalf("refresh while the app is permitted: %+v", tokens)
		}
		w.Organisation("kuntala", func(o *identity.Organisation) { o.Methods = identity.MethodsOf(identity.MethodCard) })
		if got := must(p.Renew(tokens.Refresh))(t); got.Status != http.StatusBadRequest || got.Error != "invalid_grant" {
			t.Errorf("refresh after the app was forbidden: %+v", got)
		}
		if got := p.Answer(v.Open(p.URL(url.Values{"prompt": {"none"}}))); got.Has("code") {
			t.Errorf("single sign-on after the app was forbidden: %v", got)
		}
		if page := v.Open(p.URL(nil)); page.URL.Query().Has("code") {
			t.Errorf("single sign-on after the app was forbidden: %s", page)
		}
		page := molla.TypePassword(w.Visitor().Open(p.URL(nil)))
		if page.Has("code-submit") {
			page = page.Press("code-submit", "code", molla.Code())
		}
		if page.URL.Query().Has("code") {
			t.Errorf("a sign-in with the forbidden app: %s", page)
		}
		if page := molla.SignInWithCard(w.Visitor().Open(p.URL(nil))); p.Code(page) == "" { // S6: the card still works
			t.Errorf("the card: %s", page)
		}
	})
}

// A disabled user is out at once, at every replica (S36); an Order ends everything but
// the authenticator (S54).
func TestDisabledAndOrdered(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		p, last := w.Party("other"), w.Replicas[len(w.Replicas)-1]
		offline := url.Values{"scope": {"openid profile offline_access"}}
		type one struct {
			e *Employee
			v *Visitor
			t Tokens
		}
		in := func(name string) one {
			e, v := w.Settled(name, "kuntala", identity.MethodApp, identity.MethodCard), w.Visitor()
			e.SignIn(v.Open(w.Origin("service") + "/records/1")).Must("acr")
			return one{e, v, p.MustRedeem(p.Code(v.Open(p.URL(offline))))}
		}
		out := func(what string, o one) {
			t.Helper()
			last.Provider.Kick() // notices go out every few seconds anyway
			for range 4 {        // each replica more than once
				if p.alive(o.t.Access) {
					t.Errorf("%s: the access token lives", what)
				}
				if answer := p.Answer(o.v.Open(p.URL(url.Values{"prompt": {"none"}}))); answer.Get("error") != "login_required" {
					t.Errorf("%s: the session lives: %v", what, answer)
				}
			}
			if got := must(p.Renew(o.t.Refresh))(t); got.Error != "invalid_grant" {
				t.Errorf("%s: the refresh token lives: %+v", what, got)
			}
			eventually(t, what+": the Service has heard of it", func() bool { return !o.v.Open(w.Origin("service") + "/").Has("who") })
		}
		gone := in("lasse.lopetti")
		must(0, last.Directory.DisableUser(t.Context(), operator, gone.e.ID, identity.Why{Reason: "left"}))(t)
		out("disabled", gone)
		page := gone.e.SignInWithCard(w.Visitor().Open(p.URL(nil))).Must("card-failed")
		if got := page.Attr("card-failed", "data-verdict"); got != "account_disabled" {
			t.Errorf("the card of a disabled user: %q", got)
		}
		if page := gone.e.TypePassword(w.Visitor().Open(p.URL(nil))); !page.Has("problems") || page.Has("code-submit") {
			t.Errorf("the password of a disabled user: %s", page)
		}

		ordered := in("olli.order")
		temporary := must(last.Directory.Order(t.Context(), operator, ordered.e.ID, identity.Why{Reason: "forgot it"}))(t)
		out("ordered", ordered)
		if page := ordered.e.TypePassword(w.Visitor().Open(p.URL(nil))); !page.Has("problems") {
			t.Errorf("the old password: %s", page)
		}
		page = ordered.e.SignInWithCard(w.Visitor().Open(p.URL(nil))).Must("card-failed")
		if got := page.Attr("card-failed", "data-verdict"); got != "card_link_removed_by_order" {
			t.Errorf("the old card: %q", got)
		}
		ordered.e.Password = temporary
		page = ordered.e.TypePassword(w.Visitor().Open(p.URL(nil))).Must("code-submit") // S57: the code before the change
		page = page.Press("code-submit", "code", ordered.e.Code()).Must("change-submit")
		page = page.Press("change-submit", "new", "kolme pientä porsasta metsässä", "repeat", "kolme pientä porsasta metsässä")
		if p.Code(page) == "" {
			t.Errorf("after the change: %s", page)
		}
		if trail := must(last.Store.AuditEvents(t.Context(), store.Trail{User: string(ordered.e.ID), Types: []audit.Type{audit.PasswordOrdered}}))(t); len(trail) != 1 {
			t.Errorf("the trail knows of %d Orders", len(trail))
		}
	})
}

// A stolen password opens nothing where a link of any kind exists, User Services
// included: the code is asked for, or the card (S28, S31).
func TestPasswordAloneAddsNoLink(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		app, card := w.Settled("otto.ohjelma", "kuntala", identity.MethodApp), w.Settled("kaisa.kortti", "kuntala", identity.MethodCard)
		for _, c := range []struct {
			e     *Employee
			where string // the sign-in stands then
		}{{app, "code-submit"}, {card, "card-start"}} {
			v := w.Visitor()
			page := c.e.TypePassword(v.Open(w.Origin("services") + "/authenticator")).Must(c.where)
			if c.where == "card-start" && page.Has("code-submit") {
				t.Errorf("a code is asked of somebody who has only a card (S31, S32): %s", page)
			}
			tx := page.URL.String()
			for _, address := range []string{tx + "/finish", w.Issuer() + "/signin/resume", w.Origin("services") + "/", w.Origin("services") + "/card", w.Origin("services") + "/authenticator/confirm"} {
				if got := v.Open(address); got.URL.Host == hostOf(w.Origin("services")) && got.Status < 400 {
					t.Errorf("%s's password alone opens %s", c.e.Username, got)
				}
			}
			if v.Cookie(w.Issuer(), "sid") != "" {
				t.Errorf("%s's password alone makes a session", c.e.Username)
			}
		}
	})
}

// What the employer does not permit is not offered, and refused when it is asked for
// all the same (S4, S5, S10, S41, S42).
func TestForgedLinking(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		w.Organisation("kuntala", func(o *identity.Organisation) {
			o.Methods, o.PersonalPhones = identity.MethodsOf(identity.MethodCard, identity.MethodApp), false
		})
		aino, v := w.Newcomer("aino.alku", "kuntala"), w.Visitor()
		page := aino.FirstDay(v.Open(w.Origin("service")+"/records/1")).Follow("link-authenticator").Must("authenticator-start", "work_phone")
		if page.Has("kind-token") {
			t.Error("a token is offered")
		}
		forged := func(fields ...string) *Page {
			t.Helper()
			r := page.Form("authenticator-start")
			must(0, r.ParseForm())(t)
			form := r.PostForm
			for i := 0; i+1 < len(fields); i += 2 {
				form.Set(fields[i], fields[i+1])
			}
			return v.Post(r.URL.String(), "same-origin", form)
		}
		if got := forged("kind", "token", "own_device", "yes", "work_phone", "yes"); got.Status != http.StatusForbidden || got.Has("key") {
			t.Errorf("kind=token by force: %s", got)
		}
		for _, fields := range [][]string{{"kind", "app", "own_device", "yes"}, {"kind", "app", "work_phone", "yes"}, {"kind", "app", "own_device", "yes", "personal_phone", "yes"}, {"kind", "sms", "own_device", "yes"}} {
			if got := forged(fields...); got.Status < 400 || got.Has("key") {
				t.Errorf("%v: %s", fields, got)
			}
		}
		// Behind the pages the API decides the same.
		us := w.As("user-services", w.Origin("services")+"/callback")
		v.Stop = us.Redirect
		token := us.MustRedeem(must(url.Parse(v.Open(us.URL(url.Values{"scope": {"openid us us.enrol"}})).Next))(t).Query().Get("code")).Access
		v.Stop = ""
		if status, body := api(t, w, "/api/v1/me/authenticator", token, "{}"); status != http.StatusOK {
			t.Fatalf("begin: %d %s", status, body)
		} else {
			var e struct{ Key string }
			must(0, json.Unmarshal([]byte(body), &e))(t)
			aino.Scan(e.Key)
		}
		code := aino.Code()
		for name, body := range map[string]string{
			"a forbidden kind": `{"kind":"token","code":"` + code + `","own_device":true,"work_phone":true}`, "no tick of one's own device": `{"kind":"app","code":"` + code + `","work_phone":true}`,
			"no tick of a work phone": `{"kind":"app","code":"` + code + `","own_device":true}`, "a wrong code": `{"kind":"app","code":"000000","own_device":true,"work_phone":true}`,
			"somebody else": `{"kind":"app","code":"` + code + `","own_device":true,"work_phone":true,"user":"x"}`,
		} {
			if status, answer := api(t, w, "/api/v1/me/authenticator/confirm", token, body); status < 400 {
				t.Errorf("%s: %d %s", name, status, answer)
			}
		}
		if page := v.Open(w.Origin("services") + "/"); !page.Has("link-authenticator") { // S37: nothing was linked by any of it
			t.Errorf("after all that: %s", page)
		}
		// Linked for once, and never twice (S41).
		aino.LinkApp(v.Open(w.Origin("services") + "/")).Must("code-submit")
		if status, body := api(t, w, "/api/v1/me/authenticator", token, "{}"); status < 400 {
			t.Errorf("a second authenticator: %d %s", status, body)
		}
	})
}

// A disabled client is out: no sign-in, no exchange, no refresh. Replicas keep a
// client in mind for a moment.
func TestDisabledClient(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		otto, v, p := w.Settled("otto.ohjelma", "tietoapu", identity.MethodApp), w.Visitor(), w.Party("other")
		otto.SignIn(v.Open(p.URL(nil)))
		tokens := p.MustRedeem(p.Code(v.Open(p.URL(url.Values{"scope": {"openid offline_access"}}))))
		code := p.Code(v.Open(p.URL(nil)))
		must(w.Clients.Disable(t.Context(), operator.Name, p.ID, false))(t)
		w.Clock.Advance(6 * time.Second)
		for range 2 {
			if page := v.Open(p.URL(nil)); page.URL.Host == hostOf(p.Redirect) || !page.Has("oauth-error") {
				t.Errorf("authorize: %s", page)
			}
			for name, got := range map[string]Tokens{"exchange": must(p.Redeem(code, nil))(t), "refresh": must(p.Renew(tokens.Refresh))(t)} {
				if got.Status < 400 || got.Access != "" {
					t.Errorf("%s: %+v", name, got)
				}
			}
		}
	})
}
