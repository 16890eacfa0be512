// Package cardlab is a place to try cards out: a virtual card for every verdict,
// the CAs that issue them, the trust in those CAs as a provider wants it, and who
// answers whether a card was revoked, with switches. Operators and integrators run
// it beside a provider that is not in production (porttictl lab), and the demo has
// it inside.
//
//	cardlab.go   Lab: exhibits, what each comes to, switches
//	exhibits.go  the list of them
//	folder.go    Open: a folder with trust bundle and card files
//	site.go      the pages: index, downloads, switches, OCSP and lists
//
//	DIR/trust   for the provider's setting card.trust.folder
//	DIR/cards   NAME.p12, NAME-legacy.p12 and NAME.pem of every card
//	DIR/pki     the keys of it all: package cardtest
//
// Anybody may have these cards, so no provider in production may trust them: their
// CAs say TEST, and are refused unless the settings accept test CAs.
package cardlab

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/cardtest"
)

// Password opens the files that hold cards.
const Password = "kortti"

// How long answers and lists hold. Short, so that a switch is soon felt.
const (
	answersHold = time.Minute
	listsHold   = 10 * time.Minute
)

// Lab is the exhibits with the CAs behind them. It may be used by many
// goroutines.
type Lab struct {
	PKI    *cardtest.PKI
	Status *cardtest.Server // to be reached at PKI.Base

	now  func() time.Time
	keep func() error
	mu   sync.Mutex // one change at a time
}

// New sets the exhibits up in p, those that are not there yet. keep is called
// after every change that shall last, and may be nil.
func New(p *cardtest.PKI, now func() time.Time, keep func() error) (*Lab, error) {
	l := &Lab{PKI: p, Status: cardtest.NewServer(p, now), now: now, keep: keep}
	l.Status.SetLifetimes(answersHold, listsHold)
	for _, e := range exhibits {
		if err := l.setUp(e); err != nil {
			return nil, err
		}
	}
	remote, err := p.CA(remoteCA)
	if err != nil {
		return nil, err
	}
	l.Status.FailOCSP(remote, cardtest.Down)
	l.Status.FailCRL(remote, cardtest.Down)
	return l, nil
}

// setUp makes the card of an exhibit and brings it into its first state.
func (l *Lab) setUp(e Exhibit) error {
	if e.Name == "" || e.signatureOf != "" || l.PKI.Card(e.Name) != nil {
		return nil
	}
	ca, err := l.PKI.CA(e.ca)
	if err != nil {
		return err
	}
	options := []cardtest.Option{cardtest.From(ca)}
	if e.make != nil {
		options = append(options, e.make(l.now().UTC())...)
	}
	c, err := l.PKI.Issue(e.Name, e.person(), options...)
	if err != nil {
		return err
	}
	switch e.Verdict {
	case card.Revoked:
		return l.PKI.Revoke(c, cardtest.KeyCompromise, l.now())
	case card.Suspended:
		return l.PKI.Hold(c, l.now())
	}
	return nil
}

// Row is an exhibit as it is now.
type Row struct {
	Exhibit
	Holder   string       // on the card, "" without one
	State    string       // what its CA says: "good", "revoked" or "on hold"; "" without a card
	Expected card.Verdict // what a provider finds out that has fresh answers

	MayRevoke, MayHold, MayRelease bool
}

// Rows are all exhibits as they are now.
func (l *Lab) Rows() []Row {
	var rows []Row
	for _, e := range exhibits {
		rows = append(rows, l.row(e))
	}
	return rows
}

// Row is one exhibit; or another card of the PKI, which is taken for a good one.
// False when there is no such card.
func (l *Lab) Row(name string) (Row, bool) {
	if name == "" || l.PKI.Card(name) == nil {
		return Row{}, false
	}
	if i := slices.IndexFunc(exhibits, func(e Exhibit) bool { return e.Name == name }); i >= 0 {
		return l.row(exhibits[i]), true
	}
	return l.row(Exhibit{Name: name, Verdict: card.Good}), true
}

func (l *Lab) row(e Exhibit) Row {
	r := Row{Exhibit: e, Expected: e.path()}
	c := l.PKI.Card(e.Name)
	if c == nil {
		return r
	}
	r.Holder, r.State = c.Cert.Subject.CommonName, l.PKI.State(c)
	if r.Expected == card.Good { // of others nobody asks
		r.Expected = l.expected(l.PKI.IssuerOf(c), r.State)
		r.MayRevoke, r.MayHold, r.MayRelease = r.State != "revoked", r.State == "good", r.State == "on hold"
	}
	return r
}

// expected is what comes to a card with a good path: the responder decides, then
// the list, and when neither speaks the card is refused (S24).
func (l *Lab) expected(ca *cardtest.CA, state string) card.Verdict {
	for ; ca != nil; ca = l.PKI.Above(ca) {
		if ocsp, crl := l.Status.Faults(ca); ocsp != cardtest.None && crl != cardtest.None {
			return card.RevocationUnavailable
		}
	}
	switch state {
	case "good":
		return card.Good
	case "revoked":
		return card.Revoked
	case "on hold":
		return card.Suspended
	}
	return card.RevocationUnavailable
}

// Action is what a CA can do with a card.
type Action string

const (
	Revoke  Action = "revoke" // for good, as everywhere: providers do not ask again
	Hold    Action = "hold"
	Release Action = "release" // from hold
)

// Errors of the switches.
var (
	ErrNone   = errors.New("there is no such thing in the lab")
	ErrNotNow = errors.New("that cannot be done with it as it is now")
)

// Do has the CA of a card do that.
func (l *Lab) Do(name string, a Action) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	r, known := l.Row(name)
	if !known {
		return ErrNone
	}
	c := l.PKI.Card(name)
	var err error
	switch {
	case a == Revoke && r.MayRevoke:
		err = l.PKI.Revoke(c, cardtest.CessationOfOperation, l.now())
	case a == Hold && r.MayHold:
		err = l.PKI.Hold(c, l.now())
	case a == Release && r.MayRelease:
		err = l.PKI.Release(c)
	default:
		return ErrNotNow
	}
	if err == nil && l.keep != nil {
		err = l.keep()
	}
	return err
}

// Source is an authority whose responder and list can be taken down.
type Source struct {
	Name, Title string
	OCSP, CRL   cardtest.Fault
}

// Sources are those of the exhibits' CAs and of the CAs above them.
func (l *Lab) Sources() []Source {
	var list []Source
	for _, name := range sources {
		ca, err := l.PKI.CA(name)
		if err != nil {
			continue // New has made them all
		}
		s := Source{Name: name, Title: ca.Cert.Subject.CommonName}
		s.OCSP, s.CRL = l.Status.Faults(ca)
		list = append(list, s)
	}
	return list
}

// Break makes responder and list of an authority fail, or work again with
// cardtest.None. What is broken works again when the lab is started anew.
func (l *Lab) Break(name string, ocsp, crl cardtest.Fault) error {
	if !slices.Contains(sources, name) {
		return ErrNone
	}
	if ocsp != cardtest.None && !slices.Contains(cardtest.OCSPFaults, ocsp) || crl != cardtest.None && !slices.Contains(cardtest.CRLFaults, crl) {
		return fmt.Errorf("%w: fault %q, %q", ErrNone, ocsp, crl)
	}
	ca, err := l.PKI.CA(name)
	if err != nil {
		return err
	}
	l.Status.FailOCSP(ca, ocsp)
	l.Status.FailCRL(ca, crl)
	return nil
}
