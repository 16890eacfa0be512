package rp_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/portti-id/portti/pkg/rp"
)

func TestChallengeIsRead(t *testing.T) { // RFC 9470
	for _, test := range []struct {
		acr    string
		maxAge time.Duration
		header string
		want   rp.LoginOptions
	}{
		{"", 0, `Bearer error="insufficient_user_authentication"`, rp.LoginOptions{}},
		{rp.ACRCard, 0, `Bearer error="insufficient_user_authentication", acr_values="urn:portti:acr:card"`, rp.LoginOptions{ACRValues: []string{rp.ACRCard}}},
		{"a b", 5 * time.Minute, `Bearer error="insufficient_user_authentication", acr_values="a b", max_age="300"`, rp.LoginOptions{ACRValues: []string{"a", "b"}, MaxAge: 5 * time.Minute}},
		{"x\"\r\ny\\", 0, `Bearer error="insufficient_user_authentication", acr_values="xy"`, rp.LoginOptions{ACRValues: []string{"xy"}}},
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
		`Bearer error="insufficient_user_authentication", max_age="-5"`:                                                       {},
		`Bearer error="insufficient_user_authentication", max_age="99999999999"`:                                              {},
		`Bearer error="invalid_token"`: nil,
		`Basic realm="x"`:              nil,
		`Bearer`:                       nil,
		`Bearer error="`:               nil,
		`=,=,"`:                        nil,
		``:                             nil,
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
