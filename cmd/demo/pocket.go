package main

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/cardlab"
	"github.com/portti-id/portti/internal/cardtest"
	"github.com/portti-id/portti/internal/mail"
	"github.com/portti-id/portti/internal/totp"
)

// pocket is what the people of the demo have at hand: letters, the accounts in
// their authenticator, and cards. It is the mail carrier of the demo, and where its
// gateway puts text messages.
type pocket struct {
	file string
	pki  *cardtest.PKI

	mu      sync.Mutex
	letters []letter  // newest first
	keys    []account // as they were added
	seeded  bool      // the database has everybody
}

// kept is the pocket as a file.
type kept struct {
	Seeded  bool
	Letters []letter
	Keys    []account
}

// letter is one that has arrived.
type letter struct {
	mail.Message
	At time.Time
}

// account is a key in the authenticator.
type account struct {
	ID    string
	Owner string // whose phone it is on
	Key   []byte
}

// cardPassword is the password of the files that hold cards.
const cardPassword = cardlab.Password

var _ mail.Carrier = (*pocket)(nil)

func openPocket(dir string, pki *cardtest.PKI) (*pocket, error) {
	p := &pocket{file: filepath.Join(dir, "pocket.json"), pki: pki}
	raw, err := os.ReadFile(p.file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("pocket: %w", err)
	}
	if err == nil {
		var k kept
		if err := json.Unmarshal(raw, &k); err != nil {
			return nil, fmt.Errorf("pocket: %s: %w", p.file, err)
		}
		p.letters, p.keys, p.seeded = k.Letters, k.Keys, k.Seeded
	}
	for _, who := range people {
		if name := cardOf(who.Username); p.pki.Card(name) == nil {
			if _, err := p.pki.Issue(name, who.onCard(), cardtest.WithKey(cardtest.P256)); err != nil {
				return nil, fmt.Errorf("card of %s: %w", who.Username, err)
			}
		}
	}
	return p, nil
}

// cardOf is the name of a person's card.
func cardOf(username string) string { return strings.ReplaceAll(username, ".", "-") }

// onCard is what her card says of a person.
func (who person) onCard() cardtest.Person {
	return cardtest.Person{Given: who.GivenName, Family: who.FamilyName, Organisation: who.employer(),
		Serial: fmt.Sprintf("9%08dX", slices.IndexFunc(people, func(p person) bool { return p.Username == who.Username })+1)}
}

// holder is a person's card as a handshake would tell of it.
func (p *pocket) holder(username string) card.Holder {
	return card.HolderOf(p.pki.Card(cardOf(username)).Cert)
}

// Deliver puts a letter into the mailbox. A letter that comes twice is one. The
// first letters to a person tell of what was seeded, and so came when that was.
func (p *pocket) Deliver(_ context.Context, m mail.Message) error {
	return p.change(func() {
		at, before := time.Now(), 0
		for _, l := range p.letters {
			if l.ID == m.ID {
				return
			}
			if l.To == m.To {
				before++
			}
		}
		if who, ok := personAt(m.To); ok && before < who.letters() {
			at = at.Add(-who.Since)
		}
		p.letters = slices.Insert(p.letters, 0, letter{m, at})
		slices.SortStableFunc(p.letters, func(a, b letter) int { return b.At.Compare(a.At) })
	})
}

// mailbox returns the letters, newest first.
func (p *pocket) mailbox() []letter {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.letters)
}

func (p *pocket) addKey(owner string, key []byte) error {
	return p.change(func() { p.keys = append(p.keys, account{rand.Text(), owner, key}) })
}

func (p *pocket) removeKey(id string) error {
	return p.change(func() { p.keys = slices.DeleteFunc(p.keys, func(a account) bool { return a.ID == id }) })
}

// accounts returns the authenticator's accounts.
func (p *pocket) accounts() []account {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.keys)
}

// code is what the authenticator shows for an account, and for how long.
func (a account) code(now time.Time) (string, time.Duration) {
	code, err := totp.Code(a.Key, totp.Step(now))
	if err != nil {
		return "", 0
	}
	return code, time.Unix((totp.Step(now)+1)*30, 0).Sub(now)
}

// readKey understands what User Services shows: the key in groups, or the
// otpauth address.
func readKey(typed string) ([]byte, error) {
	typed = strings.TrimSpace(typed)
	if u, err := url.Parse(typed); err == nil && u.Scheme == "otpauth" {
		typed = u.Query().Get("secret")
	}
	bare := strings.ToUpper(strings.NewReplacer(" ", "", "-", "", "\u00a0", "").Replace(typed))
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(bare)
	if err != nil || len(key) != totp.KeySize {
		return nil, errors.New("not a key")
	}
	return key, nil
}

// change changes the pocket and keeps it for the next run.
func (p *pocket) change(f func()) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	raw, err := json.MarshalIndent(kept{p.seeded, p.letters, p.keys}, "", "\t")
	if err != nil {
		return err
	}
	if err := os.WriteFile(p.file+".new", raw, 0o600); err != nil {
		return fmt.Errorf("pocket: %w", err)
	}
	return os.Rename(p.file+".new", p.file)
}
