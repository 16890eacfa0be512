package signin

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/login"
	"github.com/portti-id/portti/internal/throttle"
	"github.com/portti-id/portti/internal/web"
)

// The card test (S66) is for anybody: no account, no name, and nothing is linked.
// What it came to is kept as codes, under a support code that the person can read
// out and that shows whoever enters it the same page.
//
//	GET /card-test ─ POST ─303▶ card host: handshake ─303▶ GET /card-test/result?code=…
//	     ▲                                                     │ kept as codes
//	     └──────────────── GET /card-test/SUPPORTCODE ◀─303────┘
const CardTestPath = "/card-test"

// CardTests keeps what card tests came to: package store.
type CardTests interface {
	KeepCardTest(ctx context.Context, t card.Tested) error
	CardTest(ctx context.Context, code string) (card.Tested, error)
}

type cardTestPage struct {
	web.Page
	CardStart, Find       string
	CardState, CardFailed string
	Trouble               string // the verdict of an attempt that brought no result; "" mostly
	Old, Any              bool   // the other hosts that there are
}

type cardTestedPage struct {
	web.Page
	Verdict, Tail   string
	Checks          []madeCheck
	Code, When      string
	TLS, Kind, Mode string
	Again           string
}

// madeCheck is one check of a test: passed, failed or notmade.
type madeCheck struct{ Name, State string }

func (p *Pages) newCardTest() *cardTestPage {
	return &cardTestPage{CardStart: CardTestPath, Find: CardTestPath + "/find", CardState: CardTestPath + "/state", CardFailed: CardTestPath + "/failed",
		Old: p.Login.OffersTest(card.OldTLS), Any: p.Login.OffersTest(card.AnyCA)}
}

// cardTest is the page before the test, and the one that a person comes back to
// from a test that brought no result (S35).
func (p *Pages) cardTest(w http.ResponseWriter, r *http.Request) error {
	page := p.newCardTest()
	s, err := p.Login.TestState(r.Context(), boundTo(p.Site.Browser(w, r)), true)
	if err != nil {
		return err
	}
	if verdict, ok := p.verdict(s.Code); ok && s.Phase == login.Decided && !s.Result {
		page.Trouble = verdict
	}
	return p.showCardTest(w, r, http.StatusOK, page)
}

func (p *Pages) showCardTest(w http.ResponseWriter, r *http.Request, status int, page *cardTestPage) error {
	if len(p.CardHosts) == 0 {
		return fault.New(fault.NotFound, "not_found", "There is no such page.")
	}
	web.AllowFormAction(w, p.CardHosts...)
	return p.Site.Render(w, r, status, "signin/card_test", page)
}

// cardTestBegin sends the browser to the card host, in the mode of the button.
func (p *Pages) cardTestBegin(w http.ResponseWriter, r *http.Request) error {
	to, err := p.Login.BeginTest(r.Context(), login.Test{Browser: boundTo(p.Site.Browser(w, r)), From: p.Site.ClientAddr(r),
		Mode: card.Mode(r.PostFormValue("mode")), Back: p.Site.URL(CardTestPath + "/result")})
	if err != nil {
		return err
	}
	return see(w, to)
}

// cardTestResult keeps the result as codes and leads to its page. What the
// certificate says of its holder ends here.
func (p *Pages) cardTestResult(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet { // HEAD spends nothing
		return see(w, CardTestPath)
	}
	result, err := p.Login.TakeTest(r.Context(), boundTo(p.Site.Browser(w, r)), r.URL.Query().Get("code"))
	if fault.Is(err, fault.Gone) {
		return see(w, CardTestPath) // a reload, or another browser's
	}
	if err != nil {
		return err
	}
	return p.keepCardTest(w, r, card.Tested{Verdict: result.Verdict, Failed: result.Failed, Kind: result.Kind, Mode: result.Mode, TLS: result.TLS, At: result.At})
}

func (p *Pages) keepCardTest(w http.ResponseWriter, r *http.Request, t card.Tested) error {
	if err := p.Login.Throttle.Attempt(r.Context(), throttle.Use{Limit: throttle.CardTestPerAddress, Subject: throttle.AddressKey(p.Site.ClientAddr(r))}); err != nil {
		return err
	}
	t.Code = card.NewSupportCode()
	if err := p.CardTests.KeepCardTest(r.Context(), t); err != nil {
		return err
	}
	p.log().InfoContext(r.Context(), "card tested", "verdict", string(t.Verdict), "mode", string(t.Mode), "code", t.Code)
	return see(w, CardTestPath+"/"+t.Code)
}

// failedAt are the checks at which attempts end that bring no result.
var failedAt = map[card.Verdict]card.Check{
	card.NeverReached:    card.CheckReached,
	card.HandshakeBroken: card.CheckHandshake,
	card.NoCertificate:   card.CheckSent,
}

// cardTestFailed takes the person's word that nothing came of the test, and keeps
// what the signs make of it.
func (p *Pages) cardTestFailed(w http.ResponseWriter, r *http.Request) error {
	s, err := p.Login.TestState(r.Context(), boundTo(p.Site.Browser(w, r)), true)
	if err != nil {
		return err
	}
	verdict, known := p.verdict(s.Code)
	at, ours := failedAt[card.Verdict(verdict)]
	if !known || !ours || s.Phase != login.Decided || s.Result {
		return see(w, CardTestPath)
	}
	return p.keepCardTest(w, r, card.Tested{Verdict: card.Verdict(verdict), Failed: at, Mode: s.Mode, At: p.Login.Now().UTC()})
}

// cardTestState is cardState for a test.
func (p *Pages) cardTestState(w http.ResponseWriter, r *http.Request) error {
	browser, err := p.ownScript(r)
	if err != nil {
		return err
	}
	s, err := p.Login.TestState(r.Context(), browser, false)
	if err != nil {
		return err
	}
	if s.Phase != login.NoAttempt { // else a stranger would leave a counter with each cookie that he makes up
		if err := p.Login.Throttle.Attempt(r.Context(), throttle.Use{Limit: throttle.CardPollPerSignIn, Subject: browser}); err != nil {
			return err
		}
	}
	return p.tellState(w, s, CardTestPath, func(string, string) string { return CardTestPath })
}

func (p *Pages) cardTested(w http.ResponseWriter, r *http.Request) error {
	code, ok := card.ReadSupportCode(r.PathValue("code"))
	if !ok {
		return p.cardTestUnknown(w, r)
	}
	t, err := p.CardTests.CardTest(r.Context(), code)
	if fault.Is(err, fault.NotFound) {
		return p.cardTestUnknown(w, r)
	}
	if err != nil {
		return err
	}
	page := &cardTestedPage{Verdict: string(t.Verdict), Checks: p.madeChecks(t), Code: t.Code, When: t.At.UTC().Format(time.DateTime) + " UTC",
		TLS: t.TLS, Kind: string(t.Kind), Mode: wayOf(t.Mode), Again: CardTestPath}
	return p.Site.Render(w, r, http.StatusOK, "signin/card_tested", page)
}

// madeChecks are all checks: those before the one that failed were passed, and
// those behind it were not made.
func (p *Pages) madeChecks(t card.Tested) []madeCheck {
	state := "passed"
	checks := make([]madeCheck, len(card.Checks))
	for i, c := range card.Checks {
		checks[i] = madeCheck{string(c), state}
		if c == t.Failed {
			checks[i].State, state = "failed", "notmade"
		} else if c == card.CheckRevocation && p.Unrevoked {
			checks[i].State = "notmade"
		}
	}
	return checks
}

func wayOf(m card.Mode) string {
	if m == card.Strict {
		return "strict"
	}
	return string(m)
}

// cardTestUnknown shows the form again for a code that names nothing.
func (p *Pages) cardTestUnknown(w http.ResponseWriter, r *http.Request) error {
	page := p.newCardTest()
	page.Wrong(fault.New(fault.NotFound, "card_test_not_found", "There is no such card test, or it was made more than 30 days ago.").In("code"))
	return p.showCardTest(w, r, http.StatusNotFound, page)
}

// cardTestFind leads from the form to the result's own address.
func (p *Pages) cardTestFind(w http.ResponseWriter, r *http.Request) error {
	code, ok := card.ReadSupportCode(r.URL.Query().Get("code"))
	if !ok {
		return p.cardTestUnknown(w, r)
	}
	return see(w, CardTestPath+"/"+url.PathEscape(code))
}
