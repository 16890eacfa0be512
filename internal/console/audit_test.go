package console

import (
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/pkg/portti"
)

// The trail is read in words, and by those whose role allows it.
func TestTheTrail(t *testing.T) {
	k := newKit(t)
	k.api.Answer("GET /api/v1/audit", portti.Events{Events: []portti.Event{
		{ID: 9, Sequence: 8, Mark: "forged", At: time.Date(2026, 11, 23, 5, 0, 0, 0, time.UTC), Type: "signin.refused", Actor: "user:u7", User: "u7", Method: "password", Reason: "wrong_password", Address: "192.0.2.9", Sentence: "A login as Aino Alku was refused: wrong password"},
		{ID: 10, Type: "signin.refused", Actor: "user:", Reason: "unknown_username", Sentence: "A login was refused: unknown username"},
		{ID: 8, Type: "thing.unheard_of", Actor: "system", Reason: "words of somebody"},
		{ID: 7, Type: "user.disabled", Actor: "user:u8", User: "u9", Details: map[string]string{"note": "left the house", "ticket": "T-7", "delivery": "letter"}, Sentence: "Viivi Vastuu closed the account of user u9: left the house, ticket T-7"},
	}, Names: map[string]string{"u7": "Aino Alku", "u8": "Viivi Vastuu"}, Next: 7})
	k.api.Answer("GET /api/v1/audit/state", portti.TrailState{Sequence: 8, Sealed: k.Now().Add(-time.Hour), Waiting: 3, Key: "0011223344556677"})
	b := k.Browser()
	page := b.Get("/audit?type=signin.refused&since=2026-11-01").Want(200, "/audit?type=signin.refused&since=2026-11-01", "audit", "csv", "chain", "next-page")
	page.Says("A login as Aino Alku was refused: wrong password", "signin.refused", "wrong_password", "192.0.2.9", "Origin in doubt", "thing.unheard_of", "Somebody who is not logged in", "delivery: letter", "0011223344556677", "more than five minutes", "Aino Alku", "Viivi Vastuu closed the account of user u9: left the house, ticket T-7", "u9")
	if calls := k.api.Calls("GET /api/v1/audit"); len(calls) != 1 || !strings.Contains(calls[0].Operation, "lang=en") {
		t.Errorf("not in the reader's language: %+v", calls)
	}
	k.as(responsible)
	if responsible.Has("audit.see") {
		k.as(ownAlone(responsible, "audit.see"))
		k.Browser().Get("/audit").Want(200, "/audit", "audit").Silent("Integrity of the trail", "Identifier of the organisation")
	}
	k.as(helpDesk)
	k.Browser().Get("/audit").Want(403, "/audit", "error")
	k.Browser().Get("/audit/file?format=csv").Want(403, "*", "error")
	k.api.Answer("GET /api/v1/people/u7/events", portti.Events{Events: []portti.Event{{ID: 9, Type: "card.linked", Actor: "user:u7", Sentence: "Aino Alku linked their card"}}})
	k.Browser().Get("/people/u7/events").Want(200, "/people/u7/events", "audit").Says("Aino Alku linked their card", "To the person's details").Silent("Download")
}

// What is drawn is there in numbers, too.
func TestStatisticsPage(t *testing.T) {
	k := newKit(t)
	k.api.Answer("GET /api/v1/statistics", portti.Statistics{Since: "2026-11-22", Until: "2026-11-23", Counts: []portti.Count{
		{Day: "2026-11-22", Type: "signin.succeeded", Method: "card", Events: 41}, {Day: "2026-11-23", Type: "signin.succeeded", Method: "app", Events: 17},
		{Day: "2026-11-23", Type: "signin.refused", Method: "password", Reason: "wrong_password", Events: 5}, {Day: "2026-11-23", Type: "card.linked", Events: 2}}})
	k.Browser().Get("/statistics").Want(200, "/statistics", "statistics", "sign-ins", "refusals", "changes").Says("Certificate card (41)", "17", "22 November 2026", "Wrong password", "Card linked")
	k.api.Answer("GET /api/v1/statistics", portti.Statistics{Since: "2026-11-22", Until: "2026-11-23"})
	k.Browser().Get("/statistics").Want(200, "/statistics", "none")
}
