package e2e

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"github.com/portti-id/portti/internal/identity"
)

// What browsers do besides going forward: tabs, the back button, reloading,
// cookies that are gone. No way ends on a page that does not say how to go on.
// S20, S35, S68.
func TestTabsAndDetoursInABrowser(t *testing.T) {
	t.Parallel()
	w := NewWorld(t, Options{Pair: SQLiteMemory})
	b := w.chromium(t, "sv")
	deep, other := w.record("42"), w.record("43")
	open := func(t *testing.T) *screen {
		t.Helper()
		s := w.screen(t, b, "sv")
		s.Open(deep)
		return s
	}

	t.Run("two sign-ins in two tabs", func(t *testing.T) {
		eeva := w.Settled("eeva.eka", "tietoapu", identity.MethodApp)
		one := open(t)
		two := one.another()
		two.Open(other)
		two.signIn(eeva)
		two.arrives(other, acrCode, amrCode)
		one.Reload() // the other tab has signed in
		one.arrives(deep, acrCode, amrCode)
	})
	t.Run("two sign-ins, both finished by hand", func(t *testing.T) {
		taina := w.Settled("taina.toka", "tietoapu", identity.MethodApp)
		one := open(t)
		two := one.another()
		two.Open(other)
		one.login(taina.Username, taina.Password)
		two.signIn(taina)
		two.arrives(other, acrCode, amrCode)
		one.typeCode(taina.Code())
		one.arrives(deep, acrCode, amrCode)
	})
	t.Run("one sign-in in two tabs", func(t *testing.T) {
		kaija := w.Settled("kaija.kolmas", "tietoapu", identity.MethodApp)
		one := open(t)
		two := one.another()
		two.Open(one.URL())
		one.login(kaija.Username, kaija.Password)
		two.login(kaija.Username, kaija.Password) // its page is old: it shows where the sign-in is
		two.typeCode(kaija.Code())
		two.arrives(deep, acrCode, amrCode)
		one.typeCode(kaija.Code())
		one.look("restart, finished in another tab", "#restart")
		one.says("restart.do")
		one.Open(deep)
		one.arrives(deep, acrCode, amrCode)
	})
	t.Run("back", func(t *testing.T) {
		pena := w.Settled("pena.peruu", "tietoapu", identity.MethodApp)
		s := open(t)
		s.login(pena.Username, pena.Password)
		s.WaitFor("#code")
		s.Back() // to where the sign-in stands, not to the password again
		s.typeCode(pena.Code())
		s.arrives(deep, acrCode, amrCode)
		s.Back()
		s.look("restart, back from the service", "#restart")
		s.says("restart.meaning")
		s.Open(deep)
		s.arrives(deep, acrCode, amrCode)
	})
	t.Run("reloaded", func(t *testing.T) {
		reetta := w.Settled("reetta.reload", "tietoapu", identity.MethodApp)
		s := open(t)
		s.Reload()
		s.login(reetta.Username, reetta.Password)
		s.Reload() // GET: nothing is sent twice
		s.typeCode(reetta.wrongCode())
		s.WaitFor("#problems")
		s.Open(s.URL()) // the address of a form, typed
		s.typeCode(reetta.Code())
		s.arrives(deep, acrCode, amrCode)
	})
	t.Run("cookies cleared before the password", func(t *testing.T) {
		kalle := w.Settled("kalle.keksi", "tietoapu", identity.MethodApp)
		s := open(t)
		s.ClearCookies()
		s.login(kalle.Username, kalle.Password)
		s.look("restart, cookies cleared", "#restart")
		s.says("restart.meaning")
		s.says("restart.do")
		s.Click("#return")
		s.Click("#login")
		s.signIn(kalle)
		s.WaitFor("#signed-in")
	})
	t.Run("cookies cleared before the code", func(t *testing.T) {
		kerttu := w.Settled("kerttu.keksi", "tietoapu", identity.MethodApp)
		s := open(t)
		s.login(kerttu.Username, kerttu.Password)
		s.WaitFor("#code")
		s.ClearCookies()
		s.typeCode(kerttu.Code())
		s.WaitFor("#restart")
		s.Open(deep)
		s.signIn(kerttu)
		s.arrives(deep, acrCode, amrCode)
	})
	t.Run("cookies cleared on the first day", func(t *testing.T) {
		ella := w.Newcomer("ella.evaste", "kuntala")
		s := open(t)
		s.login(ella.Username, ella.Temporary)
		s.choose(ownSecret)
		s.Click("#link-authenticator")
		s.WaitFor("#authenticator-start")
		s.ClearCookies()
		s.Click("#authenticator-start")
		s.look("User Services, cookies cleared", "#error")
		s.says("fault.cookies.title")
		s.says("fault.cookies.do")
		// The Service leads there again.
		s.Open(deep)
		s.login(ella.Username, ownSecret)
		s.WaitFor("#link-authenticator")
	})
}

// Pages beside the way. S50, S69, S71.
func TestOtherPagesInABrowser(t *testing.T) {
	t.Parallel()
	w := NewWorld(t, Options{Pair: SQLiteMemory})
	s := w.screen(t, w.chromium(t, "fi"), "fi")

	s.Open(w.Issuer())
	s.look("start", "h1")
	s.says("start.text")
	s.Open(w.record("42"))
	signIn := s.URL()
	s.Eval(`document.querySelectorAll("details").forEach(d => { d.open = true })`, nil)
	s.look("login, all help open", "#login-submit")
	s.says("help.card.text")
	s.says("help.faq.sms.answer") // S12
	s.Click("=" + s.text("link.order"))
	s.look("order", "h1")
	s.says("order.warn")
	s.Click("=" + s.text("action.back"))
	s.WaitURL(signIn)
	s.Click("=Svenska") // each page in each language
	s.lang = "sv"
	s.look("login, in Swedish", "#login-submit")
	s.says("login.to", "service", "The Service")
	s.Click("=English")
	s.lang = "en"
	s.look("login, in English", "#login-submit")

	s.Open(w.Issuer() + "/authorize?client_id=nobody&response_type=code&scope=openid&redirect_uri=https://evil.example/")
	s.look("oauth error", "#oauth-error")
	s.says("oauth.text")
	s.Open(w.Issuer() + "/no/such/page")
	s.look("not found", "#error")
	s.Open(w.Issuer() + "/signin/unknown")
	s.look("restart, unknown", "#restart")
	s.lang = "fi" // nothing was chosen there
	s.Open(w.Origin("services") + "/no/such/page")
	s.look("User Services, not found", "#error")
}

// Nobody needs a mouse: Enter sends a form, and the way to a new password is one
// press of Tab after it. S45, S50.
func TestKeyboardInABrowser(t *testing.T) {
	t.Parallel()
	w := NewWorld(t, Options{Pair: SQLiteMemory})
	nina := w.Settled("nina.nappain", "tietoapu", identity.MethodApp)
	s := w.screen(t, w.chromium(t, "en"), "en")
	deep := w.record("42")

	s.Open(deep)
	s.Eval(`document.getElementById("login-submit").focus()`, nil)
	s.Press(kb.Tab)
	if got := s.focus(); got != s.text("link.order") {
		t.Errorf("after the form comes %q", got)
	}
	s.Fill("#username", nina.Username)
	s.Fill("#password", "not the right password")
	s.Submit("#password")
	s.WaitFor("#problems")
	if got := s.focus(); !strings.Contains(got, s.text("fault.wrong_credentials")) {
		t.Errorf("what is wrong is not read first, but %q", got)
	}
	s.Fill("#password", nina.Password)
	s.Submit("#password")
	s.WaitFor("#code")
	var code struct{ ID, Mode, Complete string }
	s.Eval(`(e => ({ID: e.id, Mode: e.inputMode, Complete: e.autocomplete}))(document.activeElement)`, &code)
	if code.ID != "code" || code.Mode != "numeric" || code.Complete != "one-time-code" {
		t.Errorf("the field for the code: %+v", code)
	}
	s.Fill("#code", nina.Code())
	s.Submit("#code")
	s.arrives(deep, acrCode, amrCode)
}

// focus is the text of what has the focus.
func (s *screen) focus() (text string) {
	s.t.Helper()
	s.Eval(`document.activeElement.innerText`, &text)
	return text
}
