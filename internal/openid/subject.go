package openid

// subject is the sub that a client sees of a user (OpenID Connect Core §8).
func (p *Provider) subject(_ Client, user string) string { return user }

// userOf is the user whom a client means by a sub; false for nobody of ours.
func (p *Provider) userOf(_ Client, sub string) (string, bool) { return sub, sub != "" }
