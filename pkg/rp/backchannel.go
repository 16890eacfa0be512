package rp

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	logoutEvent     = "http://schemas.openid.net/event/backchannel-logout"
	maxLogoutForm   = 64 << 10
	logoutRemembers = 15 * time.Minute // marks of ended sessions outlive any code under exchange
)

// errOver: the provider ended the session while its code was exchanged here.
var errOver = errors.New("the provider's session ended meanwhile")

// BackChannelLogout takes the provider's word that somebody signed out, and ends
// their sessions here (OpenID Connect Back-Channel Logout 1.0). Mount it at the
// registered backchannel_logout_uri, which the provider must be able to reach.
//
// It answers 200 when the sessions are gone, were there any or not, 400 to a
// token that proves nothing, and 503 when we could not tell or could not do it:
// the provider then tries again.
func (p *RP) BackChannelLogout(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	ctx := r.Context()
	r.Body = http.MaxBytesReader(w, r.Body, maxLogoutForm)
	if err := r.ParseForm(); err != nil || len(r.PostForm["logout_token"]) != 1 {
		p.refuseLogout(ctx, w, http.StatusBadRequest, errors.New("no logout_token in the form"))
		return
	}
	prov, err := p.provider(ctx)
	if err != nil {
		p.refuseLogout(ctx, w, http.StatusServiceUnavailable, err)
		return
	}
	token, err := p.verifyLogout(ctx, prov, r.PostForm.Get("logout_token"))
	if err != nil {
		p.refuseLogout(ctx, w, http.StatusBadRequest, err)
		return
	}
	if err := p.endNamed(ctx, token); errors.Is(err, errReplayed) {
		p.refuseLogout(ctx, w, http.StatusBadRequest, err)
		return
	} else if err != nil {
		p.refuseLogout(ctx, w, http.StatusServiceUnavailable, err)
		return
	}
	p.config.Log.InfoContext(ctx, "signed out by the provider", "sub", token.sub, "sid", token.sid)
	w.WriteHeader(http.StatusOK)
}

func (p *RP) refuseLogout(ctx context.Context, w http.ResponseWriter, status int, err error) {
	p.config.Log.WarnContext(ctx, "back-channel logout refused", "status", status, "error", err)
	code := "invalid_request"
	if status == http.StatusServiceUnavailable {
		code = TemporarilyUnavailable
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": code})
}

// logoutToken is a verified one: sid or sub or both.
type logoutToken struct {
	jti, sid, sub  string
	issued, expiry time.Time
}

// verifyLogout checks a logout token (Back-Channel Logout §2.6): signature,
// algorithm, issuer, our audience, expiry, jti, and the absence of a nonce by
// go-oidc; the rest here.
func (p *RP) verifyLogout(ctx context.Context, prov *provider, raw string) (logoutToken, error) {
	if err := checkType(raw); err != nil {
		return logoutToken{}, err
	}
	verified, err := prov.verifier.VerifyLogout(ctx, raw)
	if err != nil {
		return logoutToken{}, err
	}
	if err := p.checkAudience(verified.Audience); err != nil {
		return logoutToken{}, err
	}
	var c struct {
		IssuedAt numericDate                `json:"iat"`
		Events   map[string]json.RawMessage `json:"events"`
	}
	if err := verified.Claims(&c); err != nil {
		return logoutToken{}, fmt.Errorf("decode logout token: %w", err)
	}
	if event := bytes.TrimSpace(c.Events[logoutEvent]); len(event) == 0 || event[0] != '{' {
		return logoutToken{}, errors.New("logout token: its event is not an object")
	}
	issued := time.Unix(int64(c.IssuedAt), 0)
	if c.IssuedAt == 0 || issued.After(p.config.Now().Add(skew)) {
		return logoutToken{}, errors.New("logout token from the future, or without iat")
	}
	return logoutToken{verified.TokenID, verified.SessionID, verified.Subject, issued, verified.Expiry}, nil
}

// checkType refuses tokens that say they are something else, such as access
// tokens (at+jwt). The signature is checked later.
func checkType(raw string) error {
	typ, ok := typeOf(raw)
	if !ok {
		return errors.New("logout token is not a JWT")
	}
	switch typ {
	case "", "jwt", "logout+jwt": // older providers write JWT or nothing
		return nil
	}
	return fmt.Errorf("logout token of type %q", typ)
}

// typeOf is what a JWT says of itself, in small letters and without
// "application/" (RFC 7515 §4.1.9); false for what is no JWT.
func typeOf(raw string) (typ string, ok bool) {
	head, _, _ := strings.Cut(raw, ".")
	plain, err := base64.RawURLEncoding.DecodeString(head)
	if err != nil {
		return "", false
	}
	var h struct {
		Typ string `json:"typ"`
	}
	if err := json.Unmarshal(plain, &h); err != nil {
		return "", false
	}
	return strings.TrimPrefix(strings.ToLower(h.Typ), "application/"), true
}

var errReplayed = errors.New("logout token came before")

// endNamed ends the sessions that a logout token names. Its jti is noted last: if
// something fails before, the provider may send it again.
func (p *RP) endNamed(ctx context.Context, t logoutToken) error {
	store := p.config.Store
	jti := p.key("jti", t.jti)
	if _, seen, err := store.Get(ctx, jti); err != nil {
		return fmt.Errorf("look up logout token: %w", err)
	} else if seen {
		return errReplayed
	}
	// The mark comes first, see begin.
	if err := p.markOver(ctx, t); err != nil {
		return err
	}
	var err error
	if t.sid != "" {
		err = store.DeleteSID(ctx, p.key("sid", t.sid))
	} else {
		err = store.DeleteSubject(ctx, p.key("sub", t.sub))
	}
	if err != nil {
		return fmt.Errorf("end sessions: %w", err)
	}
	if _, err := store.Add(ctx, jti, Record{Value: []byte("1"), Expires: t.expiry.Add(skew)}); err != nil {
		return fmt.Errorf("note logout token: %w", err)
	}
	return nil
}

// markOver remembers that a sid is over, or when everything of a sub was.
func (p *RP) markOver(ctx context.Context, t logoutToken) error {
	key := p.key("over sub", t.sub)
	if t.sid != "" {
		key = p.key("over sid", t.sid)
	}
	if _, _, err := p.config.Store.Take(ctx, key); err != nil { // an older mark
		return fmt.Errorf("mark session over: %w", err)
	}
	mark := Record{Value: strconv.AppendInt(nil, t.issued.Unix(), 10), Expires: p.config.Now().Add(logoutRemembers)}
	if _, err := p.config.Store.Add(ctx, key, mark); err != nil {
		return fmt.Errorf("mark session over: %w", err)
	}
	return nil
}

// over returns errOver for a session whose logout came before it was stored.
func (p *RP) over(ctx context.Context, s *Session) error {
	if s.SID != "" {
		if _, marked, err := p.config.Store.Get(ctx, p.key("over sid", s.SID)); err != nil {
			return fmt.Errorf("look up logouts: %w", err)
		} else if marked {
			return errOver
		}
	}
	mark, marked, err := p.config.Store.Get(ctx, p.key("over sub", s.Subject))
	if err != nil {
		return fmt.Errorf("look up logouts: %w", err)
	}
	if !marked {
		return nil
	}
	at, err := strconv.ParseInt(string(mark.Value), 10, 64)
	if err != nil {
		return fmt.Errorf("look up logouts: %w", err)
	}
	if s.issued.Unix() < at {
		return errOver
	}
	return nil // a new sign-in after it
}
