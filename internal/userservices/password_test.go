package userservices

import (
	"maps"
	"testing"

	"github.com/portti-id/portti/pkg/portti"
)

var newPassword = []string{"current", "old Password 1", "new", " a new passphrase ", "repeat", " a new passphrase "}

// S58: the person knows the old one; the links stay, other sessions end.
func TestPasswordIsChanged(t *testing.T) {
	k := newKit(t)
	page := k.browser().get("/password").want(200, "/password", "current", "new", "repeat").says("At least 15 characters", "links to your card and authenticator remain")
	page.submit("/password", newPassword...).want(200, "/password/changed", "changed").says("logged out everywhere else")
	want := map[string]any{"current": "old Password 1", "new": " a new passphrase "} // blanks are part of it
	if got := k.api.bodies("POST /password"); len(got) != 1 || !maps.Equal(got[0], want) {
		t.Errorf("the API got %v", got)
	}
}

func TestPasswordsThatAreRefused(t *testing.T) {
	in := func(field string, args ...string) func(e *portti.Error) {
		return func(e *portti.Error) {
			if e.Field = field; len(args) == 2 {
				e.Args = map[string]string{args[0]: args[1]}
			}
		}
	}
	for name, c := range map[string]struct {
		form   []string
		status int
		code   string
		more   func(e *portti.Error)
		ids    []string
		says   string
	}{
		"empty":        {nil, 400, "", nil, []string{"current-problem", "new-problem", "repeat-problem"}, "Enter a new password"},
		"mismatch":     {[]string{"current", "a", "new", "b", "repeat", "c"}, 400, "", nil, []string{"repeat-problem"}, "do not match"},
		"wrong":        {newPassword, 400, "current_password_wrong", in("current"), []string{"current-problem"}, "The current password is incorrect"},
		"short":        {newPassword, 400, "password_too_short", in("new", "n", "15"), []string{"new-problem"}, "at least 15 characters"},
		"common":       {newPassword, 400, "password_common", in("new"), []string{"new-problem"}, "too common"},
		"throttled":    {newPassword, 429, "throttled", in("", "n", "9"), []string{"problems"}, "Try again in 9 minutes"},
		"unreachable":  {newPassword, 503, "busy", in(""), []string{"error"}, "busy"},
		"no long text": {newPassword, 400, "password_too_long", in("new"), []string{"problems"}, "could not be understood"}, // its text needs a value that did not come
	} {
		t.Run(name, func(t *testing.T) {
			k := newKit(t)
			page := k.browser().get("/password")
			if c.code != "" {
				k.api.refuses("POST /password", c.status, c.code, c.more)
			}
			page = page.submit("/password", c.form...).want(c.status, "/password", c.ids...).says(c.says)
			if c.code == "" && k.api.bodies("POST /password") != nil {
				t.Error("the API was asked")
			}
			for _, field := range []string{"current", "new", "repeat"} {
				if n := page.element(field); n != nil && attr(n, "value") != "" {
					t.Errorf("%s is shown again", field)
				}
			}
		})
	}
}

// S19, S58: an enrol session changes no password, whatever the API would say.
func TestPasswordNeedsAFullSession(t *testing.T) {
	k := newKit(t)
	k.enrol()
	b := k.browser()
	b.get("/password").want(403, "/password", "error").says("log in with your card, or with your password and a code")
	form := b.get("/").form(newPassword...)
	b.post("/password", form).want(403, "/password", "error")
	if k.api.bodies("POST /password") != nil {
		t.Error("the API was asked")
	}
}
