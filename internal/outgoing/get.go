package outgoing

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// ErrTooLarge says that a document is longer than the caller takes.
var ErrTooLarge = errors.New("the document is too large")

// StatusError is an answer that is neither 200 nor, where it was asked for, 304.
type StatusError int

func (s StatusError) Error() string { return "the server answered " + strconv.Itoa(int(s)) }

// Validators name the copy that the caller has, so that a server need not send
// it again (RFC 9110 §13.1). The zero value asks for the document.
type Validators struct {
	ETag         string
	LastModified string
}

// Document is a small file from another's server.
type Document struct {
	Body       []byte // nil when Unchanged
	Validators Validators
	Unchanged  bool // 304: the copy that the caller's validators name is good
	// MaxAge is the Cache-Control max-age less the Age; 0 when the server asks
	// for no caching or says nothing, which Stated tells apart.
	MaxAge time.Duration
	Stated bool
}

// longestValidator bounds what is kept of another's headers.
const longestValidator = 256

// Get fetches a document of at most maxBytes with a Client of Options. Only 200
// is an answer, or 304 if known names a copy; redirects are not followed. Errors:
// ErrForbidden, ErrTooLarge, StatusError, and those of the network.
func Get(ctx context.Context, client *http.Client, uri, accept string, maxBytes int64, known Validators) (Document, error) {
	if err := CheckURI(uri); err != nil {
		return Document{}, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, uri, nil)
	if err != nil {
		return Document{}, err
	}
	r.Header.Set("Accept", accept)
	r.Header.Set("User-Agent", "portti")
	if known.ETag != "" {
		r.Header.Set("If-None-Match", known.ETag)
	}
	if known.LastModified != "" {
		r.Header.Set("If-Modified-Since", known.LastModified)
	}
	answer, err := client.Do(r)
	if err != nil {
		return Document{}, err
	}
	defer func() { _ = answer.Body.Close() }()
	d := Document{Validators: Validators{ETag: bounded(answer.Header.Get("ETag")), LastModified: bounded(answer.Header.Get("Last-Modified"))}}
	d.MaxAge, d.Stated = maxAge(answer.Header)
	switch {
	case answer.StatusCode == http.StatusNotModified && known != (Validators{}):
		if d.Validators == (Validators{}) {
			d.Validators = known
		}
		d.Unchanged = true
		return d, nil
	case answer.StatusCode != http.StatusOK:
		return Document{}, StatusError(answer.StatusCode)
	case answer.ContentLength > maxBytes:
		return Document{}, ErrTooLarge
	}
	// One byte more tells a document that fits from the beginning of a long one;
	// counted after decompression.
	d.Body, err = io.ReadAll(io.LimitReader(answer.Body, maxBytes+1))
	switch {
	case err != nil:
		return Document{}, fmt.Errorf("read the answer: %w", err)
	case int64(len(d.Body)) > maxBytes:
		return Document{}, ErrTooLarge
	}
	return d, nil
}

func bounded(validator string) string {
	if len(validator) > longestValidator {
		return ""
	}
	return validator
}

// maxAge reads how long an answer is fresh (RFC 9111 §4.2, §5.2.2).
func maxAge(h http.Header) (age time.Duration, stated bool) {
	for directive := range strings.SplitSeq(strings.Join(h.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(directive)), "=")
		switch name {
		case "no-store", "no-cache":
			return 0, true
		case "max-age":
			if s, ok := seconds(strings.Trim(value, `"`)); ok {
				age, stated = s, true
			}
		}
	}
	if spent, ok := seconds(h.Get("Age")); ok && stated {
		age = max(0, age-spent)
	}
	return age, stated
}

// seconds reads a delta-seconds; more than a year is a year.
func seconds(text string) (time.Duration, bool) {
	const year = 365 * 24 * time.Hour
	n, err := strconv.ParseUint(text, 10, 63)
	if errors.Is(err, strconv.ErrRange) || err == nil && n > uint64(year/time.Second) {
		return year, true
	}
	return time.Duration(n) * time.Second, err == nil
}
