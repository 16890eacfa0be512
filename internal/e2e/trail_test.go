package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/console"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/store"
	"github.com/portti-id/portti/pkg/portti"
)

// entrusted signs somebody with a role in at a tool of staff and returns the token.
func entrusted(tool *Party, e *Employee, v *Visitor) string {
	return tool.MustRedeem(tool.Code(e.SignIn(v.Open(tool.URL(url.Values{"scope": {strings.Join(console.Scopes, " ")}}))))).Access
}

var addressIn = regexp.MustCompile(`https://[^\s"<>]+`)

// staffed has user support and an operator work over HTTP, and notes every secret
// that passes: what is handed out, what is typed, what letters carry. The asker asks
// for a new password by letter.
func (c canary) staffed(t *testing.T, w *World, caller, asker *Employee) {
	t.Helper()
	ctx := t.Context()
	tool := w.Party("tool", func(c *openid.Client) { c.Scopes, c.MinimumACR = console.Scopes, acrCode })
	c.note("client secret of tool", tool.Secret, tool.Verifier)
	api := &portti.Client{Issuer: w.Issuer(), HTTP: tool.http}

	desk, v := w.Settled("heikki.tuki", "tietoapu", identity.MethodApp).With(identity.RoleHelpDesk), w.Visitor()
	token := entrusted(tool, desk, v)
	check := must(api.RecordCheck(ctx, token, string(caller.ID), portti.NewCheck{Method: "employer_confirmed", Ticket: "T-1"}))(t)
	why := portti.Why{Reason: "lost phone", Ticket: "T-1", Check: check.ID}
	if err := api.RemoveAuthenticator(ctx, token, string(caller.ID), why); err != nil {
		t.Fatal(err)
	}
	code := must(api.IssueLinkingCode(ctx, token, string(caller.ID), 30, why))(t).Code
	if err := api.EndSessions(ctx, token, string(caller.ID), why); err != nil {
		t.Fatal(err)
	}
	link := asker.ask(t, w.Visitor())
	ordered := must(api.OrderFor(ctx, token, string(caller.ID), why))(t)
	if ordered.Password == "" {
		ordered.Password = temporaryIn.FindString(caller.next(t, orderedLetter, 0))
	}
	c.note("linking code", code)
	c.note("token of user support", token)
	c.note("temporary password", ordered.Password)
	for _, l := range append(w.Mailbox.Letters(caller.Email), w.Mailbox.Letters(asker.Email)...) {
		for _, address := range addressIn.FindAllString(l.Body, -1) {
			if u, err := url.Parse(address); err == nil {
				if secret := u.Path[strings.LastIndex(u.Path, "/")+1:]; len(secret) >= 20 {
					c.note("mailed link "+secret[:4], secret)
				}
			}
		}
	}
	c.visited("heikki", v)

	operates, v := w.Settled("oona.operaattori", "tietoapu", identity.MethodApp).With(identity.RoleOperator), w.Visitor()
	token = entrusted(tool, operates, v)
	rotated := must(api.RotateSecret(ctx, token, "tool", 0, portti.Apply))(t)
	if rotated.Secret == "" || code == "" || ordered.Password == "" || link == "" {
		t.Fatal("what is secret was not seen")
	}
	c.note("operator's token", token)
	c.note("rotated client secret", rotated.Secret)
	c.visited("oona", v)
}

// registered has software register itself, change and end its registration, and be
// refused at each (RFC 7591, RFC 7592); it notes what it is given and what it makes up.
func (c canary) registered(t *testing.T, w *World) {
	t.Helper()
	made, initial, err := w.Clients.NewRegistrationToken(t.Context(), operator.Name, "canary", 1, time.Hour, false)
	if err != nil {
		t.Fatal(err)
	}
	c.note("initial access token", initial)
	const chosen, guessed = "a-client-secret-that-software-has-chosen", "a-registration-token-that-was-guessed"
	c.note("chosen client secret", chosen)
	c.note("guessed registration token", guessed)
	browser := &http.Client{Transport: w.transport(nil)}
	send := func(method, address, token, body string, want int) (got struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
		Manage string `json:"registration_access_token"`
		URI    string `json:"registration_client_uri"`
	}) {
		t.Helper()
		r := must(http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body)))(t)
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+token)
		response := must(browser.Do(r))(t)
		raw := must(io.ReadAll(response.Body))(t)
		if err := response.Body.Close(); err != nil || response.StatusCode != want {
			t.Fatalf("%s %s: %d %s, %v", method, address, response.StatusCode, raw, err)
		}
		if json.Unmarshal(raw, &got) == nil {
			c.note(method+" client secret", got.Secret)
			c.note(method+" registration token", got.Manage)
		}
		return got
	}
	register := w.Issuer() + openid.RegisterPath
	metadata := `{"redirect_uris":["` + w.Origin("other") + `/callback"],"client_name":"Canary"`
	send("POST", register, guessed, metadata+`}`, http.StatusUnauthorized)
	send("POST", register, initial, metadata+`,"client_secret":"`+chosen+`","token_endpoint_auth_method":"none of ours"}`, http.StatusBadRequest)
	client := send("POST", register, initial, metadata+`,"client_secret":"`+chosen+`"}`, http.StatusCreated)
	if client.Secret == "" || client.Manage == "" || client.Secret == chosen {
		t.Fatalf("what is secret was not seen: %+v", client)
	}
	send("GET", client.URI, guessed, "", http.StatusUnauthorized)
	send("GET", client.URI, client.Manage, "", http.StatusOK)
	send("PUT", client.URI, client.Manage, metadata+`,"client_id":"`+client.ID+`","client_secret":"`+chosen+`"}`, http.StatusBadRequest)
	send("PUT", client.URI, client.Manage, metadata+`,"client_id":"`+client.ID+`","client_secret":"`+client.Secret+`","client_uri":"`+w.Origin("other")+`/"}`, http.StatusOK)
	send("DELETE", client.URI, client.Manage, "", http.StatusNoContent)
	if err := w.Clients.RevokeRegistrationToken(t.Context(), operator.Name, made.ID); err != nil {
		t.Fatal(err)
	}
}

// wholeTrail is every event as text; with those that must be there.
func wholeTrail(t *testing.T, w *World, want ...audit.Type) string {
	t.Helper()
	events := must(w.Replicas[0].Store.AuditEvents(t.Context(), store.Trail{Limit: 100_000}))(t)
	types := map[audit.Type]bool{}
	for _, e := range events {
		types[e.Type] = true
		if e.Actor == "" || e.At.IsZero() {
			t.Errorf("nobody, or never: %+v", e)
		}
		if strings.HasPrefix(e.Actor, "user:") && e.Address == "" && e.Type != audit.UserRolesChanged && e.At.After(w.Clock.Now().Add(-30*60e9)) {
			t.Errorf("a person's act from nowhere: %+v", e)
		}
	}
	for _, k := range want {
		if !types[k] {
			t.Errorf("the trail has no %s", k)
		}
	}
	return string(must(json.Marshal(events))(t))
}
