# `make help` lists the targets. Each makes the virtual environment that it needs, again only when
# setup.cfg has changed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# freqtrade and NautilusTrader pin what they need: an environment of their own.
PROGRAMS := .venv-integrations
# empyrical-reloaded pulls 337 MB, and pins a peewee that the benchmarks exclude.
ORACLES := .venv-oracles
# How long `make soak` goes on.
MINUTES ?= 10
# Every process starts a PostgreSQL server of its own.
PARALLEL := --numprocesses=auto --dist=worksteal
.DEFAULT_GOAL := help
.PHONY: help demo test full unit slow soak stalls pooler integrations oracles coverage lint typing format audit bench mutants clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): setup.cfg
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "tradebook needs Python 3.11 or newer; try: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@

demo: $(READY) ## two agents trade real prices; then a report (leaves demo.db to explore)
	$(BIN)/tradebook demo

test: $(READY) ## every test; the contract suite on fake, sqlite-file, sqlite-async, postgresql, postgresql-async (FULL=1: and on fake-async, sqlite-memory, sqlite-memory-async)
	$(BIN)/python -m pytest $(PARALLEL) -rs $(if $(FULL),--full)

full: $(READY) ## only what `make test` leaves out: more backends, kills and calls; and that every contract test leaves a proven book
	$(BIN)/python -m pytest $(PARALLEL) --full -m full --prove
	$(BIN)/python -m pytest $(PARALLEL) tests/contract --prove

pooler: $(READY) ## the heavy tests through PgBouncer: 300 clients, kills, cuts, restarts, and the contract suite (minutes)
	$(BIN)/python -m pytest --pooler -m pooler -rs tests/integration/poolers
	$(BIN)/python -m pytest $(PARALLEL) --pooler -rs tests/contract -k postgresql

unit: $(READY) ## the unit and property tests alone: no database, seconds
	$(BIN)/python -m pytest tests/unit tests/property

slow: $(READY) ## the tests that take more than a few seconds, alone
	$(BIN)/python -m pytest -m slow

soak: $(READY) ## kill, cut off and crowd the book for MINUTES=n; then a table of what was tried, and lost
	$(BIN)/python -m reliability --minutes $(MINUTES)

stalls: $(READY) ## how long who books waits while a book of a million trades is migrated (minutes)
	$(BIN)/python -m benchmarks.migration_stalls

$(PROGRAMS)/.ready: setup.cfg
	$(PYTHON) -m venv $(PROGRAMS)
	$(PROGRAMS)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[integrations]'
	@touch $@

integrations: $(PROGRAMS)/.ready ## the code of docs/integrations.md in real bots of freqtrade and NautilusTrader: tests/programs, which no other target runs
	$(PROGRAMS)/bin/python -m pytest tests/programs

$(ORACLES)/.ready: setup.cfg
	$(PYTHON) -m venv $(ORACLES)
	$(ORACLES)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[oracles]'
	@touch $@

oracles: $(ORACLES)/.ready ## the statistics next to those of empyrical-reloaded and pyxirr: tests/oracles, which no other target runs
	$(ORACLES)/bin/python -m pytest tests/oracles

coverage: $(READY) ## every test, and which lines none of them reached (in htmlcov/ too)
	$(BIN)/python -m pytest $(PARALLEL) --cov --cov-report=term:skip-covered --cov-report=html

lint: $(READY) ## ruff, mypy --strict and the layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

$(BIN)/basedpyright: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,typing]'
	@touch $@

typing: $(BIN)/basedpyright ## what pyright sees of the public names (mypy runs in make lint)
	$(BIN)/basedpyright --pythonpath $(BIN)/python

format: $(READY) ## let ruff format and mend the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(BIN)/bandit: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[audit]'
	@touch $@

audit: $(BIN)/bandit ## dangerous code in what is here, known holes in what is installed (asks the network)
	$(BIN)/bandit --quiet --recursive --configfile pyproject.toml tradebook alembic
	@$(BIN)/python -m pip freeze --disable-pip-version-check --exclude-editable > $(VENV)/installed.txt
	$(BIN)/pip-audit --strict --no-deps --disable-pip --progress-spinner off --requirement $(VENV)/installed.txt

$(VENV)/.bench: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,bench]'
	@touch $@

bench: $(VENV)/.bench ## how fast, next to other ways in the same run; writes docs/benchmarks.md (FULL=1: an hour)
	$(BIN)/python -m benchmarks $(if $(FULL),--full)

$(BIN)/mutmut: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,mutants]'
	@touch $@

mutants: $(BIN)/mutmut ## which changes of the domain no test notices: docs/mutants.md (half an hour)
	nice $(BIN)/mutmut run
	@$(BIN)/mutmut results --all true | awk -F '[.: ]+' '{print $$4 ".py", $$NF}' | sort | uniq --count
	@echo 'What the words mean: docs/mutants.md. One of them: mutmut show NAME, and its name: mutmut results'

clean: ## remove the virtual environment and everything built
	rm -rf $(VENV) $(PROGRAMS) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage* htmlcov mutants demo.db*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
