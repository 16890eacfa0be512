package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/card/crl"
	"github.com/portti-id/portti/internal/cardtest"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/mail"
	"github.com/portti-id/portti/internal/store"
	"github.com/portti-id/portti/pkg/portti"
)

// fetch calls an operation and reads its answer; it returns the status and the code.
func (h *house) fetch(as, method, path string, into any) (int, string) {
	h.t.Helper()
	r := httptest.NewRequestWithContext(h.t.Context(), method, path, nil)
	r.Header.Set("Authorization", "Bearer west/"+as)
	w := httptest.NewRecorder()
	h.handler.ServeHTTP(w, r)
	body := w.Body.Bytes()
	var problem struct{ Code string }
	if w.Code >= 400 {
		h.must(json.Unmarshal(body, &problem))
	} else if into != nil {
		h.must(json.Unmarshal(body, into))
	}
	return w.Code, problem.Code
}

func (h *house) recorded(types ...audit.Type) []audit.Event {
	h.t.Helper()
	events, err := h.db.AuditEvents(h.t.Context(), store.Trail{Types: types})
	h.must(err)
	return events
}

func TestLettersThatWereGivenUp(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	waiting, err := h.db.LetterCounts(ctx)
	h.must(err)
	h.must(h.db.Change(ctx, func(tx identity.Tx) error {
		for i := range 60 {
			l := mail.Letter{ID: string(rune('A'+i/26)) + string(rune('A'+i%26)), To: "aino@example.org", Template: mail.Welcome, Organisation: "west", Args: map[string]string{"password": "canary"}}
			if err := tx.Send(l); err != nil {
				return err
			}
		}
		return tx.Send(mail.Letter{ID: "over", To: "aino@example.org", Expires: time.Now().Add(-time.Minute)})
	}))
	leased, err := h.db.LeaseLetters(ctx, 1000, time.Now().Add(time.Second), 0)
	h.must(err)
	for _, l := range leased {
		if len(l.ID) == 2 || l.ID == "over" {
			h.must(h.db.LetterFailed(ctx, l.ID, "mail server: it answered 550", time.Time{}))
		}
	}
	var page portti.Letters
	if status, _ := h.fetch("auditor", "GET", "/api/v1/letters", &page); status != http.StatusOK || len(page.Letters) != 50 || page.Dead != 61 || page.Waiting != waiting.Waiting || page.Next == "" {
		t.Fatalf("%d: %d letters, %+v", status, len(page.Letters), page)
	}
	var rest portti.Letters
	if h.fetch("auditor", "GET", "/api/v1/letters?state=dead&after="+page.Next, &rest); len(rest.Letters) != 11 || rest.Next != "" {
		t.Errorf("%d letters on the second page", len(rest.Letters))
	}
	if raw, _ := json.Marshal(page); strings.Contains(string(raw), "canary") || strings.Contains(string(raw), "aino") || !strings.Contains(string(raw), "a…@example.org") {
		t.Errorf("it tells too much, or too little: %.300s", raw)
	}
	for _, q := range []string{"state=lost", "after=x", "state=dead&state=waiting", "dead=true"} {
		if status, code := h.fetch("operator", "GET", "/api/v1/letters?"+q, nil); status != http.StatusBadRequest && status != http.StatusUnprocessableEntity || code != "query_invalid" {
			t.Errorf("%s: %d %s", q, status, code)
		}
	}
	for _, c := range []struct {
		as, path, code string
	}{
		{"auditor", "/api/v1/letters/AA/retry", "not_allowed"},
		{"auditor", "/api/v1/letters/AA/discard", "not_allowed"},
		{"auditor", "/api/v1/letters/retry", "not_allowed"},
		{"operator", "/api/v1/letters/AA/retry", ""},
		{"operator", "/api/v1/letters/AA/discard", "letter_waits"},
		{"operator", "/api/v1/letters/AB/discard", ""},
		{"operator", "/api/v1/letters/AB/discard", "letter_not_found"},
		{"operator", "/api/v1/letters/AB/retry", "letter_not_found"},
		{"operator", "/api/v1/letters/over/retry", "letter_expired"},
	} {
		if _, code := h.fetch(c.as, "POST", c.path, nil); code != c.code {
			t.Errorf("%s by %s: %q, want %q", c.path, c.as, code, c.code)
		}
	}
	var n portti.RetriedLetters
	if h.fetch("operator", "POST", "/api/v1/letters/retry", &n); n.Retried != 58 {
		t.Errorf("%d were retried", n.Retried)
	}
	events := h.recorded(audit.LetterRetried, audit.LetterDiscarded)
	if len(events) != 3 || events[0].Details["letters"] != "58" || events[1].Type != audit.LetterDiscarded || events[2].Organisation != "west" {
		t.Errorf("%+v", events)
	}
	for _, e := range events {
		if e.Actor != "user:"+string(h.people["west/operator"]) || e.Address != "192.0.2.1" {
			t.Errorf("%+v", e)
		}
	}
}

func TestSigningKeysAreRotatedByOperators(t *testing.T) {
	h := newHouse(t)
	var all portti.SigningKeys
	if status, _ := h.fetch("auditor", "GET", "/api/v1/keys", &all); status != http.StatusOK || len(all.Kinds) != 1 || len(all.Kinds[0].Keys) != 1 || all.Kinds[0].Keys[0].State != "current" || all.Kinds[0].Prepares.IsZero() || !all.Kinds[0].Scheduled {
		t.Fatalf("%d %+v", status, all)
	}
	if _, code := h.fetch("auditor", "POST", "/api/v1/keys/P-256/prepare", nil); code != "not_allowed" {
		t.Errorf("by an auditor: %q", code)
	}
	var kind portti.KeyKind
	if status, code := h.fetch("operator", "POST", "/api/v1/keys/P-256/prepare", &kind); status != http.StatusOK || len(kind.Keys) != 2 || kind.Keys[1].State != "next" || !kind.Ready.After(time.Now().Add(23*time.Hour)) || !kind.Prepares.IsZero() || kind.Promotes.Before(kind.Ready) {
		t.Errorf("%d %s %+v", status, code, kind)
	}
	for path, want := range map[string]string{"P-256/promote": "key_too_new", "RSA-2048/prepare": "key_kind_unknown", "none/retire": "key_kind_unknown"} {
		if _, code := h.fetch("operator", "POST", "/api/v1/keys/"+path, nil); code != want {
			t.Errorf("%s: %q, want %q", path, code, want)
		}
	}
	if status, _ := h.fetch("operator", "POST", "/api/v1/keys/P-256/retire", &kind); status != http.StatusOK || kind.Droppable {
		t.Errorf("%d %+v", status, kind)
	}
	// The trail says who: the provider made the first key, a person the next one.
	events := h.recorded(audit.KeyCreated)
	if len(events) != 2 || events[0].Actor != "user:"+string(h.people["west/operator"]) || events[1].Actor != "system" {
		t.Errorf("%+v", events)
	}
	if raw, _ := json.Marshal(all); strings.Contains(strings.ToLower(string(raw)), "sealed") || strings.Contains(string(raw), "private") {
		t.Errorf("%s", raw)
	}
}

func TestWhoseCardsAreAccepted(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	var got portti.Trust
	if status, _ := h.fetch("auditor", "GET", "/api/v1/trust", &got); status != http.StatusOK || got.Cards || len(got.Authorities) != 0 {
		t.Errorf("without cards: %d %+v", status, got)
	}
	now := time.Now()
	pki, err := cardtest.New(now)
	h.must(err)
	trust := pki.TestTrust(t)
	issuing := trust.Sources()[1]
	h.CardTrust.Trust = func() *card.Trust { return trust }
	_, unread := card.NewTrust(card.TrustConfig{Folder: t.TempDir(), Roots: []card.Authority{{File: "x.pem"}}, Issuers: []card.Issuer{{}}}, now)
	h.CardTrust.State = func() card.BundleState {
		return card.BundleState{Loaded: now, Fingerprint: "abc", Problem: unread, Since: now}
	}
	h.CardTrust.Lists = func(context.Context) ([]crl.Shelved, error) {
		return []crl.Shelved{{CA: crl.AuthorityOf(issuing.CA), Name: "a", ThisUpdate: now.Add(-time.Hour), NextUpdate: now.Add(-time.Minute), Entries: 7}, {CA: "elsewhere", Name: "stray", NextUpdate: now.Add(time.Hour)}}, nil
	}
	if status, _ := h.fetch("operator", "GET", "/api/v1/trust", &got); status != http.StatusOK || !got.Cards || got.Fingerprint != "abc" || len(got.Defects) < 2 || got.Defects[0].Fault != "unreadable" || got.Defects[0].File != "x.pem" || len(got.Authorities) != len(trust.Sources()) {
		t.Fatalf("%d %+v", status, got)
	}
	root, ca := got.Authorities[0], got.Authorities[1]
	if root.Kind != "root" || len(root.SHA256) != 64 || root.Key == "" || root.Name == "" || root.NotAfter.IsZero() || len(root.Lists) != 0 {
		t.Errorf("%+v", root)
	}
	if ca.Kind != string(issuing.Kind) && issuing.Kind != "" || len(ca.Lists) != 1 || !ca.Lists[0].Stale || ca.Lists[0].Entries != 7 {
		t.Errorf("%+v", ca)
	}
	if len(got.Strays) != 1 || got.Strays[0].Stale || got.Strays[0].CA != "stray" {
		t.Errorf("%+v", got.Strays)
	}

	h.must(h.db.MetStranger(ctx, card.Stranger{ID: "st1", Issuer: "CN=Elsewhere CA"}, now))
	var met portti.UnknownIssuers
	if h.fetch("auditor", "GET", "/api/v1/trust/strangers", &met); len(met.Issuers) != 1 || met.Issuers[0].Issuer != "CN=Elsewhere CA" || met.Issuers[0].Seen != 1 {
		t.Fatalf("%+v", met)
	}
	for _, c := range []struct{ as, code string }{{"auditor", "not_allowed"}, {"operator", ""}, {"operator", "unknown_issuer_not_found"}} {
		if _, code := h.fetch(c.as, "POST", "/api/v1/trust/strangers/st1/forget", nil); code != c.code {
			t.Errorf("by %s: %q, want %q", c.as, code, c.code)
		}
	}
	if e := h.recorded(audit.CardIssuerForgotten); len(e) != 1 || e[0].Details["issuer"] != "CN=Elsewhere CA" || !strings.HasPrefix(e[0].Actor, "user:") {
		t.Errorf("%+v", e)
	}
}
