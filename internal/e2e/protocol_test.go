package e2e

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/openid"
)

// raw sends one request to the provider as it is, and follows nothing.
func raw(t *testing.T, w *World, method, address, body string, header ...string) (*http.Response, string) {
	t.Helper()
	r := must(http.NewRequest(method, address, strings.NewReader(body)))(t)
	if body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
		r.Header.Set(header[i], header[i+1])
	}
	transport := w.transport(nil)
	defer transport.CloseIdleConnections()
	answer := must(transport.RoundTrip(r))(t)
	defer answer.Body.Close() //nolint:errcheck // it was read to the end
	return answer, string(must(io.ReadAll(answer.Body))(t))
}

// The token endpoint takes POST alone, never caches, says how to authenticate, knows
// its grants and no other (zitadel-oidc.md 1.3, 3, 6.4), and its errors keep to the
// grammar of RFC 6749 §5.2.
func TestTokenEndpoint(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		otto, v, p := w.Settled("otto.ohjelma", "tietoapu", identity.MethodApp), w.Visitor(), w.Party("other")
		q := w.Party("other2")
		post := w.Party("other3", func(c *openid.Client) { c.AuthMethod = openid.AuthPost })
		otto.SignIn(v.Open(p.URL(nil)))
		basic := "Basic " + base64.StdEncoding.EncodeToString([]byte(p.ID+":"+p.Secret))
		tokens := p.MustRedeem(p.Code(v.Open(p.URL(url.Values{"scope": {"openid offline_access"}}))))
		fresh := func() string { return p.Code(v.Open(p.URL(nil))) }
		for name, c := range map[string]struct {
			method, query, body, authorization string
			status                             int
			code                               string
		}{
			"GET":                       {"GET", "?grant_type=authorization_code&code=" + fresh(), "", basic, 405, ""},
			"no grant type":             {"POST", "", "x=y", basic, 400, "invalid_request"},
			"an unknown grant":          {"POST", "", "grant_type=password&username=a&password=b", basic, 400, "unsupported_grant_type"},
			"jwt-bearer":                {"POST", "", "grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer&assertion=a.b.c&scope=openid", basic, 400, "unsupported_grant_type"},
			"client credentials":        {"POST", "", "grant_type=client_credentials", basic, 400, "unsupported_grant_type|unauthorized_client"},
			"token exchange":            {"POST", "", "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&subject_token=" + tokens.Access, basic, 400, "unauthorized_client"},
			"nobody":                    {"POST", "", "grant_type=authorization_code&code=" + fresh(), "", 401, "invalid_client"}, // "no client authentication included" (RFC 6749 §5.2)
			"an unknown client":         {"POST", "", "grant_type=authorization_code&code=x", "Basic " + base64.StdEncoding.EncodeToString([]byte("who:secret")), 401, "invalid_client"},
			"a wrong secret":            {"POST", "", "grant_type=authorization_code&code=x", "Basic " + base64.StdEncoding.EncodeToString([]byte(p.ID+":"+q.Secret)), 401, "invalid_client"},
			"the secret in the form":    {"POST", "", url.Values{"grant_type": {"authorization_code"}, "code": {"x"}, "client_id": {p.ID}, "client_secret": {p.Secret}}.Encode(), "", 401, "invalid_client"},
			"the secret in the header":  {"POST", "", "grant_type=authorization_code&code=x", "Basic " + base64.StdEncoding.EncodeToString([]byte(post.ID+":"+post.Secret)), 401, "invalid_client"},
			"the secret in the address": {"POST", "?client_id=" + post.ID + "&client_secret=" + post.Secret, "grant_type=authorization_code&code=x", "", 400, "invalid_request"},
			"another's refresh token":   {"POST", "", "grant_type=refresh_token&refresh_token=" + tokens.Refresh, "Basic " + base64.StdEncoding.EncodeToString([]byte(q.ID+":"+q.Secret)), 400, "invalid_grant"},
			"the code twice":            {"POST", "", "grant_type=authorization_code&code=a&code=b", basic, 400, "invalid_request"},
			"quotes":                    {"POST", "", url.Values{"grant_type": {"x\"\\\n<é>"}}.Encode(), basic, 400, ""},
		} {
			header := []string{}
			if c.authorization != "" {
				header = append(header, "Authorization", c.authorization)
			}
			answer, body := raw(t, w, c.method, w.Issuer()+"/token"+c.query, c.body, header...)
			var e Tokens
			_ = json.Unmarshal([]byte(body), &e)
			if answer.StatusCode != c.status || c.code != "" && !slices.Contains(strings.Split(c.code, "|"), e.Error) || e.Access != "" {
				t.Errorf("%s: %d %s", name, answer.StatusCode, body)
			}
			if !strings.Contains(answer.Header.Get("Cache-Control"), "no-store") {
				t.Errorf("%s may be cached: %q", name, answer.Header.Get("Cache-Control"))
			}
			if c.status == 401 && !strings.HasPrefix(answer.Header.Get("WWW-Authenticate"), "Basic") {
				t.Errorf("%s: WWW-Authenticate %q", name, answer.Header.Get("WWW-Authenticate"))
			}
			if !grammar.MatchString(e.Why) || !grammar.MatchString(e.Error) {
				t.Errorf("%s: error_description %q", name, e.Why)
			}
			if answer.Header.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%s: scripts of other sites may send cookies", name)
			}
		}
		// None of it cost the rightful client its refresh token (a foreign client's try is no reuse).
		if got := must(p.Renew(tokens.Refresh))(t); got.Status != http.StatusOK {
			t.Errorf("after all that: %+v", got)
		}
	})
}

var grammar = regexp.MustCompile(`^[\x20-\x21\x23-\x5B\x5D-\x7E]*$`)

// Userinfo takes bearer tokens that are ours, whole and alive; everything else is 401
// with WWW-Authenticate, never a server's error (zitadel-oidc.md 3, 6.1).
func TestUserinfoRefusesWhatIsNoToken(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		otto, v, p := w.Settled("otto.ohjelma", "tietoapu", identity.MethodApp), w.Visitor(), w.Party("other")
		otto.SignIn(v.Open(p.URL(nil)))
		tokens := p.MustRedeem(p.Code(v.Open(p.URL(url.Values{"scope": {"openid offline_access"}}))))
		bad := []string{"", "x", tokens.Access[:len(tokens.Access)-1], tokens.Access + "A", strings.ToUpper(tokens.Access) + "x", tokens.Refresh, tokens.ID, "\u00e9", strings.Repeat("A", 8000)}
		for range 50 {
			garbage := make([]byte, 48)
			_, _ = rand.Read(garbage)
			bad = append(bad, base64.RawURLEncoding.EncodeToString(garbage))
		}
		for _, token := range bad {
			answer, body := raw(t, w, http.MethodGet, w.Issuer()+"/userinfo", "", "Authorization", "Bearer "+token)
			if answer.StatusCode != http.StatusUnauthorized && answer.StatusCode != http.StatusBadRequest || !strings.HasPrefix(answer.Header.Get("WWW-Authenticate"), "Bearer") {
				t.Errorf("%.20q: %d %q %s", token, answer.StatusCode, answer.Header.Get("WWW-Authenticate"), body)
			}
		}
		for name, header := range map[string][]string{"another scheme": {"Authorization", "DPoP " + tokens.Access}, "the session's cookie": {"Cookie", "__Host-sid=" + v.Cookie(w.Issuer(), "sid")}} {
			if answer, _ := raw(t, w, http.MethodGet, w.Issuer()+"/userinfo", "", header...); answer.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s: %d", name, answer.StatusCode)
			}
		}
		if answer, _ := raw(t, w, http.MethodGet, w.Issuer()+"/userinfo?access_token="+tokens.Access, ""); answer.StatusCode == http.StatusOK {
			t.Error("a token in the address is taken (RFC 9700 §4.3.2)")
		}
		if !p.alive(tokens.Access) {
			t.Error("the right token is dead")
		}
	})
}

// What the provider does not serve it refuses where the client can hear of it, in the
// response mode that was asked for, always with state and iss (zitadel-oidc.md 3;
// conformance.md 3).
func TestAuthorizeRefusals(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		otto, v, p := w.Settled("otto.ohjelma", "tietoapu", identity.MethodApp), w.Visitor(), w.Party("other")
		otto.SignIn(v.Open(p.URL(nil)))
		for name, c := range map[string]struct {
			extra url.Values
			code  string
		}{
			"request_uri":            {url.Values{"request_uri": {"https://evil.example/request"}}, "request_uri_not_supported"},
			"request":                {url.Values{"request": {"a.b.c"}}, "request_not_supported"},
			"token":                  {url.Values{"response_type": {"token"}}, "unsupported_response_type"},
			"hybrid":                 {url.Values{"response_type": {"code id_token"}}, "unsupported_response_type"},
			"no response type":       {url.Values{"response_type": nil}, "invalid_request|unsupported_response_type"},
			"prompt none and login":  {url.Values{"prompt": {"none login"}}, "invalid_request"},
			"an unknown prompt":      {url.Values{"prompt": {"dance"}}, "invalid_request"},
			"a negative max_age":     {url.Values{"max_age": {"-1"}}, "invalid_request"},
			"max_age in words":       {url.Values{"max_age": {"soon"}}, "invalid_request"},
			"without openid":         {url.Values{"scope": {"profile"}}, "invalid_scope|invalid_request"},
			"two scopes":             {url.Values{"scope": {"openid", "profile"}}, "invalid_request"},
			"a hint that is no hint": {url.Values{"id_token_hint": {"a.b.c"}}, "invalid_request|login_required"},
			"a mode that is none":    {url.Values{"response_mode": {"pigeon"}}, "invalid_request|unsupported_response_mode"},
		} {
			answer := p.Answer(v.Open(p.URL(c.extra)))
			if !slices.Contains(strings.Split(c.code, "|"), answer.Get("error")) || answer.Has("code") || answer.Get("state") != "state-other" || answer.Get("iss") != w.Issuer() || !grammar.MatchString(answer.Get("error_description")) {
				t.Errorf("%s: %v", name, answer)
			}
		}
		// form_post carries errors, too.
		page := v.Open(p.URL(url.Values{"response_mode": {"form_post"}, "prompt": {"dance"}}))
		form := page.find(func(n *html.Node) bool { return n.Data == "form" })
		if form == nil || attr(form, "action") != p.Redirect || controls(form).Get("error") != "invalid_request" || controls(form).Get("state") != "state-other" || controls(form).Get("iss") != w.Issuer() {
			t.Errorf("an error by form_post: %s", page.Body)
		}
		// Before client and address are proved nothing is sent anywhere.
		for _, bad := range []url.Values{{"client_id": {"nobody"}}, {"client_id": nil}, {"redirect_uri": nil}} {
			if page := v.Open(p.URL(bad)); !page.Has("oauth-error") || page.Status != http.StatusBadRequest {
				t.Errorf("%v: %s", bad, page)
			}
		}
		long := strings.Repeat("s", 1000)
		if answer := p.Answer(v.Open(p.URL(url.Values{"state": {long}, "nonce": {long[:384]}, "unknown": {"x"}, "display": {"popup"}, "claims_locales": {"se"}, "ui_locales": {"xx fi"}}))); !answer.Has("code") || answer.Get("state") != long {
			t.Errorf("long state and unknown parameters: %v", answer)
		}
	})
}

// The issuer is what the settings say, whatever a request claims to have come to
// (zitadel-oidc.md 6.10).
func TestHostHeaderChangesNothing(t *testing.T) {
	w := NewWorld(t, Options{Pair: SQLiteMemory})
	for _, header := range [][]string{{"X-Forwarded-Host", "evil.example"}, {"Forwarded", "host=evil.example;proto=http"}, {"X-Forwarded-Proto", "http"}} {
		_, body := raw(t, w, http.MethodGet, w.Issuer()+"/.well-known/openid-configuration", "", header...)
		var metadata map[string]any
		if err := json.Unmarshal([]byte(body), &metadata); err != nil {
			t.Fatal(err)
		}
		if metadata["issuer"] != w.Issuer() || strings.Contains(body, "evil.example") || strings.Contains(body, `"http:`) {
			t.Errorf("%v: %s", header, body)
		}
		if !slices.Contains(strs(metadata["id_token_signing_alg_values_supported"]), "RS256") || slices.Contains(strs(metadata["code_challenge_methods_supported"]), "plain") {
			t.Errorf("metadata: %s", body)
		}
	}
}
