package dpop_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/portti-id/portti/internal/dpop"
	"github.com/portti-id/portti/internal/dpop/dpoptest"
	"github.com/portti-id/portti/internal/ephemeral"
)

// Whatever comes in the header field: no panic, no error but a refusal, and what is
// accepted, go-jose accepts too, with the same key. Each input is judged twice: as it
// is, and signed anew, so that the rules behind the signature are reached.
func FuzzVerify(f *testing.F) {
	// A key that is the same in every run, or kept inputs would mean nothing.
	scalar := sha256.Sum256([]byte("the key of FuzzVerify"))
	private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar[:])
	if err != nil {
		f.Fatal(err)
	}
	now := time.Unix(1_795_377_600, 0)
	seeds := dpoptest.Of(f, private)
	seeds.Now = func() time.Time { return now }
	good := seeds.Proof("POST", tokenURL, theAccess, "")
	f.Add(good)
	f.Add(seeds.Proof("POST", "HTTPS://server.example.com:443/%74oken?q", theAccess, "nonce"))
	f.Add(seeds.Sign(dpoptest.With(seeds.Header(), "crit", []any{"exp"}), seeds.Claims("POST", tokenURL, theAccess, "")))
	f.Add(seeds.Sign(seeds.Header(), dpoptest.With(seeds.Claims("POST", tokenURL, theAccess, ""), "iat", 1.7953776e9)))
	f.Add(seeds.SignRaw([]byte(`{"typ":"dpop+jwt","alg":"EdDSA","jwk":{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}}`), []byte(`{"jti":"1"}`)))
	f.Add(seeds.SignRaw([]byte(`{"typ":"dpop+jwt","alg":"PS256","jwk":{"kty":"RSA","e":"AQAB","n":"AQAB"}}`), []byte(`{"jti":"1","jti":"2"}`)))
	f.Add(strings.Replace(good, ".", "..", 1))
	f.Add("")

	f.Fuzz(func(t *testing.T, proof string) {
		k := newKit(t, ephemeral.NewMemory(func() time.Time { return now }))
		k.at = now
		judge(t, k, proof)
		part := strings.Split(proof, ".")
		if len(part) != 3 {
			return
		}
		header, err := base64.RawURLEncoding.DecodeString(part[0])
		if err != nil {
			return
		}
		claims, err := base64.RawURLEncoding.DecodeString(part[1])
		if err != nil {
			return
		}
		key := dpoptest.Of(t, private)
		judge(t, k, key.SignRaw(header, claims))
	})
}

func judge(t *testing.T, k *kit, proof string) {
	p, err := k.Verify(t.Context(), proof, dpop.Expect{Method: "POST", URL: tokenURL, AccessToken: theAccess})
	if err != nil {
		if _, ok := err.(dpop.Error); !ok {
			t.Errorf("%v", err)
		}
		return
	}
	parsed, err := jose.ParseSignedCompact(proof, []jose.SignatureAlgorithm{jose.ES256, jose.EdDSA, jose.PS256})
	if err != nil {
		t.Fatalf("go-jose cannot read what was accepted: %v", err)
	}
	key := parsed.Signatures[0].Protected.JSONWebKey
	if _, err := parsed.Verify(key); err != nil {
		t.Errorf("go-jose refuses the signature: %v", err)
	}
	print, err := key.Thumbprint(crypto.SHA256)
	if err != nil || base64.RawURLEncoding.EncodeToString(print) != p.Thumbprint {
		t.Errorf("thumbprint %s, go-jose's %x, %v", p.Thumbprint, print, err)
	}
	if len(proof) > 8<<10 {
		t.Error("accepted, though too large")
	}
}
