package e2e

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/portti-id/portti/internal/dpop"
	"github.com/portti-id/portti/internal/ephemeral"
	"github.com/portti-id/portti/internal/keys"
	"github.com/portti-id/portti/internal/openid"
)

// TestConformanceFAPIPlainOAuth is plain_oauth, private_key_jwt, dpop: clients without
// openid, and an API of others that introspects their tokens.
func TestConformanceFAPIPlainOAuth(t *testing.T) {
	EachWith(t, Options{MTLS: true}, func(t *testing.T, w *World) {
		resource := w.Origin("apache") + "/reports"
		f := newFAPI(t, w, func(t *testing.T, w *World, id, alg string, edit func(c *openid.Client)) *prover {
			return withKeys(t, w, id, alg, func(c *openid.Client) {
				edit(c)
				c.Scopes, c.Resources = []string{"reports", "offline_access"}, []string{resource}
			})
		})
		f.plain, f.resource = true, resource
		w.Handle("apache", newReports(t, w, resource))
		flow := maps.Clone(fapiFlow)
		// These ask for what openid gives.
		delete(flow, "test-claims-parameter-identity-claims")
		flow["ensure-other-scope-order-succeeds"] = goes(url.Values{"scope": {"offline_access reports"}})
		runFAPI(t, f, flow, fapiAssertions, fapiProofs)
	})
}

// reports is an API of its own at a host of its own: it verifies proofs itself and
// asks the provider about tokens (RFC 9449 §7, RFC 7662).
type reports struct {
	t       *testing.T
	address string
	proofs  *dpop.Verifier
	self    *Party
}

func newReports(t *testing.T, w *World, address string) *reports {
	t.Helper()
	c := w.client("apache", "Reports")
	c.ID, c.RedirectURIs, c.PostLogoutRedirectURIs, c.BackChannelLogoutURI, c.Scopes = "reports", nil, nil, "", nil
	c.GrantTypes, c.Serves = []openid.GrantType{openid.GrantClient}, []string{address}
	w.Register(c)
	memory := ephemeral.NewMemory(w.Clock.Now)
	t.Cleanup(func() { _ = memory.Close() })
	return &reports{t: t, address: address, self: w.As("reports", ""),
		proofs: &dpop.Verifier{Replay: memory, Sealer: must(keys.ReadMaster(strings.NewReader(w.Master)))(t), Now: w.Clock.Now}}
}

func (a *reports) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	rw.Header().Set("Cache-Control", "no-store")
	rw.Header().Set("Content-Type", "application/json")
	if !a.opens(r) {
		rw.Header().Set("WWW-Authenticate", `Bearer error="invalid_token", DPoP error="invalid_token", algs="ES256 PS256"`)
		rw.WriteHeader(http.StatusUnauthorized)
		_, _ = rw.Write([]byte(`{"error":"invalid_token"}`))
		return
	}
	_, _ = rw.Write([]byte(`{"reports":[]}`))
}

func (a *reports) opens(r *http.Request) bool {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	proofs := r.Header.Values("DPoP")
	if !strings.EqualFold(scheme, "DPoP") || len(proofs) != 1 {
		return false
	}
	var about struct {
		Active bool
		Aud    any
		Cnf    struct{ JKT string }
	}
	form := url.Values{"token": {token}}.Encode()
	ask, err := http.NewRequestWithContext(r.Context(), http.MethodPost, a.self.W.Issuer()+openid.IntrospectPath, strings.NewReader(form))
	if err != nil {
		return false
	}
	ask.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	ask.SetBasicAuth(a.self.ID, a.self.Secret)
	answer, err := a.self.http.Do(ask)
	if err != nil {
		a.t.Error(err)
		return false
	}
	defer answer.Body.Close() //nolint:errcheck // nothing is written
	if err := json.NewDecoder(answer.Body).Decode(&about); err != nil || !about.Active || !slices.Contains([]any{a.address}, about.Aud) || about.Cnf.JKT == "" {
		return false
	}
	_, err = a.proofs.Verify(r.Context(), proofs[0], dpop.Expect{Method: r.Method, URL: a.address, AccessToken: token, Thumbprint: about.Cnf.JKT})
	return err == nil
}
