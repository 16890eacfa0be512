package signin

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/store"
	"github.com/portti-id/portti/templates"
)

// third registers a third party's service.
func (k *kit) third() {
	k.client("third", func(c *openid.Client) {
		c.ThirdParty, c.Name, c.Scopes = true, map[string]string{"fi": "Ulkopuolinen", "en": "Outsider"}, []string{"openid", "profile", "email", "reports"}
		c.LogoURI, c.PolicyURI, c.TermsURI = "https://logo.example/l.png", "https://service.example/policy", "https://service.example/terms"
	})
}

// events are the trail's of a type.
func (k *kit) events(what audit.Type) []audit.Event {
	k.t.Helper()
	return must(k.store.AuditEvents(k.t.Context(), store.Trail{Types: []audit.Type{what}}))(k.t)
}

func TestConsent(t *testing.T) {
	k := newKit(t)
	k.third()
	id := k.linkApp(k.settled("Matti"))
	b := k.browser()
	page := b.signIn("third", "matti", id).is(200, "consent-allow", "consent-deny", "service-policy", "service-terms").says("consent.title", "service", "Ulkopuolinen").
		says("scope.openid").says("consent.person", "name", "Given Family").says("consent.leads", "address", "https://service.example")
	if policy := page.header.Get("Content-Security-Policy"); !strings.Contains(policy, "img-src 'self' data: https://logo.example;") {
		t.Errorf("the logo cannot be shown: %s", policy)
	}
	for _, lang := range templates.Languages {
		b.get(page.at+"?lang="+lang).is(200, "consent-allow").says("consent.kept")
	}
	if n := len(k.events(audit.ConsentGiven)); n != 0 {
		t.Fatalf("%d consents without a yes", n)
	}
	page.press("consent-allow").claims("third")
	given := k.events(audit.ConsentGiven)
	if len(given) != 1 || given[0].User != string(id) || given[0].Client != "third" || given[0].Details["scopes"] != "openid" || given[0].Address == "" || given[0].Session == "" {
		t.Errorf("trail: %+v", given)
	}

	// Remembered, until more is asked for; what was allowed stays allowed.
	b.visit("third").claims("third")
	page = b.visit("third", "scope", "openid email reports").is(200, "consent-allow").says("scope.email").says("consent.scope", "name", "reports")
	page.press("consent-allow").claims("third")
	b.visit("third", "scope", "openid").claims("third")
	b.visit("third", "scope", "reports email openid").claims("third")
	b.visit("third", "scope", "openid", "prompt", "consent").is(200, "consent-allow").press("consent-allow").claims("third")

	// In another browser the same person is asked nothing, and another person is.
	k.browser().signIn("third", "matti", id).claims("third")
	liisa := k.linkApp(k.settled("Liisa"))
	k.browser().signIn("third", "liisa", liisa).is(200, "consent-allow")
}

// With a session of another service too, and never without a page.
func TestConsentOfASignedInPerson(t *testing.T) {
	k := newKit(t)
	k.third()
	id := k.linkApp(k.settled("Matti"))
	b := k.browser()
	b.signIn("service", "matti", id).claims("service")
	if to := b.visit("third", "prompt", "none").sentTo(serviceBack).to.Query(); to.Get("error") != "consent_required" || to.Get("state") != "the-state" {
		t.Errorf("prompt=none: %v", to)
	}
	page := b.visit("third").is(200, "consent-deny")
	to := page.press("consent-deny").sentTo(serviceBack).to.Query()
	if to.Get("error") != "access_denied" || to.Get("state") != "the-state" || to.Get("iss") != k.url || to.Has("code") {
		t.Errorf("denied: %v", to)
	}
	page.press("consent-allow").is(410, "restart")
	if n := len(k.events(audit.ConsentGiven)); n != 0 {
		t.Errorf("%d consents of a person who said no", n)
	}
	b.visit("third").is(200, "consent-allow")                         // asked again
	b.visit("service", "prompt", "consent").claims("service")         // first parties ask nobody
	b.visit("service", "prompt", "login consent").is(200, "username") // but for a sign-in
}

// Nobody consents for another person, in another browser, to more than was shown.
func TestConsentIsBound(t *testing.T) {
	k := newKit(t)
	k.third()
	matti, liisa := k.linkApp(k.settled("Matti")), k.linkApp(k.settled("Liisa"))
	b := k.browser()
	little := b.signIn("third", "matti", matti).is(200, "consent-allow")
	more := b.visit("third", "scope", "openid profile email").is(200, "consent-allow")

	// What was shown for one request is no yes to another one.
	form := more.form("consent-allow")
	form.values.Set("shown", little.form("consent-allow").values.Get("shown"))
	b.post(form.action, form.values).is(409, "consent-allow").says("fault.consent_changed").says("scope.email")
	form.values.Del("shown")
	b.post(form.action, form.values).is(409, "consent-allow")

	// Another browser has no such request.
	stranger := k.browser()
	csrf := stranger.visit("service").form("login-submit").values.Get("csrf")
	form = little.form("consent-allow")
	form.values.Set("csrf", csrf)
	stranger.post(form.action, form.values).is(410, "restart")

	// Another tab signs somebody else in: what Matti was shown is not Liisa's yes.
	k.add(1e9)
	again := b.visit("service", "prompt", "login").press("login-submit", "username", "liisa", "password", ownPassword)
	again.press("code-submit", "code", k.code(liisa)).claims("service")
	asked := little.press("consent-allow").is(409, "consent-allow").says("fault.consent_changed")
	if n := len(k.events(audit.ConsentGiven)); n != 0 {
		t.Fatalf("%d consents", n)
	}
	if c := asked.press("consent-allow").claims("third"); c["sub"] != string(liisa) {
		t.Errorf("signed in as %v", c["sub"])
	}
	if given := k.events(audit.ConsentGiven); len(given) != 1 || given[0].User != string(liisa) {
		t.Errorf("trail: %+v", given)
	}

	// Nobody is signed in any more: the yes signs nobody in.
	b.get(openid.EndSessionPath).press("logout-confirm")
	k.browser().get(more.at).is(410, "restart")
	q := url.Values{"shown": more.form("consent-allow").values["shown"]}
	q.Set("csrf", b.visit("service").form("login-submit").values.Get("csrf"))
	b.post(more.at, q).is(410, "restart") // the cookies went with the session
}

// A step-up comes before the question, and the page of a sign-in that is not
// enough asks nothing.
func TestConsentComesLast(t *testing.T) {
	k := newKit(t)
	k.client("strict", func(c *openid.Client) { c.ThirdParty, c.MinimumACR = true, "urn:portti:acr:card" })
	id := k.linkApp(k.settled("Matti"))
	b := k.browser()
	b.signIn("service", "matti", id).claims("service")
	page := b.visit("strict").is(200, "card-start")
	b.get(page.at+"/consent").is(200, "card-start")
	b.post(page.at+"/consent", url.Values{"csrf": page.form("card-start").values["csrf"], "shown": {"x"}}).is(200, "card-start")
	stranger := k.browser()
	first := stranger.visit("strict").is(200, "username")
	stranger.get(first.at+"/consent").is(200, "username")
	stranger.post(first.at+"/consent", url.Values{"csrf": first.form("login-submit").values["csrf"], "shown": {"x"}}).is(200, "username")
}

// Whatever the provider can tell of a person has a word for the person.
func TestEverythingToLearnHasAWord(t *testing.T) {
	k := newKit(t)
	var provider struct {
		Scopes []string `json:"scopes_supported"`
		Claims []string `json:"claims_supported"`
	}
	if err := json.Unmarshal([]byte(k.browser().get(openid.ConfigPath).body), &provider); err != nil || len(provider.Claims) < 20 {
		t.Fatalf("%v %v", provider, err)
	}
	ofTheToken := []string{"iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "azp", "at_hash", "sid"}
	for _, name := range provider.Claims {
		if !slices.Contains(ofTheToken, name) && !k.pages.Site.Texts().Has("claim."+name) {
			t.Errorf("write claim.%s in the catalogues", name)
		}
	}
	for _, name := range provider.Scopes {
		if !k.pages.Site.Texts().Has("scope." + name) {
			t.Errorf("write scope.%s in the catalogues", name)
		}
	}
}

// A claim that is asked for by name is named on the page, and got with the yes.
func TestConsentToAClaim(t *testing.T) {
	k := newKit(t)
	k.third()
	id := k.linkApp(k.settled("Matti"))
	b := k.browser()
	b.signIn("third", "matti", id).is(200, "consent-allow").press("consent-allow").claims("third")
	page := b.visit("third", "claims", `{"id_token":{"family_name":null}}`).is(200, "consent-allow").says("claim.family_name")
	if c := page.press("consent-allow").claims("third"); c["family_name"] != "Family" {
		t.Errorf("%v", c)
	}
	b.visit("third", "claims", `{"id_token":{"family_name":null}}`).claims("third")
	b.visit("third", "claims", `{"id_token":{"given_name":null}}`).is(200, "consent-allow")
}

// S71: who is signed in reads there, too, whom of their own employer to ask.
func TestConsentTellsWhomToAsk(t *testing.T) {
	k := newKit(t)
	k.third()
	id := k.linkApp(k.settled("Matti"))
	_, err := k.pages.Login.Directory.ChangeOrganisation(t.Context(), identity.Actor{Name: "operator:test", Operator: true}, must(k.store.Person(t.Context(), id))(t).Organisation.ID,
		func(o *identity.Organisation) { o.ITContact = "IT 09 310 1000" })
	if err != nil {
		t.Fatal(err)
	}
	b := k.browser()
	if page := b.signIn("third", "matti", id).is(200, "consent-allow", "contacts"); !strings.Contains(page.body, "IT 09 310 1000") {
		t.Error("the contacts of the person's organisation are not there")
	}
	if page := b.get(openid.VerifyPath).press("device-submit", "user-code", "XXXX-XXXX").is(404, "user-code", "contacts"); !strings.Contains(page.body, "IT 09 310 1000") {
		t.Error("nor on the page of a device whose code is wrong")
	}
	if page := k.browser().get(openid.VerifyPath).press("device-submit", "user-code", "XXXX-XXXX").is(404, "user-code"); strings.Contains(page.body, "IT 09 310 1000") {
		t.Error("strangers read them")
	}
}
