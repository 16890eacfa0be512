package api

import (
	"slices"
	"testing"
	"time"
)

// A page ends where the next begins: at its own last, and not at the one that was
// asked for to see whether there is more.
func TestPages(t *testing.T) {
	asked := time.UnixMicro(1_700_000_000_000_001).UTC()
	at := func(id string) string { return cursorAt(asked, id) }
	for _, c := range []struct{ list, page []string }{
		{nil, nil},
		{[]string{"a", "b"}, []string{"a", "b"}},
		{[]string{"a", "b", "c"}, []string{"a", "b"}},
	} {
		page, next := pageOf(c.list, 2, at)
		if !slices.Equal(page, c.page) || (next != "") != (len(c.list) > 2) {
			t.Errorf("%v: %v, %q", c.list, page, next)
		}
		if next == "" {
			continue
		}
		if from, id, err := cursor(next); err != nil || !from.Equal(asked) || id != "b" {
			t.Errorf("%q begins at %v %q: %v", next, from, id, err)
		}
	}
}
