"""Result documents as data frames: one row a run and seed, one row an epoch, one row a run.

A *document* is one parsed result file: a mapping with ``config``, ``results`` and ``metadata``.
Accuracies are in percent, losses in nats, times in seconds, sizes in images. What a document does
not hold (the depth of an MLP, the test accuracy of a diverged run) is missing, never zero.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd

from hw2core.atomic import replace_atomically

Document = Mapping[str, Any]

NUM_CLASSES = 10
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
    "test_accuracy_mirrored": "float64",
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


def summary_table(documents: Iterable[Document]) -> pd.DataFrame:
    """Return one row per experiment, run and seed, in natural order of these three.

    ``depth`` is L, ``widths`` the K of the blocks joined by hyphens, ``num_conv`` = L * len(K);
    a model without ``filters_per_layer`` has none of them. ``train_accuracy`` and
    ``validation_accuracy`` are those of ``best_epoch``, the (1-based) epoch that validation chose.
    ``test_accuracy_mirrored`` is that of the mean scores of each image and its mirror image.

    Raises:
        ValueError: a run and seed stand in two documents, or a best epoch was not trained.
    """
    rows = [_summarize(document) for document in _in_order(documents)]
    return _frame(rows, SUMMARY_TYPES)


def epochs_table(documents: Iterable[Document]) -> pd.DataFrame:
    """Return one row per experiment, run, seed and epoch (counted from 1), in natural order.

    Losses that a document holds per batch are averaged over each epoch.
    """
    rows: list[dict[str, Any]] = []
    for document in _in_order(documents):
        config, results = document["config"], document["results"]
        num_epochs = int(results["num_epochs"])
        columns = {
            "train_loss": average_by_epoch(results["train_loss"], num_epochs),
            "train_accuracy": average_by_epoch(results["train_acc"], num_epochs),
            "validation_loss": average_by_epoch(results["test_loss"], num_epochs),
            "validation_accuracy": average_by_epoch(results["test_acc"], num_epochs),
        }
        rows += [
            {
                "experiment": config["experiment"],
                "run": config["name"],
                "seed": config["seed"],
                "epoch": epoch + 1,
                **{column: values[epoch] for column, values in columns.items()},
            }
            for epoch in range(num_epochs)
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
        for name in ("validation_accuracy", "test_accuracy_mirrored"):
            row[f"{name}_mean"] = seeds[name].mean()
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
    **dict.fromkeys(("validation_accuracy_mean", "test_accuracy_mirrored_mean"), "float64"),
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


def average_by_epoch(values: Sequence[float | None], num_epochs: int) -> list[float]:
    """Return one value per epoch: ``values`` itself, or its mean over each epoch's batches.

    A list that ends early (the run diverged before that epoch was evaluated) is filled with NaN.
    """
    numbers = [math.nan if value is None else float(value) for value in values]
    if len(numbers) <= num_epochs:
        return numbers + [math.nan] * (num_epochs - len(numbers))
    bounds = [round(epoch * len(numbers) / num_epochs) for epoch in range(num_epochs + 1)]
    chunks = [numbers[start:stop] for start, stop in pairwise(bounds)]
    return [sum(chunk) / len(chunk) for chunk in chunks]


def _in_order(documents: Iterable[Document]) -> list[Document]:
    """Return the documents by experiment, run and seed; each must stand there once."""

    def key(document: Document) -> tuple[Any, ...]:
        config = document["config"]
        names = config["experiment"], config["name"]
        # The names themselves, too: 0.1 and 0.10 are one number and two runs.
        return (*map(split_numbers, names), *names, config["seed"])

    ordered = sorted(documents, key=key)
    for previous, document in pairwise(ordered):
        if key(previous) == key(document):
            config = document["config"]
            raise ValueError(f"{config['name']}, seed {config['seed']}: two result documents")
    return ordered


def _summarize(document: Document) -> dict[str, Any]:
    config, results, metadata = document["config"], document["results"], document["metadata"]
    architecture = config["architecture"]
    widths = architecture.get("filters_per_layer")
    depth = architecture.get("layers_per_block") if widths else None
    best_epoch = metadata.get("best_epoch")
    train_accuracies = results["train_acc"]
    if best_epoch is not None and not 1 <= best_epoch <= len(train_accuracies):
        raise ValueError(
            f"{config['name']}, seed {config['seed']}: best_epoch={best_epoch}, "
            f"but epochs 1 to {len(train_accuracies)} were trained"
        )
    return {
        **{name: metadata.get(name) for name in SUMMARY_TYPES},
        "experiment": config["experiment"],
        "run": config["name"],
        "seed": config["seed"],
        "model": config["model"],
        "depth": depth,
        "widths": "-".join(str(width) for width in widths) if widths else None,
        "num_conv": depth * len(widths) if widths and depth is not None else None,
        "epochs": results["num_epochs"],
        "train_accuracy": None if best_epoch is None else train_accuracies[best_epoch - 1],
        "data": config["data"].get("name"),
        "train_images": config["data"].get("train"),
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
