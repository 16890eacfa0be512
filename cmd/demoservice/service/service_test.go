package service

import (
	"html/template"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jba/templatecheck"
	"golang.org/x/net/html"

	"github.com/portti-id/portti/pkg/rp"
	"github.com/portti-id/portti/pkg/rp/rptest"
)

// site is a running service with its provider and one browser.
type site struct {
	t   *testing.T
	url string
	op  *rptest.Provider
	*http.Client
	lang string // Accept-Language
}

func start(t *testing.T, change ...func(*Config)) *site {
	t.Helper()
	op := rptest.New(t)
	var handler http.Handler
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	c := Config{URL: server.URL, Issuer: op.URL, ClientID: op.ClientID, ClientSecret: op.ClientSecret, Log: slog.New(slog.DiscardHandler)}
	for _, f := range change {
		f(&c)
	}
	var err error
	handler, err = New(c)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, url: server.URL, op: op, lang: "en"}
	s.clearCookies()
	return s
}

func (s *site) clearCookies() {
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	s.Client = &http.Client{Jar: jar}
}

func (s *site) do(method, path string, header http.Header) *document {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Accept-Language", s.lang)
	for name := range header {
		req.Header.Set(name, header.Get(name))
	}
	res, err := s.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	root, err := html.Parse(strings.NewReader(string(raw)))
	if err != nil {
		s.t.Fatal(err)
	}
	return &document{s.t, res, string(raw), root}
}

func (s *site) get(path string) *document { s.t.Helper(); return s.do("GET", path, nil) }

func (s *site) logout() *document {
	s.t.Helper()
	return s.do("POST", "/logout", http.Header{"Origin": {s.url}, "Sec-Fetch-Site": {"same-origin"}})
}

// document is an answer, as a page.
type document struct {
	t    *testing.T
	res  *http.Response
	raw  string
	root *html.Node
}

func (d *document) path() string { return d.res.Request.URL.Path }

func (d *document) find(match func(*html.Node) bool) *html.Node {
	for n := range d.root.Descendants() {
		if n.Type == html.ElementNode && match(n) {
			return n
		}
	}
	return nil
}

func (d *document) byID(id string) *html.Node {
	return d.find(func(n *html.Node) bool { return attribute(n, "id") == id })
}

// text of the element with this id; "" when there is none.
func (d *document) text(id string) string {
	n := d.byID(id)
	if n == nil {
		return ""
	}
	var b strings.Builder
	for c := range n.Descendants() {
		if c.Type == html.TextNode {
			b.WriteString(c.Data)
		}
	}
	return strings.TrimSpace(b.String())
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func (d *document) expect(id, want string) {
	d.t.Helper()
	if got := d.text(id); got != want {
		d.t.Errorf("#%s on %s: got %q, want %q", id, d.path(), got, want)
	}
}

func (d *document) has(ids ...string) {
	d.t.Helper()
	for _, id := range ids {
		if d.byID(id) == nil {
			d.t.Errorf("%s has no #%s", d.path(), id)
		}
	}
}

func (d *document) hasNot(ids ...string) {
	d.t.Helper()
	for _, id := range ids {
		if d.byID(id) != nil {
			d.t.Errorf("%s has #%s", d.path(), id)
		}
	}
}

func TestSignedOutHomeOffersALogin(t *testing.T) {
	s := start(t)
	d := s.get("/")
	d.expect("login", "Log in")
	d.hasNot("who", "logout", "claims")
	if n := s.op.Counts().Authorize; n != 0 {
		t.Errorf("the front page went to the provider")
	}
	d = s.get(attribute(d.byID("login"), "href"))
	d.expect("who", "Maija Meikäläinen")
	d.hasNot("login")
}

func TestDeepLinkShowsWhoAndHow(t *testing.T) { // S20
	s := start(t)
	d := s.get("/records/42?from=mail")
	if d.path() != "/records/42" || d.res.Request.URL.RawQuery != "from=mail" {
		t.Errorf("landed on %s", d.res.Request.URL)
	}
	d.expect("record", "Record 42")
	d.expect("who", "Maija Meikäläinen")
	d.expect("acr", "urn:portti:acr:pwd-otp")
	d.expect("amr", "pwd otp mfa")
	d.has("claims", "auth-time", "stepup", "logout")
	table := d.text("claims")
	for _, claim := range []string{"sub", "user-1", "sid-1", "nonce", "name", "Maija Meikäläinen", `["pwd","otp","mfa"]`, s.op.URL} {
		if !strings.Contains(table, claim) {
			t.Errorf("the table has no %q", claim)
		}
	}
	q := s.op.LastAuthorize()
	if q.Get("acr_values") != rp.ACRPasswordOTP || q.Get("ui_locales") != "en" {
		t.Errorf("asked for %v", q)
	}
}

func TestSecretDemandsTheCard(t *testing.T) {
	s := start(t)
	d := s.get("/records/1")
	d = s.get(attribute(d.byID("stepup"), "href"))
	d.has("secret")
	d.expect("acr", "urn:portti:acr:card")
	if got := s.op.LastAuthorize().Get("acr_values"); got != rp.ACRCard {
		t.Errorf("asked for %q", got)
	}
	d = s.get("/records/1")
	d.expect("acr", "urn:portti:acr:card")
	d.expect("stepup", "Go on to the restricted area")

	s.clearCookies()
	s.op.Set(func(s *rptest.Script) { s.ACR = rp.ACRPasswordOTP })
	s.get("/records/1")
	d = s.get("/secret")
	if d.res.StatusCode != http.StatusForbidden {
		t.Errorf("status %d", d.res.StatusCode)
	}
	d.has("error")
	d.hasNot("secret")
	d.expect("error-code", rp.UnmetRequirements)
	d.expect("who", "Maija Meikäläinen") // still signed in, as before
	if to := attribute(d.byID("retry"), "href"); to != "/secret" {
		t.Errorf("the way on leads to %q", to)
	}
}

func TestPasswordAloneIsNoSignIn(t *testing.T) { // S1, S18
	s := start(t)
	s.op.Set(func(s *rptest.Script) { s.ACR = rp.ACREnrol })
	d := s.get("/records/1")
	d.expect("error-code", rp.UnmetRequirements)
	s.get("/").has("login")
}

func TestSilentCheck(t *testing.T) {
	s := start(t)
	s.get("/check").expect("who", "Maija Meikäläinen")
	if s.op.LastAuthorize().Get("prompt") != "none" {
		t.Errorf("asked for %v", s.op.LastAuthorize())
	}
	for code, notice := range map[string]string{
		"login_required": "sso.none", "interaction_required": "sso.unfinished", "server_error": "sso.failed",
	} { // S18
		s.clearCookies()
		s.op.Set(func(s *rptest.Script) { s.Refuse = code })
		d := s.get("/check")
		d.expect("notice", texts[notice]["en"])
		d.has("login")
		if d.path() != "/" || d.res.StatusCode != 200 {
			t.Errorf("%s: %s %d", code, d.path(), d.res.StatusCode)
		}
	}
	s.get("/?sso=%3Cscript%3E").expect("notice", texts["sso.failed"]["en"])
}

func TestRefusedSignInsAreExplained(t *testing.T) {
	for code, key := range map[string]string{
		"access_denied": "error.denied", "interaction_required": "error.interaction", "login_required": "error.interaction",
		"unmet_authentication_requirements": "error.unmet", "temporarily_unavailable": "error.unavailable",
		"server_error": "error.unavailable", "invalid_scope": "error.invalid",
	} {
		s := start(t)
		s.op.Set(func(s *rptest.Script) { s.Refuse = code })
		for _, lang := range languages {
			s.lang = lang
			d := s.get("/records/5")
			d.expect("error", texts["error.title"][lang])
			d.expect("error-code", code)
			if !strings.Contains(d.raw, template.HTMLEscapeString(texts[key][lang])) {
				t.Errorf("%s in %s: no %s", code, lang, key)
			}
			if to := attribute(d.byID("retry"), "href"); to != "/records/5" {
				t.Errorf("%s: the way on leads to %q", code, to)
			}
			for n := range d.root.Descendants() { // no link may repeat the callback
				if strings.Contains(attribute(n, "href"), "callback") {
					t.Errorf("a link leads to %q", attribute(n, "href"))
				}
			}
		}
	}
}

func TestProviderThatIsAway(t *testing.T) {
	op := rptest.New(t)
	op.Set(func(s *rptest.Script) { s.Down = true })
	h, err := New(Config{URL: "http://service.localhost", Issuer: op.URL, ClientID: "app", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{"/": 200, "/login": 503, "/records/1": 503, "/style.css": 200} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != want {
			t.Errorf("%s: %d, want %d", path, w.Code, want)
		}
	}
}

func TestBrowserWithoutCookies(t *testing.T) { // S68
	s := start(t)
	s.Client = &http.Client{}
	d := s.get("/records/1")
	d.expect("error-code", rp.CookiesBlocked)
}

func TestLogout(t *testing.T) { // S72
	s := start(t)
	s.get("/records/1")
	d := s.logout()
	if d.path() != "/signed-out" {
		t.Errorf("landed on %s", d.path())
	}
	d.has("signed-out", "login")
	d.hasNot("who", "logout")
	if !strings.Contains(d.raw, "Remove your card") {
		t.Error("the page does not think of the card")
	}
	if got := d.res.Header.Get("Clear-Site-Data"); got != `"cache", "storage"` {
		t.Errorf("Clear-Site-Data %q", got)
	}
	if n := s.op.Counts().EndSession; n != 1 {
		t.Errorf("%d logouts at the provider", n)
	}
	s.get("/").has("login")
}

func TestSignedOutPageIsNoLie(t *testing.T) {
	s := start(t)
	s.get("/records/1")
	d := s.get("/signed-out")
	d.hasNot("signed-out")
	d.expect("who", "Maija Meikäläinen")
}

func TestNobodyElseLogsPeopleOut(t *testing.T) { // CSRF
	s := start(t)
	s.get("/records/1")
	d := s.do("POST", "/logout", http.Header{"Origin": {"https://evil.example"}, "Sec-Fetch-Site": {"cross-site"}})
	if d.res.StatusCode != http.StatusForbidden {
		t.Errorf("status %d", d.res.StatusCode)
	}
	d.expect("error", texts["error.logout.title"]["en"])
	if d := s.get("/logout"); d.res.StatusCode != http.StatusMethodNotAllowed && d.res.StatusCode != http.StatusNotFound {
		t.Errorf("GET: %d", d.res.StatusCode)
	}
	s.get("/").expect("who", "Maija Meikäläinen")
}

func TestBackChannelLogout(t *testing.T) { // S36
	s := start(t)
	s.get("/records/1")
	res, err := http.PostForm(s.url+"/logout/backchannel", url.Values{"logout_token": {s.op.LogoutToken(map[string]any{"sid": "sid-1"})}})
	if err != nil {
		t.Fatal(err)
	}
	if _ = res.Body.Close(); res.StatusCode != 200 {
		t.Errorf("status %d", res.StatusCode)
	}
	s.get("/").has("login")
}

func TestLanguages(t *testing.T) {
	s := start(t)
	for header, want := range map[string]string{
		"fi": "fi", "sv-FI,sv;q=0.9,en;q=0.8": "sv", "en-GB": "en", "de,en;q=0.5": "en", "de": "fi", "": "fi", "EN": "en", ",;,": "fi",
	} {
		s.clearCookies()
		s.lang = header
		d := s.get("/")
		d.expect("login", texts["login"][want])
		if got := attribute(d.find(func(n *html.Node) bool { return n.Data == "html" }), "lang"); got != want {
			t.Errorf("Accept-Language %q: lang=%q, want %q", header, got, want)
		}
	}
	// A choice holds, on the way to the provider, too.
	s.clearCookies()
	s.lang = "en"
	s.get("/?lang=sv").expect("login", "Logga in")
	s.get("/records/1").expect("logout", "Logga ut")
	if got := s.op.LastAuthorize().Get("ui_locales"); got != "sv" {
		t.Errorf("ui_locales %q", got)
	}
	s.get("/records/1?lang=xx").expect("logout", "Logga ut")
	s.get("/records/1?lang=fi").expect("logout", "Kirjaudu ulos")
	d := s.get("/records/1")
	current := d.find(func(n *html.Node) bool { return attribute(n, "aria-current") == "true" })
	if current == nil || attribute(current, "lang") != "fi" || attribute(current, "href") != "/records/1?lang=fi" {
		t.Errorf("the language menu shows %v", current)
	}
}

// TestEveryPage renders each page in each language and holds it to what must be
// true of all.
func TestEveryPage(t *testing.T) {
	s := start(t)
	inline := regexp.MustCompile(`(?i)<script|<style|\sstyle=|\son[a-z]+=|javascript:`)
	check := func(path, lang string, d *document) {
		t.Helper()
		csp := d.res.Header.Get("Content-Security-Policy")
		want := "default-src 'none'; style-src 'self'; form-action 'self' " + s.op.URL + "; base-uri 'none'; frame-ancestors 'none'"
		if csp != want {
			t.Errorf("%s: CSP %q", path, csp)
		}
		if d.res.Header.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(d.res.Header.Get("Cache-Control"), "no-store") {
			t.Errorf("%s: headers %v", path, d.res.Header)
		}
		if found := inline.FindString(d.raw); found != "" {
			t.Errorf("%s: inline %q", path, found)
		}
		for name, match := range map[string]func(*html.Node) bool{
			"lang":      func(n *html.Node) bool { return n.Data == "html" && attribute(n, "lang") == lang },
			"title":     func(n *html.Node) bool { return n.Data == "title" },
			"h1":        func(n *html.Node) bool { return n.Data == "h1" },
			"main":      func(n *html.Node) bool { return n.Data == "main" && attribute(n, "id") == "main" },
			"skip link": func(n *html.Node) bool { return n.Data == "a" && attribute(n, "href") == "#main" },
			"viewport":  func(n *html.Node) bool { return n.Data == "meta" && attribute(n, "name") == "viewport" },
			"style": func(n *html.Node) bool {
				return n.Data == "link" && strings.HasPrefix(attribute(n, "href"), "/style.css?v=")
			},
		} {
			if d.find(match) == nil {
				t.Errorf("%s in %s: no %s", path, lang, name)
			}
		}
		ids := map[string]bool{}
		for n := range d.root.Descendants() {
			if id := attribute(n, "id"); id != "" {
				if ids[id] {
					t.Errorf("%s: two #%s", path, id)
				}
				ids[id] = true
			}
		}
	}
	for _, lang := range languages {
		s.clearCookies()
		s.lang = lang
		for _, path := range []string{"/", "/signed-out", "/no-such-page", "/records/1", "/secret", "/"} {
			check(path, lang, s.get(path))
		}
		s.clearCookies()
		s.op.Set(func(s *rptest.Script) { s.Refuse = "access_denied" })
		check("/callback", lang, s.get("/records/1"))
		s.op.Set(func(s *rptest.Script) { s.Refuse = "" })
	}
	d := s.get(stylePath)
	if d.res.Header.Get("Content-Type") != "text/css; charset=utf-8" || !strings.Contains(d.raw, "--brand") || strings.Contains(d.raw, "http") {
		t.Errorf("style: %v", d.res.Header)
	}
}

func TestWhatOthersWriteIsEscaped(t *testing.T) {
	s := start(t)
	s.op.Set(func(s *rptest.Script) {
		s.Claims["name"] = `<script>alert(1)</script>`
		s.Claims["x"] = map[string]any{"<b>": "</td>"}
	})
	for _, path := range []string{"/records/%3Cscript%3Ealert(2)%3C%2Fscript%3E", "/records/1?lang=%22%3E%3Cscript%3E", "/login?to=/records/%3Cscript%3E"} {
		d := s.get(path)
		if strings.Contains(d.raw, "<script>") || strings.Contains(d.raw, "<b>") {
			t.Errorf("%s: unescaped", path)
		}
		d.expect("who", "<script>alert(1)</script>")
	}
}

func TestLoginKeepsPeopleHere(t *testing.T) {
	s := start(t)
	for _, evil := range []string{"https://evil.example", "//evil.example", `/\evil.example`} {
		s.clearCookies()
		d := s.get("/login?to=" + url.QueryEscape(evil))
		if !strings.HasPrefix(d.res.Request.URL.String(), s.url+"/") || d.path() != "/" {
			t.Errorf("%q led to %s", evil, d.res.Request.URL)
		}
	}
}

// A service has the name that it was given, on every page.
func TestName(t *testing.T) {
	named, unnamed := start(t, func(c *Config) { c.Name = map[string]string{"fi": "Rekisteri & muut", "en": "The Records"} }), start(t)
	for lang, want := range map[string]string{"fi": "Rekisteri & muut", "en": "The Records", "sv": texts["service"]["sv"]} {
		named.lang, unnamed.lang = lang, lang
		for _, path := range []string{"/", "/records/1", "/no/such/page"} {
			for _, c := range []struct {
				page *document
				want string
			}{{named.get(path), want}, {unnamed.get(path), texts["service"][lang]}} {
				brand := c.page.find(func(n *html.Node) bool { return attribute(n, "class") == "brand" }).FirstChild.Data
				title := c.page.find(func(n *html.Node) bool { return n.Data == "title" }).FirstChild.Data
				if brand != c.want || !strings.HasSuffix(title, " – "+c.want) {
					t.Errorf("%s in %s: called %q, titled %q, want %q", path, lang, brand, title, c.want)
				}
			}
		}
	}
}

func TestEveryTextIsThereInThreeLanguages(t *testing.T) {
	for key, byLanguage := range texts {
		for _, lang := range languages {
			if strings.TrimSpace(byLanguage[lang]) == "" {
				t.Errorf("%s has no %s", key, lang)
			}
		}
		if len(byLanguage) != len(languages) {
			t.Errorf("%s has %d languages", key, len(byLanguage))
		}
		if strings.Count(byLanguage["fi"], "%s") != strings.Count(byLanguage["en"], "%s") || strings.Count(byLanguage["sv"], "%s") != strings.Count(byLanguage["en"], "%s") {
			t.Errorf("%s: the placeholders differ", key)
		}
	}
	// Every key that the source mentions exists, and every key that exists is used.
	source, err := os.ReadFile("service.go")
	if err != nil {
		t.Fatal(err)
	}
	begin, end := strings.Index(string(source), "var texts ="), strings.Index(string(source), "// Templates.")
	code := string(source[:begin]) + string(source[end:])
	for key := range texts {
		if !strings.Contains(code, `"`+key+`"`) {
			t.Errorf("%s is not used", key)
		}
	}
	for _, m := range regexp.MustCompile(`\.T "([^"]+)"`).FindAllStringSubmatch(code, -1) {
		if texts[m[1]] == nil {
			t.Errorf("%s does not exist", m[1])
		}
	}
	if _, err := (frame{Lang: "fi"}).T("no.such.key"); err == nil {
		t.Error("a missing text is not an error")
	}
}

func TestTemplatesFitTheirPages(t *testing.T) {
	for name, test := range map[string]struct {
		template *template.Template
		page     any
	}{
		"home": {homeTemplate, homePage{}}, "record": {recordTemplate, recordPage{}}, "secret": {secretTemplate, secretPage{}},
		"error": {errorTemplate, errorPage{}}, "signed out": {signedOutTemplate, frame{}}, "not found": {notFoundTemplate, frame{}},
	} {
		if err := templatecheck.CheckHTML(test.template, test.page); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	good := Config{URL: "http://service.localhost:8080", Issuer: "http://id.localhost:8080", ClientID: "service", Log: slog.New(slog.DiscardHandler),
		HTTPClient: &http.Client{Transport: http.NewFileTransport(http.Dir(t.TempDir()))}}
	if _, err := New(good); err != nil {
		t.Errorf("good: %v", err)
	}
	for name, change := range map[string]func(*Config){
		"no address":     func(c *Config) { c.URL = "" },
		"http elsewhere": func(c *Config) { c.URL = "http://service.example.fi" },
		"no issuer":      func(c *Config) { c.Issuer = "" },
		"broken issuer":  func(c *Config) { c.Issuer = "http://[" },
		"no client":      func(c *Config) { c.ClientID = "" },
	} {
		c := good
		change(&c)
		if _, err := New(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestSecureCookiesOnHTTPS(t *testing.T) {
	op := rptest.New(t)
	h, err := New(Config{URL: "https://service.example.fi", Issuer: op.URL, ClientID: "app", ClientSecret: op.ClientSecret, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/login?lang=sv", nil))
	cookies := w.Result().Cookies()
	if len(cookies) != 2 || !slices.ContainsFunc(cookies, func(c *http.Cookie) bool { return strings.HasPrefix(c.Name, "__Host-") }) {
		t.Errorf("cookies %v", cookies)
	}
	for _, c := range cookies {
		if !c.Secure || !c.HttpOnly {
			t.Errorf("cookie %s", c.Raw)
		}
	}
	if w.Header().Get("Strict-Transport-Security") == "" {
		t.Error("no HSTS")
	}
}
