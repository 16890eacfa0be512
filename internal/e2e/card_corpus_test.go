package e2e

import (
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/cardlab"
	"github.com/portti-id/portti/internal/cardtest"
)

// Every card of the negative corpus, and every kind of card of both trees, through the
// whole sign-in: it ends on the page of its verdict, with a way on, and signs nobody in.
// Good ones are accepted as cards and linked to nobody. The log says the verdict, and
// nothing of the person. S21–S23, S25, S66.
func TestEveryCardThroughTheSignIn(t *testing.T) {
	cas := cardtest.ForTest(t)
	cards := map[string]shown{"none": {nil, card.NoCertificate}}
	for _, c := range cardtest.Cases() {
		cards[c.Name] = shown{cas.TestCase(t, c.Name), c.Verdict}
	}
	for _, name := range cardtest.Authorities() {
		ca := cas.TestCA(t, name)
		if ca.Kind == "" {
			continue
		}
		want := card.Good
		if ca.Kind == card.CitizenCard {
			want = card.KindNotAccepted
		}
		person := cardtest.Person{Given: "Maija", Family: "Meikäläinen", Serial: "123456789X", Email: "maija@example.test"}
		cards["of "+name] = shown{cas.TestCard(t, "of-"+name, person, cardtest.From(ca), cardtest.WithKey(cardtest.P256)), want}
		cards["signature of "+name] = shown{cas.TestCard(t, "signature-of-"+name, person, cardtest.From(ca), cardtest.WithKey(cardtest.P256), cardtest.SignatureOnly()), card.SignatureCertificate}
	}
	if len(cards) < 70 {
		t.Errorf("only %d cards", len(cards))
	}
	seen := throughTheSignIn(t, NewWorld(t, Options{Pair: SQLiteMemory, PKI: cas}), cards, "Maija", "Meikäläinen", "MEIKÄLÄINEN", "Meik\\u", "123456789X", "maija@")
	for _, v := range card.Verdicts { // those that a card alone can get
		switch v {
		case card.NeverReached, card.HandshakeBroken, card.Revoked, card.Suspended, card.RevocationUnavailable:
		default:
			if !seen[v] {
				t.Errorf("no card has the verdict %s", v)
			}
		}
	}
}

// Every card of the lab, with its responders and lists behind it (S24).
func TestEveryCardOfTheLabThroughTheSignIn(t *testing.T) {
	site := httptest.NewUnstartedServer(nil)
	cas := must(cardtest.NewAt("http://"+site.Listener.Addr().String(), time.Now()))(t)
	lab := must(cardlab.New(cas, time.Now, nil))(t)
	site.Config.Handler = lab.Status
	site.Start()
	defer site.Close()
	cards := map[string]shown{}
	for _, row := range lab.Rows() {
		if c := cas.Card(row.Name); c != nil {
			cards[row.Name] = shown{c, row.Expected}
		}
	}
	seen := throughTheSignIn(t, NewWorld(t, Options{Pair: SQLiteMemory, PKI: cas, Online: true}), cards, "900000", "Elliptic", "ELLIPTIC", "Stranger@", "STRANGER", "Suspended@", "SUSPENDED", "example.test")
	for _, v := range []card.Verdict{card.Good, card.Revoked, card.Suspended, card.RevocationUnavailable} {
		if !seen[v] {
			t.Errorf("no card has the verdict %s", v)
		}
	}
}

// shown is a card, and the verdict that it comes to.
type shown struct {
	card *cardtest.Card
	want card.Verdict
}

// throughTheSignIn shows each card at a sign-in, and returns the verdicts that were
// met. Nothing personal may stand in the log.
func throughTheSignIn(t *testing.T, w *World, cards map[string]shown, personal ...string) map[card.Verdict]bool {
	t.Helper()
	p := w.Party("other")
	seen := map[card.Verdict]bool{}
	for name, c := range cards {
		v := w.Visitor()
		ticket := v.ticket(v.Open(p.URL(nil)))
		v.Insert(c.card)
		r := must(http.NewRequest(http.MethodGet, ticket, nil))(t)
		page, err := v.try(r)
		if name == "p224" { // TLS has no signature for that curve: no handshake, and the ticket is whole
			if err == nil {
				t.Errorf("%s: %s", name, page)
			}
			if v.result(ticket, nil) == w.Issuer()+"/signin/card/restart" {
				t.Errorf("%s: a broken handshake has spent the ticket", name)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want := string(c.want)
		if c.want == card.Good {
			want = "card_not_linked"
		}
		status := http.StatusForbidden
		if c.want == card.RevocationUnavailable {
			status = http.StatusServiceUnavailable
		}
		if got := page.Attr("card-failed", "data-verdict"); got != want || page.Status != status || page.URL.Host != hostOf(w.Issuer()) {
			t.Errorf("%s: verdict %q, not %q: %s", name, got, want, page)
		}
		if !page.Has("card-start") || !page.Has("restart") {
			t.Errorf("%s: no way on: %s", name, page)
		}
		seen[c.want] = true
		p.nobody(name, v)
	}
	for _, c := range cards {
		if c.card != nil {
			h := card.HolderOf(c.card.Cert)
			personal = append(personal, h.Serial, c.card.Cert.SerialNumber.String(), h.Fingerprint, h.SPKI, strings.ToUpper(h.Serial), hex.EncodeToString(c.card.Cert.Raw[:64]))
		}
	}
	for name, log := range map[string]string{"the log": w.Log.String(), "the default logger": stray.String()} {
		for _, secret := range personal {
			if len(secret) > 3 && strings.Contains(log, secret) {
				t.Errorf("%s holds %q", name, secret)
			}
		}
	}
	for v := range seen {
		if !strings.Contains(w.Log.String(), `"verdict":"`+string(v)+`"`) {
			t.Errorf("the log does not say %s", v)
		}
	}
	return seen
}
