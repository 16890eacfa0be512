package store

import (
	"context"
	"time"

	"gorm.io/gorm"

	"github.com/portti-id/portti/internal/identity"
)

// DuePlans lists organisations whose planned change has begun.
func (s *Store) DuePlans(ctx context.Context, now time.Time, n int) (ids []identity.OrganisationID, err error) {
	err = s.ask(ctx, "find due plans", func(db *gorm.DB) error {
		return db.Raw("select id from organisations where planned_from <= ? order by planned_from, id limit ?", at(now), n).Find(&ids).Error
	})
	return ids, err
}

// What a change does to each open account of an organisation: the methods that are
// linked, good and permitted, before and after (identity.Person.WaysIn).
var (
	waysBefore = waysIn("@now", "@before")
	waysAfter  = waysIn("@from", "@after_methods")

	groups = map[identity.Group]string{
		identity.Stranded: waysAfter + " = 0 and " + waysBefore + " <> 0",
		identity.Without:  waysAfter + " = 0 and " + waysBefore + " = 0",
		identity.Narrowed: waysAfter + " <> 0 and (" + waysBefore + " & @after_methods) <> " + waysBefore,
	}
)

func waysIn(when, permitted string) string {
	return "(((case when c.status = '' and c.not_after > " + when + " then 1 else 0 end) | coalesce(a.kind, 0)) & " + permitted + ")"
}

const ofOpenAccounts = " where u.organisation = @org and u.disabled is null "

func changeArgs(c identity.MethodChange) args {
	return args{"org": string(c.Organisation), "before": int64(c.Before), "after_methods": int64(c.After), "now": at(c.Now), "from": at(c.From)}
}

// CountAffected counts the groups of a change in one statement.
func (s *Store) CountAffected(ctx context.Context, c identity.MethodChange) (e identity.Effect, err error) {
	one := func(g identity.Group) string {
		return "coalesce(sum(case when " + groups[g] + " then 1 else 0 end), 0)"
	}
	err = s.ask(ctx, "count who is affected", func(db *gorm.DB) error {
		return db.Raw("select count(*) as people, "+one(identity.Stranded)+" as stranded, "+one(identity.Without)+" as without, "+one(identity.Narrowed)+` as narrowed
			from users u
			left join card_links c on c.user_id = u.id and c.removed is null
			left join authenticators a on a.user_id = u.id and a.removed is null`+ofOpenAccounts, changeArgs(c)).Find(&e).Error
	})
	return e, err
}

// Affected lists people of a group, by username.
func (s *Store) Affected(ctx context.Context, c identity.MethodChange, g identity.Group, after string, n int) ([]identity.Person, error) {
	where, ok := groups[g]
	if !ok {
		return nil, nil
	}
	a := changeArgs(c)
	a["last"], a["n"] = after, n
	var rows []personRow
	err := s.ask(ctx, "list who is affected", func(db *gorm.DB) error {
		return db.Raw(selectPerson+ofOpenAccounts+"and u.username_folded > @last and "+where+" order by u.username_folded limit @n", a).Find(&rows).Error
	})
	if err != nil {
		return nil, err
	}
	list := make([]identity.Person, len(rows))
	for i, row := range rows {
		list[i] = row.person(s.now())
	}
	return list, nil
}

type policyNoticeRow struct {
	ID            string
	Organisation  string
	MethodsBefore int64
	Methods       int64
	Effective     moment
	Told          string
	Made          moment
}

func (policyNoticeRow) TableName() string { return "policy_notices" }

// PolicyNotices lists changes of which people have still to be told.
func (s *Store) PolicyNotices(ctx context.Context) ([]identity.PolicyNotice, error) {
	var rows []policyNoticeRow
	err := s.ask(ctx, "list policy notices", func(db *gorm.DB) error {
		return db.Raw("select " + columns(&policyNoticeRow{}, "", "") + " from policy_notices order by made, id").Find(&rows).Error
	})
	if err != nil {
		return nil, err
	}
	list := make([]identity.PolicyNotice, len(rows))
	for i, r := range rows {
		list[i] = identity.PolicyNotice{ID: r.ID, Organisation: identity.OrganisationID(r.Organisation), Before: identity.Methods(r.MethodsBefore),
			After: identity.Methods(r.Methods), From: r.Effective.t, Told: r.Told, Made: r.Made.t}
	}
	return list, nil
}

func (c *change) AddPolicyNotice(n identity.PolicyNotice) error {
	row := policyNoticeRow{ID: n.ID, Organisation: string(n.Organisation), MethodsBefore: int64(n.Before), Methods: int64(n.After),
		Effective: at(n.From), Told: n.Told, Made: at(n.Made)}
	return c.did("add policy notice", c.db.Create(&row).Error)
}

func (c *change) DropPolicyNotices(org identity.OrganisationID, from time.Time) error {
	_, err := c.exec("drop policy notices", "delete from policy_notices where organisation = ? and effective = ?", string(org), at(from))
	return err
}

// MovePolicyNotice leaves it to the row to decide between any number of callers:
// whoever comes second finds another name in it, or no row.
func (c *change) MovePolicyNotice(n identity.PolicyNotice, told string, over bool) (bool, error) {
	if over {
		rows, err := c.exec("remove policy notice", "delete from policy_notices where id = ? and told = ?", n.ID, n.Told)
		return rows == 1, err
	}
	rows, err := c.exec("move policy notice", "update policy_notices set told = ? where id = ? and told = ?", told, n.ID, n.Told)
	return rows == 1, err
}

type policyToldRow struct {
	ID           string
	Organisation string
	Effective    moment
	UserID       string
}

// WithdrawalsToTell lists those who are owed a letter (identity.Store).
func (s *Store) WithdrawalsToTell(ctx context.Context, n int) ([]identity.PolicyTold, error) {
	var rows []policyToldRow
	err := s.ask(ctx, "list who was told of withdrawn policies", func(db *gorm.DB) error {
		return db.Raw("select "+columns(&policyToldRow{}, "", "")+" from policy_told where withdrawn is not null order by withdrawn, id limit ?", n).Find(&rows).Error
	})
	list := make([]identity.PolicyTold, len(rows))
	for i, r := range rows {
		list[i] = identity.PolicyTold{ID: r.ID, Organisation: identity.OrganisationID(r.Organisation), From: r.Effective.t, User: identity.UserID(r.UserID)}
	}
	return list, err
}

func (c *change) AddPolicyTold(t identity.PolicyTold) error {
	_, err := c.exec("add who was told of a policy", "insert into policy_told (id, organisation, effective, user_id) values (@id, @org, @from, @user)",
		args{"id": t.ID, "org": string(t.Organisation), "from": at(t.From), "user": string(t.User)})
	return err
}

func (c *change) WithdrawPolicyTold(org identity.OrganisationID, from, when time.Time) error {
	_, err := c.exec("withdraw a policy from who was told", "update policy_told set withdrawn = @at where organisation = @org and effective = @from and withdrawn is null",
		args{"org": string(org), "from": at(from), "at": at(when)})
	return err
}

func (c *change) DropPolicyTold(org identity.OrganisationID, from time.Time) error {
	_, err := c.exec("drop who was told of a policy", "delete from policy_told where organisation = ? and effective = ? and withdrawn is null", string(org), at(from))
	return err
}

func (c *change) TakePolicyTold(id string) (bool, error) {
	rows, err := c.exec("take who was told of a policy", "delete from policy_told where id = ?", id)
	return rows == 1, err
}
