package openid

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// claimsRequest is the claims parameter (OpenID Connect Core §5.5): what a client
// wants to be told, at the userinfo endpoint and in the ID token, beyond what its
// scopes give.
type claimsRequest struct {
	Userinfo map[string]claimAsk `json:"userinfo,omitempty"`
	IDToken  map[string]claimAsk `json:"id_token,omitempty"`
}

// claimAsk is what a client says of one claim. The zero value is a wish without
// conditions, null in JSON.
type claimAsk struct {
	Essential bool     `json:"essential,omitempty"`
	Values    []string `json:"values,omitempty"` // of value or values, best first; what is no string is left out
}

// Limits of a claims parameter: every claim that we know, twice over, fits.
const (
	maxClaims      = 8 << 10 // bytes
	maxClaimAsks   = 100     // members of an object, elements of an array
	deepestClaims  = 8       // objects and arrays in each other; the specification needs four
	longestClaimed = 1000    // bytes of a string
)

var errClaims = errors.New("not a claims request")

// parseClaims reads a claims parameter. It is strict where two readers could
// differ: one JSON object, no name twice, and value or values, essential, userinfo
// and id_token of their types. Claims and members that we do not know are left
// out, as the specification has it.
func parseClaims(raw string) (claimsRequest, error) {
	if len(raw) > maxClaims {
		return claimsRequest{}, errClaims
	}
	return readClaims(raw)
}

func readClaims(raw string) (claimsRequest, error) {
	if !utf8.ValidString(raw) {
		return claimsRequest{}, errClaims // the library would put replacement characters in
	}
	d := json.NewDecoder(strings.NewReader(raw))
	d.UseNumber()
	value, err := readJSON(d, deepestClaims)
	if err != nil {
		return claimsRequest{}, err
	}
	if _, err := d.Token(); err != io.EOF {
		return claimsRequest{}, errClaims // something follows
	}
	members, ok := value.(map[string]any)
	if !ok {
		return claimsRequest{}, errClaims
	}
	var c claimsRequest
	if c.Userinfo, err = readAsks(members["userinfo"]); err != nil {
		return claimsRequest{}, err
	}
	c.IDToken, err = readAsks(members["id_token"])
	return c, err
}

// readJSON reads one value, with objects as map[string]any. Unlike the library's
// own reader it refuses a name that comes twice, and what is too deep or too much.
func readJSON(d *json.Decoder, depth int) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, errClaims
	}
	switch t := token.(type) {
	case string:
		if len(t) > longestClaimed || !readable(t) {
			return nil, errClaims
		}
		return t, nil
	case json.Delim:
		if depth == 0 {
			return nil, errClaims
		}
		if t == '[' {
			return readArray(d, depth)
		}
		return readObject(d, depth)
	}
	return token, nil
}

func readArray(d *json.Decoder, depth int) (any, error) {
	list := []any{}
	for d.More() {
		value, err := readJSON(d, depth-1)
		if err != nil || len(list) == maxClaimAsks {
			return nil, errClaims
		}
		list = append(list, value)
	}
	_, err := d.Token()
	return list, err
}

func readObject(d *json.Decoder, depth int) (any, error) {
	members := map[string]any{}
	for d.More() {
		token, err := d.Token()
		name, ok := token.(string) // the library sees to it that it is one
		if _, twice := members[name]; err != nil || !ok || twice || len(name) > longestClaimed || len(members) == maxClaimAsks {
			return nil, errClaims
		}
		if members[name], err = readJSON(d, depth-1); err != nil {
			return nil, errClaims
		}
	}
	_, err := d.Token()
	return members, err
}

// readAsks reads the value of userinfo or id_token.
func readAsks(value any) (map[string]claimAsk, error) {
	if value == nil {
		return nil, nil
	}
	members, ok := value.(map[string]any)
	if !ok {
		return nil, errClaims
	}
	var asks map[string]claimAsk
	for name, v := range members {
		ask, err := readAsk(v)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(claimsSupported, name) {
			continue
		}
		if asks == nil {
			asks = make(map[string]claimAsk)
		}
		asks[name] = ask
	}
	return asks, nil
}

func readAsk(value any) (claimAsk, error) {
	if value == nil {
		return claimAsk{}, nil
	}
	members, ok := value.(map[string]any)
	if !ok {
		return claimAsk{}, errClaims
	}
	var ask claimAsk
	if essential, there := members["essential"]; there {
		if ask.Essential, ok = essential.(bool); !ok {
			return claimAsk{}, errClaims
		}
	}
	one, single := members["value"]
	list, several := members["values"]
	switch {
	case single && several:
		return claimAsk{}, errClaims // which of the two counts?
	case single:
		list = []any{one}
	case !several:
		return ask, nil
	}
	values, ok := list.([]any)
	if !ok {
		return claimAsk{}, errClaims
	}
	for _, v := range values {
		if text, ok := v.(string); ok {
			ask.Values = append(ask.Values, text)
		}
	}
	return ask, nil
}

// of is what a client may ask for: claims of scopes that it is not registered for
// are left out, so that nobody is asked to allow them either.
func (c claimsRequest) of(client Client) claimsRequest {
	for _, asks := range []map[string]claimAsk{c.Userinfo, c.IDToken} {
		maps.DeleteFunc(asks, func(name string, _ claimAsk) bool {
			return slices.ContainsFunc(personClaims, func(p personClaim) bool { return p.name == name && !client.mayAsk(&p) })
		})
	}
	return c
}

// canonical writes the request in one way, names sorted, for keeping; "" when
// nothing is asked for. readClaims reads it again: escapes can make it longer than
// what came.
func (c claimsRequest) canonical() string {
	if len(c.Userinfo) == 0 && len(c.IDToken) == 0 {
		return ""
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	_ = e.Encode(c) // maps of strings always marshal
	return strings.TrimSuffix(out.String(), "\n")
}

// askedClaims is what a grant's request asked for by name. What is kept was
// written by canonical, so nothing in it can fail.
func askedClaims(g Grant) claimsRequest {
	if g.Claims == "" {
		return claimsRequest{}
	}
	c, err := readClaims(g.Claims)
	if err != nil {
		return claimsRequest{}
	}
	return c
}
