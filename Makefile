# Every target sets itself up: .venv from the lock file, the package, dbt's manifest.
.DEFAULT_GOAL := help
.PHONY: help setup demo sandbox test faults lint format typecheck contracts bench screenshots lock clean

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
DBT := $(BIN)/dbt --quiet --no-send-anonymous-usage-stats
MANIFEST := dbt_project/target/manifest.json
export DAGSTER_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := 1

help: ## Show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

.venv/installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(MANIFEST): .venv/installed $(shell find dbt_project -name '*.sql' -o -name '*.yml' | grep -v target)
	$(DBT) parse --project-dir dbt_project --profiles-dir dbt_project
	@touch $@

setup: .venv/installed $(MANIFEST) ## Install into .venv and parse the dbt project

demo: setup ## The whole platform on a simulated feed, start to answer
	$(BIN)/viral demo

lint: setup ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

typecheck: setup ## mypy, strict
	$(BIN)/mypy

contracts: setup ## Imports point down (import-linter)
	$(BIN)/lint-imports

sandbox: setup ## The demo with all five signals, by local stand-ins of the providers
	$(BIN)/viral demo --sandbox

test: lint typecheck contracts ## Lint, types, import contracts, then every test with coverage
	rm -f .coverage .coverage.*
	$(BIN)/dagster definitions validate -m viral_platform.definitions
	$(BIN)/pytest -n 2 --dist loadfile -q --cov --cov-report=term
	$(BIN)/coverage report --include='viral_platform/engine/*' --fail-under=92
	$(BIN)/coverage report --include='viral_platform/providers/*' --fail-under=92

faults: setup ## Kill API, ingests and PostgreSQL at every crash point, some 240 times (minutes)
	$(BIN)/python -m viral_platform_tests.faults

format: setup ## Rewrite what ruff can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup ## Speed, as ratios against named baselines in one run
	$(BIN)/python benchmarks/predict_speed.py
	$(BIN)/python benchmarks/engine_speed.py
	$(BIN)/python benchmarks/fuzzy_speed.py
	$(BIN)/python benchmarks/import_speed.py
	$(BIN)/python benchmarks/ingest_speed.py
	$(BIN)/python benchmarks/trends_speed.py
	$(BIN)/python benchmarks/webhook_ack.py
	$(BIN)/python benchmarks/api_predict.py

screenshots: setup ## Photograph the Dagster UI of a running installation into docs/images
	docs/screenshots/take.sh

lock: ## Resolve requirements.lock anew (needs uv)
	uv pip compile --universal --extra dev --generate-hashes --no-header --no-annotate \
		--python-version 3.11 pyproject.toml -o requirements.lock

clean: ## Remove what the targets made; the installation's data stays
	rm -rf .venv dbt_project/target dbt_project/logs .coverage .coverage.* build *.egg-info
