package openid_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/openid"
)

// conformance 2.6: a frame for every client of the session that wants one, with
// exactly iss and sid, on top of the client's own query.
func TestFrontChannelLogout(t *testing.T) {
	pairs(t, func(t *testing.T, k *kit) {
		front := func(uri string) func(c *openid.Client) {
			return func(c *openid.Client) { c.FrontChannelURI = uri }
		}
		k.client("rp", front("https://rp.example/bye"))
		k.client("two", front("https://rp.example/bye?app=2"))
		k.client("none")
		k.client("bystander", front("https://rp.example/other"))
		b := k.browser()
		first := k.signedIn(b)
		sid := k.claims(first.text("id_token"))["sid"].(string)
		for _, client := range []string{"two", "none"} {
			if r := k.post(client, redeem(k.code(b, request("client_id", client)))); r.status != 200 {
				t.Fatalf("%s: %s", client, r.raw)
			}
		}
		k.as(bosse)
		if r := k.post("bystander", redeem(k.code(k.browser(), request("client_id", "bystander")))); r.status != 200 {
			t.Fatal(r.raw)
		}
		if _, err := k.clients.Disable(t.Context(), "operator:test", "two", false); err != nil { // it still has to forget the person
			t.Fatal(err)
		}
		a := k.logout(b, "id_token_hint", first.text("id_token"), "post_logout_redirect_uri", out)
		said := url.Values{"iss": {k.url}, "sid": {sid}}.Encode()
		want := []string{"https://rp.example/bye?" + said, "https://rp.example/bye?app=2&" + said}
		if got := strings.Split(strings.TrimPrefix(a.body, `<main id="logged-out">`), "\n"); a.to != nil || !slices.Equal(got, want) {
			t.Errorf("frames %q, want %q", got, want)
		}
		if k.signedInStill(b) {
			t.Error("the session goes on")
		}
		// A client without the front channel is no reason to wait.
		k.as(anna)
		if r := k.post("none", redeem(k.code(b, request("client_id", "none")))); r.status != 200 {
			t.Fatal(r.raw)
		} else if a := k.logout(b, "id_token_hint", r.text("id_token"), "post_logout_redirect_uri", out); a.to == nil || a.to.String() != out {
			t.Errorf("without frames: %d %v", a.status, a.to)
		}
	})
}

// The hint names a session of another browser: its clients are told as well.
func TestFrontChannelOfTheHintsSession(t *testing.T) {
	k := newKit(t)
	k.client("rp", func(c *openid.Client) { c.FrontChannelURI = "https://rp.example/bye" })
	elsewhere := k.signedIn(k.browser()).text("id_token")
	b := k.browser()
	here := k.signedIn(b).text("id_token")
	a := k.logout(b, "id_token_hint", elsewhere, "confirm", "yes")
	for _, token := range []string{elsewhere, here} {
		if sid := k.claims(token)["sid"].(string); !strings.Contains(a.body, "sid="+sid) {
			t.Errorf("%s is not in %s", sid, a.body)
		}
	}
}

// Front-Channel Logout 1.0 §2: a logout loads pages of the client's own site only.
func TestFrontChannelAddress(t *testing.T) {
	k := newKit(t)
	c := k.client("rp")
	for uri, ok := range map[string]bool{
		"https://rp.example/bye": true, "https://rp.example/bye?x=1": true, "https://rp.example:8443/bye": false, "https://evil.example/bye": false,
		"http://rp.example/bye": false, "https://rp.example/bye#x": false, "javascript:alert(1)": false, "/bye": false,
	} {
		_, err := k.clients.Change(t.Context(), "operator:test", c.ID, func(c *openid.Client) error { c.FrontChannelURI = uri; return nil }, true)
		if (err == nil) != ok {
			t.Errorf("%s: %v", uri, err)
		}
		if f, _ := fault.Of(err); err != nil && f.Field != "frontchannel_logout_uri" {
			t.Errorf("%s: names the field %q", uri, f.Field)
		}
	}
}
