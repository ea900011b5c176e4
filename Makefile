SHELL := bash
.DEFAULT_GOAL := help
PY := .venv/bin/python
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: help
help: ## show the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z][a-z-]*:.*## / {printf "  \033[1m%-14s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## make .venv from the hash-pinned lock
	@dev/setup.sh

.PHONY: lock
lock: setup ## resolve the dependencies again and pin them with hashes
	cd requirements && uv pip compile -q --upgrade --generate-hashes --no-header --python-version 3.11 --python-platform linux --extra dev ../pyproject.toml -o dev.lock
	cd requirements && for part in operator server; do uv pip compile -q --generate-hashes --no-header --python-version 3.11 --python-platform linux --extra $$part -c dev.lock ../pyproject.toml -o $$part.lock; done

.PHONY: lint
lint: setup ## ruff and the import contracts
	ruff check .
	ruff format --check .
	lint-imports --no-cache

.PHONY: fmt
fmt: setup ## format the code
	ruff check --fix-only -q .
	ruff format -q .

.PHONY: types
types: setup ## mypy, strict
	mypy

.PHONY: generate
generate: setup ## make CRD, chart parts, install manifest and API docs from the code
	python -m dev.generate
