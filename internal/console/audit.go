package console

import (
	"cmp"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/portti-id/portti/internal/web"
	"github.com/portti-id/portti/pkg/portti"
)

const (
	auditPath      = "/audit"
	statisticsPath = "/statistics"
)

// auditPage is the trail, or what happened to one person.
type auditPage struct {
	web.Page
	User, Organisation, Type, Actor, Since, Until string
	Types                                         []web.Option
	OneOrganisation                               bool // whoever looks sees their own alone
	Events                                        []eventRow
	Pager                                         pager
	CSV, JSONL                                    string // addresses of the same as files
	State                                         *trailState
	Person                                        string // the page is of this person alone
}

type eventRow struct {
	At, Sentence, Type, Reason, Actor, User, Organisation, Client, Method, Address, Details string
	ActorName, UserName                                                                     string // names of those whom the reader may see
	ActorID                                                                                 string // of a named actor
	Nobody                                                                                  bool   // the actor has not signed in
	Sequence                                                                                string
	Doubtful                                                                                bool
}

// trailState is how the chain is, for those who see all of it.
type trailState struct {
	Sequence, Checkpoint, Removed, Waiting, Doubtful string
	Sealed, Checked, Key                             string
	Late                                             bool // events have waited for long: nobody seals
}

// audit shows the trail.
func (p *Pages) audit(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := v.need("audit.see"); err != nil {
		return err
	}
	page := &auditPage{User: asked(r, "user"), Organisation: asked(r, "organisation"), Type: asked(r, "type"), Actor: asked(r, "actor"), Since: asked(r, "since"), Until: asked(r, "until"),
		OneOrganisation: slices.Contains(v.staff.Own, "audit.see")}
	page.Types = p.eventTypes(v.lang)
	q := portti.EventQuery{User: page.User, Organisation: page.Organisation, Type: page.Type, Actor: page.Actor, Since: page.Since, Until: page.Until, After: r.FormValue("after"), Lang: v.lang}
	events, err := p.api.Audit(r.Context(), v.token, q)
	if err != nil {
		return p.again(w, r, "audit", &page.Page, page, refused(err))
	}
	p.list(r, v, page, events)
	query := r.URL.Query()
	query.Del("after")
	query.Del("lang")
	query.Set("format", "csv")
	page.CSV = auditPath + "/file?" + query.Encode()
	query.Set("format", "jsonl")
	page.JSONL = auditPath + "/file?" + query.Encode()
	if !page.OneOrganisation {
		if page.State, err = p.trailState(r, v); err != nil {
			return err
		}
	}
	return p.show(w, r, http.StatusOK, "audit", page)
}

// events shows what happened to a person.
func (p *Pages) events(w http.ResponseWriter, r *http.Request, v *visit) error {
	id := r.PathValue("user")
	events, err := p.api.EventsOf(r.Context(), v.token, id, portti.EventQuery{After: r.FormValue("after"), Lang: v.lang})
	if err != nil {
		return refused(err)
	}
	page := &auditPage{Person: id}
	p.list(r, v, page, events)
	return p.show(w, r, http.StatusOK, "audit", page)
}

// auditFile hands the trail on as a file.
func (p *Pages) auditFile(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := v.need("audit.see"); err != nil {
		return err
	}
	q := portti.EventQuery{User: asked(r, "user"), Organisation: asked(r, "organisation"), Type: asked(r, "type"), Actor: asked(r, "actor"), Since: asked(r, "since"), Until: asked(r, "until"),
		Format: asked(r, "format"), Lang: v.lang}
	file, err := p.api.AuditFile(r.Context(), v.token, q)
	if err != nil {
		return refused(err)
	}
	defer func() { _ = file.Close() }()
	h := w.Header()
	h.Set("Content-Type", fileTypes[q.Format])
	h.Set("Content-Disposition", `attachment; filename="audit-`+p.now().UTC().Format(time.DateOnly)+"."+q.Format+`"`) // the API has taken it
	h.Set("Cache-Control", "no-store")
	if err := p.passOn(w, file); err != nil {
		panic(http.ErrAbortHandler) // half a trail must not look like a whole one
	}
	return nil
}

var fileTypes = map[string]string{"csv": "text/csv; charset=utf-8", "jsonl": "application/jsonl"}

// passOn copies a file of any length, as long as it goes on.
func (p *Pages) passOn(w http.ResponseWriter, file io.Reader) error {
	going := http.NewResponseController(w)
	for {
		_ = going.SetWriteDeadline(time.Now().Add(time.Minute)) // where there is none, none is needed
		switch _, err := io.CopyN(w, file, 1<<20); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

func asked(r *http.Request, name string) string { return strings.TrimSpace(r.FormValue(name)) }

func (p *Pages) list(r *http.Request, v *visit, page *auditPage, events portti.Events) {
	next := ""
	if events.Next > 0 {
		next = strconv.FormatInt(events.Next, 10)
	}
	page.Pager = pagerOf(r, next)
	for _, e := range events.Events {
		row := eventRow{At: e.At.UTC().Format("2006-01-02 15:04:05"), Sentence: e.Sentence, Type: e.Type, Reason: e.Reason, Actor: e.Actor, Nobody: e.Actor == "anybody" || e.Actor == "user:", User: e.User,
			Organisation: e.Organisation, Client: e.Client, Method: p.word(v.lang, "con.method.", e.Method), Address: e.Address, Doubtful: e.Sequence > 0 && e.Mark != "genuine"}
		if e.Sequence > 0 {
			row.Sequence = strconv.FormatInt(e.Sequence, 10)
		}
		if id, ok := strings.CutPrefix(e.Actor, "user:"); ok && events.Names[id] != "" {
			row.ActorID, row.ActorName = id, events.Names[id]
		}
		row.UserName = events.Names[e.User]
		var details []string
		for _, name := range slices.Sorted(maps.Keys(e.Details)) {
			if name != "note" && name != "ticket" { // the sentence has them
				details = append(details, name+": "+e.Details[name])
			}
		}
		row.Details = strings.Join(details, ", ")
		page.Events = append(page.Events, row)
	}
}

// word is a code in the reader's language, or itself where there are no words: a
// reason of long ago may be what somebody has written.
func (p *Pages) word(lang, family, code string) string {
	if key := family + code; code != "" && p.site.Texts().Has(key) {
		return p.site.Texts().Text(lang, key)
	}
	return code
}

// eventTypes are all of them, by name.
func (p *Pages) eventTypes(lang string) []web.Option {
	const family = "con.event."
	options := []web.Option{{Value: "", Label: p.site.Texts().Text(lang, "con.audit.anytype")}}
	for _, key := range p.site.Texts().Keys() {
		if kind, ok := strings.CutPrefix(key, family); ok {
			options = append(options, web.Option{Value: kind, Label: p.site.Texts().Text(lang, key)})
		}
	}
	slices.SortStableFunc(options[1:], func(a, b web.Option) int { return cmp.Compare(a.Label, b.Label) })
	return options
}

func (p *Pages) trailState(r *http.Request, v *visit) (*trailState, error) {
	s, err := p.api.TrailState(r.Context(), v.token)
	if err != nil {
		return nil, refused(err)
	}
	at := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.UTC().Format("2006-01-02 15:04:05")
	}
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	return &trailState{Sequence: number(s.Sequence), Checkpoint: number(s.Checkpoint), Removed: number(s.Removed), Waiting: number(s.Waiting), Doubtful: number(s.Doubtful), Sealed: at(s.Sealed),
		Checked: at(s.Checked), Key: s.Key, Late: s.Waiting > 0 && p.now().Sub(s.Sealed) > 5*time.Minute}, nil
}

// statisticsPage is what happened day by day.
type statisticsPage struct {
	web.Page
	Since, Until, Organisation string
	OneOrganisation            bool
	SignIns, Refusals, Changes chart
	Any                        bool
}

// statistics draws sign-ins by method, refusals by cause, and what was linked.
func (p *Pages) statistics(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := v.need("statistics.see"); err != nil {
		return err
	}
	page := &statisticsPage{Since: asked(r, "since"), Until: asked(r, "until"), Organisation: asked(r, "organisation"), OneOrganisation: slices.Contains(v.staff.Own, "statistics.see")}
	s, err := p.api.Statistics(r.Context(), v.token, page.Organisation, page.Since, page.Until)
	if err != nil {
		return p.again(w, r, "statistics", &page.Page, page, refused(err))
	}
	page.Since, page.Until, page.Any = s.Since, s.Until, len(s.Counts) > 0
	page.draw(p, v.lang, s)
	return p.show(w, r, http.StatusOK, "statistics", page)
}

func (page *statisticsPage) draw(p *Pages, lang string, s portti.Statistics) {
	text := func(key string) string { return p.site.Texts().Text(lang, key) }
	methods := []string{"card", "app", "token"}
	days, causes, changes := map[string][]int{}, map[string]int{}, map[string]int{}
	for _, c := range s.Counts {
		switch c.Type {
		case "signin.succeeded":
			if i := slices.Index(methods, c.Method); i >= 0 {
				if days[c.Day] == nil {
					days[c.Day] = make([]int, len(methods))
				}
				days[c.Day][i] += int(c.Events)
			}
		case "signin.refused", "card.refused":
			causes[p.word(lang, "con.reason.", c.Reason)] += int(c.Events)
		default:
			changes[p.word(lang, "con.event.", c.Type)] += int(c.Events)
		}
	}
	page.SignIns = chart{ID: "sign-ins", Title: text("con.statistics.signins"), Of: text("con.statistics.day"), Series: []string{text("con.method.card"), text("con.method.app"), text("con.method.token")}}
	first, err1 := time.Parse(time.DateOnly, s.Since)
	last, err2 := time.Parse(time.DateOnly, s.Until)
	for d := first; err1 == nil && err2 == nil && !d.After(last); d = d.AddDate(0, 0, 1) {
		day := d.Format(time.DateOnly)
		values := days[day]
		if values == nil {
			values = make([]int, len(methods))
		}
		page.SignIns.Rows = append(page.SignIns.Rows, chartRow{web.Day(lang, d), values})
	}
	page.Refusals = bars("refusals", text("con.statistics.refusals"), text("con.statistics.cause"), text("con.statistics.times"), causes)
	page.Changes = bars("changes", text("con.statistics.changes"), text("con.audit.event"), text("con.statistics.times"), changes)
}

// bars is a chart of numbers by name, the largest first.
func bars(id, title, of, what string, numbers map[string]int) chart {
	c := chart{ID: id, Title: title, Of: of, Series: []string{what}}
	for _, name := range slices.SortedFunc(maps.Keys(numbers), func(a, b string) int {
		return cmp.Or(cmp.Compare(numbers[b], numbers[a]), cmp.Compare(a, b))
	}) {
		c.Rows = append(c.Rows, chartRow{name, []int{numbers[name]}})
	}
	return c
}
