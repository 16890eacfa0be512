package openid_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/keys"
	"github.com/portti-id/portti/internal/openid"
)

const out = "https://rp.example/out"

func (k *kit) logout(b *http.Client, pairs ...string) answer {
	k.t.Helper()
	q := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		q.Add(pairs[i], pairs[i+1])
	}
	return k.get(b, openid.EndSessionPath, q)
}

func (k *kit) signedInStill(b *http.Client) bool {
	return k.authorize(b, request("prompt", "none")).params.Get("code") != ""
}

// conformance 2.4, oidcc-rp-initiated-logout
func TestLogout(t *testing.T) {
	k := newKit(t)
	k.client("rp")
	b := k.browser()
	r := k.signedIn(b)
	state := strings.Repeat("s", 128)
	k.wait(time.Hour / 2) // the hint has expired
	a := k.logout(b, "id_token_hint", r.text("id_token"), "post_logout_redirect_uri", out, "state", state)
	if a.to == nil || a.to.String() != out+"?state="+state {
		t.Fatalf("%d %v %s", a.status, a.to, a.body)
	}
	if k.signedInStill(b) {
		t.Error("the session goes on")
	}
	refused(t, "refresh", k.post("rp", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {r.text("refresh_token")}}), 400, "invalid_grant")

	r = k.signedIn(b)
	if a := k.logout(b, "id_token_hint", r.text("id_token"), "client_id", "rp", "post_logout_redirect_uri", out); a.to == nil || a.to.String() != out {
		t.Errorf("without state: %v", a.to)
	}
	r = k.signedIn(b)
	if a := k.logout(b, "id_token_hint", r.text("id_token"), "state", "x"); a.to != nil || !strings.Contains(a.body, "logged-out") || k.signedInStill(b) {
		t.Errorf("without address: %d %v %s", a.status, a.to, a.body)
	}
	if a := k.logout(b); a.to != nil || !strings.Contains(a.body, "logged-out") {
		t.Errorf("nobody is here: %v %s", a.to, a.body)
	}
}

func TestLogoutByPost(t *testing.T) {
	k := newKit(t)
	k.client("rp")
	b := k.browser()
	form := url.Values{"id_token_hint": {k.signedIn(b).text("id_token")}, "post_logout_redirect_uri": {out}}
	b.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if a := k.read(must(b.PostForm(k.url+openid.EndSessionPath, form))); a.to == nil || a.to.String() != out {
		t.Errorf("%d %v", a.status, a.to)
	}
	// A form posted by another site comes without cookies: the hint names the session.
	b = k.browser()
	form.Set("id_token_hint", k.signedIn(b).text("id_token"))
	if a := k.read(must((&http.Client{CheckRedirect: b.CheckRedirect}).PostForm(k.url+openid.EndSessionPath, form))); a.to == nil || a.to.String() != out {
		t.Errorf("without cookies: %d %v", a.status, a.to)
	}
	if k.signedInStill(b) {
		t.Error("the session goes on")
	}
}

// Any page on the web could send somebody here: without proof the person is asked.
func TestLogoutAsks(t *testing.T) {
	k := newKit(t)
	k.client("rp")
	b := k.browser()
	old := k.signedIn(b).text("id_token")
	k.as(bosse)
	bosses := k.signedIn(k.browser()).text("id_token")
	k.as(anna)
	k.signedIn(b, "prompt", "login") // another session now
	for what, q := range map[string][]string{
		"no params":                    nil,
		"only state":                   {"state", "x"},
		"address and client, no token": {"client_id", "rp", "post_logout_redirect_uri", out},
		"somebody else's token":        {"id_token_hint", bosses},
		"a token of another session":   {"id_token_hint", old},
	} {
		if a := k.logout(b, q...); a.to != nil || !strings.Contains(a.body, "logout-confirm") || !k.signedInStill(b) {
			t.Errorf("%s: %v %s", what, a.to, a.body)
		}
	}
	if a := k.logout(b, "client_id", "rp", "post_logout_redirect_uri", out, "confirm", "yes"); a.to == nil || a.to.String() != out || k.signedInStill(b) {
		t.Errorf("confirmed: %v", a.to)
	}
	if a := k.logout(b, "client_id", "rp", "post_logout_redirect_uri", out); a.to != nil {
		t.Errorf("nobody here, no token: redirected to %v", a.to)
	}
}

// Never a redirect on an error, and never a logout.
func TestLogoutErrors(t *testing.T) {
	k := newKit(t)
	k.client("rp")
	k.client("other", func(c *openid.Client) { c.PostLogoutRedirectURIs = []string{"https://other.example/out"} })
	b := k.browser()
	token := k.signedIn(b).text("id_token")
	part := strings.Split(token, ".")
	jws := func(header string) string {
		return base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + part[1]
	}
	mac := hmac.New(sha256.New, []byte(k.secrets["rp"]))
	mac.Write([]byte(jws(`{"alg":"HS256","typ":"JWT"}`)))
	hs256 := jws(`{"alg":"HS256","typ":"JWT"}`) + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	body, _, _ := ring(t).Verify(token, "JWT", keys.Algorithms...)
	logoutToken, err := ring(t).Sign(keys.ES256, "logout+jwt", body)
	if err != nil {
		t.Fatal(err)
	}
	null, _ := ring(t).Sign(keys.ES256, "JWT", []byte("null"))
	foreign, _ := ring(t).Sign(keys.ES256, "JWT", []byte(strings.Replace(string(body), k.url, "https://other.example", 1)))
	for what, c := range map[string]struct {
		q    []string
		code string
	}{
		"alg none":                  {[]string{"id_token_hint", jws(`{"alg":"none","typ":"JWT"}`) + "."}, "logout_hint_invalid"},
		"HS256 with the secret":     {[]string{"id_token_hint", hs256}, "logout_hint_invalid"},
		"other payload":             {[]string{"id_token_hint", part[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"x"}`)) + "." + part[2]}, "logout_hint_invalid"},
		"a logout token":            {[]string{"id_token_hint", logoutToken}, "logout_hint_invalid"},
		"null":                      {[]string{"id_token_hint", null}, "logout_hint_invalid"}, // op.VerifyIDTokenHint panics on it
		"unsigned null":             {[]string{"id_token_hint", jws(`{"typ":"JWT"}`)[:20] + ".bnVsbA.x"}, "logout_hint_invalid"},
		"another issuer":            {[]string{"id_token_hint", foreign}, "logout_hint_invalid"},
		"client_id of another":      {[]string{"id_token_hint", token, "client_id", "other"}, "logout_hint_invalid"},
		"unknown client":            {[]string{"client_id", "stranger"}, "logout_client_unknown"},
		"unregistered address":      {[]string{"id_token_hint", token, "post_logout_redirect_uri", "https://evil.example/"}, "logout_redirect_unknown"},
		"query added":               {[]string{"id_token_hint", token, "post_logout_redirect_uri", out + "?foo=bar"}, "logout_redirect_unknown"},
		"another client's address":  {[]string{"id_token_hint", token, "post_logout_redirect_uri", "https://other.example/out"}, "logout_redirect_unknown"},
		"address, nobody asks":      {[]string{"post_logout_redirect_uri", out}, "logout_redirect_unknown"},
		"the sign-in's own address": {[]string{"id_token_hint", token, "post_logout_redirect_uri", callback}, "logout_redirect_unknown"},
		"two addresses":             {[]string{"id_token_hint", token, "post_logout_redirect_uri", out, "post_logout_redirect_uri", out}, "logout_request_invalid"},
		"two hints":                 {[]string{"id_token_hint", token, "id_token_hint", token}, "logout_request_invalid"},
		"state with a line break":   {[]string{"id_token_hint", token, "post_logout_redirect_uri", out, "state", "a\r\nb"}, "logout_request_invalid"},
	} {
		a := k.logout(b, c.q...)
		if a.to != nil || a.status != http.StatusBadRequest || strings.TrimSpace(a.body) != c.code {
			t.Errorf("%s: %d %v %s", what, a.status, a.to, a.body)
		}
	}
	if !k.signedInStill(b) {
		t.Error("an error ended the session")
	}
}

// party is a relying party's back-channel logout endpoint.
type party struct {
	*httptest.Server
	mu     sync.Mutex
	tokens []string
	status int
}

func newParty(t *testing.T) *party {
	p := &party{status: http.StatusOK}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if err := r.ParseForm(); err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" || len(r.Form) != 1 || r.URL.RawQuery != "" {
			t.Errorf("notice: %s %v %v", r.Method, r.Header, r.Form)
		}
		p.tokens = append(p.tokens, r.PostForm.Get("logout_token"))
		w.WriteHeader(p.status)
		_, _ = io.WriteString(w, strings.Repeat("x", 10<<10))
	}))
	t.Cleanup(p.Close)
	return p
}

// wait waits for the party to have heard n times.
func (p *party) wait(t *testing.T, n int) []string {
	t.Helper()
	for range 500 {
		p.mu.Lock()
		got := append([]string(nil), p.tokens...)
		p.mu.Unlock()
		if len(got) >= n {
			return got
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("no %d notices", n)
	return nil
}

// A logout reaches every client of the session (Back-Channel Logout 1.0 2.4, 2.5).
func TestLogoutEndsBothApps(t *testing.T) {
	pairs(t, func(t *testing.T, k *kit) {
		one, two, bystander := newParty(t), newParty(t), newParty(t)
		k.client("rp", func(c *openid.Client) { c.BackChannelLogoutURI = one.URL + "/logout" })
		k.client("two", func(c *openid.Client) { c.BackChannelLogoutURI, c.Algorithm = two.URL, keys.EdDSA })
		k.client("none")
		k.client("bystander", func(c *openid.Client) { c.BackChannelLogoutURI = bystander.URL })
		done := make(chan struct{})
		ctx, stop := contextOf(t)
		go func() { defer close(done); k.p.Run(ctx) }()
		b := k.browser()
		first := k.signedIn(b)
		was := k.claims(first.text("id_token"))
		k.post("two", redeem(k.code(b, request("client_id", "two"))))
		k.post("none", redeem(k.code(b, request("client_id", "none"))))
		k.as(bosse)
		k.post("bystander", redeem(k.code(k.browser(), request("client_id", "bystander"))))

		k.logout(b, "id_token_hint", first.text("id_token"))
		for client, c := range map[string]struct {
			p   *party
			alg keys.Algorithm
		}{"rp": {one, keys.ES256}, "two": {two, keys.EdDSA}} {
			token := c.p.wait(t, 1)[0]
			payload, _, err := ring(t).Verify(token, "logout+jwt", c.alg)
			if err != nil {
				t.Fatalf("%s: %v", client, err)
			}
			var is map[string]any
			if err := json.Unmarshal(payload, &is); err != nil {
				t.Fatal(err)
			}
			if is["iss"] != k.url || is["aud"] != client || is["sub"] != "anna" || is["sid"] != was["sid"] || is["jti"] == "" || is["nonce"] != nil ||
				is["exp"].(float64)-is["iat"].(float64) != 120 || fmt.Sprint(is["events"]) != "map[http://schemas.openid.net/event/backchannel-logout:map[]]" || len(is) != 8 {
				t.Errorf("%s: %v", client, is)
			}
			// It can never pass for an ID token (RFC 8725 3.11).
			if _, _, err := ring(t).Verify(token, "JWT", keys.Algorithms...); err == nil {
				t.Error("a logout token is an ID token")
			}
		}
		stop()
		<-done
		if len(bystander.tokens) != 0 {
			t.Error("another session's client was told")
		}
	})
}

// conformance 2.5: the logout token's sub is the ID token's, also where every
// client sees another one, and parties may insist on TLS 1.3.
func TestNoticeOfAPairwiseSubjectOverTLS13(t *testing.T) {
	heard := make(chan string, 1)
	rp := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS == nil || r.TLS.Version != tls.VersionTLS13 {
			t.Errorf("TLS %+v", r.TLS)
		}
		heard <- r.PostFormValue("logout_token")
	}))
	rp.TLS = &tls.Config{MinVersion: tls.VersionTLS13}
	rp.StartTLS()
	t.Cleanup(rp.Close)
	k := newKit(t, func(c *openid.Config, _ *openid.Deps) {
		c.Outgoing.RootCAs = x509.NewCertPool()
		c.Outgoing.RootCAs.AddCert(rp.Certificate())
	})
	k.client("rp", func(c *openid.Client) {
		c.BackChannelLogoutURI, c.SubjectType = rp.URL+"/logout", openid.SubjectPairwise
	})
	ctx, stop := contextOf(t)
	done := make(chan struct{})
	go func() { defer close(done); k.p.Run(ctx) }()
	defer func() { stop(); <-done }()
	b := k.browser()
	tokens := k.signedIn(b)
	was := k.claims(tokens.text("id_token"))
	if a := k.logout(b, "id_token_hint", tokens.text("id_token"), "post_logout_redirect_uri", out); a.to == nil || a.to.String() != out {
		t.Fatalf("%d %v %s", a.status, a.to, a.body)
	}
	select {
	case token := <-heard:
		payload, _, err := ring(t).Verify(token, "logout+jwt", keys.ES256)
		if err != nil {
			t.Fatal(err)
		}
		var is map[string]any
		if err := json.Unmarshal(payload, &is); err != nil {
			t.Fatal(err)
		}
		if is["sub"] != was["sub"] || is["sub"] == "anna" || is["sid"] != was["sid"] {
			t.Errorf("%v, the ID token was of %v", is, was)
		}
	case <-ctx.Done():
		t.Fatal("no notice")
	case <-time.After(time.Minute): // only stops a test that hangs
		t.Fatalf("no notice: %s", k.logs)
	}
}

func TestFailedNoticesAreTriedAgain(t *testing.T) {
	k := newKit(t)
	p := newParty(t)
	p.status = http.StatusInternalServerError
	k.client("rp", func(c *openid.Client) { c.BackChannelLogoutURI = p.URL })
	ctx, stop := contextOf(t)
	done := make(chan struct{})
	go func() { defer close(done); k.p.Run(ctx) }()
	defer func() { stop(); <-done }()
	b := k.browser()
	k.logout(b, "id_token_hint", k.signedIn(b).text("id_token"))
	p.wait(t, 1)
	k.p.Kick() // not due yet
	time.Sleep(50 * time.Millisecond)
	p.mu.Lock()
	if len(p.tokens) != 1 {
		t.Errorf("tried %d times at once", len(p.tokens))
	}
	p.status = http.StatusNoContent
	p.mu.Unlock()
	k.wait(3 * time.Second)
	k.p.Kick()
	p.wait(t, 2)
	k.wait(time.Hour)
	for range 50 { // delivered: nothing is left
		if left, err := k.store.LeaseLogouts(t.Context(), 10, k.now().Add(24*time.Hour), time.Nanosecond); err != nil || len(left) == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("the notice is still there")
}

// Without leave, notices never reach the inside of our own network.
func TestNoticesStayOutside(t *testing.T) {
	k := newKit(t, func(c *openid.Config, _ *openid.Deps) { c.Outgoing = openid.Outgoing{} })
	p := newParty(t)
	k.client("rp", func(c *openid.Client) { c.BackChannelLogoutURI = p.URL })
	ctx, stop := contextOf(t)
	done := make(chan struct{})
	go func() { defer close(done); k.p.Run(ctx) }()
	b := k.browser()
	k.logout(b, "id_token_hint", k.signedIn(b).text("id_token"))
	for range 500 {
		if strings.Contains(k.logs.String(), "forbidden_address") {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	stop()
	<-done
	if !strings.Contains(k.logs.String(), "forbidden_address") || len(p.tokens) != 0 {
		t.Errorf("%d notices arrived\n%s", len(p.tokens), k.logs)
	}
}

func TestEndSessionTwiceIsNoError(t *testing.T) {
	k := newKit(t)
	k.client("rp")
	b := k.browser()
	sid := k.claims(k.signedIn(b).text("id_token"))["sid"].(string)
	for range 2 {
		if err := k.p.EndSession(t.Context(), sid, "logout"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := k.sessions.ByID(t.Context(), sid); err == nil || k.signedInStill(b) {
		t.Error("the session goes on")
	}
	if err := k.p.EndSession(t.Context(), "never-there", "logout"); err != nil {
		t.Error(err)
	}
}
