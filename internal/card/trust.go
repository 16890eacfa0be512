package card

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// Kind is what the cards of an issuing CA are for (S21).
type Kind string

const (
	OrganisationCard       Kind = "organisation"
	HealthProfessionalCard Kind = "health_professional"
	PersonnelCard          Kind = "personnel"
	ActorCard              Kind = "actor"
	TemporaryCard          Kind = "temporary"
	CitizenCard            Kind = "citizen" // known, so that it can be refused by name
)

var kinds = []Kind{OrganisationCard, HealthProfessionalCard, PersonnelCard, ActorCard, TemporaryCard, CitizenCard}

// TrustConfig says whose cards are accepted. There are no built-in CAs and no
// built-in policies: what is not named here is not trusted.
type TrustConfig struct {
	// Folder holds the certificate files (PEM, one certificate a file) that
	// the settings below name.
	Folder string `yaml:"-"`

	// Roots are the root CAs. They are pinned: no other root, and none of the
	// operating system's, is ever asked.
	Roots []Authority `yaml:"roots"`

	// Issuers are the CAs that issue cards. A card of any other CA is refused,
	// also when that CA stands below one of the roots.
	Issuers []Issuer `yaml:"issuers"`

	// RevocationHosts are the hosts (name for ports 80 and 443, or name:port) that
	// may be asked whether a certificate was revoked when their address stands in
	// the certificate itself. Addresses in this file need no entry.
	RevocationHosts []string `yaml:"revocation_hosts,omitempty"`

	// AcceptTestCAs lets CAs be configured whose name has the word "test" in
	// it. Anybody may get a card of a test CA: never in production.
	AcceptTestCAs bool `yaml:"-"`
}

// Authority is one CA, and where to ask about what it issued.
type Authority struct {
	// File holds its certificate.
	File string `yaml:"file"`

	// Name is its common name, letter for letter: a file that was mixed up
	// with another is noticed. Required for issuers.
	Name string `yaml:"name,omitempty"`

	// OCSP are addresses (http or https) of responders for certificates that this
	// CA issued, asked in order. None: the addresses in each certificate are, as
	// far as revocation_hosts allows.
	OCSP []string `yaml:"ocsp,omitempty"`

	// CRL are addresses of its list of revoked certificates, which is fetched
	// ahead. None: the list is imported, or there is none.
	CRL []string `yaml:"crl,omitempty"`
}

// Issuer is one CA that issues cards.
type Issuer struct {
	Authority `yaml:",inline"`

	// Kind is what its cards are for: organisation, health_professional,
	// personnel, actor or temporary. With citizen the cards are recognised and
	// refused as what they are, instead of as unknown.
	Kind Kind `yaml:"kind"`

	// Policies are the certificate policies (OIDs such as 1.2.246.517.1.10.301.2)
	// of its sign-in certificates; a card must assert one of them. Required,
	// except for citizen cards.
	Policies []string `yaml:"policies,omitempty"`
}

// Trust decides on certificates. It is made once, never changes, and asks
// nobody on the network.
type Trust struct {
	roots   *x509.CertPool
	issuing *x509.CertPool    // of every configured kind: the only intermediates
	hints   *x509.CertPool    // of the accepted kinds
	issuers map[string]issuer // by DER
	names   map[string]bool   // their subjects, raw
	sources []Source
	hosts   []string // RevocationHosts
}

type issuer struct {
	kind     Kind
	policies []x509.OID
}

// Source is a configured CA with where to ask about the certificates that it
// issued.
type Source struct {
	CA     *x509.Certificate
	Parent *x509.Certificate // the CA above; CA itself for a root
	Kind   Kind              // of its cards; "" for a root
	OCSP   []string
	CRL    []string
}

// Sources are all configured CAs, roots first, in the order of the settings.
func (t *Trust) Sources() []Source { return slices.Clone(t.sources) }

// Source is that of the CA with this certificate; false when it is not
// configured.
func (t *Trust) Source(ca *x509.Certificate) (Source, bool) {
	i := slices.IndexFunc(t.sources, func(s Source) bool { return s.CA.Equal(ca) })
	if i < 0 {
		return Source{}, false
	}
	return t.sources[i], true
}

// RevocationHosts are the hosts whose addresses in a certificate may be asked.
func (t *Trust) RevocationHosts() []string { return slices.Clone(t.hosts) }

// NewTrust reads the certificates that c names and checks them at the time now:
// every one must be a strong, valid CA that may issue cards, and every issuing CA
// must chain to a root. The error holds everything that is wrong, each with its
// field and file.
func NewTrust(c TrustConfig, now time.Time) (*Trust, error) {
	folder := os.DirFS(c.Folder)
	return newTrust(c, now, func(name string) ([]byte, error) { return readFile(folder, name, largestFile) })
}

// newTrust is NewTrust for files that may have been read before.
func newTrust(c TrustConfig, now time.Time, read func(name string) ([]byte, error)) (*Trust, error) {
	t := &Trust{
		roots: x509.NewCertPool(), issuing: x509.NewCertPool(), hints: x509.NewCertPool(),
		issuers: map[string]issuer{}, names: map[string]bool{},
	}
	load := &loader{read: read, testCAs: c.AcceptTestCAs, now: now, seen: map[string]string{}}
	t.hosts = load.hosts(c.RevocationHosts)
	if len(c.Roots) == 0 {
		load.errs = append(load.errs, errors.New("roots: name at least one root CA"))
	}
	if len(c.Issuers) == 0 {
		load.errs = append(load.errs, errors.New("issuers: name at least one issuing CA"))
	}
	if len(c.Roots)+len(c.Issuers) > mostAuthorities {
		return nil, errors.Join(append(load.errs, fmt.Errorf("roots and issuers: more than %d CAs", mostAuthorities))...)
	}
	t.takeRoots(c.Roots, load)
	t.takeIssuers(c.Issuers, load)
	if len(load.errs) == 0 && t.hints.Equal(x509.NewCertPool()) {
		load.errs = append(load.errs, errors.New("issuers: all of them are refused kinds; no card could ever sign in"))
	}
	if err := errors.Join(load.errs...); err != nil {
		return nil, err
	}
	return t, nil
}

func (t *Trust) takeRoots(roots []Authority, load *loader) {
	for i, s := range roots {
		field := fmt.Sprintf("roots[%d]", i)
		load.addresses(field, s)
		cert, err := load.authority(s.File)
		if err == nil {
			// A trust anchor need not be signed by itself, but a file that is
			// not was most likely mixed up with an issuing CA's.
			if err = cert.CheckSignatureFrom(cert); err != nil {
				err = is(FaultNotRoot, "is not a root: it is not signed by itself")
			}
		}
		if err != nil {
			load.fail(field, s.File, err)
			continue
		}
		if s.Name != "" && cert.Subject.CommonName != s.Name {
			load.fail(field+".name", s.File, is(FaultName, "is %q, but the certificate is of %q", s.Name, cert.Subject.CommonName))
		}
		t.roots.AddCert(cert)
		t.sources = append(t.sources, Source{CA: cert, Parent: cert, OCSP: s.OCSP, CRL: s.CRL})
	}
}

func (t *Trust) takeIssuers(issuers []Issuer, load *loader) {
	certs := make([]*x509.Certificate, len(issuers))
	for i, s := range issuers {
		field := fmt.Sprintf("issuers[%d]", i)
		load.addresses(field, s.Authority)
		policies, err := s.check()
		if err != nil {
			load.fail(field, s.File, err)
		}
		cert, err := load.authority(s.File)
		if err != nil {
			load.fail(field, s.File, err)
			continue
		}
		if cert.Subject.CommonName != s.Name {
			load.fail(field+".name", s.File, is(FaultName, "is %q, but the certificate is of %q", s.Name, cert.Subject.CommonName))
		}
		certs[i] = cert
		t.issuing.AddCert(cert)
		t.issuers[string(cert.Raw)] = issuer{kind: s.Kind, policies: policies}
		t.names[string(cert.RawSubject)] = true
		if s.Kind != CitizenCard {
			t.hints.AddCert(cert)
		}
	}
	// All of them are read by now: one may stand below another.
	for i, cert := range certs {
		if cert == nil {
			continue
		}
		s := issuers[i]
		chains, err := cert.Verify(t.path(load.now))
		if err != nil {
			load.fail(fmt.Sprintf("issuers[%d]", i), s.File, is(FaultChain, "does not chain to a configured root"))
		} else if n := slices.IndexFunc(chains, mayIssue); n < 0 {
			load.fail(fmt.Sprintf("issuers[%d]", i), s.File, is(FaultChain, "does not chain to a configured root: a CA above it allows no CA there (path length)"))
		} else {
			t.sources = append(t.sources, Source{CA: cert, Parent: chains[n][1], Kind: s.Kind, OCSP: s.OCSP, CRL: s.CRL})
		}
	}
}

// Hints are the issuing CAs whose cards are accepted. The card host names them
// in the handshake, so that browsers offer those cards alone. Roots are left
// out: a browser would offer every card below them.
func (t *Trust) Hints() *x509.CertPool { return t.hints.Clone() }

// path is the only way to trust: from the pinned roots through the configured
// issuing CAs. Certificates that a client sent along never take part.
func (t *Trust) path(at time.Time) x509.VerifyOptions {
	return x509.VerifyOptions{
		Roots: t.roots, Intermediates: t.issuing, CurrentTime: at,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}, // purpose has a check of its own
	}
}

// mayIssue tells whether the path lengths above the first certificate leave
// room for it as a CA; Verify took it for the end of its chain.
func mayIssue(chain []*x509.Certificate) bool {
	for below, ca := range chain {
		if below > 0 && ca.MaxPathLen >= 0 && ca.MaxPathLen < below {
			return false
		}
	}
	return true
}

// check looks at what was written, and returns the policies.
func (s Issuer) check() ([]x509.OID, error) {
	if s.Name == "" {
		return nil, errors.New("name: give the CA's common name")
	}
	if !slices.Contains(kinds, s.Kind) {
		return nil, fmt.Errorf("kind: %q is none of %v", s.Kind, kinds)
	}
	if len(s.Policies) == 0 && s.Kind != CitizenCard {
		return nil, errors.New("policies: name at least one policy of its sign-in certificates")
	}
	var policies []x509.OID
	for i, text := range s.Policies {
		oid, err := x509.ParseOID(text)
		if err != nil {
			return nil, fmt.Errorf("policies[%d]: %q is not an object identifier such as 1.2.246.517.1", i, text)
		}
		if oid.Equal(anyPolicy) {
			return nil, fmt.Errorf("policies[%d]: %s is anyPolicy, which tells no kind of card from another", i, text)
		}
		if slices.ContainsFunc(policies, oid.Equal) {
			return nil, fmt.Errorf("policies[%d]: %s is there twice", i, text)
		}
		policies = append(policies, oid)
	}
	return policies, nil
}
