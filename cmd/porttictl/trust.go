package main

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/server/settings"
)

// authorityView is a CA of a trust bundle as printed.
type authorityView struct {
	Name      string    `json:"name"`
	Kind      card.Kind `json:"kind"` // of its cards, or "root"
	Refused   bool      `json:"refused,omitempty"`
	Policies  []string  `json:"policies,omitempty"`
	File      string    `json:"file"`
	NotBefore time.Time `json:"not_before,omitzero"`
	NotAfter  time.Time `json:"not_after,omitzero"`
	SHA256    string    `json:"sha256,omitempty"` // of the certificate (DER): compare it with what the CA publishes
	Key       string    `json:"key,omitempty"`
	OCSP      []string  `json:"ocsp,omitempty"`
	CRL       []string  `json:"crl,omitempty"`
	Note      string    `json:"note,omitempty"`

	spki string // SHA-256 of the public key
}

// bundleView is a bundle as printed.
type bundleView struct {
	Folder          string          `json:"folder"`
	Fingerprint     string          `json:"fingerprint"`
	Authorities     []authorityView `json:"authorities"`
	RevocationHosts []string        `json:"revocation_hosts,omitempty"`
}

const kindRoot card.Kind = "root"

func viewBundle(folder string, s card.Survey) bundleView {
	v := bundleView{Folder: folder, Fingerprint: s.Fingerprint, RevocationHosts: s.Config.RevocationHosts}
	for _, r := range s.Config.Roots {
		v.Authorities = append(v.Authorities, viewAuthority(r, kindRoot, nil, s.Certificates[r.File]))
	}
	for _, i := range s.Config.Issuers {
		v.Authorities = append(v.Authorities, viewAuthority(i.Authority, i.Kind, i.Policies, s.Certificates[i.File]))
	}
	return v
}

func viewAuthority(a card.Authority, kind card.Kind, policies []string, cert *x509.Certificate) authorityView {
	v := authorityView{Name: a.Name, Kind: kind, Refused: kind == card.CitizenCard, Policies: policies, File: a.File, OCSP: a.OCSP, CRL: a.CRL}
	if cert == nil {
		v.Note = "its certificate cannot be read"
		return v
	}
	if v.Name == "" {
		v.Name = card.AuthorityName(cert)
	}
	sum, spki := sha256.Sum256(cert.Raw), sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	v.NotBefore, v.NotAfter, v.SHA256, v.spki, v.Key = cert.NotBefore.UTC(), cert.NotAfter.UTC(), hex.EncodeToString(sum[:]), hex.EncodeToString(spki[:]), keyName(cert.PublicKey)
	return v
}

func keyName(key any) string {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", k.N.BitLen())
	case *ecdsa.PublicKey:
		return k.Params().Name
	}
	return fmt.Sprintf("%T", key)
}

// installedBundle is the folder that the settings name, and whether its test CAs
// are accepted.
func (t *tool) installedBundle() (folder string, testCAs bool, err error) {
	s, err := settings.Load(t.config)
	if err != nil {
		return "", false, err
	}
	if s.Card == nil {
		return "", false, errors.New("setting card: there is no such section, so no card is trusted; give a folder")
	}
	return string(s.Card.Trust.Folder), s.Card.Trust.AcceptTestCAs, nil
}

// readCertificates reads a PEM file: the card's certificate, and what may come with it.
func readCertificates(file string) ([]*x509.Certificate, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var certs []*x509.Certificate
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("%s: it holds a %s; only certificates are wanted", file, block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: a certificate that cannot be read: %w", file, err)
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, fmt.Errorf("%s: there is no certificate in it (PEM)", file)
	}
	return certs, nil
}
