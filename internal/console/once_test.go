package console

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/app/apptest"
	"github.com/portti-id/portti/pkg/portti"
)

// onlyOnce checks a page that shows a secret once: to load it again, by any method,
// makes nothing and shows nothing, and its address is not the secret.
func (k *kit) onlyOnce(page *apptest.Page, secret, back string) {
	k.T.Helper()
	page.Says(secret)
	if got := page.Header.Get("Cache-Control"); got != "no-store" {
		k.T.Errorf("%s: Cache-Control %q", page.At, got)
	}
	for _, at := range page.B.Visited {
		if strings.Contains(at, secret) {
			k.T.Errorf("%s is in the address %s", secret, at)
		}
	}
	made := len(k.api.Changes())
	again := page.B.Get(page.At).Want(http.StatusOK, page.At, "gone", "back").Silent(secret)
	if got := apptest.Attr(again.Element("back"), "href"); got != back {
		k.T.Errorf("the way back is %s, not %s", got, back)
	}
	if len(k.api.Changes()) != made {
		k.T.Errorf("loading the page again made %v", k.api.Changes()[made:])
	}
	if strings.Contains(k.Log.String(), secret) {
		k.T.Errorf("%s is in the log", secret)
	}
}

// Nobody else's browser sees it, to ask whether it is there takes nothing away, and
// the links to other languages lead to where it was made for.
func TestWhatIsShownOnce(t *testing.T) {
	k := newKit(t)
	k.api.Answer("GET /api/v1/people/u2", liisa)
	k.api.Answer("POST /api/v1/people/u2/first-password", portti.Issued{Person: liisa, Password: "wxyz-abcd-CANARY", Expires: time.Now()})
	b := k.Browser()
	b.Client.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if strings.Contains(r.URL.Path, "/once/") {
			return http.ErrUseLastResponse
		}
		return nil
	}
	at := b.Get("/people/u2/first-password").Submit("/people/u2/first-password").Header.Get("Location")
	if !strings.HasPrefix(at, "/people/u2/once/") {
		t.Fatalf("the form leads to %q", at)
	}
	other := k.Browser()
	other.Get("/")
	other.Get(at).Want(http.StatusOK, at, "gone").Silent("CANARY")
	if page := b.Do(k.Request("HEAD", at, nil)); page.Status != http.StatusOK || page.Body != "" {
		t.Errorf("HEAD: %d %q", page.Status, page.Body)
	}
	page := b.Get(at).Want(200, at, "issued", "password")
	for _, link := range page.Links() {
		if strings.Contains(link, "/once/") {
			t.Errorf("a link leads back to what is gone: %s", link)
		}
	}
	k.onlyOnce(page, "wxyz-abcd-CANARY", "/people/u2")
	for _, wrong := range []string{"/people/u2/once/x", "/clients/records/once/" + strings.Repeat("A", 43), "/people/u2/case/C1/once/x"} {
		b.Get(wrong).Want(http.StatusOK, wrong, "gone")
	}
	k.as(auditor)
	k.api.Refuse("GET /api/v1/staff", 403, "not_allowed")
	b.Get(at).Want(403, at, "no-role")
}
