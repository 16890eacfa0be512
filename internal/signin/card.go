package signin

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/login"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/session"
	"github.com/portti-id/portti/internal/trace"
	"github.com/portti-id/portti/internal/web"
)

// cardForm is what pages have that send the browser to the card host.
type cardForm struct {
	CardStart  string
	CardState  string   // for the script that asks how it goes
	CardFailed string   // for the person who says that it did not work
	Trouble    *Trouble // nil when there is nothing to tell of an attempt
}

// Trouble is what became of an attempt whose person has come back, from an error
// page of the browser or by a change of mind (S35).
type Trouble struct {
	Verdict string
	Tail    string
	Silent  bool   // see login.CardState
	OldTLS  bool   // TLS 1.2 may help, and is offered
	Outcome string // the page that says it at length
}

// cardForm also looks for what became of the flow's last attempt, unless the page
// has something else to say.
func (p *Pages) cardForm(ctx context.Context, in *waiting, f login.Flow, wrong []*fault.Fault) (cardForm, error) {
	c := in.cardForm()
	if len(wrong) > 0 {
		return c, nil
	}
	s, err := p.Login.LastCard(ctx, f)
	if err != nil {
		return cardForm{}, err
	}
	if verdict, ok := p.verdict(s.Code); ok && s.Phase == login.Decided {
		c.Trouble = &Trouble{Verdict: verdict, Tail: s.Tail, Silent: s.Silent && verdict != string(card.NeverReached), OldTLS: p.oldTLS(verdict), Outcome: in.outcome(verdict, s.Tail)}
	}
	return c, nil
}

func (in *waiting) cardForm() cardForm {
	return cardForm{CardStart: in.path("card"), CardState: in.path("card", "state"), CardFailed: in.path("card", "failed")}
}

// outcome is the address of the page of a card that did not sign in.
func (in *waiting) outcome(verdict, tail string) string {
	return in.path("card") + "?" + url.Values{"refused": {verdict}, "tail": {tail}}.Encode()
}

// oldTLS tells whether another try with TLS 1.2 makes sense.
func (p *Pages) oldTLS(verdict string) bool {
	return verdict == string(card.HandshakeBroken) && p.Login.Offers(card.OldTLS)
}

// cardPage says that only the card will do, and how to use it (S3, S31).
type cardPage struct {
	servicePage
	cardForm
	Restart, Cancel, Order string
	Reason                 string // account, stepup or linked; see signin/card.html
}

func (p *Pages) showCard(w http.ResponseWriter, r *http.Request, in *waiting, f login.Flow, status int, wrong []*fault.Fault) error {
	form, err := p.cardForm(r.Context(), in, f, wrong)
	if err != nil {
		return err
	}
	page := &cardPage{servicePage: in.page(), cardForm: form, Restart: in.path("over"), Cancel: in.path("cancel"), Order: in.path("order"), Reason: "account"}
	if in.CardOnly && in.session != nil && in.session.Level == session.Full {
		page.Restart = "" // a step-up: no other method is enough
	}
	switch {
	case f.Notice == "linked":
		page.Reason = "linked"
	case in.CardOnly:
		page.Reason = "stepup"
	}
	page.Failed = page.Trouble != nil
	page.Reasons = p.why(r.Context(), f)
	page.Wrong(wrong...)
	return p.render(w, r, in, status, "signin/card", page)
}

// cardStart begins an attempt, in the mode that the form asks for, and sends the
// browser to the card host.
func (p *Pages) cardStart(w http.ResponseWriter, r *http.Request, in *waiting) error {
	to, err := p.Login.BeginCard(r.Context(), in.demand, card.Mode(r.PostFormValue("mode")))
	if err == nil {
		p.askAgain(w)
		return see(w, to)
	}
	return p.answer(w, r, in, login.Flow{}, err)
}

// askAgain has the browser ask us for the page again when the person comes back
// to it. Chromium keeps pages as they were, also those that may not be stored,
// and gives them back unless a cookie of the site has changed meanwhile.
func (p *Pages) askAgain(w http.ResponseWriter) {
	p.Site.SetCookie(w, attemptCookie, rand.Text()[:8], 0)
}

// cardReturn is where the card host sends the browser: with the code of a
// result, which is spent and leaves the address at once. A refused card comes
// back here with the reason, so that reloading and the language links keep it.
func (p *Pages) cardReturn(w http.ResponseWriter, r *http.Request, in *waiting) error {
	q := r.URL.Query()
	switch {
	case q.Get("code") != "" && r.Method == http.MethodGet: // HEAD spends nothing
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
	return see(w, in.outcome(verdict, holder.Tail()))
}

// cardFailed takes the person's word that the card did not work.
func (p *Pages) cardFailed(w http.ResponseWriter, r *http.Request, in *waiting) error {
	s, err := p.Login.CardFailed(r.Context(), in.demand)
	if _, ok := fault.Of(err); ok {
		return p.answer(w, r, in, login.Flow{}, err)
	}
	if err != nil {
		return err
	}
	if verdict, ok := p.verdict(s.Code); ok {
		return see(w, in.outcome(verdict, s.Tail))
	}
	return see(w, in.path())
}

// cardState is what the script of an open page asks for every second and a half.
type cardState struct {
	State   login.Phase `json:"state"`
	Verdict string      `json:"verdict,omitempty"` // of the catalogue
	To      string      `json:"to,omitempty"`      // the page of the outcome
	Result  bool        `json:"result,omitempty"`  // see login.CardState
	Silent  bool        `json:"silent,omitempty"`
}

// cardState answers from the flow alone: neither the request nor the session is
// read, because this comes often. The flow knows its browser.
func (p *Pages) cardState(w http.ResponseWriter, r *http.Request) error {
	browser, err := p.ownScript(r)
	if err != nil {
		return err
	}
	in := &waiting{Request: openid.Request{ID: r.PathValue("tx")}}
	s, err := p.Login.CardState(r.Context(), login.Demand{TX: in.ID, Browser: browser})
	if err != nil {
		return err
	}
	return p.tellState(w, s, in.path(), in.outcome)
}

// ownScript is whose browser asks, as the hash of its secret, when a script of our
// own page asks; a page of others learns not even that there is an answer.
func (p *Pages) ownScript(r *http.Request) (browser string, err error) {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" {
		return "", fault.New(fault.NotFound, "not_found", "There is no such page.")
	}
	return boundTo(p.Site.ReadCookie(r, bindingCookie)), nil
}

// boundTo is what is kept of a browser's binding secret.
func boundTo(binding string) string {
	bound := sha256.Sum256([]byte(binding))
	return hex.EncodeToString(bound[:])
}

// tellState answers the script: where to go when it is decided is the page of the
// outcome, or page when there is no text for it.
func (p *Pages) tellState(w http.ResponseWriter, s login.CardState, page string, outcome func(verdict, tail string) string) error {
	answer := cardState{State: s.Phase, Result: s.Result, Silent: s.Silent}
	if s.Phase == login.Decided {
		answer.To = page
		if verdict, ok := p.verdict(s.Code); ok {
			answer.Verdict, answer.To = verdict, outcome(verdict, s.Tail)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(answer)
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
	cardForm
	Verdict                string
	Tail                   string // of the card that was read (S33)
	OldTLS                 bool   // TLS 1.2 may help, and is offered
	Restart, Cancel, Order string
}

func (p *Pages) cardRefused(w http.ResponseWriter, r *http.Request, in *waiting, why, last string) error {
	verdict, ok := p.verdict(why)
	if !ok || !tail.MatchString(last) {
		return see(w, in.path())
	}
	page := &cardFailedPage{servicePage: in.page(), cardForm: in.cardForm(), Verdict: verdict, Tail: last, OldTLS: p.oldTLS(verdict), Restart: in.path("over"), Cancel: in.path("cancel"), Order: in.path("order")}
	page.Here = in.path("card")
	// The page's reference is what a person reads out to the help desk.
	trace.Note(r.Context(), trace.Shown, verdict)
	status := http.StatusForbidden
	if verdict == string(card.RevocationUnavailable) {
		status = http.StatusServiceUnavailable
	}
	p.log().InfoContext(r.Context(), "card refused", "verdict", verdict, "client", in.Client.ID, "reference", web.Reference(r))
	return p.render(w, r, in, status, "signin/card_failed", page)
}
