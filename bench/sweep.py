"""How long does the whole study take through Snakemake, and where does the time go?

The named runs of the exercise (all but part 2), smaller in images and epochs, in a copy of this
checkout, once for each number of trainings at a time. The images are prepared before the clock
starts. Seconds of all jobs together: "start" is everything in a job but the rest (interpreter,
imports, building the network, writing), "evaluation" also looks at layers. "Snakemake" is the wall
time in which no training ran. A training gets a share of the cores, two at most; "auto" is
what the profiles in this checkout decide.
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

from hw2core import artifacts, result_files
from hw2core.devices import pick_device
from hw2core.machine import count_allotted_threads
from hw2core.study import load_study

EXPERIMENTS = ("exp1_1", "exp1_2", "exp1_3", "exp1_4", "exp2")
VALIDATION, TEST = 6_000, 10_000
MOST_THREADS = 2


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the study through Snakemake.")
    parser.add_argument("--jobs", nargs="+", default=["1", "2", "4", "8"], help="numbers, or auto")
    parser.add_argument("--images", type=int, default=20_000, help="to train on")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--runs", nargs="+", help="default: all 34 of the exercise")
    parser.add_argument("--quick", action="store_true", help="one tiny run, once: does it work?")
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
        parser.error(f"argument --runs: {', '.join(unknown)}: not a run of {EXPERIMENTS}")

    device = pick_device()
    print(
        f"{len(runs)} runs, {args.images} of {study.data.folder}, {args.epochs} epochs.\n"
        f"{describe_machine(device)}, {count_allotted_threads()} cores\n"
    )
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_workspace(folder, config)
        run_snakemake(folder, artifacts.manifest_path(study.data.folder))
        for jobs in args.jobs:
            for part in ("results", "logs"):
                shutil.rmtree(folder / part, ignore_errors=True)
            targets = [artifacts.result_path(run, 0) for run in runs]
            wall = run_snakemake(folder, *limit_jobs(jobs, device), "--", *targets).seconds
            rows.append([jobs, *split_seconds(folder, targets, wall)])
    print_table(
        ["at once", "wall s", "Snakemake", "start", "data", "training", "evaluation", "s a job"],
        rows,
    )


def make_config(
    root: Path | None, train: int, validation: int, test: int, epochs: int
) -> dict[str, Any]:
    """Return the study without part 2, in the sizes asked for."""
    config = read_study_config()
    sizes = {"train": train, "validation": validation, "test": test}
    if root is None:
        config["data"] = {"name": "generated", "pool": train + validation, "test_pool": test}
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
    """Return Snakemake's arguments for so many trainings at a time."""
    if jobs == "auto":
        return ["--profile", "gpu"] if device.type == "cuda" else []
    number = int(jobs)
    threads = min(MOST_THREADS, max(1, count_allotted_threads() // number))
    return [
        *("--cores", str(number * threads)),
        *("--set-threads", f"train={threads}"),
        *("--set-resources", f"train:gpu_percent={100 // number}"),
    ]


def split_seconds(folder: Path, targets: Sequence[str], wall: float) -> list[float]:
    """Return wall time and its parts, in seconds, from results and Snakemake's own records."""
    records = {record["log"][0]: record for record in read_records(folder)}
    parts = {"start": 0.0, "data": 0.0, "training": 0.0, "evaluation": 0.0}
    intervals = []
    for target in targets:
        facts = result_files.read_result(folder / target)["metadata"]
        run, seed = Path(target).parent.name, Path(target).stem
        begun = records[artifacts.log_path("train", run, seed)]["starttime"]
        ended = (folder / target).stat().st_mtime
        intervals.append((begun, ended))
        parts["data"] += facts["seconds_loading"]
        parts["training"] += facts["seconds_training"]
        parts["evaluation"] += facts["seconds"] - facts["seconds_training"]
        parts["start"] += ended - begun - facts["seconds"] - facts["seconds_loading"]
    busy = measure_union(intervals)
    return [wall, wall - busy, *parts.values(), sum(b - a for a, b in intervals) / len(targets)]


def measure_union(intervals: Iterable[tuple[float, float]]) -> float:
    """Return the seconds that at least one of the intervals covers."""
    covered, end = 0.0, float("-inf")
    for start, stop in sorted(intervals):
        covered += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return covered


if __name__ == "__main__":
    main()
