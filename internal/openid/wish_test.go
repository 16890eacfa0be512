package openid

import (
	"slices"
	"testing"
)

func TestWishOf(t *testing.T) {
	const asked = `{"userinfo":{"given_name":{"essential":true},"email":null},"id_token":{"email":null,"acr":{"essential":true},"name":null,"auth_time":null}}`
	for _, c := range []struct {
		scopes []string
		claims string
		want   []string
	}{
		{[]string{"openid"}, "", nil},
		{[]string{"openid"}, asked, []string{"email", "given_name", "name"}},
		{[]string{"openid", "profile"}, asked, []string{"email"}}, // the scope says it already
		{[]string{"openid", "profile", "email"}, asked, nil},
	} {
		if got := wishOf(c.scopes, c.claims); !slices.Equal(got.Claims, c.want) || !slices.Equal(got.Scopes, c.scopes) {
			t.Errorf("%v %s: %+v, want %v", c.scopes, c.claims, got, c.want)
		}
	}
	// Whatever a person is told about, a scope or the claims parameter can bring.
	for _, c := range personClaims {
		if w := wishOf([]string{"openid"}, `{"userinfo":{"`+c.name+`":null}}`); !slices.Equal(w.Claims, []string{c.name}) {
			t.Errorf("%s: %+v", c.name, w)
		}
		if !(Wish{Claims: []string{c.name}}).within(Wish{Scopes: []string{c.scope}}) {
			t.Errorf("%s is not within %s", c.name, c.scope)
		}
	}
	sum := Wish{[]string{"openid", "email"}, []string{"name"}}.with(Wish{[]string{"phone", "openid"}, []string{"gender", "name"}})
	if !slices.Equal(sum.Scopes, []string{"email", "openid", "phone"}) || !slices.Equal(sum.Claims, []string{"gender", "name"}) {
		t.Errorf("%+v", sum)
	}
	seen := map[string]bool{}
	for _, token := range []string{
		Wish{Scopes: []string{"openid"}}.token("r", "anna"), Wish{Scopes: []string{"openid"}}.token("r", "bosse"), Wish{Scopes: []string{"openid"}}.token("q", "anna"),
		Wish{Scopes: []string{"openid", "email"}}.token("r", "anna"), Wish{Scopes: []string{"openid"}, Claims: []string{"email"}}.token("r", "anna"),
	} {
		if seen[token] {
			t.Error("two questions have one token")
		}
		seen[token] = true
	}
}
