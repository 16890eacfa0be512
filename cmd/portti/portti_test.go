package main

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/cardtest"
	"github.com/portti-id/portti/internal/ephemeral/ephemeraltest"
	"github.com/portti-id/portti/internal/keys"
	"github.com/portti-id/portti/internal/storetest"
)

// with changes the minimal settings: a line that begins as one of them replaces
// it, another is added.
func with(lines ...string) string {
	all := strings.Split(strings.TrimSpace(minimal), "\n")
add:
	for _, line := range lines {
		name, _, _ := strings.Cut(line, ":")
		for i := range all {
			if strings.HasPrefix(all[i], name+":") {
				all[i] = line
				continue add
			}
		}
		all = append(all, line)
	}
	return strings.Join(all, "\n") + "\n"
}

// TestBadSettings: each ends the start with one message that names the setting
// and says what to do, and so does check where no network is needed.
func TestBadSettings(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	cases := map[string]struct {
		settings string
		texts    []string
		online   bool // only serve can notice
	}{
		"nothing":                    {settings: "{}\n", texts: []string{"setting issuer: it is missing", "setting brand: it is missing", "setting master_key_file: it is missing", "portti keygen", "setting database.path: it is missing"}},
		"not YAML":                   {settings: "issuer: [\n", texts: []string{"not YAML"}},
		"unknown setting":            {settings: with("suport_phone: x"), texts: []string{"line 7", "setting suport_phone", "did you mean support_phone"}},
		"issuer with a path":         {settings: with("issuer: https://id.example.fi/auth"), texts: []string{"line 1", "setting issuer", "without a path"}},
		"issuer by http":             {settings: with("issuer: http://id.example.fi"), texts: []string{"setting issuer", "https://"}},
		"no TLS and no proxy":        {settings: with("issuer: https://id.example.fi"), texts: []string{"setting listen.certificate_file", "listen.proxies"}},
		"half a certificate":         {settings: with(`listen: {certificate_file: a.crt}`), texts: []string{"setting listen.key_file", "go together"}},
		"no such certificate":        {settings: with("issuer: https://id.example.fi", `listen: {certificate_file: absent.crt, key_file: other.key}`), texts: []string{"setting listen.certificate_file", "absent.crt"}},
		"key of another":             {settings: with("issuer: https://id.example.fi", `listen: {certificate_file: good.crt, key_file: other.key}`), texts: []string{"setting listen.certificate_file", "private key does not match"}},
		"key for everybody":          {settings: with("issuer: https://id.example.fi", `listen: {certificate_file: good.crt, key_file: open.key}`), texts: []string{"setting listen.key_file", "chmod 600"}},
		"no master key":              {settings: with("master_key_file: absent.key"), texts: []string{"setting master_key_file", "absent.key"}},
		"a broken master key":        {settings: with("master_key_file: broken.key"), texts: []string{"setting master_key_file", "line 1"}},
		"no address":                 {settings: with(`listen: {address: "8080"}`), texts: []string{"setting listen.address", ":8443"}},
		"port taken":                 {settings: with(`listen: {address: "` + taken.Addr().String() + `"}`), texts: []string{"setting listen.address", "the port is taken"}, online: true},
		"unknown driver":             {settings: with("database: {driver: mysql, path: x}"), texts: []string{"setting database.driver", "sqlite, postgres"}},
		"SQLite in no folder":        {settings: with("database: {path: absent/portti.db}"), texts: []string{"setting database.path"}, online: true},
		"PostgreSQL without a DSN":   {settings: with("database: {driver: postgres}"), texts: []string{"setting database.dsn: it is missing", "postgres://"}},
		"password in the DSN":        {settings: with(`database: {driver: postgres, dsn: "host=db password=hunter2"}`), texts: []string{"setting database.dsn", "database.password_file"}},
		"PostgreSQL is away":         {settings: with(`database: {driver: postgres, dsn: "postgres://portti@127.0.0.1:1/portti"}`), texts: []string{"setting database.dsn", "127.0.0.1:1"}, online: true},
		"Redis is away":              {settings: with(`redis: {addresses: ["127.0.0.1:1"]}`), texts: []string{"setting redis.addresses", "127.0.0.1:1"}, online: true},
		"Redis of two kinds":         {settings: with(`redis: {addresses: ["127.0.0.1:1"], cluster: true, sentinel_master: m}`), texts: []string{"setting redis.cluster"}},
		"Redis without CAs":          {settings: with(`redis: {addresses: ["127.0.0.1:1"], tls: true, ca_file: good.key}`), texts: []string{"setting redis.ca_file", "no certificate"}},
		"SMTP without a sender":      {settings: with(`smtp: {host: mail.example.fi}`), texts: []string{"setting smtp.from"}},
		"SMTP in the open":           {settings: with(`smtp: {host: mail.example.fi, tls: none, from: a@example.fi}`), texts: []string{"setting smtp.tls"}},
		"short passwords":            {settings: with(`passwords: {min_length: 6}`), texts: []string{"setting passwords.min_length", "between 8"}}, // S17
		"no such blocklist":          {settings: with(`passwords: {blocklists: [absent.txt]}`), texts: []string{"setting passwords.blocklists", "absent.txt"}},
		"account of another brand":   {settings: with(`authenticator: {account: Other-1}`), texts: []string{"setting authenticator.account", "brand"}}, // S39
		"alias for the enrol acr":    {settings: with(`acr: {aliases: {loa1: enrol}}`), texts: []string{"setting acr.aliases.loa1"}},
		"card host of the issuer":    {settings: with("issuer: https://id.example.fi", cardSection("https://*.example.fi")), texts: []string{"setting card.url", "names of its own"}},
		"card host without CAs":      {settings: with(`card: {url: "https://*.card.localhost", certificate_file: good.crt, key_file: good.key}`), texts: []string{"setting card.trust.folder: it is missing"}},
		"CAs that are absent":        {settings: with(cardSection("https://*.card.localhost")), texts: []string{"setting card.trust", "trust.yaml"}},
		"certificates at the issuer": {settings: with("issuer: https://id.example.fi", `mtls: {url: "https://id.example.fi", certificate_file: good.crt, key_file: good.key}`), texts: []string{"setting mtls.url", "of its own"}},
		"certificates over http":     {settings: with(`mtls: {url: "http://mtls.localhost", certificate_file: good.crt, key_file: good.key}`), texts: []string{"setting mtls.url", "https"}},
		"certificates without one":   {settings: with(`mtls: {url: "https://mtls.localhost"}`), texts: []string{"setting mtls.certificate_file: it is missing"}},
		"client CAs that are keys":   {settings: with(`mtls: {url: "https://mtls.localhost", certificate_file: good.crt, key_file: good.key, client_ca_files: [good.crt, good.key]}`), texts: []string{"setting mtls.client_ca_files[1]", "no certificate"}},
		"log format":                 {settings: with(`log: {format: xml}`), texts: []string{"setting log.format"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFolder(t)
			f.certificate("good")
			f.certificate("other")
			f.file("broken.key", "k1 short\n")
			open := f.file("open.key", "x")
			if err := os.Chmod(open, 0o644); err != nil {
				t.Fatal(err)
			}
			f.refuses(f.command(c.settings, "serve"), c.texts...)
			if !c.online {
				f.refuses(f.command(c.settings, "check"), c.texts...)
			}
		})
	}
}

// cardSection is one with CAs that are not there.
func cardSection(url string) string {
	return `card: {url: "` + url + `", certificate_file: good.crt, key_file: good.key, trust: {folder: absent}}`
}

// TestCommandLine: wrong words end with a message, and no settings file is no
// empty one.
func TestCommandLine(t *testing.T) {
	f := newFolder(t)
	for _, args := range [][]string{{"serv"}, {"serve", "extra"}, {"-config", f.path("absent.yaml")}, {"check", "-config", f.path("absent.yaml")}} {
		f.refuses(exec.Command(binary, args...), args[len(args)-1])
	}
}

// TestKeygen prints what a master key file holds.
func TestKeygen(t *testing.T) {
	out, err := exec.Command(binary, "keygen").Output()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keys.ReadMaster(strings.NewReader(string(out))); err != nil {
		t.Errorf("%v", err)
	}
}

// TestFromStartToStop: ready means that it serves, a signal lets a running
// request finish, and what was kept is there at the next start.
func TestFromStartToStop(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		f := newFolder(t)
		p := f.start(minimal)
		keysOf := func() string {
			return get(t, http.DefaultClient, "http://"+p.address("address")+"/jwks", http.StatusOK)
		}
		if body := get(t, http.DefaultClient, "http://"+p.address("address")+"/readyz", http.StatusOK); !strings.Contains(body, `"database":true`) {
			t.Errorf("readyz: %s", body)
		}
		before := keysOf()
		slow := p.slowRequest()
		time.Sleep(50 * time.Millisecond) // until the request has been accepted
		p.signal(signal)
		slow(t)
		if code := p.wait(); code != 0 {
			t.Errorf("%s: exit code %d", signal, code)
		}
		if log := p.log(); !strings.Contains(log, `"msg":"stopped"`) || strings.Contains(log, "ERROR") {
			t.Errorf("%s: %s", signal, log)
		}
		p = f.start(minimal)
		if keysOf() != before {
			t.Errorf("%s: the signing keys have changed with the restart", signal)
		}
		p.stop(signal)
	}
}

// slowRequest begins a request, and returns what finishes it and checks the answer.
func (p *process) slowRequest() func(t *testing.T) {
	p.t.Helper()
	c, err := net.Dial("tcp", p.address("address"))
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := io.WriteString(c, "POST /token HTTP/1.1\r\nHost: id.localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 4\r\n\r\n"); err != nil {
		p.t.Fatal(err)
	}
	return func(t *testing.T) {
		time.Sleep(100 * time.Millisecond) // until the signal has arrived
		if _, err := io.WriteString(c, "a=bc"); err != nil {
			t.Error(err)
		}
		answer, err := io.ReadAll(c)
		if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 400") {
			t.Errorf("the request under way was cut off: %q, %v", answer, err)
		}
	}
}

func get(t *testing.T, client *http.Client, url string, status int) string {
	t.Helper()
	response, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != status {
		t.Fatalf("%s: %d %s %v", url, response.StatusCode, body, err)
	}
	return string(body)
}

// TestCertificateIsReloaded when its files change, and stays when they do not
// fit together.
func TestCertificateIsReloaded(t *testing.T) {
	f := newFolder(t)
	first := f.certificate("tls", "id.example.fi")
	p := f.start(with("issuer: https://id.example.fi", `listen: {address: "127.0.0.1:0", certificate_file: tls.crt, key_file: tls.key}`))
	if got := f.handshake(p.address("address"), "id.example.fi", nil); !got.PeerCertificates[0].Equal(first) {
		t.Fatal("another certificate")
	}
	second := f.certificate("tls", "id.example.fi")
	if got := f.handshake(p.address("address"), "id.example.fi", nil); !got.PeerCertificates[0].Equal(second) {
		t.Error("the renewed certificate is not in use")
	}
	f.file("tls.key", "not a key any more")
	if got := f.handshake(p.address("address"), "id.example.fi", nil); !got.PeerCertificates[0].Equal(second) {
		t.Error("broken files have replaced a good certificate")
	}
	if code := p.stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestTLSVersions: 1.3, and 1.2 with forward secrecy and authenticated encryption only.
func TestTLSVersions(t *testing.T) {
	f := newFolder(t)
	f.certificate("tls", "id.example.fi")
	p := f.start(with("issuer: https://id.example.fi", `listen: {address: "127.0.0.1:0", certificate_file: tls.crt, key_file: tls.key}`))
	for name, c := range map[string]struct {
		config *tls.Config
		want   uint16 // 0: refused
	}{
		"1.3":        {&tls.Config{}, tls.VersionTLS13},
		"1.2 GCM":    {&tls.Config{MaxVersion: tls.VersionTLS12}, tls.VersionTLS12},
		"1.2 CBC":    {&tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}}, 0},
		"1.2 ChaCha": {&tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256}}, 0},
		"1.1":        {&tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, 0},
		"1.2 static": {&tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}}, 0},
	} {
		c.config.InsecureSkipVerify, c.config.ServerName = true, "id.example.fi" // the version is what is looked at
		conn, err := tls.Dial("tcp", p.address("address"), c.config)
		if err != nil {
			if c.want != 0 {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if got := conn.ConnectionState().Version; got != c.want {
			t.Errorf("%s: accepted as %s", name, tls.VersionName(got))
		}
		conn.Close()
	}
}

// handshake connects and returns what TLS came to.
func (f *folder) handshake(address, name string, certificate *tls.Certificate) tls.ConnectionState {
	f.t.Helper()
	config := &tls.Config{ServerName: name, InsecureSkipVerify: true} // the caller compares the certificate
	if certificate != nil {
		config.Certificates = []tls.Certificate{*certificate}
	}
	c, err := tls.Dial("tcp", address, config)
	if err != nil {
		f.t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState()
}

// TestCardHost: it stands on its own port with its own certificate, asks for the
// cards of the configured CAs, and says loudly at start what it does about
// revocation (S24).
func TestCardHost(t *testing.T) {
	f := newFolder(t)
	pki, err := cardtest.New(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := pki.Save(f.path("cas")); err != nil {
		t.Fatal(err)
	}
	mine := f.certificate("card", "*.card.localhost")
	section := func(mode string) string {
		return `card: {url: "https://*.card.localhost:9443", address: "127.0.0.1:0", certificate_file: card.crt, key_file: card.key, trust: {folder: cas, accept_test_cas: true}` + mode + `}`
	}
	// Where to ask about cards is added to the bundle between the starts.
	mode := func(m string) string { return ", revocation: {mode: " + m + "}" }
	for _, c := range []struct {
		base, mode string
		loud       []string
	}{
		{"", "", []string{"EVERY CARD IS REFUSED"}},
		{"", mode("crl_only"), []string{"EVERY CARD IS REFUSED"}},
		{"", mode("soft"), []string{"CARDS ARE LET IN WHEN NOBODY ANSWERS", "EVERY CARD IS LET IN UNASKED"}},
		{"", mode("off"), []string{"a lost or stolen card goes on signing in"}},
		{"http://revocation.example", "", nil},
		{"http://revocation.example", mode("crl_only"), nil},
		{"http://revocation.example", mode("soft"), []string{"CARDS ARE LET IN WHEN NOBODY ANSWERS"}},
	} {
		pki.MoveTo(c.base)
		if err := pki.Save(f.path("cas")); err != nil {
			t.Fatal(err)
		}
		p := f.start(with(section(c.mode)))
		for _, text := range []string{"EVERY CARD IS REFUSED", "CARDS ARE LET IN WHEN NOBODY ANSWERS", "EVERY CARD IS LET IN UNASKED", "a lost or stolen card goes on signing in"} {
			if strings.Contains(p.log(), text) != slices.Contains(c.loud, text) {
				t.Errorf("%+v: %q at start: %s", c, text, p.log())
			}
		}
		state := f.handshake(p.address("card_address"), "abc.card.localhost", nil)
		if !state.PeerCertificates[0].Equal(mine) || state.NegotiatedProtocol == "h2" {
			t.Errorf("card host: certificate of %s, protocol %q", state.PeerCertificates[0].Subject, state.NegotiatedProtocol)
		}
		if code := p.stop(syscall.SIGTERM); code != 0 {
			t.Errorf("exit code %d", code)
		}
	}
}

// TestCertificatesOfServices: their listener asks for a certificate and serves
// what programs call; the main one never asks (RFC 8705 §5).
func TestCertificatesOfServices(t *testing.T) {
	f := newFolder(t)
	f.certificate("tls", "id.localhost", "mtls.localhost")
	certificate, err := tls.LoadX509KeyPair(f.path("tls.crt"), f.path("tls.key"))
	if err != nil {
		t.Fatal(err)
	}
	p := f.start(with("issuer: https://id.localhost", `listen: {address: "127.0.0.1:0", certificate_file: tls.crt, key_file: tls.key}`,
		`mtls: {url: "https://mtls.localhost", address: "127.0.0.1:0", certificate_file: tls.crt, key_file: tls.key, client_ca_files: [tls.crt]}`))
	for listener, asks := range map[string]bool{"address": false, "mtls_address": true} {
		var asked atomic.Bool
		client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, p.address(listener))
		}, TLSClientConfig: &tls.Config{InsecureSkipVerify: true, GetClientCertificate: func(r *tls.CertificateRequestInfo) (*tls.Certificate, error) { // the provider's word is looked at, not its certificate
			if asked.Store(true); len(r.AcceptableCAs) > 0 {
				t.Errorf("it names %d CAs: who has a certificate of none would show nothing", len(r.AcceptableCAs))
			}
			return &certificate, nil
		}}}}
		for path, status := range map[string]int{"/token": http.StatusMethodNotAllowed, "/userinfo": http.StatusUnauthorized, "/authorize": http.StatusNotFound, "/jwks": http.StatusNotFound, "/": http.StatusNotFound, "/healthz": http.StatusNotFound} {
			if !asks && status == http.StatusNotFound {
				continue
			}
			get(t, client, "https://mtls.localhost"+path, status)
		}
		if asked.Load() != asks {
			t.Errorf("%s: asked for a certificate: %v", listener, asked.Load())
		}
		client.CloseIdleConnections()
	}
	if code := p.stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestOverPostgreSQLAndRedis starts two replicas at once on empty backends: they
// agree on the schema and the keys.
func TestOverPostgreSQLAndRedis(t *testing.T) {
	f := newFolder(t)
	settings := with("database: {driver: postgres, dsn: \""+storetest.EmptyPostgres(t).DSN+"\"}",
		"redis: {addresses: [\""+ephemeraltest.RedisAddress(t)+"\"], prefix: \"test:"+f.dir+":\"}")
	a, b := f.begin(f.command(settings, "serve")), f.begin(f.command(settings, "serve"))
	a.await()
	b.await()
	jwks := func(p *process) string {
		return get(t, http.DefaultClient, "http://"+p.address("address")+"/jwks", http.StatusOK)
	}
	if jwks(a) != jwks(b) {
		t.Error("the replicas sign with different keys")
	}
	for _, p := range []*process{a, b} {
		if strings.Contains(p.log(), "ONE replica") {
			t.Error("it warns of memory although there is Redis")
		}
		if code := p.stop(syscall.SIGTERM); code != 0 {
			t.Errorf("exit code %d", code)
		}
	}
}

// TestMigrateByHand: with no_migrations the provider does not touch the schema,
// and says which command does.
func TestMigrateByHand(t *testing.T) {
	f := newFolder(t)
	settings := with("database: {path: portti.db, no_migrations: true}")
	f.refuses(f.command(settings, "serve"), "setting database.no_migrations", "portti migrate")
	if out, err := f.command(settings, "migrate").CombinedOutput(); err != nil {
		t.Fatalf("migrate: %v: %s", err, out)
	}
	if code := f.start(settings).stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestMasterKeyOfAnotherInstallation is noticed at start.
func TestMasterKeyOfAnotherInstallation(t *testing.T) {
	f := newFolder(t)
	f.start(minimal).stop(syscall.SIGTERM)
	f.file("master.key", keys.GenerateMaster()+"\n")
	f.refuses(f.command(minimal, "serve"), "setting master_key_file", "encrypted with a key that is not in the file")
}

// TestExample: the settings file in deploy/ is one that check accepts once its
// files are there.
func TestExample(t *testing.T) {
	f := newFolder(t)
	raw, err := os.ReadFile(filepath.Join("..", "..", "deploy", "portti.example.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	pki, err := cardtest.New(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := pki.Save(f.path("trust")); err != nil {
		t.Fatal(err)
	}
	f.certificate("id")
	f.certificate("card")
	f.certificate("mtls")
	f.certificate("service-ca")
	for _, name := range []string{"postgres.password", "redis.password", "smtp.password"} {
		f.file(name, "x\n")
	}
	f.file("common-passwords.txt", "salasana123456789\n")
	settings := strings.NewReplacer("/etc/portti/", f.dir+"/", "accept_test_cas: false", "accept_test_cas: true").Replace(string(raw))
	out, err := f.command(settings, "check").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "the settings are right") {
		t.Errorf("%v: %s", err, out)
	}
	// What the trust bundle has to say is told as well.
	if want := "note: card.trust: Portti TEST Organisation Cards: nothing says where to ask"; !strings.Contains(string(out), want) {
		t.Errorf("no %q in %s", want, out)
	}
}
