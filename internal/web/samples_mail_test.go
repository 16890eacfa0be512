package web_test

import (
	"time"

	"github.com/portti-id/portti/internal/web"
	"github.com/portti-id/portti/pkg/portti"
)

// The Console's pages on letters, trust and keys, as package console renders them.

type lettersPage struct {
	web.Page
	Waits  bool
	Counts portti.Letters
	Tabs   []tab
	List   []portti.Letter
	May    bool
	Pager  pager
}

type discardPage struct {
	web.Page
	ID string
}

type authorityRow struct {
	portti.Authority
	Ended, EndsSoon bool
}

type defectRow struct {
	portti.TrustDefect
	Known bool
}

type warningRow struct {
	portti.TrustWarning
	Known bool
}

type trustPage struct {
	web.Page
	Trust       portti.Trust
	Defects     []defectRow
	Warnings    []warningRow
	Authorities []authorityRow
	Strangers   []portti.UnknownIssuer
	May         bool
}

type keyKindRow struct {
	portti.KeyKind
	May, Prepared, Promote bool
}

type keysPage struct {
	web.Page
	Kinds []keyKindRow
}

type keyChangePage struct {
	web.Page
	Kind, Do string
}

func mailSamples() []sample {
	at := time.Date(2026, 11, 23, 6, 0, 0, 0, time.UTC)
	letters := func(w string) []portti.Letter {
		return []portti.Letter{
			{ID: "L1" + w, Channel: "mail", Template: "welcome", Organisation: "o" + w, Recipient: "a…@example.test" + w, Created: at, Due: at, Expires: at, Attempts: 12, Reason: "mail server: it answered 550" + w, Dead: at},
			{ID: "L2", Channel: "text", Recipient: "…67", Created: at, Due: at},
		}
	}
	all := []sample{
		{"console/letters", "", []string{"letters", "views", "oldest", "retry-all", "next-page"}, func(w string) web.Content {
			return &lettersPage{Page: inConsole(), Counts: portti.Letters{Waiting: 3, Dead: 2, Oldest: at}, Tabs: []tab{{Href: "/letters", Key: "con.letters.dead", Count: 2, Here: true}, {Href: "/letters?state=waiting", Key: "con.letters.waiting", Count: 3}}, List: letters(w), May: true, Pager: pager{"/letters", "/letters?after=b"}}
		}},
		{"console/letters", "waiting", []string{"letters", "views"}, func(w string) web.Content {
			return &lettersPage{Page: inConsole(), Waits: true, Counts: portti.Letters{Waiting: 2}, List: letters(w)}
		}},
		{"console/letters", "none", []string{"letters", "none"}, func(string) web.Content { return &lettersPage{Page: inConsole()} }},
		{"console/letter_discard", "", []string{"discard", "discard-submit"}, func(w string) web.Content { return &discardPage{Page: inConsole(), ID: "L1" + w} }},
		{"console/trust", "", []string{"trust", "defects", "bundle", "authorities", "strangers"}, func(w string) web.Content {
			list := portti.Revocation{CA: "CA" + w, NextUpdate: at, Entries: 7}
			stale := list
			stale.Stale = true
			return &trustPage{Page: inConsole(), May: true, Trust: portti.Trust{Cards: true, Loaded: at, Fingerprint: "ab" + w, Since: at},
				Defects:  []defectRow{{portti.TrustDefect{Fault: "expired", File: "x.pem" + w, Date: at, Text: "roots[0] (file x.pem): expired" + w}, true}, {portti.TrustDefect{Fault: "new", Text: "something else" + w}, false}},
				Warnings: []warningRow{{TrustWarning: portti.TrustWarning{Concern: "expires", Authority: "CA" + w, Until: at, Days: 1}, Known: true}, {TrustWarning: portti.TrustWarning{Concern: "new", Text: "CA: new" + w}}},
				Authorities: []authorityRow{
					{Authority: portti.Authority{Name: "Root" + w, Kind: "root", NotAfter: at, SHA256: "ab", Key: "RSA 4096"}, EndsSoon: true},
					{Authority: portti.Authority{Name: "CA" + w, Kind: "organisation", NotAfter: at, SHA256: "cd", Key: "P-384", Lists: []portti.Revocation{list, stale}}, Ended: true},
					{Authority: portti.Authority{Name: "Citizens", Kind: "citizen", Refused: true, NotAfter: at}},
				},
				Strangers: []portti.UnknownIssuer{{ID: "s1", Issuer: "CN=Elsewhere" + w, Root: "Root" + w, SHA256: "ef", Seen: 3, First: at, Last: at}, {ID: "s2", Issuer: "CN=Other", Seen: 1, First: at, Last: at}}}
		}},
		{"console/trust", "nocards", []string{"trust", "no-cards", "none"}, func(string) web.Content { return &trustPage{Page: inConsole()} }},
		{"console/keys", "", []string{"keys", "kind-P-256", "kind-Ed25519"}, func(w string) web.Content {
			row := func(kind string) portti.KeyKind {
				return portti.KeyKind{Kind: kind, Scheduled: true, Prepares: at, Promotes: at, Ready: at, Droppable: true,
					Keys: []portti.SigningKey{{ID: "old" + w, State: "retired", Since: at, Drops: at}, {ID: "k" + w, State: "current", Since: at}, {ID: "n", State: "next", Since: at}}}
			}
			hand := row("RSA-2048")
			hand.Scheduled = false
			return &keysPage{Page: inConsole(), Kinds: []keyKindRow{{KeyKind: row("P-256"), May: true, Prepared: true}, {KeyKind: row("Ed25519"), May: true, Prepared: true, Promote: true}, {KeyKind: hand, May: true}}}
		}},
	}
	for _, do := range []string{"prepare", "promote", "retire"} {
		all = append(all, sample{"console/key_change", do, []string{"change", "change-submit"}, func(string) web.Content { return &keyChangePage{Page: inConsole(), Kind: "P-256", Do: do} }})
	}
	return all
}
