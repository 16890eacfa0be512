package userservices

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/pkg/portti"
)

// noKey fails when an answer holds the key, in the page or around it.
func (s *seen) noKey() *seen {
	s.t.Helper()
	u, err := url.Parse(s.b.k.url)
	if err != nil {
		s.t.Fatal(err)
	}
	for where, text := range map[string]string{"page": s.body, "address": s.at, "cookies": strings.Join(s.header["Set-Cookie"], "\n"), "log": s.b.k.log.String()} {
		flat := strings.ReplaceAll(text, " ", "")
		if strings.Contains(flat, "JBSWY3DP") || strings.Contains(flat, "data:image/png") || strings.Contains(flat, "otpauth") {
			s.t.Errorf("the key is in the %s of %s", where, s.at)
		}
	}
	for _, c := range s.b.client.Jar.Cookies(u) {
		if strings.Contains(c.Value, "JBSW") {
			s.t.Errorf("the key is in the cookie %s", c.Name)
		}
	}
	return s.without("qr", "key")
}

// S41, S40: the key is in one answer and never again; whoever asks once more
// gets another one, which voids the first.
func TestTheKeyIsShownOnce(t *testing.T) {
	k := newKit(t)
	k.enrol()
	k.waiting()
	b := k.browser()
	start := b.get("/authenticator").noKey()
	page := start.submit("/authenticator", stated...).want(200, "/authenticator", "qr", "key")
	if strings.Contains(page.body, "otpauth:") { // S48
		t.Error("the page leads to an app on this very device")
	}
	if page.header.Get("Cache-Control") != "no-store" {
		t.Errorf("the key may be cached: %q", page.header.Get("Cache-Control"))
	}
	if cookies := strings.Join(page.header["Set-Cookie"], "\n"); strings.Contains(cookies, "JBSW") {
		t.Error("the key is in a cookie")
	}
	if strings.Contains(k.log.String(), "JBSW") {
		t.Error("the key is in the log")
	}
	k.api.refuses("POST /authenticator/confirm", 400, "otp_wrong", func(e *portti.Error) { e.Field = "code" })
	page.submit("/authenticator/confirm", "code", "000000").want(400, "/authenticator/confirm", "code", "code-problem", "again").noKey().says("incorrect or has expired")
	page.submit("/authenticator/confirm", "code", "  ").want(400, "/authenticator/confirm", "code-problem").noKey()
	b.get("/authenticator/confirm").want(200, "/authenticator/confirm", "code", "again").noKey()
	for _, lang := range []string{"fi", "sv", "en"} {
		b.get("/authenticator/confirm?lang="+lang).want(200, "/authenticator/confirm?lang="+lang, "code").noKey()
	}
	if n := len(k.api.bodies("POST /authenticator")); n != 1 {
		t.Fatalf("%d keys were made", n)
	}
	start.submit("/authenticator", stated...).want(200, "/authenticator", "key") // a reload
	if n := len(k.api.bodies("POST /authenticator")); n != 2 {
		t.Errorf("the reload showed a key that was shown before (%d were made)", n)
	}
	k.api.locked(func() { delete(k.api.refuse, "POST /authenticator/confirm") })
	page.submit("/authenticator/confirm", "code", testCode).noKey()
	b.get("/authenticator/confirm").want(200, "/authenticator", "authenticator-start").noKey()
}

// S4, S10, S37, S42: without the statements there is no key.
func TestStatementsAreAskedFor(t *testing.T) {
	long := strings.Repeat("ä", 101)
	for name, c := range map[string]struct {
		personal bool
		form     []string
		problems []string // none: a key is shown
	}{
		"nothing":                      {false, nil, []string{"kind-problem", "own_device-problem"}},
		"no kind":                      {false, []string{"own_device", "yes", "work_phone", "yes"}, []string{"kind-problem"}},
		"card is no kind":              {false, []string{"kind", "card", "own_device", "yes", "work_phone", "yes"}, []string{"kind-problem"}},
		"shared device":                {false, []string{"kind", "app", "work_phone", "yes"}, []string{"own_device-problem"}},
		"no work phone":                {false, []string{"kind", "app", "own_device", "yes"}, []string{"work_phone-problem"}},
		"a tick that is no tick":       {false, []string{"kind", "app", "own_device", "no", "work_phone", "no"}, []string{"own_device-problem", "work_phone-problem"}},
		"personal instead of work":     {false, []string{"kind", "app", "own_device", "yes", "personal_phone", "yes"}, []string{"work_phone-problem"}},
		"too long":                     {false, []string{"kind", "token", "own_device", "yes", "model", long, "serial", long}, []string{"model-problem", "serial-problem"}},
		"work phone":                   {false, stated, nil},
		"personal phones permitted":    {true, []string{"kind", "app", "own_device", "yes"}, nil},
		"a personal one":               {true, []string{"kind", "app", "own_device", "yes", "personal_phone", "yes"}, nil},
		"a token is no phone":          {false, []string{"kind", "token", "own_device", "yes"}, nil},
		"a token of a certain model":   {false, []string{"kind", "token", "own_device", "yes", "model", "C302-i", "serial", "7"}, nil},
		"phones have no serial number": {true, []string{"kind", "app", "own_device", "yes", "model", "C302-i"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKit(t)
			k.enrol()
			k.api.set(func(me *portti.Me) { me.Organisation.PersonalPhones = c.personal })
			page := k.browser().get("/authenticator").submit("/authenticator", c.form...)
			if len(c.problems) > 0 {
				page.want(400, "/authenticator", append(c.problems, "problems", "authenticator-start")...).noKey()
				if k.api.bodies("POST /authenticator") != nil {
					t.Error("a key was made")
				}
				return
			}
			page.want(200, "/authenticator", "key").submit("/authenticator/confirm", "code", testCode)
			got := k.api.bodies("POST /authenticator/confirm")[0]
			token := slices.Contains(c.form, "token")
			if got["own_device"] != true || got["work_phone"] == c.personal && !token || got["personal_phone"] == true && !c.personal || got["model"] != nil && !token {
				t.Errorf("the API got %v", got)
			}
		})
	}
}

// S4: a kind that the form did not offer is refused with 403, here and, if it
// got past us, by the API.
func TestAForgedKindIsRefused(t *testing.T) {
	k := newKit(t)
	k.enrol()
	k.api.set(func(me *portti.Me) { me.May.Token = "policy_denied" })
	b := k.browser()
	start := b.get("/authenticator").want(200, "/authenticator", "kind-app").without("kind-token")
	start.submit("/authenticator", "kind", "token", "own_device", "yes").want(403, "/authenticator", "error").noKey().says("Your employer has not permitted this")
	if k.api.bodies("POST /authenticator") != nil {
		t.Error("a key was made")
	}
	page := start.submit("/authenticator", stated...)
	u, err := url.Parse(k.url)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range b.client.Jar.Cookies(u) {
		if c.Name == statementCookie {
			c.Value = strings.Replace(c.Value, "kind=app", "kind=token", 1)
			b.client.Jar.SetCookies(u, append(b.client.Jar.Cookies(u), c))
		}
	}
	k.api.refuses("POST /authenticator/confirm", 403, "policy_denied")
	page.submit("/authenticator/confirm", "code", testCode).want(403, "/authenticator/confirm", "error").says("Your employer has not permitted this")
	if got := k.api.bodies("POST /authenticator/confirm")[0]["kind"]; got != "token" {
		t.Fatalf("the forged kind did not get there: %v", got)
	}
}

// What may be wrong with a code leads back to where it can be put right.
func TestConfirmationsThatAreRefused(t *testing.T) {
	inCode := func(e *portti.Error) { e.Field = "code" }
	for name, c := range map[string]struct {
		status int
		code   string
		more   func(e *portti.Error)
		want   []string
		says   string
	}{
		"wrong":     {400, "otp_wrong", inCode, []string{"code-problem", "again"}, "Wait for a new code"},
		"used":      {409, "otp_used", inCode, []string{"code-problem"}, "already been used"},
		"throttled": {429, "throttled", func(e *portti.Error) { e.Args, e.RetryAfter = map[string]string{"n": "3"}, 170 }, []string{"code-submit", "problems"}, "Try again in 3 minutes"},
		"too late":  {410, "enrolment_expired", nil, []string{"authenticator-start", "problems"}, "Start linking again"},
		"elsewhere": {409, "totp_already_linked", nil, []string{"error"}, "Only user support can remove it"},
		"disabled":  {403, "account_disabled", nil, []string{"error"}, "disabled"},
		"unknown":   {409, "no_such_text", nil, []string{"error"}, "Somebody or something was first"},
		"broken":    {500, "internal", nil, []string{"error"}, "The error is ours"},
		"away":      {503, "database_unavailable", nil, []string{"error"}, "Nothing is lost"},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKit(t)
			k.enrol()
			b := k.browser()
			page := b.get("/authenticator").submit("/authenticator", stated...)
			var more []func(e *portti.Error)
			if c.more != nil {
				more = append(more, c.more)
			}
			k.api.refuses("POST /authenticator/confirm", c.status, c.code, more...)
			page = page.submit("/authenticator/confirm", "code", testCode).want(c.status, "/authenticator/confirm", c.want...).noKey().says(c.says)
			if c.status == 429 && page.header.Get("Retry-After") != "170" {
				t.Errorf("Retry-After %q", page.header.Get("Retry-After"))
			}
			if c.code == "enrolment_expired" { // the statements need not be made twice
				for _, id := range []string{"kind-app", "own_device", "work_phone"} {
					if !slices.ContainsFunc(page.element(id).Attr, checked) {
						t.Errorf("%s is not ticked", id)
					}
				}
				b.get("/authenticator/confirm").want(200, "/authenticator", "authenticator-start")
			}
		})
	}
}

func TestTooManyKeys(t *testing.T) {
	k := newKit(t)
	k.enrol()
	start := k.browser().get("/authenticator")
	k.api.refuses("POST /authenticator", 429, "throttled", func(e *portti.Error) { e.Args, e.RetryAfter = map[string]string{"n": "1"}, 60 })
	start.submit("/authenticator", stated...).want(429, "/authenticator", "problems", "authenticator-start").says("Try again in a minute")
}

// An access token of five minutes ends while somebody installs an app. The key
// in the app stays good, and so do the statements.
func TestATokenThatExpiresMeanwhileLosesNothing(t *testing.T) {
	k := newKit(t)
	k.enrol()
	resume := k.waiting()
	b := k.browser()
	page := b.get("/authenticator").submit("/authenticator", stated...)
	k.later(11 * time.Minute) // no refresh token in an enrol session (S19)
	page = page.submit("/authenticator/confirm", "code", testCode).want(200, "/authenticator/confirm", "code", "code-submit").noKey()
	if len(k.api.bodies("POST /authenticator")) != 1 {
		t.Fatal("the key was replaced")
	}
	page.submit("/authenticator/confirm", "code", testCode).want(303, resume)
	if got := k.api.bodies("POST /authenticator/confirm"); len(got) != 1 || got[0]["work_phone"] != true {
		t.Errorf("the API got %v", got)
	}
}

// A link from elsewhere cannot tick the statements in somebody's name.
func TestStatementsComeFromOurFormAlone(t *testing.T) {
	k := newKit(t)
	k.enrol()
	b := k.browser()
	b.get("/authenticator/confirm?kind=app&own_device=yes&work_phone=yes").want(200, "/authenticator", "authenticator-start")
	page := b.get("/authenticator")
	csrf := page.csrf()
	b.post("/authenticator/confirm", url.Values{"csrf": {csrf}, "code": {testCode}, "kind": {"app"}, "own_device": {"yes"}, "work_phone": {"yes"}}).want(200, "/authenticator", "authenticator-start")
	if k.api.bodies("POST /authenticator/confirm") != nil {
		t.Error("it was confirmed")
	}
}
