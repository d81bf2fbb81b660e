# `make serve` runs the server on config/; `make test` runs all tests. Both first set up .venv, and say so.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONFIG ?= config/dnsd.yaml
TESTS ?= tests
BENCH ?=
SANITIZE ?=
UPGRADE ?=
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check
LOCK = $(VENV)/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header $(UPGRADE) pyproject.toml
LOCKED := Exact versions, with the hashes of all their files on all platforms. Made by `make lock` from pyproject.toml.
SHARED := -n 4 --dist worksteal
ALONE := tests/soak/test_floods.py tests/soak/test_fairness.py

# Also where the environment turns bytecode off: each server that a test starts would compile the whole package anew.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help serve fleet check test sanitize test-browser test-clients screenshots soak bench format lock clean

help:
	@echo "make serve    run the server on $(CONFIG), 127.0.0.1:5300"
	@echo "make fleet    run a fleet on loopback, and show what to try: 3 nats-servers, 2 controls, 3 edges"
	@echo "make check    ruff, mypy, and the fast tests of structure and units, in a minute and a half"
	@echo "make test     run all tests"
	@echo "make test-browser  test the dashboard in Debian's Chromium (part of make test if Chromium is installed)"
	@echo "make test-clients  install the TypeScript client, build OpenTofu with Cloudflare's provider, lego and Pebble, and run them against the server"
	@echo "make screenshots   make the pictures in docs/screenshots"
	@echo "make sanitize  compile the C parts with warnings as errors, and attack them under sanitizers; short form: SANITIZE=--quick"
	@echo "make soak     test every guarantee of docs/reliability.md under load for some minutes, and write the figures there"
	@echo "make bench    compare with NSD, Knot, BIND, PowerDNS and others, and write docs/benchmarks.md; short form: BENCH=--quick"
	@echo "make format   format the code as make check requires"
	@echo "make lock     write constraints.txt and constraints-dev.txt after a change of the dependencies in pyproject.toml"
	@echo "make clean    remove what these commands made"
	@echo "$(BIN)/dnsd check   read your files and print every problem in them"

serve: $(VENV)/.serve
	@echo "==> serving $(CONFIG); Ctrl-C ends it. Try: dig @127.0.0.1 -p 5300 www.example.com; the dashboard of config/ is http://127.0.0.1:8053/"
	@exec $(BIN)/python -m dnsd serve -c $(CONFIG)

# With the packages of the tests, which have nats-server.
fleet: $(VENV)/.test
	@exec env PYTHONPATH=. $(BIN)/python -m bench.try_fleet

# tests/structure runs ruff and mypy, too.
check: $(VENV)/.test
	@$(BIN)/python -m pytest -q -n 3 -m "not slow" tests/structure tests/unit

# First the tests that may share the cores, four at a time, as most wait for a server; then the dashboard in a browser;
# then the tests of floods and shares, alone; then the tests of answers again, with the loop that needs no compiler.
test: $(VENV)/.test
ifeq ($(TESTS),tests)
	@echo "==> running the tests, four at a time"
	@$(BIN)/python -m pytest $(SHARED) --ignore tests/browser $(addprefix --ignore ,$(ALONE)) tests
	@if command -v chromium >/dev/null; then $(MAKE) --no-print-directory test-browser; \
		else echo "==> Chromium is not installed: the dashboard is not tested (apt install chromium)"; fi
	@echo "==> floods on live servers"
	@$(BIN)/python -m pytest $(ALONE)
	@echo "==> the tests of answers again, on the portable loop"
	@DNSD_UDP=portable $(BIN)/python -m pytest $(SHARED) tests/live/test_cases.py tests/live/test_service.py tests/live/test_export.py tests/conformance
else
	@echo "==> running the tests in $(TESTS)"
	@$(BIN)/python -m pytest $(TESTS)
endif

sanitize: $(VENV)/.test
	@PYTHONPATH=. $(BIN)/python -m tests.native.run $(SANITIZE)

test-browser: $(VENV)/.test
	@command -v chromium >/dev/null || { echo "==> Chromium is needed: apt install chromium"; exit 1; }
	@echo "==> the dashboard in a browser"
	@$(BIN)/python -m pytest -n 2 --dist loadgroup tests/browser

# Where Go or a source is missing, the tests skip and say why. The first run builds for up to an hour.
test-clients: $(VENV)/.test
	@command -v npm >/dev/null || echo "==> npm is not installed: the TypeScript client is not tested"
	@! command -v npm >/dev/null || { echo "==> the TypeScript client, in $(VENV)/node"; \
		npm install --silent --no-audit --no-fund --prefix $(VENV)/node cloudflare@7.3.0; }
	@echo "==> clients written in Go; the first run builds them into $(VENV)/clients"
	@$(BIN)/python -m pytest -o faulthandler_timeout=7200 tests/clients tests/api/test_sdk_node.py

screenshots: $(VENV)/.test
	@PYTHONPATH=. $(BIN)/python -m docs.make_screenshots

soak: $(VENV)/.test
	@echo "==> floods, faults and reloads on live servers; a line of figures each"
	@DNSD_SOAK=long $(BIN)/python -m pytest -p no:xdist -o faulthandler_timeout=3600 -s -q tests/soak --figures docs/reliability.md \
		tests/property tests/unit/store tests/unit/control tests/api/test_abuse.py tests/api/test_openapi.py tests/browser/test_pages.py

bench: $(VENV)/.test
	@PYTHONPATH=. $(BIN)/python -m bench.run $(BENCH)

format: $(VENV)/.test
	@$(BIN)/python -m ruff check --fix --exit-zero .
	@$(BIN)/python -m ruff format .

# Keeps the pinned versions where pyproject.toml allows them; UPGRADE=--upgrade takes the newest, UPGRADE='--upgrade-package NAME' one.
lock: $(VENV)/.python
	@$(PYTHON) -m venv $(VENV)/lock && $(VENV)/lock/bin/python -m pip install --quiet --disable-pip-version-check uv==0.13.9
	@$(LOCK) --extra build --extra fleet --output-file constraints.txt
	@$(LOCK) --extra build --extra fleet --extra dev --constraint constraints.txt --output-file constraints-dev.txt
	@sed -i '1i# $(LOCKED)' constraints.txt constraints-dev.txt

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "dnsd needs Python 3.11 or later; $(PYTHON) is older, or missing. Name another: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "==> making a virtual environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.serve: $(VENV)/.python pyproject.toml setup.py constraints.txt $(wildcard dnsd/*.h dnsd/*/*.[ch])
	@echo "==> installing dnsd"
	@$(PIP) --require-hashes --requirement constraints.txt
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.test: $(VENV)/.serve constraints-dev.txt tests/api/cloudflare-4.txt
	@echo "==> installing the tests' packages"
	@$(PIP) --require-hashes --requirement constraints-dev.txt
	@$(PIP) --require-hashes --no-deps --upgrade --target $(VENV)/cloudflare-4 --requirement tests/api/cloudflare-4.txt
	@touch $@
