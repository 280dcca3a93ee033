# Each target does its own set-up: a virtual environment in .venv with pinned packages.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export MPLBACKEND := Agg

.PHONY: help demo test test-gpu benchmark lint format clean

help: ## Show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /: /'

$(VENV)/installed: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -c "import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] < (3, 14) else 'Python 3.11 to 3.13 is needed: make PYTHON=python3.12 ...')"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

demo: $(VENV)/installed ## Make a data set, train, calibrate, evaluate, predict and explain in minutes; all under demo/
	$(BIN)/python -m scripts.demo

test: $(VENV)/installed ## All tests that need no GPU
	$(BIN)/python -m pytest -m "not gpu"

test-gpu: $(VENV)/installed ## The tests that need CUDA (skipped where there is none)
	$(BIN)/python -m pytest -m gpu

benchmark: $(VENV)/installed ## What a heat map costs, beside other libraries
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[benchmarks]"
	$(BIN)/python -W ignore -m benchmarks.explain

lint: $(VENV)/installed ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/installed ## Let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## Remove the virtual environment and what the demo wrote
	rm -rf $(VENV) demo
