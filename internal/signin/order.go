package signin

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/web"
)

// A new password (S50–S53). Asking for one is not ordering it: the page takes a
// name and tells everybody the same. The letter's link leads to a page that changes
// nothing however often it is fetched; its buttons do.
//
//	/order ─POST▶ /order/sent         …letter…         /order/link/SECRET ─POST▶ /order/ordered
//	                                                     │ confirm, cancel, freeze   /order/cancelled
//	                                                     └────────────────────────── /order/frozen

type orderPage struct {
	web.Page
	Back, Action string
	Username     string
	Hours        int // that an ordered password is good for
}

// order tells how to get a new password, and takes the username of whoever wants
// one.
func (p *Pages) order(w http.ResponseWriter, r *http.Request) error {
	return p.showOrder(w, r, "")
}

func (p *Pages) showOrder(w http.ResponseWriter, r *http.Request, username string, wrong ...*fault.Fault) error {
	page := &orderPage{Action: orderPath(r), Username: username, Hours: orderedHours}
	page.Here = page.Action
	if tx := r.PathValue("tx"); tx != "" {
		page.Back = signInPath(tx)
	}
	page.Wrong(wrong...)
	status := http.StatusOK
	if len(wrong) > 0 {
		status = web.Status(wrong[0])
	}
	return p.Site.Render(w, r, status, "signin/order", page)
}

// orderPath is the address of the page, in a sign-in or outside of one.
func orderPath(r *http.Request, more ...string) string {
	if tx := r.PathValue("tx"); tx != "" {
		return signInPath(tx, append([]string{"order"}, more...)...)
	}
	return strings.Join(append([]string{"/order"}, more...), "/")
}

// ask takes a username. Whatever becomes of it, the answer is the same.
func (p *Pages) ask(w http.ResponseWriter, r *http.Request) error {
	username := r.PostFormValue("username")
	if strings.TrimSpace(username) == "" {
		return p.showOrder(w, r, "", required("username"))
	}
	if err := p.Login.Directory.Ask(r.Context(), username, p.Site.ClientAddr(r)); err != nil {
		return err
	}
	return see(w, orderPath(r, "sent"))
}

// orderDonePage says what was done: sent, ordered, cancelled or frozen. It is the
// same for everybody.
type orderDonePage struct {
	web.Page
	Back  string
	Done  string
	Hours int // that an ordered password is good for
}

const orderedHours = int(identity.OrderedPasswordLasts / time.Hour)

func (p *Pages) orderDone(w http.ResponseWriter, r *http.Request) error {
	page := &orderDonePage{Done: r.PathValue("done"), Hours: orderedHours}
	switch tx := r.PathValue("tx"); {
	case tx != "" && page.Done == "sent":
		page.Back = signInPath(tx)
	case tx != "" || !slices.Contains([]string{"sent", "ordered", "cancelled", "frozen"}, page.Done):
		return fault.New(fault.NotFound, "not_found", "There is no such page.")
	}
	return p.Site.Render(w, r, http.StatusOK, "signin/order_done", page)
}

// orderLinkPage is behind the link of a letter. It names nobody.
type orderLinkPage struct {
	web.Page
	NotMe                   bool // the letter told of an Order; otherwise of an ask
	Confirm, Cancel, Freeze string
}

func (p *Pages) orderLink(w http.ResponseWriter, r *http.Request) error {
	secret := r.PathValue("secret")
	l, err := p.Login.Directory.MailedLink(r.Context(), secret)
	if err != nil {
		return err
	}
	path := identity.LinkPath + url.PathEscape(secret)
	page := &orderLinkPage{NotMe: l.Purpose == identity.NotMe, Confirm: path + "/confirm", Cancel: path + "/cancel", Freeze: path + "/freeze"}
	page.Here = path
	return p.Site.Render(w, r, http.StatusOK, "signin/order_link", page)
}

// orderLinkBack is GET at the address of one of its buttons: a reload.
func (p *Pages) orderLinkBack(w http.ResponseWriter, r *http.Request) error {
	return see(w, identity.LinkPath+url.PathEscape(r.PathValue("secret")))
}

func (p *Pages) orderConfirm(w http.ResponseWriter, r *http.Request) error {
	if err := p.Login.Directory.ConfirmOrder(r.Context(), r.PathValue("secret"), p.Site.ClientAddr(r).String()); err != nil {
		return err
	}
	return see(w, "/order/ordered")
}

func (p *Pages) orderCancel(w http.ResponseWriter, r *http.Request) error {
	if err := p.Login.Directory.CancelAsk(r.Context(), r.PathValue("secret"), p.Site.ClientAddr(r).String()); err != nil {
		return err
	}
	return see(w, "/order/cancelled")
}

func (p *Pages) orderFreeze(w http.ResponseWriter, r *http.Request) error {
	if err := p.Login.Directory.FreezeByLink(r.Context(), r.PathValue("secret"), p.Site.ClientAddr(r).String()); err != nil {
		return err
	}
	return see(w, "/order/frozen")
}
