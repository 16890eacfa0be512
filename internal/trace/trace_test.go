package trace

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/ephemeral"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/throttle"
)

// shelf keeps legs in memory, and can be away.
type shelf struct {
	mu   sync.Mutex
	legs []Leg
	down bool
	hold chan struct{} // AddTraces waits for it
	most int           // legs at once
}

func (s *shelf) AddTraces(_ context.Context, legs []Leg) error {
	if s.hold != nil {
		<-s.hold
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return errors.New("away")
	}
	s.legs, s.most = append(s.legs, legs...), max(s.most, len(legs))
	return nil
}

func (s *shelf) Trace(context.Context, string, time.Time) ([]Leg, Leg, error) {
	return nil, Leg{}, ErrNone
}
func (s *shelf) TracesOf(context.Context, string, time.Time, time.Time, int) ([]Leg, error) {
	return nil, nil
}

func (s *shelf) TracesFor(context.Context, string, time.Time, int) ([]Leg, error) { return nil, nil }

func (s *shelf) kept() []Leg { s.mu.Lock(); defer s.mu.Unlock(); return slices.Clone(s.legs) }

func newBook(t *testing.T) (*Book, *shelf) {
	t.Helper()
	memory := ephemeral.NewMemory(time.Now)
	t.Cleanup(func() { _ = memory.Close() })
	s := &shelf{}
	return &Book{Store: s, Throttle: &throttle.Throttle{Store: memory}, Now: time.Now}, s
}

var home = netip.MustParseAddr("192.0.2.77")

// request is one request that notes what f does.
func request(t *testing.T, b *Book, f func(ctx context.Context)) {
	ctx, n := b.Begin(t.Context())
	f(ctx)
	b.Keep(ctx, n, "K7QM2XEA", home)
}

// Only words of the programs get in; what somebody typed does not, whoever hands it on.
func TestNothingThatLooksTypedIsKept(t *testing.T) {
	b, s := newBook(t)
	request(t, b, func(ctx context.Context) {
		Note(ctx, Refused, "correct horse Battery", "typed", "pass;word<b>", "long", strings.Repeat("a", 61), "line", "a\nb", "good", "card,app", "empty", "")
		Note(ctx, What("shown"), "SHOUTED")
	})
	e := s.kept()[0].Entries
	if e[0].Code != "other" || len(e[0].Details) != 1 || e[0].Details["good"] != "card,app" || e[1].Code != "other" {
		t.Errorf("%+v", e)
	}
}

// A request that went well on its way leaves nothing, but the one that led to the
// sign-in; its notes go with the sign-in to the one that fails or finishes, each once
// and in their order. Only what a page has shown is a reference of the person's.
func TestNotesGoWithTheSignIn(t *testing.T) {
	b, s := newBook(t)
	var carried []Entry
	request(t, b, func(ctx context.Context) {
		In(ctx, "TX", "service")
		Note(ctx, Asked, "any")
		Note(ctx, Decided, "no_session", "verdict", "sign_in")
		carried = All(ctx, nil)
	})
	if kept := s.kept(); len(kept) != 1 || !kept[0].waits() || !kept[0].SignIn() || kept[0].Expires.Sub(kept[0].At) != waitingKept {
		t.Fatalf("kept %+v", kept)
	}
	request(t, b, func(ctx context.Context) {
		In(ctx, "TX", "service")
		Before(ctx, carried)
		Note(ctx, Stepped, "password_proved")
		carried = All(ctx, nil)
	})
	if kept := s.kept(); len(kept) != 1 {
		t.Fatalf("kept %+v", kept)
	}
	for range 2 {
		request(t, b, func(ctx context.Context) {
			In(ctx, "TX", "service")
			Before(ctx, carried)
			Before(ctx, carried)
			About(ctx, "matti", true)
			About(ctx, "maija", false) // who has proved it is not displaced
			Note(ctx, Refused, "otp_wrong")
		})
	}
	all := Join(s.kept(), "")
	if len(all) != 1 || len(all[0].Entries) != 5 || all[0].Entries[0].What != Asked || len(all[0].References) != 2 || all[0].User != "matti" || !all[0].Proved || all[0].Network != "192.0.2.0/24" || all[0].Client != "service" {
		t.Errorf("%+v", all)
	}
	if strings.Contains(fmt.Sprintf("%+v", s.kept()), "TX") {
		t.Error("the request's own ID is kept")
	}
	if Note(t.Context(), Failed, "x"); All(t.Context(), carried)[0].What != Asked {
		t.Error("where nothing is gathered, what was stored is lost")
	}
}

// What another person did in the same browser is nobody else's to read.
func TestATraceIsOfOnePerson(t *testing.T) {
	at := time.Now()
	of := func(user string, proved bool, code string) Leg {
		at = at.Add(time.Second)
		return Leg{Trace: "A", Reference: "R" + code, At: at, User: user, Proved: proved, Entries: []Entry{{At: at, What: Refused, Code: code}}}
	}
	legs := []Leg{of("", false, "unknown_username"), of("maija", false, "wrong_password"), of("matti", true, "otp_wrong")}
	for about, want := range map[string]string{"matti": "unknown_username otp_wrong", "maija": "wrong_password", "": "unknown_username otp_wrong"} {
		var got []string
		for _, e := range Join(legs, about)[0].Entries {
			got = append(got, e.Code)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q reads %v, want %s", about, got, want)
		}
	}
	// Where nobody has proved anything, what is nobody's is: a name that was tried before is
	// not who cancels.
	tried := []Leg{of("maija", false, "wrong_password"), of("", false, "cancelled")}
	for about, want := range map[string]string{"": "cancelled", "maija": "wrong_password"} {
		if all := Join(tried, about); len(all) != 1 || all[0].Entries[0].Code != want || len(all[0].Entries) != 1 || all[0].User != about {
			t.Errorf("%q reads %+v", about, all)
		}
	}
	if all := Join(tried[:1], ""); len(all) != 1 || all[0].User != "maija" {
		t.Errorf("%+v", all)
	}
	// Whoever starts over may be somebody else.
	at = time.Now().Add(-time.Minute)
	b, s := newBook(t)
	request(t, b, func(ctx context.Context) {
		Before(ctx, []Entry{{At: at, What: Asked, Code: "any"}, {At: at, What: Stepped, Code: "password_proved"}})
		About(ctx, "matti", true)
		Restart(ctx)
		Note(ctx, Shown, "otp_too_many")
	})
	if l := s.kept()[0]; l.User != "" || len(l.Entries) != 2 || l.Entries[0].What != Asked {
		t.Errorf("%+v", l)
	}
}

// An app's call that is refused is kept of a person alone, and is no sign-in.
func TestACallOfAnApp(t *testing.T) {
	b, s := newBook(t)
	for _, user := range []string{"", "matti"} {
		for _, err := range []error{nil, ErrNone} {
			request(t, b, func(ctx context.Context) {
				In(ctx, "", "user-services")
				About(ctx, user, true)
				Note(ctx, Called, "me_card_link")
				of(ctx).Broken(err)
			})
		}
	}
	kept := s.kept()
	if len(kept) != 1 || kept[0].User != "matti" || kept[0].SignIn() || kept[0].Trace == "" || kept[0].Entries[1].Code != ErrNone.Code {
		t.Errorf("%+v", kept)
	}
}

// The makers of a service read nothing that a person typed, showed or has linked, and
// of two proofs the second alone.
func TestWhatTheProtocolDoesNotSay(t *testing.T) {
	all := []Entry{
		{What: Asked, Code: "any", Details: map[string]string{"from": "", "prompt": "login"}}, {What: Had, Code: "full", Details: map[string]string{"method": "app", "age": "77"}},
		{What: Decided, Code: "sign_in_again", Details: map[string]string{"verdict": "sign_in", "by": "prompt"}},
		{What: Refused, Code: "wrong_password"}, {What: Card, Code: "revoked"}, {What: Shown, Code: "wrong_credentials"}, {What: Called, Code: "me_order"},
		{What: Stepped, Code: "temporary_proved_link", Details: map[string]string{"linked": "card,app", "permitted": "card"}},
		{What: Stepped, Code: "code_proved"}, {What: Stepped, Code: "password_changed"}, {What: Stepped, Code: "of_later"}, {What: Started, Code: "full"}, {What: Failed, Code: "internal"},
		{What: Issued, Details: map[string]string{"acr": "pwd_otp", "amr": "pwd otp"}},
	}
	var got []string
	for _, l := range Protocol(all) {
		got = append(got, string(l.Word))
		for name := range l.Details {
			got = append(got, name)
		}
	}
	if want := "asked_any prompt session_full method prompt verdict step_account step_proved answered acr amr"; strings.Join(got, " ") != want && strings.Join(got, " ") != "asked_any prompt session_full method prompt verdict step_account step_proved answered amr acr" {
		t.Errorf("%v, want %s", got, want)
	}
}

// Strangers do not fill the table, and neither does one sign-in or one person; a
// finished sign-in is kept all the same.
func TestWhatIsKeptIsBounded(t *testing.T) {
	for name, c := range map[string]struct {
		want int64
		note func(ctx context.Context, i int)
	}{
		"a stranger":  {throttle.TracesPerAddress.Max, func(ctx context.Context, i int) { Note(ctx, Refused, "unknown_username") }},
		"one sign-in": {throttle.TracesPerSignIn.Max, func(ctx context.Context, i int) { In(ctx, "TX", "s"); Note(ctx, Refused, "otp_wrong") }},
		"one person":  {throttle.TracesPerPerson.Max, func(ctx context.Context, i int) { About(ctx, "matti", true); Note(ctx, Refused, "otp_wrong") }},
		"single sign-on": {throttle.QuietTracesPerPerson.Max, func(ctx context.Context, i int) {
			About(ctx, "matti", true)
			Note(ctx, Had, "full")
			Note(ctx, Issued, "")
		}},
		"finished": {500, func(ctx context.Context, i int) { About(ctx, "matti", true); Note(ctx, Started, "full") }},
	} {
		t.Run(name, func(t *testing.T) {
			b, s := newBook(t)
			for i := range 500 {
				request(t, b, func(ctx context.Context) { c.note(ctx, i) })
			}
			if n := int64(len(s.kept())); n != c.want {
				t.Errorf("%d legs, want %d", n, c.want)
			}
		})
	}
	var many []Entry
	for i := range 1000 {
		many = append(many, Entry{At: time.Unix(int64(i), 0), What: Stepped, Code: "step"})
	}
	if n := len(bounded(many)); n != mostEntries {
		t.Errorf("%d entries", n)
	}
}

// A database that is slow or away holds nobody up, and what waits is written together.
func TestKeepingHoldsNobodyUp(t *testing.T) {
	b, s := newBook(t)
	s.hold = make(chan struct{})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { b.Run(ctx); close(done) }()
	for b.queue.Load() == nil {
		runtime.Gosched()
	}
	for range queued * 2 {
		request(t, b, func(ctx context.Context) { About(ctx, "matti", true); Note(ctx, Started, "full") })
	}
	if b.lost.Load() < queued/2 {
		t.Errorf("%d lost of %d", b.lost.Load(), queued*2)
	}
	close(s.hold)
	stop()
	<-done
	if n := int64(len(s.kept())); n+b.lost.Load() != queued*2 || s.most != batch {
		t.Errorf("%d kept, %d lost, %d at once", n, b.lost.Load(), s.most)
	}
	s.down = true
	request(t, b, func(ctx context.Context) { Note(ctx, Failed, "internal") })
}

// A reference is found as it was read out, and nothing else is looked for.
func TestReferencesAsTheyAreReadOut(t *testing.T) {
	for _, said := range []string{"K7QM2XEA", "k7qm 2xea", "K7QM-2XEA", " k7qm2xea "} {
		if r, err := Reference(said); r != "K7QM2XEA" || err != nil {
			t.Errorf("%q: %s %v", said, r, err)
		}
	}
	if r, _ := Reference("018MMMMM"); r != "OIBMMMMM" {
		t.Error(r)
	}
	for _, said := range []string{"", "K7QM2XE", "K7QM2XEAA", "K7QM2XE%", "' or ''='"} {
		if _, err := Reference(said); !fault.Is(err, fault.NotFound) {
			t.Errorf("%q: %v", said, err)
		}
	}
}

// The trouble is what a caller calls about: the cause, not the sentence that hides it.
func TestTheTroubleOfATrace(t *testing.T) {
	for _, c := range []struct {
		entries []Entry
		code    string
		owner   Owner
	}{
		{[]Entry{{What: Refused, Code: "temp_expired"}, {What: Shown, Code: "wrong_credentials"}}, "temp_expired", Responsible},
		{[]Entry{{What: Refused, Code: "otp_wrong"}, {What: Refused, Code: "otp_clock"}, {What: Shown, Code: "otp_wrong"}}, "otp_clock", Person},
		{[]Entry{{What: Card, Code: "no_certificate"}, {What: Shown, Code: "no_certificate"}}, "no_certificate", IT},
		{[]Entry{{What: Refused, Code: "otp_wrong"}, {What: Started, Code: "full"}, {What: Issued}}, "", Nobody},
		{[]Entry{{What: Decided, Code: "other_user", Details: map[string]string{"verdict": "refuse"}}}, "other_user", Service},
		{[]Entry{{What: Decided, Code: "step_up", Details: map[string]string{"verdict": "step_up"}}}, "", Nobody},
	} {
		e, bad := (Trace{Entries: c.entries}).Trouble()
		if e.Code != c.code || bad != (c.code != "") || bad && e.Owner() != c.owner {
			t.Errorf("%v: %+v %v", c.entries, e, e.Owner())
		}
	}
}
