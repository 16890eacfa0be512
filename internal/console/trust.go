package console

import (
	"net/http"
	"slices"
	"time"

	"github.com/portti-id/portti/internal/web"
	"github.com/portti-id/portti/pkg/portti"
)

const (
	trustPath = "/trust"
	endsSoon  = 90 * 24 * time.Hour // a CA's end
)

type trustPage struct {
	web.Page
	Trust       portti.Trust
	Defects     []defectRow
	Warnings    []warningRow
	Authorities []authorityRow
	Strangers   []portti.UnknownIssuer
	May         bool // forget
}

type authorityRow struct {
	portti.Authority
	Ended, EndsSoon bool
}

// defectRow has a text of ours where Known; that of the provider, in English, says it
// with the setting that is meant.
type defectRow struct {
	portti.TrustDefect
	Known bool
}

// warningRow has a text of ours where Known, and one of what several CAs have in
// common; what a newer provider warns of is in English.
type warningRow struct {
	portti.TrustWarning
	Known bool
}

// trust tells whose cards are accepted, and whose were shown and are not.
func (p *Pages) trust(w http.ResponseWriter, r *http.Request, v *visit) error {
	return p.showTrust(w, r, v, nil)
}

func (p *Pages) showTrust(w http.ResponseWriter, r *http.Request, v *visit, wrong error) error {
	trust, err := p.api.Trust(r.Context(), v.token)
	if err != nil {
		return refused(err)
	}
	met, err := p.api.UnknownIssuers(r.Context(), v.token)
	if err != nil {
		return refused(err)
	}
	page := &trustPage{Trust: trust, Strangers: met.Issuers, May: v.may("trust.change")}
	for _, d := range trust.Defects {
		page.Defects = append(page.Defects, defectRow{d, p.site.Texts().Has("con.trust.defect." + d.Fault)})
	}
	for _, w := range trust.Warnings {
		row := warningRow{w, p.site.Texts().Has("con.trust.warning." + w.Concern)}
		alone := portti.TrustWarning{Concern: w.Concern, Authority: w.Authority, Text: w.Text} // it tells nothing but the name
		i := slices.IndexFunc(page.Warnings, func(r warningRow) bool { return r.Known && r.Concern == w.Concern && w == alone })
		if i < 0 {
			page.Warnings = append(page.Warnings, row)
			continue
		}
		page.Warnings[i].Authority += ", " + w.Authority
	}
	for _, a := range trust.Authorities {
		left := a.NotAfter.Sub(p.now())
		page.Authorities = append(page.Authorities, authorityRow{a, left <= 0, left > 0 && left < endsSoon})
	}
	if wrong != nil {
		return p.again(w, r, "trust", &page.Page, page, wrong)
	}
	tellDone(r, &page.Page, "trust", "forgotten")
	return p.show(w, r, http.StatusOK, "trust", page)
}

// forgetIssuer deletes a CA from the list of those that were met. It comes back
// with its next card, so nothing is lost.
func (p *Pages) forgetIssuer(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := p.api.ForgetIssuer(r.Context(), v.token, r.PostFormValue("issuer")); err != nil {
		return p.showTrust(w, r, v, refused(err))
	}
	return see(w, r, trustPath+"?done=forgotten")
}
