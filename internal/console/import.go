package console

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/web"
	"github.com/portti-id/portti/pkg/portti"
)

const (
	importFilePath = "/people/import"
	importsPath    = "/imports/" // not below /people, where it would be somebody's

	mostFile   = 4 << 20      // bytes that the API takes of a file
	mostUpload = 2 * mostFile // a file somewhat larger is told so beside the field; others get the page of error 413

	// The page of a running import loads again by itself every 5 s, for 10 minutes: a
	// browser that nobody sits at must not keep a session alive.
	importAgain = 5
	mostLooks   = 120
)

// importFilePage asks for a file of people.
type importFilePage struct {
	web.Page
	Organisation string
	Choose       bool // any organisation; otherwise the reader's own
}

func importFilePageOf(r *http.Request, v *visit) *importFilePage {
	return &importFilePage{Organisation: v.employer(r), Choose: !v.staff.OwnAlone("people.create")}
}

func (p *Pages) importFile(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := v.need("people.create"); err != nil {
		return err
	}
	return p.show(w, r, http.StatusOK, "import_file", importFilePageOf(r, v))
}

// checkImport hands the file to the API, which touches nobody.
func (p *Pages) checkImport(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := v.need("people.create"); err != nil {
		return err
	}
	page := importFilePageOf(r, v)
	if page.Choose {
		page.Organisation = strings.TrimSpace(r.PostFormValue("organisation"))
	}
	file, err := uploaded(r)
	if err != nil {
		return p.again(w, r, "import_file", &page.Page, page, err)
	}
	made, err := p.api.CheckImport(r.Context(), v.token, portti.NewImport{Organisation: page.Organisation, CSV: file})
	if err != nil {
		err = noSuchOrganisation(refused(err))
		if f, ok := fault.Of(err); ok && f.Field == "csv" {
			f.Field = "file"
		}
		return p.again(w, r, "import_file", &page.Page, page, err)
	}
	return see(w, r, importPath(made.ID))
}

// uploaded reads the file of the form; "" when none was chosen. JSON would carry
// what is no UTF-8 as signs that nobody wrote, so that is refused here.
func uploaded(r *http.Request) (string, error) {
	f, head, err := r.FormFile("file")
	if errors.Is(err, http.ErrMissingFile) || errors.Is(err, http.ErrNotMultipart) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	if head.Size > mostFile {
		return "", fault.New(fault.Invalid, "import_too_large", "The file is larger than 4 MiB.").In("file")
	}
	b, err := io.ReadAll(f)
	if err != nil {
		return "", err
	}
	if !utf8.Valid(b) {
		return "", fault.New(fault.Invalid, "import_not_text", "The file is not text in UTF-8.").In("file")
	}
	return string(b), nil
}

func importPath(id string) string { return importsPath + url.PathEscape(id) }

// importPage is what would become of a file, becomes, or has become.
type importPage struct {
	web.Page
	Import  portti.Import
	Path    string
	Why     string // an import was stopped
	Tabs    []tab
	Rows    []importRow
	Running bool
	Apply   bool // it can begin, or go on
	Pager   pager
}

// importRow is a line of the file, in the reader's words.
type importRow struct {
	Line                         int
	Username, Name, Verdict, Why string
	Cells                        []importCell // that are wrong, or that change
}

type importCell struct{ Column, Value string }

// everyRow is the filter that lets all rows through. Without a filter there are those
// that are wrong, if there are any.
const everyRow = "all"

func (p *Pages) showImport(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := v.need("people.create"); err != nil {
		return err
	}
	i, err := p.api.Import(r.Context(), v.token, r.PathValue("import"))
	if err != nil {
		return refused(err)
	}
	verdict, after := r.FormValue("verdict"), r.FormValue("after")
	page := &importPage{Import: i, Path: importPath(i.ID), Why: p.word(v.lang, "con.import.code.", i.Reason), Running: i.State == "applying",
		Apply: i.State == "stopped" || i.State == "checked" && i.Create+i.Change > 0}
	looks, err := strconv.Atoi(cmp.Or(r.FormValue("look"), "0"))
	if page.Running && verdict == "" && after == "" && err == nil && looks >= 0 && looks < mostLooks { // nobody is disturbed who reads rows
		w.Header().Set("Refresh", fmt.Sprintf("%d; url=%s?look=%d", importAgain, page.Path, looks+1))
	}
	if verdict == "" {
		verdict = everyRow
		if i.Wrong > 0 {
			verdict = "wrong"
		}
	}
	page.Tabs = importTabs(i, verdict)
	if !slices.ContainsFunc(page.Tabs, func(t tab) bool { return t.Here }) {
		return see(w, r, page.Path)
	}
	of := verdict
	if of == everyRow {
		of = ""
	}
	list, err := p.api.ImportRows(r.Context(), v.token, i.ID, of, after)
	if err != nil {
		return refused(err)
	}
	for _, row := range list.Rows {
		page.Rows = append(page.Rows, p.importRow(v.lang, row))
	}
	page.Pager = pagerOf(withVerdict(r, verdict), list.Next)
	return p.show(w, r, http.StatusOK, "import", page)
}

// withVerdict is the request with its filter said, so that the next page has the
// same one whatever goes wrong meanwhile.
func withVerdict(r *http.Request, verdict string) *http.Request {
	r = r.Clone(r.Context())
	q := r.URL.Query()
	q.Set("verdict", verdict)
	q.Del("look")
	r.URL.RawQuery = q.Encode()
	return r
}

// importTabs are the filters with their numbers: what has to be looked at comes first.
func importTabs(i portti.Import, verdict string) []tab {
	family := "con.import.verdict."
	if i.State == "done" {
		family = "con.import.done."
	}
	tabs := []tab{{Href: "wrong", Key: "con.import.verdict.wrong", Count: i.Wrong}, {Href: "create", Key: family + "create", Count: i.Create},
		{Href: "change", Key: family + "change", Count: i.Change}, {Href: "unchanged", Key: "con.import.verdict.unchanged", Count: i.Unchanged},
		{Href: everyRow, Key: "con.import.verdict.all", Count: i.Rows}}
	for n, t := range tabs {
		tabs[n].Here, tabs[n].Href = t.Href == verdict, importPath(i.ID)+"?verdict="+t.Href
	}
	return tabs
}

func (p *Pages) importRow(lang string, r portti.ImportRow) importRow {
	row := importRow{Line: r.Line, Username: r.Cells["username"], Name: strings.TrimSpace(r.Cells["family_name"] + " " + r.Cells["given_name"]), Verdict: r.Verdict,
		Why: p.word(lang, "con.import.code.", r.Code)}
	for _, f := range r.Fields {
		row.Cells = append(row.Cells, importCell{p.word(lang, "con.import.column.", f), r.Cells[f]})
	}
	return row
}

// applyImport lets the work begin, or go on. Twice is once.
func (p *Pages) applyImport(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := v.need("people.create"); err != nil {
		return err
	}
	i, err := p.api.ApplyImport(r.Context(), v.token, r.PathValue("import"))
	if err != nil {
		return refused(err)
	}
	return see(w, r, importPath(i.ID))
}
