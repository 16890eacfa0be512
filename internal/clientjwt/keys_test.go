package clientjwt_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/portti-id/portti/internal/clientjwt"
	"github.com/portti-id/portti/internal/clientjwt/clientjwttest"
)

// jwk is a key's JSON with members replaced; nil takes one away.
func jwk(t testing.TB, k jose.JSONWebKey, changes map[string]any) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(encoded(t, k), &m); err != nil {
		t.Fatal(err)
	}
	return with(m, changes)
}

func set(t testing.TB, keys ...map[string]any) []byte {
	t.Helper()
	return encoded(t, map[string]any{"keys": keys})
}

func TestKeysThatAreTaken(t *testing.T) {
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	es, rs, ed := pair(t, "ES256").JWK(), pair(t, "RS256").JWK(), pair(t, "EdDSA").JWK()
	for what, c := range map[string]struct {
		set  []byte
		has  []string
		lack []string
	}{
		"with a use":         {clientjwttest.JWKS(pair(t, "ES256"), pair(t, "RSA-OAEP-256")), []string{"ES256", "RSA-OAEP-256"}, []string{"RS256", "ECDH-ES", "EdDSA", "none", ""}},
		"free":               {set(t, jwk(t, rs, map[string]any{"use": nil, "alg": nil})), []string{"RS256", "PS256", "RSA-OAEP-256"}, []string{"RSA1_5", "RSA-OAEP", "RS512", "ES256"}},
		"EC free":            {set(t, jwk(t, es, map[string]any{"use": nil, "alg": nil})), []string{"ES256", "ECDH-ES", "ECDH-ES+A256KW", "ECDH-ES+A128KW"}, []string{"ES512", "dir"}},
		"P-521":              {set(t, jwk(t, jose.JSONWebKey{Key: &p521.PublicKey}, nil)), []string{"ECDH-ES"}, []string{"ES256", "ES512"}},
		"Ed25519":            {set(t, jwk(t, ed, nil)), []string{"EdDSA"}, []string{"ECDH-ES"}},
		"operations":         {set(t, jwk(t, es, map[string]any{"use": nil, "alg": nil, "key_ops": []string{"verify"}})), []string{"ES256"}, []string{"ECDH-ES"}},
		"no kid":             {set(t, jwk(t, es, map[string]any{"kid": nil}), jwk(t, rs, map[string]any{"kid": nil})), []string{"ES256", "RS256"}, nil},
		"one kid, two types": {set(t, jwk(t, es, map[string]any{"kid": "1"}), jwk(t, rs, map[string]any{"kid": "1"})), []string{"ES256", "RS256"}, nil},
		"one kid, two uses":  {set(t, jwk(t, es, map[string]any{"kid": "1"}), jwk(t, es, map[string]any{"kid": "1", "use": "enc", "alg": nil})), []string{"ES256", "ECDH-ES"}, nil},
		"unknown types beside": {set(t, map[string]any{"kty": "AKP", "alg": "ML-DSA-44", "pub": "x"}, map[string]any{"kty": "OKP", "crv": "X25519", "x": "x"},
			map[string]any{"kty": "EC", "crv": "secp256k1", "x": "x", "y": "y"}, jwk(t, es, map[string]any{"extra": 1})), []string{"ES256"}, nil},
	} {
		k, err := clientjwt.ParseKeys(c.set)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		for _, alg := range c.has {
			if !k.Has(alg) {
				t.Errorf("%s: lacks %s", what, alg)
			}
		}
		for _, alg := range c.lack {
			if k.Has(alg) {
				t.Errorf("%s: has %q", what, alg)
			}
		}
	}
}

func TestKeysThatAreRefused(t *testing.T) {
	es, rs := pair(t, "ES256").JWK(), pair(t, "RS256").JWK()
	private := func(alg string) map[string]any {
		k := pair(t, alg)
		return jwk(t, jose.JSONWebKey{Key: k.Private, KeyID: "1"}, nil)
	}
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	number := func(n *big.Int) string { return base64.RawURLEncoding.EncodeToString(n.Bytes()) }
	large := new(big.Int).SetBit(big.NewInt(1), 4096, 1)
	huge := new(big.Int).SetBit(big.NewInt(1), 60000, 1)
	even := new(big.Int).SetBit(big.NewInt(0), 2047, 1)
	many := make([]map[string]any, 33)
	for i := range many {
		many[i] = jwk(t, es, map[string]any{"kid": fmt.Sprint(i)})
	}
	for what, c := range map[string]struct {
		set  []byte
		want string // in the text
	}{
		"nothing":             {nil, "JSON object"},
		"text":                {[]byte("keys"), "JSON object"},
		"null":                {[]byte("null"), "JSON object"},
		"a key alone":         {encoded(t, es), `array "keys"`},
		"keys no array":       {[]byte(`{"keys":{}}`), `array "keys"`},
		"keys null":           {[]byte(`{"keys":null}`), `array "keys"`},
		"keys twice":          {[]byte(`{"keys":[],"keys":[]}`), "distinct"},
		"no keys":             {[]byte(`{"keys":[]}`), "no key that can be used"},
		"too long":            {append(set(t, jwk(t, es, nil)), bytes.Repeat([]byte(" "), 64<<10)...), "64 KiB"},
		"too many":            {set(t, many...), "33 keys"},
		"a number":            {[]byte(`{"keys":[1]}`), "key 1 is not a JSON object"},
		"unknown only":        {set(t, map[string]any{"kty": "AKP"}), "no key that can be used"},
		"no kty":              {set(t, jwk(t, es, map[string]any{"kty": nil})), "key 1 has no kty"},
		"kty a number":        {set(t, jwk(t, es, map[string]any{"kty": 1})), "not a string"},
		"symmetric":           {set(t, jwk(t, es, nil), map[string]any{"kty": "oct", "k": "c2VjcmV0"}), "key 2 is private or symmetric"},
		"symmetric, k less":   {set(t, map[string]any{"kty": "oct"}), "key 1 is private or symmetric"},
		"private EC":          {set(t, private("ES256")), "key 1 is private"},
		"private RSA":         {set(t, private("RS256")), "key 1 is private"},
		"private Ed25519":     {set(t, private("EdDSA")), "key 1 is private"},
		"a prime alone":       {set(t, jwk(t, rs, map[string]any{"p": "AQ"})), "key 1 is private"},
		"1024 bits":           {set(t, jwk(t, jose.JSONWebKey{Key: &small.PublicKey}, nil)), "1024 bits"},
		"4097 bits":           {set(t, jwk(t, rs, map[string]any{"n": number(large)})), "too large"},
		"60001 bits":          {set(t, jwk(t, rs, map[string]any{"n": number(huge)})), "too large"},
		"exponent of 40 bits": {set(t, jwk(t, rs, map[string]any{"e": "______8"})), "31 bits"},
		"even modulus":        {set(t, jwk(t, rs, map[string]any{"n": number(even)})), "odd"},
		"exponent 1":          {set(t, jwk(t, rs, map[string]any{"e": "AQ"})), "cannot be read"},
		"exponent 2":          {set(t, jwk(t, rs, map[string]any{"e": "Ag"})), "odd"},
		"huge exponent":       {set(t, jwk(t, rs, map[string]any{"e": strings.Repeat("_", 40)})), "key 1"},
		"no modulus":          {set(t, jwk(t, rs, map[string]any{"n": nil})), "cannot be read"},
		"off the curve":       {set(t, jwk(t, es, map[string]any{"y": base64.RawURLEncoding.EncodeToString(make([]byte, 32))})), "cannot be read"},
		"short coordinate":    {set(t, jwk(t, es, map[string]any{"x": "AQ"})), "cannot be read"},
		"another curve":       {set(t, jwk(t, es, map[string]any{"crv": "P-384"})), "cannot be read"},
		"short Ed25519":       {set(t, map[string]any{"kty": "OKP", "crv": "Ed25519", "x": "AQ"}), "cannot be read"},
		"bad certificate":     {set(t, jwk(t, es, map[string]any{"x5c": []string{"AQ"}})), "x5c"},
		"same kid":            {set(t, jwk(t, es, map[string]any{"kid": "1"}), jwk(t, clientjwttest.New(t, "ES256").JWK(), map[string]any{"kid": "1"})), "key 2 has the kid"},
		"same kid, any use":   {set(t, jwk(t, es, map[string]any{"kid": "1"}), jwk(t, es, map[string]any{"kid": "1", "use": nil})), "key 2 has the kid"},
		"long kid":            {set(t, jwk(t, es, map[string]any{"kid": strings.Repeat("k", 256)})), "kid longer"},
		"odd use":             {set(t, jwk(t, es, map[string]any{"use": "tls"})), `"sig" nor "enc"`},
		"odd key_ops":         {set(t, jwk(t, es, map[string]any{"key_ops": "verify"})), "key_ops"},
	} {
		k, err := clientjwt.ParseKeys(c.set)
		if err == nil || !strings.Contains(err.Error(), c.want) || k != nil {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
	}
}

// TestManyKeysNeedAName: else each JWT of a stranger would cost a verification per
// key.
func TestManyKeysNeedAName(t *testing.T) {
	key := pair(t, "ES256")
	list := make([]map[string]any, 9)
	for i := range list {
		list[i] = jwk(t, clientjwttest.New(t, "ES256").JWK(), nil)
	}
	list[8] = jwk(t, key.JWK(), nil)
	r := rules(t, key)
	r.Keys = parsed(t, set(t, list...))
	if err := clientjwt.VerifyAssertion(t.Context(), key.Assertion(client, issuer), r); err != nil {
		t.Errorf("by its name: %v", err)
	}
	unnamed := map[string]any{"kid": nil}
	if err := clientjwt.VerifyAssertion(t.Context(), key.Sign(unnamed, clientjwttest.Claims(client, issuer)), r); !errors.Is(err, clientjwt.ErrAmbiguous) {
		t.Errorf("without a name: %v", err)
	}
	r.Keys = parsed(t, set(t, list[1:]...))
	if err := clientjwt.VerifyAssertion(t.Context(), key.Sign(unnamed, clientjwttest.Claims(client, issuer)), r); err != nil {
		t.Errorf("one of eight: %v", err)
	}
	// A key without a name fits whatever name the JWT gives.
	r.Keys = parsed(t, set(t, jwk(t, key.JWK(), map[string]any{"kid": nil})))
	if err := clientjwt.VerifyAssertion(t.Context(), key.Assertion(client, issuer), r); err != nil {
		t.Errorf("a key without a name: %v", err)
	}
	// A key for encryption signs nothing.
	r.Keys = parsed(t, set(t, jwk(t, key.JWK(), map[string]any{"use": "enc", "alg": nil})))
	if err := clientjwt.VerifyAssertion(t.Context(), key.Assertion(client, issuer), r); !errors.Is(err, clientjwt.ErrSignature) {
		t.Errorf("a key for encryption: %v", err)
	}
}

func TestCertificatesBelongToTheirKeys(t *testing.T) {
	key, other := pair(t, "ES256"), clientjwttest.New(t, "ES256")
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "rp"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Private.Public(), key.Private)
	if err != nil {
		t.Fatal(err)
	}
	x5c := map[string]any{"x5c": []string{base64.StdEncoding.EncodeToString(der)}}
	k := parsed(t, set(t, jwk(t, key.JWK(), x5c), jwk(t, other.JWK(), nil)))
	if found := k.Certificates(); len(found) != 1 || !bytes.Equal(found[0].Raw, der) {
		t.Errorf("%v", found)
	}
	if _, err := clientjwt.ParseKeys(set(t, jwk(t, other.JWK(), x5c))); err == nil {
		t.Error("another key's certificate was taken")
	}
}

func FuzzKeys(f *testing.F) {
	f.Add(clientjwttest.JWKS(clientjwttest.New(f, "ES256"), clientjwttest.New(f, "EdDSA"), clientjwttest.New(f, "RS256")))
	f.Add([]byte(`{"keys":[{"kty":"oct","k":"AQ"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"RSA","n":"AQ","e":"AQAB","x5c":["AQ"]}]}`))
	f.Add([]byte(`{"keys":[null,1,{}]}`))
	f.Fuzz(func(t *testing.T, jwks []byte) {
		k, err := clientjwt.ParseKeys(jwks)
		if (err == nil) == (k == nil) {
			t.Fatalf("%v, %v", k, err)
		}
		if err != nil {
			return
		}
		// What was taken can be used without a crash, and is what Has says.
		for _, alg := range clientjwt.KeyEncryptions {
			_, err := k.Encrypt(alg, "A128GCM", []byte("x"), "")
			if k.Has(alg) != (err == nil) {
				t.Errorf("%s: %v", alg, err)
			}
		}
		for _, alg := range slices.Concat(clientjwt.KeyEncryptions, []string{"none", "HS256"}) {
			if strings.HasPrefix(alg, "HS") && k.Has(alg) {
				t.Error("a secret for signing")
			}
		}
	})
}
