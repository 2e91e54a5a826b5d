# Every command works alone from a clean clone: it makes the virtual environment first, or brings it up to date when
# pyproject.toml or constraints.txt have changed. Variables, as in `make demo VENV=../venv`:
#
#   VENV         where the virtual environment is (.venv)
#   PYTHON       the Python 3.11 it is made with (found by itself)
#   TORCH_INDEX  an extra package index for torch. PyPI's torch for Linux is the CUDA build of several GB; on a machine
#                without a GPU take PyTorch's CPU build: TORCH_INDEX=https://download.pytorch.org/whl/cpu
#   ARGS         more arguments for the command, as in `make test ARGS="-k splits"`

VENV ?= .venv
PYTHON ?= $(shell for python in python3.11 python3 python; do $$python -c '$(IS_3_11)' 2>/dev/null && echo $$python && break; done)
TORCH_INDEX ?=
ARGS ?=

IS_3_11 = import sys; sys.exit(sys.version_info[:2] != (3, 11))
BIN := $(VENV)/bin
DEMO := $(VENV)/.installed-demo
DEV := $(VENV)/.installed-dev
PIP := $(BIN)/pip --disable-pip-version-check
EXTRA_INDEX = $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
INSTALL = $(PIP) install --quiet --constraint constraints.txt $(EXTRA_INDEX)

.DEFAULT_GOAL := help
.PHONY: help demo demo-fast ui install test lint types imports check bench constraints clean

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(DEMO) ## The whole road on a real domain: train, re-embed, prove, promote
	@$(BIN)/domain-embed demo $(ARGS)

demo-fast: $(DEMO) ## The same road on a small part of that domain
	@$(BIN)/domain-embed demo --fast $(ARGS)

ui: $(DEMO) ## The web interface with its schedules and sensors, until Ctrl-C
	@$(BIN)/domain-embed ui $(ARGS)

install: $(DEV) ## The development environment alone
	@echo "domain-embed is installed in $(VENV)."

test: $(DEV) ## All tests, without network
	@HF_HUB_OFFLINE=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile $(ARGS)

lint: $(DEV) ## Style and formatting
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(DEV) ## Static types
	@$(BIN)/mypy

imports: $(DEV) ## The direction of imports
	@$(BIN)/lint-imports

check: lint types imports test ## What a change must pass

bench: $(DEV) ## Measure speed and memory
	@HF_HUB_OFFLINE=1 $(BIN)/python -m benchmarks $(ARGS)

# Keeps every pin that still fits; `make constraints ARGS=--upgrade` takes the newest versions instead, and
# ARGS="--upgrade-package ruff" the newest of one. Without a CPU build of torch at hand it needs TORCH_INDEX (above),
# or the CUDA packages are pinned, too. It does without the other targets' installation, which old pins can make fail.
constraints: | $(BIN)/pip ## Pin what pyproject.toml needs in constraints.txt
	@test -x $(BIN)/pip-compile || $(PIP) install --quiet pip-tools
	@echo "Resolving pyproject.toml with all extras (takes minutes) ..."
	@cp constraints.txt $(VENV)/constraints.txt
	@$(BIN)/pip-compile --quiet --all-extras --strip-extras --no-annotate --no-header --no-emit-options \
	  --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --unsafe-package pip \
	  $(EXTRA_INDEX) $(ARGS) --output-file $(VENV)/constraints.txt pyproject.toml
	@(echo "# The exact versions of everything pyproject.toml and its extras need, for Python 3.11 on Linux." && \
	  echo "# Written by \`make constraints\` (pip-compile --all-extras --strip-extras); edit pyproject.toml instead." && \
	  sed -e '/^#/d' -e '/^$$/d' -e 's/+cpu$$//' $(VENV)/constraints.txt) > $(VENV)/constraints.new
	@mv $(VENV)/constraints.new constraints.txt
	@git --no-pager diff --stat -- constraints.txt 2>/dev/null || true

clean: ## Remove caches and build products; data/ and the virtual environment stay
	@rm -rf dist build *.egg-info .coverage coverage.xml .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	@find domain_embed domain_embed_tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# The last file venv makes is bin/pip; a bin/python alone is one that was not finished.
$(BIN)/pip:
	@test -n "$(PYTHON)" || { echo "No Python 3.11 on PATH. Install it, or say where it is: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	@"$(PYTHON)" -c '$(IS_3_11)' || { echo "$(PYTHON) is not Python 3.11, which domain-embed needs." >&2; exit 1; }
	@echo "Making a virtual environment in $(VENV) with $$("$(PYTHON)" --version) ..."
	@"$(PYTHON)" -m venv $(VENV)

$(DEMO): pyproject.toml constraints.txt | $(BIN)/pip
	@echo "Installing domain-embed and its demo into $(VENV) (the first time takes minutes) ..."
	@$(INSTALL) --editable ".[demo]"
	@touch $@

$(DEV): pyproject.toml constraints.txt | $(BIN)/pip
	@echo "Installing domain-embed, its demo and the development tools into $(VENV) (the first time takes minutes) ..."
	@$(INSTALL) --editable ".[demo,dev,lora,objects,openvino,pii,postgres]"
	@touch $(DEMO) $@
