package web

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/text/language"

	"github.com/portti-id/portti/templates"
)

const (
	languageParam  = "lang"
	languageCookie = "lang"    // the person's own choice
	localeCookie   = "locales" // what the service asked for, and its transaction; until the browser closes
	languageAge    = 365 * 24 * time.Hour
)

// LanguageLink leads to the same page in another language.
type LanguageLink struct {
	Code    string
	Name    string // in that language
	URL     string
	Current bool
}

var languageNames = map[string]string{"fi": "Suomi", "sv": "Svenska", "en": "English"}

func newMatcher() language.Matcher {
	tags := make([]language.Tag, len(templates.Languages))
	for i, code := range templates.Languages {
		tags[i] = language.MustParse(code)
	}
	return language.NewMatcher(tags)
}

// Language is the language to answer in: what the person has just chosen on the
// page (?lang=), what the service asked for (UseLocales), what the person chose
// before, what the browser prefers, Finnish.
func (s *Site) Language(r *http.Request) string {
	if code := chosen(r); code != "" {
		return code
	}
	asked, _ := s.locale(r)
	for _, code := range []string{asked, s.ReadCookie(r, languageCookie)} {
		if slices.Contains(templates.Languages, code) {
			return code
		}
	}
	return s.accepted(r)
}

// accepted is what the browser prefers, or Finnish.
func (s *Site) accepted(r *http.Request) string {
	tags, _, err := language.ParseAcceptLanguage(r.Header.Get("Accept-Language"))
	if code := s.match(tags); err == nil && code != "" {
		return code
	}
	return templates.Languages[0]
}

// chosen is the language that a link of ours asks for, or "".
func chosen(r *http.Request) string {
	if code := r.URL.Query().Get(languageParam); slices.Contains(templates.Languages, code) {
		return code
	}
	return ""
}

// locale reads the cookie of UseLocales: the language, and whose wish it was.
func (s *Site) locale(r *http.Request) (code, whose string) {
	code, whose, _ = strings.Cut(s.ReadCookie(r, localeCookie), ".")
	return code, whose
}

// UseLocales speaks the first of locales (OpenID Connect ui_locales, best first)
// that is one of ours. It holds for the sign-in transaction tx until the person
// chooses another language, so every page of the transaction may call it.
func (s *Site) UseLocales(w http.ResponseWriter, r *http.Request, tx string, locales []string) {
	sum := sha256.Sum256([]byte(tx))
	whose := hex.EncodeToString(sum[:8])
	if _, already := s.locale(r); already == whose {
		return
	}
	var tags []language.Tag
	for _, l := range locales[:min(len(locales), 10)] {
		if tag, err := language.Parse(l); err == nil {
			tags = append(tags, tag)
		}
	}
	code := cmp.Or(chosen(r), s.match(tags))
	switch {
	case code != "":
		s.SetCookie(w, localeCookie, code+"."+whose, 0)
	case s.ReadCookie(r, localeCookie) != "":
		s.ClearCookie(w, localeCookie) // another service's wish
		if code = s.ReadCookie(r, languageCookie); code == "" {
			code = s.accepted(r)
		}
	}
	if x := exchangeOf(r); x != nil {
		x.language = code
	}
}

func (s *Site) match(tags []language.Tag) string {
	if len(tags) == 0 {
		return ""
	}
	_, i, confidence := s.matcher.Match(tags...)
	if confidence < language.High {
		return ""
	}
	return templates.Languages[i]
}

// speak settles the language of an answer, and keeps a choice that was made.
func (s *Site) speak(w http.ResponseWriter, r *http.Request) string {
	x := exchangeOf(r)
	if code := chosen(r); code != "" {
		if s.ReadCookie(r, languageCookie) != code {
			s.SetCookie(w, languageCookie, code, languageAge)
		}
		if asked, whose := s.locale(r); whose != "" && asked != code && (x == nil || x.language == "") {
			s.SetCookie(w, localeCookie, code+"."+whose, 0)
		}
		return code
	}
	if x != nil && slices.Contains(templates.Languages, x.language) {
		return x.language
	}
	return s.Language(r)
}

// languageLinks lead to the page at path. What answers a POST must be there by
// GET at the same path too; the query of a GET is kept.
func languageLinks(r *http.Request, path, current string) []LanguageLink {
	query := url.Values{}
	if r.Method == http.MethodGet {
		query = r.URL.Query()
	}
	if path == "" {
		path = r.URL.Path
	}
	// A path that began with two slashes would be another host's address.
	path = "/" + strings.TrimLeft(path, "/\\")
	links := make([]LanguageLink, len(templates.Languages))
	for i, code := range templates.Languages {
		query.Set(languageParam, code)
		u := url.URL{Path: path, RawQuery: query.Encode()}
		links[i] = LanguageLink{Code: code, Name: languageNames[code], URL: u.String(), Current: code == current}
	}
	return links
}
