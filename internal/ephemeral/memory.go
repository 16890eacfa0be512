package ephemeral

import (
	"bytes"
	"container/heap"
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"
)

// sweepAtOnce bounds the work that one call does for values that expired
// before it. A call adds at most one value, so any number above one keeps the
// store from growing beyond what lives.
const sweepAtOnce = 8

// Memory is the store of a process that has no replicas. What it holds is gone
// when the process ends.
type Memory struct {
	now func() time.Time

	mu      sync.Mutex
	entries map[string]*entry
	ends    byEnd // the same entries, the one that expires first on top
}

// entry is one value. A counter is its decimal digits, as in Redis.
type entry struct {
	key   string
	value []byte
	ends  time.Time // the value is gone at this moment, not after it
	place int       // index in Memory.ends
}

// NewMemory returns an empty store that reads the time from now.
func NewMemory(now func() time.Time) *Memory {
	return &Memory{now: now, entries: make(map[string]*entry)}
}

func (m *Memory) Put(_ context.Context, key string, value []byte, ttl time.Duration) error {
	if err := checkTTL(ttl); err != nil {
		return err
	}
	now := m.lock()
	defer m.mu.Unlock()
	m.set(key, value, now.Add(ttl))
	return nil
}

func (m *Memory) Get(_ context.Context, key string) ([]byte, error) {
	now := m.lock()
	defer m.mu.Unlock()
	e := m.live(key, now)
	if e == nil {
		return nil, errNotFound
	}
	return bytes.Clone(e.value), nil
}

func (m *Memory) Take(_ context.Context, key string) ([]byte, error) {
	now := m.lock()
	defer m.mu.Unlock()
	e := m.live(key, now)
	if e == nil {
		return nil, errNotFound
	}
	m.remove(e)
	return e.value, nil // nobody else holds it any more: no copy
}

func (m *Memory) Swap(_ context.Context, key string, value []byte, ttl time.Duration) ([]byte, error) {
	if err := checkTTL(ttl); err != nil {
		return nil, err
	}
	now := m.lock()
	defer m.mu.Unlock()
	e := m.live(key, now)
	if e == nil {
		return nil, errNotFound
	}
	was := e.value
	m.set(key, value, now.Add(ttl))
	return was, nil
}

func (m *Memory) Add(_ context.Context, key string, value []byte, ttl time.Duration) error {
	if err := checkTTL(ttl); err != nil {
		return err
	}
	now := m.lock()
	defer m.mu.Unlock()
	if m.live(key, now) != nil {
		return errConflict
	}
	m.set(key, value, now.Add(ttl))
	return nil
}

func (m *Memory) Replace(_ context.Context, key string, old, value []byte, ttl time.Duration) error {
	if err := checkTTL(ttl); err != nil {
		return err
	}
	now := m.lock()
	defer m.mu.Unlock()
	e := m.live(key, now)
	if e == nil {
		return errNotFound
	}
	if !bytes.Equal(e.value, old) {
		return errConflict
	}
	m.set(key, value, now.Add(ttl))
	return nil
}

func (m *Memory) Delete(_ context.Context, key string) error {
	now := m.lock()
	defer m.mu.Unlock()
	if e := m.live(key, now); e != nil {
		m.remove(e)
	}
	return nil
}

func (m *Memory) Increment(_ context.Context, key string, window time.Duration) (int64, time.Duration, error) {
	if err := checkTTL(window); err != nil {
		return 0, 0, err
	}
	now := m.lock()
	defer m.mu.Unlock()
	e := m.live(key, now)
	if e == nil {
		m.set(key, []byte("1"), now.Add(window))
		return 1, window, nil
	}
	n, err := e.number()
	if err != nil {
		return 0, 0, err
	}
	e.value = strconv.AppendInt(e.value[:0], n+1, 10)
	return n + 1, e.ends.Sub(now), nil
}

func (m *Memory) Count(_ context.Context, key string) (int64, time.Duration, error) {
	now := m.lock()
	defer m.mu.Unlock()
	e := m.live(key, now)
	if e == nil {
		return 0, 0, nil
	}
	n, err := e.number()
	if err != nil {
		return 0, 0, err
	}
	return n, e.ends.Sub(now), nil
}

func (m *Memory) Ping(context.Context) error { return nil }

// Close forgets everything.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.entries, m.ends = make(map[string]*entry), nil
	return nil
}

// lock takes the lock, makes some room and returns the time. Every verb begins
// with it, so that a store nobody writes to empties itself too.
func (m *Memory) lock() time.Time {
	m.mu.Lock()
	now := m.now()
	for range sweepAtOnce {
		if len(m.ends) == 0 || m.ends[0].ends.After(now) {
			break
		}
		m.remove(m.ends[0])
	}
	return now
}

// live returns the entry of key, nil when it is absent or expired.
func (m *Memory) live(key string, now time.Time) *entry {
	e := m.entries[key]
	if e == nil || !e.ends.After(now) {
		return nil
	}
	return e
}

// set copies value in. Slices that Take and Swap gave away are never written
// to again, because every value here is a fresh copy.
func (m *Memory) set(key string, value []byte, ends time.Time) {
	value = append([]byte{}, value...)
	if e := m.entries[key]; e != nil {
		e.value, e.ends = value, ends
		heap.Fix(&m.ends, e.place)
		return
	}
	e := &entry{key: key, value: value, ends: ends}
	m.entries[key] = e
	heap.Push(&m.ends, e)
}

func (m *Memory) remove(e *entry) {
	delete(m.entries, e.key)
	heap.Remove(&m.ends, e.place)
}

func (e *entry) number() (int64, error) {
	n, err := strconv.ParseInt(string(e.value), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("ephemeral: the value is no counter")
	}
	return n, nil
}

// byEnd is a heap (container/heap) whose entries know their place in it.
type byEnd []*entry

func (h byEnd) Len() int           { return len(h) }
func (h byEnd) Less(i, j int) bool { return h[i].ends.Before(h[j].ends) }
func (h byEnd) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

func (h *byEnd) Push(x any) {
	e := x.(*entry)
	e.place = len(*h)
	*h = append(*h, e)
}

func (h *byEnd) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = nil // let the value go
	*h = (*h)[:last]
	return e
}
