package e2e

import (
	"net/http"
	"testing"
	"time"

	"github.com/portti-id/portti/cmd/demoservice/service"
	"github.com/portti-id/portti/internal/identity"
)

// archive is a second Service that takes any full sign-in, at the host "other".
func (w *World) archive(t *testing.T) string {
	t.Helper()
	w.Register(w.client("other", "The Archive"))
	w.Handle("other", must(service.New(service.Config{URL: w.Origin("other"), Issuer: w.Issuer(), ClientID: "other", ClientSecret: w.Secrets["other"],
		HTTPClient: &http.Client{Timeout: 10 * time.Second, Transport: w.transport(nil)}, Now: w.Clock.Now}))(t))
	return w.Origin("other")
}

// A later day: password and code from a deep link, a second and a third service
// without a question, the card where one demands it, and one logout for all. Then
// the next person at the same computer. S2, S34, S43, S72.
func TestLaterDayInABrowser(t *testing.T) {
	t.Parallel()
	w := NewWorld(t, Options{Pair: SQLiteMemory})
	molla := w.Settled("molla.molemmat", "kuntala", identity.MethodApp, identity.MethodCard)
	kaisa := w.Settled("kaisa.kortti", "saaristo", identity.MethodCard)
	b := w.chromium(t, "sv")
	s := w.screen(t, b, "sv")
	deep, archive, records := w.record("42"), w.archive(t), w.Origin("records")+"/records/1"

	s.Open(deep)
	s.login(molla.Username, molla.Password)
	s.look("code", "#code-submit")
	s.says("otp.validity") // S45
	s.says("otp.device")   // S48
	s.typeCode(" " + molla.Code()[:3] + " ")
	s.look("code, half of it", "#problems")
	s.says("fault.otp_wrong")
	code := molla.Code()
	s.typeCode(code[:3] + " " + code[3:]) // as the app shows it
	s.arrives(deep, acrCode, amrCode)

	// Others know who it is, without a page of the provider.
	s.Open(archive + "/records/8")
	s.arrives(archive+"/records/8", acrCode, amrCode)
	s.Open(w.Origin("services"))
	s.look("my login methods, both", "#try")
	s.says("us.card.linked")

	// One demands the card. Who has none at hand stays signed in elsewhere.
	s.Open(records)
	s.look("step-up", "#card-start")
	s.says("stepup.card")
	s.Click("#card-start")
	s.refused("no_certificate")
	s.Click("#restart")
	s.WaitFor("#card-start")
	s.Click("#login-cancel")
	s.look("the records, cancelled", "#error-code")
	s.Open(deep)
	s.arrives(deep, acrCode, amrCode)

	insert(t, b, molla.Card)
	s.Open(deep)
	s.Click("#stepup")
	s.Click("#card-start") // S34: the same browser asks for the card anew
	s.WaitURL(w.Origin("service") + "/secret")
	if got := s.Text("#acr"); got != acrCard {
		t.Errorf("acr %q", got)
	}
	s.Open(records)
	s.arrives(records, acrCard, amrCard)
	s.look("the records", "#acr")

	// One logout ends it everywhere.
	s.Click("#logout")
	s.look("the records, signed out", "#signed-out")
	signedOut(s, w, archive)
	b.EjectCard(molla.Card.Name)

	// Nobody's card, nobody's session; the next person's card, hers (S72).
	s.Open(deep)
	s.look("login, next person", "#login-submit")
	s.Click("#card-start")
	s.refused("no_certificate")
	insert(t, b, kaisa.Card)
	s.Click("#card-start")
	s.arrives(deep, acrCard, amrCard)
	if got := s.Text("#who"); got != "Kaisa Kortti" {
		t.Errorf("signed in as %q", got)
	}

	// The provider asks before it logs out on a mere link.
	s.Open(w.Issuer() + "/end_session")
	s.look("log out?", "#logout-confirm")
	s.says("logout.confirm.all")
	s.Click("#logout-confirm")
	s.look("logged out", "#logged-out")
	s.says("logout.card") // S72
	s.Open(deep)
	s.WaitFor("#login-submit")
}

// signedOut checks that every app has forgotten the person; the back channel takes
// a moment.
func signedOut(s *screen, w *World, archive string) {
	s.t.Helper()
	for _, app := range []string{w.Origin("service"), archive, w.Origin("records")} {
		eventually(s.t, app+" forgets the person", func() bool {
			s.Open(app)
			return s.Has("#login") && !s.Has("#who")
		})
	}
	eventually(s.t, "User Services forget the person", func() bool {
		s.Open(w.Origin("services"))
		return s.Has("#login-submit")
	})
}

// User Services, signed in: the password is changed, the code tried, and the way
// out says to take the card. S58, S67, S72.
func TestUserServicesInABrowser(t *testing.T) {
	t.Parallel()
	w := NewWorld(t, Options{Pair: SQLiteMemory})
	otto := w.Settled("otto.ohjelma", "tietoapu", identity.MethodApp)
	s := w.screen(t, w.chromium(t, "en"), "en")
	home := w.Origin("services")

	s.Open(home)
	s.signIn(otto)
	s.WaitURL(home)
	s.Click("#try")
	s.typeCode(otto.LastCode())
	s.look("try the code, used", "#result")
	s.says("try.used")
	s.typeCode(otto.Code())
	s.look("try the code, works", "#result")
	s.says("try.ok")

	s.Open(home)
	s.Click("#change-password")
	s.look("change password, own", "#change-submit")
	s.says("pw.effect")
	s.Fill("#current", "not my password at all")
	s.Fill("#new", "a quiet lake in november")
	s.Fill("#repeat", "a quiet lake in december")
	s.Click("#change-submit")
	s.look("change password, different", "#problems")
	s.says("fault.password_mismatch")
	s.Fill("#current", otto.Password)
	s.choose("a quiet lake in november")
	s.look("password changed", "#changed")

	s.Click("#logout")
	s.look("signed out of User Services", "#logged-out")
	s.says("logout.card")
	s.Open(home)
	s.login(otto.Username, "a quiet lake in november")
	s.typeCode(otto.Code())
	s.WaitURL(home)
}
