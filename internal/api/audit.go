package api

import (
	"bytes"
	"encoding/csv"
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

const eventsPage = 50

// audit is a page of the trail.
func (a *API) audit(r *http.Request, by identity.Actor, _ nothing) (answer[portti.Events], error) {
	q, _, err := eventQuery(r, "after")
	if err != nil {
		return answer[portti.Events]{}, err
	}
	q.Limit = eventsPage + 1
	entries, err := a.Directory.Trail(r.Context(), by, q)
	return a.named(r, by, entries, err)
}

// auditFile is the trail as a file, in JSON, since everything here is.
func (a *API) auditFile(r *http.Request, by identity.Actor, _ nothing) (answer[portti.EventsFile], error) {
	none := answer[portti.EventsFile]{}
	q, values, err := eventQuery(r, "format")
	if err != nil {
		return none, err
	}
	format, write := values.Get("format"), formats[values.Get("format")]
	if write == nil {
		return none, fault.New(fault.Invalid, "query_invalid", "format: csv or jsonl.").In("format")
	}
	entries, err := a.Directory.ExportTrail(r.Context(), by, q, format)
	if err != nil {
		return none, err
	}
	text, kind, err := write(entries)
	return answer[portti.EventsFile]{Body: portti.EventsFile{Name: "audit-" + a.Now().UTC().Format(time.DateOnly) + "." + format, Type: kind, Text: text}}, err
}

// eventsOfPerson is what happened to a person.
func (a *API) eventsOfPerson(r *http.Request, by identity.Actor, _ nothing) (answer[portti.Events], error) {
	values, err := only(r, "after")
	if err != nil {
		return answer[portti.Events]{}, err
	}
	q := audit.Query{Limit: eventsPage + 1}
	if q.Before, err = after(values); err != nil {
		return answer[portti.Events]{}, err
	}
	entries, err := a.Directory.EventsOf(r.Context(), by, identity.UserID(r.PathValue("user")), q)
	return a.named(r, by, entries, err)
}

// named is a page with the names of those whom its events are about.
func (a *API) named(r *http.Request, by identity.Actor, entries []audit.Entry, err error) (answer[portti.Events], error) {
	if err != nil {
		return answer[portti.Events]{}, err
	}
	page := eventsOf(entries)
	names, err := a.Directory.Named(r.Context(), by, entries)
	for id, name := range names {
		if page.Names == nil {
			page.Names = map[string]string{}
		}
		page.Names[string(id)] = name
	}
	return answer[portti.Events]{Body: page}, err
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
func eventQuery(r *http.Request, another string) (audit.Query, url.Values, error) {
	values, err := only(r, "user", "organisation", "type", "actor", "since", "until", another)
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

// eventsOf is a page; one event too many says that there is another.
func eventsOf(entries []audit.Entry) portti.Events {
	page := portti.Events{Events: []portti.Event{}}
	if len(entries) > eventsPage {
		entries = entries[:eventsPage]
		page.Next = entries[eventsPage-1].ID
	}
	for _, e := range entries {
		page.Events = append(page.Events, eventOf(e))
	}
	return page
}

func eventOf(e audit.Entry) portti.Event {
	return portti.Event{ID: e.ID, Sequence: e.Sequence, Mark: e.Mark.String(), At: e.At, Type: string(e.Type), Actor: e.Actor, User: e.User, Organisation: e.Organisation, Client: e.Client,
		Session: e.Session, Method: e.Method, Reason: e.Reason, Address: e.Address, Details: e.Details}
}

// formats of a file, with their media types.
var formats = map[string]func([]audit.Entry) (text, kind string, err error){
	"jsonl": func(entries []audit.Entry) (string, string, error) {
		var b bytes.Buffer
		out := json.NewEncoder(&b)
		for _, e := range entries {
			if err := out.Encode(eventOf(e)); err != nil {
				return "", "", err
			}
		}
		return b.String(), "application/jsonl", nil
	},
	"csv": func(entries []audit.Entry) (string, string, error) {
		var b bytes.Buffer
		out := csv.NewWriter(&b)
		rows := [][]string{{"sequence", "at", "type", "actor", "user", "organisation", "client", "session", "method", "reason", "address", "details"}}
		for _, e := range entries {
			details := ""
			if len(e.Details) > 0 {
				text, err := json.Marshal(e.Details)
				if err != nil {
					return "", "", err
				}
				details = string(text)
			}
			rows = append(rows, []string{strconv.FormatInt(e.Sequence, 10), e.At.Format(time.RFC3339Nano), string(e.Type), cell(e.Actor), cell(e.User), cell(e.Organisation), cell(e.Client),
				cell(e.Session), cell(e.Method), cell(e.Reason), cell(e.Address), cell(details)})
		}
		err := out.WriteAll(rows)
		return b.String(), "text/csv; charset=utf-8", err
	},
}

// cell keeps spreadsheets from reckoning with what somebody has written.
func cell(s string) string {
	if s != "" && strings.ContainsAny(s[:1], "=+-@\t\r") {
		return "'" + s
	}
	return s
}
