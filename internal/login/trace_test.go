package login

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/ephemeral"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/session"
	"github.com/portti-id/portti/internal/store"
	"github.com/portti-id/portti/internal/storetest"
	"github.com/portti-id/portti/internal/throttle"
	"github.com/portti-id/portti/internal/trace"
	"github.com/portti-id/portti/templates"
)

// noted is what f notes.
func noted(t *testing.T, f func(ctx context.Context)) []trace.Entry {
	t.Helper()
	b := &trace.Book{Now: time.Now}
	ctx, _ := b.Begin(t.Context())
	f(ctx)
	return trace.All(ctx, nil)
}

// asks are the steps whose pages say why they are asked.
var asks = []Step{AskCode, AskCodeFirst, ChangePassword, ChangeProved, UseCard}

// Every way of the table leaves one line in the trace, and the line has its words for
// each of three readers in each language: the person, on the page that it leads to and
// in the list of their sign-ins; the help desk; the makers of the service.
func TestEveryStepLeavesALineForThreeReaders(t *testing.T) {
	texts := must[*templates.Texts](t)(templates.Load())
	ways := 0
	for from, events := range next {
		for e, to := range events {
			ways++
			f := Flow{Step: from, Level: string(session.Full), Method: identity.MethodApp}
			var g Flow
			lines := noted(t, func(ctx context.Context) { g = must[Flow](t)(step(ctx, f, e, identity.Person{})) })
			if len(lines) != 1 || g.Step != to {
				t.Errorf("%s at %s leads to %s and leaves %+v", e, from, g.Step, lines)
				continue
			}
			readable(t, texts, lines[0], to)
		}
	}
	for _, e := range []Event{"session_card", "session_code"} { // of begin, which no step comes before
		readable(t, texts, noted(t, func(ctx context.Context) { stepped(ctx, Flow{}, e, identity.Person{}) })[0], AskCode)
		ways++
	}
	if ways < 25 {
		t.Errorf("only %d ways", ways)
	}
	// What the table does not have is neither done nor noted.
	if lines := noted(t, func(ctx context.Context) {
		if _, err := step(ctx, Flow{Step: Finished}, CodeProved, identity.Person{}); err == nil {
			t.Error("a finished sign-in goes on")
		}
	}); len(lines) != 0 {
		t.Errorf("%+v", lines)
	}
}

func readable(t *testing.T, texts *templates.Texts, e trace.Entry, to Step) {
	t.Helper()
	keys := []string{"trace.says." + string(e.What) + "." + e.Code} // the person's list, and the help desk
	if slices.Contains(asks, to) {
		keys = append(keys, "trace.why."+e.Code) // the page
	}
	if e.What == trace.Stepped { // that a session began, the service hears by its code
		lines := trace.Protocol([]trace.Entry{e})
		if len(lines) != 1 || lines[0].Word.Explain() == "" {
			t.Fatalf("the service's makers read %+v of %s", lines, e.Code)
		}
		keys = append(keys, "doctor.why."+string(lines[0].Word))
	}
	for _, key := range keys {
		for _, lang := range templates.Languages {
			if text, err := texts.Lookup(lang, key, "service", "S"); err != nil || text == "" {
				t.Errorf("%s in %s: %v", key, lang, err)
			}
		}
	}
}

// Nothing moves a flow but step: what it does not note cannot happen.
func TestNothingMovesAFlowUnseen(t *testing.T) {
	moves := 0
	for _, name := range must[[]string](t)(filepath.Glob("*.go")) {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file := must[*ast.File](t)(parser.ParseFile(token.NewFileSet(), name, nil, 0))
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			ast.Inspect(f, func(n ast.Node) bool {
				if c, ok := n.(*ast.CallExpr); ok {
					if s, ok := c.Fun.(*ast.SelectorExpr); ok && s.Sel.Name == "after" {
						moves++
						if f.Name.Name != "step" {
							t.Errorf("%s moves a flow", f.Name.Name)
						}
					}
				}
				return true
			})
		}
	}
	if moves != 1 {
		t.Errorf("%d places move a flow", moves)
	}
}

// What a sign-in notes rides with the flow: traces cost it no round trip of their own
// but the one that keeps them, behind its back.
func TestTracesCostASignInNoRoundTrip(t *testing.T) {
	count := func(traced bool) (verbs, kept int64) {
		b, e, s := costly(t)
		var book *trace.Book
		if traced {
			book = &trace.Book{Store: s, Throttle: &throttle.Throttle{Store: ephemeral.NewMemory(b.now)}, Now: b.now}
		}
		id := b.settled("matti", identity.AllMethods...)
		b.withApp(id)
		e.n.Store(0)
		b.signIn(book, id)
		return e.n.Load(), s.n.Load()
	}
	without, _ := count(false)
	with, kept := count(true)
	if with != without || without == 0 || kept != 1 {
		t.Errorf("%d round trips with traces, %d without; %d statements", with, without, kept)
	}
}

// BenchmarkTraces compares a whole sign-in by password and code with and without
// traces, kept at once as the queue's writer would. The password's hash is as cheap as
// can be: what is left is the sign-in itself.
func BenchmarkTraces(b *testing.B) {
	for _, traced := range []bool{false, true} {
		name := "without"
		if traced {
			name = "with"
		}
		b.Run(name, func(b *testing.B) {
			house, e, s := costly(b)
			var book *trace.Book
			if traced {
				book = &trace.Book{Store: s, Throttle: house.Throttle, Now: house.now}
				go book.Run(b.Context())
			}
			id := house.settled("matti", identity.AllMethods...)
			house.withApp(id)
			e.n.Store(0)
			b.ResetTimer()
			for b.Loop() {
				house.signIn(book, id)
				b.StopTimer()
				house.add(31 * time.Second) // a fresh code
				b.StartTimer()
			}
			b.ReportMetric(float64(e.n.Load())/float64(b.N), "verbs/op")
			b.ReportMetric(float64(s.n.Load())/float64(b.N), "statements/op")
		})
	}
}

// signIn takes each step as a request of its own.
func (b *bench) signIn(book *trace.Book, id identity.UserID) {
	d := demand("tx-" + b.now().String())
	request := func(f func(ctx context.Context) error) {
		b.t.Helper()
		ctx, notes := book.Begin(b.t.Context())
		trace.In(ctx, d.TX, d.Client)
		if err := f(ctx); err != nil {
			b.t.Fatal(err)
		}
		book.Keep(ctx, notes, "AAAAAAAA", netip.Addr{})
	}
	code := b.code(id, 0)
	request(func(ctx context.Context) error { _, err := b.Start(ctx, d, nil); return err })
	request(func(ctx context.Context) error { _, err := b.Password(ctx, d, "matti", ownPassword); return err })
	request(func(ctx context.Context) error { _, err := b.Code(ctx, d, code); return err })
	request(func(ctx context.Context) error { _, err := b.Finish(ctx, d, nil); return err })
}

// costly is a bench on SQLite and memory that counts the ephemeral verbs, and the
// statements that keep traces.
func costly(t testing.TB) (*bench, *countedVerbs, *countedTraces) {
	t.Helper()
	db := storetest.Open(t, store.SQLite)
	memory := ephemeral.NewMemory(time.Now)
	t.Cleanup(func() { _ = memory.Close() })
	e := &countedVerbs{Store: memory}
	return newBench(t, db, e), e, &countedTraces{Store: db}
}

type countedTraces struct {
	trace.Store
	n atomic.Int64
}

func (c *countedTraces) AddTraces(ctx context.Context, legs []trace.Leg) error {
	c.n.Add(1)
	return c.Store.AddTraces(ctx, legs)
}

type countedVerbs struct {
	ephemeral.Store
	n atomic.Int64
}

func (c *countedVerbs) Put(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	c.n.Add(1)
	return c.Store.Put(ctx, key, value, ttl)
}

func (c *countedVerbs) Get(ctx context.Context, key string) ([]byte, error) {
	c.n.Add(1)
	return c.Store.Get(ctx, key)
}

func (c *countedVerbs) Take(ctx context.Context, key string) ([]byte, error) {
	c.n.Add(1)
	return c.Store.Take(ctx, key)
}

func (c *countedVerbs) Swap(ctx context.Context, key string, value []byte, ttl time.Duration) ([]byte, error) {
	c.n.Add(1)
	return c.Store.Swap(ctx, key, value, ttl)
}

func (c *countedVerbs) Add(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	c.n.Add(1)
	return c.Store.Add(ctx, key, value, ttl)
}

func (c *countedVerbs) Replace(ctx context.Context, key string, old, value []byte, ttl time.Duration) error {
	c.n.Add(1)
	return c.Store.Replace(ctx, key, old, value, ttl)
}

func (c *countedVerbs) Delete(ctx context.Context, key string) error {
	c.n.Add(1)
	return c.Store.Delete(ctx, key)
}

func (c *countedVerbs) Increment(ctx context.Context, key string, window time.Duration) (int64, time.Duration, error) {
	c.n.Add(1)
	return c.Store.Increment(ctx, key, window)
}

func (c *countedVerbs) Count(ctx context.Context, key string) (int64, time.Duration, error) {
	c.n.Add(1)
	return c.Store.Count(ctx, key)
}
