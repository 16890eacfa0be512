package revocation_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/card/revocation"
	"github.com/portti-id/portti/internal/cardtest"
	"github.com/portti-id/portti/internal/ephemeral"
)

// noon is when the tests happen.
var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

var (
	oidNonce    = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 2}
	oidNoCheck  = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 5}
	oidBasic    = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 1}
	oidKeyUsage = asn1.ObjectIdentifier{2, 5, 29, 15}

	sha1WithRSA   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 5}
	sha256WithRSA = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}
	sha1WithECDSA = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 1}
	ecdsaSHA256   = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}

	hashOIDs = map[crypto.Hash]asn1.ObjectIdentifier{
		crypto.SHA1:   {1, 3, 14, 3, 2, 26},
		crypto.SHA256: {2, 16, 840, 1, 101, 3, 4, 2, 1},
		crypto.SHA512: {2, 16, 840, 1, 101, 3, 4, 2, 3},
		crypto.MD5:    {1, 2, 840, 113549, 2, 5},
	}
)

// world is a root, an issuing CA with one card, and a responder that says what
// a test wants.
type world struct {
	t        testing.TB
	root, ca *cardtest.CA
	card     *x509.Certificate
	trust    *card.Trust
	cache    *ephemeral.Memory
	lists    lists
	server   *httptest.Server
	asked    atomic.Int32 // questions that arrived

	mu     sync.Mutex
	now    time.Time
	answer http.HandlerFunc
}

// newWorld has a responder at the address in the trust bundle; change edits that.
func newWorld(t testing.TB, kind cardtest.Key, change ...func(*card.TrustConfig)) *world {
	t.Helper()
	w := &world{t: t, now: noon, lists: lists{}}
	w.root = must(cardtest.NewCA("root", "Portti TEST Root", kind, nil, noon))
	w.ca = must(cardtest.NewCA("ca", "Portti TEST Cards", kind, w.root, noon))
	w.server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.asked.Add(1)
		w.mu.Lock()
		answer := w.answer
		w.mu.Unlock()
		answer(rw, r)
	}))
	t.Cleanup(w.server.Close)
	w.card = w.issue(&x509.Certificate{OCSPServer: []string{w.server.URL}})
	w.cache = ephemeral.NewMemory(w.clock)
	w.trust = w.trusting(append([]func(*card.TrustConfig){func(c *card.TrustConfig) {
		c.Roots[0].OCSP = []string{w.server.URL + "/root"}
		c.Issuers[0].OCSP = []string{w.server.URL + "/ca"}
	}}, change...)...)
	w.say(nil)
	return w
}

func (w *world) trusting(change ...func(*card.TrustConfig)) *card.Trust {
	w.t.Helper()
	dir := w.t.TempDir()
	for _, ca := range []*cardtest.CA{w.root, w.ca} {
		mustOK(w.t, os.WriteFile(filepath.Join(dir, ca.Name+".crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Cert.Raw}), 0o600))
	}
	c := card.TrustConfig{Folder: dir, Roots: []card.Authority{{File: "root.crt"}}, AcceptTestCAs: true,
		Issuers: []card.Issuer{{Authority: card.Authority{File: "ca.crt", Name: "Portti TEST Cards"}, Kind: card.OrganisationCard, Policies: []string{"2.999.1"}}}}
	for _, f := range change {
		f(&c)
	}
	return must(card.NewTrust(c, noon))
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) later(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// respond replaces what the responder does.
func (w *world) respond(f http.HandlerFunc) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answer = f
}

// say lets the responder answer truthfully but for what lie changes.
func (w *world) say(lie func(*answer)) {
	w.respond(func(rw http.ResponseWriter, r *http.Request) { w.honest(rw, r, lie) })
}

func (w *world) honest(rw http.ResponseWriter, r *http.Request, lie func(*answer)) {
	q, err := readQuestion(r)
	if err != nil {
		http.Error(rw, err.Error(), http.StatusBadRequest)
		return
	}
	a := w.truth(q)
	if r.URL.Path == "/root" {
		a.from(w.root)
		a.singles[0].issuer = w.root.Cert
	}
	if lie != nil {
		lie(a)
	}
	rw.Header().Set("Content-Type", "application/ocsp-response")
	_, _ = rw.Write(a.der())
}

// truth is that the certificate which was asked about is good.
func (w *world) truth(q question) *answer {
	now := w.clock()
	a := &answer{kind: oidBasic, produced: now, singles: []single{{issuer: w.ca.Cert, hash: crypto.SHA1, serial: q.serial, this: now.Add(-time.Minute), next: now.Add(time.Hour), reason: -1}}, nonce: q.nonce}
	a.from(w.ca)
	return a
}

// checker waits longer than it would, for a machine that is busy.
func (w *world) checker(change ...func(*revocation.Checker)) *revocation.Checker {
	c := &revocation.Checker{Trust: func() *card.Trust { return w.trust }, Cache: w.cache, Lists: w.lists, Timeout: time.Minute, Log: slog.New(slog.DiscardHandler)}
	for _, f := range change {
		f(c)
	}
	return c
}

// status asks a new checker, with nothing remembered.
func (w *world) status(change ...func(*revocation.Checker)) card.Status {
	w.t.Helper()
	mustOK(w.t, w.cache.Close())
	return w.checker(change...).Status(w.t.Context(), w.card, w.ca.Cert, w.clock())
}

// issue makes a certificate of the issuing CA with a key of its own, which is
// kept in keys.
func (w *world) issue(template *x509.Certificate) *x509.Certificate {
	return w.issueBy(w.ca, template).Cert
}

func (w *world) issueBy(ca *cardtest.CA, template *x509.Certificate) *cardtest.CA {
	w.t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	if template.SerialNumber == nil {
		template.SerialNumber = must(rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)))
	}
	if template.Subject.CommonName == "" {
		template.Subject = pkix.Name{CommonName: "somebody"}
	}
	if template.NotBefore.IsZero() {
		template.NotBefore, template.NotAfter = noon.AddDate(0, -1, 0), noon.AddDate(1, 0, 0)
	}
	der := must(x509.CreateCertificate(rand.Reader, template, ca.Cert, key.Public(), ca.Key))
	return &cardtest.CA{Cert: must(x509.ParseCertificate(der)), Key: key}
}

// delegate is a good responder of ca's but for what change does to it.
func (w *world) delegate(ca *cardtest.CA, change func(*x509.Certificate)) *cardtest.CA {
	template := &x509.Certificate{Subject: pkix.Name{CommonName: "responder"}, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning},
		ExtraExtensions: []pkix.Extension{{Id: oidNoCheck, Value: asn1.NullBytes}}}
	if change != nil {
		change(template)
	}
	return w.issueBy(ca, template)
}

// lists says of a serial number what it holds, and Unavailable of others.
type lists map[string]card.State

func (l lists) Status(_ *x509.Certificate, serial *big.Int, _ time.Time) card.Status {
	state, ok := l[serial.String()]
	if !ok {
		state, ok = l["*"]
	}
	if !ok {
		return card.Status{State: card.Unavailable, Reason: "crl: none"}
	}
	s := card.Status{State: state, Source: "crl"}
	if state != card.NotRevoked {
		s.Reason = "crl: the list says so"
	}
	return s
}

// question is what a responder understands of a request.
type question struct {
	serial            *big.Int
	nameHash, keyHash []byte
	nonce             []byte // value of the extension
	headers           http.Header
	der               []byte
}

func readQuestion(r *http.Request) (question, error) {
	der, err := io.ReadAll(r.Body)
	if err != nil {
		return question{}, err
	}
	var parsed struct {
		TBS struct {
			Requests []struct {
				ID struct {
					Hash              pkix.AlgorithmIdentifier
					NameHash, KeyHash []byte
					Serial            *big.Int
				}
			}
			Extensions []pkix.Extension `asn1:"explicit,tag:2,optional"`
		}
	}
	if _, err := asn1.Unmarshal(der, &parsed); err != nil {
		return question{}, err
	}
	id := parsed.TBS.Requests[0].ID
	q := question{serial: id.Serial, nameHash: id.NameHash, keyHash: id.KeyHash, headers: r.Header, der: der}
	for _, e := range parsed.TBS.Extensions {
		if e.Id.Equal(oidNonce) {
			q.nonce = e.Value
		}
	}
	return q, nil
}

// answer is an OCSPResponse in the making.
type answer struct {
	status    int
	kind      asn1.ObjectIdentifier
	version   int
	signer    crypto.Signer
	algorithm asn1.ObjectIdentifier // nil: what suits the signer
	name, key []byte                // who signs, one of the two
	certs     [][]byte
	produced  time.Time
	singles   []single
	nonce     []byte // value of the extension; nil: none
	extra     []pkix.Extension
	tamper    func(signed, signature []byte)
	after     func(der []byte) []byte
}

type single struct {
	issuer     *x509.Certificate
	hash       crypto.Hash
	serial     *big.Int
	state      int // 0 good, 1 revoked, 2 unknown
	since      time.Time
	reason     int // -1: none
	this, next time.Time
	extra      []pkix.Extension
	spoil      func(nameHash, keyHash []byte)
}

// from: the answer is signed by this CA, or by a delegate.
func (a *answer) from(ca *cardtest.CA) { a.signer, a.name, a.key = ca.Key, ca.Cert.RawSubject, nil }

// through: it is signed by a delegate, whose certificate comes along.
func (a *answer) through(d *cardtest.CA) {
	a.from(d)
	a.certs = [][]byte{d.Cert.Raw}
}

func tag(n uint8) cryptobyte_asn1.Tag { return cryptobyte_asn1.Tag(n).ContextSpecific() }

func (a *answer) der() []byte {
	var out cryptobyte.Builder
	out.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Enum(int64(a.status))
		if a.status != 0 {
			return
		}
		b.AddASN1(tag(0).Constructed(), func(b *cryptobyte.Builder) {
			b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(a.kind)
				b.AddASN1OctetString(a.basic())
			})
		})
	})
	der := out.BytesOrPanic()
	if a.after != nil {
		der = a.after(der)
	}
	return der
}

func (a *answer) basic() []byte {
	algorithm, hash := a.algorithm, crypto.SHA256
	if algorithm == nil {
		algorithm = ecdsaSHA256
		if _, ok := a.signer.(*rsa.PrivateKey); ok {
			algorithm = sha256WithRSA
		}
	}
	if algorithm.Equal(sha1WithRSA) || algorithm.Equal(sha1WithECDSA) {
		hash = crypto.SHA1
	}
	signed := a.data()
	signature := must(a.signer.Sign(rand.Reader, sum(hash, signed), hash))
	if a.tamper != nil {
		a.tamper(signed, signature)
	}
	var out cryptobyte.Builder
	out.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(signed)
		b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(algorithm) })
		b.AddASN1BitString(signature)
		if a.certs != nil {
			b.AddASN1(tag(0).Constructed(), func(b *cryptobyte.Builder) {
				b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
					for _, c := range a.certs {
						b.AddBytes(c)
					}
				})
			})
		}
	})
	return out.BytesOrPanic()
}

func (a *answer) data() []byte {
	var out cryptobyte.Builder
	out.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		if a.version != 0 {
			b.AddASN1(tag(0).Constructed(), func(b *cryptobyte.Builder) { b.AddASN1Int64(int64(a.version)) })
		}
		if a.name != nil {
			b.AddASN1(tag(1).Constructed(), func(b *cryptobyte.Builder) { b.AddBytes(a.name) })
		} else {
			b.AddASN1(tag(2).Constructed(), func(b *cryptobyte.Builder) { b.AddASN1OctetString(a.key) })
		}
		b.AddASN1GeneralizedTime(a.produced)
		b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for _, s := range a.singles {
				s.write(b)
			}
		})
		extra := a.extra
		if a.nonce != nil {
			extra = append([]pkix.Extension{{Id: oidNonce, Value: a.nonce}}, extra...)
		}
		writeExtensions(b, extra)
	})
	return out.BytesOrPanic()
}

func (s single) write(b *cryptobyte.Builder) {
	nameHash, keyHash := sum(s.hash, s.issuer.RawSubject), sum(s.hash, keyBits(s.issuer))
	if s.spoil != nil {
		s.spoil(nameHash, keyHash)
	}
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(hashOIDs[s.hash]) })
			b.AddASN1OctetString(nameHash)
			b.AddASN1OctetString(keyHash)
			b.AddASN1BigInt(s.serial)
		})
		switch s.state {
		case 1:
			b.AddASN1(tag(1).Constructed(), func(b *cryptobyte.Builder) {
				b.AddASN1GeneralizedTime(s.since)
				if s.reason >= 0 {
					b.AddASN1(tag(0).Constructed(), func(b *cryptobyte.Builder) { b.AddASN1Enum(int64(s.reason)) })
				}
			})
		default:
			b.AddASN1(tag(uint8(s.state)), func(*cryptobyte.Builder) {})
		}
		b.AddASN1GeneralizedTime(s.this)
		if !s.next.IsZero() {
			b.AddASN1(tag(0).Constructed(), func(b *cryptobyte.Builder) { b.AddASN1GeneralizedTime(s.next) })
		}
		writeExtensions(b, s.extra)
	})
}

func writeExtensions(b *cryptobyte.Builder, list []pkix.Extension) {
	if list == nil {
		return
	}
	b.AddASN1(tag(1).Constructed(), func(b *cryptobyte.Builder) { b.AddBytes(must(asn1.Marshal(list))) })
}

func keyBits(c *x509.Certificate) []byte {
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(c.RawSubjectPublicKeyInfo, &info); err != nil {
		panic(err)
	}
	return info.Key.Bytes
}

func sum(h crypto.Hash, data []byte) []byte {
	w := h.New()
	_, _ = w.Write(data)
	return w.Sum(nil)
}

// must is for what cannot fail but for a defect of the test.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func mustOK(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
