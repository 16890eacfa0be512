//go:build !cgo

package pkcs11test

const cgo = false
