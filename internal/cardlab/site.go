package cardlab

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/portti-id/portti/internal/cardtest"
)

//go:embed site
var files embed.FS

var page = template.Must(template.ParseFS(files, "site/index.html"))

// Prefix is the path below which Site serves Lab.Status.
const Prefix = "/pki"

// Site is the lab's pages for people, with OCSP and lists below Prefix.
//
// Whoever reaches it may look and download: these are nobody's cards. The switches
// are for this machine's own browser alone, and no other site's page can press
// them. OCSP and lists answer under every name, the pages under this machine's,
// so that a name that leads here by a trick (DNS rebinding) gets nothing.
type Site struct {
	lab      *Lab
	folder   string
	anywhere bool
	pages    *http.ServeMux
}

// NewSite makes the pages of l. folder is where the bundle is, for the page to
// say, "" for nowhere. With anywhere the pages answer under every name.
func NewSite(l *Lab, folder string, anywhere bool) *Site {
	s := &Site{lab: l, folder: folder, anywhere: anywhere, pages: http.NewServeMux()}
	s.pages.HandleFunc("GET /{$}", s.index)
	s.pages.HandleFunc("GET /lab.css", func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, files, "site/lab.css") })
	s.pages.HandleFunc("GET /cards/{file}", s.download)
	s.pages.HandleFunc("POST /cards/{name}", s.change(func(r *http.Request) error {
		return l.Do(r.PathValue("name"), Action(r.PostFormValue("do")))
	}))
	s.pages.HandleFunc("POST /services/{name}", s.change(func(r *http.Request) error {
		return l.Break(r.PathValue("name"), cardtest.Fault(r.PostFormValue("ocsp")), cardtest.Fault(r.PostFormValue("crl")))
	}))
	return s
}

func (s *Site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, Prefix+"/") {
		http.StripPrefix(Prefix, s.lab.Status).ServeHTTP(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	if !s.anywhere && !isHere(r.Host) {
		http.Error(w, "The lab answers under the names of this machine.", http.StatusMisdirectedRequest)
		return
	}
	s.pages.ServeHTTP(w, r)
}

// isHere tells whether a Host header names this machine itself.
func isHere(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.ToLower(strings.Trim(name, "[]"))
	if a, err := netip.ParseAddr(name); err == nil {
		return a.Unmap().IsLoopback()
	}
	return name == "localhost" || strings.HasSuffix(name, ".localhost") // RFC 6761 §6.3
}

func (s *Site) index(w http.ResponseWriter, _ *http.Request) {
	var out bytes.Buffer
	err := page.Execute(&out, struct {
		Rows             []Row
		Sources          []Source
		OCSP, CRL        []cardtest.Fault
		Password, Folder string
	}{s.lab.Rows(), s.lab.Sources(), cardtest.OCSPFaults, cardtest.CRLFaults, Password, s.folder})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = out.WriteTo(w)
}

// change is the handler of a switch.
func (s *Site) change(do func(r *http.Request) error) http.HandlerFunc {
	origins := http.NewCrossOriginProtection()
	return func(w http.ResponseWriter, r *http.Request) {
		from, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil || !from.Addr().Unmap().IsLoopback() || !isHere(r.Host) {
			http.Error(w, "The switches are for the machine on which the lab runs.", http.StatusForbidden)
			return
		}
		if err := origins.Check(r); err != nil {
			http.Error(w, "This form was opened somewhere else.", http.StatusForbidden)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
		switch err := do(r); {
		case errors.Is(err, ErrNone):
			http.Error(w, err.Error(), http.StatusNotFound)
		case errors.Is(err, ErrNotNow):
			http.Error(w, err.Error(), http.StatusConflict)
		case err != nil:
			http.Error(w, err.Error(), http.StatusInternalServerError)
		default:
			http.Redirect(w, r, "/#"+url.PathEscape(r.PathValue("name")), http.StatusSeeOther)
		}
	}
}

// download gives NAME.p12, with ?format=legacy for old systems, and NAME.pem.
func (s *Site) download(w http.ResponseWriter, r *http.Request) {
	name, kind, _ := strings.Cut(r.PathValue("file"), ".")
	if err := s.lab.Download(w, name, kind, r.FormValue("format") == "legacy"); errors.Is(err, ErrNone) {
		http.NotFound(w, r)
	} else if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// Download answers with the file of a card: kind is "p12" or "pem". Nothing is
// written when there is an error.
func (l *Lab) Download(w http.ResponseWriter, name, kind string, legacy bool) error {
	c := l.PKI.Card(name)
	if c == nil || !strings.HasPrefix(name, "lab-") {
		return ErrNone
	}
	var data []byte
	var err error
	media := "application/x-pkcs12"
	switch {
	case kind == "p12" && legacy:
		data, err = c.P12Legacy(Password)
	case kind == "p12":
		data, err = c.P12(Password)
	case kind == "pem":
		data, err = pemFile(c)
		media = "application/x-pem-file"
	default:
		return ErrNone
	}
	if err != nil {
		return fmt.Errorf("card %s: %w", name, err)
	}
	w.Header().Set("Content-Type", media)
	w.Header().Set("Content-Disposition", `attachment; filename="`+name+"."+kind+`"`)
	_, _ = io.Copy(w, bytes.NewReader(data)) // the reader is gone: nobody to tell
	return nil
}
