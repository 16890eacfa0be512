package identity_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/mail"
	"github.com/portti-id/portti/internal/throttle"
	"github.com/portti-id/portti/internal/totp"
)

// staff is somebody with roles, as the API knows them.
func (h *house) staff(org identity.OrganisationID, name string, roles ...identity.Role) identity.Actor {
	h.t.Helper()
	id := h.settled(org, name)
	_, err := h.ChangeRoles(h.t.Context(), operator, id, identity.RolesOf(roles...), 0)
	h.must(err)
	return identity.ActorOf(h.person(id), "192.0.2.9")
}

// why is a reason with a check of the person.
func (h *house) why(by identity.Actor, id identity.UserID) identity.Why {
	h.t.Helper()
	c, err := h.RecordCheck(h.t.Context(), by, id, identity.EmployerConfirmed, "T-1", "")
	h.must(err)
	return identity.Why{Reason: "lost phone", Ticket: "T-1", Check: c.ID}
}

// is fails the test unless err has the code.
func is(t *testing.T, what string, err error, code string) {
	t.Helper()
	if fault.Code(err) != code || err != nil && code == "" {
		t.Errorf("%s: %v, want %q", what, err, code)
	}
}

// acts are those of the help desk on somebody who has an authenticator.
func (h *house) acts() map[string]func(by identity.Actor, id identity.UserID, why identity.Why) error {
	ctx := h.t.Context()
	return map[string]func(by identity.Actor, id identity.UserID, why identity.Why) error{
		"remove": func(by identity.Actor, id identity.UserID, why identity.Why) error {
			return h.RemoveAuthenticator(ctx, by, id, why)
		},
		"unlock": func(by identity.Actor, id identity.UserID, why identity.Why) error {
			return h.Unlock(ctx, by, id, why)
		},
		"resync": func(by identity.Actor, id identity.UserID, why identity.Why) error {
			key := h.key[id]
			if key == nil {
				key = totp.NewKey()
			}
			_, err := h.ResyncAuthenticator(ctx, by, id, h.code(key, -1), h.code(key, 0), why)
			return err
		},
		"linking code": func(by identity.Actor, id identity.UserID, why identity.Why) error {
			_, _, err := h.IssueLinkingCode(ctx, by, id, time.Hour, why)
			return err
		},
		"sessions": func(by identity.Actor, id identity.UserID, why identity.Why) error {
			return h.EndSessions(ctx, by, id, why)
		},
		"order": func(by identity.Actor, id identity.UserID, why identity.Why) error {
			_, err := h.Order(ctx, by, id, why)
			return err
		},
	}
}

// S64: no act without a check of this person, by this member of the help desk, of
// this half hour; and none without a reason and a ticket. Nothing changes.
func TestNoActOfTheHelpDeskWithoutACheck(t *testing.T) {
	each(t, func(h *house) {
		org := h.organisation("a", identity.MethodApp)
		one, two := h.staff(org, "one", identity.RoleHelpDesk), h.staff(org, "two", identity.RoleHelpDesk)
		id, other := h.settled(org, "liisa"), h.settled(org, "matti")
		h.withApp(id)
		good := h.why(one, id)
		with := func(change func(w *identity.Why)) identity.Why { w := good; change(&w); return w }
		before := h.person(id)
		for name, act := range h.acts() {
			is(t, name+" without a check", act(one, id, with(func(w *identity.Why) { w.Check = "" })), "identity_check_required")
			is(t, name+" with no such check", act(one, id, with(func(w *identity.Why) { w.Check = "NOSUCH" })), "identity_check_invalid")
			is(t, name+" with another person's check", act(one, id, with(func(w *identity.Why) { w.Check = h.why(one, other).Check })), "identity_check_invalid")
			is(t, name+" with a colleague's check", act(two, id, good), "identity_check_invalid")
			is(t, name+" without a reason", act(one, id, with(func(w *identity.Why) { w.Reason = " " })), "required")
			is(t, name+" without a ticket", act(one, id, with(func(w *identity.Why) { w.Ticket = "" })), "required")
		}
		h.add(identity.CheckLasts)
		for name, act := range h.acts() {
			is(t, name+" after half an hour", act(one, id, good), "identity_check_invalid")
		}
		if after := h.person(id); after.User != before.User || *after.Authenticator != *before.Authenticator || after.Password != before.Password {
			t.Errorf("something changed: %+v", after)
		}
		if n := h.letters()[mail.AuthenticatorRemoved]; n != 0 {
			t.Errorf("%d letters of what did not happen", n)
		}
	})
}

func TestAnIdentityCheck(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		org, east := h.organisation("a", identity.MethodApp), h.organisation("b", identity.MethodApp)
		desk, responsible := h.staff(org, "desk", identity.RoleHelpDesk), h.staff(org, "resp", identity.RoleResponsible)
		id := h.settled(east, "liisa")
		record := func(by identity.Actor, id identity.UserID, m identity.CheckMethod, ticket string) error {
			_, err := h.RecordCheck(ctx, by, id, m, ticket, "")
			return err
		}
		is(t, "an unknown method", record(desk, id, "secret_question", "T-1"), "check_method_unknown")
		is(t, "no ticket", record(desk, id, identity.CalledBack, ""), "required")
		is(t, "a responsible user", record(responsible, id, identity.CalledBack, "T-1"), "not_allowed")
		is(t, "of oneself", record(desk, desk.User, identity.CalledBack, "T-1"), "own_account")
		is(t, "of a colleague", record(desk, h.staff(org, "other", identity.RoleHelpDesk).User, identity.CalledBack, "T-1"), "higher_account")
		is(t, "of nobody", record(desk, "nobody", identity.CalledBack, "T-1"), "user_not_found")

		c, err := h.RecordCheck(ctx, desk, id, identity.VideoIdentified, "T-1", "passport")
		h.must(err)
		got, err := h.OwnCheck(ctx, desk, id, c.ID)
		h.must(err)
		if got.Method != identity.VideoIdentified || got.Ticket != "T-1" || got.Note != "passport" || !got.Expires.Equal(h.now().Add(30*time.Minute)) {
			t.Errorf("%+v", got)
		}
		_, err = h.OwnCheck(ctx, h.staff(org, "third", identity.RoleHelpDesk), id, c.ID)
		is(t, "a colleague's", err, "identity_check_invalid")
		events := h.events(audit.IdentityChecked)
		if len(events) != 1 || events[0].User != string(id) || events[0].Actor != desk.Name ||
			!maps.Equal(events[0].Details, map[string]string{"check": string(c.ID), "check_method": "video_identified", "ticket": "T-1"}) {
			t.Errorf("the trail: %+v", events)
		}

		// Whoever changes the number and calls must not be the one who is called back.
		is(t, "nobody to call back", record(desk, id, identity.CalledBack, "T-1"), "check_no_number")
		_, err = h.ChangeUser(ctx, operator, id, func(u *identity.User) { u.Claims.Phone = "+358401234567" })
		h.must(err)
		is(t, "a number of today", record(desk, id, identity.CalledBack, "T-1"), "check_no_number")
		h.add(identity.NewAddress)
		is(t, "a number of before", record(desk, id, identity.CalledBack, "T-1"), "")
	})
}

// S59, S60, S64: what each act leaves: the check and the ticket in the trail, and a
// letter to the person.
func TestActsOfTheHelpDeskAreKeptAndTold(t *testing.T) {
	each(t, func(h *house) {
		org := h.organisation("a", identity.MethodApp)
		desk := h.staff(org, "desk", identity.RoleHelpDesk)
		id := h.settled(org, "liisa")
		h.key[id] = h.withApp(id)
		why := h.why(desk, id)
		acts := h.acts()
		for _, c := range []struct {
			name   string
			event  audit.Type
			letter mail.Template
		}{
			{"unlock", audit.AuthenticatorUnlocked, mail.AuthenticatorUnlocked},
			{"resync", audit.AuthenticatorResynced, mail.AuthenticatorResynced},
			{"sessions", audit.SessionsEnded, mail.SessionsEnded},
			{"remove", audit.AuthenticatorRemoved, mail.AuthenticatorRemoved},
			{"linking code", audit.LinkingCodeIssued, mail.LinkingCodeIssued},
			{"order", audit.PasswordOrdered, mail.PasswordOrdered},
		} {
			before := h.letters()[c.letter]
			h.must(acts[c.name](desk, id, why))
			if n := h.letters()[c.letter]; n != before+1 {
				t.Errorf("%s: %d letters", c.name, n-before)
			}
			events := h.events(c.event)
			if len(events) != 1 {
				t.Fatalf("%s: %d events", c.name, len(events))
			}
			e := events[0]
			if e.Actor != desk.Name || e.User != string(id) || e.Reason != "" || e.Details[audit.Note] != why.Reason || e.Address != "192.0.2.9" || e.Details["check"] != string(why.Check) ||
				e.Details["check_method"] != "employer_confirmed" || e.Details["ticket"] != "T-1" {
				t.Errorf("%s: %+v", c.name, e)
			}
		}
		if p := h.person(id); p.User.Epoch != h.person(id).User.Epoch || p.Authenticator != nil || p.User.LinkingClosed.IsZero() {
			t.Errorf("after all: %+v", p)
		}
	})
}

// S60: neither a responsible user nor an operator in the Console does any of it, and the
// help desk not to itself, to colleagues or upwards.
func TestActsAreTheHelpDesksAlone(t *testing.T) {
	each(t, func(h *house) {
		org := h.organisation("a", identity.MethodApp)
		desk := h.staff(org, "desk", identity.RoleHelpDesk)
		id := h.settled(org, "liisa")
		why, auditor := h.why(desk, id), h.staff(org, "auditor", identity.RoleAuditor)
		for name, act := range h.acts() {
			for _, role := range identity.AllRoles {
				if role != identity.RoleHelpDesk {
					is(t, name+" by "+role.String(), act(identity.Actor{Name: "user:x", User: "x", Organisation: org, Roles: identity.RolesOf(role)}, id, why), "not_allowed")
				}
			}
			is(t, name+" by nobody", act(identity.Actor{}, id, why), "not_allowed")
			is(t, name+" on oneself", act(desk, desk.User, why), "own_account")
			is(t, name+" on an auditor", act(desk, auditor.User, why), "higher_account")
		}
	})
}

func TestActsAreCounted(t *testing.T) { // S64
	each(t, func(h *house) {
		ctx := t.Context()
		org := h.organisation("a", identity.MethodApp)
		desk := h.staff(org, "desk", identity.RoleHelpDesk)
		id := h.settled(org, "liisa")
		why := h.why(desk, id)
		for range throttle.DeskActPerPerson.Max {
			h.must(h.EndSessions(ctx, desk, id, why))
		}
		err := h.EndSessions(ctx, desk, id, why)
		is(t, "too often to one", err, "too_many_acts")
		if f, _ := fault.Of(err); f == nil || f.Kind != fault.Throttled || f.Args["n"] == "" {
			t.Errorf("%v", err)
		}
		h.must(h.Unlock(ctx, desk, id, why)) // another thing
		h.must(h.EndSessions(ctx, operator, id, identity.Why{Reason: "fire"}))
		for n := range throttle.DeskActPerActor.Max - throttle.DeskActPerPerson.Max - 1 {
			is(t, "nobody", h.EndSessions(ctx, desk, identity.UserID(fmt.Sprint("nobody-", n)), why), "user_not_found")
		}
		other := h.settled(org, "matti")
		is(t, "too often by one", h.EndSessions(ctx, desk, other, h.why(desk, other)), "too_many_acts")
		h.add(time.Hour)
		h.must(h.EndSessions(ctx, desk, other, h.why(desk, other)))
	})
}

// What is looked at is what is kept: space and line ends about a ticket or a note are not.
func TestWhatIsTypedIsKeptWithoutSpaceAboutIt(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		org := h.organisation("a", identity.MethodApp)
		desk, id := h.staff(org, "desk", identity.RoleHelpDesk), h.settled(org, "liisa")
		long := strings.Repeat(" ", 1000) + "\r\n"
		c, err := h.RecordCheck(ctx, desk, id, identity.EmployerConfirmed, long+"T-1"+long, long+"known"+long)
		h.must(err)
		if c.Ticket != "T-1" || c.Note != "known" {
			t.Errorf("kept %q, %q", c.Ticket, c.Note)
		}
		h.must(h.EndSessions(ctx, desk, id, identity.Why{Reason: long + "lost" + long, Ticket: long + "T-2" + long, Check: c.ID}))
		h.must(h.EndSessions(ctx, operator, id, identity.Why{Reason: "lost", Ticket: long + "T-2" + long}))
		for _, e := range h.events(audit.SessionsEnded) {
			if e.Details["ticket"] != "T-2" || e.Details[audit.Note] != "lost" {
				t.Errorf("the trail has %q", e.Details)
			}
		}
	})
}

// S60: whoever may close and open accounts gets past nobody's authenticator by that.
// The temporary password goes to them, and links nothing without user support.
func TestClosingAndOpeningAnAccountGivesNobodyAWayIn(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		org := h.organisation("a", identity.MethodApp, identity.MethodToken, identity.MethodCard)
		desk, resp := h.staff(org, "desk", identity.RoleHelpDesk), h.staff(org, "resp", identity.RoleResponsible)
		used, withCard, fresh := h.settled(org, "liisa"), h.settled(org, "kalle"), h.settled(org, "matti")
		key := h.withApp(used)
		h.add(time.Minute)
		_, err := h.VerifyCode(ctx, h.person(used), identity.Proof{Code: h.code(key, 0), Purpose: identity.ForSignIn, From: here})
		h.must(err)
		h.withCard(withCard, "fp-kalle")
		h.must(h.SignedIn(ctx, h.person(withCard), identity.MethodCard, "service", "", h.now()))
		again := func(id identity.UserID) {
			t.Helper()
			h.must(h.DisableUser(ctx, resp, id, identity.Why{Reason: "left"}))
			temporary, err := h.EnableUser(ctx, resp, id, identity.Why{Reason: "back"})
			h.must(err)
			p, err := h.VerifyPassword(ctx, h.person(id).User.Username, temporary, here)
			h.must(err)
			_, err = h.ReplaceTemporary(ctx, p, "another long password", "")
			h.must(err)
		}
		for _, id := range []identity.UserID{used, withCard} {
			again(id)
			for _, m := range identity.AllMethods {
				is(t, "may link "+m.String(), identity.MayLink(h.person(id), h.enrol(id), m, h.now()), "linking_code_required")
			}
			is(t, "a card", h.LinkCard(ctx, h.enrol(id), h.seen("fp-new")), "linking_code_required")
			is(t, "another first password", func() error { _, err := h.FirstPassword(ctx, resp, id); return err }(), "account_begun")
		}
		// A code of a call before is none for the opened account.
		old, _, err := h.IssueLinkingCode(ctx, desk, used, 24*time.Hour, h.why(desk, used))
		h.must(err)
		again(used)
		link := func(code string) error {
			s := h.enrol(used)
			s.LinkingCode = code
			return h.ConfirmAuthenticator(ctx, s, h.code(h.begin(used), 0), app)
		}
		is(t, "with a code of before", link(old), "linking_code_wrong")
		code, _, err := h.IssueLinkingCode(ctx, desk, used, time.Hour, h.why(desk, used))
		h.must(err)
		h.must(link(code))

		again(fresh) // who has never signed in has nothing to be taken
		h.withApp(fresh)
	})
}

// S61: after a removal a password alone links nothing; with the code it links once.
func TestLinkingAfterARemovalNeedsTheCode(t *testing.T) {
	for _, kind := range []identity.Method{identity.MethodApp, identity.MethodToken} { // S62
		each(t, func(h *house) {
			ctx := t.Context()
			org := h.organisation("a", identity.MethodApp, identity.MethodToken, identity.MethodCard)
			desk := h.staff(org, "desk", identity.RoleHelpDesk)
			id := h.settled(org, "liisa")
			h.withApp(id)
			statement := app
			statement.Kind = kind
			_, _, err := h.IssueLinkingCode(ctx, desk, id, time.Hour, h.why(desk, id))
			is(t, "a code while there is an authenticator", err, "linking_code_needless")
			h.must(h.RemoveAuthenticator(ctx, desk, id, h.why(desk, id)))

			self := h.enrol(id)
			for _, m := range identity.AllMethods {
				is(t, "may link "+m.String(), identity.MayLink(h.person(id), self, m, h.now()), "linking_code_required")
			}
			key := h.begin(id)
			confirm := func(code string) error {
				s := h.enrol(id)
				s.LinkingCode = code
				return h.ConfirmAuthenticator(ctx, s, h.code(key, 0), statement)
			}
			is(t, "without the code", confirm(""), "linking_code_required")
			is(t, "with a code that was never issued", confirm("k7wp-3mxd"), "linking_code_wrong")
			card := h.enrol(id)
			is(t, "a card without it", h.LinkCard(ctx, card, h.seen("fp")), "linking_code_required")
			card.LinkingCode = "k7wp-3mxd"
			is(t, "a card with a wrong one", h.LinkCard(ctx, card, h.seen("fp")), "linking_code_wrong")

			for _, lasts := range []time.Duration{0, identity.LinkingCodeShortest - 1, identity.LinkingCodeLongest + 1} {
				_, _, err := h.IssueLinkingCode(ctx, desk, id, lasts, h.why(desk, id))
				is(t, "a code for "+lasts.String(), err, "linking_code_life")
			}
			old, _, err := h.IssueLinkingCode(ctx, desk, id, 24*time.Hour, h.why(desk, id))
			h.must(err)
			code, issued, err := h.IssueLinkingCode(ctx, desk, id, identity.LinkingCodeShortest, h.why(desk, id))
			h.must(err)
			if issued.Hash != "" || !issued.Expires.Equal(h.now().Add(10*time.Minute)) {
				t.Errorf("issued %+v", issued)
			}
			stored, err := h.Store.LinkingCode(ctx, id)
			h.must(err)
			if stored.Hash == "" || stored.Hash == code {
				t.Error("the code is not stored as a hash")
			}
			is(t, "with the code before", confirm(old), "linking_code_wrong")
			h.add(10 * time.Minute)
			key = h.begin(id)
			is(t, "with the code when its time is up", confirm(code), "linking_code_wrong")

			code, _, err = h.IssueLinkingCode(ctx, desk, id, time.Hour, h.why(desk, id))
			h.must(err)
			right := h.code(key, 0)
			s := h.enrol(id)
			s.LinkingCode = code
			is(t, "a wrong code of the device", h.ConfirmAuthenticator(ctx, s, h.code(key, 15), statement), "otp_wrong")
			s.LinkingCode = " " + code[:4] + " " + string(code[5]-'a'+'A') + code[6:]
			if code[5] < 'a' {
				s.LinkingCode = code
			}
			h.must(h.ConfirmAuthenticator(ctx, s, right, statement))
			p := h.person(id)
			if p.Authenticator == nil || p.Authenticator.Kind != kind || !p.User.LinkingClosed.IsZero() {
				t.Errorf("linked: %+v", p)
			}
			_, err = h.Store.LinkingCode(ctx, id)
			is(t, "the code afterwards", err, "linking_code_not_found")
		})
	}
}

// Guesses are few, and the help desk's next code begins anew.
func TestLinkingCodesCannotBeGuessed(t *testing.T) { // S61
	each(t, func(h *house) {
		ctx := t.Context()
		org := h.organisation("a", identity.MethodApp, identity.MethodCard)
		desk := h.staff(org, "desk", identity.RoleHelpDesk)
		id := h.settled(org, "liisa")
		h.withApp(id)
		h.must(h.RemoveAuthenticator(ctx, desk, id, h.why(desk, id)))
		code, _, err := h.IssueLinkingCode(ctx, desk, id, time.Hour, h.why(desk, id))
		h.must(err)
		link := func(code string) error {
			s := h.enrol(id)
			s.LinkingCode = code
			return h.LinkCard(ctx, s, h.seen("fp"))
		}
		for range throttle.LinkingCodePerAccount.Max {
			is(t, "a guess", link("aaaa-aaaa"), "linking_code_wrong")
		}
		is(t, "the right one after too many", link(code), "throttled")
		code, _, err = h.IssueLinkingCode(ctx, desk, id, time.Hour, h.why(desk, id))
		h.must(err)
		h.must(link(code))
		if n := len(h.events(audit.LinkingCodeRefused)); n != int(throttle.LinkingCodePerAccount.Max) {
			t.Errorf("%d refusals in the trail", n)
		}
	})
}

// Whoever has another link signs in with it and needs no code; an Order that takes
// that link away brings the need back.
func TestAFullSignInNeedsNoLinkingCode(t *testing.T) { // S61
	each(t, func(h *house) {
		ctx := t.Context()
		org := h.organisation("a", identity.MethodApp, identity.MethodCard)
		desk := h.staff(org, "desk", identity.RoleHelpDesk)
		setUp := func(name string) identity.UserID {
			id := h.settled(org, name)
			h.withApp(id)
			full := h.enrol(id)
			full.Full, full.Proved = true, identity.MethodApp
			h.must(h.LinkCard(ctx, full, h.seen("fp-"+name)))
			h.must(h.RemoveAuthenticator(ctx, desk, id, h.why(desk, id)))
			return id
		}
		id := setUp("liisa")
		byCard := h.enrol(id)
		byCard.Full, byCard.Proved = true, identity.MethodCard
		is(t, "by card", identity.MayLink(h.person(id), byCard, identity.MethodApp, h.now()), "")
		key := h.begin2(byCard)
		h.must(h.ConfirmAuthenticator(ctx, byCard, h.code(key, 0), app))
		if !h.person(id).User.LinkingClosed.IsZero() {
			t.Error("linking is still closed")
		}

		id = setUp("matti")
		_, err := h.Order(ctx, desk, id, h.why(desk, id))
		h.must(err)
		_, err = h.ReplaceTemporary(ctx, h.person(id), "another long password of mine", "")
		h.must(err)
		is(t, "after an Order", h.LinkCard(ctx, h.enrol(id), h.seen("new")), "linking_code_required")
	})
}

// A card that has to wait costs the code when it is asked for, and links without
// another; one that was asked for before the removal does not.
func TestACardThatWaitsAndTheLinkingCode(t *testing.T) { // S29, S61
	each(t, func(h *house) {
		ctx := t.Context()
		org := h.organisation("a", identity.MethodApp, identity.MethodCard)
		desk := h.staff(org, "desk", identity.RoleHelpDesk)
		id := h.settled(org, "liisa")
		h.withApp(id)
		h.must(h.RemoveAuthenticator(ctx, desk, id, h.why(desk, id)))
		is(t, "without the code", h.LinkCard(ctx, h.enrol(id), h.near("fp")), "linking_code_required")
		code, _, err := h.IssueLinkingCode(ctx, desk, id, time.Hour, h.why(desk, id))
		h.must(err)
		h.add(time.Second)
		self := h.enrol(id)
		self.LinkingCode = code
		is(t, "with it", h.LinkCard(ctx, self, h.near("fp")), "card_awaits_approval")
		is(t, "with it again", h.LinkCard(ctx, self, h.near("fp")), "linking_code_wrong")
		is(t, "meanwhile", identity.MayLink(h.person(id), h.enrol(id), identity.MethodApp, h.now()), "linking_code_required")
		waiting, err := h.Store.CardApprovals(ctx, identity.ApprovalsOf{User: id}, h.now())
		h.must(err)
		h.must(h.ApproveCard(ctx, desk, waiting[0].Card.ID, "saw it"))
		if p := h.person(id); p.Card == nil || !p.User.LinkingClosed.IsZero() {
			t.Errorf("approved: %+v", p)
		}

		// Asked for on the first day, then an authenticator came and went.
		id = h.settled(org, "matti")
		is(t, "on the first day", h.LinkCard(ctx, h.enrol(id), h.near("fp2")), "card_awaits_approval")
		h.withApp(id)
		h.must(h.RemoveAuthenticator(ctx, desk, id, h.why(desk, id)))
		waiting, err = h.Store.CardApprovals(ctx, identity.ApprovalsOf{User: id}, h.now())
		h.must(err)
		is(t, "an old wish", h.ApproveCard(ctx, desk, waiting[0].Card.ID, "saw it"), "card_approval_overtaken")
	})
}

// Fifty tabs with one linking code: one link.
func TestALinkingCodeLinksOnce(t *testing.T) { // S61
	each(t, func(h *house) {
		ctx := t.Context()
		org := h.organisation("a", identity.MethodApp, identity.MethodCard)
		desk := h.staff(org, "desk", identity.RoleHelpDesk)
		id := h.settled(org, "liisa")
		h.withApp(id)
		h.must(h.RemoveAuthenticator(ctx, desk, id, h.why(desk, id)))
		code, _, err := h.IssueLinkingCode(ctx, desk, id, time.Hour, h.why(desk, id))
		h.must(err)
		stored, err := h.Store.LinkingCode(ctx, id)
		h.must(err)
		self := h.enrol(id)
		self.LinkingCode = code
		var taken, linked atomic.Int32
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				if h.LinkCard(ctx, self, h.near("fp")) != nil {
					return
				}
				linked.Add(1)
			})
		}
		all.Wait()
		if asked := len(h.events(audit.CardApprovalAsked)); asked != 1 || linked.Load() != 0 {
			t.Errorf("%d cards wait, %d are linked", asked, linked.Load())
		}
		h.must(h.Store.Change(ctx, func(tx identity.Tx) error { return tx.SetLinkingCode(stored) }))
		for range 50 {
			all.Go(func() {
				err := h.Store.Change(ctx, func(tx identity.Tx) error {
					ok, err := tx.TakeLinkingCode(id, stored.Hash)
					if ok {
						taken.Add(1)
					}
					return err
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if taken.Load() != 1 {
			t.Errorf("taken %d times", taken.Load())
		}
	})
}

// Fifty browsers link an authenticator with one linking code and one code of the
// device: one link, and one letter of it.
func TestFiftyAuthenticatorsWithOneLinkingCode(t *testing.T) { // S61
	each(t, func(h *house) {
		ctx := t.Context()
		org := h.organisation("a", identity.MethodApp)
		desk := h.staff(org, "desk", identity.RoleHelpDesk)
		id := h.settled(org, "liisa")
		h.withApp(id)
		h.must(h.RemoveAuthenticator(ctx, desk, id, h.why(desk, id)))
		code, _, err := h.IssueLinkingCode(ctx, desk, id, time.Hour, h.why(desk, id))
		h.must(err)
		key := h.begin(id)
		before, right := len(h.events(audit.AuthenticatorLinked)), h.code(key, 0)
		h.clearLetters()
		self := h.enrol(id)
		self.LinkingCode = code
		var linked atomic.Int32
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				if h.ConfirmAuthenticator(ctx, self, right, app) == nil {
					linked.Add(1)
				}
			})
		}
		all.Wait()
		if got := len(h.events(audit.AuthenticatorLinked)) - before; linked.Load() != 1 || got != 1 {
			t.Errorf("linked %d times, %d in the trail", linked.Load(), got)
		}
		if got := h.letters()[mail.AuthenticatorLinked]; got != 1 {
			t.Errorf("%d letters", got)
		}
		_, err = h.Store.LinkingCode(ctx, id)
		is(t, "the code afterwards", err, "linking_code_not_found")
		if p := h.person(id); p.Authenticator == nil || !p.User.LinkingClosed.IsZero() {
			t.Errorf("afterwards: %+v", p)
		}
	})
}

func TestUnlock(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		org := h.organisation("a", identity.MethodApp)
		desk := h.staff(org, "desk", identity.RoleHelpDesk)
		id := h.settled(org, "liisa")
		key := h.withApp(id)
		for range 5 {
			_, err := h.VerifyCode(ctx, h.person(id), identity.Proof{Code: h.code(key, 900), Purpose: identity.ForSignIn, From: here})
			is(t, "a wrong code", err, "otp_wrong")
		}
		_, err := h.VerifyCode(ctx, h.person(id), identity.Proof{Code: h.code(key, 0), Purpose: identity.ForSignIn, From: here})
		is(t, "the right one after five wrong ones", err, "throttled")
		h.must(h.Unlock(ctx, desk, id, h.why(desk, id)))
		if a := h.person(id).Authenticator; a.Failures != 0 || !a.BlockedUntil.IsZero() {
			t.Errorf("unlocked: %+v", a)
		}
		_, err = h.VerifyCode(ctx, h.person(id), identity.Proof{Code: h.code(key, 0), Purpose: identity.ForSignIn, From: here})
		h.must(err)
	})
}

// S47: two codes of a row within twenty minutes start the clock over; they sign
// nobody in afterwards.
func TestResync(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		org := h.organisation("a", identity.MethodApp)
		desk := h.staff(org, "desk", identity.RoleHelpDesk)
		for _, off := range []int64{39, 20, 3, 0, -3, -20, -39} { // steps that the device is fast
			id := h.settled(org, "liisa"+time.Duration(off).String())
			key := h.withApp(id)
			h.add(time.Hour) // nothing that comes is before the last step
			verify := func(steps int64) error {
				_, err := h.VerifyCode(ctx, h.person(id), identity.Proof{Code: h.code(key, off+steps), Purpose: identity.ForSignIn, From: here})
				return err
			}
			why := h.why(desk, id)
			resync := func(one, two string) error {
				_, err := h.ResyncAuthenticator(ctx, desk, id, one, two, why)
				return err
			}
			is(t, "the same code twice", resync(h.code(key, off), h.code(key, off)), "resync_no_match")
			is(t, "one left out", resync(h.code(key, off-2), h.code(key, off)), "resync_no_match")
			is(t, "the wrong way round", resync(h.code(key, off), h.code(key, off-1)), "resync_no_match")
			is(t, "no code", resync(h.code(key, off-1), "12345"), "resync_digits")
			is(t, "too far away", resync(h.code(key, 41), h.code(key, 42)), "resync_no_match")
			one, two := h.code(key, off-1), h.code(key, off)
			h.must(resync(one, two))
			drift := h.person(id).Authenticator.Drift
			if d := drift - off*30; d < -30 || d > 30 {
				t.Errorf("%d steps fast: learnt %d s", off, drift)
			}
			is(t, "once more", resync(one, two), "resync_spent")
			is(t, "the second code", verify(0), "otp_used")
			h.add(30 * time.Second)
			h.must(verify(0))
		}
	})
}

// begin2 begins linking as somebody signed in.
func (h *house) begin2(self identity.Self) []byte {
	h.t.Helper()
	e, err := h.BeginAuthenticator(h.t.Context(), self)
	h.must(err)
	return unspelled(h.t, e.Base32)
}

// S47: a token that gains or loses two minutes a year and is used once a month
// signs in for three years, and its offset is known then.
func TestAHardwareClockForThreeYears(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		org := h.organisation("a", identity.MethodToken)
		for _, perMonth := range []time.Duration{10 * time.Second, -10 * time.Second} {
			id := h.settled(org, "liisa"+perMonth.String())
			key := h.begin(id)
			statement := app
			statement.Kind = identity.MethodToken
			h.must(h.ConfirmAuthenticator(ctx, h.enrol(id), h.code(key, 0), statement))
			for month := range 36 {
				h.add(30 * 24 * time.Hour)
				shows := h.now().Add(perMonth * time.Duration(month+1))
				code, err := totp.Code(key, totp.Step(shows))
				h.must(err)
				if _, err := h.VerifyCode(ctx, h.person(id), identity.Proof{Code: code, Purpose: identity.ForSignIn, From: here}); err != nil {
					t.Fatalf("%s a month, month %d: %v", perMonth, month+1, err)
				}
			}
			want := int64(36 * perMonth / time.Second)
			if d := h.person(id).Authenticator.Drift - want; d < -45 || d > 45 {
				t.Errorf("%s a month: drift %d after three years, want about %d", perMonth, d+want, want)
			}
		}
	})
}

// What the help desk sees.
func TestCase(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		org := h.organisation("a", identity.MethodApp)
		desk := h.staff(org, "desk", identity.RoleHelpDesk)
		id := h.settled(org, "liisa")
		h.withApp(id)
		h.must(h.RemoveAuthenticator(ctx, desk, id, h.why(desk, id)))
		_, _, err := h.IssueLinkingCode(ctx, desk, id, time.Hour, h.why(desk, id))
		h.must(err)
		c, err := h.Case(ctx, desk, id)
		h.must(err)
		if c.User.ID != id || c.Linking.Hash != "" || !c.Linking.Expires.Equal(h.now().Add(time.Hour)) {
			t.Errorf("%+v", c)
		}
		h.add(time.Hour)
		if c, err = h.Case(ctx, desk, id); err != nil || c.Linking != (identity.LinkingCode{}) {
			t.Errorf("%+v %v", c, err)
		}
		_, err = h.Case(ctx, identity.Actor{Name: "user:x", Roles: identity.RolesOf(identity.RoleResponsible), Organisation: org}, id)
		is(t, "a responsible user", err, "not_allowed")
		if !slices.Contains(identity.CheckMethods, identity.CalledBack) {
			t.Error("no call back")
		}
	})
}
