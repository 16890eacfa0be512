package config

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// URL is an address that people and programs reach us or others at: https, or
// http on this machine. It stays exactly as it was written, since issuers are
// compared letter by letter.
type URL struct {
	text string
	url  url.URL
}

// ParseURL reads an address. What it refuses it says in words for an operator.
func ParseURL(text string) (URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "" || strings.ContainsAny(text, " \t\r\n\\"):
		return URL{}, fmt.Errorf("%q is not an address; write one such as https://id.example.fi", text)
	case u.User != nil:
		return URL{}, errors.New("an address must hold no user name and no password")
	case u.Scheme != "https" && u.Scheme != "http":
		return URL{}, fmt.Errorf("%q must begin with https://", text)
	case u.RawQuery != "" || u.ForceQuery || strings.Contains(text, "#"):
		return URL{}, fmt.Errorf("%q must have no ? and no #", text)
	case u.Host != strings.ToLower(u.Host) || !strings.HasPrefix(text, u.Scheme+"://"):
		return URL{}, fmt.Errorf("%q must be in lower case up to the path", text)
	case strings.HasSuffix(u.Host, ":") || u.Hostname() == "":
		return URL{}, fmt.Errorf("%q has no host name, or a colon without a port", text)
	case u.Scheme == "http" && !Local(u.Hostname()):
		return URL{}, fmt.Errorf("%q must begin with https://; only localhost and its subdomains may do without", text)
	}
	return URL{text: text, url: *u}, nil
}

// MustURL is ParseURL for addresses that are written in code.
func MustURL(text string) URL {
	u, err := ParseURL(text)
	if err != nil {
		panic(err)
	}
	return u
}

func (u *URL) UnmarshalText(text []byte) (err error) {
	*u, err = ParseURL(string(text))
	return err
}

func (u URL) MarshalText() ([]byte, error) { return []byte(u.text), nil }

func (u URL) String() string { return u.text }
func (u URL) IsZero() bool   { return u.text == "" }
func (u URL) Secure() bool   { return u.url.Scheme == "https" }

// URL returns a copy that the caller may change.
func (u URL) URL() *url.URL { c := u.url; return &c }

// Origin is scheme, host and port (RFC 6454).
func (u URL) Origin() string {
	if u.IsZero() {
		return ""
	}
	return u.url.Scheme + "://" + u.url.Host
}

// Local tells whether a host name means this machine wherever it is resolved
// (RFC 6761 §6.3).
func Local(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.IsLoopback()
}

// Path is a file or folder. In a settings file it may be relative to the folder of
// that file.
type Path string

func (p *Path) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		return errors.New("a path is expected")
	}
	*p = Path(text)
	return nil
}

func (p *Path) relativeTo(dir string) {
	if !filepath.IsAbs(string(*p)) {
		*p = Path(filepath.Join(dir, string(*p)))
	}
}

func (p *Path) check() error { return nil }

// SecretFile is the path of a file that holds one secret and nothing else. The
// secret itself never stands among the settings.
type SecretFile string

func (s *SecretFile) UnmarshalText(text []byte) error {
	return (*Path)(s).UnmarshalText(text)
}

func (s *SecretFile) relativeTo(dir string) { (*Path)(s).relativeTo(dir) }

func (s *SecretFile) check() error {
	_, err := s.Read()
	return err
}

// maxSecret bounds a secret file, in bytes.
const maxSecret = 64 << 10

// Read returns the secret without the blanks and line ends around it. It refuses
// a file that is empty, or that every user of the machine may read or write.
func (s SecretFile) Read() (string, error) {
	f, err := os.Open(string(s))
	if err != nil {
		return "", fmt.Errorf("the secret cannot be read: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("the secret cannot be read: %w", err)
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("the secret %s is not a file", s)
	}
	if info.Mode().Perm()&0o007 != 0 {
		return "", fmt.Errorf("the secret %s may be read or written by every user of this machine (mode %#o): chmod 600 it, or 640", s, info.Mode().Perm())
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return "", fmt.Errorf("the secret cannot be read: %w", err)
	}
	secret := strings.TrimSpace(string(raw))
	if secret == "" {
		return "", fmt.Errorf("the secret %s is empty", s)
	}
	if len(raw) > maxSecret {
		return "", fmt.Errorf("the secret %s is larger than 64 KiB", s)
	}
	return secret, nil
}

// Given tells whether the setting is there.
func (s SecretFile) Given() bool { return s != "" }
