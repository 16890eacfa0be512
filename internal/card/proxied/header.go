package proxied

import (
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Headers in which proxies hand certificates on, as their makers' manuals have
// them; in the form of plain.
var carries = set(
	"client-cert", "client-cert-chain", // RFC 9440
	"x-forwarded-client-cert",     // Envoy
	"x-forwarded-tls-client-cert", // Traefik
	"ssl-client-cert",             // Apache, the ingress of nginx
	"ssl-client-certificate",
	"x-ssl-client-cert", "x-ssl-client-cert-chain", "x-ssl-client-certificate", "x-ssl-cert", "x-ssl-client-der", "x-ssl-client-chain",
	"ssl-client-escaped-cert", "x-ssl-client-escaped-cert", "x-forwarded-ssl-client-cert",
	"x-client-cert", "x-client-certificate", "x-client-cert-chain", "x-arr-clientcert",
	"cf-client-cert-der-base64",
	"x-amzn-mtls-clientcert", "x-amzn-mtls-clientcert-leaf", "x-amzn-mtls-clientcert-chain",
)

// Headers that say something of a certificate. Nobody here reads them; they are
// signs of a proxy that believes it ends TLS, or of somebody who tries.
var tells = set(
	"x-forwarded-tls-client-cert-info",
	"ssl-client-verify", "ssl-client-subject-dn", "ssl-client-issuer-dn", "ssl-client-s-dn", "ssl-client-i-dn", "ssl-client-m-serial",
	"x-ssl-verify", "x-ssl-client-verify", "x-client-verify", "x-ssl-client-dn", "x-ssl-client-s-dn", "x-ssl-client-i-dn", "x-ssl-client-subject", "x-ssl-client-issuer",
	"x-ssl-client-serial", "x-ssl-client-fingerprint", "x-ssl-client-sha1", "x-ssl-client-cn", "x-ssl-issuer",
	"x-amzn-mtls-clientcert-subject", "x-amzn-mtls-clientcert-issuer", "x-amzn-mtls-clientcert-serial-number",
	strings.ToLower(SecretHeader),
)

func set(names ...string) map[string]bool {
	all := make(map[string]bool, len(names))
	for _, n := range names {
		all[n] = true
	}
	return all
}

// plain is a header's name in the one form that it is compared in. Programs
// behind CGI take _ for -, and so do some proxies.
func plain(name string) string { return strings.ReplaceAll(strings.ToLower(name), "_", "-") }

// Header tells whether one of these headers is there, and returns its name.
func Header(h http.Header) (name string, found bool) {
	for name := range h {
		if p := plain(name); carries[p] || tells[p] {
			return name, true
		}
	}
	return "", false
}

// Strip takes these headers out of every request before next sees it, and tells
// the log at most once a minute. It is for listeners where no certificate comes
// in a header: nobody behind may begin to believe one.
func Strip(next http.Handler, log *slog.Logger) http.Handler {
	told := &seldom{}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		first := ""
		for name := range r.Header {
			if p := plain(name); carries[p] || tells[p] {
				first = p // not as the client wrote it
				delete(r.Header, name)
			}
		}
		if first != "" {
			if times, tell := told.count(time.Now()); tell {
				log.WarnContext(r.Context(), "headers about certificates were taken out: nothing is read from them here", "header", first, "requests", times)
			}
		}
		next.ServeHTTP(w, r)
	})
}

// seldom counts, and says once a minute at most that it is time to tell.
type seldom struct {
	mu    sync.Mutex
	times int
	told  time.Time
}

func (s *seldom) count(now time.Time) (times int, tell bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.times++
	if now.Sub(s.told) < time.Minute {
		return 0, false
	}
	times, s.times, s.told = s.times, 0, now
	return times, true
}
