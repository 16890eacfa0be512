package userservices

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/portti-id/portti/internal/app"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/web"
	"github.com/portti-id/portti/pkg/portti"
)

// Linking a card (S26):
//
//	POST /card ─303▶ card host: handshake ─303▶ GET /card/return?code=…
//	  the card is shown ─▶ POST /card/confirm links it
//	  meanwhile, while the browser asks for the card: GET /card/state, by the script
//	  nothing came of it ─▶ GET /card, or /card/failed, says what was the matter (S35)
//
// The code is of use to the session that began, and once. So /card/return can be
// reloaded to no more than "start again"; and what is linked is the card whose
// fingerprint the person saw.

type cardPage struct {
	web.Page
	cardForm
}

// cardForm is what pages have that send the browser to the card host.
type cardForm struct {
	CardStart  string
	CardState  string   // for the script that asks how it goes
	CardFailed string   // for the person who says that it did not work
	Trouble    *trouble // nil when there is nothing to tell of an attempt
}

// trouble is what became of an attempt whose person has come back, from an error page
// of the browser or by a change of mind (S35).
type trouble struct {
	Verdict, Tail string
	Silent        bool   // nothing but silence has decided
	OldTLS        bool   // TLS 1.2 may help, and is offered
	Outcome       string // the page that says it at length
}

type confirmCardPage struct {
	web.Page
	Username, Name                           string // of the account
	Holder, Organisation, Issuer, Kind, Tail string
	Expires                                  time.Time
	Near, Waits                              bool // the holder is not quite the person (S29); and linking waits for an approval
	LinkingCode                              bool // the help desk's code is asked for (S61)
	Hidden                                   []hidden
}

type hidden struct{ Name, Value string }

type cardFailedPage struct {
	web.Page
	cardForm
	Verdict, Tail string
	OldTLS        bool
}

type cardWaitsPage struct {
	web.Page
	Asked *askedCard
}

type cardLinkedPage struct {
	web.Page
	Tail, Service string
}

const (
	cardPath       = "/card"
	cardWaitsPath  = "/card/waiting"
	cardStatePath  = "/card/state"
	cardFailedPath = "/card/failed"

	cardConfirmPath = "/card/confirm"
)

var cardForms = cardForm{CardStart: cardPath, CardState: cardStatePath, CardFailed: cardFailedPath}

// startCard lets this page's form lead to the card host.
func (p *Pages) startCard(w http.ResponseWriter, v *visit) web.Page {
	if p.cardHost.pattern != "" {
		web.AllowFormAction(w, p.cardHost.pattern)
	}
	return web.Page{Client: v.service(), Here: cardPath}
}

func (p *Pages) linkCard(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := barred(v.me.May.Card); err != nil {
		return err
	}
	page := &cardPage{Page: p.startCard(w, v), cardForm: cardForms}
	v.tellCode(&page.Page)
	o, err := p.api.CardOutcome(r.Context(), v.token)
	if err != nil {
		return app.Refused(err)
	}
	if verdict, ok := p.outcome(o); ok {
		page.Trouble = &trouble{Verdict: verdict, Tail: o.Tail, Silent: o.Silent && verdict != "never_reached", OldTLS: p.oldTLS(o), Outcome: cardFailedPath}
	}
	return p.show(w, r, http.StatusOK, "card", page)
}

// outcome is the catalogue's name for what a decided attempt came to; a good card has
// none here.
func (p *Pages) outcome(o portti.CardProgress) (string, bool) {
	if o.Phase != "decided" || o.Verdict == "all_good" {
		return "", false
	}
	return p.verdict(o.Verdict)
}

// oldTLS tells whether another try with TLS 1.2 makes sense and leads to our card
// host: beside a fixed one it has an address of its own.
func (p *Pages) oldTLS(o portti.CardProgress) bool {
	return o.TLS12 && strings.Contains(p.cardHost.pattern, "*")
}

// cardState answers the script of a page from which the browser went to the card
// host. It looks up neither account nor session limits: it comes every second and a
// half.
func (p *Pages) cardState(w http.ResponseWriter, r *http.Request) error {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" {
		return fault.New(fault.NotFound, "not_found", "There is no such page.")
	}
	session, token, err := p.app.Meet(r)
	switch {
	case session == nil:
		return fault.New(fault.NotFound, "not_found", "There is no such page.") // the script stops asking
	case err != nil:
		return err
	}
	o, err := p.api.CardProgress(r.Context(), token)
	if err != nil {
		return app.Refused(err)
	}
	answer := struct {
		State   string `json:"state"`
		Verdict string `json:"verdict,omitempty"`
		To      string `json:"to,omitempty"`
		Result  bool   `json:"result,omitempty"`
		Silent  bool   `json:"silent,omitempty"`
	}{State: o.Phase, Result: o.Result, Silent: o.Silent}
	if o.Phase == "decided" {
		answer.To = cardPath
		if verdict, ok := p.outcome(o); ok {
			answer.Verdict, answer.To = verdict, cardFailedPath
		}
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(answer)
}

// cardFailed says at length what became of the attempt: of one that ended without a
// result, or of which the person says that it did not work.
func (p *Pages) cardFailed(w http.ResponseWriter, r *http.Request, v *visit) error {
	o, err := p.api.CardOutcome(r.Context(), v.token)
	if err != nil {
		return app.Refused(err)
	}
	verdict, ok := p.outcome(o)
	if !ok {
		return app.See(w, r, cardPath)
	}
	page := &cardFailedPage{Page: p.startCard(w, v), cardForm: cardForms, Verdict: verdict, Tail: o.Tail, OldTLS: p.oldTLS(o)}
	page.Here = cardFailedPath
	return p.show(w, r, http.StatusForbidden, "card_failed", page)
}

// saidFailed takes the person's word; the page has an address that can be reloaded.
func (p *Pages) saidFailed(w http.ResponseWriter, r *http.Request, _ *visit) error {
	return app.See(w, r, cardFailedPath)
}

// beginCard sends the browser to the card host.
func (p *Pages) beginCard(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := barred(v.me.May.Card); err != nil {
		return err
	}
	attempt, err := p.api.BeginCard(r.Context(), v.token, p.config.URL+cardReturnPath, portti.CardMode(r.PostFormValue("mode")))
	if err != nil {
		return p.cardRefused(w, r, v, app.Refused(err))
	}
	if !p.cardHost.matches(attempt.URL) {
		// A browser would stop the form there without a word.
		return fmt.Errorf("the provider's card host is not the one of the setting card_host, %q", p.cardHost.pattern)
	}
	return app.See(w, r, attempt.URL)
}

// cardSeen shows the card that was read.
func (p *Pages) cardSeen(w http.ResponseWriter, r *http.Request, v *visit) error {
	if r.Method == http.MethodHead {
		return app.See(w, r, cardPath) // must not spend the code
	}
	code := r.URL.Query().Get("code")
	if code == "" {
		return app.See(w, r, cardPath)
	}
	seen, err := p.api.SeenCard(r.Context(), v.token, code)
	if err != nil {
		return p.cardRefused(w, r, v, app.Refused(err))
	}
	page, err := p.confirmCardPage(w, v, seen)
	if err != nil {
		return err
	}
	return p.show(w, r, http.StatusOK, "card_confirm", page)
}

// confirmCardPage shows a card. Where a linking code is asked for, the form carries
// what it shows, so that a wrong code brings the page back without another reading.
func (p *Pages) confirmCardPage(w http.ResponseWriter, v *visit, seen portti.SeenCard) (*confirmCardPage, error) {
	c := seen.Card
	kind := c.Kind
	if !p.site.Texts().Has("card.kind." + kind) {
		kind = ""
	}
	page := &confirmCardPage{Page: p.startCard(w, v), Username: v.me.Username, Name: v.me.Name, Holder: c.Holder, Organisation: c.Organisation,
		Issuer: c.Issuer, Kind: kind, Tail: c.Tail, Expires: c.NotAfter, Near: seen.Match != "exact", Waits: seen.Waits, LinkingCode: v.linkingCode,
		Hidden: []hidden{{"fingerprint", seen.Fingerprint}, {"tail", c.Tail}}}
	if !v.linkingCode {
		return page, nil
	}
	page.Here = cardConfirmPath
	shown, err := json.Marshal(seen)
	page.Hidden = append(page.Hidden, hidden{"seen", string(shown)})
	return page, err
}

// cardAgain is for who comes back to the confirmation later: the card is read anew.
func (p *Pages) cardAgain(w http.ResponseWriter, r *http.Request, _ *visit) error {
	return app.See(w, r, cardPath)
}

// confirmCard links the card.
func (p *Pages) confirmCard(w http.ResponseWriter, r *http.Request, v *visit) error {
	var err error
	if v.linkingCode {
		err = p.api.LinkCardWithCode(r.Context(), v.token, r.PostFormValue("fingerprint"), r.PostFormValue("linking_code"))
	} else {
		err = p.api.LinkCard(r.Context(), v.token, r.PostFormValue("fingerprint"))
	}
	if err == nil {
		return p.goOn(w, r, v, p.card, "/card/linked")
	}
	if v.me.Card != nil && p.app.SinceThen(v.me.Card.Linked) < time.Minute && v.me.Card.Tail == r.PostFormValue("tail") {
		return p.goOn(w, r, v, p.card, "/card/linked") // a double click: the first one linked it
	}
	if portti.Code(err) == "card_awaits_approval" {
		return app.See(w, r, cardWaitsPath)
	}
	err = app.Refused(err)
	var seen portti.SeenCard
	if f, ok := fault.Of(err); ok && f.Field == "linking_code" && json.Unmarshal([]byte(r.PostFormValue("seen")), &seen) == nil {
		page, wrong := p.confirmCardPage(w, v, seen)
		if wrong != nil {
			return wrong
		}
		return p.again(w, r, "card_confirm", &page.Page, page, err)
	}
	return p.cardRefused(w, r, v, err)
}

// cardWaits says that the card was taken and waits until somebody has looked (S29).
func (p *Pages) cardWaits(w http.ResponseWriter, r *http.Request, v *visit) error {
	asked := p.asked(v.me)
	if asked == nil {
		return app.See(w, r, homePath) // it has been decided
	}
	return p.show(w, r, http.StatusOK, "card_waits", &cardWaitsPage{Page: p.startCard(w, v), Asked: asked})
}

// cardRefused shows what became of a card: the page of its verdict, or the start
// with the reason on top. Both lead to another try.
func (p *Pages) cardRefused(w http.ResponseWriter, r *http.Request, v *visit, err error) error {
	f, ok := fault.Of(err)
	if !ok || !strings.HasPrefix(f.Code, "card_") {
		if ok && (f.Kind == fault.Throttled || f.Kind == fault.Gone) {
			page := &cardPage{Page: p.startCard(w, v), cardForm: cardForms}
			return p.again(w, r, "card", &page.Page, page, err)
		}
		return err
	}
	if verdict, ok := p.verdict(f.Code); ok {
		return p.show(w, r, web.Status(f), "card_failed", &cardFailedPage{Page: p.startCard(w, v), cardForm: cardForms, Verdict: verdict, Tail: f.Args["tail"]})
	}
	page := &cardPage{Page: p.startCard(w, v), cardForm: cardForms}
	return p.again(w, r, "card", &page.Page, page, err)
}

// verdict finds the texts of a refusal: card_expired has those of the verdict
// expired, card_ticket_spent its own.
func (p *Pages) verdict(code string) (string, bool) {
	for _, verdict := range []string{strings.TrimPrefix(code, "card_"), code} {
		if p.site.Texts().Has("verdict." + verdict + ".title") {
			return verdict, true
		}
	}
	return "", false
}

func (p *Pages) cardLinked(w http.ResponseWriter, r *http.Request, v *visit) error {
	if v.me.Card == nil || !v.me.Full {
		return app.See(w, r, homePath)
	}
	return p.show(w, r, http.StatusOK, "card_linked", &cardLinkedPage{Tail: v.me.Card.Tail})
}

// cardHost is the provider's card host: https://card.example.fi:8443, or with a
// star for one label, https://*.card.example.fi.
type cardHost struct {
	pattern string
	url     *url.URL
}

func parseCardHost(pattern string) (cardHost, error) {
	if pattern == "" {
		return cardHost{}, nil
	}
	u, err := url.Parse(pattern)
	switch {
	case err != nil:
		return cardHost{}, err
	case u.Scheme != "https" || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return cardHost{}, fmt.Errorf("%q is not a host such as https://*.card.example.fi", pattern)
	case strings.Contains(strings.TrimPrefix(u.Host, "*."), "*"):
		return cardHost{}, fmt.Errorf("%q: a star can only stand for the first label", pattern)
	}
	return cardHost{pattern: "https://" + u.Host, url: u}, nil
}

// matches tells whether an address is on the card host.
func (h cardHost) matches(address string) bool {
	u, err := url.Parse(address)
	if err != nil || h.url == nil || u.Scheme != "https" || u.User != nil || u.Port() != h.url.Port() {
		return false
	}
	rest, wildcard := strings.CutPrefix(h.url.Hostname(), "*.")
	if !wildcard {
		return u.Hostname() == rest
	}
	label, domain, ok := strings.Cut(u.Hostname(), ".")
	return ok && label != "" && domain == rest
}
