// Package apptest runs an app before a provider that signs in whom the test says
// (rptest), and an API that answers what the test says; and is the browser that
// goes there.
//
//	apptest.go    Kit: app, provider, clock, log
//	api.go        API: the provider's JSON API, answer by answer
//	browser.go    Browser and Page
package apptest

import (
	"bytes"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portti-id/portti/pkg/rp/rptest"
)

// Kit is an app that runs.
type Kit struct {
	T   testing.TB
	URL string
	OP  *rptest.Provider
	Log *Buffer

	late atomic.Int64 // how far our clocks are ahead of the machine's
}

// New listens and makes a provider; Serve starts the app there.
func New(t testing.TB) (*Kit, func(h http.Handler)) {
	t.Helper()
	k := &Kit{T: t, OP: rptest.New(t), Log: &Buffer{}}
	k.OP.Set(func(s *rptest.Script) { s.Now = k.Now })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	k.URL = "http://" + l.Addr().String()
	return k, func(h http.Handler) {
		server := &http.Server{Handler: h, ReadHeaderTimeout: time.Second}
		go func() { _ = server.Serve(l) }()
		t.Cleanup(func() { _ = server.Close() })
	}
}

// Now is the time of app and provider.
func (k *Kit) Now() time.Time { return time.Now().Add(time.Duration(k.late.Load())) }

// Later lets time pass.
func (k *Kit) Later(d time.Duration) { k.late.Add(int64(d)) }

// Logger writes all there is to log.
func (k *Kit) Logger() *slog.Logger {
	return slog.New(slog.NewJSONHandler(k.Log, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// Client sends calls of the API to api, and all else to the provider.
func Client(api http.Handler) *http.Client { return &http.Client{Transport: split{api}} }

type split struct{ api http.Handler }

func (s split) RoundTrip(r *http.Request) (*http.Response, error) {
	if !strings.HasPrefix(r.URL.Path, "/api/") {
		return http.DefaultTransport.RoundTrip(r)
	}
	w := httptest.NewRecorder()
	s.api.ServeHTTP(w, r)
	return w.Result(), nil
}

// Buffer takes log lines of several goroutines.
type Buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *Buffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *Buffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
