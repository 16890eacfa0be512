package web

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"
)

const staticPath = "/static/"

type asset struct {
	content []byte
	kind    string
	hash    string
}

// mediaTypes does not depend on what the machine has in /etc/mime.types.
var mediaTypes = map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml", ".png": "image/png", ".woff2": "font/woff2"}

func (s *Site) loadStatic(folder fs.FS) error {
	s.static, s.assets = make(map[string]asset), make(map[string]string)
	return fs.WalkDir(folder, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := fs.ReadFile(folder, name)
		if err != nil {
			return err
		}
		ext := path.Ext(name)
		kind, ok := mediaTypes[ext]
		if !ok {
			return fmt.Errorf("web: static file %s: what is %s?", name, mime.TypeByExtension(ext))
		}
		sum := sha256.Sum256(content)
		hash := hex.EncodeToString(sum[:8])
		hashed := strings.TrimSuffix(name, ext) + "." + hash + ext
		s.static[hashed] = asset{content, kind, hash}
		s.assets[name] = staticPath + hashed
		return nil
	})
}

// Static serves the files under /static/. Their names carry their hash, so a
// browser may keep them for ever and a new version is a new name. Register it
// at "GET /static/".
func (s *Site) Static() http.Handler {
	return s.inside(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a, ok := s.static[strings.TrimPrefix(r.URL.Path, staticPath)]
		if !ok {
			s.fail(w, r, errNotFound)
			return
		}
		h := w.Header()
		h.Set("Content-Type", a.kind)
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
		h.Set("Etag", `"`+a.hash+`"`)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(a.content))
	}))
}
