package audit

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// carriers are the calls that take a reason, and its place among the arguments.
var carriers = map[string]int{"codeEvent": 3, "CardRefused": 2, "EndSession": 2, "endSession": 2}

// Every reason that stands in the code is one of the table. Those that are
// reckoned, such as a card's verdict, storetest looks at when a test ends.
func TestReasonsInTheCodeAreKnown(t *testing.T) {
	found := map[string]bool{}
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && len(d.Name()) > 2:
			return filepath.SkipDir
		case !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		if file.Name.Name == "audit" || recording(file) {
			for _, code := range reasonsIn(file) {
				found[code] = true
				if _, known := Reasons[code]; !known {
					t.Errorf("%s: the reason %q is not in Reasons", path, code)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, some := range []string{"otp_wrong", "retention", "not_me", "logout", "other_user_signed_in", "dynamic_registration", "card_replaced", "throttled_address"} {
		if !found[some] {
			t.Errorf("the walk did not meet %q: it sees too little", some)
		}
	}
}

// recording tells whether a file may record events: it knows the package, or ends
// sessions.
func recording(file *ast.File) bool {
	for _, i := range file.Imports {
		if strings.HasSuffix(i.Path.Value, `/internal/audit"`) || strings.HasSuffix(i.Path.Value, `/internal/openid"`) {
			return true
		}
	}
	return file.Name.Name == "openid" || file.Name.Name == "identity"
}

func reasonsIn(file *ast.File) (codes []string) {
	literal := func(e ast.Expr) {
		if l, ok := e.(*ast.BasicLit); ok && l.Kind == token.STRING {
			if s, err := strconv.Unquote(l.Value); err == nil && s != "" {
				codes = append(codes, s)
			}
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CompositeLit: // audit.Event{…} and identity's order{…}
			name := ""
			switch x := n.Type.(type) {
			case *ast.Ident:
				name = x.Name
			case *ast.SelectorExpr:
				name = x.Sel.Name
			}
			for _, e := range n.Elts {
				if kv, ok := e.(*ast.KeyValueExpr); ok && (name == "Event" || name == "order") {
					if k, ok := kv.Key.(*ast.Ident); ok && k.Name == "Reason" {
						literal(kv.Value)
					}
				}
			}
		case *ast.AssignStmt: // e.Reason = …, reason := …
			for i, left := range n.Lhs {
				if len(n.Rhs) != len(n.Lhs) {
					break
				}
				if s, ok := left.(*ast.SelectorExpr); ok && s.Sel.Name == "Reason" && file.Name.Name != "signin" { // whose page has one of its own
					literal(n.Rhs[i])
				}
				if v, ok := left.(*ast.Ident); ok && v.Name == "reason" && file.Name.Name == "identity" {
					literal(n.Rhs[i])
				}
			}
		case *ast.CallExpr:
			name := ""
			switch x := n.Fun.(type) {
			case *ast.Ident:
				name = x.Name
			case *ast.SelectorExpr:
				name = x.Sel.Name
			}
			if i, ok := carriers[name]; ok && i < len(n.Args) {
				literal(n.Args[i])
			}
		}
		return true
	})
	return codes
}

// A code is a word that stays; what it means is said in English.
func TestReasonsAreWords(t *testing.T) {
	form := regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`)
	for code, means := range Reasons {
		if !form.MatchString(code) || means == "" {
			t.Errorf("%q: %q", code, means)
		}
	}
}

// Typed words never stand where codes do, and never change another event.
func TestNotes(t *testing.T) {
	details := map[string]string{"ticket": "T-1"}
	e := Event{Type: UserDisabled, Details: details}
	noted := e.Noted(" wrong_password ")
	if noted.Reason != "" || noted.Details[Note] != "wrong_password" || noted.Details["ticket"] != "T-1" || len(details) != 1 {
		t.Errorf("%+v, and before it %v", noted, details)
	}
	if e := (Event{}).Noted("  "); e.Details != nil {
		t.Errorf("no words: %+v", e)
	}
}
