"""Draws the learning curves of an experiment: training and validation loss and accuracy."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hw2core.analysis.compared import list_best_in
from hw2core.analysis.figures import drawing, style
from hw2core.analysis.figures.labels import Label, spread_labels
from hw2core.analysis.tables import Study, list_rows, select
from hw2core.analysis.text import count_things, describe_seeds, format_number, join_some
from hw2core.data import registry
from hw2core.runs.outcome import measure_chance

PANELS = ("train_loss", "validation_loss", "train_accuracy", "validation_accuracy")
MANY = 20  # with more runs, only the FEW best are named and coloured
FEW = 8


def describe_shapes(runs: pd.DataFrame) -> dict[str, list[str]]:
    """Return ``depth`` and ``widths`` of runs in words; a network without L and K has none."""
    shapes = {"depth": "L", "widths": "K"}
    return {
        column: ["" if pd.isna(value) else f"{symbol} = {value}" for value in runs[column]]
        for column, symbol in shapes.items()
    }


def add_looks(summary: pd.DataFrame) -> pd.DataFrame:
    """Return the runs of an experiment, by name, with ``name``, ``colour``, ``dashes``, ``named``.

    Names leave out what all runs share. Colour shows the label if labels differ, else depth or
    widths, whichever has more values; dashes show the rest.
    """
    first, last = summary["experiment"].str.split("_").str[-1] + "_", summary["label"]
    parts = pd.DataFrame(
        {
            "label": last.where(~last.str[:1].str.isdigit(), first + last),  # dropout_0.4
            **describe_shapes(summary),
        }
    )
    varied = [str(part) for part in parts if parts[part].nunique() > 1]
    hue = max(varied, key=lambda part: (part == "label", parts[part].nunique()), default="label")
    if hue != "label" and (parts[hue] == "").any():
        hue, parts["label"] = "label", summary["run"]
    names = [", ".join(filter(None, row)) for row in parts[varied].to_numpy()]
    rest = parts[[part for part in varied if part != hue]].agg("".join, axis="columns")
    if hue == "label":
        colours = style.pick(style.VARIANTS, pd.factorize(parts["label"])[0])
    elif hue == "depth":
        colours = [*map(style.colour_depth, summary["depth"])]
    else:
        colours = [*map(style.colour_widths, summary["widths"])]
    looks = summary.assign(
        name=[name or run for name, run in zip(names, summary["run"], strict=True)],
        colour=colours,
        dashes=style.pick(style.DASHES, pd.factorize(rest)[0]),
        named=len(summary) <= MANY,
    ).set_index("run")
    if len(looks) > MANY:
        looks["named"] = looks["validation"].rank(ascending=False, method="first") <= FEW
        looks["colour"] = looks["colour"].where(looks["named"], style.FAINT)
    return looks


def describe_curves(study: Study, experiment: str) -> tuple[str, str]:
    """Return caption and alternative text."""
    runs = select(study.runs, experiment=experiment)
    if runs.empty:
        return f"{experiment} has no result yet.", ""
    summary = select(study.summary, experiment=experiment)
    notes = [f"Learning curves of {experiment}."]
    if best := list_best_in(study, experiment):
        names, seeds = join_some([run.run for run in best]), ""
        if len(best) == 1:
            seeds = describe_seeds(best[0].trained, best[0].seeds)
        accuracy = f"{format_number(best[0].validation)} %{seeds}"
        be = "is" if len(best) == 1 else "are"
        notes.append(f"{names} {be} best by validation: {accuracy}.")
    if failed := int((summary["trained"] == 0).sum()):
        notes.append(f"{failed} of {count_things(len(summary), 'network')} did not train.")
    alt = " ".join(["Training and validation loss and accuracy against epoch.", *notes])
    notes += drawing.describe_lines(runs)
    if (runs.groupby(drawing.name_lines(runs))["epochs"].nunique() > 1).any():
        notes.append("A line ends where the first of its seeds stops.")
    notes.append("Dots mark the best epoch by validation accuracy, dotted lines chance level.")
    if len(summary) > MANY:
        notes.append(
            f"Of {len(summary)} networks, the {FEW} with the highest validation accuracy are named."
        )
    return drawing.join_caption(notes, runs), alt


def draw_curves(study: Study, experiment: str) -> Figure:
    """Return four panels: loss above accuracy, training left of validation.

    Seeds of a run that trained and seeds that did not are drawn as separate lines.
    """
    runs = select(study.runs, experiment=experiment)
    looks = add_looks(select(study.summary, experiment=experiment).reset_index(drop=True))
    classes = sorted(set(map(registry.count_classes, runs["data"])))
    chance_losses = [*map(math.log, classes)]
    runs = runs.assign(line=drawing.name_lines(runs))
    epochs = study.epochs.merge(runs[["run", "seed", "status", "line"]], on=["run", "seed"])
    best = epochs.groupby("line")["validation_accuracy"].max().map(format_number)
    lines = runs[["line", "run"]].drop_duplicates().set_index("line").join(looks, on="run")
    lines["hover"] = [f"{x}: validation accuracy up to {best[x]} %" for x in lines.index]
    lines = lines.sort_index().sort_values("named", kind="stable")
    # A mean over the seeds that are left would jump where a seed stops.
    shortest = runs.groupby("line")["epochs"].min()
    epochs = epochs[epochs["epoch"] <= epochs["line"].map(shortest)]
    height = max(1.45, 0.145 * looks["named"].sum())
    plot = Figure(figsize=(style.FIGURE_WIDTH, 0.8 + 2 * height))
    grid = plot.subplots(2, 2, sharex=True, sharey="row").ravel()
    for axes, column in zip(grid, PANELS, strict=True):
        drawn = drawing.draw_lines(axes, epochs, "epoch", column, lines)
        for level in chance_losses if axes in grid[:2] else map(measure_chance, classes):
            axes.axhline(level, color=style.MUTED, linestyle=":", linewidth=0.9, zorder=1)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True, min_n_ticks=1))
        axes.set(xlabel="Epoch", ylabel="")
    for seed in list_rows(select(runs, status="trained")):
        look = looks.loc[seed.run]
        if look["named"]:
            dot = {"color": look["colour"], "markeredgecolor": style.PAPER, "clip_on": False}
            grid[3].plot(seed.best_epoch, seed.validation_accuracy, "o", **dot)
    losses = select(epochs, status="trained")[["train_loss", "validation_loss"]]
    # Exploding losses must not flatten the other curves.
    top = 1.05 * float(np.nanmax([*chance_losses, *losses.max()]))
    grid[0].set(title="Training", ylabel="Loss (nats)")
    grid[0].set_ylim(max(0.0, grid[0].get_ylim()[0]), top)
    grid[1].set(title="Validation")
    grid[2].set(ylabel="Accuracy (%)", ylim=(0, min(102.0, 1.05 * grid[2].get_ylim()[1])))
    # One label per run, at the line of the seeds that trained if there are any.
    lines[["x", "y"]] = [np.asarray(line.get_xydata())[-1] for line in drawn]
    labelled = lines[lines["named"] & ~lines["run"].duplicated()]
    spread_labels(grid[3], [Label(x.x, x.y, x.name, x.colour) for x in list_rows(labelled)])
    return plot
