package keys

import (
	"context"
	"crypto/rand"
	"fmt"
)

// Secrets keeps named secrets for good.
type Secrets interface {
	// KeepSecret stores a sealed secret under a name that has none, and returns
	// what is stored there: callers that come at once all get the same.
	KeepSecret(ctx context.Context, name, sealed string) (stored string, err error)
}

const secretBytes = 32

// OpenSecret returns the 32 random bytes that are kept under a name, sealed by the
// master key. The first call makes them; of replicas that start at once all get
// the same. Whoever loses them cannot have them made again: what was derived from
// them is derived differently from then on.
func OpenSecret(ctx context.Context, store Secrets, master *Master, name string) ([]byte, error) {
	fresh := make([]byte, secretBytes)
	_, _ = rand.Read(fresh) // never fails (crypto/rand)
	sealed, err := master.Seal(fresh, secretAAD(name))
	if err != nil {
		return nil, fmt.Errorf("secret %s: %w", name, err)
	}
	if sealed, err = store.KeepSecret(ctx, name, sealed); err != nil {
		return nil, fmt.Errorf("secret %s: %w", name, err)
	}
	secret, err := master.Open(sealed, secretAAD(name))
	if err != nil {
		return nil, fmt.Errorf("secret %s: %w", name, err)
	}
	if len(secret) != secretBytes {
		return nil, fmt.Errorf("secret %s: it has %d bytes, not %d", name, len(secret), secretBytes)
	}
	return secret, nil
}

func secretAAD(name string) string { return "secret:" + name }
