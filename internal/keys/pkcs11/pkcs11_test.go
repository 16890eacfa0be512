//go:build cgo

package pkcs11_test

import (
	"bytes"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	p11 "github.com/miekg/pkcs11"

	"github.com/portti-id/portti/internal/keys"
	"github.com/portti-id/portti/internal/keys/pkcs11"
	"github.com/portti-id/portti/internal/keys/pkcs11/pkcs11test"
	"github.com/portti-id/portti/internal/store"
	"github.com/portti-id/portti/internal/storetest"
)

// config is a new token of SoftHSM.
func config(t testing.TB) pkcs11.Config {
	t.Helper()
	return of(pkcs11test.New(t))
}

func of(s pkcs11test.SoftHSM) pkcs11.Config {
	return pkcs11.Config{Module: s.Module, Token: s.Token, PIN: func() (string, error) { return s.PIN, nil }, Sessions: 4, Log: slog.New(slog.DiscardHandler)}
}

func open(t testing.TB, c pkcs11.Config) pkcs11.Token {
	t.Helper()
	token, err := pkcs11.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := token.Close(); err != nil {
			t.Error(err)
		}
	})
	return token
}

var kinds = []keys.Kind{keys.RSA2048, keys.P256}

func master(t testing.TB) *keys.Master {
	t.Helper()
	m, err := keys.ReadMaster(strings.NewReader(keys.GenerateMaster()))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// clock is set by the test.
type clock struct{ t atomic.Int64 }

func (c *clock) now() time.Time       { return time.Unix(c.t.Load(), 0) }
func (c *clock) pass(d time.Duration) { c.t.Add(int64(d / time.Second)) }

func noon() *clock {
	c := &clock{}
	c.t.Store(1_800_000_000)
	return c
}

// A ring whose RSA and P-256 keys are in the token, on both databases: tokens
// verify by an independent implementation, before and after a rotation and a
// replacement; what is withdrawn is deleted from the token as well.
func TestARingSignsInTheToken(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		c, token, m := noon(), open(t, config(t)), master(t)
		o := keys.Options{SignFor: 48 * time.Hour, Token: token, TokenKinds: kinds, Now: c.now, Log: slog.New(slog.DiscardHandler)}
		openRing := func() *keys.Ring {
			r, err := keys.OpenRing(t.Context(), s.Keys(), m, o)
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		r, replica := openRing(), openRing()
		signed := map[keys.Algorithm]string{}
		sign := func() {
			t.Helper()
			for _, alg := range keys.Algorithms {
				compact, err := r.Sign(alg, "at+jwt", []byte(`{"sub":"a"}`))
				if err != nil {
					t.Fatal(err)
				}
				signed[alg] = compact
			}
		}
		verify := func(when string) {
			t.Helper()
			body, _ := r.JWKS()
			var set jose.JSONWebKeySet
			if err := json.Unmarshal(body, &set); err != nil {
				t.Fatal(err)
			}
			for alg, compact := range signed {
				parsed, err := jose.ParseSignedCompact(compact, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(alg)})
				if err != nil {
					t.Fatal(err)
				}
				if found := set.Key(parsed.Signatures[0].Header.KeyID); len(found) != 1 {
					t.Errorf("%s: %d keys published for %s", when, len(found), alg)
				} else if _, err := parsed.Verify(found[0]); err != nil {
					t.Errorf("%s: %s: %v", when, alg, err)
				}
				if _, _, err := replica.Verify(compact, "at+jwt", alg); err != nil {
					t.Errorf("%s: %s on a replica: %v", when, alg, err)
				}
			}
		}
		sign()
		verify("at first")
		old, _, _ := r.Signer(keys.RS256)
		for range 4 {
			c.pass(12*time.Hour + time.Minute)
			if err := errors.Join(r.Refresh(t.Context()), r.Advance(t.Context())); err != nil {
				t.Fatal(err)
			}
		}
		if now, _, _ := r.Signer(keys.RS256); now == old {
			t.Error("it was not rotated")
		}
		verify("after a rotation")
		sign()
		verify("with the new key")
		c.pass(time.Minute)
		if _, err := r.Replace(t.Context(), keys.RSA2048, false); err != nil {
			t.Fatal(err)
		}
		if _, _, err := r.Verify(signed[keys.RS256], "at+jwt", keys.RS256); err == nil {
			t.Error("a withdrawn key verifies")
		}
		sign()
		verify("after a replacement")

		// The rows hold no key, and what SQL has dropped the token has not kept.
		rows, err := s.Keys().SigningKeys(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		names := map[string]bool{}
		for _, row := range rows {
			plain, err := m.Open(row.Sealed, row.ID)
			if err != nil {
				t.Fatal(err)
			}
			var ref struct{ Token string }
			if row.Kind == keys.Ed25519 {
				continue
			}
			if json.Unmarshal(plain, &ref) != nil || ref.Token == "" {
				t.Errorf("the %s key's row holds %d bytes that are no reference", row.Kind, len(plain))
			}
			names[ref.Token] = true
		}
		if got := listed(t, token); len(got) != len(names) || slices.ContainsFunc(got, func(name string) bool { return !names[name] }) {
			t.Errorf("the token has %v, SQL has %v", got, names)
		}
	})
}

// listed are the private keys of the token that this process is logged in to.
func listed(t *testing.T, token pkcs11.Token) []string {
	t.Helper()
	var names []string
	each(t, token, func(ctx *p11.Ctx, s p11.SessionHandle, handle p11.ObjectHandle) {
		a, err := ctx.GetAttributeValue(s, handle, []*p11.Attribute{p11.NewAttribute(p11.CKA_LABEL, nil)})
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, string(a[0].Value))
	})
	return names
}

// each runs f on every private key of a token, past the package.
func each(t *testing.T, token pkcs11.Token, f func(ctx *p11.Ctx, s p11.SessionHandle, key p11.ObjectHandle)) {
	t.Helper()
	ctx, s := pkcs11.Beside(t, token)
	if err := ctx.FindObjectsInit(s, []*p11.Attribute{p11.NewAttribute(p11.CKA_CLASS, p11.CKO_PRIVATE_KEY)}); err != nil {
		t.Fatal(err)
	}
	found, _, err := ctx.FindObjects(s, 100)
	if err := errors.Join(err, ctx.FindObjectsFinal(s)); err != nil {
		t.Fatal(err)
	}
	for _, handle := range found {
		f(ctx, s, handle)
	}
}

func TestPrivateKeysStayInTheToken(t *testing.T) {
	token := open(t, config(t))
	for _, kind := range kinds {
		if _, _, err := token.Generate(kind); err != nil {
			t.Fatal(err)
		}
	}
	seen := 0
	each(t, token, func(ctx *p11.Ctx, s p11.SessionHandle, key p11.ObjectHandle) {
		seen++
		a, err := ctx.GetAttributeValue(s, key, []*p11.Attribute{p11.NewAttribute(p11.CKA_SENSITIVE, nil), p11.NewAttribute(p11.CKA_EXTRACTABLE, nil),
			p11.NewAttribute(p11.CKA_NEVER_EXTRACTABLE, nil), p11.NewAttribute(p11.CKA_ALWAYS_SENSITIVE, nil), p11.NewAttribute(p11.CKA_PRIVATE, nil)})
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []byte{1, 0, 1, 1, 1} {
			if !bytes.Equal(a[i].Value, []byte{want}) {
				t.Errorf("attribute %#x is %v", a[i].Type, a[i].Value)
			}
		}
		for _, secret := range []uint{p11.CKA_VALUE, p11.CKA_PRIVATE_EXPONENT, p11.CKA_PRIME_1} {
			if a, err := ctx.GetAttributeValue(s, key, []*p11.Attribute{p11.NewAttribute(secret, nil)}); err == nil && len(a[0].Value) > 0 {
				t.Errorf("attribute %#x of a private key can be read", secret)
			}
		}
	})
	if seen != 2 {
		t.Errorf("%d private keys", seen)
	}
	if _, _, err := token.Generate(keys.Ed25519); err == nil {
		t.Error("an Ed25519 key in the token")
	}
}

// A key that somebody imported under our name may be known elsewhere.
func TestAKeyThatCanBeTakenOutIsNotUsed(t *testing.T) {
	token := open(t, config(t))
	ctx, s := pkcs11.Beside(t, token)
	name := "portti-imported"
	named := []*p11.Attribute{p11.NewAttribute(p11.CKA_TOKEN, true), p11.NewAttribute(p11.CKA_LABEL, name), p11.NewAttribute(p11.CKA_ID, []byte(name))}
	_, _, err := ctx.GenerateKeyPair(s, []*p11.Mechanism{p11.NewMechanism(p11.CKM_RSA_PKCS_KEY_PAIR_GEN, nil)},
		append(slices.Clone(named), p11.NewAttribute(p11.CKA_MODULUS_BITS, 2048), p11.NewAttribute(p11.CKA_PUBLIC_EXPONENT, []byte{1, 0, 1})),
		append(slices.Clone(named), p11.NewAttribute(p11.CKA_SIGN, true), p11.NewAttribute(p11.CKA_EXTRACTABLE, true), p11.NewAttribute(p11.CKA_SENSITIVE, false)))
	if err != nil {
		t.Fatal(err)
	}
	if signature, err := token.Sign(name, keys.RS256, make([]byte, sha256.Size)); err == nil {
		t.Errorf("it signed %d bytes", len(signature))
	}
}

func TestFindTellsOneKeyFromAnother(t *testing.T) {
	token := open(t, config(t))
	for _, kind := range kinds {
		a, public, err := token.Generate(kind)
		b, other, err2 := token.Generate(kind)
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(token.Find(a, public), token.Find(b, other)); err != nil {
			t.Error(err)
		}
		if token.Find(a, other) == nil || token.Find("portti-none", public) == nil {
			t.Error("a key that is not there was found")
		}
		if err := errors.Join(token.Destroy(a), token.Destroy(a)); err != nil {
			t.Error(err)
		}
		if token.Find(a, public) == nil {
			t.Error("a deleted key was found")
		}
	}
}

// PS256 has a salt as long as the hash (RFC 7518 §3.5), ES256 32 bytes for each of
// r and s, whatever their leading zeros.
func TestSignaturesHaveTheFormOfJWS(t *testing.T) {
	token := open(t, config(t))
	rs, public, err := token.Generate(keys.RSA2048)
	es, _, err2 := token.Generate(keys.P256)
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte("x"))
	pss, err := token.Sign(rs, keys.PS256, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	if err := rsa.VerifyPSS(public.(*rsa.PublicKey), 5, digest[:], pss, &rsa.PSSOptions{SaltLength: sha256.Size}); err != nil {
		t.Error(err)
	}
	leading := false
	for i := 0; !leading && i < 5000; i++ { // one in 128 has one
		digest := sha256.Sum256(fmt.Append(nil, i))
		signature, err := token.Sign(es, keys.ES256, digest[:])
		if err != nil || len(signature) != 64 {
			t.Fatalf("%d bytes, %v", len(signature), err)
		}
		leading = signature[0] == 0 || signature[32] == 0
	}
	if !leading {
		t.Error("no signature with a leading zero: the test proves nothing")
	}
	for _, alg := range []keys.Algorithm{keys.EdDSA, "HS256", ""} {
		if _, err := token.Sign(rs, alg, digest[:]); err == nil {
			t.Errorf("%q signed", alg)
		}
	}
	if _, err := token.Sign(rs, keys.RS256, digest[:31]); err == nil {
		t.Error("something else than a digest was signed")
	}
}

// A key that another program deletes is gone, and the others sign on.
func TestADeletedKeyDisturbsNoOther(t *testing.T) {
	var log bytes.Buffer
	c := config(t)
	c.Log = slog.New(slog.NewTextHandler(&log, nil))
	token := open(t, c)
	name, public, err := token.Generate(keys.P256)
	if err := errors.Join(err, token.Find(name, public)); err != nil {
		t.Fatal(err)
	}
	each(t, token, func(ctx *p11.Ctx, s p11.SessionHandle, key p11.ObjectHandle) {
		if err := ctx.DestroyObject(s, key); err != nil {
			t.Fatal(err)
		}
	})
	if token.Find(name, public) == nil {
		t.Error("a deleted key signs")
	}
	if other, public, err := token.Generate(keys.P256); errors.Join(err, token.Find(other, public)) != nil {
		t.Error(err)
	}
	if log.Len() > 0 {
		t.Errorf("the log: %s", &log)
	}
}

func TestManySignAtOnce(t *testing.T) {
	token := open(t, config(t)) // four sessions
	name, public, err := token.Generate(keys.P256)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			for range 4 {
				if err := token.Find(name, public); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

// The token goes away under load and comes back: nobody restarts the provider.
func TestATokenThatWasAwayIsUsedAgain(t *testing.T) {
	soft, ticks := pkcs11test.New(t), noon()
	c, tokens := of(soft), soft.Folder
	c.Now = ticks.now
	var log bytes.Buffer
	c.Log = slog.New(slog.NewTextHandler(&log, nil))
	token := open(t, c)
	name, public, err := token.Generate(keys.P256)
	if err != nil {
		t.Fatal(err)
	}
	// The module forgets everything, as after a restart of the HSM's daemon.
	ctx, _ := pkcs11.Beside(t, token)
	if err := ctx.Finalize(); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if err := token.Find(name, public); err != nil {
				t.Error("after the module forgot:", err)
			}
		})
	}
	all.Wait()

	// The token itself is gone: an error, no wait, and no storm of attempts.
	if err := errors.Join(ctx.Finalize(), os.Rename(tokens, tokens+"-away"), os.Mkdir(tokens, 0o700)); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		ticks.pass(time.Second)
		if err := token.Find(name, public); err == nil {
			t.Fatal("signed without a token")
		}
	}
	if err := errors.Join(os.Remove(tokens), os.Rename(tokens+"-away", tokens)); err != nil {
		t.Fatal(err)
	}
	if err := token.Find(name, public); err == nil {
		t.Error("looked for again within the pause")
	}
	ticks.pass(time.Second)
	if err := token.Find(name, public); err != nil {
		t.Error("the token is back, but:", err)
	}
	if strings.Contains(log.String(), soft.PIN) || !strings.Contains(log.String(), "reconnected") {
		t.Errorf("the log: %s", &log)
	}
}

func TestAWrongPINIsTriedOnce(t *testing.T) {
	soft, ticks := pkcs11test.New(t), noon()
	c, pin := of(soft), soft.PIN
	right, tried := true, 0
	c.Now = ticks.now
	c.PIN = func() (string, error) {
		if right {
			return pin, nil
		}
		return "wrong-" + pin, nil
	}
	token := open(t, c)
	name, public, err := token.Generate(keys.P256)
	if err != nil {
		t.Fatal(err)
	}
	ctx, _ := pkcs11.Beside(t, token)
	right = false
	if err := ctx.Finalize(); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		err = token.Find(name, public)
		ticks.pass(time.Second)
		if err == nil || strings.Contains(err.Error(), pin) {
			t.Fatal(err)
		}
		if strings.Contains(err.Error(), "CKR_PIN_INCORRECT") { // the token's own word
			tried++
		}
	}
	if tried != 1 {
		t.Errorf("the wrong PIN was tried %d times", tried)
	}
	right = true // somebody mended the file
	if err := token.Find(name, public); err != nil {
		t.Error(err)
	}
}

func TestWhatDoesNotOpenSaysWhy(t *testing.T) {
	soft := pkcs11test.New(t)
	good, pin := of(soft), soft.PIN
	for want, spoil := range map[string]func(c *pkcs11.Config){
		"cannot be loaded": func(c *pkcs11.Config) { c.Module = filepath.Join(soft.Folder, "none.so") },
		`label "nobody"`:   func(c *pkcs11.Config) { c.Token = "nobody" },
		"refused the PIN":  func(c *pkcs11.Config) { c.PIN = func() (string, error) { return "wrong-" + pin, nil } },
		"the file cannot be read": func(c *pkcs11.Config) {
			c.PIN = func() (string, error) { return "", errors.New("the file cannot be read") }
		},
	} {
		c := good
		spoil(&c)
		if token, err := pkcs11.Open(c); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), pin) || token != nil {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestAClosedTokenStaysClosed(t *testing.T) {
	c := config(t)
	token, err := pkcs11.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	name, public, err := token.Generate(keys.P256)
	if err := errors.Join(err, token.Close(), token.Close()); err != nil {
		t.Fatal(err)
	}
	if token.Find(name, public) == nil {
		t.Error("it signs")
	}
}

// A ring that has keys in a token does not open without it; their signatures are
// still verified where they do not sign any more.
func TestARingWithoutItsTokenDoesNotOpen(t *testing.T) {
	s, m, c := storetest.Open(t, store.SQLite), master(t), noon()
	soft := pkcs11test.New(t)
	first, second := of(soft), of(soft.Another(t))
	token := open(t, first)
	o := keys.Options{Kinds: []keys.Kind{keys.P256}, Token: token, TokenKinds: kinds, Now: c.now, Log: slog.New(slog.DiscardHandler)}
	r, err := keys.OpenRing(t.Context(), s.Keys(), m, o)
	if err != nil {
		t.Fatal(err)
	}
	compact, err := r.Sign(keys.ES256, "", []byte("1"))
	if err != nil {
		t.Fatal(err)
	}
	without := o
	without.Token, without.TokenKinds = nil, nil
	if _, err := keys.OpenRing(t.Context(), s.Keys(), m, without); err == nil || !strings.Contains(err.Error(), "PKCS #11") {
		t.Errorf("opened without the token: %v", err)
	}
	without.Token = open(t, second)
	if _, err := keys.OpenRing(t.Context(), s.Keys(), m, without); err == nil {
		t.Error("opened with another token")
	}
	// Back to SQL: the next key is made there, and the token's is only verified.
	back := o
	back.TokenKinds = nil
	if r, err = keys.OpenRing(t.Context(), s.Keys(), m, back); err != nil {
		t.Fatal(err)
	}
	if _, err = r.Prepare(t.Context(), keys.P256); err != nil {
		t.Fatal(err)
	}
	c.pass(25 * time.Hour)
	if err := r.Promote(t.Context(), keys.P256); err != nil {
		t.Fatal(err)
	}
	without.Token = nil
	if r, err = keys.OpenRing(t.Context(), s.Keys(), m, without); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Verify(compact, "", keys.ES256); err != nil {
		t.Error(err)
	}
}

func BenchmarkSign(b *testing.B) {
	c := config(b)
	c.Sessions = 16
	token := open(b, c)
	digest := sha256.Sum256([]byte("x"))
	for _, alg := range []keys.Algorithm{keys.RS256, keys.PS256, keys.ES256} {
		name, _, err := token.Generate(map[bool]keys.Kind{true: keys.P256, false: keys.RSA2048}[alg == keys.ES256])
		if err != nil {
			b.Fatal(err)
		}
		b.Run(string(alg), func(b *testing.B) {
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					if _, err := token.Sign(name, alg, digest[:]); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}
