package cardtest

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/goccy/go-yaml"
	"software.sslmate.com/src/go-pkcs12"

	"github.com/portti-id/portti/internal/card"
)

// PEM is the authority's certificate.
func (ca *CA) PEM() []byte { return certificatePEM(ca.Cert) }

// PEM is the card's certificate and its chain.
func (c *Card) PEM() []byte {
	return certificatePEM(append([]*x509.Certificate{c.Cert}, c.Chain...)...)
}

// KeyPEM is the card's private key (PKCS #8).
func (c *Card) KeyPEM() ([]byte, error) { return keyPEM(c.Key) }

// P12 is the card for a browser or an operating system (PKCS #12, AES). It has
// no friendly name, so browsers make one up; see P12ViaOpenSSL.
func (c *Card) P12(password string) ([]byte, error) {
	return pkcs12.Modern2023.Encode(c.Key, c.Cert, c.Chain, password)
}

// P12Legacy is the same with 3DES and SHA-1, for software that knows no better
// (among it older macOS).
func (c *Card) P12Legacy(password string) ([]byte, error) {
	return pkcs12.LegacyDES.Encode(c.Key, c.Cert, c.Chain, password)
}

// P12ViaOpenSSL is P12 with the card's name as friendly name. The NSS tools use
// it as the nickname: after
//
//	pk12util -i FILE -W PASSWORD -d sql:DB
//
// the card is taken out again, key and certificate, by
//
//	certutil -F -n NAME -d sql:DB
func (c *Card) P12ViaOpenSSL(password string) ([]byte, error) {
	key, err := c.KeyPEM()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("openssl", "pkcs12", "-export", "-name", c.Name, "-passout", "env:P12_PASSWORD")
	cmd.Env = append(os.Environ(), "P12_PASSWORD="+password)
	cmd.Stdin = bytes.NewReader(append(key, c.PEM()...))
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("openssl pkcs12: %w: %s", err, bytes.TrimSpace(complaint.Bytes()))
	}
	return out, nil
}

// TrustConfig is the settings by which a provider accepts the cards of a new PKI
// that was saved in dir: organisation and health professional cards, while
// citizen cards are refused by name. Nobody is to be asked about revocation. See
// PKI.TrustConfig.
func TrustConfig(dir string) card.TrustConfig {
	return trustConfig(dir, "", func(name string) bool {
		return slices.Contains([]string{"root", "organisation", "health", "citizen"}, name)
	})
}

// TrustConfig is the settings by which a provider accepts the cards of all the
// authorities that were made, each of the kind it is, while citizen cards are
// refused by name. With a Server they say where it is. Save writes them to
// card.BundleFile as well.
func (p *PKI) TrustConfig(dir string) card.TrustConfig {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.trustConfig(dir)
}

func (p *PKI) trustConfig(dir string) card.TrustConfig {
	return trustConfig(dir, p.base, func(name string) bool { return p.cas[name] != nil })
}

func trustConfig(dir, base string, in func(name string) bool) card.TrustConfig {
	c := card.TrustConfig{Folder: dir, AcceptTestCAs: true}
	for _, a := range shape {
		if !in(a.name) {
			continue
		}
		authority := card.Authority{File: "ca-" + a.name + ".crt", Name: a.commonName}
		if base != "" {
			ca := &CA{Name: a.name}
			authority.OCSP, authority.CRL = []string{ocspURL(base, ca)}, []string{crlURL(base, ca)}
		}
		switch {
		case a.name == "root" || a.name == "rsa-root":
			c.Roots = append(c.Roots, authority)
		case a.kind == card.CitizenCard:
			c.Issuers = append(c.Issuers, card.Issuer{Authority: authority, Kind: a.kind})
		case a.kind != "":
			c.Issuers = append(c.Issuers, card.Issuer{Authority: authority, Kind: a.kind, Policies: []string{a.policy}})
		}
	}
	return c
}

// index lists what a folder holds; it is written last and read first, so that
// a folder whose saving was cut short is not taken for a PKI.
type index struct {
	Format      int             `json:"format"`
	Made        time.Time       `json:"made"`
	Base        string          `json:"base,omitempty"`
	Authorities []string        `json:"authorities"`
	Cards       []cardEntry     `json:"cards"`
	Fates       map[string]fate `json:"fates,omitempty"`
}

type cardEntry struct {
	Name      string `json:"name"`
	Person    Person `json:"person"`
	Signature string `json:"signature,omitempty"` // the name of its other certificate
}

const (
	indexFile = "pki.json"

	// format rises when folders of before can no longer be used: 2 has policies in
	// the Agency's pattern.
	format = 2
)

// ErrFormer: the folder was written by an earlier version, whose cards the
// settings of now do not accept.
var ErrFormer = errors.New("the test PKI was made by an earlier version of Portti")

// Save writes everything to the folder dir, which it makes: ca-NAME.crt and
// .key, card-NAME.crt and .key. Only the owner can read them; for TrustConfig
// nothing else is needed.
func (p *PKI) Save(dir string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	list := index{Format: format, Made: p.now, Base: p.base, Cards: []cardEntry{}, Fates: p.fates}
	for _, ca := range p.made() {
		if err := put(dir, "ca-"+ca.Name, ca.PEM(), ca.Key); err != nil {
			return err
		}
		list.Authorities = append(list.Authorities, ca.Name)
	}
	for _, c := range p.cards {
		if err := put(dir, "card-"+c.Name, c.PEM(), c.Key); err != nil {
			return err
		}
		entry := cardEntry{Name: c.Name, Person: c.Person}
		if c.Signature != nil {
			entry.Signature = c.Signature.Name
		}
		list.Cards = append(list.Cards, entry)
	}
	if err := p.saveSettings(dir); err != nil {
		return err
	}
	data, err := json.MarshalIndent(list, "", "\t")
	if err != nil {
		return err
	}
	return replace(filepath.Join(dir, indexFile), data)
}

// SaveTrust writes the trust in the PKI's cards to the folder dir, which it makes,
// and nothing else: the settings of TrustConfig and the certificates that they
// name. A provider takes it as it is.
func (p *PKI) SaveTrust(dir string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	c := p.trustConfig(dir)
	files := map[string]bool{}
	for _, a := range c.Roots {
		files[a.File] = true
	}
	for _, i := range c.Issuers {
		files[i.File] = true
	}
	for _, ca := range p.made() {
		if name := "ca-" + ca.Name + ".crt"; files[name] {
			if err := replace(filepath.Join(dir, name), ca.PEM()); err != nil {
				return err
			}
		}
	}
	return p.saveSettings(dir) // last: it names the others
}

func (p *PKI) saveSettings(dir string) error {
	settings, err := yaml.Marshal(p.trustConfig(dir))
	if err != nil {
		return err
	}
	return replace(filepath.Join(dir, card.BundleFile), settings)
}

// replace writes a file, unless it is there with this content already. It renames
// into place: Save over an older state must not break it, nor may a provider that
// watches the folder read half a file.
func replace(file string, data []byte) error {
	if was, err := os.ReadFile(file); err == nil && bytes.Equal(was, data) {
		return nil
	}
	half := file + ".new"
	if err := os.WriteFile(half, data, 0o600); err != nil {
		return err
	}
	return os.Rename(half, file)
}

// Load reads what Save wrote; new cards are valid around now. A folder without
// a PKI gives fs.ErrNotExist, and one of before ErrFormer.
func Load(dir string, now time.Time) (*PKI, error) {
	data, err := os.ReadFile(filepath.Join(dir, indexFile))
	if err != nil {
		return nil, err
	}
	var list index
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, indexFile), err)
	}
	if list.Format < format {
		return nil, fmt.Errorf("%w: %s", ErrFormer, dir)
	}
	if list.Format > format {
		return nil, fmt.Errorf("the test PKI in %s was made by a later version of Portti", dir)
	}

	p := &PKI{now: now.UTC().Truncate(time.Second), base: list.Base, cas: map[string]*CA{}, fates: map[string]fate{}}
	for _, a := range shape { // those above first
		if !slices.Contains(list.Authorities, a.name) {
			if !a.later {
				return nil, damaged(dir, fmt.Errorf("it has no authority %q", a.name))
			}
			continue
		}
		chain, key, err := get(dir, "ca-"+a.name)
		if err != nil {
			return nil, damaged(dir, err)
		}
		p.cas[a.name] = &CA{Name: a.name, Cert: chain[0], Key: key, Policy: a.policy, Kind: a.kind, parent: p.cas[a.above]}
	}
	p.name()
	for _, entry := range list.Cards {
		chain, key, err := get(dir, "card-"+entry.Name)
		if err != nil {
			return nil, damaged(dir, err)
		}
		p.cards = append(p.cards, &Card{Name: entry.Name, Person: entry.Person, Cert: chain[0], Key: key, Chain: chain[1:]})
	}
	for _, entry := range list.Cards {
		if entry.Signature != "" {
			p.find(entry.Name).Signature = p.find(entry.Signature)
		}
	}
	maps.Copy(p.fates, list.Fates)
	return p, nil
}

// damaged hides what kind of error it was: a missing key does not mean that
// there is no PKI, and that a new one may be put in its place.
func damaged(dir string, err error) error {
	return fmt.Errorf("the test PKI in %s is damaged: %v", dir, err)
}

// LoadOrNew loads the PKI of dir; when there is none yet it makes one and saves
// it there.
func LoadOrNew(dir string, now time.Time) (*PKI, error) { return LoadOrNewAt(dir, "", now) }

// LoadOrNewAt is LoadOrNew whose new PKI has its Server at base; see NewAt.
func LoadOrNewAt(dir, base string, now time.Time) (*PKI, error) {
	p, err := Load(dir, now)
	if !errors.Is(err, fs.ErrNotExist) {
		return p, err
	}
	if p, err = NewAt(base, now); err != nil {
		return nil, err
	}
	return p, p.Save(dir)
}

func put(dir, name string, certificates []byte, key crypto.Signer) error {
	secret, err := keyPEM(key)
	if err != nil {
		return err
	}
	if err := replace(filepath.Join(dir, name+".crt"), certificates); err != nil {
		return err
	}
	return replace(filepath.Join(dir, name+".key"), secret)
}

func get(dir, name string) ([]*x509.Certificate, crypto.Signer, error) {
	data, err := os.ReadFile(filepath.Join(dir, name+".crt"))
	if err != nil {
		return nil, nil, err
	}
	var chain []*x509.Certificate
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, nil, fmt.Errorf("%s.crt: %w", name, err)
		}
		chain = append(chain, cert)
	}
	if len(chain) == 0 {
		return nil, nil, fmt.Errorf("%s.crt holds no certificate", name)
	}
	if data, err = os.ReadFile(filepath.Join(dir, name+".key")); err != nil {
		return nil, nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, nil, fmt.Errorf("%s.key holds no key", name)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, nil, fmt.Errorf("%s.key: %w", name, err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, nil, fmt.Errorf("%s.key: a %T cannot sign", name, key)
	}
	return chain, signer, nil
}

func certificatePEM(certs ...*x509.Certificate) []byte {
	var out []byte
	for _, c := range certs {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return out
}

func keyPEM(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}
