package identity

import (
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/portti-id/portti/internal/fault"
)

// Claims are what relying parties may learn of a person beyond the account
// itself, under the names that they have there (OpenID Connect Core §5.1).
// Empty is not known.
type Claims struct {
	MiddleName    string  `json:"middle_name,omitzero"`
	Nickname      string  `json:"nickname,omitzero"`
	Profile       string  `json:"profile,omitzero"` // Profile, Picture and Website are addresses: https, or http on localhost names
	Picture       string  `json:"picture,omitzero"`
	Website       string  `json:"website,omitzero"`
	Gender        string  `json:"gender,omitzero"`    // free text
	Birthdate     string  `json:"birthdate,omitzero"` // YYYY-MM-DD, 0000-MM-DD (the year is not told) or YYYY
	Zoneinfo      string  `json:"zoneinfo,omitzero"`  // IANA: Europe/Helsinki
	EmailVerified bool    `json:"email_verified,omitzero"`
	Phone         string  `json:"phone_number,omitzero"` // +358 9 123 4567, better without the spaces (E.164)
	PhoneVerified bool    `json:"phone_number_verified,omitzero"`
	Address       Address `json:"address,omitzero"`
}

// Address is a postal address (OpenID Connect Core §5.1.1).
type Address struct {
	Formatted  string `json:"formatted,omitzero"`      // may have several lines
	Street     string `json:"street_address,omitzero"` // may have several lines
	Locality   string `json:"locality,omitzero"`
	Region     string `json:"region,omitzero"`
	PostalCode string `json:"postal_code,omitzero"`
	Country    string `json:"country,omitzero"`
}

// part is a claim that is text: where it stands, and what it must be when given.
type part struct {
	name  string // a part of the address is "address." and its own name
	of    func(c *Claims) *string
	check func(field, value string) error
}

var parts = []part{
	{"middle_name", func(c *Claims) *string { return &c.MiddleName }, upTo(100)},
	{"nickname", func(c *Claims) *string { return &c.Nickname }, upTo(100)},
	{"profile", func(c *Claims) *string { return &c.Profile }, webAddress},
	{"picture", func(c *Claims) *string { return &c.Picture }, webAddress},
	{"website", func(c *Claims) *string { return &c.Website }, webAddress},
	{"gender", func(c *Claims) *string { return &c.Gender }, upTo(50)},
	{"birthdate", func(c *Claims) *string { return &c.Birthdate }, birthdate},
	{"zoneinfo", func(c *Claims) *string { return &c.Zoneinfo }, zoneinfo},
	{"phone_number", func(c *Claims) *string { return &c.Phone }, phone},
	{"address.formatted", func(c *Claims) *string { return &c.Address.Formatted }, linesUpTo(500)},
	{"address.street_address", func(c *Claims) *string { return &c.Address.Street }, linesUpTo(200)},
	{"address.locality", func(c *Claims) *string { return &c.Address.Locality }, upTo(100)},
	{"address.region", func(c *Claims) *string { return &c.Address.Region }, upTo(100)},
	{"address.postal_code", func(c *Claims) *string { return &c.Address.PostalCode }, upTo(20)},
	{"address.country", func(c *Claims) *string { return &c.Address.Country }, upTo(100)},
}

// Set changes the claim that has this name at relying parties; a part of the
// address is "address.locality". An empty value forgets it. What it is set to is
// looked at when the person is saved; fault.Invalid when there is no such claim.
func (c *Claims) Set(name, value string) error {
	switch name {
	case "email_verified":
		return setFlag(&c.EmailVerified, name, value)
	case "phone_number_verified":
		return setFlag(&c.PhoneVerified, name, value)
	}
	for _, p := range parts {
		if p.name == name {
			*p.of(c) = value
			return nil
		}
	}
	return fault.New(fault.Invalid, "claim_unknown", "%s: there is no such claim; there are %s.", name, strings.Join(ClaimNames(), ", ")).In(name)
}

func setFlag(flag *bool, name, value string) error {
	v, err := strconv.ParseBool(value)
	if err != nil && value != "" {
		return fault.New(fault.Invalid, "claim_invalid", "%s: %q is not one of true, false.", name, value).In(name)
	}
	*flag = v
	return nil
}

// ClaimNames are the names that Set knows.
func ClaimNames() []string {
	var names []string
	for _, p := range parts {
		names = append(names, p.name)
		if p.name == "phone_number" {
			names = append(names, "phone_number_verified", "email_verified")
		}
	}
	return names
}

func (c Claims) trimmed() Claims {
	for _, p := range parts {
		*p.of(&c) = strings.TrimSpace(strings.ReplaceAll(*p.of(&c), "\r\n", "\n"))
	}
	return c
}

func (c Claims) check(email string) error {
	for _, p := range parts {
		if value := *p.of(&c); value != "" {
			if err := p.check(p.name, value); err != nil {
				return err
			}
		}
	}
	if c.EmailVerified && email == "" {
		return fault.New(fault.Invalid, "claim_invalid", "email_verified: there is no e-mail address.").In("email_verified")
	}
	if c.PhoneVerified && c.Phone == "" {
		return fault.New(fault.Invalid, "claim_invalid", "phone_number_verified: there is no phone number.").In("phone_number_verified")
	}
	return nil
}

func upTo(limit int) func(field, s string) error {
	return func(field, s string) error { return text(field, s, limit, true) }
}

func linesUpTo(limit int) func(field, s string) error {
	return func(field, s string) error { return text(field, strings.ReplaceAll(s, "\n", " "), limit, true) }
}

// webAddress is one that a page may link to or show: scripts and passwords in
// addresses have no place there.
func webAddress(field, s string) error {
	if err := text(field, s, 1000, true); err != nil {
		return err
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Hostname() == "" || u.User != nil || strings.ContainsAny(s, " \"<>\\^`{|}") ||
		u.Scheme != "https" && (u.Scheme != "http" || !thisMachine(u.Hostname())) {
		return fault.New(fault.Invalid, "claim_invalid", "%s: %q is not an address that begins with https:// (http is for localhost).", field, s).In(field)
	}
	return nil
}

func thisMachine(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback() || host == "localhost" || strings.HasSuffix(host, ".localhost")
}

func birthdate(field, s string) error {
	_, err := time.Parse(time.DateOnly, s)
	if len(s) == len("2006") && s != "0000" {
		_, err = time.Parse("2006", s)
	}
	if err != nil {
		return fault.New(fault.Invalid, "claim_invalid", "%s: %q is not a date of the form YYYY-MM-DD, 0000-MM-DD or YYYY.", field, s).In(field)
	}
	return nil
}

// zoneName is the form of a name in the IANA time zone database. Whether there is
// such a zone depends on the year and on the machine, and is not asked.
var zoneName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}$`)

func zoneinfo(field, s string) error {
	if len(s) > 64 || !zoneName.MatchString(s) || s == "Local" { // Local is Go's name for the machine's zone
		return fault.New(fault.Invalid, "claim_invalid", "%s: %q is not the name of a time zone, such as Europe/Helsinki.", field, s).In(field)
	}
	return nil
}

// phoneNumber is an international number as people write it, with an extension
// as in RFC 3966 §3 (OpenID Connect Core §5.1).
var phoneNumber = regexp.MustCompile(`^\+[1-9]([ .()-]{0,2}[0-9]){1,14}(;ext=[0-9]{1,10})?$`)

func phone(field, s string) error {
	if !phoneNumber.MatchString(s) {
		return fault.New(fault.Invalid, "claim_invalid", "%s: %q is not an international phone number, such as +358401234567.", field, s).In(field)
	}
	return nil
}
