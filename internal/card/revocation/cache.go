package revocation

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"time"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/ephemeral"
	"github.com/portti-id/portti/internal/fault"
)

const (
	// goodFor is how long a responder is believed without being asked again, at
	// most: for so long a card that was revoked may still come in.
	goodFor = 5 * time.Minute

	// cacheWithin bounds the wait for the store. Past it the responder is asked.
	cacheWithin = 250 * time.Millisecond
)

// remembered is an answer of a responder. Of the card it holds nothing.
type remembered struct {
	State card.State `json:"state"`
	Since time.Time  `json:"since,omitzero"`
	Until time.Time  `json:"until"` // it may be relied on before this moment
}

// cacheKey is one for every certificate, as OCSP sees it: issuer and number.
func cacheKey(cert, issuer *x509.Certificate) string {
	name, key := sha256.Sum256(issuer.RawSubject), sha256.Sum256(issuer.RawSubjectPublicKeyInfo)
	return ephemeral.Key("ocsp", string(name[:])+string(key[:])+string(cert.SerialNumber.Bytes()))
}

// recall is what a responder has said before. What cannot be read, or claims
// more than remember would have written, is not there.
func (c *Checker) recall(ctx context.Context, key string, now time.Time) (card.Status, bool) {
	ctx, cancel := context.WithTimeout(ctx, cacheWithin)
	defer cancel()
	value, err := c.Cache.Get(ctx, key)
	if err != nil {
		if !fault.Is(err, fault.NotFound) {
			c.counts.cacheFailed()
		}
		return card.Status{}, false
	}
	var r remembered
	if json.Unmarshal(value, &r) != nil || !now.Before(r.Until) {
		return card.Status{}, false
	}
	s := card.Status{State: r.State, Source: "ocsp", Since: r.Since}
	switch r.State {
	case card.NotRevoked:
		if r.Until.Sub(now) > goodFor+skew { // the replica that wrote it has another clock
			return card.Status{}, false
		}
	case card.WasRevoked, card.OnHold:
		s.Reason = "ocsp: the responder has said so"
	default:
		return card.Status{}, false
	}
	c.counts.wasRemembered()
	return s, true
}

// remember keeps an answer: a good one for some minutes, and no longer than the
// responder vouches for it; revoked for as long as the certificate would be
// valid, for that does not change; on hold, which does, like a good one.
func (c *Checker) remember(ctx context.Context, key string, s card.Status, until, expires, now time.Time) {
	end := expires
	if s.State != card.WasRevoked {
		end = now.Add(goodFor)
		if until.Before(end) {
			end = until
		}
	}
	if !end.After(now) {
		return
	}
	value, err := json.Marshal(remembered{State: s.State, Since: s.Since, Until: end})
	if err == nil {
		// Though the question's time may be up by now.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cacheWithin)
		defer cancel()
		err = c.Cache.Put(ctx, key, value, end.Sub(now))
	}
	if err != nil {
		c.counts.cacheFailed() // the answer stands without
	}
}
