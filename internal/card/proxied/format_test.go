package proxied_test

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/portti-id/portti/internal/card/proxied"
	"github.com/portti-id/portti/internal/cardtest"
)

func b64(c *x509.Certificate) string        { return base64.StdEncoding.EncodeToString(c.Raw) }
func structured(c *x509.Certificate) string { return ":" + b64(c) + ":" }

func armoured(certs ...*x509.Certificate) string {
	var b strings.Builder
	for _, c := range certs {
		b.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
	}
	return b.String()
}

// escaped is how nginx and Envoy write PEM: everything but letters, digits and -._~
// becomes an escape.
func escaped(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") }

func each(certs []*x509.Certificate, write func(*x509.Certificate) string, between string) string {
	texts := make([]string, len(certs))
	for i, c := range certs {
		texts[i] = write(c)
	}
	return strings.Join(texts, between)
}

// written is what the format's proxy writes, and where, without the chain of RFC 9440.
func written(f proxied.Format, certs []*x509.Certificate) (name, value string) {
	leaf := certs[0]
	switch f {
	case proxied.RFC9440:
		return "Client-Cert", structured(leaf)
	case proxied.Nginx:
		return "X-Ssl-Client-Cert", escaped(armoured(leaf))
	case proxied.HAProxy:
		return "Client-Cert", structured(leaf)
	case proxied.Traefik:
		return "X-Forwarded-Tls-Client-Cert", each(certs, b64, ",")
	case proxied.Envoy:
		hash := sha256.Sum256(leaf.Raw)
		return "X-Forwarded-Client-Cert", `Hash=` + hex.EncodeToString(hash[:]) + `;Cert="` + escaped(armoured(leaf)) + `";Chain="` + escaped(armoured(certs...)) +
			`";Subject="CN=Maija \"M, M;M=\" Meikäläinen";URI=;DNS=a.example;DNS=b.example`
	case proxied.Apache:
		return "X-Ssl-Client-Cert", strings.TrimSpace(strings.ReplaceAll(armoured(leaf), "\n", " "))
	}
	panic(f)
}

func TestFormatsAreRead(t *testing.T) {
	pki := cardtest.ForTest(t)
	chain := append(pki.TestCase(t, "good-p384").Certificates(), pki.TestCase(t, "good-rsa2048").Certificates()[1:]...)
	leaf := chain[:1]
	if len(chain) < 3 {
		t.Fatalf("a chain of %d", len(chain))
	}
	hasPlus := pki.TestCase(t, "good-rsa2048").Cert // base64 of so many random bytes has a plus
	for name, c := range map[string]struct {
		format  proxied.Format
		headers []string
		want    []*x509.Certificate
	}{
		"rfc9440":                {proxied.RFC9440, []string{"Client-Cert", structured(chain[0])}, leaf},
		"rfc9440 in blanks":      {proxied.RFC9440, []string{"Client-Cert", " \t" + structured(chain[0]) + " "}, leaf},
		"rfc9440 with a chain":   {proxied.RFC9440, []string{"Client-Cert", structured(chain[0]), "Client-Cert-Chain", each(chain[1:], structured, ", ")}, chain},
		"rfc9440, tight commas":  {proxied.RFC9440, []string{"client-cert", structured(chain[0]), "client-cert-chain", each(chain[1:], structured, "\t,")}, chain},
		"nginx":                  {proxied.Nginx, []string{"X-SSL-Client-Cert", escaped(armoured(hasPlus))}, []*x509.Certificate{hasPlus}},
		"haproxy":                {proxied.HAProxy, []string{"Client-Cert", structured(chain[0])}, leaf},
		"haproxy without colons": {proxied.HAProxy, []string{"Client-Cert", b64(chain[0])}, leaf},
		"haproxy, no card":       {proxied.HAProxy, []string{"Client-Cert", "::"}, nil},
		"traefik 3":              {proxied.Traefik, []string{"X-Forwarded-Tls-Client-Cert", each(chain, b64, ",")}, chain},
		"traefik 2":              {proxied.Traefik, []string{"X-Forwarded-Tls-Client-Cert", url.QueryEscape(each(chain, b64, ","))}, chain},
		"traefik 2, bare commas": {proxied.Traefik, []string{"X-Forwarded-Tls-Client-Cert", each(chain, func(c *x509.Certificate) string { return url.QueryEscape(b64(c)) }, ",")}, chain},
		"envoy, leaf":            {proxied.Envoy, []string{"X-Forwarded-Client-Cert", `Cert="` + escaped(armoured(hasPlus)) + `"`}, []*x509.Certificate{hasPlus}},
		"envoy, chain":           {proxied.Envoy, []string{"X-Forwarded-Client-Cert", `By=spiffe://a/b;chain="` + escaped(armoured(chain...)) + `"`}, chain},
		"envoy, bare value":      {proxied.Envoy, []string{"X-Forwarded-Client-Cert", `Cert=` + escaped(armoured(chain[0]))}, leaf},
		"apache":                 {proxied.Apache, []string{"X-SSL-Client-Cert", strings.ReplaceAll(armoured(chain[0]), "\n", " ")}, leaf},
		"apache, no card":        {proxied.Apache, []string{"X-SSL-Client-Cert", "(null)"}, nil},
	} {
		got, err := behind(t, c.format).Certificates(request(c.headers...))
		if err != nil || !slices.EqualFunc(got, c.want, (*x509.Certificate).Equal) {
			t.Errorf("%s: %d certificates, %v", name, len(got), err)
		}
	}
	for _, f := range proxied.Formats {
		name, value := written(f, leaf)
		if got, err := behind(t, f).Certificates(request(name, value)); err != nil || len(got) != 1 || !got[0].Equal(chain[0]) {
			t.Errorf("%s: %v", f, err)
		}
		for what, r := range map[string]*http.Request{"absent": request(), "empty": request(name, ""), "blank": request(name, " ")} {
			if got, err := behind(t, f).Certificates(r); err != nil || len(got) != 0 {
				t.Errorf("%s, %s: %d certificates, %v", f, what, len(got), err)
			}
		}
	}
}

// S35: a header that cannot be read is never "no certificate": the person would
// look for a fault of the card. It is refused, and the reason holds nothing of it.
func TestDamagedHeadersAreRefused(t *testing.T) {
	pki := cardtest.ForTest(t)
	chain := pki.TestCase(t, "good-p256").Certificates()
	leaf, other := chain[0], pki.TestCase(t, "good-p384").Cert
	otherHash := sha256.Sum256(other.Raw)
	whole := func(f proxied.Format) string { _, v := written(f, chain); return v }
	many := slices.Repeat(chain[:1], 11)
	pemOf := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	xfcc := func(v string) string { return `Cert="` + escaped(v) + `"` }
	damaged := map[proxied.Format][]string{
		proxied.RFC9440: {
			b64(leaf), ":" + b64(leaf), b64(leaf) + ":", ":", "::", ":=:", `"` + b64(leaf) + `"`, structured(leaf) + ";a=1", structured(leaf) + ", " + structured(leaf), structured(leaf) + structured(leaf),
			": " + b64(leaf) + ":", strings.TrimRight(structured(leaf), "=:") + ":::", ":" + base64.URLEncoding.EncodeToString(append([]byte{0xff, 0xff, 0xfe}, leaf.Raw...)) + ":", ":AAAA:", ":QUJ=:", "?1", "(null)",
			":" + base64.StdEncoding.EncodeToString(append(slices.Clone(leaf.Raw), 0)) + ":", ":" + base64.StdEncoding.EncodeToString(leaf.Raw[:len(leaf.Raw)-1]) + ":", ":" + b64(leaf)[:40] + "\n" + b64(leaf)[40:] + ":",
			":" + strings.Repeat("A", 49<<10) + ":",
		},
		proxied.Nginx: {
			armoured(leaf) + "x", escaped(armoured(leaf) + armoured(leaf)), escaped(armoured(leaf) + " "), escaped(" " + armoured(leaf)), escaped("x\n" + armoured(leaf)), b64(leaf), escaped(b64(leaf)), "%", "%2", "%zz", "(null)", "-",
			escaped(pemOf("PRIVATE KEY", leaf.Raw)), escaped(pemOf("TRUSTED CERTIFICATE", leaf.Raw)), escaped(strings.Replace(armoured(leaf), "\n", "\nProc-Type: 4,ENCRYPTED\n\n", 1)), escaped(escaped(armoured(leaf))),
			escaped(armoured(leaf)[:200]), url.QueryEscape(strings.ReplaceAll(armoured(leaf), "\n", " ")), escaped(pemOf("CERTIFICATE", nil)),
		},
		proxied.HAProxy: {
			":::", ":", ":" + b64(leaf), b64(leaf) + ":", structured(leaf) + "," + structured(leaf), b64(leaf) + "," + b64(leaf), b64(leaf)[:100], escaped(armoured(leaf)), "=", "-", hex.EncodeToString(leaf.Raw),
			base64.StdEncoding.EncodeToString(slices.Concat(leaf.Raw, other.Raw)),
		},
		proxied.Traefik: {
			",", b64(leaf) + ",", "," + b64(leaf), b64(leaf) + ",," + b64(leaf), b64(leaf) + ", " + b64(leaf), each(many, b64, ","), "%", escaped(armoured(leaf)), b64(leaf) + "%00", structured(leaf), b64(leaf)[:80],
		},
		proxied.Envoy: {
			whole(proxied.Envoy) + "," + whole(proxied.Envoy), "By=spiffe://forged;Hash=00," + whole(proxied.Envoy), whole(proxied.Envoy) + ",", "," + whole(proxied.Envoy), whole(proxied.Envoy) + ";", ";" + whole(proxied.Envoy),
			`Cert="` + escaped(armoured(leaf)), `Cert=` + escaped(armoured(leaf)) + `"`, `Cert=a"` + escaped(armoured(leaf)) + `"`, `Cert="` + escaped(armoured(leaf)) + `"x`, xfcc(armoured(leaf)) + ";" + xfcc(armoured(leaf)), xfcc(armoured(leaf)) + ";cert=" + escaped(armoured(other)),
			xfcc(armoured(leaf)) + `;Chain="` + escaped(armoured(other)) + `"`, xfcc(armoured(leaf)) + `;Hash=` + hex.EncodeToString(otherHash[:]), xfcc(armoured(leaf)) + ";Hash=00;Hash=11", "By=spiffe://a/b;Hash=0011", `Subject="CN=x"`, xfcc(""), `Chain=""`,
			`Chain="` + escaped(armoured(many...)) + `"`, `Chain="` + escaped(armoured(leaf)+"x") + `"`, "Cert", "=x", `C ert="x"`, `Cert ="x"`, xfcc(b64(leaf)), `Subject="CN=\";Cert="` + escaped(armoured(leaf)) + `"`, b64(leaf),
		},
		proxied.Apache: {
			armoured(leaf)[:300], escaped(armoured(leaf)), b64(leaf), "null", "(null) ", "-----BEGIN CERTIFICATE----- -----END CERTIFICATE-----", strings.ReplaceAll(armoured(leaf)+armoured(leaf), "\n", " "), strings.ReplaceAll(armoured(leaf), "\n", "\t"),
			strings.ReplaceAll(armoured(leaf), "\n", ""), strings.ReplaceAll(armoured(leaf), "\n", " ") + "x", "x " + strings.ReplaceAll(armoured(leaf), "\n", " "),
		},
	}
	damaged[proxied.Apache] = slices.DeleteFunc(damaged[proxied.Apache], func(s string) bool { return strings.TrimSpace(s) == "(null)" })
	for f, values := range damaged {
		name, whole := written(f, chain)
		for _, value := range append(values, strings.Repeat("A", 49<<10), "\x00", "é") {
			certs, err := behind(t, f).Certificates(request(name, value))
			if status(err) != http.StatusBadRequest || certs != nil {
				t.Errorf("%s: %d certificates, %v, from %.80q…%q", f, len(certs), err, value, value[max(0, len(value)-8):])
			}
			if err != nil && (len(err.Error()) > 150 || strings.Contains(err.Error(), "MII")) {
				t.Errorf("%s: the reason tells too much: %s", f, err)
			}
		}
		for _, twice := range []string{whole, ""} { // one of them was written by the browser
			if certs, err := behind(t, f).Certificates(request(name, whole, name, twice)); status(err) != http.StatusBadRequest || certs != nil {
				t.Errorf("%s twice: %v", f, err)
			}
		}
	}
	for what, headers := range map[string][]string{
		"a chain alone":             {"Client-Cert-Chain", structured(other)},
		"a chain and an empty leaf": {"Client-Cert", "", "Client-Cert-Chain", structured(other)},
		"two chains":                {"Client-Cert", structured(leaf), "Client-Cert-Chain", structured(other), "Client-Cert-Chain", structured(other)},
		"a chain with an end":       {"Client-Cert", structured(leaf), "Client-Cert-Chain", structured(other) + ","},
		"a chain with parameters":   {"Client-Cert", structured(leaf), "Client-Cert-Chain", structured(other) + ";a"},
		"a chain in one list":       {"Client-Cert", structured(leaf), "Client-Cert-Chain", "(" + structured(other) + ")"},
		"a long chain":              {"Client-Cert", structured(leaf), "Client-Cert-Chain", each(many, structured, ",")},
	} {
		if certs, err := behind(t, proxied.RFC9440).Certificates(request(headers...)); status(err) != http.StatusBadRequest || certs != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// A certificate larger than a card's can be does not come to the parser.
func TestLargeCertificateIsRefused(t *testing.T) {
	pki := cardtest.ForTest(t)
	large := pki.TestCard(t, "large", cardtest.Person{Given: "Maija", Family: strings.Repeat("x", 20<<10)}).Cert
	if _, err := behind(t, proxied.RFC9440).Certificates(request("Client-Cert", structured(large))); status(err) != http.StatusBadRequest || !strings.Contains(err.Error(), "too long") {
		t.Errorf("%d bytes: %v", len(large.Raw), err)
	}
}

// Whatever stands in a header: no panic, and no certificate is a header that says
// so. What is read can be written again and is the same.
func fuzz(f *testing.F, format proxied.Format, none ...string) {
	pki := cardtest.ForTest(f)
	chain := pki.TestCase(f, "good-p256").Certificates()
	name, value := written(format, chain)
	f.Add(value)
	f.Add(value + "," + value)
	f.Add("")
	g := behind(f, format)
	f.Fuzz(func(t *testing.T, value string) {
		certs, err := g.Certificates(request(name, value))
		switch {
		case err != nil:
			if certs != nil || status(err) != http.StatusBadRequest {
				t.Errorf("%d certificates and %v", len(certs), err)
			}
			return
		case len(certs) == 0:
			if !slices.Contains(append(none, ""), strings.Trim(value, " \t")) {
				t.Errorf("no certificate in %q", value)
			}
			return
		case len(certs) > 10:
			t.Errorf("%d certificates", len(certs))
		}
		_, again := written(format, certs)
		back, err := g.Certificates(request(name, again))
		if err != nil || !back[0].Equal(certs[0]) {
			t.Errorf("written again: %v", err)
		}
	})
}

func FuzzRFC9440(f *testing.F) { fuzz(f, proxied.RFC9440) }
func FuzzNginx(f *testing.F)   { fuzz(f, proxied.Nginx) }
func FuzzHAProxy(f *testing.F) { fuzz(f, proxied.HAProxy, "::") }
func FuzzTraefik(f *testing.F) { fuzz(f, proxied.Traefik) }
func FuzzEnvoy(f *testing.F)   { fuzz(f, proxied.Envoy) }
func FuzzApache(f *testing.F)  { fuzz(f, proxied.Apache, "(null)") }

func FuzzRFC9440Chain(f *testing.F) {
	chain := cardtest.ForTest(f).TestCase(f, "good-p256").Certificates()
	f.Add(each(chain[1:], structured, ", "))
	f.Add("")
	g := behind(f, proxied.RFC9440)
	f.Fuzz(func(t *testing.T, value string) {
		certs, err := g.Certificates(request("Client-Cert", structured(chain[0]), "Client-Cert-Chain", value))
		if err == nil && (len(certs) == 0 || len(certs) > 10 || !certs[0].Equal(chain[0])) {
			t.Errorf("%d certificates of %q", len(certs), value)
		}
	})
}
