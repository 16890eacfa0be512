package session

import (
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
			if _, err := s.Find(t.Context(), secret); err != nil {
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
				all.Go(func() { _, _ = s.Find(t.Context(), secret) })
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
				all.Go(func() { _, _ = s.Find(t.Context(), secret) })
			}
			all.Wait()
			if _, err := s.Find(t.Context(), secret); err == nil {
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
