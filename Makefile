# Every target is short and calls what CI calls. `make help` lists them.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOG ?= embedded
OUT ?=
SEEDS ?= 2000
export PYTHONPATH := services

.DEFAULT_GOAL := help
.PHONY: help setup setup-system fmt check test test-slow demo bench proto lock kernel clean

help: ## Show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.dev ## Create .venv with everything that tests and benches need (hash-locked)

$(VENV)/.bootstrap: requirements/bootstrap.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Tacit needs Python 3.11 or newer, this is " + sys.version)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

$(VENV)/.demo: requirements/demo.txt pyproject.toml $(VENV)/.bootstrap
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --no-deps -r $<
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.broker: requirements/broker.txt $(VENV)/.demo
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --no-deps -r $<
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.demo
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --no-deps -r $<
	@touch $@

setup-system: ## List the Debian packages that the deeper tests want, ask, and install them
	sh tests/setup_system.sh

fmt: $(VENV)/.dev ## Format the code
	$(BIN)/ruff check --quiet --fix services tests bench proto docs; $(BIN)/ruff format --quiet services tests bench proto docs

check: $(VENV)/.dev ## Lint, types, layers, wire format, code shape, documents
	$(BIN)/python tests/check.py

test: $(VENV)/.dev ## Run the tests (a real Kafka broker included)
	$(BIN)/python -m pytest -q -n 2 -m "not slow"

test-slow: $(VENV)/.dev ## Run the slow tests
	$(BIN)/python -m pytest -q -n 2 -m slow

demo: $(VENV)/.$(if $(filter kafka,$(LOG)),broker,demo) ## Train a federation on this machine (LOG=kafka for a real broker)
	$(BIN)/tacit demo --log $(LOG) $(if $(OUT),--out $(OUT))

bench: $(VENV)/.dev ## Print the figures that the product must reach
	$(BIN)/python bench/run.py

proto: $(VENV)/.dev ## Generate the wire code from proto/
	$(BIN)/python proto/generate.py

lock: $(VENV)/.bootstrap ## Write the hash-locked requirements again
	sh requirements/lock.sh

kernel: $(VENV)/.demo ## Build the optional C kernel of the learner (needs a C compiler)
	$(BIN)/python -m tacit.adapters.kernel build

clean: ## Remove .venv and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
