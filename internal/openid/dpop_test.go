package openid_test

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/clientjwt/clientjwttest"
	"github.com/portti-id/portti/internal/dpop/dpoptest"
	"github.com/portti-id/portti/internal/openid"
)

// prove calls the token endpoint as a client with a secret, or with none when it
// is "", and with these DPoP proofs.
func (k *kit) prove(client string, form url.Values, proofs ...string) reply {
	k.t.Helper()
	req, err := http.NewRequest(http.MethodPost, k.url+openid.TokenPath, strings.NewReader(form.Encode()))
	if err != nil {
		k.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if client != "" {
		req.SetBasicAuth(client, k.secrets[client])
	}
	for _, p := range proofs {
		req.Header.Add("DPoP", p)
	}
	return k.do(req)
}

func (k *kit) tokenProof(key *dpoptest.Key) string {
	return key.Proof(http.MethodPost, k.url+openid.TokenPath, "", "")
}

// show calls userinfo with an Authorization header and these proofs.
func (k *kit) show(authorization string, proofs ...string) reply {
	k.t.Helper()
	req, err := http.NewRequest(http.MethodGet, k.url+openid.UserinfoPath, nil)
	if err != nil {
		k.t.Fatal(err)
	}
	req.Header.Set("Authorization", authorization)
	for _, p := range proofs {
		req.Header.Add("DPoP", p)
	}
	return k.do(req)
}

// newDPoPKey makes a key whose proofs are of the provider's time.
func (k *kit) newDPoPKey() *dpoptest.Key {
	key := dpoptest.New(k.t)
	key.Now = k.now
	return key
}

// conformance.md 2.9, DPoP at the token endpoint.
func TestProofsAtTheTokenEndpoint(t *testing.T) {
	k := newKit(t)
	key := k.newDPoPKey()
	k.client("rp")
	at := k.url + openid.TokenPath
	sign := func(name string, value any) string {
		return key.Sign(key.Header(), dpoptest.With(key.Claims("POST", at, "", ""), name, value))
	}
	head := func(name string, value any) string {
		return key.Sign(dpoptest.With(key.Header(), name, value), key.Claims("POST", at, "", ""))
	}
	private := key.JWK()
	private["d"] = "AAAA"
	for what, c := range map[string]struct {
		proof string
		in    bool
	}{
		"good":                    {k.tokenProof(key), true},
		"htu with a query":        {key.Proof("POST", at+"?a=b", "", ""), true},
		"htu in upper case":       {key.Proof("POST", strings.Replace(at, "http", "HTTP", 1), "", ""), true},
		"iat 10 s ahead":          {sign("iat", k.now().Add(10*time.Second).Unix()), true},
		"iat 10 s ago":            {sign("iat", k.now().Add(-10*time.Second).Unix()), true},
		"iat an hour ahead":       {sign("iat", k.now().Add(time.Hour).Unix()), false},
		"iat an hour ago":         {sign("iat", k.now().Add(-time.Hour).Unix()), false},
		"no iat":                  {sign("iat", dpoptest.Absent), false},
		"no jti":                  {sign("jti", dpoptest.Absent), false},
		"no htm":                  {sign("htm", dpoptest.Absent), false},
		"htm of another method":   {sign("htm", "GET"), false},
		"htm in lower case":       {sign("htm", "post"), false},
		"no htu":                  {sign("htu", dpoptest.Absent), false},
		"htu of another endpoint": {sign("htu", k.url+openid.UserinfoPath), false},
		"htu of another host":     {sign("htu", "https://evil.example/token"), false},
		"typ JWT":                 {head("typ", "JWT"), false},
		"no typ":                  {head("typ", dpoptest.Absent), false},
		"alg none":                {head("alg", "none"), false},
		"alg HS256":               {head("alg", "HS256"), false},
		"no jwk":                  {head("jwk", dpoptest.Absent), false},
		"jwk with private part":   {head("jwk", private), false},
		"another's jwk":           {head("jwk", k.newDPoPKey().JWK()), false},
		"signature cut":           {strings.TrimRight(k.tokenProof(key), "AQgw") + "AAAA", false},
		"empty":                   {"", false},
		"nonsense":                {"a.b.c", false},
	} {
		r := k.prove("rp", redeem("x"), c.proof)
		if c.in {
			refused(t, what, r, 400, "invalid_grant")
		} else {
			refused(t, what, r, 400, "invalid_dpop_proof")
		}
		if r.header.Get("DPoP-Nonce") != "" {
			t.Errorf("%s: a nonce that nobody needs", what)
		}
	}
	proof := k.tokenProof(key)
	refused(t, "first use", k.prove("rp", redeem("x"), proof), 400, "invalid_grant")
	refused(t, "second use", k.prove("rp", redeem("x"), proof), 400, "invalid_dpop_proof")
	refused(t, "two proofs", k.prove("rp", redeem("x"), k.tokenProof(key), k.tokenProof(key)), 400, "invalid_dpop_proof")
	// A stranger's proof is not even looked at: nobody makes us remember it.
	proof = k.tokenProof(key)
	refused(t, "a stranger", k.prove("", redeem("x", "client_id", "rp"), proof), 401, "invalid_client")
	refused(t, "the owner", k.prove("rp", redeem("x"), proof), 400, "invalid_grant")
	// The URL is that of the settings: no header can move it.
	req, err := http.NewRequest(http.MethodPost, at, strings.NewReader(redeem("x").Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "evil.example"
	req.Header.Set("X-Forwarded-Host", "evil.example")
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth("rp", k.secrets["rp"])
	req.Header.Set("DPoP", key.Proof("POST", "http://evil.example/token", "", ""))
	refused(t, "Host header", k.do(req), 400, "invalid_dpop_proof")
}

// One proof binds one token, however many come at once.
func TestParallelProofs(t *testing.T) {
	pairs(t, func(t *testing.T, k *kit) {
		key := k.newDPoPKey()
		k.client("rp")
		proof := k.tokenProof(key)
		var all sync.WaitGroup
		var in, out atomic.Int64
		start := make(chan struct{})
		for range 50 {
			all.Go(func() {
				<-start
				switch r := k.prove("rp", redeem("x"), proof); r.text("error") {
				case "invalid_grant":
					in.Add(1)
				case "invalid_dpop_proof":
					out.Add(1)
				default:
					t.Errorf("%d %s", r.status, r.raw)
				}
			})
		}
		close(start)
		all.Wait()
		if in.Load() != 1 || out.Load() != 49 {
			t.Errorf("%d got in, %d were refused", in.Load(), out.Load())
		}
	})
}

// RFC 9449 §5, §6, §7: what is bound is worth nothing without the key.
func TestBoundTokens(t *testing.T) {
	k := newKit(t)
	key, thief := k.newDPoPKey(), k.newDPoPKey()
	k.client("rp")
	at := k.url + openid.UserinfoPath
	bound := k.prove("rp", redeem(k.code(k.browser(), request())), k.tokenProof(key))
	if bound.status != http.StatusOK || bound.text("token_type") != "DPoP" {
		t.Fatalf("%d %s", bound.status, bound.raw)
	}
	token := bound.text("access_token")
	free := k.signedIn(k.browser())
	if free.text("token_type") != "Bearer" {
		t.Errorf("without a proof: %s", free.raw)
	}
	second := k.prove("rp", redeem(k.code(k.browser(), request())), k.tokenProof(key)).text("access_token")
	proof := func(key *dpoptest.Key, token string) string { return key.Proof("GET", at, token, "") }
	used := proof(key, token)
	if r := k.show("DPoP "+token, used); r.status != http.StatusOK || r.text("sub") != "anna" {
		t.Errorf("good: %d %s", r.status, r.raw)
	}
	for _, scheme := range []string{"dpop", "DPOP", "Dpop"} { // conformance.md 2.9: in any case
		if r := k.show(scheme+" "+token, proof(key, token)); r.status != http.StatusOK {
			t.Errorf("%s: %d %s", scheme, r.status, r.raw)
		}
	}
	for what, c := range map[string]struct {
		r    reply
		code string
	}{
		"as bearer":                    {k.show("Bearer " + token), "invalid_token"},
		"as bearer, with proof":        {k.show("Bearer "+token, proof(key, token)), "invalid_token"},
		"without proof":                {k.show("DPoP " + token), "invalid_dpop_proof"},
		"another's proof":              {k.show("DPoP "+token, proof(thief, token)), "invalid_token"},
		"proof for another token":      {k.show("DPoP "+token, proof(key, second)), "invalid_token"},
		"proof for no token":           {k.show("DPoP "+token, proof(key, "")), "invalid_token"},
		"proof for the token endpoint": {k.show("DPoP "+token, key.Proof("POST", k.url+openid.TokenPath, token, "")), "invalid_dpop_proof"},
		"proof of another method":      {k.show("DPoP "+token, key.Proof("POST", at, token, "")), "invalid_dpop_proof"},
		"used proof":                   {k.show("DPoP "+token, used), "invalid_dpop_proof"},
		"two proofs":                   {k.show("DPoP "+token, proof(key, token), proof(key, token)), "invalid_dpop_proof"},
		"wrong token":                  {k.show("DPoP A"+token[1:], proof(key, "A"+token[1:])), "invalid_token"},
		"unbound, with proof":          {k.show("DPoP "+free.text("access_token"), proof(key, free.text("access_token"))), "invalid_token"},
	} {
		challenges := c.r.header.Values("WWW-Authenticate")
		if c.r.status != 401 || c.r.text("error") != c.code || len(challenges) != 2 || !strings.Contains(challenges[0], `error="`+c.code+`"`) {
			t.Errorf("%s: %d %v %s", what, c.r.status, challenges, c.r.raw)
		}
		if all := strings.Join(challenges, "\n"); !strings.Contains(all, `algs="ES256 EdDSA PS256"`) || strings.HasPrefix(what, "as bearer") != strings.HasPrefix(all, "Bearer ") {
			t.Errorf("%s: %s", what, all)
		}
	}
	// Nor in a form, where no proof can be meant.
	req, err := http.NewRequest(http.MethodPost, at, strings.NewReader("access_token="+token))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("DPoP", key.Proof("POST", at, token, ""))
	if r := k.do(req); r.status != 401 || r.text("error") != "invalid_token" {
		t.Errorf("in a form: %d %s", r.status, r.raw)
	}
	// What it proves is for programs in browsers as well.
	if h := k.show("DPoP "+token, proof(key, token)).header; !strings.Contains(h.Get("Access-Control-Expose-Headers"), "DPoP-Nonce") {
		t.Errorf("%v", h)
	}
	req, err = http.NewRequest(http.MethodOptions, at, nil)
	if err != nil {
		t.Fatal(err)
	}
	if h := k.do(req).header; !strings.Contains(h.Get("Access-Control-Allow-Headers"), "DPoP") {
		t.Errorf("%v", h)
	}
}

// Clients that are registered for bound tokens get no others.
func TestBoundTokensOnly(t *testing.T) {
	k := newKit(t)
	key, signing := k.newDPoPKey(), clientjwttest.New(t, "ES256")
	k.client("bound", func(c *openid.Client) { c.DPoP = true })
	k.client("strict", jwtClient(signing), strict)
	k.client("certificate", func(c *openid.Client) { c.CertificateBound = true })
	code := k.code(k.browser(), request("client_id", "bound"))
	refused(t, "no proof", k.post("bound", redeem(code)), 400, "invalid_request")
	if r := k.prove("bound", redeem(code), k.tokenProof(key)); r.status != http.StatusOK || r.text("token_type") != "DPoP" {
		t.Errorf("the code was spent: %d %s", r.status, r.raw)
	}
	refused(t, "FAPI, no proof", k.post("", asserted(redeem("x"), signing.Assertion("strict", k.url))), 400, "invalid_request")
	refused(t, "FAPI", k.prove("", asserted(redeem("x"), signing.Assertion("strict", k.url)), k.tokenProof(key)), 400, "invalid_grant")
	refused(t, "no certificate", k.post("certificate", redeem("x")), 400, "invalid_request")
	refused(t, "a proof and no certificate", k.prove("certificate", redeem("x"), k.tokenProof(key)), 400, "invalid_request")
}

// RFC 9449 §5: the refresh tokens of public clients are bound, those of others are
// as good as the client's own proof.
func TestBoundRefreshTokens(t *testing.T) {
	pairs(t, func(t *testing.T, k *kit) {
		key, thief := k.newDPoPKey(), k.newDPoPKey()
		k.client("rp")
		k.client("public", public)
		k.client("keeping", func(c *openid.Client) { c.DPoP, c.KeepRefreshToken = true, true })
		first := k.prove("", redeem(k.code(k.browser(), request("client_id", "public")), "client_id", "public"), k.tokenProof(key))
		form := func(id string, r reply) url.Values {
			f := refreshing(r.text("refresh_token"))
			if f.Set("client_id", id); id == "rp" || id == "keeping" {
				f.Del("client_id")
			}
			return f
		}
		refused(t, "public, no key", k.prove("", form("public", first)), 400, "invalid_grant")
		refused(t, "public, another key", k.prove("", form("public", first), k.tokenProof(thief)), 400, "invalid_grant")
		second := k.prove("", form("public", first), k.tokenProof(key))
		if second.status != http.StatusOK || second.text("token_type") != "DPoP" || second.text("refresh_token") == first.text("refresh_token") {
			t.Errorf("public: %d %s", second.status, second.raw)
		}
		confidential := k.prove("rp", redeem(k.code(k.browser(), request())), k.tokenProof(key))
		if r := k.prove("rp", form("rp", confidential), k.tokenProof(thief)); r.status != http.StatusOK || r.text("token_type") != "DPoP" {
			t.Errorf("confidential, its new key: %d %s", r.status, r.raw)
		}
		// conformance.md 2.9: what is kept works again and again.
		kept := k.prove("keeping", redeem(k.code(k.browser(), request("client_id", "keeping"))), k.tokenProof(key))
		for range 3 {
			r := k.prove("keeping", form("keeping", kept), k.tokenProof(key))
			if next := r.text("refresh_token"); r.status != http.StatusOK || next != "" && next != kept.text("refresh_token") {
				t.Fatalf("kept: %d %s", r.status, r.raw)
			}
		}
		refused(t, "kept, no proof", k.prove("keeping", form("keeping", kept)), 400, "invalid_request")
	})
}

// RFC 9449 §10: a code for one key is no code for another.
func TestCodesBoundToAKey(t *testing.T) {
	k := newKit(t)
	key, thief := k.newDPoPKey(), k.newDPoPKey()
	k.client("rp")
	ask := request("dpop_jkt", key.Thumbprint())
	if r := k.prove("rp", redeem(k.code(k.browser(), ask)), k.tokenProof(key)); r.status != http.StatusOK {
		t.Errorf("its key: %d %s", r.status, r.raw)
	}
	refused(t, "no key", k.prove("rp", redeem(k.code(k.browser(), ask))), 400, "invalid_grant")
	code := k.code(k.browser(), ask)
	refused(t, "another key", k.prove("rp", redeem(code), k.tokenProof(thief)), 400, "invalid_grant")
	refused(t, "its key, too late", k.prove("rp", redeem(code), k.tokenProof(key)), 400, "invalid_grant")
}

// RFC 9449 §8, §9: with nonces on, a proof needs one of ours, and every answer
// brings the next.
func TestNonces(t *testing.T) {
	k := newKit(t, func(c *openid.Config, _ *openid.Deps) { c.DPoPNonces = true })
	key := k.newDPoPKey()
	k.client("rp")
	code := k.code(k.browser(), request())
	at := k.url + openid.TokenPath
	first := k.prove("rp", redeem(code), k.tokenProof(key))
	refused(t, "without", first, 400, "use_dpop_nonce")
	nonce := first.header.Get("DPoP-Nonce")
	r := k.prove("rp", redeem(code), key.Proof("POST", at, "", nonce))
	if r.status != http.StatusOK || r.header.Get("DPoP-Nonce") == "" {
		t.Fatalf("with: %d %v %s", r.status, r.header, r.raw)
	}
	token, info := r.text("access_token"), k.url+openid.UserinfoPath
	u := k.show("DPoP "+token, key.Proof("GET", info, token, ""))
	if u.status != 401 || u.text("error") != "use_dpop_nonce" || !strings.Contains(u.header.Get("WWW-Authenticate"), `DPoP realm="userinfo"`) {
		t.Errorf("userinfo without: %d %v %s", u.status, u.header, u.raw)
	}
	if u = k.show("DPoP "+token, key.Proof("GET", info, token, u.header.Get("DPoP-Nonce"))); u.status != http.StatusOK || u.header.Get("DPoP-Nonce") == "" {
		t.Errorf("userinfo: %d %v %s", u.status, u.header, u.raw)
	}
	k.wait(time.Hour)
	stale := k.prove("rp", redeem("x"), key.Proof("POST", at, "", nonce))
	refused(t, "an old one", stale, 400, "use_dpop_nonce")
	if n := stale.header.Get("DPoP-Nonce"); n == "" || n == nonce {
		t.Errorf("nonce %q", n)
	}
	refused(t, "a made-up one", k.prove("rp", redeem("x"), key.Proof("POST", at, "", "made-up")), 400, "use_dpop_nonce")
	if r := k.post("rp", redeem("x")); r.header.Get("DPoP-Nonce") != "" {
		t.Error("a nonce for a client that proves nothing")
	}

	// With nonces off, one of ours is taken, and a wrong one is not overlooked.
	off := newKit(t)
	off.client("rp")
	wrong := off.prove("rp", redeem("x"), off.newDPoPKey().Proof("POST", off.url+openid.TokenPath, "", "made-up"))
	refused(t, "off: a made-up one", wrong, 400, "use_dpop_nonce")
	if wrong.header.Get("DPoP-Nonce") == "" {
		t.Error("off: no nonce to try again with")
	}
	refused(t, "off: ours", off.prove("rp", redeem("x"), off.newDPoPKey().Proof("POST", off.url+openid.TokenPath, "", wrong.header.Get("DPoP-Nonce"))), 400, "invalid_grant")
}

// The JSON API asks for the same proof, of its own address.
func TestCallerProvesItsKey(t *testing.T) {
	k := newKit(t)
	key := k.newDPoPKey()
	k.client("rp")
	token := k.prove("rp", redeem(k.code(k.browser(), request())), k.tokenProof(key)).text("access_token")
	call := func(scheme, path string, proofs ...string) (openid.Grant, http.Header, error) {
		r, w := newGet(path), newRecorder()
		r.Host = "evil.example"
		r.Header.Set("Authorization", scheme+" "+token)
		for _, p := range proofs {
			r.Header.Add("DPoP", p)
		}
		g, err := k.p.Caller(w, r)
		return g, w.Header(), err
	}
	proof := func(path string) string { return key.Proof("GET", k.url+path, token, "") }
	for _, path := range []string{"/api/v1/me", "/api/v1/clients/a%2Fb", "/api/v1/clients/p%C3%A4"} {
		if g, _, err := call("DPoP", path, proof(path)); err != nil || g.User != "anna" {
			t.Errorf("%s: %v", path, err)
		}
	}
	for what, f := range map[string]func() (openid.Grant, http.Header, error){
		"as bearer":       func() (openid.Grant, http.Header, error) { return call("Bearer", "/api/v1/me") },
		"no proof":        func() (openid.Grant, http.Header, error) { return call("DPoP", "/api/v1/me") },
		"another address": func() (openid.Grant, http.Header, error) { return call("DPoP", "/api/v1/me", proof("/api/v1/clients")) },
		"the Host header": func() (openid.Grant, http.Header, error) {
			return call("DPoP", "/api/v1/me", key.Proof("GET", "http://evil.example/api/v1/me", token, ""))
		},
	} {
		if g, h, err := f(); codeOf(err) != "invalid_token" || g.User != "" || len(h.Values("WWW-Authenticate")) != 2 {
			t.Errorf("%s: %v %v", what, h, err)
		}
	}
}

// conformance.md 2.9: the main plan's happy flow, private_key_jwt and DPoP, with
// its refresh-token module, on both pairs of backends.
func TestFAPI2(t *testing.T) {
	pairs(t, func(t *testing.T, k *kit) {
		signing, key := clientjwttest.New(t, "PS256"), k.newDPoPKey()
		other := clientjwttest.New(t, "ES256")
		k.client("fapi", jwtClient(signing), strict)
		k.client("fapi-2", jwtClient(other), strict)
		proof := func(path, token string) string {
			method := http.MethodPost
			if path == openid.UserinfoPath {
				method = http.MethodGet
			}
			return key.Proof(method, k.url+path, token, "")
		}
		push := func(proofs ...string) reply {
			req, err := http.NewRequest(http.MethodPost, k.url+openid.PARPath, strings.NewReader(asserted(request("client_id", "fapi"), signing.Assertion("fapi", k.url)).Encode()))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			for _, p := range proofs {
				req.Header.Add("DPoP", p)
			}
			return k.do(req)
		}
		code := func(proofs ...string) url.Values {
			pushed := push(proofs...)
			if pushed.status != http.StatusCreated {
				t.Fatalf("pushed: %d %s", pushed.status, pushed.raw)
			}
			return redeem(k.code(k.browser(), url.Values{"client_id": {"fapi"}, "request_uri": {pushed.text("request_uri")}}))
		}
		mine := func(form url.Values) url.Values { return asserted(form, signing.Assertion("fapi", k.url)) }
		first := k.prove("", mine(code()), proof(openid.TokenPath, ""))
		if first.status != http.StatusOK || first.text("token_type") != "DPoP" || first.text("id_token") == "" {
			t.Fatalf("%d %s", first.status, first.raw)
		}
		token := first.text("access_token")
		if r := k.show("DPoP "+token, proof(openid.UserinfoPath, token)); r.status != http.StatusOK {
			t.Errorf("userinfo: %d %s", r.status, r.raw)
		}
		req, err := http.NewRequest(http.MethodGet, k.url+openid.UserinfoPath+"?access_token="+token, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("DPoP", proof(openid.UserinfoPath, token))
		if r := k.do(req); r.status != 401 {
			t.Errorf("token in the address: %d %s", r.status, r.raw)
		}
		// The token works again and again, in the hands of its client alone.
		again := refreshing(first.text("refresh_token"))
		for range 2 {
			r := k.prove("", mine(again), proof(openid.TokenPath, ""))
			if r.status != http.StatusOK || r.text("access_token") == token || r.text("token_type") != "DPoP" {
				t.Fatalf("refresh: %d %s", r.status, r.raw)
			}
		}
		refused(t, "no authentication", k.prove("", again, proof(openid.TokenPath, "")), 401, "invalid_client")
		refused(t, "no proof", k.prove("", mine(again)), 400, "invalid_request")
		refused(t, "another client", k.prove("", asserted(again, other.Assertion("fapi-2", k.url)), proof(openid.TokenPath, "")), 400, "invalid_grant")
		// A proof with the pushed request binds the code.
		thief := k.newDPoPKey()
		refused(t, "a code of another key", k.prove("", mine(code(proof(openid.PARPath, ""))), k.tokenProof(thief)), 400, "invalid_grant")
		if r := k.prove("", mine(code(proof(openid.PARPath, ""))), proof(openid.TokenPath, "")); r.status != http.StatusOK {
			t.Errorf("a code of its key: %d %s", r.status, r.raw)
		}
		// What was spent at one endpoint is spent at all.
		used := signing.Assertion("fapi", k.url)
		refused(t, "its first use", k.post("", asserted(again, used)), 400, "invalid_request")
		req, err = http.NewRequest(http.MethodPost, k.url+openid.PARPath, strings.NewReader(asserted(request("client_id", "fapi"), used).Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		refused(t, "its second", k.do(req), 401, "invalid_client")
	})
}
