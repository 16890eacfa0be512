package openid

import (
	"strings"
	"testing"
)

func TestUserCodes(t *testing.T) {
	seen := map[rune]bool{}
	for range 500 {
		code := drawUserCode()
		for _, typed := range []string{code, strings.ToLower(code), strings.ReplaceAll(code, "-", ""), " " + code[:2] + " " + code[2:], strings.ReplaceAll(code, "-", "–")} {
			if got := readUserCode(typed); got != code {
				t.Fatalf("%q is read as %q, want %q", typed, got, code)
			}
		}
		for _, letter := range strings.ReplaceAll(code, "-", "") {
			seen[letter] = true
		}
	}
	if len(seen) != len(userLetters) {
		t.Errorf("%d letters are drawn", len(seen))
	}
	for _, wrong := range []string{"", "BCDF", "BCDF-GHJ", "BCDF-GHJKL", "ABCD-FGHJ", "BCDF-GHJ1", "BCDF_GHJK", "ẞCDF-GHJK", strings.Repeat("-", 200)} {
		if got := readUserCode(wrong); got != "" {
			t.Errorf("%q is read as %q", wrong, got)
		}
	}
}

// Whatever is typed is a code as we draw them, or none.
func FuzzUserCode(f *testing.F) {
	for _, seed := range []string{"BCDF-GHJK", "bcdf ghjk", "", "----", "BCDFGHJKK", "ſCDF-GHJK"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		code := readUserCode(typed)
		if code == "" {
			return
		}
		if len(code) != 9 || code[4] != '-' || strings.Trim(code[:4]+code[5:], userLetters) != "" || readUserCode(code) != code {
			t.Fatalf("%q is read as %q", typed, code)
		}
	})
}
