package dpop_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/portti-id/portti/internal/dpop"
	"github.com/portti-id/portti/internal/dpop/dpoptest"
	"github.com/portti-id/portti/internal/ephemeral"
	"github.com/portti-id/portti/internal/ephemeral/ephemeraltest"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/keys"
)

const (
	tokenURL  = "https://server.example.com/token"
	userinfo  = "https://server.example.com/userinfo"
	theAccess = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"
)

var atToken = dpop.Expect{Method: "POST", URL: tokenURL}

// kit is a verifier whose clock the test moves.
type kit struct {
	*dpop.Verifier
	at time.Time
}

func newKit(t testing.TB, replay ephemeral.Store) *kit {
	k := &kit{at: time.Unix(1_795_377_600, 0)}
	k.Verifier = &dpop.Verifier{Replay: replay, Sealer: master(t, keys.GenerateMaster()), Now: func() time.Time { return k.at }}
	return k
}

func inMemory(t testing.TB) *kit { return newKit(t, ephemeral.NewMemory(time.Now)) }

func (k *kit) key(t testing.TB) *dpoptest.Key { return k.keyOf(t, p256(t)) }

func (k *kit) keyOf(t testing.TB, private crypto.Signer) *dpoptest.Key {
	key := dpoptest.Of(t, private)
	key.Now = func() time.Time { return k.at }
	return key
}

func (k *kit) accepts(t testing.TB, proof string, e dpop.Expect) dpop.Proof {
	t.Helper()
	p, err := k.Verify(t.Context(), proof, e)
	if err != nil {
		var refused dpop.Error
		_ = errors.As(err, &refused)
		t.Errorf("%v (%s)", err, refused.Reason)
	}
	return p
}

func (k *kit) refuses(t testing.TB, proof string, e dpop.Expect, why dpop.Reason) {
	t.Helper()
	p, err := k.Verify(t.Context(), proof, e)
	var refused dpop.Error
	if !errors.As(err, &refused) || refused.Reason != why || p != (dpop.Proof{}) {
		t.Errorf("%+v, %#v, want %s", p, err, why)
		return
	}
	code := dpop.InvalidProof
	if why == dpop.NoNonce || why == dpop.StaleNonce {
		code = dpop.UseNonce
	}
	if refused.Code != code {
		t.Errorf("code %s, want %s", refused.Code, code)
	}
	// RFC 6749 §5.2: what a description may hold.
	if refused.Description == "" || strings.ContainsFunc(refused.Description, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }) {
		t.Errorf("description %q", refused.Description)
	}
}

func master(t testing.TB, lines ...string) *keys.Master {
	m, err := keys.ReadMaster(strings.NewReader(strings.Join(lines, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func p256(t testing.TB) *ecdsa.PrivateKey { return onCurve(t, elliptic.P256()) }

func onCurve(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	private, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return private
}

var rsa2048 = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// everyKind is a key for each algorithm.
func everyKind(t testing.TB) map[string]crypto.Signer {
	r, err := rsa2048()
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]crypto.Signer{"ES256": p256(t), "EdDSA": ed, "PS256": r}
}

// RFC 9449 figures 2 and 13, and the thumbprint of figure 9.
func TestExamplesOfTheRFC(t *testing.T) {
	const (
		header   = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19"
		request  = header + ".eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
		resource = header + ".eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA"
		jkt      = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
	)
	k := inMemory(t)
	k.at = time.Unix(1562262620, 0)
	if p := k.accepts(t, request, atToken); p.Thumbprint != jkt {
		t.Errorf("thumbprint %s", p.Thumbprint)
	}
	e := dpop.Expect{Method: "GET", URL: "https://resource.example.org/protectedresource", AccessToken: theAccess, Thumbprint: jkt}
	k.accepts(t, resource, e)
	k.refuses(t, resource, e, dpop.Replayed)
	k.at = time.Now()
	k.refuses(t, request, atToken, dpop.BadTime)
}

func TestEveryAlgorithmIsVerified(t *testing.T) {
	k := inMemory(t)
	for alg, private := range everyKind(t) {
		key := k.keyOf(t, private)
		e := dpop.Expect{Method: "GET", URL: userinfo, AccessToken: theAccess, Thumbprint: key.Thumbprint()}
		if p := k.accepts(t, key.Proof("GET", userinfo, theAccess, ""), e); p.Thumbprint != key.Thumbprint() || key.Algorithm != alg {
			t.Errorf("%s: %+v", alg, p)
		}
		spoilt := []byte(key.Proof("GET", userinfo, theAccess, ""))
		letter := &spoilt[len(spoilt)-20] // of the signature
		if *letter == 'A' {
			*letter = 'B'
		} else {
			*letter = 'A'
		}
		k.refuses(t, string(spoilt), e, dpop.BadSignature)

		k.Algorithms = []string{"none", "HS256", "RS256"} // no list brings what is not known
		k.refuses(t, key.Proof("GET", userinfo, theAccess, ""), e, dpop.BadAlgorithm)
		for _, unknown := range k.Algorithms {
			k.refuses(t, key.Sign(dpoptest.With(key.Header(), "alg", unknown), key.Claims("GET", userinfo, theAccess, "")), e, dpop.BadKey)
		}
		k.Algorithms = []string{alg}
		k.accepts(t, key.Proof("GET", userinfo, theAccess, ""), e)
		k.Algorithms = nil
	}
}

// openid-client and others write the name of RFC 9864.
func TestEd25519HasTwoNames(t *testing.T) {
	k := inMemory(t)
	key := k.keyOf(t, everyKind(t)["EdDSA"])
	header := dpoptest.With(key.Header(), "alg", "Ed25519")
	k.accepts(t, key.Sign(header, key.Claims("POST", tokenURL, "", "")), atToken)
	header["jwk"] = dpoptest.With(key.JWK(), "alg", "EdDSA")
	k.accepts(t, key.Sign(header, key.Claims("POST", tokenURL, "", "")), atToken)
}

// What clients may do, and some do.
func TestHarmlessThingsAreAccepted(t *testing.T) {
	k := inMemory(t)
	key := k.key(t)
	for name, header := range map[string]map[string]any{
		"kid":          dpoptest.With(key.Header(), "kid", "1"),
		"unknown":      dpoptest.With(key.Header(), "x", map[string]any{"a": []any{1, nil}}),
		"jwk from web": dpoptest.With(key.Header(), "jwk", dpoptest.With(dpoptest.With(key.JWK(), "key_ops", []any{"verify"}), "ext", true)),
		"jwk use":      dpoptest.With(key.Header(), "jwk", dpoptest.With(dpoptest.With(key.JWK(), "use", "sig"), "alg", "ES256")),
	} {
		t.Run(name, func(t *testing.T) { k.accepts(t, key.Sign(header, key.Claims("POST", tokenURL, "", "")), atToken) })
	}
	for name, change := range map[string]map[string]any{
		"unknown":         {"x": 1, "iss": "rp"},
		"htu normalised":  {"htu": "HTTPS://Server.Example.com:443/%74oken?a=b#c"},
		"ath unasked":     {"ath": "x"},
		"jti of 256":      {"jti": strings.Repeat("j", 256)},
		"iat 10 s ahead":  {"iat": k.at.Unix() + 10},
		"iat 10 s past":   {"iat": k.at.Unix() - 10},
		"iat 60 s past":   {"iat": k.at.Unix() - 60},
		"iat fraction":    {"iat": float64(k.at.UnixMilli()) / 1000},
		"iat exponent":    {"iat": json.RawMessage("1.7953776e9")},
		"exp to come":     {"exp": k.at.Unix() + 1},
		"nbf just passed": {"nbf": k.at.Unix()},
	} {
		t.Run(name, func(t *testing.T) {
			claims := key.Claims("POST", tokenURL, "", "")
			maps.Copy(claims, change)
			k.accepts(t, key.Sign(key.Header(), claims), atToken)
		})
	}
}

func TestBadHeadersAreRefused(t *testing.T) {
	k := inMemory(t)
	key := k.key(t)
	kinds := everyKind(t)
	ed, big2048 := k.keyOf(t, kinds["EdDSA"]), k.keyOf(t, kinds["PS256"])
	private := func(key *dpoptest.Key) map[string]any {
		raw, err := jose.JSONWebKey{Key: key.Signer}.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		var jwk map[string]any
		if err := json.Unmarshal(raw, &jwk); err != nil {
			t.Fatal(err)
		}
		return jwk
	}
	p384 := onCurve(t, elliptic.P384())
	type change = map[string]any
	jwk := func(key *dpoptest.Key, name string, value any) change {
		return change{"jwk": dpoptest.With(key.JWK(), name, value)}
	}
	x := key.JWK()["x"].(string)
	raw := func(s string) []byte {
		b, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	uint := func(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
	n := raw(big2048.JWK()["n"].(string))

	for name, c := range map[string]struct {
		by     *dpoptest.Key
		change change
		why    dpop.Reason
	}{
		"typ absent":         {key, change{"typ": dpoptest.Absent}, dpop.BadType},
		"typ JWT":            {key, change{"typ": "JWT"}, dpop.BadType},
		"typ in capitals":    {key, change{"typ": "DPoP+JWT"}, dpop.BadType},
		"typ with prefix":    {key, change{"typ": "application/dpop+jwt"}, dpop.BadType},
		"typ a list":         {key, change{"typ": []any{"dpop+jwt"}}, dpop.BadType},
		"Typ":                {key, change{"typ": dpoptest.Absent, "Typ": "dpop+jwt"}, dpop.BadType},
		"crit":               {key, change{"crit": []any{"b64"}, "b64": true}, dpop.Critical},
		"crit empty":         {key, change{"crit": []any{}}, dpop.Critical},
		"crit null":          {key, change{"crit": nil}, dpop.Critical},
		"alg absent":         {key, change{"alg": dpoptest.Absent}, dpop.BadAlgorithm},
		"alg none":           {key, change{"alg": "none"}, dpop.BadAlgorithm},
		"alg HS256":          {key, change{"alg": "HS256"}, dpop.BadAlgorithm},
		"alg ES384":          {key, change{"alg": "ES384"}, dpop.BadAlgorithm},
		"alg RS256":          {big2048, change{"alg": "RS256"}, dpop.BadAlgorithm},
		"alg es256":          {key, change{"alg": "es256"}, dpop.BadAlgorithm},
		"alg a number":       {key, change{"alg": 1}, dpop.BadAlgorithm},
		"alg of another key": {key, change{"alg": "EdDSA"}, dpop.BadKey},
		"RSA as ES256":       {big2048, change{"alg": "ES256"}, dpop.BadKey},
		"P-256 as PS256":     {key, change{"alg": "PS256"}, dpop.BadKey},
		"Ed25519 as ES256":   {ed, change{"alg": "ES256"}, dpop.BadKey},

		"jwk absent":            {key, change{"jwk": dpoptest.Absent}, dpop.BadKey},
		"jwk null":              {key, change{"jwk": nil}, dpop.BadKey},
		"jwk a string":          {key, change{"jwk": x}, dpop.BadKey},
		"jwk a list":            {key, change{"jwk": []any{key.JWK()}}, dpop.BadKey},
		"jwk empty":             {key, change{"jwk": change{}}, dpop.BadKey},
		"JWK":                   {key, change{"jwk": dpoptest.Absent, "JWK": key.JWK()}, dpop.BadKey},
		"kid instead":           {key, change{"jwk": dpoptest.Absent, "kid": "1"}, dpop.BadKey},
		"private P-256":         {key, change{"jwk": private(key)}, dpop.BadKey},
		"private Ed25519":       {ed, change{"jwk": private(ed)}, dpop.BadKey},
		"private RSA":           {big2048, change{"jwk": private(big2048)}, dpop.BadKey},
		"d null":                {key, jwk(key, "d", nil), dpop.BadKey},
		"k":                     {key, jwk(key, "k", "AAAA"), dpop.BadKey},
		"q alone":               {big2048, jwk(big2048, "q", "AAAA"), dpop.BadKey},
		"oct":                   {key, change{"jwk": change{"kty": "oct", "k": "AAAA"}}, dpop.BadKey},
		"kty absent":            {key, jwk(key, "kty", dpoptest.Absent), dpop.BadKey},
		"kty ec":                {key, jwk(key, "kty", "ec"), dpop.BadKey},
		"crv absent":            {key, jwk(key, "crv", dpoptest.Absent), dpop.BadKey},
		"crv P-384":             {key, jwk(key, "crv", "P-384"), dpop.BadKey},
		"crv Ed448":             {ed, jwk(ed, "crv", "Ed448"), dpop.BadKey},
		"crv X25519":            {ed, jwk(ed, "crv", "X25519"), dpop.BadKey},
		"a key of P-384":        {k.keyOf(t, p384), nil, dpop.BadKey},
		"x absent":              {key, jwk(key, "x", dpoptest.Absent), dpop.BadKey},
		"x a number":            {key, jwk(key, "x", 7), dpop.BadKey},
		"x of zeros":            {key, jwk(key, "x", uint(make([]byte, 32))), dpop.BadKey},
		"off the curve":         {key, jwk(key, "y", x), dpop.BadKey},
		"x too long":            {key, jwk(key, "x", uint(append([]byte{0}, raw(x)...))), dpop.BadKey},
		"x padded":              {key, jwk(key, "x", x+"="), dpop.BadKey},
		"x with a line end":     {key, jwk(key, "x", x[:20]+"\n"+x[20:]), dpop.BadKey},
		"x with stray bits":     {key, jwk(key, "x", x[:42]+stray(x[42])), dpop.BadKey},
		"Ed25519 short":         {ed, jwk(ed, "x", uint(make([]byte, 31))), dpop.BadKey},
		"use enc":               {key, jwk(key, "use", "enc"), dpop.BadKey},
		"use null":              {key, jwk(key, "use", nil), dpop.BadKey},
		"jwk alg differs":       {key, jwk(key, "alg", "ES384"), dpop.BadKey},
		"key_ops sign":          {key, jwk(key, "key_ops", []any{"sign"}), dpop.BadKey},
		"key_ops of objects":    {key, jwk(key, "key_ops", []any{change{}}), dpop.BadKey},
		"RSA 1024":              {big2048, jwk(big2048, "n", uint(append([]byte{0x80}, n[129:]...))), dpop.BadKey},
		"RSA 2047":              {big2048, jwk(big2048, "n", uint(append([]byte{0x7f}, n[1:]...))), dpop.BadKey},
		"RSA 8192":              {big2048, jwk(big2048, "n", uint(bytes.Repeat(n, 4))), dpop.BadKey},
		"RSA 4097":              {big2048, jwk(big2048, "n", uint(append([]byte{1}, bytes.Repeat(n, 2)...))), dpop.BadKey},
		"RSA even":              {big2048, jwk(big2048, "n", uint(append(bytes.Clone(n[:255]), 2))), dpop.BadKey},
		"RSA with a zero":       {big2048, jwk(big2048, "n", uint(append([]byte{0}, n...))), dpop.BadKey},
		"RSA without n":         {big2048, jwk(big2048, "n", ""), dpop.BadKey},
		"exponent 1":            {big2048, jwk(big2048, "e", "AQ"), dpop.BadKey},
		"exponent 3":            {big2048, jwk(big2048, "e", "Aw"), dpop.BadKey},
		"exponent even":         {big2048, jwk(big2048, "e", "AQAC"), dpop.BadKey},
		"exponent with a zero":  {big2048, jwk(big2048, "e", "AAEAAQ"), dpop.BadKey},
		"exponent of 33 bits":   {big2048, jwk(big2048, "e", uint([]byte{1, 0, 0, 0, 1})), dpop.BadKey},
		"exponent of 2048 bits": {big2048, jwk(big2048, "e", uint(n)), dpop.BadKey},

		"another's key":         {key, change{"jwk": k.key(t).JWK()}, dpop.BadSignature},
		"another's RSA 4096":    {big2048, jwk(big2048, "n", uint(bytes.Repeat(n, 2))), dpop.BadSignature}, // the size is right
		"another's RSA modulus": {big2048, jwk(big2048, "n", uint(new(big.Int).Xor(new(big.Int).SetBytes(n), big.NewInt(2)).Bytes())), dpop.BadSignature},
	} {
		t.Run(name, func(t *testing.T) {
			header := c.by.Header()
			if c.by.Signer == p384 {
				header["alg"] = "ES256"
			}
			for member, value := range c.change {
				header = dpoptest.With(header, member, value)
			}
			k.refuses(t, c.by.Sign(header, c.by.Claims("POST", tokenURL, "", "")), atToken, c.why)
		})
	}
}

// stray sets a bit that a letter at the end of 32 encoded bytes does not have.
func stray(letter byte) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return alphabet[strings.IndexByte(alphabet, letter)|1:][:1]
}

func TestBadClaimsAreRefused(t *testing.T) {
	k := inMemory(t)
	key := k.key(t)
	at := k.at.Unix()
	type change = map[string]any
	for name, c := range map[string]struct {
		change change
		why    dpop.Reason
	}{
		"jti absent":       {change{"jti": dpoptest.Absent}, dpop.BadID},
		"jti empty":        {change{"jti": ""}, dpop.BadID},
		"jti null":         {change{"jti": nil}, dpop.BadID},
		"jti a number":     {change{"jti": 1}, dpop.BadID},
		"jti too long":     {change{"jti": strings.Repeat("j", 257)}, dpop.BadID},
		"htm absent":       {change{"htm": dpoptest.Absent}, dpop.OtherMethod},
		"htm other":        {change{"htm": "GET"}, dpop.OtherMethod},
		"htm in lower":     {change{"htm": "post"}, dpop.OtherMethod},
		"htm with a blank": {change{"htm": "POST "}, dpop.OtherMethod},
		"htm a list":       {change{"htm": []any{"POST"}}, dpop.OtherMethod},
		"Htm":              {change{"htm": dpoptest.Absent, "Htm": "POST"}, dpop.OtherMethod},
		"htu absent":       {change{"htu": dpoptest.Absent}, dpop.OtherURL},
		"htu empty":        {change{"htu": ""}, dpop.OtherURL},
		"htu other host":   {change{"htu": "https://server.example.com.evil.example/token"}, dpop.OtherURL},
		"htu other path":   {change{"htu": tokenURL + "/"}, dpop.OtherURL},
		"htu path in case": {change{"htu": "https://server.example.com/Token"}, dpop.OtherURL},
		"htu http":         {change{"htu": "http://server.example.com/token"}, dpop.OtherURL},
		"htu other port":   {change{"htu": "https://server.example.com:8443/token"}, dpop.OtherURL},
		"htu relative":     {change{"htu": "/token"}, dpop.OtherURL},
		"htu with a user":  {change{"htu": "https://u@server.example.com/token"}, dpop.OtherURL},
		"htu a list":       {change{"htu": []any{tokenURL}}, dpop.OtherURL},
		"iat absent":       {change{"iat": dpoptest.Absent}, dpop.BadTime},
		"iat null":         {change{"iat": nil}, dpop.BadTime},
		"iat a string":     {change{"iat": fmt.Sprint(at)}, dpop.BadTime},
		"iat an hour ago":  {change{"iat": at - 3600}, dpop.BadTime},
		"iat in an hour":   {change{"iat": at + 3600}, dpop.BadTime},
		"iat 66 s ago":     {change{"iat": at - 66}, dpop.BadTime},
		"iat in 16 s":      {change{"iat": at + 16}, dpop.BadTime},
		"iat in ms":        {change{"iat": at * 1000}, dpop.BadTime},
		"iat 0":            {change{"iat": 0}, dpop.BadTime},
		"iat negative":     {change{"iat": -1}, dpop.BadTime},
		"iat huge":         {change{"iat": json.RawMessage("1e300")}, dpop.BadTime},
		"exp over":         {change{"exp": at - 5}, dpop.BadTime},
		"exp null":         {change{"exp": nil}, dpop.BadTime},
		"exp a string":     {change{"exp": "tomorrow"}, dpop.BadTime},
		"nbf to come":      {change{"nbf": at + 60}, dpop.BadTime},
		"nbf a string":     {change{"nbf": "now"}, dpop.BadTime},
		"nonce made up":    {change{"nonce": "eyJ7S_zG.eyJH0-Z.HX4w-7v"}, dpop.StaleNonce},
		"nonce empty":      {change{"nonce": ""}, dpop.StaleNonce},
		"nonce null":       {change{"nonce": nil}, dpop.StaleNonce},
		"nonce a number":   {change{"nonce": 1}, dpop.StaleNonce},
	} {
		t.Run(name, func(t *testing.T) {
			claims := key.Claims("POST", tokenURL, "", "")
			for member, value := range c.change {
				claims = dpoptest.With(claims, member, value)
			}
			k.refuses(t, key.Sign(key.Header(), claims), atToken, c.why)
		})
	}
}

func TestBrokenFormsAreRefused(t *testing.T) {
	k := inMemory(t)
	key := k.key(t)
	good := key.Proof("POST", tokenURL, "", "")
	part := strings.Split(good, ".")
	raw := func(s string) []byte {
		b, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	header, claims := raw(part[0]), raw(part[1])
	twice := func(object []byte, member string) []byte { return append([]byte("{"+member+","), object[1:]...) }
	jwk := func(member string) []byte {
		return bytes.Replace(header, []byte(`"jwk":{`), []byte(`"jwk":{`+member+","), 1)
	}

	for name, proof := range map[string]string{
		"empty":                     "",
		"dots":                      "..",
		"one part":                  part[0],
		"two parts":                 part[0] + "." + part[1],
		"four parts":                good + ".",
		"two proofs":                good + "," + good,
		"no header":                 "." + part[1] + "." + part[2],
		"no claims":                 part[0] + ".." + part[2],
		"no signature":              part[0] + "." + part[1] + ".",
		"blank before":              " " + good,
		"line end after":            good + "\n",
		"line end inside":           part[0] + "." + part[1][:4] + "\r\n" + part[1][4:] + "." + part[2],
		"padding":                   part[0] + "." + part[1] + "." + part[2] + "==",
		"other alphabet":            part[0] + "." + part[1] + ".+/" + part[2][2:],
		"no base64":                 "%." + part[1] + "." + part[2],
		"JSON form":                 `{"protected":"` + part[0] + `","payload":"` + part[1] + `","signature":"` + part[2] + `"}`,
		"too large":                 key.Sign(dpoptest.With(key.Header(), "x", strings.Repeat("x", 8<<10)), key.Claims("POST", tokenURL, "", "")),
		"nested deep":               key.SignRaw(header, []byte(strings.Repeat("[", 5000))),
		"header no JSON":            key.SignRaw([]byte("typ"), claims),
		"header null":               key.SignRaw([]byte("null"), claims),
		"header a list":             key.SignRaw([]byte("["+string(header)+"]"), claims),
		"header and more":           key.SignRaw(append(bytes.Clone(header), "{}"...), claims),
		"header with a BOM":         key.SignRaw(append([]byte("\ufeff"), header...), claims),
		"header in Latin-1":         key.SignRaw(twice(header, "\"x\":\"\xe4\""), claims),
		"claims a string":           key.SignRaw(header, []byte(`"POST"`)),
		"claims cut":                key.SignRaw(header, claims[:len(claims)-1]),
		"claims with a comment":     key.SignRaw(header, append([]byte("/**/"), claims...)),
		"number too large":          key.SignRaw(header, twice(claims, `"x":1e999`)),
		"alg twice":                 key.SignRaw(twice(header, `"alg":"none"`), claims),
		"alg twice, escaped":        key.SignRaw(twice(header, `"\u0061lg":"none"`), claims),
		"unknown twice":             key.SignRaw(twice(twice(header, `"x":1`), `"x":1`), claims),
		"htu twice":                 key.SignRaw(header, twice(claims, `"htu":"https://evil.example/"`)),
		"jwk with x twice":          key.SignRaw(jwk(`"x":"AAAA"`), claims),
		"unknown with member twice": key.SignRaw(header, twice(claims, `"o":[{"a":1,"a":1}]`)),
	} {
		t.Run(name, func(t *testing.T) { k.refuses(t, proof, atToken, dpop.Malformed) })
	}
	k.accepts(t, good, atToken) // it was good all the time, and nothing above spent it
}

// Go's ecdsa takes any numbers; JWS has r and s of 32 bytes each, never DER.
func TestSignatureForms(t *testing.T) {
	k := inMemory(t)
	key := k.key(t)
	good := key.Proof("POST", tokenURL, "", "")
	cut := strings.LastIndexByte(good, '.')
	digest := sha256.Sum256([]byte(good[:cut]))
	der, err := ecdsa.SignASN1(rand.Reader, key.Signer.(*ecdsa.PrivateKey), digest[:])
	if err != nil {
		t.Fatal(err)
	}
	rs, err := base64.RawURLEncoding.DecodeString(good[cut+1:])
	if err != nil {
		t.Fatal(err)
	}
	for name, signature := range map[string][]byte{
		"DER": der, "zeros": make([]byte, 64), "one byte": {1}, "with one more": append([]byte{0}, rs...), "of two": append(bytes.Clone(rs), rs...),
	} {
		t.Run(name, func(t *testing.T) {
			k.refuses(t, good[:cut+1]+base64.RawURLEncoding.EncodeToString(signature), atToken, dpop.BadSignature)
		})
	}
	claims := strings.Split(key.Proof("POST", tokenURL, "", ""), ".")[1]
	part := strings.Split(good, ".")
	k.refuses(t, part[0]+"."+claims+"."+part[2], atToken, dpop.BadSignature)
}

// A stolen token is worth nothing without its key, nor a proof with another token.
func TestBindings(t *testing.T) {
	k := inMemory(t)
	owner, thief := k.key(t), k.key(t)
	e := dpop.Expect{Method: "GET", URL: userinfo, AccessToken: theAccess, Thumbprint: owner.Thumbprint()}
	k.refuses(t, thief.Proof("GET", userinfo, theAccess, ""), e, dpop.OtherKey)
	k.refuses(t, owner.Proof("GET", userinfo, "another", ""), e, dpop.OtherAccessToken)
	k.refuses(t, owner.Proof("GET", userinfo, "", ""), e, dpop.OtherAccessToken)
	hash := sha256.Sum256([]byte(theAccess))
	for _, ath := range []any{nil, "", theAccess, base64.URLEncoding.EncodeToString(hash[:]), base64.RawURLEncoding.EncodeToString(hash[:16]), []any{base64.RawURLEncoding.EncodeToString(hash[:])}} {
		k.refuses(t, owner.Sign(owner.Header(), dpoptest.With(owner.Claims("GET", userinfo, "", ""), "ath", ath)), e, dpop.OtherAccessToken)
	}
	k.accepts(t, owner.Proof("GET", userinfo, theAccess, ""), e)
}

func TestNothingToExpectIsNoProofsFault(t *testing.T) {
	k := inMemory(t)
	for _, e := range []dpop.Expect{{}, {Method: "POST"}, {URL: tokenURL}, {Method: "POST", URL: "/token"}} {
		var refused dpop.Error
		if _, err := k.Verify(t.Context(), k.key(t).Proof("POST", tokenURL, "", ""), e); err == nil || errors.As(err, &refused) {
			t.Errorf("%+v: %v", e, err)
		}
	}
}

func TestNonces(t *testing.T) {
	k := inMemory(t)
	key := k.key(t)
	nonce := func() string {
		t.Helper()
		n, err := k.Nonce()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	first := nonce()
	// RFC 9449 §8.1: the letters of a nonce.
	if strings.ContainsFunc(first, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }) {
		t.Errorf("nonce %q", first)
	}

	k.RequireNonce = true
	k.refuses(t, key.Proof("POST", tokenURL, "", ""), atToken, dpop.NoNonce)
	k.refuses(t, key.Proof("GET", tokenURL, "", ""), atToken, dpop.OtherMethod) // a nonce would not help
	k.accepts(t, key.Proof("POST", tokenURL, "", first), atToken)
	k.RequireNonce = false
	k.accepts(t, key.Proof("POST", tokenURL, "", first), atToken) // welcome where it is not asked for
	k.RequireNonce = true

	// The same until half its life is over.
	k.at = k.at.Add(150*time.Second - 1)
	if nonce() != first {
		t.Error("a new nonce before its time")
	}
	k.at = k.at.Add(1)
	second := nonce()
	if second == first {
		t.Error("the same nonce after half its life")
	}
	k.accepts(t, key.Proof("POST", tokenURL, "", first), atToken)
	k.at = k.at.Add(150 * time.Second)
	k.refuses(t, key.Proof("POST", tokenURL, "", first), atToken, dpop.StaleNonce)
	k.accepts(t, key.Proof("POST", tokenURL, "", second), atToken)
	k.RequireNonce = false
	k.refuses(t, key.Proof("POST", tokenURL, "", first), atToken, dpop.StaleNonce) // never overlooked

	// The clock was set back: what it gave out before is from the future.
	third := nonce()
	k.at = k.at.Add(-time.Hour)
	k.refuses(t, key.Proof("POST", tokenURL, "", third), atToken, dpop.StaleNonce)
	k.accepts(t, key.Proof("POST", tokenURL, "", nonce()), atToken)
}

func TestNonceLifeIsASetting(t *testing.T) {
	k := inMemory(t)
	k.NonceLife = time.Minute
	key := k.key(t)
	nonce, err := k.Nonce()
	if err != nil {
		t.Fatal(err)
	}
	k.at = k.at.Add(time.Minute - 1)
	k.accepts(t, key.Proof("POST", tokenURL, "", nonce), atToken)
	k.at = k.at.Add(1)
	k.refuses(t, key.Proof("POST", tokenURL, "", nonce), atToken, dpop.StaleNonce)
}

// With a nonce the client's clock may be minutes off, but not an hour.
func TestANonceTellsTheAge(t *testing.T) {
	k := inMemory(t)
	key := k.key(t)
	nonce, err := k.Nonce()
	if err != nil {
		t.Fatal(err)
	}
	for off, want := range map[time.Duration]dpop.Reason{
		-9 * time.Minute: "", 9 * time.Minute: "", -11 * time.Minute: dpop.BadTime, 11 * time.Minute: dpop.BadTime, -time.Hour: dpop.BadTime, time.Hour: dpop.BadTime,
	} {
		proof := key.Sign(key.Header(), dpoptest.With(key.Claims("POST", tokenURL, "", nonce), "iat", k.at.Add(off).Unix()))
		if want != "" {
			k.refuses(t, proof, atToken, want)
			continue
		}
		k.accepts(t, proof, atToken)
		k.refuses(t, proof, atToken, dpop.Replayed)
	}
	without := key.Sign(key.Header(), dpoptest.With(key.Claims("POST", tokenURL, "", ""), "iat", k.at.Add(-9*time.Minute).Unix()))
	k.refuses(t, without, atToken, dpop.BadTime)
}

// Every replica knows the others' nonces, also across a change of master keys, and
// nothing else that they sealed.
func TestNoncesOfReplicas(t *testing.T) {
	old, fresh := keys.GenerateMaster(), keys.GenerateMaster()
	one, two, stranger := inMemory(t), inMemory(t), inMemory(t)
	one.Sealer, two.Sealer = master(t, old), master(t, fresh, old)
	key := one.key(t)
	nonce, err := one.Nonce()
	if err != nil {
		t.Fatal(err)
	}
	two.accepts(t, key.Proof("POST", tokenURL, "", nonce), atToken)
	stranger.refuses(t, key.Proof("POST", tokenURL, "", nonce), atToken, dpop.StaleNonce)

	now := binary.BigEndian.AppendUint64(nil, uint64(one.at.UnixMilli()))
	for meaning, plain := range map[string][]byte{"another meaning": now, "dpop nonce": now[1:], "Dpop nonce": now} {
		sealed, err := one.Sealer.Seal(plain, meaning)
		if err != nil {
			t.Fatal(err)
		}
		one.refuses(t, key.Proof("POST", tokenURL, "", sealed), atToken, dpop.StaleNonce)
	}
}

func TestNonceFailsWithItsSealer(t *testing.T) {
	k := inMemory(t)
	k.Sealer = broken{}
	if n, err := k.Nonce(); n != "" || !errors.Is(err, errBroken) {
		t.Errorf("%q, %v", n, err)
	}
}

var errBroken = errors.New("broken")

type broken struct{ ephemeral.Store }

func (broken) Seal([]byte, string) (string, error) { return "", errBroken }
func (broken) Open(string, string) ([]byte, error) { return nil, errBroken }
func (broken) Add(context.Context, string, []byte, time.Duration) error {
	return fmt.Errorf("redis: %w", fault.New(fault.Unavailable, "ephemeral_unavailable", "It does not answer."))
}

// Nobody can say whether it was used: so it was.
func TestWithoutAMemoryNoProofIsGood(t *testing.T) {
	k := newKit(t, broken{})
	p, err := k.Verify(t.Context(), k.key(t).Proof("POST", tokenURL, "", ""), atToken)
	var refused dpop.Error
	if !fault.Is(err, fault.Unavailable) || errors.As(err, &refused) || p != (dpop.Proof{}) {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestAProofIsGoodOnce(t *testing.T) {
	ephemeraltest.Each(t, func(t *testing.T, store ephemeral.Store) {
		k, replica := newKit(t, store), newKit(t, store)
		key, other := k.key(t), k.key(t)
		claims := key.Claims("POST", tokenURL, "", "")
		proof := key.Sign(key.Header(), claims)
		k.refuses(t, proof, dpop.Expect{Method: "POST", URL: userinfo}, dpop.OtherURL) // spends nothing
		k.accepts(t, proof, atToken)
		k.refuses(t, proof, atToken, dpop.Replayed)
		replica.refuses(t, proof, atToken, dpop.Replayed)

		// Another signature or another way to write the URL makes no other proof.
		k.refuses(t, key.Sign(key.Header(), claims), atToken, dpop.Replayed)
		k.refuses(t, key.Sign(key.Header(), dpoptest.With(claims, "htu", "https://SERVER.example.com:443/token")), atToken, dpop.Replayed)
		// Nobody spends another's jti.
		k.accepts(t, other.Sign(other.Header(), claims), atToken)
		k.accepts(t, key.Sign(key.Header(), dpoptest.With(claims, "htu", userinfo)), dpop.Expect{Method: "POST", URL: userinfo})
	})
}

// The mark lives as long as anybody accepts the proof, with a nonce or without.
func TestMarksOutliveTheirProofs(t *testing.T) {
	for _, withNonce := range []bool{false, true} {
		store := &remembering{Store: ephemeral.NewMemory(time.Now)}
		k := newKit(t, store)
		key := k.key(t)
		claims := key.Claims("POST", tokenURL, "", "")
		claims["iat"] = k.at.Add(dpop.Ahead + dpop.Skew).Unix() // the newest that is accepted
		if withNonce {
			nonce, err := k.Nonce()
			if err != nil {
				t.Fatal(err)
			}
			claims["nonce"] = nonce
		}
		proof := key.Sign(key.Header(), claims)
		k.accepts(t, proof, atToken)
		start := k.at
		for range 1000 {
			k.at = k.at.Add(time.Second)
			_, err := k.Verify(t.Context(), proof, atToken)
			var refused dpop.Error
			if !errors.As(err, &refused) {
				t.Fatal(err)
			}
			if refused.Reason != dpop.Replayed {
				break
			}
		}
		// It is now too old, by a clock that is right; one that is behind still takes it.
		if lived := k.at.Sub(start); store.first < lived+dpop.Skew {
			t.Errorf("nonce %v: the proof was good for %v, its mark for %v", withNonce, lived, store.first)
		}
	}
}

type remembering struct {
	ephemeral.Store
	first time.Duration
}

func (r *remembering) Add(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if r.first == 0 {
		r.first = ttl
	}
	return r.Store.Add(ctx, key, value, ttl)
}

func TestOneOfFiftyProves(t *testing.T) {
	ephemeraltest.Each(t, func(t *testing.T, store ephemeral.Store) {
		replicas := []*kit{newKit(t, store), newKit(t, store)}
		proof := replicas[0].key(t).Proof("POST", tokenURL, "", "")
		var won atomic.Int32
		var all sync.WaitGroup
		start := make(chan struct{})
		for i := range 50 {
			all.Go(func() {
				<-start
				_, err := replicas[i%2].Verify(t.Context(), proof, atToken)
				var refused dpop.Error
				switch {
				case err == nil:
					won.Add(1)
				case !errors.As(err, &refused) || refused.Reason != dpop.Replayed:
					t.Error(err)
				}
			})
		}
		close(start)
		all.Wait()
		if won.Load() != 1 {
			t.Errorf("%d of 50 won", won.Load())
		}
	})
}

func TestNoncesMadeAtOnceAreOne(t *testing.T) {
	k := inMemory(t)
	var all sync.WaitGroup
	made := make(chan string, 50)
	for range cap(made) {
		all.Go(func() {
			n, err := k.Nonce()
			if err != nil {
				t.Error(err)
			}
			made <- n
		})
	}
	all.Wait()
	close(made)
	first := <-made
	for n := range made {
		if n != first {
			t.Error("two nonces at one time")
		}
	}
}

// What a proof holds is never in an error.
func TestErrorsHoldNothingThatCameIn(t *testing.T) {
	k := inMemory(t)
	key := k.key(t)
	claims := key.Claims("POST", "https://canary.example/canary", "", "")
	claims["jti"], claims["nonce"] = "canary", "canary"
	for _, e := range []dpop.Expect{atToken, {Method: "POST", URL: "https://canary.example/canary"}, {Method: "GET", URL: tokenURL}} {
		if _, err := k.Verify(t.Context(), key.Sign(key.Header(), claims), e); err == nil || strings.Contains(fmt.Sprintf("%+v", err), "canary") {
			t.Errorf("%v", err)
		}
	}
}
