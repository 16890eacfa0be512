package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/outgoing"
)

// symptomView is a finding of the client doctor as printed.
type symptomView struct {
	openid.Finding
	Explanation string `json:"explanation"`
}

func (t *tool) clientDoctor() *cobra.Command {
	return &cobra.Command{Use: "doctor ID", Short: "Say what about a service's registration is permitted and will probably hurt", Args: cobra.ExactArgs(1),
		Long: "Says what about a service's registration is permitted and will probably hurt, the worst first. Whether its\naddress for logout notices answers only the running provider can tell: see the service's page in the Console.",
		RunE: t.with(func(ctx context.Context, d *desk, args []string) error {
			c, err := d.store.Client(ctx, args[0])
			if err != nil {
				return err
			}
			var views []symptomView
			for _, f := range openid.Checkup(c, d.clients.ACR, outgoing.Loopback(d.settings.Issuer.URL().Hostname()), time.Now()) {
				views = append(views, symptomView{f, f.Symptom.Explain()})
			}
			return list(d, views, "WEIGHT MEMBER VALUE EXPLANATION", func(v symptomView) []string {
				return []string{string(v.Weight), dash(v.Member), dash(v.Value), v.Explanation}
			})
		})}
}

func dash(s string) string {
	if strings.TrimSpace(s) == "" {
		return "-"
	}
	return s
}
