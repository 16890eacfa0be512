package mail

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/config"
)

// gateway is somebody's server for text messages.
type gateway struct {
	*httptest.Server
	mu     sync.Mutex
	answer int
	got    []posted
}

type posted struct {
	header http.Header
	body   string
}

func serveGateway(t *testing.T) *gateway {
	t.Helper()
	g := &gateway{answer: http.StatusAccepted}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		g.mu.Lock()
		defer g.mu.Unlock()
		if r.URL.Path == "/messages" {
			g.got = append(g.got, posted{r.Header.Clone(), string(body)})
		} else {
			t.Errorf("a call to %s", r.URL.Path)
		}
		w.Header().Set("Location", g.URL+"/elsewhere")
		w.WriteHeader(g.answer)
		_, _ = io.WriteString(w, "you wrote: "+string(body))
	}))
	t.Cleanup(g.Close)
	return g
}

// carrier is a Gateway that sends to it.
func (g *gateway) carrier(t *testing.T, change func(c *Gateway)) *Gateway {
	t.Helper()
	c := &Gateway{URL: config.MustURL(g.URL + "/messages"), Secret: secret(t, "hush-hush"), Private: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	if change != nil {
		change(c)
	}
	if wrong := gatewayProblems(c); wrong != "" {
		t.Fatal(wrong)
	}
	return c
}

func gatewayProblems(c *Gateway) string {
	var p config.Problems
	c.Check(&p)
	if err := p.Err("settings"); err != nil {
		return err.Error()
	}
	return ""
}

var message = Message{ID: "LETTER1", To: "+358401234567", Body: "Väliaikainen salasanasi on k7wp", Language: "fi"}

func TestATextMessageIsPosted(t *testing.T) { // S55
	g := serveGateway(t)
	at := time.Unix(1795413600, 0)
	signed := func(body string) string {
		mac := hmac.New(sha256.New, []byte("hush-hush"))
		mac.Write([]byte("1795413600." + body))
		return "t=1795413600,v1=" + hex.EncodeToString(mac.Sum(nil))
	}
	for name, c := range map[string]struct {
		change func(*Gateway)
		header func(body string) (string, string)
	}{
		"bearer": {nil, func(string) (string, string) { return "Authorization", "Bearer hush-hush" }},
		"basic": {func(c *Gateway) { c.Proof, c.Username = Basic, "portti" }, func(string) (string, string) {
			return "Authorization", "Basic cG9ydHRpOmh1c2gtaHVzaA=="
		}},
		"header": {func(c *Gateway) { c.Proof, c.Header = Header, "X-Api-Key" }, func(string) (string, string) { return "X-Api-Key", "hush-hush" }},
		"hmac": {func(c *Gateway) { c.Proof, c.Now = HMAC, func() time.Time { return at } }, func(body string) (string, string) {
			return "Portti-Signature", signed(body)
		}},
	} {
		g.got = nil
		if err := g.carrier(t, c.change).Deliver(t.Context(), message); err != nil || len(g.got) != 1 {
			t.Errorf("%s: %v, %d messages", name, err, len(g.got))
			continue
		}
		got := g.got[0]
		var members map[string]string
		if err := json.Unmarshal([]byte(got.body), &members); err != nil || len(members) != 3 || members["to"] != message.To || members["text"] != message.Body || members["id"] != "LETTER1" {
			t.Errorf("%s: %s, %v", name, got.body, err)
		}
		if got.header.Get("Content-Type") != "application/json" || got.header.Get("Idempotency-Key") != "LETTER1" {
			t.Errorf("%s: %v", name, got.header)
		}
		if h, want := c.header(got.body); got.header.Get(h) != want {
			t.Errorf("%s: %s is %q", name, h, got.header.Get(h))
		}
		if name == "hmac" && strings.Contains(strings.Join(got.header.Values("Authorization"), "")+got.body, "hush") {
			t.Error("the secret was sent although it signs")
		}
	}
}

func TestAGatewayMayWantOtherMembers(t *testing.T) {
	g := serveGateway(t)
	c := g.carrier(t, func(c *Gateway) {
		c.Form, c.To, c.Text, c.ID, c.Constants = URLEncoded, "recipient", "body", "-", map[string]string{"from": "Portti"}
	})
	if err := c.Deliver(t.Context(), message); err != nil || len(g.got) != 1 {
		t.Fatal(err)
	}
	form, err := url.ParseQuery(g.got[0].body)
	if err != nil || len(form) != 3 || form.Get("recipient") != message.To || form.Get("body") != message.Body || form.Get("from") != "Portti" ||
		g.got[0].header.Get("Content-Type") != "application/x-www-form-urlencoded" {
		t.Errorf("%q %v", g.got[0].body, err)
	}
}

// Which answers end a message's life, and which are worth another attempt.
func TestAnswersOfAGateway(t *testing.T) {
	g := serveGateway(t)
	c := g.carrier(t, nil)
	for status, want := range map[int]string{
		200: "", 201: "", 202: "", 204: "",
		400: "refused", 402: "refused", 410: "refused", 422: "refused",
		401: "again", 403: "again", 404: "again", 405: "again", 408: "again", 429: "again", 500: "again", 503: "again",
		301: "again", 302: "again", 307: "again", 308: "again",
	} {
		g.mu.Lock()
		g.got, g.answer = nil, status
		g.mu.Unlock()
		err := c.Deliver(t.Context(), message)
		said := ""
		switch {
		case errors.Is(err, ErrRefused):
			said = "refused"
		case err != nil:
			said = "again"
		}
		if said != want || len(g.got) != 1 { // a redirect is not followed: the message would go to somebody else
			t.Errorf("%d: %v, after %d calls", status, err, len(g.got))
		}
		if err != nil && (strings.Contains(err.Error(), "k7wp") || strings.Contains(err.Error(), "1234567") || strings.Contains(err.Error(), "hush")) {
			t.Errorf("%d: the error quotes the message: %v", status, err)
		}
	}
}

func TestTroubleWithAGatewayIsWorthAnotherAttempt(t *testing.T) {
	g := serveGateway(t)
	encrypted := httptest.NewTLSServer(g.Config.Handler)
	t.Cleanup(encrypted.Close)
	hang := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(slow.Close)
	t.Cleanup(func() { close(hang) })
	for name, change := range map[string]func(*Gateway){
		"private address": func(c *Gateway) { c.Private = nil },
		"unknown issuer":  func(c *Gateway) { c.URL = config.MustURL(encrypted.URL + "/messages") },
		"secret gone":     func(c *Gateway) { c.Secret = "/nonexistent/secret" },
		"slow":            func(c *Gateway) { c.URL, c.Timeout = config.MustURL(slow.URL+"/messages"), 100*time.Millisecond },
	} {
		if err := g.carrier(t, change).Deliver(t.Context(), message); err == nil || errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if err := g.carrier(t, nil).Deliver(stopped, message); err == nil || errors.Is(err, ErrRefused) {
		t.Errorf("stopped: %v", err)
	}
	if len(g.got) != 0 {
		t.Errorf("%d messages went out", len(g.got))
	}
}

func TestOnlyNumbersGetTextMessages(t *testing.T) {
	g := serveGateway(t)
	c := g.carrier(t, nil)
	for _, to := range []string{"", "0401234567", "+", "+0401234567", "+358 40 1234567", "+35840123456789012", "aino@example.fi", "+358401234567\n", "+358401234567,+358409999999"} {
		m := message
		m.To = to
		if err := c.Deliver(t.Context(), m); !errors.Is(err, ErrRefused) {
			t.Errorf("%q: %v", to, err)
		}
	}
	for _, id := range []string{"", "a b", "a\r\nX: y"} {
		m := message
		m.ID = id
		if err := c.Deliver(t.Context(), m); !errors.Is(err, ErrRefused) {
			t.Errorf("ID %q: %v", id, err)
		}
	}
	if len(g.got) != 0 {
		t.Errorf("%d messages went out", len(g.got))
	}
}

func TestSettingsOfAGateway(t *testing.T) {
	for _, c := range []struct {
		change func(*Gateway)
		want   string
	}{
		{func(*Gateway) {}, ""},
		{func(g *Gateway) { g.Proof, g.Username = Basic, "portti" }, ""},
		{func(g *Gateway) { g.URL = config.URL{} }, "setting sms.url: it is missing"},
		{func(g *Gateway) { g.Secret = "" }, "setting sms.secret_file: it is missing"},
		{func(g *Gateway) { g.Form = "xml" }, "setting sms.form"},
		{func(g *Gateway) { g.Proof = "none" }, "setting sms.proof"},
		{func(g *Gateway) { g.Proof = Basic }, "setting sms.username"},
		{func(g *Gateway) { g.Username = "x" }, "setting sms.username"},
		{func(g *Gateway) { g.Proof, g.Username = Basic, "a:b" }, "setting sms.username"},
		{func(g *Gateway) { g.Proof = Header }, "setting sms.header"},
		{func(g *Gateway) { g.Header = "X-Key" }, "setting sms.header"},
		{func(g *Gateway) { g.Proof, g.Header = Header, "X Key\r\n" }, "setting sms.header"},
		{func(g *Gateway) { g.To = "text" }, "setting sms.constants"},
		{func(g *Gateway) { g.Constants = map[string]string{"to": "+358409999999"} }, "setting sms.constants"},
		{func(g *Gateway) { g.Private = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")} }, "setting sms.private[0]"},
	} {
		g := &Gateway{URL: config.MustURL("https://gateway.example.fi/messages"), Secret: "x"}
		c.change(g)
		if got := gatewayProblems(g); (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
			t.Errorf("%+v: %q, want %q", g, got, c.want)
		}
	}
}
