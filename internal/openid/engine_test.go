package openid

import (
	"net/url"
	"testing"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// zitadel-oidc 6.4: a client assertion posted as a jwt-bearer grant got an
// access token with the scopes of its choice. Behind our front door, the engine
// itself refuses every grant that is not ours.
func TestEngineRefusesWhatIsNotOurs(t *testing.T) {
	e, ctx := &engine{}, t.Context()
	at := &url.URL{Path: TokenPath}
	for what, err := range map[string]error{
		"jwt-bearer":    second(e.JWTProfile(ctx, &op.Request[oidc.JWTProfileGrantRequest]{URL: at})),
		"introspection": second(e.Introspect(ctx, &op.Request[op.IntrospectionRequest]{URL: at})),
		"revocation":    second(e.Revocation(ctx, &op.ClientRequest[oidc.RevocationRequest]{Request: &op.Request[oidc.RevocationRequest]{URL: at}})),
		"userinfo":      second(e.UserInfo(ctx, &op.Request[oidc.UserInfoRequest]{URL: at})),
	} {
		if err == nil {
			t.Errorf("%s is served", what)
		}
	}
}

func second(_ *op.Response, err error) error { return err }

// The library's own texts never leave as they are when they hold what the
// grammar forbids.
func TestForeignErrorTextsAreReplaced(t *testing.T) {
	for body, want := range map[string]Error{
		`{"error":"invalid_request","error_description":"fine"}`:          {"invalid_request", "fine"},
		`{"error":"invalid_request","error_description":"a \"b\" c"}`:     {"invalid_request", "The request is not valid."},
		`{"error":"invalid_request","error_description":"pässi"}`:         {"invalid_request", "The request is not valid."},
		`{"error":"in\"valid","error_description":"x"}`:                   errServer,
		`{"error_description":"pq: relation \"clients\" does not exist"}`: errServer,
		"404 page not found": errServer,
		"":                   errServer,
	} {
		a := recorder{}
		_, _ = a.Write([]byte(body))
		if got := a.error(); got != want {
			t.Errorf("%s: %+v", body, got)
		}
	}
}
