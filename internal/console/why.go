package console

import (
	"net/http"
	"strings"
)

// why is what the trail keeps of an act, as it was typed: the struct of a page
// with the partial con-why embeds it. The API says when something is missing, with
// "reason" or "ticket" as the field.
type why struct{ Reason, Ticket string }

func whyOf(r *http.Request) why {
	return why{strings.TrimSpace(r.PostFormValue("reason")), strings.TrimSpace(r.PostFormValue("ticket"))}
}
