package userservices

import (
	"net/http"

	"golang.org/x/text/language"

	"github.com/portti-id/portti/templates"
)

// language is what to speak with this person. Their registered language counts
// when they have chosen none here and their browser prefers none of ours.
func (p *Pages) language(w http.ResponseWriter, r *http.Request, v *visit) string {
	if p.site.ReadCookie(r, "lang") == "" && r.URL.Query().Get("lang") == "" && !understood(r.Header.Get("Accept-Language")) {
		p.site.UseLocales(w, r, v.session.SID, []string{v.me.Language})
		if p.site.ReadCookie(r, "locales") == "" {
			return v.me.Language
		}
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
