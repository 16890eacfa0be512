package openid

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/ephemeral"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/mail"
	"github.com/portti-id/portti/internal/session"
	"github.com/portti-id/portti/internal/throttle"
	"github.com/portti-id/portti/internal/trace"
)

// Times of the device flow (RFC 8628 §3.2, §3.5).
const (
	deviceLasts   = 10 * time.Minute
	deviceKept    = 2 * deviceLasts // so that a late poll hears that it is late
	pollInterval  = 5 * time.Second
	pollGrace     = time.Second // clocks differ, and networks are uneven
	slowestPoll   = time.Minute
	answerLasts   = time.Minute // longer than noting an answer takes
	userCodeDraws = 10          // of a code that nobody has just now
)

// userLetters are those of user codes (RFC 8628 §6.1): consonants that no other
// letter or digit looks like, so that no code is a word. Eight of them are 34 bits.
const userLetters = "BCDFGHJKLMNPQRSTVWXZ"

// deviceRecord is a device that waits to be let in, kept under the hash of its
// device code. Once somebody has allowed it, it is what a code stands for.
type deviceRecord struct {
	codeRecord
	UserCode string        `json:"user_code"`
	State    deviceState   `json:"state"`
	Trace    []trace.Entry `json:"trace,omitempty"` // what it asked for; its trace goes by its key
}

type deviceState string

const (
	deviceWaits   deviceState = "waits"
	deviceAllowed deviceState = "allowed"
	deviceDenied  deviceState = "denied"
)

var (
	errDevice      = Error{"invalid_grant", "The device code is wrong or used."}
	errPending     = Error{"authorization_pending", "The person has not answered yet."}
	errSlowDown    = Error{"slow_down", "Poll less often: five seconds more between polls."}
	errDenied      = Error{"access_denied", "The person did not let the device in."}
	errDeviceOver  = Error{"expired_token", "The device code has expired."}
	errNoDevice    = fault.New(fault.NotFound, "device_code_unknown", "There is no device with this code, or its time is over.").In("user-code")
	errDeviceDone  = fault.New(fault.Gone, "device_done", "This device has its answer already.")
	errDeviceLimit = Error{"temporarily_unavailable", "Too many devices ask from this address. Try again later."}
)

// authorizeDevice is the device authorization endpoint (RFC 8628 §3.1).
func (p *Provider) authorizeDevice(w http.ResponseWriter, r *http.Request) {
	c, ok := p.called(w, r)
	if !ok {
		return
	}
	ctx, notes := p.Traces.Begin(r.Context())
	r = r.WithContext(ctx)
	answer, err := p.newDevice(r, c)
	p.Traces.Keep(ctx, notes, p.referenceOf(r), netip.Addr{}) // whose device it is, nobody knows yet
	switch {
	case fault.Is(err, fault.Throttled):
		retryAfter(w, err)
		writeError(w, http.StatusTooManyRequests, errDeviceLimit)
	case err != nil:
		p.refuseBlamed(w, r, &c, err)
	default:
		p.answerCaller(w, r, answer, nil)
	}
}

// deviceAnswer is RFC 8628 §3.2's.
type deviceAnswer struct {
	DeviceCode string `json:"device_code"`
	UserCode   string `json:"user_code"`
	URI        string `json:"verification_uri"`
	Complete   string `json:"verification_uri_complete"`
	ExpiresIn  int64  `json:"expires_in"`
	Interval   int64  `json:"interval"`
}

func (p *Provider) newDevice(r *http.Request, c Client) (deviceAnswer, error) {
	ctx := r.Context()
	if !c.may(GrantDevice) {
		return deviceAnswer{}, Error{"unauthorized_client", "The client is not registered for this grant."}
	}
	err := p.Throttle.Attempt(ctx, throttle.Use{Limit: throttle.DeviceStartPerAddress, Subject: throttle.AddressKey(p.ClientAddr(r))})
	if err != nil {
		return deviceAnswer{}, err
	}
	asked := r.PostForm.Get("scope")
	if asked == "" {
		asked = "openid" // the parameter is optional (RFC 8628 §3.1)
	}
	d := deviceRecord{State: deviceWaits, codeRecord: codeRecord{Client: c.ID, Expires: p.Now().UTC().Add(deviceLasts)}}
	if d.Scopes, err = scopes(c, asked); err != nil {
		return deviceAnswer{}, err
	}
	if d.Resources, err = resources(c, r.PostForm["resource"]); err != nil {
		return deviceAnswer{}, err
	}
	code := newSecret()
	key := ephemeral.Key("device", code)
	if d.UserCode, err = p.newUserCode(ctx, key); err != nil {
		return deviceAnswer{}, err
	}
	trace.In(ctx, key, c.ID)
	q := p.asDemanded(d)
	p.noteDemand(ctx, q, c, p.demand(q, c, false), "grant", string(GrantDevice))
	d.Trace = trace.All(ctx, nil)
	value, err := json.Marshal(d)
	if err != nil {
		return deviceAnswer{}, fmt.Errorf("encode device: %w", err)
	}
	if err := p.Ephemeral.Put(ctx, key, value, deviceKept); err != nil {
		return deviceAnswer{}, err
	}
	at := p.url(VerifyPath)
	return deviceAnswer{DeviceCode: code, UserCode: d.UserCode, URI: at, Complete: at + "?" + url.Values{"user_code": {d.UserCode}}.Encode(),
		ExpiresIn: int64(deviceLasts / time.Second), Interval: int64(pollInterval / time.Second)}, nil
}

// asDemanded is what a device asks for as the request that it stands for.
func (p *Provider) asDemanded(d deviceRecord) pending {
	return pending{Client: d.Client, Scopes: d.Scopes, MaxAge: -1, Created: p.Now().UTC()}
}

// newUserCode draws a code that no other device has, and notes whose it is.
func (p *Provider) newUserCode(ctx context.Context, device string) (string, error) {
	for range userCodeDraws {
		code := drawUserCode()
		err := p.Ephemeral.Add(ctx, userCodeKey(code), []byte(device), deviceLasts)
		if !fault.Is(err, fault.Conflict) {
			return code, err
		}
	}
	return "", fault.New(fault.Unavailable, "device_codes_spent", "Too many devices wait.")
}

// drawUserCode gives each letter the same chance: bytes past the last whole round
// of the alphabet are thrown away.
func drawUserCode() string {
	var code strings.Builder
	for code.Len() < 9 {
		if code.Len() == 4 {
			code.WriteByte('-')
		}
		b := make([]byte, 1)
		_, _ = rand.Read(b) // never fails (crypto/rand)
		if int(b[0]) < 256/len(userLetters)*len(userLetters) {
			code.WriteByte(userLetters[int(b[0])%len(userLetters)])
		}
	}
	return code.String()
}

// readUserCode is a code as we draw it of what a person typed, "" when it cannot
// be one: case, dashes and blanks say nothing (RFC 8628 §6.1).
func readUserCode(typed string) string {
	if len(typed) > 100 {
		return ""
	}
	code := strings.Map(func(r rune) rune {
		switch r {
		case '-', ' ', '\t', '\u00a0', '\u2010', '\u2011', '\u2012', '\u2013':
			return -1
		}
		return r
	}, strings.ToUpper(typed))
	if len(code) != 8 || strings.Trim(code, userLetters) != "" {
		return ""
	}
	return code[:4] + "-" + code[4:]
}

// userCodeKey hides the code: whoever reads the store cannot enter it.
func userCodeKey(code string) string { return ephemeral.Key("user_code", code) }

// deviceToken is a poll of a device (RFC 8628 §3.4, §3.5).
func (p *Provider) deviceToken(ctx context.Context, a asking, code string) (*tokens, error) {
	key := ephemeral.Key("device", code)
	d, raw, err := p.device(ctx, key)
	switch {
	case fault.Is(err, fault.NotFound):
		return nil, errDevice
	case err != nil:
		return nil, err
	case string(raw) == tombstone:
		// A response that was lost, or a thief: either way those tokens are nobody's.
		return nil, p.replayed(ctx, a.Client, GrantID(code))
	case d.Client != a.Client.ID:
		p.Log.WarnContext(ctx, "device code refused", "client", a.Client.ID, "reason", "another client's")
		return nil, errDevice
	}
	trace.In(ctx, key, d.Client)
	if !p.Now().Before(d.Expires) {
		return nil, p.deviceLate(ctx, key)
	}
	if err := p.pace(ctx, key); err != nil {
		return nil, err
	}
	switch d.State {
	case deviceWaits:
		return nil, errPending
	case deviceDenied:
		return nil, errDenied
	}
	return p.redeemDevice(ctx, a, code, d, raw)
}

// redeemDevice gives the tokens, once: whoever replaces the record first.
func (p *Provider) redeemDevice(ctx context.Context, a asking, code string, d deviceRecord, raw []byte) (*tokens, error) {
	err := p.Ephemeral.Replace(ctx, ephemeral.Key("device", code), raw, []byte(tombstone), p.longestLife(a.Client))
	switch {
	case fault.Is(err, fault.Conflict):
		return nil, p.replayed(ctx, a.Client, GrantID(code))
	case fault.Is(err, fault.NotFound):
		return nil, errDevice
	case err != nil:
		return nil, err
	}
	now := p.Now().UTC()
	if !now.Before(d.Session.Ends) {
		return nil, p.deviceLate(ctx, ephemeral.Key("device", code))
	}
	t, err := p.mint(ctx, a, d.grant(GrantID(code), GrantDevice, now))
	if err != nil {
		return nil, err
	}
	trace.About(ctx, d.Session.User, true)
	trace.Note(ctx, trace.Device, "redeemed")
	return t, nil
}

// deviceLate is the answer to a device whose time is over, which is noted once:
// some poll on and on.
func (p *Provider) deviceLate(ctx context.Context, key string) error {
	switch err := p.Ephemeral.Add(ctx, "late:"+key, []byte("1"), deviceKept); {
	case err == nil:
		trace.Note(ctx, trace.Device, "late")
	case !fault.Is(err, fault.Conflict):
		return err
	}
	return errDeviceOver
}

// pace holds a device to the interval, which grows by five seconds with every poll
// that comes too soon (RFC 8628 §3.5). Of any number of polls at once one passes.
func (p *Provider) pace(ctx context.Context, device string) error {
	last, slow := "poll:"+device, "slow:"+device
	n, _, err := p.Ephemeral.Count(ctx, slow)
	if err != nil {
		return err
	}
	now := p.Now().UTC()
	mark, err := now.MarshalText()
	if err != nil {
		return fmt.Errorf("encode time: %w", err)
	}
	before, err := p.Ephemeral.Get(ctx, last)
	switch {
	case fault.Is(err, fault.NotFound):
		err = p.Ephemeral.Add(ctx, last, mark, deviceKept)
	case err == nil:
		var at time.Time
		if err := at.UnmarshalText(before); err != nil {
			return fmt.Errorf("decode time: %w", err)
		}
		if now.Sub(at) < min(pollInterval*time.Duration(n+1), slowestPoll)-pollGrace {
			err = errTooSoon
			break
		}
		err = p.Ephemeral.Replace(ctx, last, before, mark, deviceKept)
	}
	if !fault.Is(err, fault.Conflict) {
		return err
	}
	if n, _, err = p.Ephemeral.Increment(ctx, slow, deviceKept); err != nil {
		return err
	}
	if n == 1 {
		trace.Note(ctx, trace.Device, "hurried")
	}
	if err := p.Ephemeral.Put(ctx, last, mark, deviceKept); err != nil {
		return err
	}
	return errSlowDown
}

var errTooSoon = fault.New(fault.Conflict, "poll_too_soon", "The device polls too often.")

// device loads a device by its key. A spent one has nothing but its tombstone.
func (p *Provider) device(ctx context.Context, key string) (d deviceRecord, raw []byte, err error) {
	raw, err = p.Ephemeral.Get(ctx, key)
	if err != nil || string(raw) == tombstone {
		return d, raw, err
	}
	if err := json.Unmarshal(raw, &d); err != nil {
		return d, nil, fmt.Errorf("decode device: %w", err)
	}
	return d, raw, nil
}

// visit is a device in the browser of somebody who knows its user code.
type visit struct {
	Device  string      `json:"device"` // its key
	Browser string      `json:"browser"`
	Outcome deviceState `json:"outcome,omitempty"`
	Client  string      `json:"client"`
	Expires time.Time   `json:"expires"`
}

// Device is what the pages see of a device that wants to be let in.
type Device struct {
	ID       string // of the visit, for addresses
	Client   Client
	UserCode string
	Wish     Wish
	Token    string      // goes with the form, to AllowDevice; "" where a sign-in is missing
	Outcome  deviceState // what was answered; "" when nothing was
	Trail    string      // of its trace, for SignInFor
}

// Allowed and Denied tell what a device was answered.
func (d Device) Allowed() bool { return d.Outcome == deviceAllowed }
func (d Device) Denied() bool  { return d.Outcome == deviceDenied }

// VisitDevice finds the device of a code that somebody typed, and returns the ID
// of a visit that stands in this browser alone. Every try counts, right or wrong,
// against the browser and its address: fault.Throttled. fault.NotFound
// "device_code_unknown".
func (p *Provider) VisitDevice(w http.ResponseWriter, r *http.Request, typed string) (string, error) {
	ctx, browser := r.Context(), p.Binding(w, r)
	err := p.Throttle.Attempt(ctx, throttle.Use{Limit: throttle.DeviceCodePerBrowser, Subject: digest(browser)},
		throttle.Use{Limit: throttle.DeviceCodePerAddress, Subject: throttle.AddressKey(p.ClientAddr(r))})
	if err != nil {
		return "", err
	}
	code := readUserCode(typed)
	if code == "" {
		return "", errNoDevice
	}
	key, err := p.Ephemeral.Get(ctx, userCodeKey(code))
	if fault.Is(err, fault.NotFound) {
		return "", errNoDevice
	}
	if err != nil {
		return "", err
	}
	d, raw, err := p.device(ctx, string(key))
	switch {
	case fault.Is(err, fault.NotFound), err == nil && (string(raw) == tombstone || d.State != deviceWaits || !p.Now().Before(d.Expires)):
		return "", errNoDevice
	case err != nil:
		return "", err
	}
	trace.In(ctx, string(key), d.Client)
	trace.Before(ctx, d.Trace)
	trace.Note(ctx, trace.Device, "entered")
	id := rand.Text()
	return id, p.keepVisit(ctx, id, visit{Device: string(key), Browser: digest(browser), Client: d.Client, Expires: d.Expires})
}

func visitKey(id string) string { return ephemeral.Key("device_visit", id) }

func (p *Provider) keepVisit(ctx context.Context, id string, v visit) error {
	value, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode visit: %w", err)
	}
	return p.Ephemeral.Put(ctx, visitKey(id), value, deviceKept)
}

// visited loads a visit of this browser with its client, and its device unless that
// has its answer already. fault.NotFound "device_code_unknown".
func (p *Provider) visited(ctx context.Context, id, browser string) (v visit, d deviceRecord, raw []byte, c Client, err error) {
	value, err := p.Ephemeral.Get(ctx, visitKey(id))
	if fault.Is(err, fault.NotFound) {
		return v, d, nil, c, errNoDevice
	}
	if err != nil {
		return v, d, nil, c, err
	}
	if err := json.Unmarshal(value, &v); err != nil {
		return v, d, nil, c, fmt.Errorf("decode visit: %w", err)
	}
	if browser == "" || subtle.ConstantTimeCompare([]byte(v.Browser), []byte(digest(browser))) != 1 {
		return visit{}, d, nil, c, errNoDevice
	}
	trace.In(ctx, v.Device, v.Client)
	c, err = p.client(ctx, v.Client)
	if fault.Is(err, fault.NotFound) || fault.Is(err, fault.Denied) {
		return visit{}, d, nil, c, errNoDevice
	}
	if err != nil || v.Outcome != "" {
		return v, d, nil, c, err
	}
	d, raw, err = p.device(ctx, v.Device)
	switch {
	case fault.Is(err, fault.NotFound), err == nil && string(raw) != tombstone && !p.Now().Before(d.Expires):
		return visit{}, d, nil, c, errNoDevice
	case err == nil && (string(raw) == tombstone || d.State != deviceWaits):
		return visit{}, d, nil, c, errDeviceDone // by another browser
	}
	trace.Before(ctx, d.Trace)
	return v, d, raw, c, err
}

// Device tells about the device of a visit. s is the browser's session, nil for
// nobody: where it does not reach what the client demands, there is no Token, and a
// sign-in by SignInFor is missing. fault.NotFound "device_code_unknown", fault.Gone
// "device_done".
func (p *Provider) Device(w http.ResponseWriter, r *http.Request, id string, s *session.Session) (Device, error) {
	ctx := r.Context()
	v, d, _, c, err := p.visited(ctx, id, p.Binding(w, r))
	if err != nil {
		return Device{}, err
	}
	out := Device{ID: id, Client: c, UserCode: d.UserCode, Wish: wishOf(d.Scopes, ""), Outcome: v.Outcome, Trail: v.Device}
	if v.Outcome != "" {
		return out, nil
	}
	_, decided, err := p.mayAllow(ctx, c, d, s)
	if err != nil {
		return Device{}, err
	}
	noteDecision(ctx, decided)
	if decided.Verdict == issueCode {
		out.Token = out.Wish.token(id, s.User)
	}
	return out, nil
}

// mayAllow decides whether a session may let a device of this client in, by the same
// rules by which it would get a code, and tells whose session it is.
func (p *Provider) mayAllow(ctx context.Context, c Client, d deviceRecord, s *session.Session) (person identity.Person, _ decision, err error) {
	left := gone{how: "none"}
	if s != nil {
		if s, person, left, err = p.stillHere(ctx, s); err != nil {
			return person, decision{}, err
		}
	}
	p.noteSession(ctx, s, left)
	q, wish := p.asDemanded(d), wishOf(d.Scopes, "")
	decided, err := p.decide(ctx, p.demand(q, c, false), q, c, s, person, &wish)
	if err == nil && decided.Verdict == issueCode && s.Level != session.Full {
		decided = decision{Verdict: showSignIn, Reason: ReasonEnrolOnly}
	}
	return person, decided, err
}

// AllowDevice lets the device of a visit in, in the name of the session's person.
// token is what Device gave for the page; fault.Conflict "consent_changed" when it
// was given to somebody else, fault.Unauthenticated "session_expired" when the
// session is not enough any more, and the faults of Device.
func (p *Provider) AllowDevice(w http.ResponseWriter, r *http.Request, id string, s session.Session, token string) error {
	ctx := withAddress(r.Context(), address(p.ClientAddr(r)))
	v, d, raw, c, err := p.visited(ctx, id, p.Binding(w, r))
	if err != nil {
		return err
	}
	if v.Outcome != "" {
		return errDeviceDone
	}
	person, decided, err := p.mayAllow(ctx, c, d, &s)
	wish := wishOf(d.Scopes, "")
	switch {
	case err != nil:
		return err
	case decided.Verdict != issueCode:
		noteDecision(ctx, decided)
		return fault.New(fault.Unauthenticated, "session_expired", "Sign in to continue.")
	case token != wish.token(id, s.User):
		return errConsentChanged
	}
	agree := func() error { return nil }
	if c.ThirdParty {
		agree = func() error { return p.saveConsent(ctx, s, c.ID, wish, nil) } // the letter on the device says it
	}
	have := strengthOf(s)
	d.ACR, d.AMR = p.ACR.name(have, nil), amrOf(have)
	// The device is not the browser: it has a session of its own, which no logout
	// here ends; a new epoch does.
	d.Session, d.State = s, deviceAllowed
	d.Session.ID = rand.Text()
	if err := p.answerDevice(ctx, id, v, raw, d, s, agree, audit.DeviceAllowed, p.deviceLetter(person, c)...); err != nil {
		return err
	}
	trace.Note(ctx, trace.Device, "allowed", "acr", levelOf(have), "amr", strings.Join(d.AMR, " "))
	return nil
}

// DenyDevice sends the device of a visit away. The faults are those of Device.
func (p *Provider) DenyDevice(w http.ResponseWriter, r *http.Request, id string, s *session.Session) error {
	ctx := withAddress(r.Context(), address(p.ClientAddr(r)))
	v, d, raw, _, err := p.visited(ctx, id, p.Binding(w, r))
	if err != nil {
		return err
	}
	if v.Outcome != "" {
		return errDeviceDone
	}
	// Who is here only by a session that does not stand any more is nobody.
	var by session.Session
	if s != nil {
		if s, _, _, err = p.stillHere(ctx, s); err != nil {
			return err
		}
	}
	if s != nil {
		by = *s
		trace.About(ctx, s.User, true)
	}
	d.State = deviceDenied
	if err := p.answerDevice(ctx, id, v, raw, d, by, func() error { return nil }, audit.DeviceDenied); err != nil {
		return err
	}
	trace.Note(ctx, trace.Device, "denied")
	return nil
}

// answerDevice notes the answer, and what is agreed with it, once: of two browsers the
// first.
func (p *Provider) answerDevice(ctx context.Context, id string, v visit, raw []byte, d deviceRecord, s session.Session, agree func() error, what audit.Type, letters ...mail.Letter) error {
	value, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("encode device: %w", err)
	}
	e := audit.Event{At: p.Now().UTC(), Type: what, Actor: "system", User: s.User, Organisation: s.Organisation, Client: d.Client, Session: s.ID,
		Method: string(s.Method), Address: addressOf(ctx)}
	if s.User != "" {
		e.Actor = "user:" + s.User
	}
	if d.State == deviceAllowed {
		e.Details = map[string]string{"scopes": strings.Join(d.Scopes, " "), "sid": d.Session.ID}
	}
	// Of two clicks, or a yes and a no at once, one is on the trail and in a letter.
	claim := "answering:" + v.Device
	err = p.Ephemeral.Add(ctx, claim, []byte("1"), answerLasts)
	if fault.Is(err, fault.Conflict) {
		return errDeviceDone
	}
	if err != nil {
		return err
	}
	if err = agree(); err == nil {
		err = p.Store.Tell(ctx, e, letters...) // before the answer: what is not on the trail does not happen
	}
	if err != nil {
		_ = p.Ephemeral.Delete(context.WithoutCancel(ctx), claim) // or the claim ends by itself
		return err
	}
	err = p.Ephemeral.Replace(ctx, v.Device, raw, value, deviceKept)
	switch {
	case fault.Is(err, fault.Conflict):
		return errDeviceDone
	case fault.Is(err, fault.NotFound):
		return errNoDevice
	case err != nil:
		return err
	}
	v.Outcome = d.State
	if err := p.keepVisit(ctx, id, v); err != nil {
		return err
	}
	return p.Ephemeral.Delete(ctx, userCodeKey(d.UserCode))
}
