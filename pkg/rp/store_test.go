package rp_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/portti-id/portti/pkg/rp"
)

func TestMemoryStore(t *testing.T) {
	now := newClock()
	s := &rp.MemoryStore{Now: now.Now}
	ctx := t.Context()
	record := func(value, sid, sub string) rp.Record {
		return rp.Record{Value: []byte(value), Expires: now.Now().Add(time.Minute), SID: sid, Subject: sub}
	}
	add := func(key string, r rp.Record) bool {
		t.Helper()
		ok, err := s.Add(ctx, key, r)
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	value := func(key string) string {
		t.Helper()
		r, ok, err := s.Get(ctx, key)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return "none"
		}
		return string(r.Value)
	}
	expect(t, "empty", value("a"), "none")
	if !add("a", record("1", "", "")) || add("a", record("2", "", "")) {
		t.Error("Add: first or second")
	}
	expect(t, "a taken key keeps its value", value("a"), "1")
	if ok, _ := s.Replace(ctx, "a", record("x", "", ""), record("2", "", "")); ok {
		t.Error("Replace of another value")
	}
	if ok, _ := s.Replace(ctx, "a", record("1", "", ""), record("2", "", "")); !ok {
		t.Error("Replace")
	}
	expect(t, "replaced", value("a"), "2")
	if r, ok, _ := s.Take(ctx, "a"); !ok || string(r.Value) != "2" {
		t.Error("Take")
	}
	if _, ok, _ := s.Take(ctx, "a"); ok {
		t.Error("Take twice")
	}
	if ok, _ := s.Replace(ctx, "a", record("2", "", ""), record("3", "", "")); ok {
		t.Error("Replace brought a deleted record back")
	}

	add("one", record("1", "s1", "u1"))
	add("two", record("2", "s2", "u1"))
	add("three", record("3", "s3", "u2"))
	_ = s.DeleteSID(ctx, "s1")
	_ = s.DeleteSID(ctx, "nobody")
	_ = s.DeleteSID(ctx, "")
	expect(t, "one", value("one"), "none")
	expect(t, "two", value("two"), "2")
	_ = s.DeleteSubject(ctx, "")
	_ = s.DeleteSubject(ctx, "u1")
	expect(t, "two", value("two"), "none")
	expect(t, "three", value("three"), "3")
	// A replaced record is found by its new names only.
	if ok, _ := s.Replace(ctx, "three", record("3", "", ""), record("3", "s4", "u4")); !ok {
		t.Fatal("Replace")
	}
	_ = s.DeleteSubject(ctx, "u2")
	expect(t, "three", value("three"), "3")
	_ = s.DeleteSID(ctx, "s4")
	expect(t, "three", value("three"), "none")

	add("short", record("1", "s", "u"))
	now.forward(time.Minute)
	expect(t, "expired", value("short"), "none")
	if ok, _ := s.Replace(ctx, "short", record("1", "", ""), record("2", "", "")); ok {
		t.Error("Replace of an expired record")
	}
	if !add("short", record("2", "", "")) {
		t.Error("an expired key is not free")
	}
	_ = s.DeleteSID(ctx, "s") // of the expired one
	expect(t, "the new one", value("short"), "2")
}

func TestMemoryStoreIsAtomic(t *testing.T) {
	ctx := context.Background()
	s := &rp.MemoryStore{}
	record := func(i int) rp.Record {
		return rp.Record{Value: fmt.Append(nil, i), Expires: time.Now().Add(time.Hour), SID: "s", Subject: "u"}
	}
	race := func(f func(i int) bool) int {
		var wg sync.WaitGroup
		var mu sync.Mutex
		wins := 0
		for i := range 50 {
			wg.Go(func() {
				if f(i) {
					mu.Lock()
					defer mu.Unlock()
					wins++
				}
			})
		}
		wg.Wait()
		return wins
	}
	if n := race(func(i int) bool { ok, _ := s.Add(ctx, "k", record(i)); return ok }); n != 1 {
		t.Errorf("Add: %d of 50 won", n)
	}
	old, _, _ := s.Get(ctx, "k")
	if n := race(func(i int) bool { ok, _ := s.Replace(ctx, "k", old, record(100+i)); return ok }); n != 1 {
		t.Errorf("Replace: %d of 50 won", n)
	}
	if n := race(func(int) bool { _, ok, _ := s.Take(ctx, "k"); return ok }); n != 1 {
		t.Errorf("Take: %d of 50 won", n)
	}
}

func TestStrangersCannotFillTheMemory(t *testing.T) {
	ctx := t.Context()
	now := newClock()
	s := &rp.MemoryStore{Now: now.Now}
	later := now.Now().Add(time.Hour)
	_, _ = s.Add(ctx, "session", rp.Record{Value: []byte("1"), Expires: later, SID: "s", Subject: "u"})
	for i := range 60_000 {
		_, _ = s.Add(ctx, fmt.Sprint("pending", i), rp.Record{Value: []byte("1"), Expires: later})
	}
	left := 0
	for i := range 60_000 {
		if _, ok, _ := s.Get(ctx, fmt.Sprint("pending", i)); ok {
			left++
		}
	}
	if left > 50_000 {
		t.Errorf("%d pending sign-ins are kept", left)
	}
	if _, ok, _ := s.Get(ctx, "session"); !ok {
		t.Error("a session was thrown out for them")
	}
}
