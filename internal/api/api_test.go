package api_test

import (
	"context"
	"encoding/base32"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/api"
	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/ephemeral"
	"github.com/portti-id/portti/internal/ephemeral/ephemeraltest"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/keys"
	"github.com/portti-id/portti/internal/login"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/password"
	"github.com/portti-id/portti/internal/session"
	"github.com/portti-id/portti/internal/store"
	"github.com/portti-id/portti/internal/storetest"
	"github.com/portti-id/portti/internal/throttle"
	"github.com/portti-id/portti/internal/totp"
	"github.com/portti-id/portti/internal/web"
	"github.com/portti-id/portti/pkg/portti"
)

// tokens are the live access tokens of a test, by their text.
type tokens map[string]openid.Grant

func (t tokens) Caller(w http.ResponseWriter, r *http.Request) (openid.Grant, error) {
	if g, ok := t[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]; ok {
		return g, nil
	}
	w.Header().Set("WWW-Authenticate", "Bearer")
	return openid.Grant{}, fault.New(fault.Unauthenticated, "invalid_token", "The access token is not valid.")
}

// requests knows one waiting request.
type requests struct{}

func (requests) Peek(_ context.Context, id string) (openid.Request, error) {
	if id != "tx" {
		return openid.Request{}, fault.New(fault.NotFound, "request_unknown", "Unknown.")
	}
	return openid.Request{ID: id, Client: openid.Client{Name: map[string]string{"en": "The Service"}}}, nil
}

// consents are what people have allowed.
type consents struct {
	allowed map[string][]openid.Allowed
	gone    []string
}

func (c *consents) Allowed(_ context.Context, user string) ([]openid.Allowed, error) {
	return c.allowed[user], nil
}

func (c *consents) Disallow(_ context.Context, s session.Session, client string) error {
	if client != "outsider" {
		return fault.New(fault.NotFound, "consent_not_found", "There is none.")
	}
	c.gone = append(c.gone, s.User+" "+s.Organisation+" "+s.ID+" "+client)
	return nil
}

// refusals knows one.
type refusals struct{}

func (refusals) Refusal(_ context.Context, reference string) (openid.Refusal, error) {
	if reference != "K7QM2XEA" {
		return openid.Refusal{}, fault.New(fault.NotFound, "refusal_unknown", "Unknown.")
	}
	return openid.Refusal{Reference: reference, Cause: openid.CauseAddressSlash, Parameter: "redirect_uri", Sent: []openid.Sent{{Name: "state", Length: 43}}}, nil
}

func (refusals) Course(_ context.Context, reference string) (openid.Course, error) {
	if reference != "K7QM2XEB" {
		return openid.Course{}, fault.New(fault.NotFound, "refusal_unknown", "Unknown.")
	}
	return openid.Course{References: []string{reference}, Client: "rp", Lines: []openid.CourseLine{{What: "decided", Why: "max_age", Explanation: "Too old."}}}, nil
}

func (r refusals) Courses(ctx context.Context, client string) ([]openid.Course, error) {
	c, err := r.Course(ctx, "K7QM2XEB")
	return []openid.Course{c}, err
}

// world is the API over a real directory, with a client for it.
type world struct {
	*portti.Client
	t         *testing.T
	directory *identity.Directory
	sign      *login.Service
	sessions  *session.Sessions
	tokens    tokens
	consents  *consents
	user      identity.UserID
	db        *store.Store
}

const own = "correct horse battery staple"

func newWorld(t *testing.T) *world {
	t.Helper()
	memory := ephemeral.NewMemory(time.Now)
	t.Cleanup(func() { _ = memory.Close() })
	return newWorldOver(t, storetest.Open(t, store.SQLite), memory)
}

// each runs f over both pairs of backends.
func each(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	t.Run("sqlite+memory", func(t *testing.T) { f(t, newWorld(t)) })
	t.Run("postgres+redis", func(t *testing.T) { f(t, newWorldOver(t, storetest.Open(t, store.Postgres), ephemeraltest.Open(t))) })
}

func newWorldOver(t *testing.T, db *store.Store, memory ephemeral.Store) *world {
	t.Helper()
	w := &world{t: t, tokens: tokens{}, consents: &consents{}}
	hasher, err := password.NewHasher(password.Params{MemoryKiB: 64, Time: 1})
	w.must(err)
	rules, err := password.NewRules(0)
	w.must(err)
	names, err := totp.NewNames("PORTTI", "", false)
	w.must(err)
	master, err := keys.ReadMaster(strings.NewReader(keys.GenerateMaster() + "\n"))
	w.must(err)
	limits := &throttle.Throttle{Store: memory}
	w.directory = &identity.Directory{Store: db, Hasher: hasher, Rules: rules, Sealer: master, Ephemeral: memory, Throttle: limits, Audit: db, Now: time.Now, Names: names}
	w.sessions = &session.Sessions{Store: memory, Now: time.Now}
	w.sign = &login.Service{Directory: w.directory, Sessions: w.sessions, Ephemeral: memory, Throttle: limits, Audit: db, Now: time.Now,
		CardPlace: func(m card.Mode) (card.Place, bool) {
			return card.Place{Origin: "https://card.example", Name: "card.example"}, m == card.Strict || m == card.OldTLS
		}}
	site, err := web.New(web.Settings{Brand: "Portti", PublicURL: "http://id.localhost"})
	w.must(err)
	mux := http.NewServeMux()
	(&api.API{Directory: w.directory, Login: w.sign, Sessions: w.sessions, Tokens: w.tokens, Requests: requests{}, Consents: w.consents, Issuer: "https://id.example",
		Origins: []string{"https://us.example"}, MinPassword: 15, Support: "020", Now: time.Now, Handle: site.HandleJSON, HandleLarge: site.HandleLargeJSON, Registered: db, Refusals: refusals{}, Checkups: checkups{}, Previews: previews{},
		Clients: &openid.Clients{Store: db, ACR: openid.NewACRs("urn:portti:acr:"), Now: time.Now}, Address: site.ClientAddr}).Routes(mux)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	w.db = db
	w.Client = &portti.Client{Issuer: server.URL, HTTP: server.Client()}

	ctx, operator := t.Context(), identity.Actor{Name: "operator:test", Operator: true}
	_, err = w.directory.CreateOrganisation(ctx, operator, identity.Organisation{ID: "org", Name: "Org", Methods: identity.MethodsOf(identity.MethodCard, identity.MethodApp),
		PersonalPhones: true, Delivery: identity.ByHandover})
	w.must(err)
	u, _, err := w.directory.CreateUser(ctx, operator, identity.User{Username: "liisa", Organisation: "org", GivenName: "Liisa", FamilyName: "M", Language: "sv"})
	w.must(err)
	w.user = u.ID
	w.settle(u.ID)
	return w
}

// settle gives a person a password of her own.
func (w *world) settle(id identity.UserID) {
	w.t.Helper()
	p, err := w.db.Person(w.t.Context(), id)
	w.must(err)
	_, err = w.directory.ReplaceTemporary(w.t.Context(), p, own, "")
	w.must(err)
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// enter starts a session and gives a token of it.
func (w *world) enter(level session.Level, method session.Method, scopes ...string) (token string, s session.Session) {
	w.t.Helper()
	_, s, err := w.sessions.Start(w.t.Context(), session.Session{User: string(w.user), Level: level, Method: method, AuthTime: time.Now(), Waiting: "tx", WaitingUntil: time.Now().Add(time.Hour)})
	w.must(err)
	token = "token-" + s.ID
	w.tokens[token] = openid.Grant{Kind: openid.GrantCode, User: string(w.user), Session: s.ID, Level: level, Method: method, AuthTime: s.AuthTime, Scopes: scopes}
	return token, s
}

// Every route refuses a caller without the right token, and an app that is not
// meant for the API (S19).
func TestOnlyTheRightTokenOpensTheAPI(t *testing.T) {
	w := newWorld(t)
	profile, _ := w.enter(session.Full, session.App, "openid", "profile")
	enrolAsFull, _ := w.enter(session.Enrol, session.Password, "openid", "us")
	fullAsEnrol, _ := w.enter(session.Full, session.App, "openid", "us.enrol")
	const nobody = "token-of-a-program" // client_credentials: there is no person behind it
	w.tokens[nobody] = openid.Grant{Kind: openid.GrantClient, Client: "robot", Scopes: []string{"us", "us.enrol"}}
	device, _ := w.enter(session.Full, session.App, "openid", "us")
	g := w.tokens[device]
	g.Kind = openid.GrantDevice
	w.tokens[device] = g
	for name, call := range map[string]func(token string) error{
		"me":      func(token string) error { _, err := w.Me(t.Context(), token); return err },
		"begin":   func(token string) error { _, err := w.BeginAuthenticator(t.Context(), token); return err },
		"confirm": func(token string) error { return w.ConfirmAuthenticator(t.Context(), token, portti.Confirmation{}) },
		"try":     func(token string) error { return w.TryCode(t.Context(), token, "123456") },
		"attempt": func(token string) error {
			_, err := w.BeginCard(t.Context(), token, "https://us.example/", "")
			return err
		},
		"progress": func(token string) error { _, err := w.CardProgress(t.Context(), token); return err },
		"outcome":  func(token string) error { _, err := w.CardOutcome(t.Context(), token); return err },
		"seen":     func(token string) error { _, err := w.SeenCard(t.Context(), token, "x"); return err },
		"link":     func(token string) error { return w.LinkCard(t.Context(), token, "x") },
		"password": func(token string) error { return w.ChangePassword(t.Context(), token, own, "x") },
		"consents": func(token string) error { _, err := w.Consents(t.Context(), token); return err },
		"withdraw": func(token string) error { return w.Withdraw(t.Context(), token, "outsider") },
	} {
		for token, want := range map[string]string{"": "invalid_token", "unknown": "invalid_token", profile: "insufficient_scope", nobody: "insufficient_scope", device: "insufficient_scope", enrolAsFull: "insufficient_scope", fullAsEnrol: "insufficient_scope"} {
			if err := call(token); portti.Code(err) != want {
				t.Errorf("%s with %q: %v, want %s", name, token, err, want)
			}
		}
	}
	res, err := http.Get(w.Issuer + "/api/v1/me")
	w.must(err)
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != 401 || !strings.HasPrefix(res.Header.Get("WWW-Authenticate"), "Bearer") || res.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
}

// S18, S20, S37: the first day through the API.
func TestLinkAnAuthenticator(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	token, _ := w.enter(session.Enrol, session.Password, "openid", "us.enrol")
	me, err := w.Me(ctx, token)
	w.must(err)
	if me.Full || !slices.Equal(me.Organisation.Methods, []portti.Method{portti.Card, portti.App}) || me.May != (portti.May{Token: "policy_denied", Order: "full_signin_required"}) {
		t.Errorf("%+v", me)
	}
	if me.Waiting == nil || me.Waiting.Service["en"] != "The Service" || me.Waiting.Resume != "https://id.example/signin/resume" {
		t.Errorf("waiting %+v", me.Waiting)
	}
	e, err := w.BeginAuthenticator(ctx, token)
	w.must(err)
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ReplaceAll(e.Key, " ", ""))
	w.must(err)
	code, err := totp.Code(key, totp.Step(time.Now()))
	w.must(err)
	if err := w.ConfirmAuthenticator(ctx, token, portti.Confirmation{Code: code, Kind: portti.Token, OwnDevice: true}); portti.Code(err) != "policy_denied" || err.(*portti.Error).Status != 403 {
		t.Errorf("S4: a forged kind: %v", err)
	}
	w.must(w.ConfirmAuthenticator(ctx, token, portti.Confirmation{Code: code, Kind: portti.App, OwnDevice: true}))
	if err := w.TryCode(ctx, token, code); portti.Code(err) != "otp_used" {
		t.Errorf("S44: %v", err)
	}
	me, err = w.Me(ctx, token)
	w.must(err)
	if me.App == nil || me.App.Kind != portti.App || me.May.Card != "code_required" {
		t.Errorf("S28: a password alone links a second way: %+v", me)
	}
	if _, err := w.BeginCard(ctx, token, "https://us.example/card/return", ""); portti.Code(err) != "code_required" {
		t.Errorf("S28: %v", err)
	}
}

// S26: the card's ceremony, and where it may return to.
func TestLinkACard(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	token, _ := w.enter(session.Enrol, session.Password, "openid", "us.enrol")
	for _, back := range []string{"", "https://evil.example/", "https://us.example.evil.example/", "https://us.example@evil.example/", "http://us.example/", "//us.example/", "https://us.example/#x", "javascript:alert(1)"} {
		if _, err := w.BeginCard(ctx, token, back, ""); portti.Code(err) != "return_invalid" {
			t.Errorf("return to %q: %v", back, err)
		}
	}
	a, err := w.BeginCard(ctx, token, "https://us.example/card/return?lang=sv", "")
	w.must(err)
	door := login.Attempts{Service: w.sign}
	attempt, err := door.Open(ctx, a.URL[strings.LastIndex(a.URL, "/")+1:], "card.example")
	w.must(err)
	back, err := door.Finish(ctx, attempt, card.Result{Verdict: card.Good, At: time.Now(), Holder: card.Holder{Fingerprint: "ff", SPKI: "s", Issuer: "CA", IssuerDN: "CN=CA",
		Serial: "12345678", Name: "Liisa M", Organisation: "Org", NotAfter: time.Now().Add(time.Hour)}})
	w.must(err)
	if !strings.HasPrefix(back, "https://us.example/card/return?") || !strings.Contains(back, "lang=sv") {
		t.Errorf("returns to %s", back)
	}
	_, code, _ := strings.Cut(back, "code=")
	code, _, _ = strings.Cut(code, "&")
	seen, err := w.SeenCard(ctx, token, code)
	w.must(err)
	if seen.Card.Holder != "Liisa M" || seen.Card.Tail != "5678" {
		t.Errorf("seen %+v", seen)
	}
	w.must(w.LinkCard(ctx, token, seen.Fingerprint))
	me, err := w.Me(ctx, token)
	w.must(err)
	if me.Card == nil || me.Card.Tail != "5678" || me.May.Card != "card_already_linked" || me.May.App != "link_closed" {
		t.Errorf("%+v", me)
	}
}

// S35: how the person's own attempt goes, with whom it is anybody's to know; a mode
// that is not for linking begins none.
func TestHowALinkingGoes(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	token, _ := w.enter(session.Enrol, session.Password, "openid", "us.enrol")
	other, _ := w.enter(session.Enrol, session.Password, "openid", "us.enrol")
	is := func(what, token string, ask func(context.Context, string) (portti.CardProgress, error), want portti.CardProgress) {
		t.Helper()
		got, err := ask(ctx, token)
		w.must(err)
		if got != want {
			t.Errorf("%s: %+v, not %+v", what, got, want)
		}
	}
	is("before", token, w.CardProgress, portti.CardProgress{Phase: "none"})
	for _, mode := range []portti.CardMode{"any", "x"} {
		if _, err := w.BeginCard(ctx, token, "https://us.example/", mode); portti.Code(err) != "card_unavailable" {
			t.Errorf("mode %s: %v", mode, err)
		}
	}
	a, err := w.BeginCard(ctx, token, "https://us.example/", portti.CardTLS12)
	w.must(err)
	is("begun", token, w.CardProgress, portti.CardProgress{Phase: "waiting"})
	is("back", token, w.CardOutcome, portti.CardProgress{Phase: "decided", Verdict: "handshake_broken", Silent: true, TLS12: true})
	is("another session", other, w.CardOutcome, portti.CardProgress{Phase: "none"})
	door := login.Attempts{Service: w.sign}
	attempt, err := door.Open(ctx, a.URL[strings.LastIndex(a.URL, "/")+1:], "card.example")
	w.must(err)
	_, err = door.Finish(ctx, attempt, card.Result{Verdict: card.Expired, Mode: card.OldTLS, At: time.Now()})
	w.must(err)
	is("read", token, w.CardProgress, portti.CardProgress{Phase: "decided", Verdict: "expired", Result: true})
	for range 200 {
		if _, err = w.CardProgress(ctx, token); err != nil {
			break
		}
	}
	if portti.Code(err) != "throttled" {
		t.Errorf("asked two hundred times: %v", err)
	}
	is("another session, later", other, w.CardProgress, portti.CardProgress{Phase: "none"})
}

// S27: of fifty people who link one card at once one has it. The others are told that
// it is somebody's, and not whose.
func TestFiftyPeopleLinkOneCard(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx, operator := t.Context(), identity.Actor{Name: "operator:test", Operator: true}
		door := login.Attempts{Service: w.sign}
		type person struct{ token, fingerprint string }
		all := make([]person, 50)
		for i := range all {
			u, _, err := w.directory.CreateUser(ctx, operator, identity.User{Username: fmt.Sprintf("liisa.%d", i), Organisation: "org", GivenName: "Liisa", FamilyName: "M", Language: "sv"})
			w.must(err)
			w.settle(u.ID)
			w.user = u.ID
			token, _ := w.enter(session.Enrol, session.Password, "openid", "us.enrol")
			a, err := w.BeginCard(ctx, token, "https://us.example/", "")
			w.must(err)
			attempt, err := door.Open(ctx, a.URL[strings.LastIndex(a.URL, "/")+1:], "card.example")
			w.must(err)
			back, err := door.Finish(ctx, attempt, card.Result{Verdict: card.Good, At: time.Now(), Holder: card.Holder{Fingerprint: "one", SPKI: "s", Issuer: "CA", IssuerDN: "CN=CA",
				Serial: "12345678", Name: "Liisa M", NotAfter: time.Now().Add(time.Hour)}})
			w.must(err)
			_, code, _ := strings.Cut(back, "code=")
			seen, err := w.SeenCard(ctx, token, code)
			w.must(err)
			all[i] = person{token, seen.Fingerprint}
		}
		var done sync.WaitGroup
		var linked atomic.Int64
		for _, p := range all {
			done.Go(func() {
				err := w.LinkCard(ctx, p.token, p.fingerprint)
				var e *portti.Error
				switch {
				case err == nil:
					linked.Add(1)
				case !errors.As(err, &e) || e.Code != "card_linked_elsewhere" || e.Status != http.StatusConflict:
					t.Error(err)
				case len(e.Args) > 0 || strings.Contains(strings.ToLower(e.Detail), "liisa"):
					t.Errorf("it is said whose card it is: %+v", e)
				}
			})
		}
		done.Wait()
		holders := 0
		for _, p := range all {
			if me, err := w.Me(ctx, p.token); err != nil || me.Card != nil {
				w.must(err)
				holders++
			}
		}
		if linked.Load() != 1 || holders != 1 {
			t.Errorf("%d linked it, %d have it", linked.Load(), holders)
		}
	})
}

// S58.
func TestChangePassword(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	enrol, _ := w.enter(session.Enrol, session.Password, "openid", "us.enrol")
	if err := w.ChangePassword(ctx, enrol, own, "another fine long password"); portti.Code(err) != "full_signin_required" {
		t.Errorf("by a password alone: %v", err)
	}
	full, _ := w.enter(session.Full, session.Card, "openid", "us")
	if err := w.ChangePassword(ctx, full, own, "short"); portti.Code(err) != "password_too_short" || err.(*portti.Error).Field != "new" || err.(*portti.Error).Args["n"] != "15" {
		t.Errorf("%+v", err)
	}
	w.must(w.ChangePassword(ctx, full, own, "another fine long password"))
}

// Bodies that are not what the address takes are refused, and named as such.
func TestBadBodies(t *testing.T) {
	w := newWorld(t)
	token, _ := w.enter(session.Full, session.Card, "openid", "us")
	for _, body := range []string{"", "[]", "{", `{"code":1}`, `{"code":"1","admin":true}`, `{"code":"1"}{"code":"2"}`, strings.Repeat(" ", 1<<20) + `{"code":"1"}`} {
		req, err := http.NewRequestWithContext(t.Context(), "POST", w.Issuer+"/api/v1/me/authenticator/trial", strings.NewReader(body))
		w.must(err)
		req.Header.Set("Authorization", "Bearer "+token)
		res, err := w.HTTP.Do(req)
		w.must(err)
		if err := res.Body.Close(); err != nil || res.StatusCode/100 != 4 {
			t.Errorf("%.20q: %d", body, res.StatusCode)
		}
	}
}
