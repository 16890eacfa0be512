package mail

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/portti-id/portti/templates"
)

var _ Texts = (*templates.Texts)(nil)

// catalogue is a small one of our own: language, then key.
type catalogue map[string]map[string]string

func (c catalogue) Lookup(lang, key string, pairs ...string) (string, error) {
	text, ok := c[lang][key]
	if !ok {
		return "", fmt.Errorf("no text %s", key)
	}
	for i := 0; i < len(pairs); i += 2 {
		text = strings.ReplaceAll(text, "{"+pairs[i]+"}", pairs[i+1])
	}
	if strings.Contains(text, "{") {
		return text, fmt.Errorf("text %s has a placeholder without a value", key)
	}
	return text, nil
}

// args is what identity gives to letters, and what some letters have besides.
var args = map[string]string{
	"name": "Aino Ääkkönen", "username": "aino.aakkonen", "organisation": "Esimerkkivirasto", "support": "020 343 433",
	"password": "k7wp-3mxd-hy9c-tqa2", "tail": "1234", "date": "31.12.2026", "link": "LINK", "service": "Palvelu", "hours": "31", "days": "17", "freeze_hours": "29",
}

func without(name string) map[string]string {
	some := map[string]string{}
	for k, v := range args {
		if k != name {
			some[k] = v
		}
	}
	return some
}

// The catalogues are held to every letter, in every language.
func TestEveryLetterInEveryLanguage(t *testing.T) { // S55, strings.md
	texts, err := templates.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, letter := range Templates {
		seen := map[string]bool{}
		for _, lang := range []string{"fi", "sv", "en"} {
			m, err := Render(texts, Letter{ID: "1", To: "aino@example.fi", Language: lang, Template: letter, Args: args})
			if err != nil {
				t.Errorf("%s %s: %v", letter, lang, err)
				continue
			}
			if m.Subject == "" || !strings.Contains(m.Body, "aino.aakkonen") || strings.ContainsAny(m.Subject+m.Body, "{}⟦⟧") || m.To != "aino@example.fi" || m.ID != "1" || m.Language != lang {
				t.Errorf("%s %s: %+v", letter, lang, m)
			}
			if strings.Contains(m.Body, "http") {
				t.Errorf("%s %s has a link that is not identity's", letter, lang)
			}
			if seen[m.Body] {
				t.Errorf("%s says the same in two languages", letter)
			}
			seen[m.Body] = true

			carries := slices.Contains(Passwords, letter)
			if strings.Contains(m.Body, args["password"]) != carries {
				t.Errorf("%s %s: password in the letter: %v", letter, lang, !carries)
			}
			handed, err := Render(texts, Letter{ID: "1", To: "a@example.fi", Language: lang, Template: letter, Args: without("password")})
			if err != nil || carries == (handed.Body == m.Body) {
				t.Errorf("%s %s without a password: %v", letter, lang, err)
			}
		}
	}
}

func TestALetterWithHolesIsNotWritten(t *testing.T) {
	texts := catalogue{"fi": {"mail.welcome.subject": "Hei {name}", "mail.welcome.body": "{name}: {username}", "mail.half.subject": "x"}}
	for _, l := range []Letter{
		{Language: "fi", Template: Welcome, Args: map[string]string{"name": "A", "password": "p"}},
		{Language: "fi", Template: Welcome, Args: map[string]string{"username": "a"}},
		{Language: "fi", Template: "half"},
		{Language: "fi", Template: "none"},
	} {
		if m, err := Render(texts, l); err == nil {
			t.Errorf("%+v became %+v", l, m)
		} else if strings.Contains(err.Error(), "\"p\"") {
			t.Errorf("the error holds an argument: %v", err)
		}
	}
}

func TestValuesStayOnTheirLine(t *testing.T) {
	texts := catalogue{"fi": {"mail.welcome.subject": "Hei {name}", "mail.welcome.body": "Hei {name}\nTerveisin"}}
	m, err := Render(texts, Letter{Language: "fi", Template: Welcome, Args: map[string]string{"name": "A\r\nBcc: eve@example.com\u2028\n\nSoita 0700", "password": "x"}})
	if err != nil || strings.ContainsAny(m.Subject, "\r\n\u2028") || strings.Count(m.Body, "\n") != 1 {
		t.Errorf("%q, %q, %v", m.Subject, m.Body, err)
	}
}

// gsm7 is the alphabet of text messages (3GPP TS 23.038 §6.2.1), without what
// takes two places.
const gsm7 = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"

// A text message holds the password, fits into one, and does not hold the username:
// the phone alone must not be enough.
func TestEveryPasswordFitsIntoATextMessage(t *testing.T) { // S55
	texts, err := templates.Load()
	if err != nil {
		t.Fatal(err)
	}
	given := map[string]string{"password": args["password"], "support": "+358 295 343 433", "hours": "31", "days": "17"}
	for _, letter := range Passwords {
		for _, lang := range templates.Languages {
			m, err := Render(texts, Letter{ID: "1", Channel: ByText, To: "+358401234567", Language: lang, Template: letter, Args: given})
			if err != nil {
				t.Errorf("%s %s: %v", letter, lang, err)
				continue
			}
			if n := len([]rune(m.Body)); n > 160 || !strings.Contains(m.Body, args["password"]) || strings.ContainsAny(m.Body, "{}\n") || m.Subject != "" || strings.Contains(m.Body, "http") {
				t.Errorf("%s %s: %d characters: %q", letter, lang, n, m.Body)
			}
			for _, r := range m.Body {
				if !strings.ContainsRune(gsm7, r) {
					t.Errorf("%s %s: %q makes the message twice as long", letter, lang, r)
				}
			}
			with := without("password")
			with["phone"] = Masked("+358401234567")
			beside, err := Render(texts, Letter{ID: "1", To: "a@example.fi", Language: lang, Template: letter, Args: with})
			if err != nil || !strings.Contains(beside.Body, "…67") || strings.Contains(beside.Body, args["password"]) {
				t.Errorf("%s %s: the letter beside it: %q, %v", letter, lang, beside.Body, err)
			}
		}
	}
}

// Who has no e-mail address reads the same as a text message: what has happened and
// whom to call, and the link where there is one. It fits into one, and does not name
// the account.
func TestEveryLetterFitsIntoATextMessage(t *testing.T) { // S52, S59
	texts, err := templates.Load()
	if err != nil {
		t.Fatal(err)
	}
	given := without("password")
	given["support"], given["link"] = "+358 295 343 433", "https://id.example.fi/order/link/ABCDEFGHIJKLMNOPQRSTUVWXYZ?lang=fi"
	for _, letter := range Templates {
		seen := map[string]bool{}
		for _, lang := range templates.Languages {
			m, err := Render(texts, Letter{ID: "1", Channel: ByText, To: "+358401234567", Language: lang, Template: letter, Args: given})
			if err != nil {
				t.Errorf("%s %s: %v", letter, lang, err)
				continue
			}
			if n := len([]rune(m.Body)); n > 160 || strings.ContainsAny(m.Body, "{}\n") || m.Subject != "" || !strings.Contains(m.Body, given["support"]) ||
				strings.Contains(m.Body, given["link"]) != (letter == PasswordAsked || letter == PasswordOrdered) || strings.Contains(m.Body, given["username"]) || strings.Contains(m.Body, given["name"]) {
				t.Errorf("%s %s: %d characters: %q", letter, lang, n, m.Body)
			}
			for _, r := range m.Body {
				if !strings.ContainsRune(gsm7, r) {
					t.Errorf("%s %s: %q makes the message twice as long", letter, lang, r)
				}
			}
			if seen[m.Body] {
				t.Errorf("%s says the same in two languages", letter)
			}
			seen[m.Body] = true
		}
	}
}

func TestAddressesAreMasked(t *testing.T) {
	for to, want := range map[string]string{"aino.aakkonen@example.fi": "a…@example.fi", "å@example.fi": "å…@example.fi", "+358401234567": "…67", "@example.fi": "…@example.fi", "": "…", "7": "…7"} {
		if got := Masked(to); got != want {
			t.Errorf("%q became %q, want %q", to, got, want)
		}
	}
}

// A letter of the program before, in which the numbers were words of the texts, goes
// out while that is replaced.
func TestALetterOfTheProgramBefore(t *testing.T) {
	texts, err := templates.Load()
	if err != nil {
		t.Fatal(err)
	}
	before := without("hours")
	delete(before, "days")
	delete(before, "freeze_hours")
	for letter, said := range map[Template]string{PasswordOrdered: "24 hours", AccountEnabled: "24 hours", ContactChanged: "72 hours"} {
		if m, err := Render(texts, Letter{Language: "en", Template: letter, Args: before}); err != nil || !strings.Contains(m.Body, said) {
			t.Errorf("%s: %q, %v", letter, m.Body, err)
		}
	}
	if m, err := Render(texts, Letter{Language: "en", Channel: ByText, Template: Welcome, Args: before}); err != nil || !strings.Contains(m.Body, "14 days") {
		t.Errorf("text message: %q, %v", m.Body, err)
	}
}
