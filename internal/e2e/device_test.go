package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/openid"
)

// device registers a service that has no browser of its own.
func (w *World) device(id string, edit ...func(c *openid.Client)) *Party {
	w.T.Helper()
	c := w.client("other", "The Screen")
	c.ID, c.AuthMethod, c.RequirePKCE, c.RedirectURIs, c.PostLogoutRedirectURIs, c.BackChannelLogoutURI = id, openid.AuthNone, false, nil, nil, ""
	c.GrantTypes = []openid.GrantType{openid.GrantDevice, openid.GrantRefresh}
	for _, e := range edit {
		e(&c)
	}
	w.Register(c)
	return w.As(id, "")
}

// Begun is what a device shows, and keeps.
type Begun struct {
	Code     string `json:"device_code"`
	User     string `json:"user_code"`
	URI      string `json:"verification_uri"`
	Complete string `json:"verification_uri_complete"`
}

// Begin starts a device.
func (p *Party) Begin(scope string) (b Begun) {
	p.W.T.Helper()
	answer, err := p.http.PostForm(p.W.Issuer()+"/device_authorization", url.Values{"client_id": {p.ID}, "scope": {scope}})
	if err != nil {
		p.W.T.Fatal(err)
	}
	defer answer.Body.Close() //nolint:errcheck // it was read to the end
	body := must(io.ReadAll(answer.Body))(p.W.T)
	if err := json.Unmarshal(body, &b); err != nil || answer.StatusCode != http.StatusOK {
		p.W.T.Fatalf("device authorization: %d %s", answer.StatusCode, body)
	}
	return b
}

// Poll asks for a device's tokens.
func (p *Party) Poll(b Begun) Tokens {
	p.W.T.Helper()
	p.W.Clock.Advance(6 * time.Second)
	return must(p.Token(url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "device_code": {b.Code}}))(p.W.T)
}

// A device is let in by its person, in a browser elsewhere (RFC 8628).
func TestDevice(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		otto, v, p := w.Settled("otto.ohjelma", "tietoapu", identity.MethodApp), w.Visitor(), w.device("screen")
		b := p.Begin("openid profile offline_access")
		if got := p.Poll(b); got.Error != "authorization_pending" {
			t.Errorf("nobody has answered: %+v", got)
		}

		// A wrong code is told, and the right one leads through a sign-in to the question.
		page := v.Open(b.URI).Must("user-code").Press("device-submit", "user-code", "BCDF-GHJK").MustStatus(404).Must("user-code")
		page = page.Press("device-submit", "user-code", strings.ToLower(b.User)).Must("login-submit")
		page = otto.SignIn(page).MustStatus(200).Must("device-allow", "device-deny")
		if page.Text("device-code") != b.User || !strings.Contains(page.Title(), "The Screen") {
			t.Errorf("the question is %s with the code %q", page, page.Text("device-code"))
		}
		page = page.Press("device-allow").Must("device-allowed")
		got := p.Poll(b)
		if got.Status != http.StatusOK || got.Refresh == "" || got.Claims()["sub"] != string(otto.ID) {
			t.Fatalf("%+v", got)
		}
		if again := p.Poll(b); again.Error != "invalid_grant" {
			t.Errorf("a second time: %+v", again)
		}
		if p.alive(got.Access) {
			t.Error("tokens outlive a second use of the code")
		}
		v.Open(page.URL.String()).Must("device-allowed") // a reload

		// The address with the code fills it in, and asks all the same. No.
		b = p.Begin("openid")
		page = v.Open(b.Complete).Must("device-submit")
		if page.Attr("user-code", "value") != b.User {
			t.Errorf("the code is not filled in but %q", page.Attr("user-code", "value"))
		}
		page.Press("device-submit").Must("device-deny").Press("device-deny").Must("device-denied")
		if got := p.Poll(b); got.Error != "access_denied" {
			t.Errorf("denied: %+v", got)
		}

		// Too late, on both sides.
		b = p.Begin("openid")
		page = v.Open(b.Complete).Press("device-submit").Must("device-allow")
		w.Clock.Advance(11 * time.Minute)
		page.Press("device-allow").MustStatus(404).Must("user-code")
		if got := p.Poll(b); got.Error != "expired_token" {
			t.Errorf("expired: %+v", got)
		}

		// Who cancels the sign-in is asked to sign in, and may still say no.
		b = p.Begin("openid")
		stranger := w.Visitor()
		page = stranger.Open(b.Complete).Press("device-submit").Must("login-cancel").Press("login-cancel").Must("device-signin", "device-deny")
		page.Press("device-signin").Must("login-submit")
		page.Press("device-deny").Must("device-denied")

		// The browser's logout is not the device's; a new password is its end.
		b = p.Begin("openid offline_access")
		v.Open(b.Complete).Press("device-submit").Press("device-allow").Must("device-allowed")
		got = p.Poll(b)
		v.Open(w.Issuer() + "/end_session").Press("logout-confirm").Must("logged-out")
		if got = must(p.Renew(got.Refresh))(t); got.Status != http.StatusOK {
			t.Errorf("the browser's logout ends the device: %+v", got)
		}
		must(w.Replicas[0].Directory.Order(t.Context(), operator, otto.ID, identity.Why{Reason: "lost"}))(t)
		if got := must(p.Renew(got.Refresh))(t); got.Error != "invalid_grant" {
			t.Errorf("an Order leaves the device signed in: %+v", got)
		}
	})
}

// The device's client has the say over the sign-in, as with a code.
func TestDeviceThatDemandsTheCard(t *testing.T) {
	w := NewWorld(t, Options{Pair: SQLiteMemory})
	molla, v := w.Settled("molla.molemmat", "kuntala", identity.MethodApp, identity.MethodCard), w.Visitor()
	p := w.device("vault", func(c *openid.Client) { c.MinimumACR = acrCard })
	molla.SignIn(v.Open(w.Origin("services") + "/")).Must("change-password")
	b := p.Begin("openid")
	page := v.Open(b.Complete).Press("device-submit").Must("card-start")
	molla.SignInWithCard(page).Must("device-allow").Press("device-allow").Must("device-allowed")
	if got := p.Poll(b); got.Status != http.StatusOK || got.Claims()["acr"] != acrCard {
		t.Errorf("%+v", got)
	}
}
