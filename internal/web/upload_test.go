package web_test

import (
	"bytes"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"

	"github.com/portti-id/portti/internal/web/webtest"
)

// unread fails the test when somebody reads it.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}

// A form that sends files is taken like any other: from ours in the same browser, and
// what comes from elsewhere is not even read.
func TestUploads(t *testing.T) {
	site := webtest.NewSite(t)
	const most = 200 << 10
	var got []string
	h := site.HandleUpload(most, func(_ http.ResponseWriter, r *http.Request) error {
		f, _, err := r.FormFile("file")
		if err != nil {
			return err
		}
		b, err := io.ReadAll(f)
		got = append(got, string(b))
		return err
	})
	token, cookie := open(t, site)
	other, _ := open(t, site)
	upload := func(token, file string, headers ...string) *http.Request {
		var body bytes.Buffer
		m := multipart.NewWriter(&body)
		_ = m.WriteField("csrf", token)
		part, _ := m.CreateFormFile("file", "f")
		_, _ = io.WriteString(part, file)
		_ = m.Close()
		r := post(token, cookie, headers...)
		r.Body = io.NopCloser(&body)
		r.Header.Set("Content-Type", m.FormDataContentType())
		return r
	}

	large := strings.Repeat("a", most-4096) // more than any other form may have
	for _, file := range []string{"a\x00\xff", large} {
		if w := serve(h, upload(token, file, "Sec-Fetch-Site", "same-origin")); w.Code != 200 {
			t.Errorf("a file of %d bytes: status %d", len(file), w.Code)
		}
	}
	if len(got) != 2 || got[0] != "a\x00\xff" || got[1] != large {
		t.Fatalf("%d files came, or others", len(got))
	}
	for _, headers := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}, {"Origin", "null"}} {
		r := upload(token, "", headers...)
		r.Body = io.NopCloser(unread{t})
		if w := serve(h, r); w.Code != http.StatusForbidden {
			t.Errorf("%v: status %d, want 403", headers, w.Code)
		}
	}
	noCookie := upload(token, "x")
	noCookie.Header.Del("Cookie")
	query := upload("", "x")
	query.URL.RawQuery = "csrf=" + token
	for name, r := range map[string]*http.Request{"no token": upload("", "x"), "another browser's token": upload(other, "x"), "no cookie": noCookie, "the token in the query": query} {
		if w := serve(h, r); w.Code != http.StatusForbidden {
			t.Errorf("%s: status %d, want 403", name, w.Code)
		}
	}
	if w := serve(h, upload(token, strings.Repeat("a", most))); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("too large: status %d, want 413", w.Code)
	}
	broken := upload(token, "x")
	broken.Body = io.NopCloser(strings.NewReader("--nonsense"))
	if w := serve(h, broken); w.Code != http.StatusBadRequest {
		t.Errorf("no form: status %d, want 400", w.Code)
	}
	if len(got) != 2 {
		t.Errorf("%d files were taken, want 2", len(got))
	}
}
