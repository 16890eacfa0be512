package crl_test

import (
	"bytes"
	"crypto/x509"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/card/crl"
	"github.com/portti-id/portti/internal/cardtest"
)

// S24: a fresh list says all of it; one that is over only what never changes.
func TestStatus(t *testing.T) {
	lists := held(t, mustRead(t, list()))
	fresh, over := now, now.Add(8*time.Hour+time.Second)
	for _, c := range []struct {
		serial int64
		at     time.Time
		want   card.State
	}{
		{0x1122, fresh, card.WasRevoked}, {0x33, fresh, card.OnHold}, {0x44, fresh, card.NotRevoked}, {0x112200, fresh, card.NotRevoked}, {0x11, fresh, card.NotRevoked},
		{0x1122, over, card.WasRevoked}, {0x33, over, card.Unavailable}, {0x44, over, card.Unavailable},
		{0, fresh, card.Unavailable}, {-0x44, fresh, card.Unavailable},
		{0x44, now.Add(8 * time.Hour), card.NotRevoked},
		{0x44, now.Add(-3 * time.Hour), card.Unavailable}, // our clock has gone back
	} {
		got := lists.Status(ca().Cert, big.NewInt(c.serial), c.at)
		if got.State != c.want || (got.Reason == "") != (c.want == card.NotRevoked) || (got.Source == "") != (c.want == card.Unavailable) {
			t.Errorf("%#x at %v: %+v, want %s", c.serial, c.at, got, c.want)
		}
	}
	if got := lists.Status(ca().Cert, new(big.Int).Lsh(big.NewInt(1), 160), fresh); got.State != card.Unavailable {
		t.Errorf("a number that no list can hold: %+v", got)
	}
	if got := lists.Status(ca().Cert, nil, fresh); got.State != card.Unavailable {
		t.Errorf("no number: %+v", got)
	}
	if got := lists.Status(pki().Health.Cert, big.NewInt(0x44), fresh); got.State != card.Unavailable {
		t.Errorf("a CA without a list: %+v", got)
	}
}

// Of two entries with one number the worse one counts; one that was taken off the
// list is none.
func TestEntriesOfOneNumber(t *testing.T) {
	at := now.Add(-time.Hour)
	l := mustRead(t, list(func(r *recipe) {
		r.entries = []entry{
			{[]byte{1}, at, 6, nil}, {[]byte{1}, at.Add(-time.Hour), 1, nil},
			{[]byte{2}, at, 8, nil},
			{[]byte{3}, at, 8, nil}, {[]byte{3}, at, 1, nil},
			{[]byte{4}, at, 6, nil}, {[]byte{4}, at, 8, nil},
		}
	}))
	lists := held(t, l)
	for serial, want := range map[int64]card.State{1: card.WasRevoked, 2: card.NotRevoked, 3: card.WasRevoked, 4: card.OnHold} {
		if got := state(lists, serial, now); got != want {
			t.Errorf("%d: %s, want %s", serial, got, want)
		}
	}
}

// A list that leaves out a kind of certificates says nothing good of it (RFC 5280
// §5.2.5). The root's serial numbers are those of CAs, by the bundle.
func TestScope(t *testing.T) {
	root := pki().Root
	rootList := func(change ...func(*recipe)) *crl.List {
		der := list(append([]func(*recipe){func(r *recipe) { r.ca = root }}, change...)...)
		l, err := crl.Read(bytes.NewReader(der), root.Cert, now)
		must(t, err)
		return l
	}
	of := func(flag byte) func(*recipe) {
		return func(r *recipe) { r.extensions = distribution(flag, 1, 0xff) }
	}
	ofCA, ofUser := pki().Organisation.Cert.SerialNumber, big.NewInt(0x44)
	for name, c := range map[string]struct {
		lists    []*crl.List
		ca, user card.State
	}{
		"all":   {[]*crl.List{rootList()}, card.NotRevoked, card.NotRevoked},
		"users": {[]*crl.List{rootList(of(0x81))}, card.Unavailable, card.NotRevoked},
		"CAs":   {[]*crl.List{rootList(of(0x82))}, card.NotRevoked, card.Unavailable},
		"both":  {[]*crl.List{rootList(of(0x81)), rootList(of(0x82))}, card.NotRevoked, card.NotRevoked},
	} {
		lists := held(t, c.lists...)
		if got := lists.Status(root.Cert, ofCA, now).State; got != c.ca {
			t.Errorf("%s, of a CA: %s", name, got)
		}
		if got := lists.StatusOf(pki().Organisation.Cert, root.Cert, now).State; got != c.ca {
			t.Errorf("%s, of a CA at hand: %s", name, got)
		}
		if got := lists.Status(root.Cert, ofUser, now).State; got != c.user {
			t.Errorf("%s, of a user: %s", name, got)
		}
		if got := lists.Status(root.Cert, big.NewInt(0x1122), now).State; got != card.WasRevoked {
			t.Errorf("%s, of one on it: %s", name, got)
		}
	}
}

// A list for one distribution point speaks of those that name it, and of nobody
// else (RFC 5280 §6.3.3 (b)(2)).
func TestDistributionPoint(t *testing.T) {
	const address = "http://crl.test/shard-1.crl"
	n := byte(len(address))
	l := mustRead(t, list(func(r *recipe) {
		r.extensions = distribution(append([]byte{0xa0, n + 4, 0xa0, n + 2, 0x86, n}, address...)...)
	}))
	lists := held(t, l)
	at := func(serial int64, points ...string) card.State {
		return lists.StatusOf(&x509.Certificate{SerialNumber: big.NewInt(serial), CRLDistributionPoints: points}, ca().Cert, now).State
	}
	for name, c := range map[string]struct{ got, want card.State }{
		"names it":          {at(0x44, "ldap://x", address), card.NotRevoked},
		"names another":     {at(0x44, strings.Replace(address, "1", "2", 1)), card.Unavailable},
		"names none":        {at(0x44), card.Unavailable},
		"is not at hand":    {state(lists, 0x44, now), card.Unavailable},
		"is on it":          {at(0x1122), card.WasRevoked},
		"is on it, unknown": {state(lists, 0x1122, now), card.WasRevoked},
	} {
		if c.got != c.want {
			t.Errorf("a certificate that %s: %s, want %s", name, c.got, c.want)
		}
	}
}

// CRLNumber never goes back (RFC 5280 §5.2.3).
func TestKeepOnlyWhatIsNewer(t *testing.T) {
	seven := list()
	lists := held(t, mustRead(t, seven))
	must(t, lists.Keep(mustRead(t, seven)))
	wantErr(t, lists.Keep(mustRead(t, list())), crl.ErrNumberReused) // signed anew
	wantErr(t, lists.Keep(mustRead(t, list(numbered(6), func(r *recipe) { r.entries = nil }))), crl.ErrOlder)
	if got := state(lists, 0x1122, now); got != card.WasRevoked {
		t.Errorf("after older lists: %s", got)
	}
	must(t, lists.Keep(mustRead(t, list(numbered(8), func(r *recipe) { r.entries = nil }))))
	if got := state(lists, 0x1122, now); got != card.NotRevoked {
		t.Errorf("after a newer list: %s", got)
	}
	must(t, lists.Keep(mustRead(t, list(func(r *recipe) { r.number = []byte{1, 0} })))) // 256
	if all := lists.All(); len(all) != 1 || all[0].Number.String() != "256" {
		t.Errorf("%+v", all)
	}
}

func TestRetainForgetsWhoIsNotTrusted(t *testing.T) {
	lists := held(t, mustRead(t, list()))
	lists.Retain(pki().TestTrust(t))
	if len(lists.All()) != 1 {
		t.Error("a trusted CA's list is gone")
	}
	other, err := cardtest.New(now)
	must(t, err)
	lists.Retain(other.TestTrust(t))
	if len(lists.All()) != 0 {
		t.Error("the list of a CA that is not trusted is held")
	}
}
