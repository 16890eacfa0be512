package server_test

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/keys"
	"github.com/portti-id/portti/internal/server"
	"github.com/portti-id/portti/internal/server/settings"
)

// TestARotationIsSeenByThoseWhoKeepTheSet: the entity tag changes with each step,
// and nobody may keep the set for as long as a key is published before it signs.
func TestARotationIsSeenByThoseWhoKeepTheSet(t *testing.T) {
	b, now := embedded(t), time.Now()
	o := keys.Options{Kinds: []keys.Kind{keys.RSA2048}}
	s, err := server.New(t.Context(), server.Config{Issuer: "https://id.example.fi", Brand: "Portti", Passwords: cheap, Keys: o},
		server.Deps{Store: b.store, Keys: b.keys, Ephemeral: b.ephemeral, Master: b.master, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(etag string) *http.Response {
		r := httptest.NewRequest(http.MethodGet, "https://id.example.fi/jwks", nil)
		r.Header.Set("If-None-Match", etag)
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		return w.Result()
	}
	first := ask("")
	age := regexp.MustCompile(`^public, max-age=([0-9]+)$`).FindStringSubmatch(first.Header.Get("Cache-Control"))
	if age == nil {
		t.Fatalf("%v", first.Header)
	}
	seconds, err := strconv.Atoi(age[1])
	if err != nil || time.Duration(seconds)*time.Second > settings.ShortestPublishAhead/2 {
		t.Errorf("the set may be kept for %d s, and a key is published for %s before it signs", seconds, settings.ShortestPublishAhead)
	}
	o.Now = func() time.Time { return now }
	another, err := keys.OpenRing(t.Context(), b.keys, b.master, o) // another replica, or porttictl
	if err != nil {
		t.Fatal(err)
	}
	etag := first.Header.Get("ETag")
	if status := ask(etag).StatusCode; etag == "" || status != http.StatusNotModified {
		t.Errorf("%q: %d", etag, status)
	}
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"prepare", func() error { _, err := another.Prepare(t.Context(), keys.RSA2048); return err }},
		{"promote", func() error { return another.Promote(t.Context(), keys.RSA2048) }},
		{"retire", func() error { _, err := another.Retire(t.Context(), keys.RSA2048); return err }},
		{"replace", func() error { _, err := another.Replace(t.Context(), keys.RSA2048, false); return err }},
	} {
		now = now.Add(8 * 24 * time.Hour)
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		changed := ask(etag)
		if changed.StatusCode != http.StatusOK || changed.Header.Get("ETag") == etag {
			t.Errorf("%s: %d, %s", step.name, changed.StatusCode, changed.Header.Get("ETag"))
		}
		etag = changed.Header.Get("ETag")
	}
}
