// Package pkcs11test gives tests a token of SoftHSM.
package pkcs11test

import (
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// SoftHSM is a new and empty token.
type SoftHSM struct {
	Module string // the library
	Token  string // the label
	PIN    string
	Folder string // where this test's tokens are kept
}

// New makes a folder for the test's tokens, and one in it. Without SoftHSM or cgo
// a test is skipped, or fails when CI=true.
func New(t testing.TB) SoftHSM {
	t.Helper()
	one, _ := filepath.Glob("/usr/lib*/softhsm/libsofthsm2.so")
	two, _ := filepath.Glob("/usr/lib/*/softhsm/libsofthsm2.so")
	modules := slices.Concat(one, two)
	_, err := exec.LookPath(util)
	switch {
	case !cgo:
		missing(t, "PKCS #11 is not tested: this test was built without cgo, for want of a C compiler (gcc)")
	case err != nil || len(modules) == 0:
		missing(t, "SoftHSM is not installed (softhsm2)")
	}
	dir := t.TempDir()
	s := SoftHSM{Module: modules[0], PIN: "canary-4711", Folder: filepath.Join(dir, "tokens")}
	if err := os.Mkdir(s.Folder, 0o700); err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(dir, "softhsm2.conf")
	if err := os.WriteFile(conf, []byte("directories.tokendir = "+s.Folder+"\nlog.level = ERROR\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SOFTHSM2_CONF", conf) // read by the module when it starts
	return s.Another(t)
}

const util = "softhsm2-util"

// Another makes a token beside this one. SoftHSM sees it when it starts: make all
// before the first is opened.
func (s SoftHSM) Another(t testing.TB) SoftHSM {
	t.Helper()
	s.Token = rand.Text()[:12]
	out, err := exec.Command(util, "--init-token", "--free", "--label", s.Token, "--pin", s.PIN, "--so-pin", "so-"+s.PIN).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return s
}

func missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(what)
	}
	t.Skip(what)
}
