package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/portti-id/portti/internal/card"
)

// trustDiff is what differs between two bundles.
type trustDiff struct {
	Added        []authorityView `json:"added,omitempty"`
	Removed      []authorityView `json:"removed,omitempty"`
	Changed      []changedCA     `json:"changed,omitempty"`
	AddedHosts   []string        `json:"added_hosts,omitempty"` // of revocation_hosts
	RemovedHosts []string        `json:"removed_hosts,omitempty"`
	Means        []string        `json:"means"` // the same in words
}

type changedCA struct {
	Name    string   `json:"name"`
	SHA256  string   `json:"sha256"`
	Changes []string `json:"changes"`
}

func (t *tool) trustDiff() *cobra.Command {
	return &cobra.Command{Use: "diff OLD NEW", Short: "Say what differs between two bundles (folders), and what it means for cards", Args: cobra.ExactArgs(2),
		Example: "  porttictl trust diff /etc/portti/trust /srv/trust.new",
		RunE: func(_ *cobra.Command, args []string) error {
			var views [2]bundleView
			for i, folder := range args {
				s := card.SurveyBundle(folder, true, time.Now())
				if s.Problem != nil && len(s.Config.Roots)+len(s.Config.Issuers) == 0 {
					return fmt.Errorf("%s: %w", folder, s.Problem)
				}
				views[i] = viewBundle(folder, s)
				if s.Problem != nil { // an old bundle may hold what has expired since
					fmt.Fprintf(t.err, "Note: %s is not in order; porttictl trust verify says why.\n", folder)
				}
			}
			return (&desk{tool: t}).show(compare(views[0], views[1]))
		}}
}

// compare tells CAs by the fingerprints of their certificates.
func compare(old, fresh bundleView) trustDiff {
	d := trustDiff{AddedHosts: without(fresh.RevocationHosts, old.RevocationHosts), RemovedHosts: without(old.RevocationHosts, fresh.RevocationHosts)}
	for _, a := range old.Authorities {
		b, ok := same(fresh, a)
		if !ok {
			d.Removed = append(d.Removed, a)
			continue
		}
		if changes := changesOf(a, b); len(changes) > 0 {
			d.Changed = append(d.Changed, changedCA{a.Name, a.SHA256, changes})
			d.Means = append(d.Means, meaningOf(a, b)...)
		}
	}
	for _, b := range fresh.Authorities {
		if _, ok := same(old, b); !ok {
			d.Added = append(d.Added, b)
		}
	}
	for _, a := range d.Removed {
		i := slices.IndexFunc(d.Added, func(b authorityView) bool {
			return b.Name == a.Name && b.spki == a.spki && b.spki != "" && b.Kind == a.Kind
		})
		if i >= 0 {
			d.Means = append(d.Means, fmt.Sprintf("%s: a new certificate for the same key, until %s instead of %s: its cards are judged as before", a.Name, dayOf(d.Added[i].NotAfter), dayOf(a.NotAfter)))
			d.Means = append(d.Means, meaningOf(a, d.Added[i])...)
			continue
		}
		d.Means = append(d.Means, lost(a))
	}
	for _, b := range d.Added {
		if !slices.ContainsFunc(d.Removed, func(a authorityView) bool {
			return b.Name == a.Name && b.spki == a.spki && b.spki != "" && b.Kind == a.Kind
		}) {
			d.Means = append(d.Means, gained(b))
		}
	}
	for _, host := range d.RemovedHosts {
		d.Means = append(d.Means, fmt.Sprintf("%s is no longer asked about revocation where certificates name it: their cards are refused unless another source tells", host))
	}
	for _, host := range d.AddedHosts {
		d.Means = append(d.Means, fmt.Sprintf("%s is asked about revocation where certificates name it", host))
	}
	if d.Means == nil {
		d.Means = []string{"nothing changes for any card"}
	}
	return d
}

// same is the CA of a bundle with the certificate of a.
func same(in bundleView, a authorityView) (authorityView, bool) {
	i := slices.IndexFunc(in.Authorities, func(b authorityView) bool {
		return b.SHA256 == a.SHA256 && (a.SHA256 != "" || a.Name == b.Name) && (a.Kind == kindRoot) == (b.Kind == kindRoot)
	})
	if i < 0 {
		return authorityView{}, false
	}
	return in.Authorities[i], true
}

func changesOf(a, b authorityView) []string {
	var changes []string
	if a.Kind != b.Kind {
		changes = append(changes, fmt.Sprintf("kind: %s → %s", a.Kind, b.Kind))
	}
	for _, list := range []struct {
		name       string
		old, fresh []string
	}{{"policies", a.Policies, b.Policies}, {"ocsp", a.OCSP, b.OCSP}, {"crl", a.CRL, b.CRL}} {
		gone, come := without(list.old, list.fresh), without(list.fresh, list.old)
		if len(gone) > 0 {
			changes = append(changes, list.name+": without "+strings.Join(gone, " "))
		}
		if len(come) > 0 {
			changes = append(changes, list.name+": with "+strings.Join(come, " "))
		}
		if len(gone)+len(come) == 0 && !slices.Equal(list.old, list.fresh) {
			changes = append(changes, list.name+": in another order")
		}
	}
	return changes
}

// meaningOf says what the change from a to b is to cards.
func meaningOf(a, b authorityView) []string {
	var means []string
	say := func(format string, args ...any) { means = append(means, b.Name+": "+fmt.Sprintf(format, args...)) }
	switch {
	case a.Kind == b.Kind:
	case b.Refused:
		say("its cards are refused from now on (%s)", card.KindNotAccepted)
	case a.Refused:
		say("its cards, which were refused, are accepted as %s cards", b.Kind)
	default:
		say("its cards count as %s cards, no longer as %s cards", b.Kind, a.Kind)
	}
	if !b.Refused {
		if gone := without(a.Policies, b.Policies); len(gone) > 0 {
			say("its cards that have only the policy %s are refused from now on (%s)", strings.Join(gone, " or "), card.KindNotAccepted)
		}
		if come := without(b.Policies, a.Policies); len(come) > 0 {
			say("its cards with the policy %s are accepted", strings.Join(come, " or "))
		}
	}
	before, after := slices.Concat(a.OCSP, a.CRL), slices.Concat(b.OCSP, b.CRL)
	switch {
	case slices.Equal(a.OCSP, b.OCSP) && slices.Equal(a.CRL, b.CRL):
	case len(after) == 0:
		say("nothing is asked at an address of ours whether what it issued was revoked")
	case len(before) == 0:
		say("it is asked at %s whether what it issued was revoked", strings.Join(after, " "))
	default:
		say("other addresses are asked whether what it issued was revoked")
	}
	return means
}

func lost(a authorityView) string {
	switch {
	case a.SHA256 == "":
		return a.Name + ": its certificate could not be read, so none of its cards were accepted" // nor the bundle put in force
	case a.Kind == kindRoot:
		return fmt.Sprintf("%s: everything below this root is refused from now on (%s)", a.Name, card.UntrustedIssuer)
	case a.Refused:
		return fmt.Sprintf("%s: its cards are refused as of an unknown CA (%s), no longer by their kind", a.Name, card.UntrustedIssuer)
	}
	return fmt.Sprintf("%s: its cards are refused from now on (%s)", a.Name, card.UntrustedIssuer)
}

func gained(b authorityView) string {
	switch {
	case b.SHA256 == "":
		return b.Name + ": its certificate cannot be read, so none of its cards are accepted"
	case b.Kind == kindRoot:
		return fmt.Sprintf("%s: configured CAs may stand below this root; by itself it lets no card in", b.Name)
	case b.Refused:
		return fmt.Sprintf("%s: its cards are refused by their kind (%s)", b.Name, card.KindNotAccepted)
	}
	return fmt.Sprintf("%s: its cards are accepted as %s cards, with the policy %s", b.Name, b.Kind, strings.Join(b.Policies, " or "))
}

// without are those of list that others has not.
func without(list, others []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(others, s) })
}
