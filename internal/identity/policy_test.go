package identity

import (
	"testing"
	"time"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/fault"
)

// TestMayLink is the whole rule of what may open linking (S4, S5, S8, S15, S27, S28, S30, S41).
func TestMayLink(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	goodCard := &CardLink{NotAfter: now.Add(time.Hour)}
	oldCard := &CardLink{NotAfter: now.Add(-time.Hour)}
	app := &Authenticator{Kind: MethodApp}
	enrol := Self{AuthTime: now.Add(-20 * time.Minute)}
	byCode := Self{Full: true, Proved: MethodApp, AuthTime: now.Add(-time.Minute)}
	byCard := Self{Full: true, Proved: MethodCard, AuthTime: now.Add(-time.Minute)}
	stale := Self{Full: true, Proved: MethodApp, AuthTime: now.Add(-6 * time.Minute)}
	barred := Self{Proved: MethodApp, AuthTime: now.Add(-time.Minute)} // S8: an app no longer permitted, towards User Services only
	all := MethodsOf(MethodCard, MethodApp, MethodToken)

	for _, c := range []struct {
		name    string
		methods Methods
		card    *CardLink
		app     *Authenticator
		temp    bool
		closed  bool
		self    Self
		method  Method
		want    string
	}{
		{"first day, card", all, nil, nil, false, false, enrol, MethodCard, ""},
		{"first day, app", all, nil, nil, false, false, enrol, MethodApp, ""},
		{"first day, token", all, nil, nil, false, false, enrol, MethodToken, ""},
		{"a temporary password links nothing", all, nil, nil, true, false, enrol, MethodApp, "password_change_required"},
		{"a closed account links nothing", all, nil, nil, false, true, enrol, MethodApp, "account_disabled"},
		{"token forbidden", MethodsOf(MethodCard, MethodApp), nil, nil, false, false, enrol, MethodToken, "policy_denied"},
		{"card forbidden", MethodsOf(MethodApp), nil, nil, false, false, enrol, MethodCard, "policy_denied"},
		{"stolen password, app linked: no card", all, nil, app, false, false, enrol, MethodCard, "code_required"},
		{"stolen password, app linked: no second app", all, nil, app, false, false, enrol, MethodApp, "totp_already_linked"},
		{"stolen password, card linked: no app", all, goodCard, nil, false, false, enrol, MethodApp, "link_closed"},
		{"stolen password, card linked: no other card", all, goodCard, nil, false, false, enrol, MethodCard, "card_already_linked"},
		{"expired card: linking stays closed", all, oldCard, nil, false, false, enrol, MethodCard, "link_closed"},
		{"expired card: no app by password alone either", all, oldCard, nil, false, false, enrol, MethodApp, "link_closed"},
		{"signed in by code: card may be added", all, nil, app, false, false, byCode, MethodCard, ""},
		{"signed in by card: app may be added", all, goodCard, nil, false, false, byCard, MethodApp, ""},
		{"one authenticator only", all, goodCard, app, false, false, byCard, MethodToken, "totp_already_linked"},
		{"one card only", all, goodCard, app, false, false, byCode, MethodCard, "card_already_linked"},
		{"an old sign-in is asked again", all, nil, app, false, false, stale, MethodCard, "reauthentication_required"},
		{"app barred: it still proves who may link a card", MethodsOf(MethodCard), nil, app, false, false, barred, MethodCard, ""},
	} {
		p := Person{Organisation: Organisation{Methods: c.methods}, Card: c.card, Authenticator: c.app, Password: Password{Temporary: c.temp}}
		if c.closed {
			p.User.Disabled = now
		}
		if got := fault.Code(MayLink(p, c.self, c.method, now)); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// S28: a password alone adds nothing to any link, whatever has become of it.
func TestAPasswordAloneAddsToNoLink(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	cards := map[string]*CardLink{"no card": nil, "active": {NotAfter: now.Add(time.Hour)}, "expired": {NotAfter: now.Add(-time.Hour)},
		"revoked": {NotAfter: now.Add(time.Hour), Status: card.WasRevoked}, "suspended": {NotAfter: now.Add(time.Hour), Status: card.OnHold}}
	apps := map[string]*Authenticator{"no authenticator": nil, "app": {Kind: MethodApp}, "token": {Kind: MethodToken}, "blocked": {Kind: MethodApp, BlockedUntil: now.AddDate(100, 0, 0)}}
	for card, c := range cards {
		for app, a := range apps {
			for set := Methods(1); set <= MethodsOf(AllMethods...); set++ {
				for _, m := range AllMethods {
					p := Person{Organisation: Organisation{Methods: set}, Card: c, Authenticator: a}
					err := MayLink(p, Self{AuthTime: now}, m, now)
					if open := c == nil && a == nil && set.Has(m); (err == nil) != open {
						t.Errorf("%s, %s, permitted %s, adding %s: %v", card, app, set, m, err)
					}
				}
			}
		}
		if p := (Person{Card: c}); p.UsableCard(now) != (card == "active") {
			t.Errorf("%s: usable %v", card, p.UsableCard(now))
		}
	}
}

func TestFoldUsername(t *testing.T) {
	for in, want := range map[string]string{" Liisa ": "liisa", "ÄITI": "äiti", "A\u0308iti": "äiti", "matti.v": "matti.v"} {
		if got := FoldUsername(in); got != want {
			t.Errorf("FoldUsername(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestMethodsOf(t *testing.T) {
	set := MethodsOf(MethodToken, MethodCard)
	if set.String() != "card,token" || set.Has(MethodApp) || !set.Has(MethodCard) || set.Has(0) {
		t.Errorf("set is %v", set)
	}
}
