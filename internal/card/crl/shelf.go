package crl

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"time"
)

// PartSize is how much of a list is written and read at a time, so that neither
// a replica nor the database's driver ever holds a whole list.
const PartSize = 1 << 20

// Shelved says what is on the shelf of one CA and scope.
type Shelved struct {
	CA     Authority
	Scope  Scope
	Number Number
	Digest string // of the DER, as List.Digest
	Name   string // the CA's common name
	Parts  string // names the parts that it is in
	Count  int    // how many there are
	Size   int64  // octets of DER

	ThisUpdate, NextUpdate time.Time
	Entries                int

	Source  string    // the address that it came from, or Imported
	Fetched time.Time // when it was put on the shelf
	Checked time.Time // when its source was last heard to have nothing newer
	// What its server gave it to be recognised by (RFC 9110 §8.8), "" for none.
	ETag, LastModified string
}

// Imported is the Source of a list that an operator has brought.
const Imported = "import"

// Shelf keeps the lists as published, in parts, so that replicas share them and
// a restart needs no network. It is a shelf and no judge: what is read from it is
// verified again. Every method returns fault.Unavailable when the database is
// out of reach.
type Shelf interface {
	// Shelved is everything on the shelf, by CA and scope.
	Shelved(ctx context.Context) ([]Shelved, error)

	// Part reads one part, counted from 0. fault.NotFound: it was swept, as a newer
	// list came.
	Part(ctx context.Context, parts string, n int) ([]byte, error)

	// PutPart writes one part of at most PartSize. Nobody sees it until Shelve
	// names its parts; what is not named within an hour is swept.
	PutPart(ctx context.Context, parts string, n int, data []byte) error

	// Shelve puts a list, whose parts are all written, in the place of one with a
	// lower number, or where there is none. Of any number of callers the highest
	// number stays, whatever the order they come in; false: it was not higher, and
	// nothing changed.
	Shelve(ctx context.Context, s Shelved) (bool, error)

	// NoteChecked sets Checked, Source, ETag and LastModified where CA, Scope and
	// Digest are those of s, and leaves a later Checked alone, unless it is later by
	// more than clocks may differ (a minute).
	NoteChecked(ctx context.Context, s Shelved) error

	// Forget takes the lists of a CA from the shelf; false: there were none.
	Forget(ctx context.Context, ca Authority) (bool, error)

	// DropParts deletes parts that are not on the shelf.
	DropParts(ctx context.Context, parts string) error
}

// Put reads a list of ca, verifies it and puts it on the shelf, as it comes. A
// list that is there already is only noted as checked. Errors: those of Read and
// of the shelf, ErrOlder and ErrNumberReused.
func Put(ctx context.Context, shelf Shelf, r io.Reader, ca *x509.Certificate, from Shelved, now time.Time) (list *List, err error) {
	w := &partWriter{ctx: ctx, shelf: shelf, parts: rand.Text()}
	shelved := false
	defer func() {
		if !shelved && w.count > 0 {
			// Best effort: the sweep takes what stays.
			_ = shelf.DropParts(context.WithoutCancel(ctx), w.parts)
		}
	}()
	list, err = Read(io.TeeReader(r, w), ca, now)
	if err != nil {
		return nil, err
	}
	from.CA, from.Scope, from.Number, from.Digest, from.Name, from.Size = list.CA, list.Scope, list.Number, list.Digest, list.Name, list.Size
	from.ThisUpdate, from.NextUpdate, from.Entries = list.ThisUpdate, list.NextUpdate, list.Entries
	from.Fetched, from.Checked = now, now
	if err := Follows(ctx, shelf, list); errors.Is(err, errSame) {
		return list, shelf.NoteChecked(ctx, from)
	} else if err != nil {
		return nil, err
	}
	if err := w.close(); err != nil {
		return nil, err
	}
	from.Parts, from.Count = w.parts, w.count
	if shelved, err = shelf.Shelve(ctx, from); err != nil {
		return nil, err
	}
	if !shelved { // somebody else came first: with this one, or with a newer one
		switch err := Follows(ctx, shelf, list); {
		case err == nil:
			return nil, errMoved
		case !errors.Is(err, errSame):
			return nil, err
		}
	}
	return list, nil
}

// errMoved: what was in the way of a list is gone again, as somebody forgot it.
var errMoved = errors.New("the shelf changed while the list was put there")

// Follows tells whether list may take the place of what is on the shelf:
// ErrOlder or ErrNumberReused when not.
func Follows(ctx context.Context, shelf Shelf, list *List) error {
	all, err := shelf.Shelved(ctx)
	if err != nil {
		return err
	}
	for _, s := range all {
		if s.CA == list.CA && s.Scope == list.Scope {
			return list.follows(s.Number, s.Digest)
		}
	}
	return nil
}

// partWriter writes parts as they fill up. A list that fits into one is written
// by close alone, and so only when it was verified.
type partWriter struct {
	ctx   context.Context
	shelf Shelf
	parts string
	count int
	buf   []byte
}

func (w *partWriter) Write(b []byte) (int, error) {
	n := len(b)
	for len(b) > 0 {
		if len(w.buf) == PartSize {
			if err := w.flush(); err != nil {
				return 0, err
			}
		}
		take := min(len(b), PartSize-len(w.buf))
		w.buf = append(w.buf, b[:take]...)
		b = b[take:]
	}
	return n, nil
}

func (w *partWriter) flush() error {
	if err := w.shelf.PutPart(w.ctx, w.parts, w.count, w.buf); err != nil {
		return err
	}
	w.count++
	w.buf = w.buf[:0]
	return nil
}

func (w *partWriter) close() error {
	if len(w.buf) == 0 {
		return nil
	}
	return w.flush()
}

// partReader reads a shelved list, a part at a time.
type partReader struct {
	ctx   context.Context
	shelf Shelf
	list  Shelved
	next  int
	buf   []byte
}

func (r *partReader) Read(b []byte) (int, error) {
	for len(r.buf) == 0 {
		if r.next == r.list.Count {
			return 0, io.EOF
		}
		part, err := r.shelf.Part(r.ctx, r.list.Parts, r.next)
		if err != nil {
			return 0, fmt.Errorf("part %d: %w", r.next, err)
		}
		r.next++
		r.buf = part
	}
	n := copy(b, r.buf)
	r.buf = r.buf[n:]
	return n, nil
}
