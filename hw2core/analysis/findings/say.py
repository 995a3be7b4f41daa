"""Formats numbers of a study as phrases."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import pandas as pd

from hw2core.analysis.tables import list_rows
from hw2core.analysis.text import describe_seeds, format_change, format_number, join_words


def accuracy(row: Any, suffix: str = "") -> str:
    """Return the test accuracy of a row of ``summarize``, with its number of trained seeds.

    ``suffix`` is that of the columns, in a row of two runs.
    """
    test, trained, seeds = (
        getattr(row, f"{name}{suffix}") for name in ("test", "trained", "seeds")
    )
    return f"{format_number(test)} %{describe_seeds(trained, seeds)}"


def accuracies(summary: pd.DataFrame) -> str:
    """Return ``75.5, 77.9 and 78.7 %``."""
    *first, last = map(accuracy, list_rows(summary))
    return join_words([*(text.replace(" %", "", 1) for text in first), last])


def difference(points: float, other: str) -> str:
    """Return ``2.0 points above L = 2``."""
    text = format_number(abs(points))
    if text == format_number(0.0):
        return f"level with {other}"
    side = "above" if points > 0 else "below"
    return f"{text} {'point' if text == '1.0' else 'points'} {side} {other}"


def compare(value: float, other: float, decimals: int, less: str, same: str, more: str) -> str:
    """Return one of three words: how ``other`` compares with ``value`` as they are shown."""
    if format_number(other, decimals) == format_number(value, decimals):
        return same
    return less if other < value else more


def by_validation(best: Any, summary: pd.DataFrame) -> str:
    """Return `` by validation`` if another run than the best has a higher test accuracy."""
    return " by validation" if (summary["test"] > best.test).any() else ""


def name(row: Any, summary: pd.DataFrame) -> str:
    """Return ``L = 4``, or ``L = 4, K = 32`` if the runs of ``summary`` have several widths."""
    return f"L = {row.depth}" if summary["widths"].nunique() == 1 else size(row.depth, row.widths)


def share(count: int, total: int, things: str = "") -> str:
    """Return ``all 4 networks train``, with ``things`` (plural) as ``networks``.

    Of one thing this is ``it trains`` or ``it does not train``.
    """
    if total == 1:
        return "it trains" if count else "it does not train"
    some = f"{count or 'none'} of {total}"
    if count == total:
        some = "both" if total == 2 else f"all {total}"
    return f"{some} {things} {train(count)}".replace("  ", " ")


def some_seeds(trained: pd.Series, seeds: pd.Series) -> str:
    """Return `` (one of them not with every seed)`` if networks train with some seeds only.

    ``trained`` and ``seeds`` have the numbers of seeds of each network.
    """
    count = int(((trained > 0) & (trained < seeds)).sum())
    if not count:
        return ""
    which = f"{'one' if count == 1 else count} of them " if (trained > 0).sum() > 1 else ""
    return f" ({which}not with every seed)"


def train(count: int) -> str:
    """Return the verb in ``none trains``, ``1 of 3 trains`` or ``2 of 3 train``."""
    return "train" if count > 1 else "trains"


def values(symbol: str, values: Iterable[object]) -> str:
    """Return ``L = 2, 4 and 8``."""
    return f"{symbol} = {join_words(values)}"


def span(values: Iterable[float], digits: int = 1) -> str:
    """Return ``2.4–2.6``, or one number if both ends are equal when rounded.

    Values of networks that diverged are missing, and left out.
    """
    numbers = [value for value in values if not pd.isna(value)] or [math.nan]
    low, high = format_number(min(numbers), digits), format_number(max(numbers), digits)
    return low if low == high else f"{low}–{high}"


def changes(values: Iterable[float]) -> str:
    """Return ``−0.6 to +11.8``, or one difference if both ends are equal when rounded."""
    numbers = list(values)
    low, high = format_change(min(numbers)), format_change(max(numbers))
    return low if low == high else f"{low} to {high}"


def factor(values: Iterable[float], things: str) -> str:
    """Return ``1.2–2.0 times the operations``."""
    times = span(values)
    return f"about as many {things}" if times == "1.0" else f"{times} times the {things}"


def numbers(values: Iterable[float], digits: int = 1) -> str:
    """Return ``75.5, 77.9 and 78.7``."""
    return join_words([format_number(value, digits) for value in values])


def flops(count: float) -> str:
    """Return ``428 MFLOPs``."""
    return f"{format_number(count / 1e6, 0)} MFLOPs"


def cost(row: Any) -> str:
    """Return ``2.87 million parameters and 428 MFLOPs`` for a row of ``summarize``."""
    count = f"{row.parameters:,}"
    if row.parameters >= 1e6:
        count = f"{format_number(row.parameters / 1e6, 2)} million"
    return f"{count} parameters and {flops(row.flops_per_image)}"


def by_widths(summary: pd.DataFrame) -> str:
    """Return ``75.5 and 77.9 % for L = 2 and 4 at K = 32; ...``."""
    return "; ".join(
        f"{accuracies(rows)} for {values('L', rows['depth'])} at K = {widths}"
        for widths, rows in summary.groupby("widths", sort=False)
    )


def size(depth: int, widths: str) -> str:
    """Return ``L = 4, K = 32``."""
    return f"L = {depth}, K = {widths}"
