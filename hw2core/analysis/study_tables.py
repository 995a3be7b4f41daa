"""Makes what figures, claims and the report read: all tables of some results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from hw2core.analysis.layers_table import layers_table
from hw2core.analysis.tables import epochs_table, iterate_rows, summary_table
from hw2core.data.prepared import load_prepared
from hw2core.runs.schema import Result


class Pictures(NamedTuple):
    """The test images, for figures that show some of them."""

    images: npt.NDArray[np.uint8]  # (T, H, W, C)
    classes: tuple[str, ...]


class StudyTables(NamedTuple):
    """Results and the tables made of them, with the public record."""

    results: Sequence[Result]
    summary: pd.DataFrame
    epochs: pd.DataFrame
    layers: pd.DataFrame
    record: pd.DataFrame
    pictures: Pictures | None  # None where the data are not on this machine
    reference: pd.DataFrame | None = None  # the published results; None where there are none


def build_tables(
    results: Iterable[Result], record: pd.DataFrame, pictures: Pictures | None = None
) -> StudyTables:
    """Return the tables of ``results``, with the public ``record``."""
    kept = list(results)
    summary, epochs, layers = summary_table(kept), epochs_table(kept), layers_table(kept)
    return StudyTables(kept, summary, epochs, layers, record, pictures)


def read_pictures(manifest: Path | str) -> Pictures | None:
    """Return the test images beside the manifest of prepared data, None where there are none.

    Raises:
        DataError: they are there, but damaged.
    """
    if not Path(manifest).exists():
        return None
    data = load_prepared(manifest, verify=False)
    return Pictures(data.test_images, data.classes)


def find_best_result(results: Iterable[Result]) -> Result | None:
    """Return the evaluated result of a convolutional network that validation ranks first.

    Networks of part 2 have validation images of their own.
    """
    able = [
        result
        for result in results
        if result.test
        and result.status == "trained"
        and result.config["architecture"].get("filters_per_layer")
    ]
    return max(able, key=lambda result: result.validation_accuracy, default=None)


def compare_twins(summary: pd.DataFrame) -> pd.DataFrame:
    """Return each configuration and seed that experiments 1.1 and 1.2 both trained.

    Columns: ``depth``, ``widths``, ``seed``, and the test accuracies ``first`` and ``second``.
    """
    columns = ["depth", "widths", "seed", "test_accuracy"]
    halves = [summary.loc[summary["experiment"] == name, columns] for name in ("exp1_1", "exp1_2")]
    both = halves[0].merge(halves[1], on=columns[:3])
    return both.rename(columns={"test_accuracy_x": "first", "test_accuracy_y": "second"})


def compare_with_record(summary: pd.DataFrame, record: pd.DataFrame) -> pd.DataFrame:
    """Return the record's rows with our ``mean``, ``low``, ``high``, ``seeds`` and ``failed``.

    Rows are those of runs that both have, in the order of the record.
    """
    rows = []
    for public in iterate_rows(record):
        own = summary[summary["run"] == public.run]
        if own.empty:
            continue
        accuracy = own["test_accuracy"].astype(float)
        failed = int((own["status"] != "trained").sum())
        ours = {"mean": accuracy.mean(), "low": accuracy.min(), "high": accuracy.max()}
        rows.append({**public._asdict(), **ours, "seeds": len(own), "failed": failed})
    columns = [*record.columns, "mean", "low", "high", "seeds", "failed"]
    return pd.DataFrame(rows, columns=columns)
