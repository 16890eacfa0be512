package api

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/pkg/portti"
)

// auditOperations read the trail, and what is counted from it.
func (a *API) auditOperations() []operation {
	return []operation{
		managed(a, "GET /api/v1/audit", identity.AuditSee, "Events of the audit trail, newest first: by user, organisation, type, actor, since, until; each as a sentence in lang, too (fi, sv, en)", a.audit),
		exported(a, "GET /api/v1/audit/file", identity.AuditSee, "The same as a file, csv or jsonl (format), of whatever length; the export is an event itself", a.auditFile),
		managed(a, "GET /api/v1/audit/state", identity.AuditSee, "How the chain of the trail is", a.auditState),
		managed(a, "GET /api/v1/people/{user}/events", identity.PeopleSee, "What happened to a person, newest first", a.eventsOfPerson),
		managed(a, "GET /api/v1/statistics", identity.StatisticsSee, "Sign-ins by method, refusals by reason, links and orders, by day", a.statistics),
	}
}

const eventsPage = 50

// audit is a page of the trail.
func (a *API) audit(r *http.Request, by identity.Actor, _ nothing) (answer[portti.Events], error) {
	q, values, err := eventQuery(r, "after", "lang")
	if err != nil {
		return answer[portti.Events]{}, err
	}
	return a.told(r, by, q, values, func(q audit.Query) ([]audit.Entry, error) { return a.Directory.Trail(r.Context(), by, q) })
}

// eventsOfPerson is what happened to a person.
func (a *API) eventsOfPerson(r *http.Request, by identity.Actor, _ nothing) (answer[portti.Events], error) {
	values, err := only(r, "after", "lang")
	if err != nil {
		return answer[portti.Events]{}, err
	}
	var q audit.Query
	if q.Before, err = after(values); err != nil {
		return answer[portti.Events]{}, err
	}
	return a.told(r, by, q, values, func(q audit.Query) ([]audit.Entry, error) {
		return a.Directory.EventsOf(r.Context(), by, identity.UserID(r.PathValue("user")), q)
	})
}

// told is a page of events, with the names of those whom they are about.
func (a *API) told(r *http.Request, by identity.Actor, q audit.Query, values url.Values, find func(q audit.Query) ([]audit.Entry, error)) (answer[portti.Events], error) {
	none := answer[portti.Events]{}
	t, err := a.teller(by, values.Get("lang"))
	if err != nil {
		return none, err
	}
	q.Limit = eventsPage + 1
	entries, err := find(q)
	if err != nil {
		return none, err
	}
	page := portti.Events{Events: []portti.Event{}}
	if len(entries) > eventsPage {
		entries, page.Next = entries[:eventsPage], entries[eventsPage-1].ID
	}
	if err := t.meet(r.Context(), entries); err != nil {
		return none, err
	}
	for _, e := range entries {
		page.Events = append(page.Events, t.event(e))
	}
	for id, name := range t.people {
		if page.Names == nil {
			page.Names = map[string]string{}
		}
		page.Names[string(id)] = name
	}
	return answer[portti.Events]{Body: page}, nil
}

// event is an event on the wire.
func (t *teller) event(e audit.Entry) portti.Event {
	return portti.Event{ID: e.ID, Sequence: e.Sequence, Mark: e.Mark.String(), At: e.At, Type: string(e.Type), Actor: e.Actor, User: e.User, Organisation: e.Organisation, Client: e.Client,
		Session: e.Session, Method: e.Method, Reason: e.Reason, Address: e.Address, Details: e.Details, Sentence: t.tell(e.Event)}
}

// auditFile sends the trail as a file, as it is read.
func (a *API) auditFile(w http.ResponseWriter, r *http.Request, by identity.Actor) error {
	q, values, err := eventQuery(r, "format", "lang")
	if err != nil {
		return err
	}
	t, err := a.teller(by, values.Get("lang"))
	if err != nil {
		return err
	}
	format, name := values.Get("format"), "audit-"+a.Now().UTC().Format(time.DateOnly)
	var f trailFile
	switch format {
	case "csv":
		f = trailSheet{newSheet(w, r, name+".csv", trailColumns)}
	case "jsonl":
		f = newLines(w, r, name+".jsonl")
	default:
		return fault.New(fault.Invalid, "query_invalid", "format: csv or jsonl.").In("format")
	}
	if err := a.Directory.ExportTrail(r.Context(), by, q, format, func(page []audit.Entry) error {
		if err := t.meet(r.Context(), page); err != nil {
			return err
		}
		goOn(w)
		for _, e := range page {
			if err := f.event(t.event(e)); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return f.broken(err)
	}
	return f.end()
}

// trailFile is the trail in a format: events as they come, and then its end. What
// becomes of an error broken says.
type trailFile interface {
	event(e portti.Event) error
	end() error
	broken(err error) error
}

var trailColumns = []string{"sequence", "at", "type", "actor", "user", "organisation", "client", "session", "method", "reason", "address", "details", "sentence"}

type trailSheet struct{ *sheet }

func (s trailSheet) event(e portti.Event) error {
	details := ""
	if len(e.Details) > 0 {
		text, err := json.Marshal(e.Details)
		if err != nil {
			return err
		}
		details = string(text)
	}
	return s.row([]string{strconv.FormatInt(e.Sequence, 10), e.At.Format(time.RFC3339Nano), e.Type, e.Actor, e.User, e.Organisation, e.Client, e.Session, e.Method, e.Reason, e.Address, details, e.Sentence})
}

// auditState is how the chain is.
func (a *API) auditState(r *http.Request, by identity.Actor, _ nothing) (answer[portti.TrailState], error) {
	s, err := a.Directory.TrailState(r.Context(), by)
	return answer[portti.TrailState]{Body: portti.TrailState{Sequence: s.End.Sequence, Sealed: s.End.At, Checkpoint: s.Checkpoint.Sequence, Checked: s.Checkpoint.At,
		Removed: s.Removed.Sequence, Waiting: s.Waiting, Doubtful: s.Doubtful, Key: s.End.Key}}, err
}

// mostDays is how long a time statistics tell of at once.
const mostDays = 366

// statistics are counts by day.
func (a *API) statistics(r *http.Request, by identity.Actor, _ nothing) (answer[portti.Statistics], error) {
	none := answer[portti.Statistics]{}
	values, err := only(r, "since", "until", "organisation")
	if err != nil {
		return none, err
	}
	until, err := day(values, "until", a.Now().UTC())
	if err != nil {
		return none, err
	}
	since, err := day(values, "since", until.AddDate(0, 0, -29))
	if err != nil {
		return none, err
	}
	if since.After(until) || until.Sub(since) > mostDays*24*time.Hour {
		return none, fault.New(fault.Invalid, "query_invalid", "since, until: a time of up to %d days, the earlier day first.", mostDays).In("since")
	}
	counts, err := a.Directory.Statistics(r.Context(), by, identity.OrganisationID(values.Get("organisation")), since, until)
	if err != nil {
		return none, err
	}
	s := portti.Statistics{Since: since.Format(time.DateOnly), Until: until.Format(time.DateOnly), Organisation: values.Get("organisation"), Counts: []portti.Count{}}
	for _, c := range counts {
		s.Counts = append(s.Counts, portti.Count{Day: c.Day, Type: string(c.Type), Method: c.Method, Reason: c.Reason, Events: c.Events})
	}
	return answer[portti.Statistics]{Body: s}, nil
}

// day reads a day; absent is another one.
func day(values url.Values, name string, absent time.Time) (time.Time, error) {
	if values.Get(name) == "" {
		return absent.Truncate(24 * time.Hour), nil
	}
	t, err := time.Parse(time.DateOnly, values.Get(name))
	if err != nil {
		return t, fault.New(fault.Invalid, "query_invalid", "%s: a day is expected, such as 2026-01-31.", name).In(name)
	}
	return t, nil
}

// eventQuery reads which events are asked for.
func eventQuery(r *http.Request, more ...string) (audit.Query, url.Values, error) {
	values, err := only(r, append(more, "user", "organisation", "type", "actor", "since", "until")...)
	if err != nil {
		return audit.Query{}, nil, err
	}
	q := audit.Query{User: values.Get("user"), Organisation: values.Get("organisation"), Actor: values.Get("actor")}
	for name := range strings.SplitSeq(values.Get("type"), ",") {
		if name != "" {
			q.Types = append(q.Types, audit.Type(name))
		}
	}
	if q.Since, err = moment(values, "since", 0); err != nil {
		return q, nil, err
	}
	if q.Until, err = moment(values, "until", 24*time.Hour); err != nil {
		return q, nil, err
	}
	q.Before, err = after(values)
	return q, values, err
}

// moment reads a time, or a day and what is added to it.
func moment(values url.Values, name string, whole time.Duration) (time.Time, error) {
	text := values.Get(name)
	if text == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return t, fault.New(fault.Invalid, "query_invalid", "%s: a time or a day is expected, such as 2026-01-31.", name).In(name)
	}
	return t.Add(whole), nil
}

func after(values url.Values) (int64, error) {
	if values.Get("after") == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(values.Get("after"), 10, 64)
	if err != nil || n <= 0 {
		return 0, fault.New(fault.Invalid, "query_invalid", "after: what the page before said is expected.").In("after")
	}
	return n, nil
}
