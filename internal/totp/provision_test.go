package totp

import (
	"bytes"
	"encoding/base32"
	"encoding/hex"
	"image/png"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"
	"github.com/pquerna/otp"
)

func names(t *testing.T, username bool) Names {
	t.Helper()
	n, err := NewNames("DVV", "", username)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestURI(t *testing.T) { // S38, S39
	p, err := names(t, true).Provision(rfcKey, "matti.meikäläinen")
	if err != nil {
		t.Fatal(err)
	}
	const want = "otpauth://totp/DVV-1%20TOTP-2FA:matti.meik%C3%A4l%C3%A4inen?algorithm=SHA1&digits=6&issuer=DVV-1%20TOTP-2FA&period=30&secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
	if p.URI != want {
		t.Errorf("\n%s, want\n%s", p.URI, want)
	}
	if p.Base32 != "GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ" || p.Hex != hex.EncodeToString(rfcKey) || p.Account != "matti.meikäläinen" {
		t.Errorf("%q, %q, %q", p.Base32, p.Hex, p.Account)
	}
}

func TestURIHoldsForAnyUsername(t *testing.T) {
	for _, username := range []string{"a", "a:b", "a/b?c=d&e#f", "+ %20 +", "väinö 😀", "a\nb", "", strings.Repeat("ä", 64)} {
		for _, with := range []bool{true, false} {
			key := NewKey()
			n := names(t, with)
			p, err := n.Provision(key, username)
			if err != nil {
				t.Errorf("%q: %v", username, err)
				continue
			}
			u, err := url.Parse(p.URI)
			if err != nil {
				t.Fatal(err)
			}
			label := strings.TrimPrefix(u.Path, "/")
			if label != n.Issuer+":"+n.Account(username) || strings.Count(label, ":") != 1 || !strings.HasPrefix(label, "DVV") {
				t.Errorf("%q: label %q", username, label)
			}
			if strings.ContainsAny(u.RawQuery, "+ ") || strings.Contains(u.Query().Get("secret"), "=") {
				t.Errorf("%q: query %s", username, u.RawQuery)
			}
			if secret, err := base32.StdEncoding.DecodeString(u.Query().Get("secret")); err != nil || !bytes.Equal(secret, key) {
				t.Errorf("%q: secret %x, %v", username, secret, err)
			}
			if !with && strings.Contains(p.URI, "meik") {
				t.Error("the username is in the URI")
			}
		}
	}
}

func TestNamesAreChecked(t *testing.T) { // S39
	if n, err := NewNames("DVV", "", false); err != nil || n.Issuer != "DVV-1 TOTP-2FA" || n.Account("x") != n.Issuer {
		t.Errorf("%+v, %v", n, err)
	}
	for _, issuer := range []string{"Other", "DVV:1", "DVV/1", "DVV\n", "DVV ", "DVV" + strings.Repeat("x", 50), "DVV\xff"} {
		if _, err := NewNames("DVV", issuer, false); err == nil {
			t.Errorf("%q accepted", issuer)
		}
	}
	if _, err := NewNames("", "", false); err == nil {
		t.Error("no brand accepted")
	}
}

func TestBadKeysAreNotShown(t *testing.T) {
	for _, key := range [][]byte{nil, make([]byte, 19), make([]byte, 21)} {
		if _, err := names(t, true).Provision(key, "x"); err == nil {
			t.Errorf("key of %d bytes shown", len(key))
		}
	}
}

// provisions are what the two independent decoders must read.
func provisions(t *testing.T) []Provision {
	t.Helper()
	var all []Provision
	for _, username := range []string{"m", "matti.meikäläinen@virasto.example", strings.Repeat("x", 64)} {
		p, err := names(t, true).Provision(NewKey(), username)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

func TestQRCodeByGozxing(t *testing.T) { // S38
	for _, p := range provisions(t) {
		picture, err := png.Decode(bytes.NewReader(p.PNG))
		if err != nil {
			t.Fatal(err)
		}
		bitmap, err := gozxing.NewBinaryBitmapFromImage(picture)
		if err != nil {
			t.Fatal(err)
		}
		// Without the hint gozxing misses some clean codes.
		read, err := qrcode.NewQRCodeReader().Decode(bitmap, map[gozxing.DecodeHintType]any{gozxing.DecodeHintType_PURE_BARCODE: true})
		if err != nil || read.GetText() != p.URI {
			t.Fatalf("read %v, %v", read, err)
		}
		k, err := otp.NewKeyFromURL(read.GetText())
		if err != nil || !strings.HasPrefix(k.Issuer(), "DVV") || k.Digits() != otp.DigitsSix || k.Period() != 30 || k.Algorithm() != otp.AlgorithmSHA1 {
			t.Errorf("%+v, %v", k, err)
		}
	}
}

func TestQRCodeByZbar(t *testing.T) { // S38
	zbarimg, err := exec.LookPath("zbarimg")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("zbarimg is missing: apt-get install zbar-tools")
		}
		t.Skip("zbarimg is missing: apt-get install zbar-tools")
	}
	for _, p := range provisions(t) {
		file := filepath.Join(t.TempDir(), "qr.png")
		if err := os.WriteFile(file, p.PNG, 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), zbarimg, "--quiet", "--raw", file).Output()
		if err != nil || strings.TrimSpace(string(out)) != p.URI {
			t.Errorf("zbarimg read %q, %v", out, err)
		}
	}
}
