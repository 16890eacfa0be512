package openid_test

import (
	"encoding/base32"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/session"
	"github.com/portti-id/portti/internal/throttle"
	"github.com/portti-id/portti/internal/trace"
	"github.com/portti-id/portti/templates"
)

// traced keeps what happens; a request's reference is made of its address.
func traced(_ *openid.Config, d *openid.Deps) {
	d.Throttle = &throttle.Throttle{Store: d.Ephemeral}
	d.Traces = &trace.Book{Store: d.Store.(trace.Store), Throttle: d.Throttle, Now: d.Now}
	d.Reference = referenceTo
}

func referenceTo(r *http.Request) string {
	return base32.StdEncoding.EncodeToString(sha(r.URL.RequestURI()))[:8]
}

// words are a course in short.
func words(c openid.Course) string {
	var all []string
	for _, l := range c.Lines {
		all = append(all, string(l.Why))
	}
	return strings.Join(all, " ")
}

// line is the line with a word.
func line(t *testing.T, c openid.Course, why trace.Word) openid.CourseLine {
	t.Helper()
	i := slices.IndexFunc(c.Lines, func(l openid.CourseLine) bool { return l.Why == why })
	if i < 0 {
		t.Fatalf("no %s in %+v", why, c)
	}
	return c.Lines[i]
}

func (k *kit) courses(client string) []openid.Course {
	k.t.Helper()
	all, err := k.p.Courses(k.t.Context(), client)
	if err != nil {
		k.t.Fatal(err)
	}
	return all
}

// The makers of a client learn which parameter decided, refused or not, in the
// protocol's own words.
func TestHowARequestWent(t *testing.T) {
	card := func(c *openid.Client) { c.MinimumACR = acrs.Card }
	shared := func(k *kit) { // workstations, from now on (S72)
		k.employer(func(o *identity.Organisation) { o.SharedWorkstations = true })
		k.wait(20 * time.Minute)
	}
	for what, c := range map[string]struct {
		before  *session.Session // who signs in first
		then    func(k *kit)     // what happens after that
		client  func(c *openid.Client)
		pairs   []string
		want    string
		details map[trace.Word]string // name=value
		silent  string                // the error with prompt=none; "" for a code
	}{
		"nobody":              {nil, nil, nil, nil, "asked_any session_none no_session", nil, "login_required"},
		"enough":              {&anna, nil, nil, nil, "asked_any session_full enough answered", map[trace.Word]string{trace.SessionFull: "acr=" + acrs.PasswordCode, trace.Answered: "amr=pwd otp mfa"}, ""},
		"max_age":             {&anna, func(k *kit) { k.wait(time.Minute) }, nil, []string{"max_age", "30"}, "asked_any session_full max_age", map[trace.Word]string{trace.AskedAny: "max_age=30", trace.SessionFull: "age=60"}, "login_required"},
		"acr_values":          {&anna, nil, nil, []string{"acr_values", acrs.Card}, "asked_card session_full acr_values", map[trace.Word]string{trace.AskedCard: "by=acr_values"}, "login_required"},
		"claims":              {&anna, nil, nil, []string{"claims", acrClaim(true, acrs.Card)}, "asked_card session_full claims", map[trace.Word]string{trace.AskedCard: "by=claims"}, "login_required"},
		"the client's level":  {&anna, nil, card, nil, "asked_card session_full minimum_acr", map[trace.Word]string{trace.AskedCard: "by=minimum_acr"}, "login_required"},
		"the level and wish":  {&anna, nil, card, []string{"acr_values", acrs.Card}, "asked_card session_full minimum_acr", map[trace.Word]string{trace.AskedCard: "acr=" + acrs.Card}, "login_required"},
		"the client's method": {&anna, nil, func(c *openid.Client) { c.Methods = uint8(identity.MethodCard) }, nil, "asked_card session_full methods", map[trace.Word]string{trace.AskedCard: "by=methods"}, "login_required"},
		"method and level":    {&anna, nil, func(c *openid.Client) { c.Methods, c.MinimumACR = uint8(identity.MethodCard), acrs.PasswordCode }, nil, "asked_card session_full methods", map[trace.Word]string{trace.AskedCard: "by=methods"}, "login_required"},
		"the employer":        {&anna, func(k *kit) { k.permit(identity.MethodCard) }, nil, nil, "asked_any session_full policy", nil, "login_required"},
		"a password alone":    {&enrol, nil, nil, nil, "asked_any session_enrol enrol_only", map[trace.Word]string{trace.SessionEnrol: "acr=" + acrs.Enrol}, "interaction_required"},
		"logged out":          {&anna, func(k *kit) { k.endAll() }, nil, nil, "asked_any session_over no_session", nil, "login_required"},
		"limits since":        {&anna, shared, nil, nil, "asked_any session_over no_session", nil, "login_required"},
		"changed since":       {&anna, func(k *kit) { k.change(func(tx identity.Tx) error { return tx.EndSessions("anna", "") }) }, nil, nil, "asked_any session_ended no_session", nil, "login_required"},
		"closed since":        {&anna, func(k *kit) { k.save("anna", func(u *identity.User) { u.Disabled = k.now() }) }, nil, nil, "asked_any session_ended no_session", nil, "login_required"},
		"consent":             {&anna, nil, func(c *openid.Client) { c.ThirdParty = true }, nil, "asked_any session_full consent", nil, "consent_required"},
	} {
		t.Run(what, func(t *testing.T) {
			k := newKit(t, traced)
			k.client("rp")
			k.client("us", userServices)
			k.client("mine", func(x *openid.Client) {
				if c.client != nil {
					c.client(x)
				}
			})
			b := k.browser()
			if c.before != nil {
				k.as(*c.before)
				first := "rp"
				if c.before.Level == session.Enrol {
					first = "us"
				}
				k.authorize(b, request("client_id", first, "scope", "openid us.enrol"))
			}
			if c.then != nil {
				c.then(k)
			}
			mine := append([]string{"client_id", "mine"}, c.pairs...)
			q := request(append(mine, "prompt", "none")...)
			a := k.authorize(b, q)
			if a.params.Get("error") != c.silent {
				t.Fatalf("answered %v", a.params)
			}
			where := &http.Request{URL: &url.URL{Path: openid.AuthorizePath, RawQuery: q.Encode()}}
			reference := referenceTo(where)
			if c.silent != "" && a.params.Get("error_uri") != k.url+"/doctor/"+reference {
				t.Errorf("error_uri %q", a.params.Get("error_uri"))
			}
			course, err := k.p.Course(t.Context(), strings.ToLower(reference))
			if err != nil {
				t.Fatal(err)
			}
			if words(course) != c.want || course.Client != "mine" {
				t.Errorf("%q, want %q: %+v", words(course), c.want, course)
			}
			for word, detail := range c.details {
				name, value, _ := strings.Cut(detail, "=")
				if got := line(t, course, word).Details[name]; got != value {
					t.Errorf("%s of %s is %q, want %q", name, word, got, value)
				}
			}
			if c.silent != "" {
				// With a page allowed the same is the reason for the sign-in, and is there before
				// anybody has signed in.
				if c.then != nil && slices.Contains([]string{"logged out", "limits since"}, what) || what == "consent" {
					return
				}
				k.authorize(b, request(mine...))
				all := k.courses("mine")
				if len(all) != 2 || !strings.HasPrefix(words(all[0]), c.want) || line(t, all[0], course.Lines[2].Why).Details["error"] != "" {
					t.Errorf("%+v", all)
				}
			}
			text, err := json.Marshal(k.courses("mine"))
			if err != nil {
				t.Fatal(err)
			}
			for _, personal := range []string{"anna", "aalto", "clinic", "192.0.2", "the-state", "the-nonce", "Klinikka", `"method"`, `"linked"`, `"permitted"`} {
				if strings.Contains(strings.ToLower(string(text)), strings.ToLower(personal)) {
					t.Errorf("%s is told: %s", personal, text)
				}
			}
		})
	}
}

// endAll ends every session, as a logout does.
func (k *kit) endAll() {
	k.t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, id := range k.started {
		if err := k.sessions.End(k.t.Context(), id); err != nil {
			k.t.Fatal(err)
		}
	}
}

// Of somebody whom the request did not mean nothing is told but that.
func TestNothingIsToldOfSomebodyElse(t *testing.T) {
	k := newKit(t, traced)
	k.client("rp")
	b := k.browser()
	hint := k.signedIn(b).text("id_token")
	k.as(bosse)
	k.authorize(b, request("prompt", "login"))
	q := request("id_token_hint", hint, "max_age", "100", "prompt", "none")
	if a := k.authorize(b, q); a.params.Get("error") != "login_required" {
		t.Fatalf("%v", a.params)
	}
	c := k.courses("rp")[0]
	if words(c) != "asked_any session_full other_user" || len(line(t, c, trace.SessionFull).Details) != 0 {
		t.Errorf("%+v", c)
	}
}

// S5, S36: a refused renewal is in the trace of its person and in what the client
// reads, with a reference: the policy's, an account that has changed, and one that was
// closed. Other refusals are the client's own affair, and in no person's trace.
func TestRefusedRenewalsAreKept(t *testing.T) {
	for what, c := range map[string]struct {
		then       func(k *kit)
		told, code string // to the client, and in the trace
		word       trace.Word
	}{
		"policy":   {func(k *kit) { k.permit(identity.MethodCard) }, "method_not_permitted_by_employer", "method_not_permitted_by_employer", trace.RenewalPolicy},
		"epoch":    {func(k *kit) { k.change(func(tx identity.Tx) error { return tx.EndSessions("anna", "") }) }, "The refresh token is wrong, expired, used or revoked.", "session_ended", trace.RenewalEnded},
		"disabled": {func(k *kit) { k.save("anna", func(u *identity.User) { u.Disabled = k.now() }) }, "account_disabled", "account_disabled", trace.RenewalEnded},
	} {
		for _, format := range []openid.AccessTokenFormat{openid.FormatReference, openid.FormatJWT} {
			t.Run(what+" "+string(format), func(t *testing.T) {
				k := newKit(t, traced)
				k.client("rp", func(c *openid.Client) { c.TokenFormat = format })
				g := k.given("rp")
				if r := k.post("rp", refreshing(g.refresh+"x")); r.status == http.StatusOK || r.header.Get("Link") != "" {
					t.Errorf("%d %v", r.status, r.header)
				}
				g = k.given("rp")
				c.then(k)
				r := k.post("rp", refreshing(g.refresh))
				reference := referenceTo(&http.Request{URL: &url.URL{Path: openid.TokenPath}})
				if r.text("error") != "invalid_grant" || r.text("error_description") != c.told || r.header.Get("Link") != "<"+k.url+"/doctor/"+reference+`>; rel="help"` {
					t.Fatalf("%d %s %v", r.status, r.raw, r.header)
				}
				legs, err := k.store.TracesOf(t.Context(), "anna", time.Time{}, k.now(), 10)
				if err != nil || len(legs) != 1 || len(legs[0].Entries) != 1 {
					t.Fatalf("%+v %v", legs, err)
				}
				if !strings.Contains(r.header.Get("Access-Control-Expose-Headers"), "Link") {
					t.Error("a program in a browser cannot read the reference")
				}
				if e := legs[0].Entries[0]; e.What != trace.Renewal || e.Code != c.code || !legs[0].Proved || legs[0].Client != "rp" || legs[0].Network != "" {
					t.Errorf("%+v", legs[0])
				}
				course, err := k.p.Course(t.Context(), reference)
				if err != nil || words(course) != string(c.word) || len(course.Lines[0].Details) != 0 {
					t.Errorf("%+v %v", course, err)
				}
			})
		}
	}
}

// What a client is told of its requests, it is told alone, and only when it proves
// that it is the client.
func TestTheDoctorAnswersItsClientAlone(t *testing.T) {
	k := newKit(t, traced)
	k.client("rp")
	k.client("other")
	k.client("open", public)
	k.authorize(k.browser(), request("prompt", "none"))
	k.authorize(k.browser(), request("redirect_uri", callback+"/"))
	course := k.courses("rp")[0]
	refused := referenceTo(&http.Request{URL: &url.URL{Path: openid.AuthorizePath, RawQuery: request("redirect_uri", callback+"/").Encode()}})
	type told struct {
		Requests []openid.Course `json:"requests"`
		Refusal  *struct {
			openid.Refusal
			Explanation string `json:"explanation"`
		} `json:"refusal"`
	}
	ask := func(client string, form url.Values) (reply, told) {
		r := k.postTo(openid.DoctorPath, client, form)
		var out told
		_ = json.Unmarshal([]byte(r.raw), &out)
		return r, out
	}
	for _, reference := range []string{"", course.References[0], strings.ToLower(course.References[0])} {
		r, out := ask("rp", url.Values{"reference": {reference}})
		if r.status != http.StatusOK || len(out.Requests) != 1 || words(out.Requests[0]) != words(course) || out.Requests[0].Lines[0].Explanation == "" || r.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%q: %d %s", reference, r.status, r.raw)
		}
		if r, out := ask("other", url.Values{"reference": {reference}}); r.status != http.StatusOK || len(out.Requests) != 0 || out.Refusal != nil {
			t.Errorf("another client reads %s", r.raw)
		}
	}
	if r, out := ask("rp", url.Values{"reference": {refused}}); r.status != http.StatusOK || out.Refusal == nil || out.Refusal.Cause != openid.CauseAddressSlash || out.Refusal.Explanation == "" {
		t.Errorf("its refusal: %d %s", r.status, r.raw)
	}
	if r, out := ask("other", url.Values{"reference": {refused}}); out.Refusal != nil {
		t.Errorf("another's refusal: %s", r.raw)
	}
	for _, reference := range []string{"AAAAAAAA", "' or 1=1", "%"} {
		if r, out := ask("rp", url.Values{"reference": {reference}}); r.status != http.StatusOK || len(out.Requests) != 0 {
			t.Errorf("%q: %d %s", reference, r.status, r.raw)
		}
	}
	if r, _ := ask("open", url.Values{"client_id": {"open"}}); r.status != http.StatusUnauthorized {
		t.Errorf("a public client: %d %s", r.status, r.raw)
	}
	if r, _ := ask("", url.Values{"client_id": {"open"}}); r.status != http.StatusUnauthorized {
		t.Errorf("a public client: %d %s", r.status, r.raw)
	}
	if r, _ := ask("", url.Values{"client_id": {"rp"}}); r.status != http.StatusUnauthorized {
		t.Errorf("without its secret: %d %s", r.status, r.raw)
	}
	k.secrets["rp"] = "wrong"
	if r, _ := ask("rp", nil); r.status != http.StatusUnauthorized {
		t.Errorf("with a wrong one: %d %s", r.status, r.raw)
	}
	last := 0
	for range throttle.CoursesPerClient.Max + 1 {
		r, _ := ask("other", nil)
		last = r.status
	}
	if last != http.StatusTooManyRequests {
		t.Errorf("asked without end: %d", last)
	}
}

// Requests that only led to a sign-in are kept of each client up to a limit, and of
// nobody's address: the failures of an office are not crowded out by its morning.
func TestBegunSignInsAreKeptUpToALimit(t *testing.T) {
	k := newKit(t, traced)
	k.client("rp")
	k.client("other")
	for i := range throttle.WaitingTracesPerClient.Max + 5 {
		r, err := http.NewRequest(http.MethodGet, k.url+openid.AuthorizePath+"?"+request("nonce", fmt.Sprint(i)).Encode(), nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
	}
	if n := len(k.courses("rp")); n != int(throttle.WaitingTracesPerClient.Max) {
		t.Errorf("%d kept", n)
	}
	if k.authorize(k.browser(), request("client_id", "other", "prompt", "none")); len(k.courses("other")) != 1 {
		t.Error("another client's are not kept")
	}
	k.wait(25 * time.Hour)
	if n := len(k.courses("rp")); n != 0 {
		t.Errorf("%d kept after a day", n)
	}
	if _, err := k.p.Course(t.Context(), "AAAAAAAA"); fault.Code(err) != "refusal_unknown" {
		t.Errorf("%v", err)
	}
}

// Every reason for a decision has its words: for the person and the help desk, and for
// the makers of the service, in each language.
func TestEveryDecisionHasItsWords(t *testing.T) {
	texts, err := templates.Load()
	if err != nil {
		t.Fatal(err)
	}
	file, err := parser.ParseFile(token.NewFileSet(), "decide.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	reasons := []string{"issue", "cancelled"}
	ast.Inspect(file, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok && strings.HasPrefix(v.Names[0].Name, "Reason") {
			reasons = append(reasons, strings.Trim(v.Values[0].(*ast.BasicLit).Value, `"`))
		}
		return true
	})
	if len(reasons) < 11 {
		t.Fatalf("only %v", reasons)
	}
	for _, reason := range reasons {
		lines := trace.Protocol([]trace.Entry{{What: trace.Decided, Code: reason}})
		if len(lines) != 1 || lines[0].Word == trace.OtherReason || lines[0].Word.Explain() == "" {
			t.Errorf("the makers of a service read %+v of %s", lines, reason)
			continue
		}
		for _, key := range []string{"trace.says.decided." + reason, "doctor.why." + string(lines[0].Word)} {
			for _, lang := range templates.Languages {
				if text, err := texts.Lookup(lang, key, "service", "S"); err != nil || text == "" {
					t.Errorf("%s in %s: %v", key, lang, err)
				}
			}
		}
	}
}
