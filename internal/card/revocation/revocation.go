// Package revocation finds out whether a certificate was revoked (S24): it asks
// the CA's responder (OCSP, RFC 6960), and looks into the CA's list, which
// somebody else fetches ahead.
//
//	revocation.go  Checker: what responder and list say together
//	ask.go         which responder is asked, and how: one POST, short and bounded
//	request.go     the question: CertID and nonce
//	response.go    the form of an answer
//	judge.go       what an answer is worth: who signed it, about what, and when
//	responder.go   how a responder does: calls at a time, pauses after failures
//	cache.go       what was answered a moment ago, shared by the replicas
//	stats.go       Stats: counters for whoever watches
//
//	Status ─▶ list says revoked? ─▶ remembered? ─▶ responder ─▶ list says good?
//
// It fails closed. Whatever is late, odd, unsigned or about something else is no
// answer, and where nobody has answered, the state is Unavailable.
package revocation

import (
	"context"
	"crypto/x509"
	"log/slog"
	"math/big"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/ephemeral"
)

// Mode says who is asked, and what it means when nobody answers.
type Mode string

const (
	Require Mode = "require"  // the responder, then the list; nobody lets nobody in
	CRLOnly Mode = "crl_only" // the list alone: for networks without a responder
	Soft    Mode = "soft"     // as Require, but a card is let in when nobody answers; "unknown" is an answer
)

// Modes are all of them.
var Modes = []Mode{Require, CRLOnly, Soft}

// Lists answers from a CA's list of revoked certificates, without asking
// anybody: what it knows is in memory.
type Lists interface {
	// Status: State Unavailable when there is no fresh list of that CA. issuer is
	// the CA whose list it is, serial the certificate's number. A list that is not
	// fresh any more may still say WasRevoked, which does not change, but neither
	// NotRevoked nor OnHold.
	Status(issuer *x509.Certificate, serial *big.Int, now time.Time) card.Status
}

// CertificateLists are Lists that tell more about a certificate at hand: some
// lists are for those alone that name the list's address (RFC 5280 §6.3.3).
type CertificateLists interface {
	Lists
	StatusOf(cert, issuer *x509.Certificate, now time.Time) card.Status
}

// Checker implements card.Revocation. Trust and Cache are required.
type Checker struct {
	Trust func() *card.Trust // the CAs, and where to ask about what they issued
	Cache ephemeral.Store    // answers of responders, shared by the replicas
	Lists Lists              // nil: there are none; CertificateLists if they can
	Mode  Mode               // "": Require

	// RootCAs vouch for responders at https addresses. Nil: whom this machine
	// trusts. Answers are signed: this is about reaching the right one.
	RootCAs *x509.CertPool

	// Timeout bounds what is spent on asking about one certificate. 0: 3 s.
	Timeout time.Duration

	Log *slog.Logger // nil: slog.Default

	once       sync.Once
	configured *http.Client // for addresses that the operator wrote
	certified  *http.Client // for those that stand in certificates
	flights    singleflight.Group
	responders responders
	counts     counts
}

// Status implements card.Revocation.
func (c *Checker) Status(ctx context.Context, cert, issuer *x509.Certificate, now time.Time) card.Status {
	s := c.status(ctx, cert, issuer, now)
	waved := s.State == card.Unavailable && c.Mode == Soft
	if s.State == unknown { // nobody may take it for good (RFC 6960 §2.2), and it is not silence either
		s.State = card.Unavailable
	}
	c.counts.answered(s, waved)
	if waved {
		c.log().WarnContext(ctx, "certificate let in although nobody says that it is not revoked", "reason", s.Reason)
		return card.Status{State: card.NotRevoked}
	}
	return s
}

// status is unknown where a responder does not know the certificate and nobody else does.
func (c *Checker) status(ctx context.Context, cert, issuer *x509.Certificate, now time.Time) card.Status {
	// The list first, because it is in memory: a certificate that it holds is
	// refused whatever a responder says. Either source may be behind the other,
	// and a revoked card that comes in is worse than one that waits for a list.
	list := c.list(cert, issuer, now)
	if c.Mode == CRLOnly || list.State == card.WasRevoked {
		return list
	}
	answer := c.responder(ctx, cert, issuer, now)
	switch {
	case answer.State == card.WasRevoked:
		return answer
	case list.State == card.OnHold:
		return list
	case answer.State == card.NotRevoked, answer.State == card.OnHold:
		return answer
	case list.State == card.NotRevoked:
		c.log().WarnContext(ctx, "no answer from the responder; the list says good", "reason", answer.Reason)
		return list
	}
	answer.Reason += "; " + list.Reason
	return answer
}

func (c *Checker) list(cert, issuer *x509.Certificate, now time.Time) card.Status {
	var s card.Status
	switch lists := c.Lists.(type) {
	case nil:
		return unavailable("crl: there are no lists")
	case CertificateLists:
		s = lists.StatusOf(cert, issuer, now)
	default:
		s = lists.Status(issuer, cert.SerialNumber, now)
	}
	switch s.State {
	case card.NotRevoked, card.WasRevoked, card.OnHold:
		return s
	}
	if s.Reason == "" {
		s.Reason = "crl: no fresh list"
	}
	return unavailable(s.Reason)
}

func unavailable(why string) card.Status {
	return card.Status{State: card.Unavailable, Reason: why}
}

func (c *Checker) log() *slog.Logger {
	if c.Log != nil {
		return c.Log
	}
	return slog.Default()
}
