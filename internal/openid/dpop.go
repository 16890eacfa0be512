package openid

import (
	"errors"
	"net/http"

	"github.com/portti-id/portti/internal/dpop"
)

// dpopField is the header field of proofs, nonceField the one of our nonces (RFC
// 9449 §4.1, §8).
const (
	dpopField  = "DPoP"
	nonceField = "DPoP-Nonce"
)

// Kinds of Binding.
const (
	boundToKey         = "jkt:"
	boundToCertificate = "x5t#S256:"
)

var (
	errManyProofs    = Error{dpop.InvalidProof, "Send one DPoP proof."}
	errNoProof       = Error{"invalid_request", "A DPoP proof is missing: this client gets bound tokens only."} // there is none that could be invalid (RFC 9449 §5)
	errProofTooMuch  = Error{"invalid_request", "This client's tokens are bound to its certificate: send no DPoP proof."}
	errNoCertificate = Error{"invalid_request", "This client's tokens are bound to its certificate: call mtls_endpoint_aliases, and show it."}
)

// proofOf verifies the DPoP proof that came with a request and spends it. It
// returns the binding to the proof's key, "" when there is no proof. token is the
// access token that the request shows and thumbprint the key that it is bound to;
// both are "" where none is shown. Errors are Errors, or failures of ours.
//
// The URL that the proof must name is made of our settings, never of the Host
// header: else a proof for another server could be made to fit.
func (p *Provider) proofOf(w http.ResponseWriter, r *http.Request, token, thumbprint string) (Binding, error) {
	proofs := r.Header.Values(dpopField)
	if len(proofs) == 0 {
		return "", nil
	}
	if p.DPoPNonces {
		if err := p.giveNonce(w); err != nil {
			return "", err
		}
	}
	if len(proofs) > 1 {
		return "", errManyProofs // RFC 9449 §4.3 check 1
	}
	proof, err := p.dpop.Verify(r.Context(), proofs[0], dpop.Expect{Method: r.Method, URL: p.endpoint(r), AccessToken: token, Thumbprint: thumbprint})
	var bad dpop.Error
	if !errors.As(err, &bad) {
		return Binding(boundToKey + proof.Thumbprint), err
	}
	p.Log.InfoContext(r.Context(), "DPoP proof refused", "path", r.URL.Path, "reason", string(bad.Reason))
	if bad.Code == dpop.UseNonce {
		// Also where we ask for none: the one that came is out of date (RFC 9449 §8).
		if err := p.giveNonce(w); err != nil {
			return "", err
		}
	}
	if token != "" && (bad.Reason == dpop.OtherKey || bad.Reason == dpop.OtherAccessToken) {
		return "", errToken // a good proof, but the token is somebody else's (RFC 9449 §7.1)
	}
	return "", Error{bad.Code, bad.Description}
}

// giveNonce adds the nonce that the client's next proof should hold.
func (p *Provider) giveNonce(w http.ResponseWriter) error {
	nonce, err := p.dpop.Nonce()
	if err != nil {
		return err
	}
	w.Header().Set(nonceField, nonce)
	return nil
}

// binding is the key that the client's tokens will be bound to: that of the DPoP
// proof that came along, or that of the certificate, "" for bearer tokens. A
// client that must have bound tokens gets no others. Errors are Errors, or
// failures of ours.
func (p *Provider) binding(w http.ResponseWriter, r *http.Request, c Client) (Binding, error) {
	proved, err := p.proofOf(w, r, "", "")
	if err != nil {
		return "", err
	}
	switch certificate := certificateOf(r.Context()); {
	case proved != "" && c.CertificateBound:
		return "", errProofTooMuch
	case proved != "":
		return proved, nil
	case c.DPoP, c.fapi() && !c.CertificateBound:
		return "", errNoProof
	case c.CertificateBound && certificate == nil:
		return "", errNoCertificate
	case c.CertificateBound:
		return thumbprint(certificate), nil
	}
	return "", nil
}
