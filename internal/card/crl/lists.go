package crl

import (
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/portti-id/portti/internal/card"
)

// Lists is what is held of every CA. It may be used by many goroutines.
type Lists struct {
	// Trust says which CAs there are, and so which serial numbers are of CAs: a list
	// may leave those out.
	Trust func() *card.Trust

	mu   sync.RWMutex
	held map[Authority][]*List // one of a scope
}

// fromList names where a status comes from.
const fromList = "crl"

// Status is what issuer's list says of the certificate with that serial number.
// Unavailable: there is no list, or it is over, or it does not speak of all
// certificates of that kind. Only a number that a list holds as revoked stays so
// however old the list is; a hold may have been lifted.
func (l *Lists) Status(issuer *x509.Certificate, serial *big.Int, now time.Time) card.Status {
	return l.status(issuer, serial, l.ofCA(issuer, serial), nil, now)
}

// StatusOf is Status of a certificate that is at hand. It knows more: a list that
// is for one distribution point alone speaks of those certificates that name the
// point (RFC 5280 §6.3.3 (b)(2)).
func (l *Lists) StatusOf(cert, issuer *x509.Certificate, now time.Time) card.Status {
	return l.status(issuer, cert.SerialNumber, cert.IsCA, cert.CRLDistributionPoints, now)
}

func (l *Lists) status(issuer *x509.Certificate, serial *big.Int, isCA bool, points []string, now time.Time) card.Status {
	unavailable := func(why string) card.Status { return card.Status{State: card.Unavailable, Reason: why} }
	if serial == nil || serial.Sign() <= 0 || serial.BitLen() > 8*longestSerial {
		return unavailable("serial number out of range")
	}
	held := l.of(AuthorityOf(issuer))
	if len(held) == 0 {
		return unavailable("there is no list of the CA")
	}
	octets := serial.Bytes()
	var on card.Status
	for _, list := range held {
		flag, since, found := list.revoked.find(octets)
		switch {
		case found && flag == flagRevoked:
			return card.Status{State: card.WasRevoked, Source: fromList, Since: since, Reason: "it is on the CA's list"}
		case found && list.Fresh(now):
			on = card.Status{State: card.OnHold, Source: fromList, Since: since, Reason: "it is on hold on the CA's list"}
		case found:
			on = unavailable("it was on hold on the CA's list, which was good until " + list.NextUpdate.Format(time.RFC3339))
		}
	}
	if on.State != "" {
		return on
	}
	why := ""
	for _, list := range held {
		switch {
		case isCA && list.Scope == Users || !isCA && list.Scope == CAs:
			why = "the CA's list leaves out certificates of this kind"
		case len(list.Points) > 0 && !slices.ContainsFunc(list.Points, func(p string) bool { return slices.Contains(points, p) }):
			why = "the CA's list is for another distribution point"
		case !list.Fresh(now):
			why = fmt.Sprintf("the CA's list was good until %s", list.NextUpdate.Format(time.RFC3339))
		default:
			return card.Status{State: card.NotRevoked, Source: fromList}
		}
	}
	return unavailable(why)
}

// ofCA tells whether the certificate is that of a configured CA: all CAs of a
// path are.
func (l *Lists) ofCA(issuer *x509.Certificate, serial *big.Int) bool {
	return serial != nil && slices.ContainsFunc(l.Trust().Sources(), func(s card.Source) bool {
		return s.Parent.Equal(issuer) && s.CA.SerialNumber.Cmp(serial) == 0
	})
}

// Keep takes a list in the place of the one with a lower number. ErrOlder and
// ErrNumberReused: it was not taken. The very list that is held is no error.
func (l *Lists) Keep(list *List) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	// A copy, for those who are reading.
	held := slices.Clone(l.held[list.CA])
	i := slices.IndexFunc(held, func(h *List) bool { return h.Scope == list.Scope })
	if i < 0 {
		held = append(held, list)
	} else if err := list.follows(held[i].Number, held[i].Digest); errors.Is(err, errSame) {
		return nil
	} else if err != nil {
		return err
	} else {
		held[i] = list
	}
	if l.held == nil {
		l.held = map[Authority][]*List{}
	}
	l.held[list.CA] = held
	return nil
}

// Retain forgets the lists of CAs that are trusted no longer.
func (l *Lists) Retain(trust *card.Trust) {
	known := map[Authority]bool{}
	for _, s := range trust.Sources() {
		known[AuthorityOf(s.CA)] = true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for ca := range l.held {
		if !known[ca] {
			delete(l.held, ca)
		}
	}
}

// All are the lists held, by the CA's name.
func (l *Lists) All() []*List {
	l.mu.RLock()
	defer l.mu.RUnlock()
	var all []*List
	for _, held := range l.held {
		all = append(all, held...)
	}
	slices.SortFunc(all, func(a, b *List) int {
		return strings.Compare(a.Name+"\x00"+string(a.CA)+string(a.Scope), b.Name+"\x00"+string(b.CA)+string(b.Scope))
	})
	return all
}

func (l *Lists) of(ca Authority) []*List {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.held[ca]
}

// one is the list of a CA and scope, or nil.
func (l *Lists) one(ca Authority, scope Scope) *List {
	for _, list := range l.of(ca) {
		if list.Scope == scope {
			return list
		}
	}
	return nil
}
