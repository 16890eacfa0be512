package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/portti-id/portti/internal/card"
)

// verdictView is what a bundle says of a certificate. It tells nothing of the
// holder.
type verdictView struct {
	Verdict    card.Verdict `json:"verdict"`
	Failed     card.Check   `json:"failed,omitempty"` // the check that decided
	Reason     string       `json:"reason,omitempty"`
	Kind       card.Kind    `json:"kind,omitempty"`
	Path       []string     `json:"path,omitempty"` // the CAs above it
	Revocation string       `json:"revocation"`
}

// verification is what trust verify prints.
type verification struct {
	Folder      string       `json:"folder"`
	Fingerprint string       `json:"fingerprint"`
	InOrder     bool         `json:"in_order"`
	Problems    []string     `json:"problems,omitempty"`
	Warnings    []string     `json:"warnings,omitempty"`
	Certificate *verdictView `json:"certificate,omitempty"`
}

func (t *tool) trustVerify() *cobra.Command {
	var file string
	var testCAs bool
	c := &cobra.Command{Use: "verify [FOLDER]", Short: "Say everything that is wrong with a bundle, before it is installed (default: that of the settings)", Args: cobra.MaximumNArgs(1),
		Long: `Say everything that is wrong with a bundle, and what an operator should know of it.

Exit code 1: the bundle is not in order, or the certificate of --certificate is
refused. Whether that was revoked is not asked: nothing is sent to anybody.`,
		Example: "  porttictl trust verify /srv/trust.new\n  porttictl trust verify /srv/trust.new --certificate my-card.pem"}
	flags := c.Flags()
	flags.StringVar(&file, "certificate", "", "judge the certificate in this `file` (PEM) by the bundle")
	flags.BoolVar(&testCAs, "accept-test-cas", false, "test CAs are no mistake here (default for the bundle of the settings: as they say)")
	c.RunE = func(_ *cobra.Command, args []string) error {
		folder, accepted := "", testCAs
		if len(args) > 0 {
			folder = args[0]
		} else {
			var err error
			if folder, accepted, err = t.installedBundle(); err != nil {
				return err
			}
			accepted = accepted || testCAs
		}
		var certs []*x509.Certificate
		if file != "" {
			var err error
			if certs, err = readCertificates(file); err != nil {
				return err
			}
		}
		return t.verify(folder, accepted, certs)
	}
	return c
}

func (t *tool) verify(folder string, testCAs bool, certs []*x509.Certificate) error {
	now := time.Now()
	s := card.SurveyBundle(folder, testCAs, now)
	v := verification{Folder: folder, Fingerprint: s.Fingerprint, InOrder: s.Problem == nil}
	if s.Problem != nil {
		v.Problems = strings.Split(s.Problem.Error(), "\n")
	} else {
		for _, w := range s.Trust.Warnings(now) {
			v.Warnings = append(v.Warnings, w.String())
		}
		v.Certificate = judge(s.Trust, certs, now)
	}
	if err := (&desk{tool: t}).show(v); err != nil {
		return err
	}
	switch {
	case !v.InOrder:
		return errors.New("the bundle is not in order")
	case v.Certificate != nil && v.Certificate.Verdict != card.Good:
		return fmt.Errorf("the certificate is refused: %s", v.Certificate.Verdict)
	}
	return nil
}

func judge(trust *card.Trust, certs []*x509.Certificate, now time.Time) *verdictView {
	if len(certs) == 0 {
		return nil
	}
	r := trust.Check(certs, now)
	v := &verdictView{Verdict: r.Verdict, Failed: r.Failed, Reason: r.Reason, Kind: r.Kind, Revocation: "not asked"}
	for _, ca := range r.Path[min(1, len(r.Path)):] {
		v.Path = append(v.Path, card.AuthorityName(ca))
	}
	return v
}
