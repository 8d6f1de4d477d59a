# Everything a fresh machine needs is Python 3.11 or newer and make.
.DEFAULT_GOAL := help
SHELL := /bin/bash

# `python3`, or where that is too old the newest python3.x on the path that runs.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
WORKERS ?= 2
PYTEST := $(BIN)/python -m pytest -q -n $(WORKERS)

# A stamp says which extras .venv has; it is older than pyproject.toml when they must be installed again.
comma := ,
define install
	@echo "Installing chainrule[$(1)] into .venv (once; takes a minute or two) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$(1)]'
	@touch $@
endef

.PHONY: help
help:  ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# pip comes last into a new environment: where it is, the environment is whole.
$(BIN)/pip:
	@[ -n "$(PYTHON)" ] || { echo "chainrule needs Python 3.11 or newer. Name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
		{ echo "$(PYTHON) cannot make environments. On Debian: apt install python3-venv" >&2; exit 1; }
	@$(PYTHON) -m venv --clear .venv

.venv/study.stamp: pyproject.toml | $(BIN)/pip
	$(call install,study)

.venv/test.stamp: pyproject.toml | $(BIN)/pip
	$(call install,all$(comma)test)

.venv/bench.stamp: pyproject.toml | $(BIN)/pip
	$(call install,all$(comma)bench)

.venv/docs.stamp: pyproject.toml | $(BIN)/pip
	$(call install,docs)

.PHONY: study
study: .venv/study.stamp  ## run the study and write its pages; ARGS="9.2 --quick" to choose
	$(BIN)/chainrule study $(ARGS)

.PHONY: lint
lint: .venv/test.stamp  ## style, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

.PHONY: test
test: lint  ## lint, then every test that is not slow
	$(PYTEST) -m "not slow"

.PHONY: test-all
test-all: lint  ## lint, then every test
	HYPOTHESIS_PROFILE=thorough $(PYTEST)

.PHONY: bench
bench: .venv/bench.stamp  ## measure against other libraries, side by side on this machine
	$(BIN)/chainrule bench $(ARGS)

.PHONY: docs
docs: .venv/docs.stamp  ## build the site into docs/_build/html
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html

.PHONY: dist
dist: .venv/test.stamp  ## build the wheel and the source archive into dist/
	$(BIN)/python -m build --outdir dist .

.PHONY: format
format: .venv/test.stamp  ## fix style in place
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: clean
clean:  ## remove what was built, .venv included
	rm -rf .venv dist build docs/_build study-out .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests docs benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
