package keys

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func master(t testing.TB, lines ...string) *Master {
	t.Helper()
	if len(lines) == 0 {
		lines = []string{GenerateMaster()}
	}
	m, err := ReadMaster(strings.NewReader(strings.Join(lines, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestOnlyTheSameMeaningOpens(t *testing.T) {
	m := master(t)
	for _, secret := range []string{"", "x", "20 bytes of TOTP key", strings.Repeat("letter ", 1000)} {
		sealed, err := m.Seal([]byte(secret), "totp:u1:a1")
		if err != nil {
			t.Fatal(err)
		}
		if len(secret) > 1 && strings.Contains(sealed, secret) {
			t.Error("the secret is readable")
		}
		if got, err := m.Open(sealed, "totp:u1:a1"); err != nil || string(got) != secret {
			t.Errorf("%q, %v", got, err)
		}
		for _, other := range []string{"", "totp:u2:a1", "totp:u1:a1 ", "Totp:u1:a1"} {
			if got, err := m.Open(sealed, other); err == nil {
				t.Errorf("opened as %q: %q", other, got)
			}
		}
	}
}

func TestEverySealIsAnother(t *testing.T) {
	m := master(t)
	a, _ := m.Seal([]byte("secret"), "a")
	b, _ := m.Seal([]byte("secret"), "a")
	if a == b {
		t.Error("two seals are equal: the nonce came twice")
	}
}

func TestChangedValuesDoNotOpen(t *testing.T) {
	m := master(t, "a1 "+base64.StdEncoding.EncodeToString(make([]byte, 32)), GenerateMaster())
	sealed, _ := m.Seal([]byte("secret"), "x")
	for i := range sealed {
		for _, c := range []byte("A.z-") {
			if sealed[i] == c {
				continue
			}
			changed := sealed[:i] + string(c) + sealed[i+1:]
			if _, err := m.Open(changed, "x"); err == nil {
				t.Errorf("opened %s", changed)
			}
		}
	}
	for _, bad := range []string{"", ".", "..", "v1..", "v1.a1.", "v1.a1.AAAA", "v2" + sealed[2:], sealed + "=", sealed + ".x", sealed + "\n", sealed[:20] + "\r\n" + sealed[20:], sealed[:len(sealed)-1]} {
		if _, err := m.Open(bad, "x"); err == nil {
			t.Errorf("opened %q", bad)
		}
	}
}

func TestANewKeyGoesOnTop(t *testing.T) {
	old, fresh := GenerateMaster(), GenerateMaster()
	sealed, _ := master(t, old).Seal([]byte("secret"), "x")
	both := master(t, "# the ring", "", fresh, "  "+old+"\r")
	if got, err := both.Open(sealed, "x"); err != nil || string(got) != "secret" || !both.Stale(sealed) {
		t.Errorf("the old key: %q, %v", got, err)
	}
	again, _ := both.Seal([]byte("secret"), "x")
	if got, err := master(t, fresh).Open(again, "x"); err != nil || string(got) != "secret" || both.Stale(again) {
		t.Errorf("the new key does not seal: %q, %v", got, err)
	}
	id, _, _ := strings.Cut(old, " ")
	if _, err := master(t, fresh).Open(sealed, "x"); err == nil || !strings.Contains(err.Error(), id) {
		t.Errorf("a missing key must be named: %v", err)
	}
	// Another key under the same name.
	if _, err := master(t, id+" "+strings.Fields(fresh)[1]).Open(sealed, "x"); err == nil {
		t.Error("another key opened it")
	}
}

func TestGeneratedKeysDiffer(t *testing.T) {
	a, b := GenerateMaster(), GenerateMaster()
	if a == b || strings.Fields(a)[1] == strings.Fields(b)[1] {
		t.Error("the same key twice")
	}
	master(t, a, b)
}

func TestBadKeyringsAreRefused(t *testing.T) {
	key := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("K", 32)))
	for text, where := range map[string]string{
		"":                                  "no key",
		"# nothing\n\n":                     "no key",
		"a1 " + key + "\nb2":                "line 2",
		"a1":                                "line 1",
		"A1 " + key:                         "line 1",
		"a.1 " + key:                        "line 1",
		"a2345678901234567 " + key:          "line 1",
		"a1 " + key + " x":                  "line 1",
		"a1 " + key + "\n\na1 " + key:       "line 3",
		"a1 " + key[:40]:                    "line 1",
		"a1 " + strings.TrimRight(key, "="): "line 1",
		"a1 " + key + key:                   "line 1",
		"a1 " + strings.Replace(key, "S", "!", 1): "line 1",
		"a1 " + strings.Repeat("A", 100_000):      "",
	} {
		_, err := ReadMaster(strings.NewReader(text))
		if err == nil || !strings.Contains(err.Error(), where) {
			t.Errorf("%.30q: %v, want %s", text, err, where)
		} else if strings.Contains(err.Error(), key[:20]) {
			t.Errorf("%.30q: the error holds the key: %v", text, err)
		}
	}
}

func TestTheFileMustBePrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "master.key")
	if _, err := LoadMaster(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("missing file: %v", err)
	}
	if _, err := LoadMaster(filepath.Dir(path)); err == nil {
		t.Error("a directory was taken")
	}
	line := GenerateMaster()
	if err := os.WriteFile(path, []byte(line+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for mode, ok := range map[os.FileMode]bool{0o600: true, 0o400: true, 0o640: true, 0o644: false, 0o604: false, 0o602: false, 0o666: false} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := LoadMaster(path)
		if (err == nil) != ok {
			t.Errorf("mode %#o: %v", mode, err)
		}
		if err != nil && (!strings.Contains(err.Error(), path) || strings.Contains(err.Error(), strings.Fields(line)[1])) {
			t.Errorf("mode %#o: message %v", mode, err)
		}
	}
	if err := os.WriteFile(path, []byte("broken\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadMaster(path); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("a broken file: %v", err)
	}
}

func FuzzOpen(f *testing.F) {
	m := master(f)
	good, _ := m.Seal([]byte("secret"), "x")
	f.Add(good)
	f.Add("v1.a.AAAA")
	f.Fuzz(func(t *testing.T, sealed string) {
		if got, err := m.Open(sealed, "x"); err == nil && sealed != good {
			t.Errorf("%q opened as %q", sealed, got)
		}
	})
}

// A MAC holds for its data and its keyring alone, and for the keys that were first
// once.
func TestMACsAreOfOneKeyring(t *testing.T) {
	old, other := GenerateMaster(), GenerateMaster()
	m := master(t, old)
	mac := m.MAC([]byte("event"))
	for name, c := range map[string]struct {
		m         *Master
		data, mac string
		genuine   bool
	}{
		"ours":               {m, "event", mac, true},
		"of a former key":    {master(t, other, old), "event", mac, true},
		"of a key that went": {master(t, other), "event", mac, false},
		"of other data":      {m, "events", mac, false},
		"cut":                {m, "event", mac[:len(mac)-1], false},
		"none":               {m, "event", "", false},
		"of nobody's key":    {m, "event", "v1.zzz." + mac[strings.LastIndex(mac, ".")+1:], false},
		"empty":              {m, "event", mac[:strings.LastIndex(mac, ".")+1], false},
	} {
		if got := c.m.Genuine([]byte(c.data), c.mac); got != c.genuine {
			t.Errorf("%s: %t", name, got)
		}
	}
}
