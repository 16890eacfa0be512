package userservices

import (
	"encoding/base64"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/portti-id/portti/internal/app"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/web"
	"github.com/portti-id/portti/pkg/portti"
)

// Linking an app or a token takes two pages:
//
//	GET  /authenticator          which device, and the statements
//	POST /authenticator          a new key: QR code and base32
//	POST /authenticator/confirm  a code of it links
//
// The key is in the one answer that shows it and nowhere else: not in a cookie,
// an address, a form or our sessions. Whoever reloads that page gets a new key,
// which voids the former (S40); a wrong code brings the page back without a key,
// since the app has it by then (S41).
//
// The statements of the first page wait in a cookie for the second one. They are
// no secret, and only our own answer to our own form sets it. So they outlast an
// access token that expires while somebody installs an app.

type authenticatorPage struct {
	web.Page
	App, Token, PersonalPhones          bool
	Kind, Model, Serial                 string
	OwnDevice, WorkPhone, PersonalPhone bool
}

type keyPage struct {
	web.Page
	QR           template.URL
	Key, Account string
	LinkingCode  bool
}

type authenticatorLinkedPage struct {
	web.Page
	Kind, Account, Service string
}

const (
	authenticatorPath = "/authenticator"
	confirmPath       = "/authenticator/confirm"
	linkedPath        = "/authenticator/linked"
	statementCookie   = "statement"
	statementLasts    = 20 * time.Minute // longer than a key waits for its code
	longestText       = 100              // characters of model and serial, as the API takes them
)

// mayLinkAuthenticator says why neither kind can be linked, or nil.
func mayLinkAuthenticator(me portti.Me) error {
	if me.May.App == "" || me.May.Token == "" {
		return nil
	}
	if me.May.App != "policy_denied" {
		return barred(me.May.App)
	}
	return barred(me.May.Token)
}

func (p *Pages) authenticator(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := mayLinkAuthenticator(v.me); err != nil {
		return err
	}
	return p.show(w, r, http.StatusOK, "authenticator", startPage(v, portti.Confirmation{}))
}

func startPage(v *visit, s portti.Confirmation) *authenticatorPage {
	page := &authenticatorPage{Page: web.Page{Client: v.service(), Here: authenticatorPath}, App: v.me.May.App == "", Token: v.me.May.Token == "", PersonalPhones: v.me.Organisation.PersonalPhones,
		Kind: string(s.Kind), Model: s.Model, Serial: s.Serial, OwnDevice: s.OwnDevice, WorkPhone: s.WorkPhone, PersonalPhone: s.PersonalPhone}
	v.tellCode(&page.Page)
	return page
}

// beginAuthenticator shows a new key.
func (p *Pages) beginAuthenticator(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := mayLinkAuthenticator(v.me); err != nil {
		return err
	}
	s := readStatement(r.PostForm)
	if err := permitted(v.me, s.Kind); err != nil {
		return err
	}
	page := startPage(v, s)
	if wrong := checkStatement(v.me, s); len(wrong) > 0 {
		page.Wrong(wrong...)
		return p.show(w, r, http.StatusBadRequest, "authenticator", page)
	}
	e, err := p.api.BeginAuthenticator(r.Context(), v.token)
	if err != nil {
		err = app.Refused(err)
		if fault.Is(err, fault.Throttled) {
			return p.again(w, r, "authenticator", &page.Page, page, err)
		}
		return err
	}
	p.site.SetCookie(w, statementCookie, writeStatement(fitting(v.me, s)), statementLasts)
	return p.show(w, r, http.StatusOK, "authenticator_key", &keyPage{
		Page: web.Page{Client: v.service(), Here: confirmPath},
		QR:   template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(e.QR)), //nolint:gosec // our own encoding of a picture
		Key:  e.Key, Account: e.Account, LinkingCode: v.linkingCode,
	})
}

// permitted refuses a kind that the form did not offer (S4).
func permitted(me portti.Me, kind portti.Method) error {
	switch kind {
	case portti.App:
		return barred(me.May.App)
	case portti.Token:
		return barred(me.May.Token)
	}
	return nil // checkStatement asks for it
}

// checkStatement says what the first page still lacks. The API asks for the same
// when it links; asked here, a person does not scan a key in vain (S10, S42).
func checkStatement(me portti.Me, s portti.Confirmation) []*fault.Fault {
	var wrong []*fault.Fault
	if s.Kind != portti.App && s.Kind != portti.Token {
		wrong = append(wrong, fault.New(fault.Invalid, "kind_required", "Choose an app or a token.").In("kind"))
	}
	if !s.OwnDevice {
		wrong = append(wrong, fault.New(fault.Invalid, "own_device_required", "Confirm that the device is your own.").In("own_device"))
	}
	if s.Kind == portti.App && !me.Organisation.PersonalPhones && !s.WorkPhone {
		wrong = append(wrong, fault.New(fault.Invalid, "work_phone_required", "Confirm that the app is on a work phone.").In("work_phone"))
	}
	for field, text := range map[string]string{"model": s.Model, "serial": s.Serial} {
		if len([]rune(text)) > longestText || strings.ContainsFunc(text, unicode.IsControl) {
			wrong = append(wrong, fault.New(fault.Invalid, "form_invalid", "%s: at most %d characters.", field, longestText).In(field))
		}
	}
	return wrong
}

// fitting drops what says nothing about the chosen kind: the form shows the
// fields of both.
func fitting(me portti.Me, s portti.Confirmation) portti.Confirmation {
	if s.Kind == portti.Token {
		s.WorkPhone, s.PersonalPhone = false, false
		return s
	}
	s.Model, s.Serial = "", ""
	s.WorkPhone = s.WorkPhone && !me.Organisation.PersonalPhones
	s.PersonalPhone = s.PersonalPhone && me.Organisation.PersonalPhones
	return s
}

func readStatement(form url.Values) portti.Confirmation {
	ticked := func(name string) bool { return form.Get(name) == "yes" }
	return portti.Confirmation{Kind: portti.Method(form.Get("kind")), OwnDevice: ticked("own_device"), WorkPhone: ticked("work_phone"), PersonalPhone: ticked("personal_phone"),
		Model: strings.TrimSpace(form.Get("model")), Serial: strings.TrimSpace(form.Get("serial"))}
}

func writeStatement(s portti.Confirmation) string {
	form := url.Values{"kind": {string(s.Kind)}}
	for name, ticked := range map[string]bool{"own_device": s.OwnDevice, "work_phone": s.WorkPhone, "personal_phone": s.PersonalPhone} {
		if ticked {
			form.Set(name, "yes")
		}
	}
	for name, text := range map[string]string{"model": s.Model, "serial": s.Serial} {
		if text != "" {
			form.Set(name, text)
		}
	}
	return form.Encode()
}

// statement is what the cookie holds; false when no linking is under way here.
func (p *Pages) statement(r *http.Request) (portti.Confirmation, bool) {
	form, err := url.ParseQuery(p.site.ReadCookie(r, statementCookie))
	if err != nil || form.Get("kind") == "" {
		return portti.Confirmation{}, false
	}
	return readStatement(form), true
}

// codePage is the second page without the key.
func codePage(v *visit) *keyPage {
	return &keyPage{Page: web.Page{Client: v.service(), Here: confirmPath}, LinkingCode: v.linkingCode}
}

// authenticatorCode is for who comes back to the second page by a language link
// or after signing in again: the app has the key.
func (p *Pages) authenticatorCode(w http.ResponseWriter, r *http.Request, v *visit) error {
	if _, ok := p.statement(r); !ok {
		return app.See(w, r, authenticatorPath)
	}
	if err := mayLinkAuthenticator(v.me); err != nil {
		return err
	}
	return p.show(w, r, http.StatusOK, "authenticator_key", codePage(v))
}

// confirmAuthenticator links the authenticator whose code was typed.
func (p *Pages) confirmAuthenticator(w http.ResponseWriter, r *http.Request, v *visit) error {
	s, ok := p.statement(r)
	if !ok {
		return app.See(w, r, authenticatorPath)
	}
	if s.Code = typedCode(r); s.Code == "" {
		page := codePage(v)
		return p.again(w, r, "authenticator_key", &page.Page, page, errNoCode)
	}
	if v.linkingCode {
		s.LinkingCode = r.PostFormValue("linking_code")
	}
	if err := p.api.ConfirmAuthenticator(r.Context(), v.token, s); err != nil {
		return p.notLinked(w, r, v, s, app.Refused(err))
	}
	p.site.ClearCookie(w, statementCookie)
	return p.goOn(w, r, v, p.code, linkedPath)
}

// notLinked shows why a code did not link.
func (p *Pages) notLinked(w http.ResponseWriter, r *http.Request, v *visit, s portti.Confirmation, err error) error {
	f, _ := fault.Of(err)
	switch code := fault.Code(err); {
	case code == "totp_already_linked" && v.me.App != nil && p.app.SinceThen(v.me.App.Linked) < time.Minute:
		// The other half of a double click was first, and the link stands.
		p.site.ClearCookie(w, statementCookie)
		return p.goOn(w, r, v, p.code, linkedPath)
	case code == "enrolment_expired":
		p.site.ClearCookie(w, statementCookie)
		page := startPage(v, s)
		return p.again(w, r, "authenticator", &page.Page, page, err)
	case f != nil && (f.Field == "code" || f.Field == "linking_code" || f.Kind == fault.Throttled):
		page := codePage(v)
		return p.again(w, r, "authenticator_key", &page.Page, page, err)
	}
	return err
}

func (p *Pages) authenticatorLinked(w http.ResponseWriter, r *http.Request, v *visit) error {
	if v.me.App == nil || !v.me.Full {
		return app.See(w, r, homePath)
	}
	return p.show(w, r, http.StatusOK, "authenticator_linked", &authenticatorLinkedPage{Kind: string(v.me.App.Kind), Account: p.config.Account})
}

var errNoCode = fault.New(fault.Invalid, "required", "Type the code.").In("code")

// typedCode is the code without the blanks that apps and people put into it (S45).
func typedCode(r *http.Request) string {
	return strings.Join(strings.Fields(r.PostFormValue("code")), "")
}
