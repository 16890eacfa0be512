package crl_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/card/crl"
	"github.com/portti-id/portti/internal/ephemeral"
	"github.com/portti-id/portti/internal/outgoing"
	"github.com/portti-id/portti/internal/store"
	"github.com/portti-id/portti/internal/storetest"
)

// clock is a time that tests move.
type clock struct{ at atomic.Pointer[time.Time] }

func newClock() *clock {
	c := &clock{}
	c.at.Store(&now)
	return c
}

func (c *clock) now() time.Time { return *c.at.Load() }

func (c *clock) pass(d time.Duration) {
	then := c.now().Add(d)
	c.at.Store(&then)
}

// replica is a fetcher and what it works for.
type replica struct {
	*crl.Fetcher
	loader *crl.Loader
}

func newReplica(t testing.TB, shelf crl.Shelf, leases ephemeral.Store, clock func() time.Time, tr func() *card.Trust) replica {
	t.Helper()
	lists := &crl.Lists{Trust: tr}
	return replica{
		&crl.Fetcher{Shelf: shelf, Lists: lists, Trust: tr, Leases: leases, Now: clock, Log: quiet},
		&crl.Loader{Shelf: shelf, Lists: lists, Trust: tr, Now: clock, Log: quiet},
	}
}

// one is a replica of its own, with the organisation CA's lists at the addresses.
func one(t testing.TB, addresses ...string) (replica, *clock) {
	t.Helper()
	c := newClock()
	return newReplica(t, storetest.Open(t, store.SQLite).Shelf(), ephemeral.NewMemory(c.now), c.now, trust(t, addresses...)), c
}

func (r replica) organisation() card.Source {
	for _, s := range r.Trust().Sources() {
		if s.CA.Equal(ca().Cert) {
			return s
		}
	}
	panic("the organisation CA is not trusted")
}

func serve(t testing.TB, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL + "/list.crl"
}

func answer(der []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/pkix-crl")
		_, _ = w.Write(der)
	}
}

// Whatever a server does: the list that we have stays and goes on answering.
func TestServersThatMisbehave(t *testing.T) {
	half := func(w http.ResponseWriter) {
		der := list(numbered(9))
		w.Header().Set("Content-Length", strconv.Itoa(len(der)))
		_, _ = w.Write(der[:len(der)/2])
		_ = http.NewResponseController(w).Flush()
	}
	visited := false
	elsewhere := serve(t, func(w http.ResponseWriter, r *http.Request) { visited = true; answer(list(numbered(9)))(w, r) })
	for name, c := range map[string]struct {
		serve http.HandlerFunc
		want  error // nil: any
	}{
		"slow": {func(w http.ResponseWriter, r *http.Request) {
			for _, b := range list(numbered(9)) {
				if _, err := w.Write([]byte{b}); err != nil || r.Context().Err() != nil {
					return
				}
				_ = http.NewResponseController(w).Flush()
				time.Sleep(5 * time.Millisecond) // this is what it is: slow
			}
			<-r.Context().Done()
		}, context.DeadlineExceeded},
		"stalling":  {func(w http.ResponseWriter, r *http.Request) { half(w); <-r.Context().Done() }, crl.ErrStalled},
		"silent":    {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, crl.ErrStalled},
		"truncated": {func(w http.ResponseWriter, _ *http.Request) { half(w) }, io.ErrUnexpectedEOF},
		"short and content with it": {func(w http.ResponseWriter, r *http.Request) {
			answer(list(numbered(9))[:100])(w, r)
		}, crl.ErrMalformed},
		"reset": {func(w http.ResponseWriter, _ *http.Request) {
			half(w)
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_ = conn.(*net.TCPConn).SetLinger(0)
				_ = conn.Close()
			}
		}, nil},
		"huge": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000000000000")
			_, _ = w.Write(list(numbered(9)))
		}, crl.ErrTooLarge},
		"huge by its own word": {answer(append([]byte{0x30, 0x84, 0x7f, 0xff, 0xff, 0xff}, list()...)), crl.ErrTooLarge},
		"a bomb": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			z, _ := gzip.NewWriterLevel(w, gzip.BestSpeed)
			_, _ = io.WriteString(z, "-----BEGIN X509 CRL-----\n")
			_, _ = io.CopyN(z, endless('\n'), 3*crl.MaxSize)
			_ = z.Close()
		}, crl.ErrMalformed},
		"redirecting":        {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere, http.StatusFound) }, outgoing.StatusError(302)},
		"304 without a copy": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) }, outgoing.StatusError(304)},
		"broken":             {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }, outgoing.StatusError(500)},
		"empty":              {answer(nil), crl.ErrMalformed},
		"a page":             {answer([]byte("<!doctype html><title>Maintenance</title>")), crl.ErrMalformed},
		"another CA":         {answer(list(numbered(9), func(r *recipe) { r.ca = pki().Health })), crl.ErrOtherCA},
		"a bad signature":    {answer(list(numbered(9), func(r *recipe) { r.damage = func(d []byte) []byte { d[len(d)-3] ^= 1; return d } })), crl.ErrSignature},
		"older":              {answer(list(numbered(6))), crl.ErrOlder},
		"the same number":    {answer(list()), crl.ErrNumberReused},
		"the future":         {answer(list(numbered(9), func(r *recipe) { r.this = now.Add(time.Hour) })), crl.ErrFuture},
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := one(t, serve(t, c.serve))
			r.Timeout, r.Stall = time.Minute, time.Minute
			if errors.Is(c.want, context.DeadlineExceeded) {
				r.Timeout = 300 * time.Millisecond
			}
			if errors.Is(c.want, crl.ErrStalled) {
				r.Stall = 100 * time.Millisecond
			}
			_, err := put(t, r.Fetcher.Shelf, list())
			must(t, err)
			load(t, r.loader)
			before := shelved(t, r.Fetcher.Shelf)
			_, err = r.Fetch(t.Context(), r.organisation())
			if err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if after := shelved(t, r.Fetcher.Shelf); len(after) != 1 || after[0] != before[0] {
				t.Errorf("the shelf changed: %+v", after)
			}
			if state(r.Fetcher.Lists, 0x1122, now) != card.WasRevoked || state(r.Fetcher.Lists, 0x44, now) != card.NotRevoked {
				t.Error("the list that we have does not answer any more")
			}
		})
	}
	if visited {
		t.Error("a redirect was followed")
	}
}

func TestConnectionsRefusedAreFailures(t *testing.T) {
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	r, _ := one(t, closed.URL)
	if fresh, err := r.Round(t.Context()); fresh || err != nil {
		t.Errorf("%v %v", fresh, err)
	}
	if n := r.Failures()["Portti TEST Organisation Cards"]; n != 1 {
		t.Errorf("%d failures", n)
	}
}

// A server that has nothing newer need not send it again (RFC 9110 §13.1); it is
// only asked so when we do have the list.
func TestConditionalRequests(t *testing.T) {
	der := list()
	var asked []string
	r, clock := one(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Header.Get("If-None-Match")+r.Header.Get("If-Modified-Since"))
		w.Header().Set("ETag", `"7"`)
		w.Header().Set("Last-Modified", "Mon, 23 Nov 2026 00:00:00 GMT")
		if r.Header.Get("If-None-Match") == `"7"` {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		_, _ = w.Write(der)
	}))
	fetch := func() crl.Fetched {
		t.Helper()
		got, err := r.Fetch(t.Context(), r.organisation())
		must(t, err)
		return got[0]
	}
	if got := fetch(); got.List == nil {
		t.Error("nothing came")
	}
	clock.pass(time.Hour)
	if got := fetch(); got.List != nil {
		t.Error("it was sent again")
	}
	on := shelved(t, r.Fetcher.Shelf)[0]
	if !on.Checked.Equal(clock.now()) || !on.Fetched.Equal(now) || on.ETag != `"7"` {
		t.Errorf("%+v", on)
	}
	// A replica that has not read its shelf asks for all of it.
	r.Fetcher.Lists = &crl.Lists{Trust: r.Trust}
	if got := fetch(); got.List == nil {
		t.Error("a replica without the list got 304")
	}
	if want := []string{"", `"7"Mon, 23 Nov 2026 00:00:00 GMT`, ""}; len(asked) != 3 || asked[0] != want[0] || asked[1] != want[1] || asked[2] != want[2] {
		t.Errorf("asked %q", asked)
	}
}

func TestAddressesAreTriedInOrder(t *testing.T) {
	broken := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	compressed := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = z.Write(list())
		_ = z.Close()
	})
	never := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("asked although there is a list") })
	r, _ := one(t, broken, compressed, never)
	got, err := r.Fetch(t.Context(), r.organisation())
	must(t, err)
	if len(got) != 1 || got[0].Address != compressed || state(r.Fetcher.Lists, 0x1122, now) != card.WasRevoked {
		t.Errorf("%+v", got)
	}
}

// A root's lists may come in two, of CAs and of others: what is needed is fetched.
func TestListsOfCAsAreFetchedForRoots(t *testing.T) {
	root := pki().Root
	of := func(n, flag byte) string {
		return serve(t, answer(list(numbered(n), func(r *recipe) { r.ca, r.extensions = root, distribution(flag, 1, 0xff) })))
	}
	users, cas := of(3, 0x81), of(4, 0x82)
	tr := pki().TestTrust(t, func(c *card.TrustConfig) { c.Roots[0].CRL = []string{users, cas} })
	c := newClock()
	r := newReplica(t, storetest.Open(t, store.SQLite).Shelf(), ephemeral.NewMemory(c.now), c.now, func() *card.Trust { return tr })
	if fresh, err := r.Round(t.Context()); !fresh || err != nil {
		t.Fatal(fresh, err)
	}
	if got := r.Fetcher.Lists.Status(root.Cert, ca().Cert.SerialNumber, now); got.State != card.NotRevoked {
		t.Errorf("%+v", got)
	}
}

// Of many replicas one asks; the others have the list from the shelf.
func TestOneReplicaFetches(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, config store.Config) {
		var asked atomic.Int32
		release := make(chan struct{})
		der := list()
		address := serve(t, func(w http.ResponseWriter, r *http.Request) {
			asked.Add(1)
			<-release
			answer(der)(w, r)
		})
		shelf, c, tr := storetest.Connect(t, config).Shelf(), newClock(), trust(t, address)
		leases := ephemeral.NewMemory(c.now)
		replicas := make([]replica, 20)
		for i := range replicas {
			replicas[i] = newReplica(t, shelf, leases, c.now, tr)
		}
		var wg sync.WaitGroup
		var left atomic.Int32
		left.Store(int32(len(replicas)))
		for _, r := range replicas {
			wg.Go(func() {
				if _, err := r.Round(t.Context()); err != nil {
					t.Error(err)
				}
				if left.Add(-1) == 1 { // all but the one that asks are through
					close(release)
				}
			})
		}
		wg.Wait()
		if n := asked.Load(); n != 1 {
			t.Errorf("%d requests", n)
		}
		for _, r := range replicas {
			load(t, r.loader)
			if state(r.Fetcher.Lists, 0x1122, now) != card.WasRevoked {
				t.Error("a replica has no list")
			}
		}
	})
}

// A server that says nothing keeps nobody else's list waiting.
func TestASilentServerDelaysItsOwnListAlone(t *testing.T) {
	other := make(chan struct{})
	var alone atomic.Bool
	silent := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-other:
		case <-r.Context().Done():
			alone.Store(true)
		}
	})
	health := serve(t, func(w http.ResponseWriter, r *http.Request) {
		close(other)
		answer(list(func(r *recipe) { r.ca = pki().Health }))(w, r)
	})
	tr := pki().TestTrust(t, func(c *card.TrustConfig) {
		c.Issuers[0].CRL = []string{silent}
		for i := range c.Issuers {
			if c.Issuers[i].Name == pki().Health.Cert.Subject.CommonName {
				c.Issuers[i].CRL = []string{health}
			}
		}
	})
	c := newClock()
	r := newReplica(t, storetest.Open(t, store.SQLite).Shelf(), ephemeral.NewMemory(c.now), c.now, func() *card.Trust { return tr })
	r.Stall = 2 * time.Second // which nothing waits for
	if fresh, err := r.Round(t.Context()); !fresh || err != nil {
		t.Fatal(fresh, err)
	}
	if alone.Load() {
		t.Error("the other CA waits for the silent server")
	}
	if n := r.Failures()["Portti TEST Organisation Cards"]; n != 1 {
		t.Errorf("%d failures", n)
	}
	if state := r.Fetcher.Lists.Status(pki().Health.Cert, big.NewInt(0x44), now).State; state != card.NotRevoked {
		t.Errorf("the other CA's list: %s", state)
	}
}

// A CA that begins to publish in another scope leaves a list behind that is never
// heard of again. It is asked no more often for that, and about the list it has.
func TestAListOfAnotherScopeIsNotAskedForAgainAndAgain(t *testing.T) {
	var asked []string
	der, tag := list(), `"all"`
	r, c := one(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Header.Get("If-None-Match"))
		w.Header().Set("ETag", tag)
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		_, _ = w.Write(der)
	}))
	round := func(wait time.Duration, want ...string) {
		t.Helper()
		c.pass(wait)
		asked = nil
		_, err := r.Round(t.Context())
		must(t, err)
		if !slices.Equal(asked, want) {
			t.Errorf("asked with %q, want %q", asked, want)
		}
	}
	round(0, "")
	der, tag = list(numbered(8), func(r *recipe) { r.extensions = distribution(0x81, 1, 0xff) }), `"users"`
	round(time.Hour, `"all"`)
	round(15 * time.Second)
	round(15 * time.Second)
	round(time.Hour, `"users"`)
	round(15 * time.Second)
}

// A replica whose clock was ahead has noted that it heard of the list in a week.
// The others ask as before.
func TestAWrongClockStopsNobodyFromAsking(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, config store.Config) {
		asked, der := 0, list()
		address := serve(t, func(w http.ResponseWriter, r *http.Request) { asked++; answer(der)(w, r) })
		c, tr, leases := newClock(), trust(t, address), ephemeral.NewMemory(time.Now)
		ahead := func() time.Time { return c.now().AddDate(0, 0, 7) }
		shelf := storetest.Connect(t, config).Shelf()
		wrong, right := newReplica(t, shelf, leases, ahead, tr), newReplica(t, shelf, leases, c.now, tr)
		round := func(r replica, want int) {
			t.Helper()
			asked = 0
			_, err := r.Round(t.Context())
			must(t, err)
			if asked != want {
				t.Errorf("asked %d times, want %d", asked, want)
			}
		}
		round(wrong, 1)
		round(right, 1)
		if on := shelved(t, shelf)[0]; !on.Checked.Equal(c.now()) {
			t.Errorf("heard of at %s", on.Checked)
		}
		round(right, 0)
	})
}

// It is asked about once an hour, more often when a list is short-lived, and soon
// again after a failure, but not at once.
func TestWhenIsAsked(t *testing.T) {
	var asked int
	works, life := true, 48*time.Hour
	number := byte(7)
	var r replica
	var c *clock
	r, c = one(t, serve(t, func(w http.ResponseWriter, q *http.Request) {
		asked++
		if !works {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		number++
		answer(list(numbered(number), func(r *recipe) { r.this, r.next = c.now(), c.now().Add(life) }))(w, q)
	}))
	round := func(wait time.Duration, want int, when string) {
		t.Helper()
		c.pass(wait)
		asked = 0
		_, err := r.Round(t.Context())
		must(t, err)
		if asked != want {
			t.Errorf("%s: asked %d times, want %d", when, asked, want)
		}
	}
	round(0, 1, "at start")
	round(50*time.Minute, 0, "before an hour")
	life = 20 * time.Minute
	round(10*time.Minute, 1, "after an hour")
	round(4*time.Minute, 0, "a short list, early")
	works = false
	round(time.Minute, 1, "a short list, after a quarter")
	round(20*time.Second, 0, "soon after a failure")
	round(10*time.Second, 1, "half a minute after a failure")
	round(50*time.Second, 0, "after a second failure")
	round(10*time.Second, 1, "a minute after it")
	for range 10 {
		round(15*time.Minute, 1, "a quarter of an hour at the most")
	}
	works = true
	round(15*time.Minute, 1, "and then it works")
	round(time.Minute, 0, "as before")
	if n := r.Failures()["Portti TEST Organisation Cards"]; n != 13 {
		t.Errorf("%d failures", n)
	}
}

func TestListsSurviveARestartWithoutNetwork(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, config store.Config) {
		server := httptest.NewServer(answer(list()))
		defer server.Close()
		c, tr := newClock(), trust(t, server.URL)
		first := newReplica(t, storetest.Connect(t, config).Shelf(), ephemeral.NewMemory(c.now), c.now, tr)
		if fresh, err := first.Round(t.Context()); !fresh || err != nil {
			t.Fatal(fresh, err)
		}
		server.Close()
		second := newReplica(t, storetest.Connect(t, config).Shelf(), ephemeral.NewMemory(c.now), c.now, tr)
		if !load(t, second.loader) || state(second.Fetcher.Lists, 0x44, now) != card.NotRevoked {
			t.Error("the list is gone")
		}
	})
}

func TestFetchTakesPEMAndManyParts(t *testing.T) {
	der := long(7)
	r, _ := one(t, serve(t, answer(pemOf(der))))
	got, err := r.Fetch(t.Context(), r.organisation())
	must(t, err)
	if got[0].List.Size != int64(len(der)) {
		t.Errorf("%+v", got[0].List)
	}
	var all bytes.Buffer
	for i := range shelved(t, r.Fetcher.Shelf)[0].Count {
		part, err := r.Fetcher.Shelf.Part(t.Context(), shelved(t, r.Fetcher.Shelf)[0].Parts, i)
		must(t, err)
		if len(part) > crl.PartSize {
			t.Errorf("a part of %d", len(part))
		}
		all.Write(part)
	}
	if !bytes.Equal(all.Bytes(), pemOf(der)) {
		t.Error("the shelf has another list")
	}
}
