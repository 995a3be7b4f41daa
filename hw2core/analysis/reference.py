"""The published results of this study, and a reader's own beside them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from hw2core.analysis.statistics import CONFIDENCE
from hw2core.analysis.tables import SUMMARY_TYPES
from hw2core.analysis.wording import REDUCED

COLUMNS = (
    "run",
    "seeds",
    "mean",
    "reference_seeds",
    "reference_mean",
    "tolerance",
    "verdict",
)
# What is read of a published table; one of an older checkout may lack columns that came since.
NEEDED = (
    *("experiment", "run", "seed", "status", "validation_accuracy", "test_accuracy"),
    *("spec_hash", REDUCED),
)
SIX_DIGITS = 1e-5  # published numbers are rounded to them
REPRODUCED, NOT_REPRODUCED = "reproduced", "not reproduced"
NO_TOLERANCE = "no tolerance from one seed"
OTHER = "another configuration"
VERDICTS = (REPRODUCED, NOT_REPRODUCED, NO_TOLERANCE, OTHER)


def read_reference(path: Path | str) -> pd.DataFrame:
    """Return the published summary table, one row a training, with what each has less of.

    Raises:
        ValueError: the file lacks a column.
    """
    types = {**SUMMARY_TYPES, REDUCED: "object"}
    # Words stay words: the widths of a run may look like a number.
    words = {name: "object" for name, kind in types.items() if kind == "object"}
    table = pd.read_csv(path, dtype=words)
    if lacking := [column for column in NEEDED if column not in table]:
        raise ValueError(f"{path}: lacks the columns {lacking}")
    table = table.reindex(columns=list(types)).astype(types)
    return table.assign(**{REDUCED: table[REDUCED].fillna("")})


def compare_with_reference(summary: pd.DataFrame, reference: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each run that both tables have, with the columns ``COLUMNS``.

    A run is the same where a seed that both have has the same specification. Its mean test
    accuracy is reproduced when it lies within ``tolerance`` (points) of the published mean:
    the prediction interval for the mean of as many further seeds, from the published spread.
    Equal means are reproduced whatever the spread, and so are two of seeds that all diverged.
    """
    rows = []
    for run, published in reference.groupby("run", sort=False):
        own = summary[summary["run"] == run]
        if own.empty:
            continue
        mean, reference_mean = own["test_accuracy"].mean(), published["test_accuracy"].mean()
        tolerance = predict_tolerance(published["test_accuracy"], len(own))
        if not _are_same(own, published):
            verdict = OTHER
        elif _are_equal(mean, reference_mean):
            verdict = REPRODUCED
        elif math.isnan(mean) or math.isnan(reference_mean):  # of the one, all seeds diverged
            verdict = NOT_REPRODUCED
        elif math.isnan(tolerance):
            verdict = NO_TOLERANCE
        else:
            verdict = REPRODUCED if abs(mean - reference_mean) <= tolerance else NOT_REPRODUCED
        rows.append((run, len(own), mean, len(published), reference_mean, tolerance, verdict))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def predict_tolerance(published: pd.Series, seeds: int) -> float:
    """Return how far the mean of ``seeds`` further seeds may lie from the published mean.

    With the published standard deviation s over n seeds, and m further seeds, 95 % of the means
    lie within ``t(n - 1) * s * sqrt(1 / n + 1 / m)``. NaN from one published seed.
    """
    count = int(published.count())  # a seed that diverged has no accuracy
    if count < 2:
        return math.nan
    spread = float(published.std()) * math.sqrt(1 / count + 1 / seeds)
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, count - 1)) * spread


def _are_equal(mean: float, published: float) -> bool:
    both_diverged = math.isnan(mean) and math.isnan(published)
    return both_diverged or math.isclose(mean, published, rel_tol=SIX_DIGITS)


def _are_same(own: pd.DataFrame, published: pd.DataFrame) -> bool:
    both = own.merge(published, on="seed", suffixes=("", "_published"))
    same = both["spec_hash"] == both["spec_hash_published"]
    return bool(len(both)) and bool(np.all(same))
