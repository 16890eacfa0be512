package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestCount(t *testing.T) {
	pass := `{"Action":"run","Package":"p","Test":"A"}
{"Action":"output","Package":"p","Test":"A","Output":"quiet\n"}
{"Action":"pass","Package":"p","Test":"A"}
`
	for name, c := range map[string]struct {
		events, last, shows string
		status, strict      int
	}{
		"passes": {pass, "1 passed, 0 failed, 0 skipped", "", 0, 0},
		"a long one": {`{"Action":"run","Package":"p","Test":"L"}
{"Action":"pass","Package":"p","Test":"L","Elapsed":61.25}`, "1 passed, 0 failed, 0 skipped", "61.2s p L", 0, 0},
		"nothing": {"", "0 passed, 0 failed, 0 skipped", "", 1, 1},
		"a skip": {pass + `{"Action":"output","Package":"p","Test":"B","Output":"    x_test.go:1: no Redis\n"}
{"Action":"skip","Package":"p","Test":"B"}`, "1 passed, 0 failed, 1 skipped", "skipped: p B: x_test.go:1: no Redis", 0, 1},
		"a failure": {pass + `{"Action":"run","Package":"p","Test":"B"}
{"Action":"output","Package":"p","Test":"B","Output":"    x_test.go:2: got 1, want 2\n"}
{"Action":"fail","Package":"p","Test":"B"}
{"Action":"fail","Package":"p"}`, "1 passed, 1 failed, 0 skipped", "got 1, want 2", 1, 1},
		"subtests are the tests": {`{"Action":"run","Package":"p","Test":"B"}
{"Action":"run","Package":"p","Test":"B/x"}
{"Action":"run","Package":"p","Test":"B/x/y"}
{"Action":"run","Package":"p","Test":"B/z"}
{"Action":"pass","Package":"p","Test":"B/x/y"}
{"Action":"pass","Package":"p","Test":"B/x"}
{"Action":"fail","Package":"p","Test":"B/z"}
{"Action":"fail","Package":"p","Test":"B"}
{"Action":"fail","Package":"p"}`, "1 passed, 1 failed, 0 skipped", "FAILED p B/z", 1, 1},
		"it does not build": {pass + `{"ImportPath":"q","Action":"build-output","Output":"q/x.go:1:1: undefined: y\n"}
{"ImportPath":"q","Action":"build-fail"}
{"Action":"fail","Package":"q"}`, "1 passed, 1 failed, 0 skipped", "undefined: y", 1, 1},
		"it dies in a test": {pass + `{"Action":"run","Package":"p","Test":"B"}
{"Action":"output","Package":"p","Test":"B","Output":"panic: timed out\n"}
{"Action":"fail","Package":"p"}`, "1 passed, 1 failed, 0 skipped", "panic: timed out", 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			for _, strict := range []bool{false, true} {
				var out bytes.Buffer
				count := newCount(&out)
				if err := count.read(strings.NewReader(c.events)); err != nil {
					t.Fatal(err)
				}
				want := c.status
				if strict {
					want = c.strict
				}
				if status := count.end(strict); status != want {
					t.Errorf("status %d with strict %v, want %d", status, strict, want)
				}
				lines := strings.Split(strings.TrimSpace(out.String()), "\n")
				if lines[len(lines)-1] != c.last || !strings.Contains(out.String(), c.shows) || strings.Contains(out.String(), "quiet") {
					t.Errorf("it said:\n%s", &out)
				}
			}
		})
	}
}
