package e2e

import (
	"context"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/server"
)

// S54, S59: services hear at once that sessions have ended, and not only when
// somebody looks for notices next, which nobody does while this runs.
func TestServicesHearOfEndedSessionsAtOnce(t *testing.T) {
	rarely := Options{Configure: func(c *server.Config) { c.NoticesEvery = 24 * time.Hour }}
	EachWith(t, rarely, func(t *testing.T, w *World) {
		d, why := w.Replicas[0].Directory, identity.Why{Reason: "test"}
		for name, end := range map[string]func(ctx context.Context, id identity.UserID) error{
			"otto.istunto": func(ctx context.Context, id identity.UserID) error { return d.EndSessions(ctx, operator, id, why) },
			"otto.tilaus": func(ctx context.Context, id identity.UserID) error {
				_, err := d.Order(ctx, operator, id, why)
				return err
			},
			"otto.linkki": func(ctx context.Context, id identity.UserID) error {
				return d.RemoveAuthenticator(ctx, operator, id, why)
			},
		} {
			otto, v := w.Settled(name, "tietoapu", identity.MethodApp), w.Visitor()
			otto.SignIn(v.Open(w.Origin("service") + "/records/9")).Must("acr")
			if err := end(t.Context(), otto.ID); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			eventually(t, name+": the service has heard of it", func() bool { return !v.Open(w.Origin("service") + "/").Has("who") })
		}
	})
}
