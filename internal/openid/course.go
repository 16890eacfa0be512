package openid

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/session"
	"github.com/portti-id/portti/internal/throttle"
	"github.com/portti-id/portti/internal/trace"
)

// Course is how an authorization request went, or a device's (RFC 8628), refused or
// not, for the makers of the client that made it: what was asked and by which parameter, what there was, what
// was decided and why. It tells nothing of a person that the client could not be
// told in an ID token, and does not say who it was.
type Course struct {
	References []string     `json:"references"` // any of them finds it again
	At         time.Time    `json:"at"`
	Client     string       `json:"client_id"`
	Lines      []CourseLine `json:"lines"`
}

// CourseLine is one thing of it.
type CourseLine struct {
	At          time.Time         `json:"at"`
	What        trace.What        `json:"what"`              // asked, had, decided, stepped, device, issued or renewal
	Why         trace.Word        `json:"why"`               // a stable word, e.g. max_age
	Details     map[string]string `json:"details,omitempty"` // asked: acr, by, prompt, max_age, methods, person, grant; had: acr, amr, age; decided: verdict, error; device, issued: acr, amr
	Explanation string            `json:"explanation"`       // of the word, in English
}

// mostCourses is how many a list has.
const mostCourses = 50

// Course finds how a request went by a reference of it; fault.NotFound
// "refusal_unknown" when nothing is kept under it that is about a request.
func (p *Provider) Course(ctx context.Context, reference string) (Course, error) {
	reference = strings.ToUpper(strings.TrimSpace(reference))
	if p.Traces == nil || !referenceForm.MatchString(reference) {
		return Course{}, errNoRefusal
	}
	legs, _, err := p.Traces.Store.Trace(ctx, reference, p.Now())
	if fault.Is(err, fault.NotFound) {
		return Course{}, errNoRefusal
	}
	if err != nil {
		return Course{}, err
	}
	if all := p.courses(legs); len(all) == 1 && legs[0].SignIn() {
		return all[0], nil
	}
	return Course{}, errNoRefusal
}

// Courses lists how the latest requests of a client went, the newest first.
func (p *Provider) Courses(ctx context.Context, client string) ([]Course, error) {
	if p.Traces == nil || client == houseID {
		return []Course{}, nil
	}
	legs, err := p.Traces.Store.TracesFor(ctx, client, p.Now(), 2*mostCourses)
	if err != nil {
		return nil, err
	}
	all := p.courses(legs)
	return all[:min(len(all), mostCourses)], nil
}

// courses puts legs together by sign-in, in the order of the first leg of each. Whose
// they are does not matter: nothing of a person is told.
func (p *Provider) courses(legs []trace.Leg) []Course {
	all := []Course{}
	var done []string
	for _, first := range legs {
		if slices.Contains(done, first.Trace) || first.Client == "" || first.Client == houseID {
			continue
		}
		done = append(done, first.Trace)
		c := Course{Client: first.Client, References: []string{}, Lines: []CourseLine{}}
		for _, line := range trace.Protocol(trace.Entries(legs, first.Trace)) {
			c.Lines = append(c.Lines, CourseLine{At: line.At, What: line.What, Why: line.Word, Details: p.protocol(line), Explanation: line.Word.Explain()})
		}
		for _, l := range legs {
			if l.Trace == first.Trace && l.Reference != "" {
				c.References = append(c.References, l.Reference)
			}
		}
		if len(c.Lines) > 0 {
			c.At = c.Lines[0].At
			all = append(all, c)
		}
	}
	return all
}

// protocol is the details of a line in the protocol's own terms.
func (p *Provider) protocol(line trace.Line) map[string]string {
	d := map[string]string{}
	for name, value := range line.Details {
		switch name {
		case "from":
			d["by"] = map[string]string{"client": "minimum_acr", "request": "acr_values"}[value]
			if d["by"] == "" {
				d["by"] = value
			}
		case "method":
			have := strengthOf(session.Session{Level: session.Full, Method: session.Method(value)})
			if line.Word == trace.SessionEnrol {
				have = passwordOnly
			}
			d["acr"], d["amr"] = p.ACR.name(have, nil), strings.Join(amrOf(have), " ")
		case "acr":
			d["acr"] = p.acrOf(value)
		default:
			d[name] = value
		}
	}
	switch line.Word {
	case trace.AskedCard:
		d["acr"] = p.ACR.Card
	case trace.AskedCode:
		d["acr"] = p.ACR.PasswordCode
	}
	return d
}

// acrOf is the opposite of levelOf.
func (p *Provider) acrOf(level string) string {
	for _, have := range []strength{certificate, passwordCode} {
		if levelOf(have) == level {
			return p.ACR.name(have, nil)
		}
	}
	return p.ACR.Enrol
}

// explain tells a client's makers themselves, who prove that they are: without a
// reference how its latest requests went, with one how that one did, or why it was
// refused. What another client's is, is not there.
func (p *Provider) explain(w http.ResponseWriter, r *http.Request) {
	c, ok := p.called(w, r)
	if !ok {
		return
	}
	answer, err := p.explainTo(r.Context(), c, r.PostForm.Get("reference"))
	p.answerCaller(w, r, answer, err)
}

// explanation is what explain answers.
type explanation struct {
	Requests []Course          `json:"requests"`
	Refusal  *explainedRefusal `json:"refusal,omitempty"`
}

// explainedRefusal is a refusal with its cause in English.
type explainedRefusal struct {
	Refusal
	Explanation string `json:"explanation"`
}

func (p *Provider) explainTo(ctx context.Context, c Client, reference string) (explanation, error) {
	none := explanation{Requests: []Course{}}
	if c.AuthMethod == AuthNone {
		return none, errClient // anybody could ask in its name
	}
	if err := p.Throttle.Attempt(ctx, throttle.Use{Limit: throttle.CoursesPerClient, Subject: c.ID}); err != nil {
		return none, err
	}
	if reference == "" {
		all, err := p.Courses(ctx, c.ID)
		return explanation{Requests: all}, err
	}
	f, err := p.Refusal(ctx, reference)
	switch {
	case err == nil && f.Client == c.ID:
		return explanation{Requests: []Course{}, Refusal: &explainedRefusal{f, f.Cause.Explain()}}, nil
	case err != nil && !fault.Is(err, fault.NotFound):
		return none, err
	}
	course, err := p.Course(ctx, reference)
	switch {
	case fault.Is(err, fault.NotFound), err == nil && course.Client != c.ID:
		return none, nil
	case err != nil:
		return none, err
	}
	return explanation{Requests: []Course{course}}, nil
}
