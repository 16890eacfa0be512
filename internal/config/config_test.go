package config

import (
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

type common struct {
	Level slog.Level `yaml:"log_level"`
}

type settings struct {
	common   `yaml:",inline"`
	Issuer   URL            `yaml:"issuer"`
	Phone    string         `yaml:"support_phone"`
	Idle     time.Duration  `yaml:"idle"`
	Fast     bool           `yaml:"fast"`
	Proxies  []netip.Prefix `yaml:"proxies"`
	Window   int            `yaml:"window"`
	Lanes    uint8          `yaml:"lanes"`
	Database struct {
		Driver   string     `yaml:"driver"`
		MaxConns int        `yaml:"max_conns"`
		Password SecretFile `yaml:"password_file"`
		Folder   Path       `yaml:"folder"`
	} `yaml:"database"`
	Clients []struct {
		ID  string            `yaml:"id"`
		Tag map[string]string `yaml:"tag"`
	} `yaml:"clients"`
	Card *struct {
		Host string `yaml:"host"`
	} `yaml:"card"`
	Computed int `yaml:"-"`
}

func (s *settings) Check(p *Problems) {
	p.Need("issuer", !s.Issuer.IsZero(), "the address of this provider, such as https://id.example.fi")
	if s.Window > 1 {
		p.Add("window", "it must be 0 or 1")
	}
}

func write(t *testing.T, name, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask is
		t.Fatal(err)
	}
	return path
}

func load(t *testing.T, text string) (settings, error) {
	t.Helper()
	s := settings{Idle: time.Hour, Fast: true}
	return s, Load(write(t, "portti.yaml", text, 0o600), &s)
}

func TestSettings(t *testing.T) {
	secret := write(t, "db.password", "\n  s3cret å \n", 0o640)
	path := write(t, "portti.yaml", `
# comments are for people
issuer: https://id.example.fi
log_level: debug
support_phone: 020343433   # a number to YAML, text to us
idle: 14d
proxies: [10.0.0.0/8, "fd00::/8"]
database:
  driver: postgres
  max_conns: 16
  password_file: `+secret+`
  folder: data
clients:
  - id: "true"
    tag: {colour: red, size: 5}
  - id: yes
card:
  host: '*.card.example.fi'
`, 0o644)
	var s settings
	if err := Load(path, &s); err != nil {
		t.Fatal(err)
	}
	if s.Issuer.String() != "https://id.example.fi" || s.Level != slog.LevelDebug || s.Phone != "020343433" || s.Idle != 14*24*time.Hour ||
		len(s.Proxies) != 2 || s.Database.MaxConns != 16 || s.Clients[0].ID != "true" || s.Clients[1].ID != "yes" || s.Card.Host != "*.card.example.fi" ||
		!reflect.DeepEqual(s.Clients[0].Tag, map[string]string{"colour": "red", "size": "5"}) {
		t.Errorf("%+v", s)
	}
	if want := filepath.Join(filepath.Dir(path), "data"); string(s.Database.Folder) != want {
		t.Errorf("folder %s, want %s", s.Database.Folder, want)
	}
	if got, err := s.Database.Password.Read(); err != nil || got != "s3cret å" {
		t.Errorf("secret %q, %v", got, err)
	}
}

func TestWhatIsNotThereKeepsItsDefault(t *testing.T) {
	s, err := func() (settings, error) {
		s := settings{Idle: time.Hour, Fast: true}
		return s, Load(write(t, "portti.yaml", "issuer: http://id.localhost:8080\n", 0o600), &s)
	}()
	if err != nil || s.Idle != time.Hour || !s.Fast || s.Card != nil {
		t.Errorf("%+v, %v", s, err)
	}
	for _, empty := range []string{"", "# nothing\n", "---\n", "~\n"} {
		_, err := load(t, empty)
		if err == nil || !strings.Contains(err.Error(), "setting issuer: it is missing: the address") || strings.Count(err.Error(), "\n") != 1 {
			t.Errorf("%q: %v", empty, err)
		}
	}
}

func TestEveryMistakeIsNamedWithItsLine(t *testing.T) {
	const good = "issuer: https://id.example.fi\n"
	for _, c := range []struct{ text, want string }{
		{good + "isuer: x", "line 2: setting isuer: there is no such setting; did you mean issuer?"},
		{good + "nothing_like_it: x", "line 2: setting nothing_like_it: there is no such setting"},
		{good + "database:\n  max_con: 5", "line 3: setting database.max_con: there is no such setting; did you mean max_conns?"},
		{good + "Computed: 5", "there is no such setting"},
		{good + "common: {log_level: info}", "there is no such setting"},
		{good + "clients:\n- id: a\n- ID: b", "line 4: setting clients[1].ID: there is no such setting; did you mean id?"},
		{good + "issuer: https://id.example.fi", "line 2: not YAML: mapping key \"issuer\" already defined"},
		{good + "idle: 15", "line 2: setting idle: a length of time is expected"},
		{good + "idle: -15m", "a length of time is expected"},
		{good + "idle: 99999d", "a length of time is expected"},
		{good + "idle: [1h]", "a length of time is expected"},
		{good + "fast: yes", "line 2: setting fast: true or false is expected"},
		{good + "fast: \"true\"", "true or false is expected"},
		{good + "window: two", "line 2: setting window: a whole number is expected"},
		{good + "window: \"1\"", "a whole number is expected"},
		{good + "window: 0x1", "a whole number is expected"},
		{good + "window: 1.0", "a whole number is expected"},
		{good + "window: 2", "line 2: setting window: it must be 0 or 1"},
		{good + "lanes: 256", "a whole number is expected"},
		{good + "lanes: -1", "a whole number is expected"},
		{good + "support_phone: [1]", "a single value is expected"},
		{good + "support_phone: {a: 1}", "a single value is expected"},
		{good + "support_phone:", "line 2: setting support_phone: it has no value"},
		{good + "support_phone: ~", "it has no value"},
		{good + "support_phone: &a x", "anchors"},
		{good + "support_phone: !!str x", "anchors"},
		{good + "<<: {fast: true}", "there is no such setting"},
		{good + "proxies: 10.0.0.0/8", "line 2: setting proxies: a list is expected"},
		{good + "proxies: [10.0.0.0]", "setting proxies[0]:"},
		{good + "proxies: [[10.0.0.0/8]]", "a single value is expected"},
		{good + "database: sqlite", "line 2: setting database: a group of settings is expected"},
		{good + "clients: {id: a}", "a list is expected"},
		{good + "clients: [{id: a, tag: x}]", "setting clients[0].tag: a table is expected"},
		{good + "log_level: loud", "line 2: setting log_level:"},
		{good + "---\nfast: true", "several documents"},
		{good + "fast: [", "line 2: not YAML:"},
		{good + "\tfast: true", "not YAML:"},
		{"- a\n- b", "line 1: a group of settings is expected"},
		{"text", "line 1: a group of settings is expected"},
		{"issuer: http://id.example.fi", `line 1: setting issuer: "http://id.example.fi" must begin with https://`},
		{good + "database:\n  password_file: /nonexistent/x", "line 3: setting database.password_file: the secret cannot be read: open /nonexistent/x"},
		{good + "database:\n  password_file: \"\"", "a path is expected"},
	} {
		_, err := load(t, c.text)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q:\n  got  %v\n  want %s", c.text, err, c.want)
			continue
		}
		var e *Error
		if !errors.As(err, &e) || len(e.Problems) != 1 && !strings.HasPrefix(c.text, "-") && c.text != "text" {
			t.Errorf("%q: %d problems: %v", c.text, len(e.Problems), err)
		}
	}
}

func TestAllMistakesAtOnce(t *testing.T) {
	_, err := load(t, "isuer: x\nidle: soon\nwindow: 7\ndatabase:\n  max_conns: many\n  password_file: none\n")
	var e *Error
	if !errors.As(err, &e) || len(e.Problems) != 6 {
		t.Fatalf("%v", err)
	}
	for _, part := range []string{"portti.yaml:", "setting issuer: it is missing", "line 1: setting isuer", "line 2: setting idle", "line 3: setting window", "line 5: setting database.max_conns", "line 6: setting database.password_file"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not in\n%v", part, err)
		}
	}
}

// A setting that cannot be read is empty, and that alone is not one more problem.
func TestOneProblemPerSetting(t *testing.T) {
	_, err := load(t, "issuer: ftp://x\n")
	if err == nil || strings.Contains(err.Error(), "missing") {
		t.Errorf("%v", err)
	}
}

func TestFilesThatCannotBeSettings(t *testing.T) {
	var s settings
	if err := Load(filepath.Join(t.TempDir(), "none.yaml"), &s); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "none.yaml") {
		t.Errorf("%v", err)
	}
	if err := Load(t.TempDir(), &s); err == nil {
		t.Error("a folder was taken")
	}
	if err := Load(write(t, "big.yaml", strings.Repeat("#", maxFile+1), 0o600), &s); err == nil || !strings.Contains(err.Error(), "larger") {
		t.Errorf("%v", err)
	}
}

func TestAddresses(t *testing.T) {
	for text, ok := range map[string]bool{
		"https://id.example.fi":        true,
		"https://id.example.fi/":       true, // another issuer than the one above, and kept so
		"https://id.example.fi:8443/a": true,
		"http://localhost:8080":        true,
		"http://id.localhost:8080":     true,
		"http://127.0.0.1:8080":        true,
		"http://[::1]:8080":            true,
		"https://id.example.fi:":       false,
		"https://:443":                 false,
		"https://":                     false,
		"http://id.example.fi":         false,
		"http://localhost.example.fi":  false,
		"http://notlocalhost":          false,
		"http://10.0.0.1":              false,
		"HTTPS://id.example.fi":        false,
		"https://ID.example.fi":        false,
		"https://u:p@id.example.fi":    false,
		"https://u@id.example.fi":      false,
		"https://id.example.fi/?a=b":   false,
		"https://id.example.fi?":       false,
		"https://id.example.fi/#":      false,
		"https://id.example.fi#a":      false,
		"https://id.example .fi":       false,
		"https://id.example.fi\\@evil": false,
		"ftp://id.example.fi":          false,
		"javascript:alert(1)":          false,
		"id.example.fi":                false,
		"//id.example.fi":              false,
		"https:id.example.fi":          false,
		"":                             false,
	} {
		u, err := ParseURL(text)
		if (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
		if err == nil && (u.String() != text || u.IsZero() || !strings.HasPrefix(text, u.Origin())) {
			t.Errorf("%q became %q, origin %q", text, u, u.Origin())
		}
		if err != nil && strings.Contains(err.Error(), "u:p") {
			t.Errorf("%q: the message tells the password", text)
		}
	}
	if (URL{}).Origin() != "" || MustURL("http://localhost/x").URL().Path != "/x" || MustURL("http://localhost").Secure() {
		t.Error("accessors")
	}
}

func TestSecretFiles(t *testing.T) {
	for _, c := range []struct {
		text string
		mode os.FileMode
		want string
	}{
		{"secret", 0o600, ""}, {"secret\n", 0o400, ""}, {"\r\n secret \r\n", 0o640, ""},
		{"", 0o600, "empty"}, {" \n\t", 0o600, "empty"},
		{"secret", 0o644, "chmod"}, {"secret", 0o604, "chmod"}, {"secret", 0o602, "chmod"}, {"secret", 0o601, "chmod"},
		{strings.Repeat("x", maxSecret+1), 0o600, "larger"},
	} {
		path := write(t, "s", c.text, c.mode)
		got, err := SecretFile(path).Read()
		if c.want == "" && (err != nil || got != "secret") || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%.10q %#o: %.10q, %v", c.text, c.mode, got, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret\n") {
			t.Error("the message tells the secret")
		}
	}
	if _, err := SecretFile(t.TempDir()).Read(); err == nil {
		t.Error("a folder is no secret")
	}
	if SecretFile("").Given() || !SecretFile("x").Given() {
		t.Error("Given")
	}
}

func TestSettingsNeedNames(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a field without a yaml tag was taken")
		}
	}()
	var s struct{ Name string }
	_ = Load(write(t, "a.yaml", "name: x", 0o600), &s)
}

func FuzzLoad(f *testing.F) {
	f.Add("issuer: https://id.example.fi\ndatabase: {max_conns: 5}\n")
	f.Add("a: &b [*b]\n")
	f.Add("clients:\n- id: |\n    x\n  tag: {a: b}\n")
	f.Add("? a\n: b")
	f.Fuzz(func(t *testing.T, text string) {
		var s settings
		p := &Problems{lines: map[string]int{}}
		root, wrong := parse([]byte(text))
		if wrong != nil {
			return
		}
		decodeRoot(root, &s, "/", p)
	})
}
