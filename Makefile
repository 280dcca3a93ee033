# Each target does its own set-up: a virtual environment in .venv with pinned packages.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export MPLBACKEND := Agg

.PHONY: help demo test test-slow test-all test-reliability test-lowest test-deploy test-label test-gpu benchmark lock lint format clean

help: ## Show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /: /'

$(VENV)/installed: setup.cfg pyproject.toml requirements-hashed.txt
	$(PYTHON) -c "import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] < (3, 14) else 'Python 3.11 to 3.13 is needed: make PYTHON=python3.12 ...')"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements-hashed.txt
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $@

demo: $(VENV)/installed ## Make a data set, train, calibrate, evaluate, predict and explain in minutes; all under demo/
	$(BIN)/python -m scripts.demo

JOBS ?= 2

REST := not gpu and not label and not deploy and not reliability
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadgroup -m

test: $(VENV)/installed ## The quick tests, in JOBS=2 processes of one thread
	$(PYTEST) "not slow and $(REST)"

test-slow: $(VENV)/installed ## The slow ones: whole trainings, packed bundles, exports, distributed runs
	$(PYTEST) "slow and $(REST)"

test-all: test test-slow ## Both

test-reliability: $(VENV)/installed ## Random kills, flipped bits, mutated files, much work: figures in the end; RELIABILITY_SHARE=0.1 does a tenth
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m reliability -p no:xdist --timeout 3600 tests/reliability

.venv-lowest/installed: setup.cfg
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet uv
	.venv-lowest/bin/uv pip compile --quiet --resolution lowest-direct --extra int8 setup.cfg --output-file .venv-lowest/lowest.txt
	.venv-lowest/bin/uv pip install --quiet --python .venv-lowest/bin/python --requirement .venv-lowest/lowest.txt pytest pytest-timeout pytest-xdist hypothesis selenium
	.venv-lowest/bin/uv pip install --quiet --python .venv-lowest/bin/python --no-deps --editable .
	touch $@

test-lowest: .venv-lowest/installed ## The quick tests with the lowest versions that setup.cfg promises, in their own environment (8 GB)
	OMP_NUM_THREADS=1 .venv-lowest/bin/python -m pytest -n $(JOBS) --dist loadgroup -m "not slow and $(REST)"

test-gpu: $(VENV)/installed ## The tests that need CUDA (skipped where there is none)
	$(BIN)/python -m pytest -m gpu

.venv-deploy/installed: constraints-deploy.txt
	$(PYTHON) -m venv .venv-deploy
	.venv-deploy/bin/python -m pip install --quiet --requirement constraints-deploy.txt
	touch $@

test-deploy: $(VENV)/installed .venv-deploy/installed ## The MONAI Deploy app, run in its own environment (7 GB)
	$(BIN)/python -m pytest -m deploy

.venv-label/installed: constraints-label.txt
	$(PYTHON) -c "import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] < (3, 13) else 'MONAI Label needs Python 3.11 or 3.12: make PYTHON=python3.12 ...')"
	$(PYTHON) -m venv .venv-label
	.venv-label/bin/python -m pip install --quiet --requirement constraints-label.txt
	touch $@

test-label: $(VENV)/installed .venv-label/installed ## The MONAI Label apps over HTTP, in their own environment (7.5 GB)
	$(BIN)/python -m pytest -m label

benchmark: $(VENV)/installed ## What things cost, in under 15 minutes on 2 cores; studies/results/benchmarks/README.md has it all
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[benchmarks]"
	$(BIN)/python -W ignore -m studies.benchmarks

lock: .venv-lowest/installed ## requirements-hashed.txt anew from setup.cfg and constraints.txt
	.venv-lowest/bin/uv pip compile --quiet --universal --generate-hashes --no-annotate --no-header --extra dev --constraint constraints.txt setup.cfg --output-file requirements-hashed.txt

lint: $(VENV)/installed ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/installed ## Let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## Remove the virtual environments and what the demo wrote
	rm -rf $(VENV) .venv-deploy .venv-label demo
