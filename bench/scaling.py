"""Measure how time and memory grow with the number of runs.

- study: a generated study of many runs with three seeds each: loading its configuration,
  Snakemake's dry run and, from made-up results, the tables and the figures.
- memory: the peak resident memory of one run on the full-size data (44,000, 6,000 and 10,000
  generated images), and of tables, figures and report of a study.

Usage: python bench/scaling.py [--parts study memory] [--runs 1000] [--quick]
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from measure import ROOT, describe_machine, print_table

from hw2core.config.architectures import ConvolutionalArchitecture
from hw2core.config.reading import read_config
from hw2core.config.study import STUDY_FILE, Study, load_study
from hw2core.data.prepared import read_manifest
from hw2core.engine.device import pick_device
from hw2core.pipeline import list_results
from hw2core.runs import paths
from hw2core.runs.code_hash import hash_evaluation_code, hash_run_code
from hw2core.runs.files import write_evaluation, write_result
from hw2core.runs.staleness import Identity

sys.path.extend(str(ROOT / "tests" / folder) for folder in ("analysis", "workflow"))
from checkout import copy_sources
from result_documents import build_evaluation, build_result

SEEDS = [0, 1, 2]
RUNS_PER_EXPERIMENT = 100  # of a generated study: 25 widths in 4 depths
WIDTHS, DEPTHS = range(8, 108, 4), (1, 2, 3, 4)
SMALL = {"name": "generated", "source_train": 360, "source_test": 100}
SMALL |= {"train": 260, "validation": 100, "test": 100}
FULL = {"name": "generated", "source_train": 50_000, "source_test": 10_000}
FULL |= {"train": 44_000, "validation": 6_000, "test": 10_000}
LIMIT_DRY_RUN, LIMIT_DRAWING, LIMIT_MEMORY = 20.0, 60.0, 2e9  # s, s, bytes
# A forked process inherits the peak memory of its parent, so a small parent is used.
WATCHED = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[2:])
with open(sys.argv[1], "w") as file:
    file.write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(code)
"""


class Usage(NamedTuple):
    """Time of a call in seconds, and the peak resident memory of any of its processes in bytes."""

    seconds: float
    memory: int


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure how time and memory grow.")
    parts = {"study": measure_study, "memory": measure_memory}
    parser.add_argument("--parts", nargs="+", choices=parts, default=list(parts))
    parser.add_argument("--runs", type=int, default=1000, help="in the largest generated study")
    parser.add_argument("--quick", action="store_true", help="smoke test: tiny sizes")
    args = parser.parse_args()
    if args.quick:
        args.runs = 4
    print(describe_machine(pick_device()) + "\n")
    for part in args.parts:
        parts[part](args)


def measure_study(args: argparse.Namespace) -> None:
    """Print the time that a study of many runs takes before and after training."""
    rows: list[list[Any]] = []
    numbers = {args.runs} if args.quick else {args.runs // 4, args.runs // 2, args.runs}
    for number in sorted(numbers):
        with tempfile.TemporaryDirectory() as temporary:
            folder, config = Path(temporary, "study"), make_config(number)
            copy_sources(folder).configure(config)
            start = time.perf_counter()
            study = load_study(config)
            loading = time.perf_counter() - start
            run_snakemake(folder, paths.manifest_path(study.data.folder))
            dry_run = run_snakemake(folder, "--dry-run", "--quiet", "rules").seconds
            write_results(folder, study)
            whole = run_snakemake(folder, paths.SUMMARY_TABLE, "figures").seconds
            records = (folder / ".snakemake" / "metadata").rglob("*")
            made_files = [json.loads(x.read_text()) for x in records if x.is_file()]
            jobs = {record["log"][0]: record for record in made_files}
            made = {job["rule"] for job in jobs.values()}
            assert not made & {"train", "evaluate", "share_result"}, "made-up results are stale"
            seconds = {log: job["endtime"] - job["starttime"] for log, job in jobs.items()}
            tables = seconds[paths.log_path("tables")]
            overview = seconds.pop(paths.log_path("figures", "study"))
            drawn = [s for log, s in seconds.items() if log.startswith("logs/figures/")]
            rows.append([number, loading, dry_run, tables, overview, sum(drawn), whole])
    counts, *columns = zip(*rows, strict=True)
    if len(rows) > 1:
        slopes = [np.polyfit(np.log(counts), np.log(column), 1)[0] for column in columns]
        rows.append(["exponent", *map(float, slopes)])
    print(f"Seconds for studies with {len(SEEDS)} seeds per run.\n")
    head = ["runs", "load", "dry run", "tables", "overview figures", "all experiments' figures"]
    print_table([*head, "all in Snakemake"], rows)
    print_verdict("dry run, s", columns[1][-1], LIMIT_DRY_RUN)
    print_verdict("tables and overview, s", columns[2][-1] + columns[3][-1], LIMIT_DRAWING)


def measure_memory(args: argparse.Namespace) -> None:
    """Print the peak resident memory of a training run, and of tables, figures and report."""
    config = read_config(STUDY_FILE)
    config["data"] = SMALL if args.quick else FULL
    config["training"] |= {"epochs": 1, "batches": 2 if args.quick else 20}
    if args.quick:
        config["experiments"] = {"exp1_1": config["experiments"]["exp1_1"]}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "study")
        copy_sources(folder).configure(config)
        study = load_study(config)
        run_snakemake(folder, paths.manifest_path(study.data.folder))
        run = run_snakemake(folder, *list_results([("exp1_1_L2_K32", 0)])).memory
        write_results(folder, study)
        writing = run_snakemake(folder, paths.SUMMARY_TABLE, "figures", "report").memory
    print_verdict("memory of exp1_1_L2_K32, bytes", run, LIMIT_MEMORY)
    print_verdict("memory of tables, figures and report, bytes", writing, LIMIT_MEMORY)


def run_snakemake(folder: Path, *arguments: str) -> Usage:
    """Run Snakemake in a copy of the checkout; if it fails, exit with its output."""
    command = [sys.executable, "-m", "snakemake", *arguments]
    with tempfile.NamedTemporaryFile("r") as memory:
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", WATCHED, memory.name, *command],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        seconds = time.perf_counter() - start
        if done.returncode:
            sys.exit(f"{' '.join(command)} failed:\n{done.stdout[-5000:]}")
        unit = 1 if sys.platform == "darwin" else 1024
        return Usage(seconds, int(memory.read()) * unit)


def make_config(number: int) -> dict[str, Any]:
    """Return the configuration of a study with ``number`` runs, in grids of widths and depths."""
    shape = {"model": "cnn", "architecture": {"pools": 2, "hidden_dims": [16]}}
    text = {"question": "What do width and depth do?", "varies": "K, L", "fixed": "the rest"}
    experiments = {}
    for index in range(math.ceil(number / RUNS_PER_EXPERIMENT)):
        left = min(RUNS_PER_EXPERIMENT, number - index * RUNS_PER_EXPERIMENT)
        widths = list(WIDTHS)[: math.ceil(left / len(DEPTHS))]
        grid = {
            "filters_per_layer": [[width] for width in widths],
            "layers_per_block": list(DEPTHS),
        }
        experiments[f"grid{index}"] = {**text, **shape, "grid": grid}
    training = read_config(STUDY_FILE)["training"]
    return {"data": SMALL, "training": training, "seeds": SEEDS, "experiments": experiments}


def write_results(folder: Path, study: Study) -> None:
    """Write made-up results that are current for the study's specs, code and data."""
    manifest = read_manifest(folder / paths.manifest_path(study.data.folder))
    code = hash_evaluation_code()
    for run, seed in (pair for e in study.experiments.values() for pair in e.pairs()):
        spec = study.runs[run]
        shape: dict[str, Any] = {"widths": None}
        if isinstance(spec.architecture, ConvolutionalArchitecture):
            shape["widths"] = spec.architecture.filters_per_layer
            shape["depth"] = spec.architecture.layers_per_block
        identity = Identity(spec, seed, hash_run_code(spec), manifest.sha256)
        result = build_result(
            run,
            seed=seed,
            epochs=spec.training.epochs,
            config=spec.describe(seed),
            code=identity.code,
            **shape,
            **identity.hash_parts(),
        )
        evaluation = build_evaluation(run, seed, 70.0, spec.data.test)
        same = {"data_sha256": manifest.sha256, "code": code}
        alone = result.model_copy(update={"test": None})
        write_result(folder / paths.result_path(run, seed), alone)
        path = folder / paths.evaluation_path(run, seed)
        write_evaluation(path, evaluation.model_copy(update=same))


def print_verdict(what: str, value: float, limit: float) -> None:
    """Print a value and whether it is within its limit."""
    print(f"{what}: {value:,.4g}, at most {limit:,.4g}: {'met' if value <= limit else 'MISSED'}")


if __name__ == "__main__":
    main()
