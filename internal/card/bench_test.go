package card_test

import (
	"crypto/tls"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/cardtest"
)

// Check remembers nothing, so every call is a first one.
func BenchmarkCheck(b *testing.B) {
	p := cardtest.ForTest(b)
	trust := p.TestTrust(b)
	for _, name := range []string{"good-p256", "good-p384", "good-rsa3072", "forged", "stranger"} {
		certs := p.TestCase(b, name).Certificates()
		now := time.Now()
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				trust.Check(certs, now)
			}
		})
	}
}

// A card sign-in's share of this server: the handshake with a certificate, and
// the whole attempt; beside it crypto/tls on its own, which verifies nothing.
func BenchmarkHandshake(b *testing.B) {
	for _, name := range []string{"good-p256", "good-p384", "good-rsa3072"} {
		h := open(b)
		c := h.pki.TestCase(b, name)
		h.do(b, h.pki.Client(c, h.addr), must(http.NewRequest(http.MethodGet, h.URL(h.ticket("warm")), nil)))

		b.Run("bare/"+name, func(b *testing.B) {
			l := must(tls.Listen("tcp", "127.0.0.1:0", h.TLSConfig()))
			defer func() { _ = l.Close() }()
			go func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					go func() {
						_ = conn.(*tls.Conn).Handshake()
						_ = conn.Close()
					}()
				}
			}()
			for b.Loop() {
				shake(b, h, l.Addr(), c)
			}
		})
		b.Run("door/"+name, func(b *testing.B) {
			client := h.pki.Client(c, h.addr)
			for b.Loop() {
				res := h.do(b, client, must(http.NewRequest(http.MethodGet, h.URL(h.ticket("bench")), nil)))
				if res.StatusCode != http.StatusSeeOther {
					b.Fatal(res.Status)
				}
			}
			if r, _ := h.attempts.result("bench"); r.Verdict != card.Good {
				b.Fatal(r.Verdict)
			}
		})
	}
}

// shake does a handshake and waits until the server has read the certificate.
func shake(b *testing.B, h *bench, addr net.Addr, c *cardtest.Card) {
	config := h.pki.ClientTLS(c)
	config.ServerName = aName
	conn, err := tls.Dial(addr.Network(), addr.String(), config)
	mustOK(b, err)
	_, _ = conn.Read(make([]byte, 1)) // ends when the server closes
	_ = conn.Close()
}
