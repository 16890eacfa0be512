package e2e

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/server"
)

// canary collects secrets, by what they are.
type canary map[string]string

func (c canary) note(what string, secrets ...string) {
	for i, s := range secrets {
		if s != "" {
			c[fmt.Sprintf("%s %d", what, i+1)] = s
		}
	}
}

// visited notes what is secret in the addresses that a browser went to, and its cookies.
func (c canary) visited(name string, v *Visitor) {
	for i, line := range v.Trace {
		_, address, _ := strings.Cut(line, " ")
		u, err := url.Parse(address)
		if err != nil {
			continue
		}
		for _, parameter := range []string{"code", "state", "id_token_hint"} {
			c.note(fmt.Sprintf("%s's %s at hop %d", name, parameter, i), u.Query().Get(parameter))
		}
		if ticket, ok := strings.CutPrefix(u.Path, "/attempt/"); ok {
			c.note(fmt.Sprintf("%s's card ticket at hop %d", name, i), ticket)
		}
	}
	for i, value := range v.jar.seen {
		if len(value) >= 16 { // not a language
			c.note(fmt.Sprintf("%s's cookie %d", name, i), value)
		}
	}
}

// leaks says which of the secrets stand in a text. Codes of six digits count when no
// digit, point or letter is beside them: times and identifiers are full of digits.
func (c canary) leaks(text string) []string {
	var found []string
	for what, secret := range c {
		in := strings.Contains(text, secret)
		if len(secret) == 6 {
			in = regexp.MustCompile(`(^|[^0-9A-Za-z.:_-])` + secret + `($|[^0-9A-Za-z.:_-])`).MatchString(text)
		}
		if in {
			found = append(found, what)
		}
	}
	return found
}

// Nothing that opens anything is ever logged or told by the audit trail, also not when things go wrong, and
// nothing of it lies in the database readable (ASVS 16.2.5; architecture.md).
func TestNoSecretIsLogged(t *testing.T) {
	byToken := func(c *server.Config) { c.SelfRegistration = openid.SelfRegistrationByToken }
	EachWith(t, Options{Configure: byToken}, func(t *testing.T, w *World) {
		secrets := canary{}
		secrets.note("client secret", w.Secrets["service"], w.Secrets["user-services"], w.Secrets["records"])
		secrets.note("master key", w.Master[strings.LastIndexAny(strings.TrimSpace(w.Master), " :")+1:])
		p := w.Party("other")
		secrets.note("client secret of other", p.Secret, p.Verifier)

		// A first day with an authenticator.
		aino, v := w.Newcomer("aino.alku", "kuntala"), w.Visitor()
		page := aino.FirstDay(v.Open(w.Origin("service") + "/records/7"))
		page = aino.LinkApp(page)
		secrets.note("TOTP key", aino.Key())
		secrets.note("enrolment code", aino.CodeAt(0))
		code := aino.Code()
		page.Press("code-submit", "code", code).Must("acr")
		secrets.note("code", code)
		secrets.note("password", aino.Temporary, aino.Password)
		v.Open(w.Origin("service") + "/records/7").Press("logout")
		secrets.visited("aino", v)

		// A card, linked and used.
		kai, v := w.Newcomer("kai.kustaa", "saaristo"), w.Visitor()
		kai.LinkCard(kai.FirstDay(v.Open(w.Origin("records") + "/records/7"))).Press("card-start").Must("acr")
		secrets.note("kai's password", kai.Temporary)
		secrets.visited("kai", v)

		// What goes wrong: passwords, codes, tickets, tokens, forms, requests.
		otto, v := w.Settled("otto.ohjelma", "tietoapu", identity.MethodApp), w.Visitor()
		secrets.note("otto's TOTP key", otto.Key())
		typo := "punainen tupa ja perunamaaa"
		v.Open(p.URL(nil)).Press("login-submit", "username", otto.Username, "password", typo).Must("problems")
		secrets.note("mistyped password", typo)
		// People type the password into the wrong field.
		slip := "kirjoitin-salasanan-tahan-42"
		v.Open(p.URL(nil)).Press("login-submit", "username", slip, "password", typo).Must("problems")
		secrets.note("password typed as username", slip)
		page = otto.TypePassword(v.Open(p.URL(nil))).Press("code-submit", "code", "918273")
		secrets.note("wrong code", "918273")
		code = otto.Code()
		page = page.Press("code-submit", "code", code)
		secrets.note("otto's code", code)
		tokens := p.MustRedeem(p.Code(v.Open(p.URL(url.Values{"scope": {"openid profile offline_access"}}))))
		renewed := must(p.Renew(tokens.Refresh))(t)
		must(p.Renew(tokens.Refresh))(t)
		must(p.Redeem(p.Code(page), url.Values{"code_verifier": {"a-verifier-that-is-wrong-but-secret-all-the-same-xyz"}}))(t)
		secrets.note("wrong verifier", "a-verifier-that-is-wrong-but-secret-all-the-same-xyz")
		secrets.note("token", tokens.Access, tokens.Refresh, tokens.ID, renewed.Access, renewed.Refresh, renewed.ID)
		wrong := *p
		wrong.Secret = "a-client-secret-that-is-wrong-0123456789abcdef"
		must(wrong.Redeem("x", nil))(t)
		secrets.note("wrong client secret", wrong.Secret)
		for _, path := range []string{"/userinfo", "/api/v1/me"} {
			if _, _, err := p.Get(path, tokens.Access+"x"); err != nil {
				t.Fatal(err)
			}
		}
		v.Open(w.Issuer() + "/end_session?id_token_hint=" + tokens.ID + "x")
		v.Open(w.Issuer() + "/signin/AAAA/card?code=SECRETRESULTCODEOFACARD")
		secrets.note("made-up card code", "SECRETRESULTCODEOFACARD")
		v.Post(w.Issuer()+"/signin/AAAA/password", "cross-site", url.Values{"username": {"x"}, "password": {"salasana-vieraalta-sivulta"}})
		secrets.note("password in a refused form", "salasana-vieraalta-sivulta")
		v.Open(w.Issuer() + "/authorize?client_id=other&redirect_uri=https://evil.example/?token=tallessa-oleva-salaisuus")
		secrets.visited("otto", v)
		secrets.staffed(t, w, otto, kai)
		secrets.registered(t, w)
		trail := wholeTrail(t, w, audit.SignInSucceeded, audit.SignInRefused, audit.AuthenticatorLinked, audit.CardLinked, audit.PasswordChanged, audit.PasswordAsked, audit.PasswordOrdered,
			audit.IdentityChecked, audit.AuthenticatorRemoved, audit.LinkingCodeIssued, audit.SessionsEnded, audit.SignedOut, audit.ClientCreated, audit.ClientChanged,
			audit.RegisterTokenMade, audit.ClientDisabled, audit.RegisterTokenRevoked)

		if lines := strings.Count(w.Log.String(), "\n"); lines < 50 {
			t.Fatalf("only %d lines were logged: the canary hears nothing", lines)
		}
		if len(secrets) < 60 {
			t.Fatalf("only %d secrets were collected", len(secrets))
		}
		for name, text := range map[string]string{"the log": w.Log.String(), "the audit trail": trail, "the default logger": stray.String()} {
			for _, what := range secrets.leaks(text) {
				t.Errorf("%s holds the %s", name, what)
			}
		}
		if w.File != "" {
			secretsInFiles(t, w, secrets)
		}
	})
}

// secretsInFiles looks through SQLite's files, its write-ahead log included.
func secretsInFiles(t *testing.T, w *World, secrets canary) {
	t.Helper()
	files := must(filepath.Glob(w.File + "*"))(t)
	var all bytes.Buffer
	for _, f := range files {
		all.Write(must(os.ReadFile(f))(t))
	}
	if !strings.Contains(all.String(), "otto.ohjelma") {
		t.Fatal("the database is not in its files: the canary sees nothing")
	}
	for what, secret := range secrets {
		if len(secret) > 6 && strings.Contains(all.String(), secret) {
			t.Errorf("the database holds the %s in clear", what)
		}
	}
}

// A canary that sings for nothing proves nothing: what it looks for, it finds.
func TestCanaryHears(t *testing.T) {
	log := &Log{}
	slog.New(slog.NewJSONHandler(log, nil)).Info("x", "password", "punainen tupa", "code", "123456", "at", "1123456")
	c := canary{"password": "punainen tupa", "code": "123456", "other": "112345", "absent": "sininen tupa"}
	found := strings.Join(c.leaks(log.String()), ",")
	if !strings.Contains(found, "password") || !strings.Contains(found, "code") || strings.Contains(found, "absent") || strings.Contains(found, "other") {
		t.Errorf("found %q", found)
	}
}
