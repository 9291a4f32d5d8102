# Every verb but help and requirements builds .venv first if it is missing or out of date.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-inside test-peers test-whole lint types contracts bench soak requirements

help: ## Say what each verb does
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 22

setup: $(READY) ## Build .venv from the pinned requirements

demo: $(READY) ## Run a simulated building and show it
	@$(BIN)/headroom demo

# Tests with processes and sockets of their own mostly wait, and by the clock: two runs of them, as
# long as each other, go beside the rest, and are served first.
PEERS := tests/drivers
WHOLE := tests/e2e tests/monitoring tests/systemd

test: lint types $(READY) ## Run lint, types, import contracts and tests
	@echo "Testing on every core, what mostly waits beside the rest: some ten minutes ..."
	@$(MAKE) --no-print-directory --jobs=3 --output-sync=line test-inside test-peers test-whole

test-inside: $(READY)
	@nice -n 5 $(BIN)/pytest --numprocesses=auto --maxschedchunk=1 $(addprefix --ignore=,$(PEERS) $(WHOLE))

test-peers: $(READY)
	@$(BIN)/pytest -o cache_dir=$(VENV)/.pytest_peers $(PEERS)

test-whole: $(READY)
	@$(BIN)/pytest -o cache_dir=$(VENV)/.pytest_whole $(WHOLE)

lint: $(READY) contracts ## Check style, format and import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

contracts: $(READY) ## Check who imports whom
	@$(BIN)/lint-imports --no-logo

types: $(READY) ## Check types, strictly
	@$(BIN)/mypy $(wildcard gateway drivers tests benchmarks)

bench: $(READY) ## Measure the figures the README states
	@$(BIN)/python -m benchmarks

soak: $(READY) ## Run the tests that take minutes to hours
	@$(BIN)/pytest -m soak

# Hashes of every wheel for every supported Python and processor; no index address.
COMPILE := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make requirements"

# What developers need comes first: what is tested is what runs.
requirements: ## Pin requirements*.in anew (needs uv)
	$(COMPILE) requirements-dev.in --output-file requirements-dev.txt
	$(COMPILE) requirements.in --constraints requirements-dev.txt --output-file requirements.txt
	$(COMPILE) requirements-bench.in --constraints requirements-dev.txt --output-file requirements-bench.txt

$(READY): requirements.txt requirements-dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Headroom needs Python 3.11 or newer: install it, or name it with 'make PYTHON=python3.12 ...'." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "This Python cannot make environments: install its venv module (Debian: apt-get install python3-venv)." >&2; exit 1; }
	@echo "Building $(VENV) from requirements-dev.txt ..."
	@$(BIN)/python -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	@$(PIP) install --quiet --require-hashes --no-deps -r requirements-dev.txt
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
