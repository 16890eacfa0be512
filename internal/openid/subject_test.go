package openid_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/keys"
	"github.com/portti-id/portti/internal/openid"
)

func pairwise(uris ...string) func(c *openid.Client) {
	return func(c *openid.Client) {
		c.SubjectType, c.Algorithm = openid.SubjectPairwise, keys.ES256
		c.RedirectURIs = append(c.RedirectURIs, uris...)
	}
}

// OpenID Connect Core §8: one sub in a sector, another in the next, and nobody
// but us can tell that they are one person.
func TestPairwiseSubjects(t *testing.T) {
	k := newKit(t)
	k.client("rp", pairwise())
	k.client("sister", pairwise())
	k.client("port", pairwise("https://rp.example:8443/cb"))
	k.client("stranger", func(c *openid.Client) { pairwise()(c); c.RedirectURIs = []string{"https://other.example/cb"} })
	k.client("sector", func(c *openid.Client) {
		pairwise("https://other.example/cb")(c)
		c.SectorIdentifierURI = "https://rp.example/sector.json"
	})
	for _, id := range []string{"torn", "torn2"} { // no registration lets them in
		c := openid.Client{ID: id, Scopes: []string{"openid"}, RedirectURIs: []string{callback, "https://other.example/cb"}}
		pairwise()(&c)
		if err := k.store.ChangeClient(t.Context(), c, audit.Event{Type: audit.ClientCreated}); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []string{"app", "app2"} {
		k.client(id, func(c *openid.Client) {
			pairwise()(c)
			c.Native, c.RedirectURIs = true, []string{"http://127.0.0.1/cb"}
		})
	}
	k.client("open")
	subs := map[string]string{}
	for _, id := range []string{"rp", "sister", "port", "stranger", "sector", "torn", "torn2", "app", "app2", "open"} {
		sub := k.userinfo(k.given(id).access).text("sub")
		if again := k.userinfo(k.given(id).access).text("sub"); again != sub {
			t.Errorf("%s: %s, then %s", id, sub, again)
		}
		if subs[id] = sub; id != "open" && (len(sub) == 0 || len(sub) > 255 || strings.Contains(sub, "anna") || !grammar(sub)) {
			t.Errorf("%s: sub %q", id, sub)
		}
	}
	for _, id := range []string{"sister", "port", "sector"} {
		if subs[id] != subs["rp"] {
			t.Errorf("%s is of the same sector and has another sub", id)
		}
	}
	apart := map[string]bool{}
	for _, id := range []string{"rp", "stranger", "torn", "torn2", "app", "app2", "open"} {
		apart[subs[id]] = true
	}
	if len(apart) != 7 || subs["open"] != "anna" {
		t.Errorf("two sectors can compare: %v", subs)
	}
	k.as(bosse)
	if sub := k.userinfo(k.signedIn(k.browser()).text("access_token")).text("sub"); sub == subs["rp"] {
		t.Error("two people have one sub")
	}
	// Another provider's secret makes other subs.
	d := k.p.Deps
	d.PairwiseSecret = []byte("another secret, which is just as long")
	p, err := openid.New(k.p.Config, d)
	if err != nil {
		t.Fatal(err)
	}
	w, r := newRecorder(), newGet(openid.UserinfoPath)
	r.Header.Set("Authorization", "Bearer "+k.given("rp").access)
	p.Handler().ServeHTTP(w, r)
	if sub := parse(w).text("sub"); sub == "" || sub == subs["rp"] {
		t.Errorf("sub %q under another secret", sub)
	}
}

// Everything that names the person to a client names them alike.
func TestPairwiseEverywhere(t *testing.T) {
	k := newKit(t)
	k.client("rp", pairwise())
	k.client("other", func(c *openid.Client) { pairwise()(c); c.RedirectURIs = []string{"https://other.example/cb"} })
	b := k.browser()
	r := k.signedIn(b)
	token := r.text("id_token")
	sub := k.claims(token)["sub"]
	refreshed := k.post("rp", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {r.text("refresh_token")}})
	for what, got := range map[string]any{
		"userinfo":      k.userinfo(r.text("access_token")).json["sub"],
		"introspection": k.postTo(openid.IntrospectPath, "rp", url.Values{"token": {r.text("access_token")}}).json["sub"],
		"refresh":       k.claims(refreshed.text("id_token"))["sub"],
	} {
		if got != sub || got == "anna" {
			t.Errorf("%s: sub %v, in the ID token %v", what, got, sub)
		}
	}
	// The hint is understood: anna is here, and nobody else will do.
	if a := k.authorize(b, request("prompt", "none", "id_token_hint", token)); a.params.Get("code") == "" {
		t.Errorf("hint: %v", a.to)
	}
	k.as(bosse)
	if a := k.authorize(k.browser(), request("id_token_hint", token)); a.params.Get("code") != "" {
		t.Errorf("bosse passed for anna: %v", a.to)
	}
	// At logout it is the session's own token, so nobody is asked.
	if a := k.get(b, openid.EndSessionPath, url.Values{"id_token_hint": {token}, "post_logout_redirect_uri": {"https://rp.example/out"}}); a.to == nil || a.to.Host != "rp.example" {
		t.Errorf("logout: %d %s", a.status, a.body)
	}
	// A sub of another sector in a token of ours: nobody.
	for what, c := range map[string][2]string{"another sector's sub": {sub.(string), "other"}, "the user's own ID": {"anna", "rp"}, "no client's": {sub.(string), "nobody"}, "cut": {sub.(string)[:20], "rp"}} {
		hint, err := ring(t).Sign(keys.ES256, "JWT", []byte(`{"iss":"`+k.url+`","sub":"`+c[0]+`","aud":"`+c[1]+`","exp":1}`))
		if err != nil {
			t.Fatal(err)
		}
		if a := k.authorize(k.browser(), request("id_token_hint", hint)); a.params.Get("error") != "login_required" {
			t.Errorf("%s as a hint: %d %v", what, a.status, a.to)
		}
	}
	if r := k.userinfo(k.given("other").access); r.status != http.StatusOK || r.json["sub"] == sub {
		t.Errorf("other: %v", r.json)
	}
}
