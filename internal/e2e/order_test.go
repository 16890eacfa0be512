package e2e

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/store"
)

var linkIn = regexp.MustCompile(`https://\S+/order/link/\S+`)

const askedLetter, orderedLetter = "Somebody has asked for a new password for you", "A new password has been ordered"

// about are her letters of a subject, oldest first.
func (e *Employee) about(subject string) (bodies []string) {
	for _, l := range e.w.Mailbox.Letters(e.Email) {
		if l.Subject == subject {
			bodies = append(bodies, l.Body)
		}
	}
	return bodies
}

// next waits for the letter of a subject that comes after the first n.
func (e *Employee) next(t *testing.T, subject string, n int) string {
	t.Helper()
	eventually(t, "a letter comes: "+subject, func() bool { return len(e.about(subject)) > n })
	return e.about(subject)[n]
}

// ask asks for a new password from the login page and returns the letter's link.
func (e *Employee) ask(t *testing.T, v *Visitor) string {
	t.Helper()
	before := len(e.about(askedLetter))
	page := v.Open(e.w.Origin("service") + "/records/1").Must("login-submit")
	order := page.URL.String() + "/order"
	if !strings.Contains(page.Body, page.URL.Path+"/order") {
		t.Fatal("the login page has no link to it (S50)")
	}
	v.Open(order).Must("order-submit", "order-phone").Press("order-submit", "username", e.Username).Must("order-sent")
	link := linkIn.FindString(e.next(t, askedLetter, before))
	if link == "" {
		t.Fatal("the letter has no link")
	}
	return link
}

// S52–S56: forgotten password, from the login page to the new card.
func TestForgottenPassword(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		e := w.Settled("unto.unohti", "saaristo", identity.MethodCard)
		other := w.Visitor()
		e.SignInWithCard(other.Open(w.Origin("service") + "/records/1")).Must("acr")
		link := e.ask(t, w.Visitor())
		other.Open(w.Origin("service") + "/records/1").Must("acr") // nothing has changed

		v := w.Visitor() // the mail opens in another browser
		page := v.Open(link).Must("confirm-submit", "cancel-submit", "order-phone")
		if strings.Contains(page.Body, e.Username) {
			t.Error("the page names the person")
		}
		page = page.Press("confirm-submit").Must("order-ordered")
		letter := e.next(t, orderedLetter, 0)
		temporary := temporaryIn.FindString(letter)
		if temporary == "" || strings.Contains(page.Body, temporary) {
			t.Fatalf("the temporary password %q", temporary)
		}
		if got := v.Open(link); got.Status != http.StatusGone {
			t.Errorf("the link once more: %s", got)
		}
		eventually(t, "the Service has heard of it", func() bool { return !other.Open(w.Origin("service") + "/").Has("who") })
		failed := e.SignInWithCard(w.Visitor().Open(w.Origin("service") + "/records/1")).Must("card-failed")
		if got := failed.Attr("card-failed", "data-verdict"); got != "card_link_removed_by_order" {
			t.Errorf("the old card: %q", got)
		}
		if page := e.TypePassword(w.Visitor().Open(w.Origin("service") + "/records/1")); !page.Has("problems") {
			t.Errorf("the old password: %s", page)
		}
		e.Temporary, e.Password, e.Card = temporary, "", e.NewCard()
		page = e.FirstDay(v.Open(w.Origin("service") + "/records/7")).Must("link-card")
		page = e.LinkCard(page).Must("card-start").Press("card-start").Must("acr")
		if page.URL.String() != w.Origin("service")+"/records/7" || page.Text("acr") != acrCard {
			t.Errorf("by the new card: %q on %s", page.Text("acr"), page)
		}
		types := map[audit.Type]bool{}
		for _, ev := range must(w.Replicas[0].Store.AuditEvents(t.Context(), store.Trail{User: string(e.ID), Limit: 1000}))(t) {
			types[ev.Type] = true
		}
		for _, want := range []audit.Type{audit.PasswordAsked, audit.PasswordOrdered, audit.CardLinkRemoved, audit.PasswordChanged} {
			if !types[want] {
				t.Errorf("the trail has no %s", want)
			}
		}
		if secret := link[strings.LastIndex(link, "/")+1:]; strings.Contains(w.Log.String(), strings.TrimSuffix(secret, "?lang=en")) {
			t.Error("the log has the link's secret")
		}
	})
}

// S51, S52, S55: who has no e-mail address gets the link by text message, and then the
// temporary password in another one, and a third brings "this was not me". The page
// tells what it tells everybody.
func TestForgottenPasswordByTextMessage(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		const number = "+358401234567"
		e := w.Settled("unto.unohti", "saaristo", identity.MethodCard)
		w.Organisation("saaristo", func(o *identity.Organisation) { o.Delivery = identity.BySMS })
		long := w.Clock.Now().Add(-identity.NewAddress - time.Hour)
		must(w.directoryAt(long).ChangeUser(t.Context(), operator, e.ID, func(u *identity.User) { u.Email, u.Claims.Phone = "", "+358 40 1234567" }))(t)
		text := func(part string) (said string) {
			t.Helper()
			eventually(t, "a text message comes: "+part, func() bool {
				for _, m := range w.Mailbox.Letters(number) {
					if m.Subject == "" && strings.Contains(m.Body, part) {
						said = m.Body
					}
				}
				return said != ""
			})
			return said
		}
		v := w.Visitor()
		order := v.Open(w.Origin("service")+"/records/1").Must("login-submit").URL.String() + "/order"
		known := v.Open(order).Press("order-submit", "username", e.Username).Must("order-sent")
		unknown := v.Open(order).Press("order-submit", "username", "nobody.at.all").Must("order-sent")
		if known.Text("order-sent") != unknown.Text("order-sent") || known.Status != unknown.Status || known.URL.Path != unknown.URL.Path {
			t.Errorf("the answers differ: %s, %s", known, unknown)
		}
		said := text("/order/link/")
		link := linkIn.FindString(said)
		if strings.Contains(said, e.Username) || strings.Contains(said, "Unto") {
			t.Errorf("the message names the account: %s", said)
		}
		phone := w.Visitor()
		for range 3 { // whatever previews links on a phone changes nothing (S53)
			phone.Open(link).Must("confirm-submit", "cancel-submit")
		}
		phone.Open(link).Press("confirm-submit").Must("order-ordered")
		e.Temporary, e.Password, e.Card = temporaryIn.FindString(text("emporary password")), "", e.NewCard()
		notMe := text("Not by you?")
		if strings.Contains(notMe, e.Temporary) || strings.Contains(notMe, e.Username) || len(notMe) > 160 {
			t.Errorf("the message with the link: %s", notMe)
		}
		for range 3 {
			phone.Open(linkIn.FindString(notMe)).Must("freeze-submit")
		}
		page := e.FirstDay(v.Open(w.Origin("service") + "/records/7")).Must("link-card")
		if page = e.LinkCard(page).Must("card-start").Press("card-start").Must("acr"); page.Text("acr") != acrCard {
			t.Errorf("by the new card: %s", page)
		}
		phone.Open(linkIn.FindString(notMe)).Press("freeze-submit").Must("order-frozen", "order-phone") // S59
		if p, err := w.Replicas[0].Store.PersonByName(t.Context(), e.Username); err != nil || p.User.Frozen.IsZero() {
			t.Errorf("the account is not frozen: %v", err)
		}
	})
}

// S57: with an authenticator the code comes before the change, and none, no page.
func TestForgottenPasswordWithAnAuthenticator(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		e := w.Settled("otto.ohjelma", "kuntala", identity.MethodApp)
		link := e.ask(t, w.Visitor())
		w.Visitor().Open(link).Press("confirm-submit").Must("order-ordered")
		e.Password = temporaryIn.FindString(e.next(t, orderedLetter, 0))
		page := e.TypePassword(w.Visitor().Open(w.Origin("service") + "/records/1")).Must("code-submit")
		if page.Has("change-submit") {
			t.Error("the change is offered without a code")
		}
		page.Press("code-submit", "code", e.Code()).Must("change-submit")
	})
}

// S53: a program that fetches the link, and whatever is on its page, a thousand
// times, with and without cookies, changes nothing.
func TestMailScannersChangeNothing(t *testing.T) {
	w := NewWorld(t, Options{Pair: SQLiteMemory})
	e := w.Settled("kaisa.kortti", "kuntala", identity.MethodCard, identity.MethodApp)
	for _, button := range []string{"confirm-submit", "freeze-submit"} {
		link := e.ask(t, w.Visitor())
		if button == "freeze-submit" {
			w.Visitor().Open(link).Press("confirm-submit").Must("order-ordered")
			link = linkIn.FindString(e.next(t, orderedLetter, 0))
		}
		before := must(w.Replicas[0].Store.Person(t.Context(), e.ID))(t)
		letters := len(e.about(askedLetter)) + len(e.about(orderedLetter))
		seen := w.Visitor()
		addresses := []string{link}
		page := seen.Open(link).Must(button)
		for n := range page.doc.Descendants() {
			for _, name := range []string{"href", "action", "src"} {
				if to := attr(n, name); to != "" && !strings.HasPrefix(to, "tel:") {
					u := must(page.URL.Parse(to))(t)
					if u.Host != page.URL.Host {
						t.Errorf("the page leads to %s", u)
					}
					addresses = append(addresses, u.String())
				}
			}
		}
		for i := range 1000 {
			v := seen
			if i%3 == 0 {
				v = w.Visitor()
			}
			method := []string{http.MethodGet, http.MethodHead}[i%2]
			if _, err := v.try(must(http.NewRequest(method, addresses[i%len(addresses)], nil))(t)); err != nil {
				t.Fatal(err)
			}
		}
		after := must(w.Replicas[0].Store.Person(t.Context(), e.ID))(t)
		if after.User != before.User || after.Password != before.Password || len(e.about(askedLetter))+len(e.about(orderedLetter)) != letters {
			t.Errorf("before %+v\nafter  %+v", before.User, after.User)
		}
		w.Visitor().Open(link).Must(button) // and it still works
	}
}

// S59: who signs in while an ask waits is told, and cancels it; the sign-in goes on.
func TestTheHolderCancelsAnAsk(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		e := w.Settled("kaisa.kortti", "saaristo", identity.MethodCard)
		link := e.ask(t, w.Visitor())
		if page := e.SignInWithCard(w.Visitor().Open(w.Origin("service") + "/records/1")).Must("asked").Follow("asked-continue"); !page.Has("acr") {
			t.Errorf("it was me: %s", page)
		}
		v := w.Visitor()
		page := e.SignInWithCard(v.Open(w.Origin("service")+"/records/1")).Must("asked", "asked-cancel").Press("asked-cancel").Must("acr")
		if page.Text("acr") != acrCard {
			t.Errorf("after it: %s", page)
		}
		if got := w.Visitor().Open(link); got.Status != http.StatusGone || got.Has("confirm-submit") {
			t.Errorf("the link: %s", got)
		}
	})
}

// S59: "this was not me" from the letter of the Order, and from User Services.
func TestThisWasNotMe(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		e := w.Settled("otto.ohjelma", "kuntala", identity.MethodApp)
		link := e.ask(t, w.Visitor())
		w.Visitor().Open(link).Press("confirm-submit").Must("order-ordered")
		letter := e.next(t, orderedLetter, 0)
		e.Password = temporaryIn.FindString(letter)
		notMe := linkIn.FindString(letter)
		v := w.Visitor()
		page := e.TypePassword(v.Open(w.Origin("service")+"/records/1")).Must("code-submit").Press("code-submit", "code", e.Code())
		page.Must("change-submit").Press("change-submit", "new", "kolme pientä porsasta metsässä", "repeat", "kolme pientä porsasta metsässä").Must("acr")
		e.Password = "kolme pientä porsasta metsässä"
		v.Open(w.Origin("services")+"/").Must("order-ordered", "to-freeze").Follow("to-freeze").Must("freeze-submit")
		w.Visitor().Open(notMe).Must("freeze-submit").Press("freeze-submit").Must("order-frozen", "order-phone")
		eventually(t, "the Service has heard of it", func() bool { return !v.Open(w.Origin("service") + "/").Has("who") })
		if page := e.TypePassword(w.Visitor().Open(w.Origin("service") + "/records/1")); !page.Has("problems") || page.Has("code-submit") || !strings.Contains(page.Body, "frozen") {
			t.Errorf("the password of a frozen account: %s", page)
		}
		if got := w.Visitor().Open(notMe); got.Status != http.StatusGone {
			t.Errorf("the link once more: %s", got)
		}
	})
}

// Fifty buttons at once, over HTTP and on every replica: one Order.
func TestFiftyConfirmsOverHTTP(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		e := w.Settled("otto.ohjelma", "kuntala", identity.MethodApp)
		link := e.ask(t, w.Visitor())
		epoch := must(w.Replicas[0].Store.Person(t.Context(), e.ID))(t).User.Epoch
		v := w.Visitor()
		form := v.Open(link).Form("confirm-submit")
		must(0, form.ParseForm())(t)
		var done atomic.Int64
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				r, err := http.NewRequest(http.MethodPost, form.URL.String(), strings.NewReader(url.Values{"csrf": {form.PostForm.Get("csrf")}}.Encode()))
				if err != nil {
					t.Error(err)
					return
				}
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				r.Header.Set("Sec-Fetch-Site", "same-origin")
				page, err := v.try(r)
				if err == nil && page.Has("order-ordered") {
					done.Add(1)
				} else if err == nil && page.Status != http.StatusGone {
					t.Errorf("%s", page)
				}
			})
		}
		all.Wait()
		if after := must(w.Replicas[0].Store.Person(t.Context(), e.ID))(t); done.Load() != 1 || after.User.Epoch != epoch+1 {
			t.Errorf("%d orders, epoch %d after %d", done.Load(), after.User.Epoch, epoch)
		}
	})
}
