package console

import (
	"testing"

	"github.com/portti-id/portti/internal/web"
	"github.com/portti-id/portti/internal/web/webtest"
)

// structs are the pages and what they are rendered with.
var structs = map[string]web.Content{
	"home": &homePage{}, "no_role": &plainPage{}, "signed_out": &plainPage{}, "clients": &clientsPage{},
	"people": &peoplePage{}, "person": &personPage{}, "person_new": &newPersonPage{}, "person_issued": &issuedPage{}, "person_edit": &editPersonPage{},
	"import_file": &importFilePage{}, "import": &importPage{},
	"person_act": &actPage{}, "person_roles": &rolesPage{},
	"organisations": &organisationsPage{}, "organisation": &organisationPage{}, "organisation_new": &newOrganisationPage{}, "organisation_edit": &editOrganisationPage{},
	"organisation_turn": &turnPage{}, "policy": &policyPage{}, "policy_confirm": &policyConfirmPage{}, "affected": &affectedPage{},
	"case": &casePage{}, "case_work": &workPage{}, "case_act": &caseActPage{}, "case_issued": &caseIssuedPage{}, "card_approvals": &approvalsPage{}, "card_approval": &approvalPage{},
	"confirmations": &confirmationsPage{}, "confirmation": &confirmationPage{},
	"audit": &auditPage{}, "statistics": &statisticsPage{},
	"letters": &lettersPage{}, "letter_discard": &discardPage{}, "trust": &trustPage{}, "keys": &keysPage{}, "key_change": &keyChangePage{},
	"client": &clientPage{}, "client_doctor": &clientPage{}, "client_disable": &clientPage{}, "client_enable": &clientPage{}, "client_rotate": &clientPage{}, "client_test": &clientTestPage{}, "gone": &gonePage{},
	"client_secret": &secretPage{}, "client_form": &formPage{}, "client_document": &formPage{}, "refusal": &refusalPage{}, "client_requests": &coursesPage{},
	"trace_find": &traceFindPage{}, "trace": &tracePage{}, "traces": &tracesPage{},
}

// Every template fits the struct that it is rendered with, also on paths that no
// test takes.
func TestTemplatesFitTheirStructs(t *testing.T) {
	site := webtest.NewSite(t, func(s *web.Settings) { s.Pages = []string{"console"} })
	checked := map[string]web.Content{}
	for name, page := range structs {
		checked["console/"+name] = page
	}
	webtest.TypeCheck(t, site, checked)
	for _, name := range site.PageNames() {
		if checked[name] == nil && name != "error" {
			t.Errorf("no struct is rendered with %s", name)
		}
	}
}
