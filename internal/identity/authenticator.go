package identity

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net/netip"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/mail"
	"github.com/portti-id/portti/internal/throttle"
	"github.com/portti-id/portti/internal/totp"
	"github.com/portti-id/portti/internal/trace"
)

const (
	// EnrolmentLasts is how long a key waits for its first right code.
	EnrolmentLasts = 15 * time.Minute
	// codeWindow is how many steps either side of the expected one are accepted (S45).
	codeWindow = 1
	// Back-off after wrong codes in a row, and the end of it (standards.md 4):
	// every fifth doubles the pause, fifty need user support.
	backOffEvery, backOffFirst, backOffMost, blockedAfter = 5, 30 * time.Second, time.Hour, 50
)

// forever is a block that only user support lifts.
var forever = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// Enrolment is a key that waits to be linked. It is shown once (S41).
type Enrolment struct {
	totp.Provision
	Expires time.Time
}

// enrolment is what waits in the ephemeral store, one per user: a restart voids
// the former key (S40).
type enrolment struct {
	Sealed  string    `json:"sealed"`
	Session string    `json:"session"`
	Expires time.Time `json:"expires"`
}

// Statement is what the person declares with the code that links (S4, S10, S42, S48).
type Statement struct {
	Kind          Method // MethodApp or MethodToken
	OwnDevice     bool   // my own device, not shared, and another than the one I log in on
	WorkPhone     bool   // for an app, where the employer does not allow personal phones
	PersonalPhone bool   // for an app, where it does
	Model, Serial string // of a token, optional
}

// BeginAuthenticator makes a key for a new authenticator. Nothing is linked
// until ConfirmAuthenticator sees a right code of it (S37).
func (d *Directory) BeginAuthenticator(ctx context.Context, self Self) (Enrolment, error) {
	p, err := d.Store.Person(ctx, self.User)
	if err != nil {
		return Enrolment{}, err
	}
	if err := mayLinkAny(p, self, d.now()); err != nil {
		return Enrolment{}, err
	}
	if err := d.Throttle.Attempt(ctx, throttle.Use{Limit: throttle.LinkingPerAccount, Subject: string(self.User)}); err != nil {
		return Enrolment{}, err
	}
	key := totp.NewKey()
	shown, err := d.Names.Provision(key, p.User.Username)
	if err != nil {
		return Enrolment{}, wrap("show key", err)
	}
	sealed, err := d.Sealer.Seal(key, "enrolment:"+string(self.User))
	if err != nil {
		return Enrolment{}, wrap("seal key", err)
	}
	waiting := enrolment{Sealed: sealed, Session: self.Session, Expires: d.now().Add(EnrolmentLasts)}
	value, err := json.Marshal(waiting)
	if err != nil {
		return Enrolment{}, err
	}
	if err := d.Ephemeral.Put(ctx, "enrolment:"+string(self.User), value, EnrolmentLasts); err != nil {
		return Enrolment{}, err
	}
	return Enrolment{Provision: shown, Expires: waiting.Expires}, nil
}

// mayLinkAny is MayBegin for whichever of app and token the employer permits.
func mayLinkAny(p Person, self Self, now time.Time) error {
	if err := MayBegin(p, self, MethodApp, now); err == nil || fault.Code(err) != "policy_denied" {
		return err
	}
	return MayBegin(p, self, MethodToken, now)
}

// ConfirmAuthenticator links the authenticator whose code this is. The code is
// spent with it (S44).
func (d *Directory) ConfirmAuthenticator(ctx context.Context, self Self, code string, s Statement) error {
	p, err := d.Store.Person(ctx, self.User)
	if err != nil {
		return err
	}
	if s.Kind != MethodApp && s.Kind != MethodToken {
		return fault.New(fault.Invalid, "kind_required", "Say whether it is an app or a token.").In("kind")
	}
	if err := mayAdd(p, self, s.Kind, d.now()); err != nil {
		return err
	}
	if err := s.check(p.Organisation); err != nil {
		return err
	}
	waiting, key, err := d.enrolment(ctx, self)
	if err != nil {
		return err
	}
	given, err := d.provedLinking(ctx, p, self)
	if err != nil {
		return err
	}
	if err := d.Throttle.Attempt(ctx, throttle.Use{Limit: throttle.CodePerAccount, Subject: "link|" + string(self.User)}); err != nil {
		return err
	}
	now := d.now()
	step, ok := totp.Match(key, code, now, 0, codeWindow)
	if !ok {
		return fault.New(fault.Invalid, "otp_wrong", "The code is incorrect or has expired. Wait for a new code and try again.").In("code")
	}
	// The key leaves the waiting room before it is linked: a restarted linking
	// has put another one there, and then this one is void.
	if err := d.Ephemeral.Replace(ctx, "enrolment:"+string(self.User), waiting, []byte("{}"), time.Second); err != nil {
		return enrolmentGone(err)
	}
	a := Authenticator{ID: AuthenticatorID(rand.Text()), User: self.User, Kind: s.Kind, Model: s.Model, Serial: s.Serial,
		OwnDevice: s.OwnDevice, PersonalPhone: s.PersonalPhone, LastStep: step, Drift: totp.NextDrift(0, step, now), Linked: now}
	if a.SealedKey, err = d.Sealer.Seal(key, a.aad()); err != nil {
		return wrap("seal key", err)
	}
	return d.change(ctx, func(tx Tx) error {
		p, err := tx.Person(self.User)
		if err != nil {
			return err
		}
		if err := mayAdd(p, self, s.Kind, now); err != nil {
			return err
		}
		if err := d.spend(tx, p, self, given); err != nil {
			return err
		}
		if err := tx.AddAuthenticator(a); err != nil {
			return err
		}
		if err := d.letter(tx, p, mail.AuthenticatorLinked); err != nil {
			return err
		}
		e := d.event(audit.AuthenticatorLinked, self.actor(), self.Address, p.User)
		e.Method, e.Session = s.Kind.String(), self.Session
		e.Details = map[string]string{"own_device": yes(s.OwnDevice), "personal_phone": yes(s.PersonalPhone)}
		return tx.Record(e)
	})
}

func (s Statement) check(o Organisation) error {
	if !s.OwnDevice {
		return fault.New(fault.Invalid, "own_device_required", "Confirm that the device is your own and not shared.").In("own_device")
	}
	if s.Kind == MethodApp && !o.PersonalPhones && !s.WorkPhone {
		return fault.New(fault.Invalid, "work_phone_required", "Your employer permits work phones only. Confirm that the app is on a work phone.").In("work_phone")
	}
	if s.PersonalPhone && (s.Kind != MethodApp || !o.PersonalPhones) {
		return fault.New(fault.Denied, "policy_denied", "Your employer does not permit personal phones.").In("personal_phone")
	}
	return first(text("model", s.Model, 100, true), text("serial", s.Serial, 100, true))
}

func (d *Directory) enrolment(ctx context.Context, self Self) (raw, key []byte, err error) {
	raw, err = d.Ephemeral.Get(ctx, "enrolment:"+string(self.User))
	if err != nil {
		return nil, nil, enrolmentGone(err)
	}
	var w enrolment
	if err := json.Unmarshal(raw, &w); err != nil {
		return nil, nil, wrap("decode enrolment", err)
	}
	if w.Sealed == "" || w.Session != self.Session || !d.now().Before(w.Expires) {
		return nil, nil, errEnrolmentGone
	}
	key, err = d.Sealer.Open(w.Sealed, "enrolment:"+string(self.User))
	return raw, key, wrap("open key", err)
}

var errEnrolmentGone = fault.New(fault.Gone, "enrolment_expired", "The key was not confirmed in time, or linking was started again. Start linking again.")

func enrolmentGone(err error) error {
	if fault.Is(err, fault.NotFound) || fault.Is(err, fault.Conflict) {
		return errEnrolmentGone
	}
	return err
}

// Purpose is what a code is given for.
type Purpose string

const (
	ForSignIn    Purpose = "signin"    // finishes a sign-in
	ForTemporary Purpose = "temporary" // before a temporary password may be changed (S57)
	ForTrial     Purpose = "trial"     // the test page (S67)
)

// Proof is a code with everything that the trail wants to know of it.
type Proof struct {
	Code    string
	Purpose Purpose
	Client  string
	From    netip.Addr
}

// VerifyCode accepts a code of the person's authenticator once, across
// requests and replicas (S44, S45), and notes the sign-in in the same
// transaction. It returns the kind of the authenticator.
//
// Faults: otp_wrong, otp_used, otp_clock_fast and otp_clock_slow (with minutes
// "n"), otp_blocked, throttled. p must come from a right password (S43).
func (d *Directory) VerifyCode(ctx context.Context, p Person, proof Proof) (Method, error) {
	a := p.Authenticator
	if a == nil {
		return 0, fault.New(fault.Denied, "totp_not_linked", "No authenticator is linked to this username.")
	}
	now := d.now()
	if now.Before(a.BlockedUntil) {
		return 0, blocked(a.BlockedUntil.Sub(now))
	}
	uses := []throttle.Use{{Limit: throttle.CodePerAccount, Subject: string(p.User.ID)}}
	if err := d.Throttle.Attempt(ctx, uses...); err != nil {
		return 0, err
	}
	key, err := d.Sealer.Open(a.SealedKey, a.aad())
	if err != nil {
		return 0, wrap("open authenticator key", err)
	}
	step, ok := totp.Match(key, proof.Code, now, a.Drift, codeWindow)
	if !ok {
		return 0, d.wrongCode(ctx, p, key, proof)
	}
	used := false
	err = d.change(ctx, func(tx Tx) error {
		fresh, err := tx.UseStep(a.ID, step, totp.NextDrift(a.Drift, step, now))
		if err != nil {
			return err
		}
		if !fresh {
			used = true
			return tx.Record(d.codeEvent(audit.SignInRefused, p, proof, "otp_used"))
		}
		t := audit.SignInSucceeded
		switch proof.Purpose {
		case ForTrial:
			t = audit.AuthenticatorTried
		case ForSignIn, ForTemporary:
			if err := tx.NoteSignIn(p.User.ID); err != nil {
				return err
			}
		}
		return tx.Record(d.codeEvent(t, p, proof, ""))
	})
	if err != nil {
		return 0, err
	}
	if used {
		return 0, fault.New(fault.Conflict, "otp_used", "This code has already been used. Wait for the next code.").In("code")
	}
	return a.Kind, d.Throttle.Clear(ctx, append(uses, throttle.Use{Limit: throttle.PasswordPerAccount, Subject: FoldUsername(p.User.Username)})...)
}

// wrongCode counts a failure, blocks when it is due, and finds out whether the
// device's clock is to blame (S46).
func (d *Directory) wrongCode(ctx context.Context, p Person, key []byte, proof Proof) error {
	now := d.now()
	err := d.change(ctx, func(tx Tx) error {
		n, err := tx.FailCode(p.Authenticator.ID)
		if err != nil {
			return err
		}
		if n%backOffEvery == 0 {
			a := *p.Authenticator
			a.BlockedUntil = now.Add(min(backOffFirst<<min(n/backOffEvery-1, 10), backOffMost))
			if n >= blockedAfter {
				a.BlockedUntil = forever
				if err := tx.Record(d.codeEvent(audit.AuthenticatorBlocked, p, proof, "too_many_wrong_codes")); err != nil {
					return err
				}
				if err := d.letter(tx, p, mail.AuthenticatorBlocked); err != nil {
					return err
				}
			}
			if err := tx.BlockCodes(a); err != nil {
				return err
			}
		}
		return tx.Record(d.codeEvent(audit.SignInRefused, p, proof, "otp_wrong"))
	})
	if err != nil {
		return err
	}
	trace.Note(ctx, trace.Refused, "otp_wrong")
	if minutes, ok := totp.ClockOffset(key, proof.Code, now); ok {
		trace.Note(ctx, trace.Refused, "otp_clock", "minutes", itoa(minutes)) // for the help desk also where the person is told no more (S46)
		if d.Throttle.Attempt(ctx, throttle.Use{Limit: throttle.ClockHints, Subject: string(p.User.ID)}) == nil {
			code, word := "otp_clock_fast", "fast"
			if minutes < 0 {
				code, word, minutes = "otp_clock_slow", "slow", -minutes
			}
			n := itoa(max(minutes, 1))
			return fault.New(fault.Invalid, code, "The clock of your device seems to be about %s minutes %s. Set its time to automatic.", n, word).In("code").With("n", n)
		}
	}
	return fault.New(fault.Invalid, "otp_wrong", "The code is incorrect or has expired. Wait for a new code and try again.").In("code")
}

// TryCode is the test page's trial (S67): it spends the code and counts like a sign-in.
func (d *Directory) TryCode(ctx context.Context, self Self, code string) (Method, error) {
	p, err := d.Store.Person(ctx, self.User)
	if err != nil {
		return 0, err
	}
	from, _ := netip.ParseAddr(self.Address)
	return d.VerifyCode(ctx, p, Proof{Code: code, Purpose: ForTrial, From: from})
}

func (a Authenticator) aad() string { return "totp:" + string(a.User) + ":" + string(a.ID) }

func (d *Directory) codeEvent(t audit.Type, p Person, proof Proof, reason string) audit.Event {
	e := d.event(t, "user:"+string(p.User.ID), proof.From.String(), p.User)
	e.Method, e.Client, e.Reason = p.Authenticator.Kind.String(), proof.Client, reason
	if proof.Purpose != ForSignIn {
		e.Details = map[string]string{"purpose": string(proof.Purpose)}
	}
	return e
}

func blocked(left time.Duration) error {
	if left > 24*time.Hour {
		return fault.New(fault.Denied, "otp_blocked", "Logging in with a code has been blocked. Contact user support.").In("code")
	}
	return throttle.Refusal(left).In("code")
}
