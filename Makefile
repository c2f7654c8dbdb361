# SalesBoost: `make help` lists the targets. Nothing is needed but python3 (3.11 or newer), make and a package index;
# uv is used when it is on PATH.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:

PYTHON ?= python3
UV := $(shell command -v uv)
BIN := .venv/bin
SOURCES := salesboost config scheduler tasks workers gateway
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export UV_NO_PROGRESS := 1

.PHONY: help setup demo up check test test-all coverage bench chaos lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: .venv/.stamp-dev ## install everything a contributor needs into .venv

demo: .venv/.stamp-server ## run a sales team's tool calls through two workers, before your eyes
	@$(BIN)/python -m examples.demo

up: .venv/.stamp-server ## run the whole stack in this terminal; Ctrl-C stops it
	@$(BIN)/python -m workers up

check: .venv/.stamp-dev ## lint, types, import rules, security, repository hygiene
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive $(SOURCES) examples
	$(BIN)/pytest -q -n0 tests/unit/test_repository.py

test: .venv/.stamp-dev ## run the tests, without the slow ones
	$(BIN)/pytest -m "not slow"

test-all: .venv/.stamp-dev ## run every test
	$(BIN)/pytest

coverage: .venv/.stamp-dev ## run the tests and show the lines that none of them reached
	$(BIN)/pytest -m "not slow" --cov --cov-report=term

bench: .venv/.stamp-dev ## measure, beside the peers
	$(call run-if-written,tests.performance)

chaos: .venv/.stamp-dev ## kill, freeze and partition, and count what was lost
	$(call run-if-written,tests.chaos)

lock: .venv/.stamp-dev ## refresh requirements/*.lock from pyproject.toml (UPGRADE=--upgrade for newer versions)
	$(call compile,dev)
	$(call compile,server,--constraints requirements/dev.lock)

clean: ## remove .venv, caches and build output; var/, the data of the local stack, stays
	rm -rf .venv dist .coverage* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -not -path './var/*' -prune -exec rm -rf {} +

# --- the virtual environment -----------------------------------------------------------------------------------

# A dangling link (the interpreter was removed) counts as missing too.
$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "make: no $(PYTHON) on PATH: install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "make: $(PYTHON) is $$($(PYTHON) -V 2>&1), SalesBoost needs 3.11 or newer: name one, such as make PYTHON=python3.12 ..." >&2; exit 1; }
ifdef UV
	@$(UV) venv --quiet --clear --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" .venv
else
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo "make: $(PYTHON) cannot make virtual environments with pip (ensurepip is missing): apt install python3-venv on Debian and Ubuntu, or put uv on PATH" >&2; exit 1; }
	@$(PYTHON) -m venv --clear .venv
endif

.venv/.stamp-server: requirements/server.lock pyproject.toml $(BIN)/python
	$(call install,server)
	@touch $@

.venv/.stamp-dev: requirements/dev.lock pyproject.toml $(BIN)/python
	$(call install,dev)
	@touch .venv/.stamp-server $@

# The project itself goes in editable: a .pth with this directory, so that the server packages are importable too.
ifdef UV
PIP_INSTALL := $(UV) pip install --quiet --python $(BIN)/python
else
# Like uv, leave compiling to the first import.
PIP_INSTALL := $(BIN)/python -m pip install --quiet --no-compile
endif
define install
@echo "installing requirements/$1.lock into .venv with $(if $(UV),uv,pip) ..."
$(if $(UV),,@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null # uv made it)
@$(PIP_INSTALL) --require-hashes -r requirements/$1.lock
@$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
endef

define compile
$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
  --no-emit-index-url --no-emit-find-links --group pyproject.toml:$1 $2 $(UPGRADE) --output-file requirements/$1.lock
endef

define run-if-written
@test -f $(subst .,/,$1)/__main__.py || { echo "make $@: $(subst .,/,$1)/ is not written yet" >&2; exit 2; }
@$(BIN)/python -m $1
endef
