package rp

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// insufficient is the error of a token that proves too little (RFC 9470 §3).
const insufficient = "insufficient_user_authentication"

// Challenge answers an API call whose access token comes from too weak or too old
// a sign-in: 401 with what is needed (RFC 9470). The acr may be several, best
// first, separated by spaces; empty and 0 leave a demand out. [Resource] does it
// by itself.
func Challenge(w http.ResponseWriter, acr string, maxAge time.Duration) {
	var seconds string
	if maxAge > 0 { // rounded up: 0 would ask for more than is demanded
		seconds = strconv.FormatInt(int64((maxAge+time.Second-1)/time.Second), 10)
	}
	challenge(w, http.StatusUnauthorized, "error", insufficient, "error_description", "A stronger or more recent sign-in is needed.",
		"acr_values", acr, "max_age", seconds)
}

// challenge answers with the parameters of a Bearer challenge (RFC 6750 §3), names
// and values by turns; empty ones are left out.
func challenge(w http.ResponseWriter, status int, params ...string) {
	var set []string
	body := http.StatusText(status)
	for i := 0; i < len(params); i += 2 {
		if value := quotable(params[i+1]); value != "" {
			set = append(set, params[i]+`="`+value+`"`)
		}
		if params[i] == "error" {
			body = params[i+1]
		}
	}
	w.Header().Set("WWW-Authenticate", "Bearer "+strings.Join(set, ", "))
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, body, status)
}

// quotable drops what must not stand in a quoted string.
func quotable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e || r == '"' || r == '\\' {
			return -1
		}
		return r
	}, s)
}

// mostACR bounds the acr values of a challenge.
const mostACR = 16

// ReadChallenge is the other side: the demands of an API that answered with an
// RFC 9470 challenge, as options for Login. It is false for any other answer, and
// for a challenge whose demands can not be read without a doubt. [RP.StepUp] does
// the rest, too.
func ReadChallenge(res *http.Response) (LoginOptions, bool) {
	if res == nil || res.StatusCode != http.StatusUnauthorized {
		return LoginOptions{}, false
	}
	for _, c := range readAuthenticate(res.Header.Values("WWW-Authenticate")) {
		// The error is for bearer and for DPoP-bound tokens alike (RFC 9470 §3).
		if (c.scheme != "bearer" && c.scheme != "dpop") || c.params["error"] != insufficient {
			continue
		}
		o := LoginOptions{ACRValues: strings.Fields(c.params["acr_values"])}
		if len(o.ACRValues) > mostACR {
			return LoginOptions{}, false
		}
		if given, ok := c.params["max_age"]; ok {
			seconds, err := strconv.ParseUint(given, 10, 31)
			if err != nil {
				return LoginOptions{}, false
			}
			// "Now" is at most a second ago to LoginOptions, where 0 means any time.
			o.MaxAge = max(time.Second, time.Duration(seconds)*time.Second)
		}
		return o, true
	}
	return LoginOptions{}, false
}
