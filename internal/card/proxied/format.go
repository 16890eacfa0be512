package proxied

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// Format is how a proxy writes a certificate into a header.
type Format string

const (
	// RFC9440: Client-Cert: :base64 of DER:, and in Client-Cert-Chain a list of the
	// same, without the first. Structured fields (RFC 8941), without parameters.
	RFC9440 Format = "rfc9440"

	// Nginx: $ssl_client_escaped_cert, PEM with %-escapes.
	Nginx Format = "nginx"

	// HAProxy: %[ssl_c_der,base64], base64 of DER, bare or between colons. The two
	// colons alone, as it writes them for a browser without a certificate, are none.
	HAProxy Format = "haproxy"

	// Traefik: X-Forwarded-Tls-Client-Cert, base64 of DER, the chain after commas;
	// with %-escapes from version 2, without from version 3.
	Traefik Format = "traefik"

	// Envoy: X-Forwarded-Client-Cert, with Cert, Chain or both: PEM with %-escapes.
	Envoy Format = "envoy"

	// Apache: %{SSL_CLIENT_CERT}s, PEM with blanks for newlines; "(null)" is none.
	Apache Format = "apache"
)

// Formats are all of them.
var Formats = []Format{RFC9440, Nginx, HAProxy, Traefik, Envoy, Apache}

// chainHeader is RFC 9440's second header, which no other format may come with.
const chainHeader = "Client-Cert-Chain"

// fixed and usual are the headers of the formats, in canonical form.
var (
	fixed = map[Format]string{RFC9440: "Client-Cert", Traefik: "X-Forwarded-Tls-Client-Cert", Envoy: "X-Forwarded-Client-Cert"}
	usual = map[Format]string{Nginx: "X-Ssl-Client-Cert", HAProxy: "Client-Cert", Apache: "X-Ssl-Client-Cert"}
)

// Check says what is wrong with a format and the name that an operator gives to
// its header; "" is always right.
func (f Format) Check(header string) error {
	if !slices.Contains(Formats, f) {
		return fmt.Errorf("format %q is not one of %v", f, Formats)
	}
	name := http.CanonicalHeaderKey(header)
	switch {
	case header == "":
		return nil
	case fixed[f] != "" && name != fixed[f]:
		return fmt.Errorf("the header of format %s is %s", f, fixed[f])
	case !httpguts.ValidHeaderFieldName(header):
		return fmt.Errorf("%q is not the name of a header", header)
	case plain(header) == strings.ToLower(SecretHeader) || plain(header) == plain(chainHeader) || common[name]:
		return fmt.Errorf("%s is for something else", header)
	}
	return nil
}

// common are headers that every request has or may have.
var common = map[string]bool{"Host": true, "Cookie": true, "Authorization": true, "User-Agent": true, "Accept": true, "Connection": true, "Forwarded": true, "X-Forwarded-For": true, "Referer": true}

func (f Format) header(given string) string {
	if given != "" {
		return http.CanonicalHeaderKey(given)
	}
	return fixed[f] + usual[f] // one of them is ""
}

// Limits, before anything is decoded and before anything is parsed. A card's
// certificate is about 2 KiB.
const (
	longestValue       = 48 << 10 // bytes of a header
	mostCertificates   = 10
	largestCertificate = 16 << 10 // bytes of DER

	// MaxHeaderBytes is what a listener behind a proxy must read.
	MaxHeaderBytes = 2*longestValue + 16<<10
)

var (
	errRepeated = errors.New("it stands more than once in the request")
	errLong     = errors.New("it is too long")
	errMany     = errors.New("too many certificates")
	errBase64   = errors.New("not base64 in its one right form")
	errEscapes  = errors.New("not text with %-escapes")
	errPEM      = errors.New("not a certificate in PEM")
	errX509     = errors.New("not an X.509 certificate")
	errElement  = errors.New("not one element of NAME=VALUE pairs")
)

// read returns what the header holds: none when it is absent or empty.
func (f Format) read(h http.Header, name string) ([]*x509.Certificate, error) {
	value, err := only(h, name)
	if err != nil {
		return nil, err
	}
	var ders [][]byte
	switch f {
	case RFC9440:
		chain, wrong := only(h, chainHeader)
		if wrong != nil {
			return nil, fmt.Errorf("%s: %w", chainHeader, wrong)
		}
		ders, err = fromRFC9440(value, chain)
	case Nginx:
		ders, err = fromEscapedPEM(value)
	case HAProxy:
		ders, err = fromHAProxy(value)
	case Traefik:
		ders, err = fromTraefik(value)
	case Envoy:
		ders, err = fromEnvoy(value)
	case Apache:
		ders, err = fromApache(value)
	default:
		err = fmt.Errorf("format %q is unknown", f)
	}
	if err != nil {
		return nil, err
	}
	return parse(ders)
}

// only is the value of a header that stands once, or "" when it is absent.
func only(h http.Header, name string) (string, error) {
	values := h[name]
	switch {
	case len(values) == 0:
		return "", nil
	case len(values) > 1:
		return "", errRepeated
	case len(values[0]) > longestValue:
		return "", errLong
	}
	return strings.Trim(values[0], " \t"), nil
}

func parse(ders [][]byte) ([]*x509.Certificate, error) {
	if len(ders) > mostCertificates {
		return nil, errMany
	}
	certs := make([]*x509.Certificate, 0, len(ders))
	for _, der := range ders {
		if len(der) > largestCertificate {
			return nil, errLong
		}
		c, err := x509.ParseCertificate(der) // which takes nothing after the certificate
		if err != nil {
			return nil, errX509 // its own text may hold something of the certificate
		}
		certs = append(certs, c)
	}
	return certs, nil
}

// fromRFC9440 reads RFC 9440 §2.2 and §2.3. Parameters have no meaning there, and
// what has no meaning is not passed over.
func fromRFC9440(value, chain string) ([][]byte, error) {
	if value == "" {
		if chain != "" {
			return nil, errors.New(chainHeader + " came without it") // §2.3
		}
		return nil, nil
	}
	leaf, err := byteSequence(value)
	if err != nil {
		return nil, err
	}
	ders := [][]byte{leaf}
	if chain == "" {
		return ders, nil
	}
	for item := range strings.SplitSeq(chain, ",") { // no comma is part of a byte sequence
		if len(ders) > mostCertificates {
			return nil, errMany
		}
		der, err := byteSequence(strings.Trim(item, " \t")) // OWS (RFC 8941 §3.1)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", chainHeader, err)
		}
		ders = append(ders, der)
	}
	return ders, nil
}

// byteSequence is RFC 8941 §3.3.5 as §4.1.8 writes it: padded, and no bit to spare.
func byteSequence(s string) ([]byte, error) {
	if len(s) < len(":x:") || s[0] != ':' || s[len(s)-1] != ':' {
		return nil, errors.New("not a byte sequence of RFC 8941 with something in it")
	}
	return fromBase64(s[1 : len(s)-1])
}

func fromHAProxy(value string) ([][]byte, error) {
	if value == "" || value == "::" {
		return nil, nil
	}
	decode := fromBase64
	if strings.Contains(value, ":") {
		decode = byteSequence
	}
	der, err := decode(value)
	return [][]byte{der}, err
}

func fromTraefik(value string) ([][]byte, error) {
	if value == "" {
		return nil, nil
	}
	text, err := unescape(value)
	if err != nil {
		return nil, err
	}
	var ders [][]byte
	for one := range strings.SplitSeq(text, ",") {
		if len(ders) == mostCertificates {
			return nil, errMany
		}
		der, err := fromBase64(one)
		if err != nil {
			return nil, err
		}
		ders = append(ders, der)
	}
	return ders, nil
}

func fromEscapedPEM(value string) ([][]byte, error) {
	if value == "" {
		return nil, nil
	}
	text, err := unescape(value)
	if err != nil {
		return nil, err
	}
	der, rest, err := fromPEM(text, "\n")
	if err == nil && rest != "" {
		err = errPEM
	}
	return [][]byte{der}, err
}

func fromApache(value string) ([][]byte, error) {
	if value == "" || value == "(null)" {
		return nil, nil
	}
	der, rest, err := fromPEM(value, " ")
	if err == nil && rest != "" {
		err = errPEM
	}
	return [][]byte{der}, err
}

// fromEnvoy reads the one element that our own proxy writes. More of them were
// appended to what somebody before it sent.
func fromEnvoy(value string) ([][]byte, error) {
	if value == "" {
		return nil, nil
	}
	pairs, err := element(value)
	if err != nil {
		return nil, err
	}
	var leaf, chain [][]byte
	if text, ok := pairs["cert"]; ok {
		if leaf, err = fromEscapedPEM(text); err != nil {
			return nil, fmt.Errorf("in Cert: %w", err)
		}
	}
	if text, ok := pairs["chain"]; ok { // the whole of it, the leaf first
		if chain, err = fromEscapedPEMs(text); err != nil {
			return nil, fmt.Errorf("in Chain: %w", err)
		}
	}
	switch {
	case len(leaf) == 0 && len(chain) == 0:
		return nil, errors.New("neither Cert nor Chain is in it: set_current_client_cert_details must ask for one")
	case len(chain) == 0:
		chain = leaf
	case len(leaf) > 0 && !bytes.Equal(leaf[0], chain[0]):
		return nil, errors.New("what Cert and Chain hold disagrees")
	}
	hash := sha256.Sum256(chain[0])
	if said, ok := pairs["hash"]; ok && said != hex.EncodeToString(hash[:]) {
		return nil, errors.New("the hash is of another certificate")
	}
	return chain, nil
}

// element reads NAME=VALUE pairs, ";" between them. A value that holds one of
// ",;= stands in double quotes, where \ goes before a quote. Names are returned in
// lower case; of those that may be repeated (URI, DNS) the last value.
func element(s string) (map[string]string, error) {
	pairs := map[string]string{}
	for {
		name, rest, ok := strings.Cut(s, "=")
		name = strings.ToLower(name)
		if !ok || name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz") != "" {
			return nil, errElement
		}
		value, rest, err := pairValue(rest)
		if err != nil {
			return nil, err
		}
		if _, twice := pairs[name]; twice && name != "uri" && name != "dns" {
			return nil, errElement
		}
		pairs[name] = value
		if rest == "" {
			return pairs, nil
		}
		if rest[0] != ';' {
			return nil, errElement // a comma begins another element
		}
		s = rest[1:]
	}
}

func pairValue(s string) (value, rest string, err error) {
	if !strings.HasPrefix(s, `"`) {
		end := strings.IndexAny(s, ";,")
		if end < 0 {
			end = len(s)
		}
		if strings.ContainsAny(s[:end], `"=`) {
			return "", "", errElement
		}
		return s[:end], s[end:], nil
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return b.String(), s[i+1:], nil
		case c == '\\' && i+1 < len(s) && (s[i+1] == '"' || s[i+1] == '\\'):
			i++
			b.WriteByte(s[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", "", errElement // the quote is not closed
}

func fromEscapedPEMs(value string) ([][]byte, error) {
	text, err := unescape(value)
	if err != nil {
		return nil, err
	}
	var ders [][]byte
	for text != "" {
		if len(ders) == mostCertificates {
			return nil, errMany
		}
		var der []byte
		if der, text, err = fromPEM(text, "\n"); err != nil {
			return nil, err
		}
		ders = append(ders, der)
	}
	return ders, nil
}

// unescape undoes %-escapes. A plus is a plus: it is in base64.
func unescape(s string) (string, error) {
	text, err := url.PathUnescape(s)
	if err != nil {
		return "", errEscapes
	}
	return text, nil
}

const (
	pemBegin = "-----BEGIN CERTIFICATE-----"
	pemEnd   = "-----END CERTIFICATE-----"
)

// fromPEM reads one certificate, in lines that end as given, and returns what
// comes after it. encoding/pem passes over what it does not understand; this does
// not.
func fromPEM(text, newline string) (der []byte, rest string, err error) {
	text, ok := strings.CutPrefix(text, pemBegin+newline)
	if !ok {
		return nil, "", errPEM
	}
	body, rest, ok := strings.Cut(text, newline+pemEnd)
	if !ok {
		return nil, "", errPEM
	}
	der, err = fromBase64(strings.ReplaceAll(body, newline, ""))
	return der, strings.TrimPrefix(rest, newline), err
}

// fromBase64 takes the one right form only: the standard alphabet, padded, no
// bits to spare, no line breaks.
func fromBase64(s string) ([]byte, error) {
	if s == "" || strings.ContainsAny(s, "\r\n") { // which encoding/base64 passes over
		return nil, errBase64
	}
	der, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil, errBase64
	}
	return der, nil
}
