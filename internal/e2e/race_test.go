package e2e

import (
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/dpop/dpoptest"
	"github.com/portti-id/portti/internal/identity"
)

const crowd = 50 // of parallel attempts

// atOnce runs f a crowd of times, released together, and waits for all.
func atOnce(f func(i int)) {
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	for i := range crowd {
		ready.Add(1)
		done.Go(func() {
			ready.Done()
			<-start
			f(i)
		})
	}
	ready.Wait()
	close(start)
	done.Wait()
}

// Of fifty redemptions of one code at once, over both replicas, one wins, and the
// replay of the others leaves the winner's tokens dead (RFC 6749 §4.1.2; zitadel-oidc.md 0.7).
func TestOneCodeRedeemedFiftyTimesAtOnce(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		otto, v, p := w.Settled("otto.ohjelma", "tietoapu", identity.MethodApp), w.Visitor(), w.Party("other")
		otto.SignIn(v.Open(p.URL(nil)))
		code := p.Code(v.Open(p.URL(url.Values{"scope": {"openid offline_access"}})))
		var won []Tokens
		var mu sync.Mutex
		atOnce(func(int) {
			got, err := p.Redeem(code, nil)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil:
				t.Error(err)
			case got.Status == http.StatusOK:
				won = append(won, got)
			case got.Status != http.StatusBadRequest || got.Error != "invalid_grant":
				t.Errorf("a loser is told %+v", got)
			}
		})
		if len(won) > 1 {
			t.Fatalf("%d redemptions of one code won", len(won))
		}
		if len(won) == 0 {
			// A loser may come between the winner's take and its write: the grant is
			// dead before it is born, and nobody has tokens. That is the safe side.
			t.Log("the replay killed the grant before the winner had its answer")
			return
		}
		if p.alive(won[0].Access) {
			t.Error("forty-nine replays leave the access token alive")
		}
		if got := must(p.Renew(won[0].Refresh))(t); got.Error != "invalid_grant" {
			t.Errorf("forty-nine replays leave the refresh token alive: %+v", got)
		}
	})
}

// Of fifty refreshes with one token at once one wins, and the family dies (RFC 9700 §4.14.2).
func TestOneRefreshTokenFiftyTimesAtOnce(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		otto, v, p := w.Settled("otto.ohjelma", "tietoapu", identity.MethodApp), w.Visitor(), w.Party("other")
		otto.SignIn(v.Open(p.URL(nil)))
		first := p.MustRedeem(p.Code(v.Open(p.URL(url.Values{"scope": {"openid offline_access"}}))))
		var won []Tokens
		var mu sync.Mutex
		atOnce(func(int) {
			got, err := p.Renew(first.Refresh)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil:
				t.Error(err)
			case got.Status == http.StatusOK:
				won = append(won, got)
			case got.Status != http.StatusBadRequest || got.Error != "invalid_grant":
				t.Errorf("a loser is told %+v", got)
			}
		})
		if len(won) != 1 {
			t.Fatalf("%d refreshes with one token won", len(won))
		}
		if p.alive(won[0].Access) || p.alive(first.Access) {
			t.Error("the family of a refresh token that was used fifty times lives")
		}
	})
}

// One TOTP code, typed in fifty browsers at once that all know the password, signs
// one of them in (S44).
func TestOneCodeOfTheAuthenticatorInFiftyBrowsers(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		otto, p := w.Settled("otto.ohjelma", "tietoapu", identity.MethodApp), w.Party("other")
		forms, visitors := make([]*http.Request, crowd), make([]*Visitor, crowd)
		pages := make([]*Page, crowd)
		for i := range crowd {
			visitors[i] = w.Visitor()
			pages[i] = otto.TypePassword(visitors[i].Open(p.URL(nil))).Must("code-submit")
		}
		code := otto.Code()
		for i := range crowd {
			forms[i] = pages[i].Form("code-submit", "code", code)
		}
		var in atomic.Int64
		atOnce(func(i int) {
			page, err := visitors[i].try(forms[i])
			if err != nil {
				t.Error(err)
			} else if page.URL.Host == hostOf(p.Redirect) && page.URL.Query().Get("code") != "" {
				in.Add(1)
			}
		})
		if in.Load() != 1 {
			t.Errorf("one code signed in %d browsers", in.Load())
		}
	})
}

// A code posted fifty times in one browser is answered to the client once at most.
func TestOneFormFiftyTimes(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		otto, v, p := w.Settled("otto.ohjelma", "tietoapu", identity.MethodApp), w.Visitor(), w.Party("other")
		page := otto.TypePassword(v.Open(p.URL(nil))).Must("code-submit")
		code := otto.Code()
		windows, forms := make([]*Visitor, crowd), make([]*http.Request, crowd)
		for i := range crowd {
			windows[i], forms[i] = v.Twin(), page.Form("code-submit", "code", code)
		}
		var mu sync.Mutex
		codes := map[string]bool{}
		atOnce(func(i int) {
			page, err := windows[i].try(forms[i])
			if err != nil {
				t.Error(err)
				return
			}
			if page.Status >= 500 {
				t.Errorf("the browser is shown %s", page)
			}
			mu.Lock()
			defer mu.Unlock()
			if page.URL.Host == hostOf(p.Redirect) {
				codes[page.URL.Query().Get("code")] = true
			}
		})
		if len(codes) > 1 {
			t.Errorf("one request of the client was answered with %d codes", len(codes))
		}
	})
}

// Two posts of one code from one page, a double click: one answer to the client,
// no more, and no fewer either, since the code is spent.
func TestDoubleClickOnTheCode(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		otto, p := w.Settled("otto.ohjelma", "tietoapu", identity.MethodApp), w.Party("other")
		for range 5 {
			v := w.Visitor()
			page := otto.TypePassword(v.Open(p.URL(nil))).Must("code-submit")
			code := otto.Code()
			windows, forms := []*Visitor{v.Twin(), v.Twin()}, []*http.Request{page.Form("code-submit", "code", code), page.Form("code-submit", "code", code)}
			var answered atomic.Int64
			var both sync.WaitGroup
			for i := range windows {
				both.Go(func() {
					got, err := windows[i].try(forms[i])
					switch {
					case err != nil:
						t.Error(err)
					case got.URL.Host == hostOf(p.Redirect):
						answered.Add(1)
					case got.Status >= 500:
						t.Errorf("a double click: %s", got)
					}
				})
			}
			both.Wait()
			if n := answered.Load(); n != 1 {
				t.Errorf("%d answers to one request of the client, want one", n)
			}
		}
	})
}

// Two people, one card: of two who link it at once one has it (S27).
func TestOneCardLinkedByTwoAtOnce(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		a, b := w.Newcomer("aino.alku", "kuntala"), w.Newcomer("aino-aino.alku", "kuntala") // namesakes, or their cards would not fit (S29)
		b.Card = a.Card
		var forms []*http.Request
		var visitors []*Visitor
		for _, e := range []*Employee{a, b} {
			v := w.Visitor()
			page := e.FirstDay(v.Open(w.Origin("service") + "/records/1")).Follow("link-card")
			v.Insert(e.Card)
			forms, visitors = append(forms, page.Press("card-start").Must("card-confirm").Form("card-confirm")), append(visitors, v)
		}
		var linked, refused atomic.Int64
		var both sync.WaitGroup
		for i := range forms {
			both.Go(func() {
				page, err := visitors[i].try(forms[i])
				switch {
				case err != nil:
					t.Error(err)
				case page.Has("card-failed") || page.Has("problems") || page.Status >= 400:
					refused.Add(1)
					if text := page.Body; page.Status >= 500 || containsAny(text, a.Username, b.Username) && page.Status < 400 {
						t.Errorf("refused with %s", page)
					}
				default:
					linked.Add(1)
				}
			})
		}
		both.Wait()
		if linked.Load() != 1 || refused.Load() != 1 {
			t.Errorf("%d linked the card, %d were refused", linked.Load(), refused.Load())
		}
	})
}

// tally is how often each of a crowd's calls was answered with what: the error, or
// the status without one.
func tally(t *testing.T, ask func(i int) (answer, error)) map[string]int {
	t.Helper()
	var mu sync.Mutex
	counted := map[string]int{}
	atOnce(func(i int) {
		got, err := ask(i)
		if err != nil {
			t.Error(err)
			return
		}
		what := got.text("error")
		if what == "" {
			what = http.StatusText(got.Status)
		}
		mu.Lock()
		defer mu.Unlock()
		counted[what]++
	})
	return counted
}

func oneOf(t *testing.T, what string, got map[string]int, won, lost string) {
	t.Helper()
	if got[won] != 1 || got[lost] != crowd-1 {
		t.Errorf("%s: %v, want one %s and %d times %s", what, got, won, crowd-1, lost)
	}
}

// Of fifty uses of one DPoP proof, of one client assertion, and of one request_uri,
// over both replicas, one counts (RFC 9449 §11.1, RFC 7523 §3, RFC 9126 §7.3).
func TestOneProofOneAssertionOneRequestURIFiftyTimesAtOnce(t *testing.T) {
	EachWith(t, Options{MTLS: true}, func(t *testing.T, w *World) {
		f := newFAPI(t, w, withKeys)
		f.v = w.Visitor()
		tokens := f.whole(f.first, url.Values{"scope": {"openid offline_access"}})
		refresh := func() *call {
			return f.call(f.first, http.MethodPost, f.at(f.first, "token_endpoint"), url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tokens.Refresh}})
		}
		once := func(same func(first, k *call)) map[string]int {
			first, calls := refresh(), make([]*call, crowd)
			for i := range calls {
				calls[i] = refresh()
				same(first, calls[i])
			}
			return tally(t, func(i int) (answer, error) { return calls[i].try() })
		}
		oneOf(t, "a proof at the token endpoint", once(func(first, k *call) { k.proof = first.proof }), "OK", "invalid_dpop_proof")
		oneOf(t, "an assertion", once(func(first, k *call) { k.assertion = first.assertion }), "OK", "invalid_client")
		if got := once(func(_, _ *call) {}); got["OK"] != crowd {
			t.Errorf("each with a proof and an assertion of its own: %v", got)
		}

		var used *call
		f.uses(f.first, tokens.Access, func(k *call) { used = k })
		used.proof = dpoptest.With(used.proof, "jti", "at the resource")
		oneOf(t, "a proof at the resource", tally(t, func(int) (answer, error) { return used.try() }), "OK", "invalid_dpop_proof")

		uri, windows, codes := f.pushed(f.first, nil), make([]*Visitor, crowd), make(chan string, crowd)
		for i := range windows {
			windows[i] = f.v.Twin()
		}
		address := f.conf["authorization_endpoint"].(string) + "?" + url.Values{"client_id": {f.first.ID}, "request_uri": {uri}}.Encode()
		atOnce(func(i int) {
			r, err := http.NewRequest(http.MethodGet, address, nil)
			if err == nil {
				var page *Page
				if page, err = windows[i].try(r); err == nil && page.URL.Query().Get("code") != "" {
					codes <- page.URL.Query().Get("code")
				} else if err == nil && !page.Has("oauth-error") {
					t.Errorf("a browser that came too late is shown %s", page)
				}
			}
			if err != nil {
				t.Error(err)
			}
		})
		if len(codes) != 1 {
			t.Fatalf("one request_uri was answered with %d codes", len(codes))
		}
		f.tokens(f.first, f.redeem(f.first, <-codes, nil), "nonce-"+f.first.ID)
	})
}

// Of fifty polls with one device code that was allowed one wins at most (RFC 8628 §3.5).
func TestOneDeviceCodeFiftyTimesAtOnce(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		otto, v, p := w.Settled("otto.ohjelma", "tietoapu", identity.MethodApp), w.Visitor(), w.device("screen")
		b := p.Begin("openid offline_access")
		otto.SignIn(v.Open(b.Complete).Press("device-submit")).Press("device-allow").Must("device-allowed")
		var mu sync.Mutex
		won, told := []Tokens{}, map[string]int{}
		atOnce(func(int) {
			got, err := p.Token(url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "device_code": {b.Code}})
			mu.Lock()
			defer mu.Unlock()
			if told[got.Error]++; err != nil {
				t.Error(err)
			} else if got.Status == http.StatusOK {
				won = append(won, got)
			}
		})
		if len(won) > 1 || len(won)+told["slow_down"]+told["invalid_grant"] != crowd {
			t.Fatalf("%d polls won: %v", len(won), told)
		}
		// One more is a replay: what the winner has is dead.
		w.Clock.Advance(time.Minute)
		if got := p.Poll(b); got.Error != "invalid_grant" {
			t.Errorf("once more: %+v", got)
		}
		if len(won) == 1 && p.alive(won[0].Access) {
			t.Error("a replay leaves the tokens alive")
		}
	})
}
