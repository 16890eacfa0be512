package main

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var quoted = regexp.MustCompile(`'[^']*'|[^\s']+(='[^']*')?`)

// TestCommandsInTheDocs: what the docs tell operators to type, the tool
// understands.
func TestCommandsInTheDocs(t *testing.T) {
	found := 0
	for _, page := range []string{"operating.md", "relying-parties.md"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "docs", page))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(strings.ReplaceAll(string(text), "\\\n", " ")) {
			_, rest, ok := strings.Cut(line, "    porttictl ")
			if !ok {
				continue
			}
			found++
			rest, _, _ = strings.Cut(rest, " # ")
			understood(t, page, quoted.FindAllString(rest, -1))
		}
	}
	if found < 5 {
		t.Errorf("only %d commands found: the test proves nothing", found)
	}
}

func TestCommandsInTheHelp(t *testing.T) {
	for _, group := range newRoot(io.Discard, io.Discard).Commands() {
		for _, c := range append(group.Commands(), group) {
			for line := range strings.Lines(c.Example) {
				understood(t, c.CommandPath(), quoted.FindAllString(strings.TrimPrefix(strings.TrimSpace(line), "porttictl "), -1))
			}
		}
	}
}

func understood(t *testing.T, where string, words []string) {
	t.Helper()
	for i := range words {
		words[i] = strings.ReplaceAll(words[i], "'", "")
	}
	c, args, err := newRoot(io.Discard, io.Discard).Find(words)
	if err == nil {
		err = c.ParseFlags(args)
	}
	if err == nil {
		err = c.Args(c, c.Flags().Args())
	}
	if err != nil || c.HasSubCommands() {
		t.Errorf("%s: porttictl %s: %v", where, strings.Join(words, " "), err)
	}
}
