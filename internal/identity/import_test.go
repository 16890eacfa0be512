package identity_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/mail"
	"github.com/portti-id/portti/internal/store"
	"github.com/portti-id/portti/internal/storetest"
)

// responsible is a responsible user of an organisation, as an actor.
func (h *house) responsible(org identity.OrganisationID, name string) identity.Actor {
	h.t.Helper()
	id := h.settled(org, name)
	_, err := h.ChangeRoles(h.t.Context(), operator, id, identity.RolesOf(identity.RoleResponsible), 0)
	h.must(err)
	return identity.ActorOf(h.person(id), here.String())
}

// verdicts is a file's rows as "line verdict field:code".
func (h *house) verdicts(by identity.Actor, id identity.ImportID) []string {
	h.t.Helper()
	rows, _, err := h.ImportRows(h.t.Context(), by, identity.RowsOf{Import: id, Limit: 500})
	h.must(err)
	var list []string
	for _, r := range rows {
		list = append(list, strings.TrimRight(fmt.Sprintf("%d %s %s %s", r.Line, r.Verdict, strings.Join(r.Fields, "+"), r.Code), " "))
	}
	return list
}

func (h *house) applied(by identity.Actor, org identity.OrganisationID, csv string) identity.Import {
	h.t.Helper()
	i, err := h.CheckImport(h.t.Context(), by, org, csv)
	h.must(err)
	_, err = h.ApplyImport(h.t.Context(), by, i.ID)
	h.must(err)
	_, err = h.WorkImports(h.t.Context())
	h.must(err)
	i, err = h.Directory.Import(h.t.Context(), by, i.ID)
	h.must(err)
	return i
}

var people = "\ufeffKäyttäjätunnus;Etunimi;Sukunimi;Sähköposti;Kieli;Puhelin;organisation;state\r\n" +
	"uusi;Uusi;Ihminen;uusi@west.example;FI;'+358401234567;west;open\n" + // 2 create
	"KAISA;Kaisa;Kuusi;kaisa@example.test;fi;;;\r" + // 3 change
	"same;Liisa;Meikäläinen;same@example.test;fi;;;\r\n" + // 4 unchanged
	";;;;;;;\n" +
	"east-one;A;B;a@west.example;fi;;;\n" + // 6 taken
	"uusi;Uusi;Toinen;x@west.example;fi;;;\n" + // 7 twice
	"two;A;B;;fi;;;\n" + // 8 no address for the letter
	"-bad-;A;B;a@west.example;fi;;;\n" + // 9
	"three;;B;a@west.example;fi;;;\n" + // 10
	"four;A;B;a@west.example;de;;;\n" + // 11
	"five;A;B;a@west.example;fi;;east;\n" + // 12
	"six;A;B\n" + // 13
	"boss;Other;Name;boss@example.test;fi;;;\n" + // 14 as high a role
	"me;Other;Name;me@example.test;fi;;;\n" + // 15 oneself
	"seven;" + "A\x01" + ";B;a@west.example;fi;;;\n" + // 16
	"eight;" + megabyte + ";B;a@west.example;fi;;;\n" // 17

var megabyte = strings.Repeat("å", 500_000)

// S65: a verdict for every row, then what was said, then nothing any more.
func TestAnImport(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		west, east := h.organisation("west", identity.MethodApp), h.organisation("east", identity.MethodApp)
		by, other := h.responsible(west, "me"), h.responsible(west, "boss")
		h.user(east, "east-one")
		h.user(west, "kaisa")
		h.user(west, "same")
		h.clearLetters()
		i, err := h.CheckImport(ctx, by, west, people)
		h.must(err)
		want := []string{"2 create", "3 change family_name+given_name", "4 unchanged", "6 wrong username username_taken", "7 wrong username import_duplicate", "8 wrong email email_required",
			"9 wrong username username_invalid", "10 wrong given_name required", "11 wrong language language_unknown", "12 wrong organisation import_other_organisation", "13 wrong  import_cells",
			"14 wrong  higher_account", "15 wrong  own_account", "16 wrong given_name control_characters", "17 wrong given_name too_long"}
		want[1] = "3 change given_name+family_name"
		if got := h.verdicts(by, i.ID); !slices.Equal(got, want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if i.State != identity.ImportChecked || i.Rows() != 15 || i.Counts[identity.RowWrong] != 12 || i.Done != 12 {
			t.Errorf("%+v", i)
		}
		if _, err := h.db.PersonByName(ctx, "uusi"); !fault.Is(err, fault.NotFound) || len(h.letters()) != 0 {
			t.Errorf("the dry run has done something: %v %v", err, h.letters())
		}
		if n, err := h.WorkImports(ctx); n != 0 || err != nil {
			t.Errorf("what nobody has applied was worked on: %d %v", n, err)
		}

		// Somebody else's is as none.
		auditor := identity.Actor{Name: "user:x", User: "x", Organisation: west, Roles: identity.RolesOf(identity.RoleOperator)}
		for _, stranger := range []identity.Actor{other, auditor, operator, h.responsible(east, "easterner")} {
			_, seen := h.Directory.Import(ctx, stranger, i.ID)
			_, _, listed := h.ImportRows(ctx, stranger, identity.RowsOf{Import: i.ID})
			_, applied := h.ApplyImport(ctx, stranger, i.ID)
			_, none := h.Directory.Import(ctx, stranger, "none")
			for _, err := range []error{seen, listed, applied, none} {
				if fault.Code(err) != "import_not_found" {
					t.Errorf("%s: %v", stranger.Name, err)
				}
			}
		}

		i = h.applied(by, west, people)
		if i.State != identity.ImportDone || i.Done != i.Rows() {
			t.Errorf("%+v", i)
		}
		if got := h.verdicts(by, i.ID); !slices.Equal(got, want) {
			t.Errorf("it did\n%s", strings.Join(got, "\n"))
		}
		p, err := h.db.PersonByName(ctx, "uusi")
		h.must(err)
		if p.User.Organisation != west || p.User.Claims.Phone != "+358401234567" || !p.Password.Temporary || p.User.FamilyName != "Ihminen" {
			t.Errorf("%+v", p)
		}
		if p, err = h.db.PersonByName(ctx, "kaisa"); err != nil || p.User.GivenName != "Kaisa" || p.User.Username != "kaisa" {
			t.Errorf("%+v %v", p.User, err)
		}
		if n := h.letters(); n[mail.Welcome] != 2 { // and the easterner's
			t.Errorf("letters %v", n)
		}
		made := h.events(audit.UserCreated)
		if e := made[slices.IndexFunc(made, func(e audit.Event) bool { return e.User != "" && e.Details["import"] != "" })]; e.Actor != by.Name || e.Details["import"] != string(i.ID) {
			t.Errorf("the trail has %+v", e)
		}
		if e := h.events(audit.ImportFinished); len(e) != 1 || e[0].Details["create"] != "1" {
			t.Errorf("the trail has %+v", e)
		}

		h.clearLetters()
		i = h.applied(by, west, people)
		if i.Counts[identity.RowCreates] != 0 || i.Counts[identity.RowChanges] != 0 || i.Counts[identity.RowUnchanged] != 3 || len(h.letters()) != 0 {
			t.Errorf("once more: %+v %v", i, h.letters())
		}
	})
}

// What is no table of people is refused whole, and says why.
func TestFilesThatAreNone(t *testing.T) {
	each(t, func(h *house) {
		west := h.organisation("west", identity.MethodApp)
		by := h.responsible(west, "me")
		const head = "username,given_name,family_name,email,language\n"
		for name, c := range map[string]struct{ csv, code string }{
			"empty":           {"", "import_empty"},
			"header alone":    {head, "import_empty"},
			"nothing in rows": {head + ",,,,\n\n", "import_empty"},
			"NUL":             {head + "a,b\x00,c,d,fi\n", "import_not_text"},
			"UTF-16":          {"\xff\xfeu\x00s\x00", "import_not_text"},
			"Latin-1":         {head + "a,\xe4iti,c,d,fi\n", "import_not_text"},
			"an image":        {"\x89PNG\r\n\x1a\n", "import_not_text"},
			"no header":       {"aino,Aino,Aalto,aino@west.example,fi\n", "import_header"},
			"no username":     {"given_name,family_name\nA,B\n", "import_header"},
			"misspelled":      {"username,emial\naino,a@west.example\n", "import_column_unknown"},
			"twice":           {"username,email,e-mail\naino,a@west.example,b@west.example\n", "import_column_twice"},
			"open quote":      {head + "\"aino,Aino,Aalto,,fi\nbea,B,B,,fi\n", "import_not_table"},
			"stray quote":     {head + "ai\"no,Aino,Aalto,,fi\n", "import_not_table"},
			"50,000 rows":     {head + strings.Repeat("a,b,c,d,fi\n", 50_000), "import_too_large"},
			"large":           {head + "a," + strings.Repeat("x", 5<<20), "import_too_large"},
		} {
			if _, err := h.CheckImport(t.Context(), by, west, c.csv); fault.Code(err) != c.code {
				t.Errorf("%s: %v, want %s", name, err, c.code)
			}
		}
	})
}

// Whoever may not, does not; and who may no more, stops.
func TestAnImportStopsWithTheRights(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		west, east := h.organisation("west", identity.MethodApp), h.organisation("east", identity.MethodApp)
		by := h.responsible(west, "me")
		csv := list(5)
		if _, err := h.CheckImport(ctx, by, east, csv); fault.Code(err) != "organisation_not_found" {
			t.Errorf("into another organisation: %v", err)
		}
		if _, err := h.CheckImport(ctx, identity.Actor{Name: "user:x", User: "x", Organisation: west, Roles: identity.RolesOf(identity.RoleHelpDesk)}, west, csv); fault.Code(err) != "not_allowed" {
			t.Errorf("the help desk: %v", err)
		}
		for name, c := range map[string]struct {
			take, give func() error
			reason     string
		}{
			"role": {func() error {
				_, err := h.ChangeRoles(ctx, operator, by.User, 0, identity.RolesOf(identity.RoleResponsible))
				return err
			},
				func() error {
					_, err := h.ChangeRoles(ctx, operator, by.User, identity.RolesOf(identity.RoleResponsible), 0)
					return err
				}, "session_expired"},
			"organisation": {func() error {
				return h.SetOrganisationDisabled(ctx, operator, west, true, identity.Why{Reason: "merged"})
			}, func() error {
				return h.SetOrganisationDisabled(ctx, operator, west, false, identity.Why{Reason: "merged"})
			}, "session_expired"},
			"sessions": {func() error {
				return h.db.Change(ctx, func(tx identity.Tx) error { return tx.EndSessions(by.User, "") })
			}, func() error { return nil }, "session_expired"},
		} {
			i, err := h.CheckImport(ctx, by, west, csv)
			h.must(err)
			_, err = h.ApplyImport(ctx, by, i.ID)
			h.must(err)
			if _, err := h.CheckImport(ctx, by, west, csv); fault.Code(err) != "import_running" {
				t.Errorf("a second one beside it: %v", err)
			}
			h.must(c.take())
			if n, err := h.WorkImports(ctx); n != 0 || err != nil {
				t.Errorf("%s: %d rows, %v", name, n, err)
			}
			stopped, err := h.db.Import(ctx, i.ID)
			h.must(err)
			if stopped.State != identity.ImportStopped || stopped.Reason != c.reason {
				t.Errorf("%s: %+v", name, stopped)
			}
			if _, err := h.db.PersonByName(ctx, "p1"); !fault.Is(err, fault.NotFound) {
				t.Errorf("%s: somebody was created: %v", name, err)
			}
			h.must(c.give())
		}
		// It goes on when its owner says so once more.
		i, err := h.CheckImport(ctx, by, west, csv)
		h.must(err)
		_, err = h.ApplyImport(ctx, by, i.ID)
		h.must(err)
		h.must(h.db.Change(ctx, func(tx identity.Tx) error { return tx.EndSessions(by.User, "") }))
		_, err = h.WorkImports(ctx)
		h.must(err)
		_, err = h.ApplyImport(ctx, by, i.ID)
		h.must(err)
		if n, err := h.WorkImports(ctx); n != 5 || err != nil {
			t.Errorf("resumed: %d, %v", n, err)
		}
	})
}

// list is a file of n people.
func list(n int) string {
	var b strings.Builder
	b.WriteString("username,given_name,family_name,email,language\n")
	for i := range n {
		fmt.Fprintf(&b, "p%d,Given,Family,p%d@west.example,fi\n", i, i)
	}
	return b.String()
}

// Any number of workers whose leases have all failed settle each row once.
func TestNoRowIsWorkedOnTwice(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		west := h.organisation("west", identity.MethodApp)
		by := h.responsible(west, "me")
		i, err := h.CheckImport(ctx, by, west, list(90))
		h.must(err)
		_, err = h.ApplyImport(ctx, by, i.ID)
		h.must(err)
		h.clearLetters()
		var all sync.WaitGroup
		var mu sync.Mutex
		settled := 0
		for range 10 {
			all.Go(func() {
				for {
					n, err := h.WorkImports(ctx)
					mu.Lock()
					settled += n
					mu.Unlock()
					if err != nil {
						t.Error(err)
						return
					}
					now, err := h.db.Import(ctx, i.ID)
					if err != nil || now.State == identity.ImportDone {
						return
					}
					if err := h.db.ReleaseImport(ctx, i.ID, h.now()); err != nil { // somebody else's lease ends too early
						t.Error(err)
						return
					}
				}
			})
		}
		all.Wait()
		made := slices.DeleteFunc(h.events(audit.UserCreated), func(e audit.Event) bool { return e.Details["import"] == "" })
		if settled != 90 || len(made) != 90 || h.letters()[mail.Welcome] != 90 || len(h.events(audit.ImportFinished)) != 1 {
			t.Errorf("%d settled, %d created, %d letters, %d ends", settled, len(made), h.letters()[mail.Welcome], len(h.events(audit.ImportFinished)))
		}
	})
}

// Where passwords are handed over, nobody has one before that.
func TestImportedPeopleGetTheirPasswordAtHandover(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		west := h.organisation("west", identity.MethodApp)
		by := h.responsible(west, "me")
		_, err := h.ChangeOrganisation(ctx, operator, west, func(o *identity.Organisation) { o.Delivery = identity.ByHandover })
		h.must(err)
		h.clearLetters()
		h.applied(by, west, list(1))
		p, err := h.db.PersonByName(ctx, "p0")
		h.must(err)
		if p.PasswordState(h.now()) != "none" || len(h.letters()) != 0 {
			t.Errorf("%+v %v", p.Password, h.letters())
		}
		for _, guess := range []string{"", "x"} {
			if _, err := h.VerifyPassword(ctx, "p0", guess, here); err == nil {
				t.Errorf("%q opens an account without a password", guess)
			}
		}
		temporary, err := h.FirstPassword(ctx, by, p.User.ID)
		h.must(err)
		if _, err := h.VerifyPassword(ctx, "p0", temporary, here); err != nil {
			t.Error(err)
		}
	})
}

// Ten thousand rows, twice: the second time nobody is touched.
func TestTenThousandRows(t *testing.T) {
	if testing.Short() {
		t.Skip("some seconds")
	}
	h := newHouse(t, storetest.Open(t, store.SQLite))
	west := h.organisation("west", identity.MethodApp)
	by := h.responsible(west, "me")
	_, err := h.ChangeOrganisation(t.Context(), operator, west, func(o *identity.Organisation) { o.Delivery = identity.ByHandover }) // letters have tests of their own
	h.must(err)
	csv := list(10_000)
	if i := h.applied(by, west, csv); i.State != identity.ImportDone || i.Counts[identity.RowCreates] != 10_000 {
		t.Errorf("%+v", i)
	}
	if i := h.applied(by, west, csv); i.State != identity.ImportDone || i.Counts[identity.RowUnchanged] != 10_000 {
		t.Errorf("%+v", i)
	}
}

// A day later nothing is left of the file.
func TestImportsAreForgotten(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		west := h.organisation("west", identity.MethodApp)
		by := h.responsible(west, "me")
		i, err := h.CheckImport(ctx, by, west, list(3))
		h.must(err)
		h.must(h.db.Sweep(ctx, h.now()))
		if _, err := h.Directory.Import(ctx, by, i.ID); err != nil {
			t.Error(err)
		}
		h.add(25 * time.Hour)
		if _, err := h.ApplyImport(ctx, by, i.ID); fault.Code(err) != "import_not_found" {
			t.Errorf("applied after a day: %v", err)
		}
		h.must(h.db.Sweep(ctx, h.now()))
		if rows, err := h.db.ImportRows(ctx, identity.RowsOf{Import: i.ID, Limit: 10}); err != nil || len(rows) != 0 {
			t.Errorf("%d rows are left, %v", len(rows), err)
		}
	})
}
