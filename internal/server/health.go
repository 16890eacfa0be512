package server

import (
	"context"
	"encoding/json"
	"net/http"
	"time"
)

// readyWithin bounds what a probe waits for the backends.
const readyWithin = 2 * time.Second

// health adds the probes: /healthz says that the process answers, /readyz that
// it can sign people in. Neither tells anything about the inside.
func (s *Server) health(mux *http.ServeMux) {
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { probe(w, map[string]bool{"process": true}) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), readyWithin)
		defer cancel()
		probe(w, map[string]bool{"database": s.deps.Store.Ping(ctx) == nil, "ephemeral": s.deps.Ephemeral.Ping(ctx) == nil})
	})
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
	_ = json.NewEncoder(w).Encode(parts)
}
