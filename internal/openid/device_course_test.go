package openid_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/session"
	"github.com/portti-id/portti/internal/trace"
	"github.com/portti-id/portti/templates"
)

// during has a person's requests keep how they go, as the pages do.
func (a at) during(f func(a at)) {
	ctx, notes := a.k.p.Traces.Begin(a.k.t.Context())
	a.ctx = ctx
	f(a)
	a.k.p.Traces.Keep(ctx, notes, "", netip.Addr{})
}

// box is a device that can keep a secret, so that its makers may ask the doctor.
func box(c *openid.Client) {
	device(c)
	c.AuthMethod = openid.AuthPost
}

func (k *kit) begins(client string, pairs ...string) reply {
	return k.starts(client, append(pairs, "client_secret", k.secrets[client])...)
}

func (k *kit) asks(client string, d reply) reply {
	k.t.Helper()
	return k.form(openid.TokenPath, url.Values{"grant_type": {deviceGrant}, "client_id": {client}, "client_secret": {k.secrets[client]}, "device_code": {d.text("device_code")}})
}

// ADR 0143: how a device was let in is one course, from its asking for codes to its
// tokens, over however many browsers and polls; and says nothing of who it was.
func TestHowADeviceWent(t *testing.T) {
	in := func(k *kit, who *session.Session, d reply) {
		var id string
		var seen openid.Device
		a := k.at(who)
		a.during(func(a at) {
			id = must(a.visits(d.text("user_code")))
			seen = must(a.sees(id))
		})
		if seen.Token == "" {
			return
		}
		a.during(func(a at) {
			if err := a.allows(id, seen.Token); err != nil {
				k.t.Fatal(err)
			}
		})
	}
	for what, c := range map[string]struct {
		client func(c *openid.Client)
		then   func(k *kit, d reply)
		want   string
	}{
		"nobody has answered": {nil, func(k *kit, d reply) { k.asks("tv", d) }, "asked_any"},
		"hurried": {nil, func(k *kit, d reply) {
			for range 4 {
				k.asks("tv", d)
			}
		}, "asked_any device_hurried"},
		"let in": {nil, func(k *kit, d reply) { in(k, &anna, d); k.asks("tv", d) }, "asked_any device_entered session_full enough session_full device_allowed device_redeemed"},
		"a code where the card is demanded": {func(c *openid.Client) { c.MinimumACR = acrs.Card }, func(k *kit, d reply) { in(k, &anna, d) },
			"asked_card device_entered session_full minimum_acr"},
		"the employer": {nil, func(k *kit, d reply) {
			k.permit(identity.MethodCard)
			in(k, &anna, d)
		}, "asked_any device_entered session_full policy"},
		"the employer, meanwhile": {nil, func(k *kit, d reply) {
			in(k, &anna, d)
			k.permit(identity.MethodCard)
			k.asks("tv", d)
		}, "asked_any device_entered session_full enough session_full device_allowed renewal_policy"},
		"nobody": {nil, func(k *kit, d reply) { in(k, nil, d) }, "asked_any device_entered session_none no_session"},
		"denied": {nil, func(k *kit, d reply) {
			a := k.at(nil)
			a.during(func(a at) {
				if err := a.denies(must(a.visits(d.text("user_code")))); err != nil {
					k.t.Fatal(err)
				}
			})
			k.asks("tv", d)
		}, "asked_any device_entered device_denied"},
		"too late, and on and on": {nil, func(k *kit, d reply) {
			k.wait(11 * time.Minute)
			for range 3 {
				k.asks("tv", d)
			}
		}, "asked_any device_late"},
	} {
		t.Run(what, func(t *testing.T) {
			k := newKit(t, traced)
			k.client("tv", box, func(x *openid.Client) {
				if c.client != nil {
					c.client(x)
				}
			})
			k.client("other")
			d := k.begins("tv")
			c.then(k, d)
			r := k.postTo(openid.DoctorPath, "", url.Values{"client_id": {"tv"}, "client_secret": {k.secrets["tv"]}})
			var told struct{ Requests []openid.Course }
			if err := json.Unmarshal([]byte(r.raw), &told); err != nil || len(told.Requests) != 1 {
				t.Fatalf("%d %s", r.status, r.raw)
			}
			course := told.Requests[0]
			if words(course) != c.want || course.Client != "tv" || course.Lines[0].Details["grant"] != deviceGrant {
				t.Errorf("%q, want %q: %s", words(course), c.want, r.raw)
			}
			for _, personal := range []string{"anna", "aalto", "clinic", "192.0.2", d.text("user_code"), d.text("device_code"), "Klinikka", `"method"`} {
				if strings.Contains(strings.ToLower(r.raw), strings.ToLower(personal)) {
					t.Errorf("%s is told: %s", personal, r.raw)
				}
			}
			if all := k.courses("other"); len(all) != 0 {
				t.Errorf("another client's: %+v", all)
			}
		})
	}
}

// A refused poll and a refused request have a reference, which opens why.
func TestADeviceThatIsRefusedHasAReference(t *testing.T) {
	k := newKit(t, traced)
	k.client("tv", box)
	d := k.begins("tv")
	k.wait(11 * time.Minute)
	r := k.asks("tv", d)
	refused(t, "late", r, 400, "expired_token")
	reference := referenceTo(&http.Request{URL: &url.URL{Path: openid.TokenPath}})
	if got := r.header.Get("Link"); got != "<"+k.url+"/doctor/"+reference+`>; rel="help"` {
		t.Errorf("Link %q", got)
	}
	if c, err := k.p.Course(t.Context(), reference); err != nil || words(c) != "asked_any device_late" {
		t.Errorf("%+v %v", c, err)
	}
	r = k.form(openid.DevicePath, url.Values{"client_id": {"tv"}, "client_secret": {k.secrets["tv"]}, "scope": {"profile"}})
	refused(t, "scope", r, 400, "invalid_scope")
	reference = referenceTo(&http.Request{URL: &url.URL{Path: openid.DevicePath}})
	f, err := k.p.Refusal(t.Context(), reference)
	if err != nil || f.Parameter != "scope" || f.Client != "tv" || f.Endpoint != openid.DevicePath || !strings.Contains(r.header.Get("Link"), reference) {
		t.Errorf("%+v %v %v", f, err, r.header)
	}
	if body, err := json.Marshal(f); err != nil || strings.Contains(string(body), k.secrets["tv"]) {
		t.Errorf("%s %v", body, err)
	}
}

// What the person and the help desk read: the same device, as the person's who let it
// in, and never as that of somebody whose session was over.
func TestTheDeviceStandsInItsPersonsTraces(t *testing.T) {
	k := newKit(t, traced)
	k.client("tv", device)
	d := k.starts("tv")
	a := k.at(&anna)
	var id string
	a.during(func(a at) { id = must(a.visits(d.text("user_code"))) })
	var seen openid.Device
	a.during(func(a at) { seen = must(a.sees(id)) })
	a.during(func(a at) {
		if err := a.allows(id, seen.Token); err != nil {
			t.Fatal(err)
		}
	})
	k.polls("tv", d)
	legs, err := k.store.TracesOf(t.Context(), "anna", time.Time{}, k.now(), 10)
	all := trace.Join(legs, "anna")
	if err != nil || len(all) != 1 || all[0].User != "anna" || !all[0].Proved || all[0].Client != "tv" {
		t.Fatalf("%+v %v", all, err)
	}
	if _, bad := all[0].Trouble(); bad || all[0].Entries[0].What != trace.Asked || all[0].Last().Code != "redeemed" {
		t.Errorf("%+v", all[0].Entries)
	}

	d = k.starts("tv")
	if id, err = a.visits(d.text("user_code")); err != nil {
		t.Fatal(err)
	}
	k.change(func(tx identity.Tx) error { return tx.EndSessions("anna", "") })
	if err := a.allows(id, seen.Token); fault.Code(err) != "session_expired" {
		t.Errorf("%v", err)
	}
	a.during(func(a at) {
		if err := a.denies(id); err != nil {
			t.Fatal(err)
		}
	})
	if events, err := k.store.AuditEvents(t.Context(), audit.Query{Types: []audit.Type{audit.DeviceDenied}}); err != nil || len(events) != 1 || events[0].Actor != "system" || events[0].User != "" {
		t.Errorf("the trail says that a session which is over has denied: %+v %v", events, err)
	}
	if legs, err := k.store.TracesOf(t.Context(), "anna", time.Time{}, k.now(), 10); err != nil || len(trace.Join(legs, "anna")) != 1 {
		t.Errorf("%+v %v", legs, err)
	}
}

// Whatever is noted of a device has its words: for the person and the help desk, and for
// the makers of the service, in each language.
func TestEverythingOfADeviceHasItsWords(t *testing.T) {
	texts := must(templates.Load())
	codes := map[string]bool{}
	ast.Inspect(must(parser.ParseFile(token.NewFileSet(), "device.go", nil, 0)), func(n ast.Node) bool {
		if c, ok := n.(*ast.CallExpr); ok && len(c.Args) > 2 {
			what, ok1 := c.Args[1].(*ast.SelectorExpr)
			code, ok2 := c.Args[2].(*ast.BasicLit)
			if ok1 && ok2 && what.Sel.Name == "Device" {
				codes[strings.Trim(code.Value, `"`)] = true
			}
		}
		return true
	})
	if len(codes) != 6 {
		t.Errorf("only %v", codes)
	}
	for code := range codes {
		lines := trace.Protocol([]trace.Entry{{What: trace.Device, Code: code}})
		if len(lines) != 1 || lines[0].Word.Explain() == "" {
			t.Errorf("the makers of a service read %+v of %s", lines, code)
			continue
		}
		for _, key := range []string{"trace.says.device." + code, "doctor.why." + string(lines[0].Word)} {
			for _, lang := range templates.Languages {
				if text, err := texts.Lookup(lang, key, "service", "S"); err != nil || text == "" {
					t.Errorf("%s in %s: %v", key, lang, err)
				}
			}
		}
	}
}
