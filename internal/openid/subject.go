package openid

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// subject is the sub that a client sees of a user (OpenID Connect Core §8).
func (p *Provider) subject(c Client, user string) string {
	if c.SubjectType != SubjectPairwise {
		return user
	}
	return p.subjects.seal(c.sector(), user)
}

// userOf is the way back: the user whom a client means by a sub, false when it
// is none that this client was given.
func (p *Provider) userOf(c Client, sub string) (string, bool) {
	if c.SubjectType != SubjectPairwise {
		return sub, sub != ""
	}
	return p.subjects.open(c.sector(), sub)
}

// sector is what a pairwise client shares its subs with: every client of one
// host (OpenID Connect Core §8.1). A client of several hosts, or of none, that
// names no sector shares with nobody; nor does one of this machine's own names,
// which are everybody's.
func (c Client) sector() string {
	addresses := c.RedirectURIs
	if c.SectorIdentifierURI != "" {
		addresses = []string{c.SectorIdentifierURI}
	}
	var host string
	for _, address := range addresses {
		u, err := url.Parse(address)
		if err != nil || u.Hostname() == "" || host != "" && !strings.EqualFold(u.Hostname(), host) {
			return "client:" + c.ID
		}
		host = u.Hostname()
	}
	if host == "" || local(host) {
		return "client:" + c.ID
	}
	return "host:" + strings.ToLower(host)
}

// subjects makes pairwise subs: a synthetic IV, the HMAC of sector and user, and
// the user under AES-256-CTR with it (as in RFC 5297, ADR 0087). The same user
// is the same sub within a sector, two sectors cannot compare theirs, and we
// alone can read one.
type subjects struct {
	mac    []byte
	cipher cipher.Block
}

const shortestPairwiseSecret = 32

func newSubjects(secret []byte) (*subjects, error) {
	if len(secret) < shortestPairwiseSecret {
		return nil, errors.New("openid: the secret of pairwise subjects needs 32 bytes")
	}
	mac, err := hkdf.Key(sha256.New, secret, nil, "pairwise subject: mac", 32)
	if err != nil {
		return nil, fmt.Errorf("openid: pairwise subjects: %w", err)
	}
	key, err := hkdf.Key(sha256.New, secret, nil, "pairwise subject: cipher", 32)
	if err != nil {
		return nil, fmt.Errorf("openid: pairwise subjects: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("openid: pairwise subjects: %w", err)
	}
	return &subjects{mac, block}, nil
}

// seal returns base64url, 56 characters for our own user IDs.
func (s *subjects) seal(sector, user string) string {
	out := append(s.iv(sector, []byte(user)), user...)
	cipher.NewCTR(s.cipher, out[:aes.BlockSize]).XORKeyStream(out[aes.BlockSize:], out[aes.BlockSize:])
	return base64.RawURLEncoding.EncodeToString(out)
}

func (s *subjects) open(sector, sub string) (string, bool) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(sub)
	if err != nil || len(raw) <= aes.BlockSize {
		return "", false
	}
	iv, user := raw[:aes.BlockSize], raw[aes.BlockSize:]
	cipher.NewCTR(s.cipher, iv).XORKeyStream(user, user)
	if !hmac.Equal(iv, s.iv(sector, user)) {
		return "", false
	}
	return string(user), true
}

func (s *subjects) iv(sector string, user []byte) []byte {
	h := hmac.New(sha256.New, s.mac)
	_ = binary.Write(h, binary.BigEndian, uint64(len(sector))) // a hash takes all
	h.Write([]byte(sector))
	h.Write(user)
	return h.Sum(nil)[:aes.BlockSize:aes.BlockSize]
}
