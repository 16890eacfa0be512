package openid

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// object is a JSON object that is written member by member: a map would be sorted
// and looked through by reflection at every call of userinfo. The zero value is an
// object without members.
type object struct {
	body []byte
	err  error
}

// add appends a member. The name needs no escapes, and comes once.
func (o *object) add(name string, value any) {
	if len(o.body) == 0 {
		o.body = append(make([]byte, 0, 512), '{')
	} else {
		o.body = append(o.body, ',')
	}
	o.body = append(append(append(o.body, '"'), name...), `":`...)
	switch v := value.(type) {
	case bool:
		o.body = strconv.AppendBool(o.body, v)
	case int64:
		o.body = strconv.AppendInt(o.body, v, 10)
	case string:
		if !strings.ContainsFunc(v, escaped) {
			o.body = append(append(append(o.body, '"'), v...), '"')
			return
		}
		o.marshal(v)
	default:
		o.marshal(v)
	}
}

// escaped tells whether a character may not stand in JSON as it is, or not on
// every reader's page; all but ASCII is left to the library.
func escaped(r rune) bool {
	return r < 0x20 || r > 0x7e || r == '"' || r == '\\' || r == '<' || r == '>' || r == '&'
}

func (o *object) marshal(value any) {
	b, err := json.Marshal(value)
	if err != nil && o.err == nil {
		o.err = fmt.Errorf("encode %T: %w", value, err)
	}
	o.body = append(o.body, b...)
}

// bytes is the whole object.
func (o *object) bytes() ([]byte, error) {
	if len(o.body) == 0 {
		return []byte("{}"), o.err
	}
	return append(o.body, '}'), o.err
}

// into is another object, with at least one member, and these members behind its own.
func (o *object) into(other []byte) ([]byte, error) {
	if len(o.body) == 0 {
		return other, o.err
	}
	return append(append(append(other[:len(other)-1], ','), o.body[1:]...), '}'), o.err
}
