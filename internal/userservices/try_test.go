package userservices

import (
	"testing"

	"github.com/portti-id/portti/pkg/portti"
)

// S67, S44, S46: the trial says what is the matter with the code or the clock.
func TestTrial(t *testing.T) {
	minutes := func(n string) func(e *portti.Error) {
		return func(e *portti.Error) { e.Args, e.Field = map[string]string{"n": n}, "code" }
	}
	for name, c := range map[string]struct {
		status int
		code   string
		more   func(e *portti.Error)
		ids    []string
		says   string
	}{
		"ok":        {200, "", nil, []string{"result"}, "The code works"},
		"used":      {409, "otp_used", minutes(""), []string{"result"}, "already been used"},
		"old":       {400, "otp_wrong", minutes(""), []string{"result"}, "Wait for a new code"},
		"fast":      {400, "otp_clock_fast", minutes("4"), []string{"result"}, "about 4 minutes fast"},
		"slow":      {400, "otp_clock_slow", minutes("1"), []string{"result"}, "about one minute slow"},
		"throttled": {429, "throttled", minutes("2"), []string{"problems"}, "Try again in 2 minutes"},
		"blocked":   {403, "otp_blocked", minutes(""), []string{"problems", "code-problem"}, "Contact user support"},
		"away":      {502, "unexpected", minutes(""), []string{"error"}, "Try again in a moment"},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKit(t)
			page := k.browser().get("/authenticator/try").want(200, "/authenticator/try", "code", "code-submit").without("result").says("Portti-1 TOTP-2FA", "is used up")
			if c.code != "" {
				k.api.refuses("POST /authenticator/trial", c.status, c.code, c.more)
			}
			status := c.status
			if status == 502 {
				status = 503
			}
			page.submit("/authenticator/try", "code", "492 039").want(status, "/authenticator/try", c.ids...).says(c.says)
			if got := k.api.bodies("POST /authenticator/trial"); len(got) != 1 || got[0]["code"] != testCode {
				t.Errorf("the API got %v", got)
			}
		})
	}
}

func TestTrialNeedsACodeAndAnAuthenticator(t *testing.T) {
	k := newKit(t)
	b := k.browser()
	page := b.get("/authenticator/try")
	page.submit("/authenticator/try", "code", " ").want(400, "/authenticator/try", "code-problem")
	k.api.set(func(me *portti.Me) { me.App = nil })
	b.get("/authenticator/try").want(200, "/", "change-password")
	page.submit("/authenticator/try", "code", testCode).want(200, "/")
	if k.api.bodies("POST /authenticator/trial") != nil {
		t.Error("the API was asked")
	}
}

// S67: an enrol session is enough.
func TestTrialInAnEnrolSession(t *testing.T) {
	k := newKit(t)
	k.enrol()
	k.links()
	b := k.browser()
	resume := k.waiting()
	b.get("/authenticator").submit("/authenticator", stated...).submit("/authenticator/confirm", "code", testCode)
	page := b.get("/authenticator/try").want(200, "/authenticator/try", "code", "service").submit("/authenticator/try", "code", "123456").want(200, "/authenticator/try", "result")
	if got := attr(page.element("service"), "href"); got != resume {
		t.Errorf("on to %q", got)
	}
}
