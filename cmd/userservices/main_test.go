package main

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/portti-id/portti/internal/config"
)

// write puts a file into a test's folder.
func write(t *testing.T, folder, name, text string) string {
	t.Helper()
	path := filepath.Join(folder, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// The example is one that works, up to the files that it names.
func TestTheExampleIsRight(t *testing.T) {
	raw, err := os.ReadFile("../../deploy/userservices.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	f := t.TempDir()
	write(t, f, "userservices.secret", "secret")
	var c Config
	if err := config.Load(write(t, f, "settings.yaml", string(raw)), &c); err != nil {
		t.Fatal(err)
	}
	if c.URL.String() != "https://services.example.fi" || c.CardHost != "https://*.card.example.fi" || len(c.Listen.Proxies) != 1 {
		t.Errorf("%+v", c)
	}
	if c.Listen.CertificateFile != "" {
		t.Error("the example has both proxies and a certificate")
	}
	// What is commented out is right, too.
	all := regexp.MustCompile(`(?m)^( *)# ( *[a-z_]+:( .*)?)$`).ReplaceAllString(string(raw), "$1$2")
	for _, name := range []string{"internal-ca.pem", "userservices.crt", "userservices.key"} {
		write(t, f, name, "PEM")
	}
	c = Config{}
	if err := config.Load(write(t, f, "all.yaml", strings.ReplaceAll(all, "/etc/portti/", "")), &c); err != nil {
		t.Fatal(err)
	}
	if l := c.Listen; l.Address == "" || l.CertificateFile == "" || !l.KeyFile.Given() || l.ForwardedHeader == "" || !strings.Contains(all, "  forwarded_header:") {
		t.Errorf("the example leaves settings of listen out: %+v", l)
	}
	if c.Footer.Accessibility.IsZero() || c.Footer.Privacy.IsZero() || c.Footer.Feedback.IsZero() || c.Account == "" || c.ACRPrefix == "" || c.CAFile == "" ||
		c.ClientID == "" || c.SupportPhone == "" || !strings.Contains(all, "  level: info\n  format: json") {
		t.Errorf("the example leaves settings out: %+v", c)
	}
}

// What package program does not know of is checked here: the card host.
func TestTheCardHostIsChecked(t *testing.T) {
	f := t.TempDir()
	write(t, f, "secret", "secret")
	for host, want := range map[string]string{"https://*.card.example.fi": "", "card.example.fi": "card host"} {
		path := write(t, f, "settings.yaml", "url: http://services.localhost:8082\nissuer: http://127.0.0.1:1\nclient_secret_file: secret\nbrand: Portti\ncard_host: '"+host+"'\n")
		err := (&Config{}).program().Run(t.Context(), []string{"-check", "-config", path}, io.Discard)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", host, err)
		}
	}
}
