package openid_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/clientjwt/clientjwttest"
	"github.com/portti-id/portti/internal/ephemeral"
	"github.com/portti-id/portti/internal/ephemeral/ephemeraltest"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/store"
	"github.com/portti-id/portti/internal/storetest"
	"github.com/portti-id/portti/internal/throttle"
)

// strangers is a store in which limits have been used up but for what left says,
// by the name of the limit, and that notes what is kept.
type strangers struct {
	ephemeral.Store
	left map[throttle.Limit]int64
	away atomic.Bool // counters do not answer

	mu     sync.Mutex
	kept   map[string]int // by the kind of the key
	counts map[string]int // increments by limit
	bytes  int            // of the last value
}

func (s *strangers) Increment(ctx context.Context, key string, window time.Duration) (int64, time.Duration, error) {
	if s.away.Load() {
		return 0, 0, fault.New(fault.Unavailable, "ephemeral_unavailable", "away")
	}
	n, end, err := s.Store.Increment(ctx, key, window)
	s.mu.Lock()
	defer s.mu.Unlock()
	for limit, left := range s.left {
		if strings.HasPrefix(key, "throttle:"+limit.Name+":") {
			n += limit.Max - left
		}
	}
	if s.counts == nil {
		s.counts = map[string]int{}
	}
	s.counts[strings.Split(key, ":")[1]]++
	return n, end, err
}

func (s *strangers) Put(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	kind, _, _ := strings.Cut(key, ":")
	s.mu.Lock()
	if s.kept == nil {
		s.kept = map[string]int{}
	}
	s.kept[kind]++
	s.bytes = len(value)
	s.mu.Unlock()
	return s.Store.Put(ctx, key, value, ttl)
}

// eachStranger runs f on both ephemeral stores. Callers say in a header where they are.
func eachStranger(t *testing.T, left map[throttle.Limit]int64, f func(t *testing.T, k *kit, s *strangers)) {
	ephemeraltest.Each(t, func(t *testing.T, backend ephemeral.Store) {
		s := &strangers{Store: backend, left: left}
		f(t, newKitOn(t, storetest.Open(t, store.SQLite), s, located), s)
	})
}

func located(_ *openid.Config, d *openid.Deps) {
	d.ClientAddr = func(r *http.Request) netip.Addr {
		a, _ := netip.ParseAddr(r.Header.Get("Test-Address"))
		return a
	}
}

// from asks for a sign-in from an address, with cookies or without.
func (k *kit) from(address string, q url.Values, cookies ...*http.Cookie) *httptest.ResponseRecorder {
	r := newGet(openid.AuthorizePath + "?" + q.Encode())
	r.Header.Set("Test-Address", address)
	for _, c := range cookies {
		r.AddCookie(c)
	}
	w := newRecorder()
	k.p.Handler().ServeHTTP(w, r)
	return w
}

// begun and tooMany are the two answers.
func begun(w *httptest.ResponseRecorder) bool {
	return w.Code == http.StatusSeeOther && strings.HasPrefix(w.Header().Get("Location"), "/signin/")
}

func tooMany(w *httptest.ResponseRecorder) bool {
	return w.Code == http.StatusTooManyRequests && w.Header().Get("Location") == "" && w.Header().Get("Retry-After") != "" &&
		w.Header().Get("Cache-Control") == "no-store" && strings.Contains(w.Body.String(), "temporarily_unavailable")
}

// Of fifty at once from one address as many wait as may, and no more are kept; all
// others, and whoever is signed in, notice nothing.
func TestRequestsThatStrangersLeave(t *testing.T) {
	eachStranger(t, map[throttle.Limit]int64{throttle.RequestsPerAddress: 10}, func(t *testing.T, k *kit, s *strangers) {
		k.client("rp")
		secret, _, err := k.sessions.Start(t.Context(), anna)
		if err != nil {
			t.Fatal(err)
		}
		s.kept = nil
		var through, refused atomic.Int64
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				switch w := k.from("198.51.100.7", request()); {
				case begun(w):
					through.Add(1)
				case tooMany(w):
					refused.Add(1)
				default:
					t.Errorf("%d %s", w.Code, w.Body)
				}
			})
		}
		all.Wait()
		if through.Load() != 10 || refused.Load() != 40 || s.kept["request"] != 10 {
			t.Errorf("%d wait, %d refused, %v kept", through.Load(), refused.Load(), s.kept)
		}
		if p := k.problems.Load(); p == nil || p.Code != "temporarily_unavailable" || !grammar(p.Description) || p.RetryAfter <= 0 || p.RetryAfter > throttle.RequestsPerAddress.Window || p.Client.ID != "rp" {
			t.Errorf("%+v", p)
		}
		if w := k.from("198.51.100.8", request()); !begun(w) {
			t.Errorf("from elsewhere: %d %s", w.Code, w.Body)
		}
		counted := s.counts["request-address"]
		for what, w := range map[string]*httptest.ResponseRecorder{
			"code=":                k.from("198.51.100.7", request(), &http.Cookie{Name: "sid", Value: secret}),
			"error=login_required": k.from("198.51.100.7", request("prompt", "none")),
			"error=invalid_scope":  k.from("198.51.100.7", request("scope", "x")),
		} {
			if to := w.Header().Get("Location"); w.Code != http.StatusSeeOther || !strings.HasPrefix(to, callback) || !strings.Contains(to, what) {
				t.Errorf("%s: %d %s", what, w.Code, to)
			}
		}
		if s.counts["request-address"] != counted {
			t.Error("what is answered at once is counted")
		}
		// A page of ours that needs a sign-in is no way round.
		r := newGet("/device")
		r.Header.Set("Test-Address", "198.51.100.7")
		if err := k.p.SignInFor(newRecorder(), r, openid.Inside{Return: "/device"}); codeOf(err) != "too_many_requests" {
			t.Errorf("a page of ours: %v", err)
		}
	})
}

// Uncounted nobody leaves anything (ADR 0003): the client is told.
func TestNothingIsKeptUncounted(t *testing.T) {
	eachStranger(t, nil, func(t *testing.T, k *kit, s *strangers) {
		k.client("rp")
		k.client("public", public)
		s.away.Store(true)
		if to := k.from("198.51.100.7", request()).Header().Get("Location"); !strings.Contains(to, "error=temporarily_unavailable") || len(s.kept) > 0 {
			t.Errorf("%s, kept %v", to, s.kept)
		}
		if r := k.push("", request("client_id", "public")); r.status != http.StatusServiceUnavailable || r.text("error") != "temporarily_unavailable" || len(s.kept) > 0 {
			t.Errorf("%d %s, kept %v", r.status, r.raw, s.kept)
		}
	})
}

// A shift of a hospital comes to work behind one address, with states and nonces as
// long as the certification suite's.
func TestAnAgencyBehindOneAddress(t *testing.T) {
	k := newKit(t, located)
	k.client("rp")
	k.client("public", public)
	q := request("state", strings.Repeat("s", 1000), "nonce", strings.Repeat("n", 384))
	for i := range 2000 {
		if w := k.from("198.51.100.7", q); !begun(w) {
			t.Fatalf("person %d: %d %s", i, w.Code, w.Body)
		}
	}
	for i := range 300 {
		if r := k.push("", request("client_id", "public")); r.status != http.StatusCreated {
			t.Fatalf("push %d: %d %s", i, r.status, r.raw)
		}
	}
	// Nobody is stopped here who was let through at the card's door.
	if most := throttle.CardPerAddress; throttle.RequestsPerAddress.Max < most.Max*int64(throttle.RequestsPerAddress.Window/most.Window) {
		t.Error("fewer may begin to sign in than may show a card")
	}
}

// What is large is counted apart, first, so that it does not use up what others need.
func TestLargeRequestsThatStrangersLeave(t *testing.T) {
	eachStranger(t, map[throttle.Limit]int64{throttle.LargeRequestsPerAddress: 1, throttle.RequestsPerAddress: 3}, func(t *testing.T, k *kit, s *strangers) {
		k.client("rp")
		large := request("state", strings.Repeat("s", 6000))
		if w := k.from("198.51.100.7", large); !begun(w) {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		for range 5 {
			if w := k.from("198.51.100.7", large); !tooMany(w) {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		}
		for i := range 3 {
			if w := k.from("198.51.100.7", request()); begun(w) != (i < 2) {
				t.Errorf("small one %d: %d %s", i, w.Code, w.Body)
			}
		}
	})
}

// What is kept is not much more than what was sent, and nothing that says nothing.
func TestWhatIsKeptIsSmall(t *testing.T) {
	s := &strangers{Store: ephemeral.NewMemory(time.Now)}
	k := newKitOn(t, storetest.Open(t, store.SQLite), s, located)
	k.client("rp")
	k.client("public", public)
	if !begun(k.from("198.51.100.7", request())) {
		t.Fatal("no sign-in")
	}
	plain := s.bytes
	noise := strings.Repeat("x", 500)
	if w := k.from("198.51.100.7", request("acr_values", noise+"1 "+noise+"2", "ui_locales", noise, "login_hint", noise, "unknown", noise, "display", noise)); !begun(w) || s.bytes > plain+20 { // times are up to nine digits longer or shorter
		t.Errorf("%d %s: %d bytes, %d without the noise", w.Code, w.Body, s.bytes, plain)
	}
	if w := k.from("198.51.100.7", request("state", strings.Repeat("<", 3000))); !begun(w) || s.bytes > plain+3000 {
		t.Errorf("%d %s: %d bytes for a state of 3000", w.Code, w.Body, s.bytes)
	}
	// Pushed, more would fit into the form than the authorization endpoint takes.
	for _, client := range []string{"rp", "public"} {
		with := client
		if client == "public" {
			with = ""
		}
		before := s.kept["par"]
		if r := k.push(with, request("client_id", client, "state", strings.Repeat("s", 40<<10))); r.status != http.StatusBadRequest || r.text("error") != "invalid_request" || s.kept["par"] != before {
			t.Errorf("%s: %d %s", client, r.status, r.raw)
		}
		if r := k.push(with, request("client_id", client, "state", strings.Repeat("s", 10<<10))); r.status != http.StatusCreated || s.kept["par"] != before+1 {
			t.Errorf("%s: %d %s", client, r.status, r.raw)
		}
	}
}

// Whoever proves nothing is counted, and whoever let himself in; others are not.
func TestPushesOfStrangers(t *testing.T) {
	eachStranger(t, map[throttle.Limit]int64{throttle.PushesPerAddress: 10}, func(t *testing.T, k *kit, s *strangers) {
		k.client("rp")
		k.client("public", public)
		var through atomic.Int64
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				switch r := k.push("", request("client_id", "public")); {
				case r.status == http.StatusCreated:
					through.Add(1)
				case r.status != http.StatusTooManyRequests || r.text("error") != "temporarily_unavailable" || !grammar(r.text("error_description")) || r.header.Get("Retry-After") == "" ||
					r.header.Get("Cache-Control") != "no-store" || r.header.Get("WWW-Authenticate") != "":
					t.Errorf("%d %v %s", r.status, r.header, r.raw)
				}
			})
		}
		all.Wait()
		if through.Load() != 10 || s.kept["par"] != 10 {
			t.Errorf("%d pushed, %v kept", through.Load(), s.kept)
		}
		counted := s.counts["push-address"]
		if r := k.push("rp", request()); r.status != http.StatusCreated || s.counts["push-address"] != counted {
			t.Errorf("a client that proves itself: %d %s", r.status, r.raw)
		}
	})
	k := newKit(t, open, func(_ *openid.Config, d *openid.Deps) {
		d.Throttle = &throttle.Throttle{Store: &strangers{Store: d.Ephemeral, left: map[throttle.Limit]int64{throttle.PushesPerAddress: 1}}}
	})
	self := k.register("", ownCallback)
	k.secrets[self.text("client_id")] = self.text("client_secret")
	for _, want := range []int{http.StatusCreated, http.StatusTooManyRequests} {
		if r := k.push(self.text("client_id"), request("client_id", self.text("client_id"), "scope", "openid")); r.status != want {
			t.Errorf("self-registered: %d %s, want %d", r.status, r.raw, want)
		}
	}
}

// objects is a client's server with request objects, which counts its calls.
func (k *kit) objects(t *testing.T, clients ...string) (uri string, calls *atomic.Int64) {
	calls = new(atomic.Int64)
	key := clientjwttest.New(t, "ES256")
	object := map[string]string{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		if o := object[strings.Trim(r.URL.Path, "/")]; o != "" {
			_, _ = io.WriteString(w, o)
			return
		}
		http.NotFound(w, r)
	}))
	t.Cleanup(server.Close)
	for _, id := range clients {
		object[id] = key.Sign(nil, k.object("iss", id, "client_id", id, "exp", k.now().Add(50*time.Minute).Unix()))
		k.client(id, signing(key), func(c *openid.Client) { c.RequestURIs = []string{server.URL + "/" + id, server.URL + "/gone"} })
	}
	return server.URL, calls
}

// stopped is a clock that stands still until it is moved.
type stopped struct{ at atomic.Int64 }

func (s *stopped) now() time.Time { return time.Unix(0, s.at.Load()) }

func stop(_ *openid.Config, d *openid.Deps) *stopped {
	s := &stopped{}
	s.at.Store(d.Now().UnixNano())
	d.Now = s.now
	return s
}

// However many ask, the client's server hears once in a second, failure or not.
func TestOneFetchServesAll(t *testing.T) {
	var clock *stopped
	k := newKit(t, located, func(c *openid.Config, d *openid.Deps) { clock = stop(c, d) })
	uri, calls := k.objects(t, "rp")
	for round, path := range []string{"/rp", "/rp", "/gone"} {
		var all sync.WaitGroup
		for i := range 50 {
			all.Go(func() {
				w := k.from(fmt.Sprintf("198.51.100.%d", i), url.Values{"client_id": {"rp"}, "redirect_uri": {callback}, "request_uri": {uri + path}, "response_type": {"code"}, "scope": {"openid"}})
				if path == "/rp" && !begun(w) || path == "/gone" && !strings.Contains(w.Header().Get("Location"), "error=invalid_request_uri") {
					t.Errorf("%s: %d %s %s", path, w.Code, w.Header().Get("Location"), w.Body)
				}
			})
		}
		all.Wait()
		if n := calls.Load(); n != int64(round+1) {
			t.Errorf("%s: %d calls", path, n)
		}
		clock.at.Add(int64(time.Second))
	}
}

// Over all replicas a client's server is called as often as the limit says, and an
// address that asks too often uses up no more than its own.
func TestFetchesAreLimited(t *testing.T) {
	left := map[throttle.Limit]int64{throttle.FetchesPerAddress: 3, throttle.FetchesPerClient: 4}
	ephemeraltest.Each(t, func(t *testing.T, backend ephemeral.Store) {
		s := &strangers{Store: backend, left: left}
		db := storetest.Open(t, store.SQLite)
		var clock *stopped
		k := newKitOn(t, db, s, located, func(c *openid.Config, d *openid.Deps) { clock = stop(c, d) })
		replica := &kit{p: k.replica(t, s, clock)}
		uri, calls := k.objects(t, "rp", "other")
		ask := func(k *kit, from, client string) *httptest.ResponseRecorder {
			w := k.from(from, url.Values{"client_id": {client}, "redirect_uri": {callback}, "request_uri": {uri + "/" + client}, "response_type": {"code"}, "scope": {"openid"}})
			clock.at.Add(int64(time.Second))
			return w
		}
		for i := range 6 {
			if w := ask(k, "198.51.100.7", "rp"); begun(w) != (i < 3) || tooMany(w) != (i >= 3) {
				t.Errorf("request %d from one address: %d %s", i, w.Code, w.Body)
			}
		}
		if calls.Load() != 3 {
			t.Errorf("%d calls", calls.Load())
		}
		if w := ask(replica, "198.51.100.8", "rp"); !begun(w) {
			t.Errorf("from elsewhere: %d %s", w.Code, w.Body)
		}
		for _, k := range []*kit{k, replica} {
			if w := ask(k, "198.51.100.9", "rp"); !tooMany(w) || calls.Load() != 4 {
				t.Errorf("past the client's limit: %d %s, %d calls", w.Code, w.Body, calls.Load())
			}
		}
		if w := ask(replica, "198.51.100.10", "other"); !begun(w) {
			t.Errorf("another client: %d %s", w.Code, w.Body)
		}
	})
}

// replica is a second provider over the same stores, with plain error pages.
func (k *kit) replica(t *testing.T, e ephemeral.Store, clock *stopped) *openid.Provider {
	config, deps := k.p.Config, k.p.Deps
	deps.Ephemeral, deps.Now, deps.ErrorPage = e, clock.now, nil
	p, err := openid.New(config, deps)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
