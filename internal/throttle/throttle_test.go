package throttle_test

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/ephemeral"
	"github.com/portti-id/portti/internal/ephemeral/ephemeraltest"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/throttle"
)

var five = throttle.Limit{Name: "test", Max: 5, Window: time.Minute}

func of(subject string) throttle.Use { return throttle.Use{Limit: five, Subject: subject} }

// S44: fifty guesses at once are no better than fifty in a row.
func TestParallelAttemptsDoNotPassTheLimit(t *testing.T) {
	ephemeraltest.Each(t, func(t *testing.T, store ephemeral.Store) {
		th := &throttle.Throttle{Store: store}
		var through atomic.Int64
		var all sync.WaitGroup
		start := make(chan struct{})
		for range 50 {
			all.Go(func() {
				<-start
				err := th.Attempt(t.Context(), of("maija"))
				switch {
				case err == nil:
					through.Add(1)
				case !fault.Is(err, fault.Throttled):
					t.Errorf("refused with %v", err)
				}
			})
		}
		close(start)
		all.Wait()
		if through.Load() != five.Max {
			t.Errorf("%d got through, want %d", through.Load(), five.Max)
		}
	})
}

func TestRightAttemptsCanBeCleared(t *testing.T) {
	ephemeraltest.Each(t, func(t *testing.T, store ephemeral.Store) {
		th := &throttle.Throttle{Store: store}
		for range 3 * five.Max {
			want(t, th.Attempt(t.Context(), of("maija")), "")
			want(t, th.Clear(t.Context(), of("maija")), "")
		}
	})
}

func TestOnlyFailuresCountWithCheck(t *testing.T) {
	ephemeraltest.Each(t, func(t *testing.T, store ephemeral.Store) {
		th := &throttle.Throttle{Store: store}
		for range five.Max {
			for range 3 {
				want(t, th.Check(t.Context(), of("office")), "")
			}
			want(t, th.Fail(t.Context(), of("office")), "")
		}
		want(t, th.Check(t.Context(), of("office")), "throttled")
		want(t, th.Check(t.Context(), of("elsewhere"), of("office")), "throttled")
		want(t, th.Check(t.Context(), of("elsewhere")), "")
		want(t, th.Clear(t.Context(), of("office")), "")
		want(t, th.Check(t.Context(), of("office")), "")
	})
}

// The order of the uses is what keeps one guesser from locking a person out:
// whoever has used up his own limit no longer fills the person's.
func TestAGuesserAtOneAddressDoesNotLockThePersonOut(t *testing.T) {
	ephemeraltest.Each(t, func(t *testing.T, store ephemeral.Store) {
		th := &throttle.Throttle{Store: store}
		from := func(address string) []throttle.Use {
			return []throttle.Use{
				{Limit: throttle.PasswordPerAccountAndAddress, Subject: "maija|" + address},
				{Limit: throttle.PasswordPerAccount, Subject: "maija"},
			}
		}
		guesses := 0
		for range 5 * throttle.PasswordPerAccount.Max {
			if th.Attempt(t.Context(), from("192.0.2.66")...) == nil {
				guesses++
			}
		}
		if guesses != int(throttle.PasswordPerAccountAndAddress.Max) {
			t.Errorf("%d guesses from one address", guesses)
		}
		want(t, th.Attempt(t.Context(), from("192.0.2.1")...), "")
	})
}

// From any number of addresses the guesses on one account are bounded.
func TestManyAddressesShareTheAccountsLimit(t *testing.T) {
	th := &throttle.Throttle{Store: ephemeral.NewMemory(time.Now)}
	guesses := 0
	for i := range 256 {
		address := throttle.AddressKey(netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}))
		for range throttle.PasswordPerAccountAndAddress.Max {
			err := th.Attempt(t.Context(),
				throttle.Use{Limit: throttle.PasswordPerAccountAndAddress, Subject: "maija|" + address},
				throttle.Use{Limit: throttle.PasswordPerAccount, Subject: "maija"})
			if err == nil {
				guesses++
			}
		}
	}
	if guesses != int(throttle.PasswordPerAccount.Max) {
		t.Errorf("%d guesses, want %d", guesses, throttle.PasswordPerAccount.Max)
	}
}

func TestLimitsAndSubjectsAreCountedApart(t *testing.T) {
	ephemeraltest.Each(t, func(t *testing.T, store ephemeral.Store) {
		th := &throttle.Throttle{Store: store}
		other := throttle.Use{Limit: throttle.Limit{Name: "other", Max: 5, Window: time.Minute}, Subject: "maija"}
		for range five.Max + 1 {
			_ = th.Attempt(t.Context(), of("maija"))
		}
		want(t, th.Attempt(t.Context(), of("maija")), "throttled")
		want(t, th.Attempt(t.Context(), of("pekka")), "")
		want(t, th.Attempt(t.Context(), other), "")
	})
}

func TestEveryLimitHasItsOwnCounter(t *testing.T) {
	seen := map[string]bool{}
	for _, l := range []throttle.Limit{
		throttle.PasswordPerAccountAndAddress, throttle.PasswordPerAccount, throttle.PasswordPerAddress,
		throttle.CodePerTransaction, throttle.CodePerAccount, throttle.ClockHints, throttle.CardPerAddress,
		throttle.LinkingPerAccount, throttle.AskPerAccount, throttle.AskPerAddress, throttle.RegistrationPerAddress,
		throttle.RequestsPerAddress, throttle.LargeRequestsPerAddress, throttle.PushesPerAddress, throttle.FetchesPerAddress, throttle.FetchesPerClient,
		throttle.DeviceCodePerBrowser, throttle.DeviceCodePerAddress, throttle.DeviceStartPerAddress, throttle.RefusalPerAddress,
	} {
		if l.Name == "" || seen[l.Name] || l.Max <= 0 || l.Window <= 0 {
			t.Errorf("%+v", l)
		}
		seen[l.Name] = true
	}
}

// The window ends when it was said to end, however often somebody has tried
// meanwhile, and the wait that people are told is never too short.
func TestTheWaitIsTrue(t *testing.T) {
	now := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	th := &throttle.Throttle{Store: ephemeral.NewMemory(func() time.Time { return now })}
	limit := throttle.Use{Limit: throttle.Limit{Name: "test", Max: 1, Window: 15 * time.Minute}, Subject: "maija"}
	want(t, th.Attempt(t.Context(), limit), "")
	now = now.Add(3*time.Minute + 1500*time.Millisecond)
	for range 10 {
		want(t, th.Attempt(t.Context(), limit), "throttled")
	}
	f, _ := fault.Of(th.Attempt(t.Context(), limit))
	if f.RetryAfter != 11*time.Minute+59*time.Second || f.Args["n"] != "12" {
		t.Errorf("wait %v, %s minutes", f.RetryAfter, f.Args["n"])
	}
	checked, _ := fault.Of(th.Check(t.Context(), limit))
	if checked.RetryAfter != f.RetryAfter {
		t.Errorf("Check says %v, Attempt %v", checked.RetryAfter, f.RetryAfter)
	}
	now = now.Add(f.RetryAfter)
	want(t, th.Attempt(t.Context(), limit), "")
}

func TestRefusalRoundsUp(t *testing.T) {
	for left, want := range map[time.Duration]struct {
		after time.Duration
		n     string
	}{
		0:                              {time.Second, "1"},
		time.Nanosecond:                {time.Second, "1"},
		time.Second + 1:                {2 * time.Second, "1"},
		time.Minute:                    {time.Minute, "1"},
		time.Minute + 1:                {61 * time.Second, "2"},
		time.Hour - time.Millisecond:   {time.Hour, "60"},
		-5 * time.Second:               {time.Second, "1"},
		15*time.Minute - time.Second:   {15*time.Minute - time.Second, "15"},
		14*time.Minute + 1*time.Second: {14*time.Minute + time.Second, "15"},
	} {
		f := throttle.Refusal(left)
		if f.Kind != fault.Throttled || f.RetryAfter != want.after || f.Args["n"] != want.n {
			t.Errorf("Refusal(%v): after %v, n %s; want %v, %s", left, f.RetryAfter, f.Args["n"], want.after, want.n)
		}
	}
}

// An attacker who can hold down the store must not gain uncounted guesses.
func TestWithoutAStoreNobodyGuesses(t *testing.T) {
	th := &throttle.Throttle{Store: broken{}}
	for name, err := range map[string]error{
		"Attempt": th.Attempt(t.Context(), of("maija")),
		"Check":   th.Check(t.Context(), of("maija")),
		"Fail":    th.Fail(t.Context(), of("maija")),
		"Clear":   th.Clear(t.Context(), of("maija")),
	} {
		if !fault.Is(err, fault.Unavailable) {
			t.Errorf("%s = %v, want fault.Unavailable", name, err)
		}
	}
}

// broken is a store that does not answer.
type broken struct{ ephemeral.Store }

var errBroken = fault.New(fault.Unavailable, "ephemeral_unavailable", "Out of reach.")

func (broken) Increment(context.Context, string, time.Duration) (int64, time.Duration, error) {
	return 0, 0, errBroken
}
func (broken) Count(context.Context, string) (int64, time.Duration, error) { return 0, 0, errBroken }
func (broken) Delete(context.Context, string) error                        { return errBroken }

// spy tells the keys it is asked for.
type spy struct {
	ephemeral.Store
	keys *[]string
}

func (s spy) Increment(ctx context.Context, key string, window time.Duration) (int64, time.Duration, error) {
	*s.keys = append(*s.keys, key)
	return s.Store.Increment(ctx, key, window)
}

func TestSubjectsAreNotInTheStore(t *testing.T) {
	var keys []string
	th := &throttle.Throttle{Store: spy{ephemeral.NewMemory(time.Now), &keys}}
	want(t, th.Attempt(t.Context(), of("maija")), "")
	if len(keys) != 1 || keys[0] != ephemeral.Key("throttle:test", "maija") {
		t.Errorf("keys %v", keys)
	}
}

func TestAddressKey(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.7":                   "192.0.2.7",
		"::ffff:192.0.2.7":            "192.0.2.7", // one client, however the listener shows it
		"2001:db8:1:2::1":             "2001:db8:1:2::/64",
		"2001:db8:1:2:ffff::9":        "2001:db8:1:2::/64", // the same subscriber
		"2001:db8:1:3::1":             "2001:db8:1:3::/64",
		"fe80::1%eth0":                "fe80::/64",
		"fe80::1%made-up-by-a-client": "fe80::/64",
	} {
		if got := throttle.AddressKey(netip.MustParseAddr(address)); got != want {
			t.Errorf("AddressKey(%s) = %s, want %s", address, got, want)
		}
	}
	if got := throttle.AddressKey(netip.Addr{}); got != "unknown" {
		t.Errorf("AddressKey of no address = %q", got)
	}
}

func want(t *testing.T, err error, code string) {
	t.Helper()
	if fault.Code(err) != code || (code == "") != (err == nil) {
		t.Errorf("got %v, want %q", err, code)
	}
}
