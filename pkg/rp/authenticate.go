package rp

import "strings"

// authChallenge is one challenge of WWW-Authenticate: its scheme and the names of
// its parameters in small letters. One with a token68 has no parameters.
type authChallenge struct {
	scheme string
	params map[string]string
}

// Limits of what is read: an API's answer is not more trusted than any other.
const (
	maxAuthenticate   = 8 << 10 // bytes of all lines
	mostAuthenticate  = 16      // challenges
	mostAuthParams    = 32      // of one challenge
	maxAuthParamValue = 2 << 10 // bytes
)

// readAuthenticate reads the challenges of an answer (RFC 9110 §11.6.1). Nothing
// is guessed: of lines that break the grammar, repeat a parameter or go beyond the
// limits, nothing is taken at all.
func readAuthenticate(lines []string) []authChallenge {
	var all []authChallenge
	size := 0
	for _, line := range lines {
		size += len(line)
		found, ok := readChallenges(line)
		if all = append(all, found...); !ok || size > maxAuthenticate || len(all) > mostAuthenticate {
			return nil
		}
	}
	return all
}

// readChallenges reads one line: a list of challenges, each of which is a scheme
// with a list of parameters, so that a comma may stand before either.
func readChallenges(rest string) (found []authChallenge, ok bool) {
	if len(rest) > maxAuthenticate {
		return nil, false
	}
	for first := true; ; first = false {
		var comma bool
		if rest, comma = commas(rest); rest == "" {
			return found, true
		}
		if !first && !comma {
			return nil, false
		}
		word, after := token(rest)
		if word == "" {
			return nil, false
		}
		if value, end, isParam, good := parameterValue(after); isParam {
			if !good || len(found) == 0 || !found[len(found)-1].add(word, value) {
				return nil, false
			}
			rest = end
			continue
		}
		if len(found) == mostAuthenticate {
			return nil, false
		}
		c := authChallenge{strings.ToLower(word), map[string]string{}}
		if rest, ok = c.begin(after); !ok {
			return nil, false
		}
		found = append(found, c)
	}
}

// begin reads what follows a scheme: nothing, a token68, or the first parameter.
func (c authChallenge) begin(after string) (rest string, ok bool) {
	rest = strings.TrimLeft(after, " ")
	if rest == "" || rest[0] == ',' {
		return rest, true
	}
	if len(rest) == len(after) {
		return "", false // something stands right at the scheme
	}
	end := 0
	for end < len(rest) && isToken68(rest[end]) {
		end++
	}
	bare := end
	for end < len(rest) && rest[end] == '=' {
		end++
	}
	if tail := strings.TrimLeft(rest[end:], " \t"); bare > 0 && (tail == "" || tail[0] == ',') {
		return tail, true
	}
	name, after := token(rest)
	value, rest, isParam, good := parameterValue(after)
	return rest, name != "" && isParam && good && c.add(name, value)
}

// add is false for a name that was there before, or one too many.
func (c authChallenge) add(name, value string) bool {
	name = strings.ToLower(name)
	if _, twice := c.params[name]; twice || len(c.params) == mostAuthParams || len(value) > maxAuthParamValue {
		return false
	}
	c.params[name] = value
	return true
}

// parameterValue reads "= value" after a name; isParam is false when there is no
// equals sign, so that the name was a scheme.
func parameterValue(s string) (value, rest string, isParam, ok bool) {
	s = strings.TrimLeft(s, " \t")
	if !strings.HasPrefix(s, "=") {
		return "", s, false, false
	}
	s = strings.TrimLeft(s[1:], " \t")
	if strings.HasPrefix(s, `"`) {
		value, rest, ok = quoted(s[1:])
		return value, rest, true, ok
	}
	value, rest = token(s)
	return value, rest, true, value != ""
}

// quoted reads to the end of a quoted string whose opening quote is gone
// (RFC 9110 §5.6.4); control characters and what is not ASCII are refused.
func quoted(s string) (value, rest string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return b.String(), s[i+1:], true
		case c == '\\':
			if i++; i == len(s) || s[i] < ' ' || s[i] > '~' {
				return "", "", false
			}
			b.WriteByte(s[i])
		case c < ' ' && c != '\t' || c > '~':
			return "", "", false
		default:
			b.WriteByte(c)
		}
	}
	return "", "", false
}

// commas drops space and empty elements of a list before the next one.
func commas(s string) (rest string, comma bool) {
	rest = strings.TrimLeft(s, " \t,")
	return rest, strings.Contains(s[:len(s)-len(rest)], ",")
}

// token reads the longest token (RFC 9110 §5.6.2); "" when there is none.
func token(s string) (word, rest string) {
	end := 0
	for end < len(s) && isTokenChar(s[end]) {
		end++
	}
	return s[:end], s[end:]
}

func alphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

func isTokenChar(c byte) bool {
	return alphanumeric(c) || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// isToken68 are the characters of a token68, and of a bearer token
// (RFC 9110 §11.2, RFC 6750 §2.1).
func isToken68(c byte) bool {
	return alphanumeric(c) || strings.IndexByte("-._~+/", c) >= 0
}
