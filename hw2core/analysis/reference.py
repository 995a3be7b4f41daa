"""Compares a user's results with the published ones in report/reference/."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from scipy import stats

from hw2core.analysis.statistics import EQUAL
from hw2core.analysis.tables import count_classes, find_failed_seeds, select
from hw2core.runs.outcome import measure_chance

SIX_DIGITS = 1e-5  # published numbers are rounded to six digits
REPRODUCED, NOT_REPRODUCED = "reproduced", "not reproduced"
NO_TOLERANCE = "no tolerance from one seed"
OTHER = "another configuration"
NO_COMMON_SEED = "no seed in common"
OTHER_SEEDS_TRAIN = "other seeds train"
TOO_WIDE = "tolerance too wide to decide"
COLUMNS = [
    "run",
    *("seeds", "trained", "mean"),
    *("reference_seeds", "reference_trained", "reference_mean"),
    *("tolerance", "verdict"),
]


def compare(runs: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """Return a row with ``COLUMNS`` for each run in both tables.

    Runs are compared if the seeds in both tables have the same specifications. Of these seeds, as
    many have to train as in the published table; where some of the published seeds train and some
    do not, another number decides nothing. Means are over the seeds that train, if there are any. A
    mean test accuracy is reproduced if it is within ``tolerance`` (points) of the published mean:
    the 95 % prediction interval for the mean of this number of further seeds, from the published
    spread. A run of which every seed in both tables has the same status and accuracy is reproduced
    whatever the spread, and so is one that stays at chance level in both tables. An interval of all
    accuracies above chance level decides nothing.

    Args:
        runs: as in :class:`hw2core.analysis.tables.Study`.
        published: the published summary, from ``read_table``.
    """
    rows = []
    for run, theirs in published.groupby("run", sort=False):
        ours = select(runs, run=run)
        if not ours.empty:
            rows.append((run, *_describe(ours), *_describe(theirs), *_judge(ours, theirs)))
    return pd.DataFrame(rows, columns=COLUMNS)


def _describe(runs: pd.DataFrame) -> tuple[int, int, float]:
    """Return the number of seeds, of seeds that train, and the mean test accuracy (percent)."""
    return len(runs), int((runs["status"] == "trained").sum()), _list_accuracies(runs).mean()


def _list_accuracies(runs: pd.DataFrame) -> pd.Series:
    """Return the test accuracies of the seeds that train, or of all seeds if none does."""
    return runs.loc[~find_failed_seeds(runs), "test_accuracy"]


def _judge(ours: pd.DataFrame, theirs: pd.DataFrame) -> tuple[float, str]:
    """Return tolerance and verdict for the seeds of one run."""
    seeds, trained, mean = _describe(ours)
    published, published_trained, reference = _describe(theirs)
    tolerance = predict_tolerance(_list_accuracies(theirs), trained or seeds)
    both = ours.merge(theirs, on="seed", suffixes=("", "_published"))
    common = [(both[x] == "trained").sum() for x in ("status", "status_published")]
    accuracies = both["test_accuracy"], both["test_accuracy_published"]
    equal = np.isclose(*accuracies, rtol=SIX_DIGITS, atol=0, equal_nan=True)
    equal &= both["status"] == both["status_published"]
    at_chance = not trained and not published_trained and not math.isnan(mean - reference)
    if both.empty:  # specifications include the seed
        verdict = NO_COMMON_SEED
    elif (both["spec_hash"] != both["spec_hash_published"]).any():
        verdict = OTHER
    elif equal.all() or at_chance:
        verdict = REPRODUCED
    elif common[0] != common[1] or (trained > 0) != (published_trained > 0):
        some = 0 < published_trained < published
        verdict = OTHER_SEEDS_TRAIN if some else NOT_REPRODUCED
    elif math.isnan(tolerance) and not math.isnan(mean - reference):
        verdict = NO_TOLERANCE
    elif tolerance >= max(reference - measure_chance(count_classes(theirs)), 100 - reference):
        verdict = TOO_WIDE
    else:  # the difference is NaN if all seeds of one run diverged
        verdict = REPRODUCED if abs(mean - reference) <= tolerance else NOT_REPRODUCED
    return tolerance, verdict


def predict_tolerance(published: pd.Series, seeds: int) -> float:
    """Return how far the mean of ``seeds`` further seeds may be from the published mean.

    With the published standard deviation s over n seeds, and m further seeds, 95 % of the means
    are within ``t(n - 1) * s * sqrt(1 / n + 1 / m)``. Returns NaN for one published seed, and for
    equal accuracies, which do not tell the spread.
    """
    count = int(published.count())  # a seed that diverged has no accuracy
    if count < 2 or published.max() - published.min() < EQUAL:
        return math.nan
    spread = float(published.std()) * math.sqrt(1 / count + 1 / seeds)
    return float(stats.t.ppf(0.975, count - 1)) * spread
