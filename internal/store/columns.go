package store

import (
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"gorm.io/gorm/schema"
)

// moment is a time in a column: UTC, microseconds, null when zero. PostgreSQL
// has it as timestamptz, SQLite as an integer of microseconds since 1970.
type moment struct{ t time.Time }

func at(t time.Time) moment { return moment{t} }

func (m moment) Value() (driver.Value, error) {
	if m.t.IsZero() {
		return nil, nil
	}
	return m.t.UTC().Truncate(time.Microsecond), nil
}

func (m *moment) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		m.t = time.Time{}
	case time.Time:
		m.t = v.UTC()
	case int64:
		m.t = time.UnixMicro(v).UTC()
	default:
		return fmt.Errorf("a time as %T", src)
	}
	return nil
}

func (moment) GormDataType() string { return "time" }

// doc is a small value as JSON.
type doc[T any] struct{ v T }

func (d doc[T]) Value() (driver.Value, error) {
	b, err := json.Marshal(d.v)
	return string(b), err
}

func (d *doc[T]) Scan(src any) error {
	switch v := src.(type) {
	case string:
		return json.Unmarshal([]byte(v), &d.v)
	case []byte:
		return json.Unmarshal(v, &d.v)
	}
	return fmt.Errorf("JSON as %T", src)
}

func (doc[T]) GormDataType() string { return "json" }

// maybe is a small value as JSON that most rows have not: the zero value is null,
// and costs no decoding.
type maybe[T comparable] struct{ v T }

func (m maybe[T]) Value() (driver.Value, error) {
	var none T
	if m.v == none {
		return nil, nil
	}
	return doc[T](m).Value()
}

func (m *maybe[T]) Scan(src any) error {
	var d doc[T]
	if src != nil {
		if err := d.Scan(src); err != nil {
			return err
		}
	}
	m.v = d.v
	return nil
}

func (maybe[T]) GormDataType() string { return "json" }

// words is a list of words that hold no space, such as scopes (RFC 6749 §3.3).
type words []string

func (w words) Value() (driver.Value, error) { return strings.Join(w, " "), nil }

func (w *words) Scan(src any) error {
	s, ok := src.(string)
	if !ok {
		return fmt.Errorf("words as %T", src)
	}
	if *w = strings.Fields(s); s == "" {
		*w = nil
	}
	return nil
}

func (words) GormDataType() string { return "string" }

// someWords is words, where nil is null and says nothing of its own.
type someWords []string

func (w someWords) Value() (driver.Value, error) {
	if w == nil {
		return nil, nil
	}
	return strings.Join(w, " "), nil
}

func (w *someWords) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*w = nil
	case string:
		*w = append(someWords{}, strings.Fields(v)...)
	default:
		return fmt.Errorf("words as %T", src)
	}
	return nil
}

func (someWords) GormDataType() string { return "string" }

// optional is a text that is null when empty, so that it equals nothing.
type optional string

func (o optional) Value() (driver.Value, error) {
	if o == "" {
		return nil, nil
	}
	return string(o), nil
}

func (o *optional) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*o = ""
	case string:
		*o = optional(v)
	default:
		return fmt.Errorf("text as %T", src)
	}
	return nil
}

func (optional) GormDataType() string { return "string" }

// columns lists the columns of a row type for a select: "id, name, …", or with
// a table's alias and a prefix "u.id as u_id, …". Never "*": a later migration may
// add columns while this program still runs beside the next one.
func columns(row any, table, prefix string) string {
	s, err := schema.Parse(row, &sync.Map{}, schema.NamingStrategy{})
	if err != nil {
		panic(err) // a row type of this package that GORM cannot read
	}
	list := make([]string, len(s.DBNames))
	for i, name := range s.DBNames {
		if list[i] = name; table != "" {
			list[i] = table + "." + name + " as " + prefix + name
		}
	}
	return strings.Join(list, ", ")
}
