package card_test

import (
	"strings"
	"testing"

	"github.com/portti-id/portti/internal/card"
)

func TestHostIsAnOriginWithAtMostOneStar(t *testing.T) {
	for s, want := range map[string]string{
		"https://card.example.fi":           "https://card.example.fi",
		"https://card.example.fi/":          "https://card.example.fi",
		"https://Card.Example.FI:8443":      "https://card.example.fi:8443",
		"https://card.example.fi:443":       "https://card.example.fi",
		"https://*.card.example.fi:8443":    "https://*.card.example.fi:8443",
		"https://xn--kortti-8ya.example.fi": "https://xn--kortti-8ya.example.fi",
		"https://card.localhost:8443":       "https://card.localhost:8443",
	} {
		h, err := card.ParseHost(s)
		if err != nil || h.String() != want {
			t.Errorf("%s: %s, %v; want %s", s, h, err, want)
		}
		var again card.Host
		if text, err := h.MarshalText(); err != nil || again.UnmarshalText(text) != nil || again != h {
			t.Errorf("%s does not survive the settings", s)
		}
	}
	for _, s := range []string{
		"", "card.example.fi", "http://card.example.fi", "https://", "https://*", "https://*.", "https://a.*.example.fi", "https://a*.example.fi",
		"https://*.*.example.fi", "https://card.example.fi/path", "https://card.example.fi?q", "https://card.example.fi#f", "https://u@card.example.fi",
		"https://card.example.fi:0", "https://card.example.fi:65536", "https://card.example.fi:x", "https://127.0.0.1", "https://[::1]:8443",
		"https://card_host.example.fi", "https://-card.example.fi", "https://card-.example.fi", "https://card..example.fi", "https://card.example.fi.",
		"https://körtti.example.fi", "https://" + strings.Repeat("a", 64) + ".fi", "https://*." + strings.Repeat("abcdefg.", 29) + "fi",
	} {
		if h, err := card.ParseHost(s); err == nil {
			t.Errorf("%q was taken for %s", s, h)
		}
	}
	if _, err := (card.Host{}).MarshalText(); err == nil {
		t.Error("an unset host was written")
	}
}

func TestStarStandsForOneLabel(t *testing.T) {
	star, fixed := must(card.ParseHost("https://*.card.example.fi:8443")), must(card.ParseHost("https://card.example.fi"))
	for name, want := range map[string]struct{ star, fixed bool }{
		"a1b2.card.example.fi":     {true, false},
		"A1B2.CARD.example.fi":     {true, false},
		"card.example.fi":          {false, true},
		"CARD.example.fi":          {false, true},
		"a.b.card.example.fi":      {false, false},
		".card.example.fi":         {false, false},
		"*.card.example.fi":        {false, false},
		"a_b.card.example.fi":      {false, false},
		"a.card.example.fi.":       {false, false},
		"acard.example.fi":         {false, false},
		"a.card.example.fi.evil.x": {false, false},
		"":                         {false, false},
	} {
		if star.Matches(name) != want.star || fixed.Matches(name) != want.fixed {
			t.Errorf("%q: star %t, fixed %t", name, star.Matches(name), fixed.Matches(name))
		}
	}
	if (card.Host{}).Matches("") {
		t.Error("an unset host matches")
	}
}
