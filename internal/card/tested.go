package card

import (
	"crypto/rand"
	"strings"
	"time"
)

// TestKept is how long the result of a card test can be looked up.
const TestKept = 30 * 24 * time.Hour

// Tested is what is kept of a card test (S66): how it ended, in codes, and nothing
// of the card or of whoever holds it.
type Tested struct {
	Code    string // the support code that the page shows; see NewSupportCode
	Verdict Verdict
	Failed  Check // the check that decided; "" when all were passed
	Kind    Kind  // of the card; "" before that is known
	Mode    Mode
	TLS     string // "1.2" or "1.3"; "" behind a proxy and before a handshake
	At      time.Time
}

// supportCodeLength is in characters of base32: 50 random bits, so that nobody
// finds another's result by trying.
const supportCodeLength = 10

// NewSupportCode names a result so that it can be read out over the phone:
// "K7QM2-XEA3B".
func NewSupportCode() string {
	code := rand.Text()[:supportCodeLength]
	return code[:supportCodeLength/2] + "-" + code[supportCodeLength/2:]
}

// ReadSupportCode is the code that somebody typed, however it was spaced; false
// when it cannot be one.
func ReadSupportCode(typed string) (string, bool) {
	var code strings.Builder
	for _, c := range strings.ToUpper(typed) {
		switch {
		case c == ' ' || c == '-':
		case (c >= 'A' && c <= 'Z' || c >= '2' && c <= '7') && code.Len() < supportCodeLength:
			code.WriteRune(c)
		default:
			return "", false
		}
	}
	if code.Len() != supportCodeLength {
		return "", false
	}
	text := code.String()
	return text[:supportCodeLength/2] + "-" + text[supportCodeLength/2:], true
}
