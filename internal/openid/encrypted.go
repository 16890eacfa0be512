package openid

import (
	"cmp"
	"context"
	"fmt"

	"github.com/portti-id/portti/internal/clientjwt"
)

// standardEnc is the content encryption of a client that registers none (OpenID
// Connect Dynamic Registration 1.0 §2).
const standardEnc = "A128CBC-HS256"

// encrypted is a payload as a JWE to a client's own key, for what was registered so;
// alg "" leaves it as it is. cty is "JWT" around a signed token: signed first,
// then encrypted (OpenID Connect Core §10.2). What cannot be encrypted is not
// sent at all.
func (p *Provider) encrypted(ctx context.Context, c Client, alg, enc string, payload []byte, cty string) (string, error) {
	if alg == "" {
		return string(payload), nil
	}
	known, err := p.encryptionKeys(ctx, c)
	if err != nil {
		return "", err
	}
	sealed, err := known.Encrypt(alg, cmp.Or(enc, standardEnc), payload, cty)
	if err != nil {
		return "", fmt.Errorf("encrypt for %s: %w", c.ID, err)
	}
	return sealed, nil
}

func (p *Provider) encryptionKeys(ctx context.Context, c Client) (*clientjwt.Keys, error) {
	source, err := p.keysOf(c)
	if err != nil {
		return nil, fmt.Errorf("encrypt for %s: %w", c.ID, err)
	}
	known, err := source.Keys(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("encrypt for %s: %w", c.ID, err)
	}
	return known, nil
}
