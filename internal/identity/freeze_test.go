package identity_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/mail"
	"github.com/portti-id/portti/internal/storetest"
)

// link is the secret in the newest letter of a template.
func (h *house) link(template mail.Template) string {
	h.t.Helper()
	l := h.letter(template)
	secret, ok := strings.CutPrefix(l.Args["link"], h.Links)
	secret, _, _ = strings.Cut(secret, "?")
	if !ok || secret == "" {
		h.t.Fatalf("the letter %s has the link %q", template, l.Args["link"])
	}
	return secret
}

// letter is the only one of a template that waits.
func (h *house) letter(template mail.Template) (found mail.Letter) {
	h.t.Helper()
	queued, err := h.db.LeaseLetters(h.t.Context(), 100, time.Now().Add(time.Hour), time.Nanosecond)
	h.must(err)
	n := 0
	for _, q := range queued {
		raw, err := storetest.Unseal(q.Sealed, q.ID)
		h.must(err)
		var l mail.Letter
		h.must(json.Unmarshal(raw, &l))
		if l.Template == template {
			found, n = l, n+1
		}
	}
	if n != 1 {
		h.t.Fatalf("%d letters %s", n, template)
	}
	return found
}

var lost = identity.Why{Reason: "lost card", Ticket: "T-1"}

// helpDesk is a colleague who may help callers, with an account of her own.
var helpDesk = identity.Actor{Name: "user:desk", User: "desk", Roles: identity.RolesOf(identity.RoleHelpDesk)}

// S59: "this was not me" closes every way in, and user support alone opens it again.
func TestAFrozenAccountIsShut(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		id := h.settled(h.organisation("org", identity.MethodApp, identity.MethodCard), "liisa")
		h.withApp(id)
		temporary, err := h.Order(ctx, operator, id, lost)
		h.must(err)
		secret := h.link(mail.PasswordOrdered)
		p, err := h.VerifyPassword(ctx, "liisa", temporary, here)
		h.must(err)
		_, err = h.ReplaceTemporary(ctx, p, "somebody else's password", "")
		h.must(err)
		self := h.enrol(id)
		self.Full, self.Proved, self.AuthTime = true, identity.MethodApp, h.now()
		h.must(h.LinkCard(ctx, self, h.seen("fp")))
		before := h.person(id)

		h.must(h.FreezeByLink(ctx, secret, "192.0.2.9"))
		after := h.person(id)
		if after.User.Frozen.IsZero() || after.User.Epoch <= before.User.Epoch || after.Card == nil || after.Authenticator == nil {
			t.Errorf("after the freezing: %+v", after)
		}
		for name, f := range map[string]struct {
			do   func() error
			want string
		}{
			"wrong password": {func() error { _, err := h.VerifyPassword(ctx, "liisa", "wrong", here); return err }, "wrong_credentials"},
			"right password": {func() error {
				_, err := h.VerifyPassword(ctx, "liisa", "somebody else's password", here)
				return err
			}, "account_frozen"},
			"linked card": {func() error { _, err := h.CardHolder(ctx, card.Holder{Fingerprint: "fp"}); return err }, "account_frozen"},
			"session":     {func() error { _, err := h.Standing(ctx, id, before.User.Epoch, ""); return err }, "session_expired"},
			"new session": {func() error { _, err := h.Standing(ctx, id, after.User.Epoch, ""); return err }, "session_expired"},
			"linking":     {func() error { _, err := h.BeginAuthenticator(ctx, self); return err }, "account_frozen"},
			"own order":   {func() error { return h.OrderOwn(ctx, self) }, "account_frozen"},
			"own change":  {func() error { return h.ChangePassword(ctx, self, "somebody else's password", own) }, "session_expired"},
			"the link":    {func() error { return h.FreezeByLink(ctx, secret, "") }, "mailed_link_spent"},
			"nobody":      {func() error { return h.Unfreeze(ctx, identity.Actor{}, id, lost) }, "not_allowed"},
			"herself": {func() error {
				return h.Unfreeze(ctx, identity.Actor{Name: "user:" + string(id), User: id, Roles: helpDesk.Roles}, id, lost)
			}, "own_account"},
			"responsible": {func() error {
				return h.Unfreeze(ctx, identity.Actor{Name: "user:r", User: "r", Organisation: "org", Roles: identity.RolesOf(identity.RoleResponsible)}, id, lost)
			}, "not_allowed"},
			"no reason": {func() error { return h.Unfreeze(ctx, helpDesk, id, identity.Why{}) }, "required"},
		} {
			if err := f.do(); fault.Code(err) != f.want {
				t.Errorf("%s: %v, want %s", name, err, f.want)
			}
		}
		if e := h.events(audit.AccountFrozen); len(e) != 1 || e[0].Actor != "letter" || e[0].Address != "192.0.2.9" || e[0].User != string(id) {
			t.Errorf("the trail: %+v", e)
		}
		h.letter(mail.AccountFrozen)
		refusals := h.events(audit.SignInRefused)
		if refusals[0].Reason != "account_frozen" && refusals[1].Reason != "account_frozen" {
			t.Errorf("the trail does not tell of the refusal: %+v", refusals)
		}

		// Without an Order since, the password of before is nobody's, and so is a card
		// that was linked with it.
		h.must(h.Unfreeze(ctx, operator, id, lost))
		if _, err := h.VerifyPassword(ctx, "liisa", "somebody else's password", here); fault.Code(err) != "wrong_credentials" {
			t.Errorf("the password of before: %v", err)
		}
		if _, err := h.CardHolder(ctx, card.Holder{Fingerprint: "fp"}); fault.Code(err) != "card_link_removed_by_order" {
			t.Errorf("the card: %v", err)
		}
		if e := h.events(audit.CardLinkRemoved); len(e) == 0 || e[0].Actor != operator.Name {
			t.Errorf("the trail of the card: %+v", e)
		}
		if e := h.events(audit.AccountUnfrozen); len(e) != 1 || e[0].Details[audit.Note] != lost.Reason {
			t.Errorf("the trail: %+v", e)
		}
		h.letter(mail.AccountUnfrozen)
		if err := h.Unfreeze(ctx, operator, id, lost); fault.Code(err) != "account_not_frozen" {
			t.Errorf("twice: %v", err)
		}
	})
}

// An Order of user support while the account is frozen is good afterwards.
func TestAnOrderOfAFrozenAccountOutlivesTheFrost(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		id := h.settled(h.organisation("org", identity.MethodApp), "liisa")
		_, err := h.Order(ctx, operator, id, lost)
		h.must(err)
		h.must(h.FreezeByLink(ctx, h.link(mail.PasswordOrdered), ""))
		h.clearLetters()
		h.add(time.Minute)
		temporary, err := h.Order(ctx, operator, id, lost)
		h.must(err)
		if _, err := h.VerifyPassword(ctx, "liisa", temporary, here); fault.Code(err) != "account_frozen" {
			t.Errorf("still frozen: %v", err)
		}
		h.must(h.Unfreeze(ctx, operator, id, lost))
		if _, err := h.VerifyPassword(ctx, "liisa", temporary, here); err != nil {
			t.Errorf("the ordered password: %v", err)
		}
	})
}

// A card that somebody has asked for with the disputed password waits no more.
func TestNoCardWaitsThroughTheFrost(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		id := h.settled(h.organisation("org", identity.MethodCard), "liisa")
		temporary, err := h.Order(ctx, operator, id, lost)
		h.must(err)
		p, err := h.VerifyPassword(ctx, "liisa", temporary, here)
		h.must(err)
		_, err = h.ReplaceTemporary(ctx, p, "somebody else's password", "")
		h.must(err)
		h.codes(h.LinkCard(ctx, h.enrol(id), h.near("theirs")), "card_awaits_approval", "asked")
		waiting := h.asked()
		h.must(h.FreezeByLink(ctx, h.link(mail.PasswordOrdered), ""))
		h.must(h.Unfreeze(ctx, operator, id, lost))
		for _, w := range waiting {
			h.codes(h.ApproveCard(ctx, operator, w.Card.ID, "known"), "card_approval_not_found", "after the frost")
		}
		if len(waiting) != 1 || len(h.asked()) != 0 {
			t.Errorf("waited %d, and then %d", len(waiting), len(h.asked()))
		}
	})
}

// The link is good for a day, for one freezing, and only in its newest letter; what
// is stored is its hash. A signed-in person needs none, but an Order of the last day.
func TestWhatFreezes(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		h.Links = "https://portti.example.test/order/link/"
		id := h.settled(h.organisation("org", identity.MethodApp), "liisa")
		self := h.enrol(id)
		if err := h.FreezeOwn(ctx, self); fault.Code(err) != "full_signin_required" {
			t.Errorf("with a password alone: %v", err)
		}
		self.Full = true
		if err := h.FreezeOwn(ctx, self); fault.Code(err) != "mailed_link_spent" {
			t.Errorf("without an order: %v", err)
		}
		_, err := h.Order(ctx, operator, id, lost)
		h.must(err)
		first := h.link(mail.PasswordOrdered)
		sum := sha256.Sum256([]byte(first))
		if links, err := h.Store.MailedLinks(ctx, id); err != nil || len(links) != 1 || links[0].Hash != hex.EncodeToString(sum[:]) {
			t.Errorf("stored: %+v, %v", links, err)
		}
		h.clearLetters()
		_, err = h.Order(ctx, operator, id, lost)
		h.must(err)
		second := h.link(mail.PasswordOrdered)
		h.add(identity.NotMeLasts)
		for _, secret := range []string{first, second, "", hex.EncodeToString(sum[:])} {
			if err := h.FreezeByLink(ctx, secret, ""); fault.Code(err) != "mailed_link_spent" {
				t.Errorf("%q: %v", secret, err)
			}
		}
		if err := h.FreezeOwn(ctx, self); fault.Code(err) != "mailed_link_spent" {
			t.Errorf("a day after the order: %v", err)
		}
		h.add(-time.Second)
		if l, err := h.MailedLink(ctx, second); err != nil || l.Purpose != identity.NotMe {
			t.Errorf("looked at: %+v, %v", l, err)
		}
		var done atomic.Int64
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if h.FreezeByLink(ctx, second, "") == nil {
					done.Add(1)
				}
			})
		}
		wg.Wait()
		if n := done.Load(); n != 1 || len(h.events(audit.AccountFrozen)) != 1 {
			t.Errorf("%d of fifty froze", n)
		}
	})
}

// S55: only a new contact is distrusted, and then nobody's letter carries a password.
func TestANewContactGetsNoPassword(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		org := h.organisation("org", identity.MethodApp)
		var id identity.UserID
		var self identity.Self
		edit := func(f func(u *identity.User)) {
			t.Helper()
			_, err := h.ChangeUser(ctx, operator, id, f)
			h.must(err)
			self = h.enrol(id)
			self.Full = true
		}
		id = h.settled(org, "maija")
		edit(func(u *identity.User) { u.FamilyName = "Virtanen" })
		if err := identity.MayOrder(h.person(id), self, h.now()); err != nil {
			t.Errorf("another name: %v", err)
		}
		for name, f := range map[string]func(u *identity.User){
			"e-mail": func(u *identity.User) { u.Email = "else" + u.Email },
			"phone":  func(u *identity.User) { u.Claims.Phone = "+358401234567" },
		} {
			id = h.settled(org, "liisa."+name)
			edit(f)
			if !h.person(id).User.ContactChanged.Equal(h.now()) {
				t.Errorf("%s: changed %v", name, h.person(id).User.ContactChanged)
			}
			if err := identity.MayOrder(h.person(id), self, h.now()); fault.Code(err) != "order_by_support" {
				t.Errorf("%s: %v", name, err)
			}
			h.clearLetters()
			_, err := h.Order(ctx, operator, id, lost)
			h.must(err)
			if l := h.letter(mail.PasswordOrdered); l.Args["password"] != "" {
				t.Errorf("%s: the letter carries the password", name)
			}
			h.add(identity.NewAddress)
			h.clearLetters()
			temporary, err := h.Order(ctx, operator, id, lost)
			h.must(err)
			if l := h.letter(mail.PasswordOrdered); l.Args["password"] != temporary {
				t.Errorf("%s, three days later: the letter carries %q", name, l.Args["password"])
			}
		}
	})
}
