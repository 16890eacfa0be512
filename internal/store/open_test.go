package store_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/store"
	"github.com/portti-id/portti/internal/storetest"
)

// eachEmpty gives a database without any table, of both kinds.
func eachEmpty(t *testing.T, f func(t *testing.T, c store.Config)) {
	t.Run(store.SQLite, func(t *testing.T) { f(t, store.Config{Path: filepath.Join(t.TempDir(), "new ?#%.db")}) })
	t.Run(store.Postgres, func(t *testing.T) { f(t, storetest.EmptyPostgres(t)) })
}

func TestOpenMakesTheSchemaOnce(t *testing.T) {
	eachEmpty(t, func(t *testing.T, c store.Config) {
		s := connect(t, c)
		o := addOrganisation(t, s, "tax")
		must(t, s.Migrate(t.Context()))
		again := connect(t, c)
		c.NoMigrations = true
		for _, s := range []*store.Store{again, connect(t, c)} {
			if got, err := s.Organisation(t.Context(), o.ID); err != nil || got.Name != o.Name {
				t.Errorf("got %+v, %v", got, err)
			}
		}
	})
}

func TestManyReplicasMayStartOnAnEmptyDatabase(t *testing.T) {
	eachEmpty(t, func(t *testing.T, c store.Config) {
		c.MaxConns = 2
		errs := race(8, func(int) error {
			s, err := store.Open(t.Context(), c, store.Deps{Seal: storetest.Seal, Marker: storetest.Marker})
			if err != nil {
				return err
			}
			return errors.Join(s.Ping(t.Context()), s.Close())
		})
		for _, err := range errs {
			if err != nil {
				t.Error(err)
			}
		}
		addOrganisation(t, connect(t, c), "tax")
	})
}

func TestOpenWithoutMigrationsWantsThemDone(t *testing.T) {
	eachEmpty(t, func(t *testing.T, c store.Config) {
		c.NoMigrations = true
		if _, err := store.Open(t.Context(), c, store.Deps{Seal: storetest.Seal, Marker: storetest.Marker}); err == nil || !strings.Contains(err.Error(), "schema") {
			t.Errorf("got %v", err)
		}
	})
}

func TestTheTemporaryDatabaseLeavesNothing(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	s, err := store.Open(t.Context(), store.Config{Path: store.Temporary}, store.Deps{Seal: storetest.Seal, Marker: storetest.Marker})
	must(t, err)
	addOrganisation(t, s, "tax")
	_, err = s.Organisation(t.Context(), "tax")
	must(t, err)
	must(t, s.Close())
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) != 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

func TestTheDatabaseFileIsItsOwnersAlone(t *testing.T) {
	c := store.Config{Path: filepath.Join(t.TempDir(), "portti.db")} // storetest would have made it
	addOrganisation(t, connect(t, c), "tax")
	for _, file := range []string{c.Path, c.Path + "-wal", c.Path + "-shm"} {
		info, err := os.Stat(file)
		must(t, err)
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s is %v", file, info.Mode())
		}
	}
}

// Each mistake is told with the setting to look at, and without the password.
func TestOpenSaysWhichSettingIsWrong(t *testing.T) {
	const secret = "hunter2secret"
	free, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	_, port, err := net.SplitHostPort(free.Addr().String())
	must(t, err)
	must(t, free.Close())
	for name, test := range map[string]struct {
		config  store.Config
		setting string
		outage  bool
	}{
		"driver":        {store.Config{Driver: "oracle"}, "database.driver", false},
		"no path":       {store.Config{}, "database.path", false},
		"no directory":  {store.Config{Path: "/nowhere/at/all.db"}, "database.path", true},
		"a directory":   {store.Config{Path: t.TempDir()}, "database.path", true},
		"no dsn":        {store.Config{Driver: store.Postgres}, "database.dsn", false},
		"not a dsn":     {store.Config{Driver: store.Postgres, DSN: "postgres://portti:" + secret + "@host:port/x"}, "database.dsn", false},
		"odd dsn":       {store.Config{Driver: store.Postgres, DSN: "postgres://portti:" + secret + "@ho st/%zz"}, "database.dsn", false},
		"bad sslmode":   {store.Config{Driver: store.Postgres, DSN: "host=h password=" + secret + " sslmode=perhaps"}, "database.dsn", false},
		"nobody there":  {store.Config{Driver: store.Postgres, DSN: "postgres://portti:" + secret + "@127.0.0.1:" + port + "/x?sslmode=disable"}, "database.dsn", true},
		"with password": {store.Config{Driver: store.Postgres, DSN: "postgres://portti@127.0.0.1:" + port + "/x?sslmode=disable", Password: secret}, "database.dsn", true},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := store.Open(t.Context(), test.config, store.Deps{Seal: storetest.Seal, Marker: storetest.Marker})
			if err == nil {
				t.Fatal("it opened")
			}
			if !strings.Contains(err.Error(), test.setting) || strings.Contains(err.Error(), secret) {
				t.Errorf("got %q, want the setting %s and no secret", err, test.setting)
			}
			f, _ := fault.Of(err)
			if test.outage != fault.Is(err, fault.Unavailable) || test.outage && (f.Code != "database_unavailable" || f.Field != test.setting || strings.Contains(f.Message, secret)) {
				t.Errorf("got the fault %+v", f)
			}
		})
	}
	if _, err := store.Open(t.Context(), store.Config{Path: store.Temporary}, store.Deps{}); err == nil {
		t.Error("a store without Seal opened")
	}
}

func TestOpenTellsOfADatabaseThatIsNotThere(t *testing.T) {
	c := storetest.Config(t, store.Postgres)
	c.DSN = strings.Replace(c.DSN, "portti_test_", "portti_gone_", 1)
	_, err := store.Open(t.Context(), c, store.Deps{Seal: storetest.Seal, Marker: storetest.Marker})
	if !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "portti_gone_") {
		t.Errorf("got %v", err)
	}
}

func TestPing(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		must(t, s.Ping(t.Context()))
		ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
		defer cancel()
		<-ctx.Done()
		wantFault(t, s.Ping(ctx), fault.Unavailable, "database_unavailable")
	})
}

// Of two changes that were made side by side the one with the higher number may
// be merged first: the other's file is not passed over.
func TestALateMigrationIsApplied(t *testing.T) {
	eachEmpty(t, func(t *testing.T, c store.Config) {
		s := connect(t, c)
		for _, sql := range []string{"drop table secrets", "delete from goose_db_version where version_id = 4",
			"insert into goose_db_version (version_id, is_applied) values (9999, true)"} {
			must(t, store.Exec(t.Context(), s, sql))
		}
		late := c
		late.NoMigrations = true
		if _, err := store.Open(t.Context(), late, store.Deps{Seal: storetest.Seal, Marker: storetest.Marker}); err == nil || !strings.Contains(err.Error(), "schema") {
			t.Errorf("a schema with a gap was taken for a new one: %v", err)
		}
		stored, err := connect(t, c).Keys().KeepSecret(t.Context(), "a", "sealed")
		if err != nil || stored != "sealed" {
			t.Errorf("got %q, %v", stored, err)
		}
	})
}
