package identity

import (
	"context"
	"crypto/rand"
	"slices"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/fault"
)

// People from a file (S65, docs/adr/0131):
//
//	CheckImport   the file is read, and every row gets a verdict; nobody is touched
//	ApplyImport   its owner wants it; the rows wait
//	WorkImports   in the background: each row, and what became of it, in one transaction
//
// A row says what the person should be, so the same file once more changes nothing.

// ImportID names an import. Random.
type ImportID string

// ImportState is how far an import is.
type ImportState string

const (
	ImportChecked  ImportState = "checked"  // the verdicts are there, and nothing has been done
	ImportApplying ImportState = "applying" // rows are being worked on
	ImportDone     ImportState = "done"
	ImportStopped  ImportState = "stopped" // its owner may not any more, or has to say once more that it goes on
)

// ImportVerdict is what a row comes to, or has come to when it is Done.
type ImportVerdict string

const (
	RowCreates   ImportVerdict = "create"
	RowChanges   ImportVerdict = "change"
	RowUnchanged ImportVerdict = "unchanged"
	RowWrong     ImportVerdict = "wrong"
)

// ImportVerdicts is every one, in the order in which pages show them.
var ImportVerdicts = []ImportVerdict{RowWrong, RowCreates, RowChanges, RowUnchanged}

// ParseImportVerdict reads a verdict's name; "" is every row.
func ParseImportVerdict(s string) (ImportVerdict, error) {
	if v := ImportVerdict(s); s == "" || slices.Contains(ImportVerdicts, v) {
		return v, nil
	}
	return "", fault.New(fault.Invalid, "query_invalid", "verdict: %q is not one of wrong, create, change, unchanged.", s).In("verdict")
}

// Import is a file of people for one organisation. It belongs to whoever brought
// it: for everybody else there is none.
type Import struct {
	ID           ImportID
	User         UserID // who brought it
	Organisation OrganisationID
	State        ImportState
	Reason       string // of ImportStopped, as a code
	Address      string // from which it was applied
	Epoch        int64  // of the user when it was applied: whose sessions have ended since has to apply it once more
	Created      time.Time
	Expires      time.Time
	Finished     time.Time

	Counts map[ImportVerdict]int // of the rows; filled by the store
	Done   int                   // rows with which nothing is to be done any more
}

// Rows is how many rows the file has.
func (i Import) Rows() int {
	n := 0
	for _, of := range i.Counts {
		n += of
	}
	return n
}

// ImportRow is a line of the file.
type ImportRow struct {
	Line    int               // where it begins, the header's is 1
	Cells   map[string]string // by column, those that the file has
	Verdict ImportVerdict
	Fields  []string // columns that are wrong, or that change
	Code    string   // of RowWrong
	Done    bool     // it has been worked on; what is wrong in the file is Done from the beginning
}

// RowsOf says which rows of an import are wanted.
type RowsOf struct {
	Import  ImportID
	Verdict ImportVerdict // "": every one
	Pending bool          // those that are not Done
	After   int           // the line of the last one seen
	Limit   int
}

// Imports is what imports need of SQL.
type Imports interface {
	// Import gives an import with its counts: fault.NotFound "import_not_found".
	Import(ctx context.Context, id ImportID) (Import, error)
	ImportRows(ctx context.Context, of RowsOf) ([]ImportRow, error) // by line
	// LeaseImport hands out the import that has waited longest among those that are
	// being applied, and keeps it from other replicas until the lease ends; false
	// when none waits. ReleaseImport ends the lease.
	LeaseImport(ctx context.Context, now time.Time, lease time.Duration) (Import, bool, error)
	ReleaseImport(ctx context.Context, id ImportID, now time.Time) error
	// PeopleByName finds those who have one of up to 500 folded usernames.
	PeopleByName(ctx context.Context, folded []string) ([]Person, error)
}

// ImportsTx is the inside of a Change that is about an import.
type ImportsTx interface {
	// AddImport takes the place of the user's former import; fault.Conflict
	// "import_running" while that one is being applied.
	AddImport(i Import, rows []ImportRow) error
	// MoveImport saves State, Reason, Address, Epoch and Finished of an import that is
	// still in the state from. Of any number of parallel callers one gets true.
	MoveImport(i Import, from ImportState) (bool, error)
	// SettleImportRow saves Verdict, Fields and Code of a row that is not Done, and makes
	// it Done. Of any number of parallel callers one gets true; the others wait for
	// that one's commit, and get true after all if there is none.
	SettleImportRow(id ImportID, r ImportRow) (bool, error)
}

const (
	importLasts  = 24 * time.Hour // after which the file's rows are forgotten
	namesAtOnce  = 500
	errNoRowCode = "import_row_failed" // our own failure at a row: the log says more
)

var errNoImport = fault.New(fault.NotFound, "import_not_found", "There is no such import, or it is older than a day.")

// CheckImport reads a file and says of every row what would become of it. Who the
// usernames of other organisations belong to it does not say. Nobody is touched.
func (d *Directory) CheckImport(ctx context.Context, by Actor, id OrganisationID, csv string) (Import, error) {
	if by.User == "" {
		return Import{}, errNotAllowed
	}
	if err := first(by.In(PeopleCreate, id), by.In(PeopleChange, id)); err != nil {
		return Import{}, err
	}
	rows, err := readImport(csv)
	if err != nil {
		return Import{}, err
	}
	org, err := d.Store.Organisation(ctx, id)
	if err != nil {
		return Import{}, err
	}
	if !org.Disabled.IsZero() {
		return Import{}, errOrganisationDisabled(org)
	}
	for chunk := range slices.Chunk(rows, namesAtOnce) {
		if err := d.judge(ctx, by, org, chunk); err != nil {
			return Import{}, err
		}
	}
	i := Import{ID: ImportID(rand.Text()), User: by.User, Organisation: id, State: ImportChecked, Created: d.now(), Expires: d.now().Add(importLasts)}
	if err := d.Store.Change(ctx, func(tx Tx) error { return tx.AddImport(i, rows) }); err != nil {
		return Import{}, err
	}
	return d.Store.Import(ctx, i.ID)
}

// judge gives each row that is not settled its verdict, by the people of now.
func (d *Directory) judge(ctx context.Context, by Actor, org Organisation, rows []ImportRow) error {
	names := make([]string, 0, len(rows))
	for _, r := range rows {
		if !r.Done {
			names = append(names, FoldUsername(r.Cells[colUsername]))
		}
	}
	list, err := d.Store.PeopleByName(ctx, names)
	if err != nil {
		return err
	}
	people := make(map[string]Person, len(list))
	for _, p := range list {
		people[FoldUsername(p.User.Username)] = p
	}
	for i, r := range rows {
		if r.Done {
			continue
		}
		rows[i].Verdict, rows[i].Fields, rows[i].Code = RowCreates, nil, ""
		p, there := people[FoldUsername(r.Cells[colUsername])]
		switch {
		case r.Cells[colOrganisation] != "" && r.Cells[colOrganisation] != string(org.ID):
			rows[i].blame(errOtherOrganisation)
		case !there:
			u := r.user(org.ID).trimmed()
			rows[i].blame(first(u.check(), org.reaches(u)))
		case p.User.Organisation != org.ID:
			rows[i].blame(errTaken)
		default:
			u := p.User
			r.edit(&u)
			if rows[i].Fields = differing(p.User, u.trimmed()); len(rows[i].Fields) == 0 {
				rows[i].Verdict = RowUnchanged
				continue
			}
			rows[i].Verdict = RowChanges
			rows[i].blame(first(by.On(PeopleChange, p.User), u.trimmed().check()))
		}
	}
	return nil
}

var (
	errTaken             = fault.New(fault.Conflict, "username_taken", "This username is taken.").In(colUsername)
	errOtherOrganisation = fault.New(fault.Invalid, "import_other_organisation", "organisation: the row is of another organisation than the file.").In(colOrganisation)
)

// blame makes a row wrong where err is what is wrong with it.
func (r *ImportRow) blame(err error) {
	if err == nil {
		return
	}
	r.Verdict, r.Fields, r.Code, r.Done = RowWrong, nil, errNoRowCode, true
	f, ok := fault.Of(err)
	if !ok {
		return
	}
	r.Code = f.Code
	switch f.Field {
	case "":
	case "given-name":
		r.Fields = []string{colGiven}
	case "family-name":
		r.Fields = []string{colFamily}
	case "phone_number":
		r.Fields = []string{colPhone}
	default:
		r.Fields = []string{f.Field}
	}
}

// user is the account that a row describes.
func (r ImportRow) user(org OrganisationID) User {
	u := User{Username: r.Cells[colUsername], Organisation: org}
	r.edit(&u)
	return u
}

// edit writes what the file has of a person; columns that are not there stay.
func (r ImportRow) edit(u *User) {
	for column, into := range map[string]*string{colGiven: &u.GivenName, colFamily: &u.FamilyName, colEmail: &u.Email, colLanguage: &u.Language, colPhone: &u.Claims.Phone} {
		if cell, ok := r.Cells[column]; ok {
			*into = cell
		}
	}
}

// differing are the columns in which two accounts differ.
func differing(a, b User) []string {
	var columns []string
	for _, c := range []struct{ column, a, b string }{{colGiven, a.GivenName, b.GivenName}, {colFamily, a.FamilyName, b.FamilyName}, {colEmail, a.Email, b.Email},
		{colLanguage, a.Language, b.Language}, {colPhone, a.Claims.Phone, b.Claims.Phone}} {
		if c.a != c.b {
			columns = append(columns, c.column)
		}
	}
	return columns
}

// Import gives an import to its owner.
func (d *Directory) Import(ctx context.Context, by Actor, id ImportID) (Import, error) {
	if err := by.May(PeopleCreate); err != nil {
		return Import{}, err
	}
	i, err := d.Store.Import(ctx, id)
	if err != nil {
		return Import{}, err
	}
	if by.User == "" || i.User != by.User || by.In(PeopleCreate, i.Organisation) != nil || !d.now().Before(i.Expires) {
		return Import{}, errNoImport
	}
	return i, nil
}

// ImportRows lists rows of an import to its owner, and the line after which the next
// page begins, 0 after the last.
func (d *Directory) ImportRows(ctx context.Context, by Actor, of RowsOf) ([]ImportRow, int, error) {
	if _, err := d.Import(ctx, by, of.Import); err != nil {
		return nil, 0, err
	}
	if of.Limit <= 0 || of.Limit > MostPeople {
		of.Limit = PageSize
	}
	page := of
	page.Limit++
	rows, err := d.Store.ImportRows(ctx, page)
	if err != nil || len(rows) <= of.Limit {
		return rows, 0, err
	}
	rows = rows[:of.Limit]
	return rows, rows[of.Limit-1].Line, nil
}

// ApplyImport lets an import begin, or go on after it was stopped. One that is being
// applied, or is done, stays as it is.
func (d *Directory) ApplyImport(ctx context.Context, by Actor, id ImportID) (Import, error) {
	i, err := d.Import(ctx, by, id)
	if err != nil {
		return Import{}, err
	}
	from := i.State
	if from != ImportChecked && from != ImportStopped {
		return i, nil
	}
	p, err := d.Store.Account(ctx, by.User)
	if err != nil {
		return Import{}, err
	}
	i.State, i.Reason, i.Address, i.Epoch = ImportApplying, "", by.Address, p.User.Epoch
	err = d.change(ctx, func(tx Tx) error {
		moved, err := tx.MoveImport(i, from)
		if err != nil || !moved {
			return err // somebody was first, with the same
		}
		return tx.Record(i.event(d.now(), audit.ImportBegun, by))
	})
	if err != nil {
		return Import{}, err
	}
	return d.Store.Import(ctx, id)
}

func (i Import) event(at time.Time, t audit.Type, by Actor) audit.Event {
	return audit.Event{At: at, Type: t, Actor: by.Name, Organisation: string(i.Organisation), Address: by.Address, Reason: i.Reason, Details: map[string]string{"import": string(i.ID)}}
}
