package clientjwt

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/go-jose/go-jose/v4"

	"github.com/portti-id/portti/internal/keys"
)

// Limits of a client's key set.
const (
	maxKeys     = 32
	maxSetBytes = 64 << 10
	maxKeyID    = 255
	maxTries    = 8 // keys tried for one JWT that names none: each costs a verification
	smallestRSA = 2048
	largestRSA  = 4096 // verifying with larger ones costs us more than it gives
)

// Keys is a client's public keys. It is not changed after it was parsed. Nil holds
// none.
type Keys struct{ keys []key }

// key is one public key and what it may be used for.
type key struct {
	jose.JSONWebKey
	verifies, encrypts bool
}

// ParseKeys reads the JWK set that a client registers (RFC 7517): public RSA keys
// of 2048 to 4096 bits, P-256, P-384, P-521 and Ed25519. Keys of a type that is not
// known here are passed over (RFC 7517 §5). The error says which key is wrong, and
// how, for the person who registers the client.
func ParseKeys(jwks []byte) (*Keys, error) { return parseKeys(jwks, false) }

// parseKeys reads a JWK set. Tolerant passes over every key that cannot be used: in
// a set that was fetched, one new key must not disable the others. A private key
// makes either set useless, since whoever reads it can sign.
func parseKeys(jwks []byte, tolerant bool) (*Keys, error) {
	if len(jwks) > maxSetBytes {
		return nil, fmt.Errorf("the set is longer than %d KiB", maxSetBytes>>10)
	}
	set, ok := readMembers(jwks)
	if !ok {
		return nil, errors.New("this is not a JSON object with distinct member names")
	}
	var list []json.RawMessage
	if raw := set["keys"]; len(raw) == 0 || raw[0] != '[' || json.Unmarshal(raw, &list) != nil {
		return nil, errors.New(`a JWK set is an object with an array "keys"`)
	}
	if len(list) > maxKeys {
		return nil, fmt.Errorf("the set has %d keys, and %d at most are taken", len(list), maxKeys)
	}
	var found Keys
	for i, raw := range list {
		k, err := parseKey(raw)
		switch {
		case errors.Is(err, errSecret), err != nil && !tolerant && !errors.Is(err, errUnknownType):
			return nil, fmt.Errorf("key %d %w", i+1, err)
		case err != nil:
			continue
		}
		if !tolerant && k.KeyID != "" && slices.ContainsFunc(found.keys, k.sameName) {
			return nil, fmt.Errorf("key %d has the kid of another one", i+1)
		}
		found.keys = append(found.keys, k)
	}
	if len(found.keys) == 0 {
		return nil, errors.New("the set has no key that can be used: RSA, EC (P-256, P-384, P-521) or Ed25519")
	}
	return &found, nil
}

var (
	errSecret      = errors.New("is private or symmetric: register the public half alone, and replace this key, since it is no longer secret")
	errUnknownType = errors.New("has a kty or crv that is not known")
)

// secretMembers are those of private and symmetric keys (RFC 7518 §6.2.2, §6.3.2,
// §6.4, RFC 8037 §2, RFC 9964).
var secretMembers = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"}

// usedMembers are what is read of a key; nothing else reaches the library.
var usedMembers = []string{"kty", "crv", "x", "y", "n", "e", "kid", "use", "alg", "x5c"}

func parseKey(raw json.RawMessage) (key, error) {
	all, ok := readMembers(raw)
	if !ok {
		return key{}, errors.New("is not a JSON object")
	}
	used := make(members, len(usedMembers))
	for name, value := range all {
		switch {
		case slices.Contains(secretMembers, name):
			return key{}, errSecret
		case slices.Contains(usedMembers, name):
			used[name] = value
		}
	}
	kty, _, ok1 := all.text("kty")
	crv, _, ok2 := all.text("crv")
	switch {
	case !ok1 || !ok2:
		return key{}, errors.New("has a kty or crv that is not a string")
	case kty == "oct":
		return key{}, errSecret
	case kty == "EC" && slices.Contains([]string{"P-256", "P-384", "P-521"}, crv), kty == "OKP" && crv == "Ed25519", kty == "RSA":
	case kty == "":
		return key{}, errors.New("has no kty")
	default:
		return key{}, errUnknownType
	}
	encoded, err := json.Marshal(used)
	if err != nil {
		return key{}, fmt.Errorf("cannot be read: %w", err)
	}
	var k key
	if err := k.UnmarshalJSON(encoded); err != nil {
		return key{}, errors.New("cannot be read: its numbers or its x5c are wrong, or it is too large")
	}
	k.Algorithm = string(algorithm(k.Algorithm))
	return k, k.check(all)
}

// check holds a key to what is used, and notes what for.
func (k *key) check(all members) error {
	if len(k.KeyID) > maxKeyID {
		return fmt.Errorf("has a kid longer than %d", maxKeyID)
	}
	switch public := k.Key.(type) {
	case *rsa.PublicKey:
		switch bits := public.N.BitLen(); {
		case bits < smallestRSA || bits > largestRSA:
			return fmt.Errorf("has %d bits; RSA keys have %d to %d", bits, smallestRSA, largestRSA)
		case public.N.Bit(0) == 0 || public.E < 3 || public.E&1 == 0 || public.E > math.MaxInt32: // as crypto/rsa has it
			return errors.New("is no RSA key: its modulus and its exponent must be odd, the exponent from 3 to 31 bits")
		}
	case *ecdsa.PublicKey, ed25519.PublicKey:
	default:
		return errUnknownType
	}
	var operations []string
	if raw, there := all["key_ops"]; there && json.Unmarshal(raw, &operations) != nil {
		return errors.New("has key_ops that is not an array of strings")
	}
	may := func(names ...string) bool {
		return operations == nil || slices.ContainsFunc(operations, func(o string) bool { return slices.Contains(names, o) })
	}
	switch k.Use {
	case "", "sig", "enc":
		k.verifies = k.Use != "enc" && may("verify")
		k.encrypts = k.Use != "sig" && may("encrypt", "wrapKey", "deriveKey", "deriveBits")
		return nil
	}
	return errors.New(`has a use that is neither "sig" nor "enc"`)
}

// sameName tells whether two keys cannot be told apart by kid, type and use.
func (k key) sameName(o key) bool {
	return k.KeyID == o.KeyID && fmt.Sprintf("%T", k.Key) == fmt.Sprintf("%T", o.Key) && (k.Use == o.Use || k.Use == "" || o.Use == "")
}

// all returns the keys; a client that registered none may have a nil set.
func (k *Keys) all() []key {
	if k == nil {
		return nil
	}
	return k.keys
}

// Keys makes a registered set a Source: there is never a newer one.
func (k *Keys) Keys(context.Context, *Keys) (*Keys, error) { return k, nil }

// Has tells whether some key serves an algorithm, of signing or of encryption.
func (k *Keys) Has(alg string) bool {
	return slices.ContainsFunc(k.all(), func(k key) bool {
		return k.serves(alg) && (k.verifies && slices.Contains(keys.Algorithms, keys.Algorithm(alg)) || k.encrypts && slices.Contains(KeyEncryptions, alg))
	})
}

// Certificates returns the first certificate of every key that has x5c; its public
// key is that key (RFC 8705 §2.2.2 compares it with the client's).
func (k *Keys) Certificates() []*x509.Certificate {
	var found []*x509.Certificate
	for _, k := range k.all() {
		if len(k.Certificates) > 0 {
			found = append(found, k.Certificates[0])
		}
	}
	return found
}

// serves tells whether a key is of the type that an algorithm takes, and is not
// kept for another one.
func (k key) serves(alg string) bool {
	if k.Algorithm != "" && k.Algorithm != alg {
		return false
	}
	switch public := k.Key.(type) {
	case *rsa.PublicKey:
		return alg == string(keys.RS256) || alg == string(keys.PS256) || alg == string(jose.RSA_OAEP_256)
	case *ecdsa.PublicKey:
		switch jose.KeyAlgorithm(alg) {
		case jose.ECDH_ES, jose.ECDH_ES_A128KW, jose.ECDH_ES_A256KW:
			return true
		}
		return alg == string(keys.ES256) && public.Curve == elliptic.P256()
	case ed25519.PublicKey:
		return alg == string(keys.EdDSA)
	}
	return false
}

// verifying returns the keys that may have signed a JWT. Those without a kid are
// among them whatever it names. named tells that one of them has that very name.
func (k *Keys) verifying(alg keys.Algorithm, kid string) (fit []key, named bool) {
	for _, k := range k.all() {
		if !k.verifies || !k.serves(string(alg)) || kid != "" && k.KeyID != "" && k.KeyID != kid {
			continue
		}
		fit = append(fit, k)
		named = named || kid != "" && k.KeyID == kid
	}
	return fit, named
}
