package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/portti-id/portti/internal/keys"
	"github.com/portti-id/portti/internal/keys/pkcs11/pkcs11test"
	"github.com/portti-id/portti/internal/store"
)

// TestKeysInATokenAreRehearsedWithoutIt: a dry run makes and deletes nothing there,
// what is applied does.
func TestKeysInATokenAreRehearsedWithoutIt(t *testing.T) {
	soft, k := pkcs11test.New(t), newKit(t, store.SQLite)
	pin := filepath.Join(filepath.Dir(k.config), "token.pin")
	settings, err := os.ReadFile(k.config)
	if err != nil {
		t.Fatal(err)
	}
	settings = fmt.Appendf(settings, "keys: {pkcs11: {module: %q, token: %s, pin_file: token.pin, kinds: [P-256]}}\n", soft.Module, soft.Token)
	for name, text := range map[string][]byte{pin: []byte(soft.PIN), k.config: settings} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	objects := func() int {
		found, err := filepath.Glob(filepath.Join(soft.Folder, "*", "*.object"))
		if err != nil {
			t.Fatal(err)
		}
		return len(found)
	}
	empty := objects()
	k.ok("key", "prepare", "P-256")
	if n := objects(); n != empty {
		t.Errorf("a dry run left %d objects in the token", n-empty)
	}
	k.ok("key", "prepare", "P-256", "--apply") // and the current one, as there is none yet
	if n := objects(); n != empty+4 {
		t.Errorf("%d objects in the token, want two pairs", n-empty)
	}
	for _, command := range []string{"key prepare P-256", "key replace P-256", "key replace P-256 --keep-former"} {
		k.ok(words(command)...)
		if n := objects(); n != empty+4 {
			t.Errorf("%s: a dry run changed the token: %d objects", command, n-empty)
		}
	}
	k.ok("key", "replace", "P-256", "--apply")
	if n := objects(); n != empty+2 {
		t.Errorf("%d objects in the token after a replacement, want one pair", n-empty)
	}
	rows, err := k.db.Keys().SigningKeys(t.Context())
	if err != nil || slices.ContainsFunc(rows, func(r keys.Stored) bool { return r.State != keys.Current }) {
		t.Errorf("got %+v, %v", rows, err)
	}
}
