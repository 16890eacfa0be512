package card

import (
	"context"
	"crypto/x509"
	"log/slog"
	"time"
)

// Revocation answers whether a certificate was revoked (S24). Package
// card/revocation implements it.
type Revocation interface {
	// Status asks about cert, which the configured CA issuer has signed, at the
	// time now. It never takes longer than a person waits, and whatever it cannot
	// find out is Unavailable.
	Status(ctx context.Context, cert, issuer *x509.Certificate, now time.Time) Status
}

// State is what is known of a certificate.
type State string

const (
	NotRevoked  State = "good"
	WasRevoked  State = "revoked"
	OnHold      State = "on_hold"     // certificateHold (RFC 5280 §5.3.1): may be lifted
	Untrusted   State = "untrusted"   // of a linked card alone: its CA is not configured any more (S30)
	Unavailable State = "unavailable" // nobody who may say it has said it
)

// Status is an answer of Revocation.
type Status struct {
	State  State
	Source string    // who said it: "ocsp", "crl", or "" when nobody has
	Since  time.Time // when it was revoked or suspended; zero otherwise
	Reason string    // for the operator's log, unless State is NotRevoked: no text of the certificate's or of a server
}

// Checker is the whole check of a card: its path, and then whether its
// certificate or that of its issuing CA was revoked.
type Checker struct {
	// Trust is whose cards are accepted now.
	Trust func() *Trust

	// Revocation is asked for every card whose path is good. Nil: nobody can say
	// that a card is not revoked, and all are refused.
	Revocation Revocation

	// Waived lets cards in although nobody has asked whether they were revoked.
	// What is given up: a lost, stolen or withdrawn card keeps working until its
	// certificate expires or its link is removed.
	Waived bool

	// Strangers hears of issuers that are not configured. Nil: nobody does.
	Strangers Strangers

	Log *slog.Logger // nil: slog.Default()
}

// Check judges the certificates that a client sent. Only Good lets anybody in.
func (c *Checker) Check(ctx context.Context, certs []*x509.Certificate, now time.Time) Report {
	trust := c.Trust()
	r := trust.Check(certs, now)
	if r.Verdict == UntrustedIssuer {
		c.met(ctx, trust, certs, now)
	}
	if r.Verdict != Good || c.Waived {
		return r
	}
	if c.Revocation == nil {
		return refused(r, RevocationUnavailable, "no revocation source is configured")
	}
	// From the top: what a CA says about those below it is worth nothing once it
	// was revoked itself. A root stands for itself: it is pinned.
	r.Vouched = true
	for i := len(r.Path) - 2; i >= 0; i-- {
		s := c.Revocation.Status(ctx, r.Path[i], r.Path[i+1], now)
		why := s.Reason
		if i > 0 {
			why = "the card's CA: " + why
		}
		switch {
		case s.State == NotRevoked:
			r.Vouched = r.Vouched && s.Source != ""
		case s.State == OnHold: // which may be lifted, of a CA too: Revoked is noted of linked cards for good
			return refused(r, Suspended, why)
		case s.State == WasRevoked:
			return refused(r, Revoked, why)
		default:
			return refused(r, RevocationUnavailable, why)
		}
	}
	return r
}

func refused(r Report, v Verdict, why string) Report {
	r.Verdict, r.Failed, r.Reason, r.Vouched = v, CheckRevocation, why, false
	return r
}

// StrongKey and StrongSignature are what is asked of a CA and of all that it
// signs: cards, answers of its responder, its lists.
func StrongKey(key any) bool { return strongKey(key) }

func StrongSignature(a x509.SignatureAlgorithm) bool { return strongSignature(a) }
