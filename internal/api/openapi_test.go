package api

import (
	"bytes"
	"encoding/json"
	"flag"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/pkg/portti"
)

var update = flag.Bool("update", false, "write docs/openapi.json")

const description = "../../docs/openapi.json"

// wire is how pkg/portti has what the handlers have in our own types.
var wire = map[reflect.Type]reflect.Type{
	reflect.TypeFor[openid.Metadata]():   reflect.TypeFor[portti.Registration](),
	reflect.TypeFor[registered]():        reflect.TypeFor[portti.Registered](),
	reflect.TypeFor[registrations]():     reflect.TypeFor[portti.Registrations](),
	reflect.TypeFor[rotation]():          reflect.TypeFor[portti.Rotation](),
	reflect.TypeFor[refusal]():           reflect.TypeFor[portti.Refusal](),
	reflect.TypeFor[findings]():          reflect.TypeFor[portti.Findings](),
	reflect.TypeFor[finding]():           reflect.TypeFor[portti.Finding](),
	reflect.TypeFor[openid.Sent]():       reflect.TypeFor[portti.SentParameter](),
	reflect.TypeFor[openid.Registered](): reflect.TypeFor[portti.RegisteredValue](),
}

// TestOpenAPI: docs/openapi.json is what the operations and their types say.
// go test ./internal/api -run OpenAPI -update writes it.
func TestOpenAPI(t *testing.T) {
	want, err := json.MarshalIndent(describe(t, (&API{}).operations()), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	want = append(want, '\n')
	if *update {
		if err := os.WriteFile(description, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(description)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("docs/openapi.json is not what the code says: go test ./internal/api -run OpenAPI -update")
	}
}

// TestWireTypes: what the handlers take and give is what pkg/portti takes and
// gives, member by member.
func TestWireTypes(t *testing.T) {
	for ours, theirs := range wire {
		a, b := &schemas{of: map[string]object{}}, &schemas{of: map[string]object{}}
		x, y := a.members(ours), b.members(theirs)
		delete(x["properties"].(object), "registration_token_hash") // no document has it: MetadataOf, ReadMetadata
		if !reflect.DeepEqual(x, y) {
			t.Errorf("%v is not %v on the wire:\n%v\n%v", ours, theirs, x, y)
		}
	}
}

var route = regexp.MustCompile(`"(?:[A-Z]+ )?(/api/[^"]*)"`)

// TestNoOperationIsElsewhere: an address of the API that operations does not know
// would be missing in the description, and its right unproved.
func TestNoOperationIsElsewhere(t *testing.T) {
	err := filepath.WalkDir("..", func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") ||
			filepath.Dir(path) == "../api" || filepath.Dir(path) == "../app/apptest" { // which is for tests alone
			return err
		}
		source, err := os.ReadFile(path)
		if m := route.FindSubmatch(source); m != nil {
			t.Errorf("%s serves or knows %s", path, m[1])
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

type object = map[string]any

// describe makes an OpenAPI 3.1 document.
func describe(t *testing.T, operations []operation) object {
	s := &schemas{comments: comments(t), of: map[string]object{}}
	paths := map[string]object{}
	for _, o := range operations {
		method, path, _ := strings.Cut(o.pattern, " ")
		if paths[path] == nil {
			paths[path] = object{}
		}
		paths[path][strings.ToLower(method)] = s.operation(o, method, path)
	}
	s.ref(reflect.TypeFor[portti.Error]())
	return object{
		"openapi": "3.1.0",
		"info": object{"title": "Portti", "version": "v1", "description": "The JSON API of a Portti installation: a person's own account, and what operators do. " +
			"Made from the code; the Go client is pkg/portti."},
		"servers": []object{{"url": "https://id.example.fi", "description": "the issuer"}},
		"paths":   paths,
		"components": object{
			"schemas": s.of,
			"securitySchemes": object{"token": object{"type": "http", "scheme": "bearer",
				"description": "An access token of the issuer. Scopes: us (own account, full sign-in), us.enrol (own account, a password alone), clients (registrations: operators and their programs), manage (what people do for others by their roles)."}},
		},
	}
}

// events is which of them a list of events is about.
var events = []string{"user", "organisation", "type", "actor", "since", "until"}

func (s *schemas) operation(o operation, method, path string) object {
	var security []object
	for _, scope := range o.scopes {
		security = append(security, object{"token": []string{scope}})
	}
	status, success := "200", object{"description": "Done."}
	switch {
	case o.out == reflect.TypeFor[nothing]():
		status = "204"
	case o.out == reflect.TypeFor[file]():
		content := object{"text/csv": object{"schema": object{"type": "string"}}}
		if path == "/api/v1/audit/file" {
			content["application/jsonl"] = object{"schema": s.ref(reflect.TypeFor[portti.Event]())}
		}
		success["content"] = content
	default:
		success["content"] = object{"application/json": object{"schema": s.ref(o.out)}}
	}
	out := object{"summary": o.summary, "security": security, "responses": object{
		status:    success,
		"default": object{"description": "Refused; code says why.", "content": object{"application/problem+json": object{"schema": s.ref(reflect.TypeFor[portti.Error]())}}},
	}}
	if o.right != "" {
		out["x-right"] = string(o.right)
	}
	var parameters []object
	for _, m := range regexp.MustCompile(`\{(\w+)\}`).FindAllStringSubmatch(path, -1) {
		parameters = append(parameters, object{"name": m[1], "in": "path", "required": true, "schema": object{"type": "string"}})
	}
	if slices.Equal(o.scopes, []string{scopeClients}) {
		parameters = append(parameters, object{"name": "dry_run", "in": "query", "schema": object{"type": "boolean", "default": false},
			"description": "Check everything and write nothing."})
		if method != http.MethodGet {
			parameters = append(parameters, object{"name": portti.ReasonHeader, "in": "header", "schema": object{"type": "string"}, "description": "Why, for the audit trail: UTF-8 in percent-encoding."},
				object{"name": portti.TicketHeader, "in": "header", "schema": object{"type": "string"}, "description": "The number of the request, for the audit trail."})
		}
		if o.out == reflect.TypeFor[registered]() {
			success["headers"] = object{"ETag": object{"schema": object{"type": "string"}, "description": "The registration's version."}}
		}
	}
	for _, q := range queries[o.pattern] {
		parameters = append(parameters, object{"name": q, "in": "query", "schema": object{"type": "string"}})
	}
	if method == "PUT" || o.pattern == "POST /api/v1/organisations/{organisation}/policy" {
		parameters = append(parameters, object{"name": "If-Match", "in": "header", "required": true, "schema": object{"type": "string"},
			"description": "The ETag of what was changed; refused when it is not that one any more."})
	}
	if parameters != nil {
		out["parameters"] = parameters
	}
	if o.in != reflect.TypeFor[nothing]() {
		out["requestBody"] = object{"required": true, "content": object{"application/json": object{"schema": s.ref(o.in)}}}
	}
	if method == "POST" && o.in == reflect.TypeFor[openid.Metadata]() { // 200 is a dry run
		out["responses"].(object)["201"] = object{"description": "Registered.", "content": success["content"], "headers": success["headers"]}
	}
	return out
}

// queries are what operations of people with roles read of the query (only).
var queries = map[string][]string{
	"GET /api/v1/audit":                                        append([]string{"after", "lang"}, events...),
	"GET /api/v1/audit/file":                                   append([]string{"format", "lang"}, events...),
	"GET /api/v1/people/{user}/events":                         {"after", "lang"},
	"GET /api/v1/organisations":                                {"after"},
	"POST /api/v1/organisations/{organisation}/policy":         {"dry_run"},
	"GET /api/v1/organisations/{organisation}/policy/stranded": {"methods", "from", "group", "after"},
}

// schemas are the types of pkg/portti, by name.
type schemas struct {
	comments map[string]string // by "Type" and "Type.Field"
	of       map[string]object
}

// ref is the schema of a type, or where it stands.
func (s *schemas) ref(t reflect.Type) object {
	if theirs, ok := wire[t]; ok {
		t = theirs
	}
	switch {
	case t == reflect.TypeFor[time.Time]():
		return object{"type": "string", "format": "date-time"}
	case t == reflect.TypeFor[json.RawMessage]():
		return object{"type": "object"}
	case t == reflect.TypeFor[[]byte]():
		return object{"type": "string", "contentEncoding": "base64"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return s.ref(t.Elem())
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int, reflect.Int64:
		return object{"type": "integer"}
	case reflect.Slice:
		return object{"type": "array", "items": s.ref(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": s.ref(t.Elem())}
	case reflect.Struct:
		if t.PkgPath() != reflect.TypeFor[portti.Client]().PkgPath() {
			return s.members(t)
		}
		if _, ok := s.of[t.Name()]; !ok {
			s.of[t.Name()] = nil // for a type that holds itself
			s.of[t.Name()] = s.members(t)
		}
		return object{"$ref": "#/components/schemas/" + t.Name()}
	}
	panic("no schema for " + t.String())
}

// members is a struct as encoding/json has it.
func (s *schemas) members(t reflect.Type) object {
	properties, required := object{}, []string{}
	for _, f := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" || name == "-" {
			continue // an embedded struct: its fields follow
		}
		schema := s.ref(f.Type)
		if text := s.comments[t.Name()+"."+f.Name]; text != "" {
			schema = maps.Clone(schema)
			schema["description"] = text
		}
		properties[name] = schema
		if !strings.Contains(options, "omit") {
			required = append(required, name)
		}
	}
	out := object{"type": "object", "properties": properties}
	if len(required) > 0 {
		out["required"] = slices.Sorted(slices.Values(required))
	}
	if text := s.comments[t.Name()]; text != "" {
		out["description"] = text
	}
	return out
}

// comments are what pkg/portti says of its types and fields.
func comments(t *testing.T) map[string]string {
	set := token.NewFileSet()
	var files []*ast.File
	paths, err := filepath.Glob("../../pkg/portti/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(set, path, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	p, err := doc.NewFromFiles(set, files, "portti")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, typ := range p.Types {
		out[typ.Name] = oneLine(typ.Doc)
		fields, ok := typ.Decl.Specs[0].(*ast.TypeSpec).Type.(*ast.StructType)
		if !ok {
			continue
		}
		for _, f := range fields.Fields.List {
			for _, name := range f.Names {
				out[typ.Name+"."+name.Name] = oneLine(f.Comment.Text())
			}
		}
	}
	return out
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
