# Everything runs in the project's own virtual environment, made by the first target that needs it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help run test slow real lint types format clean

help:  ## show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

run: $(READY)  ## run the quickstart: the whole INPO pipeline on this machine
	$(BIN)/nashflow run pipelines/recipes/quickstart.yaml

test: $(READY)  ## run the tests
	$(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

slow: $(READY)  ## run the tests that take minutes: ten iterations, five seeds, long fault runs
	$(BIN)/pytest -m slow

real: $(READY)  ## run the pipeline on real prompts and models (NASHFLOW_DATA, NASHFLOW_MODELS)
	$(BIN)/pytest -m real -s tests/real

lint: $(READY) types  ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY) .types/nashflow  ## check types
	$(BIN)/mypy -p nashflow.components -p nashflow.pipelines

format: $(READY)  ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove the virtual environment and caches; runs/ stays
	rm -rf $(VENV) .types .pytest_cache .hypothesis .mypy_cache .ruff_cache

# Type checkers need a folder `nashflow` that holds both trees.
.types/nashflow:
	mkdir -p .types/nashflow
	ln -sfn ../../components .types/nashflow/components
	ln -sfn ../../pipelines .types/nashflow/pipelines

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(READY)
