package openid

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/outgoing"
)

// Symptom is something about a registration that is permitted and will probably
// hurt. Texts for people are in the catalogues, as "con.symptom." and the word;
// Explain has the English one.
type Symptom string

const (
	SymptomDisabled         Symptom = "disabled"
	SymptomNobodySignsIn    Symptom = "nobody_signs_in"
	SymptomHTTP             Symptom = "http"
	SymptomLocal            Symptom = "local"
	SymptomNoPKCE           Symptom = "no_pkce"
	SymptomPowerful         Symptom = "powerful"
	SymptomOwnAddress       Symptom = "own_address"
	SymptomKeyExpired       Symptom = "key_expired"
	SymptomKeyExpires       Symptom = "key_expires"
	SymptomOldSecret        Symptom = "old_secret"
	SymptomNoLogoutNotice   Symptom = "no_logout_notice"
	SymptomLogoutSilent     Symptom = "logout_unreachable"
	SymptomNoLogoutReturn   Symptom = "no_logout_return"
	SymptomNameMissing      Symptom = "name_missing"
	SymptomNoHome           Symptom = "no_home"
	SymptomNoContact        Symptom = "no_contact"
	SymptomPublic           Symptom = "public"
	SymptomSecretInForm     Symptom = "secret_in_form"
	SymptomSignedWeaklyOnly Symptom = "rs256"
)

// Weight is how much a symptom matters.
type Weight string

const (
	WeightProblem Weight = "problem" // something does not work, or is not safe
	WeightWarning Weight = "warning" // something will be missed
	WeightNote    Weight = "note"    // worth knowing
)

var symptoms = map[Symptom]struct {
	weight Weight
	words  string
}{
	SymptomDisabled:         {WeightProblem, "The client is disabled: nobody signs in to it, and its tokens are not taken."},
	SymptomNobodySignsIn:    {WeightProblem, "Nobody can sign in: the level that is demanded is reached by none of the methods that the client accepts."},
	SymptomHTTP:             {WeightProblem, "The address is http: codes pass the network in the clear."},
	SymptomLocal:            {WeightWarning, "The address leads to the machine of whoever opens it. In production only native apps need such an address."},
	SymptomNoPKCE:           {WeightWarning, "PKCE is not required: a code that is stolen on its way can be redeemed by others. Require it when the client sends it."},
	SymptomPowerful:         {WeightWarning, "The client may use the JSON API in the name of people with roles. Only the Console and operators' own programs need these scopes."},
	SymptomOwnAddress:       {WeightNote, "What people do through this app is in the audit trail with the app's own address, not with that of their browsers. Register forwards_addresses for User Services and the Console, which tell it."},
	SymptomKeyExpired:       {WeightProblem, "A certificate of the registered keys is over. Register the next one."},
	SymptomKeyExpires:       {WeightWarning, "A certificate of the registered keys ends within 30 days. Register the next one beside it."},
	SymptomOldSecret:        {WeightNote, "Two secrets work: the one before the last change is still taken for a while."},
	SymptomNoLogoutNotice:   {WeightWarning, "The client takes no logout notices: whoever logs out elsewhere, or whose account is closed, stays signed in there until its own session ends."},
	SymptomLogoutSilent:     {WeightProblem, "Nothing answers at the address for logout notices."},
	SymptomNoLogoutReturn:   {WeightNote, "No address to return to after a logout: people stay on this provider's page."},
	SymptomNameMissing:      {WeightNote, "The name that sign-in pages show is missing in some of fi, sv and en."},
	SymptomNoHome:           {WeightNote, "No start page: pages that went wrong cannot lead back to the service."},
	SymptomNoContact:        {WeightNote, "No contact: nobody knows whom to ask about this client."},
	SymptomPublic:           {WeightNote, "The client is public: it proves nothing about itself. That is right for apps on people's own machines only."},
	SymptomSecretInForm:     {WeightNote, "The secret is sent in the body, where logs and proxies are more likely to see it than in the Authorization header."},
	SymptomSignedWeaklyOnly: {WeightNote, "ID tokens are signed with RS256, the default of the specification. ES256 is smaller and faster, where the client can check it."},
}

// Symptoms is every symptom, in no order.
func Symptoms() []Symptom {
	var all []Symptom
	for s := range symptoms {
		all = append(all, s)
	}
	slices.Sort(all)
	return all
}

// Explain is what a symptom means, in English.
func (s Symptom) Explain() string { return symptoms[s].words }

// Finding is a symptom of a registration.
type Finding struct {
	Symptom Symptom `json:"symptom"`
	Weight  Weight  `json:"weight"`
	Member  string  `json:"member,omitempty"` // of the registration: redirect_uris
	Value   string  `json:"value,omitempty"`  // the one that is meant
}

// powerful are scopes that open the JSON API beyond a person's own account.
var powerful = []string{"clients", "manage"}

// expiresSoon is when a certificate is told of.
const expiresSoon = 30 * 24 * time.Hour

// Checkup looks at a registration that is valid for what will hurt all the same,
// the worst first. local tells that the provider itself is on localhost names, as
// in a demo.
func Checkup(c Client, acr ACRs, local bool, now time.Time) []Finding {
	var found []Finding
	add := func(s Symptom, member, value string) {
		found = append(found, Finding{s, symptoms[s].weight, member, value})
	}
	people := slices.Contains(c.GrantTypes, GrantCode)
	if !c.Disabled.IsZero() {
		add(SymptomDisabled, "", c.Disabled.UTC().Format(time.DateOnly))
	}
	if wanted, _ := acr.strength(c.MinimumACR); wanted == certificate && c.Methods != 0 && !identity.Methods(c.Methods).Has(identity.MethodCard) {
		add(SymptomNobodySignsIn, "minimum_acr", c.MinimumACR)
	}
	addresses := map[string][]string{"redirect_uris": c.RedirectURIs, "post_logout_redirect_uris": c.PostLogoutRedirectURIs, "backchannel_logout_uri": {c.BackChannelLogoutURI}, "frontchannel_logout_uri": {c.FrontChannelURI}, "client_uri": {c.HomeURI}}
	for _, member := range []string{"redirect_uris", "post_logout_redirect_uris", "backchannel_logout_uri", "frontchannel_logout_uri", "client_uri"} {
		for _, address := range addresses[member] {
			u, err := url.Parse(address)
			switch {
			case address == "" || err != nil:
			case outgoing.Loopback(u.Hostname()) && !c.Native && !local:
				add(SymptomLocal, member, address)
			case u.Scheme == "http" && !outgoing.Loopback(u.Hostname()):
				add(SymptomHTTP, member, address)
			}
		}
	}
	if people && !c.RequirePKCE {
		add(SymptomNoPKCE, "require_pkce", "")
	}
	for _, scope := range powerful {
		if slices.Contains(c.Scopes, scope) {
			add(SymptomPowerful, "scope", scope)
		}
	}
	if people && !c.Forwards() && c.AuthMethod != AuthNone && slices.ContainsFunc(c.Scopes, func(s string) bool { return s == "us" || s == "manage" }) {
		add(SymptomOwnAddress, "forwards_addresses", "")
	}
	for _, ends := range certificates(c.JWKS) {
		switch {
		case !now.Before(ends):
			add(SymptomKeyExpired, "jwks", ends.UTC().Format(time.DateOnly))
		case now.Add(expiresSoon).After(ends):
			add(SymptomKeyExpires, "jwks", ends.UTC().Format(time.DateOnly))
		}
	}
	if c.OldSecretHash != "" && now.Before(c.OldSecretUntil) {
		add(SymptomOldSecret, "", c.OldSecretUntil.UTC().Format("2006-01-02 15:04 MST"))
	}
	if people {
		if c.BackChannelLogoutURI == "" && c.FrontChannelURI == "" && !c.Native {
			add(SymptomNoLogoutNotice, "backchannel_logout_uri", "")
		}
		if len(c.PostLogoutRedirectURIs) == 0 {
			add(SymptomNoLogoutReturn, "post_logout_redirect_uris", "")
		}
		for _, lang := range []string{"fi", "sv", "en"} {
			if c.Name[lang] == "" {
				add(SymptomNameMissing, "client_name#"+lang, "")
			}
		}
		if c.HomeURI == "" {
			add(SymptomNoHome, "client_uri", "")
		}
		if c.Algorithm == "RS256" {
			add(SymptomSignedWeaklyOnly, "id_token_signed_response_alg", "")
		}
	}
	if len(c.Contacts) == 0 {
		add(SymptomNoContact, "contacts", "")
	}
	switch {
	case c.AuthMethod == AuthNone && !c.Native:
		add(SymptomPublic, "token_endpoint_auth_method", "")
	case c.AuthMethod == AuthPost:
		add(SymptomSecretInForm, "token_endpoint_auth_method", "")
	}
	return worstFirst(found)
}

func worstFirst(found []Finding) []Finding {
	order := []Weight{WeightProblem, WeightWarning, WeightNote}
	slices.SortStableFunc(found, func(a, b Finding) int { return slices.Index(order, a.Weight) - slices.Index(order, b.Weight) })
	return found
}

// certificates is when the certificates of a JWK set end (RFC 7517 §4.7). A key
// without one has no end.
func certificates(jwks json.RawMessage) []time.Time {
	var set struct {
		Keys []struct {
			X5C []string `json:"x5c"`
		} `json:"keys"`
	}
	if json.Unmarshal(jwks, &set) != nil {
		return nil
	}
	var ends []time.Time
	for _, k := range set.Keys {
		if len(k.X5C) == 0 {
			continue
		}
		der, err := base64.StdEncoding.DecodeString(k.X5C[0])
		if err != nil {
			continue
		}
		if cert, err := x509.ParseCertificate(der); err == nil {
			ends = append(ends, cert.NotAfter)
		}
	}
	return ends
}

// Checkup is what there is to say of a registration, and whether its address for
// logout notices answers. That is asked with a GET, which no such address takes for
// a notice: any answer will do, and nothing of it is kept.
func (p *Provider) Checkup(ctx context.Context, c Client) []Finding {
	issuer, err := url.Parse(p.Issuer)
	found := Checkup(c, p.ACR, err == nil && outgoing.Loopback(issuer.Hostname()), p.Now())
	if c.BackChannelLogoutURI != "" && !p.answers(ctx, c.BackChannelLogoutURI) {
		found = worstFirst(append(found, Finding{SymptomLogoutSilent, symptoms[SymptomLogoutSilent].weight, "backchannel_logout_uri", c.BackChannelLogoutURI}))
	}
	return found
}

func (p *Provider) answers(ctx context.Context, address string) bool {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return false
	}
	res, err := p.calls.Do(r)
	if err != nil {
		return false
	}
	_, _ = io.CopyN(io.Discard, res.Body, 4<<10)
	return res.Body.Close() == nil
}
