package browser

import (
	"crypto"
	"crypto/x509"
	_ "embed"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Reader is a card reader into which cards with a PIN are put. Its holder types the
// PIN, or the wrong one, or cancels, or pulls the card out too early. The cards are
// tokens of SoftHSM, which keeps the keys and checks the PIN; testdata/reader.c stands
// before it, as the card's software does, so that the browser needs no window for the
// PIN. What this does not try is a window of Chromium's own, which it opens for modules
// that leave the PIN to it: a browser without a screen shows none. Nor does a PIN of
// SoftHSM lock.
type Reader struct {
	tb     testing.TB
	folder string // see testdata/reader.c
	hsm    string // SoftHSM's library
	used   *bool  // a browser looks into it
}

//go:embed testdata/reader.c
var readerC []byte

// NewReader builds the reader, without a card.
func NewReader(tb testing.TB) *Reader {
	tb.Helper()
	one, _ := filepath.Glob("/usr/lib*/softhsm/libsofthsm2.so")
	two, _ := filepath.Glob("/usr/lib/*/softhsm/libsofthsm2.so")
	modules := append(one, two...)
	if len(modules) == 0 {
		missing(tb, "cards with a PIN need SoftHSM: apt-get install softhsm2")
	}
	for program, pkg := range map[string]string{"gcc": "gcc", "softhsm2-util": "softhsm2", "pkcs11-tool": "opensc", "modutil": "libnss3-tools"} {
		if _, err := exec.LookPath(program); err != nil {
			missing(tb, "cards with a PIN need the program %s: apt-get install %s", program, pkg)
		}
	}
	if _, err := os.Stat(headers + "/p11-kit/pkcs11.h"); err != nil {
		missing(tb, "cards with a PIN need the header of PKCS #11: apt-get install libp11-kit-dev")
	}
	r := &Reader{tb: tb, folder: tb.TempDir(), hsm: modules[0], used: new(bool)}
	r.write("softhsm2.conf", []byte("directories.tokendir = "+r.file("tokens")+"\nlog.level = ERROR\n"))
	r.write("tokens/made", nil)
	r.run("gcc", "-std=c11", "-D_GNU_SOURCE", "-O1", "-Wall", "-Wextra", "-Werror", "-fvisibility=hidden", "-shared", "-fPIC", "-I", headers,
		"-o", r.Module(), r.write("reader.c", readerC), "-ldl", "-lpthread")
	return r
}

const headers = "/usr/include/p11-kit-1"

// With is the same reader for a subtest.
func (r *Reader) With(tb testing.TB) *Reader {
	same := *r
	same.tb = tb
	return &same
}

// Issue makes a card: the token label with this certificate, its key, and a PIN.
func (r *Reader) Issue(label string, cert *x509.Certificate, key crypto.Signer, pin string) {
	r.tb.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		r.tb.Fatal(err)
	}
	r.run("softhsm2-util", "--init-token", "--free", "--label", label, "--so-pin", "so-"+pin, "--pin", pin)
	r.run("softhsm2-util", "--import", r.write("key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), "--token", label, "--label", object, "--id", "01", "--pin", pin)
	r.run("pkcs11-tool", "--module", r.hsm, "--token-label", label, "--login", "--pin", pin, "--write-object", r.write("cert.der", cert.Raw), "--type", "cert", "--label", object, "--id", "01")
	r.remove("key.pem")
}

// object is the name of a card's key and certificate.
const object = "sign-in"

// Insert puts a card in, whose holder will type this PIN, or "" cancel.
func (r *Reader) Insert(label, pin string) {
	r.tb.Helper()
	r.set("pin", pin)
	r.set("card", label)
	r.noticed()
}

// Eject takes the card out.
func (r *Reader) Eject() {
	r.tb.Helper()
	r.set("card", "")
	r.noticed()
}

// PullOut has the card pulled out in the middle of the next signature.
func (r *Reader) PullOut() { r.tb.Helper(); r.set("pull", "yes") }

// Heard is what the reader has heard since the last call, such as "pin right",
// "signed": see testdata/reader.c.
func (r *Reader) Heard() []string {
	r.tb.Helper()
	text, err := os.ReadFile(r.file("heard"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.tb.Fatal(err)
	}
	r.remove("heard")
	return strings.FieldsFunc(string(text), func(c rune) bool { return c == '\n' })
}

// Module is the PKCS #11 library of the reader, and Env what it finds it by.
func (r *Reader) Module() string { return r.file("reader.so") }

// HSM is SoftHSM's own library, which holds all the cards at once and leaves the PIN
// to the program that uses it.
func (r *Reader) HSM() string { return r.hsm }

// Env is the environment of a program that uses Module or HSM.
func (r *Reader) Env() []string {
	return []string{"SOFTHSM2_CONF=" + r.file("softhsm2.conf"), "PORTTI_TEST_READER=" + r.folder, "PORTTI_TEST_HSM=" + r.hsm}
}

// noticed waits until a running browser sees what is in the reader. NSS looks into
// one once a second at most, and tells nobody when it has looked.
func (r *Reader) noticed() {
	if *r.used {
		time.Sleep(1200 * time.Millisecond)
	}
}

// set says what the holder does; "" takes it back.
func (r *Reader) set(name, value string) {
	r.tb.Helper()
	if value == "" {
		r.remove(name)
		return
	}
	half := r.write(name+".new", []byte(value))
	if err := os.Rename(half, r.file(name)); err != nil {
		r.tb.Fatal(err)
	}
}

func (r *Reader) file(name string) string { return filepath.Join(r.folder, name) }

func (r *Reader) write(name string, data []byte) string {
	r.tb.Helper()
	if err := save(r.file(name), data); err != nil {
		r.tb.Fatal(err)
	}
	return r.file(name)
}

func (r *Reader) remove(name string) {
	r.tb.Helper()
	if err := os.Remove(r.file(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.tb.Fatal(err)
	}
}

func (r *Reader) run(program string, args ...string) {
	r.tb.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), r.Env()...)
	if out, err := cmd.CombinedOutput(); err != nil {
		r.tb.Fatalf("%s: %v\n%s", program, err, out)
	}
}
