# Every target sets itself up: a virtual environment in .venv, filled from the package index.
.PHONY: help demo demo-live test test-all faults bench lint format types types-mypy types-pyright docs clean

PYTHON := .venv/bin/python
PYTEST := $(PYTHON) -m pytest
ARGS ?=

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

demo: ## The main job on a bundled repository with a bundled scripted model
	@.ci/setup core
	@.venv/bin/ostro demo $(ARGS)

demo-live: ## The same with the configured endpoint, after a probe
	@.ci/setup core
	@.venv/bin/ostro demo --live $(ARGS)

test: ## The core tests, at most six minutes
	@.ci/setup test
	@$(PYTHON) .ci/parts.py -q -m 'not slow' $(ARGS)

test-all: ## Everything, at most fifteen minutes
	@.ci/setup dev
	@$(PYTHON) .ci/parts.py -q $(ARGS)

faults: ## The fault matrix with the attack suite: each row with its verdict
	@.ci/setup test
	@$(PYTEST) -q -p tests.faults.matrix --timeout 1800 $(ARGS)

bench: ## The speed of Ostro on thirty calls; ARGS="--mini PYTHON" compares with mini-swe-agent
	@.ci/setup core
	@$(PYTHON) -m ostro.benchmarks.speed $(ARGS)

lint: ## ruff, the import directions, and zizmor over the action and the workflow templates
	@.ci/setup dev
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@.venv/bin/lint-imports
	@.venv/bin/zizmor --offline --quiet action.yml docs/ci/github-*.yml

format: ## Rewrite the code as ruff wants it
	@.ci/setup dev
	@$(PYTHON) -m ruff check --fix .
	@$(PYTHON) -m ruff format .

types: ## mypy strict and pyright strict, side by side
	@.ci/setup dev
	@$(MAKE) --no-print-directory -j2 --output-sync types-mypy types-pyright

types-mypy:
	@$(PYTHON) -m mypy -p ostro.agent -p ostro.benchmarks -p ostro.cli -p ostro.forge -p ostro.prompts -p ostro.sandbox -p ostro.tools
	@$(PYTHON) -m mypy tests

types-pyright:
	@$(PYTHON) -m pyright --pythonpath $(PYTHON) agent benchmarks cli forge prompts sandbox tools

docs: ## Write the reference pages from the code
	@.ci/setup core
	@$(PYTHON) docs/generate.py

clean: ## Remove the virtual environment and every cache
	rm -rf .venv build dist ostro.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
