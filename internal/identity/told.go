package identity

import "github.com/portti-id/portti/internal/mail"

// tellChanges tells of what others have changed in somebody's details and what a
// sign-in hangs on (S59): contacts, and the name that a card is compared with (S29).
// The rest is no secret of the account.
func (d *Directory) tellChanges(tx Tx, before Person, after User) error {
	now := Person{User: after, Organisation: before.Organisation}
	if err := d.tellContact(tx, before, now); err != nil {
		return err
	}
	if before.User.Name() == after.Name() && before.User.Claims.MiddleName == after.Claims.MiddleName {
		return nil
	}
	if _, to := before.contact(); to != "" { // where nobody has just put an address of their own
		now.User.Email, now.User.Claims.Phone = before.User.Email, before.User.Claims.Phone
	}
	return d.letter(tx, now, mail.NameChanged)
}

// tellContact tells of another e-mail address or phone number: at the former one,
// where the person hears of it even when somebody else made the change, and at the
// new one, so that a slip of the pen shows up as well.
func (d *Directory) tellContact(tx Tx, before, now Person) error {
	if before.User.Email == now.User.Email && before.User.Claims.Phone == now.User.Claims.Phone {
		return nil
	}
	untrusted := itoa(int(NewAddress.Hours()))
	if err := d.letter(tx, before, mail.ContactChanged, "hours", untrusted); err != nil {
		return err
	}
	_, former := before.contact()
	if _, to := now.contact(); to == former {
		return nil
	}
	return d.letter(tx, now, mail.ContactChanged, "hours", untrusted)
}
