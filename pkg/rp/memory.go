package rp

import (
	"bytes"
	"context"
	"sync"
	"time"
)

// maxLoose bounds what strangers can make MemoryStore remember: anybody may begin
// a sign-in. Beyond it some pending one is forgotten, and starts again by itself.
const maxLoose = 50_000

// MemoryStore is a Store in this process's memory. The zero value works.
type MemoryStore struct {
	Now func() time.Time // nil: time.Now

	mu       sync.Mutex
	records  map[string]Record
	sids     map[string]map[string]bool // SID → keys
	subjects map[string]map[string]bool // Subject → keys
	loose    map[string]bool            // keys without SID and Subject
	swept    time.Time
}

func (m *MemoryStore) Add(_ context.Context, key string, r Record) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sweep()
	if _, taken := m.get(key); taken {
		return false, nil
	}
	if r.SID == "" && r.Subject == "" && len(m.loose) >= maxLoose {
		for any := range m.loose { // Go's map order is arbitrary: mostly the flood's own
			m.remove(any)
			break
		}
	}
	m.put(key, r)
	return true, nil
}

func (m *MemoryStore) Get(_ context.Context, key string) (Record, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.get(key)
	return r, ok, nil
}

func (m *MemoryStore) Take(_ context.Context, key string) (Record, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.get(key)
	m.remove(key)
	return r, ok, nil
}

func (m *MemoryStore) Replace(_ context.Context, key string, old, new Record) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.get(key)
	if !ok || !bytes.Equal(r.Value, old.Value) {
		return false, nil
	}
	m.remove(key)
	m.put(key, new)
	return true, nil
}

func (m *MemoryStore) DeleteSID(_ context.Context, sid string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key := range m.sids[sid] {
		m.remove(key)
	}
	return nil
}

func (m *MemoryStore) DeleteSubject(_ context.Context, subject string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key := range m.subjects[subject] {
		m.remove(key)
	}
	return nil
}

func (m *MemoryStore) get(key string) (Record, bool) {
	r, ok := m.records[key]
	if !ok || !m.now().Before(r.Expires) {
		return Record{}, false
	}
	return r, true
}

func (m *MemoryStore) put(key string, r Record) {
	if m.records == nil {
		m.records = map[string]Record{}
		m.sids, m.subjects, m.loose = map[string]map[string]bool{}, map[string]map[string]bool{}, map[string]bool{}
	}
	m.remove(key) // an expired one
	m.records[key] = r
	index(m.sids, r.SID, key)
	index(m.subjects, r.Subject, key)
	if r.SID == "" && r.Subject == "" {
		m.loose[key] = true
	}
}

func (m *MemoryStore) remove(key string) {
	r, ok := m.records[key]
	if !ok {
		return
	}
	delete(m.records, key)
	delete(m.loose, key)
	unindex(m.sids, r.SID, key)
	unindex(m.subjects, r.Subject, key)
}

// sweep forgets what has expired, once a minute.
func (m *MemoryStore) sweep() {
	now := m.now()
	if now.Sub(m.swept) < time.Minute {
		return
	}
	m.swept = now
	for key, r := range m.records {
		if !now.Before(r.Expires) {
			m.remove(key)
		}
	}
}

func (m *MemoryStore) now() time.Time {
	if m.Now == nil {
		return time.Now()
	}
	return m.Now()
}

func index(in map[string]map[string]bool, name, key string) {
	if name == "" {
		return
	}
	if in[name] == nil {
		in[name] = map[string]bool{}
	}
	in[name][key] = true
}

func unindex(in map[string]map[string]bool, name, key string) {
	delete(in[name], key)
	if len(in[name]) == 0 {
		delete(in, name)
	}
}
