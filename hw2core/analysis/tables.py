"""Puts results into data frames: one row per run and seed, per epoch, or per run.

Accuracies are in percent, losses in nats, times in seconds, sizes in images. What a result does not
have (the depth of an MLP, the test accuracy of a run that is not evaluated) is missing, never zero.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd

from hw2core.data.arrays import NUM_CLASSES
from hw2core.io import replace_atomically
from hw2core.runs.schema import Result

CHANCE_ACCURACY = 100 / NUM_CLASSES
CHANCE_LOSS = math.log(NUM_CLASSES)

SUMMARY_TYPES = {
    "experiment": "object",
    "run": "object",
    "seed": "Int64",
    "model": "object",
    "depth": "Int64",
    "widths": "object",
    "num_conv": "Int64",
    "status": "object",
    "epochs": "Int64",
    "best_epoch": "Int64",
    "train_accuracy": "float64",
    "validation_accuracy": "float64",
    "test_accuracy": "float64",
    "test_loss": "float64",
    "parameters": "Int64",
    "flops_per_image": "Int64",
    "seconds": "float64",
    "images_per_second": "float64",
    "device": "object",
    "precision": "object",
    "data": "object",
    "train_images": "Int64",
    "study_size": "boolean",
    "spec_hash": "object",
    "code_hash": "object",
    "data_sha256": "object",
}
EPOCH_TYPES = {
    "experiment": "object",
    "run": "object",
    "seed": "Int64",
    "epoch": "Int64",
    "train_loss": "float64",
    "train_accuracy": "float64",
    "validation_loss": "float64",
    "validation_accuracy": "float64",
}


def split_numbers(name: str) -> list[tuple[int, float, str]]:
    """Return a key that sorts names by the numbers in them: L2 before L16, 0.001 before 0.01."""
    parts = re.findall(r"\d+(?:\.\d+)?|\D+", name)
    return [(0, float(part), "") if part[0].isdigit() else (1, 0, part) for part in parts]


def summary_table(results: Iterable[Result]) -> pd.DataFrame:
    """Return one row per experiment, run and seed, in natural order of these three.

    ``depth`` is L, ``widths`` the K of the blocks joined by hyphens, ``num_conv`` = L * len(K);
    a model without ``filters_per_layer`` has none of them. ``train_accuracy`` and
    ``validation_accuracy`` are those of ``best_epoch``, the (1-based) epoch that validation chose.

    Raises:
        ValueError: there are two results of a run and seed.
    """
    rows = [_summarize(result) for result in _in_order(results)]
    return _frame(rows, SUMMARY_TYPES)


def epochs_table(results: Iterable[Result]) -> pd.DataFrame:
    """Return one row per experiment, run, seed and epoch (counted from 1), in natural order."""
    rows = [
        {
            "experiment": result.experiment,
            "run": result.name,
            "seed": result.seed,
            "epoch": epoch + 1,
            **{column: curve[epoch] for column, curve in result.epochs},
        }
        for result in _in_order(results)
        for epoch in range(len(result.epochs))
    ]
    return _frame(rows, EPOCH_TYPES)


def aggregate_runs(summary: pd.DataFrame) -> pd.DataFrame:
    """Return one row per run: its seeds by status and its accuracies over them.

    ``test_accuracy_mean``, ``_min`` and ``_max`` go over all seeds that have a test accuracy;
    the same with the prefix ``trained_`` only over seeds of status ``trained``: a mean of trained
    seeds and seeds at chance describes neither.
    """
    rows: list[dict[str, Any]] = []
    for (experiment, run), seeds in summary.groupby(["experiment", "run"], sort=False):
        first = seeds.iloc[0]
        trained = seeds[seeds["status"] == "trained"]
        row: dict[str, Any] = {"experiment": experiment, "run": run}
        row |= {name: first[name] for name in ("model", "depth", "widths", "num_conv")}
        row["seeds"] = len(seeds)
        for status in ("trained", "at_chance", "diverged"):
            row[status] = int((seeds["status"] == status).sum())
        for prefix, rows_of in (("", seeds), ("trained_", trained)):
            for statistic in ("mean", "min", "max"):
                value = rows_of["test_accuracy"].agg(statistic)
                row[f"{prefix}test_accuracy_{statistic}"] = value
        row["validation_accuracy_mean"] = seeds["validation_accuracy"].mean()
        row["best_epoch_min"] = seeds["best_epoch"].min()
        row["best_epoch_max"] = seeds["best_epoch"].max()
        row |= {name: first[name] for name in ("parameters", "flops_per_image")}
        row["seconds_mean"] = seeds["seconds"].mean()
        row["study_size"] = bool(seeds["study_size"].all())
        rows.append(row)
    return _frame(rows, AGGREGATE_TYPES)


AGGREGATE_TYPES = {
    **{name: SUMMARY_TYPES[name] for name in ("experiment", "run", "model", "depth", "widths")},
    **dict.fromkeys(("num_conv", "seeds", "trained", "at_chance", "diverged"), "Int64"),
    **{
        f"{prefix}test_accuracy_{statistic}": "float64"
        for prefix in ("", "trained_")
        for statistic in ("mean", "min", "max")
    },
    "validation_accuracy_mean": "float64",
    **dict.fromkeys(("best_epoch_min", "best_epoch_max", "parameters", "flops_per_image"), "Int64"),
    "seconds_mean": "float64",
    "study_size": "boolean",
}


def iterate_rows(frame: pd.DataFrame) -> Iterator[Any]:
    """Yield the rows of ``frame`` with a column as an attribute each."""
    return iter(frame.itertuples(index=False))


def write_table(frame: pd.DataFrame, path: Path | str) -> None:
    r"""Write ``frame`` as CSV (UTF-8, ``\n``, six significant digits), whole or not at all."""
    with replace_atomically(path) as temporary:
        frame.to_csv(temporary, index=False, float_format="%.6g", lineterminator="\n")


def _in_order(results: Iterable[Result]) -> list[Result]:
    """Return the results by experiment, run and seed, each of which may occur once."""

    def key(result: Result) -> tuple[Any, ...]:
        names = result.experiment, result.name
        # The names themselves, too: 0.1 and 0.10 are one number and two runs.
        return (*map(split_numbers, names), *names, result.seed)

    ordered = sorted(results, key=key)
    for previous, result in pairwise(ordered):
        if key(previous) == key(result):
            raise ValueError(f"{result.name}, seed {result.seed}: two results")
    return ordered


def _summarize(result: Result) -> dict[str, Any]:
    config, test = result.config, result.test
    architecture = config["architecture"]
    widths = architecture.get("filters_per_layer")
    depth = architecture.get("layers_per_block") if widths else None
    return {
        "experiment": result.experiment,
        "run": result.name,
        "seed": result.seed,
        "model": config["model"],
        "depth": depth,
        "widths": "-".join(str(width) for width in widths) if widths else None,
        "num_conv": depth * len(widths) if widths and depth is not None else None,
        "status": result.status,
        "epochs": len(result.epochs),
        "best_epoch": result.best_epoch,
        "train_accuracy": result.epochs.train_accuracy[result.best_epoch - 1],
        "validation_accuracy": result.validation_accuracy,
        "test_accuracy": test.accuracy if test else None,
        "test_loss": test.loss if test else None,
        "parameters": result.parameters,
        "flops_per_image": result.flops_per_image,
        # A shared result took no time of its own: totals count the trained run once.
        "seconds": None if result.same_as else result.timing.seconds,
        "images_per_second": result.timing.images_per_second,
        "device": result.environment.device,
        "precision": result.environment.precision,
        "data": config["data"]["name"],
        "train_images": config["data"]["train"],
        "study_size": result.study_size,
        "spec_hash": result.spec_hash,
        "code_hash": result.code_hash,
        "data_sha256": result.data_sha256,
    }


def _frame(rows: Sequence[Mapping[str, Any]], types: Mapping[str, str]) -> pd.DataFrame:
    """Return ``rows`` with these columns and types, whichever of the values are missing."""
    frame = pd.DataFrame(
        {name: pd.array([row[name] for row in rows], dtype="object") for name in types}
    )
    for name, kind in types.items():
        if kind == "float64":
            frame[name] = pd.to_numeric(frame[name], errors="raise").astype("float64")
        elif kind != "object":
            frame[name] = frame[name].astype(kind)  # type: ignore[call-overload]
    return frame
