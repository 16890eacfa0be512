package server_test

import (
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/card/revocation"
	"github.com/portti-id/portti/internal/cardtest"
)

// Monitoring learns how fresh the lists are, what responders say and what becomes
// of cards, and nothing about people.
func TestMetrics(t *testing.T) {
	b := embedded(t)
	h := newCardHouse(t, b, revocation.Require, 1)
	s := h.replicas[0]
	scrape := func() string {
		t.Helper()
		w := httptest.NewRecorder()
		s.Metrics().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		text, err := io.ReadAll(w.Body)
		h.must(err)
		if w.Code != 200 {
			t.Fatalf("%d: %s", w.Code, text)
		}
		return string(text)
	}
	if text := scrape(); strings.Contains(text, "portti_crl_next_update") || !strings.Contains(text, "portti_card_trust_ca_expiry_timestamp_seconds{ca=\"Portti TEST Root CA\"") {
		t.Errorf("before any list: %s", text)
	}
	h.fetch()
	if _, err := s.Cards.Loader.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.site.FailCRL(h.pki.Organisation, cardtest.Down)
	for _, source := range h.trust.Sources() {
		if source.CA.Equal(h.pki.Organisation.Cert) {
			if _, err := s.Cards.Fetcher.Fetch(t.Context(), source); err == nil {
				t.Error("the server is down")
			}
		}
	}
	if v := h.verdict(h.card("good"), time.Now()); v != card.Good {
		t.Error(v)
	}
	s.Door.Count(card.Revoked, card.Strict)
	text := scrape()
	for _, want := range []string{
		"portti_crl_next_update_timestamp_seconds{ca=\"Portti TEST Organisation Cards\",id=", "portti_crl_number{ca=\"Portti TEST Root CA\"", "portti_crl_entries{",
		"portti_crl_this_update_timestamp_seconds{", "portti_crl_last_fetch_success_timestamp_seconds{ca=\"Portti TEST Organisation Cards\"",
		"portti_revocation_statuses_total{source=\"ocsp\",state=\"good\"} 2", "portti_ocsp_answers_total{", "portti_ocsp_last_good_timestamp_seconds{",
		"portti_card_verdicts_total{mode=\"\",verdict=\"revoked\"} 1", "portti_letters{state=\"dead\"} 0", "portti_letters{state=\"waiting\"} ",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is missing in\n%s", want, text)
		}
	}
	if strings.Contains(text, "Maija") || strings.Contains(text, "Meikäläinen") {
		t.Error("metrics name people")
	}
}
