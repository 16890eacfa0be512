package main

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/cardtest"
	"github.com/portti-id/portti/internal/store"
	"github.com/portti-id/portti/internal/storetest"
)

// withCards adds a card host with a PKI, whose lists are at a server of its own, and
// puts the organisation CA's list into the folder.
func (k *kit) withCards() (*cardtest.PKI, *cardtest.Server) {
	k.t.Helper()
	pki := cardtest.ForTest(k.t)
	lists := cardtest.NewServer(pki, nil)
	site := httptest.NewServer(lists)
	k.t.Cleanup(site.Close)
	pki.MoveTo(site.URL)
	dir := filepath.Join(k.folder(), "cards")
	if err := pki.Save(dir); err != nil {
		k.t.Fatal(err)
	}
	k.file("card.crt", "")
	k.file("card.key", "x")
	settings, err := os.ReadFile(k.config)
	if err != nil {
		k.t.Fatal(err)
	}
	k.file("portti.yaml", string(settings)+"card:\n  url: https://card.example.fi\n  certificate_file: card.crt\n  key_file: card.key\n  trust: {folder: "+dir+", accept_test_cas: true}\n")
	k.putList("organisation.crl", lists, pki.Organisation)
	return pki, lists
}

func (k *kit) putList(name string, lists *cardtest.Server, ca *cardtest.CA) {
	k.t.Helper()
	der, err := lists.List(ca)
	if err != nil {
		k.t.Fatal(err)
	}
	k.file(name, string(der))
}

const organisationCA = "Portti TEST Organisation Cards"

func TestListsComeAndAreListed(t *testing.T) {
	k := newKit(t, store.SQLite)
	k.fails(exitFailed, "setting card", "crl", "list")
	pki, lists := k.withCards()
	states := func() map[string]string {
		t.Helper()
		all := map[string]string{}
		for _, v := range decode[[]revocationListView](t, k.ok("crl", "list", "--json")) {
			all[v.CA] = v.State
		}
		return all
	}
	if got := states(); got[organisationCA] != "missing" || got["Portti TEST Root CA"] != "missing" {
		t.Errorf("%v", got)
	}
	k.ok("crl", "import", k.folder()+"/organisation.crl", "--apply")
	if got := states(); got[organisationCA] != "fresh" || got["Portti TEST Root CA"] != "missing" {
		t.Errorf("%v", got)
	}
	k.ok("crl", "fetch", "--apply")
	if got := states(); got["Portti TEST Root CA"] != "fresh" {
		t.Errorf("%v", got)
	}
	if table := k.ok("crl", "list"); !strings.Contains(table, organisationCA) || !strings.Contains(table, "UNTIL") {
		t.Errorf("%s", table)
	}

	// What is wrong with a list, or with a server, is said.
	card := pki.TestCard(t, "lost", cardtest.Person{Given: "Maija", Family: "Meikäläinen"})
	if err := pki.Revoke(card, 1, time.Now().Add(-time.Minute)); err != nil {
		t.Fatal(err)
	}
	k.fails(exitInvalid, "none of the CAs", "crl", "import", k.list(lists, pki, cardtest.OtherCA))
	k.fails(exitInvalid, "signature is wrong", "crl", "import", k.list(lists, pki, cardtest.BadSignature))
	k.fails(exitConflict, "older than the one", "crl", "import", k.list(lists, pki, cardtest.OlderNumber))
	k.fails(exitFailed, "no such file", "crl", "import", k.folder()+"/none.crl")
	k.fails(exitNotFound, "No CA of the trust bundle", "crl", "fetch", "Nobody")
	lists.FailCRL(pki.Organisation, cardtest.Down)
	out, errs, code := k.run("crl", "fetch", organisationCA, "--json")
	if code != exitFailed || !strings.Contains(errs, "not every list") || !strings.Contains(out, "problem") {
		t.Errorf("%d %s %s", code, errs, out)
	}
}

// list is a list with a fault, as its server gives it.
func (k *kit) list(lists *cardtest.Server, pki *cardtest.PKI, f cardtest.Fault) string {
	k.t.Helper()
	lists.FailCRL(pki.Organisation, f)
	defer lists.FailCRL(pki.Organisation, cardtest.None)
	answer := httptest.NewRecorder()
	lists.ServeHTTP(answer, httptest.NewRequest("GET", "/crl/"+pki.Organisation.Name+".crl", nil))
	k.file("wrong.crl", answer.Body.String())
	return k.folder() + "/wrong.crl"
}

// A CA that begins its numbers again is believed when the operator says so.
func TestForgottenListsComeAgain(t *testing.T) {
	for _, driver := range storetest.Drivers {
		t.Run(driver, func(t *testing.T) {
			k := newKit(t, driver)
			pki, lists := k.withCards()
			k.ok("crl", "import", k.folder()+"/organisation.crl", "--apply")
			older := k.list(lists, pki, cardtest.OlderNumber)
			k.fails(exitConflict, "older", "crl", "import", older)
			k.ok("crl", "forget", organisationCA, "--apply")
			k.fails(exitNotFound, "no list", "crl", "forget", organisationCA)
			k.ok("crl", "import", older, "--apply")
			events, err := k.db.AuditEvents(t.Context(), store.Trail{Types: []audit.Type{audit.CRLForgotten}, Limit: 2})
			if err != nil || len(events) != 1 || events[0].Details["ca"] != organisationCA {
				t.Errorf("%+v %v", events, err)
			}
		})
	}
}
