# `make help` lists the commands. They install everything they need below .venv and .local.
.DEFAULT_GOAL := help
.PHONY: help up status logs release down rehearse policy isolation-report test check lint unit program stand-ins engine e2e isolation
.PHONY: embedded bench lock tools format

PYTHON ?= python3
# Some machines set this, so that each start of Python compiles all that it imports: half of the tests' time.
export PYTHONDONTWRITEBYTECODE :=
VENV := .venv
RUN := $(VENV)/bin/python
SOURCES := __main__.py conftest.py components model pipeline cli local standins watchdog tests bench

help:
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

# uv installs the hashed requirements in seconds, and leaves an up-to-date environment alone.
$(VENV)/installed: requirements.txt requirements-dev.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one with make PYTHON=…")'
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --require-hashes --no-deps -r requirements-uv.txt
	$(VENV)/bin/uv pip sync --quiet --python $(RUN) --require-hashes requirements-dev.txt
	touch $@

# Apart from the project's environment: workflows that check a pull request install nothing else.
pipeline/policy/.venv/installed: pipeline/policy/requirements.txt
	$(PYTHON) -m venv pipeline/policy/.venv
	pipeline/policy/.venv/bin/python -m pip install --quiet --require-hashes --no-deps -r pipeline/policy/requirements.txt
	touch $@

policy: pipeline/policy/.venv/installed  ## install the policy pack's own environment

up: $(VENV)/installed  ## start the platform on this machine, run `pulumi up`, show the tenants
	$(RUN) -m local up

status: $(VENV)/installed  ## show which tenants are ready, and why others are not
	$(RUN) -m local status

logs: $(VENV)/installed  ## follow the log of a process: make logs NAME=kustomize-controller
	$(RUN) -m local logs $(NAME)

release: $(VENV)/installed  ## push an image of the sample product and follow it to its tenants: make release VERSION=1.1.0
	$(RUN) -m local release "$(VERSION)"

down: $(VENV)/installed  ## stop the platform; its data stays
	$(RUN) -m local down

rehearse: $(VENV)/installed  ## live through the first month of the stack prod-eu, with AWS replaced below the program
	$(RUN) -m local rehearse

tools: $(VENV)/installed  ## build the programs that no registry ships
	$(RUN) -m local.toolchain

# Each imports other large packages, so a process for each is quicker than workers that import them all.
FAST := lint program stand-ins unit

# The longest first, so that neither of the two runs alone for long at the end.
PLATFORMS := engine isolation e2e embedded

test: tools  ## all tests
	@echo "All tests, two kinds at a time; engine, end-to-end and isolation tests have a platform each."
	$(MAKE) --no-print-directory --jobs=2 --keep-going $(FAST) $(PLATFORMS)

check: $(VENV)/installed  ## format, lint, types, unit and program tests
	$(MAKE) --no-print-directory --jobs=2 --keep-going $(FAST)

lint: $(VENV)/installed
	$(VENV)/bin/ruff format --check --quiet $(SOURCES)
	$(VENV)/bin/ruff check --quiet $(SOURCES)
	$(VENV)/bin/lint-imports --no-logo
	$(RUN) -m pyright -p pyrightconfig.platform.json
	$(RUN) -m cli.editor_schema --check
	$(RUN) -m local.lint_workflows

unit program: $(VENV)/installed
	$(RUN) -m pytest -q tests/$@

stand-ins: $(VENV)/installed
	$(RUN) -m pytest -q local/tests/unit standins/tests/unit

engine: $(VENV)/installed pipeline/policy/.venv/installed tools
	$(RUN) -m pytest -q tests/engine

e2e isolation: $(VENV)/installed tools
	$(RUN) -m pytest -q tests/$@

embedded: $(VENV)/installed tools
	$(RUN) -m pytest -q local/tests/e2e standins/tests/engine

isolation-report: $(VENV)/installed tools  ## attack every promise of isolation, and write a report
	$(RUN) -m tests.isolation.report

bench: $(VENV)/installed tools  ## measure previews, updates and Flux: make bench TENANTS="10 100 1000" FAULTS=200
	$(RUN) -m bench $(TENANTS) $(if $(FAULTS),--faults $(FAULTS))

format: $(VENV)/installed  ## format the sources
	$(VENV)/bin/ruff format $(SOURCES)
	$(VENV)/bin/ruff check --fix $(SOURCES)

COMPILE := $(VENV)/bin/uv pip compile --quiet --generate-hashes --no-header --no-annotate --universal --python-version 3.11
lock:  ## compile the pinned requirements from pyproject.toml
	$(COMPILE) pyproject.toml -o requirements.txt
	$(COMPILE) pyproject.toml --group dev -o requirements-dev.txt
	$(COMPILE) --group policy -o pipeline/policy/requirements.txt
	grep '^uv==' requirements-dev.txt | sed 's/ .*//' | $(COMPILE) - -o requirements-uv.txt
