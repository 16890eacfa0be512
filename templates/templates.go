// Package templates holds what people see: the pages, the few static files and
// every text of every page and letter, in Finnish, Swedish and English.
//
//	layout.html        the frame of every page
//	partials.html      field, problems, notices, card failure: parts that pages share
//	partials_console.html   the Console's own: navigation, lists, acts, charts
//	error.html         the one page for everything that went wrong
//	signin/            the provider's pages      userservices/   the self-service app's      console/   the administration app's
//	static/            CSS, an icon and the little script there is
//	texts/             fi.yaml, sv.yaml, en.yaml, and fi/, sv/, en/ for larger parts: the same keys, the same placeholders
//
// Package web parses and renders the pages. A page's comment names the fields
// that its struct must have.
package templates

import (
	"embed"
	"io/fs"
)

//go:embed *.html signin userservices console static texts
var files embed.FS

// Pages is the tree of HTML templates.
func Pages() fs.FS { return files }

// Static is the folder of files that browsers fetch.
func Static() fs.FS {
	sub, err := fs.Sub(files, "static")
	if err != nil {
		panic(err) // the folder is compiled in
	}
	return sub
}
