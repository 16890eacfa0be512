package signin

import (
	"encoding/base32"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/store"
	"github.com/portti-id/portti/internal/trace"
	"github.com/portti-id/portti/internal/web"
	"github.com/portti-id/portti/internal/web/webtest"
	"github.com/portti-id/portti/templates"
)

var referenceOnPage = regexp.MustCompile(`<p id="support-reference">[^<]*\b([A-Z2-7]{8})\b[^<]*</p>`)

// reference is what a person would read out from a page that tells of a failure.
func (s *shown) reference() string {
	s.p.t.Helper()
	m := referenceOnPage.FindStringSubmatch(s.body)
	if m == nil || !s.has("escalation") {
		s.p.t.Fatalf("the page at %s (%d) shows no reference: %s", s.at, s.status, s.body)
	}
	return m[1]
}

// trace is what the help desk reads under a reference.
func (k *kit) trace(reference string) trace.Trace {
	k.t.Helper()
	k.rest()
	return must(k.dir.Trace(k.t.Context(), operator, strings.ToLower(reference), "T-1"))(k.t)
}

// rest waits until what was answered is also done with.
func (k *kit) rest() {
	k.busy.Lock()
	defer k.busy.Unlock()
}

// codes are the entries of some kinds, in short.
func codes(t trace.Trace, of ...trace.What) string {
	var all []string
	for _, e := range t.Entries {
		if slices.Contains(of, e.What) {
			all = append(all, e.Code)
		}
	}
	return strings.Join(all, " ")
}

// A caller reads one reference from the page, and it opens how the sign-in went: what
// was wrong although the page could not say so (S16, S43), and who can help (S71).
func TestTheReferenceOfAPageOpensItsTrace(t *testing.T) {
	k := newKit(t)
	id := k.linkApp(k.settled("Matti"))
	_, temporary := k.newcomer("Uusi")
	k.add(identity.FirstPasswordLasts + time.Hour)
	for name, c := range map[string]struct {
		username, password, trouble string
		owner                       trace.Owner
		known                       bool
	}{
		"expired": {"uusi", temporary, "temp_expired", trace.Responsible, true},
		"wrong":   {"matti", "not the password", "wrong_password", trace.Person, true},
		"unknown": {"nobody", "not the password", "unknown_username", trace.Responsible, false},
	} {
		page := k.browser().visit("service").press("login-submit", "username", c.username, "password", c.password).is(401, "username", "escalation").says("fault.wrong_credentials").says("support.steps")
		got := k.trace(page.reference())
		trouble, bad := got.Trouble()
		if !bad || trouble.Code != c.trouble || trouble.Owner() != c.owner || got.Proved || (got.User != "") != c.known || got.Client != "service" {
			t.Errorf("%s: %+v of %+v", name, trouble, got)
		}
		if codes(got, trace.Asked, trace.Had, trace.Decided) != "any none no_session" {
			t.Errorf("%s: %+v", name, got.Entries)
		}
	}
	b := k.browser()
	page := b.visit("service").press("login-submit", "username", "matti", "password", ownPassword).is(200, "code", "why").says("trace.why.password_proved", "service", "Rekisteri")
	if page.has("escalation") {
		t.Error("help is offered where nothing is wrong")
	}
	first := page.press("code-submit", "code", k.wrongCode(id)).is(400, "code", "escalation")
	page = first.press("code-submit", "code", k.code(id)).sentTo(serviceBack)
	got := k.trace(first.reference())
	if codes(got, trace.Stepped, trace.Refused, trace.Shown, trace.Started, trace.Issued) != "password_proved otp_wrong otp_wrong code_proved full " || got.User != string(id) || !got.Proved {
		t.Errorf("%+v", got)
	}
	if _, bad := got.Trouble(); bad || len(got.References) != 2 {
		t.Errorf("it ended well: %+v", got.References)
	}
	if page.status != http.StatusSeeOther {
		t.Error(page.status)
	}
}

// A service that takes cards alone asks for one always, whether its registration says so
// by level or by method: that is what the page tells (ADR 0139).
func TestWhyACardIsAskedAlways(t *testing.T) {
	k := newKit(t)
	k.client("methods", func(c *openid.Client) { c.Methods = uint8(identity.MethodCard) })
	for _, client := range []string{"cards", "methods"} {
		k.browser().visit(client).is(200, "card-start", "why").says("trace.why.asked_card_always", "service", client)
	}
	k.browser().visit("service", "acr_values", "urn:portti:acr:card").is(200, "card-start", "why").says("trace.why.asked_card", "service", "Rekisteri")
}

// A letter's link that is spent, and a device's code that is none, are what people phone
// about too: the reference of those pages opens something.
func TestTheReferenceOfAPageBesideTheSignIn(t *testing.T) {
	k := newKit(t)
	b := k.browser()
	for what, page := range map[string]*shown{
		"mailed_link_spent":   b.get(identity.LinkPath+"SPENT").is(410, "escalation"),
		"device_code_unknown": b.get(openid.VerifyPath).press("device-submit", "user-code", "BCDF-GHJK").is(404, "escalation"),
	} {
		got := k.trace(page.reference())
		if trouble, bad := got.Trouble(); !bad || trouble.Code != what || got.User != "" {
			t.Errorf("%s: %+v", what, got)
		}
	}
}

// Whoever looks is in the trail, with the ticket; without the right nothing is told,
// and one person's reference gives another nothing.
func TestWhoLooksIsInTheTrail(t *testing.T) {
	k := newKit(t)
	matti, maija := k.linkApp(k.settled("Matti")), k.linkApp(k.settled("Maija"))
	reference := k.browser().visit("service").press("login-submit", "username", "matti", "password", "wrong").reference()
	k.browser().signIn("service", "maija", maija).sentTo(serviceBack)
	k.trace(reference)
	events := must(k.store.AuditEvents(t.Context(), trailOf(matti)))(t)
	if len(events) == 0 || events[0].Type != "trace.seen" || events[0].Details["reference"] != reference || events[0].Details["ticket"] != "T-1" || events[0].Actor != operator.Name {
		t.Errorf("%+v", events)
	}
	for _, roles := range []identity.Roles{0, identity.RolesOf(identity.RoleResponsible), identity.RolesOf(identity.RoleAuditor)} {
		by := identity.Actor{Name: "user:" + string(maija), User: maija, Organisation: "org-maija", Roles: roles}
		if _, err := k.dir.Trace(t.Context(), by, reference, ""); !fault.Is(err, fault.Denied) {
			t.Errorf("roles %s: %v", roles, err)
		}
		if _, err := k.dir.TracesOf(t.Context(), by, matti, time.Time{}); !fault.Is(err, fault.Denied) {
			t.Errorf("roles %s: %v", roles, err)
		}
	}
	k.rest()
	own := must(k.dir.OwnTraces(t.Context(), identity.Self{User: maija, Full: true}, time.Time{}))(t)
	if len(own) != 1 || own[0].User != string(maija) || codes(own[0], trace.Refused) != "" {
		t.Errorf("%+v", own)
	}
	if _, err := k.dir.OwnTraces(t.Context(), identity.Self{User: maija}, time.Time{}); fault.Code(err) != "full_signin_required" {
		t.Errorf("a password alone reads %v", err)
	}
	help := identity.Actor{Name: "user:h", User: "h", Roles: identity.RolesOf(identity.RoleHelpDesk)}
	refused := 0
	for range 130 {
		if _, err := k.dir.Trace(t.Context(), help, "AAAAAAAA", ""); fault.Is(err, fault.Throttled) {
			refused++
		}
	}
	if refused != 10 {
		t.Errorf("%d of 130 guesses were refused", refused)
	}
}

// Everything secret of many sign-ins is looked for in every trace.
func TestNoTraceHoldsASecret(t *testing.T) {
	k := newKit(t)
	id := k.linkApp(k.settled("Matti"))
	cards := k.settled("Kaisa")
	linked := k.linkCard(cards, "5ec7e75e71a1")
	newcomer, temporary := k.newcomer("Uusi")
	var secrets []string
	secret := func(all ...string) {
		for _, s := range all {
			if len(s) > 3 {
				secrets = append(secrets, s)
			}
		}
	}
	secret(ownPassword, temporary, base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(k.keys[id]), "5ec7e75e71a1", "fingerprint-5ec7e75e71a1", "Given", "Family")
	keep := func(b *person, pages ...*shown) {
		for _, name := range []string{"sid", "browser", "attempt"} {
			secret(b.cookie(name))
		}
		for _, p := range pages {
			secret(strings.TrimPrefix(p.at, "/signin/"))
			if p.to != nil {
				secret(p.to.Query().Get("code"), p.to.Query().Get("state"))
			}
		}
	}
	const typed = "MyOwnPassword-typed-as-a-name-77"
	secret(typed, "second-secret-password")
	b := k.browser()
	page := b.visit("service", "nonce", "the-secret-nonce", "login_hint", "hinted.person", "max_age", "10", "acr_values", "urn:portti:acr:pwd-otp")
	secret("the-secret-nonce", "hinted.person", "the-state")
	keep(b, page)
	page = page.press("login-submit", "username", typed, "password", "second-secret-password")
	page = page.press("login-submit", "username", "matti", "password", ownPassword)
	wrong, right := k.wrongCode(id), k.code(id)
	secret(wrong, right)
	page = page.press("code-submit", "code", wrong)
	done := page.press("code-submit", "code", right)
	keep(b, page, done)
	secret(done.claims("service")["raw"].(string))
	b = k.browser()
	page = b.visit("cards")
	cardHostURL := page.press("card-start")
	secret(cardHostURL.to.Path)
	bad := linked
	bad.Verdict, bad.Failed = card.Expired, card.CheckValidity
	back := k.present(cardHostURL.to.String(), bad)
	secret(back[strings.LastIndex(back, "=")+1:])
	page = b.get(back)
	keep(b, page)
	back = k.present(page.press("card-start").to.String(), linked)
	done = b.get(back)
	keep(b, done)
	secret(done.claims("cards")["raw"].(string))
	b = k.browser()
	page = b.visit("service").press("login-submit", "username", "uusi", "password", temporary)
	page.press("change-submit", "new", "a brand new passphrase of mine", "repeat", "a brand new passphrase of mine")
	secret("a brand new passphrase of mine")
	keep(b, page)

	k.rest()
	var all []trace.Leg
	for _, user := range []identity.UserID{id, cards, newcomer} {
		legs := must(k.store.TracesOf(t.Context(), string(user), time.Time{}, k.now(), 100))(t)
		if len(legs) == 0 {
			t.Errorf("no trace of %s", user)
		}
		all = append(all, legs...)
	}
	text := string(must(json.Marshal(all))(t))
	for _, s := range secrets {
		if strings.Contains(strings.ToLower(text), strings.ToLower(s)) {
			t.Errorf("%q is in a trace: %s", s, text)
		}
	}
	if len(secrets) < 25 || !strings.Contains(text, "expired") || !strings.Contains(text, "unknown_username") || !strings.Contains(text, "temporary_proved") {
		t.Errorf("%d secrets; %s", len(secrets), text)
	}
	if strings.Contains(text, "127.0.0.1") {
		t.Error("the address is kept")
	}
}

// S68: whatever is asked for without the browser's cookies ends on a page that says how
// to go on, with a reference: never in an error of ours, never in a bare line. The
// routes are those of the router.
func TestEveryRouteWithoutCookies(t *testing.T) {
	k := newKit(t)
	began := k.browser().visit("service").at
	mux := &routeList{ServeMux: http.NewServeMux()}
	k.pages.routes(mux)
	if len(mux.patterns) < 35 {
		t.Fatalf("only %d routes", len(mux.patterns))
	}
	for _, pattern := range mux.patterns {
		method, path, _ := strings.Cut(pattern, " ")
		for _, tx := range []string{strings.TrimPrefix(began, "/signin/"), "NOTHING"} {
			at := strings.NewReplacer("{$}", "", "{tx}", tx, "{form}", "code", "{visit}", tx, "{code}", "AAAAA-AAAAA", "{reference}", "AAAAAAAA").Replace(path)
			b := k.browser()
			var page *shown
			if method == http.MethodPost {
				page = b.post(at, map[string][]string{"username": {"matti"}, "csrf": {"x"}})
			} else {
				page = b.get(at)
			}
			switch {
			case page.status >= 500:
				t.Errorf("%s: %d %s", pattern, page.status, page.body)
			case page.to != nil:
				if !strings.HasPrefix(page.to.String(), userServices) {
					t.Errorf("%s: sent to %s", pattern, page.to)
				}
			case strings.Contains(page.header.Get("Content-Type"), "json"):
				if page.status >= 400 && !strings.Contains(page.body, `"reference"`) {
					t.Errorf("%s: %s", pattern, page.body)
				}
			default:
				webtest.Check(t, []byte(page.body), page.header.Get("Content-Language"))
				if page.status >= 400 {
					page.reference()
					page.says("support.steps")
					if !page.has("problems") { // a form can be corrected where it is
						page.says("error.fresh")
					}
				}
			}
		}
	}
}

// routeList is a mux that tells what was put into it.
type routeList struct {
	*http.ServeMux
	patterns []string
}

func (l *routeList) Handle(pattern string, h http.Handler) {
	l.patterns = append(l.patterns, pattern)
	l.ServeMux.Handle(pattern, h)
}

// S71: every failure of the catalogue tells one's own steps, then the organisation's
// people, then user support with its number and the reference, in each language.
func TestEveryFailureSaysWhoHelps(t *testing.T) {
	texts := must(templates.Load())(t)
	site := webtest.NewSite(t, func(s *web.Settings) { s.Pages, s.SupportPhone = []string{"signin"}, "020 343 433" })
	n := 0
	for _, key := range texts.Keys() {
		code, ok := strings.CutPrefix(key, "fault.")
		if !ok || strings.Contains(code, ".") {
			continue
		}
		n++
		for _, lang := range templates.Languages {
			body := failing(t, site, lang, fault.New(fault.Denied, code, "In English."))
			for _, want := range []string{texts.Text(lang, "support.steps"), texts.Text(lang, "error.fresh"), `href="tel:020343433"`, `id="support-reference"`} {
				if !strings.Contains(body, want) {
					t.Errorf("%s in %s does not say %q", code, lang, want)
				}
			}
		}
	}
	if n < 60 {
		t.Errorf("only %d failures", n)
	}
}

func failing(t *testing.T, site *web.Site, lang string, err error) string {
	t.Helper()
	w := httptest.NewRecorder()
	site.Handle(func(http.ResponseWriter, *http.Request) error { return err }).ServeHTTP(w, httptest.NewRequest("GET", "/?lang="+lang, nil))
	return html.UnescapeString(w.Body.String())
}

func trailOf(id identity.UserID) store.Trail { return store.Trail{User: string(id), Limit: 1} }

// ADR 0143: operators read at the doctor how a request went that was in order; whoever
// is none sees no more than before.
func TestTheDoctorTellsHowARequestWent(t *testing.T) {
	k := newKit(t)
	matti, maija := k.linkApp(k.settled("Matti")), k.linkApp(k.settled("Maija"))
	must(k.dir.ChangeRoles(t.Context(), operator, matti, identity.RolesOf(identity.RoleOperator), 0))(t)
	b, other := k.browser(), k.browser()
	b.signIn("service", "matti", matti).sentTo(serviceBack)
	other.signIn("service", "maija", maija).sentTo(serviceBack)
	back := other.visit("cards", "prompt", "none")
	reference, ok := strings.CutPrefix(back.to.Query().Get("error_uri"), k.url+"/doctor/")
	if !ok || back.to.Query().Get("error") != "login_required" {
		t.Fatal(back.to)
	}
	k.rest()
	page := b.get("/doctor/"+strings.ToLower(reference)).is(200, "doctor-course", "reference").says("doctor.why.session_full").says("doctor.why.minimum_acr")
	for _, not := range []string{"Maija", "maija", string(maija), "127.0.0"} {
		if strings.Contains(page.body, not) {
			t.Errorf("the page says %s", not)
		}
	}
	b.get("/doctor/AAAAAAAA").is(404, "reference-problem")
	if page := other.get("/doctor/" + reference); page.status != http.StatusNotFound || page.has("doctor-course") || page.has("doctor-find") {
		t.Errorf("no operator sees %d %s", page.status, page.body)
	}
	if page := k.browser().get("/doctor/"+reference).is(200, "doctor-signin").says("doctor.door.makers"); page.has("doctor-course") {
		t.Error("a stranger sees how a request went")
	}
}
