# Two commands do everything: `make serve` serves, `make test` tests. Both set up what they need.

PYTHON ?= python3
# `make serve EXTRA=gpu` for a CUDA device.
EXTRA ?= cpu
PORT ?= 8000
ARGS ?=

SERVE_ENV := .venv-serve-$(EXTRA)
DEV_ENV := .venv
# Of each model, the folder of its highest version.
NEWEST = $(foreach model,$(wildcard models/*),$(shell ls -d $(model)/* | sort -V | tail -1))
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check -c constraints.txt -e

.PHONY: serve test check lint format load soak graphs holds setup clean

serve: $(SERVE_ENV)/.installed  ## serve models/ on PORT, in an environment without torch
	RECUR_PORT=$(PORT) exec $(SERVE_ENV)/bin/python -m service

test: $(DEV_ENV)/.installed  ## run the tests; ARGS are pytest's
	$(DEV_ENV)/bin/python -m pytest $(ARGS)

check: lint test  ## what CI runs

lint: $(DEV_ENV)/.installed
	$(DEV_ENV)/bin/ruff format --check .
	$(DEV_ENV)/bin/ruff check .
	$(DEV_ENV)/bin/pyright
	$(DEV_ENV)/bin/lint-imports

format: $(DEV_ENV)/.installed
	$(DEV_ENV)/bin/ruff format .
	$(DEV_ENV)/bin/ruff check --fix .

load: $(DEV_ENV)/.installed  ## measure the service beside its peers; ARGS=--help lists what ARGS may be
	$(DEV_ENV)/bin/python -m tests.load $(ARGS)

soak: $(DEV_ENV)/.installed  ## half an hour of everything at once, each answer checked; ARGS as above
	$(DEV_ENV)/bin/python -m tests.load.soak $(ARGS)

graphs: $(DEV_ENV)/.installed  ## measure the forms of the newest versions' graphs; or of ARGS, folders
	$(DEV_ENV)/bin/python -m tests.load.graphs $(or $(ARGS),$(NEWEST))

holds: $(DEV_ENV)/.installed  ## measure how long bodies that mean ill hold the event loop
	$(DEV_ENV)/bin/python -m tests.load.holds

setup: $(DEV_ENV)/.installed  ## the environment for training and development

clean:
	rm -rf .venv .venv-serve-* .pytest_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info

$(SERVE_ENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(SERVE_ENV)
	$(SERVE_ENV)/bin/python $(PIP_INSTALL) '.[$(EXTRA)]'
	@touch $@

$(DEV_ENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(DEV_ENV)
	$(DEV_ENV)/bin/python $(PIP_INSTALL) '.[cpu,training,dev]'
	@touch $@
