package identity_test

import (
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/mail"
	"github.com/portti-id/portti/internal/session"
	"github.com/portti-id/portti/internal/store"
	"github.com/portti-id/portti/internal/storetest"
)

// timely runs f over both databases, whose clock is the house's.
func timely(t *testing.T, f func(h *house)) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		h := newHouse(t, nil)
		h.db = storetest.Connect(t, c, func(d *store.Deps) { d.Now = h.now })
		h.Store, h.Audit = h.db, h.db
		f(h)
	})
}

func (h *house) org(id identity.OrganisationID) identity.Organisation {
	h.t.Helper()
	o, err := h.Store.Organisation(h.t.Context(), id)
	h.must(err)
	return o
}

func (h *house) plan(id identity.OrganisationID, from time.Time, edit func(p *identity.Policy)) (identity.Organisation, error) {
	h.t.Helper()
	o := h.org(id)
	p := o.Policy()
	edit(&p)
	return h.PlanPolicy(h.t.Context(), operator, id, o.Version, p, from)
}

func permit(methods ...identity.Method) func(p *identity.Policy) {
	return func(p *identity.Policy) { p.Methods = identity.MethodsOf(methods...) }
}

// toldOf empties the outbox and says whom the letters on policies went to.
func (h *house) toldOf() []string {
	h.t.Helper()
	queued, err := h.db.LeaseLetters(h.t.Context(), 10000, h.now().Add(time.Hour), time.Nanosecond)
	h.must(err)
	var to []string
	for _, q := range queued {
		raw, err := storetest.Unseal(q.Sealed, q.ID)
		h.must(err)
		if strings.Contains(string(raw), fmt.Sprintf("%q", mail.PolicyTightened)) {
			_, name, _ := strings.Cut(string(raw), `"username":"`)
			name, _, _ = strings.Cut(name, `"`)
			to = append(to, name)
		}
		h.must(h.db.LetterSent(h.t.Context(), q.ID))
	}
	slices.Sort(to)
	return to
}

// S72, standards.md 5.6: limits of sessions have bounds, and shared workstations have theirs.
func TestSessionLimitsHaveBounds(t *testing.T) {
	h := newHouse(t, storetest.Open(t, store.SQLite))
	id := h.organisation("org", identity.MethodCard)
	for _, c := range []struct {
		idle, absolute       time.Duration
		shared               bool
		wantIdle, wantLonger time.Duration // 0: refused
	}{
		{0, 0, false, 60 * time.Minute, 12 * time.Hour},
		{0, 0, true, 15 * time.Minute, 12 * time.Hour},
		{5 * time.Minute, time.Hour, false, 5 * time.Minute, time.Hour},
		{5 * time.Minute, time.Hour, true, 5 * time.Minute, time.Hour},
		{60 * time.Minute, 12 * time.Hour, false, 60 * time.Minute, 12 * time.Hour},
		{60 * time.Minute, 12 * time.Hour, true, 15 * time.Minute, 12 * time.Hour},
		{16 * time.Minute, 90 * time.Minute, true, 15 * time.Minute, 90 * time.Minute},
		{4 * time.Minute, 0, false, 0, 0},
		{time.Second, 0, false, 0, 0},
		{61 * time.Minute, 0, false, 0, 0},
		{90*time.Second + 5*time.Minute, 0, false, 0, 0},
		{-time.Minute, 0, false, 0, 0},
		{0, 59 * time.Minute, false, 0, 0},
		{0, 12*time.Hour + time.Minute, false, 0, 0},
		{0, -time.Hour, true, 0, 0},
	} {
		after, err := h.plan(id, time.Time{}, func(p *identity.Policy) {
			p.SessionIdle, p.SessionAbsolute, p.SharedWorkstations = c.idle, c.absolute, c.shared
		})
		if c.wantIdle == 0 {
			if fault.Code(err) != "session_limit_invalid" {
				t.Errorf("%+v: %v", c, err)
			}
			continue
		}
		if stored := h.org(id); err != nil || stored.Idle() != c.wantIdle || stored.Absolute() != c.wantLonger || stored != after {
			t.Errorf("%+v: idle %v, absolute %v, %v", c, stored.Idle(), stored.Absolute(), err)
		}
	}
	if session.SharedIdle > 15*time.Minute || session.FullIdle > time.Hour || session.FullAbsolute > 12*time.Hour {
		t.Error("the usual limits are longer than S72 has them")
	}
}

// S5, S71: what a policy may hold.
func TestPolicyIsChecked(t *testing.T) {
	h := newHouse(t, storetest.Open(t, store.SQLite))
	id := h.organisation("org", identity.MethodCard)
	for _, c := range []struct {
		want string
		edit func(p *identity.Policy)
	}{
		{"methods_empty", func(p *identity.Policy) { p.Methods = 0 }},
		{"support_phone_invalid", func(p *identity.Policy) { p.SupportPhone = "call us" }},
		{"support_phone_required", func(p *identity.Policy) { p.SupportHours = "8–16" }},
		{"too_long", func(p *identity.Policy) { p.ResponsibleContact = strings.Repeat("x", 301) }},
		{"control_characters", func(p *identity.Policy) { p.ITContact = "a\nb" }},
		{"", func(p *identity.Policy) { // the last one: what is saved stays
			p.SupportPhone, p.SupportHours, p.ITContact = " 09 123 45 ", " 8–16 ", " IT "
		}},
	} {
		if _, err := h.plan(id, time.Time{}, c.edit); fault.Code(err) != c.want {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
	if o := h.org(id); o.SupportPhone != "09 123 45" || o.SupportHours != "8–16" || o.ITContact != "IT" {
		t.Errorf("saved %+v", o.Policy())
	}
	if _, err := h.plan(id, h.now().Add(identity.Ahead+time.Hour), permit(identity.MethodApp)); fault.Code(err) != "effective_too_late" {
		t.Errorf("far ahead: %v", err)
	}
}

// S8: a change counts from its day on, whether or not anybody has carried it over,
// and twenty sweeps at once do so once.
func TestAPlannedChangeCountsFromItsDayOnAndIsCarriedOverOnce(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		h := newHouse(t, nil)
		var replicas [2]*store.Store
		for i := range replicas {
			replicas[i] = storetest.Connect(t, c, func(d *store.Deps) { d.Now = h.now })
		}
		h.db, h.Store, h.Audit = replicas[0], replicas[0], replicas[0]
		other := *h.Directory
		other.Store, other.Audit = replicas[1], replicas[1]
		ctx := t.Context()
		id := h.organisation("org", identity.MethodApp, identity.MethodCard)
		liisa := h.settled(id, "liisa")
		h.withApp(liisa)
		matti := h.settled(id, "matti")
		h.must(h.LinkCard(ctx, h.enrol(matti), h.seen("fp")))
		from := h.now().Add(24 * time.Hour)
		o, err := h.plan(id, from, permit(identity.MethodCard))
		h.must(err)
		if o.Methods.String() != "card,app" || !o.Planned.Open(h.now()) || o != h.org(id) {
			t.Errorf("planned: %+v", o)
		}
		sweep := func() (carried, told int) {
			var mu sync.Mutex
			var all sync.WaitGroup
			for i := range 20 {
				all.Go(func() {
					d := []*identity.Directory{h.Directory, &other}[i%2]
					n, err := d.CarryOutPlans(ctx)
					letters, err2 := d.TellStranded(ctx)
					mu.Lock()
					defer mu.Unlock()
					if err != nil || err2 != nil {
						t.Error(err, err2)
					}
					carried, told = carried+n, told+letters
				})
			}
			all.Wait()
			return carried, told
		}
		h.toldOf()
		if carried, told := sweep(); carried != 0 || told != 1 || !slices.Equal(h.toldOf(), []string{"liisa"}) {
			t.Errorf("before its day: %d carried over, %d told", carried, told)
		}
		if !h.person(liisa).Permits(identity.MethodApp) {
			t.Error("it counts before its day")
		}
		h.add(24 * time.Hour)
		for _, s := range replicas { // nobody has swept
			p, err := s.Person(ctx, liisa)
			h.must(err)
			a, err := s.Account(ctx, liisa)
			h.must(err)
			all, err := s.People(ctx, id)
			h.must(err)
			for _, p := range append(all, p, a) {
				if p.Permits(identity.MethodApp) || !p.Permits(identity.MethodCard) {
					t.Errorf("on its day %s may use %s", p.User.Username, p.Organisation.Methods)
				}
			}
			if list, err := s.Organisations(ctx); err != nil || list[0].Methods != identity.Methods(identity.MethodCard) {
				t.Errorf("listed as %+v, %v", list, err)
			}
			h.must(s.Change(ctx, func(tx identity.Tx) error {
				p, err := tx.Person(liisa)
				if err == nil && p.Permits(identity.MethodApp) {
					t.Error("a change sees the former policy")
				}
				return err
			}))
		}
		if _, err := h.WithdrawPlan(ctx, operator, id); fault.Code(err) != "policy_not_planned" {
			t.Errorf("withdrawn on its day: %v", err)
		}
		if carried, told := sweep(); carried != 1 || told != 1 || !slices.Equal(h.toldOf(), []string{"liisa"}) {
			t.Errorf("%d sweeps carried it over, %d letters", carried, told)
		}
		if carried, told := sweep(); carried != 0 || told != 0 {
			t.Errorf("once more: %d, %d", carried, told)
		}
		if o := h.org(id); o.Methods.String() != "card" || o.Planned != (identity.Plan{}) {
			t.Errorf("afterwards %+v", o)
		}
		if e := h.events(audit.PolicyChanged); len(e) != 1 || e[0].Details["methods"] != "card" || e[0].Details["methods_before"] != "card,app" || e[0].Details["planned_by"] != operator.Name || e[0].Actor != "system" {
			t.Errorf("the trail says %+v", e)
		}
		if len(h.events(audit.PolicyPlanned)) != 1 {
			t.Error("no event of the planning")
		}
	})
}

// One change is planned at a time; who decides has seen what is changed; and what
// comes between does not lose a plan whose day has come.
func TestPlansHaveRules(t *testing.T) {
	timely(t, func(h *house) {
		ctx := t.Context()
		id := h.organisation("org", identity.MethodApp, identity.MethodCard)
		tomorrow := h.now().Add(24 * time.Hour)
		seen := h.org(id).Version
		if o, err := h.plan(id, tomorrow, func(*identity.Policy) {}); err != nil || o.Planned != (identity.Plan{}) || h.org(id).Version != seen {
			t.Errorf("nothing to change: %+v, %v", o.Planned, err)
		}
		_, err := h.plan(id, tomorrow, permit(identity.MethodCard))
		h.must(err)
		for what, again := range map[string]time.Time{"now": {}, "another day": tomorrow.Add(time.Hour)} {
			if _, err := h.plan(id, again, permit(identity.MethodToken)); fault.Code(err) != "policy_planned" {
				t.Errorf("beside a plan, %s: %v", what, err)
			}
		}
		if _, err := h.PlanPolicy(ctx, operator, id, seen, h.org(id).Policy(), time.Time{}); fault.Code(err) != "changed_meanwhile" {
			t.Errorf("of an old version: %v", err)
		}
		if _, err := h.ChangeOrganisation(ctx, operator, id, func(o *identity.Organisation) { o.Methods = identity.Methods(identity.MethodToken) }); fault.Code(err) != "policy_planned" {
			t.Errorf("by the operator, past the plan: %v", err)
		}
		if o, err := h.ChangeOrganisation(ctx, operator, id, func(o *identity.Organisation) { o.Name, o.Planned = "Renamed", identity.Plan{} }); err != nil || !o.Planned.Open(h.now()) {
			t.Errorf("what is not of the policy: %+v, %v", o, err)
		}
		o, err := h.WithdrawPlan(ctx, operator, id)
		if err != nil || o.Planned != (identity.Plan{}) || o != h.org(id) || len(h.events(audit.PolicyWithdrawn)) != 1 {
			t.Errorf("withdrawn: %+v, %v", o, err)
		}
		if n, err := h.TellStranded(ctx); err != nil || n != 0 {
			t.Errorf("letters on what was withdrawn: %d, %v", n, err)
		}
		if _, err := h.WithdrawPlan(ctx, operator, id); fault.Code(err) != "policy_not_planned" {
			t.Errorf("withdrawn twice: %v", err)
		}

		// Its day has come, nobody has swept, and an operator changes the name.
		_, err = h.plan(id, tomorrow, permit(identity.MethodCard))
		h.must(err)
		h.add(25 * time.Hour)
		after, err := h.ChangeOrganisation(ctx, operator, id, func(o *identity.Organisation) { o.Name = "Once more" })
		h.must(err)
		if after != h.org(id) || after.Methods.String() != "card" || after.Planned != (identity.Plan{}) || len(h.events(audit.PolicyChanged)) != 1 {
			t.Errorf("%+v", after)
		}
		// And so when somebody changes the policy once more, or closes the organisation.
		for i, act := range []func() error{
			func() error { _, err := h.plan(id, time.Time{}, permit(identity.MethodToken)); return err },
			func() error {
				return h.SetOrganisationDisabled(ctx, operator, id, true, identity.Why{Reason: "merged"})
			},
		} {
			_, err = h.plan(id, h.now().Add(time.Hour), permit(identity.MethodApp))
			h.must(err)
			h.add(2 * time.Hour)
			h.must(act())
			if n := len(h.events(audit.PolicyChanged)); h.org(id).Planned != (identity.Plan{}) || n != 2+i*2+(1-i) {
				t.Errorf("act %d: %+v, %d events", i, h.org(id), n)
			}
		}
	})
}

// S64, S65: a responsible user decides for the own organisation, an operator for
// each, and nobody else does.
func TestWhoMayPlan(t *testing.T) {
	h := newHouse(t, storetest.Open(t, store.SQLite))
	ctx := t.Context()
	h.organisation("west", identity.MethodApp)
	h.organisation("east", identity.MethodApp)
	plan := func(by identity.Actor, id identity.OrganisationID) error {
		o := h.org(id)
		_, err := h.PlanPolicy(ctx, by, id, o.Version, o.Policy(), time.Time{})
		return err
	}
	for _, role := range append([]identity.Role{0}, identity.AllRoles...) {
		by := identity.Actor{Name: "user:x", User: "x", Organisation: "west", Roles: identity.RolesOf(role)}
		want := map[identity.Role][2]string{identity.RoleResponsible: {"", "organisation_not_found"}, identity.RoleOperator: {"", ""}}[role]
		if role != identity.RoleResponsible && role != identity.RoleOperator {
			want = [2]string{"not_allowed", "not_allowed"}
		}
		for i, id := range []identity.OrganisationID{"west", "east"} {
			_, effect := h.PolicyEffect(ctx, by, id, 1, time.Time{})
			_, list := h.PolicyAffected(ctx, by, id, 1, time.Time{}, identity.Stranded, "", 10)
			_, withdraw := h.WithdrawPlan(ctx, by, id)
			if fault.Code(withdraw) == "policy_not_planned" {
				withdraw = nil
			}
			for what, err := range map[string]error{"plan": plan(by, id), "effect": effect, "list": list, "withdraw": withdraw} {
				if fault.Code(err) != want[i] {
					t.Errorf("%s by %s in %s: %v, want %q", what, role, id, err, want[i])
				}
			}
		}
	}
}

// crowd is people of an organisation with every kind of link, as they come.
func crowd(t testing.TB, s *store.Store, org identity.OrganisationID, now time.Time, n int, random *mathrand.Rand) {
	t.Helper()
	err := s.Change(t.Context(), func(tx identity.Tx) error {
		for i := range n {
			u := identity.User{ID: identity.UserID(rand.Text()), Username: fmt.Sprintf("person%06d", i), Organisation: org, GivenName: "A", FamilyName: "B", Email: fmt.Sprintf("p%d@example.test", i),
				Language: "fi", Created: now, Updated: now, Epoch: 1, Version: 1}
			if random.IntN(10) == 0 {
				u.Disabled = now
			}
			if err := tx.AddUser(u, identity.Password{}); err != nil {
				return err
			}
			if random.IntN(2) == 0 {
				status := []card.State{"", "", "", card.OnHold, card.WasRevoked, card.Untrusted}[random.IntN(6)]
				l := identity.CardLink{ID: identity.LinkID(rand.Text()), User: u.ID, Fingerprint: rand.Text(), Linked: now, Status: status,
					NotAfter: now.Add(time.Duration(random.IntN(200)-50) * time.Hour)}
				if err := tx.AddCardLink(l); err != nil {
					return err
				}
			}
			if random.IntN(2) == 0 {
				kind := []identity.Method{identity.MethodApp, identity.MethodToken}[random.IntN(2)]
				if err := tx.AddAuthenticator(identity.Authenticator{ID: identity.LinkID(rand.Text()), User: u.ID, Kind: kind, SealedKey: "x", Linked: now}); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// S8: for whatever people and policies, the dry run is what the rule of a single
// person says; and the letters reach those whom it calls stranded, once each.
func TestTheDryRunIsTheRule(t *testing.T) {
	timely(t, func(h *house) {
		ctx, random := t.Context(), mathrand.New(mathrand.NewPCG(7, 11))
		id := h.organisation("org", identity.AllMethods...)
		h.organisation("other", identity.AllMethods...)
		crowd(t, h.db, id, h.now(), 330, random)
		everybody, err := h.db.People(ctx, id)
		h.must(err)
		h.toldOf()
		for range 8 {
			before, after := identity.Methods(1+random.IntN(7)), identity.Methods(1+random.IntN(7))
			_, err := h.plan(id, time.Time{}, func(p *identity.Policy) { p.Methods = before })
			h.must(err)
			h.must(justErr(h.TellStranded(ctx)))
			h.toldOf()
			now := h.now()
			from := now.Add(time.Duration(random.IntN(100)) * time.Hour)
			want := map[identity.Group][]string{}
			people := 0
			for _, p := range everybody {
				if !p.User.Disabled.IsZero() {
					continue
				}
				people++
				was, is := p.WaysIn(before, now), p.WaysIn(after, from)
				switch {
				case is == 0 && was != 0:
					want[identity.Stranded] = append(want[identity.Stranded], p.User.Username)
				case is == 0:
					want[identity.Without] = append(want[identity.Without], p.User.Username)
				case was&after != was:
					want[identity.Narrowed] = append(want[identity.Narrowed], p.User.Username)
				}
			}
			e, err := h.PolicyEffect(ctx, operator, id, after, from)
			if err != nil || e.People != people || e.Stranded != len(want[identity.Stranded]) || e.Without != len(want[identity.Without]) || e.Narrowed != len(want[identity.Narrowed]) {
				t.Fatalf("%s to %s: %+v, %v", before, after, e, err)
			}
			for _, g := range identity.Groups {
				var got []string
				for last := ""; ; {
					page, err := h.PolicyAffected(ctx, operator, id, after, from, g, last, 50)
					h.must(err)
					for _, p := range page {
						got = append(got, p.User.Username)
						last = identity.FoldUsername(p.User.Username)
					}
					if len(page) < 50 {
						break
					}
				}
				if !slices.Equal(got, want[g]) {
					t.Errorf("%s to %s, %s: %d listed, want %d", before, after, g, len(got), len(want[g]))
				}
			}
			_, err = h.plan(id, from, func(p *identity.Policy) { p.Methods = after })
			h.must(err)
			var all sync.WaitGroup
			for range 4 {
				all.Go(func() {
					if _, err := h.TellStranded(ctx); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			told := h.toldOf()
			if before&^after == 0 {
				want[identity.Stranded] = nil // nothing is taken away: whose card runs out hears of that otherwise
			}
			if !slices.Equal(told, want[identity.Stranded]) {
				t.Errorf("%s to %s: %d letters, want %d", before, after, len(told), len(want[identity.Stranded]))
			}
			if h.org(id).Planned.Open(now) {
				h.must(justErr(h.WithdrawPlan(ctx, operator, id)))
			}
		}
	})
}

func justErr[T any](_ T, err error) error { return err }

// The rehearsal of an operator's change leaves neither plan nor letter.
func TestARehearsedPlanLeavesNothing(t *testing.T) {
	h := newHouse(t, storetest.Open(t, store.SQLite))
	id := h.organisation("org", identity.MethodApp, identity.MethodCard)
	h.withApp(h.settled(id, "liisa"))
	before := h.org(id)
	h.DryRun = true
	o, err := h.plan(id, h.now().Add(time.Hour), permit(identity.MethodCard))
	h.must(err)
	h.DryRun = false
	if !o.Planned.Open(h.now()) || h.org(id) != before {
		t.Errorf("planned %+v, stored %+v", o, h.org(id))
	}
	if n, err := h.TellStranded(t.Context()); n != 0 || err != nil {
		t.Errorf("%d letters, %v", n, err)
	}
}

// The dry run for an organisation of 50,000 people among 100,000: what it costs to
// count whom it strands, and a page of them.
func BenchmarkPolicyDryRun(b *testing.B) {
	for _, driver := range storetest.Drivers {
		b.Run(driver, func(b *testing.B) {
			s := storetest.Open(b, driver)
			now := time.Now()
			storetest.Crowd(b, s, now, 100_000)
			c := identity.MethodChange{Organisation: storetest.CrowdHalf, Before: 7, After: identity.Methods(identity.MethodCard), Now: now, From: now}
			b.Run("count", func(b *testing.B) {
				for b.Loop() {
					if e, err := s.CountAffected(b.Context(), c); err != nil || e.Stranded == 0 {
						b.Fatal(e, err)
					}
				}
			})
			b.Run("page", func(b *testing.B) {
				for b.Loop() {
					if page, err := s.Affected(b.Context(), c, identity.Stranded, "lai", 50); err != nil || len(page) != 50 {
						b.Fatal(len(page), err)
					}
				}
			})
		})
	}
}
