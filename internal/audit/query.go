package audit

import "time"

// Query says which events to read; zero values leave nothing out.
type Query struct {
	User         string
	Organisation string
	Actor        string // what they did to others
	Types        []Type
	Since        time.Time // events at this time and later
	Until        time.Time // events before this time
	Before       int64     // events with lower IDs: what comes after a page
	Limit        int       // 0: 100
}
