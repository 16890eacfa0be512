package e2e

import (
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/pkg/rp"
)

// anAPI is one that demands the card for one call, and an application that
// calls it; both are built as docs/relying-parties-go.md says. The application is
// on the host "other".
func (w *World) anAPI(t *testing.T, format openid.AccessTokenFormat) {
	t.Helper()
	const resource = "https://archive.example.fi"
	// The API takes part by introspection alone; its grant is never used.
	w.Register(openid.Client{ID: "archive", Name: map[string]string{"en": "The Archive"}, AuthMethod: openid.AuthBasic, GrantTypes: []openid.GrantType{openid.GrantClient},
		Scopes: []string{"archive"}, Options: openid.Options{Serves: []string{resource}}})
	client := w.client("other", "Records")
	client.Scopes, client.TokenFormat, client.Resources = append(client.Scopes, "records"), format, []string{resource}
	w.Register(client)

	inside, log := &http.Client{Timeout: 10 * time.Second, Transport: w.transport(nil)}, slog.New(slog.DiscardHandler)
	api := must(rp.NewResource(t.Context(), rp.ResourceConfig{Issuer: w.Issuer(), Audience: resource, ClientID: "archive", ClientSecret: w.Secrets["archive"],
		HTTPClient: inside, Now: w.Clock.Now, Log: log}))(t)
	say := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		who := rp.AccessFromContext(r.Context())
		_, _ = io.WriteString(rw, who.Subject+" by "+who.ClientID+" at "+who.ACR)
	})
	calls := http.NewServeMux()
	calls.Handle("/read", api.Protect(rp.Demand{Scopes: []string{"records"}}, say))
	calls.Handle("/seal", api.Protect(rp.Demand{Scopes: []string{"records"}, ACR: []string{rp.ACRCard}}, say))
	calls.Handle("/recent", api.Protect(rp.Demand{MaxAge: 5 * time.Minute}, say))
	calls.Handle("/write", api.Protect(rp.Demand{Scopes: []string{"records.write"}}, say))
	w.Handle("other2", calls)

	p := must(rp.New(t.Context(), rp.Config{Issuer: w.Issuer(), ClientID: "other", ClientSecret: w.Secrets["other"], RedirectURL: w.Origin("other") + "/callback",
		Scopes: []string{"profile", "records"}, Resource: resource, Claims: []string{"name"}, DefaultACR: rp.ACRPasswordOTP, HTTPClient: inside, Now: w.Clock.Now, Log: log}))(t)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /callback", p.Callback)
	mux.Handle("GET /call/{what}", p.Require("", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		s := rp.FromContext(r.Context())
		token, err := s.AccessToken(r.Context())
		if err != nil {
			http.Error(rw, err.Error(), http.StatusTeapot)
			return
		}
		call := must(http.NewRequestWithContext(r.Context(), http.MethodGet, w.Origin("other2")+"/"+r.PathValue("what"), nil))(t)
		call.Header.Set("Authorization", "Bearer "+token)
		res, err := inside.Do(call)
		if err != nil {
			http.Error(rw, err.Error(), http.StatusBadGateway)
			return
		}
		defer res.Body.Close() //nolint:errcheck // it was read to the end
		if p.StepUp(rw, r, res) {
			return
		}
		said, _ := io.ReadAll(res.Body)
		rw.WriteHeader(res.StatusCode)
		_, _ = io.WriteString(rw, "<p id=name>"+s.Claim("name")+"</p><p id=said>"+string(said)+"</p><p id=challenge>"+strings.ReplaceAll(res.Header.Get("WWW-Authenticate"), `"`, "'")+"</p>")
	})))
	w.Handle("other", mux)
}

// An API demands the card for one call, and the person who signed in with password
// and code is asked for it on the way (RFC 9470); with both forms of tokens.
func TestStepUpForAnAPI(t *testing.T) {
	for name, format := range map[string]openid.AccessTokenFormat{"at+jwt": openid.FormatJWT, "reference": openid.FormatReference} {
		t.Run(name, func(t *testing.T) {
			Each(t, func(t *testing.T, w *World) {
				w.anAPI(t, format)
				molla, v := w.Settled("molla.molemmat", "kuntala", identity.MethodApp, identity.MethodCard), w.Visitor()
				page := molla.SignIn(v.Open(w.Origin("other") + "/call/read")).Must("said")
				if want := string(molla.ID) + " by other at " + acrCode; page.Text("said") != want || page.Text("name") == "" {
					t.Fatalf("at first: %q, want %q; name %q", page.Text("said"), want, page.Text("name"))
				}
				page = molla.SignInWithCard(v.Open(w.Origin("other") + "/call/seal").Must("card-start")).Must("said")
				if want := string(molla.ID) + " by other at " + acrCard; page.Text("said") != want || page.URL.String() != w.Origin("other")+"/call/seal" {
					t.Fatalf("with the card: %q on %s", page.Text("said"), page)
				}
				page = v.Open(w.Origin("other") + "/call/write").MustStatus(http.StatusForbidden)
				if !strings.Contains(page.Text("challenge"), "insufficient_scope") {
					t.Errorf("a scope that nobody gave: %q", page.Text("challenge"))
				}
			})
		})
	}
}

// The API of the same tokens wants a sign-in of the last five minutes.
func TestRecentSignInForAnAPI(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		w.anAPI(t, openid.FormatJWT)
		otto, v := w.Settled("otto.ohjelma", "kuntala", identity.MethodApp), w.Visitor()
		otto.SignIn(v.Open(w.Origin("other") + "/call/recent")).Must("said")
		w.Clock.Advance(10 * time.Minute) // the token is renewed, the sign-in is not
		page := otto.SignIn(v.Open(w.Origin("other") + "/call/recent")).Must("said").MustStatus(http.StatusOK)
		if page.URL.String() != w.Origin("other")+"/call/recent" {
			t.Errorf("back on %s", page)
		}
	})
}

// A reference ends with the person's password, at the next call; and a token that
// was asked for without a resource is for no API.
func TestTokensOfAnAPIEnd(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		w.anAPI(t, openid.FormatReference)
		otto, v := w.Settled("otto.ohjelma", "kuntala", identity.MethodApp), w.Visitor()
		otto.SignIn(v.Open(w.Origin("other") + "/call/recent")).Must("said").MustStatus(http.StatusOK)

		p := w.As("other", w.Origin("other")+"/callback")
		v.Stop = p.Redirect
		code := must(url.Parse(v.Open(p.URL(nil)).Next))(t).Query().Get("code")
		v.Stop = ""
		call := must(http.NewRequest(http.MethodGet, w.Origin("other2")+"/recent", nil))(t)
		call.Header.Set("Authorization", "Bearer "+p.MustRedeem(code).Access)
		answer := must(p.http.Do(call))(t)
		_ = answer.Body.Close()
		if got := answer.Header.Get("WWW-Authenticate"); answer.StatusCode != http.StatusUnauthorized || !strings.Contains(got, "invalid_token") {
			t.Errorf("a token for no API: %d %s", answer.StatusCode, got)
		}

		must(w.Replicas[0].Directory.Order(t.Context(), operator, otto.ID, identity.Why{Reason: "forgot it"}))(t)
		page := v.Open(w.Origin("other") + "/call/recent")
		if page.Status == http.StatusOK {
			t.Errorf("after the order of a new password: %s %q", page, page.Text("said"))
		}
	})
}
