package cardtest

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Fault is a way in which a responder or a list misbehaves. The zero value is
// none.
type Fault string

// Faults of both. What is named after a fault of the transport says nothing of
// certificates at all.
const (
	None         Fault = ""
	Down         Fault = "down"          // answers 503
	Slow         Fault = "slow"          // does not answer before the client has gone
	Redirect     Fault = "redirect"      // sends the client to an address that answers well
	Huge         Fault = "huge"          // does not end before the client has gone
	HTML         Fault = "html"          // a page with status 200, as captive portals show
	Empty        Fault = "empty"         // status 200 and nothing
	Stale        Fault = "stale"         // of the day before yesterday, out of date since yesterday
	Future       Fault = "future"        // of tomorrow
	BadSignature Fault = "bad-signature" // the right signer, a wrong signature
	Impostor     Fault = "impostor"      // signed by an ordinary card of the CA; a list: by another key under the CA's name
)

// Faults of responders.
const (
	TryLater         Fault = "try-later"
	InternalError    Fault = "internal-error"
	Unauthorized     Fault = "unauthorized"
	Unknown          Fault = "unknown"           // says so of every certificate
	OtherSerial      Fault = "other-serial"      // speaks of another certificate
	OtherIssuer      Fault = "other-issuer"      // the right number, of another CA
	OtherNonce       Fault = "other-nonce"       // not the one that was sent
	OtherResponder   Fault = "other-responder"   // signed by the delegate of another CA
	ExpiredResponder Fault = "expired-responder" // the delegate's certificate has expired
)

// What responders do that is not wrong.
const (
	Direct         Fault = "direct"         // the CA signs itself
	NoNonce        Fault = "no-nonce"       // as those that sign ahead
	NoNextUpdate   Fault = "no-next-update" // the client decides how long it holds
	NoCheckMissing Fault = "no-nocheck"     // the delegate's certificate may be revoked itself
)

// Faults of lists.
const (
	NotFound    Fault = "not-found"
	OlderNumber Fault = "older-number" // fresh, with a number below the last one
	OtherCA     Fault = "other-ca"     // the list of another CA
	Truncated   Fault = "truncated"    // half of it
	Partial     Fault = "partial"      // lists CAs alone
	Delta       Fault = "delta"        // lists changes alone
)

// Faults for the two services, good behaviour left out.
var (
	OCSPFaults = []Fault{Down, Slow, Redirect, Huge, HTML, Empty, Stale, Future, BadSignature, Impostor,
		TryLater, InternalError, Unauthorized, Unknown, OtherSerial, OtherIssuer, OtherNonce, OtherResponder, ExpiredResponder}
	CRLFaults = []Fault{Down, Slow, Redirect, Huge, HTML, Empty, Stale, Future, BadSignature, Impostor,
		NotFound, OlderNumber, OtherCA, Truncated, Partial, Delta}
)

// Server answers for all authorities of a PKI, as the Agency's servers do
// (standards 1.2):
//
//	POST /ocsp/NAME          OCSP (RFC 6960), by a delegate of the CA
//	GET  /ocsp/NAME/BASE64   the same
//	GET  /crl/NAME.crl       its list of revoked certificates
//	GET  /ca/NAME.crt        its certificate
//
// A card is good unless Revoke, Hold or Forget said otherwise. The zero value of
// all but PKI works.
type Server struct {
	PKI     *PKI
	Now     func() time.Time // time.Now when nil
	OCSPFor time.Duration    // from thisUpdate to nextUpdate of an answer; 0: ten minutes
	CRLFor  time.Duration    // and of a list; 0: a day

	mu         sync.Mutex
	ocspFaults map[string]Fault
	crlFaults  map[string]Fault
	responders map[string]signer
	lists      map[string]list
	asked      map[string]Asked
}

// NewServer makes the server of p with the clock now, time.Now when nil.
func NewServer(p *PKI, now func() time.Time) *Server {
	if now == nil {
		now = time.Now
	}
	return &Server{PKI: p, Now: now, ocspFaults: map[string]Fault{}, crlFaults: map[string]Fault{},
		responders: map[string]signer{}, lists: map[string]list{}, asked: map[string]Asked{}}
}

// Asked counts the requests for an authority.
type Asked struct {
	OCSP, CRL   int
	NotModified int // of those for the list
	Redirected  int // that came to where Redirect leads
}

// FailOCSP breaks the responder of ca, or mends it with None.
func (s *Server) FailOCSP(ca *CA, f Fault) { s.set(s.ocspFaults, ca, f) }

// FailCRL breaks the list of ca, or mends it with None.
func (s *Server) FailCRL(ca *CA, f Fault) { s.set(s.crlFaults, ca, f) }

func (s *Server) set(faults map[string]Fault, ca *CA, f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	faults[ca.Name] = f
}

// Faults are those that are set for ca.
func (s *Server) Faults(ca *CA) (ocsp, crl Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ocspFaults[ca.Name], s.crlFaults[ca.Name]
}

// Asked counts what was asked about certificates of ca.
func (s *Server) Asked(ca *CA) Asked {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[ca.Name]
}

func (s *Server) count(ca *CA, add func(*Asked)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.asked[ca.Name]
	add(&a)
	s.asked[ca.Name] = a
}

// SetLifetimes changes how long answers and lists hold; 0 leaves one as it is.
func (s *Server) SetLifetimes(ocsp, crl time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.OCSPFor, s.CRLFor = cmp.Or(ocsp, s.OCSPFor), cmp.Or(crl, s.CRLFor)
}

func (s *Server) ocspFor() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return cmp.Or(s.OCSPFor, 10*time.Minute)
}

// crlFor is called with the lock held.
func (s *Server) crlFor() time.Duration { return cmp.Or(s.CRLFor, 24*time.Hour) }

// now is in whole seconds, as all times of these messages are.
func (s *Server) now() time.Time { return s.Now().UTC().Truncate(time.Second) }

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// Not a ServeMux: base64 has slashes, and it would clean them away.
	kind, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	name, more, _ := strings.Cut(rest, "/")
	again := strings.HasPrefix(name, elsewhere)
	name = strings.TrimPrefix(name, elsewhere)
	switch kind {
	case "ocsp":
		if ca := s.PKI.madeCA(name); ca != nil {
			s.serveOCSP(w, r, ca, more, again)
			return
		}
	case "crl":
		if ca := s.PKI.madeCA(strings.TrimSuffix(name, ".crl")); ca != nil && more == "" {
			s.serveCRL(w, r, ca, again)
			return
		}
	case "ca":
		if ca := s.PKI.madeCA(strings.TrimSuffix(name, ".crt")); ca != nil && more == "" {
			w.Header().Set("Content-Type", "application/pkix-cert")
			_, _ = w.Write(ca.Cert.Raw)
			return
		}
	}
	http.NotFound(w, r)
}

// elsewhere begins the names to which Redirect leads.
const elsewhere = "elsewhere-"

func (p *PKI) madeCA(name string) *CA {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cas[name]
}

func (s *Server) serveOCSP(w http.ResponseWriter, r *http.Request, ca *CA, inPath string, again bool) {
	f, _ := s.Faults(ca)
	if again {
		s.count(ca, func(a *Asked) { a.Redirected++ })
		f = None
	} else {
		s.count(ca, func(a *Asked) { a.OCSP++ })
	}
	question, status := readQuestion(w, r, inPath)
	if status != 0 {
		http.Error(w, http.StatusText(status), status)
		return
	}
	to := "/ocsp/" + elsewhere + ca.Name
	if inPath != "" {
		to += "/" + base64.URLEncoding.EncodeToString(question) // has no slash
	}
	if s.misbehave(w, r, f, to, "application/ocsp-response") {
		return
	}
	der, err := s.answer(ca, question, f, s.now())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/ocsp-response")
	_, _ = w.Write(der)
}

// readQuestion takes the request out of the body, or out of the path.
func readQuestion(w http.ResponseWriter, r *http.Request, inPath string) (der []byte, status int) {
	var err error
	switch {
	case r.Method == http.MethodPost && inPath == "":
		if r.Header.Get("Content-Type") != "application/ocsp-request" {
			return nil, http.StatusUnsupportedMediaType
		}
		der, err = io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<10))
	case r.Method == http.MethodGet && inPath != "":
		if der, err = base64.StdEncoding.DecodeString(inPath); err != nil {
			der, err = base64.URLEncoding.DecodeString(inPath)
		}
	default:
		return nil, http.StatusMethodNotAllowed
	}
	if err != nil {
		return nil, http.StatusBadRequest
	}
	return der, 0
}

func (s *Server) serveCRL(w http.ResponseWriter, r *http.Request, ca *CA, again bool) {
	_, f := s.Faults(ca)
	if again {
		s.count(ca, func(a *Asked) { a.Redirected++ })
		f = None
	} else {
		s.count(ca, func(a *Asked) { a.CRL++ })
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
		return
	}
	if s.misbehave(w, r, f, "/crl/"+elsewhere+ca.Name+".crl", "application/pkix-crl") {
		return
	}
	get := func() (list, error) { return s.list(ca, s.now()) }
	if f != None {
		get = func() (list, error) { return s.brokenList(ca, f, s.now()) }
	}
	l, err := get()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	sum := sha256.Sum256(l.der)
	w.Header().Set("Content-Type", "application/pkix-crl")
	w.Header().Set("ETag", `"`+hex.EncodeToString(sum[:16])+`"`)
	seen := &watched{ResponseWriter: w}
	http.ServeContent(seen, r, "", l.at, bytes.NewReader(l.der))
	if seen.status == http.StatusNotModified {
		s.count(ca, func(a *Asked) { a.NotModified++ })
	}
}

// watched remembers the status.
type watched struct {
	http.ResponseWriter
	status int
}

func (w *watched) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// misbehave answers as the faults of the transport do; false for the others.
func (s *Server) misbehave(w http.ResponseWriter, r *http.Request, f Fault, redirect, kind string) bool {
	switch f {
	case Down:
		http.Error(w, "out of order", http.StatusServiceUnavailable)
	case NotFound:
		http.NotFound(w, r)
	case Slow:
		<-r.Context().Done()
	case Redirect:
		http.Redirect(w, r, s.PKI.Base()+redirect, http.StatusFound)
	case Huge:
		w.Header().Set("Content-Type", kind)
		for block := make([]byte, 64<<10); ; {
			if _, err := w.Write(block); err != nil || r.Context().Err() != nil {
				return true
			}
		}
	case HTML:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, "<!doctype html><title>Welcome to the network</title><p>Please accept the terms.")
	case Empty:
		w.Header().Set("Content-Type", kind)
	default:
		return false
	}
	return true
}

// Known tells whether a fault is one of either service, or None.
func (f Fault) Known() bool {
	return f == None || slices.Contains(OCSPFaults, f) || slices.Contains(CRLFaults, f)
}
