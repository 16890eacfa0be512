package templates

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
)

func catalogue(fi, sv, en string) fs.FS {
	return fstest.MapFS{"texts/fi.yaml": {Data: []byte(fi)}, "texts/sv.yaml": {Data: []byte(sv)}, "texts/en.yaml": {Data: []byte(en)}}
}

func TestParseRefusesWhatIsMalformed(t *testing.T) {
	const good = "a.b: x {n}\n"
	if _, err := Parse(catalogue(good, good, good)); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		fi, sv, en, says string
	}{
		"a key that sv lacks":       {good + "a.c: x\n", good, good + "a.c: x\n", "sv has no a.c"},
		"a key that only en has":    {good, good, good + "a.c: x\n", "fi has no a.c"},
		"another placeholder":       {good, "a.b: x {m}\n", good, "a.b has [m] in sv"},
		"a placeholder too few":     {good, good, "a.b: x\n", "a.b has [] in en"},
		"an empty text":             {good, good, "a.b: ''\n", "a.b is empty in en"},
		"a text of space":           {good, good, "a.b: ' '\n", "a.b is empty in en"},
		"a key twice":               {good + good, good, good, "fi.yaml"},
		"a key without a family":    {"b: x\n", "b: x\n", "b: x\n", `"b" is not a key`},
		"a key with capital letter": {"a.B: x\n", "a.B: x\n", "a.B: x\n", `"a.B" is not a key`},
		"a tree":                    {"a: {b: x}\n", good, good, "fi.yaml"},
		"no YAML":                   {"a.b: [", good, good, "fi.yaml"},
		"nothing":                   {"", good, good, "fi has no a.b"},
	} {
		t.Run(name, func(t *testing.T) {
			texts, err := Parse(catalogue(c.fi, c.sv, c.en))
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want one that says %q", err, c.says)
			}
			if texts != nil {
				t.Error("a malformed catalogue is handed out")
			}
		})
	}
	if _, err := Parse(fstest.MapFS{}); err == nil {
		t.Error("a folder without catalogues passes")
	}
}

// A part of the texts may have files of its own.
func TestParseGathersFiles(t *testing.T) {
	folder := catalogue("a.b: x\n", "a.b: x\n", "a.b: x\n").(fstest.MapFS)
	for _, lang := range Languages {
		folder["texts/"+lang+"/more.yaml"] = &fstest.MapFile{Data: []byte("b.c: y\n")}
	}
	if texts, err := Parse(folder); err != nil || texts.Text("sv", "b.c") != "y" || texts.Text("sv", "a.b") != "x" {
		t.Fatal(err)
	}
	folder["texts/fi/twice.yaml"] = &fstest.MapFile{Data: []byte("b.c: z\n")}
	if _, err := Parse(folder); err == nil || !strings.Contains(err.Error(), "b.c is in another file too") {
		t.Errorf("a key in two files: %v", err)
	}
}

func TestText(t *testing.T) {
	texts, err := Parse(catalogue(
		"a.b: Hei {name}, {n} kertaa\na.b.one: Hei {name}, kerran\na.c: kolme\n",
		"a.b: Hej {name}, {n} gånger\na.b.one: Hej {name}, en gång\na.c: tre\n",
		"a.b: Hello {name}, {n} times, {name}\na.b.one: Hello {name}, once\na.c: three\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		lang, key string
		pairs     []string
		want      string
		fails     bool
	}{
		{"sv", "a.b", []string{"name", "Åsa", "n", "3"}, "Hej Åsa, 3 gånger", false},
		{"en", "a.b", []string{"n", "3", "name", "Bo"}, "Hello Bo, 3 times, Bo", false},
		{"fi", "a.b", []string{"name", "Bo", "n", "1"}, "Hei Bo, kerran", false},
		{"de", "a.c", nil, "kolme", false},
		{"", "a.c", []string{"more", "than needed"}, "kolme", false},
		// A value is never read again: it may look like anything.
		{"sv", "a.b", []string{"name", "{n}", "n", "{name}"}, "Hej {n}, {name} gånger", false},
		{"sv", "a.b", []string{"name", "Bo"}, "Hej Bo, {n} gånger", true},
		{"sv", "a.x", nil, "⟦a.x⟧", true},
		{"sv", "a.b", []string{"name"}, "⟦a.b⟧", true},
	} {
		if got := texts.Text(c.lang, c.key, c.pairs...); got != c.want {
			t.Errorf("Text(%s, %s, %q) = %q, want %q", c.lang, c.key, c.pairs, got, c.want)
		}
		if _, err := texts.Lookup(c.lang, c.key, c.pairs...); (err != nil) != c.fails {
			t.Errorf("Lookup(%s, %s, %q): error %v", c.lang, c.key, c.pairs, err)
		}
	}
	if !texts.Has("a.c") || texts.Has("a.x") {
		t.Error("Has")
	}
	if got := strings.Join(texts.Keys(), " "); got != "a.b a.b.one a.c" {
		t.Errorf("Keys %s", got)
	}
	if got := strings.Join(texts.Placeholders("a.b"), " "); got != "n name" {
		t.Errorf("Placeholders %s", got)
	}
}
