package e2e

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/portti-id/portti/internal/cardtest"
	"github.com/portti-id/portti/internal/identity"
)

// BenchmarkCards prints one table of what a card costs: a handshake that brings a
// certificate, by crypto/tls alone and at the card host, for the keys that cards have;
// and a verdict. Both ends of a handshake are in this process, and in the figures.
// docs/performance.md explains the columns.
func BenchmarkCards(b *testing.B) {
	table := []string{fmt.Sprintf("%-16s %-30s %9s %9s %9s %12s %12s %14s", "backends", "what", "ops/s", "p50 ms", "p99 ms", "CPU us/op", "db us/op", "ops/core-s")}
	for _, pair := range []Pair{SQLiteMemory, PostgresRedis} {
		b.Run(string(pair), func(b *testing.B) {
			m := &meter{b: b, w: NewWorld(b, Options{Pair: pair, Quiet: true})}
			m.handshakes()
			table = append(table, m.rows...)
			b.ReportMetric(0, "ns/op") // the table tells
		})
	}
	fmt.Println("\n" + strings.Join(table, "\n") + "\n")
}

const attempts = 500 // of each kind of card, their tickets made beforehand

func (m *meter) handshakes() {
	m.b.Helper()
	w := m.w
	p := w.Party("other")
	bare := must(tls.Listen("tcp", "127.0.0.1:0", w.Replicas[0].Door.TLSConfig()))(m.b)
	defer bare.Close() //nolint:errcheck // ends the loop
	go func() {
		for {
			c, err := bare.Accept()
			if err != nil {
				return
			}
			go func() {
				_ = c.(*tls.Conn).Handshake()
				_ = c.Close()
			}()
		}
	}()
	for _, kind := range []cardtest.Key{cardtest.P256, cardtest.P384, cardtest.RSA3072} {
		e := w.Holder("kaisa."+strings.ToLower(strings.ReplaceAll(string(kind), "-", "")), cardtest.WithKey(kind))
		floor := m.times("crypto/tls, card of "+string(kind), attempts, func(_, _ int) error { return shake(w, e.Card, bare.Addr()) })
		tickets := make([]string, attempts)
		for i := range tickets {
			tickets[i] = m.ticket(p, i)
		}
		took := m.times("card host, card of "+string(kind), attempts, func(_, i int) error {
			answer, err := w.PKI.Client(e.Card, "127.0.0.1:"+w.CardPort).Get(tickets[i])
			if err != nil {
				return err
			}
			_ = answer.Body.Close()
			if to := answer.Header.Get("Location"); answer.StatusCode != http.StatusSeeOther || !strings.Contains(to, "?code=") {
				return fmt.Errorf("%s to %q", answer.Status, to)
			}
			return nil
		})
		m.compare("  card host / crypto/tls", took, floor)
	}
	e := w.Settled("kaisa.kortti", "saaristo", identity.MethodCard)
	m.run("login, card (TLS P-256)", func(_, i int) error {
		c := newCaller(w, i)
		code, err := c.card(p, e)
		if err != nil {
			return err
		}
		_, err = c.redeem(p, code)
		return err
	})
}

// ticket is the address of the card host that a sign-in leads to.
func (m *meter) ticket(p *Party, i int) string {
	m.b.Helper()
	c := newCaller(m.w, i)
	page, _, err := c.until(c.do(http.MethodGet, p.URL(nil), nil))
	if err != nil {
		m.b.Fatal(err)
	}
	_, ticket, err := c.post(page, "card", url.Values{})
	if err != nil {
		m.b.Fatal(err)
	}
	return ticket
}

// shake does a handshake with a card, and waits until the server has looked at it.
func shake(w *World, c *cardtest.Card, at net.Addr) error {
	config := w.PKI.ClientTLS(c)
	config.ServerName = "bench.card.localhost"
	conn, err := tls.Dial("tcp", at.String(), config)
	if err != nil {
		return err
	}
	_, _ = conn.Read(make([]byte, 1)) // ends when the server closes
	return conn.Close()
}
