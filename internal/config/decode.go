package config

import (
	"encoding"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// decoder fills a struct from the tree of a file and goes on after a problem, so
// that an operator sees all of them at once.
type decoder struct {
	dir string // what relative paths start from
	p   *Problems
}

// filed is a setting that names a file.
type filed interface {
	relativeTo(dir string)
	check() error
}

func decodeRoot(root ast.Node, into any, dir string, p *Problems) {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		panic("config.Load needs a pointer to a struct")
	}
	d := &decoder{dir: dir, p: p}
	if root != nil && root.Type() != ast.NullType {
		d.value(root, v.Elem(), "")
	}
}

func (d *decoder) wrong(n ast.Node, setting, format string, args ...any) {
	d.p.found = append(d.p.found, Problem{Line: line(n), Setting: setting, Wrong: fmt.Sprintf(format, args...)})
}

func line(n ast.Node) int {
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line
	}
	return 0
}

// value fills v from n. The name of a setting is its path: "database.max_conns".
func (d *decoder) value(n ast.Node, v reflect.Value, setting string) {
	if setting != "" {
		d.p.lines[setting] = line(n)
	}
	switch n.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode, *ast.MergeKeyNode:
		d.wrong(n, setting, "anchors, aliases and tags are not taken; write the value out")
		return
	case *ast.NullNode:
		d.wrong(n, setting, "it has no value; give it one, or take it out for the default")
		return
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		d.value(n, v.Elem(), setting)
		return
	}
	if text, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		d.text(n, text, setting)
		return
	}
	switch {
	case v.Type() == reflect.TypeFor[time.Duration]():
		d.duration(n, v, setting)
	case v.Kind() == reflect.Struct:
		d.structure(n, v, setting)
	case v.Kind() == reflect.Slice:
		d.list(n, v, setting)
	case v.Kind() == reflect.Map && v.Type().Key().Kind() == reflect.String:
		d.table(n, v, setting)
	default:
		d.scalar(n, v, setting)
	}
}

func (d *decoder) structure(n ast.Node, v reflect.Value, setting string) {
	m, ok := n.(ast.MapNode)
	if !ok {
		d.wrong(n, setting, "a group of settings is expected, each on a line of its own as name: value")
		return
	}
	fields := fieldsOf(v.Type())
	for pairs := m.MapRange(); pairs.Next(); {
		name := pairs.Key().GetToken().Value
		at, known := fields[name]
		if !known {
			d.wrong(pairs.Key(), under(setting, name), "there is no such setting%s", meant(name, fields))
			continue
		}
		d.value(pairs.Value(), v.FieldByIndex(at), under(setting, name))
	}
}

// fieldsOf returns the settings of a struct: name → where it is.
func fieldsOf(t reflect.Type) map[string][]int {
	fields := make(map[string][]int)
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if !f.IsExported() || f.Anonymous || name == "-" {
			continue
		}
		if name == "" {
			panic(fmt.Sprintf("config: field %s of %s has no yaml tag", f.Name, t))
		}
		fields[name] = f.Index
	}
	return fields
}

func (d *decoder) list(n ast.Node, v reflect.Value, setting string) {
	s, ok := n.(*ast.SequenceNode)
	if !ok {
		d.wrong(n, setting, "a list is expected: [one, two], or lines that begin with a hyphen")
		return
	}
	list := reflect.MakeSlice(v.Type(), len(s.Values), len(s.Values))
	for i, item := range s.Values {
		d.value(item, list.Index(i), fmt.Sprintf("%s[%d]", setting, i))
	}
	v.Set(list)
}

func (d *decoder) table(n ast.Node, v reflect.Value, setting string) {
	m, ok := n.(ast.MapNode)
	if !ok {
		d.wrong(n, setting, "a table is expected, each entry on a line of its own as name: value")
		return
	}
	table := reflect.MakeMap(v.Type())
	for pairs := m.MapRange(); pairs.Next(); {
		name := pairs.Key().GetToken().Value
		item := reflect.New(v.Type().Elem()).Elem()
		d.value(pairs.Value(), item, under(setting, name))
		table.SetMapIndex(reflect.ValueOf(name).Convert(v.Type().Key()), item)
	}
	v.Set(table)
}

// written is what stands in the file for a single value. A number or a word such
// as true may be meant as text (a telephone number), but not the other way round.
func written(n ast.Node) (text string, quoted, ok bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, n.Token.Type == token.SingleQuoteType || n.Token.Type == token.DoubleQuoteType, true
	case *ast.LiteralNode:
		return n.Value.Value, true, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, false, true
	}
	return "", false, false
}

func (d *decoder) text(n ast.Node, into encoding.TextUnmarshaler, setting string) {
	text, _, ok := written(n)
	if !ok {
		d.wrong(n, setting, "a single value is expected")
		return
	}
	if err := into.UnmarshalText([]byte(text)); err != nil {
		d.wrong(n, setting, "%v", err)
		return
	}
	if f, ok := into.(filed); ok {
		f.relativeTo(d.dir)
		if err := f.check(); err != nil {
			d.wrong(n, setting, "%v", err)
		}
	}
}

// duration takes what Go writes, such as 90s, 15m or 1h30m, and whole days: 14d.
func (d *decoder) duration(n ast.Node, v reflect.Value, setting string) {
	text, _, ok := written(n)
	length, err := time.ParseDuration(text)
	if days, isDays := strings.CutSuffix(text, "d"); isDays {
		var n int64
		n, err = strconv.ParseInt(days, 10, 16)
		length = time.Duration(n) * 24 * time.Hour
	}
	if !ok || err != nil || length < 0 {
		d.wrong(n, setting, "a length of time is expected, such as 90s, 15m, 12h or 14d")
		return
	}
	v.SetInt(int64(length))
}

func (d *decoder) scalar(n ast.Node, v reflect.Value, setting string) {
	text, quoted, ok := written(n)
	if !ok {
		d.wrong(n, setting, "a single value is expected")
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		if text != "true" && text != "false" || quoted {
			d.wrong(n, setting, "true or false is expected")
			return
		}
		v.SetBool(text == "true")
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		number, err := strconv.ParseInt(text, 10, v.Type().Bits())
		if err != nil || quoted {
			d.wrong(n, setting, "a whole number is expected")
			return
		}
		v.SetInt(number)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		number, err := strconv.ParseUint(text, 10, v.Type().Bits())
		if err != nil || quoted {
			d.wrong(n, setting, "a whole number is expected, not negative")
			return
		}
		v.SetUint(number)
	default:
		panic(fmt.Sprintf("config: setting %s has a type that no file can hold: %s", setting, v.Type()))
	}
}

func under(group, name string) string {
	if group == "" {
		return name
	}
	return group + "." + name
}

// meant guesses which setting somebody had in mind.
func meant(name string, fields map[string][]int) string {
	best, least := "", 3
	for _, candidate := range slices.Sorted(maps.Keys(fields)) {
		if d := distance(name, candidate); d < least {
			best, least = candidate, d
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + best + "?"
}

// distance counts the letters to change, add or take out (Levenshtein).
func distance(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
