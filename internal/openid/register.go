package openid

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/outgoing"
	"github.com/portti-id/portti/internal/throttle"
)

// registrationAnswer is a client information response (RFC 7591 §3.2.1, RFC 7592 §3).
type registrationAnswer struct {
	Metadata
	Secret        string `json:"client_secret,omitempty"`
	SecretExpires *int64 `json:"client_secret_expires_at,omitempty"` // 0: never; stands beside the secret
	Issued        int64  `json:"client_id_issued_at"`
	Manage        string `json:"registration_access_token"`
	URI           string `json:"registration_client_uri"`
}

// register is the registration endpoint (RFC 7591 §3, OpenID Connect Dynamic
// Client Registration §3). Programs in browsers may call it: nothing here is
// opened by cookies.
func (p *Provider) register(w http.ResponseWriter, r *http.Request) {
	if preflight(w, r, "POST") {
		return
	}
	private(w)
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", "POST, OPTIONS")
		writeError(w, http.StatusMethodNotAllowed, Error{"invalid_request", "Use POST."})
		return
	}
	answer, err := p.registered(r)
	if err != nil {
		p.refuseRegistration(w, r, err)
		return
	}
	writeRegistration(w, http.StatusCreated, answer)
}

func (p *Provider) registered(r *http.Request) (registrationAnswer, error) {
	ctx := withAddress(r.Context(), address(p.ClientAddr(r)))
	// Who may, before anything is read: checking a registration calls addresses
	// that stand in it.
	token, err := p.mayRegister(r)
	if err != nil {
		return registrationAnswer{}, err
	}
	sent, err := readRegistration(r)
	if err != nil {
		return registrationAnswer{}, err
	}
	if err := p.checkSector(ctx, &sent.Metadata); err != nil {
		return registrationAnswer{}, err
	}
	c, secret, manage, err := p.registry().Register(ctx, sent.Metadata, token)
	if err != nil {
		return registrationAnswer{}, err
	}
	p.Log.InfoContext(ctx, "client registered itself", "client", c.ID)
	answer := p.information(c, manage)
	if secret != "" {
		answer.Secret, answer.SecretExpires = secret, new(int64)
	}
	return answer, nil
}

func (p *Provider) registry() *Clients { return &Clients{Store: p.Store, ACR: p.ACR, Now: p.Now} }

// mayRegister checks the initial access token, or counts who comes without one.
func (p *Provider) mayRegister(r *http.Request) (RegistrationToken, error) {
	ctx := r.Context()
	if len(r.Header.Values("Authorization")) == 0 && p.SelfRegistration == OpenSelfRegistration {
		return RegistrationToken{}, p.Throttle.Attempt(ctx, throttle.Use{Limit: throttle.RegistrationPerAddress, Subject: throttle.AddressKey(p.ClientAddr(r))})
	}
	secret, err := registrationBearer(r)
	if err != nil {
		return RegistrationToken{}, err
	}
	return p.Store.RegistrationToken(ctx, digest(secret), p.Now().UTC())
}

// registrationBearer is the token in the header: the body is JSON.
func registrationBearer(r *http.Request) (string, error) {
	header := r.Header.Values("Authorization")
	if len(header) == 0 {
		return "", errNoToken
	}
	scheme, token, ok := strings.Cut(header[0], " ")
	token = strings.TrimSpace(token)
	if len(header) > 1 || !ok || !strings.EqualFold(scheme, "Bearer") || !secretForm.MatchString(token) {
		return "", errInvalidToken
	}
	return token, nil
}

// manage is the client configuration endpoint (RFC 7592).
func (p *Provider) manage(w http.ResponseWriter, r *http.Request) {
	if preflight(w, r, "GET, PUT, DELETE") {
		return
	}
	private(w)
	act := map[string]func(w http.ResponseWriter, r *http.Request, c Client, manage string) error{
		http.MethodGet: p.showRegistration, http.MethodPut: p.replaceRegistration, http.MethodDelete: p.deleteRegistration,
	}[r.Method]
	if act == nil {
		w.Header().Set("Allow", "GET, PUT, DELETE, OPTIONS")
		writeError(w, http.StatusMethodNotAllowed, Error{"invalid_request", "Use GET, PUT or DELETE."})
		return
	}
	r = r.WithContext(withAddress(r.Context(), address(p.ClientAddr(r))))
	c, manage, err := p.registrant(r)
	if err == nil {
		err = act(w, r, c, manage)
	}
	if err != nil {
		p.refuseRegistration(w, r, err)
	}
}

// registrant proves the client that manages its registration. A client that is not
// there is answered as one whose token is wrong (RFC 7592 §2.1).
func (p *Provider) registrant(r *http.Request) (Client, string, error) {
	manage, err := registrationBearer(r)
	if err != nil {
		return Client{}, "", err
	}
	id := r.PathValue("client")
	if !clientID.MatchString(id) {
		return Client{}, "", errInvalidToken
	}
	c, err := p.Store.Client(r.Context(), id)
	switch {
	case fault.Is(err, fault.NotFound):
		return Client{}, "", errInvalidToken
	case err != nil:
		return Client{}, "", err
	case !c.SelfRegistered() || subtle.ConstantTimeCompare([]byte(digest(manage)), []byte(c.RegistrationTokenHash)) != 1:
		return Client{}, "", errInvalidToken
	case !c.Disabled.IsZero():
		return Client{}, "", fault.New(fault.Denied, "client_disabled", "The client %s is disabled.", id)
	}
	return c, manage, nil
}

func (p *Provider) showRegistration(w http.ResponseWriter, _ *http.Request, c Client, manage string) error {
	writeRegistration(w, http.StatusOK, p.information(c, manage))
	return nil
}

func (p *Provider) replaceRegistration(w http.ResponseWriter, r *http.Request, c Client, manage string) error {
	sent, err := readRegistration(r)
	switch {
	case err != nil:
		return err
	case sent.ID != c.ID:
		return Error{"invalid_client_metadata", "The client_id is missing, or is not the one of the address."}
	case sent.Secret != nil && !p.hasSecret(c, *sent.Secret):
		return Error{"invalid_client_metadata", "The client_secret is not the client's."}
	case sent.Manage != nil || sent.URI != nil || sent.SecretExpires != nil || sent.Issued != nil: // RFC 7592 §2.2
		return Error{"invalid_client_metadata", "Leave out registration_access_token, registration_client_uri, client_secret_expires_at and client_id_issued_at."}
	}
	if err := p.checkSector(r.Context(), &sent.Metadata); err != nil {
		return err
	}
	changed, err := p.registry().Change(r.Context(), "client:"+c.ID, c.ID, func(now *Client) error {
		if now.Version != c.Version {
			return errMeanwhile
		}
		m, err := sent.selfChosen(*now)
		if err != nil {
			return err
		}
		before := *now
		if err := m.Apply(now); err != nil {
			return err
		}
		return now.sameSector(before)
	}, false)
	if err != nil {
		return err
	}
	p.clients.forget(c.ID)
	writeRegistration(w, http.StatusOK, p.information(changed, manage))
	return nil
}

// sameSector refuses to move a client that came by itself to another sector. It may
// say anything of its addresses, and has refresh tokens: the next ones would tell it
// under which subs its people are known at another's host.
func (c Client) sameSector(before Client) error {
	if c.SubjectType == SubjectPairwise && c.sector() != before.sector() {
		return invalid("redirect_uris", "the subjects are pairwise, so host and sector cannot change; register another client")
	}
	return nil
}

var errMeanwhile = fault.New(fault.Conflict, "changed_meanwhile", "Somebody else changed this meanwhile. Look at it again.")

// deleteRegistration ends the client, and with it its tokens, which a disabled
// client's are worth nothing.
func (p *Provider) deleteRegistration(w http.ResponseWriter, r *http.Request, c Client, _ string) error {
	if err := p.registry().Deregister(r.Context(), c.ID); err != nil {
		return err
	}
	p.clients.forget(c.ID)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// information is what a client is told of itself. Its secret is known once, and
// what operators decided is theirs.
func (p *Provider) information(c Client, manage string) registrationAnswer {
	m := MetadataOf(c)
	m.Name, m.NameEn = m.NameEn, ""
	m.Profile, m.ThirdParty, m.MinimumACR, m.Methods, m.AccessTokenTTL = "", false, "", nil, 0
	m.TokenFormat, m.KeepRefreshToken, m.Resources, m.Serves, m.ExchangeTo = "", false, nil, nil, nil
	if m.SubjectType == SubjectPublic {
		m.SubjectType = "public"
	}
	return registrationAnswer{Metadata: m, Issued: c.Created.Unix(), Manage: manage, URI: p.url(RegisterPath) + "/" + url.PathEscape(c.ID)}
}

func writeRegistration(w http.ResponseWriter, status int, a registrationAnswer) {
	body, _ := json.Marshal(a) // plain values, and a JWK set that was parsed
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// sentRegistration is what a client sends of itself, with what it may only repeat.
type sentRegistration struct {
	Metadata
	Secret        *string         `json:"client_secret"`
	SecretExpires json.RawMessage `json:"client_secret_expires_at"`
	Issued        json.RawMessage `json:"client_id_issued_at"`
	Manage        json.RawMessage `json:"registration_access_token"`
	URI           json.RawMessage `json:"registration_client_uri"`
}

// readRegistration reads client metadata. Members that we do not know are ignored
// (RFC 7591 §2).
func readRegistration(r *http.Request) (sentRegistration, error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return sentRegistration{}, Error{"invalid_client_metadata", "Send the metadata as application/json."}
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxMetadata+1))
	if err != nil {
		return sentRegistration{}, Error{"invalid_client_metadata", "The body cannot be read."}
	}
	if len(body) > maxMetadata {
		return sentRegistration{}, Error{"invalid_client_metadata", "The metadata is too long."}
	}
	var sent sentRegistration
	d := json.NewDecoder(bytes.NewReader(body))
	if err := d.Decode(&sent); err != nil {
		return sentRegistration{}, notMetadata(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return sentRegistration{}, Error{"invalid_client_metadata", "There is more than one JSON value."}
	}
	sent.RegistrationTokenHash = "" // no member of a registration
	if !strings.HasPrefix(string(bytes.TrimSpace(body)), "{") {
		return sentRegistration{}, Error{"invalid_client_metadata", "The metadata is not a JSON object."}
	}
	return sent, nil
}

// maxSector bounds a sector's document: thousands of addresses fit.
const maxSector = 256 << 10

// checkSector fetches the document that says whose addresses belong together:
// otherwise a client could see the pairwise subjects of another's sector (OpenID
// Connect Dynamic Client Registration §5). Where subjects are public the sector is
// checked, means nothing, and is not kept.
func (p *Provider) checkSector(ctx context.Context, m *Metadata) error {
	if m.SectorIdentifierURI == "" {
		return nil
	}
	if !strings.HasPrefix(m.SectorIdentifierURI, "https://") {
		return invalid("sector_identifier_uri", "it must begin with https://")
	}
	client := p.Outgoing.Client()
	defer client.CloseIdleConnections()
	document, err := outgoing.Get(ctx, client, m.SectorIdentifierURI, "application/json", maxSector, outgoing.Validators{})
	if err != nil {
		p.Log.InfoContext(ctx, "sector_identifier_uri", "error", err)
		return invalid("sector_identifier_uri", "the document there cannot be fetched")
	}
	var listed []string
	if err := json.Unmarshal(document.Body, &listed); err != nil {
		return invalid("sector_identifier_uri", "the document there is not a JSON array of addresses")
	}
	for _, uri := range m.RedirectURIs {
		if !slices.Contains(listed, uri) {
			return invalid("sector_identifier_uri", "the document there does not list every one of the redirect_uris")
		}
	}
	if m.SubjectType != SubjectPairwise {
		m.SectorIdentifierURI = ""
	}
	return nil
}

// refuseRegistration answers by RFC 7591 §3.2.2 and RFC 6750 §3.
func (p *Provider) refuseRegistration(w http.ResponseWriter, r *http.Request, err error) {
	var e Error
	status := http.StatusBadRequest
	f, _ := fault.Of(err)
	switch {
	case errors.As(err, &e) && e == errNoToken:
		w.Header().Set("WWW-Authenticate", `Bearer realm="registration"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	case errors.As(err, &e):
	case f == nil:
		status, e = http.StatusInternalServerError, errServer
	case f.Kind == fault.Unauthenticated:
		status, e = http.StatusUnauthorized, Error{"invalid_token", "The token is wrong, expired, revoked or used up."}
		w.Header().Set("WWW-Authenticate", `Bearer realm="registration", error="invalid_token", error_description="`+e.Description+`"`)
	case f.Kind == fault.Denied:
		status, e = http.StatusForbidden, Error{"access_denied", "The client is disabled."}
	case f.Kind == fault.Throttled:
		status, e = http.StatusTooManyRequests, Error{"temporarily_unavailable", "Too many registrations from this address."}
		retryAfter(w, err)
	case f.Kind == fault.Unavailable:
		status, e = http.StatusServiceUnavailable, errUnavailable
		w.Header().Set("Retry-After", "5")
	case f.Kind == fault.Conflict:
		status, e = http.StatusConflict, Error{"invalid_client_metadata", "The registration was changed meanwhile. Read it again."}
	case f.Kind == fault.Invalid:
		e = invalidMetadata(f)
	default:
		status, e = http.StatusInternalServerError, errServer
	}
	if status >= http.StatusInternalServerError {
		p.Log.ErrorContext(r.Context(), "registration failed", "error", err)
	} else {
		p.Log.InfoContext(r.Context(), "registration refused", "code", e.Code, "description", e.Description)
	}
	writeError(w, status, e)
}

var quoted = regexp.MustCompile(`"(?:[^"\\]|\\.)*" ?`)

// invalidMetadata says what is wrong without what was sent.
func invalidMetadata(f *fault.Fault) Error {
	if named, ok := fault.Of(NamedAsMetadata(f)); ok {
		f = named
	}
	e := Error{"invalid_client_metadata", quoted.ReplaceAllString(f.Message, "")}
	if f.Field == "redirect_uris" {
		e.Code = "invalid_redirect_uri"
	}
	if !plainText(e.Description) {
		e.Description = fmt.Sprintf("The member %s cannot be taken.", f.Field)
		if !plainText(f.Field) {
			e.Description = "The metadata cannot be taken."
		}
	}
	return e
}
