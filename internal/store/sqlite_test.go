package store_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/store"
	"github.com/portti-id/portti/internal/storetest"
)

// Another process may hold the file for longer than anybody wants to wait, as a
// backup may. Reading goes on, and writing comes back.
func TestAFileThatAnotherHoldsIsAnOutageForWriters(t *testing.T) {
	c := storetest.Config(t, store.SQLite)
	c.Timeout = 200 * time.Millisecond
	s := connect(t, c)
	u := someone(t, s)
	holder, err := raw(t, c).Conn(t.Context())
	must(t, err)
	defer holder.Close() // a test's connection
	_, err = holder.ExecContext(t.Context(), "begin immediate")
	must(t, err)

	note := func() error {
		return s.Change(t.Context(), func(tx identity.Tx) error { return tx.NoteSignIn(u.ID) })
	}
	wantFault(t, note(), fault.Unavailable, "database_unavailable")
	person(t, s, u.ID)
	_, err = holder.ExecContext(t.Context(), "rollback")
	must(t, err)
	must(t, note())
}

// What was committed is on the disk when Change returns (docs/adr/0010).
func TestSQLiteIsSetUpToLast(t *testing.T) {
	s := connect(t, store.Config{Path: filepath.Join(t.TempDir(), "portti.db")}) // storetest's file is in WAL mode already
	addOrganisation(t, s, "tax")
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1"} {
		if got := store.Pragma(t.Context(), s, pragma); got != want {
			t.Errorf("%s is %s, want %s", pragma, got, want)
		}
	}
}
