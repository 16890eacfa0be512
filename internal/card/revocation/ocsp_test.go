package revocation_test

import (
	"compress/gzip"
	"crypto"
	_ "crypto/md5"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/card/revocation"
	"github.com/portti-id/portti/internal/cardtest"
)

// lies is what a responder may say, and what comes of it without a list.
var lies = []struct {
	name string
	lie  func(*world, *answer)
	want card.State
	why  string // in the reason
}{
	{"good", func(*world, *answer) {}, card.NotRevoked, ""},
	{"good by key", func(w *world, a *answer) { a.name, a.key = nil, sum(crypto.SHA1, keyBits(w.ca.Cert)) }, card.NotRevoked, ""},
	{"good without nonce", func(_ *world, a *answer) { a.nonce = nil }, card.NotRevoked, ""},
	{"the CA brings its own certificate", func(w *world, a *answer) { a.certs = [][]byte{w.ca.Cert.Raw} }, card.NotRevoked, ""},
	{"CertID by SHA-256", func(_ *world, a *answer) { a.singles[0].hash = crypto.SHA256 }, card.NotRevoked, ""},
	{"CertID by SHA-512", func(_ *world, a *answer) { a.singles[0].hash = crypto.SHA512 }, card.NotRevoked, ""},
	{"revoked", func(_ *world, a *answer) { a.singles[0].state, a.singles[0].since = 1, noon.AddDate(0, -1, 0) }, card.WasRevoked, "says so"},
	{"revoked, with reason", func(_ *world, a *answer) {
		a.singles[0].state, a.singles[0].since, a.singles[0].reason = 1, noon.AddDate(0, -1, 0), 1
	}, card.WasRevoked, "says so"},
	{"on hold", func(_ *world, a *answer) {
		a.singles[0].state, a.singles[0].since, a.singles[0].reason = 1, noon.AddDate(0, -1, 0), 6
	}, card.OnHold, "says so"},
	{"revoked since it is not", func(_ *world, a *answer) {
		a.singles[0].state, a.singles[0].since, a.singles[0].reason = 1, noon.AddDate(0, -1, 0), 8
	}, card.Unavailable, "contradicts"},
	{"unknown", func(_ *world, a *answer) { a.singles[0].state = 2 }, card.Unavailable, "does not know"},
	{"a fourth state", func(_ *world, a *answer) { a.singles[0].state = 3 }, card.Unavailable, "malformed"},

	// Who signs.
	{"impostor: another card of the CA", func(w *world, a *answer) {
		a.through(w.issueBy(w.ca, &x509.Certificate{KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}))
	}, card.Unavailable, "not for answering"},
	{"impostor: a delegate of the CA's name and own making", func(w *world, a *answer) {
		fake := must(cardtest.NewCA("ca", "Portti TEST Cards", cardtest.P256, nil, noon))
		a.through(w.delegate(fake, nil))
	}, card.Unavailable, "not of this CA"},
	{"impostor: the CA's name, another key", func(w *world, a *answer) {
		a.signer = w.issueBy(w.ca, &x509.Certificate{}).Key
	}, card.Unavailable, "signature is wrong"},
	{"delegate", func(w *world, a *answer) { a.through(w.delegate(w.ca, nil)) }, card.NotRevoked, ""},
	{"delegate by key", func(w *world, a *answer) {
		d := w.delegate(w.ca, nil)
		a.through(d)
		a.name, a.key = nil, sum(crypto.SHA1, keyBits(d.Cert))
	}, card.NotRevoked, ""},
	{"delegate after other certificates", func(w *world, a *answer) {
		d := w.delegate(w.ca, nil)
		a.through(d)
		a.certs = [][]byte{w.root.Cert.Raw, w.card.Raw, {0x30, 0}, d.Cert.Raw, w.ca.Cert.Raw}
	}, card.NotRevoked, ""},
	{"two delegates of one name, the first expired", func(w *world, a *answer) {
		old, d := w.delegate(w.ca, func(c *x509.Certificate) { c.NotBefore, c.NotAfter = noon.AddDate(-2, 0, 0), noon.AddDate(-1, 0, 0) }), w.delegate(w.ca, nil)
		a.through(d)
		a.certs = [][]byte{old.Cert.Raw, d.Cert.Raw}
	}, card.NotRevoked, ""},
	{"delegate without key usage", func(w *world, a *answer) { a.through(w.delegate(w.ca, func(c *x509.Certificate) { c.KeyUsage = 0 })) }, card.NotRevoked, ""},
	{"delegate that does not come along", func(w *world, a *answer) { a.from(w.delegate(w.ca, nil)) }, card.Unavailable, "neither the CA nor"},
	{"delegate that is not the signer", func(w *world, a *answer) {
		a.through(w.delegate(w.ca, nil))
		a.signer = w.delegate(w.ca, nil).Key
	}, card.Unavailable, "signature is wrong"},
	{"another's delegate comes along", func(w *world, a *answer) {
		a.through(w.delegate(w.ca, nil))
		a.name = w.card.RawIssuer[:0:0]
		a.key, a.name = sum(crypto.SHA1, []byte("somebody")), nil
	}, card.Unavailable, "neither the CA nor"},
	{"delegate without EKU", func(w *world, a *answer) {
		a.through(w.delegate(w.ca, func(c *x509.Certificate) { c.ExtKeyUsage = nil }))
	}, card.Unavailable, "not for answering"},
	{"delegate for anything", func(w *world, a *answer) {
		a.through(w.delegate(w.ca, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny} }))
	}, card.Unavailable, "not for answering"},
	{"delegate for key agreement", func(w *world, a *answer) {
		a.through(w.delegate(w.ca, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyAgreement }))
	}, card.Unavailable, "not for signatures"},
	{"delegate with an empty key usage", func(w *world, a *answer) {
		a.through(w.delegate(w.ca, func(c *x509.Certificate) {
			c.KeyUsage = 0
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: oidKeyUsage, Critical: true, Value: []byte{3, 1, 0}})
		}))
	}, card.Unavailable, "not for signatures"},
	{"delegate that is a CA", func(w *world, a *answer) {
		a.through(w.delegate(w.ca, func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }))
	}, card.Unavailable, "is a CA"},
	{"expired delegate", func(w *world, a *answer) {
		a.through(w.delegate(w.ca, func(c *x509.Certificate) { c.NotAfter = noon.Add(-time.Second); c.NotBefore = noon.AddDate(-1, 0, 0) }))
	}, card.Unavailable, "not valid at this time"},
	{"delegate of tomorrow", func(w *world, a *answer) {
		a.through(w.delegate(w.ca, func(c *x509.Certificate) { c.NotBefore = noon.Add(time.Second); c.NotAfter = noon.AddDate(1, 0, 0) }))
	}, card.Unavailable, "not valid at this time"},
	{"delegate of the root", func(w *world, a *answer) { a.through(w.delegate(w.root, nil)) }, card.Unavailable, "not of this CA"},
	{"delegate of a delegate", func(w *world, a *answer) {
		first := w.delegate(w.ca, nil)
		second := w.delegate(first, func(c *x509.Certificate) { c.Subject.CommonName = "second" })
		a.through(second)
		a.certs = append(a.certs, first.Cert.Raw)
	}, card.Unavailable, "not of this CA"},
	{"delegate with an odd critical extension", func(w *world, a *answer) {
		a.through(w.delegate(w.ca, func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{2, 999, 7}, Critical: true, Value: asn1.NullBytes})
		}))
	}, card.Unavailable, "critical extension"},
	{"delegate with a weak key", func(w *world, a *answer) {
		d := w.delegate(w.ca, nil)
		weak := must(cardtest.NewCA("weak", "weak", cardtest.P224, nil, noon))
		template := *d.Cert
		template.PublicKey = nil
		der := must(x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "weak"}, NotBefore: d.Cert.NotBefore, NotAfter: d.Cert.NotAfter,
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: d.Cert.ExtKeyUsage, ExtraExtensions: []pkix.Extension{{Id: oidNoCheck, Value: asn1.NullBytes}}}, w.ca.Cert, weak.Key.Public(), w.ca.Key))
		a.through(&cardtest.CA{Cert: must(x509.ParseCertificate(der)), Key: weak.Key})
	}, card.Unavailable, "weak"},
	{"delegate that may itself be revoked", func(w *world, a *answer) {
		a.through(w.delegate(w.ca, func(c *x509.Certificate) { c.ExtraExtensions = nil }))
	}, card.Unavailable, "nobody says that the delegate"},
	{"the root answers for its CA", func(w *world, a *answer) { a.from(w.root) }, card.Unavailable, "neither the CA nor"},
	{"nine certificates", func(w *world, a *answer) {
		for range 9 {
			a.certs = append(a.certs, w.card.Raw)
		}
	}, card.Unavailable, "too many certificates"},
	{"bad signature", func(_ *world, a *answer) { a.tamper = func(_, signature []byte) { signature[len(signature)-1] ^= 1 } }, card.Unavailable, "signature is wrong"},
	{"changed after it was signed", func(_ *world, a *answer) { a.tamper = func(signed, _ []byte) { signed[len(signed)-1] ^= 1 } }, card.Unavailable, "signature is wrong"},
	{"algorithm of another key", func(w *world, a *answer) {
		a.algorithm = sha256WithRSA
		if w.ca.Cert.PublicKeyAlgorithm == x509.RSA {
			a.algorithm = ecdsaSHA256
		}
	}, card.Unavailable, "signature is wrong"},
	{"signed with SHA-1", func(w *world, a *answer) {
		a.algorithm = sha1WithECDSA
		if w.ca.Cert.PublicKeyAlgorithm == x509.RSA {
			a.algorithm = sha1WithRSA
		}
	}, card.Unavailable, "not accepted"},

	// About what.
	{"another serial number", func(_ *world, a *answer) { a.singles[0].serial = new(big.Int).Add(a.singles[0].serial, big.NewInt(1)) }, card.Unavailable, "another certificate"},
	{"the same serial number negative", func(_ *world, a *answer) { a.singles[0].serial = new(big.Int).Neg(a.singles[0].serial) }, card.Unavailable, "another certificate"},
	{"the same serial number of another CA", func(w *world, a *answer) { a.singles[0].issuer = w.root.Cert }, card.Unavailable, "another certificate"},
	{"another issuer's name", func(_ *world, a *answer) { a.singles[0].spoil = func(name, _ []byte) { name[0] ^= 1 } }, card.Unavailable, "another certificate"},
	{"another issuer's key", func(_ *world, a *answer) { a.singles[0].spoil = func(_, key []byte) { key[0] ^= 1 } }, card.Unavailable, "another certificate"},
	{"CertID by MD5", func(_ *world, a *answer) { a.singles[0].hash = crypto.MD5 }, card.Unavailable, "hash"},
	{"two about the same", func(_ *world, a *answer) { a.singles = append(a.singles, a.singles[0]) }, card.Unavailable, "more than the one"},
	{"one about another beside it", func(_ *world, a *answer) {
		other := a.singles[0]
		other.serial = big.NewInt(1)
		a.singles = append(a.singles, other)
	}, card.Unavailable, "more than the one"},
	{"about nothing", func(_ *world, a *answer) { a.singles = nil }, card.Unavailable, "malformed"},

	// When.
	{"stale", func(_ *world, a *answer) {
		a.singles[0].this, a.singles[0].next = noon.Add(-time.Hour), noon.Add(-61*time.Second)
	}, card.Unavailable, "stale"},
	{"stale within the skew", func(_ *world, a *answer) {
		a.singles[0].this, a.singles[0].next = noon.Add(-time.Hour), noon.Add(-59*time.Second)
	}, card.NotRevoked, ""},
	{"future", func(_ *world, a *answer) {
		a.singles[0].this, a.produced = noon.Add(61*time.Second), noon.Add(61*time.Second)
	}, card.Unavailable, "future"},
	{"future within the skew", func(_ *world, a *answer) {
		a.singles[0].this, a.produced = noon.Add(59*time.Second), noon.Add(59*time.Second)
	}, card.NotRevoked, ""},
	{"produced in the future", func(_ *world, a *answer) { a.produced = noon.Add(61 * time.Second) }, card.Unavailable, "future"},
	{"produced before what it tells of", func(_ *world, a *answer) { a.produced = a.singles[0].this.Add(-61 * time.Second) }, card.Unavailable, "before what it tells of"},
	{"ends before it begins", func(_ *world, a *answer) {
		a.singles[0].next = a.singles[0].this.Add(-time.Second)
		a.singles[0].this = noon
	}, card.Unavailable, "ends before"},
	{"no nextUpdate, new", func(_ *world, a *answer) {
		a.singles[0].this, a.singles[0].next = noon.Add(-15*time.Minute), time.Time{}
	}, card.NotRevoked, ""},
	{"no nextUpdate, old", func(_ *world, a *answer) {
		a.singles[0].this, a.singles[0].next = noon.Add(-15*time.Minute-time.Second), time.Time{}
	}, card.Unavailable, "old"},
	{"replayed without nonce, within its time", func(_ *world, a *answer) {
		a.nonce, a.produced = nil, noon.Add(-2*time.Hour)
		a.singles[0].this, a.singles[0].next = noon.Add(-2*time.Hour), noon.Add(time.Hour)
	}, card.NotRevoked, ""}, // so do CAs that sign in advance: the list is what shortens it
	{"replayed without nonce, past its time", func(_ *world, a *answer) {
		a.nonce, a.produced = nil, noon.Add(-2*time.Hour)
		a.singles[0].this, a.singles[0].next = noon.Add(-2*time.Hour), noon.Add(-time.Hour)
	}, card.Unavailable, "stale"},
	{"revoked, and stale: it stays so", func(_ *world, a *answer) {
		a.singles[0].state, a.singles[0].since = 1, noon.AddDate(0, -1, 0)
		a.singles[0].this, a.singles[0].next = noon.Add(-2*time.Hour), noon.Add(-time.Hour)
	}, card.WasRevoked, "says so"},
	{"on hold, and stale: it may be over", func(_ *world, a *answer) {
		a.singles[0].state, a.singles[0].since, a.singles[0].reason = 1, noon.AddDate(0, -1, 0), 6
		a.singles[0].this, a.singles[0].next = noon.Add(-2*time.Hour), noon.Add(-time.Hour)
	}, card.Unavailable, "stale"},

	// To which question.
	{"wrong nonce", func(_ *world, a *answer) { a.nonce = append([]byte{4, 32}, make([]byte, 32)...) }, card.Unavailable, "nonce"},
	{"half a nonce", func(_ *world, a *answer) { a.nonce = append([]byte{4, 16}, a.nonce[2:18]...) }, card.Unavailable, "nonce"},
	{"empty nonce", func(_ *world, a *answer) { a.nonce = []byte{} }, card.Unavailable, "nonce"},
	{"nonce twice", func(_ *world, a *answer) { a.extra = []pkix.Extension{{Id: oidNonce, Value: a.nonce}} }, card.Unavailable, "twice"},
	{"critical nonce", func(_ *world, a *answer) {
		a.extra, a.nonce = []pkix.Extension{{Id: oidNonce, Critical: true, Value: a.nonce}}, nil
	}, card.NotRevoked, ""},
	{"critical extension", func(_ *world, a *answer) {
		a.extra = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 999, 7}, Critical: true, Value: asn1.NullBytes}}
	}, card.Unavailable, "critical"},
	{"other extension", func(_ *world, a *answer) {
		a.extra = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 999, 7}, Value: asn1.NullBytes}}
	}, card.NotRevoked, ""},
	{"critical extension of the one", func(_ *world, a *answer) {
		a.singles[0].extra = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 999, 7}, Critical: true, Value: asn1.NullBytes}}
	}, card.Unavailable, "critical"},

	// In what form.
	{"malformedRequest", func(_ *world, a *answer) { a.status = 1 }, card.Unavailable, "malformed"},
	{"internalError", func(_ *world, a *answer) { a.status = 2 }, card.Unavailable, "internal error"},
	{"tryLater", func(_ *world, a *answer) { a.status = 3 }, card.Unavailable, "try later"},
	{"sigRequired", func(_ *world, a *answer) { a.status = 5 }, card.Unavailable, "signed questions"},
	{"unauthorized", func(_ *world, a *answer) { a.status = 6 }, card.Unavailable, "not authorised"},
	{"a status of tomorrow", func(_ *world, a *answer) { a.status = 9 }, card.Unavailable, "status 9"},
	{"successful with nothing in it", func(_ *world, a *answer) { a.after = func([]byte) []byte { return []byte{0x30, 3, 0x0a, 1, 0} } }, card.Unavailable, "malformed"},
	{"another type", func(_ *world, a *answer) { a.kind = asn1.ObjectIdentifier{2, 999} }, card.Unavailable, "basic"},
	{"version 2", func(_ *world, a *answer) { a.version = 1 }, card.Unavailable, "malformed"},
	{"trailing garbage", func(_ *world, a *answer) { a.after = func(der []byte) []byte { return append(der, 0) } }, card.Unavailable, "malformed"},
	{"cut off", func(_ *world, a *answer) { a.after = func(der []byte) []byte { return der[:len(der)-9] } }, card.Unavailable, "malformed"},
	{"empty", func(_ *world, a *answer) { a.after = func([]byte) []byte { return nil } }, card.Unavailable, "malformed"},
	{"HTML page", func(_ *world, a *answer) {
		a.after = func([]byte) []byte { return []byte("<!DOCTYPE html><title>Welcome") }
	}, card.Unavailable, "malformed"},
	{"huge", func(_ *world, a *answer) {
		a.after = func(der []byte) []byte { return append(der, make([]byte, 64<<10)...) }
	}, card.Unavailable, "too large"},
}

// S24, standards 2.7: whatever a responder says, only a fresh answer about this
// certificate, signed by who may, is believed; RSA and ECC alike.
func TestResponderIsBelievedOnlyWhenItMay(t *testing.T) {
	for _, kind := range []cardtest.Key{cardtest.P256, cardtest.RSA2048} {
		w := newWorld(t, kind)
		for _, c := range lies {
			t.Run(string(kind)+"/"+c.name, func(t *testing.T) {
				w.t = t
				w.say(func(a *answer) { c.lie(w, a) })
				before := w.asked.Load()
				s := w.status()
				if s.State != c.want || !strings.Contains(s.Reason, c.why) || (c.want == card.NotRevoked) != (s.Reason == "") {
					t.Errorf("%+v, want %s because of %q", s, c.want, c.why)
				}
				if w.asked.Load() != before+1 {
					t.Errorf("%d questions", w.asked.Load()-before)
				}
				if (s.State == card.Unavailable) != (s.Source == "") || (s.State == card.WasRevoked || s.State == card.OnHold) != !s.Since.IsZero() {
					t.Errorf("%+v", s)
				}
				// With a list that says good, no lie does harm, and none helps a revoked card.
				w.lists["*"] = card.NotRevoked
				defer clear(w.lists)
				want := c.want
				if want == card.Unavailable {
					want = card.NotRevoked
				}
				if c.why == "nobody says that the delegate" {
					return // the list just said it
				}
				if s := w.status(); s.State != want || c.want == card.Unavailable && s.Source != "crl" {
					t.Errorf("with a list: %+v, want %s", s, want)
				}
			})
		}
	}
}

// The delegate's own revocation is looked up in the list of its CA.
func TestDelegateMustNotBeRevoked(t *testing.T) {
	w := newWorld(t, cardtest.P256)
	for _, nocheck := range []bool{true, false} {
		d := w.delegate(w.ca, func(c *x509.Certificate) {
			if !nocheck {
				c.ExtraExtensions = nil
			}
		})
		w.say(func(a *answer) { a.through(d) })
		for listed, want := range map[card.State]card.State{card.NotRevoked: card.NotRevoked, card.WasRevoked: card.Unavailable, card.OnHold: card.Unavailable} {
			clear(w.lists)
			w.lists[d.Cert.SerialNumber.String()] = listed
			if s := w.status(); s.State != want {
				t.Errorf("nocheck %v, delegate %s: %+v", nocheck, listed, s)
			}
		}
	}
}

// Servers that do not speak OCSP, or not well.
func TestResponderOutOfOrder(t *testing.T) {
	w := newWorld(t, cardtest.P256)
	var elsewhere atomic.Int32
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer inside.Close()
	good := func(rw http.ResponseWriter, r *http.Request) []byte {
		q, err := readQuestion(r)
		if err != nil {
			t.Error(err)
		}
		rw.Header().Set("Content-Type", "application/ocsp-response")
		return w.truth(q).der()
	}
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		why    string
	}{
		{"500", func(rw http.ResponseWriter, r *http.Request) {
			der := good(rw, r)
			rw.WriteHeader(http.StatusInternalServerError)
			_, _ = rw.Write(der)
		}, "HTTP status 500"},
		{"404", func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusNotFound) }, "HTTP status 404"},
		{"206", func(rw http.ResponseWriter, r *http.Request) {
			der := good(rw, r)
			rw.WriteHeader(http.StatusPartialContent)
			_, _ = rw.Write(der)
		}, "HTTP status 206"},
		{"redirect to the inside", func(rw http.ResponseWriter, r *http.Request) {
			http.Redirect(rw, r, inside.URL, http.StatusTemporaryRedirect)
		}, "HTTP status 307"},
		{"HTML page", func(rw http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(rw, "<!DOCTYPE html><title>Welcome")
		}, "not of the type"},
		{"wrong content type", func(rw http.ResponseWriter, r *http.Request) {
			der := good(rw, r)
			rw.Header().Set("Content-Type", "application/octet-stream")
			_, _ = rw.Write(der)
		}, "not of the type"},
		{"nothing", func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Type", "application/ocsp-response")
		}, "malformed"},
		{"endless", func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Type", "application/ocsp-response")
			for r.Context().Err() == nil {
				if _, err := rw.Write(make([]byte, 4096)); err != nil {
					return
				}
			}
		}, "too large"},
		{"gzip bomb", func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Type", "application/ocsp-response")
			rw.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(rw)
			_, _ = z.Write(make([]byte, 10<<20))
			_ = z.Close()
		}, "malformed"},
		{"cut off", func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Type", "application/ocsp-response")
			rw.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(rw, "half")
		}, "cannot be reached"},
		{"hangs up", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "cannot be reached"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.t = t
			w.respond(c.answer)
			if s := w.status(); s.State != card.Unavailable || !strings.Contains(s.Reason, c.why) {
				t.Errorf("%+v, want %q", s, c.why)
			}
		})
	}
	if elsewhere.Load() != 0 {
		t.Error("a redirect was followed")
	}

	w.t = t
	for name, answer := range map[string]http.HandlerFunc{
		"silent": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"slow": func(rw http.ResponseWriter, r *http.Request) {
			_, _ = rw.Write([]byte{0x30})
			_ = http.NewResponseController(rw).Flush()
			<-r.Context().Done()
		},
	} {
		w.respond(func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Type", "application/ocsp-response")
			_, _ = io.Copy(io.Discard, r.Body) // or the server does not notice that we are gone
			answer(rw, r)
		})
		if s := w.status(short); s.State != card.Unavailable || !strings.Contains(s.Reason, "in time") {
			t.Errorf("%s: %+v", name, s)
		}
	}
	w.server.Close()
	if s := w.status(); s.State != card.Unavailable || !strings.Contains(s.Reason, "refuses the connection") {
		t.Errorf("nobody there: %+v", s)
	}
}

func short(c *revocation.Checker) { c.Timeout = 50 * time.Millisecond }

// RFC 6960 §4.1, RFC 9654: the question is one that others understand.
func TestQuestion(t *testing.T) {
	w := newWorld(t, cardtest.P256)
	var got []question
	w.respond(func(rw http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/ocsp-request" {
			t.Errorf("%s %v", r.Method, r.Header)
		}
		q := must(readQuestion(r))
		got = append(got, q)
		rw.Header().Set("Content-Type", "application/ocsp-response")
		_, _ = rw.Write(w.truth(q).der())
	})
	for range 2 {
		if s := w.status(); s.State != card.NotRevoked {
			t.Fatalf("%+v", s)
		}
	}
	their := must(ocsp.ParseRequest(got[0].der))
	want := must(ocsp.ParseRequest(must(ocsp.CreateRequest(w.card, w.ca.Cert, nil))))
	if their.HashAlgorithm != crypto.SHA1 || their.SerialNumber.Cmp(want.SerialNumber) != 0 || string(their.IssuerKeyHash) != string(want.IssuerKeyHash) || string(their.IssuerNameHash) != string(want.IssuerNameHash) {
		t.Errorf("%+v, want %+v", their, want)
	}
	if len(got[0].nonce) != 34 || got[0].nonce[0] != 4 || got[0].nonce[1] != 32 || string(got[0].nonce) == string(got[1].nonce) {
		t.Errorf("nonces %x, %x", got[0].nonce, got[1].nonce)
	}
}

// Answers that golang.org/x/crypto/ocsp makes are understood.
func TestAnswersOfXCrypto(t *testing.T) {
	for _, kind := range []cardtest.Key{cardtest.P384, cardtest.RSA2048} {
		w := newWorld(t, kind)
		for status, want := range map[int]card.State{ocsp.Good: card.NotRevoked, ocsp.Revoked: card.WasRevoked, ocsp.Unknown: card.Unavailable} {
			w.respond(func(rw http.ResponseWriter, r *http.Request) {
				q := must(ocsp.ParseRequest(must(io.ReadAll(r.Body))))
				rw.Header().Set("Content-Type", "application/ocsp-response")
				_, _ = rw.Write(must(ocsp.CreateResponse(w.ca.Cert, w.ca.Cert, ocsp.Response{Status: status, SerialNumber: q.SerialNumber,
					ThisUpdate: time.Now().Add(-time.Minute), NextUpdate: time.Now().Add(time.Hour), RevokedAt: noon.AddDate(0, -1, 0), RevocationReason: ocsp.KeyCompromise}, w.ca.Key)))
			})
			w.now = time.Now() // the time that CreateResponse puts into the answer
			if s := w.status(); s.State != want {
				t.Errorf("%s %d: %+v", kind, status, s)
			}
		}
	}
}

// openssl's responder understands our question, echoes the nonce, and its answer
// is believed: RSA with PKCS#1 and with PSS, and ECC.
func TestOpenSSLResponder(t *testing.T) {
	openssl := needOpenSSL(t)
	for _, c := range []struct {
		kind    cardtest.Key
		options []string
	}{{cardtest.P384, nil}, {cardtest.RSA2048, nil}, {cardtest.RSA2048, []string{"-rsigopt", "rsa_padding_mode:pss", "-rsigopt", "rsa_pss_saltlen:digest"}}} {
		w := newWorld(t, c.kind)
		dir := t.TempDir()
		file := func(name string, text []byte) string {
			path := filepath.Join(dir, name)
			mustOK(t, os.WriteFile(path, text, 0o600))
			return path
		}
		ca, key := file("ca.pem", w.ca.PEM()), file("ca.key", must((&cardtest.Card{Key: w.ca.Key}).KeyPEM()))
		var saidIn question
		w.respond(func(rw http.ResponseWriter, r *http.Request) {
			saidIn = must(readQuestion(r))
			index := file("index.txt", []byte("V\t361123120000Z\t\t"+strings.ToUpper(saidIn.serial.Text(16))+"\tunknown\t/CN=somebody\n"))
			if n := len(saidIn.serial.Text(16)); n%2 == 1 {
				index = file("index.txt", []byte("V\t361123120000Z\t\t0"+strings.ToUpper(saidIn.serial.Text(16))+"\tunknown\t/CN=somebody\n"))
			}
			args := append([]string{"ocsp", "-index", index, "-rsigner", ca, "-rkey", key, "-CA", ca, "-reqin", file("q.der", saidIn.der), "-respout", filepath.Join(dir, "a.der"), "-ndays", "1"}, c.options...)
			if out, err := exec.Command(openssl, args...).CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
			rw.Header().Set("Content-Type", "application/ocsp-response")
			_, _ = rw.Write(must(os.ReadFile(filepath.Join(dir, "a.der"))))
		})
		w.now = time.Now().Add(time.Second) // openssl has no other clock
		if s := w.status(); s.State != card.NotRevoked {
			t.Errorf("%s %v: %+v", c.kind, c.options, s)
		}
	}
}

func needOpenSSL(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("openssl")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("openssl is missing: apt-get install openssl")
		}
		t.Skip("openssl is missing: apt-get install openssl")
	}
	return path
}

// Who is asked: what the operator wrote, wherever that is; without it what
// stands in the certificate, if its host is allowed and not on the inside.
func TestWhoIsAsked(t *testing.T) {
	none := func(c *card.TrustConfig) { c.Issuers[0].OCSP = nil }
	for _, c := range []struct {
		name   string
		change func(w *world, c *card.TrustConfig)
		asked  bool
		why    string
	}{
		{"configured", func(*world, *card.TrustConfig) {}, true, ""},
		{"configured, the certificate names another", func(w *world, _ *card.TrustConfig) {
			w.card = w.issue(&x509.Certificate{OCSPServer: []string{"http://other.example"}})
		}, true, ""},
		{"not configured, not allowed", func(_ *world, c *card.TrustConfig) { none(c) }, false, "no responder"},
		{"another host allowed", func(_ *world, c *card.TrustConfig) { none(c); c.RevocationHosts = []string{"ocsp.example"} }, false, "no responder"},
		{"another port allowed", func(_ *world, c *card.TrustConfig) { none(c); c.RevocationHosts = []string{"127.0.0.1:1"} }, false, "no responder"},
		{"host without its port allowed", func(_ *world, c *card.TrustConfig) { none(c); c.RevocationHosts = []string{"127.0.0.1"} }, false, "no responder"},
		{"allowed, but on the inside", func(w *world, c *card.TrustConfig) { none(c); c.RevocationHosts = []string{w.host()} }, false, "private"},
		{"allowed, but a name that leads inside", func(w *world, c *card.TrustConfig) {
			none(c)
			_, port, _ := net.SplitHostPort(w.host())
			w.card = w.issue(&x509.Certificate{OCSPServer: []string{"http://ocsp.localhost:" + port}})
			c.RevocationHosts = []string{"ocsp.localhost:" + port}
		}, false, "private"},
		{"addresses that are none", func(w *world, c *card.TrustConfig) {
			none(c)
			w.card = w.issue(&x509.Certificate{OCSPServer: []string{"ldap://" + w.host(), "file:///etc/passwd", "http://user@" + w.host(), "//" + w.host(), "%"}})
			c.RevocationHosts = []string{w.host()}
		}, false, "no responder"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, cardtest.P256)
			w.trust = w.trusting(func(config *card.TrustConfig) {
				config.Issuers[0].OCSP = []string{w.server.URL}
				c.change(w, config)
			})
			s := w.status()
			if got := w.asked.Load() == 1; got != c.asked || (s.State == card.NotRevoked) != c.asked || !strings.Contains(s.Reason, c.why) {
				t.Errorf("asked %v: %+v", got, s)
			}
		})
	}

	w := newWorld(t, cardtest.P256)
	stranger := must(cardtest.NewCA("s", "Portti TEST Stranger", cardtest.P256, nil, noon))
	if s := w.checker().Status(t.Context(), w.issueBy(stranger, &x509.Certificate{OCSPServer: []string{w.server.URL}}).Cert, stranger.Cert, noon); s.State != card.Unavailable || w.asked.Load() != 0 {
		t.Errorf("for a CA that is not configured: %+v", s)
	}
}

func (w *world) host() string { return strings.TrimPrefix(w.server.URL, "http://") }

// The second address is asked when the first does not answer, in the time of one
// question.
func TestNextAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t, cardtest.P256)
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}))
	defer silent.Close()
	w.trust = w.trusting(func(c *card.TrustConfig) { c.Issuers[0].OCSP = []string{silent.URL, w.server.URL} })
	if s := w.status(func(c *revocation.Checker) { c.Timeout = 4 * time.Second }); s.State != card.NotRevoked {
		t.Errorf("%+v", s)
	}
}

// A responder at an https address is reached with the CAs that vouch for it, or
// not at all.
func TestHTTPS(t *testing.T) {
	w := newWorld(t, cardtest.P256)
	secure := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.honest(rw, r, nil) }))
	secure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	secure.StartTLS()
	defer secure.Close()
	w.trust = w.trusting(func(c *card.TrustConfig) { c.Issuers[0].OCSP = []string{secure.URL} })
	if s := w.status(); s.State != card.Unavailable {
		t.Errorf("%+v", s)
	}
	if s := w.status(func(c *revocation.Checker) {
		c.RootCAs = x509.NewCertPool()
		c.RootCAs.AddCert(secure.Certificate())
	}); s.State != card.NotRevoked {
		t.Errorf("%+v", s)
	}
}

// FuzzParse: no answer makes us fall over, and what we read is what others read.
func FuzzParse(f *testing.F) {
	w := newWorld(f, cardtest.P256)
	q := question{serial: big.NewInt(77), nonce: append([]byte{4, 32}, make([]byte, 32)...)}
	for _, c := range lies {
		a := w.truth(q)
		c.lie(w, a)
		f.Add(a.der())
	}
	f.Add(ocsp.UnauthorizedErrorResponse)
	f.Fuzz(func(t *testing.T, der []byte) {
		state, serial, err := revocation.Parse(der)
		theirs, other := ocsp.ParseResponse(der, nil)
		if err != nil || other != nil {
			return // each takes some that the other does not
		}
		if serial.Cmp(theirs.SerialNumber) != 0 || (state == card.NotRevoked) != (theirs.Status == ocsp.Good) {
			t.Errorf("%s of %d, but x/crypto reads status %d of %d", state, serial, theirs.Status, theirs.SerialNumber)
		}
	})
}
