package audit

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// KeyName is the secret (keys.OpenSecret) that checkpoints are signed with: the
// seed of an Ed25519 key.
const KeyName = "audit-checkpoints"

// Kinds of Checkpoint.
const (
	Reached = "checkpoint" // the chain was here
	Removed = "removal"    // and everything up to here was removed when it was old
)

// Checkpoint says, signed, where the chain was at a time: sequence is also how
// many events there have ever been. Whoever has it can tell later whether anything
// before it was changed, or taken away.
type Checkpoint struct {
	Kind      string    `json:"kind"`
	Sequence  int64     `json:"sequence"`
	Link      Hash      `json:"link"`
	Removed   int64     `json:"removed"` // how many of the oldest are not kept any more
	At        time.Time `json:"at"`
	Key       string    `json:"key"`       // KeyID of the public key
	Signature []byte    `json:"signature"` // Ed25519
}

// IsZero tells whether there is none.
func (c Checkpoint) IsZero() bool { return c.Kind == "" }

func (c Checkpoint) signed() []byte {
	b := []byte("portti audit " + c.Kind + " 1\n")
	for _, s := range []string{strconv.FormatInt(c.Sequence, 10), c.Link.String(), strconv.FormatInt(c.Removed, 10), c.At.UTC().Format(timeForm)} {
		b = netstring(b, s)
	}
	return b
}

// Sign fills in key and signature.
func (c Checkpoint) Sign(key ed25519.PrivateKey) Checkpoint {
	c.At = c.At.UTC().Truncate(time.Microsecond)
	c.Key = KeyID(key.Public().(ed25519.PublicKey))
	c.Signature = ed25519.Sign(key, c.signed())
	return c
}

// Check tells what is wrong with the signature.
func (c Checkpoint) Check(key ed25519.PublicKey) error {
	switch {
	case c.Kind != Reached && c.Kind != Removed:
		return fmt.Errorf("%.20q is no kind of checkpoint", c.Kind)
	case c.Key != KeyID(key):
		return fmt.Errorf("it is signed by the key %.20s, not by %s", c.Key, KeyID(key))
	case len(key) != ed25519.PublicKeySize || !ed25519.Verify(key, c.signed(), c.Signature):
		return fmt.Errorf("its signature is wrong")
	}
	return nil
}

// KeyID names a public key: the first 16 digits of its SHA-256.
func KeyID(key ed25519.PublicKey) string {
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:8])
}

const keyBegin = "portti-audit-key "

// FormatKey is a public key as a line of text.
func FormatKey(key ed25519.PublicKey) string {
	return keyBegin + KeyID(key) + " " + base64.StdEncoding.EncodeToString(key)
}

// ParseKey reads what FormatKey has made.
func ParseKey(text []byte) (ed25519.PublicKey, error) {
	rest, ok := bytes.CutPrefix(bytes.TrimSpace(text), []byte(keyBegin))
	id, encoded, both := strings.Cut(string(rest), " ")
	key, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if !ok || !both || err != nil || len(key) != ed25519.PublicKeySize || KeyID(key) != id {
		return nil, fmt.Errorf("this is not a key as porttictl audit key prints it: %sID BASE64", keyBegin)
	}
	return key, nil
}
