package keys

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portti-id/portti/internal/fault"
)

// device is a Token in memory; package pkcs11 has the real one.
type device struct {
	mu     sync.Mutex
	keys   map[string]*signing
	broken bool // it signs with another key than it says
}

func (d *device) Generate(kind Kind) (string, crypto.PublicKey, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	private, err := generate(kind)
	if err != nil {
		return "", nil, err
	}
	s, err := newSigning(kind, private)
	if err != nil {
		return "", nil, err
	}
	name := rand.Text()
	d.keys[name] = s
	if d.broken {
		private, _ = generate(kind)
	}
	return name, private.Public(), nil
}

func (d *device) Find(name string, _ crypto.PublicKey) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.keys[name] == nil {
		return errors.New("no such key")
	}
	return nil
}

func (d *device) Sign(name string, alg Algorithm, digest []byte) ([]byte, error) {
	if err := d.Find(name, nil); err != nil {
		return nil, err
	}
	d.mu.Lock()
	private := d.keys[name].private
	d.mu.Unlock()
	switch alg {
	case PS256:
		return private.Sign(rand.Reader, digest, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256})
	case RS256:
		return private.Sign(rand.Reader, digest, crypto.SHA256)
	}
	r, s, err := ecdsa.Sign(rand.Reader, private.(*ecdsa.PrivateKey), digest)
	if err != nil {
		return nil, err
	}
	return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...), nil
}

func (d *device) Destroy(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.keys, name)
	return nil
}

func inDevice(d *device) Options {
	return Options{Kinds: quick, Token: d, TokenKinds: []Kind{P256}, Log: silent}
}

func TestLibrariesSignWithAKeyInAToken(t *testing.T) {
	d := &device{keys: map[string]*signing{}}
	r := open(t, &shelf{}, master(t), Options{Token: d, TokenKinds: []Kind{RSA2048, P256}})
	digest := sha256.Sum256([]byte("x"))
	_, private, _ := r.Signer(ES256)
	der, err := private.Sign(nil, digest[:], crypto.SHA256)
	if err != nil || !ecdsa.VerifyASN1(private.Public().(*ecdsa.PublicKey), digest[:], der) {
		t.Errorf("ES256: %v", err)
	}
	_, private, _ = r.Signer(RS256)
	public := private.Public().(*rsa.PublicKey)
	if s, err := private.Sign(nil, digest[:], crypto.SHA256); err != nil || rsa.VerifyPKCS1v15(public, crypto.SHA256, digest[:], s) != nil {
		t.Errorf("RS256: %v", err)
	}
	pss := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}
	if s, err := private.Sign(nil, digest[:], pss); err != nil || rsa.VerifyPSS(public, crypto.SHA256, digest[:], s, pss) != nil {
		t.Errorf("PS256: %v", err)
	}
	for name, o := range map[string]crypto.SignerOpts{"SHA-512": crypto.SHA512, "a salt of any length": &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthAuto, Hash: crypto.SHA256}} {
		if _, err := private.Sign(nil, digest[:], o); err == nil {
			t.Errorf("%s: signed", name)
		}
	}
}

func TestReplicasLeaveNoUnusedKeyInTheToken(t *testing.T) {
	d, store, m := &device{keys: map[string]*signing{}}, &shelf{}, master(t)
	rings := make([]*Ring, 20)
	together := func(do func(i int) error) {
		t.Helper()
		var all sync.WaitGroup
		for i := range rings {
			all.Go(func() {
				if err := do(i); err != nil && !fault.Is(err, fault.Conflict) {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if t.Failed() {
			t.FailNow()
		}
	}
	together(func(i int) (err error) { rings[i], err = OpenRing(t.Context(), store, m, inDevice(d)); return err })
	together(func(i int) error { _, err := rings[i].Prepare(t.Context(), P256); return err })
	together(func(i int) error { _, err := rings[i].Replace(t.Context(), P256, false); return err })
	rows := 0
	for _, row := range store.rows {
		if row.Kind == P256 {
			rows++
		}
	}
	if len(d.keys) != rows {
		t.Errorf("%d keys in the token, %d in SQL", len(d.keys), rows)
	}
}

func TestATokenThatSignsWrongIsNotUsed(t *testing.T) {
	d, store := &device{keys: map[string]*signing{}, broken: true}, &shelf{}
	if _, err := OpenRing(t.Context(), store, master(t), inDevice(d)); err == nil {
		t.Error("its key was taken")
	}
	if len(d.keys) != 0 {
		t.Errorf("%d keys were left in it", len(d.keys))
	}
}

// A reference in the row of another key, or one that somebody wrote, opens nothing.
func TestAForgedReferenceIsRefused(t *testing.T) {
	d, store, m := &device{keys: map[string]*signing{}}, &shelf{}, master(t)
	open(t, store, m, inDevice(d))
	i := 0
	if store.rows[1].Kind == P256 {
		i = 1
	}
	good := store.rows[i]
	foreign, _ := generate(P256)
	attacker, _ := newSigning(P256, &inToken{name: "x", public: foreign.Public()})
	for name, row := range map[string]Stored{
		"in clear":                {ID: attacker.id, Kind: P256, State: Current, Sealed: `{"token":"x","public":"AA=="}`},
		"sealed by somebody else": {ID: attacker.id, Kind: P256, State: Current, Sealed: must(attacker.seal(master(t)))},
		"of another key":          {ID: attacker.id, Kind: P256, State: Current, Sealed: good.Sealed},
		"of no key":               {ID: good.ID, Kind: P256, State: Current, Sealed: must(m.Seal([]byte("{}"), good.ID))},
	} {
		store.rows[i] = row
		if _, err := OpenRing(t.Context(), store, m, inDevice(d)); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
}

func must(s string, err error) string {
	if err != nil {
		panic(err)
	}
	return s
}

// A replica whose token lacks the next key hears of it a day before it matters,
// and does not promote it.
func TestATokenWithoutTheNextKeyIsToldInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, empty, store, m := &device{keys: map[string]*signing{}}, &device{keys: map[string]*signing{}}, &shelf{}, master(t)
		a := open(t, store, m, inDevice(d))
		for name, s := range d.keys {
			empty.keys[name] = s
		}
		o := inDevice(empty)
		var log bytes.Buffer
		o.Log = slog.New(slog.NewTextHandler(&log, nil))
		b := open(t, store, m, o)
		if _, err := a.Prepare(t.Context(), P256); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		go b.Run(ctx)
		time.Sleep(25 * time.Hour)
		synctest.Wait()
		stop()
		if n := strings.Count(log.String(), "not in this replica's token"); n != 1 {
			t.Errorf("told %d times: %s", n, &log)
		}
		if err := b.Promote(t.Context(), P256); err == nil {
			t.Error("promoted a key that it cannot sign with")
		}
		if err := a.Promote(t.Context(), P256); err != nil {
			t.Error(err)
		}
	})
}
