// Package pkcs11 keeps signing keys in an HSM, or another token that a PKCS #11
// module speaks for (OASIS PKCS #11 2.40): RSA-2048 and P-256, made in there,
// sensitive and not extractable.
//
//	pkcs11.go   Config, Token
//	token.go    keys and signatures          ┐ programs that were built with cgo
//	line.go     sessions, login, reconnect   ┘
//	off.go      Open says so, in a program without cgo
//
// What a key is for and whether it signs, SQL and the ring say (package keys). A
// name leads to it: label and ID of the pair are the same.
package pkcs11

import (
	"log/slog"
	"time"

	"github.com/portti-id/portti/internal/keys"
)

// Config says which token. Errors never hold the PIN.
type Config struct {
	Module   string                 // the maker's shared library
	Token    string                 // the token's label
	PIN      func() (string, error) // asked at each login
	Sessions int                    // signatures at a time; 0: 16
	Now      func() time.Time
	Log      *slog.Logger
}

// Token is an open token. One that goes away is looked for again when it is next
// needed.
type Token interface {
	keys.Token
	Close() error
}
