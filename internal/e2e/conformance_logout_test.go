package e2e

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/net/html"

	"github.com/portti-id/portti/internal/openid"
)

// logout asks for an RP-initiated logout and returns the page it comes to.
func (s *suite) logout(params url.Values) *Page {
	return s.v.Open(s.conf["end_session_endpoint"].(string) + "?" + params.Encode())
}

func (s *suite) out(p *Party) string {
	return strings.TrimSuffix(p.Redirect, "/callback") + "/logout/callback"
}

// over wants nobody to be signed in any more.
func (s *suite) over(p *Party) {
	s.Helper()
	s.refused(p, url.Values{"prompt": {"none"}}, "login_required")
}

// shown is a page of ours that ends the logout or asks; the client is not called.
func (s *suite) shown(page *Page, ids ...string) {
	s.Helper()
	if page.URL.Host != must(url.Parse(s.w.Issuer()))(s.T).Host {
		s.Fatalf("the client was called: %s", page)
	}
	if !slices.ContainsFunc(ids, page.Has) {
		s.Errorf("none of %v on %s", ids, page)
	}
}

// sign is an unverifiable ID token with another algorithm.
func sign(header, token string) string {
	parts := strings.Split(token, ".")
	parts[0], parts[2] = base64.RawURLEncoding.EncodeToString([]byte(header)), ""
	return strings.Join(parts, ".")
}

// TestConformanceLogout is oidcc-rp-initiated-logout-certification-test-plan.
func TestConformanceLogout(t *testing.T) {
	state := strings.Repeat("s0lT-_.~", 16)
	Each(t, func(t *testing.T, w *World) {
		runModules(t, newSuite(t, w), map[string]func(s *suite){
			"oidcc-rp-initiated-logout-discovery-endpoint-verification": func(s *suite) {
				if s.conf["end_session_endpoint"] != w.Issuer()+openid.EndSessionPath {
					s.Errorf("%v", s.conf["end_session_endpoint"])
				}
			},
			"oidcc-rp-initiated-logout": func(s *suite) {
				tokens, _ := s.flow(s.p, nil)
				page := s.logout(url.Values{"id_token_hint": {tokens.ID}, "post_logout_redirect_uri": {s.out(s.p)}, "state": {state}})
				if want := s.out(s.p) + "?state=" + url.QueryEscape(state); page.URL.String() != want {
					s.Errorf("came to %s, want %s", page.URL, want)
				}
				s.over(s.p)
			},
			"oidcc-rp-initiated-logout-no-state": func(s *suite) {
				tokens, _ := s.flow(s.p, nil)
				if page := s.logout(url.Values{"id_token_hint": {tokens.ID}, "post_logout_redirect_uri": {s.out(s.p)}}); page.URL.String() != s.out(s.p) {
					s.Errorf("came to %s", page.URL)
				}
				s.over(s.p)
			},
			"oidcc-rp-initiated-logout-bad-post-logout-redirect-uri": func(s *suite) {
				tokens, _ := s.flow(s.p, nil)
				s.shown(s.logout(url.Values{"id_token_hint": {tokens.ID}, "post_logout_redirect_uri": {s.out(s.p) + "/other"}, "state": {"s"}}), "oauth-error")
			},
			"oidcc-rp-initiated-logout-query-added-to-post-logout-redirect-uri": func(s *suite) {
				tokens, _ := s.flow(s.p, nil)
				s.shown(s.logout(url.Values{"id_token_hint": {tokens.ID}, "post_logout_redirect_uri": {s.out(s.p) + "?foo=bar"}, "state": {"s"}}), "oauth-error")
			},
			"oidcc-rp-initiated-logout-modified-id-token-hint": func(s *suite) {
				tokens, _ := s.flow(s.p, nil)
				s.shown(s.logout(url.Values{"id_token_hint": {sign(`{"alg":"none"}`, tokens.ID)}, "post_logout_redirect_uri": {s.out(s.p)}, "state": {"s"}}), "oauth-error")
			},
			"oidcc-rp-initiated-logout-bad-id-token-hint": func(s *suite) {
				tokens, _ := s.flow(s.p, nil)
				s.shown(s.logout(url.Values{"id_token_hint": {sign(`{"alg":"HS256"}`, tokens.ID) + "c2lnbmF0dXJl"}, "post_logout_redirect_uri": {s.out(s.p)}, "state": {"s"}}), "oauth-error")
			},
			"oidcc-rp-initiated-logout-no-id-token-hint": func(s *suite) {
				s.flow(s.p, nil)
				s.shown(s.logout(url.Values{"post_logout_redirect_uri": {s.out(s.p)}, "state": {"s"}}), "oauth-error", "logout-confirm")
			},
			"oidcc-rp-initiated-logout-no-params": func(s *suite) {
				s.flow(s.p, nil)
				page := s.logout(nil)
				s.shown(page, "logged-out", "logout-confirm")
				if page.Has("logout-confirm") {
					s.shown(page.Press("logout-confirm"), "logged-out")
				}
				s.over(s.p)
			},
			"oidcc-rp-initiated-logout-only-state": func(s *suite) {
				s.flow(s.p, nil)
				page := s.logout(url.Values{"state": {"s"}})
				s.shown(page, "logged-out", "logout-confirm")
				if page.Has("logout-confirm") {
					s.shown(page.Press("logout-confirm"), "logged-out")
				}
				s.over(s.p)
			},
			"oidcc-rp-initiated-logout-no-post-logout-redirect-uri": func(s *suite) {
				tokens, _ := s.flow(s.p, nil)
				s.shown(s.logout(url.Values{"id_token_hint": {tokens.ID}, "state": {"s"}}), "logged-out")
				s.over(s.p)
			},
		})
	})
}

// notices takes back-channel logout calls.
type notices struct {
	mu    sync.Mutex
	calls []url.Values
}

func (n *notices) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/logout/backchannel" {
		_, _ = io.WriteString(rw, "<h1 id=other>The other service</h1>")
		return
	}
	body, _ := io.ReadAll(r.Body)
	form, _ := url.ParseQuery(string(body))
	if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" || r.TLS == nil {
		form.Set("wrong", r.Method+" "+r.Header.Get("Content-Type"))
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.calls = append(n.calls, form)
}

func (n *notices) all() []url.Values {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.calls)
}

// TestConformanceBackChannelLogout is
// oidcc-backchannel-rp-initiated-logout-certification-test-plan.
func TestConformanceBackChannelLogout(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		s := newSuite(t, w)
		n := &notices{}
		w.Handle("other", n)
		runModules(t, s, map[string]func(s *suite){
			"oidcc-backchannel-rp-initiated-logout-discovery-endpoint-verification": func(s *suite) {
				if s.conf["backchannel_logout_supported"] != true || s.conf["backchannel_logout_session_supported"] != true {
					s.Errorf("%v", s.conf)
				}
			},
			"oidcc-backchannel-rp-initiated-logout": func(s *suite) {
				tokens, id := s.flow(s.p, nil)
				page := s.logout(url.Values{"id_token_hint": {tokens.ID}, "post_logout_redirect_uri": {s.out(s.p)}, "state": {"s"}})
				if page.URL.String() != s.out(s.p)+"?state=s" {
					s.Errorf("came to %s", page)
				}
				eventually(s.T, "the client is told", func() bool { return len(n.all()) > 0 })
				call := n.all()[0]
				if len(call) != 1 || len(call["logout_token"]) != 1 {
					s.Fatalf("%v", call)
				}
				s.logoutToken(call.Get("logout_token"), id)
				s.over(s.p)
			},
		})
	})
}

// logoutToken checks a logout token (OpenID Connect Back-Channel Logout 1.0 §2.4).
func (s *suite) logoutToken(token string, id map[string]any) {
	s.Helper()
	ctx := oidc.ClientContext(s.Context(), s.p.http)
	verified, err := oidc.NewVerifier(s.w.Issuer(), oidc.NewRemoteKeySet(ctx, s.conf["jwks_uri"].(string)),
		&oidc.Config{ClientID: s.p.ID, Now: s.w.Clock.Now, SupportedSigningAlgs: []string{"RS256"}}).Verify(ctx, token)
	if err != nil {
		s.Fatal(err)
	}
	var claims map[string]any
	if err := verified.Claims(&claims); err != nil {
		s.Fatal(err)
	}
	if claims["sub"] != id["sub"] || claims["sid"] != id["sid"] || id["sid"] == nil || claims["jti"] == "" || claims["iat"] == nil || claims["nonce"] != nil {
		s.Errorf("logout token %v for %v", claims, id)
	}
	events, _ := json.Marshal(claims["events"])
	if string(events) != `{"http://schemas.openid.net/event/backchannel-logout":{}}` {
		s.Errorf("events %s", events)
	}
	var header struct{ Typ string }
	raw, _ := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[0])
	if err := json.Unmarshal(raw, &header); err != nil || header.Typ != "logout+jwt" {
		s.Errorf("typ %q %v", header.Typ, err)
	}
}

// TestConformanceFrontChannelLogout is
// oidcc-frontchannel-rp-initiated-logout-certification-test-plan.
func TestConformanceFrontChannelLogout(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		runModules(t, newSuite(t, w), map[string]func(s *suite){
			"oidcc-frontchannel-rp-initiated-logout-discovery-endpoint-verification": func(s *suite) {
				if s.conf["frontchannel_logout_supported"] != true || s.conf["frontchannel_logout_session_supported"] != true {
					s.Errorf("%v", s.conf)
				}
			},
			"oidcc-frontchannel-rp-initiated-logout": func(s *suite) {
				frame := w.Origin("other") + "/logout/front"
				p := w.Party("framed", func(c *openid.Client) { c.Algorithm, c.RequirePKCE, c.FrontChannelURI = "RS256", false, frame })
				tokens, id := s.flow(p, nil)
				page := s.logout(url.Values{"id_token_hint": {tokens.ID}, "post_logout_redirect_uri": {s.out(p)}, "state": {"s"}})
				node := page.find(func(n *html.Node) bool { return n.Data == "iframe" })
				if node == nil {
					s.Fatalf("no frame on %s:\n%s", page, page.Body)
				}
				src := must(url.Parse(attr(node, "src")))(s.T)
				if got := src.Query(); !strings.HasPrefix(src.String(), frame+"?") || len(got) != 2 || got.Get("iss") != w.Issuer() || got.Get("sid") != id["sid"] {
					s.Errorf("the frame is %s", src)
				}
				if policy := page.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "frame-src "+w.Origin("other")) {
					s.Errorf("the policy lets no frame in: %s", policy)
				}
				next := s.out(p) + "?state=s"
				if refresh := page.find(func(n *html.Node) bool {
					return n.Data == "meta" && strings.EqualFold(attr(n, "http-equiv"), "refresh")
				}); refresh == nil || !strings.HasSuffix(attr(refresh, "content"), next) {
					s.Errorf("the page does not go on to %s:\n%s", next, page.Body)
				}
				s.over(p)
			},
		})
	})
}
