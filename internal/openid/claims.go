package openid

import (
	"slices"

	"github.com/portti-id/portti/internal/identity"
)

// personClaim is something that a client may learn of a person: under which
// name, by which scope, and from where. Unknown is nil, and is left out: nothing
// empty is ever sent.
type personClaim struct {
	name  string
	scope string
	of    func(p *identity.Person) any
}

// personClaims are those of OpenID Connect Core §5.1, and the employer.
var personClaims = []personClaim{
	{"name", "profile", text(func(p *identity.Person) string { return p.User.Name() })},
	{"given_name", "profile", text(func(p *identity.Person) string { return p.User.GivenName })},
	{"family_name", "profile", text(func(p *identity.Person) string { return p.User.FamilyName })},
	{"middle_name", "profile", text(func(p *identity.Person) string { return p.User.Claims.MiddleName })},
	{"nickname", "profile", text(func(p *identity.Person) string { return p.User.Claims.Nickname })},
	{"preferred_username", "profile", text(func(p *identity.Person) string { return p.User.Username })},
	{"profile", "profile", text(func(p *identity.Person) string { return p.User.Claims.Profile })},
	{"picture", "profile", text(func(p *identity.Person) string { return p.User.Claims.Picture })},
	{"website", "profile", text(func(p *identity.Person) string { return p.User.Claims.Website })},
	{"gender", "profile", text(func(p *identity.Person) string { return p.User.Claims.Gender })},
	{"birthdate", "profile", text(func(p *identity.Person) string { return p.User.Claims.Birthdate })},
	{"zoneinfo", "profile", text(func(p *identity.Person) string { return p.User.Claims.Zoneinfo })},
	{"locale", "profile", text(func(p *identity.Person) string { return p.User.Language })},
	{"updated_at", "profile", updatedAt},
	{"organisation", "profile", text(func(p *identity.Person) string { return string(p.Organisation.ID) })},
	{"organisation_name", "profile", text(func(p *identity.Person) string { return p.Organisation.Name })},
	{"email", "email", text(func(p *identity.Person) string { return p.User.Email })},
	{"email_verified", "email", func(p *identity.Person) any {
		if p.User.Email == "" {
			return nil
		}
		return p.User.Claims.EmailVerified // said also when false
	}},
	{"address", "address", func(p *identity.Person) any {
		if p.User.Claims.Address == (identity.Address{}) {
			return nil
		}
		return p.User.Claims.Address
	}},
	{"phone_number", "phone", text(func(p *identity.Person) string { return p.User.Claims.Phone })},
	{"phone_number_verified", "phone", func(p *identity.Person) any {
		if p.User.Claims.Phone == "" {
			return nil
		}
		return p.User.Claims.PhoneVerified
	}},
}

func text(of func(p *identity.Person) string) func(p *identity.Person) any {
	return func(p *identity.Person) any {
		if s := of(p); s != "" {
			return s
		}
		return nil
	}
}

// updatedAt is a number of seconds (§5.1).
func updatedAt(p *identity.Person) any {
	at := p.User.Updated
	if at.IsZero() {
		at = p.User.Created
	}
	if at.IsZero() {
		return nil
	}
	return at.Unix()
}

// scopesSupported are the scopes of the protocol; a client may be registered for
// others, which mean something to its resources.
var scopesSupported = []string{"openid", "profile", "email", "address", "phone", "offline_access"}

// claimsSupported is every claim that a client can get, in the ID token or at
// userinfo.
var claimsSupported = func() []string {
	names := []string{"iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "azp", "at_hash", "sid"}
	for _, c := range personClaims {
		names = append(names, c.name)
	}
	return names
}()

// userinfoClaims is what a client's grant opens at userinfo: the claims of its
// scopes and those asked for by name (OpenID Connect Core §5.4, §5.5).
func userinfoClaims(client Client, g Grant, p *identity.Person) *object {
	asked := askedClaims(g).Userinfo
	return told(p, func(c *personClaim) bool {
		return client.mayAsk(c) && (slices.Contains(g.Scopes, c.scope) || asks(asked, c.name))
	})
}

// mayAsk tells whether a client may learn a claim at all. What it is registered for
// bounds what it can ask for by name too: else scopes would keep nothing from it.
func (c Client) mayAsk(claim *personClaim) bool { return slices.Contains(c.Scopes, claim.scope) }

// told is what is known of the wanted claims.
func told(p *identity.Person, wanted func(c *personClaim) bool) *object {
	o := new(object)
	for i := range personClaims {
		c := &personClaims[i]
		if !wanted(c) {
			continue
		}
		if value := c.of(p); value != nil {
			o.add(c.name, value)
		}
	}
	return o
}

// asks tells whether a claim is asked for by name. How much it is wanted makes no
// difference: what is known is told.
func asks(asked map[string]claimAsk, name string) bool {
	_, ok := asked[name]
	return ok
}
