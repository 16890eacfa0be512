package e2e

import (
	"testing"

	"github.com/portti-id/portti/internal/identity"
)

// Letting a device in, in a real browser, on a phone's screen and a dark one.
func TestDeviceInABrowser(t *testing.T) {
	t.Parallel()
	w := NewWorld(t, Options{Pair: SQLiteMemory})
	otto, p := w.Settled("otto.ohjelma", "tietoapu", identity.MethodApp), w.device("screen", thirdParty)
	s := w.screen(t, w.chromium(t, "fi"), "fi")
	b := p.Begin("openid profile offline_access")
	s.Open(b.URI)
	s.look("connect a device", "#user-code")
	s.Fill("#user-code", "bcdfghjk")
	s.Click("#device-submit")
	s.look("connect a device, wrong code", "#problems")
	s.says("fault.device_code_unknown")
	s.Open(b.Complete)
	s.Click("#device-submit")
	s.signIn(otto)
	s.look("is this your device", "#device-allow")
	s.says("device.warn")
	s.shows(b.User)
	s.Viewport(320, 640)
	s.DarkMode(true)
	s.dark = true
	s.look("is this your device", "#device-allow")
	s.Click("#device-allow")
	s.look("the device is connected", "#device-allowed")
	s.says("device.allowed.text", "service", "Ulkopuolinen")
	if got := p.Poll(b); got.Status != 200 {
		t.Errorf("%+v", got)
	}
	b = p.Begin("openid")
	s.Open(b.Complete)
	s.Click("#device-submit")
	s.Click("#device-deny")
	s.look("the device was not connected", "#device-denied")

	b = p.Begin("openid")
	cancelled := w.screen(t, w.chromium(t, "sv"), "sv")
	cancelled.Open(b.Complete)
	cancelled.Click("#device-submit")
	cancelled.Click("#login-cancel")
	cancelled.look("is this your device, not signed in", "#device-signin")
}
