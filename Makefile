# A machine with Python 3.11, make and the package registries is enough; node comes from the machine or from PyPI.

PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done)
VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
PIP := $(PY) -m pip --disable-pip-version-check --quiet

# Each stamp says: what it depends on has not changed since, so there is nothing to do.
INSTALLED := $(VENV)/.installed
INSTALLED_TEST := $(VENV)/.installed-test
INSTALLED_BENCH := $(VENV)/.installed-bench
BUILT := service/_web/.stamp
WEB_SOURCES := $(shell find web -type f -not -path '*/node_modules/*' -not -path 'web/tests/*' 2>/dev/null)

.DEFAULT_GOAL := help
.PHONY: help setup run test checks checks-python checks-page soak bench clean

help: ## what there is
	@sed -n 's/^\([a-z]*\):.*## /\1	/p' $(MAKEFILE_LIST) | expand -t 10

setup: $(INSTALLED) $(BUILT) ## .venv with the server, and the built front end; a second time it does nothing

run: setup ## the server on http://127.0.0.1:8000, with this checkout as its home
	@$(PY) -m service serve --home "$(CURDIR)"

test: setup $(INSTALLED_TEST) ## every check and every test, those in a browser included
	@.ci/system-packages
	@$(MAKE) --no-print-directory checks
	$(BIN)/pytest -m "not alone" -n 4 --dist loadfile --no-loadscope-reorder
	$(BIN)/pytest -m alone $$(grep -rlF mark.alone tests --include='test_*.py')

checks: $(INSTALLED_TEST)
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target checks-python checks-page

checks-python:
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

checks-page:
	$(PY) hatch_build.py npm run check
	$(PY) hatch_build.py npm test

soak: setup $(INSTALLED_TEST) ## the promises at full size and length; PLUGBAY_SEED=N repeats a run
	PLUGBAY_SOAK=1 $(BIN)/pytest -m soak -s --timeout 3600

bench: setup $(INSTALLED_BENCH) ## the figures, each beside its peer; BENCH='reload calls --size full' chooses
	$(PY) -m benchmarks $(BENCH)

clean: ## removes what was built and installed, not the data
	rm -rf $(VENV) service/_web web/node_modules dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(PY):
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; name it with make PYTHON=/path/to/python" >&2; exit 1; }
	@echo "Making $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv $(VENV) || { echo "$(PYTHON) cannot make an environment; on Debian: apt install python3-venv" >&2; rm -rf $(VENV); exit 1; }

$(INSTALLED): pyproject.toml hatch_build.py | $(PY)
	@echo "Installing the server and building its front end (a minute or two, the first time)"
	@$(PIP) install --editable .
	@touch $@

$(INSTALLED_TEST): pyproject.toml | $(INSTALLED)
	@echo "Installing what the tests want"
	@requirement=$$($(PY) hatch_build.py requirement) && $(PIP) install --editable '.[test]' $$requirement
	@touch $@

$(INSTALLED_BENCH): pyproject.toml | $(INSTALLED)
	@echo "Installing what it is measured beside"
	@$(PIP) install --editable '.[bench]'
	@touch $@

$(BUILT): $(WEB_SOURCES) | $(INSTALLED)
	@requirement=$$($(PY) hatch_build.py requirement) && { test -z "$$requirement" || $(PIP) install $$requirement; }
	@$(PY) hatch_build.py
	@touch $@
