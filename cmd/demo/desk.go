package main

import (
	"cmp"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/cardlab"
	"github.com/portti-id/portti/internal/cardtest"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/mail"
	"github.com/portti-id/portti/internal/web"
	"github.com/portti-id/portti/templates"
)

// deskFiles are the desk's own page, texts, style and script. They stand here
// and not in templates/, so that no real program has them.
//
//go:embed desk
var deskFiles embed.FS

// desk serves the demo desk: the page that shows the pockets.
type desk struct {
	pocket  *pocket
	lab     *cardlab.Lab
	site    *web.Site // headers, errors, languages; its pages are not the desk's
	origins *http.CrossOriginProtection
	texts   *templates.Texts // the desk's own; those of the frame are the site's
	pages   map[string]*template.Template
	files   map[string][]byte
	assets  map[string]string
	places  places
}

// places are where the parts of the demo are.
type places struct {
	Issuer, UserServices, Console, Service, Records, Lab string
	CardHost                                             string // host and port
}

// desk makes the handler of the desk's host.
func (d *Demo) desk(log *slog.Logger) (http.Handler, error) {
	own, err := fs.Sub(deskFiles, "desk")
	if err != nil {
		return nil, err
	}
	k := &desk{pocket: d.pocket, lab: d.lab, origins: http.NewCrossOriginProtection(), places: places{
		Issuer: d.Origin("id"), UserServices: d.Origin("services"), Console: d.Origin("console"), Service: d.Origin("service"), Records: d.Origin("records"), Lab: d.Origin("lab"),
		CardHost: strings.TrimPrefix(d.cardOrigin(), "https://"),
	}}
	if k.site, err = web.New(web.Settings{Brand: brand, PublicURL: d.Origin("desk"), Home: d.Origin("desk") + "/", Log: log}); err != nil {
		return nil, fmt.Errorf("desk: %w", err)
	}
	if k.texts, err = templates.Parse(own); err != nil {
		return nil, fmt.Errorf("desk: %w", err)
	}
	if err := k.loadFiles(own, templates.Static()); err != nil {
		return nil, fmt.Errorf("desk: %w", err)
	}
	k.pages = make(map[string]*template.Template, len(templates.Languages))
	for _, lang := range templates.Languages {
		if k.pages[lang], err = k.parse(lang, own); err != nil {
			return nil, fmt.Errorf("desk: %w", err)
		}
	}

	mux := http.NewServeMux()
	mux.Handle("GET /{$}", k.handle(k.show))
	mux.Handle("POST /authenticator", k.handle(k.add))
	mux.Handle("POST /authenticator/remove", k.handle(k.remove))
	mux.Handle("GET /authenticator", http.RedirectHandler("/#authenticator", http.StatusSeeOther)) // where language links lead after a wrong key
	mux.Handle("GET /cards/{file}", k.handle(k.card))
	mux.Handle("POST /lab/card", k.handle(k.changeCard))
	mux.Handle("POST /lab/source", k.handle(k.changeSource))
	mux.Handle("GET /static/desk/{file}", k.handle(k.file))
	mux.Handle("GET /static/", k.site.Static()) // of error pages
	return k.site.Wrap(mux), nil
}

// handle refuses what another site's page sends. The browser's own word is
// enough here: the desk guards nothing that is anybody's.
func (k *desk) handle(f web.HandlerFunc) http.Handler {
	return k.site.HandleCrossSite(func(w http.ResponseWriter, r *http.Request) error {
		if err := k.origins.Check(r); err != nil {
			return fault.New(fault.Denied, "csrf", "This form was opened somewhere else or is too old.")
		}
		return f(w, r)
	})
}

// deskPage is the page; desk/desk.html shows it.
type deskPage struct {
	web.Page
	places
	OwnPassword   string // a good example, and that of those who have one
	CardPassword  string
	Aino, Kai     deskPerson // the heroes of the stories
	Organisations []deskOrganisation
	People        []deskPerson
	Letters       []deskLetter // the newest
	OlderLetters  []deskLetter
	Accounts      []deskAccount
	Cards         []deskCard
	Exhibits      []deskCard // of the lab
	Sources       []deskSource
	LabOpen       bool // something was switched there
	KeyField      web.Field
	Owner         string // chosen in the form
}

type deskOrganisation struct {
	ID, Name string
	People   []deskPerson
}

type deskPerson struct {
	Key, Name, Username, Card string
	Password                  string // "" before the temporary one is changed
	Role                      string // "" of an employee
	Letter                    string // the last one with a temporary password, "" for none
	Late                      bool   // the temporary password has expired, and its letter with it
}

type deskLetter struct {
	ID, Name, Time, Subject, Body, Language string
}

type deskAccount struct {
	ID, Owner, Code string
	Left            int // seconds
}

type deskCard struct {
	File, Holder, About string
	Expected            card.Verdict
	State               string // "good", "revoked", "on_hold"; "" without a card
	Hold, Release       bool   // what its CA could do now
	Revoke              bool
}

// deskSource is an authority of the lab.
type deskSource struct {
	Name, Title        string
	OCSPDown, ListDown bool
}

// newLetters is how many letters are seen at first.
const newLetters = 6

func (k *desk) show(w http.ResponseWriter, r *http.Request) error {
	return k.render(w, r, http.StatusOK, "", "")
}

// add puts a key into the authenticator.
func (k *desk) add(w http.ResponseWriter, r *http.Request) error {
	key, err := readKey(r.PostFormValue("key"))
	who, known := personOf(r.PostFormValue("owner"))
	if err != nil || !known {
		return k.render(w, r, http.StatusBadRequest, "desk.key.wrong", who.Username)
	}
	if err := k.pocket.addKey(who.Name(), key); err != nil {
		return err
	}
	http.Redirect(w, r, "/#authenticator", http.StatusSeeOther)
	return nil
}

func (k *desk) remove(w http.ResponseWriter, r *http.Request) error {
	if err := k.pocket.removeKey(r.PostFormValue("account")); err != nil {
		return err
	}
	http.Redirect(w, r, "/#authenticator", http.StatusSeeOther)
	return nil
}

// card gives a card as a file that browsers import: /cards/NAME.p12, and with
// ?format=legacy for systems that read only the old ciphers.
func (k *desk) card(w http.ResponseWriter, r *http.Request) error {
	name, ok := strings.CutSuffix(r.PathValue("file"), ".p12")
	c := k.pocket.pki.Card(name)
	if !ok || c == nil {
		return fault.New(fault.NotFound, "not_found", "There is no such card.")
	}
	encode := c.P12
	if r.FormValue("format") == "legacy" {
		encode = c.P12Legacy
	}
	file, err := encode(cardPassword)
	if err != nil {
		return fmt.Errorf("card %s: %w", name, err)
	}
	w.Header().Set("Content-Type", "application/x-pkcs12")
	w.Header().Set("Content-Disposition", `attachment; filename="`+name+`.p12"`)
	_, _ = w.Write(file) // the reader is gone: nobody to tell
	return nil
}

// changeCard has the CA of a card revoke or suspend it, or lift that.
func (k *desk) changeCard(w http.ResponseWriter, r *http.Request) error {
	name := r.PostFormValue("card")
	err := k.lab.Do(name, cardlab.Action(r.PostFormValue("do")))
	return k.switched(w, r, err, "card-"+name)
}

// changeSource takes a responder or a list down, or brings it back. The lab's own
// page has more ways to fail.
func (k *desk) changeSource(w http.ResponseWriter, r *http.Request) error {
	fault := map[bool]cardtest.Fault{true: cardtest.Down}
	name := r.PostFormValue("source")
	err := k.lab.Break(name, fault[r.PostFormValue("ocsp") == "down"], fault[r.PostFormValue("list") == "down"])
	return k.switched(w, r, err, "source-"+name)
}

func (k *desk) switched(w http.ResponseWriter, r *http.Request, err error, at string) error {
	switch {
	case errors.Is(err, cardlab.ErrNone), errors.Is(err, cardlab.ErrNotNow):
		return fault.New(fault.NotFound, "not_found", "That switch is not there any more.")
	case err != nil:
		return err
	}
	http.Redirect(w, r, "/?lab#"+url.PathEscape(at), http.StatusSeeOther)
	return nil
}

// cardOn is a card as the desk shows it.
func cardOn(row cardlab.Row, holder, about string) deskCard {
	return deskCard{File: row.Name, Holder: holder, About: about, Expected: row.Expected, State: strings.ReplaceAll(row.State, " ", "_"),
		Hold: row.MayHold, Release: row.MayRelease, Revoke: row.MayRevoke}
}

// render shows the desk as it is now; wrong is the text for a key that is none.
func (k *desk) render(w http.ResponseWriter, r *http.Request, status int, wrong, owner string) error {
	lang := k.language(w, r)
	say := func(key string, pairs ...string) string { return k.text(lang, key, pairs...) }
	letters := k.pocket.mailbox()
	p := &deskPage{
		Page: web.Page{Lang: lang, Brand: brand, AppName: say("desk.name"), Languages: languageLinks(lang)}, places: k.places,
		OwnPassword: ownPassword, CardPassword: cardPassword, Owner: owner,
		KeyField: web.Field{ID: "key", Label: say("desk.key"), Hint: say("desk.key.hint"), Type: "text", Autocomplete: "off"},
	}
	if wrong != "" {
		p.KeyField.Problem = say(wrong)
		p.Problems = []web.Problem{{Field: "key", Text: say(wrong)}}
	}
	for _, o := range organisations {
		shown := deskOrganisation{ID: string(o.ID), Name: o.Name}
		for _, who := range people {
			if who.Organisation == o.ID {
				shown.People = append(shown.People, k.person(who, letters))
			}
		}
		p.Organisations = append(p.Organisations, shown)
	}
	for _, who := range people {
		on := k.person(who, letters)
		p.People = append(p.People, on)
		row, _ := k.lab.Row(on.Card)
		p.Cards = append(p.Cards, cardOn(row, on.Name, say("desk.cards.person", "username", who.Username, "organisation", who.employer())))
	}
	p.Aino, p.Kai = p.People[0], p.People[1]
	for _, row := range k.lab.Rows() {
		about := "desk.lab.about." + cmp.Or(strings.ReplaceAll(strings.TrimPrefix(row.Name, "lab-"), "-", "_"), "none")
		p.Exhibits = append(p.Exhibits, cardOn(row, row.Holder, say(about)))
	}
	for _, source := range k.lab.Sources() {
		p.Sources = append(p.Sources, deskSource{source.Name, source.Title, source.OCSP != cardtest.None, source.CRL != cardtest.None})
	}
	p.LabOpen = r.URL.Query().Has("lab")
	now := time.Now()
	for _, l := range letters {
		at := l.At.Local()
		shown := deskLetter{ID: l.ID, Name: l.To, Subject: cmp.Or(l.Subject, say("desk.text")), Body: l.Body, Language: l.Language, Time: at.Format("15:04")}
		if at.YearDay() != now.YearDay() || at.Year() != now.Year() {
			shown.Time = at.Format("2.1. 15:04")
		}
		if who, ok := personAt(l.To); ok {
			shown.Name = who.Name()
		}
		p.Letters = append(p.Letters, shown)
	}
	if len(p.Letters) > newLetters {
		p.Letters, p.OlderLetters = p.Letters[:newLetters], p.Letters[newLetters:]
	}
	for _, a := range k.pocket.accounts() {
		code, left := a.code(now)
		p.Accounts = append(p.Accounts, deskAccount{a.ID, a.Owner, code[:3] + " " + code[3:], int((left + time.Second - 1) / time.Second)})
	}
	var page strings.Builder
	if err := k.pages[lang].Execute(&page, p); err != nil {
		return fmt.Errorf("desk: %w", err)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Language", lang)
	w.WriteHeader(status)
	_, _ = w.Write([]byte(page.String())) // the reader is gone: nobody to tell
	return nil
}

// person is somebody as the desk shows her.
func (k *desk) person(who person, letters []letter) deskPerson {
	key, _, _ := strings.Cut(who.Username, ".")
	shown := deskPerson{Key: key, Name: who.Name(), Username: who.Username, Card: cardOf(who.Username), Late: who.Since > identity.FirstPasswordLasts}
	if who.Role != 0 {
		shown.Role = who.Role.String()
	}
	if who.Own {
		shown.Password = ownPassword
		return shown
	}
	i := slices.IndexFunc(letters, func(l letter) bool { return l.To == who.address() && k.hasPassword(l) })
	if i >= 0 {
		shown.Letter = letters[i].ID
	}
	return shown
}

// hasPassword tells the letters that carry a temporary password.
func (k *desk) hasPassword(l letter) bool {
	return slices.ContainsFunc([]mail.Template{mail.Welcome, mail.PasswordOrdered}, func(t mail.Template) bool {
		return l.Subject == k.text(l.Language, "mail."+string(t)+".subject")
	})
}

// language is the one to answer in; a choice on the page is kept.
func (k *desk) language(w http.ResponseWriter, r *http.Request) string {
	lang := k.site.Language(r)
	if r.URL.Query().Get("lang") == lang {
		k.site.SetCookie(w, "lang", lang, 365*24*time.Hour)
	}
	return lang
}

func languageLinks(current string) []web.LanguageLink {
	var links []web.LanguageLink
	for _, code := range templates.Languages {
		links = append(links, web.LanguageLink{Code: code, Name: map[string]string{"fi": "Suomi", "sv": "Svenska", "en": "English"}[code],
			URL: "/?" + url.Values{"lang": {code}}.Encode(), Current: code == current})
	}
	return links
}

// text is one of the desk's own, or of those that all pages share.
func (k *desk) text(lang, key string, pairs ...string) string {
	if k.texts.Has(key) {
		return k.texts.Text(lang, key, pairs...)
	}
	return k.site.Texts().Text(lang, key, pairs...)
}

// parse puts the desk's page into the frame of all pages.
func (k *desk) parse(lang string, own fs.FS) (*template.Template, error) {
	text := func(key string, pairs ...any) string {
		words := make([]string, len(pairs))
		for i, p := range pairs {
			words[i] = fmt.Sprint(p)
		}
		return k.text(lang, key, words...)
	}
	t, err := template.New("layout").Funcs(template.FuncMap{
		"t":     text,
		"lines": func(key string, pairs ...any) []string { return strings.Split(text(key, pairs...), "\n") },
		"asset": func(name string) (string, error) {
			if k.assets[name] == "" {
				return "", fmt.Errorf("static file %s: there is none", name)
			}
			return k.assets[name], nil
		},
		"tel": func(phone string) string { return phone },
		// Of pages that the desk does not have: the parts are read all the same.
		"scope":    func(name string) string { return name },
		"claim":    func(name string) string { return name },
		"date":     func(t time.Time) string { return t.Format(time.DateOnly) },
		"clock":    func(t time.Time) string { return t.Format(time.TimeOnly) },
		"happened": func(what, _, _ string, _ map[string]string) string { return what },
	}).ParseFS(templates.Pages(), "layout.html", "partials.html")
	if err != nil {
		return nil, err
	}
	if t, err = t.ParseFS(own, "desk.html"); err != nil {
		return nil, err
	}
	return t.Lookup("layout"), nil
}

// loadFiles reads what the page fetches. The frame asks for one style and one
// script, so the desk's own are appended to those of all pages.
func (k *desk) loadFiles(own, shared fs.FS) error {
	k.files, k.assets = map[string][]byte{}, map[string]string{}
	for name, extra := range map[string]string{"style.css": "desk.css", "enhance.js": "desk.js", "icon.svg": ""} {
		content, err := fs.ReadFile(shared, name)
		if err != nil {
			return err
		}
		if extra != "" {
			more, err := fs.ReadFile(own, extra)
			if err != nil {
				return err
			}
			content = slices.Concat(content, []byte("\n"), more)
		}
		sum := sha256.Sum256(content)
		k.files[name] = content
		k.assets[name] = "/static/desk/" + name + "?" + hex.EncodeToString(sum[:8])
	}
	return nil
}

var mediaTypes = map[string]string{"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}

func (k *desk) file(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("file")
	content, ok := k.files[name]
	if !ok {
		return fault.New(fault.NotFound, "not_found", "There is nothing at this address.")
	}
	_, ext, _ := strings.Cut(name, ".")
	w.Header().Set("Content-Type", mediaTypes[ext])
	w.Header().Set("Content-Length", strconv.Itoa(len(content)))
	_, _ = w.Write(content) // the reader is gone: nobody to tell
	return nil
}
