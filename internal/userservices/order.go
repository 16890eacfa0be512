package userservices

import (
	"net/http"
	"slices"

	"github.com/portti-id/portti/internal/app"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/web"
	"github.com/portti-id/portti/pkg/portti"
)

// "My card was replaced" (S58): a new password is ordered, which removes the link
// to the old card, and a letter brings a temporary one. Whoever asks for it has
// just signed in in full.

type orderPage struct {
	web.Page
	Can     bool   // order it here; otherwise somebody else has to be asked
	Hours   int    // that an ordered password is good for
	Contact string // the organisation's own; "" for none
}

const orderPath = "/order"

func (p *Pages) order(w http.ResponseWriter, r *http.Request, v *visit) error {
	return p.showOrder(w, r, v, v.me.May.Order)
}

func (p *Pages) showOrder(w http.ResponseWriter, r *http.Request, v *visit, code string) error {
	page := &orderPage{Can: code == "", Hours: v.me.Password.OrderedHours, Contact: v.me.Organisation.ITContact}
	if !page.Can && !slices.Contains([]string{"order_by_support", "full_signin_required"}, code) {
		return barred(code)
	}
	return p.show(w, r, http.StatusOK, "order", page)
}

// placeOrder orders the password. This session ends with it, so the page is the
// answer itself: nothing could be asked for once more.
func (p *Pages) placeOrder(w http.ResponseWriter, r *http.Request, v *visit) error {
	err := p.api.Order(r.Context(), v.token)
	if err == nil {
		w.Header().Set("Clear-Site-Data", `"cache", "storage"`)
		return p.show(w, r, http.StatusOK, "ordered", &plainPage{})
	}
	if portti.Code(err) == "order_by_support" {
		return p.showOrder(w, r, v, portti.Code(err))
	}
	if f, ok := fault.Of(app.Refused(err)); ok && f.Kind == fault.Throttled {
		page := &orderPage{Can: true, Hours: v.me.Password.OrderedHours}
		return p.again(w, r, "order", &page.Page, page, f)
	}
	return app.Refused(err)
}
