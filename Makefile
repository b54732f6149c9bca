# Two commands for a newcomer: `make demo` and `make test`. They need Python 3.11 or
# later, pip and make; everything else is installed into .venv from requirements.lock.

SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input

.PHONY: help install tools demo test long check lint bench fuzz lock docs clean

help:            ## this list
	@grep -hE '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

install: $(STAMP) ## everything into .venv

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Bagline needs Python 3.11 or later; $(PYTHON) is older. Try: make PYTHON=python3.12 …"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
	  { echo "Python cannot make a virtual environment; on Debian: apt-get install python3-venv"; exit 1; }
	@echo "Installing what is pinned in requirements.lock into $(VENV): about a minute."
	$(PIP) install --quiet --require-hashes -r requirements.lock
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

tools:           ## nsqd, nsqlookupd, versitygw and MinIO into .tools, for the tests that want them
	@PATH="$$PATH:/usr/local/go/bin"; \
	command -v go >/dev/null || { \
	  echo "make tools needs Go 1.25 or later, and there is none on PATH: https://go.dev/doc/install"; exit 1; }; \
	for module in tools/*/; do \
	  echo "building the tools of $$module"; \
	  (cd "$$module" && CGO_ENABLED=0 go build -trimpath -o "$(CURDIR)/.tools/" tool) || exit 1; \
	done

demo: $(STAMP)   ## make a bag, ingest it, then a damaged copy of it
	$(BIN)/python demo/run.py

test: $(STAMP)   ## all tests but the long ones, with real engines on loopback
	$(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder -m "not long"

long: $(STAMP)   ## the long ones: every pairing with the older line, full disks, a fleet, chaos
	$(BIN)/python -m pytest -n 2 -m long

check: lint      ## lint, types, import direction, unit tests: seconds, no servers
	$(BIN)/python -m pytest -q -n 2 tests/unit

lint: $(STAMP)   ## what needs no test: form, types, import direction
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP)  ## figures, each beside its baseline in the same run
	$(BIN)/python -m bench

fuzz: $(STAMP)   ## look for bytes that break a parser: TARGET=scanner|manifest|tags MINUTES=10
	PYTHONPATH=tests nice $(BIN)/python -m fuzz $(or $(TARGET),scanner) --minutes $(or $(MINUTES),10)

docs: $(STAMP)   ## pages that are made from tables in the code
	$(BIN)/python -m bagline.problems > docs/problems.md
	$(BIN)/python tools/settings_page.py

lock: $(STAMP)   ## pin the newest versions that fit pyproject.toml
	$(BIN)/uv pip compile pyproject.toml --all-extras --group dev --universal --generate-hashes \
	  --python-version 3.11 --no-header --no-emit-index-url --no-emit-find-links -q \
	  --upgrade -o requirements.lock

clean:           ## remove what the other commands made
	rm -rf $(VENV) .tools .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
