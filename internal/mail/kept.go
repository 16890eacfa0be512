package mail

import (
	"strings"
	"time"
)

// Kept is a letter of the outbox as operators see it: never what it says, nor
// the whole address.
type Kept struct {
	ID           string
	Channel      Channel
	Template     Template
	Organisation string    // "" for what was queued before there was this
	Recipient    string    // masked, see Masked
	Created      time.Time //
	Due          time.Time // when it is tried next; of one that is being sent, when it would be tried again
	Expires      time.Time // after that it is not sent any more; zero: never
	Attempts     int       //
	Reason       string    // why the last attempt failed; "" before the first
	Dead         time.Time // when it was given up; zero while it waits
	Cursor       string    // what Which.After takes for the letters behind this one
}

// Which says which letters to list.
type Which struct {
	Dead  bool   // those that were given up, the newest first; otherwise those that wait, the oldest first
	After string // the Cursor of the last one of the page before; "" for the first page
	Limit int
}

// Counts tells how the outbox is doing.
type Counts struct {
	Waiting, Dead int64
	Oldest        time.Time // when the oldest letter that waits was queued; zero when none does
}

// Masked is an address as operators may see it: enough to tell whose mail server
// has refused, not enough to write to the person.
//
//	aino.aakkonen@example.fi   a…@example.fi
//	+358401234567              …67
func Masked(to string) string {
	if local, domain, ok := strings.Cut(to, "@"); ok {
		for _, first := range local {
			return string(first) + "…@" + domain
		}
		return "…@" + domain
	}
	r := []rune(to)
	return "…" + string(r[max(0, len(r)-2):])
}
