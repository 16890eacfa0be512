package openid

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/portti-id/portti/internal/ephemeral"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/throttle"
)

const (
	// pushedPrefix is the form that RFC 9126 §2.2 suggests; a secret follows.
	pushedPrefix = "urn:ietf:params:oauth:request_uri:"
	// pushedLasts is from the push until the browser has come. FAPI 2.0 §5.3.2.2
	// wants less than 600 s.
	pushedLasts = time.Minute
	// maxPushed bounds a form: a request object, an assertion, and some room.
	maxPushed = 64 << 10
)

// Keys of a pushed request by the hash of its request_uri: the request itself, and
// the mark that it was answered.
func pushedKey(hash string) string { return "par:" + hash }
func usedKey(hash string) string   { return "par-used:" + hash }

func pushedHash(uri string) string { return strings.TrimPrefix(ephemeral.Key("", uri), ":") }

// par is the pushed authorization request endpoint (RFC 9126 §2): the request of
// the authorization endpoint, from the client itself. What is wrong with it the
// client hears at once. No browser calls it: there is no CORS.
func (p *Provider) par(w http.ResponseWriter, r *http.Request) {
	private(w)
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", "POST")
		writeError(w, http.StatusMethodNotAllowed, Error{"invalid_request", "Use POST."})
		return
	}
	r = r.WithContext(withAddress(r.Context(), address(p.ClientAddr(r))))
	r.Body = http.MaxBytesReader(w, r.Body, maxPushed)
	var tooLong *http.MaxBytesError
	switch err := r.ParseForm(); {
	case errors.As(err, &tooLong):
		writeError(w, http.StatusRequestEntityTooLarge, Error{"invalid_request", "The request is too long."})
		return
	case err != nil: // said once: whoever parses again is told of nothing
		p.refusePush(w, r, errForm)
		return
	}
	uri, err := p.push(w, r)
	if err != nil {
		p.refusePush(w, r, err)
		return
	}
	body, _ := json.Marshal(struct { // a string and a number always marshal
		URI     string `json:"request_uri"`
		Expires int64  `json:"expires_in"`
	}{uri, int64(pushedLasts / time.Second)})
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	_, _ = w.Write(body)
}

// push checks a pushed request as the authorization endpoint would, keeps it, and
// returns its request_uri. Errors are Errors, Problems, or failures of ours.
func (p *Provider) push(w http.ResponseWriter, r *http.Request) (string, error) {
	ctx := r.Context()
	if e := checkForm(r); e != (Error{}) {
		return "", e
	}
	client, err := p.caller(r)
	if err != nil {
		return "", err
	}
	// Whoever proves itself is known, and can be disabled; who proves nothing, or
	// has let itself in, is anybody.
	if client.AuthMethod == AuthNone || client.SelfRegistered() {
		if err := p.count(ctx, throttle.PushesPerAddress); err != nil {
			return "", err
		}
	}
	form := withoutEmpty(r.PostForm)
	if form.Has("request_uri") {
		return "", wrong("request_uri", "invalid_request", "A pushed request must not hold a request_uri.") // RFC 9126 §2.1
	}
	form.Set("client_id", client.ID) // caller has seen that it is no other
	q, _, err := p.read(ctx, client, form)
	if err != nil {
		return "", err
	}
	if err := p.bindCode(w, r, &q); err != nil {
		return "", err
	}
	uri := pushedPrefix + newSecret()
	q.Pushed, q.Expires = pushedHash(uri), q.Created.Add(pushedLasts)
	value, err := q.encode()
	if err != nil {
		return "", err
	}
	return uri, p.Ephemeral.Put(ctx, pushedKey(q.Pushed), value, pushedLasts)
}

// bindCode binds the code to come to the key of a DPoP proof that came with the
// request, which is proved here already; dpop_jkt beside it must mean the same key
// (RFC 9449 §10.1).
func (p *Provider) bindCode(w http.ResponseWriter, r *http.Request, q *pending) error {
	proved, err := p.proofOf(w, r, "", "")
	if err != nil || proved == "" {
		return err
	}
	jkt := strings.TrimPrefix(string(proved), boundToKey)
	if q.JKT != "" && q.JKT != jkt {
		return wrong("dpop_jkt", "invalid_request", "The DPoP proof is not of the key that dpop_jkt names.")
	}
	q.JKT = jkt
	return nil
}

// refusePush answers as the token endpoint does (RFC 9126 §2.3). There is no page
// here: what the authorization endpoint shows on one is told to the client.
func (p *Provider) refusePush(w http.ResponseWriter, r *http.Request, err error) {
	var shown Problem
	if errors.As(err, &shown) {
		err = wrong(shown.Parameter, shown.Code, shown.Description)
	}
	var client *Client
	if blamed(err) != "" { // only a client that has proved itself comes so far
		client = p.known(r.Context(), r.PostForm.Get("client_id"))
	}
	p.refuseBlamed(w, r, client, err)
}

// pushed loads the request behind a request_uri of ours for the client that pushed
// it. Other parameters that come with the browser do not count (RFC 9126 §4).
// Until then no redirect URI is proved, so its errors are Problems.
func (p *Provider) pushed(ctx context.Context, client Client, form url.Values) (pending, error) {
	bad := func(description string) (pending, error) {
		return pending{}, Problem{Status: http.StatusBadRequest, Code: "invalid_request_uri", Description: description, Parameter: "request_uri", Client: &client}
	}
	if len(form["request_uri"]) != 1 || form.Has("request") {
		return bad("Exactly one request_uri is needed, and no request object beside it.")
	}
	raw, err := p.Ephemeral.Get(ctx, pushedKey(pushedHash(form.Get("request_uri"))))
	if fault.Is(err, fault.NotFound) {
		return bad("The request_uri is unknown, expired or used.")
	}
	if err != nil {
		p.Log.ErrorContext(ctx, "load pushed request", "error", err)
		return pending{}, Problem{Status: http.StatusServiceUnavailable, Code: errUnavailable.Code, Description: errUnavailable.Description, Client: &client}
	}
	var q pending
	if err := json.Unmarshal(raw, &q); err != nil {
		return pending{}, fmt.Errorf("decode pushed request: %w", err)
	}
	now := p.Now().UTC()
	switch {
	case q.Client != client.ID || !now.Before(q.Expires):
		return bad("The request_uri is unknown, expired or used.")
	case !client.redirectsTo(q.Target.URI): // the registration has changed meanwhile
		return bad("The redirect_uri is not registered for this client.")
	}
	// The person's part begins now: a proof from before is not a fresh one.
	q.Created, q.Expires = now, time.Time{}
	return q, nil
}

// burn uses a pushed request up. Until it is answered the browser may come with
// it again (FAPI 2.0 §5.3.2.2), so that a reloaded page works; of any number of
// answers one is given, and the rest get errDoneRequest. The mark outlives every
// sign-in that the request began.
func (p *Provider) burn(ctx context.Context, q pending) error {
	if q.Pushed == "" {
		return nil
	}
	err := p.Ephemeral.Add(ctx, usedKey(q.Pushed), []byte("1"), p.RequestTTL+2*pushedLasts)
	if fault.Is(err, fault.Conflict) {
		return errDoneRequest
	}
	if err != nil {
		return err
	}
	return p.Ephemeral.Delete(ctx, pushedKey(q.Pushed))
}

// mustPush tells whether a client's requests count only when it pushes them.
// User Services are ours and come with the browser: for the whole server they are
// not meant, only when they are registered so.
func (p *Provider) mustPush(c Client) bool {
	return c.RequirePAR || c.fapi() || p.RequirePAR && !p.enrols(c.ID)
}

var errMustPush = wrong("request_uri", "invalid_request", "This client must push its authorization requests to the provider first.")
