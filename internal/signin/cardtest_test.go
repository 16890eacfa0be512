package signin

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/ephemeral"
	"github.com/portti-id/portti/internal/throttle"
	"github.com/portti-id/portti/templates"
)

// S66: without an account, every verdict ends on a page that says which check
// failed, what to do and who can help, in three languages, under a support code
// that shows it to whoever enters it.
func TestCardTestTellsEveryVerdict(t *testing.T) {
	k := newKit(t)
	failed := map[card.Verdict]card.Check{card.NoCertificate: card.CheckSent, card.WeakOrMalformed: card.CheckForm, card.UntrustedIssuer: card.CheckIssuer, card.NotYetValid: card.CheckValidity,
		card.Expired: card.CheckValidity, card.SignatureCertificate: card.CheckPurpose, card.KindNotAccepted: card.CheckKind, card.Revoked: card.CheckRevocation, card.Suspended: card.CheckRevocation,
		card.RevocationUnavailable: card.CheckRevocation, card.Good: ""}
	for verdict, check := range failed {
		b := k.browser()
		result := k.good("00ff9f31")
		result.Verdict, result.Failed, result.TLS, result.Kind = verdict, check, "1.3", card.OrganisationCard
		page := b.get(k.present(b.get("/card-test").is(200, "cardtest-start").press("cardtest-start").sentTo("https://random.card.example:8443/attempt/").to.String(), result))
		code, ok := card.ReadSupportCode(strings.TrimPrefix(page.at, "/card-test/"))
		if !ok {
			t.Fatalf("%s: it ends at %s", verdict, page.at)
		}
		for _, lang := range templates.Languages {
			page = k.browser().get("/card-test/"+code+"?lang="+lang).is(200, "card-tested", "cardtest-again")
			page.says("verdict." + string(verdict) + ".title").says("cardtest.check.revocation").says("card.kind.organisation")
			if verdict == card.Good {
				page.says("verdict.all_good.do")
			} else {
				page.says("verdict." + string(verdict) + ".do").says("verdict." + string(verdict) + ".who")
			}
			for name, want := range map[string]int{`class="failed"`: min(1, len(check)), `class="passed"`: passed(check), code: 1, "TLS 1.3": 1} {
				if got := strings.Count(page.body, name); got < want || want == 0 && got > 0 || strings.HasPrefix(name, "class") && got != want {
					t.Errorf("%s in %s: %q stands there %d times, not %d", verdict, lang, name, got, want)
				}
			}
			for _, private := range []string{"Given", "Family", "9f31", "fingerprint"} {
				if strings.Contains(page.body, private) {
					t.Errorf("%s: the page has %q of the card", verdict, private)
				}
			}
		}
		if b.cookie("sid") != "" {
			t.Errorf("%s: somebody is signed in", verdict)
		}
		b.get("/card-test/find?code="+strings.ToLower(strings.ReplaceAll(code, "-", "+"))).is(200, "card-tested")
	}
	for _, private := range []string{"Given", "9f31", "fingerprint"} {
		if strings.Contains(k.logs.String(), private) {
			t.Errorf("the log has %q of a card", private)
		}
	}
}

// passed is how many checks stand before the one that failed.
func passed(failed card.Check) int {
	for i, c := range card.Checks {
		if c == failed {
			return i
		}
	}
	return len(card.Checks)
}

// S35, S66: a test that brings no result is told from what was seen of it, once
// the person has come back.
func TestCardTestWithoutResult(t *testing.T) {
	k := newKit(t)
	for name, c := range map[string]struct {
		signs   []card.Sign
		verdict string
		check   card.Check
	}{
		"nobody came":    {nil, "never_reached", card.CheckReached},
		"it broke":       {[]card.Sign{card.Began, card.Broke}, "handshake_broken", card.CheckHandshake},
		"it broke twice": {[]card.Sign{card.Began, card.Broke, card.Began, card.Broke}, "handshake_broken", card.CheckHandshake},
	} {
		b := k.browser()
		to := b.get("/card-test").press("cardtest-start").to.String()
		k.note(to, c.signs...)
		page := b.get("/card-test").is(200, "card-trouble", "cardtest-failed", "cardtest-start").says("verdict." + c.verdict + ".title")
		page = page.press("cardtest-failed").is(200, "card-tested").says("verdict." + c.verdict + ".do")
		if strings.Count(page.body, `class="passed"`) != passed(c.check) || strings.Count(page.body, `class="failed"`) != 1 {
			t.Errorf("%s: %s", name, page.body)
		}
	}
	// Who has not tested has nothing to report.
	b := k.browser()
	page := b.get("/card-test")
	if strings.Contains(page.body, "card-trouble") {
		t.Error("trouble before the first test")
	}
	f := page.form("cardtest-start")
	if end := b.post("/card-test/failed", f.values); end.at != "/card-test" {
		t.Errorf("it ends at %s", end.at)
	}
}

// The result is worth something only in the browser that began the test, once;
// a sign-in's is worth nothing here, and a test's nothing there.
func TestCardTestIsBound(t *testing.T) {
	k := newKit(t)
	id := k.settled("Matti")
	mine := k.linkCard(id, "01")
	b, other := k.browser(), k.browser()
	other.get("/card-test")
	back := k.present(b.get("/card-test").press("cardtest-start").to.String(), mine)
	if head := b.do(must(http.NewRequest(http.MethodHead, back, nil))(t)); head.status >= 400 { // a scanner looks, and spends nothing
		t.Errorf("HEAD: %d", head.status)
	}
	b.get(back).is(200, "card-tested")
	back = k.present(b.get("/card-test").press("cardtest-start").to.String(), mine)
	if end := other.get(back); end.at != "/card-test" {
		t.Errorf("another browser's result ends at %s", end.at)
	}
	if end := b.get(back); end.at != "/card-test" {
		t.Errorf("a spent result ends at %s", end.at)
	}
	// The card is good and linked, and a test of it signs nobody in.
	start := b.visit("service")
	back = k.present(b.get("/card-test").press("cardtest-start").to.String(), mine)
	code := back[strings.Index(back, "code=")+len("code="):]
	b.get(start.at+"/card?code="+code).is(403, "card-failed").says("verdict.card_ticket_spent.title")
	if b.cookie("sid") != "" {
		t.Error("a test has signed somebody in")
	}
	back = k.present(b.get(start.at).press("card-start").to.String(), mine)
	code = back[strings.Index(back, "code=")+len("code="):]
	if end := b.get("/card-test/result?code=" + code); end.at != "/card-test" {
		t.Errorf("a sign-in's result as a test's ends at %s", end.at)
	}
}

// What strangers can leave is bounded, and what they type is not believed.
func TestCardTestStrangers(t *testing.T) {
	k := newKit(t)
	b := k.browser()
	for _, code := range []string{"K7QM2-XEA3B", "nonsense", "%3Cscript%3E", "state"} {
		if page := b.get("/card-test/" + code); page.status == http.StatusOK && strings.Contains(page.body, "card-tested") {
			t.Errorf("%s is a result", code)
		}
	}
	b.get("/card-test/K7QM2-XEA3B").is(404, "cardtest-start", "code").says("fault.card_test_not_found")
	b.get("/card-test/find?code=").is(404, "code")

	to := b.get("/card-test").press("cardtest-start").to.String()
	k.note(to, card.Began, card.Broke)
	f := b.get("/card-test").form("cardtest-failed")
	kept := 0
	for range throttle.CardTestPerAddress.Max + 5 {
		if page := b.post(f.action, f.values); strings.Contains(page.body, "card-tested") {
			kept++
		}
	}
	if int64(kept) != throttle.CardTestPerAddress.Max {
		t.Errorf("%d results were kept", kept)
	}
	k.add(11 * time.Minute)
	b.post(f.action, f.values).is(200, "card-tested")
}

// counting is a store that counts its counters.
type counting struct {
	ephemeral.Store
	incremented atomic.Int64
}

func (c *counting) Increment(ctx context.Context, key string, window time.Duration) (int64, time.Duration, error) {
	c.incremented.Add(1)
	return c.Store.Increment(ctx, key, window)
}

// Whoever asks how a test goes that was never begun leaves nothing, under whatever
// cookie; whoever has begun one is counted.
func TestCardTestStateLeavesNothing(t *testing.T) {
	k := newKit(t)
	store := &counting{Store: k.eph}
	k.login.Throttle.Store = store
	for range 5 {
		b := k.browser()
		b.get("/card-test")
		before := store.incremented.Load()
		if page := b.get("/card-test/state"); page.status != http.StatusOK || !strings.Contains(page.body, `"none"`) {
			t.Fatalf("%d %s", page.status, page.body)
		}
		if store.incremented.Load() != before {
			t.Error("a stranger has left a counter")
		}
	}
	b := k.browser()
	b.get("/card-test").press("cardtest-start")
	status := 0
	for range throttle.CardPollPerSignIn.Max + 1 {
		status = b.get("/card-test/state").status
	}
	if status != http.StatusTooManyRequests {
		t.Errorf("the last of many answers is %d", status)
	}
}

// Where there is no card host there is no test.
func TestCardTestNeedsACardHost(t *testing.T) {
	k := newKit(t, func(k *kit) { k.pages.CardHosts, k.login.CardPlace = nil, nil })
	if page := k.browser().get("/card-test"); page.status != http.StatusNotFound {
		t.Errorf("status %d", page.status)
	}
}
