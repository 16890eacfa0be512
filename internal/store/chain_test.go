package store_test

import (
	"context"
	"crypto/ed25519"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/store"
	"github.com/portti-id/portti/internal/storetest"
)

var auditKey = ed25519.NewKeyFromSeed([]byte(strings.Repeat("k", ed25519.SeedSize)))

func sealer(s *store.Store) *audit.Sealer {
	return &audit.Sealer{Chain: s, Key: auditKey, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
}

// walk reads the whole chain and checks every link with nothing but the definition.
func walk(t testing.TB, s *store.Store) []audit.Entry {
	t.Helper()
	state, err := s.TrailState(t.Context())
	must(t, err)
	entries, link := []audit.Entry{}, state.Removed.Link
	for e, err := range s.Entries(t.Context(), state.Removed.Sequence+1, state.End.Sequence) {
		must(t, err)
		if want := state.Removed.Sequence + int64(len(entries)) + 1; e.Sequence != want {
			t.Fatalf("place %d is %d", want, e.Sequence)
		}
		if link = audit.LinkOf(link, e.Sequence, e.Mark, e.Content()); link != e.Link {
			t.Fatalf("the link of %d is another one: %+v", e.Sequence, e)
		}
		entries = append(entries, e)
	}
	if err := state.End.Check(auditKey.Public().(ed25519.PublicKey)); err != nil || len(entries) > 0 && state.End.Link != link {
		t.Errorf("the end is %+v: %v", state.End, err)
	}
	return entries
}

// Whatever an event says, its link is the same when it is read again.
func TestEventsAreSealedAsTheyWere(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		for _, e := range []audit.Event{
			{Type: audit.SignInSucceeded, At: time.Date(2026, 11, 23, 1, 2, 3, 123456789, time.FixedZone("EET", 7200)), Actor: "user:1", User: "1", Details: map[string]string{"b": "2", "a": "<&>\u2028"}},
			{Type: audit.SignInRefused, Client: "wrong\x00pass\xffword", Details: map[string]string{"z\xff": "\x00"}},
			{},
		} {
			must(t, s.Record(t.Context(), e))
		}
		must(t, sealer(s).SealAll(t.Context()))
		entries := walk(t, s)
		if len(entries) != 3 || slices.ContainsFunc(entries, func(e audit.Entry) bool { return e.Mark != audit.Genuine || e.Nonce == "" }) {
			t.Errorf("%+v", entries)
		}
	})
}

// Fifty write while three seal: every event gets one place, and places are those
// of one order that nobody sees change.
func TestSealingWhileFiftyWrite(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		replicas := []*store.Store{connect(t, c)}
		for range 2 {
			if another := replicas[0]; c.Driver == store.Postgres {
				replicas = append(replicas, connect(t, c))
			} else {
				replicas = append(replicas, another) // one process has the file
			}
		}
		const writers, each = 50, 6
		var writing sync.WaitGroup
		var done atomic.Bool
		for w := range writers {
			writing.Go(func() {
				s := replicas[w%len(replicas)]
				for n := range each {
					e := audit.Event{Type: audit.SignInSucceeded, User: fmt.Sprint(w), Session: fmt.Sprint(n), Organisation: "tax", Method: "card"}
					err := s.Change(t.Context(), func(tx identity.Tx) error {
						if err := tx.Record(e); err != nil {
							return err
						}
						if n == 2 {
							return errors.New("given up") // its ID is never there
						}
						return nil
					})
					if (err != nil) != (n == 2) {
						t.Error(err)
					}
				}
			})
		}
		var sealing sync.WaitGroup
		var before []audit.Entry
		for i, s := range replicas {
			sealing.Go(func() {
				seal := sealer(s)
				for !done.Load() {
					if err := seal.SealAll(t.Context()); err != nil {
						t.Error(err)
						return
					}
					if i == 0 && len(before) == 0 {
						before = walk(t, s)
					}
				}
			})
		}
		writing.Wait()
		done.Store(true)
		sealing.Wait()
		must(t, sealer(replicas[0]).SealAll(t.Context()))
		entries := walk(t, replicas[2])
		if len(entries) != writers*(each-1) {
			t.Errorf("%d of %d events are in the chain", len(entries), writers*(each-1))
		}
		for i, e := range before {
			if entries[i].Nonce != e.Nonce {
				t.Errorf("place %d has changed hands", i+1)
			}
		}
		last, nonces := map[string]string{}, map[string]bool{}
		for _, e := range entries {
			if nonces[e.Nonce] {
				t.Errorf("%+v is there twice", e)
			}
			nonces[e.Nonce] = true
			if last[e.User] >= e.Session && last[e.User] != "" {
				t.Errorf("writer %s: %s after %s", e.User, e.Session, last[e.User])
			}
			last[e.User] = e.Session
		}
		counts, err := replicas[0].Statistics(t.Context(), "tax", noon, noon, []audit.Type{audit.SignInSucceeded})
		must(t, err)
		if total := int64(0); true {
			for _, n := range counts {
				total += n.Events
			}
			if total != int64(len(entries)) {
				t.Errorf("statistics tell %d of %d", total, len(entries))
			}
		}
	})
}

// A transaction that began first and commits last is sealed, behind those that
// were sealed meanwhile.
func TestAnEventThatCommitsLateIsNotLeftOut(t *testing.T) {
	c := storetest.Config(t, store.Postgres)
	s := connect(t, c)
	seal := sealer(s)
	must(t, s.Change(t.Context(), func(tx identity.Tx) error {
		must(t, tx.Record(audit.Event{Type: audit.UserCreated, User: "late"}))
		must(t, s.Record(t.Context(), audit.Event{Type: audit.UserCreated, User: "early"}))
		must(t, seal.SealAll(t.Context()))
		if entries := walk(t, s); len(entries) != 1 || entries[0].User != "early" {
			t.Errorf("%+v", entries)
		}
		return nil
	}))
	must(t, seal.SealAll(t.Context()))
	if entries := walk(t, s); len(entries) != 2 || entries[1].User != "late" || entries[1].ID > entries[0].ID {
		t.Errorf("%+v", entries)
	}
}

// Who has the database's password and not the master key is found out when the
// event is sealed.
func TestForgedEventsAreMarked(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		s := connect(t, c)
		for i := range 4 {
			must(t, s.Record(t.Context(), audit.Event{Type: audit.SignInSucceeded, User: fmt.Sprint(i), At: noon}))
		}
		tamper(t, c, "update audit_events set user_id = '7' where user_id = '1'",
			"update audit_events set nonce = '', mac = '' where user_id = '2'",
			"delete from audit_events where user_id = '3'")
		done, err := s.Seal(t.Context(), 10, audit.SealOptions{Key: auditKey})
		must(t, err)
		if !slices.Equal(done.Forged, []int64{2}) || !slices.Equal(done.Unmarked, []int64{3}) || done.Lost != 1 || done.Events != 3 {
			t.Errorf("%+v", done)
		}
		walk(t, s)
	})
}

// Nothing is sealed behind an end that was put there by somebody.
func TestAForgedEndStopsTheSealer(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		s := connect(t, c)
		must(t, s.Record(t.Context(), audit.Event{Type: audit.SignInSucceeded}))
		must(t, sealer(s).SealAll(t.Context()))
		tamper(t, c, "update audit_head set sequence = 5")
		must(t, s.Record(t.Context(), audit.Event{Type: audit.SignedOut}))
		if err := sealer(s).SealAll(t.Context()); !errors.Is(err, audit.ErrForgedEnd) {
			t.Errorf("got %v", err)
		}
		if waiting, err := s.Waiting(t.Context()); err != nil || !waiting {
			t.Errorf("%v, %v", waiting, err)
		}
	})
}

// The retention takes whole beginnings away, and nothing else can.
func TestOldEventsGoAndTheChainStands(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		now := time.Now().Add(-48 * time.Hour)
		s := storetest.Connect(t, c, func(d *store.Deps) { d.Now = func() time.Time { return now } })
		old := sealer(s)
		for range 5 {
			must(t, s.Record(t.Context(), audit.Event{Type: audit.SignInSucceeded, User: "old"}))
		}
		must(t, old.SealAll(t.Context()))
		now = now.Add(47 * time.Hour)
		for range 3 {
			must(t, s.Record(t.Context(), audit.Event{Type: audit.SignInSucceeded, User: "new"}))
		}
		must(t, old.SealAll(t.Context()))
		o := audit.SealOptions{Key: auditKey}
		if m, err := s.RemoveUpTo(t.Context(), now.Add(-240*time.Hour), o); err != nil || !m.IsZero() {
			t.Errorf("nothing is so old: %+v, %v", m, err)
		}
		if n, err := s.DeleteRemoved(t.Context(), 10); err != nil || n != 0 {
			t.Errorf("%d, %v", n, err)
		}
		m, err := s.RemoveUpTo(t.Context(), now.Add(-24*time.Hour), o)
		if err != nil || m.Sequence != 5 || m.Check(auditKey.Public().(ed25519.PublicKey)) != nil {
			t.Fatalf("%+v, %v", m, err)
		}
		for _, want := range []int64{2, 2, 1, 0} {
			if n, err := s.DeleteRemoved(t.Context(), 2); err != nil || n != want {
				t.Errorf("%d, %v", n, err)
			}
		}
		must(t, old.SealAll(t.Context()))
		if entries := walk(t, s); len(entries) != 3 || entries[0].User != "new" || entries[0].Sequence != 6 {
			t.Errorf("%+v", entries)
		}
		db := raw(t, c)
		for _, statement := range []string{"delete from audit_events", "delete from audit_chain", "delete from audit_events where user_id = 'new'", "update audit_chain set mark = 0",
			"delete from audit_checkpoints", "update audit_checkpoints set removed = 9", "delete from audit_removals", "update audit_removals set sequence = 7", "delete from audit_head", "update audit_head set sequence = 1"} {
			if _, err := db.ExecContext(t.Context(), statement); err == nil {
				t.Errorf("%s: no error", statement)
			}
		}
		if entries := walk(t, s); len(entries) != 3 {
			t.Errorf("%+v", entries)
		}
	})
}

// A sealer that runs seals within its second, tells a file of its checkpoints, and
// seals what is left when it stops.
func TestTheSealerRuns(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		seal := sealer(s)
		seal.File = filepath.Join(t.TempDir(), "checkpoints.jsonl")
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { seal.Run(ctx) })
		must(t, s.Record(t.Context(), audit.Event{Type: audit.SignInSucceeded}))
		for waiting := true; waiting; time.Sleep(10 * time.Millisecond) {
			var err error
			waiting, err = s.Waiting(t.Context())
			must(t, err)
		}
		must(t, s.Record(t.Context(), audit.Event{Type: audit.SignedOut}))
		stop()
		running.Wait()
		if entries := walk(t, s); len(entries) != 2 {
			t.Errorf("%+v", entries)
		}
		known, err := audit.ReadCheckpoints(seal.File)
		must(t, err)
		if n := len(known); n == 0 || known[n-1].Sequence != 2 || known[n-1].Check(auditKey.Public().(ed25519.PublicKey)) != nil {
			t.Errorf("%+v", known)
		}
	})
}

// tamper does what somebody does who owns the database.
func tamper(t testing.TB, c store.Config, statements ...string) {
	t.Helper()
	db := raw(t, c)
	db.SetMaxOpenConns(1)
	must(t, withoutTriggers(t.Context(), db, c.Driver, func() error {
		for _, statement := range statements {
			if _, err := db.ExecContext(t.Context(), statement); err != nil {
				return fmt.Errorf("%s: %w", statement, err)
			}
		}
		return nil
	}))
}

func withoutTriggers(ctx context.Context, db *sql.DB, driver string, f func() error) error {
	if driver == store.Postgres {
		for _, table := range []string{"audit_events", "audit_chain", "audit_checkpoints", "audit_removals", "audit_head"} {
			if _, err := db.ExecContext(ctx, "alter table "+table+" disable trigger user"); err != nil {
				return err
			}
			defer db.ExecContext(ctx, "alter table "+table+" enable trigger user") // the lent database is wiped anyhow
		}
		return f()
	}
	rows, err := db.QueryContext(ctx, "select name, sql from sqlite_master where type = 'trigger' and name like 'audit%'")
	if err != nil {
		return err
	}
	triggers := map[string]string{}
	for rows.Next() {
		var name, text string
		if err := rows.Scan(&name, &text); err != nil {
			return err
		}
		triggers[name] = text
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	for name := range triggers {
		if _, err := db.ExecContext(ctx, "drop trigger "+name); err != nil {
			return err
		}
	}
	if err := f(); err != nil {
		return err
	}
	for _, text := range triggers {
		if _, err := db.ExecContext(ctx, text); err != nil {
			return err
		}
	}
	return nil
}
