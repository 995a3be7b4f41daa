"""Intervals over seeds: what a handful of trainings says about all trainings of their kind.

Every interval has confidence 95 %. One value gives an unbounded interval: a single seed says
nothing about the spread of seeds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """An estimate from ``count`` values and the interval around it."""

    estimate: float
    low: float
    high: float
    count: int

    def lies_above(self, bound: float) -> bool:
        """Whether the whole interval is greater than ``bound``."""
        return self.low > bound

    def lies_below(self, bound: float) -> bool:
        """Whether the whole interval is smaller than ``bound``."""
        return self.high < bound


def average(values: Iterable[float]) -> Interval:
    """Return the mean with its t interval; values that are missing (NaN) do not count.

    The mean of no value is NaN.
    """
    kept = np.array([value for value in values if not math.isnan(value)], dtype=float)
    if len(kept) < 2:
        return Interval(float(kept[0]) if len(kept) else math.nan, -math.inf, math.inf, len(kept))
    mean, error = float(kept.mean()), float(stats.sem(kept))
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(kept) - 1)) * error
    return Interval(mean, mean - half, mean + half, len(kept))


def compare_paired(first: pd.Series, second: pd.Series) -> Interval:
    """Return the mean of first - second with its t interval, paired by index (the seed).

    Seeds that only one of the two has do not count.
    """
    first, second = first.align(second, join="inner")
    return average((first - second).astype(float))


def estimate_share(successes: int, trials: int) -> Interval:
    """Return the share of successes with Wilson's score interval, which also holds at 0 and 1.

    Raises:
        ValueError: there is no trial, or there are more successes than trials.
    """
    if not 0 <= successes <= trials or trials == 0:
        raise ValueError(f"successes={successes}, trials={trials}: need 0 <= successes <= trials")
    test = stats.binomtest(successes, trials)
    low, high = test.proportion_ci(confidence_level=CONFIDENCE, method="wilson")
    return Interval(successes / trials, float(low), float(high), trials)


def compare_shares(first: Interval, second: Interval) -> Interval:
    """Return the difference first - second of two independent shares of ``estimate_share``.

    Source: Newcombe 1998, Statistics in Medicine 17, method 10 (from the two Wilson intervals).
    """
    difference = first.estimate - second.estimate
    down = math.hypot(first.estimate - first.low, second.high - second.estimate)
    up = math.hypot(first.high - first.estimate, second.estimate - second.low)
    count = min(first.count, second.count)
    return Interval(difference, difference - down, difference + up, count)
