package openid

import (
	"context"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/fault"
)

// oneClient is a store that keeps the client that was registered last.
type oneClient struct {
	Store
	client Client
}

func (s *oneClient) ChangeClient(_ context.Context, c Client, _ audit.Event) error {
	s.client = c
	return nil
}

// FuzzRegister: whatever is sent, what is registered is what software may have, and
// a refusal is in the grammar of RFC 6749.
func FuzzRegister(f *testing.F) {
	for _, seed := range []string{`{"redirect_uris":["https://rp.example/cb"]}`, `{"redirect_uris":["https://rp.example/cb"],"scope":"openid clients","grant_types":["client_credentials"]}`,
		`{"client_name#fi":"x","jwks":null,"redirect_uris":["http://[::1]/"]}`, `{"REDIRECT_URIS":["https://a.b/"],"Third_Party":false}`, `{"redirect_uris":["https://rp.example/\"\u2028"]}`,
		`{"redirect_uris":["https://rp.example/cb"],"registration_token_hash":"00","methods":["card"],"profile":"fapi2"}`} {
		f.Add(seed)
	}
	acr := NewACRs("urn:portti:acr:")
	f.Fuzz(func(t *testing.T, body string) {
		r := httptest.NewRequest("POST", RegisterPath, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		store := &oneClient{}
		sent, err := readRegistration(r)
		if err == nil {
			_, _, _, err = (&Clients{Store: store, ACR: acr, Now: time.Now}).Register(t.Context(), sent.Metadata, RegistrationToken{})
		}
		if f, ok := fault.Of(err); ok {
			err = invalidMetadata(f)
		}
		c := store.client
		switch e, ok := err.(Error); {
		case ok && (e.Code != "invalid_client_metadata" && e.Code != "invalid_redirect_uri" || e.Description == "" || !plainText(e.Description)):
			t.Errorf("%q: %+v", body, e)
		case !ok && err != nil:
			t.Errorf("%q: %v", body, err)
		case err == nil && (!c.ThirdParty || !c.SelfRegistered() || slices.Contains(c.Scopes, "clients") || c.may(GrantClient) || c.Profile != "" || c.Methods != 0 || ValidateClient(c, acr) != nil):
			t.Errorf("%q: %+v", body, c)
		}
	})
}
