package e2e

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/cardtest"
	"github.com/portti-id/portti/internal/identity"
)

// Every page of the Console to which a link leads from another, as an operator sees
// it, in each language, on a wide and on a narrow screen: without faults of axe,
// without holes in a text, nothing wider than the screen, and nobody is refused a
// page that is linked.
func TestEveryPageOfTheConsoleInABrowser(t *testing.T) {
	t.Parallel()
	w := NewWorld(t, Options{Pair: SQLiteMemory})
	people := w.peopled()
	for _, m := range manners {
		t.Run(m.name, func(t *testing.T) {
			olli := w.Settled("olli."+m.lang, "tietoapu", identity.MethodApp).With(identity.RoleOperator)
			s := m.screen(t, w, w.chromium(t, m.lang))
			console := w.Origin("console")
			s.Open(console)
			s.signIn(olli)
			s.WaitFor("#console")
			seen := map[string]bool{"/": true, kindOf(people[0]): true}
			for queue := append([]string{"/"}, people...); len(queue) > 0; queue = queue[1:] {
				s.Open(console + queue[0])
				s.look("Console"+strings.ReplaceAll(kindOf(queue[0]), "/", " "), "h1")
				if s.Has("#error") || !s.Has("nav.sections") {
					t.Errorf("%s is linked and is no page: %s", queue[0], s.Text("main"))
				}
				var links []string
				s.Eval(`[...document.querySelectorAll("nav.sections a, main a")].filter(a => a.origin === location.origin && !a.hash).map(a => a.pathname + a.search)`, &links)
				for _, to := range links {
					if kind := kindOf(to); !seen[kind] && !isFile(to) {
						seen[kind] = true
						queue = append(queue, to)
					}
				}
			}
			if len(seen) < 15 {
				t.Errorf("only %d pages were found", len(seen))
			}
		})
	}
}

// peopled has somebody in every state that the Console tells of, and returns their
// pages.
func (w *World) peopled() (pages []string) {
	w.T.Helper()
	ctx, d, now := w.T.Context(), w.Replicas[0].Directory, w.Clock.Now()
	people := []*Employee{
		w.Settled("aino-annikki.ylenpalttisenpitka-sukuniminen", "kuntala", identity.MethodApp, identity.MethodCard).With(identity.RoleResponsible),
		w.Newcomer("uusi.tulokas", "kuntala"),
		w.Settled("lassi.lahtenyt", "kuntala", identity.MethodApp),
		w.Settled("jaana.jaassa", "kuntala", identity.MethodApp),
		w.Settled("saija.suljettukortti", "saaristo", identity.MethodCard),
		w.Holder("kaisa.kohtapaattyy", cardtest.Valid(now.Add(-24*time.Hour), now.Add(20*24*time.Hour))),
		w.Settled("taina.lukulaite", "tietoapu", identity.MethodToken),
	}
	must(0, d.DisableUser(ctx, operator, people[2].ID, identity.Why{Reason: "His last day was yesterday"}))(w.T)
	must(d.Order(ctx, operator, people[3].ID, identity.Why{Reason: "Has phoned", Ticket: "1"}))(w.T)
	must(0, d.FreezeOwn(ctx, identity.Self{User: people[3].ID, Session: "seed", AuthTime: now, Full: true, Proved: identity.MethodApp}))(w.T)
	link := must(d.Store.Person(ctx, people[4].ID))(w.T).Card
	must(d.NoteCardStatus(ctx, *link, card.Status{State: card.WasRevoked, Source: "crl"}))(w.T)
	for _, e := range people {
		pages = append(pages, "/people/"+string(e.ID))
	}
	return pages
}

var (
	identifier = regexp.MustCompile(`/([A-Z0-9]{20,}|[0-9]+|user-services|console|service|records|kuntala|saaristo|tietoapu)\b`)
	afterward  = regexp.MustCompile(`(after|q|since|until|organisation|from|to|type|actor|user)=[^&]*&?`)
)

// kindOf is an address without what differs between pages of one kind.
func kindOf(path string) string {
	return strings.TrimRight(afterward.ReplaceAllString(identifier.ReplaceAllString(path, "/ID"), ""), "?&")
}

// isFile tells whether a link leads to a file and not to a page.
func isFile(path string) bool {
	path, _, _ = strings.Cut(path, "?")
	return slices.ContainsFunc([]string{".csv", "/file"}, func(end string) bool { return strings.HasSuffix(path, end) })
}
