package login

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"net/netip"
	"net/url"
	"time"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/ephemeral"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/throttle"
	"github.com/portti-id/portti/internal/trace"
)

// Lives of what travels between the main host and the card host (standards.md 2.5, 5.6).
const (
	ticketLasts = 5 * time.Minute
	resultLasts = time.Minute
)

// kind is what an attempt is for. A result is good for nothing else.
type kind string

const (
	forSignIn kind = "signin"
	forLink   kind = "link"
	forTest   kind = "test"
)

// attempt is one visit to the card host: for a sign-in (TX), for the linking
// ceremony of a signed-in person (User and Session), or for a test of the card in
// somebody's browser (Browser).
type attempt struct {
	ID      string          `json:"id"`
	Kind    kind            `json:"kind"`
	Mode    card.Mode       `json:"mode,omitempty"`
	Return  string          `json:"return"`
	TX      string          `json:"tx,omitempty"`
	User    identity.UserID `json:"user,omitempty"`
	Session string          `json:"session,omitempty"`
	Browser string          `json:"browser,omitempty"` // SHA-256 of a cookie's secret
}

// outcome is what waits for the browser to come back with its code.
type outcome struct {
	Attempt attempt     `json:"attempt"`
	Result  card.Result `json:"result"`
}

// BeginCard opens a card attempt for a sign-in and returns the address to send
// the browser to. A new attempt voids the transaction's former one.
func (s *Service) BeginCard(ctx context.Context, d Demand, m card.Mode) (string, error) {
	place, err := s.place(forSignIn, m)
	if err != nil {
		return "", err
	}
	if err := s.Throttle.Attempt(ctx, throttle.Use{Limit: throttle.CardPerAddress, Subject: throttle.AddressKey(d.From)}); err != nil {
		return "", err
	}
	f, raw, err := s.load(ctx, d)
	if err != nil {
		return "", err
	}
	if f.Step != AskPassword && f.Step != UseCard {
		return "", errStep
	}
	a := attempt{ID: rand.Text(), Kind: forSignIn, Mode: m, TX: d.TX, Return: s.CardBack(d.TX)}
	f.Attempt, f.Problem = a.ID, ""
	if g, err := s.save(ctx, d, raw, f); err != nil || g.Attempt != a.ID {
		return "", firstOf(err, errStep)
	}
	return s.ticket(ctx, a, place)
}

func firstOf(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

// Offers tells whether a sign-in can be tried in this mode.
func (s *Service) Offers(m card.Mode) bool {
	_, err := s.place(forSignIn, m)
	return err == nil
}

// OffersTest tells whether a card can be tested in this mode.
func (s *Service) OffersTest(m card.Mode) bool {
	_, err := s.place(forTest, m)
	return err == nil
}

// place is where an attempt goes. AnyCA is for tests alone: there a browser may
// show certificates that have nothing to do with us.
func (s *Service) place(k kind, m card.Mode) (card.Place, error) {
	if s.CardPlace != nil && (m != card.AnyCA || k == forTest) {
		if place, ok := s.CardPlace(m); ok {
			return place, nil
		}
	}
	return card.Place{}, fault.New(fault.Unavailable, "card_unavailable", "This installation has no card host for this.")
}

// ticket leaves the attempt for the card host. It is found under the ticket and
// the name of its place together, so at another name there is no such ticket:
// nothing is taken there, and the right one still works.
func (s *Service) ticket(ctx context.Context, a attempt, place card.Place) (string, error) {
	value, err := json.Marshal(a)
	if err != nil {
		return "", err
	}
	if err := s.follow(ctx, a, place); err != nil {
		return "", err
	}
	ticket := rand.Text()
	if err := s.Ephemeral.Put(ctx, ticketKey(ticket, place.Name), value, ticketLasts); err != nil {
		return "", err
	}
	return place.URL(ticket), nil
}

func ticketKey(ticket, name string) string { return ephemeral.Key("ticket", ticket+"@"+name) }

// Attempts is the Service as the card host sees it: card.Attempts.
type Attempts struct{ Service *Service }

var _ card.Attempts = Attempts{}

// Open takes the ticket.
func (at Attempts) Open(ctx context.Context, ticket, name string) (card.Attempt, error) {
	raw, err := at.Service.Ephemeral.Take(ctx, ticketKey(ticket, name))
	if fault.Is(err, fault.NotFound) {
		return card.Attempt{}, errTicket
	}
	if err != nil {
		return card.Attempt{}, err
	}
	var a attempt
	if err := json.Unmarshal(raw, &a); err != nil {
		return card.Attempt{}, fmt.Errorf("decode card attempt: %w", err)
	}
	return card.Attempt{ID: string(raw), Return: a.Return}, nil
}

var errTicket = fault.New(fault.Gone, "card_ticket_spent", "This card attempt is used or too old. Start it again.")

// Finish leaves the result under a single-use code and sends the browser back
// with it. The code opens nothing by itself: only the browser that began the
// attempt can redeem it.
func (at Attempts) Finish(ctx context.Context, ca card.Attempt, r card.Result) (string, error) {
	var a attempt
	if err := json.Unmarshal([]byte(ca.ID), &a); err != nil {
		return "", fmt.Errorf("decode card attempt: %w", err)
	}
	if r.Mode != a.Mode {
		return "", fmt.Errorf("a card attempt in mode %q came to one in mode %q", a.Mode, r.Mode)
	}
	back, err := url.Parse(a.Return)
	if err != nil {
		return "", fmt.Errorf("return address of card attempt: %w", err)
	}
	value, err := json.Marshal(outcome{Attempt: a, Result: r})
	if err != nil {
		return "", err
	}
	if r.Verdict != card.Good && a.Kind != forTest { // of a test nothing is kept but the coded result (S66)
		if err := at.Service.Directory.CardRead(ctx, r); err != nil {
			return "", err
		}
	}
	// Not whose card it was: until the code comes back, nobody knows that the browser
	// which asks is the one that showed the card.
	if err := at.Service.decided(ctx, a.ID, "card_"+string(r.Verdict), ""); err != nil {
		return "", err
	}
	code := rand.Text()
	if err := at.Service.Ephemeral.Put(ctx, ephemeral.Key("cardresult", code), value, resultLasts); err != nil {
		return "", err
	}
	q := back.Query()
	q.Set("code", code)
	back.RawQuery = q.Encode()
	return back.String(), nil
}

// take redeems a result's code once.
func (s *Service) take(ctx context.Context, code string) (outcome, error) {
	raw, err := s.Ephemeral.Take(ctx, ephemeral.Key("cardresult", code))
	if fault.Is(err, fault.NotFound) {
		return outcome{}, errTicket
	}
	if err != nil {
		return outcome{}, err
	}
	var o outcome
	if err := json.Unmarshal(raw, &o); err != nil {
		return outcome{}, fmt.Errorf("decode card result: %w", err)
	}
	return o, nil
}

// Card takes the result of this transaction's card attempt. A code of another
// transaction, browser or attempt is refused, and spent.
//
// A card that is refused leaves the flow where it is, with a fault whose code
// is "card_"+verdict, or card_not_linked, other_card_linked,
// card_awaits_approval, card_link_removed_by_order, account_disabled; the holder is returned for the
// page to name the card by its tail.
func (s *Service) Card(ctx context.Context, d Demand, code string) (Flow, card.Holder, error) {
	f, raw, err := s.load(ctx, d)
	if err != nil {
		return Flow{}, card.Holder{}, err
	}
	o, err := s.take(ctx, code)
	if err != nil {
		return f, card.Holder{}, err
	}
	if f.Step != AskPassword && f.Step != UseCard {
		return f, card.Holder{}, nil
	}
	if o.Attempt.Kind != forSignIn || o.Attempt.TX != d.TX || f.Attempt == "" || subtle.ConstantTimeCompare([]byte(o.Attempt.ID), []byte(f.Attempt)) != 1 {
		return f, card.Holder{}, errTicket
	}
	p, err := s.cardPerson(ctx, f, d, o.Result)
	if err != nil {
		noteCard(ctx, fault.Code(err), o.Result)
		if _, ok := fault.Of(err); !ok || fault.Is(err, fault.Unavailable) && fault.Code(err) != "card_revocation_unavailable" {
			return f, o.Result.Holder, err
		}
		if derr := s.decided(ctx, f.Attempt, fault.Code(err), o.Result.Holder.Tail()); derr != nil {
			return f, o.Result.Holder, derr
		}
		if aerr := s.Directory.CardRefused(ctx, f.User, fault.Code(err), d.Client, d.From.String()); aerr != nil {
			return f, o.Result.Holder, aerr
		}
		return f, o.Result.Holder, err
	}
	event := CardProved
	if !p.Permits(identity.MethodCard) {
		event = CardProvedBarred
	}
	trace.About(ctx, string(p.User.ID), true)
	g, err := step(ctx, f, event, p)
	if err != nil {
		return Flow{}, card.Holder{}, err
	}
	g.User, g.Username, g.Epoch = p.User.ID, p.User.Username, p.User.Epoch
	g.Method, g.Link, g.AuthTime, g.Attempt = identity.MethodCard, p.Card.ID, o.Result.At, ""
	if event == CardProvedBarred {
		g.Notice = "method_not_permitted_by_employer"
	}
	g, err = s.save(ctx, d, raw, g)
	return g, o.Result.Holder, err
}

// cardPerson finds whose card it is, and refuses a card that is not the one
// this sign-in waits for (S33).
func (s *Service) cardPerson(ctx context.Context, f Flow, d Demand, r card.Result) (identity.Person, error) {
	if r.Verdict != card.Good {
		return identity.Person{}, refused(r.Verdict)
	}
	p, err := s.Directory.CardHolder(ctx, r.Holder)
	if code := fault.Code(err); code == "card_suspended" || code == "card_untrusted_issuer" {
		// What was noted of the link may be over.
		if err := s.Directory.CardRead(ctx, r); err != nil {
			return identity.Person{}, err
		}
		p, err = s.Directory.CardHolder(ctx, r.Holder)
	}
	expected := f.User
	if expected == "" {
		expected = d.User
	}
	if fault.Code(err) == "card_not_linked" && expected != "" {
		if e, perr := s.Directory.Store.Person(ctx, expected); perr == nil && e.Card != nil {
			return identity.Person{}, errOtherCard
		}
	}
	if err != nil {
		return identity.Person{}, err
	}
	if expected != "" && p.User.ID != expected {
		return identity.Person{}, errOtherCard
	}
	return p, nil
}

var errOtherCard = fault.New(fault.Denied, "other_card_linked", "This is another card than the one linked to the username.")

// refused makes a verdict a fault.
func refused(v card.Verdict) error {
	kind := fault.Denied
	if v == card.RevocationUnavailable {
		kind = fault.Unavailable
	}
	return fault.New(kind, "card_"+string(v), "The card was refused: %s.", v)
}

// BeginLink opens a card attempt for the linking ceremony of a signed-in person
// (S26). back is the address in User Services to return to; the caller has
// checked that it is one.
func (s *Service) BeginLink(ctx context.Context, self identity.Self, m card.Mode, back string) (string, error) {
	place, err := s.place(forLink, m)
	if err != nil {
		return "", err
	}
	p, err := s.Directory.Store.Person(ctx, self.User)
	if err != nil {
		return "", err
	}
	if err := identity.MayBegin(p, self, identity.MethodCard, s.Now()); err != nil {
		return "", err
	}
	if err := s.Throttle.Attempt(ctx, throttle.Use{Limit: throttle.LinkingPerAccount, Subject: string(self.User)}); err != nil {
		return "", err
	}
	a := attempt{ID: rand.Text(), Kind: forLink, Mode: m, Return: back, User: self.User, Session: self.Session}
	// The newest attempt of the session is the one that may answer. The key outlives
	// the ticket, so that LinkState can tell what became of it.
	if err := s.Ephemeral.Put(ctx, linkKey(self), []byte(a.ID), attemptLasts); err != nil {
		return "", err
	}
	return s.ticket(ctx, a, place)
}

func linkKey(self identity.Self) string { return "linking:" + self.Session }

// SeenCard redeems the result of the person's own linking attempt and keeps it
// for ConfirmLink. A code that belongs to another person's or session's attempt
// is refused, and spent: nobody can have another's card linked to himself, nor
// his card to another.
func (s *Service) SeenCard(ctx context.Context, self identity.Self, code string) (card.Result, error) {
	o, err := s.take(ctx, code)
	if err != nil {
		return card.Result{}, err
	}
	if o.Attempt.Kind != forLink || o.Attempt.User != self.User || o.Attempt.Session != self.Session {
		return card.Result{}, errTicket
	}
	if err := s.newest(ctx, linkKey(self), o.Attempt.ID); err != nil {
		return card.Result{}, err
	}
	if o.Result.Verdict != card.Good {
		return o.Result, refused(o.Result.Verdict)
	}
	value, err := json.Marshal(o.Result)
	if err != nil {
		return card.Result{}, err
	}
	return o.Result, s.Ephemeral.Put(ctx, "seen:"+self.Session, value, identity.HandshakeFresh)
}

// newest takes the key that names the newest attempt of a session or a browser,
// and refuses a result of any other.
func (s *Service) newest(ctx context.Context, key, id string) error {
	mine, err := s.Ephemeral.Take(ctx, key)
	if fault.Is(err, fault.NotFound) {
		return errTicket
	}
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare(mine, []byte(id)) != 1 {
		return errTicket
	}
	return nil
}

// ConfirmLink links the card that the person was shown: fingerprint says which,
// so that a card read in another tab meanwhile is not linked unseen.
func (s *Service) ConfirmLink(ctx context.Context, self identity.Self, fingerprint string) error {
	raw, err := s.Ephemeral.Take(ctx, "seen:"+self.Session)
	if fault.Is(err, fault.NotFound) {
		return errTicket
	}
	if err != nil {
		return err
	}
	var r card.Result
	if err := json.Unmarshal(raw, &r); err != nil {
		return fmt.Errorf("decode card result: %w", err)
	}
	if subtle.ConstantTimeCompare([]byte(r.Holder.Fingerprint), []byte(fingerprint)) != 1 {
		return errTicket
	}
	err = s.Directory.LinkCard(ctx, self, r)
	if f, ok := fault.Of(err); ok && f.Field == "linking_code" {
		// The card is as it was shown; the code can be typed once more.
		if err := s.Ephemeral.Put(ctx, "seen:"+self.Session, raw, identity.HandshakeFresh); err != nil {
			return err
		}
	}
	return err
}

// Test is a test of a card in somebody's browser, who need not be anybody (S66).
type Test struct {
	Browser string     // SHA-256 of the browser's binding secret
	From    netip.Addr // the browser's address
	Mode    card.Mode
	Back    string // the page of the main host to return to
}

// BeginTest opens a card attempt for a test and returns the address to send the
// browser to. A new one voids the browser's former one.
func (s *Service) BeginTest(ctx context.Context, t Test) (string, error) {
	place, err := s.place(forTest, t.Mode)
	if err != nil {
		return "", err
	}
	if t.Browser == "" {
		return "", errTicket
	}
	if err := s.Throttle.Attempt(ctx, throttle.Use{Limit: throttle.CardPerAddress, Subject: throttle.AddressKey(t.From)}); err != nil {
		return "", err
	}
	a := attempt{ID: rand.Text(), Kind: forTest, Mode: t.Mode, Return: t.Back, Browser: t.Browser}
	if err := s.Ephemeral.Put(ctx, testKey(t.Browser), []byte(a.ID), attemptLasts); err != nil {
		return "", err
	}
	return s.ticket(ctx, a, place)
}

func testKey(browser string) string { return "testing:" + browser }

// TakeTest redeems the result of this browser's newest test, whatever the
// verdict. A code of another browser, or of another kind of attempt, is refused,
// and spent.
func (s *Service) TakeTest(ctx context.Context, browser, code string) (card.Result, error) {
	o, err := s.take(ctx, code)
	if err != nil {
		return card.Result{}, err
	}
	if o.Attempt.Kind != forTest || browser == "" || subtle.ConstantTimeCompare([]byte(o.Attempt.Browser), []byte(browser)) != 1 {
		return card.Result{}, errTicket
	}
	if err := s.newest(ctx, testKey(browser), o.Attempt.ID); err != nil {
		return card.Result{}, err
	}
	return o.Result, nil
}
