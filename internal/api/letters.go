package api

import (
	"context"
	"net/http"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/mail"
	"github.com/portti-id/portti/pkg/portti"
)

// letterOperations are on letters that wait or were given up.
func (a *API) letterOperations() []operation {
	return []operation{
		managed(a, "GET /api/v1/letters", identity.LettersSee, "Letters that were given up (state=dead, the newest first) or that wait (state=waiting), 50 a page; never what they say", a.letters),
		managed(a, "POST /api/v1/letters/retry", identity.LettersRetry, "Try all letters again that were given up and are still of use", a.retryLetters),
		managed(a, "POST /api/v1/letters/{letter}/retry", identity.LettersRetry, "Try a letter at once", a.retryLetter),
		managed(a, "POST /api/v1/letters/{letter}/discard", identity.LettersRetry, "Delete a letter that was given up", a.discardLetter),
	}
}

// Letters is the outbox as operators see it: store.Store.
type Letters interface {
	Letters(ctx context.Context, w mail.Which) ([]mail.Kept, error)
	LetterCounts(ctx context.Context) (mail.Counts, error)
	RetryLetter(ctx context.Context, id string, e audit.Event, dry bool) error
	RetryLetters(ctx context.Context, e audit.Event, dry bool) (int64, error)
	DiscardLetter(ctx context.Context, id string, e audit.Event, dry bool) error
}

const lettersAPage = 50

func (a *API) letters(r *http.Request, _ identity.Actor, _ nothing) (answer[portti.Letters], error) {
	q, err := only(r, "state", "after")
	if err != nil {
		return answer[portti.Letters]{}, err
	}
	state := q.Get("state")
	if state != "" && state != "dead" && state != "waiting" {
		return answer[portti.Letters]{}, fault.New(fault.Invalid, "query_invalid", "state: %q is not one of dead, waiting.", state).In("state")
	}
	list, err := a.Letters.Letters(r.Context(), mail.Which{Dead: state != "waiting", After: q.Get("after"), Limit: lettersAPage + 1})
	if err != nil {
		return answer[portti.Letters]{}, err
	}
	counts, err := a.Letters.LetterCounts(r.Context())
	if err != nil {
		return answer[portti.Letters]{}, err
	}
	page := portti.Letters{Letters: []portti.Letter{}, Waiting: counts.Waiting, Dead: counts.Dead, Oldest: counts.Oldest}
	if len(list) > lettersAPage {
		list = list[:lettersAPage]
		page.Next = list[lettersAPage-1].Cursor
	}
	for _, k := range list {
		page.Letters = append(page.Letters, portti.Letter{ID: k.ID, Channel: string(k.Channel), Template: string(k.Template), Organisation: k.Organisation, Recipient: k.Recipient,
			Created: k.Created, Due: k.Due, Expires: k.Expires, Attempts: k.Attempts, Reason: k.Reason, Dead: k.Dead})
	}
	return answer[portti.Letters]{Body: page}, nil
}

func (a *API) retryLetter(r *http.Request, by identity.Actor, _ nothing) (answer[nothing], error) {
	return answer[nothing]{}, a.Letters.RetryLetter(r.Context(), r.PathValue("letter"), a.did(by, audit.LetterRetried), false)
}

func (a *API) retryLetters(r *http.Request, by identity.Actor, _ nothing) (answer[portti.RetriedLetters], error) {
	n, err := a.Letters.RetryLetters(r.Context(), a.did(by, audit.LetterRetried), false)
	return answer[portti.RetriedLetters]{Body: portti.RetriedLetters{Retried: n}}, err
}

func (a *API) discardLetter(r *http.Request, by identity.Actor, _ nothing) (answer[nothing], error) {
	return answer[nothing]{}, a.Letters.DiscardLetter(r.Context(), r.PathValue("letter"), a.did(by, audit.LetterDiscarded), false)
}

// did begins the event of something that is not about a person.
func (a *API) did(by identity.Actor, what audit.Type) audit.Event {
	return audit.Event{At: a.Now().UTC(), Type: what, Actor: by.Name, Address: by.Address}
}
