package e2e

import (
	"net/netip"
	"testing"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/console"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/store"
	"github.com/portti-id/portti/pkg/portti"
)

// from is the address of the only event of a type.
func (w *World) from(t *testing.T, what audit.Type) string {
	t.Helper()
	events := must(w.Replicas[0].Store.AuditEvents(t.Context(), store.Trail{Types: []audit.Type{what}}))(t)
	if len(events) != 1 {
		t.Fatalf("%d events %s", len(events), what)
	}
	return events[0].Address
}

// From where somebody has acted is the browser's address, also where an app of ours
// stands between; and nobody else is asked where they are (docs/adr/0137).
func TestTheTrailShowsTheBrowsersAddress(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		heikki, v := w.Settled("heikki.tuki", "tietoapu", identity.MethodApp).With(identity.RoleOperator), w.Visitor()
		v.Address = "2001:db8::7"
		heikki.SignIn(v.Open(w.Origin("console") + "/")).Must("console")
		v.Open(w.Origin("console")+"/clients/records/disable").Press("confirm", "reason", "a leak").MustStatus(200)
		if from := w.from(t, audit.ClientDisabled); from != v.Address {
			t.Errorf("an act in the Console is from %q, the browser is at %s", from, v.Address)
		}

		aino, v := w.Newcomer("aino.alku", "kuntala"), w.Visitor()
		aino.LinkApp(aino.FirstDay(v.Open(w.Origin("service") + "/records/7")))
		linked := must(w.Replicas[0].Store.AuditEvents(t.Context(), store.Trail{Types: []audit.Type{audit.AuthenticatorLinked}, User: string(aino.ID)}))(t)
		if len(linked) != 1 || linked[0].Address != v.Address {
			t.Errorf("an act in User Services: %+v, the browser is at %s", linked, v.Address)
		}

		// A client with the same scopes that nobody has registered so.
		tool := w.Party("tool", func(c *openid.Client) { c.Scopes, c.MinimumACR = console.Scopes, acrCode })
		oona := w.Settled("oona.operaattori", "tietoapu", identity.MethodApp).With(identity.RoleOperator)
		token := entrusted(tool, oona, w.Visitor())
		api := &portti.Client{Issuer: w.Issuer(), HTTP: tool.http}
		if _, err := api.EnableClient(portti.WithVisitor(t.Context(), netip.MustParseAddr("203.0.113.66")), token, "records", portti.Apply); err != nil {
			t.Fatal(err)
		}
		if from := w.from(t, audit.ClientEnabled); from != "127.0.0.1" {
			t.Errorf("a client that is not believed says it is at %s", from)
		}
	})
}
