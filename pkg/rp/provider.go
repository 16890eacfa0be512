package rp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

const (
	outgoingTimeout  = 10 * time.Second
	discoveryBackOff = time.Second     // after a failure, so that a crowd does not hammer a provider that comes up
	keySetMinimumAge = 5 * time.Second // see keySetCache
	maxAnswer        = 1 << 20         // bytes of any answer of the provider
)

// asymmetric algorithms are the ones go-oidc verifies with a public key.
var asymmetric = []string{
	oidc.RS256, oidc.RS384, oidc.RS512, oidc.PS256, oidc.PS384, oidc.PS512,
	oidc.ES256, oidc.ES384, oidc.ES512, oidc.EdDSA,
}

// provider is what discovery found.
type provider struct {
	oauth    oauth2.Config
	oidc     *oidc.Provider
	verifier *oidc.IDTokenVerifier
	metadata metadata
}

type metadata struct {
	JWKSURI            string   `json:"jwks_uri"`
	EndSessionEndpoint string   `json:"end_session_endpoint"`
	Introspection      string   `json:"introspection_endpoint"`
	IssParameter       bool     `json:"authorization_response_iss_parameter_supported"` // RFC 9207 §3
	IDTokenSigningAlgs []string `json:"id_token_signing_alg_values_supported"`
}

// provider returns the provider's metadata, asking for them when they are not
// known yet.
func (p *RP) provider(ctx context.Context) (*provider, error) {
	return p.found.get(ctx, p.config.Issuer, p.config.Now(), p.discover)
}

// discovery keeps what was found of a provider. A failure is tried again, but not
// by everybody at once.
type discovery[T any] struct {
	mu       sync.Mutex
	found    *T
	failed   error // of the last try,
	failedAt time.Time
}

func (d *discovery[T]) get(ctx context.Context, issuer string, now time.Time, find func(context.Context) (*T, error)) (*T, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.found != nil {
		return d.found, nil
	}
	if d.failed != nil && now.Sub(d.failedAt) < discoveryBackOff {
		return nil, d.failed
	}
	// Others wait for the answer: it must not depend on this request's patience.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), outgoingTimeout)
	defer cancel()
	found, err := find(ctx)
	if err != nil {
		d.failed, d.failedAt = fmt.Errorf("discover provider %s: %w", issuer, err), now
		return nil, d.failed
	}
	d.found, d.failed = found, nil
	return found, nil
}

func (p *RP) discover(ctx context.Context) (*provider, error) {
	found, err := oidc.NewProvider(oidc.ClientContext(ctx, p.client), p.config.Issuer)
	if err != nil {
		return nil, err
	}
	var m metadata
	if err := found.Claims(&m); err != nil {
		return nil, fmt.Errorf("decode metadata: %w", err)
	}
	endpoint := found.Endpoint()
	for name, raw := range map[string]string{
		"authorization_endpoint": endpoint.AuthURL,
		"token_endpoint":         endpoint.TokenURL,
		"jwks_uri":               m.JWKSURI,
		"userinfo_endpoint":      found.UserInfoEndpoint(),
		"end_session_endpoint":   m.EndSessionEndpoint,
	} {
		if raw == "" && (name == "userinfo_endpoint" || name == "end_session_endpoint") {
			continue
		}
		if err := checkEndpoint(name, raw); err != nil {
			return nil, err
		}
	}
	algorithms, err := algorithms(p.config.Algorithms, m)
	if err != nil {
		return nil, err
	}

	endpoint.AuthStyle = oauth2.AuthStyleInHeader // never guessed: a guess sends the code twice
	if p.config.ClientSecret == "" || p.config.ClientSecretPost {
		endpoint.AuthStyle = oauth2.AuthStyleInParams
	}
	return &provider{
		oauth: oauth2.Config{
			ClientID:     p.config.ClientID,
			ClientSecret: p.config.ClientSecret,
			Endpoint:     endpoint,
			RedirectURL:  p.config.RedirectURL,
			Scopes:       p.config.Scopes,
		},
		oidc: found,
		verifier: oidc.NewVerifier(p.config.Issuer, keySet(p.client, p.config.Now, m.JWKSURI),
			&oidc.Config{ClientID: p.config.ClientID, SupportedSigningAlgs: algorithms, Now: p.config.Now}),
		metadata: m,
	}, nil
}

// checkEndpoint: secrets, codes and tokens go there, and keys come from there.
// Never over a network in the clear.
func checkEndpoint(name, raw string) error {
	if u, err := url.Parse(raw); err != nil || u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
		return fmt.Errorf("metadata: %s %q is not https", name, raw)
	}
	return nil
}

// algorithms are the given ones, or the asymmetric ones of the metadata.
func algorithms(given []string, m metadata) ([]string, error) {
	if len(given) > 0 {
		return given, nil
	}
	var usable []string
	for _, alg := range m.IDTokenSigningAlgs {
		if slices.Contains(asymmetric, alg) {
			usable = append(usable, alg)
		}
	}
	if len(usable) == 0 {
		return nil, errors.New("metadata: no asymmetric algorithm in id_token_signing_alg_values_supported")
	}
	return usable, nil
}

// outgoing is the client for all calls to the provider. It follows no redirects,
// since none of the endpoints has reason to send our secret elsewhere.
func outgoing(given *http.Client) *http.Client {
	c := &http.Client{Timeout: outgoingTimeout}
	if given != nil {
		*c = *given
	}
	if c.CheckRedirect == nil {
		c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	}
	next := c.Transport
	if next == nil {
		next = http.DefaultTransport
	}
	c.Transport = limited{next}
	return c
}

// limited bounds the bytes of an answer.
type limited struct{ next http.RoundTripper }

func (l limited) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := l.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	res.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(res.Body, maxAnswer), res.Body}
	return res, nil
}

// keySet is the provider's keys.
func keySet(client *http.Client, now func() time.Time, address string) oidc.KeySet {
	cached := &http.Client{Transport: &keySetCache{next: client.Transport, now: now}, Timeout: client.Timeout}
	return oidc.NewRemoteKeySet(oidc.ClientContext(context.Background(), cached), address)
}

// keySetCache repeats the last key set for a few seconds. go-oidc fetches it
// again for every token whose key it does not know, and the back-channel logout
// endpoint takes tokens from anybody: without this a stranger could make us
// flood the provider. Providers publish a key well before they sign with it.
type keySetCache struct {
	next http.RoundTripper
	now  func() time.Time

	mu      sync.Mutex
	fetched time.Time
	header  http.Header
	body    []byte
}

func (k *keySetCache) RoundTrip(r *http.Request) (*http.Response, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.body == nil || k.now().Sub(k.fetched) >= keySetMinimumAge {
		res, err := k.next.RoundTrip(r)
		if err != nil {
			return nil, err
		}
		defer func() { _ = res.Body.Close() }()
		if res.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("key set: %s", res.Status)
		}
		body, err := io.ReadAll(res.Body)
		if err != nil {
			return nil, fmt.Errorf("read key set: %w", err)
		}
		k.fetched, k.header, k.body = k.now(), res.Header, body
	}
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: k.header.Clone(), Body: io.NopCloser(bytes.NewReader(k.body)),
		ContentLength: int64(len(k.body)), Request: r,
	}, nil
}
