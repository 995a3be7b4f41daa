"""Answers from the recorded layers: why remedies fail, and whether width affects the signal."""

from __future__ import annotations

import pandas as pd

from hw2core.analysis.findings import say
from hw2core.analysis.findings.core import Sentences, finding, split_groups
from hw2core.analysis.findings.remedies import list_changes, name_remedies
from hw2core.analysis.findings.residual import name_parts
from hw2core.analysis.signal import measure_signal
from hw2core.analysis.tables import Study, count_classes, select
from hw2core.analysis.text import format_scientific, join_words
from hw2core.runs.outcome import measure_trained


def tabulate_signal(study: Study) -> pd.DataFrame:
    """Return the signal before and after training, by remedy, convolutions and whether it trains.

    The ranges are over runs and seeds.
    """
    signal = measure_signal(study, "exp1_1", "exp1_5", "exp1_4")
    changed = signal["label"].isin(list(list_changes(study)))
    signal = signal[(signal["experiment"] != "exp1_5") | changed]
    others = {"exp1_1": "none", "exp1_4": f"{name_parts(study)} (1.4)"}
    labels = signal["label"].replace(name_remedies(study))
    remedies = signal["experiment"].map(others).fillna(labels)
    group = signal["num_conv"].mask(signal["experiment"] == "exp1_4", 0)  # 1.4 is one row
    return pd.DataFrame(
        {
            "Remedy": remedy,
            "Convolutions": say.span(runs["num_conv"], 0),
            "Runs": _count_runs(runs["status"]),
            "Error signal per layer": _say_both(runs, "backward", 2),
            "Last activations": _say_both(runs, "last_activation", 3),
            "Dead channels (%)": _say_both(runs, "dead", 0),
        }
        for (remedy, *_), runs in signal.groupby(
            [remedies, group, signal["status"] == "trained"], sort=False
        )
    )


def _count_runs(statuses: pd.Series) -> str:
    """Return ``3 trained``, ``3 not trained`` or ``3 not trained (1 diverged)``."""
    diverged = (statuses == "diverged").sum()
    text = f"{len(statuses)} {'trained' if (statuses == 'trained').all() else 'not trained'}"
    return f"{text} ({diverged} diverged)" if diverged else text


def _say_both(runs: pd.DataFrame, name: str, digits: int) -> str:
    return " → ".join(say.span(runs[f"{name}_{moment}"], digits) for moment in ("start", "end"))


@finding("part3_q2_layers")
def say_layers_of_remedies(study: Study) -> Sentences:
    """Yield why He initialisation is not enough, and how residual networks train without norm."""
    signal = measure_signal(study, "exp1_5")
    signal = signal[signal["label"].isin(list(name_remedies(study)))]
    failed = _split_runs(select(signal, label="he"))[1]
    for depth, rows in split_groups(failed, "depth").items():
        finite = rows[rows["status"] != "diverged"]
        effects = [
            "the activations of the last "
            f"convolution change from {say.span(finite['last_activation_start'], 2)} to "
            f"{say.span(finite['last_activation_end'], 3)} during training, and "
            f"{say.span(finite['dead_end'], 0)} % of its channels are dead at the end"
        ]
        diverged = f"the loss diverges in {len(rows) - len(finite)} of {len(rows)} runs"
        effects = effects * bool(len(finite)) + [diverged] * (len(finite) < len(rows))
        yield (
            "With He initialisation, the error signal shrinks by a factor of "
            f"{say.span(rows['backward_start'], 2)} per layer before training, but L = {depth} "
            f"does not train at {_say_widths(rows)}: {'; '.join(effects)}."
        )
    residual = select(signal, label="residual", status="trained")
    residual = residual.dropna(subset="main_over_shortcut_end")
    depths = split_groups(residual, "depth")
    shares = [
        f"{say.span(100 * rows['main_over_shortcut_start'])} % before training and "
        f"{say.span(100 * rows['main_over_shortcut_end'])} % after it at L = {depth}"
        for depth, rows in depths.items()
    ]
    if shares:
        yield (
            "Without batch norm, the gradient of a residual network's main path is "
            f"{join_words(shares)}, as a share of the gradient of the projections on the shortcuts."
        )
    dead = [
        f"L = {depth}"
        for depth, rows in depths.items()
        if (rows["main_over_shortcut_end"] < 0.01).all()
    ]
    if dead:
        yield (
            f"At {join_words(dead)}, the main path is almost dead, and the gradient passes "
            "through the shortcuts."
        )


@finding("part3_q3_layers")
def say_layers_of_widths(study: Study) -> Sentences:
    """Yield whether the signal before training predicts which widths train at a depth."""
    runs = select(study.runs, experiment="exp1_2")
    signal = measure_signal(study, "exp1_2").sort_values(["depth", "parameters"])
    for depth, rows in split_groups(signal, "depth").items():
        trained, failed = _split_runs(rows)
        if trained.empty or failed.empty:
            continue
        first, other = trained["first_gradient_start"], failed["first_gradient_start"]
        epochs = study.epochs.merge(rows[["run", "seed"]])
        accuracies = epochs[["train_accuracy", "validation_accuracy"]].max(axis="columns")
        above = epochs[accuracies >= measure_trained(count_classes(runs))]
        passed = above.merge(trained[["run", "seed"]]).groupby(["run", "seed"])["epoch"].min()
        ends = "do not stay above it" if above["run"].isin(failed["run"]).any() else "never do"
        yield (
            f"At L = {depth}, {_say_widths(trained)} leave chance level in epoch "
            f"{join_words(sorted(passed.unique()), 'or')} and {_say_widths(failed)} {ends}. Before "
            f"training, the error signal shrinks by {say.span(trained['backward_start'], 2)} per "
            f"layer in the runs that train and by {say.span(failed['backward_start'], 2)} in "
            f"the others, and the gradient of the first convolution is {_say_scientific(first)} "
            f"and {_say_scientific(other)}."
        )
        if first.min() < other.max():
            yield "The gradient before training therefore does not predict which width trains."


def _split_runs(signal: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the seeds that trained, and those of networks of which no seed did."""
    trained = select(signal, status="trained")
    return trained, signal[~signal["run"].isin(trained["run"])]


def _say_widths(signal: pd.DataFrame) -> str:
    return say.values("K", signal["widths"].unique())


def _say_scientific(values: pd.Series) -> str:
    low, high = format_scientific(values.min()), format_scientific(values.max())
    return low if low == high else f"{low}–{high}"
