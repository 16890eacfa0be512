package console

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/pkg/portti"
)

func someLetters() portti.Letters {
	at := time.Now()
	return portti.Letters{Waiting: 3, Dead: 2, Oldest: at, Next: "c1", Letters: []portti.Letter{{ID: "L1", Channel: "mail", Template: "welcome", Organisation: "kuntala", Recipient: "a…@example.fi", Created: at, Due: at, Dead: at, Attempts: 12, Reason: "mail server: it answered 550"}}}
}

func TestOperatorsDecideOnLetters(t *testing.T) {
	k := newKit(t)
	k.api.Answer("GET /api/v1/letters", someLetters())
	k.api.Answer("POST /api/v1/letters/L1/retry", nil)
	k.api.Answer("POST /api/v1/letters/retry", portti.RetriedLetters{Retried: 2})
	k.api.Answer("POST /api/v1/letters/L1/discard", nil)
	b := k.Browser()
	page := b.Get("/letters").Want(http.StatusOK, "/letters", "letters", "views", "oldest", "retry-all").Says("a…@example.fi", "kuntala", "550")
	b.Post("/letters", url.Values{"do": {"retry"}, "letter": {"L1"}, "csrf": {page.CSRF()}}).Want(http.StatusOK, "/letters?state=waiting&done=retried", "letters").Says("tried again")
	b.Post("/letters", url.Values{"do": {"all"}, "csrf": {page.CSRF()}}).Want(http.StatusOK, "/letters?state=waiting&done=retried", "letters").Says("tried again")
	page = b.Get("/letters/discard?letter=L1").Want(http.StatusOK, "/letters/discard?letter=L1", "discard-submit")
	if n := strings.Join(k.api.Changes(), " "); strings.Contains(n, "discard") {
		t.Errorf("to look is not to do: %s", n)
	}
	b.Post("/letters/discard", url.Values{"letter": {"L1"}, "csrf": {page.CSRF()}}).Want(http.StatusOK, "/letters?done=discarded", "letters").Says("deleted")
	if got := k.api.Changes(); len(got) != 3 {
		t.Errorf("%v", got)
	}
	k.api.Refuse("POST /api/v1/letters/L1/retry", http.StatusGone, "letter_expired")
	b.Post("/letters", url.Values{"do": {"retry"}, "letter": {"L1"}, "csrf": {page.CSRF()}}).Silent("RAW WORDS")
}

// Auditors see all of it, and have nothing to press.
func TestAuditorsOnlyLook(t *testing.T) {
	k := newKit(t)
	at := time.Now()
	k.as(auditor)
	k.api.Answer("GET /api/v1/letters", someLetters())
	k.api.Answer("GET /api/v1/trust", portti.Trust{Cards: true, Authorities: []portti.Authority{{Name: "Root CA", Kind: "root", NotAfter: at}}})
	k.api.Answer("GET /api/v1/trust/strangers", portti.UnknownIssuers{Issuers: []portti.UnknownIssuer{{ID: "s1", Issuer: "CN=Elsewhere", Seen: 3, First: at, Last: at}}})
	k.api.Answer("GET /api/v1/keys", portti.SigningKeys{Kinds: []portti.KeyKind{{Kind: "P-256", Droppable: true, Keys: []portti.SigningKey{{ID: "kid", State: "current", Since: at}}}}})
	b := k.Browser()
	b.Get("/letters").Want(http.StatusOK, "/letters", "letters", "views").Without("retry-all")
	b.Get("/trust").Want(http.StatusOK, "/trust", "authorities", "strangers").Says("Root CA", "CN=Elsewhere")
	page := b.Get("/keys").Want(http.StatusOK, "/keys", "keys", "kind-P-256").Says("kid")
	for _, link := range page.Links() {
		if strings.HasPrefix(link, "/keys/change") || strings.HasPrefix(link, "/letters/discard") {
			t.Errorf("an auditor is led to %s", link)
		}
	}
	for _, path := range []string{"/keys/change?kind=P-256&do=promote", "/letters/discard?letter=L1"} {
		b.Get(path).Want(http.StatusForbidden, path).Without("change-submit", "discard-submit")
	}
	if got := k.api.Changes(); len(got) != 0 {
		t.Errorf("%v", got)
	}
}

func TestKeysAndTrustAreChanged(t *testing.T) {
	k := newKit(t)
	at := time.Now()
	k.api.Answer("GET /api/v1/trust", portti.Trust{})
	k.api.Answer("GET /api/v1/trust/strangers", portti.UnknownIssuers{Issuers: []portti.UnknownIssuer{{ID: "s1", Issuer: "CN=Elsewhere", Seen: 3, First: at, Last: at}}})
	k.api.Answer("POST /api/v1/trust/strangers/s1/forget", nil)
	k.api.Answer("GET /api/v1/keys", portti.SigningKeys{Kinds: []portti.KeyKind{{Kind: "P-256", Ready: at.Add(-time.Hour), Keys: []portti.SigningKey{{ID: "kid", State: "next", Since: at}}}}})
	k.api.Answer("POST /api/v1/keys/P-256/promote", portti.KeyKind{Kind: "P-256"})
	b := k.Browser()
	page := b.Get("/trust").Want(http.StatusOK, "/trust", "no-cards", "strangers")
	b.Post("/trust", url.Values{"issuer": {"s1"}, "csrf": {page.CSRF()}}).Want(http.StatusOK, "/trust?done=forgotten", "trust").Says("removed from the list")
	b.Get("/keys").Want(http.StatusOK, "/keys", "kind-P-256")
	page = b.Get("/keys/change?kind=P-256&do=promote").Want(http.StatusOK, "/keys/change?kind=P-256&do=promote", "change-submit")
	b.Post("/keys/change", url.Values{"kind": {"P-256"}, "do": {"promote"}, "csrf": {page.CSRF()}}).Want(http.StatusOK, "/keys?done=promote", "keys").Says("signs now")
	if got := k.api.Changes(); len(got) != 2 {
		t.Errorf("%v", got)
	}
	b.Get("/keys/change?kind=P-256&do=replace").Want(http.StatusNotFound, "/keys/change?kind=P-256&do=replace")
	k.api.Refuse("POST /api/v1/keys/P-256/promote", http.StatusConflict, "key_too_new")
	b.Post("/keys/change", url.Values{"kind": {"P-256"}, "do": {"promote"}, "csrf": {page.CSRF()}}).Silent("RAW WORDS")
}

// Why the folder is not in force is said in the reader's language, with the provider's
// own words beside; what a newer provider knows is in its words alone.
func TestATrustFolderThatIsNotInOrder(t *testing.T) {
	k := newKit(t)
	at := time.Now()
	k.api.Answer("GET /api/v1/trust", portti.Trust{Cards: true, Since: at, Defects: []portti.TrustDefect{
		{Fault: "expired", File: "old.crt", Date: at, Text: "issuers[0] (file old.crt): expired"}, {Fault: "newer", Text: "issuers[1]: something new"}}})
	k.api.Answer("GET /api/v1/trust/strangers", portti.UnknownIssuers{})
	b := k.Browser()
	b.Get("/trust").Want(http.StatusOK, "/trust", "defects").Says("old.crt: the certificate expired on", "issuers[0]", "something new")
	b.Get("/trust?lang=fi").Want(http.StatusOK, "*", "defects").Says("old.crt: varmenne on vanhentunut", "something new")
	k.api.Answer("GET /api/v1/trust", portti.Trust{Cards: true})
	b.Get("/trust").Want(http.StatusOK, "*", "trust").Without("defects")
}
