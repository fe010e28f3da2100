# Every command of the project. `make` alone lists them; each one sets up what it needs.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.setup
PACKAGES := core operator inference-app
SOURCES := $(PACKAGES:%=%/src)
PYPROJECTS := $(PACKAGES:%=%/pyproject.toml)

# Debian keeps ensurepip in a package of its own, so a Python that starts is not yet one that can make an environment.
SUITABLE := import sys, ensurepip; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(firstword $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c '$(SUITABLE)' 2>/dev/null && echo $$p; done))

# glibc gives the memory of a large batch back to the kernel after each one, and takes it again: that doubles its time.
test test-gpu bench bench-engines bench-streams bench-keti bench-motion bench-telemetry bench-whitebox demo screenshots: export GLIBC_TUNABLES := glibc.malloc.mmap_threshold=1073741824:glibc.malloc.trim_threshold=4294967296
samples servers screenshots test test-gpu bench bench-engines bench-planner bench-plans bench-streams bench-tuner bench-keti bench-motion bench-telemetry bench-whitebox demo cluster cluster-down images install uninstall e2e: export PYTHONPATH := tests

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

.PHONY: setup
setup: $(STAMP) ## Create .venv and install everything, with hashes (PYTHON=… picks the Python, 3.11 or newer)

$(STAMP): requirements/uv.txt requirements/dev.txt $(PYPROJECTS)
	@$(PYTHON) -c '$(SUITABLE)' 2>/dev/null || { \
		echo "Framepilot needs Python 3.11 or newer with its venv module; found: $$($(or $(PYTHON),python3) --version 2>&1 || true)." >&2; \
		echo "On Debian and Ubuntu: apt install python3-venv. Or name another one: make setup PYTHON=/path/to/python3.11" >&2; \
		exit 1; }
	@$(BIN)/python -c '$(SUITABLE)' 2>/dev/null || { echo "Creating $(VENV) with $$($(PYTHON) --version)"; $(PYTHON) -m venv --clear $(VENV); }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@echo "Installing the locked requirements (several GB the first time: torch brings its GPU libraries)"
	$(BIN)/uv pip install --python $(BIN)/python --require-hashes -r requirements/dev.txt
	$(BIN)/uv pip install --python $(BIN)/python --no-deps --no-build-isolation $(PACKAGES:%=-e ./%)
	@touch $@

.PHONY: demo
demo: setup samples ## Run real videos through real models and change them live (REPORT=out.json writes the report)
	$(BIN)/python examples/demo.py $(if $(REPORT),--report $(REPORT))

.PHONY: test
test: setup samples servers ## Run all tests (ARGS="-k batcher" picks some)
	$(BIN)/python -m pytest $(ARGS)

.PHONY: test-gpu
test-gpu: setup servers ## Run the tests that want an NVIDIA GPU; without one they are skipped, with the reason
	$(BIN)/python -m pytest tests/gpu tests/integration/app/test_nvml.py tests/integration/app/test_device_use.py $(ARGS)

.PHONY: cluster
cluster: setup ## Build and start a Kubernetes of one node on this machine (Debian, as root), and say how to use it
	$(BIN)/python -m support.cluster up

.PHONY: cluster-down
cluster-down: setup ## Stop that Kubernetes and remove all that it made; what was built stays in the cache
	$(BIN)/python -m support.cluster down

.PHONY: images
images: setup samples ## Build the container images and push them to that Kubernetes' registry
	$(BIN)/python -m support.images

.PHONY: install
install: setup samples ## Install the operator and the sample models in the current context, or in that Kubernetes
	$(BIN)/python -m support.install

.PHONY: uninstall
uninstall: setup ## Remove what `make install` installed; resource types and services stay
	$(BIN)/python -m support.install --remove

.PHONY: e2e
e2e: setup samples cluster ## Run the end-to-end tests in that Kubernetes (ARGS="-k patches" picks some)
	FRAMEPILOT_E2E=1 $(BIN)/python -m pytest -s --timeout=900 tests/e2e $(ARGS)

.PHONY: lint
lint: setup ## Check style, types, the import rules, what is generated and the shell scripts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(SOURCES) crds charts docs
	$(BIN)/lint-imports
	$(BIN)/python crds/generate.py --check
	$(BIN)/python charts/generate.py --check
	$(BIN)/python docs/generate.py --check
	$(BIN)/python -m charts.dashboards --check
	$(BIN)/shellcheck .ci/run
	$(BIN)/hadolint Dockerfile examples/kubernetes/samples.Dockerfile

.PHONY: bench
bench: setup samples ## Run the benchmarks and write docs/benchmarks.md
	$(BIN)/python -m benchmarks

.PHONY: bench-planner
bench-planner: setup ## Compare the planner of workloads with the optimum and write docs/planner.md (ARGS="--workloads 100")
	$(BIN)/python -m benchmarks.planner $(ARGS)

.PHONY: bench-plans
bench-plans: setup ## Compare plans with other planners' and simulate them, and write docs/plans.md (ARGS="--workloads 100")
	$(BIN)/python -m benchmarks.plans $(ARGS)

.PHONY: bench-engines
bench-engines: setup samples ## Measure the sample models on every engine and write docs/engines.md (ARGS="--rounds 5")
	$(BIN)/python -m benchmarks.engines $(ARGS)

.PHONY: bench-streams
bench-streams: setup samples servers ## Overload, 1 to 50 cameras, faults and a soak: write docs/overload.md (ARGS="--soak-frames 270000")
	$(BIN)/python -m benchmarks.streams $(ARGS)

.PHONY: bench-tuner
bench-tuner: setup ## Compare the tuner with fixed batches and other rules, simulated, and write docs/tuning.md (ARGS="--seeds 1")
	$(BIN)/python -m benchmarks.tuner $(ARGS)

.PHONY: bench-telemetry
bench-telemetry: setup samples ## Measure what telemetry costs the app and the operator, and write docs/telemetry.md (ARGS="--pairs 5")
	$(BIN)/python -m benchmarks.telemetry $(ARGS)

.PHONY: bench-keti
bench-keti: setup samples ## Measure stages and utilization by batch size, static and adaptive, and write docs/keti.md (ARGS="--seconds 5")
	$(BIN)/python -m benchmarks.keti $(ARGS)

.PHONY: bench-motion
bench-motion: setup samples ## Measure what it saves to leave a still scene alone, and what it misses: write docs/motion.md
	$(BIN)/python -m benchmarks.motion $(ARGS)

.PHONY: bench-whitebox
bench-whitebox: setup samples ## Measure what sharing between models is worth, and write docs/white-box.md (ARGS=--quick)
	$(BIN)/python -m benchmarks.whitebox $(ARGS)

.PHONY: crds
crds: setup ## Generate crds/ from the resource types, and the parts of the chart that follow from them
	$(BIN)/python crds/generate.py
	$(BIN)/python charts/generate.py

.PHONY: docs
docs: setup ## Generate docs/metrics.md from the metrics that the code names
	$(BIN)/python docs/generate.py

.PHONY: dashboards
dashboards: setup ## Generate the chart's dashboards for Grafana from their descriptions
	$(BIN)/python -m charts.dashboards

.PHONY: samples
samples: setup ## Fetch and build the sample models and videos into the cache
	@ln -sfn "$$($(BIN)/python -m support.samples)" examples/samples

.PHONY: servers
servers: setup ## Install the servers, the browser and the compiler that tests need from Debian, as root; elsewhere say which
	@$(BIN)/python -m support.gstreamer
	@$(BIN)/python -m support.nvml
	@$(BIN)/python -m support.chromium

.PHONY: screenshots
screenshots: setup samples servers ## Take the pictures of the page and of the dashboards that docs/ shows
	$(BIN)/python -m support.screenshots

.PHONY: lock
lock: setup ## Lock the requirements again (UPGRADE=1 takes the newest versions)
	$(COMPILE) requirements/uv.in -o requirements/uv.txt
	$(COMPILE) requirements/dev.in $(PYPROJECTS) --extra onnx --extra onnxruntime --extra openvino --extra optimum -o requirements/dev.txt
	$(COMPILE) -c requirements/dev.txt core/pyproject.toml operator/pyproject.toml -o requirements/operator.txt
	$(COMPILE) -c requirements/dev.txt core/pyproject.toml inference-app/pyproject.toml --extra onnxruntime --extra openvino -o requirements/inference-app.txt

COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	--no-emit-package framepilot-core $(if $(UPGRADE),--upgrade)

.PHONY: clean
clean: ## Remove .venv and the caches of the tools; sample models and videos stay
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find $(PACKAGES) tests -name __pycache__ -type d -prune -exec rm -rf {} +
