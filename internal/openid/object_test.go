package openid

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/portti-id/portti/internal/identity"
)

// Written by hand, read by the library: nothing in a value gets out of it.
func TestObjectsAreJSON(t *testing.T) {
	want := map[string]any{}
	var o object
	for name, value := range map[string]string{"plain": "Anna Aalto", "empty": "", "quote": `","admin":"yes`, "slash": `a\`, "lines": "a\nb\x00", "page": "</script>&", "letters": "Åsa Öberg 🙂", "broken": "a\xffb", "separator": "a\u2028b"} {
		o.add(name, value)
		want[name] = value
	}
	want["broken"] = "a\ufffdb" // as the library has it
	o.add("yes", true)
	o.add("no", false)
	o.add("number", int64(-1700000000))
	o.add("address", identity.Address{Locality: "Åbo"})
	want["yes"], want["no"], want["number"], want["address"] = true, false, float64(-1700000000), map[string]any{"locality": "Åbo"}
	body, err := o.bytes()
	var got map[string]any
	if err != nil || json.Unmarshal(body, &got) != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v: %s", err, body)
	}
	body, err = o.into([]byte(`{"iss":"x"}`))
	want["iss"], got = "x", nil
	if err != nil || json.Unmarshal(body, &got) != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v: %s", err, body)
	}
	var none object
	if body, err := none.bytes(); err != nil || string(body) != "{}" {
		t.Errorf("%s %v", body, err)
	}
	if body, err := none.into([]byte(`{"iss":"x"}`)); err != nil || string(body) != `{"iss":"x"}` {
		t.Errorf("%s %v", body, err)
	}
	o.add("never", func() {})
	if _, err := o.bytes(); err == nil {
		t.Error("what cannot be written was left out in silence")
	}
}
