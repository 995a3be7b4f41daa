"""What each part of a network is worth: accuracy without it, against the full network."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from hw2core.analysis.figures.drawing import draw_missing, draw_row, finish_rows, join_caption
from hw2core.analysis.figures.style import FIGURE_WIDTH, MUTED, PAPER, colour_family, use_style
from hw2core.analysis.ranking import list_rows, select
from hw2core.analysis.tables import Study
from hw2core.analysis.text import format_change

FULL = "full"  # the label of the run that the others of its experiment are compared with
MISSING = "No ablation has a result yet."


def find_ablation(study: Study) -> str:
    """Return the first experiment with an evaluated run labelled ``full``, or nothing."""
    full = select(study.runs, label=FULL).dropna(subset="test_accuracy")
    return "" if full.empty else str(full["experiment"].iloc[0])


def compare_parts(study: Study) -> pd.DataFrame:
    """Return a row per run of the ablation but the full one, the most costly part first.

    ``difference``, ``low`` and ``high`` are points of test accuracy against the full network with
    the same seed; ``trained`` says whether any seed trained.
    """
    runs = select(study.runs, experiment=find_ablation(study))
    full = select(runs, label=FULL)[["seed", "test_accuracy"]]
    pairs = runs[runs["label"] != FULL].merge(full, on="seed", suffixes=("", "_full"))
    pairs["difference"] = pairs["test_accuracy"] - pairs["test_accuracy_full"]
    pairs["trained"] = pairs["status"] == "trained"
    parts = pairs.groupby(["run", "label", "family"], sort=False, as_index=False).agg(
        difference=("difference", "mean"),
        low=("difference", "min"),
        high=("difference", "max"),
        trained=("trained", "any"),
    )
    return parts.dropna(subset="difference").sort_values("difference", kind="stable")


def describe_ablation(study: Study) -> tuple[str, str]:
    """Return caption and alternative text."""
    experiment, parts = find_ablation(study), list_rows(compare_parts(study))
    if not parts:
        return MISSING, ""
    facts = ", ".join(f"{part.label} {format_change(part.difference)}" for part in parts)
    finding = f"{experiment}: test accuracy in points, against the full network: {facts}."
    return join_caption([finding], select(study.runs, experiment=experiment)), finding


def draw_ablation(study: Study) -> Figure:
    """Return a row per part that was taken out: mean over seeds and range.

    A network that does not train without the part is hollow, at the left edge.
    """
    table = compare_parts(study)
    if table.empty:
        return draw_missing(MISSING)
    ends = [0.0, *table.loc[table["trained"], ["low", "high"]].to_numpy().ravel()]
    margin = 0.08 * max(max(ends) - min(ends), 1.0)
    edge = min(ends) - margin
    parts = list_rows(table)
    with use_style():
        plot = Figure(figsize=(FIGURE_WIDTH, 0.75 + 0.2 * len(parts)))
        axes = plot.subplots()
        axes.axvline(0, color=MUTED, linewidth=0.9, zorder=1)
        for place, part in enumerate(parts):
            text = format_change(part.difference)
            values = (part.difference, part.low, part.high) if part.trained else (edge,) * 3
            words = text if part.trained else f"{text} (at chance)"
            hover = f"{part.run}: {text} points"
            dot = draw_row(axes, place, values, colour_family(part.family), words, hover)
            if not part.trained:
                dot.set(marker="<", markerfacecolor=PAPER)
        names = [part.label for part in parts]
        xlabel = "Test accuracy, difference to the full network (points)"
        finish_rows(axes, list(range(len(parts))), names, xlabel)
        axes.set_xlim(edge, max(ends) + margin)
    return plot
