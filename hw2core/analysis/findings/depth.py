"""Answers on depth: the best depth of experiment 1.1, depths that do not train, and remedies."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from hw2core.analysis.findings import say
from hw2core.analysis.findings.core import (
    Sentences,
    finding,
    split_groups,
    summarize_experiments,
)
from hw2core.analysis.findings.remedies import list_changes, name_remedies
from hw2core.analysis.signal import THEORY, follows_theory, measure_signal
from hw2core.analysis.tables import (
    Study,
    count_classes,
    find_best,
    list_rows,
    select,
    split_trained,
)
from hw2core.analysis.text import format_change, format_number, join_runs, join_words

PEAK = 5  # points of accuracy that a run reached and lost, to be worth mentioning


@finding("part3_q2_1", needs=["exp1_1"])
def say_best_depth(study: Study) -> Sentences:
    """Yield the best depth of experiment 1.1 by width, and whether it also fits better."""
    summary = summarize_experiments(study, "exp1_1")
    groups = {w: rows for w, rows in split_groups(summary, "widths").items() if len(rows) > 1}
    bests = {widths: best for widths, rows in groups.items() if (best := find_best(rows))}
    failures = say_failures(summary)
    trained, _ = split_trained(summary)
    if trained.empty:
        yield f"No depth of experiment 1.1 trains: {failures}."
        return
    failed = f"; {failures}" if failures else ""
    if not bests:
        yield f"No two depths of one width can be compared: {say.by_widths(trained)}{failed}."
        return
    depths = {best.depth for best in bests.values()}
    start = "The best depths of a plain network are "
    if len(depths) == 1:
        where = f"at {say.values('K', bests)}"
        start = f"L = {next(iter(depths))} is the best depth of a plain network {where}: "
    parts, pairs = [], []
    for widths, best in bests.items():
        others = groups[widths][groups[widths]["run"] != best.run]
        depth = "" if len(depths) == 1 else f"L = {best.depth} with "
        at = "" if len(bests) == len(depths) == 1 else f" at K = {widths}"
        parts.append(f"{depth}{say.accuracy(best)}{at}{_say_lead(best, others)}")
        if second := find_best(others):
            pairs.append((best, second))
    yield f"{start}{join_words(parts)}{failed}."

    if pairs:
        epochs = study.epochs.merge(select(study.runs, status="trained")[["run", "seed"]])
        ends = epochs.groupby(["run", "seed"])["train_accuracy"].last().groupby("run").mean()
        fits = [round(ends[best.run] - ends[second.run], 1) for best, second in pairs]
        meaning = ""
        if min(fits) > 0:
            meaning = ": it also fits the training images better"
        elif max(fits) < 0 and all(best.test > second.test for best, second in pairs):
            meaning = ": it generalises better but does not fit better"
        changes = join_words(map(format_change, fits))
        yield (
            "In the training accuracy of the last epoch, the best depth differs from the next best "
            f"by {changes} points{meaning}."
        )


def _say_lead(best: Any, others: pd.DataFrame) -> str:
    """Return how ``best`` compares with the networks of other depths, in brackets.

    It is compared with the next best by validation or, if another depth has a higher test accuracy,
    with that depth.
    """
    ahead = max(list_rows(split_trained(others)[0]), key=lambda row: row.test, default=None)
    if ahead and ahead.test > best.test:
        points = say.difference(ahead.test - best.test, "it")
        return f" (by validation; on the test images L = {ahead.depth} is {points})"
    second = find_best(others)
    if not second:
        return ""
    name = f"L = {second.depth}"
    if second.trained < second.seeds:
        name += f", which trains with {second.trained} of {second.seeds} seeds"
    return f" ({say.difference(best.test - second.test, name)})"


def say_failures(summary: pd.DataFrame) -> str:
    """Return ``L = 8 and 16 do not train at K = 32 and 64``, or an empty string if all train."""
    failed = select(summary, trained=0)
    depths: dict[str, list[object]] = {}
    for depth, rows in split_groups(failed, "depth").items():
        depths.setdefault(say.values("K", rows["widths"]), []).append(depth)
    end = " with any seed" if (failed["seeds"] > 1).any() else ""
    return " and ".join(
        f"{say.values('L', deep)} {'do' if len(deep) > 1 else 'does'} not train at {widths}{end}"
        for widths, deep in depths.items()
    )


@finding("part3_q2_2", needs=["exp1_1"], uses=["exp1_5"])
def say_trainability(study: Study) -> Sentences:
    """Yield which networks do not train, how they end, their signal, and which remedy helps."""
    summary = summarize_experiments(study, "exp1_1")
    failed = select(summary, trained=0)
    unsteady = summary[(summary["trained"] > 0) & (summary["trained"] < summary["seeds"])]
    if failed.empty:
        seeds = "" if unsteady.empty else " with at least one seed"
        yield f"Every network of experiment 1.1 trains{seeds}."
    else:
        yield f"{say_failures(summary)}: {_describe_end(study, failed)}."
    if not unsteady.empty:
        shares = [f"`{x.run}` in {x.trained} of {x.seeds} seeds" for x in list_rows(unsteady)]
        yield f"Some networks train with some seeds only: {join_words(shares)}."
    signal = measure_signal(study, "exp1_1")
    if not signal.empty:
        plain = select(study.runs, experiment="exp1_1")
        theory = f" (theory: √6 = {THEORY:.2f})" if follows_theory(plain) else ""
        yield (
            f"Before training, in networks with {say.span(signal['num_conv'], 0)} convolutions, "
            f"the error signal shrinks by a factor of {say.span(signal['backward_start'], 2)} per "
            f"layer in the backward pass{theory}."
        )
    remedies = split_groups(summarize_experiments(study, "exp1_5"), "label")
    changes, known = list_changes(study), name_remedies(study)
    names = {
        label: known.get(label, f"`{label}`{f' ({join_runs(keys)})' if keys else ''}")
        for label, keys in changes.items()
    }
    order = sorted(changes, key=lambda name: (-remedies[name]["trained"].gt(0).mean(), name))
    single = [label for label in order if len(changes[label]) < 2]
    thing = "remedy" if known.keys() >= {*single} else "change"
    for lead, labels in (
        (f"One {thing} at a time was", single),
        ("Several changes at once were", [label for label in order if label not in single]),
    ):
        sizes = {label: _name_sizes(remedies[label]) for label in labels}
        same = len(set(sizes.values())) == 1
        parts = [
            f"with {names[label]},{'' if same else f' {sizes[label]},'} "
            f"{_say_remedy(remedies[label])}"
            for label in labels
        ]
        of = f" for {sizes[labels[0]]}" if same else ""
        if parts:
            yield f"{lead} tried (experiment 1.5){of}: {'; '.join(parts)}."


def _name_sizes(summary: pd.DataFrame) -> str:
    """Return ``L = 8, K = 32 and L = 16, K = 32``."""
    return join_words(say.size(row.depth, row.widths) for row in list_rows(summary))


def _say_remedy(summary: pd.DataFrame) -> str:
    """Return how many networks train with a remedy, and their accuracies."""
    trained, _ = split_trained(summary)
    reached = f" ({say.accuracies(trained)}" if len(trained) else ""
    if 0 < len(trained) < len(summary):
        reached += f" at {_name_sizes(trained)}"
    return f"{say.share(len(trained), len(summary))}{reached}{')' if reached else ''}"


def _describe_end(study: Study, failed: pd.DataFrame) -> str:
    """Return the accuracy and loss at which the runs that do not train end, and their peaks."""
    epochs = study.epochs[study.epochs["run"].isin(failed["run"])]
    last = epochs.groupby(["run", "seed"]).last(skipna=False)
    classes = count_classes(study.runs[study.runs["run"].isin(failed["run"])])
    ends = "it ends" if len(failed) == 1 else "they end"
    text = f"{ends} at a validation accuracy of {say.span(last['validation_accuracy'])} %"
    highest = epochs.groupby("run")["validation_accuracy"].max()
    peaks = [
        f"`{run}` up to {format_number(highest[run])} % before"
        for run in failed["run"]
        if highest[run] - last.loc[run, "validation_accuracy"].max() > PEAK
    ]
    if peaks:
        text += f" ({join_words(peaks)})"
    if len(losses := last["train_loss"].dropna()):
        text += f" and a training loss of {say.span(losses, 3)}; a constant prediction has a loss "
        text += f"of ln {classes} = {math.log(classes):.3f}"
    diverged = failed.loc[failed["diverged"] > 0, "run"]
    return text if diverged.empty else f"{text} (diverged: {join_runs(diverged)})"


def names_cause(study: Study) -> bool:
    """Return whether question 2 shows the cause: from some depth on, no plain network trains.

    Nor is it shown where everything was tried that keeps the signal, and nothing of it trains.
    """
    plain = select(study.runs, experiment="exp1_1")
    deepest = select(plain, status="trained").groupby("widths")["depth"].max()
    failing = select(plain, status="at_chance").groupby("widths")["depth"].min()
    both = deepest.index.intersection(failing.index)
    deeper = not both.empty and (failing[both] >= deepest[both]).all()
    tried = select(study.runs, experiment="exp1_5")
    tried = tried[tried["label"].isin(name_remedies(study).keys() - {"warmup"})]
    helps = tried.empty or (tried["status"] == "trained").any()
    return follows_theory(plain) and bool(deeper) and bool(helps)
