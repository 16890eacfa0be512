package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/card/proxied"
	"github.com/portti-id/portti/internal/config"
	"github.com/portti-id/portti/internal/ephemeral"
	"github.com/portti-id/portti/internal/keys"
	"github.com/portti-id/portti/internal/mail"
	"github.com/portti-id/portti/internal/password"
	"github.com/portti-id/portti/internal/server/settings"
	"github.com/portti-id/portti/internal/store"
	"github.com/portti-id/portti/internal/web"
)

// files is what the settings name by path, read and checked.
type files struct {
	master          *keys.Master
	certificate     *web.Certificate // nil: plain http
	cardCertificate *web.Certificate // nil: no card host, or one that speaks plain http
	cardGate        *proxied.Gate    // nil: no proxy ends the card host's TLS
	trust           *card.Bundle     // nil: no card host
	mtlsCertificate *web.Certificate // nil: services show no certificates
	clientCAs       *x509.CertPool   // of those certificates; nil: none
	carrier         mail.Carrier     // nil: no mail server
	gateway         mail.Carrier     // nil: no gateway for text messages
	redisCAs        *x509.CertPool
	noticeCAs       *x509.CertPool
}

// readFiles reads them all, and says everything that is wrong.
func readFiles(s *settings.Settings, log *slog.Logger) (*files, error) {
	f := &files{}
	var problems []error
	note := func(setting string, err error) {
		if err != nil {
			problems = append(problems, fmt.Errorf("setting %s: %w", setting, err))
		}
	}
	var err error
	if f.master, err = loadMaster(s); err != nil {
		problems = append(problems, err)
	}
	if s.Listen.CertificateFile != "" {
		f.certificate, err = web.LoadCertificate(string(s.Listen.CertificateFile), string(s.Listen.KeyFile), log)
		note("listen.certificate_file", err)
	}
	if c := s.Card; c != nil {
		if !c.PlainHTTP() {
			f.cardCertificate, err = web.LoadCertificate(string(c.CertificateFile), string(c.KeyFile), log)
			note("card.certificate_file", err)
		}
		if c.Proxy != nil {
			f.cardGate, err = gate(c.Proxy)
			note("card.proxy", err)
		}
		f.trust, err = card.OpenBundle(string(c.Trust.Folder), c.Trust.AcceptTestCAs, time.Now(), log)
		note("card.trust", err)
	}
	if m := s.MTLS; m != nil {
		f.mtlsCertificate, err = web.LoadCertificate(string(m.CertificateFile), string(m.KeyFile), log)
		note("mtls.certificate_file", err)
		for i, file := range m.ClientCAFiles {
			f.clientCAs, err = more(f.clientCAs, file)
			note(fmt.Sprintf("mtls.client_ca_files[%d]", i), err)
		}
	}
	if s.SMTP != nil {
		carrier := s.SMTP.Carrier()
		p := &config.Problems{}
		carrier.Check(p) // it found nothing when the settings were read; now it fills in what they leave out
		note("smtp", p.Err("settings"))
		carrier.CAs, err = pool(s.SMTP.CAFile)
		note("smtp.ca_file", err)
		f.carrier = carrier
	}
	if s.SMS != nil {
		gateway := s.SMS.Gateway()
		gateway.CAs, err = pool(s.SMS.CAFile)
		note("sms.ca_file", err)
		p := &config.Problems{}
		gateway.Check(p)
		note("sms", p.Err("settings"))
		f.gateway = gateway
	}
	if s.Redis != nil {
		f.redisCAs, err = pool(s.Redis.CAFile)
		note("redis.ca_file", err)
	}
	f.noticeCAs, err = pool(s.Notices.CAFile)
	note("logout_notices.ca_file", err)
	_, err = password.NewRules(s.Passwords.MinLength, s.Passwords.Lists()...)
	note("passwords.blocklists", err)
	return f, errors.Join(problems...)
}

// gate is what lets certificates in from a proxy.
func gate(p *settings.CardProxy) (*proxied.Gate, error) {
	c := proxied.Config{Format: p.Format, Header: p.Header, Addresses: p.Addresses}
	var err error
	if c.Secrets, err = p.Secrets(); err != nil {
		return nil, err
	}
	if c.Proxies, err = pool(p.ClientCAFile); err != nil {
		return nil, err
	}
	return proxied.New(c)
}

func loadMaster(s *settings.Settings) (*keys.Master, error) {
	master, err := keys.LoadMaster(string(s.MasterKeyFile))
	if err != nil {
		return nil, fmt.Errorf("setting master_key_file: %w", err)
	}
	return master, nil
}

// pool reads the CAs of a file, nil when there is none.
func pool(file config.Path) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	return more(nil, file)
}

// more adds the CAs of a file to others.
func more(cas *x509.CertPool, file config.Path) (*x509.CertPool, error) {
	raw, err := os.ReadFile(string(file))
	if err != nil {
		return cas, err
	}
	if cas == nil {
		cas = x509.NewCertPool()
	}
	if !cas.AppendCertsFromPEM(raw) {
		return cas, fmt.Errorf("%s: there is no certificate in it (PEM)", file)
	}
	return cas, nil
}

func openStore(ctx context.Context, s *settings.Settings, master *keys.Master) (*store.Store, error) {
	c := storeConfig(s)
	var err error
	if s.Database.PasswordFile.Given() {
		if c.Password, err = s.Database.PasswordFile.Read(); err != nil {
			return nil, fmt.Errorf("setting database.password_file: %w", err)
		}
	}
	db, err := store.Open(ctx, c, store.Deps{Seal: master.Seal, Marker: master})
	switch {
	case err == nil:
		return db, nil
	case strings.HasPrefix(err.Error(), "database."):
		return nil, fmt.Errorf("setting %w", err)
	case c.NoMigrations:
		return nil, fmt.Errorf("setting database.no_migrations: %w (portti migrate does that)", err)
	}
	return nil, fmt.Errorf("settings database: %w", err)
}

func openEphemeral(ctx context.Context, s *settings.Settings, f *files) (ephemeral.Store, error) {
	r := s.Redis
	if r == nil {
		return ephemeral.NewMemory(time.Now), nil
	}
	c := ephemeral.RedisConfig{Addresses: r.Addresses, Cluster: r.Cluster, SentinelMaster: r.SentinelMaster, SentinelUsername: r.SentinelUsername,
		Username: r.Username, Database: r.Database, Prefix: r.Prefix, PoolSize: r.PoolSize}
	if r.TLS {
		c.TLS = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: f.redisCAs}
	}
	for _, secret := range []struct {
		setting string
		file    config.SecretFile
		into    *string
	}{
		{"redis.password_file", r.PasswordFile, &c.Password},
		{"redis.sentinel_password_file", r.SentinelPasswordFile, &c.SentinelPassword},
	} {
		if !secret.file.Given() {
			continue
		}
		var err error
		if *secret.into, err = secret.file.Read(); err != nil {
			return nil, fmt.Errorf("setting %s: %w", secret.setting, err)
		}
	}
	opened, err := ephemeral.OpenRedis(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("setting redis.addresses: Redis at %s cannot be used; look whether it runs and whether name, password and TLS are right: %w",
			strings.Join(r.Addresses, ", "), err)
	}
	return opened, nil
}
