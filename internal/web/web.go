// Package web is what the provider and the apps share of HTTP: handlers that
// return errors, pages in three languages, forms, cookies, headers, the request
// log, and a server around them.
//
//	web.go          Settings, Site
//	handle.go       Handle, HandleJSON: an error becomes a log line, a status and a page
//	failure.go      what a fault is over HTTP: status, page, problem+json
//	log.go          Wrap: one log line a request, panics caught
//	headers.go      security headers; AllowFormAction, AllowFrames, AllowImages
//	page.go         Page, Problem, Notice; Render
//	templates.go    parsing, and the functions that templates call
//	csrf.go         Protect, the token of forms
//	cookie.go       cookies; Browser, the browser's binding secret
//	language.go     which language to speak
//	address.go      ClientAddr, behind proxies
//	json.go         JSON in and out
//	static.go       files under names that carry their hash
//	server.go       Listen, Serve        certificate.go   certificate files, reloaded
//
//	request ─▶ Wrap (reference, headers, log) ─▶ mux ─▶ Handle ─▶ Protect ─▶ handler
//	                                                      │                     │
//	                                   error page ◀───────┴──────── error ◀─────┘
//
// It knows no people and no protocol.
package web

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"golang.org/x/text/language"

	"github.com/portti-id/portti/templates"
)

// Settings is what a Site is made of. Brand and PublicURL are required.
type Settings struct {
	Brand        string         // shown in the header of every page
	App          string         // key of the app's own name, "" for none
	Pages        []string       // the folders of templates/ that the program shows, beside the error page: nil for all; fewer start faster
	PublicURL    string         // scheme://host[:port] as browsers see it; http is for localhost names only
	SupportPhone string         // "" when there is none
	CardTest     string         // address of the public card test, "" when there is none
	Home         string         // where "go to the start page" leads, "" for nowhere
	Footer       Footer         //
	Proxies      []netip.Prefix // the peers whose forwarding header is believed
	Forwarded    string         // that header: X-Forwarded-For (the default) or Forwarded
	Log          *slog.Logger   // nil: slog.Default()
}

// Footer is the addresses of pages that the law asks for; "" hides one.
type Footer struct {
	Accessibility string
	Privacy       string
	Feedback      string
}

// URL is the address of a path of this program as browsers see it.
func (s *Site) URL(path string) string { return strings.TrimSuffix(s.settings.PublicURL, "/") + path }

// Site renders the pages of one program.
type Site struct {
	settings Settings
	secure   bool // the public URL is https: cookies are Secure and __Host-
	texts    *templates.Texts
	log      *slog.Logger
	pages    map[string]pages // by language
	static   map[string]asset // by hashed name
	assets   map[string]string
	matcher  language.Matcher
	origins  *http.CrossOriginProtection
}

// New parses every template and text once, and refuses settings that would be
// unsafe.
func New(s Settings) (*Site, error) {
	if s.Brand == "" {
		return nil, errors.New("web: brand is empty")
	}
	secure, err := isSecure(s.PublicURL)
	if err != nil {
		return nil, err
	}
	s.Forwarded = http.CanonicalHeaderKey(cmp.Or(s.Forwarded, forwardedFor))
	if s.Forwarded != forwardedFor && s.Forwarded != forwarded {
		return nil, fmt.Errorf("web: forwarding header %q: use %s or %s", s.Forwarded, forwardedFor, forwarded)
	}
	site := &Site{settings: s, secure: secure, log: cmp.Or(s.Log, slog.Default()), origins: http.NewCrossOriginProtection(), matcher: newMatcher()}
	if site.texts, err = templates.Load(); err != nil {
		return nil, err
	}
	if err := site.loadStatic(templates.Static()); err != nil {
		return nil, err
	}
	if err := site.parse(templates.Pages()); err != nil {
		return nil, err
	}
	if s.App != "" && !site.texts.Has(s.App) {
		return nil, fmt.Errorf("web: app name %q: there is no such text", s.App)
	}
	return site, nil
}

// isSecure tells whether browsers reach the site by https. Plain http is
// accepted only for names that never leave the machine: browsers treat them as
// trustworthy, and nobody listens in between.
func isSecure(public string) (bool, error) {
	u, err := url.Parse(public)
	if err != nil {
		return false, fmt.Errorf("web: public URL: %w", err)
	}
	host := strings.ToLower(u.Hostname())
	switch {
	case host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return false, fmt.Errorf("web: public URL %q: use scheme://host or scheme://host:port", public)
	case u.Scheme == "https":
		return true, nil
	case u.Scheme != "http":
		return false, fmt.Errorf("web: public URL %q: use https", public)
	}
	if addr, err := netip.ParseAddr(host); err == nil && addr.IsLoopback() || host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return false, nil
	}
	return false, fmt.Errorf("web: public URL %q: use https; http is for localhost only", public)
}

// Texts is the catalogue that pages are written in.
func (s *Site) Texts() *templates.Texts { return s.texts }

// Secure tells whether browsers reach the site by https.
func (s *Site) Secure() bool { return s.secure }
