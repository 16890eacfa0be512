package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/portti-id/portti/internal/dpop/dpoptest"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/server"
)

// echo is what the failures send; no answer may hold any of it.
const echo = "zq7canary"

// failure is a request that an endpoint refuses, and how.
type failure struct {
	method string // "": POST
	query  string
	body   string
	header []string // by name and value in turn
	status int
	code   string // of RFC 6749 and its kin; "" where there is no body
}

// TestEveryErrorOfEveryEndpoint: the right status and code, an ASCII description by
// the grammar of RFC 6749 §5.2, Cache-Control: no-store, WWW-Authenticate with 401 and
// only there or with a token's error, JSON, and nothing of what was sent.
func TestEveryErrorOfEveryEndpoint(t *testing.T) {
	open := func(c *server.Config) { c.SelfRegistration = openid.SelfRegistrationByToken }
	EachWith(t, Options{Configure: open}, func(t *testing.T, w *World) {
		p, public, q := w.Party("other"), w.device("screen"), w.Party("other2")
		machine := w.machine("robot", func(*openid.Client) {})
		own := must(machine.Token(url.Values{"grant_type": {"client_credentials"}}))(t)
		otto, v := w.Settled("otto.ohjelma", "tietoapu", identity.MethodApp), w.Visitor()
		foreign := q.MustRedeem(q.Code(otto.SignIn(v.Open(q.URL(url.Values{"scope": {"openid offline_access"}})))))
		all := w.failures(t, p, public, own.Access, foreign)
		covered := map[string]bool{}
		for _, path := range slices.Sorted(maps.Keys(all)) {
			covered[path] = true
			for name, f := range all[path] {
				t.Run(path+"/"+name, func(t *testing.T) { w.fails(t, path, f) })
			}
		}
		// Whatever the metadata names stands in the table, or among the pages.
		covered[openid.AuthorizePath], covered[openid.EndSessionPath] = true, true
		_, body := raw(t, w, http.MethodGet, w.Issuer()+openid.ConfigPath, "")
		var conf map[string]any
		if err := json.Unmarshal([]byte(body), &conf); err != nil {
			t.Fatal(err)
		}
		for name, value := range conf {
			if address, ok := value.(string); ok && (strings.HasSuffix(name, "_endpoint") || name == "jwks_uri") && !covered[strings.TrimPrefix(address, w.Issuer())] {
				t.Errorf("no failures of %s: %s", name, address)
			}
		}
		// None of it cost anybody anything.
		if got := must(q.Renew(foreign.Refresh))(t); got.Status != http.StatusOK {
			t.Errorf("after all that: %+v", got)
		}
	})
}

func withBasic(id, secret string) []string {
	return []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret)))}
}

// failures are by path, and by name.
func (w *World) failures(t *testing.T, p, public *Party, own string, foreign Tokens) map[string]map[string]failure {
	right := withBasic(p.ID, p.Secret)
	key := dpoptest.New(t)
	bearer := func(token string) []string { return []string{"Authorization", "Bearer " + token} }
	// What every endpoint does that clients call with a form. body is one that is
	// right but for the failure.
	called := func(path, body string, more map[string]failure) map[string]failure {
		body += "&x=" + echo
		all := map[string]failure{
			"PUT":                        {method: "PUT", body: body, header: right, status: 405, code: "invalid_request"},
			"DELETE":                     {method: "DELETE", header: right, status: 405, code: "invalid_request"},
			"nobody":                     {body: body, status: 401, code: "invalid_client"},
			"an unknown client":          {body: body + "&client_id=" + echo, status: 401, code: "invalid_client"},
			"an unknown client's":        {body: body, header: withBasic(echo, echo), status: 401, code: "invalid_client"},
			"the house":                  {body: body + "&client_id=portti", status: 401, code: "invalid_client"},
			"a wrong secret":             {body: body, header: withBasic(p.ID, echo), status: 401, code: "invalid_client"},
			"no secret":                  {body: body, header: withBasic(p.ID, ""), status: 401, code: "invalid_client"},
			"no proof":                   {body: body + "&client_id=" + p.ID, status: 401, code: "invalid_client"},
			"the secret in the form":     {body: body + "&client_id=" + p.ID + "&client_secret=" + p.Secret, status: 401, code: "invalid_client"},
			"an assertion":               {body: body + "&client_id=" + p.ID + "&client_assertion=" + echo + "&client_assertion_type=x", status: 401, code: "invalid_client"},
			"another scheme":             {body: body, header: bearer(echo), status: 401, code: "invalid_client"},
			"no Basic":                   {body: body, header: []string{"Authorization", "Basic " + echo}, status: 401, code: "invalid_client"},
			"two secrets":                {body: body + "&client_secret=" + echo, header: right, status: 400, code: "invalid_request"},
			"a secret and an assertion":  {body: body + "&client_assertion=" + echo, header: right, status: 400, code: "invalid_request"},
			"two names":                  {body: body + "&client_id=" + echo, header: right, status: 400, code: "invalid_request"},
			"a parameter twice":          {body: body + "&x=2", header: right, status: 400, code: "invalid_request"},
			"a parameter in the address": {query: "?x=" + echo, body: body, header: right, status: 400, code: "invalid_request"},
			"control characters":         {body: body + "&y=%00" + echo, header: right, status: 400, code: "invalid_request"},
			"not UTF-8":                  {body: body + "&y=%ff" + echo, header: right, status: 400, code: "invalid_request"},
			"no form":                    {body: body + "&y=%zz" + echo, header: right, status: 400, code: "invalid_request"},
		}
		for name, f := range more {
			all[name] = f
		}
		return all
	}
	form := func(values ...string) string {
		f := url.Values{}
		for i := 0; i+1 < len(values); i += 2 {
			f.Set(values[i], values[i+1])
		}
		return f.Encode()
	}
	long := strings.Repeat(echo, 10<<10)
	tokenLike := strings.Repeat("A", 43)
	published := map[string]failure{
		"POST":   {body: "x=" + echo, status: 405, code: "invalid_request"},
		"PUT":    {method: "PUT", body: "x=" + echo, status: 405, code: "invalid_request"},
		"DELETE": {method: "DELETE", status: 405, code: "invalid_request"},
	}
	asks := func(pairs ...string) string { return p.requestForm(pairs...).Encode() }
	about := map[string]failure{
		"GET":          {method: "GET", header: right, status: 405, code: "invalid_request"},
		"no token":     {body: "x=" + echo, header: right, status: 400, code: "invalid_request"},
		"too long":     {body: "token=" + long, header: right, status: 400, code: "invalid_request"},
		"JSON instead": {body: `{"token":"` + echo + `"}`, header: append(slices.Clone(right), "Content-Type", "application/json"), status: 400, code: "invalid_request"},
	}
	with := func(base map[string]failure, more map[string]failure) map[string]failure {
		all := map[string]failure{}
		for _, m := range []map[string]failure{base, more} {
			for name, f := range m {
				all[name] = f
			}
		}
		return all
	}
	return map[string]map[string]failure{
		openid.TokenPath: called(openid.TokenPath, form("grant_type", "authorization_code", "code", echo, "redirect_uri", p.Redirect), map[string]failure{
			"GET":                 {method: "GET", query: "?code=" + echo, header: right, status: 405, code: "invalid_request"},
			"too long":            {body: "grant_type=authorization_code&code=" + long, header: right, status: 400, code: "invalid_request"},
			"JSON instead":        {body: `{"grant_type":"` + echo + `"}`, header: append(slices.Clone(right), "Content-Type", "application/json"), status: 400, code: "invalid_request"},
			"no grant":            {body: "code=" + echo, header: right, status: 400, code: "invalid_request"},
			"an unknown grant":    {body: form("grant_type", echo+`"\`+"é"), header: right, status: 400, code: "unsupported_grant_type"},
			"a grant not its own": {body: form("grant_type", "client_credentials", "scope", echo), header: right, status: 400, code: "unauthorized_client"},
			"a wrong code":        {body: form("grant_type", "authorization_code", "code", echo, "redirect_uri", p.Redirect, "code_verifier", tokenLike), header: right, status: 400, code: "invalid_grant"},
			"no code":             {body: form("grant_type", "authorization_code", "redirect_uri", p.Redirect), header: right, status: 400, code: "invalid_request"},
			"a wrong refresh":     {body: form("grant_type", "refresh_token", "refresh_token", echo), header: right, status: 400, code: "invalid_grant"},
			"no refresh":          {body: form("grant_type", "refresh_token"), header: right, status: 400, code: "invalid_request"},
			"another's refresh":   {body: form("grant_type", "refresh_token", "refresh_token", foreign.Refresh), header: right, status: 400, code: "invalid_grant"},
			"no DPoP proof":       {body: form("grant_type", "authorization_code", "code", echo, "redirect_uri", p.Redirect), header: append(slices.Clone(right), "DPoP", echo), status: 400, code: "invalid_dpop_proof"},
			"a proof elsewhere":   {body: form("grant_type", "authorization_code", "code", echo, "redirect_uri", p.Redirect), header: append(slices.Clone(right), "DPoP", key.Proof("POST", w.Issuer()+"/par", "", "")), status: 400, code: "invalid_dpop_proof"},
			"a wrong device":      {body: form("grant_type", string(openid.GrantDevice), "device_code", echo, "client_id", public.ID), status: 400, code: "invalid_grant"},
			"no device":           {body: form("grant_type", string(openid.GrantDevice), "client_id", public.ID), status: 400, code: "invalid_request"},
		}),
		openid.PARPath: called(openid.PARPath, asks("state", echo), map[string]failure{
			"GET":                   {method: "GET", query: "?" + asks(), header: right, status: 405, code: "invalid_request"},
			"too long":              {body: asks("state", strings.Repeat(echo, 20<<10)), header: right, status: 413, code: "invalid_request"},
			"a request_uri inside":  {body: asks("request_uri", "https://"+echo+".example"), header: right, status: 400, code: "invalid_request"},
			"another redirect URI":  {body: asks("redirect_uri", "https://"+echo+".example"), header: right, status: 400, code: "invalid_request"},
			"no redirect URI":       {body: asks("redirect_uri", ""), header: right, status: 400, code: "invalid_request"},
			"no response type":      {body: asks("response_type", ""), header: right, status: 400, code: "invalid_request"},
			"another response type": {body: asks("response_type", echo), header: right, status: 400, code: "unsupported_response_type"},
			"another response mode": {body: asks("response_mode", echo), header: right, status: 400, code: "invalid_request"},
			"another prompt":        {body: asks("prompt", echo), header: right, status: 400, code: "invalid_request"},
			"no scope":              {body: asks("scope", echo), header: right, status: 400, code: "invalid_scope"},
			"no challenge":          {body: asks("code_challenge", "", "code_challenge_method", ""), header: right, status: 400, code: "invalid_request"},
			"a plain challenge":     {body: asks("code_challenge_method", "plain"), header: right, status: 400, code: "invalid_request"},
			"max_age":               {body: asks("max_age", echo), header: right, status: 400, code: "invalid_request"},
			"claims":                {body: asks("claims", echo), header: right, status: 400, code: "invalid_request"},
			"registration":          {body: asks("registration", echo), header: right, status: 400, code: "registration_not_supported"},
			"a request object":      {body: asks("request", echo), header: right, status: 400, code: "request_not_supported"},
			"a resource":            {body: asks("resource", "https://"+echo+".example"), header: right, status: 400, code: "invalid_target"},
			"a hint":                {body: asks("id_token_hint", echo), header: right, status: 400, code: "login_required"},
			"dpop_jkt":              {body: asks("dpop_jkt", echo), header: right, status: 400, code: "invalid_request"},
			"no DPoP proof":         {body: asks(), header: append(slices.Clone(right), "DPoP", echo), status: 400, code: "invalid_dpop_proof"},
		}),
		openid.IntrospectPath: called(openid.IntrospectPath, "token="+echo, with(about, map[string]failure{
			"a public client": {body: form("token", foreign.Access, "client_id", public.ID), status: 401, code: "invalid_client"},
		})),
		openid.RevokePath: called(openid.RevokePath, "token="+echo, with(about, map[string]failure{
			"another's token":         {body: form("token", foreign.Access), header: right, status: 400, code: "invalid_grant"},
			"another's refresh token": {body: form("token", foreign.Refresh), header: right, status: 400, code: "invalid_grant"},
		})),
		openid.DevicePath: called(openid.DevicePath, "scope=openid", map[string]failure{
			"GET":             {method: "GET", header: right, status: 405, code: "invalid_request"},
			"a grant not its": {body: "scope=" + echo, header: right, status: 400, code: "unauthorized_client"},
			"another scope":   {body: form("scope", echo, "client_id", public.ID), status: 400, code: "invalid_scope"},
			"a resource":      {body: form("resource", "https://"+echo+".example", "client_id", public.ID), status: 400, code: "invalid_target"},
			"too long":        {body: "scope=" + long, header: right, status: 400, code: "invalid_request"},
		}),
		openid.UserinfoPath: {
			"PUT":                {method: "PUT", header: bearer(foreign.Access), status: 405, code: "invalid_request"},
			"nobody":             {method: "GET", status: 401},
			"another scheme":     {method: "GET", header: right, status: 401},
			"in the address":     {method: "GET", query: "?access_token=" + foreign.Access, status: 401},
			"a wrong token":      {method: "GET", header: bearer(echo), status: 401, code: "invalid_token"},
			"a wrong one posted": {body: "access_token=" + echo, status: 401, code: "invalid_token"},
			"a refresh token":    {method: "GET", header: bearer(foreign.Refresh), status: 401, code: "invalid_token"},
			"an ID token":        {method: "GET", header: bearer(foreign.ID), status: 401, code: "invalid_token"},
			"twice":              {body: "access_token=" + foreign.Access, header: bearer(foreign.Access), status: 400, code: "invalid_request"},
			"posted twice":       {body: "access_token=" + echo + "&access_token=" + echo, status: 400, code: "invalid_request"},
			"no form":            {body: "access_token=%zz" + echo, status: 400, code: "invalid_request"},
			"unbound as DPoP":    {method: "GET", header: []string{"Authorization", "DPoP " + foreign.Access}, status: 401, code: "invalid_token"},
			"a client's own":     {method: "GET", header: bearer(own), status: 403, code: "insufficient_scope"},
		},
		openid.RegisterPath: {
			"GET":           {method: "GET", status: 405, code: "invalid_request"},
			"PUT":           {method: "PUT", body: "{}", status: 405, code: "invalid_request"},
			"nobody":        {body: "{}", header: []string{"Content-Type", "application/json"}, status: 401},
			"a wrong token": {body: "{}", header: append(bearer(tokenLike), "Content-Type", "application/json"), status: 401, code: "invalid_token"},
			"no token":      {body: "{}", header: append(bearer(echo), "Content-Type", "application/json"), status: 401, code: "invalid_token"},
			"Basic":         {body: "{}", header: append(slices.Clone(right), "Content-Type", "application/json"), status: 401, code: "invalid_token"},
		},
		openid.RegisterPath + "/other": {
			"POST":           {body: "{}", header: bearer(tokenLike), status: 405, code: "invalid_request"},
			"nobody":         {method: "GET", status: 401},
			"a wrong token":  {method: "GET", header: bearer(tokenLike), status: 401, code: "invalid_token"},
			"a wrong PUT":    {method: "PUT", body: "{}", header: bearer(tokenLike), status: 401, code: "invalid_token"},
			"a wrong DELETE": {method: "DELETE", header: bearer(tokenLike), status: 401, code: "invalid_token"},
		},
		openid.JWKSPath:   published,
		openid.ConfigPath: published,
		openid.ServerPath: published,
	}
}

// requestForm is a good authorization request for a form; pairs replace, "" takes out.
func (p *Party) requestForm(pairs ...string) url.Values {
	extra := url.Values{"client_id": nil}
	for i := 0; i+1 < len(pairs); i += 2 {
		if extra[pairs[i]] = nil; pairs[i+1] != "" {
			extra.Set(pairs[i], pairs[i+1])
		}
	}
	u, _ := url.Parse(p.URL(extra))
	return u.Query()
}

// fails sends a failure and looks at the answer.
func (w *World) fails(t *testing.T, path string, f failure) {
	method := f.method
	if method == "" {
		method = http.MethodPost
	}
	answer, body := raw(t, w, method, w.Issuer()+path+f.query, f.body, f.header...)
	h := answer.Header
	if answer.StatusCode != f.status {
		t.Errorf("%s %s, want %d", answer.Status, body, f.status)
	}
	if !strings.Contains(h.Get("Cache-Control"), "no-store") {
		t.Errorf("Cache-Control %q", h.Get("Cache-Control"))
	}
	if f.code != "" {
		var got map[string]any
		if err := json.Unmarshal([]byte(body), &got); err != nil || h.Get("Content-Type") != "application/json" {
			t.Fatalf("no JSON but %s: %s", h.Get("Content-Type"), body)
		}
		why, _ := got["error_description"].(string)
		if got["error"] != f.code || why == "" || !grammar.MatchString(why) || len(got) != 2 {
			t.Errorf("%s, want %s", body, f.code)
		}
	} else if body != "" {
		t.Errorf("who brought nothing is told %s", body)
	}
	challenge := h.Values("WWW-Authenticate")
	switch bearer := path == openid.UserinfoPath || strings.HasPrefix(path, openid.RegisterPath); {
	case f.status == 401 && bearer:
		if len(challenge) == 0 || !strings.HasPrefix(challenge[0], "Bearer ") && !strings.HasPrefix(challenge[0], "DPoP ") {
			t.Errorf("WWW-Authenticate %q (RFC 6750 §3)", challenge)
		}
		if repeats := strings.Contains(strings.Join(challenge, ", "), fmt.Sprintf("error=%q", f.code)); repeats != (f.code != "") {
			t.Errorf("WWW-Authenticate %q beside %q (RFC 6750 §3.1)", challenge, f.code)
		}
	case f.status == 401:
		if len(challenge) != 1 || !strings.HasPrefix(challenge[0], "Basic ") {
			t.Errorf("WWW-Authenticate %q (RFC 6749 §5.2)", challenge)
		}
	case f.status == 405:
		if allow := h.Get("Allow"); allow == "" || strings.Contains(allow, method) {
			t.Errorf("%s is refused with Allow %q (RFC 9110 §15.5.6)", method, allow)
		}
	case len(challenge) > 0 && path != openid.UserinfoPath:
		t.Errorf("WWW-Authenticate %q beside %d", challenge, f.status)
	}
	if said := body + fmt.Sprint(h); strings.Contains(said, echo) || strings.Contains(strings.ToLower(said), "panic") {
		t.Errorf("what was sent comes back: %s %v", body, h)
	}
	for _, name := range []string{"Set-Cookie", "Access-Control-Allow-Credentials", "Location"} {
		if h.Get(name) != "" {
			t.Errorf("%s: %s", name, h.Get(name))
		}
	}
}

// The pages refuse with a page, until the client is proved, and then at the client.
func TestEveryErrorOfThePages(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		p := w.Party("other")
		with := func(pairs ...string) string {
			return openid.AuthorizePath + "?" + merged(url.Values{"client_id": {p.ID}}, p.requestForm(pairs...)).Encode()
		}
		for name, c := range map[string]struct {
			method, address, body string
			status                int
		}{
			"PUT":                      {"PUT", with(), "", 405},
			"DELETE":                   {"DELETE", with(), "", 405},
			"no client":                {"GET", openid.AuthorizePath + "?state=" + echo, "", 400},
			"an unknown client":        {"GET", openid.AuthorizePath + "?client_id=" + echo, "", 400},
			"two clients":              {"GET", with() + "&client_id=" + echo, "", 400},
			"another redirect URI":     {"GET", with("redirect_uri", "https://"+echo+".example/"), "", 400},
			"a redirect URI that runs": {"GET", with("redirect_uri", "javascript:"+echo), "", 400},
			"no redirect URI":          {"GET", with("redirect_uri", ""), "", 400},
			"two redirect URIs":        {"GET", with() + "&redirect_uri=https://" + echo + ".example", "", 400},
			"no query":                 {"GET", openid.AuthorizePath + "?%zz" + echo, "", 400},
			"a long query":             {"GET", with("state", strings.Repeat(echo, 2<<10)), "", 414},
			"no form":                  {"POST", openid.AuthorizePath, "%zz" + echo, 400},
			"an unknown request_uri":   {"GET", openid.AuthorizePath + "?client_id=" + p.ID + "&request_uri=urn:ietf:params:oauth:request_uri:" + echo, "", 400},
			"a hint that is none":      {"GET", openid.EndSessionPath + "?id_token_hint=" + echo, "", 400},
			"an address without hint":  {"GET", openid.EndSessionPath + "?post_logout_redirect_uri=https://" + echo + ".example", "", 400},
			"an address not its own":   {"GET", openid.EndSessionPath + "?client_id=" + p.ID + "&post_logout_redirect_uri=https://" + echo + ".example", "", 400},
		} {
			answer, body := raw(t, w, c.method, w.Issuer()+c.address, c.body, "Accept", "text/html")
			h := answer.Header
			if answer.StatusCode != c.status || !strings.HasPrefix(h.Get("Content-Type"), "text/html") || !strings.Contains(body, `id="oauth-error"`) {
				t.Errorf("%s: %s %s %d bytes", name, answer.Status, h.Get("Content-Type"), len(body))
			}
			if !strings.Contains(h.Get("Cache-Control"), "no-store") || h.Get("Content-Security-Policy") == "" || h.Get("Location") != "" {
				t.Errorf("%s: %v", name, h)
			}
			// The links to other languages lead to the same address; what is said holds none of it.
			page := &Page{doc: must(html.Parse(strings.NewReader(body)))(t)}
			if said := page.Text("oauth-error") + fmt.Sprint(h); strings.Contains(said, echo) {
				t.Errorf("%s: what was sent comes back: %s", name, said)
			}
		}
		for name, c := range map[string]struct{ address, code string }{
			"no response type":      {with("response_type", ""), "invalid_request"},
			"another response type": {with("response_type", echo), "unsupported_response_type"},
			"another response mode": {with("response_mode", echo), "invalid_request"},
			"no scope":              {with("scope", echo), "invalid_scope"},
			"a scope that is none":  {with("scope", "openid \""+echo), "invalid_scope"},
			"another prompt":        {with("prompt", echo), "invalid_request"},
			"none and login":        {with("prompt", "none login"), "invalid_request"},
			"nobody signed in":      {with("prompt", "none"), "login_required"},
			"no challenge":          {with("code_challenge", "", "code_challenge_method", ""), "invalid_request"},
			"a plain challenge":     {with("code_challenge_method", "plain"), "invalid_request"},
			"max_age":               {with("max_age", echo), "invalid_request"},
			"claims":                {with("claims", "{"+echo), "invalid_request"},
			"registration":          {with("registration", echo), "registration_not_supported"},
			"a request object":      {with("request", echo), "request_not_supported"},
			"a request_uri":         {with("request_uri", "https://"+echo+".example"), "request_uri_not_supported"},
			"a resource":            {with("resource", "https://"+echo+".example"), "invalid_target"},
			"a hint":                {with("id_token_hint", echo), "login_required"},
			"dpop_jkt":              {with("dpop_jkt", echo), "invalid_request"},
			"a nonce twice":         {with() + "&nonce=" + echo, "invalid_request"},
			"control characters":    {with("nonce", echo+"\x00"), "invalid_request"},
		} {
			answer, body := raw(t, w, http.MethodGet, w.Issuer()+c.address, "", "Accept", "text/html")
			to := must(url.Parse(answer.Header.Get("Location")))(t)
			got := to.Query()
			if answer.StatusCode != http.StatusSeeOther || !strings.HasPrefix(to.String(), p.Redirect+"?") || got.Get("error") != c.code || got.Get("state") != "state-"+p.ID || got.Get("iss") != w.Issuer() {
				t.Errorf("%s: %s %s %.200s", name, answer.Status, to, body)
			}
			if why := got.Get("error_description"); why == "" || !grammar.MatchString(why) || strings.Contains(to.String(), echo) {
				t.Errorf("%s: %s", name, to)
			}
			if answer.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: Cache-Control %q", name, answer.Header.Get("Cache-Control"))
			}
		}
	})
}
