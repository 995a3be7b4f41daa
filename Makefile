# `make setup` makes .venv. The other commands do so first when it is missing.

PYTHON ?= python3
MINUTES ?= 60
# cpu: without the CUDA libraries. pip's own setting has to name an index of torch's CPU builds.
TORCH ?=
VENV := .venv
READY := $(VENV)/.ready

.PHONY: setup demo test test-all lint study-gpu help

help:
	@echo "make setup  make .venv with all packages; TORCH=cpu: see README.md"
	@echo "make demo   set up, then run the whole pipeline on generated images (offline, minutes)"
	@echo "make test   set up, then check style, types and behaviour; test-all: the slow tests too"
	@echo "make study-gpu MINUTES=60   train the whole study (gpu/full.yaml) on this machine's GPU, and pack it"

setup: $(READY)

demo: $(READY)
	$(VENV)/bin/snakemake --profile demo
	@echo
	@echo "Done. Open  demo/output/report/report.html   (the report; report.pdf beside it)"
	@echo "            demo/output/figures/             (its figures)"
	@echo "            demo/output/results/summary.csv  (every run, one row)"

study-gpu: $(READY)
	$(VENV)/bin/python gpu/run_study.py --minutes $(MINUTES) --configfile gpu/full.yaml

test: TESTS := -m "not slow"
test test-all: $(READY) lint
	$(VENV)/bin/python -m pytest $(TESTS) --numprocesses logical --maxprocesses 4 \
		--dist loadfile --no-loadscope-reorder

lint: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/snakefmt --check Snakefile rules
	$(VENV)/bin/mypy

# What torch needs on Linux beside itself is CUDA's.
LOCKED := $(if $(filter cpu,$(TORCH)),grep -v 'sys_platform == "linux"',cat)

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || \
		{ echo "Python 3.11 or newer is needed; say which: make PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(LOCKED) requirements.lock > $(VENV)/packages.txt
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps -r $(VENV)/packages.txt
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@$(VENV)/bin/python -c "import torch, torchvision" || \
		{ echo "torch cannot be imported; TORCH=cpu needs torch's CPU build: README.md"; exit 1; }
	touch $@
