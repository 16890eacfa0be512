package crl_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"log/slog"
	"math/big"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/card/crl"
	"github.com/portti-id/portti/internal/cardtest"
)

// now is the time of every test.
var now = time.Now().UTC().Truncate(time.Second)

// pki is one for the whole package: making it costs more than most tests.
var pki = sync.OnceValue(func() *cardtest.PKI {
	p, err := cardtest.New(now)
	if err != nil {
		panic(err)
	}
	return p
})

var quiet = slog.New(slog.DiscardHandler)

func ca() *cardtest.CA { return pki().Organisation }

// trust is the trust of the PKI; addresses are where the organisation CA's lists are.
func trust(t testing.TB, addresses ...string) func() *card.Trust {
	t.Helper()
	tr := pki().TestTrust(t, func(c *card.TrustConfig) { c.Issuers[0].CRL = addresses })
	return func() *card.Trust { return tr }
}

// entry is a line of a list.
type entry struct {
	serial     []byte // content of the INTEGER
	at         time.Time
	reason     int // -1: none is given
	extensions []extension
}

type extension struct {
	id       asn1.ObjectIdentifier
	critical bool
	value    []byte
}

// recipe is a list in every detail, so that it can be wrong in any.
type recipe struct {
	ca         *cardtest.CA
	version    []byte // content of the INTEGER; nil: none
	algorithm  []byte // AlgorithmIdentifier
	outside    []byte // the one outside, if it is another
	hash       crypto.Hash
	this, next time.Time
	entries    []entry
	number     []byte // content of the INTEGER; nil: no such extension
	extensions []extension
	damage     func(der []byte) []byte
}

// ECDSA with SHA-384, which is what the CAs of cardtest have keys for.
var ecdsa384, _ = asn1.Marshal(struct{ A asn1.ObjectIdentifier }{asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3}})

var (
	oidNumber   = asn1.ObjectIdentifier{2, 5, 29, 20}
	oidReason   = asn1.ObjectIdentifier{2, 5, 29, 21}
	oidDelta    = asn1.ObjectIdentifier{2, 5, 29, 27}
	oidPoint    = asn1.ObjectIdentifier{2, 5, 29, 28}
	oidIssuer   = asn1.ObjectIdentifier{2, 5, 29, 29}
	oidKey      = asn1.ObjectIdentifier{2, 5, 29, 35}
	oidInvented = asn1.ObjectIdentifier{2, 999, 7}
)

// list is a good list of the organisation CA with two entries, number 7.
func list(change ...func(*recipe)) []byte {
	r := &recipe{ca: ca(), version: []byte{1}, algorithm: ecdsa384, hash: crypto.SHA384, this: now.Add(-time.Hour), next: now.Add(8 * time.Hour), number: []byte{7},
		entries: []entry{{[]byte{0x11, 0x22}, now.Add(-48 * time.Hour), -1, nil}, {[]byte{0x33}, now.Add(-24 * time.Hour), 6, nil}}}
	for _, c := range change {
		c(r)
	}
	return r.make()
}

func numbered(n byte) func(*recipe) { return func(r *recipe) { r.number = []byte{n} } }

func (r *recipe) make() []byte {
	var tbs cryptobyte.Builder
	tbs.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		if r.version != nil {
			b.AddASN1(cbasn1.INTEGER, func(b *cryptobyte.Builder) { b.AddBytes(r.version) })
		}
		b.AddBytes(r.algorithm)
		b.AddBytes(r.ca.Cert.RawSubject)
		b.AddASN1UTCTime(r.this)
		if !r.next.IsZero() {
			b.AddASN1UTCTime(r.next)
		}
		if len(r.entries) > 0 {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				for _, e := range r.entries {
					e.add(b)
				}
			})
		}
		all := r.extensions
		if r.number != nil {
			var n cryptobyte.Builder
			n.AddASN1(cbasn1.INTEGER, func(b *cryptobyte.Builder) { b.AddBytes(r.number) })
			all = append([]extension{{oidNumber, false, n.BytesOrPanic()}}, all...)
		}
		if len(all) > 0 {
			b.AddASN1(cbasn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) { addExtensions(b, all) })
		}
	})
	signed := tbs.BytesOrPanic()
	h := r.hash.New()
	h.Write(signed)
	var opts crypto.SignerOpts = r.hash
	if bytes.Contains(r.algorithm, []byte{0x01, 0x01, 0x0a}) { // RSA-PSS
		opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: r.hash}
	}
	signature, err := r.ca.Key.Sign(rand.Reader, h.Sum(nil), opts)
	if err != nil {
		panic(err)
	}
	outside := r.outside
	if outside == nil {
		outside = r.algorithm
	}
	var out cryptobyte.Builder
	out.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(signed)
		b.AddBytes(outside)
		b.AddASN1BitString(signature)
	})
	der := out.BytesOrPanic()
	if r.damage != nil {
		der = r.damage(der)
	}
	return der
}

func (e entry) add(b *cryptobyte.Builder) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.INTEGER, func(b *cryptobyte.Builder) { b.AddBytes(e.serial) })
		b.AddASN1UTCTime(e.at)
		all := e.extensions
		if e.reason >= 0 {
			all = append([]extension{{oidReason, false, []byte{0x0a, 1, byte(e.reason)}}}, all...)
		}
		if len(all) > 0 {
			addExtensions(b, all)
		}
	})
}

func addExtensions(b *cryptobyte.Builder, all []extension) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, x := range all {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(x.id)
				if x.critical {
					b.AddASN1Boolean(true)
				}
				b.AddASN1OctetString(x.value)
			})
		}
	})
}

func read(der []byte) (*crl.List, error) { return crl.Read(bytes.NewReader(der), ca().Cert, now) }

func mustRead(t testing.TB, der []byte) *crl.List {
	t.Helper()
	l, err := read(der)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// held are Lists with these in them.
func held(t testing.TB, lists ...*crl.List) *crl.Lists {
	t.Helper()
	all := &crl.Lists{Trust: trust(t)}
	for _, l := range lists {
		must(t, all.Keep(l))
	}
	return all
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
}

func state(l *crl.Lists, serial int64, at time.Time) card.State {
	return l.Status(ca().Cert, big.NewInt(serial), at).State
}

// rsaCA is an authority with an RSA key.
var rsaCA = sync.OnceValue(func() *cardtest.CA {
	c, err := cardtest.NewCA("rsa", "Portti TEST RSA Cards", cardtest.RSA2048, nil, now)
	if err != nil {
		panic(err)
	}
	return c
})

func mustKeyUsage(c *x509.Certificate, usage x509.KeyUsage) *x509.Certificate {
	other := *c
	other.KeyUsage = usage
	return &other
}
