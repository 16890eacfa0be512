package signin

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
)

var languageLink = regexp.MustCompile(`href="([^"?]*)\?lang=sv"`)

// S68: a form that came without its cookies ends on a page whose languages lead to where
// the form was, and not out of the house: of all the forms of the router.
func TestTheLanguagesOfARestartLeadToItsForm(t *testing.T) {
	k := newKit(t)
	mux := &routeList{ServeMux: http.NewServeMux()}
	k.pages.routes(mux)
	forms := 0
	for _, pattern := range mux.patterns {
		method, path, _ := strings.Cut(pattern, " ")
		if method != http.MethodPost || strings.Contains(path, "{tx}") {
			continue
		}
		forms++
		page := k.browser().post(strings.NewReplacer("{secret}", "SECRET", "{visit}", "VISIT").Replace(path), map[string][]string{"csrf": {"x"}})
		first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
		if m := languageLink.FindStringSubmatch(page.body); m == nil || !strings.HasPrefix(m[1], "/"+first) {
			t.Errorf("%s: %d %q", pattern, page.status, m)
		}
	}
	if forms < 10 {
		t.Errorf("only %d forms", forms)
	}
}
