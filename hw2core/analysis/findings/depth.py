"""Answers on depth: which is best in experiment 1.1, which does not train, why, and what helps."""

from __future__ import annotations

import pandas as pd

from hw2core.analysis.findings.core import (
    Sentences,
    finding,
    say_accuracies,
    say_accuracy,
    say_lead,
    say_share,
    say_span,
    say_values,
    split_groups,
    summarize_experiments,
)
from hw2core.analysis.ranking import find_best, list_rows
from hw2core.analysis.signal import THEORY, measure_signal
from hw2core.analysis.status import CHANCE_LOSS
from hw2core.analysis.tables import Study
from hw2core.analysis.text import format_change, join_runs, join_words

REMEDIES = {
    "he": "He initialisation",
    "bn": "batch norm",
    "residual": "residual blocks",
    "warmup": "a longer warm-up",
}


@finding("part3_q2_1", needs=["exp1_1"])
def say_best_depth(study: Study) -> Sentences:
    """The best depth of experiment 1.1 at each width, and whether it fits or generalises better."""
    summary = summarize_experiments(study, "exp1_1")
    groups = split_groups(summary, "widths")
    bests = {widths: best for widths, rows in groups.items() if (best := find_best(rows))}
    failures = say_failures(summary)
    if not bests:
        yield f"No depth of experiment 1.1 trains: {failures}."
        return
    depths = {best.depth for best in bests.values()}
    start = "The best depths of a plain network are "
    if len(depths) == 1:
        where = f"at {say_values('K', bests)}"
        if len(bests) == len(groups) > 1:
            where = "at both widths" if len(bests) == 2 else "at every width"
        start = f"L = {next(iter(depths))} is the best depth of a plain network {where}: "
    parts = []
    for widths, best in bests.items():
        depth = "" if len(depths) == 1 else f"L = {best.depth} with "
        versus = say_lead(best, groups[widths])
        parts.append(
            f"{depth}{say_accuracy(best)} at K = {widths}" + (f" ({versus})" if versus else "")
        )
    yield f"{start}{join_words(parts)}{f'; {failures}' if failures else ''}."

    pairs = [
        (best, second)
        for widths, best in bests.items()
        if (second := find_best(groups[widths][groups[widths]["run"] != best.run]))
    ]
    if pairs:
        fits = [best.train - second.train for best, second in pairs]
        meaning = ""
        if all(fit > 0 for fit in fits):
            meaning = ": the best depth also fits the training images better"
        elif all(best.train < other.train and best.test > other.test for best, other in pairs):
            meaning = ": the best depth generalises better and does not fit better"
        changes = join_words(map(format_change, fits))
        yield f"In training accuracy the difference to the next best is {changes} points{meaning}."


def say_failures(summary: pd.DataFrame) -> str:
    """Return ``L = 8 and 16 do not train at K = 32 and 64``; nothing where all train."""
    failed = summary[summary["trained"] == 0]
    depths: dict[str, list[object]] = {}
    for depth, rows in split_groups(failed, "depth").items():
        depths.setdefault(say_values("K", rows["widths"]), []).append(depth)
    end = " in any seed" if (failed["seeds"] > 1).any() else ""
    return " and ".join(
        f"{say_values('L', deep)} {'do' if len(deep) > 1 else 'does'} not train at {widths}{end}"
        for widths, deep in depths.items()
    )


@finding("part3_q2_2", needs=["exp1_1"], uses=["exp1_5"])
def say_trainability(study: Study) -> Sentences:
    """What does not train, where it stays, what the layers show, and which remedy helps."""
    summary = summarize_experiments(study, "exp1_1")
    failed = summary[summary["trained"] == 0]
    if failed.empty:
        yield "Every network of experiment 1.1 trains."
    else:
        yield f"{say_failures(summary)}: {_describe_end(study, failed)}."
    unsteady = [row for row in list_rows(summary) if 0 < row.trained < row.seeds]
    if unsteady:
        shares = [f"`{row.run}` in {row.trained} of {row.seeds} seeds" for row in unsteady]
        yield f"Some train in a part of their seeds: {join_words(shares)}."
    signal = measure_signal(study, ["exp1_1"])
    if not signal.empty:
        yield (
            f"Before training, with {say_span(signal['num_conv'], 0)} convolutions, the error "
            f"signal becomes smaller by a factor of {say_span(signal['backward_start'], 2)} per "
            f"layer on its way back (theory: √6 = {THEORY:.2f})."
        )
    yield from _say_remedies(study)


def _describe_end(study: Study, failed: pd.DataFrame) -> str:
    """Return where the runs that do not train end."""
    epochs = study.epochs[study.epochs["run"].isin(failed["run"])]
    last = epochs.groupby(["run", "seed"]).last(skipna=False)
    text = f"they end at a validation accuracy of {say_span(last['validation_accuracy'])} %"
    if len(losses := last["train_loss"].dropna()):
        text += f" and a training loss of {say_span(losses, 3)}, where a constant guess has "
        text += f"ln 10 = {CHANCE_LOSS:.3f}"
    diverged = failed.loc[failed["diverged"] > 0, "run"]
    return text if diverged.empty else f"{text} (diverged: {join_runs(diverged)})"


def _say_remedies(study: Study) -> Sentences:
    """Yield what each remedy of experiment 1.5 does, most successful first."""
    summary = summarize_experiments(study, "exp1_5")
    remedies = split_groups(summary, "label")
    order = sorted(remedies, key=lambda name: -remedies[name]["trained"].gt(0).mean())
    for label in order:
        rows, name = remedies[label], REMEDIES.get(label, f"`{label}`")
        trained = rows[rows["trained"] > 0]
        parts = [
            f"{say_accuracies(list_rows(at))} at L = {depth}, {say_values('K', at['widths'])}"
            for depth, at in split_groups(trained, "depth").items()
        ]
        share = say_share(len(trained), len(rows))
        yield f"With {name} {share}{': ' if parts else ''}{'; '.join(parts)}."
