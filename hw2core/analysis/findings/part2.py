"""Answers on part 2: memorisation, optimizers, dropout, and whether loss and accuracy can rise."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from hw2core.analysis.compared import list_best
from hw2core.analysis.findings import say
from hw2core.analysis.findings.core import Sentences, finding, summarize_experiments
from hw2core.analysis.statistics import Judged, judge_pairs, negate, pair_seeds
from hw2core.analysis.tables import Study, find_best, list_rows, select, split_trained
from hw2core.analysis.text import count_things, format_change, format_number, join_words

NOISE = 2  # a smaller rise, in standard errors, is within noise
FAILED = {"diverged": "the loss diverged", "at_chance": "accuracy ends too close to chance level"}
OPTIMIZERS = {"vanilla": "SGD", "momentum": "momentum SGD", "rmsprop": "RMSProp"}


@finding("part2_overfit", needs=["part2_overfit"])
def say_memorised(study: Study) -> Sentences:
    """Yield whether the from-scratch network memorises its images."""
    epochs = select(study.epochs, experiment="part2_overfit")
    images = select(study.runs, experiment="part2_overfit")["train_images"].iloc[0]
    last = epochs.groupby("seed")["train_accuracy"].last()
    verb = "memorises" if last.min() == 100 else "does not memorise all of"
    yield (
        f"The from-scratch network {verb} its {images:,} images: training accuracy ends at "
        f"{say.span(last)} % ({count_things(len(last), 'seed')})."
    )


@finding("part2_optim", needs=["part2_optim"])
def say_optimizers(study: Study) -> Sentences:
    """Yield which optimizer is best by validation, and its differences from the others."""
    summary = summarize_experiments(study, "part2_optim")
    trained, failed = split_trained(summary)
    best = find_best(summary)
    if best is None:
        yield "No optimizer trains the network."
        return
    runs = select(study.runs, experiment="part2_optim").drop_duplicates("run").set_index("run")
    rates, judged = runs["training.lr"], _judge_pairs(study, "part2_optim")
    names = {run: OPTIMIZERS[name] for run, name in runs["training.optimizer"].items()}
    others = [
        f"{say.accuracy(row)} with {names[row.run]} at {rates[row.run]:g}"
        + _say_pair(judged, row.run, best.run)
        for row in list_rows(trained)
        if row.run != best.run
    ]
    text = f"; {join_words(others)}" if others else ""
    if broken := [f"{names[run]} at {rates[run]:g}" for run in failed["run"]]:
        text += f"; {join_words(broken)} {'do' if len(broken) > 1 else 'does'} not train"
    is_best = " is best by validation" if others else ""
    if (equal := len(list_best(summary))) > 1:
        is_best = f" is one of the {equal} best by validation"
    yield (
        f"{names[best.run]} at learning rate {rates[best.run]:g}{is_best} after {best.epochs} "
        f"epochs: {say.accuracy(best)} test accuracy{text}."
    )
    by_optimizer = dict(zip(runs["training.optimizer"], runs.index, strict=True))
    if {"momentum", "vanilla"} <= by_optimizer.keys():
        momentum, plain = by_optimizer["momentum"], by_optimizer["vanilla"]
        rate, factor = rates[momentum], runs.loc[momentum, "training.momentum"]
        yield (
            f"Momentum {factor:g} accumulates steps, so a learning rate of {rate:g} acts like "
            f"{rate:g} / (1 − {factor:g}) = {rate / (1 - factor):g} without momentum; SGD uses "
            f"{rates[plain]:g}{_say_pair(judged, plain, momentum)}."
        )


def _judge_pairs(study: Study, experiment: str) -> dict[tuple[str, str], Judged]:
    """Return the differences of all pairs of runs, in both directions, if there are two seeds."""
    names = summarize_experiments(study, experiment)["run"]
    judged = judge_pairs(study.runs, [(later, run) for run, later in combinations(names, 2)])
    back = {
        (b, a): each._replace(estimate=negate(each.estimate)) for (a, b), each in judged.items()
    }
    return judged | back


def _say_pair(judged: dict[tuple[str, str], Judged], run: str, other: str) -> str:
    """Return the paired difference in test accuracy with its interval, if there are two seeds."""
    return f" ({_say_interval(judged[run, other])})" if (run, other) in judged else ""


def _say_interval(found: Judged) -> str:
    """Return ``+0.7 points, 95 % interval −0.1 to +1.5``, and whether the correction matters."""
    value, low, high = map(format_change, found.estimate[:3])
    if pd.isna(found.estimate.low):
        return f"{value} points with every seed, which gives no interval"
    text = f"{value} points, 95 % interval {low} to {high}"
    excludes_zero = found.estimate.low > 0 or found.estimate.high < 0
    corrected = excludes_zero and not found.significant
    return f"{text}, not significant after Holm's correction" if corrected else text


def measure_dropout(study: Study) -> pd.DataFrame:
    """Return a row per probability with means over seeds of the last epoch and the lowest loss.

    Seeds that did not train are left out.
    """
    runs = select(study.runs, experiment="part2_dropout", status="trained")
    epochs = study.epochs.merge(runs[["run", "seed"]])
    last = epochs.groupby(["run", "seed"], sort=False).last()
    last["lowest_loss"] = epochs.groupby(["run", "seed"])["validation_loss"].min()
    means = last.groupby("run", sort=False).mean(numeric_only=True)
    means["rise"] = means["validation_loss"] - means["lowest_loss"]
    means["gap"] = means["train_accuracy"] - means["validation_accuracy"]
    by_run = runs.groupby("run").agg(
        p=("architecture.dropout", "first"), test=("test_accuracy", "mean")
    )
    return means.join(by_run).reset_index().sort_values("p")


@finding("part2_q1_1", needs=["part2_dropout"])
def say_dropout(study: Study) -> Sentences:
    """Yield whether dropout has the expected effect on training images and on new images."""
    for status, reason in FAILED.items():
        failed = select(study.runs, experiment="part2_dropout", status=status)
        counts = failed["run"].value_counts(sort=False).items()
        left_out = [f"`{run}` ({count_things(count, 'seed')})" for run, count in counts]
        if left_out:
            yield f"Left out, as {reason}: {join_words(left_out)}."
    rows = measure_dropout(study)
    if rows.empty:
        return
    where = f"for p = {join_words(f'{p:g}' for p in rows['p'])}"
    fits = rows["train_accuracy"].round(1)
    text = (
        f"training accuracy ends at {say.numbers(fits)} % {where}, and test accuracy is "
        f"{say.numbers(rows['test'])} %."
    )
    if len(rows) > 1:
        effect = "changes the fit of the training images but not in the order of p"
        if fits.nunique() == 1:
            effect = "does not change the fit of the training images"
        elif fits.is_monotonic_decreasing:
            effect = "changes the fit of the training images as expected"
        text = f"dropout {effect}, and {_say_help(study, rows)}: {text}"
    yield f"{text[0].upper()}{text[1:]}"
    yield (
        f"Validation loss ends at {say.numbers(rows['validation_loss'], 2)}; its lowest value "
        f"was {say.numbers(rows['lowest_loss'], 2)}."
    )


def _say_help(study: Study, rows: pd.DataFrame) -> str:
    """Return whether the dropout probability that validation chooses helps on new images."""
    none, some = rows[rows["p"] == 0], rows[rows["p"] > 0]
    if none.empty or some.empty:
        return "there is nothing to compare with on new images"
    best = find_best(study.summary[study.summary["run"].isin(some["run"])])
    pair = best and (best.run, none["run"].iloc[0])
    pairs = pair_seeds(study.runs, *pair) if pair else []
    if not pairs:
        return "no seed trains with and without it"
    where = f"p = {select(some, run=best.run)['p'].iloc[0]:g}"
    if len(pairs) == 1:
        return f"changes accuracy on new images by {format_change(pairs[0])} points at {where}"
    found = _judge_pairs(study, "part2_dropout")[pair]
    interval = f"{where}: {_say_interval(found)}"
    if found.significant:
        verb = "helps" if found.estimate.value > 0 else "hurts"
        return f"{verb} on new images ({interval})"
    return f"has no significant effect on new images with {len(pairs)} seeds ({interval})"


@finding("part2_q1_2", needs=["part2_dropout"])
def say_low_against_high(study: Study) -> Sentences:
    """Yield how low and high dropout compare in speed of learning and overfitting."""
    rows = [row for row in list_rows(measure_dropout(study)) if row.p > 0]
    if len(rows) < 2:
        yield "There are no two probabilities of dropout with results to compare."
        return
    low, high = rows[0], rows[-1]
    speed = say.compare(low.train_loss, high.train_loss, 2, "faster", "as fast", "more slowly")
    fits = say.compare(low.gap, high.gap, 0, "less", "as much", "more")
    trained = select(study.runs, run=low.run, status="trained")[["run", "seed"]]
    losses = study.epochs.merge(trained).groupby("epoch")["train_loss"].mean()
    reached = losses[losses <= high.train_loss]
    when = f" (reached by p = {low.p:g} in epoch {reached.index[0]})" if len(reached) else ""
    yield (
        f"Compared with p = {low.p:g}, p = {high.p:g} learns {speed} and overfits {fits}: training"
        f" loss ends at {format_number(high.train_loss, 2)}{when} instead of "
        f"{format_number(low.train_loss, 2)}; the gap between training and validation accuracy is "
        f"{format_number(high.gap, 0)} instead of {format_number(low.gap, 0)} points; validation "
        f"loss rises from its lowest value by {format_number(high.rise, 2)} instead of "
        f"{format_number(low.rise, 2)}."
    )


@finding("part2_q2")
def say_joint_rise(study: Study) -> Sentences:
    """Yield whether loss and accuracy can rise together, with the strongest case of all results."""
    case = find_joint_rise(study)
    if case is None:
        yield "Yes, it can, but no pair of consecutive epochs in the present results shows it."
        return
    yield (
        f"Yes, in {case.found:,} of {case.compared:,} pairs of consecutive epochs. The clearest "
        f"case is `{case.run}`: the loss on {case.validation_images:,} validation images rises "
        f"from {format_number(case.loss_before, 3)} to {format_number(case.loss, 3)} between "
        f"epochs {case.epoch - 1} and {case.epoch}, and the accuracy on them rises from "
        f"{format_number(case.accuracy_before)} to {format_number(case.accuracy)} %."
    )
    noise = " so even this case is within noise" if case.smaller < NOISE else ""
    yield (
        f"Loss and accuracy rise by {format_number(case.loss_rise)} and "
        f"{format_number(case.accuracy_rise)} standard errors{',' if noise else ''}{noise}."
    )


def find_joint_rise(study: Study) -> Any:
    """Return the epoch with the largest joint rise: the smaller of both rises in standard errors.

    The standard error of an accuracy is binomial. Losses of single images are not recorded, so
    their standard deviation is assumed to equal their mean, as in an exponential distribution. The
    two epochs are treated as independent; as they share their images, the errors are rather
    overestimated.

    Returns:
        A row with the curves in this epoch and the previous one (``_before``), both rises in
        standard errors, and the numbers of cases ``found`` and of epochs ``compared``; None without
        any case.
    """
    runs = study.runs[study.runs["status"] != "diverged"]
    runs = runs.drop_duplicates(["spec_hash", "seed"])  # a run with two names counts once
    keys = ["run", "seed"]
    rows = study.epochs.merge(runs[[*keys, "validation_images"]], on=keys)
    rows = rows.rename(columns={"validation_loss": "loss", "validation_accuracy": "accuracy"})
    by_run = rows.groupby(keys)
    rows = rows.assign(
        loss_before=by_run["loss"].shift(), accuracy_before=by_run["accuracy"].shift()
    )
    images = rows["validation_images"].astype(float)
    share, share_before = rows["accuracy"] / 100, rows["accuracy_before"] / 100
    variance = share * (1 - share) + share_before * (1 - share_before)
    loss_error = np.sqrt((rows["loss"] ** 2 + rows["loss_before"] ** 2) / images)
    rows["loss_rise"] = (rows["loss"] - rows["loss_before"]) / loss_error
    rows["accuracy_rise"] = (share - share_before) / np.sqrt(variance / images)
    smaller = rows[["loss_rise", "accuracy_rise"]].min(axis="columns", skipna=False)
    rows = rows.assign(smaller=smaller, compared=smaller.notna().sum(), found=(smaller > 0).sum())
    return max(list_rows(rows[smaller > 0]), key=lambda row: row.smaller, default=None)
