package cardtest

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"
)

// list is a published list of revoked certificates.
type list struct {
	der     []byte
	number  int64
	at      time.Time
	until   time.Time
	content string // what it lists, to tell whether a new one is due
}

// list returns the list of ca that holds at the time now. A new one, with a higher
// number, is made when something has changed or half of the old one's life is over.
func (s *Server) list(ca *CA, now time.Time) (list, error) {
	entries, content := s.PKI.revoked(ca)
	s.mu.Lock()
	defer s.mu.Unlock()
	l, there := s.lists[ca.Name]
	life := s.crlFor()
	if there && l.content == content && !now.Before(l.at) && now.Before(l.at.Add(life/2)) && l.until.Equal(l.at.Add(life)) {
		return l, nil
	}
	// The clock keeps the number rising over restarts.
	l = list{number: max(l.number+1, now.Unix()), at: now, until: now.Add(life), content: content}
	var err error
	if l.der, err = signList(ca, &x509.RevocationList{
		Number: big.NewInt(l.number), ThisUpdate: l.at, NextUpdate: l.until, RevokedCertificateEntries: entries,
	}); err != nil {
		return list{}, err
	}
	s.lists[ca.Name] = l
	return l, nil
}

// List is the list of ca as of now, as it would be downloaded when nothing is
// broken.
func (s *Server) List(ca *CA) ([]byte, error) {
	l, err := s.list(ca, s.now())
	return l.der, err
}

// brokenList is the list with a fault in it.
func (s *Server) brokenList(ca *CA, f Fault, now time.Time) (list, error) {
	l, err := s.list(ca, now)
	if err != nil {
		return list{}, err
	}
	entries, _ := s.PKI.revoked(ca)
	t := &x509.RevocationList{Number: big.NewInt(l.number), ThisUpdate: l.at, NextUpdate: l.until, RevokedCertificateEntries: entries}
	signer := ca
	switch f {
	case Stale:
		t.ThisUpdate, t.NextUpdate = now.Add(-48*time.Hour), now.Add(-24*time.Hour)
	case Future:
		t.ThisUpdate, t.NextUpdate = now.Add(24*time.Hour), now.Add(48*time.Hour)
	case OlderNumber:
		t.Number = big.NewInt(1)
	case BadSignature:
		l.der = bytes.Clone(l.der)
		l.der[len(l.der)-1] ^= 1
		return l, nil
	case Truncated:
		l.der = l.der[:len(l.der)/2]
		return l, nil
	case OtherCA:
		signer = s.PKI.Stranger
	case Impostor:
		if signer, err = NewCA("impostor", "impostor", P256, nil, now, func(c *x509.Certificate) {
			c.RawSubject, c.SubjectKeyId = ca.Cert.RawSubject, ca.Cert.SubjectKeyId
		}); err != nil {
			return list{}, err
		}
	case Partial: // lists certificates of CAs alone, and says so (RFC 5280 §5.2.5)
		t.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 28}, Critical: true, Value: []byte{0x30, 3, 0x82, 1, 0xff}}}
	case Delta: // against the list of the number before (RFC 5280 §5.2.4)
		base, err := asn1.Marshal(l.number - 1)
		if err != nil {
			return list{}, err
		}
		t.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 27}, Critical: true, Value: base}}
	}
	l.at = t.ThisUpdate
	l.der, err = signList(signer, t)
	return l, err
}

func signList(by *CA, t *x509.RevocationList) ([]byte, error) {
	der, err := x509.CreateRevocationList(rand.Reader, t, by.Cert, by.Key)
	if err != nil {
		return nil, fmt.Errorf("list of %s: %w", by.Name, err)
	}
	return der, nil
}

// revoked are the entries of the list of ca, and a text that changes with them.
func (p *PKI) revoked(ca *CA) (entries []x509.RevocationListEntry, content string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, f := range p.fates {
		issuer, hex, _ := strings.Cut(key, "/")
		if issuer != ca.Name || f.Unknown {
			continue
		}
		serial, _ := new(big.Int).SetString(hex, 16) // fateOf wrote it
		entries = append(entries, x509.RevocationListEntry{SerialNumber: serial, RevocationTime: f.Since, ReasonCode: int(f.Reason)})
	}
	slices.SortFunc(entries, func(a, b x509.RevocationListEntry) int { return a.SerialNumber.Cmp(b.SerialNumber) })
	var text strings.Builder
	for _, e := range entries {
		fmt.Fprintln(&text, e.SerialNumber, e.ReasonCode, e.RevocationTime)
	}
	return entries, text.String()
}
