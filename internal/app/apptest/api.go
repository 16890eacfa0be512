package apptest

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/portti-id/portti/pkg/portti"
)

// Call is what an app asked the API for.
type Call struct {
	Operation string // "POST /api/v1/clients?dry_run=true"
	Header    http.Header
	Body      string
}

// API is the provider's, as far as a test has said what it answers. An operation
// that it has not heard of fails the test.
type API struct {
	T testing.TB

	mu      sync.Mutex
	answers map[string]func(c Call) any
	calls   []Call
	tokens  []string // that were shown
	down    bool
}

// Answer has an operation, such as "GET /api/v1/staff", answer with a value as
// JSON, with nothing (nil), or with a refusal (*portti.Error). The query of a call
// need not be named.
func (a *API) Answer(operation string, value any) {
	a.Do(operation, func(Call) any { return value })
}

// Do has an operation answer what f says.
func (a *API) Do(operation string, f func(c Call) any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.answers == nil {
		a.answers = map[string]func(c Call) any{}
	}
	a.answers[operation] = f
}

// Refuse has an operation refused, in words that no page may show.
func (a *API) Refuse(operation string, status int, code string) {
	a.Answer(operation, &portti.Error{Status: status, Code: code, Detail: "RAW WORDS OF THE API"})
}

// Down has nothing answer, or everything again.
func (a *API) Down(down bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.down = down
}

// Calls is what was asked of an operation so far; its query need not be named.
func (a *API) Calls(operation string) []Call {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(a.calls), func(c Call) bool { return c.Operation != operation && bare(c.Operation) != operation })
}

// Changes is every call that was no GET.
func (a *API) Changes() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []string
	for _, c := range a.calls {
		if !strings.HasPrefix(c.Operation, "GET ") {
			all = append(all, c.Operation)
		}
	}
	return all
}

// Tokens are the access tokens that were shown.
func (a *API) Tokens() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.tokens)
}

func bare(operation string) string {
	operation, _, _ = strings.Cut(operation, "?")
	return operation
}

func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || token == "" {
		a.T.Errorf("%s without an access token", r.URL)
	}
	call := Call{Operation: r.Method + " " + r.URL.RequestURI(), Header: r.Header}
	if r.Body != nil {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			a.T.Errorf("%s: %v", call.Operation, err)
		}
		call.Body = string(body)
	}
	a.mu.Lock()
	a.calls, a.tokens = append(a.calls, call), append(a.tokens, token)
	answer, known := a.answers[call.Operation]
	if !known {
		answer, known = a.answers[bare(call.Operation)]
	}
	down := a.down
	a.mu.Unlock()
	switch {
	case down:
		http.Error(w, "down", http.StatusBadGateway)
		return
	case !known:
		a.T.Errorf("the API has no %s", call.Operation)
		http.Error(w, "no such operation", http.StatusNotFound)
		return
	}
	switch value := answer(call).(type) {
	case nil:
		w.WriteHeader(http.StatusNoContent)
	case *portti.Error:
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(value.Status)
		_ = json.NewEncoder(w).Encode(value)
	default:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(value)
	}
}
