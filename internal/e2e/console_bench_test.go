package e2e

import (
	"bytes"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/password"
	"github.com/portti-id/portti/internal/storetest"
)

// BenchmarkConsole is the Console's pages among 100,000 people: from the browser's
// request to the whole page, with the Console, its calls of the API over TLS, the
// provider and the database on one machine. Then the same beside an import of 10,000
// people who are being created, each with the hash of a temporary password: its CPU is
// in the pages' then. The target of a page is 200 ms.
func BenchmarkConsole(b *testing.B) {
	for _, pair := range []Pair{SQLiteMemory, PostgresRedis} {
		b.Run(string(pair), func(b *testing.B) {
			w := NewWorld(b, Options{Pair: pair, Quiet: true, Hash: password.Params{Time: 2, MemoryKiB: 46 << 10}})
			storetest.Crowd(b, w.Replicas[0].Store, w.Clock.Now(), 100_000)
			wide := w.consoleOf(w.Settled("oona.operaattori", "kuntala", identity.MethodApp).With(identity.RoleOperator))
			own := w.consoleOf(w.Settled("reetta.vastuu", storetest.CrowdHalf, identity.MethodApp).With(identity.RoleResponsible))
			pages(b, wide, "all/", map[string]string{
				"home": "/", "organisations": "/organisations", "organisation": "/organisations/org0",
				"dry run": "/organisations/org0/policy/affected?method=card", "statistics": "/statistics", "trail": "/audit", "letters": "/letters",
			})
			pages(b, wide, "all/", peoplePages)
			pages(b, own, "half/", map[string]string{"home": "/", "organisation": "/organisations/org0"})
			pages(b, own, "half/", peoplePages)

			b.Run("import/dry run", func(b *testing.B) {
				for n := 0; b.Loop(); n++ {
					own.upload(b, tenThousand(fmt.Sprint("tulokas", n, ".")))
				}
			})
			own.upload(b, tenThousand("uusi.")).Press("apply").MustStatus(http.StatusOK)
			pages(b, own, "beside an import/", peoplePages)
		})
	}
}

// peoplePages are what somebody sees who looks after people.
var peoplePages = map[string]string{
	"people": "/people", "people from the middle": "/people?after=lai", "one of them": "/people?q=person.04711", "a rare name": "/people?q=" + url.QueryEscape("lindström åsa"),
	"a letter": "/people?q=m", "two letters": "/people?q=k+v", "nobody": "/people?q=m+xyzzy", "names that never meet": "/people?q=person+osten+aino",
	"no usable link": "/people?view=unlinked", "card expiring": "/people?view=expiring", "unused password": "/people?view=unused", "disabled": "/people?view=disabled&q=m",
	"a person": "/people/crowd000010",
}

// consoleOf is a browser in which e has signed in to the Console.
func (w *World) consoleOf(e *Employee) *Visitor {
	w.T.Helper()
	v := w.Visitor()
	e.SignIn(v.Open(w.Origin("console") + "/")).Must("console")
	return v
}

func pages(b *testing.B, v *Visitor, prefix string, paths map[string]string) {
	b.Helper()
	for name, path := range paths {
		b.Run(prefix+name, func(b *testing.B) {
			cpu, db := ourCPU(b), backendCPU()
			for b.Loop() {
				v.Open(v.W.Origin("console") + path).MustStatus(http.StatusOK)
			}
			b.ReportMetric(float64((ourCPU(b)-cpu+backendCPU()-db).Microseconds())/1000/float64(b.N), "cpu-ms/op")
		})
	}
}

// upload sends a file of people to be checked, and returns the page of its verdicts.
func (v *Visitor) upload(t testing.TB, csv string) *Page {
	t.Helper()
	form := v.Open(v.W.Origin("console") + "/people/import").Must("check")
	var body bytes.Buffer
	m := multipart.NewWriter(&body)
	for name, values := range controls(form.formWith("check")) {
		for _, value := range values {
			_ = m.WriteField(name, value) // a buffer takes everything
		}
	}
	part := must(m.CreateFormFile("file", "people.csv"))(t)
	_, _ = part.Write([]byte(csv))
	_ = m.Close()
	r := must(http.NewRequest(http.MethodPost, form.URL.String(), &body))(t)
	r.Header.Set("Content-Type", m.FormDataContentType())
	return v.send(r, "same-origin").MustStatus(http.StatusOK).Must("apply")
}

func tenThousand(prefix string) string {
	var b strings.Builder
	b.WriteString("username,given_name,family_name,email,language\n")
	for i := range 10_000 {
		fmt.Fprintf(&b, "%s%05d,Uusi,Tulokas,%s%05d@agency.example,fi\n", prefix, i, prefix, i)
	}
	return b.String()
}
