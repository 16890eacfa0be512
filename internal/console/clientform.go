package console

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/web"
	"github.com/portti-id/portti/pkg/portti"
)

// A registration is changed in a form, which has what people need, or as the whole
// document. Both replace the registration that was seen and none that came later
// (If-Match); what the form does not show stays as it is.

// formPage is the form of a registration, as typed.
type formPage struct {
	web.Page
	why
	ID, Name string // "" of a new one
	Version  string // that was seen
	Form     map[string]string
	Document string // the whole of it, on its own page

	AuthMethods, Levels, Types, Algorithms []web.Option
}

// inputs of the form that are text, by the members of the registration; - stands for
// # in their IDs.
var inputs = []string{"client_id", "client_name-fi", "client_name-sv", "client_name-en", "client_uri", "application_type", "token_endpoint_auth_method", "redirect_uris",
	"post_logout_redirect_uris", "backchannel_logout_uri", "grant_types", "scope", "minimum_acr", "id_token_signed_response_alg", "access_token_lifetime", "contacts"}

// ticks of the form.
var ticks = []string{"require_pkce", "method-card", "method-app", "method-token"}

func formOf(r portti.Registration) map[string]string {
	f := map[string]string{"client_id": r.ID, "client_name-fi": r.NameFi, "client_name-sv": r.NameSv, "client_name-en": r.NameEn, "client_uri": r.HomeURI,
		"application_type": r.ApplicationType, "token_endpoint_auth_method": r.AuthMethod, "redirect_uris": strings.Join(r.RedirectURIs, "\n"),
		"post_logout_redirect_uris": strings.Join(r.PostLogoutRedirectURIs, "\n"), "backchannel_logout_uri": r.BackChannelLogoutURI, "grant_types": strings.Join(r.GrantTypes, " "),
		"scope": r.Scope, "minimum_acr": r.MinimumACR, "id_token_signed_response_alg": r.Algorithm, "contacts": strings.Join(r.Contacts, "\n"),
		"require_pkce": strconv.FormatBool(r.RequirePKCE == nil || *r.RequirePKCE)}
	if f["client_name-en"] == "" {
		f["client_name-en"] = r.Name
	}
	if r.AccessTokenTTL != 0 {
		f["access_token_lifetime"] = strconv.FormatInt(r.AccessTokenTTL, 10)
	}
	for _, m := range []string{"card", "app", "token"} {
		f["method-"+m] = strconv.FormatBool(slices.Contains(r.Methods, m))
	}
	return f
}

// typed reads the form.
func typed(r *http.Request) map[string]string {
	f := map[string]string{}
	for _, name := range inputs {
		f[name] = strings.TrimSpace(strings.ReplaceAll(r.PostFormValue(name), "\r\n", "\n"))
	}
	for _, name := range ticks {
		f[name] = strconv.FormatBool(r.PostFormValue(name) == "yes")
	}
	return f
}

// fill puts the form into a registration; what is not in the form stays.
func fill(r *portti.Registration, f map[string]string) error {
	pkce := f["require_pkce"] == "true"
	r.Name, r.NameFi, r.NameSv, r.NameEn = "", f["client_name-fi"], f["client_name-sv"], f["client_name-en"]
	r.HomeURI, r.ApplicationType, r.AuthMethod, r.Algorithm = f["client_uri"], f["application_type"], f["token_endpoint_auth_method"], f["id_token_signed_response_alg"]
	r.RedirectURIs, r.PostLogoutRedirectURIs, r.BackChannelLogoutURI = strings.Fields(f["redirect_uris"]), strings.Fields(f["post_logout_redirect_uris"]), f["backchannel_logout_uri"]
	r.GrantTypes, r.Scope, r.MinimumACR, r.Contacts = strings.Fields(f["grant_types"]), strings.Join(strings.Fields(f["scope"]), " "), f["minimum_acr"], strings.Fields(f["contacts"])
	r.RequirePKCE, r.Methods, r.AccessTokenTTL = &pkce, nil, 0
	for _, m := range []string{"card", "app", "token"} {
		if f["method-"+m] == "true" {
			r.Methods = append(r.Methods, m)
		}
	}
	if seconds := f["access_token_lifetime"]; seconds != "" {
		n, err := strconv.ParseInt(seconds, 10, 64)
		if err != nil {
			return fault.New(fault.Invalid, "number_invalid", "Give a number.").In("access_token_lifetime")
		}
		r.AccessTokenTTL = n
	}
	return nil
}

// choices are what the form offers to choose from, and what is registered already.
func (p *Pages) choices(v *visit, page *formPage) {
	say := func(key string) string { return p.site.Texts().Text(v.lang, key) }
	offer := func(name string, options ...web.Option) []web.Option {
		is := page.Form[name]
		if is != "" && !slices.ContainsFunc(options, func(o web.Option) bool { return o.Value == is }) {
			options = append(options, web.Option{Value: is, Label: is})
		}
		return options
	}
	page.Types = offer("application_type", web.Option{Value: "web", Label: say("con.client.web")}, web.Option{Value: "native", Label: say("con.client.native")})
	page.AuthMethods = offer("token_endpoint_auth_method", web.Option{Value: "client_secret_basic", Label: say("con.client.basic")}, web.Option{Value: "client_secret_post", Label: say("con.client.post")},
		web.Option{Value: "none", Label: say("con.client.none")})
	page.Levels = offer("minimum_acr", web.Option{Label: say("con.client.anylevel")}, web.Option{Value: p.app.Code, Label: say("con.client.code")}, web.Option{Value: p.app.Card, Label: say("con.client.card")})
	page.Algorithms = offer("id_token_signed_response_alg", web.Option{Value: "ES256", Label: "ES256"}, web.Option{Value: "RS256", Label: "RS256"}, web.Option{Value: "PS256", Label: "PS256"}, web.Option{Value: "EdDSA", Label: "EdDSA"})
}

// registrationProblem is what is wrong with a registration, beside its input. The
// provider's own words say it, in English: they name members and values of a
// document that is in English too.
func registrationProblem(err error) error {
	err = refused(err)
	f, ok := fault.Of(err)
	if !ok {
		return err
	}
	f.Field = strings.ReplaceAll(f.Field, "#", "-")
	switch {
	case f.Field == "client_name":
		f.Field = "client_name-en"
	case f.Field == "methods":
		f.Field = "method-card"
	case f.Field == "id":
		f.Field = "client_id"
	case f.Field != "keep" && f.Field != "reason" && f.Field != "ticket" && !slices.Contains(inputs, f.Field) && !slices.Contains(ticks, f.Field):
		f.Field = ""
	}
	if f.Code == "client_invalid" {
		f.Args = maps.Clone(f.Args)
		if f.Args == nil {
			f.Args = map[string]string{}
		}
		f.Args["detail"] = strings.TrimSuffix(f.Message, ".")
	}
	return f
}

const newClientPath = "/registration"

// proposed is a new registration as most are.
func (p *Pages) proposed() portti.Registration {
	return portti.Registration{ApplicationType: "web", AuthMethod: "client_secret_basic", Algorithm: "ES256", GrantTypes: []string{"authorization_code", "refresh_token"}, Scope: "openid profile"}
}

func (p *Pages) newClient(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := v.need("clients.change"); err != nil {
		return err
	}
	page := &formPage{Form: formOf(p.proposed())}
	p.choices(v, page)
	return p.show(w, r, http.StatusOK, "client_form", page)
}

func (p *Pages) createClient(w http.ResponseWriter, r *http.Request, v *visit) error {
	page := &formPage{why: whyOf(r), Form: typed(r)}
	p.choices(v, page)
	var made portti.Registration
	err := fill(&made, page.Form)
	if made.ID = page.Form["client_id"]; err == nil && made.ID == "" {
		err = fault.New(fault.Invalid, "client_id_required", "Give the service an identifier.").In("client_id")
	}
	if err != nil {
		return p.again(w, r, "client_form", &page.Page, page, err)
	}
	c, err := p.api.RegisterClient(r.Context(), v.token, made, page.apply())
	if err != nil {
		return p.again(w, r, "client_form", &page.Page, page, registrationProblem(err))
	}
	if c.Secret == "" {
		return see(w, r, clientPath(c.Client.ID, "?done=created"))
	}
	return p.once(w, r, v, clientPath(c.Client.ID, ""), "client_secret", &secretPage{ID: c.Client.ID, Name: clientName(v.lang, c.Client), Secret: c.Secret, New: true})
}

// edited reads the service that is to be changed, for those who may.
func (p *Pages) edited(r *http.Request, v *visit) (*formPage, portti.Registered, error) {
	if err := v.need("clients.change"); err != nil {
		return nil, portti.Registered{}, err
	}
	about, c, err := p.client(r, v)
	if err != nil {
		return nil, c, err
	}
	return &formPage{why: about.why, ID: about.ID, Name: about.Name, Version: strconv.FormatInt(c.Version, 10)}, c, nil
}

func (p *Pages) editClient(w http.ResponseWriter, r *http.Request, v *visit) error {
	page, c, err := p.edited(r, v)
	if err != nil {
		return err
	}
	page.Form = formOf(c.Client)
	p.choices(v, page)
	return p.show(w, r, http.StatusOK, "client_form", page)
}

var errStale = fault.New(fault.Conflict, "precondition_failed", "Somebody else changed the registration meanwhile.")

func (p *Pages) changeClient(w http.ResponseWriter, r *http.Request, v *visit) error {
	page, c, err := p.edited(r, v)
	if err != nil {
		return err
	}
	now := page.Version
	page.Form, page.Version = typed(r), r.PostFormValue("version")
	p.choices(v, page)
	changed := c.Client
	if err := fill(&changed, page.Form); err != nil {
		return p.again(w, r, "client_form", &page.Page, page, err)
	}
	if page.Version != now {
		return p.again(w, r, "client_form", &page.Page, page, errStale)
	}
	if _, err := p.api.ReplaceClient(r.Context(), v.token, page.ID, c.Version, changed, page.apply()); err != nil {
		return p.again(w, r, "client_form", &page.Page, page, registrationProblem(err))
	}
	return see(w, r, clientPath(page.ID, "?done=changed"))
}

func (p *Pages) document(w http.ResponseWriter, r *http.Request, v *visit) error {
	page, c, err := p.edited(r, v)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(c.Client); err != nil {
		return err
	}
	page.Document = text.String()
	return p.show(w, r, http.StatusOK, "client_document", page)
}

func (p *Pages) changeDocument(w http.ResponseWriter, r *http.Request, v *visit) error {
	page, _, err := p.edited(r, v)
	if err != nil {
		return err
	}
	page.Document, page.Version = strings.ReplaceAll(r.PostFormValue("document"), "\r\n", "\n"), r.PostFormValue("version")
	version, err := strconv.ParseInt(page.Version, 10, 64)
	if err != nil {
		return errStale
	}
	changed, err := readDocument(page.Document)
	if err == nil {
		if _, err = p.api.ReplaceClient(r.Context(), v.token, page.ID, version, changed, page.apply()); err != nil {
			err = registrationProblem(err)
		}
	}
	if f, ok := fault.Of(err); ok && f.Field != "reason" && f.Field != "ticket" {
		err = f.In("document")
	}
	if err != nil {
		return p.again(w, r, "client_document", &page.Page, page, err)
	}
	return see(w, r, clientPath(page.ID, "?done=changed"))
}

// readDocument reads a registration strictly: a member that is misspelt would
// otherwise silently mean nothing.
func readDocument(text string) (portti.Registration, error) {
	var r portti.Registration
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	err := d.Decode(&r)
	if err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("there is more than one JSON value")
		}
	}
	if err != nil {
		f := fault.New(fault.Invalid, "document_invalid", "It is not the JSON of a registration.")
		f.Args = map[string]string{"detail": strings.TrimPrefix(err.Error(), "json: ")}
		return r, f
	}
	return r, nil
}
