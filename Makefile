# Every target does its own set-up: a virtual environment in .venv, from hash-locked packages only.
PYTHON ?= python3
VENV := .venv
BARE := build/bare
PY := $(VENV)/bin/python
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test torture mutants check bench pictures lock install clean
demo: $(VENV)/.runtime  ## see it work: a pretend media library, the real daemon; OPTIONS=--once ends it
	PYTHONPATH=. $(PY) -m tests.pretend $(OPTIONS)

test: $(VENV)/.dev  ## run the tests, but those of torture
	$(PY) -m pytest

torture: $(VENV)/.dev  ## what is promised, tried very often: kills, garbage, random worlds, a long life
	$(PY) -m pytest tests/torture

mutants: $(VENV)/.dev  ## spoil each guard, one after the other, and see that a test notices
	PYTHONPATH=. $(PY) tests/mutants.py

check: $(VENV)/.dev  ## format, lint, types, import contracts
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy
	PYTHONPATH=. $(VENV)/bin/lint-imports

bench: PY := $(BARE)/bin/python
bench: $(BARE)/.runtime  ## measure, against a bare limit program in the same run; with what users have installed
	PYTHONPATH=. $(PY) tests/bench/run.py
	PYTHONPATH=. $(PY) -m tests.bench.picture
	PYTHONPATH=. $(PY) tests/bench/process.py
	PYTHONPATH=. $(PY) tests/bench/page.py

pictures: $(VENV)/.dev  ## renew the manual's pictures (needs chromium)
	PYTHONPATH=. $(PY) -m tests.browser.pictures

lock:  ## renew the lock files after a change of dependencies (needs uv)
	uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-header -o requirements.lock
	uv pip compile pyproject.toml --group test --group lint --universal --python-version 3.11 --generate-hashes --no-header -o requirements-dev.lock

install:  ## install or upgrade the systemd service, as root; OPTIONS=--help tells what else it can do
	systemd/install $(OPTIONS)

clean:
	rm -rf $(VENV) build dist

$(VENV)/bin/python $(BARE)/bin/python: %/bin/python:
	$(PYTHON) -m venv $*

$(VENV)/.runtime $(BARE)/.runtime: %/.runtime: requirements.lock | %/bin/python
	@echo "Installing the dependencies into $*; this takes a minute."
	$*/bin/python -m pip install --quiet --require-hashes -r requirements.lock
	touch $@

$(VENV)/.dev: requirements-dev.lock | $(VENV)/bin/python
	$(PY) -m pip install --quiet --require-hashes -r requirements-dev.lock
	touch $(VENV)/.runtime $@
