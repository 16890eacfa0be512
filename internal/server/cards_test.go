package server_test

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/card/revocation"
	"github.com/portti-id/portti/internal/cardtest"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/password"
	"github.com/portti-id/portti/internal/server"
	"github.com/portti-id/portti/internal/store"
)

// cardHouse is a PKI with its responder and lists, and replicas that ask them.
type cardHouse struct {
	t        *testing.T
	b        *backends
	pki      *cardtest.PKI
	site     *cardtest.Server
	trust    *card.Trust
	replicas []*server.Server
}

func newCardHouse(t *testing.T, b *backends, mode revocation.Mode, replicas int) *cardHouse {
	t.Helper()
	h := &cardHouse{t: t, b: b, pki: cardtest.ForTest(t)}
	h.site = cardtest.NewServer(h.pki, nil)
	site := httptest.NewServer(h.site)
	t.Cleanup(site.Close)
	h.pki.MoveTo(site.URL)
	h.trust = h.pki.TestTrust(t)
	for range replicas {
		h.replicas = append(h.replicas, h.replica(mode))
	}
	return h
}

func (h *cardHouse) replica(mode revocation.Mode) *server.Server {
	h.t.Helper()
	host, err := card.ParseHost("https://*.card.localhost")
	h.must(err)
	s, err := server.New(h.t.Context(), server.Config{Issuer: "https://id.localhost", Brand: "Portti", CardHost: &host, Revocation: mode, Passwords: password.Params{Time: 1, MemoryKiB: 64}},
		server.Deps{Store: h.b.store, Keys: h.b.keys, Ephemeral: h.b.ephemeral, Master: h.b.master, Trust: func() *card.Trust { return h.trust }, Log: slog.New(slog.DiscardHandler)})
	h.must(err)
	return s
}

func (h *cardHouse) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// fetch brings the lists of every CA to the shelf, and into the first replica.
func (h *cardHouse) fetch() {
	h.t.Helper()
	for _, s := range h.trust.Sources() {
		if len(s.CRL) == 0 {
			continue
		}
		if _, err := h.replicas[0].Cards.Fetcher.Fetch(h.t.Context(), s); err != nil {
			h.t.Fatal(err)
		}
	}
}

func (h *cardHouse) card(name string) *cardtest.Card {
	h.t.Helper()
	return h.pki.TestCard(h.t, name, cardtest.Person{Given: "Maija", Family: "Meikäläinen"})
}

func (h *cardHouse) verdict(c *cardtest.Card, at time.Time) card.Verdict {
	h.t.Helper()
	return h.replicas[0].Door.Checker.Check(h.t.Context(), c.Certificates(), at).Verdict
}

// linker links a new person's card that was last used at a time.
func (h *cardHouse) linker() func(name string, used time.Time) (identity.UserID, *cardtest.Card) {
	directory, org := h.replicas[0].Directory, identity.OrganisationID("agency")
	_, err := directory.CreateOrganisation(h.t.Context(), operator, identity.Organisation{ID: org, Name: "Agency", Methods: identity.MethodsOf(identity.MethodCard), Delivery: identity.ByHandover})
	h.must(err)
	return func(name string, used time.Time) (identity.UserID, *cardtest.Card) {
		h.t.Helper()
		u, _, err := directory.CreateUser(h.t.Context(), operator, identity.User{Username: name, Organisation: org, GivenName: "Maija", FamilyName: "M", Email: name + "@agency.example", Language: "fi"})
		h.must(err)
		c := h.card(name)
		seen := card.HolderOf(c.Cert)
		h.must(h.b.store.Change(h.t.Context(), func(tx identity.Tx) error {
			return tx.AddCardLink(identity.CardLink{ID: identity.LinkID("link-" + name), User: u.ID, Fingerprint: seen.Fingerprint, SPKI: seen.SPKI, Issuer: seen.Issuer, IssuerDN: seen.IssuerDN,
				Serial: seen.Serial, NotAfter: seen.NotAfter, Linked: time.Now(), Used: used})
		}))
		return u.ID, c
	}
}

// S24: with the responder down a valid list lets cards in, and one that is over
// lets nobody in. Who is on it stays out.
func TestListsAnswerWhereNoResponderDoes(t *testing.T) {
	each(t, func(t *testing.T, b *backends) {
		h := newCardHouse(t, b, revocation.Require, 1)
		good, lost, held := h.card("good"), h.card("lost"), h.card("held")
		h.must(h.pki.Revoke(lost, 1, time.Now().Add(-time.Hour)))
		h.must(h.pki.Hold(held, time.Now().Add(-time.Hour)))
		for _, ca := range []*cardtest.CA{h.pki.Root, h.pki.Organisation} {
			h.site.FailOCSP(ca, cardtest.Down)
		}
		now := time.Now()
		if v := h.verdict(good, now); v != card.RevocationUnavailable {
			t.Errorf("nobody answers: %s", v)
		}
		h.fetch()
		over := now.Add(25 * time.Hour)
		for name, c := range map[string]struct {
			card *cardtest.Card
			at   time.Time
			want card.Verdict
		}{
			"good": {good, now, card.Good}, "revoked": {lost, now, card.Revoked}, "on hold": {held, now, card.Suspended},
			"good, and the list is over": {good, over, card.RevocationUnavailable},
		} {
			if v := h.verdict(c.card, c.at); v != c.want {
				t.Errorf("%s: %s, want %s", name, v, c.want)
			}
		}
		// A replica that starts now has the lists at once, without any network.
		for _, ca := range []*cardtest.CA{h.pki.Root, h.pki.Organisation} {
			h.site.FailCRL(ca, cardtest.Down)
		}
		h.replicas[0] = h.replica(revocation.CRLOnly)
		if v := h.verdict(good, time.Now()); v != card.Good {
			t.Errorf("after a restart: %s", v)
		}
		if v := h.verdict(lost, time.Now()); v != card.Revoked {
			t.Errorf("revoked, after a restart: %s", v)
		}
	})
}

// S24: a linked card that turns up on a list ends its holder's sessions, once,
// although every replica looks.
func TestLinkedCardsOnAListEndSessions(t *testing.T) {
	each(t, func(t *testing.T, b *backends) {
		h := newCardHouse(t, b, revocation.Require, 5)
		db := b.store
		link := h.linker()
		lost, lostCard := link("lost", time.Time{})
		held, heldCard := link("held", time.Time{})
		good, _ := link("good", time.Time{})
		h.must(h.pki.Revoke(lostCard, 1, time.Now().Add(-time.Hour)))
		h.must(h.pki.Hold(heldCard, time.Now().Add(-time.Hour)))
		check := func() {
			t.Helper()
			h.fetch()
			var all sync.WaitGroup
			for _, s := range h.replicas {
				all.Go(func() {
					if _, err := s.Cards.Loader.Load(t.Context()); err != nil {
						t.Error(err)
					}
					if err := s.Cards.Check(t.Context()); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
		}
		is := func(id identity.UserID, status card.State, epoch int64) {
			t.Helper()
			p, err := db.Person(t.Context(), id)
			h.must(err)
			if p.Card.Status != status || p.User.Epoch != epoch {
				t.Errorf("%s: %q, epoch %d; want %q and %d", p.User.Username, p.Card.Status, p.User.Epoch, status, epoch)
			}
		}
		p, err := db.Person(t.Context(), good)
		h.must(err)
		epoch := p.User.Epoch
		check()
		is(lost, card.WasRevoked, epoch+1)
		is(held, card.OnHold, epoch+1)
		is(good, "", epoch)
		check()
		is(lost, card.WasRevoked, epoch+1)

		h.must(h.pki.Release(heldCard))
		check()
		is(held, "", epoch+1)

		trail := db.(interface {
			AuditEvents(ctx context.Context, t store.Trail) ([]audit.Event, error)
		})
		for event, want := range map[audit.Type]int{audit.CardRevoked: 1, audit.CardSuspended: 1, audit.CardReinstated: 1} {
			events, err := trail.AuditEvents(t.Context(), store.Trail{Types: []audit.Type{event}, Limit: 10})
			h.must(err)
			if len(events) != want || events[0].Actor != "system" || events[0].Reason != "crl" && event != audit.CardReinstated {
				t.Errorf("%s: %+v", event, events)
			}
		}
	})
}

// S24: where a CA has no list, its responder is asked about the cards of those who
// may be signed in, by one replica in each turn; what nobody says changes nothing.
func TestLinkedCardsWithoutAListAreAskedAbout(t *testing.T) {
	each(t, func(t *testing.T, b *backends) {
		h := newCardHouse(t, b, revocation.Soft, 5)
		link := h.linker()
		lost, lostCard := link("lost", time.Now())
		idle, idleCard := link("idle", time.Now().Add(-13*time.Hour))
		good, _ := link("good", time.Now())
		for _, c := range []*cardtest.Card{lostCard, idleCard} {
			h.must(h.pki.Revoke(c, 1, time.Now().Add(-time.Hour)))
		}
		ask := func() {
			t.Helper()
			h.must(b.ephemeral.Delete(t.Context(), "cards:ask"))
			var all sync.WaitGroup
			for _, s := range h.replicas {
				all.Go(func() {
					if err := s.Cards.Ask(t.Context()); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
		}
		is := func(id identity.UserID, status card.State) {
			t.Helper()
			p, err := b.store.Person(t.Context(), id)
			h.must(err)
			if p.Card.Status != status {
				t.Errorf("%s: %q, want %q", p.User.Username, p.Card.Status, status)
			}
		}
		h.site.FailOCSP(h.pki.Organisation, cardtest.Down)
		ask() // nobody answers, and Soft lets cards in: nothing is noted
		is(lost, "")
		h.site.FailOCSP(h.pki.Organisation, "")
		before := h.site.Asked(h.pki.Organisation).OCSP
		ask()
		is(lost, card.WasRevoked)
		is(idle, "") // her session is long over
		is(good, "")
		if asked := h.site.Asked(h.pki.Organisation).OCSP; asked != before+2 {
			t.Errorf("the responder was asked %d times", asked-before)
		}
	})
}
