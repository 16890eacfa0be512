package rp_test

import (
	"bytes"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestDocumentationShowsTheExample keeps the program that integrators copy from
// docs/relying-parties-go.md the one that compiles here.
func TestDocumentationShowsTheExample(t *testing.T) {
	doc, err := os.ReadFile("../../docs/relying-parties-go.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```go\n(package main\n.*?)```").FindSubmatch(doc)
	if block == nil {
		t.Fatal("no program in the documentation")
	}
	example, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	shownImports, shown := program(t, block[1], "main")
	realImports, real := program(t, example, "Example")
	expect(t, "the program", shown, real)
	expect(t, "its imports", shownImports, realImports)
}

// program returns the imports and the body of a function, formatted.
func program(t *testing.T, source []byte, name string) (imports, body string) {
	t.Helper()
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, "x.go", source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, i := range file.Imports {
		paths = append(paths, i.Path.Value)
	}
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Name.Name == name {
			var b bytes.Buffer
			if err := format.Node(&b, set, f.Body); err != nil {
				t.Fatal(err)
			}
			body = b.String()
		}
	}
	if body == "" {
		t.Fatalf("no function %s", name)
	}
	return strings.Join(paths, "\n"), body
}
