package server

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/card/crl"
)

// Metrics serves what monitoring reads, in the text format of Prometheus. It holds
// no personal data, and no secret, and belongs on a listener that only monitoring
// reaches.
func (s *Server) Metrics() http.Handler {
	return promhttp.HandlerFor(s.metrics, promhttp.HandlerOpts{ErrorLog: nil})
}

// newMetrics is a registry of the replica's own. Door must be made before.
func (s *Server) newMetrics() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(letterMetrics{s})
	if s.Door == nil {
		return r
	}
	verdicts := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "portti_card_verdicts_total", Help: "Cards shown, by what came of it and by the mode of the card host."}, []string{"verdict", "mode"})
	s.Door.Count = func(v card.Verdict, m card.Mode) { verdicts.WithLabelValues(string(v), string(m)).Inc() }
	r.MustRegister(verdicts, cardMetrics{s})
	return r
}

// cardMetrics reads, when it is asked, what the parts know of themselves.
type cardMetrics struct{ *Server }

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("portti_"+name, help, labels, nil)
}

var (
	crlThisUpdate = describe("crl_this_update_timestamp_seconds", "When the list that is held was issued.", "ca", "id", "scope")
	crlNextUpdate = describe("crl_next_update_timestamp_seconds", "Until when the list that is held is good.", "ca", "id", "scope")
	crlNumber     = describe("crl_number", "CRLNumber of the list that is held.", "ca", "id", "scope")
	crlEntries    = describe("crl_entries", "Entries of the list that is held.", "ca", "id", "scope")
	crlChecked    = describe("crl_last_fetch_success_timestamp_seconds", "When a replica last heard from the list's source that this is the newest, or it was imported.", "ca", "id", "scope")
	crlFailures   = describe("crl_fetch_failures_total", "Fetches of this replica that failed.", "ca")

	statuses       = describe("revocation_statuses_total", "Answers whether a certificate was revoked, by who gave them.", "state", "source")
	unchecked      = describe("revocation_unchecked_total", "Certificates let in by mode soft although nobody answered.")
	cacheFailures  = describe("revocation_cache_failures_total", "Reads and writes of the cache of answers that failed.")
	ocspAnswers    = describe("ocsp_answers_total", "What became of questions to a responder.", "host", "outcome")
	ocspLastGood   = describe("ocsp_last_good_timestamp_seconds", "When the responder last said good.", "host")
	ocspPaused     = describe("ocsp_paused", "1 while a responder that fails is left alone.", "host")
	trustExpiry    = describe("card_trust_ca_expiry_timestamp_seconds", "When the certificate of a CA of the trust bundle expires.", "ca", "id")
	trustLoaded    = describe("card_trust_loaded_timestamp_seconds", "When the trust bundle in force was read.")
	trustUnhealthy = describe("card_trust_refused", "1 while the bundle's folder holds something that was not put in force.")
)

func (m cardMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{crlThisUpdate, crlNextUpdate, crlNumber, crlEntries, crlChecked, crlFailures, statuses, unchecked, cacheFailures,
		ocspAnswers, ocspLastGood, ocspPaused, trustExpiry, trustLoaded, trustUnhealthy} {
		to <- d
	}
}

func (m cardMetrics) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	count := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	for _, s := range m.deps.Trust().Sources() {
		gauge(trustExpiry, seconds(s.CA.NotAfter), card.AuthorityName(s.CA), short(crl.AuthorityOf(s.CA)))
	}
	if m.deps.TrustState != nil {
		state := m.deps.TrustState()
		gauge(trustLoaded, seconds(state.Loaded))
		gauge(trustUnhealthy, truth(state.Problem != nil))
	}
	if c := m.Cards; c != nil {
		for _, l := range c.Lists.All() {
			labels := []string{l.Name, short(l.CA), string(l.Scope)}
			gauge(crlThisUpdate, seconds(l.ThisUpdate), labels...)
			gauge(crlNextUpdate, seconds(l.NextUpdate), labels...)
			gauge(crlNumber, approximately(l.Number), labels...)
			gauge(crlEntries, float64(l.Entries), labels...)
		}
		for _, l := range c.Loader.Shelved() {
			gauge(crlChecked, seconds(l.Checked), l.Name, short(l.CA), string(l.Scope))
		}
		for ca, n := range c.Fetcher.Failures() {
			count(crlFailures, float64(n), ca)
		}
	}
	stats := m.Revocation.Stats()
	for said, n := range stats.Statuses {
		count(statuses, float64(n), string(said.State), said.Source)
	}
	count(unchecked, float64(stats.Unchecked))
	count(cacheFailures, float64(stats.CacheFailure))
	for _, r := range stats.Responders {
		for outcome, n := range r.Answers {
			count(ocspAnswers, float64(n), r.Host, string(outcome))
		}
		if !r.LastGood.IsZero() {
			gauge(ocspLastGood, seconds(r.LastGood), r.Host)
		}
		gauge(ocspPaused, truth(r.Paused), r.Host)
	}
}

func seconds(t time.Time) float64 { return float64(t.Unix()) }

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// short tells CAs of one name apart.
func short(ca crl.Authority) string { return string(ca[:8]) }

// approximately is a number of up to 20 octets as far as a metric can hold it.
func approximately(n crl.Number) float64 {
	f, err := strconv.ParseFloat(n.String(), 64)
	if err != nil {
		return 0
	}
	return f
}
