"""Answers on part 2: memorising, optimizers, dropout, and loss against accuracy."""

from __future__ import annotations

from typing import Any

import pandas as pd

from hw2core.analysis.findings.core import (
    Sentences,
    finding,
    say_interval,
    say_span,
    summarize_experiments,
)
from hw2core.analysis.joint_rise import find_joint_rise
from hw2core.analysis.ranking import find_best, list_rows, select
from hw2core.analysis.statistics import compare_pairs, pair_seeds
from hw2core.analysis.tables import Study
from hw2core.analysis.text import (
    count_things,
    format_change,
    format_number,
    format_numbers,
    join_words,
)

OPTIMIZERS = {"vanilla": "SGD", "momentum": "momentum SGD", "rmsprop": "RMSProp"}


@finding("part2_overfit", needs=["part2_overfit"])
def say_memorised(study: Study) -> Sentences:
    """How well and how soon the from-scratch network memorises its images."""
    epochs = select(study.epochs, experiment="part2_overfit")
    images = select(study.runs, experiment="part2_overfit")["train_images"].iloc[0]
    last = epochs.groupby("seed")["train_accuracy"].last()
    verb = "memorises" if last.min() == 100 else "does not memorise all of"
    yield (
        f"The from-scratch network {verb} its {images:,} images: training accuracy ends at "
        f"{say_span(last)} % ({count_things(len(last), 'seed')})."
    )


@finding("part2_optim", needs=["part2_optim"])
def say_optimizers(study: Study) -> Sentences:
    """Which optimizer is best by validation, and whether seeds can tell it from the others."""
    summary = summarize_experiments(study, "part2_optim")
    best = find_best(summary)
    if best is None:
        yield "No optimizer trains the network."
        return
    rates = study.runs.drop_duplicates("run").set_index("run")["training.lr"]
    others = [
        f"{format_number(row.test)} % with {_name_optimizer(row)} at {rates[row.run]:g}"
        + _say_pair(study, row.run, best.run)
        for row in list_rows(summary)
        if row.run != best.run
    ]
    yield (
        f"{_name_optimizer(best)} at {rates[best.run]:g} is best by validation after "
        f"{best.epochs} epochs: {format_number(best.test)} % test accuracy"
        f"{f', against {join_words(others)}' if others else ''}."
    )
    yield from _say_effective_rates(study)


def _name_optimizer(row: Any) -> str:
    return OPTIMIZERS.get(row.label, f"`{row.label}`")


def _say_pair(study: Study, run: str, other: str) -> str:
    """Return the paired difference in test accuracy with its interval, where seeds allow one."""
    pairs = pair_seeds(study.runs, run, other, "test_accuracy")
    if len(pairs) < 2:
        return ""
    return f" ({say_interval(compare_pairs(pairs))})"


def _say_effective_rates(study: Study) -> Sentences:
    """Yield what momentum makes of its rate, against the rate of plain SGD."""
    runs = select(study.runs, experiment="part2_optim").drop_duplicates("run")
    by_optimizer = {run["training.optimizer"]: run for run in runs.to_dict("records")}
    if not {"momentum", "vanilla"} <= by_optimizer.keys():
        return
    momentum, plain = by_optimizer["momentum"], by_optimizer["vanilla"]
    rate, factor = momentum["training.lr"], momentum["training.momentum"]
    yield (
        f"Momentum {factor:g} adds up steps, so that its rate {rate:g} acts like "
        f"{rate:g} / (1 − {factor:g}) = {rate / (1 - factor):g} without it, against "
        f"{plain['training.lr']:g} of SGD{_say_pair(study, momentum['run'], plain['run'])}."
    )


def measure_dropout(study: Study) -> pd.DataFrame:
    """Return a row per probability, means over seeds: curves at the end, and their best values."""
    epochs = select(study.epochs, experiment="part2_dropout")
    last = epochs.groupby(["run", "seed"], sort=False).last()
    last["lowest_loss"] = epochs.groupby(["run", "seed"])["validation_loss"].min()
    means = last.groupby("run", sort=False).mean(numeric_only=True)
    means["rise"] = means["validation_loss"] - means["lowest_loss"]
    means["gap"] = means["train_accuracy"] - means["validation_accuracy"]
    runs = select(study.runs, experiment="part2_dropout")
    by_run = runs.groupby("run").agg(
        p=("architecture.dropout", "first"), test=("test_accuracy", "mean")
    )
    return means.join(by_run).reset_index().sort_values("p")


@finding("part2_q1_1", needs=["part2_dropout"])
def say_dropout(study: Study) -> Sentences:
    """Whether dropout does what one expects, on the training images and on new ones."""
    rows = measure_dropout(study)
    where = f"for p = {join_words(f'{p:g}' for p in rows['p'])}"
    fits = rows["train_accuracy"]
    expected = "as expected" if fits.is_monotonic_decreasing else "but not in the order of p"
    yield (
        f"Dropout changes the fit of the training images {expected}, and {_say_help(study, rows)}: "
        f"training accuracy ends at {format_numbers(fits)} % {where}, test accuracy is "
        f"{format_numbers(rows['test'])} %."
    )
    yield (
        f"Validation loss ends at {format_numbers(rows['validation_loss'], 2)}; its lowest value "
        f"was {format_numbers(rows['lowest_loss'], 2)}."
    )


def _say_help(study: Study, rows: pd.DataFrame) -> str:
    """Return whether the best probability is better than none on new images."""
    none, some = rows[rows["p"] == 0], rows[rows["p"] > 0]
    if none.empty or some.empty:
        return "there is nothing to compare with on new images"
    best = max(list_rows(some), key=lambda row: row.validation_accuracy)
    pairs = pair_seeds(study.runs, best.run, none["run"].iloc[0], "test_accuracy")
    if not pairs:
        return "no seed of both trains"
    where = f"p = {best.p:g}"
    if len(pairs) == 1:
        return f"changes accuracy on new ones by {format_change(pairs[0])} points at {where}"
    found = compare_pairs(pairs)
    interval = f"{where}: {say_interval(found)}"
    if found.low > 0:
        return f"helps on new ones ({interval})"
    if found.high < 0:
        return f"hurts on new ones ({interval})"
    return f"makes no difference on new ones that {len(pairs)} seeds can tell ({interval})"


@finding("part2_q1_2", needs=["part2_dropout"])
def say_low_against_high(study: Study) -> Sentences:
    """How little dropout compares with much: speed of learning, and over-fitting."""
    rows = list_rows(measure_dropout(study))
    rows = [row for row in rows if row.p > 0]
    if len(rows) < 2:
        yield "Only one probability of dropout has a result."
        return
    low, high = rows[0], rows[-1]
    speed = "more slowly" if high.train_loss > low.train_loss else "faster"
    fits = "less" if high.gap < low.gap else "more"
    epochs = select(study.epochs, run=low.run).groupby("epoch")["train_loss"].mean()
    reached = epochs[epochs <= high.train_loss]
    when = f"; p = {low.p:g} is there in epoch {reached.index[0]}" if len(reached) else ""
    yield (
        f"Against p = {low.p:g}, p = {high.p:g} learns {speed} and over-fits {fits}: training loss "
        f"ends at {format_number(high.train_loss, 2)} against {format_number(low.train_loss, 2)}"
        f"{when}; the gap between training and validation accuracy ends at "
        f"{format_number(high.gap, 0)} against {format_number(low.gap, 0)} points; validation loss "
        f"rises from its lowest value by {format_number(high.rise, 2)} against "
        f"{format_number(low.rise, 2)}."
    )


@finding("part2_q2")
def say_joint_rise(study: Study) -> Sentences:
    """Whether loss and accuracy can rise together, with the strongest case of all results."""
    case = find_joint_rise(study)
    if case is None:
        yield "Yes, it can happen; no pair of consecutive epochs in the present results shows it."
        return
    before, after = (format_number(loss, 3) for loss in case.losses)
    low, high = map(format_number, case.accuracies)
    yield (
        f"Yes: in `{case.run}` the loss on {case.images:,} held-out images rises from {before} to "
        f"{after} from epoch {case.epoch - 1} to {case.epoch}, and the accuracy on them from {low} "
        f"to {high} %."
    )
    yield (
        f"It is the strongest of {count_things(case.found, 'case')} among {case.compared:,} pairs "
        "of consecutive epochs: loss and accuracy rise by "
        f"{format_number(case.loss_errors)} and {format_number(case.accuracy_errors)} standard "
        "errors."
    )
