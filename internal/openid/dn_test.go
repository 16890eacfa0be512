package openid

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"strings"
	"testing"
)

func subject(t testing.TB, rdns ...pkix.RelativeDistinguishedNameSET) []byte {
	t.Helper()
	der, err := asn1.Marshal(pkix.RDNSequence(rdns))
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func rdn(pairs ...string) pkix.RelativeDistinguishedNameSET {
	var set pkix.RelativeDistinguishedNameSET
	types := map[string]asn1.ObjectIdentifier{"C": {2, 5, 4, 6}, "O": {2, 5, 4, 10}, "CN": {2, 5, 4, 3}, "OU": {2, 5, 4, 11}, "DC": {0, 9, 2342, 19200300, 100, 1, 25}, "1.3.6.1.4.1.99999.1": {1, 3, 6, 1, 4, 1, 99999, 1}}
	for i := 0; i < len(pairs); i += 2 {
		set = append(set, pkix.AttributeTypeAndValue{Type: types[pairs[i]], Value: pairs[i+1]})
	}
	return set
}

// The examples of RFC 4514 §4, and what must not be taken for the same.
func TestSameName(t *testing.T) {
	for _, c := range []struct {
		written string
		subject []byte
		same    bool
	}{
		{"CN=records,O=Kuntala,C=FI", subject(t, rdn("C", "FI"), rdn("O", "Kuntala"), rdn("CN", "records")), true},
		{"cn=records, o=Kuntala, c=FI", subject(t, rdn("C", "FI"), rdn("O", "Kuntala"), rdn("CN", "records")), true},
		{"2.5.4.3=records,2.5.4.10=Kuntala", subject(t, rdn("O", "Kuntala"), rdn("CN", "records")), true},
		{"C=FI,O=Kuntala,CN=records", subject(t, rdn("C", "FI"), rdn("O", "Kuntala"), rdn("CN", "records")), false}, // the other way round
		{"CN=Records,O=Kuntala,C=FI", subject(t, rdn("C", "FI"), rdn("O", "Kuntala"), rdn("CN", "records")), false},
		{"CN=records,O=Kuntala", subject(t, rdn("C", "FI"), rdn("O", "Kuntala"), rdn("CN", "records")), false},
		{"O=Kuntala,CN=records", subject(t, rdn("CN", "records"), rdn("CN", "records")), false},
		{"OU=Sales+CN=J.  Smith,DC=example,DC=net", subject(t, rdn("DC", "net"), rdn("DC", "example"), rdn("OU", "Sales", "CN", "J.  Smith")), true},
		{"CN=J.  Smith+OU=Sales,DC=example,DC=net", subject(t, rdn("DC", "net"), rdn("DC", "example"), rdn("OU", "Sales", "CN", "J.  Smith")), true},
		{"CN=J. Smith+OU=Sales,DC=example,DC=net", subject(t, rdn("DC", "net"), rdn("DC", "example"), rdn("OU", "Sales", "CN", "J.  Smith")), false},
		{"OU=Sales,CN=J.  Smith", subject(t, rdn("OU", "Sales", "CN", "J.  Smith")), false}, // two RDNs are not one
		{`CN=James \"Jim\" Smith\, III,DC=net`, subject(t, rdn("DC", "net"), rdn("CN", `James "Jim" Smith, III`)), true},
		{`CN=Before\0dAfter,DC=net`, subject(t, rdn("DC", "net"), rdn("CN", "Before\rAfter")), true},
		{`CN=Lu\C4\8Di\C4\87`, subject(t, rdn("CN", "Lučić")), true},
		{"CN=Lučić", subject(t, rdn("CN", "Lučić")), true},
		{`CN=\ a\ `, subject(t, rdn("CN", " a ")), true},
		{`CN= a `, subject(t, rdn("CN", "a")), true},
		{`CN= a `, subject(t, rdn("CN", " a ")), false},
		{`CN=\#a`, subject(t, rdn("CN", "#a")), true},
		{"1.3.6.1.4.1.99999.1=#130561626364 65", subject(t, rdn("1.3.6.1.4.1.99999.1", "abcde")), false},
		{"1.3.6.1.4.1.99999.1=#13056162636465", subject(t, rdn("1.3.6.1.4.1.99999.1", "abcde")), true},
		{"CN=#13056162636465", subject(t, rdn("CN", "abcdf")), false},
		{"1.3.6.1.4.1.99999.1=#0C056162636465", subject(t, rdn("1.3.6.1.4.1.99999.1", "abcde")), false}, // as UTF8String
		{"CN=a+CN=a", subject(t, rdn("CN", "a", "CN", "b")), false},
		{"CN=records,O=Kuntala,C=FI", subject(t, rdn("CN", "records,O=Kuntala,C=FI")), false}, // all of it in one value
		{"", subject(t), false},
		{"CN=a", nil, false},
		{"CN=a", append(subject(t, rdn("CN", "a")), 0), false},
	} {
		if got := sameName(c.written, c.subject); got != c.same {
			t.Errorf("%q: %v, want %v", c.written, got, c.same)
		}
	}
	for _, bad := range []string{"", "records", "=a", "CN=", "CN=a,", "CN=a,,O=b", "CN=a;O=b", `CN="a"`, `CN=a\`, `CN=\zz`, "XX=a", "1=a", "1..2=a", "01.2=a", "CN=#", "CN=#0", "CN=a\x00", `CN=\ff`, "CN=\xff", "CN=<a>", "CN=a+"} {
		if _, ok := parseName(bad); ok {
			t.Errorf("%q can be read", bad)
		}
	}
}

// Whatever is registered or shown: no panic, and no name of nothing.
func FuzzSameName(f *testing.F) {
	f.Add("CN=records,O=Kuntala,C=FI", subject(f, rdn("C", "FI"), rdn("O", "Kuntala"), rdn("CN", "records")))
	f.Add(`CN=\#a+OU=\41,1.2.3=#0500`, []byte{0x30, 0})
	f.Fuzz(func(t *testing.T, written string, der []byte) {
		name, ok := parseName(written)
		if sameName(written, der) && (!ok || len(name) == 0 || len(der) == 0) {
			t.Errorf("%q is the same as %x", written, der)
		}
		if ok && strings.TrimSpace(written) == "" {
			t.Error("nothing is a name")
		}
	})
}
