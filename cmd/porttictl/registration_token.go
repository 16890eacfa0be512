package main

import (
	"time"

	"github.com/portti-id/portti/internal/openid"
)

// registrationTokenView is an initial access token as printed: without its hash.
type registrationTokenView struct {
	ID      string    `json:"id"`
	State   string    `json:"state"`
	Note    string    `json:"note,omitempty"`
	Uses    int64     `json:"uses"`
	Used    int64     `json:"used"`
	Created time.Time `json:"created,omitzero"`
	Expires time.Time `json:"expires,omitzero"`
	Revoked time.Time `json:"revoked,omitzero"`
}

func viewRegistrationToken(t openid.RegistrationToken) registrationTokenView {
	v := registrationTokenView{ID: t.ID, State: "active", Note: t.Note, Uses: t.Uses, Used: t.Used, Created: t.Created, Expires: t.Expires, Revoked: t.Revoked}
	switch {
	case !t.Revoked.IsZero():
		v.State = "revoked"
	case t.Used >= t.Uses:
		v.State = "used up"
	case !time.Now().Before(t.Expires):
		v.State = "expired"
	}
	return v
}
