package rp

import (
	"errors"
	"net/http"
	"slices"
	"strings"
)

// StepUp looks at the answer of an API that was called with the session's access
// token. If the API wants a stronger or more recent sign-in (RFC 9470), the person
// is sent to sign in so and comes back to the page that was asked for, as with
// Require; scripts get the demand passed on. It is false, with nothing written,
// for every other answer.
//
//	res, err := http.DefaultClient.Do(call)
//	…
//	defer res.Body.Close()
//	if p.StepUp(w, r, res) {
//		return
//	}
//
// No API can bring a sign-in below Config.DefaultACR. A session that has what is
// demanded and is refused all the same is not sent in circles: Config.OnError gets
// UnmetRequirements.
func (p *RP) StepUp(w http.ResponseWriter, r *http.Request, res *http.Response) bool {
	o, ok := ReadChallenge(res)
	if !ok {
		return false
	}
	o.ReturnTo = p.cameFrom(r)
	unmet := func(acr, why string) bool {
		p.fail(w, r, &Error{Code: UnmetRequirements, ReturnTo: p.config.Home, ACR: acr, Err: errors.New(why)})
		return true
	}
	asked := len(o.ACRValues) > 0
	o.ACRValues = slices.DeleteFunc(o.ACRValues, func(acr string) bool { return !p.Satisfies(acr, p.config.DefaultACR) })
	s, err := p.Session(r)
	switch {
	case err != nil && !errors.Is(err, ErrNoSession):
		p.fail(w, r, &Error{Code: TemporarilyUnavailable, ReturnTo: o.ReturnTo, Err: err})
	case asked && len(o.ACRValues) == 0:
		return unmet("", "an API demands levels none of which satisfies Config.DefaultACR")
	case err == nil && p.meets(s.ACR, o.ACRValues) && p.young(s, o):
		return unmet(s.ACR, "an API refuses a sign-in that meets its demands")
	case !navigation(r):
		Challenge(w, strings.Join(o.ACRValues, " "), o.MaxAge)
	default:
		p.Login(w, r, o)
	}
	return true
}

// young tells whether a sign-in is so recent that another would not help: not half
// as old as it may be, so that clocks that differ a little do not matter.
func (p *RP) young(s *Session, o LoginOptions) bool {
	return o.MaxAge == 0 || !s.AuthTime.IsZero() && p.config.Now().Sub(s.AuthTime) < o.MaxAge/2
}
