package identity_test

import (
	"net/netip"
	"testing"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/mail"
	"github.com/portti-id/portti/internal/throttle"
)

// S61: the help desk unlocks the password of somebody who has no authenticator, from
// whichever address she has tried; wrong ones are counted anew from then on.
func TestUnlockingAPasswordWithoutAnAuthenticator(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		org := h.organisation("a", identity.MethodApp)
		desk, id := h.staff(org, "desk", identity.RoleHelpDesk), h.settled(org, "liisa")
		home, work := netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr("203.0.113.8")
		try := func(pw string, from netip.Addr) string {
			t.Helper()
			_, err := h.VerifyPassword(ctx, "liisa", pw, from)
			if f, ok := fault.Of(err); ok && f.Kind == fault.Throttled {
				return "throttled"
			}
			return fault.Code(err)
		}
		lock := func(from netip.Addr) {
			t.Helper()
			for range throttle.PasswordPerAccountAndAddress.Max {
				if got := try("wrong", from); got != "wrong_credentials" {
					t.Fatalf("a wrong password: %q", got)
				}
			}
			if got := try(own, from); got != "throttled" {
				t.Fatalf("after so many wrong ones the right password is %q", got)
			}
		}
		lock(home)
		lock(work)
		is(t, "without a check", h.Unlock(ctx, desk, id, identity.Why{Reason: "r", Ticket: "T-1"}), "identity_check_required")
		if try(own, home) != "throttled" {
			t.Error("unlocked without a check")
		}
		h.clearLetters()
		h.must(h.Unlock(ctx, desk, id, h.why(desk, id)))
		lock(home) // ten more, and no more
		if got := try(own, work); got != "" {
			t.Errorf("elsewhere, the right password: %q", got)
		}
		h.must(h.Unlock(ctx, desk, id, h.why(desk, id)))
		if got := try(own, home); got != "" {
			t.Errorf("unlocked again, the right password: %q", got)
		}
		if n := h.letters()[mail.PasswordUnlocked]; n != 2 {
			t.Errorf("%d letters", n)
		}
		if e := h.events(audit.PasswordUnlocked); len(e) != 2 || e[0].Actor != desk.Name || e[0].User != string(id) || e[0].Details["check"] == "" {
			t.Errorf("the trail: %+v", e)
		}

		// Another person's lock stays, and porttictl, which reaches no counters, says so.
		lockOther := h.settled(org, "matti")
		d := *h.Directory
		d.Throttle = nil
		is(t, "at the command line", d.Unlock(ctx, operator, lockOther, identity.Why{Reason: "r"}), "totp_not_linked")
	})
}

// The lock of the whole account, by guesses from many addresses, goes as well.
func TestUnlockingAnAccountThatManyAddressesHaveLocked(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		org := h.organisation("a", identity.MethodApp)
		desk, id := h.staff(org, "desk", identity.RoleHelpDesk), h.settled(org, "liisa")
		use := throttle.Use{Limit: throttle.PasswordPerAccount, Subject: "liisa"}
		for range throttle.PasswordPerAccount.Max {
			h.must(h.Throttle.Attempt(ctx, use))
		}
		if _, err := h.VerifyPassword(ctx, "liisa", own, here); fault.Code(err) != "throttled" {
			t.Fatalf("the account is not locked: %v", err)
		}
		h.must(h.Unlock(ctx, desk, id, h.why(desk, id)))
		if _, err := h.VerifyPassword(ctx, "liisa", own, here); err != nil {
			t.Errorf("the right password: %v", err)
		}
	})
}
