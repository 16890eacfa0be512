package main

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSettingsAreChecked(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	nothing := func(string) string { return "" }
	for want, args := range map[string][]string{
		"unexpected argument": {"serve"},
		"client-secret-file":  {"-client-secret-file", "/no/such/file"},
		"is empty":            {"-client-secret-file", empty},
		"RedirectURL":         {"-url", "http://service.example.fi"},
		"Issuer":              {"-issuer", "ftp://id.example.fi"},
		"listen":              {"-listen", "127.0.0.1:99999", "-issuer", "http://127.0.0.1:1"},
	} {
		if err := run(t.Context(), args, nothing); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: error %v, want one that says %q", args, err, want)
		}
	}
	environment := func(name string) string {
		return map[string]string{"DEMOSERVICE_URL": "http://service.example.fi"}[name]
	}
	if err := run(t.Context(), nil, environment); err == nil || !strings.Contains(err.Error(), "http://service.example.fi") {
		t.Errorf("the environment is not read: %v", err)
	}
}

func TestServesUntilItIsStopped(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- run(ctx, []string{"-listen", address, "-issuer", "http://127.0.0.1:1"}, func(string) string { return "" })
	}()
	for {
		res, err := http.Get("http://" + address + "/")
		if err == nil {
			if _ = res.Body.Close(); res.StatusCode != 200 {
				t.Errorf("status %d", res.StatusCode)
			}
			break
		}
		select {
		case err := <-done:
			t.Fatalf("ended: %v", err)
		default:
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("stopped with %v", err)
	}
}

func TestNamesUnderLocalhostAreThisMachine(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(server.URL, "http://"))
	conn, err := dialLocalhost(t.Context(), "tcp", "no-such-name.localhost:"+port)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	if conn, err := dialLocalhost(t.Context(), "tcp", "no-such-name.invalid:"+port); err == nil {
		_ = conn.Close()
		t.Error("another name led here, too")
	}
}
