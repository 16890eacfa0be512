package e2e

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/identity"
)

// The first day with an authenticator, from a deep link to the page behind it
// (S13–S20, S37): the temporary password, the change, User Services, the link, its
// code once, and the Service.
func TestFirstDayWithAnAuthenticator(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		aino, v := w.Newcomer("aino.alku", "kuntala"), w.Visitor()
		page := aino.FirstDay(v.Open(w.Origin("service") + "/records/7"))
		page.Must("link-authenticator", "link-card")
		if page.URL.Host != hostOf(w.Origin("services")) {
			t.Fatalf("whoever has linked nothing must be led to User Services, not to %s", page)
		}
		page = aino.LinkApp(page).Must("code-submit") // S20: the new method is proved once
		page = page.Press("code-submit", "code", aino.Code()).Must("acr", "claims")
		if page.URL.String() != w.Origin("service")+"/records/7" || page.Text("acr") != acrCode || page.Text("amr") != "pwd otp mfa" { // S1
			t.Fatalf("acr %q amr %q on %s", page.Text("acr"), page.Text("amr"), page)
		}
		if page.Text("who") != "Aino Alku" {
			t.Errorf("signed in as %q", page.Text("who"))
		}
	})
}

// The first day with a card (S14, S18, S20, S25, S26).
func TestFirstDayWithACard(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		kai, v := w.Newcomer("kai.kustaa", "saaristo"), w.Visitor()
		page := v.Open(w.Origin("service") + "/records/7")
		page = kai.SignInWithCard(page).Must("card-failed") // S14: not before it is linked
		if got := page.Attr("card-failed", "data-verdict"); got != "card_not_linked" {
			t.Fatalf("an unlinked card: %q on %s", got, page)
		}
		page = kai.FirstDay(v.Open(w.Origin("service") + "/records/7")).Must("link-card")
		if page.Has("link-authenticator") {
			t.Error("an authenticator is offered that the employer does not permit (S5, S18)")
		}
		page = kai.LinkCard(page).Must("card-start") // S20
		page = page.Press("card-start").Must("acr")
		if page.URL.String() != w.Origin("service")+"/records/7" || page.Text("acr") != acrCard || page.Text("amr") != "sc pin hwk mfa" { // S1
			t.Fatalf("acr %q amr %q on %s", page.Text("acr"), page.Text("amr"), page)
		}
	})
}

// Later days: one page for the card, two for password and code, and straight to the
// page that was asked for (S2, S43).
func TestSignInFromADeepLink(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		otto, kaisa := w.Settled("otto.ohjelma", "tietoapu", identity.MethodApp), w.Settled("kaisa.kortti", "saaristo", identity.MethodCard)
		deep := w.Origin("service") + "/records/42"
		if page := otto.SignIn(w.Visitor().Open(deep)).Must("acr"); page.URL.String() != deep || page.Text("acr") != acrCode {
			t.Errorf("password and code: %q on %s", page.Text("acr"), page)
		}
		if page := kaisa.SignInWithCard(w.Visitor().Open(deep)).Must("acr"); page.URL.String() != deep || page.Text("acr") != acrCard {
			t.Errorf("card: %q on %s", page.Text("acr"), page)
		}
	})
}

// The session serves other clients, as far as it is strong enough; what is stronger
// is asked for on top, and what was reached stays.
func TestSingleSignOnAndStepUp(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		molla, v := w.Settled("molla.molemmat", "kuntala", identity.MethodApp, identity.MethodCard), w.Visitor()
		molla.SignIn(v.Open(w.Origin("service") + "/records/1")).Must("acr")

		other := w.Party("other")
		page := v.Open(other.URL(nil))
		first := other.MustRedeem(other.Code(page)).Claims() // no page in between
		if first["acr"] != acrCode || first["nonce"] != "nonce-other" || first["sub"] != string(molla.ID) {
			t.Fatalf("single sign-on: %v", first)
		}

		page = v.Open(w.Origin("records") + "/records/1").Must("card-start") // this client's minimum is the card
		if page.Has("login-submit") {
			t.Error("a password is asked for where it would not be enough")
		}
		page = molla.SignInWithCard(page).Must("acr")
		if page.URL.String() != w.Origin("records")+"/records/1" || page.Text("acr") != acrCard {
			t.Fatalf("step-up: %q on %s", page.Text("acr"), page)
		}
		w.Clock.Advance(2 * time.Second)
		second := other.MustRedeem(other.Code(v.Open(other.URL(nil)))).Claims()
		if second["acr"] != acrCard || !slices.Equal(strs(second["amr"]), []string{"sc", "pin", "hwk", "mfa"}) || second["sub"] != first["sub"] {
			t.Errorf("after the step-up: %v", second)
		}
		page = v.Open(w.Origin("service") + "/secret").Must("secret") // asks for the card, and has it at once
		if page.Text("acr") != acrCard {
			t.Errorf("the Service's own step-up: %s", page)
		}
	})
}

// Logging out of one application ends the session at the provider and at every
// application that was signed in to with it (S72), through back-channel logout.
func TestLogoutEndsEveryApplication(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		molla, v := w.Settled("molla.molemmat", "kuntala", identity.MethodCard), w.Visitor()
		molla.SignInWithCard(v.Open(w.Origin("service") + "/records/1")).Must("acr")
		v.Open(w.Origin("records") + "/records/1").Must("acr")
		v.Insert(nil)

		page := v.Open(w.Origin("service") + "/records/1").Press("logout").Must("signed-out")
		if page.URL.String() != w.Origin("service")+"/signed-out" {
			t.Errorf("logged out to %s", page)
		}
		eventually(t, "the other application has heard of it", func() bool { return !v.Open(w.Origin("records") + "/").Has("who") })
		v.Open(w.Origin("records") + "/records/1").Must("login-submit") // a new sign-in, from the beginning
		if got := v.Open(w.Origin("service") + "/check"); !got.Has("notice") || got.URL.Query().Get("sso") != "login_required" {
			t.Errorf("prompt=none after the logout: %s", got)
		}
	})
}

// Userinfo and refresh, with rotation: each refresh token works once.
func TestUserinfoAndRefresh(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		otto, v, p := w.Settled("otto.ohjelma", "tietoapu", identity.MethodApp), w.Visitor(), w.Party("other")
		otto.SignIn(v.Open(p.URL(url.Values{"scope": {"openid profile email offline_access"}, "prompt": {"consent"}})))
		tokens := p.MustRedeem(p.Code(v.Open(p.URL(url.Values{"scope": {"openid profile email offline_access"}}))))
		if tokens.Refresh == "" || tokens.Seconds <= 0 {
			t.Fatalf("tokens: %+v", tokens)
		}
		if status, body, err := p.Get("/userinfo", tokens.Access); err != nil || status != http.StatusOK || !strings.Contains(body, `"Otto Ohjelma"`) || !strings.Contains(body, string(otto.ID)) {
			t.Errorf("userinfo: %d %s %v", status, body, err)
		}
		renewed := must(p.Renew(tokens.Refresh))(t)
		if renewed.Status != http.StatusOK || renewed.Refresh == tokens.Refresh || renewed.Access == tokens.Access {
			t.Fatalf("refresh: %+v", renewed)
		}
		before, after := tokens.Claims(), renewed.Claims()
		for _, name := range []string{"iss", "sub", "aud", "auth_time", "acr", "sid"} {
			if _, ok := before[name]; !ok || !equalClaim(before[name], after[name]) {
				t.Errorf("%s: %v became %v", name, before[name], after[name])
			}
		}
		if !p.alive(renewed.Access) {
			t.Error("the renewed access token is dead")
		}
		if again := must(p.Renew(tokens.Refresh))(t); again.Status != http.StatusBadRequest || again.Error != "invalid_grant" {
			t.Errorf("a refresh token used twice: %+v", again)
		}
		if p.alive(renewed.Access) || p.alive(tokens.Access) {
			t.Error("a stolen refresh token leaves its family alive (RFC 9700 §4.14.2)")
		}
	})
}

// prompt=none never shows a page, and says what is missing.
func TestPromptNone(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		otto, aino, p := w.Settled("otto.ohjelma", "tietoapu", identity.MethodApp), w.Newcomer("aino.alku", "kuntala"), w.Party("other")
		silent := p.URL(url.Values{"prompt": {"none"}})
		ask := func(v *Visitor, want string) {
			t.Helper()
			answer := p.Answer(v.Open(silent))
			if answer.Get("error") != want || answer.Get("state") != "state-other" || answer.Get("iss") != w.Issuer() || (want == "") != answer.Has("code") {
				t.Errorf("want %q, got %v", want, answer)
			}
		}
		v := w.Visitor()
		ask(v, "login_required")
		otto.SignIn(v.Open(p.URL(nil)))
		ask(v, "")
		if got := p.Answer(v.Open(p.URL(url.Values{"prompt": {"none"}, "acr_values": {acrCard}}))).Get("error"); got == "" {
			t.Log("acr_values is a preference here: see ADR 0052")
		}
		v = w.Visitor()
		aino.FirstDay(v.Open(p.URL(nil))).Must("link-authenticator")
		ask(v, "interaction_required") // S18
	})
}

// max_age and prompt=login ask again, and auth_time tells that it was done.
func TestMaxAge(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		otto, v, p := w.Settled("otto.ohjelma", "tietoapu", identity.MethodApp), w.Visitor(), w.Party("other")
		first := p.MustRedeem(p.Code(otto.SignIn(v.Open(p.URL(nil))))).Claims()["auth_time"].(float64)
		w.Clock.Advance(2 * time.Minute)
		same := p.MustRedeem(p.Code(v.Open(p.URL(url.Values{"max_age": {"10000"}})))).Claims()["auth_time"].(float64)
		if same != first {
			t.Errorf("auth_time moved from %v to %v without a sign-in", first, same)
		}
		if got := p.Answer(v.Open(p.URL(url.Values{"max_age": {"60"}, "prompt": {"none"}}))).Get("error"); got != "login_required" {
			t.Errorf("max_age and prompt=none: %q", got)
		}
		last := same
		for _, extra := range []url.Values{{"max_age": {"60"}}, {"prompt": {"login"}}, {"max_age": {"0"}}} {
			w.Clock.Advance(2 * time.Minute)
			now := p.MustRedeem(p.Code(otto.SignIn(v.Open(p.URL(extra)).Must("login-submit")))).Claims()["auth_time"].(float64)
			if now <= last {
				t.Errorf("%v: auth_time %v is not later than %v", extra, now, last)
			}
			last = now
		}
	})
}

// A temporary password opens nothing but its own change (S15).
func TestTemporaryPasswordOpensNothing(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		aino, v, p := w.Newcomer("aino.alku", "kuntala"), w.Visitor(), w.Party("other")
		page := aino.TypePassword(v.Open(p.URL(nil))).Must("change-submit")
		tx := page.URL
		for _, address := range []string{tx.String() + "/finish", tx.String() + "/code", tx.String() + "/card", w.Issuer() + "/signin/resume", p.URL(nil),
			p.URL(url.Values{"prompt": {"none"}}), w.Origin("services") + "/", w.Origin("services") + "/authenticator", w.Origin("service") + "/records/1"} {
			got := v.Open(address)
			if got.URL.Host == hostOf(p.Redirect) && got.URL.Query().Has("code") || got.Has("acr") || got.Has("link-card") || got.Has("link-authenticator") {
				t.Errorf("%s opens %s", address, got)
			}
		}
		if v.Cookie(w.Issuer(), "sid") != "" {
			t.Error("there is a session")
		}
		v.Open(tx.String()).Must("change-submit")
	})
}

// A temporary password that has expired looks like a wrong one (S16).
func TestExpiredTemporaryPassword(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		aino, p := w.Newcomer("aino.alku", "kuntala"), w.Party("other")
		w.Clock.Advance(15 * 24 * time.Hour)
		expired := aino.TypePassword(w.Visitor().Open(p.URL(nil))).MustStatus(http.StatusUnauthorized).Must("login-submit", "problems")
		wrong := w.Visitor().Open(p.URL(nil)).Press("login-submit", "username", "nobody.at-all", "password", "k7wp-3mxd-hy9c-tqa2").Must("problems")
		if expired.Text("problems") != wrong.Text("problems") || expired.Status != wrong.Status {
			t.Errorf("expired: %q; unknown: %q", expired.Text("problems"), wrong.Text("problems"))
		}
	})
}

// Wrong, replayed and shifted codes (S44, S45).
func TestWrongAndReplayedCodes(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		otto, p := w.Settled("otto.ohjelma", "tietoapu", identity.MethodApp), w.Party("other")
		v := w.Visitor()
		page := otto.TypePassword(v.Open(p.URL(nil))).Must("code-submit")
		code := otto.Code()
		wrong := "000000"
		if code == wrong {
			wrong = "000001"
		}
		page = page.Press("code-submit", "code", wrong).MustStatus(http.StatusBadRequest).Must("code-submit", "problems")
		if got := p.Answer(page.Press("code-submit", "code", code[:3]+" "+code[3:])); got.Get("code") == "" { // blanks do not matter
			t.Fatalf("the right code after a wrong one: %v", got)
		}
		v = w.Visitor()
		page = otto.TypePassword(v.Open(p.URL(nil))).Press("code-submit", "code", code).Must("code-submit", "problems")
		if !strings.Contains(page.Text("problems"), "already") {
			t.Errorf("a code used twice: %s", page)
		}
		// The same after linking: the code that linked counts as used.
		aino := w.Newcomer("aino.alku", "kuntala")
		page = aino.LinkApp(aino.FirstDay(w.Visitor().Open(p.URL(nil)))).Must("code-submit")
		page = page.Press("code-submit", "code", aino.LastCode()).Must("code-submit", "problems")
		if !strings.Contains(page.Text("problems"), "already") {
			t.Errorf("the code of the linking at sign-in: %s", page)
		}
	})
}

// What was begun goes on after a restart: the session, the refresh token, the access
// token, a code that waits to be redeemed, the keys that signed.
func TestRestartLosesNothing(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		otto, v, p := w.Settled("otto.ohjelma", "tietoapu", identity.MethodApp), w.Visitor(), w.Party("other")
		otto.SignIn(v.Open(p.URL(nil)))
		tokens := p.MustRedeem(p.Code(v.Open(p.URL(url.Values{"scope": {"openid offline_access"}}))))
		code := p.Code(v.Open(p.URL(nil)))
		jwks := v.Open(w.Issuer() + "/jwks").Body
		w.Restart()
		if !p.alive(tokens.Access) {
			t.Error("the access token is dead")
		}
		p.MustRedeem(code)
		if got := must(p.Renew(tokens.Refresh))(t); got.Status != http.StatusOK {
			t.Errorf("the refresh token: %+v", got)
		}
		if answer := p.Answer(v.Open(p.URL(url.Values{"prompt": {"none"}}))); !answer.Has("code") {
			t.Errorf("the session: %v", answer)
		}
		if now := v.Open(w.Issuer() + "/jwks").Body; now != jwks {
			t.Error("the keys are others")
		}
	})
}

// An authorization code works once, for its client, its redirect URI and its
// verifier, and for a minute.
func TestWrongAuthorizationCodes(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		otto, v, p := w.Settled("otto.ohjelma", "tietoapu", identity.MethodApp), w.Visitor(), w.Party("other")
		q := w.Party("other2")
		otto.SignIn(v.Open(p.URL(nil)))
		fresh := func() string { return p.Code(v.Open(p.URL(nil))) }
		refused := func(what string, got Tokens) {
			t.Helper()
			if got.Status != http.StatusBadRequest || got.Error != "invalid_grant" || got.Access != "" {
				t.Errorf("%s: %+v", what, got)
			}
		}
		refused("made up", must(p.Redeem("AAAAAAAAAAAAAAAAAAAAAAAAAA", nil))(t))
		refused("another redirect URI", must(p.Redeem(fresh(), url.Values{"redirect_uri": {p.Redirect + "?x=1"}}))(t))
		refused("another verifier", must(p.Redeem(fresh(), url.Values{"code_verifier": {q.Verifier}}))(t))
		refused("no verifier", must(p.Redeem(fresh(), url.Values{"code_verifier": nil}))(t))
		refused("another client", must(q.Redeem(fresh(), url.Values{"code_verifier": {p.Verifier}}))(t))
		code := fresh()
		tokens := p.MustRedeem(code)
		refused("a second time", must(p.Redeem(code, nil))(t))
		if p.alive(tokens.Access) {
			t.Error("a replayed code leaves its access token alive (RFC 6749 §4.1.2)")
		}
		code = fresh()
		w.Clock.Advance(2 * time.Minute)
		if w.Pair == SQLiteMemory { // Redis keeps the time of its own clock
			refused("too late", must(p.Redeem(code, nil))(t))
		}
	})
}

func hostOf(address string) string {
	u, _ := url.Parse(address)
	return u.Host
}

func strs(v any) []string {
	var all []string
	list, _ := v.([]any)
	for _, s := range list {
		all = append(all, s.(string))
	}
	return all
}

func equalClaim(a, b any) bool {
	if l, ok := a.([]any); ok {
		return slices.Equal(strs(l), strs(b))
	}
	return a == b
}
