package main

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// said collects what a running demo prints, and tells when it is ready.
type said struct {
	mu    sync.Mutex
	text  strings.Builder
	ready chan struct{}
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.text.Len() == 0 {
		close(s.ready)
	}
	return s.text.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// TestStopsCleanly: Ctrl-C is no error, nothing is complained of, and the folder
// is gone.
func TestStopsCleanly(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	ctx, interrupt := context.WithCancel(context.Background())
	defer interrupt()
	out, errs := &said{ready: make(chan struct{})}, &said{ready: make(chan struct{})}
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, func() {}, []string{"--port=0", "--card-port=0"}, out, errs) }()
	select {
	case <-out.ready:
	case err := <-ended:
		t.Fatal(err)
	}
	if got := out.String(); !strings.Contains(got, "http://desk.localhost:") || !strings.Contains(got, "trusts no cards but those it has made") {
		t.Errorf("it said %q", got)
	}
	interrupt()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if errs.String() != "" {
		t.Errorf("it complained: %s", errs.String())
	}
	left, err := filepath.Glob(filepath.Join(os.Getenv("TMPDIR"), "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// TestPortTaken: the message says what is wrong and which flag helps.
func TestPortTaken(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := strconv.Itoa(taken.Addr().(*net.TCPAddr).Port)
	for _, flag := range []string{"--port", "--card-port"} {
		args := []string{"--port=0", "--card-port=0", flag + "=" + port}
		err := run(t.Context(), func() {}, args, &strings.Builder{}, &strings.Builder{})
		if err == nil || !strings.Contains(err.Error(), "taken") || !strings.HasSuffix(err.Error(), "with "+flag) {
			t.Errorf("%s: error %v", flag, err)
		}
	}
}

func TestUnknownArguments(t *testing.T) {
	for _, args := range [][]string{{"start"}, {"--desk"}} {
		if err := run(t.Context(), func() {}, args, &strings.Builder{}, &strings.Builder{}); err == nil {
			t.Errorf("%v was taken", args)
		}
	}
}

// TestRealProgramsHaveNoDemo: what makes cards and shows passwords is linked into
// no program that serves people. porttictl has the card lab.
func TestRealProgramsHaveNoDemo(t *testing.T) {
	const module = "github.com/portti-id/portti/"
	out, err := exec.Command("go", "list", "-f", "{{.ImportPath}}{{range .Deps}} {{.}}{{end}}", module+"cmd/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		program, deps, _ := strings.Cut(strings.TrimSpace(line), " ")
		seen[program] = true
		if program == module+"cmd/demo" {
			continue
		}
		for dep := range strings.FieldsSeq(deps) {
			if strings.HasPrefix(dep, module+"cmd/demo/") || dep == module+"cmd/demo" ||
				program != module+"cmd/porttictl" && (dep == module+"internal/cardtest" || dep == module+"internal/cardlab") {
				t.Errorf("%s is linked with %s", program, dep)
			}
		}
	}
	for _, program := range []string{"cmd/demo", "cmd/demoservice", "cmd/portti", "cmd/userservices"} {
		if !seen[module+program] {
			t.Errorf("%s was not looked at", program)
		}
	}
}
