package crl

import (
	"bytes"
	"encoding/binary"
	"slices"
	"sort"
	"time"
)

// longestSerial is how many octets a serial number may have (RFC 5280 §4.1.2.2).
const longestSerial = 20

// index holds serial numbers, sorted, with what happened to each: for every
// length of number one run of records, each of them the number, a flag and the
// date. A number of 12 octets takes 17 in all.
type index [longestSerial + 1]records

// records are of one width, one after the other.
type records struct {
	width int
	all   []byte
	spare []byte // for swaps
}

// Flags, in the order of gravity: of two entries with one number the first counts.
const (
	flagRevoked byte = iota
	flagOnHold
)

const (
	flagSize = 1
	dateSize = 4 // seconds since 1970, unsigned: until 2106
)

// add takes a serial number without leading zeros.
func (x *index) add(serial []byte, flag byte, at time.Time) {
	r := &x[len(serial)]
	r.width = len(serial) + flagSize + dateSize
	r.all = append(append(r.all, serial...), flag)
	r.all = binary.BigEndian.AppendUint32(r.all, uint32(min(max(at.Unix(), 0), 1<<32-1)))
}

// seal sorts, once everything was added, and gives back what growing took.
func (x *index) seal() {
	for i := range x {
		r := &x[i]
		if r.width == 0 {
			continue
		}
		r.spare = make([]byte, r.width)
		if !sort.IsSorted(r) {
			sort.Sort(r)
		}
		r.spare = nil
		r.all = slices.Clone(r.all)
	}
}

// find tells what the list says of a serial number.
func (x *index) find(serial []byte) (flag byte, at time.Time, found bool) {
	if len(serial) > longestSerial {
		return 0, time.Time{}, false
	}
	r := &x[len(serial)]
	i := sort.Search(r.Len(), func(i int) bool { return bytes.Compare(r.record(i)[:len(serial)], serial) >= 0 })
	if i == r.Len() || !bytes.Equal(r.record(i)[:len(serial)], serial) {
		return 0, time.Time{}, false
	}
	rest := r.record(i)[len(serial):]
	return rest[0], time.Unix(int64(binary.BigEndian.Uint32(rest[flagSize:])), 0).UTC(), true
}

func (r *records) record(i int) []byte { return r.all[i*r.width : (i+1)*r.width] }

// Len, Less and Swap are sort.Interface.
func (r *records) Len() int {
	if r.width == 0 {
		return 0
	}
	return len(r.all) / r.width
}

func (r *records) Less(i, j int) bool { return bytes.Compare(r.record(i), r.record(j)) < 0 }

func (r *records) Swap(i, j int) {
	copy(r.spare, r.record(i))
	copy(r.record(i), r.record(j))
	copy(r.record(j), r.spare)
}
