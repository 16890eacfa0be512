package openid

import (
	"bytes"
	"encoding/asn1"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// attribute is a part of a name: CN=Records. One RDN has one or, rarely, many.
type attribute struct {
	Type  asn1.ObjectIdentifier
	Value asn1.RawValue
}

type rdnSET []attribute // asn1 knows a SET by the name of its type

// spelled is an attribute as RFC 4514 spells it: a text, or the DER of any value.
type spelled struct {
	kind string // OID in dots
	text string
	der  []byte // of "#…"; text is then ""
}

// attributeTypes are the short names of RFC 4514 §3 and of names in certificates
// (RFC 4519, RFC 2985 §5.2.1, ETSI EN 319 412-1). Others are written as OIDs.
var attributeTypes = map[string]string{
	"CN": "2.5.4.3", "SN": "2.5.4.4", "SERIALNUMBER": "2.5.4.5", "C": "2.5.4.6", "L": "2.5.4.7", "ST": "2.5.4.8", "STREET": "2.5.4.9",
	"O": "2.5.4.10", "OU": "2.5.4.11", "TITLE": "2.5.4.12", "BUSINESSCATEGORY": "2.5.4.15", "POSTALCODE": "2.5.4.17", "GIVENNAME": "2.5.4.42",
	"ORGANIZATIONIDENTIFIER": "2.5.4.97", "DC": "0.9.2342.19200300.100.1.25", "UID": "0.9.2342.19200300.100.1.1", "EMAILADDRESS": "1.2.840.113549.1.9.1",
}

// sameName compares a distinguished name in the writing of RFC 4514 with the DER of
// a certificate's subject. Types are compared as OIDs and values letter by letter,
// in order; the attributes of one RDN are a set. Whatever cannot be read is not
// the same.
func sameName(written string, subject []byte) bool {
	want, ok := parseName(written)
	if !ok {
		return false
	}
	var have []rdnSET
	if rest, err := asn1.Unmarshal(subject, &have); err != nil || len(rest) > 0 || len(have) != len(want) {
		return false
	}
	slices.Reverse(have) // RFC 4514 §2.1: written from the last to the first
	for i, rdn := range have {
		if len(rdn) != len(want[i]) {
			return false
		}
		for _, w := range want[i] {
			if !slices.ContainsFunc(rdn, w.is) {
				return false
			}
		}
	}
	return true
}

func (s spelled) is(a attribute) bool {
	if a.Type.String() != s.kind {
		return false
	}
	if s.der != nil {
		return bytes.Equal(a.Value.FullBytes, s.der)
	}
	var text string
	rest, err := asn1.Unmarshal(a.Value.FullBytes, &text)
	return err == nil && len(rest) == 0 && text == s.text
}

// parseName reads a distinguished name (RFC 4514 §3). It refuses what has two
// readings, and a name that says one thing twice.
func parseName(s string) ([][]spelled, bool) {
	if s == "" || !utf8.ValidString(s) {
		return nil, false
	}
	name := [][]spelled{nil}
	for {
		a, end, ok := parseAttribute(s)
		last := len(name) - 1
		if !ok || slices.ContainsFunc(name[last], func(b spelled) bool { return b.kind == a.kind }) {
			return nil, false
		}
		name[last] = append(name[last], a)
		if end == len(s) {
			return name, true
		}
		if s[end] == ',' {
			name = append(name, nil)
		}
		s = strings.TrimLeft(s[end+1:], " ") // "CN=a, O=b" is how most write it
	}
}

// parseAttribute reads TYPE=VALUE up to the end or to an unescaped comma or plus,
// and returns where that is.
func parseAttribute(s string) (a spelled, end int, ok bool) {
	kind, value, ok := strings.Cut(s, "=")
	if !ok {
		return a, 0, false
	}
	a.kind = strings.TrimSpace(kind)
	if oid, known := attributeTypes[strings.ToUpper(a.kind)]; known {
		a.kind = oid
	} else if !isOID(a.kind) {
		return a, 0, false
	}
	start := len(s) - len(value)
	if strings.HasPrefix(value, "#") {
		end = start + len(value)
		if i := strings.IndexAny(value, ",+"); i >= 0 {
			end = start + i
		}
		der, err := hex.DecodeString(strings.TrimSpace(s[start+1 : end]))
		a.der = der
		return a, end, err == nil && len(der) > 0
	}
	var text []byte
	kept := 0 // bytes of text that no blank at the end takes away
	i := start
	for ; i < len(s) && s[i] != ',' && s[i] != '+'; i++ {
		c := s[i]
		switch {
		case c == '\\':
			b, n, ok := unescape(s[i+1:])
			if !ok {
				return a, 0, false
			}
			text, i = append(text, b), i+n
			kept = len(text)
			continue
		case c == 0 || strings.IndexByte(`";<>`, c) >= 0:
			return a, 0, false // must be escaped
		case c == ' ' && len(text) == 0:
			continue
		}
		if text = append(text, c); c != ' ' {
			kept = len(text)
		}
	}
	a.text = string(text[:kept])
	return a, i, a.text != "" && utf8.ValidString(a.text)
}

// unescape reads what follows a backslash: a special character, or two hex digits.
func unescape(s string) (b byte, n int, ok bool) {
	if s == "" {
		return 0, 0, false
	}
	if strings.IndexByte(` "#+,;<=>\`, s[0]) >= 0 {
		return s[0], 1, true
	}
	if len(s) < 2 {
		return 0, 0, false
	}
	raw, err := hex.DecodeString(s[:2])
	if err != nil {
		return 0, 0, false
	}
	return raw[0], 2, true
}

// isOID tells whether s is an OID in dots, each number in its one spelling.
func isOID(s string) bool {
	parts := strings.Split(s, ".")
	return len(parts) > 1 && !slices.ContainsFunc(parts, func(p string) bool {
		n, err := strconv.ParseUint(p, 10, 31)
		return err != nil || strconv.FormatUint(n, 10) != p
	})
}
