"""Answers on width in experiment 1.2, and on depth with growing widths in experiment 1.3."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from statistics import mean
from typing import Any

import pandas as pd

from hw2core.analysis.findings.core import (
    Sentences,
    finding,
    say_accuracies,
    say_accuracy,
    say_difference,
    say_span,
    say_values,
    split_groups,
    summarize_experiments,
)
from hw2core.analysis.findings.depth import say_failures
from hw2core.analysis.ranking import find_best, list_rows
from hw2core.analysis.tables import Study
from hw2core.analysis.text import (
    count_things,
    describe_size,
    format_change,
    format_flops,
    join_runs,
    join_words,
)

Steps = list[tuple[Any, Any]]  # smaller and larger network, as rows of ``summarize``


@finding("part3_q3", needs=["exp1_2"], uses=["exp1_1"])
def say_width(study: Study) -> Sentences:
    """What more channels bring at each depth, against what more layers bring in experiment 1.1."""
    summary = summarize_experiments(study, "exp1_2")
    trained = summary[summary["trained"] > 0]
    steps = list_steps(trained, "depth")
    helped = sum(wide.test > narrow.test for narrow, wide in steps)
    if not steps:
        verdict = "No two widths train at the same depth"
    elif helped == len(steps):
        verdict = "Width helps wherever the network trains"
    elif helped == 0:
        verdict = "Width does not help where the network trains"
    else:
        verdict = f"Width helps in {helped} of {len(steps)} steps"
    parts = []
    for depth, rows in split_groups(trained, "depth").items():
        part = f"{say_accuracies(list_rows(rows))} for {say_values('K', rows['widths'])}"
        changes = [wide.test - narrow.test for narrow, wide in list_steps(rows, "depth")]
        said = f" ({join_words(map(format_change, changes))})" if changes else ""
        parts.append(f"{part} at L = {depth}{said}")
    yield f"{verdict}{': ' if parts else ''}{'; '.join(parts)}."
    if failures := say_failures(summary):
        yield f"{failures}."
    plain = summarize_experiments(study, "exp1_1")
    yield from _say_steps("width", summary, "depth")
    yield from _say_steps("depth in experiment 1.1", plain, "widths")


def list_steps(summary: pd.DataFrame, fixed: str) -> Steps:
    """Return neighbouring runs of those that share the value of the column ``fixed``."""
    return [
        step for rows in split_groups(summary, fixed).values() for step in pairwise(list_rows(rows))
    ]


def _say_steps(what: str, summary: pd.DataFrame, fixed: str) -> Iterator[str]:
    """Yield what a step to the next larger network brings, costs and breaks."""
    steps = list_steps(summary, fixed)
    both = [(old, new) for old, new in steps if old.trained and new.trained]
    if both:
        change = format_change(mean(new.test - old.test for old, new in both))
        parameters = say_span(new.parameters / old.parameters for old, new in both)
        flops = say_span(new.flops_per_image / old.flops_per_image for old, new in both)
        broken = sum(bool(old.trained and not new.trained) for old, new in steps)
        yield (
            f"A step of {what} brings {change} points on average where both networks train, for "
            f"{parameters} times the parameters and {flops} times the operations; "
            f"{count_things(broken, 'step') if broken else 'none'} of {len(steps)} led from a "
            "network that trains to one that does not."
        )


@finding("part3_q4", needs=["exp1_3"], uses=["exp1_1", "exp1_2"])
def say_growing_width(study: Study) -> Sentences:
    """What depth brings when the width grows, and where trainability ends, against 1.1."""
    summary, plain = (summarize_experiments(study, name) for name in ("exp1_3", "exp1_1"))
    trained, failed = summary[summary["trained"] > 0], summary[summary["trained"] == 0]
    parts = []
    if not trained.empty:
        reached = say_accuracies(list_rows(trained))
        parts.append(f"{join_words(trained['num_conv'])} convolutions reach {reached}")
    if not failed.empty:
        verb = "do" if len(failed) > 1 else "does"
        parts.append(f"{join_words(failed['num_conv'])} {verb} not train")
    yield f"With growing widths, {'; '.join(parts)}."
    best, other = find_best(summary), find_best(plain)
    if best and other:
        size = describe_size(other.depth, other.widths)
        versus = f"the best of experiment 1.1 ({size}: {say_accuracy(other)})"
        yield (
            f"The best of them, L = {best.depth}, is "
            f"{say_difference(best.test - other.test, versus)}, with {best.num_conv} convolutions "
            f"and {format_flops(best.flops_per_image)} per image against {other.num_conv} and "
            f"{format_flops(other.flops_per_image)}."
        )
    yield f"{_say_border(summary)} here."
    if not plain.empty:
        yield f"{_say_border(plain)} in experiment 1.1."
    yield from _say_exceptions(pd.concat([summary, plain]), summarize_experiments(study, "exp1_2"))


def _say_border(summary: pd.DataFrame) -> str:
    """Return at which numbers of convolutions networks stop training."""
    trained = summary.loc[summary["trained"] > 0, "num_conv"]
    failed = summary.loc[summary["trained"] == 0, "num_conv"]
    if failed.empty:
        return f"All networks, of up to {trained.max()} convolutions, train"
    if trained.empty:
        return f"No network, of {failed.min()} convolutions or more, trains"
    if trained.max() < failed.min():
        return f"Trainability ends between {trained.max()} and {failed.min()} convolutions"
    return (
        f"Networks of up to {trained.max()} convolutions train, but not all from {failed.min()} on"
    )


def _say_exceptions(others: pd.DataFrame, wide: pd.DataFrame) -> Sentences:
    """Yield which networks of 1.2 train with as many convolutions as others fail with."""
    least = others.loc[others["trained"] == 0, "num_conv"].min()
    found = wide[(wide["trained"] > 0) & (wide["num_conv"] >= least)]
    if not found.empty:
        yield (
            f"The number of convolutions does not decide alone: {join_runs(found['run'])} of "
            f"experiment 1.2 {'trains' if len(found) == 1 else 'train'} with "
            f"{join_words(found['num_conv'].unique(), 'or')} of them."
        )
