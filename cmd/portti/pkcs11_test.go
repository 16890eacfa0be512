package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/portti-id/portti/internal/keys/pkcs11/pkcs11test"
)

// inToken are settings with signing keys in a token.
func (f *folder) inToken(soft pkcs11test.SoftHSM, pin string) string {
	f.file("token.pin", pin+"\n")
	return minimal + fmt.Sprintf("keys: {pkcs11: {module: %q, token: %s, pin_file: token.pin, kinds: [P-256]}}\n", soft.Module, soft.Token)
}

// TestKeysInAToken: the program starts with them, finds them again, says what is
// wrong with them, and never tells the PIN.
func TestKeysInAToken(t *testing.T) {
	soft, f := pkcs11test.New(t), newFolder(t)
	published := ""
	for range 2 {
		p := f.start(f.inToken(soft, soft.PIN))
		now := get(t, http.DefaultClient, "http://"+p.address("address")+"/jwks", http.StatusOK)
		if published != "" && now != published {
			t.Error("the signing keys have changed with the restart")
		}
		published = now
		p.stop(syscall.SIGTERM)
		if strings.Contains(p.log(), soft.PIN) {
			t.Error("the log tells the PIN")
		}
	}
	if objects, err := filepath.Glob(filepath.Join(soft.Folder, "*", "*.object")); err != nil || len(objects) < 2 {
		t.Errorf("the token has %d objects, %v", len(objects), err)
	}
	other := soft
	other.Token = "other"
	f.refuses(f.command(f.inToken(soft, "wrong"), "serve"), "setting keys.pkcs11", "refused the PIN")
	f.refuses(f.command(f.inToken(other, soft.PIN), "serve"), "setting keys.pkcs11", `label "other"`)
	other = soft
	other.Module = f.path("none.so")
	f.refuses(f.command(f.inToken(other, soft.PIN), "serve"), "setting keys.pkcs11", "cannot be loaded")
	f.refuses(f.command(minimal, "serve"), "PKCS #11 token")
}

// TestKeysInATokenWithoutCgo: the program as it is usually built says what it lacks.
func TestKeysInATokenWithoutCgo(t *testing.T) {
	f := newFolder(t)
	static := f.path("portti-static")
	build := exec.Command("go", "build", "-o", static, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	c := f.command(f.inToken(pkcs11test.SoftHSM{Module: "/lib/any.so", Token: "any"}, "1234"), "serve")
	c.Path = static
	f.refuses(c, "setting keys.pkcs11", "built without PKCS #11", "CGO_ENABLED=1")
}
