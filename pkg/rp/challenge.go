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
// first, separated by spaces; empty and 0 leave a demand out.
func Challenge(w http.ResponseWriter, acr string, maxAge time.Duration) {
	value := `Bearer error="` + insufficient + `"`
	if acr != "" {
		value += `, acr_values="` + quotable(acr) + `"`
	}
	if maxAge > 0 {
		value += `, max_age="` + strconv.Itoa(int(maxAge/time.Second)) + `"`
	}
	w.Header().Set("WWW-Authenticate", value)
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, insufficient, http.StatusUnauthorized)
}

// ReadChallenge is the other side: the demands of an API that answered with an
// RFC 9470 challenge, as options for Login. It is false for any other answer.
func ReadChallenge(res *http.Response) (LoginOptions, bool) {
	if res.StatusCode != http.StatusUnauthorized {
		return LoginOptions{}, false
	}
	for _, header := range res.Header.Values("WWW-Authenticate") {
		params := parameters(header)
		if params["error"] != insufficient {
			continue
		}
		o := LoginOptions{ACRValues: strings.Fields(params["acr_values"])}
		if seconds, err := strconv.Atoi(params["max_age"]); err == nil && seconds >= 0 && seconds < 1<<31 {
			// "Now" is at most a second ago to LoginOptions, where 0 means any time.
			o.MaxAge = max(time.Second, time.Duration(seconds)*time.Second)
		}
		return o, true
	}
	return LoginOptions{}, false
}

// parameters reads the name="value" pairs of a challenge (RFC 9110 §11.6.1). Of
// several challenges in one line it joins the pairs, which is enough to find an
// error with its demands.
func parameters(header string) map[string]string {
	found := map[string]string{}
	for rest := header; rest != ""; {
		equals := strings.IndexByte(rest, '=')
		if equals < 0 {
			break
		}
		// Before a name there may be a scheme, a comma, or both.
		name := strings.TrimSpace(rest[:equals])
		if cut := strings.LastIndexAny(name, " ,\t"); cut >= 0 {
			name = name[cut+1:]
		}
		rest = strings.TrimLeft(rest[equals+1:], " \t")
		var value string
		if strings.HasPrefix(rest, `"`) {
			value, rest = unquote(rest[1:])
		} else {
			end := strings.IndexAny(rest, ", \t")
			if end < 0 {
				end = len(rest)
			}
			value, rest = rest[:end], rest[end:]
		}
		found[strings.ToLower(name)] = value
	}
	return found
}

// unquote reads to the end of a quoted string whose opening quote is gone.
func unquote(s string) (value, rest string) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:]
		case '\\':
			if i++; i < len(s) {
				b.WriteByte(s[i])
			}
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String(), ""
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
