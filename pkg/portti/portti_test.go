package portti

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// answering is an API that gives one answer and keeps what it was asked.
func answering(t *testing.T, status int, body string) (c *Client, asked func() (*http.Request, string)) {
	var last *http.Request
	var sent string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		last, sent = r, string(raw)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(s.Close)
	return &Client{Issuer: s.URL + "/", HTTP: s.Client()}, func() (*http.Request, string) { return last, sent }
}

func TestMe(t *testing.T) {
	c, asked := answering(t, 200, `{"username":"liisa","full":true,"organisation":{"methods":["card","app"]},"may":{"card":"card_already_linked"}}`)
	me, err := c.Me(t.Context(), "secret-token")
	if err != nil || me.Username != "liisa" || !me.Full || me.May.Card != "card_already_linked" || len(me.Organisation.Methods) != 2 {
		t.Fatalf("%+v, %v", me, err)
	}
	if r, _ := asked(); r.URL.Path != "/api/v1/me" || r.Header.Get("Authorization") != "Bearer secret-token" || r.URL.RawQuery != "" {
		t.Errorf("asked %s with %q", r.URL, r.Header.Get("Authorization"))
	}
}

func TestCallsSendWhatTheyAreGiven(t *testing.T) {
	for name, one := range map[string]struct {
		call func(c *Client) error
		path string
		body string
	}{
		"authenticator": {func(c *Client) error { _, err := c.BeginAuthenticator(t.Context(), "t"); return err }, "/api/v1/me/authenticator", `{}`},
		"confirm": {func(c *Client) error {
			return c.ConfirmAuthenticator(t.Context(), "t", Confirmation{Code: "123456", Kind: App, OwnDevice: true})
		}, "/api/v1/me/authenticator/confirm", `{"code":"123456","kind":"app","own_device":true,"work_phone":false,"personal_phone":false}`},
		"trial": {func(c *Client) error { return c.TryCode(t.Context(), "t", "123456") }, "/api/v1/me/authenticator/trial", `{"code":"123456"}`},
		"attempt": {func(c *Client) error {
			_, err := c.BeginCard(t.Context(), "t", "https://us.example/card/return", "")
			return err
		}, "/api/v1/me/card/attempt", `{"return":"https://us.example/card/return"}`},
		"attempt with TLS 1.2": {func(c *Client) error {
			_, err := c.BeginCard(t.Context(), "t", "https://us.example/card/return", CardTLS12)
			return err
		}, "/api/v1/me/card/attempt", `{"return":"https://us.example/card/return","mode":"tls12"}`},
		"seen":     {func(c *Client) error { _, err := c.SeenCard(t.Context(), "t", "code"); return err }, "/api/v1/me/card/seen", `{"code":"code"}`},
		"link":     {func(c *Client) error { return c.LinkCard(t.Context(), "t", "ff") }, "/api/v1/me/card/link", `{"fingerprint":"ff"}`},
		"password": {func(c *Client) error { return c.ChangePassword(t.Context(), "t", "old", "new") }, "/api/v1/me/password", `{"current":"old","new":"new"}`},
		"order":    {func(c *Client) error { return c.Order(t.Context(), "t") }, "/api/v1/me/order", "{}"},
	} {
		c, asked := answering(t, 200, `{}`)
		if err := one.call(c); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		r, body := asked()
		if r.Method != "POST" || r.URL.Path != one.path || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %s %s", name, r.Method, r.URL)
		}
		var got, want any
		if json.Unmarshal([]byte(body), &got) != nil || json.Unmarshal([]byte(one.body), &want) != nil || !same(got, want) {
			t.Errorf("%s sent %s, want %s", name, body, one.body)
		}
	}
}

func TestConsents(t *testing.T) {
	c, asked := answering(t, 200, `{"consents":[{"client":"x","name":{"en":"X"},"scopes":["openid"],"given":"2026-11-22T12:00:00Z"}]}`)
	all, err := c.Consents(t.Context(), "t")
	if r, _ := asked(); err != nil || len(all) != 1 || all[0].Name["en"] != "X" || all[0].Given.IsZero() || r.Method != "GET" || r.URL.Path != "/api/v1/me/consents" {
		t.Errorf("%+v %v", all, err)
	}
	c, asked = answering(t, 204, "")
	if err := c.Withdraw(t.Context(), "t", "a/../b c"); err != nil {
		t.Error(err)
	}
	if r, _ := asked(); r.Method != "DELETE" || r.RequestURI != "/api/v1/me/consents/a%2F..%2Fb%20c" {
		t.Errorf("%s %s", r.Method, r.RequestURI)
	}
}

func TestHowACardAttemptGoes(t *testing.T) {
	for path, ask := range map[string]func(c *Client) (CardProgress, error){
		"/api/v1/me/card/attempt": func(c *Client) (CardProgress, error) { return c.CardProgress(t.Context(), "t") },
		"/api/v1/me/card/outcome": func(c *Client) (CardProgress, error) { return c.CardOutcome(t.Context(), "t") },
	} {
		c, asked := answering(t, 200, `{"phase":"decided","verdict":"handshake_broken","result":false,"silent":true,"tls12":true}`)
		p, err := ask(c)
		if r, _ := asked(); err != nil || p != (CardProgress{Phase: "decided", Verdict: "handshake_broken", Silent: true, TLS12: true}) || r.Method != "GET" || r.URL.Path != path {
			t.Errorf("%s: %+v %v", path, p, err)
		}
	}
}

func same(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}

func TestRefusals(t *testing.T) {
	c, _ := answering(t, 429, `{"status":429,"code":"throttled","detail":"Too many.","args":{"n":"3"},"retry_after":180}`)
	err := c.TryCode(t.Context(), "t", "1")
	e, ok := err.(*Error)
	if !ok || e.Status != 429 || e.Args["n"] != "3" || e.RetryAfter != 180 || Code(err) != "throttled" {
		t.Errorf("%#v", err)
	}
	c, _ = answering(t, 502, "<html>proxy says no</html>")
	if err := c.TryCode(t.Context(), "t", "1"); Code(err) != "unexpected" || strings.Contains(err.Error(), "proxy") {
		t.Errorf("%#v", err)
	}
	c, _ = answering(t, 200, "not json")
	if _, err := c.Me(t.Context(), "t"); err == nil || Code(err) != "" {
		t.Errorf("%#v", err)
	}
}
