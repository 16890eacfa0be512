package clientjwt_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/clientjwt"
	"github.com/portti-id/portti/internal/clientjwt/clientjwttest"
	"github.com/portti-id/portti/internal/ephemeral"
	"github.com/portti-id/portti/internal/ephemeral/ephemeraltest"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/keys"
)

func TestEveryAlgorithmProvesItsClient(t *testing.T) {
	for _, alg := range keys.Algorithms {
		key := pair(t, string(alg))
		for what, raw := range map[string]string{
			"plain":     key.Assertion(client, issuer),
			"no kid":    key.Sign(map[string]any{"kid": nil}, clientjwttest.Claims(client, issuer)),
			"typ":       key.Sign(map[string]any{"typ": "JWT"}, clientjwttest.Claims(client, issuer)),
			"own typ":   key.Sign(map[string]any{"typ": "application/client-authentication+JWT"}, clientjwttest.Claims(client, issuer)),
			"x5t":       key.Sign(map[string]any{"x5t": "Yg"}, clientjwttest.Claims(client, issuer)),
			"fractions": key.Sign(nil, with(clientjwttest.Claims(client, issuer), map[string]any{"exp": float64(time.Now().Unix()) + 30.5})),
		} {
			r := rules(t, key)
			r.Strict, r.Algorithms = true, []keys.Algorithm{alg}
			if err := clientjwt.VerifyAssertion(t.Context(), raw, r); err != nil {
				t.Errorf("%s, %s: %v", alg, what, err)
			}
			if id, err := clientjwt.ClaimedClient(raw); err != nil || id != client {
				t.Errorf("%s, %s: claims to be %q, %v", alg, what, id, err)
			}
		}
	}
}

// TestEd25519HasTwoNames (RFC 9864): JavaScript's libraries use the newer one.
func TestEd25519HasTwoNames(t *testing.T) {
	key := pair(t, "EdDSA")
	for _, name := range []string{"EdDSA", "Ed25519"} {
		for _, kept := range []any{nil, "EdDSA", "Ed25519"} {
			r := rules(t, key)
			r.Algorithms = []keys.Algorithm{keys.EdDSA}
			r.Keys = parsed(t, set(t, jwk(t, key.JWK(), map[string]any{"alg": kept})))
			if err := clientjwt.VerifyAssertion(t.Context(), key.Sign(map[string]any{"alg": name}, clientjwttest.Claims(client, issuer)), r); err != nil {
				t.Errorf("%s with a key for %v: %v", name, kept, err)
			}
			r.Algorithms = []keys.Algorithm{keys.ES256}
			if err := clientjwt.VerifyAssertion(t.Context(), key.Sign(map[string]any{"alg": name}, clientjwttest.Claims(client, issuer)), r); !errors.Is(err, clientjwt.ErrAlgorithm) {
				t.Errorf("%s, not allowed: %v", name, err)
			}
			thief := clientjwttest.New(t, "EdDSA")
			thief.ID, r.Algorithms = key.ID, []keys.Algorithm{keys.EdDSA}
			if err := clientjwt.VerifyAssertion(t.Context(), thief.Sign(map[string]any{"alg": name}, clientjwttest.Claims(client, issuer)), r); !errors.Is(err, clientjwt.ErrSignature) {
				t.Errorf("%s of a thief: %v", name, err)
			}
		}
	}
}

func TestAssertionsThatAreRefused(t *testing.T) {
	key, other, now := pair(t, "ES256"), clientjwttest.New(t, "ES256"), time.Now()
	base := clientjwttest.Claims(client, issuer)
	at := func(d time.Duration) int64 { return now.Add(d).Unix() }
	claims := func(changes map[string]any) string { return key.Sign(nil, with(base, changes)) }
	header := func(changes map[string]any) string { return key.Sign(changes, base) }
	good := key.Sign(nil, base)
	part := strings.Split(good, ".")
	flat := func(b string) string { return base64.RawURLEncoding.EncodeToString([]byte(b)) }
	stranger := other
	stranger.ID = key.ID
	rsa := pair(t, "PS256")
	publicAsSecret := func() string {
		input := flat(`{"alg":"HS256","kid":"`+key.ID+`"}`) + "." + part[1]
		mac := hmac.New(sha256.New, key.JWKS())
		mac.Write([]byte(input))
		return input + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	}

	for what, c := range map[string]struct {
		raw  string
		want error
	}{
		"empty":                 {"", clientjwt.ErrMalformed},
		"two parts":             {part[0] + "." + part[1], clientjwt.ErrMalformed},
		"four parts":            {good + ".", clientjwt.ErrMalformed},
		"a JWE":                 {"a.b.c.d.e", clientjwt.ErrEncrypted},
		"no signature":          {part[0] + "." + part[1] + ".", clientjwt.ErrMalformed},
		"padding":               {good + "=", clientjwt.ErrMalformed},
		"a line end":            {good[:len(good)-4] + "\n" + good[len(good)-4:], clientjwt.ErrMalformed},
		"a blank":               {" " + good, clientjwt.ErrMalformed},
		"other base64 ending":   {respelt(good), clientjwt.ErrMalformed},
		"JSON serialisation":    {`{"payload":"` + part[1] + `","protected":"` + part[0] + `","signature":"` + part[2] + `"}`, clientjwt.ErrMalformed},
		"too long":              {claims(map[string]any{"x": strings.Repeat("x", 17<<10)}), clientjwt.ErrTooLong},
		"header is an array":    {key.SignParts([]byte(`[]`), encoded(t, base)), clientjwt.ErrMalformed},
		"header twice":          {key.SignParts([]byte(`{"alg":"ES256","alg":"none"}`), encoded(t, base)), clientjwt.ErrMalformed},
		"payload is text":       {key.SignBytes(nil, []byte("records")), clientjwt.ErrMalformed},
		"payload is null":       {key.SignBytes(nil, []byte("null")), clientjwt.ErrMalformed},
		"more than an object":   {key.SignBytes(nil, append(encoded(t, base), "{}"...)), clientjwt.ErrMalformed},
		"a claim twice":         {key.SignBytes(nil, append([]byte(`{"aud":"x",`), encoded(t, base)[1:]...)), clientjwt.ErrMalformed},
		"a claim twice, hidden": {key.SignBytes(nil, append([]byte(`{"a\u0075d":"x",`), encoded(t, base)[1:]...)), clientjwt.ErrMalformed},
		"twice below":           {key.SignBytes(nil, append([]byte(`{"x":[{"a":1,"a":2}],`), encoded(t, base)[1:]...)), clientjwt.ErrMalformed},
		"too deep":              {key.SignBytes(nil, append([]byte(`{"x":`+strings.Repeat("[", 20)+strings.Repeat("]", 20)+","), encoded(t, base)[1:]...)), clientjwt.ErrMalformed},
		"not UTF-8":             {key.SignBytes(nil, append([]byte("{\"x\":\"\xff\","), encoded(t, base)[1:]...)), clientjwt.ErrMalformed},

		"none":                    {flat(`{"alg":"none"}`) + "." + part[1] + "." + part[2], clientjwt.ErrAlgorithm},
		"None":                    {flat(`{"alg":"None"}`) + "." + part[1] + "." + part[2], clientjwt.ErrAlgorithm},
		"public key as a secret":  {publicAsSecret(), clientjwt.ErrAlgorithm},
		"no alg":                  {header(map[string]any{"alg": nil}), clientjwt.ErrAlgorithm},
		"alg is a number":         {header(map[string]any{"alg": 1}), clientjwt.ErrHeader},
		"alg of another key type": {header(map[string]any{"alg": "RS256"}), clientjwt.ErrSignature},
		"alg unknown":             {header(map[string]any{"alg": "ES512"}), clientjwt.ErrAlgorithm},
		"kid is a number":         {header(map[string]any{"kid": 1}), clientjwt.ErrHeader},
		"kid too long":            {header(map[string]any{"kid": strings.Repeat("k", 300)}), clientjwt.ErrHeader},
		"kid of nobody":           {header(map[string]any{"kid": "nobody"}), clientjwt.ErrSignature},
		"crit":                    {header(map[string]any{"crit": []string{"b64"}, "b64": true}), clientjwt.ErrHeader},
		"crit, empty":             {header(map[string]any{"crit": []string{}}), clientjwt.ErrHeader},
		"b64":                     {header(map[string]any{"b64": false}), clientjwt.ErrHeader},
		"its own key":             {other.Sign(map[string]any{"jwk": other.JWK()}, base), clientjwt.ErrHeader},
		"its own keys' address":   {header(map[string]any{"jku": "https://rp.example/keys"}), clientjwt.ErrHeader},
		"its own certificate":     {header(map[string]any{"x5u": "https://rp.example/c"}), clientjwt.ErrHeader},
		"a request object":        {header(map[string]any{"typ": "oauth-authz-req+jwt"}), clientjwt.ErrType},
		"a DPoP proof":            {header(map[string]any{"typ": "dpop+jwt"}), clientjwt.ErrType},
		"an access token":         {header(map[string]any{"typ": "at+JWT"}), clientjwt.ErrType},
		"typ is an array":         {header(map[string]any{"typ": []string{"JWT"}}), clientjwt.ErrHeader},

		"another's key":     {stranger.Sign(nil, base), clientjwt.ErrSignature},
		"another's, no kid": {stranger.Sign(map[string]any{"kid": nil}, base), clientjwt.ErrSignature},
		"another type":      {rsa.Sign(map[string]any{"kid": key.ID}, base), clientjwt.ErrSignature},
		"changed payload":   {part[0] + "." + flat(string(encoded(t, with(base, map[string]any{"jti": "x"})))) + "." + part[2], clientjwt.ErrSignature},
		"ASN.1 signature":   {part[0] + "." + part[1] + "." + flat("0"+strings.Repeat("x", 70)), clientjwt.ErrSignature},

		"no iss":             {claims(map[string]any{"iss": nil}), clientjwt.ErrIssuer},
		"iss is a number":    {claims(map[string]any{"iss": 1}), clientjwt.ErrIssuer},
		"iss is null":        {key.SignBytes(nil, []byte(`{"iss":null,"sub":null}`)), clientjwt.ErrIssuer},
		"no sub":             {claims(map[string]any{"sub": nil}), clientjwt.ErrSubject},
		"sub is another":     {claims(map[string]any{"sub": "other"}), clientjwt.ErrSubject},
		"iss is another":     {claims(map[string]any{"iss": "other"}), clientjwt.ErrSubject},
		"another client":     {claims(map[string]any{"iss": "other", "sub": "other"}), clientjwt.ErrSubject},
		"client in capitals": {claims(map[string]any{"iss": "Records", "sub": "Records"}), clientjwt.ErrSubject},
		"no jti":             {claims(map[string]any{"jti": nil}), clientjwt.ErrID},
		"jti is empty":       {claims(map[string]any{"jti": ""}), clientjwt.ErrID},
		"jti is a number":    {claims(map[string]any{"jti": 7}), clientjwt.ErrID},
		"jti too long":       {claims(map[string]any{"jti": strings.Repeat("j", 257)}), clientjwt.ErrID},

		"no exp":                                 {claims(map[string]any{"exp": nil}), clientjwt.ErrExpiryMissing},
		"exp is null":                            {key.SignBytes(nil, append([]byte(`{"exp":null,`), encoded(t, with(base, map[string]any{"exp": nil}))[1:]...)), clientjwt.ErrTime},
		"exp is text":                            {claims(map[string]any{"exp": "2030-01-01"}), clientjwt.ErrTime},
		"exp is enormous":                        {key.SignBytes(nil, append([]byte(`{"exp":1e999,`), encoded(t, with(base, map[string]any{"exp": nil}))[1:]...)), clientjwt.ErrTime},
		"exp is negative":                        {claims(map[string]any{"exp": -1}), clientjwt.ErrTime},
		"exp is now":                             {claims(map[string]any{"exp": at(0)}), clientjwt.ErrExpired},
		"expired 5 min ago":                      {claims(map[string]any{"exp": at(-5 * time.Minute)}), clientjwt.ErrExpired},
		"exp in two hours":                       {claims(map[string]any{"exp": at(2 * time.Hour)}), clientjwt.ErrTooLasting},
		"nbf in two minutes":                     {claims(map[string]any{"nbf": at(2 * time.Minute)}), clientjwt.ErrNotYet},
		"iat in two minutes":                     {claims(map[string]any{"iat": at(2 * time.Minute)}), clientjwt.ErrNotYet},
		"iat in 62 s":                            {claims(map[string]any{"iat": at(62 * time.Second)}), clientjwt.ErrNotYet},
		"nbf is text":                            {claims(map[string]any{"nbf": "now"}), clientjwt.ErrTime},
		"no aud":                                 {claims(map[string]any{"aud": nil}), clientjwt.ErrAudience},
		"aud is empty":                           {claims(map[string]any{"aud": ""}), clientjwt.ErrAudience},
		"aud is no list":                         {claims(map[string]any{"aud": []string{}}), clientjwt.ErrAudience},
		"aud is a number":                        {claims(map[string]any{"aud": 1}), clientjwt.ErrAudience},
		"aud holds a null":                       {claims(map[string]any{"aud": []any{issuer, nil}}), clientjwt.ErrAudience},
		"aud is another":                         {claims(map[string]any{"aud": "https://other.example"}), clientjwt.ErrAudience},
		"aud begins like ours":                   {claims(map[string]any{"aud": issuer + "/"}), clientjwt.ErrAudience},
		"aud is an endpoint that was not called": {claims(map[string]any{"aud": issuer + "/introspect"}), clientjwt.ErrAudience},
	} {
		r := rules(t, key)
		r.Now = now
		err := clientjwt.VerifyAssertion(t.Context(), c.raw, r)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", what, err, c.want)
		}
		plain(t, err)
		// What was refused has spent nothing.
		if err := clientjwt.VerifyAssertion(t.Context(), good, r); err != nil {
			t.Errorf("%s: the good one afterwards: %v", what, err)
		}
	}
}

// respelt changes the bits at the end of a signature that mean nothing.
func respelt(raw string) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(letters, raw[len(raw)-1]) // 64 bytes leave four bits over
	return raw[:len(raw)-1] + string(letters[last|1])
}

func TestClocksMayDifferALittle(t *testing.T) {
	key := pair(t, "ES256")
	for _, ahead := range []time.Duration{8 * time.Second, 10 * time.Second, 55 * time.Second} {
		for _, name := range []string{"nbf", "iat"} {
			r := rules(t, key)
			r.Strict = true
			raw := key.Sign(nil, with(clientjwttest.Claims(client, issuer), map[string]any{name: r.Now.Add(ahead).Unix(), "exp": r.Now.Add(time.Hour).Unix()}))
			if err := clientjwt.VerifyAssertion(t.Context(), raw, r); err != nil {
				t.Errorf("%s is %s ahead: %v", name, ahead, err)
			}
		}
	}
}

func TestOnlyAllowedAlgorithms(t *testing.T) {
	for _, c := range []struct {
		alg     string
		allowed []keys.Algorithm
		want    error
	}{
		{"RS256", []keys.Algorithm{keys.PS256, keys.ES256, keys.EdDSA}, clientjwt.ErrAlgorithm}, // FAPI
		{"PS256", []keys.Algorithm{keys.PS256, keys.ES256, keys.EdDSA}, nil},
		{"ES256", []keys.Algorithm{keys.EdDSA}, clientjwt.ErrAlgorithm},
		{"ES256", nil, clientjwt.ErrAlgorithm},
	} {
		key := pair(t, c.alg)
		r := rules(t, key)
		r.Algorithms = c.allowed
		if err := clientjwt.VerifyAssertion(t.Context(), key.Assertion(client, issuer), r); !errors.Is(err, c.want) {
			t.Errorf("%s among %v: %v, want %v", c.alg, c.allowed, err, c.want)
		}
	}
	// A caller that allows what nobody may use.
	key := pair(t, "ES256")
	r := rules(t, key)
	r.Algorithms = []keys.Algorithm{"none", "HS256"}
	for _, alg := range []string{"none", "HS256"} {
		if err := clientjwt.VerifyAssertion(t.Context(), key.Sign(map[string]any{"alg": alg}, clientjwttest.Claims(client, issuer)), r); !errors.Is(err, clientjwt.ErrAlgorithm) {
			t.Errorf("%s: %v", alg, err)
		}
	}
	// The key says what it is for: PS256 is not RS256 (RFC 8725 §3.1).
	rs := *pair(t, "RS256")
	r = rules(t, &rs)
	rs.Alg = "PS256"
	if err := clientjwt.VerifyAssertion(t.Context(), rs.Assertion(client, issuer), r); !errors.Is(err, clientjwt.ErrSignature) {
		t.Errorf("a key for RS256 verified PS256: %v", err)
	}
	// A client without keys.
	for _, none := range []clientjwt.Source{nil, (*clientjwt.Keys)(nil)} {
		r = rules(t, key)
		r.Keys = none
		if err := clientjwt.VerifyAssertion(t.Context(), key.Assertion(client, issuer), r); !errors.Is(err, clientjwt.ErrSignature) {
			t.Errorf("no keys: %v", err)
		}
	}
}

func TestAudienceOfAnAssertion(t *testing.T) {
	key := pair(t, "ES256")
	for _, c := range []struct {
		aud           any
		usual, strict bool
	}{
		{issuer, true, true},
		{[]string{issuer}, true, false},
		{[]string{"https://other.example", issuer}, true, false},
		{issuer + "/token", true, false},
		{[]string{issuer + "/token"}, true, false},
		{issuer + "/par", true, false},
		{[]string{issuer, issuer + "/token"}, true, false},
		{issuer + "/userinfo", false, false},
		{strings.ToUpper(issuer), false, false},
	} {
		for strict, ok := range map[bool]bool{false: c.usual, true: c.strict} {
			r := rules(t, key)
			r.Strict = strict
			raw := key.Sign(nil, with(clientjwttest.Claims(client, issuer), map[string]any{"aud": c.aud}))
			if err := clientjwt.VerifyAssertion(t.Context(), raw, r); ok != (err == nil) || !ok && !errors.Is(err, clientjwt.ErrAudience) {
				t.Errorf("%v, strict %v: %v", c.aud, strict, err)
			}
		}
	}
	// Rules without an issuer fit nothing.
	r := rules(t, key)
	r.Issuer, r.Endpoints = "", []string{""}
	if err := clientjwt.VerifyAssertion(t.Context(), key.Assertion(client, ""), r); !errors.Is(err, clientjwt.ErrAudience) {
		t.Error(err)
	}
	r = rules(t, key)
	r.Client = ""
	if err := clientjwt.VerifyAssertion(t.Context(), key.Assertion(client, issuer), r); !errors.Is(err, clientjwt.ErrSubject) {
		t.Error(err)
	}
}

func TestAnAssertionIsUsedOnce(t *testing.T) {
	key := pair(t, "ES256")
	ephemeraltest.Each(t, func(t *testing.T, store ephemeral.Store) {
		r := rules(t, key)
		r.Replay = store
		raw := key.Assertion(client, issuer)
		var won, lost atomic.Int32
		var racers sync.WaitGroup
		for range 50 {
			racers.Go(func() {
				switch err := clientjwt.VerifyAssertion(t.Context(), raw, r); {
				case err == nil:
					won.Add(1)
				case errors.Is(err, clientjwt.ErrReplayed):
					lost.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		racers.Wait()
		if won.Load() != 1 || lost.Load() != 49 {
			t.Errorf("%d of 50 won, %d lost", won.Load(), lost.Load())
		}
		// The same jti in another assertion, and from another client.
		claims := clientjwttest.Claims(client, issuer)
		if err := clientjwt.VerifyAssertion(t.Context(), key.Sign(nil, claims), r); err != nil {
			t.Error(err)
		}
		if err := clientjwt.VerifyAssertion(t.Context(), key.Sign(nil, with(claims, map[string]any{"x": 1})), r); !errors.Is(err, clientjwt.ErrReplayed) {
			t.Errorf("the same jti: %v", err)
		}
		r.Client = "other"
		if err := clientjwt.VerifyAssertion(t.Context(), key.Sign(nil, with(claims, map[string]any{"iss": "other", "sub": "other"})), r); err != nil {
			t.Errorf("another client's jti: %v", err)
		}
	})
}

// TestTheMarkOutlivesTheAssertion, also on a replica whose clock is behind.
func TestTheMarkOutlivesTheAssertion(t *testing.T) {
	key, now := pair(t, "ES256"), time.Now()
	clock := now
	r := rules(t, key)
	r.Replay = ephemeral.NewMemory(func() time.Time { return clock })
	raw := key.Sign(nil, with(clientjwttest.Claims(client, issuer), map[string]any{"exp": now.Add(10 * time.Minute).Unix()}))
	if err := clientjwt.VerifyAssertion(t.Context(), raw, r); err != nil {
		t.Fatal(err)
	}
	clock = now.Add(10*time.Minute + 30*time.Second)
	r.Now = now.Add(9 * time.Minute)
	if err := clientjwt.VerifyAssertion(t.Context(), raw, r); !errors.Is(err, clientjwt.ErrReplayed) {
		t.Errorf("a replica that is behind: %v", err)
	}
	r.Now = now.Add(10 * time.Minute)
	if err := clientjwt.VerifyAssertion(t.Context(), raw, r); !errors.Is(err, clientjwt.ErrExpired) {
		t.Error(err)
	}
}

func TestAnAssertionCountsForNothingWithoutTheStore(t *testing.T) {
	key := pair(t, "ES256")
	r := rules(t, key)
	r.Replay = down{}
	if err := clientjwt.VerifyAssertion(t.Context(), key.Assertion(client, issuer), r); !fault.Is(err, fault.Unavailable) {
		t.Errorf("%v", err)
	}
}

// down is a replay store that does not answer.
type down struct{}

func (down) Add(context.Context, string, []byte, time.Duration) error {
	return fault.New(fault.Unavailable, "ephemeral_unavailable", "The store does not answer.")
}

func TestClaimedClientOfNonsense(t *testing.T) {
	key := pair(t, "ES256")
	base := clientjwttest.Claims(client, issuer)
	for what, raw := range map[string]string{
		"empty":           "",
		"no JWT":          "records",
		"iss without sub": key.Sign(nil, with(base, map[string]any{"sub": nil})),
		"iss is not sub":  key.Sign(nil, with(base, map[string]any{"sub": "other"})),
		"a long name":     key.Sign(nil, with(base, map[string]any{"sub": strings.Repeat("x", 257), "iss": strings.Repeat("x", 257)})),
		"a request":       key.Sign(map[string]any{"typ": "oauth-authz-req+jwt"}, base),
	} {
		if id, err := clientjwt.ClaimedClient(raw); err == nil || id != "" {
			t.Errorf("%s: %q", what, id)
		}
	}
}

func FuzzAssertion(f *testing.F) {
	key := clientjwttest.New(f, "ES256")
	base := clientjwttest.Claims(client, issuer)
	for _, header := range []map[string]any{nil, {"kid": nil}, {"typ": "JWT"}, {"crit": []string{"b64"}}, {"alg": "none"}} {
		f.Add(key.Sign(header, base))
	}
	f.Add(key.SignBytes(nil, []byte(`{"iss":"records","sub":"records","aud":["a",null],"exp":1e3,"jti":"x"}`)))
	f.Add("..")
	own := rules(f, key)
	others := rules(f, clientjwttest.New(f, "ES256"))
	others.Replay = own.Replay
	f.Fuzz(func(t *testing.T, raw string) {
		// Whatever it is: nobody's key but the client's makes it good.
		if err := clientjwt.VerifyAssertion(t.Context(), raw, others); err == nil {
			t.Error("another's key verified it")
		}
		err := clientjwt.VerifyAssertion(t.Context(), raw, own)
		id, named := clientjwt.ClaimedClient(raw)
		if err == nil && (named != nil || id != client) {
			t.Errorf("good, but from %q: %v", id, named)
		}
	})
}
