package password

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portti-id/portti/internal/fault"
)

// cheap keeps the tests quick; the code path is that of the real cost.
var cheap = Params{Time: 1, MemoryKiB: 64, Threads: 1}

func hasher(t *testing.T, p Params) *Hasher {
	t.Helper()
	h, err := NewHasher(p)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestVerifyAcceptsOnlyThePassword(t *testing.T) { // S13
	h := hasher(t, cheap)
	phc, err := h.Hash(t.Context(), "vettä sataa kaatamalla")
	if err != nil {
		t.Fatal(err)
	}
	for pw, want := range map[string]bool{
		"vettä sataa kaatamalla":                true,
		"vetta\u0308 sataa kaatamalla":          true, // the same in NFD, as a Mac may send it
		"Vettä sataa kaatamalla":                false,
		"vettä sataa kaatamalla ":               false,
		"vetta sataa kaatamalla":                false,
		"":                                      false,
		strings.Repeat("a", MaxBytes+1):         false,
		"vettä sataa kaatamalla\x00":            false,
		"vettä sataa kaatamall":                 false,
		strings.Repeat("vettä sataa kaata", 50): false,
	} {
		ok, rehash, err := h.Verify(t.Context(), phc, pw)
		if ok != want || rehash || err != nil {
			t.Errorf("Verify(%.30q) = %v, %v, %v; want %v", pw, ok, rehash, err, want)
		}
	}
}

func TestEqualPasswordsHaveUnequalHashes(t *testing.T) {
	h := hasher(t, cheap)
	a, _ := h.Hash(t.Context(), "one and the same password")
	b, _ := h.Hash(t.Context(), "one and the same password")
	if a == b || strings.Contains(a, "same") {
		t.Errorf("hashes %q and %q", a, b)
	}
}

func TestTheDefaultCostIsTheDocumentedOne(t *testing.T) {
	phc, err := hasher(t, Params{}).Hash(t.Context(), "x")
	if err != nil || !strings.HasPrefix(phc, "$argon2id$v=19$m=47104,t=2,p=1$") {
		t.Errorf("%s, %v", phc, err)
	}
}

func TestNoHashMeansNoPassword(t *testing.T) { // S43
	h := hasher(t, cheap)
	for _, pw := range []string{"", "anything", string(h.dummy.hash)} {
		if ok, rehash, err := h.Verify(t.Context(), "", pw); ok || rehash || err != nil {
			t.Errorf("Verify of nothing with %q = %v, %v, %v", pw, ok, rehash, err)
		}
	}
	if err := h.VerifyDummy(t.Context(), "anything"); err != nil {
		t.Error(err)
	}
}

// The dummy must cost what a stored hash costs: same parameters, same input,
// same queue. Measuring time would be unsound here; the end-to-end suite does.
func TestTheDummyCostsTheSame(t *testing.T) { // S43
	h := hasher(t, cheap)
	phc, _ := h.Hash(t.Context(), "x")
	s, err := parse(phc)
	if err != nil {
		t.Fatal(err)
	}
	if s.cost != h.dummy.cost || s.pepper != h.dummy.pepper || len(s.salt) != len(h.dummy.salt) || len(s.hash) != len(h.dummy.hash) {
		t.Errorf("dummy %+v differs from a stored %+v", h.dummy.cost, s.cost)
	}
	for range cap(h.turn) {
		h.turn <- struct{}{}
	}
	h.wait = time.Millisecond
	if err := h.VerifyDummy(t.Context(), "x"); fault.Code(err) != "busy" {
		t.Errorf("the dummy does not queue: %v", err)
	}
}

func TestRehashWhenTheCostChanged(t *testing.T) {
	old := hasher(t, cheap)
	phc, _ := old.Hash(t.Context(), "x")
	dearer := hasher(t, Params{Time: 2, MemoryKiB: 64})
	if ok, rehash, err := dearer.Verify(t.Context(), phc, "x"); !ok || !rehash || err != nil {
		t.Errorf("right password of another cost: %v, %v, %v", ok, rehash, err)
	}
	if ok, rehash, _ := dearer.Verify(t.Context(), phc, "y"); ok || rehash {
		t.Error("a wrong password is never rehashed")
	}
}

func TestPeppersRotate(t *testing.T) {
	first := Pepper{ID: "a1", Key: []byte(strings.Repeat("a", 32))}
	second := Pepper{ID: "b2", Key: []byte(strings.Repeat("b", 32))}
	with := func(p ...Pepper) *Hasher { c := cheap; c.Peppers = p; return hasher(t, c) }

	plain, _ := with().Hash(t.Context(), "x")
	phc, _ := with(first).Hash(t.Context(), "x")
	if !strings.Contains(phc, ",keyid=a1$") {
		t.Errorf("no keyid in %s", phc)
	}
	for _, c := range []struct {
		h          *Hasher
		phc        string
		ok, rehash bool
	}{
		{with(first), phc, true, false},
		{with(second, first), phc, true, true},
		{with(first), plain, true, true},
	} {
		if ok, rehash, err := c.h.Verify(t.Context(), c.phc, "x"); ok != c.ok || rehash != c.rehash || err != nil {
			t.Errorf("%s: %v %v %v", c.phc, ok, rehash, err)
		}
	}
	if ok, _, err := with(second).Verify(t.Context(), phc, "x"); ok || err == nil {
		t.Error("a hash with an unknown pepper must be our error, not a wrong password")
	}
	// Another key under the same name: the password alone is not enough.
	if ok, _, err := with(Pepper{ID: "a1", Key: second.Key}).Verify(t.Context(), phc, "x"); ok || err != nil {
		t.Errorf("another pepper: %v, %v", ok, err)
	}
}

func TestNewHasherRefusesBadParameters(t *testing.T) {
	key := []byte(strings.Repeat("k", 32))
	for name, p := range map[string]Params{
		"memory":     {MemoryKiB: 4},
		"memory max": {MemoryKiB: 1 << 30},
		"time":       {Time: 1000},
		"lanes":      {Threads: 200},
		"parallel":   {Parallel: -1},
		"wait":       {Wait: -1},
		"short key":  {Peppers: []Pepper{{ID: "a", Key: key[:31]}}},
		"pepper id":  {Peppers: []Pepper{{ID: "a$b", Key: key}}},
		"no id":      {Peppers: []Pepper{{Key: key}}},
		"twice":      {Peppers: []Pepper{{ID: "a", Key: key}, {ID: "a", Key: key}}},
	} {
		if _, err := NewHasher(p); err == nil {
			t.Errorf("%s: accepted", name)
		} else if strings.Contains(err.Error(), string(key)) {
			t.Errorf("%s: the error holds the key", name)
		}
	}
}

func TestBrokenHashesAreErrorsNotCost(t *testing.T) {
	h := hasher(t, cheap)
	good, _ := h.Hash(t.Context(), "x")
	salt, sum := strings.Split(good, "$")[4], strings.Split(good, "$")[5]
	for _, phc := range []string{
		"x", "$", "$$$$$", "$2a$10$abcdefghijklmnopqrstuv",
		"$argon2i$v=19$m=64,t=1,p=1$" + salt + "$" + sum,
		"$argon2id$v=16$m=64,t=1,p=1$" + salt + "$" + sum,
		"$argon2id$v=19$m=4294967295,t=1,p=1$" + salt + "$" + sum, // 4 TiB
		"$argon2id$v=19$m=64,t=4294967295,p=1$" + salt + "$" + sum,
		"$argon2id$v=19$m=64,t=0,p=1$" + salt + "$" + sum,
		"$argon2id$v=19$m=64,t=1,p=0$" + salt + "$" + sum,
		"$argon2id$v=19$m=64,t=1,p=256$" + salt + "$" + sum,
		"$argon2id$v=19$m=0064,t=1,p=1$" + salt + "$" + sum,
		"$argon2id$v=19$m=+64,t=1,p=1$" + salt + "$" + sum,
		"$argon2id$v=19$t=1,m=64,p=1$" + salt + "$" + sum,
		"$argon2id$v=19$m=64,t=1,p=1,keyid=$" + salt + "$" + sum,
		"$argon2id$v=19$m=64,t=1,p=1,data=a$" + salt + "$" + sum,
		"$argon2id$v=19$m=64,t=1,p=1$$" + sum,
		"$argon2id$v=19$m=64,t=1,p=1$" + salt + "$",
		"$argon2id$v=19$m=64,t=1,p=1$" + salt + "$AAAA",
		"$argon2id$v=19$m=64,t=1,p=1$" + salt + "=$" + sum,
		"$argon2id$v=19$m=64,t=1,p=1$" + strings.Repeat("A", 400) + "$" + sum,
		good + "$", good + "\n", " " + good, good[:len(good)-1] + "!",
	} {
		if ok, _, err := h.Verify(t.Context(), phc, "x"); ok || err == nil {
			t.Errorf("%.60q: %v, %v", phc, ok, err)
		} else if _, isFault := fault.Of(err); isFault {
			t.Errorf("%.60q: a broken row is not the person's fault", phc)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("$argon2id$v=19$m=64,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Add("$argon2id$v=19$m=64,t=1,p=1,keyid=a$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, phc string) {
		s, err := parse(phc)
		if err != nil {
			return
		}
		if s.String() != phc || s.cost.check() != nil || len(s.hash) < 16 {
			t.Errorf("parse took %q", phc)
		}
	})
}

func TestOverlongInputIsNotHashed(t *testing.T) {
	h := hasher(t, cheap)
	phc, _ := h.Hash(t.Context(), "x")
	for range cap(h.turn) { // a hash would have to wait for ever
		h.turn <- struct{}{}
	}
	long := strings.Repeat("x", MaxBytes+1)
	for _, stored := range []string{phc, ""} { // alike for known and unknown names
		if ok, _, err := h.Verify(t.Context(), stored, long); ok || err != nil {
			t.Errorf("Verify: %v, %v", ok, err)
		}
	}
	if _, err := h.Hash(t.Context(), long); fault.Code(err) != "password_too_long" {
		t.Errorf("Hash: %v", err)
	}
}

func TestNoMoreHashesAtOnceThanAllowed(t *testing.T) { // performance.md 0.2
	p := cheap
	p.Parallel, p.Wait = 3, time.Minute
	h := hasher(t, p)
	var most atomic.Int64
	var all sync.WaitGroup
	for range 60 {
		all.Go(func() {
			if err := h.takeTurn(t.Context()); err != nil {
				t.Error(err)
				return
			}
			now := int64(len(h.turn))
			for seen := most.Load(); now > seen && !most.CompareAndSwap(seen, now); seen = most.Load() {
			}
			<-h.turn
		})
	}
	all.Wait()
	if most.Load() > 3 || len(h.turn) != 0 {
		t.Errorf("%d at once, %d places not given back", most.Load(), len(h.turn))
	}
	for range 20 {
		all.Go(func() {
			if phc, err := h.Hash(t.Context(), "x"); err != nil || phc == "" {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if len(h.turn) != 0 {
		t.Error("a place was not given back")
	}
}

func TestAFullQueueAnswersBusyInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := cheap
		p.Parallel, p.Wait = 1, 5*time.Second
		h := hasher(t, p)
		h.turn <- struct{}{}
		start := time.Now()
		_, err := h.Hash(t.Context(), "x")
		f, ok := fault.Of(err)
		if !ok || f.Kind != fault.Unavailable || f.Code != "busy" || f.RetryAfter != 5*time.Second {
			t.Errorf("%+v", err)
		}
		if waited := time.Since(start); waited != 5*time.Second { // the bubble's clock, not the wall's
			t.Errorf("waited %s", waited)
		}

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := h.Hash(ctx, "x"); !errors.Is(err, context.Canceled) {
			t.Errorf("a caller who left: %v", err)
		}
	})
}

func TestTemporaryPasswords(t *testing.T) { // S16
	rules, _ := NewRules(0)
	seen := map[string]bool{}
	counts := map[byte]int{}
	for range 2000 {
		pw := Temporary()
		groups := strings.Split(pw, "-")
		if len(pw) != 19 || len(groups) != 4 || slices.ContainsFunc(groups, func(g string) bool { return len(g) != 4 }) {
			t.Fatalf("%q is not four groups of four", pw)
		}
		if strings.ContainsAny(pw, "0o1il") || strings.Trim(pw, signs+"-") != "" {
			t.Fatalf("%q has signs that are misread", pw)
		}
		if seen[pw] {
			t.Fatalf("%q came twice", pw)
		}
		seen[pw] = true
		for _, c := range []byte(pw) {
			counts[c]++
		}
	}
	if len(signs) != 31 {
		t.Fatalf("%d signs", len(signs))
	}
	for _, c := range []byte(signs) { // 32,000 draws of 31: 1032 each, a deviation of 32
		if n := counts[c]; n < 800 || n > 1260 {
			t.Errorf("sign %c came %d times of about 1032", c, n)
		}
	}
	if wrong := rules.Check(Temporary(), Context{}); len(wrong) > 0 {
		t.Errorf("a temporary password does not meet the rules: %v", wrong[0])
	}
}

func TestTemporaryPasswordsAreReadKindly(t *testing.T) {
	const want = "k7wp-3mxd-hy9c-tqa2"
	for typed, same := range map[string]bool{
		want:                                 true,
		"  K7WP-3MXD-HY9C-TQA2 ":             true,
		"k7wp 3mxd hy9c tqa2":                true,
		"k7wp\u20133mxd\u2013hy9c\u2013tqa2": true,
		"k7wp3mxdhy9ctqa2":                   true,
		"k7wp-3mxd-hy9c-tqa":                 false,
		"k7wp-3mxd-hy9c-tqa2x":               false,
		"k7wp-3mxd-hy9c-tqa0":                false,
	} {
		if got := AsTemporary(typed); (got == want) != same {
			t.Errorf("AsTemporary(%q) = %q", typed, got)
		}
	}
	for _, own := range []string{"", "  My Own Password With Blanks  ", "\xff\xfe"} {
		if got := AsTemporary(own); got != own {
			t.Errorf("AsTemporary(%q) = %q: changed what is not ours", own, got)
		}
	}
}

func BenchmarkHash(b *testing.B) {
	h, err := NewHasher(Params{})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := h.Hash(b.Context(), "vettä sataa kaatamalla"); err != nil {
			b.Fatal(err)
		}
	}
}
