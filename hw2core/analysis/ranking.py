"""Selects rows of a study's tables, and ranks runs: the one definition of *best*."""

from __future__ import annotations

from typing import Any

import pandas as pd

from hw2core.analysis.tables import Study
from hw2core.runs.schema import Result


def select(frame: pd.DataFrame, **values: object) -> pd.DataFrame:
    """Return the rows that have these values in these columns."""
    for column, value in values.items():
        frame = frame[frame[column] == value]
    return frame


def list_rows(frame: pd.DataFrame) -> list[Any]:
    """Return the rows with a column as an attribute each."""
    return list(frame.itertuples(index=False))


def find_best(summary: pd.DataFrame) -> Any:
    """Return the best row of ``summarize``, or None if no run trained and was evaluated.

    The best run has the highest validation accuracy, over the seeds that trained: the test images
    choose nothing.
    """
    able = summary[(summary["trained"] > 0) & summary["test"].notna()]
    return max(list_rows(able), key=lambda row: row.validation, default=None)


def find_best_result(study: Study) -> Result | None:
    """Return the result of the best convolutional network, of its seeds the best by validation."""
    best = find_best(study.summary[study.summary["num_conv"].notna()])
    if best is None:
        return None
    able = [x for x in study.results if x.name == best.run and x.test]
    return max(able, key=lambda result: result.validation_accuracy)
