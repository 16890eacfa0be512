package store_test

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/store"
)

func consent(u identity.User, client string) openid.Consent {
	return openid.Consent{User: string(u.ID), Client: client, Scopes: []string{"email", "openid"}, Claims: []string{"birthdate"}, Created: noon.UTC(), Updated: noon.UTC()}
}

func given(u identity.User) audit.Event {
	return audit.Event{At: noon, Type: "consent.given", Actor: "user:" + string(u.ID), User: string(u.ID)}
}

func allow(t testing.TB, s *store.Store, u identity.User, client string) openid.Consent {
	t.Helper()
	c := consent(u, client)
	must(t, s.SaveConsent(t.Context(), c, given(u)))
	return c
}

func TestConsentIsKeptWithItsEvent(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		u, other := someone(t, s), someone(t, s)
		_, err := s.Consent(t.Context(), string(u.ID), "rp")
		wantFault(t, err, fault.NotFound, "consent_not_found")
		c := allow(t, s, u, "rp")
		if got, err := s.Consent(t.Context(), string(u.ID), "rp"); err != nil || !reflect.DeepEqual(got, c) {
			t.Errorf("got  %+v, %v\nwant %+v", got, err, c)
		}
		// Another time: more, or fewer. When it began, stays.
		c.Scopes, c.Claims, c.Updated = []string{"openid"}, nil, noon.Add(time.Hour).UTC()
		again := c
		again.Created = again.Updated
		must(t, s.SaveConsent(t.Context(), again, given(u)))
		if got, err := s.Consent(t.Context(), string(u.ID), "rp"); err != nil || !reflect.DeepEqual(got, c) {
			t.Errorf("got  %+v, %v\nwant %+v", got, err, c)
		}
		allow(t, s, u, "aaa")
		allow(t, s, other, "rp")
		list, err := s.Consents(t.Context(), string(u.ID))
		if err != nil || len(list) != 2 || list[0].Client != "aaa" || !reflect.DeepEqual(list[1], c) {
			t.Errorf("got %+v, %v", list, err)
		}
		trail, err := s.AuditEvents(t.Context(), store.Trail{User: string(u.ID)})
		if err != nil || len(trail) != 3 {
			t.Errorf("got %d events, %v", len(trail), err)
		}
		if list, err := s.Consents(t.Context(), "nobody"); err != nil || len(list) != 0 {
			t.Errorf("got %+v, %v", list, err)
		}
	})
}

func TestRevokedConsentTakesItsTokens(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		u, other := someone(t, s), someone(t, s)
		allow(t, s, u, "rp")
		allow(t, s, u, "else")
		allow(t, s, other, "rp")
		g, at := issue(t, s, u, "rp", "sid")
		_, second := issue(t, s, u, "rp", "sid2")
		_, elsewhere := issue(t, s, u, "else", "sid")
		_, others := issue(t, s, other, "rp", "sid3")
		must(t, s.RevokeConsent(t.Context(), string(u.ID), "rp", noon, given(u)))
		if lives(t, s, at) || lives(t, s, second) {
			t.Error("a token outlived the consent")
		}
		if !lives(t, s, elsewhere) || !lives(t, s, others) {
			t.Error("tokens of another consent died")
		}
		_, _, err := rotate(t, s, g, g.RefreshHash, "next")
		wantFault(t, err, fault.Gone, "grant_revoked")
		_, err = s.Consent(t.Context(), string(u.ID), "rp")
		wantFault(t, err, fault.NotFound, "consent_not_found")
		wantFault(t, s.RevokeConsent(t.Context(), string(u.ID), "rp", noon, given(u)), fault.NotFound, "consent_not_found")
		for _, id := range []identity.UserID{u.ID, other.ID} {
			if list, err := s.Consents(t.Context(), string(id)); err != nil || len(list) != 1 {
				t.Errorf("%s has %+v, %v", id, list, err)
			}
		}
	})
}

func TestConsentIsRevokedOnce(t *testing.T) {
	replicas(t, func(t *testing.T, s [2]*store.Store) {
		u := someone(t, s[0])
		allow(t, s[0], u, "rp")
		n := tally(t, race(50, func(i int) error { return s[i%2].RevokeConsent(t.Context(), string(u.ID), "rp", noon, given(u)) }))
		if n[""] != 1 || n["consent_not_found"] != 49 {
			t.Errorf("got %v", n)
		}
	})
}

// Whoever issues a grant looks at the consent afterwards: either it is gone, or
// its revocation finds the grant. Nothing lives between the two.
func TestNoGrantSlipsPastTheEndOfItsConsent(t *testing.T) {
	replicas(t, func(t *testing.T, s [2]*store.Store) {
		var users [25]identity.User
		var tokens [25]openid.AccessToken
		var seen [25]bool
		o := addOrganisation(t, s[0], "tax")
		for i := range users {
			users[i] = addUser(t, s[0], o.ID, fmt.Sprint("user", i))
			allow(t, s[0], users[i], "rp")
		}
		errs := race(50, func(i int) error {
			u := users[i/2]
			if i%2 == 0 {
				return s[0].RevokeConsent(t.Context(), string(u.ID), "rp", noon, given(u))
			}
			var g openid.Grant
			g, tokens[i/2] = grant(u, "rp", "sid")
			if err := s[1].Issue(t.Context(), g, tokens[i/2]); err != nil {
				return err
			}
			_, err := s[1].Consent(t.Context(), string(u.ID), "rp")
			seen[i/2] = err == nil
			if fault.Code(err) == "consent_not_found" {
				return nil
			}
			return err
		})
		if n := tally(t, errs); n[""] != 50 {
			t.Errorf("got %v", n)
		}
		for i, at := range tokens {
			if seen[i] && lives(t, s[0], at) {
				t.Errorf("token %d lives: its issuer saw a consent that is gone", i)
			}
		}
	})
}
