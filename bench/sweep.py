"""Measure how long the whole study takes with Snakemake, and where the time goes.

Trains the assignment's 34 runs (without part 2) with fewer images and epochs in a copy of this
checkout, once for each number of parallel jobs. Images are prepared before the clock starts.
Times are sums over all jobs, in seconds: "start" is the time in jobs of rule train that no other
column has (interpreter, imports, building the network, writing), "validation" includes probing the
layers, and "test" is the time in jobs of rule evaluate. "Snakemake" is the wall time in which no
run was trained or evaluated. Runs that differ in name only share a result. A job gets an equal
share of the cores, at most two; "auto" uses the settings of the profiles in this checkout.
Usage: python bench/sweep.py [--jobs 1 2 4 8 auto] [--images 20000] [--epochs 20] [--runs NAME ...]
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from measure import add_data_option, describe_machine, print_table
from workspace import make_workspace, read_records, read_study_config, run_snakemake

from hw2core.config.study import load_study
from hw2core.engine.device import pick_device
from hw2core.pipeline import list_results
from hw2core.runs import paths
from hw2core.runs.environment import count_allotted_threads
from hw2core.runs.files import read_result

EXPERIMENTS = ("exp1_1", "exp1_2", "exp1_3", "exp1_4", "exp2")
VALIDATION, TEST = 6_000, 10_000
MOST_THREADS = 2


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the study through Snakemake.")
    parser.add_argument("--jobs", nargs="+", default=["1", "2", "4", "8"], help="numbers, or auto")
    parser.add_argument("--images", type=int, default=20_000, help="training images")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--runs", nargs="+", help="default: all 34 of the assignment")
    parser.add_argument("--quick", action="store_true", help="smoke test: one tiny run")
    add_data_option(parser)
    args = parser.parse_args()
    validation, test = VALIDATION, TEST
    if args.quick:
        args.jobs, args.images, args.epochs, args.runs = ["1"], 260, 1, ["exp1_1_L2_K32"]
        args.data, validation, test = None, 100, 100
    config = make_config(args.data, args.images, validation, test, args.epochs)
    study = load_study(config)
    runs = args.runs or list(study.runs)
    if unknown := [run for run in runs if run not in study.runs]:
        parser.error(f"argument --runs: {', '.join(unknown)}: not in {', '.join(EXPERIMENTS)}")

    device = pick_device()
    print(
        f"{len(runs)} runs, {args.images} of {study.data.folder}, {args.epochs} epochs.\n"
        f"{describe_machine(device)}, {count_allotted_threads()} cores\n"
    )
    twins = study.find_twins()
    trained = sorted({twins.get((run, 0), run) for run in runs})
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_workspace(folder, config)
        run_snakemake(folder, paths.manifest_path(study.data.folder))
        for jobs in args.jobs:
            for part in ("results", "logs"):
                shutil.rmtree(folder / part, ignore_errors=True)
            targets = list_results((run, 0) for run in runs)
            wall = run_snakemake(folder, *limit_jobs(jobs, device), "--", *targets).seconds
            rows.append([jobs, *split_seconds(folder, trained, wall)])
    head = ["at once", "wall s", "Snakemake", "start", "data", "training", "validation", "test"]
    print_table([*head, "s per run"], rows)


def make_config(
    root: Path | None, train: int, validation: int, test: int, epochs: int
) -> dict[str, Any]:
    """Return the study's configuration without part 2, with these numbers of images and epochs."""
    config = read_study_config()
    sizes = {"train": train, "validation": validation, "test": test}
    if root is None:
        config["data"] = {"name": "generated", "source_train": train + validation}
        config["data"] |= {"source_test": test}
    else:
        config["data"] = {"name": "cifar10", "root": str(root.resolve())}
    config["data"] |= sizes
    config["training"]["epochs"] = epochs
    config["seeds"] = [0]
    config["experiments"] = {name: config["experiments"][name] for name in EXPERIMENTS}
    for experiment in config["experiments"].values():
        experiment.get("training", {}).pop("epochs", None)  # the same number for every run
    return config


def limit_jobs(jobs: str, device: torch.device) -> list[str]:
    """Return Snakemake's arguments for this number of parallel jobs."""
    if jobs == "auto":
        return ["--profile", "gpu"] if device.type == "cuda" else []
    number = int(jobs)
    threads = min(MOST_THREADS, max(1, count_allotted_threads() // number))
    rules = ("train", "evaluate")
    return [
        *("--cores", str(number * threads)),
        *("--set-threads", *(f"{rule}={threads}" for rule in rules)),
        *("--set-resources", *(f"{rule}:gpu_percent={100 // number}" for rule in rules)),
    ]


def split_seconds(folder: Path, runs: Sequence[str], wall: float) -> list[float]:
    """Return wall time and its parts, in seconds, from results and Snakemake's records.

    ``runs`` were trained in ``folder`` with seed 0.
    """
    records = {record["log"][0]: record for record in read_records(folder)}
    parts = {"start": 0.0, "data": 0.0, "training": 0.0, "validation": 0.0, "test": 0.0}
    intervals = []
    for run in runs:
        files = {"train": paths.result_path(run, 0), "evaluate": paths.evaluation_path(run, 0)}
        for rule, file in files.items():
            begun = records[paths.log_path(rule, run, "seed0")]["starttime"]
            intervals.append((begun, (folder / file).stat().st_mtime))
        timing = read_result(folder / files["train"]).timing
        in_train, in_evaluate = (end - begun for begun, end in intervals[-2:])
        parts["data"] += timing.seconds_loading
        parts["training"] += timing.seconds_training
        parts["validation"] += timing.seconds - timing.seconds_training
        parts["start"] += in_train - timing.seconds - timing.seconds_loading
        parts["test"] += in_evaluate
    busy = measure_union(intervals)
    return [wall, wall - busy, *parts.values(), sum(b - a for a, b in intervals) / len(runs)]


def measure_union(intervals: Iterable[tuple[float, float]]) -> float:
    """Return the seconds that at least one of the intervals covers."""
    covered, end = 0.0, float("-inf")
    for start, stop in sorted(intervals):
        covered += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return covered


if __name__ == "__main__":
    main()
