"""Measure how time and memory grow with images, depth, width and the number of runs.

There are three parts:

- training: seconds per training epoch against images, depth or width, and the exponent b of the
  fitted line log(seconds) = a + b log(quantity). Other values are those of the shallowest run of
  experiment 1.2. Depth and width are also compared with the counted FLOPs, in which the work is
  linear: twice the width is four times the work of all convolutions except the first.
- study: a generated study of many runs with three seeds each: loading its configuration,
  Snakemake's dry run and, from made-up results, the tables and the figures of all experiments.
- memory: the peak resident memory of one run on the full-size data (44,000, 6,000 and 10,000
  generated images), and of tables, figures and report of a study.

Usage: python bench/scaling.py [--parts training study memory] [--runs 1000] [--quick]
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from measure import (
    ROOT,
    describe_machine,
    load_images,
    prepare_process,
    print_table,
    summarize,
    time_interleaved,
)
from train import make_ours
from workspace import make_workspace, read_records, read_study_config, run_snakemake

from hw2core.config.networks import IN_SIZE, ConvolutionalArchitecture
from hw2core.config.spec import RunSpec
from hw2core.config.study import Study, load_study
from hw2core.data.prepared import read_manifest
from hw2core.engine.device import pick_device, prepare_device
from hw2core.pipeline import list_results
from hw2core.runs import paths
from hw2core.runs.code_hash import hash_evaluation_code, hash_run_code
from hw2core.runs.files import write_evaluation, write_result
from hw2core.runs.staleness import Identity

sys.path.insert(0, str(ROOT / "tests" / "analysis"))
from result_documents import build_evaluation, build_result

SEEDS = [0, 1, 2]
RUNS_PER_EXPERIMENT = 100  # of a generated study: 25 widths in 4 depths
WIDTHS, DEPTHS = range(8, 108, 4), (1, 2, 3, 4)
BASE = "exp1_2_L2_K32"
GROWTH: dict[str, tuple[int, ...]] = {
    "images": (1280, 2560, 5120, 10240),
    "depth": (2, 4, 8, 16),
    "width": (32, 64, 128, 256),
}
SMALL = {"name": "generated", "source_train": 360, "source_test": 100}
SMALL |= {"train": 260, "validation": 100, "test": 100}
FULL = {"name": "generated", "source_train": 50_000, "source_test": 10_000}
FULL |= {"train": 44_000, "validation": 6_000, "test": 10_000}
LIMIT_DRY_RUN, LIMIT_DRAWING, LIMIT_MEMORY = 20.0, 60.0, 2e9  # s, s, bytes


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure how time and memory grow.")
    parts = {"training": measure_training, "study": measure_study, "memory": measure_memory}
    parser.add_argument("--parts", nargs="+", choices=parts, default=list(parts))
    parser.add_argument("--images", type=int, default=1280, help="used when depth or width grows")
    parser.add_argument("--runs", type=int, default=1000, help="in the largest generated study")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="smoke test: tiny sizes")
    args = parser.parse_args()
    if args.quick:
        args.images, args.runs, args.rounds = 128, 4, 1
    prepare_process()
    print(describe_machine(pick_device()) + "\n")
    for part in args.parts:
        parts[part](args)


def measure_training(args: argparse.Namespace) -> None:
    """Print seconds per epoch against images, depth and width, and the fitted exponents."""
    device = pick_device()
    prepare_device(device, deterministic=False)
    spec, rows = load_study(read_study_config()).runs[BASE], []
    for quantity, values in GROWTH.items():
        values = values[:2] if args.quick else values
        sizes = {value: value // 10 if args.quick else value for value in values}
        data = load_images(None, max(sizes.values()) if quantity == "images" else args.images)
        epochs: dict[str, Callable[[], object]] = {}
        flops = []
        for value in values:
            images = sizes[value] if quantity == "images" else args.images
            trainer, batches = make_ours(vary(spec, quantity, value), data, images, device)
            epochs[str(value)] = partial(trainer.train_epoch, batches)
            flops.append(float(trainer.count_costs(IN_SIZE).flops_per_image * batches.num_images))
        times = time_interleaved(epochs, args.rounds, device=device)
        spreads = [summarize(times[name]) for name in epochs]
        medians = [spread.median for spread in spreads]
        exponents: list[object] = [fit_exponent(values, medians), fit_exponent(flops, medians)]
        for value, spread, work in zip(values, spreads, flops, strict=True):
            rows.append([quantity, value, work / 1e9, spread, *exponents])
            exponents = ["", ""]  # shown once
    print(f"Training, {args.images} images per epoch unless their number grows.\n")
    head = ["what grows", "to", "GFLOP forward", "s per epoch (quartiles)"]
    print_table([*head, "exponent", "exponent by FLOPs"], rows)


def measure_study(args: argparse.Namespace) -> None:
    """Print the time that a study of many runs takes before and after training."""
    rows: list[list[Any]] = []
    numbers = {args.runs} if args.quick else {args.runs // 4, args.runs // 2, args.runs}
    for number in sorted(numbers):
        with tempfile.TemporaryDirectory() as temporary:
            folder, config = Path(temporary), make_config(number)
            make_workspace(folder, config)
            start = time.perf_counter()
            study = load_study(config)
            loading = time.perf_counter() - start
            run_snakemake(folder, paths.manifest_path(study.data.folder))
            dry_run = run_snakemake(folder, "--dry-run", "--quiet", "rules").seconds
            write_results(folder, study)
            whole = run_snakemake(folder, paths.SUMMARY_TABLE, "figures").seconds
            jobs = {record["log"][0]: record for record in read_records(folder)}
            made = {job["rule"] for job in jobs.values()}
            assert not made & {"train", "evaluate", "share_result"}, "made-up results are stale"
            seconds = {log: job["endtime"] - job["starttime"] for log, job in jobs.items()}
            tables = seconds[paths.log_path("tables")]
            overview = seconds.pop(paths.log_path("figures", "study"))
            drawn = [s for log, s in seconds.items() if log.startswith("logs/figures/")]
            rows.append([number, loading, dry_run, tables, overview, sum(drawn), whole])
    counts, *columns = zip(*rows, strict=True)
    if len(rows) > 1:
        rows.append(["exponent", *(fit_exponent(counts, column) for column in columns)])
    print(f"Seconds for studies with {len(SEEDS)} seeds per run.\n")
    head = ["runs", "load", "dry run", "tables", "overview figures", "all experiments' figures"]
    print_table([*head, "all in Snakemake"], rows)
    print_verdict("dry run, s", columns[1][-1], LIMIT_DRY_RUN)
    print_verdict("tables and overview, s", columns[2][-1] + columns[3][-1], LIMIT_DRAWING)


def measure_memory(args: argparse.Namespace) -> None:
    """Print the peak resident memory of a training run, and of tables, figures and report."""
    config = read_study_config()
    config["data"] = SMALL if args.quick else FULL
    config["training"] |= {"epochs": 1, "batches": 2 if args.quick else 20}
    if args.quick:
        config["experiments"] = {"exp1_1": config["experiments"]["exp1_1"]}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_workspace(folder, config)
        study = load_study(config)
        run_snakemake(folder, paths.manifest_path(study.data.folder))
        run = run_snakemake(folder, *list_results([("exp1_1_L2_K32", 0)])).memory
        write_results(folder, study)
        writing = run_snakemake(folder, paths.SUMMARY_TABLE, "figures", "report").memory
    print_verdict("memory of exp1_1_L2_K32, bytes", run, LIMIT_MEMORY)
    print_verdict("memory of tables, figures and report, bytes", writing, LIMIT_MEMORY)


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
    training = read_study_config()["training"]
    return {"data": SMALL, "training": training, "seeds": SEEDS, "experiments": experiments}


def vary(spec: RunSpec, quantity: str, value: int) -> RunSpec:
    """Return ``spec`` with another depth or width, or unchanged if ``quantity`` is the images."""
    key = {"depth": "layers_per_block", "width": "filters_per_layer"}.get(quantity)
    if key is None:
        return spec
    values = spec.model_dump(mode="json")
    values["architecture"] |= {key: [value] if quantity == "width" else value}
    values["architecture"]["pool_every"] = -(-values["architecture"]["layers_per_block"] // 2)
    return RunSpec.model_validate(values)


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


def fit_exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """Return the least-squares slope of log(seconds) against log(size)."""
    x, y = [math.log(size) for size in sizes], [math.log(second) for second in seconds]
    centre = sum(x) / len(x)
    slope = sum((a - centre) * b for a, b in zip(x, y, strict=True))
    return slope / sum((a - centre) ** 2 for a in x)


def print_verdict(what: str, value: float, limit: float) -> None:
    """Print a value and whether it is within its limit."""
    print(f"{what}: {value:,.4g}, at most {limit:,.4g}: {'met' if value <= limit else 'MISSED'}")


if __name__ == "__main__":
    main()
