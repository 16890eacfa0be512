package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
)

// openPostgres opens a pool whose connections stay open: as many idle as open
// ones, or a busy server forks a backend every few transactions.
//
// GORM's PrepareStmt stays off: pgx prepares each statement once a connection
// by itself, while database/sql would prepare and drop it anew in each
// transaction, which are two more round trips (docs/adr/0010).
func (s *Store) openPostgres(ctx context.Context, c Config) error {
	if c.DSN == "" {
		return errors.New("database.dsn: say where PostgreSQL is: postgres://user@host:5432/name?sslmode=verify-full")
	}
	config, err := pgx.ParseConfig(c.DSN)
	if err != nil {
		return fmt.Errorf("database.dsn: %w", redacted(err))
	}
	if c.Password != "" {
		config.Password = c.Password
	}
	config.ConnectTimeout = cmp.Or(config.ConnectTimeout, 5*time.Second)
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "portti"
	}
	pool := stdlib.OpenDB(*config, stdlib.OptionAfterConnect(plainPlans))
	s.postgres, s.pools = true, append(s.pools, pool)
	conns := cmp.Or(c.MaxConns, 16)
	pool.SetMaxOpenConns(conns)
	pool.SetMaxIdleConns(conns)

	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	if err := pool.PingContext(ctx); err != nil {
		return unreachable("database.dsn", fmt.Sprintf("PostgreSQL at %s:%d does not let %q in to database %q.", config.Host, config.Port, config.User, config.Database), err)
	}
	s.write, err = gorm.Open(postgres.New(postgres.Config{Conn: pool}), gormConfig(false))
	s.read = s.write
	return err
}

// redacted is a complaint about a connection string without the string: a
// password in a malformed one is not found by those who look for it to hide it.
func redacted(err error) error {
	var parse *pgconn.ParseConfigError
	if !errors.As(err, &parse) {
		return errors.New("not a PostgreSQL connection string")
	}
	shown := *parse
	shown.ConnString = "(the connection string)"
	return errors.New(shown.Error())
}

// plainPlans has statements run as they are planned: to compile one (jit) takes
// several times as long as the largest of ours. Not a parameter of the connection:
// poolers in between refuse those that they do not know.
func plainPlans(ctx context.Context, c *pgx.Conn) error {
	_, err := c.Exec(ctx, "set jit = off")
	return err
}
