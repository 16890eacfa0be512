package session

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/ephemeral"
	"github.com/portti-id/portti/internal/ephemeral/ephemeraltest"
	"github.com/portti-id/portti/internal/fault"
)

// clock is a time that a test moves.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time      { c.mu.Lock(); defer c.mu.Unlock(); return c.t }
func (c *clock) add(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.t = c.t.Add(d) }

func sessions(t *testing.T) (*Sessions, *clock) {
	c := &clock{t: time.Now()}
	store := ephemeral.NewMemory(c.now)
	t.Cleanup(func() { _ = store.Close() })
	return &Sessions{Store: store, Now: c.now}, c
}

// used finds a session and uses it.
func used(t *testing.T, s *Sessions, secret string, l Limits) (Session, error) {
	n, err := s.Find(t.Context(), secret)
	if err != nil {
		return Session{}, err
	}
	return s.Use(t.Context(), n, l)
}

func TestSecretOpensItsSessionAndNothingElseDoes(t *testing.T) {
	s, _ := sessions(t)
	secret, started, err := s.Start(t.Context(), Session{User: "u", Level: Full, Method: Card, Epoch: 7})
	if err != nil {
		t.Fatal(err)
	}
	if len(secret) != 43 || started.ID == "" || secret == started.ID {
		t.Errorf("secret %q, id %q", secret, started.ID)
	}
	got, err := s.Find(t.Context(), secret)
	if err != nil || got.ID != started.ID || got.Epoch != 7 {
		t.Fatalf("got %+v, %v", got, err)
	}
	for _, other := range []string{"", "x", started.ID, secret + "x", "session:" + secret} {
		if _, err := s.Find(t.Context(), other); fault.Code(err) != "session_expired" {
			t.Errorf("%q opened something: %v", other, err)
		}
	}
}

// S72: idle 60 minutes, or what the organisation sets; absolute 12 hours. S19: enrol 30 minutes, used or not.
func TestLimits(t *testing.T) {
	for _, c := range []struct {
		name  string
		start Session
		step  time.Duration // a use every step
		lives int           // so many steps
	}{
		{"unused", Session{Level: Full}, FullIdle, 0},
		{"used often", Session{Level: Full}, 50 * time.Minute, 14}, // 12 h / 50 min
		{"shared workstation, unused", Session{Level: Full, Idle: 900}, SharedIdle, 0},
		{"shared workstation, used", Session{Level: Full, Idle: 900}, 14 * time.Minute, 51},
		{"enrol is not prolonged by use", Session{Level: Enrol}, 10 * time.Minute, 2},
	} {
		s, clock := sessions(t)
		secret, _, err := s.Start(t.Context(), c.start)
		if err != nil {
			t.Fatal(err)
		}
		lived := 0
		for range c.lives + 3 {
			clock.add(c.step)
			if _, err := used(t, s, secret, Limits{}); err != nil {
				break
			}
			lived++
		}
		if lived != c.lives {
			t.Errorf("%s: lived %d steps, want %d", c.name, lived, c.lives)
		}
	}
}

func TestEndedSessionStaysEnded(t *testing.T) {
	s, clock := sessions(t)
	secret, started, err := s.Start(t.Context(), Session{Level: Full})
	if err != nil {
		t.Fatal(err)
	}
	clock.add(2 * time.Minute) // the next use would be noted
	if err := s.End(t.Context(), started.ID); err != nil {
		t.Fatal(err)
	}
	if err := s.End(t.Context(), started.ID); err != nil {
		t.Errorf("ending twice: %v", err)
	}
	if _, err := s.Find(t.Context(), secret); fault.Code(err) != "session_expired" {
		t.Errorf("still there: %v", err)
	}
	if _, err := s.ByID(t.Context(), started.ID); fault.Code(err) != "session_expired" {
		t.Errorf("still there by sid: %v", err)
	}
}

// A use that is being noted while the session ends must not bring it back, and
// a parallel use must not lose the waiting request (S20).
func TestParallelUse(t *testing.T) {
	ephemeraltest.Each(t, func(t *testing.T, store ephemeral.Store) {
		c := &clock{t: time.Now()}
		s := &Sessions{Store: store, Now: c.now}
		for range 20 {
			secret, started, err := s.Start(t.Context(), Session{Level: Enrol})
			if err != nil {
				t.Fatal(err)
			}
			c.add(2 * time.Minute)
			var all sync.WaitGroup
			for range 8 {
				all.Go(func() { _, _ = used(t, s, secret, Limits{}) })
			}
			all.Go(func() {
				if err := s.Wait(t.Context(), started.ID, "tx", c.now().Add(time.Hour)); err != nil {
					t.Errorf("wait: %v", err)
				}
			})
			all.Wait()
			if got, err := s.ByID(t.Context(), started.ID); err != nil || got.Waiting != "tx" {
				t.Fatalf("waiting %q, %v", got.Waiting, err)
			}
			all.Go(func() { _ = s.End(t.Context(), started.ID) })
			for range 8 {
				c.add(2 * time.Minute)
				all.Go(func() { _, _ = used(t, s, secret, Limits{}) })
			}
			all.Wait()
			if _, err := used(t, s, secret, Limits{}); err == nil {
				t.Fatal("a use brought an ended session back")
			}
		}
	})
}

func TestRenewKeepsTheNameAndChangesTheSecret(t *testing.T) {
	s, _ := sessions(t)
	old, former, err := s.Start(t.Context(), Session{User: "u", Level: Enrol})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Renew(t.Context(), former, Session{User: "other", Level: Full}); err == nil {
		t.Error("another user took the session over")
	}
	secret, renewed, err := s.Renew(t.Context(), former, Session{User: "u", Level: Full})
	if err != nil || renewed.ID != former.ID || secret == old {
		t.Fatalf("%+v, %v", renewed, err)
	}
	if _, err := s.Find(t.Context(), old); fault.Code(err) != "session_expired" {
		t.Errorf("the old cookie still works: %v", err)
	}
	if got, err := s.Find(t.Context(), secret); err != nil || got.Level != Full {
		t.Errorf("%+v, %v", got, err)
	}
}

// S72: limits that have become tighter hold for sessions that run; wider ones do not.
func TestRunningSessionsTakeTighterLimits(t *testing.T) {
	usual := Limits{Idle: FullIdle, Absolute: FullAbsolute}
	for _, c := range []struct {
		name  string
		start Session
		age   time.Duration // used all the while, then
		pause time.Duration // not used
		now   Limits
		ends  bool
		idle  time.Duration // left unused, it then lasts
	}{
		{"as before", Session{Level: Full}, time.Hour, 50 * time.Minute, usual, false, FullIdle},
		{"idle limit, in time", Session{Level: Full}, time.Hour, 14 * time.Minute, Limits{SharedIdle, FullAbsolute}, false, SharedIdle},
		{"idle limit, too late", Session{Level: Full}, time.Hour, 15 * time.Minute, Limits{SharedIdle, FullAbsolute}, true, 0},
		{"absolute limit, in time", Session{Level: Full}, time.Hour, 30 * time.Minute, Limits{FullIdle, 2 * time.Hour}, false, 30 * time.Minute},
		{"absolute limit, too late", Session{Level: Full}, 2 * time.Hour, time.Second, Limits{FullIdle, 2 * time.Hour}, true, 0},
		{"wider", Session{Level: Full, Idle: 900}, time.Hour, 15*time.Minute - time.Second, usual, false, SharedIdle},
		{"wider, too late", Session{Level: Full, Idle: 900}, time.Hour, 15 * time.Minute, usual, true, 0},
		{"enrol, idle limit", Session{Level: Enrol}, 5 * time.Minute, 15 * time.Minute, Limits{SharedIdle, EnrolAbsolute}, true, 0},
		{"enrol, none", Session{Level: Enrol}, 5 * time.Minute, 15 * time.Minute, Limits{0, EnrolAbsolute}, false, 10 * time.Minute},
	} {
		s, clock := sessions(t)
		secret, started, err := s.Start(t.Context(), c.start)
		if err != nil {
			t.Fatal(err)
		}
		for left := c.age; left > 0; left -= min(left, 5*time.Minute) {
			clock.add(min(left, 5*time.Minute))
			if _, err := used(t, s, secret, Limits{}); err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
		}
		clock.add(c.pause)
		n, err := used(t, s, secret, c.now)
		if c.ends {
			if fault.Code(err) != "session_expired" {
				t.Errorf("%s: %v", c.name, err)
			}
			if _, err := s.ByID(t.Context(), started.ID); fault.Code(err) != "session_expired" {
				t.Errorf("%s: it is there still: %v", c.name, err)
			}
			continue
		}
		if err != nil || n.ID != started.ID {
			t.Errorf("%s: %+v, %v", c.name, n, err)
			continue
		}
		// What it took over stays, whatever the limits become.
		clock.add(c.idle - time.Second)
		if _, err := s.Find(t.Context(), secret); err != nil {
			t.Errorf("%s: it ended too early", c.name)
		}
		clock.add(time.Second)
		if _, err := s.Find(t.Context(), secret); fault.Code(err) != "session_expired" {
			t.Errorf("%s: it goes on for longer than %s: %v", c.name, c.idle, err)
		}
	}
}

// Requests that run side by side after a long pause are all too late: none of them
// may count as the use that keeps the session.
func TestNoParallelUseSavesASessionThatIsOver(t *testing.T) {
	ephemeraltest.Each(t, func(t *testing.T, store ephemeral.Store) {
		c := &clock{t: time.Now()}
		s := &Sessions{Store: store, Now: c.now}
		secret, _, err := s.Start(t.Context(), Session{User: "u", Level: Full})
		if err != nil {
			t.Fatal(err)
		}
		c.add(SharedIdle)
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				if _, err := used(t, s, secret, Limits{SharedIdle, FullAbsolute}); fault.Code(err) != "session_expired" {
					t.Errorf("one got in: %v", err)
				}
			})
		}
		all.Wait()
	})
}

// Within a minute, and under limits that have not changed, a use costs nothing but the
// look; limits that are taken over cost one write, once.
func TestWhatAUseCosts(t *testing.T) {
	s, clock := sessions(t)
	writes := &writing{Store: s.Store}
	s.Store = writes
	secret, _, err := s.Start(t.Context(), Session{Level: Full})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		after time.Duration
		now   Limits
		want  int
	}{
		{time.Second, Limits{FullIdle, FullAbsolute}, 0},
		{time.Second, Limits{SharedIdle, FullAbsolute}, 1},
		{time.Second, Limits{SharedIdle, FullAbsolute}, 0},
		{time.Minute, Limits{SharedIdle, FullAbsolute}, 1},
	} {
		writes.n = 0
		clock.add(c.after)
		if _, err := used(t, s, secret, c.now); err != nil || writes.n != c.want {
			t.Errorf("after %s: %d writes, %v", c.after, writes.n, err)
		}
	}
}

type writing struct {
	ephemeral.Store
	n int
}

func (w *writing) Replace(ctx context.Context, key string, old, value []byte, ttl time.Duration) error {
	w.n++
	return w.Store.Replace(ctx, key, old, value, ttl)
}
