"""Answers from the recorded layers: why a remedy fails, and whether width changes the signal."""

from __future__ import annotations

import pandas as pd

from hw2core.analysis.findings.core import (
    Sentences,
    finding,
    say_span,
    say_values,
    split_groups,
    summarize_experiments,
)
from hw2core.analysis.findings.depth import REMEDIES
from hw2core.analysis.ranking import select
from hw2core.analysis.signal import measure_signal
from hw2core.analysis.status import TRAINED_ACCURACY
from hw2core.analysis.tables import Study
from hw2core.analysis.text import format_scientific, join_words

NEARLY_NOTHING = 0.01  # of the gradient of the shortcut


def _measure(study: Study, *experiments: str) -> pd.DataFrame:
    """Return the signal of each run, with the number of seeds that trained."""
    trained = summarize_experiments(study, *experiments)[["run", "seeds", "trained"]]
    return measure_signal(study, experiments).merge(trained, on="run")


def tabulate_signal(study: Study) -> pd.DataFrame:
    """Return the signal before → after training, by remedy and number of convolutions."""
    signal = _measure(study, "exp1_1", "exp1_5", "exp1_4")
    signal["network"] = signal["label"].map(REMEDIES).fillna(signal["label"])
    signal.loc[signal["experiment"] == "exp1_1", "network"] = "none"
    residual = signal["experiment"] == "exp1_4"
    signal.loc[residual, "network"] = "residual blocks and batch norm (1.4)"
    group = signal["num_conv"].mask(residual, 0)  # one row for all of these
    return pd.DataFrame(
        {
            "Remedy": runs["network"].iloc[0],
            "Convolutions": say_span(runs["num_conv"], 0),
            "Trained": f"{runs['trained'].sum()} of {runs['seeds'].sum()}",
            "Error signal per layer": _say_both(runs, "backward", 2),
            "Last activations": _say_both(runs, "last_activation", 3),
            "Dead channels (%)": _say_both(runs, "dead", 0),
        }
        for _, runs in signal.groupby(["network", group], sort=False)
    )


def _say_both(runs: pd.DataFrame, name: str, digits: int) -> str:
    return " → ".join(say_span(runs[f"{name}_{moment}"], digits) for moment in ("start", "end"))


@finding("part3_q2_layers")
def say_layers_of_remedies(study: Study) -> Sentences:
    """Why He initialisation is not enough, and what carries a residual network without norms."""
    signal = _measure(study, "exp1_5")
    he = select(signal, label="he")
    for depth, rows in split_groups(he[he["trained"] == 0], "depth").items():
        yield (
            "With He initialisation the error signal changes by a factor of "
            f"{say_span(rows['backward_start'], 2)} per layer before training, and yet L = {depth} "
            f"does not train at {say_values('K', rows['widths'])}: the activations of the last "
            f"convolution go from {say_span(rows['last_activation_start'], 2)} to "
            f"{say_span(rows['last_activation_end'], 3)} during training, and "
            f"{say_span(rows['dead_end'], 0)} % of its channels end dead."
        )
    residual = select(signal, label="residual").dropna(subset="main_over_shortcut_end")
    for depth, rows in split_groups(residual, "depth").items():
        start, end = rows["main_over_shortcut_start"], rows["main_over_shortcut_end"]
        dead = (end < NEARLY_NOTHING).all()
        yield (
            f"In residual networks without batch norm, L = {depth}, the gradient of the main path "
            f"is {say_span(100 * start, 2)} % of that of the shortcut's projection before training "
            f"and {say_span(100 * end, 2)} % after it."
            + (" The main path is nearly dead, and the shortcuts do the work." if dead else "")
        )


@finding("part3_q3_layers")
def say_layers_of_widths(study: Study) -> Sentences:
    """Whether the signal before training tells which width of a depth will train."""
    signal = _measure(study, "exp1_2")
    for depth, rows in split_groups(signal, "depth").items():
        trained, failed = rows[rows["trained"] > 0], rows[rows["trained"] == 0]
        if trained.empty or failed.empty:
            continue
        first, other = trained["first_gradient_start"], failed["first_gradient_start"]
        alike = (
            " Before training nothing in it tells the two apart."
            if first.min() < other.max()
            else ""
        )
        yield (
            f"At L = {depth}, {say_values('K', trained['widths'])} leave chance level in epoch "
            f"{_find_start(study, trained)} and {say_values('K', failed['widths'])} never do. The "
            f"error signal shrinks by {say_span(trained['backward_start'], 2)} against "
            f"{say_span(failed['backward_start'], 2)} per layer before training, and the gradient "
            f"of the first convolution is {_say_scientific(first)} against "
            f"{_say_scientific(other)}."
            + (" So the state before training does not tell them apart." if alike else "")
        )


def _find_start(study: Study, runs: pd.DataFrame) -> str:
    """Return the epochs in which runs first pass the accuracy of a trained run."""
    epochs = study.epochs[study.epochs["run"].isin(runs["run"])]
    above = epochs[epochs["validation_accuracy"] >= TRAINED_ACCURACY]
    first = above.groupby(["run", "seed"])["epoch"].min()
    return join_words(sorted(first.unique()), "or")


def _say_scientific(values: pd.Series) -> str:
    low, high = format_scientific(values.min()), format_scientific(values.max())
    return low if low == high else f"{low}–{high}"
