# fleetcast. `make help` lists the targets.

SHELL := /bin/bash
GOLANGCI_VERSION := v2.15.0
GOLANGCI := $(CURDIR)/.bin/golangci-lint
FUZZTIME ?= 20s
BENCH ?= .
BENCHTIME ?= 1s

.PHONY: help build test race vet fmt tidy lint integration bench fuzz figures absent ci clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build everything, and the static binary .bin/fleetcast
	go build ./...
	CGO_ENABLED=0 go build -trimpath -o .bin/fleetcast ./cmd/fleetcast

test: ## run all tests, as the README says
	go test ./...

race: ## run all tests with the race detector
	go test -race ./...

vet: ## go vet
	go vet ./...

fmt: ## fail when a file is not formatted
	@files=$$(git ls-files '*.go' | xargs gofmt -l); \
	if [ -n "$$files" ]; then echo "not formatted (run gofmt -w):"; echo "$$files"; exit 1; fi

tidy: ## fail when go.mod or go.sum are not tidy
	go mod tidy -diff
	go mod verify

lint: $(GOLANGCI) ## golangci-lint, with the rules of the layers
	$(GOLANGCI) run ./...

$(GOLANGCI): Makefile
	GOBIN=$(CURDIR)/.bin go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	@touch $@

integration: ## the end-to-end tests alone, verbosely; FLEETCAST_TEST_URI names a real MongoDB
	go test -race -v ./integration/...

bench: ## all benchmarks; BENCH and BENCHTIME choose
	go test -run '^$$' -bench '$(BENCH)' -benchtime $(BENCHTIME) ./...

figures: build ## start-up time, memory, idle load and latencies of the built binary
	go run ./integration/figures -binary .bin/fleetcast

fuzz: ## each fuzz target for FUZZTIME
	@set -e; grep -rl --include='*_test.go' '^func Fuzz' . | while read -r file; do \
	  for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/p' "$$file"); do \
	    echo "$$target in $$(dirname $$file)"; \
	    go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$(dirname $$file)"; \
	  done; done

absent: ## say which suites cannot run on this machine
	@if [ -z "$$FLEETCAST_TEST_URI" ]; then echo "suites not run here: those against a real MongoDB (set FLEETCAST_TEST_URI); the embedded store is used instead"; fi

ci: absent fmt tidy vet build lint race ## all that must hold before a change lands
	@echo "ci: all passed"

clean: ## remove what was built
	rm -rf .bin
