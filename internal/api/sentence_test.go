package api

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/pkg/portti"
)

// Whoever reads the trail reads who did what, to whom and why, in their language;
// of people out of their reach they read no names.
func TestEventsAreSentences(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	rename := func(name, given, family string) identity.UserID {
		id := h.people[name]
		_, err := h.Directory.ChangeUser(ctx, identity.System, id, func(u *identity.User) { u.GivenName, u.FamilyName = given, family })
		h.must(err)
		return id
	}
	anna, reetta, heikki := rename("west/employee", "Anna", "Virtanen"), rename("west/responsible", "Reetta", "Vastuu"), rename("east/helpdesk", "Heikki", "Tuki")
	h.must(h.db.ChangeClient(ctx, openid.Client{ID: "records", Name: map[string]string{"en": "The Records", "fi": "Rekisteri"}}, audit.Event{Type: audit.ClientCreated, Client: "records"}))
	west := func(e audit.Event) audit.Event { e.User, e.Organisation = string(anna), "west"; return e }
	for _, c := range []struct {
		event      audit.Event
		fi, sv, en string // of an auditor
	}{
		{west(audit.Event{Type: audit.UserDisabled, Actor: "user:" + string(reetta)}).Noted("left the employer"),
			"Reetta Vastuu sulki käyttäjän Anna Virtanen tilin: left the employer, tukipyyntö 123", "Reetta Vastuu stängde kontot för Anna Virtanen: left the employer, ärende 123", "Reetta Vastuu closed the account of Anna Virtanen: left the employer, ticket 123"},
		{west(audit.Event{Type: audit.SignInSucceeded, Actor: "user:" + string(anna), Client: "records", Method: "card"}),
			"Anna Virtanen kirjautui palveluun Rekisteri (varmennekortti)", "Anna Virtanen loggade in i tjänsten Rekisteri (certifikatkort)", "Anna Virtanen logged in to The Records (certificate card)"},
		{west(audit.Event{Type: audit.SignInRefused, Actor: "user:" + string(anna), Method: "password", Reason: "wrong_password"}),
			"Kirjautuminen käyttäjänä Anna Virtanen evättiin: väärä salasana", "Inloggningen som Anna Virtanen nekades: fel lösenord", "A login as Anna Virtanen was refused: wrong password"},
		{audit.Event{Type: audit.SignInRefused, Actor: "user:", Method: "password", Reason: "unknown_username"},
			"Kirjautuminen evättiin: tuntematon käyttäjätunnus", "En inloggning nekades: okänt användarnamn", "A login was refused: unknown username"},
		{audit.Event{Type: audit.PasswordAsked, Actor: "anybody", Reason: "throttled_address"},
			"Joku kirjautumaton pyysi uutta salasanaa: samasta osoitteesta pyydetty liian usein", "Någon som inte är inloggad begärde ett nytt lösenord: begärt för ofta från samma adress", "Somebody who is not logged in asked for a new password: asked too often from one address"},
		{west(audit.Event{Type: audit.PasswordOrdered, Actor: "user:" + string(anna), Reason: "card_replaced"}),
			"Anna Virtanen tilasi itselleen uuden salasanan: kortti vaihtui", "Anna Virtanen beställde ett nytt lösenord för egen del: kortet byttes", "Anna Virtanen ordered a new password for themselves: card replaced"},
		{west(audit.Event{Type: audit.PasswordOrdered, Actor: "letter", Reason: "asked"}),
			"Viestin linkin avaaja tilasi uuden salasanan käyttäjälle Anna Virtanen: henkilön oma pyyntö", "Den som öppnade meddelandets länk beställde ett nytt lösenord för Anna Virtanen: personens egen begäran", "Whoever opened the link of the message ordered a new password for Anna Virtanen: the person's own request"},
		{west(audit.Event{Type: audit.SessionsEnded, Actor: "user:" + string(heikki)}), "Heikki Tuki päätti käyttäjän Anna Virtanen istunnot", "Heikki Tuki avslutade sessionerna för Anna Virtanen", "Heikki Tuki ended the sessions of Anna Virtanen"},
		{audit.Event{Type: audit.OrganisationDisabled, Actor: "operator:seija", Organisation: "west"}.Noted("merged"),
			"Ylläpitäjä seija komentorivillä sulki organisaation west: merged", "Administratören seija på kommandoraden stängde organisationen west: merged", "Operator seija on the command line closed the organisation west: merged"},
		{audit.Event{Type: audit.ClientChanged, Actor: "client:records", Client: "records"}, "Palvelu Rekisteri muutti rekisteröintiään", "Tjänsten Rekisteri ändrade sin registrering", "The service The Records changed its registration"},
		{audit.Event{Type: audit.ClientChanged, Actor: "client:robot", Client: "records"}, "Palvelu robot muutti palvelun Rekisteri rekisteröintiä", "Tjänsten robot ändrade registreringen av tjänsten Rekisteri", "The service robot changed the registration of the service The Records"},
		{audit.Event{Type: audit.PeopleExported, Actor: "user:GONE"}, "Käyttäjä GONE latasi henkilöluettelon (kaikki organisaatiot)", "Användaren GONE hämtade en personlista (alla organisationer)", "User GONE downloaded a list of people (all organisations)"},
	} {
		if strings.Contains(c.en, "ticket 123") {
			c.event.Details["ticket"] = "123"
		}
		h.must(h.db.Record(ctx, c.event))
		for lang, want := range map[string]string{"fi": c.fi, "sv": c.sv, "en": c.en, "": c.en} {
			page, status := get[portti.Events](h, "east/auditor", "/api/v1/audit?lang="+lang)
			if status != http.StatusOK || len(page.Events) == 0 || page.Events[0].Sentence != want {
				t.Errorf("%s: %d %q, want %q", lang, status, page.Events[0].Sentence, want)
			}
		}
	}
	old, err := h.teller(identity.System, "en")
	if h.must(err); old.tell(audit.Event{Type: "thing.of_long_ago", Reason: "words of somebody"}) != "thing.of_long_ago: words of somebody" || old.tell(audit.Event{Type: audit.UserDisabled}) != "Somebody unknown closed the account of somebody unknown" {
		t.Errorf("%q, %q", old.tell(audit.Event{Type: "thing.of_long_ago", Reason: "words of somebody"}), old.tell(audit.Event{Type: audit.UserDisabled}))
	}
	page, _ := get[portti.Events](h, "west/responsible", "/api/v1/audit?type=desk.sessions_ended")
	if len(page.Events) != 1 || page.Events[0].Sentence != "User "+string(heikki)+" ended the sessions of Anna Virtanen" {
		t.Errorf("a responsible user reads %+v", page.Events)
	}
	if page, _ := get[portti.Events](h, "east/auditor", "/api/v1/people/"+string(anna)+"/events?lang=sv"); len(page.Events) == 0 || !strings.Contains(page.Events[0].Sentence, "avslutade sessionerna") {
		t.Errorf("a person's events: %+v", page.Events)
	}
}

// Why a client was changed is kept with the event of each act, if somebody says so,
// and a word that is too long or unreadable stops the act.
func TestActsOnClientsMayHaveAReason(t *testing.T) {
	h := newHouse(t)
	const as = "west/operator"
	with := func(c map[string]string, more ...string) map[string]string {
		h := maps.Clone(c)
		if h == nil {
			h = map[string]string{}
		}
		for i := 0; i < len(more); i += 2 {
			h[more[i]] = more[i+1]
		}
		return h
	}
	const registration = `{"client_name":"New","redirect_uris":["https://new.example/cb"],"scope":"openid"%s}`
	for _, c := range []struct {
		method, path, body string
		header             map[string]string
		event              audit.Type
	}{
		{"POST", "", strings.Replace(registration, "%s", `,"client_id":"new"`, 1), nil, audit.ClientCreated},
		{"PUT", "/new", strings.Replace(registration, "%s", `,"client_uri":"https://new.example/"`, 1), map[string]string{"If-Match": `"1"`}, audit.ClientChanged},
		{"POST", "/new/secret", `{"keep":60}`, nil, audit.ClientChanged},
		{"POST", "/new/disable", "", nil, audit.ClientDisabled},
		{"POST", "/new/enable", "", nil, audit.ClientEnabled},
	} {
		before := len(h.recorded())
		for _, bad := range [][2]string{{"Portti-Reason", strings.Repeat("x", 501)}, {"Portti-Ticket", strings.Repeat("x", 101)}, {"Portti-Reason", "a%0Ab"}, {"Portti-Reason", "50 %"}, {"Portti-Ticket", "%ff"}} {
			if status, code := h.ask(as, c.method, "/api/v1/clients"+c.path, c.body, with(c.header, bad[:]...), nil); status != http.StatusBadRequest {
				t.Errorf("%s %.20s: %d %s", c.path, bad, status, code)
			}
		}
		// Not where proxies log it.
		for _, bad := range []string{"?reason=x", "?ticket=x", "?why=a"} {
			if status, code := h.ask(as, c.method, "/api/v1/clients"+c.path+bad, c.body, c.header, nil); code != "query_invalid" {
				t.Errorf("%s%s: %d %s", c.path, bad, status, code)
			}
		}
		header := with(c.header, "Portti-Reason", url.PathEscape("vuoto: 1 + 1 = 2, ä%"), "Portti-Ticket", "T-5")
		if status, code := h.ask(as, c.method, "/api/v1/clients"+c.path+"?dry_run=true", c.body, header, nil); status >= 300 || len(h.recorded()) != before {
			t.Fatalf("rehearsal of %s: %d %s", c.path, status, code)
		}
		if status, code := h.ask(as, c.method, "/api/v1/clients"+c.path, c.body, header, nil); status >= 300 {
			t.Fatalf("%s %s: %d %s", c.method, c.path, status, code)
		}
		if e := h.recorded(c.event); len(e) == 0 || e[0].Details[audit.Note] != "vuoto: 1 + 1 = 2, ä%" || e[0].Details["ticket"] != "T-5" || c.event == audit.ClientChanged && e[0].Details["changed"] == "" {
			t.Errorf("%s: %+v", c.path, e)
		}
	}
	for _, path := range []string{"/api/v1/clients?reason=x", "/api/v1/clients/new?ticket=x"} {
		if status, code := h.ask(as, "GET", path, "", nil, nil); code != "query_invalid" {
			t.Errorf("%s: %d %s", path, status, code)
		}
	}
}

func TestWordsAreSaidOnce(t *testing.T) {
	for _, c := range []struct {
		values     []string
		want, code string
	}{{nil, "", ""}, {[]string{"a leak"}, "a leak", ""}, {[]string{"%C3%A4"}, "ä", ""}, {[]string{"a", "a"}, "", "header_invalid"}, {[]string{"%zz"}, "", "header_invalid"}, {[]string{"\xff"}, "", "header_invalid"}} {
		r := httptest.NewRequest("POST", "/", nil)
		r.Header[portti.ReasonHeader] = c.values
		if got, err := words(r, portti.ReasonHeader, "reason"); got != c.want || fault.Code(err) != c.code {
			t.Errorf("%q: %q, %v", c.values, got, err)
		}
	}
}
