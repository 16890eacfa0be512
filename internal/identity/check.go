package identity

import (
	"context"
	"crypto/rand"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/throttle"
)

// CheckLasts is how long the help desk may act on a check: one call.
const CheckLasts = 30 * time.Minute

// CheckMethod is how a caller was recognised. Questions that a person is to know
// the answer of are none of them (NIST SP 800-63B-4 §3.1.1, ASVS 6.4.2): whoever
// knows the person, or has read about her, knows the answers too.
type CheckMethod string

const (
	CalledBack        CheckMethod = "called_back"        // on the number that was registered before the call
	EmployerConfirmed CheckMethod = "employer_confirmed" // the employer's representative knows that it is the person
	DocumentShown     CheckMethod = "document_shown"     // an identity document, face to face
	VideoIdentified   CheckMethod = "video_identified"   // the same on video, by the installation's own procedure
)

// CheckMethods is every method, in the order in which they are shown.
var CheckMethods = []CheckMethod{CalledBack, EmployerConfirmed, DocumentShown, VideoIdentified}

// Check is a record of how somebody of the help desk has recognised a person
// (S64). Acts on that person, by that member of the help desk alone, stand on it
// until it expires.
type Check struct {
	ID      CheckID
	User    UserID // who was recognised
	By      string // Actor.Name of who did it
	Method  CheckMethod
	Ticket  string // of the call
	Note    string // what else there is to say of it; "" for nothing
	At      time.Time
	Expires time.Time
}

var (
	errNoCheck      = fault.New(fault.Denied, "identity_check_required", "Record first how you have recognised the person.").In("check")
	errNoNumber     = fault.New(fault.Denied, "check_no_number", "No phone number is registered, or it is new. Recognise the person in another way.").In("method")
	errCheckInvalid = fault.New(fault.Denied, "identity_check_invalid", "The identity check is of another person or by somebody else, or it is more than 30 minutes old. Record a new one.").In("check")
)

// RecordCheck keeps how a person was recognised. Nothing is done to the person yet.
// Calling back takes a number that has been there for a while (Person.NewContact):
// otherwise it may be the caller's own. Faults: check_method_unknown,
// check_no_number, required, too_long, too_many_acts, and those of Actor.On.
func (d *Directory) RecordCheck(ctx context.Context, by Actor, id UserID, method CheckMethod, ticket, note string) (Check, error) {
	ticket, note = strings.TrimSpace(ticket), strings.TrimSpace(note) // what is looked at is what is kept
	if err := first(by.May(IdentityCheck), method.check(), text("ticket", ticket, 100, by.Operator), text("note", note, 500, true)); err != nil {
		return Check{}, err
	}
	if err := d.ration(ctx, by, IdentityCheck, id); err != nil {
		return Check{}, err
	}
	now := d.now()
	c := Check{ID: CheckID(rand.Text()), User: id, By: by.Name, Method: method, Ticket: ticket, Note: note, At: now, Expires: now.Add(CheckLasts)}
	return c, d.change(ctx, func(tx Tx) error {
		p, err := tx.Person(id)
		if err != nil {
			return err
		}
		if err := by.On(IdentityCheck, p.User); err != nil {
			return err
		}
		if method == CalledBack && !p.HasNumber(now) {
			return errNoNumber
		}
		if err := tx.AddCheck(c); err != nil {
			return err
		}
		e := d.event(audit.IdentityChecked, by.Name, by.Address, p.User)
		e.Details = c.details()
		return tx.Record(e)
	})
}

// HasNumber tells whether the person can be called back: there is a number, and it
// has not changed just now (S55).
func (p Person) HasNumber(now time.Time) bool {
	return p.User.Claims.Phone != "" && !p.NewContact(now)
}

func (m CheckMethod) check() error {
	for _, known := range CheckMethods {
		if m == known {
			return nil
		}
	}
	return fault.New(fault.Invalid, "check_method_unknown", "method: %q is not one of %s.", string(m), CheckMethods).In("method")
}

// details is what the trail keeps of a check.
func (c Check) details() map[string]string {
	return map[string]string{"check": string(c.ID), "check_method": string(c.Method), "ticket": c.Ticket}
}

// holds tells whether acts of an actor on a person may stand on the check.
func (c Check) holds(by Actor, id UserID, now time.Time) bool {
	return c.By == by.Name && c.User == id && now.Before(c.Expires)
}

// OwnCheck is a check that the actor has recorded of the person and that still
// holds; identity_check_invalid for every other.
func (d *Directory) OwnCheck(ctx context.Context, by Actor, id UserID, check CheckID) (Check, error) {
	if err := by.May(IdentityCheck); err != nil {
		return Check{}, err
	}
	p, err := d.Store.Account(ctx, id)
	if err != nil {
		return Check{}, err
	}
	if err := by.On(IdentityCheck, p.User); err != nil {
		return Check{}, err
	}
	c, err := d.Store.Check(ctx, check)
	if fault.Is(err, fault.NotFound) || err == nil && !c.holds(by, id, d.now()) {
		return Check{}, errCheckInvalid
	}
	return c, err
}

// grounded refuses an act of the help desk that does not stand on an identity check
// (S64), and gives what the trail keeps of why it was done. Whoever runs porttictl
// needs none: there the people who may are few, and known to the machine.
//
// Where the organisation wants a second person for it, her confirmation is spent.
func (d *Directory) grounded(tx Tx, by Actor, r Right, p Person, why Why) (map[string]string, error) {
	if why.Check == "" {
		if !by.Operator {
			return nil, errNoCheck
		}
		if strings.TrimSpace(why.Ticket) == "" {
			return nil, nil
		}
		return map[string]string{"ticket": strings.TrimSpace(why.Ticket)}, nil
	}
	c, err := d.holding(tx, by, p.User.ID, why.Check)
	if err != nil {
		return nil, err
	}
	kept := c.details()
	kept["ticket"] = strings.TrimSpace(why.Ticket)
	if by.Operator || !p.Organisation.SecondPerson || !slices.Contains(seconded, r) {
		return kept, nil
	}
	second, err := d.second(tx, r, p, c.ID, why.Reason)
	kept["confirmed_by"] = second.Name
	return kept, err
}

// holding finds a check on which acts of an actor on a person may stand.
func (d *Directory) holding(tx Tx, by Actor, id UserID, check CheckID) (Check, error) {
	c, err := tx.Check(check)
	if fault.Is(err, fault.NotFound) || err == nil && !c.holds(by, id, d.now()) {
		return Check{}, errCheckInvalid
	}
	return c, err
}

// and adds to what the trail keeps.
func and(details map[string]string, pairs ...string) map[string]string {
	more := maps.Clone(details)
	if more == nil {
		more = map[string]string{}
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		more[pairs[i]] = pairs[i+1]
	}
	return more
}

// ration counts an act of the help desk against its limits, whatever comes of it.
// The fault is too_many_acts, with the minutes to wait.
func (d *Directory) ration(ctx context.Context, by Actor, r Right, id UserID) error {
	if by.Operator {
		return nil
	}
	err := d.Throttle.Attempt(ctx, throttle.Use{Limit: throttle.DeskActPerActor, Subject: string(r) + "|" + by.Name},
		throttle.Use{Limit: throttle.DeskActPerPerson, Subject: string(r) + "|" + string(id)})
	f, ok := fault.Of(err)
	if !ok || f.Kind != fault.Throttled {
		return err
	}
	return fault.New(fault.Throttled, "too_many_acts", "This has been done too often within an hour. Try again in %s minutes.", f.Args["n"]).With("n", f.Args["n"]).After(f.RetryAfter)
}
