package server

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// letterMetrics asks the outbox when it is asked itself. Every replica tells the
// same: it is about the database.
type letterMetrics struct{ *Server }

var (
	lettersKept   = describe("letters", "Letters and text messages in the outbox: those that wait, and those that were given up (dead).", "state")
	lettersOldest = describe("letters_oldest_timestamp_seconds", "When the oldest letter that waits was written; absent when none does.")
)

// countWithin is how long monitoring waits for the database.
const countWithin = 5 * time.Second

func (m letterMetrics) Describe(to chan<- *prometheus.Desc) {
	to <- lettersKept
	to <- lettersOldest
}

func (m letterMetrics) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), countWithin)
	defer cancel()
	n, err := m.deps.Store.LetterCounts(ctx)
	if err != nil {
		m.deps.Log.WarnContext(ctx, "metrics of letters", "error", err)
		return
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(lettersKept, float64(n.Waiting), "waiting")
	gauge(lettersKept, float64(n.Dead), "dead")
	if !n.Oldest.IsZero() {
		gauge(lettersOldest, seconds(n.Oldest))
	}
}
