package e2e

import (
	"slices"
	"strings"
	"testing"
)

// The public card test with a card that asks for its PIN, without an account: as in
// a sign-in, with TLS 1.2 alone, and with every certificate offered; then no card, and
// one that is pulled out while it signs. The result is found again by its support
// code, and nothing of the holder is on the page or in the log. S3, S35, S66.
func TestCardTestInABrowser(t *testing.T) {
	t.Parallel()
	w := NewWorld(t, Options{Pair: PostgresRedis})
	uuno := w.Newcomer("uuno.uusi", "saaristo") // his card is linked to nobody
	r := w.reader(t, uuno)
	b := w.chromiumWith(t, r, "fi")
	for i, way := range []struct{ lang, button, version string }{{"fi", "#cardtest-start", "TLS 1.3"}, {"sv", "#cardtest-tls12", "TLS 1.2"}, {"en", "#cardtest-any", "TLS 1.3"}} {
		s := w.screen(t, b, way.lang)
		s.Open(w.Issuer() + "/card-test?lang=" + way.lang)
		s.look("card test, "+way.lang, "#cardtest-start")
		s.says("card.pin")
		r.Insert(uuno.Card.Name, pin)
		s.Click(way.button)
		s.WaitFor(`#card-tested[data-verdict="all_good"]`)
		s.look("card tested, good, "+way.lang, "#cardtest-code")
		s.says("verdict.all_good.do")
		s.shows(way.version)
		if said := r.Heard(); !slices.Contains(said, "signed") { // the PIN is asked once, while the card stays in
			t.Errorf("the reader heard %q", said)
		}
		code := s.Text("#cardtest-code")
		if page := s.Text("body"); strings.Contains(strings.ToUpper(page), strings.ToUpper(uuno.Card.Person.Family)) {
			t.Errorf("the page names the holder: %s", page)
		}
		if i == 0 {
			s.Click("#cardtest-again")
			s.Fill("#code", strings.ToLower(strings.ReplaceAll(code, "-", " ")))
			s.Click("#cardtest-find")
			s.WaitFor("#card-tested")
			if again := s.Text("#cardtest-code"); again != code {
				t.Errorf("%s was found as %s", code, again)
			}
			s.Open(w.Issuer() + "/card-test/find?code=AAAAA-AAAAA")
			s.Allow("404")
			s.look("card test, unknown code", "#problems")
		}
	}

	s := w.screen(t, b, "fi")
	s.Open(w.Issuer() + "/card-test")
	r.Eject()
	s.Click("#cardtest-start")
	s.WaitFor(`#card-tested[data-verdict="no_certificate"]`)
	s.look("card tested, no certificate", "#cardtest-code")
	s.Click("#cardtest-again")
	s.WaitFor("#cardtest-start")

	// The browser shows its own error: one click back tells what became of it.
	r.Insert(uuno.Card.Name, pin)
	r.PullOut()
	if err := s.TryClick("#cardtest-start"); err == nil {
		t.Fatal("a card that was pulled out has signed")
	}
	s.Back()
	s.WaitFor(`#card-trouble[data-verdict="handshake_broken"]`)
	s.look("card test, interrupted", "#cardtest-failed")
	s.Click("#cardtest-failed")
	s.WaitFor(`#card-tested[data-verdict="handshake_broken"]`)
	s.look("card tested, interrupted", "#cardtest-code")

	log := w.Log.String()
	for _, private := range []string{uuno.Card.Person.Family, uuno.Card.Person.Serial, `"` + pin + `"`} {
		if private != "" && strings.Contains(log, private) {
			t.Errorf("the log has %q", private)
		}
	}
}
