package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/web"
	"github.com/portti-id/portti/internal/web/webtest"
)

// logged makes a site and the buffer that its log goes to.
func logged(t *testing.T, edit ...func(s *web.Settings)) (*web.Site, *bytes.Buffer) {
	t.Helper()
	log := new(bytes.Buffer)
	edit = append(edit, func(s *web.Settings) { s.Log = slog.New(slog.NewJSONHandler(log, nil)) })
	return webtest.NewSite(t, edit...), log
}

// lines are the log's lines.
func lines(t *testing.T, log *bytes.Buffer) []map[string]any {
	t.Helper()
	var all []map[string]any
	for line := range strings.Lines(log.String()) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("log line %q: %v", line, err)
		}
		all = append(all, m)
	}
	return all
}

func get(target string) *http.Request { return httptest.NewRequest("GET", target, nil) }

func serve(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func failing(err error) web.HandlerFunc {
	return func(http.ResponseWriter, *http.Request) error { return err }
}

func TestErrorsBecomeAStatusAPageAndALine(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		says   string // on the page, in English
		logs   string
		level  string
	}{
		{fault.New(fault.Invalid, "required", "secret message"), 400, "Fill in this field.", `"fault":"required"`, "INFO"},
		{fault.New(fault.Unauthenticated, "session_expired", "x"), 401, "Your session has expired.", `"fault":"session_expired"`, "INFO"},
		{fault.New(fault.Denied, "policy_denied", "x"), 403, "Your employer has not permitted this.", `"fault":"policy_denied"`, "INFO"},
		{fault.New(fault.NotFound, "no_such_code", "x"), 404, "The page does not exist", `"fault":"no_such_code"`, "INFO"},
		{fault.New(fault.Conflict, "card_linked_elsewhere", "x"), 409, "The card cannot be linked.", `"fault"`, "INFO"},
		{fault.New(fault.Gone, "enrolment_expired", "x"), 410, "The key is no longer valid.", `"fault"`, "INFO"},
		{fault.New(fault.Throttled, "throttled", "x").After(61 * time.Second), 429, "Try again in 2 minutes.", `"fault"`, "INFO"},
		{fault.New(fault.Throttled, "throttled", "x").With("n", "1"), 429, "Try again in a minute.", `"fault"`, "INFO"},
		{fault.New(fault.Throttled, "throttled", "x"), 429, "There have been too many attempts.", `"fault"`, "INFO"},
		{fault.New(fault.Unavailable, "busy", "x").After(time.Second), 503, "The service is busy", `"fault":"busy"`, "ERROR"},
		{fmt.Errorf("wrapped: %w", fault.New(fault.Denied, "policy_denied", "x")), 403, "Your employer", `"fault"`, "INFO"},
		{fault.New(99, "odd", "odd kind"), 500, "The error is ours", `"error":"odd kind"`, "ERROR"},
		{errors.New("disk on fire"), 500, "The error is ours", `"error":"disk on fire"`, "ERROR"},
		{context.DeadlineExceeded, 500, "The error is ours", `"error"`, "ERROR"},
	} {
		t.Run(c.err.Error(), func(t *testing.T) {
			site, log := logged(t)
			w := serve(site.Wrap(site.Handle(failing(c.err))), get("/?lang=en"))
			if w.Code != c.status || web.Status(c.err) != c.status {
				t.Errorf("status %d and %d, want %d", w.Code, web.Status(c.err), c.status)
			}
			body := w.Body.String()
			webtest.Check(t, w.Body.Bytes(), "en", "error")
			if !strings.Contains(body, c.says) {
				t.Errorf("the page does not say %q:\n%s", c.says, body)
			}
			for _, leak := range []string{"disk on fire", "secret message", "odd kind"} {
				if strings.Contains(body, leak) {
					t.Errorf("the page shows %q", leak)
				}
			}
			all := lines(t, log)
			if len(all) != 1 || all[0]["level"] != c.level || !strings.Contains(log.String(), c.logs) {
				t.Errorf("log %s, want one line at %s with %s", log, c.level, c.logs)
			}
			// The reference on the page is the one in the log.
			if ref, _ := all[0]["reference"].(string); len(ref) != 8 || !strings.Contains(body, ref) {
				t.Errorf("reference %q is not on the page", ref)
			}
			if f, ok := fault.Of(c.err); ok && f.RetryAfter > 0 && w.Header().Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
		})
	}
}

func TestRetryAfterRoundsUp(t *testing.T) {
	site := webtest.NewSite(t)
	w := serve(site.Handle(failing(fault.New(fault.Throttled, "throttled", "x").After(1500*time.Millisecond))), get("/"))
	if got := w.Header().Get("Retry-After"); got != "2" {
		t.Errorf("Retry-After %q, want 2", got)
	}
}

func TestFaultsOfFormsMayHaveATitleAndSteps(t *testing.T) {
	site := webtest.NewSite(t)
	w := serve(site.Handle(failing(fault.New(fault.Denied, "csrf", "x"))), get("/?lang=en"))
	for _, want := range []string{"<h1 id=\"error\">Open the page again</h1>", "Return to the service and log in again."} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

func TestJSONErrorsAreProblemDocuments(t *testing.T) {
	site, log := logged(t)
	h := site.HandleJSON(failing(fault.New(fault.Throttled, "throttled", "Wait.").In("code").With("n", "2").After(90 * time.Second)))
	w := serve(h, httptest.NewRequest("POST", "/api", nil)) // no cookie, no token: an API needs none
	if w.Code != 429 || w.Header().Get("Content-Type") != "application/problem+json" || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("status %d, headers %v", w.Code, w.Header())
	}
	var p struct {
		Type, Title, Detail, Code, Field, Reference string
		Status                                      int
		Args                                        map[string]string
		RetryAfter                                  int `json:"retry_after"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatal(err)
	}
	if p.Status != 429 || p.Code != "throttled" || p.Detail != "Wait." || p.Field != "code" || p.Args["n"] != "2" || p.RetryAfter != 90 || p.Type != "about:blank" || !strings.Contains(log.String(), p.Reference) {
		t.Errorf("%+v", p)
	}
	w = serve(site.HandleJSON(failing(errors.New("disk on fire"))), get("/api"))
	if w.Code != 500 || strings.Contains(w.Body.String(), "fire") || !strings.Contains(w.Body.String(), `"code":"internal"`) {
		t.Errorf("status %d, %s", w.Code, w.Body)
	}
}

func TestPanicsAreCaught(t *testing.T) {
	for name, wrap := range map[string]func(s *web.Site) http.Handler{
		"page": func(s *web.Site) http.Handler {
			return s.Handle(func(http.ResponseWriter, *http.Request) error { panic("boom") })
		},
		"json": func(s *web.Site) http.Handler {
			return s.HandleJSON(func(http.ResponseWriter, *http.Request) error { panic(errors.New("boom")) })
		},
		"plain": func(s *web.Site) http.Handler {
			return s.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("boom") }))
		},
	} {
		t.Run(name, func(t *testing.T) {
			site, log := logged(t)
			w := serve(wrap(site), get("/"))
			if w.Code != 500 || strings.Contains(w.Body.String(), "boom") {
				t.Errorf("status %d, %s", w.Code, w.Body)
			}
			all := lines(t, log)
			if len(all) != 1 || all[0]["error"] != "panic: boom" || !strings.Contains(fmt.Sprint(all[0]["stack"]), "handle_test.go") {
				t.Errorf("log %s", log)
			}
		})
	}
}

func TestAnAbortedRequestIsLoggedAndAborted(t *testing.T) {
	site, log := logged(t)
	defer func() {
		if recover() != http.ErrAbortHandler {
			t.Error("net/http is not told to hang up")
		}
		if len(lines(t, log)) != 1 {
			t.Errorf("log %s", log)
		}
	}()
	serve(site.Wrap(site.Handle(func(http.ResponseWriter, *http.Request) error { panic(http.ErrAbortHandler) })), get("/"))
}

func TestAnErrorAfterTheAnswerOnlyReachesTheLog(t *testing.T) {
	site, log := logged(t)
	w := serve(site.Handle(func(w http.ResponseWriter, r *http.Request) error {
		fmt.Fprint(w, "half")
		return errors.New("too late")
	}), get("/"))
	if w.Body.String() != "half" || w.Code != 200 {
		t.Errorf("status %d, %q", w.Code, w.Body)
	}
	if !strings.Contains(log.String(), "too late") {
		t.Errorf("log %s", log)
	}
}

func TestAReaderWhoHungUpIsNoError(t *testing.T) {
	site, log := logged(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := serve(site.Handle(func(w http.ResponseWriter, r *http.Request) error { return fmt.Errorf("query: %w", r.Context().Err()) }), get("/").WithContext(ctx))
	if w.Body.Len() != 0 || !strings.Contains(log.String(), `"status":499`) || strings.Contains(log.String(), "ERROR") {
		t.Errorf("%q, log %s", w.Body, log)
	}
}

func TestHeadersOfTheAnswerThatFailedAreGone(t *testing.T) {
	site := webtest.NewSite(t)
	w := serve(site.Handle(func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Location", "https://service.example.test/")
		w.Header().Set("Cache-Control", "public, max-age=60")
		w.Header().Set("Content-Length", "3")
		return errors.New("no")
	}), get("/"))
	if w.Header().Get("Location") != "" || w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Content-Length") == "3" {
		t.Errorf("headers %v", w.Header())
	}
}

func TestTheMuxsRefusalsBecomePages(t *testing.T) {
	site, log := logged(t)
	mux := http.NewServeMux()
	mux.Handle("POST /signin/{tx}", site.Handle(failing(nil)))
	mux.Handle("GET /own", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Error(w, "mine", 404) }))
	h := site.Wrap(mux)
	browser := func(method, target string) *http.Request {
		r := httptest.NewRequest(method, target, nil)
		r.Header.Set("Accept", "text/html,*/*;q=0.8")
		r.Header.Set("Accept-Language", "sv")
		return r
	}
	w := serve(h, browser("GET", "/nowhere/SECRETPATH?code=SECRET"))
	if w.Code != 404 {
		t.Errorf("status %d", w.Code)
	}
	webtest.Check(t, w.Body.Bytes(), "sv", "error")
	w = serve(h, browser("GET", "/signin/SECRETPATH"))
	if w.Code != 405 || w.Header().Get("Allow") != "POST" {
		t.Errorf("status %d, Allow %q", w.Code, w.Header().Get("Allow"))
	}
	webtest.Check(t, w.Body.Bytes(), "sv", "error")
	w = serve(h, httptest.NewRequest("GET", "/api/nowhere", nil))
	if w.Code != 404 || w.Header().Get("Content-Type") != "application/problem+json" || !strings.Contains(w.Body.String(), `"code":"not_found"`) {
		t.Errorf("status %d, %s", w.Code, w.Body)
	}
	// A handler's own 404 is its own.
	if w = serve(h, browser("GET", "/own")); w.Code != 404 || w.Body.String() != "mine\n" {
		t.Errorf("status %d, %q", w.Code, w.Body)
	}
	if strings.Contains(log.String(), "SECRET") {
		t.Errorf("the log shows a path: %s", log)
	}
}

func TestHEADHasNoBody(t *testing.T) {
	site := webtest.NewSite(t)
	h := site.Handle(func(w http.ResponseWriter, r *http.Request) error {
		return site.Render(w, r, 200, "userservices/signed_out", &plainPage{})
	})
	w := serve(h, httptest.NewRequest("HEAD", "/", nil))
	if w.Code != 200 || w.Body.Len() != 0 || w.Header().Get("Content-Length") == "0" {
		t.Errorf("status %d, %d bytes, length %s", w.Code, w.Body.Len(), w.Header().Get("Content-Length"))
	}
}

// Canary: what people type, carry and hold never reaches the log (ASVS 16.2.5).
func TestNoSecretReachesTheLog(t *testing.T) {
	const canary = "CANARY7f3a"
	site, log := logged(t)
	mux := http.NewServeMux()
	outcomes := []web.HandlerFunc{
		failing(nil), failing(errors.New("broken")), failing(fault.New(fault.Invalid, "required", "Wrong value %s.", canary).With("value", canary).In(canary)),
		func(w http.ResponseWriter, r *http.Request) error {
			p := &loginPage{Username: r.FormValue("username"), Password: true}
			return site.Render(w, r, 400, "signin/login", p)
		},
	}
	for i, f := range outcomes {
		mux.Handle(fmt.Sprintf("/%d/{tx}", i), site.Handle(f))
		mux.Handle(fmt.Sprintf("/json%d/{tx}", i), site.HandleJSON(f))
	}
	h := site.Wrap(mux)
	for _, method := range []string{"GET", "POST", "PUT", canary} {
		for _, path := range []string{"/0/", "/1/", "/2/", "/3/", "/json0/", "/json1/", "/json2/", "/nowhere/"} {
			r := httptest.NewRequest(method, path+canary+"?code="+canary, strings.NewReader("password="+canary+"&csrf="+canary))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("Authorization", "Bearer "+canary)
			r.Header.Set("Cookie", "__Host-browser="+canary+"; __Host-sid="+canary)
			r.Header.Set("Referer", "https://"+canary+".example.test/")
			r.Header.Set("User-Agent", canary)
			r.Header.Set("Origin", "https://"+canary+".example.test")
			r.Header.Set("X-Forwarded-For", canary)
			serve(h, r)
		}
	}
	if n := len(lines(t, log)); n != 32 {
		t.Errorf("%d log lines for 32 requests", n)
	}
	if strings.Contains(log.String(), canary) {
		t.Errorf("the log has a secret: %s", log)
	}
}

func TestTheLogLineNamesTheRoute(t *testing.T) {
	site, log := logged(t)
	mux := http.NewServeMux()
	mux.Handle("GET /signin/{tx}/code", site.Handle(failing(nil)))
	serve(site.Wrap(mux), get("/signin/abc/code?x=1"))
	line := lines(t, log)[0]
	if line["route"] != "GET /signin/{tx}/code" || line["status"] != float64(200) || line["method"] != "GET" || line["address"] != "192.0.2.1" || line["took"] == nil {
		t.Errorf("%v", line)
	}
}

func TestBodiesAreBounded(t *testing.T) {
	site := webtest.NewSite(t)
	big := strings.Repeat("a", 65<<10)
	r := httptest.NewRequest("POST", "/?lang=en", strings.NewReader("x="+big))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if w := serve(site.Handle(failing(nil)), r); w.Code != 413 {
		t.Errorf("page: status %d", w.Code)
	}
	r = httptest.NewRequest("POST", "/", strings.NewReader("x="+big))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if w := serve(site.HandleCrossSite(failing(nil)), r); w.Code != 413 {
		t.Errorf("cross-site: status %d", w.Code)
	}
	read := site.HandleJSON(func(w http.ResponseWriter, r *http.Request) error {
		_, err := io.ReadAll(r.Body)
		return err
	})
	if w := serve(read, httptest.NewRequest("POST", "/", strings.NewReader(big))); w.Code != 413 || !strings.Contains(w.Body.String(), "body_too_large") {
		t.Errorf("JSON: status %d %s", w.Code, w.Body)
	}
}

func TestTextThatNoDatabaseTakesIsRefused(t *testing.T) {
	site := webtest.NewSite(t)
	for _, target := range []string{"/?q=a%00b", "/?q=%ff%fe", "/?%00=a", "/?q=%zz"} {
		if w := serve(site.Handle(failing(nil)), get(target)); w.Code != 400 {
			t.Errorf("GET %s: status %d", target, w.Code)
		}
	}
}
