package openid

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/portti-id/portti/internal/keys"
)

// signedModes are the response modes whose parameters travel in one signed JWT,
// with the plain mode that carries it (JARM §2.3). Query is the code flow's own.
var signedModes = map[string]string{
	"jwt":           modeQuery,
	"query.jwt":     modeQuery,
	"fragment.jwt":  modeFragment,
	"form_post.jwt": modeFormPost,
}

// signedResponseLasts is the longest that JARM §2.1 recommends.
const signedResponseLasts = 10 * time.Minute

// answersIn tells whether a client may ask for a response mode. Signed ones are
// for those that are registered for them.
func (c Client) answersIn(mode string) bool {
	if len(c.ResponseModes) == 0 {
		return slices.Contains(responseModes, mode)
	}
	return slices.Contains(c.ResponseModes, mode) && (signedModes[mode] != "" || slices.Contains(responseModes, mode))
}

// ownMode is the response mode of a client that asks for none: query, or the
// first that is registered where query is not.
func (c Client) ownMode() string {
	for _, mode := range c.ResponseModes {
		if !c.answersIn(modeQuery) && c.answersIn(mode) {
			return mode
		}
	}
	return modeQuery
}

// responseAlg is what the client's authorization responses are signed with.
func (c Client) responseAlg() keys.Algorithm {
	if c.ResponseAlg != "" {
		return c.ResponseAlg
	}
	return c.algorithm()
}

// signResponse makes the JWT of a response (JARM §2.1). It has no sub, so that it
// never passes for an ID token.
func (p *Provider) signResponse(to target, params url.Values) (string, error) {
	claims := map[string]any{"aud": to.Client, "exp": p.Now().Add(signedResponseLasts).Unix()}
	for name := range params {
		claims[name] = params.Get(name) // iss among them
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("encode response: %w", err)
	}
	return p.Keys.Sign(to.Alg, "JWT", payload)
}
