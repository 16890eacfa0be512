package revocation

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/portti-id/portti/internal/card"
)

// Stats is what this replica has seen since it began.
type Stats struct {
	Statuses     map[Said]uint64 // answers of Status, as they were before Soft changed any
	Unchecked    uint64          // certificates let in by Soft although nobody said that they are good
	Remembered   uint64          // answers that came from the cache
	CacheFailure uint64          // reads and writes of the cache that failed
	Responders   []Responder     // by host
}

// Said is an answer and who gave it.
type Said struct {
	State  card.State
	Source string // "ocsp", "crl", or "" when nobody has
}

// Responder is how one of them does.
type Responder struct {
	Host     string // with the port, if it is not the scheme's own
	Answers  map[Outcome]uint64
	LastGood time.Time // when it last said good; zero: never
	Paused   bool      // it has failed repeatedly and is left alone for a while
	Latency  Latency
}

// Latency is how long questions took, answered or not.
type Latency struct {
	Buckets map[float64]uint64 // upper bound in seconds → how many took no longer
	Count   uint64
	Sum     time.Duration
}

var latencyBounds = []float64{0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3}

func newLatency() Latency {
	l := Latency{Buckets: map[float64]uint64{}}
	for _, b := range latencyBounds {
		l.Buckets[b] = 0
	}
	return l
}

func (l *Latency) add(took time.Duration) {
	for _, b := range latencyBounds {
		if took.Seconds() <= b {
			l.Buckets[b]++
		}
	}
	l.Count++
	l.Sum += took
}

// Stats is a copy, for the caller to keep.
func (c *Checker) Stats() Stats {
	s := c.counts.copy()
	c.responders.mu.Lock()
	defer c.responders.mu.Unlock()
	for _, one := range c.responders.byHost {
		one.mu.Lock()
		r := one.stats
		r.Answers, r.Latency.Buckets = maps.Clone(r.Answers), maps.Clone(r.Latency.Buckets)
		r.Paused = one.failures >= failuresInRow
		one.mu.Unlock()
		s.Responders = append(s.Responders, r)
	}
	slices.SortFunc(s.Responders, func(a, b Responder) int { return cmp.Compare(a.Host, b.Host) })
	return s
}

type counts struct {
	mu    sync.Mutex
	stats Stats
}

func (c *counts) answered(s card.Status, waved bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stats.Statuses == nil {
		c.stats.Statuses = map[Said]uint64{}
	}
	c.stats.Statuses[Said{s.State, s.Source}]++
	if waved {
		c.stats.Unchecked++
	}
}

func (c *counts) wasRemembered() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.Remembered++
}

func (c *counts) cacheFailed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.CacheFailure++
}

func (c *counts) copy() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Statuses = maps.Clone(s.Statuses)
	return s
}
