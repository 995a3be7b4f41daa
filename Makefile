# Two commands do everything: `make demo` and `make test`. Both set up .venv when it is missing.

PYTHON ?= python3
MINUTES ?= 60
VENV := .venv
READY := $(VENV)/.ready

.PHONY: demo test test-all lint study-gpu help

help:
	@echo "make demo   set up, then run the whole pipeline on generated images (offline, minutes)"
	@echo "make test   set up, then check style, types and behaviour; test-all: the slow tests too"
	@echo "make study-gpu MINUTES=60   train the whole study (gpu/full.yaml) on this machine's GPU, and pack it"

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

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || \
		{ echo "Python 3.11 or newer is needed; say which: make PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps -r requirements.lock
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@
