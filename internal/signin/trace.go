package signin

import (
	"context"
	"net/http"
	"slices"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/login"
	"github.com/portti-id/portti/internal/trace"
	"github.com/portti-id/portti/internal/web"
)

// traced keeps how a request of a sign-in went, when it has failed or finished, under
// the reference that its page shows.
func (p *Pages) traced(f web.HandlerFunc) web.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		ctx, notes := p.Traces.Begin(r.Context())
		r = r.WithContext(ctx)
		defer func() { p.Traces.Keep(ctx, notes, web.Reference(r), p.Site.ClientAddr(r)) }()
		err := f(w, r)
		notes.Broken(err)
		return err
	}
}

// noteShown notes what a page says was wrong. An empty field is no failure.
func noteShown(r *http.Request, wrong []*fault.Fault) {
	for _, w := range wrong {
		if w.Code != "required" {
			trace.Note(r.Context(), trace.Shown, w.Code)
		}
	}
}

// why is the reasons of the step that a page shows: what the service asks, and what was
// proved on the way here. Before a proof it says nothing of anybody but the service and
// this browser's own session (S7).
func (p *Pages) why(ctx context.Context, f login.Flow) []string {
	var keys []string
	add := func(code string) {
		if key := "trace.why." + code; p.Site.Texts().Has(key) && !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	var step, decision string
	for _, e := range trace.All(ctx, f.Trace) {
		switch e.What {
		case trace.Asked:
			_, aged := e.Details["max_age"]
			switch from := e.Details["from"]; {
			case e.Code == "card" && (from == "client" || from == "methods"): // by the registration
				add("asked_card_always")
			default:
				add("asked_" + e.Code)
				if aged {
					add("asked_max_age")
				}
			}
			if e.Details["prompt"] == "login" {
				add("asked_again")
			}
		case trace.Decided:
			decision = e.Code
		case trace.Stepped:
			step = e.Code
		}
	}
	if f.Step == login.AskPassword {
		step = "" // of a way that was left
	}
	if step != "" {
		add(step)
	} else {
		add(decision)
	}
	return keys
}
