package e2e

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	_ "embed"
	"encoding/pem"
	"errors"
	"html/template"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	texttemplate "text/template"

	"golang.org/x/net/html"

	"github.com/portti-id/portti/internal/ephemeral/ephemeraltest"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/keys"
)

//go:embed foreign/apache.conf
var apacheConf string

// Where Debian's packages apache2-bin and libapache2-mod-auth-openidc put things.
const (
	apacheProgram = "/usr/sbin/apache2"
	apacheModules = "/usr/lib/apache2/modules"
)

// apache is a web server with mod_auth_openidc in front of an application.
type apache struct {
	Origin string // https://apache.localhost:PORT

	// What apache.conf asks for.
	Folder, ModuleFolder, User, Port, Host, Issuer, ID, Secret, Passphrase, ACR, Application string
}

// behindApache is a page of the application: what Apache says of the person.
var behindApache = template.Must(template.New("").Parse(`<!doctype html>
<html lang="en"><title>Behind Apache</title>
<h1>{{.Page}}</h1>
<dl>{{range $name, $values := .Headers}}<dt>{{$name}}<dd id="{{$name}}">{{range $values}}{{.}}{{end}}{{end}}</dl>
<a id="logout" href="{{.Logout}}">Log out</a>
</html>`))

// apache starts Apache, to end with the test, as a client whose ID tokens are signed
// with an algorithm.
func (w *World) apache(t *testing.T, algorithm keys.Algorithm) *apache {
	t.Helper()
	for _, file := range []string{apacheProgram, apacheModules + "/mod_auth_openidc.so"} {
		if _, err := os.Stat(file); err != nil {
			ephemeraltest.Missing(t, "Apache with mod_auth_openidc is not installed; make test installs it")
		}
	}
	free := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	a := &apache{Folder: openFolder(t), ModuleFolder: apacheModules, Port: port(free), Issuer: w.Issuer(), ID: "apache", Passphrase: rand.Text(), ACR: acrCard}
	_ = free.Close()
	a.Host = "apache.localhost:" + a.Port
	a.Origin = "https://" + a.Host
	if os.Getuid() == 0 {
		a.User = "www-data" // Apache refuses to serve as root
	}

	c := w.client("apache", "The Apache")
	c.Algorithm, c.RedirectURIs, c.PostLogoutRedirectURIs, c.HomeURI = algorithm, []string{a.Origin + "/oidc"}, []string{a.Origin + "/bye"}, a.Origin+"/protected"
	c.BackChannelLogoutURI = a.Origin + "/oidc?logout=backchannel"
	w.Register(c)
	a.Secret = w.Secrets[c.ID]

	application := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		headers := http.Header{}
		for name, values := range r.Header {
			if strings.HasPrefix(name, "Oidc_") {
				headers[name] = values
			}
		}
		delete(headers, "Oidc_access_token")
		if err := behindApache.Execute(rw, map[string]any{"Page": r.URL.Path, "Headers": headers, "Logout": a.Origin + "/oidc?logout=" + url.QueryEscape(a.Origin+"/bye")}); err != nil {
			panic(err)
		}
	}))
	t.Cleanup(application.Close)
	a.Application = application.URL
	a.start(t, w)
	return a
}

// openFolder is a temporary folder that Apache's own user may read.
func openFolder(t *testing.T) string {
	t.Helper()
	folder := must(os.MkdirTemp("", "portti-apache-"))(t)
	t.Cleanup(func() {
		if err := os.RemoveAll(folder); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	return folder
}

func (a *apache) start(t *testing.T, w *World) {
	t.Helper()
	var conf bytes.Buffer
	certificate := must(w.PKI.ServerCertificate("apache.localhost"))(t)
	key := must(x509.MarshalPKCS8PrivateKey(certificate.PrivateKey))(t)
	write := func(name string, content []byte, mode os.FileMode) error {
		return os.WriteFile(filepath.Join(a.Folder, name), content, mode)
	}
	if err := errors.Join(
		texttemplate.Must(texttemplate.New("").Parse(apacheConf)).Execute(&conf, a),
		write("apache.conf", conf.Bytes(), 0o600),
		write("server.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]}), 0o600),
		write("server.key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), 0o600),
		write("ca.pem", w.authority(), 0o644),
	); err != nil {
		t.Fatal(err)
	}
	var complaints bytes.Buffer
	running := exec.Command(apacheProgram, "-DFOREGROUND", "-f", filepath.Join(a.Folder, "apache.conf"))
	running.Stdout, running.Stderr = &complaints, &complaints
	if err := running.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- running.Wait() }()
	t.Cleanup(func() {
		_ = running.Process.Signal(syscall.SIGTERM) // its children end with it
		<-ended
		if t.Failed() {
			said, _ := os.ReadFile(filepath.Join(a.Folder, "error.log"))
			t.Logf("Apache said:\n%s%s", complaints.String(), said)
		}
	})
	eventually(t, "Apache listens", func() bool {
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("Apache does not start: %v", err)
		default:
		}
		c, err := net.Dial("tcp", "127.0.0.1:"+a.Port)
		return err == nil && c.Close() == nil
	})
}

// info is what mod_auth_openidc tells of a session.
type info struct {
	Access   string         `json:"access_token"`
	Refresh  string         `json:"refresh_token"`
	IDToken  map[string]any `json:"id_token"`
	Userinfo map[string]any `json:"userinfo"`
}

// info asks with the browser's cookies.
func (a *apache) info(v *Visitor) info { return told[info](v.Open(a.Origin + "/oidc?info=json")) }

// onward goes where a page sends a browser by itself: Apache's authorization cannot
// redirect.
func onward(p *Page) *Page {
	p.v.W.T.Helper()
	n := p.find(func(n *html.Node) bool { return n.Data == "meta" && attr(n, "http-equiv") == "refresh" })
	if n == nil {
		p.v.W.T.Fatalf("%s leads nowhere", p)
	}
	_, to, _ := strings.Cut(attr(n, "content"), "url=")
	return p.v.Open(to)
}

// mod_auth_openidc keeps people out of an application that knows nothing of OpenID
// Connect, tells it who came, renews its tokens, asks for the card where a page
// demands it, and lets go of the session when it ends, here or elsewhere.
func TestForeignApache(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		molla, v := w.Settled("molla.molemmat", "kuntala", identity.MethodApp, identity.MethodCard), w.Visitor()
		a := w.apache(t, keys.RS256)
		page := molla.SignIn(v.Open(a.Origin + "/protected?id=7")).MustStatus(http.StatusOK)
		if page.URL.String() != a.Origin+"/protected?id=7" {
			t.Fatalf("signed in to %s", page)
		}
		for header, want := range map[string]string{"Oidc_claim_sub": string(molla.ID), "Oidc_claim_acr": acrCode, "Oidc_claim_name": "Molla Molemmat", "Oidc_claim_email": molla.Email} {
			if got := page.Text(header); got != want {
				t.Errorf("the application hears %s %q, not %q", header, got, want)
			}
		}

		first := a.info(v)
		if first.IDToken["iss"] != w.Issuer() || first.IDToken["nonce"] == nil || first.Userinfo["name"] != "Molla Molemmat" || first.Refresh == "" {
			t.Errorf("%+v", first)
		}
		back := a.Origin + "/protected?id=8"
		page = v.Open(a.Origin + "/oidc?" + url.Values{"refresh": {back}, "access_token": {first.Access}}.Encode())
		if page.URL.String() != back {
			t.Fatalf("a refresh leads to %s", page)
		}
		second := a.info(v)
		p := w.As(a.ID, a.Origin+"/oidc")
		if second.Access == first.Access || second.Refresh == first.Refresh || !p.alive(second.Access) {
			t.Error("the tokens are not new")
		}

		page = onward(v.Open(a.Origin + "/card?id=9")).Must("card-start") // signed in, but not well enough
		page = molla.SignInWithCard(page)
		if page.URL.String() != a.Origin+"/card?id=9" || page.Text("Oidc_claim_acr") != acrCard || page.Text("Oidc_claim_sub") != string(molla.ID) {
			t.Fatalf("with the card: acr %q on %s", page.Text("Oidc_claim_acr"), page)
		}
		v.Insert(nil)

		third := a.info(v)
		page = page.Follow("logout").MustStatus(http.StatusOK)
		if page.URL.String() != a.Origin+"/bye" {
			t.Errorf("logged out to %s", page)
		}
		v.Open(a.Origin + "/protected").Must("login-submit")
		if p.alive(third.Access) {
			t.Error("the access token lives on after the logout")
		}

		// Logging out of another application: the notice comes to Apache.
		molla.SignInWithCard(v.Open(w.Origin("service") + "/records/1")).Must("acr")
		v.Insert(nil)
		v.Open(a.Origin + "/protected").Must("Oidc_claim_sub")
		v.Open(w.Origin("service") + "/records/1").Press("logout").Must("signed-out")
		eventually(t, "Apache has heard of the logout", func() bool { return v.Open(a.Origin + "/protected").Has("login-submit") })
	})
}

// The same in a real browser: its cookies, its redirects, and a card.
func TestForeignApacheInABrowser(t *testing.T) {
	t.Parallel()
	w := NewWorld(t, Options{Pair: SQLiteMemory})
	molla := w.Settled("molla.molemmat", "kuntala", identity.MethodApp, identity.MethodCard)
	a, b := w.apache(t, keys.ES256), w.chromium(t, "sv")
	s := w.screen(t, b, "sv")
	hears := func(where, acr string) {
		t.Helper()
		s.WaitURL(a.Origin + where)
		if sub, level := s.Text("#Oidc_claim_sub"), s.Text("#Oidc_claim_acr"); sub != string(molla.ID) || level != acr {
			t.Errorf("the application hears of %q with %q", sub, level)
		}
	}

	s.Open(a.Origin + "/protected?id=7")
	s.login(molla.Username, molla.Password)
	s.typeCode(molla.Code())
	hears("/protected?id=7", acrCode)
	s.Screenshot("behind Apache, password and code")

	insert(t, b, molla.Card)
	s.Open(a.Origin + "/card?id=9")
	s.Click("#card-start")
	hears("/card?id=9", acrCard)
	s.Screenshot("behind Apache, card")

	s.Click("#logout")
	s.WaitURL(a.Origin + "/bye")
	s.Open(a.Origin + "/protected")
	s.WaitFor("#login-submit")
}
