package main

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/keys"
	"github.com/portti-id/portti/internal/password"
	"github.com/portti-id/portti/internal/store"
	"github.com/portti-id/portti/internal/storetest"
)

// Every change there is, in an order in which each has something to change. A
// step with no words prepares the next one.
var changes = []struct {
	args  []string
	first func(k *kit)
	event audit.Type
}{
	{args: words("organisation create kuntala --name Kuntala --methods card,app,token --delivery letter"), event: audit.OrganisationCreated},
	{first: func(k *kit) { k.newMaster() }, args: words("key reseal"), event: audit.KeysResealed},
	{args: words("organisation change kuntala --methods card,app --shared-workstations --it-contact it@kuntala.example"), event: audit.OrganisationChanged},
	{args: words("user create aino.alku --organisation kuntala --given-name Aino --family-name Alku --email aino@kuntala.example --language sv"), event: audit.UserCreated},
	{args: words("user change aino.alku --family-name Uusi"), event: audit.UserChanged},
	{args: words("user change aino.alku --claim picture=https://kuntala.example/aino.png --address locality=Helsinki"), event: audit.UserChanged},
	{args: words("user role aino.alku --give operator"), event: audit.UserRolesChanged},
	{args: words("user order AINO.alku --reason card-replaced"), event: audit.PasswordOrdered},
	{first: func(k *kit) { k.linkAuthenticator("aino.alku") }, args: words("user unlock aino.alku --reason typed-wrong"), event: audit.AuthenticatorUnlocked},
	{args: words("user end-sessions aino.alku --reason lost-laptop"), event: audit.SessionsEnded},
	{args: words("user remove-authenticator aino.alku --reason new-phone"), event: audit.AuthenticatorRemoved},
	{args: words("user linking-code aino.alku --lasts 10m --reason new-phone"), event: audit.LinkingCodeIssued},
	{first: func(k *kit) { k.linkWorking("aino.alku") }, args: words("user resync aino.alku --first FIRST --second SECOND --reason clock"), event: audit.AuthenticatorResynced},
	{first: func(k *kit) { k.freeze("aino.alku") }, args: words("user unfreeze aino.alku --reason it-was-her"), event: audit.AccountUnfrozen},
	{first: func(k *kit) { k.ownPassword("aino.alku"); k.askForCard("aino.alku", "ask1") }, args: words("user card refuse ask1 --reason somebody-elses"), event: audit.CardApprovalRefused},
	{args: words("user change aino.alku --family-name Alku"), event: audit.UserChanged}, // the name on the card
	{first: func(k *kit) { k.askForCard("aino.alku", "ask2") }, args: words("user card approve ask2 --reason saw-it"), event: audit.CardLinked},
	{args: words("organisation change kuntala --card-holder refuse --card-names Vanda"), event: audit.OrganisationChanged},
	{args: words("user disable aino.alku --reason left"), event: audit.UserDisabled},
	{args: words("user enable aino.alku --reason back"), event: audit.UserEnabled},
	{args: words("client create records --name en=Records --name fi=Rekisteri --redirect-uris https://records.example.fi/callback --grant-types authorization_code,refresh_token"), event: audit.ClientCreated},
	{args: words("client change records --minimum_acr urn:portti:acr:card --algorithm ES256 --access-token-ttl 10m"), event: audit.ClientChanged},
	{args: words("client rotate-secret records"), event: audit.ClientChanged},
	{first: func(k *kit) {
		k.file("new.json", `{"client_id":"new","client_name":"New","scope":"openid","redirect_uris":["https://new.example.fi/cb"]}`)
	}, args: words("client import FOLDER/new.json"), event: audit.ClientCreated},
	{first: func(k *kit) {
		k.file("new.json", `{"client_id":"new","client_name":"Newer","scope":"openid","redirect_uris":["https://new.example.fi/cb"]}`)
	}, args: words("client import FOLDER/new.json"), event: audit.ClientChanged},
	{args: words("client disable records"), event: audit.ClientDisabled},
	{args: words("client enable records"), event: audit.ClientEnabled},
	{args: words("registration-token create --uses 3 --expires 72h --note Kuntala"), event: audit.RegisterTokenMade},
	{args: words("registration-token revoke TOKEN"), event: audit.RegisterTokenRevoked},
	{args: words("key prepare P-256"), event: audit.KeyCreated},
	{first: func(k *kit) { k.preparedBefore(keys.Ed25519, 25*time.Hour) }, args: words("key promote Ed25519"), event: audit.KeyMoved},
	{first: func(k *kit) { k.promotedBefore(keys.RSA2048, 8*24*time.Hour) }, args: words("key retire RSA-2048"), event: audit.KeyMoved},
	{args: words("key replace P-256"), event: audit.KeyMoved},
	{args: words("key replace Ed25519 --keep-former"), event: audit.KeyMoved},
	{first: func(k *kit) { k.stranger("ab12") }, args: words("trust strangers ab12 --forget"), event: audit.CardIssuerForgotten},
	{first: func(k *kit) { k.letter("LETTER1") }, args: words("letter retry LETTER1"), event: audit.LetterRetried},
	{first: func(k *kit) { k.letter("LETTER2") }, args: words("letter retry --all"), event: audit.LetterRetried},
	{first: func(k *kit) { k.letter("LETTER3") }, args: words("letter discard LETTER3"), event: audit.LetterDiscarded},
	{first: func(k *kit) { k.withCards() }, args: words("crl import FOLDER/organisation.crl"), event: audit.CRLImported},
	{args: words("crl fetch"), event: audit.CRLFetched},
	{args: append(words("crl forget"), organisationCA), event: audit.CRLForgotten},
	{args: append(words("organisation change kuntala --methods card --session-idle 10m --session-absolute 8h --support-phone 0912345 --from"), time.Now().AddDate(0, 0, 10).Format(time.DateOnly)), event: audit.PolicyPlanned},
	{args: words("organisation disable kuntala --reason merged"), event: audit.OrganisationDisabled},
	{args: words("organisation enable kuntala --reason split"), event: audit.OrganisationEnabled},
}

// registrationToken is the ID of the newest.
func (k *kit) registrationToken() string {
	k.t.Helper()
	all, err := k.db.RegistrationTokens(k.t.Context())
	if err != nil || len(all) == 0 {
		k.t.Fatal(all, err)
	}
	return all[0].ID
}

func words(s string) []string { return strings.Fields(s) }

// ringAt is the ring as it was some time ago.
func (k *kit) ringAt(ago time.Duration) *keys.Ring {
	k.t.Helper()
	r, err := keys.OpenRing(k.t.Context(), k.db.Keys(), k.master, keys.Options{Now: func() time.Time { return time.Now().Add(-ago) }})
	if err != nil {
		k.t.Fatal(err)
	}
	return r
}

func (k *kit) preparedBefore(kind keys.Kind, ago time.Duration) {
	k.t.Helper()
	if _, err := k.ringAt(ago).Prepare(k.t.Context(), kind); err != nil {
		k.t.Fatal(err)
	}
}

func (k *kit) promotedBefore(kind keys.Kind, ago time.Duration) {
	k.t.Helper()
	k.preparedBefore(kind, ago+25*time.Hour)
	if err := k.ringAt(ago).Promote(k.t.Context(), kind); err != nil {
		k.t.Fatal(err)
	}
}

// TestChangesAreRehearsedUnlessApplied: without --apply nothing is written and no
// secret is shown; with it the change is there, with its event in the operator's
// name.
func TestChangesAreRehearsedUnlessApplied(t *testing.T) {
	for _, driver := range storetest.Drivers {
		t.Run(driver, func(t *testing.T) {
			k := newKit(t, driver)
			done := map[string]bool{}
			for _, c := range changes {
				c.args = slices.Clone(c.args)
				if c.first != nil {
					c.first(k)
				}
				for i, arg := range c.args {
					c.args[i] = strings.ReplaceAll(arg, "FOLDER", k.folder())
					switch arg {
					case "TOKEN":
						c.args[i] = k.registrationToken()
					case "FIRST":
						c.args[i] = k.codeOf(-1)
					case "SECOND":
						c.args[i] = k.codeOf(0)
					}
				}
				before := k.state()
				dry, note, code := k.run(append(c.args, "--json")...)
				if code != 0 || !strings.Contains(note, "Dry run") {
					t.Fatalf("%v rehearsed: exit code %d: %s", c.args, code, note)
				}
				if k.state() != before {
					t.Fatalf("%v changed something in a dry run", c.args)
				}
				if o := decode[outcome](t, dry); o.Applied || o.TemporaryPassword != "" || o.LinkingCode != "" || o.ClientSecret != "" || o.RegistrationToken != "" || o.Note != "" {
					t.Errorf("%v rehearsed: %s", c.args, dry)
				}
				if o := decode[outcome](t, k.ok(append(c.args, "--json", "--apply")...)); !o.Applied || o.Result == nil {
					t.Errorf("%v: %+v", c.args, o)
				}
				if k.state() == before {
					t.Fatalf("%v --apply changed nothing", c.args)
				}
				events, err := k.db.AuditEvents(t.Context(), store.Trail{Types: []audit.Type{c.event}, Limit: 1})
				if err != nil || len(events) != 1 || events[0].Actor != "operator:tester" {
					t.Errorf("%v: the trail says %+v, %v", c.args, events, err)
				}
				done[c.args[0]+" "+c.args[1]] = true
			}
			everyCommandIsIn(t, done)
		})
	}
}

// everyCommandIsIn fails when a command that changes something has no place in
// the list above.
func everyCommandIsIn(t *testing.T, done map[string]bool) {
	t.Helper()
	readers := []string{"list", "show", "export", "audit key", "audit checkpoint", "audit verify", "trust verify", "trust diff", "card test", "client doctor"}
	for _, group := range newRoot(os.Stdout, os.Stderr).Commands() {
		for _, c := range group.Commands() {
			if name := group.Name() + " " + c.Name(); !slices.Contains(readers, c.Name()) && !slices.Contains(readers, name) && !done[name] {
				t.Errorf("no test rehearses %q", name)
			}
		}
	}
}

// TestTemporaryPasswordIsShownOnce and works; afterwards no command shows it, nor
// anything that it is stored as (S13).
func TestTemporaryPasswordIsShownOnce(t *testing.T) {
	k := newKit(t, store.SQLite)
	k.ok("organisation", "create", "kuntala", "--name", "Kuntala", "--methods", "app", "--apply")
	o := decode[outcome](t, k.ok("user", "create", "aino.alku", "--organisation", "kuntala", "--given-name", "Aino", "--family-name", "Alku", "--apply", "--json"))
	hasher, err := password.NewHasher(password.Params{MemoryKiB: 64, Time: 1})
	if err != nil {
		t.Fatal(err)
	}
	k.linkAuthenticator("aino.alku")
	p := k.person("aino.alku")
	if ok, _, err := hasher.Verify(t.Context(), p.Password.Hash, o.TemporaryPassword); !ok || err != nil || !p.Password.Temporary {
		t.Errorf("the printed password %q does not work: %v", o.TemporaryPassword, err)
	}
	for _, out := range []string{k.ok("user", "show", "aino.alku"), k.ok("user", "show", "aino.alku", "--json"), k.ok("user", "list", "--json"), k.ok("audit", "list", "--json")} {
		for _, secret := range []string{o.TemporaryPassword, p.Password.Hash, "argon2", "sealed-canary"} {
			if strings.Contains(out, secret) {
				t.Errorf("%q is shown: %s", secret, out)
			}
		}
	}
}

// TestClientSecretIsShownOnce and is what the client proves itself with; a new
// one replaces it.
func TestClientSecretIsShownOnce(t *testing.T) {
	k := newKit(t, store.SQLite)
	k.seed()
	matches := func(secret string) bool {
		c, err := k.db.Client(t.Context(), "records")
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256([]byte(secret))
		return c.SecretHash == hex.EncodeToString(sum[:])
	}
	create := decode[outcome](t, k.ok("client", "create", "other", "--name", "en=Other", "--redirect-uris", "https://other.example.fi/cb", "--auth-method", "none", "--apply", "--json"))
	if create.ClientSecret != "" {
		t.Error("a public client has got a secret")
	}
	first := decode[outcome](t, k.ok("client", "rotate-secret", "records", "--apply", "--json")).ClientSecret
	if first == "" || !matches(first) {
		t.Errorf("the printed secret %q is not the client's", first)
	}
	beside := decode[outcome](t, k.ok("client", "rotate-secret", "records", "--keep", "1h", "--apply", "--json")).ClientSecret
	if c, err := k.db.Client(t.Context(), "records"); err != nil || !matches(beside) || c.OldSecretHash == "" || !c.OldSecretUntil.After(time.Now()) {
		t.Errorf("the former secret does not work on: %v", err)
	}
	second := decode[outcome](t, k.ok("client", "rotate-secret", "records", "--keep", "0s", "--apply", "--json")).ClientSecret
	if !matches(second) || matches(first) || matches(beside) {
		t.Error("the former secret has outlived the new one")
	}
	c, err := k.db.Client(t.Context(), "records")
	if err != nil {
		t.Fatal(err)
	}
	for _, out := range []string{k.ok("client", "show", "records", "--json"), k.ok("client", "list"), k.ok("audit", "list", "--json")} {
		if strings.Contains(out, second) || strings.Contains(out, c.SecretHash) {
			t.Errorf("the secret or its hash is shown: %s", out)
		}
	}
}

// TestRegistrationTokenIsShownOnce and is stored as its hash.
func TestRegistrationTokenIsShownOnce(t *testing.T) {
	k := newKit(t, store.SQLite)
	o := decode[outcome](t, k.ok("registration-token", "create", "--uses", "2", "--apply", "--json"))
	sum := sha256.Sum256([]byte(o.RegistrationToken))
	if found, err := k.db.RegistrationToken(t.Context(), hex.EncodeToString(sum[:]), time.Now()); err != nil || found.Uses != 2 {
		t.Errorf("the printed token does not work: %+v %v", found, err)
	}
	for _, out := range []string{k.ok("registration-token", "list"), k.ok("registration-token", "list", "--json"), k.ok("audit", "list", "--json")} {
		if strings.Contains(out, o.RegistrationToken) || strings.Contains(out, hex.EncodeToString(sum[:])) {
			t.Errorf("the token or its hash is shown: %s", out)
		}
	}
}

// TestExportIsWhatImportReads, and a second import changes nothing.
func TestExportIsWhatImportReads(t *testing.T) {
	k := newKit(t, store.SQLite)
	k.seed()
	k.file("records.json", k.ok("client", "export", "records"))
	before := k.state()
	k.ok("client", "import", k.folder()+"/records.json", "--apply")
	if k.state() != before {
		t.Error("importing what was exported changed something")
	}
	k.file("wrong.json", `{"client_id":"records","redirect_uri":"https://a.example/cb"}`)
	k.fails(exitInvalid, "redirect_uri: there is no such member", "client", "import", k.folder()+"/wrong.json")
	k.fails(exitInvalid, "no such file", "client", "import", k.folder()+"/none.json")
	k.fails(exitNotFound, "no such client", "client", "export", "none")
}

// TestWrongInput: a message names what is wrong, the exit code says of which kind
// it is, and nothing has changed.
func TestWrongInput(t *testing.T) {
	k := newKit(t, store.SQLite)
	k.seed()
	for _, c := range []struct {
		args string
		code int
		text string
	}{
		{"organisation create Kuntala --name K --methods app", exitInvalid, "id: use"},
		{"organisation create k --methods app", exitInvalid, "name: give a value"},
		{"organisation create k --name K", exitInvalid, "methods: permit at least one"},
		{"organisation create k --name K --methods sms", exitInvalid, `methods: "sms" is not one of card, app, token`}, // S12
		{"organisation create k --name K --methods app --delivery pigeon", exitInvalid, "delivery:"},
		{"organisation create kuntala --name K --methods app", exitConflict, "already"},
		{"organisation change none --name K", exitNotFound, "no such organisation"},
		{"user create matti --organisation none --given-name M --family-name M", exitNotFound, "no such organisation"},
		{"user create matti/ --organisation kuntala --given-name M --family-name M", exitInvalid, "username:"},
		{"user create matti --organisation kuntala --family-name M", exitInvalid, "given-name:"},
		{"user create matti --organisation kuntala --given-name M --family-name M --email no", exitInvalid, "email:"},
		{"user create matti --organisation kuntala --given-name M --family-name M --language de", exitInvalid, "language:"},
		{"user create matti --organisation kuntala --given-name M --family-name M --claim picture=http://m.example/", exitInvalid, "picture:"},
		{"user create matti --organisation kuntala --given-name M --family-name M --claim email_verified=true", exitInvalid, "email_verified:"},
		{"user change aino.alku --claim shoe_size=38", exitInvalid, "shoe_size: there is no such claim"},
		{"user change aino.alku --claim sub=someone", exitInvalid, "sub: there is no such claim"},
		{"user change aino.alku --claim birthdate", exitInvalid, "NAME=VALUE"},
		{"user change aino.alku --claim email_verified=perhaps", exitInvalid, "email_verified:"},
		{"user change aino.alku --claim zoneinfo=../x", exitInvalid, "zoneinfo:"},
		{"user change aino.alku --address town=Helsinki", exitInvalid, "address.town: there is no such claim"},
		{"user change aino.alku --claim nickname=A --address country", exitInvalid, "NAME=VALUE"},
		{"user role aino.alku", exitInvalid, "--give"},
		{"user role aino.alku --give king", exitInvalid, `"king" is not one of responsible`},
		{"user role aino.alku --give operator --take operator", exitInvalid, "roles:"},
		{"user role nobody --give operator", exitNotFound, "no such user"},
		{"user create AINO.ALKU --organisation kuntala --given-name M --family-name M", exitConflict, "taken"},
		{"user order aino.alku", exitInvalid, "reason: give a value"},
		{"user remove-authenticator aino.alku", exitInvalid, "reason: give a value"}, // S60
		{"user unlock aino.alku", exitInvalid, "reason: give a value"},
		{"user end-sessions aino.alku", exitInvalid, "reason: give a value"},
		{"user linking-code aino.alku", exitInvalid, "reason: give a value"},
		{"user linking-code aino.alku --reason x --lasts 25h", exitInvalid, "ten minutes to 24 hours"},
		{"user resync aino.alku --reason x --first 12345 --second 123456", exitInvalid, "six digits"},
		{"user unfreeze aino.alku", exitInvalid, "reason: give a value"},
		{"user card approve ask1", exitInvalid, "reason: give a value"},
		{"user card approve ask1 --reason x", exitNotFound, "No such card waits"},
		{"organisation change kuntala --card-holder perhaps", exitInvalid, "card-holder:"},
		{"user disable aino.alku", exitInvalid, "reason: give a value"},
		{"user enable aino.alku --reason back", exitConflict, "not disabled"},
		{"user enable aino.alku", exitInvalid, "reason: give a value"},
		{"organisation disable kuntala", exitInvalid, "reason: give a value"},
		{"user order nobody --reason x", exitNotFound, "no such user"},
		{"client create a --name Records --redirect-uris https://a.example/cb", exitInvalid, "name:"},
		{"client create a --name en=A", exitInvalid, "redirect_uris:"},
		{"client create a --name en=A --redirect-uris http://a.example/cb", exitInvalid, "must be https"},
		{"client create a --name en=A --redirect-uris https://*.example/cb", exitInvalid, "wildcard"},
		{"client create a --name en=A --redirect-uris https://a.example/cb --minimum-acr gold", exitInvalid, "minimum_acr:"},
		{"client create a --name en=A --redirect-uris https://a.example/cb --minimum-acr urn:portti:acr:enrol", exitInvalid, "minimum_acr:"}, // S19
		{"client create a --name en=A --redirect-uris https://a.example/cb --algorithm HS256", exitInvalid, "algorithm:"},
		{"client create a --name en=A --redirect-uris https://a.example/cb --grant-types password", exitInvalid, "grant_types:"},
		{"client create a --name en=A --redirect-uris https://a.example/cb --access-token-ttl 24h", exitInvalid, "access_token_ttl:"},
		{"client create a --name en=A --redirect-uris https://a.example/cb --methods sms", exitInvalid, "methods:"},
		{"client create records --name en=A --redirect-uris https://a.example/cb", exitConflict, "already"},
		{"client change records --auth-method none", exitInvalid, "auth_method:"},
		{"client enable records", exitConflict, "not disabled"},
		{"client rotate-secret none", exitNotFound, "no such client"},
		{"registration-token create --uses 0", exitInvalid, "uses:"},
		{"registration-token create --expires 10000h", exitInvalid, "expires:"},
		{"registration-token revoke none", exitNotFound, "no such registration token"},
		{"key prepare RSA-4096", exitInvalid, "kind:"},
		{"organisation create", exitInvalid, "accepts 1 arg"},
		{"organisation create a b", exitInvalid, "accepts 1 arg"},
		{"organisation create a --nmae x", exitInvalid, "unknown flag"},
		{"organization list", exitInvalid, "unknown command"},
		{"user delete aino.alku", exitInvalid, "unknown command"},
		{"audit list --since yesterday", exitInvalid, "--since:"},
		{"audit list --limit 0", exitInvalid, "--limit:"},
		{"audit list --user nobody", exitNotFound, "no such user"},
		{"user list --organisation none", exitNotFound, "no such organisation"},
	} {
		k.fails(c.code, c.text, words(c.args)...)
	}
}

// TestClaimsAndRoles: flags that are not given leave theirs, empty ones forget, and
// what is shown has the names that services see.
func TestClaimsAndRoles(t *testing.T) {
	k := newKit(t, store.SQLite)
	k.ok("organisation", "create", "kuntala", "--name", "Kuntala", "--methods", "app", "--apply")
	k.ok("user", "create", "aino.alku", "--organisation", "kuntala", "--given-name", "Aino", "--family-name", "Alku", "--email", "aino@kuntala.example", "--claim", "email_verified=true",
		"--claim", "nickname=Ainu, a=b", "--claim", "birthdate=1980", "--address", "locality=Helsinki", "--address", "street_address=Katu 1\nA 2", "--apply")
	k.ok("user", "change", "aino.alku", "--claim", "birthdate=", "--claim", "zoneinfo=Europe/Helsinki", "--apply")
	want := identity.Claims{Nickname: "Ainu, a=b", EmailVerified: true, Zoneinfo: "Europe/Helsinki", Address: identity.Address{Locality: "Helsinki", Street: "Katu 1\nA 2"}}
	show := func() userView { return decode[userView](t, k.ok("user", "show", "aino.alku", "--json")) }
	if v := show(); v.Claims != want || len(v.Roles) != 0 || !v.Updated.After(v.Created) {
		t.Errorf("got %+v", v)
	}
	k.ok("user", "change", "aino.alku", "--email", "other@kuntala.example", "--apply")
	if show().Claims.EmailVerified {
		t.Error("the new address counts as verified")
	}
	k.ok("user", "change", "aino.alku", "--email", "third@kuntala.example", "--claim", "email_verified=true", "--apply")
	if !show().Claims.EmailVerified {
		t.Error("the third address was said to be verified, and is not")
	}
	out := k.ok("user", "show", "aino.alku")
	for _, line := range []string{"claims:", "  zoneinfo: Europe/Helsinki", "    locality: Helsinki"} {
		if !strings.Contains(out, line+"\n") {
			t.Errorf("%q is not in %s", line, out)
		}
	}
	k.ok("user", "role", "aino.alku", "--give", "operator", "--apply")
	if v := show(); !slices.Equal(v.Roles, []string{"operator"}) {
		t.Errorf("roles %v", v.Roles)
	}
	k.ok("user", "role", "aino.alku", "--take", "operator", "--apply")
	if v := show(); len(v.Roles) != 0 {
		t.Errorf("roles %v", v.Roles)
	}
}

// TestKeyIsPromotedOnlyAfterItsTime: clients must have had the time to fetch it.
func TestKeyIsPromotedOnlyAfterItsTime(t *testing.T) {
	k := newKit(t, store.SQLite)
	k.ok("key", "prepare", "P-256", "--apply")
	k.fails(exitConflict, "It can be promoted in 1 day", "key", "promote", "P-256")
	k.fails(exitConflict, "Prepare one first", "key", "promote", "Ed25519")
}

// newMaster seals a secret and puts another master key on top of the file.
func (k *kit) newMaster() {
	k.t.Helper()
	if _, err := keys.OpenSecret(k.t.Context(), k.db.Keys(), k.master, "kept"); err != nil {
		k.t.Fatal(err)
	}
	path := filepath.Join(filepath.Dir(k.config), "master.key")
	old, err := os.ReadFile(path)
	if err != nil {
		k.t.Fatal(err)
	}
	if err := os.WriteFile(path, append([]byte(keys.GenerateMaster()+"\n"), old...), 0o600); err != nil {
		k.t.Fatal(err)
	}
	if k.master, err = keys.LoadMaster(path); err != nil {
		k.t.Fatal(err)
	}
}

// TestResealTellsWhatRemains: counted first, then done, and what no key opens is
// told by an exit code.
func TestResealTellsWhatRemains(t *testing.T) {
	for _, driver := range storetest.Drivers {
		t.Run(driver, func(t *testing.T) {
			k := newKit(t, driver)
			type view struct {
				Result  []keys.Resealed
				Warning string
			}
			count := func(out string) (found, resealed, left int, warning string) {
				v := decode[view](t, out)
				for _, r := range v.Result {
					found, resealed, left = found+r.Found, resealed+r.Resealed, left+r.Left
				}
				return found, resealed, left, v.Warning
			}
			k.ringAt(0) // three signing keys
			k.newMaster()
			if f, r, l, w := count(k.ok("key", "reseal", "--json")); f != 4 || r != 0 || l != 4 || w != "" {
				t.Errorf("rehearsed: found %d, resealed %d, left %d, %q", f, r, l, w)
			}
			if f, r, l, w := count(k.ok("key", "reseal", "--json", "--apply")); f != 4 || r != 4 || l != 0 || !strings.Contains(w, k.master.Others()[0]) {
				t.Errorf("applied: found %d, resealed %d, left %d, %q", f, r, l, w)
			}
			if f, _, l, _ := count(k.ok("key", "reseal", "--json", "--apply")); f != 0 || l != 0 {
				t.Errorf("applied again: found %d, left %d", f, l)
			}
			k.seed() // its authenticator has no sealed key
			out, errs, code := k.run("key", "reseal", "--json", "--apply")
			if _, _, l, w := count(out); code != exitConflict || l != 1 || !strings.Contains(errs, "cannot be opened") || !strings.Contains(w, "Take no key out") {
				t.Errorf("exit code %d, left %d: %s %s", code, l, errs, w)
			}
		})
	}
}

// TestAReplacedKeyIsGone: the list no longer has it, and the operator hears what
// that breaks, in the dry run already.
func TestAReplacedKeyIsGone(t *testing.T) {
	k := newKit(t, store.SQLite)
	k.ok("key", "prepare", "P-256", "--apply")
	type view struct {
		Result  []keyView
		Warning string
	}
	before := decode[[]keyView](t, k.ok("key", "list", "--json"))
	for _, args := range [][]string{{}, {"--apply"}} {
		v := decode[view](t, k.ok(append(words("key replace P-256 --json"), args...)...))
		if len(v.Result) != 1 || v.Result[0].State != keys.Current || !strings.Contains(v.Warning, "refused from now on") {
			t.Errorf("%v: %+v", args, v)
		}
		if slices.ContainsFunc(before, func(b keyView) bool { return b.ID == v.Result[0].ID }) {
			t.Errorf("%v: the key is not new", args)
		}
	}
	left := 0
	for _, b := range before {
		for _, now := range decode[[]keyView](t, k.ok("key", "list", "--json")) {
			if now.ID == b.ID {
				left++
			}
		}
	}
	if left != 2 { // RSA-2048 and Ed25519
		t.Errorf("%d of %d keys are left", left, len(before))
	}
}

// TestListsAndFilters: what reads need no --apply and show what was asked for.
func TestListsAndFilters(t *testing.T) {
	k := newKit(t, store.SQLite)
	if out := k.ok("organisation", "list", "--json"); strings.TrimSpace(out) != "[]" {
		t.Errorf("an empty list is %q", out)
	}
	k.seed()
	k.ok("organisation", "create", "saaristo", "--name", "Saaristo", "--methods", "token", "--apply")
	k.ok("user", "create", "kai", "--organisation", "saaristo", "--given-name", "Kai", "--family-name", "K", "--language", "sv", "--apply")
	if v := decode[[]organisationView](t, k.ok("organisation", "list", "--json")); len(v) != 2 || v[0].ID != "kuntala" || !slices.Equal(v[0].Methods, []string{"card", "app"}) {
		t.Errorf("organisations: %+v", v)
	}
	if v := decode[[]userView](t, k.ok("user", "list", "--organisation", "saaristo", "--json")); len(v) != 1 || v[0].Username != "kai" || v[0].Password.Kind != "temporary" {
		t.Errorf("people of saaristo: %+v", v)
	}
	if v := decode[userView](t, k.ok("user", "show", "Aino.Alku", "--json")); v.Authenticator == nil || v.Authenticator.Kind != "app" || v.Card != nil {
		t.Errorf("aino: %+v", v)
	}
	if out := k.ok("user", "list"); !strings.Contains(out, "USERNAME") || !strings.Contains(out, "aino.alku  kuntala") {
		t.Errorf("table: %s", out)
	}
	if found := decode[[]symptomView](t, k.ok("client", "doctor", "records", "--json")); len(found) == 0 || found[0].Symptom == "" || found[0].Explanation == "" {
		t.Errorf("the client doctor finds %+v", found)
	}
	if out := k.ok("client", "doctor", "records"); !strings.Contains(out, "WEIGHT") || !strings.Contains(out, "note") {
		t.Errorf("the client doctor says %s", out)
	}
	if v := decode[clientView](t, k.ok("client", "show", "records", "--json")); !v.RequirePKCE || v.Algorithm != keys.RS256 || v.AuthMethod != "client_secret_basic" {
		t.Errorf("defaults of a client: %+v", v)
	}
	k.askForCard("aino.alku", "ask1")
	if v := decode[[]approvalView](t, k.ok("user", "card", "list", "--organisation", "kuntala", "--json")); len(v) != 1 || v[0].ID != "ask1" || v[0].Username != "aino.alku" || v[0].Name != "Aino Alku" || v[0].Holder != "ALKU AINA" || v[0].Proved != "app" {
		t.Errorf("cards that wait: %+v", v)
	}
	if out := k.ok("user", "card", "list", "--organisation", "saaristo"); strings.Contains(out, "ask1") {
		t.Errorf("another organisation's: %s", out)
	}
	if v := decode[organisationView](t, k.ok("organisation", "show", "saaristo", "--json")); v.HolderRule != "approve" {
		t.Errorf("the default is %q", v.HolderRule)
	}
	all := decode[[]eventView](t, k.ok("audit", "list", "--json"))
	aino := decode[[]eventView](t, k.ok("audit", "list", "--user", "aino.alku", "--json"))
	created := decode[[]eventView](t, k.ok("audit", "list", "--type", "user.created", "--since", "1h", "--json"))
	old := decode[[]eventView](t, k.ok("audit", "list", "--until", "2020-01-01", "--json"))
	if len(all) != 5 || len(aino) != 1 || len(created) != 2 || len(old) != 0 {
		t.Errorf("events: all %d, aino's %d, user.created %d, old %d", len(all), len(aino), len(created), len(old))
	}
}

// TestOutOfReach: each thing that the tool cannot do without is named.
func TestOutOfReach(t *testing.T) {
	k := newKit(t, store.SQLite)
	good, err := os.ReadFile(k.config)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		from, to, text string
		code           int
	}{
		"no master key":       {"master_key_file: master.key", "master_key_file: absent.key", "master_key_file", exitFailed},
		"no database yet":     {"path: ", "path: /nonexistent", "portti migrate", exitFailed},
		"PostgreSQL is away":  {string(good[strings.Index(string(good), "database:"):]), "database: {driver: postgres, dsn: 'postgres://portti@127.0.0.1:1/portti'}\n", "database.dsn", exitUnavailable},
		"unknown setting":     {"brand: Portti", "brand: Portti\nbrnad: x", "did you mean brand", exitFailed},
		"password in the DSN": {string(good[strings.Index(string(good), "database:"):]), "database: {driver: postgres, dsn: 'postgres://portti:hunter2@127.0.0.1:1/portti'}\n", "database.password_file", exitFailed},
	} {
		t.Run(name, func(t *testing.T) {
			bad := strings.Replace(string(good), c.from, c.to, 1)
			if err := os.WriteFile(k.config, []byte(bad), 0o600); err != nil {
				t.Fatal(err)
			}
			out, errs, code := k.run("organisation", "list")
			if code != c.code || !strings.Contains(errs, c.text) || out != "" || strings.Contains(errs, "hunter2") {
				t.Errorf("exit code %d, want %d; it says %q, want %q", code, c.code, errs, c.text)
			}
		})
	}
}

// TestOperator: a name that could forge a line of the trail is refused.
func TestOperator(t *testing.T) {
	k := newKit(t, store.SQLite)
	if _, errs, code := k.run("organisation", "list", "--operator", "a b"); code != exitInvalid || !strings.Contains(errs, "--operator") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	t.Setenv("SUDO_USER", "liisa")
	if who, err := (&tool{}).actor(); err != nil || who.Name != "operator:liisa" {
		t.Errorf("under sudo: %+v, %v", who, err)
	}
}

// TestAChangeOfMethodsSaysWhoIsStranded before anything is applied (S8).
func TestAChangeOfMethodsSaysWhoIsStranded(t *testing.T) {
	k := newKit(t, store.SQLite)
	k.ok("organisation", "create", "kuntala", "--name", "Kuntala", "--methods", "app,card", "--apply")
	for _, name := range []string{"aino.alku", "bertta.uusi"} {
		k.ok("user", "create", name, "--organisation", "kuntala", "--given-name", "Aino", "--family-name", "Alku", "--apply")
	}
	k.linkAuthenticator("aino.alku")
	type result struct {
		Result struct {
			Effect  effectView
			Planned *planView
			Methods []string
		}
	}
	day := time.Now().AddDate(0, 0, 20)
	for _, args := range [][]string{{}, {"--from", day.Format(time.DateOnly)}, {"--from", day.Format(time.RFC3339)}} {
		r := decode[result](t, k.ok(append([]string{"organisation", "change", "kuntala", "--methods", "card", "--json"}, args...)...)).Result
		if r.Effect.People != 2 || r.Effect.Stranded != 1 || r.Effect.Without != 1 || !slices.Equal(r.Effect.StrandedPeople, []string{"aino.alku"}) || (r.Planned != nil) != (len(args) > 0) {
			t.Errorf("%v: %+v", args, r)
		}
	}
	for _, wrong := range [][]string{{"--from", "tomorrow"}, {"--from", day.Format(time.DateOnly), "--name", "Other"}} {
		if _, _, code := k.run(append([]string{"organisation", "change", "kuntala", "--methods", "card"}, wrong...)...); code != exitInvalid {
			t.Errorf("%v: exit code %d", wrong, code)
		}
	}
}
