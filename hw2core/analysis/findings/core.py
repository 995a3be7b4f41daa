"""Registers findings: functions that yield the sentences of an answer from a study."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

import pandas as pd

from hw2core.analysis.course import COURSE, FULL, SIZES
from hw2core.analysis.tables import Study, select
from hw2core.analysis.text import join_runs, join_some, join_words

Sentences = Iterator[str]
Say = Callable[[Study], Sentences]


class Finding(NamedTuple):
    """A function that yields an answer's sentences, and the experiments that they are about."""

    say: Say
    needs: Sequence[str]  # at least one of them must have a result
    uses: Sequence[str]  # experiments for comparison


FINDINGS: dict[str, Finding] = {}


def finding(name: str, needs: Sequence[str] = (), uses: Sequence[str] = ()) -> Callable[[Say], Say]:
    """Register the decorated generator of sentences as the answer to the question ``name``."""

    def register(say: Say) -> Say:
        FINDINGS[name] = Finding(say, needs, uses)
        return say

    return register


def has_results(study: Study, experiments: Iterable[str]) -> bool:
    """Return whether any of ``experiments`` has a result."""
    return bool(study.runs["experiment"].isin(list(experiments)).any())


def summarize_experiments(study: Study, *experiments: str) -> pd.DataFrame:
    """Return a row per run of each experiment, from small to large, whatever the runs' names."""
    summary = study.summary[study.summary["experiment"].isin(experiments)]
    return summary.sort_values(["experiment", "depth", "parameters"])


def is_used(runs: pd.DataFrame, setting: str) -> bool:
    """Return whether any of ``runs`` has a setting (``key=value``) or, by ``key``, one not zero.

    A setting that no result records is taken as used.
    """
    key, _, value = setting.partition("=")
    found = runs[key].dropna() if key in runs else ()
    return not len(found) or any(str(x) == value if value else bool(x) for x in found)


def is_always_used(runs: pd.DataFrame, setting: str) -> bool:
    """Return whether all of ``runs`` record a setting as used, see ``is_used``."""
    key, _, value = setting.partition("=")
    found = runs[key].dropna() if key in runs else ()
    return 0 < len(found) == len(runs) and all(str(x) == value if value else x for x in found)


def list_other_settings(study: Study, name: str, other: str) -> list[str]:
    """Return the keys in which no run of an experiment is as in another one.

    Left out are the model and what the assignment varies between the two, such as the recipe of
    experiment 2. Of an ablation, only the full network is compared.
    """
    runs = [select(study.runs, experiment=x) for x in (name, other)]
    runs = [x if (full := select(x, label=FULL)).empty else full for x in runs]
    given = {COURSE[x].given for x in (name, other)}
    ignored = "|".join(["model", *(given if len(given) > 1 else ())])
    return [key for key in compare_settings(*runs) if not re.fullmatch(ignored, key)]


def compare_settings(one: pd.DataFrame, two: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """Return the keys in which no row of ``Study.runs`` in ``one`` is as in ``two``, with values.

    Sizes are left out; ``architecture.pools`` is the largest number of pools.
    """
    if one.empty or two.empty:
        return {}
    first, second = map(_list_settings, (one, two))
    return {
        key: (first[key].iloc[0], second[key].iloc[0])
        for key in map(str, first)
        if set(first[key]).isdisjoint(second[key])
    }


def _list_settings(runs: pd.DataFrame) -> pd.DataFrame:
    pools = (runs["num_conv"] // runs["architecture.pool_every"]).max()
    settings = runs.filter(regex=r"\.|^model$").assign(**{"architecture.pools": pools}).map(str)
    return settings.loc[:, ~settings.columns.str.fullmatch(SIZES)]


def compare_labels(runs: pd.DataFrame, other: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Return ``compare_settings`` of the runs of each label with those in ``other``."""
    return {label: compare_settings(x, other) for label, x in split_groups(runs, "label").items()}


def say_other_settings(study: Study, found: Finding) -> Sentences:
    """Yield in which settings the experiments that a finding compares also differ."""
    for name, other in product(found.needs, found.uses):
        yield from say_differences(study, name, other)


def say_differences(study: Study, name: str, other: str) -> Sentences:
    """Yield the settings of ``list_other_settings`` in a sentence, if there are any."""
    if keys := list_other_settings(study, name, other):
        where = join_words(f"`{key}`" for key in keys)
        yield f"Experiments `{name}` and `{other}` also differ in {where}."


def split_groups(summary: pd.DataFrame, column: str) -> dict[Any, pd.DataFrame]:
    """Return the rows for each value of a column, in order of appearance."""
    return dict(iter(summary.groupby(column, sort=False)))


def say_missing(study: Study, found: Finding) -> Sentences:
    """Yield sentences with the experiments and runs of a finding that have no result.

    Experiments that are not planned are only named if the answer has no other sentence.
    """
    planned = {experiment.name for experiment in study.experiments}
    asked = [*found.needs, *found.uses]
    empty = [name for name in asked if not has_results(study, [name])]
    if waiting := [name for name in empty if name in planned]:
        verb = "has" if len(waiting) == 1 else "have"
        yield f"{_name_experiments(waiting)} {verb} no result yet."
    absent = [name for name in found.needs if name not in planned]
    if absent and not has_results(study, found.needs):
        verb = "is" if len(absent) == 1 else "are"
        where = "part of this study as the assignment defines it"
        yield f"{_name_experiments(absent)} {verb} not {where}."
    missing = [run for name in asked if name not in empty for run in study.missing.get(name, [])]
    if missing:
        yield f"Without a result: {join_some([f'`{run}`' for run in missing])}."


def _name_experiments(names: Sequence[str]) -> str:
    return f"Experiment{'s' if len(names) > 1 else ''} {join_runs(names)}"
