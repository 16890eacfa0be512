package web

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/portti-id/portti/internal/fault"
)

// statusGone is what is logged when the client hung up before the answer; it is
// never sent.
const statusGone = 499

// kinds is what a fault's kind is over HTTP, and the catalogue's family of
// sentences for faults that have none of their own.
var kinds = map[fault.Kind]struct {
	status int
	family string
}{
	fault.Invalid:         {http.StatusBadRequest, "error.invalid"},
	fault.Unauthenticated: {http.StatusUnauthorized, "error.unauthenticated"},
	fault.Denied:          {http.StatusForbidden, "error.denied"},
	fault.NotFound:        {http.StatusNotFound, "error.not_found"},
	fault.Conflict:        {http.StatusConflict, "error.conflict"},
	fault.Gone:            {http.StatusGone, "error.gone"},
	fault.Throttled:       {http.StatusTooManyRequests, "error.throttled"},
	fault.Unavailable:     {http.StatusServiceUnavailable, "error.unavailable"},
}

const familyInternal = "error.internal"

// Faults of HTTP itself. Their status is their own, see failureOf.
var (
	errNotFound = fault.New(fault.NotFound, "not_found", "There is nothing at this address.")
	errMethod   = fault.New(fault.Invalid, "method_not_allowed", "This address does not take that method.")
	errTooLarge = fault.New(fault.Invalid, "body_too_large", "The request is larger than this address accepts.")
)

// failure is an error as the outside sees it.
type failure struct {
	status int
	family string
	fault  *fault.Fault // nil: the error is ours, and its text stays in the log
}

func failureOf(err error) failure {
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		err = errTooLarge
	}
	f, ok := fault.Of(err)
	if !ok {
		return failure{http.StatusInternalServerError, familyInternal, nil}
	}
	switch f {
	case errMethod:
		return failure{http.StatusMethodNotAllowed, "error.method", f}
	case errTooLarge:
		return failure{http.StatusRequestEntityTooLarge, "error.too_large", f}
	}
	// Of conditional requests (RFC 9110 §15.5.13, RFC 6585 §3).
	switch f.Code {
	case "precondition_failed":
		return failure{http.StatusPreconditionFailed, "error.conflict", f}
	case "precondition_required":
		return failure{http.StatusPreconditionRequired, "error.invalid", f}
	}
	k, ok := kinds[f.Kind]
	if !ok {
		return failure{http.StatusInternalServerError, familyInternal, nil}
	}
	return failure{k.status, k.family, f}
}

// Elsewhere is a failure of the provider's, which an app cannot mend and shows under
// the reference that it has there.
type Elsewhere struct {
	Err       error
	Reference string
}

func (e *Elsewhere) Error() string { return e.Err.Error() }
func (e *Elsewhere) Unwrap() error { return e.Err }

// Status is the HTTP status that an error answers with.
func Status(err error) int { return failureOf(err).status }

// message is the sentence for a fault: its own for the field, its own, or that
// of its kind when the catalogue has none or the fault lacks a value that its
// sentence needs.
func (s *Site) message(lang string, f *fault.Fault) string {
	var pairs []string
	for name, value := range f.Args {
		pairs = append(pairs, name, value)
	}
	if _, ok := f.Args["n"]; !ok && f.RetryAfter > 0 {
		pairs = append(pairs, "n", strconv.Itoa(int(math.Ceil(f.RetryAfter.Minutes()))))
	}
	for _, key := range []string{"fault." + f.Code + "." + strings.ReplaceAll(f.Field, "-", "_"), "fault." + f.Code} {
		if text, err := s.texts.Lookup(lang, key, pairs...); err == nil {
			return text
		}
	}
	return s.texts.Text(lang, failureOf(f).family+".text")
}

type errorPage struct {
	Page
	Heading string
	Message string
	Steps   []string
}

// fail answers with the error page.
func (s *Site) fail(w http.ResponseWriter, r *http.Request, err error) {
	f, ok := s.begun(w, r, err)
	if !ok {
		return
	}
	lang := s.speak(w, r)
	p := &errorPage{Page: Page{Lang: lang}, Heading: s.texts.Text(lang, f.family+".title")}
	switch {
	case f.fault == nil:
		p.Message = s.texts.Text(lang, familyInternal+".text")
	default:
		key := "fault." + f.fault.Code
		p.Message = s.message(lang, f.fault)
		if s.texts.Has(key + ".title") {
			p.Heading = s.texts.Text(lang, key+".title")
		}
		if s.texts.Has(key + ".do") {
			p.Steps = strings.Split(s.texts.Text(lang, key+".do"), "\n")
		}
	}
	if err := s.Render(w, r, f.status, "error", p); err != nil {
		note(r, errors.Join(errOf(r), err))
		http.Error(w, "500", http.StatusInternalServerError)
	}
}

// problem is RFC 9457 with our members.
type problem struct {
	Type       string            `json:"type"`
	Title      string            `json:"title"`
	Status     int               `json:"status"`
	Detail     string            `json:"detail"`
	Code       string            `json:"code"`
	Field      string            `json:"field,omitempty"`
	Args       map[string]string `json:"args,omitempty"`
	RetryAfter int               `json:"retry_after,omitempty"` // seconds
	Reference  string            `json:"reference,omitempty"`
}

// failJSON answers with a problem document.
func (s *Site) failJSON(w http.ResponseWriter, r *http.Request, err error) {
	f, ok := s.begun(w, r, err)
	if !ok {
		return
	}
	p := problem{Type: "about:blank", Title: http.StatusText(f.status), Status: f.status, Code: "internal", Detail: "Something went wrong."}
	if f.fault != nil {
		p.Code, p.Detail, p.Field, p.Args, p.RetryAfter = f.fault.Code, f.fault.Message, f.fault.Field, f.fault.Args, seconds(f.fault.RetryAfter)
	}
	if x := exchangeOf(r); x != nil {
		p.Reference = x.shown()
	}
	body, err := json.Marshal(p)
	if err != nil {
		note(r, errors.Join(errOf(r), err))
		http.Error(w, "500", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(f.status)
	_, _ = w.Write(body) // the reader is gone: nobody to tell
}

// begun notes the error for the request's log line and sets the headers that
// both answers share. It is false when no answer is possible any more.
func (s *Site) begun(w http.ResponseWriter, r *http.Request, err error) (failure, bool) {
	note(r, err)
	if x := exchangeOf(r); x != nil {
		if x.answer.status != 0 {
			return failure{}, false // half of another answer is out
		}
		if errors.Is(err, context.Canceled) && r.Context().Err() != nil {
			x.answer.status = statusGone
			return failure{}, false
		}
	}
	f := failureOf(err)
	if of, ok := fault.Of(err); ok {
		refer(r, of.Reference)
	}
	if of := new(Elsewhere); errors.As(err, &of) {
		refer(r, of.Reference)
	}
	h := w.Header()
	for _, name := range []string{"Location", "Content-Length", "Content-Disposition", "Etag", "Last-Modified"} {
		h.Del(name) // of the answer that did not come about
	}
	h.Set("Cache-Control", "no-store")
	if f.fault != nil && f.fault.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(seconds(f.fault.RetryAfter)))
	}
	return f, true
}

// seconds rounds up, so that nobody is told to come too early.
func seconds(d time.Duration) int { return int(math.Ceil(d.Seconds())) }
