package identity

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/portti-id/portti/internal/fault"
)

// LinkPurpose is what a link in a letter is for.
type LinkPurpose string

const (
	ToOrder LinkPurpose = "order"  // confirms or cancels an ask for a new password (S52)
	NotMe   LinkPurpose = "not_me" // freezes the account after an Order (S59)
)

// LinkPath is where, on the provider's host, the page behind a link is
// (Directory.Links); the link's secret follows.
const LinkPath = "/order/link/"

// How long they are good.
const (
	ToOrderLasts = time.Hour
	NotMeLasts   = 24 * time.Hour
)

// MailedLink is a link that was written into a letter. Whoever opens it changes
// nothing; the button behind it spends it.
type MailedLink struct {
	Hash    string // SHA-256 of the secret, in hex
	User    UserID
	Purpose LinkPurpose
	Created time.Time
	Expires time.Time
}

var errNoLink = fault.New(fault.Gone, "mailed_link_spent", "This link was used already, is too old, or a newer one has taken its place.")

// byLetter is who acts by a link, for the trail: whoever has the letter.
const byLetter = "letter"

// newLink writes a link down and returns its address, for the letter, and until when
// it is good. The page opens in the letter's language.
func (d *Directory) newLink(tx Tx, p Person, purpose LinkPurpose, lasts time.Duration) (string, time.Time, error) {
	secret := rand.Text() // 130 bits
	now := d.now()
	l := MailedLink{Hash: linkHash(secret), User: p.User.ID, Purpose: purpose, Created: now, Expires: now.Add(lasts)}
	return d.Links + secret + "?lang=" + p.User.Language, l.Expires, tx.PutMailedLink(l)
}

func linkHash(secret string) string {
	h := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(h[:])
}

// MailedLink looks at a link and changes nothing: fault.Gone "mailed_link_spent"
// when it is none, or none any more.
func (d *Directory) MailedLink(ctx context.Context, secret string) (MailedLink, error) {
	l, err := d.Store.MailedLink(ctx, linkHash(secret))
	switch {
	case fault.Is(err, fault.NotFound):
		return MailedLink{}, errNoLink
	case err != nil:
		return MailedLink{}, err
	case !d.now().Before(l.Expires):
		return MailedLink{}, errNoLink
	}
	return l, nil
}

// mailedLink is MailedLink of that purpose.
func (d *Directory) mailedLink(ctx context.Context, secret string, purpose LinkPurpose) (MailedLink, error) {
	l, err := d.MailedLink(ctx, secret)
	if err == nil && l.Purpose != purpose {
		return MailedLink{}, errNoLink
	}
	return l, err
}

// WaitingLinks are the links that were mailed to a person and are still good.
func (d *Directory) WaitingLinks(ctx context.Context, id UserID) (map[LinkPurpose]MailedLink, error) {
	links, err := d.Store.MailedLinks(ctx, id)
	if err != nil {
		return nil, err
	}
	good := map[LinkPurpose]MailedLink{}
	for _, l := range links {
		if d.now().Before(l.Expires) {
			good[l.Purpose] = l
		}
	}
	return good, nil
}
