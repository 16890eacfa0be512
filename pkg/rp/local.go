package rp

import (
	"net/http"
	"net/url"
	"strings"
)

// maxReturnTo bounds the addresses that are kept for after a sign-in.
const maxReturnTo = 4096

// local tells whether a target stays in this application whatever a browser makes
// of it. Browsers take "//host", "/\host" and, since they drop tabs and newlines,
// "/<tab>/host" for other hosts (WHATWG URL §4.4).
func local(target string) bool {
	if len(target) > maxReturnTo || !strings.HasPrefix(target, "/") || strings.HasPrefix(target, "//") || strings.Contains(target, `\`) {
		return false
	}
	u, err := url.Parse(target) // refuses control characters
	return err == nil && u.Scheme == "" && u.Host == "" && u.User == nil && u.Opaque == ""
}

// localOr is the target if it is local, or fallback.
func localOr(target, fallback string) string {
	if local(target) {
		return target
	}
	return fallback
}

// here is the address of the request as the browser knows it, before any
// http.StripPrefix.
func here(r *http.Request) string {
	if strings.HasPrefix(r.RequestURI, "/") {
		return r.RequestURI
	}
	return r.URL.RequestURI()
}

// navigation tells whether a browser asks for a page to show, so that it can be
// sent to the provider. Scripts and images can not (Fetch Metadata). Browsers
// without the header get the benefit of the doubt.
func navigation(r *http.Request) bool {
	mode := r.Header.Get("Sec-Fetch-Mode")
	return mode == "" || mode == "navigate"
}
