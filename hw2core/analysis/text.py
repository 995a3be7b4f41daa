"""Formats numbers, lists and tables as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from decimal import ROUND_HALF_UP, Decimal

import pandas as pd

DASH = "–"  # for what is missing


def format_number(value: float | None, digits: int = 1) -> str:
    """Return ``value`` with a thousands separator and this many decimals; 86.05 gives 86.1."""
    return DASH if value is None or pd.isna(value) else f"{_round(value, digits):,}"


def format_range(mean: float, low: float, high: float, digits: int = 1) -> str:
    """Return ``mean [low, high]``, or one number where all three are the same."""
    text = format_number(mean, digits)
    if pd.isna(low) or low == high:
        return text
    return f"{text} [{format_number(low, digits)}, {format_number(high, digits)}]"


def format_numbers(values: Iterable[float], digits: int = 1) -> str:
    """Return ``75.5, 77.9 and 78.7``."""
    return join_words([format_number(value, digits) for value in values])


def format_change(value: float, digits: int = 1) -> str:
    """Return a difference with its sign: ``+2.4`` or ``−0.3``."""
    return f"{_round(value, digits):+,}".replace("-", "−")


def format_scientific(value: float | None) -> str:
    """Return ``1.2 · 10⁻¹⁵`` as a formula, and 0 as it is."""
    if value is None or pd.isna(value):
        return DASH
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.1e}".split("e")
    return rf"${mantissa} \cdot 10^{{{int(exponent)}}}$"


def format_flops(flops: float) -> str:
    """Return ``428 MFLOPs``."""
    return f"{format_number(flops / 1e6, 0)} MFLOPs"


def format_parameters(parameters: float) -> str:
    """Return ``2.87 million parameters``."""
    return f"{format_number(parameters / 1e6, 2)} million parameters"


def join_words(words: Iterable[object], last: str = "and") -> str:
    """Return ``a``, ``a and b`` or ``a, b and c``, with ``last`` as the word between."""
    *first, end = map(str, words)
    return f"{', '.join(first)} {last} {end}" if first else end


def join_runs(runs: Iterable[str]) -> str:
    """Return names of runs as code: `` `a`, `b` and `c` ``."""
    return join_words(f"`{run}`" for run in runs)


def describe_size(depth: int, widths: str) -> str:
    """Return ``L = 4, K = 32``."""
    return f"L = {depth}, K = {widths}"


def count_things(count: int, thing: str) -> str:
    """Return ``one seed`` or ``3 seeds``."""
    return f"one {thing}" if count == 1 else f"{count:,} {thing}s"


def describe_evidence(runs: pd.DataFrame) -> str:
    """Return on how many seeds rows of ``Study.runs`` rest, and what they have less of than asked.

    One seed is said to be one seed; reduced runs are described in one sentence.
    """
    counts = runs.groupby("run")["seed"].nunique()
    if counts.empty:
        return "No result yet."
    low, high = int(counts.min()), int(counts.max())
    seeds = count_things(high, "seed") if low == high else f"{low} to {high} seeds"
    sentences = [f"{seeds.capitalize()} per run."]
    reduced = runs[runs["reduced"] != ""]
    if not reduced.empty:
        amounts: dict[str, list[str]] = {}
        facts = (fact for text in reduced["reduced"].unique() for fact in text.split("; "))
        for fact in dict.fromkeys(facts):  # "3 of 20 epochs", or "generated images"
            done, of, rest = fact.partition(" of ")
            asked, _, thing = rest.partition(" ")
            amounts.setdefault(thing or fact, []).append(f"{done} of {asked}" if of else "")
        listed = "; ".join(f"{join_words(a, 'or')} {x}".strip() for x, a in amounts.items())
        share = "" if len(reduced) == len(runs) else f" ({len(reduced)} of {len(runs)} results)"
        sentences.append(f"Reduced: {listed}{share}.")
    return " ".join(sentences)


def markdown_table(frame: pd.DataFrame, left: Sequence[str] = ()) -> str:
    """Return ``frame`` as a pipe table; a missing value is a dash.

    Args:
        frame: cells are shown as ``str`` gives them, so floats are to be formatted before.
        left: columns of text; the first column is always one, all others are aligned right.
    """
    names = [*frame.columns[:1], *left]
    cells = frame.astype(object).where(frame.notna(), DASH).map(_escape_pipes)
    return cells.to_markdown(
        index=False,
        disable_numparse=True,
        colalign=["left" if name in names else "right" for name in frame.columns],
    )


def escape_markdown(text: str) -> str:
    """Return text that Markdown shows as it is, on one line."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", " ".join(text.split()))


def _round(value: float, digits: int) -> Decimal:
    # Accuracies on 10,000 images often end in 5, and binary numbers round these either way.
    exact = Decimal(repr(round(float(value), 9)))
    return exact.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP) + 0  # no negative zero


def _escape_pipes(cell: object) -> str:
    return re.sub(r"(?<!\\)\|", r"\\|", str(cell))
