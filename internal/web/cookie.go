package web

import (
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"time"
)

// SetCookie gives the browser a cookie that scripts cannot read and that other
// sites' requests carry only when a person follows a link (ASVS 3.3.1–3.3.4).
// Over https it has the __Host- prefix, so that no neighbouring host can set or
// overwrite it (RFC 6265bis §4.1.3.2). age 0 means until the browser closes.
func (s *Site) SetCookie(w http.ResponseWriter, name, value string, age time.Duration) {
	http.SetCookie(w, &http.Cookie{
		Name: s.cookieName(name), Value: value, Path: "/", MaxAge: int(age / time.Second),
		HttpOnly: true, Secure: s.secure, SameSite: http.SameSiteLaxMode,
	})
}

// ClearCookie takes a cookie back.
func (s *Site) ClearCookie(w http.ResponseWriter, name string) {
	http.SetCookie(w, &http.Cookie{
		Name: s.cookieName(name), Path: "/", MaxAge: -1,
		HttpOnly: true, Secure: s.secure, SameSite: http.SameSiteLaxMode,
	})
}

// ReadCookie returns the value of a cookie, or "". Two cookies of one name are
// none: somebody else has planted one, and which is unknown.
func (s *Site) ReadCookie(r *http.Request, name string) string {
	found := r.CookiesNamed(s.cookieName(name))
	if len(found) != 1 {
		return ""
	}
	return found[0].Value
}

func (s *Site) cookieName(name string) string {
	if s.secure {
		return "__Host-" + name
	}
	return name
}

const (
	browserCookie = "browser" // until the browser closes: an age could run out in the middle of a sign-in
	secretSize    = 32        // bytes
)

// Browser returns the secret that binds sign-in transactions and forms to this
// browser: 43 characters, base64url of 256 bits. A browser that has none gets
// one, so it must be called before the answer is written. Callers keep its
// hash, never the secret.
func (s *Site) Browser(w http.ResponseWriter, r *http.Request) string {
	if secret := s.browser(r); secret != "" {
		return secret
	}
	name := s.cookieName(browserCookie)
	for _, line := range w.Header()["Set-Cookie"] {
		if c, err := http.ParseSetCookie(line); err == nil && c.Name == name && validSecret(c.Value) {
			return c.Value
		}
	}
	secret := newSecret()
	s.SetCookie(w, browserCookie, secret, 0)
	return secret
}

// browser is the secret that the browser sent, or "".
func (s *Site) browser(r *http.Request) string {
	if secret := s.ReadCookie(r, browserCookie); validSecret(secret) {
		return secret
	}
	return ""
}

func newSecret() string {
	b := make([]byte, secretSize)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(b)
}

func validSecret(s string) bool {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return err == nil && len(b) == secretSize
}
