package keys

import (
	"bufio"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// Master encrypts small secrets at rest: signing keys, authenticator keys, letters.
//
// Its file holds one key a line, "id base64", where id is 1 to 16 lower-case
// letters and digits and base64 is 32 random bytes. The first key seals; all open,
// so that a new key goes on top of the old ones. Empty lines and lines that begin
// with # are skipped. A key may seal 2³² values (NIST SP 800-38D §8.3).
type Master struct {
	first string
	keys  map[string]cipher.AEAD
	marks map[string][]byte // keys of MACs, derived from each
}

const (
	masterKeyBytes = 32
	sealedVersion  = "v1"
)

// GenerateMaster returns a line for the keyring file with a new key. It is secret.
func GenerateMaster() string {
	key := make([]byte, masterKeyBytes)
	_, _ = rand.Read(key) // never fails (crypto/rand)
	return strings.ToLower(rand.Text()[:8]) + " " + base64.StdEncoding.EncodeToString(key)
}

// LoadMaster reads the keyring from a file. Its errors name the file and the line
// and never quote what stands there.
func LoadMaster(path string) (*Master, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("master keys: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("master keys: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("master keys: %s is not a file", path)
	}
	if info.Mode().Perm()&0o007 != 0 {
		return nil, fmt.Errorf("master keys: %s may be read or written by every user of this machine (mode %#o): chmod 600 it", path, info.Mode().Perm())
	}
	m, err := ReadMaster(f)
	if err != nil {
		return nil, fmt.Errorf("master keys: %s: %w", path, err)
	}
	return m, nil
}

// ReadMaster reads a keyring, for those that keep it elsewhere than in a file.
func ReadMaster(r io.Reader) (*Master, error) {
	m := &Master{keys: make(map[string]cipher.AEAD), marks: make(map[string][]byte)}
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := m.add(line); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if m.first == "" {
		return nil, errors.New("there is no key in it; portti keygen makes one")
	}
	return m, nil
}

func (m *Master) add(line string) error {
	fields := strings.Fields(line)
	if len(fields) != 2 {
		return errors.New(`"id base64" expected`)
	}
	id := fields[0]
	if !masterID(id) {
		return errors.New("the id must be 1 to 16 lower-case letters and digits")
	}
	if _, twice := m.keys[id]; twice {
		return fmt.Errorf("the id %s is there twice", id)
	}
	key, err := base64.StdEncoding.Strict().DecodeString(fields[1])
	if err != nil || len(key) != masterKeyBytes {
		return fmt.Errorf("key %s is not the base64 of %d bytes", id, masterKeyBytes)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return err
	}
	mark, err := hkdf.Key(sha256.New, key, nil, "portti mac 1", sha256.Size)
	if err != nil {
		return err
	}
	m.keys[id], m.marks[id] = aead, mark
	if m.first == "" {
		m.first = id
	}
	return nil
}

func masterID(id string) bool {
	return id != "" && len(id) <= 16 && strings.Trim(id, "abcdefghijklmnopqrstuvwxyz0123456789") == ""
}

// Seal encrypts plaintext so that only Open with the same aad gives it back:
//
//	v1.KEYID.base64url(nonce | ciphertext | tag)
//
// aad says what the value is and whose, so that one row's secret cannot be moved
// to another.
func (m *Master) Seal(plaintext []byte, aad string) (string, error) {
	prefix := sealedVersion + "." + m.first + "."
	sealed := m.keys[m.first].Seal(nil, nil, plaintext, []byte(prefix+aad))
	return prefix + base64.RawURLEncoding.EncodeToString(sealed), nil
}

// Open decrypts what Seal made. The error tells a key that is missing from the
// keyring from a value that was changed or belongs elsewhere.
func (m *Master) Open(sealed, aad string) ([]byte, error) {
	part := strings.Split(sealed, ".")
	if len(part) != 3 || part[0] != sealedVersion {
		return nil, errors.New("open sealed value: not in the form v1.key.value")
	}
	aead, ok := m.keys[part[1]]
	if !ok {
		if !masterID(part[1]) {
			return nil, errors.New("open sealed value: not in the form v1.key.value")
		}
		return nil, fmt.Errorf("open sealed value: its key %s is not among the master keys", part[1])
	}
	box, err := base64.RawURLEncoding.Strict().DecodeString(part[2])
	if err != nil || strings.ContainsAny(part[2], "\r\n") { // base64 skips line ends, even when strict
		return nil, errors.New("open sealed value: not base64url")
	}
	plaintext, err := aead.Open(nil, nil, box, []byte(part[0]+"."+part[1]+"."+aad))
	if err != nil {
		return nil, fmt.Errorf("open sealed value: it was changed, belongs elsewhere, or key %s is another one now", part[1])
	}
	return plaintext, nil
}

// Stale tells whether a sealed value was made with another key than new ones are,
// so that a change of the row may seal it anew.
func (m *Master) Stale(sealed string) bool {
	return !strings.HasPrefix(sealed, sealedVersion+"."+m.first+".")
}

// MAC marks data as ours, with a key derived from the first one (HKDF and
// HMAC-SHA-256): v1.KEYID.base64url.
func (m *Master) MAC(data []byte) string {
	return sealedVersion + "." + m.first + "." + m.mac(m.first, data)
}

// Genuine tells whether mac is what MAC made of the data, with any key of the ring.
func (m *Master) Genuine(data []byte, mac string) bool {
	part := strings.Split(mac, ".")
	if len(part) != 3 || part[0] != sealedVersion || m.marks[part[1]] == nil {
		return false
	}
	return hmac.Equal([]byte(part[2]), []byte(m.mac(part[1], data)))
}

func (m *Master) mac(id string, data []byte) string {
	h := hmac.New(sha256.New, m.marks[id])
	h.Write(data)
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}
