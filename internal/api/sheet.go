package api

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"log/slog"
	"net/http"
	"reflect"
	"time"

	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/pkg/portti"
)

// download is a file that is sent as it is made.
type download struct {
	w          http.ResponseWriter
	r          *http.Request
	name, kind string // of the file and of its medium
	begun      bool
}

// begin sends what comes before the first byte; it tells whether this is the first.
func (d *download) begin() bool {
	if d.begun {
		return false
	}
	d.begun = true
	h := d.w.Header()
	h.Set("Content-Type", d.kind)
	h.Set("Content-Disposition", `attachment; filename="`+d.name+`"`)
	h.Set("Cache-Control", "no-store")
	return true
}

// broken is what becomes of an error: an answer while nothing was sent, and
// afterwards a connection that breaks off, or half a list would look like a whole.
func (d *download) broken(err error) error {
	if err != nil && d.begun {
		slog.WarnContext(d.r.Context(), "a file broke off", "error", err)
		panic(http.ErrAbortHandler)
	}
	return err
}

// goOn gives the next part of a long file the time that an answer has.
func goOn(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Minute)) // where there is none, none is needed
}

// sheet is a CSV file: UTF-8 with the mark by which spreadsheets know that it is,
// lines that end as RFC 4180 wants, and no cell that they would take for a formula.
type sheet struct {
	download
	csv     *csv.Writer
	columns []string
}

func newSheet(w http.ResponseWriter, r *http.Request, name string, columns []string) *sheet {
	s := &sheet{download{w: w, r: r, name: name, kind: "text/csv; charset=utf-8"}, csv.NewWriter(w), columns}
	s.csv.UseCRLF = true
	return s
}

func (s *sheet) start() error {
	if !s.begin() {
		return nil
	}
	if _, err := s.w.Write([]byte("\ufeff")); err != nil {
		return err
	}
	return s.csv.Write(s.columns)
}

func (s *sheet) row(cells []string) error {
	if err := s.start(); err != nil {
		return err
	}
	safe := make([]string, len(cells))
	for i, c := range cells {
		safe[i] = identity.SafeCell(c)
	}
	return s.csv.Write(safe)
}

func (s *sheet) end() error {
	if err := s.start(); err != nil {
		return err
	}
	s.csv.Flush()
	return s.broken(s.csv.Error())
}

// jsonLines is a file of JSON values, one a line.
type jsonLines struct {
	download
	out *bufio.Writer
}

func newLines(w http.ResponseWriter, r *http.Request, name string) *jsonLines {
	return &jsonLines{download{w: w, r: r, name: name, kind: "application/jsonl"}, bufio.NewWriter(w)}
}

func (l *jsonLines) event(e portti.Event) error {
	l.begin()
	return json.NewEncoder(l.out).Encode(e)
}

func (l *jsonLines) end() error {
	l.begin()
	return l.broken(l.out.Flush())
}

// file is what an operation gives that answers with a file.
type file struct{}

// exported is managed for a file, which is sent as it is made.
func exported(a *API, pattern string, right identity.Right, summary string, f func(w http.ResponseWriter, r *http.Request, by identity.Actor) error) operation {
	return operation{pattern, summary, []string{scopeManage}, right, reflect.TypeFor[nothing](), reflect.TypeFor[file](), func(w http.ResponseWriter, r *http.Request) error {
		g, r, err := a.entrusted(w, r, scopeManage)
		if err != nil {
			return challenge(w, err)
		}
		by, err := a.actor(r, g, right)
		if err != nil {
			return challenge(w, err)
		}
		return f(w, r, by)
	}}
}
