package rp_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/pkg/rp"
	"github.com/portti-id/portti/pkg/rp/rptest"
)

const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

func postLogoutToken(t *testing.T, a *app, token string) int {
	t.Helper()
	res, err := http.PostForm(a.URL+"/logout/backchannel", url.Values{"logout_token": {token}})
	if err != nil {
		t.Fatal(err)
	}
	_ = read(t, res)
	expect(t, "Cache-Control", res.Header.Get("Cache-Control"), "no-store")
	return res.StatusCode
}

func TestBackChannelLogoutEndsTheSession(t *testing.T) { // S36, S54, S72
	a := start(t, nil)
	signIn := func(sub, sid string) browser {
		a.op.Set(func(s *rptest.Script) { s.Claims["sub"], s.Claims["sid"] = sub, sid })
		b := a.browser(t)
		b.get(a.URL + "/records/1")
		expect(t, "signed in", b.signedIn(a), sub)
		return b
	}
	one, two, other := signIn("user-1", "sid-1"), signIn("user-1", "sid-2"), signIn("user-2", "sid-3")
	if code := postLogoutToken(t, a, a.op.LogoutToken(map[string]any{"sub": "user-1", "sid": "sid-1"})); code != 200 {
		t.Fatalf("by sid: %d", code)
	}
	expect(t, "that session", one.signedIn(a), "nobody")
	expect(t, "another of the person", two.signedIn(a), "user-1")
	if code := postLogoutToken(t, a, a.op.LogoutToken(map[string]any{"sub": "user-1"})); code != 200 {
		t.Fatalf("by sub: %d", code)
	}
	expect(t, "every session of the person", two.signedIn(a), "nobody")
	expect(t, "another person", other.signedIn(a), "user-2")
	if code := postLogoutToken(t, a, a.op.LogoutToken(map[string]any{"sid": "sid-3"})); code != 200 {
		t.Fatalf("by sid alone: %d", code)
	}
	expect(t, "sid alone", other.signedIn(a), "nobody")
	if code := postLogoutToken(t, a, a.op.LogoutToken(map[string]any{"sid": "sid-3"})); code != 200 {
		t.Errorf("nothing left to end: %d, want 200 all the same", code)
	}
}

func TestLogoutTokensAreChecked(t *testing.T) {
	now := time.Now()
	header := func(name string, value any) func(*rptest.Script) {
		return func(s *rptest.Script) { s.Token = func(h, _ map[string]any) { h[name] = value } }
	}
	for name, test := range map[string]struct {
		claims map[string]any
		script func(*rptest.Script)
		want   int
	}{
		"right":                 {nil, nil, 200},
		"typ JWT":               {nil, header("typ", "JWT"), 200},
		"typ with application/": {nil, header("typ", "application/logout+jwt"), 200},
		"typ of access tokens":  {nil, header("typ", "at+jwt"), 400},
		"alg none":              {nil, header("alg", "none"), 400},
		"alg HS256":             {nil, header("alg", "HS256"), 400},
		"alg not registered":    {nil, header("alg", "RS256"), 400},
		"unknown key":           {nil, header("kid", "x"), 400},
		"other issuer":          {map[string]any{"iss": "https://evil.example"}, nil, 400},
		"other audience":        {map[string]any{"aud": "other"}, nil, 400},
		"one more audience":     {map[string]any{"aud": []string{"app", "other"}}, nil, 400},
		"expired":               {map[string]any{"exp": now.Add(-time.Minute).Unix()}, nil, 400},
		"no exp":                {map[string]any{"exp": nil}, nil, 400},
		"no iat":                {map[string]any{"iat": nil}, nil, 400},
		"iat in the future":     {map[string]any{"iat": now.Add(time.Hour).Unix()}, nil, 400},
		"no jti":                {map[string]any{"jti": nil}, nil, 400},
		"no events":             {map[string]any{"events": nil}, nil, 400},
		"other event":           {map[string]any{"events": map[string]any{"urn:x": map[string]any{}}}, nil, 400},
		"event is null":         {map[string]any{"events": map[string]any{logoutEvent: nil}}, nil, 400},
		"event is a string":     {map[string]any{"events": map[string]any{logoutEvent: "x"}}, nil, 400},
		"nonce":                 {map[string]any{"nonce": "x"}, nil, 400},
		"nonce null":            {map[string]any{"nonce": ref(nil)}, nil, 400},
		"neither sid nor sub":   {map[string]any{"sid": nil, "sub": nil}, nil, 400},
	} {
		t.Run(name, func(t *testing.T) {
			a := start(t, func(c *rp.Config) { c.Algorithms = []string{"ES256"} })
			b := a.browser(t)
			b.get(a.URL + "/records/1")
			claims := map[string]any{"sub": "user-1", "sid": "sid-1"}
			for n, v := range test.claims {
				claims[n] = v
			}
			if test.script != nil {
				a.op.Set(test.script)
			}
			if code := postLogoutToken(t, a, a.op.LogoutToken(claims)); code != test.want {
				t.Errorf("status %d, want %d", code, test.want)
			}
			want := "nobody"
			if test.want != 200 {
				want = "user-1"
			}
			expect(t, "session", b.signedIn(a), want)
		})
	}
}

// ref makes a value that LogoutToken does not take for "remove".
func ref(v any) *any { return &v }

func TestIDTokenIsNoLogoutToken(t *testing.T) {
	a := start(t, nil)
	now := time.Now()
	id := a.op.IDToken(map[string]any{"iss": a.op.URL, "aud": "app", "sub": "user-1", "sid": "sid-1", "jti": "x", "iat": now.Unix(), "exp": now.Add(time.Minute).Unix()})
	if code := postLogoutToken(t, a, id); code != 400 {
		t.Errorf("status %d", code)
	}
}

func TestLogoutTokenWorksOnce(t *testing.T) {
	a := start(t, nil)
	token := a.op.LogoutToken(map[string]any{"sub": "user-1"})
	if code := postLogoutToken(t, a, token); code != 200 {
		t.Fatalf("first: %d", code)
	}
	b := a.browser(t)
	b.get(a.URL + "/records/1")
	if code := postLogoutToken(t, a, token); code != 400 {
		t.Errorf("replay: %d", code)
	}
	expect(t, "a session from after the logout", b.signedIn(a), "user-1")
}

func TestLogoutRequestsThatAreNone(t *testing.T) {
	a := start(t, nil)
	good := a.op.LogoutToken(map[string]any{"sub": "user-1"})
	for name, body := range map[string]string{
		"empty": "", "no token": "x=1", "two tokens": "logout_token=a&logout_token=b", "no JWT": "logout_token=a.b.c",
		"huge": "logout_token=" + strings.Repeat("a", 100<<10),
	} {
		res, err := http.Post(a.URL+"/logout/backchannel", "application/x-www-form-urlencoded", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if _ = read(t, res); res.StatusCode != 400 {
			t.Errorf("%s: %d", name, res.StatusCode)
		}
	}
	res, err := http.Get(a.URL + "/logout/backchannel?logout_token=" + good)
	if err != nil {
		t.Fatal(err)
	}
	if _ = read(t, res); res.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", res.StatusCode)
	}
	res, err = http.Post(a.URL+"/logout/backchannel?logout_token="+good, "application/x-www-form-urlencoded", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _ = read(t, res); res.StatusCode != 400 {
		t.Errorf("token in the address: %d", res.StatusCode)
	}
}

func TestStrangersCannotMakeUsFloodTheProvider(t *testing.T) {
	a := start(t, nil)
	a.op.Set(func(s *rptest.Script) { s.Token = func(h, _ map[string]any) { h["kid"] = "unknown" } })
	for range 30 {
		if code := postLogoutToken(t, a, a.op.LogoutToken(map[string]any{"sub": "user-1"})); code != 400 {
			t.Fatalf("status %d", code)
		}
	}
	if n := a.op.Counts().JWKS; n > 2 {
		t.Errorf("%d fetches of the key set for 30 forged tokens", n)
	}
}

func TestLogoutDuringTheCallbackWins(t *testing.T) {
	now := newClock()
	a := start(t, func(c *rp.Config) { c.Now = now.Now })
	for name, claims := range map[string]map[string]any{
		"by sid": {"sid": "sid-1"},
		"by sub": {"sub": "user-1"},
	} {
		t.Run(name, func(t *testing.T) {
			b := a.browser(t)
			callback := b.toCallback(a, "/records/1")
			a.op.Set(func(s *rptest.Script) {
				s.Now = now.Now
				s.TokenResponse = func(map[string]any) { // minted, on its way to us
					now.forward(time.Second)
					if code := postLogoutToken(t, a, a.op.LogoutToken(claims)); code != 200 {
						t.Errorf("logout: %d", code)
					}
				}
			})
			if to := b.step(callback); !strings.HasPrefix(to, a.op.URL+"/authorize?") {
				t.Errorf("leads to %q", to)
			}
			expect(t, "signed in", b.signedIn(a), "nobody")
			a.op.Set(func(s *rptest.Script) { s.TokenResponse = nil; s.Claims["sid"] = "sid-2" })
			now.forward(time.Second)
			b.get(a.URL + "/records/1")
			expect(t, "signed in anew", b.signedIn(a), "user-1")
			a.op.Set(func(s *rptest.Script) { s.Claims["sid"] = "sid-1" })
			now.forward(time.Hour)
		})
	}
}

// brokenStore fails on demand.
type brokenStore struct {
	*rp.MemoryStore
	broken bool
}

var errStore = errors.New("no store")

func (s *brokenStore) Get(ctx context.Context, key string) (rp.Record, bool, error) {
	if s.broken {
		return rp.Record{}, false, errStore
	}
	return s.MemoryStore.Get(ctx, key)
}

func (s *brokenStore) Take(ctx context.Context, key string) (rp.Record, bool, error) {
	if s.broken {
		return rp.Record{}, false, errStore
	}
	return s.MemoryStore.Take(ctx, key)
}

func (s *brokenStore) Add(ctx context.Context, key string, r rp.Record) (bool, error) {
	if s.broken {
		return false, errStore
	}
	return s.MemoryStore.Add(ctx, key, r)
}

func TestLogoutThatFailedMayBeSentAgain(t *testing.T) {
	store := &brokenStore{MemoryStore: &rp.MemoryStore{}}
	a := start(t, func(c *rp.Config) { c.Store = store })
	b := a.browser(t)
	b.get(a.URL + "/records/1")
	token := a.op.LogoutToken(map[string]any{"sid": "sid-1"})
	store.broken = true
	if code := postLogoutToken(t, a, token); code != http.StatusServiceUnavailable {
		t.Errorf("status %d", code)
	}
	store.broken = false
	expect(t, "still signed in", b.signedIn(a), "user-1")
	if code := postLogoutToken(t, a, token); code != 200 {
		t.Errorf("second try: %d", code)
	}
	expect(t, "signed in", b.signedIn(a), "nobody")
}

func TestStoreOutOfReachOpensNothing(t *testing.T) {
	store := &brokenStore{MemoryStore: &rp.MemoryStore{}}
	a := start(t, func(c *rp.Config) { c.Store = store })
	b := a.browser(t)
	callback := b.toCallback(a, "/records/1")
	store.broken = true
	for _, page := range []string{a.URL + "/login", callback, a.URL + "/logout/callback"} {
		if body, status := b.get(page); status != http.StatusServiceUnavailable {
			t.Errorf("%s: %d %q", page, status, body)
		}
	}
	store.broken = false
	b.get(callback)
	expect(t, "signed in when it is back", b.signedIn(a), "user-1")
	store.broken = true
	for _, page := range []string{"/records/1", "/secret"} {
		if body, status := b.get(a.URL + page); status != http.StatusServiceUnavailable {
			t.Errorf("%s: %d %q", page, status, body)
		}
	}
	store.broken = false
	expect(t, "signed in when it is back", b.signedIn(a), "user-1")
}

func TestLogoutWithoutProviderIsTriedAgain(t *testing.T) {
	op := rptest.New(t)
	op.Set(func(s *rptest.Script) { s.Down = true })
	p, err := rp.New(t.Context(), op.Config("http://app.localhost/callback"))
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	r := httptest.NewRequest("POST", "/logout/backchannel", strings.NewReader("logout_token=a.b.c"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	p.BackChannelLogout(w, r)
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("status %d", w.Code)
	}
}
