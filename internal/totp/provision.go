package totp

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/pquerna/otp"
	ptotp "github.com/pquerna/otp/totp"
)

// Names are what an app shows beside the codes (S39).
type Names struct {
	Issuer   string // "DVV-1 TOTP-2FA"; begins with the brand
	Username bool   // whether the account's name is the username; otherwise it is the issuer's again
}

// NewNames checks the settings. An empty issuer becomes BRAND-1 TOTP-2FA.
func NewNames(brand, issuer string, username bool) (Names, error) {
	if issuer == "" {
		issuer = brand + "-1 TOTP-2FA"
	}
	switch {
	case brand == "":
		return Names{}, fmt.Errorf("authenticator names: the brand is empty")
	case !strings.HasPrefix(issuer, brand):
		return Names{}, fmt.Errorf("authenticator names: the issuer %q must begin with the brand %q, as the pages tell people to look for it", issuer, brand)
	case strings.ContainsFunc(issuer, unprintable) || strings.ContainsAny(issuer, ":/") || issuer != strings.TrimSpace(issuer):
		return Names{}, fmt.Errorf("authenticator names: the issuer %q must be printable, without a colon, a slash, or blanks around it", issuer)
	case utf8.RuneCountInString(issuer) > 40:
		return Names{}, fmt.Errorf("authenticator names: the issuer %q is longer than 40 characters", issuer)
	}
	return Names{Issuer: issuer, Username: username}, nil
}

// Account is the name that the app shows below the issuer, and that the code page
// tells people to look for.
func (n Names) Account(username string) string {
	if !n.Username {
		return n.Issuer
	}
	// A colon would end the issuer in the label (Key URI format); it is for the eye only.
	name := strings.Map(func(r rune) rune {
		if r == ':' || r == '/' || unprintable(r) {
			return '-'
		}
		return r
	}, username)
	if name == "" {
		return n.Issuer
	}
	return name
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError }

// Provision is a key as it is shown once, at linking. It is a secret.
type Provision struct {
	URI     string // otpauth://totp/ISSUER:ACCOUNT?secret=…
	PNG     []byte // the URI as a QR code, with its quiet zone
	Base32  string // the key in groups of four, for typing
	Hex     string // the same for tools that want it so
	Issuer  string
	Account string
}

// Provision shows a key to its owner.
func (n Names) Provision(key []byte, username string) (Provision, error) {
	if err := checkKey(key); err != nil {
		return Provision{}, err
	}
	account := n.Account(username)
	k, err := ptotp.Generate(ptotp.GenerateOpts{
		Issuer:      n.Issuer,
		AccountName: account,
		Period:      uint(Period.Seconds()),
		Secret:      key,
		Digits:      otp.DigitsSix,
		Algorithm:   otp.AlgorithmSHA1,
	})
	if err != nil {
		return Provision{}, fmt.Errorf("authenticator key: %w", err)
	}
	picture, err := qr(k)
	if err != nil {
		return Provision{}, fmt.Errorf("authenticator key as a QR code: %w", err)
	}
	return Provision{
		URI:     k.URL(),
		PNG:     picture,
		Base32:  grouped(encoding.EncodeToString(key)),
		Hex:     hex.EncodeToString(key),
		Issuer:  n.Issuer,
		Account: account,
	}, nil
}

// qr draws the code in black and white. The margin is more than the four modules
// of ISO/IEC 18004 for every size that a URI of ours can have.
func qr(k *otp.Key) ([]byte, error) {
	const code, margin = 480, 64
	drawn, err := k.Image(code, code)
	if err != nil {
		return nil, err
	}
	canvas := image.NewPaletted(image.Rect(0, 0, code+2*margin, code+2*margin), color.Palette{color.White, color.Black})
	draw.Draw(canvas, image.Rect(margin, margin, margin+code, margin+code), drawn, drawn.Bounds().Min, draw.Src)
	var out bytes.Buffer
	if err := png.Encode(&out, canvas); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func grouped(s string) string {
	var b strings.Builder
	for i, c := range []byte(s) {
		if i > 0 && i%4 == 0 {
			b.WriteByte(' ')
		}
		b.WriteByte(c)
	}
	return b.String()
}
