"""The rules by which claims are decided: intervals over seeds, never a bare comparison of means."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from hw2core.analysis.claims.core import Finding, State
from hw2core.analysis.claims.evidence import Evidence
from hw2core.analysis.statistics import (
    Interval,
    average,
    compare_paired,
    compare_shares,
    estimate_share,
)
from hw2core.analysis.wording import count_seeds


def decide(interval: Interval, bound: float = 0.0) -> State:
    """Return whether the interval lies above ``bound``, below it, or says neither."""
    if interval.lies_above(bound):
        return State.SUPPORTED
    return State.CONTRADICTED if interval.lies_below(bound) else State.UNDECIDED


def judge_difference(
    evidence: Evidence, better: str, worse: str, column: str = "test_accuracy"
) -> Finding:
    """Judge that ``better`` exceeds ``worse`` in a column of the summary, where both trained."""
    return judge_pairs(evidence.measure(better, column), evidence.measure(worse, column))


def judge_pairs(more: pd.Series, less: pd.Series, unit: str = "points") -> Finding:
    """Judge that ``more`` exceeds ``less``, paired by seed."""
    interval = compare_paired(more, less)
    if not interval.count:
        return Finding(State.UNDECIDED, "no seed in which both trained")
    more, less = more.align(less, join="inner")
    means = f"{_write(more.mean(), unit)} against {_write(less.mean(), unit)}"
    if interval.count == 1:
        return Finding(State.UNDECIDED, f"one seed only: {means}")
    return Finding(decide(interval), f"{means}; difference {write_interval(interval, unit)}")


def judge_level(values: pd.Series, bound: float, unit: str = "%") -> Finding:
    """Judge that the mean of ``values``, one a seed, lies above ``bound``."""
    interval = average(values)
    if not interval.count:
        return Finding(State.UNDECIDED, "no seed that trained")
    if interval.count == 1:
        return Finding(State.UNDECIDED, f"one seed only: {_write(interval.estimate, unit)}")
    return Finding(decide(interval, bound), f"mean {write_interval(interval, unit, signed=False)}")


def judge_ratio(large: pd.Series, small: pd.Series, factor: float = 1.0) -> Finding:
    """Judge that ``large`` is more than ``factor`` times ``small``, paired by seed (in logs)."""
    large, small = large.align(small, join="inner")
    positive = (large > 0) & (small > 0)
    interval = average(np.log10(large[positive] / small[positive]))
    if not interval.count:
        return Finding(State.UNDECIDED, "no seed has both values above zero")
    ratio = _write_ratio(interval.estimate)
    if interval.count == 1:
        return Finding(State.UNDECIDED, f"one seed only: {ratio} times")
    numbers = (
        f"{ratio} times, interval {_write_ratio(interval.low)} to {_write_ratio(interval.high)}, "
        f"{count_seeds(interval.count)}"
    )
    return Finding(decide(interval, math.log10(factor)), numbers)


def judge_share(successes: int, trials: int, *, most: bool = True) -> Finding:
    """Judge that most trainings succeed (or, with ``most`` false, that most do not)."""
    share = estimate_share(successes, trials)
    numbers = f"{successes} of {trials} trainings trained; {write_share(share)}"
    if trials == 1:
        return Finding(State.UNDECIDED, f"one seed only: {successes} of {trials} trained")
    state = decide(share, 0.5)
    if not most and state is not State.UNDECIDED:
        state = State.CONTRADICTED if state is State.SUPPORTED else State.SUPPORTED
    return Finding(state, numbers)


def judge_shares(more: tuple[int, int], less: tuple[int, int]) -> Finding:
    """Judge that ``more`` (successes, trials) has the greater share of trained nets."""
    difference = compare_shares(estimate_share(*more), estimate_share(*less))
    numbers = "{} of {} against {} of {} trained".format(*more, *less)
    if min(more[1], less[1]) == 1:
        return Finding(State.UNDECIDED, f"one seed only: {numbers}")
    low, high = (100 * value for value in (difference.low, difference.high))
    numbers += f"; difference {100 * difference.estimate:+.0f} points [{low:+.0f}, {high:+.0f}]"
    return Finding(decide(difference), numbers)


def write_interval(interval: Interval, unit: str, *, signed: bool = True) -> str:
    """Return ``+2.1 points [0.9, 3.3], 3 seeds``."""
    sign = "+" if signed else ""
    digits = 3 if unit == "nats" else 1
    low, high = f"{interval.low:{sign}.{digits}f}", f"{interval.high:{sign}.{digits}f}"
    estimate = f"{interval.estimate:{sign}.{digits}f}"
    return f"{estimate} {unit} [{low}, {high}], {count_seeds(interval.count)}"


def write_share(share: Interval) -> str:
    """Return ``80 % [49, 94]``."""
    low, high = 100 * share.low, 100 * share.high
    return f"{100 * share.estimate:.0f} % [{low:.0f}, {high:.0f}]"


def _write(value: float, unit: str) -> str:
    return f"{value:.3f} nats" if unit == "nats" else f"{value:.1f} %"


def _write_ratio(log: float) -> str:
    ratio = 10.0**log
    return f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.3g}"
