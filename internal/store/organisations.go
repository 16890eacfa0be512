package store

import (
	"context"

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
	Delivery           string
	ITContact          string
	HolderRule         string
	CardNames          string
	Disabled           moment
	Created            moment
	Version            int64
}

func (organisationRow) TableName() string { return "organisations" }

func rowOfOrganisation(o identity.Organisation) organisationRow {
	return organisationRow{ID: string(o.ID), Name: o.Name, Methods: int64(o.Methods), PersonalPhones: o.PersonalPhones,
		SharedWorkstations: o.SharedWorkstations, Delivery: string(o.Delivery), ITContact: o.ITContact, HolderRule: string(o.HolderRule), CardNames: o.CardNames,
		Disabled: at(o.Disabled), Created: at(o.Created), Version: o.Version}
}

func (r organisationRow) organisation() identity.Organisation {
	return identity.Organisation{ID: identity.OrganisationID(r.ID), Name: r.Name, Methods: identity.Methods(r.Methods), PersonalPhones: r.PersonalPhones,
		SharedWorkstations: r.SharedWorkstations, Delivery: identity.Delivery(r.Delivery), ITContact: r.ITContact, HolderRule: identity.HolderRule(r.HolderRule), CardNames: r.CardNames,
		Disabled: r.Disabled.t, Created: r.Created.t, Version: r.Version}
}

var selectOrganisation = "select " + columns(&organisationRow{}, "", "") + " from organisations "

func findOrganisation(db *gorm.DB, id identity.OrganisationID, lock string) (identity.Organisation, error) {
	var row organisationRow
	r := db.Raw(selectOrganisation+"where id = ?"+lock, string(id)).Find(&row)
	if r.Error == nil && r.RowsAffected == 0 {
		return identity.Organisation{}, errNoOrganisation
	}
	return row.organisation(), r.Error
}

// Organisation finds an employer.
func (s *Store) Organisation(ctx context.Context, id identity.OrganisationID) (o identity.Organisation, err error) {
	err = s.ask(ctx, "find organisation", func(db *gorm.DB) error {
		o, err = findOrganisation(db, id, "")
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
		list[i] = row.organisation()
	}
	return list, nil
}

func (c *change) Organisation(id identity.OrganisationID) (identity.Organisation, error) {
	o, err := findOrganisation(c.db, id, c.lock("for no key update"))
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
