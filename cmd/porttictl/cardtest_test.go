package main

import (
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/storetest"
)

// S66: what the person reads out over the phone is enough to see what she sees.
func TestCardTestIsFoundByItsSupportCode(t *testing.T) {
	for _, driver := range storetest.Drivers {
		t.Run(driver, func(t *testing.T) {
			k := newKit(t, driver)
			tested := card.Tested{Code: "K7QM2-XEA3B", Verdict: card.Expired, Failed: card.CheckValidity, Kind: card.OrganisationCard, TLS: "1.3", At: time.Now().UTC().Truncate(time.Second)}
			if err := k.db.KeepCardTest(t.Context(), tested); err != nil {
				t.Fatal(err)
			}
			got := decode[cardTestView](t, k.ok("card", "test", "k7qm2 xea3b", "--json"))
			if got.Verdict != card.Expired || got.Failed != card.CheckValidity || len(got.Passed) != 5 || got.Mode != "strict" || !got.At.Equal(tested.At) {
				t.Errorf("%+v", got)
			}
			for code, want := range map[string]int{"nonsense": exitInvalid, "AAAAA-AAAAA": exitNotFound} {
				if _, says, exit := k.run("card", "test", code); exit != want || !strings.Contains(says, "porttictl:") {
					t.Errorf("%s: exit code %d: %s", code, exit, says)
				}
			}
		})
	}
}
