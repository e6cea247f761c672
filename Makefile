# make demo   sets everything up and shows the main job on loopback
# make test   sets everything up and passes the whole suite
# make validate   holds every object of a varied set of exams against all validators
# make viewers   looks at the results in the OHIF viewer, in a browser
# make lint   import contracts, ruff, mypy strict
# make fmt    formats the code

PYTHON ?= python3
VENV ?= .venv
# The plain torch of the package index is a CUDA build of several gigabytes on Linux; training on a
# GPU wants exactly that: make test TORCH=torch
TORCH ?= torch==2.13.0

.PHONY: demo test validate lint fmt peers viewers clean

demo: $(VENV)/.node peers
	$(VENV)/bin/echo-node demo --out demo-out

test: $(VENV)/.test peers
	$(VENV)/bin/python -m pytest --numprocesses auto --dist loadfile

validate: $(VENV)/.test peers
	$(VENV)/bin/python -m tests.validation

lint: $(VENV)/.test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-logo

fmt: $(VENV)/.test
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

peers:
	tests/install-peers.sh

viewers: $(VENV)/.test peers
	tests/install-viewers.sh $(VENV)/ohif
	$(VENV)/bin/python -m pytest -m viewer tests/acceptance

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install -q --upgrade pip setuptools wheel

$(VENV)/.node: setup.cfg pyproject.toml | $(VENV)/bin/python
	$(VENV)/bin/python -m pip install -q --no-build-isolation -e '.[cpu]'
	touch $@

$(VENV)/.test: setup.cfg pyproject.toml | $(VENV)/bin/python
	$(VENV)/bin/python -m pip install -q $(TORCH)
	$(VENV)/bin/python -m pip install -q --no-build-isolation -e '.[cpu,train,postgresql,test]'
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info demo-out
