package card_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/card"
)

// want waits until these signs were told for a place, in any order: each is on
// its own way to the store.
func (a *attempts) want(t *testing.T, name string, want ...card.Sign) {
	t.Helper()
	slices.Sort(want)
	end := time.After(20 * time.Second)
	for {
		a.mu.Lock()
		got, told := slices.Sorted(slices.Values(a.signs[name])), a.told
		a.mu.Unlock()
		if slices.Equal(got, want) {
			return
		}
		select {
		case <-told:
		case <-end:
			t.Fatalf("signs %v, want %v", got, want)
		}
	}
}

// hello is the first flight of a client that asks for a name.
func hello(t *testing.T, name string) []byte {
	t.Helper()
	ours, theirs := net.Pipe()
	go func() { _ = tls.Client(ours, &tls.Config{ServerName: name, InsecureSkipVerify: true}).Handshake() }()
	flight := make([]byte, 16<<10)
	n, err := theirs.Read(flight)
	mustOK(t, err)
	mustOK(t, theirs.Close())
	return flight[:n]
}

// S35: what the card host can tell of a handshake that it sees.
func TestSignsOfAHandshake(t *testing.T) {
	b := open(t)
	good := b.pki.TestCase(t, "good-p384")
	raw := func(name string, do func(c net.Conn)) {
		c, err := net.Dial("tcp", b.addr)
		mustOK(t, err)
		if name != "" {
			_, err = c.Write(hello(t, name))
			mustOK(t, err)
			_, err = c.Read(make([]byte, 1)) // the server answers
			mustOK(t, err)
		}
		do(c)
		_ = c.Close()
	}
	stolen := *good
	stolen.Key = b.pki.TestCard(t, "another-thief", maija).Key
	for what, c := range map[string]struct {
		do   func(t *testing.T, p card.Place)
		want []card.Sign
	}{
		"nothing": {func(*testing.T, card.Place) {}, nil},
		"a card": {func(t *testing.T, p card.Place) {
			b.do(t, b.pki.Client(good, b.addr), must(http.NewRequest(http.MethodGet, p.URL(b.ticket("signed")), nil)))
		}, []card.Sign{card.Began, card.Carried}},
		"no card": {func(t *testing.T, p card.Place) {
			b.do(t, b.pki.Client(nil, b.addr), must(http.NewRequest(http.MethodGet, p.URL(b.ticket("bare")), nil)))
		}, []card.Sign{card.Began, card.Bare}},
		"a handshake without request": {func(t *testing.T, p card.Place) {
			_, _, err := b.handshake(p.Name, nil)
			mustOK(t, err)
		}, []card.Sign{card.Began, card.Bare}},
		"the end": {func(t *testing.T, p card.Place) { raw(p.Name, func(net.Conn) {}) }, []card.Sign{card.Began, card.Broke}},
		"a reset": {func(t *testing.T, p card.Place) {
			raw(p.Name, func(c net.Conn) { mustOK(t, c.(*net.TCPConn).SetLinger(0)) })
		}, []card.Sign{card.Began, card.Broke}},
		"an alert": {func(t *testing.T, p card.Place) {
			// The client refuses, as it does when its card cannot sign.
			_, _, err := b.handshake(p.Name, nil, func(c *tls.Config) {
				c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return nil, errors.New("cancelled") }
			})
			if err == nil {
				t.Error("a handshake")
			}
		}, []card.Sign{card.Began, card.Broke}},
		"garbage after the first word": {func(t *testing.T, p card.Place) {
			raw(p.Name, func(c net.Conn) { _, _ = c.Write([]byte(strings.Repeat("garbage", 100))) })
		}, []card.Sign{card.Began, card.Broke}},
		"a signature of another key": {func(t *testing.T, p card.Place) {
			res, err := b.pki.Client(&stolen, b.addr).Get(p.URL(b.ticket("stolen")))
			if err == nil {
				_ = res.Body.Close()
				t.Error("a handshake")
			}
		}, []card.Sign{card.Began, card.Broke}},
		"an old version": {func(t *testing.T, p card.Place) {
			if _, _, err := b.handshake(p.Name, nil, func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }); err == nil {
				t.Error("a handshake")
			}
		}, []card.Sign{card.Began, card.Broke}},
		"twice": {func(t *testing.T, p card.Place) {
			raw(p.Name, func(net.Conn) {})
			raw(strings.ToUpper(p.Name), func(net.Conn) {})
		}, []card.Sign{card.Began, card.Broke, card.Began, card.Broke}},
	} {
		for _, mode := range []card.Mode{card.Strict, card.OldTLS, card.AnyCA} {
			t.Run(what+" "+string(mode), func(t *testing.T) {
				p := b.place(mode)
				c.do(t, p)
				b.attempts.want(t, p.Name, c.want...)
			})
		}
	}
	// A silent connection, garbage, and names that no attempt has: nobody's signs.
	raw("", func(net.Conn) {})
	raw("", func(c net.Conn) {
		_, err := c.Write([]byte("GET / HTTP/1.1\r\nHost: " + aName + "\r\n\r\n"))
		mustOK(t, err)
		_, _ = io.Copy(io.Discard, c)
	})
	strangers := []string{"a.card.example.test", "card.example.test", "id.example.test", "0" + aName[1:], aName[1:], "a" + aName, "t13-" + aName, "t12-any-" + aName, "a." + aName}
	for _, name := range strangers {
		raw(name, func(net.Conn) {})
	}
	last := b.place(card.Strict).Name
	raw(last, func(net.Conn) {})
	b.attempts.want(t, last, card.Began, card.Broke)
	b.attempts.mu.Lock()
	defer b.attempts.mu.Unlock()
	for _, name := range strangers {
		if signs := b.attempts.signs[name]; signs != nil {
			t.Errorf("%s: %v", name, signs)
		}
	}
}

// While the person looks for her PIN the connection is open, and that is no break.
func TestOpenConnectionIsNoBreak(t *testing.T) {
	b := open(t)
	p := b.place(card.Strict)
	choosing, chosen := make(chan struct{}), make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		_, _, err := b.handshake(p.Name, nil, func(c *tls.Config) {
			c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				close(choosing)
				<-chosen
				return &tls.Certificate{}, nil
			}
		})
		if err != nil {
			t.Error(err)
		}
	})
	<-choosing
	b.attempts.want(t, p.Name, card.Began)
	close(chosen)
	done.Wait()
	b.attempts.want(t, p.Name, card.Began, card.Bare)
}

// Fifty places at once: each gets its own signs.
func TestParallelHandshakesAreToldApart(t *testing.T) {
	b := open(t)
	places := make([]card.Place, 50)
	var all sync.WaitGroup
	for i := range places {
		places[i] = b.place(card.Strict)
		first := hello(t, places[i].Name)
		all.Go(func() {
			if i%2 == 0 {
				if _, _, err := b.handshake(places[i].Name, nil); err != nil {
					t.Error(err)
				}
				return
			}
			c, err := net.Dial("tcp", b.addr)
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = c.Write(first)
			_, _ = c.Read(make([]byte, 1))
			_ = c.Close()
		})
	}
	all.Wait()
	for i, p := range places {
		b.attempts.want(t, p.Name, card.Began, []card.Sign{card.Bare, card.Broke}[i%2])
	}
}

// slow is a store that does not answer.
type slow struct {
	*attempts
	asked chan struct{}
}

func (s *slow) Note(ctx context.Context, _ string, _ card.Sign) error {
	s.asked <- struct{}{}
	<-ctx.Done()
	return ctx.Err()
}

// A store that hangs keeps no handshake waiting.
func TestSlowStoreKeepsNobodyWaiting(t *testing.T) {
	hanging := &slow{asked: make(chan struct{}, 1000)}
	b := open(t, func(d *card.Door) {
		hanging.attempts = d.Attempts.(*attempts)
		d.Attempts = hanging
	})
	res := b.get(t, nil, b.URL(b.ticket("slow")))
	if res.StatusCode != http.StatusSeeOther {
		t.Errorf("answer %d", res.StatusCode)
	}
	<-hanging.asked
	if _, ok := b.attempts.result("slow"); !ok {
		t.Error("the result is lost")
	}
}

// Metrics count verdicts by mode.
func TestVerdictsAreCounted(t *testing.T) {
	var mu sync.Mutex
	counted := map[[2]string]int{}
	b := open(t, func(d *card.Door) {
		d.Count = func(v card.Verdict, m card.Mode) {
			mu.Lock()
			defer mu.Unlock()
			counted[[2]string{string(v), string(m)}]++
		}
	})
	b.get(t, nil, b.place(card.AnyCA).URL(b.ticket("1")))
	b.get(t, b.pki.TestCase(t, "good-p256"), b.URL(b.ticket("2")))
	b.get(t, nil, b.URL("spentspentspentspent")) // nothing was checked
	mu.Lock()
	defer mu.Unlock()
	if len(counted) != 2 || counted[[2]string{"no_certificate", "any"}] != 1 || counted[[2]string{"all_good", ""}] != 1 {
		t.Errorf("%v", counted)
	}
}
