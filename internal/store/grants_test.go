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
	"github.com/portti-id/portti/internal/session"
	"github.com/portti-id/portti/internal/store"
)

// rotate exchanges the grant's present refresh token for next.
func rotate(t testing.TB, s *store.Store, g openid.Grant, old, next string) (openid.Grant, openid.AccessToken, error) {
	t.Helper()
	at := token(g)
	got, err := s.Rotate(t.Context(), openid.Rotation{Grant: g.ID, Client: g.Client, OldHash: old, NewHash: next}, at, noon)
	return got, at, err
}

func inUTC(g openid.Grant) openid.Grant {
	g.AuthTime, g.Created, g.Expires, g.Revoked = utc(g.AuthTime), utc(g.Created), utc(g.Expires), utc(g.Revoked)
	return g
}

func TestTokenLeadsToItsGrant(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		g, at := issue(t, s, someone(t, s), "rp", "sid")
		got, gotToken, err := s.Token(t.Context(), at.Hash, noon)
		must(t, err)
		at.Expires = utc(at.Expires)
		if !reflect.DeepEqual(got, inUTC(g)) || !reflect.DeepEqual(gotToken, at) {
			t.Errorf("got  %+v %+v\nwant %+v %+v", got, gotToken, inUTC(g), at)
		}
		bare := openid.Grant{ID: "bare", Client: "rp", User: g.User, Session: "sid", Epoch: g.Epoch, Level: session.Enrol, Method: session.Password, Created: noon.UTC()}
		at = token(bare)
		must(t, s.Issue(t.Context(), bare, at))
		if got, _, err = s.Token(t.Context(), at.Hash, noon); err != nil || !reflect.DeepEqual(got, bare) {
			t.Errorf("got  %+v, %v\nwant %+v", got, err, bare)
		}
	})
}

// Every way in which a grant's ground may be lost, and what Issue, Rotate and
// Token say of it.
var losses = []struct {
	name string
	lose func(tx identity.Tx, u identity.User) error
	code string // of Issue and Rotate
}{
	{"user disabled", func(tx identity.Tx, u identity.User) error {
		u.Disabled = noon
		return tx.SaveUser(u)
	}, "account_disabled"},
	{"organisation disabled", func(tx identity.Tx, u identity.User) error {
		o, err := tx.Organisation(u.Organisation)
		if err != nil {
			return err
		}
		o.Disabled = noon
		return tx.SaveOrganisation(o)
	}, "account_disabled"},
	{"method forbidden", func(tx identity.Tx, u identity.User) error { // S5
		o, err := tx.Organisation(u.Organisation)
		if err != nil {
			return err
		}
		o.Methods = identity.MethodsOf(identity.MethodApp, identity.MethodToken)
		return tx.SaveOrganisation(o)
	}, "method_not_permitted_by_employer"},
	{"method forbidden by a plan that has begun", func(tx identity.Tx, u identity.User) error { // S5, S8
		o, err := tx.Organisation(u.Organisation)
		if err != nil {
			return err
		}
		o.Planned = identity.Plan{Policy: o.Policy(), From: noon, Was: o.Methods}
		o.Planned.Policy.Methods = identity.MethodsOf(identity.MethodApp, identity.MethodToken)
		return tx.SaveOrganisation(o)
	}, "method_not_permitted_by_employer"},
}

func TestAGrantStandsOnItsUser(t *testing.T) {
	for _, loss := range losses {
		t.Run(loss.name, func(t *testing.T) {
			each(t, func(t *testing.T, s *store.Store) {
				u := someone(t, s)
				g, at := issue(t, s, u, "rp", "sid")
				must(t, s.Change(t.Context(), func(tx identity.Tx) error { return loss.lose(tx, u) }))

				late, lateToken := grant(u, "rp", "sid")
				wantFault(t, s.Issue(t.Context(), late, lateToken), fault.Denied, loss.code)
				_, err := s.Rotate(t.Context(), openid.Rotation{Grant: late.ID, Client: "rp", OldHash: late.RefreshHash, NewHash: "x"}, token(late), noon)
				wantFault(t, err, fault.NotFound, "grant_not_found") // nothing was stored
				_, next, err := rotate(t, s, g, g.RefreshHash, "next")
				wantFault(t, err, fault.Denied, loss.code)
				if lives(t, s, at) || lives(t, s, next) || lives(t, s, lateToken) {
					t.Error("wrong tokens live")
				}
			})
		})
	}
}

// S54, S58: another epoch ends every session but the kept one.
func TestAnEpochEndsAllButTheKeptSession(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		u := someone(t, s)
		kept, keptToken := issue(t, s, u, "rp", "kept")
		other, otherToken := issue(t, s, u, "rp", "other")
		must(t, s.Change(t.Context(), func(tx identity.Tx) error { return tx.EndSessions(u.ID, "kept") }))

		if p := person(t, s, u.ID); p.User.Epoch != 2 || p.User.KeptSession != "kept" {
			t.Errorf("got %+v", p.User)
		}
		if !lives(t, s, keptToken) || lives(t, s, otherToken) {
			t.Error("wrong tokens live")
		}
		_, _, err := rotate(t, s, other, other.RefreshHash, "next")
		wantFault(t, err, fault.Gone, "grant_revoked")
		kept, _, err = rotate(t, s, kept, kept.RefreshHash, "next")
		must(t, err)
		for sid, code := range map[string]string{"kept": "", "other": "session_ended", "": "session_ended"} {
			g, at := grant(u, "rp", sid) // of the old epoch
			if err := s.Issue(t.Context(), g, at); fault.Code(err) != code || code == "" && err != nil {
				t.Errorf("a grant of session %q: %v, want %q", sid, err, code)
			}
		}
		must(t, s.Change(t.Context(), func(tx identity.Tx) error { return tx.EndSessions(u.ID, "") }))
		if lives(t, s, keptToken) {
			t.Error("the kept session outlived the next epoch")
		}
		g, at := grant(u, "rp", "kept")
		wantFault(t, s.Issue(t.Context(), g, at), fault.Denied, "session_ended")
		_, _, err = rotate(t, s, kept, kept.RefreshHash, "next2")
		wantFault(t, err, fault.Gone, "grant_revoked")
	})
}

// A session without an ID is not the kept session of a user who kept none.
func TestNoSessionIsNotTheKeptOne(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		u := someone(t, s)
		must(t, s.Change(t.Context(), func(tx identity.Tx) error { return tx.EndSessions(u.ID, "") }))
		g, at := grant(u, "rp", "")
		wantFault(t, s.Issue(t.Context(), g, at), fault.Denied, "session_ended")
		if lives(t, s, at) {
			t.Error("its token lives")
		}
	})
}

// S5, S19: permission is asked of the method, and of no enrol session.
func TestIssueAsksWhatTheEmployerPermits(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		o := addOrganisation(t, s, "tax", identity.MethodApp)
		u := addUser(t, s, o.ID, "aino")
		for _, c := range []struct {
			level  session.Level
			method session.Method
			code   string
		}{
			{session.Full, session.App, ""},
			{session.Full, session.Card, "method_not_permitted_by_employer"},
			{session.Full, session.Token, "method_not_permitted_by_employer"},
			{session.Full, session.Password, "method_not_permitted_by_employer"},
			{session.Full, "", "method_not_permitted_by_employer"},
			{"", session.Password, "method_not_permitted_by_employer"},
			{session.Enrol, session.Password, ""},
		} {
			g, at := grant(u, "rp", "sid")
			g.Level, g.Method = c.level, c.method
			if err := s.Issue(t.Context(), g, at); fault.Code(err) != c.code || c.code == "" && err != nil {
				t.Errorf("%s by %q: %v, want %q", c.level, c.method, err, c.code)
			}
			if c.code != "" {
				continue
			}
			if _, _, err := rotate(t, s, g, g.RefreshHash, "next"); err != nil {
				t.Errorf("rotate %s by %q: %v", c.level, c.method, err)
			}
		}
		g, at := grant(identity.User{ID: "nobody", Epoch: 1}, "rp", "sid")
		wantFault(t, s.Issue(t.Context(), g, at), fault.Denied, "account_disabled")
	})
}

func TestTokensExpire(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		g, at := issue(t, s, someone(t, s), "rp", "sid")
		for _, c := range []struct {
			at time.Time
			ok bool
		}{{at.Expires.Add(-time.Microsecond), true}, {at.Expires, false}} {
			if _, _, err := s.Token(t.Context(), at.Hash, c.at); (err == nil) != c.ok {
				t.Errorf("at %v: %v", c.at, err)
			}
		}
		_, _, err := s.Token(t.Context(), "nobody", noon)
		wantFault(t, err, fault.Unauthenticated, "invalid_token")
		_, err = s.Rotate(t.Context(), openid.Rotation{Grant: g.ID, Client: g.Client, OldHash: g.RefreshHash, NewHash: "next"}, token(g), g.Expires)
		wantFault(t, err, fault.Gone, "grant_expired")
		_, err = s.Rotate(t.Context(), openid.Rotation{Grant: g.ID, Client: g.Client, OldHash: g.RefreshHash, NewHash: "next"}, token(g), g.Expires.Add(-time.Microsecond))
		must(t, err)
	})
}

func TestAGrantIsIssuedOnce(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		u, other := someone(t, s), someone(t, s)
		g, at := issue(t, s, u, "rp", "sid")
		again, _ := grant(other, "other", "sid2")
		again.ID = g.ID
		if err := s.Issue(t.Context(), again, token(again)); err == nil {
			t.Fatal("a grant was issued over another")
		}
		got, _, err := s.Token(t.Context(), at.Hash, noon)
		if err != nil || got.User != g.User || got.Client != "rp" {
			t.Errorf("got %+v, %v", got, err)
		}
	})
}

func TestRevokedGrantsAreDead(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		u := someone(t, s)
		g, at := issue(t, s, u, "rp", "sid")
		must(t, s.RevokeGrant(t.Context(), g.ID, noon))
		must(t, s.RevokeGrant(t.Context(), g.ID, noon.Add(time.Hour)))
		if lives(t, s, at) {
			t.Error("its token lives")
		}
		_, _, err := rotate(t, s, g, g.RefreshHash, "next")
		wantFault(t, err, fault.Gone, "grant_revoked")

		// A replayed code whose revocation is quicker than the first exchange.
		late, lateToken := grant(u, "rp", "sid")
		must(t, s.RevokeGrant(t.Context(), late.ID, noon))
		_, _, err = rotate(t, s, late, late.RefreshHash, "next")
		wantFault(t, err, fault.Gone, "grant_revoked")
		must(t, s.Issue(t.Context(), late, lateToken))
		if lives(t, s, lateToken) {
			t.Error("a grant that was revoked before it was issued lives")
		}
		_, _, err = rotate(t, s, late, late.RefreshHash, "next")
		wantFault(t, err, fault.Gone, "grant_revoked")
	})
}

// One code, exchanged and replayed at once: whoever comes first, its tokens are
// dead when both are through (RFC 6749 §4.1.2).
func TestRevokeGrantWinsOverIssueWhoeverIsFirst(t *testing.T) {
	replicas(t, func(t *testing.T, s [2]*store.Store) {
		u := someone(t, s[0])
		var tokens [25]openid.AccessToken
		var grants [25]openid.Grant
		for i := range grants {
			grants[i], tokens[i] = grant(u, "rp", "sid")
		}
		errs := race(50, func(i int) error {
			if i%2 == 0 {
				return s[0].RevokeGrant(t.Context(), grants[i/2].ID, noon)
			}
			return s[1].Issue(t.Context(), grants[i/2], tokens[i/2])
		})
		if n := tally(t, errs); n[""] != 50 {
			t.Errorf("got %v, want 50 successes", n)
		}
		for i, at := range tokens {
			if lives(t, s[0], at) {
				t.Errorf("token %d lives", i)
			}
		}
	})
}

func TestRotateGivesTheNextToken(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		g, first := issue(t, s, someone(t, s), "rp", "sid")
		got, second, err := rotate(t, s, g, g.RefreshHash, "next")
		must(t, err)
		want := inUTC(g)
		want.RefreshHash = "next"
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
		if !lives(t, s, first) || !lives(t, s, second) {
			t.Error("access tokens do not live")
		}
		_, _, err = rotate(t, s, got, "next", "next2")
		must(t, err)
	})
}

// RFC 9700 §4.14.2: whoever presents an old token kills the family.
func TestAReusedRefreshTokenRevokesTheGrant(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		u := someone(t, s)
		g, first := issue(t, s, u, "rp", "sid")
		_, second, err := rotate(t, s, g, g.RefreshHash, "next")
		must(t, err)
		_, third, err := rotate(t, s, g, g.RefreshHash, "thief")
		wantFault(t, err, fault.Conflict, "refresh_reused")
		for i, at := range []openid.AccessToken{first, second, third} {
			if lives(t, s, at) {
				t.Errorf("token %d lives", i)
			}
		}
		for _, hash := range []string{"next", "thief", g.RefreshHash} {
			_, _, err = rotate(t, s, g, hash, "again")
			wantFault(t, err, fault.Gone, "grant_revoked")
		}

		// Reuse is seen even where the user may no longer refresh.
		g, _ = issue(t, s, u, "rp", "sid")
		must(t, s.Change(t.Context(), func(tx identity.Tx) error { return losses[0].lose(tx, u) }))
		_, _, err = rotate(t, s, g, "old", "thief")
		wantFault(t, err, fault.Conflict, "refresh_reused")
	})
}

func TestAGrantWithoutRefreshTokenGivesNone(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		u := someone(t, s)
		for _, guess := range []string{"", "x"} {
			g, at := grant(u, "rp", "sid")
			g.RefreshHash = ""
			must(t, s.Issue(t.Context(), g, at))
			if _, next, err := rotate(t, s, g, guess, "next"); err == nil || lives(t, s, next) {
				t.Errorf("refresh token %q was exchanged", guess)
			}
		}
	})
}

func TestAnotherClientChangesNothing(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		g, at := issue(t, s, someone(t, s), "rp", "sid")
		for _, hash := range []string{g.RefreshHash, "old"} {
			_, err := s.Rotate(t.Context(), openid.Rotation{Grant: g.ID, Client: "thief", OldHash: hash, NewHash: "next"}, token(g), noon)
			wantFault(t, err, fault.Denied, "other_client")
		}
		_, err := s.Rotate(t.Context(), openid.Rotation{Grant: "nobody", Client: "rp", OldHash: g.RefreshHash, NewHash: "next"}, token(g), noon)
		wantFault(t, err, fault.NotFound, "grant_not_found")
		if !lives(t, s, at) {
			t.Error("the grant was revoked")
		}
		_, _, err = rotate(t, s, g, g.RefreshHash, "next")
		must(t, err)
	})
}

func TestOneOfManyRotationsWinsAndTheFamilyDies(t *testing.T) {
	replicas(t, func(t *testing.T, s [2]*store.Store) {
		g, first := issue(t, s[0], someone(t, s[0]), "rp", "sid")
		tokens := make([]openid.AccessToken, 50)
		errs := race(50, func(i int) (err error) {
			_, tokens[i], err = rotate(t, s[i%2], g, g.RefreshHash, fmt.Sprint("next", i))
			return err
		})
		n := tally(t, errs)
		if n[""] != 1 || n["refresh_reused"] < 1 || n[""]+n["refresh_reused"]+n["grant_revoked"] != 50 {
			t.Errorf("got %v, want one winner", n)
		}
		for i, at := range append(tokens, first) {
			if lives(t, s[0], at) {
				t.Errorf("token %d lives", i)
			}
		}
	})
}

// Issue against EndSessions: either the new epoch is seen, or the grant is
// found, ended and its client told.
func TestNoGrantSlipsPastTheEndOfItsSession(t *testing.T) {
	replicas(t, func(t *testing.T, s [2]*store.Store) {
		addClient(t, s[0], client("rp"))
		o := addOrganisation(t, s[0], "tax")
		var users [10]identity.User
		for i := range users {
			users[i] = addUser(t, s[0], o.ID, fmt.Sprint("user", i))
		}
		tokens := make([]openid.AccessToken, 50)
		errs := race(50, func(i int) error {
			u := users[i/5]
			if i%5 == 2 {
				return s[0].Change(t.Context(), func(tx identity.Tx) error { return tx.EndSessions(u.ID, "") })
			}
			var g openid.Grant
			g, tokens[i] = grant(u, "rp", fmt.Sprint("sid", i))
			return s[1].Issue(t.Context(), g, tokens[i])
		})
		n := tally(t, errs)
		if n[""]+n["session_ended"] != 50 {
			t.Errorf("got %v", n)
		}
		issued := 0
		for i := range tokens {
			if i%5 != 2 && errs[i] == nil {
				issued++
			}
			if tokens[i].Hash != "" && lives(t, s[0], tokens[i]) {
				t.Errorf("token %d lives", i)
			}
		}
		notices, err := s[0].LeaseLogouts(t.Context(), 100, noon, time.Minute)
		if err != nil || len(notices) != issued {
			t.Errorf("%d grants were issued and %d clients told (%v)", issued, len(notices), err)
		}
	})
}

func TestSweepDeletesWhatIsLongOver(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		u := someone(t, s)
		g, at := issue(t, s, u, "rp", "sid")
		mark, _ := grant(u, "rp", "sid")
		must(t, s.RevokeGrant(t.Context(), mark.ID, noon))
		must(t, s.EndSession(t.Context(), "gone", noon, audit.Event{}))
		code := func(id string) string {
			_, err := s.Rotate(t.Context(), openid.Rotation{Grant: id, Client: "nobody", OldHash: "x", NewHash: "y"}, token(g), noon)
			return fault.Code(err)
		}
		must(t, s.Sweep(t.Context(), noon.Add(time.Minute)))
		if !lives(t, s, at) || code(g.ID) != "other_client" || code(mark.ID) != "grant_revoked" {
			t.Error("something was swept too early")
		}
		must(t, s.Sweep(t.Context(), noon.Add(13*time.Hour)))
		if lives(t, s, at) {
			t.Error("an expired access token was kept")
		}
		if code(g.ID) != "other_client" || code(mark.ID) != "grant_revoked" {
			t.Error("a replay would no longer be seen")
		}
		late, lateToken := grant(u, "rp", "gone")
		wantFault(t, s.Issue(t.Context(), late, lateToken), fault.Denied, "session_ended")
		must(t, s.Sweep(t.Context(), noon.Add(48*time.Hour)))
		if code(g.ID) != "grant_not_found" || code(mark.ID) != "grant_not_found" {
			t.Error("a grant or a mark was kept for ever")
		}
		must(t, s.Issue(t.Context(), late, lateToken)) // the mark of the session is gone, too
	})
}

// Batches: more rows than one takes.
func TestSweepGoesOnUntilAllIsGone(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		g, _ := issue(t, s, someone(t, s), "rp", "sid")
		hash := g.RefreshHash
		var tokens []openid.AccessToken
		for i := range 1100 {
			_, at, err := rotate(t, s, g, hash, fmt.Sprint("next", i))
			must(t, err)
			hash, tokens = fmt.Sprint("next", i), append(tokens, at)
		}
		must(t, s.Sweep(t.Context(), noon.Add(time.Hour)))
		for i, at := range tokens {
			if lives(t, s, at) {
				t.Fatalf("token %d lives", i)
			}
		}
	})
}
