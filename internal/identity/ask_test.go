package identity_test

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/ephemeral"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/mail"
	"github.com/portti-id/portti/internal/password"
	"github.com/portti-id/portti/internal/throttle"
)

// from is an address of its own for each of many.
func from(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
}

// S52–S54: an ask changes nothing; the button behind its link orders, once.
func TestAskAndConfirm(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		h.Links = "https://portti.example.test/order/link/"
		id := h.settled(h.organisation("org", identity.MethodApp, identity.MethodCard), "liisa")
		h.withApp(id)
		self := h.enrol(id)
		self.Full, self.Proved, self.AuthTime = true, identity.MethodApp, h.now()
		h.must(h.LinkCard(ctx, self, h.seen("fp")))
		h.clearLetters()
		before := h.person(id)

		h.must(h.Ask(ctx, " LIISA ", here))
		if n := h.letters(); len(n) != 0 {
			t.Errorf("a letter before anything is decided: %v", n)
		}
		h.decide()
		if n := h.letters(); len(n) != 1 || n[mail.PasswordAsked] != 1 {
			t.Errorf("letters %v", n)
		}
		if now := h.person(id); !reflect.DeepEqual(now, before) {
			t.Errorf("an ask changed the person: %+v", now)
		}
		l := h.letter(mail.PasswordAsked)
		if l.Args["password"] != "" || !strings.HasSuffix(l.Args["link"], "?lang=fi") || !l.Expires.Equal(h.now().Add(identity.ToOrderLasts)) {
			t.Errorf("the letter: %+v", l)
		}
		secret := h.link(mail.PasswordAsked)
		for range 3 { // whoever looks changes nothing
			if l, err := h.MailedLink(ctx, secret); err != nil || l.Purpose != identity.ToOrder || l.User != id {
				t.Errorf("looked at: %+v, %v", l, err)
			}
		}
		if err := h.FreezeByLink(ctx, secret, ""); fault.Code(err) != "mailed_link_spent" {
			t.Errorf("a link to order froze: %v", err)
		}

		h.clearLetters()
		h.must(h.ConfirmOrder(ctx, secret, "192.0.2.7"))
		after := h.person(id)
		temporary := h.letter(mail.PasswordOrdered).Args["password"]
		if !after.Password.Temporary || after.Card != nil || after.User.Epoch != before.User.Epoch+1 || !reflect.DeepEqual(after.Authenticator, before.Authenticator) {
			t.Errorf("after the order: %+v", after)
		}
		if _, err := h.VerifyPassword(ctx, "liisa", own, here); fault.Code(err) != "wrong_credentials" {
			t.Errorf("the old password: %v", err)
		}
		if _, err := h.VerifyPassword(ctx, "liisa", temporary, here); err != nil {
			t.Errorf("the letter's password: %v", err)
		}
		if _, err := h.CardHolder(ctx, card.Holder{Fingerprint: "fp"}); fault.Code(err) != "card_link_removed_by_order" {
			t.Errorf("the old card: %v", err)
		}
		if e := h.events(audit.PasswordOrdered); len(e) != 1 || e[0].Actor != "letter" || e[0].Reason != "asked" || e[0].Address != "192.0.2.7" {
			t.Errorf("the trail: %+v", e)
		}
		if e := h.events(audit.PasswordAsked); len(e) != 1 || e[0].Actor != "anybody" || e[0].Reason != "link_mailed" || e[0].User != string(id) || e[0].Address != here.String() {
			t.Errorf("the trail: %+v", e)
		}
		for name, f := range map[string]func(context.Context, string, string) error{"confirm": h.ConfirmOrder, "cancel": h.CancelAsk} {
			if err := f(ctx, secret, ""); fault.Code(err) != "mailed_link_spent" {
				t.Errorf("%s after it: %v", name, err)
			}
		}
		notMe := h.link(mail.PasswordOrdered)
		if err := h.ConfirmOrder(ctx, notMe, ""); fault.Code(err) != "mailed_link_spent" {
			t.Errorf("a link to freeze ordered: %v", err)
		}
	})
}

// S51: one answer for all; the letters and the trail tell them apart afterwards.
func TestWhatAnAskComesTo(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		org := h.organisation("org", identity.MethodApp)
		closed := h.organisation("closed", identity.MethodApp)
		_, err := h.CreateOrganisation(ctx, operator, identity.Organisation{ID: "hand", Name: "Hand", Methods: identity.MethodsOf(identity.MethodApp), Delivery: identity.ByHandover})
		h.must(err)
		h.settled(org, "known")
		h.user(org, "new.here")
		h.must(h.DisableUser(ctx, operator, h.settled(org, "left"), identity.Why{Reason: "left"}))
		h.settled(closed, "of.closed")
		h.must(h.SetOrganisationDisabled(ctx, operator, closed, true, identity.Why{Reason: "merged"}))
		frozen := h.settled(org, "frozen")
		_, err = h.Order(ctx, operator, frozen, lost)
		h.must(err)
		h.must(h.FreezeByLink(ctx, h.link(mail.PasswordOrdered), ""))
		moved := h.settled(org, "moved")
		_, err = h.ChangeUser(ctx, operator, moved, func(u *identity.User) { u.Email = "other@example.test" })
		h.must(err)
		h.settled("hand", "by.hand")
		_, _, err = h.CreateUser(ctx, operator, identity.User{Username: "no.contact", Organisation: "hand", GivenName: "Aku", FamilyName: "Ankka", Language: "sv"})
		h.must(err)
		h.clearLetters()

		n := 0
		for name, c := range map[string]struct {
			reason string
			letter mail.Template
		}{
			"known":                  {"link_mailed", mail.PasswordAsked},
			"new.here":               {"link_mailed", mail.PasswordAsked},
			"nobody":                 {"unknown_username", ""},
			"":                       {"unknown_username", ""},
			"\x00\xff\u202e":         {"unknown_username", ""},
			strings.Repeat("å", 999): {"unknown_username", ""},
			"left":                   {"account_disabled", ""},
			"of.closed":              {"account_disabled", ""},
			"frozen":                 {"account_frozen", ""},
			"moved":                  {"contact_changed", mail.PasswordAskedSupport},
			"by.hand":                {"by_support", mail.PasswordAskedSupport},
			"no.contact":             {"no_contact", ""},
		} {
			n++
			if err := h.Ask(ctx, name, from(n)); err != nil {
				t.Errorf("%.20q: %v", name, err)
			}
			h.decide()
			if e := h.events(audit.PasswordAsked); len(e) != n || e[0].Reason != c.reason || e[0].Actor != "anybody" || e[0].Address != from(n).String() {
				t.Errorf("%.20q: %d events, the last %+v", name, len(e), e[0])
			}
			want := map[mail.Template]int{}
			if c.letter != "" {
				want[c.letter] = 1
			}
			if got := h.letters(); !maps.Equal(got, want) {
				t.Errorf("%.20q: letters %v", name, got)
			}
			h.clearLetters()
		}
	})
}

// S51: three a name and day, ten an address and hour; then the same answer, and no letter.
func TestAsksAreLimited(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		org := h.organisation("org", identity.MethodApp)
		h.settled(org, "liisa")
		h.clearLetters()
		reasons := func() map[string]int {
			h.decide()
			n := map[string]int{}
			for _, e := range h.events(audit.PasswordAsked) {
				n[e.Reason]++
			}
			return n
		}
		for i := range 5 {
			h.must(h.Ask(ctx, "liisa", from(i)))
		}
		if n := reasons(); n["link_mailed"] != 3 || n["throttled"] != 2 || h.letters()[mail.PasswordAsked] != 3 {
			t.Errorf("five for one name: %v", n)
		}
		for i := range 30 {
			h.must(h.Ask(ctx, fmt.Sprint("nobody", i), here))
		}
		if n := reasons(); n["unknown_username"] != 10 || n["throttled_address"] != 1 {
			t.Errorf("thirty from one address: %v", n)
		}
		h.add(25 * time.Hour)
		h.must(h.Ask(ctx, "liisa", here))
		if n := reasons(); n["link_mailed"] != 4 {
			t.Errorf("a day later: %v", n)
		}
	})
}

// S52: a thousand anonymous asks change no password, link or session.
func TestAThousandAsksChangeNothing(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		org := h.organisation("org", identity.MethodApp, identity.MethodCard)
		people := map[identity.UserID]identity.Person{}
		for i := range 5 {
			id := h.settled(org, fmt.Sprint("person", i))
			h.withApp(id)
			self := h.enrol(id)
			self.Full, self.Proved, self.AuthTime = true, identity.MethodApp, h.now()
			link := h.seen(fmt.Sprint("fp", i))
			link.Holder.Serial = fmt.Sprint("serial", i)
			h.must(h.LinkCard(ctx, self, link))
			people[id] = h.person(id)
		}
		h.clearLetters()
		var all sync.WaitGroup
		for worker := range 4 {
			all.Go(func() {
				for i := worker; i < 1000; i += 4 {
					if err := h.Ask(ctx, fmt.Sprint("person", i%10), from(i)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		h.decide()
		for id, before := range people {
			if now := h.person(id); !reflect.DeepEqual(now, before) {
				t.Errorf("before %+v\nafter  %+v", before, now)
			}
			if _, err := h.Standing(ctx, id, before.User.Epoch, ""); err != nil {
				t.Errorf("a session: %v", err)
			}
		}
		if n := h.letters(); len(n) != 1 || n[mail.PasswordAsked] != 15 {
			t.Errorf("letters %v", n)
		}
	})
}

// S53: the newest letter counts, for an hour; what is stored is a hash.
func TestTheNewestLinkCounts(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		id := h.settled(h.organisation("org", identity.MethodApp), "liisa")
		h.clearLetters()
		first := h.mailed(id)
		h.clearLetters()
		second := h.mailed(id)
		if err := h.ConfirmOrder(ctx, first, ""); fault.Code(err) != "mailed_link_spent" {
			t.Errorf("the first: %v", err)
		}
		links, err := h.Store.MailedLinks(ctx, id)
		if err != nil || len(links) != 1 || len(links[0].Hash) != 64 || strings.Contains(links[0].Hash, second) {
			t.Errorf("stored: %+v, %v", links, err)
		}
		if err := h.ConfirmOrder(ctx, links[0].Hash, ""); fault.Code(err) != "mailed_link_spent" {
			t.Errorf("what is stored opens: %v", err)
		}
		h.add(time.Hour)
		for name, f := range map[string]func(context.Context, string, string) error{"confirm": h.ConfirmOrder, "cancel": h.CancelAsk} {
			if err := f(ctx, second, ""); fault.Code(err) != "mailed_link_spent" {
				t.Errorf("%s an hour later: %v", name, err)
			}
		}
		h.add(-time.Second)
		h.must(h.ConfirmOrder(ctx, second, ""))
	})
}

// What has changed between the ask and the button counts (S55, S59).
func TestTheButtonAsksAgain(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		org := h.organisation("org", identity.MethodApp)
		for name, change := range map[string]func(id identity.UserID){
			"contact": func(id identity.UserID) {
				_, err := h.ChangeUser(ctx, operator, id, func(u *identity.User) { u.Email = "thief@example.test" })
				h.must(err)
			},
			"disabled": func(id identity.UserID) { h.must(h.DisableUser(ctx, operator, id, identity.Why{Reason: "left"})) },
			"handover": func(identity.UserID) {
				_, err := h.ChangeOrganisation(ctx, operator, org, func(o *identity.Organisation) { o.Delivery = identity.ByHandover })
				h.must(err)
			},
		} {
			_, err := h.ChangeOrganisation(ctx, operator, org, func(o *identity.Organisation) { o.Delivery = identity.ByLetter })
			h.must(err)
			id := h.settled(org, name)
			h.clearLetters()
			secret := h.mailed(id)
			change(id)
			before := h.person(id)
			if err := h.ConfirmOrder(ctx, secret, ""); fault.Code(err) != "order_by_support" {
				t.Errorf("%s: %v", name, err)
			}
			if now := h.person(id); now.Password != before.Password {
				t.Errorf("%s: ordered all the same", name)
			}
		}
	})
}

// S59: the person cancels what somebody has asked, by the letter or signed in; an
// Order by somebody else makes the link void too.
func TestAnAskIsCancelled(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		id := h.settled(h.organisation("org", identity.MethodApp), "liisa")
		self := h.enrol(id)
		if err := h.CancelOwnAsk(ctx, self); fault.Code(err) != "full_signin_required" {
			t.Errorf("with a password alone: %v", err)
		}
		self.Full = true
		if err := h.CancelOwnAsk(ctx, self); fault.Code(err) != "mailed_link_spent" {
			t.Errorf("nothing was asked: %v", err)
		}
		for name, cancel := range map[string]func(secret string) error{
			"letter": func(secret string) error { return h.CancelAsk(ctx, secret, "") },
			"person": func(string) error { return h.CancelOwnAsk(ctx, self) },
			"order":  func(string) error { _, err := h.Order(ctx, operator, id, lost); return err },
		} {
			h.add(25 * time.Hour)
			h.clearLetters()
			secret := h.mailed(id)
			if waiting, err := h.WaitingLinks(ctx, id); err != nil || waiting[identity.ToOrder].User != id {
				t.Errorf("%s: waiting %v, %v", name, waiting, err)
			}
			h.must(cancel(secret))
			if err := h.ConfirmOrder(ctx, secret, ""); fault.Code(err) != "mailed_link_spent" {
				t.Errorf("%s: the link: %v", name, err)
			}
			if waiting, err := h.WaitingLinks(ctx, id); err != nil || !waiting[identity.ToOrder].Expires.IsZero() {
				t.Errorf("%s: still waiting %v, %v", name, waiting, err)
			}
		}
		if n := len(h.events(audit.PasswordAskCancelled)); n != 2 {
			t.Errorf("%d events", n)
		}
	})
}

// Fifty at once with one link: one Order, one letter, one line of the trail.
func TestFiftyButtonsOneOrder(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		id := h.settled(h.organisation("org", identity.MethodApp), "liisa")
		h.clearLetters()
		secret := h.mailed(id)
		h.clearLetters()
		epoch := h.person(id).User.Epoch
		var ordered atomic.Int64
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				switch err := h.ConfirmOrder(ctx, secret, ""); fault.Code(err) {
				case "":
					if err == nil {
						ordered.Add(1)
						return
					}
					t.Error(err)
				case "mailed_link_spent":
				default:
					t.Error(err)
				}
			})
		}
		all.Wait()
		if n := ordered.Load(); n != 1 || h.person(id).User.Epoch != epoch+1 || h.letters()[mail.PasswordOrdered] != 1 || len(h.events(audit.PasswordOrdered)) != 1 {
			t.Errorf("%d orders, letters %v", n, h.letters())
		}
	})
}

// Fifty replicas decide one ask: one letter.
func TestAnAskIsDecidedOnce(t *testing.T) {
	each(t, func(h *house) {
		h.settled(h.organisation("org", identity.MethodApp), "liisa")
		h.clearLetters()
		h.must(h.Ask(t.Context(), "liisa", here))
		var decided atomic.Int64
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				n, err := h.DecideAsks(t.Context())
				if err != nil {
					t.Error(err)
				}
				decided.Add(int64(n))
			})
		}
		all.Wait()
		if decided.Load() != 1 || h.letters()[mail.PasswordAsked] != 1 {
			t.Errorf("decided %d times, letters %v", decided.Load(), h.letters())
		}
	})
}

// An ask that cannot be decided keeps no other from it, is tried again, and is given
// up when its letter would come as a surprise.
func TestAnAskThatCannotBeDecided(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		org := h.organisation("org", identity.MethodApp)
		h.settled(org, "liisa")
		h.settled(org, "matti")
		h.clearLetters()
		h.must(h.Ask(ctx, "liisa", here))
		h.must(h.Ask(ctx, "matti", here))
		broken := *h.Directory
		b := &breaks{Store: h.db, after: 1, stop: func() error { return errBroken }}
		broken.Store = &firstOnly{breaks: b}
		if n, err := broken.DecideAsks(ctx); n != 1 || err == nil {
			t.Errorf("decided %d, %v", n, err)
		}
		h.decide()
		if n := h.letters()[mail.PasswordAsked]; n != 1 {
			t.Errorf("%d letters before it is tried again", n)
		}
		h.add(time.Minute)
		h.decide()
		if n := h.letters()[mail.PasswordAsked]; n != 2 {
			t.Errorf("%d letters", n)
		}
		h.must(h.Ask(ctx, "liisa", here))
		h.add(2 * time.Hour)
		h.decide()
		if e := h.events(audit.PasswordAsked); e[0].Reason != "too_late" || h.letters()[mail.PasswordAsked] != 2 {
			t.Errorf("two hours later: %+v", e[0])
		}
	})
}

// firstOnly breaks the first change alone.
type firstOnly struct {
	*breaks
	past bool
}

func (f *firstOnly) Change(ctx context.Context, g func(tx identity.Tx) error) error {
	if f.past {
		return f.Store.Change(ctx, g)
	}
	f.past = true
	return f.breaks.Change(ctx, g)
}

// calls counts what a Directory does: hashes, and calls of SQL and of the ephemeral store.
type calls struct {
	mu   sync.Mutex
	made []string
}

func (c *calls) did(what string) { c.mu.Lock(); defer c.mu.Unlock(); c.made = append(c.made, what) }

type countedStore struct {
	identity.Store
	c *calls
}

func (s countedStore) PersonByName(ctx context.Context, folded string) (identity.Person, error) {
	s.c.did("PersonByName")
	return s.Store.PersonByName(ctx, folded)
}

func (s countedStore) Person(ctx context.Context, id identity.UserID) (identity.Person, error) {
	s.c.did("Person")
	return s.Store.Person(ctx, id)
}

func (s countedStore) AddAsk(ctx context.Context, a identity.Ask) error {
	s.c.did("AddAsk")
	return s.Store.AddAsk(ctx, a)
}

func (s countedStore) MailedLinks(ctx context.Context, id identity.UserID) ([]identity.MailedLink, error) {
	s.c.did("MailedLinks")
	return s.Store.MailedLinks(ctx, id)
}

func (s countedStore) Change(ctx context.Context, f func(tx identity.Tx) error) error {
	s.c.did("Change")
	return s.Store.Change(ctx, f)
}

type countedHasher struct {
	identity.Hasher
	c *calls
}

func (h countedHasher) Hash(ctx context.Context, pw string) (string, error) {
	h.c.did("Hash")
	return h.Hasher.Hash(ctx, pw)
}

func (h countedHasher) Verify(ctx context.Context, phc, pw string) (bool, bool, error) {
	h.c.did("Verify")
	return h.Hasher.Verify(ctx, phc, pw)
}

type countedRecorder struct {
	audit.Recorder
	c *calls
}

func (r countedRecorder) Record(ctx context.Context, e audit.Event) error {
	r.c.did("Record")
	return r.Recorder.Record(ctx, e)
}

type countedEphemeral struct {
	ephemeral.Store
	c *calls
}

func (e countedEphemeral) Increment(ctx context.Context, key string, window time.Duration) (int64, time.Duration, error) {
	e.c.did("Increment")
	return e.Store.Increment(ctx, key, window)
}

func (e countedEphemeral) Count(ctx context.Context, key string) (int64, time.Duration, error) {
	e.c.did("Count")
	return e.Store.Count(ctx, key)
}

func (e countedEphemeral) Delete(ctx context.Context, key string) error {
	e.c.did("Delete")
	return e.Store.Delete(ctx, key)
}

// S43, S51: no difference in the work, and so none in the time, between people who
// get a letter or could sign in, those who do not, and names that nobody has.
func TestTheWorkIsTheSameForEveryName(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		org := h.organisation("org", identity.MethodApp, identity.MethodCard)
		h.settled(org, "known")
		h.withApp(h.settled(org, "with.app"))
		h.user(org, "new.here")
		h.must(h.DisableUser(ctx, operator, h.settled(org, "left"), identity.Why{Reason: "left"}))
		frozen := h.settled(org, "frozen")
		_, err := h.Order(ctx, operator, frozen, lost)
		h.must(err)
		h.must(h.FreezeByLink(ctx, h.link(mail.PasswordOrdered), ""))
		c := &calls{}
		counted := *h.Directory
		counted.Store, counted.Hasher, counted.Audit = countedStore{h.Store, c}, countedHasher{h.Hasher, c}, countedRecorder{h.Audit, c}
		counted.Throttle = &throttle.Throttle{Store: countedEphemeral{h.Ephemeral, c}}
		counted.Ephemeral = nil
		for act, do := range map[string]func(name string, i int) error{
			"ask": func(name string, i int) error { return counted.Ask(ctx, name, from(i)) },
			"sign in": func(name string, i int) error {
				if _, err := counted.VerifyPassword(ctx, name, "wrong "+password.Temporary(), from(i)); fault.Code(err) != "wrong_credentials" {
					return fmt.Errorf("got %w", err)
				}
				return nil
			},
		} {
			var first []string
			for i, name := range []string{"known", "with.app", "new.here", "left", "frozen", "nobody", "nobody.else", "known"} {
				c.made = nil
				if err := do(name, i); err != nil {
					t.Errorf("%s %s: %v", act, name, err)
				}
				if first == nil {
					first = c.made
				}
				if !slices.Equal(c.made, first) || len(first) < 3 {
					t.Errorf("%s %s: %v, for others %v", act, name, c.made, first)
				}
			}
			if act == "ask" && slices.ContainsFunc(first, func(s string) bool { return strings.HasPrefix(s, "Person") || s == "Change" }) {
				t.Errorf("an ask looks somebody up: %v", first)
			}
		}
	})
}
