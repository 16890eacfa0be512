package clientjwt

import (
	"crypto"
	"slices"
)

// Holds tells whether a public key is one of the client's that are for signatures,
// as that of a certificate with which the client calls (RFC 8705 §2.2.2).
func (k *Keys) Holds(public crypto.PublicKey) bool {
	return slices.ContainsFunc(k.all(), func(k key) bool {
		known, ok := k.Key.(interface{ Equal(x crypto.PublicKey) bool })
		return ok && k.verifies && known.Equal(public)
	})
}
