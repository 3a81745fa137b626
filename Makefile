# Two commands on a fresh machine, which needs Python 3.11 or later and make: `make demo` and `make test`.

SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin

# The first Python that is new enough; PYTHON=... chooses another.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

# Where the real photographs are, for the tests that use them; they are skipped without.
RETINA_DATA ?= $(abspath $(wildcard ../shared/data))
ifneq ($(strip $(RETINA_DATA)),)
export RETINA_DATA
endif

PLUGINS := $(patsubst %/pyproject.toml,%,$(wildcard plugins/*/pyproject.toml))
PYPROJECTS := core/pyproject.toml cli/pyproject.toml $(addsuffix /pyproject.toml,$(PLUGINS))
BUILD_TOOLS := hatchling editables
TEST_TOOLS := accelerate hypothesis pytest pytest-timeout scikit-learn tensorboard
LINT_TOOLS := mypy ruff
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: help demo test lint format clean
.DEFAULT_GOAL := help

help:  ## show these lines
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile | expand -t 16

# At 128 px, which two cores train in minutes.
DEMO := --preset quick --set translator.resolution=128 --set translator.seen_images=3200

demo: $(VENV)/.installed  ## set up, and run the whole pipeline on phantom eyes into runs/demo (minutes)
	$(BIN)/retina pipeline --labels dcgan --translator pix2pix --evaluator unet $(DEMO) --out runs/demo
	@echo "Open runs/demo/report.html in a browser."

test: $(VENV)/.tools  ## set up what is missing, and run all tests
	$(BIN)/python -m pytest $(PYTEST)

lint: $(VENV)/.tools  ## ruff (rules and format) and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy core/src cli/src $(addsuffix /src,$(PLUGINS))

format: $(VENV)/.tools  ## put the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove the environment, the caches and runs/demo
	rm -rf $(VENV) runs/demo .pytest_cache .mypy_cache .ruff_cache

# Built without isolation, so that the build tools too are those of constraints.txt.
$(VENV)/.installed: constraints.txt $(PYPROJECTS)
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed; name it with make PYTHON=..." >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV); the first time takes some minutes ..."
	@$(PIP) $(BUILD_TOOLS)
	@$(PIP) --no-build-isolation $(addprefix --editable ./,core cli $(PLUGINS))
	@touch $@

$(VENV)/.tools: $(VENV)/.installed
	@echo "Installing what tests and lint need ..."
	@$(PIP) $(TEST_TOOLS) $(LINT_TOOLS)
	@touch $@
