package rp_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/pkg/rp"
	"github.com/portti-id/portti/pkg/rp/rptest"
)

const archive = "https://archive.example.fi"

// api is an API under test: a path for each demand.
type api struct {
	*httptest.Server
	op  *rptest.Provider
	now *clock
}

func startAPI(t *testing.T, op *rptest.Provider, change func(*rp.ResourceConfig)) *api {
	t.Helper()
	a := &api{op: op, now: newClock()}
	op.Set(func(s *rptest.Script) { s.Now = a.now.Now })
	c := op.Resource(archive)
	c.Now, c.Log = a.now.Now, slog.New(slog.DiscardHandler)
	if change != nil {
		change(&c)
	}
	r, err := rp.NewResource(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	say := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who := rp.AccessFromContext(r.Context())
		_, _ = io.WriteString(w, who.Subject+" by "+who.ClientID+" at "+who.ACR)
	})
	mux := http.NewServeMux()
	mux.Handle("/any", r.Protect(rp.Demand{}, say))
	mux.Handle("/read", r.Protect(rp.Demand{Scopes: []string{"records", "profile"}}, say))
	mux.Handle("/code", r.Protect(rp.Demand{ACR: []string{rp.ACRPasswordOTP}}, say))
	mux.Handle("/seal", r.Protect(rp.Demand{ACR: []string{"phr", rp.ACRCard}}, say))
	mux.Handle("/recent", r.Protect(rp.Demand{MaxAge: 5 * time.Minute}, say))
	mux.Handle("/all", r.Protect(rp.Demand{Scopes: []string{"records"}, ACR: []string{rp.ACRCard}, MaxAge: time.Minute}, say))
	a.Server = httptest.NewServer(mux)
	t.Cleanup(a.Close)
	return a
}

// call sends Authorization headers.
func (a *api) call(t *testing.T, path string, authorization ...string) (res *http.Response, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header["Authorization"] = authorization
	res, err = http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return res, read(t, res)
}

// eachKind runs a test with JWTs and with references.
func eachKind(t *testing.T, f func(t *testing.T, a *api)) {
	for name, jwt := range map[string]bool{"at+jwt": true, "reference": false} {
		t.Run(name, func(t *testing.T) {
			op := rptest.New(t)
			op.Set(func(s *rptest.Script) { s.AccessJWT = jwt })
			f(t, startAPI(t, op, nil))
		})
	}
}

const (
	scarce = `error="insufficient_scope", error_description="The token has not all of the scope that is needed.", scope="`
	wrong  = `error="invalid_token", error_description="The token has expired, or is not one for this API."`
	bound  = `error="invalid_token", error_description="The token is bound to a key, and this API takes bearer tokens only."`
	notOne = `error="invalid_request", error_description="There must be one Authorization header with one token."`
)

func TestAPIDemands(t *testing.T) { // RFC 6750 §3.1, RFC 9470 §3
	eachKind(t, func(t *testing.T, a *api) {
		old := time.Now().Add(-10 * time.Minute).Unix()
		for name, test := range map[string]struct {
			path      string
			claims    map[string]any
			status    int
			challenge string
		}{
			"no demand":                {"/any", nil, 200, ""},
			"an application by itself": {"/any", map[string]any{"sub": "app", "acr": nil, "amr": nil, "auth_time": nil}, 200, ""},
			"one audience of two":      {"/any", map[string]any{"aud": []string{"https://x.example", archive}}, 200, ""},
			"scopes":                   {"/read", map[string]any{"scope": "profile openid records"}, 200, ""},
			"a scope is missing":       {"/read", map[string]any{"scope": "profile"}, 403, scarce + `records profile"`},
			"no scope":                 {"/read", nil, 403, scarce + `records profile"`},
			"part of a scope's name":   {"/read", map[string]any{"scope": "profiles recordsx"}, 403, scarce + `records profile"`},
			"code for code":            {"/code", nil, 200, ""},
			"card for code":            {"/code", map[string]any{"acr": rp.ACRCard}, 200, ""},
			"enrol for code":           {"/code", map[string]any{"acr": rp.ACREnrol}, 401, tooLittle + `, acr_values="urn:portti:acr:pwd-otp"`},
			"nobody for code":          {"/code", map[string]any{"acr": nil}, 401, tooLittle + `, acr_values="urn:portti:acr:pwd-otp"`},
			"card":                     {"/seal", map[string]any{"acr": rp.ACRCard}, 200, ""},
			"the other level":          {"/seal", map[string]any{"acr": "phr"}, 200, ""},
			"code for card":            {"/seal", nil, 401, tooLittle + `, acr_values="phr urn:portti:acr:card"`},
			"recent":                   {"/recent", nil, 200, ""},
			"long ago":                 {"/recent", map[string]any{"auth_time": old}, 401, tooLittle + `, max_age="300"`},
			"nobody knows when":        {"/recent", map[string]any{"auth_time": nil}, 401, tooLittle + `, max_age="300"`},
			"everything":               {"/all", map[string]any{"scope": "records", "acr": rp.ACRCard}, 200, ""},
			"too weak and too old":     {"/all", map[string]any{"scope": "records", "auth_time": old}, 401, tooLittle + `, acr_values="urn:portti:acr:card", max_age="60"`},
			"scope comes first":        {"/all", map[string]any{"auth_time": old}, 403, scarce + `records"`},
		} {
			res, _ := a.call(t, test.path, "Bearer "+a.op.AccessToken(archive, test.claims))
			want := test.challenge
			if want != "" {
				want = "Bearer " + want
			}
			if got := res.Header.Get("WWW-Authenticate"); res.StatusCode != test.status || got != want {
				t.Errorf("%s: %d %s, want %d %s", name, res.StatusCode, got, test.status, want)
			}
			expect(t, name, res.Header.Get("Cache-Control"), "no-store")
		}
	})
}

func TestAPITellsWhoCalls(t *testing.T) {
	eachKind(t, func(t *testing.T, a *api) {
		_, body := a.call(t, "/any", "bearer "+a.op.AccessToken(archive, nil)) // schemes have no case (RFC 9110 §11.1)
		expect(t, "body", body, "user-1 by app at urn:portti:acr:pwd-otp")
	})
}

func TestTokensThatAreNotGood(t *testing.T) {
	eachKind(t, func(t *testing.T, a *api) {
		now := a.now.Now()
		for name, test := range map[string]struct {
			claims    map[string]any
			challenge string
		}{
			"for another API":      {map[string]any{"aud": "https://other.example"}, wrong},
			"for a longer name":    {map[string]any{"aud": archive + "/"}, wrong},
			"for the provider":     {map[string]any{"aud": a.op.URL}, wrong},
			"for nobody":           {map[string]any{"aud": nil}, wrong},
			"expired":              {map[string]any{"exp": now.Unix()}, wrong},
			"of another provider":  {map[string]any{"iss": "https://evil.example"}, wrong},
			"from the future":      {map[string]any{"iat": now.Add(time.Hour).Unix()}, wrong},
			"not yet":              {map[string]any{"nbf": now.Add(2 * time.Minute).Unix()}, wrong},
			"bound to a key":       {map[string]any{"cnf": map[string]any{"jkt": "x"}}, bound},
			"to a certificate":     {map[string]any{"cnf": map[string]any{"x5t#S256": "x"}}, bound},
			"to something unknown": {map[string]any{"cnf": map[string]any{}}, bound},
			"malformed":            {map[string]any{"exp": "tomorrow"}, wrong},
		} {
			res, body := a.call(t, "/any", "Bearer "+a.op.AccessToken(archive, test.claims))
			if got := res.Header.Get("WWW-Authenticate"); res.StatusCode != 401 || got != "Bearer "+test.challenge {
				t.Errorf("%s: %d %s %s", name, res.StatusCode, got, body)
			}
		}
	})
}

func TestTokenOfAPITellsItsClientAndExpiry(t *testing.T) { // RFC 9068 §2.2
	op := rptest.New(t)
	op.Set(func(s *rptest.Script) { s.AccessJWT = true })
	a := startAPI(t, op, nil)
	for _, name := range []string{"iss", "exp", "aud", "sub", "client_id", "iat"} {
		if res, _ := a.call(t, "/any", "Bearer "+op.AccessToken(archive, map[string]any{name: nil})); res.StatusCode != 401 {
			t.Errorf("without %s: %d", name, res.StatusCode)
		}
	}
}

func TestForgedTokens(t *testing.T) {
	op, other := rptest.New(t), rptest.New(t)
	a := startAPI(t, op, nil)
	op.Set(func(s *rptest.Script) { s.AccessJWT = true })
	good := op.AccessToken(archive, nil)
	head, rest, _ := strings.Cut(good, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	change := func(with func(h, c map[string]any)) string {
		op.Set(func(s *rptest.Script) { s.Token = with })
		defer op.Set(func(s *rptest.Script) { s.Token = nil })
		return op.AccessToken(archive, nil)
	}
	card := change(func(_, c map[string]any) { c["acr"] = rp.ACRCard })
	for name, raw := range map[string]string{
		"no signature":          head + "." + payload + ".",
		"cut":                   head + "." + payload + "." + signature[:10],
		"another's payload":     head + "." + strings.Split(card, ".")[1] + "." + signature,
		"unsigned (none)":       change(func(h, _ map[string]any) { h["alg"] = "none" }),
		"public key as secret":  change(func(h, _ map[string]any) { h["alg"] = "HS256" }),
		"unknown key":           change(func(h, _ map[string]any) { h["kid"] = "new" }),
		"must be understood":    change(func(h, _ map[string]any) { h["crit"], h["x"] = []string{"x"}, true }),
		"an ID token":           change(func(h, _ map[string]any) { h["typ"] = "JWT" }),
		"a logout token":        change(func(h, _ map[string]any) { h["typ"] = "logout+jwt" }),
		"of no type":            change(func(h, _ map[string]any) { delete(h, "typ") }),
		"a type that goes on":   change(func(h, _ map[string]any) { h["typ"] = "at+jwt+x" }),
		"of another's provider": other.AccessToken(archive, nil),
		"an unknown reference":  "abcdefghijklmnop",
		"three parts of naught": "a.b.c",
	} {
		if res, _ := a.call(t, "/any", "Bearer "+raw); res.StatusCode != 401 || res.Header.Get("WWW-Authenticate") != "Bearer "+wrong {
			t.Errorf("%s: %d %s", name, res.StatusCode, res.Header.Get("WWW-Authenticate"))
		}
	}
	for name, raw := range map[string]string{
		"good":               good,
		"its longer type":    change(func(h, _ map[string]any) { h["typ"] = "application/AT+JWT" }),
		"with the other key": change(func(h, _ map[string]any) { h["alg"] = "RS256" }),
	} {
		if res, _ := a.call(t, "/any", "Bearer "+raw); res.StatusCode != 200 {
			t.Errorf("%s: %d", name, res.StatusCode)
		}
	}
}

func TestAPITakesOneAlgorithmWhenToldSo(t *testing.T) {
	op := rptest.New(t)
	op.Set(func(s *rptest.Script) { s.AccessJWT = true })
	a := startAPI(t, op, func(c *rp.ResourceConfig) { c.Algorithms = []string{"RS256"} })
	if res, _ := a.call(t, "/any", "Bearer "+op.AccessToken(archive, nil)); res.StatusCode != 401 {
		t.Errorf("ES256: %d", res.StatusCode)
	}
}

func TestHowATokenIsShown(t *testing.T) { // RFC 6750 §2, §3.1
	eachKind(t, func(t *testing.T, a *api) {
		good := a.op.AccessToken(archive, nil)
		const none = `realm="https://archive.example.fi"`
		for name, test := range map[string]struct {
			headers   []string
			status    int
			challenge string
		}{
			"not at all":         {nil, 401, none},
			"basic":              {[]string{"Basic YTpi"}, 401, none},
			"empty":              {[]string{""}, 401, none},
			"no token":           {[]string{"Bearer"}, 400, notOne},
			"two headers":        {[]string{"Bearer " + good, "Bearer " + good}, 400, notOne},
			"two tokens":         {[]string{"Bearer " + good + " " + good}, 400, notOne},
			"not of a token":     {[]string{"Bearer ä" + good}, 400, notOne},
			"endless":            {[]string{"Bearer " + strings.Repeat("a", 9<<10)}, 400, notOne},
			"with a proof's key": {[]string{"DPoP " + good}, 401, bound},
		} {
			res, _ := a.call(t, "/any", test.headers...)
			if got := res.Header.Get("WWW-Authenticate"); res.StatusCode != test.status || got != "Bearer "+test.challenge {
				t.Errorf("%s: %d %s", name, res.StatusCode, got)
			}
		}
		if res, _ := a.call(t, "/any?access_token="+good); res.StatusCode != 401 {
			t.Errorf("in the address: %d", res.StatusCode)
		}
		res, _ := a.call(t, "/read")
		expect(t, "what is needed", res.Header.Get("WWW-Authenticate"), `Bearer `+none+`, scope="records profile"`)
	})
}

func TestReferencesEndAtOnce(t *testing.T) {
	op := rptest.New(t)
	a := startAPI(t, op, nil)
	token := op.AccessToken(archive, nil)
	if res, _ := a.call(t, "/any", "Bearer "+token); res.StatusCode != 200 {
		t.Fatal(res.Status)
	}
	for name, answer := range map[string]func(map[string]any){
		"ended":          func(m map[string]any) { clear(m); m["active"] = false },
		"not said":       func(m map[string]any) { delete(m, "active") },
		"said wrongly":   func(m map[string]any) { m["active"] = "true" },
		"a bound token":  func(m map[string]any) { m["token_type"] = "DPoP" },
		"no audience":    func(m map[string]any) { delete(m, "aud") },
		"a null binding": func(m map[string]any) { m["cnf"] = nil },
	} {
		op.Set(func(s *rptest.Script) { s.Introspection = answer })
		if res, _ := a.call(t, "/any", "Bearer "+token); res.StatusCode != 401 {
			t.Errorf("%s: %d", name, res.StatusCode)
		}
	}
	if n := op.Counts().Introspection; n != 7 {
		t.Errorf("asked %d times of 7", n)
	}
}

func TestReferencesWithoutAClient(t *testing.T) {
	op := rptest.New(t)
	a := startAPI(t, op, func(c *rp.ResourceConfig) { c.ClientID, c.ClientSecret = "", "" })
	if res, _ := a.call(t, "/any", "Bearer "+op.AccessToken(archive, nil)); res.StatusCode != 401 {
		t.Errorf("a reference: %d", res.StatusCode)
	}
	op.Set(func(s *rptest.Script) { s.AccessJWT = true })
	if res, _ := a.call(t, "/any", "Bearer "+op.AccessToken(archive, nil)); res.StatusCode != 200 {
		t.Errorf("a JWT: %d", res.StatusCode)
	}
	if n := op.Counts().Introspection; n != 0 {
		t.Errorf("asked %d times", n)
	}
}

// TestProviderOutOfReach: whoever cannot tell lets nobody in, and does not say that
// the token is bad.
func TestProviderOutOfReach(t *testing.T) {
	eachKind(t, func(t *testing.T, a *api) {
		token := a.op.AccessToken(archive, nil)
		a.op.Set(func(s *rptest.Script) { s.Down = true })
		res, _ := a.call(t, "/any", "Bearer "+token)
		if res.StatusCode != 503 || res.Header.Get("WWW-Authenticate") != "" || res.Header.Get("Retry-After") == "" {
			t.Errorf("%d %v", res.StatusCode, res.Header)
		}
		a.op.Set(func(s *rptest.Script) { s.Down = false })
		if res, _ := a.call(t, "/any", "Bearer "+token); res.StatusCode != 200 {
			t.Errorf("back again: %d", res.StatusCode)
		}
	})
}

func TestAPIStartsBeforeItsProvider(t *testing.T) {
	op := rptest.New(t)
	op.Set(func(s *rptest.Script) { s.Down = true })
	a := startAPI(t, op, nil)
	op.Set(func(s *rptest.Script) { s.Down = false })
	token := op.AccessToken(archive, nil)
	if res, _ := a.call(t, "/any", "Bearer "+token); res.StatusCode != 503 { // it was tried just now
		t.Errorf("%d", res.StatusCode)
	}
	a.now.forward(2 * time.Second)
	if res, _ := a.call(t, "/any", "Bearer "+token); res.StatusCode != 200 {
		t.Errorf("%d", res.StatusCode)
	}
}

func TestAPIWithAWrongSecretIsNotTheCallersFault(t *testing.T) {
	op := rptest.New(t)
	a := startAPI(t, op, func(c *rp.ResourceConfig) { c.ClientSecret = "wrong" })
	if res, _ := a.call(t, "/any", "Bearer "+op.AccessToken(archive, nil)); res.StatusCode != 503 {
		t.Errorf("%d", res.StatusCode)
	}
}

func TestStrangersDoNotMakeUsFloodTheProvider(t *testing.T) {
	op := rptest.New(t)
	op.Set(func(s *rptest.Script) {
		s.AccessJWT = true
		s.Token = func(h, _ map[string]any) { h["kid"] = "unknown" }
	})
	a := startAPI(t, op, nil)
	token := op.AccessToken(archive, nil)
	for range 50 {
		a.call(t, "/any", "Bearer "+token)
	}
	if n := op.Counts().JWKS; n != 1 {
		t.Errorf("50 calls with an unknown key fetched the keys %d times", n)
	}
}

func TestResourceConfigIsChecked(t *testing.T) {
	op := rptest.New(t)
	for name, test := range map[string]struct {
		change func(*rp.ResourceConfig)
		field  string // named by the error; "" for none
	}{
		"good":              {func(*rp.ResourceConfig) {}, ""},
		"no client":         {func(c *rp.ResourceConfig) { c.ClientID, c.ClientSecret = "", "" }, ""},
		"http issuer":       {func(c *rp.ResourceConfig) { c.Issuer = "http://id.example.fi" }, "Issuer"},
		"no audience":       {func(c *rp.ResourceConfig) { c.Audience = "" }, "Audience"},
		"everybody's token": {func(c *rp.ResourceConfig) { c.Audience = c.Issuer }, "Audience"},
		"no secret":         {func(c *rp.ResourceConfig) { c.ClientSecret = "" }, "ClientSecret"},
		"a secret of whom":  {func(c *rp.ResourceConfig) { c.ClientID = "" }, "ClientID"},
		"HMAC":              {func(c *rp.ResourceConfig) { c.Algorithms = []string{"HS256"} }, "Algorithms"},
	} {
		c := op.Resource(archive)
		c.Log = slog.New(slog.DiscardHandler)
		test.change(&c)
		_, err := rp.NewResource(t.Context(), c)
		if (err == nil) != (test.field == "") || err != nil && !strings.Contains(err.Error(), test.field) {
			t.Errorf("%s: error %v, want one that names %q", name, err, test.field)
		}
	}
}

func TestMetadataOfAPIMustKeepSecretsOffTheWire(t *testing.T) {
	for _, name := range []string{"jwks_uri", "introspection_endpoint"} {
		op := rptest.New(t)
		op.Set(func(s *rptest.Script) { s.Metadata = func(m map[string]any) { m[name] = "http://id.example.fi/x" } })
		a := startAPI(t, op, nil)
		if res, _ := a.call(t, "/any", "Bearer "+op.AccessToken(archive, nil)); res.StatusCode != 503 {
			t.Errorf("%s over http was used: %d", name, res.StatusCode)
		}
	}
}
