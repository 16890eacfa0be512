//go:build !cgo

package pkcs11_test

import (
	"testing"

	"github.com/portti-id/portti/internal/keys/pkcs11"
	"github.com/portti-id/portti/internal/keys/pkcs11/pkcs11test"
)

func TestWithoutCgoNothingOpens(t *testing.T) {
	if token, err := pkcs11.Open(pkcs11.Config{}); err == nil {
		t.Errorf("got %v", token)
	}
	pkcs11test.New(t) // says that the rest of this package goes unproved
}
