package dpop

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"math/big"
	"slices"
)

// publicKey is a key from a proof's header, fit for its algorithm. It is read here
// and not by go-jose, whose JSONWebKey takes private keys, short RSA keys and one key in
// many spellings (docs/adr/0070).
type publicKey struct {
	verifies   func(signed string, signature []byte) bool
	thumbprint string // RFC 7638, SHA-256, base64url
}

// private are the members that no public key has (RFC 7518 §6.2.2, §6.3.2, §6.4.1,
// RFC 8037 §2, RFC 9964). A client that sends them has lost its key, whatever else
// the proof proves.
var private = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"}

// readers make a key of a JWK's members, one for each algorithm that there is.
var readers = map[string]func(members) (publicKey, bool){
	"ES256": readP256,
	"EdDSA": readEd25519,
	"PS256": readRSA,
}

// fullName returns an algorithm's name as this package uses it. RFC 9864 renamed
// the EdDSA of RFC 8037 after its curve.
func fullName(alg string) string {
	if alg == "Ed25519" {
		return "EdDSA"
	}
	return alg
}

// readKey reads a JWK that is public, meant for signatures of this algorithm, and
// of a kind that makes them.
func readKey(jwk members, alg string) (publicKey, bool) {
	for _, name := range private {
		if _, there := jwk[name]; there {
			return publicKey{}, false
		}
	}
	if _, there := jwk["use"]; there && jwk.text("use") != "sig" {
		return publicKey{}, false
	}
	if _, there := jwk["alg"]; there && fullName(jwk.text("alg")) != alg {
		return publicKey{}, false
	}
	if ops, there := jwk["key_ops"]; there {
		if list, _ := ops.([]any); !slices.Contains(list, any("verify")) {
			return publicKey{}, false
		}
	}
	reader, ok := readers[alg]
	if !ok {
		return publicKey{}, false
	}
	return reader(jwk)
}

func readP256(jwk members) (publicKey, bool) {
	x, okX := decode(jwk.text("x"))
	y, okY := decode(jwk.text("y"))
	if jwk.text("kty") != "EC" || jwk.text("crv") != "P-256" || !okX || !okY || len(x) != 32 || len(y) != 32 {
		return publicKey{}, false
	}
	// Refuses what is not on the curve.
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, x, y))
	if err != nil {
		return publicKey{}, false
	}
	return publicKey{
		verifies: func(signed string, signature []byte) bool {
			if len(signature) != 64 { // r and s side by side (RFC 7518 §3.4)
				return false
			}
			digest := sha256.Sum256([]byte(signed))
			r, s := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
			return ecdsa.Verify(key, digest[:], r, s)
		},
		thumbprint: thumbprint(`{"crv":"P-256","kty":"EC","x":"` + jwk.text("x") + `","y":"` + jwk.text("y") + `"}`),
	}, true
}

func readEd25519(jwk members) (publicKey, bool) {
	x, ok := decode(jwk.text("x"))
	if jwk.text("kty") != "OKP" || jwk.text("crv") != "Ed25519" || !ok || len(x) != ed25519.PublicKeySize {
		return publicKey{}, false
	}
	return publicKey{
		verifies: func(signed string, signature []byte) bool {
			return ed25519.Verify(x, []byte(signed), signature)
		},
		thumbprint: thumbprint(`{"crv":"Ed25519","kty":"OKP","x":"` + jwk.text("x") + `"}`),
	}, true
}

// readRSA takes moduli of 2048 to 4096 bits, as larger ones cost more than a
// stranger may make us pay, and exponents from 2¹⁶+1 (FIPS 186-5 §A.1.1) to 2³¹-1.
func readRSA(jwk members) (publicKey, bool) {
	n, okN := number(jwk.text("n"))
	e, okE := number(jwk.text("e"))
	if jwk.text("kty") != "RSA" || !okN || !okE || n.BitLen() < 2048 || n.BitLen() > 4096 || n.Bit(0) == 0 ||
		e.BitLen() > 31 || e.Int64() < 65537 || e.Bit(0) == 0 {
		return publicKey{}, false
	}
	key := &rsa.PublicKey{N: n, E: int(e.Int64())}
	return publicKey{
		verifies: func(signed string, signature []byte) bool {
			digest := sha256.Sum256([]byte(signed))
			// The salt is as long as the hash (RFC 7518 §3.5).
			return rsa.VerifyPSS(key, crypto.SHA256, digest[:], signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
		},
		thumbprint: thumbprint(`{"e":"` + jwk.text("e") + `","kty":"RSA","n":"` + jwk.text("n") + `"}`),
	}, true
}

// number reads a Base64urlUInt. With zeros in front, which RFC 7518 §2 forbids, one
// key would have many thumbprints.
func number(s string) (*big.Int, bool) {
	raw, ok := decode(s)
	if !ok || raw[0] == 0 {
		return nil, false
	}
	return new(big.Int).SetBytes(raw), true
}

// thumbprint hashes the required members in their order (RFC 7638 §3.1). They were
// decoded strictly, so the texts are the canonical ones and hold nothing to escape.
func thumbprint(canonical string) string {
	sum := sha256.Sum256([]byte(canonical))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
