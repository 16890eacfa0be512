package card

import (
	"cmp"
	"context"
	"crypto/tls"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/tlsconfig"
)

// Attempts is what the card host needs of the sign-in that sent the browser.
// Package login implements it.
type Attempts interface {
	// Open takes the ticket: of any number of presentations one succeeds, the
	// rest get fault.Gone "card_ticket_spent", and so does a ticket that never
	// was or has expired.
	Open(ctx context.Context, ticket string) (Attempt, error)

	// Finish stores the result under a new single-use code (60 s) and returns
	// the URL on the main host to send the browser to. The code is worth
	// something only together with the cookie of the browser that began the
	// attempt (standards.md 2.5).
	Finish(ctx context.Context, a Attempt, r Result) (url string, err error)
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
	Host     Host

	// Fallback is the page of the main host for a browser that brings a spent
	// ticket or none, or whose result could not be stored.
	Fallback string

	// Certificate returns the server certificate for the names of Host.
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)

	// MaxVersion is the highest TLS version, tls.VersionTLS13 when 0. With
	// tls.VersionTLS12 old card software works that cannot do RSA-PSS; but then
	// the certificate, which is personal data, crosses the network in clear.
	MaxVersion uint16

	// MaxConns and MaxConnsPerAddress bound the connections at a time (an IPv6
	// /64 counts as one address). 0 means 2000 and 200, negative no bound.
	MaxConns           int
	MaxConnsPerAddress int

	Log *slog.Logger
	Now func() time.Time
}

// URL is where to send the browser with this ticket: under a name that it has
// not seen, when Host has a star. Call it once an attempt.
func (d *Door) URL(ticket string) string {
	return d.Host.fresh() + attemptPath + url.PathEscape(ticket)
}

const attemptPath = "/attempt/"

// TLSConfig asks for a certificate and judges none. ClientCAs are hints only:
// with RequestClientCert nothing is verified against them, but possession of
// the key is proved in every handshake that brings a certificate.
func (d *Door) TLSConfig() *tls.Config {
	c := tlsconfig.Server(d.Certificate)
	c.MaxVersion = cmp.Or(d.MaxVersion, tls.VersionTLS13)
	c.NextProtos = []string{"http/1.1"} // HTTP/2 forbids to ask for a certificate later, and coalesces hosts
	c.ClientAuth = tls.RequestClientCert
	c.ClientCAs = d.Checker.Trust().Hints()
	c.SessionTicketsDisabled = true // a resumed session shows the former card
	return c
}

// Server serves the door. Serve it with ServeTLS(d.Listener(l), "", "").
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
	}
	s.SetKeepAlivesEnabled(false)
	return s
}

// Listener bounds the connections that l hands out.
func (d *Door) Listener(l net.Listener) net.Listener {
	return &limited{
		Listener: l,
		total:    bound(d.MaxConns, defaultMaxConns),
		each:     bound(d.MaxConnsPerAddress, defaultMaxConnsPerAddress),
		log:      d.Log,
		from:     map[netip.Prefix]int{},
	}
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

	if !d.isOurs(r) {
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
	if next := d.attempt(r, ticket); next != "" {
		send(w, next)
		return
	}
	send(w, d.Fallback)
}

// attempt takes the ticket, judges the card and returns where the browser goes
// with the result. It returns "" when the attempt came to nothing.
func (d *Door) attempt(r *http.Request, ticket string) string {
	ctx := r.Context()
	if !isTicket(ticket) {
		return ""
	}
	a, err := d.Attempts.Open(ctx, ticket)
	if fault.Is(err, fault.Gone) {
		d.Log.InfoContext(ctx, "card host: ticket spent, expired or unknown")
		return ""
	}
	if err != nil {
		d.Log.ErrorContext(ctx, "card host: cannot open the attempt", "error", err)
		return ""
	}

	now := d.Now().UTC()
	report := d.Checker.Check(ctx, r.TLS.PeerCertificates, now)
	d.note(r, report)

	result := Result{Verdict: report.Verdict, Failed: report.Failed, Holder: report.Holder, Kind: report.Kind, TLS: strings.TrimPrefix(tls.VersionName(r.TLS.Version), "TLS "), At: now}
	next, err := d.Attempts.Finish(ctx, a, result)
	if err != nil {
		d.Log.ErrorContext(ctx, "card host: cannot store the result", "error", err)
		return ""
	}
	return next
}

// note writes the outcome to the log: nothing of the holder, and of the issuer
// only the name, when it is what the operator needs to know.
func (d *Door) note(r *http.Request, report Report) {
	attrs := []slog.Attr{slog.String("verdict", string(report.Verdict)), slog.String("tls", tls.VersionName(r.TLS.Version))}
	if report.Reason != "" {
		attrs = append(attrs, slog.String("reason", report.Reason))
	}
	if report.Verdict == UntrustedIssuer {
		if leaf := r.TLS.PeerCertificates[0]; string(leaf.RawIssuer) != string(leaf.RawSubject) { // else the name may be a person's
			attrs = append(attrs, slog.String("issuer", report.Holder.Issuer))
		}
	}
	d.Log.LogAttrs(r.Context(), slog.LevelInfo, "card host: card checked", attrs...)
}

// isOurs: the name of the handshake is one of ours and the name of the request
// is the same. A browser may reuse a connection for another name that the
// certificate covers (RFC 9113 §9.1.1), and this connection's certificate was
// given to one name only.
func (d *Door) isOurs(r *http.Request) bool {
	if r.TLS == nil {
		return false
	}
	name := r.Host
	if host, _, err := net.SplitHostPort(r.Host); err == nil {
		name = host
	}
	return strings.EqualFold(name, r.TLS.ServerName) && d.Host.Matches(r.TLS.ServerName)
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
		for _, usual := range []string{"EOF", "connection reset by peer", "i/o timeout", "broken pipe"} {
			if strings.HasSuffix(text, usual) {
				level = slog.LevelDebug
			}
		}
	}
	s.log.Log(context.Background(), level, "card host: connection failed", "detail", text)
	return len(line), nil
}
