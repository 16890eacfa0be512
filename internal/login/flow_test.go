package login

import (
	"reflect"
	"slices"
	"testing"
)

// proofs is what a path through the table has shown.
type proofs struct {
	password, code, card, temporary, changed, barred bool
}

func (p proofs) with(e Event) proofs {
	switch e {
	case PasswordProved, PasswordProvedNoLink, PasswordProvedCard:
		p.password = true
	case TemporaryProved, TemporaryProvedLink:
		p.password, p.temporary = true, true
	case CodeProved:
		p.code = true
	case CodeProvedBarred:
		p.code, p.barred = true, true
	case CardProved:
		p.card = true
	case CardProvedBarred:
		p.card, p.barred = true, true
	case PasswordChanged:
		p.changed = true
	case StartOver:
		p = proofs{}
	}
	return p
}

var events = []Event{PasswordProved, PasswordProvedNoLink, PasswordProvedCard, TemporaryProved, TemporaryProvedLink, CodeProved, CodeProvedBarred,
	PasswordChanged, CardProved, CardProvedBarred, StartOver, SessionStarted}

// TestEveryPathToDoneHasTwoProofs walks the whole table, every event at every
// step, as deep as it goes without repeating itself (S1, S15, S57).
func TestEveryPathToDoneHasTwoProofs(t *testing.T) {
	type place struct {
		step  Step
		shown proofs
	}
	seen := map[place]bool{}
	reached := map[Step]bool{}
	var walk func(f Flow, shown proofs, path []Event)
	walk = func(f Flow, shown proofs, path []Event) {
		at := place{f.Step, shown}
		if seen[at] {
			return
		}
		seen[at], reached[f.Step] = true, true
		switch f.Step {
		case Done:
			if !shown.card && (!shown.password || !shown.code) {
				t.Errorf("Done after %v with fewer than two proofs", path)
			}
			if shown.temporary && !shown.changed && !shown.card {
				t.Errorf("Done after %v with a temporary password that was not changed", path)
			}
			if shown.barred {
				t.Errorf("Done after %v with a method that the employer does not permit", path)
			}
		case Enrol:
			if !shown.password && !shown.card {
				t.Errorf("Enrol after %v without any proof", path)
			}
			if shown.temporary && !shown.changed {
				t.Errorf("Enrol after %v with a temporary password that was not changed", path)
			}
		case ChangeProved:
			if !shown.code {
				t.Errorf("ChangeProved after %v without a code", path)
			}
		}
		for _, e := range events {
			if g, ok := f.after(e); ok {
				walk(g, shown.with(e), append(slices.Clone(path), e))
			}
		}
	}
	walk(Flow{Step: AskPassword}, proofs{}, nil)
	for _, s := range []Step{AskPassword, AskCode, AskCodeFirst, ChangePassword, ChangeProved, UseCard, Enrol, Done, Finished} {
		if !reached[s] {
			t.Errorf("no path reaches %s", s)
		}
	}
	if len(seen) < 12 {
		t.Errorf("walked only %d places", len(seen))
	}
}

// TestStepsCannotBeSkipped lists, for each step, all that may happen there;
// everything else must be refused.
func TestStepsCannotBeSkipped(t *testing.T) {
	allowed := map[Step][]Event{
		AskPassword:    {PasswordProved, PasswordProvedNoLink, PasswordProvedCard, TemporaryProved, TemporaryProvedLink, CardProved, CardProvedBarred, StartOver},
		AskCode:        {CodeProved, CodeProvedBarred, StartOver},
		AskCodeFirst:   {CodeProved, CodeProvedBarred, StartOver},
		ChangePassword: {PasswordChanged, StartOver},
		ChangeProved:   {PasswordChanged, StartOver},
		UseCard:        {CardProved, CardProvedBarred, StartOver},
		Enrol:          {SessionStarted, StartOver},
		Done:           {SessionStarted, StartOver},
		Finished:       {},
	}
	for step, good := range allowed {
		for _, e := range events {
			_, ok := Flow{Step: step}.after(e)
			if want := slices.Contains(good, e); ok != want {
				t.Errorf("%s at %s: allowed %v, want %v", e, step, ok, want)
			}
		}
	}
}

// TestStartingOverForgetsEveryProof: nothing of a former attempt may count later.
func TestStartingOverForgetsEveryProof(t *testing.T) {
	f := Flow{TX: "tx", Browser: "b", Step: AskCode, User: "u", Username: "name", Epoch: 3, Hash: "h", Method: 2, Link: "l", Codes: 4, Attempt: "a"}
	g, ok := f.after(StartOver)
	if !ok {
		t.Fatal("cannot start over from the code page")
	}
	if want := (Flow{TX: "tx", Browser: "b", Step: AskPassword, Username: "name", Over: true}); !reflect.DeepEqual(g, want) {
		t.Errorf("kept %+v, want %+v", g, want)
	}
}
