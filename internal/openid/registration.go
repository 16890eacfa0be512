package openid

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/keys"
)

// Clients registers relying parties, for the operator's tool. Every change
// commits with its audit event. A dry run checks everything and writes nothing.
type Clients struct {
	Store interface {
		Client(ctx context.Context, id string) (Client, error)
		ChangeClient(ctx context.Context, c Client, e audit.Event) error
		RegisterClient(ctx context.Context, c Client, hash string, now time.Time, e audit.Event) error
		AddRegistrationToken(ctx context.Context, t RegistrationToken, e audit.Event) error
		RevokeRegistrationToken(ctx context.Context, id string, at time.Time, e audit.Event) error
	}
	ACR ACRs
	Now func() time.Time
}

// Create registers a client and returns its secret, which is shown once and
// stored as a hash; "" for a public client. actor is as in audit.Event.
func (s *Clients) Create(ctx context.Context, actor string, c Client, dryRun bool) (secret string, err error) {
	if c.Algorithm == "" {
		c.Algorithm = keys.RS256
	}
	c.SecretHash, c.OldSecretHash, c.OldSecretUntil = "", "", time.Time{}
	c.Disabled, c.Created, c.Version = time.Time{}, s.Now().UTC(), 0
	if c.AuthMethod.secret() {
		secret = newSecret()
		c.SecretHash = digest(secret)
	}
	if err := ValidateClient(c, s.ACR); err != nil {
		return "", err
	}
	if dryRun {
		_, err := s.Store.Client(ctx, c.ID)
		switch {
		case err == nil:
			return "", fault.New(fault.Conflict, "client_exists", "id: a client %s is registered already.", c.ID).In("id")
		case !fault.Is(err, fault.NotFound):
			return "", err
		}
		return "", nil
	}
	if err := s.Store.ChangeClient(ctx, c, whyOf(ctx).Of(s.event(ctx, audit.ClientCreated, actor, c))); err != nil {
		return "", err
	}
	return secret, nil
}

// Change lets edit change a client's registration; ID, secrets and state stay. A
// change between public and confidential is refused: that is another client. One
// from a shared secret to keys drops the secret; the way back is refused.
func (s *Clients) Change(ctx context.Context, actor, id string, edit func(c *Client) error, dryRun bool) (Client, error) {
	return s.change(ctx, actor, id, audit.ClientChanged, dryRun, func(c *Client) error {
		before := *c
		if err := edit(c); err != nil {
			return err
		}
		switch {
		case (before.AuthMethod == AuthNone) != (c.AuthMethod == AuthNone):
			return invalid("auth_method", "a client cannot move between public and confidential; register another one")
		case !before.AuthMethod.secret() && c.AuthMethod.secret():
			return invalid("auth_method", "a client with keys does not go back to a secret; register another one")
		}
		c.ID, c.SecretHash, c.OldSecretHash, c.OldSecretUntil = before.ID, before.SecretHash, before.OldSecretHash, before.OldSecretUntil
		c.Disabled, c.Created, c.Version, c.RegistrationTokenHash = before.Disabled, before.Created, before.Version, before.RegistrationTokenHash
		if !c.AuthMethod.secret() { // its secret has had its time
			c.SecretHash, c.OldSecretHash, c.OldSecretUntil = "", "", time.Time{}
		}
		return nil
	})
}

// Disable stops a client: no sign-in, no token, within seconds on every replica.
func (s *Clients) Disable(ctx context.Context, actor, id string, dryRun bool) (Client, error) {
	return s.change(ctx, actor, id, audit.ClientDisabled, dryRun, func(c *Client) error {
		if !c.Disabled.IsZero() {
			return fault.New(fault.Conflict, "client_disabled", "The client %s is disabled already.", id)
		}
		c.Disabled = s.Now().UTC()
		return nil
	})
}

// Enable opens a disabled client again.
func (s *Clients) Enable(ctx context.Context, actor, id string, dryRun bool) (Client, error) {
	return s.change(ctx, actor, id, audit.ClientEnabled, dryRun, func(c *Client) error {
		if c.Disabled.IsZero() {
			return fault.New(fault.Conflict, "client_enabled", "The client %s is not disabled.", id)
		}
		c.Disabled = time.Time{}
		return nil
	})
}

// LongestOldSecret is how long two secrets may work side by side.
const LongestOldSecret = 30 * 24 * time.Hour

// RotateSecret gives a client another secret, shown once. The one before works
// on for keep, so that the client can be moved without a break; 0, after a leak,
// stops it within seconds. A third that still worked stops at once.
func (s *Clients) RotateSecret(ctx context.Context, actor, id string, keep time.Duration, dryRun bool) (secret string, err error) {
	if keep < 0 || keep > LongestOldSecret {
		return "", invalid("keep", "%s is not between 0 and %s", keep, LongestOldSecret)
	}
	_, err = s.change(ctx, actor, id, audit.ClientChanged, dryRun, func(c *Client) error {
		if !c.AuthMethod.secret() {
			return invalid("auth_method", "a client with auth_method %s has no secret", c.AuthMethod)
		}
		c.OldSecretHash, c.OldSecretUntil = "", time.Time{}
		if keep > 0 {
			c.OldSecretHash, c.OldSecretUntil = c.SecretHash, s.Now().UTC().Add(keep)
		}
		secret = newSecret()
		c.SecretHash = digest(secret)
		return nil
	})
	if err != nil || dryRun {
		return "", err
	}
	return secret, nil
}

func (s *Clients) change(ctx context.Context, actor, id string, what audit.Type, dryRun bool, edit func(c *Client) error) (Client, error) {
	before, err := s.Store.Client(ctx, id)
	if err != nil {
		return Client{}, err
	}
	after := before
	if err := edit(&after); err != nil {
		return Client{}, err
	}
	if err := ValidateClient(after, s.ACR); err != nil {
		return Client{}, err
	}
	if dryRun {
		return after, nil
	}
	e := s.event(ctx, what, actor, after)
	changed := differences(before, after)
	if what == audit.ClientChanged && len(changed) == 0 {
		return before, nil // nothing to tell of: a file that is imported again
	}
	if len(changed) > 0 {
		e.Details = map[string]string{"changed": strings.Join(changed, ",")}
	}
	return after, s.Store.ChangeClient(ctx, after, whyOf(ctx).Of(e))
}

type whyKey struct{}

// Because says why the changes of clients under a context are made, for the audit
// trail, to whoever wants to: identity.Why.Optional has the faults.
func Because(ctx context.Context, why identity.Why) (context.Context, error) {
	return context.WithValue(ctx, whyKey{}, why), why.Optional()
}

func whyOf(ctx context.Context) identity.Why {
	why, _ := ctx.Value(whyKey{}).(identity.Why)
	return why
}

func (s *Clients) event(ctx context.Context, what audit.Type, actor string, c Client) audit.Event {
	return audit.Event{At: s.Now().UTC(), Type: what, Actor: actor, Client: c.ID, Address: addressOf(ctx)}
}

// differences names the fields that a change touched, for the audit trail.
func differences(a, b Client) []string {
	var names []string
	note := func(name string, same bool) {
		if !same {
			names = append(names, name)
		}
	}
	note("name", fmt.Sprint(a.Name) == fmt.Sprint(b.Name))
	note("secret", a.SecretHash == b.SecretHash && a.OldSecretHash == b.OldSecretHash)
	note("auth_method", a.AuthMethod == b.AuthMethod)
	note("native", a.Native == b.Native)
	note("redirect_uris", slices.Equal(a.RedirectURIs, b.RedirectURIs))
	note("post_logout_redirect_uris", slices.Equal(a.PostLogoutRedirectURIs, b.PostLogoutRedirectURIs))
	note("backchannel_logout_uri", a.BackChannelLogoutURI == b.BackChannelLogoutURI)
	note("grant_types", slices.Equal(a.GrantTypes, b.GrantTypes))
	note("scopes", slices.Equal(a.Scopes, b.Scopes))
	note("minimum_acr", a.MinimumACR == b.MinimumACR)
	note("methods", a.Methods == b.Methods)
	note("algorithm", a.Algorithm == b.Algorithm)
	note("require_pkce", a.RequirePKCE == b.RequirePKCE)
	note("access_token_ttl", a.AccessTokenTTL == b.AccessTokenTTL)
	note("home_uri", a.HomeURI == b.HomeURI)
	return append(names, optionsThatDiffer(a.Options, b.Options)...)
}

// optionsThatDiffer names them as they are registered.
func optionsThatDiffer(a, b Options) []string {
	members := func(o Options) map[string]json.RawMessage {
		body, _ := json.Marshal(o) // plain values always marshal
		var m map[string]json.RawMessage
		_ = json.Unmarshal(body, &m)
		return m
	}
	before, after := members(a), members(b)
	maps.Copy(before, after) // for its names alone
	was := members(a)
	return slices.DeleteFunc(slices.Sorted(maps.Keys(before)), func(name string) bool { return bytes.Equal(was[name], after[name]) })
}

// Limits of a registration.
const (
	shortestAccessToken = time.Minute
	longestAccessToken  = time.Hour
	longestURI          = 2000
)

var secretHash = regexp.MustCompile(`^[0-9a-f]{64}$`)

// ValidateClient checks a registration and names the field that is wrong, as
// porttictl spells it. The rules are those of RFC 9700 and of what this provider
// serves.
func ValidateClient(c Client, acr ACRs) error {
	if !clientID.MatchString(c.ID) {
		return invalid("id", "use 1 to 128 letters, digits and . _ ~ -, the first a letter or digit")
	}
	for _, check := range []func(Client, ACRs) error{validateName, validateAuth, validateKeys, validateGrants, validateAddresses, validateRequests, validateTokens, validateProfile, validateLevel} {
		if err := check(c, acr); err != nil {
			return err
		}
	}
	return nil
}

func invalid(field, format string, args ...any) error {
	return fault.New(fault.Invalid, "client_invalid", field+": "+format+".", args...).In(field)
}

func validateName(c Client, _ ACRs) error {
	if len(c.Name) == 0 {
		return invalid("name", "give the name that sign-in pages show, in at least one of fi, sv, en")
	}
	for lang, name := range c.Name {
		switch {
		case lang != "fi" && lang != "sv" && lang != "en":
			return invalid("name", "%q is not one of fi, sv, en", lang)
		case strings.TrimSpace(name) == "" || len([]rune(name)) > 100 || !readable(name):
			return invalid("name", "the name in %s must be 1 to 100 characters without line breaks", lang)
		}
	}
	return nil
}

func validateAuth(c Client, _ ACRs) error {
	if !slices.Contains(authMethods, c.AuthMethod) {
		return invalid("auth_method", "%q is not one of %v", c.AuthMethod, authMethods)
	}
	switch {
	case c.AuthMethod.secret() && !secretHash.MatchString(c.SecretHash):
		return invalid("secret", "the hash of a generated secret is missing")
	case c.OldSecretHash != "" && !secretHash.MatchString(c.OldSecretHash):
		return invalid("secret", "the former secret is not a hash")
	case !c.AuthMethod.secret() && c.SecretHash+c.OldSecretHash != "":
		return invalid("secret", "a client with auth_method %s has no secret", c.AuthMethod)
	case c.AuthAlgorithm != "" && c.AuthMethod != AuthPrivateKeyJWT:
		return invalid("token_endpoint_auth_signing_alg", "it is of clients with auth_method %s", AuthPrivateKeyJWT)
	case !ours(c.AuthAlgorithm):
		return invalid("token_endpoint_auth_signing_alg", "%q is not one of %v", c.AuthAlgorithm, keys.Algorithms)
	}
	return validateTLS(c)
}

// validateTLS holds a client with a certificate of a CA to the one value that
// its certificate must show (RFC 8705 §2.1.2).
func validateTLS(c Client) error {
	var given []string
	for _, f := range []struct{ field, value string }{
		{"tls_client_auth_subject_dn", c.TLSSubjectDN}, {"tls_client_auth_san_dns", c.TLSSANDNS}, {"tls_client_auth_san_uri", c.TLSSANURI},
		{"tls_client_auth_san_ip", c.TLSSANIP}, {"tls_client_auth_san_email", c.TLSSANEmail},
	} {
		switch {
		case f.value == "":
			continue
		case c.AuthMethod != AuthTLS:
			return invalid(f.field, "it is of clients with auth_method %s", AuthTLS)
		case !readable(f.value) || len(f.value) > 1000:
			return invalid(f.field, "the value must be readable and at most 1000 bytes")
		}
		given = append(given, f.field)
	}
	if c.AuthMethod == AuthTLS && len(given) != 1 {
		return invalid("tls_client_auth_subject_dn", "give exactly one of the subject's DN and the SAN values; there are %d", len(given))
	}
	if _, ok := parseName(c.TLSSubjectDN); c.TLSSubjectDN != "" && !ok {
		return invalid("tls_client_auth_subject_dn", "%q is not a distinguished name as RFC 4514 writes them, such as CN=records,O=Kuntala,C=FI", c.TLSSubjectDN)
	}
	if _, err := netip.ParseAddr(c.TLSSANIP); c.TLSSANIP != "" && err != nil {
		return invalid("tls_client_auth_san_ip", "%q is not an IP address", c.TLSSANIP)
	}
	return nil
}

func validateAddresses(c Client, _ ACRs) error {
	switch {
	case c.may(GrantCode) && len(c.RedirectURIs) == 0:
		return invalid("redirect_uris", "at least one is needed")
	case !c.may(GrantCode) && len(c.RedirectURIs) > 0:
		return invalid("redirect_uris", "they are of clients with the grant type %s", GrantCode)
	}
	for field, list := range map[string][]string{"redirect_uris": c.RedirectURIs, "post_logout_redirect_uris": c.PostLogoutRedirectURIs} {
		for i, uri := range list {
			if err := checkURI(uri); err != nil {
				return invalid(field, "%q %s", uri, err)
			}
			if slices.Contains(list[:i], uri) {
				return invalid(field, "%q is there twice", uri)
			}
		}
	}
	for field, uri := range map[string]string{
		"backchannel_logout_uri": c.BackChannelLogoutURI, "frontchannel_logout_uri": c.FrontChannelURI, "home_uri": c.HomeURI,
		"logo_uri": c.LogoURI, "policy_uri": c.PolicyURI, "tos_uri": c.TermsURI, "jwks_uri": c.JWKSURI, "sector_identifier_uri": c.SectorIdentifierURI,
	} {
		if uri == "" {
			continue
		}
		if err := checkURI(uri); err != nil {
			return invalid(field, "%q %s", uri, err)
		}
	}
	for _, contact := range c.Contacts {
		if contact == "" || len(contact) > 200 || !readable(contact) {
			return invalid("contacts", "%q must be 1 to 200 characters without line breaks", contact)
		}
	}
	return validateFrontChannel(c)
}

// validateFrontChannel keeps the frame of a logout on the client's own origin
// (OpenID Connect Front-Channel Logout 1.0 §2).
func validateFrontChannel(c Client) error {
	if c.FrontChannelURI == "" || slices.ContainsFunc(c.RedirectURIs, func(uri string) bool { return originOf(uri) == originOf(c.FrontChannelURI) }) {
		return nil
	}
	return invalid("frontchannel_logout_uri", "scheme, host and port must be those of one of the redirect_uris")
}

func originOf(uri string) string { return target{URI: uri}.origin() }

// checkURI says what is wrong with an address that we send browsers or notices to.
func checkURI(uri string) error {
	u, err := url.Parse(uri)
	switch {
	case err != nil || len(uri) > longestURI || !plainURI(uri):
		return fmt.Errorf("is not an address of ASCII characters, %d at most", longestURI)
	case u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.Hostname() == "" || u.Opaque != "":
		return fmt.Errorf("must begin with https:// and a host")
	case u.User != nil:
		return fmt.Errorf("must not hold a name or password")
	case strings.Contains(uri, "#"):
		return fmt.Errorf("must not have a fragment") // RFC 6749 §3.1.2
	case strings.Contains(uri, "*"):
		return fmt.Errorf("must not have a wildcard: addresses are compared exactly")
	case u.Scheme == "http" && !local(u.Hostname()):
		return fmt.Errorf("must be https; http is for localhost and loopback addresses")
	}
	return nil
}

// plainURI tells whether an address holds only characters that no browser
// rewrites: a backslash becomes a slash in some (WHATWG URL §4.4).
func plainURI(uri string) bool {
	return !strings.ContainsFunc(uri, func(r rune) bool { return r <= 0x20 || r > 0x7e || strings.ContainsRune("\\\"<>^`{|}", r) })
}

func validateGrants(c Client, _ ACRs) error {
	if len(c.GrantTypes) == 0 {
		return invalid("grant_types", "at least one of %v is needed", grants)
	}
	for i, g := range c.GrantTypes {
		if !slices.Contains(grants, g) {
			return invalid("grant_types", "%q is not one of %v", g, grants)
		}
		if slices.Contains(c.GrantTypes[:i], g) {
			return invalid("grant_types", "%q is there twice", g)
		}
	}
	for i, s := range c.Scopes {
		if !scopeForm.MatchString(s) || len(s) > 100 {
			return invalid("scopes", "%q is not a scope", s)
		}
		if slices.Contains(c.Scopes[:i], s) {
			return invalid("scopes", "%q is there twice", s)
		}
	}
	people := c.may(GrantCode) || c.may(GrantDevice)
	switch {
	case c.may(GrantRefresh) && !people:
		return invalid("grant_types", "%s needs %s or %s", GrantRefresh, GrantCode, GrantDevice)
	case c.AuthMethod == AuthNone && (c.may(GrantClient) || c.may(GrantExchange)):
		return invalid("grant_types", "a public client cannot have %s or %s", GrantClient, GrantExchange)
	case people && c.plain() && (len(c.Scopes) == 0 || slices.ContainsFunc(c.Scopes, func(s string) bool { return slices.Contains(scopesSupported, s) && s != "offline_access" })):
		return invalid("scopes", "openid is needed")
	case people && c.plain() && len(c.Resources) == 0:
		return invalid("resources", "without the scope openid a client needs the APIs that its tokens are for")
	case slices.Contains(c.Scopes, "offline_access") && !c.may(GrantRefresh):
		return invalid("scopes", "offline_access needs the grant type %s", GrantRefresh)
	case c.may(GrantExchange) != (len(c.ExchangeTo) > 0):
		return invalid("exchange_to", "the resources that tokens may be exchanged for and the grant type %s come together", GrantExchange)
	case len(c.ExchangeTo) > 0 && len(c.Serves) == 0:
		return invalid("exchange_to", "only the server of a resource (serves) may exchange its tokens")
	}
	return nil
}

func validateLevel(c Client, acr ACRs) error {
	const every = identity.Methods(identity.MethodCard | identity.MethodApp | identity.MethodToken)
	need, known := acr.strength(c.MinimumACR)
	methods := identity.Methods(c.Methods)
	switch {
	case c.MinimumACR != "" && !known:
		return invalid("minimum_acr", "%q is not one of %s", c.MinimumACR, strings.Join(acr.Supported(), ", "))
	case methods&^every != 0:
		return invalid("methods", "unknown method")
	case need == certificate && methods != 0 && !methods.Has(identity.MethodCard):
		return invalid("methods", "the minimum_acr demands the card, but card is not among the methods")
	}
	return nil
}
