package api

import (
	"net/http"
	"net/url"
	"strconv"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/pkg/portti"
)

// importPattern alone takes large bodies: a file as a JSON string, where a sign may
// take two.
const (
	importPattern  = "POST /api/v1/imports"
	mostImportBody = 2*identity.MostImportBytes + 64<<10
)

func (a *API) importOperations() []operation {
	return []operation{
		managed(a, importPattern, identity.PeopleCreate, "Read a file of people (CSV) and say of every row what would become of it; nobody is touched. Kept for a day; takes the place of the caller's last one", a.checkImport),
		managed(a, "GET /api/v1/imports/{import}", identity.PeopleCreate, "An import of the caller's own: its state, and how many rows have which verdict", a.showImport),
		managed(a, "GET /api/v1/imports/{import}/rows", identity.PeopleCreate, "Its rows by line, 50 a page: verdict (wrong, create, change, unchanged), after (a line)", a.importRows),
		managed(a, "POST /api/v1/imports/{import}/apply", identity.PeopleCreate, "Create and change the people of the file, in the background; rows that are wrong are left out. One that was stopped goes on", a.applyImport),
	}
}

func (a *API) checkImport(r *http.Request, by identity.Actor, in portti.NewImport) (answer[portti.Import], error) {
	org := identity.OrganisationID(in.Organisation)
	if org == "" {
		org = by.Organisation
	}
	i, err := a.Directory.CheckImport(r.Context(), by, org, in.CSV)
	if err != nil {
		return answer[portti.Import]{}, err
	}
	out, err := a.imported(r, i)
	out.Status, out.Made = http.StatusCreated, "/api/v1/imports/"+url.PathEscape(string(i.ID))
	return out, err
}

func importOf(r *http.Request) identity.ImportID { return identity.ImportID(r.PathValue("import")) }

func (a *API) showImport(r *http.Request, by identity.Actor, _ nothing) (answer[portti.Import], error) {
	i, err := a.Directory.Import(r.Context(), by, importOf(r))
	if err != nil {
		return answer[portti.Import]{}, err
	}
	return a.imported(r, i)
}

// imported is an import on the wire.
func (a *API) imported(r *http.Request, i identity.Import) (answer[portti.Import], error) {
	org, err := a.Directory.Store.Organisation(r.Context(), i.Organisation)
	if err != nil {
		return answer[portti.Import]{}, err
	}
	return answer[portti.Import]{Body: portti.Import{ID: string(i.ID), Organisation: portti.OrganisationName{ID: string(org.ID), Name: org.Name}, State: string(i.State), Reason: i.Reason,
		Created: i.Created, Expires: i.Expires, Finished: i.Finished, Rows: i.Rows(), Done: i.Done, Handover: org.Delivery == identity.ByHandover,
		Create: i.Counts[identity.RowCreates], Change: i.Counts[identity.RowChanges], Unchanged: i.Counts[identity.RowUnchanged], Wrong: i.Counts[identity.RowWrong]}}, nil
}

func (a *API) importRows(r *http.Request, by identity.Actor, _ nothing) (answer[portti.ImportRows], error) {
	q, err := only(r, "verdict", "after")
	if err != nil {
		return answer[portti.ImportRows]{}, err
	}
	of := identity.RowsOf{Import: importOf(r)}
	if of.Verdict, err = identity.ParseImportVerdict(q.Get("verdict")); err != nil {
		return answer[portti.ImportRows]{}, err
	}
	if after := q.Get("after"); after != "" {
		if of.After, err = strconv.Atoi(after); err != nil || of.After < 0 {
			return answer[portti.ImportRows]{}, fault.New(fault.Invalid, "query_invalid", "after: it is the number of a line.").In("after")
		}
	}
	rows, next, err := a.Directory.ImportRows(r.Context(), by, of)
	if err != nil {
		return answer[portti.ImportRows]{}, err
	}
	page := portti.ImportRows{Rows: make([]portti.ImportRow, len(rows))}
	if next != 0 {
		page.Next = strconv.Itoa(next)
	}
	for i, row := range rows {
		page.Rows[i] = portti.ImportRow{Line: row.Line, Cells: row.Cells, Verdict: string(row.Verdict), Fields: row.Fields, Code: row.Code, Done: row.Done}
	}
	return answer[portti.ImportRows]{Body: page}, nil
}

func (a *API) applyImport(r *http.Request, by identity.Actor, _ nothing) (answer[portti.Import], error) {
	i, err := a.Directory.ApplyImport(r.Context(), by, importOf(r))
	if err != nil {
		return answer[portti.Import]{}, err
	}
	return a.imported(r, i)
}
