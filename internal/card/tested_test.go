package card_test

import (
	"testing"

	"github.com/portti-id/portti/internal/card"
)

func TestSupportCodesSurviveBeingReadOut(t *testing.T) {
	code := card.NewSupportCode()
	if again, ok := card.ReadSupportCode(code); !ok || again != code {
		t.Errorf("%q came back as %q", code, again)
	}
	if code == card.NewSupportCode() {
		t.Error("two tests, one code")
	}
	for typed, want := range map[string]string{
		"k7qm2-xea3b": "K7QM2-XEA3B", " K7QM2 XEA3B ": "K7QM2-XEA3B", "K7QM2XEA3B": "K7QM2-XEA3B",
		"": "", "K7QM2": "", "K7QM2-XEA3BC": "", "K7QM0-XEA3B": "", "K7QM2-XEA3Ä": "", "K7QM2/XEA3B": "", "K7QM2\nXEA3B": "",
	} {
		got, ok := card.ReadSupportCode(typed)
		if ok != (want != "") || got != want {
			t.Errorf("%q read as %q, %v", typed, got, ok)
		}
	}
}
