# Each target does all the set-up that it needs, on a machine with Python 3.11 or newer and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT ?= build/demo

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench docs screenshots clean

help: ## Show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "metacurate needs Python 3.11 or newer; name one with PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(VENV)/installed ## Balance a made pool of 200,000 pairs; a table, and a picture in build/demo
	$(BIN)/metacurate demo --out $(OUT)

test: $(VENV)/installed ## Run all tests (those on real data where METACURATE_DATA names its folder)
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(VENV)/installed ## Check style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(VENV)/installed ## Measure against other packages: benchmarks/README.md says how to read it
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	$(BIN)/python -m benchmarks

docs: $(VENV)/installed ## Generate docs/cli.md, and the README's picture
	$(BIN)/python docs/generate.py

screenshots: $(VENV)/installed ## Picture the pages for the docs; needs a Chromium
	$(BIN)/python docs/screenshots.py

clean: ## Remove what the other targets made
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
