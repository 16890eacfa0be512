package signin

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/session"
)

// S15, S17, S18, S19, S20: temporary password, forced change, User Services, and
// after linking the waiting service opens by itself.
func TestFirstDay(t *testing.T) {
	k := newKit(t)
	id, temporary := k.newcomer("Liisa", identity.MethodApp)
	b := k.browser()
	page := b.visit("service").is(200, "username", "password", "login-submit", "login-cancel", "card-start").says("login.to", "service", "Rekisteri")
	tx := page.at

	page = page.press("login-submit", "username", "liisa", "password", temporary).is(200, "new", "repeat", "change-submit")
	if page.at != tx || strings.Contains(page.body, temporary) {
		t.Fatalf("at %s: %s", page.at, page.body)
	}
	page = page.press("change-submit", "new", "short", "repeat", "short").is(400, "new-problem", "problems").says("fault.password_too_short", "n", "15")
	page = page.press("change-submit", "new", ownPassword, "repeat", "another").is(400, "repeat-problem").says("fault.password_mismatch")
	page = page.press("change-submit", "new", temporary, "repeat", temporary).is(400, "new-problem")
	if strings.Contains(page.body, temporary) || strings.Contains(page.body, ownPassword) {
		t.Error("a password is on the page")
	}
	page.press("change-submit", "new", ownPassword, "repeat", ownPassword).sentTo(userServices)
	enrol := b.cookie("sid")
	if enrol == "" {
		t.Fatal("no session")
	}
	if s := must(k.pages.Sessions.Find(t.Context(), enrol))(t); s.Level != session.Enrol || "/signin/"+s.Waiting != tx {
		t.Errorf("session %+v, transaction %s", s, tx)
	}

	// User Services get in with it; the service does not (S19).
	if c := b.visit("user-services").claims("user-services"); c["acr"] != "urn:portti:acr:enrol" {
		t.Errorf("acr %v", c["acr"])
	}
	b.visit("service").is(200, "username")
	b.get("/signin/resume").is(200, "username")

	k.linkApp(id)
	page = b.get("/signin/resume").is(200, "code", "code-submit").says("enrol.linked").says("otp.device")
	done := page.press("code-submit", "code", k.code(id))
	c := done.claims("service")
	if c["acr"] != "urn:portti:acr:pwd-otp" || c["sub"] != string(id) {
		t.Errorf("claims %v", c)
	}
	if b.cookie("sid") == enrol {
		t.Error("the session's secret stayed the same over a sign-in")
	}
	if _, err := k.pages.Sessions.Find(t.Context(), enrol); err == nil {
		t.Error("the enrol session's cookie opens something")
	}
	b.get("/signin/resume").sentTo(userServices) // nothing waits any more
	b.get("/signin/"+strings.TrimPrefix(tx, "/signin/")).is(410, "restart")
}

// S57: the code comes before the change of an ordered password.
func TestOrderedPasswordAsksTheCodeFirst(t *testing.T) {
	k := newKit(t)
	id := k.linkApp(k.settled("Matti"))
	temporary := must(k.dir.Order(t.Context(), operator, id, identity.Why{Reason: "forgotten"}))(t)
	page := k.browser().visit("service").press("login-submit", "username", "matti", "password", temporary).is(200, "code").says("otp.beforechange")
	if page.has("new") {
		t.Error("the change is on the page already")
	}
	page = page.press("code-submit", "code", k.code(id)).is(200, "new")
	if c := page.press("change-submit", "new", ownPassword+" 2", "repeat", ownPassword+" 2").claims("service"); c["acr"] != "urn:portti:acr:pwd-otp" {
		t.Errorf("claims %v", c)
	}
}

// S43, S6: password, then code; a second service needs nothing; the next sign-in
// on this browser offers the same method first.
func TestPasswordAndCode(t *testing.T) {
	k := newKit(t)
	id := k.linkApp(k.settled("Matti"))
	b := k.browser()
	first := b.visit("service", "login_hint", "matti").is(200)
	if first.form("login-submit").values.Get("username") != "matti" || strings.Contains(first.body, "reversed") {
		t.Errorf("page %s", first.body)
	}
	page := first.press("login-submit", "password", ownPassword).is(200, "code")
	for _, want := range []string{`inputmode="numeric"`, `autocomplete="one-time-code"`, "Portti-1 TOTP-2FA"} {
		if !strings.Contains(page.body, want) {
			t.Errorf("no %s on the code page", want)
		}
	}
	c := page.press("code-submit", "code", " "+k.code(id)[:3]+" "+k.code(id)[3:]).claims("service")
	if c["acr"] != "urn:portti:acr:pwd-otp" || c["sub"] != string(id) {
		t.Errorf("claims %v", c)
	}
	if again := b.visit("service").claims("service"); again["sid"] != c["sid"] {
		t.Error("no single sign-on")
	}
	k.add(time.Minute)
	page = b.visit("service", "prompt", "login").is(200, "username").says("login.again")
	if page.form("login-submit").values.Get("username") != "Matti" {
		t.Error("who is asked to sign in again is not filled in")
	}
	if strings.Index(page.body, "with-password") > strings.Index(page.body, "card-start") {
		t.Error("the last method is not offered first")
	}
	if strings.Contains(k.browser().visit("service").body, "reversed") {
		t.Error("another browser knows the last method")
	}
	k.add(31 * time.Second)
	page = page.press("login-submit", "username", "matti", "password", ownPassword).is(200, "code")
	if fresh := page.press("code-submit", "code", k.code(id)).claims("service"); fresh["sid"] != c["sid"] || fresh["auth_time"] == c["auth_time"] {
		t.Errorf("claims %v, before %v", fresh, c)
	}
}

// S44, S46: what a wrong, a used and a missing code say; the fifth wrong one ends
// the sign-in.
func TestWrongCodes(t *testing.T) {
	k := newKit(t)
	id := k.linkApp(k.settled("Matti"))
	page := k.browser().visit("service").press("login-submit", "username", "matti", "password", ownPassword).is(200, "code")
	page = page.press("code-submit", "code", "").is(400, "code-problem").says("fault.required.code")
	code := k.code(id)
	k.browser().visit("service").press("login-submit", "username", "matti", "password", ownPassword).press("code-submit", "code", code).sentTo(serviceBack)
	page = page.press("code-submit", "code", code).is(409, "code-problem").says("fault.otp_used")
	for range 4 { // a used code is not a guess: it does not count
		page = page.press("code-submit", "code", k.wrongCode(id)).is(400, "code-problem").says("fault.otp_wrong")
		if strings.Contains(page.body, k.wrongCode(id)) {
			t.Error("the code is on the page")
		}
	}
	page = page.press("code-submit", "code", k.wrongCode(id)).is(200, "username", "problems").says("fault.otp_too_many")
	page.press("login-submit", "username", "matti", "password", ownPassword).is(200, "code")
}

// Double clicks, reloads and the back button end where the first click got to.
func TestTwice(t *testing.T) {
	k := newKit(t)
	id := k.linkApp(k.settled("Matti"))
	b := k.browser()
	login := b.visit("service")
	b.get(login.at+"/password").is(200, "username") // a form's address, typed or reloaded
	code := login.press("login-submit", "username", "matti", "password", ownPassword).is(200, "code")
	login.press("login-submit", "username", "matti", "password", ownPassword).is(200, "code") // the former page, again
	login.press("login-submit", "username", "matti", "password", "wrong").is(200, "code")     // and what it says does not matter
	login.press("card-start").is(200, "code")
	b.get(login.at).is(200, "code")

	f := code.form("code-submit")
	f.values.Set("code", k.code(id))
	b.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	b.post(f.action, f.values).sentTo(k.url + login.at) // the first click, whose answer nobody sees
	b.post(f.action, f.values).sentTo(k.url + login.at)
	first, second := b.get(login.at+"/finish"), b.get(login.at+"/finish")
	first.sentTo(serviceBack)
	second.is(410, "restart") // the request is answered; nothing can answer it again
	b.get(login.at).is(410, "restart")
	b.post(f.action, f.values).is(410, "restart")
}

// Two finishes at once: one starts the session, the other goes on with it.
func TestFinishThatWasSecond(t *testing.T) {
	k := newKit(t)
	k.settled("Matti", identity.MethodApp)
	b := k.browser()
	login := b.visit("service")
	b.get(login.at+"/finish").is(200, "username") // not yet
	login.press("login-submit", "username", "matti", "password", ownPassword).sentTo(userServices)
	b.get(login.at+"/finish").is(200, "username") // an enrol session: the service asks for more
}

// Another tab signed in meanwhile: this one has nothing to ask.
func TestTwoTabs(t *testing.T) {
	k := newKit(t)
	id := k.linkApp(k.settled("Matti"))
	b := k.browser()
	one, fresh := b.visit("service"), b.visit("service", "prompt", "login")
	other := b.visit("service")
	k.add(time.Millisecond)
	other.press("login-submit", "username", "matti", "password", ownPassword).press("code-submit", "code", k.code(id)).sentTo(serviceBack)
	b.get(one.at).claims("service")
	// It was proved after the request came, so it is fresh; one that comes now is not.
	b.get(fresh.at).claims("service")
	b.visit("service", "prompt", "login").is(200, "username")

	// What is proved here counts, though the other tab's session would do.
	k.add(time.Minute)
	b = k.browser()
	late := b.visit("service").press("login-submit", "username", "matti", "password", ownPassword).is(200, "code")
	first := b.signIn("service", "matti", id).claims("service")
	second := late.press("code-submit", "code", k.code(id)).claims("service")
	if first["sid"] != second["sid"] || first["auth_time"] == second["auth_time"] {
		t.Errorf("first %v, second %v", first, second)
	}
}

// S18, S19: User Services themselves ask for a password alone; nothing waits then,
// and what waits too long is not taken up.
func TestUserServices(t *testing.T) {
	k := newKit(t)
	id := k.settled("Matti")
	b := k.browser()
	c := b.visit("user-services").press("login-submit", "username", "matti", "password", ownPassword).claims("user-services")
	if c["acr"] != "urn:portti:acr:enrol" || c["sub"] != string(id) {
		t.Errorf("claims %v", c)
	}
	b.get("/signin/resume").sentTo(userServices)
	tx := b.visit("service").at
	s := must(k.pages.Sessions.Find(t.Context(), b.cookie("sid")))(t)
	for until, want := range map[time.Duration]string{time.Minute: k.url + tx, -time.Minute: userServices} {
		must(0, k.pages.Sessions.Wait(t.Context(), s.ID, strings.TrimPrefix(tx, "/signin/"), k.now().Add(until)))(t)
		b.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		b.get("/signin/resume").sentTo(want)
	}
}

// Whoever proves another username in one tab is not taken for the person of the
// other tab, and that person's session ends with everything under it.
func TestTwoPeopleInOneBrowser(t *testing.T) {
	k := newKit(t)
	matti, liisa := k.linkApp(k.settled("Matti")), k.linkApp(k.settled("Liisa"))
	b := k.browser()
	tab := b.visit("service").press("login-submit", "username", "liisa", "password", ownPassword).is(200, "code")
	first := b.signIn("service", "matti", matti).claims("service")
	b.get(strings.TrimSuffix(tab.at, "/code")).is(200, "code")
	former := b.cookie("sid")
	second := tab.press("code-submit", "code", k.code(liisa)).claims("service")
	if first["sub"] != string(matti) || second["sub"] != string(liisa) || first["sid"] == second["sid"] {
		t.Errorf("first %v, second %v", first, second)
	}
	if _, err := k.pages.Sessions.Find(t.Context(), former); err == nil {
		t.Error("the first person's session lives on")
	}
	if c := b.visit("service").claims("service"); c["sub"] != string(liisa) {
		t.Errorf("single sign-on as %v", c["sub"])
	}
}

func TestCancel(t *testing.T) {
	k := newKit(t)
	b := k.browser()
	page := b.visit("service")
	to := page.press("login-cancel").sentTo(serviceBack).to.Query()
	if to.Get("error") != "access_denied" || to.Get("state") != "the-state" || to.Get("code") != "" {
		t.Errorf("the service got %v", to)
	}
	b.get(page.at).is(410, "restart")
	page.press("login-cancel").is(410, "restart")
}

// S1, S5, S8: an employer that forbids the method between the proof and the
// session; and a service that does not accept it. Both are told, neither loops.
func TestProvedButNotEnough(t *testing.T) {
	k := newKit(t)
	id := k.linkApp(k.settled("Matti"))
	b := k.browser()
	page := b.visit("service").press("login-submit", "username", "matti", "password", ownPassword)
	f := page.form("code-submit")
	f.values.Set("code", k.code(id))
	follow := b.http.CheckRedirect
	b.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	b.post(f.action, f.values)
	b.http.CheckRedirect = follow
	permit := func(methods ...identity.Method) {
		must(k.dir.ChangeOrganisation(t.Context(), operator, "org-matti", func(o *identity.Organisation) { o.Methods = identity.MethodsOf(methods...) }))(t)
	}
	permit(identity.MethodCard)
	b.get(page.at).is(403, "username").says("fault.method_not_permitted_by_employer")
	if b.cookie("sid") != "" {
		t.Error("a session was started")
	}
	// Proved again, it opens User Services only (S8).
	k.add(31 * time.Second)
	b.get(page.at).press("login-submit", "username", "matti", "password", ownPassword).press("code-submit", "code", k.code(id)).sentTo(userServices)

	permit(identity.AllMethods...)
	k.add(31 * time.Second)
	b = k.browser()
	b.signIn("tokens", "matti", id).is(403, "username").says("fault.step_up")
	b.visit("service").claims("service") // the session itself is good
}

// What changes about the account between two steps ends the sign-in, in words.
func TestAccountChangesMeanwhile(t *testing.T) {
	k := newKit(t)
	id := k.linkApp(k.settled("Matti"))
	b := k.browser()
	page := b.visit("service").press("login-submit", "username", "matti", "password", ownPassword)
	code := k.code(id)
	must(k.dir.Order(t.Context(), operator, id, identity.Why{Reason: "stolen"}))(t)
	page.press("code-submit", "code", code).is(200, "username").says("fault.signin_over")

	// Between the code and the session.
	liisa := k.linkApp(k.settled("Liisa"))
	page = b.visit("service").press("login-submit", "username", "liisa", "password", ownPassword)
	f := page.form("code-submit")
	f.values.Set("code", k.code(liisa))
	follow := b.http.CheckRedirect
	b.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	b.post(f.action, f.values)
	b.http.CheckRedirect = follow
	if err := k.dir.DisableUser(t.Context(), operator, liisa, identity.Why{Reason: "left"}); err != nil {
		t.Fatal(err)
	}
	b.get(page.at).is(401, "username").says("fault.signin_over")
	if b.cookie("sid") != "" {
		t.Error("a disabled person has a session")
	}
}

// A sign-in lasts 15 minutes and can begin again; its request 75, and then only
// the service can (S68).
func TestTooLate(t *testing.T) {
	k := newKit(t)
	id := k.linkApp(k.settled("Matti"))
	b := k.browser()
	page := b.visit("service")
	k.add(16 * time.Minute)
	page = page.press("login-submit", "username", "matti", "password", ownPassword).is(404, "username").says("fault.signin_expired")
	page = page.press("login-submit", "username", "matti", "password", ownPassword).is(200, "code")
	k.add(16 * time.Minute)
	page = page.press("code-submit", "code", k.code(id)).is(404, "username").says("fault.signin_expired")
	k.add(60 * time.Minute)
	for _, gone := range []*shown{b.get(page.at), page.press("login-submit"), page.press("card-start"), page.press("login-cancel")} {
		gone.is(410, "restart")
	}
}

// S7: before a proof nobody is told what somebody may use, or whether he exists.
func TestWrongPasswordLooksTheSameForEverybody(t *testing.T) {
	k := newKit(t)
	k.linkCard(k.settled("aa-card"), "01")
	k.linkApp(k.settled("bb-apps"))
	k.settled("cc-none", identity.MethodCard)
	k.newcomer("dd-temp")
	must(0, k.dir.DisableUser(t.Context(), operator, k.settled("ee-shut"), identity.Why{Reason: "left"}))(t)
	var first string
	for _, name := range []string{"aa-card", "bb-apps", "cc-none", "dd-temp", "ee-shut", "ff-none"} {
		b := k.browser()
		page := b.visit("service").press("login-submit", "username", name, "password", "wrong").is(401, "username", "username-problem", "card-start").says("fault.wrong_credentials")
		body := strings.ReplaceAll(page.body, name, "NAME")
		body = strings.ReplaceAll(body, strings.TrimSuffix(strings.TrimPrefix(page.at, "/signin/"), "/password"), "TX")
		body = token.ReplaceAllString(body, "CSRF")
		header := page.header.Clone()
		header.Del("Date")
		body += strings.Join(sorted(header), "\n")
		if first == "" {
			first = body
		} else if body != first {
			t.Errorf("%s differs: %s", name, body)
		}
		if b.cookie("sid") != "" {
			t.Errorf("%s has a session", name)
		}
	}
}

func TestThrottled(t *testing.T) {
	k := newKit(t)
	k.settled("Matti")
	page := k.browser().visit("service")
	for range 10 {
		page = page.press("login-submit", "username", "matti", "password", "wrong").is(401)
	}
	page = page.press("login-submit", "username", "matti", "password", ownPassword).is(429, "username", "card-start").says("fault.throttled", "n", "15")
	if page.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

func TestEmptyFields(t *testing.T) {
	k := newKit(t)
	page := k.browser().visit("service")
	for range 20 { // nothing was tried, so nothing is counted
		page = page.press("login-submit", "username", "", "password", "").is(400, "username-problem", "password-problem").says("fault.required.username").says("fault.required.password")
	}
	page.press("login-submit", "username", "matti", "password", "").is(400, "password-problem")
}

// S18: without User Services an enrol session leads nowhere, and says so.
func TestNoUserServices(t *testing.T) {
	k := newKit(t, func(k *kit) { k.pages.UserServices = "" })
	k.settled("Matti")
	b := k.browser()
	b.visit("service").press("login-submit", "username", "matti", "password", ownPassword).is(403, "username").says("fault.enrol_unavailable")
	b.get("/signin/resume").is(200, "username")
	k.browser().get("/signin/resume").is(200)
}

// S18, S20: User Services go on in the language of the sign-in, whoever chose it;
// what their address says besides stays.
func TestUserServicesGoOnInTheLanguage(t *testing.T) {
	k := newKit(t, func(k *kit) { k.pages.UserServices = "https://services.example?theme=dark&lang=fi" })
	k.settled("Matti")
	for name, c := range map[string]struct {
		asked, chosen string
		accept        string // of the browser
		want          string
	}{
		"nobody chose":        {"", "", "", "fi"},
		"the browser":         {"", "", "en-GB", "en"},
		"the service":         {"de sv", "", "en", "sv"},
		"the person":          {"", "en", "sv", "en"},
		"the person, at last": {"sv", "en", "fi", "en"},
		"not one of ours":     {"de", "evil%26next%3Dx", "", "fi"},
	} {
		b := k.browser()
		b.http.Transport = speaking(c.accept)
		page := b.visit("service", "ui_locales", c.asked)
		if c.chosen != "" {
			page = b.get(page.at + "?lang=" + c.chosen)
		}
		want := "https://services.example/?lang=" + c.want + "&theme=dark"
		if got := page.press("login-submit", "username", "matti", "password", ownPassword).sentTo("https://services.example/").to.String(); got != want {
			t.Errorf("%s: sent to %s, want %s", name, got, want)
		}
	}
	// So do those for whom nothing waits.
	b := k.browser()
	b.visit("user-services", "ui_locales", "sv").press("login-submit", "username", "matti", "password", ownPassword).sentTo(serviceBack)
	if got, want := b.get("/signin/resume").sentTo("https://services.example/").to.String(), "https://services.example/?lang=sv&theme=dark"; got != want {
		t.Errorf("sent to %s, want %s", got, want)
	}
}

// speaking is a browser that prefers a language.
type speaking string

func (s speaking) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Accept-Language", string(s))
	return http.DefaultTransport.RoundTrip(r)
}
