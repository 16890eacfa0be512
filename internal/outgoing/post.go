package outgoing

import (
	"bytes"
	"context"
	"io"
	"net/http"
)

// Poster posts to addresses with a Client of Options.
type Poster struct{ client *http.Client }

// Poster makes one; it keeps connections, so make it once.
func (o Options) Poster() *Poster { return &Poster{o.Client()} }

// Post sends a body with these headers, and gives the status of the answer, which
// may be that of a redirect: none is followed. What the answer says is thrown
// away. Errors: ErrForbidden, and those of the network.
func (p *Poster) Post(ctx context.Context, uri string, header map[string]string, body []byte) (status int, err error) {
	if err := CheckURI(uri); err != nil {
		return 0, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, uri, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	r.Header.Set("User-Agent", "portti")
	for name, value := range header {
		r.Header.Set(name, value)
	}
	answer, err := p.client.Do(r)
	if err != nil {
		return 0, err
	}
	defer func() { _ = answer.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 4<<10)) // so that the connection can be used again
	return answer.StatusCode, nil
}
