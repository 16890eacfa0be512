package identity

import (
	"context"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/mail"
	"github.com/portti-id/portti/internal/password"
	"github.com/portti-id/portti/internal/throttle"
)

// A code of user support closes the window that S61 names: while somebody has no
// link, a password alone links the first one, and after the removal of an
// authenticator that would be whoever has the password.
//
//	RemoveAuthenticator ─▶ linking is closed (User.LinkingClosed)
//	EnableUser          ─▶ so it is, where the account was in use
//	IssueLinkingCode    ─▶ a code, for a day at most
//	link: password + code ─▶ the code is spent and linking open, with the link
//
// Whoever signs in by another link, a card, needs no code.

// LinkingCodeShortest and LinkingCodeLongest bound the life of a linking code (S61).
const (
	LinkingCodeShortest = 10 * time.Minute
	LinkingCodeLongest  = 24 * time.Hour
)

// LinkingCode is one that was issued; a person has one at most.
type LinkingCode struct {
	User    UserID
	Hash    string // PHC string, Argon2id
	By      string
	Issued  time.Time
	Expires time.Time
}

var (
	errCodeNeeded = fault.New(fault.Denied, "linking_code_required", "Linking needs a code that user support gives you.").In("linking_code")
	errCodeWrong  = fault.New(fault.Invalid, "linking_code_wrong", "The linking code is incorrect, has expired or was used. User support gives you another.").In("linking_code")
)

// IssueLinkingCode gives the person a code that opens linking once, in place of one
// that was issued before. It is returned this once, to be read out: the letter tells
// of it and does not carry it.
func (d *Directory) IssueLinkingCode(ctx context.Context, by Actor, id UserID, lasts time.Duration, why Why) (string, LinkingCode, error) {
	if err := by.May(LinkingCodeIssue); err != nil {
		return "", LinkingCode{}, err
	}
	if lasts < LinkingCodeShortest || lasts > LinkingCodeLongest {
		return "", LinkingCode{}, fault.New(fault.Invalid, "linking_code_life", "A linking code lives from ten minutes to 24 hours.").In("minutes")
	}
	code := password.LinkingCode()
	hash, err := d.Hasher.Hash(ctx, code)
	if err != nil {
		return "", LinkingCode{}, err
	}
	now := d.now()
	issued := LinkingCode{User: id, Hash: hash, By: by.Name, Issued: now, Expires: now.Add(lasts)}
	err = d.act(ctx, by, LinkingCodeIssue, id, why, func(tx Tx, p Person, details map[string]string) error {
		switch {
		case !p.Enabled():
			return errDisabled
		case p.User.LinkingClosed.IsZero() || p.Authenticator != nil:
			return fault.New(fault.Conflict, "linking_code_needless", "Linking asks for a code only after user support has removed an authenticator, or the account was closed and opened again.")
		}
		if err := tx.SetLinkingCode(issued); err != nil {
			return err
		}
		if err := d.letter(tx, p, mail.LinkingCodeIssued); err != nil {
			return err
		}
		return d.acted(tx, audit.LinkingCodeIssued, by, p, why, and(details, "minutes", itoa(int64(lasts/time.Minute))))
	})
	if err != nil {
		return "", LinkingCode{}, err
	}
	issued.Hash = ""
	return code, issued, d.forgive(ctx, throttle.Use{Limit: throttle.LinkingCodePerAccount, Subject: string(id)})
}

// provedLinking finds the linking code that the person has typed, where one is
// needed: zero where none is. It is spent later, with the link (spend). Tries are
// counted before the hash; a right one is forgotten.
func (d *Directory) provedLinking(ctx context.Context, p Person, self Self) (LinkingCode, error) {
	if !needsCode(p, self) {
		return LinkingCode{}, nil
	}
	if self.LinkingCode == "" {
		return LinkingCode{}, errCodeNeeded
	}
	use := throttle.Use{Limit: throttle.LinkingCodePerAccount, Subject: string(self.User)}
	if err := d.Throttle.Attempt(ctx, use); err != nil {
		if f, ok := fault.Of(err); ok && f.Kind == fault.Throttled {
			return LinkingCode{}, f.In("linking_code")
		}
		return LinkingCode{}, err
	}
	code, err := d.Store.LinkingCode(ctx, self.User)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return LinkingCode{}, err
	}
	ok, _, err := d.Hasher.Verify(ctx, code.Hash, password.AsLinkingCode(self.LinkingCode)) // none: as much work, and never right
	switch {
	case err != nil:
		return LinkingCode{}, err
	case !ok || !d.now().Before(code.Expires):
		return LinkingCode{}, d.codeRefused(ctx, p, self)
	}
	return code, d.Throttle.Clear(ctx, use)
}

// linkingGiven is provedLinking for who may link at all by now; whoever may not is
// told so by the transaction that links.
func (d *Directory) linkingGiven(ctx context.Context, self Self) (LinkingCode, error) {
	p, err := d.Store.Person(ctx, self.User)
	if err != nil || mayAdd(p, self, MethodCard, d.now()) != nil {
		return LinkingCode{}, err
	}
	return d.provedLinking(ctx, p, self)
}

func (d *Directory) codeRefused(ctx context.Context, p Person, self Self) error {
	e := d.event(audit.LinkingCodeRefused, self.actor(), self.Address, p.User)
	e.Session = self.Session
	if err := d.Audit.Record(ctx, e); err != nil {
		return err
	}
	return errCodeWrong
}

// spend ends a linking code in the transaction that adds the link, and opens
// linking again. Of any number who link with one code, one gets past it.
func (d *Directory) spend(tx Tx, p Person, self Self, code LinkingCode) error {
	if err := d.spendAsking(tx, p, self, code); err != nil {
		return err
	}
	return d.opened(tx, p)
}

// spendAsking is spend for a card that has to wait: linking stays closed until it is
// linked.
func (d *Directory) spendAsking(tx Tx, p Person, self Self, code LinkingCode) error {
	switch {
	case !needsCode(p, self):
		return nil
	case code.Hash == "": // it was not needed a moment ago
		return errCodeNeeded
	}
	spent, err := tx.TakeLinkingCode(self.User, code.Hash)
	if err == nil && !spent {
		return errCodeWrong
	}
	return err
}

// opened ends the need of a code: there is a link, and what comes next asks for it.
func (d *Directory) opened(tx Tx, p Person) error {
	if p.User.LinkingClosed.IsZero() {
		return nil
	}
	if _, err := tx.TakeLinkingCode(p.User.ID, ""); err != nil {
		return err
	}
	return tx.CloseLinking(p.User.ID, time.Time{})
}

// needsCode tells whether linking asks for a code of user support (S61): a password
// is all that was proved, and since anything was linked user support has removed an
// authenticator, or the account was closed and opened again.
func needsCode(p Person, self Self) bool {
	return self.Proved == 0 && !p.User.LinkingClosed.IsZero()
}
