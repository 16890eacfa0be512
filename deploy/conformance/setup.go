package main

import (
	"context"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/portti-id/portti/internal/cardtest"
	"github.com/portti-id/portti/internal/ephemeral"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/keys"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/password"
	"github.com/portti-id/portti/internal/store"
	"github.com/portti-id/portti/internal/throttle"
	"github.com/portti-id/portti/internal/totp"
)

// Files in the data folder.
const (
	settingsFile = "portti.yaml"
	masterKey    = "master.key"
	databaseFile = "portti.db"
	serverCert   = "server.crt"
	serverKey    = "server.key"
	serverCA     = "server-ca.crt" // what the suite may trust
	clientCA     = "client-ca.crt" // of tls_client_auth
	personKey    = "person.totp"   // the key of the person's authenticator
	plansFolder  = "plans"
)

// The person who signs in. The password is for a database that is thrown away.
const (
	username = "conformance"
	secret   = "an agency tests its own front door"
)

// setup makes everything in an empty folder. One that it has filled is left as
// it is, since the suite has been given what lies there.
func setup(ctx context.Context, p place) error {
	if _, err := os.Stat(filepath.Join(p.Data, plansFolder)); err == nil {
		return nil
	}
	if err := os.MkdirAll(p.Data, 0o700); err != nil {
		return err
	}
	if there, err := os.ReadDir(p.Data); err != nil || len(there) > 0 {
		return errors.Join(fmt.Errorf("%s is not empty, and a setup was not finished there: delete it", p.Data), err)
	}
	pki, err := certificates(p)
	if err != nil {
		return err
	}
	if err := p.write(masterKey, []byte(keys.GenerateMaster()+"\n")); err != nil {
		return err
	}
	if err := p.write(settingsFile, []byte(settings(p))); err != nil {
		return err
	}
	master, err := keys.LoadMaster(filepath.Join(p.Data, masterKey))
	if err != nil {
		return err
	}
	db, err := store.Open(ctx, store.Config{Driver: store.SQLite, Path: filepath.Join(p.Data, databaseFile)}, store.Deps{Seal: master.Seal, Marker: master})
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	if err := person(ctx, db, master, p); err != nil {
		return fmt.Errorf("the person: %w", err)
	}
	clients := &openid.Clients{Store: db, ACR: openid.NewACRs("urn:portti:acr:"), Now: time.Now}
	registered, err := register(ctx, clients, p, pki)
	if err != nil {
		return err
	}
	return writePlans(p, registered)
}

func (p place) write(name string, content []byte) error {
	path := filepath.Join(p.Data, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o600)
}

// certificates makes the proxy's, and the CA of clients with certificates.
func certificates(p place) (*cardtest.PKI, error) {
	pki, err := cardtest.New(time.Now())
	if err != nil {
		return nil, err
	}
	server, err := pki.ServerCertificate("localhost", "127.0.0.1")
	if err != nil {
		return nil, err
	}
	cert, key, err := pairPEM(*server)
	if err != nil {
		return nil, err
	}
	for name, content := range map[string][]byte{serverCert: cert, serverKey: key, serverCA: pki.Server.PEM(), clientCA: pki.Server.PEM()} {
		if err := p.write(name, content); err != nil {
			return nil, err
		}
	}
	return pki, nil
}

// settings are Portti's. Nothing in them is of tests: it is a provider with a
// database of its own, behind a proxy, which may call the suite.
func settings(p place) string {
	suite, _ := url.Parse(p.Suite)
	mtls, _ := url.Parse(p.MTLS)
	return strings.NewReplacer("ISSUER", p.Issuer, "BEHIND", p.Behind, "SUITE", suite.Hostname(), "MTLS", p.MTLS, "PORT", mtls.Port()).Replace(`issuer: ISSUER
brand: Portti
master_key_file: ` + masterKey + `
listen:
  address: BEHIND
  proxies: [127.0.0.1/32]
database:
  driver: sqlite
  path: ` + databaseFile + `
mtls:
  url: MTLS
  address: ":PORT"
  certificate_file: ` + serverCert + `
  key_file: ` + serverKey + `
  client_ca_files: [` + clientCA + `]
dynamic_registration: open
logout_notices:
  allow_hosts: [SUITE]
log:
  format: text
`)
}

// everyClaim is what the modules on scopes and claims look for.
var everyClaim = identity.Claims{MiddleName: "Testi", Nickname: "Tessa", Profile: "https://agency.example/people/conformance", Picture: "https://agency.example/people/conformance.png",
	Website: "https://conformance.example/", Gender: "female", Birthdate: "1980-02-29", Zoneinfo: "Europe/Helsinki", EmailVerified: true, Phone: "+358401234567", PhoneVerified: true,
	Address: identity.Address{Formatted: "Koekatu 1\n00100 Helsinki\nFinland", Street: "Koekatu 1", Locality: "Helsinki", Region: "Uusimaa", PostalCode: "00100", Country: "Finland"}}

// person makes an employee who has had her first day: a password of her own and
// an authenticator, the key of which the proxy gets.
func person(ctx context.Context, db *store.Store, master *keys.Master, p place) error {
	hasher, err := password.NewHasher(password.Params{})
	if err != nil {
		return err
	}
	rules, err := password.NewRules(0)
	if err != nil {
		return err
	}
	names, err := totp.NewNames("Portti", "", false)
	if err != nil {
		return err
	}
	// Some minutes ago, so that the codes of now are not spent.
	at := time.Now().Add(-5 * time.Minute).Truncate(totp.Period).Add(totp.Period / 2)
	memory := ephemeral.NewMemory(time.Now)
	d := &identity.Directory{Store: db, Hasher: hasher, Rules: rules, Sealer: master, Ephemeral: memory, Throttle: &throttle.Throttle{Store: memory}, Audit: db,
		Names: names, Now: func() time.Time { return at }}
	by := identity.Actor{Name: "operator:conformance", Operator: true}
	org := identity.Organisation{ID: "agency", Name: "Agency", Methods: identity.MethodsOf(identity.MethodApp), PersonalPhones: true, Delivery: identity.ByHandover}
	if _, err := d.CreateOrganisation(ctx, by, org); err != nil {
		return err
	}
	u, _, err := d.CreateUser(ctx, by, identity.User{Username: username, Organisation: org.ID, GivenName: "Conny", FamilyName: "Formance", Email: "conformance@agency.example", Language: "en", Claims: everyClaim})
	if err != nil {
		return err
	}
	before, err := db.Person(ctx, u.ID)
	if err != nil {
		return err
	}
	if _, err := d.ReplaceTemporary(ctx, before, secret, ""); err != nil {
		return err
	}
	self := identity.Self{User: u.ID, Session: "setup", AuthTime: at}
	enrolment, err := d.BeginAuthenticator(ctx, self)
	if err != nil {
		return err
	}
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ReplaceAll(enrolment.Base32, " ", ""))
	if err != nil {
		return err
	}
	code, err := totp.Code(key, totp.Step(at))
	if err != nil {
		return err
	}
	if err := d.ConfirmAuthenticator(ctx, self, code, identity.Statement{Kind: identity.MethodApp, OwnDevice: true, WorkPhone: true}); err != nil {
		return err
	}
	return p.write(personKey, key)
}

// indent is JSON for people.
func indent(v any) ([]byte, error) {
	body, err := json.MarshalIndent(v, "", "  ")
	return append(body, '\n'), err
}
