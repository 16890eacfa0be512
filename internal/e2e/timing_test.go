package e2e

import (
	"fmt"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/password"
)

// question is something that anybody may ask in anybody's name, and that answers
// the same whether the name exists.
type question struct {
	clause string

	// ask asks in the name and tells how long the answer took. i is how many were
	// asked before.
	ask func(t testing.TB, w *World, i int, name string) (page *Page, took time.Duration)
}

// A wrong password for somebody who is there, and any for somebody who is not, look
// and last the same (S7, S43).
func wrongPassword() question {
	var v *Visitor
	return question{"S43", func(t testing.TB, w *World, i int, name string) (*Page, time.Duration) {
		if i%9 == 0 { // below the limit of one address
			v = w.Visitor()
		}
		page := v.Open(w.record("1"))
		page, took := timed(t, v, page.Form("login-submit", "username", name, "password", "väärä salasana tällä kertaa"))
		if page.Status != http.StatusUnauthorized || page.Has("code-submit") {
			t.Fatalf("%s: %s", name, page)
		}
		return page, took
	}}
}

// So do asks for a new password (S51).
func newPassword() question {
	return question{"S51", func(t testing.TB, w *World, _ int, name string) (*Page, time.Duration) {
		v := w.Visitor()
		page, took := timed(t, v, v.Open(w.Issuer()+"/order").Form("order-submit", "username", name))
		if page.Status != http.StatusOK || !page.Has("order-sent") {
			t.Fatalf("%s: %s", name, page)
		}
		return page, took
	}}
}

func timed(t testing.TB, v *Visitor, r *http.Request) (*Page, time.Duration) {
	t.Helper()
	began := time.Now()
	page, err := v.try(r)
	took := time.Since(began)
	if err != nil {
		t.Fatal(err)
	}
	return page, took
}

func TestUnknownNameAndWrongPasswordAreAlike(t *testing.T) {
	Each(t, func(t *testing.T, w *World) { wrongPassword().compare(t, w, 40) })
}

func TestAsksAreAlike(t *testing.T) {
	Each(t, func(t *testing.T, w *World) { newPassword().compare(t, w, 20) })
}

// BenchmarkAlike compares how long five hundred answers about names that exist and as
// many about others take. The targets are medians that are less than 5 ms apart, and
// distributions that Kolmogorov and Smirnov would not tell apart (p above 0.01).
func BenchmarkAlike(b *testing.B) {
	for _, pair := range []Pair{SQLiteMemory, PostgresRedis} {
		for _, q := range []question{wrongPassword(), newPassword()} {
			b.Run(q.clause+"/"+string(pair), func(b *testing.B) {
				known, unknown := q.compare(b, NewWorld(b, Options{Pair: pair, Quiet: true, Hash: password.Params{Time: 1, MemoryKiB: 8 << 10}}), 500)
				_, p := kolmogorovSmirnov(known, unknown)
				b.ReportMetric(median(known), "known-ms")
				b.ReportMetric(median(unknown), "unknown-ms")
				b.ReportMetric(p, "KS-p")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

// compare asks n times about names that exist and n times about others, and gives
// the sorted times in milliseconds. What is equal is tested; the times are for people
// to read: a busy machine is no proof of anything.
func (q question) compare(t testing.TB, w *World, n int) (known, unknown []float64) {
	t.Helper()
	const tries = 4 // of a name: below its limits
	bodies := map[string]bool{}
	var here, away string
	for i := range 2 * n {
		if i%(2*tries) == 0 {
			here, away = fmt.Sprint("otto.ohjelma", i), fmt.Sprint("nobody.atall", i)
			if org, m := identity.OrganisationID("tietoapu"), identity.MethodApp; i/(2*tries)%2 == 0 {
				w.Settled(here, org, m)
			} else {
				w.Settled(here, "saaristo", identity.MethodCard)
			}
		}
		// Two and two, so that neither kind is always the one that comes after the other.
		name, times := here, &known
		if i%4 == 1 || i%4 == 2 {
			name, times = away, &unknown
		}
		page, took := q.ask(t, w, i, name)
		bodies[nonces.ReplaceAllString(strings.ReplaceAll(page.Body, name, "NAME"), "NONCE")] = true
		*times = append(*times, took.Seconds()*1000)
	}
	if len(bodies) != 1 {
		t.Errorf("the answers differ in more than nonces: %d kinds", len(bodies))
	}
	slices.Sort(known)
	slices.Sort(unknown)
	d, p := kolmogorovSmirnov(known, unknown)
	t.Logf("%s: %d known, median %.2f ms; %d unknown, median %.2f ms; KS D=%.3f p=%.3f (below 5 ms apart, p above 0.01)", q.clause, len(known), median(known), len(unknown), median(unknown), d, p)
	return known, unknown
}

// What may differ from page to page: transactions, tokens, nonces, references.
var nonces = regexp.MustCompile(`(/signin/|value="|nonce-|nonce="|<code>|reference">[^<]*: )[A-Za-z0-9_-]{8,}`)

func median(sorted []float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	return sorted[len(sorted)/2]
}

// kolmogorovSmirnov compares two sorted samples: the largest distance of their
// distributions, and how likely one that large is when they are the same.
func kolmogorovSmirnov(a, b []float64) (d, p float64) {
	i, j := 0, 0
	for i < len(a) && j < len(b) {
		x := min(a[i], b[j])
		for i < len(a) && a[i] <= x {
			i++
		}
		for j < len(b) && b[j] <= x {
			j++
		}
		d = max(d, math.Abs(float64(i)/float64(len(a))-float64(j)/float64(len(b))))
	}
	n := math.Sqrt(float64(len(a)*len(b)) / float64(len(a)+len(b)))
	lambda := (n + 0.12 + 0.11/n) * d
	for k, sign := 1, 1.0; k <= 100; k, sign = k+1, -sign {
		p += 2 * sign * math.Exp(-2*lambda*lambda*float64(k*k))
	}
	return d, min(1, max(0, p))
}

func TestKolmogorovSmirnov(t *testing.T) {
	var a, b, c []float64
	for i := range 200 {
		a, b, c = append(a, float64(i)), append(b, float64(i)+0.5), append(c, float64(i)+60)
	}
	if d, p := kolmogorovSmirnov(a, b); d > 0.01 || p < 0.99 {
		t.Errorf("the same: D=%v p=%v", d, p)
	}
	if d, p := kolmogorovSmirnov(a, c); math.Abs(d-0.3) > 1e-9 || p > 1e-6 {
		t.Errorf("shifted: D=%v p=%v", d, p)
	}
}
