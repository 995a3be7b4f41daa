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
from scipy import special  # scipy.stats takes most of a second to import

CONFIDENCE = 0.95
_UPPER = (1 + CONFIDENCE) / 2


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
    mean, error = float(kept.mean()), float(kept.std(ddof=1)) / math.sqrt(len(kept))
    half = float(special.stdtrit(len(kept) - 1, _UPPER)) * error
    return Interval(mean, mean - half, mean + half, len(kept))


def compare_paired(first: pd.Series, second: pd.Series) -> Interval:
    """Return the mean of first - second with its t interval, paired by index (the seed).

    Seeds that only one of the two has do not count.
    """
    first, second = first.align(second, join="inner")
    return average((first - second).astype(float))


def estimate_share(successes: int, trials: int) -> Interval:
    """Return the share of successes with Wilson's score interval, which also holds at 0 and 1.

    With z of the normal distribution, n trials and a share p::

        (p + z^2 / (2 n) -+ z sqrt(p (1 - p) / n + z^2 / (4 n^2))) / (1 + z^2 / n)

    Raises:
        ValueError: there is no trial, or there are more successes than trials.
    """
    if not 0 <= successes <= trials or trials == 0:
        raise ValueError(f"successes={successes}, trials={trials}: need 0 <= successes <= trials")
    share, spread = successes / trials, float(special.ndtri(_UPPER)) ** 2 / trials
    middle = share + spread / 2
    half = math.sqrt(spread * (share * (1 - share) + spread / 4))
    low, high = ((middle + side * half) / (1 + spread) for side in (-1, 1))
    return Interval(share, low, high, trials)


def compare_shares(first: Interval, second: Interval) -> Interval:
    """Return the difference first - second of two independent shares of ``estimate_share``.

    Source: Newcombe 1998, Statistics in Medicine 17, method 10 (from the two Wilson intervals).
    """
    difference = first.estimate - second.estimate
    down = math.hypot(first.estimate - first.low, second.high - second.estimate)
    up = math.hypot(first.high - first.estimate, second.estimate - second.low)
    count = min(first.count, second.count)
    return Interval(difference, difference - down, difference + up, count)
