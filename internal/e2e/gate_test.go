package e2e

import (
	"io"
	"net"
	"sync"
	"testing"
)

// Gate stands before a backend. Closed, it cuts every connection and refuses new
// ones, as a backend that was stopped does; the backend itself, which other tests
// use, never notices.
type Gate struct {
	Address string // where to connect to instead

	to       string
	mu       sync.Mutex
	closed   bool
	conns    map[net.Conn]bool
	listener net.Listener
}

// NewGate opens a gate to an address.
func NewGate(t testing.TB, to string) *Gate {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &Gate{Address: l.Addr().String(), to: to, conns: map[net.Conn]bool{}, listener: l}
	go g.serve()
	t.Cleanup(func() {
		_ = l.Close()
		g.Cut()
	})
	return g
}

// Close puts the backend out of reach.
func (g *Gate) Close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.Cut()
}

// Open lets connections through again.
func (g *Gate) Open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = false
}

// Cut ends the connections there are; new ones may come.
func (g *Gate) Cut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for c := range g.conns {
		_ = c.Close()
	}
	clear(g.conns)
}

func (g *Gate) serve() {
	for {
		in, err := g.listener.Accept()
		if err != nil {
			return
		}
		go g.through(in)
	}
}

func (g *Gate) through(in net.Conn) {
	out, err := net.Dial("tcp", g.to)
	if err != nil || !g.keep(in, out) {
		_ = in.Close()
		if out != nil {
			_ = out.Close()
		}
		return
	}
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
		both.Go(func() {
			_, _ = io.Copy(way[0], way[1]) // ends with either side
			_ = in.Close()
			_ = out.Close()
		})
	}
	both.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.conns, in)
	delete(g.conns, out)
}

// keep notes the two ends, unless the gate is closed.
func (g *Gate) keep(ends ...net.Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	for _, c := range ends {
		g.conns[c] = true
	}
	return true
}
