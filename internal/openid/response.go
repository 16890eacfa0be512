package openid

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"strings"

	"github.com/portti-id/portti/internal/keys"
)

// Error is an answer that a client's software understands. Code is of RFC 6749
// §4.1.2.1, OpenID Connect Core §3.1.2.6 or a registered extension; Description
// is fixed ASCII text without quotes or backslashes, as the grammar has it, and
// never holds input.
type Error struct{ Code, Description string }

func (e Error) Error() string { return e.Code + ": " + e.Description }

// wrongParam is an Error with the name of the parameter that is to blame, for
// those who mend the client.
type wrongParam struct {
	cause Error
	name  string
}

func wrong(name, code, description string) error { return wrongParam{Error{code, description}, name} }

func (w wrongParam) Error() string { return w.cause.Error() }
func (w wrongParam) Unwrap() error { return w.cause }

// blamed is the name of the parameter that an error is about, "" when it is about none.
func blamed(err error) string {
	var w wrongParam
	_ = errors.As(err, &w)
	return w.name
}

// Errors that pages may answer a client with.
var (
	AccessDenied        = Error{"access_denied", "The person cancelled the sign-in."}
	NotAllowed          = Error{"access_denied", "The person did not allow the client what it asked for."}
	ConsentRequired     = Error{"consent_required", "The person must allow the client what it asks for."}
	LoginRequired       = Error{"login_required", "The person must sign in."}
	InteractionRequired = Error{"interaction_required", "The person has something to do before signing in to this client."}
	Unmet               = Error{"unmet_authentication_requirements", "The person cannot sign in at the demanded level."}
)

var (
	errServer      = Error{"server_error", "The provider failed. It has been logged."}
	errUnavailable = Error{"temporarily_unavailable", "The provider is not available at the moment."}
)

// target is where an authorization response goes. Its address is proved to be
// the client's before there is a target.
type target struct {
	URI    string         `json:"uri"`
	Mode   string         `json:"mode"` // one of responseModes or of signedModes
	State  string         `json:"state,omitempty"`
	Client string         `json:"client,omitempty"` // the audience of a signed response
	Alg    keys.Algorithm `json:"alg,omitempty"`    // of its signature
}

// Response modes (OAuth 2.0 Multiple Response Type Encoding Practices §2.1,
// OAuth 2.0 Form Post Response Mode). Query is the code flow's own.
const (
	modeQuery    = "query"
	modeFragment = "fragment"
	modeFormPost = "form_post"
)

var responseModes = []string{modeQuery, modeFragment, modeFormPost}

// origin is the scheme and host, for a page's form-action.
func (t target) origin() string {
	u, err := url.Parse(t.URI)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// answer writes an authorization response. It is the only function that does:
// success and errors alike go out in the mode that was asked for, with the
// client's state and our iss (RFC 9207).
func (p *Provider) answer(w http.ResponseWriter, r *http.Request, to target, params url.Values) {
	if to.State != "" {
		params.Set("state", to.State)
	}
	params.Set("iss", p.Issuer)
	private(w)
	mode := to.Mode
	if carrier, signed := signedModes[mode]; signed {
		response, err := p.signResponse(to, params)
		if err != nil {
			p.Log.ErrorContext(r.Context(), "sign an authorization response", "client", to.Client, "error", err)
			p.problem(w, r, Problem{Status: http.StatusInternalServerError, Code: errServer.Code, Description: errServer.Description})
			return
		}
		mode, params = carrier, url.Values{"response": {response}}
	}
	switch mode {
	case modeFormPost:
		p.formPost(w, r, to, params)
	case modeFragment:
		see(w, to.URI+"#"+params.Encode())
	default:
		separator := "?"
		if strings.Contains(to.URI, "?") {
			separator = "&" // a registered query stays as it is (RFC 6749 §3.1.2)
		}
		see(w, to.URI+separator+params.Encode())
	}
}

// answerError tells the client. Errors that are ours are logged, and told of
// without their text.
func (p *Provider) answerError(w http.ResponseWriter, r *http.Request, to target, client string, err error) {
	var e Error
	switch {
	case errors.As(err, &e):
		p.Log.InfoContext(r.Context(), "authorization refused", "client", client, "code", e.Code, "description", e.Description, "parameter", blamed(err))
	case unavailable(err):
		e = errUnavailable
		p.Log.ErrorContext(r.Context(), "authorization failed", "client", client, "error", err)
	default:
		e = errServer
		p.Log.ErrorContext(r.Context(), "authorization failed", "client", client, "error", err)
	}
	params := url.Values{"error": {e.Code}, "error_description": {e.Description}}
	reference := p.blame(r, p.known(r.Context(), client), err)
	if reference == "" {
		reference = p.referenceOf(r) // of its trace: nothing was wrong with the request
	}
	if reference != "" {
		params.Set("error_uri", p.refusalPage(reference))
	}
	p.answer(w, r, to, params)
}

// see redirects with 303: unlike 302 and 307 it never makes a browser send a
// password form on to the client (RFC 9700 §4.12).
func see(w http.ResponseWriter, uri string) {
	w.Header().Set("Location", uri)
	w.WriteHeader(http.StatusSeeOther)
}

const submitScript = `document.forms[0].submit()`

var formPostPage = template.Must(template.New("form_post").Parse(`<!doctype html>
<html lang="{{.Lang}}">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{{.Label}}</title></head>
<body>
<form method="post" action="{{.Action}}">
{{range $name, $values := .Params}}{{range $values}}<input type="hidden" name="{{$name}}" value="{{.}}">
{{end}}{{end}}<noscript><button type="submit">{{.Label}}</button></noscript>
</form>
<script>` + submitScript + `</script>
</body>
</html>
`))

// formPostPolicy allows the one script by its hash. form-action stays open to
// https: Chromium holds it against every redirect that follows the post, and
// where the client sends the browser next is not ours to know.
var formPostPolicy = func() string {
	sum := sha256.Sum256([]byte(submitScript))
	return "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; script-src 'sha256-" +
		base64.StdEncoding.EncodeToString(sum[:]) + "'; form-action https: "
}()

func (p *Provider) formPost(w http.ResponseWriter, r *http.Request, to target, params url.Values) {
	page := struct {
		Lang, Label string
		Action      template.URL // an exactly registered address
		Params      url.Values
	}{"en", "Continue", template.URL(to.URI), params}
	if p.Continue != nil {
		page.Lang, page.Label = p.Continue(r)
	}
	var body bytes.Buffer
	if err := formPostPage.Execute(&body, page); err != nil {
		p.Log.ErrorContext(r.Context(), "form_post page", "error", err)
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", formPostPolicy+to.origin())
	_, _ = w.Write(body.Bytes())
}

var problemPage = template.Must(template.New("problem").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Sign-in could not start</title></head>
<body><main id="oauth-error"><h1>The sign-in could not be started</h1>
<p>The service that sent you here made a request that cannot be accepted. You have not been signed in.</p>
<p><code>{{.Code}}</code> {{.Description}}</p></main></body></html>
`))

// plainProblem is the error page of a provider without pages.
func plainProblem(w http.ResponseWriter, e Problem) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	w.WriteHeader(e.Status)
	_ = problemPage.Execute(w, e)
}
