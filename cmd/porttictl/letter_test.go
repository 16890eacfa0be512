package main

import (
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/mail"
	"github.com/portti-id/portti/internal/store"
)

// letter puts one into the outbox that was given up.
func (k *kit) letter(id string, change ...func(l *mail.Letter)) {
	k.t.Helper()
	l := mail.Letter{ID: id, To: "aino@kuntala.example", Language: "fi", Template: mail.Welcome, Organisation: "kuntala", Args: map[string]string{"password": "canary-of-the-letter"}}
	for _, f := range change {
		f(&l)
	}
	err := k.db.Change(k.t.Context(), func(tx identity.Tx) error { return tx.Send(l) })
	if err == nil {
		err = k.db.LetterFailed(k.t.Context(), id, "mail server: it answered 550 5.1.1 to the recipient: refused for good", time.Time{})
	}
	if err != nil {
		k.t.Fatal(err)
	}
}

func TestLetters(t *testing.T) {
	k := newKit(t, store.SQLite)
	k.letter("LETTER1")
	k.letter("LETTER2", func(l *mail.Letter) { l.Expires = time.Now().Add(-time.Minute) })
	out := k.ok("letter", "list")
	for _, want := range []string{"LETTER1", "LETTER2", "welcome", "kuntala", "a…@kuntala.example", "550"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	if out += k.ok("letter", "list", "--json"); strings.Contains(out, "canary") || strings.Contains(out, "aino@") {
		t.Errorf("it tells too much:\n%s", out)
	}
	if out := k.ok("letter", "list", "--waiting"); strings.Contains(out, "LETTER") && strings.Count(out, "LETTER") > 1 {
		t.Errorf("none waits:\n%s", out)
	}
	k.fails(exitConflict, "The person needs a new one", "letter", "retry", "LETTER2")
	k.fails(exitNotFound, "There is no such letter", "letter", "discard", "LETTER9")
	k.fails(exitInvalid, "--all", "letter", "retry")
	k.fails(exitInvalid, "--all", "letter", "retry", "LETTER1", "--all")
	k.fails(exitInvalid, "--limit", "letter", "list", "--limit", "-1")
	// A rehearsal says what the act would say, and does nothing.
	before := k.state()
	if out := k.ok("letter", "retry", "--all"); !strings.Contains(out, "letters: 1\n") {
		t.Errorf("of the two one is of use: %s", out)
	}
	k.ok("letter", "retry", "LETTER1")
	k.ok("letter", "discard", "LETTER1")
	if _, errs, code := k.run("letter", "retry", "LETTER2"); code != exitConflict || !strings.Contains(errs, "The person needs a new one") {
		t.Errorf("rehearsed: %d %s", code, errs)
	}
	if out := k.ok("letter", "list"); k.state() != before || strings.Count(out, "LETTER") != 2+1 {
		t.Errorf("a rehearsal has changed something: %s", out)
	}
	k.ok("letter", "retry", "LETTER1", "--apply")
	if _, errs, code := k.run("letter", "discard", "LETTER1"); code != exitConflict || !strings.Contains(errs, "still tried") {
		t.Errorf("rehearsed: %d %s", code, errs)
	}
	k.fails(exitConflict, "still tried", "letter", "discard", "LETTER1")
	k.ok("letter", "discard", "LETTER2", "--apply")
	if out := k.ok("letter", "list"); strings.Contains(out, "LETTER2") {
		t.Errorf("%s", out)
	}
}
