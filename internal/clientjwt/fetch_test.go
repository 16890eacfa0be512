package clientjwt_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/clientjwt"
	"github.com/portti-id/portti/internal/clientjwt/clientjwttest"
	"github.com/portti-id/portti/internal/outgoing"
)

// home is a client's server with its keys, and a Fetcher that may reach it.
type home struct {
	*clientjwt.Fetcher
	server *httptest.Server

	mu     sync.Mutex
	now    time.Time
	answer http.HandlerFunc
	hits   int
}

func newHome(t *testing.T) *home {
	t.Helper()
	h := &home{now: time.Now()}
	h.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		h.hits++
		answer := h.answer
		h.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(h.server.Close)
	o := outgoing.Options{AllowNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	h.Fetcher = clientjwt.NewFetcher(o, slog.New(slog.DiscardHandler), func() time.Time {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.now
	})
	return h
}

// serve sets what the server answers, with Cache-Control unless it is "".
func (h *home) serve(body []byte, cache string) {
	h.answers(func(w http.ResponseWriter, _ *http.Request) {
		if cache != "" {
			w.Header().Set("Cache-Control", cache)
		}
		_, _ = w.Write(body)
	})
}

func (h *home) answers(f http.HandlerFunc) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answer = f
}

func (h *home) fail(status int) {
	h.answers(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
}

func (h *home) pass(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = h.now.Add(d)
}

// asked returns how often the server was called since the last look.
func (h *home) asked() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := h.hits
	h.hits = 0
	return n
}

// verify presents an assertion of a key.
func (h *home) verify(t *testing.T, key *clientjwttest.Key) error {
	t.Helper()
	r := rules(t, key)
	r.Keys = h.At(h.server.URL)
	return clientjwt.VerifyAssertion(t.Context(), key.Assertion(client, issuer), r)
}

func TestKeysAreFetchedOnceAndKept(t *testing.T) {
	for cache, kept := range map[string]time.Duration{"": 10 * time.Minute, "max-age=300": 5 * time.Minute, "max-age=1": time.Minute, "no-store": time.Minute, "max-age=86400": time.Hour} {
		h, key := newHome(t), pair(t, "ES256")
		h.serve(key.JWKS(), cache)
		for _, c := range []struct {
			wait time.Duration
			hits int
		}{{0, 1}, {0, 0}, {kept - time.Second, 0}, {time.Second, 1}, {kept - time.Second, 0}} {
			h.pass(c.wait)
			if err := h.verify(t, key); err != nil {
				t.Errorf("%q: %v", cache, err)
			}
			if n := h.asked(); n != c.hits {
				t.Errorf("%q, %s later: %d requests, want %d", cache, c.wait, n, c.hits)
			}
		}
	}
}

// TestNewKeysAreFoundAfterAMinute: a client that signs with a key we do not know
// makes us look (conformance module refresh-token-rp-key-rotation), but not more
// often than once a minute, however many made-up names come.
func TestNewKeysAreFoundAfterAMinute(t *testing.T) {
	h, old, fresh := newHome(t), pair(t, "ES256"), clientjwttest.New(t, "ES256")
	h.serve(old.JWKS(), "max-age=3600")
	if err := h.verify(t, old); err != nil {
		t.Fatal(err)
	}
	h.serve(clientjwttest.JWKS(old, fresh), "max-age=3600")
	h.asked()
	for range 5 {
		if err := h.verify(t, fresh); !errors.Is(err, clientjwt.ErrSignature) {
			t.Errorf("within the minute: %v", err)
		}
	}
	h.pass(59 * time.Second)
	_ = h.verify(t, fresh)
	if n := h.asked(); n != 0 {
		t.Errorf("%d requests within the minute", n)
	}
	h.pass(time.Second)
	if err := h.verify(t, fresh); err != nil {
		t.Errorf("after a minute: %v", err)
	}
	if err := h.verify(t, old); err != nil {
		t.Errorf("the old one: %v", err)
	}
	if n := h.asked(); n != 1 {
		t.Errorf("%d requests", n)
	}
	// A known name with a wrong signature is no reason to look.
	h.pass(2 * time.Minute)
	thief := clientjwttest.New(t, "ES256")
	thief.ID = fresh.ID
	if err := h.verify(t, thief); !errors.Is(err, clientjwt.ErrSignature) || h.asked() != 0 {
		t.Errorf("a thief: %v", err)
	}
	// A retired key is refused once the set without it was seen.
	h.serve(fresh.JWKS(), "")
	h.pass(time.Hour)
	if err := h.verify(t, old); !errors.Is(err, clientjwt.ErrSignature) {
		t.Errorf("a retired key: %v", err)
	}
	// Keys without names: any signature that does not fit makes us look.
	nameless := set(t, jwk(t, old.JWK(), map[string]any{"kid": nil}))
	h.serve(nameless, "")
	h.pass(time.Minute)
	if err := h.verify(t, old); err != nil {
		t.Errorf("keys without names: %v", err)
	}
}

func TestOldKeysServeWhileTheServerIsDown(t *testing.T) {
	h, key := newHome(t), pair(t, "ES256")
	h.serve(key.JWKS(), "")
	if err := h.verify(t, key); err != nil {
		t.Fatal(err)
	}
	for _, down := range []func(){
		func() { h.fail(http.StatusInternalServerError) },
		func() { h.fail(http.StatusNotFound) },
		func() { h.serve([]byte("<html>"), "") },
		func() { h.serve([]byte(`{"keys":[]}`), "") },
		func() { h.serve(append(key.JWKS(), strings.Repeat(" ", 64<<10)...), "") },
	} {
		down()
		h.pass(time.Hour)
		h.asked()
		for range 3 {
			if err := h.verify(t, key); err != nil {
				t.Error(err)
			}
		}
		if n := h.asked(); n != 1 {
			t.Errorf("%d requests in the minute after a failure", n)
		}
	}
	h.pass(19*time.Hour - time.Second)
	if err := h.verify(t, key); err != nil {
		t.Errorf("within the day: %v", err)
	}
	h.pass(time.Minute)
	err := h.verify(t, key)
	var e *clientjwt.Error
	if !errors.As(err, &e) || !e.Temporary {
		t.Errorf("after a day: %v", err)
	}
	plain(t, err)
	h.serve(key.JWKS(), "")
	h.pass(10 * time.Second)
	if err := h.verify(t, key); err != nil {
		t.Errorf("up again: %v", err)
	}
}

// TestOneBadKeyDisablesNoOther, unless it is a private one.
func TestOneBadKeyDisablesNoOther(t *testing.T) {
	h, key := newHome(t), pair(t, "ES256")
	good := jwk(t, key.JWK(), nil)
	h.serve(set(t, map[string]any{"kty": "RSA", "n": "AQ", "e": "AQAB"}, with(good, map[string]any{"use": "tls", "kid": "x"}), good, good), "")
	if err := h.verify(t, key); err != nil {
		t.Error(err)
	}
	h.serve(set(t, good, map[string]any{"kty": "oct", "k": "c2VjcmV0"}), "")
	h.pass(time.Hour)
	if err := h.verify(t, key); err == nil {
		t.Error("keys beside a published secret still serve")
	}
}

func TestAServerThatNeverAnsweredIsNotHammered(t *testing.T) {
	h, key := newHome(t), pair(t, "ES256")
	h.fail(http.StatusServiceUnavailable)
	for _, c := range []struct {
		wait time.Duration
		hits int
	}{{0, 1}, {0, 0}, {9 * time.Second, 0}, {time.Second, 1}} {
		h.pass(c.wait)
		err := h.verify(t, key)
		var status outgoing.StatusError
		var e *clientjwt.Error
		if !errors.As(err, &e) || !e.Temporary || e.Reason != "keys_unavailable" || !errors.As(err, &status) || status != 503 {
			t.Errorf("%v", err)
		}
		if n := h.asked(); n != c.hits {
			t.Errorf("%s later: %d requests, want %d", c.wait, n, c.hits)
		}
	}
}

func TestUnchangedKeysAreNotSentAgain(t *testing.T) {
	h, key := newHome(t), pair(t, "ES256")
	var sent int
	h.answers(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"1"`)
		if r.Header.Get("If-None-Match") == `"1"` {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		sent++
		_, _ = w.Write(key.JWKS())
	})
	for range 4 {
		if err := h.verify(t, key); err != nil {
			t.Error(err)
		}
		h.pass(30 * time.Hour) // older than a stale copy may be: 304 makes it new
	}
	if n := h.asked(); n != 4 || sent != 1 {
		t.Errorf("%d requests, %d with keys", n, sent)
	}
}

func TestManyWaitForOneFetch(t *testing.T) {
	h, key := newHome(t), pair(t, "ES256")
	release := make(chan struct{})
	h.answers(func(w http.ResponseWriter, _ *http.Request) {
		<-release
		_, _ = w.Write(key.JWKS())
	})
	source := h.At(h.server.URL)
	// The first one gives up; the fetch goes on for the others.
	gone, leave := context.WithCancel(t.Context())
	first := make(chan error)
	go func() {
		_, err := source.Keys(gone, nil)
		first <- err
	}()
	var waiting sync.WaitGroup
	for range 50 {
		waiting.Go(func() {
			if k, err := source.Keys(t.Context(), nil); err != nil || !k.Has("ES256") {
				t.Errorf("%v", err)
			}
		})
	}
	leave()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	close(release)
	waiting.Wait()
	if n := h.asked(); n != 1 {
		t.Errorf("%d requests", n)
	}
}

func TestManyAddressesDoNotFillMemory(t *testing.T) {
	h, key := newHome(t), pair(t, "ES256")
	h.serve(key.JWKS(), "max-age=3600")
	fetch := func(i int) {
		t.Helper()
		if _, err := h.At(fmt.Sprint(h.server.URL, "/", i)).Keys(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		h.pass(time.Millisecond)
	}
	for i := range 1001 {
		fetch(i)
		fetch(0) // in use all the time
	}
	h.asked()
	if fetch(0); h.asked() != 0 {
		t.Error("the one in use was forgotten")
	}
	if fetch(1); h.asked() != 1 {
		t.Error("the oldest was not forgotten")
	}
	if fetch(1000); h.asked() != 0 {
		t.Error("the newest was forgotten")
	}
}

// TestAddressesThatAreNotCalled: a jwks_uri comes from whoever registers a client.
func TestAddressesThatAreNotCalled(t *testing.T) {
	h, key := newHome(t), pair(t, "ES256")
	h.serve(key.JWKS(), "")
	u, _ := url.Parse(h.server.URL)
	port := u.Port()
	for what, c := range map[string]struct {
		o         outgoing.Options
		uri       string
		ok        bool
		forbidden bool
	}{
		"loopback":             {outgoing.Options{}, h.server.URL, false, true},
		"localhost":            {outgoing.Options{}, "http://localhost:" + port, false, true},
		"a name of loopback":   {outgoing.Options{}, "http://rp.localhost:" + port, false, true},
		"IPv4 in IPv6":         {outgoing.Options{}, "http://[::ffff:127.0.0.1]:" + port, false, true},
		"link-local":           {outgoing.Options{}, "https://169.254.169.254/latest", false, true},
		"allowed":              {outgoing.Options{AllowHosts: []string{"rp.localhost"}}, "http://rp.localhost:" + port, true, false},
		"another allowed":      {outgoing.Options{AllowHosts: []string{"rp.localhost"}}, "http://b.localhost:" + port, false, true},
		"http elsewhere":       {outgoing.Options{}, "http://rp.example:" + port, false, false},
		"a file":               {outgoing.Options{}, "file:///etc/passwd", false, false},
		"nothing":              {outgoing.Options{}, "", false, false},
		"with a name and word": {outgoing.Options{AllowHosts: []string{"rp.localhost"}}, "http://a:b@rp.localhost:" + port, false, false},
	} {
		h.asked()
		f := clientjwt.NewFetcher(c.o, slog.New(slog.DiscardHandler), time.Now)
		_, err := f.At(c.uri).Keys(t.Context(), nil)
		if c.ok != (err == nil) || !c.ok && (h.asked() != 0 || errors.Is(err, outgoing.ErrForbidden) != c.forbidden) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestAnswersThatAreNotKeys(t *testing.T) {
	h, key := newHome(t), pair(t, "ES256")
	o := outgoing.Options{AllowNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	for what, c := range map[string]struct {
		answer http.HandlerFunc
		want   error
	}{
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/keys" {
				_, _ = w.Write(key.JWKS())
				return
			}
			http.Redirect(w, r, "/keys", http.StatusFound)
		}, outgoing.StatusError(302)},
		"no content": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, outgoing.StatusError(204)},
		"endless": {func(w http.ResponseWriter, r *http.Request) {
			for {
				if _, err := io.WriteString(w, strings.Repeat(" ", 4096)); err != nil {
					return
				}
			}
		}, outgoing.ErrTooLarge},
		"slow": {func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "{")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, context.DeadlineExceeded},
		"silent": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, context.DeadlineExceeded},
	} {
		h.answers(c.answer)
		o.Timeout = time.Minute
		if errors.Is(c.want, context.DeadlineExceeded) {
			o.Timeout = 50 * time.Millisecond
		}
		f := clientjwt.NewFetcher(o, slog.New(slog.DiscardHandler), time.Now)
		k, err := f.At(h.server.URL).Keys(t.Context(), nil)
		if k != nil || !errors.Is(err, c.want) {
			t.Errorf("%s: %v", what, err)
		}
		if n := h.asked(); n > 1 {
			t.Errorf("%s: %d requests", what, n)
		}
	}
}

// TestASourceThatFails: the failure goes up, whichever call it came from.
func TestASourceThatFails(t *testing.T) {
	key := pair(t, "ES256")
	lost := errors.New("lost")
	for what, s := range map[string]source{
		"at once": func(*clientjwt.Keys) (*clientjwt.Keys, error) { return nil, lost },
		"later": func(lacking *clientjwt.Keys) (*clientjwt.Keys, error) {
			if lacking != nil {
				return nil, lost
			}
			return parsed(t, clientjwttest.New(t, "ES256").JWKS()), nil
		},
	} {
		r := rules(t, key)
		r.Keys = s
		if err := clientjwt.VerifyAssertion(t.Context(), key.Assertion(client, issuer), r); !errors.Is(err, lost) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
