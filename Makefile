# make, and make help, tell what there is.
.DEFAULT_GOAL := help
.PHONY: help demo test bench lint build fmt conformance-up conformance-down

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## the whole house in one process, to play with (ARGS=--help for its flags)
	CGO_ENABLED=0 go run ./cmd/demo $(ARGS)

test: ## everything that is proved: linters, tests, browser (PACKAGES=./internal/login/... for a part)
	PACKAGES="$(PACKAGES)" .ci/test

bench: ## the figures, on both pairs of backends (BENCH=Exchange for some)
	BENCH="$(BENCH)" PACKAGES="$(PACKAGES)" .ci/bench

conformance-up: ## a provider for the OpenID Foundation's suite, on https://localhost:9443 (deploy/conformance)
	deploy/conformance/up

conformance-down: ## stop it
	deploy/conformance/down

lint: ## gofmt, vet, staticcheck, errcheck
	.ci/lint

build: ## the programs, into bin/
	CGO_ENABLED=0 go build -trimpath -o bin/ ./cmd/...

fmt: ## format all Go code
	gofmt -w cmd internal pkg templates .ci
