package identity

import (
	"cmp"
	"context"
	"regexp"
	"slices"
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
	o.Name, o.ITContact, o.CardNames = strings.TrimSpace(o.Name), strings.TrimSpace(o.ITContact), strings.TrimSpace(o.CardNames)
	o.HolderRule = cmp.Or(o.HolderRule, HolderApproved)
	o.Created, o.Disabled, o.Version = d.now(), time.Time{}, 1
	err := d.change(ctx, func(tx Tx) error {
		if err := tx.AddOrganisation(o); err != nil {
			return err
		}
		return tx.Record(audit.Event{At: o.Created, Type: audit.OrganisationCreated, Actor: by.Name, Organisation: string(o.ID), Address: by.Address,
			Details: map[string]string{"methods": o.Methods.String(), "card_holder": string(o.HolderRule)}})
	})
	return o, err
}

// ChangeOrganisation lets edit change an organisation's settings. Its ID,
// state and version stay as they are.
func (d *Directory) ChangeOrganisation(ctx context.Context, by Actor, id OrganisationID, edit func(o *Organisation)) (Organisation, error) {
	if err := by.In(OrganisationsChange, id); err != nil {
		return Organisation{}, err
	}
	var after Organisation
	err := d.change(ctx, func(tx Tx) error {
		o, err := tx.Organisation(id)
		if err != nil {
			return err
		}
		before := o
		edit(&o)
		o.HolderRule = cmp.Or(o.HolderRule, HolderApproved)
		o.ID, o.Created, o.Disabled, o.Version = before.ID, before.Created, before.Disabled, before.Version
		if err := o.check(); err != nil {
			return err
		}
		after = o
		if err := tx.SaveOrganisation(o); err != nil {
			return err
		}
		return tx.Record(audit.Event{At: d.now(), Type: audit.OrganisationChanged, Actor: by.Name, Organisation: string(id), Address: by.Address,
			Details: map[string]string{"methods_before": before.Methods.String(), "methods": o.Methods.String(), "card_holder": string(o.HolderRule)}})
	})
	return after, err
}

// SetOrganisationDisabled closes an organisation, which ends every session of
// its people, or opens it again.
func (d *Directory) SetOrganisationDisabled(ctx context.Context, by Actor, id OrganisationID, disabled bool) error {
	if err := by.In(OrganisationsChange, id); err != nil {
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
		return tx.Record(event)
	})
}

func (o Organisation) check() error {
	if !organisationID.MatchString(string(o.ID)) {
		return fault.New(fault.Invalid, "organisation_id_invalid", "id: use 1 to 48 lower-case letters, digits and inner hyphens.").In("id")
	}
	if o.Methods == 0 || o.Methods&^MethodsOf(AllMethods...) != 0 {
		return fault.New(fault.Invalid, "methods_empty", "methods: permit at least one of card, app, token.").In("methods")
	}
	if !slices.Contains([]HolderRule{"", HolderApproved, HolderRefused, HolderAccepted}, o.HolderRule) {
		return fault.New(fault.Invalid, "holder_rule_unknown", "card-holder: %q is not one of approve, refuse, accept.", o.HolderRule).In("card-holder")
	}
	if o.Delivery != ByLetter && o.Delivery != BySMS && o.Delivery != ByHandover {
		return fault.New(fault.Invalid, "delivery_unknown", "delivery: %q is not one of letter, sms, handover.", o.Delivery).In("delivery")
	}
	return first(text("name", o.Name, 200, false), text("it-contact", o.ITContact, 300, true), text("card-names", o.CardNames, 500, true))
}
