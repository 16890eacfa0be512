// Package openid is the OpenID Provider: zitadel/oidc behind one door.
//
//	openid.go        the words: Client, Grant, Request, Store
//	provider.go      New, Register: settings, parts, routes
//	authorize.go     the authorization endpoint: who asks, what is asked
//	acr.go           the levels of a sign-in and their names
//	decide.go        decide(demand, session, person): issue, sign in, refuse (pure)
//	request.go       requests that wait for the pages: Request, Complete, Refuse
//	response.go      the one writer of authorization responses, success and error
//	engine.go        the library's token endpoint, what stands before it and behind it
//	token.go         code exchange and refresh, our own minting
//	clientcredentials.go, tokenexchange.go   the other grants
//	access.go        access tokens found again
//	jwtaccess.go     access tokens that are JWTs, and what may be known of one
//	encrypted.go     what is for one client's eyes
//	resource.go      resource indicators, narrower scopes
//	introspect.go    token introspection
//	revoke.go        token revocation
//	client.go        registered clients, redirect addresses
//	options.go       the part of a registration that most clients leave empty
//	clientauth.go    client authentication
//	par.go           pushed authorization requests
//	requestobject.go parameters in a request object
//	requestfetch.go  request objects fetched from clients' servers, not too often
//	limits.go        what strangers may make us keep and call
//	jarm.go          signed authorization responses
//	claimsparam.go   the claims parameter: what is asked for by name
//	clientkeys.go    the keys that clients registered
//	dpop.go          tokens bound to a key (RFC 9449)
//	mtls.go          clients and tokens bound to a certificate (RFC 8705)
//	dn.go            the names in certificates
//	subject.go       the sub that a client sees
//	inside.go        sign-ins that pages of ours need
//	registration.go  ValidateClient, Clients: what operators do with clients
//	registration_options.go  the same for Options
//	metadata.go      registrations as documents (RFC 7591)
//	claims.go        what may be known of a person
//	object.go        JSON objects, member by member
//	bearer.go        access tokens that requests show, and the proof of their key
//	doctor.go        what is kept of refused requests, for operators
//	diagnose.go      what is probably wrong with them (pure)
//	userinfo.go      claims by scope and by name      preview.go  what a client would be told
//	dynamic.go       dynamic registration: what software that registers itself may choose
//	register.go      the registration endpoint (RFC 7591) and its management (RFC 7592)
//	logout.go        RP-initiated logout, the end of a session
//	device.go        the device flow: RFC 8628
//	consent.go       what people allow third-party clients
//	told.go          what they hear of by letter: consents given, devices let in
//	frontchannel.go  the frames of a logout
//	backchannel.go   logout notices to relying parties
//	discovery.go     metadata and JWKS as prepared bytes
//
//	browser ─▶ authorize ─▶ decide ─▶ code ─────────────▶ client ─▶ token ─▶ userinfo
//	                          │          ▲
//	                          └▶ sign-in pages: Request … Complete
//
// Only this package imports zitadel's pkg/op. It knows no password and no page:
// package signin asks Request what is wanted and calls Complete when somebody
// has signed in.
package openid

import (
	"context"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/keys"
	"github.com/portti-id/portti/internal/mail"
	"github.com/portti-id/portti/internal/session"
)

// AuthMethod is how a client proves itself at the token endpoint. The registered
// one is the only one accepted.
type AuthMethod string

const (
	AuthBasic         AuthMethod = "client_secret_basic"
	AuthPost          AuthMethod = "client_secret_post"
	AuthPrivateKeyJWT AuthMethod = "private_key_jwt"             // RFC 7523 §2.2, OpenID Connect Core §9
	AuthTLS           AuthMethod = "tls_client_auth"             // RFC 8705 §2.1
	AuthSelfSignedTLS AuthMethod = "self_signed_tls_client_auth" // RFC 8705 §2.2
	AuthNone          AuthMethod = "none"                        // public clients: PKCE is then required
)

// secret tells whether the method uses a shared secret.
func (m AuthMethod) secret() bool { return m == AuthBasic || m == AuthPost }

// asymmetric tells whether the method proves a private key, which never leaves
// the client.
func (m AuthMethod) asymmetric() bool {
	return m == AuthPrivateKeyJWT || m == AuthTLS || m == AuthSelfSignedTLS
}

// GrantType is an OAuth grant that a client may use.
type GrantType string

const (
	GrantCode     GrantType = "authorization_code"
	GrantRefresh  GrantType = "refresh_token"
	GrantClient   GrantType = "client_credentials"
	GrantDevice   GrantType = "urn:ietf:params:oauth:grant-type:device_code"    // RFC 8628
	GrantExchange GrantType = "urn:ietf:params:oauth:grant-type:token-exchange" // RFC 8693
)

// Client is a registered relying party.
type Client struct {
	ID                     string
	Name                   map[string]string // by language; shown on sign-in pages
	SecretHash             string            // SHA-256 of the generated secret, hex; "" without one
	OldSecretHash          string            // the secret before it, which works until OldSecretUntil; "" for none
	OldSecretUntil         time.Time         //
	AuthMethod             AuthMethod
	Native                 bool     // loopback redirect URIs match any port (RFC 8252 §7.3)
	RedirectURIs           []string // matched exactly
	PostLogoutRedirectURIs []string // matched exactly
	BackChannelLogoutURI   string   // "" when the client takes none
	GrantTypes             []GrantType
	Scopes                 []string       // what it may ask for
	MinimumACR             string         // demanded of every sign-in; "" for none
	Methods                uint8          // identity.Methods that this client accepts; 0: all
	Algorithm              keys.Algorithm // of its ID tokens; RS256 when not registered otherwise
	RequirePKCE            bool
	AccessTokenTTL         time.Duration // 0: the provider's default
	HomeURI                string        // where "back to the service" leads
	Options                              // what most clients leave empty
	Disabled               time.Time
	Created                time.Time
	Version                int64
}

// Grant is what one sign-in gave to one client, or what a client has in its own
// name (GrantClient): the family of its tokens. The store keeps hashes only.
type Grant struct {
	ID             string    // derived from the code (see GrantID), so that a replay finds it without a second look-up
	Kind           GrantType // how it began: GrantCode, GrantClient or GrantDevice
	Client         string
	User           string // "" for GrantClient
	Session        string // sid
	Epoch          int64  // the user's at issue
	Level          session.Level
	Method         session.Method
	Scopes         []string
	Resources      []string // resource indicators that its tokens may be for (RFC 8707); none: the provider's own endpoints
	Claims         string   // the claims parameter's JSON, as parsed and written again; "" for none
	ACR            string
	AMR            []string
	Nonce          string
	AuthTime       time.Time
	Created        time.Time
	Expires        time.Time // absolute end of its refresh tokens
	RefreshHash    string    // SHA-256 of the one refresh token that works now; "" for none
	RefreshBinding Binding   // that the refresh token needs; "" for none (RFC 9449 §5: public clients)
	Revoked        time.Time
}

// Binding is the key that an access token is bound to: "" for a bearer token,
// "jkt:" and a JWK thumbprint (RFC 9449 §6), or "x5t#S256:" and a certificate's
// thumbprint (RFC 8705 §3.1), both SHA-256 in base64url.
type Binding string

// AccessToken is a stored access token, reference or JWT.
type AccessToken struct {
	Hash      string // SHA-256 of the token, hex
	Grant     string
	Expires   time.Time
	Issued    time.Time
	Scopes    []string // nil: the grant's
	Resources []string // nil: the grant's
	Binding   Binding
	Client    string // whom it was given to by an exchange (RFC 8693); "": the grant's client
}

// Rotation is an exchange of a refresh token.
type Rotation struct {
	Grant   string
	Client  string
	OldHash string
	NewHash string  // OldHash where the client's policy is to keep the token
	Binding Binding // of the caller, "" for none
}

// Consent is what a person allowed a third-party client.
type Consent struct {
	User    string
	Client  string
	Scopes  []string // sorted
	Claims  []string // claims that were asked for by name, sorted
	Created time.Time
	Updated time.Time
}

// RegistrationToken lets software register clients at the registration endpoint
// (an initial access token, RFC 7591 §1.2).
type RegistrationToken struct {
	ID      string // for operators; the token itself is shown once
	Hash    string // SHA-256 of the token, hex
	Note    string // whom it was given to
	Uses    int64  // how many clients it may register
	Used    int64
	Created time.Time
	Expires time.Time
	Revoked time.Time
}

// Store is what the provider needs of SQL. Each method is one round trip on
// PostgreSQL and one transaction on either database.
type Store interface {
	// Client returns a registered client, disabled ones included.
	// fault.NotFound "client_not_found".
	Client(ctx context.Context, id string) (Client, error)
	Clients(ctx context.Context) ([]Client, error) // by ID
	// ChangeClient adds (Version 0) or saves a client with its audit event in one
	// transaction. fault.Conflict "client_exists" or "changed_meanwhile".
	ChangeClient(ctx context.Context, c Client, e audit.Event) error

	// Issue stores a grant with its first access token, if its user still may:
	// user and organisation enabled, the user's epoch the grant's (or its session
	// the kept one), and the grant's method permitted by the organisation (S5; a
	// grant of level Enrol needs no permission). Otherwise it stores nothing and
	// returns fault.Denied with code account_disabled, session_ended or
	// method_not_permitted_by_employer. If RevokeGrant came first (a replayed
	// code), the grant is stored revoked and Issue succeeds: the one winner of a
	// race gets tokens that are dead.
	Issue(ctx context.Context, g Grant, t AccessToken) error
	// IssueClient stores a grant that has no user with its one access token.
	IssueClient(ctx context.Context, g Grant, t AccessToken) error
	// Rotate exchanges the refresh token of a grant for the next one, with a new
	// access token, under Issue's conditions and if OldHash is the grant's
	// current one. fault.Denied as above, and then the grant beside it; fault.Gone "grant_revoked",
	// with the grant where a change to the account has ended it, "grant_expired"; fault.Conflict "refresh_reused" when the grant's current
	// token is another one: the grant is then revoked by this very call;
	// fault.NotFound "grant_not_found"; fault.Denied "other_client" when the
	// grant is another client's and "other_key" when its refresh token is bound to
	// another key (nothing changes).
	Rotate(ctx context.Context, r Rotation, t AccessToken, now time.Time) (Grant, error)
	// Token returns the grant of a live access token: not expired, the grant not
	// revoked, user and organisation enabled, epoch right, the grant's method
	// permitted by the organisation. fault.Unauthenticated
	// "invalid_token" otherwise.
	Token(ctx context.Context, hash string, now time.Time) (Grant, AccessToken, error)
	// Grant returns a grant that a refresh token still works for: not expired, not
	// revoked, user and organisation enabled, epoch right, method permitted,
	// RefreshHash there.
	// fault.Unauthenticated "invalid_token" otherwise.
	Grant(ctx context.Context, id string, now time.Time) (Grant, error)
	// Exchange adds an access token of another client to the grant of a live one,
	// under Issue's conditions. It may not outlive the one it was given for, whose
	// hash is subject, and dies with it. fault.Unauthenticated "invalid_token" when
	// that one is not live or ends sooner; fault.Denied as Issue.
	Exchange(ctx context.Context, subject string, t AccessToken, now time.Time) error
	// DropToken deletes an access token with those it was exchanged for; one that is
	// not there is no error.
	DropToken(ctx context.Context, hash string) error
	// RevokeGrant kills a grant with everything under it. When there is none yet,
	// it leaves a mark that makes a later Issue of this ID store it revoked.
	RevokeGrant(ctx context.Context, id string, at time.Time) error
	// EndSession revokes every grant of a session, queues the logout notices to
	// its clients and writes the event, in one transaction.
	EndSession(ctx context.Context, sid string, at time.Time, e audit.Event) error
	// SessionClients returns the clients that got something in a session, by ID.
	SessionClients(ctx context.Context, sid string) ([]string, error)

	// Consent returns what a user allowed a client. fault.NotFound "consent_not_found".
	Consent(ctx context.Context, user, client string) (Consent, error)
	// Consents lists what a user allowed, by client.
	Consents(ctx context.Context, user string) ([]Consent, error)
	// SaveConsent adds or replaces a consent with its event and the letters that
	// tell of it, in one transaction; Created stays.
	SaveConsent(ctx context.Context, c Consent, e audit.Event, letters ...mail.Letter) error
	// Tell writes an event with the letters that tell of it, in one transaction.
	Tell(ctx context.Context, e audit.Event, letters ...mail.Letter) error
	// RevokeConsent deletes a consent, revokes the client's grants of this user and
	// writes the event, in one transaction. fault.NotFound "consent_not_found".
	RevokeConsent(ctx context.Context, user, client string, at time.Time, e audit.Event) error

	// AddRegistrationToken adds a token with its event; RevokeRegistrationToken
	// stops one: fault.NotFound "registration_token_not_found" when there is none
	// that could be. RegistrationTokens lists them, newest first.
	AddRegistrationToken(ctx context.Context, t RegistrationToken, e audit.Event) error
	RevokeRegistrationToken(ctx context.Context, id string, at time.Time, e audit.Event) error
	RegistrationTokens(ctx context.Context) ([]RegistrationToken, error)
	// RegistrationToken returns the token of this hash if it still works: not
	// expired, not revoked, not used up. fault.Unauthenticated "invalid_token" otherwise.
	RegistrationToken(ctx context.Context, hash string, now time.Time) (RegistrationToken, error)
	// RegisterClient adds a client with its event and counts one use of the token,
	// in one transaction: of any number of callers no more than Uses succeed.
	// fault.Unauthenticated "invalid_token" when the token does not work.
	RegisterClient(ctx context.Context, c Client, hash string, now time.Time, e audit.Event) error

	// LeaseLogouts hands out up to n back-channel logout notices that are due and
	// keeps them from other replicas until the lease ends.
	LeaseLogouts(ctx context.Context, n int, now time.Time, lease time.Duration) ([]LogoutNotice, error)
	LogoutSent(ctx context.Context, id string) error
	// LogoutFailed notes a failed attempt; a zero next means never again.
	LogoutFailed(ctx context.Context, id, reason string, next time.Time) error

	// Sweep deletes what is long over: expired tokens, grants and their marks.
	Sweep(ctx context.Context, now time.Time) error
}

// LogoutNotice tells one client that one session is over (OpenID Connect
// Back-Channel Logout 1.0 §2.5). Queued for clients with a BackChannelLogoutURI.
type LogoutNotice struct {
	ID       string
	Client   string
	User     string
	Session  string
	Attempts int
	Created  time.Time
}

// Request is what the pages see of a waiting authorization request.
type Request struct {
	ID         string
	Client     Client
	LoginHint  string
	Locales    []string // ui_locales, best first
	ACR        string   // the level that must be reached; "" when any will do
	CardOnly   bool     // only a card can satisfy it
	EnrolOK    bool     // a password alone satisfies it (User Services asking for us.enrol)
	Fresh      bool     // an existing session is not enough (prompt=login, max_age)
	User       string   // when not "": only this user will do (id_token_hint)
	RedirectTo string   // origin of the redirect URI, for the page's form-action
	Created    time.Time
	Expires    time.Time
	Done       bool // answered already; of Peek only
}
