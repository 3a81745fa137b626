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
TEST_TOOLS := accelerate coverage hypothesis pytest pytest-timeout pytest-xdist scikit-learn tensorboard
LINT_TOOLS := mypy ruff
BENCH_TOOLS := monai
DOCS_TOOLS := mkdocs mkdocs-material 'mkdocstrings[python]'
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

STARTERS := acgan pgan spade
STARTER_DATA_acgan := --set data.phantom_grades=0,1,2,3,4 --set \
	data.channels=optic_disc,fovea,microaneurysm,haemorrhage,hard_exudate,soft_exudate

.PHONY: help demo test coverage lint format docs bench starters clean
.DEFAULT_GOAL := help

help:  ## show these lines
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile | expand -t 16

demo: $(VENV)/.installed  ## set up, and run the whole pipeline on phantom eyes into runs/demo (minutes)
	$(BIN)/retina pipeline --labels pgan --translator spade --out runs/demo
	@echo "Open runs/demo/report.html in a browser."

# A process for each core, and a file's tests in one process, which share what they made.
test: $(VENV)/.tools $(VENV)/.docs  ## set up what is missing, and run all tests
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile $(PYTEST)

# Measuring slows imports, which one test times, and writes a file of its own where another has filled the disk.
UNMEASURED := --deselect tests/workspace/test_start_up.py::test_help_takes_a_twelfth_of_importing_torch_and_list_a_sixth \
	--deselect tests/workspace/test_storage_trouble.py::test_the_command_says_a_full_disk_in_one_line

coverage: $(VENV)/.tools $(VENV)/.docs  ## all tests again, and which lines and branches none of them ran (longer)
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(UNMEASURED) $(PYTEST)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

lint: $(VENV)/.tools  ## ruff (rules and format) and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy core/src cli/src $(addsuffix /src,$(PLUGINS))

format: $(VENV)/.tools  ## put the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.docs  ## write the generated reference anew, and the site: site/index.html
	$(BIN)/python docs/generate.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "Open site/index.html in a browser."

# On a machine with nothing else to do.
bench: $(VENV)/.bench  ## time our steps beside the usual code and public networks, into benchmarks/results.json
	$(BIN)/python benchmarks/bench.py --out benchmarks/results.json

# What was trained before goes on where it stopped, or is only packed again.
starters: $(VENV)/.installed  ## train the stages that plugins ship, on phantoms kept for them (hours)
	$(foreach stage,$(STARTERS),\
		$(BIN)/retina train $(stage) --preset starter $(STARTER_DATA_$(stage)) --out runs/starters/$(stage) && \
		$(BIN)/python -m retina_core.starters runs/starters/$(stage) plugins/$(stage)/src/retina_$(stage)/starter &&) true

clean:  ## remove the environment, the caches, the site and runs/demo
	rm -rf $(VENV) runs/demo site .coverage* .pytest_cache .mypy_cache .ruff_cache

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

$(VENV)/.docs: $(VENV)/.installed
	@echo "Installing what the site needs ..."
	@$(PIP) $(DOCS_TOOLS)
	@touch $@

$(VENV)/.bench: $(VENV)/.installed
	@echo "Installing what the benchmarks compare with ..."
	@$(PIP) $(BENCH_TOOLS)
	@touch $@
