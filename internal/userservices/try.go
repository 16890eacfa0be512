package userservices

import (
	"net/http"
	"strconv"

	"github.com/portti-id/portti/internal/app"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/web"
)

type tryPage struct {
	web.Page
	Account, Result string
	Minutes         int
	Clock           string // right, fast or slow; "" to say nothing of it
	Seconds         int    // for fast and slow
	Service         string
}

func (p *Pages) tryPage(v *visit) *tryPage {
	return &tryPage{Page: web.Page{Client: v.service()}, Account: p.config.Account, Service: p.resume(v)}
}

// try is the trial of the authenticator (S67).
func (p *Pages) try(w http.ResponseWriter, r *http.Request, v *visit) error {
	if v.me.App == nil {
		return app.See(w, r, homePath)
	}
	return p.show(w, r, http.StatusOK, "try", p.tryPage(v))
}

// clock says how a device's clock goes that is so many seconds fast (S46, S47). A code
// tells half a minute, and no more.
func clock(fast int) (string, int) {
	switch {
	case fast >= 20:
		return "fast", (fast + 5) / 10 * 10
	case fast <= -20:
		return "slow", (5 - fast) / 10 * 10
	}
	return "right", 0
}

// results are refusals that the trial is there to show.
var results = map[string]string{"otp_wrong": "old", "otp_used": "used", "otp_clock_fast": "fast", "otp_clock_slow": "slow"}

// tryCode spends a code, as a sign-in would.
func (p *Pages) tryCode(w http.ResponseWriter, r *http.Request, v *visit) error {
	if v.me.App == nil {
		return app.See(w, r, homePath)
	}
	page, code := p.tryPage(v), typedCode(r)
	if code == "" {
		return p.again(w, r, "try", &page.Page, page, errNoCode)
	}
	err := p.api.TryCode(r.Context(), v.token, code)
	if err == nil {
		page.Result = "ok"
		if me, err := p.api.Me(r.Context(), v.token); err == nil && me.App != nil { // what this code has taught; without it the trial is as good
			page.Clock, page.Seconds = clock(me.App.Fast)
		}
		return p.show(w, r, http.StatusOK, "try", page)
	}
	err = app.Refused(err)
	f, ok := fault.Of(err)
	if !ok || results[f.Code] == "" {
		return p.again(w, r, "try", &page.Page, page, err)
	}
	page.Result = results[f.Code]
	page.Minutes, _ = strconv.Atoi(f.Args["n"]) // only fast and slow have it
	return p.show(w, r, web.Status(f), "try", page)
}
