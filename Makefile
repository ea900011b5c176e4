SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
export PATH := $(CURDIR)/.venv/bin:$(PATH)
PYTEST := python -m pytest -rs --durations=5
# Files are shared among two workers where each test waits for, or computes, by itself.
TWO := -n 2 --dist loadfile

.PHONY: help
help: ## show the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z][a-z0-9-]*:.*## / {printf "  \033[1m%-14s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## make .venv from the hash-pinned lock
	@dev/setup.sh

.PHONY: demo
demo: setup ## the whole product on this machine: cluster, bucket, model, rollout under load
	@python -u -m dev.demo

.PHONY: demo-down
demo-down: setup ## remove the demo's cluster and object store
	@python -m dev.demo down

.PHONY: test
test: setup ## everything that CI checks: lint types unit test-server conformance integration chaos-slice e2e
	@dev/test.sh lint types unit test-server conformance integration chaos-slice e2e

.PHONY: unit
unit: setup ## pure functions, contracts between the parts, layout of the repository
	$(PYTEST) $(TWO) tests/unit tests/contract tests/images tests/repo --ignore=tests/repo/test_generated.py

.PHONY: test-server
test-server: setup object-store ## the real server process and the real repository protocol
	$(PYTEST) $(TWO) tests/server tests/repository

.PHONY: conformance
conformance: setup ## the clients of the server's protocols: tritonclient, KServe, openai, schemathesis
	@dev/conformance.sh

.PHONY: soak
soak: setup ## 100,000 mixed requests (MMM_SOAK=100000) to one server: memory and descriptors stay flat
	MMM_SOAK=$(or $(MMM_SOAK),100000) $(PYTEST) -s tests/server/test_soak.py

.PHONY: integration
integration: setup control-plane ## the operator against a real API server; chart and generated files
	$(PYTEST) tests/repo/test_generated.py tests/localcluster tests/charts tests/integration

.PHONY: chaos
chaos: setup tools ## every crash, fault and misuse that is known (40 minutes); writes docs/chaos-report.md
	rm -f build/chaos/plans.jsonl
	CHAOS_SIZE=full $(PYTEST) tests/chaos || failed=1; CHAOS_SIZE=full python -m tests.chaos.report; exit $${failed:-0}

.PHONY: chaos-slice
chaos-slice: setup control-plane ## a sample of them
	$(PYTEST) tests/chaos

.PHONY: chaos-storage
chaos-storage: setup tools ## every fault of a store, flipped bits, kills and hostile files, on two servers (minutes)
	rm -f build/chaos/storage.jsonl
	CHAOS_SIZE=full $(PYTEST) tests/repository/chaos || failed=1; python -m tests.repository.chaos.report; exit $${failed:-0}

.PHONY: e2e
e2e: setup tools ## the whole system on a real node
	$(PYTEST) -s e2e

.PHONY: e2e-full
e2e-full: setup tools ## the same with what takes minutes more
	E2E_SIZE=full $(PYTEST) -s e2e

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

.PHONY: tools control-plane object-store
tools: setup ## build the Go programs of the cluster (cached)
	@python -m dev.tools packages
	@python -m dev.tools build > /dev/null

control-plane: object-store
	@python -m dev.tools build kubernetes helm > /dev/null

object-store: setup
	@python -m dev.tools packages
	@python -m dev.tools build versitygw > /dev/null

.PHONY: generate
generate: setup tools ## write the CRD, the chart's parts, manifests and reference docs again
	python -m dev.generate

.PHONY: images
images: setup tools ## build both container images
	python -m dev.images build all

.PHONY: bench
bench: setup ## measure start, answers, memory and reconciles; writes build/bench
	python -m dev.bench

.PHONY: bench-operator
bench-operator: setup tools ## the operator over N objects (N=100 IDLE=60 KWOK=0): speed, writes, memory, restart
	N=$(or $(N),100) IDLE=$(or $(IDLE),60) KWOK=$(or $(KWOK),0) python -m dev.bench.operator

.PHONY: bench-repository
bench-repository: setup tools ## publish and fetch MB=1000 in FILES=1,100,10000, next to boto3 and plain obstore (ROUNDS=3)
	python -m dev.bench.repository

.PHONY: bench-rollout
bench-rollout: setup tools ## one rollout per policy under load on a real node (POLICIES=…): timelines
	python -m dev.bench.rollout

.PHONY: bench-server
bench-server: setup ## the server next to five others (SECONDS=5 ROUNDS=3 CONTENDERS=… WORKLOADS=…); an hour
	SECONDS=$(or $(SECONDS),5) python -m dev.bench.server

.PHONY: lock
lock: setup ## resolve the dependencies again and pin them with hashes
	cd requirements && uv pip compile -q --upgrade --generate-hashes --no-header --python-version 3.11 --python-platform linux --extra dev ../pyproject.toml -o dev.lock
	cd requirements && uv pip compile -q --generate-hashes --no-header --python-version 3.11 --python-platform linux --extra operator -c dev.lock ../pyproject.toml -o operator.lock
	cd requirements && uv pip compile -q --generate-hashes --no-header --python-version 3.11 --python-platform linux --extra server --extra tracing -c dev.lock ../pyproject.toml -o server.lock
	cd requirements && uv pip compile -q --upgrade --generate-hashes --no-header --python-version 3.11 --python-platform linux conformance.in -o conformance.lock
	cd requirements && for name in litserve mosec bentoml kserve; do uv pip compile -q --upgrade --generate-hashes --no-header --python-version 3.11 --python-platform linux bench-$$name.in -o bench-$$name.lock; done

.PHONY: clean
clean: ## remove the cluster, images, programs, models and build results
	@if [ -x .venv/bin/python ]; then python -m dev.demo down; python -m dev.images clean; fi
	rm -rf build .mypy_cache .ruff_cache .pytest_cache .hypothesis "$${XDG_CACHE_HOME:-$$HOME/.cache}/multimodal-operator"
