package e2e

import (
	"net/url"
	"strings"
	"testing"

	"github.com/portti-id/portti/internal/identity"
)

// An integrator's request is refused: the person sees a reference and nothing of
// the registration, an operator who looks it up sees what is wrong, and nobody else
// learns that there is such a page.
func TestDoctorInABrowser(t *testing.T) {
	t.Parallel()
	w := NewWorld(t, Options{Pair: PostgresRedis})
	olli := w.Settled("olli.operaattori", "tietoapu", identity.MethodApp)
	tavis := w.Settled("tavis.tavallinen", "tietoapu", identity.MethodApp)
	must(w.Replicas[0].Directory.ChangeRoles(t.Context(), operator, olli.ID, identity.RolesOf(identity.RoleOperator), 0))(t)
	b := w.chromium(t, "en")
	registered := w.Origin("service") + "/callback"
	wrong := w.Issuer() + "/authorize?" + url.Values{"client_id": {"service"}, "response_type": {"code"}, "scope": {"openid"}, "state": {"secret-state"},
		"redirect_uri": {registered + "/"}, "login_hint": {"olli.operaattori"}}.Encode()

	person := w.screen(t, b, "en")
	person.Open(wrong)
	person.look("error page with a reference", "#oauth-error")
	if page := person.Text("body"); strings.Contains(page, registered) {
		t.Errorf("the person sees the registration: %s", page)
	}
	var reference string
	person.Eval(`[...document.querySelectorAll("#oauth-error code")].at(-1).textContent`, &reference)
	if len(reference) != 8 {
		t.Fatalf("the reference is %q", reference)
	}

	for _, lang := range []string{"en", "fi", "sv"} {
		s := w.screen(t, b, lang)
		s.Open(w.Issuer() + "/doctor?lang=" + lang)
		s.look("doctor, at the door, "+lang, "#doctor-signin")
		s.Click("#doctor-signin")
		s.WaitFor("#login-cancel")
		s.Click("#login-cancel") // and is not sent round again
		s.WaitFor("#doctor-signin")
		s.Click("#doctor-signin")
		s.signIn(olli)
		s.look("doctor, empty, "+lang, "#doctor-find")
		s.Fill("#reference", "aaaaaaaa")
		s.Click("#doctor-find")
		s.look("doctor, unknown, "+lang, "#problems")
		s.says("fault.refusal_unknown")
		s.Fill("#reference", strings.ToLower(reference))
		s.Click("#doctor-find")
		s.look("doctor, found, "+lang, "#doctor-refusal")
		s.says("doctor.cause.address_slash")
		s.shows(registered)
		if got := s.Text("#doctor-parameter"); got != "redirect_uri" {
			t.Errorf("the parameter is %q", got)
		}
		if page := s.Text("body"); strings.Contains(page, "secret-state") || strings.Contains(page, olli.Username) {
			t.Errorf("the page shows what it should not keep: %s", page)
		}
	}

	other := w.screen(t, b, "en")
	other.Open(w.Issuer() + "/doctor/" + reference + "?signin=yes")
	other.login(tavis.Username, tavis.Password)
	other.Allow("404")
	other.typeCode(tavis.Code())
	other.WaitFor("h1")
	other.says("error.not_found.title")
	if other.Has("#doctor-refusal") || other.Has("input#reference") {
		t.Error("somebody without the role sees the page")
	}
}
