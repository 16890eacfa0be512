package browser

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// TestMain keeps no pictures of the failures that these tests plant.
func TestMain(m *testing.M) {
	if err := os.Unsetenv("PORTTI_TEST_ARTEFACTS"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// recorder is a test that is meant to fail: it keeps what it was told.
type recorder struct {
	testing.TB
	failed, skipped bool
	said            string
	cleanups        []func()
}

func (r *recorder) Helper()          {}
func (r *recorder) Failed() bool     { return r.failed }
func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Log(args ...any)  { r.said += fmt.Sprintln(args...) }
func (r *recorder) Logf(format string, args ...any) {
	r.said += fmt.Sprintf(format, args...) + "\n"
}
func (r *recorder) Errorf(format string, args ...any) { r.failed = true; r.Logf(format, args...) }
func (r *recorder) Fatalf(format string, args ...any) { r.Errorf(format, args...); runtime.Goexit() }
func (r *recorder) Fatal(args ...any)                 { r.failed = true; r.Log(args...); runtime.Goexit() }
func (r *recorder) Skipf(format string, args ...any) {
	r.skipped = true
	r.Logf(format, args...)
	runtime.Goexit()
}

// record runs f as a test of its own, with its cleanups.
func record(t *testing.T, f func(testing.TB)) *recorder {
	r := &recorder{TB: t}
	run := func(f func()) {
		done := make(chan struct{})
		go func() { defer close(done); f() }()
		<-done
	}
	run(func() { f(r) })
	for _, f := range slices.Backward(r.cleanups) {
		run(f)
	}
	return r
}

// mustFail checks that f fails, and says all of the words.
func mustFail(t *testing.T, f func(testing.TB), words ...string) {
	t.Helper()
	r := record(t, f)
	if !r.failed {
		t.Errorf("it passed; it said: %s", r.said)
	}
	for _, w := range words {
		if !strings.Contains(r.said, w) {
			t.Errorf("the failure does not say %q: %s", w, r.said)
		}
	}
}
