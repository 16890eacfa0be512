package identity_test

import (
	"encoding/base32"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/ephemeral"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/keys"
	"github.com/portti-id/portti/internal/mail"
	"github.com/portti-id/portti/internal/password"
	"github.com/portti-id/portti/internal/store"
	"github.com/portti-id/portti/internal/storetest"
	"github.com/portti-id/portti/internal/throttle"
	"github.com/portti-id/portti/internal/totp"
)

// house is a Directory over a real database, with a clock that the test moves.
type house struct {
	*identity.Directory
	t   *testing.T
	db  *store.Store
	mu  sync.Mutex
	at  time.Time
	key map[identity.UserID][]byte
}

var (
	operator = identity.Actor{Name: "operator:test", Operator: true}
	here     = netip.MustParseAddr("192.0.2.1")
)

const own = "correct horse battery staple"

func (h *house) now() time.Time      { h.mu.Lock(); defer h.mu.Unlock(); return h.at }
func (h *house) add(d time.Duration) { h.mu.Lock(); defer h.mu.Unlock(); h.at = h.at.Add(d) }

func each(t *testing.T, f func(h *house)) {
	storetest.Each(t, func(t *testing.T, s *store.Store) { f(newHouse(t, s)) })
}

func newHouse(t *testing.T, s *store.Store) *house {
	t.Helper()
	h := &house{t: t, db: s, at: time.Now().Truncate(time.Second), key: map[identity.UserID][]byte{}}
	hasher, err := password.NewHasher(password.Params{MemoryKiB: 64, Time: 1, Threads: 1, Parallel: 2, Wait: 20 * time.Second})
	h.must(err)
	rules, err := password.NewRules(0)
	h.must(err)
	names, err := totp.NewNames("PORTTI", "", false)
	h.must(err)
	master, err := keys.ReadMaster(strings.NewReader(keys.GenerateMaster() + "\n"))
	h.must(err)
	memory := ephemeral.NewMemory(h.now)
	t.Cleanup(func() { _ = memory.Close() })
	h.Directory = &identity.Directory{Store: s, Hasher: hasher, Rules: rules, Sealer: master, Ephemeral: memory,
		Throttle: &throttle.Throttle{Store: memory}, Audit: s, Now: h.now, Names: names, Support: "020 000 000", Services: []string{"Portti"}}
	return h
}

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) organisation(id string, methods ...identity.Method) identity.OrganisationID {
	h.t.Helper()
	_, err := h.CreateOrganisation(h.t.Context(), operator, identity.Organisation{ID: identity.OrganisationID(id), Name: "Org " + id,
		Methods: identity.MethodsOf(methods...), PersonalPhones: true, Delivery: identity.ByLetter})
	h.must(err)
	return identity.OrganisationID(id)
}

func (h *house) user(org identity.OrganisationID, name string) (identity.UserID, string) {
	h.t.Helper()
	u, temporary, err := h.CreateUser(h.t.Context(), operator, identity.User{Username: name, Organisation: org, GivenName: "Liisa", FamilyName: "Meikäläinen",
		Email: name + "@example.test", Language: "fi"})
	h.must(err)
	return u.ID, temporary
}

// settled has a password of her own.
func (h *house) settled(org identity.OrganisationID, name string) identity.UserID {
	h.t.Helper()
	id, _ := h.user(org, name)
	_, err := h.ReplaceTemporary(h.t.Context(), h.person(id), own, "")
	h.must(err)
	return id
}

func (h *house) person(id identity.UserID) identity.Person {
	h.t.Helper()
	p, err := h.Store.Person(h.t.Context(), id)
	h.must(err)
	return p
}

func (h *house) enrol(id identity.UserID) identity.Self {
	return identity.Self{User: id, Session: "sid-" + string(id), AuthTime: h.now()}
}

func (h *house) begin(id identity.UserID) []byte {
	h.t.Helper()
	e, err := h.BeginAuthenticator(h.t.Context(), h.enrol(id))
	h.must(err)
	return unspelled(h.t, e.Base32)
}

// unspelled reads a key as it is shown.
func unspelled(t *testing.T, shown string) []byte {
	t.Helper()
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ReplaceAll(shown, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (h *house) code(key []byte, steps int64) string {
	h.t.Helper()
	c, err := totp.Code(key, totp.Step(h.now())+steps)
	h.must(err)
	return c
}

// withApp links an authenticator; its first code is spent and gone by.
func (h *house) withApp(id identity.UserID) []byte {
	h.t.Helper()
	key := h.begin(id)
	h.must(h.ConfirmAuthenticator(h.t.Context(), h.enrol(id), h.code(key, 0), app))
	h.add(5 * 30 * time.Second)
	return key
}

var app = identity.Statement{Kind: identity.MethodApp, OwnDevice: true}

func (h *house) seen(fingerprint string) card.Result {
	return card.Result{Verdict: card.Good, At: h.now(), Holder: card.Holder{Fingerprint: fingerprint, SPKI: "s", Issuer: "CA", IssuerDN: "CN=CA", Serial: "0123456789",
		SubjectSerial: "1", Name: "Liisa Meikäläinen", Organisation: "Org", NotAfter: h.now().Add(1000 * time.Hour)}}
}

func (h *house) events(t audit.Type) []audit.Event {
	h.t.Helper()
	all, err := h.db.AuditEvents(h.t.Context(), store.Trail{Types: []audit.Type{t}, Limit: 100})
	h.must(err)
	return all
}

// letters opens the outbox.
func (h *house) letters() map[mail.Template]int {
	h.t.Helper()
	queued, err := h.db.LeaseLetters(h.t.Context(), 100, time.Now().Add(time.Hour), time.Nanosecond)
	h.must(err)
	n := map[mail.Template]int{}
	for _, q := range queued {
		raw, err := storetest.Unseal(q.Sealed, q.ID)
		h.must(err)
		for _, t := range mail.Templates {
			if strings.Contains(string(raw), fmt.Sprintf("%q", t)) {
				n[t]++
			}
		}
	}
	return n
}

// clearLetters sends what waits.
func (h *house) clearLetters() {
	h.t.Helper()
	queued, err := h.db.LeaseLetters(h.t.Context(), 1000, time.Now().Add(time.Hour), time.Nanosecond)
	h.must(err)
	for _, q := range queued {
		h.must(h.db.LetterSent(h.t.Context(), q.ID))
	}
}

// S13, S16: the temporary password is shown once, stored as a hash, and dies by time.
func TestTemporaryPassword(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		org := h.organisation("org", identity.MethodApp)
		id, temporary := h.user(org, "Liisa.M")
		stored := h.person(id).Password
		if !strings.HasPrefix(stored.Hash, "$argon2id$") || strings.Contains(stored.Hash, temporary) || !stored.Temporary {
			t.Errorf("stored %+v", stored)
		}
		for _, name := range []string{"liisa.m", "LIISA.M", " Liisa.M "} {
			if _, err := h.VerifyPassword(ctx, name, temporary, here); err != nil {
				t.Errorf("%q: %v", name, err)
			}
		}
		if _, err := h.VerifyPassword(ctx, "liisa.m", strings.ToUpper(strings.ReplaceAll(temporary, "-", " ")), here); err != nil {
			t.Errorf("as it is read out: %v", err)
		}
		h.add(identity.FirstPasswordLasts)
		if _, err := h.VerifyPassword(ctx, "liisa.m", temporary, here); fault.Code(err) != "wrong_credentials" {
			t.Errorf("expired: %v", err)
		}
		if e := h.events(audit.SignInRefused); len(e) != 1 || e[0].Reason != "temp_expired" {
			t.Errorf("trail %+v", e)
		}
		if n := h.letters(); n[mail.Welcome] != 1 {
			t.Errorf("letters %v", n)
		}
	})
}

// S43, S7: unknown, wrong, closed and expired cannot be told apart by what is answered.
func TestRefusalsAreOne(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		org := h.organisation("org", identity.MethodApp)
		h.settled(org, "known")
		closed := h.settled(org, "closed")
		h.must(h.DisableUser(ctx, operator, closed, identity.Why{Reason: "left"}))
		const slip = "my password in the wrong field 42" // which nothing keeps
		var answers []string
		for name, pw := range map[string]string{"known": "wrong", "unknown": own, "closed": own, "": "", "known\x00": own, slip: "wrong"} {
			_, err := h.VerifyPassword(ctx, name, pw, here)
			if err == nil {
				t.Fatalf("%q got in", name)
			}
			answers = append(answers, err.Error()+fault.Code(err))
		}
		if slices.Sort(answers); len(slices.Compact(answers)) != 1 {
			t.Errorf("answers %q", answers)
		}
		reasons := map[string]bool{}
		for _, e := range h.events(audit.SignInRefused) {
			reasons[e.Reason] = true
			if nobody := e.Reason == "unknown_username"; nobody != (e.Actor == "anybody") || nobody != (e.User == "") || len(e.Details) > 0 || strings.Contains(fmt.Sprintf("%+v", e), "wrong field") {
				t.Errorf("%+v", e)
			}
		}
		if got := slices.Sorted(maps.Keys(reasons)); !slices.Equal(got, []string{"account_disabled", "unknown_username", "wrong_password"}) {
			t.Errorf("the trail does not tell them apart: %v", got)
		}
	})
}

// Wrong passwords are counted before the work, per account and address, and do
// not lock the account elsewhere.
func TestPasswordGuessing(t *testing.T) {
	h := newHouse(t, storetest.Open(t, store.SQLite))
	ctx := t.Context()
	h.settled(h.organisation("org", identity.MethodApp), "known")
	for _, name := range []string{"known", "unknown"} {
		var all sync.WaitGroup
		var mu sync.Mutex
		counts := map[string]int64{}
		for range 50 {
			all.Go(func() {
				_, err := h.VerifyPassword(ctx, name, "guess", here)
				mu.Lock()
				defer mu.Unlock()
				counts[fault.Code(err)]++
			})
		}
		all.Wait()
		if counts["wrong_credentials"] != throttle.PasswordPerAccountAndAddress.Max || counts["throttled"] != 50-throttle.PasswordPerAccountAndAddress.Max {
			t.Errorf("%s: %v", name, counts)
		}
	}
	if _, err := h.VerifyPassword(ctx, "known", own, here); !fault.Is(err, fault.Throttled) {
		t.Errorf("the right password from the guesser's address: %v", err)
	}
	if _, err := h.VerifyPassword(ctx, "known", own, netip.MustParseAddr("198.51.100.1")); err != nil {
		t.Errorf("the owner is locked out elsewhere: %v", err)
	}
}

// S45: offsets −2…+2 steps are refuse, ok, ok, ok, refuse.
func TestCodeWindow(t *testing.T) {
	each(t, func(h *house) {
		org := h.organisation("org", identity.MethodApp)
		h.at = time.Unix(totp.Step(h.at)*30+15, 0) // mid-step: a link made now has learnt no offset
		for steps, ok := range map[int64]bool{-2: false, -1: true, 0: true, 1: true, 2: false} {
			id := h.settled(org, fmt.Sprintf("liisa%d", steps+2))
			key := h.withApp(id)
			if d := h.person(id).Authenticator.Drift; d != 0 {
				t.Fatalf("learnt %d seconds", d)
			}
			_, err := h.VerifyCode(t.Context(), h.person(id), identity.Proof{Code: h.code(key, steps), Purpose: identity.ForSignIn, From: here})
			if (err == nil) != ok {
				t.Errorf("%+d steps: %v", steps, err)
			}
		}
	})
}

// S44: a code is used once, for whatever it was used; an earlier one is spent with it.
func TestCodeIsUsedOnce(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		id := h.settled(h.organisation("org", identity.MethodApp), "liisa")
		key := h.begin(id)
		linking := h.code(key, 0)
		h.must(h.ConfirmAuthenticator(ctx, h.enrol(id), linking, app))
		for _, purpose := range []identity.Purpose{identity.ForSignIn, identity.ForTemporary, identity.ForTrial} {
			if _, err := h.VerifyCode(ctx, h.person(id), identity.Proof{Code: linking, Purpose: purpose, From: here}); fault.Code(err) != "otp_used" {
				t.Errorf("the code that linked, for %s: %v", purpose, err)
			}
		}
		h.add(time.Minute)
		early, late := h.code(key, -1), h.code(key, 0)
		p := h.person(id)
		var all sync.WaitGroup
		var mu sync.Mutex
		wins := 0
		for i := range 20 {
			all.Go(func() {
				_, err := h.VerifyCode(ctx, p, identity.Proof{Code: late, Purpose: []identity.Purpose{identity.ForSignIn, identity.ForTrial}[i%2], From: here})
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					wins++
				} else if c := fault.Code(err); c != "otp_used" && c != "throttled" {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if wins != 1 {
			t.Errorf("%d wins", wins)
		}
		if _, err := h.VerifyCode(ctx, p, identity.Proof{Code: early, Purpose: identity.ForSignIn, From: here}); err == nil {
			t.Error("an earlier code works after a later one")
		}
	})
}

// Back-off after every fifth wrong code, and after fifty nothing but user support.
func TestWrongCodesBlock(t *testing.T) {
	h := newHouse(t, storetest.Open(t, store.SQLite))
	ctx := t.Context()
	id := h.settled(h.organisation("org", identity.MethodApp), "liisa")
	key := h.withApp(id)
	proof := func(code string) error {
		_, err := h.VerifyCode(ctx, h.person(id), identity.Proof{Code: code, Purpose: identity.ForSignIn, From: here})
		return err
	}
	for i := range 50 {
		if err := proof(h.code(key, -100)); fault.Code(err) != "otp_wrong" {
			t.Fatalf("wrong code %d: %v", i+1, err)
		}
		if (i+1)%5 == 0 {
			if i < 49 {
				if err := proof(h.code(key, 0)); fault.Code(err) != "throttled" {
					t.Fatalf("no pause after %d: %v", i+1, err)
				}
			}
			h.add(2 * time.Hour)
		}
	}
	if err := proof(h.code(key, 0)); fault.Code(err) != "otp_blocked" {
		t.Errorf("after fifty: %v", err)
	}
	if n := len(h.events(audit.AuthenticatorBlocked)); n != 1 {
		t.Errorf("%d events", n)
	}
	h.must(h.RemoveAuthenticator(ctx, operator, id, identity.Why{Reason: "blocked"}))
	if h.person(id).Authenticator != nil {
		t.Error("still linked")
	}
}

// S46: the hint needs a code of the right key, counts as a failure, and is given twice.
func TestClockHint(t *testing.T) {
	h := newHouse(t, storetest.Open(t, store.SQLite))
	id := h.settled(h.organisation("org", identity.MethodApp), "liisa")
	key := h.withApp(id)
	h.add(20 * time.Minute)
	for i, c := range []struct {
		steps   int64
		code, n string
	}{{10, "otp_clock_fast", "5"}, {-8, "otp_clock_slow", "4"}, {10, "otp_wrong", ""}} {
		_, err := h.VerifyCode(t.Context(), h.person(id), identity.Proof{Code: h.code(key, c.steps), Purpose: identity.ForSignIn, From: here})
		f, _ := fault.Of(err)
		if f == nil || f.Code != c.code || f.Args["n"] != c.n {
			t.Errorf("%d: %+v, want %+v", i, f, c)
		}
		if got := h.person(id).Authenticator.Failures; got != i+1 {
			t.Errorf("%d failures after %d", got, i+1)
		}
	}
}

// S37, S40, S4, S10, S42: nothing is linked without a right code of the newest key and the ticks.
func TestLinkingAnAuthenticator(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		org := h.organisation("org", identity.MethodApp)
		id := h.settled(org, "liisa")
		old := h.begin(id)
		key := h.begin(id)
		phone := app
		phone.PersonalPhone = true
		for name, c := range map[string]struct {
			code string
			s    identity.Statement
			self identity.Self
			want string
		}{
			"a wrong code":          {h.code(key, 50), app, h.enrol(id), "otp_wrong"},
			"no code":               {"", app, h.enrol(id), "otp_wrong"},
			"the former key":        {h.code(old, 0), app, h.enrol(id), "otp_wrong"},
			"no tick":               {h.code(key, 0), identity.Statement{Kind: identity.MethodApp}, h.enrol(id), "own_device_required"},
			"a forbidden kind":      {h.code(key, 0), identity.Statement{Kind: identity.MethodToken, OwnDevice: true}, h.enrol(id), "policy_denied"},
			"no kind":               {h.code(key, 0), identity.Statement{OwnDevice: true}, h.enrol(id), "kind_required"},
			"a card is no such":     {h.code(key, 0), identity.Statement{Kind: identity.MethodCard, OwnDevice: true}, h.enrol(id), "kind_required"},
			"another session's key": {h.code(key, 0), app, identity.Self{User: id, Session: "other", AuthTime: h.now()}, "enrolment_expired"},
		} {
			if err := h.ConfirmAuthenticator(ctx, c.self, c.code, c.s); fault.Code(err) != c.want {
				t.Errorf("%s: %v, want %s", name, err, c.want)
			}
		}
		if h.person(id).Authenticator != nil {
			t.Fatal("something was linked")
		}
		_, err := h.ChangeOrganisation(ctx, operator, org, func(o *identity.Organisation) { o.PersonalPhones = false })
		h.must(err)
		if err := h.ConfirmAuthenticator(ctx, h.enrol(id), h.code(key, 0), app); fault.Code(err) != "work_phone_required" {
			t.Errorf("S10 without the tick: %v", err)
		}
		if err := h.ConfirmAuthenticator(ctx, h.enrol(id), h.code(key, 0), phone); err == nil {
			t.Error("S10: a personal phone where none is allowed")
		}
		work := app
		work.WorkPhone = true
		h.must(h.ConfirmAuthenticator(ctx, h.enrol(id), h.code(key, 0), work))
		if a := h.person(id).Authenticator; a == nil || strings.Contains(a.SealedKey, base32.StdEncoding.EncodeToString(key)) {
			t.Errorf("stored %+v", a)
		}
		if e := h.events(audit.AuthenticatorLinked); len(e) != 1 || e[0].Details["own_device"] != "yes" {
			t.Errorf("trail %+v", e)
		}
		if _, err := h.BeginAuthenticator(ctx, h.enrol(id)); fault.Code(err) != "totp_already_linked" {
			t.Errorf("S41: %v", err)
		}
	})
}

// S54: everything or nothing. A failure at any point of the transaction leaves
// the person as she was.
func TestOrder(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		id := h.settled(h.organisation("org", identity.MethodApp, identity.MethodCard), "liisa")
		h.withApp(id)
		self := h.enrol(id)
		self.Full, self.Proved, self.AuthTime = true, identity.MethodApp, h.now()
		h.must(h.LinkCard(ctx, self, h.seen("fp")))
		before := h.person(id)

		_, err := h.Order(ctx, operator, id, identity.Why{Reason: "lost card"})
		h.must(err)
		after := h.person(id)
		if after.Password.Hash == before.Password.Hash || !after.Password.Temporary || after.Card != nil || after.User.Epoch <= before.User.Epoch {
			t.Errorf("after the order: %+v", after)
		}
		if after.Authenticator == nil || *after.Authenticator != *before.Authenticator {
			t.Errorf("the authenticator changed: %+v", after.Authenticator)
		}
		if _, err := h.VerifyPassword(ctx, "liisa", own, here); fault.Code(err) != "wrong_credentials" {
			t.Errorf("the old password: %v", err)
		}
		if _, err := h.CardHolder(ctx, card.Holder{Fingerprint: "fp"}); fault.Code(err) != "card_link_removed_by_order" {
			t.Errorf("the old card: %v", err)
		}
		if _, err := h.Standing(ctx, id, before.User.Epoch, ""); fault.Code(err) != "session_expired" {
			t.Errorf("an old session: %v", err)
		}
		if n := h.letters(); n[mail.PasswordOrdered] != 1 {
			t.Errorf("letters %v", n)
		}
		if len(h.events(audit.PasswordOrdered)) != 1 || len(h.events(audit.CardLinkRemoved)) != 1 {
			t.Error("the trail is not one order")
		}
	})
}

// S58: an ordinary change keeps the card and the session that asks, and ends the others.
func TestOrdinaryChange(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		id := h.settled(h.organisation("org", identity.MethodCard), "liisa")
		h.must(h.LinkCard(ctx, h.enrol(id), h.seen("fp")))
		epoch := h.person(id).User.Epoch
		self := identity.Self{User: id, Session: "mine", Full: true, Proved: identity.MethodCard, AuthTime: h.now()}
		enrol := self
		enrol.Full = false
		if err := h.ChangePassword(ctx, enrol, own, "another fine long password"); fault.Code(err) != "full_signin_required" {
			t.Errorf("by a password alone: %v", err)
		}
		if err := h.ChangePassword(ctx, self, "wrong", "another fine long password"); fault.Code(err) != "current_password_wrong" {
			t.Errorf("without the current one: %v", err)
		}
		if err := h.ChangePassword(ctx, self, own, own); fault.Code(err) != "password_same" {
			t.Errorf("the same: %v", err)
		}
		if err := h.ChangePassword(ctx, self, own, "meikäläinen liisa liisa"); fault.Code(err) != "password_context" {
			t.Errorf("her own name: %v", err)
		}
		h.must(h.ChangePassword(ctx, self, own, "another fine long password"))
		if h.person(id).Card == nil {
			t.Error("the card link is gone")
		}
		if _, err := h.Standing(ctx, id, epoch, "mine"); err != nil {
			t.Errorf("the session that asked: %v", err)
		}
		if _, err := h.Standing(ctx, id, epoch, "other"); fault.Code(err) != "session_expired" {
			t.Errorf("another session: %v", err)
		}
	})
}

// S36: disabling ends sessions and links; a later enabling does not open a
// password-only way in.
func TestDisableAndEnable(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		id := h.settled(h.organisation("org", identity.MethodCard, identity.MethodApp), "liisa")
		h.must(h.LinkCard(ctx, h.enrol(id), h.seen("fp")))
		epoch := h.person(id).User.Epoch
		if err := h.DisableUser(ctx, operator, id, identity.Why{Reason: " "}); fault.Code(err) != "required" {
			t.Errorf("without a reason: %v", err)
		}
		h.must(h.DisableUser(ctx, operator, id, identity.Why{Reason: "left"}))
		if _, err := h.Standing(ctx, id, epoch, ""); fault.Code(err) != "session_expired" {
			t.Errorf("session: %v", err)
		}
		if _, err := h.CardHolder(ctx, card.Holder{Fingerprint: "fp"}); fault.Code(err) != "account_disabled" {
			t.Errorf("card: %v", err)
		}
		if _, err := h.CardHolder(ctx, card.Holder{Fingerprint: "other"}); fault.Code(err) != "card_not_linked" {
			t.Errorf("another card: %v", err)
		}
		temporary, err := h.EnableUser(ctx, operator, id, identity.Why{Reason: "back"})
		h.must(err)
		if _, err := h.VerifyPassword(ctx, "liisa", own, here); fault.Code(err) != "wrong_credentials" {
			t.Errorf("the password of before: %v", err)
		}
		p, err := h.VerifyPassword(ctx, "liisa", temporary, here)
		h.must(err)
		if p.Card != nil || !p.Password.Temporary {
			t.Errorf("enabled as %+v", p)
		}
	})
}

// Nobody but an operator administers, and what is wrong is named.
func TestWhoMayAndWhatIsWrong(t *testing.T) {
	h := newHouse(t, storetest.Open(t, store.SQLite))
	ctx := t.Context()
	org := h.organisation("org", identity.MethodApp)
	id, _ := h.user(org, "liisa")
	for _, nobody := range []identity.Actor{{}, {Name: "user:1"}, {Operator: true}} {
		for name, call := range map[string]func() error{
			"organisation": func() error { _, err := h.CreateOrganisation(ctx, nobody, identity.Organisation{}); return err },
			"change org": func() error {
				_, err := h.ChangeOrganisation(ctx, nobody, org, func(*identity.Organisation) {})
				return err
			},
			"close org":   func() error { return h.SetOrganisationDisabled(ctx, nobody, org, true, identity.Why{Reason: "merged"}) },
			"user":        func() error { _, _, err := h.CreateUser(ctx, nobody, identity.User{}); return err },
			"change user": func() error { _, err := h.ChangeUser(ctx, nobody, id, func(*identity.User) {}); return err },
			"disable":     func() error { return h.DisableUser(ctx, nobody, id, identity.Why{Reason: "x"}) },
			"enable":      func() error { _, err := h.EnableUser(ctx, nobody, id, identity.Why{Reason: "back"}); return err },
			"order":       func() error { _, err := h.Order(ctx, nobody, id, identity.Why{Reason: "x"}); return err },
			"remove":      func() error { return h.RemoveAuthenticator(ctx, nobody, id, identity.Why{Reason: "x"}) },
		} {
			if err := call(); fault.Code(err) != "not_allowed" {
				t.Errorf("%+v may %s: %v", nobody, name, err)
			}
		}
	}
	good := identity.Organisation{ID: "fine", Name: "Fine", Methods: identity.MethodsOf(identity.MethodCard), Delivery: identity.ByLetter}
	for field, edit := range map[string]func(o *identity.Organisation){
		"id":         func(o *identity.Organisation) { o.ID = "Not Fine" },
		"name":       func(o *identity.Organisation) { o.Name = " " },
		"methods":    func(o *identity.Organisation) { o.Methods = 0 },
		"delivery":   func(o *identity.Organisation) { o.Delivery = "pigeon" },
		"it-contact": func(o *identity.Organisation) { o.ITContact = "a\nb" },
	} {
		o := good
		edit(&o)
		_, err := h.CreateOrganisation(ctx, operator, o)
		if f, _ := fault.Of(err); f == nil || f.Field != field || !strings.HasPrefix(f.Message, field+":") {
			t.Errorf("%s: %v", field, err)
		}
	}
	fine := identity.User{Username: "matti", Organisation: org, GivenName: "Matti", FamilyName: "M", Email: "m@example.test", Language: "sv"}
	for field, edit := range map[string]func(u *identity.User){
		"username":    func(u *identity.User) { u.Username = "no spaces" },
		"given-name":  func(u *identity.User) { u.GivenName = "" },
		"family-name": func(u *identity.User) { u.FamilyName = strings.Repeat("x", 101) },
		"email":       func(u *identity.User) { u.Email = "m@example.test\r\nBcc: x@example.test" },
		"language":    func(u *identity.User) { u.Language = "de" },
	} {
		u := fine
		edit(&u)
		_, _, err := h.CreateUser(ctx, operator, u)
		if f, _ := fault.Of(err); f == nil || f.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	if _, _, err := h.CreateUser(ctx, operator, identity.User{Username: "LIISA", Organisation: org, GivenName: "L", FamilyName: "M", Email: "l@example.test", Language: "fi"}); fault.Code(err) != "username_taken" {
		t.Errorf("S9: %v", err)
	}
	if _, err := h.ChangeUser(ctx, operator, id, func(u *identity.User) { u.Organisation = "fine" }); fault.Code(err) != "account_fixed" {
		t.Errorf("S9: %v", err)
	}
}

// A dry run does all the work and leaves nothing.
func TestDryRun(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		org := h.organisation("org", identity.MethodApp)
		id := h.settled(org, "liisa")
		before, letters := h.person(id), h.letters()
		dry := *h.Directory
		dry.DryRun = true
		_, _, err := dry.CreateUser(ctx, operator, identity.User{Username: "matti", Organisation: org, GivenName: "M", FamilyName: "M", Email: "m@example.test", Language: "fi"})
		h.must(err)
		_, err = dry.Order(ctx, operator, id, identity.Why{Reason: "test"})
		h.must(err)
		h.must(dry.DisableUser(ctx, operator, id, identity.Why{Reason: "test"}))
		if _, _, err := dry.CreateUser(ctx, operator, identity.User{Username: "liisa", Organisation: org, GivenName: "M", FamilyName: "M", Email: "m@example.test", Language: "fi"}); fault.Code(err) != "username_taken" {
			t.Errorf("a dry run misses what would fail: %v", err)
		}
		if _, err := h.Store.PersonByName(ctx, "matti"); !fault.Is(err, fault.NotFound) {
			t.Errorf("matti: %v", err)
		}
		if after := h.person(id); after.Password != before.Password || after.User != before.User {
			t.Errorf("changed: %+v", after)
		}
		if now := h.letters(); !maps.Equal(now, letters) {
			t.Errorf("letters %v, before %v", now, letters)
		}
		if len(h.events(audit.PasswordOrdered)) != 0 {
			t.Error("the trail tells of a rehearsal")
		}
	})
}
