package crl

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Read reads a list of ca, DER or PEM, to its end, and verifies it at the time
// now. Only what List holds is ever in memory. Errors: the Err… of this package,
// and those of r. A list that is over (NextUpdate) is read all the same: what it
// says of those on it stays true.
func Read(r io.Reader, ca *x509.Certificate, now time.Time) (*List, error) {
	if !ca.IsCA || ca.KeyUsage != 0 && ca.KeyUsage&x509.KeyUsageCRLSign == 0 {
		return nil, ErrNotASigner
	}
	der, err := unwrap(&bounded{in: r, left: 2 * MaxSize}) // PEM takes more, but not for ever
	if err != nil {
		return nil, err
	}
	digest := sha256.New()
	in := &derReader{in: bufio.NewReaderSize(io.TeeReader(&bounded{in: der, left: MaxSize}, digest), largestElement)}
	l := &List{CA: AuthorityOf(ca), Name: ca.Subject.CommonName, Scope: All}
	if err := l.read(in, ca, now); err != nil {
		return nil, err
	}
	switch _, err := in.in.Peek(1); {
	case err == nil:
		return nil, malformed("something follows it")
	case !errors.Is(err, io.EOF):
		return nil, err
	}
	l.Size, l.Digest = in.at, hex.EncodeToString(digest.Sum(nil))
	return l, nil
}

// read is CertificateList (RFC 5280 §5.1).
func (l *List) read(in *derReader, ca *x509.Certificate, now time.Time) error {
	_, _, length, err := in.header()
	switch {
	case err != nil:
		return err
	case length > MaxSize:
		return ErrTooLarge // before anything of it was read
	}
	end, err := in.enter(tagSequence, math.MaxInt64)
	if err != nil {
		return err
	}

	// What is signed begins here, before it is said how: until then it is kept.
	var early bytes.Buffer
	in.signed = &early
	signedEnd, err := in.enter(tagSequence, end)
	if err != nil {
		return err
	}
	if err := version2(in, signedEnd); err != nil {
		return err
	}
	named, content, err := in.element(tagSequence, signedEnd)
	if err != nil {
		return err
	}
	how, err := algorithmOf(content)
	if err != nil {
		return err
	}
	named = bytes.Clone(named)
	sum := how.hash.New()
	sum.Write(early.Bytes())
	in.signed = sum

	if err := l.body(in, signedEnd, ca, now); err != nil {
		return err
	}
	in.signed = nil
	outside, _, err := in.element(tagSequence, end)
	if err != nil {
		return err
	}
	if !bytes.Equal(outside, named) { // RFC 5280 §5.1.1.2
		return fmt.Errorf("%w: it names two signature algorithms", ErrSignature)
	}
	_, signature, err := in.element(tagBitString, end)
	if err != nil {
		return err
	}
	if len(signature) < 1 || signature[0] != 0 || in.at != end {
		return malformed("its signature")
	}
	return how.verify(ca, sum.Sum(nil), signature[1:])
}

func version2(in *derReader, end int64) error {
	if tag, err := in.next(end); err != nil || tag != tagInteger {
		return cmp.Or(err, malformed("it is of version 1"))
	}
	_, content, err := in.element(tagInteger, end)
	if err != nil {
		return err
	}
	if !bytes.Equal(content, []byte{1}) {
		return malformed("it is not of version 2")
	}
	return nil
}

// body is the rest of TBSCertList.
func (l *List) body(in *derReader, end int64, ca *x509.Certificate, now time.Time) error {
	issuer, _, err := in.element(tagSequence, end)
	if err != nil {
		return err
	}
	if !bytes.Equal(issuer, ca.RawSubject) {
		return fmt.Errorf("%w: its issuer has another name", ErrOtherCA)
	}
	if l.ThisUpdate, err = in.time(end); err != nil {
		return err
	}
	if l.ThisUpdate.After(now.Add(skew)) {
		return fmt.Errorf("%w: %s", ErrFuture, l.ThisUpdate.Format(time.RFC3339))
	}
	tag, err := in.next(end)
	if err != nil {
		return err
	}
	if tag != tagUTCTime && tag != tagGeneralizedTime {
		return ErrNoNextUpdate
	}
	if l.NextUpdate, err = in.time(end); err != nil {
		return err
	}
	if !l.NextUpdate.After(l.ThisUpdate) {
		return fmt.Errorf("%w: it ends before it begins", ErrNoNextUpdate)
	}
	if tag, err = in.next(end); err != nil {
		return err
	}
	if tag == tagSequence {
		if err := l.entries(in, end); err != nil {
			return err
		}
	}
	if tag, err = in.next(end); err != nil {
		return err
	}
	switch tag {
	case tagExtensions:
	case 0:
		return ErrNoNumber
	default:
		return malformed("something unknown stands behind its entries")
	}
	_, extensions, err := in.element(tagExtensions, end)
	if err != nil {
		return err
	}
	if in.at != end {
		return malformed("something follows its extensions")
	}
	return l.extensions(extensions, ca)
}

// entries reads revokedCertificates.
func (l *List) entries(in *derReader, end int64) error {
	end, err := in.enter(tagSequence, end)
	if err != nil {
		return err
	}
	for in.at < end {
		_, content, err := in.element(tagSequence, end)
		if err != nil {
			return err
		}
		if err := l.entry(content); err != nil {
			return err
		}
	}
	l.revoked.seal()
	return nil
}

// Reasons (RFC 5280 §5.3.1) that mean something else than revoked.
const (
	certificateHold = 6
	removeFromCRL   = 8
)

func (l *List) entry(content cryptobyte.String) error {
	var serial cryptobyte.String
	if !content.ReadASN1(&serial, asn1.INTEGER) || len(serial) == 0 || len(serial) > 1 && (serial[0] == 0 && serial[1] < 0x80 || serial[0] == 0xff && serial[1] >= 0x80) {
		return malformed("a serial number that is none")
	}
	var date cryptobyte.String
	var tag asn1.Tag
	if !content.ReadAnyASN1(&date, &tag) {
		return malformed("an entry without a date")
	}
	at, ok := parseTime(byte(tag), date)
	if !ok || tag != tagUTCTime && tag != tagGeneralizedTime {
		return malformed("an entry with a date that is none")
	}
	reason := 0
	if !content.Empty() {
		var err error
		if reason, err = reasonOf(content); err != nil {
			return err
		}
	}
	l.Entries++
	// A number that no certificate may have, and that nobody can be asked about:
	// see Lists.Status. And one that was taken off the list, which only lists of
	// changes ought to say: it is not revoked any more.
	if serial[0]&0x80 != 0 || reason == removeFromCRL {
		return nil
	}
	if serial[0] == 0 {
		serial = serial[1:]
	}
	if len(serial) == 0 || len(serial) > longestSerial {
		return nil
	}
	flag := flagRevoked
	if reason == certificateHold {
		flag = flagOnHold
	}
	l.revoked.add(serial, flag, at)
	return nil
}

// Extensions, as the octets of their object identifiers.
const (
	extReason       = "\x55\x1d\x15" // 2.5.29.21
	extInvalidity   = "\x55\x1d\x18" // 2.5.29.24
	extEntryIssuer  = "\x55\x1d\x1d" // 2.5.29.29
	extAuthorityKey = "\x55\x1d\x23" // 2.5.29.35
	extNumber       = "\x55\x1d\x14" // 2.5.29.20
	extDelta        = "\x55\x1d\x1b" // 2.5.29.27
	extPoint        = "\x55\x1d\x1c" // 2.5.29.28
)

// eachExtension walks through Extensions, the SEQUENCE included.
func eachExtension(in cryptobyte.String, f func(id string, critical bool, value cryptobyte.String) error) error {
	var all cryptobyte.String
	if !in.ReadASN1(&all, asn1.SEQUENCE) || !in.Empty() || all.Empty() {
		return malformed("its extensions")
	}
	for !all.Empty() {
		var one, id, value cryptobyte.String
		var critical bool
		if !all.ReadASN1(&one, asn1.SEQUENCE) || !one.ReadASN1(&id, asn1.OBJECT_IDENTIFIER) {
			return malformed("an extension")
		}
		if one.PeekASN1Tag(asn1.BOOLEAN) && !one.ReadASN1Boolean(&critical) {
			return malformed("an extension")
		}
		if !one.ReadASN1(&value, asn1.OCTET_STRING) || !one.Empty() {
			return malformed("an extension")
		}
		if err := f(string(id), critical, value); err != nil {
			return err
		}
	}
	return nil
}

// reasonOf reads the extensions of an entry; 0 where no reason is given.
func reasonOf(extensions cryptobyte.String) (reason int, err error) {
	told := false
	err = eachExtension(extensions, func(id string, critical bool, value cryptobyte.String) error {
		switch id {
		case extReason:
			if told || !value.ReadASN1Enum(&reason) || !value.Empty() {
				return malformed("an entry's reason")
			}
			told = true
		case extInvalidity:
		case extEntryIssuer:
			return fmt.Errorf("%w: an entry names its certificate's issuer", ErrIndirect)
		default:
			if critical {
				return fmt.Errorf("%w: of an entry", ErrExtension)
			}
		}
		return nil
	})
	return reason, err
}

// extensions reads those of the list.
func (l *List) extensions(in cryptobyte.String, ca *x509.Certificate) error {
	var seen []string
	err := eachExtension(in, func(id string, critical bool, value cryptobyte.String) error {
		if slices.Contains(seen, id) {
			return malformed("an extension stands there twice")
		}
		seen = append(seen, id)
		switch id {
		case extNumber:
			var n cryptobyte.String
			ok := value.ReadASN1(&n, asn1.INTEGER) && value.Empty()
			if ok {
				l.Number, ok = numberOf(n)
			}
			if !ok {
				return fmt.Errorf("%w: it cannot be read", ErrNoNumber)
			}
		case extAuthorityKey:
			return sameKey(value, ca)
		case extDelta:
			return ErrDelta
		case extPoint:
			return l.point(value)
		default:
			if critical {
				return ErrExtension
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if l.Number == "" {
		return ErrNoNumber
	}
	return nil
}

// sameKey compares the authority key identifier with the CA's, where both have
// one (RFC 5280 §5.2.1).
func sameKey(value cryptobyte.String, ca *x509.Certificate) error {
	var aki, id cryptobyte.String
	var present bool
	if !value.ReadASN1(&aki, asn1.SEQUENCE) || !value.Empty() || !aki.ReadOptionalASN1(&id, &present, asn1.Tag(0).ContextSpecific()) {
		return malformed("its authority key identifier")
	}
	if present && len(ca.SubjectKeyId) > 0 && !bytes.Equal(id, ca.SubjectKeyId) {
		return fmt.Errorf("%w: it is signed by another key", ErrOtherCA)
	}
	return nil
}

// point reads the issuing distribution point (RFC 5280 §5.2.5): what the list
// leaves out.
func (l *List) point(value cryptobyte.String) error {
	wrong := malformed("its issuing distribution point")
	var in, name cryptobyte.String
	var named bool
	if !value.ReadASN1(&in, asn1.SEQUENCE) || !value.Empty() || !in.ReadOptionalASN1(&name, &named, asn1.Tag(0).ContextSpecific().Constructed()) {
		return wrong
	}
	if named {
		if err := l.points(name); err != nil {
			return err
		}
	}
	broken := false
	flag := func(n uint8) (set bool) {
		var octets cryptobyte.String
		var present bool
		if !in.ReadOptionalASN1(&octets, &present, asn1.Tag(n).ContextSpecific()) || present && (len(octets) != 1 || octets[0] != 0 && octets[0] != 0xff) {
			broken = true
		}
		return present && !broken && octets[0] == 0xff
	}
	users, cas := flag(1), flag(2)
	reasons := in.PeekASN1Tag(asn1.Tag(3).ContextSpecific())
	if !in.SkipOptionalASN1(asn1.Tag(3).ContextSpecific()) {
		return wrong
	}
	indirect, attributes := flag(4), flag(5)
	switch {
	case broken || !in.Empty():
		return wrong
	case indirect:
		return ErrIndirect
	case reasons:
		return fmt.Errorf("%w: it knows some reasons only", ErrScope)
	case attributes:
		return fmt.Errorf("%w: it is about attribute certificates", ErrScope)
	case users && cas:
		return wrong
	case users:
		l.Scope = Users
	case cas:
		l.Scope = CAs
	}
	return nil
}

// points reads DistributionPointName: addresses, one of which a certificate must
// name for the list to speak of it.
func (l *List) points(name cryptobyte.String) error {
	var full cryptobyte.String
	if !name.ReadASN1(&full, asn1.Tag(0).ContextSpecific().Constructed()) || !name.Empty() {
		return fmt.Errorf("%w: it is for a distribution point without an address", ErrScope)
	}
	for !full.Empty() {
		var one cryptobyte.String
		var tag asn1.Tag
		if !full.ReadAnyASN1(&one, &tag) {
			return malformed("its issuing distribution point")
		}
		if tag == asn1.Tag(6).ContextSpecific() { // uniformResourceIdentifier
			l.Points = append(l.Points, string(one))
		}
	}
	if len(l.Points) == 0 {
		return fmt.Errorf("%w: it is for a distribution point without an address", ErrScope)
	}
	return nil
}
