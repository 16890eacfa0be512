package openid_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/clientjwt/clientjwttest"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/keys"
	"github.com/portti-id/portti/internal/openid"
)

// withKeys is a client that proves itself by its own keys.
func withKeys(t testing.TB) openid.Client {
	return openid.Client{ID: "service", Name: map[string]string{"en": "Service"}, AuthMethod: openid.AuthPrivateKeyJWT, Algorithm: keys.ES256,
		RedirectURIs: []string{"https://service.example.fi/cb"}, GrantTypes: []openid.GrantType{openid.GrantCode}, Scopes: []string{"openid"},
		Options: openid.Options{JWKS: json.RawMessage(clientjwttest.New(t, "ES256").JWKS())}}
}

// fapi is a client that keeps to FAPI 2.0.
func fapi(t testing.TB) openid.Client {
	c := withKeys(t)
	c.Profile, c.DPoP, c.RequirePAR = openid.ProfileFAPI2, true, true
	return c
}

func TestValidateOptions(t *testing.T) {
	type edits = []func(c *openid.Client)
	long := int64(-1)
	for field, edits := range map[string]edits{
		"jwks": {
			func(c *openid.Client) { c.JWKS = nil },
			func(c *openid.Client) { c.JWKS = json.RawMessage(`{"keys":[]}`) },
			func(c *openid.Client) { c.JWKS = json.RawMessage(`{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}`) },
			func(c *openid.Client) { c.JWKSURI = "https://service.example.fi/jwks" },
			func(c *openid.Client) { c.JWKS, c.AuthMethod = nil, openid.AuthSelfSignedTLS },
			func(c *openid.Client) {
				c.JWKS, c.AuthMethod, c.RequestObjectAlg, c.TLSSANDNS = nil, openid.AuthTLS, keys.ES256, "a.example"
			},
		},
		"jwks_uri":    {func(c *openid.Client) { c.JWKS, c.JWKSURI = nil, "http://service.example.fi/jwks" }},
		"auth_method": {func(c *openid.Client) { c.AuthMethod = "client_secret_jwt" }},
		"secret":      {func(c *openid.Client) { c.SecretHash = strings.Repeat("0a", 32) }, func(c *openid.Client) { c.OldSecretHash = strings.Repeat("0a", 32) }},
		"token_endpoint_auth_signing_alg": {
			func(c *openid.Client) { c.AuthAlgorithm = "HS256" },
			func(c *openid.Client) {
				c.AuthMethod, c.TLSSANDNS, c.AuthAlgorithm = openid.AuthTLS, "a.example", keys.ES256
			},
		},
		"tls_client_auth_subject_dn": {
			func(c *openid.Client) { c.AuthMethod = openid.AuthTLS },
			func(c *openid.Client) {
				c.AuthMethod, c.TLSSANDNS, c.TLSSubjectDN = openid.AuthTLS, "a.example", "CN=a"
			},
			func(c *openid.Client) { c.TLSSubjectDN = "CN=a" },
			func(c *openid.Client) { c.AuthMethod, c.TLSSubjectDN = openid.AuthTLS, "records" },
		},
		"tls_client_auth_san_ip":     {func(c *openid.Client) { c.AuthMethod, c.TLSSANIP = openid.AuthTLS, "a.example" }},
		"request_object_signing_alg": {func(c *openid.Client) { c.RequestObjectAlg = "none" }, func(c *openid.Client) { c.RequireRequestObject = true }, func(c *openid.Client) { c.RequestURIs = []string{"https://service.example.fi/r"} }},
		"request_uris": {func(c *openid.Client) {
			c.RequestObjectAlg, c.RequestURIs = keys.ES256, []string{"http://service.example.fi/r"}
		}},
		"response_modes":                    {func(c *openid.Client) { c.ResponseModes = []string{"web_message"} }},
		"authorization_signed_response_alg": {func(c *openid.Client) { c.ResponseAlg = keys.ES256 }, func(c *openid.Client) { c.ResponseModes, c.ResponseAlg = []string{"jwt"}, "none" }},
		"dpop_bound_access_tokens":          {func(c *openid.Client) { c.DPoP, c.CertificateBound = true, true }},
		"default_max_age":                   {func(c *openid.Client) { c.DefaultMaxAge = &long }},
		"default_acr_values":                {func(c *openid.Client) { c.DefaultACRValues = []string{"gold"} }},
		"access_token_format":               {func(c *openid.Client) { c.TokenFormat = "saml" }},
		"forwards_addresses":                {func(c *openid.Client) { c.AuthMethod, c.SecretHash, c.ForwardsAddresses = openid.AuthNone, "", true }},
		"keep_refresh_token":                {func(c *openid.Client) { c.KeepRefreshToken = true }},
		"subject_type":                      {func(c *openid.Client) { c.SubjectType = "private" }},
		"sector_identifier_uri": {
			func(c *openid.Client) { c.SectorIdentifierURI = "https://service.example.fi/sector" },
			func(c *openid.Client) {
				c.SubjectType, c.RedirectURIs = openid.SubjectPairwise, append(c.RedirectURIs, "https://other.example.fi/cb")
			},
		},
		"userinfo_signed_response_alg":      {func(c *openid.Client) { c.UserinfoAlg = "none" }},
		"introspection_signed_response_alg": {func(c *openid.Client) { c.IntrospectionAlg = "HS256" }},
		"id_token_encrypted_response_alg":   {func(c *openid.Client) { c.IDTokenEncAlg = "RSA1_5" }, func(c *openid.Client) { c.IDTokenEnc = "A256GCM" }},
		"userinfo_encrypted_response_enc":   {func(c *openid.Client) { c.UserinfoEncAlg, c.UserinfoEnc = "ECDH-ES", "A192GCM" }},
		"scopes":                            {func(c *openid.Client) { c.Scopes = nil }, func(c *openid.Client) { c.Scopes, c.Resources = []string{"email"}, []string{"https://api.example.fi"} }},
		"resources":                         {func(c *openid.Client) { c.Scopes = []string{"reports"} }, func(c *openid.Client) { c.Resources = []string{"api"} }, func(c *openid.Client) { c.Resources = []string{"https://api.example.fi/#x"} }},
		"exchange_to":                       {func(c *openid.Client) { c.ExchangeTo = []string{"https://api.example.fi"} }},
		"frontchannel_logout_uri":           {func(c *openid.Client) { c.FrontChannelURI = "https://other.example.fi/out" }, func(c *openid.Client) { c.FrontChannelURI = "https://service.example.fi:444/out" }},
		"logo_uri":                          {func(c *openid.Client) { c.LogoURI = "javascript:alert(1)" }},
		"contacts":                          {func(c *openid.Client) { c.Contacts = []string{""} }},
		"profile":                           {func(c *openid.Client) { c.Profile = "fapi1" }},
	} {
		for i, edit := range edits {
			c := withKeys(t)
			edit(&c)
			wrongField(t, field, i, openid.ValidateClient(c, acrs))
		}
	}
	for name, edit := range map[string]func(c *openid.Client){
		"keys":     func(*openid.Client) {},
		"jwks_uri": func(c *openid.Client) { c.JWKS, c.JWKSURI = nil, "https://service.example.fi/jwks" },
		"tls": func(c *openid.Client) {
			c.JWKS, c.AuthMethod, c.TLSSubjectDN = nil, openid.AuthTLS, "CN=service,O=Clinic,C=FI"
		},
		"self-signed": func(c *openid.Client) { c.AuthMethod = openid.AuthSelfSignedTLS },
		"JARM":        func(c *openid.Client) { c.ResponseModes, c.ResponseAlg = []string{"query", "query.jwt"}, keys.PS256 },
		"encrypted":   func(c *openid.Client) { c.IDTokenEncAlg, c.IDTokenEnc = "ECDH-ES", "A256GCM" },
		"kept":        func(c *openid.Client) { c.KeepRefreshToken, c.DPoP = true, true },
		"pairwise":    func(c *openid.Client) { c.SubjectType = openid.SubjectPairwise },
		"frame":       func(c *openid.Client) { c.FrontChannelURI = "https://service.example.fi/out" },
	} {
		c := withKeys(t)
		edit(&c)
		if err := openid.ValidateClient(c, acrs); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestValidateFAPI: FAPI 2.0 Security Profile §5.3.2, §5.4.
func TestValidateFAPI(t *testing.T) {
	if err := openid.ValidateClient(fapi(t), acrs); err != nil {
		t.Fatal(err)
	}
	for field, edits := range map[string][]func(c *openid.Client){
		"auth_method":                     {func(c *openid.Client) { c.AuthMethod, c.SecretHash = openid.AuthBasic, strings.Repeat("0a", 32) }, func(c *openid.Client) { c.AuthMethod = openid.AuthNone }},
		"dpop_bound_access_tokens":        {func(c *openid.Client) { c.DPoP = false }},
		"algorithm":                       {func(c *openid.Client) { c.Algorithm = "" }, func(c *openid.Client) { c.Algorithm = keys.RS256 }},
		"token_endpoint_auth_signing_alg": {func(c *openid.Client) { c.AuthAlgorithm = keys.RS256 }},
		"request_object_signing_alg":      {func(c *openid.Client) { c.RequestObjectAlg = keys.RS256 }},
		"redirect_uris":                   {func(c *openid.Client) { c.RedirectURIs = []string{"http://localhost/cb"} }},
	} {
		for i, edit := range edits {
			c := fapi(t)
			edit(&c)
			wrongField(t, field, i, openid.ValidateClient(c, acrs))
		}
	}
}

func wrongField(t *testing.T, field string, i int, err error) {
	t.Helper()
	var f *fault.Fault
	if !errors.As(err, &f) || f.Kind != fault.Invalid || f.Field != field || !strings.HasPrefix(f.Message, field+": ") {
		t.Errorf("%s %d: %v", field, i, err)
	}
}

// TestMetadataIsTheClient: what export prints, import makes.
func TestMetadataIsTheClient(t *testing.T) {
	age := int64(300)
	for _, c := range []openid.Client{withKeys(t), fapi(t), {
		ID: "full", Name: map[string]string{"fi": "Palvelu", "sv": "Tjänst", "en": "Service"}, AuthMethod: openid.AuthNone, Native: true,
		RedirectURIs: []string{"http://127.0.0.1/cb"}, PostLogoutRedirectURIs: []string{"http://127.0.0.1/out"}, BackChannelLogoutURI: "https://a.example/bc",
		GrantTypes: []openid.GrantType{openid.GrantCode, openid.GrantRefresh}, Scopes: []string{"openid", "profile"}, MinimumACR: acrs.Card, Methods: 1, Algorithm: keys.EdDSA,
		RequirePKCE: true, AccessTokenTTL: 7 * time.Minute, HomeURI: "https://a.example/", Options: openid.Options{ThirdParty: true, DefaultMaxAge: &age, Contacts: []string{"ops@a.example"}},
	}} {
		body, err := json.Marshal(openid.MetadataOf(c))
		if err != nil {
			t.Fatal(err)
		}
		m, err := openid.ReadMetadata(bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		got := openid.Client{ID: c.ID}
		if err := m.Apply(&got); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, c) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", body, got, c)
		}
		if m.ID != c.ID {
			t.Errorf("client_id %q", m.ID)
		}
	}
}

func TestMetadataThatCannotBeRead(t *testing.T) {
	for text, want := range map[string]string{
		``:                              "not a JSON object",
		`[]`:                            "not a JSON object",
		`{"client_id":"a"} {}`:          "more than one",
		`{"redirect_uri":"https://a"}`:  "redirect_uri: there is no such member",
		`{"redirect_uris":"https://a"}`: "redirect_uris: a JSON string",
		`{"registration_token_hash":"` + strings.Repeat("0a", 32) + `"}`: "cannot be chosen",
		`{"client_id":"` + strings.Repeat("a", 200<<10) + `"}`:           "longer than",
		`{"secret_hash":"` + strings.Repeat("0a", 32) + `"}`:             "no such member",
		`{"client_secret":"mine"}`:                                       "no such member",
		`{"id_token_signed_response_alg":7}`:                             "id_token_signed_response_alg",
	} {
		if _, err := openid.ReadMetadata(strings.NewReader(text)); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v, want %q", text, err, want)
		}
	}
	for text, field := range map[string]string{`{"application_type":"phone"}`: "application_type", `{"response_types":["token"]}`: "response_types", `{"methods":["sms"]}`: "methods"} {
		m, err := openid.ReadMetadata(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		wrongField(t, field, 0, m.Apply(&openid.Client{}))
	}
}

func FuzzMetadata(f *testing.F) {
	f.Add(`{"client_id":"a","client_name":"A","redirect_uris":["https://a.example/cb"],"scope":"openid","jwks":{"keys":[]}}`)
	f.Add(`{"methods":["card"],"default_max_age":1e3}`)
	f.Add(`{"jwks":null,"contacts":[null]}`)
	f.Fuzz(func(t *testing.T, text string) {
		m, err := openid.ReadMetadata(strings.NewReader(text))
		if err != nil {
			return
		}
		c := openid.Client{ID: "a"}
		if m.Apply(&c) != nil || openid.ValidateClient(c, acrs) != nil {
			return
		}
		body, err := json.Marshal(openid.MetadataOf(c))
		if err != nil {
			t.Fatal(err)
		}
		again, err := openid.ReadMetadata(bytes.NewReader(body))
		if err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		d := openid.Client{ID: "a"}
		if err := again.Apply(&d); err != nil {
			t.Fatal(err)
		}
		if err := openid.ValidateClient(d, acrs); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
	})
}
