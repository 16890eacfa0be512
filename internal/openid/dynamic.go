package openid

import (
	"context"
	"crypto/rand"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/keys"
)

// SelfRegistration says who may register clients at the registration endpoint.
type SelfRegistration string

const (
	NoSelfRegistration      SelfRegistration = ""
	SelfRegistrationByToken SelfRegistration = "token" // whoever has an initial access token
	OpenSelfRegistration    SelfRegistration = "open"  // anybody
)

var selfRegistrations = []SelfRegistration{NoSelfRegistration, SelfRegistrationByToken, OpenSelfRegistration}

// What software that registers itself may have: people's data with their consent,
// and nothing in its own name.
var (
	selfScopes = []string{"openid", "profile", "email", "address", "phone", "offline_access"}
	selfGrants = []GrantType{GrantCode, GrantRefresh}
)

// selfChosen is what becomes of metadata that software sends of itself (RFC 7591
// §2: what cannot be had may be left out or refused). has is its registration as it
// is; a new one has nothing. What only operators decide stays as they decided it, and
// what they gave beyond the usual may be kept.
//
// Left out: scopes that it may not have. Refused: grants and response types, as
// nothing would work without them.
func (m Metadata) selfChosen(has Client) (Metadata, error) {
	own := MetadataOf(has)
	m.Profile, m.ThirdParty, m.MinimumACR, m.Methods, m.AccessTokenTTL = own.Profile, own.ThirdParty, own.MinimumACR, own.Methods, own.AccessTokenTTL
	m.TokenFormat, m.KeepRefreshToken, m.Resources, m.Serves, m.ExchangeTo = own.TokenFormat, own.KeepRefreshToken, own.Resources, own.Serves, own.ExchangeTo
	m.ForwardsAddresses = own.ForwardsAddresses
	m.RegistrationTokenHash = ""
	if len(m.GrantTypes) == 0 {
		m.GrantTypes = []GrantType{GrantCode}
	}
	for _, g := range m.GrantTypes {
		if !slices.Contains(selfGrants, g) && !has.may(g) {
			return m, invalid("grant_types", "a client that registers itself may have %v", selfGrants)
		}
	}
	scopes := strings.Fields(m.Scope)
	if len(scopes) == 0 {
		scopes = selfScopes
	}
	m.Scope = strings.Join(slices.DeleteFunc(slices.Clone(scopes), func(s string) bool {
		return !slices.Contains(selfScopes, s) && !slices.Contains(has.Scopes, s) || s == "offline_access" && !slices.Contains(m.GrantTypes, GrantRefresh)
	}), " ")
	if m.RequirePKCE == nil {
		// OpenID Connect does not know PKCE; public clients must use it in any case.
		m.RequirePKCE = new(bool)
	}
	if m.Name == "" && m.NameFi == "" && m.NameSv == "" && m.NameEn == "" {
		m.Name = hostOf(m.RedirectURIs)
	}
	if len(m.RequestURIs) > 0 && m.RequestObjectAlg == "" {
		m.RequestObjectAlg = keys.RS256
	}
	return m, nil
}

// hostOf is what people are shown of a client without a name.
func hostOf(uris []string) string {
	if len(uris) > 0 {
		if u, err := url.Parse(uris[0]); err == nil && u.Host != "" {
			return u.Host
		}
	}
	return "?" // and the addresses will be refused
}

// Register registers a client that comes by itself, with a random ID. token is the
// hash of an initial access token, of which one use is spent; "" where none is
// needed. manage is what the client manages its registration with.
func (s *Clients) Register(ctx context.Context, m Metadata, token RegistrationToken) (c Client, secret, manage string, err error) {
	c = Client{ID: rand.Text(), Created: s.Now().UTC(), Options: Options{ThirdParty: true}}
	if m, err = m.selfChosen(c); err != nil {
		return Client{}, "", "", err
	}
	if err := m.Apply(&c); err != nil {
		return Client{}, "", "", err
	}
	if c.AuthMethod.secret() {
		secret = newSecret()
		c.SecretHash = digest(secret)
	}
	manage = newSecret()
	c.RegistrationTokenHash = digest(manage)
	if err := ValidateClient(c, s.ACR); err != nil {
		return Client{}, "", "", err
	}
	e := s.event(ctx, audit.ClientCreated, "client:"+c.ID, c)
	e.Reason = "dynamic_registration"
	if token.Hash == "" {
		return c, secret, manage, s.Store.ChangeClient(ctx, c, e)
	}
	e.Details = map[string]string{"registration_token": token.ID}
	return c, secret, manage, s.Store.RegisterClient(ctx, c, token.Hash, s.Now().UTC(), e)
}

// Deregister ends a client at its own wish. The row stays, disabled, since the
// audit trail and people's consents speak of it; nothing opens it any more but an
// operator.
func (s *Clients) Deregister(ctx context.Context, id string) error {
	_, err := s.change(ctx, "client:"+id, id, audit.ClientDisabled, false, func(c *Client) error {
		if !c.Disabled.IsZero() {
			return fault.New(fault.Conflict, "client_disabled", "The client %s is disabled already.", id)
		}
		c.Disabled, c.RegistrationTokenHash = s.Now().UTC(), ""
		return nil
	})
	return err
}

// Limits of an initial access token.
const (
	mostRegistrations        = 10000
	longestRegistrationToken = 365 * 24 * time.Hour
)

// NewRegistrationToken makes an initial access token, shown once, for that many
// registrations until lasts is over.
func (s *Clients) NewRegistrationToken(ctx context.Context, actor, note string, uses int64, lasts time.Duration, dryRun bool) (RegistrationToken, string, error) {
	switch {
	case uses < 1 || uses > mostRegistrations:
		return RegistrationToken{}, "", invalid("uses", "%d is not between 1 and %d", uses, mostRegistrations)
	case lasts <= 0 || lasts > longestRegistrationToken:
		return RegistrationToken{}, "", invalid("expires", "%s is not between 1s and %s", lasts, longestRegistrationToken)
	case len(note) > 200 || !readable(note):
		return RegistrationToken{}, "", invalid("note", "it must be at most 200 bytes without line breaks")
	}
	now := s.Now().UTC()
	t := RegistrationToken{ID: rand.Text()[:13], Note: note, Uses: uses, Created: now, Expires: now.Add(lasts)}
	if dryRun {
		return t, "", nil
	}
	secret := newSecret()
	t.Hash = digest(secret)
	return t, secret, s.Store.AddRegistrationToken(ctx, t, s.tokenEvent(audit.RegisterTokenMade, actor, t.ID))
}

// RevokeRegistrationToken stops an initial access token. Clients that came by it stay.
func (s *Clients) RevokeRegistrationToken(ctx context.Context, actor, id string) error {
	return s.Store.RevokeRegistrationToken(ctx, id, s.Now().UTC(), s.tokenEvent(audit.RegisterTokenRevoked, actor, id))
}

func (s *Clients) tokenEvent(what audit.Type, actor, id string) audit.Event {
	return audit.Event{At: s.Now().UTC(), Type: what, Actor: actor, Details: map[string]string{"registration_token": id}}
}
