package store_test

import (
	"crypto/rand"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/keys"
	"github.com/portti-id/portti/internal/store"
)

func key(kind keys.Kind, state keys.State) keys.Stored {
	return keys.Stored{ID: rand.Text(), Kind: kind, State: state, Sealed: "sealed", Created: noon.UTC(), Moved: noon.Add(time.Minute).UTC()}
}

// moved is the event of a change of keys.
var moved = audit.Event{Type: audit.KeyMoved, Actor: "system"}

func events(t testing.TB, s *store.Store) []audit.Event {
	t.Helper()
	list, err := s.AuditEvents(t.Context(), store.Trail{Limit: 1000})
	must(t, err)
	return list
}

func stored(t testing.TB, s *store.Store) []keys.Stored {
	t.Helper()
	list, err := s.Keys().SigningKeys(t.Context())
	must(t, err)
	return list
}

func TestSigningKeysAreListedOldestFirst(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		a, b, c := key(keys.P256, keys.Retired), key(keys.P256, keys.Current), key(keys.RSA2048, keys.Current)
		a.Created, b.Created = noon.Add(2*time.Hour).UTC(), noon.Add(time.Hour).UTC()
		for _, k := range []keys.Stored{a, b, c} {
			must(t, s.Keys().AddSigningKey(t.Context(), k, moved))
		}
		if got := stored(t, s); !reflect.DeepEqual(got, []keys.Stored{c, b, a}) {
			t.Errorf("got %+v", got)
		}
	})
}

// Two replicas that start at once agree on one key of each kind and state.
func TestOneOfManySigningKeysIsAdded(t *testing.T) {
	for _, state := range []keys.State{keys.Current, keys.Next} {
		t.Run(string(state), func(t *testing.T) {
			replicas(t, func(t *testing.T, s [2]*store.Store) {
				errs := race(50, func(i int) error { return s[i%2].Keys().AddSigningKey(t.Context(), key(keys.P256, state), moved) })
				if n := tally(t, errs); n[""] != 1 || n["signing_key_exists"] != 49 || !fault.Is(firstError(errs...), fault.Conflict) {
					t.Errorf("got %v, want one winner", n)
				}
				must(t, s[0].Keys().AddSigningKey(t.Context(), key(keys.Ed25519, state), moved))
			})
		})
	}
}

func TestOneOfManyKeyRotationsWins(t *testing.T) {
	replicas(t, func(t *testing.T, s [2]*store.Store) {
		current, next := key(keys.P256, keys.Current), key(keys.P256, keys.Next)
		must(t, s[0].Keys().AddSigningKey(t.Context(), current, moved))
		must(t, s[0].Keys().AddSigningKey(t.Context(), next, moved))
		when := noon.Add(time.Hour).UTC()
		before := len(events(t, s[0]))
		errs := race(50, func(i int) error {
			return s[i%2].Keys().Rotate(t.Context(), keys.P256, next.ID, current.ID, when, moved, moved)
		})
		if n := len(events(t, s[0])) - before; n != 2 {
			t.Errorf("%d events of one rotation", n)
		}
		if n := tally(t, errs); n[""] != 1 || n["signing_keys_moved"] != 49 {
			t.Errorf("got %v, want one winner", n)
		}
		for _, k := range stored(t, s[1]) {
			if want := map[string]keys.State{current.ID: keys.Retired, next.ID: keys.Current}[k.ID]; k.State != want || !k.Moved.Equal(when) {
				t.Errorf("%s is %s since %v, want %s", k.ID, k.State, k.Moved, want)
			}
		}
	})
}

// Of those who replace and those who rotate one wins, and the key that is
// out is nowhere any more.
func TestOneOfManyReplacementsWins(t *testing.T) {
	replicas(t, func(t *testing.T, s [2]*store.Store) {
		current, next, other := key(keys.P256, keys.Current), key(keys.P256, keys.Next), key(keys.Ed25519, keys.Current)
		for _, k := range []keys.Stored{current, next, other} {
			must(t, s[0].Keys().AddSigningKey(t.Context(), k, moved))
		}
		before := len(events(t, s[0]))
		errs := race(50, func(i int) error {
			return s[i%2].Keys().Replace(t.Context(), key(keys.P256, keys.Current), current.ID, []string{current.ID, next.ID, other.ID}, moved, moved, moved)
		})
		if n := tally(t, errs); n[""] != 1 || n["signing_keys_moved"] != 49 {
			t.Errorf("got %v, want one winner", n)
		}
		if n := len(events(t, s[0])) - before; n != 3 {
			t.Errorf("%d events of one replacement", n)
		}
		list := stored(t, s[1])
		if len(list) != 2 { // the other kind's stays, whoever names it
			t.Fatalf("got %+v", list)
		}
		for _, k := range list {
			if k.ID == current.ID || k.ID == next.ID || k.State != keys.Current {
				t.Errorf("left %+v", k)
			}
		}
	})
}

func TestAReplacedKeyMayStayPublished(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		current, next, fresh := key(keys.P256, keys.Current), key(keys.P256, keys.Next), key(keys.P256, keys.Current)
		fresh.Created, fresh.Moved = noon.Add(time.Hour).UTC(), noon.Add(time.Hour).UTC()
		must(t, s.Keys().AddSigningKey(t.Context(), current, moved))
		must(t, s.Keys().AddSigningKey(t.Context(), next, moved))
		before, told := stored(t, s), len(events(t, s))
		wantFault(t, s.Keys().Replace(t.Context(), fresh, next.ID, nil, moved), fault.Conflict, "signing_keys_moved")
		wantFault(t, s.Keys().Replace(t.Context(), next, current.ID, nil, moved), fault.Conflict, "signing_keys_moved") // its ID is there
		if got := stored(t, s); !reflect.DeepEqual(got, before) || len(events(t, s)) != told {
			t.Errorf("a replacement that failed left %+v", got)
		}
		must(t, s.Keys().Replace(t.Context(), fresh, current.ID, nil, moved))
		current.State, current.Moved = keys.Retired, fresh.Moved
		for _, k := range stored(t, s) {
			if want := map[string]keys.Stored{current.ID: current, next.ID: next, fresh.ID: fresh}[k.ID]; !reflect.DeepEqual(k, want) {
				t.Errorf("got %+v, want %+v", k, want)
			}
		}
	})
}

func TestAKeyRotationIsWholeOrNot(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		next := key(keys.P256, keys.Next)
		must(t, s.Keys().AddSigningKey(t.Context(), next, moved))
		must(t, s.Keys().Rotate(t.Context(), keys.P256, next.ID, "", noon)) // the first of its kind
		current := next
		before := stored(t, s)
		for name, ids := range map[string][2]string{"no such next": {"nobody", current.ID}, "no such current": {current.ID, "nobody"}, "current is next": {current.ID, current.ID}} {
			err := s.Keys().Rotate(t.Context(), keys.P256, ids[0], ids[1], noon)
			if fault.Code(err) != "signing_keys_moved" {
				t.Errorf("%s: %v", name, err)
			}
		}
		next = key(keys.P256, keys.Next)
		must(t, s.Keys().AddSigningKey(t.Context(), next, moved))
		err := s.Keys().Rotate(t.Context(), keys.P256, next.ID, "", noon) // there is a current one
		wantFault(t, err, fault.Conflict, "signing_keys_moved")
		err = s.Keys().Rotate(t.Context(), keys.RSA2048, next.ID, current.ID, noon)
		wantFault(t, err, fault.Conflict, "signing_keys_moved")
		if got := stored(t, s); len(got) != 2 || fmt.Sprint(got) != fmt.Sprint(append(before, next)) && fmt.Sprint(got) != fmt.Sprint(append([]keys.Stored{next}, before...)) {
			t.Errorf("before %+v\nafter  %+v", before, got)
		}
	})
}

func TestOnlyRetiredKeysAreDropped(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		retired, current, next := key(keys.P256, keys.Retired), key(keys.P256, keys.Current), key(keys.P256, keys.Next)
		for _, k := range []keys.Stored{retired, current, next} {
			must(t, s.Keys().AddSigningKey(t.Context(), k, moved))
		}
		before := len(events(t, s))
		for _, k := range []keys.Stored{current, next} {
			_, err := s.Keys().DropSigningKey(t.Context(), k.ID, moved)
			wantFault(t, err, fault.Conflict, "signing_key_in_use")
		}
		for _, want := range []bool{true, false} {
			dropped, err := s.Keys().DropSigningKey(t.Context(), retired.ID, moved)
			if must(t, err); dropped != want {
				t.Errorf("dropped is %t", dropped)
			}
		}
		if n := len(events(t, s)) - before; n != 1 {
			t.Errorf("%d events of one deletion", n)
		}
		if got := stored(t, s); len(got) != 2 {
			t.Errorf("got %+v", got)
		}
	})
}
