package main

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/portti-id/portti/internal/card"
)

func (t *tool) trustShow() *cobra.Command {
	var long bool
	c := &cobra.Command{Use: "show [FOLDER]", Short: "Show whose cards are trusted: every CA of a bundle (default: that of the settings)", Args: cobra.MaximumNArgs(1)}
	c.Flags().BoolVar(&long, "long", false, "everything about each CA, instead of a table")
	c.RunE = func(_ *cobra.Command, args []string) error {
		folder, err := t.folderOr(args)
		if err != nil {
			return err
		}
		// To look is not to trust: test CAs and what is not in order are shown as well.
		s := card.SurveyBundle(folder, true, time.Now())
		if s.Problem != nil && len(s.Config.Roots)+len(s.Config.Issuers) == 0 {
			return s.Problem
		}
		v, d := viewBundle(folder, s), &desk{tool: t}
		if t.json || long {
			return d.show(v)
		}
		return list(d, v.Authorities, "NAME KIND POLICIES UNTIL KEY SHA-256 OCSP CRL", func(a authorityView) []string {
			return []string{a.Name, string(a.Kind), strings.Join(a.Policies, " "), dayOf(a.NotAfter), a.Key, a.SHA256, strings.Join(a.OCSP, " "), strings.Join(a.CRL, " ")}
		})
	}
	return c
}

// folderOr is the folder that was given, or the one of the settings.
func (t *tool) folderOr(args []string) (string, error) {
	if len(args) > 0 {
		return args[0], nil
	}
	folder, _, err := t.installedBundle()
	return folder, err
}

func dayOf(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.Format(time.DateOnly)
}
