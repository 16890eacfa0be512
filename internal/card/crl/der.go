package crl

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"time"
)

// Tags of DER that lists are made of.
const (
	tagInteger         = 0x02
	tagBitString       = 0x03
	tagUTCTime         = 0x17
	tagGeneralizedTime = 0x18
	tagSequence        = 0x30
	tagExtensions      = 0xa0 // [0] of TBSCertList
)

// largestElement bounds what is looked at in one piece: an entry, a name, the
// list's extensions, the signature.
const largestElement = 64 << 10

// derReader walks through DER as it comes. What it returns is valid until the
// next call.
type derReader struct {
	in     *bufio.Reader
	at     int64     // octets read
	signed io.Writer // gets what is read; nil: nothing does
}

func malformed(why string) error { return fmt.Errorf("%w: %s", ErrMalformed, why) }

// broken explains an error of the reader below: the end of the data is a fault
// of the list, everything else is passed on.
func broken(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it ends too early: %w", ErrMalformed, io.ErrUnexpectedEOF)
	}
	return err
}

// header looks at the tag and the length of the next element, and how long they
// are themselves.
func (d *derReader) header() (tag byte, own int, length int64, err error) {
	b, err := d.in.Peek(2)
	if err != nil {
		return 0, 0, 0, broken(err)
	}
	tag = b[0]
	if tag&0x1f == 0x1f {
		return 0, 0, 0, malformed("a tag of more than one octet")
	}
	if b[1] < 0x80 {
		return tag, 2, int64(b[1]), nil
	}
	n := int(b[1] & 0x7f)
	if n == 0 || n > 4 {
		return 0, 0, 0, malformed("a length that DER does not allow")
	}
	if b, err = d.in.Peek(2 + n); err != nil {
		return 0, 0, 0, broken(err)
	}
	for _, octet := range b[2:] {
		length = length<<8 | int64(octet)
	}
	if b[2] == 0 || length < 0x80 {
		return 0, 0, 0, malformed("a length that is not the shortest")
	}
	return tag, 2 + n, length, nil
}

// next is the tag of the next element, 0 at the end.
func (d *derReader) next(end int64) (byte, error) {
	if d.at == end {
		return 0, nil
	}
	b, err := d.in.Peek(1)
	if err != nil {
		return 0, broken(err)
	}
	return b[0], nil
}

// enter steps into an element that ends no later than end, and returns where it ends.
func (d *derReader) enter(want byte, end int64) (int64, error) {
	tag, own, length, err := d.header()
	switch {
	case err != nil:
		return 0, err
	case tag != want:
		return 0, malformed(fmt.Sprintf("tag %#x where %#x is wanted", tag, want))
	case d.at+int64(own)+length > end:
		return 0, malformed("an element is longer than what it stands in")
	}
	if _, err := d.take(own); err != nil {
		return 0, err
	}
	return d.at + length, nil
}

// element reads a whole element, its header included, and returns its content as well.
func (d *derReader) element(want byte, end int64) (whole, content []byte, err error) {
	tag, own, length, err := d.header()
	switch {
	case err != nil:
		return nil, nil, err
	case tag != want:
		return nil, nil, malformed(fmt.Sprintf("tag %#x where %#x is wanted", tag, want))
	case d.at+int64(own)+length > end:
		return nil, nil, malformed("an element is longer than what it stands in")
	case int64(own)+length > largestElement:
		return nil, nil, malformed("an element is too large")
	}
	whole, err = d.take(own + int(length))
	if err != nil {
		return nil, nil, err
	}
	return whole, whole[own:], nil
}

func (d *derReader) take(n int) ([]byte, error) {
	b, err := d.in.Peek(n)
	if err != nil {
		return nil, broken(err)
	}
	if d.signed != nil {
		_, _ = d.signed.Write(b) // hashes and buffers never fail
	}
	_, _ = d.in.Discard(n) // it was peeked at
	d.at += int64(n)
	return b, nil
}

// time reads one of the two forms of a time (RFC 5280 §4.1.2.5).
func (d *derReader) time(end int64) (time.Time, error) {
	tag, err := d.next(end)
	if err != nil {
		return time.Time{}, err
	}
	if tag != tagUTCTime && tag != tagGeneralizedTime {
		return time.Time{}, malformed("a time is missing")
	}
	_, content, err := d.element(tag, end)
	if err != nil {
		return time.Time{}, err
	}
	t, ok := parseTime(tag, content)
	if !ok {
		return time.Time{}, malformed("a time that is none")
	}
	return t, nil
}

// parseTime reads YYMMDDHHMMSSZ or YYYYMMDDHHMMSSZ. By hand, as it is done a
// million times a list.
func parseTime(tag byte, b []byte) (time.Time, bool) {
	year, ok := 0, true
	two := func() int {
		if len(b) < 2 || b[0] < '0' || b[0] > '9' || b[1] < '0' || b[1] > '9' {
			ok = false
			return 0
		}
		n := int(b[0]-'0')*10 + int(b[1]-'0')
		b = b[2:]
		return n
	}
	if tag == tagGeneralizedTime {
		year = two() * 100
		year += two()
	} else if year = two(); year >= 50 {
		year += 1900
	} else {
		year += 2000
	}
	month, day, hour, minute, second := two(), two(), two(), two(), two()
	if !ok || string(b) != "Z" || hour > 23 || minute > 59 || second > 59 {
		return time.Time{}, false
	}
	t := time.Date(year, time.Month(month), day, hour, minute, second, 0, time.UTC)
	return t, t.Month() == time.Month(month) && t.Day() == day
}

// bounded stops at MaxSize.
type bounded struct {
	in   io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.in.Read(p)
	b.left -= int64(n)
	if b.left < 0 {
		return 0, ErrTooLarge
	}
	return n, err
}

// Lines around a list in PEM (RFC 7468 §6).
const (
	pemBegin = "-----BEGIN X509 CRL-----"
	pemEnd   = "-----END X509 CRL-----"
)

// unwrap gives the DER of a list that may come as PEM.
func unwrap(r io.Reader) (der io.Reader, err error) {
	in := bufio.NewReader(r)
	first, err := in.Peek(len(pemBegin))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if string(first) != pemBegin {
		return in, nil
	}
	_, _ = in.Discard(len(pemBegin))
	return base64.NewDecoder(base64.StdEncoding, &pemBody{in: in}), nil
}

// blankest is how much of nothing may be in PEM: the decoder skips line breaks for ever.
const blankest = 256

// pemBody reads up to the closing line, and looks that nothing follows it.
type pemBody struct {
	in   *bufio.Reader
	done bool
}

func (p *pemBody) Read(b []byte) (int, error) {
	if p.done {
		return 0, io.EOF
	}
	n, err := p.in.Read(b)
	if n > blankest && len(bytes.TrimSpace(b[:n])) == 0 {
		return 0, malformed("its PEM is blank")
	}
	i := bytes.IndexByte(b[:n], '-')
	if i < 0 {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return n, err
	}
	p.done = true
	rest, err := io.ReadAll(io.LimitReader(io.MultiReader(bytes.NewReader(bytes.Clone(b[i:n])), p.in), largestElement))
	if err != nil {
		return 0, err
	}
	if string(bytes.TrimSpace(rest)) != pemEnd {
		return 0, malformed("it is not one PEM block")
	}
	return i, nil
}
