package outgoing

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
)

var local = Options{AllowNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}

func TestGetTakesSmallDocumentsOnly(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/good", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"1"`)
		w.Header().Set("Cache-Control", "public, max-age=90")
		w.Header().Set("Age", "30")
		if r.Header.Get("If-None-Match") == `"1"` {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		_, _ = io.WriteString(w, r.Header.Get("Accept")+" 0123")
	})
	mux.HandleFunc("/unasked", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) })
	mux.HandleFunc("/redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/good", http.StatusFound) })
	mux.HandleFunc("/created", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusCreated) })
	mux.HandleFunc("/long", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, strings.Repeat("x", 17)) })
	mux.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, strings.Repeat("x", 1000)); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/bomb", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = z.Write(make([]byte, 1<<20))
		_ = z.Close()
	})
	mux.HandleFunc("/cut", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "16")
		_, _ = io.WriteString(w, "half")
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	get := func(path string, known Validators) (Document, error) {
		return Get(t.Context(), local.Client(), server.URL+path, "text/x", 16, known)
	}

	d, err := get("/good", Validators{})
	if err != nil || string(d.Body) != "text/x 0123" || d.Validators.ETag != `"1"` || d.MaxAge != time.Minute || !d.Stated || d.Unchanged {
		t.Errorf("%+v %v", d, err)
	}
	d, err = get("/good", d.Validators)
	if err != nil || !d.Unchanged || d.Body != nil || d.Validators.ETag != `"1"` {
		t.Errorf("a known copy: %+v %v", d, err)
	}
	for path, want := range map[string]error{"/unasked": StatusError(304), "/redirect": StatusError(302), "/created": StatusError(201), "/none": StatusError(404),
		"/long": ErrTooLarge, "/endless": ErrTooLarge, "/bomb": ErrTooLarge, "/cut": io.ErrUnexpectedEOF} {
		if d, err := get(path, Validators{}); !errors.Is(err, want) || d.Body != nil {
			t.Errorf("%s: %v, want %v", path, err, want)
		}
	}
}

func TestGetGivesUpOnASlowServer(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "a")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	defer server.Close()
	o := local
	o.Timeout = 50 * time.Millisecond
	if _, err := Get(t.Context(), o.Client(), server.URL, "*/*", 16, Validators{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestAddressesAreHTTPS(t *testing.T) {
	for uri, ok := range map[string]bool{
		"https://rp.example/keys": true, "http://localhost/keys": true, "http://rp.localhost:8080/": true, "http://127.0.0.1/": true, "http://[::1]/": true,
		"http://rp.example/keys": false, "http://10.0.0.1/": false, "ftp://rp.example/": false, "file:///etc/passwd": false, "https:///keys": false, "https:rp.example": false,
		"https://name@rp.example/": false, "": false, "/keys": false, "https://rp.example/%zz": false, "http://localhost.example/": false,
	} {
		if err := CheckURI(uri); (err == nil) != ok {
			t.Errorf("%s: %v", uri, err)
		}
		if !ok {
			if _, err := Get(t.Context(), local.Client(), uri, "*/*", 16, Validators{}); err == nil {
				t.Errorf("%s: was fetched", uri)
			}
		}
	}
}

func TestMaxAge(t *testing.T) {
	for header, want := range map[string]time.Duration{
		"max-age=60": time.Minute, `Max-Age="60"`: time.Minute, "private, max-age=60, must-revalidate": time.Minute, "no-store": 0, "max-age=60, no-cache": 0,
		"max-age=0": 0, "max-age=99999999999999999999": 365 * 24 * time.Hour, "": -1, "max-age=-1": -1, "max-age=x": -1, "s-maxage=60": -1,
	} {
		got, stated := maxAge(http.Header{"Cache-Control": {header}})
		if !stated {
			got = -1
		}
		if got != want {
			t.Errorf("%q: %v, want %v", header, got, want)
		}
	}
}
