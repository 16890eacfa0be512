package openid

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/portti-id/portti/internal/fault"
)

// Peek tells whom a waiting request is for, without its browser's proof. It
// gives nothing that opens anything: name and home of the client, the times, and
// whether it is done. fault.NotFound "request_unknown" when it has expired.
func (p *Provider) Peek(ctx context.Context, id string) (Request, error) {
	raw, err := p.Ephemeral.Get(ctx, requestKey(id))
	if fault.Is(err, fault.NotFound) {
		return Request{}, errUnknownRequest
	}
	if err != nil {
		return Request{}, err
	}
	var q pending
	if err := json.Unmarshal(raw, &q); err != nil {
		return Request{}, fmt.Errorf("decode request: %w", err)
	}
	if !p.Now().Before(q.Expires) {
		return Request{}, errUnknownRequest
	}
	c, err := p.client(ctx, q.Client)
	if fault.Is(err, fault.NotFound) || fault.Is(err, fault.Denied) {
		return Request{}, errUnknownRequest
	}
	if err != nil {
		return Request{}, err
	}
	return Request{ID: q.ID, Client: Client{ID: c.ID, Name: c.Name, HomeURI: c.HomeURI}, Created: q.Created, Expires: q.Expires, Done: q.Done}, nil
}
