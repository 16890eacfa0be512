package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/storetest"
)

// BenchmarkPeople is a page of a list among 100,000 people: the target is 200 ms
// of the server's time for everything that a page shows.
func BenchmarkPeople(b *testing.B) {
	for _, driver := range storetest.Drivers {
		b.Run(driver, func(b *testing.B) {
			c := storetest.Config(b, driver)
			c.Timeout = time.Minute // of a thousand people at once
			s := connect(b, c)
			storetest.Crowd(b, s, noon, 100_000)
			for _, org := range []identity.OrganisationID{"", storetest.CrowdHalf, "org5"} {
				for name, q := range map[string]identity.Search{
					"first page":  {},
					"middle page": {After: "lai"},
					"one":         {Text: "person.04711"},
					"rare name":   {Text: "lindström åsa"},
					"letter":      {Text: "m"},
					"two letters": {Text: "k v"},
					"nobody":      {Text: "m xyzzy"},
					"no meeting":  {Text: "person osten aino"},
					"unlinked":    {View: identity.ViewUnlinked},
					"expiring":    {View: identity.ViewExpiring},
					"unused":      {View: identity.ViewUnused},
					"blocked":     {View: identity.ViewBlocked},
					"disabled":    {View: identity.ViewDisabled, Text: "m"},
				} {
					q.Organisation, q.Limit = org, identity.PageSize+1
					b.Run(fmt.Sprintf("%s/%s", org, name), func(b *testing.B) {
						defer reportCPU(b)()
						for b.Loop() {
							_, err := s.FindPeople(b.Context(), q, noon)
							must(b, err)
						}
					})
				}
				b.Run(fmt.Sprintf("%s/counts", org), func(b *testing.B) {
					defer reportCPU(b)()
					for b.Loop() {
						_, err := s.CountPeople(b.Context(), org, noon)
						must(b, err)
					}
				})
			}
		})
	}
}
