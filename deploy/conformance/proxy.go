package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/portti-id/portti/internal/totp"
	"github.com/portti-id/portti/internal/web"
)

// constant is what the suite's browser types as a code.
const constant = "000000"

// codeForm is the address of the sign-in's form for the code.
var codeForm = regexp.MustCompile(`^/signin/[^/]+/code$`)

// filler types a person's one-time codes: each of them once, as Portti takes
// none twice.
type filler struct {
	key []byte
	now func() time.Time

	mu   sync.Mutex
	last int64 // step of the last code
}

// next is a code that was not used yet. Portti takes the one of now and its two
// neighbours, so of sign-ins in quick succession the third waits.
func (f *filler) next(ctx context.Context) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		now := totp.Step(f.now())
		if step := max(now, f.last+1); step <= now+1 {
			f.last = step
			return totp.Code(f.key, step)
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

const mostForm = 64 << 10

// fill puts a code in the place of the constant.
func (f *filler) fill(r *http.Request) error {
	if r.Method != http.MethodPost || !codeForm.MatchString(r.URL.Path) {
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, mostForm))
	if err != nil {
		return err
	}
	form, err := url.ParseQuery(string(body))
	if err == nil && form.Get("code") == constant {
		code, err := f.next(r.Context())
		if err != nil {
			return err
		}
		form.Set("code", code)
		body = []byte(form.Encode())
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	r.ContentLength = int64(len(body))
	r.Header.Set("Content-Length", strconv.Itoa(len(body)))
	return nil
}

// front is the proxy: it leaves everything else as it is.
func front(behind string, f *filler) http.Handler {
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: behind})
		r.Out.Host = r.In.Host
		r.SetXForwarded()
	}}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := f.fill(r); err != nil {
			http.Error(w, "no code could be typed", http.StatusBadGateway)
			return
		}
		proxy.ServeHTTP(w, r)
	})
}

// serve runs the proxy until ctx ends.
func serve(ctx context.Context, p place) error {
	key, err := os.ReadFile(filepath.Join(p.Data, personKey))
	if err != nil {
		return fmt.Errorf("%w (setup makes it)", err)
	}
	u, err := url.Parse(p.Issuer)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	certificate, err := web.LoadCertificate(filepath.Join(p.Data, serverCert), filepath.Join(p.Data, serverKey), log)
	if err != nil {
		return err
	}
	listener, err := web.Listen(net.JoinHostPort("", u.Port()))
	if err != nil {
		return err
	}
	return web.Serve(ctx, listener, front(p.Behind, &filler{key: key, now: time.Now}), certificate.Config(), log)
}

// wait returns when Portti is ready, or says what it met after half a minute.
func wait(ctx context.Context, p place) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	ca, err := os.ReadFile(filepath.Join(p.Data, serverCA))
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	for {
		if err = ready(ctx, client, p.Issuer+"/readyz"); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no provider is ready: %w", err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func ready(ctx context.Context, client *http.Client, address string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	answer, err := client.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", address, answer.Status)
	}
	return nil
}
