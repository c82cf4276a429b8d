# Every go.mod below this folder is a module: the root, and those whose heavy
# dependencies are kept out of it.
MODULES := $(patsubst %/go.mod,%,$(shell git ls-files --cached --others --exclude-standard '*go.mod' 'go.mod'))
MODULES := $(MODULES:go.mod=.)
GO ?= go
FUZZTIME ?= 10s
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "%-14s %s\n", $$1, $$2}'

.PHONY: check
check: formatted ## before a commit: gofmt, go vet, staticcheck and the short tests of the root module
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...
	$(GO) test -short ./...

.PHONY: formatted
formatted: ## gofmt has nothing to change
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "gofmt -w: $$unformatted"; exit 1; fi

.PHONY: test
test: ## run all tests of all modules
	@set -e; for m in $(MODULES); do echo "== $$m"; (cd $$m && $(GO) test $(TESTFLAGS) ./...); done

.PHONY: lint
lint: formatted ## gofmt, go vet, staticcheck (staticcheck.conf), go mod tidy, in all modules
	@set -e; for m in $(MODULES); do echo "== $$m"; (cd $$m && $(GO) vet ./... && $(GO) run $(STATICCHECK) ./... && $(GO) mod tidy -diff); done

.PHONY: bench
bench: ## measure taskscope and its peers side by side, into benchmarks/RESULTS.md
	cd benchmarks && $(GO) run .

BASE ?= HEAD^

.PHONY: bench-compare
bench-compare: ## measure the same rows at BASE (default HEAD^) and in this tree, by turns (ROUNDS=10, ONLY='slog request')
	scripts/bench-compare.sh '$(BASE)'

.PHONY: fuzz
fuzz: ## run each fuzz target for FUZZTIME (default 10s)
	@set -e; for f in $$(git grep --untracked -lE '^func Fuzz' -- '*_test.go'); do \
		for target in $$(sed -nE 's/^func (Fuzz[A-Za-z0-9_]*)\(.*/\1/p' $$f); do \
			echo "== $$f $$target"; (cd $$(dirname $$f) && $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x .); \
		done; \
	done

.PHONY: matrix
matrix: ## run the tests on each Go version and platform, into docs/results/matrix.md (-quick: MATRIXFLAGS=-quick)
	scripts/matrix.sh $(MATRIXFLAGS)

.PHONY: vuln
vuln: ## ask the Go vulnerability database (VULN_DB: another one) about all modules
	VULN_DB='$(VULN_DB)' VULN_REQUIRED='$(VULN_REQUIRED)' scripts/vuln.sh

N ?= 1000000
SEED ?= 1

.PHONY: torture
torture: ## compare N log lines (default 1000000) of a generated program (SEED) with a model, into docs/results/torture.md
	$(GO) run ./internal/torture -table -n $(N) -seed $(SEED)

.PHONY: stress
stress: ## torture under profilers, collector checks, sanitizers and Go experiments, into docs/results/stress.md
	$(GO) run ./internal/torture -stress -n $(N) -seed $(SEED)

.PHONY: leaks
leaks: ## run N short tasks and see what is left, and what pins a scope, into docs/results/leaks.md
	$(GO) run ./internal/leaks -n $(N)

.PHONY: interop
interop: ## N log lines of tasks that go through other people's code, compared with a model, into docs/results/interop.md
	cd internal/interop/torture && $(GO) run . -n $(N) -seed $(SEED)
