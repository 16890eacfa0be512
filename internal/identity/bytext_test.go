package identity_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/mail"
	"github.com/portti-id/portti/internal/throttle"
)

const number = "+358401234567"

// texted is an organisation that has text messages carry passwords.
func (h *house) texted(id string) identity.OrganisationID {
	h.t.Helper()
	org := h.organisation(id, identity.MethodApp, identity.MethodCard)
	_, err := h.ChangeOrganisation(h.t.Context(), operator, org, func(o *identity.Organisation) { o.Delivery = identity.BySMS })
	h.must(err)
	return org
}

// byPhone is somebody settled who has a phone and no e-mail address, and has had it
// for a while.
func (h *house) byPhone(org identity.OrganisationID, name, phone string) identity.UserID {
	h.t.Helper()
	u, _, err := h.CreateUser(h.t.Context(), operator, identity.User{Username: name, Organisation: org, GivenName: "Liisa", FamilyName: "Meikäläinen", Language: "sv",
		Claims: identity.Claims{Phone: phone}})
	h.must(err)
	_, err = h.ReplaceTemporary(h.t.Context(), h.person(u.ID), own, "")
	h.must(err)
	return u.ID
}

// S51, S52, S55: who has no e-mail address gets the link in a text message to the
// registered phone, and the temporary password in another one. Neither names the
// account, and nothing is ordered before the button.
func TestAskingByTextMessage(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		h.Links = "https://portti.example.test/order/link/"
		id := h.byPhone(h.texted("org"), "liisa", "+358 40 123-4567")
		h.withApp(id)
		h.withCardAfterCode(id)
		h.post()
		before := h.person(id)

		h.must(h.Ask(ctx, "Liisa", here))
		if sent := h.post(); len(sent) != 0 {
			t.Errorf("before anything is decided: %+v", sent)
		}
		h.decide()
		if after := h.person(id); after.User != before.User || after.Password != before.Password || after.Card == nil {
			t.Errorf("an ask changed the person: %+v", after)
		}
		sent := h.post()
		if len(sent) != 1 || sent[0].Channel != mail.ByText || sent[0].To != number || sent[0].Template != mail.PasswordAsked || sent[0].Language != "sv" ||
			sent[0].Args["password"] != "" || !sent[0].Expires.Equal(h.now().Add(identity.ToOrderLasts)) {
			t.Fatalf("sent %+v", sent)
		}
		if e := h.events(audit.PasswordAsked); len(e) != 1 || e[0].Reason != "link_mailed" || !maps.Equal(e[0].Details, map[string]string{"channel": "text"}) {
			t.Errorf("the trail: %+v", e)
		}
		secret, _, _ := strings.Cut(strings.TrimPrefix(sent[0].Args["link"], h.Links), "?")
		h.must(h.ConfirmOrder(ctx, secret, "192.0.2.7"))
		after := h.person(id)
		if !after.Password.Temporary || after.Card != nil || after.User.Epoch == before.User.Epoch || after.Authenticator == nil {
			t.Errorf("after the order: %+v", after)
		}
		sent = h.post()
		slices.SortFunc(sent, func(a, b mail.Letter) int { return strings.Compare(b.Args["password"], a.Args["password"]) })
		if len(sent) != 2 {
			t.Fatalf("the password, and the link: %+v", sent)
		}
		for i, m := range sent {
			if m.Channel != mail.ByText || m.To != number || m.Template != mail.PasswordOrdered || (m.Args["password"] != "") != (i == 0) || (m.Args["link"] != "") != (i == 1) || m.Expires.IsZero() != (i == 1) {
				t.Errorf("message %d: %+v", i, m)
			}
		}
		if _, err := h.VerifyPassword(ctx, "liisa", sent[0].Args["password"], here); err != nil {
			t.Errorf("the message's password: %v", err)
		}
		if err := h.ConfirmOrder(ctx, secret, ""); fault.Code(err) != "mailed_link_spent" {
			t.Errorf("the link once more: %v", err)
		}

		// "This was not me", by the other message: once.
		secret, _, _ = strings.Cut(strings.TrimPrefix(sent[1].Args["link"], h.Links), "?")
		if l, err := h.MailedLink(ctx, secret); err != nil || l.Purpose != identity.NotMe || h.person(id).User.Frozen != (time.Time{}) {
			t.Errorf("looked at: %+v, %v", l, err)
		}
		h.must(h.FreezeByLink(ctx, secret, "192.0.2.7"))
		if h.person(id).User.Frozen.IsZero() {
			t.Error("not frozen")
		}
		if told := h.post(); len(told) != 1 || told[0].Template != mail.AccountFrozen || told[0].Channel != mail.ByText {
			t.Errorf("told of the freezing: %+v", told)
		}
		if err := h.FreezeByLink(ctx, secret, ""); fault.Code(err) != "mailed_link_spent" {
			t.Errorf("once more: %v", err)
		}
	})
}

// An Order whose password is handed over, because the number is new, is told with the
// link as well.
func TestAnOrderThatIsHandedOverIsToldByTextMessage(t *testing.T) { // S55, S59
	each(t, func(h *house) {
		h.Links = "https://portti.example.test/order/link/"
		id := h.byPhone(h.texted("org"), "liisa", number)
		h.changed(id, func(u *identity.User) { u.Claims.Phone = "+358409999999" })
		h.post()
		_, err := h.Order(t.Context(), operator, id, lost)
		h.must(err)
		sent := h.post()
		if len(sent) != 1 || sent[0].Channel != mail.ByText || sent[0].Args["password"] != "" {
			t.Fatalf("%+v", sent)
		}
		secret, _, _ := strings.Cut(strings.TrimPrefix(sent[0].Args["link"], h.Links), "?")
		h.must(h.FreezeByLink(t.Context(), secret, ""))
	})
}

// withCardAfterCode links a card to somebody who signs in by code.
func (h *house) withCardAfterCode(id identity.UserID) {
	h.t.Helper()
	self := h.enrol(id)
	self.Full, self.Proved = true, identity.MethodApp
	seen := h.seen("fp of " + string(id))
	seen.Holder.Serial = string(id)
	h.must(h.LinkCard(h.t.Context(), self, seen))
}

// What an ask comes to where text messages carry passwords: the letter's link where
// there is an address, the phone where there is none, and user support where the
// contact is new, leads nowhere or is none of the organisation's ways (S55).
func TestWhatAnAskByTextMessageComesTo(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		org := h.texted("org")
		both := h.byPhone(org, "both", number)
		h.changed(both, func(u *identity.User) { u.Email = "both@example.test" })
		h.byPhone(org, "phone", number)
		inside := h.byPhone(org, "inside", number)
		h.changed(inside, func(u *identity.User) { u.Claims.Phone = number + ";ext=7" })
		address := h.byPhone(org, "address", number)
		h.changed(address, func(u *identity.User) { u.Email, u.Claims.Phone = "address@example.test", "" })
		gone := h.byPhone(org, "gone", number)
		h.changed(gone, func(u *identity.User) { u.Claims.Phone = "" })
		h.must(h.DisableUser(ctx, operator, h.byPhone(org, "closed", number), lost))
		handed := h.organisation("hand", identity.MethodApp)
		_, err := h.ChangeOrganisation(ctx, operator, handed, func(o *identity.Organisation) { o.Delivery = identity.ByHandover })
		h.must(err)
		h.byPhone(handed, "by.hand", number)
		h.add(identity.NewAddress)
		moved := h.byPhone(org, "moved", number)
		h.changed(moved, func(u *identity.User) { u.Claims.Phone = "+358409999999" })
		h.post()
		n := 0
		for name, c := range map[string]struct {
			reason   string
			template mail.Template
			by       mail.Channel
		}{
			"both":    {"link_mailed", mail.PasswordAsked, mail.ByMail},
			"phone":   {"link_mailed", mail.PasswordAsked, mail.ByText},
			"address": {"no_contact", mail.PasswordAskedSupport, mail.ByMail}, // the password could not follow
			"moved":   {"contact_changed", mail.PasswordAskedSupport, mail.ByText},
			"inside":  {"no_contact", "", ""},
			"gone":    {"no_contact", "", ""},
			"closed":  {"account_disabled", "", ""},
			"by.hand": {"no_contact", "", ""},
			"nobody":  {"unknown_username", "", ""},
		} {
			n++
			h.must(h.Ask(ctx, name, from(n)))
			h.decide()
			if e := h.events(audit.PasswordAsked); len(e) != n || e[0].Reason != c.reason {
				t.Errorf("%s: %+v", name, e[0])
			}
			sent := h.post()
			if c.template == "" && len(sent) != 0 || c.template != "" && (len(sent) != 1 || sent[0].Template != c.template || sent[0].Channel != c.by) {
				t.Errorf("%s: %+v", name, sent)
			}
			for _, l := range sent {
				if (l.Args["link"] != "") != (c.reason == "link_mailed") {
					t.Errorf("%s: the link is %q", name, l.Args["link"])
				}
			}
		}
	})
}

// The button asks again: a number that has changed since gets no password, and the
// work of an ask is the same whoever is asked for, with a phone or without (S43, S51).
func TestAPhoneThatChangesUnderALink(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		h.Links = "https://portti.example.test/order/link/"
		org := h.texted("org")
		id := h.byPhone(org, "liisa", number)
		h.post()
		h.must(h.Ask(ctx, "liisa", here))
		h.decide()
		secret := h.link(mail.PasswordAsked)
		h.changed(id, func(u *identity.User) { u.Claims.Phone = "+358409999999" })
		before := h.person(id)
		is(t, "the button", h.ConfirmOrder(ctx, secret, ""), "order_by_support")
		if h.person(id).Password != before.Password {
			t.Error("ordered all the same")
		}

		c := &calls{}
		counted := *h.Directory
		counted.Store, counted.Throttle = countedStore{h.Store, c}, &throttle.Throttle{Store: countedEphemeral{h.Ephemeral, c}}
		counted.Audit, counted.Ephemeral = nil, nil
		made := map[string]bool{}
		for i, name := range []string{"liisa", "nobody", "liisa"} {
			c.made = nil
			h.must(counted.Ask(ctx, name, from(i)))
			made[strings.Join(c.made, " ")] = true
		}
		if len(made) != 1 {
			t.Errorf("the work differs: %v", made)
		}
	})
}

// S59: without an e-mail address changes of the account are told to the phone; a new
// number at both, so that whoever had the old one hears of it.
func TestChangesAreToldToThePhone(t *testing.T) {
	each(t, func(h *house) {
		id := h.byPhone(h.texted("org"), "liisa", number)
		h.post()
		h.must(h.EndSessions(t.Context(), operator, id, lost))
		if sent := h.post(); len(sent) != 1 || sent[0].Channel != mail.ByText || sent[0].To != number || sent[0].Template != mail.SessionsEnded {
			t.Errorf("sessions ended: %+v", sent)
		}
		h.changed(id, func(u *identity.User) { u.Claims.Phone = "+358 40 999 9999" })
		if sent := h.post(); len(sent) != 2 || sent[0].To != number || sent[1].To != "+358409999999" || sent[0].Template != mail.ContactChanged || sent[1].Channel != mail.ByText {
			t.Errorf("another number: %+v", sent)
		}
		// Whoever puts an address of their own there does not hear in the person's place
		// what else they change.
		h.changed(id, func(u *identity.User) { u.Email, u.FamilyName = "thief@example.test", "Virtanen" })
		told := map[string]string{}
		for _, l := range h.post() {
			told[string(l.Template)+" "+l.To] = l.Args["name"]
		}
		want := map[string]string{"contact_changed +358409999999": "Liisa Meikäläinen", "contact_changed thief@example.test": "Liisa Virtanen", "name_changed +358409999999": "Liisa Virtanen"}
		if !maps.Equal(told, want) {
			t.Errorf("told %v, want %v", told, want)
		}
		// And who has neither: nobody can be told.
		h.changed(id, func(u *identity.User) { u.Email, u.Claims.Phone = "", "" })
		h.post()
		h.must(h.EndSessions(t.Context(), operator, id, lost))
		if sent := h.post(); len(sent) != 0 {
			t.Errorf("sent to nobody: %+v", sent)
		}
	})
}

// The name that a card is compared with (S29) is told of; what is no name is not.
func TestANameThatChangesIsTold(t *testing.T) {
	each(t, func(h *house) {
		org := h.organisation("org", identity.MethodCard)
		id := h.settled(org, "liisa")
		for what, c := range map[string]struct {
			edit func(u *identity.User)
			told bool
		}{
			"given name":  {func(u *identity.User) { u.GivenName = "Elisabet" }, true},
			"family name": {func(u *identity.User) { u.FamilyName = "Virtanen" }, true},
			"middle name": {func(u *identity.User) { u.Claims.MiddleName = "Maria" }, true},
			"language":    {func(u *identity.User) { u.Language = "sv" }, false},
			"nickname":    {func(u *identity.User) { u.Claims.Nickname = "Lissu" }, false},
			"nothing":     {func(*identity.User) {}, false},
		} {
			h.post()
			h.changed(id, c.edit)
			sent := h.post()
			if c.told != (len(sent) == 1) || c.told && (sent[0].Template != mail.NameChanged || sent[0].Args["name"] != h.person(id).User.Name()) {
				t.Errorf("%s: %+v", what, sent)
			}
		}
	})
}
