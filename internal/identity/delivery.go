package identity

import (
	"strings"
	"time"

	"github.com/portti-id/portti/internal/mail"
)

// BySMS is delivery in a text message to User.Claims.Phone, with a letter beside it
// that tells of it. Who has no e-mail address gets letters as text messages too
// (docs/adr/0136). They prove nothing (S12).
const BySMS Delivery = "sms"

// Why a temporary password does not go the way that the organisation has chosen.
const (
	noContact  = "no_contact"      // there is no address or number
	newContact = "contact_changed" // S55
)

// delivery is the way by which a temporary password goes to the person now, and why
// it is not the organisation's: a contact that is missing or has just changed is
// not trusted with it, and then somebody hands it over (S55).
func (p Person) delivery(now time.Time) (way Delivery, instead string) {
	way = p.Organisation.Delivery
	switch {
	case way == ByLetter && p.User.Email == "", way == BySMS && p.User.number() == "":
		return ByHandover, noContact
	case way != ByHandover && p.NewContact(now):
		return ByHandover, newContact
	}
	return way, ""
}

// HandedOver tells whether a temporary password of the person is handed over or read
// out now, and nothing carries it.
func (d *Directory) HandedOver(p Person) bool {
	way, _ := p.delivery(d.now())
	return way == ByHandover
}

// number is the phone number as a gateway takes it: +358401234567; "" when there is
// none, or one that leads nowhere.
func (u User) number() string {
	n := strings.NewReplacer(" ", "", "-", "", "(", "", ")", "", ".", "").Replace(u.Claims.Phone)
	if !mail.Number.MatchString(n) {
		return ""
	}
	return n
}

// contact is where the person hears of things: the e-mail address, or without one the
// phone where the organisation has text messages sent; to is "" when there is neither.
func (p Person) contact() (by mail.Channel, to string) {
	if p.User.Email == "" && p.Organisation.Delivery == BySMS {
		return mail.ByText, p.User.number()
	}
	return mail.ByMail, p.User.Email
}

// tellPassword tells a person of a temporary password, and hands it to what carries
// it. It returns how, for the audit event's details.
//
//	letter     the letter holds it
//	sms        a text message holds it, and the letter says that it comes
//	handover   the letter says that somebody hands it over
//
// Neither is sent any more when the password has expired. Who has no e-mail address
// gets the text message alone, and after an Order another one with the link to say
// "this was not me": together they would be longer than one, and that one is of use
// when the password is not any more.
func (d *Directory) tellPassword(tx Tx, p Person, t mail.Template, pw string, stored Password, args ...string) (map[string]string, error) {
	way, instead := p.delivery(d.now())
	told := map[string]string{"delivery": string(way)}
	lasts := int(stored.Expires.Sub(stored.Changed).Hours()) // what a text says of it, in hours or in days
	lives := []string{"hours", itoa(lasts), "days", itoa(lasts / 24)}
	args = append(args, lives...)
	if instead != "" {
		told["delivery_reason"] = instead
	}
	switch way {
	case ByLetter:
		args = append(args, "password", pw)
	case BySMS:
		number := p.User.number()
		args = append(args, "phone", mail.Masked(number))
		text := mail.Letter{Channel: mail.ByText, To: number, Language: p.User.Language, Template: t, Organisation: string(p.Organisation.ID), Expires: stored.Expires,
			Args: map[string]string{"password": pw, "support": d.Support, lives[0]: lives[1], lives[2]: lives[3]}}
		if err := tx.Send(text); err != nil {
			return nil, err
		}
	}
	l, ok := d.Letter(p, t, args...)
	if !ok || way == BySMS && l.Channel == mail.ByText && l.Args["link"] == "" {
		return told, nil
	}
	if way == ByLetter {
		l.Expires = stored.Expires
	}
	return told, tx.Send(l)
}
