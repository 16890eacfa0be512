package signin

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/login"
	"github.com/portti-id/portti/internal/session"
	"github.com/portti-id/portti/internal/web"
)

// cardPage says that only the card will do, and how to use it (S3, S31).
type cardPage struct {
	servicePage
	CardStart, Restart, Cancel, Order string
	Reason                            string // account, stepup or linked; see signin/card.html
}

func (p *Pages) showCard(w http.ResponseWriter, r *http.Request, in *waiting, f login.Flow, status int, wrong []*fault.Fault) error {
	page := &cardPage{servicePage: in.page(), CardStart: in.path("card"), Restart: in.path("over"), Cancel: in.path("cancel"), Order: in.path("order"), Reason: "account"}
	if in.CardOnly && in.session != nil && in.session.Level == session.Full {
		page.Restart = "" // a step-up: no other method is enough
	}
	switch {
	case f.Notice == "linked":
		page.Reason = "linked"
	case in.CardOnly:
		page.Reason = "stepup"
	}
	page.Wrong(wrong...)
	return p.render(w, r, in, status, "signin/card", page)
}

// cardStart begins an attempt and sends the browser to the card host.
func (p *Pages) cardStart(w http.ResponseWriter, r *http.Request, in *waiting) error {
	to, err := p.Login.BeginCard(r.Context(), in.demand, card.Strict)
	if err == nil {
		return see(w, to)
	}
	return p.answer(w, r, in, login.Flow{}, err)
}

// cardReturn is where the card host sends the browser: with the code of a
// result, which is spent and leaves the address at once. A refused card comes
// back here with the reason, so that reloading and the language links keep it.
func (p *Pages) cardReturn(w http.ResponseWriter, r *http.Request, in *waiting) error {
	q := r.URL.Query()
	switch {
	case q.Get("code") != "":
		return p.cardResult(w, r, in, q.Get("code"))
	case q.Get("refused") != "":
		return p.cardRefused(w, r, in, q.Get("refused"), q.Get("tail"))
	}
	return see(w, in.path())
}

func (p *Pages) cardResult(w http.ResponseWriter, r *http.Request, in *waiting, code string) error {
	f, holder, err := p.Login.Card(r.Context(), in.demand, code)
	if err == nil {
		return see(w, in.path())
	}
	if f.Step != login.AskPassword && f.Step != login.UseCard {
		return p.answer(w, r, in, f, movedOn(err)) // a reload, or a result that came twice
	}
	verdict, ok := p.verdict(fault.Code(err))
	if !ok {
		return err
	}
	return see(w, in.path("card")+"?"+url.Values{"refused": {verdict}, "tail": {holder.Tail()}}.Encode())
}

// movedOn is nil for a fault: the page of the step says more than a spent code.
func movedOn(err error) error {
	if _, ok := fault.Of(err); ok && !fault.Is(err, fault.Unavailable) {
		return nil
	}
	return err
}

// verdict is the catalogue's name for a refusal: a card.Verdict behind "card_", or
// the fault's own code.
func (p *Pages) verdict(code string) (string, bool) {
	for _, name := range []string{code, strings.TrimPrefix(code, "card_")} {
		if refusal.MatchString(name) && name != string(card.Good) && p.Site.Texts().Has("verdict."+name+".title") {
			return name, true
		}
	}
	return "", false
}

var (
	refusal = regexp.MustCompile(`^[a-z_]{1,60}$`)
	tail    = regexp.MustCompile(`^[0-9a-f]{0,4}$`)
)

// cardFailedPage says what happened, what to do and who can help (S71).
type cardFailedPage struct {
	servicePage
	Verdict                   string
	Tail                      string // of the card that was read (S33)
	CardStart, Restart, Order string
}

func (p *Pages) cardRefused(w http.ResponseWriter, r *http.Request, in *waiting, why, last string) error {
	verdict, ok := p.verdict(why)
	if !ok || !tail.MatchString(last) {
		return see(w, in.path())
	}
	page := &cardFailedPage{servicePage: in.page(), Verdict: verdict, Tail: last, CardStart: in.path("card"), Restart: in.path("over"), Order: in.path("order")}
	page.Here = in.path("card")
	status := http.StatusForbidden
	if verdict == string(card.RevocationUnavailable) {
		status = http.StatusServiceUnavailable
	}
	// The page's reference is what a person reads out to the help desk.
	p.log().InfoContext(r.Context(), "card refused", "verdict", verdict, "client", in.Client.ID, "reference", web.Reference(r))
	return p.render(w, r, in, status, "signin/card_failed", page)
}
