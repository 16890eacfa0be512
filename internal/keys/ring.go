package keys

import (
	"cmp"
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/fault"
)

// Options of a ring. The zero value works.
type Options struct {
	Kinds       []Kind        // RSA-2048, P-256 and Ed25519
	SignFor     time.Duration // how long a key signs until Run replaces it; 0: keys are rotated by hand alone
	PublishFor  time.Duration // how long a key is published before it signs, so that every client has fetched it; 24 h
	KeepRetired time.Duration // how long a retired key stays published, so that every token it signed has expired; 7 days
	Refresh     time.Duration // how often Run looks for what other replicas did; 5 s
	Stale       time.Duration // how old a reading may be when SQL does not answer; then nothing is signed or verified; 15 min
	Token       Token         // where keys of TokenKinds are made and sign; nil: all are in SQL
	TokenKinds  []Kind        // not Ed25519
	Actor       string        // whom events name; "system"
	Now         func() time.Time
	Log         *slog.Logger
}

func (o Options) withDefaults() Options {
	if len(o.Kinds) == 0 {
		o.Kinds = []Kind{RSA2048, P256, Ed25519}
	}
	o.PublishFor = cmp.Or(o.PublishFor, 24*time.Hour)
	o.KeepRetired = cmp.Or(o.KeepRetired, 7*24*time.Hour)
	o.Refresh = cmp.Or(o.Refresh, 5*time.Second)
	o.Stale = cmp.Or(o.Stale, 15*time.Minute)
	o.Actor = cmp.Or(o.Actor, "system")
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return o
}

// Ring signs with the current keys and publishes all of them. What it works on is
// an immutable snapshot, so that no token waits for a lock or for SQL.
//
// A key's life: Prepare publishes it, Promote lets it sign and retires the former
// one, Retire drops what has been retired long enough. Each is one call by an
// operator or by the schedule of Run; other replicas follow with their next
// Refresh, and until then know the new key already, since it was published
// before. Replace alone lets a key sign that nobody has seen.
type Ring struct {
	store   Store
	master  *Master
	o       Options
	now     atomic.Pointer[snapshot]
	read    atomic.Int64 // when SQL was last read, Unix nanoseconds of Options.Now
	refresh sync.Mutex   // one at a time, so that an older reading never replaces a newer
	asked   time.Time    // when a caller last waited for a reading; under refresh
}

// snapshot is all that the ring knows at one moment. It never changes.
type snapshot struct {
	rows    []Stored // oldest first
	keys    map[string]*signing
	current map[Kind]*signing
	set     jose.JSONWebKeySet
	body    []byte
	etag    string
}

// OpenRing loads the signing keys and makes a current one for every kind that has
// none. Of replicas that start at once, one makes it and the others take it.
func OpenRing(ctx context.Context, store Store, master *Master, o Options) (*Ring, error) {
	r := &Ring{store: store, master: master, o: o.withDefaults()}
	for _, kind := range r.o.Kinds {
		rows, err := store.SigningKeys(ctx)
		if err != nil {
			return nil, fmt.Errorf("signing keys: %w", err)
		}
		if slices.ContainsFunc(rows, func(k Stored) bool { return k.Kind == kind && k.State == Current }) {
			continue
		}
		if _, err := r.add(ctx, kind, Current); err != nil && !fault.Is(err, fault.Conflict) {
			return nil, err
		}
	}
	if err := r.Refresh(ctx); err != nil {
		return nil, err
	}
	if err := r.checkTokens(); err != nil {
		return nil, err
	}
	return r, nil
}

// add makes a key and stores it. A key that nobody will use is not left behind in
// the token.
func (r *Ring) add(ctx context.Context, kind Kind, state State) (id string, err error) {
	row, s, err := r.make(kind, state)
	if err != nil {
		return "", err
	}
	if err := r.store.AddSigningKey(ctx, row, r.event(ctx, audit.KeyCreated, kind, row.ID, state)); err != nil {
		if !fault.Is(err, fault.Unavailable) { // else it may have been stored
			r.destroy(ctx, s)
		}
		return "", fmt.Errorf("add a signing key: %w", err)
	}
	return row.ID, nil
}

// make makes a key pair, in the token when the kind's keys are there.
func (r *Ring) make(kind Kind, state State) (Stored, *signing, error) {
	s, err := r.generate(kind)
	if err != nil {
		return Stored{}, nil, fmt.Errorf("make a signing key: %w", err)
	}
	sealed, err := s.seal(r.master)
	if err != nil {
		return Stored{}, nil, fmt.Errorf("make a signing key: %w", err)
	}
	now := r.o.Now().UTC()
	return Stored{ID: s.id, Kind: kind, State: state, Sealed: sealed, Created: now, Moved: now}, s, nil
}

func (r *Ring) event(ctx context.Context, what audit.Type, kind Kind, id string, state State) audit.Event {
	by := r.actor(ctx)
	return audit.Event{At: r.o.Now().UTC(), Type: what, Actor: by.name, Address: by.address,
		Details: map[string]string{"key": id, "kind": string(kind), "state": string(state)}}
}

// Refresh reads the keys anew. When it fails the ring goes on with what it has.
func (r *Ring) Refresh(ctx context.Context) error {
	r.refresh.Lock()
	defer r.refresh.Unlock()
	return r.reread(ctx)
}

// reread is Refresh for those that hold its lock.
func (r *Ring) reread(ctx context.Context) error {
	began := wall(r.o.Now())
	rows, err := r.store.SigningKeys(ctx)
	if err != nil {
		return fmt.Errorf("signing keys: %w", err)
	}
	last := r.now.Load()
	next, err := r.snapshot(rows, last)
	if err != nil {
		if last != nil && last.within(rows) {
			r.read.Store(began.UnixNano()) // what we have is still good, whatever came to it
		}
		return fmt.Errorf("signing keys: %w", err)
	}
	r.now.Store(next)
	r.read.Store(began.UnixNano())
	return nil
}

// within tells whether none of the snapshot's keys has been taken away.
func (s *snapshot) within(rows []Stored) bool {
	return !slices.ContainsFunc(s.rows, func(k Stored) bool {
		return !slices.ContainsFunc(rows, func(o Stored) bool { return o.ID == k.ID })
	})
}

// wall is t without its monotonic part, which stands still while a machine sleeps.
func wall(t time.Time) time.Time { return t.Round(0) }

// latest is the snapshot to work with. A replica that slept, or that Run could not
// refresh for long, reads SQL first: it may hold a key that has been withdrawn. nil
// when that fails.
func (r *Ring) latest() *snapshot {
	if r.fresh() || r.ask(r.fresh) {
		return r.now.Load()
	}
	return nil
}

func (r *Ring) fresh() bool {
	age := wall(r.o.Now()).UnixNano() - r.read.Load()
	return age < int64(r.o.Stale) && age > -int64(r.o.Stale) // a clock that was set back tells nothing either
}

// Limits of readings that callers wait for, so that nobody who sends in tokens
// with made-up key IDs keeps SQL busy.
const (
	askEvery = 2 * time.Second
	askLimit = 2 * time.Second
)

// ask reads SQL for a caller who misses something, unless somebody just did, and
// tells whether it is there now.
func (r *Ring) ask(there func() bool) bool {
	r.refresh.Lock()
	defer r.refresh.Unlock()
	if there() {
		return true
	}
	now := wall(r.o.Now())
	if since := now.Sub(r.asked); since >= 0 && since < askEvery {
		return false
	}
	r.asked = now
	ctx, cancel := context.WithTimeout(context.Background(), askLimit)
	defer cancel()
	if err := r.reread(ctx); err != nil {
		r.o.Log.WarnContext(ctx, "signing keys not refreshed", "error", err)
		return false
	}
	return there()
}

// snapshot prepares what signing needs, and takes key pairs over from the last
// one, as unsealing is slow.
func (r *Ring) snapshot(rows []Stored, last *snapshot) (*snapshot, error) {
	if last != nil && slices.Equal(rows, last.rows) {
		return last, nil
	}
	s := &snapshot{rows: rows, keys: make(map[string]*signing), current: make(map[Kind]*signing)}
	for _, row := range rows {
		var pair *signing
		if last != nil {
			pair = last.keys[row.ID]
		}
		if pair == nil {
			var err error
			if pair, err = r.unseal(row); err != nil {
				return nil, fmt.Errorf("key %s: %w", row.ID, err)
			}
		}
		s.keys[row.ID] = pair
		if row.State == Current && slices.Contains(r.o.Kinds, row.Kind) {
			if s.current[row.Kind] != nil {
				return nil, fmt.Errorf("kind %s has two current keys", row.Kind)
			}
			s.current[row.Kind] = pair
		}
	}
	for _, kind := range r.o.Kinds {
		if s.current[kind] == nil {
			return nil, fmt.Errorf("kind %s has no current key", kind)
		}
	}
	return s, s.publish()
}

// publish renders the JWK set: keys that sign first, then those that will, then
// those that did; within these in the order of their age.
func (s *snapshot) publish() error {
	order := []State{Current, Next, Retired}
	rows := slices.Clone(s.rows)
	slices.SortStableFunc(rows, func(a, b Stored) int {
		return cmp.Compare(slices.Index(order, a.State), slices.Index(order, b.State))
	})
	s.set.Keys = make([]jose.JSONWebKey, 0, len(rows))
	for _, row := range rows {
		s.set.Keys = append(s.set.Keys, s.keys[row.ID].jwk)
	}
	body, err := json.Marshal(s.set)
	if err != nil {
		return fmt.Errorf("render the JWK set: %w", err)
	}
	sum := sha256.Sum256(body)
	s.body, s.etag = body, `"`+base64.RawURLEncoding.EncodeToString(sum[:12])+`"`
	return nil
}

// Run refreshes and follows the schedule until ctx ends.
func (r *Ring) Run(ctx context.Context) {
	tick := time.NewTicker(r.o.Refresh)
	defer tick.Stop()
	known := make(map[string]bool)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := r.Refresh(ctx); err != nil {
				if ctx.Err() == nil {
					r.o.Log.WarnContext(ctx, "signing keys not refreshed", "error", err)
				}
				continue // what is due is told by the clock and by SQL together
			}
			r.foresee(ctx, known)
			if err := r.Advance(ctx); err != nil && ctx.Err() == nil {
				r.o.Log.ErrorContext(ctx, "signing keys not rotated", "error", err)
			}
		}
	}
}

// Sign returns a compact JWS of payload by the current key. typ is the header's
// type ("JWT", "at+jwt", "logout+jwt"), "" for none.
func (r *Ring) Sign(alg Algorithm, typ string, payload []byte) (string, error) {
	s, err := r.signing(alg)
	if err != nil {
		return "", err
	}
	token, err := s.token(alg, typ, payload)
	if err != nil {
		return "", fmt.Errorf("sign with %s: %w", alg, err)
	}
	return token, nil
}

func (r *Ring) signing(alg Algorithm) (*signing, error) {
	kind, known := kindOf(alg)
	now := r.latest()
	if now == nil {
		return nil, fmt.Errorf("the signing keys were last read more than %s ago and the database does not answer", r.o.Stale)
	}
	if s := now.current[kind]; known && s != nil {
		return s, nil
	}
	return nil, fmt.Errorf("no signing key for algorithm %q", alg)
}

// Signer returns the current key of an algorithm for libraries that sign on
// their own. For PS256 they must pass rsa.PSSSaltLengthEqualsHash.
func (r *Ring) Signer(alg Algorithm) (kid string, private crypto.Signer, err error) {
	s, err := r.signing(alg)
	if err != nil {
		return "", nil, err
	}
	return s.id, s.private, nil
}

// Algorithms is what the ring can sign with, RS256 first.
func (r *Ring) Algorithms() []Algorithm {
	return slices.DeleteFunc(slices.Clone(Algorithms), func(alg Algorithm) bool {
		kind, _ := kindOf(alg)
		return !slices.Contains(r.o.Kinds, kind)
	})
}

// ErrNotOurs is a token that no key of the ring signed as it claims.
var ErrNotOurs = errors.New("the token is not signed by a key of this ring")

// maxToken bounds what Verify looks at, in bytes.
const maxToken = 16 << 10

// Verify returns the payload of a token that a key of the ring signed, current,
// next or retired, not withdrawn. Its header's type must be typ, so that no kind of token passes for
// another (RFC 8725 §3.11); "" and "JWT" stand for each other. Claims are the
// caller's to check. Every error is ErrNotOurs.
func (r *Ring) Verify(token, typ string, allowed ...Algorithm) (payload []byte, kid string, err error) {
	if len(token) > maxToken || strings.ContainsAny(token, "\r\n") { // base64 skips line ends, even when strict
		return nil, "", ErrNotOurs
	}
	part := strings.Split(token, ".")
	if len(part) != 3 {
		return nil, "", ErrNotOurs
	}
	b64 := base64.RawURLEncoding.Strict()
	head, err := b64.DecodeString(part[0])
	if err != nil {
		return nil, "", ErrNotOurs
	}
	var h struct {
		Alg  Algorithm       `json:"alg"`
		Kid  string          `json:"kid"`
		Typ  string          `json:"typ"`
		Crit json.RawMessage `json:"crit"`
	}
	if json.Unmarshal(head, &h) != nil || h.Crit != nil || cmp.Or(h.Typ, "JWT") != cmp.Or(typ, "JWT") || !slices.Contains(allowed, h.Alg) {
		return nil, "", ErrNotOurs
	}
	signature, err := b64.DecodeString(part[2])
	if err != nil {
		return nil, "", ErrNotOurs
	}
	key := r.key(h.Kid)
	if key == nil || !key.verifies(h.Alg, []byte(token[:len(part[0])+1+len(part[1])]), signature) {
		return nil, "", ErrNotOurs
	}
	if payload, err = b64.DecodeString(part[1]); err != nil {
		return nil, "", ErrNotOurs
	}
	return payload, h.Kid, nil
}

// key returns a key by its ID, nil when there is none. Another replica may have
// replaced a key a moment ago, so an unknown one is asked for.
func (r *Ring) key(kid string) *signing {
	if len(kid) != kidLength {
		return nil
	}
	now := r.latest()
	if now == nil {
		return nil
	}
	if s := now.keys[kid]; s != nil {
		return s
	}
	if r.ask(func() bool { return r.now.Load().keys[kid] != nil }) {
		return r.now.Load().keys[kid]
	}
	return nil
}

// PublicSet returns the public keys. The caller must not change it.
func (r *Ring) PublicSet() jose.JSONWebKeySet { return r.published().set }

// JWKS returns the public keys as JSON, and an entity tag that changes with them.
// The caller must not change the body.
func (r *Ring) JWKS() (body []byte, etag string) {
	s := r.published()
	return s.body, s.etag
}

// published is the latest snapshot, or the last one that was read: services that
// ask while SQL is away had better have old keys than none.
func (r *Ring) published() *snapshot {
	if s := r.latest(); s != nil {
		return s
	}
	return r.now.Load()
}
