package main

import (
	"context"
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
	"github.com/portti-id/portti/internal/cardtest"
	"github.com/portti-id/portti/internal/mail"
	"github.com/portti-id/portti/internal/totp"
)

// pocket is what the people of the demo have at hand: letters, the accounts in
// their authenticator, and cards. It is the mail carrier of the demo.
type pocket struct {
	file string
	pki  *cardtest.PKI

	mu      sync.Mutex
	letters []letter  // newest first
	keys    []account // as they were added
}

// letter is one that has arrived.
type letter struct {
	To, Subject, Body, Language string
	At                          time.Time
}

// account is a key in the authenticator.
type account struct {
	Owner string // a username, or what the person called it
	Key   []byte
}

var _ mail.Carrier = (*pocket)(nil)

func openPocket(dir string, pki *cardtest.PKI) (*pocket, error) {
	p := &pocket{file: filepath.Join(dir, "pocket.json"), pki: pki}
	raw, err := os.ReadFile(p.file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("pocket: %w", err)
	}
	if err == nil {
		kept := struct {
			Letters []letter
			Keys    []account
		}{}
		if err := json.Unmarshal(raw, &kept); err != nil {
			return nil, fmt.Errorf("pocket: %s: %w", p.file, err)
		}
		p.letters, p.keys = kept.Letters, kept.Keys
	}
	for _, who := range people {
		if p.pki.Card(who.Username) == nil {
			if _, err := p.pki.Issue(who.Username, who.onCard(), cardtest.WithKey(cardtest.P256)); err != nil {
				return nil, fmt.Errorf("card of %s: %w", who.Username, err)
			}
		}
	}
	return p, p.pki.Save(filepath.Join(dir, "cards"))
}

// onCard is what her card says of a person.
func (who person) onCard() cardtest.Person {
	org := ""
	for _, o := range organisations {
		if o.ID == who.Organisation {
			org = o.Name
		}
	}
	return cardtest.Person{Given: who.GivenName, Family: who.FamilyName, Organisation: org,
		Serial: fmt.Sprintf("9%08dX", slices.IndexFunc(people, func(p person) bool { return p.Username == who.Username })+1)}
}

// holder is a person's card as a handshake would tell of it.
func (p *pocket) holder(username string) card.Holder { return card.HolderOf(p.pki.Card(username).Cert) }

// Deliver puts a letter into the mailbox.
func (p *pocket) Deliver(_ context.Context, m mail.Message) error {
	p.mu.Lock()
	p.letters = append([]letter{{To: m.To, Subject: m.Subject, Body: m.Body, Language: m.Language, At: time.Now()}}, p.letters...)
	p.mu.Unlock()
	return p.save()
}

// mailbox returns the letters, newest first.
func (p *pocket) mailbox() []letter {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.letters)
}

func (p *pocket) addKey(owner string, key []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = append(p.keys, account{Owner: owner, Key: key})
}

func (p *pocket) removeKey(i int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i >= 0 && i < len(p.keys) {
		p.keys = slices.Delete(p.keys, i, i+1)
	}
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

// save keeps letters and keys for the next run.
func (p *pocket) save() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	raw, err := json.MarshalIndent(map[string]any{"Letters": p.letters, "Keys": p.keys}, "", "\t")
	if err != nil {
		return err
	}
	if err := os.WriteFile(p.file+".new", raw, 0o600); err != nil {
		return fmt.Errorf("pocket: %w", err)
	}
	return os.Rename(p.file+".new", p.file)
}
