package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
)

// object is JSON as the suite's configuration has it.
type object map[string]any

// plan is a plan of the suite, with the clients that it is given.
type plan struct {
	file, about   string
	first, second string
	third         string // of client_secret_post
}

var plans = []plan{
	{file: "oidcc-config", about: "oidcc-config-certification-test-plan"},
	{file: "oidcc-basic", about: "oidcc-basic-certification-test-plan and oidcc-formpost-basic-certification-test-plan, static_client", first: "basic-1", second: "basic-2", third: "post"},
	{file: "oidcc-test", about: "oidcc-test-plan, static_client, private_key_jwt", first: "jwt-1", second: "jwt-2"},
	{file: "oidcc-rp-initiated-logout", about: "oidcc-rp-initiated-logout-certification-test-plan, static_client", first: "logout"},
	{file: "oidcc-backchannel-logout", about: "oidcc-backchannel-rp-initiated-logout-certification-test-plan, static_client", first: "logout-back"},
	{file: "oidcc-frontchannel-logout", about: "oidcc-frontchannel-rp-initiated-logout-certification-test-plan, static_client", first: "logout-front"},
	{file: "oidcc-dynamic", about: "oidcc-dynamic-certification-test-plan, dynamic_client"},
	{file: "fapi2-dpop", about: "fapi2-security-profile-final-test-plan: private_key_jwt, dpop, openid_connect, plain_fapi", first: "fapi-dpop-1", second: "fapi-dpop-2"},
	{file: "fapi2-mtls", about: "fapi2-security-profile-final-test-plan: mtls, mtls, openid_connect, plain_fapi", first: "fapi-mtls-1", second: "fapi-mtls-2"},
	{file: "fapi2-client-credentials", about: "fapi2-security-profile-final-test-plan: private_key_jwt, dpop, fapi_client_credentials_grant", first: "fapi-machine-1", second: "fapi-machine-2"},
}

// writePlans writes a configuration for each plan, to be pasted into the suite.
func writePlans(p place, all registered) error {
	for _, plan := range plans {
		o := object{"alias": p.Alias, "description": "Portti: " + plan.about, "server": object{"discoveryUrl": p.Issuer + "/.well-known/openid-configuration"},
			"browser": browser(p), "override": overrides(p)}
		if strings.HasPrefix(plan.file, "fapi2") {
			o["resource"] = object{"resourceUrl": p.Issuer + "/userinfo"}
		}
		if plan.file == "fapi2-client-credentials" { // of our resources the one that a program opens
			o["resource"] = object{"resourceUrl": p.Issuer + "/api/v1/clients"}
		}
		if plan.file == "fapi2-mtls" {
			o["resource"] = object{"resourceUrl": p.MTLS + "/userinfo"}
		}
		for member, id := range map[string]string{"client": plan.first, "client2": plan.second, "client_secret_post": plan.third} {
			if id == "" {
				continue
			}
			c := all[id]
			o[member] = c.forSuite()
			if c.TLS != nil {
				cert, key, err := pairPEM(*c.TLS)
				if err != nil {
					return err
				}
				ca, err := os.ReadFile(filepath.Join(p.Data, clientCA))
				if err != nil {
					return err
				}
				o[strings.Replace(member, "client", "mtls", 1)] = object{"cert": string(cert), "key": string(key), "ca": string(ca)}
			}
		}
		body, err := indent(o)
		if err != nil {
			return err
		}
		if err := p.write(filepath.Join(plansFolder, plan.file+".json"), body); err != nil {
			return err
		}
	}
	return nil
}

func (c client) forSuite() object {
	o := object{"client_id": c.ID, "scope": c.Scope}
	if c.Secret != "" {
		o["client_secret"] = c.Secret
	}
	if c.Keys != nil {
		var set any
		_ = json.Unmarshal(c.Keys, &set) // of our own making
		o["jwks"] = set
	}
	return o
}

// command is one step of the suite's browser.
type command = []any

// task is a page and what is done there.
func task(name, match string, optional bool, commands ...command) object {
	o := object{"task": name, "match": match, "commands": commands}
	if optional {
		o["optional"] = true
	}
	return o
}

// browser signs in: ids and addresses are a contract of the sign-in pages.
func browser(p place) []object {
	page := p.Issuer + "/signin/*"
	typed := func(id, text string) command { return command{"text", "id", id, text} }
	click := func(id string) command { return command{"click", "id", id} }
	done := task("Verify", p.Suite+"/test/a/"+p.Alias+"/callback*", true, command{"wait", "id", "submission_complete", 10})
	return []object{
		{"match": p.Issuer + "/authorize*", "tasks": []object{
			task("Password", page, true, typed("username", username), typed("password", secret), click("login-submit")),
			task("Code", page, true, typed("code", constant), click("code-submit")),
			task("Consent", page, true, click("consent-allow")), // of clients that registered themselves
			done,
		}},
		{"match": p.Issuer + "/end_session*", "tasks": []object{
			task("Confirm", p.Issuer+"/end_session*", true, click("logout-confirm")),
			task("Done", p.Suite+"/test/a/"+p.Alias+"/post_logout_redirect*", true, command{"wait", "id", "submission_complete", 10}),
		}},
	}
}

// overrides are for modules whose browser meets another page: an error, or a
// person who cancels.
func overrides(p place) object {
	sees := func(match, id string) object {
		return object{"browser": []object{{"match": match, "tasks": []object{task("Page", match, false, command{"wait", "id", id, 10, ".*", "update-image-placeholder"})}}}}
	}
	authorize, logout := p.Issuer+"/authorize*", p.Issuer+"/end_session*"
	o := object{"fapi2-security-profile-final-user-rejects-authentication": object{"browser": []object{{"match": authorize, "tasks": []object{
		task("Cancel", p.Issuer+"/signin/*", true, command{"click", "id", "login-cancel"}),
	}}}}}
	for _, module := range []string{"oidcc-ensure-registered-redirect-uri", "oidcc-ensure-redirect-uri-in-authorization-request", "oidcc-redirect-uri-query-mismatch", "oidcc-redirect-uri-query-added"} {
		o[module] = sees(authorize, "oauth-error")
	}
	for _, module := range []string{"oidcc-rp-initiated-logout-bad-post-logout-redirect-uri", "oidcc-rp-initiated-logout-query-added-to-post-logout-redirect-uri",
		"oidcc-rp-initiated-logout-modified-id-token-hint", "oidcc-rp-initiated-logout-bad-id-token-hint", "oidcc-rp-initiated-logout-no-id-token-hint"} {
		o[module] = sees(logout, "oauth-error")
	}
	return o
}
