package identity_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/mail"
)

// withCard links a card.
func (h *house) withCard(id identity.UserID, fingerprint string) identity.CardLink {
	h.t.Helper()
	h.must(h.LinkCard(h.t.Context(), h.enrol(id), card.Result{Verdict: card.Good, At: h.now(),
		Holder: card.Holder{Fingerprint: fingerprint, Issuer: "CA", IssuerDN: "CN=CA", Serial: "abcd1234", Name: "Liisa Meikäläinen", NotAfter: h.now().AddDate(2, 0, 0)}}))
	return *h.person(id).Card
}

// S24: a card that was revoked ends its holder's sessions, once, whoever tells.
func TestRevokedCardEndsSessionsOnce(t *testing.T) {
	each(t, func(h *house) {
		org := h.organisation("agency", identity.MethodCard, identity.MethodApp)
		id := h.settled(org, "aino")
		link := h.withCard(id, "f1")
		before := h.person(id).User.Epoch
		var noted atomic.Int32
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				ok, err := h.NoteCardStatus(t.Context(), link, card.Status{State: card.WasRevoked, Source: "crl", Since: h.now().Add(-time.Hour)})
				if err != nil {
					t.Error(err)
				}
				if ok {
					noted.Add(1)
				}
			})
		}
		wg.Wait()
		p := h.person(id)
		if noted.Load() != 1 || p.User.Epoch != before+1 {
			t.Errorf("noted %d times, epoch %d → %d", noted.Load(), before, p.User.Epoch)
		}
		if p.Card == nil || p.Card.Status != card.WasRevoked || !p.Card.StatusAt.Equal(h.now().UTC()) || p.UsableCard(h.now()) {
			t.Errorf("%+v", p.Card)
		}
		if n := len(h.events(audit.CardRevoked)); n != 1 {
			t.Errorf("%d events", n)
		}
		if n := h.letters()[mail.CardRevoked]; n != 1 {
			t.Errorf("%d letters", n)
		}
		// S30: it counts as no valid link, and linking stays closed until an Order.
		if err := identity.MayLink(p, h.enrol(id), identity.MethodCard, h.now()); fault.Code(err) != "link_closed" {
			t.Errorf("linking another card: %v", err)
		}
		if err := identity.MayLink(p, h.enrol(id), identity.MethodApp, h.now()); fault.Code(err) != "link_closed" {
			t.Errorf("linking an app: %v", err)
		}
		// It stays revoked, whatever is said later.
		for _, s := range []card.State{card.NotRevoked, card.OnHold, card.Unavailable} {
			if ok, err := h.NoteCardStatus(t.Context(), *p.Card, card.Status{State: s}); ok || err != nil {
				t.Errorf("%s after revoked: %v %v", s, ok, err)
			}
		}
	})
}

func TestSuspensionMayBeLifted(t *testing.T) {
	each(t, func(h *house) {
		id := h.settled(h.organisation("agency", identity.MethodCard, identity.MethodApp), "aino")
		h.withCard(id, "f1")
		note := func(s card.State) bool {
			t.Helper()
			ok, err := h.NoteCardStatus(t.Context(), *h.person(id).Card, card.Status{State: s, Source: "crl"})
			h.must(err)
			return ok
		}
		epoch := h.person(id).User.Epoch
		for i, step := range []struct {
			says   card.State
			noted  bool
			usable bool
			ended  int64
		}{
			{card.NotRevoked, false, true, 0}, {card.Unavailable, false, true, 0},
			{card.OnHold, true, false, 1}, {card.OnHold, false, false, 1}, {card.Unavailable, false, false, 1},
			{card.NotRevoked, true, true, 1}, {card.OnHold, true, false, 2}, {card.WasRevoked, true, false, 3},
		} {
			ok := note(step.says)
			if p := h.person(id); ok != step.noted || p.UsableCard(h.now()) != step.usable || p.User.Epoch != epoch+step.ended {
				t.Errorf("%d, %s: noted %v, usable %v, ended %d", i, step.says, ok, p.UsableCard(h.now()), p.User.Epoch-epoch)
			}
		}
		if len(h.events(audit.CardSuspended)) != 2 || len(h.events(audit.CardReinstated)) != 1 || len(h.events(audit.CardRevoked)) != 1 {
			t.Error("events are missing")
		}
	})
}

// A link that is gone, or another one by now, is left alone.
func TestStatusOfALinkThatIsGone(t *testing.T) {
	each(t, func(h *house) {
		id := h.settled(h.organisation("agency", identity.MethodCard, identity.MethodApp), "aino")
		old := h.withCard(id, "f1")
		h.must(h.Store.Change(t.Context(), func(tx identity.Tx) error {
			_, err := tx.RemoveCardLink(id, "order")
			return err
		}))
		h.withCard(id, "f2")
		epoch := h.person(id).User.Epoch
		if ok, err := h.NoteCardStatus(t.Context(), old, card.Status{State: card.WasRevoked}); ok || err != nil {
			t.Error(ok, err)
		}
		if p := h.person(id); p.User.Epoch != epoch || p.Card.Status != "" {
			t.Errorf("%+v", p.Card)
		}
	})
}

// CheckCards asks about all of them, also when there are more than a page.
func TestCheckCardsAsksAboutEveryLink(t *testing.T) {
	each(t, func(h *house) {
		org := h.organisation("agency", identity.MethodCard, identity.MethodApp)
		const people = 12
		var ids []identity.UserID
		for i := range people {
			id := h.settled(org, "user"+string(rune('a'+i)))
			h.withCard(id, "f"+string(rune('a'+i)))
			ids = append(ids, id)
		}
		asked := map[string]int{}
		ask := func(_ context.Context, l identity.CardLink) card.Status {
			asked[l.Fingerprint]++
			if slices.Contains([]string{"fa", "fh"}, l.Fingerprint) {
				return card.Status{State: card.WasRevoked, Source: "crl"}
			}
			return card.Status{State: card.NotRevoked}
		}
		n, err := h.CheckCards(t.Context(), 5, ask)
		if n != 2 || err != nil || len(asked) != people {
			t.Errorf("noted %d, asked about %d, %v", n, len(asked), err)
		}
		if n, err = h.CheckCards(t.Context(), 5, ask); n != 0 || err != nil || asked["fb"] != 2 {
			t.Errorf("again: noted %d, %v", n, err)
		}
		if h.person(ids[0]).UsableCard(h.now()) || !h.person(ids[1]).UsableCard(h.now()) {
			t.Error("the wrong card was noted")
		}
	})
}

// What cannot be noted of one card keeps nothing from the others.
func TestOneCardThatCannotBeNotedStopsNoOther(t *testing.T) {
	each(t, func(h *house) {
		org := h.organisation("agency", identity.MethodCard, identity.MethodApp)
		var ids []identity.UserID
		for _, name := range []string{"a", "b", "c"} {
			id := h.settled(org, name)
			h.withCard(id, "f"+name)
			ids = append(ids, id)
		}
		whole := h.Store
		for _, bad := range ids { // whichever comes first
			h.Store = without{whole, bad}
			if _, err := h.CheckCards(t.Context(), 2, func(context.Context, identity.CardLink) card.Status {
				return card.Status{State: card.OnHold, Source: "crl"}
			}); err == nil {
				t.Error("the failure is not told")
			}
			h.Store = whole
			for _, id := range ids {
				if (h.person(id).Card.Status == card.OnHold) != (id != bad) {
					t.Errorf("%q: %q, and %q fails", id, h.person(id).Card.Status, bad)
				}
			}
			_, err := h.CheckCards(t.Context(), 2, func(context.Context, identity.CardLink) card.Status { return card.Status{State: card.NotRevoked} })
			h.must(err)
		}
		h.at = h.now().AddDate(2, 0, -7)
		h.clearLetters()
		h.Store = without{whole, ids[0]}
		if told, err := h.NoticeExpiringCards(t.Context()); told != 2 || err == nil {
			t.Errorf("%d letters, %v", told, err)
		}
	})
}

// without is a store that cannot read one person.
type without struct {
	identity.Store
	id identity.UserID
}

func (s without) Change(ctx context.Context, f func(identity.Tx) error) error {
	return s.Store.Change(ctx, func(tx identity.Tx) error { return f(withoutTx{tx, s.id}) })
}

type withoutTx struct {
	identity.Tx
	id identity.UserID
}

func (tx withoutTx) Person(id identity.UserID) (identity.Person, error) {
	if id == tx.id {
		return identity.Person{}, errors.New("cannot be read")
	}
	return tx.Tx.Person(id)
}
