package main

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestTextMessages: who has a phone and no e-mail address gets text messages, by the
// gateway, onto the desk; and nobody but the provider sends any.
func TestTextMessages(t *testing.T) {
	data := t.TempDir()
	d := begin(t, data)
	pete, _ := personOf("pete.puhelin")
	var got []letter
	for until := time.Now().Add(time.Minute); len(got) < pete.letters() && time.Now().Before(until); time.Sleep(20 * time.Millisecond) {
		got = slices.DeleteFunc(d.pocket.mailbox(), func(l letter) bool { return l.To != "+358400000001" })
	}
	if len(got) != pete.letters() {
		t.Fatalf("%d of %d messages have come: %+v", len(got), pete.letters(), got)
	}
	for _, m := range got {
		if m.Subject != "" || m.Language != "fi" || len([]rune(m.Body)) > 160 || strings.Contains(m.Body, pete.Username) {
			t.Errorf("%+v", m)
		}
	}
	if !slices.ContainsFunc(got, func(l letter) bool { return strings.Contains(l.Body, "Väliaikainen salasanasi on ") }) {
		t.Errorf("no temporary password: %+v", got)
	}
	if _, body := fetch(t, "GET", d.Origin("desk")+"/?lang=en", nil); strings.Count(body, "<br>Text message</span>") != len(got) || strings.Count(body, "<strong>Pete Puhelin</strong> <span") != len(got) || strings.Contains(body, "+358400000001") {
		t.Error("the desk does not show them")
	}

	secret, err := os.ReadFile(filepath.Join(data, "gateway.secret"))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		key, body string
		status    int
	}{
		"a stranger":     {"guess", `{"id":"1","text":"x","to":"+358400000001"}`, http.StatusUnauthorized},
		"nobody":         {"", `{"id":"1","text":"x","to":"+358400000001"}`, http.StatusUnauthorized},
		"no message":     {string(secret), `{"id":"1"}`, http.StatusUnprocessableEntity},
		"no number":      {string(secret), `{"id":"1","text":"x","to":"pete"}`, http.StatusUnprocessableEntity},
		"what came once": {string(secret), `{"id":"` + got[0].ID + `","text":"x","to":"+358400000001"}`, http.StatusNoContent},
	} {
		r, err := http.NewRequestWithContext(t.Context(), "POST", d.Origin("gateway")+"/messages", strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+c.key)
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if _ = answer.Body.Close(); answer.StatusCode != c.status {
			t.Errorf("%s: %d, want %d", name, answer.StatusCode, c.status)
		}
	}
	if n := len(slices.DeleteFunc(d.pocket.mailbox(), func(l letter) bool { return l.To != "+358400000001" })); n != len(got) {
		t.Errorf("%d messages", n)
	}
}
