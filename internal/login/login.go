package login

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/ephemeral"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/session"
	"github.com/portti-id/portti/internal/throttle"
	"github.com/portti-id/portti/internal/trace"
)

const (
	flowLasts    = 15 * time.Minute // a sign-in that is not finished by then starts again
	waitingLasts = 60 * time.Minute // how long a request waits for a person who enrols (S20)
	mostCodes    = 5                // wrong codes that end a transaction
)

// Demand is what the waiting request asks of a sign-in, as package signin reads
// it from openid.Request.
type Demand struct {
	TX       string // the transaction's ID
	Browser  string // SHA-256 of the browser's binding secret
	Client   string
	Hint     string          // login_hint
	CardOnly bool            // only a card will do
	EnrolOK  bool            // a password alone will do: User Services
	User     identity.UserID // only this user will do; "" for anybody
	From     netip.Addr      // the browser's address
}

// Service signs people in.
type Service struct {
	Directory *identity.Directory
	Sessions  *session.Sessions
	Ephemeral ephemeral.Store
	Throttle  *throttle.Throttle
	Audit     audit.Recorder
	Now       func() time.Time
	CardPlace func(card.Mode) (card.Place, bool) // where an attempt goes: card.Door.Place; nil without a card host
	CardBack  func(tx string) string             // where the browser returns to: the main host's page for the attempt's result
}

// Start returns the sign-in of a transaction, or begins it. What the browser's
// session proves already is not asked again: an enrol session has the password
// behind it (S20), a full one needs only what the request demands on top.
func (s *Service) Start(ctx context.Context, d Demand, current *session.Session) (Flow, error) {
	f, raw, err := s.load(ctx, d)
	if err == nil && f.Step != Finished {
		return s.sooner(ctx, d, f, raw, current)
	}
	if err != nil && !fault.Is(err, fault.NotFound) {
		return Flow{}, err
	}
	f, err = s.begin(ctx, d, current)
	if err != nil {
		return Flow{}, err
	}
	value, err := f.encode(ctx)
	if err != nil {
		return Flow{}, err
	}
	return f, s.Ephemeral.Put(ctx, key(d.TX), value, flowLasts)
}

// sooner moves a sign-in that waits at its first page to the step that the
// browser's session has earned meanwhile: whoever looked at that page between
// the password and the linking goes on at the code all the same (S20). One that
// was started over stays there, or five wrong codes would end nothing.
func (s *Service) sooner(ctx context.Context, d Demand, f Flow, raw []byte, current *session.Session) (Flow, error) {
	if f.Step != AskPassword || f.Over || current == nil {
		return f, nil
	}
	g, err := s.begin(ctx, d, current)
	if err != nil || g.Step == f.Step {
		return f, err
	}
	return s.save(ctx, d, raw, g)
}

// Here is the person of the browser's session, if both stand, and notes that the
// session is used, under the organisation's limits of now. fault.Unauthenticated
// "session_expired".
func (s *Service) Here(ctx context.Context, current *session.Session) (identity.Person, error) {
	p, err := s.Directory.Standing(ctx, identity.UserID(current.User), current.Epoch, current.ID)
	if err != nil {
		return identity.Person{}, err
	}
	used, err := s.Sessions.Use(ctx, *current, p.Organisation.Limits(current.Level))
	if err != nil {
		return identity.Person{}, err
	}
	*current = used
	return p, nil
}

// begin finds the first step.
func (s *Service) begin(ctx context.Context, d Demand, current *session.Session) (Flow, error) {
	f := Flow{TX: d.TX, Browser: d.Browser, Step: AskPassword, Username: d.Hint, Started: s.Now().UTC()}
	if current == nil || d.User != "" && string(d.User) != current.User {
		return f, nil
	}
	p, err := s.Here(ctx, current)
	if fault.Is(err, fault.Unauthenticated) {
		return f, nil
	}
	if err != nil {
		return Flow{}, err
	}
	f.Username, f.User, f.Epoch = p.User.Username, p.User.ID, p.User.Epoch
	event := Event("session_card")
	switch now := s.Now(); {
	case current.Level == session.Full && d.CardOnly && current.Method != session.Card:
		f.Step, f.Notice = UseCard, "stepup"
	case current.Level == session.Enrol && !d.EnrolOK && p.UsableCard(now) && p.Permits(identity.MethodCard):
		f.Step, f.Notice = UseCard, "linked"
	case current.Level == session.Enrol && !d.EnrolOK && !d.CardOnly && p.Authenticator != nil && p.Permits(p.Authenticator.Kind):
		f.Step, f.Notice, event = AskCode, "linked", "session_code"
	default:
		f.User, f.Epoch = "", 0
		return f, nil
	}
	trace.About(ctx, string(f.User), true)
	stepped(ctx, f, event, p)
	return f, nil
}

// Password proves a username and password.
func (s *Service) Password(ctx context.Context, d Demand, username, pw string) (Flow, error) {
	f, raw, err := s.load(ctx, d)
	if err != nil {
		return Flow{}, err
	}
	if f.Step != AskPassword {
		return f, nil // another tab or a double click was first: show where it got to
	}
	p, err := s.Directory.VerifyPassword(ctx, username, pw, d.From)
	if err != nil {
		f.Username = username
		return f, err
	}
	trace.About(ctx, string(p.User.ID), true)
	if d.User != "" && p.User.ID != d.User {
		return f, errOtherUser
	}
	now := s.Now()
	event := passwordEvent(p, d, now)
	g, err := step(ctx, f, event, p)
	if err != nil {
		return Flow{}, err
	}
	g.User, g.Username, g.Epoch, g.AuthTime, g.Codes = p.User.ID, username, p.User.Epoch, now.UTC(), 0
	if p.Password.Temporary {
		g.Hash = digest(p.Password.Hash)
	}
	return s.save(ctx, d, raw, g)
}

// passwordEvent says what a right password means for this person and request.
func passwordEvent(p identity.Person, d Demand, now time.Time) Event {
	code := p.Authenticator != nil
	codeWillDo := code && p.Permits(p.Authenticator.Kind) && !d.CardOnly
	switch usable := p.UsableCard(now); {
	case p.Password.Temporary && code:
		return TemporaryProvedLink
	case p.Password.Temporary:
		return TemporaryProved
	case codeWillDo:
		return PasswordProved
	case usable && (p.Permits(identity.MethodCard) || !code):
		return PasswordProvedCard
	case code:
		return PasswordProved // it proves who it is, and opens User Services at least (S8)
	}
	return PasswordProvedNoLink
}

// Code proves a one-time code.
func (s *Service) Code(ctx context.Context, d Demand, code string) (Flow, error) {
	f, raw, err := s.load(ctx, d)
	if err != nil {
		return Flow{}, err
	}
	if f.Step != AskCode && f.Step != AskCodeFirst {
		return f, nil
	}
	p, err := s.person(ctx, f)
	if err != nil {
		return s.over(ctx, d, raw, f, err)
	}
	purpose := identity.ForSignIn
	if f.Step == AskCodeFirst {
		purpose = identity.ForTemporary
	}
	kind, err := s.Directory.VerifyCode(ctx, p, identity.Proof{Code: code, Purpose: purpose, Client: d.Client, From: d.From})
	if err != nil {
		return s.wrongCode(ctx, d, raw, f, err)
	}
	event := CodeProved
	if !p.Permits(kind) {
		event = CodeProvedBarred
	}
	g, err := step(ctx, f, event, p)
	if err != nil {
		return Flow{}, err
	}
	g.Method, g.Link, g.AuthTime = kind, p.Authenticator.ID, s.Now().UTC()
	if event == CodeProvedBarred {
		g.Notice = "method_not_permitted_by_employer"
	}
	return s.insist(ctx, d, raw, f, g)
}

// insist is save for a proof that is spent: what another request of this
// browser wrote meanwhile gives way, as long as the sign-in still stands where
// the proof was given, for the same person.
func (s *Service) insist(ctx context.Context, d Demand, raw []byte, f, g Flow) (Flow, error) {
	value, err := g.encode(ctx)
	if err != nil {
		return Flow{}, err
	}
	for range 10 {
		err := s.Ephemeral.Replace(ctx, key(d.TX), raw, value, flowLasts)
		switch {
		case err == nil:
			return g, nil
		case fault.Is(err, fault.NotFound):
			return Flow{}, errNoFlow
		case !fault.Is(err, fault.Conflict):
			return Flow{}, err
		}
		var now Flow
		if now, raw, err = s.load(ctx, d); err != nil || now.Step != f.Step || now.User != f.User || now.Epoch != f.Epoch {
			return now, err
		}
	}
	return Flow{}, errStep
}

// wrongCode counts; the fifth ends the transaction and the password is asked again.
func (s *Service) wrongCode(ctx context.Context, d Demand, raw []byte, f Flow, cause error) (Flow, error) {
	if fault.Is(cause, fault.Unavailable) {
		return f, cause
	}
	if _, ok := fault.Of(cause); !ok {
		return f, cause
	}
	if fault.Code(cause) == "otp_used" {
		// The other half of a double click has used it, and may have finished the
		// step. Nothing is counted here: the account's limit counted already.
		if g, _, err := s.load(ctx, d); err == nil && g.Step != f.Step {
			return g, nil
		}
		return f, cause
	}
	g := f
	g.Codes++
	if g.Codes >= mostCodes {
		trace.Note(ctx, trace.Refused, "otp_too_many")
		return s.startOver(ctx, d, raw, f, "too_many_codes")
	}
	if saved, err := s.save(ctx, d, raw, g); err != nil || saved.Step != f.Step {
		return saved, err
	}
	return g, cause
}

// ChangePassword sets the person's own password in place of the temporary one.
func (s *Service) ChangePassword(ctx context.Context, d Demand, pw, repeat string) (Flow, error) {
	f, raw, err := s.load(ctx, d)
	if err != nil {
		return Flow{}, err
	}
	if f.Step != ChangePassword && f.Step != ChangeProved {
		return f, nil
	}
	if subtle.ConstantTimeCompare([]byte(pw), []byte(repeat)) != 1 {
		return f, fault.New(fault.Invalid, "password_mismatch", "The passwords do not match.").In("repeat")
	}
	p, err := s.person(ctx, f)
	if err != nil {
		return s.over(ctx, d, raw, f, err)
	}
	if digest(p.Password.Hash) != f.Hash {
		return s.over(ctx, d, raw, f, errOver)
	}
	p, err = s.Directory.ReplaceTemporary(ctx, p, pw, d.From.String())
	if err != nil {
		if fault.Is(err, fault.Unauthenticated) {
			return s.over(ctx, d, raw, f, err)
		}
		return f, err
	}
	g, err := step(ctx, f, PasswordChanged, p)
	if err != nil {
		return Flow{}, err
	}
	g.Epoch, g.Hash = p.User.Epoch, ""
	return s.save(ctx, d, raw, g)
}

// StartOver leads back to the first page.
func (s *Service) StartOver(ctx context.Context, d Demand) (Flow, error) {
	f, raw, err := s.load(ctx, d)
	if err != nil {
		return Flow{}, err
	}
	if f.Step == Finished {
		return f, nil
	}
	trace.Restart(ctx)
	return s.startOver(ctx, d, raw, f, "")
}

// startOver leads a flow back to its first page, which says why.
func (s *Service) startOver(ctx context.Context, d Demand, raw []byte, f Flow, problem string) (Flow, error) {
	g, err := step(ctx, f, StartOver, identity.Person{})
	if err != nil {
		return Flow{}, err
	}
	g.Problem = problem
	return s.save(ctx, d, raw, g)
}

// Ending is a finished sign-in.
type Ending struct {
	Secret  string // for the browser's cookie
	Session session.Session
	Former  *session.Session // another person's, which the caller must end with everything under it; nil mostly
	More    bool             // the session does not reach what the request demands: ask for the rest
}

// Finish starts the session that the flow has earned. The same person's former
// session is replaced and keeps its public ID, unless it was over. Of any number of callers one starts it; the rest get errStep's
// fault and find the browser signed in.
func (s *Service) Finish(ctx context.Context, d Demand, former *session.Session) (Ending, error) {
	f, raw, err := s.load(ctx, d)
	if err != nil {
		return Ending{}, err
	}
	if f.Step != Done && f.Step != Enrol {
		return Ending{}, errStep
	}
	p, err := s.person(ctx, f)
	if err != nil {
		return Ending{}, err
	}
	n, err := s.earned(p, f, d)
	if err != nil {
		return Ending{}, err
	}
	f.Level = string(n.Level)
	g, err := step(ctx, f, SessionStarted, p)
	if err != nil {
		return Ending{}, err
	}
	value, err := g.encode(ctx)
	if err != nil {
		return Ending{}, err
	}
	if err := s.Ephemeral.Replace(ctx, key(d.TX), raw, value, flowLasts); err != nil {
		if fault.Is(err, fault.Conflict) || fault.Is(err, fault.NotFound) {
			return Ending{}, errStep
		}
		return Ending{}, err
	}
	if n.Method == session.Card && n.Level == session.Full {
		if err := s.Directory.SignedIn(ctx, p, identity.MethodCard, d.Client, d.From.String(), f.AuthTime); err != nil {
			return Ending{}, err
		}
	}
	if n.Level == session.Enrol {
		e := audit.Event{At: s.Now().UTC(), Type: audit.EnrolStarted, Actor: "user:" + n.User, User: n.User, Organisation: n.Organisation,
			Client: d.Client, Method: string(n.Method), Address: d.From.String()}
		if err := s.Audit.Record(ctx, e); err != nil {
			return Ending{}, err
		}
	}
	end := Ending{More: n.Level == session.Full && d.CardOnly && n.Method != session.Card}
	switch {
	case former != nil && former.User == n.User && (former.Epoch == p.User.Epoch || former.ID == p.User.KeptSession):
		end.Secret, end.Session, err = s.Sessions.Renew(ctx, *former, n)
	case former != nil && former.User == n.User:
		// An order, or a card that was revoked, has ended it. Services hear of that
		// under its public ID, some only after this: a new session that had the same
		// would end with it.
		if err := s.Sessions.End(ctx, former.ID); err != nil {
			return Ending{}, err
		}
		end.Secret, end.Session, err = s.Sessions.Start(ctx, n)
	default:
		end.Secret, end.Session, err = s.Sessions.Start(ctx, n)
		end.Former = former
	}
	return end, err
}

// earned makes the session. It checks once more what the table promises: a full
// session has a second proof that the employer permits (S1, S5).
func (s *Service) earned(p identity.Person, f Flow, d Demand) (session.Session, error) {
	n := session.Session{User: string(p.User.ID), Organisation: string(p.Organisation.ID), Epoch: p.User.Epoch,
		AuthTime: f.AuthTime, Link: string(f.Link), Method: methods[f.Method]}
	if f.Step == Enrol {
		n.Level = session.Enrol
		n.Idle = int64(p.Organisation.Limits(n.Level).Idle / time.Second)
		if !d.EnrolOK {
			n.Waiting, n.WaitingUntil = d.TX, s.Now().UTC().Add(waitingLasts)
		}
		return n, nil
	}
	if p.Password.Temporary && f.Method != identity.MethodCard {
		return session.Session{}, errOver
	}
	if !p.Permits(f.Method) {
		return session.Session{}, fault.New(fault.Denied, "method_not_permitted_by_employer", "The organisation does not permit this login method.")
	}
	n.Level = session.Full
	l := p.Organisation.Limits(n.Level)
	n.Idle, n.Ends = int64(l.Idle/time.Second), s.Now().UTC().Add(l.Absolute)
	return n, nil
}

var methods = map[identity.Method]session.Method{
	0: session.Password, identity.MethodCard: session.Card, identity.MethodApp: session.App, identity.MethodToken: session.Token,
}

var (
	errStep      = fault.New(fault.Conflict, "signin_moved_on", "This sign-in has moved on.")
	errOver      = fault.New(fault.Unauthenticated, "session_expired", "The sign-in has ended. Start again.")
	errOtherUser = fault.New(fault.Denied, "other_user", "The service expects another user.")
	errNoFlow    = fault.New(fault.NotFound, "signin_expired", "The sign-in has expired. Start again.")
)

// person reads the flow's person again: an Order, a disabled account or another
// change of credentials since the proof ends the flow.
func (s *Service) person(ctx context.Context, f Flow) (identity.Person, error) {
	if f.User == "" {
		return identity.Person{}, errOver
	}
	p, err := s.Directory.Standing(ctx, f.User, f.Epoch, "")
	if fault.Is(err, fault.Unauthenticated) {
		return identity.Person{}, errOver
	}
	return p, err
}

// over leads a flow whose person changed under it back to the first page.
func (s *Service) over(ctx context.Context, d Demand, raw []byte, f Flow, cause error) (Flow, error) {
	if !fault.Is(cause, fault.Unauthenticated) {
		return f, cause
	}
	trace.Note(ctx, trace.Refused, "account_changed")
	return s.startOver(ctx, d, raw, f, "session_expired")
}

func key(tx string) string { return ephemeral.Key("flow", tx) }

func digest(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

// load returns the flow of this transaction in this browser, with its bytes for
// the compare-and-swap. Another browser's flow does not exist here.
func (s *Service) load(ctx context.Context, d Demand) (Flow, []byte, error) {
	raw, err := s.Ephemeral.Get(ctx, key(d.TX))
	if fault.Is(err, fault.NotFound) {
		return Flow{}, nil, errNoFlow
	}
	if err != nil {
		return Flow{}, nil, err
	}
	var f Flow
	if err := json.Unmarshal(raw, &f); err != nil {
		return Flow{}, nil, fmt.Errorf("decode sign-in: %w", err)
	}
	if d.Browser == "" || subtle.ConstantTimeCompare([]byte(f.Browser), []byte(d.Browser)) != 1 {
		return Flow{}, nil, errNoFlow
	}
	trace.Before(ctx, f.Trace)
	trace.About(ctx, string(f.User), true) // somebody in a flow has proved a password or a card, or has the session
	return f, raw, nil
}

// save puts g in place of what was loaded. When another request of this browser
// was first, its flow stands and is returned instead.
func (s *Service) save(ctx context.Context, d Demand, raw []byte, g Flow) (Flow, error) {
	value, err := g.encode(ctx)
	if err != nil {
		return Flow{}, err
	}
	err = s.Ephemeral.Replace(ctx, key(d.TX), raw, value, flowLasts)
	if fault.Is(err, fault.Conflict) || fault.Is(err, fault.NotFound) {
		g, _, err = s.load(ctx, d)
	}
	return g, err
}
