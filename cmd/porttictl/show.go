package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/goccy/go-yaml"
)

// outcome is what a change came to. Secret fields are filled only when the
// change was made: they are shown this once.
type outcome struct {
	Applied           bool   `json:"applied"`
	Result            any    `json:"result,omitempty"`
	TemporaryPassword string `json:"temporary_password,omitempty"`
	LinkingCode       string `json:"linking_code,omitempty"`
	ClientSecret      string `json:"client_secret,omitempty"`
	RegistrationToken string `json:"registration_token,omitempty"`
	Note              string `json:"note,omitempty"` // goes with the secret
	Warning           string `json:"warning,omitempty"`
}

// done prints the outcome of a change.
func (d *desk) done(o outcome) error {
	o.Applied = d.apply
	if !d.apply {
		o.TemporaryPassword, o.LinkingCode, o.ClientSecret, o.RegistrationToken, o.Note = "", "", "", "", ""
		fmt.Fprintln(d.err, "Dry run: nothing was changed. Add --apply to do it.")
	}
	return d.show(o)
}

// show prints one thing: JSON, or YAML for reading.
func (d *desk) show(what any) error {
	raw, err := json.MarshalIndent(what, "", "  ")
	if err != nil {
		return err
	}
	if !d.json {
		if raw, err = yaml.JSONToYAML(raw); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintln(d.out, strings.TrimRight(string(raw), "\n"))
	return err
}

// list prints many things: JSON in full, or a table of what row gives.
func list[T any](d *desk, things []T, header string, row func(T) []string) error {
	if d.json {
		if things == nil {
			things = []T{}
		}
		return d.show(things)
	}
	w := tabwriter.NewWriter(d.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.ReplaceAll(header, " ", "\t"))
	for _, thing := range things {
		cells := row(thing)
		for i, c := range cells {
			if c == "" {
				cells[i] = "-"
			}
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	return w.Flush()
}

// when is a time in a table.
func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05")
}

// state is what Disabled means.
func state(disabled time.Time) string {
	if disabled.IsZero() {
		return "active"
	}
	return "disabled"
}
