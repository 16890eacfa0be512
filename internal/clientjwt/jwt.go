package clientjwt

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4"

	"github.com/portti-id/portti/internal/keys"
)

// skew is how far a client's clock may be ahead of ours. FAPI 2.0 Security Profile
// §5.3.2.1 wants 10 s accepted and more than 60 s refused; in between we accept,
// for a clock that is wrong by half a minute is no attack.
const skew = time.Minute

// token is a JWS in compact form (RFC 7515 §7.1) whose signature was not checked.
type token struct {
	raw    string
	alg    keys.Algorithm
	kid    string
	typ    string
	claims members
}

// parse takes a JWT apart. Only one spelling of every part is accepted, so that the
// bytes that are read here are those that the library verifies.
func parse(raw string, longest int) (token, error) {
	if len(raw) > longest {
		return token{}, ErrTooLong
	}
	part := strings.Split(raw, ".")
	switch {
	case len(part) == 5:
		return token{}, ErrEncrypted
	case len(part) != 3:
		return token{}, ErrMalformed
	}
	var decoded [3][]byte
	for i, p := range part {
		d, err := base64.RawURLEncoding.Strict().DecodeString(p)
		if err != nil || len(d) == 0 || strings.ContainsAny(p, "\r\n") { // base64 skips line ends, even when strict
			return token{}, ErrMalformed
		}
		decoded[i] = d
	}
	header, ok1 := readMembers(decoded[0])
	claims, ok2 := readMembers(decoded[1])
	if !ok1 || !ok2 {
		return token{}, ErrMalformed
	}
	// No extension is critical to us (RFC 7515 §4.1.11), the payload is never
	// unencoded (RFC 7797), and the key is the registered one, not one that the
	// JWT brings along (RFC 8725 §3.10). x5c and x5t are sent by some and ignored.
	for _, name := range []string{"crit", "b64", "jwk", "jku", "x5u"} {
		if _, there := header[name]; there {
			return token{}, ErrHeader
		}
	}
	t := token{raw: raw, claims: claims}
	alg, _, ok1 := header.text("alg")
	kid, _, ok2 := header.text("kid")
	typ, _, ok3 := header.text("typ")
	if !ok1 || !ok2 || !ok3 || len(kid) > maxKeyID {
		return token{}, ErrHeader
	}
	t.alg, t.kid, t.typ = algorithm(alg), kid, typ
	return t, nil
}

// algorithm gives Ed25519 by its name of RFC 9864 the one that we know it by.
func algorithm(alg string) keys.Algorithm {
	if alg == "Ed25519" {
		return keys.EdDSA
	}
	return keys.Algorithm(alg)
}

// verify checks the signature. The algorithm is one that the client may use and
// that fits the key's type, so that no key serves two purposes (RFC 8725 §3.1).
func (t token) verify(ctx context.Context, algorithms []keys.Algorithm, source Source) error {
	// Whatever the caller allows: neither "none" nor a symmetric algorithm is known.
	if !slices.Contains(algorithms, t.alg) || !slices.Contains(keys.Algorithms, t.alg) {
		return ErrAlgorithm
	}
	if source == nil {
		return ErrSignature // a client that has registered no keys
	}
	known, err := source.Keys(ctx, nil)
	if err != nil {
		return err
	}
	named, err := t.signedBy(known)
	if err == nil || named {
		return err
	}
	// The client may have changed its keys since. A key that is known by name and
	// does not fit is no reason to look: else strangers could make us call.
	newer, failed := source.Keys(ctx, known)
	if failed != nil {
		return failed
	}
	if newer == known {
		return err
	}
	_, err = t.signedBy(newer)
	return err
}

// signedBy tells whether one of the keys signed the JWT.
func (t token) signedBy(known *Keys) (named bool, err error) {
	fit, named := known.verifying(t.alg, t.kid)
	if len(fit) > maxTries {
		return named, ErrAmbiguous
	}
	for _, k := range fit {
		if k.signed(t) {
			return named, nil
		}
	}
	return named, ErrSignature
}

// signed tells whether the key made the signature of a JWT whose algorithm it serves.
func (k key) signed(t token) bool {
	if public, ok := k.Key.(ed25519.PublicKey); ok { // of which the library knows one name only
		dot := strings.LastIndexByte(t.raw, '.')
		signature, err := base64.RawURLEncoding.DecodeString(t.raw[dot+1:])
		return err == nil && ed25519.Verify(public, []byte(t.raw[:dot]), signature)
	}
	signed, err := jose.ParseSignedCompact(t.raw, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(t.alg)})
	if err != nil {
		return false
	}
	_, err = signed.Verify(k.Key)
	return err == nil
}

// times reads exp, nbf and iat; those that are absent stay zero.
func (t token) times() (expires, notBefore, issued time.Time, err error) {
	for name, into := range map[string]*time.Time{"exp": &expires, "nbf": &notBefore, "iat": &issued} {
		value, _, ok := t.claims.date(name)
		if !ok {
			return expires, notBefore, issued, ErrTime
		}
		*into = value
	}
	return expires, notBefore, issued, nil
}

// current refuses a JWT that has ended or has not begun. exp is to the point: a
// client whose clock is behind sets it further ahead.
func (t token) current(now time.Time) (expires, notBefore time.Time, err error) {
	expires, notBefore, issued, err := t.times()
	switch {
	case err != nil:
		return expires, notBefore, err
	case !expires.IsZero() && !now.Before(expires):
		return expires, notBefore, ErrExpired
	case notBefore.After(now.Add(skew)) || issued.After(now.Add(skew)):
		return expires, notBefore, ErrNotYet
	}
	return expires, notBefore, nil
}

// audience returns aud, one string or several (RFC 7519 §4.1.3). single tells that
// it was a string alone.
func (t token) audience() (list []string, single bool, err error) {
	if one, there, ok := t.claims.text("aud"); ok && there {
		return []string{one}, true, nil
	}
	var values []*string // null is no string
	if raw := t.claims["aud"]; len(raw) == 0 || raw[0] != '[' || json.Unmarshal(raw, &values) != nil || slices.Contains(values, nil) {
		return nil, false, ErrAudience
	}
	for _, v := range values {
		list = append(list, *v)
	}
	return list, false, nil
}

// members is a JSON object.
type members map[string]json.RawMessage

// deepest bounds the nesting of what clients send; claims requests need four.
const deepest = 16

// readMembers reads one JSON object. Names that come twice, at any depth, are
// refused: two readers could take two different values (RFC 8725 §2.4).
func readMembers(data []byte) (members, bool) {
	if !utf8.Valid(data) {
		return nil, false // the library would put replacement characters in
	}
	trimmed := bytes.TrimLeft(data, " \t\r\n")
	values := json.NewDecoder(bytes.NewReader(data))
	values.UseNumber() // an enormous one is no error here
	if len(trimmed) == 0 || trimmed[0] != '{' || !distinct(values, deepest) {
		return nil, false
	}
	var m members
	err := json.Unmarshal(data, &m) // also refuses what follows the object
	return m, err == nil
}

// distinct reads one JSON value and tells whether the names of every object in it
// differ.
func distinct(values *json.Decoder, depth int) bool {
	first, err := values.Token()
	if err != nil {
		return false
	}
	opened, nested := first.(json.Delim)
	if !nested {
		return true
	}
	if depth == 0 {
		return false
	}
	seen := map[string]bool{}
	for values.More() {
		if opened == '{' {
			token, err := values.Token()
			name, ok := token.(string)
			if err != nil || !ok || seen[name] {
				return false
			}
			seen[name] = true
		}
		if !distinct(values, depth-1) {
			return false
		}
	}
	_, err = values.Token()
	return err == nil
}

// text reads a string. ok is false when the member is there and is none.
func (m members) text(name string) (value string, there, ok bool) {
	raw, there := m[name]
	if !there {
		return "", false, true
	}
	if raw[0] != '"' || json.Unmarshal(raw, &value) != nil {
		return "", true, false
	}
	return value, true, true
}

// date reads a NumericDate, seconds since 1970 with or without a fraction (RFC 7519
// §2), up to the year 9999. ok is as in text.
func (m members) date(name string) (value time.Time, there, ok bool) {
	raw, there := m[name]
	if !there {
		return time.Time{}, false, true
	}
	const latest = 253402300799
	seconds, err := strconv.ParseFloat(string(raw), 64) // JSON numbers only: raw is valid JSON and begins as one
	if raw[0] < '0' || raw[0] > '9' || err != nil || seconds > latest {
		return time.Time{}, true, false
	}
	return time.UnixMilli(int64(seconds * 1000)), true, true
}
