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

// Concern is why somebody should look at a trust that is in order. The Console has
// the texts of those who read its pages, as "con.trust.warning." and the word.
type Concern string

const (
	ConcernExpired Concern = "expired"
	ConcernExpires Concern = "expires"
	ConcernIdle    Concern = "idle"    // a root above no CA whose cards are accepted
	ConcernNowhere Concern = "nowhere" // there is no address where revocation could be asked
	ConcernPolicy  Concern = "policy"  // a CA above may not issue under a policy that is accepted
)

// Warning is what an operator should know of a CA of the trust.
type Warning struct {
	Concern Concern
	CA      string    // its name
	Until   time.Time // expired, expires: the CA's end
	Days    int       // expires: until then
	Policy  string    // policy: the one that is accepted
	By      string    // policy: the CA that may not
	Only    string    // policy: what it may
}

// String says it in English, beginning with the CA's name.
func (w Warning) String() string {
	switch until := w.Until.UTC().Format(time.DateOnly); w.Concern {
	case ConcernExpired:
		return fmt.Sprintf("%s: expired on %s: everything that it issued is refused", w.CA, until)
	case ConcernExpires:
		return fmt.Sprintf("%s: expires on %s, in %d days: everything that it issued is refused from then on", w.CA, until, w.Days)
	case ConcernIdle:
		return w.CA + ": no configured CA whose cards are accepted stands below this root"
	case ConcernNowhere:
		return w.CA + ": nothing says where to ask whether what it issued was revoked (ocsp, crl, or revocation_hosts for the responders that certificates name): " +
			"unless its list is imported, every card below it is refused while card.revocation.mode is require"
	}
	return fmt.Sprintf("%s: the policy %s is accepted, but %q may issue only %s: cards with it break RFC 5280 §6.1", w.CA, w.Policy, w.By, w.Only)
}

// Warnings are what an operator should know of the trust although it is in order.
func (t *Trust) Warnings(now time.Time) []Warning {
	var all []Warning
	for _, s := range t.sources {
		name := AuthorityName(s.CA)
		if left := s.CA.NotAfter.Sub(now); left < 0 {
			all = append(all, Warning{Concern: ConcernExpired, CA: name, Until: s.CA.NotAfter})
		} else if left < expiresSoon {
			all = append(all, Warning{Concern: ConcernExpires, CA: name, Until: s.CA.NotAfter, Days: int(left / (24 * time.Hour))})
		}
		below := t.accepted(s.CA)
		if len(below) == 0 && s.Kind == "" {
			all = append(all, Warning{Concern: ConcernIdle, CA: name})
		}
		if len(below) > 0 && !t.canAsk(s, below) {
			all = append(all, Warning{Concern: ConcernNowhere, CA: name})
		}
		if s.Kind != "" && s.Kind != CitizenCard {
			for _, oid := range t.issuers[string(s.CA.Raw)].policies {
				if by := t.forbids(s, oid); by != nil {
					all = append(all, Warning{Concern: ConcernPolicy, CA: name, Policy: oid.String(), By: AuthorityName(by), Only: listed(by.Policies)})
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
