package settings_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/card/revocation"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/server/settings"
)

const minimal = `
issuer: https://id.example.fi
brand: Portti
master_key_file: master.key
listen: {proxies: [192.0.2.0/24]}
`

const proxySecrets = "5f3e0c7a9b1d4e6f8a2c5b7d9e1f3a4c\n  0123456789abcdef0123456789abcdef\n\n"

// proxied is a card host behind a proxy.
func proxied(proxy string) string {
	return minimal + "database: {path: x}\ncard: {url: 'https://*.card.example.fi', certificate_file: c, key_file: master.key, proxy: {" + proxy + "}}"
}

func load(t *testing.T, text string) (*settings.Settings, error) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"portti.yaml": text, "master.key": "k1 x", "proxy.secret": proxySecrets} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return settings.Load(filepath.Join(dir, "portti.yaml"))
}

// TestDefaults: what the comments say is so when a setting is left out.
func TestDefaults(t *testing.T) {
	s, err := load(t, minimal+"database: {path: portti.db}\ncard: {url: 'https://*.card.example.fi', certificate_file: c, key_file: master.key, trust: {folder: .}}\nredis: {addresses: ['r:6379']}\nsmtp: {host: mail.example.fi, from: a@example.fi}\nkeys: {pkcs11: {module: m.so, token: t, pin_file: master.key}}\n")
	if err != nil {
		t.Fatal(err)
	}
	for name, pair := range map[string][2]any{
		"listen.address":          {s.Listen.Address, ":8080"},
		"listen.forwarded_header": {s.Listen.ForwardedHeader, "X-Forwarded-For"},
		"card.address":            {s.Card.Address, ":9443"},
		"card.max_tls":            {s.Card.MaxTLS, "1.3"},
		"database.driver":         {s.Database.Driver, "sqlite"},
		"redis.prefix":            {s.Redis.Prefix, "portti:"},
		"smtp.tls":                {string(s.SMTP.TLS), "starttls"},
		"user_services.client_id": {s.UserServices.ClientID, "user-services"},
		"acr.prefix":              {s.ACR.Prefix, "urn:portti:acr:"},
		"log.format":              {s.Log.Format, "json"},
		"dynamic_registration":    {s.SelfRegistration(), openid.NoSelfRegistration},
		"keys.sign_days":          {s.Keys.Options().SignFor, 90 * 24 * time.Hour},
		"audit.retention_days":    {s.Audit.Retention(), 1826 * 24 * time.Hour},
		"keys.publish_ahead":      {s.Keys.Options().PublishFor, 24 * time.Hour},
		"keys.keep_retired":       {s.Keys.Options().KeepRetired, 7 * 24 * time.Hour},
		"keys.pkcs11.kinds":       {fmt.Sprint(s.Keys.Options().TokenKinds), "[RSA-2048 P-256]"},
		"keys.pkcs11.sessions":    {s.Keys.PKCS11.Sessions, 16},
		"card.revocation.mode":    {s.Card.Revocation.Mode, "require"}, // S24: fails closed
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s is %v, want %v", name, pair[0], pair[1])
		}
	}
	if !filepath.IsAbs(string(s.Database.Path)) || !filepath.IsAbs(string(s.Card.Trust.Folder)) {
		t.Errorf("paths do not start from the settings file: %s, %s", s.Database.Path, s.Card.Trust.Folder)
	}
}

// TestKeysAreRotatedByHandAlone when that is asked for: 0 is not the default.
func TestKeysAreRotatedByHandAlone(t *testing.T) {
	s, err := load(t, minimal+"database: {path: portti.db}\nkeys: {sign_days: 0}\n")
	if err != nil || s.Keys.Options().SignFor != 0 {
		t.Errorf("%v, %v", s.Keys.Options(), err)
	}
}

// Behind a proxy that shows a secret the card host speaks plain http; behind one
// that shows a certificate it speaks TLS.
func TestCardProxy(t *testing.T) {
	for proxy, plain := range map[string]bool{
		"proxy: {format: nginx, header: X-Card, addresses: [10.0.0.7/32], secret_file: proxy.secret}":                                                             true,
		"certificate_file: c, key_file: master.key, proxy: {format: haproxy, addresses: [10.0.0.7/32], client_ca_file: ca.crt}":                                   false,
		"certificate_file: c, key_file: master.key, proxy: {format: envoy, addresses: [10.0.0.7/32], client_ca_file: ca.crt, secret_file: proxy.secret}":          false,
		"certificate_file: c, key_file: master.key, proxy: {format: traefik, addresses: [10.0.0.7/32, 'fd00::/64'], client_ca_file: ca.crt}, max_connections: 10": false,
	} {
		s, err := load(t, minimal+"database: {path: x}\ncard: {url: 'https://*.card.example.fi', trust: {folder: .}, "+proxy+"}")
		if err != nil {
			t.Errorf("%s: %v", proxy, err)
			continue
		}
		if s.Card.PlainHTTP() != plain {
			t.Errorf("%s: plain http %v", proxy, s.Card.PlainHTTP())
		}
		if secrets, err := s.Card.Proxy.Secrets(); err != nil || s.Card.Proxy.SecretFile.Given() != (len(secrets) == 2) {
			t.Errorf("%s: %d secrets, %v", proxy, len(secrets), err)
		}
	}
}

// TestRevocationModes: each is one that somebody implements; a misspelt one is
// refused, and does not become another (S24).
func TestRevocationModes(t *testing.T) {
	section := func(mode string) string {
		return minimal + "database: {path: portti.db}\ncard: {url: 'https://*.card.example.fi', certificate_file: c, key_file: master.key, trust: {folder: cas}, revocation: {mode: " + mode + "}}\n"
	}
	for _, mode := range append(slices.Clone(revocation.Modes), settings.RevocationOff) {
		if s, err := load(t, section(string(mode))); err != nil || s.Card.Revocation.Mode != string(mode) {
			t.Errorf("%s: %v", mode, err)
		}
	}
	for _, mode := range []string{"crl-only", "Off", "none", "false"} {
		if _, err := load(t, section(mode)); err == nil || !strings.Contains(err.Error(), "setting card.revocation.mode") {
			t.Errorf("%s: %v", mode, err)
		}
	}
}

func TestDynamicRegistration(t *testing.T) {
	for word, want := range map[string]openid.SelfRegistration{"off": openid.NoSelfRegistration, "token": openid.SelfRegistrationByToken, "open": openid.OpenSelfRegistration} {
		if s, err := load(t, minimal+"database: {path: portti.db}\ndynamic_registration: "+word+"\n"); err != nil || s.SelfRegistration() != want {
			t.Errorf("%s: %v", word, err)
		}
	}
	if _, err := load(t, minimal+"database: {path: portti.db}\ndynamic_registration: everybody\n"); err == nil || !strings.Contains(err.Error(), "dynamic_registration") {
		t.Error(err)
	}
}

// TestAliases lead to the full name of their level.
func TestAliases(t *testing.T) {
	s, err := load(t, minimal+"database: {path: portti.db}\nacr: {prefix: 'urn:x:', aliases: {phrh: card, loa2: pwd-otp}}\n")
	if err != nil {
		t.Fatal(err)
	}
	want := openid.NewACRs("urn:x:")
	want.Aliases = map[string]string{"phrh": "urn:x:card", "loa2": "urn:x:pwd-otp"}
	if got := s.ACR.Names(); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
}

// TestRefused is what only this package can tell; cmd/portti tries the rest on
// the program itself.
func TestRefused(t *testing.T) {
	for text, want := range map[string]string{
		minimal + "database: {driver: postgres, dsn: 'postgres://u:p@h/d'}":                                                  "database.password_file",
		minimal + "database: {driver: postgres, dsn: 'postgres://u@h/d?password=p'}":                                         "database.password_file",
		minimal + "database: {driver: postgres, dsn: 'host=h PASSWORD=p'}":                                                   "database.password_file",
		minimal + "database: {driver: postgres, dsn: 'host=h', path: x}":                                                     "setting database.path",
		minimal + "database: {path: x, dsn: 'host=h'}":                                                                       "setting database.driver",
		minimal + "database: {path: x, max_conns: -1}":                                                                       "setting database.max_conns",
		minimal + "database: {path: x}\nredis: {addresses: [localhost]}":                                                     "setting redis.addresses[0]",
		minimal + "database: {path: x}\nredis: {addresses: ['a:1'], cluster: true, database: 3}":                             "setting redis.database",
		minimal + "database: {path: x}\nredis: {addresses: ['a:1'], sentinel_username: u}":                                   "setting redis.sentinel_master",
		minimal + "database: {path: x}\nredis: {addresses: ['a:1'], ca_file: ca.crt}":                                        "setting redis.ca_file",
		minimal + "database: {path: x}\naudit: {retention_days: 30}":                                                         "setting audit.retention_days",
		minimal + "database: {path: x}\nkeys: {sign_days: -1}":                                                               "setting keys.sign_days",
		minimal + "database: {path: x}\nkeys: {publish_ahead: 10m}":                                                          "setting keys.publish_ahead",
		minimal + "database: {path: x}\nkeys: {sign_days: 1, publish_ahead: 25h}":                                            "setting keys.publish_ahead",
		minimal + "database: {path: x}\nkeys: {keep_retired: 1h}":                                                            "setting keys.keep_retired",
		minimal + "database: {path: x}\nkeys: {pkcs11: {token: t, pin_file: master.key}}":                                    "setting keys.pkcs11.module",
		minimal + "database: {path: x}\nkeys: {pkcs11: {module: m, pin_file: master.key}}":                                   "setting keys.pkcs11.token",
		minimal + "database: {path: x}\nkeys: {pkcs11: {module: m, token: t}}":                                               "setting keys.pkcs11.pin_file",
		minimal + "database: {path: x}\nkeys: {pkcs11: {module: m, token: t, pin_file: master.key, kinds: [Ed25519]}}":       "setting keys.pkcs11.kinds[0]",
		minimal + "database: {path: x}\nuser_services: {url: 'https://a.example/x'}":                                         "setting user_services.url",
		minimal + "database: {path: x}\ncard: {url: 'https://id.example.fi', certificate_file: c, key_file: master.key}":     "setting card.url",
		minimal + "database: {path: x}\ncard: {certificate_file: c, key_file: master.key}":                                   "setting card.url: it is missing",
		minimal + "database: {path: x}\nmetrics: {address: nowhere}":                                                         "setting metrics.address",
		minimal + "database: {path: x}\ncard: {url: 'https://c.example.fi', max_tls: '1.1'}":                                 "setting card.max_tls",
		proxied("addresses: [10.0.0.7/32], client_ca_file: ca.crt"):                                                          "setting card.proxy.format: it is missing",
		proxied("format: squid, addresses: [10.0.0.7/32], client_ca_file: ca.crt"):                                           "setting card.proxy.format",
		proxied("format: rfc9440, header: X-Cert, addresses: [10.0.0.7/32], client_ca_file: ca.crt"):                         "setting card.proxy.format",
		proxied("format: nginx, client_ca_file: ca.crt"):                                                                     "setting card.proxy.addresses: it is missing",
		proxied("format: nginx, addresses: [10.0.0.7/32, '::/0'], client_ca_file: ca.crt"):                                   "setting card.proxy.addresses[1]",
		proxied("format: nginx, addresses: [10.0.0.7/32]"):                                                                   "setting card.proxy.client_ca_file: it is missing",
		proxied("format: nginx, addresses: [10.0.0.7/32], secret_file: master.key"):                                          "setting card.proxy.secret_file: secret 1", // "k1"
		proxied("format: nginx, addresses: [10.0.0.7/32], secret_file: proxy.secret"):                                        "setting card.certificate_file: it is of no use",
		proxied("format: nginx, addresses: [10.0.0.7/32], client_ca_file: ca.crt}, max_tls: '1.2', trust: {"):                "setting card.max_tls",
		proxied("format: nginx, addresses: [10.0.0.7/32], client_ca_file: ca.crt}, proxy_protocol: [10.0.0.7/32], trust: {"): "setting card.proxy_protocol",
		minimal + "database: {path: x}\ncard: {url: 'https://c.example.fi', proxy_protocol: [0.0.0.0/0]}":                    "setting card.proxy_protocol[0]",
		strings.Replace(minimal, "{proxies: [192.0.2.0/24]}", "{proxies: [192.0.2.0/24], forwarded_header: X-Real-IP}", 1):   "setting listen.forwarded_header",
		strings.Replace(minimal, "https://id.example.fi", "http://id.localhost", 1) + "listen: {certificate_file: c}":        "listen",
	} {
		if _, err := load(t, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\ngives %v, want %q", text, err, want)
		}
	}
}

// TestEverySettingIsExplained where it is declared: a comment of its own, a word
// in the comment above, or the comment of its type.
func TestEverySettingIsExplained(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "settings.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	explained := map[string]bool{} // types with a comment
	for _, d := range file.Decls {
		if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.TYPE && g.Doc != nil {
			explained[g.Specs[0].(*ast.TypeSpec).Name.Name] = true
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		s, ok := spec.Type.(*ast.StructType)
		if !ok {
			return true
		}
		above := "" // the comment of the group
		for _, f := range s.Fields.List {
			name := f.Names[0].Name
			if f.Doc != nil {
				above = f.Doc.Text()
			}
			kind := strings.TrimPrefix(typeName(f.Type), "*")
			if f.Comment == nil && f.Doc == nil && !explained[kind] && !strings.Contains(above, name) {
				t.Errorf("%s.%s is not explained", spec.Name.Name, name)
			}
		}
		return false
	})
}

func typeName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.StarExpr:
		return typeName(e.X)
	}
	return ""
}

// The name alone tells the card host how to ask for the card.
func TestModesNeedNamesOfTheirOwn(t *testing.T) {
	for text, want := range map[string]string{
		"url: 'https://c.example.fi', tls12_url: 'https://c.example.fi:8443'":                             "card.tls12_url",
		"url: 'https://c.example.fi', tls12_url: 'https://*.c.example.fi'":                                "card.tls12_url",
		"url: 'https://c.example.fi', tls12_url: 'https://id.example.fi'":                                 "card.tls12_url",
		"url: 'https://c.example.fi', tls12_url: 'https://d.example.fi', any_url: 'https://d.example.fi'": "card.any_url",
		"url: 'https://c.example.fi', tls12_url: 'https://d.example.fi', no_tls12: true":                  "card.no_tls12",
		"url: 'https://c.example.fi', max_tls: '1.2', no_tls12: true":                                     "card.no_tls12",
		"url: 'https://*.c.example.fi', any_url: 'https://d.example.fi'":                                  "card.any_url",
		"url: 'https://c.example.fi', tls12_url: 'https://d.example.fi', any_url: 'https://e.example.fi'": "",
	} {
		_, err := load(t, minimal+"database: {path: x}\ncard: {certificate_file: c, key_file: master.key, trust: {folder: .}, "+text+"}")
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), "setting "+want)) {
			t.Errorf("%s\ngives %v, want %q", text, err, want)
		}
	}
}
