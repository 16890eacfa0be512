package store_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/mail"
	"github.com/portti-id/portti/internal/store"
)

func queue(t *testing.T, s *store.Store, letters ...mail.Letter) {
	t.Helper()
	must(t, s.Change(t.Context(), func(tx identity.Tx) error {
		for _, l := range letters {
			if err := tx.Send(l); err != nil {
				return err
			}
		}
		return nil
	}))
}

func kept(t *testing.T, s *store.Store, w mail.Which) []mail.Kept {
	t.Helper()
	if w.Limit == 0 {
		w.Limit = 100
	}
	list, err := s.Letters(t.Context(), w)
	must(t, err)
	return list
}

func idsOf(list []mail.Kept) (ids []string) {
	for _, k := range list {
		ids = append(ids, k.ID)
	}
	return ids
}

func byOperator(what audit.Type) audit.Event {
	return audit.Event{At: noon, Type: what, Actor: "user:op"}
}

func TestOperatorsSeeLettersWithoutWhatTheySay(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		queue(t, s,
			mail.Letter{ID: "L1", To: "aino@example.org", Template: mail.Welcome, Organisation: "vero", Expires: noon.Add(time.Hour), Args: map[string]string{"password": "canary-1"}},
			mail.Letter{ID: "L2", Channel: mail.ByText, To: "+358401234567", Template: mail.PasswordOrdered, Organisation: "vero", Args: map[string]string{"password": "canary-2"}})
		must(t, s.LetterFailed(t.Context(), "L2", "text gateway: it answered 422: refused for good", time.Time{}))
		waiting, dead := kept(t, s, mail.Which{}), kept(t, s, mail.Which{Dead: true})
		if len(waiting) != 1 || len(dead) != 1 {
			t.Fatalf("%+v %+v", waiting, dead)
		}
		w, d := waiting[0], dead[0]
		if w.ID != "L1" || w.Channel != mail.ByMail || w.Template != mail.Welcome || w.Organisation != "vero" || w.Recipient != "a…@example.org" || !w.Created.Equal(noon) || !w.Due.Equal(noon) ||
			!w.Expires.Equal(noon.Add(time.Hour)) || w.Attempts != 0 || !w.Dead.IsZero() {
			t.Errorf("%+v", w)
		}
		if d.ID != "L2" || d.Channel != mail.ByText || d.Recipient != "…67" || d.Attempts != 1 || !strings.HasPrefix(d.Reason, "text gateway") || !d.Dead.Equal(noon) || !d.Expires.IsZero() {
			t.Errorf("%+v", d)
		}
		if all := fmt.Sprintf("%+v %+v", waiting, dead); strings.Contains(all, "canary") || strings.Contains(all, "aino") || strings.Contains(all, "1234567") {
			t.Errorf("it tells too much: %s", all)
		}
		counts, err := s.LetterCounts(t.Context())
		if err != nil || counts.Waiting != 1 || counts.Dead != 1 || !counts.Oldest.Equal(noon) {
			t.Errorf("%+v, %v", counts, err)
		}
	})
}

func TestLettersArePaged(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		for i := range 7 {
			queue(t, s, mail.Letter{ID: fmt.Sprint("L", i), To: "a@example.org"})
		}
		for _, dead := range []bool{false, true} {
			var seen []string
			after := ""
			for range 10 {
				page := kept(t, s, mail.Which{Dead: dead, After: after, Limit: 3})
				if len(page) == 0 {
					break
				}
				seen, after = append(seen, idsOf(page)...), page[len(page)-1].Cursor
			}
			if !dead {
				if !slices.Equal(seen, []string{"L0", "L1", "L2", "L3", "L4", "L5", "L6"}) {
					t.Errorf("waiting: %v", seen)
				}
				for _, id := range seen {
					must(t, s.LetterFailed(t.Context(), id, "550", time.Time{}))
				}
				continue
			}
			if !slices.Equal(seen, []string{"L6", "L5", "L4", "L3", "L2", "L1", "L0"}) {
				t.Errorf("dead: %v", seen)
			}
		}
		for _, after := range []string{"x", "1", "a-L1", "' or 1=1 --"} {
			if _, err := s.Letters(t.Context(), mail.Which{After: after, Limit: 3}); !fault.Is(err, fault.Invalid) {
				t.Errorf("%q: %v", after, err)
			}
		}
		if page := kept(t, s, mail.Which{Dead: true, After: "9999999999999999-x'; drop table letters; --"}); len(page) != 7 {
			t.Errorf("%v", idsOf(page))
		}
	})
}

func TestADeadLetterIsRetriedOrDiscarded(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		queue(t, s, mail.Letter{ID: "L1", To: "a@example.org", Organisation: "vero", Template: mail.Welcome}, mail.Letter{ID: "L2", To: "a@example.org"},
			mail.Letter{ID: "over", To: "a@example.org", Expires: noon}, mail.Letter{ID: "waits", To: "a@example.org"})
		for _, id := range []string{"L1", "L2", "over"} {
			must(t, s.LetterFailed(t.Context(), id, "550", time.Time{}))
		}
		must(t, s.RetryLetter(t.Context(), "L1", byOperator(audit.LetterRetried), false))
		must(t, s.DiscardLetter(t.Context(), "L2", byOperator(audit.LetterDiscarded), false))
		wantFault(t, s.RetryLetter(t.Context(), "over", byOperator(audit.LetterRetried), false), fault.Gone, "letter_expired")
		wantFault(t, s.DiscardLetter(t.Context(), "waits", byOperator(audit.LetterDiscarded), false), fault.Conflict, "letter_waits")
		for _, id := range []string{"L2", "none", ""} {
			wantFault(t, s.RetryLetter(t.Context(), id, byOperator(audit.LetterRetried), false), fault.NotFound, "letter_not_found")
			wantFault(t, s.DiscardLetter(t.Context(), id, byOperator(audit.LetterDiscarded), false), fault.NotFound, "letter_not_found")
		}
		events, err := s.AuditEvents(t.Context(), store.Trail{})
		if err != nil || len(events) != 2 {
			t.Fatalf("%+v, %v: of what did not happen there is no event", events, err)
		}
		if e := events[1]; e.Type != audit.LetterRetried || e.Actor != "user:op" || e.Organisation != "vero" || e.Details["letter"] != "L1" || e.Details["template"] != "welcome" {
			t.Errorf("%+v", e)
		}
		leased, err := s.LeaseLetters(t.Context(), 10, noon, time.Minute)
		must(t, err)
		if len(leased) != 2 || !slices.ContainsFunc(leased, func(q mail.Queued) bool { return q.ID == "L1" && q.Attempts == 0 }) {
			t.Errorf("%+v", leased)
		}
		// What a replica is sending just now is not sent by another one beside it.
		wantFault(t, s.RetryLetter(t.Context(), "L1", byOperator(audit.LetterRetried), false), fault.Conflict, "letter_on_its_way")
		must(t, s.LetterFailed(t.Context(), "L1", "451", noon.Add(time.Hour)))
		must(t, s.RetryLetter(t.Context(), "L1", byOperator(audit.LetterRetried), false))
		if again, err := s.LeaseLetters(t.Context(), 10, noon, time.Minute); err != nil || len(again) != 1 || again[0].Attempts != 1 {
			t.Errorf("%+v, %v: one that waits goes out of its turn, with its attempts counted", again, err)
		}
	})
}

func TestAllDeadLettersAreRetriedAtOnce(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		queue(t, s, mail.Letter{ID: "L1", To: "a@example.org"}, mail.Letter{ID: "L2", To: "a@example.org", Expires: noon.Add(time.Second)}, mail.Letter{ID: "over", To: "a@example.org", Expires: noon.Add(-time.Second)})
		for _, id := range []string{"L1", "L2", "over"} {
			must(t, s.LetterFailed(t.Context(), id, "550", time.Time{}))
		}
		n, err := s.RetryLetters(t.Context(), byOperator(audit.LetterRetried), false)
		if err != nil || n != 2 || !slices.Equal(idsOf(kept(t, s, mail.Which{Dead: true})), []string{"over"}) {
			t.Errorf("%d, %v", n, err)
		}
		if n, err := s.RetryLetters(t.Context(), byOperator(audit.LetterRetried), false); err != nil || n != 0 {
			t.Errorf("%d, %v", n, err)
		}
		events, err := s.AuditEvents(t.Context(), store.Trail{})
		if err != nil || len(events) != 1 || events[0].Details["letters"] != "2" {
			t.Errorf("%+v, %v", events, err)
		}
	})
}

// Fifty operators and replicas at once: a dead letter comes back once, and nothing
// is both sent and discarded.
func TestOneDecisionOnALetter(t *testing.T) {
	replicas(t, func(t *testing.T, s [2]*store.Store) {
		queue(t, s[0], mail.Letter{ID: "L1", To: "a@example.org"})
		must(t, s[0].LetterFailed(t.Context(), "L1", "550", time.Time{}))
		n := tally(t, race(50, func(i int) error {
			return s[i%2].DiscardLetter(t.Context(), "L1", byOperator(audit.LetterDiscarded), false)
		}))
		if n[""] != 1 || n["letter_not_found"] != 49 {
			t.Errorf("%v", n)
		}
		queue(t, s[0], mail.Letter{ID: "L2", To: "a@example.org"})
		must(t, s[0].LetterFailed(t.Context(), "L2", "550", time.Time{}))
		leased := make([]int, 50)
		n = tally(t, race(50, func(i int) error {
			if i%2 == 0 {
				return s[0].RetryLetter(t.Context(), "L2", byOperator(audit.LetterRetried), false)
			}
			list, err := s[1].LeaseLetters(t.Context(), 1, noon, time.Hour)
			leased[i] = len(list)
			return err
		}))
		total := 0
		for _, k := range leased {
			total += k
		}
		if rest, err := s[0].LeaseLetters(t.Context(), 1, noon, time.Hour); err != nil || total+len(rest) != 1 {
			t.Errorf("leased %d times, then %d (%v), %v", total, len(rest), err, n)
		}
	})
}

func TestChannelsAreLeasedApart(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		queue(t, s, mail.Letter{ID: "mail", To: "a@example.org"}, mail.Letter{ID: "text", Channel: mail.ByText, To: "+358401234567"})
		for _, c := range []struct {
			of   []mail.Channel
			want string
		}{{[]mail.Channel{mail.ByText}, "text"}, {[]mail.Channel{mail.ByText}, ""}, {nil, "mail"}} {
			list, err := s.LeaseLetters(t.Context(), 10, noon, time.Minute, c.of...)
			must(t, err)
			if got := strings.Join(slices.Collect(func(yield func(string) bool) {
				for _, q := range list {
					if !yield(q.ID) || string(q.Channel) != q.ID {
						return
					}
				}
			}), ","); got != c.want {
				t.Errorf("of %v: %q", c.of, got)
			}
		}
	})
}

func TestDeadLettersAreKeptForAMonth(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		queue(t, s, mail.Letter{ID: "dead", To: "a@example.org"}, mail.Letter{ID: "waits", To: "a@example.org"}, mail.Letter{ID: "over", To: "a@example.org", Expires: noon.Add(time.Hour)})
		must(t, s.LetterFailed(t.Context(), "dead", "550", time.Time{}))
		must(t, s.Sweep(t.Context(), noon.Add(29*24*time.Hour)))
		if n := len(kept(t, s, mail.Which{})) + len(kept(t, s, mail.Which{Dead: true})); n != 3 {
			t.Errorf("%d are left after 29 days", n)
		}
		must(t, s.Sweep(t.Context(), noon.Add(31*24*time.Hour)))
		if got := idsOf(append(kept(t, s, mail.Which{}), kept(t, s, mail.Which{Dead: true})...)); !slices.Equal(got, []string{"waits"}) {
			t.Errorf("%v are left after a month", got)
		}
	})
}
