package store_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/mail"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/store"
)

// told leases the notices that are due and returns "session client" of each.
func told(t testing.TB, s *store.Store) []string {
	t.Helper()
	notices, err := s.LeaseLogouts(t.Context(), 100, noon, time.Minute)
	must(t, err)
	var list []string
	for _, n := range notices {
		if n.ID == "" || n.Attempts != 0 || !n.Created.Equal(noon) {
			t.Errorf("got %+v", n)
		}
		list = append(list, n.User+" "+n.Session+" "+n.Client)
	}
	slices.Sort(list)
	return list
}

func wantTold(t testing.TB, s *store.Store, want ...string) {
	t.Helper()
	slices.Sort(want)
	if got := told(t, s); !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
}

// OpenID Connect Back-Channel Logout 1.0: clients with an address hear of the end
// of a session once.
func TestEndSessionRevokesAndTells(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		u := someone(t, s)
		silent := client("silent")
		silent.BackChannelLogoutURI = ""
		for _, c := range []openid.Client{client("a"), client("b"), silent} {
			addClient(t, s, c)
		}
		_, a1 := issue(t, s, u, "a", "sid")
		dead, a2 := issue(t, s, u, "a", "sid") // the same client signed in twice
		_, b := issue(t, s, u, "b", "sid")
		_, quiet := issue(t, s, u, "silent", "sid")
		_, unknown := issue(t, s, u, "unregistered", "sid")
		_, other := issue(t, s, u, "a", "other")
		must(t, s.RevokeGrant(t.Context(), dead.ID, noon))

		must(t, s.EndSession(t.Context(), "sid", noon, audit.Event{Type: audit.SignedOut, User: string(u.ID), Session: "sid"}))
		for i, at := range []openid.AccessToken{a1, a2, b, quiet, unknown} {
			if lives(t, s, at) {
				t.Errorf("token %d lives", i)
			}
		}
		if !lives(t, s, other) {
			t.Error("another session ended too")
		}
		wantTold(t, s, string(u.ID)+" sid a", string(u.ID)+" sid b")
		events, err := s.AuditEvents(t.Context(), store.Trail{User: string(u.ID)})
		if err != nil || len(events) != 1 || events[0].Type != audit.SignedOut || events[0].Session != "sid" {
			t.Errorf("got %+v, %v", events, err)
		}

		// A code that was on its way when the session ended.
		g, at := grant(u, "a", "sid")
		wantFault(t, s.Issue(t.Context(), g, at), fault.Denied, "session_ended")

		// Ending everything later tells of what was still open.
		must(t, s.Change(t.Context(), func(tx identity.Tx) error { return tx.EndSessions(u.ID, "") }))
		wantTold(t, s, string(u.ID)+" other a")
	})
}

func TestEndSessionWithoutGrantsStillEndsIt(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		u := someone(t, s)
		for range 2 {
			must(t, s.EndSession(t.Context(), "sid", noon, audit.Event{Type: audit.SignedOut, User: string(u.ID)}))
		}
		g, at := grant(u, "rp", "sid")
		wantFault(t, s.Issue(t.Context(), g, at), fault.Denied, "session_ended")
	})
}

// S54, S58: all sessions but the kept one; their clients hear of it.
func TestEndSessionsTellsOfWhatItEnded(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		u, neighbour := someone(t, s), someone(t, s)
		addClient(t, s, client("a"))
		issue(t, s, u, "a", "kept")
		issue(t, s, u, "a", "one")
		issue(t, s, u, "a", "two")
		_, theirs := issue(t, s, neighbour, "a", "theirs")
		must(t, s.Change(t.Context(), func(tx identity.Tx) error { return tx.EndSessions(u.ID, "kept") }))
		wantTold(t, s, string(u.ID)+" one a", string(u.ID)+" two a")
		if !lives(t, s, theirs) {
			t.Error("a neighbour's session ended")
		}
		must(t, s.Change(t.Context(), func(tx identity.Tx) error { return tx.EndSessions(u.ID, "") }))
		wantTold(t, s, string(u.ID)+" kept a")
	})
}

// Logouts and password changes of one person at once end the same grants.
func TestEndingTheSameGrantsAtOnceDoesNotDeadlock(t *testing.T) {
	replicas(t, func(t *testing.T, s [2]*store.Store) {
		u := someone(t, s[0])
		addClient(t, s[0], client("a"))
		var all []openid.Grant
		for i := range 40 {
			g, _ := issue(t, s[0], u, "a", fmt.Sprint("sid", i%4))
			all = append(all, g)
		}
		errs := race(50, func(i int) error {
			switch i % 5 {
			case 0:
				return s[i%2].Change(t.Context(), func(tx identity.Tx) error { return tx.EndSessions(u.ID, "") })
			case 1:
				return s[i%2].RevokeGrant(t.Context(), all[i%40].ID, noon)
			case 2:
				return s[i%2].Sweep(t.Context(), noon)
			default:
				return s[i%2].EndSession(t.Context(), fmt.Sprint("sid", i%4), noon, audit.Event{})
			}
		})
		if n := tally(t, errs); n[""] != 50 {
			t.Errorf("got %v", n)
		}
		if got := told(t, s[0]); len(got) != 4 {
			t.Errorf("told %q, want one notice for each session", got)
		}
	})
}

// outbox is what letters and notices have in common.
type outbox struct {
	queue  func(t *testing.T, s *store.Store, n int)
	lease  func(s *store.Store, n int, now time.Time) (ids []string, attempts []int, err error)
	sent   func(s *store.Store, id string) error
	failed func(s *store.Store, id string, next time.Time) error
}

func outboxes(t *testing.T, f func(t *testing.T, o outbox)) {
	const lease = time.Minute
	t.Run("letters", func(t *testing.T) {
		f(t, outbox{
			queue: func(t *testing.T, s *store.Store, n int) {
				must(t, s.Change(t.Context(), func(tx identity.Tx) error {
					for range n {
						if err := tx.Send(mail.Letter{To: "aino@example.org"}); err != nil {
							return err
						}
					}
					return nil
				}))
			},
			lease: func(s *store.Store, n int, now time.Time) (ids []string, attempts []int, err error) {
				list, err := s.LeaseLetters(t.Context(), n, now, lease)
				for _, l := range list {
					ids, attempts = append(ids, l.ID), append(attempts, l.Attempts)
				}
				return ids, attempts, err
			},
			sent: func(s *store.Store, id string) error { return s.LetterSent(t.Context(), id) },
			failed: func(s *store.Store, id string, next time.Time) error {
				return s.LetterFailed(t.Context(), id, "451", next)
			},
		})
	})
	t.Run("logouts", func(t *testing.T) {
		f(t, outbox{
			queue: func(t *testing.T, s *store.Store, n int) {
				u := someone(t, s)
				addClient(t, s, client("a"))
				for i := range n {
					issue(t, s, u, "a", fmt.Sprint("sid", i))
				}
				must(t, s.Change(t.Context(), func(tx identity.Tx) error { return tx.EndSessions(u.ID, "") }))
			},
			lease: func(s *store.Store, n int, now time.Time) (ids []string, attempts []int, err error) {
				list, err := s.LeaseLogouts(t.Context(), n, now, lease)
				for _, l := range list {
					ids, attempts = append(ids, l.ID), append(attempts, l.Attempts)
				}
				return ids, attempts, err
			},
			sent: func(s *store.Store, id string) error { return s.LogoutSent(t.Context(), id) },
			failed: func(s *store.Store, id string, next time.Time) error {
				return s.LogoutFailed(t.Context(), id, "503", next)
			},
		})
	})
}

func TestNothingIsLeasedTwice(t *testing.T) {
	outboxes(t, func(t *testing.T, o outbox) {
		replicas(t, func(t *testing.T, s [2]*store.Store) {
			o.queue(t, s[0], 60)
			leased := make([][]string, 50)
			tally(t, race(50, func(i int) (err error) {
				leased[i], _, err = o.lease(s[i%2], 2, noon)
				return err
			}))
			seen := map[string]bool{}
			for _, ids := range leased {
				if len(ids) > 2 {
					t.Errorf("asked for 2, got %d", len(ids))
				}
				for _, id := range ids {
					if seen[id] {
						t.Errorf("%s was leased twice", id)
					}
					seen[id] = true
				}
			}
			rest, _, err := o.lease(s[0], 100, noon)
			if err != nil || len(seen)+len(rest) != 60 {
				t.Errorf("%d leased and %d left (%v), want 60 in all", len(seen), len(rest), err)
			}
		})
	})
}

func TestALeaseEndsAndFailuresComeBack(t *testing.T) {
	outboxes(t, func(t *testing.T, o outbox) {
		each(t, func(t *testing.T, s *store.Store) {
			o.queue(t, s, 3)
			lease := func(after time.Duration, wantAttempts ...int) []string {
				t.Helper()
				ids, attempts, err := o.lease(s, 10, noon.Add(after))
				slices.Sort(attempts)
				if err != nil || !slices.Equal(attempts, wantAttempts) {
					t.Errorf("after %v: attempts %v (%v), want %v", after, attempts, err, wantAttempts)
				}
				return ids
			}
			if ids := lease(-time.Second); len(ids) != 0 {
				t.Error("leased before it was due")
			}
			lease(0, 0, 0, 0)
			lease(59 * time.Second)
			ids := lease(time.Minute, 0, 0, 0) // nobody reported
			must(t, o.sent(s, ids[0]))
			must(t, o.sent(s, ids[0]))
			must(t, o.failed(s, ids[1], noon.Add(time.Hour)))
			must(t, o.failed(s, ids[2], time.Time{}))
			lease(59 * time.Minute)
			if again := lease(time.Hour, 1); len(again) == 1 && again[0] != ids[1] {
				t.Errorf("got %v", again)
			}
			lease(1000*time.Hour, 1) // the dead one never again
		})
	})
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
