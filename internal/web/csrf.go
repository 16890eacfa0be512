package web

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/portti-id/portti/internal/fault"
)

// csrfField is the name of the hidden field of every form that posts.
const csrfField = "csrf"

// maxForm bounds the body of a request to a page, in bytes.
const maxForm = 64 << 10

// Protect lets a request through that changes something only when it comes from
// a form of ours in the same browser. Two walls: the browser's own word on where
// the request comes from (Sec-Fetch-Site, Origin), and a token in the form that
// belongs to the browser's cookie. Handle includes it.
//
// It also reads the form, within its limit, and refuses text that no database
// would take.
func (s *Site) Protect(next http.Handler) http.Handler { return s.protect(maxForm, next) }

func (s *Site) protect(most int64, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := s.admit(w, r, most); err != nil {
			s.fail(w, r, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *Site) admit(w http.ResponseWriter, r *http.Request, most int64) error {
	if most > maxForm && r.Method == http.MethodPost {
		// The browser's word comes before so much is read; the rest is below.
		if err := s.origins.Check(r); err != nil {
			return errForged
		}
	}
	if err := readForm(w, r, most); err != nil {
		return err
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return nil
	}
	if err := s.origins.Check(r); err != nil {
		return errForged
	}
	secret := s.browser(r)
	if secret == "" {
		return errCookies
	}
	if !validToken(secret, r.PostFormValue(csrfField)) {
		return errForged
	}
	return nil
}

var (
	errForged  = fault.New(fault.Denied, "csrf", "This form was opened somewhere else or is too old.")
	errCookies = fault.New(fault.Denied, "cookies", "The form came without the browser's cookie.")
	errForm    = fault.New(fault.Invalid, "form_invalid", "The form has characters that cannot be used.")
)

// readForm parses the query and the body within a limit. Files are in memory: no
// part of them is left on a disk.
func readForm(w http.ResponseWriter, r *http.Request, most int64) error {
	r.Body = http.MaxBytesReader(w, r.Body, most)
	parse := r.ParseForm
	if most > maxForm && strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/form-data") {
		parse = func() error { return r.ParseMultipartForm(most) }
	}
	if err := parse(); err != nil {
		if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
			return errTooLarge
		}
		return errForm
	}
	for name, values := range r.Form {
		for _, text := range append(values, name) {
			if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
				return errForm
			}
		}
	}
	return nil
}

// newToken makes the token of a form: a mask, and under it what only the holder
// of the browser's secret can compute. Each form has another one, so that
// compression of a page tells nothing about it.
func newToken(secret string) string {
	mask := make([]byte, sha256.Size)
	_, _ = rand.Read(mask) // never fails (crypto/rand)
	masked := make([]byte, sha256.Size)
	subtle.XORBytes(masked, mask, tokenOf(secret))
	return base64.RawURLEncoding.EncodeToString(append(mask, masked...))
}

func validToken(secret, token string) bool {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) != 2*sha256.Size {
		return false
	}
	bare := make([]byte, sha256.Size)
	subtle.XORBytes(bare, raw[:sha256.Size], raw[sha256.Size:])
	return hmac.Equal(bare, tokenOf(secret))
}

func tokenOf(secret string) []byte {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte("form"))
	return mac.Sum(nil)
}
