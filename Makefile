# Every target works on a machine that has Python >= 3.11 and make, and nothing else.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
INSTALL := $(PY) deploy/local/install.py

.PHONY: help setup run stop status test fixtures check proof bench demo simulate clean lock

help: ## this list
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

setup: $(VENV)/.dev ## make the virtual environment with everything that running and testing need

run: $(VENV)/.runtime ## start Kafka, PostgreSQL and all services; Ctrl-C ends them
	@exec $(PY) -m deploy.local run

stop: $(VENV)/.runtime ## end what `make run` started, from another terminal
	@$(PY) -m deploy.local stop

status: $(VENV)/.runtime ## show what runs
	@$(PY) -m deploy.local status

demo: $(VENV)/.runtime ## send real mail, SMS, a form and a call through the running system, and tell the story
	@$(PY) -m deploy.demo

SIMULATE ?= --seed 1 --rate 20 --seconds 60
simulate: $(VENV)/.runtime ## seeded traffic and agents against the running system, live; SIMULATE="--rate 20 --seconds 60", or virtual
	@$(PY) -m simulator $(SIMULATE)

test: $(VENV)/.dev ## all tests on two sides (tests/sides.py), each on a Kafka and a PostgreSQL of its own
	$(PY) -m pytest -m "not proof" -n 2 --dist loadfile --no-loadscope-reorder

proof: $(VENV)/.dev ## the tests with their full counts, two files at a time, each side on servers of its own (up to an hour)
	PATCHBAY_PROOF=1 $(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder

fixtures: $(VENV)/.dev ## run what other systems recorded (../shared/fixtures) through the real code; say what comes out as expected
	@$(PY) -m tests.recorded

check: $(VENV)/.dev ## lint, format, types, import rules, house rules
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports
	$(PY) -m pytest -q tests/house

bench: $(VENV)/.dev ## measure, each figure beside its baseline (BENCH=intake for one, BENCH=profile for where the CPU goes)
	$(PY) -m bench

clean: ## delete the virtual environment and the caches; data in .patchbay stays
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './.patchbay/*' -prune -exec rm -rf {} +

LOCK := $(PY) -m uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate --upgrade -q
lock: $(VENV)/.dev ## renew the lock files from requirements*.in
	$(LOCK) requirements.in -o requirements.txt
	$(LOCK) requirements-dev.in -o requirements-dev.txt

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "Patchbay needs Python 3.11 or newer as $(PYTHON). Install it, or name another: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV) || \
	  { echo "Python could not make a virtual environment. On Debian and Ubuntu: apt install python3-venv. Then try again."; rm -rf $(VENV); exit 1; }

$(VENV)/.runtime: requirements.txt | $(PY)
	@echo "Installing what Patchbay needs into $(VENV) (once) ..."
	@$(INSTALL) requirements.txt
	@touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.runtime
	@echo "Installing what tests and checks need into $(VENV) (once) ..."
	@$(INSTALL) requirements-dev.txt
	@touch $@
