"""Answers on width in experiment 1.2, and on depth with growing width in experiment 1.3."""

from __future__ import annotations

from itertools import pairwise
from statistics import mean
from typing import Any

import pandas as pd

from hw2core.analysis.findings import say
from hw2core.analysis.findings.core import Sentences, finding, split_groups, summarize_experiments
from hw2core.analysis.findings.depth import say_failures
from hw2core.analysis.tables import Study, find_best, list_rows, split_trained
from hw2core.analysis.text import count_things, format_change, join_runs, join_words


@finding("part3_q3", needs=["exp1_2"], uses=["exp1_1"])
def say_width(study: Study) -> Sentences:
    """Yield the gain from more channels at each depth, and from more layers in experiment 1.1."""
    summary = summarize_experiments(study, "exp1_2")
    trained, _ = split_trained(summary)
    steps = list_steps(trained, "depth")
    helped = sum(wide.test > narrow.test for narrow, wide in steps)
    verdict = f"Width helps in {helped} of {len(steps)} steps"
    if not steps:
        verdict = "No two widths train at the same depth"
    elif helped == len(steps):
        verdict = "Width helps wherever the network trains"
    elif helped == 0:
        verdict = "Width does not help where the network trains"
    parts = []
    for depth, rows in split_groups(trained, "depth").items():
        part = f"{say.accuracies(rows)} for {say.values('K', rows['widths'])} at L = {depth}"
        changes = [format_change(wide.test - old.test) for old, wide in list_steps(rows, "depth")]
        parts.append(f"{part} ({join_words(changes)})" if changes else part)
    yield f"{verdict}{': ' if parts else ''}{'; '.join(parts)}."
    if failures := say_failures(summary):
        yield f"{failures}."
    yield from _say_steps("width", summary, "depth")
    yield from _say_steps(
        "depth in experiment 1.1", summarize_experiments(study, "exp1_1"), "widths"
    )


def list_steps(summary: pd.DataFrame, fixed: str) -> list[tuple[Any, Any]]:
    """Return pairs of neighbouring runs with the same value in column ``fixed``."""
    return [
        step for rows in split_groups(summary, fixed).values() for step in pairwise(list_rows(rows))
    ]


def _say_steps(what: str, summary: pd.DataFrame, fixed: str) -> Sentences:
    """Yield the gain and cost of a step to the next larger network, and how many steps fail."""
    steps = list_steps(summary, fixed)
    both = [(old, new) for old, new in steps if old.trained and new.trained]
    if both:
        change = format_change(mean(new.test - old.test for old, new in both))
        parameters = say.span(new.parameters / old.parameters for old, new in both)
        flops = say.span(new.flops_per_image / old.flops_per_image for old, new in both)
        broken = sum(bool(old.trained and not new.trained) for old, new in steps)
        yield (
            f"A step in {what} changes accuracy by {change} points on average where both networks "
            f"train, for {parameters} times the parameters and {flops} times the operations; "
            f"{broken or 'none'} of {count_things(len(steps), 'step')} led from a network that "
            "trains to one that does not."
        )


@finding("part3_q4", needs=["exp1_3"], uses=["exp1_1", "exp1_2"])
def say_growing_width(study: Study) -> Sentences:
    """Yield the effect of depth when width grows, and where trainability ends, against 1.1."""
    summary, plain = (summarize_experiments(study, name) for name in ("exp1_3", "exp1_1"))
    trained, failed = split_trained(summary)
    parts = []
    if not trained.empty:
        reached = say.accuracies(trained)
        parts.append(f"{join_words(trained['num_conv'])} convolutions reach {reached}")
    if not failed.empty:
        verb = "do" if len(failed) > 1 else "does"
        parts.append(f"{join_words(failed['num_conv'])} {verb} not train")
    yield f"With growing width, {'; '.join(parts)}."
    best, other = find_best(summary), find_best(plain)
    if best and other:
        size = say.size(other.depth, other.widths)
        versus = f"the best of experiment 1.1 ({size}: {say.accuracy(other)})"
        yield (
            f"The best of them, L = {best.depth}, is "
            f"{say.difference(best.test - other.test, versus)}, with {best.num_conv} convolutions "
            f"and {say.flops(best.flops_per_image)} per image against {other.num_conv} and "
            f"{say.flops(other.flops_per_image)}."
        )
    yield f"{_say_border(summary)} here."
    if not plain.empty:
        yield f"{_say_border(plain)} in experiment 1.1."
    wide, _ = split_trained(summarize_experiments(study, "exp1_2"))
    _, others = split_trained(pd.concat([summary, plain]))
    found = wide[wide["num_conv"] >= others["num_conv"].min()]
    if not found.empty:
        yield (
            "The number of convolutions alone does not decide whether a network trains: "
            f"{join_runs(found['run'])} of experiment 1.2 {say.train(len(found))} with "
            f"{join_words(found['num_conv'].unique(), 'or')} convolutions."
        )


def _say_border(summary: pd.DataFrame) -> str:
    """Return from which number of convolutions networks do not train."""
    trained, failed = (runs["num_conv"] for runs in split_trained(summary))
    if failed.empty:
        return f"All networks, with up to {trained.max()} convolutions, train"
    if trained.empty:
        return f"No network, with {failed.min()} or more convolutions, trains"
    if trained.max() < failed.min():
        return f"Trainability ends between {trained.max()} and {failed.min()} convolutions"
    return (
        f"Networks with up to {trained.max()} convolutions train, but not all with {failed.min()} "
        "or more"
    )
