package openid_test

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/ephemeral"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/session"
)

// given is what given puts into the store.
type given struct {
	grant           openid.Grant
	token           openid.AccessToken
	access, refresh string
}

// given puts a grant of anna's with its tokens into the store, as a sign-in would;
// edit changes what is usual.
func (k *kit) given(client string, edit ...func(g *openid.Grant, t *openid.AccessToken)) given {
	k.t.Helper()
	secret := func(n int) string {
		b := make([]byte, n)
		_, _ = rand.Read(b)
		return base64.RawURLEncoding.EncodeToString(b)
	}
	now := k.now().UTC().Truncate(time.Microsecond)
	out := given{access: secret(32)}
	out.grant = openid.Grant{ID: secret(16), Kind: openid.GrantCode, Client: client, User: "anna", Session: "sid-" + secret(8), Epoch: 1, Level: session.Full, Method: session.App,
		Scopes: []string{"openid", "profile", "email"}, ACR: acrs.PasswordCode, AMR: []string{"pwd", "otp", "mfa"}, AuthTime: now, Created: now, Expires: now.Add(time.Hour)}
	out.refresh = out.grant.ID + "." + secret(32)
	out.grant.RefreshHash = hash(out.refresh)
	out.token = openid.AccessToken{Hash: hash(out.access), Grant: out.grant.ID, Expires: now.Add(5 * time.Minute), Issued: now}
	for _, e := range edit {
		e(&out.grant, &out.token)
	}
	if err := k.store.Issue(k.t.Context(), out.grant, out.token); err != nil {
		k.t.Fatal(err)
	}
	return out
}

// forResources has a token for resources alone.
func forResources(resources ...string) func(g *openid.Grant, t *openid.AccessToken) {
	return func(g *openid.Grant, _ *openid.AccessToken) { g.Resources = resources }
}

func withScopes(scopes ...string) func(g *openid.Grant, t *openid.AccessToken) {
	return func(g *openid.Grant, _ *openid.AccessToken) { g.Scopes = scopes }
}

// asksFor registers a client for more scopes than the usual.
func asksFor(scopes ...string) func(c *openid.Client) {
	return func(c *openid.Client) { c.Scopes = append(slices.Clone(c.Scopes), scopes...) }
}

func withClaims(claims string) func(g *openid.Grant, t *openid.AccessToken) {
	return func(g *openid.Grant, _ *openid.AccessToken) { g.Claims = claims }
}

func boundTo(b openid.Binding) func(g *openid.Grant, t *openid.AccessToken) {
	return func(_ *openid.Grant, t *openid.AccessToken) { t.Binding = b }
}

// force saves a registration that no check would let in.
func (k *kit) force(c openid.Client) {
	k.t.Helper()
	if err := k.store.ChangeClient(k.t.Context(), c, audit.Event{Type: audit.ClientChanged}); err != nil {
		k.t.Fatal(err)
	}
	k.wait(5 * time.Second) // until nobody remembers the old one
}

func (k *kit) disable(id identity.UserID) {
	k.t.Helper()
	k.save(id, func(u *identity.User) { u.Disabled = k.now() })
}

// leftHalf is an at_hash for SHA-256.
func leftHalf(token string) string { return base64.RawURLEncoding.EncodeToString(sha(token)[:16]) }

// codeWith is code, where the authorization endpoint granted something more.
func (k *kit) codeWith(b *http.Client, q url.Values, more map[string]any) string {
	k.t.Helper()
	code := k.code(b, q)
	key := ephemeral.Key("code", code)
	raw, err := k.ephemeral.Get(k.t.Context(), key)
	if err != nil {
		k.t.Fatal(err)
	}
	var record map[string]any
	if err := json.Unmarshal(raw, &record); err != nil {
		k.t.Fatal(err)
	}
	for name, value := range more {
		record[name] = value
	}
	if raw, err = json.Marshal(record); err != nil {
		k.t.Fatal(err)
	}
	if err := k.ephemeral.Put(k.t.Context(), key, raw, time.Minute); err != nil {
		k.t.Fatal(err)
	}
	return code
}

// everything is known of a person who has this.
func everything(u *identity.User) {
	u.Claims = identity.Claims{MiddleName: "Maria", Nickname: "Ansku", Profile: "https://people.example/anna", Picture: "https://people.example/anna.png", Website: "https://anna.example",
		Gender: "female", Birthdate: "1980-02-29", Zoneinfo: "Europe/Helsinki", EmailVerified: true, Phone: "+358401234567", PhoneVerified: true,
		Address: identity.Address{Formatted: "Katu 1\n00100 Helsinki", Street: "Katu 1", Locality: "Helsinki", Region: "Uusimaa", PostalCode: "00100", Country: "FI"}}
	u.Updated = time.Unix(1700000000, 0)
}
