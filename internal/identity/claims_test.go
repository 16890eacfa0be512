package identity_test

import (
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/store"
	"github.com/portti-id/portti/internal/storetest"
)

// everyClaim has a value for each name that Set knows.
var everyClaim = map[string]string{
	"middle_name": "Maria", "nickname": "Liisu", "profile": "https://org.example/liisa", "picture": "https://org.example/liisa.png",
	"website": "http://liisa.localhost:8080/?a=b#c", "gender": "female", "birthdate": "0000-02-29", "zoneinfo": "America/Argentina/Buenos_Aires",
	"email_verified": "true", "phone_number": "+358 (9) 123-4567;ext=12", "phone_number_verified": "true",
	"address.formatted": "Mannerheimintie 1\n00100 Helsinki", "address.street_address": "Mannerheimintie 1\nA 2", "address.locality": "Helsinki",
	"address.region": "Uusimaa", "address.postal_code": "00100", "address.country": "Suomi",
}

var allClaims = identity.Claims{MiddleName: "Maria", Nickname: "Liisu", Profile: "https://org.example/liisa", Picture: "https://org.example/liisa.png",
	Website: "http://liisa.localhost:8080/?a=b#c", Gender: "female", Birthdate: "0000-02-29", Zoneinfo: "America/Argentina/Buenos_Aires",
	EmailVerified: true, Phone: "+358 (9) 123-4567;ext=12", PhoneVerified: true,
	Address: identity.Address{Formatted: "Mannerheimintie 1\n00100 Helsinki", Street: "Mannerheimintie 1\nA 2", Locality: "Helsinki", Region: "Uusimaa",
		PostalCode: "00100", Country: "Suomi"}}

// OpenID Connect Core §5.1: each claim has one name, and goes to its own place.
func TestEveryClaimIsSetByItsName(t *testing.T) {
	var c identity.Claims
	for _, name := range identity.ClaimNames() {
		value, ok := everyClaim[name]
		if !ok {
			t.Errorf("the test knows no %s", name)
		}
		before := c
		if err := c.Set(name, value); err != nil || c == before {
			t.Errorf("%s: %v", name, err)
		}
	}
	if c != allClaims {
		t.Errorf("got  %+v\nwant %+v", c, allClaims)
	}
	for _, name := range identity.ClaimNames() {
		if err := c.Set(name, ""); err != nil {
			t.Error(err)
		}
	}
	if c != (identity.Claims{}) {
		t.Errorf("forgotten, and yet there is %+v", c)
	}
	for name, value := range map[string]string{"sub": "someone", "address": "x", "address.": "x", "Picture": "x", "email_verified": "perhaps", "phone_number_verified": "yes"} {
		err := c.Set(name, value)
		if f, _ := fault.Of(err); f == nil || f.Kind != fault.Invalid || f.Field != name || !strings.HasPrefix(f.Message, name+":") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestClaimsAreKept(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		org := h.organisation("org", identity.MethodApp)
		made, _, err := h.CreateUser(ctx, operator, identity.User{Username: "liisa", Organisation: org, GivenName: "Liisa", FamilyName: "M", Email: "l@example.test",
			Language: "fi", Claims: allClaims, Roles: identity.RolesOf(identity.RoleOperator), Updated: time.Unix(1, 0)})
		h.must(err)
		if u := h.person(made.ID).User; u.Claims != allClaims || u.Roles != 0 || !u.Updated.Equal(u.Created) {
			t.Errorf("stored %+v", u)
		}
		bare, _ := h.user(org, "matti")
		if u := h.person(bare).User; u.Claims != (identity.Claims{}) || !u.Updated.Equal(u.Created) {
			t.Errorf("stored %+v", u)
		}
		_, err = h.ChangeUser(ctx, operator, made.ID, func(u *identity.User) {
			u.Claims = identity.Claims{Nickname: "  Liisu ", Address: identity.Address{Formatted: "A\r\nB\n"}}
		})
		h.must(err)
		if c := h.person(made.ID).User.Claims; c != (identity.Claims{Nickname: "Liisu", Address: identity.Address{Formatted: "A\nB"}}) {
			t.Errorf("after the change %+v", c)
		}
	})
}

// updated_at moves with what a relying party can see, and with nothing else.
func TestUpdatedMovesWithWhatCanBeSeen(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		id := h.settled(h.organisation("org", identity.MethodApp), "liisa")
		last := h.person(id).User.Updated
		for name, edit := range map[string]func(u *identity.User){
			"given name": func(u *identity.User) { u.GivenName = "Other" }, "family name": func(u *identity.User) { u.FamilyName = "Other" },
			"e-mail": func(u *identity.User) { u.Email = "other@example.test" }, "language": func(u *identity.User) { u.Language = "sv" },
			"a claim": func(u *identity.User) { u.Claims.Birthdate = "1980" }, "the address": func(u *identity.User) { u.Claims.Address.Country = "FI" },
			"verified": func(u *identity.User) { u.Claims.EmailVerified = true },
		} {
			h.add(time.Minute)
			u, err := h.ChangeUser(ctx, operator, id, edit)
			h.must(err)
			if got := h.person(id).User.Updated; !got.Equal(h.now()) || !u.Updated.Equal(got) {
				t.Errorf("%s: updated %v, told %v, now it is %v", name, got, u.Updated, h.now())
			}
			last = h.now()
		}
		h.add(time.Minute)
		for name, f := range map[string]func() error{
			"nothing": func() error { _, err := h.ChangeUser(ctx, operator, id, func(*identity.User) {}); return err },
			"an edit of what is not for it": func() error {
				_, err := h.ChangeUser(ctx, operator, id, func(u *identity.User) { u.Updated, u.Epoch = h.now(), 9 })
				return err
			},
			"roles": func() error {
				_, err := h.ChangeRoles(ctx, operator, id, identity.RolesOf(identity.RoleOperator), 0)
				return err
			},
			"an order": func() error { _, err := h.Order(ctx, operator, id, identity.Why{Reason: "test"}); return err },
		} {
			h.must(f())
			if got := h.person(id).User.Updated; !got.Equal(last) {
				t.Errorf("%s: updated %v, want %v", name, got, last)
			}
		}
	})
}

// What was verified was another address: the mark does not go over to the new one.
func TestANewAddressIsNotVerified(t *testing.T) {
	h := newHouse(t, storetest.Open(t, store.SQLite))
	id, _ := h.user(h.organisation("org", identity.MethodApp), "liisa")
	verified := func(u *identity.User) {
		u.Email, u.Claims.Phone, u.Claims.EmailVerified, u.Claims.PhoneVerified = "a@example.test", "+35891", true, true
	}
	for name, c := range map[string]struct {
		edit         func(u *identity.User)
		email, phone bool
	}{
		"neither":       {func(u *identity.User) { u.GivenName = "Other" }, true, true},
		"e-mail":        {func(u *identity.User) { u.Email = "b@example.test" }, false, true},
		"phone":         {func(u *identity.User) { u.Claims.Phone = "+35892" }, true, false},
		"both":          {func(u *identity.User) { u.Email, u.Claims.Phone = "b@example.test", "+35892" }, false, false},
		"verified anew": {func(u *identity.User) { u.Email, u.Claims.EmailVerified = "b@example.test", true }, true, true},
		"one verified anew": {func(u *identity.User) {
			u.Email, u.Claims.Phone, u.Claims.PhoneVerified = "b@example.test", "+35892", true
		}, false, true},
		"gone": {func(u *identity.User) { u.Email, u.Claims.Phone = "", "" }, false, false},
	} {
		_, err := h.ChangeUser(t.Context(), operator, id, verified)
		h.must(err)
		_, err = h.ChangeUser(t.Context(), operator, id, c.edit)
		h.must(err)
		if got := h.person(id).User.Claims; got.EmailVerified != c.email || got.PhoneVerified != c.phone {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestWrongClaimsAreNamed(t *testing.T) {
	h := newHouse(t, storetest.Open(t, store.SQLite))
	org := h.organisation("org", identity.MethodApp)
	id, _ := h.user(org, "liisa")
	before := h.person(id)
	for name, values := range map[string][]string{
		"middle_name": {strings.Repeat("ä", 101), "a\nb", "a\x00b", "a\u202eb", "a\u2028b", "\xff"},
		"nickname":    {"a\tb"},
		"profile":     {"http://org.example/", "org.example", "https://", "https:///x", "https://u:p@org.example/", "javascript:alert(1)", "https://a b/", "https://a/\"x", "//org.example/"},
		"picture":     {"data:image/png;base64,AA", "http://localhost.example/", "https://org.example/" + strings.Repeat("x", 1000)},
		"website":     {"ftp://org.example/", "https://%zz/", "http://192.0.2.1/", "https://:443/"},
		"gender":      {strings.Repeat("x", 51)},
		"birthdate":   {"1980-02-30", "1981-02-29", "80-01-01", "1980-1-1", "01.01.1980", "0000", "19800", "1980-01", "0000-13-01", "yyyy"},
		"zoneinfo":    {"../etc/passwd", "/etc/localtime", "Europe/../x", "Europe//x", "Europe\\Helsinki", "Local", "Europe/Helsinki/", "+02:00", "a b", strings.Repeat("x", 65)},
		"phone_number": {"0401234567", "358401234567", "+", "+0123", "+358 40 call me", "+1234567890123456", "+358401234567;ext=", "+358401234567;ext=12;x=1",
			"+358   401", "+35840123456７"},
		"address.formatted":      {strings.Repeat("x\n", 251), "a\rb", "a\x00"},
		"address.street_address": {strings.Repeat("x", 201)},
		"address.locality":       {"a\nb"},
		"address.region":         {strings.Repeat("x", 101)},
		"address.postal_code":    {strings.Repeat("1", 21)},
		"address.country":        {"a\u2067b"},
	} {
		for _, value := range values {
			var c identity.Claims
			h.must(c.Set(name, value))
			_, err := h.ChangeUser(t.Context(), operator, id, func(u *identity.User) { u.Claims = c })
			if f, _ := fault.Of(err); f == nil || f.Kind != fault.Invalid || f.Field != name || !strings.HasPrefix(f.Message, name+":") {
				t.Errorf("%s %q: %v", name, value, err)
			}
			_, _, err = h.CreateUser(t.Context(), operator, identity.User{Username: "m", Organisation: org, GivenName: "M", FamilyName: "M", Email: "m@example.test", Language: "fi", Claims: c})
			if f, _ := fault.Of(err); f == nil || f.Field != name {
				t.Errorf("%s %q of a new person: %v", name, value, err)
			}
		}
	}
	for field, edit := range map[string]func(u *identity.User){
		"email_verified":        func(u *identity.User) { u.Email, u.Claims.EmailVerified = "", true },
		"phone_number_verified": func(u *identity.User) { u.Claims.PhoneVerified = true },
	} {
		_, err := h.ChangeUser(t.Context(), operator, id, edit)
		if f, _ := fault.Of(err); f == nil || f.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	if after := h.person(id); after.User != before.User {
		t.Errorf("something was stored: %+v", after.User)
	}
}

func TestRightClaimsPass(t *testing.T) {
	h := newHouse(t, storetest.Open(t, store.SQLite))
	id, _ := h.user(h.organisation("org", identity.MethodApp), "liisa")
	for name, values := range map[string][]string{
		"picture":      {"https://org.example", "https://[2001:db8::1]:8443/a%20b?c=%C3%A4", "http://127.0.0.1:1/", "http://[::1]/", "https://pääkaupunki.example/kuva"},
		"gender":       {"female", "muu"},
		"birthdate":    {"1980-02-29", "0000-12-31", "1980", "0001-01-01"},
		"zoneinfo":     {"Europe/Helsinki", "UTC", "Etc/GMT+3", "EST5EDT", "America/Port-au-Prince"},
		"phone_number": {"+358401234567", "+1 (425) 555-1212", "+56 (2) 687 2400", "+1 (604) 555-1234;ext=5678"},
	} {
		for _, value := range values {
			_, err := h.ChangeUser(t.Context(), operator, id, func(u *identity.User) { h.must(u.Claims.Set(name, value)) })
			if err != nil {
				t.Errorf("%s %q: %v", name, value, err)
			}
		}
	}
}
