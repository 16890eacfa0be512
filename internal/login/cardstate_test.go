package login

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/ephemeral"
	"github.com/portti-id/portti/internal/ephemeral/ephemeraltest"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/store"
	"github.com/portti-id/portti/internal/storetest"
)

// eachEphemeral runs f over both ephemeral stores; people do not matter here.
func eachEphemeral(t *testing.T, f func(b *bench)) {
	t.Helper()
	ephemeraltest.Each(t, func(t *testing.T, e ephemeral.Store) { f(newBench(t, storetest.Open(t, store.SQLite), e)) })
}

// note is the card host's word of the place of an address.
func (b *bench) note(address string, signs ...card.Sign) {
	b.t.Helper()
	_, name := ticketOf(b.t, address)
	for _, s := range signs {
		if err := (Attempts{b.Service}).Note(b.t.Context(), name, s); err != nil {
			b.t.Fatal(err)
		}
	}
}

// S35: the deciding events, by the clock. What the person sees who waits, and
// what she is told who has come back.
func TestWhatDecidesACardAttempt(t *testing.T) {
	const never, broken, none = "card_never_reached", "card_handshake_broken", "card_no_certificate"
	signs := func(s ...card.Sign) []card.Sign { return s }
	for name, c := range map[string]struct {
		signs      []card.Sign
		after      time.Duration
		phase      Phase
		code       string // while she waits; "" when nothing is decided
		silent     bool
		back       string // when she is back
		backSilent bool
	}{
		"at once":                         {nil, 0, Waiting, "", false, never, true},
		"nothing for 59 s":                {nil, 59 * time.Second, Waiting, "", false, never, true},
		"nothing for 60 s":                {nil, 60 * time.Second, Decided, never, true, never, true},
		"a connection":                    {signs(card.Began), 0, Reached, "", false, broken, true},
		"a connection, and 60 s":          {signs(card.Began), 60 * time.Second, Decided, broken, true, broken, true},
		"one break, as Chromium does":     {signs(card.Began, card.Broke), 0, Broken, "", false, broken, false},
		"one break, and 60 s":             {signs(card.Began, card.Broke), 60 * time.Second, Decided, broken, true, broken, false},
		"its end came before its start":   {signs(card.Broke), 0, Broken, "", false, broken, false},
		"second break":                    {signs(card.Began, card.Broke, card.Began, card.Broke), 0, Decided, broken, false, broken, false},
		"a handshake without certificate": {signs(card.Began, card.Bare), 0, Reached, "", false, none, true}, // its result comes by itself, if it was the browser's
		"that, and 60 s":                  {signs(card.Began, card.Bare), 60 * time.Second, Decided, none, true, none, true},
		"a program looked into TLS first": {signs(card.Began, card.Bare, card.Began, card.Broke), 0, Broken, "", false, broken, false},
		"a card signed, and no result":    {signs(card.Began, card.Carried), 60 * time.Second, Decided, broken, true, broken, true},
	} {
		t.Run(name, func(t *testing.T) {
			eachEphemeral(t, func(b *bench) {
				ctx, d := t.Context(), demand("tx")
				b.at(b.Start(ctx, d, nil))(AskPassword)
				b.note(must[string](b.t)(b.BeginCard(ctx, d, card.Strict)), c.signs...)
				b.add(c.after)
				if s := must[CardState](b.t)(b.CardState(ctx, d)); s.Phase != c.phase || s.Code != c.code || s.Silent != c.silent || s.Result {
					b.t.Errorf("waiting: %+v", s)
				}
				f := must[Flow](b.t)(b.Start(ctx, d, nil))
				if s := must[CardState](b.t)(b.LastCard(ctx, f)); s.Phase != Decided || s.Code != c.back || s.Silent != c.backSilent || s.Result {
					b.t.Errorf("back: %+v", s)
				}
				if s := must[CardState](b.t)(b.CardFailed(ctx, d)); s.Phase != Decided || s.Code != c.back || s.Silent {
					b.t.Errorf("said: %+v", s)
				}
				if s := must[CardState](b.t)(b.CardState(ctx, d)); s.Phase != Decided || s.Code != c.back || s.Silent {
					b.t.Errorf("waiting after it was said: %+v", s)
				}
			})
		})
	}
}

// Silence is counted from the last sign.
func TestSilenceBeginsWithTheLastSign(t *testing.T) {
	eachEphemeral(t, func(b *bench) {
		ctx, d := b.t.Context(), demand("tx")
		b.at(b.Start(ctx, d, nil))(AskPassword)
		to := must[string](b.t)(b.BeginCard(ctx, d, card.Strict))
		for _, sign := range []card.Sign{card.Began, card.Broke, card.Began} {
			b.add(45 * time.Second)
			b.note(to, sign)
			if s := must[CardState](b.t)(b.CardState(ctx, d)); s.Phase == Decided {
				b.t.Errorf("after %s: %+v", sign, s)
			}
		}
	})
}

// A result decides whatever the signs said, and what identity makes of the card
// replaces the card host's verdict.
func TestResultDecidesACardAttempt(t *testing.T) {
	each(t, func(b *bench) {
		ctx, d := b.t.Context(), demand("tx")
		id := b.settled("Matti", identity.MethodCard)
		mine := b.withCard(id, "mine")
		b.at(b.Start(ctx, d, nil))(AskPassword)
		state := func() CardState { return must[CardState](b.t)(b.CardState(ctx, d)) }
		if s := state(); s.Phase != NoAttempt {
			b.t.Errorf("before: %+v", s)
		}
		to := must[string](b.t)(b.BeginCard(ctx, d, card.Strict))
		b.note(to, card.Began, card.Broke, card.Began, card.Broke)
		code := b.present(to, card.Result{Verdict: card.Revoked, At: b.now(), Holder: card.Holder{Serial: "00ff9f31"}})
		if s := state(); s.Code != "card_revoked" || !s.Result || s.Tail != "" { // another's browser may have been lured there
			b.t.Errorf("the card host's word: %+v", s)
		}
		if _, _, err := b.Card(ctx, d, code); fault.Code(err) != "card_revoked" {
			b.t.Error(err)
		}
		if s := state(); s.Tail != "9f31" {
			b.t.Errorf("after the result has come back: %+v", s)
		}
		to = must[string](b.t)(b.BeginCard(ctx, d, card.OldTLS))
		if s := state(); s.Phase != Waiting || s.Mode != card.OldTLS {
			b.t.Errorf("a new attempt: %+v", s)
		}
		stranger := b.good("00cc")
		stranger.Mode = card.OldTLS
		code = b.present(to, stranger)
		if _, _, err := b.Card(ctx, d, code); fault.Code(err) != "card_not_linked" {
			b.t.Error(err)
		}
		if s := state(); s.Code != "card_not_linked" {
			b.t.Errorf("%+v", s)
		}
		// A broken attempt whose card answers after all signs in.
		to = must[string](b.t)(b.BeginCard(ctx, d, card.Strict))
		b.note(to, card.Began, card.Broke, card.Began, card.Broke)
		must[CardState](b.t)(b.CardFailed(ctx, d))
		f, _, err := b.Card(ctx, d, b.present(to, mine))
		b.at(f, err)(Done)
		if s := must[CardState](b.t)(b.LastCard(ctx, f)); s.Phase != NoAttempt {
			b.t.Errorf("signed in, and there is trouble: %+v", s)
		}
	})
}

// Where handshakes cannot be told apart, silence and the person's word are all.
func TestFixedHostHasNoSigns(t *testing.T) {
	eachEphemeral(t, func(b *bench) {
		ctx, d := b.t.Context(), demand("tx")
		b.CardPlace = func(m card.Mode) (card.Place, bool) {
			return card.Place{Origin: "https://card.example", Name: "card.example"}, m == card.Strict
		}
		b.at(b.Start(ctx, d, nil))(AskPassword)
		b.note(must[string](b.t)(b.BeginCard(ctx, d, card.Strict)), card.Began, card.Broke, card.Began, card.Broke)
		if s := must[CardState](b.t)(b.CardState(ctx, d)); s.Phase != Waiting {
			b.t.Errorf("another's handshakes count: %+v", s)
		}
		if s := must[CardState](b.t)(b.CardFailed(ctx, d)); s.Code != "card_handshake_broken" {
			b.t.Errorf("%+v", s)
		}
		for _, m := range []card.Mode{card.OldTLS, card.AnyCA, "x"} {
			if _, err := b.BeginCard(ctx, d, m); fault.Code(err) != "card_unavailable" || b.Offers(m) {
				b.t.Errorf("mode %q: %v", m, err)
			}
		}
		if !b.Offers(card.Strict) {
			b.t.Error("the card is not offered")
		}
	})
}

// counting counts what is written.
type counting struct {
	ephemeral.Store
	mu     sync.Mutex
	writes int
}

func (c *counting) wrote() { c.mu.Lock(); defer c.mu.Unlock(); c.writes++ }

func (c *counting) Put(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	c.wrote()
	return c.Store.Put(ctx, key, value, ttl)
}

func (c *counting) Replace(ctx context.Context, key string, old, value []byte, ttl time.Duration) error {
	c.wrote()
	return c.Store.Replace(ctx, key, old, value, ttl)
}

func (c *counting) Increment(ctx context.Context, key string, window time.Duration) (int64, time.Duration, error) {
	c.wrote()
	return c.Store.Increment(ctx, key, window)
}

// Strangers fill nothing: a name that no attempt has is not written down, and one
// that has an attempt takes a bounded number of signs.
func TestSignsOfStrangersAreNotKept(t *testing.T) {
	e := &counting{Store: ephemeral.NewMemory(time.Now)}
	b := newBench(t, storetest.Open(t, store.SQLite), e)
	for range 10 {
		if err := (Attempts{b.Service}).Note(t.Context(), "nobody.card.example", card.Began); err != nil {
			t.Fatal(err)
		}
	}
	if e.writes != 0 {
		t.Errorf("%d writes", e.writes)
	}
	ctx, d := t.Context(), demand("tx")
	b.at(b.Start(ctx, d, nil))(AskPassword)
	to := must[string](t)(b.BeginCard(ctx, d, card.Strict))
	e.writes = 0
	for range 100 {
		b.note(to, card.Began, card.Broke, "no such sign")
	}
	if e.writes != 2*mostSigns {
		t.Errorf("%d writes", e.writes)
	}
}

// Fifty at once, over two replicas of the service: every sign counts that is
// counted, and the result is never lost among them.
func TestParallelSigns(t *testing.T) {
	ephemeraltest.Each(t, func(t *testing.T, e ephemeral.Store) {
		db := storetest.Open(t, store.SQLite)
		b := newBench(t, db, e)
		other := newBench(t, db, e)
		ctx, d := t.Context(), demand("tx")
		b.at(b.Start(ctx, d, nil))(AskPassword)
		to := must[string](t)(b.BeginCard(ctx, d, card.Strict))
		_, name := ticketOf(t, to)
		var all sync.WaitGroup
		for i := range 50 {
			all.Go(func() {
				at := Attempts{[]*Service{b.Service, other.Service}[i%2]}
				if err := at.Note(ctx, name, []card.Sign{card.Began, card.Broke}[i/2%2]); err != nil {
					t.Error(err)
				}
			})
		}
		all.Go(func() { b.present(to, card.Result{Verdict: card.Expired, At: b.now()}) })
		all.Wait()
		s := must[CardState](t)(b.CardState(ctx, d))
		f := must[Flow](t)(b.Start(ctx, d, nil))
		c, _, err := b.course(ctx, f.Attempt)
		if err != nil || s.Code != "card_expired" || c.Began != mostSigns || c.Broke != mostSigns {
			t.Errorf("%+v %+v %v", s, c, err)
		}
	})
}

// S26: a ticket opens at the place that it was given for, and nowhere else; there
// it is not spent. A result serves the kind of attempt that it was made for.
func TestTicketIsForOnePlace(t *testing.T) {
	each(t, func(b *bench) {
		ctx, d := b.t.Context(), demand("tx")
		at := Attempts{b.Service}
		id := b.settled("Matti", identity.MethodCard)
		self := identity.Self{User: id, Session: "s1", AuthTime: b.now()}
		b.at(b.Start(ctx, d, nil))(AskPassword)
		const browser, back = "browser-1", "https://id.example/card-test"
		begin := map[string]func() (string, error){
			"sign-in":     func() (string, error) { return b.BeginCard(ctx, d, card.Strict) },
			"old sign-in": func() (string, error) { return b.BeginCard(ctx, d, card.OldTLS) },
			"link":        func() (string, error) { return b.BeginLink(ctx, self, card.Strict, "https://us.example/") },
			"test":        func() (string, error) { return b.BeginTest(ctx, Test{Browser: browser, From: from, Back: back}) },
			"any test": func() (string, error) {
				return b.BeginTest(ctx, Test{Browser: browser, From: from, Mode: card.AnyCA, Back: back})
			},
		}
		for kind, f := range begin {
			ticket, name := ticketOf(b.t, must[string](b.t)(f()))
			for elsewhere, g := range begin {
				_, wrong := ticketOf(b.t, must[string](b.t)(g()))
				if _, err := at.Open(ctx, ticket, wrong); fault.Code(err) != "card_ticket_spent" {
					b.t.Errorf("%s at the place of %s: %v", kind, elsewhere, err)
				}
			}
			if _, err := at.Open(ctx, ticket, name); err != nil {
				b.t.Errorf("%s: the right place refuses after the wrong ones: %v", kind, err)
			}
			if _, err := at.Open(ctx, ticket, name); fault.Code(err) != "card_ticket_spent" {
				b.t.Errorf("%s: opened twice: %v", kind, err)
			}
		}
		if _, err := b.BeginCard(ctx, d, card.AnyCA); fault.Code(err) != "card_unavailable" {
			b.t.Errorf("sign-in with any CA: %v", err)
		}
		if _, err := b.BeginLink(ctx, self, card.AnyCA, "https://us.example/"); fault.Code(err) != "card_unavailable" {
			b.t.Errorf("link with any CA: %v", err)
		}
		// A result that says another mode than its attempt's is a fault of the card host.
		ticket, name := ticketOf(b.t, must[string](b.t)(begin["sign-in"]()))
		a := must[card.Attempt](b.t)(at.Open(ctx, ticket, name))
		swapped := b.good("01")
		swapped.Mode = card.AnyCA
		if to, err := at.Finish(ctx, a, swapped); err == nil {
			b.t.Errorf("a sign-in in mode any: %s", to)
		}

		take := map[string]func(code string) error{
			"sign-in": func(code string) error { _, _, err := b.Card(ctx, d, code); return err },
			"link":    func(code string) error { _, err := b.SeenCard(ctx, self, code); return err },
			"test":    func(code string) error { _, err := b.TakeTest(ctx, browser, code); return err },
		}
		for made := range take {
			for used, f := range take {
				code := b.present(must[string](b.t)(begin[made]()), b.good("01"))
				if err := f(code); (fault.Code(err) == "card_ticket_spent") != (made != used) {
					b.t.Errorf("a result of a %s as that of a %s: %v", made, used, err)
				}
			}
		}
	})
}

// S66: a test is for the browser that began it, its newest, once; it tells every
// verdict and changes nothing.
func TestCardTest(t *testing.T) {
	eachEphemeral(t, func(b *bench) {
		ctx := b.t.Context()
		mine := Test{Browser: "mine", From: from, Mode: card.AnyCA, Back: "https://id.example/card-test"}
		state := func() CardState { return must[CardState](b.t)(b.TestState(ctx, "mine", false)) }
		if s := state(); s.Phase != NoAttempt {
			b.t.Errorf("%+v", s)
		}
		result := card.Result{Verdict: card.UntrustedIssuer, Failed: card.CheckIssuer, Mode: card.AnyCA, At: b.now()}
		older := b.present(must[string](b.t)(b.BeginTest(ctx, mine)), result)
		to := must[string](b.t)(b.BeginTest(ctx, mine))
		if s := state(); s.Phase != Waiting || s.Mode != card.AnyCA {
			b.t.Errorf("%+v", s)
		}
		b.note(to, card.Began, card.Broke)
		if s := state(); s.Phase != Broken {
			b.t.Errorf("%+v", s)
		}
		if s := must[CardState](b.t)(b.TestState(ctx, "mine", true)); s.Code != "card_handshake_broken" {
			b.t.Errorf("%+v", s)
		}
		newer := b.present(to, result)
		if s := state(); s.Code != "card_untrusted_issuer" || !s.Result {
			b.t.Errorf("%+v", s)
		}
		stolen := b.present(must[string](b.t)(b.BeginTest(ctx, Test{Browser: "yours", From: from, Mode: card.AnyCA, Back: mine.Back})), result)
		for name, c := range map[string]struct{ browser, code string }{"another browser": {"mine", stolen}, "no browser": {"", older}, "no code": {"mine", "x"}} {
			if _, err := b.TakeTest(ctx, c.browser, c.code); fault.Code(err) != "card_ticket_spent" {
				b.t.Errorf("%s: %v", name, err)
			}
		}
		if r := must[card.Result](b.t)(b.TakeTest(ctx, "mine", newer)); r.Verdict != card.UntrustedIssuer || r.Failed != card.CheckIssuer {
			b.t.Errorf("%+v", r)
		}
		if _, err := b.TakeTest(ctx, "mine", newer); fault.Code(err) != "card_ticket_spent" {
			b.t.Errorf("twice: %v", err)
		}
		if _, err := b.BeginTest(ctx, Test{From: from, Back: mine.Back}); err == nil {
			b.t.Error("a test for no browser")
		}
	})
}

// LinkState follows the newest attempt of the session.
func TestLinkState(t *testing.T) {
	eachEphemeral(t, func(b *bench) {
		ctx := b.t.Context()
		self := identity.Self{User: b.settled("Matti", identity.MethodCard), Session: "s1", AuthTime: b.now()}
		b.note(must[string](b.t)(b.BeginLink(ctx, self, card.OldTLS, "https://us.example/")), card.Began, card.Broke)
		if s := must[CardState](b.t)(b.LinkState(ctx, self, false)); s.Phase != Broken || s.Mode != card.OldTLS {
			b.t.Errorf("%+v", s)
		}
		other := self
		other.Session = "s2"
		if s := must[CardState](b.t)(b.LinkState(ctx, other, false)); s.Phase != NoAttempt {
			b.t.Errorf("another session is told: %+v", s)
		}
	})
}
