package store_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/store"
	"github.com/portti-id/portti/internal/storetest"
)

// wire stands between a store and PostgreSQL: it counts round trips, and can be
// cut or fall silent.
type wire struct {
	t      *testing.T
	server string
	addr   string
	trips  atomic.Int64 // messages after which the client waits: Sync and Query (PostgreSQL protocol 3.0 §55.7)
	silent atomic.Bool

	mu       sync.Mutex
	listener net.Listener
	open     []net.Conn
}

// throughWire gives a database with a wire before it.
func throughWire(t *testing.T) (store.Config, *wire) {
	t.Helper()
	c := storetest.Config(t, store.Postgres)
	dsn, err := url.Parse(c.DSN)
	must(t, err)
	w := &wire{t: t, server: dsn.Host, addr: "127.0.0.1:0"}
	w.mend()
	t.Cleanup(w.cut)
	dsn.Host = w.addr
	c.DSN = dsn.String()
	return c, w
}

func (w *wire) mend() {
	l, err := net.Listen("tcp", w.addr)
	must(w.t, err)
	w.mu.Lock()
	w.listener, w.addr = l, l.Addr().String()
	w.mu.Unlock()
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", w.server)
			if err != nil {
				_ = client.Close()
				continue
			}
			w.mu.Lock()
			w.open = append(w.open, client, server)
			w.mu.Unlock()
			go w.forward(client, server)
			go func() { _, _ = io.Copy(client, server); _ = client.Close() }()
		}
	}()
}

// forward passes the client's messages on: after the first, each is a type, a
// length that counts itself, and a body.
func (w *wire) forward(client, server net.Conn) {
	defer server.Close() // a test's wire
	head := make([]byte, 5)
	for kind := 0; ; kind = 1 {
		if _, err := io.ReadFull(client, head[:4+kind]); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint32(head[kind:4+kind])-4)
		if _, err := io.ReadFull(client, body); err != nil {
			return
		}
		if kind == 1 && (head[0] == 'S' || head[0] == 'Q') {
			w.trips.Add(1)
		}
		if w.silent.Load() {
			continue
		}
		if _, err := server.Write(bytes.Join([][]byte{head[:4+kind], body}, nil)); err != nil {
			return
		}
	}
}

func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = w.listener.Close()
	for _, c := range w.open {
		_ = c.Close()
	}
	w.open = nil
}

// Issue 2, "a code exchange costs at most two storage round trips": one of them
// is the ephemeral store's. So are the calls of every request.
func TestTheHotPathsAreOneRoundTrip(t *testing.T) {
	c, w := throughWire(t)
	c.MaxConns = 1
	s := connect(t, c)
	u := someone(t, s)
	addClient(t, s, client("rp"))
	trips := func(f func()) int64 {
		before := w.trips.Load()
		f()
		return w.trips.Load() - before
	}
	g, at := issue(t, s, u, "rp", "sid")
	hash := g.RefreshHash
	for name, f := range map[string]func(){
		"Issue":        func() { issue(t, s, u, "rp", "sid") },
		"Token":        func() { lives(t, s, at) },
		"Person":       func() { person(t, s, u.ID) },
		"PersonByName": func() { _, err := s.PersonByName(t.Context(), identity.FoldUsername(u.Username)); must(t, err) },
		"Client":       func() { _, err := s.Client(t.Context(), "rp"); must(t, err) },
		"RevokeGrant":  func() { must(t, s.RevokeGrant(t.Context(), "mark", noon)) },
		"EndSession":   func() { must(t, s.EndSession(t.Context(), "gone", noon, audit.Event{})) },
		"LeaseLetters": func() { _, err := s.LeaseLetters(t.Context(), 5, noon, time.Minute); must(t, err) },
		"Record":       func() { must(t, s.Record(t.Context(), audit.Event{})) },
		"Rotate": func() {
			next := hash + "x"
			_, _, err := rotate(t, s, g, hash, next)
			must(t, err)
			hash = next
		},
	} {
		f() // prepares the statement on the one connection
		if n := trips(f); n != 1 {
			t.Errorf("%s takes %d round trips", name, n)
		}
	}
}

func TestPostgreSQLMayGoAndComeBack(t *testing.T) {
	c, w := throughWire(t)
	s := connect(t, c)
	u := someone(t, s)
	g, at := issue(t, s, u, "rp", "sid")
	w.cut()
	for name, err := range map[string]error{
		"Person": func() error { _, err := s.Person(t.Context(), u.ID); return err }(),
		"Token":  func() error { _, _, err := s.Token(t.Context(), at.Hash, noon); return err }(),
		"Issue":  func() error { g, at := grant(u, "rp", "sid"); return s.Issue(t.Context(), g, at) }(),
		"Rotate": func() error { _, _, err := rotate(t, s, g, g.RefreshHash, "next"); return err }(),
		"Change": s.Change(t.Context(), func(tx identity.Tx) error { return tx.AddOrganisation(organisation("new")) }),
		"Record": s.Record(t.Context(), audit.Event{}),
		"Lease":  func() error { _, err := s.LeaseLetters(t.Context(), 1, noon, time.Minute); return err }(),
		"Keys":   func() error { _, err := s.Keys().SigningKeys(t.Context()); return err }(),
		"Ping":   s.Ping(t.Context()),
	} {
		t.Run(name, func(t *testing.T) { wantFault(t, err, fault.Unavailable, "database_unavailable") })
	}
	w.mend()
	must(t, eventually(func() error { return s.Ping(t.Context()) }))
	if !lives(t, s, at) {
		t.Error("what was committed is gone")
	}
	if _, _, err := rotate(t, s, g, g.RefreshHash, "next"); err != nil {
		t.Errorf("a rotation that was cut off counts as one: %v", err)
	}
}

// A server that accepts and says nothing is as good as gone, after a while.
func TestASilentPostgreSQLIsAnOutage(t *testing.T) {
	c, w := throughWire(t)
	c.Timeout = 300 * time.Millisecond
	s := connect(t, c)
	u := someone(t, s)
	w.silent.Store(true)
	_, err := s.Person(t.Context(), u.ID)
	wantFault(t, err, fault.Unavailable, "database_unavailable")
	err = s.Change(t.Context(), func(tx identity.Tx) error { return tx.AddOrganisation(organisation("new")) })
	wantFault(t, err, fault.Unavailable, "database_unavailable")
	w.silent.Store(false)
	must(t, eventually(func() error { _, err := s.Person(t.Context(), u.ID); return err }))
}

// An administrator's restart: every backend is told to go, also in the middle of
// a change.
func TestTerminatedBackendsAreReplaced(t *testing.T) {
	c := storetest.Config(t, store.Postgres)
	s := connect(t, c)
	u := someone(t, s)
	admin := raw(t, c)
	kill := func() {
		_, err := admin.ExecContext(t.Context(), "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()")
		must(t, err)
	}
	for _, err := range race(8, func(int) error { return s.Ping(t.Context()) }) { // open the whole pool
		must(t, err)
	}
	kill()
	must(t, eventually(func() error { _, err := s.Person(t.Context(), u.ID); return err }))
	must(t, s.Change(t.Context(), func(tx identity.Tx) error { return tx.NoteSignIn(u.ID) }))

	err := s.Change(t.Context(), func(tx identity.Tx) error {
		must(t, tx.AddOrganisation(organisation("lost")))
		kill()
		return tx.AddOrganisation(organisation("lost2"))
	})
	wantFault(t, err, fault.Unavailable, "database_unavailable")
	must(t, eventually(func() error { return s.Ping(t.Context()) }))
	_, err = s.Organisation(t.Context(), "lost")
	wantFault(t, err, fault.NotFound, "organisation_not_found")
}

// eventually tries until f works, for some seconds. Meanwhile f may only find the
// database out of reach.
func eventually(f func() error) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for {
		err := f()
		if err == nil || !fault.Is(err, fault.Unavailable) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(errors.New("it did not come back"), err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}
