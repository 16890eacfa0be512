package main

import (
	"os"
	"testing"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/store"
)

// What an operator does is kept with the machine, the login there and the address of
// an SSH connection, whatever kind of act it is.
func TestTheTrailTellsFromWhereAnOperatorActs(t *testing.T) {
	machine, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("SSH_CONNECTION", "192.0.2.9 50000 192.0.2.1 22")
	k := newKit(t, store.SQLite)
	k.seed()
	k.letter("LETTER1")
	for _, act := range [][]string{{"user", "disable", "aino.alku", "--reason", "left"}, {"client", "disable", "records"}, {"client", "rotate-secret", "records"}, {"registration-token", "create"},
		{"organisation", "change", "kuntala", "--name", "Kuntala"}, {"key", "prepare", "P-256"}, {"letter", "discard", "LETTER1"}} {
		k.ok(append(act, "--apply")...)
	}
	k.ok("audit", "export")
	k.run("key", "reseal", "--apply") // what is sealed here nobody opens, and that it was tried is kept
	events, err := k.db.AuditEvents(t.Context(), store.Trail{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	types := map[audit.Type]bool{}
	for _, e := range events {
		types[e.Type] = true
		if e.Actor != "operator:tester" || e.Address != "192.0.2.9" || e.Details[audit.Machine] != machine || e.Details[audit.Login] == "" || e.Session != "" {
			t.Errorf("%+v", e)
		}
	}
	for _, want := range []audit.Type{audit.ClientCreated, audit.ClientDisabled, audit.ClientChanged, audit.KeyCreated, audit.KeysResealed, audit.UserDisabled, audit.OrganisationChanged, audit.LetterDiscarded, audit.RegisterTokenMade, audit.TrailExported} {
		if !types[want] {
			t.Errorf("%s is not in the trail", want)
		}
	}
}

func TestAddressesOfSSH(t *testing.T) {
	for given, want := range map[string]string{"::ffff:192.0.2.9 1 ::1 22": "192.0.2.9", "fe80::1%eth0 1 fe80::2%eth0 22": "fe80::1", "": "", "evil\nname 1 2 3": ""} {
		t.Setenv("SSH_CONNECTION", given)
		d := &desk{by: identity.Actor{Name: "operator:x"}}
		if e := (audit.Event{Actor: "operator:x"}).In(d.at(t.Context())); e.Address != want {
			t.Errorf("%q became %q, want %q", given, e.Address, want)
		}
	}
}
