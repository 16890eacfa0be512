package ephemeral

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/fault"
)

// A clock that stands until it is told otherwise.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func memoryAt(t *testing.T) (*Memory, *clock) {
	c := &clock{time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)}
	return NewMemory(c.now), c
}

func TestMemoryExpiresAtTheMoment(t *testing.T) {
	m, c := memoryAt(t)
	if err := m.Put(t.Context(), "k", []byte("v"), time.Minute); err != nil {
		t.Fatal(err)
	}
	c.t = c.t.Add(time.Minute - 1)
	if _, err := m.Get(t.Context(), "k"); err != nil {
		t.Errorf("a nanosecond early: %v", err)
	}
	c.t = c.t.Add(1)
	if v, err := m.Get(t.Context(), "k"); !fault.Is(err, fault.NotFound) {
		t.Errorf("at the moment: %q, %v", v, err)
	}
}

// What the sweep has not come to yet is as gone as the rest.
func TestMemoryNeverShowsAnExpiredValue(t *testing.T) {
	m, c := memoryAt(t)
	const n = 10 * sweepAtOnce
	for i := range n {
		if err := m.Put(t.Context(), fmt.Sprint(i), []byte("v"), time.Second+time.Duration(i)); err != nil {
			t.Fatal(err)
		}
	}
	c.t = c.t.Add(time.Minute)
	last := fmt.Sprint(n - 1) // swept last of all
	if v, err := m.Get(t.Context(), last); !fault.Is(err, fault.NotFound) {
		t.Errorf("Get = %q, %v", v, err)
	}
	if len(m.entries) == 0 {
		t.Fatal("the sweep did unbounded work, and this test proves nothing")
	}
	if err := m.Add(t.Context(), last, []byte("new"), time.Minute); err != nil {
		t.Errorf("Add over an expired value: %v", err)
	}
	if v, err := m.Get(t.Context(), last); string(v) != "new" {
		t.Errorf("Get = %q, %v", v, err)
	}
}

func TestMemoryStaysBounded(t *testing.T) {
	m, c := memoryAt(t)
	most := 0
	for i := range 10_000 {
		if err := m.Put(t.Context(), fmt.Sprint(i), []byte("v"), 100*time.Second); err != nil {
			t.Fatal(err)
		}
		if i == 5_000 { // a pause in which all of it expires
			c.t = c.t.Add(time.Hour)
		}
		c.t = c.t.Add(time.Second)
		most = max(most, len(m.entries))
		if len(m.entries) != len(m.ends) {
			t.Fatalf("%d entries, %d in the heap", len(m.entries), len(m.ends))
		}
	}
	if most > 100 {
		t.Errorf("held %d values when at most 100 lived", most)
	}
	// Reading alone empties it.
	c.t = c.t.Add(time.Hour)
	for range 100 / sweepAtOnce {
		_, _ = m.Get(t.Context(), "nothing")
	}
	if len(m.entries) > sweepAtOnce {
		t.Errorf("%d expired values stayed", len(m.entries))
	}
}

func TestMemoryTakesShorterLivesFirst(t *testing.T) {
	m, c := memoryAt(t)
	for i := range 100 { // in an order that is not that of their ends
		if err := m.Put(t.Context(), fmt.Sprint(i), nil, time.Duration(1+i*37%100)*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	for i := 0; i < 100; i += 2 { // holes anywhere in the heap
		if err := m.Delete(t.Context(), fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	for range 100 {
		c.t = c.t.Add(time.Second)
		m.lock()
		m.mu.Unlock()
		for key, e := range m.entries {
			if !e.ends.After(c.t) {
				t.Fatalf("%s ended at %v and is there at %v", key, e.ends, c.t)
			}
		}
	}
	if len(m.entries) != 0 {
		t.Errorf("%d left", len(m.entries))
	}
}

func TestMemoryCopiesInAndOut(t *testing.T) {
	m, _ := memoryAt(t)
	mine := []byte("value")
	if err := m.Put(t.Context(), "k", mine, time.Minute); err != nil {
		t.Fatal(err)
	}
	copy(mine, "wrong")
	got, err := m.Get(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	copy(got, "wrong")
	was, err := m.Swap(t.Context(), "k", []byte("other"), time.Minute)
	if err != nil || !bytes.Equal(was, []byte("value")) {
		t.Errorf("Swap = %q, %v: somebody wrote into the store", was, err)
	}

	if _, _, err := m.Increment(t.Context(), "n", time.Minute); err != nil {
		t.Fatal(err)
	}
	n, err := m.Swap(t.Context(), "n", []byte("7"), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := m.Increment(t.Context(), "n", time.Minute); err != nil {
		t.Fatal(err)
	}
	if string(n) != "1" {
		t.Errorf("a value that was given away became %q", n)
	}
}

func TestMemoryCloseForgets(t *testing.T) {
	m, _ := memoryAt(t)
	if err := m.Put(t.Context(), "k", []byte("v"), time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if v, err := m.Get(t.Context(), "k"); !fault.Is(err, fault.NotFound) {
		t.Errorf("Get after Close = %q, %v", v, err)
	}
}
