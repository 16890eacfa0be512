package openid_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/portti-id/portti/internal/clientjwt/clientjwttest"
	"github.com/portti-id/portti/internal/openid"
)

// authority issues certificates of services.
type authority struct {
	t           testing.TB
	certificate *x509.Certificate
	key         crypto.Signer
	above       [][]byte // what a client sends beside its own
}

func newAuthority(t testing.TB) *authority {
	a := &authority{t: t, key: newECKey(t)}
	a.certificate = a.sign(&x509.Certificate{Subject: pkix.Name{CommonName: "Services CA"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign}, a.key.Public(), nil)
	return a
}

// below is an authority that this one has made.
func (a *authority) below() *authority {
	b := &authority{t: a.t, key: newECKey(a.t)}
	b.certificate = a.sign(&x509.Certificate{Subject: pkix.Name{CommonName: "Services CA 2"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign}, b.key.Public(), a.certificate)
	b.above = [][]byte{b.certificate.Raw}
	return b
}

func newECKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// sign signs a certificate, itself when there is no parent.
func (a *authority) sign(c *x509.Certificate, public any, parent *x509.Certificate) *x509.Certificate {
	a.t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		a.t.Fatal(err)
	}
	if c.SerialNumber = serial; c.NotAfter.IsZero() {
		c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	}
	if parent == nil {
		parent = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, public, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return parsed
}

// issue makes a service's certificate, for clients unless edit says otherwise.
func (a *authority) issue(edit ...func(c *x509.Certificate)) *tls.Certificate {
	a.t.Helper()
	key := newECKey(a.t)
	c := &x509.Certificate{Subject: pkix.Name{CommonName: "records", Organization: []string{"Kuntala"}, Country: []string{"FI"}},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	for _, e := range edit {
		e(c)
	}
	leaf := a.sign(c, key.Public(), a.certificate)
	return &tls.Certificate{Certificate: append([][]byte{leaf.Raw}, a.above...), PrivateKey: key, Leaf: leaf}
}

// selfSigned is a certificate that its own key has signed.
func selfSigned(t testing.TB, key crypto.Signer, edit ...func(c *x509.Certificate)) *tls.Certificate {
	t.Helper()
	a := &authority{t: t, key: key}
	c := &x509.Certificate{Subject: pkix.Name{CommonName: "records", Organization: []string{"Kuntala"}, Country: []string{"FI"}}}
	for _, e := range edit {
		e(c)
	}
	leaf := a.sign(c, key.Public(), nil)
	return &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
}

func valid(from, to time.Duration) func(c *x509.Certificate) {
	return func(c *x509.Certificate) { c.NotBefore, c.NotAfter = time.Now().Add(from), time.Now().Add(to) }
}

// mutual is a kit with a listener that asks for certificates.
type mutual struct {
	*kit
	at string // its origin
}

func newMutual(t testing.TB, cas *authority, edit ...func(c *openid.Config, d *openid.Deps)) *mutual {
	t.Helper()
	m := &mutual{}
	server := httptest.NewUnstartedServer(nil)
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, SessionTicketsDisabled: true}
	m.at = "https://" + server.Listener.Addr().String()
	m.kit = newKit(t, append(edit, func(c *openid.Config, _ *openid.Deps) {
		if c.MTLS.URL = m.at; cas != nil {
			c.MTLS.ClientCAs = x509.NewCertPool()
			c.MTLS.ClientCAs.AddCert(cas.certificate)
		}
	})...)
	server.Config.Handler = m.p.MTLSHandler()
	server.StartTLS()
	t.Cleanup(server.Close)
	return m
}

// send calls the listener with a certificate, or without one when it is nil.
func (m *mutual) send(certificate *tls.Certificate, req *http.Request) reply {
	m.t.Helper()
	config := &tls.Config{InsecureSkipVerify: true} // the client's certificate is looked at, not the server's
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		if certificate == nil {
			return &tls.Certificate{}, nil
		}
		return certificate, nil
	}
	transport := &http.Transport{TLSClientConfig: config}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		m.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		m.t.Fatal(err)
	}
	r := reply{status: resp.StatusCode, header: resp.Header, raw: string(raw)}
	_ = json.Unmarshal(raw, &r.json)
	return r
}

func (m *mutual) token(certificate *tls.Certificate, form url.Values) reply {
	m.t.Helper()
	return m.post(openid.TokenPath, certificate, form)
}

func (m *mutual) post(path string, certificate *tls.Certificate, form url.Values) reply {
	m.t.Helper()
	req, err := http.NewRequest(http.MethodPost, m.at+path, strings.NewReader(form.Encode()))
	if err != nil {
		m.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return m.send(certificate, req)
}

func (m *mutual) userinfo(certificate *tls.Certificate, token string) reply {
	m.t.Helper()
	req, err := http.NewRequest(http.MethodGet, m.at+openid.UserinfoPath, nil)
	if err != nil {
		m.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	return m.send(certificate, req)
}

// RFC 8705 §2.1: a chain to a CA of the settings, for clients, valid today, and
// the one registered name.
func TestTLSClientAuth(t *testing.T) {
	ca, stranger := newAuthority(t), newAuthority(t)
	m := newMutual(t, ca)
	with := func(edit func(c *openid.Client)) func(c *openid.Client) {
		return func(c *openid.Client) { c.AuthMethod = openid.AuthTLS; edit(c) }
	}
	m.client("dn", with(func(c *openid.Client) { c.TLSSubjectDN = "CN=records,O=Kuntala,C=FI" }))
	m.client("dns", with(func(c *openid.Client) { c.TLSSANDNS = "records.example.fi" }))
	m.client("uri", with(func(c *openid.Client) { c.TLSSANURI = "spiffe://example.fi/records" }))
	m.client("ip", with(func(c *openid.Client) { c.TLSSANIP = "2001:DB8::0:7" }))
	m.client("email", with(func(c *openid.Client) { c.TLSSANEmail = "records@example.fi" }))
	m.client("other", with(func(c *openid.Client) { c.TLSSubjectDN = "CN=payroll,O=Kuntala,C=FI" }))
	m.client("secret")
	names := ca.issue(func(c *x509.Certificate) {
		c.DNSNames, c.EmailAddresses, c.IPAddresses = []string{"a.example", "records.example.fi"}, []string{"records@example.fi"}, []net.IP{net.ParseIP("2001:db8::7")}
		c.URIs = []*url.URL{{Scheme: "spiffe", Host: "example.fi", Path: "/records"}}
	})
	for what, c := range map[string]struct {
		client      string
		certificate *tls.Certificate
		in          bool
	}{
		"right":                {"dn", ca.issue(), true},
		"through another CA":   {"dn", ca.below().issue(), true},
		"no certificate":       {"dn", nil, false},
		"another's":            {"other", ca.issue(), false},
		"expired":              {"dn", ca.issue(valid(-2*time.Hour, -time.Hour)), false},
		"not valid yet":        {"dn", ca.issue(valid(time.Hour, 2*time.Hour)), false},
		"of another CA":        {"dn", stranger.issue(), false},
		"self-signed":          {"dn", selfSigned(t, newECKey(t)), false},
		"for servers only":     {"dn", ca.issue(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), false},
		"not for signatures":   {"dn", ca.issue(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyAgreement }), false},
		"one name more":        {"dn", ca.issue(func(c *x509.Certificate) { c.Subject.OrganizationalUnit = []string{"X"} }), false},
		"in another case":      {"dn", ca.issue(func(c *x509.Certificate) { c.Subject.CommonName = "Records" }), false},
		"the name in another":  {"dn", ca.issue(func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: "CN=records,O=Kuntala,C=FI"} }), false},
		"DNS name":             {"dns", names, true},
		"URI":                  {"uri", names, true},
		"IP address":           {"ip", names, true},
		"e-mail address":       {"email", names, true},
		"no DNS name":          {"dns", ca.issue(), false},
		"DNS name as CN":       {"dns", ca.issue(func(c *x509.Certificate) { c.Subject.CommonName = "records.example.fi" }), false},
		"wildcard":             {"dns", ca.issue(func(c *x509.Certificate) { c.DNSNames = []string{"*.example.fi"} }), false},
		"another IP address":   {"ip", ca.issue(func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.ParseIP("2001:db8::8")} }), false},
		"client with a secret": {"secret", ca.issue(), false},
	} {
		tried(t, what, m.token(c.certificate, redeem("x", "client_id", c.client)), c.in)
	}
	tried(t, "a secret as well", m.token(ca.issue(), redeem("x", "client_id", "dn", "client_secret", "y")), false)
	tried(t, "nobody says who", m.token(ca.issue(), redeem("x")), false)
	// A client with a secret may call there, too.
	tried(t, "secret", m.token(nil, redeem("x", "client_id", "secret", "client_secret", m.secrets["secret"])), false)
	m.client("post", func(c *openid.Client) { c.AuthMethod = openid.AuthPost })
	tried(t, "secret by form", m.token(nil, redeem("x", "client_id", "post", "client_secret", m.secrets["post"])), true)
}

// Without CAs in the settings nobody's certificate is good, least of all one of
// the CAs that the system knows.
func TestTLSClientAuthNeedsCAs(t *testing.T) {
	ca := newAuthority(t)
	m := newMutual(t, nil)
	m.client("dn", func(c *openid.Client) {
		c.AuthMethod, c.TLSSubjectDN = openid.AuthTLS, "CN=records,O=Kuntala,C=FI"
	})
	tried(t, "no CAs", m.token(ca.issue(), redeem("x", "client_id", "dn")), false)
}

// RFC 8705 §2.2: the certificate's key is one that the client registered.
func TestSelfSignedTLSClientAuth(t *testing.T) {
	m := newMutual(t, nil)
	mine, other, sealing := clientjwttest.New(t, "ES256"), clientjwttest.New(t, "ES256"), clientjwttest.New(t, "ECDH-ES")
	m.client("self", func(c *openid.Client) {
		c.AuthMethod, c.JWKS = openid.AuthSelfSignedTLS, clientjwttest.JWKS(mine, sealing)
	})
	withCertificate := selfSigned(t, newECKey(t))
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: withCertificate.Leaf.PublicKey, Certificates: []*x509.Certificate{withCertificate.Leaf}}}})
	if err != nil {
		t.Fatal(err)
	}
	m.client("x5c", func(c *openid.Client) { c.AuthMethod, c.JWKS = openid.AuthSelfSignedTLS, set })
	server := newJWKSServer(t)
	server.serve(other.JWKS())
	m.client("remote", func(c *openid.Client) { c.AuthMethod, c.JWKSURI = openid.AuthSelfSignedTLS, server.URL })
	for what, c := range map[string]struct {
		client      string
		certificate *tls.Certificate
		in          bool
	}{
		"right":                 {"self", selfSigned(t, mine.Private), true},
		"renewed, the same key": {"self", selfSigned(t, mine.Private, valid(-time.Minute, time.Hour)), true},
		"issued by a CA":        {"self", newAuthority(t).issue(), false},
		"another key":           {"self", selfSigned(t, other.Private), false},
		"a key for encryption":  {"self", selfSigned(t, sealing.Private), false},
		"none":                  {"self", nil, false},
		"expired":               {"self", selfSigned(t, mine.Private, valid(-2*time.Hour, -time.Hour)), false},
		"not valid yet":         {"self", selfSigned(t, mine.Private, valid(time.Hour, 2*time.Hour)), false},
		"x5c":                   {"x5c", withCertificate, true},
		"x5c, another":          {"x5c", selfSigned(t, mine.Private), false},
		"jwks_uri":              {"remote", selfSigned(t, other.Private), true},
		"jwks_uri, another":     {"remote", selfSigned(t, mine.Private), false},
	} {
		tried(t, what, m.token(c.certificate, redeem("x", "client_id", c.client)), c.in)
	}
}

// What other programs take for a certificate is nothing to the main listener, and
// nothing to the one for certificates.
func TestForgedHeadersAreNoCertificate(t *testing.T) {
	ca := newAuthority(t)
	m := newMutual(t, ca)
	m.client("dn", func(c *openid.Client) {
		c.AuthMethod, c.TLSSubjectDN = openid.AuthTLS, "CN=records,O=Kuntala,C=FI"
	})
	leaf := ca.issue().Leaf
	text := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw}))
	for _, at := range []string{m.url, m.at} {
		req, err := http.NewRequest(http.MethodPost, at+openid.TokenPath, strings.NewReader(redeem("x", "client_id", "dn").Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Client-Cert", ":"+base64.StdEncoding.EncodeToString(leaf.Raw)+":") // RFC 9440
		req.Header.Set("X-SSL-Client-Verify", "SUCCESS")
		req.Header.Set("X-SSL-Client-S-DN", "CN=records,O=Kuntala,C=FI")
		req.Header.Set("X-SSL-Client-Cert", url.QueryEscape(text))
		req.Header.Set("X-Forwarded-Tls-Client-Cert", base64.StdEncoding.EncodeToString(leaf.Raw))
		req.Header.Set("X-Forwarded-Client-Cert", `Cert="`+url.QueryEscape(text)+`"`)
		tried(t, at, m.send(nil, req), false)
	}
	// Nor does the main host's name lead anywhere at the other listener.
	req := httptest.NewRequest(http.MethodGet, "https://"+strings.TrimPrefix(m.at, "https://")+openid.AuthorizePath+"?"+request().Encode(), nil)
	w := newRecorder()
	m.p.MTLSHandler().ServeHTTP(w, req)
	if w.Code != http.StatusNotFound {
		t.Errorf("authorize: %d", w.Code)
	}
}

// An assertion may name the endpoint that was called, under its alias.
func TestAssertionsForTheAlias(t *testing.T) {
	m := newMutual(t, nil)
	key := clientjwttest.New(t, "ES256")
	m.client("jwt", jwtClient(key))
	m.client("strict", jwtClient(key), strict)
	tried(t, "alias", m.token(nil, asserted(redeem("x"), key.Assertion("jwt", m.at+"/token"))), true)
	tried(t, "issuer", m.token(nil, asserted(redeem("x"), key.Assertion("jwt", m.url))), true)
	tried(t, "FAPI: alias", m.token(nil, asserted(redeem("x"), key.Assertion("strict", m.at+"/token"))), false)
}

func TestMTLSMetadata(t *testing.T) {
	m := newMutual(t, newAuthority(t))
	var doc struct {
		Methods []string          `json:"token_endpoint_auth_methods_supported"`
		Bound   bool              `json:"tls_client_certificate_bound_access_tokens"`
		Aliases map[string]string `json:"mtls_endpoint_aliases"`
	}
	all := map[string]any{}
	body := m.get(http.DefaultClient, openid.ConfigPath, nil).body
	if err := json.Unmarshal([]byte(body), &doc); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(body), &all); err != nil {
		t.Fatal(err)
	}
	methods := strings.Join(doc.Methods, " ")
	if !doc.Bound || !strings.Contains(methods, " tls_client_auth") || !strings.Contains(methods, "self_signed_tls_client_auth") {
		t.Errorf("%s", body)
	}
	if doc.Aliases["token_endpoint"] != m.at+"/token" || doc.Aliases["userinfo_endpoint"] != m.at+"/userinfo" {
		t.Errorf("%v", doc.Aliases)
	}
	for name, alias := range doc.Aliases {
		// Each is there, under the name that its main address has in the metadata.
		req, err := http.NewRequest(http.MethodGet, alias, nil)
		if err != nil {
			t.Fatal(err)
		}
		if r := m.send(nil, req); r.status == http.StatusNotFound {
			t.Errorf("%s: %d", alias, r.status)
		}
		if main, _ := all[name].(string); strings.TrimPrefix(main, m.url) != strings.TrimPrefix(alias, m.at) {
			t.Errorf("%s: %s and %s", name, main, alias)
		}
	}
	for _, bad := range []string{"http://mtls.example", "https://mtls.example/x", "https://mtls.example/", "mtls.example", m.url} {
		c := m.p.Config
		c.MTLS.URL = bad
		if _, err := openid.New(c, m.p.Deps); err == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
}

// RFC 8705 §3: a token is worth nothing without the certificate that it is bound to.
func TestCertificateBoundTokens(t *testing.T) {
	ca := newAuthority(t)
	m := newMutual(t, ca)
	signing := clientjwttest.New(t, "ES256")
	m.client("dn", func(c *openid.Client) {
		c.AuthMethod, c.TLSSubjectDN, c.CertificateBound = openid.AuthTLS, "CN=records,O=Kuntala,C=FI", true
	})
	m.client("fapi", jwtClient(signing), func(c *openid.Client) { c.Profile, c.CertificateBound = openid.ProfileFAPI2, true })
	m.client("free", func(c *openid.Client) { c.AuthMethod, c.TLSSubjectDN = openid.AuthTLS, "CN=records,O=Kuntala,C=FI" })
	m.client("public", public, func(c *openid.Client) { c.CertificateBound = true })
	mine, renewed := ca.issue(), ca.issue()
	code := func(id string) url.Values {
		return redeem(m.code(m.browser(), request("client_id", id)), "client_id", id)
	}
	bound := m.token(mine, code("dn"))
	if bound.status != http.StatusOK || bound.text("token_type") != "Bearer" {
		t.Fatalf("%d %s", bound.status, bound.raw)
	}
	token := bound.text("access_token")
	if r := m.userinfo(mine, token); r.status != http.StatusOK || r.text("sub") != "anna" {
		t.Errorf("with its certificate: %d %s", r.status, r.raw)
	}
	for what, r := range map[string]reply{
		"none":              m.userinfo(nil, token),
		"another":           m.userinfo(renewed, token),
		"self-signed":       m.userinfo(selfSigned(t, newECKey(t)), token),
		"the main listener": m.kit.userinfo(token),
		"DPoP instead":      m.show("DPoP "+token, m.newDPoPKey().Proof("GET", m.url+"/userinfo", token, "")),
	} {
		if r.status != 401 || r.text("error") != "invalid_token" || len(r.header.Values("WWW-Authenticate")) != 2 {
			t.Errorf("%s: %d %v %s", what, r.status, r.header, r.raw)
		}
	}
	// A renewed certificate gets a token of its own, by the same refresh token.
	second := m.token(renewed, refreshing(bound.text("refresh_token")))
	refused(t, "refresh without client_id", second, 401, "invalid_client")
	form := refreshing(bound.text("refresh_token"))
	form.Set("client_id", "dn")
	if second = m.token(renewed, form); second.status != http.StatusOK || m.userinfo(renewed, second.text("access_token")).status != http.StatusOK ||
		m.userinfo(mine, second.text("access_token")).status != 401 {
		t.Errorf("refresh: %d %s", second.status, second.raw)
	}
	// Whose token need not be bound gets a plain one, with any certificate.
	if r := m.token(mine, code("free")); r.status != http.StatusOK || m.kit.userinfo(r.text("access_token")).status != http.StatusOK {
		t.Errorf("free: %d %s", r.status, r.raw)
	}
	// FAPI with assertions: the certificate binds, whoever signed it.
	self := selfSigned(t, newECKey(t))
	pushed := m.post(openid.PARPath, self, asserted(request("client_id", "fapi"), signing.Assertion("fapi", m.url)))
	if pushed.status != http.StatusCreated {
		t.Fatalf("pushed: %d %s", pushed.status, pushed.raw)
	}
	strictCode := redeem(m.code(m.browser(), url.Values{"client_id": {"fapi"}, "request_uri": {pushed.text("request_uri")}}))
	r := m.token(self, asserted(strictCode, signing.Assertion("fapi", m.url)))
	if r.status != http.StatusOK || m.userinfo(self, r.text("access_token")).status != http.StatusOK || m.kit.userinfo(r.text("access_token")).status != 401 {
		t.Errorf("fapi: %d %s", r.status, r.raw)
	}
	refused(t, "fapi, holder of key missing", m.token(nil, asserted(redeem("x"), signing.Assertion("fapi", m.url))), 400, "invalid_request")
	refused(t, "fapi at the main listener", m.kit.post("", asserted(redeem("x"), signing.Assertion("fapi", m.url))), 400, "invalid_request")
	// RFC 8705 §4: the refresh token of a public client needs its certificate.
	r = m.token(self, code("public"))
	form = refreshing(r.text("refresh_token"))
	form.Set("client_id", "public")
	refused(t, "public, another certificate", m.token(mine, form), 400, "invalid_grant")
	if r = m.token(self, form); r.status != http.StatusOK {
		t.Errorf("public: %d %s", r.status, r.raw)
	}
}

// A DPoP proof names the address that was called: the alias is another one.
func TestProofsAtTheAlias(t *testing.T) {
	m := newMutual(t, nil)
	key := m.newDPoPKey()
	m.client("post", func(c *openid.Client) { c.AuthMethod = openid.AuthPost })
	send := func(at, htu string) reply {
		req, err := http.NewRequest(http.MethodPost, at+openid.TokenPath, strings.NewReader(redeem("x", "client_id", "post", "client_secret", m.secrets["post"]).Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("DPoP", key.Proof("POST", htu+openid.TokenPath, "", ""))
		return m.send(nil, req)
	}
	refused(t, "alias", send(m.at, m.at), 400, "invalid_grant")
	refused(t, "issuer at the alias", send(m.at, m.url), 400, "invalid_dpop_proof")
	refused(t, "alias at the issuer", send(m.url, m.at), 400, "invalid_dpop_proof")
}

// Around the listener the route of an answer is known, as around the main one.
func TestTheListenerForCertificatesNamesItsRoutes(t *testing.T) {
	m := newMutual(t, nil)
	for path, want := range map[string]string{openid.PARPath: openid.PARPath, openid.TokenPath: openid.TokenPath, openid.AuthorizePath: "", "/elsewhere": ""} {
		r := newGet(path)
		m.p.MTLSHandler().ServeHTTP(newRecorder(), r)
		if r.Pattern != want {
			t.Errorf("%s is served as %q", path, r.Pattern)
		}
	}
}
