package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/fault"
)

// cardTestView is the result of a card test as printed. There is nothing in it of
// the card or its holder: nothing of them was kept.
type cardTestView struct {
	Code    string       `json:"code"`
	Verdict card.Verdict `json:"verdict"`
	Failed  card.Check   `json:"failed,omitempty"`
	Passed  []card.Check `json:"passed"`
	Kind    card.Kind    `json:"kind,omitempty"`
	Mode    string       `json:"mode"`
	TLS     string       `json:"tls,omitempty"`
	At      time.Time    `json:"at"`
}

func viewCardTest(t card.Tested) cardTestView {
	v := cardTestView{Code: t.Code, Verdict: t.Verdict, Failed: t.Failed, Passed: []card.Check{}, Kind: t.Kind, Mode: "strict", TLS: t.TLS, At: t.At}
	if t.Mode != card.Strict {
		v.Mode = string(t.Mode)
	}
	for _, c := range card.Checks {
		if c == t.Failed {
			break
		}
		v.Passed = append(v.Passed, c)
	}
	return v
}

func (t *tool) cardTest() *cobra.Command {
	return &cobra.Command{Use: "test CODE", Short: "Show what a test on the card test page came to, by its support code", Args: cobra.ExactArgs(1),
		RunE: t.with(func(ctx context.Context, d *desk, args []string) error {
			code, ok := card.ReadSupportCode(args[0])
			if !ok {
				return fault.New(fault.Invalid, "support_code", "%q is not a support code such as K7QM2-XEA3B", args[0])
			}
			tested, err := d.store.CardTest(ctx, code)
			if err != nil {
				return err
			}
			return d.show(viewCardTest(tested))
		})}
}
