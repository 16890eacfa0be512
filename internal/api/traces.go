package api

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/trace"
	"github.com/portti-id/portti/internal/web"
	"github.com/portti-id/portti/pkg/portti"
)

// traceOperations tell how sign-ins went.
func (a *API) traceOperations() []operation {
	return []operation{
		self(a, "GET /api/v1/me/traces", "How the person's own sign-ins went, the newest first; after is the until of the last one seen", a.ownTraces),
		managed(a, "GET /api/v1/traces/{reference}", identity.TraceSee, "How a sign-in went, by the reference that a page of it has shown; who looked is in the audit trail, with the ticket", a.showTrace),
		managed(a, "GET /api/v1/people/{user}/traces", identity.TraceSee, "How a person's sign-ins went, the newest first; after is the until of the last one seen", a.tracesOf),
	}
}

// traced keeps why a call of an app was refused, for the help desk: under the reference
// that the answer gives, and the app's page shows. Where nobody is known by the token
// there is nobody who could ask.
func (a *API) traced(o operation) web.HandlerFunc {
	method, path, _ := strings.Cut(o.pattern, " ")
	code := operationCode(method, path)
	return func(w http.ResponseWriter, r *http.Request) error {
		ctx, notes := a.Traces.Begin(r.Context())
		trace.Note(ctx, trace.Called, code, "verb", method)
		r = r.WithContext(ctx)
		err := o.serve(w, r)
		if err == nil || a.Reference == nil {
			return err
		}
		notes.Broken(err)
		a.Traces.Keep(ctx, notes, a.Reference(r), netip.Addr{}) // the app's address says nothing of the person
		return err
	}
}

// operationCode is the path of an operation as one word, without what varies:
// me_card_link. Of what one path does, deleting alone has a word of its own.
func operationCode(method, path string) string {
	var words []string
	for word := range strings.SplitSeq(strings.TrimPrefix(path, "/api/v1/"), "/") {
		if !strings.HasPrefix(word, "{") {
			words = append(words, word)
		}
	}
	if method == http.MethodDelete {
		words = append(words, "delete")
	}
	return strings.NewReplacer("-", "_", ".", "_").Replace(strings.Join(words, "_"))
}

// ownTraces is how the person's own sign-ins went.
func (a *API) ownTraces(r *http.Request, self identity.Self, _ nothing) ([]portti.Trace, error) {
	after, err := afterTime(r)
	if err != nil {
		return nil, err
	}
	all, err := a.Directory.OwnTraces(r.Context(), self, after)
	if err != nil {
		return nil, err
	}
	return a.viewTraces(r.Context(), all)
}

// tracesOf is how a person's sign-ins went.
func (a *API) tracesOf(r *http.Request, by identity.Actor, _ nothing) (answer[[]portti.Trace], error) {
	after, err := afterTime(r)
	if err != nil {
		return answer[[]portti.Trace]{}, err
	}
	all, err := a.Directory.TracesOf(r.Context(), by, identity.UserID(r.PathValue("user")), after)
	if err != nil {
		return answer[[]portti.Trace]{}, err
	}
	out, err := a.viewTraces(r.Context(), all)
	return answer[[]portti.Trace]{Body: out}, err
}

// showTrace is how a sign-in went, by its reference. The reference of a request that a
// service made wrongly has no sign-in behind it, and says whose affair it is.
func (a *API) showTrace(r *http.Request, by identity.Actor, _ nothing) (answer[portti.Trace], error) {
	ctx := r.Context()
	query, err := only(r, "ticket")
	if err != nil {
		return answer[portti.Trace]{}, err
	}
	t, err := a.Directory.Trace(ctx, by, r.PathValue("reference"), query.Get("ticket"))
	if fault.Code(err) == trace.ErrNone.Code {
		if f, ferr := a.Refusals.Refusal(ctx, r.PathValue("reference")); ferr == nil {
			t, err = refusedRequest(f), nil
		}
	}
	if err != nil {
		return answer[portti.Trace]{}, err
	}
	out, err := a.viewTraces(ctx, []trace.Trace{t})
	if err != nil {
		return answer[portti.Trace]{}, err
	}
	out[0].Person, err = a.tracePerson(ctx, t.User)
	return answer[portti.Trace]{Body: out[0]}, err
}

// refusedRequest is what the help desk is told of a service's wrong request; its
// makers are told the rest.
func refusedRequest(f openid.Refusal) trace.Trace {
	e := trace.Entry{At: f.At, What: trace.Shown, Code: "service_request"}
	return trace.Trace{References: []string{f.Reference}, At: f.At, Until: f.At, Client: f.Client, Entries: []trace.Entry{e}}
}

func (a *API) tracePerson(ctx context.Context, id string) (*portti.TracePerson, error) {
	if id == "" {
		return nil, nil
	}
	p, err := a.Directory.Store.Account(ctx, identity.UserID(id))
	if fault.Is(err, fault.NotFound) {
		return nil, nil
	}
	return &portti.TracePerson{ID: id, Username: p.User.Username, Name: p.User.Name(),
		Organisation: portti.OrganisationName{ID: string(p.Organisation.ID), Name: p.Organisation.Name}}, err
}

func (a *API) viewTraces(ctx context.Context, all []trace.Trace) ([]portti.Trace, error) {
	names := map[string]map[string]string{}
	out := make([]portti.Trace, len(all))
	for i, t := range all {
		if _, known := names[t.Client]; t.Client != "" && !known {
			c, err := a.Registered.Client(ctx, t.Client)
			if err != nil && !fault.Is(err, fault.NotFound) {
				return nil, err
			}
			names[t.Client] = c.Name
		}
		v := portti.Trace{References: t.References, At: t.At, Until: t.Until, Proved: t.Proved, Client: t.Client, ClientNames: names[t.Client], Network: t.Network, Entries: []portti.TraceEntry{}}
		for _, e := range t.Entries {
			v.Entries = append(v.Entries, viewEntry(e))
		}
		if e, bad := t.Trouble(); bad {
			trouble := viewEntry(e)
			v.Trouble = &trouble
		}
		out[i] = v
	}
	return out, nil
}

func viewEntry(e trace.Entry) portti.TraceEntry {
	return portti.TraceEntry{At: e.At, What: string(e.What), Code: e.Code, Details: e.Details, Owner: string(e.Owner())}
}

// afterTime reads where a list goes on.
func afterTime(r *http.Request) (time.Time, error) {
	query, err := only(r, "after")
	if err != nil || strings.TrimSpace(query.Get("after")) == "" {
		return time.Time{}, err
	}
	at, err := time.Parse(time.RFC3339Nano, query.Get("after"))
	if err != nil {
		return time.Time{}, fault.New(fault.Invalid, "query_invalid", "after: give a time as 2026-01-31T12:00:00Z.").In("after")
	}
	return at, nil
}
