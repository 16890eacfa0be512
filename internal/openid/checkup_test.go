package openid_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/openid"
)

// healthy is a registration that nothing can be said against.
func healthy() openid.Client {
	return openid.Client{ID: "records", Name: map[string]string{"fi": "Rekisteri", "sv": "Registret", "en": "Records"}, AuthMethod: openid.AuthBasic, RequirePKCE: true, Algorithm: "ES256",
		GrantTypes: []openid.GrantType{openid.GrantCode}, Scopes: []string{"openid"}, RedirectURIs: []string{"https://records.example/cb"}, PostLogoutRedirectURIs: []string{"https://records.example/"},
		BackChannelLogoutURI: "https://records.example/logout", HomeURI: "https://records.example/", Options: openid.Options{Contacts: []string{"it@records.example"}}}
}

// keyUntil is a JWK set with a certificate that ends then.
func keyUntil(t *testing.T, end time.Time) json.RawMessage {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: end.AddDate(-1, 0, 0), NotAfter: end}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(map[string]any{"keys": []any{map[string]any{"kty": "EC", "x5c": []string{base64.StdEncoding.EncodeToString(der)}}}})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// Every symptom is found where it is, and nowhere else.
func TestCheckup(t *testing.T) {
	now := time.Now()
	cases := map[openid.Symptom]func(c *openid.Client){
		openid.SymptomDisabled: func(c *openid.Client) { c.Disabled = now },
		openid.SymptomNobodySignsIn: func(c *openid.Client) {
			c.MinimumACR, c.Methods = acrs.Card, uint8(identity.MethodsOf(identity.MethodApp))
		},
		openid.SymptomHTTP:       func(c *openid.Client) { c.RedirectURIs = append(c.RedirectURIs, "http://records.example/cb") },
		openid.SymptomLocal:      func(c *openid.Client) { c.HomeURI = "https://records.localhost/" },
		openid.SymptomNoPKCE:     func(c *openid.Client) { c.RequirePKCE = false },
		openid.SymptomPowerful:   func(c *openid.Client) { c.Scopes, c.ForwardsAddresses = append(c.Scopes, "manage"), true },
		openid.SymptomOwnAddress: func(c *openid.Client) { c.Scopes = append(c.Scopes, "us") },
		openid.SymptomKeyExpired: func(c *openid.Client) { c.JWKS = keyUntil(t, now.AddDate(0, 0, -1)) },
		openid.SymptomKeyExpires: func(c *openid.Client) { c.JWKS = keyUntil(t, now.AddDate(0, 0, 20)) },
		openid.SymptomOldSecret: func(c *openid.Client) {
			c.OldSecretHash, c.OldSecretUntil = "0a", now.Add(time.Hour)
		},
		openid.SymptomNoLogoutNotice:   func(c *openid.Client) { c.BackChannelLogoutURI = "" },
		openid.SymptomNoLogoutReturn:   func(c *openid.Client) { c.PostLogoutRedirectURIs = nil },
		openid.SymptomNameMissing:      func(c *openid.Client) { delete(c.Name, "sv") },
		openid.SymptomNoHome:           func(c *openid.Client) { c.HomeURI = "" },
		openid.SymptomNoContact:        func(c *openid.Client) { c.Contacts = nil },
		openid.SymptomPublic:           func(c *openid.Client) { c.AuthMethod = openid.AuthNone },
		openid.SymptomSecretInForm:     func(c *openid.Client) { c.AuthMethod = openid.AuthPost },
		openid.SymptomSignedWeaklyOnly: func(c *openid.Client) { c.Algorithm = "RS256" },
	}
	if found := openid.Checkup(healthy(), acrs, false, now); found != nil {
		t.Errorf("of a healthy one: %+v", found)
	}
	for symptom, edit := range cases {
		c := healthy()
		edit(&c)
		found := openid.Checkup(c, acrs, false, now)
		if len(found) != 1 || found[0].Symptom != symptom || found[0].Weight == "" || symptom.Explain() == "" {
			t.Errorf("%s: %+v", symptom, found)
		}
	}
	for _, s := range openid.Symptoms() {
		if cases[s] == nil && s != openid.SymptomLogoutSilent {
			t.Errorf("%s has no case", s)
		}
	}

	c := healthy()
	c.OldSecretHash, c.OldSecretUntil = "0a", now.Add(-time.Hour)
	c.JWKS = json.RawMessage(`{"keys":[{"x5c":["nonsense"]},{"x5c":["bm9uc2Vuc2U="]},{}]}`)
	if found := openid.Checkup(c, acrs, false, now); found != nil {
		t.Errorf("an old secret that is over, and nonsense: %+v", found)
	}
	c = healthy()
	c.RedirectURIs = []string{"http://records.localhost:8080/cb"}
	if found := openid.Checkup(c, acrs, true, now); found != nil {
		t.Errorf("at a provider on localhost: %+v", found)
	}
	c.Native = true
	if found := openid.Checkup(c, acrs, false, now); found != nil {
		t.Errorf("a native app: %+v", found)
	}
	c = healthy()
	c.RequirePKCE, c.Contacts, c.Disabled = false, nil, now
	order := []openid.Weight{openid.WeightProblem, openid.WeightWarning, openid.WeightNote}
	if found := openid.Checkup(c, acrs, false, now); !slices.EqualFunc(found, order, func(f openid.Finding, w openid.Weight) bool { return f.Weight == w }) {
		t.Errorf("not the worst first: %+v", found)
	}
}

// Whether the address for logout notices answers is found out as notices are sent:
// private addresses are not asked.
func TestCheckupAsksForLogoutNotices(t *testing.T) {
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked++; r.Method != http.MethodGet || r.URL.Path != "/logout" {
			t.Errorf("asked with %s %s", r.Method, r.URL)
		}
		w.WriteHeader(http.StatusMethodNotAllowed)
	}))
	t.Cleanup(server.Close)
	silent := func(k *kit, address string) bool {
		c := healthy()
		c.BackChannelLogoutURI = address
		return slices.ContainsFunc(k.p.Checkup(t.Context(), c), func(f openid.Finding) bool {
			return f.Symptom == openid.SymptomLogoutSilent && f.Value == address
		})
	}
	k := newKit(t, func(c *openid.Config, _ *openid.Deps) {
		c.Outgoing = openid.Outgoing{AllowHosts: []string{"127.0.0.1"}}
	})
	if silent(k, server.URL+"/logout") || asked != 1 {
		t.Errorf("an address that answers, asked %d times", asked)
	}
	none := newKit(t, func(c *openid.Config, _ *openid.Deps) { c.Outgoing = openid.Outgoing{} })
	if !silent(none, server.URL+"/logout") || asked != 1 {
		t.Errorf("a private address was asked")
	}
	server.Close()
	if !silent(k, server.URL+"/logout") {
		t.Error("an address that does not answer")
	}
}
