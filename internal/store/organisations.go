package store

import (
	"cmp"
	"context"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/portti-id/portti/internal/identity"
)

type organisationRow struct {
	ID                 string
	Name               string
	Methods            int64
	PersonalPhones     bool
	SharedWorkstations bool
	SessionIdle        int64 // seconds
	SessionAbsolute    int64
	Delivery           string
	ITContact          string
	ResponsibleContact string
	SupportPhone       string
	SupportHours       string
	HolderRule         string
	CardNames          string
	SecondPerson       bool
	Planned            maybe[identity.Plan]
	PlannedFrom        moment // of Planned, for statements that ask what is permitted
	PlannedMethods     *int64
	Disabled           moment
	Created            moment
	Version            int64
}

func (organisationRow) TableName() string { return "organisations" }

func rowOfOrganisation(o identity.Organisation) organisationRow {
	row := organisationRow{ID: string(o.ID), Name: o.Name, Methods: int64(o.Methods), PersonalPhones: o.PersonalPhones,
		SharedWorkstations: o.SharedWorkstations, Delivery: string(o.Delivery), ITContact: o.ITContact, HolderRule: string(o.HolderRule), CardNames: o.CardNames, SecondPerson: o.SecondPerson,
		SessionIdle: int64(o.SessionIdle / time.Second), SessionAbsolute: int64(o.SessionAbsolute / time.Second),
		ResponsibleContact: o.ResponsibleContact, SupportPhone: o.SupportPhone, SupportHours: o.SupportHours,
		Planned: maybe[identity.Plan]{o.Planned}, PlannedFrom: at(o.Planned.From), Disabled: at(o.Disabled), Created: at(o.Created), Version: o.Version}
	if !o.Planned.From.IsZero() {
		row.PlannedMethods = new(int64(o.Planned.Policy.Methods))
	}
	return row
}

// organisation is the row as it counts at a time: under a plan that has begun.
func (r organisationRow) organisation(now time.Time) identity.Organisation {
	return identity.Organisation{ID: identity.OrganisationID(r.ID), Name: r.Name, Methods: identity.Methods(r.Methods), PersonalPhones: r.PersonalPhones,
		SharedWorkstations: r.SharedWorkstations, Delivery: identity.Delivery(r.Delivery), ITContact: r.ITContact, HolderRule: cmp.Or(identity.HolderRule(r.HolderRule), identity.HolderApproved), CardNames: r.CardNames, SecondPerson: r.SecondPerson,
		SessionIdle: time.Duration(r.SessionIdle) * time.Second, SessionAbsolute: time.Duration(r.SessionAbsolute) * time.Second,
		ResponsibleContact: r.ResponsibleContact, SupportPhone: r.SupportPhone, SupportHours: r.SupportHours,
		Planned: r.Planned.v, Disabled: r.Disabled.t, Created: r.Created.t, Version: r.Version}.At(now)
}

var selectOrganisation = "select " + columns(&organisationRow{}, "", "") + " from organisations "

// methodsNow is what an organisation permits at @now, in statements.
const methodsNow = `(case when o.planned_from <= @now then o.planned_methods else o.methods end)`

func findOrganisation(db *gorm.DB, id identity.OrganisationID, now time.Time, lock string) (identity.Organisation, error) {
	var row organisationRow
	r := db.Raw(selectOrganisation+"where id = ?"+lock, string(id)).Find(&row)
	if r.Error == nil && r.RowsAffected == 0 {
		return identity.Organisation{}, errNoOrganisation
	}
	return row.organisation(now), r.Error
}

// Organisation finds an employer.
func (s *Store) Organisation(ctx context.Context, id identity.OrganisationID) (o identity.Organisation, err error) {
	err = s.ask(ctx, "find organisation", func(db *gorm.DB) error {
		o, err = findOrganisation(db, id, s.now(), "")
		return err
	})
	return o, err
}

// Organisations lists every employer by name.
func (s *Store) Organisations(ctx context.Context) ([]identity.Organisation, error) {
	var rows []organisationRow
	err := s.ask(ctx, "list organisations", func(db *gorm.DB) error {
		return db.Raw(selectOrganisation + "order by lower(name), id").Find(&rows).Error
	})
	if err != nil {
		return nil, err
	}
	list := make([]identity.Organisation, len(rows))
	for i, row := range rows {
		list[i] = row.organisation(s.now())
	}
	return list, nil
}

func (c *change) Organisation(id identity.OrganisationID) (identity.Organisation, error) {
	o, err := findOrganisation(c.db, id, c.s.now(), c.lock("for no key update"))
	return o, c.did("find organisation", err)
}

func (c *change) AddOrganisation(o identity.Organisation) error {
	row := rowOfOrganisation(o)
	r := c.db.Clauses(clause.OnConflict{DoNothing: true}).Create(&row)
	if r.Error == nil && r.RowsAffected == 0 {
		return errOrganisationIs
	}
	return c.did("add organisation", r.Error)
}

func (c *change) SaveOrganisation(o identity.Organisation) error {
	row := rowOfOrganisation(o)
	row.Version++
	r := c.db.Model(&organisationRow{}).Where("id = ? and version = ?", row.ID, o.Version).
		Select("*").Omit("id", "created").Updates(&row)
	if r.Error == nil && r.RowsAffected == 0 {
		_, err := c.Organisation(o.ID)
		return firstOf(err, errChanged)
	}
	return c.did("save organisation", r.Error)
}

// firstOf is the first error that is one.
func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
