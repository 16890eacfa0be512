package main

import (
	"cmp"
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/portti-id/portti/internal/identity"
)

// organisationView is an organisation as it is printed.
type organisationView struct {
	ID                 string    `json:"id"`
	Name               string    `json:"name"`
	State              string    `json:"state"`
	Methods            []string  `json:"methods"`
	PersonalPhones     bool      `json:"personal_phones"`
	SharedWorkstations bool      `json:"shared_workstations"`
	SessionIdle        string    `json:"session_idle"`
	SessionAbsolute    string    `json:"session_absolute"`
	Delivery           string    `json:"delivery"`
	ITContact          string    `json:"it_contact,omitempty"`
	ResponsibleContact string    `json:"responsible_contact,omitempty"`
	SupportPhone       string    `json:"support_phone,omitempty"`
	SupportHours       string    `json:"support_hours,omitempty"`
	HolderRule         string    `json:"card_holder"`
	CardNames          string    `json:"card_names,omitempty"`
	SecondPerson       bool      `json:"second_person"`
	Planned            *planView `json:"planned,omitempty"`
	Created            time.Time `json:"created,omitzero"`
	Disabled           time.Time `json:"disabled,omitzero"`
}

// planView is a change of policy that is to come.
type planView struct {
	From    time.Time `json:"from"`
	Methods []string  `json:"methods"`
	By      string    `json:"by"`
}

func viewOrganisation(o identity.Organisation) organisationView {
	view := organisationView{ID: string(o.ID), Name: o.Name, State: state(o.Disabled), Methods: methodNames(o.Methods), PersonalPhones: o.PersonalPhones,
		SharedWorkstations: o.SharedWorkstations, Delivery: string(o.Delivery), ITContact: o.ITContact, HolderRule: string(cmp.Or(o.HolderRule, identity.HolderApproved)), CardNames: o.CardNames, SecondPerson: o.SecondPerson, Created: o.Created, Disabled: o.Disabled,
		SessionIdle: o.Idle().String(), SessionAbsolute: o.Absolute().String(), ResponsibleContact: o.ResponsibleContact, SupportPhone: o.SupportPhone, SupportHours: o.SupportHours}
	if o.Planned.Open(time.Now()) {
		view.Planned = &planView{From: o.Planned.From, Methods: methodNames(o.Planned.Policy.Methods), By: o.Planned.By}
	}
	return view
}

func methodNames(set identity.Methods) []string {
	names := []string{}
	for _, m := range set.List() {
		names = append(names, m.String())
	}
	return names
}

// organisationFlags are the settings of an organisation, for create and change.
type organisationFlags struct {
	name, delivery, itContact          string
	holderRule, cardNames              string
	methods                            []string
	personalPhones, sharedWorkstations bool
	secondPerson                       bool
	idle, absolute                     time.Duration
	responsible, phone, hours          string
}

func (f *organisationFlags) add(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.name, "name", "", "its `name` on pages and in letters")
	flags.StringSliceVar(&f.methods, "methods", nil, "permitted sign-in `methods`: card,app,token")
	flags.BoolVar(&f.personalPhones, "personal-phones", false, "employees may use an app on their own phones")
	flags.BoolVar(&f.sharedWorkstations, "shared-workstations", false, "shorter idle limit of sessions")
	flags.StringVar(&f.delivery, "delivery", string(identity.ByHandover), "how temporary passwords reach people: letter, sms or handover")
	flags.StringVar(&f.holderRule, "card-holder", string(identity.HolderApproved), "a card whose holder's name is not exactly the person's: `approve` (it waits for somebody to look), refuse, or accept (linked with a warning)")
	flags.StringVar(&f.cardNames, "card-names", "", "what its cards call it besides --name, apart by semicolons; without `names` the organisation on a card is not compared")
	flags.BoolVar(&f.secondPerson, "second-person", false, "a second person of the help desk confirms whatever opens an account of its people")
	flags.StringVar(&f.itContact, "it-contact", "", "own IT support, shown when a sign-in fails")
	flags.DurationVar(&f.idle, "session-idle", 0, "how long a session lasts unused, 5m to 60m; 0 for 60m; shared workstations have 15m at most")
	flags.DurationVar(&f.absolute, "session-absolute", 0, "how long a session lasts at most, 1h to 12h; 0 for 12h")
	flags.StringVar(&f.responsible, "responsible-contact", "", "how its people reach the responsible users")
	flags.StringVar(&f.phone, "support-phone", "", "user support of its own, shown in place of the installation's")
	flags.StringVar(&f.hours, "support-hours", "", "when that phone answers")
}

// edit applies the flags that were given; with all also those that were not.
func (f *organisationFlags) edit(c *cobra.Command, all bool) (func(o *identity.Organisation), error) {
	methods, err := identity.ParseMethods(f.methods)
	if err != nil {
		return nil, err
	}
	given := func(flag string) bool { return all || c.Flags().Changed(flag) }
	return func(o *identity.Organisation) {
		if given("name") {
			o.Name = f.name
		}
		if given("methods") {
			o.Methods = methods
		}
		if given("personal-phones") {
			o.PersonalPhones = f.personalPhones
		}
		if given("shared-workstations") {
			o.SharedWorkstations = f.sharedWorkstations
		}
		if given("delivery") {
			o.Delivery = identity.Delivery(f.delivery)
		}
		if given("card-holder") {
			o.HolderRule = identity.HolderRule(f.holderRule)
		}
		if given("card-names") {
			o.CardNames = f.cardNames
		}
		if given("second-person") {
			o.SecondPerson = f.secondPerson
		}
		if given("it-contact") {
			o.ITContact = f.itContact
		}
		if given("session-idle") {
			o.SessionIdle = f.idle
		}
		if given("session-absolute") {
			o.SessionAbsolute = f.absolute
		}
		if given("responsible-contact") {
			o.ResponsibleContact = f.responsible
		}
		if given("support-phone") {
			o.SupportPhone = f.phone
		}
		if given("support-hours") {
			o.SupportHours = f.hours
		}
	}, nil
}

// organisationState is disable or enable.
func (t *tool) organisationState(use, short string, disabled bool) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: cobra.ExactArgs(1)}
	why := because(c, true)
	c.RunE = t.with(func(ctx context.Context, d *desk, args []string) error {
		id := identity.OrganisationID(args[0])
		if err := d.directory.SetOrganisationDisabled(ctx, d.by, id, disabled, *why); err != nil {
			return err
		}
		o, err := d.store.Organisation(ctx, id)
		if err != nil {
			return err
		}
		return d.done(outcome{Result: viewOrganisation(o)})
	})
	return c
}
