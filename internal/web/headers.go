package web

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// policy is the Content-Security-Policy of every answer: nothing but our own
// files, no frames, no plugins, forms to ourselves (ASVS 3.4.3, 3.4.6).
const policy = "default-src 'none'; style-src 'self'; " + imgSrc + "; script-src 'self'; font-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; object-src 'none'; frame-ancestors 'none'; " + formAction

const (
	cspHeader  = "Content-Security-Policy"
	formAction = "form-action 'self'"
	imgSrc     = "img-src 'self' data:"
	frameSrc   = "frame-src" // not in the policy: default-src forbids frames
)

// headers sets what every answer carries; a handler may override.
func (s *Site) headers(h http.Header) {
	h.Set(cspHeader, policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	// Other sites learn nothing. "no-referrer" would do no more, and would make
	// browsers send "Origin: null" with our own forms, which Protect could then not
	// tell from another site's where Sec-Fetch-Site is missing.
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
	h.Set("Cache-Control", "no-store")
	if s.secure {
		h.Set("Strict-Transport-Security", "max-age=63072000; includeSubDomains") // two years (ASVS 3.4.1)
	}
}

// origin is what may stand in form-action: scheme://host with an optional
// wildcard label and port, or the scheme of a native app.
var origin = regexp.MustCompile(`^(https?://(\*\.)?[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?|[a-z][a-z0-9+.-]*:)$`)

// AllowFormAction lets the forms of this answer lead to more origins than our
// own. Chromium applies form-action to the redirects after a POST too, so a page
// whose form ends at a client or at the card host must name their origins:
// "https://service.example.fi", "https://*.card.example.fi:8443",
// "com.example.app:". What is not an origin is left out, and the browser then
// stops the form.
func AllowFormAction(w http.ResponseWriter, origins ...string) { allow(w, formAction, origins) }

// AllowFrames lets this answer show pages of other origins in frames: a service's
// front-channel logout.
func AllowFrames(w http.ResponseWriter, origins ...string) {
	h := w.Header()
	if csp := h.Get(cspHeader); csp != "" && !strings.Contains(csp, frameSrc) {
		h.Set(cspHeader, csp+"; "+frameSrc) // without a source: none
	}
	allow(w, frameSrc, onWeb(origins))
}

// AllowImages lets this answer show pictures of other origins: a service's logo.
func AllowImages(w http.ResponseWriter, origins ...string) { allow(w, imgSrc, onWeb(origins)) }

// allow adds origins to a directive of this answer's policy.
func allow(w http.ResponseWriter, directive string, origins []string) {
	h := w.Header()
	csp := h.Get(cspHeader)
	for _, o := range origins {
		if !origin.MatchString(o) || unsafeScheme(o) {
			continue
		}
		head, tail, ok := strings.Cut(csp, directive)
		if !ok {
			return
		}
		csp = head + directive + " " + o + tail
	}
	h.Set(cspHeader, csp)
}

// onWeb leaves out the schemes of native apps, which frame and show nothing.
func onWeb(origins []string) []string {
	return slices.DeleteFunc(slices.Clone(origins), func(o string) bool { return !strings.Contains(o, "://") })
}

func unsafeScheme(o string) bool {
	switch o {
	case "javascript:", "data:", "blob:", "filesystem:", "vbscript:", "about:", "http:", "https:":
		return true
	}
	return false
}
