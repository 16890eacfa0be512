package store_test

import (
	"crypto/rand"
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

// A token's own scopes, resources and key stand beside its grant's; what it leaves
// out is told apart from an empty list.
func TestTokenColumns(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		u := someone(t, s)
		g, plain := grant(u, "rp", "sid")
		g.Kind, g.Resources, g.Claims, g.RefreshBinding = openid.GrantCode, []string{"https://api.example", "urn:x:y"}, `{"userinfo":{"name":null}}`, "jkt:abc"
		plain.Issued = noon
		must(t, s.Issue(t.Context(), g, plain))
		got, at, err := s.Token(t.Context(), plain.Hash, noon)
		must(t, err)
		if !reflect.DeepEqual(got, inUTC(g)) || at.Scopes != nil || at.Resources != nil || at.Binding != "" || at.Client != "" || !at.Issued.Equal(noon) {
			t.Errorf("got  %+v %+v\nwant %+v", got, at, inUTC(g))
		}
		narrow := token(g)
		narrow.Issued, narrow.Scopes, narrow.Resources, narrow.Binding = noon.Add(time.Minute), []string{"openid"}, []string{"urn:x:y"}, "x5t#S256:def"
		if _, err := s.Rotate(t.Context(), openid.Rotation{Grant: g.ID, Client: "rp", OldHash: g.RefreshHash, NewHash: "next", Binding: "jkt:abc"}, narrow, noon); err != nil {
			t.Fatal(err)
		}
		empty := token(g)
		empty.Scopes, empty.Resources = []string{}, []string{}
		if _, err := s.Rotate(t.Context(), openid.Rotation{Grant: g.ID, Client: "rp", OldHash: "next", NewHash: "next2", Binding: "jkt:abc"}, empty, noon); err != nil {
			t.Fatal(err)
		}
		for _, want := range []openid.AccessToken{narrow, empty} {
			want.Expires, want.Issued = utc(want.Expires), utc(want.Issued)
			if g2, got, err := s.Token(t.Context(), want.Hash, noon); err != nil || !reflect.DeepEqual(got, want) || !reflect.DeepEqual(g2.Scopes, g.Scopes) || len(g2.Resources) != 2 {
				t.Errorf("got  %+v %+v, %v\nwant %+v", got, g2, err, want)
			}
		}
	})
}

// RFC 9449 §5: a refresh token that is bound to a key needs it, and a stranger
// with another one ends nothing.
func TestRotateNeedsTheKey(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		g, at := grant(someone(t, s), "app", "sid")
		g.RefreshBinding = "jkt:owner"
		must(t, s.Issue(t.Context(), g, at))
		for _, key := range []openid.Binding{"", "jkt:thief", "x5t#S256:owner", "jkt:owne"} {
			for _, old := range []string{g.RefreshHash, "used"} {
				next := token(g)
				_, err := s.Rotate(t.Context(), openid.Rotation{Grant: g.ID, Client: "app", OldHash: old, NewHash: "next", Binding: key}, next, noon)
				wantFault(t, err, fault.Denied, "other_key")
				if lives(t, s, next) || !lives(t, s, at) {
					t.Errorf("key %q changed something", key)
				}
			}
		}
		r := openid.Rotation{Grant: g.ID, Client: "app", OldHash: g.RefreshHash, NewHash: "next", Binding: "jkt:owner"}
		got, err := s.Rotate(t.Context(), r, token(g), noon)
		if err != nil || got.RefreshHash != "next" || got.RefreshBinding != "jkt:owner" {
			t.Errorf("got %+v, %v", got, err)
		}
		// A key where none is demanded does no harm.
		free, _ := issue(t, s, someone(t, s), "rp", "sid2")
		if _, err := s.Rotate(t.Context(), openid.Rotation{Grant: free.ID, Client: "rp", OldHash: free.RefreshHash, NewHash: "n", Binding: "jkt:any"}, token(free), noon); err != nil {
			t.Error(err)
		}
	})
}

// The policy of a client whose tokens are bound: the refresh token stays.
func TestRotateMayKeepTheToken(t *testing.T) {
	replicas(t, func(t *testing.T, s [2]*store.Store) {
		g, _ := issue(t, s[0], someone(t, s[0]), "rp", "sid")
		tokens := make([]openid.AccessToken, 50)
		errs := race(50, func(i int) error {
			tokens[i] = token(g)
			_, err := s[i%2].Rotate(t.Context(), openid.Rotation{Grant: g.ID, Client: "rp", OldHash: g.RefreshHash, NewHash: g.RefreshHash}, tokens[i], noon)
			return err
		})
		if n := tally(t, errs); n[""] != 50 {
			t.Errorf("got %v", n)
		}
		for i, at := range tokens {
			if !lives(t, s[0], at) {
				t.Errorf("token %d does not live", i)
			}
		}
		_, err := s[0].Rotate(t.Context(), openid.Rotation{Grant: g.ID, Client: "rp", OldHash: "guess", NewHash: "guess"}, token(g), noon)
		wantFault(t, err, fault.Conflict, "refresh_reused")
	})
}

// clientGrant is what a client has in its own name.
func clientGrant(client string) (openid.Grant, openid.AccessToken) {
	g := openid.Grant{ID: "grant-" + rand.Text(), Kind: openid.GrantClient, Client: client, Scopes: []string{"read"}, Resources: []string{"https://api.example"},
		Created: noon, Expires: noon.Add(5 * time.Minute)}
	at := token(g)
	at.Issued, at.Binding = noon, "jkt:abc"
	return g, at
}

func TestClientsHaveTokensOfTheirOwn(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		g, at := clientGrant("machine")
		must(t, s.IssueClient(t.Context(), g, at))
		got, gotToken, err := s.Token(t.Context(), at.Hash, noon)
		at.Expires, at.Issued = utc(at.Expires), utc(at.Issued)
		if err != nil || !reflect.DeepEqual(got, inUTC(g)) || !reflect.DeepEqual(gotToken, at) {
			t.Errorf("got  %+v %+v, %v\nwant %+v %+v", got, gotToken, err, inUTC(g), at)
		}
		if _, _, err := s.Token(t.Context(), at.Hash, at.Expires); fault.Code(err) != "invalid_token" {
			t.Errorf("expired: %v", err)
		}
		if err := s.IssueClient(t.Context(), g, token(g)); err == nil {
			t.Error("a grant was issued over another")
		}
		// It has no refresh token, and stands on no user.
		_, err = s.Grant(t.Context(), g.ID, noon)
		wantFault(t, err, fault.Unauthenticated, "invalid_token")
		for _, guess := range []string{"", "x"} {
			next := token(g)
			if _, err := s.Rotate(t.Context(), openid.Rotation{Grant: g.ID, Client: "machine", OldHash: guess, NewHash: "next"}, next, noon); err == nil || lives(t, s, next) {
				t.Errorf("refresh token %q was exchanged", guess)
			}
		}
		if !lives(t, s, at) {
			t.Error("the guesses ended it")
		}
		wantFault(t, s.Exchange(t.Context(), at.Hash, token(g), noon), fault.Unauthenticated, "invalid_token")
		must(t, s.RevokeGrant(t.Context(), g.ID, noon))
		if lives(t, s, at) {
			t.Error("its token outlived it")
		}
		// The mark of a code that was replayed early is no client's grant.
		mark, late := clientGrant("machine")
		must(t, s.RevokeGrant(t.Context(), mark.ID, noon))
		if err := s.IssueClient(t.Context(), mark, late); err == nil || lives(t, s, late) {
			t.Error("issued over a mark")
		}
		// Nothing of it is kept once it is over.
		must(t, s.Sweep(t.Context(), g.Expires.Add(time.Second)))
		must(t, s.IssueClient(t.Context(), g, token(g)))
	})
}

func TestManyClientTokensAtOnce(t *testing.T) {
	replicas(t, func(t *testing.T, s [2]*store.Store) {
		tokens := make([]openid.AccessToken, 50)
		errs := race(50, func(i int) error {
			var g openid.Grant
			g, tokens[i] = clientGrant("machine")
			return s[i%2].IssueClient(t.Context(), g, tokens[i])
		})
		if n := tally(t, errs); n[""] != 50 {
			t.Errorf("got %v", n)
		}
		for i, at := range tokens {
			if !lives(t, s[0], at) {
				t.Errorf("token %d does not live", i)
			}
		}
	})
}

func TestGrantIsFoundWhileItsRefreshTokenWorks(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		u := someone(t, s)
		g, _ := issue(t, s, u, "rp", "sid")
		if got, err := s.Grant(t.Context(), g.ID, noon); err != nil || !reflect.DeepEqual(got, inUTC(g)) {
			t.Errorf("got  %+v, %v\nwant %+v", got, err, inUTC(g))
		}
		gone := func(what, id string, at time.Time) {
			t.Helper()
			if got, err := s.Grant(t.Context(), id, at); fault.Code(err) != "invalid_token" || !fault.Is(err, fault.Unauthenticated) || !reflect.DeepEqual(got, openid.Grant{}) {
				t.Errorf("%s: %+v, %v", what, got, err)
			}
		}
		gone("nobody's", "nobody", noon)
		gone("expired", g.ID, g.Expires)
		without, at := grant(u, "rp", "sid")
		without.RefreshHash = ""
		must(t, s.Issue(t.Context(), without, at))
		gone("without a refresh token", without.ID, noon)
		mark, _ := grant(u, "rp", "sid")
		must(t, s.RevokeGrant(t.Context(), mark.ID, noon))
		gone("a mark", mark.ID, noon)
		revoked, _ := issue(t, s, u, "rp", "sid")
		must(t, s.RevokeGrant(t.Context(), revoked.ID, noon))
		gone("revoked", revoked.ID, noon)
		ended, _ := issue(t, s, u, "rp", "over")
		must(t, s.EndSession(t.Context(), "over", noon, audit.Event{}))
		gone("of an ended session", ended.ID, noon)
		for _, loss := range losses {
			v := someone(t, s)
			g, _ := issue(t, s, v, "rp", "sid")
			must(t, s.Change(t.Context(), func(tx identity.Tx) error { return loss.lose(tx, v) }))
			gone(loss.name, g.ID, noon)
		}
		must(t, s.Change(t.Context(), func(tx identity.Tx) error { return tx.EndSessions(u.ID, "") }))
		gone("of another epoch", g.ID, noon)
	})
}

func TestDroppedTokensAreDead(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		g, at := issue(t, s, someone(t, s), "rp", "sid")
		_, second, err := rotate(t, s, g, g.RefreshHash, "next")
		must(t, err)
		must(t, s.DropToken(t.Context(), at.Hash))
		must(t, s.DropToken(t.Context(), at.Hash))
		must(t, s.DropToken(t.Context(), "nobody"))
		if lives(t, s, at) || !lives(t, s, second) {
			t.Error("wrong tokens live")
		}
		if _, _, err := rotate(t, s, g, "next", "next2"); err != nil {
			t.Errorf("the grant went with it: %v", err)
		}
	})
}

func TestSessionClients(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		u := someone(t, s)
		issue(t, s, u, "rp", "sid")
		issue(t, s, u, "rp", "sid")
		g, _ := issue(t, s, u, "app", "sid")
		issue(t, s, u, "else", "other")
		must(t, s.RevokeGrant(t.Context(), g.ID, noon)) // it got something all the same
		for sid, want := range map[string][]string{"sid": {"app", "rp"}, "other": {"else"}, "nobody": nil, "": nil} {
			if got, err := s.SessionClients(t.Context(), sid); err != nil || len(got)+len(want) > 0 && !reflect.DeepEqual(got, want) {
				t.Errorf("%q: %v, %v", sid, got, err)
			}
		}
		own, at := clientGrant("machine")
		must(t, s.IssueClient(t.Context(), own, at))
		if got, err := s.SessionClients(t.Context(), ""); err != nil || len(got) != 0 {
			t.Errorf("a client's own grant is of no session: %v, %v", got, err)
		}
	})
}

// exchanged is a token of another client for one of the grant's.
func exchanged(t testing.TB, s *store.Store, g openid.Grant, subject openid.AccessToken) (openid.AccessToken, error) {
	t.Helper()
	at := token(g)
	at.Expires, at.Issued, at.Client, at.Scopes, at.Resources = subject.Expires, noon, "api", []string{"read"}, []string{"https://archive.example"}
	return at, s.Exchange(t.Context(), subject.Hash, at, noon)
}

// RFC 8693: what was exchanged stands on the token, and on all that it stands on.
func TestExchangedTokens(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		u := someone(t, s)
		g, first := issue(t, s, u, "rp", "sid")
		second, err := exchanged(t, s, g, first)
		must(t, err)
		got, gotToken, err := s.Token(t.Context(), second.Hash, noon)
		want := second
		want.Expires, want.Issued = utc(want.Expires), utc(want.Issued)
		if err != nil || !reflect.DeepEqual(gotToken, want) || !reflect.DeepEqual(got, inUTC(g)) {
			t.Errorf("got  %+v %+v, %v\nwant %+v", got, gotToken, err, want)
		}
		third, err := exchanged(t, s, g, second)
		must(t, err)
		must(t, s.DropToken(t.Context(), third.Hash))
		if !lives(t, s, second) || !lives(t, s, first) {
			t.Error("the first died of the second")
		}
		third, err = exchanged(t, s, g, second)
		must(t, err)
		must(t, s.DropToken(t.Context(), first.Hash))
		if lives(t, s, second) || lives(t, s, third) {
			t.Error("exchanged tokens outlived the first")
		}
		_, err = exchanged(t, s, g, first)
		wantFault(t, err, fault.Unauthenticated, "invalid_token")

		// It may not live longer, and the first must live.
		g, first = issue(t, s, u, "rp", "sid")
		long := token(g)
		long.Expires = first.Expires.Add(time.Microsecond)
		wantFault(t, s.Exchange(t.Context(), first.Hash, long, noon), fault.Unauthenticated, "invalid_token")
		wantFault(t, s.Exchange(t.Context(), first.Hash, token(g), first.Expires), fault.Unauthenticated, "invalid_token")
		wantFault(t, s.Exchange(t.Context(), "nobody", token(g), noon), fault.Unauthenticated, "invalid_token")
		second, err = exchanged(t, s, g, first)
		must(t, err)
		must(t, s.RevokeGrant(t.Context(), g.ID, noon))
		if lives(t, s, second) {
			t.Error("it outlived the grant")
		}
		_, err = exchanged(t, s, g, first)
		wantFault(t, err, fault.Unauthenticated, "invalid_token")
		must(t, s.Sweep(t.Context(), noon.Add(time.Hour))) // parents and children in any order
		if lives(t, s, first) {
			t.Error("expired tokens are kept")
		}

		for _, loss := range losses {
			v := someone(t, s)
			g, first := issue(t, s, v, "rp", "sid")
			second, err := exchanged(t, s, g, first)
			must(t, err)
			must(t, s.Change(t.Context(), func(tx identity.Tx) error { return loss.lose(tx, v) }))
			_, err = exchanged(t, s, g, first)
			wantFault(t, err, fault.Denied, loss.code)
			if lives(t, s, second) {
				t.Errorf("%s: wrong tokens live", loss.name)
			}
		}
	})
}

// Exchange against DropToken: whoever comes first, nothing lives afterwards.
func TestNoExchangeSlipsPastTheEndOfItsToken(t *testing.T) {
	replicas(t, func(t *testing.T, s [2]*store.Store) {
		u := someone(t, s[0])
		var grants [10]openid.Grant
		var firsts [10]openid.AccessToken
		for i := range grants {
			grants[i], firsts[i] = issue(t, s[0], u, "rp", fmt.Sprint("sid", i))
		}
		tokens := make([]openid.AccessToken, 50)
		errs := race(50, func(i int) (err error) {
			if i%5 == 2 {
				return s[0].DropToken(t.Context(), firsts[i/5].Hash)
			}
			tokens[i], err = exchanged(t, s[1], grants[i/5], firsts[i/5])
			return err
		})
		n := tally(t, errs)
		if n[""]+n["invalid_token"] != 50 || n[""] < 10 {
			t.Errorf("got %v", n)
		}
		for i, at := range tokens {
			if at.Hash != "" && lives(t, s[0], at) {
				t.Errorf("token %d lives", i)
			}
		}
	})
}
