# Kindling. `make` shows what can be done.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PACKAGES := kindling_core plugins/entities/kindling_entities plugins/state/kindling_state plugins/watermark/kindling_watermark
PROJECTS := pyproject.toml plugins/entities/pyproject.toml plugins/state/pyproject.toml plugins/watermark/pyproject.toml \
	tests/third_party/kindling-heartbeat/pyproject.toml \
	tests/third_party/kindling-relay/pyproject.toml tests/third_party/kindling-sqlite/pyproject.toml
SLOW := tests
# Tests of one file stay in one process, which has its own engine.
IN_PARALLEL := --numprocesses 2 --dist loadfile
ENGINE ?= embedded
SET := --set entities.engine=$(ENGINE) --set entities.root=./lake/$(ENGINE)
.DEFAULT_GOAL := help
.PHONY: help install demo test quick coverage chaos test-slow lint types unit bench bench-peers wheels clean

help: ## show what can be done
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(STAMP) ## make .venv and install everything into it, if missing or stale

$(STAMP): constraints.txt requirements-dev.txt $(PROJECTS)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	# pyspark and pyspark-client own one module: a folder that held the other would stay broken.
	if $(BIN)/python -m pip show --quiet pyspark-client 2>/dev/null; then $(BIN)/python -m pip uninstall --quiet --yes pyspark pyspark-client; fi
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -r requirements-dev.txt
	touch $@

demo: $(STAMP) ## run the flights job; ENGINE=spark runs it on Spark with Delta Lake
	cd examples/flights && ../../$(BIN)/python -m flights.prepare
	cd examples/flights && ../../$(BIN)/kindling run --picture out/flights.html $(SET)
	cd examples/flights && ../../$(BIN)/kindling show gold.carrier_delays --limit 10 $(SET)
	cd examples/flights && ../../$(BIN)/kindling runs --limit 3 $(SET)
	@echo "Picture of the run: examples/flights/out/flights.html"

test: lint types unit ## lint, types, and all tests but the slow ones

unit: $(STAMP)
	$(BIN)/python -m pytest tests -m "not slow" $(IN_PARALLEL)
	KINDLING_TEST_ENGINE=spark $(BIN)/python -m pytest tests/engines -m "not slow"
	KINDLING_TEST_ENGINE=connect $(BIN)/python -m pytest tests/engines/test_clients.py tests/engines/test_commits.py tests/engines/test_types.py

quick: $(STAMP) lint ## the edit loop: lint and the tests of the core
	$(BIN)/python -m pytest tests/core -m "not slow" -x

coverage: $(STAMP) ## which lines the tests on the embedded engine reach
	$(BIN)/python -m pytest tests -m "not slow" --cov --cov-report=term

chaos: $(STAMP) ## incremental jobs killed at 100 moments, and random histories of their sources
	KINDLING_TEST_MOMENTS=100 KINDLING_TEST_EXAMPLES=200 $(BIN)/python -m pytest tests/watermark/test_kills.py tests/watermark/test_histories.py

test-slow: $(STAMP) ## what takes longer: fresh environments, full disks, large frames, further cases on Spark, Connect, a standalone cluster
	$(BIN)/python -m pytest $(SLOW) -m slow
	KINDLING_TEST_ENGINE=spark $(BIN)/python -m pytest tests/engines -m slow
	KINDLING_TEST_ENGINE=connect $(BIN)/python -m pytest tests/engines -m "not slow"
	KINDLING_TEST_ENGINE=cluster $(BIN)/python -m pytest tests/engines -m "not slow"

lint: $(STAMP) ## ruff, rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP) ## mypy, strict
	$(BIN)/mypy $(PACKAGES)

bench: $(STAMP) ## every benchmark; ratios within one run
	@for file in benchmarks/bench_*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

bench-peers: $(STAMP) ## the same jobs with Kedro, Dagster, Prefect, spark-kindling and Spark Declarative Pipelines
	$(BIN)/python benchmarks/peers/compare.py $(PEERS)

wheels: $(STAMP) ## build the wheels into dist/
	$(BIN)/python -m build --wheel --no-isolation --outdir dist .
	$(BIN)/python -m build --wheel --no-isolation --outdir dist plugins/entities
	$(BIN)/python -m build --wheel --no-isolation --outdir dist plugins/state
	$(BIN)/python -m build --wheel --no-isolation --outdir dist plugins/watermark

clean: ## remove what was built and run, keep .venv
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage examples/*/lake examples/*/out
