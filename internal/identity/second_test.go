package identity_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/ephemeral"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/throttle"
)

// uncounted lets everything be done as often as one likes.
type uncounted struct{ ephemeral.Store }

func (uncounted) Increment(_ context.Context, _ string, window time.Duration) (int64, time.Duration, error) {
	return 1, window, nil
}

// careful is an organisation that wants a second person.
func (h *house) careful(id string) identity.OrganisationID {
	h.t.Helper()
	org := h.organisation(id, identity.MethodApp)
	_, err := h.ChangeOrganisation(h.t.Context(), operator, org, func(o *identity.Organisation) { o.SecondPerson = true })
	h.must(err)
	return org
}

// secondAsked has an act wait, for the reason of why.
func (h *house) secondAsked(by identity.Actor, id identity.UserID, act identity.Right, why identity.Why) identity.ConfirmationID {
	h.t.Helper()
	c, err := h.AskSecond(h.t.Context(), by, id, why.Check, act, why.Reason)
	h.must(err)
	return c.ID
}

// opening are the acts that open an account, and a state of a person in which each
// makes sense.
func (h *house) opening() map[identity.Right]struct {
	person func(id identity.UserID)
	do     func(by identity.Actor, id identity.UserID, why identity.Why) error
} {
	ctx, of := h.t.Context(), h.acts()
	type opens = struct {
		person func(id identity.UserID)
		do     func(by identity.Actor, id identity.UserID, why identity.Why) error
	}
	return map[identity.Right]opens{
		identity.PasswordOrder:       {func(identity.UserID) {}, of["order"]},
		identity.AuthenticatorRemove: {func(id identity.UserID) { h.withApp(id) }, of["remove"]},
		identity.LinkingCodeIssue: {func(id identity.UserID) {
			h.withApp(id)
			h.must(h.RemoveAuthenticator(ctx, operator, id, identity.Why{Reason: "test"}))
		}, of["linking code"]},
		identity.AccountUnfreeze: {func(id identity.UserID) {
			_, err := h.Order(ctx, operator, id, identity.Why{Reason: "test"})
			h.must(err)
			h.must(h.FreezeOwn(ctx, identity.Self{User: id, Full: true}))
		}, func(by identity.Actor, id identity.UserID, why identity.Why) error {
			return h.Unfreeze(ctx, by, id, why)
		}},
	}
}

// S64: where the organisation wants a second person, nothing opens an account before a
// colleague has confirmed that very act, for that reason; and once then.
func TestWhatOpensAnAccountNeedsASecondPerson(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		org, desk := h.careful("a"), h.organisation("desk", identity.MethodApp)
		one, two := h.staff(desk, "one", identity.RoleHelpDesk), h.staff(desk, "two", identity.RoleHelpDesk)
		for act, opens := range h.opening() {
			id := h.settled(org, "p-"+fmt.Sprint(len(act)))
			opens.person(id)
			why := h.why(one, id)
			before := h.person(id)
			is(t, string(act)+" without", opens.do(one, id, why), "check_needs_second")

			waits := h.secondAsked(one, id, act, why)
			is(t, string(act)+" before", opens.do(one, id, why), "check_needs_second")
			if after := h.person(id); after.User != before.User || after.Password != before.Password || (after.Authenticator == nil) != (before.Authenticator == nil) {
				t.Fatalf("%s: something changed: %+v", act, after.User)
			}
			h.must(h.Confirm(ctx, two, waits))
			is(t, string(act)+" by the colleague", opens.do(two, id, why), "identity_check_invalid")
			for other, o := range h.opening() {
				if other != act {
					is(t, string(other)+" with the confirmation of "+string(act), o.do(one, id, why), "check_needs_second")
				}
			}
			another := why
			another.Reason = "another reason"
			is(t, string(act)+" for another reason", opens.do(one, id, another), "check_needs_second")
			is(t, string(act)+" of another check", opens.do(one, id, h.why(one, id)), "check_needs_second")
			if err := opens.do(one, id, why); err != nil {
				t.Fatalf("%s, confirmed: %v", act, err)
			}
			is(t, string(act)+" once more", opens.do(one, id, why), "check_needs_second")

			if e := h.events(audit.SecondConfirmed)[0]; e.Actor != two.Name || e.User != string(id) || e.Details["act"] != string(act) || e.Details["asked_by"] != one.Name || e.Details["check"] != string(why.Check) || e.Details[audit.Note] != why.Reason {
				t.Errorf("%s: the trail has %+v", act, e)
			}
		}
		for what, events := range map[string][]audit.Event{"order": h.events(audit.PasswordOrdered), "remove": h.events(audit.AuthenticatorRemoved), "code": h.events(audit.LinkingCodeIssued), "unfreeze": h.events(audit.AccountUnfrozen)} {
			if !slices.ContainsFunc(events, func(e audit.Event) bool { return e.Actor == one.Name && e.Details["confirmed_by"] == two.Name }) {
				t.Errorf("%s: who confirmed it is not in the trail: %+v", what, events)
			}
		}
	})
}

// Who ends sessions or lets a person try again opens nothing; and elsewhere nobody
// needs a second person, nor does porttictl.
func TestWhatNeedsNoSecondPerson(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		careful, plain := h.careful("a"), h.organisation("b", identity.MethodApp)
		one := h.staff(plain, "one", identity.RoleHelpDesk)
		id, elsewhere := h.settled(careful, "liisa"), h.settled(plain, "matti")
		h.withApp(id)
		h.must(h.EndSessions(ctx, one, id, h.why(one, id)))
		h.must(h.Unlock(ctx, one, id, h.why(one, id)))
		_, err := h.AskSecond(ctx, one, id, h.why(one, id).Check, identity.SessionsEnd, "lost")
		is(t, "for an act that needs none", err, "second_needless")
		_, err = h.AskSecond(ctx, one, elsewhere, h.why(one, elsewhere).Check, identity.PasswordOrder, "lost")
		is(t, "in an organisation that wants none", err, "second_needless")
		_, err = h.Order(ctx, one, elsewhere, h.why(one, elsewhere))
		h.must(err)
		_, err = h.Order(ctx, operator, id, identity.Why{Reason: "test"})
		h.must(err)
	})
}

// The second person is another member of the help desk, who may do it herself, now.
func TestWhoIsNoSecondPerson(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		org, desk := h.careful("a"), h.organisation("desk", identity.MethodApp)
		one, two := h.staff(desk, "one", identity.RoleHelpDesk), h.staff(desk, "two", identity.RoleHelpDesk)
		id := h.settled(org, "liisa")
		why := h.why(one, id)
		waits := h.secondAsked(one, id, identity.PasswordOrder, why)

		is(t, "whoever asks", h.Confirm(ctx, one, waits), "second_is_first")
		is(t, "a responsible user", h.Confirm(ctx, h.staff(org, "resp", identity.RoleResponsible), waits), "not_allowed")
		is(t, "an operator", h.Confirm(ctx, h.staff(org, "oper", identity.RoleOperator), waits), "not_allowed")
		is(t, "porttictl", h.Confirm(ctx, operator, waits), "not_allowed")
		is(t, "nothing", h.Confirm(ctx, two, "NOSUCH"), "confirmation_not_found")
		_, err := h.AskSecond(ctx, two, id, why.Check, identity.PasswordOrder, "mine")
		is(t, "on a colleague's check", err, "identity_check_invalid")

		// The person herself, who has joined the help desk meanwhile; and a colleague who
		// is one of the caller's rank.
		_, err = h.ChangeRoles(ctx, operator, id, identity.RolesOf(identity.RoleHelpDesk), 0)
		h.must(err)
		is(t, "the person herself", h.Confirm(ctx, identity.ActorOf(h.person(id), ""), waits), "own_account")
		is(t, "about a colleague", h.Confirm(ctx, two, waits), "higher_account")
		_, err = h.ChangeRoles(ctx, operator, id, 0, identity.RolesOf(identity.RoleHelpDesk))
		h.must(err)

		list, err := h.WaitingConfirmations(ctx, two, identity.ConfirmationsOf{})
		h.must(err)
		if len(list) != 1 || list[0].ID != waits || list[0].May != nil || list[0].Person.User.ID != id || list[0].Asker != h.person(one.User).User.Name() || list[0].Reason != why.Reason {
			t.Errorf("what waits: %+v", list)
		}
		own, err := h.WaitingConfirmation(ctx, one, waits)
		h.must(err)
		is(t, "what the list says to whoever asks", own.May, "second_is_first")

		// Confirmed by somebody who has left the help desk, or whose account was closed.
		h.must(h.Confirm(ctx, two, waits))
		_, err = h.ChangeRoles(ctx, operator, two.User, 0, identity.RolesOf(identity.RoleHelpDesk))
		h.must(err)
		_, err = h.Order(ctx, one, id, why)
		is(t, "by somebody without the role", err, "check_needs_second")
		is(t, "by whom the role was taken", h.Confirm(ctx, identity.ActorOf(h.person(two.User), ""), h.secondAsked(one, id, identity.PasswordOrder, why)), "not_allowed")
		three := h.staff(desk, "three", identity.RoleHelpDesk)
		h.must(h.Confirm(ctx, three, h.secondAsked(one, id, identity.PasswordOrder, why)))
		h.must(h.DisableUser(ctx, operator, three.User, identity.Why{Reason: "left"}))
		_, err = h.Order(ctx, one, id, why)
		is(t, "by somebody whose account is closed", err, "check_needs_second")
	})
}

// Whoever could confirm it may refuse it, for a reason that whoever asks reads; and
// whoever asks withdraws it. Nothing can be done on it then, but asking anew.
func TestWhatWaitsIsRefusedOrWithdrawn(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		org, desk := h.careful("a"), h.organisation("desk", identity.MethodApp)
		one, two := h.staff(desk, "one", identity.RoleHelpDesk), h.staff(desk, "two", identity.RoleHelpDesk)
		id := h.settled(org, "liisa")
		why := h.why(one, id)
		waits := h.secondAsked(one, id, identity.PasswordOrder, why)

		is(t, "without a reason", h.RefuseSecond(ctx, two, waits, " "), "required")
		is(t, "at length", h.RefuseSecond(ctx, two, waits, strings.Repeat("a", 501)), "too_long")
		is(t, "by a responsible user", h.RefuseSecond(ctx, h.staff(org, "resp", identity.RoleResponsible), waits, "no"), "not_allowed")
		is(t, "by an operator", h.RefuseSecond(ctx, h.staff(org, "oper", identity.RoleOperator), waits, "no"), "not_allowed")
		is(t, "by porttictl", h.RefuseSecond(ctx, operator, waits, "no"), "not_allowed")
		is(t, "nothing", h.RefuseSecond(ctx, two, "NOSUCH", "no"), "confirmation_not_found")
		_, err := h.ChangeRoles(ctx, operator, id, identity.RolesOf(identity.RoleHelpDesk), 0)
		h.must(err)
		is(t, "by the person herself", h.RefuseSecond(ctx, identity.ActorOf(h.person(id), ""), waits, "no"), "own_account")
		is(t, "about a colleague", h.RefuseSecond(ctx, two, waits, "no"), "higher_account")
		_, err = h.ChangeRoles(ctx, operator, id, 0, identity.RolesOf(identity.RoleHelpDesk))
		h.must(err)
		if _, err := h.WaitingConfirmation(ctx, two, waits); err != nil {
			t.Fatalf("it waits no more: %v", err)
		}

		h.must(h.RefuseSecond(ctx, two, waits, " the caller knew no ticket "))
		is(t, "refused, confirmed", h.Confirm(ctx, two, waits), "confirmation_not_found")
		is(t, "refused, once more", h.RefuseSecond(ctx, two, waits, "no"), "confirmation_not_found")
		is(t, "refused, withdrawn", h.RefuseSecond(ctx, one, waits, "no"), "confirmation_not_found")
		is(t, "refused, found", func() error { _, err := h.WaitingConfirmation(ctx, two, waits); return err }(), "confirmation_not_found")
		_, err = h.Order(ctx, one, id, why)
		is(t, "refused, done", err, "check_needs_second")
		check, err := h.OwnCheck(ctx, one, id, why.Check)
		h.must(err)
		own, err := h.OwnConfirmations(ctx, check)
		h.must(err)
		if len(own) != 1 || own[0].ID != waits || own[0].Refusal != "the caller knew no ticket" || own[0].Refuser != h.person(two.User).User.Name() || !own[0].Refused.Equal(h.now()) || own[0].By != "" {
			t.Errorf("whoever asks reads %+v", own)
		}
		e := h.events(audit.SecondRefused)
		if len(e) != 1 || e[0].Actor != two.Name || e[0].User != string(id) || e[0].Organisation != string(org) || e[0].Details["act"] != string(identity.PasswordOrder) || e[0].Details["asked_by"] != one.Name ||
			e[0].Details["asked_for"] != why.Reason || e[0].Details["check"] != string(why.Check) || e[0].Details[audit.Note] != "the caller knew no ticket" {
			t.Errorf("the trail has %+v", e)
		}

		// Asked anew it waits again, and is withdrawn.
		waits = h.secondAsked(one, id, identity.PasswordOrder, why)
		h.must(h.RefuseSecond(ctx, one, waits, "the caller has hung up"))
		is(t, "withdrawn, confirmed", h.Confirm(ctx, two, waits), "confirmation_not_found")
		if own, err := h.OwnConfirmations(ctx, check); err != nil || len(own) != 0 {
			t.Errorf("what was withdrawn is there: %+v, %v", own, err)
		}
		if e := h.events(audit.SecondWithdrawn); len(e) != 1 || e[0].Actor != one.Name || e[0].Details[audit.Note] != "the caller has hung up" {
			t.Errorf("the trail has %+v", e)
		}
		if len(h.events(audit.SecondRefused)) != 1 {
			t.Error("a request that was withdrawn is refused in the trail")
		}

		// What is confirmed is neither refused nor withdrawn; it ends with its check.
		waits = h.secondAsked(one, id, identity.PasswordOrder, why)
		h.must(h.Confirm(ctx, two, waits))
		is(t, "confirmed, refused", h.RefuseSecond(ctx, two, waits, "no"), "confirmation_not_found")
		is(t, "confirmed, withdrawn", h.RefuseSecond(ctx, one, waits, "no"), "confirmation_not_found")
		_, err = h.Order(ctx, one, id, why)
		h.must(err)
		late := h.secondAsked(one, id, identity.AccountUnfreeze, why)
		h.add(identity.CheckLasts)
		is(t, "too late", h.RefuseSecond(ctx, two, late, "no"), "confirmation_not_found")
	})
}

// A page of what waits begins after the one before.
func TestWhatWaitsHasPages(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		org, desk := h.careful("a"), h.organisation("desk", identity.MethodApp)
		one, two := h.staff(desk, "one", identity.RoleHelpDesk), h.staff(desk, "two", identity.RoleHelpDesk)
		var want []identity.ConfirmationID
		for n := range 5 {
			id := h.settled(org, fmt.Sprint("p-", n))
			want = append(want, h.secondAsked(one, id, identity.PasswordOrder, h.why(one, id)))
			if n == 2 { // two pairs of the same moment
				h.add(time.Second)
			}
		}
		slices.Sort(want[:3])
		slices.Sort(want[3:])
		var got []identity.ConfirmationID
		of := identity.ConfirmationsOf{Limit: 2}
		for {
			page, err := h.WaitingConfirmations(ctx, two, of)
			h.must(err)
			for _, w := range page {
				got = append(got, w.ID)
			}
			if len(page) < of.Limit {
				break
			}
			of.AfterAsked, of.After = page[1].Asked, page[1].ID
		}
		if !slices.Equal(got, want) {
			t.Errorf("the pages have %v, want %v", got, want)
		}
	})
}

// A confirmation ends with the check; a request made anew has nobody's confirmation.
func TestAConfirmationEndsWithItsCheck(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		org, desk := h.careful("a"), h.organisation("desk", identity.MethodApp)
		one, two := h.staff(desk, "one", identity.RoleHelpDesk), h.staff(desk, "two", identity.RoleHelpDesk)
		id := h.settled(org, "liisa")
		why := h.why(one, id)
		former := h.secondAsked(one, id, identity.PasswordOrder, why)
		h.must(h.Confirm(ctx, two, former))
		waits := h.secondAsked(one, id, identity.PasswordOrder, why)
		is(t, "the former", h.Confirm(ctx, two, former), "confirmation_not_found")
		_, err := h.Order(ctx, one, id, why)
		is(t, "asked for anew", err, "check_needs_second")

		h.add(identity.CheckLasts - time.Second)
		h.must(h.Confirm(ctx, two, waits))
		is(t, "twice", h.Confirm(ctx, two, waits), "confirmation_not_found")
		late := h.secondAsked(one, id, identity.AccountUnfreeze, why)
		h.add(time.Second)
		is(t, "too late", h.Confirm(ctx, two, late), "confirmation_not_found")
		if list, err := h.WaitingConfirmations(ctx, two, identity.ConfirmationsOf{}); err != nil || len(list) != 0 {
			t.Errorf("what is over is listed: %+v, %v", list, err)
		}
		_, err = h.Order(ctx, one, id, why)
		is(t, "confirmed, after the check has ended", err, "identity_check_invalid")
		_, err = h.AskSecond(ctx, one, id, why.Check, identity.PasswordOrder, "late")
		is(t, "asked for after it", err, "identity_check_invalid")
	})
}

// Of fifty who confirm at once, or refuse, or withdraw, one does, and of fifty acts on it one is done.
func TestOneConfirmsAndOneIsDone(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		org, desk := h.careful("a"), h.organisation("desk", identity.MethodApp)
		one, two, three := h.staff(desk, "one", identity.RoleHelpDesk), h.staff(desk, "two", identity.RoleHelpDesk), h.staff(desk, "three", identity.RoleHelpDesk)
		id := h.settled(org, "liisa")
		why := h.why(one, id)
		waits := h.secondAsked(one, id, identity.PasswordOrder, why)
		h.Throttle = &throttle.Throttle{Store: uncounted{h.Ephemeral}} // fifty are more than a desk's hour
		race := func(want string, f func(ctx context.Context, n int) error) {
			t.Helper()
			var done atomic.Int64
			var all sync.WaitGroup
			for n := range 50 {
				all.Go(func() {
					switch err := f(ctx, n); {
					case err == nil:
						done.Add(1)
					case fault.Code(err) != want:
						t.Error(err)
					}
				})
			}
			all.Wait()
			if done.Load() != 1 {
				t.Errorf("%d were first", done.Load())
			}
		}
		race("confirmation_not_found", func(ctx context.Context, n int) error {
			return h.Confirm(ctx, []identity.Actor{two, three}[n%2], waits)
		})
		if n := len(h.events(audit.SecondConfirmed)); n != 1 {
			t.Errorf("%d confirmations in the trail", n)
		}
		disputed := h.secondAsked(one, id, identity.AccountUnfreeze, why)
		race("confirmation_not_found", func(ctx context.Context, n int) error {
			switch n % 3 {
			case 0:
				return h.Confirm(ctx, two, disputed)
			case 1:
				return h.RefuseSecond(ctx, three, disputed, "no")
			}
			return h.RefuseSecond(ctx, one, disputed, "no more")
		})
		if n := len(h.events(audit.SecondConfirmed)) - 1 + len(h.events(audit.SecondRefused)) + len(h.events(audit.SecondWithdrawn)); n != 1 {
			t.Errorf("%d decisions in the trail", n)
		}
		race("check_needs_second", func(ctx context.Context, _ int) error {
			_, err := h.Order(ctx, one, id, why)
			return err
		})
	})
}
