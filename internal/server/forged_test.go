package server_test

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/portti-id/portti/internal/cardtest"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/server"
)

// S23: what somebody writes into a header about a certificate changes nothing, on
// the main host and on the listener for services' certificates, and the operator
// hears of it once.
func TestForgedCertificateHeadersChangeNothing(t *testing.T) {
	pki := cardtest.ForTest(t)
	r := start(t, embedded(t), func(c *server.Config, _ *server.Deps) {
		c.MTLS = openid.MTLS{URL: "https://mtls.localhost", ClientCAs: pki.ServerPool()}
	})
	der := base64.StdEncoding.EncodeToString(pki.TestCase(t, "good-p256").Cert.Raw)
	forged := http.Header{"Client-Cert": {":" + der + ":"}, "X-Ssl-Client-Cert": {der}, "X-Forwarded-Tls-Client-Cert": {der}, "X-Forwarded-Client-Cert": {`Hash=00;Cert="` + der + `"`},
		"SSL_CLIENT_CERT": {der}, "X-Ssl-Client-Verify": {"SUCCESS"}, "Portti-Proxy-Secret": {"guess"}}
	random := regexp.MustCompile(`[A-Z2-7]{8,26}|nonce="[^"]*"`)
	ask := func(h http.Handler, method, path string, headers http.Header) string {
		body := url.Values{"grant_type": {"authorization_code"}, "code": {"x"}, "client_id": {"service"}}.Encode()
		q := httptest.NewRequest(method, path, strings.NewReader(body))
		q.Header = headers.Clone()
		q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, q)
		return http.StatusText(w.Code) + " " + random.ReplaceAllString(w.Body.String(), "…")
	}
	for name, h := range map[string]http.Handler{"the main host": r.Handler(), "the listener for certificates": r.MTLSHandler()} {
		before := strings.Count(r.logs.String(), "headers about certificates")
		for _, path := range []string{"GET /", "GET /userinfo", "POST /token", "POST /introspect", "GET /signin/none", "GET /api/v1/me"} {
			method, path, _ := strings.Cut(path, " ")
			if bare, got := ask(h, method, path, http.Header{}), ask(h, method, path, forged); got != bare {
				t.Errorf("%s, %s %s: %s\nwithout the headers: %s", name, method, path, got, bare)
			}
		}
		if lines := strings.Count(r.logs.String(), "headers about certificates") - before; lines != 1 {
			t.Errorf("%s: %d lines in the log", name, lines)
		}
	}
	if strings.Contains(r.logs.String(), der[:20]) {
		t.Error("the certificate is in the log")
	}
}
