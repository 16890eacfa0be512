package openid_test

import (
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/clientjwt/clientjwttest"
	"github.com/portti-id/portti/internal/ephemeral"
	"github.com/portti-id/portti/internal/ephemeral/ephemeraltest"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/store"
	"github.com/portti-id/portti/internal/storetest"
)

func open(c *openid.Config, _ *openid.Deps) { c.SelfRegistration = openid.OpenSelfRegistration }

func byToken(c *openid.Config, _ *openid.Deps) {
	c.SelfRegistration = openid.SelfRegistrationByToken
}

// call sends JSON to the registration endpoints.
func (k *kit) call(method, address, token, body string) reply {
	k.t.Helper()
	if !strings.HasPrefix(address, "http") {
		address = k.url + address
	}
	req, err := http.NewRequest(method, address, strings.NewReader(body))
	if err != nil {
		k.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return k.do(req)
}

func (k *kit) register(token, body string) reply {
	return k.call("POST", openid.RegisterPath, token, body)
}

// initial is an initial access token.
func (k *kit) initial(uses int64, lasts time.Duration) (openid.RegistrationToken, string) {
	k.t.Helper()
	t, secret, err := k.clients.NewRegistrationToken(k.t.Context(), "operator:test", "for a test", uses, lasts, false)
	if err != nil {
		k.t.Fatal(err)
	}
	return t, secret
}

const ownCallback = `{"redirect_uris":["https://rp.example/cb"]}`

// The life of a client that comes by itself: it registers, signs somebody in,
// reads, changes and ends its registration (RFC 7591, RFC 7592).
func TestAClientRegistersItself(t *testing.T) {
	k := newKit(t, byToken)
	_, initial := k.initial(2, time.Hour)
	r := k.register(initial, `{"redirect_uris":["https://rp.example/cb"],"client_name":"Self","grant_types":["authorization_code","refresh_token"],"response_types":["code"],
		"logo_uri":"https://rp.example/logo.png","policy_uri":"https://rp.example/policy","tos_uri":"https://rp.example/tos","contacts":["a@rp.example"],"favourite_colour":"blue"}`)
	if r.status != http.StatusCreated || r.header.Get("Cache-Control") != "no-store" || r.header.Get("Content-Type") != "application/json" {
		t.Fatalf("%d %v %s", r.status, r.header, r.raw)
	}
	id, secret, manage, uri := r.text("client_id"), r.text("client_secret"), r.text("registration_access_token"), r.text("registration_client_uri")
	for name, want := range map[string]any{
		"client_name": "Self", "token_endpoint_auth_method": "client_secret_basic", "id_token_signed_response_alg": "RS256", "application_type": "web", "subject_type": "public",
		"scope": "openid profile email address phone offline_access", "client_secret_expires_at": 0.0, "logo_uri": "https://rp.example/logo.png",
	} {
		if r.json[name] != want {
			t.Errorf("%s is %v, want %v", name, r.json[name], want)
		}
	}
	if len(id) != 26 || len(secret) != 43 || len(manage) != 43 || uri != k.url+"/register/"+id || r.json["client_id_issued_at"].(float64) < 1e9 {
		t.Errorf("%s", r.raw)
	}
	for _, ours := range []string{"third_party", "favourite_colour", "registration_token_hash", "methods", "profile"} {
		if _, there := r.json[ours]; there {
			t.Errorf("%s is told", ours)
		}
	}
	c, err := k.store.Client(t.Context(), id)
	if err != nil || !c.ThirdParty || !c.SelfRegistered() || strings.Contains(c.RegistrationTokenHash+c.SecretHash, manage) || c.RequirePKCE {
		t.Errorf("%+v %v", c, err)
	}
	events, err := k.store.AuditEvents(t.Context(), store.Trail{Types: []audit.Type{audit.ClientCreated}})
	if err != nil || len(events) != 1 || events[0].Actor != "client:"+id || events[0].Reason != "dynamic_registration" || events[0].Address != "192.0.2.1" || events[0].Details["registration_token"] == "" {
		t.Errorf("%+v %v", events, err)
	}

	k.secrets[id] = secret
	b := k.browser()
	a := k.authorize(b, request("client_id", id))
	if a.params.Get("code") == "" && !strings.Contains(a.body, "consent") {
		t.Errorf("it signs nobody in: %d %s %s", a.status, a.to, a.body)
	}

	got := k.call("GET", uri, manage, "")
	if got.status != http.StatusOK || got.text("registration_access_token") != manage || got.text("client_id") != id || got.json["client_secret"] != nil || got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d %s", got.status, got.raw)
	}
	if strings.Contains(got.raw, c.SecretHash) || strings.Contains(got.raw, c.RegistrationTokenHash) {
		t.Error("a hash is told")
	}

	put := k.call("PUT", uri, manage, `{"client_id":"`+id+`","client_secret":"`+secret+`","redirect_uris":["https://rp.example/other"],"token_endpoint_auth_method":"client_secret_post"}`)
	if put.status != http.StatusOK || put.json["logo_uri"] != nil || put.text("token_endpoint_auth_method") != "client_secret_post" || !strings.Contains(put.raw, "/other") {
		t.Errorf("%d %s", put.status, put.raw)
	}
	if a := k.authorize(k.browser(), request("client_id", id)); a.status != http.StatusBadRequest || a.to != nil {
		t.Error("an address that was taken out is still answered to")
	}
	if gone := k.call("DELETE", uri, manage, ""); gone.status != http.StatusNoContent || gone.raw != "" {
		t.Errorf("%d %s", gone.status, gone.raw)
	}
	for _, method := range []string{"GET", "PUT", "DELETE"} {
		if after := k.call(method, uri, manage, `{"client_id":"`+id+`"}`); after.status != http.StatusUnauthorized {
			t.Errorf("%s after the end: %d", method, after.status)
		}
	}
	if a := k.authorize(k.browser(), request("client_id", id, "redirect_uri", "https://rp.example/other")); a.status != http.StatusForbidden {
		t.Errorf("an ended client is served: %d", a.status)
	}
}

// What software cannot give itself.
func TestWhatAClientCannotChoose(t *testing.T) {
	k := newKit(t, open)
	k.client("victim")
	r := k.register("", `{"redirect_uris":["https://rp.example/cb"],"client_id":"victim","client_secret":"chosen","scope":"openid clients us us.enrol profile","third_party":false,
		"profile":"fapi2","minimum_acr":"urn:portti:acr:card","methods":["card"],"serves":["https://api.example"],"exchange_to":["https://api.example"],"resources":["https://api.example"],
		"access_token_lifetime":3600,"access_token_format":"jwt","keep_refresh_token":true,"forwards_addresses":true,"registration_token_hash":"00","Registration_Token_Hash":"00"}`)
	if r.status != http.StatusCreated {
		t.Fatalf("%d %s", r.status, r.raw)
	}
	c, err := k.store.Client(t.Context(), r.text("client_id"))
	if err != nil || c.ID == "victim" || !slices.Equal(c.Scopes, []string{"openid", "profile"}) || !c.ThirdParty || c.Profile != "" || c.MinimumACR != "" || c.Methods != 0 ||
		len(c.Serves)+len(c.ExchangeTo)+len(c.Resources) != 0 || c.AccessTokenTTL != 0 || c.TokenFormat != "" || c.KeepRefreshToken || c.ForwardsAddresses || len(c.RegistrationTokenHash) != 64 {
		t.Errorf("%+v %v", c, err)
	}

	// What operators decide later stays when the client replaces its registration.
	_, err = k.clients.Change(t.Context(), "operator:test", c.ID, func(c *openid.Client) error {
		c.MinimumACR, c.Methods, c.Scopes = "urn:portti:acr:card", 1, append(c.Scopes, "extra")
		return nil
	}, false)
	if err != nil {
		t.Fatal(err)
	}
	put := k.call("PUT", r.text("registration_client_uri"), r.text("registration_access_token"),
		`{"client_id":"`+c.ID+`","redirect_uris":["https://rp.example/cb"],"minimum_acr":"","scope":"openid extra clients","third_party":false}`)
	if c, err = k.store.Client(t.Context(), c.ID); put.status != 200 || err != nil || c.MinimumACR != "urn:portti:acr:card" || c.Methods != 1 || !c.ThirdParty || !slices.Equal(c.Scopes, []string{"openid", "extra"}) {
		t.Errorf("%d %s %+v", put.status, put.raw, c)
	}
}

// Each refusal has its code, says what is wrong, and does not repeat what was sent.
func TestRegistrationsThatAreRefused(t *testing.T) {
	k := newKit(t, open)
	for body, want := range map[string]string{
		`{"redirect_uris":["https://rp.example/canary#canary"]}`:                                     "invalid_redirect_uri",
		`{"redirect_uris":["https://rp.example/*canary"]}`:                                           "invalid_redirect_uri",
		`{"redirect_uris":["http://rp.example/canary"]}`:                                             "invalid_redirect_uri",
		`{"redirect_uris":["javascript:canary"]}`:                                                    "invalid_redirect_uri",
		`{"redirect_uris":["https://a.example/canary","https://a.example/canary"]}`:                  "invalid_redirect_uri",
		`{"redirect_uris":["https://rp.example/\"canary"]}`:                                          "invalid_redirect_uri",
		`{"redirect_uris":["https://rp.example/kanä-canary"]}`:                                       "invalid_redirect_uri",
		`{"redirect_uris":[]}`:                                                                       "invalid_redirect_uri",
		`{}`:                                                                                         "invalid_redirect_uri",
		`{"redirect_uris":"https://rp.example/cb"}`:                                                  "invalid_redirect_uri",
		`{"redirect_uris":["https://rp.example/cb"],"response_types":["code","token"]}`:              "invalid_client_metadata",
		`{"redirect_uris":["https://rp.example/cb"],"grant_types":["client_credentials"]}`:           "invalid_client_metadata",
		`{"redirect_uris":["https://rp.example/cb"],"grant_types":["refresh_token"]}`:                "invalid_client_metadata",
		`{"redirect_uris":["https://rp.example/cb"],"grant_types":["canary"]}`:                       "invalid_client_metadata",
		`{"redirect_uris":["https://rp.example/cb"],"token_endpoint_auth_method":"canary"}`:          "invalid_client_metadata",
		`{"redirect_uris":["https://rp.example/cb"],"token_endpoint_auth_method":"private_key_jwt"}`: "invalid_client_metadata",
		`{"redirect_uris":["https://rp.example/cb"],"id_token_signed_response_alg":"none"}`:          "invalid_client_metadata",
		`{"redirect_uris":["https://rp.example/cb"],"userinfo_signed_response_alg":"none"}`:          "invalid_client_metadata",
		`{"redirect_uris":["https://rp.example/cb"],"request_object_signing_alg":"none"}`:            "invalid_client_metadata",
		`{"redirect_uris":["https://rp.example/cb"],"scope":"profile"}`:                              "invalid_client_metadata",
		`{"redirect_uris":["https://rp.example/cb"],"client_name":"a\nb"}`:                           "invalid_client_metadata",
		`{"redirect_uris":["https://rp.example/cb"],"client_name":7}`:                                "invalid_client_metadata",
		`{"redirect_uris":["https://rp.example/cb"],"logo_uri":"javascript:canary"}`:                 "invalid_client_metadata",
		`{"redirect_uris":["https://rp.example/cb"],"jwks":{"keys":[{"kty":"canary"}]}}`:             "invalid_client_metadata",
		`{"redirect_uris":["https://rp.example/cb"],"jwks":{"keys":[]},"jwks_uri":"https://a.b/c"}`:  "invalid_client_metadata",
		`{"redirect_uris":["https://rp.example/cb"],"jwks_uri":"http://rp.example/canary"}`:          "invalid_client_metadata",
		`{"redirect_uris":["https://rp.example/cb"],"sector_identifier_uri":"http://a.example/"}`:    "invalid_client_metadata",
		`{"redirect_uris":["https://rp.example/cb"],"subject_type":"canary"}`:                        "invalid_client_metadata",
		`{"redirect_uris":["https://rp.example/cb","https://b.example/"],"subject_type":"pairwise"}`: "invalid_client_metadata",
		`{"redirect_uris":["https://rp.example/cb"],"application_type":"canary"}`:                    "invalid_client_metadata",
		`{"redirect_uris":["https://rp.example/cb"],"default_max_age":-1}`:                           "invalid_client_metadata",
		``: "invalid_client_metadata", `[]`: "invalid_client_metadata", `null`: "invalid_client_metadata", `"canary"`: "invalid_client_metadata", `{`: "invalid_client_metadata",
		ownCallback + ownCallback: "invalid_client_metadata", `{"x":"` + strings.Repeat("x", 200<<10) + `"}`: "invalid_client_metadata",
	} {
		r := k.register("", body)
		text := r.text("error_description")
		if r.status != http.StatusBadRequest || r.text("error") != want || text == "" || strings.Contains(text, "canary") || strings.ContainsAny(text, "\"\\") || r.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%.90s: %d %s, want %s", body, r.status, r.raw, want)
		}
	}
	clients, err := k.store.Clients(t.Context())
	if err != nil || len(clients) != 0 {
		t.Errorf("%d clients were registered, %v", len(clients), err)
	}
	req, err := http.NewRequest("POST", k.url+openid.RegisterPath, strings.NewReader(ownCallback))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if r := k.do(req); r.status != 400 {
		t.Errorf("a form: %d", r.status)
	}
	if r := k.call("GET", openid.RegisterPath, "", ""); r.status != http.StatusMethodNotAllowed || r.header.Get("Allow") == "" {
		t.Errorf("GET: %d", r.status)
	}
}

// Every kind of client that the Dynamic OP plan registers.
func TestKindsThatRegister(t *testing.T) {
	k := newKit(t, open)
	jwks := string(clientjwttest.New(t, "RS256").JWKS())
	for body, secret := range map[string]bool{
		ownCallback: true,
		`{"redirect_uris":["https://rp.example/cb?a=b"],"token_endpoint_auth_method":"client_secret_post"}`:                                                        true,
		`{"redirect_uris":["http://localhost:7777/cb"],"application_type":"native","token_endpoint_auth_method":"none"}`:                                           false,
		`{"redirect_uris":["https://rp.example/cb"],"token_endpoint_auth_method":"private_key_jwt","jwks":` + jwks + `,"token_endpoint_auth_signing_alg":"RS256"}`: false,
		`{"redirect_uris":["https://rp.example/cb"],"token_endpoint_auth_method":"private_key_jwt","jwks_uri":"https://rp.example/jwks"}`:                          false,
		`{"redirect_uris":["https://rp.example/cb"],"jwks":` + jwks + `,"request_uris":["https://rp.example/request.jwt"],"request_object_signing_alg":"RS256"}`:   true,
		`{"redirect_uris":["https://rp.example/cb"],"userinfo_signed_response_alg":"RS256","id_token_signed_response_alg":"RS256"}`:                                true,
		`{"redirect_uris":["https://rp.example/cb"],"subject_type":"pairwise"}`:                                                                                    true,
		`{"redirect_uris":["https://rp.example/cb"],"subject_type":"public","grant_types":["authorization_code","refresh_token"],"scope":"openid offline_access"}`: true,
	} {
		r := k.register("", body)
		_, expires := r.json["client_secret_expires_at"]
		if r.status != http.StatusCreated || (r.text("client_secret") != "") != secret || expires != secret {
			t.Errorf("%.100s: %d %s", body, r.status, r.raw)
		}
	}
}

// A sector's document must list every address (OpenID Connect Dynamic Client
// Registration §5).
func TestSectorIsChecked(t *testing.T) {
	mux := http.NewServeMux()
	for path, body := range map[string]string{"/good": `["https://a.example/cb","https://b.example/cb","https://c.example/cb"]`, "/less": `["https://a.example/cb"]`, "/none": `{}`, "/html": `<html>`} {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })
	}
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/good", http.StatusFound) })
	sector := httptest.NewTLSServer(mux)
	defer sector.Close()
	k := newKit(t, open, func(c *openid.Config, _ *openid.Deps) {
		c.Outgoing.RootCAs = x509.NewCertPool()
		c.Outgoing.RootCAs.AddCert(sector.Certificate())
	})
	body := func(path, subject string) string {
		return `{"redirect_uris":["https://a.example/cb","https://b.example/cb"],"subject_type":"` + subject + `","sector_identifier_uri":"` + sector.URL + path + `"}`
	}
	if r := k.register("", body("/good", "pairwise")); r.status != http.StatusCreated || r.text("sector_identifier_uri") == "" {
		t.Errorf("%d %s", r.status, r.raw)
	}
	if r := k.register("", body("/good", "public")); r.status != http.StatusCreated || r.json["sector_identifier_uri"] != nil {
		t.Errorf("%d %s", r.status, r.raw)
	}
	for _, path := range []string{"/less", "/none", "/html", "/moved", "/missing"} {
		for _, subject := range []string{"public", "pairwise"} {
			if r := k.register("", body(path, subject)); r.status != 400 || r.text("error") != "invalid_client_metadata" {
				t.Errorf("%s: %d %s", path, r.status, r.raw)
			}
		}
	}
	guarded := newKit(t, open, func(c *openid.Config, _ *openid.Deps) { c.Outgoing.AllowNetworks = nil })
	if r := guarded.register("", body("/good", "pairwise")); r.status != 400 {
		t.Errorf("a private address was called: %d", r.status)
	}
}

func TestRegistrationIsOffUnlessSaid(t *testing.T) {
	k := newKit(t)
	if r := k.register("", ownCallback); r.status != http.StatusNotFound {
		t.Errorf("%d %s", r.status, r.raw)
	}
	for want, edit := range map[string]func(*openid.Config, *openid.Deps){"": func(*openid.Config, *openid.Deps) {}, "/register": open} {
		k := newKit(t, edit)
		var m map[string]any
		r := k.call("GET", openid.ConfigPath, "", "")
		if err := json.Unmarshal([]byte(r.raw), &m); err != nil {
			t.Fatal(err)
		}
		if got, _ := m["registration_endpoint"].(string); got != strings.TrimSuffix(k.url+want, k.url) && got != k.url+want {
			t.Errorf("registration_endpoint %q", got)
		}
	}
	if _, err := openid.New(openid.Config{Issuer: "https://id.example", SignIn: func(string) string { return "" }, ACR: acrs, SelfRegistration: "yes"}, openid.Deps{}); err == nil {
		t.Error("an unknown mode is taken")
	}
}

// Initial access tokens: refused ones say 401 with a challenge and read nothing.
func TestInitialAccessTokens(t *testing.T) {
	k := newKit(t, byToken)
	asked := false
	sector := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer sector.Close()
	refused := func(what, token string) {
		t.Helper()
		r := k.register(token, `{"redirect_uris":["https://a.example/cb"],"sector_identifier_uri":"`+sector.URL+`"}`)
		if r.status != http.StatusUnauthorized || !strings.HasPrefix(r.header.Get("WWW-Authenticate"), "Bearer") || asked {
			t.Errorf("%s: %d %v", what, r.status, r.header)
		}
	}
	refused("none", "")
	refused("a stranger's", "x")
	refused("one of the right form", strings.Repeat("A", 43))
	two, spent := k.initial(1, time.Hour)
	if r := k.register(spent, `{"redirect_uris":["x"]}`); r.status != 400 {
		t.Errorf("%d", r.status)
	}
	if r := k.register(spent, ownCallback); r.status != http.StatusCreated {
		t.Errorf("a refused registration spent the token: %d %s", r.status, r.raw)
	}
	refused("a spent one", spent)
	revoked, token := k.initial(5, time.Hour)
	if err := k.clients.RevokeRegistrationToken(t.Context(), "operator:test", revoked.ID); err != nil {
		t.Fatal(err)
	}
	refused("a revoked one", token)
	_, late := k.initial(5, time.Minute)
	k.wait(time.Minute + time.Second)
	refused("an expired one", late)
	if err := k.clients.RevokeRegistrationToken(t.Context(), "operator:test", revoked.ID); fault.Code(err) != "registration_token_not_found" {
		t.Error(err)
	}
	list, err := k.store.RegistrationTokens(t.Context())
	if err != nil || len(list) != 3 || list[2].ID != two.ID || list[2].Used != 1 || list[1].Revoked.IsZero() || list[0].Note != "for a test" {
		t.Errorf("%+v %v", list, err)
	}
	for _, uses := range []int64{0, -1, 10001} {
		if _, _, err := k.clients.NewRegistrationToken(t.Context(), "operator:test", "", uses, time.Hour, false); fault.Code(err) != "client_invalid" {
			t.Errorf("%d uses: %v", uses, err)
		}
	}
	for _, lasts := range []time.Duration{0, -time.Hour, 400 * 24 * time.Hour} {
		if _, _, err := k.clients.NewRegistrationToken(t.Context(), "operator:test", "", 1, lasts, false); fault.Code(err) != "client_invalid" {
			t.Errorf("%s: %v", lasts, err)
		}
	}
}

// Of 50 at once as many register as the token has uses.
func TestUsesOfATokenAreCounted(t *testing.T) {
	race := func(t *testing.T, k *kit) {
		_, token := k.initial(7, time.Hour)
		status := make(chan int, 50)
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() { status <- k.register(token, ownCallback).status })
		}
		all.Wait()
		close(status)
		n := map[int]int{}
		for s := range status {
			n[s]++
		}
		clients, err := k.store.Clients(t.Context())
		if n[201] != 7 || n[401] != 43 || err != nil || len(clients) != 7 {
			t.Errorf("%v, %d clients, %v", n, len(clients), err)
		}
	}
	t.Run("sqlite", func(t *testing.T) { race(t, newKit(t, byToken)) })
	t.Run("postgres", func(t *testing.T) {
		var e ephemeral.Store = ephemeraltest.Open(t)
		race(t, newKitOn(t, storetest.Open(t, store.Postgres), e, byToken))
	})
}

func TestOpenRegistrationIsLimitedByAddress(t *testing.T) {
	k := newKit(t, open)
	for range 100 {
		if r := k.register("", `{}`); r.status != 400 {
			t.Fatal(r.status)
		}
	}
	if r := k.register("", ownCallback); r.status != http.StatusTooManyRequests || r.header.Get("Retry-After") == "" {
		t.Errorf("%d %v", r.status, r.header)
	}
	if _, token := k.initial(1, time.Hour); k.register(token, ownCallback).status != http.StatusCreated {
		t.Error("a token is counted as nobody's")
	}
}

// OpenID Connect Core §8.1: nobody sees the pairwise subjects of another's host, not
// with the tokens of people who signed in before the client named that host.
func TestAClientDoesNotMoveIntoAnotherSector(t *testing.T) {
	k := newKit(t, open)
	k.client("victim", pairwise())
	for what, first := range map[string]string{"pairwise from the first day": `,"subject_type":"pairwise"`, "pairwise with the move": ""} {
		mine := k.register("", `{"redirect_uris":["https://evil.example/cb"],"grant_types":["authorization_code","refresh_token"],"token_endpoint_auth_method":"none"`+first+`}`)
		id, at, manage := mine.text("client_id"), mine.text("registration_client_uri"), mine.text("registration_access_token")
		allowed := openid.Consent{User: "anna", Client: id, Scopes: []string{"openid"}, Created: k.now(), Updated: k.now()}
		if err := k.store.SaveConsent(t.Context(), allowed, audit.Event{Type: audit.ConsentGiven}); err != nil {
			t.Fatal(err)
		}
		g := k.given(id, withScopes("openid"))
		move := `{"client_id":"` + id + `","redirect_uris":["` + callback + `"],"grant_types":["authorization_code","refresh_token"],"token_endpoint_auth_method":"none","subject_type":"pairwise"}`
		if r := k.call("PUT", at, manage, move); r.status != http.StatusBadRequest || r.text("error") != "invalid_redirect_uri" {
			t.Errorf("%s: %d %s", what, r.status, r.raw)
		}
		k.wait(time.Minute)
		form := refreshing(g.refresh)
		form.Set("client_id", id)
		r := k.post("", form)
		if r.status != http.StatusOK {
			t.Fatalf("%s: %d %s", what, r.status, r.raw)
		}
		if sub := k.userinfo(r.text("access_token")).text("sub"); sub == "" || sub == k.userinfo(k.given("victim").access).text("sub") {
			t.Errorf("%s: sub %q", what, sub)
		}
		// Within its host it may do what it likes.
		stay := strings.Replace(move, callback, "https://EVIL.example/other", 1)
		if r := k.call("PUT", at, manage, stay); r.status != http.StatusOK {
			t.Errorf("%s: %d %s", what, r.status, r.raw)
		}
	}
}

// Only the client itself manages its registration (RFC 7592 §2, §3).
func TestOnlyTheClientManagesItself(t *testing.T) {
	k := newKit(t, open)
	k.client("byhand")
	mine, other := k.register("", ownCallback), k.register("", ownCallback)
	id, uri, manage := mine.text("client_id"), mine.text("registration_client_uri"), mine.text("registration_access_token")
	before, err := k.store.Client(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	body := `{"client_id":"` + id + `","redirect_uris":["https://evil.example/cb"]}`
	for _, method := range []string{"GET", "PUT", "DELETE"} {
		for what, one := range map[string][2]string{
			"nobody": {uri, ""}, "another client": {uri, other.text("registration_access_token")}, "the client's secret": {uri, mine.text("client_secret")},
			"the hash": {uri, before.RegistrationTokenHash}, "an operator's client": {k.url + "/register/byhand", manage}, "an unknown one": {k.url + "/register/none", manage},
			"a strange id": {k.url + "/register/~house", manage}, "a longer token": {uri, manage + "A"},
		} {
			if r := k.call(method, one[0], one[1], body); r.status != http.StatusUnauthorized || r.header.Get("WWW-Authenticate") == "" || r.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s as %s: %d %s", method, what, r.status, r.raw)
			}
		}
	}
	for _, body := range []string{
		`{"redirect_uris":["https://rp.example/cb"]}`, `{"client_id":"` + other.text("client_id") + `","redirect_uris":["https://rp.example/cb"]}`,
		`{"client_id":"` + id + `","client_secret":"wrong","redirect_uris":["https://rp.example/cb"]}`,
		`{"client_id":"` + id + `","client_secret":"","redirect_uris":["https://rp.example/cb"]}`,
		`{"client_id":"` + id + `","redirect_uris":["https://rp.example/cb"],"registration_access_token":"x"}`,
		`{"client_id":"` + id + `","redirect_uris":["https://rp.example/cb"],"registration_client_uri":"x"}`,
		`{"client_id":"` + id + `","redirect_uris":["https://rp.example/cb"],"client_secret_expires_at":0}`,
		`{"client_id":"` + id + `","redirect_uris":["https://rp.example/cb"],"client_id_issued_at":0}`,
		`{"client_id":"` + id + `","redirect_uris":["https://rp.example/cb"],"token_endpoint_auth_method":"none"}`,
	} {
		if r := k.call("PUT", uri, manage, body); r.status != http.StatusBadRequest || r.text("error") != "invalid_client_metadata" {
			t.Errorf("PUT %s: %d %s", body, r.status, r.raw)
		}
	}
	if r := k.call("PUT", uri, manage, `{"client_id":"`+id+`","redirect_uris":["https://rp.example/cb#x"]}`); r.text("error") != "invalid_redirect_uri" {
		t.Errorf("%d %s", r.status, r.raw)
	}
	after, err := k.store.Client(t.Context(), id)
	if err != nil || after.Version != before.Version {
		t.Errorf("%+v %v", after, err)
	}
	if r := k.call("PATCH", uri, manage, body); r.status != http.StatusMethodNotAllowed {
		t.Errorf("PATCH: %d", r.status)
	}
	if _, err := k.clients.Disable(t.Context(), "operator:test", id, false); err != nil {
		t.Fatal(err)
	}
	for _, method := range []string{"GET", "PUT", "DELETE"} {
		if r := k.call(method, uri, manage, `{"client_id":"`+id+`","redirect_uris":["https://rp.example/cb"]}`); r.status != http.StatusForbidden {
			t.Errorf("%s of a disabled client: %d %s", method, r.status, r.raw)
		}
	}
}
