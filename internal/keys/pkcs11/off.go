//go:build !cgo

package pkcs11

import "errors"

// Open fails: PKCS #11 modules are C libraries.
func Open(Config) (Token, error) {
	return nil, errors.New("this program was built without PKCS #11; build it with CGO_ENABLED=1 and a C compiler (docs/operating.md)")
}
