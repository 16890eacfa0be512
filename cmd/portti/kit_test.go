package main

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/keys"
)

// binary is the program, built once.
var binary string

func TestMain(m *testing.M) { os.Exit(withBinary(m)) }

func withBinary(m *testing.M) int {
	dir, err := os.MkdirTemp("", "portti-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "portti")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// folder is where the settings and the files that they name lie.
type folder struct {
	t   testing.TB
	dir string
}

func newFolder(t testing.TB) *folder {
	t.Helper()
	f := &folder{t: t, dir: t.TempDir()}
	f.file("master.key", keys.GenerateMaster()+"\n")
	return f
}

func (f *folder) path(name string) string { return filepath.Join(f.dir, name) }

func (f *folder) file(name, text string) string {
	f.t.Helper()
	if err := os.WriteFile(f.path(name), []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
	return f.path(name)
}

// certificate writes a server certificate and its key.
func (f *folder) certificate(name string, hosts ...string) *x509.Certificate {
	f.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		f.t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: name}, DNSNames: hosts,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		f.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		f.t.Fatal(err)
	}
	f.file(name+".key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
	f.file(name+".crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		f.t.Fatal(err)
	}
	return parsed
}

// minimal is the least that the provider starts with, on a free port.
const minimal = `issuer: http://id.localhost
brand: Portti
master_key_file: master.key
listen: {address: "127.0.0.1:0"}
passwords: {memory_kib: 64, passes: 1}
database: {path: portti.db}
`

// command prepares the binary, with settings in the folder.
func (f *folder) command(settings string, args ...string) *exec.Cmd {
	f.t.Helper()
	return exec.Command(binary, append(args, "-config", f.file("portti.yaml", settings))...)
}

// refuses wants the program to end with exit code 1 and one message that names
// the setting.
func (f *folder) refuses(c *exec.Cmd, texts ...string) {
	f.t.Helper()
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	stop := time.AfterFunc(time.Minute, func() { _ = c.Process.Kill() })
	defer stop.Stop()
	err := c.Run()
	message := errs.String()
	if code := c.ProcessState.ExitCode(); err == nil || code != 1 {
		f.t.Errorf("exit code %d, want 1; it says %s", code, message)
	}
	if strings.Contains(message, `"ready"`) || strings.Count(message, "portti:") != 1 {
		f.t.Errorf("not one clear message: %s", message)
	}
	for _, text := range texts {
		if !strings.Contains(message, text) {
			f.t.Errorf("the message lacks %q: %s", text, message)
		}
	}
}

// process is a running provider.
type process struct {
	t     testing.TB
	cmd   *exec.Cmd
	ready map[string]any // the log line, after await
	said  chan map[string]any

	mu    sync.Mutex
	lines []string
	ended chan struct{}
}

// start runs the provider until it says that it is ready.
func (f *folder) start(settings string) *process {
	f.t.Helper()
	p := f.begin(f.command(settings, "serve"))
	p.await()
	return p
}

func (f *folder) begin(cmd *exec.Cmd) *process {
	f.t.Helper()
	p := &process{t: f.t, cmd: cmd, ended: make(chan struct{}), said: make(chan map[string]any, 1)}
	errs, err := p.cmd.StderrPipe()
	if err != nil {
		f.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // when the test has not stopped it
		<-p.ended
		if f.t.Failed() {
			f.t.Log(p.log())
		}
	})
	go p.read(errs)
	return p
}

func (p *process) await() {
	p.t.Helper()
	select {
	case p.ready = <-p.said:
	case <-p.ended:
		p.t.Fatalf("it did not start: %s", p.log())
	case <-time.After(time.Minute):
		p.t.Fatalf("it is not ready: %s", p.log())
	}
}

func (p *process) read(r io.Reader) {
	defer close(p.ended)
	for lines := bufio.NewScanner(r); lines.Scan(); {
		p.mu.Lock()
		p.lines = append(p.lines, lines.Text())
		p.mu.Unlock()
		var line map[string]any
		if json.Unmarshal(lines.Bytes(), &line) == nil && line["msg"] == "ready" {
			p.said <- line
		}
	}
	_ = p.cmd.Wait()
}

func (p *process) log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.lines, "\n")
}

// address is where it listens: "address" or "card_address".
func (p *process) address(which string) string {
	p.t.Helper()
	s, ok := p.ready[which].(string)
	if !ok {
		p.t.Fatalf("it does not say its %s: %v", which, p.ready)
	}
	return s
}

// stop sends a signal and returns the exit code.
func (p *process) stop(s syscall.Signal) int {
	p.t.Helper()
	p.signal(s)
	return p.wait()
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(time.Minute):
		p.t.Fatal("it does not stop")
	}
	return p.cmd.ProcessState.ExitCode()
}
