package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/ephemeral"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/keys"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/password"
	"github.com/portti-id/portti/internal/session"
	"github.com/portti-id/portti/internal/store"
	"github.com/portti-id/portti/internal/storetest"
	"github.com/portti-id/portti/internal/throttle"
	"github.com/portti-id/portti/internal/totp"
	"github.com/portti-id/portti/internal/web"
)

// house is the API with a person of every role in two organisations.
type house struct {
	*API
	t       *testing.T
	db      *store.Store
	handler http.Handler
	grants  map[string]openid.Grant
	people  map[string]identity.UserID // "west/helpdesk"
}

func (h *house) Caller(_ http.ResponseWriter, r *http.Request) (openid.Grant, error) {
	if g, ok := h.grants[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]; ok {
		return g, nil
	}
	return openid.Grant{}, fault.New(fault.Unauthenticated, "invalid_token", "The access token is not valid.")
}

var everyRole = append([]identity.Role{0}, identity.AllRoles...) // 0: an employee

func roleName(r identity.Role) string {
	if r == 0 {
		return "employee"
	}
	return r.String()
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{t: t, db: storetest.Open(t, store.SQLite), grants: map[string]openid.Grant{}, people: map[string]identity.UserID{}}
	site, err := web.New(web.Settings{Brand: "Portti", PublicURL: "http://id.localhost", Pages: []string{"signin"}})
	h.must(err)
	h.API = &API{Directory: directoryOver(t, h.db), Tokens: h, Registered: h.db, Clients: &openid.Clients{Store: h.db, ACR: openid.NewACRs("urn:portti:acr:"), Now: time.Now},
		Refusals: noRefusals{}, Checkups: noCheckups{}, Previews: noPreviews{}, Issuer: "https://id.example", Now: time.Now, MinPassword: 15}
	h.Letters, h.CardTrust.Strangers, h.Texts = h.db, h.db, site.Texts()
	master, err := keys.ReadMaster(strings.NewReader(keys.GenerateMaster() + "\n"))
	h.must(err)
	h.Keys, err = keys.OpenRing(t.Context(), h.db.Keys(), master, keys.Options{Kinds: []keys.Kind{keys.P256}, SignFor: 90 * 24 * time.Hour})
	h.must(err)
	h.Handle, h.HandleLarge = site.HandleJSON, site.HandleLargeJSON
	h.Address = func(*http.Request) netip.Addr { return netip.MustParseAddr("192.0.2.1") }
	mux := http.NewServeMux()
	h.Routes(mux)
	h.handler = mux
	ctx := t.Context()
	h.must(h.db.ChangeClient(ctx, openid.Client{ID: "console", Name: map[string]string{"en": "Console"}, AuthMethod: openid.AuthBasic, SecretHash: strings.Repeat("0a", 32), Algorithm: keys.ES256,
		GrantTypes: []openid.GrantType{openid.GrantCode}, RedirectURIs: []string{"https://console.example/cb"}, Scopes: []string{"openid", "clients", "manage"}}, audit.Event{Type: audit.ClientCreated, Client: "console"}))
	for _, org := range []identity.OrganisationID{"west", "east"} {
		_, err := h.Directory.CreateOrganisation(ctx, identity.System, identity.Organisation{ID: org, Name: string(org), Methods: identity.MethodsOf(identity.MethodApp), Delivery: identity.ByHandover})
		h.must(err)
		for _, role := range everyRole {
			h.add(org, roleName(role), role)
		}
	}
	return h
}

// add makes somebody of a role, whom calls name "ORGANISATION/NAME".
func (h *house) add(org identity.OrganisationID, name string, role identity.Role) {
	h.t.Helper()
	ctx := h.t.Context()
	name = string(org) + "/" + name
	u, _, err := h.Directory.CreateUser(ctx, identity.System, identity.User{Username: strings.ReplaceAll(name, "/", "-"), Organisation: org, GivenName: "A", FamilyName: "B", Language: "en"})
	h.must(err)
	p, err := h.db.Person(ctx, u.ID)
	h.must(err)
	_, err = h.Directory.ReplaceTemporary(ctx, p, "a long enough password of mine", "")
	h.must(err)
	if role != 0 {
		_, err = h.Directory.ChangeRoles(ctx, identity.System, u.ID, identity.RolesOf(role), 0)
		h.must(err)
	}
	h.people[name] = u.ID
	p, err = h.db.Person(ctx, u.ID)
	h.must(err)
	h.grants[name] = openid.Grant{Kind: openid.GrantCode, Client: "console", User: string(u.ID), Epoch: p.User.Epoch, Level: session.Full, Method: session.App,
		AuthTime: time.Now(), Scopes: []string{"openid", "clients", "manage"}}
}

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// call sends what a caller of a role would, and gives the status and the code.
func (h *house) call(as string, o operation, fill map[string]string) (int, string) {
	h.t.Helper()
	method, path, _ := strings.Cut(o.pattern, " ")
	path = regexp.MustCompile(`\{(\w+)\}`).ReplaceAllStringFunc(path, func(name string) string {
		if v, ok := fill[strings.Trim(name, "{}")]; ok {
			return v
		}
		return "none"
	})
	r := httptest.NewRequestWithContext(context.Background(), method, path, strings.NewReader(h.earnest(o.in)))
	r.Header.Set("Authorization", "Bearer "+as)
	r.Header.Set("If-Match", `"1"`)
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.handler.ServeHTTP(w, r)
	_, code, _ := strings.Cut(w.Body.String(), `"code":"`)
	code, _, _ = strings.Cut(code, `"`)
	return w.Code, code
}

// earnest is a body that nothing is wrong with by itself, or what is refused would be
// the body, and whoever may not act would look refused as well.
func (h *house) earnest(in reflect.Type) string {
	h.t.Helper()
	examples := map[string]any{"reason": "has phoned", "ticket": "T-1", "check": "none", "method": "employer_confirmed", "act": "password.order", "first": "123456", "second": "654321",
		"minutes": 30, "give": []string{"auditor"}, "given_name": "A", "family_name": "B", "language": "fi", "name": "A name", "methods": []string{"card"}, "delivery": "handover"}
	members := map[string]any{}
	if in.Kind() == reflect.Struct {
		for _, f := range reflect.VisibleFields(in) {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if example, ok := examples[name]; ok && !f.Anonymous {
				members[name] = example
			}
		}
	}
	body, err := json.Marshal(members)
	h.must(err)
	return string(body)
}

// Every operation asks for one right, and every role without it is refused, each
// by each (S64). Whoever has it is not stopped by the role: what comes is about
// what was sent.
func TestEveryOperationAsksForItsRight(t *testing.T) {
	h := newHouse(t)
	operations := 0
	for _, o := range h.operations() {
		if o.right == "" {
			if !strings.Contains(o.pattern, " /api/v1/me") {
				t.Errorf("%s asks for no right", o.pattern)
			}
			continue
		}
		operations++
		for _, role := range everyRole {
			reach := identity.Roles(role).Reach(o.right)
			status, code := h.call("west/"+roleName(role), o, nil)
			switch {
			case reach == identity.Nobody && (status != http.StatusForbidden || code != "not_allowed"):
				t.Errorf("%s as %s: %d %s, and it must be refused", o.pattern, roleName(role), status, code)
			case reach != identity.Nobody && (code == "not_allowed" || status == http.StatusUnauthorized || code == errScope.Code || status >= http.StatusInternalServerError):
				t.Errorf("%s as %s: %d %s, and the role has %s", o.pattern, roleName(role), status, code, o.right)
			}
		}
	}
	if operations < 9 {
		t.Errorf("only %d operations ask for a right", operations)
	}
}

// A person and an organisation of another employer are as if they were not there,
// for everything that a responsible user may do (S65).
func TestOrganisationsAreIsolated(t *testing.T) {
	h := newHouse(t)
	there := map[string]string{"user": string(h.people["east/employee"]), "organisation": "east"}
	nowhere := map[string]string{"user": "nobody-at-all", "organisation": "nowhere"}
	for _, o := range h.operations() {
		if o.right == "" || identity.RolesOf(identity.RoleResponsible).Reach(o.right) != identity.OwnOrganisation || !strings.Contains(o.pattern, "{user}") && !strings.Contains(o.pattern, "{organisation}") {
			continue
		}
		status, code := h.call("west/responsible", o, there)
		if s, c := h.call("west/responsible", o, nowhere); s != status || c != code {
			t.Errorf("%s: %d %s for somebody else's, %d %s for nobody's: it tells who there is", o.pattern, status, code, s, c)
		}
		if status != http.StatusNotFound || code != "user_not_found" && code != "organisation_not_found" {
			t.Errorf("%s reaches into another organisation: %d %s", o.pattern, status, code)
		}
	}
}

// Nobody acts on their own account, nor on one that has as high a role (S64).
func TestNobodyActsOnThemselvesOrUpwards(t *testing.T) {
	h := newHouse(t)
	for _, role := range identity.AllRoles { // a colleague of each
		h.add("west", "other-"+roleName(role), role)
	}
	for _, o := range h.operations() {
		if o.right == "" || !strings.Contains(o.pattern, "{user}") || strings.HasPrefix(o.pattern, "GET ") {
			continue
		}
		for _, role := range identity.AllRoles {
			if identity.RolesOf(role).Reach(o.right) == identity.Nobody {
				continue
			}
			as := "west/" + roleName(role)
			before := h.account(h.people[as])
			if _, code := h.call(as, o, map[string]string{"user": string(h.people[as])}); code != "own_account" || h.account(h.people[as]) != before {
				t.Errorf("%s by %s on themselves: %s", o.pattern, as, code)
			}
			for _, higher := range identity.AllRoles {
				if role == identity.RoleOperator || rankOf(higher) < rankOf(role) {
					continue
				}
				target := h.people["west/other-"+roleName(higher)]
				before := h.account(target)
				if _, code := h.call(as, o, map[string]string{"user": string(target)}); code != "higher_account" || h.account(target) != before {
					t.Errorf("%s by %s on %s: %s", o.pattern, as, roleName(higher), code)
				}
			}
		}
	}
}

func rankOf(r identity.Role) int {
	return map[identity.Role]int{identity.RoleResponsible: 1, identity.RoleHelpDesk: 2, identity.RoleOperator: 3, identity.RoleAuditor: 3}[r]
}

func (h *house) account(id identity.UserID) identity.User {
	h.t.Helper()
	p, err := h.db.Person(h.t.Context(), id)
	h.must(err)
	return p.User
}

// directoryOver is a directory over a database, with cheap hashes.
func directoryOver(t *testing.T, db *store.Store) *identity.Directory {
	t.Helper()
	hasher, err := password.NewHasher(password.Params{MemoryKiB: 64, Time: 1})
	if err != nil {
		t.Fatal(err)
	}
	rules, err := password.NewRules(0)
	if err != nil {
		t.Fatal(err)
	}
	names, err := totp.NewNames("PORTTI", "", false)
	if err != nil {
		t.Fatal(err)
	}
	master, err := keys.ReadMaster(strings.NewReader(keys.GenerateMaster() + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	memory := ephemeral.NewMemory(time.Now)
	t.Cleanup(func() { _ = memory.Close() })
	return &identity.Directory{Store: db, Hasher: hasher, Rules: rules, Sealer: master, Ephemeral: memory, Throttle: &throttle.Throttle{Store: memory}, Audit: db, Traces: db, Now: time.Now, Names: names}
}

type noRefusals struct{}

func (noRefusals) Course(context.Context, string) (openid.Course, error) {
	return openid.Course{}, fault.New(fault.NotFound, "refusal_unknown", "Nothing.")
}

func (noRefusals) Courses(context.Context, string) ([]openid.Course, error) {
	return []openid.Course{}, nil
}

func (noRefusals) Refusal(context.Context, string) (openid.Refusal, error) {
	return openid.Refusal{}, fault.New(fault.NotFound, "refusal_unknown", "Unknown.")
}

type noPreviews struct{}

func (noPreviews) Preview(context.Context, openid.Client, openid.Grant) (openid.Preview, error) {
	return openid.Preview{}, nil
}

type noCheckups struct{}

func (noCheckups) Checkup(context.Context, openid.Client) []openid.Finding { return nil }
