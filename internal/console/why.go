package console

import (
	"net/http"
	"strings"

	"github.com/portti-id/portti/pkg/portti"
)

// why is what the trail keeps of an act, as it was typed: the struct of a page
// with the partial con-why, con-grounds or con-remark embeds it. The API says when
// something is missing, with "reason" or "ticket" as the field.
type why struct{ Reason, Ticket string }

func whyOf(r *http.Request) why {
	return why{strings.TrimSpace(r.PostFormValue("reason")), strings.TrimSpace(r.PostFormValue("ticket"))}
}

// grounds is of acts that need a reason and follow no call.
func (y why) grounds() portti.Grounds { return portti.Grounds(y) }

// apply is of changes that may be made without a word.
func (y why) apply() portti.Change { return portti.Apply.Because(y.Reason, y.Ticket) }
