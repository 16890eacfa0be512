package userservices

import (
	"net/http"
	"slices"

	"golang.org/x/text/language"

	"github.com/portti-id/portti/templates"
)

// chosenLanguage is what the provider is told to speak: what the person has
// chosen here. If they have chosen nothing, what they chose there stands.
func (p *Pages) chosenLanguage(r *http.Request) []string {
	if !p.hasChosen(r) {
		return nil
	}
	return []string{p.site.Language(r)}
}

func (p *Pages) hasChosen(r *http.Request) bool {
	return p.site.ReadCookie(r, "lang") != "" || slices.Contains(templates.Languages, r.URL.Query().Get("lang"))
}

// language is what to speak with this person. Their registered language counts
// when they have chosen none and their browser prefers none of ours.
func (p *Pages) language(w http.ResponseWriter, r *http.Request, v *visit) string {
	if !p.hasChosen(r) && !understood(r.Header.Get("Accept-Language")) && slices.Contains(templates.Languages, v.me.Language) {
		p.site.UseLocales(w, r, v.session.SID, []string{v.me.Language})
		return v.me.Language
	}
	return p.site.Language(r)
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
