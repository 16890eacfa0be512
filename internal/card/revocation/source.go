package revocation

import (
	"github.com/portti-id/portti/internal/card"
)

// Unanswered are the CAs of accepted cards about which nobody can be asked, or
// not about the cards that they issued: the trust bundle names no address, and
// allows none out of certificates. Their cards are refused until somebody
// imports lists. They are named by the common name, in the bundle's order.
func Unanswered(t *card.Trust, m Mode) []string {
	certified := m != CRLOnly && len(t.RevocationHosts()) > 0
	var names []string
	for _, s := range t.Sources() {
		if s.Kind == "" || s.Kind == card.CitizenCard {
			continue
		}
		for at, known := s, true; known; at, known = t.Source(at.Parent) {
			if len(at.CRL) == 0 && !certified && (m == CRLOnly || len(at.OCSP) == 0) {
				names = append(names, s.CA.Subject.CommonName)
				break
			}
			if at.Parent.Equal(at.CA) {
				break
			}
		}
	}
	return names
}
