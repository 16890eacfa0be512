package app

import (
	"net/http"
	"slices"

	"golang.org/x/text/language"

	"github.com/portti-id/portti/pkg/rp"
	"github.com/portti-id/portti/templates"
)

// chosenLanguage is what the provider is told to speak: what the person has
// chosen here. If they have chosen nothing, what they chose there stands.
func (a *App) chosenLanguage(r *http.Request) []string {
	if !a.hasChosen(r) {
		return nil
	}
	return []string{a.Site.Language(r)}
}

func (a *App) hasChosen(r *http.Request) bool {
	return a.Site.ReadCookie(r, "lang") != "" || slices.Contains(templates.Languages, r.URL.Query().Get("lang"))
}

// Language is what to speak with this person. Their registered language counts
// when they have chosen none and their browser prefers none of ours.
func (a *App) Language(w http.ResponseWriter, r *http.Request, session *rp.Session, registered string) string {
	if !a.hasChosen(r) && !understood(r.Header.Get("Accept-Language")) && slices.Contains(templates.Languages, registered) {
		a.Site.UseLocales(w, r, session.SID, []string{registered})
		return registered
	}
	return a.Site.Language(r)
}

var ours = language.NewMatcher(func() (tags []language.Tag) {
	for _, code := range templates.Languages {
		tags = append(tags, language.MustParse(code))
	}
	return tags
}())

// understood tells whether a browser's languages include one of ours.
func understood(accept string) bool {
	tags, _, err := language.ParseAcceptLanguage(accept)
	if err != nil || len(tags) == 0 {
		return false
	}
	_, _, confidence := ours.Match(tags...)
	return confidence >= language.High
}

// Named is a name that is kept by language, in this one or in one that it has.
func Named(lang string, names map[string]string, otherwise string) string {
	for _, l := range append([]string{lang}, templates.Languages...) {
		if name := names[l]; name != "" {
			return name
		}
	}
	return otherwise
}
