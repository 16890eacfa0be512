package login

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/ephemeral"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/throttle"
)

const (
	attemptLasts = flowLasts        // how long it is known what became of an attempt
	silence      = 60 * time.Second // without a sign decides (S35)
	enoughBreaks = 2                // decide; the first may be Chromium's, which asks for the certificate then
	mostSigns    = 8                // of each, that are counted
)

// course is what became of an attempt so far. It is one value, because the page
// that polls reads it every second, and changes by compare-and-swap only.
type course struct {
	Mode    card.Mode `json:"mode,omitempty"`
	Own     bool      `json:"own,omitempty"` // its handshakes are seen; see card.Place
	Begun   time.Time `json:"begun"`
	Last    time.Time `json:"last,omitzero"` // of the signs
	Began   int       `json:"began,omitempty"`
	Broke   int       `json:"broke,omitempty"`
	Bare    int       `json:"bare,omitempty"`
	Carried int       `json:"carried,omitempty"`
	Said    bool      `json:"said,omitempty"` // the person says that it did not work
	Code    string    `json:"code,omitempty"` // of the result; see CardState
	Tail    string    `json:"tail,omitempty"`
}

// Phase is how far a card attempt has come.
type Phase string

const (
	NoAttempt Phase = "none"    // there is none, or it is long over
	Waiting   Phase = "waiting" // no connection has come
	Reached   Phase = "reached" // one has
	Broken    Phase = "broken"  // one has come and broken, which alone means nothing
	Decided   Phase = "decided"
)

// CardState is what is known of a card attempt, for the page that the person
// sees meanwhile and for the one that she comes back to (S35).
type CardState struct {
	Phase Phase
	Mode  card.Mode

	// Code is the outcome when Phase is Decided: "card_" and a card.Verdict, or the
	// code of another fault that Service.Card returns. Tail is the end of the card's
	// serial number, when it was read.
	Code, Tail string

	// Result tells that the card host has sent the browser back with the outcome; it
	// comes to the person by itself.
	Result bool

	// Silent tells that nothing but silence decided: the window in which the browser
	// asks for certificate and PIN may still be open, and the attempt still succeed.
	Silent bool
}

// state is what the signs say at a time. back tells that the person looks at a
// page of ours again, which she does not while the attempt is well: the browser
// has shown an error page, or she has given up.
func (t course) state(now time.Time, back bool) CardState {
	s := CardState{Phase: Decided, Mode: t.Mode, Code: t.likely()}
	last := t.Begun
	if t.Last.After(last) {
		last = t.Last
	}
	switch {
	case t.Code != "":
		s.Code, s.Tail, s.Result = t.Code, t.Tail, true
	case t.Said, t.Broke >= enoughBreaks, back && t.Broke > 0:
	case back, now.Sub(last) >= silence:
		s.Silent = true
	case t.Broke > 0:
		s.Phase, s.Code = Broken, ""
	case t.Began > 0:
		s.Phase, s.Code = Reached, ""
	default:
		s.Phase, s.Code = Waiting, ""
	}
	return s
}

// likely is what the signs speak for. Where they are not seen (a fixed host, TLS
// that a proxy ends) the ladder of a broken handshake has every cause in it.
// A handshake without certificate decides only here, and not at once: with the
// browser's own comes a result, and programs that look into TLS make such
// handshakes of their own while the person still chooses.
func (t course) likely() string {
	switch {
	case t.Own && t.Began+t.Broke+t.Bare+t.Carried == 0:
		return "card_" + string(card.NeverReached)
	case t.Bare > 0 && t.Broke == 0 && t.Carried == 0:
		return "card_" + string(card.NoCertificate)
	}
	return "card_" + string(card.HandshakeBroken)
}

// follow begins the course of an attempt. Where its place has a name of its own,
// what happens there is known to be the attempt's.
func (s *Service) follow(ctx context.Context, a attempt, place card.Place) error {
	value, err := json.Marshal(course{Mode: a.Mode, Own: place.Own, Begun: s.Now().UTC()})
	if err != nil {
		return err
	}
	if err := s.Ephemeral.Put(ctx, courseKey(a.ID), value, attemptLasts); err != nil || !place.Own {
		return err
	}
	return s.Ephemeral.Put(ctx, placeKey(place.Name), []byte(a.ID), attemptLasts)
}

func courseKey(id string) string  { return ephemeral.Key("attempt", id) }
func placeKey(name string) string { return ephemeral.Key("cardplace", name) }

// Note counts a sign for the attempt that has this name. It implements
// card.Attempts.
func (at Attempts) Note(ctx context.Context, name string, sign card.Sign) error {
	id, err := at.Service.Ephemeral.Get(ctx, placeKey(name))
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return at.Service.change(ctx, string(id), func(t *course) bool {
		n := map[card.Sign]*int{card.Began: &t.Began, card.Broke: &t.Broke, card.Bare: &t.Bare, card.Carried: &t.Carried}[sign]
		if n == nil || *n >= mostSigns {
			return false
		}
		*n++
		t.Last = at.Service.Now().UTC()
		return true
	})
}

// decided notes the result of an attempt.
func (s *Service) decided(ctx context.Context, id, code, tail string) error {
	return s.change(ctx, id, func(t *course) bool {
		t.Code, t.Tail = code, tail
		return true
	})
}

// change changes the course of an attempt, unless edit says that nothing is to be
// done. What is no longer followed is no error.
func (s *Service) change(ctx context.Context, id string, edit func(t *course) bool) error {
	// Whoever loses a round was beaten by a change, and there are few of them:
	// mostSigns of each kind, the result, its correction, and the person's word.
	for range 6 * mostSigns {
		t, raw, err := s.course(ctx, id)
		if fault.Is(err, fault.NotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		left := attemptLasts - s.Now().Sub(t.Begun)
		if !edit(&t) || left <= 0 {
			return nil
		}
		value, err := json.Marshal(t)
		if err != nil {
			return err
		}
		err = s.Ephemeral.Replace(ctx, courseKey(id), raw, value, min(left, attemptLasts))
		if !fault.Is(err, fault.Conflict) {
			if fault.Is(err, fault.NotFound) {
				return nil
			}
			return err
		}
	}
	return fmt.Errorf("a card attempt changes all the time")
}

func (s *Service) course(ctx context.Context, id string) (course, []byte, error) {
	raw, err := s.Ephemeral.Get(ctx, courseKey(id))
	if err != nil {
		return course{}, nil, err
	}
	var t course
	if err := json.Unmarshal(raw, &t); err != nil {
		return course{}, nil, fmt.Errorf("decode course of card attempt: %w", err)
	}
	return t, raw, nil
}

// stateOf is the state of the attempt with this ID, "" for none.
func (s *Service) stateOf(ctx context.Context, id string, back bool) (CardState, error) {
	if id == "" {
		return CardState{Phase: NoAttempt}, nil
	}
	t, _, err := s.course(ctx, id)
	if fault.Is(err, fault.NotFound) {
		return CardState{Phase: NoAttempt}, nil
	}
	if err != nil {
		return CardState{}, err
	}
	return t.state(s.Now(), back), nil
}

// CardState tells the page that polls how the attempt of its sign-in goes.
func (s *Service) CardState(ctx context.Context, d Demand) (CardState, error) {
	f, _, err := s.load(ctx, d)
	if err != nil {
		return CardState{}, err
	}
	if err := s.Throttle.Attempt(ctx, throttle.Use{Limit: throttle.CardPollPerSignIn, Subject: f.TX}); err != nil {
		return CardState{}, err
	}
	return s.stateOf(ctx, f.Attempt, false)
}

// LastCard tells what became of the flow's attempt to a person who has come back
// to the sign-in without a result: nothing is left undecided.
func (s *Service) LastCard(ctx context.Context, f Flow) (CardState, error) {
	state, err := s.stateOf(ctx, f.Attempt, true)
	noteSigns(ctx, state, "signs")
	return state, err
}

// CardFailed takes the person's own word that the attempt did not work, and says
// what the signs make of it. The attempt stays open: should a result come after
// all, it counts.
func (s *Service) CardFailed(ctx context.Context, d Demand) (CardState, error) {
	f, _, err := s.load(ctx, d)
	if err != nil {
		return CardState{}, err
	}
	if f.Attempt == "" {
		return CardState{Phase: NoAttempt}, nil
	}
	if err := s.change(ctx, f.Attempt, func(t *course) bool {
		t.Said = true
		return true
	}); err != nil {
		return CardState{}, err
	}
	state, err := s.stateOf(ctx, f.Attempt, true)
	noteSigns(ctx, state, "person")
	return state, err
}

// LinkState tells how the newest linking attempt of a person's session goes,
// until its result is taken; back as for LastCard.
func (s *Service) LinkState(ctx context.Context, self identity.Self, back bool) (CardState, error) {
	return s.stateAt(ctx, linkKey(self), back)
}

// TestState is LinkState for the newest test of a browser.
func (s *Service) TestState(ctx context.Context, browser string, back bool) (CardState, error) {
	return s.stateAt(ctx, testKey(browser), back)
}

func (s *Service) stateAt(ctx context.Context, key string, back bool) (CardState, error) {
	id, err := s.Ephemeral.Get(ctx, key)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return CardState{}, err
	}
	return s.stateOf(ctx, string(id), back)
}
