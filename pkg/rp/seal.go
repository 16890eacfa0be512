package rp

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// A store sees neither secrets nor what they open: a record's key is the SHA-256
// of the browser's secret, and its value is encrypted under another key derived
// from the same secret. Who reads the store can neither use a session nor a token.

const secretLength = 43 // 256 bits in base64url

// newSecret returns 256 random bits in base64url.
func newSecret() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(b)
}

// key names a record of this client. The parts hold no zero byte, so that no two
// lists make the same key.
func (p *RP) key(kind string, parts ...string) string {
	sum := sha256.Sum256([]byte(p.scope + "\x00" + kind + "\x00" + strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:])
}

// seal encrypts v, as JSON, under a key derived from secret.
func (p *RP) seal(kind, secret string, v any) ([]byte, error) {
	plain, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", kind, err)
	}
	aead, err := p.aead(kind, secret)
	if err != nil {
		return nil, err
	}
	return aead.Seal(nil, nil, plain, nil), nil
}

func (p *RP) open(kind, secret string, sealed []byte, v any) error {
	aead, err := p.aead(kind, secret)
	if err != nil {
		return err
	}
	plain, err := aead.Open(nil, nil, sealed, nil)
	if err != nil {
		return fmt.Errorf("decrypt %s: %w", kind, err)
	}
	d := json.NewDecoder(bytes.NewReader(plain))
	d.UseNumber() // claims stay as exact as they came
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("decode %s: %w", kind, err)
	}
	return nil
}

func (p *RP) aead(kind, secret string) (cipher.AEAD, error) {
	if secret == "" {
		return nil, errors.New("seal without a secret")
	}
	key, err := hkdf.Key(sha256.New, []byte(secret), nil, "portti rp "+kind+" "+p.scope, 32)
	if err != nil {
		return nil, fmt.Errorf("derive key: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("derive key: %w", err)
	}
	return cipher.NewGCMWithRandomNonce(block)
}
