package browser

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// finish judges the console and, of a failed test, keeps what the tab shows.
func (t *Tab) finish() {
	for _, e := range t.Console() {
		if !slices.ContainsFunc(t.allowed, func(ok string) bool { return strings.Contains(e, ok) }) {
			t.tb.Errorf("console error: %s", e)
		}
	}
	if !t.tb.Failed() {
		return
	}
	file := artefact(t.tb, "failure-"+string(t.watch.main)[:8])
	if file == "" {
		t.tb.Log("set PORTTI_TEST_ARTEFACTS to a folder to get a screenshot of this failure")
		return
	}
	ctx, cancel := context.WithTimeout(t.ctx, t.patience)
	defer cancel()
	err := save(file+".txt", []byte(t.describe()))
	png, shotErr := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if shotErr == nil {
		shotErr = save(file+".png", png)
	}
	t.tb.Logf("the tab when the test failed: %s.png %v", file, errors.Join(err, shotErr))
}

// describe is the address and the visible text.
func (t *Tab) describe() string {
	ctx, cancel := context.WithTimeout(t.ctx, t.patience/2)
	defer cancel()
	var seen string
	if err := eval(ctx, `location.href + "\n" + document.title + "\n\n" + (document.body?.innerText ?? "")`, &seen); err != nil {
		return "nothing that can be read: " + err.Error()
	}
	return seen
}

// fatalf ends the test with a message and what the tab shows.
func (t *Tab) fatalf(format string, args ...any) {
	t.tb.Helper()
	if idle, _, _ := t.watch.state(); !idle { // a page in the middle of a navigation answers nothing
		ctx, cancel := context.WithTimeout(t.ctx, t.patience/2)
		defer cancel()
		_ = command(page.StopLoading, cdp.Empty{})(ctx) // if it fails, describe says so
	}
	t.tb.Fatalf(format+"\nthe tab shows %.2000s", append(args, t.describe())...)
}
