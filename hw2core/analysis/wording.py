"""What figures and report say in the same words: experiments, seeds, statuses, quantities."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

REDUCED = "reduced"  # the column that says what a published training has less of than the study
STATUS_WORDS = {"at_chance": "at chance", "diverged": "diverged"}


def describe_status(statuses: Sequence[str]) -> str:
    """Return what to say of a run's seeds: nothing when all trained, else how many did not."""
    counts = {word: statuses.count(status) for status, word in STATUS_WORDS.items()}
    parts = [(count, word) for word, count in counts.items() if count]
    if len(parts) == 1 and parts[0][0] == len(statuses):
        return parts[0][1]
    return ", ".join(f"{count} of {len(statuses)} {word}" for count, word in parts)


def describe_evidence(summary: pd.DataFrame) -> str:
    """Return how many seeds and images stand behind a figure: one seed is said to be one seed.

    Where ``summary`` has the column ``REDUCED``, fewer epochs or images than the study's are said.
    """
    counts = summary.groupby("run")["seed"].nunique()
    if counts.empty:
        return "No result yet."
    low, high = int(counts.min()), int(counts.max())
    seeds = "One seed" if high == 1 else f"{low} seeds" if low == high else f"{low} to {high} seeds"
    note = f"{seeds} per run."
    if REDUCED in summary:
        return f"{note} {describe_reduction(summary)}".rstrip()
    reduced = summary[~summary["study_size"].fillna(True).astype(bool)]
    if not reduced.empty:
        sizes = sorted({int(size) for size in reduced["train_images"].dropna()})
        listed = join_words([f"{size:,}" for size in sizes], "or")
        images = f": {listed} training images" if sizes else ""
        generated = (reduced["data"] == "generated").all()
        note += f" {'Generated' if generated else 'Reduced'} data{images}."
    return note


def describe_reduction(summary: pd.DataFrame) -> str:
    """Return what trainings of a published record have less of than the study; "" for nothing.

    What a training has less of stands in the column ``REDUCED``: ``10 of 20 epochs; ...``.
    """
    reduced = summary[summary[REDUCED] != ""]
    if reduced.empty:
        return ""
    amounts: dict[str, list[str]] = {}
    for fact in dict.fromkeys(fact for said in reduced[REDUCED] for fact in said.split("; ")):
        *amount, thing = fact.split(" ", 3)  # 10, of, 20, epochs
        amounts.setdefault(thing, []).append(" ".join(amount))
    listed = "; ".join(f"{join_words(sorted(of, key=len))} {x}" for x, of in amounts.items())
    return f"Reduced: {listed} ({len(reduced)} of {len(summary)} trainings)."


def format_number(value: float | None, digits: int = 1) -> str:
    """Return ``value`` with a thousands separator, or a dash where there is none."""
    return "–" if value is None or pd.isna(value) else f"{value:,.{digits}f}"


def format_range(mean: float, low: float, high: float) -> str:
    """Return ``mean [low, high]``, or one number where all three are the same."""
    text = format_number(mean)
    return text if pd.isna(low) or low == high else f"{text} [{low:.1f}, {high:.1f}]"


def format_duration(seconds: float) -> str:
    """Return a time in the unit that suits it: seconds, minutes or hours."""
    if pd.isna(seconds):
        return "–"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def join_words(words: Sequence[str], last: str = "and") -> str:
    """Return ``a``, ``a and b`` or ``a, b and c``, with ``last`` as the word between."""
    return f" {last} ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def count_seeds(count: int) -> str:
    """Return ``one seed`` or ``3 seeds``."""
    return "one seed" if count == 1 else f"{count} seeds"


def count(value: int) -> str:
    """Return a whole number with thousands separators."""
    return f"{value:,}"


def scientific(value: float | None) -> str:
    """Return ``1.2 · 10⁻¹⁵`` as a formula, 0 as it is, or a dash where there is none."""
    if value is None:
        return "–"
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.1e}".split("e")
    return rf"${mantissa} \cdot 10^{{{int(exponent)}}}$"
