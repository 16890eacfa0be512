package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/portti-id/portti/internal/cardtest"
	"github.com/portti-id/portti/internal/keys"
	"github.com/portti-id/portti/internal/openid"
)

// client is a registration, and what only the client itself has.
type client struct {
	openid.Metadata
	Secret string           // "" where it has keys
	Keys   json.RawMessage  // its private JWK set; nil where it has a secret
	TLS    *tls.Certificate // nil where it has none
}

// registered are the clients by ID.
type registered map[string]client

const (
	everyScope = "openid profile email address phone offline_access"
	fapiScope  = "openid profile email address phone offline_access"
)

// The clients: two for each family of plans, since modules mix them up on purpose,
// and one for each kind of logout.
func wanted(p place) []openid.Metadata {
	at := func(path string) string { return p.Suite + "/test/a/" + p.Alias + "/" + path }
	yes := true
	web := func(id string, change func(m *openid.Metadata)) openid.Metadata {
		no := false // the plans of OpenID Connect send no code_challenge
		m := openid.Metadata{ID: id, Name: "Conformance " + id, RedirectURIs: []string{at("callback"), at("callback") + "?dummy1=lorem&dummy2=ipsum"},
			GrantTypes: []openid.GrantType{openid.GrantCode, openid.GrantRefresh}, Scope: everyScope, AuthMethod: openid.AuthBasic, RequirePKCE: &no}
		if change != nil {
			change(&m)
		}
		return m
	}
	fapi := func(id string, change func(m *openid.Metadata)) openid.Metadata {
		m := openid.Metadata{ID: id, Name: "Conformance " + id, RedirectURIs: []string{at("callback"), at("callback") + "?dummy1=lorem&dummy2=ipsum"},
			GrantTypes: []openid.GrantType{openid.GrantCode, openid.GrantRefresh}, Scope: fapiScope, Algorithm: keys.PS256, RequirePKCE: &yes}
		m.Profile, m.RequirePAR = openid.ProfileFAPI2, true
		change(&m)
		return m
	}
	dpop := func(m *openid.Metadata) { m.AuthMethod, m.DPoP = openid.AuthPrivateKeyJWT, true }
	mtls := func(m *openid.Metadata) {
		m.AuthMethod, m.CertificateBound, m.TLSSubjectDN = openid.AuthTLS, true, "CN="+m.ID+",O=Conformance"
	}
	machine := func(m *openid.Metadata) {
		dpop(m)
		m.GrantTypes, m.Scope, m.RedirectURIs, m.RequirePAR = []openid.GrantType{openid.GrantClient}, "clients", nil, false
	}
	return []openid.Metadata{
		web("basic-1", nil),
		web("basic-2", nil),
		web("post", func(m *openid.Metadata) { m.AuthMethod = openid.AuthPost }),
		web("jwt-1", func(m *openid.Metadata) { m.AuthMethod, m.RequestObjectAlg = openid.AuthPrivateKeyJWT, keys.RS256 }),
		web("jwt-2", func(m *openid.Metadata) { m.AuthMethod, m.RequestObjectAlg = openid.AuthPrivateKeyJWT, keys.RS256 }),
		web("logout", func(m *openid.Metadata) { m.PostLogoutRedirectURIs = []string{at("post_logout_redirect")} }),
		web("logout-back", func(m *openid.Metadata) {
			m.PostLogoutRedirectURIs, m.BackChannelLogoutURI = []string{at("post_logout_redirect")}, at("backchannel_logout")
		}),
		web("logout-front", func(m *openid.Metadata) {
			m.PostLogoutRedirectURIs, m.FrontChannelURI = []string{at("post_logout_redirect")}, at("frontchannel_logout")
		}),
		fapi("fapi-dpop-1", dpop),
		fapi("fapi-dpop-2", dpop),
		fapi("fapi-mtls-1", mtls),
		fapi("fapi-mtls-2", mtls),
		fapi("fapi-machine-1", machine),
		fapi("fapi-machine-2", machine),
	}
}

// register makes the clients' keys and certificates and registers them.
func register(ctx context.Context, clients *openid.Clients, p place, pki *cardtest.PKI) (registered, error) {
	all := registered{}
	for i, m := range wanted(p) {
		c := client{Metadata: m}
		var err error
		switch m.AuthMethod {
		case openid.AuthPrivateKeyJWT:
			c.Keys, c.JWKS, err = makeKeys(m)
		case openid.AuthTLS:
			c.TLS, err = certificate(pki, m.ID, int64(i))
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.ID, err)
		}
		registration := openid.Client{ID: m.ID}
		if err := c.Apply(&registration); err != nil {
			return nil, fmt.Errorf("%s: %w", m.ID, err)
		}
		if c.Secret, err = clients.Create(ctx, "operator:conformance", registration, false); err != nil {
			return nil, fmt.Errorf("%s: %w", m.ID, err)
		}
		all[m.ID] = c
	}
	return all, nil
}

// makeKeys makes a client's key: RSA for what the plans of OpenID Connect sign
// with RS256, PS256 under FAPI.
func makeKeys(m openid.Metadata) (private, public json.RawMessage, err error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, nil, err
	}
	alg := jose.PS256
	if m.Profile == openid.ProfileNone {
		alg = jose.RS256
	}
	jwk := jose.JSONWebKey{Key: key, KeyID: rand.Text()[:8], Algorithm: string(alg), Use: "sig"}
	if private, err = json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{jwk}}); err != nil {
		return nil, nil, err
	}
	public, err = json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{jwk.Public()}})
	return private, public, err
}

// certificate makes a client's certificate, of the CA that Portti is told of.
func certificate(pki *cardtest.PKI, name string, serial int64) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	t := &x509.Certificate{SerialNumber: big.NewInt(1000 + serial), Subject: pkix.Name{CommonName: name, Organization: []string{"Conformance"}},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0), KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, t, pki.Server.Cert, key.Public(), pki.Server.Key)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// pairPEM is a certificate with its chain, and its key (PKCS #8).
func pairPEM(c tls.Certificate) (cert, key []byte, err error) {
	for _, der := range c.Certificate {
		cert = append(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey.(crypto.Signer))
	return cert, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), err
}
