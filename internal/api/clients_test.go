package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/keys"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/session"
	"github.com/portti-id/portti/internal/store"
	"github.com/portti-id/portti/pkg/portti"
)

var byHand = identity.Actor{Name: "operator:test", Operator: true}

// operators has two clients that may do what operators do, and a person who is one.
func operators(t *testing.T) *world {
	w := newWorld(t)
	w.register("console", openid.GrantCode, "openid", "clients")
	w.register("robot", openid.GrantClient, "clients")
	_, err := w.directory.ChangeRoles(t.Context(), byHand, w.user, identity.RolesOf(identity.RoleOperator), 0)
	w.must(err)
	return w
}

func (w *world) register(id string, grant openid.GrantType, scopes ...string) {
	w.t.Helper()
	c := openid.Client{ID: id, Name: map[string]string{"en": id}, AuthMethod: openid.AuthBasic, GrantTypes: []openid.GrantType{grant}, Scopes: scopes}
	if grant == openid.GrantCode {
		c.RedirectURIs = []string{"https://" + id + ".example/cb"}
	}
	c.SecretHash, c.Algorithm = strings.Repeat("0a", 32), keys.RS256
	w.must(w.db.ChangeClient(w.t.Context(), c, audit.Event{Type: audit.ClientCreated, Client: id}))
}

// edit changes a registration behind the API's back.
func (w *world) edit(id string, f func(c *openid.Client)) {
	w.t.Helper()
	c, err := w.db.Client(w.t.Context(), id)
	w.must(err)
	f(&c)
	w.must(w.db.ChangeClient(w.t.Context(), c, audit.Event{Type: audit.ClientChanged, Client: id}))
}

// person is a token of the operator's sign-in at the Console.
func (w *world) person(edit ...func(g *openid.Grant)) string {
	w.t.Helper()
	p, err := w.db.Person(w.t.Context(), w.user)
	w.must(err)
	return w.grant(openid.Grant{Kind: openid.GrantCode, Client: "console", User: string(w.user), Epoch: p.User.Epoch, Level: session.Full, Method: session.App, AuthTime: time.Now(),
		Scopes: []string{"openid", "clients"}}, edit)
}

// robot is a token of a program.
func (w *world) robot(edit ...func(g *openid.Grant)) string {
	return w.grant(openid.Grant{Kind: openid.GrantClient, Client: "robot", Scopes: []string{"clients"}}, edit)
}

func (w *world) grant(g openid.Grant, edit []func(g *openid.Grant)) string {
	for _, e := range edit {
		e(&g)
	}
	token := "grant-" + string(rune('a'+len(w.tokens)))
	w.tokens[token] = g
	return token
}

func document(id string) portti.Registration {
	return portti.Registration{ID: id, Name: "The " + id, RedirectURIs: []string{"https://" + id + ".example/cb"}, Scope: "openid profile"}
}

// Every change through the API, with its event in the caller's name.
func TestOperatorsRegisterClients(t *testing.T) {
	for who, token := range map[string]func(w *world) string{"person": func(w *world) string { return w.person() }, "program": func(w *world) string { return w.robot() }} {
		t.Run(who, func(t *testing.T) {
			w := operators(t)
			ctx, token, actor := t.Context(), token(w), "client:robot"
			if who == "person" {
				actor = "user:" + string(w.user)
			}
			made, err := w.RegisterClient(ctx, token, document("records"), portti.Apply)
			w.must(err)
			if len(made.Secret) != 43 || made.Version != 1 || made.Client.NameEn != "The records" || made.Client.AuthMethod != "client_secret_basic" || made.Created.IsZero() {
				t.Errorf("%+v", made)
			}
			one, err := w.RegisteredClient(ctx, token, "records")
			w.must(err)
			if one.Secret != "" {
				t.Error("the secret is shown twice")
			}
			one.Client.LogoURI = "https://records.example/logo.svg"
			two, err := w.ReplaceClient(ctx, token, "records", one.Version, one.Client, portti.Apply)
			w.must(err)
			if two.Version != 2 || two.Client.LogoURI == "" {
				t.Errorf("%+v", two)
			}
			rotated, err := w.RotateSecret(ctx, token, "records", time.Hour, portti.Apply)
			w.must(err)
			if len(rotated.Secret) != 43 || rotated.Secret == made.Secret || rotated.OldSecretUntil.IsZero() {
				t.Errorf("%+v", rotated)
			}
			off, err := w.DisableClient(ctx, token, "records", portti.Apply)
			w.must(err)
			on, err := w.EnableClient(ctx, token, "records", portti.Apply)
			w.must(err)
			if off.Disabled.IsZero() || !on.Disabled.IsZero() {
				t.Errorf("%+v %+v", off, on)
			}
			list, err := w.Client.Clients(ctx, token)
			w.must(err)
			if len(list) != 3 || list[1].Client.ID != "records" {
				t.Errorf("%+v", list)
			}
			events, err := w.db.AuditEvents(ctx, store.Trail{Limit: 5})
			w.must(err)
			for i, want := range []audit.Type{audit.ClientEnabled, audit.ClientDisabled, audit.ClientChanged, audit.ClientChanged, audit.ClientCreated} {
				if e := events[i]; e.Type != want || e.Actor != actor || e.Client != "records" || e.Address == "" {
					t.Errorf("event %d: %+v", i, e)
				}
			}
		})
	}
}

// One right, and everything that is not it.
func TestOnlyOperatorsReachClients(t *testing.T) {
	w := operators(t)
	ctx := t.Context()
	calls := map[string]func(token string) error{
		"doctor": func(token string) error { _, err := w.Refusal(ctx, token, "K7QM2XEA"); return err },
		"list":   func(token string) error { _, err := w.Client.Clients(ctx, token); return err },
		"show":   func(token string) error { _, err := w.RegisteredClient(ctx, token, "robot"); return err },
		"create": func(token string) error {
			_, err := w.RegisterClient(ctx, token, document("x"), portti.Apply)
			return err
		},
		"replace": func(token string) error {
			_, err := w.ReplaceClient(ctx, token, "robot", 1, document("robot"), portti.Apply)
			return err
		},
		"disable": func(token string) error { _, err := w.DisableClient(ctx, token, "robot", portti.Apply); return err },
		"enable":  func(token string) error { _, err := w.EnableClient(ctx, token, "robot", portti.Apply); return err },
		"secret":  func(token string) error { _, err := w.RotateSecret(ctx, token, "robot", 0, portti.Apply); return err },
	}
	refused := func(what, token, want string) {
		t.Helper()
		before, err := w.db.Clients(ctx)
		w.must(err)
		for name, call := range calls {
			if err := call(token); portti.Code(err) != want {
				t.Errorf("%s: %s: %v, want %s", what, name, err, want)
			}
		}
		after, err := w.db.Clients(ctx)
		w.must(err)
		for i, c := range after {
			if len(before) != len(after) || c.Version != before[i].Version {
				t.Errorf("%s: %s has changed", what, c.ID)
			}
		}
	}
	refused("nobody", "", "invalid_token")
	refused("a stranger", "unknown", "invalid_token")
	for what, edit := range map[string]func(g *openid.Grant){
		"another scope":            func(g *openid.Grant) { g.Scopes = []string{"openid", "us", "client", "clients.read"} },
		"a password alone":         func(g *openid.Grant) { g.Level, g.Method = session.Enrol, session.Password },
		"full by a password":       func(g *openid.Grant) { g.Method = session.Password },
		"a device":                 func(g *openid.Grant) { g.Kind = openid.GrantDevice },
		"an exchange":              func(g *openid.Grant) { g.Kind = openid.GrantExchange },
		"no kind":                  func(g *openid.Grant) { g.Kind = "" },
		"a person as a program":    func(g *openid.Grant) { g.Kind, g.Client = openid.GrantClient, "robot" },
		"nobody by a code":         func(g *openid.Grant) { g.User = "" },
		"a client that is unknown": func(g *openid.Grant) { g.Client = "none" },
		"another grant's client":   func(g *openid.Grant) { g.Client = "robot" },
	} {
		refused(what, w.person(edit), "insufficient_scope")
	}
	refused("a program without the scope", w.robot(func(g *openid.Grant) { g.Scopes = nil }), "insufficient_scope")
	refused("a program by another's grant", w.robot(func(g *openid.Grant) { g.Client = "console" }), "insufficient_scope")

	// The right is read at each use.
	person, robot := w.person(), w.robot()
	for _, token := range []string{person, robot} {
		w.must(calls["list"](token))
	}
	w.edit("robot", func(c *openid.Client) { c.Scopes = []string{"other"} })
	refused("a program whose scope was taken", robot, "insufficient_scope")
	w.edit("robot", func(c *openid.Client) { c.Scopes = []string{"clients"} })
	w.must(calls["list"](robot))
	w.edit("robot", func(c *openid.Client) { c.Disabled = time.Now() })
	refused("a disabled program", robot, "insufficient_scope")
	w.edit("console", func(c *openid.Client) { c.Scopes = []string{"openid"} })
	refused("a Console whose scope was taken", person, "insufficient_scope")
	w.edit("console", func(c *openid.Client) { c.Scopes = []string{"openid", "clients"} })
	w.must(calls["list"](person))
	w.permit(identity.MethodCard)
	refused("a method that the employer does not permit any more", person, "not_allowed")
	w.permit(identity.AllMethods...)
	w.must(calls["list"](person))
	w.edit("console", func(c *openid.Client) { c.RegistrationTokenHash = "0a" })
	refused("a Console that registered itself", person, "insufficient_scope")
	w.edit("console", func(c *openid.Client) { c.RegistrationTokenHash = "" })
	_, err := w.directory.ChangeRoles(ctx, byHand, w.user, 0, identity.RolesOf(identity.RoleOperator))
	w.must(err)
	refused("the role was taken, and the epoch with it", person, "session_expired")
	refused("without the role", w.person(), "not_allowed")
}

func (w *world) permit(ms ...identity.Method) {
	w.t.Helper()
	w.must(w.db.Change(w.t.Context(), func(tx identity.Tx) error {
		o, err := tx.Organisation("org")
		if err != nil {
			return err
		}
		o.Methods = identity.MethodsOf(ms...)
		return tx.SaveOrganisation(o)
	}))
}

func TestDryRunsWriteNothing(t *testing.T) {
	w := operators(t)
	ctx, token := t.Context(), w.person()
	_, err := w.RegisterClient(ctx, token, document("records"), portti.Apply)
	w.must(err)
	w.register("off", openid.GrantCode, "openid")
	_, err = w.DisableClient(ctx, token, "off", portti.Apply)
	w.must(err)
	trail := func() int {
		events, err := w.db.AuditEvents(ctx, store.Trail{Limit: 1000})
		w.must(err)
		return len(events)
	}
	before := trail()
	for name, call := range map[string]func() (portti.Registered, error){
		"create": func() (portti.Registered, error) {
			return w.RegisterClient(ctx, token, document("other"), portti.DryRun)
		},
		"replace": func() (portti.Registered, error) {
			return w.ReplaceClient(ctx, token, "records", 1, document("records"), portti.DryRun)
		},
		"disable": func() (portti.Registered, error) { return w.DisableClient(ctx, token, "records", portti.DryRun) },
		"enable":  func() (portti.Registered, error) { return w.EnableClient(ctx, token, "off", portti.DryRun) },
		"secret":  func() (portti.Registered, error) { return w.RotateSecret(ctx, token, "records", 0, portti.DryRun) },
	} {
		if r, err := call(); err != nil || r.Secret != "" || r.Client.ID == "" {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	if trail() != before {
		t.Error("a dry run wrote something")
	}
	if _, err := w.RegisterClient(ctx, token, document("records"), portti.DryRun); portti.Code(err) != "client_exists" {
		t.Errorf("a rehearsal that could not succeed: %v", err)
	}
	for _, query := range []string{"?dryrun=true", "?dry_run=1", "?dry_run", "?dry_run=true&dry_run=false", "?dry_run=true&x=y", "?%zz"} {
		if res, problem := w.send(token, "POST", "/api/v1/clients/records/disable"+query, "", nil); res.StatusCode != 400 || !strings.Contains(problem, "query_invalid") {
			t.Errorf("%s: %d %s", query, res.StatusCode, problem)
		}
	}
	if trail() != before {
		t.Error("a misspelt dry run did it")
	}
}

// A lost update is refused (RFC 9110 §13.1.1).
func TestReplaceNeedsWhatWasSeen(t *testing.T) {
	w := operators(t)
	ctx, token := t.Context(), w.person()
	_, err := w.RegisterClient(ctx, token, document("records"), portti.Apply)
	w.must(err)
	const path, body = "/api/v1/clients/records", `{"client_name":"New","redirect_uris":["https://new.example/cb"],"scope":"openid"}`
	res, problem := w.send(token, "PUT", path, body, nil)
	if res.StatusCode != 428 || !strings.Contains(problem, "precondition_required") {
		t.Errorf("%d %s", res.StatusCode, problem)
	}
	for _, tag := range []string{`"2"`, `1`, `W/"1"`, `""`, `"1`, `"01"`} {
		if res, problem := w.send(token, "PUT", path, body, http.Header{"If-Match": {tag}}); res.StatusCode != 412 || !strings.Contains(problem, "precondition_failed") {
			t.Errorf("%s: %d %s", tag, res.StatusCode, problem)
		}
	}
	res, answer := w.send(token, "PUT", path, body, http.Header{"If-Match": {`"7", "1"`}})
	if res.StatusCode != 200 || res.Header.Get("ETag") != `"2"` || res.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v %s", res.StatusCode, res.Header, answer)
	}
	errs := make(chan error, 20)
	for range 20 {
		go func() {
			_, err := w.ReplaceClient(ctx, token, "records", 2, document("records"), portti.Apply)
			errs <- err
		}()
	}
	won := 0
	for range 20 {
		switch err := <-errs; {
		case err == nil:
			won++
		case portti.Code(err) != "precondition_failed":
			t.Error(err)
		}
	}
	if won != 1 {
		t.Errorf("%d of 20 replaced the same version", won)
	}
}

// What is wrong is named by the member that was sent.
func TestWrongRegistrationsNameTheMember(t *testing.T) {
	w := operators(t)
	ctx, token := t.Context(), w.person()
	for member, edit := range map[string]func(r *portti.Registration){
		"client_id":                    func(r *portti.Registration) { r.ID = "~house" },
		"redirect_uris":                func(r *portti.Registration) { r.RedirectURIs = []string{"http://records.example/cb"} },
		"token_endpoint_auth_method":   func(r *portti.Registration) { r.AuthMethod = "client_secret_jwt" },
		"scope":                        func(r *portti.Registration) { r.Scope = "profile" },
		"id_token_signed_response_alg": func(r *portti.Registration) { r.Algorithm = "none" },
		"application_type":             func(r *portti.Registration) { r.ApplicationType = "desktop" },
		"access_token_lifetime":        func(r *portti.Registration) { r.AccessTokenTTL = 1 },
		"client_uri":                   func(r *portti.Registration) { r.HomeURI = "javascript:alert(1)" },
		"client_name":                  func(r *portti.Registration) { r.Name = "a\nb" },
		"jwks_uri":                     func(r *portti.Registration) { r.JWKSURI = "http://records.example/jwks" },
		"methods":                      func(r *portti.Registration) { r.Methods = []string{"sms"} },
	} {
		r := document("records")
		edit(&r)
		_, err := w.RegisterClient(ctx, token, r, portti.Apply)
		var problem *portti.Error
		if !errors.As(err, &problem) || problem.Code != "client_invalid" || problem.Field != member || !strings.HasPrefix(problem.Detail, member+": ") || problem.Status != 400 || problem.Reference == "" {
			t.Errorf("%s: %+v", member, problem)
		}
	}
	for _, body := range []string{"", "[]", `{"redirect_uri":"x"}`, `{"registration_token_hash":"0a"}`, `{} {}`} {
		if res, _ := w.send(token, "POST", "/api/v1/clients", body, nil); res.StatusCode != 400 {
			t.Errorf("%q: %d", body, res.StatusCode)
		}
	}
	wraps := document("records")
	wraps.AccessTokenTTL = 18446744433 // 2⁶⁴ ns and six minutes
	var problem *portti.Error
	if _, err := w.RegisterClient(ctx, token, wraps, portti.Apply); !errors.As(err, &problem) || problem.Field != "access_token_lifetime" {
		t.Errorf("585 years: %v", err)
	}
	if _, err := w.RegisteredClient(ctx, token, "none"); portti.Code(err) != "client_not_found" {
		t.Error(err)
	}
	for _, keep := range []time.Duration{-time.Second, 31 * 24 * time.Hour, 1<<63 - 1} {
		if _, err := w.RotateSecret(ctx, token, "console", keep, portti.Apply); portti.Code(err) != "client_invalid" {
			t.Errorf("%s: %v", keep, err)
		}
	}
	if _, err := w.ReplaceClient(ctx, token, "console", 1, document("robot"), portti.Apply); portti.Code(err) != "client_invalid" {
		t.Errorf("another client's document: %v", err)
	}
}

func TestOperatorsSeeWhyARequestWasRefused(t *testing.T) {
	w := operators(t)
	f, err := w.Refusal(t.Context(), w.robot(), "K7QM2XEA")
	if err != nil || f.Cause != "address_slash" || !strings.Contains(f.Explanation, "slash") || f.Parameter != "redirect_uri" || len(f.Sent) != 1 || f.Sent[0].Length != 43 {
		t.Errorf("%+v %v", f, err)
	}
	if _, err := w.Refusal(t.Context(), w.person(), "other"); portti.Code(err) != "refusal_unknown" {
		t.Error(err)
	}
}

// Hashes and secrets stay inside.
func TestNoHashIsShown(t *testing.T) {
	w := operators(t)
	c, err := w.db.Client(t.Context(), "console")
	w.must(err)
	for _, path := range []string{"/api/v1/clients", "/api/v1/clients/console"} {
		res, body := w.send(w.person(), "GET", path, "", nil)
		if res.StatusCode != 200 || strings.Contains(body, c.SecretHash) || strings.Contains(body, "hash") {
			t.Errorf("%s: %d %s", path, res.StatusCode, body)
		}
	}
}

func (w *world) send(token, method, path, body string, header http.Header) (*http.Response, string) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.Issuer+path, strings.NewReader(body))
	w.must(err)
	for name, values := range header {
		req.Header[name] = values
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := w.HTTP.Do(req)
	w.must(err)
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	w.must(err)
	return res, string(raw)
}

// checkups finds what a test registers without a contact.
type checkups struct{}

func (checkups) Checkup(_ context.Context, c openid.Client) []openid.Finding {
	return openid.Checkup(c, openid.NewACRs("urn:portti:acr:"), false, time.Now())
}

// The doctor says what is wrong with a registration, in words of its own, the
// worst first; to those who may see it.
func TestTheClientDoctor(t *testing.T) {
	w := operators(t)
	found, err := w.ClientDoctor(t.Context(), w.person(), "console")
	w.must(err)
	if len(found) < 3 || found[0].Symptom != "no_pkce" || found[0].Weight != "warning" || found[0].Member != "require_pkce" || found[0].Explanation == "" {
		t.Errorf("%+v", found)
	}
	if _, err := w.ClientDoctor(t.Context(), w.robot(), "none"); portti.Code(err) != "client_not_found" {
		t.Errorf("of nobody: %v", err)
	}
	if _, err := w.ClientDoctor(t.Context(), w.person(func(g *openid.Grant) { g.Scopes = []string{"openid"} }), "console"); portti.Code(err) != "insufficient_scope" {
		t.Errorf("without the scope: %v", err)
	}
}

// previews tells whom it was asked about.
type previews struct{}

func (previews) Preview(_ context.Context, c openid.Client, g openid.Grant) (openid.Preview, error) {
	return openid.Preview{Scope: c.ID, IDToken: json.RawMessage(`{"sub":"` + g.User + `"}`)}, nil
}

// What a client would be told is told of the caller, and of nobody where a program asks.
func TestAPreviewIsOfTheCaller(t *testing.T) {
	w, ctx := operators(t), t.Context()
	p, err := w.ClientPreview(ctx, w.person(), "robot")
	if err != nil || p.Scope != "robot" || string(p.IDToken) != `{"sub":"`+string(w.user)+`"}` {
		t.Errorf("%+v %v", p, err)
	}
	if p, err := w.ClientPreview(ctx, w.robot(), "console"); portti.Code(err) != "not_allowed" || p.IDToken != nil {
		t.Errorf("a program is told %+v %v", p, err)
	}
	if _, err := w.ClientPreview(ctx, w.person(), "nobody"); portti.Code(err) != "client_not_found" {
		t.Errorf("no such client: %v", err)
	}
}
