package identity_test

import (
	"sync"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/mail"
)

// A letter 60, 30 and 7 days before a card ends, each once, however many replicas
// look and however often.
func TestCardsThatExpire(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		org := h.organisation("org", identity.MethodCard)
		id, closed, late := h.settled(org, "liisa"), h.settled(org, "lasse"), h.settled(org, "laila")
		end := h.now().AddDate(0, 0, 100)
		link := func(id identity.UserID, fingerprint string, notAfter time.Time) {
			seen := h.seen(fingerprint)
			seen.Holder.NotAfter = notAfter
			h.must(h.LinkCard(ctx, h.enrol(id), seen))
		}
		link(id, "f1", end)
		link(closed, "f2", end)
		h.must(h.DisableUser(ctx, operator, closed, identity.Why{Reason: "left"}))
		look := func(want int) {
			t.Helper()
			var all sync.WaitGroup
			var mu sync.Mutex
			told := 0
			for range 8 {
				all.Go(func() {
					n, err := h.NoticeExpiringCards(ctx)
					mu.Lock()
					defer mu.Unlock()
					if told += n; err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			if n := h.letters()[mail.CardExpires]; told != want || n != want {
				t.Errorf("%s before the end: %d told and %d letters, want %d", end.Sub(h.now()), told, n, want)
			}
			h.clearLetters()
		}
		h.clearLetters()
		look(0)
		for _, days := range []int{60, 30, 7} {
			h.at = end.AddDate(0, 0, -days).Add(-time.Second)
			look(0)
			if soon := h.person(id).Card.ExpiresSoon(h.now()); soon != (days != 60) {
				t.Errorf("%d days before: soon %v", days, soon)
			}
			h.at = end.AddDate(0, 0, -days)
			look(1)
			look(0)
		}
		// Who links late gets one letter, not three.
		link(late, "f3", end)
		look(1)
		look(0)
		h.at = end
		look(0)
		if h.person(id).Card.ExpiresSoon(h.now()) {
			t.Error("it has expired")
		}
	})
}

// A card's last use is noted with a sign-in, once an hour.
func TestUseOfACardIsNoted(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		id := h.settled(h.organisation("org", identity.MethodCard), "liisa")
		h.must(h.LinkCard(ctx, h.enrol(id), h.seen("fp")))
		if used := h.person(id).Card.Used; !used.IsZero() {
			t.Errorf("used %v before the first sign-in", used)
		}
		first := h.now()
		in := func() {
			t.Helper()
			h.must(h.SignedIn(ctx, h.person(id), identity.MethodCard, "client", "", h.now()))
		}
		for _, c := range []struct {
			later time.Duration
			want  time.Time
		}{{0, first}, {59 * time.Minute, first}, {time.Minute, first.Add(time.Hour)}} {
			h.add(c.later)
			in()
			if used := h.person(id).Card.Used; !used.Equal(c.want) {
				t.Errorf("used %v, want %v", used, c.want)
			}
		}
		if n := len(h.events(audit.SignInSucceeded)); n != 3 {
			t.Errorf("%d events", n)
		}
	})
}
