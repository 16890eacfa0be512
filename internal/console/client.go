package console

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/web"
	"github.com/portti-id/portti/pkg/portti"
	"github.com/portti-id/portti/pkg/rp"
)

// clientPage is one service; the pages of acts on it show the same.
type clientPage struct {
	web.Page
	why
	ID, Name       string
	Registered     portti.Registration
	Created        time.Time
	Disabled       time.Time
	OldSecretUntil time.Time
	Self, Secret   bool             // came by itself; has a secret that can be replaced
	Change         bool             // the role may change it
	Requests       bool             // the role may see how its requests went
	Findings       []portti.Finding // of the doctor
	Keep           string           // hours, as typed
}

func clientPath(id, page string) string { return clientsPath + "/" + url.PathEscape(id) + page }

// client reads the service of a path.
func (p *Pages) client(r *http.Request, v *visit) (*clientPage, portti.Registered, error) {
	c, err := p.api.RegisteredClient(r.Context(), v.token, r.PathValue("id"))
	if err != nil {
		return nil, c, refused(err)
	}
	return &clientPage{why: whyOf(r), ID: c.Client.ID, Name: clientName(v.lang, c.Client), Registered: c.Client, Created: c.Created, Disabled: c.Disabled, OldSecretUntil: c.OldSecretUntil,
		Self: c.SelfRegistered, Secret: slices.Contains(secretMethods, c.Client.AuthMethod), Change: v.may("clients.change"), Requests: v.may("refusals.see")}, c, nil
}

var secretMethods = []string{"", "client_secret_basic", "client_secret_post"}

// about shows a page about a service.
func (p *Pages) about(name string) page {
	return func(w http.ResponseWriter, r *http.Request, v *visit) error {
		page, _, err := p.client(r, v)
		if err != nil {
			return err
		}
		tellDone(r, &page.Page, "client", "created", "changed", "disabled", "enabled")
		return p.show(w, r, http.StatusOK, name, page)
	}
}

// act is about for those who may do it.
func (p *Pages) act(name string) page {
	show := p.about(name)
	return func(w http.ResponseWriter, r *http.Request, v *visit) error {
		if err := v.need("clients.change"); err != nil {
			return err
		}
		return show(w, r, v)
	}
}

// examine shows what the doctor finds.
func (p *Pages) examine(w http.ResponseWriter, r *http.Request, v *visit) error {
	page, _, err := p.client(r, v)
	if err != nil {
		return err
	}
	if page.Findings, err = p.api.ClientDoctor(r.Context(), v.token, page.ID); err != nil {
		return refused(err)
	}
	return p.show(w, r, http.StatusOK, "client_doctor", page)
}

func (p *Pages) disable(w http.ResponseWriter, r *http.Request, v *visit) error {
	return p.turnClient(w, r, v, "disable", p.api.DisableClient)
}

func (p *Pages) enable(w http.ResponseWriter, r *http.Request, v *visit) error {
	return p.turnClient(w, r, v, "enable", p.api.EnableClient)
}

// turnClient stops or opens a service, and leads back to it.
func (p *Pages) turnClient(w http.ResponseWriter, r *http.Request, v *visit, act string, do func(ctx context.Context, token, id string, change portti.Change) (portti.Registered, error)) error {
	id, y := r.PathValue("id"), whyOf(r)
	_, err := do(r.Context(), v.token, id, y.apply())
	switch code := portti.Code(err); {
	case err == nil, code == "client_disabled", code == "client_enabled": // it is as wanted
		return see(w, r, clientPath(id, "?done="+act+"d"))
	case code != "too_long" && code != "control_characters":
		return refused(err)
	}
	page, _, failed := p.client(r, v)
	if failed != nil {
		return failed
	}
	return p.again(w, r, "client_"+act, &page.Page, page, refused(err))
}

const keepByDefault = "24" // hours

func (p *Pages) askRotation(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := v.need("clients.change"); err != nil {
		return err
	}
	page, _, err := p.client(r, v)
	if err != nil {
		return err
	}
	page.Keep = keepByDefault
	return p.show(w, r, http.StatusOK, "client_rotate", page)
}

// secretPage shows a secret, once.
type secretPage struct {
	web.Page         `json:"-"`
	ID, Name, Secret string
	Until            time.Time // the one before works until then; zero for none
	New              bool      // the service was registered just now
}

func (p *Pages) rotate(w http.ResponseWriter, r *http.Request, v *visit) error {
	page, _, err := p.client(r, v)
	if err != nil {
		return err
	}
	page.Keep = strings.TrimSpace(r.PostFormValue("keep"))
	hours, err := strconv.Atoi(page.Keep)
	if err != nil || hours < 0 || hours > 30*24 {
		return p.again(w, r, "client_rotate", &page.Page, page, fault.New(fault.Invalid, "keep_invalid", "Give a number of hours, 720 at most.").In("keep"))
	}
	c, err := p.api.RotateSecret(r.Context(), v.token, page.ID, time.Duration(hours)*time.Hour, page.apply())
	if err != nil {
		return p.again(w, r, "client_rotate", &page.Page, page, registrationProblem(err))
	}
	return p.once(w, r, v, clientPath(page.ID, ""), "client_secret", &secretPage{ID: page.ID, Name: page.Name, Secret: c.Secret, Until: c.OldSecretUntil})
}

// try shows what a sign-in at the level of the service came to: one of the person
// who asks, to the Console itself, and what the service would be told of them then.
// See docs/adr/0141.
func (p *Pages) try(w http.ResponseWriter, r *http.Request, v *visit) error {
	page, err := p.previewed(r, v)
	if err != nil {
		return err
	}
	if r.URL.Query().Has("seen") {
		page.Session = v.session
	}
	return p.show(w, r, http.StatusOK, "client_test", page)
}

func (p *Pages) beginTest(w http.ResponseWriter, r *http.Request, v *visit) error {
	page, err := p.previewed(r, v)
	if err != nil {
		return err
	}
	o := rp.LoginOptions{ReturnTo: clientPath(page.ID, "/test?seen=yes"), Prompt: "login"}
	if page.Demand == p.app.Card {
		o.ACRValues = []string{p.app.Card}
	}
	p.rp.Login(w, r, o)
	return nil
}

// clientTestPage is what comes of a login.
type clientTestPage struct {
	web.Page
	ID, Name   string
	Registered portti.Registration
	Demand     string      // the level that the service demands; "" for any
	Scope      string      // what a login to it can be granted
	Session    *rp.Session // what came; nil before
	Fits       string      // key of what that is to the service
	Good       bool        // the service would get what follows
	IDToken    string      // claims, as JSON with a line for each; "" for none
	Userinfo   string
}

func (p *Pages) previewed(r *http.Request, v *visit) (*clientTestPage, error) {
	c, _, err := p.client(r, v)
	if err != nil {
		return nil, err
	}
	told, err := p.api.ClientPreview(r.Context(), v.token, c.ID)
	if err != nil {
		return nil, refused(err)
	}
	page := &clientTestPage{ID: c.ID, Name: c.Name, Registered: c.Registered, Demand: told.Demand, Scope: told.Scope, Fits: "con.preview.fits", Good: told.Reason == "" || told.Reason == "consent_required",
		IDToken: laidOut(told.IDToken), Userinfo: laidOut(told.Userinfo)}
	if told.Reason != "" {
		if page.Fits = "con.preview.reason." + told.Reason; !p.site.Texts().Has(page.Fits) {
			page.Fits = "con.preview.reason.other"
		}
	}
	return page, nil
}

// laidOut is JSON for people to read.
func laidOut(raw json.RawMessage) string {
	var b bytes.Buffer
	if len(raw) == 0 || json.Indent(&b, raw, "", "  ") != nil {
		return ""
	}
	return b.String()
}

// refusalPage is a refused request of a service, or how one went that was in order,
// and the form that asks for one.
type refusalPage struct {
	web.Page
	Asked   string
	Refusal *portti.Refusal
	When    string // in UTC, for comparing with logs
	Course  *portti.Course
}

const refusalsPath = "/refusals"

// refusal looks a request up by its reference.
func (p *Pages) refusal(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := v.need("refusals.see"); err != nil {
		return err
	}
	page := &refusalPage{Asked: strings.ToUpper(strings.TrimSpace(r.FormValue("reference")))}
	if page.Asked == "" {
		return p.show(w, r, http.StatusOK, "refusal", page)
	}
	f, err := p.api.Refusal(r.Context(), v.token, page.Asked)
	if portti.Code(err) == "refusal_unknown" {
		var c portti.Course
		if c, err = p.api.Course(r.Context(), v.token, page.Asked); err == nil {
			page.Course = &c
			return p.show(w, r, http.StatusOK, "refusal", page)
		}
	}
	if err != nil {
		err = refused(err)
		if unknown, ok := fault.Of(err); ok && unknown.Kind == fault.NotFound {
			err = unknown.In("reference")
		}
		return p.again(w, r, "refusal", &page.Page, page, err)
	}
	page.Refusal, page.When = &f, f.At.UTC().Format(time.DateTime)+" UTC"
	return p.show(w, r, http.StatusOK, "refusal", page)
}
