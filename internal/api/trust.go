package api

import (
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/card/crl"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/pkg/portti"
)

// trustOperations are on the CAs whose cards are accepted.
func (a *API) trustOperations() []operation {
	return []operation{
		managed(a, "GET /api/v1/trust", identity.TrustSee, "Whose cards are accepted, and how fresh the lists of revoked certificates are", a.trust),
		managed(a, "GET /api/v1/trust/strangers", identity.TrustSee, "CAs that are not accepted and whose cards were shown", a.strangers),
		managed(a, "POST /api/v1/trust/strangers/{stranger}/forget", identity.TrustChange, "Delete such a CA from the list", a.forgetStranger),
	}
}

// CardTrust is whose cards are accepted, and what is known of it.
type CardTrust struct {
	Trust     func() *card.Trust                               // nil: nobody signs in with a card
	State     func() card.BundleState                          // nil: it is not a folder
	Lists     func(ctx context.Context) ([]crl.Shelved, error) // of revoked certificates
	Strangers Strangers
}

// Strangers are CAs that were met and are not configured: store.Store.
type Strangers interface {
	Strangers(ctx context.Context) ([]card.Stranger, error)
	ForgetStranger(ctx context.Context, id string, e audit.Event) error
}

func (a *API) trust(r *http.Request, _ identity.Actor, _ nothing) (answer[portti.Trust], error) {
	t := portti.Trust{Authorities: []portti.Authority{}}
	if a.CardTrust.Trust == nil {
		return answer[portti.Trust]{Body: t}, nil
	}
	lists, err := a.CardTrust.Lists(r.Context())
	if err != nil {
		return answer[portti.Trust]{}, err
	}
	now, trust := a.Now(), a.CardTrust.Trust()
	t.Cards = true
	for _, w := range trust.Warnings(now) {
		t.Warnings = append(t.Warnings, portti.TrustWarning{Concern: string(w.Concern), Authority: w.CA, Until: w.Until, Days: w.Days, Policy: w.Policy, By: w.By, Only: w.Only, Text: w.String()})
	}
	if a.CardTrust.State != nil {
		s := a.CardTrust.State()
		t.Loaded, t.Fingerprint, t.Since = s.Loaded, s.Fingerprint, s.Since
		for _, d := range card.Defects(s.Problem) {
			t.Defects = append(t.Defects, portti.TrustDefect{Fault: string(d.Fault), File: d.File, Date: d.Date, Text: d.Text})
		}
	}
	for _, s := range trust.Sources() {
		own := func(l crl.Shelved) bool { return l.CA == crl.AuthorityOf(s.CA) }
		t.Authorities = append(t.Authorities, authority(s, viewLists(lists, own, now)))
		lists = slices.DeleteFunc(lists, own)
	}
	t.Strays = viewLists(lists, func(crl.Shelved) bool { return true }, now)
	return answer[portti.Trust]{Body: t}, nil
}

func authority(s card.Source, lists []portti.Revocation) portti.Authority {
	sum := sha256.Sum256(s.CA.Raw)
	v := portti.Authority{Name: card.AuthorityName(s.CA), Kind: string(s.Kind), Refused: s.Kind == card.CitizenCard, NotBefore: s.CA.NotBefore.UTC(), NotAfter: s.CA.NotAfter.UTC(),
		SHA256: hex.EncodeToString(sum[:]), OCSP: s.OCSP, CRL: s.CRL, Lists: lists}
	if s.Kind == "" {
		v.Kind = "root"
	}
	switch k := s.CA.PublicKey.(type) {
	case *rsa.PublicKey:
		v.Key = fmt.Sprintf("RSA %d", k.N.BitLen())
	case *ecdsa.PublicKey:
		v.Key = k.Params().Name
	}
	return v
}

func viewLists(all []crl.Shelved, which func(crl.Shelved) bool, now time.Time) (lists []portti.Revocation) {
	for _, l := range all {
		if which(l) {
			lists = append(lists, portti.Revocation{CA: l.Name, Scope: string(l.Scope), Number: l.Number.String(), ThisUpdate: l.ThisUpdate, NextUpdate: l.NextUpdate, Checked: l.Checked,
				Entries: l.Entries, Stale: now.After(l.NextUpdate)})
		}
	}
	return lists
}

func (a *API) strangers(r *http.Request, _ identity.Actor, _ nothing) (answer[portti.UnknownIssuers], error) {
	all, err := a.CardTrust.Strangers.Strangers(r.Context())
	list := portti.UnknownIssuers{Issuers: make([]portti.UnknownIssuer, len(all))}
	for i, s := range all {
		list.Issuers[i] = portti.UnknownIssuer{ID: s.ID, Issuer: s.Issuer, KeyID: s.KeyID, Root: s.Root, Seen: s.Seen, First: s.First, Last: s.Last, SHA256: s.SHA256, Certificate: s.Certificate}
	}
	return answer[portti.UnknownIssuers]{Body: list}, err
}

func (a *API) forgetStranger(r *http.Request, by identity.Actor, _ nothing) (answer[nothing], error) {
	all, err := a.CardTrust.Strangers.Strangers(r.Context())
	if err != nil {
		return answer[nothing]{}, err
	}
	e := a.did(by, audit.CardIssuerForgotten)
	id := r.PathValue("stranger")
	if i := slices.IndexFunc(all, func(s card.Stranger) bool { return s.ID == id }); i >= 0 {
		e.Details = map[string]string{"issuer": all[i].Issuer}
	}
	return answer[nothing]{}, a.CardTrust.Strangers.ForgetStranger(r.Context(), id, e)
}
