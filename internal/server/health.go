package server

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// readyWithin bounds what a probe waits for the backends.
const readyWithin = 2 * time.Second

// health adds the probes: /healthz says that the process answers, /readyz that
// it can sign people in. Neither tells anything about the inside.
func (s *Server) health(mux *http.ServeMux) {
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { probe(w, map[string]bool{"process": true}) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) { probe(w, s.ready(r.Context())) })
}

// ready asks both backends at once, so that the silence of one is not taken for
// that of the other. Responders that say whether cards were revoked are not
// asked: every other replica would hear the same, passwords work without them,
// and so do cards as long as there are lists.
func (s *Server) ready(ctx context.Context) map[string]bool {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	var database, ephemeral bool
	var both sync.WaitGroup
	both.Go(func() { database = s.deps.Store.Ping(ctx) == nil })
	both.Go(func() { ephemeral = s.deps.Ephemeral.Ping(ctx) == nil })
	both.Wait()
	return map[string]bool{"database": database, "ephemeral": ephemeral}
}

func probe(w http.ResponseWriter, parts map[string]bool) {
	status := http.StatusOK
	for _, ok := range parts {
		if !ok {
			status = http.StatusServiceUnavailable
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(parts) // whoever asked is gone: nobody to tell
}

// outageLasts is what clients are told to wait when nothing better is known: a
// database or Redis that fails over is back within seconds.
const outageLasts = 5 * time.Second

// tellWhen adds Retry-After to every 503 that lacks it, whichever room gave it
// (RFC 9110 §15.6.4).
func tellWhen(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(&telling{w}, r)
	})
}

type telling struct{ http.ResponseWriter }

func (t *telling) WriteHeader(status int) {
	if h := t.Header(); status == http.StatusServiceUnavailable && h.Get("Retry-After") == "" {
		h.Set("Retry-After", strconv.Itoa(int(outageLasts.Seconds())))
	}
	t.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (t *telling) Unwrap() http.ResponseWriter { return t.ResponseWriter }
