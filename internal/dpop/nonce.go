package dpop

import (
	"encoding/binary"
	"fmt"
	"time"
)

// meaning keeps other sealed values from being taken for nonces.
const meaning = "dpop nonce"

const defaultNonceLife = 5 * time.Minute

// Nonce returns the value for the header field DPoP-Nonce (§8). It is the sealed
// time at which it was made, so that every replica knows the others' without
// asking, and nobody can make one in advance. The same is given out until half its
// life is over: whoever gets it has at least the other half.
func (v *Verifier) Nonce() (string, error) {
	v.latest.Lock()
	defer v.latest.Unlock()
	now := v.Now()
	if age := now.Sub(v.latest.made); v.latest.nonce != "" && age >= 0 && age < v.nonceLife()/2 {
		return v.latest.nonce, nil
	}
	nonce, err := v.Sealer.Seal(binary.BigEndian.AppendUint64(nil, uint64(now.UnixMilli())), meaning)
	if err != nil {
		return "", fmt.Errorf("seal a DPoP nonce: %w", err)
	}
	v.latest.nonce, v.latest.made = nonce, now
	return nonce, nil
}

// ours tells whether a nonce is one that Nonce made, here or on another replica,
// and until when it is good. Why it cannot be opened does not matter: the client
// gets a new one.
func (v *Verifier) ours(nonce string, now time.Time) (until time.Time, ok bool) {
	plain, err := v.Sealer.Open(nonce, meaning)
	if err != nil || len(plain) != 8 {
		return time.Time{}, false
	}
	made := time.UnixMilli(int64(binary.BigEndian.Uint64(plain)))
	until = made.Add(v.nonceLife())
	return until, made.Sub(now) <= Skew && now.Before(until)
}

func (v *Verifier) nonceLife() time.Duration {
	if v.NonceLife > 0 {
		return v.NonceLife
	}
	return defaultNonceLife
}
