package store_test

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/store"
	"github.com/portti-id/portti/internal/trace"
)

func leg(id, reference, user string, at time.Time) trace.Leg {
	return trace.Leg{Trace: id, Reference: reference, User: user, Proved: user != "", Client: "service", Network: "192.0.2.0/24", At: at.UTC(), Expires: at.UTC().Add(trace.Kept),
		Entries: []trace.Entry{{At: at.UTC(), What: trace.Refused, Code: "wrong_password", Details: map[string]string{"n": "1"}}}}
}

// A reference finds every leg of its sign-in, and of no other.
func TestTracesAreFoundByAnyOfTheirReferences(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		a, b, other := leg("A", "AAAAAAA2", "", noon), leg("A", "AAAAAAA3", "matti", noon.Add(time.Minute)), leg("B", "BBBBBBB2", "maija", noon)
		must(t, s.AddTraces(ctx, []trace.Leg{a, other}))
		must(t, s.AddTraces(ctx, []trace.Leg{b}))
		must(t, s.AddTraces(ctx, nil))
		for _, reference := range []string{"AAAAAAA2", "AAAAAAA3"} {
			legs, at, err := s.Trace(ctx, reference, noon)
			if err != nil || !reflect.DeepEqual(legs, []trace.Leg{a, b}) || at.Reference != reference {
				t.Errorf("%s: %+v %+v %v", reference, legs, at, err)
			}
		}
		for _, reference := range []string{"AAAAAAA4", "", "A", "%"} {
			_, _, err := s.Trace(ctx, reference, noon)
			wantFault(t, err, fault.NotFound, "trace_not_found")
		}
	})
}

// A person's sign-ins come newest first, a page at a time, with what went before in
// the same browser, and nothing of anybody else.
func TestTracesOfAPerson(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		for i := range 5 {
			id, at := fmt.Sprint(i), noon.Add(time.Duration(i)*time.Hour)
			must(t, s.AddTraces(ctx, []trace.Leg{leg(id, "", "", at), leg(id, "", "matti", at.Add(time.Minute)), leg(id, "", "maija", at.Add(2*time.Minute))}))
		}
		var got []string
		var before time.Time
		for range 4 {
			legs, err := s.TracesOf(ctx, "matti", before, noon, 2)
			must(t, err)
			for _, l := range legs {
				if l.User == "maija" {
					t.Errorf("%+v is somebody else's", l)
				}
			}
			for _, tr := range trace.Join(legs, "matti") {
				got, before = append(got, tr.ID), tr.Until
			}
		}
		if !reflect.DeepEqual(got, []string{"4", "3", "2", "1", "0"}) {
			t.Errorf("%v", got)
		}
		if legs, err := s.TracesOf(ctx, "", time.Time{}, noon, 50); err != nil || len(legs) > 0 {
			t.Errorf("strangers' sign-ins as a person's: %v %v", legs, err)
		}
	})
}

// A service's come newest first, of anybody and of nobody, up to a number; another's
// are not there, nor what is over. A call of an app is found by its reference, and
// stands in no list.
func TestTracesForAService(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		for i, user := range []string{"", "matti", "maija"} {
			must(t, s.AddTraces(ctx, []trace.Leg{leg(fmt.Sprint(i), "", user, noon.Add(time.Duration(i)*time.Minute))}))
		}
		other, old, call := leg("O", "", "", noon), leg("P", "", "", noon), leg("C", "CCCCCCC2", "matti", noon.Add(time.Hour))
		other.Client, old.Expires, call.Entries[0].What = "other", noon.UTC(), trace.Called
		must(t, s.AddTraces(ctx, []trace.Leg{other, old, call}))
		for n, want := range map[int]string{50: "210", 2: "21"} {
			legs, err := s.TracesFor(ctx, "service", noon, n)
			must(t, err)
			got := ""
			for _, l := range legs {
				got += l.Trace
			}
			if got != want {
				t.Errorf("%d of them: %s, want %s", n, got, want)
			}
		}
		if legs, err := s.TracesFor(ctx, "", noon, 50); err != nil || len(legs) != 0 {
			t.Errorf("%v %v", legs, err)
		}
		if legs, err := s.TracesOf(ctx, "matti", time.Time{}, noon, 50); err != nil || len(legs) != 1 || legs[0].Trace != "1" {
			t.Errorf("%v %v", legs, err)
		}
		if legs, _, err := s.Trace(ctx, "CCCCCCC2", noon); err != nil || len(legs) != 1 {
			t.Errorf("%v %v", legs, err)
		}
	})
}

// After 30 days a trace is not shown any more, and with the next sweep gone.
func TestTracesAreKeptForThirtyDays(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		must(t, s.AddTraces(ctx, []trace.Leg{leg("A", "AAAAAAA2", "matti", noon)}))
		over := noon.Add(trace.Kept)
		must(t, s.Sweep(ctx, over))
		if _, _, err := s.Trace(ctx, "AAAAAAA2", over.Add(-time.Second)); err != nil {
			t.Error(err)
		}
		_, _, err := s.Trace(ctx, "AAAAAAA2", over)
		wantFault(t, err, fault.NotFound, "trace_not_found")
		must(t, s.Sweep(ctx, over.Add(time.Second)))
		_, _, err = s.Trace(ctx, "AAAAAAA2", noon)
		wantFault(t, err, fault.NotFound, "trace_not_found")
	})
}
