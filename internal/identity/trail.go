package identity

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/portti-id/portti/internal/audit"
)

// TrailReader is what reading the trail needs of SQL.
type TrailReader interface {
	AuditEntries(ctx context.Context, q audit.Query) ([]audit.Entry, error) // newest first
	Statistics(ctx context.Context, organisation string, since, until time.Time, types []audit.Type) ([]audit.Count, error)
	TrailState(ctx context.Context) (audit.State, error)
	Names(ctx context.Context, ids []UserID) ([]User, error) // names, usernames and organisations alone; in no order
}

// Trail reads events, newest first. Whoever's right ends at their own organisation
// sees its events alone: not those of the installation, which are of none.
func (d *Directory) Trail(ctx context.Context, by Actor, q audit.Query) ([]audit.Entry, error) {
	own, err := by.Of(AuditSee)
	if err != nil {
		return nil, err
	}
	if q.Organisation != "" {
		if err := by.In(AuditSee, OrganisationID(q.Organisation)); err != nil {
			return nil, err
		}
		if _, err := d.Store.Organisation(ctx, OrganisationID(q.Organisation)); err != nil {
			return nil, err
		}
	}
	if own != "" {
		q.Organisation = string(own)
	}
	return d.Store.AuditEntries(ctx, q)
}

// exportedAtOnce is how many events of an export are in memory at a time.
const exportedAtOnce = 500

// ExportTrail is Trail for a file of all that a query finds: f gets it page by page.
// The export is an event itself, which is written before f is called and is not
// among those that it gets.
func (d *Directory) ExportTrail(ctx context.Context, by Actor, q audit.Query, format string, f func(page []audit.Entry) error) error {
	q.Limit, q.Before = exportedAtOnce, 0
	page, err := d.Trail(ctx, by, q)
	if err != nil {
		return err
	}
	e := audit.Event{At: d.now(), Type: audit.TrailExported, Actor: by.Name, Organisation: q.Organisation, Address: by.Address, Details: narrowed(q)}
	e.Details["format"] = format
	if own, err := by.Of(AuditSee); err == nil && own != "" {
		e.Organisation = string(own)
	}
	if err := d.Audit.Record(ctx, e); err != nil {
		return err
	}
	for {
		if err := f(page); err != nil || len(page) < q.Limit {
			return err
		}
		q.Before = page[len(page)-1].ID
		if page, err = d.Trail(ctx, by, q); err != nil {
			return err
		}
	}
}

// narrowed is what a query leaves of the trail, for the event of its export: the whole
// of it and what one person did are not the same thing to have.
func narrowed(q audit.Query) map[string]string {
	var types []string
	for _, t := range q.Types {
		types = append(types, string(t))
	}
	said := map[string]string{"about": q.User, "by": q.Actor, "types": strings.Join(types, ",")}
	for name, at := range map[string]time.Time{"since": q.Since, "until": q.Until} {
		if !at.IsZero() {
			said[name] = at.UTC().Format(time.RFC3339)
		}
	}
	const longest = 200 // runes: it is whatever somebody has asked for
	for name, value := range said {
		if r := []rune(value); len(r) > longest {
			said[name] = string(r[:longest-1]) + "…"
		}
	}
	maps.DeleteFunc(said, func(_, value string) bool { return value == "" })
	return said
}

// EventsOf reads what happened to a person, newest first, for whoever may see
// people. Addresses are for those who may see the trail.
func (d *Directory) EventsOf(ctx context.Context, by Actor, id UserID, q audit.Query) ([]audit.Entry, error) {
	if err := by.May(PeopleSee); err != nil {
		return nil, err
	}
	p, err := d.Store.Account(ctx, id)
	if err != nil {
		return nil, err
	}
	if err := by.Sees(PeopleSee, p.User); err != nil {
		return nil, err
	}
	q.User, q.Organisation = string(id), ""
	entries, err := d.Store.AuditEntries(ctx, q)
	if by.Sees(AuditSee, p.User) != nil {
		for i := range entries {
			entries[i].Event = entries[i].Unplaced()
		}
	}
	return entries, err
}

// counted are the types that statistics are about.
var counted = []audit.Type{audit.SignInSucceeded, audit.SignInRefused, audit.CardRefused, audit.CardLinked, audit.CardLinkRemoved, audit.AuthenticatorLinked, audit.AuthenticatorRemoved,
	audit.AuthenticatorBlocked, audit.PasswordOrdered}

// Statistics counts sign-ins, refusals, links and orders by day, both ends
// included, of an organisation or ("") of all that the actor may see.
func (d *Directory) Statistics(ctx context.Context, by Actor, organisation OrganisationID, since, until time.Time) ([]audit.Count, error) {
	own, err := by.Of(StatisticsSee)
	if err != nil {
		return nil, err
	}
	if organisation != "" {
		if err := by.In(StatisticsSee, organisation); err != nil {
			return nil, err
		}
		if _, err := d.Store.Organisation(ctx, organisation); err != nil {
			return nil, err
		}
	} else {
		organisation = own
	}
	return d.Store.Statistics(ctx, string(organisation), since, until, counted)
}

// TrailState tells how the chain is.
func (d *Directory) TrailState(ctx context.Context, by Actor) (audit.State, error) {
	if err := by.May(AuditSee); err != nil {
		return audit.State{}, err
	}
	return d.Store.TrailState(ctx)
}

// Named gives the names of the people whom events are about, or who have done what
// they tell of, as far as the actor may see people.
func (d *Directory) Named(ctx context.Context, by Actor, entries []audit.Entry) (map[UserID]string, error) {
	wanted := map[UserID]bool{}
	for _, e := range entries {
		wanted[UserID(e.User)] = true
		if id, ok := strings.CutPrefix(e.Actor, "user:"); ok {
			wanted[UserID(id)] = true
		}
	}
	delete(wanted, "")
	names := map[UserID]string{}
	if len(wanted) == 0 || by.May(PeopleSee) != nil {
		return names, nil
	}
	users, err := d.Store.Names(ctx, slices.Sorted(maps.Keys(wanted)))
	if err != nil {
		return nil, err
	}
	for _, u := range users {
		if by.Sees(PeopleSee, u) == nil {
			names[u.ID] = u.Name()
		}
	}
	return names, nil
}
