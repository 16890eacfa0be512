package rp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/oauth2"
)

// idToken is a verified ID token (OpenID Connect Core §2).
type idToken struct {
	Subject  string      `json:"sub"`
	Audience audience    `json:"aud"`
	Azp      *string     `json:"azp"`
	IssuedAt numericDate `json:"iat"`
	AuthTime numericDate `json:"auth_time"`
	Nonce    string      `json:"nonce"`
	ACR      string      `json:"acr"`
	AMR      []string    `json:"amr"`
	SID      string      `json:"sid"`

	all map[string]any // every claim, numbers as json.Number
}

// verify checks an ID token that came with an access token: signature by a key of
// the provider, an algorithm of ours, issuer and expiry by go-oidc; the rest here
// (OpenID Connect Core §3.1.3.7). The nonce is the caller's to compare.
func (p *RP) verify(ctx context.Context, prov *provider, raw, accessToken string) (idToken, error) {
	verified, err := prov.verifier.Verify(ctx, raw)
	if err != nil {
		return idToken{}, err
	}
	var id idToken
	if err := verified.Claims(&id); err != nil {
		return idToken{}, fmt.Errorf("decode ID token: %w", err)
	}
	if id.all, err = claimsOf(verified.Claims); err != nil {
		return idToken{}, err
	}
	if id.Subject == "" || len(id.Subject) > 255 {
		return idToken{}, errors.New("ID token without a usable sub")
	}
	if err := p.checkAudience(id.Audience); err != nil {
		return idToken{}, err
	}
	if id.Azp == nil && len(id.Audience) > 1 || id.Azp != nil && *id.Azp != p.config.ClientID {
		return idToken{}, errors.New("ID token for another authorized party (azp)")
	}
	if id.IssuedAt == 0 || time.Unix(int64(id.IssuedAt), 0).After(p.config.Now().Add(skew)) {
		return idToken{}, errors.New("ID token from the future, or without iat")
	}
	// Optional in the code flow, but binding when it is there: an access token that
	// was swapped on the way belongs to somebody else.
	if verified.AccessTokenHash != "" {
		if err := verified.VerifyAccessToken(accessToken); err != nil {
			return idToken{}, err
		}
	}
	return id, nil
}

// checkAudience refuses a token that is also for somebody we do not know.
func (p *RP) checkAudience(aud []string) error {
	for _, a := range aud {
		if a != p.config.ClientID && !slices.Contains(p.config.Audiences, a) {
			return fmt.Errorf("token is also for %q", a)
		}
	}
	return nil
}

// wantsUserInfo: the scopes ask for claims that the ID token need not hold.
func (p *RP) wantsUserInfo(prov *provider) bool {
	return !p.config.NoUserInfo && p.config.Resource == "" && prov.oidc.UserInfoEndpoint() != "" &&
		slices.ContainsFunc(p.config.Scopes, func(s string) bool { return s != "openid" && s != "offline_access" })
}

// userInfo adds the claims of the userinfo endpoint to those of the ID token,
// which win.
func (p *RP) userInfo(ctx context.Context, prov *provider, token *oauth2.Token, id idToken) (map[string]any, error) {
	info, err := prov.oidc.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err != nil {
		return nil, fmt.Errorf("userinfo: %w", err)
	}
	// OpenID Connect Core §5.3.2: another sub means another person's claims.
	if info.Subject != id.Subject {
		return nil, &Error{Code: InvalidResponse, Err: errors.New("userinfo of another person")}
	}
	claims, err := claimsOf(info.Claims)
	if err != nil {
		return nil, &Error{Code: InvalidResponse, Err: err}
	}
	maps.Copy(claims, id.all)
	return claims, nil
}

// claimsOf decodes an object of claims and keeps its numbers exact.
func claimsOf(decode func(any) error) (map[string]any, error) {
	var raw json.RawMessage
	if err := decode(&raw); err != nil {
		return nil, fmt.Errorf("decode claims: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	claims := map[string]any{}
	if err := d.Decode(&claims); err != nil {
		return nil, fmt.Errorf("decode claims: %w", err)
	}
	return claims, nil
}

// audience is one string or an array of them (RFC 7519 §4.1.3).
type audience []string

func (a *audience) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*a = audience{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(a))
}

// numericDate is seconds since 1970, whole or not (RFC 7519 §2).
type numericDate int64

func (n *numericDate) UnmarshalJSON(b []byte) error {
	var f float64
	if err := json.Unmarshal(b, &f); err != nil {
		return err
	}
	*n = numericDate(f)
	return nil
}
