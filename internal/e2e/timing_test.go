package e2e

import (
	"math"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/identity"
)

// A wrong password for somebody who is there, and any for somebody who is not, look
// and last the same (S7, S43). What is equal is tested; what the times were is printed:
// a busy machine is no proof of anything. PORTTI_TEST_TIMING=500 takes as many of each.
func TestUnknownNameAndWrongPasswordAreAlike(t *testing.T) {
	n := 40
	if more, err := strconv.Atoi(os.Getenv("PORTTI_TEST_TIMING")); err == nil {
		n = more
	}
	Each(t, func(t *testing.T, w *World) {
		w.Settled("otto.ohjelma", "tietoapu", identity.MethodApp)
		w.Settled("kaisa.kortti", "saaristo", identity.MethodCard)
		names := []string{"otto.ohjelma", "kaisa.kortti", "nobody.at-all", "nobody.either"}
		p := w.Party("other")
		var known, unknown []float64
		bodies := map[string]bool{}
		var v *Visitor
		var form *http.Request
		for i := range 2 * n {
			if i%9 == 0 { // below the limits of one address and one account
				v = w.Visitor()
			}
			name := names[(i/2+2*(i%2))%4]
			page := v.Open(p.URL(nil))
			form = page.Form("login-submit", "username", name, "password", "väärä salasana tällä kertaa")
			began := time.Now()
			page, err := v.try(form)
			took := time.Since(began).Seconds() * 1000
			if err != nil {
				t.Fatal(err)
			}
			if page.Status == http.StatusTooManyRequests {
				w.Clock.Advance(16 * time.Minute) // Redis keeps its own time
				continue
			}
			if page.Status != http.StatusUnauthorized || page.Has("code-submit") {
				t.Fatalf("%s: %s", name, page)
			}
			bodies[nonces.ReplaceAllString(regexp.MustCompile(regexp.QuoteMeta(name)).ReplaceAllString(page.Body, "NAME"), "NONCE")] = true
			if name[0] == 'n' {
				unknown = append(unknown, took)
			} else {
				known = append(known, took)
			}
		}
		if len(bodies) != 1 {
			t.Errorf("the answers differ in more than nonces: %d kinds", len(bodies))
		}
		slices.Sort(known)
		slices.Sort(unknown)
		d, chance := kolmogorovSmirnov(known, unknown)
		t.Logf("%d known, median %.2f ms; %d unknown, median %.2f ms; KS D=%.3f p=%.3f (S43: below 5 ms apart, p above 0.01)",
			len(known), median(known), len(unknown), median(unknown), d, chance)
	})
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
