package keys

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/fault"
)

const day = 24 * time.Hour

func noon() *clock { return &clock{t: time.Unix(1_800_000_000, 0)} }

var silent = slog.New(slog.DiscardHandler)

func TestADurationIsSpeltForPeople(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 min", time.Nanosecond: "1 min", 61 * time.Second: "2 min", time.Hour: "1 h", 24*time.Hour - 250*time.Millisecond: "1 day",
		90 * time.Minute: "1 h 30 min", 49*time.Hour + time.Minute: "2 days 1 h 1 min",
	} {
		if got := spell(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}

func TestAnEarlyPromotionSaysWhenItMayBe(t *testing.T) {
	c := noon()
	r := open(t, &shelf{}, master(t), Options{Kinds: quick, Now: c.now})
	if _, err := r.Prepare(t.Context(), P256); err != nil {
		t.Fatal(err)
	}
	c.pass(90*time.Minute + 17*time.Second)
	want := "The next P-256 key was published 1 h 31 min ago; services need 1 day to fetch it. It can be promoted in 22 h 30 min."
	if err := r.Promote(t.Context(), P256); err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
}

func TestAReplacedKeyVerifiesNoLonger(t *testing.T) {
	store, m, c := &shelf{}, master(t), noon()
	o := Options{Kinds: quick, PublishFor: time.Hour, Now: c.now, Actor: "operator:liisa"}
	r, replica := open(t, store, m, o), open(t, store, m, o)
	ctx := t.Context()
	older, _ := r.Sign(ES256, "", []byte("1"))
	if _, err := r.Prepare(ctx, P256); err != nil {
		t.Fatal(err)
	}
	c.pass(time.Hour)
	if err := r.Promote(ctx, P256); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Prepare(ctx, P256); err != nil {
		t.Fatal(err)
	}
	old, _ := r.Sign(ES256, "", []byte("2"))
	other, _ := r.Sign(EdDSA, "", []byte("3"))
	former := slices.Clone(r.PublicSet().Keys)
	_, etag := r.JWKS()
	told := len(store.events)

	id, err := r.Replace(ctx, P256, false)
	if err != nil {
		t.Fatal(err)
	}
	if kid, _, _ := r.Signer(ES256); kid != id {
		t.Error("the new key does not sign at once")
	}
	if _, now := r.JWKS(); now == etag {
		t.Error("the entity tag did not change")
	}
	fresh, _ := r.Sign(ES256, "", []byte("4"))
	// The replica has not heard of it, and takes the new token all the same.
	if _, _, err := replica.Verify(fresh, "", ES256); err != nil {
		t.Error("another replica does not take a token of the new key:", err)
	}
	for name, ring := range map[string]*Ring{"here": r, "another replica": replica} {
		for _, token := range []string{older, old} {
			if _, _, err := ring.Verify(token, "", ES256); !errors.Is(err, ErrNotOurs) {
				t.Errorf("%s: a withdrawn key verifies: %v", name, err)
			}
		}
		if _, _, err := ring.Verify(other, "", EdDSA); err != nil {
			t.Errorf("%s: a key of another kind was withdrawn", name)
		}
		for _, k := range former {
			if publishes(ring, k.KeyID) != (k.Algorithm == string(EdDSA)) {
				t.Errorf("%s: key %s (%s) is published: %t", name, k.KeyID, k.Algorithm, publishes(ring, k.KeyID))
			}
		}
	}
	states := map[string]int{}
	for _, e := range store.events[told:] {
		states[e.Details["state"]]++
		if e.Actor != "operator:liisa" {
			t.Errorf("event %+v", e)
		}
	}
	if len(states) != 2 || states["current"] != 1 || states["withdrawn"] != 3 {
		t.Errorf("events %v", states)
	}
}

func publishes(r *Ring, kid string) bool {
	return slices.ContainsFunc(r.PublicSet().Keys, func(k jose.JSONWebKey) bool { return k.KeyID == kid })
}

func TestAReplacedKeyMayStay(t *testing.T) {
	store, c := &shelf{}, noon()
	r := open(t, store, master(t), Options{Kinds: quick, Now: c.now})
	old, _ := r.Sign(ES256, "", []byte("1"))
	next, _ := r.Prepare(t.Context(), P256)
	id, err := r.Replace(t.Context(), P256, true)
	if kid, _, _ := r.Signer(ES256); err != nil || kid != id || kid == next {
		t.Errorf("%s signs, %v", kid, err)
	}
	if _, _, err := r.Verify(old, "", ES256); err != nil {
		t.Error("a key that was to stay is gone")
	}
	c.pass(7 * day)
	if n, err := r.Retire(t.Context(), P256); n != 1 || err != nil {
		t.Errorf("%d dropped, %v", n, err)
	}
}

func TestOfManyReplacementsAndPromotionsOneWins(t *testing.T) {
	store, m, c := &shelf{}, master(t), noon()
	o := Options{Kinds: quick, PublishFor: time.Minute, Now: c.now}
	rings := [2]*Ring{open(t, store, m, o), open(t, store, m, o)}
	compromised, _, _ := rings[0].Signer(EdDSA)
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			_, err := rings[i%2].Replace(t.Context(), Ed25519, false)
			if err != nil && !fault.Is(err, fault.Conflict) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, r := range rings {
		if err := r.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if kid, _, _ := r.Signer(EdDSA); kid == compromised || publishes(r, compromised) {
			t.Error("the compromised key is still there")
		}
	}
}

// counting is a store that counts readings.
type counting struct {
	*shelf
	readings int
}

func (s *counting) SigningKeys(ctx context.Context) ([]Stored, error) {
	s.readings++
	return s.shelf.SigningKeys(ctx)
}

func TestMadeUpKeyIDsDoNotKeepSQLBusy(t *testing.T) {
	store, c := &counting{shelf: &shelf{}}, noon()
	r := open(t, store, master(t), Options{Kinds: quick, Now: c.now})
	elsewhere := open(t, &shelf{}, master(t), Options{Kinds: quick})
	token, _ := elsewhere.Sign(ES256, "", []byte("1"))
	before := store.readings
	for range 100 {
		if _, _, err := r.Verify(token, "", ES256); !errors.Is(err, ErrNotOurs) {
			t.Fatal(err)
		}
	}
	if n := store.readings - before; n != 1 {
		t.Errorf("%d readings", n)
	}
	c.pass(askEvery)
	if _, _, err := r.Verify(token, "", ES256); err == nil || store.readings-before != 2 {
		t.Errorf("%d readings, %v", store.readings-before, err)
	}
}

// A replica that slept does not know what was withdrawn meanwhile.
func TestASleeperReadsBeforeItSigns(t *testing.T) {
	store, m, c := &shelf{}, master(t), noon()
	o := Options{Kinds: quick, Now: c.now, Log: silent}
	r, sleeper := open(t, store, m, o), open(t, store, m, o)
	old, _ := sleeper.Sign(ES256, "", []byte("1"))
	id, err := r.Replace(t.Context(), P256, false)
	if err != nil {
		t.Fatal(err)
	}
	c.pass(time.Hour)
	if _, _, err := sleeper.Verify(old, "", ES256); err == nil {
		t.Error("it takes what a withdrawn key signed")
	}
	c.pass(time.Hour)
	if kid, _, err := sleeper.Signer(ES256); kid != id || err != nil {
		t.Errorf("it signs with %s, %v", kid, err)
	}
	fresh, _ := sleeper.Sign(ES256, "", []byte("2"))
	store.mu.Lock()
	store.down = errors.New("down")
	store.mu.Unlock()
	c.pass(14 * time.Minute)
	if _, _, err := sleeper.Verify(fresh, "", ES256); err != nil {
		t.Error("a short outage of SQL is felt")
	}
	c.pass(time.Minute)
	if _, err := sleeper.Sign(ES256, "", []byte("3")); err == nil {
		t.Error("it signs although nobody knows whether the key was withdrawn")
	}
	if _, _, err := sleeper.Verify(fresh, "", ES256); !errors.Is(err, ErrNotOurs) {
		t.Error("it verifies although nobody knows whether the key was withdrawn")
	}
	store.mu.Lock()
	store.down = nil
	store.mu.Unlock()
	c.pass(askEvery)
	if _, err := sleeper.Sign(ES256, "", []byte("3")); err != nil {
		t.Error("it does not recover:", err)
	}
}

// A row that this replica cannot open (a master key that it has not got yet) does
// not stop it.
func TestARowThatCannotBeOpenedDoesNotStopTheOthers(t *testing.T) {
	store, c := &shelf{}, noon()
	r := open(t, store, master(t), Options{Kinds: quick, Now: c.now, Log: silent})
	store.rows = append(store.rows, Stored{ID: "new", Kind: P256, State: Next, Sealed: "v1.unknown.x"})
	for range 100 {
		c.pass(time.Minute)
		if err := r.Refresh(t.Context()); err == nil {
			t.Fatal("it was opened")
		}
	}
	if _, err := r.Sign(ES256, "", []byte("1")); err != nil {
		t.Error(err)
	}
	store.rows = slices.DeleteFunc(store.rows, func(k Stored) bool { return k.Kind == P256 && k.State == Current })
	for range 100 {
		c.pass(time.Minute)
		_ = r.Refresh(t.Context())
	}
	if _, err := r.Sign(ES256, "", []byte("1")); err == nil {
		t.Error("it signs with a key that was withdrawn")
	}
}

// replica is one of several in the simulation, with a clock of its own.
type replica struct {
	ring  *Ring
	skew  time.Duration
	awake time.Time // asleep or stopped until then
}

type issued struct {
	token, kid string
	at         time.Time
}

// A year of three replicas whose clocks differ, which sleep for days, stop
// between two steps and start anew, with a service that fetches the JWK set at
// most once an hour. At every moment each token that has not expired verifies on
// every replica that is awake, and each key that signs had been published for
// long before its first signature.
func TestAYearOfRotations(t *testing.T) {
	const step, signFor, publishFor, tokenLife = 3 * time.Hour, 30 * day, day, 3 * time.Hour
	skews := []time.Duration{0, 4 * time.Minute, -4 * time.Minute}
	c, store, m := noon(), &shelf{}, master(t)
	chance := rand.New(rand.NewPCG(1, 2))
	options := func(skew time.Duration) Options {
		return Options{Kinds: quick, SignFor: signFor, PublishFor: publishFor, KeepRetired: 2 * day, Log: silent,
			Now: func() time.Time { return c.now().Add(skew) }}
	}
	replicas := make([]*replica, len(skews))
	for i, skew := range skews {
		replicas[i] = &replica{ring: open(t, store, m, options(skew)), skew: skew}
	}
	published, signed := map[string]time.Time{}, map[string]bool{}
	first := map[string]bool{}
	for _, row := range store.rows {
		first[row.ID] = true // the first of their kind: there was nobody to sign before them
	}
	var tokens []issued
	end := c.now().Add(365 * day)
	for ; c.now().Before(end); c.pass(step) {
		now := c.now()
		chance.Shuffle(len(replicas), func(i, j int) { replicas[i], replicas[j] = replicas[j], replicas[i] })
		var up []*replica
		for _, r := range replicas {
			switch n := chance.IntN(1000); {
			case now.Before(r.awake):
				continue
			case n < 8: // asleep, with what it knew
				r.awake = now.Add(time.Duration(chance.IntN(200)) * time.Hour)
				continue
			case n < 16: // crashed and started anew
				r.ring = open(t, store, m, options(r.skew))
			}
			up = append(up, r)
		}
		// All that are awake at once, as Run does it.
		var all sync.WaitGroup
		for _, r := range up {
			all.Go(func() {
				if err := errors.Join(r.ring.Refresh(t.Context()), r.ring.Advance(t.Context())); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		for _, row := range store.rows {
			if _, seen := published[row.ID]; !seen {
				published[row.ID] = now
			}
		}
		for _, r := range up {
			for _, alg := range []Algorithm{ES256, EdDSA} {
				token, err := r.ring.Sign(alg, "", fmt.Append(nil, now.Unix()))
				if err != nil {
					t.Fatal(err)
				}
				kid, _, _ := r.ring.Signer(alg)
				if !signed[kid] && !first[kid] && now.Sub(published[kid]) < publishFor-8*time.Minute {
					t.Errorf("%s signs %v after it was published", kid, now.Sub(published[kid]))
				}
				signed[kid] = true
				if !slices.ContainsFunc(tokens, func(i issued) bool { return i.kid == kid && i.at.Equal(now) }) { // one of each key will do
					tokens = append(tokens, issued{token, kid, now})
				}
			}
		}
		tokens = slices.DeleteFunc(tokens, func(i issued) bool { return now.After(i.at.Add(tokenLife + 8*time.Minute)) })
		for _, r := range up {
			for _, i := range tokens {
				if _, _, err := r.ring.Verify(i.token, "", ES256, EdDSA); err != nil {
					t.Fatalf("a token of %v does not verify at %v", i.at, now)
				}
			}
		}
		if t.Failed() {
			return
		}
	}
	if n := len(signed) / len(quick); n < 11 || n > 13 {
		t.Errorf("%d keys a kind signed in a year, want about 12", n)
	}
	if len(store.rows) > 3*len(quick) {
		t.Errorf("%d keys were left", len(store.rows))
	}
	told := map[string]int{}
	for _, e := range store.events {
		told[e.Details["key"]+" "+e.Details["state"]]++
	}
	for what, n := range told {
		if n != 1 {
			t.Errorf("%s was told %d times", what, n)
		}
	}
	for id := range signed {
		if told[id+" current"] != 1 {
			t.Errorf("no event tells that %s signs", id)
		}
	}
}

// A ring without a schedule leaves everything to people.
func TestWithoutAScheduleNothingMoves(t *testing.T) {
	store, c := &shelf{}, noon()
	r := open(t, store, master(t), Options{Kinds: quick, Now: c.now})
	before := slices.Clone(store.rows)
	for range 1000 {
		c.pass(day)
		if err := errors.Join(r.Refresh(t.Context()), r.Advance(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(store.rows, before) {
		t.Errorf("got %+v", store.rows)
	}
}

// All were stopped for years: the key that comes next is published first.
func TestAfterALongStopANewKeyIsPublishedFirst(t *testing.T) {
	store, m, c := &shelf{}, master(t), noon()
	o := Options{Kinds: []Kind{P256}, SignFor: 90 * day, Now: c.now, Log: silent}
	old, _, _ := open(t, store, m, o).Signer(ES256)
	c.pass(1000 * day)
	r := open(t, store, m, o)
	advance := func() string {
		t.Helper()
		if err := errors.Join(r.Refresh(t.Context()), r.Advance(t.Context())); err != nil {
			t.Fatal(err)
		}
		kid, _, _ := r.Signer(ES256)
		return kid
	}
	if kid := advance(); kid != old || len(store.rows) != 2 {
		t.Errorf("%s signs, %d keys", kid, len(store.rows))
	}
	c.pass(day - time.Second)
	if advance() != old {
		t.Error("promoted too early")
	}
	c.pass(time.Second)
	if advance() == old {
		t.Error("not promoted")
	}
	c.pass(7*day - time.Second)
	if advance(); len(store.rows) != 2 {
		t.Error("dropped too early")
	}
	c.pass(time.Second)
	if advance(); len(store.rows) != 1 {
		t.Error("not dropped")
	}
}

func TestRunRotates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &shelf{}
		r := open(t, store, master(t), Options{Kinds: []Kind{P256}, SignFor: 3 * time.Hour, PublishFor: time.Hour, Log: silent})
		ctx, stop := context.WithCancel(t.Context())
		old, _, _ := r.Signer(ES256)
		go r.Run(ctx)
		time.Sleep(3*time.Hour + 6*time.Second)
		synctest.Wait()
		if kid, _, _ := r.Signer(ES256); kid == old || len(store.rows) != 2 {
			t.Errorf("%s signs, was %s; %d keys", kid, old, len(store.rows))
		}
		stop()
	})
}

func TestEventsNameTheActor(t *testing.T) {
	store, m := &shelf{}, master(t)
	open(t, store, m, Options{Kinds: []Kind{P256}})
	open(t, store, m, Options{Kinds: []Kind{Ed25519}, Actor: "operator:liisa"})
	if len(store.events) != 2 || store.events[0].Actor != "system" || store.events[1].Actor != "operator:liisa" || store.events[0].Type != audit.KeyCreated {
		t.Errorf("got %+v", store.events)
	}
}
