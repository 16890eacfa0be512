package password

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

const (
	saltBytes = 16 // NIST SP 800-63B-4 §3.1.1.2 asks for 4
	hashBytes = 32
)

// cost is what one hash costs.
type cost struct {
	time, memory uint32 // passes; KiB
	threads      uint8
}

// The ceiling keeps a hostile database row, or a slip in the settings, from
// making one sign-in cost minutes or gigabytes.
const (
	maxTime    = 16
	minMemory  = 8 // KiB a lane, RFC 9106 §3.1
	maxMemory  = 256 * 1024
	maxThreads = 16
)

func (c cost) check() error {
	switch {
	case c.time < 1 || c.time > maxTime:
		return fmt.Errorf("time %d is not between 1 and %d", c.time, maxTime)
	case c.threads < 1 || c.threads > maxThreads:
		return fmt.Errorf("threads %d is not between 1 and %d", c.threads, maxThreads)
	case c.memory < minMemory*uint32(c.threads) || c.memory > maxMemory:
		return fmt.Errorf("memory %d KiB is not between %d and %d", c.memory, minMemory*uint32(c.threads), maxMemory)
	}
	return nil
}

// stored is a password hash as SQL keeps it:
//
//	$argon2id$v=19$m=47104,t=2,p=1[,keyid=PEPPER]$SALT$HASH
//
// Salt and hash are base64 without padding (the PHC string format).
type stored struct {
	cost   cost
	pepper string
	salt   []byte
	hash   []byte
}

func (s stored) String() string {
	keyid := ""
	if s.pepper != "" {
		keyid = ",keyid=" + s.pepper
	}
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d%s$%s$%s", argon2.Version, s.cost.memory, s.cost.time, s.cost.threads, keyid,
		base64.RawStdEncoding.EncodeToString(s.salt), base64.RawStdEncoding.EncodeToString(s.hash))
}

// parse takes exactly what String writes. Its errors never quote the string.
func parse(phc string) (stored, error) {
	s, err := split(phc)
	if err != nil {
		return stored{}, fmt.Errorf("stored password hash: %w", err)
	}
	if err := s.cost.check(); err != nil {
		return stored{}, fmt.Errorf("stored password hash: %w", err)
	}
	if s.String() != phc { // leading zeros, stray bits in the base64, other spellings
		return stored{}, errors.New("stored password hash: not in the form that we write")
	}
	return s, nil
}

func split(phc string) (stored, error) {
	if len(phc) > 300 {
		return stored{}, errors.New("too long")
	}
	part := strings.Split(phc, "$")
	if len(part) != 6 || part[0] != "" || part[1] != "argon2id" {
		return stored{}, errors.New("not an Argon2id PHC string")
	}
	if part[2] != "v="+strconv.Itoa(argon2.Version) {
		return stored{}, errors.New("another version of Argon2")
	}
	params := strings.Split(part[3], ",")
	if len(params) != 3 && len(params) != 4 {
		return stored{}, errors.New("three or four parameters expected")
	}
	memory, err := number(params[0], "m=", 32)
	if err != nil {
		return stored{}, err
	}
	time, err := number(params[1], "t=", 32)
	if err != nil {
		return stored{}, err
	}
	threads, err := number(params[2], "p=", 8)
	if err != nil {
		return stored{}, err
	}
	s := stored{cost: cost{memory: uint32(memory), time: uint32(time), threads: uint8(threads)}}
	if len(params) == 4 {
		id, ok := strings.CutPrefix(params[3], "keyid=")
		if !ok || !pepperID(id) {
			return stored{}, errors.New("bad keyid")
		}
		s.pepper = id
	}
	if s.salt, err = base64.RawStdEncoding.DecodeString(part[4]); err != nil || len(s.salt) < 8 || len(s.salt) > 64 {
		return stored{}, errors.New("bad salt")
	}
	if s.hash, err = base64.RawStdEncoding.DecodeString(part[5]); err != nil || len(s.hash) < 16 || len(s.hash) > 64 {
		return stored{}, errors.New("bad hash")
	}
	return s, nil
}

func number(param, name string, bits int) (uint64, error) {
	digits, ok := strings.CutPrefix(param, name)
	if !ok {
		return 0, fmt.Errorf("parameter %s expected", name)
	}
	n, err := strconv.ParseUint(digits, 10, bits)
	if err != nil {
		return 0, fmt.Errorf("parameter %s is not a number in range", name)
	}
	return n, nil
}

func pepperID(id string) bool {
	if id == "" || len(id) > 16 {
		return false
	}
	for _, c := range []byte(id) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}
