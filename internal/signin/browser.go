package signin

import (
	"net/http"
	"net/netip"
	"time"

	"github.com/portti-id/portti/internal/session"
	"github.com/portti-id/portti/internal/web"
)

const (
	bindingCookie = "browser" // package web's own: what binds forms and transactions
	sessionCookie = "sid"     // the session's secret
	methodCookie  = "method"  // what this browser signed in with last
	attemptCookie = "attempt" // another one with every card attempt; it says nothing
)

// methodAge is how long a browser's last method is offered first.
const methodAge = 365 * 24 * time.Hour

// Browser reads the browser's cookies and address for package openid.
type Browser struct{ Site *web.Site }

// Binding is the secret of this browser; one that has none gets it.
func (b Browser) Binding(w http.ResponseWriter, r *http.Request) string { return b.Site.Browser(w, r) }

// Session is what the session cookie holds, "" without one.
func (b Browser) Session(r *http.Request) string { return b.Site.ReadCookie(r, sessionCookie) }

// Address is where the browser is.
func (b Browser) Address(r *http.Request) netip.Addr { return b.Site.ClientAddr(r) }

// signedIn gives the browser its session, until it is closed, and notes the
// method for the next sign-in on this browser (S6). That cookie says nothing of
// whom: it is the same for everybody.
func (p *Pages) signedIn(w http.ResponseWriter, secret string, s session.Session) {
	p.Site.SetCookie(w, sessionCookie, secret, 0)
	method := session.Password
	if s.Method == session.Card {
		method = session.Card
	}
	p.Site.SetCookie(w, methodCookie, string(method), methodAge)
}

// passwordFirst tells whether this browser signed in with a password last.
func (p *Pages) passwordFirst(r *http.Request) bool {
	return p.Site.ReadCookie(r, methodCookie) == string(session.Password)
}

// signedOut leaves nothing of the person in the browser (S72): the session, and
// the binding, with which sign-ins stand that were begun and not finished.
//
// Clear-Site-Data takes what scripts may have stored. Its "cookies" would reach
// every host under our registrable domain, and so sign people out of systems
// that have nothing to do with us; our own cookies are named instead.
func (p *Pages) signedOut(w http.ResponseWriter) {
	p.Site.ClearCookie(w, sessionCookie)
	p.Site.ClearCookie(w, bindingCookie)
	w.Header().Set("Clear-Site-Data", `"storage"`)
}

// needCookies shows the restart page for a form that comes without the browser's
// cookie: it was cleared while the page stood open, and that is no attack (S68).
// Nothing is done with the form.
func (p *Pages) needCookies(f web.HandlerFunc) http.Handler {
	protected, restart := p.Site.Handle(f), p.Site.HandleCrossSite(p.traced(p.restart))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.Site.ReadCookie(r, bindingCookie) == "" {
			restart.ServeHTTP(w, r)
			return
		}
		protected.ServeHTTP(w, r)
	})
}
