package audit

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"strconv"
	"testing"
)

// The trail outlives the program: a type's word is "thing.happened", and stands
// for one thing only.
func TestTypesAreDistinctWords(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "audit.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	form := regexp.MustCompile(`^[a-z]+(\.[a-z_]+)?$`)
	seen := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		lit, ok := spec.Values[0].(*ast.BasicLit)
		if !ok {
			return true
		}
		word, err := strconv.Unquote(lit.Value)
		if err != nil || !form.MatchString(word) {
			t.Errorf("%s is %s", spec.Names[0], lit.Value)
		}
		if other, twice := seen[word]; twice {
			t.Errorf("%s and %s are both %q", other, spec.Names[0], word)
		}
		seen[word] = spec.Names[0].Name
		return true
	})
	if len(seen) < 20 {
		t.Errorf("found only %d types", len(seen))
	}
}
