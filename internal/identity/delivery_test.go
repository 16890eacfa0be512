package identity_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/mail"
	"github.com/portti-id/portti/internal/storetest"
)

// post opens the outbox, and empties it.
func (h *house) post() (letters []mail.Letter) {
	h.t.Helper()
	queued, err := h.db.LeaseLetters(h.t.Context(), 1000, h.now().Add(1000*time.Hour), time.Nanosecond)
	h.must(err)
	for _, q := range queued {
		raw, err := storetest.Unseal(q.Sealed, q.ID)
		h.must(err)
		var l mail.Letter
		h.must(json.Unmarshal(raw, &l))
		letters = append(letters, l)
		h.must(h.db.LetterSent(h.t.Context(), q.ID))
	}
	slices.SortFunc(letters, func(a, b mail.Letter) int {
		return slices.Compare([]string{string(a.Channel), a.To}, []string{string(b.Channel), b.To})
	})
	return letters
}

var why = identity.Why{Reason: "forgotten", Ticket: "T-1"}

// By which way a temporary password goes: each way, and never to a contact that has
// just changed (S55).
func TestDeliveryOfTemporaryPasswords(t *testing.T) {
	const phone = "+358 40 123-4567"
	for _, c := range []struct {
		name         string
		delivery     identity.Delivery
		email, phone string
		fresh        bool   // the contact has just changed
		way, instead string // as the trail tells
	}{
		{"letter", identity.ByLetter, "a@example.test", phone, false, "letter", ""},
		{"letter without address", identity.ByLetter, "", phone, false, "handover", "no_contact"},
		{"letter to a new address", identity.ByLetter, "a@example.test", phone, true, "handover", "contact_changed"},
		{"text", identity.BySMS, "a@example.test", phone, false, "sms", ""},
		{"text without a letter beside it", identity.BySMS, "", phone, false, "sms", ""},
		{"text to nothing", identity.BySMS, "a@example.test", "", false, "handover", "no_contact"},
		{"text to a number that is written for people", identity.BySMS, "a@example.test", "+358 40 123 4567;ext=7", false, "handover", "no_contact"},
		{"text to a new number", identity.BySMS, "a@example.test", phone, true, "handover", "contact_changed"},
		{"handover", identity.ByHandover, "a@example.test", phone, false, "handover", ""},
		{"handover, new", identity.ByHandover, "a@example.test", phone, true, "handover", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t, storetest.Open(t, "sqlite"))
			ctx := t.Context()
			org := h.organisation("org", identity.MethodApp)
			id := h.settled(org, "liisa")
			_, err := h.ChangeUser(ctx, operator, id, func(u *identity.User) { u.Email, u.Claims.Phone = c.email, c.phone })
			h.must(err)
			_, err = h.ChangeOrganisation(ctx, operator, org, func(o *identity.Organisation) { o.Delivery = c.delivery })
			h.must(err)
			if !c.fresh {
				h.add(identity.NewAddress)
			}
			h.post()
			pw, err := h.Order(ctx, operator, id, why)
			h.must(err)
			e := h.events(audit.PasswordOrdered)[0]
			if e.Details["delivery"] != c.way || e.Details["delivery_reason"] != c.instead {
				t.Errorf("the trail says %v", e.Details)
			}
			letters := h.post()
			want := 0
			if c.email != "" {
				want++
			}
			if c.way == "sms" {
				want++
				if c.email == "" {
					want++ // the link, which the letter has otherwise
				}
			}
			if len(letters) != want {
				t.Fatalf("%d letters, want %d: %+v", len(letters), want, letters)
			}
			for _, l := range letters {
				text := l.Channel == mail.ByText
				if text && c.email == "" && l.Args["link"] != "" && l.Args["password"] == "" && l.To == "+358401234567" {
					continue
				}
				carries := l.Args["password"] == pw
				if carries != (text || c.way == "letter") || !carries && l.Args["password"] != "" || text && (l.To != "+358401234567" || len(l.Args) != 4) || !text && l.To != c.email {
					t.Errorf("%+v", l)
				}
				if l.Args["hours"] != itoa(identity.OrderedPasswordLasts.Hours()) || !text && l.Args["freeze_hours"] != itoa(identity.NotMeLasts.Hours()) {
					t.Errorf("how long things are good: %+v", l.Args)
				}
				if carries != l.Expires.Equal(h.now().Add(identity.OrderedPasswordLasts)) || carries == l.Expires.IsZero() {
					t.Errorf("it is over at %v", l.Expires)
				}
				if !text && (l.Args["phone"] != "") != (c.way == "sms") {
					t.Errorf("the letter tells of a text message: %+v", l.Args)
				}
			}
		})
	}
}

// An account that was just made is told of by its contacts, new as they are; one
// that could not be reached is not made.
func TestTheFirstPasswordGoesToTheContactsOfTheAccount(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		org := h.organisation("org", identity.MethodApp)
		_, err := h.ChangeOrganisation(ctx, operator, org, func(o *identity.Organisation) { o.Delivery = identity.BySMS })
		h.must(err)
		u := identity.User{Username: "liisa", Organisation: org, GivenName: "Liisa", FamilyName: "M", Email: "l@example.test", Language: "sv"}
		if _, _, err := h.CreateUser(ctx, operator, u); fault.Code(err) != "phone_required" {
			t.Errorf("without a number: %v", err)
		}
		u.Claims.Phone = "+358401234567"
		made, pw, err := h.CreateUser(ctx, operator, u)
		h.must(err)
		letters := h.post()
		if len(letters) != 2 || letters[1].Channel != mail.ByText || letters[1].Args["password"] != pw || letters[1].Language != "sv" || letters[0].Args["password"] != "" || letters[0].Args["phone"] != "…67" ||
			!letters[1].Expires.Equal(h.now().Add(identity.FirstPasswordLasts)) || letters[1].Organisation != "org" {
			t.Errorf("%+v", letters)
		}
		for _, l := range letters {
			if l.Args["days"] != itoa(identity.FirstPasswordLasts.Hours()/24) {
				t.Errorf("how long the password is good: %+v", l.Args)
			}
		}
		if e := h.events(audit.UserCreated); e[0].Details["delivery"] != "sms" {
			t.Errorf("%+v", e[0])
		}
		// S55: whoever may change the number may not have the next password sent there.
		h.must(h.DisableUser(ctx, operator, made.ID, identity.Why{Reason: "left"}))
		_, err = h.ChangeUser(ctx, operator, made.ID, func(u *identity.User) { u.Claims.Phone = "+358409999999" })
		h.must(err)
		h.post()
		_, err = h.EnableUser(ctx, operator, made.ID, identity.Why{Reason: "back"})
		h.must(err)
		for _, l := range h.post() {
			if l.Channel == mail.ByText || l.Args["password"] != "" || l.Args["hours"] != itoa(identity.OrderedPasswordLasts.Hours()) || l.Template != mail.AccountEnabled {
				t.Errorf("%+v", l)
			}
		}
	})
}

// A person whose employer has text messages carry passwords may order one alone.
func TestOrderingAloneByTextMessage(t *testing.T) { // S55, S58
	each(t, func(h *house) {
		ctx := t.Context()
		org := h.organisation("org", identity.MethodApp, identity.MethodCard)
		id := h.settled(org, "liisa")
		_, err := h.ChangeUser(ctx, operator, id, func(u *identity.User) { u.Claims.Phone = "+358401234567" })
		h.must(err)
		_, err = h.ChangeOrganisation(ctx, operator, org, func(o *identity.Organisation) { o.Delivery = identity.BySMS })
		h.must(err)
		self := identity.Self{User: id, Session: "sid", Full: true, Proved: identity.MethodCard, AuthTime: h.now()}
		if err := h.OrderOwn(ctx, self); fault.Code(err) != "order_by_support" {
			t.Errorf("to a new number: %v", err)
		}
		h.add(identity.NewAddress)
		self.AuthTime = h.now()
		h.post()
		h.must(h.OrderOwn(ctx, self))
		if letters := h.post(); len(letters) != 2 || letters[1].Channel != mail.ByText {
			t.Errorf("%+v", letters)
		}
	})
}

func itoa(n float64) string { return fmt.Sprint(int(n)) }
