package templates

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/goccy/go-yaml"
)

// Languages is what every text exists in, the default first. Finnish and
// Swedish are equal by law (Kielilaki 423/2003).
var Languages = []string{"fi", "sv", "en"}

// Texts is the catalogue. It does not change after loading and is safe for any
// number of readers.
type Texts struct {
	texts map[string]map[string]text // language → key → text
}

// text is cut at its placeholders once, when it is loaded, so that a value that
// looks like a placeholder stays what it is.
type text []segment

type segment struct {
	literal string
	name    string // of a placeholder, and literal is then the placeholder as written
}

var (
	key         = regexp.MustCompile(`^[a-z][a-z0-9_]*(\.[a-z0-9_]+)+$`)
	placeholder = regexp.MustCompile(`\{[a-z_]+\}`)
)

var embedded = sync.OnceValues(func() (*Texts, error) { return Parse(files) })

// Load gives the embedded catalogues. They are read once in a process.
func Load() (*Texts, error) { return embedded() }

// Parse reads texts/LANGUAGE.yaml and texts/LANGUAGE/*.yaml of every language from a
// folder. It refuses what would show up as a hole or a foreign sentence on a page: a
// key that one language lacks or that two files have, an empty text, placeholders
// that differ between languages.
func Parse(folder fs.FS) (*Texts, error) {
	t := &Texts{texts: make(map[string]map[string]text, len(Languages))}
	read := make([]map[string]text, len(Languages))
	errs := make([]error, len(Languages))
	var all sync.WaitGroup
	for i, lang := range Languages {
		all.Go(func() { read[i], errs[i] = gather(folder, lang) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	for i, lang := range Languages {
		t.texts[lang] = read[i]
	}
	if err := t.check(); err != nil {
		return nil, err
	}
	return t, nil
}

// gather reads all files of a language.
func gather(folder fs.FS, lang string) (map[string]text, error) {
	texts, err := parse(folder, "texts/"+lang+".yaml")
	if err != nil {
		return nil, err
	}
	more, err := fs.Glob(folder, "texts/"+lang+"/*.yaml")
	if err != nil {
		return nil, err
	}
	for _, name := range more {
		part, err := parse(folder, name)
		if err != nil {
			return nil, err
		}
		for k, s := range part {
			if _, twice := texts[k]; twice {
				return nil, fmt.Errorf("texts: %s: %s is in another file too", name, k)
			}
			texts[k] = s
		}
	}
	return texts, nil
}

func parse(folder fs.FS, name string) (map[string]text, error) {
	raw, err := fs.ReadFile(folder, name)
	if err != nil {
		return nil, fmt.Errorf("texts: %w", err)
	}
	var entries map[string]string
	if err := yaml.UnmarshalWithOptions(raw, &entries, yaml.Strict()); err != nil {
		return nil, fmt.Errorf("texts: %s: %w", name, err)
	}
	texts := make(map[string]text, len(entries))
	for k, s := range entries {
		texts[k] = cut(strings.TrimSpace(s))
	}
	return texts, nil
}

func (t *Texts) check() error {
	var wrong []error
	for _, lang := range Languages {
		for _, k := range t.Keys() {
			here, ok := t.texts[lang][k]
			switch {
			case !key.MatchString(k):
				wrong = append(wrong, fmt.Errorf("texts: %q is not a key such as login.title", k))
			case !ok:
				wrong = append(wrong, fmt.Errorf("texts: %s has no %s", lang, k))
			case len(here) == 0:
				wrong = append(wrong, fmt.Errorf("texts: %s is empty in %s", k, lang))
			case !slices.Equal(here.placeholders(), t.Placeholders(k)):
				wrong = append(wrong, fmt.Errorf("texts: %s has %v in %s and %v in %s", k, here.placeholders(), lang, t.Placeholders(k), Languages[0]))
			}
		}
	}
	return errors.Join(wrong...)
}

// Text returns the text of key with its {placeholders} filled in from
// name/value pairs: Text("sv", "login.to", "service", "Portalen"). When the
// value of "n" is 1 and there is a text key+".one", that one is taken. A
// language that is not ours gives the first of Languages.
//
// A key that does not exist gives "⟦key⟧", and a placeholder without a value
// stays as it is: both are to be seen, and tests look for them. Lookup is for
// callers that want an error.
func (t *Texts) Text(lang, key string, pairs ...string) string {
	s, err := t.Lookup(lang, key, pairs...)
	if err != nil && s == "" {
		return "⟦" + key + "⟧"
	}
	return s
}

// Lookup is Text with an error for an unknown key (and then no text) and for a
// placeholder without a value (and then the text as far as it goes).
func (t *Texts) Lookup(lang, key string, pairs ...string) (string, error) {
	if len(pairs)%2 != 0 {
		return "", fmt.Errorf("text %s: values come in pairs of name and value, not %d", key, len(pairs))
	}
	texts, ok := t.texts[lang]
	if !ok {
		texts = t.texts[Languages[0]]
	}
	args := make(map[string]string, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		args[pairs[i]] = pairs[i+1]
	}
	found, ok := texts[key]
	if one, singular := texts[key+".one"]; singular && args["n"] == "1" {
		found, ok = one, true
	}
	if !ok {
		return "", fmt.Errorf("text %s: there is none", key)
	}
	return found.fill(key, args)
}

func (t text) fill(key string, args map[string]string) (string, error) {
	var b strings.Builder
	var err error
	for _, s := range t {
		value, ok := args[s.name]
		switch {
		case s.name == "":
			b.WriteString(s.literal)
		case ok:
			b.WriteString(value)
		default:
			b.WriteString(s.literal)
			err = cmp.Or(err, fmt.Errorf("text %s: %s has no value", key, s.literal))
		}
	}
	return b.String(), err
}

// Has tells whether there is a text of this key.
func (t *Texts) Has(key string) bool {
	_, ok := t.texts[Languages[0]][key]
	return ok
}

// Keys returns every key of every language, sorted.
func (t *Texts) Keys() []string {
	all := make(map[string]bool)
	for _, texts := range t.texts {
		for k := range texts {
			all[k] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// Placeholders returns the names that the text of key wants, sorted, each once.
func (t *Texts) Placeholders(key string) []string {
	return t.texts[Languages[0]][key].placeholders()
}

func (t text) placeholders() []string {
	var names []string
	for _, s := range t {
		if s.name != "" {
			names = append(names, s.name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func cut(s string) text {
	var t text
	for s != "" {
		at := placeholder.FindStringIndex(s)
		if at == nil {
			return append(t, segment{literal: s})
		}
		if at[0] > 0 {
			t = append(t, segment{literal: s[:at[0]]})
		}
		t = append(t, segment{literal: s[at[0]:at[1]], name: s[at[0]+1 : at[1]-1]})
		s = s[at[1]:]
	}
	return t
}
