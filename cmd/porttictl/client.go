package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/keys"
	"github.com/portti-id/portti/internal/openid"
)

// clientView is a client as printed: without the hash of its secret.
type clientView struct {
	ID                     string             `json:"id"`
	Name                   map[string]string  `json:"name"`
	State                  string             `json:"state"`
	AuthMethod             openid.AuthMethod  `json:"auth_method"`
	Native                 bool               `json:"native"`
	RedirectURIs           []string           `json:"redirect_uris"`
	PostLogoutRedirectURIs []string           `json:"post_logout_redirect_uris,omitempty"`
	BackChannelLogoutURI   string             `json:"backchannel_logout_uri,omitempty"`
	HomeURI                string             `json:"home_uri,omitempty"`
	GrantTypes             []openid.GrantType `json:"grant_types"`
	Scopes                 []string           `json:"scopes"`
	MinimumACR             string             `json:"minimum_acr,omitempty"`
	Methods                []string           `json:"methods,omitempty"`
	Algorithm              keys.Algorithm     `json:"algorithm"`
	RequirePKCE            bool               `json:"require_pkce"`
	AccessTokenTTL         string             `json:"access_token_ttl,omitempty"`
	OldSecretUntil         time.Time          `json:"old_secret_until,omitzero"` // the secret before the last change works until then
	openid.Options
	Created  time.Time `json:"created,omitzero"`
	Disabled time.Time `json:"disabled,omitzero"`
}

func viewClient(c openid.Client) clientView {
	v := clientView{ID: c.ID, Name: c.Name, State: state(c.Disabled), AuthMethod: c.AuthMethod, Native: c.Native, RedirectURIs: c.RedirectURIs,
		PostLogoutRedirectURIs: c.PostLogoutRedirectURIs, BackChannelLogoutURI: c.BackChannelLogoutURI, HomeURI: c.HomeURI, GrantTypes: c.GrantTypes,
		Scopes: c.Scopes, MinimumACR: c.MinimumACR, Methods: methodNames(identity.Methods(c.Methods)), Algorithm: c.Algorithm, RequirePKCE: c.RequirePKCE,
		OldSecretUntil: c.OldSecretUntil, Options: c.Options, Created: c.Created, Disabled: c.Disabled}
	v.RegistrationTokenHash = "" // no business of whoever looks
	if c.AccessTokenTTL > 0 {
		v.AccessTokenTTL = c.AccessTokenTTL.String()
	}
	return v
}

// clientFlags are a registration, for create and change. They are named as
// openid.ValidateClient names what is wrong.
type clientFlags struct {
	names, redirects, postLogout, grants, scopes, methods []string
	backchannel, home, authMethod, minimumACR, algorithm  string
	native, pkce, forwards                                bool
	ttl                                                   time.Duration
}

func (f *clientFlags) add(c *cobra.Command) {
	flags := c.Flags()
	flags.StringArrayVar(&f.names, "name", nil, "`fi=…`, sv=… or en=…: what sign-in pages call it; repeat for other languages")
	flags.StringArrayVar(&f.redirects, "redirect-uris", nil, "`address` that codes go to, compared exactly; repeat for more")
	flags.StringArrayVar(&f.postLogout, "post-logout-redirect-uris", nil, "`address` to return to after logout; repeat for more")
	flags.StringVar(&f.backchannel, "backchannel-logout-uri", "", "`address` that logout notices go to")
	flags.StringVar(&f.home, "home-uri", "", "`address` of its start page")
	flags.StringSliceVar(&f.grants, "grant-types", []string{string(openid.GrantCode)}, "authorization_code, refresh_token and others of the token endpoint")
	flags.StringSliceVar(&f.scopes, "scopes", []string{"openid", "profile"}, "what it may ask for")
	flags.StringVar(&f.authMethod, "auth-method", string(openid.AuthBasic), "client_secret_basic, client_secret_post or none (public); what needs keys comes by client import")
	flags.BoolVar(&f.native, "native", false, "an app on people's machines: loopback redirect addresses match any port")
	flags.StringVar(&f.minimumACR, "minimum-acr", "", "`level` demanded of every sign-in, such as urn:portti:acr:card")
	flags.StringSliceVar(&f.methods, "methods", nil, "sign-in `methods` that it accepts: card,app,token; default: all")
	flags.StringVar(&f.algorithm, "algorithm", string(keys.RS256), "of ID tokens: RS256, ES256, EdDSA or PS256")
	flags.BoolVar(&f.pkce, "require-pkce", true, "refuse requests without PKCE (S256)")
	flags.BoolVar(&f.forwards, "forwards-addresses", false, "believe it for whose browser it calls the API: for User Services and the Console")
	flags.DurationVar(&f.ttl, "access-token-ttl", 0, "`life` of its access tokens, 1m to 1h; default: the installation's")
}

// edit applies the flags that were given; with all also those that were not.
func (f *clientFlags) edit(cmd *cobra.Command, all bool) func(c *openid.Client) error {
	return func(c *openid.Client) error {
		names, err := f.languages()
		if err != nil {
			return err
		}
		methods, err := identity.ParseMethods(f.methods)
		if err != nil {
			return err
		}
		grants := make([]openid.GrantType, len(f.grants))
		for i, g := range f.grants {
			grants[i] = openid.GrantType(g)
		}
		for flag, set := range map[string]func(){
			"name": func() { c.Name = names }, "redirect-uris": func() { c.RedirectURIs = f.redirects }, "home-uri": func() { c.HomeURI = f.home },
			"post-logout-redirect-uris": func() { c.PostLogoutRedirectURIs = f.postLogout }, "backchannel-logout-uri": func() { c.BackChannelLogoutURI = f.backchannel },
			"grant-types": func() { c.GrantTypes = grants }, "scopes": func() { c.Scopes = f.scopes }, "auth-method": func() { c.AuthMethod = openid.AuthMethod(f.authMethod) },
			"native": func() { c.Native = f.native }, "minimum-acr": func() { c.MinimumACR = f.minimumACR }, "methods": func() { c.Methods = uint8(methods) },
			"algorithm": func() { c.Algorithm = keys.Algorithm(f.algorithm) }, "require-pkce": func() { c.RequirePKCE = f.pkce },
			"forwards-addresses": func() { c.ForwardsAddresses = f.forwards }, "access-token-ttl": func() { c.AccessTokenTTL = f.ttl },
		} {
			if all || cmd.Flags().Changed(flag) {
				set()
			}
		}
		return nil
	}
}

// languages reads fi=Palvelu.
func (f *clientFlags) languages() (map[string]string, error) {
	names := make(map[string]string)
	for _, n := range f.names {
		lang, name, ok := strings.Cut(n, "=")
		if _, twice := names[lang]; !ok || twice {
			return nil, fault.New(fault.Invalid, "client_invalid", "name: %q is not of the form en=The Service, each language once.", n).In("name")
		}
		names[lang] = name
	}
	return names, nil
}

// clientState is disable or enable.
func (t *tool) clientState(use, short string, do func(ctx context.Context, d *desk, id string) (openid.Client, error)) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: cobra.ExactArgs(1)}
	t.withWhy(c, func(ctx context.Context, d *desk, args []string) error {
		c, err := do(ctx, d, args[0])
		if err != nil {
			return err
		}
		return d.done(outcome{Result: viewClient(c)})
	})
	return c
}

// withWhy has a command change clients, for a reason that may be given.
func (t *tool) withWhy(c *cobra.Command, f func(ctx context.Context, d *desk, args []string) error) {
	why := because(c, false)
	c.RunE = t.with(func(ctx context.Context, d *desk, args []string) error {
		ctx, err := openid.Because(ctx, *why)
		if err != nil {
			return err
		}
		return f(ctx, d, args)
	})
}

// keepSecret goes with every client secret.
const keepSecret = "The client secret is shown here this once; only a hash of it is kept."

// warning is what a registration permits and maybe should not.
func warning(c openid.Client) string {
	if c.AuthMethod != openid.AuthNone && !c.RequirePKCE {
		return fmt.Sprintf("%s may send requests without PKCE.", c.ID)
	}
	return ""
}
