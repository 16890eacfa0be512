package web

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/portti-id/portti/internal/fault"
)

// exchange is what is known of one request while it is served.
type exchange struct {
	reference string // random; on error pages, and in the log line
	elsewhere string // what error pages show instead: of the request to the provider that was refused
	route     string // the pattern of the mux
	language  string // settled by UseLocales
	contacts  Contacts
	err       error
	handled   bool // one of our handlers has it: a 404 is meant
	answer    *answer
}

type exchangeKey struct{}

func exchangeOf(r *http.Request) *exchange {
	x, _ := r.Context().Value(exchangeKey{}).(*exchange)
	return x
}

// note keeps the error for the log line.
func note(r *http.Request, err error) {
	if x := exchangeOf(r); x != nil {
		x.err = err
	}
}

func errOf(r *http.Request) error {
	if x := exchangeOf(r); x != nil {
		return x.err
	}
	return nil
}

// Reference is the request's reference as error pages show it, for audit
// details and messages; "" outside Wrap.
func Reference(r *http.Request) string {
	if x := exchangeOf(r); x != nil {
		return x.reference
	}
	return ""
}

// refer has the request's pages show the reference of the request elsewhere that was
// refused, if there is one; the log line has both.
func refer(r *http.Request, reference string) {
	if x := exchangeOf(r); x != nil && reference != "" {
		x.elsewhere = reference
	}
}

// shown is the reference that pages show.
func (x *exchange) shown() string { return cmp.Or(x.elsewhere, x.reference) }

// newReference is 40 random bits in a form that can be read out: "K7QM2XEA".
func newReference() string { return rand.Text()[:8] }

// Wrap goes around everything that a program serves. It sets the security
// headers, catches panics, turns the mux's own 404 and 405 into our pages, and
// writes one log line a request: method, route, status, duration, the browser's
// address, the reference, and what went wrong. The line holds no path, query,
// form or cookie: those carry codes and tokens.
func (s *Site) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		started := time.Now()
		x := &exchange{reference: newReference()}
		r = r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x))
		x.answer = &answer{ResponseWriter: w, request: r}
		s.headers(w.Header())
		defer func() {
			v := recover()
			if v == http.ErrAbortHandler {
				s.line(r, x, started)
				panic(v)
			}
			if err := recovered(v); err != nil {
				s.fail(x.answer, r, err)
			}
			s.line(r, x, started)
		}()
		next.ServeHTTP(x.answer, r)
		if x.answer.refused != 0 {
			s.refuse(x.answer, r)
		}
	})
}

// refuse answers what the mux would have answered in plain text.
func (s *Site) refuse(a *answer, r *http.Request) {
	err := errNotFound
	if a.refused == http.StatusMethodNotAllowed {
		err = errMethod
	}
	a.refused = 0
	exchangeOf(r).handled = true
	if strings.Contains(r.Header.Get("Accept"), "text/html") {
		s.fail(a, r, err)
		return
	}
	s.failJSON(a, r, err)
}

func (s *Site) line(r *http.Request, x *exchange, started time.Time) {
	route := x.route
	if route == "" {
		route = r.Pattern
	}
	status := x.answer.status
	if status == 0 {
		status = http.StatusOK
	}
	level := slog.LevelInfo
	attrs := []slog.Attr{
		slog.String("method", method(r.Method)), slog.String("route", route), slog.Int("status", status),
		slog.Duration("took", time.Since(started)), slog.String("address", s.ClientAddr(r).String()), slog.String("reference", x.reference),
	}
	if x.elsewhere != "" {
		attrs = append(attrs, slog.String("elsewhere", x.elsewhere))
	}
	if x.err != nil {
		if f, ok := fault.Of(x.err); ok {
			attrs = append(attrs, slog.String("fault", f.Code))
		} else {
			level = slog.LevelError
		}
		if f := failureOf(x.err); f.status >= http.StatusInternalServerError && status != statusGone {
			level = slog.LevelError
			attrs = append(attrs, slog.String("error", x.err.Error()))
		}
		if p := new(panicked); errors.As(x.err, &p) {
			attrs = append(attrs, slog.String("stack", string(p.stack)))
		}
	}
	if status == statusGone {
		level = slog.LevelInfo
	}
	s.log.LogAttrs(r.Context(), level, "request", attrs...)
}

// method keeps what a client calls a method from filling the log.
func method(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return m
	}
	return "other"
}

// panicked is a bug that was caught.
type panicked struct {
	value any
	stack []byte
}

func (p *panicked) Error() string { return fmt.Sprintf("panic: %v", p.value) }

// recovered makes an error of what recover returned; nil of nil. The panic that
// asks net/http to hang up goes on.
func recovered(v any) error {
	if v == nil {
		return nil
	}
	if v == http.ErrAbortHandler {
		panic(v)
	}
	return &panicked{v, debug.Stack()}
}

// answer notes what has been sent, and holds back the mux's own refusals.
type answer struct {
	http.ResponseWriter
	request *http.Request
	status  int // 0: nothing is out
	refused int // 404 or 405 by the mux, held back
}

func (a *answer) WriteHeader(status int) {
	if a.status != 0 || a.refused != 0 {
		return
	}
	if status >= 100 && status < 200 {
		a.ResponseWriter.WriteHeader(status)
		return
	}
	if (status == http.StatusNotFound || status == http.StatusMethodNotAllowed) && a.request.Pattern == "" && !exchangeOf(a.request).handled {
		a.refused = status
		return
	}
	a.status = status
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(b []byte) (int, error) {
	if a.refused != 0 {
		return len(b), nil
	}
	a.WriteHeader(http.StatusOK)
	return a.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
