package login

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/json"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/ephemeral"
	"github.com/portti-id/portti/internal/ephemeral/ephemeraltest"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/keys"
	"github.com/portti-id/portti/internal/password"
	"github.com/portti-id/portti/internal/session"
	"github.com/portti-id/portti/internal/store"
	"github.com/portti-id/portti/internal/storetest"
	"github.com/portti-id/portti/internal/throttle"
	"github.com/portti-id/portti/internal/totp"
)

// bench is a sign-in over real stores, with a clock that the test moves.
type bench struct {
	t testing.TB
	*Service
	mu    sync.Mutex
	clock time.Time
	keys  map[identity.UserID][]byte // of the authenticators, as the people's phones know them
}

var operator = identity.Actor{Name: "operator:test", Operator: true}

func (b *bench) now() time.Time      { b.mu.Lock(); defer b.mu.Unlock(); return b.clock }
func (b *bench) add(d time.Duration) { b.mu.Lock(); defer b.mu.Unlock(); b.clock = b.clock.Add(d) }

// each runs f over SQLite with memory, and PostgreSQL with Redis.
func each(t *testing.T, f func(b *bench)) {
	for _, driver := range storetest.Drivers {
		t.Run(driver, func(t *testing.T) {
			ephemeraltest.Each(t, func(t *testing.T, e ephemeral.Store) { f(newBench(t, storetest.Open(t, driver), e)) })
		})
	}
}

func newBench(t testing.TB, s *store.Store, e ephemeral.Store) *bench {
	t.Helper()
	b := &bench{t: t, clock: time.Now().Truncate(time.Second), keys: map[identity.UserID][]byte{}}
	hasher, err := password.NewHasher(password.Params{MemoryKiB: 64, Time: 1, Parallel: 2, Threads: 1, Wait: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	rules, err := password.NewRules(0)
	if err != nil {
		t.Fatal(err)
	}
	names, err := totp.NewNames("PORTTI", "", false)
	if err != nil {
		t.Fatal(err)
	}
	master, err := keys.ReadMaster(strings.NewReader(keys.GenerateMaster() + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	limits := &throttle.Throttle{Store: e}
	d := &identity.Directory{Store: s, Hasher: hasher, Rules: rules, Sealer: master, Ephemeral: e, Throttle: limits, Audit: s, Now: b.now, Names: names, Support: "020 000 000"}
	b.Service = &Service{Directory: d, Sessions: &session.Sessions{Store: e, Now: b.now}, Ephemeral: e, Throttle: limits, Audit: s, Now: b.now,
		CardPlace: func(m card.Mode) (card.Place, bool) {
			name := "a" + string(m) + strings.ToLower(rand.Text()) + ".card.example"
			return card.Place{Origin: "https://" + name, Name: name, Own: true}, true
		},
		CardBack: func(tx string) string { return "https://id.example/signin/" + tx + "/card" }}
	return b
}

func must[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// person makes somebody in an organisation of these methods, with a temporary password.
func (b *bench) person(name string, methods ...identity.Method) (identity.UserID, string) {
	b.t.Helper()
	ctx := b.t.Context()
	org := identity.OrganisationID("org-" + strings.ToLower(name))
	must[identity.Organisation](b.t)(b.Directory.CreateOrganisation(ctx, operator, identity.Organisation{ID: org, Name: "Organisation of " + name,
		Methods: identity.MethodsOf(methods...), PersonalPhones: true, Delivery: identity.ByHandover}))
	u, temporary, err := b.Directory.CreateUser(ctx, operator, identity.User{Username: name, Organisation: org, GivenName: "Given", FamilyName: "Family", Language: "fi"})
	if err != nil {
		b.t.Fatal(err)
	}
	return u.ID, temporary
}

const ownPassword = "correct horse battery staple"

// settled is a person who has a password of her own.
func (b *bench) settled(name string, methods ...identity.Method) identity.UserID {
	b.t.Helper()
	id, _ := b.person(name, methods...)
	p := must[identity.Person](b.t)(b.Directory.Store.Person(b.t.Context(), id))
	must[identity.Person](b.t)(b.Directory.ReplaceTemporary(b.t.Context(), p, ownPassword, ""))
	return id
}

// withApp links an authenticator.
func (b *bench) withApp(id identity.UserID) {
	b.t.Helper()
	self := identity.Self{User: id, Session: "s-" + string(id), AuthTime: b.now()}
	e := must[identity.Enrolment](b.t)(b.Directory.BeginAuthenticator(b.t.Context(), self))
	key := keyOf(b.t, e.Base32)
	b.keys[id] = key
	if err := b.Directory.ConfirmAuthenticator(b.t.Context(), self, b.code(id, 0), identity.Statement{Kind: identity.MethodApp, OwnDevice: true, PersonalPhone: true}); err != nil {
		b.t.Fatal(err)
	}
	b.add(31 * time.Second) // the code that linked is spent
}

func (b *bench) code(id identity.UserID, steps int64) string {
	b.t.Helper()
	return must[string](b.t)(totp.Code(b.keys[id], totp.Step(b.now())+steps))
}

// withCard links a card and returns what its handshake says.
func (b *bench) withCard(id identity.UserID, fingerprint string) card.Result {
	b.t.Helper()
	r := b.good(fingerprint)
	p := must[identity.Person](b.t)(b.Directory.Store.Person(b.t.Context(), id))
	self := identity.Self{User: id, Session: "s-" + string(id), AuthTime: b.now()}
	if p.Authenticator != nil {
		self.Full, self.Proved = true, p.Authenticator.Kind
	}
	if err := b.Directory.LinkCard(b.t.Context(), self, r); err != nil {
		b.t.Fatal(err)
	}
	return r
}

func (b *bench) good(fingerprint string) card.Result {
	return card.Result{Verdict: card.Good, At: b.now().UTC(), Holder: card.Holder{Fingerprint: fingerprint, SPKI: "spki-" + fingerprint, Issuer: "Test CA", IssuerDN: "CN=Test CA",
		Serial: "00ab" + fingerprint, SubjectSerial: "123", Name: "Given Family", Organisation: "Org", NotAfter: b.now().Add(365 * 24 * time.Hour).UTC()}}
}

var from = netip.MustParseAddr("192.0.2.7")

func demand(tx string) Demand {
	return Demand{TX: tx, Browser: "browser-1", Client: "service", From: from}
}

// present plays the card host: it takes the ticket of an address and returns the
// code that the browser brings back.
func (b *bench) present(address string, r card.Result) string {
	b.t.Helper()
	ticket, name := ticketOf(b.t, address)
	a := must[card.Attempt](b.t)(Attempts{b.Service}.Open(b.t.Context(), ticket, name))
	back := must[string](b.t)(Attempts{b.Service}.Finish(b.t.Context(), a, r))
	_, code, ok := strings.Cut(back, "code=")
	if !ok {
		b.t.Fatalf("no code in %s", back)
	}
	return code
}

// ticketOf takes the address of an attempt apart: the ticket, and the place's name.
func ticketOf(t testing.TB, address string) (ticket, name string) {
	t.Helper()
	u := must[*url.URL](t)(url.Parse(address))
	return strings.TrimPrefix(u.Path, "/attempt/"), u.Hostname()
}

func (b *bench) at(f Flow, err error) func(want Step) {
	return func(want Step) {
		b.t.Helper()
		if err != nil || f.Step != want {
			b.t.Fatalf("at %q (%v), want %q", f.Step, err, want)
		}
	}
}

// S15, S18, S20: temporary password, change, enrol session, link, and the waiting
// request goes on at the code step.
func TestFirstDayWithAnAuthenticator(t *testing.T) {
	each(t, func(b *bench) {
		ctx, d := t.Context(), demand("tx1")
		id, temporary := b.person("Liisa", identity.MethodApp)
		b.at(b.Start(ctx, d, nil))(AskPassword)
		b.at(b.Password(ctx, d, "LIISA", strings.ToUpper(temporary)))(ChangePassword) // as it was read out
		b.at(b.Code(ctx, d, "123456"))(ChangePassword)                                // steps cannot be skipped
		if _, err := b.Finish(ctx, d, nil); fault.Code(err) != "signin_moved_on" {
			t.Fatalf("finished with a temporary password: %v", err)
		}
		if f, err := b.ChangePassword(ctx, d, ownPassword, ownPassword+"x"); fault.Code(err) != "password_mismatch" || f.Step != ChangePassword {
			t.Fatalf("mismatch: %v", err)
		}
		if f, err := b.ChangePassword(ctx, d, temporary, temporary); err == nil || f.Step != ChangePassword {
			t.Fatal("the temporary password was kept")
		}
		b.at(b.ChangePassword(ctx, d, ownPassword, ownPassword))(Enrol)
		end := must[Ending](t)(b.Finish(ctx, d, nil))
		if end.Session.Level != session.Enrol || end.Session.Waiting != "tx1" || end.Session.Method != session.Password {
			t.Fatalf("session %+v", end.Session)
		}
		if _, err := b.Finish(ctx, d, nil); fault.Code(err) != "signin_moved_on" {
			t.Fatalf("a second session: %v", err)
		}

		// The Service still wants a full sign-in (S19), also of whoever looks too early.
		b.at(b.Start(ctx, demand("tx2"), &end.Session))(AskPassword)
		b.at(b.Start(ctx, d, &end.Session))(AskPassword)
		b.at(b.Start(ctx, demand("tx-over"), &end.Session))(AskPassword)
		b.at(b.StartOver(ctx, demand("tx-over")))(AskPassword)

		self := identity.Self{User: id, Session: end.Session.ID, AuthTime: end.Session.AuthTime}
		e := must[identity.Enrolment](t)(b.Directory.BeginAuthenticator(ctx, self))
		b.keys[id] = keyOf(t, e.Base32)
		linking := b.code(id, 0)
		if err := b.Directory.ConfirmAuthenticator(ctx, self, linking, identity.Statement{Kind: identity.MethodApp, OwnDevice: true}); err != nil {
			t.Fatal(err)
		}
		b.at(b.Start(ctx, d, &end.Session))(AskCode)                     // S20: resumes by itself
		b.at(b.Start(ctx, demand("tx-over"), &end.Session))(AskPassword) // but not what was started over
		if _, err := b.Code(ctx, d, linking); fault.Code(err) != "otp_used" {
			t.Fatalf("the code that linked was taken again: %v", err) // S44
		}
		b.add(30 * time.Second)
		b.at(b.Code(ctx, d, b.code(id, 0)))(Done)
		full := must[Ending](t)(b.Finish(ctx, d, &end.Session))
		if full.Session.Level != session.Full || full.Session.Method != session.App {
			t.Fatalf("session %+v", full.Session)
		}
		if _, err := b.Sessions.Find(ctx, end.Secret); fault.Code(err) != "session_expired" {
			t.Errorf("the enrol session lives on: %v", err)
		}
		if now, err := b.Sessions.Find(ctx, full.Secret); err != nil || now.ID != end.Session.ID || now.Level != session.Full {
			t.Errorf("renewed as %+v, %v", now, err)
		}
	})
}

// S43, S31, S30, S18: what a right password leads to.
func TestPasswordLeadsTo(t *testing.T) {
	all := []identity.Method{identity.MethodCard, identity.MethodApp, identity.MethodToken}
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		b := newBench(t, s, ephemeral.NewMemory(time.Now))
		ctx := t.Context()
		b.settled("nobody", all...)
		b.withApp(b.settled("app", all...))
		b.withCard(b.settled("card", all...), "f-card")
		both := b.settled("both", all...)
		b.withApp(both)
		b.withCard(both, "f-both")
		old := b.settled("old", all...)
		b.withCard(old, "f-old")
		barred := b.settled("barred", all...)
		b.withApp(barred)
		must[identity.Organisation](t)(b.Directory.ChangeOrganisation(ctx, operator, "org-barred", func(o *identity.Organisation) { o.Methods = identity.MethodsOf(identity.MethodCard) }))
		for name, want := range map[string]Step{"nobody": Enrol, "app": AskCode, "card": UseCard, "both": AskCode, "barred": AskCode} {
			d := demand("tx-" + name)
			b.at(b.Start(ctx, d, nil))(AskPassword)
			b.at(b.Password(ctx, d, name, ownPassword))(want)
		}
		// Only the card will do: its holder is sent to the card, the others prove
		// themselves for User Services.
		for name, want := range map[string]Step{"both": UseCard, "card": UseCard, "app": AskCode, "nobody": Enrol} {
			d := demand("tx-cardonly-" + name)
			d.CardOnly = true
			b.at(b.Start(ctx, d, nil))(AskPassword)
			b.at(b.Password(ctx, d, name, ownPassword))(want)
		}
		// S8: a code of a kind that is no longer permitted opens User Services, and nothing else.
		d := demand("tx-barred")
		b.at(b.Code(ctx, d, b.code(barred, 0)))(Enrol)
		if end := must[Ending](t)(b.Finish(ctx, d, nil)); end.Session.Level != session.Enrol || end.Session.Method != session.App {
			t.Errorf("session %+v", end.Session)
		}
		b.add(366 * 24 * time.Hour) // the cards have expired
		d = demand("tx-old")
		b.at(b.Start(ctx, d, nil))(AskPassword)
		b.at(b.Password(ctx, d, "old", ownPassword))(Enrol) // S30
		p := must[identity.Person](t)(s.Person(ctx, old))
		if err := identity.MayLink(p, identity.Self{User: old}, identity.MethodCard, b.now()); fault.Code(err) != "link_closed" {
			t.Errorf("S30: %v", err)
		}
	})
}

// S44, rule 2: one code in fifty parallel posts of one browser, and of fifty
// browsers, opens one session.
func TestOneCodeOpensOneSession(t *testing.T) {
	each(t, func(b *bench) {
		ctx := t.Context()
		id := b.settled("Matti", identity.MethodApp)
		b.withApp(id)
		const n = 50
		// Fifty sign-ins of the one person wait for a code.
		var all sync.WaitGroup
		for i := range n {
			d := demand("tx" + string(rune('A'+i)))
			b.at(b.Start(ctx, d, nil))(AskPassword)
			b.at(b.Password(ctx, d, "matti", ownPassword))(AskCode)
		}
		code := b.code(id, 0)
		var mu sync.Mutex
		done, used, throttled := 0, 0, 0
		for i := range n {
			all.Go(func() {
				f, err := b.Code(ctx, demand("tx"+string(rune('A'+i))), code)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil && f.Step == Done:
					done++
				case fault.Code(err) == "otp_used":
					used++
				case fault.Is(err, fault.Throttled):
					throttled++
				default:
					t.Errorf("step %s, %v", f.Step, err)
				}
			})
		}
		all.Wait()
		if done != 1 || done+used+throttled != n {
			t.Errorf("%d done, %d used, %d throttled", done, used, throttled)
		}
	})
}

func TestFinishStartsOneSession(t *testing.T) {
	each(t, func(b *bench) {
		ctx, d := t.Context(), demand("tx")
		id := b.settled("Matti", identity.MethodApp)
		b.withApp(id)
		b.at(b.Start(ctx, d, nil))(AskPassword)
		b.at(b.Password(ctx, d, "matti", ownPassword))(AskCode)
		b.at(b.Code(ctx, d, b.code(id, 0)))(Done)
		var all sync.WaitGroup
		var mu sync.Mutex
		started := 0
		for range 50 {
			all.Go(func() {
				_, err := b.Finish(ctx, d, nil)
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					started++
				} else if fault.Code(err) != "signin_moved_on" {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if started != 1 {
			t.Errorf("%d sessions", started)
		}
	})
}

// The same person's next sign-in keeps the session's public ID, unless an order has
// ended the session meanwhile: services that are still to hear of that under the ID must
// not end the new one.
func TestSessionThatIsOverIsNotRenewed(t *testing.T) {
	each(t, func(b *bench) {
		ctx := t.Context()
		id := b.settled("Matti", identity.MethodApp)
		b.withApp(id)
		pw := ownPassword
		signIn := func(former *session.Session) session.Session {
			t.Helper()
			d := demand("tx-" + rand.Text())
			b.at(b.Start(ctx, d, nil))(AskPassword)
			b.at(b.Password(ctx, d, "matti", pw))(AskCode)
			b.add(time.Minute)
			b.at(b.Code(ctx, d, b.code(id, 0)))(Done)
			return must[Ending](t)(b.Finish(ctx, d, former)).Session
		}
		b.add(time.Minute)
		first := signIn(nil)
		again := signIn(&first)
		if again.ID != first.ID {
			t.Error("services that know the session do not know it any more")
		}
		self := identity.Self{User: id, Session: again.ID, Full: true, Proved: identity.MethodApp, AuthTime: b.now()}
		pw = ownPassword + " 2"
		if err := b.Directory.ChangePassword(ctx, self, ownPassword, pw); err != nil {
			t.Fatal(err)
		}
		kept := signIn(&again)
		if kept.ID != first.ID {
			t.Error("the session that a change of password has kept is not renewed")
		}
		if _, err := b.Directory.Order(ctx, operator, id, identity.Why{Reason: "forgotten"}); err != nil {
			t.Fatal(err)
		}
		p := must[identity.Person](t)(b.Directory.Store.Person(ctx, id))
		pw = ownPassword + " 3"
		must[identity.Person](t)(b.Directory.ReplaceTemporary(ctx, p, pw, ""))
		fresh := signIn(&kept)
		if fresh.ID == first.ID {
			t.Error("a session that an order has ended goes on under its ID")
		}
		if _, err := b.Sessions.ByID(ctx, first.ID); err == nil {
			t.Error("the former session is still there")
		}
		if got := must[session.Session](t)(b.Sessions.ByID(ctx, fresh.ID)); got.User != string(id) {
			t.Errorf("%+v", got)
		}
	})
}

// meddler is another request of the same browser that writes the flow first, once.
type meddler struct {
	ephemeral.Store
	change func(f *Flow)
}

func (m *meddler) Replace(ctx context.Context, key string, old, value []byte, ttl time.Duration) error {
	if change := m.change; change != nil && strings.HasPrefix(key, "flow:") {
		m.change = nil
		var f Flow
		if err := json.Unmarshal(old, &f); err != nil {
			return err
		}
		change(&f)
		first, err := json.Marshal(f)
		if err != nil {
			return err
		}
		if err := m.Store.Replace(ctx, key, old, first, ttl); err != nil {
			return err
		}
	}
	return m.Store.Replace(ctx, key, old, value, ttl)
}

// A right code is spent, so what it proved is not lost to another request that
// wrote first; unless that one led somewhere else.
func TestSpentCodeCountsWhoeverWroteFirst(t *testing.T) {
	for name, c := range map[string]struct {
		change func(f *Flow)
		want   Step
	}{
		"a wrong code was counted": {func(f *Flow) { f.Codes++ }, Done},
		"started over meanwhile":   {func(f *Flow) { *f, _ = f.after(StartOver) }, AskPassword},
	} {
		m := &meddler{Store: ephemeral.NewMemory(time.Now)}
		b := newBench(t, storetest.Open(t, store.SQLite), m)
		ctx, d := t.Context(), demand("tx")
		id := b.settled("Matti", identity.MethodApp)
		b.withApp(id)
		b.at(b.Start(ctx, d, nil))(AskPassword)
		b.at(b.Password(ctx, d, "matti", ownPassword))(AskCode)
		m.change = c.change
		if f, err := b.Code(ctx, d, b.code(id, 0)); err != nil || f.Step != c.want {
			t.Errorf("%s: at %s, %v", name, f.Step, err)
		}
	}
}

// Another browser's transaction does not exist: no fixation, no injection.
func TestAnotherBrowserSeesNothing(t *testing.T) {
	b := newBench(t, storetest.Open(t, store.SQLite), ephemeral.NewMemory(time.Now))
	ctx, d := t.Context(), demand("tx")
	id := b.settled("Matti", identity.MethodApp)
	b.withApp(id)
	b.at(b.Start(ctx, d, nil))(AskPassword)
	b.at(b.Password(ctx, d, "matti", ownPassword))(AskCode)
	for _, browser := range []string{"browser-2", ""} {
		other := d
		other.Browser = browser
		for name, call := range map[string]func() error{
			"password": func() error { _, err := b.Password(ctx, other, "matti", ownPassword); return err },
			"code":     func() error { _, err := b.Code(ctx, other, b.code(id, 0)); return err },
			"change":   func() error { _, err := b.ChangePassword(ctx, other, "x", "x"); return err },
			"over":     func() error { _, err := b.StartOver(ctx, other); return err },
			"card":     func() error { _, err := b.BeginCard(ctx, other, card.Strict); return err },
			"result":   func() error { _, _, err := b.Card(ctx, other, "x"); return err },
			"finish":   func() error { _, err := b.Finish(ctx, other, nil); return err },
		} {
			if err := call(); fault.Code(err) != "signin_expired" {
				t.Errorf("%s from browser %q: %v", name, browser, err)
			}
		}
	}
	b.at(b.Code(ctx, d, b.code(id, 0)))(Done)
}

// The fifth wrong code ends the transaction: the password is asked again.
func TestFiveWrongCodesAskForThePasswordAgain(t *testing.T) {
	b := newBench(t, storetest.Open(t, store.SQLite), ephemeral.NewMemory(time.Now))
	ctx, d := t.Context(), demand("tx")
	id := b.settled("Matti", identity.MethodApp)
	b.withApp(id)
	b.at(b.Start(ctx, d, nil))(AskPassword)
	b.at(b.Password(ctx, d, "matti", ownPassword))(AskCode)
	wrong := b.code(id, -100)
	for range 4 {
		if f, err := b.Code(ctx, d, wrong); f.Step != AskCode || fault.Code(err) != "otp_wrong" {
			t.Fatalf("%s, %v", f.Step, err)
		}
	}
	if f, err := b.Code(ctx, d, wrong); f.Step != AskPassword || f.Problem != "too_many_codes" || f.User != "" {
		t.Fatalf("%+v, %v", f, err)
	}
	b.at(b.Password(ctx, d, "matti", ownPassword))(AskCode)
	if _, err := b.Code(ctx, d, b.code(id, 0)); !fault.Is(err, fault.Throttled) {
		t.Errorf("no pause after five wrong codes: %v", err)
	}
	b.add(31 * time.Second)
	b.at(b.Code(ctx, d, b.code(id, 0)))(Done)
}

// An Order, a closed account or a tightened policy between two steps ends the flow.
func TestChangesBetweenSteps(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		for name, c := range map[string]struct {
			change func(b *bench, id identity.UserID) error
			want   Step
		}{
			"order": {func(b *bench, id identity.UserID) error {
				_, err := b.Directory.Order(t.Context(), operator, id, identity.Why{Reason: "test"})
				return err
			}, AskPassword},
			"disable": {func(b *bench, id identity.UserID) error {
				return b.Directory.DisableUser(t.Context(), operator, id, identity.Why{Reason: "test"})
			}, AskPassword},
			"remove": {func(b *bench, id identity.UserID) error {
				return b.Directory.RemoveAuthenticator(t.Context(), operator, id, identity.Why{Reason: "test"})
			}, AskPassword},
			"close": {func(b *bench, id identity.UserID) error {
				return b.Directory.SetOrganisationDisabled(t.Context(), operator, identity.OrganisationID("org-"+name(id, b)), true, identity.Why{Reason: "merged"})
			}, AskPassword},
		} {
			b := newBench(t, s, ephemeral.NewMemory(time.Now))
			id := b.settled(name, identity.MethodApp)
			b.withApp(id)
			ctx, d := t.Context(), demand("tx")
			b.at(b.Start(ctx, d, nil))(AskPassword)
			b.at(b.Password(ctx, d, name, ownPassword))(AskCode)
			code := b.code(id, 0)
			if err := c.change(b, id); err != nil {
				t.Fatal(err)
			}
			if f, err := b.Code(ctx, d, code); err != nil || f.Step != c.want || f.Problem != "session_expired" {
				t.Errorf("%s: at %s (%q), %v", name, f.Step, f.Problem, err)
			}
		}
	})
}

func name(id identity.UserID, b *bench) string {
	p, err := b.Directory.Store.Person(context.Background(), id)
	if err != nil {
		b.t.Fatal(err)
	}
	return p.User.Username
}

// S57: a code before the change, where an authenticator is linked.
func TestOrderedPasswordAsksTheCodeFirst(t *testing.T) {
	b := newBench(t, storetest.Open(t, store.SQLite), ephemeral.NewMemory(time.Now))
	ctx, d := t.Context(), demand("tx")
	id := b.settled("Matti", identity.MethodApp)
	b.withApp(id)
	temporary := must[string](t)(b.Directory.Order(ctx, operator, id, identity.Why{Reason: "forgotten"}))
	b.at(b.Start(ctx, d, nil))(AskPassword)
	b.at(b.Password(ctx, d, "matti", temporary))(AskCodeFirst)
	b.at(b.ChangePassword(ctx, d, ownPassword+" 2", ownPassword+" 2"))(AskCodeFirst)
	if _, err := b.Finish(ctx, d, nil); fault.Code(err) != "signin_moved_on" {
		t.Fatal(err)
	}
	b.at(b.Code(ctx, d, b.code(id, 0)))(ChangeProved)
	if _, err := b.Finish(ctx, d, nil); fault.Code(err) != "signin_moved_on" {
		t.Fatal(err)
	}
	b.at(b.ChangePassword(ctx, d, ownPassword+" 2", ownPassword+" 2"))(Done)
	if end := must[Ending](t)(b.Finish(ctx, d, nil)); end.Session.Level != session.Full {
		t.Errorf("session %+v", end.Session)
	}
}

// S2, S14, S33, standards.md 2.5: whose card, in which browser, in which attempt.
func TestCard(t *testing.T) {
	each(t, func(b *bench) {
		ctx, d := t.Context(), demand("tx")
		id := b.settled("Matti", identity.MethodCard)
		mine := b.withCard(id, "mine")
		b.at(b.Start(ctx, d, nil))(AskPassword)

		stolen := must[string](t)(b.BeginCard(ctx, d, card.Strict))
		code := b.present(stolen, mine)
		ticket, name := ticketOf(t, stolen)
		if _, err := (Attempts{b.Service}).Open(ctx, ticket, name); fault.Code(err) != "card_ticket_spent" {
			t.Errorf("ticket presented twice: %v", err)
		}
		other := demand("tx-attacker")
		other.Browser = "browser-attacker"
		b.at(b.Start(ctx, other, nil))(AskPassword)
		if f, _, err := b.Card(ctx, other, code); err == nil || f.Step != AskPassword {
			t.Errorf("a victim's card result opened the attacker's transaction: %s", f.Step)
		}
		if _, _, err := b.Card(ctx, d, code); fault.Code(err) != "card_ticket_spent" {
			t.Errorf("a result that was shown elsewhere still works: %v", err)
		}

		// A newer attempt voids the older one.
		first := b.present(must[string](t)(b.BeginCard(ctx, d, card.Strict)), mine)
		second := b.present(must[string](t)(b.BeginCard(ctx, d, card.Strict)), mine)
		if _, _, err := b.Card(ctx, d, first); fault.Code(err) != "card_ticket_spent" {
			t.Errorf("older attempt: %v", err)
		}
		f, _, err := b.Card(ctx, d, second)
		b.at(f, err)(Done)
		end := must[Ending](t)(b.Finish(ctx, d, nil))
		if end.Session.Method != session.Card || end.Session.Level != session.Full || !end.Session.AuthTime.Equal(mine.At) {
			t.Errorf("session %+v, handshake at %v", end.Session, mine.At)
		}

		for want, r := range map[string]card.Result{
			"card_not_linked":                   b.good("stranger"),
			"card_expired":                      {Verdict: card.Expired, At: b.now()},
			"card_signature_certificate_chosen": {Verdict: card.SignatureCertificate, At: b.now()},
			"card_no_certificate":               {Verdict: card.NoCertificate, At: b.now()},
			"card_revocation_unavailable":       {Verdict: card.RevocationUnavailable, At: b.now()},
		} {
			d := demand("tx-" + want)
			b.at(b.Start(ctx, d, nil))(AskPassword)
			f, _, err := b.Card(ctx, d, b.present(must[string](t)(b.BeginCard(ctx, d, card.Strict)), r))
			if fault.Code(err) != want || f.Step != AskPassword {
				t.Errorf("got %v at %s, want %s", err, f.Step, want)
			}
		}

		// S33: the right password, then another card.
		d = demand("tx-other")
		b.at(b.Start(ctx, d, nil))(AskPassword)
		b.at(b.Password(ctx, d, "matti", ownPassword))(UseCard)
		f, h, err := b.Card(ctx, d, b.present(must[string](t)(b.BeginCard(ctx, d, card.Strict)), b.good("new")))
		if fault.Code(err) != "other_card_linked" || f.Step != UseCard || h.Tail() == "" {
			t.Errorf("other card: %v at %s", err, f.Step)
		}

		must[string](t)(b.Directory.Order(ctx, operator, id, identity.Why{Reason: "lost"}))
		d = demand("tx-order")
		b.at(b.Start(ctx, d, nil))(AskPassword)
		if _, _, err := b.Card(ctx, d, b.present(must[string](t)(b.BeginCard(ctx, d, card.Strict)), mine)); fault.Code(err) != "card_link_removed_by_order" {
			t.Errorf("after an order: %v", err) // S54
		}
	})
}

// S26, S27: a card is linked by the person and session that read it.
func TestLinkingIsBoundToPersonAndSession(t *testing.T) {
	each(t, func(b *bench) {
		ctx := t.Context()
		victim, attacker := b.settled("victim", identity.MethodCard), b.settled("attacker", identity.MethodCard)
		v := identity.Self{User: victim, Session: "session-v", AuthTime: b.now()}
		a := identity.Self{User: attacker, Session: "session-a", AuthTime: b.now()}
		victims := b.good("victims-card")

		// The attacker sends the address of his own attempt to the victim.
		lured := b.present(must[string](t)(b.BeginLink(ctx, a, card.Strict, "https://us.example/card/return")), victims)
		if _, err := b.SeenCard(ctx, v, lured); fault.Code(err) != "card_ticket_spent" {
			t.Errorf("the victim's session took the attacker's attempt: %v", err)
		}
		if _, err := b.SeenCard(ctx, a, lured); fault.Code(err) != "card_ticket_spent" {
			t.Errorf("a result that was shown elsewhere still works: %v", err)
		}

		seen := must[card.Result](t)(b.SeenCard(ctx, v, b.present(must[string](t)(b.BeginLink(ctx, v, card.Strict, "https://us.example/card/return")), victims)))
		if err := b.ConfirmLink(ctx, v, "another"); fault.Code(err) != "card_ticket_spent" {
			t.Errorf("confirmed a card that was not shown: %v", err)
		}
		if err := b.ConfirmLink(ctx, v, seen.Holder.Fingerprint); fault.Code(err) != "card_ticket_spent" {
			t.Errorf("a confirmation that failed can be repeated: %v", err)
		}
		must[card.Result](t)(b.SeenCard(ctx, v, b.present(must[string](t)(b.BeginLink(ctx, v, card.Strict, "https://us.example/card/return")), victims)))
		if err := b.ConfirmLink(ctx, v, "victims-card"); err != nil {
			t.Fatal(err)
		}
		must[card.Result](t)(b.SeenCard(ctx, a, b.present(must[string](t)(b.BeginLink(ctx, a, card.Strict, "https://us.example/card/return")), victims)))
		if err := b.ConfirmLink(ctx, a, "victims-card"); fault.Code(err) != "card_linked_elsewhere" || strings.Contains(err.Error(), "victim") {
			t.Errorf("one card, two people: %v", err)
		}
		stale := b.present(must[string](t)(b.BeginLink(ctx, a, card.Strict, "https://us.example/card/return")), b.good("fresh"))
		must[card.Result](t)(b.SeenCard(ctx, a, stale))
		b.add(6 * time.Minute)
		if err := b.ConfirmLink(ctx, a, "fresh"); fault.Code(err) != "card_ticket_spent" {
			t.Errorf("an old handshake was linked: %v", err)
		}
	})
}

// S26: a card that was read once is linked once, however often the button is pressed.
func TestOneSeenCardIsConfirmedOnce(t *testing.T) {
	each(t, func(b *bench) {
		ctx := t.Context()
		self := identity.Self{User: b.settled("Matti", identity.MethodCard), Session: "s1", AuthTime: b.now()}
		seen := must[card.Result](t)(b.SeenCard(ctx, self, b.present(must[string](t)(b.BeginLink(ctx, self, card.Strict, "https://us.example/")), b.good("fp"))))
		var all sync.WaitGroup
		var linked atomic.Int64
		for range 50 {
			all.Go(func() {
				switch err := b.ConfirmLink(ctx, self, seen.Holder.Fingerprint); {
				case err == nil:
					linked.Add(1)
				case fault.Code(err) != "card_ticket_spent":
					t.Error(err)
				}
			})
		}
		all.Wait()
		p := must[identity.Person](t)(b.Directory.Store.Person(ctx, self.User))
		if linked.Load() != 1 || p.Card == nil || p.Card.Fingerprint != "fp" {
			t.Errorf("linked %d times: %+v", linked.Load(), p.Card)
		}
	})
}

// keyOf reads a key as a person types it into a device.
func keyOf(t testing.TB, groups string) []byte {
	t.Helper()
	return must[[]byte](t)(base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ReplaceAll(groups, " ", "")))
}

// S24, S30: what the card's door finds out about a linked card is kept. Its holder's
// sessions end, and the password leads to User Services, not back to the card.
func TestLinkedCardIsReadAsRevoked(t *testing.T) {
	for verdict, want := range map[card.Verdict]string{card.Revoked: "revoked", card.Suspended: "suspended", card.UntrustedIssuer: "untrusted"} {
		t.Run(want, func(t *testing.T) {
			each(t, func(b *bench) {
				ctx := t.Context()
				id := b.settled("Matti", identity.MethodCard)
				good := b.withCard(id, "mine")
				good.Vouched = true
				before := must[identity.Person](t)(b.Directory.Store.Person(ctx, id)).User.Epoch
				bad := good
				bad.Verdict, bad.Vouched = verdict, false

				d := demand("tx-test")
				address := must[string](t)(b.BeginTest(ctx, Test{Browser: d.Browser, From: from, Back: "https://login.example/card-test/result"}))
				b.present(address, bad)
				if p := must[identity.Person](t)(b.Directory.Store.Person(ctx, id)); p.Card.Status != "" || p.User.Epoch != before {
					t.Errorf("a card test has changed the link: %q", p.Card.Status)
				}

				signIn := func(tx string, r card.Result) (Flow, error) {
					d := demand(tx)
					b.at(b.Start(ctx, d, nil))(AskPassword)
					f, _, err := b.Card(ctx, d, b.present(must[string](t)(b.BeginCard(ctx, d, card.Strict)), r))
					return f, err
				}
				if _, err := signIn("tx1", bad); fault.Code(err) != "card_"+string(verdict) {
					t.Fatalf("refused with %v", err)
				}
				p := must[identity.Person](t)(b.Directory.Store.Person(ctx, id))
				if p.Card == nil || p.Card.State(b.now()) != want || p.User.Epoch == before {
					t.Errorf("the link is %q, epoch %d → %d", p.Card.State(b.now()), before, p.User.Epoch)
				}
				b.at(b.Start(ctx, demand("tx2"), nil))(AskPassword)
				b.at(b.Password(ctx, demand("tx2"), "matti", ownPassword))(Enrol)

				// Nobody was asked at this handshake: what was heard before stands. That the
				// CA is trusted again, the handshake has shown.
				good.Vouched = false
				f, err := signIn("tx3", good)
				if verdict == card.UntrustedIssuer {
					b.at(f, err)(Done)
				} else if fault.Code(err) != "card_"+string(verdict) || f.Step != AskPassword {
					t.Errorf("let in unasked: %v at %s", err, f.Step)
				}
				// And a revocation is for good.
				good.Vouched = true
				f, err = signIn("tx4", good)
				if verdict != card.Revoked {
					b.at(f, err)(Done)
				} else if fault.Code(err) != "card_revoked" || f.Step != AskPassword {
					t.Errorf("a revoked card signs in: %v at %s", err, f.Step)
				}
			})
		})
	}
}

// S72: on a shared workstation an enrol session ends unused as any other does, or
// the next person could link a phone of his own in it.
func TestSharedWorkstationsEndEnrolSessionsToo(t *testing.T) {
	each(t, func(b *bench) {
		ctx, d := t.Context(), demand("tx")
		d.EnrolOK = true
		b.settled("Matti", identity.MethodApp)
		must[identity.Organisation](t)(b.Directory.ChangeOrganisation(ctx, operator, "org-matti", func(o *identity.Organisation) { o.SharedWorkstations = true }))
		b.at(b.Start(ctx, d, nil))(AskPassword)
		b.at(b.Password(ctx, d, "matti", ownPassword))(Enrol)
		end := must[Ending](t)(b.Finish(ctx, d, nil))
		b.add(session.SharedIdle - time.Second)
		must[identity.Person](t)(b.Here(ctx, &end.Session))
		b.add(session.SharedIdle)
		if _, err := b.Sessions.Find(ctx, end.Secret); fault.Code(err) != "session_expired" {
			t.Errorf("a quarter of an hour later: %v", err)
		}
	})
}
