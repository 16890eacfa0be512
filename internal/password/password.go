// Package password hashes passwords, checks new ones against the rules, and
// makes temporary ones. It is pure: it knows no users and no storage.
//
//	password.go    Hasher: Argon2id, bounded, with a dummy for unknown names
//	phc.go         the stored form
//	rules.go       Rules: what a new password must be (S17)
//	guess.go       how many signs of a password a guesser must really guess
//	temporary.go   Temporary: what a person gets before the first sign-in (S16)
//
// Who may try how often is the business of package throttle.
package password

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"

	"github.com/portti-id/portti/internal/fault"
)

// MaxBytes bounds what is ever hashed, so that a long input costs no more than a
// short one. Longer than any password that the rules accept: 128 code points of
// at most four bytes.
const MaxBytes = 1024

// Params are the cost of a hash and the bounds around it. The zero value of each
// field stands for its default.
type Params struct {
	Time      uint32        // passes over the memory; 2
	MemoryKiB uint32        // memory of one hash in KiB; 47104 (46 MiB)
	Threads   uint8         // lanes; 1
	Parallel  int           // hashes at once; GOMAXPROCS. More is slower and costs MemoryKiB each
	Wait      time.Duration // how long a hash may queue for its turn; 5 s
	Peppers   []Pepper      // keys outside the database; the first is used for new hashes, all verify
}

// Pepper is a key that is mixed into the password before it is hashed, so that a
// stolen database alone cannot be searched.
type Pepper struct {
	ID  string // 1 to 16 letters and digits; stored with the hash
	Key []byte // at least 32 bytes
}

// Hasher hashes and verifies. Its methods may be called by many at once; at most
// Params.Parallel of them work, the others queue.
type Hasher struct {
	cost    cost
	wait    time.Duration
	turn    chan struct{}
	peppers map[string][]byte
	pepper  string // ID of the pepper for new hashes, "" for none
	dummy   stored
}

// NewHasher checks the parameters.
func NewHasher(p Params) (*Hasher, error) {
	if p.Time == 0 {
		p.Time = 2
	}
	if p.MemoryKiB == 0 {
		p.MemoryKiB = 46 * 1024
	}
	if p.Threads == 0 {
		p.Threads = 1
	}
	if p.Parallel == 0 {
		p.Parallel = runtime.GOMAXPROCS(0)
	}
	if p.Wait == 0 {
		p.Wait = 5 * time.Second
	}
	h := &Hasher{
		cost:    cost{time: p.Time, memory: p.MemoryKiB, threads: p.Threads},
		wait:    p.Wait,
		peppers: make(map[string][]byte),
	}
	if err := h.cost.check(); err != nil {
		return nil, fmt.Errorf("password hashing: %w", err)
	}
	if p.Parallel < 1 || p.Wait < 0 {
		return nil, fmt.Errorf("password hashing: parallel %d and wait %s must be positive", p.Parallel, p.Wait)
	}
	h.turn = make(chan struct{}, p.Parallel)
	for i, pepper := range p.Peppers {
		if !pepperID(pepper.ID) {
			return nil, fmt.Errorf("password hashing: pepper %d: the id must be 1 to 16 letters and digits", i+1)
		}
		if len(pepper.Key) < 32 {
			return nil, fmt.Errorf("password hashing: pepper %q: the key must be at least 32 bytes", pepper.ID)
		}
		if _, twice := h.peppers[pepper.ID]; twice {
			return nil, fmt.Errorf("password hashing: pepper %q is there twice", pepper.ID)
		}
		h.peppers[pepper.ID] = pepper.Key
		if i == 0 {
			h.pepper = pepper.ID
		}
	}
	h.dummy = h.fresh()
	h.dummy.hash = random(hashBytes)
	return h, nil
}

// Hash returns the PHC string to store. A password over MaxBytes is fault.Invalid
// "password_too_long"; when no turn comes in time, fault.Unavailable "busy".
func (h *Hasher) Hash(ctx context.Context, pw string) (string, error) {
	if len(pw) > MaxBytes {
		return "", tooLong()
	}
	s := h.fresh()
	sum, err := h.derive(ctx, s, pw)
	if err != nil {
		return "", err
	}
	s.hash = sum
	return s.String(), nil
}

// Verify compares a password with a stored PHC string. rehash tells that the
// password is right but its hash was made at another cost or with another
// pepper, so that the caller may store a new one.
//
// A phc of "" means that no password works: it costs what a wrong password costs
// and is never ok, and so does a person that does not exist (S43). A password over
// MaxBytes is wrong whatever is stored, and is not hashed.
// The error is fault.Unavailable "busy", or ours when the stored string is broken.
func (h *Hasher) Verify(ctx context.Context, phc, pw string) (ok, rehash bool, err error) {
	if len(pw) > MaxBytes {
		return false, false, nil
	}
	s, known := h.dummy, phc != ""
	if known {
		if s, err = parse(phc); err != nil {
			return false, false, err
		}
	}
	sum, err := h.derive(ctx, s, pw)
	if err != nil {
		return false, false, err
	}
	if subtle.ConstantTimeCompare(sum, s.hash) != 1 || !known {
		return false, false, nil
	}
	current := s.cost == h.cost && s.pepper == h.pepper && len(s.salt) == saltBytes && len(s.hash) == hashBytes
	return true, !current, nil
}

// VerifyDummy does the work of Verify for a name that nobody has.
func (h *Hasher) VerifyDummy(ctx context.Context, pw string) error {
	_, _, err := h.Verify(ctx, "", pw)
	return err
}

// fresh is what a new hash starts from.
func (h *Hasher) fresh() stored {
	return stored{cost: h.cost, pepper: h.pepper, salt: random(saltBytes)}
}

// derive waits for a turn and computes the hash of pw with s's salt and cost.
func (h *Hasher) derive(ctx context.Context, s stored, pw string) ([]byte, error) {
	input := norm.NFC.Bytes([]byte(pw))
	if s.pepper != "" {
		key, ok := h.peppers[s.pepper]
		if !ok {
			return nil, fmt.Errorf("password hash: pepper %q is not among the settings", s.pepper)
		}
		mac := hmac.New(sha256.New, key)
		mac.Write(input)
		input = mac.Sum(nil)
	}
	if err := h.takeTurn(ctx); err != nil {
		return nil, err
	}
	defer func() { <-h.turn }()
	size := uint32(len(s.hash))
	if size == 0 {
		size = hashBytes
	}
	return argon2.IDKey(input, s.salt, s.cost.time, s.cost.memory, s.cost.threads, size), nil
}

// takeTurn queues for one of the places. Sixteen hashes at once on two cores give
// fewer results a second than two at once, and eight times the memory.
func (h *Hasher) takeTurn(ctx context.Context) error {
	select {
	case h.turn <- struct{}{}:
		return nil
	default:
	}
	late := time.NewTimer(h.wait)
	defer late.Stop()
	select {
	case h.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("password hash: %w", context.Cause(ctx))
	case <-late.C:
		return fault.New(fault.Unavailable, "busy", "Too many people are signing in right now. Try again in a moment.").After(h.wait)
	}
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return b
}
