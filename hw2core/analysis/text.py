"""Formats numbers, lists and tables as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pandas as pd

DASH = "–"  # for missing values


def format_number(value: float | None, digits: int = 1) -> str:
    """Return ``value`` with a thousands separator and ``digits`` decimals; 86.05 gives 86.1."""
    return DASH if value is None or pd.isna(value) else f"{_round(value, digits):,}"


def format_range(mean: float, low: float, high: float, digits: int = 1) -> str:
    """Return ``mean [low, high]``, or one number if all three are equal."""
    text = format_number(mean, digits)
    ends = f" [{format_number(low, digits)}, {format_number(high, digits)}]"
    return text if pd.isna(low) or low == high else text + ends


def format_change(value: float, digits: int = 1) -> str:
    """Return a difference with its sign: ``+2.4`` or ``−0.3``; ``0.0`` has none."""
    rounded = _round(value, digits)
    return f"{rounded:{'+' * bool(rounded)},}".replace("-", "−")


def format_scientific(value: float | None) -> str:
    """Return ``1.2 · 10⁻¹⁵`` as a TeX formula; 0 stays 0."""
    if value is None or pd.isna(value):
        return DASH
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.1e}".split("e")
    return rf"${mantissa} \cdot 10^{{{int(exponent)}}}$"


def format_setting(value: Any) -> str:
    """Return a value of a run's configuration as text."""
    if isinstance(value, list):
        return "-".join(map(str, value)) or "none"
    return DASH if pd.isna(value) else f"{value:g}" if isinstance(value, float) else str(value)


def join_words(words: Iterable[object], last: str = "and") -> str:
    """Return ``a``, ``a and b`` or ``a, b and c``, with ``last`` as the conjunction."""
    *first, end = map(str, words)
    return f"{', '.join(first)} {last} {end}" if first else end


def join_some(words: Sequence[str], most: int = 4) -> str:
    """Return at most ``most`` of the words, and how many more there are, as ``join_words`` does."""
    more = [f"{len(words) - most} more"] if len(words) > most else []
    return join_words([*words[:most], *more])


def join_runs(runs: Iterable[str]) -> str:
    """Return names of runs as code: `` `a`, `b` and `c` ``."""
    return join_words(f"`{run}`" for run in runs)


def count_things(count: int, thing: str) -> str:
    """Return ``one seed`` or ``3 seeds``."""
    return f"one {thing}" if count == 1 else f"{count:,} {thing}s"


def describe_seeds(trained: int, seeds: int, form: str = " ({})") -> str:
    """Return `` (2 of 3 seeds)``, or an empty string if all seeds train or none does."""
    text = f"{trained} of {count_things(seeds, 'seed')}"
    return "" if trained in (0, seeds) else form.format(text)


def describe_evidence(runs: pd.DataFrame) -> str:
    """Return sentences with the number of seeds of ``runs`` and how far these are reduced."""
    counts = runs.groupby("run")["seed"].nunique()
    if counts.empty:
        return "No result yet."
    low, high = int(counts.min()), int(counts.max())
    to = "or" if high == low + 1 else "to"
    seeds = count_things(high, "seed") if low == high else f"{low} {to} {high} seeds"
    reduced = runs.loc[runs["reduced"] != "", "reduced"]
    if reduced.empty:
        return f"{seeds.capitalize()} per network."
    amounts: dict[str, list[str]] = {}
    for fact in reduced.str.split("; ").explode().unique():  # "3 of 20 epochs", "generated images"
        thing = re.sub(r"^\S+ of \S+ ", "", fact)
        amounts.setdefault(thing, []).append(fact.removesuffix(thing).strip())
    listed = "; ".join(f"{join_words(a, 'or')} {x}".strip() for x, a in amounts.items())
    share = "" if len(reduced) == len(runs) else f" ({len(reduced)} of {len(runs)} runs)"
    return f"{seeds.capitalize()} per network. Reduced: {listed}{share}."


def markdown_table(frame: pd.DataFrame, left: Sequence[str] = ()) -> str:
    """Return ``frame`` as a pipe table, with a dash for missing values.

    Args:
        frame: the table; cells are converted with ``str``, so format floats first.
        left: columns to align left, besides the first; all others are aligned right.
    """
    names = [*frame.columns[:1], *left]
    cells = frame.astype(object).where(frame.notna(), DASH).astype(str)
    return cells.replace(r"(?<!\\)\|", r"\\|", regex=True).to_markdown(
        index=False,
        disable_numparse=True,
        colalign=["left" if name in names else "right" for name in frame.columns],
    )


def escape_markdown(text: str) -> str:
    """Escape text for Markdown and put it on one line."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", " ".join(text.split()))


def _round(value: float, digits: int) -> Decimal | float:
    if abs(value) >= 1e15:  # of a run that diverges: shown as 1.2e+38
        return float(f"{value:.1e}")
    # Accuracies on 10,000 images often end in 5, which binary floats round either way.
    exact = Decimal(repr(round(float(value), 9)))
    return exact.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP) + 0  # no negative zero
