package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/cardtest"
	"github.com/portti-id/portti/internal/e2e/browser"
)

// tool runs curl or openssl with the cards of a reader at hand, each as a token of
// SoftHSM that wants the PIN from the program itself. It returns what the program
// printed and its exit code.
func tool(t *testing.T, r *browser.Reader, input, name string, args ...string) (said string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), append(r.Env(), "PKCS11_MODULE_PATH="+r.HSM())...)
	cmd.Stdin = strings.NewReader(input)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	t.Logf("%s: exit %d %s", name, cmd.ProcessState.ExitCode(), complaint.String())
	return out.String(), cmd.ProcessState.ExitCode()
}

// needTokens skips without what lets programs use a PKCS #11 token.
func needTokens(t *testing.T) {
	t.Helper()
	engine, _ := filepath.Glob("/usr/lib/*/engines-3/pkcs11.so")
	_, curl := exec.LookPath("curl")
	_, openssl := exec.LookPath("openssl")
	if len(engine) > 0 && curl == nil && openssl == nil {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("curl with a card's token needs curl, openssl and libengine-pkcs11-openssl")
	}
	t.Skip("curl with a card's token needs curl, openssl and libengine-pkcs11-openssl")
}

// The card's step of a sign-in, taken by other people's TLS with the key in a PKCS #11
// token: the handshake ends with a 303 back, and the result signs in the browser that
// began. RSA signs with PSS in TLS 1.3 and with PKCS #1 v1.5 or PSS in 1.2.
func TestTokenWithPINSignsIn(t *testing.T) {
	needTokens(t)
	w := NewWorld(t, Options{Pair: SQLiteMemory})
	risto, elli := w.Holder("risto.rsa", cardtest.WithKey(cardtest.RSA3072)), w.Holder("elli.elliptinen", cardtest.WithKey(cardtest.P384))
	r := w.reader(t, risto, elli)
	p := w.Party("other")
	servers := filepath.Join(t.TempDir(), "servers.pem")
	if err := os.WriteFile(servers, w.PKI.Server.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	key := func(e *Employee, pin string) string {
		return "pkcs11:token=" + e.Card.Name + ";object=sign-in;type=private;pin-value=" + pin
	}
	curl := func(t *testing.T, e *Employee, version, pin, to string) (next string, code int) {
		t.Helper()
		said, code := tool(t, r, "", "curl", "-sS", "--cacert", servers, "--tlsv"+version, "--tls-max", version, "--cert", "pkcs11:token="+e.Card.Name+";object=sign-in;type=cert", "--key", key(e, pin),
			"-o", os.DevNull, "-w", "%{http_code} %{redirect_url}", to)
		if to, ok := strings.CutPrefix(said, "303 "); ok {
			next = to
		}
		return next, code
	}
	openssl := func(t *testing.T, e *Employee, version, pin, to string) (next string, code int) {
		t.Helper()
		u := must(url.Parse(to))(t)
		cert := filepath.Join(t.TempDir(), "card.pem")
		if err := os.WriteFile(cert, e.Card.PEM(), 0o600); err != nil {
			t.Fatal(err)
		}
		said, code := tool(t, r, fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", u.RequestURI(), u.Host), "openssl", "s_client", "-quiet", "-verify_return_error", "-verify_quiet", "-CAfile", servers,
			"-connect", "127.0.0.1:"+u.Port(), "-servername", u.Hostname(), "-tls"+strings.ReplaceAll(version, ".", "_"), "-engine", "pkcs11", "-keyform", "engine", "-key", key(e, pin), "-cert", cert)
		for line := range strings.Lines(said) {
			if to, ok := strings.CutPrefix(line, "Location: "); ok {
				next = strings.TrimSpace(to)
			}
		}
		return next, code
	}
	for program, present := range map[string]func(t *testing.T, e *Employee, version, pin, to string) (string, int){"curl": curl, "openssl": openssl} {
		for _, e := range []*Employee{risto, elli} {
			for _, version := range []string{"1.2", "1.3"} {
				t.Run(program+", "+e.Username+", TLS "+version, func(t *testing.T) {
					v := w.Visitor()
					ticket := v.ticket(v.Open(p.URL(nil)))
					if next, code := present(t, e, version, "0000", ticket); code == 0 || next != "" {
						t.Fatalf("with a wrong PIN: exit %d, to %q", code, next)
					}
					before := len(w.Log.String())
					next, _ := present(t, e, version, pin, ticket) // a wrong PIN has cost nothing
					if !strings.HasPrefix(next, w.Issuer()+"/signin/") || !strings.Contains(next, "?code=") {
						t.Fatalf("the card host leads to %q", next)
					}
					if log := w.Log.String()[before:]; !strings.Contains(log, `"verdict":"all_good","tls":"`+version+`"`) || strings.Contains(log, pin) {
						t.Errorf("the log says %s", log)
					}
					if got := p.MustRedeem(p.Code(v.Open(next))).Claims(); got["sub"] != string(e.ID) || got["acr"] != acrCard {
						t.Errorf("signed in as %v with %v", got["sub"], got["acr"])
					}
					if next, _ := present(t, e, version, pin, ticket); next != w.Issuer()+"/signin/card/restart" {
						t.Errorf("the ticket once more leads to %q", next)
					}
				})
			}
		}
	}
	t.Run("curl without a card", func(t *testing.T) {
		v := w.Visitor()
		next, _ := tool(t, r, "", "curl", "-sS", "--cacert", servers, "-o", os.DevNull, "-w", "%{redirect_url}", v.ticket(v.Open(p.URL(nil))))
		if page := v.Open(next).MustStatus(http.StatusForbidden); page.Attr("card-failed", "data-verdict") != "no_certificate" {
			t.Errorf("without a card: %s", page)
		}
	})
}

// ticket presses the button that leads to the card host, and returns where that is.
func (v *Visitor) ticket(p *Page) string {
	v.W.T.Helper()
	former := v.Stop
	v.Stop = "https://"
	defer func() { v.Stop = former }()
	to := p.Must("card-start").Press("card-start").Next
	if !strings.Contains(to, ".card.localhost:") {
		v.W.T.Fatalf("the card's way leads to %q", to)
	}
	return to
}

// result goes to the card host with a card, and returns where that sends the browser.
func (v *Visitor) result(ticket string, c *cardtest.Card) string {
	v.W.T.Helper()
	v.Insert(c)
	former := v.Stop
	v.Stop = v.W.Issuer()
	defer func() { v.Stop = former }()
	return v.Open(ticket).Next
}
