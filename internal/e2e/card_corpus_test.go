package e2e

import (
	"encoding/hex"
	"net/http"
	"strings"
	"testing"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/cardtest"
)

// Every card of the negative corpus, and every kind of card of both trees, through the
// whole sign-in: it ends on the page of its verdict, with a way on, and signs nobody in.
// Good ones are accepted as cards and linked to nobody. The log says the verdict, and
// nothing of the person. S21–S23, S25, S66.
func TestEveryCardThroughTheSignIn(t *testing.T) {
	cas := cardtest.ForTest(t)
	type shown struct {
		card *cardtest.Card
		want card.Verdict
	}
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
	w := NewWorld(t, Options{Pair: SQLiteMemory, PKI: cas})
	p := w.Party("other")
	seen := map[card.Verdict]int{}
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
		if got := page.Attr("card-failed", "data-verdict"); got != want || page.Status != http.StatusForbidden || page.URL.Host != hostOf(w.Issuer()) {
			t.Errorf("%s: verdict %q, not %q: %s", name, got, want, page)
		}
		if !page.Has("card-start") || !page.Has("restart") {
			t.Errorf("%s: no way on: %s", name, page)
		}
		seen[c.want]++
		p.nobody(name, v)
	}
	for _, v := range card.Verdicts { // those that a card alone can get
		switch v {
		case card.NeverReached, card.HandshakeBroken, card.Revoked, card.Suspended, card.RevocationUnavailable:
		default:
			if seen[v] == 0 {
				t.Errorf("no card has the verdict %s", v)
			}
		}
	}
	if len(cards) < 70 {
		t.Errorf("only %d cards", len(cards))
	}
	personal := []string{"Maija", "Meikäläinen", "MEIKÄLÄINEN", "Meik\\u", "123456789X", "maija@"}
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
}
