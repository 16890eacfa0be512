package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/portti-id/portti/internal/identity"
)

// People from a file, by a responsible user, in a browser: the file is checked row by
// row before anybody is touched, applied, watched until it is done; those who were
// created sign in with the password that their letter brought, or that was handed over;
// and the same file once more changes nothing. S13, S65.
func TestPeopleFromAFileInABrowser(t *testing.T) {
	t.Parallel()
	w := NewWorld(t, Options{Pair: SQLiteMemory})
	b := w.chromium(t, "sv")
	for _, c := range []struct {
		org    identity.OrganisationID
		manner manner
	}{{"kuntala", manners[1]}, {"tietoapu", manner{lang: "sv", noScript: true}}} {
		t.Run(string(c.org), func(t *testing.T) {
			own := w.Settled("vanha.tekija."+string(c.org), c.org, identity.MethodApp)
			s := c.manner.screen(t, w, b.With(t))
			console := w.Origin("console")
			s.Open(console)
			s.signIn(w.Settled("viivi."+string(c.org), c.org, identity.MethodApp).With(identity.RoleResponsible))
			s.WaitFor("#console")
			s.Open(console + "/people/import")
			s.look("Console, a file of people", "#file")
			s.Click("#check")
			s.look("Console, no file of people", "#problems")

			word := string(c.org)
			file := filepath.Join(t.TempDir(), "henkilöt.csv")
			must(0, os.WriteFile(file, []byte(strings.ReplaceAll(`username;given name;family name;e-mail;language
uno.ORG;Uno;Åkerlund-Äyräväinen;uno.ORG@uusi.example;sv
duo.ORG;Duo;Toinen;duo.ORG@uusi.example;sv
`+own.Username+`;Vanha;Uudelleennimetty;`+own.Email+`;en
virhe.ORG;Virhe;Rivi;no address at all;sv
`, "ORG", word)), 0o600))(t)
			s.Attach("#file", file)
			s.Click("#check")
			s.look("Console, a file that was checked", "#checked")
			s.says("con.import.apply.wrong")
			s.says("con.import.code.email_invalid") // the wrong rows come first
			first := s.URL()
			s.Click("#views li:nth-child(2) a")
			s.look("Console, who would be created", "#views")
			s.shows("Åkerlund-Äyräväinen Uno")
			s.Click("#views li:nth-child(3) a")
			s.look("Console, who would be changed", "#views")
			s.shows("Uudelleennimetty")
			if _, err := w.Replicas[0].Store.PersonByName(t.Context(), "uno."+word); err == nil {
				t.Error("somebody was created by the check alone")
			}
			letters := c.org == "kuntala"
			how := "con.import.handover"
			if letters {
				how = "con.import.letters"
			}
			s.says(how)
			s.Open(first)
			s.Click("#apply")
			s.WaitFor("#done") // the page loads again by itself
			s.look("Console, a file that is done", "#done")
			s.says("con.import.progress", "done", "4", "rows", "4")
			changed := must(w.Replicas[0].Store.Person(t.Context(), own.ID))(t)
			if changed.User.FamilyName != "Uudelleennimetty" {
				t.Errorf("%s is %q", own.Username, changed.User.FamilyName)
			}

			// The first password.
			var temporary string
			if letters {
				temporary = temporaryIn.FindString((&Employee{w: w, Email: "uno." + word + "@uusi.example"}).letter(t, 0))
			} else {
				s.Open(console + "/people?q=uno")
				s.Click("=Åkerlund-Äyräväinen Uno")
				s.follow("con.people.first")
				s.Click("#do")
				temporary = s.sheet("uno." + word)
				s.Reload()
				s.look("Console, a password that was shown already", "#gone")
				if strings.Contains(s.Text("body"), temporary) {
					t.Error("the password is shown twice")
				}
			}
			uno := w.screen(t, b.With(t), "sv")
			uno.Open(w.record("1"))
			uno.login("uno."+word, temporary)
			uno.look("change password", "#new")

			// The same once more.
			s.Open(console + "/people/import")
			s.Attach("#file", file)
			s.Click("#check")
			s.look("Console, the same file once more", "#nothing")
			if s.Has("#apply") {
				t.Error("the same file once more is offered to be applied")
			}
			s.Click("#views li:nth-child(4) a")
			s.shows("Uudelleennimetty")
			if now := must(w.Replicas[0].Store.Person(t.Context(), own.ID))(t); now.User.Version != changed.User.Version {
				t.Error("the same file once more has changed somebody")
			}
		})
	}
}
