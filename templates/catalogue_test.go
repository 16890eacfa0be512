package templates

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The embedded catalogues against everything that uses them. That the three
// languages have the same keys and placeholders is Load's own check.

func load(t *testing.T) *Texts {
	t.Helper()
	texts, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	return texts
}

// families are keys that are put together while the program runs, and how.
var families = []string{
	"fault.",              // web: "fault." + the code of a fault, with ".title", ".do" and the field
	"error.",              // web: the family of a kind of fault
	"doctor.cause.",       // templates: print "doctor.cause." .Cause
	"doctor.why.",         // templates: print "doctor.why." .Why
	"card.kind.",          // templates: print "card.kind." .Kind
	"us.card.state.",      // templates: print "us.card.state." .State
	"con.people.",         // templates: a view, an act, a state of a person, a kind of link
	"con.second.done.",    // templates: what was just done with what waits
	"con.second.tag.",     // templates: how it stands with the second person
	"con.desk.",           // templates: an act, a way to recognise somebody, the life of a code
	"con.import.state.",   // templates: print "con.import.state." .Import.State
	"con.import.verdict.", // console: a tab; templates: a row
	"con.import.done.",    // console: a tab
	"con.import.column.",  // console: a cell
	"con.import.code.",    // console: what is wrong with a row, why an import was stopped
	"con.event.",          // console: the type of an event
	"trail.says.",         // api: the type of an event
	"trail.actor.",        // api: who has done it
	"con.reason.",         // console: why, as a code
	"con.method.",         // console: how
	"con.letters.by.",     // templates: a channel
	"con.keys.",           // templates: a state, what is done
	"con.client.method.",  // templates: print "con.client.method." with a method
	"con.preview.reason.", // console: why a service would not accept a login
	"con.done.",           // console: what was just done
	"con.gone.",           // templates: print "con.gone." .What
	"con.trust.defect.",   // console: why a trust folder is not in force
	"con.trust.warning.",  // console: what is to be known of a CA
	"con.weight.",         // templates: of a finding of the client doctor
	"con.symptom.",
	"con.org.method.",   // templates: a method
	"con.org.group.",    // templates: whom a change touches
	"con.org.delivery.", // templates: one of these
	"con.org.holder.",   // templates: one of these
	"con.org.done.",     // templates: what was just done
	"con.org.disable.",  // templates: an act
	"con.org.enable.",
	"con.role.",       // templates: print "con.role." with a role
	"cardtest.check.", // templates: what a card test tells
	"cardtest.state.",
	"cardtest.way.",
	"verdict.",                        // templates: print "verdict." .Verdict ".title"
	"order.",                          // templates: print "order." .Done ".text"
	"mail.",                           // mail: "mail." + the letter
	"scope.",                          // web: the function scope
	"claim.",                          // web: the function claim
	"trace.says.",                     // web: the function happened
	"trace.why.",                      // signin: why
	"con.trace.who.", "con.trace.do.", // templates: print "con.trace.do." and a code
}

var inTemplate = regexp.MustCompile(`\b(?:t|lines) "([^"]+)"`)

func TestEveryKeyThatIsUsedExistsAndNoKeyIsUnused(t *testing.T) {
	texts := load(t)
	used := map[string]bool{}
	err := fs.WalkDir(Pages(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(name, ".html") {
			return err
		}
		source, err := fs.ReadFile(Pages(), name)
		for _, m := range inTemplate.FindAllStringSubmatch(string(source), -1) {
			used[m[1]] = true
			if !texts.Has(m[1]) {
				t.Errorf("%s uses %s: there is no such text", name, m[1])
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(used) < 100 {
		t.Fatalf("only %d keys found in the templates: has their form changed?", len(used))
	}
	goFiles(t, func(path string, f *ast.File) {
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BasicLit:
				if s, err := strconv.Unquote(n.Value); err == nil && n.Kind == token.STRING && texts.Has(s) {
					used[s] = true
				}
			case *ast.CallExpr:
				// p.Tell(kind, key, …) and texts.Text(lang, key, …)
				name := called(n)
				if (name == "Tell" || name == "Text") && len(n.Args) > 1 {
					if s, ok := literal(n.Args[1]); ok && key.MatchString(s) && !texts.Has(s) {
						t.Errorf("%s uses %s: there is no such text", path, s)
					}
				}
			}
			return true
		})
	})
	for _, k := range texts.Keys() {
		if !used[strings.TrimSuffix(k, ".one")] && !slices.ContainsFunc(families, func(f string) bool { return strings.HasPrefix(k, f) }) {
			t.Errorf("%s is used nowhere", k)
		}
	}
}

// rooms are the packages whose faults reach a person's pages. Faults of the
// others reach operators and programs, in English; if one comes to a page after
// all, it is shown with the sentence of its kind.
var rooms = []string{"identity/authenticator.go", "identity/cardlink.go", "identity/freeze.go", "identity/import.go", "identity/importcsv.go", "identity/mailedlink.go", "identity/password.go", "identity/policy.go", "identity/directory.go", "identity/firstpassword.go", "identity/right.go", "identity/role.go", "identity/trail.go", "identity/user.go", "identity/check.go", "identity/second.go", "identity/unlock.go", "identity/desk.go", "identity/linkingcode.go", "identity/approval.go", "identity/organisation.go", "identity/plan.go", "login/", "password/", "session/", "throttle/", "totp/", "signin/", "userservices/", "web/", "ephemeral/errors.go", "store/faults.go", "openid/request.go", "openid/consent.go", "openid/device.go"}

// inside are faults that no page shows: the caller acts on them.
var inside = []string{
	"ephemeral_conflict", "ephemeral_not_found", "device_codes_spent", "poll_too_soon", "method_unknown", "card_", // card_ + verdict: package signin shows the verdict's page
	"card_revoked", "card_suspended", "card_untrusted_issuer", // the same
	"account_not_frozen", "mailed_link_not_found", // the help desk's, and identity's own
	"client_exists", "client_not_found", "grant_expired", "grant_not_found", "grant_revoked", "invalid_token", "other_client", "other_key", "refresh_reused",
	"consent_not_found", "card_approval_not_found", "registration_token_not_found", "unknown_issuer_not_found", "crl_part_not_found",
	"letter_not_found", "letter_expired", "letter_on_its_way", "letter_waits", "import_other_organisation", "query_invalid", "header_invalid",
	"account_fixed", "language_unknown", "not_allowed", "role_unknown",
}

// S71: what a person can act on is said in the person's language.
func TestEveryFaultThatReachesAPersonHasItsText(t *testing.T) {
	texts := load(t)
	found := 0
	goFiles(t, func(path string, f *ast.File) {
		if !slices.ContainsFunc(rooms, func(r string) bool { return strings.HasPrefix(path, "internal/"+r) }) {
			return
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if c, ok := n.(*ast.CallExpr); ok && called(c) == "New" && len(c.Args) >= 3 && qualifier(c) == "fault" {
				if code, ok := literal(c.Args[1]); ok && !slices.Contains(inside, code) {
					found++
					if !texts.Has("fault." + code) {
						t.Errorf("%s makes the fault %s: write fault.%s in the catalogues", path, code, code)
					}
				}
			}
			return true
		})
	})
	if found < 30 {
		t.Errorf("only %d faults found: has their form changed?", found)
	}
}

// S66: the card test page can name every check, kind of card and way of testing.
func TestTheCardTestHasItsTexts(t *testing.T) {
	texts := load(t)
	for family, values := range map[string][]string{
		"cardtest.check.": constants(t, "internal/card/card.go", "Check"),
		"card.kind.":      constants(t, "internal/card/trust.go", "Kind"),
		"cardtest.way.":   {"strict", "tls12", "any"},
		"cardtest.state.": {"passed", "failed", "notmade"},
	} {
		if len(values) < 3 {
			t.Errorf("%s: only %v", family, values)
		}
		for _, v := range values {
			if !texts.Has(family + v) {
				t.Errorf("there is no %s%s", family, v)
			}
		}
		for _, k := range texts.Keys() {
			if v, ok := strings.CutPrefix(k, family); ok && !slices.Contains(values, v) {
				t.Errorf("%s is of nothing", k)
			}
		}
	}
}

func TestEveryVerdictHasItsTexts(t *testing.T) {
	texts := load(t)
	verdicts := constants(t, "internal/card/card.go", "Verdict")
	verdicts = append(verdicts, "handshake_broken", "card_not_linked", "other_card_linked", "card_link_removed_by_order", "account_disabled", "method_not_permitted_by_employer", "card_ticket_spent", "card_awaits_approval", "card_holder_differs", "account_frozen")
	if len(verdicts) < 18 {
		t.Errorf("only %v", verdicts)
	}
	for _, v := range verdicts {
		for _, part := range []string{"title", "meaning", "do", "who"} {
			if k := "verdict." + v + "." + part; !texts.Has(k) {
				t.Errorf("there is no %s", k)
			}
		}
	}
	for _, k := range texts.Keys() {
		if v, ok := strings.CutPrefix(k, "verdict."); ok {
			if v, _, _ = strings.Cut(v, "."); !slices.Contains(verdicts, v) {
				t.Errorf("%s is of no verdict", k)
			}
		}
	}
}

// paired holds a family of texts to the constants of a type: each has its text, and
// no text is of something else. There are so many at least.
func paired(t *testing.T, prefix, file, typeName string, least int) {
	t.Helper()
	texts, words := load(t), constants(t, file, typeName)
	if len(words) < least {
		t.Errorf("only %v", words)
	}
	for _, w := range words {
		if !texts.Has(prefix + w) {
			t.Errorf("there is no %s%s", prefix, w)
		}
	}
	for _, k := range texts.Keys() {
		if w, ok := strings.CutPrefix(k, prefix); ok && !slices.Contains(words, w) {
			t.Errorf("%s is of nothing", k)
		}
	}
}

func TestEveryCauseHasItsText(t *testing.T) {
	paired(t, "doctor.cause.", "internal/openid/diagnose.go", "Cause", 20)
}

// ADR 0143: the makers of a service can read every word of how their requests went.
func TestEveryWordOfACourseHasItsText(t *testing.T) {
	paired(t, "doctor.why.", "internal/trace/protocol.go", "Word", 30)
}

func TestEverySymptomHasItsText(t *testing.T) {
	paired(t, "con.symptom.", "internal/openid/checkup.go", "Symptom", 3)
	paired(t, "con.weight.", "internal/openid/checkup.go", "Weight", 3)
}

// What a trust warns of, and why a folder is not in force, has a text, and each text is
// of something.
func TestEveryConcernHasItsText(t *testing.T) {
	texts := load(t)
	for family, words := range map[string][]string{"con.trust.warning.": constants(t, "internal/card/warning.go", "Concern"), "con.trust.defect.": constants(t, "internal/card/defect.go", "Fault")} {
		if len(words) < 5 {
			t.Errorf("%s: only %v", family, words)
		}
		for _, c := range words {
			if !texts.Has(family + c) {
				t.Errorf("there is no %s%s", family, c)
			}
		}
		for _, k := range texts.Keys() {
			if c, ok := strings.CutPrefix(k, family); ok && !slices.Contains(words, strings.TrimSuffix(c, ".one")) {
				t.Errorf("%s is of nothing", k)
			}
		}
	}
}

func TestEveryLetterHasItsTexts(t *testing.T) {
	texts := load(t)
	letters := constants(t, "internal/mail/mail.go", "Template")
	if len(letters) < 7 {
		t.Errorf("only %v", letters)
	}
	given := []string{"name", "username", "organisation", "support", "password", "phone", "tail", "date", "link", "service", "hours", "days", "freeze_hours"}
	for _, l := range letters {
		for _, part := range []string{"subject", "body"} {
			if k := "mail." + l + "." + part; !texts.Has(k) {
				t.Errorf("there is no %s", k)
			}
		}
	}
	for _, k := range texts.Keys() {
		if !strings.HasPrefix(k, "mail.") {
			continue
		}
		for _, p := range texts.Placeholders(k) {
			if !slices.Contains(given, p) && (k != "mail.notice.text" || p != "subject") {
				t.Errorf("%s wants {%s}, which no letter is given", k, p)
			}
		}
		if (strings.HasSuffix(k, ".handover") || strings.HasSuffix(k, ".phone")) && slices.Contains(texts.Placeholders(k), "password") {
			t.Errorf("%s wants the password that it does not carry (S55)", k)
		}
	}
}

// Every event has a name, and is told as a sentence: of what is not there, with no
// more than what every event has.
func TestEveryEventIsTold(t *testing.T) {
	texts := load(t)
	types := constants(t, "internal/audit/audit.go", "Type")
	if len(types) < 70 {
		t.Errorf("only %v", types)
	}
	for _, typ := range types {
		for _, family := range []string{"con.event.", "trail.says."} {
			if !texts.Has(family + typ) {
				t.Errorf("there is no %s%s", family, typ)
			}
		}
	}
	given := []string{"actor", "user", "organisation", "client", "method"}
	for _, k := range texts.Keys() {
		rest, ok := strings.CutPrefix(k, "trail.says.")
		if !ok {
			continue
		}
		typ := strings.TrimSuffix(strings.TrimSuffix(rest, ".self"), ".nobody")
		if !slices.Contains(types, typ) {
			t.Errorf("%s is of no event", k)
		}
		for _, p := range texts.Placeholders(k) {
			if !slices.Contains(given, p) || p == "user" && strings.HasSuffix(k, ".nobody") {
				t.Errorf("%s wants {%s}", k, p)
			}
		}
		for _, lang := range Languages {
			if s := texts.Text(lang, k); strings.HasSuffix(s, ".") || strings.Contains(s, ": ") {
				t.Errorf("%s in %s: the reason comes behind it", k, lang)
			}
		}
	}
}

// sameInTwo are texts that two languages spell alike.
var sameInTwo = []string{"con.trace.person", "us.organisation"}

// The tone: plain, calm, and a language of one's own.
func TestTone(t *testing.T) {
	texts := load(t)
	for _, k := range texts.Keys() {
		said := map[string]string{}
		for _, lang := range Languages {
			s := texts.Text(lang, k)
			switch {
			case strings.Contains(s, "!"):
				t.Errorf("%s in %s shouts", k, lang)
			case strings.Contains(s, "  ") || strings.ContainsAny(s, "\t\u00a0"):
				t.Errorf("%s in %s has odd space", k, lang)
			case strings.Contains(s, "<") || strings.Contains(s, "&"):
				t.Errorf("%s in %s has markup", k, lang)
			case strings.HasPrefix(k, "fault.") && !strings.HasSuffix(k, ".title") && !strings.HasSuffix(s, "."):
				t.Errorf("%s in %s is not a sentence", k, lang)
			case strings.HasSuffix(k, ".title") && strings.HasSuffix(s, "."):
				t.Errorf("%s in %s is a title and ends in a stop", k, lang)
			}
			if other, ok := said[s]; ok && !slices.Contains(sameInTwo, k) {
				t.Errorf("%s is the same in %s and %s", k, other, lang)
			}
			said[s] = lang
		}
	}
}

// How long a temporary password and the links of letters are good the program says: a
// text has no number of its own, which would be wrong some day.
func TestHowLongAPasswordIsGoodIsAnArgument(t *testing.T) {
	number := regexp.MustCompile(`(?i)\b\d+ ?(hours|days|tun[tn]|päiv|timm|dag|dygn)`)
	texts := load(t)
	for _, k := range texts.Keys() {
		if !strings.HasPrefix(k, "mail.") && !strings.HasPrefix(k, "order.") && !strings.HasPrefix(k, "us.order.") && !strings.HasPrefix(k, "con.people.") {
			continue
		}
		for _, lang := range Languages {
			if found := number.FindString(texts.Text(lang, k)); found != "" {
				t.Errorf("%s in %s says %q", k, lang, found)
			}
		}
	}
}

// notOurs are words that stand for a term which each language has once, with that term.
var notOurs = map[string]map[string]string{
	"sv": {
		"autentiserare": "autentiseringsapp, kodkalkylator", "dosa": "kodkalkylator", "kodgenerator": "kodkalkylator",
		"ansvariga användare": "ansvarsanvändare", "ansvarig användare": "ansvarsanvändare",
	},
	"fi": {"todennussovellus": "todentajasovellus", "tunnuslaite": "tunnuslukulaite", "tilapäinen salasana": "väliaikainen salasana", "tilapäisen salasanan": "väliaikaisen salasanan"},
	"en": {"programmable token": "software token"},
}

func TestEachThingHasOneTerm(t *testing.T) {
	texts := load(t)
	for lang, words := range notOurs {
		for word, ours := range words {
			whole := regexp.MustCompile(`(?i)(^|[^\p{L}])` + word)
			for _, k := range texts.Keys() {
				if s := texts.Text(lang, k); whole.MatchString(s) {
					t.Errorf("%s in %s says %q: %s is the term", k, lang, word, ours)
				}
			}
		}
	}
}

// S3: nothing asks for a PIN; S12: nothing offers codes by message.
func TestWhatIsPromisedInThreeLanguages(t *testing.T) {
	texts := load(t)
	for _, k := range []string{
		"card.pin",               // S3
		"otp.device", "totp.own", // S48, S42
		"otp.validity",                                // S45
		"fault.otp_used",                              // S44
		"totp.removal",                                // S60
		"help.faq.sms.answer",                         // S12
		"order.warn",                                  // S54
		"fault.wrong_credentials",                     // S16
		"logout.card",                                 // S72
		"totp.phone.workonly", "totp.kind.token.hint", // S10, S49
		"verdict.revocation_unavailable.meaning",           // S24: not your fault
		"verdict.card_link_removed_by_order.meaning",       // S54
		"fault.card_linked_elsewhere", "fault.link_closed", // S27, S28
	} {
		if !texts.Has(k) {
			t.Errorf("there is no %s", k)
		}
	}
	if p := texts.Placeholders("fault.card_linked_elsewhere"); len(p) != 0 { // S27: without any name
		t.Errorf("fault.card_linked_elsewhere shows %v", p)
	}
}

// goFiles calls f with every Go file of ours that is not a test.
func goFiles(t *testing.T, f func(path string, file *ast.File)) {
	t.Helper()
	set := token.NewFileSet()
	for _, top := range []string{"internal", "cmd", "templates"} {
		err := filepath.WalkDir(filepath.Join("..", top), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
				return err
			}
			source, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			file, err := parser.ParseFile(set, path, source, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			f(filepath.ToSlash(strings.TrimPrefix(path, ".."+string(filepath.Separator))), file)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// constants returns the string constants of a type in a file: the rows keep this
// package from importing theirs.
func constants(t *testing.T, path, typ string) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", path), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	ast.Inspect(file, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok {
			if name, ok := v.Type.(*ast.Ident); ok && name.Name == typ {
				for _, value := range v.Values {
					if s, ok := literal(value); ok {
						values = append(values, s)
					}
				}
			}
		}
		return true
	})
	return values
}

func called(c *ast.CallExpr) string {
	if s, ok := c.Fun.(*ast.SelectorExpr); ok {
		return s.Sel.Name
	}
	return ""
}

func qualifier(c *ast.CallExpr) string {
	if s, ok := c.Fun.(*ast.SelectorExpr); ok {
		if x, ok := s.X.(*ast.Ident); ok {
			return x.Name
		}
	}
	return ""
}

func literal(e ast.Expr) (string, bool) {
	b, ok := e.(*ast.BasicLit)
	if !ok || b.Kind != token.STRING {
		return "", false
	}
	s, err := strconv.Unquote(b.Value)
	return s, err == nil
}
