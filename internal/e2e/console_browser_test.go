package e2e

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/cardtest"
	"github.com/portti-id/portti/internal/identity"
)

// Every page of the Console to which a link leads from another, as each role sees it:
// without faults of axe, without holes in a text or an id twice, nothing wider than the
// screen, on a wide one or on a telephone's, and nobody is refused a page that is
// linked. A page that another role has, and this one has not, is refused, on a page
// without faults. Every page is read; a picture is taken of it, and axe looks at it,
// unless both have seen the same elements in the same colours on a screen as wide.
func TestEveryPageOfTheConsoleInABrowser(t *testing.T) {
	t.Parallel()
	w := NewWorld(t, Options{Pair: SQLiteMemory})
	people, b, console := w.peopled(), w.chromium(t, "fi"), w.Origin("console")
	var crawls []*crawl
	somewhere := map[string]string{} // an address of each kind of page, whoever found it
	looked := map[look]bool{}
	for _, c := range []struct {
		role   identity.Role
		org    identity.OrganisationID
		manner manner
		least  int // pages
	}{
		{identity.RoleOperator, "tietoapu", manner{lang: "fi"}, 25},
		{identity.RoleHelpDesk, "tietoapu", manner{lang: "sv", phone: true}, 15},
		{identity.RoleResponsible, "kuntala", manner{lang: "en", noScript: true}, 15},
		{identity.RoleAuditor, "tietoapu", manner{lang: "fi", phone: true}, 12},
	} {
		role := c.role.String()
		s := c.manner.screen(t, w, b)
		s.Open(console + "/?lang=" + c.manner.lang)
		me := w.Settled("oma."+role, c.org, identity.MethodApp).With(c.role)
		s.signIn(me)
		s.WaitFor("#console")
		crawl := &crawl{screen: s, role: role, phone: c.manner.phone, seen: map[string]bool{}, looked: looked}
		crawl.add("/")
		for _, e := range people {
			own := strings.HasSuffix(e.Email, "@"+string(c.org)+".example")
			if c.role == identity.RoleOperator || c.role == identity.RoleResponsible && own { // in each state
				crawl.queue = append(crawl.queue, "/people/"+string(e.ID))
			}
		}
		if c.role == identity.RoleHelpDesk {
			s.Open(console + "/confirmations")
			s.look("Console, nothing waits for a second person", "#none")
			crawl.add(s.checked(people[0]))
			crawl.queue = append(crawl.queue, w.seconds(me, people[4], people[5])...)
		}
		crawl.walk(console, somewhere)
		if len(crawl.seen) < c.least {
			t.Errorf("only %d kinds of pages were found as %s", len(crawl.seen), role)
		}
		crawls = append(crawls, crawl)
	}
	for _, c := range crawls {
		looked := map[int]bool{}
		for kind, path := range somewhere {
			if c.seen[kind] {
				continue
			}
			status := c.answers(console + path)
			if status != http.StatusForbidden && status != http.StatusNotFound {
				t.Errorf("%s is not for %s, and came with %d", path, c.role, status)
			}
			if !looked[status] {
				looked[status] = true
				c.Open(console + path)
				c.look(fmt.Sprintf("Console as %s, %d", c.role, status), "#error")
			}
		}
		if !looked[http.StatusForbidden] && c.role != identity.RoleOperator.String() {
			t.Errorf("nothing is refused to %s", c.role)
		}
	}
}

// answers is the status that the tab's person gets at an address, without a page to wait
// for.
func (s *screen) answers(address string) int {
	s.t.Helper()
	r := must(http.NewRequest(http.MethodGet, address, nil))(s.t)
	for _, c := range s.Cookies() {
		if c.Domain == r.URL.Hostname() {
			r.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value})
		}
	}
	res := must(s.w.transport(nil).RoundTrip(r))(s.t)
	defer func() { _ = res.Body.Close() }()
	return res.StatusCode
}

// checked records an identity check, and returns where the acts on it are.
func (s *screen) checked(e *Employee) string {
	s.t.Helper()
	s.Open(s.w.Origin("console") + "/people/" + string(e.ID) + "/case")
	s.Click("#method-employer_confirmed")
	s.Fill("#ticket", "T-1")
	s.Click("#record")
	s.WaitFor("#work")
	return strings.TrimPrefix(s.URL(), s.w.Origin("console"))
}

// crawl is somebody of a role who opens every page once that is linked.
type crawl struct {
	*screen
	role   string
	phone  bool
	seen   map[string]bool // kinds of pages
	queue  []string        // paths
	looked map[look]bool   // by anybody
	framed bool            // axe has seen the frame that all pages of the role have
}

// look is what a page looks like.
type look struct {
	shape        string
	narrow, dark bool
}

// first tells whether nobody has looked at this before.
func (c *crawl) first(l look) bool {
	before := c.looked[l]
	c.looked[l] = true
	return !before
}

func (c *crawl) add(path string) {
	if kind := kindOf(path); !c.seen[kind] && !isFile(path) {
		c.seen[kind] = true
		c.queue = append(c.queue, path)
	}
}

func (c *crawl) walk(console string, somewhere map[string]string) {
	c.t.Helper()
	for ; len(c.queue) > 0; c.queue = c.queue[1:] {
		path := c.queue[0]
		c.seen[kindOf(path)], somewhere[kindOf(path)] = true, path
		c.Open(console + path)
		name := "Console as " + c.role + strings.ReplaceAll(kindOf(path), "/", " ")
		page := c.sound(name)
		if c.first(look{page.Shape, c.phone, c.dark}) {
			c.Screenshot(name)
			c.accessible()
		}
		if !c.phone {
			c.narrow(name, c.first(look{page.Shape, true, c.dark}))
		}
		if page.Status != http.StatusOK || !page.Sections {
			c.t.Errorf("%s is linked for %s, and came with %d: %s", path, c.role, page.Status, page.Text)
		}
		for _, to := range page.Links {
			c.add(to)
		}
	}
}

// accessible has axe look at the page, and once for each role at the frame around it.
func (c *crawl) accessible() {
	c.t.Helper()
	if !c.framed {
		c.framed = true
		c.MustBeAccessible()
		return
	}
	c.MustBeAccessible("header.top", "nav.sections", "footer.bottom")
}

// peopled has somebody in every state that the Console tells of.
func (w *World) peopled() []*Employee {
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
	return people
}

// seconds has two acts wait for a second person (S64): what a colleague of desk asks for,
// and what desk asks for, both for people of saaristo. It returns the paths of both, and
// of what desk can do meanwhile: an act that waits, and one for which nobody has been
// asked.
func (w *World) seconds(desk, hers, mine *Employee) []string {
	w.T.Helper()
	ctx, d := w.T.Context(), w.Replicas[0].Directory
	w.Organisation("saaristo", func(o *identity.Organisation) { o.SecondPerson = true })
	colleague := w.Settled("toinen.tukihenkilo", "tietoapu", identity.MethodApp).With(identity.RoleHelpDesk)
	var paths []string
	for _, ask := range []struct{ by, whom *Employee }{{colleague, hers}, {desk, mine}} {
		by := identity.ActorOf(must(d.Store.Person(ctx, ask.by.ID))(w.T), "")
		check := must(d.RecordCheck(ctx, by, ask.whom.ID, identity.EmployerConfirmed, "T-2", ""))(w.T)
		c := must(d.AskSecond(ctx, by, ask.whom.ID, check.ID, identity.PasswordOrder, "The card was lost"))(w.T)
		paths = append(paths, "/confirmations/"+string(c.ID))
		if ask.by == desk {
			unasked := must(d.RecordCheck(ctx, by, hers.ID, identity.EmployerConfirmed, "T-3", ""))(w.T)
			work := "/people/" + string(ask.whom.ID) + "/case/" + string(check.ID)
			paths = append(paths, work, work+"/order", "/people/"+string(hers.ID)+"/case/"+string(unasked.ID)+"/order")
		}
	}
	return paths
}

var (
	identifier = regexp.MustCompile(`/([A-Z0-9]{20,}|[0-9]+|user-services|console|service|records|kuntala|saaristo|tietoapu)\b`)
	afterward  = regexp.MustCompile(`(after|q|since|until|organisation|from|to|type|actor|user|view|kind)=[^&]*&?`)
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
