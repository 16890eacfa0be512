package api

import (
	"encoding/csv"
	"log/slog"
	"net/http"
	"reflect"

	"github.com/portti-id/portti/internal/identity"
)

// sheet is a CSV file that is sent as it is made: UTF-8 with the mark by which
// spreadsheets know that it is, lines that end as RFC 4180 wants, and no cell that
// they would take for a formula.
type sheet struct {
	w       http.ResponseWriter
	r       *http.Request
	csv     *csv.Writer
	name    string
	columns []string
	begun   bool
}

func newSheet(w http.ResponseWriter, r *http.Request, name string, columns []string) *sheet {
	s := &sheet{w: w, r: r, csv: csv.NewWriter(w), name: name, columns: columns}
	s.csv.UseCRLF = true
	return s
}

func (s *sheet) begin() error {
	if s.begun {
		return nil
	}
	s.begun = true
	h := s.w.Header()
	h.Set("Content-Type", "text/csv; charset=utf-8")
	h.Set("Content-Disposition", `attachment; filename="`+s.name+`"`)
	h.Set("Cache-Control", "no-store")
	if _, err := s.w.Write([]byte("\ufeff")); err != nil {
		return err
	}
	return s.csv.Write(s.columns)
}

func (s *sheet) row(cells []string) error {
	if err := s.begin(); err != nil {
		return err
	}
	safe := make([]string, len(cells))
	for i, c := range cells {
		safe[i] = identity.SafeCell(c)
	}
	return s.csv.Write(safe)
}

func (s *sheet) end() error {
	if err := s.begin(); err != nil {
		return err
	}
	s.csv.Flush()
	return s.broken(s.csv.Error())
}

// broken is what becomes of an error: an answer while nothing was sent, and
// afterwards a connection that breaks off, or half a list would look like a whole.
func (s *sheet) broken(err error) error {
	if err != nil && s.begun {
		slog.WarnContext(s.r.Context(), "a file broke off", "error", err)
		panic(http.ErrAbortHandler)
	}
	return err
}

// file is what an operation gives that answers with a CSV file.
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
