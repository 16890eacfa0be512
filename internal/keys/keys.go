// Package keys holds the provider's keys: the master keyring that encrypts
// secrets at rest, and the signing keys of tokens with their life
// next → current → retired.
//
//	master.go   Master: seal and open small secrets (AES-256-GCM), from a file
//	ring.go     Ring: an immutable snapshot of the signing keys, swapped at rotation
//	signing.go  one key pair: tokens, signatures, thumbprint
//	rotate.go   prepare, promote, retire, replace
//	schedule.go when a key that grows old is prepared, promoted, retired
//	outlook.go  what becomes of the keys, and who acts
//	token.go    Token: private keys in a device; package keys/pkcs11 is one
//	secret.go   OpenSecret: random bytes under a name, the same for all replicas
//	reseal.go   Reseal: all that is sealed, under the first master key
//
// Signing keys live in SQL, sealed by the master key; all replicas share them.
// Of a key in a device SQL has its state and, sealed as well, where it is.
package keys

import (
	"context"
	"time"

	"github.com/portti-id/portti/internal/audit"
)

// Kind is the kind of a signing key.
type Kind string

const (
	RSA2048 Kind = "RSA-2048" // RS256, PS256
	P256    Kind = "P-256"    // ES256
	Ed25519 Kind = "Ed25519"  // EdDSA
)

// Algorithm is a JWS algorithm (RFC 7518 §3.1, RFC 8037).
type Algorithm string

const (
	RS256 Algorithm = "RS256"
	PS256 Algorithm = "PS256"
	ES256 Algorithm = "ES256"
	EdDSA Algorithm = "EdDSA"
)

// Algorithms is what the ring signs with, RS256 first as OpenID Connect demands it.
var Algorithms = []Algorithm{RS256, ES256, EdDSA, PS256}

// State is a signing key's place in its life.
type State string

const (
	Next    State = "next"    // published, does not sign yet
	Current State = "current" // signs; one per kind
	Retired State = "retired" // published until the last token it signed has expired
)

// gone is the state that events tell of a key that is no longer there: dropped
// when its time was over, withdrawn when it was replaced in an emergency.
const (
	dropped   State = "dropped"
	withdrawn State = "withdrawn"
)

// Stored is a signing key as SQL keeps it.
type Stored struct {
	ID      string // kid
	Kind    Kind
	State   State
	Sealed  string // PKCS #8 DER, or the reference of a key in a token, sealed by Master with the ID as additional data
	Created time.Time
	Moved   time.Time // when it came into this state
}

// Store is what the ring needs of SQL. A change and its events are one
// transaction; of a change that was not made there are no events.
type Store interface {
	// SigningKeys returns all keys, oldest first.
	SigningKeys(ctx context.Context) ([]Stored, error)
	// AddSigningKey adds a key. fault.Conflict when the kind has a key in state
	// Current (or Next) already: two replicas that start at once agree on one.
	AddSigningKey(ctx context.Context, k Stored, e audit.Event) error
	// Rotate makes the next key of a kind current and the current one retired.
	// fault.Conflict when another replica did it first.
	Rotate(ctx context.Context, kind Kind, next, current string, at time.Time, events ...audit.Event) error
	// Replace adds a key that is current at once. The one that was is retired, or
	// deleted when it is among the withdrawn, as are the others of these.
	// fault.Conflict when it is not the current one any more.
	Replace(ctx context.Context, k Stored, current string, withdrawn []string, events ...audit.Event) error
	// DropSigningKey deletes a retired key, and tells whether it was there.
	DropSigningKey(ctx context.Context, id string, e audit.Event) (bool, error)

	Secrets
	Sealings
}
