# Kindling. `make` shows what can be done.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PACKAGES := kindling_core plugins/entities/kindling_entities
PROJECTS := pyproject.toml plugins/entities/pyproject.toml tests/third_party/kindling-heartbeat/pyproject.toml
SLOW := tests
.DEFAULT_GOAL := help
.PHONY: help install demo test quick test-slow lint types unit bench wheels clean

help: ## show what can be done
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(STAMP) ## make .venv and install everything into it, if missing or stale

$(STAMP): constraints.txt requirements-dev.txt $(PROJECTS)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -r requirements-dev.txt
	touch $@

demo: $(STAMP) ## run the flights job on the embedded engine
	cd examples/flights && ../../$(BIN)/python -m flights.prepare
	cd examples/flights && ../../$(BIN)/kindling run --picture out/flights.html
	cd examples/flights && ../../$(BIN)/kindling show gold.carrier_delays --limit 10
	@echo "Picture of the run: examples/flights/out/flights.html"

test: lint types unit ## lint, types, and all tests but the slow ones

unit: $(STAMP)
	$(BIN)/python -m pytest tests -m "not slow" --cov --cov-report=term

quick: $(STAMP) lint ## the edit loop: lint and the tests of the core
	$(BIN)/python -m pytest tests/core -m "not slow" -x

test-slow: $(STAMP) ## what takes longer: wheels in fresh environments, full disks, large frames
	$(BIN)/python -m pytest $(SLOW) -m slow

lint: $(STAMP) ## ruff, rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP) ## mypy, strict
	$(BIN)/mypy $(PACKAGES)

bench: $(STAMP) ## every benchmark; ratios within one run
	@for file in benchmarks/bench_*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

wheels: $(STAMP) ## build the wheels into dist/
	$(BIN)/python -m build --wheel --no-isolation --outdir dist .
	$(BIN)/python -m build --wheel --no-isolation --outdir dist plugins/entities

clean: ## remove what was built and run, keep .venv
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage examples/*/lake examples/*/out
