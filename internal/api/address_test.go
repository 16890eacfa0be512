package api

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/pkg/portti"
)

const peer = "192.0.2.1" // of every call of a house

func (h *house) request(as, method, path string) *http.Request {
	r := httptest.NewRequestWithContext(h.t.Context(), method, path, nil)
	r.Header.Set("Authorization", "Bearer "+as)
	return r
}

func (h *house) answer(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.handler.ServeHTTP(w, r)
	return w
}

// mark registers the Console anew.
func (h *house) mark(change func(c *openid.Client)) {
	h.t.Helper()
	c, err := h.db.Client(h.t.Context(), "console")
	h.must(err)
	change(&c)
	h.must(h.db.ChangeClient(h.t.Context(), c, audit.Event{Type: audit.ClientChanged, Client: c.ID}))
}

// exportedFrom has somebody take a list, with a header, and gives the address of the event.
func (h *house) exportedFrom(as string, values ...string) string {
	h.t.Helper()
	before := len(h.recorded(audit.PeopleExported))
	r := h.request(as, http.MethodGet, "/api/v1/people.csv")
	r.Header[portti.VisitorHeader] = values
	if w := h.answer(r); w.Code != http.StatusOK {
		h.t.Fatalf("%d %s", w.Code, w.Body)
	}
	events := h.recorded(audit.PeopleExported)
	if len(events) != before+1 {
		h.t.Fatalf("%d events", len(events)-before)
	}
	return events[0].Address
}

// The browser's address is what an app says that an operator has registered so, and
// nobody else; and only if it is one plain address.
func TestWhoseWordCountsForAnAddress(t *testing.T) {
	h := newHouse(t)
	const as = "west/auditor"
	const forged = "203.0.113.66"
	if from := h.exportedFrom(as, forged); from != peer {
		t.Errorf("a client that is not registered so: %s", from)
	}
	h.mark(func(c *openid.Client) { c.ForwardsAddresses = true })
	for header, want := range map[string]string{
		"198.51.100.7": "198.51.100.7", "2001:db8::7": "2001:db8::7", "2001:0db8::0:7": "2001:db8::7", "::ffff:198.51.100.7": "198.51.100.7",
		"": peer, "unknown": peer, "198.51.100.7:443": peer, "[2001:db8::7]": peer, "198.51.100.7, 203.0.113.1": peer, "for=198.51.100.7": peer, "fe80::1%eth0": peer,
		"198.51.100.07": peer, "198.51.100": peer, "0.0.0.0": peer, "::": peer, "224.0.0.1": peer, "198.51.100.7\x00": peer, strings.Repeat("1", 5000): peer,
	} {
		if from := h.exportedFrom(as, header); from != want {
			t.Errorf("%.40q: from %s, want %s", header, from, want)
		}
	}
	if from := h.exportedFrom(as, "198.51.100.7", "198.51.100.8"); from != peer {
		t.Errorf("the header twice: %s", from)
	}
	if from := h.exportedFrom(as); from != peer {
		t.Errorf("no header: %s", from)
	}

	// The header comes with a token of somebody else's, and of nobody who is known.
	h.must(h.db.ChangeClient(t.Context(), openid.Client{ID: "other", Name: map[string]string{"en": "Other"}, AuthMethod: openid.AuthBasic, Scopes: []string{"openid", "manage"},
		GrantTypes: []openid.GrantType{openid.GrantCode}}, audit.Event{Type: audit.ClientCreated, Client: "other"}))
	foreign := h.grants[as]
	foreign.Client = "other"
	h.grants["foreign"] = foreign
	if from := h.exportedFrom("foreign", forged); from != peer {
		t.Errorf("another client's word counts: %s", from)
	}
	r := h.request("foreign", http.MethodGet, "/api/v1/staff")
	r.Header.Set(portti.VisitorHeader, forged)
	for _, client := range []string{"", "nobody"} {
		if from, err := h.addressOf(r, openid.Grant{Client: client}); err != nil || from.String() != peer {
			t.Errorf("client %q: %s, %v", client, from, err)
		}
	}

	// Whatever a row says: neither public clients, whose users hold the tokens, nor
	// those that came by themselves, nor those that were stopped.
	for name, change := range map[string]func(c *openid.Client){
		"public":          func(c *openid.Client) { c.AuthMethod, c.SecretHash = openid.AuthNone, "" },
		"self-registered": func(c *openid.Client) { c.RegistrationTokenHash = strings.Repeat("0b", 32) },
		"stopped":         func(c *openid.Client) { c.Disabled = time.Now() },
	} {
		c := openid.Client{AuthMethod: openid.AuthBasic, Options: openid.Options{ForwardsAddresses: true}}
		if !c.Forwards() {
			t.Fatal("one that is registered so is not believed")
		}
		if change(&c); c.Forwards() {
			t.Errorf("a %s client is believed", name)
		}
	}
}

// The address holds for every kind of operation: on one's own account, on people, on
// clients, on keys.
func TestEveryOperationKnowsTheVisitor(t *testing.T) {
	h := newHouse(t)
	h.mark(func(c *openid.Client) { c.ForwardsAddresses = true })
	const visitor = "2001:db8::7"
	const as = "west/operator"
	g := h.grants[as]
	g.Session = "sid-of-the-operator"
	h.grants[as] = g
	self := h.grants["west/employee"]
	self.Scopes = []string{"openid", "us"}
	h.grants["self"] = self
	for _, c := range []struct {
		as, method, path, body string
		event                  audit.Type
	}{
		{as, "POST", "/api/v1/clients/console/secret", `{"keep":60}`, audit.ClientChanged},
		{as, "POST", "/api/v1/keys/P-256/prepare", ``, audit.KeyCreated},
		{as, "POST", "/api/v1/people/" + string(h.people["west/employee"]) + "/disable", `{"reason":"left","ticket":"T-1"}`, audit.UserDisabled},
		{as, "POST", "/api/v1/organisations", `{"id":"new","name":"New","policy":{"methods":["app"]},"delivery":"handover","card_holder":"approve"}`, audit.OrganisationCreated},
	} {
		if status, code := h.ask(c.as, c.method, c.path, c.body, map[string]string{portti.VisitorHeader: visitor}, nil); status >= 300 {
			t.Errorf("%s: %d %s", c.path, status, code)
			continue
		}
		if events := h.recorded(c.event); len(events) == 0 || events[0].Address != visitor || events[0].Session != g.Session || events[0].Method != "app" {
			t.Errorf("%s: %+v", c.path, events)
		}
	}
	r := h.request("self", http.MethodGet, "/api/v1/me")
	r.Header.Set(portti.VisitorHeader, visitor)
	seen, r, err := h.API.self(nil, r)
	if err != nil || seen.Address != visitor || openid.AddressOf(r.Context()) != visitor {
		t.Errorf("%+v, %v", seen, err)
	}
}
