package signin

import "net/http"

// resume goes on with the request that waited while its person linked a way of
// signing in (S20). User Services sends people here; they need not know which
// request it is.
func (p *Pages) resume(w http.ResponseWriter, r *http.Request) error {
	s, err := p.current(r)
	if err != nil {
		return err
	}
	if s != nil && s.Waiting != "" && p.Login.Now().Before(s.WaitingUntil) {
		return see(w, signInPath(s.Waiting))
	}
	if p.UserServices == "" {
		return see(w, "/")
	}
	return p.toUserServices(w, r)
}
