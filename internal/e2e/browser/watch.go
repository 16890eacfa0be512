package browser

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
)

// watch follows one tab by what Chromium tells, so that nobody has to sleep.
// A navigation of the main frame is told as
//
//	frameRequestedNavigation   the page asked (not when the browser did)
//	frameStartedNavigating     a request goes out; redirects stay within it
//	frameStartedLoading
//	frameNavigated             the answer became the document; not for 204, a download or a refusal by CSP
//	frameStoppedLoading        loaded, or given up
//
// The first comes before the answer to any command sent after the click that
// caused it, so one round trip after a click tells whether it navigates.
type watch struct {
	mu      sync.Mutex
	main    cdp.FrameID
	changed chan struct{} // closed and replaced at each event

	asked     bool // requested, not started
	started   bool // started, neither loading nor committed
	loading   bool
	url       string // where the last navigation began
	moves     int    // documents committed, and moves within one
	dead      string // the address whose error page is shown
	loader    cdp.LoaderID
	documents map[network.RequestID]string // requests for documents, and why they failed
	errors    []string                     // of the console
}

func newWatch(main cdp.FrameID) *watch {
	return &watch{main: main, changed: make(chan struct{}), documents: map[network.RequestID]string{}}
}

// event is called for each event in its order, and must not block.
func (w *watch) event(ev any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch ev := ev.(type) {
	case *page.EventFrameRequestedNavigation:
		if ev.FrameID == w.main && ev.Disposition == page.ClientNavigationDispositionCurrentTab {
			w.asked, w.url = true, ev.URL
		}
	case *page.EventFrameStartedNavigating:
		if ev.FrameID == w.main {
			w.asked, w.started, w.url = false, true, ev.URL
			w.documents[network.RequestID(ev.LoaderID)] = ""
		}
	case *page.EventFrameStartedLoading:
		if ev.FrameID == w.main {
			w.started, w.loading = false, true
		}
	case *page.EventFrameNavigated:
		if ev.Frame.ID == w.main {
			// A page out of the back/forward cache is whole, and has stopped loading before.
			w.started, w.loading = false, ev.Type != page.NavigationTypeBackForwardCacheRestore
			w.dead, w.loader = ev.Frame.UnreachableURL, ev.Frame.LoaderID
			w.moves++
		}
	case *page.EventNavigatedWithinDocument:
		if ev.FrameID == w.main {
			w.asked, w.started = false, false
			w.moves++
		}
	case *page.EventFrameStoppedLoading:
		if ev.FrameID == w.main {
			w.loading = false
		}
	case *network.EventLoadingFailed:
		if _, ok := w.documents[ev.RequestID]; ok {
			w.documents[ev.RequestID] = ev.ErrorText
		}
	case *log.EventEntryAdded:
		// The status of a document is for the test to judge by its text, and
		// the browser asks for favicon.ico by itself.
		_, document := w.documents[ev.Entry.NetworkRequestID]
		if ev.Entry.Level == log.EntryLevelError && !document && !strings.HasSuffix(ev.Entry.URL, "/favicon.ico") {
			w.complain("%s: %s (%s)", ev.Entry.Source, ev.Entry.Text, ev.Entry.URL)
		}
	case *runtime.EventExceptionThrown:
		text := ev.ExceptionDetails.Text
		if ev.ExceptionDetails.Exception != nil {
			text += " " + ev.ExceptionDetails.Exception.Description
		}
		w.complain("uncaught: %s (%s:%d)", text, ev.ExceptionDetails.URL, ev.ExceptionDetails.LineNumber+1)
	case *runtime.EventConsoleAPICalled:
		if ev.Type == runtime.ConsoleAPICalledTypeError || ev.Type == runtime.ConsoleAPICalledTypeAssert {
			var words []string
			for _, a := range ev.Args {
				words = append(words, strings.TrimSpace(a.Description+" "+strings.Trim(string(a.Value), `"`)))
			}
			w.complain("console.%s: %s", ev.Type, strings.Join(words, " "))
		}
	default:
		return
	}
	close(w.changed)
	w.changed = make(chan struct{})
}

func (w *watch) complain(format string, args ...any) {
	w.errors = append(w.errors, strings.TrimSpace(fmt.Sprintf(format, args...)))
}

// idle tells that no navigation is asked for, begun or loading.
func (w *watch) idle() bool { return !w.asked && !w.started && !w.loading }

// until waits for a condition, which is read under the lock.
func (w *watch) until(ctx context.Context, ok func() bool) error {
	for {
		w.mu.Lock()
		done, changed, url := ok(), w.changed, w.url
		w.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%s did not finish loading (does an invisible dialog ask which certificate to send?)", url)
		}
	}
}

// state returns whether the tab rests, how often it moved, and why its
// document is an error page of the browser, if it is.
func (w *watch) state() (idle bool, moves int, dead error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dead != "" {
		dead = fmt.Errorf("%s did not load: %s", w.dead, w.documents[network.RequestID(w.loader)])
	}
	return w.idle(), w.moves, dead
}
