package browser

import (
	"crypto/ecdsa"
	"slices"
	"strings"
	"testing"
)

// What the holder of a card with a PIN does, and what the browser makes of it.
func TestReader(t *testing.T) {
	t.Parallel()
	servers, cards := newAuthority(t, "Servers"), newAuthority(t, "Cards")
	r := NewReader(t)
	for _, name := range []string{"LIISA", "VILLE"} {
		c := cards.card(name)
		r.Issue(name, c.Leaf, c.PrivateKey.(*ecdsa.PrivateKey), "1234")
	}
	b := Start(t, Options{ServerCA: servers.cert, CardHosts: []string{"https://[*.]card.portti.test"}, Reader: r,
		HostRules: []string{"MAP *.portti.test 127.0.0.1:" + cardServer(t, servers, cards)}})
	login := func(who, heard string) {
		t.Helper()
		tab := b.Incognito()
		tab.Open("https://id.portti.test/login")
		want(t, "signed in", tab.Text("#who"), who)
		if got := r.Heard(); heard == "" && len(got) > 0 || heard != "" && !slices.Contains(got, heard) {
			t.Errorf("the reader heard %q, not %q", got, heard)
		}
	}
	login("nobody", "")
	r.Insert("LIISA", "")
	login("nobody", "pin cancelled")
	r.Insert("LIISA", "4321")
	login("nobody", "pin wrong")
	r.Insert("LIISA", "1234")
	login("LIISA", "pin right")
	login("LIISA", "signed")
	r.Insert("VILLE", "1234")
	login("VILLE", "pin right")
	r.Eject()
	login("nobody", "")
	r.Insert("VILLE", "1234")
	r.PullOut()
	tab := b.Incognito()
	if err := tab.TryOpen("https://id.portti.test/login"); err == nil || !strings.Contains(err.Error(), "ERR_SSL_CLIENT_AUTH_SIGNATURE_FAILED") {
		t.Errorf("pulled out while it signs: %v", err)
	}
	if got := r.Heard(); !slices.Contains(got, "pulled out") || slices.Contains(got, "signed") {
		t.Errorf("the reader heard %q", got)
	}
	r.Insert("VILLE", "1234")
	login("VILLE", "signed")
}

// Of two cards that match the one goes that is chosen by name.
func TestChoose(t *testing.T) {
	t.Parallel()
	servers, cards := newAuthority(t, "Servers"), newAuthority(t, "Cards")
	port := cardServer(t, servers, cards)
	for _, name := range []string{"LIISA", "VILLE"} {
		b := Start(t, Options{ServerCA: servers.cert, CardHosts: []string{"https://[*.]card.portti.test"}, Choose: name, HostRules: []string{"MAP *.portti.test 127.0.0.1:" + port}})
		for _, holder := range []string{"LIISA", "VILLE"} {
			c := cards.card(holder)
			b.InsertCardPEM(holder, certPEM(c.Leaf), keyPEM(t, c), certPEM(cards.cert))
		}
		tab := b.Tab()
		tab.Open("https://id.portti.test/login")
		want(t, "signed in", tab.Text("#who"), name)
	}
}
