package ephemeral_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/ephemeral"
	"github.com/portti-id/portti/internal/ephemeral/ephemeraltest"
	"github.com/portti-id/portti/internal/fault"
)

// The suite of the promise: every test here runs over both stores.

const (
	racers = 50
	long   = time.Minute // longer than any test
	short  = 60 * time.Millisecond
)

func TestGetReturnsWhatWasPut(t *testing.T) {
	ephemeraltest.Each(t, func(t *testing.T, s ephemeral.Store) {
		for name, value := range map[string][]byte{
			"text":   []byte("flow"),
			"empty":  {},
			"nil":    nil,
			"binary": {0, 255, '\r', '\n', 0, '$', '-', '1'},
			"big":    bytes.Repeat([]byte{0xfe, 0x00}, 1<<20),
		} {
			must(t, s.Put(t.Context(), name, value, long))
			wantValue(t, name, value)(s.Get(t.Context(), name))
			// and the other ways in and out keep the bytes, too
			next := append([]byte("next"), value...)
			must(t, s.Replace(t.Context(), name, value, next, long))
			wantValue(t, name, next)(s.Swap(t.Context(), name, value, long))
			wantValue(t, name, value)(s.Take(t.Context(), name))
			must(t, s.Add(t.Context(), name, value, long))
			wantValue(t, name, value)(s.Get(t.Context(), name))
		}
	})
}

func TestPutOverwrites(t *testing.T) {
	ephemeraltest.Each(t, func(t *testing.T, s ephemeral.Store) {
		must(t, s.Put(t.Context(), "k", []byte("one"), long))
		must(t, s.Put(t.Context(), "k", []byte("two"), long))
		wantValue(t, "k", []byte("two"))(s.Get(t.Context(), "k"))
	})
}

func TestKeysAreApart(t *testing.T) {
	ephemeraltest.Each(t, func(t *testing.T, s ephemeral.Store) {
		must(t, s.Put(t.Context(), "code:a", []byte("1"), long))
		must(t, s.Put(t.Context(), "code:b", []byte("2"), long))
		must(t, s.Delete(t.Context(), "code:a"))
		wantValue(t, "code:b", []byte("2"))(s.Get(t.Context(), "code:b"))
		wantKind(t, fault.NotFound)(s.Get(t.Context(), "code:a"))
	})
}

func TestAbsentKeys(t *testing.T) {
	ephemeraltest.Each(t, func(t *testing.T, s ephemeral.Store) {
		wantKind(t, fault.NotFound)(s.Get(t.Context(), "k"))
		wantKind(t, fault.NotFound)(s.Take(t.Context(), "k"))
		wantKind(t, fault.NotFound)(s.Swap(t.Context(), "k", []byte("v"), long))
		wantFault(t, s.Replace(t.Context(), "k", []byte("v"), []byte("w"), long), fault.NotFound)
		wantFault(t, s.Replace(t.Context(), "k", nil, []byte("w"), long), fault.NotFound)
		must(t, s.Delete(t.Context(), "k"))
		if n, left, err := s.Count(t.Context(), "k"); n != 0 || left != 0 || err != nil {
			t.Errorf("Count of nothing = %d, %v, %v", n, left, err)
		}
		// none of these brought it into being
		wantKind(t, fault.NotFound)(s.Get(t.Context(), "k"))
	})
}

func TestTakeGivesTheValueOnce(t *testing.T) {
	ephemeraltest.Each(t, func(t *testing.T, s ephemeral.Store) {
		must(t, s.Put(t.Context(), "k", []byte("v"), long))
		wantValue(t, "k", []byte("v"))(s.Take(t.Context(), "k"))
		wantKind(t, fault.NotFound)(s.Take(t.Context(), "k"))
		wantKind(t, fault.NotFound)(s.Get(t.Context(), "k"))
	})
}

func TestAddKeepsTheFirst(t *testing.T) {
	ephemeraltest.Each(t, func(t *testing.T, s ephemeral.Store) {
		must(t, s.Add(t.Context(), "k", []byte("first"), long))
		wantFault(t, s.Add(t.Context(), "k", []byte("second"), long), fault.Conflict)
		wantValue(t, "k", []byte("first"))(s.Get(t.Context(), "k"))
	})
}

func TestReplaceComparesTheWholeValue(t *testing.T) {
	ephemeraltest.Each(t, func(t *testing.T, s ephemeral.Store) {
		must(t, s.Put(t.Context(), "k", []byte("step 1\x00a"), long))
		for _, old := range []string{"", "step 1", "step 1\x00", "step 1\x00b", "step 1\x00aa"} {
			wantFault(t, s.Replace(t.Context(), "k", []byte(old), []byte("stolen"), long), fault.Conflict)
		}
		must(t, s.Replace(t.Context(), "k", []byte("step 1\x00a"), []byte("step 2"), long))
		wantFault(t, s.Replace(t.Context(), "k", []byte("step 1\x00a"), []byte("step 1 again"), long), fault.Conflict)
		wantValue(t, "k", []byte("step 2"))(s.Get(t.Context(), "k"))
	})
}

func TestCountersCount(t *testing.T) {
	ephemeraltest.Each(t, func(t *testing.T, s ephemeral.Store) {
		for want := range int64(3) {
			n, left, err := s.Increment(t.Context(), "k", long)
			if n != want+1 || left <= 0 || left > long || err != nil {
				t.Fatalf("Increment = %d, %v, %v; want %d", n, left, err, want+1)
			}
		}
		n, left, err := s.Count(t.Context(), "k")
		if n != 3 || left <= 0 || left > long || err != nil {
			t.Fatalf("Count = %d, %v, %v; want 3", n, left, err)
		}
		must(t, s.Delete(t.Context(), "k"))
		if n, _, err := s.Increment(t.Context(), "k", long); n != 1 || err != nil {
			t.Fatalf("Increment after Delete = %d, %v; want 1", n, err)
		}
	})
}

func TestAValueIsNoCounter(t *testing.T) {
	ephemeraltest.Each(t, func(t *testing.T, s ephemeral.Store) {
		must(t, s.Put(t.Context(), "k", []byte("flow"), long))
		if n, _, err := s.Increment(t.Context(), "k", long); err == nil {
			t.Errorf("Increment of a value = %d, want an error", n)
		}
		wantValue(t, "k", []byte("flow"))(s.Get(t.Context(), "k"))
	})
}

// A caller that computes a time to live from two moments may get one in the
// past. Redis would then keep the value for ever.
func TestNothingLivesForEver(t *testing.T) {
	ephemeraltest.Each(t, func(t *testing.T, s ephemeral.Store) {
		must(t, s.Put(t.Context(), "held", []byte("v"), long))
		for _, ttl := range []time.Duration{0, -time.Nanosecond, -time.Hour} {
			calls := map[string]error{
				"Put":     s.Put(t.Context(), "k", []byte("v"), ttl),
				"Add":     s.Add(t.Context(), "k", []byte("v"), ttl),
				"Replace": s.Replace(t.Context(), "held", []byte("v"), []byte("w"), ttl),
			}
			_, calls["Swap"] = s.Swap(t.Context(), "held", []byte("w"), ttl)
			_, _, calls["Increment"] = s.Increment(t.Context(), "k", ttl)
			for verb, err := range calls {
				if _, isFault := fault.Of(err); err == nil || isFault {
					t.Errorf("%s with ttl %v = %v, want an error that is no fault", verb, ttl, err)
				}
			}
		}
		wantKind(t, fault.NotFound)(s.Get(t.Context(), "k"))
		wantValue(t, "held", []byte("v"))(s.Get(t.Context(), "held"))
	})
}

// Every verb that sets a time to live sets a new one, and an expired value is
// gone for every verb.
func TestValuesExpire(t *testing.T) {
	ephemeraltest.Each(t, func(t *testing.T, s ephemeral.Store) {
		ctx := t.Context()
		must(t, s.Put(ctx, "put", []byte("v"), short))
		must(t, s.Add(ctx, "add", []byte("v"), short))
		must(t, s.Put(ctx, "replace", []byte("v"), long))
		must(t, s.Replace(ctx, "replace", []byte("v"), []byte("w"), short))
		must(t, s.Put(ctx, "swap", []byte("v"), long))
		wantValue(t, "swap", []byte("v"))(s.Swap(ctx, "swap", []byte("w"), short))
		must(t, s.Put(ctx, "lengthened", []byte("v"), short))
		must(t, s.Put(ctx, "lengthened", []byte("v"), long))
		must(t, s.Put(ctx, "tiny", []byte("v"), time.Nanosecond))
		_, _, err := s.Increment(ctx, "counter", short)
		must(t, err)

		time.Sleep(short + 20*time.Millisecond)
		for _, key := range []string{"put", "add", "replace", "swap", "tiny", "counter"} {
			wantKind(t, fault.NotFound)(s.Get(ctx, key))
			wantKind(t, fault.NotFound)(s.Swap(ctx, key, []byte("x"), long))
			wantFault(t, s.Replace(ctx, key, []byte("w"), []byte("x"), long), fault.NotFound)
			wantKind(t, fault.NotFound)(s.Take(ctx, key))
		}
		wantValue(t, "lengthened", []byte("v"))(s.Get(ctx, "lengthened"))
		must(t, s.Add(ctx, "add", []byte("again"), long))
		if n, _, err := s.Increment(ctx, "counter", long); n != 1 || err != nil {
			t.Errorf("Increment after the window = %d, %v; want 1", n, err)
		}
	})
}

// A counter that moved its end with every increment would let an attacker keep
// somebody locked out.
func TestIncrementDoesNotMoveTheEndOfTheWindow(t *testing.T) {
	ephemeraltest.Each(t, func(t *testing.T, s ephemeral.Store) {
		_, first, err := s.Increment(t.Context(), "k", 10*time.Second)
		must(t, err)
		time.Sleep(5 * time.Millisecond)
		_, second, err := s.Increment(t.Context(), "k", time.Hour)
		must(t, err)
		if second >= first {
			t.Errorf("left %v after %v", second, first)
		}
	})
}

// Races: of fifty that come at once exactly one wins.

func TestOneOfFiftyTakes(t *testing.T) {
	ephemeraltest.Each(t, func(t *testing.T, s ephemeral.Store) {
		must(t, s.Put(t.Context(), "k", []byte("v"), long))
		wins := race(t, fault.NotFound, func(int) error {
			_, err := s.Take(t.Context(), "k")
			return err
		})
		if wins != 1 {
			t.Errorf("%d took it", wins)
		}
	})
}

func TestOneOfFiftyAdds(t *testing.T) {
	ephemeraltest.Each(t, func(t *testing.T, s ephemeral.Store) {
		var winner string
		wins := race(t, fault.Conflict, func(i int) error {
			mine := fmt.Sprint(i)
			err := s.Add(t.Context(), "k", []byte(mine), long)
			if err == nil {
				winner = mine
			}
			return err
		})
		if wins != 1 {
			t.Fatalf("%d added it", wins)
		}
		wantValue(t, "k", []byte(winner))(s.Get(t.Context(), "k"))
	})
}

func TestOneOfFiftyReplaces(t *testing.T) {
	ephemeraltest.Each(t, func(t *testing.T, s ephemeral.Store) {
		must(t, s.Put(t.Context(), "k", []byte("old"), long))
		var winner string
		wins := race(t, fault.Conflict, func(i int) error {
			mine := fmt.Sprint(i)
			err := s.Replace(t.Context(), "k", []byte("old"), []byte(mine), long)
			if err == nil {
				winner = mine
			}
			return err
		})
		if wins != 1 {
			t.Fatalf("%d replaced it", wins)
		}
		wantValue(t, "k", []byte(winner))(s.Get(t.Context(), "k"))
	})
}

// Everyone sees what the one before left, so that the first value and each of
// the others is seen once, save the one that stays.
func TestFiftySwapsMakeAChain(t *testing.T) {
	ephemeraltest.Each(t, func(t *testing.T, s ephemeral.Store) {
		must(t, s.Put(t.Context(), "k", []byte("first"), long))
		var mu sync.Mutex
		var seen []string
		race(t, 0, func(i int) error {
			was, err := s.Swap(t.Context(), "k", []byte(fmt.Sprint(i)), long)
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, string(was))
			return err
		})
		stayed, err := s.Get(t.Context(), "k")
		must(t, err)
		seen = append(seen, string(stayed))
		slices.Sort(seen)
		if len(slices.Compact(seen)) != racers+1 || !slices.Contains(seen, "first") {
			t.Errorf("the chain broke: %v", seen)
		}
	})
}

func TestFiftyIncrementsAreFifty(t *testing.T) {
	ephemeraltest.Each(t, func(t *testing.T, s ephemeral.Store) {
		var mu sync.Mutex
		seen := map[int64]bool{}
		race(t, 0, func(int) error {
			n, left, err := s.Increment(t.Context(), "k", long)
			if left <= 0 || left > long {
				t.Errorf("left %v", left)
			}
			mu.Lock()
			defer mu.Unlock()
			seen[n] = true
			return err
		})
		n, _, err := s.Count(t.Context(), "k")
		if n != racers || len(seen) != racers || err != nil {
			t.Errorf("Count = %d, %v after %d different answers; want %d", n, err, len(seen), racers)
		}
	})
}

// Fifty mixed verbs on one key leave it in one piece: a value that somebody
// wrote, never a mixture, never a second owner of one value.
func TestMixedVerbsNeverShareAValue(t *testing.T) {
	ephemeraltest.Each(t, func(t *testing.T, s ephemeral.Store) {
		var mu sync.Mutex
		owners := map[string]int{}
		got := func(value []byte, err error) error {
			if err == nil {
				mu.Lock()
				defer mu.Unlock()
				owners[string(value)]++
			}
			return nil
		}
		race(t, 0, func(i int) error {
			mine := []byte(fmt.Sprint("value ", i))
			switch i % 3 {
			case 0:
				_ = s.Add(t.Context(), "k", mine, long)
				return nil
			case 1:
				return got(s.Take(t.Context(), "k"))
			default:
				return got(s.Swap(t.Context(), "k", mine, long))
			}
		})
		for value, n := range owners {
			if n != 1 || !strings.HasPrefix(value, "value ") {
				t.Errorf("%q was given to %d", value, n)
			}
		}
	})
}

func TestSecretsAreNotInKeys(t *testing.T) {
	secret := rand.Text()
	key := ephemeral.Key("code", secret)
	if !strings.HasPrefix(key, "code:") || strings.Contains(key, secret) {
		t.Errorf("Key = %q", key)
	}
	if key == ephemeral.Key("code", secret+" ") || key == ephemeral.Key("flow", secret) {
		t.Error("two names share a key")
	}
}

// race starts racers callers of f at one moment and returns how many succeed;
// the others must fail with the kind lost (0: none may fail).
func race(t *testing.T, lost fault.Kind, f func(i int) error) int {
	t.Helper()
	start := make(chan struct{})
	errs := make([]error, racers)
	var all sync.WaitGroup
	for i := range racers {
		all.Go(func() {
			<-start
			errs[i] = f(i)
		})
	}
	close(start)
	all.Wait()
	wins := 0
	for _, err := range errs {
		switch {
		case err == nil:
			wins++
		case lost == 0 || !fault.Is(err, lost):
			t.Errorf("a racer failed: %v", err)
		}
	}
	return wins
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantValue(t *testing.T, key string, want []byte) func([]byte, error) {
	return func(got []byte, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("%s holds %d bytes %.40q, want %d bytes %.40q", key, len(got), got, len(want), want)
		}
	}
}

func wantKind(t *testing.T, kind fault.Kind) func([]byte, error) {
	return func(got []byte, err error) {
		t.Helper()
		if len(got) != 0 {
			t.Errorf("got %q together with %v", got, err)
		}
		wantFault(t, err, kind)
	}
}

func wantFault(t *testing.T, err error, kind fault.Kind) {
	t.Helper()
	if !fault.Is(err, kind) {
		t.Errorf("got %v, want a fault of kind %d", err, kind)
	}
}

// BenchmarkVerbs measures each verb on both stores, from all cores at once.
func BenchmarkVerbs(b *testing.B) {
	for name, open := range map[string]func(b *testing.B) ephemeral.Store{
		"memory": func(*testing.B) ephemeral.Store { return ephemeral.NewMemory(time.Now) },
		"redis":  func(b *testing.B) ephemeral.Store { return ephemeraltest.Open(b) },
	} {
		b.Run(name, func(b *testing.B) {
			s := open(b)
			value := bytes.Repeat([]byte("v"), 500) // about a session
			must(b, s.Put(b.Context(), "k", value, long))
			for verb, f := range map[string]func(ctx context.Context) error{
				"get": func(ctx context.Context) error { _, err := s.Get(ctx, "k"); return err },
				"put-take": func(ctx context.Context) error {
					key := rand.Text()
					if err := s.Put(ctx, key, value, long); err != nil {
						return err
					}
					_, err := s.Take(ctx, key)
					return err
				},
				"add":       func(ctx context.Context) error { return s.Add(ctx, rand.Text(), nil, long) },
				"swap":      func(ctx context.Context) error { _, err := s.Swap(ctx, "k", value, long); return err },
				"replace":   func(ctx context.Context) error { return s.Replace(ctx, "k", value, value, long) },
				"increment": func(ctx context.Context) error { _, _, err := s.Increment(ctx, "n", long); return err },
			} {
				b.Run(verb, func(b *testing.B) {
					b.RunParallel(func(pb *testing.PB) {
						for pb.Next() {
							if err := f(b.Context()); err != nil {
								b.Error(err)
								return
							}
						}
					})
				})
			}
		})
	}
}
