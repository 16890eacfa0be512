package openid

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
)

// claims is the userinfo response (OpenID Connect Core §5.1, §5.4). Claims that
// we do not know are left out, never empty.
type claims struct {
	Subject          string `json:"sub"`
	Name             string `json:"name,omitempty"`
	GivenName        string `json:"given_name,omitempty"`
	FamilyName       string `json:"family_name,omitempty"`
	Username         string `json:"preferred_username,omitempty"`
	Locale           string `json:"locale,omitempty"`
	Organisation     string `json:"organisation,omitempty"` // ours: the employer's ID
	OrganisationName string `json:"organisation_name,omitempty"`
	Email            string `json:"email,omitempty"`
	EmailVerified    *bool  `json:"email_verified,omitempty"` // said also when false
}

// claimsSupported is every claim that a client can get, in the ID token or here.
var claimsSupported = []string{"iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "azp", "at_hash", "sid",
	"name", "given_name", "family_name", "preferred_username", "locale", "organisation", "organisation_name", "email", "email_verified"}

func claimsFor(g Grant, p identity.Person) claims {
	c := claims{Subject: g.User}
	if slices.Contains(g.Scopes, "profile") {
		c.Name, c.GivenName, c.FamilyName = p.User.Name(), p.User.GivenName, p.User.FamilyName
		c.Username, c.Locale = p.User.Username, p.User.Language
		c.Organisation, c.OrganisationName = string(p.Organisation.ID), p.Organisation.Name
	}
	if slices.Contains(g.Scopes, "email") && p.User.Email != "" {
		// The employer gave the address; nobody has shown to read mail there.
		c.Email, c.EmailVerified = p.User.Email, new(bool)
	}
	return c
}

const maxUserinfoRequest = 8 << 10

// userinfo is the userinfo endpoint (OpenID Connect Core §5.3).
func (p *Provider) userinfo(w http.ResponseWriter, r *http.Request) {
	if preflight(w, r, "GET, POST") {
		return
	}
	private(w)
	if r.Method != http.MethodGet && r.Method != http.MethodPost {
		w.Header().Set("Allow", "GET, POST, OPTIONS")
		writeError(w, http.StatusMethodNotAllowed, Error{"invalid_request", "Use GET or POST."})
		return
	}
	ctx := r.Context()
	r.Body = http.MaxBytesReader(w, r.Body, maxUserinfoRequest)
	raw, err := bearer(r)
	if err != nil {
		p.refuseBearer(w, r, err)
		return
	}
	g, err := p.Token(ctx, raw)
	if err != nil {
		p.refuseBearer(w, r, err)
		return
	}
	if !slices.Contains(g.Scopes, "openid") {
		p.refuseBearer(w, r, errScope)
		return
	}
	person, err := p.People.Standing(ctx, identity.UserID(g.User), g.Epoch, g.Session)
	if err != nil {
		p.refuseBearer(w, r, err)
		return
	}
	body, err := json.Marshal(claimsFor(g, person))
	if err != nil {
		p.refuseBearer(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body)
}

var (
	errNoToken = Error{"", "An access token is missing."} // no code: the request did not try (RFC 6750 §3.1)
	errTwice   = Error{"invalid_request", "Send the access token once, in the Authorization header or in the form."}
	errToken   = Error{"invalid_token", "The access token is wrong, expired or revoked."}
	errScope   = Error{"insufficient_scope", "The access token lacks the scope openid."}
)

// bearer finds the access token (RFC 6750 §2.1, §2.2). Not in the address:
// addresses end up in logs.
func bearer(r *http.Request) (string, error) {
	header := r.Header.Values("Authorization")
	var form string
	if r.Method == http.MethodPost {
		if err := r.ParseForm(); err != nil {
			return "", Error{"invalid_request", "The form cannot be read."}
		}
		if len(r.PostForm["access_token"]) > 1 {
			return "", errTwice
		}
		form = r.PostForm.Get("access_token")
	}
	switch {
	case len(header) > 1, len(header) == 1 && form != "":
		return "", errTwice
	case form != "":
		return form, nil
	case len(header) == 0:
		return "", errNoToken
	}
	scheme, token, ok := strings.Cut(header[0], " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return "", errNoToken
	}
	return strings.TrimSpace(token), nil
}

// refuseBearer answers by RFC 6750 §3: the status belongs to the error, and the
// challenge repeats it.
func (p *Provider) refuseBearer(w http.ResponseWriter, r *http.Request, err error) {
	var e Error
	switch {
	case errors.As(err, &e):
	case fault.Is(err, fault.Unauthenticated):
		e = errToken
	case unavailable(err):
		p.Log.ErrorContext(r.Context(), "userinfo failed", "error", err)
		w.Header().Set("Retry-After", "5")
		writeError(w, http.StatusServiceUnavailable, errUnavailable)
		return
	default:
		p.Log.ErrorContext(r.Context(), "userinfo failed", "error", err)
		writeError(w, http.StatusInternalServerError, errServer)
		return
	}
	status := http.StatusUnauthorized
	switch e.Code {
	case "invalid_request":
		status = http.StatusBadRequest
	case "insufficient_scope":
		status = http.StatusForbidden
	}
	challenge := `Bearer realm="userinfo"`
	if e.Code != "" {
		challenge += `, error="` + e.Code + `", error_description="` + e.Description + `"`
	}
	w.Header().Set("WWW-Authenticate", challenge)
	if e.Code == "" {
		w.WriteHeader(status)
		return
	}
	writeError(w, status, e)
}
