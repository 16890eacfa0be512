package signin

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/templates"
)

// S2, S3: one click, no text field, auth_time of the handshake.
func TestCard(t *testing.T) {
	k := newKit(t)
	id := k.settled("Matti", identity.MethodCard)
	mine := k.linkCard(id, "a9f31")
	b := k.browser()
	to := b.visit("service").press("card-start").sentTo("https://random.card.example:8443/attempt/").to.String()
	k.add(time.Minute)
	mine.At = k.now().UTC()
	k.add(10 * time.Second)
	back := k.present(to, mine)
	c := b.get(back).claims("service")
	if c["acr"] != "urn:portti:acr:card" || c["sub"] != string(id) || int64(c["auth_time"].(float64)) != mine.At.Unix() {
		t.Errorf("claims %v, handshake at %d", c, mine.At.Unix())
	}
	b.get(back).is(410, "restart")

	// A result that comes twice before the session has started.
	b = k.browser()
	page := b.visit("service")
	back = k.present(page.press("card-start").to.String(), k.good("a9f31"))
	follow := b.http.CheckRedirect
	b.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	b.get(back).sentTo(k.url + page.at)
	if again := b.get(back).sentTo(k.url + page.at); again.to.Path != page.at {
		t.Errorf("the second time leads to %s", again.to)
	}
	b.http.CheckRedirect = follow
	b.get(page.at).claims("service")
	b.visit("service", "prompt", "login").is(200, "card-start")
	if b.cookie("method") != "card" {
		t.Errorf("method %q", b.cookie("method"))
	}
}

// standards.md 2.5: a result is worth something only in the browser that began
// the attempt, and once.
func TestCardResultOfAnotherBrowser(t *testing.T) {
	k := newKit(t)
	mine := k.linkCard(k.settled("victim"), "01")
	attacker, victim := k.browser(), k.browser()
	page := attacker.visit("service")
	lured := k.present(page.press("card-start").to.String(), mine)
	victim.get(lured).is(410, "restart")
	if victim.cookie("sid") != "" {
		t.Error("the victim is signed in")
	}
	// The attacker's code in the victim's own transaction, and the other way round.
	own := victim.visit("service")
	code := must(url.Parse(lured))(t).Query().Get("code")
	victim.get(own.at+"/card?code="+code).is(403, "card-failed").says("verdict.card_ticket_spent.title")
	attacker.get(lured).is(403, "card-failed").says("verdict.card_ticket_spent.title")
	if attacker.cookie("sid") != "" || victim.cookie("sid") != "" {
		t.Error("somebody is signed in")
	}
}

// S35, S66, S71: every refusal says what happened, what to do and who can help,
// in three languages, and leads on.
func TestRefusedCards(t *testing.T) {
	k := newKit(t)
	removed := k.settled("removed")
	ordered := k.linkCard(removed, "aa01")
	must(k.dir.Order(t.Context(), operator, removed, identity.Why{Reason: "lost"}))(t)
	left := k.settled("left")
	disabled := k.linkCard(left, "aa02")
	must(0, k.dir.DisableUser(t.Context(), operator, left, identity.Why{Reason: "left"}))(t)
	results := map[string]card.Result{"card_not_linked": k.good("aa03"), "card_link_removed_by_order": ordered, "account_disabled": disabled}
	for _, v := range card.Verdicts {
		if v != card.Good {
			results[string(v)] = card.Result{Verdict: v, At: k.now()}
		}
	}
	for verdict, result := range results {
		b := k.browser()
		start := b.visit("service")
		status := 403
		if verdict == "revocation_unavailable" {
			status = 503
		}
		page := b.get(k.present(start.press("card-start").sentTo("https://random.card").to.String(), result))
		if strings.Contains(page.at, "code=") {
			t.Errorf("%s: the code stays in the address", verdict)
		}
		address := page.at
		if want := strings.Replace(address, "?", "?lang=sv&", 1); !strings.Contains(page.body, `"`+strings.ReplaceAll(want, "&", "&amp;")+`"`) {
			t.Errorf("%s: the language links lose the card: %s", verdict, page.body)
		}
		for _, lang := range templates.Languages {
			page = b.get(address+"&lang="+lang).is(status, "card-failed", "card-start", "restart")
			for _, part := range []string{"title", "do", "who"} {
				page.says("verdict." + verdict + "." + part)
			}
			page.says("support.steps")
			if page.header.Get("Content-Language") != lang || !strings.Contains(page.body, `href="tel:020343433"`) || !strings.Contains(page.body, `data-verdict="`+verdict+`"`) {
				t.Errorf("%s: page %s", verdict, page.body)
			}
		}
		if !strings.Contains(k.logs.String(), "verdict="+verdict+" ") {
			t.Errorf("%s: the log does not know why", verdict)
		}
		page.press("card-start").sentTo("https://random.card.example:8443/attempt/")
		page.press("restart").is(200, "username", "card-start")
		if b.cookie("sid") != "" {
			t.Errorf("%s: signed in", verdict)
		}
	}
}

// S33: another card than the linked one is told by its tail, and the link stays.
func TestAnotherCard(t *testing.T) {
	k := newKit(t)
	id := k.settled("Matti")
	mine := k.linkCard(id, "00aa11")
	b := k.browser()
	// S31: the account signs in with the card; no code is asked.
	page := b.visit("service").press("login-submit", "username", "matti", "password", ownPassword).is(200, "card-start", "restart", "login-cancel").says("card.only")
	if page.has("code") {
		t.Error("a code is asked")
	}
	begun := page.at
	failed := b.get(k.present(page.press("card-start").to.String(), k.good("00bb9f31"))).is(403, "card-failed").says("verdict.other_card_linked.meaning", "tail", "9f31")
	c := b.get(k.present(failed.press("card-start").to.String(), mine)).claims("service")
	if c["sub"] != string(id) {
		t.Errorf("claims %v", c)
	}
	b.get(begun).is(410, "restart", "return") // back, after it is finished: on to the service (S68)
}

// Step-up: the service demands a card of somebody who has signed in with a code.
func TestStepUp(t *testing.T) {
	k := newKit(t)
	id := k.linkApp(k.settled("Matti"))
	mine := k.linkCard(id, "01")
	b := k.browser()
	before := b.signIn("service", "matti", id).claims("service")
	page := b.visit("cards").is(200, "card-start", "login-cancel").says("stepup.card")
	if page.has("restart") {
		t.Error("another method is offered, and none would do")
	}
	after := b.get(k.present(page.press("card-start").to.String(), mine)).claims("cards")
	if after["acr"] != "urn:portti:acr:card" || after["sid"] != before["sid"] {
		t.Errorf("before %v, after %v", before, after)
	}

	// Password and code first, where a card is demanded and an app is linked only.
	liisa := k.linkApp(k.settled("Liisa"))
	b = k.browser()
	b.signIn("cards", "liisa", liisa).is(200, "card-start", "login-cancel").says("stepup.card")
	if b.visit("service").claims("service")["sub"] != string(liisa) {
		t.Error("what was proved does not count elsewhere")
	}
	// No card at hand: the service hears that it is not a refusal.
	to := b.visit("cards").press("login-cancel").sentTo(serviceBack).to.Query()
	if to.Get("error") != "unmet_authentication_requirements" || to.Get("state") != "the-state" {
		t.Errorf("the service got %v", to)
	}
}

// S20: with a linked card the waiting service goes on at the handshake.
func TestFirstDayWithACard(t *testing.T) {
	k := newKit(t)
	id := k.settled("Matti", identity.MethodCard)
	b := k.browser()
	b.visit("service").press("login-submit", "username", "matti", "password", ownPassword).sentTo(userServices)
	mine := k.linkCard(id, "01")
	page := b.get("/signin/resume").is(200, "card-start").says("enrol.linked")
	if c := b.get(k.present(page.press("card-start").to.String(), mine)).claims("service"); c["acr"] != "urn:portti:acr:card" {
		t.Errorf("claims %v", c)
	}
}

func TestWithoutACardHost(t *testing.T) {
	k := newKit(t, func(k *kit) { k.login.CardPlace, k.pages.CardHosts = nil, nil })
	b := k.browser()
	page := b.visit("service").is(200, "username", "password")
	if page.has("card-start") {
		t.Error("a card is offered")
	}
	f := page.form("login-submit")
	b.post(page.at+"/card", url.Values{"csrf": f.values["csrf"]}).is(503, "error").says("fault.card_unavailable")
}

// Whatever stands in the address of a refused card's page, it says nothing but
// what the catalogue has.
func TestRefusalInTheAddress(t *testing.T) {
	k := newKit(t)
	b := k.browser()
	tx := b.visit("service").at
	for _, q := range []string{"refused=all_good", "refused=<b>", "refused=no.such", "refused=../x", "refused=expired&tail=<script>", "refused=expired&tail=12345", "refused=%00", "refused=" + strings.Repeat("a", 100), ""} {
		page := b.get(tx + "/card?" + q)
		if page.has("card-failed") || page.status != 200 && page.status != 400 {
			t.Errorf("%s: %d %s", q, page.status, page.body)
		}
	}
	b.get(tx+"/card?refused=expired").is(403, "card-failed")
}
