package browser

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/dom"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/storage"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// patience is how long an action waits for what it needs.
const patience = 10 * time.Second

// Tab is one tab.
//
// A selector is CSS, or "=" and the visible words of a link, a button or a
// field's label ("=Sign in"). Of several matches the first visible one counts.
type Tab struct {
	tb       testing.TB
	ctx      context.Context
	watch    *watch
	allowed  []string
	shots    int
	noScript bool
	patience time.Duration
}

func newTab(tb testing.TB, parent context.Context, opts ...chromedp.ContextOption) *Tab {
	tb.Helper()
	ctx, _ := chromedp.NewContext(parent, opts...)
	if err := chromedp.Do(ctx); err != nil { // opens the tab; a deadline here would close it
		tb.Fatalf("open a tab: %v", err)
	}
	t := &Tab{tb: tb, ctx: ctx, watch: newWatch(cdp.FrameID(chromedp.FromContext(ctx).Target.TargetID)), patience: patience}
	if err := chromedp.Listen(ctx, t.watch.event); err != nil {
		tb.Fatalf("open a tab: %v", err)
	}
	tb.Cleanup(t.finish)
	return t
}

// Another opens a second tab of the same browser context, with the same cookies.
func (t *Tab) Another() *Tab { t.tb.Helper(); return newTab(t.tb, t.ctx) }

// Open goes to an address. The browser's own error page (no such name, refused
// certificate) fails the test; an error status of the server does not.
func (t *Tab) Open(url string) {
	t.tb.Helper()
	if err := t.TryOpen(url); err != nil {
		t.fatalf("open %s: %v", url, err)
	}
}

// TryOpen is Open for an address that may not load.
func (t *Tab) TryOpen(url string) error {
	return t.act(func(ctx context.Context) error {
		res, err := chromedp.Call(ctx, page.Navigate, page.NavigateParams{URL: url})
		if err == nil && res.ErrorText != "" {
			err = errors.New(res.ErrorText)
		}
		return err
	})
}

// Click presses the mouse on an element and, when that leads to another page,
// returns after the whole chain of redirects has loaded.
func (t *Tab) Click(selector string) {
	t.tb.Helper()
	t.must("click "+selector, func(ctx context.Context) error { return t.click(ctx, selector) })
}

func (t *Tab) click(ctx context.Context, selector string) error {
	var spot struct{ X, Y float64 }
	if err := t.find(ctx, "spot", &spot, selector); err != nil {
		return err
	}
	return chromedp.Do(ctx, chromedp.MouseClickXY(spot.X, spot.Y))
}

// TryClick is Click on what may lead to the browser's own error page, which is then the
// error.
func (t *Tab) TryClick(selector string) error {
	return t.act(func(ctx context.Context) error { return t.click(ctx, selector) })
}

// StartClick is Click on what leads to a page that does not come, such as one for which
// a dialog asks that nobody sees. Until another page comes, the tab answers nothing,
// though its own scripts go on.
func (t *Tab) StartClick(selector string) {
	t.tb.Helper()
	ctx, cancel := context.WithTimeout(t.ctx, t.patience)
	defer cancel()
	err := t.settle(ctx)
	if err == nil {
		err = t.click(ctx, selector)
	}
	if err != nil {
		t.fatalf("click %s: %v", selector, err)
	}
}

// Fill replaces what a text field holds as typing does, or picks the option of
// a select by its value.
func (t *Tab) Fill(selector, value string) {
	t.tb.Helper()
	t.must(fmt.Sprintf("fill %s with %q", selector, value), func(ctx context.Context) error {
		var picked bool
		if err := t.find(ctx, "clear", &picked, selector, value); err != nil || picked {
			return err
		}
		if _, err := chromedp.Call(ctx, input.InsertText, input.InsertTextParams{Text: value}); err != nil {
			return err
		}
		var got string
		if err := t.find(ctx, "text", &got, selector); err != nil {
			return err
		}
		if got != value {
			return fmt.Errorf("the field took %q", got)
		}
		return nil
	})
}

// Attach chooses a file for a file field, as the dialog that it opens would.
func (t *Tab) Attach(selector, path string) {
	t.tb.Helper()
	t.must(fmt.Sprintf("attach %s to %s", path, selector), func(ctx context.Context) error {
		if err := t.find(ctx, "focus", nil, selector); err != nil {
			return err
		}
		field, err := chromedp.Call(ctx, runtime.Evaluate, runtime.EvaluateParams{Expression: "document.activeElement"})
		if err != nil {
			return err
		}
		_, err = chromedp.Call(ctx, dom.SetFileInputFiles, dom.SetFileInputFilesParams{Files: []string{path}, ObjectID: field.Result.ObjectID})
		return err
	})
}

// Status is that of the server's answer which is the page.
func (t *Tab) Status() (status int) {
	t.tb.Helper()
	t.Eval(`performance.getEntriesByType("navigation")[0].responseStatus`, &status)
	return status
}

// Submit presses Enter in a field, which submits its form, and waits as Click does.
func (t *Tab) Submit(selector string) {
	t.tb.Helper()
	t.must("press Enter in "+selector, func(ctx context.Context) error {
		if err := t.find(ctx, "focus", nil, selector); err != nil {
			return err
		}
		return chromedp.Do(ctx, chromedp.KeyEvent(kb.Enter))
	})
}

// Press types keys where the focus is, such as kb.Tab, and waits as Click does.
func (t *Tab) Press(keys string) {
	t.tb.Helper()
	t.must(fmt.Sprintf("press %q", keys), func(ctx context.Context) error { return chromedp.Do(ctx, chromedp.KeyEvent(keys)) })
}

// Text returns the visible text of an element, or the value of a field, once it is there.
func (t *Tab) Text(selector string) (text string) {
	t.tb.Helper()
	t.must("read "+selector, func(ctx context.Context) error { return t.find(ctx, "text", &text, selector) })
	return text
}

// Has tells whether the loaded page shows an element now.
func (t *Tab) Has(selector string) (has bool) {
	t.tb.Helper()
	t.must("look for "+selector, func(ctx context.Context) error { return t.call(ctx, "has", &has, selector) })
	return has
}

// WaitFor waits until the page shows an element.
func (t *Tab) WaitFor(selector string) {
	t.tb.Helper()
	t.must("wait for "+selector, func(ctx context.Context) error { return t.find(ctx, "text", nil, selector) })
}

// WaitURL waits until the address begins with prefix.
func (t *Tab) WaitURL(prefix string) {
	t.tb.Helper()
	t.WaitURLThat("begins with "+prefix, func(url string) bool { return strings.HasPrefix(url, prefix) })
}

// WaitURLThat waits until the address is as wanted; what says so in words.
func (t *Tab) WaitURLThat(what string, wanted func(url string) bool) {
	t.tb.Helper()
	t.must("wait for an address that "+what, func(ctx context.Context) error {
		return t.retry(ctx, func() error {
			url, err := chromedp.Run(ctx, chromedp.Evaluate[string]("location.href"))
			if err == nil && !wanted(url) {
				err = errors.New("it does not")
			}
			return err
		})
	})
}

// URL returns the address.
func (t *Tab) URL() (url string) { t.tb.Helper(); t.Eval("location.href", &url); return url }

// Title returns the title.
func (t *Tab) Title() (title string) { t.tb.Helper(); t.Eval("document.title", &title); return title }

// Eval runs JavaScript, waits for its promise if it is one, and decodes the
// result as JSON into the pointer, unless that is nil.
func (t *Tab) Eval(js string, into any) {
	t.tb.Helper()
	t.must("run "+js, func(ctx context.Context) error { return eval(ctx, js, into) })
}

// Back presses the browser's back button.
func (t *Tab) Back() {
	t.tb.Helper()
	t.must("go back", func(ctx context.Context) error {
		h, err := chromedp.Call(ctx, page.GetNavigationHistory, cdp.Empty{})
		if err != nil {
			return err
		}
		if h.CurrentIndex < 1 {
			return errors.New("there is no earlier page")
		}
		return t.move(ctx, command(page.NavigateToHistoryEntry, page.NavigateToHistoryEntryParams{EntryID: h.Entries[h.CurrentIndex-1].ID}))
	})
}

// Reload presses the reload button.
func (t *Tab) Reload() {
	t.tb.Helper()
	t.must("reload", func(ctx context.Context) error { return t.move(ctx, command(page.Reload, page.ReloadParams{})) })
}

// Cookies returns every cookie of the tab's browser context.
func (t *Tab) Cookies() (cookies []*http.Cookie) {
	t.tb.Helper()
	t.must("read cookies", func(ctx context.Context) error {
		res, err := chromedp.CallBrowser(ctx, storage.GetCookies, storage.GetCookiesParams{
			BrowserContextID: chromedp.FromContext(t.ctx).BrowserContextID})
		for _, c := range res.Cookies {
			cookies = append(cookies, &http.Cookie{Name: c.Name, Value: c.Value, Domain: c.Domain, Path: c.Path,
				Secure: c.Secure, HttpOnly: c.HTTPOnly, SameSite: sameSite[c.SameSite]})
		}
		return err
	})
	return cookies
}

var sameSite = map[network.CookieSameSite]http.SameSite{network.CookieSameSiteLax: http.SameSiteLaxMode,
	network.CookieSameSiteStrict: http.SameSiteStrictMode, network.CookieSameSiteNone: http.SameSiteNoneMode}

// ClearCookies forgets every cookie of the tab's browser context.
func (t *Tab) ClearCookies() {
	t.tb.Helper()
	t.must("clear cookies", command(network.ClearBrowserCookies, cdp.Empty{}))
}

// Viewport sets the size of the page in CSS pixels, e.g. 320 x 640 for a telephone.
func (t *Tab) Viewport(width, height int64) {
	t.tb.Helper()
	t.must("set the viewport", command(emulation.SetDeviceMetricsOverride,
		emulation.SetDeviceMetricsOverrideParams{Width: width, Height: height, DeviceScaleFactor: 1}))
}

// DarkMode says that the person prefers dark colours, or light ones.
func (t *Tab) DarkMode(on bool) {
	t.tb.Helper()
	scheme := map[bool]string{true: "dark", false: "light"}[on]
	t.must("prefer "+scheme, command(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}))
}

// Paper shows pages as they are printed, or on a screen again.
func (t *Tab) Paper(on bool) {
	t.tb.Helper()
	media := map[bool]string{true: "print", false: ""}[on]
	t.must("show paper", command(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: media}))
}

// DisableScript stops the scripts of the pages opened from now on. Only Eval
// with a timer in it does not work then; all else does.
func (t *Tab) DisableScript(off bool) {
	t.tb.Helper()
	t.noScript = off
	t.must("switch scripts", setScript(!off))
}

func setScript(on bool) func(context.Context) error {
	return command(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !on})
}

// Screenshot keeps the whole page as NN-name.png in the artefacts folder.
func (t *Tab) Screenshot(name string) {
	t.tb.Helper()
	t.shots++
	file := artefact(t.tb, fmt.Sprintf("%02d-%s.png", t.shots, name))
	if file == "" {
		return
	}
	t.must("take a screenshot", func(ctx context.Context) error {
		yes := true // a larger file is written sooner
		res, err := chromedp.Call(ctx, page.CaptureScreenshot, page.CaptureScreenshotParams{CaptureBeyondViewport: &yes, OptimizeForSpeed: &yes})
		if err != nil {
			return err
		}
		return save(file, res.Data)
	})
}

// Picture returns an element as a camera sees it that is held close: twice the size.
func (t *Tab) Picture(selector string) (picture image.Image) {
	t.tb.Helper()
	t.must("take a picture of "+selector, func(ctx context.Context) error {
		var clip page.Viewport
		if err := t.find(ctx, "box", &clip, selector); err != nil {
			return err
		}
		clip.Scale = 2
		beyond := true
		res, err := chromedp.Call(ctx, page.CaptureScreenshot, page.CaptureScreenshotParams{Clip: &clip, CaptureBeyondViewport: &beyond})
		if err != nil {
			return err
		}
		picture, err = png.Decode(bytes.NewReader(res.Data))
		return err
	})
	return picture
}

// Console returns the errors so far: of the console, of scripts, of loading
// parts of a page, and violations of the Content-Security-Policy.
func (t *Tab) Console() []string {
	ctx, cancel := context.WithTimeout(t.ctx, t.patience)
	defer cancel()
	_ = t.barrier(ctx) // a dead tab tells no more
	t.watch.mu.Lock()
	defer t.watch.mu.Unlock()
	return slices.Clone(t.watch.errors)
}

// Allow lets console errors that contain text pass.
func (t *Tab) Allow(text string) { t.allowed = append(t.allowed, text) }
