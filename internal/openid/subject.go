package openid

// subject is the sub that a client sees of a user (OpenID Connect Core §8).
func (p *Provider) subject(_ Client, user string) string { return user }
