package keys

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/fault"
)

// shelf is a Store in memory that keeps its promises.
type shelf struct {
	Sealings
	mu      sync.Mutex
	events  []audit.Event
	rows    []Stored
	secrets map[string]string
	down    error
	late    func() // called before an addition, to lose a race
}

func (s *shelf) SigningKeys(context.Context) ([]Stored, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.rows), s.down
}

func (s *shelf) AddSigningKey(_ context.Context, k Stored, e audit.Event) error {
	if s.late != nil {
		f := s.late
		s.late = nil
		f()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down != nil {
		return s.down
	}
	if slices.ContainsFunc(s.rows, func(o Stored) bool { return o.Kind == k.Kind && o.State == k.State && k.State != Retired }) {
		return fault.New(fault.Conflict, "key_exists", "There is one already.")
	}
	s.rows, s.events = append(s.rows, k), append(s.events, e)
	return nil
}

func (s *shelf) Rotate(_ context.Context, kind Kind, next, current string, at time.Time, events ...audit.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := slices.IndexFunc(s.rows, func(k Stored) bool { return k.ID == next && k.Kind == kind && k.State == Next })
	c := slices.IndexFunc(s.rows, func(k Stored) bool { return k.ID == current && k.Kind == kind && k.State == Current })
	if n < 0 || c < 0 {
		return fault.New(fault.Conflict, "key_moved", "Another replica was quicker.")
	}
	s.rows[n].State, s.rows[n].Moved = Current, at
	s.rows[c].State, s.rows[c].Moved = Retired, at
	s.events = append(s.events, events...)
	return nil
}

func (s *shelf) Replace(_ context.Context, k Stored, current string, withdrawn []string, events ...audit.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := slices.IndexFunc(s.rows, func(k Stored) bool { return k.ID == current && k.State == Current })
	if c < 0 {
		return fault.New(fault.Conflict, "key_moved", "Another replica was quicker.")
	}
	s.rows[c].State, s.rows[c].Moved = Retired, k.Moved
	s.rows = append(slices.DeleteFunc(s.rows, func(o Stored) bool { return slices.Contains(withdrawn, o.ID) }), k)
	s.events = append(s.events, events...)
	return nil
}

func (s *shelf) DropSigningKey(_ context.Context, id string, e audit.Event) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.rows)
	s.rows = slices.DeleteFunc(s.rows, func(k Stored) bool { return k.ID == id && k.State == Retired })
	if len(s.rows) == n {
		return false, nil
	}
	s.events = append(s.events, e)
	return true, nil
}

type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.t }
func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

var quick = []Kind{P256, Ed25519} // RSA keys take long to make

func open(t testing.TB, s Store, m *Master, o Options) *Ring {
	t.Helper()
	r, err := OpenRing(t.Context(), s, m, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestTokensVerifyHereAndElsewhere(t *testing.T) {
	r := open(t, &shelf{}, master(t), Options{})
	if got := r.Algorithms(); !slices.Equal(got, Algorithms) {
		t.Fatalf("algorithms %v", got)
	}
	payload := []byte(`{"iss":"https://id.example","sub":"ä"}`)
	for _, alg := range Algorithms {
		for _, typ := range []string{"", "JWT", "at+jwt", "logout+jwt"} {
			token, err := r.Sign(alg, typ, payload)
			if err != nil {
				t.Fatal(err)
			}
			got, kid, err := r.Verify(token, typ, alg)
			if err != nil || !bytes.Equal(got, payload) {
				t.Errorf("%s %s: %s, %v", alg, typ, got, err)
			}

			// An independent implementation, with what we publish and nothing else.
			body, _ := r.JWKS()
			var set jose.JSONWebKeySet
			if err := json.Unmarshal(body, &set); err != nil {
				t.Fatal(err)
			}
			parsed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(alg)})
			if err != nil {
				t.Fatal(err)
			}
			head := parsed.Signatures[0].Header
			seen, _ := head.ExtraHeaders[jose.HeaderType].(string)
			if head.KeyID != kid || seen != typ || len(set.Key(kid)) != 1 {
				t.Errorf("%s %s: header %+v", alg, typ, head)
			}
			if elsewhere, err := parsed.Verify(set.Key(kid)[0]); err != nil || !bytes.Equal(elsewhere, payload) {
				t.Errorf("%s %s: go-jose says %v", alg, typ, err)
			}
		}
	}
}

func TestForeignTokensAreRefused(t *testing.T) {
	m := master(t)
	r, other := open(t, &shelf{}, m, Options{}), open(t, &shelf{}, m, Options{Kinds: quick})
	payload := []byte(`{"sub":"a"}`)
	es, _ := r.Sign(ES256, "JWT", payload)
	rs, _ := r.Sign(RS256, "JWT", payload)
	foreign, _ := other.Sign(ES256, "JWT", payload)
	part := strings.Split(es, ".")
	b64 := base64.RawURLEncoding.EncodeToString
	kid, _, _ := r.Signer(ES256)
	rsaKid, _, _ := r.Signer(RS256)
	body, _ := r.JWKS()

	// HMAC with the published key as its secret, the classic confusion.
	hs := func(secret []byte) string {
		s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: jose.JSONWebKey{Key: secret, KeyID: rsaKid}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		o, _ := s.Sign(payload)
		c, _ := o.CompactSerialize()
		return c
	}
	signed := func(head string) string { // by our own key, under a header of the attacker's wish
		input := b64([]byte(head)) + "." + part[1]
		signature, err := r.now.Load().keys[kid].sign(ES256, []byte(input))
		if err != nil {
			t.Fatal(err)
		}
		return input + "." + b64(signature)
	}
	if _, _, err := r.Verify(signed(`{"alg":"ES256","kid":"`+kid+`"}`), "JWT", ES256); err != nil {
		t.Fatal("the attacks below would fail for another reason:", err)
	}
	all := []Algorithm{RS256, PS256, ES256, EdDSA, "none", "HS256", ""}
	for name, token := range map[string]string{
		"empty":              "",
		"dots":               "..",
		"foreign key":        foreign,
		"no signature":       part[0] + "." + part[1] + ".",
		"alg none":           b64([]byte(`{"alg":"none","kid":"`+kid+`"}`)) + "." + part[1] + ".",
		"alg empty":          b64([]byte(`{"alg":"","kid":"`+kid+`"}`)) + "." + part[1] + "." + part[2],
		"HMAC, JWKS":         hs(body),
		"other payload":      part[0] + "." + b64([]byte(`{"sub":"b"}`)) + "." + part[2],
		"other alg":          signed(`{"alg":"RS256","kid":"` + kid + `"}`),
		"other kid":          signed(`{"alg":"ES256","kid":"` + rsaKid + `"}`),
		"no kid":             signed(`{"alg":"ES256"}`),
		"unknown kid":        signed(`{"alg":"ES256","kid":"x"}`),
		"critical extension": signed(`{"alg":"ES256","kid":"` + kid + `","crit":["b64"],"b64":false}`),
		"critical null":      signed(`{"alg":"ES256","kid":"` + kid + `","crit":[]}`),
		"header not JSON":    signed(`x`),
		"four parts":         es + ".x",
		"padding":            es + "=",
		"newline":            es + "\n",
		"stray bits":         es[:len(es)-1] + string("BCDEFGH"[int(es[len(es)-1])%7]),
		"swapped signature":  part[0] + "." + part[1] + "." + strings.Split(rs, ".")[2],
		"zero signature":     part[0] + "." + part[1] + "." + b64(make([]byte, 64)),
		"short signature":    part[0] + "." + part[1] + "." + b64(make([]byte, 63)),
		"too long":           part[0] + "." + strings.Repeat("A", maxToken) + "." + part[2],
	} {
		if got, _, err := r.Verify(token, "JWT", all...); !errors.Is(err, ErrNotOurs) || got != nil {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
	if _, _, err := r.Verify(es, "JWT", RS256); err == nil {
		t.Error("an algorithm that is not allowed")
	}
	if _, _, err := r.Verify(es, "JWT"); err == nil {
		t.Error("no algorithm allowed")
	}
}

func TestOneKindOfTokenIsNotAnother(t *testing.T) { // RFC 8725 §3.11
	r := open(t, &shelf{}, master(t), Options{Kinds: quick})
	types := []string{"JWT", "at+jwt", "logout+jwt"}
	for _, is := range types {
		token, _ := r.Sign(EdDSA, is, []byte(`{}`))
		for _, as := range types {
			if _, _, err := r.Verify(token, as, EdDSA); (err == nil) != (is == as) {
				t.Errorf("%s taken for %s: %v", is, as, err)
			}
		}
	}
}

func TestWhatCannotSignSaysSo(t *testing.T) {
	r := open(t, &shelf{}, master(t), Options{Kinds: quick})
	for _, alg := range []Algorithm{RS256, PS256, "none", "HS256", ""} {
		if token, err := r.Sign(alg, "", []byte("{}")); err == nil || token != "" {
			t.Errorf("%q signed", alg)
		}
		if _, private, err := r.Signer(alg); err == nil || private != nil {
			t.Errorf("%q has a signer", alg)
		}
	}
	if got := r.Algorithms(); !slices.Equal(got, []Algorithm{ES256, EdDSA}) {
		t.Errorf("algorithms %v", got)
	}
}

func TestOnlyPublicPartsArePublished(t *testing.T) {
	store, m := &shelf{}, master(t)
	r := open(t, store, m, Options{})
	if _, err := r.Prepare(t.Context(), P256); err != nil {
		t.Fatal(err)
	}
	body, etag := r.JWKS()
	var set struct{ Keys []map[string]any }
	if err := json.Unmarshal(body, &set); err != nil || len(set.Keys) != 4 {
		t.Fatalf("%d keys, %v", len(set.Keys), err)
	}
	seen := map[any]bool{}
	for _, k := range set.Keys {
		for _, secret := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"} {
			if k[secret] != nil {
				t.Errorf("the published key %v has %q", k["kid"], secret)
			}
		}
		if k["use"] != "sig" || k["kid"] == "" || seen[k["kid"]] {
			t.Errorf("published key %v", k)
		}
		seen[k["kid"]] = true
		if want := map[any]any{"EC": "ES256", "OKP": "EdDSA", "RSA": nil}[k["kty"]]; k["alg"] != want {
			t.Errorf("%v key has alg %v", k["kty"], k["alg"])
		}
	}
	for _, k := range r.PublicSet().Keys {
		if !k.IsPublic() || !k.Valid() {
			t.Errorf("key %s is not public", k.KeyID)
		}
		thumb, _ := k.Thumbprint(crypto.SHA256)
		if k.KeyID != base64.RawURLEncoding.EncodeToString(thumb) {
			t.Errorf("kid %s is not the thumbprint", k.KeyID)
		}
	}
	for _, row := range store.rows {
		der, err := m.Open(row.Sealed, row.ID)
		if err != nil || bytes.Contains(body, []byte(base64.RawURLEncoding.EncodeToString(der))) {
			t.Errorf("row %s: %v", row.ID, err)
		}
		if strings.Contains(fmt.Sprint(r.List()), row.Sealed) {
			t.Error("the list tells the sealed key")
		}
	}
	if !strings.HasPrefix(etag, `"`) || !strings.HasSuffix(etag, `"`) || len(etag) < 10 {
		t.Errorf("etag %s", etag)
	}
}

func TestReplicasThatStartAtOnceAgree(t *testing.T) {
	store, m := &shelf{}, master(t)
	rings := make([]*Ring, 8)
	var all sync.WaitGroup
	for i := range rings {
		all.Go(func() {
			r, err := OpenRing(t.Context(), store, m, Options{Kinds: quick})
			if err != nil {
				t.Error(err)
				return
			}
			rings[i] = r
		})
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
	if len(store.rows) != len(quick) || len(store.events) != len(quick) {
		t.Errorf("%d keys, %d events", len(store.rows), len(store.events))
	}
	for _, r := range rings {
		token, _ := r.Sign(ES256, "", []byte("{}"))
		if _, _, err := rings[0].Verify(token, "", ES256); err != nil {
			t.Error("replicas sign with different keys")
		}
	}
}

func TestTheLoserOfTheRaceTakesTheWinnersKey(t *testing.T) {
	store, m := &shelf{}, master(t)
	var winner *Ring
	store.late = func() { winner = open(t, store, m, Options{Kinds: []Kind{Ed25519}}) }
	loser := open(t, store, m, Options{Kinds: []Kind{Ed25519}})
	a, _, _ := winner.Signer(EdDSA)
	b, _, _ := loser.Signer(EdDSA)
	if a != b || len(store.rows) != 1 {
		t.Errorf("keys %s and %s, %d rows", a, b, len(store.rows))
	}
}

func TestAKeysLife(t *testing.T) {
	store, m := &shelf{}, master(t)
	c := &clock{t: time.Unix(1_800_000_000, 0)}
	o := Options{Kinds: quick, PublishFor: time.Hour, KeepRetired: 2 * time.Hour, Now: c.now}
	r, replica := open(t, store, m, o), open(t, store, m, o)
	ctx := t.Context()
	first, _, _ := r.Signer(ES256)
	old, _ := r.Sign(ES256, "", []byte(`"old"`))
	_, etag := r.JWKS()

	if err := r.Promote(ctx, P256); fault.Code(err) != "key_not_prepared" {
		t.Errorf("promoted nothing: %v", err)
	}
	next, err := r.Prepare(ctx, P256)
	if err != nil || next == first {
		t.Fatal(next, err)
	}
	if again, err := replica.Prepare(ctx, P256); err != nil || again != next {
		t.Errorf("a second Prepare makes another key: %s, %v", again, err)
	}
	if kid, _, _ := r.Signer(ES256); kid != first {
		t.Error("the next key signs")
	}
	if _, now := r.JWKS(); now == etag {
		t.Error("the entity tag did not change with the set")
	}
	err = r.Promote(ctx, P256)
	if f, _ := fault.Of(err); f == nil || f.Code != "key_too_new" || f.RetryAfter != time.Hour {
		t.Errorf("promoted at once: %v", err)
	}

	c.pass(time.Hour)
	if err := r.Promote(ctx, P256); err != nil {
		t.Fatal(err)
	}
	if kid, _, _ := r.Signer(ES256); kid != next {
		t.Error("the promoted key does not sign")
	}
	if err := replica.Promote(ctx, P256); fault.Code(err) != "key_not_prepared" {
		t.Errorf("promoted twice: %v", err)
	}
	fresh, _ := r.Sign(ES256, "", []byte(`"new"`))
	for _, ring := range []*Ring{r, replica} {
		for _, token := range []string{old, fresh} {
			if _, _, err := ring.Verify(token, "", ES256); err != nil {
				t.Error("a token does not verify after the rotation")
			}
		}
	}

	c.pass(2*time.Hour - time.Second)
	if n, err := r.Retire(ctx, P256); n != 0 || err != nil {
		t.Errorf("dropped %d too early, %v", n, err)
	}
	c.pass(time.Second)
	if n, err := r.Retire(ctx, P256); n != 1 || err != nil {
		t.Errorf("dropped %d, %v", n, err)
	}
	if _, _, err := r.Verify(old, "", ES256); err == nil {
		t.Error("a dropped key still verifies")
	}
	if _, _, err := r.Verify(fresh, "", ES256); err != nil {
		t.Error("the current key was dropped")
	}
	if got := len(store.events); got != 2+1+2+1 {
		t.Errorf("%d events: %+v", got, store.events)
	}
	if _, err := r.Prepare(ctx, RSA2048); fault.Code(err) != "key_kind_unknown" {
		t.Errorf("a kind that is not in use: %v", err)
	}
}

func TestOfTwoPromotionsOneWins(t *testing.T) {
	store, m := &shelf{}, master(t)
	c := &clock{t: time.Unix(1_800_000_000, 0)}
	o := Options{Kinds: quick, PublishFor: time.Minute, Now: c.now}
	a, b := open(t, store, m, o), open(t, store, m, o)
	if _, err := a.Prepare(t.Context(), Ed25519); err != nil {
		t.Fatal(err)
	}
	c.pass(time.Minute)
	var won, lost int
	var mu sync.Mutex
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			err := []*Ring{a, b}[i%2].Promote(t.Context(), Ed25519)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				won++
			case fault.Is(err, fault.Conflict):
				lost++
			default:
				t.Error(err)
			}
		})
	}
	all.Wait()
	if won != 1 || lost != 19 {
		t.Errorf("%d won, %d lost", won, lost)
	}
}

func TestReplicasFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, m := &shelf{}, master(t)
		o := Options{Kinds: quick, PublishFor: time.Hour, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
		a, b := open(t, store, m, o), open(t, store, m, o)
		ctx, stop := context.WithCancel(t.Context())
		go b.Run(ctx)
		if _, err := a.Prepare(ctx, P256); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if err := a.Promote(ctx, P256); err != nil {
			t.Fatal(err)
		}
		time.Sleep(31 * time.Second)
		synctest.Wait()
		ka, _, _ := a.Signer(ES256)
		kb, _, _ := b.Signer(ES256)
		if ka != kb {
			t.Error("the other replica does not follow")
		}

		// SQL out of reach: go on with what there is.
		store.mu.Lock()
		store.down = errors.New("down")
		store.mu.Unlock()
		time.Sleep(10 * time.Minute)
		if _, err := b.Sign(ES256, "", []byte("{}")); err != nil {
			t.Error("an outage of SQL stops signing:", err)
		}
		stop()
	})
}

func TestABrokenRingDoesNotOpen(t *testing.T) {
	m := master(t)
	whole := &shelf{}
	open(t, whole, m, Options{Kinds: quick})
	for name, spoil := range map[string]func(rows []Stored){
		"sealed key of another row":    func(r []Stored) { r[0].Sealed = r[1].Sealed },
		"rows that changed their IDs":  func(r []Stored) { r[0].ID, r[1].ID = r[1].ID, r[0].ID },
		"another kind":                 func(r []Stored) { r[0].Kind, r[1].Kind = r[1].Kind, r[0].Kind },
		"two current keys of one kind": func(r []Stored) { r[1] = r[0] },
		"a cut value":                  func(r []Stored) { r[0].Sealed = r[0].Sealed[:40] },
	} {
		rows := slices.Clone(whole.rows)
		spoil(rows)
		if r, err := OpenRing(t.Context(), &shelf{rows: rows}, m, Options{Kinds: quick}); err == nil {
			t.Errorf("%s: opened %v", name, r.List())
		}
	}
	if _, err := OpenRing(t.Context(), &shelf{rows: whole.rows}, master(t), Options{Kinds: quick}); err == nil {
		t.Error("another master key opened the ring")
	}
	if _, err := OpenRing(t.Context(), &shelf{down: errors.New("down")}, m, Options{}); err == nil {
		t.Error("opened without SQL")
	}
}

func TestARefreshThatFailsChangesNothing(t *testing.T) {
	store, m := &shelf{}, master(t)
	r := open(t, store, m, Options{Kinds: quick})
	store.rows[0].Sealed = "v1.x.y"
	store.rows[0].Moved = time.Now()
	store.rows = append(store.rows, Stored{ID: "intruder", Kind: P256, State: Next, Sealed: "v1.x.y"})
	if err := r.Refresh(t.Context()); err == nil {
		t.Error("a broken row was taken")
	}
	if _, err := r.Sign(ES256, "", []byte("{}")); err != nil || len(r.List()) != len(quick) {
		t.Error("the ring lost its keys")
	}
}

func TestManySignWhileKeysRotate(t *testing.T) {
	store, m := &shelf{}, master(t)
	c := &clock{t: time.Unix(1_800_000_000, 0)}
	r := open(t, store, m, Options{Kinds: quick, PublishFor: time.Minute, Now: c.now})
	stop := make(chan struct{})
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				token, err := r.Sign([]Algorithm{ES256, EdDSA}[i%2], "at+jwt", []byte(`{"n":1}`))
				if err != nil {
					t.Error(err)
					return
				}
				if _, _, err := r.Verify(token, "at+jwt", ES256, EdDSA); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 5 {
		for _, kind := range quick {
			if _, err := r.Prepare(t.Context(), kind); err != nil {
				t.Error(err)
			}
			c.pass(time.Minute)
			if err := r.Promote(t.Context(), kind); err != nil {
				t.Error(err)
			}
		}
	}
	close(stop)
	all.Wait()
}

func FuzzVerify(f *testing.F) {
	r := open(f, &shelf{}, master(f), Options{Kinds: quick})
	good, _ := r.Sign(ES256, "JWT", []byte(`{}`))
	f.Add(good)
	f.Add("a.b.c")
	part := strings.Split(good, ".")
	f.Fuzz(func(t *testing.T, token string) {
		_, _, err := r.Verify(token, "JWT", ES256, EdDSA)
		if err == nil && !strings.HasPrefix(token, part[0]+"."+part[1]+".") {
			t.Errorf("%q verifies", token)
		}
	})
}

func BenchmarkSign(b *testing.B) {
	r := open(b, &shelf{}, master(b), Options{})
	payload := []byte(`{"iss":"https://id.example","sub":"0123456789abcdef","aud":"client","exp":1800000000,"iat":1800000000,"nonce":"n","acr":"urn:portti:acr:card","amr":["sc","pin","hwk","mfa"]}`)
	digest := sha256.Sum256(payload)
	for _, alg := range Algorithms {
		b.Run(string(alg), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.Sign(alg, "at+jwt", payload); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(string(alg)+"/raw", func(b *testing.B) {
			_, private, _ := r.Signer(alg)
			b.ReportAllocs()
			for b.Loop() {
				var err error
				switch k := private.(type) {
				case ed25519.PrivateKey:
					ed25519.Sign(k, payload)
				case *ecdsa.PrivateKey:
					_, err = ecdsa.SignASN1(rand.Reader, k, digest[:])
				case *rsa.PrivateKey:
					if alg == PS256 {
						_, err = rsa.SignPSS(rand.Reader, k, crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
					} else {
						_, err = rsa.SignPKCS1v15(rand.Reader, k, crypto.SHA256, digest[:])
					}
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	r := open(b, &shelf{}, master(b), Options{})
	for _, alg := range Algorithms {
		b.Run(string(alg), func(b *testing.B) {
			token, _ := r.Sign(alg, "", []byte(`{"iss":"https://id.example","sub":"0123456789abcdef"}`))
			for b.Loop() {
				if _, _, err := r.Verify(token, "", alg); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
