# `make demo` shows a completion, `make test` checks everything that needs no torch. Each does its
# whole job from a fresh clone with nothing but Python 3.11 and pip.

PYTHON ?= python3
BIN := .venv/bin
# `make demo MODEL=embedded` shows the model that ships alone.
MODEL ?= qwen2.5-coder-0.5b
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test parity real editors cluster bench clean

demo: .venv/installed
	$(BIN)/python docs/demo.py $(MODEL)

test: .venv/installed-test
	$(BIN)/python -m pytest

parity: .venv/installed-parity
	$(BIN)/python -m pytest -m parity

real: .venv/installed-test
	$(BIN)/python -m pytest -m real_model

editors: .venv/installed-editors
	$(BIN)/python -m pytest -m editor

cluster: .venv/installed-cluster
	$(BIN)/python -m pytest -m cluster

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

.venv/installed-editors: .venv/installed-test
	$(INSTALL) --group editors
	@touch $@

.venv/installed-cluster: .venv/installed-test
	$(INSTALL) --editable '.[team,cluster]'
	@touch $@

clean:
	rm -rf .venv build dist
