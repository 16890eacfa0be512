package store_test

import (
	"crypto/rand"
	"sync"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/keys"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/session"
	"github.com/portti-id/portti/internal/store"
	"github.com/portti-id/portti/internal/storetest"
)

// noon is the time of every test, with microseconds and in a zone that is not UTC.
var noon = time.Date(2026, 11, 20, 12, 0, 0, 123456000, time.FixedZone("EET", 2*3600))

// each runs f over both databases with the clock at noon.
func each(t *testing.T, f func(t *testing.T, s *store.Store)) {
	t.Helper()
	storetest.EachConfig(t, func(t *testing.T, c store.Config) { f(t, connect(t, c)) })
}

// replicas runs f over both databases with two stores on each.
func replicas(t *testing.T, f func(t *testing.T, s [2]*store.Store)) {
	t.Helper()
	storetest.EachConfig(t, func(t *testing.T, c store.Config) { f(t, [2]*store.Store{connect(t, c), connect(t, c)}) })
}

func connect(t testing.TB, c store.Config) *store.Store {
	t.Helper()
	return storetest.Connect(t, c, func(d *store.Deps) { d.Now = func() time.Time { return noon } })
}

// race starts n callers at once and returns what each came to.
func race(n int, f func(i int) error) []error {
	errs := make([]error, n)
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		ready.Add(1)
		done.Go(func() {
			ready.Done()
			<-start
			errs[i] = f(i)
		})
	}
	ready.Wait()
	close(start)
	done.Wait()
	return errs
}

// tally counts how many callers came to each fault code; "" is success. Other
// errors fail the test.
func tally(t testing.TB, errs []error) map[string]int {
	t.Helper()
	counts := map[string]int{}
	for _, err := range errs {
		if _, ok := fault.Of(err); err != nil && !ok {
			t.Error(err)
		}
		counts[fault.Code(err)]++
	}
	return counts
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantFault(t testing.TB, err error, kind fault.Kind, code string) {
	t.Helper()
	if !fault.Is(err, kind) || fault.Code(err) != code {
		t.Errorf("got %v (code %q), want the fault %q of kind %d", err, fault.Code(err), code, kind)
	}
}

func organisation(id string, methods ...identity.Method) identity.Organisation {
	if len(methods) == 0 {
		methods = identity.AllMethods
	}
	return identity.Organisation{ID: identity.OrganisationID(id), Name: "Agency " + id, Methods: identity.MethodsOf(methods...),
		PersonalPhones: true, SharedWorkstations: true, Delivery: identity.ByHandover, HolderRule: identity.HolderApproved, ITContact: "it@example.org", Created: noon, Version: 1}
}

func addOrganisation(t testing.TB, s *store.Store, id string, methods ...identity.Method) identity.Organisation {
	t.Helper()
	o := organisation(id, methods...)
	must(t, s.Change(t.Context(), func(tx identity.Tx) error { return tx.AddOrganisation(o) }))
	return o
}

func user(org identity.OrganisationID, name string) identity.User {
	return identity.User{ID: identity.UserID("user-" + rand.Text()), Username: name, Organisation: org, GivenName: "Aino", FamilyName: "Virtanen",
		Email: "aino@example.org", Language: "fi", Created: noon, Updated: noon, Epoch: 1, Version: 1}
}

var password = identity.Password{Hash: "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaA", Temporary: true, Expires: noon.Add(24 * time.Hour), Changed: noon}

func addUser(t testing.TB, s *store.Store, org identity.OrganisationID, name string) identity.User {
	t.Helper()
	u := user(org, name)
	must(t, s.Change(t.Context(), func(tx identity.Tx) error { return tx.AddUser(u, password) }))
	return u
}

// someone is a user of an organisation of their own that permits everything.
func someone(t testing.TB, s *store.Store) identity.User {
	t.Helper()
	o := addOrganisation(t, s, "org-"+rand.Text())
	return addUser(t, s, o.ID, "name-"+rand.Text())
}

func person(t testing.TB, s *store.Store, id identity.UserID) identity.Person {
	t.Helper()
	p, err := s.Person(t.Context(), id)
	must(t, err)
	return p
}

func card(u identity.UserID, fingerprint string) identity.CardLink {
	return identity.CardLink{ID: identity.LinkID(rand.Text()), User: u, Fingerprint: fingerprint, SPKI: "spki", Issuer: "Test CA", IssuerDN: "CN=Test CA,C=FI",
		Serial: "0a1b", SubjectSerial: "99912345", HolderName: "VIRTANEN AINO", HolderOrg: "Agency", NotAfter: noon.AddDate(3, 0, 0), Linked: noon}
}

func authenticator(u identity.UserID) identity.Authenticator {
	return identity.Authenticator{ID: identity.AuthenticatorID(rand.Text()), User: u, Kind: identity.MethodToken, SealedKey: "sealed", Model: "FT-300", Serial: "123",
		OwnDevice: true, PersonalPhone: true, LastStep: 100, Drift: -2, Linked: noon}
}

func addAuthenticator(t testing.TB, s *store.Store, u identity.UserID) identity.Authenticator {
	t.Helper()
	a := authenticator(u)
	must(t, s.Change(t.Context(), func(tx identity.Tx) error { return tx.AddAuthenticator(a) }))
	return a
}

func client(id string) openid.Client {
	return openid.Client{ID: id, Name: map[string]string{"fi": "Palvelu", "en": "Service"}, SecretHash: "5e88", AuthMethod: openid.AuthBasic, Native: true,
		RedirectURIs: []string{"https://rp.example/cb?a=1"}, PostLogoutRedirectURIs: []string{"https://rp.example/out"},
		BackChannelLogoutURI: "https://rp.example/backchannel", GrantTypes: []openid.GrantType{openid.GrantCode, openid.GrantRefresh},
		Scopes: []string{"openid", "profile"}, MinimumACR: "card", Methods: 5, Algorithm: keys.ES256, RequirePKCE: true,
		AccessTokenTTL: 90 * time.Second, HomeURI: "https://rp.example/", Created: noon}
}

func addClient(t testing.TB, s *store.Store, c openid.Client) {
	t.Helper()
	must(t, s.ChangeClient(t.Context(), c, audit.Event{Type: audit.ClientCreated, Client: c.ID}))
}

// grant is a grant of a card session of the user, with a refresh token, and its
// first access token.
func grant(u identity.User, client, sid string) (openid.Grant, openid.AccessToken) {
	g := openid.Grant{ID: "grant-" + rand.Text(), Client: client, User: string(u.ID), Session: sid, Epoch: u.Epoch, Level: session.Full, Method: session.Card,
		Scopes: []string{"openid", "profile"}, ACR: "card", AMR: []string{"sc", "pin"}, Nonce: "n-0S6", AuthTime: noon.Add(-time.Minute), Created: noon,
		Expires: noon.Add(12 * time.Hour), RefreshHash: "refresh-" + rand.Text()}
	return g, token(g)
}

func token(g openid.Grant) openid.AccessToken {
	return openid.AccessToken{Hash: "token-" + rand.Text(), Grant: g.ID, Expires: noon.Add(5 * time.Minute)}
}

func issue(t testing.TB, s *store.Store, u identity.User, client, sid string) (openid.Grant, openid.AccessToken) {
	t.Helper()
	g, at := grant(u, client, sid)
	must(t, s.Issue(t.Context(), g, at))
	return g, at
}

// lives tells whether an access token is good now.
func lives(t testing.TB, s *store.Store, at openid.AccessToken) bool {
	t.Helper()
	_, _, err := s.Token(t.Context(), at.Hash, noon)
	if err != nil && fault.Code(err) != "invalid_token" {
		t.Fatal(err)
	}
	return err == nil
}

// utc is a time as the store gives it back.
func utc(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC()
}
