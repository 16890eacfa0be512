package web

import (
	"net/http"
)

// HandlerFunc serves a request, or says why it could not.
type HandlerFunc = func(w http.ResponseWriter, r *http.Request) error

// Handle makes a handler of a page. An error becomes, here and nowhere else, one
// log line, a status and a page: see failure.go. Requests that change something
// must come from our own form in the same browser (Protect).
func (s *Site) Handle(f HandlerFunc) http.Handler {
	return s.inside(s.Protect(s.serve(f, s.fail)))
}

// HandleUpload is Handle for a page whose form sends files, of up to n bytes together
// with the form's fields.
func (s *Site) HandleUpload(n int64, f HandlerFunc) http.Handler {
	return s.inside(s.protect(n, s.serve(f, s.fail)))
}

// HandleCrossSite is Handle without Protect, for addresses that other sites'
// forms must reach, such as an authorization request by POST. Such a handler
// must change nothing in the person's name.
func (s *Site) HandleCrossSite(f HandlerFunc) http.Handler {
	return s.inside(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := readForm(w, r, maxForm); err != nil {
			s.fail(w, r, err)
			return
		}
		s.serve(f, s.fail).ServeHTTP(w, r)
	}))
}

// HandleJSON makes a handler of an API: an error becomes a log line, a status
// and an application/problem+json (RFC 9457). It is for callers that show a
// token: it takes no cookie into account and so needs no Protect.
func (s *Site) HandleJSON(f HandlerFunc) http.Handler { return s.HandleLargeJSON(maxForm, f) }

// HandleLargeJSON is HandleJSON for an address that takes bodies of up to n bytes.
func (s *Site) HandleLargeJSON(n int64, f HandlerFunc) http.Handler {
	return s.inside(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, n)
		s.serve(f, s.failJSON).ServeHTTP(w, r)
	}))
}

// serve calls f and hands its error or its panic to fail.
func (s *Site) serve(f HandlerFunc, fail func(w http.ResponseWriter, r *http.Request, err error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if err := recovered(recover()); err != nil {
				fail(w, r, err)
			}
		}()
		if err := f(w, r); err != nil {
			fail(w, r, err)
		}
	})
}

// inside gives a handler what Wrap gives: in a program Wrap is outermost, in a
// test it may be missing.
func (s *Site) inside(h http.Handler) http.Handler {
	wrapped := s.Wrap(h)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := exchangeOf(r)
		if x == nil {
			wrapped.ServeHTTP(w, r)
			return
		}
		x.handled, x.route = true, r.Pattern
		h.ServeHTTP(w, r)
	})
}
