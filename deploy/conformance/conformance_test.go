package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/totp"
)

// TestEachCodeIsTypedOnce: Portti takes none twice, and takes those of the steps
// around now only.
func TestEachCodeIsTypedOnce(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	f := &filler{key: []byte("12345678901234567890"), now: func() time.Time { return now }}
	typed := map[string]bool{}
	for step := totp.Step(now); len(typed) < 2; step++ {
		want, err := totp.Code(f.key, step)
		if err != nil {
			t.Fatal(err)
		}
		got, err := f.next(t.Context())
		if err != nil || got != want {
			t.Fatalf("%q, %v; want %q", got, err, want)
		}
		typed[got] = true
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if code, err := f.next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a third code in one step: %q, %v", code, err)
	}
	now = now.Add(totp.Period)
	if code, err := f.next(t.Context()); err != nil || typed[code] {
		t.Errorf("in the next step: %q, %v", code, err)
	}
}

// TestOnlyTheConstantIsReplaced, in the one form that asks for a code.
func TestOnlyTheConstantIsReplaced(t *testing.T) {
	f := &filler{key: []byte("12345678901234567890"), now: time.Now}
	var got string
	behind := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = string(body)
	}))
	defer behind.Close()
	front := httptest.NewServer(front(strings.TrimPrefix(behind.URL, "http://"), f))
	defer front.Close()
	for path, bodies := range map[string]map[string]bool{
		"/signin/ABC/code":     {"code=000000&csrf=x": true, "code=123456": false, "other=000000": false, "%zz=000000": false, "": false},
		"/signin/ABC/password": {"code=000000": false},
		"/token":               {"code=000000": false},
		"/signin/A/B/code":     {"code=000000": false},
	} {
		for body, replaced := range bodies {
			answer, err := http.Post(front.URL+path, "application/x-www-form-urlencoded", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			_ = answer.Body.Close()
			if (got != body) != replaced {
				t.Errorf("%s %q became %q", path, body, got)
			}
			if form, _ := url.ParseQuery(got); replaced && (len(form.Get("code")) != 6 || form.Get("csrf") != "x") {
				t.Errorf("%s %q became %q", path, body, got)
			}
		}
	}
}

// free is a port that nobody listens at just now.
func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// TestTheSuitesBrowserSignsIn: setup, portti itself and the proxy, and then what
// a plan's browser and client do, typing constants.
func TestTheSuitesBrowserSignsIn(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and starts the provider")
	}
	p := place{Data: filepath.Join(t.TempDir(), "data"), Issuer: "https://localhost:" + free(t), MTLS: "https://localhost:" + free(t), Behind: "127.0.0.1:" + free(t),
		Suite: "https://suite.example:8443", Alias: "portti"}
	if err := setup(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if err := setup(t.Context(), p); err != nil {
		t.Fatalf("a second time: %v", err)
	}
	program := filepath.Join(t.TempDir(), "portti")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../../cmd/portti").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	provider := exec.Command(program, "serve", "-config", filepath.Join(p.Data, settingsFile)) // ended by us, after the proxy
	var log strings.Builder
	provider.Stderr = &log
	if err := provider.Start(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	go func() { stopped <- serve(ctx, p) }()
	t.Cleanup(func() {
		stop()
		if err := <-stopped; err != nil {
			t.Errorf("proxy: %v", err)
		}
		_ = provider.Process.Signal(os.Interrupt)
		if err := provider.Wait(); err != nil || t.Failed() {
			t.Errorf("portti: %v\n%s", err, log.String())
		}
	})
	if err := wait(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	b := newRobot(t, p)
	for range 2 { // the second sign-in needs another code at once
		b.signsIn()
		b.forget()
	}
}

// robot does what the suite's browser and client do with one plan.
type robot struct {
	t    *testing.T
	p    place
	plan struct {
		Client struct {
			ID     string `json:"client_id"`
			Secret string `json:"client_secret"`
			Scope  string
		}
		Browser []struct {
			Tasks []struct{ Commands [][]any }
		}
	}
	http *http.Client
}

func newRobot(t *testing.T, p place) *robot {
	t.Helper()
	b := &robot{t: t, p: p}
	body, err := os.ReadFile(filepath.Join(p.Data, plansFolder, "oidcc-basic.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(body, &b.plan); err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(filepath.Join(p.Data, serverCA))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	b.http = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}},
		CheckRedirect: func(r *http.Request, _ []*http.Request) error {
			if strings.HasPrefix(r.URL.String(), p.Suite) {
				return http.ErrUseLastResponse
			}
			return nil
		}}
	b.forget()
	return b
}

// forget begins anew, as every module does.
func (b *robot) forget() { b.http.Jar, _ = cookiejar.New(nil) }

func (b *robot) signsIn() {
	b.t.Helper()
	callback := b.p.Suite + "/test/a/portti/callback"
	answer, err := b.http.Get(b.p.Issuer + "/authorize?" + url.Values{"client_id": {b.plan.Client.ID}, "response_type": {"code"}, "redirect_uri": {callback},
		"scope": {b.plan.Client.Scope}, "state": {"s"}, "nonce": {"n"}}.Encode())
	if err != nil {
		b.t.Fatal(err)
	}
	for _, task := range b.plan.Browser[0].Tasks[:2] {
		answer = b.fills(answer, task.Commands)
	}
	to, err := url.Parse(answer.Header.Get("Location"))
	if err != nil || to.Query().Get("code") == "" || to.Query().Get("state") != "s" {
		body, _ := io.ReadAll(answer.Body)
		b.t.Fatalf("%s to %q, %v:\n%s", answer.Status, to, err, body)
	}
	_ = answer.Body.Close()
	r, _ := http.NewRequest(http.MethodPost, b.p.Issuer+"/token", strings.NewReader(url.Values{"grant_type": {"authorization_code"}, "code": {to.Query().Get("code")}, "redirect_uri": {callback}}.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(url.QueryEscape(b.plan.Client.ID), url.QueryEscape(b.plan.Client.Secret))
	var tokens struct {
		Access string `json:"access_token"`
		ID     string `json:"id_token"`
	}
	b.json(r, &tokens)
	r, _ = http.NewRequest(http.MethodGet, b.p.Issuer+"/userinfo", nil)
	r.Header.Set("Authorization", "Bearer "+tokens.Access)
	var claims map[string]any
	b.json(r, &claims)
	for _, name := range []string{"sub", "name", "given_name", "family_name", "middle_name", "nickname", "preferred_username", "profile", "picture", "website", "gender", "birthdate",
		"zoneinfo", "locale", "updated_at", "email", "email_verified", "address", "phone_number", "phone_number_verified"} {
		if _, ok := claims[name]; !ok {
			b.t.Errorf("userinfo has no %s: %v", name, claims)
		}
	}
}

func (b *robot) json(r *http.Request, into any) {
	b.t.Helper()
	answer, err := b.http.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = errors.New(answer.Status)
	}
	if err := errors.Join(err, json.Unmarshal(body, into)); err != nil {
		b.t.Fatalf("%s: %v: %s", r.URL.Path, err, body)
	}
}

var (
	form   = regexp.MustCompile(`(?s)<form[^>]*method="post"[^>]*action="([^"]*)"[^>]*>(.*?)</form>`)
	hidden = regexp.MustCompile(`<input[^>]*type="hidden"[^>]*name="([^"]*)"[^>]*value="([^"]*)"`)
	named  = `<input[^>]*id="%s"[^>]*name="([^"]*)"|<input[^>]*name="([^"]*)"[^>]*id="%s"`
)

// fills does the commands of a task: it types by id and clicks.
func (b *robot) fills(page *http.Response, commands [][]any) *http.Response {
	b.t.Helper()
	body, err := io.ReadAll(page.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	_ = page.Body.Close()
	button := commands[len(commands)-1][2].(string)
	for _, f := range form.FindAllStringSubmatch(string(body), -1) {
		if !strings.Contains(f[2], `id="`+button+`"`) {
			continue
		}
		values := url.Values{}
		for _, h := range hidden.FindAllStringSubmatch(f[2], -1) {
			values.Set(h[1], h[2])
		}
		for _, c := range commands[:len(commands)-1] {
			id := c[2].(string)
			m := regexp.MustCompile(fmt.Sprintf(named, id, id)).FindStringSubmatch(f[2])
			if m == nil {
				b.t.Fatalf("no field %s in:\n%s", id, body)
			}
			values.Set(m[1]+m[2], c[3].(string))
		}
		to, err := page.Request.URL.Parse(f[1])
		if err != nil {
			b.t.Fatal(err)
		}
		answer, err := b.http.PostForm(to.String(), values)
		if err != nil {
			b.t.Fatal(err)
		}
		return answer
	}
	b.t.Fatalf("no button %s on the page:\n%s", button, body)
	return nil
}

func TestSetupKeepsWhatTheSuiteWasGiven(t *testing.T) {
	p := place{Data: t.TempDir(), Issuer: "https://localhost:9443", Suite: "https://suite.example"}
	if err := p.write("something", nil); err != nil {
		t.Fatal(err)
	}
	if err := setup(t.Context(), p); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("setup in somebody's folder: %v", err)
	}
	for _, args := range [][]string{nil, {"setup"}, {"dance", "-data", t.TempDir()}} {
		if run(t.Context(), args) == nil {
			t.Errorf("%v was understood", args)
		}
	}
}
