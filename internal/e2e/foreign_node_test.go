package e2e

import (
	"bufio"
	"bytes"
	_ "embed"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/portti-id/portti/internal/ephemeral/ephemeraltest"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/openid"
)

//go:embed foreign/node/party.mjs
var nodeParty []byte

// modules is the folder with what foreign/node/package-lock.json names.
func modules(t *testing.T) string {
	t.Helper()
	folder := os.Getenv("PORTTI_TEST_NODE")
	if folder == "" {
		ephemeraltest.Missing(t, "PORTTI_TEST_NODE is not set: the folder with what internal/e2e/foreign/node/package-lock.json names")
	}
	return must(filepath.Abs(filepath.Join(folder, "node_modules")))(t)
}

// nodeSettings is what party.mjs is told.
type nodeSettings struct {
	Do        string            `json:"do"`
	Issuer    string            `json:"issuer"`
	ID        string            `json:"id"`
	Auth      openid.AuthMethod `json:"auth"`
	Secret    string            `json:"secret,omitempty"`
	Redirect  string            `json:"redirect"`
	Logout    string            `json:"logout,omitempty"`
	Scope     string            `json:"scope"`
	ACR       string            `json:"acr,omitempty"`
	Refreshes int               `json:"refreshes,omitempty"`

	// What it uses beyond the plain flow.
	Key        *jose.JSONWebKey  `json:"key,omitempty"`      // private
	Metadata   map[string]string `json:"metadata,omitempty"` // of the client, as registered
	PAR        bool              `json:"par,omitempty"`
	JAR        bool              `json:"jar,omitempty"`
	DPoP       bool              `json:"dpop,omitempty"`
	JARM       bool              `json:"jarm,omitempty"`
	Introspect bool              `json:"introspect,omitempty"`
	Revoke     string            `json:"revoke,omitempty"` // "access_token" or "refresh_token"
}

// nodeSeen is what party.mjs saw.
type nodeSeen struct {
	Address    string // of the authorization request
	Back       string // where the browser was sent with the answer
	Type       string
	Claims     map[string]any
	Userinfo   []map[string]any
	Rotated    []bool
	LoggedOut  string
	Afterwards struct{ Userinfo, Refresh string }
	Error      string

	Introspected map[string]any
	Revoked      string // what userinfo says to the token afterwards
	Scope        string
	Seconds      int
}

// asked is what to ask of party.mjs for a client.
func asked(p *Party, method openid.AuthMethod) nodeSettings {
	return nodeSettings{Do: "sign in", Issuer: p.W.Issuer(), ID: p.ID, Auth: method, Secret: p.Secret, Redirect: p.Redirect, Scope: "openid profile email"}
}

// webCrypto is what Node 18, Debian 12's, has to be told: there globalThis.crypto is
// still behind a flag.
func webCrypto(t *testing.T) []string {
	t.Helper()
	if out := string(must(exec.CommandContext(t.Context(), "node", "--version").Output())(t)); strings.HasPrefix(out, "v18.") {
		return []string{"--experimental-global-webcrypto"}
	}
	return nil
}

// node runs party.mjs. A browser goes where it asks, and returns where that ended.
func (w *World) node(t *testing.T, s nodeSettings, browse func(address string) (back string)) nodeSeen {
	t.Helper()
	folder := t.TempDir()
	if err := errors.Join(
		os.WriteFile(filepath.Join(folder, "party.mjs"), nodeParty, 0o600),
		os.WriteFile(filepath.Join(folder, "ca.pem"), w.authority(), 0o600),
		os.Symlink(modules(t), filepath.Join(folder, "node_modules"))); err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), "node", append(webCrypto(t), "party.mjs")...)
	c.Dir, c.Env = folder, append(os.Environ(), "NODE_EXTRA_CA_CERTS=ca.pem")
	var complaints bytes.Buffer
	c.Stderr = &complaints
	in, out := must(c.StdinPipe())(t), must(c.StdoutPipe())(t)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = in.Close()
		if err := c.Wait(); err != nil && !t.Failed() {
			t.Errorf("node: %v\n%s", err, complaints.String())
		}
	}()
	say := func(what any) {
		t.Helper()
		if _, err := in.Write(append(must(json.Marshal(what))(t), '\n')); err != nil {
			t.Fatalf("node does not listen: %v\n%s", err, complaints.String())
		}
	}
	say(s)
	for lines := bufio.NewReader(out); ; {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			t.Fatalf("node ended without a word\n%s", complaints.String())
		}
		var heard struct {
			Visit, Failed string
			Done          *nodeSeen
		}
		if err := errors.Join(err, json.Unmarshal(line, &heard)); err != nil {
			t.Fatalf("node says %q: %v", line, err)
		}
		switch {
		case heard.Done != nil:
			return *heard.Done
		case heard.Visit == "":
			t.Fatalf("openid-client: %s\n%s", heard.Failed, complaints.String())
		}
		say(browse(heard.Visit))
	}
}

// authority is the certificate, in PEM, that vouches for every https server here.
func (w *World) authority() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.PKI.Server.Cert.Raw})
}

// openid-client, from discovery to the end of the session: each way to
// authenticate, and the answers it must refuse.
func TestForeignOpenIDClient(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		molla := w.Settled("molla.molemmat", "kuntala", identity.MethodApp, identity.MethodCard)
		key, set := clientKey(t)
		for _, method := range append(ways, openid.AuthPrivateKeyJWT) {
			t.Run(string(method), func(t *testing.T) {
				p, v := w.Party("node-"+string(method), by(method, set)), w.Visitor()
				ask := asked(p, method)
				if method == openid.AuthPrivateKeyJWT {
					ask.Key = &key
				}
				ask.Refreshes, ask.Logout, ask.ACR = 2, w.Origin("other")+"/logout/callback", acrCard
				got := w.node(t, ask, func(address string) string {
					page := v.Open(address)
					if page.Has("card-start") {
						page = molla.SignInWithCard(page)
					}
					return page.URL.String()
				})
				if c := got.Claims; c["sub"] != string(molla.ID) || c["acr"] != acrCard || c["aud"] != p.ID || c["iss"] != w.Issuer() {
					t.Errorf("ID token %v", c)
				}
				if got.Type != "bearer" || len(got.Userinfo) != 3 || !slices.Equal(got.Rotated, []bool{true, true}) {
					t.Errorf("%+v", got)
				}
				for _, u := range got.Userinfo {
					if u["name"] != "Molla Molemmat" || u["email"] != molla.Email {
						t.Errorf("userinfo %v", u)
					}
				}
				if got.LoggedOut != ask.Logout+"?state=gone" {
					t.Errorf("logged out to %s", got.LoggedOut)
				}
				if a := got.Afterwards; a.Userinfo != "invalid_token" || a.Refresh != "invalid_grant" {
					t.Errorf("after the logout: %+v", a)
				}
			})
		}
		t.Run("a native app", func(t *testing.T) {
			p, v := w.Party("node-native", by(openid.AuthNone), func(c *openid.Client) {
				c.Native, c.RedirectURIs = true, []string{"http://127.0.0.1/callback"}
			}), w.Visitor()
			ask := asked(p, openid.AuthNone)
			ask.Redirect = "http://127.0.0.1:53682/callback" // the port that was free (RFC 8252 §7.3)
			v.Stop = ask.Redirect
			got := w.node(t, ask, func(address string) string { return molla.SignInWithCard(v.Open(address)).Next })
			if got.Claims["sub"] != string(molla.ID) {
				t.Errorf("%+v", got)
			}
		})
		p := w.Party("node-refused", by(openid.AuthBasic))
		t.Run("cancelled", func(t *testing.T) {
			ask, v := asked(p, openid.AuthBasic), w.Visitor()
			ask.Do = "be refused"
			got := w.node(t, ask, func(address string) string {
				return v.Open(address).Press("login-cancel").URL.String()
			})
			if got.Error != "access_denied" {
				t.Errorf("the library says %q", got.Error)
			}
		})
		t.Run("an answer of another provider", func(t *testing.T) {
			ask, v := asked(p, openid.AuthBasic), w.Visitor()
			ask.Do = "mix up"
			var back string
			got := w.node(t, ask, func(address string) string {
				back = molla.SignIn(v.Open(address)).URL.String()
				return back
			})
			if must(url.Parse(back))(t).Query().Get("iss") != w.Issuer() {
				t.Errorf("the answer %s does not say whose it is", back)
			}
			if !strings.HasPrefix(got.Error, "OAUTH_INVALID_RESPONSE") {
				t.Errorf("the library says %q", got.Error)
			}
		})
	})
}

// openid-client on a device without a browser (RFC 8628): it shows where to go, and
// asks until the person has said yes there.
func TestForeignOpenIDClientOnADevice(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		otto, v, p := w.Settled("otto.ohjelma", "tietoapu", identity.MethodApp), w.Visitor(), w.device("screen")
		ask := nodeSettings{Do: "sign in on a device", Issuer: w.Issuer(), ID: p.ID, Auth: openid.AuthNone, Scope: "openid profile"}
		got := w.node(t, ask, func(address string) string {
			page := otto.SignIn(v.Open(address).Must("device-submit").Press("device-submit")).Must("device-allow").Press("device-allow").Must("device-allowed")
			return page.URL.String()
		})
		if got.Claims["sub"] != string(otto.ID) || got.Claims["acr"] != acrCode {
			t.Errorf("%+v", got)
		}
	})
}
