package card

import (
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/pires/go-proxyproto"
)

// headerPatience bounds the wait for a PROXY header. A balancer sends it with the
// first packet.
const headerPatience = 5 * time.Second

// relayed is a listener behind balancers that pass TLS through, and say in a PROXY
// header whom each connection comes from. A connection from anywhere else is
// closed; one from a balancer without the header fails when it is read. Nothing is
// read before somebody asks for the address or for data: Accept waits for nobody.
type relayed struct {
	net.Listener
	from []netip.Prefix
	log  *slog.Logger

	mu      sync.Mutex
	refused int
	told    time.Time
}

func (l *relayed) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		source := addressOf(c)
		if !slices.ContainsFunc(l.from, func(p netip.Prefix) bool { return p.Contains(source) }) {
			_ = c.Close() // nothing was said yet: there is nobody to tell
			l.refuse(source)
			continue
		}
		return proxyproto.NewConn(c, proxyproto.WithPolicy(proxyproto.REQUIRE), proxyproto.SetReadHeaderTimeout(headerPatience)), nil
	}
}

// refuse counts, and tells the operator at most once a minute.
func (l *relayed) refuse(source netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused++
	if time.Since(l.told) < time.Minute {
		return
	}
	l.log.Warn("card host: connections past the balancers, refusing them", "refused", l.refused, "last_from", source.String())
	l.refused, l.told = 0, time.Now()
}
