package browser

import (
	"bytes"
	"fmt"
	"html"
	"image"
	"image/png"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"
)

// site is a small web site: a form that ends, over two hosts, on a page with
// a slow picture, and pages for what else a browser meets. It returns the port.
func site(t *testing.T) string {
	mux := http.NewServeMux()
	pages := map[string]string{
		"/form": `<form method="post"><label for="name">Your name</label><input id="name" name="name" required maxlength="20">
			<label><input type="checkbox" name="ok"> I agree</label>
			<select name="lang" id="lang"><option value="fi">suomi<option value="sv">svenska</select>
			<button id="go">Go on</button></form>`,
		"/else": `<p id="text">Here.</p><p hidden id="hidden">Hidden.</p><a href="#place">Place</a> <a href="/nothing">Nothing</a>
			<a href="/file">File</a> <a href="http://127.0.0.1:1/">Dead</a> <button disabled>Disabled</button>
			<div style="position:relative"><button>Covered</button><div id="lid" style="position:absolute;inset:0"></div></div>
			<button onclick="setTimeout(() => location = '/form', 200)">Later</button>
			<form action="/auto"><button>Automatic</button></form>`,
		"/auto":    `<form action="/form" id="f"></form><script>f.submit()</script>`,
		"/script":  `<noscript><p id="off">Without script.</p></noscript><p id="p"></p><script>p.textContent = "With script."</script>`,
		"/planted": `<img src="http://127.0.0.1:1/x.png" alt=""><script>var x</script>`,
		"/noise":   `<script>console.error("told", {a: 1}); nowhere()</script>`,
		"/good":    `<form><label for="u">User name</label><input id="u" autocomplete="username"><button>Continue</button></form>`,
		"/bad":     `<input id="u"><img src="data:image/gif;base64,R0lGODlhAQABAAAAACw="><p style="color:#bbb;background:#fff">dim</p>`,
		"/box":     `<div style="height:3000px"></div><div id="box" style="width:50px;height:30px;background:#ff0000"></div>`,
		"/tall":    `<div style="height:3000px"></div><p>end</p>`,
	}
	show := func(w http.ResponseWriter, body string) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, `<!doctype html><html lang="en"><title>Site</title><main><h1>Site</h1>%s</main></html>`, body)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		body, ok := pages[r.URL.Path]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
		}
		if r.URL.Path == "/planted" || r.URL.Query().Has("csp") {
			w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'")
		}
		show(w, body)
	})
	mux.HandleFunc("POST /form", func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(200 * time.Millisecond)
		http.SetCookie(w, &http.Cookie{Name: "visit", Value: "1", HttpOnly: true, SameSite: http.SameSiteLaxMode})
		_, port, _ := strings.Cut(r.Host, ":")
		http.Redirect(w, r, "http://other.localhost:"+port+"/hop?who="+r.FormValue("name")+"+"+r.FormValue("ok")+"+"+r.FormValue("lang"), http.StatusSeeOther)
	})
	mux.HandleFunc("/hop", func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(100 * time.Millisecond)
		http.Redirect(w, r, "/done?"+r.URL.RawQuery, http.StatusSeeOther)
	})
	mux.HandleFunc("/done", func(w http.ResponseWriter, r *http.Request) {
		show(w, `<p id="who">`+html.EscapeString(r.FormValue("who"))+`</p><img src="/slow.png" alt="">`)
	})
	mux.HandleFunc("/slow.png", func(w http.ResponseWriter, r *http.Request) { time.Sleep(200 * time.Millisecond) })
	mux.HandleFunc("/nothing", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("/file", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Disposition", "attachment; filename=a.bin")
		fmt.Fprint(w, "a")
	})
	mux.HandleFunc("/lang", func(w http.ResponseWriter, r *http.Request) { show(w, r.Header.Get("Accept-Language")) })
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return srv.URL[strings.LastIndex(srv.URL, ":")+1:]
}

func want[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func TestFormLeadsOverTwoHosts(t *testing.T) {
	t.Parallel()
	form := "http://site.localhost:" + site(t) + "/form"
	tab := Start(t, Options{}).Tab()
	tab.Open(form)
	tab.Click("#go")
	want(t, "a required field holds the form back", tab.URL(), form)
	tab.Fill("#name", "Nobody")
	tab.Fill("=Your name", "Liisa Öhman")
	tab.Click("=I agree")
	tab.Fill("#lang", "sv")
	tab.Click("=Go on")
	want(t, "right after the click", tab.Has("#who"), true)
	want(t, "sent", tab.Text("#who"), "Liisa Öhman on sv")
	tab.WaitURL("http://other.localhost:")
	want(t, "title", tab.Title(), "Site")
	want(t, "cookies", len(tab.Cookies()), 1)
	want(t, "HttpOnly", tab.Cookies()[0].HttpOnly, true)

	tab.Back()
	want(t, "back", tab.URL(), form)
	tab.Reload()
	tab.Fill("#name", "Ville")
	tab.Submit("#name")
	want(t, "by Enter", tab.Text("#who"), "Ville fi")
	tab.ClearCookies()
	want(t, "cookies", len(tab.Cookies()), 0)
}

func TestClicksThatLeadNowhere(t *testing.T) {
	t.Parallel()
	here := "http://site.localhost:" + site(t) + "/else"
	tab := Start(t, Options{}).Tab()
	tab.Open(here)
	for link, after := range map[string]string{"=Nothing": here, "=File": here, "=Place": here + "#place"} {
		tab.Open(here)
		tab.Click(link)
		want(t, link, tab.URL(), after)
	}
	tab.Back()
	tab.Click("=Later")
	tab.WaitURL(strings.Replace(here, "/else", "/form", 1))
	tab.WaitFor("#name")
	tab.Open(here)
	tab.Click("=Automatic")
	want(t, "a form that submits itself is followed", tab.Has("#name"), true)
	tab.Press(kb.Tab)
	var focus string
	tab.Eval("Promise.resolve(document.activeElement.id)", &focus)
	want(t, "focus", focus, "name")
}

func TestActionsSayWhatWentWrong(t *testing.T) {
	t.Parallel()
	port := site(t)
	b := Start(t, Options{})
	soon := func(action func(*Tab)) func(*Tab) {
		return func(tab *Tab) { tab.patience = time.Second; action(tab) }
	}
	for name, c := range map[string]struct {
		action func(*Tab)
		says   string
	}{
		"missing":     {soon(func(tab *Tab) { tab.Click("#absent") }), "click #absent: nothing matches"},
		"invisible":   {soon(func(tab *Tab) { tab.Text("#hidden") }), "read #hidden: it is there, but not visible"},
		"disabled":    {soon(func(tab *Tab) { tab.Click("=Disabled") }), "it is disabled"},
		"covered":     {soon(func(tab *Tab) { tab.Click("=Covered") }), `it is covered by <div id="lid"`},
		"dead link":   {func(tab *Tab) { tab.Click("=Dead") }, "http://127.0.0.1:1/ did not load: net::ERR_"},
		"dead name":   {func(tab *Tab) { tab.Open("http://example.com/") }, "net::ERR_NAME_NOT_RESOLVED"},
		"not there":   {soon(func(tab *Tab) { tab.WaitURL("http://x/") }), "wait for an address that begins with http://x/"},
		"no field":    {soon(func(tab *Tab) { tab.Fill("#text", "x") }), "it takes no focus"},
		"no way back": {func(tab *Tab) { tab.Back(); tab.Back() }, "there is no earlier page"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mustFail(t, func(tb testing.TB) {
				tab := b.With(tb).Incognito()
				tab.Open("http://site.localhost:" + port + "/else")
				c.action(tab)
			}, c.says, "the tab shows ")
		})
	}
}

func TestPictureIsOfTheElementTwiceTheSize(t *testing.T) {
	t.Parallel()
	tab := Start(t, Options{}).Tab()
	tab.Open("http://site.localhost:" + site(t) + "/box")
	picture := tab.Picture("#box")
	if size := picture.Bounds().Size(); size.X != 100 || size.Y != 60 {
		t.Errorf("size %v", size)
	}
	for _, at := range []image.Point{{2, 2}, {97, 57}} {
		if r, g, b, _ := picture.At(at.X, at.Y).RGBA(); r < 0xf000 || g > 0x1000 || b > 0x1000 {
			t.Errorf("at %v: %x %x %x", at, r, g, b)
		}
	}
}

func TestFailureLeavesScreenshotAndText(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PORTTI_TEST_ARTEFACTS", dir)
	port := site(t)
	b := Start(t, Options{})
	mustFail(t, func(tb testing.TB) {
		tab := b.With(tb).Tab()
		tab.Viewport(320, 640)
		tab.Open("http://site.localhost:" + port + "/tall")
		tab.Screenshot("tall page")
		tab.patience = 2 * time.Second
		tab.Click("#absent")
	}, "click #absent", "/tall\nSite\n\nSite\n", dir)
	folder := filepath.Join(dir, t.Name())
	for pattern, height := range map[string]int{"01-tall_page.png": 3000, "failure-*.png": 3000} {
		files, _ := filepath.Glob(filepath.Join(folder, pattern))
		if len(files) != 1 {
			t.Fatalf("%s: %v", pattern, files)
		}
		data, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		picture, err := png.DecodeConfig(bytes.NewReader(data))
		if err != nil || picture.Height < height || picture.Width != 320 {
			t.Errorf("%s: %dx%d %v", pattern, picture.Width, picture.Height, err)
		}
	}
	texts, _ := filepath.Glob(filepath.Join(folder, "failure-*.txt"))
	if len(texts) != 1 {
		t.Fatal(texts)
	}
	text, err := os.ReadFile(texts[0])
	if err != nil || !strings.Contains(string(text), ":"+port+"/tall\n") || !strings.Contains(string(text), "end") {
		t.Errorf("%q %v", text, err)
	}
}

func TestConsoleErrorsFail(t *testing.T) {
	t.Parallel()
	port := site(t)
	b := Start(t, Options{})
	open := func(path string, allow ...string) func(testing.TB) {
		return func(tb testing.TB) {
			tab := b.With(tb).Incognito()
			for _, a := range allow {
				tab.Allow(a)
			}
			tab.Open("http://site.localhost:" + port + path)
		}
	}
	mustFail(t, open("/planted"), "Content Security Policy", "script")
	mustFail(t, open("/noise"), "console.error: told", "nowhere is not defined")
	mustFail(t, open("/noise", "console.error: told"), "nowhere is not defined")
	mustFail(t, func(tb testing.TB) {
		tab := b.With(tb).Incognito()
		tab.Open("http://site.localhost:" + port + "/form?csp")
		tab.Fill("#name", "x")
		tab.Click("#go") // the policy stops the redirect to the other host
		if tab.Has("#who") {
			tb.Errorf("the policy did not hold")
		}
	}, "form-action")
	for _, fine := range []func(testing.TB){open("/planted", "Content Security Policy"), open("/good"), open("/absent")} {
		if r := record(t, fine); r.failed {
			t.Errorf("failed: %s", r.said)
		}
	}
}

func TestAxe(t *testing.T) {
	t.Parallel()
	port := site(t)
	tab := Start(t, Options{}).Tab()
	tab.Open("http://site.localhost:" + port + "/good?csp")
	tab.MustBeAccessible()
	for _, script := range []bool{true, false} {
		tab.DisableScript(!script)
		tab.Open("http://site.localhost:" + port + "/bad?csp")
		found := map[string]Violation{}
		for _, v := range tab.Axe() {
			found[v.ID] = v
		}
		for _, id := range []string{"color-contrast", "image-alt", "label"} {
			if v := found[id]; v.Help == "" || v.Impact == "" || len(v.Nodes) != 1 {
				t.Errorf("script %v: axe missed %s: %v", script, id, v)
			}
		}
	}
	b := Start(t, Options{})
	mustFail(t, func(tb testing.TB) {
		tab := b.With(tb).Tab()
		tab.Open("http://site.localhost:" + port + "/bad")
		tab.MustBeAccessible()
	}, "/bad: ", "color-contrast", `<input id="u">`)
}

func TestScriptDisabled(t *testing.T) {
	t.Parallel()
	port := site(t)
	tab := Start(t, Options{}).Tab()
	tab.Open("http://site.localhost:" + port + "/script")
	want(t, "with", tab.Text("#p"), "With script.")
	tab.DisableScript(true)
	tab.Reload()
	want(t, "without", tab.Text("#off"), "Without script.")
	tab.Open("http://site.localhost:" + port + "/form")
	tab.Fill("#name", "Liisa")
	tab.Click("#go")
	want(t, "sent", tab.Text("#who"), "Liisa fi")
	tab.DisableScript(false)
	tab.Open("http://site.localhost:" + port + "/script")
	want(t, "again", tab.Has("#off"), false)
}

func TestSettings(t *testing.T) {
	t.Parallel()
	port := site(t)
	tab := Start(t, Options{Lang: "sv", HostRules: []string{"MAP *.portti.test 127.0.0.1:" + port}}).Tab()
	tab.Open("http://id.portti.test/lang")
	if got := tab.Text("body"); !strings.Contains(got, "sv") {
		t.Errorf("Accept-Language %q", got)
	}
	ask := func(js string) (got string) { tab.Eval(js, &got); return got }
	dark := `String(matchMedia("(prefers-color-scheme: dark)").matches)`
	tab.DarkMode(true)
	want(t, "dark", ask(dark), "true")
	tab.DarkMode(false)
	want(t, "light", ask(dark), "false")
	tab.Viewport(320, 640)
	want(t, "viewport", ask(`innerWidth + "x" + innerHeight`), "320x640")
}

func TestTabsShareCookiesAndIncognitoDoesNot(t *testing.T) {
	t.Parallel()
	form := "http://site.localhost:" + site(t) + "/form"
	b := Start(t, Options{})
	first := b.Tab()
	first.Open(form)
	first.Fill("#name", "x")
	first.Click("#go")
	want(t, "the second tab", len(b.Tab().Cookies()), 1)
	fresh := b.Incognito()
	want(t, "incognito", len(fresh.Cookies()), 0)
	fresh.Open(form)
	fresh.Fill("#name", "x")
	fresh.Click("#go")
	first.ClearCookies()
	want(t, "its second tab", len(fresh.Another().Cookies()), 1)
}

func TestMissingProgramSkipsButFailsInCI(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv("PORTTI_TEST_AXE", "")
	start := func(tb testing.TB) { Start(tb, Options{}) }
	axe := func(tb testing.TB) { (&Tab{tb: tb}).Axe() }
	for _, f := range []func(testing.TB){start, axe} {
		t.Setenv("CI", "")
		if r := record(t, f); !r.skipped || r.failed || !strings.Contains(r.said, "tests need ") {
			t.Errorf("skipped %v, failed %v: %s", r.skipped, r.failed, r.said)
		}
		t.Setenv("CI", "true")
		mustFail(t, f, "tests need ")
	}
}

func TestNothingIsLeftBehind(t *testing.T) {
	t.Parallel()
	var home string
	r := record(t, func(tb testing.TB) {
		b := Start(tb, Options{})
		home = b.home
		b.Tab().Open("about:blank")
	})
	if _, err := os.Stat(home); !os.IsNotExist(err) || r.failed {
		t.Errorf("%s is still there: %v %s", home, err, r.said)
	}
}
