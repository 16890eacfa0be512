package clientjwt_test

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/clientjwt"
	"github.com/portti-id/portti/internal/clientjwt/clientjwttest"
	"github.com/portti-id/portti/internal/ephemeral"
	"github.com/portti-id/portti/internal/keys"
)

const (
	issuer = "https://id.example.fi"
	client = "records"
)

// pairs keeps one key per algorithm for all tests: RSA keys take a while to make.
var pairs sync.Map

func pair(t testing.TB, alg string) *clientjwttest.Key {
	t.Helper()
	if k, ok := pairs.Load(alg); ok {
		return k.(*clientjwttest.Key)
	}
	k, _ := pairs.LoadOrStore(alg, clientjwttest.New(t, alg))
	return k.(*clientjwttest.Key)
}

func parsed(t testing.TB, jwks []byte) *clientjwt.Keys {
	t.Helper()
	k, err := clientjwt.ParseKeys(jwks)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// with returns claims with some replaced; nil takes one away.
func with(claims, changes map[string]any) map[string]any {
	all := map[string]any{}
	for _, m := range []map[string]any{claims, changes} {
		for name, value := range m {
			if all[name] = value; value == nil {
				delete(all, name)
			}
		}
	}
	return all
}

func encoded(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// plain tells whether what is said to a client's software is a fixed ASCII text.
func plain(t *testing.T, err error) {
	t.Helper()
	var e *clientjwt.Error
	if !errors.As(err, &e) || e.Reason == "" || e.Description == "" {
		t.Errorf("not an Error: %v", err)
		return
	}
	for _, c := range e.Description {
		// RFC 6749 §5.2
		if c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			t.Errorf("%q may not stand in an error_description", e.Description)
		}
	}
}

// source is a Source made of steps: what each call gets.
type source func(lacking *clientjwt.Keys) (*clientjwt.Keys, error)

func (s source) Keys(_ context.Context, lacking *clientjwt.Keys) (*clientjwt.Keys, error) {
	return s(lacking)
}

func rules(t testing.TB, key *clientjwttest.Key) clientjwt.AssertionRules {
	t.Helper()
	return clientjwt.AssertionRules{Client: client, Keys: parsed(t, key.JWKS()), Algorithms: keys.Algorithms, Issuer: issuer,
		Endpoints: []string{issuer + "/token", issuer + "/par"}, Now: time.Now(), Replay: ephemeral.NewMemory(time.Now)}
}
