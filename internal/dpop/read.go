package dpop

import (
	"encoding/base64"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4/json"
)

// maxProof bounds a proof, in bytes. One with a key of RSA 4096 has about 1,600.
const maxProof = 8 << 10

// token is a JWS in compact form (RFC 7515 §7.1), taken apart. Nothing is proved.
type token struct {
	header, claims members
	signed         string // what the signature is over
	signature      []byte
}

// members are those of a JSON object.
type members map[string]any

// read takes a proof apart. It is strict, as two readers who understand one proof
// differently are a hole: three parts, base64url without padding, line ends or
// stray bits, UTF-8, and no member twice in any object, compared with case.
func read(proof string) (t token, ok bool) {
	if len(proof) > maxProof {
		return token{}, false
	}
	part := strings.Split(proof, ".")
	if len(part) != 3 {
		return token{}, false
	}
	if t.header, ok = object(part[0]); !ok {
		return token{}, false
	}
	if t.claims, ok = object(part[1]); !ok {
		return token{}, false
	}
	t.signed = proof[:len(proof)-len(part[2])-1]
	t.signature, ok = decode(part[2])
	return t, ok
}

func object(part string) (members, bool) {
	raw, ok := decode(part)
	if !ok || !utf8.Valid(raw) {
		return nil, false
	}
	// go-jose's JSON, unlike the standard one, refuses a member that stands twice.
	var value any
	if err := json.Unmarshal(raw, &value); err != nil {
		return nil, false
	}
	object, ok := value.(map[string]any)
	return object, ok
}

var base64url = base64.RawURLEncoding.Strict()

// decode undoes base64url. Nothing is no value.
func decode(s string) ([]byte, bool) {
	if strings.ContainsAny(s, "\r\n") { // base64 skips line ends, even when strict
		return nil, false
	}
	raw, err := base64url.DecodeString(s)
	return raw, err == nil && len(raw) > 0
}

// text returns a member that is a string, "" when it is absent or another thing.
func (m members) text(name string) string {
	s, _ := m[name].(string)
	return s
}

// moment returns a member that is a NumericDate (RFC 7519 §2): seconds, with or
// without a fraction, up to the year 9999.
func (m members) moment(name string) (time.Time, bool) {
	seconds, ok := m[name].(float64)
	if !ok || seconds < 0 || seconds > 253402300799 {
		return time.Time{}, false
	}
	whole, part := math.Modf(seconds)
	return time.Unix(int64(whole), int64(part*1e9)), true
}
