package login

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/trace"
)

// encode is the flow as it is kept, with what this request has noted.
func (f Flow) encode(ctx context.Context) ([]byte, error) {
	f.Trace = trace.All(ctx, f.Trace)
	return json.Marshal(f)
}

// step takes the way that an event opens from where a sign-in stands, and notes it;
// errStep where the table has none. Nothing else moves a flow, so that no step is
// missing from its trace.
func step(ctx context.Context, f Flow, e Event, p identity.Person) (Flow, error) {
	g, ok := f.after(e)
	if !ok {
		return f, errStep
	}
	if e == SessionStarted {
		trace.Note(ctx, trace.Started, g.Level, "method", string(methods[g.Method]))
	} else {
		stepped(ctx, g, e, p)
	}
	return g, nil
}

// stepped notes a step that was taken: to where, because of what, and what the person
// and the employer left to choose from.
func stepped(ctx context.Context, f Flow, e Event, p identity.Person) {
	var linked []string
	if p.Card != nil {
		linked = append(linked, identity.MethodCard.String())
	}
	if p.Authenticator != nil {
		linked = append(linked, p.Authenticator.Kind.String())
	}
	trace.Note(ctx, trace.Stepped, string(e), "step", string(f.Step), "linked", strings.Join(linked, ","), "permitted", p.Organisation.Methods.String())
}

// noteCard notes a card that did not sign in: why, and at which check.
func noteCard(ctx context.Context, code string, r card.Result) {
	if code == "" {
		return // a failure of ours, which says so itself
	}
	trace.Note(ctx, trace.Card, verdict(code), "check", string(r.Failed), "kind", string(r.Kind), "mode", string(r.Mode), "tls", r.TLS)
}

// verdict is the card.Verdict of a fault's code, or the code where it has none.
func verdict(code string) string {
	if v := strings.TrimPrefix(code, "card_"); slices.Contains(card.Verdicts, card.Verdict(v)) {
		return v
	}
	return code
}

// noteSigns notes what became of an attempt that brought no result; by tells whether
// the person said so, or the signs.
func noteSigns(ctx context.Context, s CardState, by string) {
	if s.Phase == Decided && !s.Result {
		trace.Note(ctx, trace.Card, verdict(s.Code), "mode", string(s.Mode), "by", by)
	}
}
