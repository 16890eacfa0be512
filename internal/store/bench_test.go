package store_test

import (
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/store"
	"github.com/portti-id/portti/internal/storetest"
)

// bench runs f over both databases, one caller at a time and several. Besides the
// wall clock it tells our share of the processor, which a busy machine changes
// less; PostgreSQL's own is not in it.
func bench(b *testing.B, f func(b *testing.B, s *store.Store, u identity.User) func() error) {
	for _, driver := range storetest.Drivers {
		b.Run(driver, func(b *testing.B) {
			s := connect(b, storetest.Config(b, driver))
			u := someone(b, s)
			op := f(b, s, u)
			b.Run("c=1", func(b *testing.B) {
				defer reportCPU(b)()
				for b.Loop() {
					must(b, op())
				}
			})
			b.Run("c=8", func(b *testing.B) {
				defer reportCPU(b)()
				b.SetParallelism(4) // times GOMAXPROCS
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if err := op(); err != nil {
							b.Error(err)
							return
						}
					}
				})
			})
		})
	}
}

func reportCPU(b *testing.B) func() {
	used := func() time.Duration {
		var u syscall.Rusage
		must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := used()
	return func() { b.ReportMetric(float64((used()-before).Microseconds())/float64(b.N), "cpu-µs/op") }
}

func BenchmarkIssue(b *testing.B) {
	bench(b, func(b *testing.B, s *store.Store, u identity.User) func() error {
		return func() error {
			g, at := grant(u, "rp", "sid")
			return s.Issue(b.Context(), g, at)
		}
	})
}

func BenchmarkRotate(b *testing.B) {
	bench(b, func(b *testing.B, s *store.Store, u identity.User) func() error {
		waiting := make(chan openid.Grant, 64)
		for range cap(waiting) {
			g, _ := issue(b, s, u, "rp", "sid")
			waiting <- g
		}
		return func() error {
			g := <-waiting
			at := token(g)
			g, err := s.Rotate(b.Context(), openid.Rotation{Grant: g.ID, Client: g.Client, OldHash: g.RefreshHash, NewHash: "next-" + at.Hash}, at, noon)
			waiting <- g
			return err
		}
	})
}

func BenchmarkToken(b *testing.B) {
	bench(b, func(b *testing.B, s *store.Store, u identity.User) func() error {
		_, at := issue(b, s, u, "rp", "sid")
		return func() error {
			_, _, err := s.Token(b.Context(), at.Hash, noon)
			return err
		}
	})
}

func BenchmarkPerson(b *testing.B) {
	bench(b, func(b *testing.B, s *store.Store, u identity.User) func() error {
		addAuthenticator(b, s, u.ID)
		return func() error {
			_, err := s.Person(b.Context(), u.ID)
			return err
		}
	})
}

func BenchmarkAccount(b *testing.B) {
	bench(b, func(b *testing.B, s *store.Store, u identity.User) func() error {
		return func() error {
			_, err := s.Account(b.Context(), u.ID)
			return err
		}
	})
}

func BenchmarkUseStep(b *testing.B) {
	bench(b, func(b *testing.B, s *store.Store, u identity.User) func() error {
		a := addAuthenticator(b, s, u.ID)
		var step atomic.Int64
		step.Store(a.LastStep)
		return func() error {
			return s.Change(b.Context(), func(tx identity.Tx) error {
				_, err := tx.UseStep(a.ID, step.Add(1), 0)
				return err
			})
		}
	})
}
