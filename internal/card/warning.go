package card

import (
	"crypto/x509"
	"fmt"
	"slices"
	"time"
)

// expiresSoon is how long before a CA's end its operator is told. The Agency
// announces successors months ahead.
const expiresSoon = 90 * 24 * time.Hour

// Warnings are what an operator should know of the trust although it is in
// order, each a sentence that begins with the CA's name.
func (t *Trust) Warnings(now time.Time) []string {
	var all []string
	warn := func(ca *x509.Certificate, format string, a ...any) {
		all = append(all, AuthorityName(ca)+": "+fmt.Sprintf(format, a...))
	}
	for _, s := range t.sources {
		if left := s.CA.NotAfter.Sub(now); left < 0 {
			warn(s.CA, "expired on %s: everything that it issued is refused", s.CA.NotAfter.UTC().Format(time.DateOnly))
		} else if left < expiresSoon {
			warn(s.CA, "expires on %s, in %d days: everything that it issued is refused from then on", s.CA.NotAfter.UTC().Format(time.DateOnly), int(left/(24*time.Hour)))
		}
		below := t.accepted(s.CA)
		if len(below) == 0 && s.Kind == "" {
			warn(s.CA, "no configured CA whose cards are accepted stands below this root")
		}
		if len(below) > 0 && !t.canAsk(s, below) {
			warn(s.CA, "nothing says where to ask whether what it issued was revoked (ocsp, crl, or revocation_hosts for the responders that certificates name): "+
				"unless its list is imported, every card below it is refused while card.revocation.mode is require")
		}
		if s.Kind != "" && s.Kind != CitizenCard {
			for _, oid := range t.issuers[string(s.CA.Raw)].policies {
				if by := t.forbids(s, oid); by != nil {
					warn(s.CA, "the policy %s is accepted, but %q may issue only %s: cards with it break RFC 5280 §6.1", oid, AuthorityName(by), listed(by.Policies))
				}
			}
		}
	}
	return all
}

// accepted are the CAs whose cards are accepted among ca and those below it.
func (t *Trust) accepted(ca *x509.Certificate) []Source {
	var list []Source
	for _, s := range t.sources {
		if s.Kind != "" && s.Kind != CitizenCard && slices.ContainsFunc(t.above(s), ca.Equal) {
			list = append(list, s)
		}
	}
	return list
}

// above is the way from a CA, itself first, to its root.
func (t *Trust) above(s Source) []*x509.Certificate {
	path := []*x509.Certificate{s.CA}
	for !s.CA.Equal(s.Parent) && len(path) <= len(t.sources) {
		s, _ = t.Source(s.Parent)
		path = append(path, s.CA)
	}
	return path
}

// canAsk tells whether there is an address for what s issued and a card needs:
// its own, or those of responders in the certificates. What cards name is not
// known before they come; what CAs name is.
func (t *Trust) canAsk(s Source, below []Source) bool {
	if len(s.OCSP)+len(s.CRL) > 0 {
		return true
	}
	for _, b := range below {
		path := t.above(b)
		i := slices.IndexFunc(path, s.CA.Equal)
		if i == 0 && len(t.hosts) == 0 {
			return false
		}
		if i > 0 && !slices.ContainsFunc(path[i-1].OCSPServer, t.allowed) {
			return false
		}
	}
	return true
}

// forbids is the CA from s upwards that may not issue under the policy: its own
// certificate lists others. Nil when all may. A root stands for itself.
func (t *Trust) forbids(s Source, policy x509.OID) *x509.Certificate {
	path := t.above(s)
	for _, ca := range path[:len(path)-1] {
		if len(ca.Policies) > 0 && !slices.ContainsFunc(ca.Policies, anyPolicy.Equal) && !slices.ContainsFunc(ca.Policies, policy.Equal) {
			return ca
		}
	}
	return nil
}
