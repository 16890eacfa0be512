package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/portti-id/portti/internal/identity"
)

// changedOrganisation is what a change comes to, and for whom (S8).
type changedOrganisation struct {
	organisationView
	Effect *effectView `json:"effect,omitempty"`
}

// effectView is whom a change of methods touches. Stranded have a way in and will
// have none; those without have none as it is; narrowed lose one of several.
type effectView struct {
	People         int      `json:"people"`
	Stranded       int      `json:"stranded"`
	Without        int      `json:"without"`
	Narrowed       int      `json:"narrowed"`
	StrandedPeople []string `json:"stranded_people,omitempty"` // usernames, the first thousand
}

const strandedShown = 1000

func (t *tool) organisationChange() *cobra.Command {
	var f organisationFlags
	var from string
	c := &cobra.Command{Use: "change ID", Short: "Change settings of an organisation; flags that are not given leave theirs", Args: cobra.ExactArgs(1),
		Long: `Change settings of an organisation; flags that are not given leave theirs.

A change of methods says who will have no way in, also when it is rehearsed. They
hear of it by letter. With --from what the employer decides (methods, phones,
workstations, session limits, contacts) changes on that day; one such change can be
planned at a time.`,
		Example: "  porttictl organisation change kuntala --methods card --from 2027-02-01 --apply"}
	f.add(c)
	c.Flags().StringVar(&from, "from", "", "the `day` (2027-02-01, its first moment here) or time (2027-02-01T08:00:00+02:00) from which the change counts; at once when not given")
	c.RunE = t.with(func(ctx context.Context, d *desk, args []string) error {
		edit, err := f.edit(c, false)
		if err != nil {
			return err
		}
		when, err := moment(from)
		if err != nil {
			return err
		}
		before, err := d.store.Organisation(ctx, identity.OrganisationID(args[0]))
		if err != nil {
			return err
		}
		wanted := before
		edit(&wanted)
		var effect *effectView
		if wanted.Methods != before.Methods && wanted.Methods != 0 {
			if effect, err = d.effect(ctx, wanted, when); err != nil {
				return err
			}
		}
		o := identity.Organisation{}
		switch {
		case from == "":
			o, err = d.directory.ChangeOrganisation(ctx, d.by, before.ID, edit)
		case wanted != before.With(wanted.Policy()):
			return usageError{fmt.Errorf("--from: name, delivery, card-holder, card-names and second-person change at once; give them without --from")}
		default:
			o, err = d.directory.PlanPolicy(ctx, d.by, before.ID, before.Version, wanted.Policy(), when)
		}
		if err != nil {
			return err
		}
		return d.done(outcome{Result: changedOrganisation{viewOrganisation(o), effect}})
	})
	return c
}

func (d *desk) effect(ctx context.Context, o identity.Organisation, from time.Time) (*effectView, error) {
	e, err := d.directory.PolicyEffect(ctx, d.by, o.ID, o.Methods, from)
	if err != nil {
		return nil, err
	}
	people, err := d.directory.PolicyAffected(ctx, d.by, o.ID, o.Methods, from, identity.Stranded, "", strandedShown)
	if err != nil {
		return nil, err
	}
	view := &effectView{People: e.People, Stranded: e.Stranded, Without: e.Without, Narrowed: e.Narrowed}
	for _, p := range people {
		view.StrandedPeople = append(view.StrandedPeople, p.User.Username)
	}
	return view, nil
}

// moment reads a day or a time; zero for "".
func moment(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	for _, form := range []string{time.DateOnly, time.RFC3339} {
		if at, err := time.ParseInLocation(form, s, time.Local); err == nil {
			return at, nil
		}
	}
	return time.Time{}, usageError{fmt.Errorf("--from: %q is neither a day such as 2027-02-01 nor a time such as 2027-02-01T08:00:00+02:00", s)}
}
