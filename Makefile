# `make demo` shows the service at work; `make test` runs every check. Both set up .venv first.

# The first Python here that runs and suits.
PYTHON ?= $(shell for p in python3.12 python3.13 python3.11 python3 python; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
# Options for pip, for instance an index with the small CPU build of torch.
PIP_OPTIONS ?=

.PHONY: demo test test-slow check format clean

demo: .venv/installed
	$(BIN)/glyphseek demo

test: check
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-slow: .venv/tested
	$(BIN)/python -m pytest -m slow

check: .venv/tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/tested
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

.venv/installed: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "glyphseek needs Python 3.11, 3.12 or 3.13; name one with make PYTHON=..." >&2; exit 2; }
	@echo "Setting up .venv with $(PYTHON) (about two minutes the first time, 6 GB)"
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_OPTIONS) -c constraints.txt -e .
	touch $@

.venv/tested: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_OPTIONS) -c constraints.txt -e ".[test]"
	touch $@
