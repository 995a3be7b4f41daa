"""Computes confidence intervals (95 %) and tests over seeds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from hw2core.analysis.tables import select

CONFIDENCE = 0.95
EQUAL = 1e-9  # differences below this are rounding


class Estimate(NamedTuple):
    """An estimate from n seeds, its interval, and the p value for the hypothesis that it is 0.

    The ends of the interval are NaN if there is none.
    """

    value: float
    low: float
    high: float
    p: float
    n: int


def compare_pairs(differences: Sequence[float]) -> Estimate:
    """Return the mean of at least two paired differences with its t interval and t test.

    Equal differences, as accuracies on few images often have, cannot be tested: their p value is 1,
    and they have no interval.
    """
    values = np.asarray(differences, dtype=float)
    mean = float(values.mean())
    if np.ptp(values) < EQUAL:  # the t statistic is 0 / 0 or infinite
        return Estimate(mean, math.nan, math.nan, 1.0, len(values))
    test = stats.ttest_1samp(values, 0.0)
    interval = test.confidence_interval(CONFIDENCE)
    return Estimate(mean, interval.low, interval.high, test.pvalue, len(values))


def negate(found: Estimate) -> Estimate:
    """Return the estimate of the opposite difference."""
    return found._replace(value=-found.value, low=-found.high, high=-found.low)


def compare_counts(successes: int, trials: int, other: int, other_trials: int) -> Estimate:
    """Return the difference of two shares with Newcombe's interval and Fisher's exact test.

    The interval combines the Wilson intervals of both shares (Newcombe 1998, Statistics in Medicine
    17, 873, method 10).
    """
    table = [[successes, trials - successes], [other, other_trials - other]]
    a, b = successes / trials, other / other_trials
    low_a, high_a = stats.binomtest(successes, trials).proportion_ci(CONFIDENCE, "wilson")
    low_b, high_b = stats.binomtest(other, other_trials).proportion_ci(CONFIDENCE, "wilson")
    low, high = a - b - math.hypot(a - low_a, high_b - b), a - b + math.hypot(high_a - a, b - low_b)
    p = stats.fisher_exact(table).pvalue
    return Estimate(a - b, low, high, p, min(trials, other_trials))


def can_decide_counts(trials: int, other_trials: int) -> bool:
    """Return whether "all against none" would be significant with these numbers of trials."""
    return compare_counts(trials, trials, 0, other_trials).p < 1 - CONFIDENCE


def correct_by_holm(p: pd.Series) -> pd.Series:
    """Return the p values of one family, corrected for multiple testing (Holm 1979)."""
    ordered = p.sort_values()
    corrected = ordered * np.arange(len(p), 0, -1)
    return corrected.cummax().clip(upper=1.0).reindex(p.index)


class Judged(NamedTuple):
    """An estimate of a family, and its p value after Holm's correction."""

    estimate: Estimate
    p_holm: float

    @property
    def significant(self) -> bool:
        """Whether the corrected p value is significant."""
        return self.p_holm <= 1 - CONFIDENCE


def judge_pairs(
    runs: pd.DataFrame, pairs: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], Judged]:
    """Return the differences of a family of pairs (better, worse) with at least two seeds."""
    differences = {pair: pair_seeds(runs, *pair) for pair in pairs}
    found = {pair: compare_pairs(x) for pair, x in differences.items() if len(x) > 1}
    p = correct_by_holm(pd.Series([each.p for each in found.values()], dtype=float))
    return {pair: Judged(each, p[place]) for place, (pair, each) in enumerate(found.items())}


def pair_seeds(runs: pd.DataFrame, better: str, worse: str) -> list[float]:
    """Return test accuracies of ``better`` minus ``worse``, for the seeds that trained in both."""
    trained = select(runs, status="trained").set_index("seed")
    first, second = (select(trained, run=run)["test_accuracy"] for run in (better, worse))
    return (first - second).dropna().to_list()
