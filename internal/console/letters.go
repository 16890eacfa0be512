package console

import (
	"net/http"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/web"
	"github.com/portti-id/portti/pkg/portti"
)

const lettersPath = "/letters"

type lettersPage struct {
	web.Page
	Waits  bool // those that wait are shown, and not those that were given up
	Counts portti.Letters
	Tabs   []tab
	List   []portti.Letter
	May    bool // try again, discard
	Pager  pager
}

// letters lists letters that were given up, or that wait.
func (p *Pages) letters(w http.ResponseWriter, r *http.Request, v *visit) error {
	return p.listLetters(w, r, v, nil)
}

func (p *Pages) listLetters(w http.ResponseWriter, r *http.Request, v *visit, wrong error) error {
	waits := r.URL.Query().Get("state") == "waiting"
	got, err := p.api.Letters(r.Context(), v.token, !waits, r.URL.Query().Get("after"))
	if err != nil {
		return refused(err)
	}
	page := &lettersPage{Waits: waits, Counts: got, List: got.Letters, May: v.may("letters.retry"), Pager: pagerOf(r, got.Next),
		Tabs: []tab{{Href: lettersPath, Key: "con.letters.dead", Count: int(got.Dead), Here: !waits}, {Href: lettersPath + "?state=waiting", Key: "con.letters.waiting", Count: int(got.Waiting), Here: waits}}}
	if wrong != nil {
		return p.again(w, r, "letters", &page.Page, page, wrong)
	}
	tellDone(r, &page.Page, "letters", "retried", "discarded")
	return p.show(w, r, http.StatusOK, "letters", page)
}

// decideLetter tries letters again, or discards one.
func (p *Pages) decideLetter(w http.ResponseWriter, r *http.Request, v *visit) error {
	id, err := r.PostFormValue("letter"), error(nil)
	switch r.PostFormValue("do") {
	case "retry":
		err = p.api.RetryLetter(r.Context(), v.token, id)
	case "all":
		_, err = p.api.RetryLetters(r.Context(), v.token)
	default:
		return fault.New(fault.Invalid, "form_invalid", "Nothing that can be done with a letter.")
	}
	if err != nil {
		return p.listLetters(w, r, v, refused(err))
	}
	return see(w, r, lettersPath+"?state=waiting&done=retried")
}

type discardPage struct {
	web.Page
	ID string
}

// discard says what it means to delete a letter.
func (p *Pages) discard(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := v.need("letters.retry"); err != nil {
		return err
	}
	return p.show(w, r, http.StatusOK, "letter_discard", &discardPage{ID: r.FormValue("letter")})
}

func (p *Pages) discarded(w http.ResponseWriter, r *http.Request, v *visit) error {
	page := &discardPage{ID: r.PostFormValue("letter")}
	if err := p.api.DiscardLetter(r.Context(), v.token, page.ID); err != nil {
		return p.again(w, r, "letter_discard", &page.Page, page, refused(err))
	}
	return see(w, r, lettersPath+"?done=discarded")
}
