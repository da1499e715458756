# make demo    install into .venv and learn scikit-learn's digits: about a minute of training and testing
# make test    every test
# make check   what is quick: style, types, import directions, the contracts of types/ and models/
# make docs    the pages of docs/ as a site in site/
# make clean   remove what these made
# Installed once; a second run starts at once. PYTHON and VENV choose another interpreter and place.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check
TORCH  := import sys; from importlib.metadata import version; sys.exit(not (2, 11) <= tuple(map(int, version("torch").split(".")[:2])) < (2, 14))

.PHONY: demo test check lint docs clean

demo: $(VENV)/installed
	$(BIN)/python examples/demo.py

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n 2 --dist loadfile

check: lint
	$(BIN)/python -m pytest -n 2 tests/test_project.py tests/test_models.py tests/test_types.py tests/test_metrics.py

lint: $(VENV)/installed-dev
	$(BIN)/ruff check src tests examples benchmarks
	$(BIN)/pyright --threads 2 --pythonpath $(BIN)/python

docs: $(VENV)/installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo site/index.html

clean:
	rm -rf $(VENV) demo site .pytest_cache .ruff_cache .hypothesis build dist

# torch first, so that a machine set up for a certain build of it keeps that build
$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -c '$(TORCH)' 2>/dev/null || $(PIP) "torch==2.13.0"
	$(PIP) -e .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(PIP) -e ".[dev]"
	touch $@

$(VENV)/installed-docs: $(VENV)/installed
	$(PIP) -e ".[docs]"
	touch $@
