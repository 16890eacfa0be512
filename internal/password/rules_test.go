package password

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/portti-id/portti/internal/fault"
)

func TestNewPasswords(t *testing.T) { // S17
	list := filepath.Join(t.TempDir(), "breached.txt")
	if err := os.WriteFile(list, []byte("trustno1trustno1!\r\nVarasta Minut Heti Paikalla\nkantarelli\n\nliukumäki\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	rules, err := NewRules(0, list)
	if err != nil {
		t.Fatal(err)
	}
	who := Context{
		Username:     "matti.meikäläinen",
		Organisation: "Helsingin kaupunki",
		Services:     []string{"Portti", "VTJ", "Väestötietojärjestelmä"},
		Current:      "entinen salasana oli tämä",
	}
	for _, c := range []struct{ pw, want string }{
		// accepted: long enough and not to be guessed, whatever the kinds of signs
		{"vettä sataa kaatamalla tänään", ""},
		{"correct horse battery staple", ""},
		{"metsässä kasvaa kantarelleja", ""},
		{"jag gillar att plocka svamp", ""},
		{"xk3vq9zr7mw2bt5", ""},
		{"                 mgtrqpzx", ""},
		{"日本語のパスワードは長い方がいい", ""},
		{"🐎🔋📎✅🌧🌂🍄🧭🪵🛶🧣🏔🥾🎣🔦", ""},
		{"käsi-ylös-tyhmä-taivas", ""},
		{strings.Repeat("zq7 mwx ", 15) + "vbnhtyui", ""}, // 128
		{"matti löysi vanhan kompassin", ""},
		{"Portti aukeaa vasta kevätpuolella", ""},
		{"e\u0301te\u0301 pluvieux a\u0300 Nantes", ""}, // NFD
		{"pw: '; DROP TABLE users; --", ""},

		// length, in code points after NFC
		{"", "password_too_short"},
		{"xk3vq9zr7mw2bt", "password_too_short"},
		{"äöåäöåäöåäöåäö", "password_too_short"},                            // 14 points, 28 bytes
		{strings.Repeat("a\u0308", 14), "password_too_short"},               // 28 points, 14 after NFC
		{"🐎🔋📎✅🌧🌂🍄🧭🪵🛶🧣🏔🥾🎣", "password_too_short"},                            //
		{strings.Repeat("zq7 mwx ", 15) + "vbnhtyuik", "password_too_long"}, // 129
		{strings.Repeat("x", 5000), "password_too_long"},

		// what cannot be typed
		{"vettä sataa\x00kaatamalla", "password_invalid"},
		{"vettä sataa\nkaatamalla", "password_invalid"},
		{"vettä sataa\x7fkaatamalla", "password_invalid"},
		{"vett\xe4 sataa kaatamalla", "password_invalid"},

		// the operator's list, whatever the case
		{"trustno1trustno1!", "password_common"},
		{"VARASTA minut heti paikalla", "password_common"},

		// patterns
		{"aaaaaaaaaaaaaaaaaaaaaa", "password_common"},
		{"abcabcabcabcabcabc", "password_common"},
		{"qwertyuiopasdfghjkl", "password_common"},
		{"1234567890123456", "password_common"},
		{"1qaz2wsx3edc4rfv", "password_common"},
		{"zyxwvutsrqponmlkji", "password_common"},
		{"passwordpassword", "password_common"},
		{"P4$$w0rd!P4$$w0rd!", "password_common"},
		{"kissakissakissakissa", "password_common"},
		{"Salasana2026Salasana", "password_common"},
		{"tammikuu2026tammikuu", "password_common"},
		{"Sommar2026Sommar2026", "password_common"},
		{"kantarelliliukumäki", "password_common"}, // two words of the operator's list
		{"kesakuuheinakuu26", "password_common"},
		{"aaaabbbbccccddddeeee", "password_common"},
		{"25.12.1999 25.12.1999", "password_common"},
		{"25121999-25121999", "password_common"},

		// names
		{"matti.meikäläinen", "password_context"},
		{"MattiMeikalainen1", "password_context"},
		{"m4tt1.m31k4l41n3n", "password_context"},
		{"HelsinginKaupunki26", "password_context"},
		{"porttiporttiportti", "password_context"},
		{"vtjvtjvtjvtjvtjvtj", "password_context"},
		{"väestötietojärjestelmä!9", "password_context"},
		{"meikäläinen x7#q9z", "password_context"},

		// the one in use
		{"entinen salasana oli tämä", "password_same"},
		{"Entinen salasana oli TÄMÄ", "password_same"},
	} {
		wrong := rules.Check(c.pw, who)
		got := ""
		if len(wrong) > 0 {
			got = wrong[0].Code
		}
		if got != c.want || len(wrong) > 1 {
			t.Errorf("%.60q: %v, want %q (guessed signs %.1f)", c.pw, wrong, c.want, guesses(c.pw, who.words(), common, rules.listed))
		}
		for _, f := range wrong {
			if f.Kind != fault.Invalid || (c.pw != "" && strings.Contains(f.Message, c.pw)) {
				t.Errorf("%.60q: fault %+v", c.pw, f)
			}
		}
	}
}

func TestFaultsSayHowLong(t *testing.T) {
	rules, err := NewRules(20)
	if err != nil {
		t.Fatal(err)
	}
	if got := rules.Check("too short by far", Context{}); len(got) != 1 || got[0].Args["n"] != "20" || rules.Min() != 20 {
		t.Errorf("%+v", got)
	}
	if got := rules.Check(strings.Repeat("q1w", 50), Context{}); len(got) != 1 || got[0].Args["n"] != "128" {
		t.Errorf("%+v", got)
	}
}

func TestAllReasonsAreGiven(t *testing.T) {
	rules, _ := NewRules(0)
	got := rules.Check("passwordpassword", Context{Current: "passwordpassword"})
	if len(got) != 2 || got[0].Code != "password_same" || got[1].Code != "password_common" {
		t.Errorf("%v", got)
	}
}

func TestTheFloorHolds(t *testing.T) { // S17: never below 8
	for _, min := range []int{-1, 1, 7, 65, 1000} {
		if _, err := NewRules(min); err == nil {
			t.Errorf("minimum %d accepted", min)
		}
	}
	rules, err := NewRules(8)
	if err != nil {
		t.Fatal(err)
	}
	for pw, want := range map[string]int{"xk3vq9zr": 0, "xk3vq9z": 1, "password": 1, "Kesa2026": 1, "salasana": 1, "12345678": 1} {
		if got := rules.Check(pw, Context{}); len(got) != want {
			t.Errorf("%q: %v", pw, got)
		}
	}
}

func TestBadListsAreRefused(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, path := range []string{filepath.Join(dir, "missing"), write("empty", "\n\n"), write("latin1", "ok\nsalas\xe4na\n"), write("long", strings.Repeat("x", 1<<17)), dir} {
		if _, err := NewRules(0, path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// A hostile password must not cost more than a long one. Allocations stand for
// steps: every look-up of a piece allocates at most one.
func TestHostilePasswordsAreBounded(t *testing.T) {
	rules, _ := NewRules(0)
	for _, unit := range []string{"4@8({[<63&9#!1|0$5+7%2", "a", "ab", "1/", "01012020", "qwertyuiop", "1qaz", "ä", "🐎", "salasana", "\u0345\u0301"} {
		pw := string([]rune(strings.Repeat(unit, Max))[:Max])
		who := Context{Username: unit, Organisation: pw, Services: []string{unit + unit}}
		const most = 3 * 4 * Max * maxWord // lists, views, places, lengths
		if steps := testing.AllocsPerRun(1, func() { rules.Check(pw, who) }); steps > most {
			t.Errorf("%q…: %.0f steps, more than %d", unit, steps, most)
		}
	}
}

func FuzzCheck(f *testing.F) {
	rules, err := NewRules(0)
	if err != nil {
		f.Fatal(err)
	}
	f.Add("vettä sataa kaatamalla", "matti.meikäläinen")
	f.Add("İİİİİİİİİİİİİİİİİİ", "ǅ")
	f.Add("a\xff", "")
	f.Fuzz(func(t *testing.T, pw, name string) {
		who := Context{Username: name, Current: pw}
		wrong := rules.Check(pw, who)
		if len(wrong) == 0 && pw != "" {
			t.Errorf("%q accepted though it is the current one", pw)
		}
		for _, f := range wrong {
			if f == nil || f.Code == "" {
				t.Error("an empty fault")
			}
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	rules, _ := NewRules(0)
	for name, pw := range map[string]string{"usual": "vettä sataa kaatamalla", "longest": strings.Repeat("4@8({[<63&9#!1|0$5+7%2", 6)[:128]} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				rules.Check(pw, Context{Username: "matti.meikäläinen"})
			}
		})
	}
}
