package card

import (
	"cmp"
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
)

// Stranger is a CA that is not configured, as the certificate of a card named it:
// the operator may want to configure it. It tells nothing of the card's holder,
// and proves nothing: anybody can make a certificate that names any CA, unless
// Root says otherwise.
type Stranger struct {
	ID     string // SHA-256 of Issuer, KeyID and SHA256, hex: two with the same are one
	Issuer string // its name, most general part last, as HolderOf writes it
	KeyID  string // of its key, as the card's certificate says (RFC 5280 §4.2.1.1): lower-case hex, "" when it does not

	// Certificate is the CA's own, PEM, when the client sent it along and it has
	// signed the card's; SHA256 is that of its DER, lower-case hex.
	Certificate string
	SHA256      string

	// Root is the common name of the configured root that has signed Certificate:
	// then it is genuine.
	Root string

	Seen        int64 // how many cards of it were shown; 0 in a Stranger that is being met
	First, Last time.Time
}

// Strangers keeps what the operator should know. Package store implements it.
type Strangers interface {
	// MetStranger counts the stranger at the time now. It keeps a bounded number:
	// of those that no configured root has signed, the least seen make room.
	MetStranger(ctx context.Context, s Stranger, now time.Time) error
}

// metWithin bounds what a refused person waits for the note about the issuer.
const metWithin = 2 * time.Second

// met tells of the issuer. A failure changes nothing for the person.
func (c *Checker) met(ctx context.Context, t *Trust, certs []*x509.Certificate, now time.Time) {
	if c.Strangers == nil {
		return
	}
	s, ok := t.stranger(certs, now)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, metWithin)
	defer cancel()
	if err := c.Strangers.MetStranger(ctx, s, now); err != nil {
		cmp.Or(c.Log, slog.Default()).WarnContext(ctx, "card: an unknown issuer was not noted", "error", err)
	}
}

// stranger is the issuer of a card that has none among the configured; false when
// its name could be that of a person, or it claims to be of a configured CA.
func (t *Trust) stranger(certs []*x509.Certificate, now time.Time) (Stranger, bool) {
	leaf := certs[0]
	if !isAuthorityName(leaf.RawIssuer) || string(leaf.RawIssuer) == string(leaf.RawSubject) || leaf.Issuer.CommonName == leaf.Subject.CommonName {
		return Stranger{}, false
	}
	if i := named(leaf.RawIssuer, certs[1:]); i >= 0 && !certs[1+i].IsCA {
		return Stranger{}, false // signed with somebody's card
	}
	if slices.ContainsFunc(t.sources, func(s Source) bool {
		return string(s.CA.RawSubject) == string(leaf.RawIssuer) && (len(leaf.AuthorityKeyId) == 0 || string(leaf.AuthorityKeyId) == string(s.CA.SubjectKeyId))
	}) {
		return Stranger{}, false // a forgery, or one that a root has issued itself
	}
	s := Stranger{Issuer: clean(distinguished(leaf.RawIssuer), longestDN), KeyID: clean(hex.EncodeToString(leaf.AuthorityKeyId), longestSerial)}
	if s.Issuer == "" {
		return Stranger{}, false
	}
	if ca := signerOf(leaf, certs[1:]); ca != nil {
		s.Certificate = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Raw}))
		s.SHA256 = hexDigest(ca.Raw)
		s.Root = t.rootOf(ca, now)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q", s.Issuer, s.KeyID, s.SHA256))
	s.ID = hex.EncodeToString(sum[:])
	return s, true
}

// rootOf is the configured root that stands above a CA and permits it, "" when
// none does.
func (t *Trust) rootOf(ca *x509.Certificate, now time.Time) string {
	chains, err := ca.Verify(t.path(now))
	if err != nil {
		return ""
	}
	for _, chain := range chains {
		if mayIssue(chain) {
			return AuthorityName(chain[len(chain)-1])
		}
	}
	return ""
}

// signerOf is the CA among others that has signed leaf, nil when there is none or
// its certificate could hold a person's data. One try: each costs a signature
// check, and a client that sends the chain sends it in order.
func signerOf(leaf *x509.Certificate, others []*x509.Certificate) *x509.Certificate {
	i := named(leaf.RawIssuer, others)
	if i < 0 {
		return nil
	}
	ca := others[i]
	if key, ok := ca.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() > 8192 {
		return nil // crypto/tls takes none either
	}
	if !isAuthorityName(ca.RawIssuer) || len(ca.EmailAddresses) > 0 || leaf.CheckSignatureFrom(ca) != nil {
		return nil
	}
	return ca
}

func named(subject []byte, among []*x509.Certificate) int {
	return slices.IndexFunc(among, func(c *x509.Certificate) bool { return string(c.RawSubject) == string(subject) })
}

// authorityAttributes are what names of CAs are made of (RFC 5280 §4.1.2.4), and
// organizationIdentifier (ETSI EN 319 412-1 §5.1.4).
var authorityAttributes = []asn1.ObjectIdentifier{
	{2, 5, 4, 3}, {2, 5, 4, 6}, {2, 5, 4, 7}, {2, 5, 4, 8}, {2, 5, 4, 10}, {2, 5, 4, 11}, {2, 5, 4, 97},
	{0, 9, 2342, 19200300, 100, 1, 25}, // domainComponent
}

// isAuthorityName tells whether a name can only be a CA's: an organisation is in
// it, or a domain, and nothing that people have (given name, number, title, mail).
// A card that another card has signed names a person as its issuer, and so do
// the CAs that programs make on somebody's machine (user@host).
func isAuthorityName(raw []byte) bool {
	var name pkix.RDNSequence
	if rest, err := asn1.Unmarshal(raw, &name); err != nil || len(rest) > 0 {
		return false
	}
	organised := false
	for _, set := range name {
		for _, a := range set {
			text, ok := a.Value.(string)
			if !ok || strings.Contains(text, "@") || !slices.ContainsFunc(authorityAttributes, a.Type.Equal) {
				return false
			}
			organised = organised || a.Type.Equal(authorityAttributes[4]) || a.Type.Equal(authorityAttributes[7])
		}
	}
	return organised
}
