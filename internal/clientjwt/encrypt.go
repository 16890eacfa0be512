package clientjwt

import (
	"fmt"
	"slices"

	"github.com/go-jose/go-jose/v4"
)

// KeyEncryptions are the JWE algorithms that a client may register (RFC 7518 §4.1),
// best first. RSA1_5 is not among them: its padding tells too much (RFC 8017 §7.2).
var KeyEncryptions = []string{string(jose.RSA_OAEP_256), string(jose.ECDH_ES), string(jose.ECDH_ES_A256KW), string(jose.ECDH_ES_A128KW)}

// ContentEncryptions are the JWE content encryptions (RFC 7518 §5.1). A client that
// registers none gets A128CBC-HS256 (OpenID Connect Dynamic Registration 1.0 §2).
var ContentEncryptions = []string{string(jose.A256GCM), string(jose.A128GCM), string(jose.A256CBC_HS512), string(jose.A128CBC_HS256)}

var (
	// ErrNoEncryptionKey says that no key of the client serves the algorithm.
	ErrNoEncryptionKey = &Error{Reason: "no_encryption_key", Description: "The client has no key for the encryption that it registered."}
	// ErrEncryption is an algorithm that is not offered.
	ErrEncryption = &Error{Reason: "encryption", Description: "The encryption is not supported."}
)

// Encrypt makes a JWE in compact form (RFC 7516 §7.1) that only the client can
// open, with the first of its keys that serves alg; one that is kept for
// encryption goes before one that says nothing. cty is "JWT" when the payload is a
// signed JWT, else "". Of a set from a jwks_uri the newest copy is taken that
// Fetcher has: a client keeps the old key for as long as it lets us cache.
func (k *Keys) Encrypt(alg, enc string, payload []byte, cty string) (string, error) {
	if !slices.Contains(KeyEncryptions, alg) || !slices.Contains(ContentEncryptions, enc) {
		return "", ErrEncryption
	}
	to, ok := k.encrypting(alg)
	if !ok {
		return "", ErrNoEncryptionKey
	}
	options := &jose.EncrypterOptions{}
	if cty != "" {
		options.WithContentType(jose.ContentType(cty))
	}
	// Not the JWK, of which the library would take certificates and more.
	encrypter, err := jose.NewEncrypter(jose.ContentEncryption(enc), jose.Recipient{Algorithm: jose.KeyAlgorithm(alg), Key: to.Key, KeyID: to.KeyID}, options)
	if err != nil {
		return "", fmt.Errorf("encrypt to client: %w", err)
	}
	sealed, err := encrypter.Encrypt(payload)
	if err != nil {
		return "", fmt.Errorf("encrypt to client: %w", err)
	}
	compact, err := sealed.CompactSerialize()
	if err != nil {
		return "", fmt.Errorf("encrypt to client: %w", err)
	}
	return compact, nil
}

func (k *Keys) encrypting(alg string) (best key, ok bool) {
	for _, k := range k.all() {
		if k.encrypts && k.serves(alg) && (!ok || k.Use == "enc" && best.Use != "enc") {
			best, ok = k, true
		}
	}
	return best, ok
}
