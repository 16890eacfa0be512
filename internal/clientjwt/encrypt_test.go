package clientjwt_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/portti-id/portti/internal/clientjwt"
	"github.com/portti-id/portti/internal/clientjwt/clientjwttest"
)

func TestOnlyTheClientCanOpen(t *testing.T) {
	for _, alg := range clientjwt.KeyEncryptions {
		key := pair(t, alg)
		k := parsed(t, clientjwttest.JWKS(pair(t, "ES256"), key))
		for _, enc := range clientjwt.ContentEncryptions {
			sealed, err := k.Encrypt(alg, enc, []byte("signed.by.us"), "JWT")
			if err != nil {
				t.Errorf("%s, %s: %v", alg, enc, err)
				continue
			}
			header, payload := key.Open(t, sealed)
			if string(payload) != "signed.by.us" || header.Algorithm != alg || header.KeyID != key.ID || header.ExtraHeaders["enc"] != enc || header.ExtraHeaders["cty"] != "JWT" {
				t.Errorf("%s, %s: %q %+v", alg, enc, payload, header)
			}
			if strings.Count(sealed, ".") != 4 {
				t.Errorf("not in compact form: %s", sealed)
			}
			if again, _ := k.Encrypt(alg, enc, []byte("signed.by.us"), "JWT"); again == sealed {
				t.Error("the same twice")
			}
		}
		plain, err := k.Encrypt(alg, "A128GCM", []byte(`{"sub":"1"}`), "")
		if err != nil {
			t.Fatal(err)
		}
		if header, _ := key.Open(t, plain); header.ExtraHeaders["cty"] != nil {
			t.Errorf("cty: %v", header)
		}
	}
}

func TestEncryptionThatIsNotOffered(t *testing.T) {
	es, rs := pair(t, "ES256").JWK(), pair(t, "RS256").JWK()
	free := parsed(t, set(t, jwk(t, es, map[string]any{"use": nil, "alg": nil}), jwk(t, rs, map[string]any{"use": nil, "alg": nil})))
	for _, c := range [][2]string{{"RSA1_5", "A128GCM"}, {"RSA-OAEP", "A128GCM"}, {"dir", "A128GCM"}, {"A128KW", "A128GCM"}, {"PBES2-HS256+A128KW", "A128GCM"},
		{"", ""}, {"RSA-OAEP-256", "A192GCM"}, {"RSA-OAEP-256", ""}, {"ECDH-ES", "A256CBC"}, {"ES256", "A128GCM"}} {
		if _, err := free.Encrypt(c[0], c[1], []byte("x"), ""); !errors.Is(err, clientjwt.ErrEncryption) {
			t.Errorf("%v: %v", c, err)
		}
	}
	for what, k := range map[string]*clientjwt.Keys{
		"keys for signing":      parsed(t, clientjwttest.JWKS(pair(t, "ES256"), pair(t, "RS256"))),
		"no keys":               nil,
		"another type":          parsed(t, clientjwttest.JWKS(pair(t, "EdDSA"))),
		"for another algorithm": parsed(t, clientjwttest.JWKS(pair(t, "ECDH-ES+A256KW"))),
	} {
		_, err := k.Encrypt("ECDH-ES", "A128GCM", []byte("x"), "")
		if !errors.Is(err, clientjwt.ErrNoEncryptionKey) {
			t.Errorf("%s: %v", what, err)
		}
		plain(t, err)
	}
}

// TestAKeyForEncryptionGoesFirst also when a free one stands before it.
func TestAKeyForEncryptionGoesFirst(t *testing.T) {
	free, kept := pair(t, "ES256"), pair(t, "ECDH-ES")
	k := parsed(t, set(t, jwk(t, free.JWK(), map[string]any{"use": nil, "alg": nil}), jwk(t, kept.JWK(), map[string]any{"alg": nil})))
	sealed, err := k.Encrypt("ECDH-ES", "A256GCM", []byte("x"), "")
	if err != nil {
		t.Fatal(err)
	}
	if header, _ := kept.Open(t, sealed); header.KeyID != kept.ID {
		t.Errorf("to %s", header.KeyID)
	}
}
