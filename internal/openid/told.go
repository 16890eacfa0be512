package openid

import (
	"cmp"

	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/mail"
)

// What goes on without the person from now on is told by letter (S59,
// docs/adr/0136): whoever has talked them into it, with a link or a code that was
// meant for somebody else's device, counts on their not noticing.

// consentLetter tells that a service gets data of the person.
func (p *Provider) consentLetter(person identity.Person, c Client) []mail.Letter {
	return p.letter(person, mail.ConsentGiven, c)
}

// deviceLetter tells that a device was let in, and with it what it was allowed.
func (p *Provider) deviceLetter(person identity.Person, c Client) []mail.Letter {
	return p.letter(person, mail.DeviceAllowed, c)
}

// letter is empty for somebody without a contact.
func (p *Provider) letter(person identity.Person, t mail.Template, c Client) []mail.Letter {
	name := cmp.Or(c.Name[person.User.Language], c.Name["en"], c.Name["fi"], c.ID)
	if l, ok := p.People.Letter(person, t, "service", name); ok {
		return []mail.Letter{l}
	}
	return nil
}
