# `make` lists what there is to do.
#
# Everything is built in .venv and .test-data; `make clean` removes both.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DATA := .test-data
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test lint fmt bench docs setup machine tools apptainer channel base clean
.PHONY: lab-root lab-up lab-down lab-runtimes lab-test

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: setup ## Build an image from a lock file and run a job in it (a few minutes the first time)
	@demo/run

test: setup ## Run all tests; choose some with ARGS="-k words" or ARGS=tests/unit
	$(BIN)/python -m pytest -n 2 --dist loadgroup $(ARGS)

lint: $(VENV)/ready ## Check style and types
	@status=0; for check in "ruff check ." "ruff format --check ." "mypy"; do \
		echo "$$check"; $(BIN)/$$check || status=1; \
	done; exit $$status

fmt: $(VENV)/ready ## Put the code into the project's format
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

bench: setup ## Measure build times and sizes on this machine
	$(BIN)/python -m bench $(ARGS)

docs: $(VENV)/ready ## Write the pages anew that are made from the code
	$(BIN)/python docs/reference/generate.py

lab-up: lab-root ## Start real schedulers on this machine: Slurm, HTCondor, a registry
	@$(BIN)/python -m lab --data $(DATA) up

lab-down: $(VENV)/ready ## End them and remove what they have left
	@$(BIN)/python -m lab --data $(DATA) down

lab-runtimes: setup ## Start the image in every runtime and print what holds; some with ARGS="podman crun"
	@$(BIN)/python -m tests.matrix $(ARGS)

lab-test: setup lab-root ## Run the tests that need them; they are started and ended where they do not run
	$(BIN)/python -m pytest $(or $(ARGS),tests/lab)

setup: machine tools apptainer $(VENV)/ready channel base ## Prepare tools, .venv, the test channel and the base image

machine:
	@setup/machine.sh

tools: machine
	@setup/newer_tools.sh $(DATA)

apptainer: machine
	@setup/apptainer_root.sh $(DATA)

lab-root: machine $(VENV)/ready
	@lab/root.sh $(DATA)
	@test ! -d $(DATA)/lab-root || $(BIN)/python -m lab.tool $(DATA)

$(VENV)/ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is older than 3.11; next: make PYTHON=python3.11 ..." >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

channel: $(VENV)/ready
	@$(BIN)/python -m tests.channel $(DATA)/channel

base: machine
	@$(PYTHON) setup/base_image.py $(DATA)

clean: ## Remove everything that was built or downloaded here
	@test ! -e $(DATA)/lab || $(BIN)/python -m lab --data $(DATA) down
	rm -rf $(VENV) $(DATA) .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
