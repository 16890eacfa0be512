package store_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/store"
	"github.com/portti-id/portti/internal/storetest"
)

// BenchmarkEvent is what an event costs with its MAC and its place in the queue,
// beside a bare row of the same shape in a table without either.
func BenchmarkEvent(b *testing.B) {
	e := audit.Event{At: noon, Type: audit.SignInSucceeded, Actor: "user:u1", User: "u1", Organisation: "tax", Client: "rp", Session: "sid", Method: "card", Address: "192.0.2.1"}
	for _, driver := range storetest.Drivers {
		b.Run(driver, func(b *testing.B) {
			c := storetest.Config(b, driver)
			s, db := connect(b, c), raw(b, c)
			_, err := db.Exec("create table bare_events as select at, type, actor, user_id, organisation, client, session_id, method, reason, address from audit_events where 1 = 0")
			must(b, err)
			b.Cleanup(func() {
				_, err := db.Exec("drop table bare_events")
				must(b, err)
			})
			statement := "insert into bare_events values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
			var at any = noon
			if driver == store.SQLite {
				at, statement = noon.UnixMicro(), strings.ReplaceAll(statement, "$", "?")
			}
			b.Run("event", func(b *testing.B) {
				defer reportCPU(b)()
				for b.Loop() {
					must(b, s.Record(b.Context(), e))
				}
			})
			b.Run("bare", func(b *testing.B) {
				defer reportCPU(b)()
				for b.Loop() {
					_, err := db.Exec(statement, at, string(e.Type), e.Actor, e.User, e.Organisation, e.Client, e.Session, e.Method, e.Reason, e.Address)
					must(b, err)
				}
			})
			b.Run("mac", func(b *testing.B) {
				for b.Loop() {
					storetest.Marker.MAC(audit.Entry{Nonce: "ABCDEFGHIJKLMNOPQRSTUVWXYZ", Event: e}.Canonical())
				}
			})
		})
	}
}

// BenchmarkStatistics reads a month, and all of it, from five years of days of a
// twenty organisations.
func BenchmarkStatistics(b *testing.B) {
	const days, organisations = 1826, 20
	types := []audit.Type{audit.SignInSucceeded, audit.SignInRefused}
	for _, driver := range storetest.Drivers {
		b.Run(driver, func(b *testing.B) {
			c := storetest.Config(b, driver)
			s, db := connect(b, c), raw(b, c)
			statement := "insert into audit_daily (organisation, day, type, method, reason, events) values ($1, $2, 'signin.succeeded', 'card', '', 7), ($1, $2, 'signin.succeeded', 'app', '', 7), ($1, $2, 'signin.refused', 'password', 'wrong_password', 7)"
			if driver == store.SQLite {
				statement = strings.ReplaceAll(statement, "$", "?")
			}
			tx, err := db.Begin()
			must(b, err)
			for d := range days {
				day := noon.AddDate(0, 0, -d).Format(time.DateOnly)
				for o := range organisations + 1 {
					organisation := fmt.Sprint("org", o)
					if o == organisations {
						organisation = "*"
					}
					_, err := tx.Exec(statement, organisation, day)
					must(b, err)
				}
			}
			must(b, tx.Commit())
			for name, span := range map[string]int{"month": 30, "five years": days} {
				b.Run(name, func(b *testing.B) {
					defer reportCPU(b)()
					for b.Loop() {
						counts, err := s.Statistics(b.Context(), "", noon.AddDate(0, 0, 1-span), noon, types)
						if err != nil || len(counts) != 3*span {
							b.Fatalf("%d counts: %v", len(counts), err)
						}
					}
				})
			}
		})
	}
}
