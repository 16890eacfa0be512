//go:build cgo

package pkcs11

import (
	"testing"

	p11 "github.com/miekg/pkcs11"
)

// Beside is a session of the same login, past the package.
func Beside(t testing.TB, open Token) (*p11.Ctx, p11.SessionHandle) {
	t.Helper()
	l := open.(token).line
	s, err := l.writing(l.now)
	if err != nil {
		t.Fatal(err)
	}
	return l.ctx, s
}
