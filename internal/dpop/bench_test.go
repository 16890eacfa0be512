package dpop_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/dpop"
	"github.com/portti-id/portti/internal/ephemeral"
)

// forgetful remembers nothing, so that one proof is good as often as it is asked.
type forgetful struct{ ephemeral.Store }

func (forgetful) Add(context.Context, string, []byte, time.Duration) error { return nil }

// BenchmarkVerify is a proof for a resource with ES256, without and with a nonce, and
// beside it what cannot be saved: one signature verified.
func BenchmarkVerify(b *testing.B) {
	k := newKit(b, forgetful{})
	key := k.key(b)
	e := dpop.Expect{Method: "GET", URL: userinfo, AccessToken: theAccess, Thumbprint: key.Thumbprint()}
	nonce, err := k.Nonce()
	if err != nil {
		b.Fatal(err)
	}
	for name, proof := range map[string]string{"proof": key.Proof("GET", userinfo, theAccess, ""), "proof-nonce": key.Proof("GET", userinfo, theAccess, nonce)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := k.Verify(b.Context(), proof, e); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("bare-ecdsa", func(b *testing.B) {
		private := key.Signer.(*ecdsa.PrivateKey)
		digest := sha256.Sum256([]byte("a proof"))
		r, s, err := ecdsa.Sign(rand.Reader, private, digest[:])
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			if !ecdsa.Verify(&private.PublicKey, digest[:], r, s) {
				b.Fatal("refused")
			}
		}
	})
}
