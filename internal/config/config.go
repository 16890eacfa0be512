// Package config reads a settings file: strict YAML into a struct whose fields'
// comments are the manual.
//
//	config.go   Load: the file, and all that is wrong with it in one message
//	decode.go   YAML into structs
//	types.go    URL, SecretFile, Path: settings that check themselves
//
// A struct names its settings with `yaml:"name"` tags. What a program needs
// beyond the types it says in a method Check(*Problems) of the outermost struct.
package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Checker is a settings struct with rules of its own.
type Checker interface {
	Check(p *Problems)
}

// Problem is one thing that is wrong with a setting.
type Problem struct {
	Line    int    // in the file, 0 when the setting is not there
	Setting string // "database.max_conns", "" for the file itself
	Wrong   string // what is wrong, and what to do
}

// Problems is all that is wrong, found in one go.
type Problems struct {
	found []Problem
	lines map[string]int // setting → line, of those in the file
}

// Add notes that a setting is wrong, and what to do about it.
func (p *Problems) Add(setting, format string, args ...any) {
	p.found = append(p.found, Problem{Line: p.lines[setting], Setting: setting, Wrong: fmt.Sprintf(format, args...)})
}

// Need notes that a setting is missing unless it is given.
func (p *Problems) Need(setting string, given bool, what string) {
	if !given {
		p.Add(setting, "it is missing: %s", what)
	}
}

// Err returns what was found, or nil. Load does it by itself; this is for settings
// that come from elsewhere, such as flags.
func (p *Problems) Err(from string) error {
	if len(p.found) == 0 {
		return nil
	}
	slices.SortStableFunc(p.found, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
	return &Error{From: from, Problems: onePerSetting(p.found)}
}

// Error is a settings file with problems.
type Error struct {
	From     string // "settings file /etc/portti.yaml"
	Problems []Problem
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:", e.From)
	for _, p := range e.Problems {
		b.WriteString("\n  ")
		if p.Line > 0 {
			fmt.Fprintf(&b, "line %d: ", p.Line)
		}
		if p.Setting != "" {
			fmt.Fprintf(&b, "setting %s: ", p.Setting)
		}
		b.WriteString(p.Wrong)
	}
	return b.String()
}

// maxFile bounds a settings file, in bytes.
const maxFile = 1 << 20

// Load reads the settings file into a struct, whose values are the defaults. It
// refuses settings that do not exist, settings that are there twice, values of
// another type, anchors and tags, then reads the secret files once, and asks the
// struct's Check. Whatever is wrong is in the one *Error.
//
// Paths in the file are relative to its folder.
func Load(path string, into any) error {
	raw, err := read(path)
	if err != nil {
		return err
	}
	p := &Problems{lines: make(map[string]int)}
	if root, wrong := parse(raw); wrong != nil {
		p.found = append(p.found, *wrong)
	} else {
		decodeRoot(root, into, filepath.Dir(path), p)
		if c, ok := into.(Checker); ok {
			c.Check(p)
		}
	}
	return p.Err("settings file " + path)
}

func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("settings file: %w", err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("settings file: %w", err)
	}
	if len(raw) > maxFile {
		return nil, fmt.Errorf("settings file %s is larger than 1 MiB", path)
	}
	return raw, nil
}

// parse returns the outermost node, nil for an empty file.
func parse(raw []byte) (ast.Node, *Problem) {
	file, err := parser.ParseBytes(raw, 0)
	if err != nil {
		p := Problem{Wrong: "not YAML: " + yaml.FormatError(err, false, false)}
		if at, ok := errors.AsType[yaml.Error](err); ok && at.GetToken() != nil {
			p.Line, p.Wrong = at.GetToken().Position.Line, "not YAML: "+at.GetMessage()
		}
		return nil, &p
	}
	if len(file.Docs) > 1 {
		return nil, &Problem{Wrong: "there are several documents in it; take the --- lines out"}
	}
	if len(file.Docs) == 0 {
		return nil, nil
	}
	return file.Docs[0].Body, nil
}

// onePerSetting drops what a Check says about a setting that could not even be
// read: it is empty only because of that.
func onePerSetting(all []Problem) []Problem {
	seen := make(map[string]bool)
	return slices.DeleteFunc(all, func(p Problem) bool {
		again := p.Setting != "" && seen[p.Setting]
		seen[p.Setting] = true
		return again
	})
}
