package card

import (
	"crypto/tls"
	"errors"
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
	total, each int  // 0 means no bound
	late        bool // addresses are known once connections are read: see relayed
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
		w := &counted{Conn: c}
		w.left = sync.OnceFunc(func() {
			l.leave(w)
			l.ended(w)
		})
		w.placed = sync.OnceValue(func() bool { return l.place(w) })
		if !l.enter() || !l.late && !w.placed() {
			_ = w.Close() // nothing was said yet: there is nobody to tell
			continue
		}
		return w, nil
	}
}

// enter counts a connection, whether there is room for it or not: it leaves by
// being closed.
func (l *limited) enter() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open++
	if l.total > 0 && l.open > l.total {
		l.refuse(netip.Prefix{})
		return false
	}
	return true
}

// place counts a connection for its address, when there is room for it.
func (l *limited) place(c *counted) bool {
	source := sourceOf(c.Conn)
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.over {
		return false
	}
	if l.each > 0 && l.from[source] >= l.each {
		l.refuse(source)
		return false
	}
	l.from[source]++
	c.source = &source
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

func (l *limited) leave(c *counted) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	c.over = true
	if c.source == nil {
		return
	}
	if l.from[*c.source]--; l.from[*c.source] == 0 {
		delete(l.from, *c.source)
	}
}

// counted gives its place back when it is closed, and remembers what its
// handshake was for.
type counted struct {
	net.Conn
	left   func()
	placed func() bool              // counts it for its address, once
	source *netip.Prefix            // that address; nil: not counted for one. Guarded by limited.mu
	over   bool                     // it was closed. Guarded by limited.mu
	name   atomic.Pointer[string]   // of the attempt, once a ClientHello has said it; see Door.begins
	tls    atomic.Pointer[tls.Conn] // the handshake over it
}

func (c *counted) Close() error {
	defer c.left()
	return c.Conn.Close()
}

// errCrowded is for the server, which closes the connection.
var errCrowded = errors.New("too many connections from one address")

func (c *counted) Read(b []byte) (int, error) {
	if !c.placed() {
		return 0, errCrowded
	}
	return c.Conn.Read(b)
}

// sourceOf is the address that is counted: one of IPv4, or the /64 of IPv6
// that one subscriber gets.
func sourceOf(c net.Conn) netip.Prefix {
	addr := addressOf(c)
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	prefix, _ := addr.Prefix(bits) // fails only for a bit count out of range
	return prefix
}

// addressOf is the zero Addr for what is not TCP.
func addressOf(c net.Conn) netip.Addr {
	tcp, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return tcp.AddrPort().Addr().Unmap().WithZone("")
}
