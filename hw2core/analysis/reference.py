"""Compares a user's results with the published ones in report/reference/."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from scipy import stats

from hw2core.analysis.tables import select

SIX_DIGITS = 1e-5  # published numbers are rounded to six digits
REPRODUCED, NOT_REPRODUCED = "reproduced", "not reproduced"
NO_TOLERANCE = "no tolerance from one seed"
OTHER = "another configuration"
NO_COMMON_SEED = "no seed in common"
COLUMNS = ["run", "seeds", "mean", "reference_seeds", "reference_mean", "tolerance", "verdict"]


def compare(runs: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """Return a row with ``COLUMNS`` for each run in both tables.

    Runs are compared if the seeds in both tables have the same specifications. A mean test accuracy
    is reproduced if it is within ``tolerance`` (points) of the published mean: the 95 % prediction
    interval for the mean of this number of further seeds, from the published spread. Equal means
    are reproduced whatever the spread, and so are runs of which all seeds diverged in both tables.

    Args:
        runs: as in :class:`hw2core.analysis.tables.Study`.
        published: the published summary, from ``read_table``.
    """
    rows = []
    for run, theirs in published.groupby("run", sort=False):
        ours = select(runs, run=run)
        if ours.empty:
            continue
        mean, reference = ours["test_accuracy"].mean(), theirs["test_accuracy"].mean()
        tolerance = predict_tolerance(theirs["test_accuracy"], len(ours))
        both = ours.merge(theirs, on="seed", suffixes=("", "_published"))
        if both.empty:  # specifications include the seed
            verdict = NO_COMMON_SEED
        elif (both["spec_hash"] != both["spec_hash_published"]).any():
            verdict = OTHER
        elif np.isclose(mean, reference, rtol=SIX_DIGITS, atol=0, equal_nan=True):
            verdict = REPRODUCED
        elif math.isnan(tolerance) and not math.isnan(mean - reference):
            verdict = NO_TOLERANCE
        else:  # the difference is NaN if all seeds of one run diverged
            verdict = REPRODUCED if abs(mean - reference) <= tolerance else NOT_REPRODUCED
        rows.append((run, len(ours), mean, len(theirs), reference, tolerance, verdict))
    return pd.DataFrame(rows, columns=COLUMNS)


def predict_tolerance(published: pd.Series, seeds: int) -> float:
    """Return how far the mean of ``seeds`` further seeds may be from the published mean.

    With the published standard deviation s over n seeds, and m further seeds, 95 % of the means
    are within ``t(n - 1) * s * sqrt(1 / n + 1 / m)``. Returns NaN for one published seed.
    """
    count = int(published.count())  # a seed that diverged has no accuracy
    if count < 2:
        return math.nan
    spread = float(published.std()) * math.sqrt(1 / count + 1 / seeds)
    return float(stats.t.ppf(0.975, count - 1)) * spread
