package console

import "net/http"

// pager leads through a long list, for the partial con-pager. A list is read by
// keyset: there is a first page and a next one, and no number of pages.
type pager struct {
	First string // address of the first page; "" on it
	Next  string // of the next page; "" on the last one
}

// pagerOf is the pager of a list at r's address, with its filter kept; what was just done
// is told on one page alone. next is
// what the next page begins after, "" when there is none.
func pagerOf(r *http.Request, next string) pager {
	query := r.URL.Query()
	query.Del("lang")
	query.Del("done")
	at := func(after string) string {
		query.Del("after")
		if after != "" {
			query.Set("after", after)
		}
		if len(query) == 0 {
			return r.URL.Path
		}
		return r.URL.Path + "?" + query.Encode()
	}
	var p pager
	if r.URL.Query().Get("after") != "" {
		p.First = at("")
	}
	if next != "" {
		p.Next = at(next)
	}
	return p
}
