package e2e

import (
	"fmt"
	"image"
	"image/draw"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"
	"github.com/pquerna/otp"

	"github.com/portti-id/portti/internal/cardtest"
	"github.com/portti-id/portti/internal/e2e/browser"
	"github.com/portti-id/portti/templates"
)

// chromium starts a browser that trusts the world's servers and sends the card
// that is in its reader without asking.
func (w *World) chromium(t *testing.T, lang string) *browser.Browser {
	t.Helper()
	return browser.Start(t, browser.Options{ServerCA: w.PKI.Server.Cert, CardHosts: []string{"https://[*.]card.localhost"}, Lang: lang})
}

// insert puts a card into the browser's reader.
func insert(t *testing.T, b *browser.Browser, c *cardtest.Card) {
	t.Helper()
	b.InsertCard(must(c.P12("card"))(t), "card", c.Name)
}

// screen is what a person sees in a tab, in a language.
type screen struct {
	*browser.Tab
	t    *testing.T
	w    *World
	lang string
	dark bool
}

// screen opens a window that knows nothing of others.
func (w *World) screen(t *testing.T, b *browser.Browser, lang string) *screen {
	t.Helper()
	return &screen{Tab: b.With(t).Incognito(), t: t, w: w, lang: lang}
}

var texts = sync.OnceValues(templates.Load)

// text is what the catalogue says in the person's language.
func (s *screen) text(key string, pairs ...string) string {
	s.t.Helper()
	return must(must(texts())(s.t).Lookup(s.lang, key, pairs...))(s.t)
}

// says checks that the page shows a text of the catalogue, each of its lines.
func (s *screen) says(key string, pairs ...string) {
	s.t.Helper()
	for line := range strings.Lines(s.text(key, pairs...)) {
		s.shows(strings.TrimSpace(line))
	}
}

// shows checks that the page shows these words.
func (s *screen) shows(words string) {
	s.t.Helper()
	if body := s.Text("body"); !strings.Contains(oneLine(body), oneLine(words)) {
		s.t.Fatalf("%s does not say %q:\n%s", s.URL(), words, body)
	}
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// checked are the pages that axe has seen, by name and colours: one look at each
// is enough.
var checked sync.Map

// look waits for a page and examines it: a screenshot, whether it is sound, and once
// for each name axe.
func (s *screen) look(name, selector string) {
	s.t.Helper()
	s.WaitFor(selector)
	s.Screenshot(name)
	s.sound(name)
	if _, before := checked.LoadOrStore([2]any{name, s.dark}, true); !before {
		s.MustBeAccessible()
	}
}

// sight is what a page is, in short.
type sight struct {
	Lang        string
	Text        string
	Twice       []string // ids of more than one element
	Wide, Shown int      // pixels
	Shape       string   // of what elements its main part is, whatever words and how many rows they hold
	Status      int
	Sections    bool     // it has the Console's
	Links       []string // to other pages of the app
}

// sound examines the open page without pictures and axe: its language, no hole in a
// text, no id twice, nothing that sticks out to the right.
func (s *screen) sound(name string) sight {
	s.t.Helper()
	var page sight
	s.Eval(`(what => ({Lang: document.documentElement.lang, Text: document.title + "\n" + document.body.innerText,
		Twice: [...document.querySelectorAll("[id]")].map(e => e.id).filter((id, i, all) => all.indexOf(id) < i),
		Wide: document.documentElement.scrollWidth, Shown: document.documentElement.clientWidth,
		Status: performance.getEntriesByType("navigation")[0].responseStatus, Sections: document.querySelector("nav.sections") !== null,
		Shape: [...new Set([...document.querySelectorAll("main *")].map(what))].sort().join("\n"),
		Links: [...document.querySelectorAll("nav.sections a, main a")].filter(a => a.origin === location.origin && !a.hash).map(a => a.pathname + a.search),
		}))(function what(e) { return e.matches("main") ? "" : what(e.parentElement) + ">" + e.tagName + (e.tagName === "H1" ? "#" + e.id : "") + "." + e.className + e.getAttributeNames().sort() })`, &page)
	if page.Lang != s.lang {
		s.t.Errorf("%s: the page is in %q, not in %q", name, page.Lang, s.lang)
	}
	if strings.ContainsAny(page.Text, "⟦⟧{}") {
		s.t.Errorf("%s: a text has a hole:\n%s", name, page.Text)
	}
	if len(page.Twice) > 0 {
		s.t.Errorf("%s: more than one element has the id %v", name, page.Twice)
	}
	s.fits(name, page.Wide, page.Shown)
	return page
}

func (s *screen) fits(name string, wide, shown int) {
	s.t.Helper()
	if wide > shown {
		s.t.Errorf("%s: the page is %d pixels wide on a screen of %d", name, wide, shown)
	}
}

// narrow looks at the open page on a telephone's screen: nothing sticks out to the right.
func (s *screen) narrow(name string, picture bool) {
	s.t.Helper()
	s.Viewport(360, 740)
	if picture {
		s.Screenshot(name + ", narrow")
	}
	var page struct{ Wide, Shown int }
	s.Eval(`({Wide: document.documentElement.scrollWidth, Shown: document.documentElement.clientWidth})`, &page)
	s.fits(name, page.Wide, page.Shown)
	s.Viewport(1280, 900)
}

// section goes to a section of the Console, by its menu where the screen is narrow.
func (s *screen) section(path string) {
	s.t.Helper()
	if s.Has(".menu summary") {
		s.Click(".menu summary")
	}
	s.Click(fmt.Sprintf(`nav.sections a[href=%q]`, path))
}

// another is a second tab of the same person.
func (s *screen) another() *screen {
	s.t.Helper()
	second := *s
	second.Tab = s.Another()
	return &second
}

// login types username and password, where the first page is shown.
func (s *screen) login(username, password string) {
	s.t.Helper()
	s.Fill("#username", username)
	s.Fill("#password", password)
	s.Click("#login-submit")
}

// typeCode types a code.
func (s *screen) typeCode(code string) {
	s.t.Helper()
	s.Fill("#code", code)
	s.Click("#code-submit")
}

// signIn goes through the provider's pages with password and code, from the first one
// to where they lead.
func (s *screen) signIn(e *Employee) {
	s.t.Helper()
	s.login(e.Username, e.Password)
	s.typeCode(e.Code())
}

// choose types the password of one's own.
func (s *screen) choose(password string) {
	s.t.Helper()
	s.Fill("#new", password)
	s.Fill("#repeat", password)
	s.Click("#change-submit")
}

// readCard links the card that is in the reader, from the page that reads it, and
// checks that it is the one that is shown.
func (s *screen) readCard(card *cardtest.Card) {
	s.t.Helper()
	s.Click("#card-start")
	s.WaitFor("#card-confirm")
	if got := s.Text("#tail"); got != tailOf(card) {
		s.t.Errorf("the card that was read ends in %q, not in %q", got, tailOf(card))
	}
	s.Click("#card-confirm")
}

// scan reads the QR code that is on the screen, as a telephone's camera does.
func (s *screen) scan() *otp.Key {
	s.t.Helper()
	seen := s.Picture("#qr")
	inner := image.NewGray(seen.Bounds().Inset(24)) // without the round corners, which are as dark as the page
	draw.Draw(inner, inner.Bounds(), seen, inner.Bounds().Min, draw.Src)
	bitmap := must(gozxing.NewBinaryBitmapFromImage(inner))(s.t)
	// Without the hint gozxing misses one clean code in ten.
	read, err := qrcode.NewQRCodeReader().Decode(bitmap, map[gozxing.DecodeHintType]any{gozxing.DecodeHintType_PURE_BARCODE: true})
	if err != nil {
		s.t.Fatalf("no QR code can be read from the screen: %v", err)
	}
	key, err := otp.NewKeyFromURL(read.GetText())
	if err != nil {
		s.t.Fatalf("the QR code says %q: %v", read.GetText(), err)
	}
	return key
}

// present presses the button that reads the card, but with a certificate that
// Chromium would never offer, or with none: the form and the handshake are sent
// by a plain client that has the tab's cookies, and the tab goes on with the
// answer.
func (s *screen) present(card *cardtest.Card) {
	s.t.Helper()
	s.Open(s.presented(card))
}

// presented is where the card host sends that browser.
func (s *screen) presented(card *cardtest.Card) string {
	s.t.Helper()
	s.WaitFor("#card-start")
	var form struct{ Action, CSRF, Origin string }
	s.Eval(`(f => ({Action: f.action, CSRF: f.elements.csrf.value, Origin: location.origin}))(document.querySelector("#card-start").form)`, &form)
	r := must(http.NewRequest(http.MethodPost, form.Action, strings.NewReader(url.Values{"csrf": {form.CSRF}}.Encode())))(s.t)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", form.Origin)
	for _, c := range s.Cookies() {
		if c.Domain == r.URL.Hostname() {
			r.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value})
		}
	}
	c := &http.Client{Transport: s.w.transport(func() *cardtest.Card { return card }),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer c.CloseIdleConnections()
	return redirect(s.t, c, must(http.NewRequest(http.MethodGet, redirect(s.t, c, r), nil))(s.t))
}

// redirect sends a request, and returns where the answer leads.
func redirect(t *testing.T, c *http.Client, r *http.Request) string {
	t.Helper()
	res := must(c.Do(r))(t)
	defer func() { _ = res.Body.Close() }()
	to := res.Header.Get("Location")
	if res.StatusCode != http.StatusSeeOther || to == "" {
		t.Fatalf("%s %s: %s, to %q", r.Method, r.URL, res.Status, to)
	}
	return to
}

// refused checks the page of a card that was not accepted: what happened, what to
// do, who can help.
func (s *screen) refused(verdict string, pairs ...string) {
	s.t.Helper()
	s.WaitFor(fmt.Sprintf(`#card-failed[data-verdict=%q]`, verdict))
	for _, part := range []string{"title", "meaning", "do", "who"} {
		s.says("verdict."+verdict+"."+part, pairs...)
	}
	s.look("card refused "+verdict, "#card-start")
	s.WaitFor("#restart") // another way is offered (S35)
}

// arrives checks that the Service's page opened that was asked for, and what the
// Service was told.
func (s *screen) arrives(deep, acr, amr string) {
	s.t.Helper()
	s.WaitURL(deep)
	if got := s.URL(); got != deep {
		s.t.Errorf("the deep link was %s, the page is %s", deep, got)
	}
	if got := s.Text("#acr"); got != acr {
		s.t.Errorf("acr %q, not %q", got, acr)
	}
	if got := s.Text("#amr"); !sameWords(got, amr) {
		s.t.Errorf("amr %q, not %q", got, amr)
	}
}

const (
	amrCard = "sc pin hwk mfa"
	amrCode = "pwd otp mfa"
)

func sameWords(a, b string) bool {
	return slices.Equal(slices.Sorted(strings.FieldsSeq(a)), slices.Sorted(strings.FieldsSeq(b)))
}

// record is a page of the Service for people who have signed in.
func (w *World) record(id string) string { return w.Origin("service") + "/records/" + id }

// wrongCode is one that her authenticator does not show for a long time before
// and after now.
func (e *Employee) wrongCode() string {
	near := map[string]bool{}
	for step := int64(-50); step <= 50; step++ {
		near[e.CodeAt(step)] = true
	}
	code := 0
	for near[fmt.Sprintf("%06d", code)] {
		code++
	}
	return fmt.Sprintf("%06d", code)
}

// tailOf is the end of a card's serial number, as pages show it.
func tailOf(c *cardtest.Card) string {
	serial := fmt.Sprintf("%x", c.Cert.SerialNumber)
	return serial[max(len(serial)-4, 0):]
}
