# make run    the example plan, end to end, on this machine
# make test   the whole test suite, with coverage; in another order: make test SEED=7
# make lint   style, types and import rules
# make docs   the generated parts of docs/ again
#
# Needed: Python 3.11 or newer with its venv module, git 2.38 or newer, make.
# Another Python: make run PYTHON=/path/to/python3.13

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help run test lint docs clean

PYTHON ?= python3
SEED ?= 1
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --quiet --disable-pip-version-check --no-input
# The build backend is pinned too: it is installed like everything else, not fetched by pip.
INSTALL := $(PIP) install --no-build-isolation --constraint constraints.txt

help:
	@sed -n 's/^# \{0,1\}//p;/^$$/q' Makefile

run: $(VENV)/.ready
	@$(BIN)/vibe demo

# Tests start hundreds of processes: none of them shall compile everything for itself.
test: export PYTHONDONTWRITEBYTECODE :=
test: $(VENV)/.ready-test
	@$(BIN)/python -m coverage erase
	@$(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder \
	  --randomly-seed=$(SEED) --cov --cov-report=

lint: $(VENV)/.ready-test
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

docs: $(VENV)/.ready-test
	@$(BIN)/python docs/generate.py

clean:
	rm -rf $(VENV) .coverage .coverage.* build dist

# --- the virtual environment -------------------------------------------------------------------
# A stamp is newer than what it was made from, so nothing is installed twice.

$(VENV)/.ready: pyproject.toml constraints.txt | $(VENV)/.made
	@echo "Installing vibe_tasks into $(VENV)"
	@$(INSTALL) hatchling editables
	@$(INSTALL) --editable .
	@touch $@

# mini-swe-agent asks for 500 MB of data-set tools and providers; its command works without them.
$(VENV)/.ready-test: pyproject.toml constraints.txt | $(VENV)/.made
	@echo "Installing vibe_tasks and its test tools into $(VENV)"
	@$(INSTALL) hatchling editables
	@$(INSTALL) --editable '.[test]'
	@$(INSTALL) --no-deps mini-swe-agent
	@touch $@ $(VENV)/.ready

# The first that is new enough: what was asked for, then what systems with an old python3 have.
$(VENV)/.made:
	@for python in "$(PYTHON)" python3.14 python3.13 python3.12 python3.11; do \
	  "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	  "$$python" -c 'import ensurepip, venv' 2>/dev/null || { \
	    echo "$$python has no venv module; on Debian and Ubuntu: apt-get install python3-venv" >&2; \
	    exit 1; }; \
	  "$$python" -m venv --clear $(VENV) && touch $@ && exit 0; \
	  exit 1; \
	done; \
	echo "Python 3.11 or newer is needed, $(PYTHON) is" \
	  "$$($(PYTHON) --version 2>/dev/null || echo missing); name one: make PYTHON=/path/to/python3" >&2; \
	exit 1
