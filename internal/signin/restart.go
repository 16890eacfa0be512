package signin

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/trace"
)

// restartPage is for a sign-in that cannot go on: too late, finished, begun in
// another browser, or its cookies are gone (S68).
type restartPage struct {
	servicePage
	Return string
}

// Client is the service's name, "" when it is not known which one it was.
func (p *restartPage) Client() string {
	if p.service.ID == "" {
		return ""
	}
	return p.servicePage.Client()
}

// restart tells how to begin again. Only the service can: it holds what it asked
// for. Its address and name are no secret, so a browser that lost its cookies is
// told them too.
func (p *Pages) restart(w http.ResponseWriter, r *http.Request) error {
	why := "restart"
	if p.Site.ReadCookie(r, bindingCookie) == "" {
		why = "restart_no_cookies"
	}
	trace.Note(r.Context(), trace.Shown, why)
	var client openid.Client
	if tx := r.PathValue("tx"); tx != "" {
		q, err := p.Provider.Peek(r.Context(), tx)
		if err != nil && !fault.Is(err, fault.NotFound) {
			return err
		}
		client = q.Client
	}
	page := &restartPage{servicePage: servicePage{service: client}, Return: client.HomeURI}
	if r.Method == http.MethodPost { // the links of the languages lead to where the form was
		page.Here = formOf(r)
	}
	return p.Site.Render(w, r, http.StatusGone, "signin/restart", page)
}

// formOf is the page whose form was posted.
func formOf(r *http.Request) string {
	if tx := r.PathValue("tx"); tx != "" {
		return signInPath(tx)
	}
	if secret := r.PathValue("secret"); secret != "" {
		return identity.LinkPath + url.PathEscape(secret)
	}
	for _, page := range []string{openid.VerifyPath, "/order", "/card-test"} {
		if strings.HasPrefix(r.URL.Path, page) {
			return page
		}
	}
	return openid.EndSessionPath
}
