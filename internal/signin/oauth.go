package signin

import (
	"net/http"

	"github.com/portti-id/portti/internal/openid"
)

type oauthPage struct {
	restartPage
	Code, Description string
	Busy              bool // it may come again as it is, a little later
}

// OAuthError is openid's error page: a request that cannot be answered to the
// service that made it.
func (p *Pages) OAuthError(w http.ResponseWriter, r *http.Request, e openid.Problem) {
	if err := p.oauthError(w, r, e); err != nil {
		p.log().ErrorContext(r.Context(), "error page", "error", err)
		http.Error(w, e.Code, e.Status)
	}
}

func (p *Pages) oauthError(w http.ResponseWriter, r *http.Request, e openid.Problem) error {
	page := &oauthPage{Code: e.Code, Description: e.Description, Busy: e.Status == http.StatusTooManyRequests}
	if e.Client != nil {
		page.service, page.Return = *e.Client, e.Client.HomeURI
	}
	return p.Site.Render(w, r, e.Status, "signin/oauth_error", page)
}

// Continue is the reader's language, and the word on the button of openid's pages
// that submit themselves.
func (p *Pages) Continue(r *http.Request) (lang, label string) {
	lang = p.Site.Language(r)
	return lang, p.Site.Texts().Text(lang, "action.continue")
}
