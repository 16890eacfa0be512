package userservices

import (
	"net/http"
	"strings"
	"testing"

	"github.com/portti-id/portti/pkg/portti"
)

// canLinkCard is a full session of somebody without a card.
func canLinkCard(t *testing.T) *kit {
	k := newKit(t)
	k.api.set(func(me *portti.Me) { me.Card, me.May.Card = nil, "" })
	return k
}

// S3, S22–S27, S71: each verdict says what happened, what to do, who can help,
// and leads to another try.
func TestCardsThatAreRefused(t *testing.T) {
	for code, c := range map[string]struct {
		status int
		says   string
	}{
		"card_no_certificate":               {403, "Your browser did not send a certificate"},
		"card_weak_or_malformed":            {403, "cannot be used"},
		"card_untrusted_issuer":             {403, "The card is not accepted"},
		"card_not_yet_valid":                {403, "not valid yet"},
		"card_expired":                      {403, "has expired"},
		"card_signature_certificate_chosen": {403, "You selected the signature certificate"},
		"card_card_kind_not_accepted":       {403, "This kind of card is not accepted"},
		"card_revoked":                      {403, "has been revoked"},
		"card_suspended":                    {403, "has been suspended"},
		"card_revocation_unavailable":       {503, "cannot be checked right now"},
		"card_ticket_spent":                 {410, "This attempt is over"},
	} {
		t.Run(code, func(t *testing.T) {
			k := canLinkCard(t)
			k.api.refuses("POST /card/seen", c.status, code)
			b := k.browser()
			for _, lang := range []string{"fi", "sv", "en"} {
				b.get("/card/return?code=RESULT&lang="+lang).want(c.status, "*", "card-failed", "card-start")
			}
			page := b.get("/card/return?code=RESULT").want(c.status, "*", "card-failed").says(c.says)
			page.submit("/card").want(303, "https://abc.card.example.test:8443/attempt?t=TICKET")
		})
	}
}

func TestLinksThatAreRefused(t *testing.T) {
	for code, c := range map[string]struct {
		status int
		want   []string
		says   string
	}{
		"card_linked_elsewhere": {409, []string{"problems", "card-start"}, "The card cannot be linked"}, // S27: without any name
		"card_ticket_spent":     {410, []string{"card-failed", "card-start"}, "This attempt is over"},
		"card_refused":          {403, []string{"problems", "card-start"}, "Test the card"},
		"policy_denied":         {403, []string{"error"}, "Your employer has not permitted this"},
		"link_closed":           {403, []string{"error"}, "Order a new password"},
		"no_such_code":          {418, []string{"error"}, "The error is ours"},
	} {
		t.Run(code, func(t *testing.T) {
			k := canLinkCard(t)
			page := k.browser().get("/card/return?code=RESULT").want(200, "*", "card-confirm")
			k.api.refuses("POST /card/link", c.status, code)
			status := c.status
			if status == 418 {
				status = 500
			}
			page.submit("/card/confirm").want(status, "/card/confirm", c.want...).says(c.says)
		})
	}
}

func TestAttemptsThatDoNotBegin(t *testing.T) {
	for code, c := range map[string]struct {
		status int
		want   string
		says   string
	}{
		"throttled":        {429, "card-start", "Please wait|Try again in 2 minutes"},
		"card_unavailable": {503, "error", "card"},
		"link_closed":      {403, "error", "Order a new password"},
	} {
		t.Run(code, func(t *testing.T) {
			k := canLinkCard(t)
			page := k.browser().get("/card")
			k.api.refuses("POST /card/attempt", c.status, code, func(e *portti.Error) { e.Args = map[string]string{"n": "2"} })
			page = page.submit("/card").want(c.status, "/card", c.want).says()
			for want := range strings.SplitSeq(c.says, "|") {
				if strings.Contains(page.text(), want) {
					return
				}
			}
			t.Errorf("does not say %s: %s", c.says, page.text())
		})
	}
}

// S26: the card's code is spent by the page that shows the card, and by nothing
// that only looks at the address.
func TestTheCodeIsRedeemedOnce(t *testing.T) {
	k := canLinkCard(t)
	b := k.browser()
	b.get("/")
	r, err := http.NewRequestWithContext(t.Context(), "HEAD", k.url+"/card/return?code=RESULT", nil)
	if err != nil {
		t.Fatal(err)
	}
	b.do(r)
	b.get("/card/return").want(200, "/card", "card-start")
	b.get("/card/confirm").want(200, "/card", "card-start")
	if got := k.api.bodies("POST /card/seen"); got != nil {
		t.Fatalf("spent: %v", got)
	}
	b.get("/card/return?code=RESULT").want(200, "*", "card-confirm")
	if got := k.api.bodies("POST /card/seen"); len(got) != 1 || got[0]["code"] != "RESULT" {
		t.Errorf("the API got %v", got)
	}
}

// S28, S30, S58: a card that is linked keeps another one out, and the page says
// that a new password is the way.
func TestASecondCard(t *testing.T) {
	k := newKit(t)
	b := k.browser()
	b.get("/card").want(409, "/card", "error").says("A card is already linked", "order a new password")
	b.post("/card", b.get("/").form()).want(409, "/card", "error")
	if k.api.bodies("POST /card/attempt") != nil {
		t.Error("an attempt was begun")
	}
}

// S35: while the browser asks for the card, the page's script is told how it goes, and
// where to go when it is decided.
func TestThePageTellsHowItGoes(t *testing.T) {
	k := canLinkCard(t)
	b := k.browser()
	page := b.get("/card").want(200, "/card", "card-start", "card-live", "card-live-form", "card-said").without("card-trouble")
	if got := attr(page.element("card-live"), "data-state"); got != "/card/state" {
		t.Errorf("the script asks at %q", got)
	}
	for name, c := range map[string]struct {
		progress portti.CardProgress
		want     string
	}{
		"none":         {portti.CardProgress{Phase: "none"}, `{"state":"none"}`},
		"broken once":  {portti.CardProgress{Phase: "broken"}, `{"state":"broken"}`},
		"broken":       {portti.CardProgress{Phase: "decided", Verdict: "handshake_broken", TLS12: true}, `{"state":"decided","verdict":"handshake_broken","to":"/card/failed"}`},
		"silent":       {portti.CardProgress{Phase: "decided", Verdict: "never_reached", Silent: true}, `{"state":"decided","verdict":"never_reached","to":"/card/failed","silent":true}`},
		"expired":      {portti.CardProgress{Phase: "decided", Verdict: "expired", Tail: "9f31", Result: true}, `{"state":"decided","verdict":"expired","to":"/card/failed","result":true}`},
		"good":         {portti.CardProgress{Phase: "decided", Verdict: "all_good", Result: true}, `{"state":"decided","to":"/card","result":true}`},
		"out of words": {portti.CardProgress{Phase: "decided", Verdict: "new"}, `{"state":"decided","to":"/card"}`},
	} {
		k.api.locked(func() { k.api.progress = c.progress })
		got := b.get("/card/state").want(200, "/card/state")
		if strings.TrimSpace(got.body) != c.want || got.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %s", name, got.body)
		}
	}
	// A page of others learns nothing, and somebody without a session neither.
	r := k.request("GET", "/card/state")
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	b.do(r).want(404, "/card/state")
	k.browser().get("/card/state").want(404, "/card/state")
	k.api.refuses("GET /card/attempt", 429, "throttled")
	b.get("/card/state").want(429, "/card/state")
}

// S35: who comes back without a result, from the browser's own error page, is told what
// became of the attempt, and goes on from there, with TLS 1.2 as well where that may help.
func TestBackFromAnAttemptThatBroke(t *testing.T) {
	k := canLinkCard(t)
	k.api.locked(func() {
		k.api.outcome = portti.CardProgress{Phase: "decided", Verdict: "handshake_broken", Silent: true, TLS12: true}
	})
	b := k.browser()
	page := b.get("/card").want(200, "/card", "card-trouble", "card-outcome", "card-oldtls", "card-start").says("Try again")
	if got := attr(page.element("card-trouble"), "data-verdict"); got != "handshake_broken" {
		t.Errorf("verdict %q", got)
	}
	page.submit("/card", "mode", "tls12").want(303, "https://abc.card.example.test:8443/attempt?t=TICKET")
	if got := k.api.bodies("POST /card/attempt"); len(got) != 1 || got[0]["mode"] != "tls12" {
		t.Errorf("begun: %v", got)
	}
	page.submit("/card/failed").want(403, "/card/failed", "card-failed", "card-oldtls", "card-start", "card-live")
	for _, lang := range []string{"fi", "sv", "en"} {
		b.get("/card/failed?lang="+lang).want(403, "*", "card-failed", "card-start")
	}
	for name, o := range map[string]portti.CardProgress{"none": {Phase: "none"}, "good": {Phase: "decided", Verdict: "all_good", Result: true}} {
		k.api.locked(func() { k.api.outcome = o })
		b.get("/card/failed").want(200, "/card", "card-start").without("card-trouble")
		if name == "good" {
			b.get("/card").without("card-trouble")
		}
	}
	k.api.locked(func() {
		k.api.outcome = portti.CardProgress{Phase: "decided", Verdict: "expired", Tail: "9f31", Result: true, TLS12: false}
	})
	b.get("/card").want(200, "/card", "card-trouble").without("card-oldtls")
	b.get("/card/failed").want(403, "/card/failed", "card-failed").without("card-oldtls").says("has expired")

	// Beside a fixed card host TLS 1.2 has an address that this app does not know.
	fixed := newKit(t, func(c *Config) { c.CardHost = "https://card.example.test:8443" })
	fixed.api.set(func(me *portti.Me) { me.Card, me.May.Card = nil, "" })
	fixed.api.locked(func() {
		fixed.api.outcome = portti.CardProgress{Phase: "decided", Verdict: "handshake_broken", TLS12: true}
	})
	fixed.browser().get("/card").want(200, "/card", "card-trouble").without("card-oldtls")
}

// A browser follows the form to the card host of the settings, and to no other.
func TestTheCardHostIsTheOneOfTheSettings(t *testing.T) {
	k := canLinkCard(t)
	b := k.browser()
	page := b.get("/card")
	if csp := page.header.Get("Content-Security-Policy"); !strings.Contains(csp, "https://*.card.example.test:8443") || !strings.Contains(csp, k.op.URL) {
		t.Errorf("the form may not lead to card host and provider: %s", csp)
	}
	if csp := b.get("/password").header.Get("Content-Security-Policy"); strings.Contains(csp, "card.example") || !strings.Contains(csp, k.op.URL) {
		t.Errorf("another page's form: %s", csp)
	}
	for _, elsewhere := range []string{"https://evil.example/", "https://card.example.test:8443/", "https://a.b.card.example.test:8443/", "https://a.card.example.test/", "http://a.card.example.test:8443/",
		"https://u@a.card.example.test:8443/", "https://a.card.example.test:8443.evil.example/", "//a.card.example.test:8443/", "javascript:alert(1)", "https://.card.example.test:8443/", "https://a.CARD.example.test.evil:8443/"} {
		k.api.locked(func() { k.api.attemptURL = elsewhere })
		page.submit("/card").want(500, "/card", "error")
	}
	if !strings.Contains(k.log.String(), "card_host") {
		t.Error("the log does not name the setting")
	}
}

func TestCardHosts(t *testing.T) {
	for pattern, c := range map[string]struct{ ok, other string }{
		"https://card.example.fi":       {"https://card.example.fi/a?t=1", "https://x.card.example.fi/"},
		"https://card.example.fi:8443/": {"https://card.example.fi:8443/", "https://card.example.fi/"},
		"https://*.card.example.fi":     {"https://x1.card.example.fi/", "https://card.example.fi/"},
		"https://*.card.localhost:8443": {"https://x1.card.localhost:8443/", "https://x1.card.localhost:8444/"},
		"https://card.localhost:8443":   {"https://card.localhost:8443/x", "https://localhost:8443/"},
	} {
		h, err := parseCardHost(pattern)
		if err != nil || !h.matches(c.ok) || h.matches(c.other) {
			t.Errorf("%s: %v, %v, %v", pattern, err, h.matches(c.ok), h.matches(c.other))
		}
	}
	for _, bad := range []string{"card.example.fi", "http://card.example.fi", "https://", "https://u@card.example.fi", "https://card.example.fi/path", "https://*.*.example.fi", "https://a*.example.fi", "https://card.example.fi?x", "https://%zz"} {
		if _, err := parseCardHost(bad); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
	if none, err := parseCardHost(""); err != nil || none.matches("https://card.example.fi/") {
		t.Error("no card host matches one")
	}
}
