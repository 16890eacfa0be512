package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// BenchmarkStartToReady starts the program over a database that has its schema
// and keys, and tells how much memory it holds when nobody has come yet.
func BenchmarkStartToReady(b *testing.B) {
	f := newFolder(b)
	settings := strings.Replace(minimal, "passwords: {memory_kib: 64, passes: 1}\n", "", 1)
	f.start(settings).stop(syscall.SIGTERM)
	var took time.Duration
	var resident float64
	for b.Loop() {
		begun := time.Now()
		p := f.start(settings)
		took += time.Since(begun)
		resident += p.resident()
		p.stop(syscall.SIGTERM)
	}
	b.ReportMetric(took.Seconds()*1000/float64(b.N), "ms-to-ready")
	b.ReportMetric(resident/float64(b.N), "MiB-at-rest")
	b.ReportMetric(0, "ns/op") // start and stop together mean nothing
}

// resident is the memory of the process in MiB.
func (p *process) resident() float64 {
	p.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		var kib float64
		if n, _ := fmt.Sscanf(line, "VmRSS: %f kB", &kib); n == 1 {
			return kib / 1024
		}
	}
	p.t.Fatal("no VmRSS")
	return 0
}
