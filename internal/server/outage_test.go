package server_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/portti-id/portti/internal/openid"
)

// TestOutageInTheMiddleOfASignIn: while a backend is away people get a page in
// their language that says so, probes and clients are told as well, and when it
// is back the same sign-in goes on where it was.
func TestOutageInTheMiddleOfASignIn(t *testing.T) {
	each(t, func(t *testing.T, b *backends) {
		r := start(t, b)
		page := r.signInPage()
		form := url.Values{"csrf": {r.csrf(page.answer)}, "username": {"aino.alku"}, "password": {r.password}}

		b.database.cut(true)
		r.ready(http.StatusServiceUnavailable, `{"database":false,"ephemeral":true}`)
		r.alive()
		r.isOutagePage(r.do(http.MethodPost, page.path+"/password", form))
		token := r.do(http.MethodPost, openid.TokenPath, url.Values{"grant_type": {"authorization_code"}, "code": {strings.Repeat("x", 43)},
			"redirect_uri": {"https://service.example/callback"}})
		if token.status != http.StatusServiceUnavailable || token.header.Get("Retry-After") == "" || !strings.Contains(token.body, "temporarily_unavailable") {
			t.Errorf("token endpoint: %d %v %s", token.status, token.header, token.body)
		}

		b.database.cut(false)
		r.ready(http.StatusOK, `{"database":true,"ephemeral":true}`)
		if a := r.do(http.MethodPost, page.path+"/password", form); a.status != http.StatusSeeOther {
			t.Fatalf("the password after the outage: %d %s", a.status, a.body)
		}
		const changePage = `id="change-submit"` // S15: it was right
		if a := r.get(page.path); !strings.Contains(a.body, changePage) {
			t.Fatalf("the page after the password: %d %s", a.status, a.body)
		}

		b.shortLived.cut(true)
		r.ready(http.StatusServiceUnavailable, `{"database":true,"ephemeral":false}`)
		r.alive()
		r.isOutagePage(r.get(page.path))

		b.shortLived.cut(false)
		r.ready(http.StatusOK, `{"database":true,"ephemeral":true}`)
		if a := r.get(page.path); !strings.Contains(a.body, changePage) {
			t.Errorf("the sign-in did not outlive the outage: %d %s", a.status, a.body)
		}
		if log := r.logs.String(); strings.Contains(log, r.password) || strings.Contains(log, r.secret) {
			t.Error("a secret stands in the log")
		}
	})
}

// TestOutageAtTheAuthorizationEndpoint: a client that cannot be looked up is not
// taken for an unknown one.
func TestOutageAtTheAuthorizationEndpoint(t *testing.T) {
	b := embedded(t)
	r := start(t, b)
	b.database.cut(true)
	if a := r.get(authorize); a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
		t.Errorf("authorize: %d %v", a.status, a.header)
	}
	b.database.cut(false)
	if a := r.get(authorize); a.status != http.StatusSeeOther {
		t.Errorf("authorize after the outage: %d", a.status)
	}
}

const authorize = openid.AuthorizePath + "?client_id=service&response_type=code&scope=openid&state=s&nonce=n&redirect_uri=https%3A%2F%2Fservice.example%2Fcallback"

type signInPage struct {
	answer
	path string
}

// signInPage goes to the first page of a sign-in.
func (r *replica) signInPage() signInPage {
	r.t.Helper()
	sent := r.get(authorize)
	to, err := url.Parse(sent.header.Get("Location"))
	if err != nil || sent.status != http.StatusSeeOther || !strings.HasPrefix(to.Path, "/signin/") {
		r.t.Fatalf("authorize: %d to %q: %s", sent.status, sent.header.Get("Location"), sent.body)
	}
	page := r.get(to.Path)
	if page.status != http.StatusOK {
		r.t.Fatalf("sign-in page: %d %s", page.status, page.body)
	}
	return signInPage{page, to.Path}
}

// ready waits for what /readyz is to say. It must tell nothing else.
func (r *replica) ready(status int, body string) {
	r.t.Helper()
	eventually(r.t, func() bool {
		a := r.get("/readyz")
		return a.status == status && strings.TrimSpace(a.body) == body && a.header.Get("Cache-Control") == "no-store"
	})
}

func (r *replica) alive() {
	r.t.Helper()
	if a := r.get("/healthz"); a.status != http.StatusOK {
		r.t.Errorf("healthz: %d; whoever restarts the process for that makes the outage longer", a.status)
	}
}

func (r *replica) isOutagePage(a answer) {
	r.t.Helper()
	switch {
	case a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "":
		r.t.Errorf("during an outage: %d, Retry-After %q", a.status, a.header.Get("Retry-After"))
	case a.header.Get("Content-Language") != "sv" || !strings.Contains(a.body, "<h1"):
		r.t.Errorf("during an outage: not a page in the reader's language: %v %s", a.header, a.body)
	}
	for _, inside := range []string{"dial", "tcp", "127.0.0.1:", "secret-host", "sql", "redis"} {
		if strings.Contains(strings.ReplaceAll(a.body, r.url, ""), inside) {
			r.t.Errorf("the page tells of the inside: %q", inside)
		}
	}
}
