package openid

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/session"
	"github.com/portti-id/portti/internal/trace"
)

// noteDemand notes what a request asks of a sign-in, and whose wish that is: the
// service's in this request, or by its registration. more are details beside it.
func (p *Provider) noteDemand(ctx context.Context, q pending, c Client, d demand, more ...string) {
	trace.In(ctx, q.ID, c.ID)
	code, from := "any", ""
	switch {
	case d.Enrol:
		code = "enrol"
	case d.Need == certificate || d.Methods == identity.Methods(identity.MethodCard):
		code = "card"
	case d.Need == passwordCode:
		code = "pwd_otp"
	}
	if minimum, _ := p.ACR.strength(c.MinimumACR); code == "card" || code == "pwd_otp" {
		switch {
		case code == "card" && d.Need < certificate:
			from = "methods" // of the registration
		case minimum >= d.Need:
			from = "client"
		case p.ACR.demanded("", q.ACRMust) >= d.Need:
			from = "claims"
		default:
			from = "request"
		}
	}
	details := []string{"from", from}
	var prompt []string
	for word, is := range map[string]bool{"none": q.Silent, "login": q.Again, "consent": q.Consent} {
		if is {
			prompt = append(prompt, word)
		}
	}
	details = append(details, "prompt", strings.Join(prompt, " "))
	if q.MaxAge >= 0 {
		details = append(details, "max_age", strconv.FormatInt(q.MaxAge, 10))
	}
	if d.Methods != 0 {
		details = append(details, "methods", d.Methods.String())
	}
	if d.User != "" {
		details = append(details, "person", "one")
	}
	trace.Note(ctx, trace.Asked, code, append(details, more...)...)
}

// noteSession notes what the browser's session has proved, and how long ago; nil is
// nobody.
func (p *Provider) noteSession(ctx context.Context, s *session.Session, g gone) {
	if s == nil {
		trace.About(ctx, g.user, true)
		trace.Note(ctx, trace.Had, g.how)
		return
	}
	trace.About(ctx, s.User, true)
	age := max(p.Now().Sub(s.AuthTime), 0)
	trace.Note(ctx, trace.Had, string(s.Level), "method", string(s.Method), "age", strconv.FormatInt(int64(age/time.Second), 10))
}

func noteDecision(ctx context.Context, d decision) {
	code, verdict := d.Reason, "sign_in"
	switch {
	case d.Verdict == issueCode:
		code, verdict = "issue", "issue"
	case d.Verdict == tellClient:
		verdict = "refuse"
	case d.Reason == ReasonStepUp:
		verdict = "step_up"
	}
	trace.Note(ctx, trace.Decided, code, "verdict", verdict, "error", d.Error.Code, "by", d.By)
}

// noteRenewal notes that a service was refused tokens because of the person or the
// employer (S5, S36), which the person finds out by being asked again. Other refusals
// are the service's own affair.
func noteRenewal(ctx context.Context, client string, g Grant, err error) {
	code := fault.Code(err)
	if code == "grant_revoked" && g.User != "" {
		code = "session_ended" // with a change to the account: of other revocations the store gives no grant
	}
	if g.User == "" || !slices.Contains([]string{"method_not_permitted_by_employer", "account_disabled", "session_ended"}, code) {
		return
	}
	trace.In(ctx, "", client)
	trace.About(ctx, g.User, true)
	trace.Note(ctx, trace.Renewal, code, "method", string(g.Method))
}

// levelOf is a strength under a name that no alias changes.
func levelOf(have strength) string {
	switch have {
	case certificate:
		return "card"
	case passwordCode:
		return "pwd_otp"
	}
	return "enrol"
}

// referenceOf is the request's reference as its page shows it.
func (p *Provider) referenceOf(r *http.Request) string {
	if p.Reference == nil || p.Traces == nil {
		return ""
	}
	return p.Reference(r)
}
