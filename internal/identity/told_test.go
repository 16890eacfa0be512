package identity_test

import (
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/mail"
)

// Every security change is told to the person (S59): what the trail can say of
// somebody's account, and the letter that goes with it, or why none does. A type that
// is not here fails the test: say what the person is to hear.
//
// Nobody reads what comes every day. What people do themselves and see the end of
// makes no letter, unless it goes on without them: a link, a consent, a device.
var telling = []struct {
	event  audit.Type
	letter mail.Template                                               // in the event's own transaction; "": none
	none   string                                                      // why none
	proved string                                                      // for letter: file and name of the test, where the Directory is not what does it
	owed   bool                                                        // the transaction leaves a debt, and letters follow a batch at a time: it touches many
	do     func(h *house, org identity.OrganisationID) identity.UserID // does it, to a new person of org
}{
	{event: audit.UserCreated, letter: mail.Welcome, do: func(h *house, org identity.OrganisationID) identity.UserID {
		return h.somebody(org, "created", false)
	}},
	{event: audit.UserChanged, letter: mail.NameChanged, do: func(h *house, org identity.OrganisationID) identity.UserID {
		id := h.somebody(org, "renamed", true)
		h.changed(id, func(u *identity.User) { u.FamilyName = "Virtanen" })
		return id
	}},
	{event: audit.UserChanged, letter: mail.ContactChanged, do: func(h *house, org identity.OrganisationID) identity.UserID {
		id := h.somebody(org, "moved", true)
		h.changed(id, func(u *identity.User) { u.Claims.Phone = "+358401234567" })
		return id
	}},
	{event: audit.UserDisabled, letter: mail.AccountDisabled, do: disabled},
	{event: audit.UserEnabled, letter: mail.AccountEnabled, do: func(h *house, org identity.OrganisationID) identity.UserID {
		id := disabled(h, org)
		_, err := h.EnableUser(h.t.Context(), operator, id, lost)
		h.must(err)
		return id
	}},
	{event: audit.UserRolesChanged, letter: mail.RolesChanged, do: promoted},
	{event: audit.UserRolesChanged, letter: mail.AccountDisabled, do: func(h *house, org identity.OrganisationID) identity.UserID {
		id := promoted(h, org)
		h.must(h.DisableUser(h.t.Context(), operator, id, lost))
		return id
	}},

	{event: audit.PasswordFirstIssued, letter: mail.Welcome, do: func(h *house, org identity.OrganisationID) identity.UserID {
		id := h.somebody(org, "unused", false)
		_, err := h.FirstPassword(h.t.Context(), operator, id)
		h.must(err)
		return id
	}},
	{event: audit.PasswordOrdered, letter: mail.PasswordOrdered, do: ordered},
	{event: audit.CardLinkRemoved, letter: mail.PasswordOrdered, do: func(h *house, org identity.OrganisationID) identity.UserID {
		id := withCardOf(h, org)
		_, err := h.Order(h.t.Context(), operator, id, lost)
		h.must(err)
		return id
	}},
	{event: audit.PasswordChanged, letter: mail.PasswordChanged, do: func(h *house, org identity.OrganisationID) identity.UserID {
		return h.somebody(org, "changed", true)
	}},
	{event: audit.PasswordAsked, letter: mail.PasswordAsked, do: func(h *house, org identity.OrganisationID) identity.UserID {
		id := h.somebody(org, "asked", true)
		h.must(h.Ask(h.t.Context(), h.person(id).User.Username, here))
		h.decide()
		return id
	}},
	{event: audit.PasswordAskCancelled, none: "nothing of the account has changed, and whoever cancels has just read the letter on the ask"},
	{event: audit.AccountFrozen, letter: mail.AccountFrozen, do: frozen},
	{event: audit.AccountUnfrozen, letter: mail.AccountUnfrozen, do: func(h *house, org identity.OrganisationID) identity.UserID {
		id := frozen(h, org)
		h.must(h.Unfreeze(h.t.Context(), operator, id, lost))
		return id
	}},

	{event: audit.AuthenticatorLinked, letter: mail.AuthenticatorLinked, do: withAppOf},
	{event: audit.AuthenticatorRemoved, letter: mail.AuthenticatorRemoved, do: removed},
	{event: audit.AuthenticatorTried, none: "a trial changes nothing"},
	{event: audit.AuthenticatorBlocked, letter: mail.AuthenticatorBlocked, do: func(h *house, org identity.OrganisationID) identity.UserID {
		id := withAppOf(h, org)
		for range 50 {
			_, _ = h.VerifyCode(h.t.Context(), h.person(id), identity.Proof{Code: "000000", Purpose: identity.ForSignIn, From: here})
			h.add(2 * time.Hour)
		}
		return id
	}},
	{event: audit.AuthenticatorUnlocked, letter: mail.AuthenticatorUnlocked, do: func(h *house, org identity.OrganisationID) identity.UserID {
		id := withAppOf(h, org)
		h.must(h.Unlock(h.t.Context(), operator, id, lost))
		return id
	}},
	{event: audit.PasswordUnlocked, letter: mail.PasswordUnlocked, do: func(h *house, org identity.OrganisationID) identity.UserID {
		id := h.somebody(org, "unlocked", true)
		h.must(h.Unlock(h.t.Context(), operator, id, lost))
		return id
	}},
	{event: audit.AuthenticatorResynced, letter: mail.AuthenticatorResynced, do: func(h *house, org identity.OrganisationID) identity.UserID {
		id := h.somebody(org, "resynced", true)
		key := h.withApp(id)
		_, err := h.ResyncAuthenticator(h.t.Context(), operator, id, h.code(key, -1), h.code(key, 0), lost)
		h.must(err)
		return id
	}},

	{event: audit.CardLinked, letter: mail.CardLinked, do: withCardOf},
	{event: audit.CardApprovalAsked, letter: mail.CardWaits, do: nearly},
	{event: audit.CardApprovalRefused, letter: mail.CardNotApproved, do: func(h *house, org identity.OrganisationID) identity.UserID {
		id := nearly(h, org)
		for _, a := range h.asked() {
			if a.Card.User == id {
				h.must(h.RefuseCard(h.t.Context(), operator, a.Card.ID, "somebody else's"))
			}
		}
		return id
	}},
	{event: audit.CardRefused, none: "nothing has changed, and whoever holds the card sees it on the page; a letter for each wrong card would be noise"},
	{event: audit.CardRevoked, letter: mail.CardRevoked, do: noted(card.WasRevoked)},
	{event: audit.CardSuspended, letter: mail.CardSuspended, do: noted(card.OnHold)},
	{event: audit.CardUntrusted, letter: mail.CardUntrusted, do: noted(card.Untrusted)},
	{event: audit.CardReinstated, letter: mail.CardReinstated, do: noted(card.OnHold, card.NotRevoked)},
	{event: audit.CardReinstated, letter: mail.CardReinstated, do: noted(card.Untrusted, card.NotRevoked)},
	{event: audit.CardIssuerForgotten, none: "of a CA, of nobody's card"},

	{event: audit.IdentityChecked, none: "it changes nothing; every act that stands on it has a letter"},
	{event: audit.SecondAsked, none: "it changes nothing yet; the act that waits has a letter when it is done"},
	{event: audit.SecondConfirmed, none: "the same"},
	{event: audit.SecondRefused, none: "nothing has changed and nothing will; the caller hears of it on the phone"},
	{event: audit.SecondWithdrawn, none: "the same"},
	{event: audit.LinkingCodeIssued, letter: mail.LinkingCodeIssued, do: func(h *house, org identity.OrganisationID) identity.UserID {
		id := removed(h, org)
		_, _, err := h.IssueLinkingCode(h.t.Context(), operator, id, time.Hour, lost)
		h.must(err)
		return id
	}},
	{event: audit.LinkingCodeRefused, none: "nothing has changed: mostly a slip of the pen, few tries are left to anybody else, and each new code has a letter"},
	{event: audit.SessionsEnded, letter: mail.SessionsEnded, do: func(h *house, org identity.OrganisationID) identity.UserID {
		id := h.somebody(org, "out", true)
		h.must(h.EndSessions(h.t.Context(), operator, id, lost))
		return id
	}},

	{event: audit.PolicyChanged, letter: mail.PolicyTightened, owed: true, do: func(h *house, org identity.OrganisationID) identity.UserID {
		id := withAppOf(h, org)
		_, err := h.plan(org, time.Time{}, permit(identity.MethodCard))
		h.must(err)
		return id
	}},
	{event: audit.PolicyPlanned, letter: mail.PolicyTightened, owed: true, do: planned},
	{event: audit.PolicyWithdrawn, letter: mail.PolicyWithdrawn, owed: true, do: func(h *house, org identity.OrganisationID) identity.UserID {
		id := planned(h, org)
		h.tellPolicies()
		_, err := h.WithdrawPlan(h.t.Context(), operator, org)
		h.must(err)
		return id
	}},
	{event: audit.OrganisationChanged, letter: mail.PolicyTightened, owed: true, do: func(h *house, org identity.OrganisationID) identity.UserID {
		id := withAppOf(h, org)
		_, err := h.ChangeOrganisation(h.t.Context(), operator, org, func(o *identity.Organisation) { o.Methods = identity.Methods(identity.MethodCard) })
		h.must(err)
		return id
	}},
	{event: audit.OrganisationCreated, none: "it has no people yet"},
	{event: audit.OrganisationDisabled, none: "of an employer as a whole, who tells its own people; no account is changed, and pages say it"},
	{event: audit.OrganisationEnabled, none: "every account is as it was before it was closed"},

	{event: audit.SignInSucceeded, none: "several a day: User Services list them, with place and method"},
	{event: audit.SignInRefused, none: "nothing has changed; what comes of many is authenticator.blocked, which has a letter"},
	{event: audit.EnrolStarted, none: "the password of somebody without a link opens nothing but linking, and that has a letter"},
	{event: audit.SignedOut, none: "it takes nothing away but what the next sign-in gives"},
	{event: audit.ConsentGiven, letter: mail.ConsentGiven, proved: "../openid/told_test.go TestAConsentIsToldByLetter"}, // it goes on without the person, and people are talked into it
	{event: audit.ConsentRevoked, none: "the person's own act, which only takes away"},
	{event: audit.DeviceAllowed, letter: mail.DeviceAllowed, proved: "../openid/told_test.go TestADeviceIsToldByLetter"}, // a code from somebody else is how devices are stolen into; no page of the person shows it later
	{event: audit.DeviceDenied, none: "nothing was let in"},
	{event: audit.CodeReplayed, none: "the tokens have ended by themselves; mostly a service that has lost an answer, and nothing that the person could do"},
	{event: audit.RefreshReused, none: "as token.code_replayed"},

	{event: audit.ClientCreated, none: "of a service"},
	{event: audit.ClientChanged, none: "of a service: what it gets of people they are asked for again"},
	{event: audit.ClientDisabled, none: "of a service"},
	{event: audit.ClientEnabled, none: "of a service"},
	{event: audit.RegisterTokenMade, none: "of a service"},
	{event: audit.RegisterTokenRevoked, none: "of a service"},
	{event: audit.CRLImported, none: "of a list; what it says of a linked card has a letter"},
	{event: audit.CRLFetched, none: "of a list"},
	{event: audit.CRLForgotten, none: "of a list"},
	{event: audit.KeyCreated, none: "of the installation"},
	{event: audit.KeyMoved, none: "of the installation"},
	{event: audit.KeysResealed, none: "of the installation"},
	{event: audit.LetterRetried, none: "the letter itself comes"},
	{event: audit.LetterDiscarded, none: "it could not be delivered, and another would not be"},
	{event: audit.TrailExported, none: "of many people, read by those who may"},
	{event: audit.TrailRemoved, none: "of the installation"},
	{event: audit.TrailLost, none: "of the installation"},
	{event: audit.PeopleExported, none: "of many people, read by those who may"},
	{event: audit.ImportBegun, none: "of many people: each has an event and a letter of its own"},
	{event: audit.ImportStopped, none: "as import.begun"},
	{event: audit.ImportFinished, none: "as import.begun"},
	{event: audit.TraceSeen, none: "nothing has changed; it is read by those who may, and on the trail"},
}

func TestEverySecurityChangeIsTold(t *testing.T) {
	known := map[audit.Type]bool{}
	tells := map[audit.Type][]mail.Template{}
	for _, row := range telling {
		known[row.event] = true
		if (row.letter == "") == (row.none == "") {
			t.Errorf("%s: say either which letter or why none", row.event)
		}
		if row.letter != "" {
			tells[row.event] = append(tells[row.event], row.letter)
			if (row.do == nil) == (row.proved == "") {
				t.Errorf("%s: say how it is proved that there is a letter", row.event)
			}
		}
		if file, name, ok := strings.Cut(row.proved, " "); ok {
			if source, err := os.ReadFile(file); err != nil || !strings.Contains(string(source), "\nfunc "+name+"(t *testing.T)") {
				t.Errorf("%s: there is no %s (%v)", row.event, row.proved, err)
			}
		}
	}
	for _, event := range eventTypes(t) {
		if !known[event] {
			t.Errorf("%s is an event of the trail: put it into the table above, with the letter that tells the person of it, or with why none does", event)
		}
	}
	timely(t, func(h *house) {
		h.Links = "https://portti.example.test/order/link/"
		w := &witness{Store: h.db}
		h.Store = w
		for i, row := range telling {
			if row.do == nil {
				continue
			}
			org := h.organisation(fmt.Sprintf("org-%d", i), identity.AllMethods...)
			h.post()
			w.done = nil
			id := row.do(h, org)
			p := h.person(id)
			told := slices.ContainsFunc(w.done, func(d deed) bool {
				if row.owed {
					return d.owed && slices.ContainsFunc(d.events, func(e audit.Event) bool { return e.Type == row.event && e.Organisation == string(org) })
				}
				return slices.ContainsFunc(d.events, func(e audit.Event) bool { return e.Type == row.event && e.User == string(id) }) &&
					slices.ContainsFunc(d.letters, func(l mail.Letter) bool { return l.Template == row.letter && l.To == p.User.Email })
			})
			if !told {
				t.Errorf("%s: %s is not in its transaction: %+v", row.event, row.letter, w.done)
			}
			if row.owed {
				h.tellPolicies()
			}
			if !slices.ContainsFunc(h.post(), func(l mail.Letter) bool {
				return l.Template == row.letter && l.To == p.User.Email && l.Args["username"] == p.User.Username
			}) {
				t.Errorf("%s: no letter %s in the outbox", row.event, row.letter)
			}
			for _, d := range w.done { // and no letter without a line of the table
				for _, l := range d.letters {
					if len(d.events) > 0 && !slices.ContainsFunc(d.events, func(e audit.Event) bool { return slices.Contains(tells[e.Type], l.Template) }) {
						t.Errorf("the letter %s tells of %+v, and the table has it not", l.Template, d.events)
					}
				}
			}
		}
	})
}

// eventTypes are the constants of package audit.
func eventTypes(t *testing.T) (types []audit.Type) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../audit/audit.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range file.Decls {
		block, ok := d.(*ast.GenDecl)
		if !ok || block.Tok != token.CONST {
			continue
		}
		for _, s := range block.Specs {
			spec := s.(*ast.ValueSpec)
			if name, ok := spec.Type.(*ast.Ident); !ok || name.Name != "Type" {
				t.Fatalf("%v: a constant that is no Type: teach this test", spec.Names)
			}
			value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			types = append(types, audit.Type(value))
		}
	}
	if len(types) < 50 || !slices.Contains(types, audit.TraceSeen) {
		t.Fatalf("%d types: too few were found", len(types))
	}
	return types
}

// witness notes what each transaction has recorded and sent that was committed.
type witness struct {
	identity.Store
	mu   sync.Mutex
	done []deed
}

type deed struct {
	events  []audit.Event
	letters []mail.Letter
	owed    bool
}

func (w *witness) Change(ctx context.Context, f func(tx identity.Tx) error) error {
	var d deed
	err := w.Store.Change(ctx, func(tx identity.Tx) error { return f(witnessed{tx, &d}) })
	if err == nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.done = append(w.done, d)
	}
	return err
}

type witnessed struct {
	identity.Tx
	d *deed
}

func (t witnessed) Record(e audit.Event) error {
	t.d.events = append(t.d.events, e)
	return t.Tx.Record(e)
}

func (t witnessed) Send(l mail.Letter) error {
	t.d.letters = append(t.d.letters, l)
	return t.Tx.Send(l)
}

func (t witnessed) AddPolicyNotice(n identity.PolicyNotice) error {
	t.d.owed = true
	return t.Tx.AddPolicyNotice(n)
}

func (t witnessed) WithdrawPolicyTold(org identity.OrganisationID, from, at time.Time) error {
	t.d.owed = true
	return t.Tx.WithdrawPolicyTold(org, from, at)
}

// somebody is new, with a password of their own or without.
func (h *house) somebody(org identity.OrganisationID, name string, settled bool) identity.UserID {
	h.t.Helper()
	if settled {
		return h.settled(org, name+"."+string(org))
	}
	id, _ := h.user(org, name+"."+string(org))
	return id
}

func (h *house) changed(id identity.UserID, edit func(u *identity.User)) {
	h.t.Helper()
	_, err := h.ChangeUser(h.t.Context(), operator, id, edit)
	h.must(err)
}

// tellPolicies is the background work.
func (h *house) tellPolicies() {
	h.t.Helper()
	_, err := h.TellStranded(h.t.Context())
	h.must(err)
}

func disabled(h *house, org identity.OrganisationID) identity.UserID {
	id := h.somebody(org, "left", true)
	h.must(h.DisableUser(h.t.Context(), operator, id, lost))
	return id
}

func promoted(h *house, org identity.OrganisationID) identity.UserID {
	id := h.somebody(org, "promoted", true)
	_, err := h.ChangeRoles(h.t.Context(), operator, id, identity.RolesOf(identity.RoleResponsible), 0)
	h.must(err)
	return id
}

func ordered(h *house, org identity.OrganisationID) identity.UserID {
	id := h.somebody(org, "ordered", true)
	h.post()
	_, err := h.Order(h.t.Context(), operator, id, lost)
	h.must(err)
	return id
}

func frozen(h *house, org identity.OrganisationID) identity.UserID {
	id := ordered(h, org)
	h.must(h.FreezeByLink(h.t.Context(), h.link(mail.PasswordOrdered), ""))
	return id
}

func withAppOf(h *house, org identity.OrganisationID) identity.UserID {
	id := h.somebody(org, "app", true)
	h.withApp(id)
	return id
}

func removed(h *house, org identity.OrganisationID) identity.UserID {
	id := withAppOf(h, org)
	h.must(h.RemoveAuthenticator(h.t.Context(), operator, id, lost))
	return id
}

func withCardOf(h *house, org identity.OrganisationID) identity.UserID {
	id := h.somebody(org, "card", true)
	h.withCard(id, "fp of "+string(org))
	return id
}

func nearly(h *house, org identity.OrganisationID) identity.UserID {
	id := h.somebody(org, "nearly", true)
	is(h.t, "a card that nearly fits", h.LinkCard(h.t.Context(), h.enrol(id), h.near("fp of "+string(org))), "card_awaits_approval")
	return id
}

// noted is a linked card of which its CA has said this, one after the other.
func noted(states ...card.State) func(h *house, org identity.OrganisationID) identity.UserID {
	return func(h *house, org identity.OrganisationID) identity.UserID {
		id := withCardOf(h, org)
		for _, state := range states {
			if ok, err := h.NoteCardStatus(h.t.Context(), *h.person(id).Card, card.Status{State: state, Source: "crl"}); err != nil || !ok {
				h.t.Fatalf("%s was not noted: %v", state, err)
			}
		}
		return id
	}
}

func planned(h *house, org identity.OrganisationID) identity.UserID {
	id := withAppOf(h, org)
	_, err := h.plan(org, h.now().Add(48*time.Hour), permit(identity.MethodCard))
	h.must(err)
	return id
}
