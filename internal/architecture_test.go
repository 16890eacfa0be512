// Package internal holds the rooms of the house; docs/architecture.md is the
// map. The tests here keep the two in agreement.
package internal

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	module = "github.com/portti-id/portti/"
	root   = ".." // the tests run in internal/
	page   = "docs/architecture.md"
)

// file is one Go file of ours and what it imports.
type file struct {
	path    string // from the top of the repository
	room    string // its package's folder, without "internal/"
	test    bool   // _test.go, or in a room made for tests
	imports []string
}

// TestLayers: a package imports only from rows above its own, so that whoever
// reads a package needs to know only what is above it, and no circle can form.
func TestLayers(t *testing.T) {
	rows := readRows(t)
	for _, f := range goFiles(t) {
		mine, ok := rows.of(f.room)
		if !ok {
			t.Errorf("%s: the room %q stands in no row of %s: give it one, or move the code to where it belongs", f.path, f.room, page)
			continue
		}
		for _, i := range f.imports {
			other, ours := strings.CutPrefix(i, module)
			if !ours {
				continue
			}
			other = strings.TrimPrefix(other, "internal/")
			// A test may use a real database, and has it from a room for tests.
			if family(f.room) == family(other) || f.test && (isForTests(other) || other == "store") {
				continue
			}
			theirs, ok := rows.of(other)
			switch {
			case !ok: // said where that room's own files are read
			case isForTests(other) && !isForTests(f.room) && !slices.Contains(mayMakeCards, f.room) && f.room != "deploy/conformance":
				t.Errorf("%s imports %s, which is for tests only", f.path, other)
			case theirs >= mine:
				t.Errorf("%s (row %d) imports %s (row %d): a package imports only from rows above it. Let the caller pass in what is needed, or put an interface beside the code that needs it", f.path, mine, other, theirs)
			}
		}
	}
}

// mayMakeCards are rooms outside tests that have cardtest: the card lab, and what
// it is in. Cards that anybody may have are made there for people to try things
// with. The provider is never among them.
var mayMakeCards = []string{"cardlab", "cmd/porttictl", "cmd/demo"}

// door is a package or module that only some rooms may import.
type door struct {
	to   string   // import path, with all that is below it
	only []string // rooms, with all that is below them
	why  string
	test bool // tests may pass
}

var doors = []door{
	{"gorm.io", []string{"store"}, "a query outside store escapes its one place for transactions, and GORM's types leak into the house", false},
	{"database/sql", []string{"store", "storetest"}, "nothing else holds a database handle: identity.Directory is the only way to change people", false},
	{"github.com/jackc/pgx", []string{"store", "storetest"}, "nothing else holds a database handle", false},
	{"modernc.org/sqlite", []string{"store", "storetest"}, "nothing else holds a database handle", false},
	{"github.com/pressly/goose", []string{"store"}, "migrations belong to the store", false},
	{"github.com/redis/go-redis", []string{"ephemeral"}, "what expires goes through the atomic verbs of ephemeral, or two replicas disagree on who came first", false},
	{"github.com/miekg/pkcs11", []string{"keys"}, "it needs cgo, which the programs must build without: keys/pkcs11 has the build tag", false},
	{"github.com/zitadel/oidc/v3/pkg/op", []string{"openid"}, "the protocol library stands behind one door, so that its defects are fenced in one place", false},
	{module + "internal/store", []string{"cmd", "deploy/conformance", "storetest"}, "the rooms know interfaces; only the programs choose the database", true},
	{module + "internal/cardlab", []string{"cmd/porttictl", "cmd/demo"}, "it makes cards that anybody may have: a program that serves people must not have them at hand", true},
	{"math/rand", []string{"mail"}, "(mail spreads its retries with it) a secret from a guessable source is no secret: use crypto/rand", true},
}

func TestExclusiveDoors(t *testing.T) {
	for _, f := range goFiles(t) {
		for _, i := range f.imports {
			for _, d := range doors {
				if !below(i, d.to) || d.test && f.test || below(f.room, family(d.to)) {
					continue
				}
				if !slices.ContainsFunc(d.only, func(r string) bool { return below(f.room, r) }) {
					t.Errorf("%s imports %s, which only %v may: %s", f.path, i, d.only, d.why)
				}
			}
		}
	}
}

// Rooms that see little, and what they may see of our own and of others' code.
var narrow = []struct {
	room string
	ours []string
	mods []string // nil: any
	why  string
}{
	{"userservices", []string{"pkg", "internal/app", "internal/web", "internal/fault", "internal/config", "templates"}, nil, "it is a relying party like any other, and reaches people only through the JSON API, as the signed-in person"},
	{"console", []string{"pkg", "internal/app", "internal/web", "internal/fault", "internal/config", "templates"}, nil, "it is a relying party like any other, and reaches people only through the JSON API, as the signed-in person"},
	{"app", []string{"pkg", "internal/web", "internal/fault", "internal/config", "templates"}, nil, "it is what our relying parties share"},
	{"cmd/demoservice", []string{"pkg"}, []string{}, "it is the example that integrators copy: what they cannot import it must not need"},
	{"pkg", []string{"pkg"}, []string{"github.com/coreos/go-oidc", "github.com/go-jose/go-jose", "golang.org/x/oauth2"}, "integrators import it: it may not drag in the provider, nor a heap of modules"},
}

func TestNarrowRooms(t *testing.T) {
	for _, f := range goFiles(t) {
		for _, n := range narrow {
			if f.test || !below(f.room, n.room) {
				continue
			}
			for _, i := range f.imports {
				allowed := n.mods
				if own, ours := strings.CutPrefix(i, module); ours {
					i, allowed = own, append(slices.Clone(n.ours), n.room, "internal/"+n.room)
				} else if standard(i) || n.mods == nil {
					continue
				}
				if !slices.ContainsFunc(allowed, func(a string) bool { return below(i, a) }) {
					t.Errorf("%s imports %s: %s", f.path, i, n.why)
				}
			}
		}
	}
}

// TestHTTPStaysAbove: the rooms that decide know no requests, so that pages, API
// and command line cannot decide differently.
func TestHTTPStaysAbove(t *testing.T) {
	knows := []string{"web", "card", "cardtest", "cardlab", "outgoing", "openid", "pkg", "signin", "api", "app", "userservices", "console", "server", "cmd", "deploy", "e2e"}
	for _, f := range goFiles(t) {
		if !f.test && slices.Contains(f.imports, "net/http") && !slices.ContainsFunc(knows, func(r string) bool { return below(f.room, r) }) {
			t.Errorf("%s imports net/http, which only %v may", f.path, knows)
		}
	}
}

// TestNoRoomIsNamedForAKindOfThing: such rooms grow without end, and nobody
// knows what belongs in them.
func TestNoRoomIsNamedForAKindOfThing(t *testing.T) {
	kinds := []string{"util", "utils", "common", "helper", "helpers", "types", "model", "models", "dto", "service", "services", "controller", "controllers",
		"middleware", "middlewares", "mock", "mocks", "container", "shared", "misc", "base", "lib", "core"}
	for _, f := range goFiles(t) {
		if f.room == "cmd/demoservice/service" {
			continue // the Service of behaviour.md: there it is the word of the field
		}
		for part := range strings.SplitSeq(f.room, "/") {
			if slices.Contains(kinds, part) {
				t.Errorf("%s: name the room %q for what it does", f.path, part)
			}
		}
	}
}

// TestEveryRoomHasTests: a room without tests is passed over in silence.
func TestEveryRoomHasTests(t *testing.T) {
	tested, rooms := map[string]bool{}, map[string]string{}
	for _, f := range goFiles(t) {
		if strings.HasSuffix(f.path, "_test.go") {
			tested[f.room] = true
		} else if !f.test && !strings.HasPrefix(f.room, "cmd/") { // programs are proved in e2e
			rooms[f.room] = path.Dir(f.path)
		}
	}
	for room, folder := range rooms {
		if !tested[room] {
			t.Errorf("%s has no test", folder)
		}
	}
}

// TestNothingIsSkippedInSilence: every Skip stands in a function that looks at
// CI first, for there a missing backend or browser must fail.
func TestNothingIsSkippedInSilence(t *testing.T) {
	for _, f := range goFiles(t) {
		parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, f.path), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			f1, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			skips, looks := false, false
			ast.Inspect(f1, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				if s, ok := call.Fun.(*ast.SelectorExpr); ok {
					// make test never asks for the short tests.
					looks = looks || s.Sel.Name == "Short"
					skips = skips || slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, s.Sel.Name)
					if s.Sel.Name == "Getenv" && len(call.Args) == 1 {
						l, ok := call.Args[0].(*ast.BasicLit)
						looks = looks || ok && l.Value == `"CI"`
					}
				}
				return true
			})
			if skips && !looks && f.test {
				t.Errorf("%s: %s skips without a look at CI: under CI=true a missing backend or browser must fail (see ephemeraltest.Missing)", f.path, f1.Name.Name)
			}
		}
	}
}

// TestTopLevel: the first look at the repository shows the house, and nothing
// else.
func TestTopLevel(t *testing.T) {
	allowed := []string{"cmd", "pkg", "internal", "templates", "deploy", "docs", "go.mod", "go.sum", "Makefile", "README.md", "LICENSE"}
	ignored, err := os.ReadFile(filepath.Join(root, ".gitignore"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(string(ignored), "\n") {
		if name, anchored := strings.CutPrefix(line, "/"); anchored {
			allowed = append(allowed, strings.TrimSuffix(name, "/"))
		}
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && !slices.Contains(allowed, e.Name()) {
			t.Errorf("%s does not belong at the top: only %v do", e.Name(), allowed)
		}
	}
}

// machinePaths are places on somebody's own machine.
var machinePaths = regexp.MustCompile(`/(?:work|root)/[.a-z]|/(?:home|Users)/[A-Za-z]+/`)

// TestNoMachinePaths: what works only where it was written is broken.
func TestNoMachinePaths(t *testing.T) {
	walk(t, func(name string) {
		if below(name, "docs") || name == "internal/architecture_test.go" || name == ".git" {
			return
		}
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		for n, line := range strings.Split(string(text), "\n") {
			if found := machinePaths.FindString(line); found != "" {
				t.Errorf("%s:%d names %s", name, n+1, found)
			}
		}
	})
}

// rows is the table of the page: a room, or "folder/*", and its row.
type rows map[string]int

// readRows reads the one fenced block whose lines all begin with a number.
func readRows(t *testing.T) rows {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		t.Fatal(err)
	}
	found := rows{}
	line := regexp.MustCompile(`(?m)^(\d)  ([a-z].*)$`)
	for _, m := range line.FindAllStringSubmatch(string(text), -1) {
		number, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		for room := range strings.FieldsSeq(strings.ReplaceAll(m[2], "·", " ")) {
			if _, twice := found[room]; twice {
				t.Errorf("%s: %s stands in two rows", page, room)
			}
			found[room] = number
		}
	}
	for _, room := range []string{"fault", "store", "server", "cmd/*"} {
		if _, ok := found[room]; !ok {
			t.Fatalf("%s: no rows were found (a line is a digit, two blanks, rooms)", page)
		}
	}
	return found
}

// of finds the row of a room, or of the nearest folder above it that has one.
func (r rows) of(room string) (int, bool) {
	for ; room != "." && room != "/"; room = path.Dir(room) {
		if n, ok := r[room]; ok {
			return n, true
		}
		if n, ok := r[path.Dir(room)+"/*"]; ok {
			return n, true
		}
	}
	return 0, false
}

// family is the folder that stands in a row: a room and those inside it.
func family(room string) string {
	room = strings.TrimPrefix(strings.TrimPrefix(room, module), "internal/")
	parts := strings.SplitN(room, "/", 3)
	if len(parts) > 1 && (parts[0] == "cmd" || parts[0] == "pkg") {
		return parts[0] + "/" + parts[1]
	}
	return parts[0]
}

// below tells whether a path is another or inside it.
func below(p, of string) bool {
	return p == of || strings.HasPrefix(p, of+"/")
}

// isForTests tells rooms that only tests may enter, whatever row they stand in
// (and the demo, which is a test bench for people): e2e, and those whose name
// ends in "test", as cardtest and web/webtest.
func isForTests(room string) bool {
	return room == "e2e" || room == "e2e/browser" || strings.HasSuffix(room, "test")
}

// standard tells packages of Go's own library: their first element has no dot.
func standard(i string) bool {
	first, _, _ := strings.Cut(i, "/")
	return !strings.Contains(first, ".")
}

// goFiles reads the imports of every Go file of ours.
func goFiles(t *testing.T) []file {
	t.Helper()
	var files []file
	walk(t, func(name string) {
		if !strings.HasSuffix(name, ".go") || path.Dir(name) == "internal" || below(name, ".ci") {
			return
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, name), nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		f := file{path: name, room: strings.TrimPrefix(path.Dir(name), "internal/")}
		f.test = strings.HasSuffix(name, "_test.go") || isForTests(f.room)
		for _, i := range parsed.Imports {
			value, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			f.imports = append(f.imports, value)
		}
		files = append(files, f)
	})
	if len(files) < 10 {
		t.Fatalf("only %d Go files found: the tests would prove nothing", len(files))
	}
	return files
}

// walk calls f with every file of the repository but those in hidden folders
// (save .ci) and those at the top that .gitignore names.
func walk(t *testing.T, f func(name string)) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (name == "bin" || name == "artefacts" || name == "data" || strings.HasPrefix(d.Name(), ".") && name != "." && name != ".ci"):
			return fs.SkipDir
		case d.Type().IsRegular() && name != ".git": // a file in a worktree of its own
			f(name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(fmt.Errorf("read the repository: %w", err))
	}
}
