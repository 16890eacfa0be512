package identity

import "github.com/portti-id/portti/internal/mail"

// tellContact tells of another e-mail address or phone number (S59): at the former
// address, where the person hears of it even when somebody else made the change,
// and at the new one, so that a slip of the pen shows up as well.
func (d *Directory) tellContact(tx Tx, before Person, after User) error {
	if before.User.Email == after.Email && before.User.Claims.Phone == after.Claims.Phone {
		return nil
	}
	if err := d.letter(tx, before, mail.ContactChanged); err != nil || after.Email == before.User.Email {
		return err
	}
	return d.letter(tx, Person{User: after, Organisation: before.Organisation}, mail.ContactChanged)
}
