"""Answers on width in experiment 1.2, and on depth with growing width in experiment 1.3."""

from __future__ import annotations

from itertools import pairwise
from statistics import mean
from typing import Any

import pandas as pd

from hw2core.analysis.findings import say
from hw2core.analysis.findings.core import Sentences, finding, split_groups, summarize_experiments
from hw2core.analysis.findings.depth import say_failures
from hw2core.analysis.statistics import judge_pairs
from hw2core.analysis.tables import Study, find_best, list_rows, select, split_trained
from hw2core.analysis.text import count_things, format_change, join_runs, join_words


@finding("part3_q3", needs=["exp1_2"], uses=["exp1_1"])
def say_width(study: Study) -> Sentences:
    """Yield the gain from more channels at each depth, and from more layers in experiment 1.1."""
    summary = summarize_experiments(study, "exp1_2")
    trained, _ = split_trained(summary)
    steps = list_steps(trained, "depth")
    helped = sum(wide.test > narrow.test for narrow, wide in steps)
    verdict = f"Width helps in {helped} of {count_things(len(steps), 'step')}"
    if not steps:
        verdict = "No two widths train at the same depth"
    elif helped == len(steps):
        verdict = "Width helps wherever the network trains"
    elif helped == 0:
        verdict = "Width does not help where the network trains"
    parts, ends = [], []
    for depth, rows in split_groups(trained, "depth").items():
        parts.append(f"{say.accuracies(rows)} for {say.values('K', rows['widths'])} at L = {depth}")
        if len(rows) > 1:
            first, last = rows.iloc[0], rows.iloc[-1]
            ends.append(
                f"at L = {depth}, test accuracy goes from {say.accuracy(first)} at "
                f"K = {first.widths} to {say.accuracy(last)} at K = {last.widths}"
            )
    verdict += _count_significant(study, steps, helps=helped > 0)
    yield f"{verdict}{': ' if ends else ''}{'; '.join(ends)}."
    if parts:
        yield f"In detail: {'; '.join(parts)}."
    if failures := say_failures(summary):
        yield f"{failures}."
    yield from _say_steps("width", summary, "depth")
    yield from _say_steps(
        "depth in experiment 1.1", summarize_experiments(study, "exp1_1"), "widths"
    )


def _count_significant(study: Study, steps: list[tuple[Any, Any]], *, helps: bool) -> str:
    """Return in how many steps with several seeds width helps, or does not, significantly.

    Nothing is returned if no step has several seeds, or all of them are significant.
    """
    judged = judge_pairs(study.runs, [(wide.run, narrow.run) for narrow, wide in steps])
    sure = sum(x.significant and (x.estimate.value > 0) == helps for x in judged.values())
    if sure == len(steps) or not judged:
        return ""
    if len(steps) == 1:
        return " (not significantly over seeds)"
    of = f" of the {len(judged)} with several seeds" if len(judged) < len(steps) else ""
    return f" (significantly over seeds in {sure or 'none'}{of})"


def list_steps(summary: pd.DataFrame, fixed: str) -> list[tuple[Any, Any]]:
    """Return pairs of runs with the same value in column ``fixed``, each with the next larger."""
    return [
        step for rows in split_groups(summary, fixed).values() for step in pairwise(list_rows(rows))
    ]


def _say_steps(what: str, summary: pd.DataFrame, fixed: str) -> Sentences:
    """Yield the gain and cost of a step to the next larger network, and how many steps fail."""
    steps = list_steps(summary, fixed)
    both = [(old, new) for old, new in steps if old.trained and new.trained]
    if both:
        change = format_change(mean(new.test - old.test for old, new in both))
        parameters = say.factor(
            [new.parameters / old.parameters for old, new in both], "parameters"
        )
        flops = say.factor(
            [new.flops_per_image / old.flops_per_image for old, new in both], "operations"
        )
        if len(steps) == 1:
            cost = f"{parameters} and {flops}"
            yield f"The step in {what} changes accuracy by {change} points, for {cost}."
            return
        broken = sum(bool(old.trained and not new.trained) for old, new in steps)
        makes = "make" if broken > 1 else "makes"
        yield (
            f"A step in {what} changes accuracy by {change} points on average where both networks "
            f"train, for {parameters} and {flops}; {broken or 'none'} of {len(steps)} steps "
            f"{makes} a network untrainable."
        )


def has_growing_widths(study: Study) -> bool:
    """Return whether the width grows from stage to stage in all networks of experiment 1.3."""
    widths = [map(int, x.split("-")) for x in select(study.runs, experiment="exp1_3")["widths"]]
    stages = [list(pairwise(x)) for x in widths]
    return all(steps and all(one < next_ for one, next_ in steps) for steps in stages)


@finding("part3_q4", needs=["exp1_3"], uses=["exp1_1", "exp1_2"])
def say_growing_width(study: Study) -> Sentences:
    """Yield the effect of depth when width grows, and where trainability ends, against 1.1."""
    summary, plain = (summarize_experiments(study, name) for name in ("exp1_3", "exp1_1"))
    groups, parts = split_groups(summary, "widths"), []
    for widths, rows in groups.items():
        at = f" at K = {widths}" if len(groups) > 1 else ""
        trained, failed = split_trained(rows)
        if not trained.empty:
            verb = "reach" if len(trained) > 1 else "reaches"
            parts.append(f"{_name_sizes(trained)}{at} {verb} {say.accuracies(trained)}")
        if not failed.empty:
            verb = "do" if len(failed) > 1 else "does"
            parts.append(f"{_name_sizes(failed)}{at} {verb} not train")
    lead = "With growing width" if has_growing_widths(study) else "In experiment 1.3"
    yield f"{lead}, {'; '.join(parts)}."
    best, other = find_best(summary), find_best(plain)
    if best and other:
        size = say.size(other.depth, other.widths)
        versus = (
            f"the best of experiment 1.1{say.by_validation(other, plain)} ({size}: "
            f"{say.accuracy(other)})"
        )
        name = say.name(best, summary)
        if len(summary) > 1:
            name = f"The best of them{say.by_validation(best, summary)}, {name},"
        yield (
            f"{name} is "
            f"{say.difference(best.test - other.test, versus)}, with {best.num_conv} convolutions "
            f"and {say.flops(best.flops_per_image)} per image instead of {other.num_conv} and "
            f"{say.flops(other.flops_per_image)}."
        )
    yield f"In experiment 1.3, {_say_border(summary)}."
    if not plain.empty:
        yield f"In experiment 1.1, {_say_border(plain)}."
    wide, _ = split_trained(summarize_experiments(study, "exp1_2"))
    _, others = split_trained(pd.concat([summary, plain]))
    found = wide[wide["num_conv"] >= others["num_conv"].min()]
    if not found.empty:
        yield (
            "The number of convolutions alone does not decide whether a network trains: "
            f"{join_runs(found['run'])} of experiment 1.2 {say.train(len(found))} with "
            f"{join_words(found['num_conv'].unique(), 'or')} convolutions."
        )


def _name_sizes(summary: pd.DataFrame) -> str:
    """Return ``the networks with 3 and 6 convolutions``."""
    networks = "networks" if len(summary) > 1 else "network"
    return f"the {networks} with {join_words(summary['num_conv'])} convolutions"


def _say_border(summary: pd.DataFrame) -> str:
    """Return from which number of convolutions networks do not train."""
    trained, failed = (runs["num_conv"] for runs in split_trained(summary))
    if failed.empty:
        return f"every network with up to {trained.max()} convolutions trains"
    if trained.empty:
        return f"no network with {failed.min()} or more convolutions trains"
    if trained.max() < failed.min():
        return (
            f"networks with up to {trained.max()} convolutions train, and those with "
            f"{failed.min()} or more do not"
        )
    return (
        f"networks with up to {trained.max()} convolutions train, but not all with {failed.min()} "
        "or more"
    )
