package userservices

import (
	"testing"

	"github.com/portti-id/portti/pkg/portti"
)

// Chosen here, preferred by the browser, registered, Finnish: in this order.
func TestLanguage(t *testing.T) {
	for name, c := range map[string]struct {
		accept, registered, chosen string
		want, asked                string // asked: ui_locales
	}{
		"browser":                     {"en-GB,en;q=0.9", "sv", "", "en", ""},
		"registered":                  {"ru", "sv", "", "sv", ""},
		"registered, silent browser":  {"", "en", "", "en", ""},
		"nothing known":               {"ru", "de", "", "fi", ""},
		"chosen":                      {"en", "fi", "sv", "sv", "sv"},
		"chosen, before the register": {"ru", "fi", "sv", "sv", "sv"},
		"not one of ours":             {"en", "fi", "de", "en", ""},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKit(t)
			k.api.set(func(me *portti.Me) { me.Language = c.registered })
			b := k.browser()
			b.lang = c.accept
			path := "/"
			if c.chosen != "" {
				path = "/?lang=" + c.chosen
			}
			page := b.get(path).want(200, path)
			if got := page.header.Get("Content-Language"); got != c.want {
				t.Errorf("speaks %s, want %s", got, c.want)
			}
			if got := k.op.LastAuthorize().Get("ui_locales"); got != c.asked {
				t.Errorf("ui_locales %q, want %q", got, c.asked)
			}
			if got := b.get("/password").header.Get("Content-Language"); got != c.want {
				t.Errorf("then speaks %s, want %s", got, c.want)
			}
		})
	}
}

// Once chosen, a language stays, and the provider hears of it.
func TestAChoiceStays(t *testing.T) {
	k := newKit(t)
	b := k.browser()
	b.get("/?lang=sv")
	if got := b.get("/password").header.Get("Content-Language"); got != "sv" {
		t.Errorf("speaks %s", got)
	}
	b.get("/").submit("/logout")
	if got := k.op.LastEndSession().Get("ui_locales"); got != "sv" {
		t.Errorf("the logout speaks %q", got)
	}
}

// The waiting service is named in the reader's language, or in one it has.
func TestServiceNames(t *testing.T) {
	for lang, want := range map[string]string{"fi": "Palvelu", "sv": "Palvelu", "en": "Service"} {
		v := &visit{lang: lang, me: portti.Me{Waiting: &portti.Waiting{Service: map[string]string{"fi": "Palvelu", "en": "Service"}}}}
		if got := v.service(); got != want {
			t.Errorf("%s: %q", lang, got)
		}
	}
	if got := (&visit{lang: "fi", me: portti.Me{Waiting: &portti.Waiting{}}}).service(); got != "" {
		t.Errorf("a service without a name: %q", got)
	}
}
