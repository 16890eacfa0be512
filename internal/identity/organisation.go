package identity

import (
	"cmp"
	"context"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/fault"
)

var organisationID = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,46}[a-z0-9])?$`)

// CreateOrganisation adds an employer. Version, Created and Disabled are set here.
func (d *Directory) CreateOrganisation(ctx context.Context, by Actor, o Organisation) (Organisation, error) {
	if err := by.May(OrganisationsChange); err != nil {
		return Organisation{}, err
	}
	if err := o.check(); err != nil {
		return Organisation{}, err
	}
	o = o.trimmed()
	o.Created, o.Disabled, o.Planned, o.Version = d.now(), time.Time{}, Plan{}, 1
	err := d.change(ctx, func(tx Tx) error {
		if err := tx.AddOrganisation(o); err != nil {
			return err
		}
		return tx.Record(audit.Event{At: o.Created, Type: audit.OrganisationCreated, Actor: by.Name, Organisation: string(o.ID), Address: by.Address,
			Details: o.details()})
	})
	return o, err
}

// ChangeOrganisation lets edit change an organisation's settings. Its ID, state
// and plan stay as they are; while a change of policy is planned, nothing that the
// plan decides of changes in another way (policy_planned).
func (d *Directory) ChangeOrganisation(ctx context.Context, by Actor, id OrganisationID, edit func(o *Organisation)) (Organisation, error) {
	return d.changeOrganisation(ctx, by, id, 0, edit)
}

// ReplaceOrganisation is ChangeOrganisation for somebody who has seen a version and
// gives all of what is to be: changed_meanwhile when it is not that version any more.
func (d *Directory) ReplaceOrganisation(ctx context.Context, by Actor, seen int64, o Organisation) (Organisation, error) {
	if seen <= 0 {
		return Organisation{}, errMeanwhile
	}
	return d.changeOrganisation(ctx, by, o.ID, seen, func(now *Organisation) { *now = o })
}

func (d *Directory) changeOrganisation(ctx context.Context, by Actor, id OrganisationID, seen int64, edit func(o *Organisation)) (Organisation, error) {
	if err := by.In(OrganisationsChange, id); err != nil {
		return Organisation{}, err
	}
	var after Organisation
	err := d.change(ctx, func(tx Tx) error {
		o, err := tx.Organisation(id)
		if err != nil {
			return err
		}
		if seen != 0 && o.Version != seen {
			return errMeanwhile
		}
		if o, err = d.settle(tx, o); err != nil {
			return err
		}
		before := o
		edit(&o)
		o = o.trimmed()
		o.ID, o.Created, o.Disabled, o.Planned, o.Version = before.ID, before.Created, before.Disabled, before.Planned, before.Version
		if err := o.check(); err != nil {
			return err
		}
		if !o.Planned.none() && o.Policy() != before.Policy() {
			return errPlanned
		}
		if err := tx.SaveOrganisation(o); err != nil {
			return err
		}
		if err := d.tell(tx, id, before.Methods, o.Methods, d.now()); err != nil {
			return err
		}
		after = o
		after.Version++
		return tx.Record(audit.Event{At: d.now(), Type: audit.OrganisationChanged, Actor: by.Name, Organisation: string(id), Address: by.Address,
			Details: and(o.details(), "methods_before", before.Methods.String())})
	})
	return after, err
}

// details is what the trail keeps of an organisation.
func (o Organisation) details() map[string]string {
	return map[string]string{"methods": o.Methods.String(), "card_holder": string(o.HolderRule), "second_person": strconv.FormatBool(o.SecondPerson)}
}

// SetOrganisationDisabled closes an organisation, which ends every session of
// its people, or opens it again.
func (d *Directory) SetOrganisationDisabled(ctx context.Context, by Actor, id OrganisationID, disabled bool, why Why) error {
	if err := first(by.In(OrganisationsChange, id), why.given()); err != nil {
		return err
	}
	return d.change(ctx, func(tx Tx) error {
		o, err := tx.Organisation(id)
		if err != nil {
			return err
		}
		if !o.Disabled.IsZero() == disabled {
			return nil
		}
		if o, err = d.settle(tx, o); err != nil {
			return err
		}
		event := audit.Event{At: d.now(), Type: audit.OrganisationEnabled, Actor: by.Name, Organisation: string(id), Address: by.Address}
		o.Disabled = time.Time{}
		if disabled {
			o.Disabled, event.Type = d.now(), audit.OrganisationDisabled
			people, err := tx.PeopleOf(id)
			if err != nil {
				return err
			}
			for _, user := range people {
				if err := tx.EndSessions(user, ""); err != nil {
					return err
				}
			}
		}
		if err := tx.SaveOrganisation(o); err != nil {
			return err
		}
		return tx.Record(why.Of(event))
	})
}

// Organisation returns an organisation to somebody who may see it.
func (d *Directory) Organisation(ctx context.Context, by Actor, id OrganisationID) (Organisation, error) {
	if err := by.In(OrganisationsSee, id); err != nil {
		return Organisation{}, err
	}
	return d.Store.Organisation(ctx, id)
}

// Organisations lists those that somebody may see, by name.
func (d *Directory) Organisations(ctx context.Context, by Actor) ([]Organisation, error) {
	own, err := by.Of(OrganisationsSee)
	if err != nil {
		return nil, err
	}
	all, err := d.Store.Organisations(ctx)
	if own == "" || err != nil {
		return all, err
	}
	return slices.DeleteFunc(all, func(o Organisation) bool { return o.ID != own }), nil
}

func (o Organisation) trimmed() Organisation {
	o.Name, o.CardNames = strings.TrimSpace(o.Name), strings.TrimSpace(o.CardNames)
	o.HolderRule = cmp.Or(o.HolderRule, HolderApproved)
	return o.With(o.Policy().trimmed())
}

func (o Organisation) check() error {
	if !organisationID.MatchString(string(o.ID)) {
		return fault.New(fault.Invalid, "organisation_id_invalid", "id: use 1 to 48 lower-case letters, digits and inner hyphens.").In("id")
	}
	if err := o.Policy().check(); err != nil {
		return err
	}
	if !slices.Contains([]HolderRule{"", HolderApproved, HolderRefused, HolderAccepted}, o.HolderRule) {
		return fault.New(fault.Invalid, "holder_rule_unknown", "card-holder: %q is not one of approve, refuse, accept.", o.HolderRule).In("card-holder")
	}
	if o.Delivery != ByLetter && o.Delivery != BySMS && o.Delivery != ByHandover {
		return fault.New(fault.Invalid, "delivery_unknown", "delivery: %q is not one of letter, sms, handover.", o.Delivery).In("delivery")
	}
	return first(text("name", o.Name, 200, false), text("card-names", o.CardNames, 500, true))
}
