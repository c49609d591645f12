# `make help` lists everything. The first use installs what is needed into .venv; later ones do not.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help install train sweep ui test test-slow durability sweep-torture lint check format peers bench lock clean

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SUITABLE := import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c '$(SUITABLE)' 2>/dev/null && echo $$p && break; done)
ARGS ?=
RESULTS := benchmarks/results
PYTEST := OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest

help:  ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(STAMP)  ## install into .venv the versions that requirements/lock.txt names

$(STAMP): pyproject.toml requirements/lock.txt requirements/uv.txt
	@test -n "$(PYTHON)" || { echo "nnlab needs Python 3.11, 3.12 or 3.13 with venv and pip" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	$(BIN)/uv --system-certs pip install --quiet --python $(VENV) --require-hashes --compile-bytecode -r requirements/lock.txt
	$(BIN)/uv --system-certs pip install --quiet --python $(VENV) --no-deps --no-build-isolation --editable .
	@touch $@

train: install  ## train one experiment:      make train ARGS="model=linear"
	$(BIN)/nnlab train $(ARGS)

sweep: install  ## search hyperparameters:    make sweep ARGS="trials=6 data=iris"
	$(BIN)/nnlab sweep $(ARGS)

ui: install  ## browse the results in MLflow
	$(BIN)/nnlab ui $(ARGS)

test: install  ## run the tests
	$(PYTEST) -m "not slow" $(ARGS)

test-slow: install  ## run the long tests
	$(PYTEST) -m slow $(ARGS)

durability: install  ## kill, cut, fill and hang everything; a table of what was proved
	NNLAB_ROUNDS=30 $(PYTEST) tests/durability $(ARGS)

sweep-torture: install  ## kill sweeps at any moment; a table of what was proved
	$(PYTEST) -m slow tests/sweeps/test_torture.py $(ARGS)

lint: install  ## ruff and mypy --strict
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

check: lint test  ## what must be green before a commit

format: install  ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

peers: install  ## install PyTorch and JAX for comparison tests and benchmarks
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/peers.txt

bench: install  ## measure everything; the peers where `make peers` has put them; figures beside those wanted
	$(BIN)/python -m benchmarks.startup --json $(RESULTS)/startup.json
	$(BIN)/python -m benchmarks.peers --json $(RESULTS)/peers.json --png $(RESULTS)/peers.png $(ARGS)
	$(BIN)/python -m benchmarks.step --json $(RESULTS)/step.json
	$(BIN)/python -m benchmarks.search --json $(RESULTS)/search.json
	$(BIN)/python -m benchmarks.tracking --steps 10 --json $(RESULTS)/tracking.json
	$(BIN)/python benchmarks/gradients.py
	$(BIN)/python benchmarks/doctor.py
	$(BIN)/python benchmarks/kernels.py
	$(BIN)/python benchmarks/sweeps.py
	$(BIN)/python benchmarks/streaming.py
	$(BIN)/python -m benchmarks

lock: install  ## resolve the versions anew into requirements/
	$(BIN)/uv --system-certs pip compile pyproject.toml --group dev --extra features --extra cmaes --universal --python-version 3.11 --fork-strategy fewest \
		--generate-hashes --no-emit-index-url --no-annotate --no-header --quiet --upgrade -o requirements/lock.txt
	$(BIN)/uv --system-certs pip compile requirements/uv.in --universal --generate-hashes --no-emit-index-url --no-annotate \
		--no-header --quiet --upgrade -o requirements/uv.txt

clean:  ## remove .venv and caches; mlruns/ stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
