package card

import (
	"context"
	"crypto/tls"
	"net"
	"strings"
	"time"
)

// Sign is what a connection tells of the attempt whose name it was made for. One
// sign decides nothing: Chromium drops the first connection while it asks which
// certificate to send (docs/adr/0109-signs-of-a-handshake.md).
type Sign string

const (
	Began   Sign = "began"   // a browser has begun the handshake
	Broke   Sign = "broke"   // the connection ended before the handshake was done
	Bare    Sign = "bare"    // it ended after a handshake without certificate
	Carried Sign = "carried" // it ended after a handshake in which a card has signed
)

const (
	mostTelling     = 256             // signs under way to the store at a time; those above it are lost
	tellingPatience = 5 * time.Second // for one
)

// begins notes for which attempt a handshake is, and tells that it began. Names
// that no attempt can have are nobody's sign.
func (d *Door) begins(conn net.Conn, name string) {
	c, ok := conn.(*counted)
	if ok && c.name.CompareAndSwap(nil, &name) {
		d.tell(name, func() Sign { return Began })
	}
}

// ends tells how the handshake of a closed connection came out. That a handshake
// was done is asked of the connection itself: tls.Config.VerifyConnection comes
// before the card's signature is looked at.
func (d *Door) ends(c *counted) {
	name, handshake := c.name.Load(), c.tls.Load()
	if name == nil || handshake == nil {
		return
	}
	d.tell(*name, func() Sign {
		switch s := handshake.ConnectionState(); { // waits for a handshake that has not noticed its end
		case !s.HandshakeComplete:
			return Broke
		case len(s.PeerCertificates) == 0:
			return Bare
		}
		return Carried
	})
}

// tell hands a sign to the attempts without keeping the handshake: a store that
// is slow or away costs the sign alone.
func (d *Door) tell(name string, sign func() Sign) {
	if d.telling.Add(1) > mostTelling {
		d.telling.Add(-1)
		return
	}
	go func() {
		defer d.telling.Add(-1)
		ctx, cancel := context.WithTimeout(context.Background(), tellingPatience)
		defer cancel()
		if err := d.Attempts.Note(ctx, name, sign()); err != nil {
			d.Log.WarnContext(ctx, "card host: a sign of a handshake is lost", "error", err)
		}
	}()
}

// remember keeps the TLS side of a connection beside it, for ends.
func remember(ctx context.Context, conn net.Conn) context.Context {
	if t, ok := conn.(*tls.Conn); ok {
		if c, ok := t.NetConn().(*counted); ok {
			c.tls.Store(t)
		}
	}
	return ctx
}

// configFor is tls.Config.GetConfigForClient: the mode is in the name.
func (d *Door) configFor(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	name := strings.ToLower(hello.ServerName)
	mode, ours := d.modeOf(name)
	if ours && d.hostOf(mode).Wildcard() {
		d.begins(hello.Conn, name)
	}
	return d.config(mode), nil // for a stranger's name Strict: the request is refused
}
