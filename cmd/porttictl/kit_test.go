package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/keys"
	"github.com/portti-id/portti/internal/mail"
	"github.com/portti-id/portti/internal/store"
	"github.com/portti-id/portti/internal/storetest"
	"github.com/portti-id/portti/internal/totp"
)

// kit is an installation with its settings file.
type kit struct {
	t      *testing.T
	config string
	db     *store.Store
	master *keys.Master
}

func newKit(t *testing.T, driver string) *kit {
	t.Helper()
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	master, err := keys.LoadMaster(file("master.key", keys.GenerateMaster()+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	c := storetest.Config(t, driver)
	where := "path: " + c.Path
	if driver == store.Postgres {
		where = "dsn: " + c.DSN
	}
	k := &kit{t: t, master: master, db: storetest.Connect(t, c, func(d *store.Deps) { d.Seal = master.Seal })}
	k.config = file("portti.yaml", fmt.Sprintf("issuer: https://id.example.fi\nbrand: Portti\nmaster_key_file: master.key\n"+
		"listen: {proxies: [192.0.2.0/24]}\npasswords: {memory_kib: 64, passes: 1}\ndatabase:\n  driver: %s\n  %s\n", driver, where))
	return k
}

// folder is where the settings file lies.
func (k *kit) folder() string { return filepath.Dir(k.config) }

func (k *kit) file(name, text string) {
	k.t.Helper()
	if err := os.WriteFile(filepath.Join(k.folder(), name), []byte(text), 0o600); err != nil {
		k.t.Fatal(err)
	}
}

// run returns what the tool printed and its exit code.
func (k *kit) run(args ...string) (out, errs string, code int) {
	k.t.Helper()
	var o, e bytes.Buffer
	code = run(k.t.Context(), append([]string{"--config", k.config, "--operator", "tester"}, args...), &o, &e)
	return o.String(), e.String(), code
}

func (k *kit) ok(args ...string) string {
	k.t.Helper()
	out, errs, code := k.run(args...)
	if code != 0 {
		k.t.Fatalf("porttictl %s: exit code %d: %s", strings.Join(args, " "), code, errs)
	}
	return out
}

// fails wants an exit code, and a message that holds a text.
func (k *kit) fails(code int, text string, args ...string) {
	k.t.Helper()
	before := k.state()
	out, errs, got := k.run(append(args, "--apply")...)
	if got != code || !strings.Contains(errs, text) || out != "" {
		k.t.Errorf("porttictl %s: exit code %d, want %d; it says %q, want %q; it prints %q", strings.Join(args, " "), got, code, errs, text, out)
	}
	if after := k.state(); after != before {
		k.t.Errorf("porttictl %s failed and changed something:\n%s\n%s", strings.Join(args, " "), before, after)
	}
}

// state is everything that the tool can change.
func (k *kit) state() string {
	k.t.Helper()
	ctx := k.t.Context()
	organisations, err1 := k.db.Organisations(ctx)
	people, err2 := k.db.People(ctx, "")
	clients, err3 := k.db.Clients(ctx)
	signing, err4 := k.db.Keys().SigningKeys(ctx)
	events, err5 := k.db.AuditEvents(ctx, store.Trail{Limit: 10_000})
	letters, err6 := k.db.LeaseLetters(ctx, 1000, time.Now(), -time.Hour) // handed back at once
	tokens, err7 := k.db.RegistrationTokens(ctx)
	strangers, err8 := k.db.Strangers(ctx)
	shelf, err9 := k.db.Shelf().Shelved(ctx)
	for _, err := range []error{err9, err8, err7, err1, err2, err3, err4, err5, err6} {
		if err != nil {
			k.t.Fatal(err)
		}
	}
	for i := range letters {
		letters[i].Attempts = 0
	}
	slices.SortFunc(letters, func(a, b mail.Queued) int { return strings.Compare(a.ID, b.ID) }) // a lease has no order
	raw, err := json.Marshal([]any{organisations, people, clients, tokens, strangers, shelf, signing, events, letters})
	if err != nil {
		k.t.Fatal(err)
	}
	return string(raw)
}

// seed adds an organisation, aino with an authenticator, and a client.
func (k *kit) seed() {
	k.t.Helper()
	k.ok("organisation", "create", "kuntala", "--name", "Kuntalan kaupunki", "--methods", "card,app", "--apply")
	k.ok("user", "create", "aino.alku", "--organisation", "kuntala", "--given-name", "Aino", "--family-name", "Alku", "--apply")
	k.ok("client", "create", "records", "--name", "en=Records", "--redirect-uris", "https://records.example.fi/callback", "--apply")
	k.linkAuthenticator("aino.alku")
}

func (k *kit) person(username string) identity.Person {
	k.t.Helper()
	p, err := k.db.PersonByName(k.t.Context(), username)
	if err != nil {
		k.t.Fatal(err)
	}
	return p
}

func (k *kit) linkAuthenticator(username string) {
	k.t.Helper()
	a := identity.Authenticator{ID: "a-" + identity.AuthenticatorID(username), User: k.person(username).User.ID, Kind: identity.MethodApp, SealedKey: "sealed-canary", Linked: time.Now()}
	if err := k.db.Change(k.t.Context(), func(tx identity.Tx) error { return tx.AddAuthenticator(a) }); err != nil {
		k.t.Fatal(err)
	}
}

// workingKey is that of linkWorking.
var workingKey = []byte("twenty bytes of a key"[:totp.KeySize])

// linkWorking links an authenticator that shows codes.
func (k *kit) linkWorking(username string) {
	k.t.Helper()
	a := identity.Authenticator{ID: "w-" + identity.AuthenticatorID(username), User: k.person(username).User.ID, Kind: identity.MethodApp, Linked: time.Now()}
	sealed, err := k.master.Seal(workingKey, "totp:"+string(a.User)+":"+string(a.ID))
	if err != nil {
		k.t.Fatal(err)
	}
	a.SealedKey = sealed
	if err := k.db.Change(k.t.Context(), func(tx identity.Tx) error { return tx.AddAuthenticator(a) }); err != nil {
		k.t.Fatal(err)
	}
}

// codeOf is what it shows so many steps from now.
func (k *kit) codeOf(steps int64) string {
	k.t.Helper()
	code, err := totp.Code(workingKey, totp.Step(time.Now())+steps)
	if err != nil {
		k.t.Fatal(err)
	}
	return code
}

func (k *kit) freeze(username string) {
	k.t.Helper()
	u := k.person(username).User
	u.Frozen = time.Now()
	if err := k.db.Change(k.t.Context(), func(tx identity.Tx) error { return tx.SaveUser(u) }); err != nil {
		k.t.Fatal(err)
	}
}

// ownPassword gives a person one that is not temporary.
func (k *kit) ownPassword(username string) {
	k.t.Helper()
	if err := k.db.Change(k.t.Context(), func(tx identity.Tx) error {
		return tx.SetPassword(k.person(username).User.ID, identity.Password{Hash: "none", Changed: time.Now()})
	}); err != nil {
		k.t.Fatal(err)
	}
}

// askForCard has a card wait that a person has read after a sign-in with a code.
func (k *kit) askForCard(username, id string) {
	k.t.Helper()
	now := time.Now()
	a := identity.CardApproval{Card: identity.CardLink{ID: identity.LinkID(id), User: k.person(username).User.ID, Fingerprint: "f-" + id, SPKI: "s", Issuer: "CA", IssuerDN: "CN=CA", Serial: "0a1b2c",
		HolderName: "ALKU AINA", NotAfter: now.AddDate(1, 0, 0)}, Proved: identity.MethodApp, Asked: now, Expires: now.Add(identity.ApprovalLasts)}
	if err := k.db.Change(k.t.Context(), func(tx identity.Tx) error { return tx.AddCardApproval(a) }); err != nil {
		k.t.Fatal(err)
	}
}

// decode reads what --json printed.
func decode[T any](t *testing.T, out string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		t.Fatalf("not JSON: %v: %s", err, out)
	}
	return v
}
