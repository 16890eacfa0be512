package e2e

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/portti-id/portti/internal/clientjwt/clientjwttest"
	"github.com/portti-id/portti/internal/dpop"
	"github.com/portti-id/portti/internal/dpop/dpoptest"
)

// badAssertion is an assertion that every endpoint must refuse, and the client with it.
func badAssertion(spoils ...func(f *fapi) spoil) func(f *fapi) {
	return func(f *fapi) {
		for _, s := range spoils {
			if !f.machine {
				f.refuses("at the pushed request", f.push(f.first, nil, s(f)), "invalid_client", "invalid_request")
			}
			f.refuses("at the token endpoint", f.asks(f.first, s(f)), "invalid_client", "invalid_request")
		}
	}
}

func always(s spoil) func(f *fapi) spoil { return func(*fapi) spoil { return s } }

// ahead is an assertion of a client whose clock is ahead of ours.
func ahead(d time.Duration) func(f *fapi) spoil {
	return func(f *fapi) spoil {
		return func(k *call) {
			k.assertion["iat"], k.assertion["nbf"], k.assertion["exp"] = f.ago(-d), f.ago(-d), f.ago(-d-time.Minute)
		}
	}
}

// audience is an assertion for an endpoint.
func audience(endpoint string) func(f *fapi) spoil {
	return func(f *fapi) spoil { return claim("aud", f.conf[endpoint]) }
}

// rs256 signs with the client's RSA key as RS256 does.
func rs256(k *call) {
	k.signer = &clientjwttest.Key{ID: k.signer.ID, Alg: "RS256", Private: k.signer.Private}
}

// fapiAssertions are the modules on private_key_jwt.
var fapiAssertions = map[string]func(f *fapi){
	"ensure-signed-client-assertion-with-RS256-fails":             badAssertion(always(rs256)),
	"ensure-client-assertion-in-token-endpoint":                   badAssertion(always(noAssertion)),
	"ensure-client-assertion-with-exp-is-5-minutes-in-past-fails": badAssertion(func(f *fapi) spoil { return claim("exp", f.ago(5*time.Minute)) }),
	"ensure-client-assertion-with-wrong-aud-fails":                badAssertion(always(claim("aud", "https://other.localhost/"))),
	"ensure-client-assertion-with-no-sub-fails":                   badAssertion(always(claim("sub", dpoptest.Absent))),
	"par-test-array-as-audience-fails": badAssertion(func(f *fapi) spoil {
		return claim("aud", []string{f.w.Issuer(), f.conf["pushed_authorization_request_endpoint"].(string)})
	}, func(f *fapi) spoil { return claim("aud", []string{f.w.Issuer()}) }),
	"par-test-par-endpoint-url-as-audience-fails":   badAssertion(audience("pushed_authorization_request_endpoint")),
	"par-test-token-endpoint-url-as-audience-fails": badAssertion(audience("token_endpoint")),

	"par-ensure-jwt-client-assertions-nbf-8-seconds-in-the-future-is-accepted": func(f *fapi) {
		spoil := ahead(8 * time.Second)(f)
		code := f.code(f.first, nil, spoil)
		f.tokens(f.first, f.redeem(f.first, code, nil, spoil), "nonce-"+f.first.ID)
	},
	"par-ensure-jwt-client-assertions-nbf-over-60-seconds-in-the-future-fails": badAssertion(ahead(65*time.Second), ahead(time.Hour)),
	"ensure-invalid-client-assertions-fail":                                    invalidAssertions,
}

// invalidAssertions are the cases of ensure-invalid-client-assertions-fail that no
// other module has, and a good one at the end.
func invalidAssertions(f *fapi) {
	badAssertion(
		always(func(k *call) { k.kind = "" }),
		always(func(k *call) { k.kind = "urn:ietf:params:oauth:client-assertion-type:saml2-bearer" }),
		always(claim("sub", "fapi-2")),
		always(claim("iss", dpoptest.Absent)),
		always(claim("iss", "fapi-2")),
		always(claim("aud", dpoptest.Absent)),
		always(claim("aud", "https://id.localhost")),
		always(claim("jti", dpoptest.Absent)),
		always(claim("exp", dpoptest.Absent)),
		always(func(k *call) { k.jose = map[string]any{"alg": "none"} }),
		always(func(k *call) { k.jose = map[string]any{"alg": "HS256"} }),
		func(f *fapi) spoil {
			thief := clientjwttest.New(f.T, "PS256")
			thief.ID = f.first.key.ID
			return func(k *call) { k.signer = thief }
		},
	)(f)
	// One that was used, here or at another endpoint.
	var used map[string]any
	f.asks(f.first, func(k *call) { used = k.assertion })
	if used["jti"] == nil {
		f.Fatal("no assertion was sent")
	}
	again := func(k *call) { k.assertion = used }
	f.refuses("used before", f.asks(f.first, again), "invalid_client")
	if !f.machine {
		f.refuses("used at another endpoint", f.push(f.first, nil, again), "invalid_client")
	}
	f.open("a good one, afterwards", f.uses(f.first, f.whole(f.first, nil).Access))
}

// everyProof spoils every DPoP proof of a flow in one way, and it must work.
func everyProof(spoils func(f *fapi) spoil) func(f *fapi) {
	return func(f *fapi) {
		if f.machine {
			tokens := f.tokens(f.first, f.asks(f.first, spoils(f)), "")
			f.open("the resource", f.uses(f.first, tokens.Access, spoils(f)))
			return
		}
		code := f.code(f.first, nil, spoils(f))
		tokens := f.tokens(f.first, f.redeem(f.first, code, nil, spoils(f)), "nonce-"+f.first.ID)
		f.open("the resource", f.uses(f.first, tokens.Access, spoils(f)))
	}
}

// bindsTo is a flow whose code is bound to the key of the client's proofs; another
// key must not redeem it.
func bindsTo(extra func(f *fapi) url.Values, spoils ...spoil) func(f *fapi) {
	return func(f *fapi) {
		f.tokens(f.first, f.redeem(f.first, f.code(f.first, extra(f), spoils...), nil), "nonce-"+f.first.ID)
		f.refuses("a code of another key", f.redeem(f.first, f.code(f.first, extra(f), spoils...), nil, f.anotherKey()), "invalid_request", "invalid_grant", dpop.InvalidProof)
	}
}

// anotherKey proves with a key that nobody has seen.
func (f *fapi) anotherKey() spoil {
	thief := dpoptest.New(f.T)
	thief.Now = f.w.Clock.Now
	return func(k *call) { k.prover, k.head = thief, thief.Header() }
}

func (f *fapi) thumbprint() url.Values { return url.Values{"dpop_jkt": {f.first.dpo.Thumbprint()}} }

// fapiProofs are the modules on DPoP.
var fapiProofs = map[string]func(f *fapi){
	"check-dpop-proof-nbf-exp": everyProof(func(f *fapi) spoil {
		return func(k *call) { k.proof["nbf"], k.proof["exp"] = f.ago(0), f.ago(-5*time.Minute) }
	}),
	"ensure-dpopproof-with-iat-10seconds-before-succeeds": everyProof(func(f *fapi) spoil { return proof("iat", f.ago(10*time.Second)) }),
	"ensure-dpopproof-with-iat-10seconds-after-succeeds":  everyProof(func(f *fapi) spoil { return proof("iat", f.ago(-10*time.Second)) }),
	"ensure-mismatched-dpop-jkt-fails": func(f *fapi) {
		f.refuses("dpop_jkt of another key", f.push(f.first, url.Values{"dpop_jkt": {f.second.dpo.Thumbprint()}}), "invalid_request", dpop.InvalidProof)
	},
	"ensure-token-endpoint-fails-with-mismatched-dpop-proof-jkt": bindsTo(func(*fapi) url.Values { return nil }),
	"ensure-token-endpoint-fails-with-mismatched-dpop-jkt":       bindsTo((*fapi).thumbprint, noProof),
	"ensure-dpopproof-at-par-endpoint-binding-success":           bindsTo(func(*fapi) url.Values { return nil }),
	"ensure-dpop-auth-code-binding-success":                      bindsTo((*fapi).thumbprint),
	"dpop-negative-tests":                                        badProofs,
}

// badProofs are the cases of dpop-negative-tests, at the resource and at the
// endpoints that give tokens.
func badProofs(f *fapi) {
	tokens := f.whole(f.first, nil)
	f.open("a good proof", f.uses(f.first, tokens.Access))
	at := must(url.Parse(f.w.Issuer()))(f.T)
	upper := func(k *call) {
		k.proof["htu"] = strings.Replace(k.proof["htu"].(string), "https://"+at.Host, "HTTPS://"+strings.ToUpper(at.Host), 1)
	}
	for what, s := range map[string]spoil{
		"the field in capitals":   func(k *call) { k.header["DPOP"], k.proofs = []string{k.prover.Sign(k.head, k.proof)}, []string{} },
		"htu with query and more": func(k *call) { k.proof["htu"] = k.proof["htu"].(string) + "?one=1&two=2#three" },
		"htu in capitals":         upper,
		"members that nobody knows": func(k *call) {
			k.head["iss"], k.head["new"], k.proof["new"], k.proof["aud"] = "x", 1, map[string]any{"a": 1}, "https://other.localhost"
		},
		"a query at the resource": func(k *call) { k.address += "?dry_run=false" },
	} {
		if what == "the field in capitals" && f.nonces() {
			continue // what is sent as it is has no nonce
		}
		f.open(what, f.uses(f.first, tokens.Access, s))
	}
	private := must(jose.JSONWebKey{Key: f.first.dpo.Signer}.MarshalJSON())(f.T)
	var whole map[string]any
	if err := json.Unmarshal(private, &whole); err != nil {
		f.Fatal(err)
	}
	verbatim := func(instead func(good string) []string) spoil {
		return func(k *call) { k.proofs = instead(k.prover.Sign(k.head, k.proof)) }
	}
	rsa := clientjwttest.New(f.T, "RS256")
	public := must(rsa.JWK().MarshalJSON())(f.T)
	faults := map[string]spoil{
		"two proofs": func(k *call) {
			k.proofs = []string{k.prover.Sign(k.head, k.proof), k.prover.Sign(k.head, proofAgain(k.proof))}
		},
		"no JWT":           verbatim(func(string) []string { return []string{"a.b.c"} }),
		"a JWT cut short":  verbatim(func(good string) []string { return []string{good[:len(good)-9]} }),
		"no typ":           head("typ", dpoptest.Absent),
		"no alg":           head("alg", dpoptest.Absent),
		"no jwk":           head("jwk", dpoptest.Absent),
		"no jti":           proof("jti", dpoptest.Absent),
		"no htm":           proof("htm", dpoptest.Absent),
		"no htu":           proof("htu", dpoptest.Absent),
		"no iat":           proof("iat", dpoptest.Absent),
		"another typ":      head("typ", "JWT"),
		"typ in capitals":  head("typ", "DPOP+JWT"),
		"a private jwk":    head("jwk", whole),
		"htm PUT":          proof("htm", "PUT"),
		"htm in lowercase": func(k *call) { k.proof["htm"] = strings.ToLower(k.method) },
		"htu elsewhere":    proof("htu", f.w.Issuer()+"/elsewhere"),
		"another host":     proof("htu", "https://other.localhost/userinfo"),
		"iat in an hour":   proof("iat", f.ago(-time.Hour)),
		"iat an hour ago":  proof("iat", f.ago(time.Hour)),
		"alg none": verbatim(func(good string) []string {
			parts := strings.Split(good, ".")
			header, _ := json.Marshal(dpoptest.With(f.first.dpo.Header(), "alg", "none"))
			return []string{base64.RawURLEncoding.EncodeToString(header) + "." + parts[1] + "."}
		}),
		"RS256": func(k *call) {
			k.proofs = []string{rsa.Sign(map[string]any{"kid": nil, "typ": "dpop+jwt", "jwk": json.RawMessage(public)}, k.proof)}
		},
		"another's signature": func(k *call) { k.prover = f.second.dpo },
	}
	atResource := map[string]spoil{
		"no ath":      proof("ath", dpoptest.Absent),
		"another ath": proof("ath", base64.RawURLEncoding.EncodeToString(make([]byte, 32))),
		"another key": f.anotherKey(),
		"no proof":    noProof,
		"no proof, and Bearer": func(k *call) {
			k.proof = nil
			k.header.Set("Authorization", "Bearer "+tokens.Access)
		},
		"a proof, and Bearer": func(k *call) { k.header.Set("Authorization", "Bearer "+tokens.Access) },
	}
	for what, s := range faults {
		f.shut(what, f.uses(f.first, tokens.Access, s))
		if !f.machine {
			f.refuses(what+", at the pushed request", f.push(f.first, nil, s), dpop.InvalidProof)
		}
	}
	for what, s := range atResource {
		f.shut(what, f.uses(f.first, tokens.Access, s))
	}
	code := ""
	if !f.machine {
		code = f.code(f.first, nil)
	}
	for what, s := range faults {
		var got answer
		if f.machine {
			got = f.asks(f.first, s)
		} else {
			got = f.redeem(f.first, code, nil, s)
		}
		f.refuses(what+", at the token endpoint", got, dpop.InvalidProof)
	}
	if !f.machine { // a bad proof spends no code
		f.tokens(f.first, f.redeem(f.first, code, nil), "nonce-"+f.first.ID)
	}
	// A proof opens once.
	var used *call
	f.open("a proof", f.uses(f.first, tokens.Access, func(k *call) { used = k }))
	f.shut("the same proof", f.once(used))
	if got := f.once(used); got.Status != http.StatusUnauthorized {
		f.Errorf("a used proof: %d %s", got.Status, got.Body)
	}
	f.open("a good proof, afterwards", f.uses(f.first, tokens.Access))
}

// nonces tells whether the provider asks for nonces.
func (f *fapi) nonces() bool {
	f.Helper()
	return f.push(f.first, nil).Header.Get("DPoP-Nonce") != ""
}

func proofAgain(claims map[string]any) map[string]any { return dpoptest.With(claims, "jti", "again") }

// fapiMachine are the modules of fapi_client_credentials_grant.
var fapiMachine = map[string]func(f *fapi){
	"discovery-end-point-verification": fapiDiscovery,
	"happy-flow": func(f *fapi) {
		for _, c := range []*prover{f.first, f.second} {
			f.open("the token", f.uses(c, f.whole(c, nil).Access))
		}
	},
	"access-token-type-header-case-sensitivity": schemeInAnyCase,
	"ensure-client-id-in-token-endpoint":        otherClientID,
	"ensure-holder-of-key-required":             holderOfKey,

	"ensure-signed-client-assertion-with-RS256-fails":             fapiAssertions["ensure-signed-client-assertion-with-RS256-fails"],
	"ensure-client-assertion-in-token-endpoint":                   fapiAssertions["ensure-client-assertion-in-token-endpoint"],
	"ensure-client-assertion-with-exp-is-5-minutes-in-past-fails": fapiAssertions["ensure-client-assertion-with-exp-is-5-minutes-in-past-fails"],
	"ensure-client-assertion-with-wrong-aud-fails":                fapiAssertions["ensure-client-assertion-with-wrong-aud-fails"],
	"ensure-client-assertion-with-no-sub-fails":                   fapiAssertions["ensure-client-assertion-with-no-sub-fails"],
	"ensure-invalid-client-assertions-fail":                       fapiAssertions["ensure-invalid-client-assertions-fail"],
	"check-dpop-proof-nbf-exp":                                    fapiProofs["check-dpop-proof-nbf-exp"],
	"ensure-dpopproof-with-iat-10seconds-before-succeeds":         fapiProofs["ensure-dpopproof-with-iat-10seconds-before-succeeds"],
	"ensure-dpopproof-with-iat-10seconds-after-succeeds":          fapiProofs["ensure-dpopproof-with-iat-10seconds-after-succeeds"],
	"dpop-negative-tests":                                         fapiProofs["dpop-negative-tests"],
}
