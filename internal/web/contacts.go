package web

import "net/http"

// Contacts are an organisation's own, which its people ask before the help desk
// (S71). Any of them may be "".
type Contacts struct {
	IT          string // its IT support
	Responsible string // how to reach its responsible users
	Phone       string // of user support of its own
	Hours       string // when that answers; only with Phone
}

// Any tells whether there are any.
func (c Contacts) Any() bool { return c != Contacts{} }

// Contact has every page that answers r show an organisation's contacts, the error
// page as well. It is for requests of people who have proved who they are: to others
// an employer's numbers would tell where somebody works.
func Contact(r *http.Request, c Contacts) {
	if x := exchangeOf(r); x != nil {
		x.contacts = c
	}
}
