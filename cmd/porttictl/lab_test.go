package main

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/card"
)

// lines gives what is printed, as it comes.
type lines struct{ came chan string }

func (l lines) Write(p []byte) (int, error) {
	l.came <- string(p)
	return len(p), nil
}

// TestLab: the lab runs, says what to do, and what it says works.
func TestLab(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "lab")
	ctx, stop := context.WithCancel(t.Context())
	out, done := lines{make(chan string, 10)}, make(chan int, 1)
	var complaint strings.Builder
	go func() { done <- run(ctx, []string{"lab", "--dir", dir, "--listen", "127.0.0.1:0"}, out, &complaint) }()
	var said string
	select {
	case said = <-out.came:
	case code := <-done:
		t.Fatalf("exit code %d: %s", code, complaint.String())
	}
	address := regexp.MustCompile(`http://127\.0\.0\.1:[0-9]+`).FindString(said)
	for path, want := range map[string]string{"/": "lab-organisation-rsa", "/pki/ca/root.crt": "Portti TEST Root CA"} {
		r, err := http.NewRequestWithContext(t.Context(), "GET", address+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		if err != nil || answer.StatusCode != http.StatusOK || !strings.Contains(string(body), want) {
			t.Errorf("%s: status %d, %v", path, answer.StatusCode, err)
		}
		_ = answer.Body.Close()
	}
	folder := regexp.MustCompile(`folder: (\S+)`).FindStringSubmatch(said)
	if folder == nil || !strings.Contains(said, "accept_test_cas: true") {
		t.Fatalf("it says %s", said)
	}
	b, err := card.OpenBundle(folder[1], true, time.Now(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if s := b.Trust().Sources(); len(s) < 8 || !strings.HasPrefix(s[0].OCSP[0], address+"/pki/ocsp/") {
		t.Errorf("the bundle has %d CAs", len(s))
	}
	if _, err := card.OpenBundle(folder[1], false, time.Now(), slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a provider in production takes the bundle")
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder: %v %v", info, err)
	}
	stop()
	if code := <-done; code != 0 {
		t.Errorf("exit code %d: %s", code, complaint.String())
	}
}

// TestLabStaysHere: nobody opens it to others by mistake.
func TestLabStaysHere(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "lab")
	for _, args := range [][]string{
		{"--listen", "0.0.0.0:0"}, {"--listen", ":0"}, {"--listen", "[::]:0"}, {"--listen", "192.0.2.1:0"}, {"--listen", "lab.example.fi:0"}, {"--listen", "8880"},
		{"--listen", "0.0.0.0:0", "--anywhere"}, {"--listen", ":0", "--anywhere"}, {"--address", "192.0.2.1"}, {"--address", "ftp://x"}, {"--address", "http://a:b@c"},
	} {
		var errs strings.Builder
		if code := run(t.Context(), append([]string{"lab", "--dir", dir}, args...), io.Discard, &errs); code != exitInvalid {
			t.Errorf("%v: exit code %d, %s", args, code, errs.String())
		}
	}
	var errs strings.Builder
	if code := run(t.Context(), []string{"lab"}, io.Discard, &errs); code == 0 {
		t.Error("it ran without a folder")
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("something was written")
	}
	for _, good := range []struct {
		listen   string
		anywhere bool
		address  string
	}{{"localhost:0", false, ""}, {"[::1]:0", false, "http://[::1]:8880"}, {"0.0.0.0:0", true, "http://192.0.2.1:8880"}, {"192.0.2.1:1", true, ""}} {
		if err := mayListen(good.listen, good.anywhere, good.address); err != nil {
			t.Errorf("%v: %v", good, err)
		}
	}

	// A folder of before is told, and left as it is.
	former := filepath.Join(dir, "pki", "pki.json")
	if err := os.MkdirAll(filepath.Dir(former), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(former, []byte(`{"made": "2026-01-01T00:00:00Z", "cards": []}`), 0o600); err != nil {
		t.Fatal(err)
	}
	errs.Reset()
	if code := run(t.Context(), []string{"lab", "--dir", dir, "--listen", "127.0.0.1:0"}, io.Discard, &errs); code != exitFailed || !strings.Contains(errs.String(), "earlier version") || !strings.Contains(errs.String(), "--dir") {
		t.Errorf("exit code %d: %s", code, errs.String())
	}
}
