# Everything runs in .venv, which is made, and made again when pyproject.toml changes, by whatever needs it.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
# What tests and benchmarks need of the system.
SERVERS := .venv/servers

.PHONY: demo test lint types tests tests-of-updates tests-of-processes other-tests quick-real-tests test-real test-long bench clean

demo: $(INSTALLED)
	$(BIN)/python examples/demo.py

test: lint types tests

lint: $(INSTALLED)
	$(BIN)/ruff check --quiet .

types: $(INSTALLED)
	$(BIN)/mypy --no-error-summary

# In two processes at a time: what is tested takes one core, and one thread, each.
# Hundreds of processes import persistmod, where it may be that Python is told to write no bytecode: it is written once, before.
tests: $(INSTALLED) $(SERVERS)
	$(BIN)/python -m compileall -q persistmod benchmarks
	$(MAKE) --no-print-directory --jobs=2 tests-of-processes other-tests tests-of-updates quick-real-tests

UPDATES := $(wildcard tests/test_update_*.py)
PROCESSES := $(wildcard tests/test_*storages.py tests/test_serving*.py tests/test_race.py tests/test_zero_downtime.py tests/test_faults_*.py \
	tests/test_lost_connection.py tests/test_examples.py tests/test_init.py tests/test_servers.py tests/test_watch*.py tests/test_game_edited.py)

tests-of-updates:
	$(BIN)/python -m pytest -q $(UPDATES)

tests-of-processes:
	$(BIN)/python -m pytest -q $(PROCESSES)

other-tests:
	$(BIN)/python -m pytest -q $(UPDATES:%=--ignore=%) $(PROCESSES:%=--ignore=%)

quick-real-tests:
	$(BIN)/python -m pytest -q tests/real -m quick

test-real: $(INSTALLED)
	$(BIN)/python -m pytest -q tests/real

test-long: $(INSTALLED) $(SERVERS)
	$(BIN)/python -m pytest -q -m long tests

bench: $(INSTALLED) $(SERVERS)
	$(BIN)/python -m benchmarks

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# -qq leaves only errors.
$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -qq --disable-pip-version-check -e '.[test,lint]'
	touch $@

$(SERVERS): $(INSTALLED)
	sh tests/install_servers.sh
	touch $@
