package crl_test

import (
	"bytes"
	"crypto"
	_ "crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"crypto/rand"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/card/crl"
	"github.com/portti-id/portti/internal/cardtest"
)

func TestReadKeepsWhatCounts(t *testing.T) {
	l := mustRead(t, list())
	if l.CA != crl.AuthorityOf(ca().Cert) || l.Name != "Portti TEST Organisation Cards" || l.Scope != crl.All || l.Number.String() != "7" || l.Entries != 2 ||
		!l.ThisUpdate.Equal(now.Add(-time.Hour)) || !l.NextUpdate.Equal(now.Add(8*time.Hour)) || l.Size != int64(len(list())) && l.Size == 0 {
		t.Errorf("%+v", l)
	}
}

func TestReadTakesOneOctetAtATime(t *testing.T) {
	for name, data := range map[string][]byte{"DER": list(), "PEM": pemOf(list())} {
		if _, err := crl.Read(iotest.OneByteReader(bytes.NewReader(data)), ca().Cert, now); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func pemOf(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
}

func TestPEMIsOneList(t *testing.T) {
	one := pemOf(list())
	for name, c := range map[string]struct {
		data []byte
		want error
	}{
		"one":                {one, nil},
		"blank lines behind": {slices.Concat(one, []byte("\r\n\n")), nil},
		"two":                {slices.Concat(one, one), crl.ErrMalformed},
		"text behind":        {slices.Concat(one, []byte("x")), crl.ErrMalformed},
		"no end":             {one[:len(one)-30], io.ErrUnexpectedEOF},
		"another block":      {pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: list()}), crl.ErrMalformed},
		"a page":             {[]byte("<!doctype html><title>Maintenance</title>"), crl.ErrMalformed},
		"nothing":            {nil, crl.ErrMalformed},
	} {
		if _, err := read(c.data); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
}

// distribution makes an issuing distribution point of its fields.
func distribution(fields ...byte) []extension {
	return []extension{{oidPoint, true, append([]byte{0x30, byte(len(fields))}, fields...)}}
}

// Every rule of standards.md 2.7, each with one list that breaks it.
func TestListsAreRefused(t *testing.T) {
	with := func(x ...extension) func(*recipe) { return func(r *recipe) { r.extensions = x } }
	of := func(e entry) func(*recipe) { return func(r *recipe) { r.entries = append(r.entries, e) } }
	damage := func(f func(der []byte) []byte) func(*recipe) { return func(r *recipe) { r.damage = f } }
	sha1ECDSA, _ := asn1.Marshal(struct{ A asn1.ObjectIdentifier }{asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 1}})
	ecdsa256, _ := asn1.Marshal(struct{ A asn1.ObjectIdentifier }{asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}})
	withNull := append(append([]byte{0x30, ecdsa384[1] + 2}, ecdsa384[2:]...), 5, 0)
	for name, c := range map[string]struct {
		change func(*recipe)
		want   error
	}{
		"of another CA":           {func(r *recipe) { r.ca = pki().Health }, crl.ErrOtherCA},
		"of an impostor":          {func(r *recipe) { r.ca = &cardtest.CA{Cert: ca().Cert, Key: pki().Root.Key} }, crl.ErrSignature},
		"of another key":          {with(extension{oidKey, false, []byte{0x30, 3, 0x80, 1, 9}}), crl.ErrOtherCA},
		"a broken key identifier": {with(extension{oidKey, false, []byte{0x31, 0}}), crl.ErrMalformed},
		"a flipped bit":           {damage(func(der []byte) []byte { der[len(der)-3] ^= 1; return der }), crl.ErrSignature},
		"a changed entry": {damage(func(der []byte) []byte {
			return bytes.Replace(der, []byte{2, 2, 0x11, 0x22}, []byte{2, 2, 0x11, 0x23}, 1)
		}), crl.ErrSignature},
		"a dropped signature":        {damage(func(der []byte) []byte { return der[:len(der)-60] }), io.ErrUnexpectedEOF},
		"cut in the middle":          {damage(func(der []byte) []byte { return der[:len(der)/2] }), crl.ErrMalformed},
		"something behind":           {damage(func(der []byte) []byte { return append(der, 0) }), crl.ErrMalformed},
		"SHA-1":                      {func(r *recipe) { r.algorithm, r.hash = sha1ECDSA, crypto.SHA1 }, crl.ErrWeak},
		"two algorithms":             {func(r *recipe) { r.outside = ecdsa256 }, crl.ErrSignature},
		"an algorithm's parameters":  {func(r *recipe) { r.algorithm = withNull }, crl.ErrWeak},
		"version 1":                  {func(r *recipe) { r.version = nil }, crl.ErrMalformed},
		"version 3":                  {func(r *recipe) { r.version = []byte{2} }, crl.ErrMalformed},
		"from the future":            {func(r *recipe) { r.this = now.Add(2 * time.Minute) }, crl.ErrFuture},
		"without an end":             {func(r *recipe) { r.next = time.Time{} }, crl.ErrNoNextUpdate},
		"an end before the begin":    {func(r *recipe) { r.next = r.this }, crl.ErrNoNextUpdate},
		"no number":                  {func(r *recipe) { r.number = nil }, crl.ErrNoNumber},
		"no number among extensions": {func(r *recipe) { r.number, r.extensions = nil, []extension{{oidInvented, false, nil}} }, crl.ErrNoNumber},
		"a negative number":          {func(r *recipe) { r.number = []byte{0x80} }, crl.ErrNoNumber},
		"a number of 21 octets":      {func(r *recipe) { r.number = bytes.Repeat([]byte{1}, 21) }, crl.ErrNoNumber},
		"two numbers":                {with(extension{oidNumber, false, []byte{2, 1, 9}}), crl.ErrMalformed},
		"a delta":                    {with(extension{oidDelta, true, []byte{2, 1, 1}}), crl.ErrDelta},
		"a delta that is not marked": {with(extension{oidDelta, false, []byte{2, 1, 1}}), crl.ErrDelta},
		"an unknown extension":       {with(extension{oidInvented, true, nil}), crl.ErrExtension},
		"indirect":                   {with(distribution(0x84, 1, 0xff)...), crl.ErrIndirect},
		"some reasons":               {with(distribution(0x83, 2, 6, 0x40)...), crl.ErrScope},
		"attribute certificates":     {with(distribution(0x85, 1, 0xff)...), crl.ErrScope},
		"users and CAs":              {with(distribution(0x81, 1, 0xff, 0x82, 1, 0xff)...), crl.ErrMalformed},
		"a flag that is none":        {with(distribution(0x81, 1, 7)...), crl.ErrMalformed},
		"a flag out of order":        {with(distribution(0x82, 1, 0xff, 0x81, 1, 0xff)...), crl.ErrMalformed},
		"a point without address":    {with(distribution(0xa0, 4, 0xa0, 2, 0xa4, 0)...), crl.ErrScope},
		"a relative point":           {with(distribution(0xa0, 2, 0xa1, 0)...), crl.ErrScope},
		"an entry of another CA":     {of(entry{[]byte{5}, now, -1, []extension{{oidIssuer, true, []byte{0x30, 0}}}}), crl.ErrIndirect},
		"and one that is not marked": {of(entry{[]byte{5}, now, -1, []extension{{oidIssuer, false, []byte{0x30, 0}}}}), crl.ErrIndirect},
		"an entry's extension":       {of(entry{[]byte{5}, now, -1, []extension{{oidInvented, true, nil}}}), crl.ErrExtension},
		"two reasons":                {of(entry{[]byte{5}, now, 1, []extension{{oidReason, false, []byte{0x0a, 1, 6}}}}), crl.ErrMalformed},
		"a reason that is none":      {of(entry{[]byte{5}, now, -1, []extension{{oidReason, false, []byte{2, 1, 6}}}}), crl.ErrMalformed},
		"an empty serial number":     {of(entry{[]byte{}, now, -1, nil}), crl.ErrMalformed},
		"a padded serial number":     {of(entry{[]byte{0, 5}, now, -1, nil}), crl.ErrMalformed},
		"an endless length":          {damage(func(der []byte) []byte { return append([]byte{0x30, 0x80}, der[4:]...) }), crl.ErrMalformed},
		"a length of 1 GB":           {damage(func(der []byte) []byte { return append([]byte{0x30, 0x84, 0x40, 0, 0, 0}, der[4:]...) }), crl.ErrTooLarge},
		"an inner length too long":   {damage(func(der []byte) []byte { der[6] = 0xff; return der }), crl.ErrMalformed},
	} {
		if _, err := read(list(c.change)); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
	for name, usage := range map[string]x509.KeyUsage{"no cRLSign": x509.KeyUsageCertSign} {
		if _, err := crl.Read(bytes.NewReader(list()), mustKeyUsage(ca().Cert, usage), now); !errors.Is(err, crl.ErrNotASigner) {
			t.Errorf("%s: %v", name, err)
		}
	}
	leaf := pki().TestCard(t, "leaf", cardtest.Person{Given: "Aino", Family: "Virtanen", Serial: "1", Organisation: "Agency"})
	if _, err := crl.Read(bytes.NewReader(list()), leaf.Cert, now); !errors.Is(err, crl.ErrNotASigner) {
		t.Errorf("a card as CA: %v", err)
	}
}

func TestListsThatAreUnusualAndGood(t *testing.T) {
	id := ca().Cert.SubjectKeyId
	for name, change := range map[string]func(*recipe){
		"no entries":             func(r *recipe) { r.entries = nil },
		"over":                   func(r *recipe) { r.this, r.next = now.Add(-48*time.Hour), now.Add(-24*time.Hour) },
		"a clock a little ahead": func(r *recipe) { r.this = now.Add(50 * time.Second) },
		"a number of 20 octets":  func(r *recipe) { r.number = bytes.Repeat([]byte{0x7f}, 20) },
		"an unknown extension":   func(r *recipe) { r.extensions = []extension{{oidInvented, false, []byte{5, 0}}} },
		"the right key": func(r *recipe) {
			r.extensions = []extension{{oidKey, false, append([]byte{0x30, byte(len(id) + 2), 0x80, byte(len(id))}, id...)}}
		},
		"a point that says false": func(r *recipe) { r.extensions = distribution(0x84, 1, 0) },
		"odd serial numbers": func(r *recipe) {
			r.entries = append(r.entries, entry{[]byte{0}, now, -1, nil}, entry{[]byte{0x80}, now, -1, nil}, entry{append([]byte{1}, make([]byte, 20)...), now, -1, nil})
		},
	} {
		if _, err := read(list(change)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAlgorithms(t *testing.T) {
	hashes := map[crypto.Hash][]byte{crypto.SHA256: {0x0b, 1}, crypto.SHA384: {0x0c, 2}, crypto.SHA512: {0x0d, 3}}
	for hash, ids := range hashes {
		pkcs1 := []byte{0x30, 0x0d, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, ids[0], 5, 0}
		id := append([]byte{0x30, 0x0d, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, ids[1]}, 5, 0)
		pss := func(salt byte) []byte {
			mgf := slices.Concat([]byte{0x30, 0x1a, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 8}, id)
			parameters := slices.Concat([]byte{0xa0, 0x0f}, id, []byte{0xa1, 0x1c}, mgf, []byte{0xa2, 3, 2, 1, salt})
			oid := []byte{6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 0x0a}
			return slices.Concat([]byte{0x30, byte(len(oid) + 2 + len(parameters))}, oid, []byte{0x30, byte(len(parameters))}, parameters)
		}
		for name, c := range map[string]struct {
			algorithm []byte
			want      error
		}{"PKCS #1": {pkcs1, nil}, "PSS": {pss(byte(hash.Size())), nil}, "PSS with a short salt": {pss(20), crl.ErrWeak}} {
			der := list(func(r *recipe) { r.ca, r.algorithm, r.hash = rsaCA(), c.algorithm, hash })
			if _, err := crl.Read(bytes.NewReader(der), rsaCA().Cert, now); !errors.Is(err, c.want) {
				t.Errorf("%v, %s: %v", hash, name, err)
			}
		}
	}
	weak, err := cardtest.NewCA("weak", "Portti TEST Weak", cardtest.RSA1024, nil, now)
	must(t, err)
	der := list(func(r *recipe) {
		r.ca, r.algorithm, r.hash = weak, []byte{0x30, 0x0d, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 0x0b, 5, 0}, crypto.SHA256
	})
	_, err = crl.Read(bytes.NewReader(der), weak.Cert, now)
	wantErr(t, err, crl.ErrWeak)
}

// What crypto/x509 reads of a list, and we do, is the same.
func TestReadAgreesWithX509(t *testing.T) {
	seed := uint64(now.Unix())
	t.Logf("seed %d", seed)
	chance := mathrand.New(mathrand.NewPCG(seed, 1))
	for range 20 {
		template := &x509.RevocationList{Number: new(big.Int).SetUint64(chance.Uint64()), ThisUpdate: now.Add(-time.Hour), NextUpdate: now.Add(time.Hour)}
		for range chance.IntN(60) {
			serial := make([]byte, 1+chance.IntN(20))
			for i := range serial {
				serial[i] = byte(chance.Uint32())
			}
			serial[0] = serial[0]&0x7f | 1
			if slices.ContainsFunc(template.RevokedCertificateEntries, func(e x509.RevocationListEntry) bool { return bytes.Equal(e.SerialNumber.Bytes(), serial) }) {
				continue // of two entries with one number the worse one counts: see TestEntriesOfOneNumber
			}
			template.RevokedCertificateEntries = append(template.RevokedCertificateEntries, x509.RevocationListEntry{
				SerialNumber: new(big.Int).SetBytes(serial), RevocationTime: now.Add(-time.Duration(chance.IntN(1e6)) * time.Second), ReasonCode: []int{0, 1, 4, 5, 6, 9}[chance.IntN(6)]})
		}
		der, err := x509.CreateRevocationList(rand.Reader, template, ca().Cert, ca().Key)
		must(t, err)
		theirs, err := x509.ParseRevocationList(der)
		must(t, err)
		must(t, theirs.CheckSignatureFrom(ca().Cert))
		ours := mustRead(t, der)
		if ours.Number.String() != theirs.Number.String() || !ours.ThisUpdate.Equal(theirs.ThisUpdate) || !ours.NextUpdate.Equal(theirs.NextUpdate) || ours.Entries != len(theirs.RevokedCertificateEntries) {
			t.Fatalf("%+v, want %+v", ours, theirs)
		}
		lists := held(t, ours)
		for _, e := range theirs.RevokedCertificateEntries {
			want := card.Status{State: card.WasRevoked, Since: e.RevocationTime}
			if e.ReasonCode == 6 {
				want.State = card.OnHold
			}
			got := lists.Status(ca().Cert, e.SerialNumber, now)
			if got.State != want.State || !got.Since.Equal(want.Since) {
				t.Errorf("%x: got %+v, want %+v", e.SerialNumber, got, want)
			}
			if next := new(big.Int).Add(e.SerialNumber, big.NewInt(1)); !slices.ContainsFunc(theirs.RevokedCertificateEntries, func(o x509.RevocationListEntry) bool { return o.SerialNumber.Cmp(next) == 0 }) {
				if got := lists.Status(ca().Cert, next, now); got.State != card.NotRevoked && next.BitLen() <= 160 {
					t.Errorf("%x is not on the list: %+v", next, got)
				}
			}
		}
	}
}

// A million entries, as the largest list of a Finnish CA has, stay below 100 MiB.
func TestAMillionEntriesAreSmall(t *testing.T) {
	const entries = 1_000_000
	name := filepath.Join(t.TempDir(), "large.crl")
	func() {
		chance := mathrand.New(mathrand.NewPCG(1, 2))
		all := make([]entry, entries)
		for i := range all {
			serial := make([]byte, 16)
			for j := range serial {
				serial[j] = byte(chance.Uint32())
			}
			serial[0] = serial[0]&0x7f | 1
			all[i] = entry{serial: serial, at: now.Add(-time.Duration(i) * time.Second), reason: -1}
		}
		all[77].serial = []byte{0x7a, 0x7b}
		must(t, os.WriteFile(name, list(func(r *recipe) { r.entries = all }), 0o600))
	}()
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	file, err := os.Open(name)
	must(t, err)
	defer file.Close()
	l, err := crl.Read(file, ca().Cert, now)
	must(t, err)
	lists := held(t, l)
	live := int64(heap()) - int64(before)
	t.Logf("%d MiB live, %.1f octets an entry, of a list of %d MiB", live>>20, float64(live)/entries, l.Size>>20)
	if live > 30*entries || live > 100<<20 {
		t.Errorf("%d octets live: more than 30 an entry", live)
	}
	if l.Entries != entries || state(lists, 0x7a7b, now) != card.WasRevoked || state(lists, 0x7a7c, now) != card.NotRevoked {
		t.Errorf("%d entries, %v, %v", l.Entries, state(lists, 0x7a7b, now), state(lists, 0x7a7c, now))
	}
	runtime.KeepAlive(lists)
}

func TestReadPassesOnWhatItsReaderSays(t *testing.T) {
	reset := errors.New("reset")
	_, err := crl.Read(io.MultiReader(bytes.NewReader(list()[:100]), iotest.ErrReader(reset)), ca().Cert, now)
	wantErr(t, err, reset)
	if errors.Is(err, crl.ErrMalformed) {
		t.Errorf("the list is blamed: %v", err)
	}
}

func TestReadStopsWhereNothingComes(t *testing.T) {
	blank := io.MultiReader(strings.NewReader("-----BEGIN X509 CRL-----\n"), endless('\n'))
	if _, err := crl.Read(blank, ca().Cert, now); !errors.Is(err, crl.ErrMalformed) {
		t.Error(err)
	}
}

type endless byte

func (e endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(e)
	}
	return len(b), nil
}

func FuzzRead(f *testing.F) {
	good := list()
	f.Add(good)
	f.Add(pemOf(good))
	f.Add(list(func(r *recipe) { r.extensions = distribution(0xa0, 6, 0xa0, 4, 0x86, 2, 'u', 'r', 0x81, 1, 0xff) }))
	f.Add(list(func(r *recipe) { r.entries = nil }))
	template := &x509.RevocationList{Number: big.NewInt(3), ThisUpdate: now, NextUpdate: now.Add(time.Hour), ExtraExtensions: []pkix.Extension{{Id: oidInvented, Value: []byte{5, 0}}}}
	if der, err := x509.CreateRevocationList(rand.Reader, template, ca().Cert, ca().Key); err == nil {
		f.Add(der)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := read(data)
		if err != nil {
			return
		}
		// Whatever we accept, crypto/x509 accepts, and the CA has signed it.
		if block, _ := pem.Decode(data); block != nil {
			data = block.Bytes
		}
		theirs, err := x509.ParseRevocationList(data)
		if err != nil {
			t.Fatalf("we read %+v, and crypto/x509 says %v", l, err)
		}
		if err := theirs.CheckSignatureFrom(ca().Cert); err != nil {
			t.Fatal(err)
		}
	})
}
