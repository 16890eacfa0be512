package e2e

import (
	"regexp"
	"strings"
	"testing"

	"github.com/portti-id/portti/internal/identity"
)

// The life of an account, as people meet it. "My card was replaced" is in
// mycard_browser_test.go, what the pages of the Console look like in
// console_browser_test.go.

// speaks says in which language letters to her are.
func (e *Employee) speaks(lang string) *Employee {
	e.w.T.Helper()
	must(e.w.Replicas[0].Directory.ChangeUser(e.w.T.Context(), operator, e.ID, func(u *identity.User) { u.Language = lang }))(e.w.T)
	return e
}

// follow clicks on a link or a button by what the catalogue calls it.
func (s *screen) follow(key string) {
	s.t.Helper()
	s.Click("=" + s.text(key))
}

const chosenAnew = "kolme varista aidalla istui"

// Forgotten password: from the login page by way of two letters to the page of the
// Service that was asked for. Who has a card links the new one on the way; who has an
// authenticator is asked for its code before the change (S50–S57).
func TestForgottenPasswordInABrowser(t *testing.T) {
	t.Parallel()
	for _, j := range []struct {
		manner
		organisation identity.OrganisationID
		has          identity.Method
	}{
		{manners[0], "saaristo", identity.MethodCard},
		{manners[1], "kuntala", identity.MethodApp},
		{manners[2], "kuntala", identity.MethodCard},
	} {
		t.Run(j.name, func(t *testing.T) {
			t.Parallel()
			w := NewWorld(t, Options{Pair: SQLiteMemory})
			unto := w.Settled("unto."+j.lang, j.organisation, j.has).speaks(j.lang)
			b := w.chromium(t, j.lang)
			s, deep := j.screen(t, w, b), w.record("42")

			s.Open(deep)
			s.WaitFor("#login-submit")
			s.follow("link.order")
			s.look("ask for a new password", "#order-submit")
			s.says("order.lead")
			s.says("order.warn")
			s.says("order.steps", "hours", "24")
			s.Click("#order-submit")
			s.look("ask for a new password, no name", "#problems")
			s.Fill("#username", unto.Username)
			s.Click("#order-submit")
			s.look("asked for a new password", "#order-sent")
			s.says("order.done")
			s.says("order.sent.more")
			s.says("order.phone", "phone", "020 000 0000")

			// The letter is opened in another window, and says nothing of whom it is for.
			asked := unto.next(t, s.text("mail.password_asked.subject"), 0)
			link := linkIn.FindString(asked)
			mail := j.screen(t, w, b)
			mail.Open(link)
			mail.look("behind the letter's link", "#confirm-submit")
			mail.says("order.link.lead")
			mail.says("order.warn")
			if strings.Contains(mail.Text("body"), unto.Username) {
				t.Error("the page names the person")
			}
			mail.Click("#confirm-submit")
			mail.look("new password ordered", "#order-ordered")
			mail.says("order.ordered.text")
			mail.says("order.ordered.steps", "hours", "24")
			mail.Allow("410")
			mail.Open(link)
			mail.look("the letter's link once more", "h1")
			mail.says("fault.mailed_link_spent.title")
			mail.says("fault.mailed_link_spent")

			letter := unto.next(t, s.text("mail.password_ordered.subject"), 0)
			unto.Temporary = temporaryIn.FindString(letter)
			s.Open(deep)
			s.login(unto.Username, unto.Password)
			s.look("old password after an order", "#problems")
			s.login(unto.Username, unto.Temporary)
			if j.has == identity.MethodApp {
				s.WaitFor("#code") // S57
				s.typeCode(unto.Code())
			}
			s.look("change password", "#new")
			s.choose(chosenAnew)
			if j.has == identity.MethodApp {
				s.arrives(deep, acrCode, amrCode)
				return
			}
			s.WaitURL(w.Origin("services"))
			s.look("choose, after an order", "#link-card")
			fresh := unto.NewCard()
			insert(t, b, fresh)
			s.Click("#link-card")
			s.readCard(fresh)
			s.look("card, just linked", "#card-start")
			s.present(unto.Card)
			s.refused("card_link_removed_by_order")
			s.Click("#card-start")
			s.arrives(deep, acrCard, amrCard)
		})
	}
}

// The last day: the responsible user closes the account. The Service in which the
// person is working has heard of it at once, neither password nor card opens anything,
// and the person is told (S11, S36, S65).
func TestLeaverInABrowser(t *testing.T) {
	t.Parallel()
	w := NewWorld(t, Options{Pair: PostgresRedis})
	viivi := w.Settled("viivi.vastuu", "kuntala", identity.MethodApp).With(identity.RoleResponsible)
	lassi := w.Settled("lassi.lahtija", "kuntala", identity.MethodApp, identity.MethodCard).speaks("en")
	b := w.chromium(t, "en")
	insert(t, b, lassi.Card)
	at, deep := w.screen(t, b, "en"), w.record("7")
	at.Open(deep)
	at.Click("#card-start")
	at.arrives(deep, acrCard, amrCard)

	s := w.screen(t, b, "en")
	console := w.Origin("console")
	s.Open(console)
	s.signIn(viivi)
	s.look("Console, home of a responsible user", "#console")
	s.says("con.role.responsible.about")
	s.section("/people")
	s.look("Console, people", "#people")
	s.Fill("#q", "toivo")
	s.Click("#filter")
	s.WaitFor("#none")
	s.Fill("#q", "lähtijä") // as it is said; his username has no dots
	s.Click("#filter")
	s.look("Console, people found", "#file")
	s.Click("=Lahtija Lassi")
	s.look("Console, a person", "#acts")
	s.shows(lassi.Username)
	s.shows(tailOf(lassi.Card))
	person := s.URL()
	s.follow("con.people.disable")
	s.look("Console, before an account is closed", "#do")
	s.says("con.people.disable.effects", "username", lassi.Username)
	s.Click("#do")
	s.look("Console, before an account is closed, without a reason", "#problems")
	if !must(w.Replicas[0].Store.Person(t.Context(), lassi.ID))(t).User.Disabled.IsZero() {
		t.Fatal("the account is closed without a reason")
	}
	before := len(w.Mailbox.Letters(lassi.Email))
	s.Fill("#reason", "His last day was yesterday")
	s.Click("#do")
	s.WaitURL(person)
	s.look("Console, a closed account", "#done")
	s.says("con.people.done.disabled")
	s.says("con.people.links.none")

	eventually(t, "the Service has heard of it", func() bool {
		at.Open(w.Origin("service") + "/")
		return !at.Has("#who")
	})
	at.Open(deep)
	at.WaitFor("#login-submit")
	at.Click("#card-start")
	at.refused("account_disabled")
	at.Click("#restart")
	at.login(lassi.Username, lassi.Password)
	at.look("password of a closed account", "#problems")
	if at.Has("#code") {
		t.Error("a closed account is asked for a code")
	}
	if letter := lassi.letter(t, before); !strings.Contains(letter, lassi.Username) {
		t.Errorf("the letter does not say which account: %s", letter)
	}
}

// referenceShown is what every error page has of its own.
var referenceShown = regexp.MustCompile(`\b[A-Z2-9]{8}\b`)

// The wrong organisation: to a responsible user, people elsewhere are nobody, whatever
// way she goes to them. S65.
func TestWrongOrganisationInABrowser(t *testing.T) {
	t.Parallel()
	w := NewWorld(t, Options{Pair: SQLiteMemory})
	viivi := w.Settled("viivi.vastuu", "kuntala", identity.MethodApp).With(identity.RoleResponsible)
	own := w.Settled("oma.tyontekija", "kuntala", identity.MethodApp)
	stranger := w.Settled("vieras.tyontekija", "saaristo", identity.MethodCard)
	s := w.screen(t, w.chromium(t, "sv"), "sv")
	console := w.Origin("console")
	s.Open(console)
	s.signIn(viivi)
	s.WaitFor("#console")

	s.Open(console + "/people?q=tyontekija")
	s.look("Console, people found", "#file")
	s.shows(own.Username)
	if strings.Contains(s.Text("body"), stranger.Username) {
		t.Error("the search finds somebody of another organisation")
	}
	for _, words := range []string{stranger.Username, "Vieras", stranger.Email} {
		s.Fill("#q", words)
		s.Click("#filter")
		s.look("Console, nobody found", "#none")
	}
	s.Open(console + "/people/" + string(own.ID))
	s.WaitFor("#acts")

	s.Allow("404")
	for _, page := range []string{"", "/edit", "/disable", "/enable", "/first-password", "/events"} {
		var seen []string
		for _, id := range []string{string(stranger.ID), "nobody"} {
			s.Open(console + "/people/" + id + page)
			s.look("Console, somebody who is nobody here", "h1")
			seen = append(seen, referenceShown.ReplaceAllString(s.Text("body"), "REFERENCE"))
		}
		if seen[0] != seen[1] || strings.Contains(seen[0], "Vieras") {
			t.Errorf("/people/…%s of another organisation says\n%s\nand of nobody\n%s", page, seen[0], seen[1])
		}
	}
}

// The first day of a new responsible user: an operator creates the account, hands the
// sheet over and gives the role; she chooses a password, links an authenticator, gets
// into the Console, and creates her first employee with a sheet of her own. S11, S18, S65.
func TestFirstDayOfAResponsibleUserInABrowser(t *testing.T) {
	t.Parallel()
	w := NewWorld(t, Options{Pair: SQLiteMemory})
	olli := w.Settled("olli.operaattori", "kuntala", identity.MethodApp).With(identity.RoleOperator)
	b := w.chromium(t, "fi")
	s := w.screen(t, b, "fi")
	console := w.Origin("console")
	s.Open(console)
	s.signIn(olli)
	s.look("Console, home of an operator", "#console")
	s.section("/people")
	s.Click("#new-person")
	s.look("Console, a new account, of any organisation", "#create")
	s.Click("#create")
	s.look("Console, a new account, nothing filled in", "#problems")
	s.Fill("#organisation", "tietoapu")
	s.Fill("#username", "raija ruokonen")
	s.person("Raija", "Ruokonen-Väisänen", "raija@tietoapu.example")
	s.Click("#create")
	s.look("Console, a new account, of a name that cannot be", "#problems")
	s.Fill("#username", "raija.ruokonen")
	s.Click("#create")
	temporary := s.sheet("raija.ruokonen")
	s.Click("#to-person")
	s.look("Console, a new person", "#acts")
	s.says("con.people.state.unused")
	s.follow("con.people.roles")
	s.look("Console, roles", "#save")
	s.Click("#role-responsible")
	s.Click("#save")
	s.look("Console, a person with a role", "#done")
	s.says("con.role.responsible")

	raija := &Employee{w: w, Username: "raija.ruokonen"}
	at := manners[1].screen(t, w, b) // on her own telephone
	at.lang = "fi"
	at.Open(console)
	at.login(raija.Username, temporary)
	at.choose(ownSecret)
	at.WaitURL(w.Origin("services"))
	at.look("choose", "#link-authenticator")
	at.Click("#link-authenticator")
	at.Click("#kind-app")
	at.Click("#own_device")
	at.Click("#work_phone")
	at.Click("#authenticator-start")
	raija.Scan(at.scan().Secret())
	at.typeCode(raija.Code())
	at.WaitFor("#code")
	at.typeCode(raija.Code())
	at.WaitURL(console)
	at.look("Console, home of a responsible user", "#console")
	at.section("/people")
	at.look("Console, people", "#new-person")
	at.Click("#new-person")
	at.look("Console, a new account", "#create")
	if at.Has("#organisation") {
		t.Error("a responsible user is offered other organisations")
	}
	at.Fill("#username", "esko.ensimmainen")
	at.person("Esko", "Ensimmäinen", "esko@tietoapu.example")
	at.Click("#create")
	first := at.sheet("esko.ensimmainen")

	// And the sheet is right.
	esko := w.screen(t, b, "fi")
	esko.Open(w.record("1"))
	esko.login("esko.ensimmainen", first)
	esko.look("change password", "#new")
}

// person fills in whose account it will be.
func (s *screen) person(given, family, email string) {
	s.t.Helper()
	s.Fill("#given-name", given)
	s.Fill("#family-name", family)
	s.Fill("#email", email)
}

// sheet reads the temporary password from the page that is handed over, which is shown
// once.
func (s *screen) sheet(username string) string {
	s.t.Helper()
	s.look("Console, the sheet to hand over", "#password")
	s.shows(username)
	s.says("con.people.sheet")
	temporary := s.Text("#password")
	if !temporaryIn.MatchString(temporary) {
		s.t.Fatalf("the temporary password %q", temporary)
	}
	s.Paper(true)
	s.Screenshot("Console, the sheet on paper")
	if s.Has("nav") || s.Has("#to-person") || !s.Has("#password") {
		s.t.Error("the paper has what only the screen needs, or lacks what it needs")
	}
	s.Paper(false)
	return temporary
}

// The phone was changed: the help desk recognises the caller, removes the authenticator
// of the old phone and reads out a linking code; the caller signs in with the password,
// links the new phone with that code and not without it, and gets to the Service. S60, S61.
func TestPhoneChangedInABrowser(t *testing.T) {
	t.Parallel()
	w := NewWorld(t, Options{Pair: SQLiteMemory})
	heikki := w.Settled("heikki.tuki", "tietoapu", identity.MethodApp).With(identity.RoleHelpDesk)
	otto := w.Settled("otto.ohjelma", "kuntala", identity.MethodApp).speaks("sv")
	b := w.chromium(t, "fi")
	desk := w.screen(t, b, "fi")
	console, deep := w.Origin("console"), w.record("42")
	desk.Open(console)
	desk.signIn(heikki)
	desk.look("Console, home of the help desk", "#console")
	desk.Open(console + "/people?q=otto")
	desk.Click("=Ohjelma Otto")
	desk.WaitFor("#acts")
	desk.follow("con.desk.open")
	desk.look("Console, who is the caller", "#record")
	desk.Click("#record")
	desk.look("Console, who is the caller, nothing chosen", "#problems")
	desk.Click("#method-employer_confirmed")
	desk.Fill("#ticket", "T-1")
	desk.Click("#record")
	desk.look("Console, what can be done for the caller", "#act-remove")
	desk.Click("#act-remove")
	desk.look("Console, before an authenticator is removed", "#do")
	desk.says("con.desk.remove.effects", "username", otto.Username)
	desk.Fill("#reason", "A new phone")
	desk.Click("#do")
	desk.look("Console, an authenticator was removed", "#done")
	desk.says("con.desk.remove.say")
	desk.Click("#act-code")
	desk.look("Console, before a linking code", "#do")
	desk.Fill("#reason", "A new phone")
	desk.Click("#do")
	desk.look("Console, a linking code to read out", "#secret")
	code := desk.Text("#secret")

	s := w.screen(t, w.chromium(t, "sv"), "sv")
	s.Open(deep)
	s.login(otto.Username, otto.Password)
	s.WaitURL(w.Origin("services"))
	s.look("choose, a linking code is needed", "#link-authenticator")
	s.Click("#link-authenticator")
	s.Click("#kind-app")
	s.Click("#own_device")
	s.Click("#personal_phone")
	s.Click("#authenticator-start")
	s.look("authenticator key, with a linking code", "#linking_code")
	otto.Scan(s.scan().Secret())
	s.typeCode(otto.Code())
	s.look("authenticator key, without its linking code", "#problems")
	s.says("fault.linking_code_required")
	s.Fill("#linking_code", code)
	s.typeCode(otto.Code())
	s.WaitFor("#code")
	s.typeCode(otto.Code())
	s.arrives(deep, acrCode, amrCode)
}
