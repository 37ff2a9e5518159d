# fleetcast. `make help` lists the targets.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.NOTPARALLEL: # the steps of ci run in their order, and their output stays readable

MODULE := github.com/fleetcast/fleetcast
BIN := $(CURDIR)/.bin
GOLANGCI := $(BIN)/golangci-lint
GOLANGCI_VERSION := v2.15.0
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.9.0
CYCLONEDX := github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0

# A tag names a release; between tags the binary says dev and its commit.
VERSION = $(shell git describe --tags --exact-match 2>/dev/null || echo dev)
BENCH ?= .
BENCHTIME ?= 1s
FUZZTIME ?= 20s
SOAK ?= 3m
# Flags of bench/peers, such as PEERS='-n 1,5 -runs 1'.
PEERS ?=

# What users of the library import, and what must not come with it.
LIBRARIES := config console event logging server subscribers worker
NOT_LINKED := $(MODULE)/(console$$$$|embedded|internal/(cli|faultproxy|teststore))|github.com/FerretDB|modernc.org|github.com/spf13|github.com/stretchr|github.com/getkin|go.uber.org/goleak|^testing$$$$

# Modules of their own, beside the main one.
MODULES := examples bench/peers

.PHONY: help build test race vet fmt tidy links lint lint-tool modules integration browser screenshots bench fuzz soak figures bench-peers absent release vuln ci clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build all packages, and the static binary .bin/fleetcast
	go build ./...
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X $(MODULE)/internal/cli.version=$(VERSION)" -o $(BIN)/fleetcast ./cmd/fleetcast

test: ## run all tests, as the README says
	go test ./...

race: ## run all tests with the race detector (needs a C compiler)
	CGO_ENABLED=1 go test -race ./...

vet: ## go vet
	go vet ./...

fmt: ## fail when a file is not formatted
	@files=$$(git ls-files -z '*.go' | xargs -0 -r gofmt -l); \
	if [ -n "$$files" ]; then echo "not formatted (run gofmt -w):"; echo "$$files"; exit 1; fi

tidy: ## fail when go.mod or go.sum are not tidy or a module was altered
	go mod verify
	go mod tidy -diff

links: ## fail when a library package links the store, the command or a test library
	@for lib in $(LIBRARIES); do \
	  [ -d "$$lib" ] || continue; \
	  deps=$$(go list -deps "./$$lib") || exit 1; \
	  if found=$$(grep -vx '$(MODULE)/'"$$lib" <<<"$$deps" | grep -E '$(NOT_LINKED)'); then echo "package $$lib must not link:"; echo "$$found"; exit 1; fi; \
	done

lint: lint-tool ## golangci-lint, with the rules of the layers
	$(GOLANGCI) run ./...

lint-tool:
	@$(GOLANGCI) version 2>/dev/null | grep -qF 'version $(GOLANGCI_VERSION:v%=%) ' || { \
	  echo "installing golangci-lint $(GOLANGCI_VERSION), some minutes"; \
	  GOBIN=$(BIN) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION); }

modules: ## vet and test the modules beside the main one, and say which are not there
	@set -e; for module in $(MODULES); do \
	  [ -f "$$module/go.mod" ] || { echo "module $$module is not in this tree: not tested"; continue; }; \
	  echo "module $$module"; (cd "$$module" && go vet ./... && CGO_ENABLED=1 go test -race ./...); \
	done

integration: ## the end-to-end tests alone, verbosely; FLEETCAST_TEST_URI names a real MongoDB
	CGO_ENABLED=1 go test -race -v ./integration/...

bench: ## all benchmarks; BENCH and BENCHTIME choose
	go test -run '^$$' -bench '$(BENCH)' -benchtime $(BENCHTIME) -benchmem ./...

browser: ## the tests of the console in a Chromium, which says what is missing when there is none
	FLEETCAST_TEST_BROWSER=required CGO_ENABLED=1 go test -race -count=1 -v ./integration/browser

screenshots: ## the pictures of the console in docs/images, which needs a Chromium
	FLEETCAST_TEST_BROWSER=required FLEETCAST_SCREENSHOTS=$(CURDIR)/docs/images go test -trimpath -count=1 -run '^TestScreenshots$$' ./integration/browser

figures: build ## start-up time, memory, idle load and latencies of the built binary
	go run ./integration/figures -binary $(BIN)/fleetcast

bench-peers: build ## fleetcast beside NATS, Redis, Serf, Celery and others, into docs/benchmarks.md; PEERS has flags
	cd bench/peers && go run . -fleetcast $(BIN)/fleetcast -into $(CURDIR)/docs/benchmarks.md $(PEERS)

fuzz: ## each fuzz target for FUZZTIME
	@set -e -o pipefail; for pkg in $$(go list ./...); do \
	  targets=$$(go test -list '^Fuzz' "$$pkg" | sed -n '/^Fuzz/p'); \
	  for target in $$targets; do \
	    echo "$$pkg $$target"; \
	    go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$pkg"; \
	  done; done

soak: ## all faults at once for SOAK; SEED repeats one, FLEETCAST_TEST_URI names a real MongoDB
	FLEETCAST_SOAK=$(SOAK) FLEETCAST_SEED=$(SEED) CGO_ENABLED=1 \
	  go test -race -count=1 -v -timeout 0 -run '^(TestSoak|TestHalfOpenConnection)$$' ./event

absent: ## say which suites cannot run on this machine
	@say() { echo "suites not run here: $$*"; }; \
	[ -n "$$FLEETCAST_TEST_URI" ] || say "against a real MongoDB (FLEETCAST_TEST_URI is not set; the embedded store takes its place)"; \
	if ! docker info >/dev/null 2>&1; then say "in containers (no Docker engine)"; \
	elif ! docker image inspect mongo:8 >/dev/null 2>&1; then say "in containers (the Docker engine has no image mongo:8)"; fi; \
	command -v chromium chromium-browser google-chrome >/dev/null || say "in a browser (no Chromium; on Debian: apt-get install chromium fonts-dejavu-core)"

ci: absent fmt tidy build vet links lint race modules ## all that must hold before a change lands
	@echo "ci: all passed"
	@$(MAKE) --no-print-directory absent

RELEASES ?= linux/amd64 linux/arm64 darwin/arm64

release: ## static binaries in dist/ with checksums and their bills of materials (CycloneDX); one commit and one Go give the same bytes anywhere
	@rm -rf dist && mkdir dist
	@set -e; for release in $(RELEASES); do \
	  file=dist/fleetcast-$${release%/*}-$${release#*/}; echo "$$file"; \
	  CGO_ENABLED=0 GOOS=$${release%/*} GOARCH=$${release#*/} go build -trimpath -buildvcs=true -ldflags "-s -w -X $(MODULE)/internal/cli.version=$(VERSION)" -o $$file ./cmd/fleetcast; \
	done
	@set -e; for file in dist/fleetcast-*; do go run $(CYCLONEDX) bin -json -noserial -notimestamp -output $$file.cdx.json $$file 2>/dev/null; done
	@cd dist && sha256sum fleetcast-* | tee SHA256SUMS

vuln: ## known vulnerabilities in what is called, from the database at vuln.go.dev; fails when that cannot be reached
	go run $(GOVULNCHECK) ./...

clean: ## remove what was built, the linter too
	rm -rf $(BIN) dist
