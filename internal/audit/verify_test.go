package audit

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	testKey  = ed25519.NewKeyFromSeed([]byte(strings.Repeat("k", ed25519.SeedSize)))
	otherKey = ed25519.NewKeyFromSeed([]byte(strings.Repeat("o", ed25519.SeedSize)))
	noon     = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
)

func public(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

// chain seals n events, with a checkpoint every ten.
func chain(n int, key ed25519.PrivateKey) (entries []Entry, checkpoints []Checkpoint, end Checkpoint) {
	link := Hash{}
	for i := range n {
		e := Entry{Nonce: fmt.Sprintf("nonce%d", i), Sequence: int64(i) + 1, Event: Event{At: noon.Add(time.Duration(i) * time.Minute), Type: SignInSucceeded, Actor: fmt.Sprintf("user:%d", i),
			User: fmt.Sprint(i), Organisation: []string{"west", "east", ""}[i%3], Method: "card", Details: map[string]string{"step": fmt.Sprint(i)}}}
		e.Link = LinkOf(link, e.Sequence, e.Mark, e.Content())
		link = e.Link
		entries = append(entries, e)
		if e.Sequence%10 == 0 {
			checkpoints = append(checkpoints, Checkpoint{Kind: Reached, Sequence: e.Sequence, Link: link, At: e.At}.Sign(key))
		}
	}
	return entries, checkpoints, Checkpoint{Kind: Reached, Sequence: int64(n), Link: link, At: noon.Add(24 * time.Hour)}.Sign(key)
}

// write makes a file of a chain.
func write(t testing.TB, organisation string, entries []Entry, checkpoints []Checkpoint, end Checkpoint) string {
	t.Helper()
	var b bytes.Buffer
	w, err := NewWriter(&b, noon, public(testKey), organisation, time.Time{}, Checkpoint{}, checkpoints)
	for _, e := range entries {
		if err == nil {
			err = w.Entry(e)
		}
	}
	if err == nil {
		err = w.End(end)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func verify(t testing.TB, file string, known ...Checkpoint) Report {
	t.Helper()
	r, err := VerifyFile(strings.NewReader(file), public(testKey), known)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// The bytes of version 1 never change: what was sealed must verify for as long as
// it is kept.
func TestTheFirstVersionStaysAsItIs(t *testing.T) {
	e := Entry{Nonce: "N", Event: Event{At: time.Date(2026, 11, 20, 12, 0, 0, 1500, time.UTC), Type: "a.b", Actor: "user:ä", Details: map[string]string{"b": "2", "a": "1:,"}}}
	if got, want := string(e.Canonical()), "portti audit event 1\n1:N,27:2026-11-20T12:00:00.000001Z,3:a.b,7:user:ä,0:,0:,0:,0:,0:,0:,0:,1:2,1:a,3:1:,,1:b,1:2,"; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got, want := LinkOf(Hash{1}, 258, Unmarked, Hash{2}).String(), "243edc32a58cb6d8591b6bb3746a7c95d58a919a90223c50c8f58eb2aa253d74"; got != want {
		t.Errorf("the link is %s", got)
	}
}

func TestASoundTrailIsSound(t *testing.T) {
	entries, checkpoints, end := chain(35, testKey)
	for _, organisation := range []string{"", "west", "nobody's"} {
		r := verify(t, write(t, organisation, entries, checkpoints, end), checkpoints...)
		if !r.Sound() || r.From != 1 || r.To != 35 || r.Events+r.LeftOut != 35 || organisation == "west" && r.Events != 12 || r.Checkpoints != 7 {
			t.Errorf("%q: %+v", organisation, r)
		}
	}
	// From a checkpoint on.
	var b bytes.Buffer
	w, err := NewWriter(&b, noon, public(testKey), "west", entries[14].At, checkpoints[0], checkpoints[1:])
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries[10:] {
		if err := w.Entry(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.End(end); err != nil {
		t.Fatal(err)
	}
	if r := verify(t, b.String(), checkpoints...); !r.Sound() || r.From != 11 || r.Events != 7 {
		t.Errorf("%+v", r)
	}
	// A removal may be the beginning as well, and nothing that is not signed.
	for _, from := range []struct {
		c     Checkpoint
		sound bool
	}{{Checkpoint{Kind: Removed, Sequence: 10, Link: entries[9].Link, Removed: 10, At: noon}.Sign(testKey), true}, {Checkpoint{Kind: Removed, Sequence: 10, Link: entries[9].Link, Removed: 10, At: noon}.Sign(otherKey), false}, {Checkpoint{}, false}} {
		v := NewVerifier(public(testKey), nil)
		v.Start(from.c)
		for _, e := range entries[10:] {
			v.Entry(e)
		}
		v.End(end)
		if r := v.Report(); r.Sound() != from.sound {
			t.Errorf("%+v: %+v", from.c, r.Findings)
		}
	}
}

// Whatever is done to a file is found, and where. wrong lists code@sequence.
func TestTamperingIsFound(t *testing.T) {
	entries, checkpoints, end := chain(35, testKey)
	sealed := func(change func(e []Entry) []Entry) string {
		return write(t, "", change(slices.Clone(entries)), checkpoints, end)
	}
	// remade chains changed entries anew, as somebody can without any key.
	remade := func(e []Entry) []Entry {
		link := Hash{}
		for i := range e {
			e[i].Sequence = int64(i) + 1
			e[i].Link = LinkOf(link, e[i].Sequence, e[i].Mark, e[i].Content())
			link = e[i].Link
		}
		return e
	}
	sound := write(t, "", entries, checkpoints, end)
	older, _, olderEnd := chain(20, testKey)
	for name, c := range map[string]struct {
		file  string
		known []Checkpoint
		wrong []string
	}{
		"a field":        {file: sealed(func(e []Entry) []Entry { e[6].User = "somebody else"; return e }), wrong: []string{"link_broken@7"}},
		"a time":         {file: sealed(func(e []Entry) []Entry { e[6].At = e[6].At.Add(time.Second); return e }), wrong: []string{"link_broken@7"}},
		"a detail":       {file: sealed(func(e []Entry) []Entry { e[6].Details = nil; return e }), wrong: []string{"link_broken@7"}},
		"a mark":         {file: sealed(func(e []Entry) []Entry { e[6].Mark = Unmarked; return e }), wrong: []string{"link_broken@7", "event_unmarked@7"}},
		"two fields":     {file: sealed(func(e []Entry) []Entry { e[6].Reason, e[26].Reason = "x", "y"; return e }), wrong: []string{"link_broken@7", "link_broken@27"}},
		"its link, too":  {file: sealed(func(e []Entry) []Entry { e[6].User = "x"; return append(remade(e[:7]), e[7:]...) }), wrong: []string{"link_broken@8"}},
		"one deleted":    {file: sealed(func(e []Entry) []Entry { return slices.Delete(e, 6, 7) }), wrong: []string{"missing@7"}},
		"some deleted":   {file: sealed(func(e []Entry) []Entry { return slices.Delete(e, 21, 24) }), wrong: []string{"missing@22"}},
		"the first gone": {file: sealed(func(e []Entry) []Entry { return e[1:] }), wrong: []string{"missing@1"}},
		"one put in":     {file: sealed(func(e []Entry) []Entry { return slices.Insert(e, 7, e[6]) }), wrong: []string{"out_of_order@7"}},
		"two swapped":    {file: sealed(func(e []Entry) []Entry { e[6], e[7] = e[7], e[6]; return e }), wrong: []string{"missing@7", "out_of_order@7"}},
		"all made anew, with one less": {file: sealed(func(e []Entry) []Entry { return remade(slices.Delete(e, 6, 7)) }),
			wrong: []string{"checkpoint_contradicts@10", "checkpoint_contradicts@20", "checkpoint_contradicts@30", "missing@35"}},
		"all made anew, without checkpoints": {file: write(t, "", remade(slices.Insert(slices.Clone(entries[:34]), 7, Entry{Nonce: "mine", Event: Event{Type: UserRolesChanged}})), nil, end), wrong: []string{"checkpoint_contradicts@35"}},
		"all made anew, under another key": {file: func() string {
			e, c, end := chain(35, otherKey)
			return write(t, "", e, c, end)
		}(), wrong: []string{"checkpoint_forged@10", "checkpoint_forged@20", "checkpoint_forged@30", "end_forged@35"}},
		"a forged checkpoint": {file: strings.Replace(sound, checkpoints[1].Link.String()+`","removed":0`, checkpoints[1].Link.String()+`","removed":9`, 1), wrong: []string{"checkpoint_forged@20"}},
		"the tail cut off":    {file: sealed(func(e []Entry) []Entry { return e[:30] }), wrong: []string{"missing@31"}},
		"the file cut off":    {file: sound[:strings.Index(sound, `{"end"`)], wrong: []string{"end_missing@35"}},
		"a line cut":          {file: strings.Replace(sound, `"sequence":7,`, "", 1), wrong: []string{"line_altered@7", "out_of_order@0", "missing@7"}},
		// Verified is one thing, and shown by another program another.
		"a member twice":                           {file: strings.Replace(sound, `"actor":"user:6"`, `"actor":"user:9","Actor":"user:6"`, 1), wrong: []string{"line_altered@7"}},
		"a member that is not known":               {file: strings.Replace(sound, `"actor":"user:6"`, `"actor":"user:6","on_behalf_of":"user:9"`, 1), wrong: []string{"line_altered@7"}},
		"an event beside the beginning":            {file: strings.Replace(sound, `{"begin":`, `{"event":{"sequence":1,"type":"user.roles_changed"},"begin":`, 1), wrong: []string{"line_altered@1"}},
		"an event beside a checkpoint":             {file: strings.Replace(sound, `{"end":`, `{"event":{"sequence":36,"type":"user.roles_changed"},"end":`, 1), wrong: []string{"line_altered@36", "link_broken@36", "end_missing@36"}},
		"behind the end":                           {file: sound + strings.SplitAfter(sound, "\n")[5], wrong: []string{"behind_the_end@35"}},
		"an older copy":                            {file: write(t, "", older, checkpoints[:2], olderEnd), known: checkpoints, wrong: []string{"older_than_known@30"}},
		"a forged copy of what was kept elsewhere": {file: sound, known: []Checkpoint{{Kind: Reached, Sequence: 30, Link: Hash{9}, At: noon}}, wrong: []string{"checkpoint_forged@30"}},
		"another history than is known":            {file: sound, known: []Checkpoint{Checkpoint{Kind: Reached, Sequence: 25, Link: Hash{9}, At: noon}.Sign(testKey)}, wrong: []string{"checkpoint_contradicts@25"}},
		"a copied event": {file: func() string {
			e := remade(append(slices.Clone(entries), entries[3]))
			return write(t, "", e, checkpoints, Checkpoint{Kind: Reached, Sequence: 36, Link: e[35].Link, At: noon}.Sign(testKey))
		}(), wrong: []string{"copied@36"}},
		"forged when it was written": {file: func() string {
			e := slices.Clone(entries[:9])
			e[4].Mark = Forged
			e = remade(e)
			return write(t, "", e, nil, Checkpoint{Kind: Reached, Sequence: 9, Link: e[8].Link, At: noon}.Sign(testKey))
		}(), wrong: []string{"event_forged@5"}},
	} {
		t.Run(name, func(t *testing.T) {
			var wrong []string
			for _, f := range verify(t, c.file, c.known...).Findings {
				wrong = append(wrong, fmt.Sprintf("%s@%d", f.Code, f.Sequence))
			}
			if !slices.Equal(wrong, c.wrong) {
				t.Errorf("found %q, want %q", wrong, c.wrong)
			}
		})
	}
}

// What is left out cannot be exchanged either, nor guessed.
func TestLeftOutEventsHoldTheChain(t *testing.T) {
	entries, checkpoints, end := chain(35, testKey)
	file := write(t, "west", entries, checkpoints, end)
	if strings.Contains(file, `"east"`) || strings.Contains(file, "user:1\"") {
		t.Error("the file tells of others")
	}
	other := entries[4].Content().String()
	if !strings.Contains(file, other) {
		t.Fatal("the test looks for the wrong thing")
	}
	if r := verify(t, strings.Replace(file, other, Hash{7}.String(), 1)); len(r.Findings) == 0 || r.Findings[0].Code != "link_broken" {
		t.Errorf("%+v", r.Findings)
	}
	// Ours declared to be somebody else's is seen by no one without the content: the
	// sealed content says whose it is, and only its hash is here.
	guess := entries[4]
	guess.Nonce = ""
	if guess.Content().String() == other {
		t.Error("who knows what happened finds it without the nonce")
	}
}

func TestUnmarkedEventsAreThoseOfBefore(t *testing.T) {
	entries, _, _ := chain(6, testKey)
	link := Hash{}
	for i, mark := range []Mark{Unmarked, Unmarked, Genuine, Genuine, Unmarked, Genuine} {
		entries[i].Mark = mark
		entries[i].Link = LinkOf(link, entries[i].Sequence, mark, entries[i].Content())
		link = entries[i].Link
	}
	r := verify(t, write(t, "", entries, nil, Checkpoint{Kind: Reached, Sequence: 6, Link: link, At: noon}.Sign(testKey)))
	if r.Unmarked != 2 || len(r.Findings) != 1 || r.Findings[0].Code != "event_unmarked" || r.Findings[0].Sequence != 5 {
		t.Errorf("%+v", r)
	}
}

func TestKeysAsText(t *testing.T) {
	text := FormatKey(public(testKey))
	if key, err := ParseKey([]byte(text + "\n")); err != nil || !key.Equal(public(testKey)) {
		t.Errorf("%v, %v", key, err)
	}
	for _, bad := range []string{"", text + "A", strings.Replace(text, "key c", "key d", 1), strings.TrimPrefix(text, "portti-"), text[:40]} {
		if key, err := ParseKey([]byte(bad)); err == nil {
			t.Errorf("%q is %v", bad, key)
		}
	}
}

// Hostile files end in findings or errors, not in a panic; and no line but a
// checkpoint can be left out.
func TestHostileFiles(t *testing.T) {
	entries, checkpoints, end := chain(12, testKey)
	parts := strings.SplitAfter(strings.TrimSpace(write(t, "west", entries, checkpoints, end)), "\n")
	begin := `{"begin":{"format":"portti audit 1"}}` + "\n"
	all := []string{"", "\n", "{}", "null", "[]", "{\"begin\":{}}", begin, begin + `{"event":{"sequence":-1}}`, begin + `{"event":{"sequence":9223372036854775807}}` + "\n" + `{"left_out":{"from":1,"items":[]}}`, begin + `{"end":{}}`}
	for i := range parts {
		if !strings.HasPrefix(parts[i], `{"checkpoint"`) {
			all = append(all, strings.Join(slices.Delete(slices.Clone(parts), i, i+1), ""))
		}
	}
	for _, file := range all {
		if r, err := VerifyFile(strings.NewReader(file), public(testKey), nil); err == nil && r.Sound() {
			t.Errorf("%q is sound: %+v", file, r)
		}
	}
}

// A trail without an end is sound as long as nobody has begun it. Whoever takes one
// away whole, its end included, leaves checkpoints behind that tell of it.
func TestATrailWithoutAnEnd(t *testing.T) {
	entries, checkpoints, _ := chain(12, testKey)
	removal := Checkpoint{Kind: Removed, Sequence: 10, Link: entries[9].Link, Removed: 10, At: noon}.Sign(testKey)
	for name, c := range map[string]struct {
		known   []Checkpoint
		from    Checkpoint
		entries []Entry
		wrong   string
	}{
		"that nobody has begun":      {},
		"that was taken away":        {known: checkpoints, wrong: "older_than_known"},
		"of which the end was":       {known: checkpoints, entries: entries, wrong: "end_missing"},
		"that is left by a removal":  {known: []Checkpoint{checkpoints[0], removal}, from: removal, wrong: "end_missing"},
		"with what others have kept": {known: []Checkpoint{Checkpoint{Kind: Reached, Sequence: 10, At: noon}.Sign(otherKey)}, wrong: "checkpoint_forged"},
	} {
		v := NewVerifier(public(testKey), c.known)
		v.Start(c.from)
		for _, e := range c.entries {
			v.Entry(e)
		}
		v.NoEnd()
		r := v.Report()
		if r.Sound() != (c.wrong == "") || !r.Sound() && r.Findings[0].Code != c.wrong {
			t.Errorf("%s: %+v", name, r.Findings)
		}
	}
}
