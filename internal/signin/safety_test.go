package signin

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/login"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/session"
	"github.com/portti-id/portti/internal/throttle"
	"github.com/portti-id/portti/templates"
)

// token is what differs from page to page: the forms' tokens, and the reference.
var token = regexp.MustCompile(`name="csrf" value="[^"]*"|<p id="support-reference">[^<]*</p>`)

func sorted(h http.Header) []string {
	var lines []string
	for name, values := range h {
		lines = append(lines, name+": "+strings.Join(values, ", "))
	}
	slices.Sort(lines)
	return lines
}

// forms is every address that takes a form of ours, with what would do harm.
func forms(tx string) map[string]url.Values {
	return map[string]url.Values{
		tx + "/password":                   {"username": {"matti"}, "password": {ownPassword}},
		tx + "/code":                       {"code": {"123456"}},
		tx + "/change":                     {"new": {ownPassword}, "repeat": {ownPassword}},
		tx + "/card":                       {},
		tx + "/over":                       {},
		tx + "/cancel":                     {},
		tx + "/consent":                    {},
		tx + "/deny":                       {},
		openid.EndSessionPath + "/confirm": {},
	}
}

// A form that is not ours does nothing, whichever way it comes.
func TestForgedForms(t *testing.T) {
	k := newKit(t)
	id := k.linkApp(k.settled("Matti"))
	b, other := k.browser(), k.browser()
	b.signIn("service", "matti", id).sentTo(serviceBack)
	sid := b.cookie("sid")
	page := b.visit("service", "prompt", "login")
	good := page.form("login-submit").values.Get("csrf")
	strange := other.visit("service").form("login-submit").values.Get("csrf")
	for path, values := range forms(page.at) {
		for name, c := range map[string]struct {
			token  string
			header []string
		}{
			"no token":          {},
			"nonsense":          {token: "nonsense"},
			"another browser's": {token: strange},
			"cross-site":        {good, []string{"Sec-Fetch-Site", "cross-site"}},
			"same-site":         {good, []string{"Sec-Fetch-Site", "same-site"}},
			"another origin":    {good, []string{"Origin", "https://evil.example"}},
		} {
			values.Set("csrf", c.token)
			if answer := b.post(path, values, c.header...); answer.status != 403 || answer.to != nil || !answer.has("error") {
				t.Errorf("%s with %s: %d %v", path, name, answer.status, answer.to)
			}
		}
	}
	if f := k.flow(b, page.at); f.Step != login.AskPassword || f.Attempt != "" {
		t.Errorf("the sign-in moved: %+v", f)
	}
	if _, err := k.pages.Sessions.Find(t.Context(), sid); err != nil || b.cookie("sid") != sid {
		t.Errorf("the session ended: %v", err)
	}
	b.get(page.at).is(200, "username") // and was not cancelled
}

// flow is where a browser's sign-in stands.
func (k *kit) flow(b *person, path string) login.Flow {
	k.t.Helper()
	r := httptest.NewRequest("GET", path, nil)
	r.SetPathValue("tx", strings.TrimPrefix(path, "/signin/"))
	u := must(url.Parse(k.url))(k.t)
	for _, c := range b.http.Jar.Cookies(u) {
		r.AddCookie(c)
	}
	in := must(k.pages.open(httptest.NewRecorder(), r))(k.t)
	return must(k.login.Start(k.t.Context(), in.demand, in.session))(k.t)
}

// A transaction exists in its own browser only; everywhere else, and when the
// cookies are gone, a page says how to begin again (S68).
func TestAnotherBrowserAndClearedCookies(t *testing.T) {
	k := newKit(t)
	id := k.linkApp(k.settled("Matti"))
	b, other := k.browser(), k.browser()
	page := b.visit("service").press("login-submit", "username", "matti", "password", ownPassword).is(200, "code")
	other.visit("service")
	csrf := other.visit("service").form("login-submit").values.Get("csrf")
	for _, path := range []string{"", "/finish", "/card?code=x", "/card?refused=expired"} {
		other.get(page.at+path).is(410, "restart", "return")
	}
	for path, values := range forms(page.at) {
		if strings.HasPrefix(path, openid.EndSessionPath) {
			continue
		}
		values.Set("csrf", csrf)
		values.Set("code", k.code(id))
		if strings.HasSuffix(path, "/code") {
			values.Set("code", k.code(id))
		}
		if gone := other.post(path, values).is(410, "restart", "return"); !strings.Contains(gone.body, `"`+page.at+`?lang=sv"`) {
			t.Errorf("the language links of %s lead to a form: %s", path, gone.body)
		}
	}
	if other.cookie("sid") != "" {
		t.Error("the other browser is signed in")
	}
	stale := page.form("code-submit")
	b.forget()
	gone := b.get(page.at).is(410, "restart", "return").says("restart.do")
	if !strings.Contains(gone.body, "https://service.example/") {
		t.Error("no way back to the service")
	}
	b.forget()
	b.post(stale.action, stale.values).is(410, "restart", "return")
	for _, path := range []string{"/signin/card/restart", "/signin/nonsense", "/signin/nonsense/finish"} {
		b.get(path).is(410, "restart")
	}
	b.get("/signin/nonsense/nonsense").is(404, "error")
}

// Every page of a sign-in in every language, with the service's name in it; the
// service's wish comes first, the person's choice before it.
func TestLanguages(t *testing.T) {
	k := newKit(t)
	id := k.linkApp(k.settled("Matti"))
	b := k.browser()
	page := b.visit("service", "ui_locales", "de sv fi").is(200, "username").says("login.to", "service", "Registret")
	if page.header.Get("Content-Language") != "sv" {
		t.Fatalf("in %s", page.header.Get("Content-Language"))
	}
	for _, lang := range templates.Languages {
		if page = b.get(page.at+"?lang="+lang).is(200, "username"); page.header.Get("Content-Language") != lang {
			t.Errorf("in %s, want %s", page.header.Get("Content-Language"), lang)
		}
		page.at, _, _ = strings.Cut(page.at, "?")
	}
	page = page.press("login-submit", "username", "matti", "password", "wrong").is(401, "username").says("login.to", "service", "Registry")
	if strings.Contains(page.body, `/password?lang=`) {
		t.Error("the language links lead to a form's address")
	}
	page = page.press("login-submit", "username", "matti", "password", ownPassword).is(200, "code")
	for _, lang := range templates.Languages {
		b.get(page.at+"?lang="+lang).is(200, "code").says("otp.validity")
		b.get(page.at + "/order?lang=" + lang).is(200).says("order.lead")
		b.get("/?lang=" + lang).is(200).says("start.text")
		b.get("/order?lang=" + lang).is(200).says("order.warn")
	}
	temporary := must(k.dir.Order(t.Context(), operator, k.settled("Liisa"), identity.Why{Reason: "x"}))(t)
	page = b.visit("service").press("login-submit", "username", "liisa", "password", temporary)
	for _, lang := range templates.Languages {
		b.get(page.at+"?lang="+lang).is(200, "new", "repeat").says("pw.temp")
	}
	k.linkCard(k.settled("Kalle"), "01")
	page = b.visit("service").press("login-submit", "username", "kalle", "password", ownPassword)
	for _, lang := range templates.Languages {
		b.get(page.at+"?lang="+lang).is(200, "card-start").says("card.only.title")
		b.get("/signin/x?lang="+lang).is(410, "restart")
		b.get("/authorize?client_id=nobody&lang="+lang).is(400, "oauth-error").says("oauth.title")
	}
	_ = id
}

// An address that has left too many sign-ins waiting gets a page that blames nobody,
// and says when to come again.
func TestTooManySignInsBegun(t *testing.T) {
	k := newKit(t)
	b := k.browser()
	b.visit("service").is(200, "login-submit")
	use := throttle.Use{Limit: throttle.RequestsPerAddress, Subject: "127.0.0.1"}
	limits := &throttle.Throttle{Store: k.eph}
	for limits.Attempt(t.Context(), use) == nil {
	}
	for _, lang := range templates.Languages {
		page := b.visit("service", "lang", lang).is(429, "oauth-error").says("oauth.title").says("oauth.busy").says("oauth.busy.do")
		if page.header.Get("Content-Language") != lang || page.header.Get("Retry-After") == "" || strings.Contains(page.body, k.pages.Site.Texts().Text(lang, "oauth.text")) {
			t.Errorf("%s: %v %s", lang, page.header, page.body)
		}
	}
}

// Forms of a sign-in may end at the service, the card host and User Services, and
// nowhere else.
func TestFormAction(t *testing.T) {
	k := newKit(t)
	b := k.browser()
	page := b.visit("service")
	policy := page.header.Get("Content-Security-Policy")
	for _, origin := range []string{"'self'", "https://service.example", "https://services.example", cardHost} {
		if !slices.Contains(strings.Fields(policy[strings.Index(policy, "form-action"):]), origin) {
			t.Errorf("%s is not in %s", origin, policy)
		}
	}
	if policy := b.visit("cards").header.Get("Content-Security-Policy"); !strings.Contains(policy, "https://service.example") {
		t.Errorf("the way back is not in %s", policy) // that client has no home, only a redirect URI
	}
	if strings.Contains(b.get("/").header.Get("Content-Security-Policy"), "service.example") {
		t.Error("a page without a sign-in may lead to a service")
	}
	for address, want := range map[string]string{
		"https://a.example/cb?x=1": "https://a.example", "http://127.0.0.1:5000/cb": "http://127.0.0.1:5000", "com.example.app://": "com.example.app:",
		"com.example.app:/cb": "com.example.app:", "https://a.example": "https://a.example",
	} {
		if got := formOrigin(address); got != want {
			t.Errorf("formOrigin(%q) = %q, want %q", address, got, want)
		}
	}
}

func TestOAuthError(t *testing.T) {
	k := newKit(t)
	b := k.browser()
	page := b.visit("service", "redirect_uri", "https://evil.example/").is(400, "oauth-error")
	if !strings.Contains(page.body, "redirect_uri") || !strings.Contains(page.body, `href="https://service.example/"`) || strings.Contains(page.body, `"https://evil`) {
		t.Errorf("page %s", page.body)
	}
	b.visit("nobody").is(400, "oauth-error")
}

// What the pages know is in no log: not a password, a code, a cookie, a ticket or
// a token, on any way through.
func TestNoSecretIsLogged(t *testing.T) {
	k := newKit(t)
	id, temporary := k.newcomer("Liisa")
	b := k.browser()
	var secrets []string
	note := func(all ...string) { secrets = append(secrets, all...) }
	page := b.visit("service")
	note(page.form("login-submit").values.Get("csrf"), b.cookie("browser"), strings.TrimPrefix(page.at, "/signin/"))
	page = page.press("login-submit", "username", "liisa", "password", "canary-wrong-password")
	note("canary-wrong-password", temporary, ownPassword, "canary-short")
	page = page.press("login-submit", "username", "liisa", "password", temporary).press("change-submit", "new", "canary-short", "repeat", "canary-short")
	page.press("change-submit", "new", ownPassword, "repeat", ownPassword).sentTo(userServices)
	note(b.cookie("sid"))
	k.linkApp(id)
	page = b.get("/signin/resume")
	wrong, code := k.wrongCode(id), k.code(id)
	note(wrong, code)
	done := page.press("code-submit", "code", wrong).press("code-submit", "code", code).sentTo(serviceBack)
	note(b.cookie("sid"), done.to.Query().Get("code"))
	c := done.claims("service")
	note(c["raw"].(string))
	k.add(1e9)
	page = b.visit("service", "prompt", "login")
	to := page.press("card-start").to.String()
	back := k.present(to, k.good("00ca7a1"))
	note(to[strings.LastIndex(to, "/")+1:], must(url.Parse(back))(t).Query().Get("code"), "00ca7a1", "fingerprint-00ca7a1")
	b.get(back).is(403, "card-failed")
	b.get(openid.EndSessionPath+"?"+url.Values{"id_token_hint": {c["raw"].(string)}, "state": {"canary-state"}}.Encode()).is(200, "logged-out")
	note("canary-state")
	logs := k.logs.String()
	for _, secret := range secrets {
		if secret == "" {
			t.Error("a secret is empty: the test looks for nothing")
		} else if regexp.MustCompile(`\b` + regexp.QuoteMeta(secret) + `\b`).MatchString(logs) { // as a word: six digits stand in every duration
			t.Errorf("%q is in the log: %s", secret, logs)
		}
	}
	if !strings.Contains(logs, "POST /signin/{tx}/password") {
		t.Error("the log is empty")
	}
}

// broken is a provider whose backends do not answer.
type broken struct {
	Provider
	err error
}

func (p broken) Complete(http.ResponseWriter, *http.Request, string, session.Session) error {
	return p.err
}

func (p broken) EndSession(context.Context, string, string) error { return p.err }

// A backend that is away is a page of its own, and nothing is lost: when it is
// back, the sign-in goes on.
func TestBackendAway(t *testing.T) {
	k := newKit(t)
	id := k.linkApp(k.settled("Matti"))
	provider := k.pages.Provider
	k.pages.Provider = broken{provider, fault.New(fault.Unavailable, "ephemeral_unavailable", "away")}
	b := k.browser()
	page := b.visit("service").press("login-submit", "username", "matti", "password", ownPassword)
	page.press("code-submit", "code", k.code(id)).is(503, "error")
	k.pages.Provider = provider
	b.get(page.at).claims("service")
}

// When the former person's session cannot be ended, the browser is not left in it.
func TestFormerSessionThatCannotBeEnded(t *testing.T) {
	k := newKit(t)
	matti, liisa := k.linkApp(k.settled("Matti")), k.linkApp(k.settled("Liisa"))
	b := k.browser()
	tab := b.visit("service").press("login-submit", "username", "liisa", "password", ownPassword).is(200, "code")
	b.signIn("service", "matti", matti).sentTo(serviceBack)
	provider := k.pages.Provider
	k.pages.Provider = broken{provider, fault.New(fault.Unavailable, "database_unavailable", "away")}
	tab.press("code-submit", "code", k.code(liisa)).is(503, "error")
	k.pages.Provider = provider
	if c := b.visit("service").claims("service"); c["sub"] != string(liisa) {
		t.Errorf("signed in as %v", c["sub"])
	}
}
