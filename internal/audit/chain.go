package audit

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The chain, version 1. Text is UTF-8, "netstring" is LENGTH ":" BYTES "," with the
// length in bytes, decimal.
//
//	canonical  "portti audit event 1\n" and the netstrings of nonce, time (UTC,
//	           2006-01-02T15:04:05.000000Z), type, actor, user, organisation, client,
//	           session, method, reason, address, how many details there are, and each
//	           detail's name and value by name
//	content    SHA-256(canonical)
//	link       SHA-256("portti audit link 1\n" | link before | sequence, 8 bytes, big
//	           end first | mark, 1 byte | content)
//
// The first sequence is 1, and the link before it 32 zero bytes. The nonce is
// random and keeps anybody from guessing an event by its content's hash, which is
// what stays of an event that is left out of a file.

// Hash is a SHA-256. As text it is hexadecimal.
type Hash [sha256.Size]byte

func (h Hash) String() string                   { return hex.EncodeToString(h[:]) }
func (h Hash) MarshalText() ([]byte, error)     { return []byte(h.String()), nil }
func (h *Hash) UnmarshalText(text []byte) error { return h.set(string(text)) }

func (h *Hash) set(text string) error {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != len(h) {
		return fmt.Errorf("%.70q is not a hash of %d bytes in hexadecimal", text, len(h))
	}
	copy(h[:], b)
	return nil
}

// Mark says what the sealer found when it looked at the MAC of an event.
type Mark uint8

const (
	Genuine  Mark = iota
	Unmarked      // it has none: written by a program before the chain, or by nobody of ours
	Forged        // it has a wrong one: somebody without the key wrote it or changed it
)

var markNames = []string{"genuine", "unmarked", "forged"}

func (m Mark) String() string {
	if int(m) < len(markNames) {
		return markNames[m]
	}
	return "mark " + strconv.Itoa(int(m))
}

func (m Mark) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

func (m *Mark) UnmarshalText(text []byte) error {
	i := slices.Index(markNames, string(text))
	if i < 0 {
		return fmt.Errorf("%.20q is no mark", text)
	}
	*m = Mark(i)
	return nil
}

// Entry is an event as the trail keeps it.
type Entry struct {
	ID       int64 // for paging: events that were written later have higher ones, mostly
	Nonce    string
	Sequence int64 // its place in the chain; 0: it waits to be sealed
	Mark     Mark
	Link     Hash
	Event
}

// Marker makes and checks the MAC that every event carries from the moment it is
// written, so that nobody makes events up who has only the database: keys.Master.
type Marker interface {
	MAC(data []byte) string
	Genuine(data []byte, mac string) bool
}

// Clean makes an event what it will be when it is read again: times in
// microseconds, text that both databases keep.
func (e Event) Clean() Event {
	e.At = e.At.UTC().Truncate(time.Microsecond)
	for _, s := range []*string{(*string)(&e.Type), &e.Actor, &e.User, &e.Organisation, &e.Client, &e.Session, &e.Method, &e.Reason, &e.Address} {
		*s = clean(*s)
	}
	if len(e.Details) > 0 {
		details := make(map[string]string, len(e.Details))
		for name, value := range e.Details {
			details[clean(name)] = clean(value)
		}
		e.Details = details
	}
	return e
}

func clean(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\ufffd"), "\x00", "\ufffd")
}

const (
	canonicalBegin = "portti audit event 1\n"
	linkBegin      = "portti audit link 1\n"
	timeForm       = "2006-01-02T15:04:05.000000Z"
)

// Canonical is an event as bytes.
func (e Entry) Canonical() []byte {
	b := append(make([]byte, 0, 512), canonicalBegin...)
	for _, s := range []string{e.Nonce, e.At.UTC().Format(timeForm), string(e.Type), e.Actor, e.User, e.Organisation, e.Client, e.Session, e.Method, e.Reason, e.Address, strconv.Itoa(len(e.Details))} {
		b = netstring(b, s)
	}
	for _, name := range slices.Sorted(maps.Keys(e.Details)) {
		b = netstring(netstring(b, name), e.Details[name])
	}
	return b
}

func netstring(b []byte, s string) []byte {
	b = strconv.AppendInt(b, int64(len(s)), 10)
	b = append(b, ':')
	b = append(b, s...)
	return append(b, ',')
}

// Content is the hash of what an event says.
func (e Entry) Content() Hash { return sha256.Sum256(e.Canonical()) }

// LinkOf is the hash that stands for an event and everything before it.
func LinkOf(before Hash, sequence int64, mark Mark, content Hash) Hash {
	b := append(make([]byte, 0, 128), linkBegin...)
	b = append(b, before[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(sequence))
	b = append(b, byte(mark))
	return sha256.Sum256(append(b, content[:]...))
}

// CheckMark looks at an event's MAC.
func CheckMark(m Marker, e Entry, mac string) Mark {
	switch {
	case mac == "" && e.Nonce == "":
		return Unmarked
	case m.Genuine(e.Canonical(), mac):
		return Genuine
	}
	return Forged
}
