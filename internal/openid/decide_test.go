package openid

import (
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/session"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// someone is a person of an organisation that permits these methods, and their
// session of ten minutes ago.
func someone(l session.Level, m session.Method, permits ...identity.Method) (*session.Session, identity.Person) {
	return &session.Session{User: "anna", Level: l, Method: m, AuthTime: noon.Add(-10 * time.Minute)},
		identity.Person{User: identity.User{ID: "anna"}, Organisation: identity.Organisation{Methods: identity.MethodsOf(permits...)}}
}

func TestDecide(t *testing.T) {
	all := identity.AllMethods
	onlyCard, onlyApp := []identity.Method{identity.MethodCard}, []identity.Method{identity.MethodApp}
	any := demand{MaxAge: -1, Since: noon}
	with := func(edit func(d *demand)) demand { d := any; edit(&d); return d }
	type who struct {
		level   session.Level
		method  session.Method
		permits []identity.Method
	}
	nobody := who{}
	for _, c := range []struct {
		what   string
		d      demand
		who    who
		edit   func(s *session.Session, p *identity.Person)
		want   verdict
		reason string
		silent string // the error under prompt=none; "" when a code is issued
	}{
		{"nobody", any, nobody, nil, showSignIn, ReasonNoSession, "login_required"},
		{"card", any, who{session.Full, session.Card, all}, nil, issueCode, "", ""},
		{"app", any, who{session.Full, session.App, all}, nil, issueCode, "", ""},
		{"token", any, who{session.Full, session.Token, all}, nil, issueCode, "", ""},

		{"S5: app not permitted", any, who{session.Full, session.App, onlyCard}, nil, showSignIn, ReasonByEmployer, "login_required"},
		{"S5: card not permitted", any, who{session.Full, session.Card, onlyApp}, nil, showSignIn, ReasonByEmployer, "login_required"},
		{"S5: User Services neither", with(func(d *demand) { d.Enrol = true }), who{session.Full, session.App, onlyCard}, nil, showSignIn, ReasonByEmployer, "login_required"},

		{"S19: enrol session elsewhere", any, who{session.Enrol, session.Password, all}, nil, showSignIn, ReasonEnrolOnly, "interaction_required"},
		{"S19: enrol session at User Services", with(func(d *demand) { d.Enrol = true }), who{session.Enrol, session.Password, all}, nil, issueCode, "", ""},
		{"S8: enrol session of a barred method", with(func(d *demand) { d.Enrol = true }), who{session.Enrol, session.App, onlyCard}, nil, issueCode, "", ""},
		{"enrol session, too old", with(func(d *demand) { d.Enrol, d.MaxAge = true, time.Minute }), who{session.Enrol, session.Password, all}, nil, showSignIn, ReasonAgain, "login_required"},

		{"card demanded, app there", with(func(d *demand) { d.Need = certificate }), who{session.Full, session.App, all}, nil, showSignIn, ReasonStepUp, "login_required"},
		{"card demanded, card not permitted", with(func(d *demand) { d.Need = certificate }), who{session.Full, session.App, onlyApp}, nil, showSignIn, ReasonStepUp, "unmet_authentication_requirements"},
		{"card demanded, card there", with(func(d *demand) { d.Need = certificate }), who{session.Full, session.Card, all}, nil, issueCode, "", ""},
		{"code demanded, card there", with(func(d *demand) { d.Need = passwordCode }), who{session.Full, session.Card, all}, nil, issueCode, "", ""},
		{"client takes app only, card there", with(func(d *demand) { d.Methods = identity.Methods(identity.MethodApp) }), who{session.Full, session.Card, all}, nil, showSignIn, ReasonStepUp, "login_required"},
		{"client takes app only, app there", with(func(d *demand) { d.Methods = identity.Methods(identity.MethodApp) }), who{session.Full, session.App, all}, nil, issueCode, "", ""},

		{"prompt=login", with(func(d *demand) { d.Again = true }), who{session.Full, session.Card, all}, nil, showSignIn, ReasonAgain, "login_required"},
		{"max_age reached", with(func(d *demand) { d.MaxAge = 9 * time.Minute }), who{session.Full, session.Card, all}, nil, showSignIn, ReasonAgain, "login_required"},
		{"max_age not reached", with(func(d *demand) { d.MaxAge = 11 * time.Minute }), who{session.Full, session.Card, all}, nil, issueCode, "", ""},
		{"max_age=0", with(func(d *demand) { d.MaxAge = 0 }), who{session.Full, session.Card, all}, func(s *session.Session, _ *identity.Person) { s.AuthTime = noon }, showSignIn, ReasonAgain, "login_required"},

		{"hint: the same", with(func(d *demand) { d.User = "anna" }), who{session.Full, session.Card, all}, nil, issueCode, "", ""},
		{"hint: another", with(func(d *demand) { d.User = "bosse" }), who{session.Full, session.Card, all}, nil, tellClient, ReasonOtherUser, "login_required"},
		{"hint: another, who is to sign in", with(func(d *demand) { d.User, d.Again = "bosse", true }), who{session.Full, session.Card, all}, nil, showSignIn, ReasonAgain, "login_required"},

		{"S15: temporary password", any, who{session.Full, session.Card, all}, func(_ *session.Session, p *identity.Person) { p.Password.Temporary = true }, showSignIn, ReasonTemporary, "interaction_required"},
		{"S36: disabled", any, who{session.Full, session.Card, all}, func(_ *session.Session, p *identity.Person) { p.User.Disabled = noon }, showSignIn, ReasonClosed, "login_required"},
		{"organisation disabled", any, who{session.Full, session.Card, all}, func(_ *session.Session, p *identity.Person) { p.Organisation.Disabled = noon }, showSignIn, ReasonClosed, "login_required"},
		{"somebody else's person", any, who{session.Full, session.Card, all}, func(_ *session.Session, p *identity.Person) { p.User.ID = "bosse" }, showSignIn, ReasonClosed, "login_required"},

		{"consent: nothing allowed", with(func(d *demand) { d.Wants = Wish{Scopes: []string{"openid"}} }), who{session.Full, session.Card, all}, nil, showSignIn, ReasonConsent, "consent_required"},
		{"consent: less allowed", with(func(d *demand) {
			d.Wants, d.Given = Wish{Scopes: []string{"openid", "email"}}, Wish{Scopes: []string{"openid"}}
		}), who{session.Full, session.Card, all}, nil, showSignIn, ReasonConsent, "consent_required"},
		{"consent: more allowed", with(func(d *demand) {
			d.Wants, d.Given = Wish{Scopes: []string{"openid"}}, Wish{Scopes: []string{"email", "openid"}}
		}), who{session.Full, session.Card, all}, nil, issueCode, "", ""},
		{"consent: a claim that no scope covers", with(func(d *demand) {
			d.Wants, d.Given = Wish{Scopes: []string{"openid"}, Claims: []string{"birthdate"}}, Wish{Scopes: []string{"email", "openid"}}
		}), who{session.Full, session.Card, all}, nil, showSignIn, ReasonConsent, "consent_required"},
		{"consent: a claim that a scope covers", with(func(d *demand) {
			d.Wants, d.Given = Wish{Scopes: []string{"openid"}, Claims: []string{"birthdate"}}, Wish{Scopes: []string{"openid", "profile"}}
		}), who{session.Full, session.Card, all}, nil, issueCode, "", ""},
		{"consent: the same claim", with(func(d *demand) {
			d.Wants, d.Given = Wish{Scopes: []string{"openid"}, Claims: []string{"birthdate"}}, Wish{Scopes: []string{"openid"}, Claims: []string{"birthdate", "name"}}
		}), who{session.Full, session.Card, all}, nil, issueCode, "", ""},
		{"consent: a scope that only a claim covers", with(func(d *demand) {
			d.Wants, d.Given = Wish{Scopes: []string{"email", "openid"}}, Wish{Scopes: []string{"openid"}, Claims: []string{"email"}}
		}), who{session.Full, session.Card, all}, nil, showSignIn, ReasonConsent, "consent_required"},
		{"consent: prompt=consent", with(func(d *demand) {
			d.Wants, d.Given, d.Anew = Wish{Scopes: []string{"openid"}}, Wish{Scopes: []string{"openid"}}, true
		}), who{session.Full, session.Card, all}, nil, showSignIn, ReasonConsent, "consent_required"},
		{"consent: prompt=consent of a first party", with(func(d *demand) { d.Anew = true }), who{session.Full, session.Card, all}, nil, issueCode, "", ""},
		{"consent comes after the sign-in", with(func(d *demand) { d.Wants = Wish{Scopes: []string{"openid"}} }), nobody, nil, showSignIn, ReasonNoSession, "login_required"},
		{"consent comes after a step-up", with(func(d *demand) { d.Wants, d.Need = Wish{Scopes: []string{"openid"}}, certificate }), who{session.Full, session.App, all}, nil, showSignIn, ReasonStepUp, "login_required"},
		{"consent comes after S5", with(func(d *demand) { d.Wants = Wish{Scopes: []string{"openid"}} }), who{session.Full, session.App, onlyCard}, nil, showSignIn, ReasonByEmployer, "login_required"},
		{"consent: enrol session of a third party", with(func(d *demand) { d.Wants = Wish{Scopes: []string{"openid"}} }), who{session.Enrol, session.Password, all}, nil, showSignIn, ReasonEnrolOnly, "interaction_required"},

		{"S1: full on a password", any, who{session.Full, session.Password, all}, nil, showSignIn, ReasonNoSession, "login_required"},
		{"S1: no level", any, who{"", session.Card, all}, nil, showSignIn, ReasonNoSession, "login_required"},
		{"S1: no method", any, who{session.Full, "", all}, nil, showSignIn, ReasonNoSession, "login_required"},
	} {
		s, p := someone(c.who.level, c.who.method, c.who.permits...)
		if c.who.permits == nil {
			s = nil
		}
		if c.edit != nil {
			c.edit(s, &p)
		}
		if got := decide(c.d, s, p, noon); got.Verdict != c.want || got.Reason != c.reason {
			t.Errorf("%s: %s because %q, want %s because %q", c.what, got.Verdict, got.Reason, c.want, c.reason)
		}
		c.d.Silent = true
		if got := decide(c.d, s, p, noon); got.Error.Code != c.silent || (got.Verdict == issueCode) != (c.silent == "") {
			t.Errorf("%s, silent: %s %q", c.what, got.Verdict, got.Error.Code)
		}
	}
}

// After the sign-in pages, a proof given since the request came is fresh enough.
func TestDecideAfterSignIn(t *testing.T) {
	for _, d := range []demand{{Again: true, MaxAge: -1}, {MaxAge: 0}, {MaxAge: 5 * time.Second}} {
		d.Waited, d.Since = true, noon.Add(600*time.Millisecond)
		s, p := someone(session.Full, session.Card, identity.AllMethods...)
		now := noon.Add(20 * time.Second)
		if got := decide(d, s, p, now); got.Verdict != showSignIn || got.Reason != ReasonAgain {
			t.Errorf("%+v: a proof from before: %s %s", d, got.Verdict, got.Reason)
		}
		// A replica's clock may be a little behind: auth_time counts in seconds.
		for _, at := range []time.Duration{0, time.Second, 19 * time.Second} {
			s.AuthTime = noon.Add(at)
			if got := decide(d, s, p, now); got.Verdict != issueCode {
				t.Errorf("%+v: a proof at +%s: %s %s", d, at, got.Verdict, got.Reason)
			}
		}
	}
}

// Every session × every demand: what must never happen never does.
func TestDecideNeverGivesTooMuch(t *testing.T) {
	n := 0
	for _, level := range []session.Level{session.Enrol, session.Full, ""} {
		for _, method := range []session.Method{session.Password, session.App, session.Token, session.Card, ""} {
			for permits := identity.Methods(1); permits < 8; permits++ {
				for accepts := identity.Methods(0); accepts < 8; accepts++ {
					for _, need := range []strength{worthless, passwordCode, certificate} {
						for _, enrol := range []bool{false, true} {
							for _, silent := range []bool{false, true} {
								for _, waited := range []bool{false, true} {
									n++
									d := demand{MaxAge: -1, Since: noon, Need: need, Methods: accepts, Enrol: enrol && need == worthless, Silent: silent, Waited: waited}
									s, p := someone(level, method)
									p.Organisation.Methods = permits
									got := decide(d, s, p, noon)
									if silent && got.Verdict == showSignIn {
										t.Fatalf("a page for prompt=none: %+v %+v", d, s)
									}
									if got.Verdict != issueCode {
										continue
									}
									have := strengthOf(*s)
									full := have >= passwordCode && have >= need && p.Permits(methodOf(method)) && (accepts == 0 || accepts.Has(methodOf(method)))
									if !full && !(have == passwordOnly && d.Enrol) {
										t.Fatalf("issued: %+v %+v %v", d, s, permits)
									}
								}
							}
						}
					}
				}
			}
		}
	}
	if n < 10000 {
		t.Errorf("only %d cases", n)
	}
}

func TestDemandedLevel(t *testing.T) {
	a := NewACRs("urn:portti:acr:")
	a.Aliases = map[string]string{"phrh": a.Card, "loa2": a.PasswordCode}
	for _, c := range []struct {
		minimum, values string
		need            strength
	}{
		{"", "", worthless},
		{"", "1 2", worthless},
		{"", a.Enrol, worthless}, // nobody may ask for it
		{"", a.PasswordCode, passwordCode},
		{"", a.Card, certificate},
		{"", a.Card + " " + a.PasswordCode, passwordCode},
		{"", "phrh", certificate},
		{"", "1 phrh loa2", passwordCode},
		{a.Card, "", certificate},
		{a.Card, a.PasswordCode, certificate}, // a request never lowers what is registered
		{a.PasswordCode, a.Card, certificate},
		{"phrh", "", certificate},
	} {
		if got := a.demanded(c.minimum, strings.Fields(c.values)); got != c.need {
			t.Errorf("minimum %q, acr_values %q: %d, want %d", c.minimum, c.values, got, c.need)
		}
	}
	for _, c := range []struct {
		s      strength
		values string
		want   string
	}{
		{certificate, "", a.Card},
		{certificate, a.PasswordCode, a.Card}, // the truth, which satisfies
		{certificate, "loa2 phrh", "phrh"},
		{passwordCode, "phrh", a.PasswordCode}, // never more than the truth
		{passwordCode, "loa2", "loa2"},
		{passwordOnly, "phrh loa2", a.Enrol},
		{worthless, "phrh", ""},
	} {
		if got := a.name(c.s, strings.Fields(c.values)); got != c.want {
			t.Errorf("%d for %q is %q, want %q", c.s, c.values, got, c.want)
		}
	}
}
