package openid

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/session"
	"github.com/portti-id/portti/internal/throttle"
)

// Refusal is what is kept of a request that was refused because of the client that
// made it, for operators and, through them, for the client's makers.
type Refusal struct {
	Reference   string       `json:"reference"` // as the error page shows it
	At          time.Time    `json:"at"`
	Endpoint    string       `json:"endpoint"` // "/authorize"
	Client      string       `json:"client_id,omitempty"`
	Code        string       `json:"error"`
	Description string       `json:"error_description"`
	Parameter   string       `json:"parameter,omitempty"`  // the one that is to blame
	Cause       Cause        `json:"cause"`                // what is probably wrong
	Nearest     string       `json:"nearest,omitempty"`    // the registered address that the sent one is nearest to
	Sent        []Sent       `json:"sent"`                 // by name
	Registered  []Registered `json:"registered,omitempty"` // what the parameter is held against
}

// Sent is a parameter as it was sent. Of what may be secret, or about a person,
// only the length is kept.
type Sent struct {
	Name   string `json:"name"`
	Value  string `json:"value,omitempty"` // cut
	Length int    `json:"length"`          // bytes
}

// Registered is a part of the client's registration.
type Registered struct {
	Name   string   `json:"name"`
	Values []string `json:"values"`
}

const (
	refusalKept = 24 * time.Hour
	refusalSize = 4 << 10 // bytes
	mostSent    = 30      // parameters
	mostValues  = 10      // of a registered list
)

// harmless are the parameters whose values are kept: what is neither secret nor about a
// person.
var harmless = []string{"response_type", "client_id", "redirect_uri", "scope", "response_mode", "display", "prompt", "max_age", "ui_locales", "claims_locales", "acr_values",
	"code_challenge_method", "request_uri", "resource", "dpop_jkt", "post_logout_redirect_uri", "client_assertion_type"}

// routine are errors that say nothing about the client: the person's, or ours.
var routine = []string{"access_denied", "login_required", "interaction_required", "consent_required", "account_selection_required", "unmet_authentication_requirements",
	"server_error", "temporarily_unavailable"}

func refusalKey(reference string) string { return "refusal:" + reference }

// remember keeps a refusal for the doctor, and returns the reference that finds it;
// "" when nothing is kept. It never fails the answer: the client is told in any case.
func (p *Provider) remember(r *http.Request, client *Client, e Error, parameter string) string {
	if slices.Contains(routine, e.Code) && parameter == "" {
		return ""
	}
	ctx := r.Context()
	if err := p.Throttle.Attempt(ctx, throttle.Use{Limit: throttle.RefusalPerAddress, Subject: throttle.AddressKey(p.ClientAddr(r))}); err != nil {
		return ""
	}
	reference := rand.Text()[:8]
	if p.Reference != nil {
		reference = p.Reference(r)
	}
	form := r.Form
	if form == nil {
		form = r.URL.Query()
	}
	f := Refusal{Reference: reference, At: p.Now().UTC(), Endpoint: strings.TrimPrefix(r.URL.Path, p.base), Code: e.Code, Description: e.Description, Parameter: parameter}
	if client == nil {
		if c, err := p.client(ctx, form.Get("client_id")); err == nil && c.ID != houseID {
			client = &c
		}
	}
	if client != nil {
		f.Client = client.ID
		f.Registered = registeredFor(*client, parameter)
	}
	f.Cause, f.Nearest = diagnose(f, client, form)
	if err := p.Ephemeral.Put(ctx, refusalKey(reference), f.bounded(form), refusalKept); err != nil {
		p.Log.WarnContext(ctx, "refusal not kept", "reference", reference, "error", err)
		return ""
	}
	return reference
}

// bounded is the refusal as JSON of at most refusalSize, however much was sent.
func (f Refusal) bounded(form url.Values) []byte {
	registered, nearest := f.Registered, f.Nearest
	for _, longest := range []int{200, 100, 40, 0} {
		f.Sent, f.Registered, f.Nearest = sent(form, longest), nil, cut(nearest, longest)
		for _, r := range registered {
			values := make([]string, 0, mostValues)
			for _, v := range r.Values[:min(len(r.Values), mostValues)] {
				values = append(values, cut(v, longest))
			}
			f.Registered = append(f.Registered, Registered{r.Name, values})
		}
		if body, err := json.Marshal(f); err == nil && len(body) <= refusalSize {
			return body
		}
	}
	f.Sent, f.Registered = nil, nil
	body, _ := json.Marshal(f) // short texts of ours, and a client's ID
	return body
}

func sent(form url.Values, longest int) []Sent {
	list := []Sent{}
	for _, name := range slices.Sorted(maps.Keys(form)) {
		for _, value := range form[name] {
			if len(list) == mostSent {
				return list
			}
			s := Sent{Name: cut(name, 40), Length: len(value)}
			if slices.Contains(harmless, name) {
				s.Value = cut(value, longest)
			}
			list = append(list, s)
		}
	}
	return list
}

// cut shortens text to so many bytes, and leaves what can be shown.
func cut(s string, longest int) string {
	s = s[:min(len(s), longest)]
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == unicode.ReplacementChar {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}

// registeredFor is the part of a registration that a parameter is held against.
func registeredFor(c Client, parameter string) []Registered {
	list := func(name string, values ...string) []Registered {
		return []Registered{{name, slices.DeleteFunc(values, func(v string) bool { return v == "" })}}
	}
	switch parameter {
	case "redirect_uri":
		return list("redirect_uris", c.RedirectURIs...)
	case "post_logout_redirect_uri":
		return list("post_logout_redirect_uris", c.PostLogoutRedirectURIs...)
	case "scope":
		return list("scope", c.Scopes...)
	case "response_mode":
		modes := c.ResponseModes
		if len(modes) == 0 {
			modes = responseModes
		}
		return list("response_modes", modes...)
	case "response_type":
		grants := make([]string, len(c.GrantTypes))
		for i, g := range c.GrantTypes {
			grants[i] = string(g)
		}
		return list("grant_types", grants...)
	case "resource":
		return list("resources", c.Resources...)
	case "request":
		return list("request_object_signing_alg", string(c.RequestObjectAlg))
	case "request_uri":
		return append(list("request_uris", c.RequestURIs...), Registered{"require_pushed_authorization_requests", []string{fmt.Sprint(c.RequirePAR || c.fapi())}})
	case "code_challenge", "code_challenge_method":
		return list("require_pkce", fmt.Sprint(c.RequirePKCE))
	case "client_assertion", "client_secret", "":
		return list("token_endpoint_auth_method", string(c.AuthMethod))
	}
	return nil
}

var (
	referenceForm  = regexp.MustCompile(`^[A-Z2-7]{8}$`)
	errNoRefusal   = fault.New(fault.NotFound, "refusal_unknown", "Nothing is kept under this reference.")
	errNotOperator = fault.New(fault.NotFound, "not_found", "There is nothing at this address.")
)

// Refusal finds a refused request by its reference. fault.NotFound
// "refusal_unknown" when it is older than a day, or no refused request's.
func (p *Provider) Refusal(ctx context.Context, reference string) (Refusal, error) {
	reference = strings.ToUpper(strings.TrimSpace(reference))
	if !referenceForm.MatchString(reference) {
		return Refusal{}, errNoRefusal
	}
	raw, err := p.Ephemeral.Get(ctx, refusalKey(reference))
	if fault.Is(err, fault.NotFound) {
		return Refusal{}, errNoRefusal
	}
	if err != nil {
		return Refusal{}, err
	}
	var f Refusal
	if err := json.NewDecoder(bytes.NewReader(raw)).Decode(&f); err != nil {
		return Refusal{}, fmt.Errorf("decode refusal: %w", err)
	}
	return f, nil
}

// Operator tells whether the browser's session is an operator's: a full sign-in by
// a method that the employer permits now, of a person with the role now.
// fault.Unauthenticated "no_session" when nobody is signed in, fault.NotFound
// "not_found" for everybody else, who shall learn nothing.
func (p *Provider) Operator(r *http.Request) error {
	s, person, err := p.whoIsHere(r.Context(), r)
	switch {
	case err != nil:
		return err
	case s == nil:
		return fault.New(fault.Unauthenticated, ReasonNoSession, "Sign in to continue.")
	case s.Level != session.Full || strengthOf(*s) < passwordCode || person.Password.Temporary || !person.Permits(methodOf(s.Method)) || !isOperator(person):
		return errNotOperator
	}
	return nil
}

// refusalPage is where the refusal of this reference is explained, for error_uri
// (RFC 6749 §4.1.2.1).
func (p *Provider) refusalPage(reference string) string { return p.url(DoctorPath) + "/" + reference }

// known is a client that may be gone meanwhile, or nil.
func (p *Provider) known(ctx context.Context, id string) *Client {
	if c, err := p.client(ctx, id); err == nil {
		return &c
	}
	return nil
}

// blame is remember for an error as it comes; "" when it is about no request.
func (p *Provider) blame(r *http.Request, client *Client, err error) string {
	var e Error
	if !errors.As(err, &e) {
		return ""
	}
	return p.remember(r, client, e, blamed(err))
}
