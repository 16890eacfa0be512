package crl_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/card/crl"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/store"
	"github.com/portti-id/portti/internal/storetest"
)

func put(t testing.TB, shelf crl.Shelf, der []byte) (*crl.List, error) {
	t.Helper()
	return crl.Put(t.Context(), shelf, bytes.NewReader(der), ca().Cert, crl.Shelved{Source: crl.Imported}, now)
}

func shelved(t testing.TB, shelf crl.Shelf) []crl.Shelved {
	t.Helper()
	all, err := shelf.Shelved(t.Context())
	must(t, err)
	return all
}

func loader(t testing.TB, shelf crl.Shelf) *crl.Loader {
	t.Helper()
	tr := trust(t)
	return &crl.Loader{Shelf: shelf, Lists: &crl.Lists{Trust: tr}, Trust: tr, Now: func() time.Time { return now }, Log: quiet}
}

func load(t testing.TB, l *crl.Loader) bool {
	t.Helper()
	fresh, err := l.Load(t.Context())
	must(t, err)
	return fresh
}

// long is a list of several parts.
func long(n byte) []byte {
	return list(numbered(n), func(r *recipe) {
		for i := range 60_000 {
			serial := make([]byte, 16)
			serial[0], serial[13], serial[14], serial[15] = 0x40, byte(i>>16), byte(i>>8), byte(i)
			r.entries = append(r.entries, entry{serial, now, -1, nil})
		}
	})
}

// A replica, and one that starts later, has what another has put there; PEM too.
func TestShelfIsSharedAndLasts(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		shelf := s.Shelf()
		first := loader(t, shelf)
		if load(t, first) {
			t.Error("an empty shelf brought something")
		}
		_, err := put(t, shelf, pemOf(long(7)))
		must(t, err)
		second := loader(t, shelf)
		for _, l := range []*crl.Loader{first, second} {
			if !load(t, l) || load(t, l) {
				t.Error("a list comes once")
			}
			if state(l.Lists, 0x1122, now) != card.WasRevoked || state(l.Lists, 0x44, now) != card.NotRevoked {
				t.Error("the list does not answer")
			}
		}
		on := shelved(t, shelf)
		if len(on) != 1 || on[0].Count < 2 || on[0].Entries != 60_002 || on[0].Source != crl.Imported || !on[0].NextUpdate.Equal(now.Add(8*time.Hour)) {
			t.Fatalf("%+v", on)
		}
		_, err = put(t, shelf, list(numbered(8)))
		must(t, err)
		if !load(t, first) || first.Lists.All()[0].Number.String() != "8" {
			t.Error("the newer list did not come")
		}
		// The old parts go when nobody can be reading them any more.
		must(t, s.Sweep(t.Context(), time.Now()))
		if _, err := shelf.Part(t.Context(), on[0].Parts, 0); err != nil {
			t.Errorf("swept too early: %v", err)
		}
		must(t, s.Sweep(t.Context(), time.Now().Add(2*time.Hour)))
		if _, err := shelf.Part(t.Context(), on[0].Parts, 0); !fault.Is(err, fault.NotFound) {
			t.Errorf("not swept: %v", err)
		}
		if !load(t, loader(t, shelf)) {
			t.Error("what is on the shelf was swept")
		}
	})
}

// A list that was in the way, and that an operator forgot at this very moment.
func TestPutWhileSomebodyForgets(t *testing.T) {
	if l, err := put(t, forgetful{storetest.Open(t, store.SQLite).Shelf()}, list()); l != nil || err == nil {
		t.Errorf("%+v %v", l, err)
	}
}

// forgetful had a newer list when it was to take this one, and has none any more.
type forgetful struct{ crl.Shelf }

func (forgetful) Shelve(context.Context, crl.Shelved) (bool, error) { return false, nil }

func TestPutRefusesWhatIsNotNewer(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		shelf := s.Shelf()
		der := list()
		_, err := put(t, shelf, der)
		must(t, err)
		before := shelved(t, shelf)
		for name, c := range map[string]struct {
			der  []byte
			want error
		}{
			"older":              {list(numbered(6)), crl.ErrOlder},
			"other content":      {list(), crl.ErrNumberReused},
			"not signed":         {list(numbered(9), func(r *recipe) { r.damage = func(d []byte) []byte { d[len(d)-3] ^= 1; return d } }), crl.ErrSignature},
			"long and not whole": {long(9)[:2<<20], crl.ErrMalformed},
		} {
			if _, err := put(t, shelf, c.der); !errors.Is(err, c.want) {
				t.Errorf("%s: %v, want %v", name, err, c.want)
			}
		}
		if after := shelved(t, shelf); !slices.Equal(before, after) {
			t.Errorf("the shelf changed: %+v", after)
		}
		// The same again is only noted.
		_, err = crl.Put(t.Context(), shelf, bytes.NewReader(der), ca().Cert, crl.Shelved{Source: "http://crl.test/", ETag: `"1"`}, now.Add(time.Minute))
		must(t, err)
		if after := shelved(t, shelf); after[0].Parts != before[0].Parts || after[0].Source != "http://crl.test/" || after[0].ETag != `"1"` || !after[0].Checked.Equal(now.Add(time.Minute)) || !after[0].Fetched.Equal(now) {
			t.Errorf("%+v", after)
		}
	})
}

// Whatever the order they come in, the highest number stays.
func TestFiftyPutAtOnce(t *testing.T) {
	lists := make([][]byte, 50)
	for i := range lists {
		lists[i] = list(numbered(byte(1 + i)))
	}
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		shelf := s.Shelf()
		var wg sync.WaitGroup
		errs := make([]error, len(lists))
		for i, der := range lists {
			wg.Go(func() { _, errs[i] = put(t, shelf, der) })
		}
		wg.Wait()
		for i, err := range errs {
			if err != nil && !errors.Is(err, crl.ErrOlder) {
				t.Errorf("%d: %v", i+1, err)
			}
		}
		if on := shelved(t, shelf); len(on) != 1 || on[0].Number.String() != "50" || errs[49] != nil {
			t.Errorf("%+v, %v", on, errs[49])
		}
		l := loader(t, shelf)
		if !load(t, l) || l.Lists.All()[0].Number.String() != "50" {
			t.Error("what stays cannot be read")
		}
	})
}

func TestFiftyPutTheSame(t *testing.T) {
	der := list()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		shelf := s.Shelf()
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if _, err := put(t, shelf, der); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if l := loader(t, shelf); !load(t, l) || len(shelved(t, shelf)) != 1 {
			t.Error("the list is not there")
		}
	})
}

// The database is not trusted: what somebody wrote into it answers nothing.
func TestShelfIsNoJudge(t *testing.T) {
	der := list()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		shelf := s.Shelf()
		good := loader(t, shelf)
		_, err := put(t, shelf, der)
		must(t, err)
		load(t, good)
		high := 0x100
		for name, forged := range map[string][]byte{
			"unsigned":      bytes.Replace(list(numbered(9)), []byte{2, 2, 0x11, 0x22}, []byte{2, 2, 0x11, 0x23}, 1),
			"an older list": list(numbered(3), func(r *recipe) { r.entries = nil }),
			"a short one":   der[:50],
		} {
			parts := rand.Text()
			must(t, shelf.PutPart(t.Context(), parts, 0, forged))
			on := shelved(t, shelf)[0]
			on.Parts, on.Digest = parts, name
			high++
			on.Number = crl.Number(fmt.Sprintf("%040x", high))
			if ok, err := shelf.Shelve(t.Context(), on); !ok || err != nil {
				t.Fatal(ok, err)
			}
			if load(t, good) || state(good.Lists, 0x1122, now) != card.WasRevoked {
				t.Errorf("%s: it was taken", name)
			}
		}
	})
}
