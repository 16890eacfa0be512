package e2e

import (
	"strings"
	"testing"

	"github.com/portti-id/portti/internal/e2e/browser"
)

// manner is how somebody uses a browser.
type manner struct {
	name     string
	lang     string
	phone    bool // a narrow screen, dark colours
	noScript bool
}

// manners: each language once, each on another kind of browser.
var manners = []manner{
	{name: "fi", lang: "fi"},
	{name: "sv on a narrow dark screen", lang: "sv", phone: true},
	{name: "en without scripts", lang: "en", noScript: true},
}

func (m manner) screen(t *testing.T, w *World, b *browser.Browser) *screen {
	t.Helper()
	s := w.screen(t, b, m.lang)
	if m.phone {
		s.Viewport(360, 740)
		s.DarkMode(true)
		s.dark = true
	}
	if m.noScript {
		s.DisableScript(true)
	}
	return s
}

// The first day with an authenticator: temporary password, change, User Services,
// link, and the Service's page that was asked for opens after one code. S15, S18,
// S19, S20, S37, S41, S43, S45.
func TestFirstDayWithAuthenticatorInABrowser(t *testing.T) {
	t.Parallel()
	for _, m := range manners {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			firstDayWithAuthenticator(t, NewWorld(t, Options{Pair: SQLiteMemory}), m)
		})
	}
}

// The same over PostgreSQL and Redis, each request to the other of two replicas.
func TestFirstDaysOverTwoReplicasInABrowser(t *testing.T) {
	t.Parallel()
	w := NewWorld(t, Options{Pair: PostgresRedis})
	t.Run("authenticator", func(t *testing.T) {
		t.Parallel()
		firstDayWithAuthenticator(t, w, manner{lang: "fi"})
	})
	t.Run("card", func(t *testing.T) {
		t.Parallel()
		firstDayWithCard(t, w, manner{lang: "en"})
	})
}

func firstDayWithAuthenticator(t *testing.T, w *World, m manner) {
	who := w.Newcomer("aino."+m.lang, "kuntala")
	s := m.screen(t, w, w.chromium(t, m.lang))
	deep := w.record("42")

	s.Open(deep)
	s.look("login", "#login-submit")
	s.says("login.first")
	s.says("order.phone", "phone", "020 000 0000") // S50
	s.login(who.Username, who.Temporary)

	s.look("change password", "#new")
	s.says("pw.temp")
	s.choose("short")
	s.look("change password, too short", "#problems")
	s.says("fault.password_too_short", "n", "15")
	s.choose(ownSecret)

	s.WaitURL(w.Origin("services"))
	s.look("choose", "#link-authenticator")
	s.says("us.choose")
	s.says("us.service", "service", "The Service")
	s.says("us.choose.employer", "organisation", "Kuntalan kaupunki")
	s.Click("#link-authenticator")

	s.look("authenticator", "#authenticator-start")
	s.says("totp.removal")
	s.Click("#authenticator-start")
	s.look("authenticator, nothing ticked", "#problems")
	s.says("fault.own_device_required")
	s.Click("#kind-app")
	s.Click("#own_device")
	s.Click("#personal_phone")
	s.Click("#authenticator-start")

	s.look("authenticator key", "#qr")
	s.says("otp.device") // S48
	scanned := s.scan()
	shown := strings.Join(strings.Fields(s.Text("#key")), "")
	if scanned.Secret() != shown {
		t.Fatalf("the QR code holds %q, the page shows %q", scanned.Secret(), shown)
	}
	if !strings.HasPrefix(scanned.Issuer(), brand) || strings.Contains(s.Text("body"), "otpauth:") { // S39, S48
		t.Errorf("issuer %q", scanned.Issuer())
	}
	who.Scan(shown)
	s.typeCode(who.wrongCode())
	s.look("authenticator key, wrong code", "#problems")
	s.says("fault.otp_wrong")
	if s.Has("#key") || s.Has("#qr") { // S41: the key is shown once
		t.Error("the key is shown again")
	}
	linking := who.Code()
	s.typeCode(linking)

	// It goes on by itself: the new method is proved once, and the Service opens.
	s.look("code, just linked", "#code")
	s.says("enrol.linked")
	s.says("otp.help", "account", brand+"-1 TOTP-2FA")
	s.typeCode(linking)
	s.look("code, used already", "#problems") // S44: linking used it up
	s.says("fault.otp_used")
	s.typeCode(who.Code())

	s.arrives(deep, acrCode, amrCode)
	s.look("service", "#acr")
	if got := s.Text("#who"); got != "Aino "+capital(m.lang) {
		t.Errorf("signed in as %q, not as %q", got, "Aino "+capital(m.lang))
	}

	// User Services: in without a page of the provider, and shows the link but not the key.
	s.Open(w.Origin("services"))
	s.look("authenticator linked", "#linked")
	s.Click("#service")
	s.look("my login methods, authenticator", "#try")
	s.says("us.totp.kind")
	if s.Has("#link-authenticator") || s.Has("#key") {
		t.Error("a second authenticator can be linked, or the key is shown")
	}
	s.Click("#try")
	s.look("try the code", "#code-submit")
}

// The first day with a card. S18, S20, S25, S26, S32.
func TestFirstDayWithCardInABrowser(t *testing.T) {
	t.Parallel()
	for _, m := range manners {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			firstDayWithCard(t, NewWorld(t, Options{Pair: SQLiteMemory}), m)
		})
	}
}

func firstDayWithCard(t *testing.T, w *World, m manner) {
	who := w.Newcomer("kai."+m.lang, "saaristo")
	b := w.chromium(t, m.lang)
	insert(t, b, who.Card)
	s := m.screen(t, w, b)
	deep := w.record("7")

	// The card alone does not help on the first day (S14).
	s.Open(deep)
	s.Click("#card-start")
	s.refused("card_not_linked")
	s.Click("#restart")
	s.login(who.Username, who.Temporary)
	s.choose(ownSecret)

	s.WaitURL(w.Origin("services"))
	s.look("choose, card only", "#link-card")
	s.says("us.mustlink.card")
	if s.Has("#link-authenticator") { // S18: only what the employer permits
		t.Error("an authenticator is offered")
	}
	s.Click("#link-card")
	s.look("link card", "#card-start")
	s.says("card.pin") // S3
	s.Click("#card-start")

	s.look("link card, confirm", "#card-confirm")
	s.says("us.confirmcard", "user", who.Username)
	s.says("confirmcard.check")
	if got := s.Text("#holder"); !strings.Contains(strings.ToLower(got), m.lang) {
		t.Errorf("holder %q", got)
	}
	if got := s.Text("#tail"); got != tailOf(who.Card) {
		t.Errorf("serial number ends in %q, not in %q", got, tailOf(who.Card))
	}
	s.Click("#card-confirm")

	s.look("card, just linked", "#card-start")
	s.says("enrol.linked")
	s.Click("#card-start")
	s.arrives(deep, acrCard, amrCard)
	s.look("service", "#acr")

	s.Open(w.Origin("services"))
	s.look("card linked", "#linked")
	s.Click("#service")
	s.look("my login methods, card", "#change-password")
	s.says("us.card.linked")

	// From now on one click and no field (S2), in a browser that knows nothing.
	again := m.screen(t, w, b)
	again.Open(deep)
	again.Click("#card-start")
	again.arrives(deep, acrCard, amrCard)
}
