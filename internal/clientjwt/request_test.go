package clientjwt_test

import (
	"errors"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/clientjwt"
	"github.com/portti-id/portti/internal/clientjwt/clientjwttest"
	"github.com/portti-id/portti/internal/keys"
)

func requestRules(t testing.TB, key *clientjwttest.Key, strict bool) clientjwt.RequestRules {
	t.Helper()
	return clientjwt.RequestRules{Client: client, Keys: parsed(t, key.JWKS()), Algorithms: keys.Algorithms, Issuer: issuer, Strict: strict, Now: time.Now()}
}

func TestParametersOfARequestObject(t *testing.T) {
	key := pair(t, "PS256")
	raw := key.RequestObject(map[string]any{
		"client_id": client, "aud": []string{"https://other.example", issuer}, "jti": "1", "iat": time.Now().Unix(), "sub": "someone",
		"response_type": "code", "redirect_uri": "https://rp.example/cb?x=y", "scope": "openid profile", "state": "a b&c=ä\n", "max_age": 300,
		"claims":                map[string]any{"userinfo": map[string]any{"name": map[string]any{"essential": true}}},
		"authorization_details": []any{map[string]any{"type": "x"}},
		"resource":              []string{"https://a.example", "https://b.example"},
		"unknown":               []any{"x", 1, nil}, "flag": true, "off": false, "big": 1e4, "half": 0.5, "text": "",
	})
	want := url.Values{"client_id": {client}, "response_type": {"code"}, "redirect_uri": {"https://rp.example/cb?x=y"}, "scope": {"openid profile"}, "state": {"a b&c=ä\n"},
		"max_age": {"300"}, "claims": {`{"userinfo":{"name":{"essential":true}}}`}, "authorization_details": {`[{"type":"x"}]`},
		"resource": {"https://a.example", "https://b.example"}, "unknown": {`["x",1,null]`}, "flag": {"true"}, "off": {"false"}, "big": {"10000"}, "half": {"0.5"}, "text": {""}}
	for _, strict := range []bool{false, true} {
		got, err := clientjwt.VerifyRequestObject(t.Context(), raw, requestRules(t, key, strict))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("strict %v: %v, %v", strict, err, got)
		}
	}
	// Blanks in it change nothing.
	now := time.Now()
	loose := key.SignBytes(nil, []byte(" {\n \"iss\" : \"records\" , \"aud\":\""+issuer+"\", \"claims\" : { \"id_token\" : { \"acr\" : null } } , \"max_age\" : 1.2e3 }\n"))
	got, err := clientjwt.VerifyRequestObject(t.Context(), loose, requestRules(t, key, false))
	if want := (url.Values{"client_id": {client}, "claims": {`{"id_token":{"acr":null}}`}, "max_age": {"1200"}}); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v %v", err, got)
	}
	// Without exp, nbf and client_id, as OpenID Connect Core 1.0 §6.1 lets clients do.
	for what, changes := range map[string]map[string]any{
		"no times":      {"exp": nil, "nbf": nil},
		"typ":           {"x": "y"},
		"long ago":      {"nbf": now.Add(-48 * time.Hour).Unix(), "exp": now.Add(48 * time.Hour).Unix()},
		"a bit ahead":   {"nbf": now.Add(8 * time.Second).Unix()},
		"no client_id":  {"client_id": nil, "iss": client},
		"sub is no one": {"sub": "someone"},
	} {
		raw := key.RequestObject(with(map[string]any{"client_id": client, "aud": issuer}, changes))
		if what == "no times" || what == "no client_id" {
			raw = key.Sign(nil, with(map[string]any{"iss": client, "client_id": client, "aud": issuer}, changes))
		}
		if got, err := clientjwt.VerifyRequestObject(t.Context(), raw, requestRules(t, key, false)); err != nil || got.Get("client_id") != client {
			t.Errorf("%s: %v, %v", what, err, got)
		}
	}
}

func TestRequestObjectsThatAreRefused(t *testing.T) {
	key, other, now := pair(t, "ES256"), clientjwttest.New(t, "ES256"), time.Now()
	at := func(d time.Duration) int64 { return now.Add(d).Unix() }
	base := map[string]any{"iss": client, "aud": issuer, "client_id": client, "response_type": "code", "scope": "openid", "nbf": at(0), "exp": at(5 * time.Minute)}
	claims := func(changes map[string]any) string { return key.Sign(nil, with(base, changes)) }
	good := key.Sign(nil, base)
	payload := strings.Split(good, ".")[1]
	many := map[string]any{}
	for i := range 70 {
		many[strings.Repeat("x", i+1)] = "y"
	}

	for what, c := range map[string]struct {
		raw   string
		loose error // of a usual client
		tight error // of a strict one
	}{
		"empty":           {"", clientjwt.ErrMalformed, clientjwt.ErrMalformed},
		"encrypted":       {"a.b.c.d.e", clientjwt.ErrEncrypted, clientjwt.ErrEncrypted},
		"too long":        {claims(map[string]any{"x": strings.Repeat("x", 33<<10)}), clientjwt.ErrTooLong, clientjwt.ErrTooLong},
		"too many":        {claims(many), clientjwt.ErrTooLong, clientjwt.ErrTooLong},
		"unsigned":        {"eyJhbGciOiJub25lIn0." + payload + ".", clientjwt.ErrMalformed, clientjwt.ErrMalformed},
		"none":            {"eyJhbGciOiJub25lIn0." + payload + ".AAAA", clientjwt.ErrAlgorithm, clientjwt.ErrAlgorithm},
		"another's key":   {other.Sign(nil, base), clientjwt.ErrSignature, clientjwt.ErrSignature},
		"an assertion":    {key.Assertion(client, issuer), clientjwt.ErrSubject, clientjwt.ErrSubject},
		"of another typ":  {key.Sign(map[string]any{"typ": "client-authentication+jwt"}, base), clientjwt.ErrType, clientjwt.ErrType},
		"logout token":    {key.Sign(map[string]any{"typ": "logout+jwt"}, base), clientjwt.ErrType, clientjwt.ErrType},
		"crit":            {key.Sign(map[string]any{"crit": []string{"exp"}}, base), clientjwt.ErrHeader, clientjwt.ErrHeader},
		"request inside":  {claims(map[string]any{"request": good}), clientjwt.ErrNested, clientjwt.ErrNested},
		"uri inside":      {claims(map[string]any{"request_uri": "urn:x"}), clientjwt.ErrNested, clientjwt.ErrNested},
		"a member twice":  {key.SignBytes(nil, append([]byte(`{"scope":"admin",`), encoded(t, base)[1:]...)), clientjwt.ErrMalformed, clientjwt.ErrMalformed},
		"twice in claims": {key.SignBytes(nil, append([]byte(`{"claims":{"userinfo":{},"userinfo":{}},`), encoded(t, base)[1:]...)), clientjwt.ErrMalformed, clientjwt.ErrMalformed},
		"no iss":          {claims(map[string]any{"iss": nil}), clientjwt.ErrIssuer, clientjwt.ErrIssuer},
		"iss is another":  {claims(map[string]any{"iss": "other"}), clientjwt.ErrIssuer, clientjwt.ErrIssuer},
		"sub is client":   {claims(map[string]any{"sub": client}), clientjwt.ErrSubject, clientjwt.ErrSubject},
		"sub is a number": {claims(map[string]any{"sub": 1}), clientjwt.ErrSubject, clientjwt.ErrSubject},
		"another client":  {claims(map[string]any{"client_id": "other"}), clientjwt.ErrClient, clientjwt.ErrClient},
		"client a number": {claims(map[string]any{"client_id": 1}), clientjwt.ErrClient, clientjwt.ErrClient},
		"no client_id":    {claims(map[string]any{"client_id": nil}), nil, clientjwt.ErrClient},
		"no aud":          {claims(map[string]any{"aud": nil}), clientjwt.ErrAudience, clientjwt.ErrAudience},
		"aud is another":  {claims(map[string]any{"aud": []string{"https://other.example"}}), clientjwt.ErrAudience, clientjwt.ErrAudience},
		"aud is endpoint": {claims(map[string]any{"aud": issuer + "/authorize"}), clientjwt.ErrAudience, clientjwt.ErrAudience},
		"expired":         {claims(map[string]any{"exp": at(-time.Second)}), clientjwt.ErrExpired, clientjwt.ErrExpired},
		"exp is text":     {claims(map[string]any{"exp": "1"}), clientjwt.ErrTime, clientjwt.ErrTime},
		"nbf to come":     {claims(map[string]any{"nbf": at(2 * time.Minute)}), clientjwt.ErrNotYet, clientjwt.ErrNotYet},
		"iat to come":     {claims(map[string]any{"iat": at(2 * time.Minute)}), clientjwt.ErrNotYet, clientjwt.ErrNotYet},
		"no exp":          {claims(map[string]any{"exp": nil}), nil, clientjwt.ErrExpiryMissing},
		"no nbf":          {claims(map[string]any{"nbf": nil}), nil, clientjwt.ErrNotBeforeMissing},
		"old":             {claims(map[string]any{"nbf": at(-61 * time.Minute)}), nil, clientjwt.ErrTooOld},
		"lasts long":      {claims(map[string]any{"exp": at(61 * time.Minute)}), nil, clientjwt.ErrTooLasting},
		"scopes listed":   {claims(map[string]any{"scope": []string{"openid", "admin"}}), clientjwt.ErrMember, clientjwt.ErrMember},
		"prompts listed":  {claims(map[string]any{"prompt": []string{"none"}}), clientjwt.ErrMember, clientjwt.ErrMember},
		"acr listed":      {claims(map[string]any{"acr_values": []string{"1"}}), clientjwt.ErrMember, clientjwt.ErrMember},
		"state an object": {claims(map[string]any{"state": map[string]any{}}), clientjwt.ErrMember, clientjwt.ErrMember},
		"nonce a bool":    {claims(map[string]any{"nonce": true}), clientjwt.ErrMember, clientjwt.ErrMember},
		"state null":      {key.SignBytes(nil, append([]byte(`{"state":null,`), encoded(t, base)[1:]...)), clientjwt.ErrMember, clientjwt.ErrMember},
		"resource mixed":  {claims(map[string]any{"resource": []any{"https://a.example", 1}}), clientjwt.ErrMember, clientjwt.ErrMember},
		"resource empty":  {claims(map[string]any{"resource": []any{}}), clientjwt.ErrMember, clientjwt.ErrMember},
		"resource object": {claims(map[string]any{"resource": map[string]any{}}), clientjwt.ErrMember, clientjwt.ErrMember},
		"a huge number":   {claims(map[string]any{"max_age": 1e300}), clientjwt.ErrMember, clientjwt.ErrMember},
		"beyond floats":   {key.SignBytes(nil, append([]byte(`{"max_age":1e999,`), encoded(t, base)[1:]...)), clientjwt.ErrMember, clientjwt.ErrMember},
	} {
		for strict, want := range map[bool]error{false: c.loose, true: c.tight} {
			r := requestRules(t, key, strict)
			r.Now = now
			values, err := clientjwt.VerifyRequestObject(t.Context(), c.raw, r)
			if !errors.Is(err, want) || (err == nil) != (values != nil) {
				t.Errorf("%s, strict %v: %v, want %v", what, strict, err, want)
			}
			if err != nil {
				plain(t, err)
			}
		}
	}
	for what, change := range map[string]func(*clientjwt.RequestRules){
		"no client": func(r *clientjwt.RequestRules) { r.Client = "" },
		"no issuer": func(r *clientjwt.RequestRules) { r.Issuer = "" },
		"algorithm": func(r *clientjwt.RequestRules) { r.Algorithms = []keys.Algorithm{keys.PS256} },
		"no keys":   func(r *clientjwt.RequestRules) { r.Keys = nil },
	} {
		r := requestRules(t, key, false)
		change(&r)
		if values, err := clientjwt.VerifyRequestObject(t.Context(), good, r); err == nil || values != nil {
			t.Errorf("%s: was taken", what)
		}
	}
}

// TestKindsOfJWTDoNotMeet: what is good as one is never good as the other, whoever
// takes care with typ or not (RFC 9101 §10.8).
func TestKindsOfJWTDoNotMeet(t *testing.T) {
	key := pair(t, "ES256")
	both := with(clientjwttest.Claims(client, issuer), map[string]any{"client_id": client, "nbf": time.Now().Unix()})
	for _, sub := range []any{nil, "", "someone", client} {
		for _, typ := range []any{nil, "JWT", "oauth-authz-req+jwt", "client-authentication+jwt"} {
			raw := key.Sign(map[string]any{"typ": typ}, with(both, map[string]any{"sub": sub}))
			_, request := clientjwt.VerifyRequestObject(t.Context(), raw, requestRules(t, key, true))
			assertion := clientjwt.VerifyAssertion(t.Context(), raw, rules(t, key))
			if request == nil && assertion == nil {
				t.Errorf("sub %v, typ %v: good as both", sub, typ)
			}
		}
	}
}

func FuzzRequestObject(f *testing.F) {
	key := clientjwttest.New(f, "ES256")
	f.Add([]byte(`{"iss":"records","aud":"` + issuer + `","client_id":"records","scope":"openid","max_age":1e3,"claims":{"a":[1,null]},"resource":["x"]}`))
	f.Add([]byte(`{"iss":"records","aud":["` + issuer + `"],"state":"\ud800","x":-0.0,"y":null}`))
	f.Add([]byte(`{"iss":"records","iss":"records"}`))
	f.Add([]byte(`{"exp":1e400}`))
	r := requestRules(f, key, false)
	f.Fuzz(func(t *testing.T, payload []byte) {
		values, err := clientjwt.VerifyRequestObject(t.Context(), key.SignBytes(nil, payload), r)
		if err != nil {
			return
		}
		if values.Get("client_id") != client {
			t.Errorf("client %q", values["client_id"])
		}
		for name := range maps.Keys(values) {
			if slices.Contains([]string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "request", "request_uri"}, name) || len(values[name]) == 0 || len(values[name]) > 1 && name != "resource" {
				t.Errorf("%q: %q", name, values[name])
			}
		}
	})
}
