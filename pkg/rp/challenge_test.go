package rp_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/pkg/rp"
)

// tooLittle begins the demands of a challenge.
const tooLittle = `error="insufficient_user_authentication", error_description="A stronger or more recent sign-in is needed."`

func TestChallengeIsRead(t *testing.T) { // RFC 9470
	for _, test := range []struct {
		acr    string
		maxAge time.Duration
		header string
		want   rp.LoginOptions
	}{
		{"", 0, `Bearer ` + tooLittle, rp.LoginOptions{}},
		{rp.ACRCard, 0, `Bearer ` + tooLittle + `, acr_values="urn:portti:acr:card"`, rp.LoginOptions{ACRValues: []string{rp.ACRCard}}},
		{"a b", 5 * time.Minute, `Bearer ` + tooLittle + `, acr_values="a b", max_age="300"`, rp.LoginOptions{ACRValues: []string{"a", "b"}, MaxAge: 5 * time.Minute}},
		{"x\"\r\ny\\", 0, `Bearer ` + tooLittle + `, acr_values="xy"`, rp.LoginOptions{ACRValues: []string{"xy"}}},
	} {
		w := httptest.NewRecorder()
		rp.Challenge(w, test.acr, test.maxAge)
		res := w.Result()
		expect(t, "header", res.Header.Get("WWW-Authenticate"), test.header)
		expect(t, "Cache-Control", res.Header.Get("Cache-Control"), "no-store")
		got, ok := rp.ReadChallenge(res)
		if !ok || !slices.Equal(got.ACRValues, test.want.ACRValues) || got.MaxAge != test.want.MaxAge {
			t.Errorf("%s reads as %+v, %v", test.header, got, ok)
		}
	}
}

func TestChallengesOfOthers(t *testing.T) {
	for header, want := range map[string]*rp.LoginOptions{
		`Bearer error="insufficient_user_authentication", error_description="a \"better\" one, acr_values=x", acr_values="c"`: {ACRValues: []string{"c"}},
		`Bearer realm="x", error=insufficient_user_authentication,max_age=0`:                                                  {MaxAge: time.Second},
		`DPoP algs="ES256", Bearer error="insufficient_user_authentication" , max_age = "60"`:                                 {MaxAge: time.Minute},
		`Bearer error="insufficient_user_authentication", max_age="-5"`:                                                       nil,
		`Bearer error="insufficient_user_authentication", max_age="99999999999"`:                                              nil,
		`Negotiate dG9rZW4=, , Bearer error="insufficient_user_authentication", acr_values=c`:                                 {ACRValues: []string{"c"}},
		`Negotiate, DPoP error="insufficient_user_authentication"`:                                                            {},
		`Basic realm="error=insufficient_user_authentication"`:                                                                nil,
		`Digest error="insufficient_user_authentication"`:                                                                     nil, // not a scheme of OAuth
		`Bearer error="insufficient_user_authentication" acr_values="c"`:                                                      nil, // no comma
		`Bearer error="insufficient_user_authentication", acr_values="c", ACR_values="d"`:                                     nil, // which?
		`Bearer error="insufficient_user_authentication", acr_values="c`:                                                      nil,
		`Bearer error="insufficient_user_authentication", acr_values="c\`:                                                     nil,
		`Bearer error="insufficient_user_authentication", acr_values=`:                                                        nil,
		`Bearer error="insufficient_user_authentication", max_age="5 "`:                                                       nil,
		`Bearer error="insufficient_user_authentication", max_age=+5`:                                                         nil,
		"Bearer error=\"insufficient_user_authentication\", acr_values=\"c\x00d\"":                                            nil,
		"Bearer error=\"insufficient_user_authentication\", acr_values=\"ä\"":                                                 nil,
		`error="insufficient_user_authentication"`:                                                                            nil, // no scheme
		`Bearer@x error="insufficient_user_authentication"`:                                                                   nil,
		`Bearer error="insufficient_user_authentication", acr_values="` + strings.Repeat("a ", 17) + `"`:                      nil,
		`Bearer error="insufficient_user_authentication", x="` + strings.Repeat("a", 9<<10) + `"`:                             nil,
		strings.Repeat("A,", 16) + `Bearer error="insufficient_user_authentication"`:                                          nil,
		`Bearer error="invalid_token"`:                                                                                        nil,
		`Basic realm="x"`:                                                                                                     nil,
		`Bearer`:                                                                                                              nil,
		`Bearer error="`:                                                                                                      nil,
		`=,=,"`:                                                                                                               nil,
		``:                                                                                                                    nil,
	} {
		got, ok := rp.ReadChallenge(&http.Response{StatusCode: 401, Header: http.Header{"Www-Authenticate": {header}}})
		if ok != (want != nil) || want != nil && (!slices.Equal(got.ACRValues, want.ACRValues) || got.MaxAge != want.MaxAge) {
			t.Errorf("%s reads as %+v, %v", header, got, ok)
		}
	}
	if _, ok := rp.ReadChallenge(&http.Response{StatusCode: 200, Header: http.Header{"Www-Authenticate": {`Bearer error="insufficient_user_authentication"`}}}); ok {
		t.Error("a success was read as a challenge")
	}
}

func TestBoundsOfChallengesHoldOverLines(t *testing.T) {
	lines := []string{`Bearer error="insufficient_user_authentication"`}
	res := &http.Response{StatusCode: 401, Header: http.Header{"Www-Authenticate": append(lines, `Basic realm="x"`)}}
	if _, ok := rp.ReadChallenge(res); !ok {
		t.Error("a second line hides the first")
	}
	for range 20 {
		lines = append(lines, `Basic realm="`+strings.Repeat("x", 1000)+`"`)
	}
	res.Header["Www-Authenticate"] = lines
	if _, ok := rp.ReadChallenge(res); ok {
		t.Error("20 kB of challenges were read")
	}
}

// FuzzReadChallenge: an API's answer never breaks us, and what is read can be sent
// on: it writes as a challenge that reads the same.
func FuzzReadChallenge(f *testing.F) {
	for _, seed := range []string{
		`Bearer ` + tooLittle + `, acr_values="a b", max_age="300"`, `Negotiate dG9rZW4=, , Bearer error="insufficient_user_authentication", acr_values=c`,
		`DPoP algs="ES256", Bearer error="insufficient_user_authentication" , max_age = "60"`, `Bearer error="a\"b`, `Basic`, `a=b`, ``,
	} {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, one, two string) {
		o, ok := rp.ReadChallenge(&http.Response{StatusCode: 401, Header: http.Header{"Www-Authenticate": {one, two}}})
		if !ok {
			return
		}
		if o.MaxAge < 0 || len(o.ACRValues) > 16 || len(one)+len(two) > 8<<10 {
			t.Fatalf("%q, %q reads as %+v", one, two, o)
		}
		w := httptest.NewRecorder()
		rp.Challenge(w, strings.Join(o.ACRValues, " "), o.MaxAge)
		again, ok := rp.ReadChallenge(w.Result())
		// Quotes and backslashes of an acr are not sent on: no acr has them.
		if plain := !strings.ContainsAny(strings.Join(o.ACRValues, ""), `"\`); !ok || again.MaxAge != o.MaxAge || plain && !slices.Equal(again.ACRValues, o.ACRValues) {
			t.Fatalf("%+v became %+v", o, again)
		}
	})
}
