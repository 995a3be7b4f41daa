"""Registers findings: each is one function of a study that yields the sentences of an answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import pandas as pd

from hw2core.analysis.ranking import find_best, list_rows, select
from hw2core.analysis.statistics import Estimate
from hw2core.analysis.tables import Study
from hw2core.analysis.text import count_things, format_change, format_number, join_runs, join_words

MAX_NAMED = 4  # runs in one sentence
SINGULAR = {"have": "has", "are": "is"}

Sentences = Iterator[str]


class Finding(NamedTuple):
    """The sentences of an answer, and the experiments that they are about."""

    say: Callable[[Study], Sentences]
    needs: tuple[str, ...]  # without a result of any of these there is nothing to say
    uses: tuple[str, ...]  # compared with


FINDINGS: dict[str, Finding] = {}


def finding(
    name: str, needs: Sequence[str] = (), uses: Sequence[str] = ()
) -> Callable[[Callable[[Study], Sentences]], Callable[[Study], Sentences]]:
    """Register the decorated generator of sentences under the name of a question."""

    def register(say: Callable[[Study], Sentences]) -> Callable[[Study], Sentences]:
        FINDINGS[name] = Finding(say, tuple(needs), tuple(uses))
        return say

    return register


def has_results(study: Study, experiments: Iterable[str]) -> bool:
    """Return whether one of ``experiments`` has a result."""
    return bool(study.runs["experiment"].isin(list(experiments)).any())


def summarize_experiments(study: Study, *experiments: str) -> pd.DataFrame:
    """Return a row per run of some experiments, in natural order."""
    return study.summary[study.summary["experiment"].isin(experiments)]


def say_missing(study: Study, found: Finding) -> Sentences:
    """Yield what a finding needs or uses and has no result of.

    An experiment that is not planned is named only where the answer has nothing else to say.
    """
    known = not found.needs or has_results(study, found.needs)
    planned = {experiment.name for experiment in study.experiments}
    asked = [name for name in (*found.needs, *found.uses) if not has_results(study, [name])]
    absent = [] if known else [name for name in found.needs if name not in planned]
    for names, verb, end in (
        ([name for name in asked if name in planned], "have", "no result yet"),
        (absent, "are", "not part of this study"),
    ):
        if len(names) > 1:
            yield f"Experiments {join_runs(names)} {verb} {end}."
        elif names:
            yield f"Experiment `{names[0]}` {SINGULAR[verb]} {end}."
    missing = [
        run
        for name in (*found.needs, *found.uses)
        for run in study.missing.get(name, [])
        if name not in asked
    ]
    if missing:
        named = [f"`{run}`" for run in missing[:MAX_NAMED]]
        more = [f"{len(missing) - MAX_NAMED} more"] if len(missing) > MAX_NAMED else []
        yield f"Without a result: {join_words([*named, *more])}."


def say_accuracy(row: Any) -> str:
    """Return the test accuracy of a row of ``summarize``, and how many of its seeds trained."""
    text = f"{format_number(row.test)} %"
    if row.trained in (0, row.seeds):
        return text
    return f"{text} ({row.trained} of {count_things(row.seeds, 'seed')})"


def say_accuracies(rows: Sequence[Any]) -> str:
    """Return ``75.5, 77.9 and 78.7 %`` of several rows."""
    *first, last = map(say_accuracy, rows)
    return join_words([*(text.replace(" %", "", 1) for text in first), last])


def say_difference(points: float, other: str) -> str:
    """Return ``2.0 points above L = 2``."""
    text = format_number(abs(points))
    if text == format_number(0.0):
        return f"level with {other}"
    side = "above" if points > 0 else "below"
    return f"{text} {'point' if text == '1.0' else 'points'} {side} {other}"


def say_share(count: int, total: int, rest: str = "") -> str:
    """Return ``all 4 networks train``; ``rest`` describes the networks."""
    if count == total:
        start = {1: "the only", 2: "both"}.get(total, f"all {total}")
    else:
        start = f"{count or 'none'} of {total}"
    noun = "network" if total == 1 else "networks"
    return f"{start} {noun}{rest} {'train' if count > 1 else 'trains'}"


def say_lead(best: Any, summary: pd.DataFrame) -> str:
    """Return how the best of ``summary``, whose runs differ in depth, compares with the others.

    With the next best by validation, or, where a third is better on the test images, with that.
    """
    others = summary[(summary["run"] != best.run) & (summary["trained"] > 0)]
    ahead = max(list_rows(others), key=lambda row: row.test, default=None)
    if ahead and ahead.test > best.test:
        points = say_difference(ahead.test - best.test, "it")
        return f"by validation; on the test images L = {ahead.depth} is {points}"
    second = find_best(others)
    return second and say_difference(best.test - second.test, f"L = {second.depth}")


def say_interval(found: Estimate) -> str:
    """Return ``+0.7 points, 95 % interval −0.1 to +1.5``."""
    low, high = format_change(found.low), format_change(found.high)
    return f"{format_change(found.value)} points, 95 % interval {low} to {high}"


def say_values(symbol: str, values: Iterable[object]) -> str:
    """Return ``L = 2, 4 and 8``."""
    return f"{symbol} = {join_words(values)}"


def say_span(values: Iterable[float], digits: int = 1) -> str:
    """Return ``2.4–2.6``, or one number where both ends look the same."""
    numbers = list(values)
    low, high = format_number(min(numbers), digits), format_number(max(numbers), digits)
    return low if low == high else f"{low}–{high}"


def split_groups(summary: pd.DataFrame, column: str) -> dict[Any, pd.DataFrame]:
    """Return the rows by the values of a column, in their order."""
    return {value: select(summary, **{column: value}) for value in summary[column].unique()}
