package rp_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portti-id/portti/pkg/rp"
	"github.com/portti-id/portti/pkg/rp/rptest"
)

// noting is a store that notes what is written into it.
type noting struct {
	*rp.MemoryStore
	mu      sync.Mutex
	written bytes.Buffer
}

func (n *noting) Add(ctx context.Context, key string, r rp.Record) (bool, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.written.WriteString(key)
	n.written.Write(r.Value)
	return n.MemoryStore.Add(ctx, key, r)
}

// onceApp is an application with a page that makes something and one that shows it.
func onceApp(t *testing.T, now func() time.Time) (*app, *noting) {
	t.Helper()
	store := &noting{MemoryStore: &rp.MemoryStore{Now: now}}
	a := start(t, func(c *rp.Config) { c.Store, c.Now = store, now })
	mux := a.Config.Handler.(*http.ServeMux)
	mux.HandleFunc("/make", func(w http.ResponseWriter, r *http.Request) {
		s, err := a.rp.Session(r)
		if err == nil {
			var ticket string
			if ticket, err = s.PutOnce(r.Context(), map[string]string{"password": "CANARY"}, time.Minute); err == nil {
				_, _ = io.WriteString(w, ticket)
				return
			}
		}
		http.Error(w, err.Error(), http.StatusTeapot)
	})
	mux.HandleFunc("/show/{ticket}", func(w http.ResponseWriter, r *http.Request) {
		s, err := a.rp.Session(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusTeapot)
			return
		}
		var made map[string]string
		switch found, err := s.TakeOnce(r.Context(), r.PathValue("ticket"), &made); {
		case err != nil:
			http.Error(w, err.Error(), http.StatusTeapot)
		case !found:
			_, _ = io.WriteString(w, "gone")
		default:
			_, _ = io.WriteString(w, made["password"])
		}
	})
	return a, store
}

func TestOnceIsOnce(t *testing.T) {
	a, store := onceApp(t, nil)
	b := a.browser(t)
	b.get(a.URL + "/records/1")
	ticket, _ := b.get(a.URL + "/make")
	if strings.Contains(ticket, "CANARY") || len(ticket) != 43 {
		t.Fatalf("the ticket is %q", ticket)
	}
	other := a.browser(t)
	other.get(a.URL + "/records/1")
	if got, _ := other.get(a.URL + "/show/" + ticket); got != "gone" {
		t.Errorf("another browser was shown %q", got)
	}
	if written := store.written.String(); strings.Contains(written, "CANARY") || strings.Contains(written, ticket) {
		t.Error("the store sees what is kept, or what opens it")
	}
	for _, wrong := range []string{ticket[1:] + "A", "x", strings.Repeat("A", 43)} {
		if got, _ := b.get(a.URL + "/show/" + wrong); got != "gone" {
			t.Errorf("%q shows %q", wrong, got)
		}
	}
	// Fifty at once: one is shown it.
	var shown sync.Map
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			got, _ := b.get(a.URL + "/show/" + ticket)
			shown.Store(i, got)
		})
	}
	all.Wait()
	count := map[string]int{}
	shown.Range(func(_, got any) bool { count[got.(string)]++; return true })
	if count["CANARY"] != 1 || count["gone"] != 49 {
		t.Errorf("shown %v", count)
	}
}

// What is kept for once ends with its time, and with the session by a logout.
func TestOnceEnds(t *testing.T) {
	var ahead atomic.Int64
	a, _ := onceApp(t, func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) })
	a.op.Set(func(s *rptest.Script) { s.Claims["sub"], s.Claims["sid"] = "user-1", "sid-1" })
	b := a.browser(t)
	b.get(a.URL + "/records/1")
	ticket, _ := b.get(a.URL + "/make")
	ahead.Store(int64(61 * time.Second))
	if got, _ := b.get(a.URL + "/show/" + ticket); got != "gone" {
		t.Errorf("after its time: %q", got)
	}
	ticket, _ = b.get(a.URL + "/make")
	if code := postLogoutToken(t, a, a.op.LogoutToken(map[string]any{"sub": "user-1", "sid": "sid-1"})); code != 200 {
		t.Fatalf("logout: %d", code)
	}
	a.op.Set(func(s *rptest.Script) { s.Claims["sid"] = "sid-2" })
	b.get(a.URL + "/records/1") // signs in anew
	if got, _ := b.get(a.URL + "/show/" + ticket); got != "gone" {
		t.Errorf("in another session: %q", got)
	}
}
