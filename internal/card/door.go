package card

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/portti-id/portti/internal/card/proxied"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/tlsconfig"
)

// Attempts is what the card host needs of the sign-in that sent the browser.
// Package login implements it.
type Attempts interface {
	// Open takes the ticket: of any number of presentations one succeeds, the
	// rest get fault.Gone "card_ticket_spent", and so does a ticket that never
	// was, has expired, or was given for another place than the one with this name
	// (lower case).
	Open(ctx context.Context, ticket, name string) (Attempt, error)

	// Finish stores the result under a new single-use code (60 s) and returns
	// the URL on the main host to send the browser to. The code is worth
	// something only together with the cookie of the browser that began the
	// attempt (standards.md 2.5).
	Finish(ctx context.Context, a Attempt, r Result) (url string, err error)

	// Note keeps a sign for the attempt that goes to the place with this name (lower
	// case). For a name that no live attempt has it stores nothing and returns nil:
	// strangers may say any name.
	Note(ctx context.Context, name string, s Sign) error
}

// Attempt is one try to sign in, or to link, with a card.
type Attempt struct {
	ID     string // of the transaction; never logged
	Return string // where on the main host the browser came from
}

// patience bounds the TLS handshake, in which the person chooses a certificate
// and types the PIN. net/http takes the smallest of ReadHeaderTimeout,
// ReadTimeout and WriteTimeout for it: each of them is at least this long.
const patience = 3 * time.Minute

// Bounds on connections at a time, unless the Door says otherwise. The second
// allows a large office behind one address.
const (
	defaultMaxConns           = 2000
	defaultMaxConnsPerAddress = 200
)

// Door is the card host: the one place where browsers are asked for a
// certificate. It stands on names and a listener of its own, because a
// browser that is already connected cannot be asked any more (RFC 8740), and
// speaks HTTP/1.1 without keep-alive and without session tickets, because a
// card that was taken out must not go on signing in (S34).
//
//	browser ── GET /attempt/TICKET ──▶ Door      handshake: certificate, PIN
//	                                    │ Attempts.Open(ticket)   one wins
//	                                    │ Trust.Check(certificates)
//	                                    │ Attempts.Finish(result) new code
//	browser ◀── 303 main host?code ─────┘
//
// The handshake lets every certificate pass, also none and also bad ones: a
// refusal there would end on the browser's error page. The GET changes nothing
// but the ticket, so a link that somebody places somewhere does nothing by
// itself: what the result is good for is decided on the main host.
type Door struct {
	Checker  *Checker
	Attempts Attempts

	// Host is where every mode is when it has a star: the first label tells them
	// apart. Without a star it is where Strict is, OldTLSHost and AnyCAHost are names
	// of the other two, and the zero value means that there is none.
	Host                  Host
	OldTLSHost, AnyCAHost Host

	// NoOldTLS takes the mode OldTLS away. With TLS 1.2 the certificate, which is
	// personal data, crosses the network in clear.
	NoOldTLS bool

	// Count is called with the verdict of every check, for metrics; may be nil.
	Count func(Verdict, Mode)

	// Fallback is the page of the main host for a browser that brings a spent
	// ticket or none, or whose result could not be stored.
	Fallback string

	// Certificate returns the server certificate for the names of Host.
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)

	// MaxVersion is the highest TLS version of every mode, tls.VersionTLS13 when 0.
	// With tls.VersionTLS12 every certificate crosses the network in clear.
	MaxVersion uint16

	// MaxConns and MaxConnsPerAddress bound the connections at a time (an IPv6
	// /64 counts as one address). 0 means 2000 and 200, negative no bound.
	MaxConns           int
	MaxConnsPerAddress int

	// Proxy ends TLS in front of the door and hands certificates on; nil: TLS ends
	// here, and certificates come by it alone. Behind a proxy connections are not
	// bounded by address, and nothing is known of handshakes.
	Proxy *proxied.Gate

	// Balancers pass TLS through to the door and begin each connection with a PROXY
	// header. With any, all connections come from them. Not together with Proxy.
	Balancers []netip.Prefix

	Log *slog.Logger
	Now func() time.Time

	configs atomic.Pointer[configs]
	telling atomic.Int64 // signs under way
}

// Place is where to send a browser for one attempt in this mode: under a name
// that it has not seen, when Host has a star. It is false when the mode is not
// offered.
func (d *Door) Place(m Mode) (Place, bool) {
	h := d.hostOf(m)
	if h.IsZero() {
		return Place{}, false
	}
	p := h.place(m)
	p.Own = p.Own && d.Proxy == nil
	return p, true
}

// hostOf is where a mode is, the zero value when it is not offered.
func (d *Door) hostOf(m Mode) Host {
	switch {
	case !slices.Contains(modes, m), m == OldTLS && d.NoOldTLS:
		return Host{}
	case m == Strict || d.Host.Wildcard():
		return d.Host
	case m == OldTLS:
		return d.OldTLSHost
	}
	return d.AnyCAHost
}

// modeOf is the mode that a name stands for; false for a name that is not ours.
func (d *Door) modeOf(name string) (Mode, bool) {
	for _, m := range modes {
		if d.hostOf(m).isPlace(name, m) {
			return m, true
		}
	}
	return Strict, false
}

const attemptPath = "/attempt/"

// TLSConfig asks for a certificate and judges none. ClientCAs are hints only:
// with RequestClientCert nothing is verified against them, but possession of
// the key is proved in every handshake that brings a certificate.
func (d *Door) TLSConfig() *tls.Config {
	c := d.config(Strict).Clone()
	c.GetConfigForClient = d.configFor
	return c
}

// configs are the TLS settings of every mode under one trust. A fresh set when
// the trust has changed is safe only because there are no tickets: a resumed
// session would keep what was true before (CVE-2025-68121).
type configs struct {
	trust *Trust
	of    map[Mode]*tls.Config
}

func (d *Door) config(m Mode) *tls.Config {
	trust, have := d.Checker.Trust(), d.configs.Load()
	if have == nil || have.trust != trust {
		have = &configs{trust: trust, of: map[Mode]*tls.Config{}}
		for _, m := range modes {
			have.of[m] = d.newConfig(m, trust)
		}
		d.configs.Store(have)
	}
	return have.of[m]
}

func (d *Door) newConfig(m Mode, trust *Trust) *tls.Config {
	c := tlsconfig.Server(d.Certificate)
	c.MaxVersion = cmp.Or(d.MaxVersion, tls.VersionTLS13)
	c.NextProtos = []string{"http/1.1"} // HTTP/2 forbids to ask for a certificate later, and coalesces hosts
	c.ClientAuth = tls.RequestClientCert
	c.SessionTicketsDisabled = true // a resumed session shows the former card
	if m == OldTLS {
		c.MaxVersion = tls.VersionTLS12
	}
	if m != AnyCA {
		c.ClientCAs = trust.Hints()
	}
	return c
}

// Limits of requests that a proxy hands on: the handshake is behind them.
const (
	proxiedHeaderLimit = 10 * time.Second
	proxiedLimit       = 30 * time.Second
)

// Server serves the door. Serve it with ServeTLS(d.Listener(l), "", ""); or, when
// it has no TLSConfig because a proxy comes by plain http, with Serve.
func (d *Door) Server() *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	s := &http.Server{
		Handler:           d,
		TLSConfig:         d.TLSConfig(),
		Protocols:         protocols,
		ReadHeaderTimeout: patience,
		ReadTimeout:       patience,
		WriteTimeout:      patience,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          log.New(serverLog{d.Log}, "", 0),
		ConnContext:       remember,
	}
	if d.Proxy != nil {
		s.TLSConfig = d.Proxy.TLSConfig(d.Certificate)
		s.ReadHeaderTimeout, s.ReadTimeout, s.WriteTimeout = proxiedHeaderLimit, proxiedLimit, proxiedLimit
		s.MaxHeaderBytes = proxied.MaxHeaderBytes
	}
	s.SetKeepAlivesEnabled(false)
	return s
}

// Listener bounds the connections that l hands out.
func (d *Door) Listener(l net.Listener) net.Listener {
	behind := len(d.Balancers) > 0 && d.Proxy == nil // a proxy is known by its own address
	if behind {
		l = &relayed{Listener: l, from: d.Balancers, log: d.Log}
	}
	bounded := &limited{
		Listener: l,
		total:    bound(d.MaxConns, defaultMaxConns),
		each:     bound(d.MaxConnsPerAddress, defaultMaxConnsPerAddress),
		late:     behind,
		log:      d.Log,
		ended:    d.ends,
		from:     map[netip.Prefix]int{},
	}
	if d.Proxy != nil {
		bounded.each = 0 // all come from the proxy
	}
	return bounded
}

func bound(set, standard int) int {
	switch {
	case set == 0:
		return standard
	case set < 0:
		return 0
	}
	return set
}

// ServeHTTP answers GET /attempt/TICKET, and refuses the rest.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Connection", "close")
	h.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer") // the ticket is in the URL
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	if !d.Host.local() {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}

	certs, err := d.certificates(r)
	if err != nil {
		d.refuse(w, r, err)
		return
	}
	name, mode, ours := d.asked(r)
	if !ours {
		say(w, http.StatusMisdirectedRequest, "This address is not served here.")
		return
	}
	if r.Method != http.MethodGet {
		h.Set("Allow", http.MethodGet)
		say(w, http.StatusMethodNotAllowed, "Only GET is answered here.")
		return
	}
	ticket, found := strings.CutPrefix(r.URL.Path, attemptPath)
	if !found {
		say(w, http.StatusNotFound, "There is nothing here. Start again from the sign-in page.")
		return
	}
	if !isNavigation(r) {
		say(w, http.StatusForbidden, "This address works only when the browser goes to it.")
		return
	}
	if !isTicket(ticket) {
		send(w, d.Fallback)
		return
	}
	send(w, cmp.Or(d.attempt(r, visit{ticket, name, mode, certs}), d.Fallback))
}

// visit is a request for an attempt: its ticket, the name that it was made for
// and what that says, and what the browser has shown.
type visit struct {
	ticket string
	name   string
	mode   Mode
	certs  []*x509.Certificate
}

// attempt takes the ticket, judges the card and returns where the browser goes
// with the result. It returns "" when the attempt came to nothing.
func (d *Door) attempt(r *http.Request, v visit) string {
	ctx := r.Context()
	a, err := d.Attempts.Open(ctx, v.ticket, v.name)
	if fault.Is(err, fault.Gone) {
		d.Log.InfoContext(ctx, "card host: ticket spent, expired or unknown")
		return ""
	}
	if err != nil {
		d.Log.ErrorContext(ctx, "card host: cannot open the attempt", "error", err)
		return ""
	}

	now := d.Now().UTC()
	report := d.Checker.Check(ctx, v.certs, now)
	d.note(r, v, report)

	result := Result{Verdict: report.Verdict, Failed: report.Failed, Holder: report.Holder, Kind: report.Kind, Vouched: report.Vouched, Mode: v.mode, TLS: d.version(r), At: now}
	next, err := d.Attempts.Finish(ctx, a, result)
	if err != nil {
		d.Log.ErrorContext(ctx, "card host: cannot store the result", "error", err)
		return ""
	}
	return next
}

// note writes the outcome to the log: nothing of the holder, and of the issuer
// only the name, when it is what the operator needs to know.
func (d *Door) note(r *http.Request, v visit, report Report) {
	if d.Count != nil {
		d.Count(report.Verdict, v.mode)
	}
	attrs := []slog.Attr{slog.String("verdict", string(report.Verdict)), slog.String("tls", cmp.Or(d.version(r), "ended by a proxy"))}
	if v.mode != Strict {
		attrs = append(attrs, slog.String("mode", string(v.mode)))
	}
	if report.Reason != "" {
		attrs = append(attrs, slog.String("reason", report.Reason))
	}
	if report.Verdict == UntrustedIssuer {
		if isAuthorityName(v.certs[0].RawIssuer) { // else it may be a person's: who signs for himself, or with a card
			attrs = append(attrs, slog.String("issuer", report.Holder.Issuer))
		}
	}
	d.Log.LogAttrs(r.Context(), slog.LevelInfo, "card host: card checked", attrs...)
}

// version is that of TLS, "1.2" or "1.3"; "" behind a proxy, which does not say.
func (d *Door) version(r *http.Request) string {
	if d.Proxy != nil {
		return ""
	}
	return strings.TrimPrefix(tls.VersionName(r.TLS.Version), "TLS ")
}

// certificates are what the browser has shown, none when it has shown none. The
// error is a *proxied.Refusal.
func (d *Door) certificates(r *http.Request) ([]*x509.Certificate, error) {
	if d.Proxy != nil {
		return d.Proxy.Certificates(r)
	}
	if name, found := proxied.Header(r.Header); found {
		return nil, &proxied.Refusal{Status: http.StatusBadRequest, Reason: "the header " + name + " came, but no proxy hands certificates on here"}
	}
	if r.TLS == nil {
		return nil, nil
	}
	return r.TLS.PeerCertificates, nil
}

// refuse answers a request with a certificate that cannot be believed.
func (d *Door) refuse(w http.ResponseWriter, r *http.Request, err error) {
	status := http.StatusBadRequest
	if refusal := new(proxied.Refusal); errors.As(err, &refusal) {
		status = refusal.Status
	}
	d.Log.WarnContext(r.Context(), "card host: request refused", "status", status, "reason", err.Error(), "peer", r.RemoteAddr)
	switch {
	case d.Proxy == nil:
		say(w, status, "This request holds a header about a certificate, which nobody may send here. Start again from the sign-in page.")
	case status == http.StatusForbidden:
		say(w, status, "Only the proxy in front of this address may ask here.")
	default:
		say(w, status, "What the proxy in front of this address hands on cannot be read. Tell the help desk, and go back to the sign-in page.")
	}
}

// asked is the name that the browser asked for, in lower case, and the mode that
// it stands for. The name of the handshake must be that of the request. A browser
// may reuse a connection for another name that the certificate covers (RFC 9113
// §9.1.1), and this connection's certificate was given to one name only. Behind a
// proxy that is for the proxy to see to.
func (d *Door) asked(r *http.Request) (string, Mode, bool) {
	name := r.Host
	if host, _, err := net.SplitHostPort(r.Host); err == nil {
		name = host
	}
	if d.Proxy == nil && (r.TLS == nil || !strings.EqualFold(name, r.TLS.ServerName)) {
		return "", Strict, false
	}
	mode, ours := d.modeOf(name)
	return strings.ToLower(name), mode, ours
}

// isNavigation: the browser goes to the page, as opposed to a picture, a frame,
// a script or a prefetch that would spend the ticket unseen. Browsers that send
// no fetch metadata get the benefit of the doubt.
func isNavigation(r *http.Request) bool {
	mode, dest := r.Header.Get("Sec-Fetch-Mode"), r.Header.Get("Sec-Fetch-Dest")
	return (mode == "" || mode == "navigate") && (dest == "" || dest == "document") &&
		!strings.Contains(r.Header.Get("Sec-Purpose")+r.Header.Get("Purpose"), "prefetch")
}

// isTicket spares the store from names that no ticket has.
func isTicket(s string) bool {
	if len(s) < 16 || len(s) > 128 {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

func send(w http.ResponseWriter, to string) {
	w.Header().Set("Location", to)
	say(w, http.StatusSeeOther, "Your browser should go on by itself. If it does not, go back to the sign-in page and try again.")
}

func say(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n") // a browser that has gone is no error of ours
}

// serverLog sorts what net/http complains about. A handshake that ends early is
// daily life: Chromium drops the first while its user chooses a certificate.
type serverLog struct{ log *slog.Logger }

func (s serverLog) Write(line []byte) (int, error) {
	text := strings.TrimSpace(string(line))
	level := slog.LevelError
	if strings.Contains(text, "TLS handshake error") {
		level = slog.LevelInfo
		for _, usual := range []string{"EOF", "connection reset by peer", "i/o timeout", "broken pipe", errCrowded.Error()} {
			if strings.HasSuffix(text, usual) {
				level = slog.LevelDebug
			}
		}
	}
	s.log.Log(context.Background(), level, "card host: connection failed", "detail", text)
	return len(line), nil
}
