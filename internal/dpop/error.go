package dpop

// Error is a refused proof. Code and Description are for the client: an OAuth error
// (RFC 9449 §5, §8) and a fixed English sentence in ASCII. Reason is for the log. None
// holds anything that came with the request.
//
// At a protected resource OtherKey and OtherAccessToken mean that the token is not
// this sender's, which RFC 9449 §7.1 calls invalid_token.
type Error struct {
	Code, Description string
	Reason            Reason
}

func (e Error) Error() string { return e.Code + ": " + e.Description }

// The codes.
const (
	InvalidProof = "invalid_dpop_proof"
	UseNonce     = "use_dpop_nonce" // to be sent with a header field DPoP-Nonce
)

// Reason is why a proof was refused, in one word.
type Reason string

const (
	Malformed        Reason = "malformed"    // no JWS in compact form, or over 8 KiB
	BadType          Reason = "typ"          // another kind of JWT
	Critical         Reason = "crit"         // wants an extension
	BadAlgorithm     Reason = "alg"          // not accepted here
	BadKey           Reason = "jwk"          // none, private, weak, or not of the algorithm
	BadSignature     Reason = "signature"    // not this key's
	BadID            Reason = "jti"          // none, or over 256 bytes
	OtherMethod      Reason = "htm"          // made for another method
	OtherURL         Reason = "htu"          // made for another URL
	BadTime          Reason = "iat"          // too old or too new; exp and nbf, too
	OtherKey         Reason = "key"          // not the key that is expected
	OtherAccessToken Reason = "ath"          // not made for the access token
	NoNonce          Reason = "nonce_absent" // one is required
	StaleNonce       Reason = "nonce"        // not ours, or too old
	Replayed         Reason = "replayed"     // used before
)

var descriptions = map[Reason]string{
	Malformed:        "The DPoP proof is not a JWS in compact form of at most 8192 bytes with JSON objects in which no member stands twice.",
	BadType:          "The typ of the DPoP proof is not dpop+jwt.",
	Critical:         "The DPoP proof has a crit header, and no extension is known here.",
	BadAlgorithm:     "The alg of the DPoP proof is not among dpop_signing_alg_values_supported.",
	BadKey:           "The jwk of the DPoP proof is not a public key for its alg: P-256, Ed25519 or RSA of 2048 to 4096 bits.",
	BadSignature:     "The signature of the DPoP proof is not by the key in its jwk.",
	BadID:            "The DPoP proof needs a jti of 1 to 256 bytes.",
	OtherMethod:      "The htm of the DPoP proof is not the method of this request.",
	OtherURL:         "The htu of the DPoP proof is not the URL of this request.",
	BadTime:          "The DPoP proof is too old or from the future.",
	OtherKey:         "The DPoP proof is by another key than the expected one.",
	OtherAccessToken: "The ath of the DPoP proof is not the hash of the access token.",
	NoNonce:          "The DPoP proof needs a nonce.",
	StaleNonce:       "The nonce of the DPoP proof is too old or not from here.",
	Replayed:         "The DPoP proof was used before.",
}

func refused(r Reason) error {
	code := InvalidProof
	if r == NoNonce || r == StaleNonce {
		code = UseNonce
	}
	return Error{Code: code, Description: descriptions[r], Reason: r}
}
