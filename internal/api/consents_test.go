package api_test

import (
	"slices"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/session"
	"github.com/portti-id/portti/pkg/portti"
)

// Everybody sees and withdraws their own, and only after a full sign-in.
func TestConsents(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	token, s := w.enter(session.Full, session.App, "openid", "us")
	if all, err := w.Consents(ctx, token); err != nil || len(all) != 0 {
		t.Errorf("%+v %v", all, err)
	}
	given := time.Now().UTC().Truncate(time.Second)
	client := openid.Client{ID: "outsider", Name: map[string]string{"en": "Outsider"}, HomeURI: "https://o.example/", SecretHash: "hash"}
	w.consents.allowed = map[string][]openid.Allowed{
		string(w.user): {{Client: client, Consent: openid.Consent{User: string(w.user), Client: "outsider", Scopes: []string{"email", "openid"}, Claims: []string{"birthdate"}, Created: given, Updated: given}}},
		"somebody":     {{Client: openid.Client{ID: "theirs"}}},
	}
	all, err := w.Consents(ctx, token)
	if err != nil || len(all) != 1 || all[0].Client != "outsider" || all[0].Name["en"] != "Outsider" || all[0].Home != "https://o.example/" ||
		!slices.Equal(all[0].Scopes, []string{"email", "openid"}) || !slices.Equal(all[0].Claims, []string{"birthdate"}) || !all[0].Given.Equal(given) {
		t.Errorf("%+v %v", all, err)
	}
	if err := w.Withdraw(ctx, token, "theirs"); portti.Code(err) != "consent_not_found" {
		t.Error(err)
	}
	w.must(w.Withdraw(ctx, token, "outsider"))
	enrol, _ := w.enter(session.Enrol, session.Password, "openid", "us.enrol")
	if _, err := w.Consents(ctx, enrol); portti.Code(err) != "full_signin_required" {
		t.Errorf("a password alone: %v", err)
	}
	if err := w.Withdraw(ctx, enrol, "outsider"); portti.Code(err) != "full_signin_required" {
		t.Errorf("a password alone: %v", err)
	}
	if want := []string{string(w.user) + " org " + s.ID + " outsider"}; !slices.Equal(w.consents.gone, want) {
		t.Errorf("withdrawn %q, want %q", w.consents.gone, want)
	}
}
