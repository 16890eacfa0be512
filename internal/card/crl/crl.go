// Package crl keeps the lists of revoked certificates that CAs publish (RFC 5280
// §5), so that it can be told of every card, at once and with no network, whether
// it was revoked.
//
//	crl.go      List, Scope, Number, and why a list is refused
//	read.go     Read: one list, as it comes, in one pass
//	der.go      the DER of it, an element at a time; PEM
//	verify.go   its signature
//	index.go    what is kept of its entries: sorted serial numbers
//	lists.go    Lists: what is held of every CA, and the answers
//	shelf.go    Shelf: the lists as published, shared by all replicas
//	loader.go   Loader: from the shelf into Lists
//	fetch.go    Fetcher: from the CAs' servers onto the shelf
//
//	CA's server ──Fetcher──▶ Shelf (SQL) ──Loader──▶ Lists ◀── card/revocation
//	         file ──import──▶
//
// Whatever is read is verified as if a stranger had sent it, whether it comes
// from a server, a file or our own database: the signature of the CA is what
// counts. Which CAs there are, and where their lists are, is for package card.
package crl

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"math/big"
	"strings"
	"time"
)

// MaxSize is how long a list may be, in octets of DER. The largest known of a
// Finnish CA has 45 MB and a million entries.
const MaxSize = 128 << 20

// skew is how far a CA's clock may be ahead of ours.
const skew = time.Minute

// Why a list is refused. Every error of Read but those of its reader wraps one.
var (
	ErrMalformed    = errors.New("the list cannot be read")
	ErrTooLarge     = errors.New("the list is too large")
	ErrOtherCA      = errors.New("the list is not of this CA")
	ErrNotASigner   = errors.New("the CA may not sign lists")
	ErrSignature    = errors.New("the list's signature is wrong")
	ErrWeak         = errors.New("the list's signature algorithm is weak or unknown")
	ErrFuture       = errors.New("the list is from the future")
	ErrNoNextUpdate = errors.New("the list does not say until when it is good")
	ErrNoNumber     = errors.New("the list has no number")
	ErrDelta        = errors.New("the list holds changes alone (delta CRL)")
	ErrIndirect     = errors.New("the list may speak of certificates of other CAs (indirect CRL)")
	ErrScope        = errors.New("the list leaves out certificates or reasons that we ask about")
	ErrExtension    = errors.New("the list has a critical extension that is not understood")
	ErrOlder        = errors.New("the list is older than the one we have")
	ErrNumberReused = errors.New("the list has the number of the one we have, and other content")
)

// Authority names a CA: SHA-256 over its name and its key, lower-case hex. A CA
// that is certified again keeps its lists; one with a new key is another one.
type Authority string

// AuthorityOf names the CA of a certificate.
func AuthorityOf(ca *x509.Certificate) Authority {
	h := sha256.New()
	h.Write(ca.RawSubject)
	h.Write(ca.RawSubjectPublicKeyInfo)
	return Authority(hex.EncodeToString(h.Sum(nil)))
}

// Scope is which certificates of its CA a list speaks of. Numbers count within a
// scope (RFC 5280 §5.2.3).
type Scope string

const (
	All   Scope = "all"
	Users Scope = "users" // onlyContainsUserCerts
	CAs   Scope = "cas"   // onlyContainsCACerts
)

// Number is a CRLNumber (RFC 5280 §5.2.3) of up to 20 octets, as 40 digits of hex,
// so that the order of texts is the order of numbers. "" is before all of them.
type Number string

// String is the number in decimal.
func (n Number) String() string {
	i, ok := new(big.Int).SetString(string(n), 16)
	if !ok {
		return ""
	}
	return i.String()
}

func numberOf(octets []byte) (Number, bool) {
	if len(octets) == 0 || octets[0]&0x80 != 0 {
		return "", false
	}
	if octets[0] == 0 {
		octets = octets[1:]
	}
	if len(octets) > 20 {
		return "", false
	}
	text := hex.EncodeToString(octets)
	return Number(strings.Repeat("0", 40-len(text)) + text), true
}

// List is a list that was verified: of its million entries their numbers alone.
type List struct {
	CA         Authority
	Name       string // the CA's common name
	Scope      Scope
	Points     []string // the addresses it is for, when it is for one distribution point alone
	Number     Number
	ThisUpdate time.Time // UTC
	NextUpdate time.Time // UTC; it is good until then and no longer
	Entries    int       // as published
	Size       int64     // octets of DER
	Digest     string    // SHA-256 of the DER, lower-case hex

	revoked index
}

// Fresh tells whether what is not on the list is not revoked.
func (l *List) Fresh(now time.Time) bool {
	return !now.After(l.NextUpdate) && !l.ThisUpdate.After(now.Add(skew))
}

// follows tells whether l may take the place of held: its number must be higher
// (RFC 5280 §5.2.3). nil when it may, errSame when it is the very list.
func (l *List) follows(number Number, digest string) error {
	switch {
	case l.Number > number:
		return nil
	case l.Number < number:
		return ErrOlder
	case l.Digest != digest:
		return ErrNumberReused
	}
	return errSame
}

var errSame = errors.New("the list is the one we have")
