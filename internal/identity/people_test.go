package identity_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/mail"
)

func TestWordsOfAPerson(t *testing.T) {
	got := identity.Words(identity.User{Username: "MäkÖst.04", GivenName: "Östen  Karl-Åke", FamilyName: "Mäkelä", Email: "o.makela@west.example"})
	want := "04 ake karl karl-ake makela makost makost.04 o o.makela o.makela@west.example osten"
	if strings.Join(got, " ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, " "), want)
	}
	for _, w := range identity.Words(identity.User{Username: "a", GivenName: strings.Repeat("å", 5000)}) {
		if len([]rune(w)) > 64 {
			t.Errorf("a word of %d signs", len([]rune(w)))
		}
	}
	if n := len(identity.SearchWords("a b c d e f g h i j k")); n != 6 {
		t.Errorf("%d words of one search", n)
	}
}

func TestCellsAreNoFormulas(t *testing.T) {
	for _, cell := range []string{"", "Aino", "=1+1", "+358", "-1", "@x", "\tx", "\rx", "'=x", "''+x", "'", "'Aino", "a=b"} {
		safe := identity.SafeCell(cell)
		if safe != "" && strings.ContainsRune("=+-@\t\r", rune(safe[0])) {
			t.Errorf("%q goes out as %q", cell, safe)
		}
		if back := identity.PlainCell(safe); back != cell {
			t.Errorf("%q comes back as %q", cell, back)
		}
	}
}

// S65, S16: another first password takes the place of the former one, for whoever
// has not begun; everybody else needs an Order.
func TestAnotherFirstPassword(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		org := h.organisation("org", identity.MethodApp, identity.MethodCard)
		id, former := h.user(org, "new")
		h.clearLetters()
		temporary, err := h.FirstPassword(ctx, operator, id)
		h.must(err)
		if _, err := h.VerifyPassword(ctx, "new", former, here); fault.Code(err) != "wrong_credentials" {
			t.Errorf("the former password: %v", err)
		}
		p, err := h.VerifyPassword(ctx, "new", temporary, here)
		h.must(err)
		if !p.Password.Temporary || !p.Password.Expires.Equal(h.now().Add(identity.FirstPasswordLasts)) {
			t.Errorf("stored %+v", p.Password)
		}
		if n := h.letters(); n[mail.Welcome] != 1 {
			t.Errorf("letters %v", n)
		}
		if e := h.events(audit.PasswordFirstIssued); len(e) != 1 || e[0].User != string(id) {
			t.Errorf("the trail has %v", e)
		}
		// A password of her own, and nothing linked: she never signed in.
		_, err = h.ReplaceTemporary(ctx, p, own, "")
		h.must(err)
		epoch := h.person(id).User.Epoch
		_, err = h.FirstPassword(ctx, operator, id)
		h.must(err)
		if got := h.person(id).User.Epoch; got != epoch+1 {
			t.Error("what was begun with the former password goes on")
		}
		linked := h.settled(org, "linked")
		h.withApp(linked)
		signedIn := h.settled(org, "signed")
		h.must(h.SignedIn(ctx, h.person(signedIn), identity.MethodApp, "rp", "", h.now()))
		for _, id := range []identity.UserID{linked, signedIn} {
			before := h.person(id).Password
			if _, err := h.FirstPassword(ctx, operator, id); fault.Code(err) != "account_begun" || h.person(id).Password != before {
				t.Errorf("somebody who has begun: %v", err)
			}
		}
		for _, by := range []identity.Actor{{}, {Name: "user:x", User: "x", Organisation: "other", Roles: identity.RolesOf(identity.RoleResponsible)},
			{Name: "user:x", User: "x", Organisation: org, Roles: identity.RolesOf(identity.RoleHelpDesk)}, {Name: "user:" + string(id), User: id, Organisation: org, Roles: identity.RolesOf(identity.RoleOperator)}} {
			if _, err := h.FirstPassword(ctx, by, id); err == nil {
				t.Errorf("%+v gave a password", by)
			}
		}
	})
}

// Nothing that somebody else changed meanwhile is overwritten.
func TestAnEditIsOfWhatWasSeen(t *testing.T) {
	each(t, func(h *house) {
		id := h.settled(h.organisation("org", identity.MethodApp), "someone")
		seen := h.person(id).User.Version
		rename := func(name string) func(u *identity.User) { return func(u *identity.User) { u.FamilyName = name } }
		_, err := h.ReplaceUser(t.Context(), operator, id, seen, rename("First"))
		h.must(err)
		for _, version := range []int64{seen, 0, -1, seen + 2} {
			if _, err := h.ReplaceUser(t.Context(), operator, id, version, rename("Second")); fault.Code(err) != "changed_meanwhile" {
				t.Errorf("version %d: %v", version, err)
			}
		}
		if got := h.person(id).User.FamilyName; got != "First" {
			t.Errorf("got %s", got)
		}
	})
}

func TestPeopleAreReadAsFarAsTheRoleReaches(t *testing.T) {
	each(t, func(h *house) {
		west, east := h.organisation("west", identity.MethodApp), h.organisation("east", identity.MethodApp)
		mine, _ := h.user(west, "mine")
		theirs, _ := h.user(east, "theirs")
		by := identity.Actor{Name: "user:r", User: "r", Organisation: west, Roles: identity.RolesOf(identity.RoleResponsible)}
		if p, err := h.See(t.Context(), by, mine); err != nil || p.User.ID != mine {
			t.Errorf("own: %v", err)
		}
		_, there := h.See(t.Context(), by, theirs)
		_, nowhere := h.See(t.Context(), by, "nobody")
		if fault.Code(there) != "user_not_found" || fault.Code(nowhere) != fault.Code(there) {
			t.Errorf("somebody else's: %v, nobody: %v", there, nowhere)
		}
		var got []string
		h.must(h.EachPerson(t.Context(), by, identity.Search{}, func(p identity.Person) error { got = append(got, p.User.Username); return nil }))
		if !slices.Equal(got, []string{"mine"}) {
			t.Errorf("exported %v", got)
		}
		for _, f := range []func() error{
			func() error {
				_, _, err := h.People(t.Context(), identity.Actor{Name: "user:e"}, identity.Search{})
				return err
			},
			func() error { _, err := h.CountPeople(t.Context(), identity.Actor{Name: "user:e"}, ""); return err },
			func() error { _, err := h.See(t.Context(), identity.Actor{Name: "user:e"}, mine); return err },
			func() error { return h.EachPerson(t.Context(), identity.Actor{Name: "user:e"}, identity.Search{}, nil) },
		} {
			if err := f(); fault.Code(err) != "not_allowed" {
				t.Errorf("an employee: %v", err)
			}
		}
	})
}
