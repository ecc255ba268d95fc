# `make demo` shows a completion, `make test` checks everything that needs no torch. Each does its
# whole job from a fresh clone with nothing but Python 3.11 and pip.

PYTHON ?= python3
BIN := .venv/bin
# A hole in one of our own source files, which the model that ships has never seen.
DEMO := inference/cancellation.py:17:13 --until 17:32 --scope line
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test parity bench clean

demo: .venv/installed
	$(BIN)/python -m inkling complete $(DEMO) --show

test: .venv/installed-test
	$(BIN)/python -m pytest

parity: .venv/installed-parity
	$(BIN)/python -m pytest -m parity

bench: .venv/installed-test
	$(BIN)/python -m benchmarks.decode
	$(BIN)/python -m benchmarks.server

.venv/bin/python:
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check 'pip>=25.1'

.venv/installed: pyproject.toml constraints.txt | .venv/bin/python
	$(INSTALL) --editable .
	@touch $@

.venv/installed-test: .venv/installed
	$(INSTALL) --group test
	@touch $@

.venv/installed-parity: .venv/installed-test
	$(INSTALL) --group parity
	@touch $@

clean:
	rm -rf .venv build dist
