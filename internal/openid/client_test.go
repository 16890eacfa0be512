package openid

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"
)

// everybody has a client for every ID.
type everybody struct{ Store }

func (everybody) Client(_ context.Context, id string) (Client, error) { return Client{ID: id}, nil }

// Where anybody may register, what is kept of clients stays bounded.
func TestClientsAreNotKeptForGood(t *testing.T) {
	now := time.Unix(1800000000, 0)
	c := &clientCache{store: everybody{}, now: func() time.Time { return now }}
	var k clientKeys
	for round := range 3 {
		for i := range mostClients {
			id := fmt.Sprintf("%d-%d", round, i)
			if got, err := c.get(t.Context(), id); err != nil || got.ID != id {
				t.Fatal(got, err)
			}
		}
		now = now.Add(clientsKnownFor)
	}
	if len(c.clients) > mostClients {
		t.Errorf("%d clients", len(c.clients))
	}
	const jwks = `{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`
	for i := range mostClients + 10 {
		if _, err := k.registered(Client{ID: strconv.Itoa(i), Options: Options{JWKS: []byte(jwks)}}); err != nil {
			t.Fatal(err)
		}
	}
	if len(k.parsed) > mostClients {
		t.Errorf("%d sets of keys", len(k.parsed))
	}
}
