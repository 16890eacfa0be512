package cardlab

import (
	"crypto/x509"
	"slices"
	"time"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/cardtest"
)

// Exhibit is a card, or the lack of one, that shows a verdict.
type Exhibit struct {
	Name    string       // of its card; "" when there is none
	Verdict card.Verdict // that it comes to when the lab has just been set up
	About   string       // a line for the lab's own page

	family, given string
	ca            string // the authority that issues it; see cardtest.Authorities
	signatureOf   string // it is the other certificate of that card
	make          func(now time.Time) []cardtest.Option
}

// path is the verdict before anybody asks about revocation.
func (e Exhibit) path() card.Verdict {
	switch e.Verdict {
	case card.Revoked, card.Suspended, card.RevocationUnavailable:
		return card.Good
	}
	return e.Verdict
}

// person has a name that says what the card is for: browsers show nothing else
// when they ask which card to send.
func (e Exhibit) person() cardtest.Person {
	i := slices.IndexFunc(exhibits, func(other Exhibit) bool { return other.Name == e.Name })
	serial := "9000000" + string(rune('0'+i/10)) + string(rune('0'+i%10)) + "X"
	return cardtest.Person{Given: e.given, Family: e.family, Organisation: "Esimerkkivirasto", Serial: serial,
		Email: e.given + "." + e.family + "@example.test", UPN: serial + "@example.test"}
}

// Exhibits are all of them, good ones first.
func Exhibits() []Exhibit { return slices.Clone(exhibits) }

// remoteCA is the authority whose responder and list are down from the start.
const remoteCA = "remote"

// sources are the authorities with switches.
var sources = []string{"organisation", "rsa-organisation", "health", "personnel", "actor", "temporary", remoteCA, "root", "rsa-root"}

const (
	day      = 24 * time.Hour
	otherOID = "2.999.1.10.351.77"
)

func always(options ...cardtest.Option) func(time.Time) []cardtest.Option {
	return func(time.Time) []cardtest.Option { return options }
}

func lasting(from, to time.Duration) func(time.Time) []cardtest.Option {
	return func(now time.Time) []cardtest.Option {
		return []cardtest.Option{cardtest.Valid(now.Add(from), now.Add(to))}
	}
}

var exhibits = []Exhibit{
	{"lab-organisation-rsa", card.Good, "organisation card of the RSA tree, as most are today", "Rsa", "Good", "rsa-organisation", "", always(cardtest.WithKey(cardtest.RSA2048))},
	{"lab-organisation-ecc", card.Good, "organisation card of the elliptic tree, with both of its certificates", "Elliptic", "Good", "organisation", "", always(cardtest.WithSignature())},
	{"lab-health", card.Good, "card of a social or health care professional", "Health", "Good", "health", "", nil},
	{"lab-personnel", card.Good, "personnel card", "Personnel", "Good", "personnel", "", nil},
	{"lab-actor", card.Good, "actor card", "Actor", "Good", "actor", "", nil},
	{"lab-temporary", card.Good, "temporary card, of a few weeks", "Temporary", "Good", "temporary", "", lasting(-day, 30*day)},
	{"", card.NoCertificate, "no card in the reader: send none, or close the browser's question", "", "", "", "", nil},
	{"lab-organisation-ecc-signature", card.SignatureCertificate, "the other certificate of the elliptic card, for signing (PIN2)", "", "", "", "lab-organisation-ecc", nil},
	{"lab-expired", card.Expired, "expired yesterday", "Expired", "Card", "organisation", "", lasting(-400*day, -day)},
	{"lab-not-yet", card.NotYetValid, "valid from next month", "Notyet", "Card", "organisation", "", lasting(30*day, 400*day)},
	{"lab-stranger", card.UntrustedIssuer, "of a CA that is not in the bundle", "Stranger", "Card", "stranger", "", nil},
	{"lab-service", card.UntrustedIssuer, "a certificate of a service, from a CA below the same root", "Service", "Certificate", "services", "", nil},
	{"lab-citizen", card.KindNotAccepted, "identity card of a citizen", "Citizen", "Card", "citizen", "", nil},
	{"lab-other-policy", card.KindNotAccepted, "of the right CA, under a policy that is not accepted", "Otherpolicy", "Card", "organisation", "", always(cardtest.Policies(otherOID))},
	{"lab-revoked", card.Revoked, "revoked", "Revoked", "Card", "organisation", "", nil},
	{"lab-suspended", card.Suspended, "on hold", "Suspended", "Card", "organisation", "", nil},
	{"lab-unavailable", card.RevocationUnavailable, "nobody can say: the responder and the list of its CA are down", "Unavailable", "Card", remoteCA, "", nil},
	{"lab-weak-key", card.WeakOrMalformed, "RSA key of 1024 bits", "Weak", "Key", "rsa-organisation", "", always(cardtest.WithKey(cardtest.RSA1024))},
	{"lab-weak-signature", card.WeakOrMalformed, "signed with SHA-1", "Weak", "Signature", "organisation", "", always(cardtest.Change(func(c *x509.Certificate) { c.SignatureAlgorithm = x509.ECDSAWithSHA1 }))},
	{"lab-malformed", card.WeakOrMalformed, "claims that it may issue certificates", "Malformed", "Card", "organisation", "", always(cardtest.Purposes(x509.KeyUsageDigitalSignature|x509.KeyUsageCertSign, x509.ExtKeyUsageClientAuth))},
}
