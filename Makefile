# Every target works on a fresh machine that has Python 3.10+ and make (and Java 17 for the Spark tests).
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# A process for each processor; the tests of a file share one, as they share the lakes that the file makes. The slowest
# files come first (conftest.py), which the plug-in would undo.
PYTEST := $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help install demo dev test test-spark test-all lint format docs bench clean

help: ## show what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk 'BEGIN {FS = ":.*## "} {printf "  make %-10s %s\n", $$1, $$2}'

install: $(INSTALLED) ## create .venv and install everything into it

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "Python 3.10 or newer is needed; $(PYTHON) is older. Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "Installing into $(VENV) (a minute or two, once) …"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25'
	@# setuptools warns of every editable installation that folders beside it may hide it; they are it.
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(INSTALLED) ## make the sample data and every table, and print the row counts
	@$(BIN)/stedi sample
	@$(BIN)/stedi materialize
	@$(BIN)/stedi counts --format table

dev: $(INSTALLED) ## open Dagster's UI on http://127.0.0.1:3000, sensors on
	@mkdir -p .dagster data/landing
	@# DAGSTER_HOME is where Dagster looks for dagster.yaml. The file lies here, for commands that start without
	@# DAGSTER_HOME, and keeps all state in .dagster, where stedi finds it.
	@DAGSTER_HOME="$(CURDIR)" $(BIN)/stedi dev --port $(or $(PORT),3000)

test: $(INSTALLED) ## run the tests that prove the rules
	$(PYTEST) -m "not process and not spark and not slow"

test-spark: $(INSTALLED) ## run the tests that need Spark and Java
	$(PYTEST) -m spark

test-all: $(INSTALLED) ## run every test, with more random examples, and measure coverage
	STEDI_TEST_PROFILE=all $(PYTEST) --timeout 900 --cov --cov-report=term

lint: $(INSTALLED) ## ruff, mypy, and which package may import which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(INSTALLED) ## let ruff put things in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(INSTALLED) ## write docs/tables.md from the contracts, and docs/errors.md from the classes
	$(BIN)/python -m stedi_assets.contracts.render > docs/tables.md
	$(BIN)/python -m stedi_assets_tests.errors_page

bench: $(INSTALLED) ## measure against a DuckDB script and a PySpark job, side by side
	$(BIN)/python bench/run.py --sizes reference,10m,50m --runs 3 --out docs/benchmarks.json

clean: ## remove the environment, the sample data, the lake and Dagster's state
	rm -rf $(VENV) data .dagster
