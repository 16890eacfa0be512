package identity

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/session"
)

// Policy is what an employer decides of its own people's sign-ins (S5, S10, S71,
// S72). What else there is of an organisation the operator decides.
type Policy struct {
	Methods            Methods       `json:"methods"`
	PersonalPhones     bool          `json:"personal_phones"`
	SharedWorkstations bool          `json:"shared_workstations"`
	SessionIdle        time.Duration `json:"session_idle"`
	SessionAbsolute    time.Duration `json:"session_absolute"`
	ITContact          string        `json:"it_contact"`
	ResponsibleContact string        `json:"responsible_contact"`
	SupportPhone       string        `json:"support_phone"`
	SupportHours       string        `json:"support_hours"`
}

// Plan is a change of policy that is to come. From its time on it counts, whether
// or not it has been carried over into the organisation (docs/adr/0122).
type Plan struct {
	Policy Policy    `json:"policy"`
	From   time.Time `json:"from"` // to the second
	Was    Methods   `json:"was"`  // what was permitted when it was made
	By     string    `json:"by"`   // the Actor's name
	Made   time.Time `json:"made"`
}

// Ahead is how far ahead a change of policy may be planned.
const Ahead = 366 * 24 * time.Hour

func (p Plan) none() bool              { return p.From.IsZero() }
func (p Plan) due(now time.Time) bool  { return !p.none() && !p.From.After(now) }
func (p Plan) Open(now time.Time) bool { return !p.none() && p.From.After(now) } // Open tells whether it is still to come

// Policy is the part of an organisation that its employer decides.
func (o Organisation) Policy() Policy {
	return Policy{o.Methods, o.PersonalPhones, o.SharedWorkstations, o.SessionIdle, o.SessionAbsolute, o.ITContact, o.ResponsibleContact, o.SupportPhone, o.SupportHours}
}

// With is the organisation under a policy.
func (o Organisation) With(p Policy) Organisation {
	o.Methods, o.PersonalPhones, o.SharedWorkstations = p.Methods, p.PersonalPhones, p.SharedWorkstations
	o.SessionIdle, o.SessionAbsolute = p.SessionIdle, p.SessionAbsolute
	o.ITContact, o.ResponsibleContact, o.SupportPhone, o.SupportHours = p.ITContact, p.ResponsibleContact, p.SupportPhone, p.SupportHours
	return o
}

// At is the organisation as it is at a time: under its plan, if that has begun.
// Stores give every organisation so.
func (o Organisation) At(now time.Time) Organisation {
	if o.Planned.due(now) {
		return o.With(o.Planned.Policy)
	}
	return o
}

// Idle is how long a session of its people lasts unused (S72).
func (o Organisation) Idle() time.Duration {
	idle := session.FullIdle
	if o.SessionIdle > 0 {
		idle = o.SessionIdle
	}
	if o.SharedWorkstations {
		idle = min(idle, session.SharedIdle)
	}
	return idle
}

// Absolute is how long a full session of its people lasts at most (S72).
func (o Organisation) Absolute() time.Duration {
	if o.SessionAbsolute > 0 {
		return o.SessionAbsolute
	}
	return session.FullAbsolute
}

// Limits are those of its people's sessions of a level (S19, S72). Unused enrol
// sessions last as long as used ones, unless whoever sits down next could link a
// phone of his own in one.
func (o Organisation) Limits(level session.Level) session.Limits {
	l := session.Limits{Idle: o.Idle(), Absolute: o.Absolute()}
	if level == session.Enrol {
		l.Absolute = session.EnrolAbsolute
		if l.Idle >= session.FullIdle {
			l.Idle = 0
		}
	}
	return l
}

func (p Policy) trimmed() Policy {
	for _, s := range []*string{&p.ITContact, &p.ResponsibleContact, &p.SupportPhone, &p.SupportHours} {
		*s = strings.TrimSpace(*s)
	}
	return p
}

var supportPhone = regexp.MustCompile(`^[+0-9][0-9 ()-]{1,29}$`)

func (p Policy) check() error {
	if p.Methods == 0 || p.Methods&^MethodsOf(AllMethods...) != 0 {
		return fault.New(fault.Invalid, "methods_empty", "methods: permit at least one of card, app, token.").In("methods")
	}
	if p.SupportPhone != "" && !supportPhone.MatchString(p.SupportPhone) {
		return fault.New(fault.Invalid, "support_phone_invalid", "support-phone: %q is not a phone number.", p.SupportPhone).In("support-phone")
	}
	if p.SupportHours != "" && p.SupportPhone == "" {
		return fault.New(fault.Invalid, "support_phone_required", "support-phone: give the phone that has these hours.").In("support-phone")
	}
	return first(
		sessionLimit("session-idle", p.SessionIdle, session.LeastIdle, session.FullIdle),
		sessionLimit("session-absolute", p.SessionAbsolute, session.LeastAbsolute, session.FullAbsolute),
		text("it-contact", p.ITContact, 300, true), text("responsible-contact", p.ResponsibleContact, 300, true), text("support-hours", p.SupportHours, 100, true))
}

// sessionLimit is what a limit of sessions must be: whole minutes between two, or none.
func sessionLimit(field string, d, least, most time.Duration) error {
	if d == 0 || d >= least && d <= most && d%time.Minute == 0 {
		return nil
	}
	return fault.New(fault.Invalid, "session_limit_invalid", "%s: give whole minutes from %d to %d, or 0 for the usual limit.", field, int(least.Minutes()), int(most.Minutes())).
		In(field).With("least", itoa(int(least.Minutes()))).With("most", itoa(int(most.Minutes())))
}

// differs names what two policies have not in common.
func (p Policy) differs(q Policy) []string {
	var names []string
	for _, part := range []struct {
		name string
		same bool
	}{
		{"methods", p.Methods == q.Methods}, {"personal_phones", p.PersonalPhones == q.PersonalPhones}, {"shared_workstations", p.SharedWorkstations == q.SharedWorkstations},
		{"session_idle", p.SessionIdle == q.SessionIdle}, {"session_absolute", p.SessionAbsolute == q.SessionAbsolute},
		{"it_contact", p.ITContact == q.ITContact}, {"responsible_contact", p.ResponsibleContact == q.ResponsibleContact},
		{"support_phone", p.SupportPhone == q.SupportPhone}, {"support_hours", p.SupportHours == q.SupportHours},
	} {
		if !part.same {
			names = append(names, part.name)
		}
	}
	return names
}

var (
	errPlanned    = fault.New(fault.Conflict, "policy_planned", "A change of this organisation's policy is planned. Withdraw it first.")
	errNotPlanned = fault.New(fault.NotFound, "policy_not_planned", "No change of this organisation's policy is planned, or it is in effect already.")
	errMeanwhile  = fault.New(fault.Conflict, "changed_meanwhile", "Somebody else changed this meanwhile. Look at it again.")
)

// PlanPolicy changes what an employer decides: at once when from is zero or past,
// otherwise from that time on. seen is the version of the organisation that whoever
// decides has looked at. One change may be planned at a time (policy_planned).
// Those who will have no way in hear of it by letter (S8). It returns the
// organisation as it is then; nothing happens when the policy is so already.
func (d *Directory) PlanPolicy(ctx context.Context, by Actor, id OrganisationID, seen int64, p Policy, from time.Time) (Organisation, error) {
	if err := by.In(PolicyChange, id); err != nil {
		return Organisation{}, err
	}
	now := d.now()
	p, from = p.trimmed(), from.UTC().Truncate(time.Second)
	if err := p.check(); err != nil {
		return Organisation{}, err
	}
	if from.After(now.Add(Ahead)) {
		return Organisation{}, fault.New(fault.Invalid, "effective_too_late", "from: a change can be planned a year ahead at most.").In("from")
	}
	var after Organisation
	err := d.change(ctx, func(tx Tx) error {
		o, err := tx.Organisation(id)
		if err != nil {
			return err
		}
		if o.Version != seen {
			return errMeanwhile
		}
		if o, err = d.settle(tx, o); err != nil {
			return err
		}
		before := o
		if after = o; o.Policy() == p && o.Planned.none() {
			return nil
		}
		if !o.Planned.none() {
			return errPlanned
		}
		what := audit.PolicyChanged
		if from.After(now) {
			o.Planned, what = Plan{Policy: p, From: from, Was: o.Methods, By: by.Name, Made: now.Truncate(time.Second)}, audit.PolicyPlanned
		} else {
			o, from = o.With(p), now
		}
		if err := tx.SaveOrganisation(o); err != nil {
			return err
		}
		after = o
		after.Version++
		if err := d.tell(tx, id, before.Methods, p.Methods, from); err != nil {
			return err
		}
		return tx.Record(d.policyEvent(what, by, id, before.Policy(), p, from))
	})
	return after, err
}

// WithdrawPlan forgets a planned change. Whoever was told of it by letter is owed
// another one, from this very transaction on. It is policy_not_planned when there is
// none, or when it has begun: what is in effect is changed like any policy.
func (d *Directory) WithdrawPlan(ctx context.Context, by Actor, id OrganisationID) (Organisation, error) {
	if err := by.In(PolicyChange, id); err != nil {
		return Organisation{}, err
	}
	var after Organisation
	err := d.change(ctx, func(tx Tx) error {
		o, err := tx.Organisation(id)
		if err != nil {
			return err
		}
		plan := o.Planned
		if !plan.Open(d.now()) {
			return errNotPlanned
		}
		o.Planned = Plan{}
		if err := tx.SaveOrganisation(o); err != nil {
			return err
		}
		after = o
		after.Version++
		// First the notice: a batch of letters that is being written holds it, and those
		// whom it tells are owed a letter as well.
		if err := tx.DropPolicyNotices(id, plan.From); err != nil {
			return err
		}
		if err := tx.WithdrawPolicyTold(id, plan.From, d.now()); err != nil {
			return err
		}
		return tx.Record(d.policyEvent(audit.PolicyWithdrawn, by, id, o.Policy(), plan.Policy, plan.From))
	})
	return after, err
}

// plansAtOnce bounds one look; the rest are due at the next.
const plansAtOnce = 100

// CarryOutPlans makes planned changes that have begun part of their organisations,
// and returns of how many it did. Any number of replicas may do so at once: each
// plan is carried over once, with its event. One that fails keeps no other from it.
func (d *Directory) CarryOutPlans(ctx context.Context) (int, error) {
	ids, err := d.Store.DuePlans(ctx, d.now(), plansAtOnce)
	if err != nil {
		return 0, err
	}
	done := 0
	var failed error
	for _, id := range ids {
		carried := false
		err := d.change(ctx, func(tx Tx) error {
			o, err := tx.Organisation(id)
			if err != nil {
				return err
			}
			carried = o.Planned.due(d.now()) // or another replica was first
			_, err = d.settle(tx, o)
			return err
		})
		switch {
		case fault.Is(err, fault.Unavailable):
			return done, err
		case err != nil && failed == nil:
			failed = fmt.Errorf("organisation %s: %w", id, err)
		case err == nil && carried:
			done++
		}
	}
	return done, failed
}

// settle carries a plan that has begun over, before anything else changes.
func (d *Directory) settle(tx Tx, o Organisation) (Organisation, error) {
	plan := o.Planned
	if !plan.due(d.now()) {
		return o, nil
	}
	o = o.With(plan.Policy)
	o.Planned = Plan{}
	if err := tx.SaveOrganisation(o); err != nil {
		return o, err
	}
	o.Version++
	// Who was told when it was planned and has done nothing hears of it once more, in one letter.
	if err := tx.DropPolicyNotices(o.ID, plan.From); err != nil {
		return o, err
	}
	if err := tx.DropPolicyTold(o.ID, plan.From); err != nil {
		return o, err
	}
	if err := d.tell(tx, o.ID, plan.Was, o.Methods, plan.From); err != nil {
		return o, err
	}
	e := audit.Event{At: d.now(), Type: audit.PolicyChanged, Actor: System.Name, Organisation: string(o.ID),
		Details: map[string]string{"methods_before": plan.Was.String(), "methods": o.Methods.String(), "from": plan.From.Format(time.RFC3339), "planned_by": plan.By}}
	return o, tx.Record(e)
}

func (d *Directory) policyEvent(t audit.Type, by Actor, id OrganisationID, before, after Policy, from time.Time) audit.Event {
	return audit.Event{At: d.now(), Type: t, Actor: by.Name, Organisation: string(id), Address: by.Address, Details: map[string]string{
		"methods_before": before.Methods.String(), "methods": after.Methods.String(), "from": from.UTC().Truncate(time.Second).Format(time.RFC3339),
		"changes": strings.Join(before.differs(after), " ")}}
}
