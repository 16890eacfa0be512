package cardlab_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/cardlab"
	"github.com/portti-id/portti/internal/cardtest"
)

// serve serves a lab, which is told its own address.
func serve(t *testing.T, make func(base string) (*cardlab.Lab, error), anywhere bool) (*cardlab.Lab, string) {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	base := "http://" + server.Listener.Addr().String()
	lab, err := make(base)
	if err != nil {
		server.Close()
		t.Fatal(err)
	}
	server.Config.Handler = cardlab.NewSite(lab, "/var/lib/lab/trust", anywhere)
	server.Start()
	t.Cleanup(server.Close)
	return lab, base
}

// small is a lab without a folder.
func small(t *testing.T, anywhere bool) (*cardlab.Lab, string) {
	t.Helper()
	return serve(t, func(base string) (*cardlab.Lab, error) {
		p, err := cardtest.NewAt(base+cardlab.Prefix, time.Now())
		if err != nil {
			return nil, err
		}
		return cardlab.New(p, time.Now, nil)
	}, anywhere)
}

func send(t *testing.T, method, address string, form url.Values, header ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
		r.Header.Set(header[i], header[i+1])
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(body)
}

func TestPagesOfTheLab(t *testing.T) {
	lab, base := small(t, false)
	answer, body := send(t, "GET", base+"/", nil)
	if answer.StatusCode != http.StatusOK || strings.Contains(body, "ZgotmplZ") || !strings.Contains(answer.Header.Get("Content-Security-Policy"), "frame-ancestors 'none'") {
		t.Errorf("status %d", answer.StatusCode)
	}
	for _, part := range append([]string{"/var/lib/lab/trust", cardlab.Password, "no card", `action="/services/remote"`}, names()...) {
		if !strings.Contains(body, part) {
			t.Errorf("%q is not on the page", part)
		}
	}
	if answer, _ := send(t, "GET", base+"/lab.css", nil); answer.StatusCode != http.StatusOK || !strings.HasPrefix(answer.Header.Get("Content-Type"), "text/css") {
		t.Error("no style")
	}

	for _, name := range names() {
		for _, path := range []string{name + ".p12", name + ".p12?format=legacy", name + ".pem"} {
			answer, body := send(t, "GET", base+"/cards/"+path, nil)
			if answer.StatusCode != http.StatusOK || !strings.Contains(answer.Header.Get("Content-Disposition"), "attachment") {
				t.Errorf("%s: status %d", path, answer.StatusCode)
			}
			want := certificates(lab, name)[0]
			if strings.HasSuffix(path, ".pem") {
				pair, err := tls.X509KeyPair([]byte(body), []byte(body))
				if err != nil || !bytes.Equal(pair.Certificate[0], want.Raw) {
					t.Errorf("%s: %v", path, err)
				}
			} else if _, cert, _, err := pkcs12.DecodeChain([]byte(body), cardlab.Password); err != nil || !cert.Equal(want) {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
	for _, path := range []string{"/cards/nobody.p12", "/cards/lab-actor", "/cards/lab-actor.key", "/cards/ca-root.pem", "/cards/..%2fpki%2fca-root.pem", "/cards/", "/pki", "/pki/", "/nothing"} {
		if answer, _ := send(t, "GET", base+path, nil); answer.StatusCode != http.StatusNotFound {
			t.Errorf("%s: status %d", path, answer.StatusCode)
		}
	}
}

func names() []string {
	var list []string
	for _, e := range cardlab.Exhibits() {
		if e.Name != "" {
			list = append(list, e.Name)
		}
	}
	return list
}

func TestSwitchesOnThePage(t *testing.T) {
	lab, base := small(t, false)
	answer, _ := send(t, "POST", base+"/cards/lab-health", url.Values{"do": {"hold"}}, "Sec-Fetch-Site", "same-origin")
	if answer.StatusCode != http.StatusSeeOther || answer.Header.Get("Location") != "/#lab-health" || lab.PKI.State(lab.PKI.Card("lab-health")) != "on hold" {
		t.Errorf("hold: status %d", answer.StatusCode)
	}
	answer, _ = send(t, "POST", base+"/services/health", url.Values{"ocsp": {"down"}, "crl": {"stale"}})
	if s := source(lab, "health"); answer.StatusCode != http.StatusSeeOther || s.OCSP != cardtest.Down || s.CRL != cardtest.Stale {
		t.Errorf("down: status %d, %+v", answer.StatusCode, s)
	}
	if _, body := send(t, "GET", base+"/", nil); strings.Count(body, "<option selected>") != 4 { // with the remote CA's
		t.Errorf("%d faults are selected", strings.Count(body, "<option selected>"))
	}
	for path, want := range map[string]int{"/cards/nobody": http.StatusNotFound, "/services/nobody": http.StatusNotFound, "/cards/lab-health": http.StatusConflict} {
		if answer, _ := send(t, "POST", base+path, nil); answer.StatusCode != want {
			t.Errorf("%s: status %d, want %d", path, answer.StatusCode, want)
		}
	}
	// Of those who press the same switch at once one succeeds.
	pressed := make(chan error, 20)
	for range cap(pressed) {
		go func() { pressed <- lab.Do("lab-actor", cardlab.Hold) }()
	}
	succeeded := 0
	for range cap(pressed) {
		if <-pressed == nil {
			succeeded++
		}
	}
	if row, _ := lab.Row("lab-actor"); succeeded != 1 || row.Expected != card.Suspended {
		t.Errorf("%d have succeeded: %+v", succeeded, row)
	}
	if answer, _ := send(t, "GET", base+"/services/health?ocsp=huge", nil); answer.StatusCode != http.StatusMethodNotAllowed && answer.StatusCode != http.StatusNotFound {
		t.Errorf("a GET: status %d", answer.StatusCode)
	}
}

func source(lab *cardlab.Lab, name string) cardlab.Source {
	for _, s := range lab.Sources() {
		if s.Name == name {
			return s
		}
	}
	return cardlab.Source{}
}

// Only this machine's browser presses switches, and only on the lab's own page.
func TestOthersPressNoSwitch(t *testing.T) {
	lab, narrow := small(t, false)
	_, wide := serve(t, func(string) (*cardlab.Lab, error) { return lab, nil }, true)
	before := lab.Rows()
	for anywhere, base := range map[bool]string{false: narrow, true: wide} {
		for name, header := range map[string][]string{
			"another site":         {"Sec-Fetch-Site", "cross-site"},
			"another port":         {"Sec-Fetch-Site", "same-site"},
			"an old browser":       {"Origin", "http://evil.example"},
			"a name that leads us": {"Host", "evil.example", "Sec-Fetch-Site", "same-origin"},
			"an address of a net":  {"Host", "192.0.2.1:8880", "Sec-Fetch-Site", "same-origin"},
		} {
			for _, path := range []string{"/cards/lab-health", "/services/health"} {
				answer, _ := send(t, "POST", base+path, url.Values{"do": {"revoke"}, "ocsp": {"down"}}, header...)
				if answer.StatusCode != http.StatusForbidden && answer.StatusCode != http.StatusMisdirectedRequest {
					t.Errorf("%s, %s: status %d", name, path, answer.StatusCode)
				}
			}
		}
		// From another machine, whatever it claims.
		for _, from := range []string{"192.0.2.7:1234", "[2001:db8::1]:1234", ""} {
			r := httptest.NewRequest("POST", "http://127.0.0.1/cards/lab-health", strings.NewReader("do=revoke"))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("X-Forwarded-For", "127.0.0.1")
			r.RemoteAddr = from
			w := httptest.NewRecorder()
			cardlab.NewSite(lab, "", anywhere).ServeHTTP(w, r)
			if w.Code != http.StatusForbidden {
				t.Errorf("from %q: status %d", from, w.Code)
			}
		}
		for i, r := range lab.Rows() {
			if r.State != before[i].State || r.Expected != before[i].Expected {
				t.Errorf("%s was changed", r.Name)
			}
		}

		// Pages under other names are for those who asked for it; OCSP and lists are for all.
		want := map[bool]int{false: http.StatusMisdirectedRequest, true: http.StatusOK}[anywhere]
		if answer, _ := send(t, "GET", base+"/", nil, "Host", "lab.example.fi"); answer.StatusCode != want {
			t.Errorf("another name: status %d, want %d", answer.StatusCode, want)
		}
		for _, name := range []string{"localhost:1", "127.0.0.1", "[::1]:8880", "lab.localhost"} {
			if answer, _ := send(t, "GET", base+"/", nil, "Host", name); answer.StatusCode != http.StatusOK {
				t.Errorf("%s: status %d", name, answer.StatusCode)
			}
		}
		if answer, _ := send(t, "GET", base+"/pki/crl/root.crl", nil, "Host", "lab.example.fi"); answer.StatusCode != http.StatusOK {
			t.Errorf("a list: status %d", answer.StatusCode)
		}
	}
}
