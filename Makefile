# `make help` lists the targets. Each of them sets up .venv if it is missing.

PYTHON ?= python3
MINUTES ?= 60
# cpu: without the CUDA libraries. pip's own setting has to name an index of torch's CPU builds.
TORCH ?=
VENV := .venv
READY := $(VENV)/.ready

PYTEST := $(VENV)/bin/python -m pytest --numprocesses logical --maxprocesses 4 \
	--dist loadfile --no-loadscope-reorder

# Snakemake needs a cache in the home folder and the name of the user; in a container, or where the
# home is full, there may be neither.
CACHE := "$${XDG_CACHE_HOME:-$$HOME/.cache}/snakemake"
ifneq ($(shell (mkdir -p $(CACHE) && echo > $(CACHE)/test && rm $(CACHE)/test) 2>&1),)
export XDG_CACHE_HOME := $(CURDIR)/.snakemake/cache
endif
export LOGNAME ?= $(shell id -un 2>/dev/null)

.PHONY: setup demo test test-all test-slow lint study-gpu help

help:
	@echo "make setup      make .venv with all packages; TORCH=cpu: see docs/setup.md"
	@echo "make demo       set up, then run the whole pipeline on generated images (offline, minutes)"
	@echo "make test       set up, then check style, types and behaviour in minutes"
	@echo "make test-all   the same, then the workflow, injected faults and a real Slurm"
	@echo "make test-slow  the tests that take a minute or more each"
	@echo "make study-gpu MINUTES=60   train the study (gpu/full.yaml) on this GPU, pack the results"

setup: $(READY)

demo: $(READY)
	$(VENV)/bin/snakemake --profile demo
	@echo
	@echo "Done. Open  demo/output/report/report.html   (the report; report.pdf is next to it)"
	@echo "            demo/output/report/explore.html  (every run's curves, layers and mistakes)"
	@echo "            demo/output/figures/             (its figures)"
	@echo "            demo/output/results/summary.csv  (every run, one row)"

study-gpu: $(READY)
	$(VENV)/bin/python gpu/run_study.py --minutes $(MINUTES) --configfile gpu/full.yaml

test: $(READY) lint
	$(PYTEST) -m "smoke or not (workflow or slurm or bench or slow)"

# Tests of Slurm mostly wait, so three run at once on two cores.
test-all: test
	$(PYTEST) --numprocesses 3 -m "(workflow or slurm or bench) and not (smoke or slow)"

test-slow: $(READY)
	$(PYTEST) -m slow

lint: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/snakefmt --check Snakefile rules
	$(VENV)/bin/mypy
	$(VENV)/bin/mypy bench # separate: it has a train.py too

# .venv contains its own path and belongs to one Python: where these have changed, it is made again,
# and the old one is kept until that has worked. Where the locked packages have changed, they are
# installed into it. A study may be running from it, so only `make setup` does these things.
PRINT_VERSION := -c "import sys; print(*sys.version_info[:2])"
# Not the Python of an environment that is active, which may be the old .venv.
BASE := import sys; sys.exit(1) if not (3, 11) <= sys.version_info < (3, 14) else 0; \
	print(sys._base_executable)
version = $(shell $(1) $(PRINT_VERSION) 2>/dev/null)
OWN := $(call version,$(VENV)/bin/python)
GIVEN := $(if $(filter command,$(origin PYTHON)),$(call version,$(PYTHON)),$(OWN))
HERE := $(shell pwd -P | cksum)
PACKAGES := $(shell cksum < requirements.lock)
ifneq ($(wildcard $(READY)),)
ifneq ($(shell cat $(READY)) $(GIVEN),$(HERE) $(OWN) $(PACKAGES) $(OWN))
.PHONY: $(READY)
endif
endif

# What torch needs on Linux beside itself is CUDA's.
LOCKED := $(if $(filter cpu,$(TORCH)),grep -v 'sys_platform == "linux"',cat)

$(READY):
ifneq ($(filter-out setup,$(MAKECMDGOALS)),)
	@! test -e $@ || { echo "$(VENV) is of another folder, Python or requirements.lock;" \
		"run make setup when no study is running"; exit 1; }
endif
	@test -n "$(OWN)" && test "$(OWN)" = "$(GIVEN)" && test -e $@ && \
	{ ! test -s $@ || test "$$(head -n 1 $@)" = "$(HERE) $(OWN)"; } || { \
		base=$$($(PYTHON) -c "$(BASE)") || \
		{ echo "Python 3.11 to 3.13 is needed; choose it with: make PYTHON=python3.11"; exit 1; }; \
		if test -e $@ || test -L $(VENV); then \
			echo "$(VENV).old is the old $(VENV), until the new one is complete" && \
			rm -rf $(VENV).old && mv $(VENV) $(VENV).old; else rm -rf $(VENV); fi && \
		"$$base" -m venv $(VENV); }
	$(LOCKED) requirements.lock > $(VENV)/packages.txt
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps -r $(VENV)/packages.txt
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@$(VENV)/bin/python -c "import torch, torchvision" || \
		{ echo "torch cannot be imported; TORCH=cpu needs torch's CPU build: docs/setup.md"; exit 1; }
	echo "$(HERE) $$($(VENV)/bin/python $(PRINT_VERSION))" > $@
	echo "$(PACKAGES)" >> $@
	rm -rf $(VENV).old
