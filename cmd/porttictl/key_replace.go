package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/portti-id/portti/internal/keys"
)

// What an emergency costs, and what it does not mend.
const (
	withdrawnWarning = "Whatever the former keys signed is refused from now on: here within 5 seconds, by services as soon as they fetch the JWK set again. " +
		"That is at most 5 minutes by its Cache-Control, but some keep it for longer: until then they still believe whoever has the former key, so tell those who run them. " +
		"People stay signed in here and refresh tokens go on working; sign-ins on their way may fail once, and a logout with an older ID token asks people whether they mean it. " +
		"A service that does not fetch the set when it meets an unknown key refuses sign-ins until it does."
	keptWarning = "The former key stays published: whoever has it can still sign what services and this provider believe, until it is dropped. " +
		"A service that does not fetch the JWK set when it meets an unknown key refuses sign-ins until it does."
)

func (t *tool) keyReplace() *cobra.Command {
	keep := false
	c := t.keyChange("replace", "Emergency: let a new key of a kind sign at once, and withdraw all others of the kind", func(ctx context.Context, ring *keys.Ring, kind keys.Kind) (string, error) {
		warning := withdrawnWarning
		if keep {
			warning = keptWarning
		}
		_, err := ring.Replace(ctx, kind, keep)
		return warning, err
	})
	c.Long = `For a key that somebody else may have. A new key signs at once, although no
service has fetched it yet, and every other key of its kind is withdrawn from the
JWK set: the next one too, as it lay beside the one that is out.

` + wrap(withdrawnWarning) + `

With --keep-former the keys stay published, as after promote: for a key that
must not sign any more, such as one in an HSM that fails.`
	c.Example = "  porttictl key replace RSA-2048 --apply"
	c.Flags().BoolVar(&keep, "keep-former", false, "retire the former key instead of withdrawing it")
	return c
}

// wrap breaks a text into lines for the help.
func wrap(text string) string {
	const width = 78
	out, column := []byte{}, 0
	for i, word := range strings.Fields(text) {
		if i > 0 && column+1+len(word) > width {
			out, column = append(out, '\n'), 0
		} else if i > 0 {
			out, column = append(out, ' '), column+1
		}
		out, column = append(out, word...), column+len(word)
	}
	return string(out)
}
