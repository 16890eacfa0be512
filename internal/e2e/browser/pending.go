package browser

import "context"

// Leave clicks on what leads to another page and does not wait for it. Until the
// other page answers, the one that was left is shown and its scripts run, but
// DevTools hears nothing of it: every other method waits for the end.
func (t *Tab) Leave(selector string) {
	t.tb.Helper()
	ctx, cancel := context.WithTimeout(t.ctx, t.patience)
	defer cancel()
	if err := t.click(ctx, selector); err != nil {
		t.fatalf("leave by %s: %v", selector, err)
	}
}
