package main

import (
	"context"
	"encoding/base32"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/console"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/keys"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/store"
	"github.com/portti-id/portti/internal/totp"
	"github.com/portti-id/portti/internal/userservices"
)

// ownPassword is the password of everybody in the demo who has chosen one.
const ownPassword = "punainen tupa ja perunamaa"

// Organisations and people are invented.
var organisations = []identity.Organisation{
	{ID: "kuntala", Name: "Kuntalan kaupunki", Methods: identity.MethodsOf(identity.AllMethods...), PersonalPhones: true, Delivery: identity.ByLetter,
		ITContact: "it-tuki@kuntala.example"},
	{ID: "saaristo", Name: "Saariston hyvinvointialue", Methods: identity.MethodsOf(identity.MethodCard), SharedWorkstations: true, Delivery: identity.ByLetter,
		ITContact: "it@saaristo.example"},
	{ID: "tietoapu", Name: "Tietoapu Oy", Methods: identity.MethodsOf(identity.MethodApp, identity.MethodToken), Delivery: identity.ByLetter},
	{ID: "rannikko", Name: "Rannikon pelastuslaitos", Methods: identity.MethodsOf(identity.MethodCard, identity.MethodApp), PersonalPhones: true, Delivery: identity.BySMS},
}

// person is somebody in the demo, and where she stands.
type person struct {
	identity.User
	Own      bool          // has changed the temporary password for ownPassword
	App      bool          // has an authenticator
	Card     bool          // has her card linked
	Disabled bool          //
	Role     identity.Role // 0: an employee, who does nothing for others
	Since    time.Duration // how long ago the account was made
}

const day = 24 * time.Hour

// people, the two heroes of the desk's stories first.
var people = []person{
	{User: identity.User{Username: "aino.alku", Organisation: "kuntala", GivenName: "Aino", FamilyName: "Alku", Language: "en"}, Since: time.Minute},
	{User: identity.User{Username: "kai.kustaa", Organisation: "saaristo", GivenName: "Kai", FamilyName: "Kustaa", Language: "sv"}, Since: 2 * time.Minute},
	{User: identity.User{Username: "otto.ohjelma", Organisation: "tietoapu", GivenName: "Otto", FamilyName: "Ohjelma", Language: "fi"}, Own: true, App: true, Since: 10 * time.Minute},
	{User: identity.User{Username: "kaisa.kortti", Organisation: "saaristo", GivenName: "Kaisa", FamilyName: "Kortti", Language: "fi"}, Own: true, Card: true, Since: 15 * time.Minute},
	{User: identity.User{Username: "molla.molemmat", Organisation: "kuntala", GivenName: "Molla", FamilyName: "Molemmat", Language: "fi"}, Own: true, App: true, Card: true, Since: 20 * time.Minute},
	{User: identity.User{Username: "viivi.vanha", Organisation: "kuntala", GivenName: "Viivi", FamilyName: "Vanha", Language: "fi"}, Since: 15 * day},
	{User: identity.User{Username: "lasse.lopetti", Organisation: "kuntala", GivenName: "Lasse", FamilyName: "Lopetti", Language: "fi"}, Own: true, Card: true, Disabled: true, Since: 30 * time.Minute},
	{User: identity.User{Username: "tiina.tiedot", Organisation: "kuntala", GivenName: "Tiina", FamilyName: "Tiedot", Language: "fi", Claims: everyClaim}, Own: true, App: true, Since: 25 * time.Minute},
	// Who work in the Console.
	{User: identity.User{Username: "reetta.vastuu", Organisation: "kuntala", GivenName: "Reetta", FamilyName: "Vastuu", Language: "fi"}, Own: true, App: true, Role: identity.RoleResponsible, Since: 40 * time.Minute},
	{User: identity.User{Username: "heikki.tuki", Organisation: "tietoapu", GivenName: "Heikki", FamilyName: "Tuki", Language: "fi"}, Own: true, App: true, Role: identity.RoleHelpDesk, Since: 41 * time.Minute},
	{User: identity.User{Username: "oona.operaattori", Organisation: "tietoapu", GivenName: "Oona", FamilyName: "Operaattori", Language: "en"}, Own: true, App: true, Role: identity.RoleOperator, Since: 42 * time.Minute},
	{User: identity.User{Username: "tarmo.tarkastaja", Organisation: "tietoapu", GivenName: "Tarmo", FamilyName: "Tarkastaja", Language: "sv"}, Own: true, App: true, Role: identity.RoleAuditor, Since: 43 * time.Minute},
	// Who has a phone and no e-mail address.
	{User: identity.User{Username: "pete.puhelin", Organisation: "rannikko", GivenName: "Pete", FamilyName: "Puhelin", Language: "fi", Claims: identity.Claims{Phone: "+358400000001"}}, Own: true, App: true, Since: 35 * time.Minute},
}

// everyClaim is for services that want to see each claim once (OpenID Connect Core §5.1).
var everyClaim = identity.Claims{MiddleName: "Maria", Nickname: "Tinni", Profile: "https://kuntala.example/people/tiina.tiedot", Picture: "https://kuntala.example/people/tiina.tiedot.png",
	Website: "https://tiina.example/", Gender: "female", Birthdate: "1980-02-29", Zoneinfo: "Europe/Helsinki", EmailVerified: true, Phone: "+358401234567", PhoneVerified: true,
	Address: identity.Address{Formatted: "Kuntalantie 1 A 2\n99999 Kuntala\nSuomi", Street: "Kuntalantie 1 A 2", Locality: "Kuntala", Region: "Uusimaa", PostalCode: "99999", Country: "Suomi"}}

// address is where Portti writes to her: the phone, where her organisation has text
// messages sent, or an e-mail address.
func (who person) address() string {
	if who.byText() {
		return who.Claims.Phone
	}
	return who.Username + "@" + string(who.Organisation) + ".example"
}

func (who person) byText() bool { return who.Organisation == "rannikko" }

// letters is how many she gets while she is settled.
func (who person) letters() int {
	n := 1 // the welcome
	for _, more := range []bool{who.Own, who.App, who.Card, who.Disabled} {
		if more {
			n++
		}
	}
	return n
}

// employer is the name of her organisation.
func (who person) employer() string {
	i := slices.IndexFunc(organisations, func(o identity.Organisation) bool { return o.ID == who.Organisation })
	return organisations[i].Name
}

func personOf(username string) (person, bool) {
	return find(func(who person) bool { return who.Username == username })
}

func personAt(address string) (person, bool) {
	return find(func(who person) bool { return who.address() == address })
}

func find(f func(who person) bool) (person, bool) {
	if i := slices.IndexFunc(people, f); i >= 0 {
		return people[i], true
	}
	return person{}, false
}

var seeder = identity.Actor{Name: "operator:demo", Operator: true}

// seed fills an empty database. One that was filled before is left as it is.
func seed(ctx context.Context, directory *identity.Directory, db *store.Store, p *pocket) error {
	if p.seeded {
		return nil
	}
	there, err := db.Organisations(ctx)
	if err != nil {
		return err
	}
	if len(there) > 0 {
		return fmt.Errorf("the first start was cut short; delete the folder %s and start again", filepath.Dir(p.file))
	}
	for _, o := range organisations {
		if _, err := directory.CreateOrganisation(ctx, seeder, o); err != nil {
			return fmt.Errorf("organisation %s: %w", o.ID, err)
		}
	}
	for _, who := range people {
		if err := who.settle(ctx, directory, p); err != nil {
			return fmt.Errorf("%s: %w", who.Username, err)
		}
	}
	return p.change(func() { p.seeded = true })
}

// settle brings a person to where she stands, in the past: the codes of now are
// not spent. The middle of a step tells Portti that the authenticator's clock is
// right (S47).
func (who person) settle(ctx context.Context, directory *identity.Directory, p *pocket) error {
	at := time.Now().Add(-who.Since).Truncate(totp.Period).Add(totp.Period / 2)
	d := *directory
	d.Now = func() time.Time { return at }
	if !who.byText() {
		who.Email = who.address()
	}
	u, _, err := d.CreateUser(ctx, seeder, who.User)
	if err != nil || !who.Own {
		return err
	}
	before, err := d.Store.Person(ctx, u.ID)
	if err != nil {
		return err
	}
	if _, err := d.ReplaceTemporary(ctx, before, ownPassword, ""); err != nil {
		return err
	}
	self := identity.Self{User: u.ID, Session: "seed-" + string(u.ID), AuthTime: at}
	if who.App {
		key, err := link(ctx, &d, self, at)
		if err != nil {
			return err
		}
		if err := p.addKey(who.Name(), key); err != nil {
			return err
		}
		self.Full, self.Proved = true, identity.MethodApp
	}
	if who.Card {
		if err := d.LinkCard(ctx, self, card.Result{Verdict: card.Good, Holder: p.holder(who.Username), At: at}); err != nil {
			return err
		}
	}
	if who.Role != 0 {
		if _, err := d.ChangeRoles(ctx, seeder, u.ID, identity.RolesOf(who.Role), 0); err != nil {
			return err
		}
	}
	if who.Disabled {
		return d.DisableUser(ctx, seeder, u.ID, identity.Why{Reason: "työsuhde päättyi"})
	}
	return nil
}

// link does what a person does in User Services, and returns the key that her
// phone has then.
func link(ctx context.Context, d *identity.Directory, self identity.Self, at time.Time) ([]byte, error) {
	e, err := d.BeginAuthenticator(ctx, self)
	if err != nil {
		return nil, err
	}
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ReplaceAll(e.Base32, " ", ""))
	if err != nil {
		return nil, err
	}
	code, err := totp.Code(key, totp.Step(at))
	if err != nil {
		return nil, err
	}
	return key, d.ConfirmAuthenticator(ctx, self, code, identity.Statement{Kind: identity.MethodApp, OwnDevice: true, WorkPhone: true})
}

// registerClients registers the demo's apps, and gives each a new secret: nobody
// has to keep one.
func registerClients(ctx context.Context, db *store.Store, origin func(name string) string) (map[string]string, error) {
	acr := openid.NewACRs("urn:portti:acr:")
	clients := &openid.Clients{Store: db, ACR: acr, Now: time.Now}
	app := func(name string, title map[string]string, change func(c *openid.Client)) openid.Client {
		c := openid.Client{ID: name, Name: title, AuthMethod: openid.AuthBasic, RequirePKCE: true, Algorithm: keys.ES256, GrantTypes: []openid.GrantType{openid.GrantCode, openid.GrantRefresh},
			RedirectURIs: []string{origin(name) + "/callback"}, PostLogoutRedirectURIs: []string{origin(name) + "/logout/callback"},
			BackChannelLogoutURI: origin(name) + "/logout/backchannel", HomeURI: origin(name) + "/", Scopes: []string{"openid", "profile", "email"}}
		change(&c)
		return c
	}
	all := []openid.Client{
		app("services", map[string]string{"en": "User Services", "fi": "Käyttäjäpalvelut", "sv": "Användartjänster"}, func(c *openid.Client) {
			c.ID, c.Scopes, c.BackChannelLogoutURI, c.ForwardsAddresses = "user-services", userservices.Scopes, origin("services")+userservices.BackChannelLogoutPath, true
		}),
		app("console", map[string]string{"en": "Console", "fi": "Hallinta", "sv": "Administration"}, func(c *openid.Client) {
			c.Scopes, c.BackChannelLogoutURI, c.MinimumACR, c.ForwardsAddresses = console.Scopes, origin("console")+console.BackChannelLogoutPath, acr.PasswordCode, true
		}),
		app("service", map[string]string{"en": "The Service", "fi": "Palvelu", "sv": "Tjänsten"}, func(*openid.Client) {}),
		app("records", map[string]string{"en": "The Records", "fi": "Rekisteri", "sv": "Registret"}, func(c *openid.Client) { c.MinimumACR = acr.Card }),
	}
	secrets := map[string]string{}
	for _, c := range all {
		secret, err := clients.Create(ctx, seeder.Name, c, false)
		if fault.Code(err) == "client_exists" {
			// The ports of this run may be others than those of the last one.
			_, err = clients.Change(ctx, seeder.Name, c.ID, func(old *openid.Client) error {
				old.RedirectURIs, old.PostLogoutRedirectURIs, old.BackChannelLogoutURI, old.HomeURI = c.RedirectURIs, c.PostLogoutRedirectURIs, c.BackChannelLogoutURI, c.HomeURI
				old.ForwardsAddresses = c.ForwardsAddresses
				return nil
			}, false)
			if err == nil {
				secret, err = clients.RotateSecret(ctx, seeder.Name, c.ID, 0, false)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.ID, err)
		}
		secrets[c.ID] = secret
	}
	return secrets, nil
}
