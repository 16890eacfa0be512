package console

import (
	"testing"

	"github.com/portti-id/portti/internal/app/apptest"
	"github.com/portti-id/portti/pkg/portti"
)

// kit is the Console before a provider that signs in whom the test says, and an
// API that answers what the test says.
type kit struct {
	*apptest.Kit
	api *apptest.API
}

// newKit starts the Console; edit may change its settings first. Somebody with
// every right is signed in, as an operator; see as.
func newKit(t *testing.T, edit ...func(c *Config)) *kit {
	t.Helper()
	base, serve := apptest.New(t)
	k := &kit{base, &apptest.API{T: t}}
	k.as(operator)
	k.api.Answer("GET /api/v1/people/counts", portti.PeopleCounts{})
	k.api.Answer("GET /api/v1/card-approvals", portti.CardApprovals{})
	k.api.Answer("GET /api/v1/confirmations", portti.WaitingConfirmations{})
	c := Config{URL: k.URL, Issuer: k.OP.URL, ClientID: k.OP.ClientID, ClientSecret: k.OP.ClientSecret, Brand: "Portti", SupportPhone: "020 343 433",
		HTTPClient: apptest.Client(k.api), Log: k.Logger(), Now: k.Now}
	for _, f := range edit {
		f(&c)
	}
	p, err := New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	serve(p.Handler())
	return k
}

// as makes the API see this person in every session.
func (k *kit) as(s portti.Staff) { k.api.Answer("GET /api/v1/staff", s) }

// with is somebody of a role with rights.
func with(role string, rights ...string) portti.Staff {
	return portti.Staff{ID: "u1", Username: "oona", Name: "Oona Operaattori", Language: "fi", Organisation: portti.OrganisationName{ID: "o1", Name: "Esimerkkivirasto"},
		Roles: []string{role}, Rights: append([]string{"console.use"}, rights...), Support: "020 343 433"}
}

// People with the rights of their roles, as the API lists them.
var (
	operator = with("operator", "people.see", "people.create", "people.change", "people.disable", "people.enable", "people.roles", "password.first", "trace.see",
		"organisations.see", "organisations.change", "policy.change", "clients.see", "clients.change", "refusals.see", "trust.see", "trust.change", "keys.see", "keys.change",
		"letters.see", "letters.retry", "audit.see", "statistics.see")
	auditor  = with("auditor", "people.see", "organisations.see", "clients.see", "trust.see", "keys.see", "letters.see", "audit.see", "statistics.see")
	helpDesk = with("helpdesk", "people.see", "card.approve", "identity.check", "password.order", "authenticator.remove", "authenticator.unlock", "authenticator.resync",
		"linking_code.issue", "account.unfreeze", "sessions.end", "trace.see", "organisations.see", "statistics.see")
	responsible = with("responsible", "people.see", "people.create", "people.change", "people.disable", "people.enable", "password.first", "card.approve",
		"organisations.see", "policy.change", "audit.see", "statistics.see")
)
