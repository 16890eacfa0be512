package rp_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portti-id/portti/pkg/rp"
	"github.com/portti-id/portti/pkg/rp/rptest"
)

func startWithClock(t *testing.T, change func(*rp.Config)) (*app, *clock, browser) {
	now := newClock()
	a := start(t, func(c *rp.Config) {
		c.Now = now.Now
		if change != nil {
			change(c)
		}
	})
	a.op.Set(func(s *rptest.Script) { s.Now = now.Now })
	b := a.browser(t)
	b.get(a.URL + "/records/1")
	return a, now, b
}

func TestAccessTokenIsRenewed(t *testing.T) {
	a, now, b := startWithClock(t, nil)
	first, _ := b.get(a.URL + "/token")
	again, _ := b.get(a.URL + "/token")
	expect(t, "a live token", again, first)
	if n := a.op.Counts().Refresh; n != 0 {
		t.Errorf("%d refreshes of a live token", n)
	}
	for i := range 5 { // a rotated refresh token works for the next time
		now.forward(11 * time.Minute)
		second, status := b.get(a.URL + "/token")
		if status != 200 || second == first || len(second) < 20 {
			t.Errorf("refresh %d: %d %q", i, status, second)
		}
		first = second
	}
	if n := a.op.Counts(); n.Refresh != 5 || n.Replays != 0 {
		t.Errorf("the provider saw %+v", n)
	}
}

func TestFiftyRequestsRefreshOnce(t *testing.T) {
	store := &rp.MemoryStore{}
	a, now, b := startWithClock(t, func(c *rp.Config) { c.Store = store })
	// A second replica over the same store.
	c := a.op.Config(a.URL + "/callback")
	c.Store, c.Now, c.Scopes = store, now.Now, []string{"profile"}
	other, err := rp.New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	a.op.Set(func(s *rptest.Script) { s.Slow = func() { time.Sleep(30 * time.Millisecond) } })
	now.forward(11 * time.Minute)
	secret := b.cookies(a)["rp-app"]
	var wg sync.WaitGroup
	var mu sync.Mutex
	seen := map[string]int{}
	for i := range 50 {
		replica := []*rp.RP{a.rp, other}[i%2]
		wg.Go(func() {
			r := httptest.NewRequest("GET", "/", nil)
			r.AddCookie(&http.Cookie{Name: "rp-app", Value: secret})
			s, err := replica.Session(r)
			if err != nil {
				t.Error(err)
				return
			}
			token, err := s.AccessToken(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			seen[token]++
		})
	}
	wg.Wait()
	if n := a.op.Counts(); len(seen) != 1 || n.Refresh != 1 || n.Replays != 0 {
		t.Errorf("%d tokens, the provider saw %+v", len(seen), n)
	}
}

func TestProviderEndsTheSessionAtRefresh(t *testing.T) { // S5, S36
	a, now, b := startWithClock(t, nil)
	now.forward(11 * time.Minute)
	a.op.Set(func(s *rptest.Script) { s.RefuseGrant = "invalid_grant" })
	body, _ := b.get(a.URL + "/token")
	expect(t, "token", body, rp.ErrNoSession.Error())
	expect(t, "signed in", b.signedIn(a), "nobody")
}

func TestTroubleAtRefreshKeepsTheSession(t *testing.T) {
	a, now, b := startWithClock(t, nil)
	now.forward(11 * time.Minute)
	a.op.Set(func(s *rptest.Script) { s.Down = true })
	if body, status := b.get(a.URL + "/token"); status == 200 || strings.Contains(body, "no session") {
		t.Errorf("got %d %q", status, body)
	}
	a.op.Set(func(s *rptest.Script) { s.Down = false })
	if body, status := b.get(a.URL + "/token"); status != 200 {
		t.Errorf("when it is back: %d %q", status, body)
	}
}

func TestRefreshOfAnotherPersonIsRefused(t *testing.T) {
	for name, lie := range map[string]func(*rptest.Script){
		"ID token of another": func(s *rptest.Script) { s.Token = func(_, c map[string]any) { c["sub"] = "user-2" } },
		"forged ID token":     func(s *rptest.Script) { s.Token = func(h, _ map[string]any) { h["alg"] = "none" } },
		"swapped token": func(s *rptest.Script) {
			s.TokenResponse = func(m map[string]any) { m["access_token"] = "somebody-elses" }
		},
	} {
		a, now, b := startWithClock(t, nil)
		now.forward(11 * time.Minute)
		a.op.Set(lie)
		if body, status := b.get(a.URL + "/token"); status == 200 {
			t.Errorf("%s: token %q", name, body)
		}
	}
}

func TestNoRefreshToken(t *testing.T) {
	now := newClock()
	a := start(t, func(c *rp.Config) { c.Now = now.Now })
	a.op.Set(func(s *rptest.Script) { s.Now, s.NoRefresh = now.Now, true })
	b := a.browser(t)
	b.get(a.URL + "/records/1")
	now.forward(11 * time.Minute)
	body, _ := b.get(a.URL + "/token")
	expect(t, "token", body, rp.ErrNoAccessToken.Error())
	expect(t, "signed in", b.signedIn(a), "user-1")
}

func TestLogoutWinsOverARefreshUnderWay(t *testing.T) {
	a, now, b := startWithClock(t, nil)
	now.forward(11 * time.Minute)
	a.op.Set(func(s *rptest.Script) {
		s.TokenResponse = func(map[string]any) { // rotated, on its way to us
			if code := postLogoutToken(t, a, a.op.LogoutToken(map[string]any{"sid": "sid-1"})); code != 200 {
				t.Errorf("logout: %d", code)
			}
		}
	})
	body, _ := b.get(a.URL + "/token")
	expect(t, "token", body, rp.ErrNoSession.Error())
	expect(t, "signed in", b.signedIn(a), "nobody")
}

func TestBrowserThatLeavesDuringARefreshLosesNothing(t *testing.T) {
	a, now, b := startWithClock(t, nil)
	now.forward(11 * time.Minute)
	r := httptest.NewRequest("GET", "/", nil)
	r.AddCookie(&http.Cookie{Name: "rp-app", Value: b.cookies(a)["rp-app"]})
	s, err := a.rp.Session(r)
	if err != nil {
		t.Fatal(err)
	}
	ctx, leave := context.WithCancel(t.Context())
	a.op.Set(func(s *rptest.Script) { s.TokenResponse = func(map[string]any) { leave() } })
	if _, err := s.AccessToken(ctx); err != nil {
		t.Fatal(err)
	}
	now.forward(11 * time.Minute)
	if body, status := b.get(a.URL + "/token"); status != 200 {
		t.Errorf("the rotated refresh token was lost: %d %q", status, body)
	}
}

func TestUseOfTheSessionDuringARefreshLosesNothing(t *testing.T) {
	a, now, b := startWithClock(t, nil)
	now.forward(11 * time.Minute)
	touched := false
	a.op.Set(func(s *rptest.Script) {
		s.TokenResponse = func(map[string]any) {
			if !touched { // a page in another tab notes its use of the session
				touched = true
				now.forward(2 * time.Minute)
				expect(t, "signed in", b.signedIn(a), "user-1")
			}
		}
	})
	if body, status := b.get(a.URL + "/token"); status != 200 {
		t.Fatalf("got %d %q", status, body)
	}
	now.forward(11 * time.Minute)
	if body, status := b.get(a.URL + "/token"); status != 200 {
		t.Errorf("the rotated refresh token was lost: %d %q", status, body)
	}
	if n := a.op.Counts(); n.Replays != 0 || n.Refresh != 2 {
		t.Errorf("the provider saw %+v", n)
	}
}
