package openid_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/session"
)

const deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

func device(c *openid.Client) {
	c.AuthMethod, c.GrantTypes, c.RedirectURIs, c.PostLogoutRedirectURIs = openid.AuthNone, []openid.GrantType{openid.GrantDevice, openid.GrantRefresh}, nil, nil
	c.Scopes = append(c.Scopes, "offline_access")
}

// form posts to an endpoint that clients call.
func (k *kit) form(path string, form url.Values) reply {
	k.t.Helper()
	req, err := http.NewRequest(http.MethodPost, k.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		k.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return k.do(req)
}

// starts is a device that begins.
func (k *kit) starts(client string, pairs ...string) reply {
	k.t.Helper()
	form := url.Values{"client_id": {client}, "scope": {"openid profile"}}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	r := k.form(openid.DevicePath, form)
	if r.status != http.StatusOK {
		k.t.Fatalf("device authorization: %d %s", r.status, r.raw)
	}
	return r
}

func (k *kit) polls(client string, d reply) reply {
	k.t.Helper()
	return k.form(openid.TokenPath, url.Values{"grant_type": {deviceGrant}, "client_id": {client}, "device_code": {d.text("device_code")}})
}

// at is a person's browser at the page of devices.
type at struct {
	k      *kit
	cookie string
	s      *session.Session
	ctx    context.Context // nil: the test's
}

func (k *kit) at(who *session.Session) at {
	a := at{k: k, cookie: "browser-" + time.Now().String()}
	if who != nil {
		n := *who
		n.AuthTime = k.now().UTC()
		_, started, err := k.sessions.Start(k.t.Context(), n)
		if err != nil {
			k.t.Fatal(err)
		}
		a.s = &started
	}
	return a
}

func (a at) call() (http.ResponseWriter, *http.Request) {
	ctx := a.ctx
	if ctx == nil {
		ctx = a.k.t.Context()
	}
	r := httptest.NewRequest(http.MethodPost, openid.VerifyPath, nil).WithContext(ctx)
	r.AddCookie(&http.Cookie{Name: "browser", Value: a.cookie})
	return httptest.NewRecorder(), r
}

func (a at) visits(code string) (string, error) {
	w, r := a.call()
	return a.k.p.VisitDevice(w, r, code)
}

func (a at) sees(id string) (openid.Device, error) {
	w, r := a.call()
	return a.k.p.Device(w, r, id, a.s)
}

func (a at) allows(id, token string) error {
	w, r := a.call()
	return a.k.p.AllowDevice(w, r, id, *a.s, token)
}

func (a at) denies(id string) error {
	w, r := a.call()
	return a.k.p.DenyDevice(w, r, id, a.s)
}

// letsIn goes all the way.
func (a at) letsIn(code string) {
	a.k.t.Helper()
	id, err := a.visits(code)
	if err != nil {
		a.k.t.Fatal(err)
	}
	d, err := a.sees(id)
	if err != nil || d.Token == "" {
		a.k.t.Fatalf("%+v %v", d, err)
	}
	if err := a.allows(id, d.Token); err != nil {
		a.k.t.Fatal(err)
	}
}

func TestDevice(t *testing.T) {
	pairs(t, func(t *testing.T, k *kit) {
		k.client("tv", device)
		d := k.starts("tv")
		user := d.text("user_code")
		if !regexp.MustCompile(`^[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}$`).MatchString(user) || len(d.text("device_code")) != 43 || d.json["expires_in"] != 600.0 || d.json["interval"] != 5.0 ||
			d.text("verification_uri") != k.url+"/device" || d.text("verification_uri_complete") != k.url+"/device?user_code="+user || d.header.Get("Cache-Control") != "no-store" {
			t.Fatalf("%s", d.raw)
		}
		refused(t, "nobody has answered", k.polls("tv", d), 400, "authorization_pending")
		refused(t, "at once again", k.polls("tv", d), 400, "slow_down")
		k.wait(6 * time.Second) // enough for five seconds, not for ten
		refused(t, "still too soon", k.polls("tv", d), 400, "slow_down")
		k.wait(16 * time.Second)
		refused(t, "at the new pace", k.polls("tv", d), 400, "authorization_pending")

		a := k.at(&anna)
		id, err := a.visits(" " + strings.ToLower(strings.ReplaceAll(user, "-", " ")))
		if err != nil {
			t.Fatal(err)
		}
		seen, err := a.sees(id)
		if err != nil || seen.UserCode != user || seen.Client.ID != "tv" || seen.Token == "" || len(seen.Wish.Scopes) != 2 {
			t.Fatalf("%+v %v", seen, err)
		}
		if err := a.allows(id, seen.Token); err != nil {
			t.Fatal(err)
		}
		if seen, err := a.sees(id); err != nil || !seen.Allowed() || seen.Token != "" {
			t.Errorf("afterwards: %+v %v", seen, err)
		}
		if err := a.allows(id, seen.Token); fault.Code(err) != "device_done" {
			t.Errorf("twice: %v", err)
		}
		if _, err := a.visits(user); fault.Code(err) != "device_code_unknown" {
			t.Errorf("the code after its use: %v", err)
		}
		k.wait(16 * time.Second)
		r := k.polls("tv", d)
		if r.status != http.StatusOK || r.text("refresh_token") == "" || r.text("scope") != "openid profile" {
			t.Fatalf("%d %s", r.status, r.raw)
		}
		c := k.claims(r.text("id_token"))
		if c["sub"] != "anna" || c["aud"] != "tv" || c["acr"] != "urn:portti:acr:pwd-otp" || c["sid"] == a.s.ID || c["sid"] == "" || c["auth_time"] == nil {
			t.Errorf("%v", c)
		}
		// The browser's logout is not the device's; a new epoch is (rule 6).
		if err := k.p.EndSession(t.Context(), a.s.ID, "logout"); err != nil {
			t.Fatal(err)
		}
		if u := k.userinfo(r.text("access_token")); u.status != 200 {
			t.Errorf("after the browser's logout: %d", u.status)
		}
		if err := k.p.EndSession(t.Context(), c["sid"].(string), "logout"); err != nil {
			t.Fatal(err)
		}
		if u := k.userinfo(r.text("access_token")); u.status != 401 {
			t.Errorf("after the device's own logout: %d", u.status)
		}
	})
}

// One redemption, however many poll at once; a second one leaves nobody anything.
func TestDeviceCodeIsRedeemedOnce(t *testing.T) {
	pairs(t, func(t *testing.T, k *kit) {
		k.client("tv", device)
		d := k.starts("tv")
		k.at(&anna).letsIn(d.text("user_code"))
		var all sync.WaitGroup
		var mu sync.Mutex
		answers := map[string]int{}
		var won reply
		for range 50 {
			all.Go(func() {
				r := k.polls("tv", d)
				mu.Lock()
				defer mu.Unlock()
				if r.status == http.StatusOK {
					won = r
				}
				answers[r.text("error")]++
			})
		}
		all.Wait()
		if answers[""] != 1 || answers["slow_down"]+answers["invalid_grant"] != 49 {
			t.Fatalf("%v", answers)
		}
		k.wait(time.Minute)
		refused(t, "once more", k.polls("tv", d), 400, "invalid_grant")
		if u := k.userinfo(won.text("access_token")); u.status != 401 {
			t.Errorf("the tokens outlive a second use of the code: %d", u.status)
		}
		if k.events.count(audit.CodeReplayed) == 0 {
			t.Error("not on the trail")
		}
	})
}

// One answer, however often it is clicked: one line of the trail, one letter.
func TestDeviceIsAnsweredOnce(t *testing.T) {
	pairs(t, func(t *testing.T, k *kit) {
		k.client("tv", device, thirdParty)
		d := k.starts("tv")
		a := k.at(&anna)
		id := must(a.visits(d.text("user_code")))
		seen := must(a.sees(id))
		var all sync.WaitGroup
		var yes, no atomic.Int64
		for i := range 50 {
			all.Go(func() {
				err, counts := error(nil), &yes
				if i%2 == 0 {
					err = a.allows(id, seen.Token)
				} else {
					err, counts = a.denies(id), &no
				}
				switch {
				case err == nil:
					counts.Add(1)
				case fault.Code(err) != "device_done":
					t.Error(err)
				}
			})
		}
		all.Wait()
		told := map[audit.Type]int64{}
		for _, e := range must(k.store.AuditEvents(t.Context(), audit.Query{Types: []audit.Type{audit.DeviceAllowed, audit.DeviceDenied, audit.ConsentGiven}})) {
			told[e.Type]++
		}
		if yes.Load()+no.Load() != 1 || told[audit.DeviceAllowed] != yes.Load() || told[audit.ConsentGiven] != yes.Load() || told[audit.DeviceDenied] != no.Load() {
			t.Errorf("%d yes and %d no; on the trail %v", yes.Load(), no.Load(), told)
		}
	})
}

func TestDeviceRefusals(t *testing.T) {
	pairs(t, func(t *testing.T, k *kit) {
		k.client("tv", device)
		k.client("other", device)
		k.client("rp")
		d := k.starts("tv")
		refused(t, "another client's", k.polls("other", d), 400, "invalid_grant")
		refused(t, "a client without the grant", k.post("rp", url.Values{"grant_type": {deviceGrant}, "device_code": {d.text("device_code")}}), 400, "unauthorized_client")
		refused(t, "no code", k.form(openid.TokenPath, url.Values{"grant_type": {deviceGrant}, "client_id": {"tv"}}), 400, "invalid_request")
		refused(t, "the user's code", k.form(openid.TokenPath, url.Values{"grant_type": {deviceGrant}, "client_id": {"tv"}, "device_code": {d.text("user_code")}}), 400, "invalid_grant")
		for what, form := range map[string]url.Values{
			"unauthorized_client": {"client_id": {"other"}, "scope": {"openid"}},
			"invalid_scope":       {"client_id": {"tv"}, "scope": {"profile"}},
			"invalid_target":      {"client_id": {"tv"}, "scope": {"openid"}, "resource": {"https://api.example"}},
			"invalid_request":     {"client_id": {"tv"}, "scope": {"openid", "profile"}},
		} {
			status := 400
			if what == "unauthorized_client" {
				if _, err := k.clients.Change(t.Context(), "operator:test", "other", func(c *openid.Client) error {
					c.GrantTypes, c.RedirectURIs, c.RequirePKCE = []openid.GrantType{openid.GrantCode, openid.GrantRefresh}, []string{callback}, true
					return nil
				}, false); err != nil {
					t.Fatal(err)
				}
				k.wait(time.Minute)
			}
			refused(t, what, k.form(openid.DevicePath, form), status, what)
		}
		refused(t, "nobody", k.form(openid.DevicePath, url.Values{"client_id": {"stranger"}, "scope": {"openid"}}), 401, "invalid_client")
		if r := must(http.Get(k.url + openid.DevicePath)); r.StatusCode != 405 {
			t.Errorf("GET: %d", r.StatusCode)
		} else if err := r.Body.Close(); err != nil {
			t.Error(err)
		}

		a := k.at(&anna)
		id, err := a.visits(d.text("user_code"))
		if err != nil {
			t.Fatal(err)
		}
		if err := a.denies(id); err != nil {
			t.Fatal(err)
		}
		if seen, err := a.sees(id); err != nil || !seen.Denied() {
			t.Errorf("%+v %v", seen, err)
		}
		k.wait(time.Minute)
		refused(t, "denied", k.polls("tv", d), 400, "access_denied")

		d = k.starts("tv")
		if id, err = a.visits(d.text("user_code")); err != nil {
			t.Fatal(err)
		}
		seen, err := a.sees(id)
		if err != nil {
			t.Fatal(err)
		}
		k.wait(11 * time.Minute)
		if err := a.allows(id, seen.Token); fault.Code(err) != "device_code_unknown" {
			t.Errorf("allowed too late: %v", err)
		}
		if _, err := a.visits(d.text("user_code")); fault.Code(err) != "device_code_unknown" {
			t.Errorf("entered too late: %v", err)
		}
		refused(t, "late", k.polls("tv", d), 400, "expired_token")
	})
}

// Nobody lets a device in for somebody else, from another browser, twice, or with
// a sign-in that would not be enough for a code.
func TestDeviceIsBound(t *testing.T) {
	k := newKit(t)
	k.client("tv", device)
	k.client("safe", device, func(c *openid.Client) { c.MinimumACR = acrs.Card })
	d := k.starts("tv")
	a, b := k.at(&anna), k.at(&bosse)
	id, err := a.visits(d.text("user_code"))
	if err != nil {
		t.Fatal(err)
	}
	seen, err := a.sees(id)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.sees(id); fault.Code(err) != "device_code_unknown" {
		t.Errorf("another browser sees the visit: %v", err)
	}
	if err := b.allows(id, seen.Token); fault.Code(err) != "device_code_unknown" {
		t.Errorf("another browser allows: %v", err)
	}
	if err := b.denies(id); fault.Code(err) != "device_code_unknown" {
		t.Errorf("another browser denies: %v", err)
	}
	swapped := at{k: k, cookie: a.cookie, s: b.s} // another tab signed bosse in
	if err := swapped.allows(id, seen.Token); fault.Code(err) != "consent_changed" {
		t.Errorf("bosse allows what anna was shown: %v", err)
	}
	if err := a.allows(id, "nonsense"); fault.Code(err) != "consent_changed" {
		t.Errorf("nonsense: %v", err)
	}
	none := at{k: k, cookie: a.cookie, s: nil}
	if seen, err := none.sees(id); err != nil || seen.Token != "" {
		t.Errorf("nobody is signed in: %+v %v", seen, err)
	}
	for what, s := range map[string]session.Session{"a password alone": enrol, "a dead epoch": func() session.Session { s := anna; s.Epoch = 0; return s }()} {
		weak := at{k: k, cookie: a.cookie, s: k.at(&s).s}
		if seen, err := weak.sees(id); err != nil || seen.Token != "" {
			t.Errorf("%s: %+v %v", what, seen, err)
		}
		if err := weak.allows(id, seen.Token); fault.Code(err) != "session_expired" {
			t.Errorf("%s allows: %v", what, err)
		}
	}
	// Two browsers know the code: the first answer counts.
	bid, err := b.visits(d.text("user_code"))
	if err != nil {
		t.Fatal(err)
	}
	other, err := b.sees(bid)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.denies(bid); err != nil {
		t.Fatal(err)
	}
	if err := a.allows(id, seen.Token); fault.Code(err) != "device_done" {
		t.Errorf("after a no: %v", err)
	}
	if err := b.allows(bid, other.Token); fault.Code(err) != "device_done" {
		t.Errorf("a no and then a yes: %v", err)
	}
	// The client's level counts as for a code.
	d = k.starts("safe")
	if id, err = a.visits(d.text("user_code")); err != nil {
		t.Fatal(err)
	}
	if seen, err := a.sees(id); err != nil || seen.Token != "" {
		t.Errorf("a code where the card is demanded: %+v %v", seen, err)
	}
	card := at{k: k, cookie: a.cookie, s: b.s}
	if seen, err := card.sees(id); err != nil || seen.Token == "" {
		t.Errorf("a card: %+v %v", seen, err)
	}
}

// A third party's device needs the consent, and ends with it.
func TestDeviceOfAThirdParty(t *testing.T) {
	k := newKit(t)
	k.client("tv", device, thirdParty)
	d := k.starts("tv", "scope", "openid email offline_access")
	k.at(&anna).letsIn(d.text("user_code"))
	if all, err := k.p.Allowed(t.Context(), "anna"); err != nil || len(all) != 1 || len(all[0].Scopes) != 3 {
		t.Fatalf("%+v %v", all, err)
	}
	r := k.polls("tv", d)
	if r.status != http.StatusOK {
		t.Fatal(r.raw)
	}
	d = k.starts("tv")
	k.at(&anna).letsIn(d.text("user_code"))
	if err := k.p.Disallow(t.Context(), session.Session{ID: "sid", User: "anna"}, "tv"); err != nil {
		t.Fatal(err)
	}
	if u := k.userinfo(r.text("access_token")); u.status != 401 {
		t.Errorf("after the consent: %d", u.status)
	}
	refused(t, "let in before the consent was withdrawn", k.polls("tv", d), 400, "invalid_grant")
}

// Tries at codes are few, right or wrong, by browser and by address.
func TestDeviceCodesAreNotGuessed(t *testing.T) {
	pairs(t, func(t *testing.T, k *kit) {
		k.client("tv", device)
		user := k.starts("tv").text("user_code")
		a := k.at(&anna)
		for i := range 10 {
			if _, err := a.visits("BCDF-BCD" + string("BCDFGHJKLM"[i])); fault.Code(err) != "device_code_unknown" {
				t.Fatal(err)
			}
		}
		if _, err := a.visits(user); fault.Code(err) != "throttled" {
			t.Errorf("the eleventh try: %v", err)
		}
		for i := 0; ; i++ {
			_, err := k.at(nil).visits("nonsense")
			if fault.Code(err) == "throttled" {
				break
			}
			if i > 200 {
				t.Fatal("an address may try for ever")
			}
		}
	})
}

// Strangers do not fill the store.
func TestDevicesPerAddress(t *testing.T) {
	k := newKit(t, func(_ *openid.Config, d *openid.Deps) {
		d.ClientAddr = func(*http.Request) netip.Addr { return netip.MustParseAddr("198.51.100.7") }
	})
	k.client("tv", device)
	for range 300 {
		k.starts("tv")
	}
	r := k.form(openid.DevicePath, url.Values{"client_id": {"tv"}, "scope": {"openid"}})
	if r.status != http.StatusTooManyRequests || r.header.Get("Retry-After") == "" {
		t.Errorf("%d %s", r.status, r.raw)
	}
}
