package openid

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func TestClaimsParameter(t *testing.T) {
	for raw, want := range map[string]claimsRequest{
		`{}`:                                {},
		`{"userinfo":null,"id_token":null}`: {},
		`{"userinfo":{"name":null}}`:        {Userinfo: map[string]claimAsk{"name": {}}},
		`{"userinfo":{"name":{}}}`:          {Userinfo: map[string]claimAsk{"name": {}}},
		`{"_other":[1,2,{"a":true}]}`:       {}, // members that are not understood are ignored (§5.5)
		`{"userinfo":{"http://x.example/g":null,"shoe_size":{"essential":true}}}`: {},
		`{"userinfo":{"name":{"essential":true,"purpose":"because"}}}`:            {Userinfo: map[string]claimAsk{"name": {Essential: true}}},
		`{"id_token":{"acr":{"essential":true,"values":["b","a"]},"auth_time":{"essential":true}},"userinfo":{"email":{"essential":false}}}`: {
			IDToken:  map[string]claimAsk{"acr": {Essential: true, Values: []string{"b", "a"}}, "auth_time": {Essential: true}},
			Userinfo: map[string]claimAsk{"email": {}}},
		`{"id_token":{"sub":{"value":"anna"}}}`:                   {IDToken: map[string]claimAsk{"sub": {Values: []string{"anna"}}}},
		`{"userinfo":{"email_verified":{"value":true}}}`:          {Userinfo: map[string]claimAsk{"email_verified": {}}},
		`{"userinfo":{"locale":{"values":["fi",1,null,["sv"]]}}}`: {Userinfo: map[string]claimAsk{"locale": {Values: []string{"fi"}}}},
		" {\n\"userinfo\" : { \"na\\u006de\" : null } } ":         {Userinfo: map[string]claimAsk{"name": {}}},
	} {
		got, err := parseClaims(raw)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v %v, want %+v", raw, got, err, want)
			continue
		}
		again, err := readClaims(got.canonical())
		if got.canonical() == "" {
			again, err = claimsRequest{}, nil
		}
		if err != nil || !reflect.DeepEqual(again, got) {
			t.Errorf("%s: written %s, read again %+v %v", raw, got.canonical(), again, err)
		}
	}
}

func TestClaimsParameterIsRead(t *testing.T) {
	for _, raw := range []string{
		``, `null`, `[]`, `"userinfo"`, `1`, `{`, `{}{}`, `{} x`, `{"userinfo":[]}`, `{"userinfo":"name"}`, `{"userinfo":{"name":true}}`, `{"userinfo":{"name":[]}}`,
		`{"userinfo":{"name":{"essential":"true"}}}`, `{"userinfo":{"name":{"essential":null}}}`, `{"id_token":{"acr":{"values":"a"}}}`, `{"id_token":{"acr":{"values":{}}}}`,
		`{"id_token":{"acr":{"value":"a","values":["b"]}}}`,
		// No name twice, at any depth, however it is spelled.
		`{"userinfo":{},"userinfo":{}}`, `{"userinfo":{"name":null,"name":null}}`, `{"id_token":{"acr":{"essential":true,"essential":false}}}`,
		`{"userinfo":{"name":null,"na\u006de":null}}`, `{"x":[{"a":1,"a":2}]}`,
		`{"id_token":{"sub":{"value":"a\u0000b"}}}`, "{\"id_token\":{\"sub\":{\"value\":\"\xff\"}}}",
		`{"x":` + strings.Repeat("[", 50) + strings.Repeat("]", 50) + `}`,
		`{"x":"` + strings.Repeat("x", longestClaimed+1) + `"}`,
		`{"x":[` + strings.Repeat("1,", maxClaimAsks) + `1]}`,
		`{"x":"` + strings.Repeat(" ", maxClaims) + `"}`,
		`{"userinfo":{"name":nul}}`, `{"userinfo":{"name":null,}}`, `{'userinfo':{}}`, `{"userinfo":{"name":NaN}}`,
	} {
		if c, err := parseClaims(raw); err == nil {
			t.Errorf("%.80s: read as %+v", raw, c)
		}
	}
}

// Whatever comes, what is read has the limits that the rest relies on, and is
// written in one way.
func FuzzClaims(f *testing.F) {
	for _, seed := range []string{`{}`, `{"userinfo":{"name":{"essential":true}},"id_token":{"acr":{"values":["urn:portti:acr:card"]}}}`,
		`{"id_token":{"sub":{"value":"anna"},"auth_time":null}}`, `{"userinfo":{"a":1,"a":2}}`, `[[[[`, `{"x":"\ud800"}`, `{"userinfo":{"name":null}} {}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		c, err := parseClaims(raw)
		if err != nil {
			return
		}
		if !json.Valid([]byte(raw)) {
			t.Fatalf("%q is no JSON", raw)
		}
		written := c.canonical()
		if written == "" {
			return
		}
		again, err := readClaims(written)
		if err != nil || again.canonical() != written {
			t.Fatalf("%q: %s, then %s %v", raw, written, again.canonical(), err)
		}
		for _, asks := range []map[string]claimAsk{c.Userinfo, c.IDToken} {
			if len(asks) > len(claimsSupported) {
				t.Fatalf("%d asks", len(asks))
			}
			for _, a := range asks {
				if len(a.Values) > maxClaimAsks {
					t.Fatalf("%d values", len(a.Values))
				}
			}
		}
	})
}
