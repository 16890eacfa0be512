package app_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/app"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/web"
	"github.com/portti-id/portti/pkg/portti"
)

// What an app does with a browser is tested where the pages are: userservices and
// console. Here is what needs none.

func TestSettingsThatCannotWork(t *testing.T) {
	for name, edit := range map[string]func(c *app.Config){
		"an issuer that is none": func(c *app.Config) { c.Issuer = "id.example.fi" },
		"no pages":               func(c *app.Config) { c.Folder = "nowhere" },
		"no name":                func(c *app.Config) { c.Name = "no.such" },
		"an open address":        func(c *app.Config) { c.URL = "http://console.example.fi" },
		"no client":              func(c *app.Config) { c.ClientID = "" },
	} {
		c := app.Config{Name: "con.title", Folder: "console", URL: "http://console.localhost", Issuer: "http://127.0.0.1:1", ClientID: "console", Brand: "Portti"}
		edit(&c)
		if _, err := app.New(t.Context(), c); err == nil {
			t.Errorf("%s passes", name)
		}
	}
}

// The API's refusal keeps its kind, and its words stay out of sight.
func TestRefused(t *testing.T) {
	for status, kind := range map[int]fault.Kind{400: fault.Invalid, 401: fault.Unauthenticated, 403: fault.Denied, 404: fault.NotFound, 409: fault.Conflict, 412: fault.Conflict, 428: fault.Invalid, 410: fault.Gone, 429: fault.Throttled, 503: fault.Unavailable} {
		err := app.Refused(&portti.Error{Status: status, Code: "some_code", Field: "name", RetryAfter: 60, Args: map[string]string{"n": "3"}})
		f, ok := fault.Of(err)
		if !ok || f.Kind != kind || f.Code != "some_code" || f.Field != "name" || f.RetryAfter != time.Minute || f.Args["n"] != "3" {
			t.Errorf("%d: %v", status, err)
		}
	}
	if _, ok := fault.Of(app.Refused(&portti.Error{Status: 500, Code: "internal"})); ok {
		t.Error("an error of the provider's own is one that somebody can act on")
	}
	if err := app.Refused(nil); err != nil {
		t.Errorf("what was not refused is: %v", err)
	}
	for said, want := range map[string]string{"K7QM2XEA": "K7QM2XEA", "": "", "k7qm2xea": "", "K7QM2XEA ": "", "<b>CALL</b>": ""} {
		if f, _ := fault.Of(app.Refused(&portti.Error{Status: 403, Code: "some_code", Reference: said})); f.Reference != want {
			t.Errorf("%q is shown as %q", said, f.Reference)
		}
	}
	if err := app.Refused(context.DeadlineExceeded); !fault.Is(err, fault.Unavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("no answer: %v", err)
	}
}

// What a person can put right is shown on the page, the rest is passed on.
func TestCorrectable(t *testing.T) {
	var page web.Page
	w := httptest.NewRecorder()
	wait := fault.New(fault.Throttled, "throttled", "Wait.")
	wait.RetryAfter = time.Minute
	if status, err := app.Correctable(w, &page, wait); status != 429 || err != nil || len(page.Problems) != 1 || w.Header().Get("Retry-After") != "60" {
		t.Errorf("%d %v %v", status, err, page.Problems)
	}
	for _, err := range []error{errors.New("ours"), fault.New(fault.Unauthenticated, "session_ended", "Over."), fault.New(fault.Unavailable, "down", "Down.")} {
		if _, got := app.Correctable(w, &page, err); !errors.Is(got, err) || len(page.Problems) != 1 {
			t.Errorf("%v became %v", err, got)
		}
	}
}

func TestNamesInALanguage(t *testing.T) {
	names := map[string]string{"fi": "Palvelu", "en": "Service"}
	for lang, want := range map[string]string{"fi": "Palvelu", "sv": "Palvelu", "en": "Service"} {
		if got := app.Named(lang, names, "x"); got != want {
			t.Errorf("%s: %q", lang, got)
		}
	}
	if got := app.Named("fi", nil, "x"); got != "x" {
		t.Errorf("no name: %q", got)
	}
}
