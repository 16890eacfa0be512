package revocation

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/outgoing"
)

const (
	askWithin     = 3 * time.Second // all addresses together
	largestAnswer = 64 << 10        // octets
	mostAddresses = 4               // of one certificate
)

// everywhere lets the guard through to every network: a responder that the
// operator has written down may stand in a closed one.
var everywhere = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}

// responder is what the CA's responder says, or has said a moment ago.
func (c *Checker) responder(ctx context.Context, cert, issuer *x509.Certificate, now time.Time) card.Status {
	key := cacheKey(cert, issuer)
	if s, ok := c.recall(ctx, key, now); ok {
		return s
	}
	// One question for all who wait for the same answer. It belongs to none of
	// them: it goes on when the first turns away.
	flight := c.flights.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cmp.Or(c.Timeout, askWithin))
		defer cancel()
		if s, ok := c.recall(ctx, key, now); ok {
			return s, nil // another question was answered in between
		}
		return c.ask(ctx, key, cert, issuer, now), nil
	})
	select {
	case r := <-flight:
		return r.Val.(card.Status)
	case <-ctx.Done():
		return unavailable("ocsp: nobody waits for the answer any more")
	}
}

// ask goes through the addresses until one gives an answer.
func (c *Checker) ask(ctx context.Context, key string, cert, issuer *x509.Certificate, now time.Time) (s card.Status) {
	defer func() {
		// Nobody above would catch it: the question has a goroutine of its own.
		if p := recover(); p != nil {
			c.log().ErrorContext(ctx, "panic", "error", fmt.Sprint(p), "stack", string(debug.Stack()))
			s = unavailable("ocsp: a defect of ours")
		}
	}()
	client, addresses := c.addresses(cert, issuer)
	if len(addresses) == 0 {
		return unavailable("ocsp: no responder is configured, and no address in the certificate may be asked")
	}
	var why []string
	silent := unavailable("")
	for i, address := range addresses {
		r, err := c.askOne(ctx, len(addresses)-i, client, address, cert, issuer, now)
		if err != nil {
			why = append(why, "ocsp "+address.Host+": "+err.Error())
			if errors.Is(err, errUnknown) {
				silent.State = unknown
			}
			continue
		}
		s = card.Status{State: r.state, Source: "ocsp", Since: r.since}
		if s.State != card.NotRevoked {
			s.Reason = "ocsp: the responder says so"
		}
		c.remember(ctx, key, s, r.until(), cert.NotAfter, now)
		return s
	}
	silent.Reason = strings.Join(why, "; ")
	return silent
}

var errUnknown = errors.New("the responder does not know the certificate")

// askOne puts the question to the first of the responders that are left; what it
// returns may be believed, and is good, revoked or on hold.
func (c *Checker) askOne(ctx context.Context, left int, client *http.Client, address *url.URL, cert, issuer *x509.Certificate, now time.Time) (*response, error) {
	// A silent one leaves time for the next.
	end, _ := ctx.Deadline()
	ctx, cancel := context.WithTimeout(ctx, time.Until(end)/time.Duration(left))
	defer cancel()
	q := asked{cert: cert, issuer: issuer, nonce: make([]byte, nonceLength), at: now,
		list: func(d *x509.Certificate) card.Status { return c.list(d, issuer, now) }}
	_, _ = rand.Read(q.nonce) // never fails (crypto/rand)
	body, err := question(cert, issuer, q.nonce)
	if err != nil {
		return nil, err
	}
	one := c.responders.of(strings.ToLower(address.Host))
	if err := one.enter(ctx, now); err != nil {
		return nil, err
	}
	began := time.Now()
	r, err := q.put(ctx, client, address, body)
	one.leave(now, time.Since(began), outcome(r, err))
	if err != nil {
		return nil, err
	}
	return r, nil
}

func (q asked) put(ctx context.Context, client *http.Client, address *url.URL, body []byte) (*response, error) {
	answer, err := post(ctx, client, address, body)
	if err != nil {
		return nil, err
	}
	r, err := parse(answer)
	if err != nil {
		return nil, err
	}
	if err := q.judge(r); err != nil {
		return nil, err
	}
	if r.state == unknown {
		return nil, errUnknown
	}
	return r, nil
}

// httpError is an answer with another status than 200.
type httpError int

func (s httpError) Error() string {
	return fmt.Sprintf("the responder answers with HTTP status %d", int(s))
}

// netError is no answer at all; its text has nothing from outside in it.
type netError struct {
	text  string
	cause error
}

func (e *netError) Error() string { return e.text }
func (e *netError) Unwrap() error { return e.cause }

// post sends the question and reads the answer (RFC 6960 §A.1).
func post(ctx context.Context, client *http.Client, address *url.URL, body []byte) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/ocsp-request")
	r.Header.Set("Accept", "application/ocsp-response")
	r.Header.Set("Accept-Encoding", "identity") // or a small answer could unpack to a large one
	r.Header.Set("User-Agent", "portti")
	answer, err := client.Do(r)
	if err != nil {
		return nil, silence(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return nil, httpError(answer.StatusCode)
	}
	if kind, _, err := mime.ParseMediaType(answer.Header.Get("Content-Type")); err != nil || kind != "application/ocsp-response" {
		return nil, errors.New("the answer is not of the type application/ocsp-response")
	}
	der, err := io.ReadAll(io.LimitReader(answer.Body, largestAnswer+1))
	switch {
	case err != nil:
		return nil, silence(err)
	case len(der) > largestAnswer:
		return nil, errors.New("the answer is too large")
	}
	return der, nil
}

// silence words why nothing came, for the operator.
func silence(err error) error {
	var name *net.DNSError
	var timeout net.Error
	text := "the responder cannot be reached"
	switch {
	case errors.Is(err, outgoing.ErrForbidden):
		text = "the responder's address is private: write it into the trust bundle if that is right"
	case errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout():
		text = "the responder does not answer in time"
	case errors.As(err, &name):
		text = "the responder's name is not found"
	case errors.Is(err, syscall.ECONNREFUSED):
		text = "the responder refuses the connection"
	}
	return &netError{text, err}
}

// addresses are where to ask about cert: those that the operator has configured
// for its issuer; without any, those in the certificate whose hosts the operator
// has allowed. The client is the guarded one in the second case: a name may come
// to lead to the inside of our own network.
func (c *Checker) addresses(cert, issuer *x509.Certificate) (*http.Client, []*url.URL) {
	c.once.Do(func() {
		o := outgoing.Options{RootCAs: c.RootCAs, Timeout: cmp.Or(c.Timeout, askWithin)}
		c.certified = o.Client()
		o.AllowNetworks = everywhere
		c.configured = o.Client()
	})
	trust := c.Trust()
	source, ok := trust.Source(issuer)
	if !ok { // the trust has changed since the path was checked
		return nil, nil
	}
	if len(source.OCSP) > 0 {
		return c.configured, usable(source.OCSP, nil)
	}
	hosts := trust.RevocationHosts()
	return c.certified, usable(cert.OCSPServer, func(u *url.URL) bool { return slices.ContainsFunc(hosts, func(h string) bool { return isHost(h, u) }) })
}

// usable are the first addresses that can be asked and are allowed (nil: all).
// Others, such as ldap, are passed over.
func usable(addresses []string, allowed func(*url.URL) bool) []*url.URL {
	var list []*url.URL
	for _, text := range addresses {
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || allowed != nil && !allowed(u) {
			continue
		}
		if list = append(list, u); len(list) == mostAddresses {
			break
		}
	}
	return list
}

// isHost tells whether the host of u is the one that is allowed: a name for the
// scheme's own port, or name:port.
func isHost(allowed string, u *url.URL) bool {
	port := cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
	name, wanted, err := net.SplitHostPort(allowed)
	if err != nil {
		name, wanted = allowed, map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return strings.EqualFold(strings.Trim(name, "[]"), u.Hostname()) && port == wanted
}
