// Package browser drives a real headless Chromium in tests: forms, redirects
// between hosts, certificate cards put in and taken out, screenshots,
// Content-Security-Policy violations and accessibility. Only tests use it.
//
//	func TestSignInWithCard(t *testing.T) {
//		b := browser.Start(t, browser.Options{
//			ServerCA:  ca,                                              // of the https hosts
//			CardHosts: []string{"https://[*.]card.portti.test"},        // send the card there without asking
//			HostRules: []string{"MAP *.portti.test 127.0.0.1:" + port}, // no other name resolves, but *.localhost
//		})
//		b.InsertCardPEM("liisa", cert, key, nil)
//		tab := b.Tab()
//		tab.Open("https://service.portti.test/")
//		tab.Click("#card")        // returns when the page it led to has loaded
//		tab.WaitURL("https://service.portti.test/")
//		if got := tab.Text("h1"); got != "Welcome, Liisa" {
//			t.Errorf("heading %q", got)
//		}
//		tab.MustBeAccessible()
//		tab.Screenshot("welcome")
//	}
//
// Every action waits for what it needs, at most ten seconds, and otherwise
// fails the test with what it expected, the address and the visible text. Call
// it on the test's own goroutine, as t.Fatal demands. A console error or a CSP
// violation fails the test when it ends, unless [Tab.Allow] names it. Of a
// failed test each open tab leaves a screenshot, its address and its text.
//
// The environment:
//
//	PORTTI_TEST_CHROMIUM   the browser; without it the usual places are tried
//	PORTTI_TEST_AXE        axe.min.js of axe-core, for [Tab.Axe]
//	PORTTI_TEST_ARTEFACTS  folder for screenshots; without it none is kept
//	CI=true                a missing program fails the test instead of skipping it
//
// A card is a certificate with its key in the NSS database of the browser's
// throw-away home, or, with a PIN, a token in a [Reader]. Chromium remembers "no certificate" for a host and port
// until the context ends: after InsertCard or EjectCard go on in a fresh
// [Browser.Incognito]. It never offers a card without digitalSignature, an
// expired one, or one whose issuer the server does not name; try such cards
// with a plain Go client. When it may send a card but CardHosts does not cover
// the host it asks with an invisible dialog, which shows as a page that never
// loads.
package browser

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// Options of a browser. The zero value trusts no server, sends no card and
// reaches only 127.0.0.1 and *.localhost.
type Options struct {
	ServerCA  *x509.Certificate // issuer of the servers' certificates
	CardHosts []string          // content-setting patterns where the only matching card is sent without asking; no port means every port
	HostRules []string          // host-resolver-rules, e.g. "MAP *.portti.test 127.0.0.1:8443"
	Choose    string            // of several matching cards the one whose certificate has this common name
	Reader    *Reader           // holds cards with a PIN
	Lang      string            // what Accept-Language prefers, e.g. "sv"; "en" when empty
	Env       []string          // more environment, e.g. "SOFTHSM2_CONF=…"
}

// Browser is a running Chromium with a home of its own.
type Browser struct {
	tb   testing.TB
	ctx  context.Context // the browser; its blank first tab
	home string
}

// Start starts a browser that ends, and whose files go, with the test.
func Start(tb testing.TB, o Options) *Browser {
	tb.Helper()
	chromium := findChromium()
	for program, pkg := range map[string]string{chromium: "chromium", "certutil": "libnss3-tools", "pk12util": "libnss3-tools", "openssl": "openssl"} {
		if _, err := exec.LookPath(program); err != nil {
			missing(tb, "browser tests need the program %s: apt-get install %s", program, pkg)
		}
	}
	// Not t.TempDir: the name of a long test makes Chromium's sockets there too long (108 bytes).
	home, err := os.MkdirTemp("", "portti-browser-")
	if err != nil {
		tb.Fatal(err)
	}
	b := &Browser{tb: tb, home: home}
	tb.Cleanup(b.removeHome)
	b.makeNSS(o.ServerCA)
	if o.Reader != nil {
		o.Env = append(o.Env[:len(o.Env):len(o.Env)], o.Reader.Env()...)
		b.plugIn(o.Reader)
	}
	b.writePreferences(o)

	rules := append(o.HostRules[:len(o.HostRules):len(o.HostRules)],
		"MAP * ~NOTFOUND", "EXCLUDE 127.0.0.1", "EXCLUDE localhost", "EXCLUDE *.localhost")
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(chromium),
		chromedp.UserDataDir(b.file("profile")),
		chromedp.NoSandbox, // it opens only our own pages; as root Chromium demands it
		chromedp.WindowSize(1280, 900),
		chromedp.Env(append([]string{"HOME=" + home, "TMPDIR=" + home, "XDG_CONFIG_HOME=", "XDG_DATA_HOME=", "XDG_CACHE_HOME="}, o.Env...)...),
		chromedp.Flag("headless", "new"), // the old one and chromium-headless-shell never send a certificate
		chromedp.Flag("disable-gpu", true),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-site-isolation-trials", true),
		chromedp.Flag("disable-features", "Translate,HttpsUpgrades,IsolateOrigins,site-per-process,PreloadTopChromeWebUI,MediaRouter,OptimizationHints,InterestFeedContentSuggestions"),
		chromedp.Flag("host-resolver-rules", strings.Join(rules, ", ")))
	ctx, stop := chromedp.NewExecAllocator(context.Background(), opts...)
	tb.Cleanup(stop)
	b.ctx, _ = chromedp.NewContext(ctx, chromedp.WithErrorf(func(string, ...any) {}))
	if err := chromedp.Do(b.ctx); err != nil { // a deadline here would end the browser
		tb.Fatalf("start %s: %v", chromium, err)
	}
	return b
}

// With returns the same browser for a subtest: its new tabs report to tb.
func (b *Browser) With(tb testing.TB) *Browser { return &Browser{tb: tb, ctx: b.ctx, home: b.home} }

// Tab opens a tab. All tabs of Tab share cookies.
func (b *Browser) Tab() *Tab { b.tb.Helper(); return newTab(b.tb, b.ctx) }

// Incognito opens a tab of another, fresh browser as far as a server can tell:
// no cookies, no remembered choice of certificate. It holds the same cards.
func (b *Browser) Incognito() *Tab {
	b.tb.Helper()
	return newTab(b.tb, b.ctx, chromedp.WithNewBrowserContext())
}

// writePreferences seeds the profile. auto_select_certificate does for this
// profile what the policy AutoSelectCertificateForUrls does for the machine.
func (b *Browser) writePreferences(o Options) {
	b.tb.Helper()
	sites, filter := map[string]any{}, map[string]any{}
	if o.Choose != "" {
		filter["SUBJECT"] = map[string]any{"CN": o.Choose}
	}
	for _, pattern := range o.CardHosts {
		sites[pattern+",*"] = map[string]any{"setting": map[string]any{"filters": []any{filter}}}
	}
	lang := o.Lang
	if lang == "" {
		lang = "en"
	}
	prefs, err := json.Marshal(map[string]any{
		"intl":    map[string]any{"accept_languages": lang, "selected_languages": lang},
		"profile": map[string]any{"content_settings": map[string]any{"exceptions": map[string]any{"auto_select_certificate": sites}}},
	})
	if err != nil {
		b.tb.Fatal(err)
	}
	b.write("profile/Default/Preferences", prefs)
}

func (b *Browser) file(name string) string { return filepath.Join(b.home, name) }

// write makes a file in the home and returns its path.
func (b *Browser) write(name string, data []byte) string {
	b.tb.Helper()
	if err := save(b.file(name), data); err != nil {
		b.tb.Fatal(err)
	}
	return b.file(name)
}

// removeHome comes after the browser was killed; its last children may still
// write for a moment.
func (b *Browser) removeHome() {
	var err error
	for range 100 {
		if err = os.RemoveAll(b.home); err == nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	b.tb.Errorf("remove the browser's home: %v", err)
}

func findChromium() string {
	for _, p := range []string{os.Getenv("PORTTI_TEST_CHROMIUM"), "/usr/lib/chromium/chromium", "chromium", "chromium-browser", "google-chrome"} {
		if _, err := exec.LookPath(p); p != "" && err == nil {
			return p
		}
	}
	return "chromium"
}

// missing skips the test, but fails it where nothing may be skipped.
func missing(tb testing.TB, format string, args ...any) {
	tb.Helper()
	if os.Getenv("CI") == "true" {
		tb.Fatalf(format, args...)
	}
	tb.Skipf(format, args...)
}

var unsafeInPath = regexp.MustCompile(`[^\pL\pN._/-]+`)

// artefact is the path of a file that outlives the test, or "" when none is kept.
func artefact(tb testing.TB, name string) string {
	dir := os.Getenv("PORTTI_TEST_ARTEFACTS")
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, unsafeInPath.ReplaceAllString(tb.Name(), "_"), unsafeInPath.ReplaceAllString(name, "_"))
}

func save(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o600)
}
