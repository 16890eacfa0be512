package card

import (
	"crypto/tls"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// limited is a listener that holds a bounded number of connections, in total
// and from one address. What is over the bound is closed at once.
//
// A person may take minutes over certificate and PIN while the connection
// stands open, so time limits cannot keep strangers from piling them up: this
// does.
type limited struct {
	net.Listener
	total, each int // 0 means no bound
	log         *slog.Logger
	ended       func(*counted) // called once for each connection, after it was closed

	mu      sync.Mutex
	open    int
	from    map[netip.Prefix]int
	refused int
	told    time.Time
}

func (l *limited) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		source := sourceOf(c)
		if !l.enter(source) {
			_ = c.Close() // nothing was said yet: there is nobody to tell
			continue
		}
		w := &counted{Conn: c}
		w.left = sync.OnceFunc(func() {
			l.leave(source)
			l.ended(w)
		})
		return w, nil
	}
}

func (l *limited) enter(source netip.Prefix) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if (l.total > 0 && l.open >= l.total) || (l.each > 0 && l.from[source] >= l.each) {
		l.refuse(source)
		return false
	}
	l.open++
	l.from[source]++
	return true
}

// refuse counts, and tells the operator at most once a minute.
func (l *limited) refuse(source netip.Prefix) {
	l.refused++
	if time.Since(l.told) < time.Minute {
		return
	}
	l.log.Warn("card host: too many connections, refusing some", "refused", l.refused, "open", l.open, "last_from", source.String())
	l.refused, l.told = 0, time.Now()
}

func (l *limited) leave(source netip.Prefix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	if l.from[source]--; l.from[source] == 0 {
		delete(l.from, source)
	}
}

// counted gives its place back when it is closed, and remembers what its
// handshake was for.
type counted struct {
	net.Conn
	left func()
	name atomic.Pointer[string]   // of the attempt, once a ClientHello has said it; see Door.begins
	tls  atomic.Pointer[tls.Conn] // the handshake over it
}

func (c *counted) Close() error {
	defer c.left()
	return c.Conn.Close()
}

// sourceOf is the address that is counted: one of IPv4, or the /64 of IPv6
// that one subscriber gets.
func sourceOf(c net.Conn) netip.Prefix {
	tcp, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	addr := tcp.AddrPort().Addr().Unmap()
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	prefix, _ := addr.Prefix(bits) // fails only for a bit count out of range
	return prefix
}
