// Package service is a protected service in one file: copy it to begin your own.
//
// It shows what an application has to do to sign its people in: pages that demand
// a sign-in and keep their deep links, a page that demands the card, a look at
// whether somebody is signed in elsewhere, pages for refused sign-ins, logout, and
// back-channel logout. All the protocol is in pkg/rp; here are pages and texts.
package service

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html/template"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/portti-id/portti/pkg/rp"
)

// Config is what the service must be told. Register URL+"/callback",
// URL+"/logout/callback" and URL+"/logout/backchannel" with the provider.
type Config struct {
	URL          string // where the service is, as browsers see it: "https://service.example.fi"
	Issuer       string
	ClientID     string
	ClientSecret string            // empty for a public client
	Name         map[string]string // what the service is called: language → name; what is left out is called as in texts
	HTTPClient   *http.Client      // to reach the provider; nil: the usual one
	Store        rp.Store          // nil: memory, for one replica
	Now          func() time.Time  // nil: time.Now
	Log          *slog.Logger      // nil: slog.Default
}

// service is the application: the relying party, and how its pages look.
type service struct {
	rp     *rp.RP
	name   map[string]string // language → name
	log    *slog.Logger
	secure bool
	csp    string
}

// New assembles the service. It does not need the provider to be up.
func New(c Config) (http.Handler, error) {
	issuer, err := url.Parse(c.Issuer)
	if err != nil {
		return nil, fmt.Errorf("service: issuer: %w", err)
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	s := &service{
		name:   maps.Clone(texts["service"]),
		log:    c.Log,
		secure: strings.HasPrefix(c.URL, "https:"),
		// The logout form leads to the provider, and browsers hold form-action against
		// redirects as well.
		csp: "default-src 'none'; style-src 'self'; form-action 'self' " + issuer.Scheme + "://" + issuer.Host +
			"; base-uri 'none'; frame-ancestors 'none'",
	}
	maps.Copy(s.name, c.Name)
	origin := strings.TrimSuffix(c.URL, "/")
	s.rp, err = rp.New(context.Background(), rp.Config{
		Issuer:                c.Issuer,
		ClientID:              c.ClientID,
		ClientSecret:          c.ClientSecret,
		RedirectURL:           origin + "/callback",
		PostLogoutRedirectURL: origin + "/logout/callback",
		SignedOut:             "/signed-out",
		Scopes:                []string{"profile", "email"},
		DefaultACR:            rp.ACRPasswordOTP, // never a password alone (S1)
		UILocales:             func(r *http.Request) []string { return []string{language(r)} },
		OnError:               s.signInFailed,
		HTTPClient:            c.HTTPClient,
		Store:                 c.Store,
		Now:                   c.Now,
		Log:                   c.Log,
	})
	if err != nil {
		return nil, err
	}

	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.home)
	mux.HandleFunc("GET /login", s.login)
	mux.HandleFunc("GET /check", s.check)
	mux.HandleFunc("GET /callback", s.rp.Callback)
	mux.Handle("GET /records/{id}", s.rp.Require("", http.HandlerFunc(s.record)))
	mux.Handle("GET /secret", s.rp.Require(rp.ACRCard, http.HandlerFunc(s.secret)))
	mux.HandleFunc("POST /logout", s.rp.Logout)
	mux.HandleFunc("GET /logout/callback", s.rp.LogoutCallback)
	mux.HandleFunc("POST /logout/backchannel", s.rp.BackChannelLogout)
	mux.HandleFunc("GET /signed-out", s.signedOut)
	mux.HandleFunc("GET /style.css", s.style)
	mux.HandleFunc("/", s.notFound)
	return s.headers(mux), nil
}

// headers are the same for every answer.
func (s *service) headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", s.csp)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if s.secure {
			h.Set("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
		}
		if chosen := r.URL.Query().Get("lang"); slices.Contains(languages, chosen) {
			http.SetCookie(w, &http.Cookie{Name: "lang", Value: chosen, Path: "/", MaxAge: 365 * 24 * 3600,
				Secure: s.secure, HttpOnly: true, SameSite: http.SameSiteLaxMode})
		}
		next.ServeHTTP(w, r)
	})
}

// login is behind the "Log in" link. Pages that need a sign-in ask for it
// themselves: see Require in New.
func (s *service) login(w http.ResponseWriter, r *http.Request) {
	s.rp.Login(w, r, rp.LoginOptions{ReturnTo: r.URL.Query().Get("to")})
}

// check asks the provider, without any page, whether this browser is signed in
// there (prompt=none). "No" comes back as an error, see signInFailed.
func (s *service) check(w http.ResponseWriter, r *http.Request) {
	s.rp.Login(w, r, rp.LoginOptions{Prompt: "none"})
}

// Pages. A struct a page; frame is what they share.

type frame struct {
	Lang    string
	Service string // its name
	Path    string // of the language links
	Title   string // key of texts
	Who     string // "" when nobody is signed in
	Style   string
	Current map[string]bool // language → chosen
}

func (s *service) frame(r *http.Request, title string, session *rp.Session) frame {
	lang := language(r)
	f := frame{Lang: lang, Service: s.name[lang], Path: r.URL.Path, Title: title, Style: stylePath, Current: map[string]bool{lang: true}}
	if session != nil {
		f.Who = cmp.Or(session.Claim("name"), session.Claim("preferred_username"), session.Subject)
	}
	return f
}

// T is the text of a key in the page's language.
func (f frame) T(key string, args ...any) (string, error) {
	text, ok := texts[key][f.Lang]
	if !ok {
		return "", fmt.Errorf("no text %q in %q", key, f.Lang)
	}
	if len(args) > 0 {
		text = fmt.Sprintf(text, args...)
	}
	return text, nil
}

type homePage struct {
	frame
	Notice string // key of texts, or ""
}

func (s *service) home(w http.ResponseWriter, r *http.Request) {
	session, err := s.rp.Session(r) // on an error the visitor is nobody: the page needs no more
	if err != nil {
		session = nil
	}
	page := homePage{frame: s.frame(r, "home.title", session)}
	switch r.URL.Query().Get("sso") {
	case rp.LoginRequired:
		page.Notice = "sso.none"
	case rp.InteractionRequired:
		page.Notice = "sso.unfinished"
	case "":
	default:
		page.Notice = "sso.failed"
	}
	s.show(w, r, http.StatusOK, homeTemplate, page)
}

type recordPage struct {
	frame
	ID       string
	ACR      string
	Level    string // key of texts that explains ACR
	AMR      string
	AuthTime string
	Claims   []claim
	Card     bool // signed in with the card already
}

type claim struct{ Name, Value string }

func (s *service) record(w http.ResponseWriter, r *http.Request) {
	session := rp.FromContext(r.Context())
	page := recordPage{
		frame: s.frame(r, "record.title", session), ID: r.PathValue("id"),
		ACR: session.ACR, AMR: strings.Join(session.AMR, " "), AuthTime: "–",
		Card: s.rp.Satisfies(session.ACR, rp.ACRCard),
	}
	switch session.ACR {
	case rp.ACRCard:
		page.Level = "acr.card"
	case rp.ACRPasswordOTP:
		page.Level = "acr.code"
	default:
		page.Level = "acr.other"
	}
	if !session.AuthTime.IsZero() {
		page.AuthTime = session.AuthTime.UTC().Format("2006-01-02 15:04:05 UTC")
	}
	for _, name := range slices.Sorted(maps.Keys(session.Claims)) {
		page.Claims = append(page.Claims, claim{name, show(session.Claims[name])})
	}
	s.show(w, r, http.StatusOK, recordTemplate, page)
}

// show writes a claim as text: strings as they are, the rest as JSON.
func show(v any) string {
	if text, ok := v.(string); ok {
		return text
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // the template escapes
	if err := e.Encode(v); err != nil {
		return "?"
	}
	return strings.TrimSpace(b.String())
}

type secretPage struct {
	frame
	ACR string
}

func (s *service) secret(w http.ResponseWriter, r *http.Request) {
	session := rp.FromContext(r.Context())
	s.show(w, r, http.StatusOK, secretTemplate, secretPage{s.frame(r, "secret.title", session), session.ACR})
}

type errorPage struct {
	frame
	Text  string // key of texts
	Code  string
	Retry string // local address
}

// signInFailed is where pkg/rp hands over what it could not finish.
func (s *service) signInFailed(w http.ResponseWriter, r *http.Request, e *rp.Error) {
	if e.Prompt == "none" {
		http.Redirect(w, r, "/?sso="+url.QueryEscape(e.Code), http.StatusSeeOther)
		return
	}
	session, err := s.rp.Session(r) // a step-up that failed leaves the person signed in
	if err != nil {
		session = nil
	}
	page := errorPage{frame: s.frame(r, "error.title", session), Code: e.Code, Retry: "/login"}
	page.Path = "/" // this page itself can not be loaded again
	if e.ReturnTo != "" && e.ReturnTo != "/" {
		page.Retry = e.ReturnTo // it asks for the sign-in that it needs
	}
	switch e.Code {
	case rp.AccessDenied:
		page.Text = "error.denied"
	case rp.UnmetRequirements:
		page.Text = "error.unmet"
	case rp.LoginRequired, rp.InteractionRequired, rp.ConsentRequired, rp.AccountSelection:
		page.Text = "error.interaction"
	case rp.TemporarilyUnavailable, "server_error":
		page.Text = "error.unavailable"
	case rp.CookiesBlocked:
		page.Text = "error.cookies"
	default:
		page.Text = "error.invalid"
	}
	if r.URL.Path == "/logout" {
		page.Title, page.Text, page.Retry = "error.logout.title", "error.logout", "/"
	}
	s.show(w, r, e.Status(), errorTemplate, page)
}

func (s *service) signedOut(w http.ResponseWriter, r *http.Request) {
	if _, err := s.rp.Session(r); err == nil { // a bookmark, or somebody's link: it would be a lie
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	w.Header().Set("Clear-Site-Data", `"cache", "storage"`) // the next person at this computer (S72)
	s.show(w, r, http.StatusOK, signedOutTemplate, s.frame(r, "signedout.title", nil))
}

func (s *service) notFound(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	f := s.frame(r, "notfound.title", nil)
	f.Path = "/"
	s.show(w, r, http.StatusNotFound, notFoundTemplate, f)
}

func (s *service) style(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	w.Header().Set("Cache-Control", "public, max-age=86400") // its address changes with it
	_, _ = w.Write([]byte(style))
}

// show renders a page before a byte of it is sent.
func (s *service) show(w http.ResponseWriter, r *http.Request, status int, t *template.Template, page any) {
	var b bytes.Buffer
	if err := t.Execute(&b, page); err != nil {
		s.log.ErrorContext(r.Context(), "render page", "path", r.URL.Path, "error", err)
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Language", language(r))
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}

// Languages. Finnish comes first: it is the fallback.

var languages = []string{"fi", "sv", "en"}

// language is the person's: chosen by a link, chosen before, or the browser's.
func language(r *http.Request) string {
	if chosen := r.URL.Query().Get("lang"); slices.Contains(languages, chosen) {
		return chosen
	}
	if c, err := r.Cookie("lang"); err == nil && slices.Contains(languages, c.Value) {
		return c.Value
	}
	for tag := range strings.SplitSeq(r.Header.Get("Accept-Language"), ",") { // browsers put the best first
		tag, _, _ = strings.Cut(strings.TrimSpace(tag), ";")
		tag, _, _ = strings.Cut(strings.ToLower(tag), "-")
		if slices.Contains(languages, tag) {
			return tag
		}
	}
	return languages[0]
}

var texts = map[string]map[string]string{
	"service":     {"en": "Records Service", "fi": "Asiakirjapalvelu", "sv": "Dokumenttjänsten"},
	"skip":        {"en": "Skip to content", "fi": "Siirry suoraan sisältöön", "sv": "Gå direkt till innehållet"},
	"lang.menu":   {"en": "Language", "fi": "Kieli", "sv": "Språk"},
	"signedin.as": {"en": "Logged in:", "fi": "Kirjautuneena:", "sv": "Inloggad:"},
	"logout":      {"en": "Log out", "fi": "Kirjaudu ulos", "sv": "Logga ut"},
	"login":       {"en": "Log in", "fi": "Kirjaudu sisään", "sv": "Logga in"},
	"back.home":   {"en": "To the front page", "fi": "Etusivulle", "sv": "Till startsidan"},

	"home.title": {"en": "Welcome", "fi": "Tervetuloa", "sv": "Välkommen"},
	"home.intro": {
		"en": "This is an example of a protected service. It keeps no passwords: the identity provider tells it who you are and how you logged in.",
		"fi": "Tämä on esimerkki suojatusta palvelusta. Sillä ei ole salasanoja: tunnistuspalvelu kertoo sille, kuka olet ja miten kirjauduit.",
		"sv": "Det här är ett exempel på en skyddad tjänst. Den har inga lösenord: identifieringstjänsten berättar för den vem du är och hur du loggade in.",
	},
	"home.try":     {"en": "Try these", "fi": "Kokeile näitä", "sv": "Prova dessa"},
	"home.record":  {"en": "Open record %s", "fi": "Avaa asiakirja %s", "sv": "Öppna dokument %s"},
	"home.record?": {"en": "Needs a login. The link leads to the record even if you have to log in first.", "fi": "Vaatii kirjautumisen. Linkki vie asiakirjaan, vaikka kirjautuisit vasta nyt.", "sv": "Kräver inloggning. Länken leder till dokumentet även om du först måste logga in."},
	"home.secret":  {"en": "Open the restricted area", "fi": "Avaa rajattu alue", "sv": "Öppna det begränsade området"},
	"home.secret?": {"en": "Needs a certificate card, also if you have logged in another way.", "fi": "Vaatii varmennekortin, vaikka olisit kirjautunut muulla tavalla.", "sv": "Kräver ett certifikatkort, även om du har loggat in på ett annat sätt."},
	"home.check":   {"en": "Am I logged in elsewhere?", "fi": "Olenko kirjautunut muualla?", "sv": "Är jag inloggad någon annanstans?"},
	"home.check?":  {"en": "Asks the identity provider without showing you a page.", "fi": "Kysyy tunnistuspalvelulta näyttämättä sinulle sivua.", "sv": "Frågar identifieringstjänsten utan att visa en sida för dig."},
	"home.sso":     {"en": "You are logged in to this service.", "fi": "Olet kirjautunut tähän palveluun.", "sv": "Du är inloggad i den här tjänsten."},

	"sso.none":       {"en": "You are not logged in elsewhere in this browser.", "fi": "Et ole kirjautunut muualla tällä selaimella.", "sv": "Du är inte inloggad någon annanstans i den här webbläsaren."},
	"sso.unfinished": {"en": "You have something to do before you can use this service. Log in to see what.", "fi": "Sinulla on vielä jotain tehtävää ennen palvelun käyttöä. Kirjaudu, niin näet mitä.", "sv": "Du har något att göra innan du kan använda tjänsten. Logga in för att se vad."},
	"sso.failed":     {"en": "The question could not be answered just now.", "fi": "Kysymykseen ei saatu nyt vastausta.", "sv": "Frågan kunde inte besvaras just nu."},

	"record.title": {"en": "Record", "fi": "Asiakirja", "sv": "Dokument"},
	"record.text":  {"en": "Only people who have logged in see this page.", "fi": "Tämän sivun näkevät vain kirjautuneet.", "sv": "Bara inloggade ser den här sidan."},
	"record.how":   {"en": "How you logged in", "fi": "Miten kirjauduit", "sv": "Hur du loggade in"},
	"acr":          {"en": "Level (acr)", "fi": "Taso (acr)", "sv": "Nivå (acr)"},
	"acr.card":     {"en": "Certificate card and PIN: the strongest level.", "fi": "Varmennekortti ja tunnusluku: vahvin taso.", "sv": "Certifikatkort och PIN-kod: den starkaste nivån."},
	"acr.code":     {"en": "Username, password and a one-time code.", "fi": "Käyttäjätunnus, salasana ja kertakäyttöinen koodi.", "sv": "Användarnamn, lösenord och en engångskod."},
	"acr.other":    {"en": "A level that this service does not know.", "fi": "Taso, jota tämä palvelu ei tunne.", "sv": "En nivå som den här tjänsten inte känner till."},
	"amr":          {"en": "Means (amr)", "fi": "Välineet (amr)", "sv": "Medel (amr)"},
	"amr.text": {
		"en": "pwd: password. otp: one-time code. sc: smart card. pin: PIN. hwk: key in hardware. mfa: two of them together.",
		"fi": "pwd: salasana. otp: kertakäyttöinen koodi. sc: toimikortti. pin: tunnusluku. hwk: avain laitteessa. mfa: kaksi näistä yhdessä.",
		"sv": "pwd: lösenord. otp: engångskod. sc: smartkort. pin: PIN-kod. hwk: nyckel i en enhet. mfa: två av dem tillsammans.",
	},
	"auth_time":      {"en": "Time (auth_time)", "fi": "Aika (auth_time)", "sv": "Tid (auth_time)"},
	"auth_time.text": {"en": "When you proved who you are. Later visits to other services use the same login.", "fi": "Milloin todistit henkilöllisyytesi. Myöhemmät käynnit muissa palveluissa käyttävät samaa kirjautumista.", "sv": "När du bevisade vem du är. Senare besök i andra tjänster använder samma inloggning."},
	"record.stepup":  {"en": "Go on to the restricted area with your card", "fi": "Jatka kortilla rajatulle alueelle", "sv": "Fortsätt med kortet till det begränsade området"},
	"record.secret":  {"en": "Go on to the restricted area", "fi": "Jatka rajatulle alueelle", "sv": "Fortsätt till det begränsade området"},
	"record.claims":  {"en": "What the service knows about you", "fi": "Mitä palvelu tietää sinusta", "sv": "Vad tjänsten vet om dig"},
	"claim":          {"en": "Claim", "fi": "Tieto", "sv": "Uppgift"},
	"value":          {"en": "Value", "fi": "Arvo", "sv": "Värde"},

	"secret.title": {"en": "Restricted area", "fi": "Rajattu alue", "sv": "Begränsat område"},
	"secret.text":  {"en": "You see this page because you logged in with a certificate card.", "fi": "Näet tämän sivun, koska kirjauduit varmennekortilla.", "sv": "Du ser den här sidan eftersom du loggade in med ett certifikatkort."},

	"error.title":        {"en": "You were not logged in", "fi": "Kirjautuminen ei onnistunut", "sv": "Inloggningen lyckades inte"},
	"error.denied":       {"en": "The login was cancelled, or you are not allowed to use this service.", "fi": "Kirjautuminen keskeytettiin, tai sinulla ei ole oikeutta käyttää tätä palvelua.", "sv": "Inloggningen avbröts, eller så har du inte rätt att använda tjänsten."},
	"error.unmet":        {"en": "This page needs a stronger login. Log in with a certificate card.", "fi": "Tämä sivu vaatii vahvemman kirjautumisen. Kirjaudu varmennekortilla.", "sv": "Den här sidan kräver en starkare inloggning. Logga in med certifikatkort."},
	"error.interaction":  {"en": "You have something to do before you can use this service. Log in to see what.", "fi": "Sinulla on vielä jotain tehtävää ennen palvelun käyttöä. Kirjaudu, niin näet mitä.", "sv": "Du har något att göra innan du kan använda tjänsten. Logga in för att se vad."},
	"error.unavailable":  {"en": "The identity provider does not answer just now. Try again in a moment.", "fi": "Tunnistuspalvelu ei vastaa juuri nyt. Yritä hetken kuluttua uudelleen.", "sv": "Identifieringstjänsten svarar inte just nu. Försök igen om en stund."},
	"error.cookies":      {"en": "Your browser blocks cookies. Allow cookies to log in.", "fi": "Selaimesi estää evästeet. Salli evästeet, jotta voit kirjautua.", "sv": "Din webbläsare blockerar kakor. Tillåt kakor för att kunna logga in."},
	"error.invalid":      {"en": "The answer of the identity provider could not be verified. Try again. If the problem continues, contact user support and give the code below.", "fi": "Tunnistuspalvelun vastausta ei voitu varmistaa. Yritä uudelleen. Jos ongelma jatkuu, ota yhteyttä käyttäjätukeen ja ilmoita alla oleva koodi.", "sv": "Identifieringstjänstens svar kunde inte verifieras. Försök igen. Om problemet kvarstår, kontakta användarstödet och uppge koden nedan."},
	"error.code":         {"en": "Code:", "fi": "Koodi:", "sv": "Kod:"},
	"error.retry":        {"en": "Try again", "fi": "Yritä uudelleen", "sv": "Försök igen"},
	"error.logout.title": {"en": "Logging out was not completed", "fi": "Uloskirjautuminen jäi kesken", "sv": "Utloggningen slutfördes inte"},
	"error.logout":       {"en": "You may still be logged in to the identity provider and other services. Try again. If you use a shared computer, remove your card and close the browser.", "fi": "Saatat olla yhä kirjautuneena tunnistuspalveluun ja muihin palveluihin. Yritä uudelleen. Jos käytät yhteistä tietokonetta, poista korttisi ja sulje selain.", "sv": "Du kan fortfarande vara inloggad i identifieringstjänsten och andra tjänster. Försök igen. Om du använder en delad dator, ta ut kortet och stäng webbläsaren."},

	"signedout.title": {"en": "You have logged out.", "fi": "Olet kirjautunut ulos.", "sv": "Du har loggat ut."},
	"signedout.card":  {"en": "Remove your card from the reader and close the browser.", "fi": "Poista kortti lukijasta ja sulje selain.", "sv": "Ta ut kortet ur läsaren och stäng webbläsaren."},
	"signedout.again": {"en": "Log in again", "fi": "Kirjaudu uudelleen", "sv": "Logga in på nytt"},

	"notfound.title": {"en": "Page not found", "fi": "Sivua ei löytynyt", "sv": "Sidan hittades inte"},
}

// Templates.

const layout = `<!DOCTYPE html>
<html lang="{{.Lang}}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.T .Title}} – {{.Service}}</title>
<link rel="stylesheet" href="{{.Style}}">
</head>
<body>
<a class="skip" href="#main">{{.T "skip"}}</a>
<header>
<a class="brand" href="/">{{.Service}}</a>
<nav aria-label="{{.T "lang.menu"}}">
<a href="{{.Path}}?lang=fi" lang="fi" hreflang="fi"{{if .Current.fi}} aria-current="true"{{end}}>Suomi</a>
<a href="{{.Path}}?lang=sv" lang="sv" hreflang="sv"{{if .Current.sv}} aria-current="true"{{end}}>Svenska</a>
<a href="{{.Path}}?lang=en" lang="en" hreflang="en"{{if .Current.en}} aria-current="true"{{end}}>English</a>
</nav>
{{if .Who}}<form class="person" method="post" action="/logout">
<span>{{.T "signedin.as"}} <strong id="who">{{.Who}}</strong></span>
<button id="logout" type="submit">{{.T "logout"}}</button>
</form>{{end}}
</header>
<main id="main" tabindex="-1">
{{template "main" .}}
</main>
</body>
</html>
`

// page completes the layout with what is particular to one page.
func page(main string) *template.Template {
	return template.Must(template.Must(template.New("layout").Parse(layout)).Parse(`{{define "main"}}` + main + `{{end}}`))
}

var homeTemplate = page(`<h1>{{.T "home.title"}}</h1>
{{with .Notice}}<p class="notice" id="notice" role="status">{{$.T .}}</p>{{end}}
<p>{{.T "home.intro"}}</p>
{{if .Who}}<p class="notice" id="signed-in">{{.T "home.sso"}}</p>
{{else}}<p><a class="button" id="login" href="/login">{{.T "login"}}</a></p>{{end}}
<h2>{{.T "home.try"}}</h2>
<ul class="cards">
<li><a id="record" href="/records/7">{{.T "home.record" "7"}}</a><p>{{.T "home.record?"}}</p></li>
<li><a id="secret" href="/secret">{{.T "home.secret"}}</a><p>{{.T "home.secret?"}}</p></li>
{{if not .Who}}<li><a id="check" href="/check">{{.T "home.check"}}</a><p>{{.T "home.check?"}}</p></li>{{end}}
</ul>`)

var recordTemplate = page(`<h1 id="record">{{.T "record.title"}} {{.ID}}</h1>
<p>{{.T "record.text"}}</p>
<h2>{{.T "record.how"}}</h2>
<dl>
<dt>{{.T "acr"}}</dt><dd><code id="acr">{{.ACR}}</code><p>{{.T .Level}}</p></dd>
<dt>{{.T "amr"}}</dt><dd><code id="amr">{{.AMR}}</code><p>{{.T "amr.text"}}</p></dd>
<dt>{{.T "auth_time"}}</dt><dd><code id="auth-time">{{.AuthTime}}</code><p>{{.T "auth_time.text"}}</p></dd>
</dl>
<p><a class="button" id="stepup" href="/secret">{{if .Card}}{{.T "record.secret"}}{{else}}{{.T "record.stepup"}}{{end}}</a></p>
<h2>{{.T "record.claims"}}</h2>
<table id="claims">
<thead><tr><th scope="col">{{.T "claim"}}</th><th scope="col">{{.T "value"}}</th></tr></thead>
<tbody>
{{range .Claims}}<tr><th scope="row"><code>{{.Name}}</code></th><td>{{.Value}}</td></tr>
{{end}}</tbody>
</table>
<p><a href="/">{{.T "back.home"}}</a></p>`)

var secretTemplate = page(`<h1 id="secret">{{.T "secret.title"}}</h1>
<p>{{.T "secret.text"}}</p>
<dl><dt>{{.T "acr"}}</dt><dd><code id="acr">{{.ACR}}</code></dd></dl>
<p><a href="/">{{.T "back.home"}}</a></p>`)

var errorTemplate = page(`<h1 id="error">{{.T .Title}}</h1>
<p class="alert" role="alert">{{.T .Text}}</p>
<p class="small">{{.T "error.code"}} <code id="error-code">{{.Code}}</code></p>
<p><a class="button" id="retry" href="{{.Retry}}">{{.T "error.retry"}}</a></p>
<p><a href="/">{{.T "back.home"}}</a></p>`)

var signedOutTemplate = page(`<h1 id="signed-out">{{.T "signedout.title"}}</h1>
<p class="notice">{{.T "signedout.card"}}</p>
<p><a class="button" id="login" href="/login">{{.T "signedout.again"}}</a></p>
<p><a href="/">{{.T "back.home"}}</a></p>`)

var notFoundTemplate = page(`<h1 id="not-found">{{.T "notfound.title"}}</h1>
<p><a class="button" href="/">{{.T "back.home"}}</a></p>`)

// Style.

var stylePath = func() string {
	sum := sha256.Sum256([]byte(style))
	return "/style.css?v=" + hex.EncodeToString(sum[:6])
}()

const style = `:root {
	--ink: #212121; --muted: #4a5259; --paper: #ffffff; --wash: #f4f6f9; --line: #c8cdd0;
	--brand: #00357a; --action: #1f5ba8; --action-dark: #17467f; --note: #eaf2fa; --alert: #ae332d; --alert-wash: #fbefef;
	--radius: 6px;
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--wash); color: var(--ink); font: 18px/1.6 "Source Sans 3", system-ui, sans-serif; }
a { color: var(--action); }
a:hover { color: var(--action-dark); }
:focus-visible { outline: 3px solid var(--action); outline-offset: 2px; border-radius: 2px; }
.skip { position: absolute; left: -100rem; padding: .5rem 1rem; background: var(--paper); }
.skip:focus { left: 1rem; top: 1rem; z-index: 1; }
header { display: flex; flex-wrap: wrap; align-items: center; gap: .5rem 1.5rem; padding: .75rem 1.5rem; background: var(--brand); color: #fff; }
header a { color: #fff; text-decoration: none; padding: .25rem 0; }
header a:hover { color: #fff; text-decoration: underline; }
header :focus-visible { outline-color: #fff; }
.brand { font-size: 1.2rem; font-weight: 600; margin-right: auto; }
nav { display: flex; gap: 1rem; }
nav [aria-current] { font-weight: 600; text-decoration: underline; text-underline-offset: .3em; }
.person { display: flex; flex-wrap: wrap; align-items: center; gap: .5rem 1rem; margin: 0; }
main { max-width: 46rem; margin: 2rem auto; padding: 2rem; background: var(--paper); border: 1px solid var(--line); border-radius: var(--radius); }
main:focus { outline: none; }
h1 { margin: 0 0 1rem; font-size: 2rem; line-height: 1.2; }
h2 { margin: 2rem 0 .75rem; font-size: 1.35rem; line-height: 1.3; }
.button, button { display: inline-block; min-height: 2.75rem; padding: .5rem 1.25rem; border: 2px solid var(--action); border-radius: var(--radius);
	background: var(--action); color: #fff; font: inherit; font-weight: 600; text-decoration: none; cursor: pointer; }
.button:hover, button:hover { background: var(--action-dark); border-color: var(--action-dark); color: #fff; }
header button { background: transparent; border-color: #fff; }
header button:hover { background: #fff; border-color: #fff; color: var(--brand); }
.notice, .alert { padding: .75rem 1rem; border-left: 5px solid var(--action); border-radius: 2px; background: var(--note); }
.alert { border-color: var(--alert); background: var(--alert-wash); }
.small { color: var(--muted); font-size: .9rem; }
.cards { list-style: none; margin: 0; padding: 0; }
.cards li { padding: .75rem 0; border-top: 1px solid var(--line); }
.cards a { font-weight: 600; }
.cards p, dd p { margin: .25rem 0 0; color: var(--muted); }
dl { margin: 0; }
dt { font-weight: 600; }
dd { margin: 0 0 1rem; }
code { font: .95em/1.4 ui-monospace, "Liberation Mono", monospace; overflow-wrap: anywhere; }
table { width: 100%; border-collapse: collapse; font-size: .95rem; }
th, td { padding: .5rem .75rem .5rem 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; overflow-wrap: anywhere; }
th[scope=row] { width: 12rem; font-weight: 400; }
@media (max-width: 40rem) {
	main { margin: 0; padding: 1.25rem; border: 0; border-radius: 0; }
	th[scope=row] { width: 8rem; }
}
`
