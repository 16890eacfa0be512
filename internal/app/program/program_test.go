package program_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/app"
	"github.com/portti-id/portti/internal/app/program"
	"github.com/portti-id/portti/internal/config"
)

// settings is an app's settings file with nothing of its own.
type settings struct{ program.Settings }

func (s *settings) Check(p *config.Problems) { s.Complete(p, ":8444", ":8082") }

// run runs an app with nothing but a probe and a start page that needs the provider.
func run(ctx context.Context, args []string, out io.Writer) error {
	s := &settings{}
	p := program.Program{Name: "app", File: "/etc/portti/app.yaml", Settings: s, Make: func(ctx context.Context, log *slog.Logger) (http.Handler, error) {
		secret, err := s.Secret()
		if err != nil {
			return nil, err
		}
		client, err := s.Client()
		if err != nil {
			return nil, err
		}
		a, err := app.New(ctx, app.Config{Name: "con.title", Folder: "console", URL: s.URL.String(), Issuer: s.Issuer.String(), ClientID: "app", ClientSecret: secret, Brand: s.Brand,
			Footer: s.Footer.Links(), HTTPClient: client, Log: log})
		if err != nil {
			return nil, err
		}
		return a.Handler(func(mux *http.ServeMux) {
			mux.Handle("GET /{$}", a.Site.Handle(func(w http.ResponseWriter, r *http.Request) error {
				session, _, err := a.Meet(r)
				return a.Settle(w, r, session, err, nil)
			}))
		}), nil
	}}
	return p.Run(ctx, args, out)
}

// folder is a settings file with what it names.
type folder struct {
	t    *testing.T
	path string
}

func newFolder(t *testing.T) folder {
	f := folder{t, t.TempDir()}
	f.write("secret", "a secret of the client\n", 0o600)
	return f
}

func (f folder) write(name, text string, mode os.FileMode) string {
	f.t.Helper()
	path := filepath.Join(f.path, name)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		f.t.Fatal(err)
	}
	return path
}

const good = `listen: {address: 127.0.0.1:0}
url: http://services.localhost:8082
issuer: http://127.0.0.1:1
client_secret_file: secret
brand: Portti
`

// with is the good settings with lines replaced by name, or taken out.
func with(lines ...string) string {
	all := strings.Split(strings.TrimSpace(good), "\n")
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ":")
		all = slices.DeleteFunc(all, func(l string) bool { return strings.HasPrefix(l, name+":") })
		if value != "" {
			all = append(all, line)
		}
	}
	return strings.Join(all, "\n") + "\n"
}

func TestSettingsAreChecked(t *testing.T) {
	f := newFolder(t)
	f.write("empty", "\n", 0o600)
	f.write("open", "secret", 0o644)
	f.write("nonsense.pem", "nonsense", 0o600)
	f.certificate(1)
	const https = "url: https://services.example.fi"
	for name, c := range map[string]struct{ file, want string }{
		"no url":           {with("url:"), "setting url: it is missing"},
		"no issuer":        {with("issuer:"), "setting issuer: it is missing"},
		"no secret":        {with("client_secret_file:"), "setting client_secret_file: it is missing"},
		"no brand":         {with("brand:"), "setting brand: it is missing"},
		"empty secret":     {with("client_secret_file: empty"), "client_secret_file: the secret"},
		"open secret":      {with("client_secret_file: open"), "chmod 600"},
		"lost secret":      {with("client_secret_file: lost"), "client_secret_file: the secret cannot be read"},
		"unknown":          {with("client_secret: abc"), "setting client_secret: there is no such setting"},
		"url with a path":  {with("url: https://services.example.fi/us"), "it must have no path"},
		"url in the open":  {with("url: http://services.example.fi"), "must begin with https://"},
		"the issuer's url": {with("url: http://id.localhost", "issuer: http://id.localhost"), "an origin of its own"},
		"no key":           {with("listen: {certificate_file: tls.crt}", https), "setting listen.key_file: it is missing"},
		"no certificate":   {with("listen: {key_file: tls.key}", https), "setting listen.certificate_file: it is missing: certificate_file and key_file"},
		"neither":          {with("listen: {address: 127.0.0.1:0}", https), "setting listen.certificate_file: it is missing: give certificate_file"},
		"tls, not https":   {with("listen: {certificate_file: tls.crt, key_file: tls.key}"), "setting listen.certificate_file: the url begins with http://"},
		"lost certificate": {with("listen: {certificate_file: lost.crt, key_file: tls.key}", https), "setting listen.certificate_file: certificate"},
		"lost key":         {with("listen: {certificate_file: tls.crt, key_file: lost.key}", https), "setting listen.key_file: the secret cannot be read"},
		"open key":         {with("listen: {certificate_file: tls.crt, key_file: open}", https), "setting listen.key_file: the secret"},
		"no key at all":    {with("listen: {certificate_file: tls.crt, key_file: secret}", https), "setting listen.certificate_file: certificate"},
		"address":          {with("listen: {address: localhost}"), "setting listen.address: \"localhost\" is not an address and port"},
		"port":             {with("listen: {address: ':70000'}"), "setting listen.address"},
		"no section":       {with("listen: 127.0.0.1:0"), "setting listen: a group of settings is expected"},
		"ca file":          {with("ca_file: lost.pem"), "setting ca_file"},
		"ca file nonsense": {with("ca_file: nonsense.pem"), "holds no certificate"},
		"proxies":          {with("listen: {proxies: [nearby]}"), "setting listen.proxies[0]"},
		"header":           {with("listen: {forwarded_header: X-Real-IP}"), "setting listen.forwarded_header"},
		"log level":        {with("log: {level: chatty}"), "setting log.level"},
		"log format":       {with("log: {format: xml}"), "setting log.format: \"xml\" is not one of json, text"},
		"taken port":       {with("listen: {address: '" + taken(t) + "'}"), "setting listen.address: listen on"},
	} {
		path := f.write("settings.yaml", c.file, 0o600)
		err := run(t.Context(), []string{"-config", path}, io.Discard)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one that says %q", name, err, c.want)
		}
	}
	if err := run(t.Context(), []string{"-config", filepath.Join(f.path, "lost.yaml")}, io.Discard); err == nil || !strings.Contains(err.Error(), "lost.yaml") {
		t.Errorf("a lost file: %v", err)
	}
	if err := run(t.Context(), []string{"serve"}, io.Discard); err == nil || !strings.Contains(err.Error(), "unexpected argument") {
		t.Errorf("an argument: %v", err)
	}
}

// taken is an address that somebody listens on.
func taken(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String()
}

func TestCheckStartsNothing(t *testing.T) {
	f := newFolder(t)
	path := f.write("settings.yaml", with("listen: {address: '"+taken(t)+"'}"), 0o600)
	if err := run(t.Context(), []string{"-check", "-config", path}, io.Discard); err != nil {
		t.Error(err)
	}
}

// What the file leaves out.
func TestDefaults(t *testing.T) {
	f := newFolder(t)
	f.certificate(1)
	for name, want := range map[string]struct{ file, address string }{
		"http":  {with("listen:"), ":8082"},
		"https": {with("listen: {certificate_file: tls.crt, key_file: tls.key}", "url: https://services.example.fi"), ":8444"},
	} {
		var c settings
		if err := config.Load(f.write("settings.yaml", want.file, 0o600), &c); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if c.Listen.Address != want.address || c.Listen.ForwardedHeader != "X-Forwarded-For" || c.Log != (program.Log{Format: "json"}) {
			t.Errorf("%s: %+v %+v", name, c.Listen, c.Log)
		}
	}
}

// The log is what its settings say, and holds no secret.
func TestLog(t *testing.T) {
	f := newFolder(t)
	for settings, want := range map[string]string{
		"":                                   `"level":"WARN","msg":"provider not found yet`,
		"log: {format: text}\n":              `level=WARN msg="provider not found yet`,
		"log: {level: error}\n":              "",
		"log: {level: info, format: json}\n": `"level":"WARN"`,
	} {
		var out bytes.Buffer
		if err := run(t.Context(), []string{"-check", "-config", f.write("settings.yaml", good+settings, 0o600)}, &out); err != nil {
			t.Fatal(err)
		}
		if got := out.String(); !strings.Contains(got, want) || want == "" && got != "" || strings.Contains(got, "a secret of the client") {
			t.Errorf("%q logs %q, want %q", settings, got, want)
		}
	}
}

// serve runs the program until the test ends or stop is called; it returns where
// it listens.
func serve(t *testing.T, path string) (address string, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	log := &lines{found: make(chan string, 1)}
	done := make(chan error, 1)
	go func() { done <- run(ctx, []string{"-config", path}, log) }()
	select {
	case address = <-log.found:
	case err := <-done:
		cancel()
		t.Fatalf("it stopped: %v", err)
	}
	stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() { _ = stop() })
	return address, stop
}

// lines finds the address in the log.
type lines struct {
	mu    sync.Mutex
	found chan string
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, rest, ok := bytes.Cut(p, []byte(`"msg":"ready","address":"`)); ok {
		address, _, _ := bytes.Cut(rest, []byte(`"`))
		l.found <- string(address)
	}
	return len(p), nil
}

func get(t *testing.T, client *http.Client, url string) (int, string) {
	t.Helper()
	res, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

// It starts without its provider, says so to people, and stops when it is told.
func TestServesUntilItIsStopped(t *testing.T) {
	f := newFolder(t)
	address, stop := serve(t, f.write("settings.yaml", good, 0o600))
	client := &http.Client{}
	if status, body := get(t, client, "http://"+address+"/healthz"); status != 200 || body != `{"process":true}` {
		t.Errorf("%d %s", status, body)
	}
	if status, body := get(t, client, "http://"+address+"/"); status != 503 || !strings.Contains(body, `id="error"`) {
		t.Errorf("%d %s", status, body)
	}
	if err := stop(); err != nil {
		t.Errorf("stopped with %v", err)
	}
	if _, err := net.Dial("tcp", address); err == nil {
		t.Error("it still listens")
	}
}

// A renewed certificate is served without a restart, over TLS 1.2 at least.
func TestCertificatesAreReloaded(t *testing.T) {
	f := newFolder(t)
	first := f.certificate(1)
	address, _ := serve(t, f.write("settings.yaml", with("listen: {address: 127.0.0.1:0, certificate_file: tls.crt, key_file: tls.key}", "url: https://services.example.fi"), 0o600))
	served := func() *big.Int {
		t.Helper()
		c, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the test looks at the certificate itself
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		return c.ConnectionState().PeerCertificates[0].SerialNumber
	}
	if served().Cmp(first) != 0 {
		t.Error("another certificate is served")
	}
	second := f.certificate(2)
	if served().Cmp(second) != 0 {
		t.Error("the renewed certificate is not served")
	}
	if c, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11}); err == nil { //nolint:gosec // an old client
		_ = c.Close()
		t.Error("TLS 1.1 is spoken")
	}
}

// certificate writes tls.crt and tls.key with a serial number.
func (f folder) certificate(serial int64) *big.Int {
	f.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), DNSNames: []string{"services.example.fi"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		f.t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		f.t.Fatal(err)
	}
	f.write("tls.crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), 0o600)
	f.write("tls.key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})), 0o600)
	// Files of the same size written within the clock's grain look unchanged.
	for _, name := range []string{"tls.crt", "tls.key"} {
		at := time.Now().Add(time.Duration(serial) * time.Minute)
		if err := os.Chtimes(filepath.Join(f.path, name), at, at); err != nil {
			f.t.Fatal(err)
		}
	}
	return template.SerialNumber
}

// The CAs of ca_file are trusted for the provider, and names under localhost are
// found on this machine.
func TestTheProviderIsReached(t *testing.T) {
	f := newFolder(t)
	f.certificate(1)
	pair, err := tls.LoadX509KeyPair(filepath.Join(f.path, "tls.crt"), filepath.Join(f.path, "tls.key"))
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.NotFoundHandler(), ReadHeaderTimeout: time.Second}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for file, trusted := range map[string]bool{"": false, "tls.crt": true} {
		c := settings{}
		if file != "" {
			c.CAFile = config.Path(filepath.Join(f.path, file))
		}
		client, err := c.Client()
		if err != nil {
			t.Fatal(err)
		}
		client.Transport.(*http.Transport).TLSClientConfig = withName(client.Transport.(*http.Transport).TLSClientConfig)
		res, err := client.Get("https://id.localhost:" + port + "/")
		if err == nil {
			_ = res.Body.Close()
		}
		if (err == nil) != trusted {
			t.Errorf("with ca_file %q: %v", file, err)
		}
		if err != nil && !strings.Contains(err.Error(), "certificate") {
			t.Errorf("with ca_file %q: %v", file, err)
		}
	}
}

// withName expects the name that the test's certificate has.
func withName(c *tls.Config) *tls.Config {
	if c == nil {
		c = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	c.ServerName = "services.example.fi"
	return c
}
