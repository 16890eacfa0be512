package rp_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/pkg/rp"
	"github.com/portti-id/portti/pkg/rp/rptest"
)

// callAPI adds pages to the application that show what a path of the API says:
// /call/seal shows /seal.
func (a *app) callAPI(api func() string) {
	mux := a.Config.Handler.(*http.ServeMux)
	mux.HandleFunc("/call/", func(w http.ResponseWriter, r *http.Request) {
		s, err := a.rp.Session(r)
		if err != nil {
			a.rp.Login(w, r, rp.LoginOptions{ReturnTo: r.URL.Path})
			return
		}
		token, err := s.AccessToken(r.Context())
		if err != nil {
			http.Error(w, err.Error(), http.StatusTeapot)
			return
		}
		call, _ := http.NewRequestWithContext(r.Context(), http.MethodGet, api()+strings.TrimPrefix(r.URL.Path, "/call"), nil)
		call.Header.Set("Authorization", "Bearer "+token)
		res, err := http.DefaultClient.Do(call)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer func() { _ = res.Body.Close() }()
		if a.rp.StepUp(w, r, res) {
			return
		}
		w.WriteHeader(res.StatusCode)
		_, _ = io.Copy(w, res.Body)
	})
}

// startWithAPI is an application whose sign-ins give tokens for an API.
func startWithAPI(t *testing.T, change func(*rp.Config)) (*app, *api) {
	t.Helper()
	now := newClock()
	a := start(t, func(c *rp.Config) {
		c.Resource, c.Claims, c.DefaultACR, c.Now = archive, []string{"name"}, rp.ACRPasswordOTP, now.Now
		if change != nil {
			change(c)
		}
	})
	records := startAPI(t, a.op, func(c *rp.ResourceConfig) { c.Now = now.Now })
	records.now = now
	a.op.Set(func(s *rptest.Script) { s.Now = now.Now })
	a.callAPI(func() string { return records.URL })
	return a, records
}

func TestStepUpForAnAPI(t *testing.T) { // RFC 9470
	for name, jwt := range map[string]bool{"at+jwt": true, "reference": false} {
		t.Run(name, func(t *testing.T) {
			a, _ := startWithAPI(t, nil)
			a.op.Set(func(s *rptest.Script) { s.AccessJWT = jwt })
			b := a.browser(t)
			body, _ := b.get(a.URL + "/call/any")
			expect(t, "at first", body, "user-1 by app at urn:portti:acr:pwd-otp")
			expect(t, "whose token", a.op.LastAuthorize().Get("resource"), archive)
			expect(t, "claims", a.op.LastAuthorize().Get("claims"), `{"id_token":{"name":null}}`)
			// "phr", which the API would take as well, does not satisfy the default.
			body, _ = b.get(a.URL + "/call/seal")
			expect(t, "stepped up", body, "user-1 by app at urn:portti:acr:card")
			expect(t, "asked for", a.op.LastAuthorize().Get("acr_values"), rp.ACRCard)
			if n := a.op.Counts(); n.Authorize != 2 || n.UserInfo != 0 {
				t.Errorf("%+v", n)
			}
		})
	}
}

func TestStepUpForAnAPIThatWantsARecentSignIn(t *testing.T) {
	a, records := startWithAPI(t, nil)
	b := a.browser(t)
	b.get(a.URL + "/call/recent")
	records.now.forward(9 * time.Minute) // the token lives for 5
	body, status := b.get(a.URL + "/call/recent")
	if status != 200 || body != "user-1 by app at urn:portti:acr:pwd-otp" {
		t.Errorf("%d %s", status, body)
	}
	expect(t, "asked for", a.op.LastAuthorize().Get("max_age"), "300")
	if n := a.op.Counts().Authorize; n != 2 {
		t.Errorf("%d visits to the provider", n)
	}
}

func TestAPIThatIsNeverContentDoesNotSendUsInCircles(t *testing.T) {
	for name, test := range map[string]struct{ params, path string }{
		"with a level": {`, acr_values="urn:portti:acr:pwd-otp"`, "/call/x"},
		"with an age":  {`, max_age="300"`, "/call/x"},
		"with both":    {`, max_age="300", acr_values="urn:portti:acr:pwd-otp"`, "/call/x"},
		"with nothing": {``, "/call/x"},
	} {
		a, _ := startWithAPI(t, nil)
		stubborn := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", `Bearer error="insufficient_user_authentication"`+test.params)
			w.WriteHeader(http.StatusUnauthorized)
		})
		mux := a.Config.Handler.(*http.ServeMux)
		mux.Handle("/stubborn/", stubborn)
		mux.HandleFunc("/x", func(w http.ResponseWriter, r *http.Request) {
			res, err := http.Get(a.URL + "/stubborn/")
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadGateway)
				return
			}
			defer func() { _ = res.Body.Close() }()
			if !a.rp.StepUp(w, r, res) {
				t.Errorf("%s: no challenge", name)
			}
		})
		b := a.browser(t)
		b.get(a.URL + "/records/1")
		body, status := b.get(a.URL + "/x")
		if status != http.StatusForbidden || body != "error "+rp.UnmetRequirements {
			t.Errorf("%s: %d %s", name, status, body)
		}
		expect(t, name, a.lastError().ReturnTo, "/")
		if n := a.op.Counts().Authorize; n != 1 {
			t.Errorf("%s: %d visits to the provider", name, n)
		}
		expect(t, "the session", b.signedIn(a), "user-1")
	}
}

// TestAPIDoesNotWeakenSignIns: whoever answers for an API must not be able to have
// the application take a password alone.
func TestAPIDoesNotWeakenSignIns(t *testing.T) {
	a, _ := startWithAPI(t, nil)
	a.Config.Handler.(*http.ServeMux).HandleFunc("/x", func(w http.ResponseWriter, r *http.Request) {
		res := &http.Response{StatusCode: 401, Header: http.Header{"Www-Authenticate": {`Bearer error="insufficient_user_authentication", acr_values="` + r.FormValue("acr") + `"`}}}
		a.rp.StepUp(w, r, res)
	})
	body, _ := a.browser(t).get(a.URL + "/x?acr=" + rp.ACREnrol)
	expect(t, "enrol alone", body, "error "+rp.UnmetRequirements)
	b := a.browser(t)
	authorize := b.step(a.URL + "/x?acr=" + rp.ACREnrol + "+" + rp.ACRCard)
	if !strings.Contains(authorize, "acr_values=urn%3Aportti%3Aacr%3Acard&") {
		t.Errorf("asked for %s", authorize)
	}
}

func TestStepUpPassesTheDemandOnToScripts(t *testing.T) {
	a, _ := startWithAPI(t, nil)
	b := a.browser(t)
	b.get(a.URL + "/call/any")
	res := b.once(t, "GET", a.URL+"/call/seal", http.Header{"Sec-Fetch-Mode": {"cors"}})
	expect(t, "challenge", res.Header.Get("WWW-Authenticate"), `Bearer `+tooLittle+`, acr_values="urn:portti:acr:card"`)
}

func TestStepUpLeavesOtherAnswersAlone(t *testing.T) {
	a, _ := startWithAPI(t, nil)
	b := a.browser(t)
	_, status := b.get(a.URL + "/call/read")
	if status != http.StatusForbidden {
		t.Errorf("insufficient_scope became %d", status)
	}
	if n := a.op.Counts().Authorize; n != 1 {
		t.Errorf("%d visits to the provider", n)
	}
}
