package browser

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// must does an action or fails the test.
func (t *Tab) must(what string, action func(context.Context) error) {
	t.tb.Helper()
	if err := t.act(action); err != nil {
		t.fatalf("%s: %v", what, err)
	}
}

// act does an action on a page at rest and waits until the page rests again.
// That a page did not load is the error of the action that led there.
func (t *Tab) act(action func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(t.ctx, t.patience)
	defer cancel()
	if err := t.settle(ctx); err != nil {
		return err
	}
	_, before, _ := t.watch.state()
	err := action(ctx)
	if idle, _, _ := t.watch.state(); err != nil && (idle || ctx.Err() == nil) {
		return err
	}
	if err := t.settle(ctx); err != nil { // also tells what kept the action waiting
		return err
	}
	if _, after, dead := t.watch.state(); after != before {
		return dead
	}
	return nil
}

// settle waits until no navigation is under way, nor set off by what was done
// before the call.
func (t *Tab) settle(ctx context.Context) error {
	for {
		if err := t.watch.until(ctx, t.watch.idle); err != nil {
			return err
		}
		if err := t.barrier(ctx); err != nil {
			return err
		}
		if idle, _, _ := t.watch.state(); idle {
			return nil
		}
	}
}

// barrier makes a round trip to the page: what it told before has then arrived.
func (t *Tab) barrier(ctx context.Context) error {
	return command(page.Enable, page.EnableParams{})(ctx)
}

// move does what certainly leads to another document or another place in one.
func (t *Tab) move(ctx context.Context, leave func(context.Context) error) error {
	_, before, _ := t.watch.state()
	if err := leave(ctx); err != nil {
		return err
	}
	return t.watch.until(ctx, func() bool { return t.watch.moves > before })
}

// retry repeats f on a page at rest until it succeeds, or returns its last error.
func (t *Tab) retry(ctx context.Context, f func() error) error {
	var last error
	for {
		err := t.settle(ctx)
		if err == nil {
			err = f()
		}
		if err == nil || ctx.Err() != nil {
			if last == nil || err == nil {
				return err
			}
			return last
		}
		last = err
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

//go:embed find.js
var findJS string

// find calls a function of find.js until the element is as the function needs it.
func (t *Tab) find(ctx context.Context, function string, into any, args ...string) error {
	return t.retry(ctx, func() error { return t.call(ctx, function, into, args...) })
}

func (t *Tab) call(ctx context.Context, function string, into any, args ...string) error {
	list, err := json.Marshal(args)
	if err != nil {
		return err
	}
	var res struct {
		Wrong string
		Value json.RawMessage
	}
	if err := eval(ctx, fmt.Sprintf("(%s)(%q, %s)", strings.TrimSpace(findJS), function, list), &res); err != nil {
		return err
	}
	if res.Wrong != "" {
		return errors.New(res.Wrong)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(res.Value, into)
}

func eval(ctx context.Context, js string, into any) error {
	raw, err := chromedp.Run(ctx, chromedp.Evaluate[[]byte](js, chromedp.EvalAsValue, chromedp.EvalAwaitPromise))
	if err != nil || into == nil {
		return err
	}
	if len(raw) == 0 {
		return errors.New("the script gave no value")
	}
	return json.Unmarshal(raw, into)
}

// command is an action that sends one DevTools command.
func command[P, R any](c cdp.Command[P, R], params P) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := chromedp.Call(ctx, c, params)
		return err
	}
}
