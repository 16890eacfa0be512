package console

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/web"
	"github.com/portti-id/portti/pkg/portti"
)

// The workbench of the help desk, for one person on the phone (S60–S64):
//
//	/people/ID/case            what stands now, and the identity check
//	/people/ID/case/CHECK      which acts make sense now
//	/people/ID/case/CHECK/ACT  what will happen, and why it is done
//
// The check is in the address. It is no secret: it serves whoever has made it.

// standing is what the partial case-state shows of a person: the pages of the
// workbench embed it.
type standing struct {
	Case     portti.Case
	Password portti.PersonPassword
}

// Awaits tells whether linking asks for a code.
func (s standing) Awaits() bool { return !s.Case.Closed.IsZero() && s.Case.App == nil }

// ForGood tells whether the authenticator stays blocked until it is unlocked.
func (s standing) ForGood() bool { return s.Case.App != nil && s.Case.App.BlockedUntil.Year() >= 9999 }

// ClockKey is the text of how the authenticator's clock goes, and ClockOff by how many
// seconds it is off.
func (s standing) ClockKey() string {
	switch {
	case s.Case.App == nil || s.Case.App.Fast == 0:
		return "con.desk.clock.right"
	case s.Case.App.Fast > 0:
		return "con.desk.clock.fast"
	}
	return "con.desk.clock.slow"
}

func (s standing) ClockOff() string {
	if s.Case.App == nil {
		return "0"
	}
	return strconv.Itoa(max(s.Case.App.Fast, -s.Case.App.Fast))
}

// standingOf reads how things stand with the person whom the address names.
func (p *Pages) standingOf(r *http.Request, v *visit) (standing, error) {
	person, err := p.personOf(r, v)
	if err != nil {
		return standing{}, err
	}
	if err := v.need("identity.check"); err != nil {
		return standing{}, err
	}
	c, err := p.api.Case(r.Context(), v.token, person.ID)
	if err != nil {
		return standing{}, refused(err)
	}
	return standing{c, person.Password}, nil
}

func casePath(user string) string { return personPath(user) + "/case" }

// workPath is where the acts stand on a check.
func workPath(user, check string) string { return casePath(user) + "/" + url.PathEscape(check) }

// wish is what somebody was about to do when the check no longer held: the form of
// the check takes it along, so that nothing has to be typed twice.
type wish struct {
	Act     string
	Reason  string
	Minutes string
}

type casePage struct {
	web.Page
	standing
	wish
	Methods []string
	Method  string
	Ticket  string
	Note    string
}

// casePageOf offers the ways to recognise somebody that there are for this person.
func casePageOf(s standing) *casePage {
	methods := portti.CheckMethods
	if s.Case.Phone == "" {
		methods = slices.DeleteFunc(slices.Clone(methods), func(m string) bool { return m == "called_back" })
	}
	return &casePage{standing: s, Methods: methods}
}

// caseOf shows how things stand, and asks how the caller was recognised.
func (p *Pages) caseOf(w http.ResponseWriter, r *http.Request, v *visit) error {
	s, err := p.standingOf(r, v)
	if err != nil {
		return err
	}
	page := casePageOf(s)
	if act := r.FormValue("act"); r.FormValue("check") == "ended" {
		page.Act = knownAct(act)
		page.Tell("warning", "con.desk.check.ended")
	}
	return p.show(w, r, http.StatusOK, "case", page)
}

// recordCheck keeps how the caller was recognised, and goes on: to what was about to
// be done, or to everything that can be.
func (p *Pages) recordCheck(w http.ResponseWriter, r *http.Request, v *visit) error {
	s, err := p.standingOf(r, v)
	if err != nil {
		return err
	}
	f := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	page := casePageOf(s)
	page.Method, page.Ticket, page.Note = f("method"), f("ticket"), f("note")
	page.wish = wish{knownAct(f("act")), f("reason"), f("minutes")}
	check, err := p.api.RecordCheck(r.Context(), v.token, s.Case.User, portti.NewCheck{Method: page.Method, Ticket: page.Ticket, Note: page.Note})
	switch {
	case err != nil:
		return p.again(w, r, "case", &page.Page, page, refused(err))
	case page.Act == "":
		return see(w, r, workPath(s.Case.User, check.ID))
	case page.Reason == "":
		return see(w, r, workPath(s.Case.User, check.ID)+"/"+page.Act)
	}
	act := caseActPageOf(s, check, page.Act)
	act.Reason, act.Minutes = page.Reason, cmp.Or(page.Minutes, act.Minutes)
	return p.show(w, r, http.StatusOK, "case_act", act)
}

// checkEnded tells whether the API has refused for want of a check that holds.
func checkEnded(err error) bool {
	code := portti.Code(err)
	return code == "identity_check_invalid" || code == "identity_check_required"
}

// checked reads how things stand and the check that the address names. Without a
// check that holds it leads to its form, and ok is false.
func (p *Pages) checked(w http.ResponseWriter, r *http.Request, v *visit, act string) (s standing, check portti.Check, ok bool, err error) {
	if s, err = p.standingOf(r, v); err != nil {
		return s, check, false, err
	}
	check, err = p.api.Check(r.Context(), v.token, s.Case.User, r.PathValue("check"))
	if checkEnded(err) {
		q := url.Values{"check": {"ended"}}
		if act != "" {
			q.Set("act", act)
		}
		return s, check, false, see(w, r, casePath(s.Case.User)+"?"+q.Encode())
	}
	if err != nil {
		return s, check, false, refused(err)
	}
	return s, check, true, nil
}

type workPage struct {
	web.Page
	standing
	Check     portti.Check
	Path      string // of this page, which those of the acts are below
	Done      string // the act that was just done; "" for none
	Acts      []string
	Colleague map[string]string // of an act that needs a second person: how it stands with that
}

// work shows which acts make sense now.
func (p *Pages) work(w http.ResponseWriter, r *http.Request, v *visit) error {
	s, check, ok, err := p.checked(w, r, v, "")
	if !ok {
		return err
	}
	page := &workPage{standing: s, Check: check, Path: workPath(s.Case.User, check.ID), Done: knownAct(r.FormValue("done")), Colleague: map[string]string{}}
	for _, a := range caseActs {
		if v.may(a.right) && a.when(s) {
			page.Acts = append(page.Acts, a.name)
			if second, _ := secondOf(s, check, a); second != "" {
				page.Colleague[a.name] = second
			}
		}
	}
	return p.show(w, r, http.StatusOK, "case_work", page)
}

// How it stands with the second person (S64) whom an act needs.
const (
	secondAsk       = "ask"       // nobody has been asked
	secondWaits     = "waits"     // somebody has
	secondConfirmed = "confirmed" // and has confirmed it
	secondRefused   = "refused"   // or refused it
)

// secondOf tells how it stands for an act, "" where none is needed, and what was asked.
func secondOf(s standing, check portti.Check, a caseAct) (string, portti.AskedConfirmation) {
	if !slices.Contains(s.Case.Seconds, a.right) {
		return "", portti.AskedConfirmation{}
	}
	for _, c := range check.Confirmations {
		switch {
		case c.Act != a.right:
		case !c.Refused.IsZero():
			return secondRefused, c
		case c.Confirmed.IsZero():
			return secondWaits, c
		default:
			return secondConfirmed, c
		}
	}
	return secondAsk, portti.AskedConfirmation{}
}

// lives are the minutes that a linking code can be good for (S61).
var lives = []string{"10", "30", "60", "240", "480", "1440"}

// caseAct is what the help desk does to a person.
type caseAct struct {
	name   string // of its page, and of its texts
	right  string
	danger bool
	when   func(s standing) bool // it makes sense
}

// caseActs in the order in which they are shown.
var caseActs = []caseAct{
	{"unfreeze", "account.unfreeze", false, func(s standing) bool { return !s.Case.Frozen.IsZero() }},
	{"order", "password.order", true, func(s standing) bool { return !s.Case.Disabled }},
	{"unlock", "authenticator.unlock", false, func(s standing) bool { return !s.Case.Disabled }},
	{"resync", "authenticator.resync", false, func(s standing) bool { return s.Case.App != nil }},
	{"remove", "authenticator.remove", true, func(s standing) bool { return s.Case.App != nil }},
	{"code", "linking_code.issue", false, func(s standing) bool { return s.Awaits() && !s.Case.Disabled && s.Case.Frozen.IsZero() }},
	{"sessions", "sessions.end", false, func(s standing) bool { return !s.Case.Disabled }},
}

func caseActOf(name string) (caseAct, bool) {
	for _, a := range caseActs {
		if a.name == name {
			return a, true
		}
	}
	return caseAct{}, false
}

// caseActBy finds an act by the right that it takes.
func caseActBy(right string) (caseAct, bool) {
	for _, a := range caseActs {
		if a.right == right {
			return a, true
		}
	}
	return caseAct{}, false
}

// knownAct is the name if there is such an act, else "".
func knownAct(name string) string {
	a, _ := caseActOf(name)
	return a.name
}

// caseActPage says what an act does before it is done.
type caseActPage struct {
	web.Page
	standing
	why
	Check     portti.Check
	Act       string
	Path      string // of this page
	Back      string // to the acts
	Danger    bool
	Sense     bool   // it helps as things stand
	Colleague string // how it stands with a second person; "" where none is needed
	Asked     portti.AskedConfirmation
	Minutes   string   // code: how long it is good for
	Lives     []string //
	First     string   // resync: the codes
	Second    string
}

func caseActPageOf(s standing, check portti.Check, name string) *caseActPage {
	a, _ := caseActOf(name)
	back := workPath(s.Case.User, check.ID)
	page := &caseActPage{standing: s, Check: check, Act: name, Path: back + "/" + name, Back: back, Danger: a.danger, Sense: a.when(s),
		why: why{Ticket: check.Ticket}, Minutes: "60", Lives: lives}
	page.Colleague, page.Asked = secondOf(s, check, a)
	return page
}

// beforeCaseAct says what the act will do.
func (p *Pages) beforeCaseAct(w http.ResponseWriter, r *http.Request, v *visit) error {
	a, known := caseActOf(r.PathValue("act"))
	if !known {
		return fault.New(fault.NotFound, "not_found", "There is no such page.")
	}
	if err := v.need(a.right); err != nil {
		return err
	}
	s, check, ok, err := p.checked(w, r, v, a.name)
	if !ok {
		return err
	}
	return p.show(w, r, http.StatusOK, "case_act", caseActPageOf(s, check, a.name))
}

// caseIssuedPage shows what is to be read out, this once.
type caseIssuedPage struct {
	web.Page `json:"-"`
	Case     portti.Case
	Act      string // order or code
	Secret   string
	Expires  time.Time
	Back     string
}

// doCaseAct does it. What is to be read out has a page that shows it once; after
// anything else the page of the acts says what to tell the caller.
func (p *Pages) doCaseAct(w http.ResponseWriter, r *http.Request, v *visit) error {
	a, known := caseActOf(r.PathValue("act"))
	if !known {
		return fault.New(fault.NotFound, "not_found", "There is no such page.")
	}
	if err := v.need(a.right); err != nil {
		return err
	}
	s, err := p.standingOf(r, v)
	if err != nil {
		return err
	}
	check := portti.Check{ID: r.PathValue("check")}
	if slices.Contains(s.Case.Seconds, a.right) {
		if check, err = p.api.Check(r.Context(), v.token, s.Case.User, check.ID); checkEnded(err) {
			check.ID = r.PathValue("check") // the act meets it, too
		} else if err != nil {
			return refused(err)
		}
	}
	page := caseActPageOf(s, check, a.name)
	page.why, page.Minutes = whyOf(r), r.PostFormValue("minutes")
	page.First, page.Second = strings.TrimSpace(r.PostFormValue("first")), strings.TrimSpace(r.PostFormValue("second"))
	issued := &caseIssuedPage{Case: s.Case, Act: a.name, Back: page.Back}
	asks := r.PostFormValue("ask") != ""
	if asks {
		_, err = p.api.AskSecond(r.Context(), v.token, s.Case.User, page.Check.ID, portti.NewConfirmation{Act: a.right, Reason: page.Reason})
	} else {
		err = p.perform(r, v, page, issued)
	}
	switch {
	case checkEnded(err):
		return p.checkAnew(w, r, page, refused(err))
	case portti.Code(err) == "check_needs_second":
		page.Colleague = secondAsk // once more: it was spent, or whoever has confirmed it may not any longer
		return p.again(w, r, "case_act", &page.Page, page, refused(err))
	case err != nil:
		return p.again(w, r, "case_act", &page.Page, page, ofAnother(refused(err)))
	case asks:
		return see(w, r, page.Path)
	case issued.Secret == "":
		return see(w, r, page.Back+"?done="+a.name)
	}
	return p.once(w, r, v, page.Back, "case_issued", issued)
}

// perform asks the API for the act; a secret that comes of it is in issued.
func (p *Pages) perform(r *http.Request, v *visit, page *caseActPage, issued *caseIssuedPage) error {
	ctx, user := r.Context(), page.Case.User
	because := portti.Why{Reason: page.Reason, Ticket: page.Ticket, Check: page.Check.ID}
	switch page.Act {
	case "order":
		ordered, err := p.api.OrderFor(ctx, v.token, user, because)
		issued.Secret, issued.Expires = ordered.Password, ordered.Expires
		return err
	case "code":
		code, err := p.api.IssueLinkingCode(ctx, v.token, user, minutesOf(page.Minutes), because)
		issued.Secret, issued.Expires = code.Code, code.Expires
		return err
	case "resync":
		_, err := p.api.ResyncAuthenticator(ctx, v.token, user, page.First, page.Second, because)
		return err
	case "remove":
		return p.api.RemoveAuthenticator(ctx, v.token, user, because)
	case "unlock":
		return p.api.Unlock(ctx, v.token, user, because)
	case "sessions":
		return p.api.EndSessions(ctx, v.token, user, because)
	}
	return p.api.Unfreeze(ctx, v.token, user, because)
}

// minutesOf is 0 of what is no choice: the API says so at the field.
func minutesOf(s string) int {
	if !slices.Contains(lives, s) {
		return 0
	}
	n, _ := strconv.Atoi(s)
	return n
}

// worded are faults whose texts speak to the person whose account it is.
var worded = []string{"account_disabled", "account_frozen", "card_already_linked", "link_closed", "password_change_required", "policy_denied", "totp_already_linked", "totp_not_linked"}

// ofAnother words a refusal for somebody who acts on another's account.
func ofAnother(err error) error {
	if f, ok := fault.Of(err); ok && slices.Contains(worded, f.Code) {
		return fault.New(f.Kind, "desk_not_possible", "This is not possible now.")
	}
	return err
}

// checkAnew asks for the check once more, when it has ended while the act was
// written; what was written goes along.
func (p *Pages) checkAnew(w http.ResponseWriter, r *http.Request, act *caseActPage, err error) error {
	page := casePageOf(act.standing)
	page.Ticket, page.wish = act.Ticket, wish{act.Act, act.Reason, act.Minutes}
	if f, ok := fault.Of(err); ok {
		f.Field = "method"
	}
	return p.again(w, r, "case", &page.Page, page, err)
}
