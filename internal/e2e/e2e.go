// Package e2e proves the house as a whole: real listeners with TLS, real
// databases, the provider, User Services, two protected services, and people with
// passwords, authenticators and cards. It holds tests only.
//
//	kit_test.go        World: everything put together, on both pairs of backends
//	people_test.go     Employee: a person with what she has in her pockets
//	visitor_test.go    Visitor: a browser without a screen, for whole journeys in milliseconds
//	party_test.go      Party: a relying party by hand, for what pkg/rp would never do
//	gate_test.go       Gate: a backend that can be put out of reach
//	journey_test.go    what people do            attack_test.go     what others try
//	card_*_test.go     the same for cards
//	race_test.go       fifty at once             outage_test.go     backends that go and come back
//	csrf_test.go       every POST, and what keeps other sites out of it
//	protocol_test.go   what the endpoints refuse, and how
//	errors_test.go     every error of every endpoint; tls_test.go: what every listener speaks
//	mtls_test.go       services with certificates
//	token_test.go      cards with a PIN in curl and openssl; pin_browser_test.go: in Chromium
//	broken_browser_test.go  card attempts that end nowhere, in Chromium
//	canary_test.go     secrets in logs           timing_test.go     what answers tell by their time
//	conformance_*_test.go  the OpenID Foundation's plans, module by module
//	bench_test.go      the figures of make bench
//	foreign_*_test.go  relying parties that others wrote: Go, Node, Apache; foreign/ has what is not Go
//	browser/           a real Chromium
package e2e
