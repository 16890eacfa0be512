package openid_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/dpop/dpoptest"
	"github.com/portti-id/portti/internal/ephemeral"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/session"
)

// push sends a pushed request as a client with client_secret_basic, or without a
// header when client is "".
func (k *kit) push(client string, form url.Values) reply {
	k.t.Helper()
	req, err := http.NewRequest(http.MethodPost, k.url+openid.PARPath, strings.NewReader(form.Encode()))
	if err != nil {
		k.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if client != "" {
		req.SetBasicAuth(client, k.secrets[client])
	}
	return k.do(req)
}

// pushed pushes a good request and returns what the browser brings.
func (k *kit) pushed(client string, pairs ...string) url.Values {
	k.t.Helper()
	r := k.push(client, request(append(pairs, "client_id", client)...))
	if r.status != http.StatusCreated {
		k.t.Fatalf("pushed: %d %s", r.status, r.raw)
	}
	return url.Values{"client_id": {client}, "request_uri": {r.text("request_uri")}}
}

// pushing is a client that must push, with PKCE.
func pushing(c *openid.Client) { c.RequirePAR, c.RequirePKCE = true, true }

// RFC 9126 §2.2; conformance 2.9: authorize works with client_id and request_uri alone.
func TestPushedRequest(t *testing.T) {
	k := newKit(t)
	k.client("rp", pushing)
	r := k.push("rp", request())
	uri := r.text("request_uri")
	if r.status != http.StatusCreated || r.header.Get("Cache-Control") != "no-store" || r.header.Get("Content-Type") != "application/json" ||
		!strings.HasPrefix(uri, "urn:ietf:params:oauth:request_uri:") || len(uri) < 34+43 || r.json["expires_in"] != 60.0 {
		t.Fatalf("%d %v %s", r.status, r.header, r.raw)
	}
	// What comes with the browser does not count.
	outside := url.Values{"client_id": {"rp"}, "request_uri": {uri}, "state": {"evil"}, "nonce": {"evil"}, "redirect_uri": {"https://evil.example/"},
		"scope": {"openid us"}, "response_type": {"token"}, "response_mode": {"fragment"}, "prompt": {"none"}}
	a := k.authorize(k.browser(), outside)
	if a.params.Get("code") == "" || a.params.Get("state") != "the-state" || a.params.Get("iss") != k.url || !strings.HasPrefix(a.to.String(), callback+"?") {
		t.Fatalf("%d %v %s", a.status, a.to, a.body)
	}
	tokens := k.post("rp", redeem(a.params.Get("code")))
	if c := k.claims(tokens.text("id_token")); c["nonce"] != "the-nonce" || tokens.text("scope") != "openid profile email" {
		t.Errorf("%v %s", c, tokens.raw)
	}
	// Answered, it is used.
	k.refusedURI(k.browser(), url.Values{"client_id": {"rp"}, "request_uri": {uri}})
}

// refusedURI expects the page that says so: no redirect URI is proved.
func (k *kit) refusedURI(b *http.Client, q url.Values) {
	k.t.Helper()
	a := k.authorize(b, q)
	p := k.problems.Swap(nil)
	if a.to != nil || a.status != http.StatusBadRequest || p == nil || p.Code != "invalid_request_uri" || p.Parameter != "request_uri" {
		k.t.Errorf("%d %v %+v", a.status, a.to, p)
	}
}

func TestPushedRequestIsBoundAndExpires(t *testing.T) {
	k := newKit(t)
	k.client("rp")
	k.client("other")
	q := k.pushed("rp")
	stolen := url.Values{"client_id": {"other"}, "request_uri": q["request_uri"]}
	k.refusedURI(k.browser(), stolen)
	k.refusedURI(k.browser(), url.Values{"client_id": {"rp"}, "request_uri": {q.Get("request_uri") + "x"}})
	k.refusedURI(k.browser(), url.Values{"client_id": {"rp"}, "request_uri": {"urn:ietf:params:oauth:request_uri:"}})
	k.refusedURI(k.browser(), url.Values{"client_id": {"rp"}, "request_uri": {q.Get("request_uri"), q.Get("request_uri")}})
	k.refusedURI(k.browser(), url.Values{"client_id": {"rp"}, "request_uri": q["request_uri"], "request": {"x.y.z"}})
	// None of that used it up.
	if a := k.authorize(k.browser(), q); a.params.Get("code") == "" {
		t.Errorf("%d %v", a.status, a.to)
	}
	q = k.pushed("rp")
	k.wait(59 * time.Second)
	b := k.browser()
	b.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	page := k.authorize(b, q).to
	k.wait(2 * time.Second)
	k.refusedURI(k.browser(), q)
	// Whoever came in time may take their time.
	k.wait(time.Hour)
	if a := k.get(b, page.Path, nil); a.params.Get("code") == "" {
		t.Errorf("%d %v %s", a.status, a.to, a.body)
	}
	// An address that is no longer registered gets nothing.
	q = k.pushed("rp")
	if _, err := k.clients.Change(t.Context(), "operator:test", "rp", func(c *openid.Client) error { c.RedirectURIs = []string{"https://rp.example/new"}; return nil }, false); err != nil {
		t.Fatal(err)
	}
	k.wait(5 * time.Second)
	k.refusedURI(k.browser(), q)
}

// conformance 2.9: a second visit before completion works, one after it does not;
// also where the person cancelled, or prompt=none failed.
func TestPushedRequestUntilItIsAnswered(t *testing.T) {
	k := newKit(t)
	k.client("rp", pushing)
	b := k.browser()
	b.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for _, suffix := range []string{"", "?cancel"} {
		q := k.pushed("rp", "prompt", "login")
		first, second := k.authorize(b, q).to, k.authorize(b, q).to
		if a := k.get(b, second.Path+suffix, nil); !a.params.Has("code") && a.params.Get("error") != "access_denied" {
			t.Fatalf("%d %v", a.status, a.to)
		}
		k.refusedURI(b, q)
		for range 2 {
			if a := k.get(b, first.Path, nil); a.to != nil || !strings.Contains(a.body, "request_done") {
				t.Errorf("the other sign-in of the same request: %d %v %s", a.status, a.to, a.body)
			}
		}
	}
	q := k.pushed("rp", "prompt", "none")
	if a := k.authorize(k.browser(), q); a.params.Get("error") != "login_required" || a.params.Get("state") != "the-state" {
		t.Errorf("%d %v", a.status, a.to)
	}
	k.refusedURI(b, q)
}

// A proof from before the browser came is no fresh one, whenever the request was pushed.
func TestPushedRequestWantsAFreshProof(t *testing.T) {
	k := newKit(t)
	k.client("rp")
	b := k.browser()
	q := k.pushed("rp", "max_age", "0")
	k.wait(5 * time.Second)
	first := k.claims(k.signedIn(b).text("id_token"))
	k.wait(5 * time.Second)
	a := k.authorize(b, q)
	second := k.claims(k.post("rp", redeem(a.params.Get("code"))).text("id_token"))
	if second["auth_time"].(float64) < first["auth_time"].(float64)+5 {
		t.Errorf("auth_time %v, then %v", first["auth_time"], second["auth_time"])
	}
}

// Everything that the authorization endpoint refuses is refused here, in JSON.
func TestPushedRequestsAreChecked(t *testing.T) {
	k := newKit(t)
	k.client("rp", pushing)
	k.client("other")
	twice := request()
	twice.Add("nonce", "again")
	for what, c := range map[string]struct {
		client string
		form   url.Values
		status int
		code   string
	}{
		"request_uri inside":        {"rp", request("request_uri", "urn:ietf:params:oauth:request_uri:x"), 400, "invalid_request"},
		"request_uri from the web":  {"rp", request("request_uri", "https://rp.example/r"), 400, "invalid_request"},
		"no redirect_uri":           {"rp", request("redirect_uri", ""), 400, "invalid_request"},
		"unregistered redirect_uri": {"rp", request("redirect_uri", "https://evil.example/"), 400, "invalid_request"},
		"no response_type":          {"rp", request("response_type", ""), 400, "invalid_request"},
		"hybrid":                    {"rp", request("response_type", "code id_token"), 400, "unsupported_response_type"},
		"token":                     {"rp", request("response_type", "token"), 400, "unsupported_response_type"},
		"no PKCE":                   {"rp", request("code_challenge", "", "code_challenge_method", ""), 400, "invalid_request"},
		"plain PKCE":                {"rp", request("code_challenge_method", "plain"), 400, "invalid_request"},
		"no openid":                 {"rp", request("scope", "profile"), 400, "invalid_scope"},
		"bad claims":                {"rp", request("claims", "[]"), 400, "invalid_request"},
		"bad dpop_jkt":              {"rp", request("dpop_jkt", "short"), 400, "invalid_request"},
		"unknown resource":          {"rp", request("resource", "https://api.example"), 400, "invalid_target"},
		"signed response":           {"rp", request("response_mode", "jwt"), 400, "invalid_request"},
		"repeated":                  {"rp", twice, 400, "invalid_request"},
		"another client's id":       {"rp", request("client_id", "other"), 400, "invalid_request"},
		"nobody":                    {"", request(), 401, "invalid_client"},
		"no parameters":             {"rp", url.Values{}, 400, "invalid_request"},
	} {
		r := k.push(c.client, c.form)
		if r.status != c.status || r.text("error") != c.code || !grammar(r.text("error_description")) || r.json["request_uri"] != nil ||
			r.header.Get("Cache-Control") != "no-store" || r.header.Get("Content-Type") != "application/json" || (r.status == 401) != (r.header.Get("WWW-Authenticate") != "") {
			t.Errorf("%s: %d %v %s", what, r.status, r.header, r.raw)
		}
	}
	if r := k.push("rp", request("state", strings.Repeat("s", 70<<10))); r.status != http.StatusRequestEntityTooLarge || r.text("error") != "invalid_request" {
		t.Errorf("too long: %d %s", r.status, r.raw)
	}
	unreadable, _ := http.NewRequest(http.MethodPost, k.url+openid.PARPath, strings.NewReader(request().Encode()+"&claims=%zz"))
	unreadable.SetBasicAuth("rp", k.secrets["rp"])
	unreadable.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	refused(t, "a form that cannot be read", k.do(unreadable), 400, "invalid_request")
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodOptions} {
		req, _ := http.NewRequest(method, k.url+openid.PARPath+"?"+request().Encode(), nil)
		req.SetBasicAuth("rp", k.secrets["rp"])
		if r := k.do(req); r.status != http.StatusMethodNotAllowed || r.header.Get("Allow") != "POST" || r.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %v", method, r.status, r.header)
		}
	}
	req, _ := http.NewRequest(http.MethodPost, k.url+openid.PARPath+"?"+request().Encode(), strings.NewReader(""))
	req.SetBasicAuth("rp", k.secrets["rp"])
	if r := k.do(req); r.status != http.StatusBadRequest {
		t.Errorf("parameters in the address: %d", r.status)
	}
}

// Who must push, must: by profile, by registration, by the server's setting.
func TestRequestsThatMustBePushed(t *testing.T) {
	direct := func(k *kit, client string) {
		a := k.authorize(k.browser(), request("client_id", client, "response_mode", "form_post"))
		if a.status != http.StatusOK || !strings.Contains(a.body, `name="error" value="invalid_request"`) || !strings.Contains(a.body, `value="the-state"`) {
			t.Errorf("%s: %d %s", client, a.status, a.body)
		}
		a = k.authorize(k.browser(), request("client_id", client, "redirect_uri", "https://evil.example/"))
		if p := k.problems.Swap(nil); a.to != nil || p == nil || p.Code != "invalid_request" {
			t.Errorf("%s, unproved address: %v %+v", client, a.to, p)
		}
	}
	k := newKit(t)
	k.client("strict", func(c *openid.Client) { c.RequirePAR = true })
	k.client("rp")
	k.client("fapi", func(c *openid.Client) {
		f := fapi(t)
		f.ID, f.RedirectURIs, f.RequirePAR = c.ID, c.RedirectURIs, false
		*c = f
	})
	direct(k, "fapi")
	direct(k, "strict")
	if a := k.authorize(k.browser(), k.pushed("strict")); a.params.Get("code") == "" {
		t.Errorf("pushed: %d %v", a.status, a.to)
	}
	k.code(k.browser(), request())
	k = newKit(t, func(c *openid.Config, _ *openid.Deps) { c.RequirePAR = true })
	k.client("rp")
	k.client("us", userServices)
	direct(k, "rp")
	k.code(k.browser(), request("client_id", "us", "scope", "openid us"))
}

// Of fifty answers to one request_uri one is a code: with a session that answers
// at once, and with fifty sign-ins that were begun.
func TestParallelPushedRequest(t *testing.T) {
	pairs(t, func(t *testing.T, k *kit) {
		k.client("rp", pushing)
		b := k.browser()
		k.authorize(b, k.pushed("rp"))
		b.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		race := func(get func(i int) answer) map[string]int {
			got := map[string]int{}
			var mu sync.Mutex
			var all sync.WaitGroup
			for i := range 50 {
				all.Go(func() {
					a := get(i)
					mu.Lock()
					defer mu.Unlock()
					switch {
					case a.params.Get("code") != "":
						got["code"]++
					case a.to == nil:
						got["page"]++
					default:
						got[a.to.String()]++
					}
				})
			}
			all.Wait()
			return got
		}
		q := k.pushed("rp")
		if got := race(func(int) answer { return k.authorize(b, q) }); got["code"] != 1 || got["page"] != 49 {
			t.Errorf("with a session: %v", got)
		}
		q = k.pushed("rp", "prompt", "login")
		pages := make([]string, 50)
		for i := range pages {
			pages[i] = k.authorize(b, q).to.Path
		}
		if got := race(func(i int) answer { return k.get(b, pages[i], nil) }); got["code"] != 1 || got["page"] != 49 {
			t.Errorf("with sign-ins: %v", got)
		}
	})
}

// The key that was named when the request was pushed rides along to the code.
func TestPushedRequestKeepsItsLevel(t *testing.T) {
	k := newKit(t)
	k.client("rp")
	k.as(bosse)
	b := k.browser()
	q := k.pushed("rp", "acr_values", "urn:portti:acr:card")
	a := k.authorize(b, q)
	if c := k.claims(k.post("rp", redeem(a.params.Get("code"))).text("id_token")); c["acr"] != "urn:portti:acr:card" {
		t.Errorf("%v", c)
	}
	// Stepped up in place: an app session is not enough.
	k.as(withID(bosse, session.App))
	b = k.browser()
	k.signedIn(b)
	k.as(bosse)
	a = k.authorize(b, k.pushed("rp", "acr_values", "urn:portti:acr:card"))
	if c := k.claims(k.post("rp", redeem(a.params.Get("code"))).text("id_token")); c["acr"] != "urn:portti:acr:card" {
		t.Errorf("%v", c)
	}
}

// RFC 9449 §10.1: the key that is proved at the push, or named in dpop_jkt, is the
// one that the code is for; two different ones are refused.
func TestPushedRequestNamesAKey(t *testing.T) {
	k := newKit(t)
	k.client("rp")
	key, other := dpoptest.New(t), dpoptest.New(t)
	push := func(proof, jkt string) reply {
		req, err := http.NewRequest(http.MethodPost, k.url+openid.PARPath, strings.NewReader(request("dpop_jkt", jkt).Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("DPoP", proof)
		req.SetBasicAuth("rp", k.secrets["rp"])
		return k.do(req)
	}
	proof := func(key *dpoptest.Key) string { return key.Proof(http.MethodPost, k.url+openid.PARPath, "", "") }
	for what, jkt := range map[string]string{"proof alone": "", "both": key.Thumbprint()} {
		if r := push(proof(key), jkt); r.status != http.StatusCreated {
			t.Errorf("%s: %d %s", what, r.status, r.raw)
		}
	}
	if r := push(proof(other), key.Thumbprint()); r.status != http.StatusBadRequest || r.text("error") != "invalid_request" || r.json["request_uri"] != nil {
		t.Errorf("another key: %d %s", r.status, r.raw)
	}
	for what, r := range map[string]reply{
		"for the token request": push(key.Proof(http.MethodPost, k.url+openid.TokenPath, "", ""), ""),
		"no proof":              push("x", ""),
	} {
		if r.status != http.StatusBadRequest || r.text("error") != "invalid_dpop_proof" || r.json["request_uri"] != nil {
			t.Errorf("%s: %d %s", what, r.status, r.raw)
		}
	}
	used := proof(key)
	push(used, "")
	if r := push(used, ""); r.text("error") != "invalid_dpop_proof" {
		t.Errorf("a proof twice: %d %s", r.status, r.raw)
	}
}

// A code whose key was proved with the push is no good to the holder of another
// key, nor to one without any.
func TestCodeOfAPushedKey(t *testing.T) {
	k := newKit(t)
	k.client("rp")
	key, other := dpoptest.New(t), dpoptest.New(t)
	for what, holder := range map[string]*dpoptest.Key{"the same key": key, "another key": other, "none": nil} {
		a := k.authorize(k.browser(), k.pushed("rp", "dpop_jkt", key.Thumbprint()))
		req, err := http.NewRequest(http.MethodPost, k.url+openid.TokenPath, strings.NewReader(redeem(a.params.Get("code")).Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.SetBasicAuth("rp", k.secrets["rp"])
		if holder != nil {
			req.Header.Set("DPoP", holder.Proof(http.MethodPost, k.url+openid.TokenPath, "", ""))
		}
		if r := k.do(req); (r.status == http.StatusOK) != (holder == key) || holder != key && r.text("error") != "invalid_grant" {
			t.Errorf("%s: %d %s", what, r.status, r.raw)
		}
	}
}

// unmarked is a store that loses its connection when a mark is to be set.
type unmarked struct {
	ephemeral.Store
	away atomic.Bool
}

func (u *unmarked) Add(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if u.away.Load() {
		return fault.New(fault.Unavailable, "ephemeral_unavailable", "away")
	}
	return u.Store.Add(ctx, key, value, ttl)
}

// Without the mark that it is the only one, no answer is given, and the request
// can be tried again.
func TestPushedRequestNeedsItsMark(t *testing.T) {
	var u unmarked
	k := newKit(t, func(_ *openid.Config, d *openid.Deps) {
		u.Store = d.Ephemeral
		d.Ephemeral = &u
	})
	k.client("rp")
	b := k.browser()
	k.signedIn(b)
	q := k.pushed("rp")
	u.away.Store(true)
	if a := k.authorize(b, q); a.params.Get("error") != "temporarily_unavailable" || a.params.Has("code") {
		t.Errorf("%d %v", a.status, a.to)
	}
	u.away.Store(false)
	if a := k.authorize(b, q); a.params.Get("code") == "" {
		t.Errorf("%d %v", a.status, a.to)
	}
}
