package mail

import (
	"fmt"
	"strings"
	"unicode"
)

// Texts is the catalogue (templates.Texts). Lookup fails for a key that does
// not exist and for a placeholder without a value.
type Texts interface {
	Lookup(lang, key string, pairs ...string) (string, error)
}

// unsaid are the numbers that stood in the texts before they were arguments. Letters of
// a program of then wait in the outbox while it is replaced.
func unsaid(t Template) map[string]string {
	numbers := map[string]string{"hours": "24", "days": "14", "freeze_hours": "24"}
	if t == ContactChanged {
		numbers["hours"] = "72"
	}
	return numbers
}

// Render writes a letter in its reader's language. Where the catalogue has a
// "body.handover", that one is taken for a letter without a password: somebody
// hands it over (S55); and "body.phone" where it goes to the person's phone, whose
// last digits are the argument "phone".
func Render(t Texts, l Letter) (Message, error) {
	var pairs []string
	for name, value := range l.Args {
		pairs = append(pairs, name, oneLine(value))
	}
	for name, value := range unsaid(l.Template) {
		if _, said := l.Args[name]; !said {
			pairs = append(pairs, name, value)
		}
	}
	if l.Channel == ByText {
		return textMessage(t, l, pairs)
	}
	subject, err := t.Lookup(l.Language, "mail."+string(l.Template)+".subject", pairs...)
	if err != nil {
		return Message{}, fmt.Errorf("subject of letter %q: %w", l.Template, err)
	}
	body, err := t.Lookup(l.Language, bodyKey(t, l), pairs...)
	if err != nil {
		return Message{}, fmt.Errorf("body of letter %q: %w", l.Template, err)
	}
	return Message{ID: l.ID, To: l.To, Subject: oneLine(subject), Body: body, Language: l.Language}, nil
}

// textMessage is the letter's "text" where it brings a password or is asked for, its
// "text.link" where it tells of an Order ("this was not me", S59), and otherwise tells
// what has happened by the letter's subject, and whom to call. It never names the
// account: whoever picks up the phone must not have both.
func textMessage(t Texts, l Letter, pairs []string) (Message, error) {
	key := "mail." + string(l.Template) + ".text"
	switch {
	case l.Args["password"] != "", l.Template == PasswordAsked:
	case l.Template == PasswordOrdered && l.Args["link"] != "":
		key += ".link"
	default:
		subject, err := t.Lookup(l.Language, "mail."+string(l.Template)+".subject", pairs...)
		if err != nil {
			return Message{}, fmt.Errorf("subject of text message %q: %w", l.Template, err)
		}
		key, pairs = "mail.notice.text", append(pairs, "subject", oneLine(subject))
	}
	text, err := t.Lookup(l.Language, key, pairs...)
	if err != nil {
		return Message{}, fmt.Errorf("text message %q: %w", l.Template, err)
	}
	return Message{ID: l.ID, To: l.To, Body: oneLine(text), Language: l.Language}, nil
}

func bodyKey(t Texts, l Letter) string {
	key := "mail." + string(l.Template) + ".body"
	if l.Args["password"] != "" {
		return key
	}
	variant := key + ".handover"
	if l.Args["phone"] != "" {
		variant = key + ".phone"
	}
	if text, _ := t.Lookup(l.Language, variant); text != "" {
		return variant
	}
	return key
}

// oneLine takes line ends and other control characters out, so that a value can
// neither begin a header nor pass for a paragraph of ours.
func oneLine(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, s))
}
